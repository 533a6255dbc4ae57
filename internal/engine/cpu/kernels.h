// The kernels, written once for vectors of VL floats and pixels of LANES floats, one or
// several vectors: those of CHANNELS channels of IMAGES images, channel by channel (see
// phases.Layout). Each instruction set includes this file after defining these, the vector
// type vf, the mask type vm and the operations below. Functions are static: the tables at the end are what
// leaves the file.
//
//   LD ST SET1 FMA(a,b,c)=a·b+c ADD SUB MUL MAX   on vf
//   STREAM(p, v) stores past the caches, to an aligned place; nb_run ends it with a fence
//   LDH(p) loads VL bfloat16; ROUND(v) rounds to bfloat16, half to even, and STH(p, v) and STREAMH(p, v) store
//   VL such as bfloat16
//   with IMAGES > 1: EXPAND(p) loads CHANNELS numbers, one for each channel, and has each once for every
//   image; BROADCAST(p) loads IMAGES numbers, one for each image, and has them for all channels
//   LDI(p) loads VL indices, PERMUTE(i, x) takes those elements of x
//   GT(a,b) → vm, ANDNOT(a,b)=b and not a, OR(a,b), ALL, NONE, KEEP(m,x)=x where m, else 0, MERGE(m,x,y)=x where m, else y
//
// MAX returns its second operand if either is NaN, so that NaNs are not hidden.

#include <math.h>
#include <string.h>

#include "ops.h"
#include "repeat.h"

#define ZERO SET1(0.f)

#if IMAGES == 1
enum { CHANNELS = LANES };
#define EXPAND(p) LD(p)
#define BROADCAST(p) SET1(*(p))
#else
enum { CHANNELS = LANES / IMAGES };
_Static_assert(VL == LANES, "images side by side fill one vector");
#endif

// repeated writes n times CHANNELS numbers, each once for every image.
static inline void repeated(float *to, const float *from, int n) {
	if (IMAGES == 1) memcpy(to, from, sizeof(float) * n * CHANNELS);
	else
		for (int i = 0; i < n; i++) ST(to + i * LANES, EXPAND(from + i * CHANNELS));
}

// compensate adds v to the sum at p and keeps what rounding took, times -1, at
// p + LANES (Kahan): statistics of many positions need it, or the errors of all
// layers' variances show in the loss.
static inline __attribute__((always_inline)) void compensate(float *p, vf v) {
	vf s = LD(p), y = SUB(v, LD(p + LANES)), t = ADD(s, y);
	ST(p + LANES, SUB(SUB(t, s), y));
	ST(p, t);
}
#define EACH_PART(h) for (int h = 0; h < LANES; h += VL) // vectors of one pixel

// add_up adds to the sums of channels what compensate has left at p, times a factor for
// each image if given.
static inline __attribute__((always_inline)) void add_up(double *sums, const float *p, const float *factors) {
	double all[VL];
	for (int l = 0; l < VL; l++) all[l] = (double)p[l] - p[LANES + l];
	if (factors)
		for (int l = 0; l < VL; l++) all[l] *= factors[l % IMAGES];
	for (int c = 0; c < VL / IMAGES; c++)
		for (int i = 0; i < IMAGES; i++) sums[c] += all[c * IMAGES + i];
}

static inline float *at(const nb_ref *r, const nb_context *c) { return nb_at(r, c->spaces, c->image); }

// ---- Planes in bfloat16, which an instruction reads as floats

static inline int is_half(const nb_ref *r) { return r->space == SPACE_HALF; }

static int any_half(const nb_ref *r, int n) {
	for (int i = 0; i < n; i++)
		if (is_half(&r[i])) return 1;
	return 0;
}

// load is VL numbers from the i-th on of a plane, in bfloat16 if half.
static inline __attribute__((always_inline)) vf load(const void *p, int64_t i, int half) {
	return half ? LDH((const uint16_t *)p + i) : LD((const float *)p + i);
}

// element is the i-th number of a plane.
static inline float element(const nb_ref *r, const nb_context *c, int64_t i) {
	if (!is_half(r)) return at(r, c)[i];
	union { uint32_t bits; float value; } u = { (uint32_t)((const uint16_t *)at(r, c))[i] << 16 };
	return u.value;
}

// skipped is where the plane is from the i-th number on.
static inline const void *skipped(const void *p, int64_t i, int half) { return half ? (const void *)((const uint16_t *)p + i) : (const void *)((const float *)p + i); }

static void widen(float *to, const uint16_t *from, int64_t n) {
	for (int64_t i = 0; i < n; i += VL) ST(to + i, LDH(from + i));
}

// whole is where a plane of so many pixels is, of an instruction that reads floats: there,
// or the which-th of the planes that the instruction has room to widen.
static const float *whole(const nb_op *op, const nb_context *c, const nb_ref *r, int64_t pixels, int which) {
	if (!is_half(r)) return at(r, c);
	int64_t inner = (int64_t)op->h * op->w, outer = (int64_t)op->oh * op->ow;
	float *to = c->work + nb_own_work(op, LANES) + which * (inner > outer ? inner : outer) * LANES;
	widen(to, (const uint16_t *)at(r, c), pixels * LANES);
	return to;
}

// How far ahead, in floats, memory is asked for what is read in order. The
// processor does that by itself, but begins anew at every page.
enum { AHEAD = 1024 };

// ---- Linear combinations

// A pass has a bit of `half` for the z and one for the y of each of its terms.
static inline __attribute__((always_inline)) vf term(int kind, const void *z, const void *y, int64_t i, int half, vf a, vf s, vf t, vf sum) {
	__builtin_prefetch(skipped(kind == TERM_PLAIN ? z : y, i + AHEAD, kind == TERM_PLAIN ? half & 1 : half & 2));
	if (kind == TERM_PLAIN) return FMA(a, load(z, i, half & 1), sum);
	vf v = FMA(s, load(y, i, half & 2), t);
	if (kind == TERM_RELU) return FMA(a, MAX(ZERO, v), sum);
	return FMA(a, KEEP(GT(v, ZERO), load(z, i, half & 1)), sum);
}

static inline __attribute__((always_inline)) void combine(int n, int k0, int k1, int k2, int accumulate, int half,
	float *out, const void *const *z, const void *const *y, const float *coef, int64_t pixels) {
	EACH_PART(h) {
		const float *q = coef + h;
		vf b = LD(q), a0 = ZERO, s0 = a0, t0 = a0, a1 = a0, s1 = a0, t1 = a0, a2 = a0, s2 = a0, t2 = a0;
		if (n > 0) a0 = LD(q + LANES), s0 = LD(q + 2 * LANES), t0 = LD(q + 3 * LANES);
		if (n > 1) a1 = LD(q + 4 * LANES), s1 = LD(q + 5 * LANES), t1 = LD(q + 6 * LANES);
		if (n > 2) a2 = LD(q + 7 * LANES), s2 = LD(q + 8 * LANES), t2 = LD(q + 9 * LANES);
		for (int64_t i = h; i < pixels * LANES; i += LANES) {
			vf v = accumulate ? LD(out + i) : b;
			if (n > 0) v = term(k0, z[0], y[0], i, half & 3, a0, s0, t0, v);
			if (n > 1) v = term(k1, z[1], y[1], i, half >> 2 & 3, a1, s1, t1, v);
			if (n > 2) v = term(k2, z[2], y[2], i, half >> 4 & 3, a2, s2, t2, v);
			ST(out + i, v);
		}
	}
}

typedef void (*combiner)(float *, const void *const *, const void *const *, const float *, int64_t, int);

#define COMBINER(n, k0, k1, k2) \
	static void combine_##n##k0##k1##k2##_0(float *o, const void *const *z, const void *const *y, const float *q, int64_t p, int half) { combine(n, k0, k1, k2, 0, 0, o, z, y, q, p); } \
	static void combine_##n##k0##k1##k2##_1(float *o, const void *const *z, const void *const *y, const float *q, int64_t p, int half) { combine(n, k0, k1, k2, 1, 0, o, z, y, q, p); } \
	static void combine_##n##k0##k1##k2##_2(float *o, const void *const *z, const void *const *y, const float *q, int64_t p, int half) { combine(n, k0, k1, k2, 0, half, o, z, y, q, p); } \
	static void combine_##n##k0##k1##k2##_3(float *o, const void *const *z, const void *const *y, const float *q, int64_t p, int half) { combine(n, k0, k1, k2, 1, half, o, z, y, q, p); }
#define ENTRY(n, k0, k1, k2) [n * 27 + k0 * 9 + k1 * 3 + k2] = { combine_##n##k0##k1##k2##_0, combine_##n##k0##k1##k2##_1, combine_##n##k0##k1##k2##_2, combine_##n##k0##k1##k2##_3 },
#define COMBINERS(X) X(0, 0, 0, 0) X(1, 0, 0, 0) X(1, 1, 0, 0) X(1, 2, 0, 0) \
	X(2, 0, 0, 0) X(2, 0, 1, 0) X(2, 0, 2, 0) X(2, 1, 1, 0) X(2, 1, 2, 0) X(2, 2, 2, 0) \
	X(3, 0, 0, 0) X(3, 0, 0, 1) X(3, 0, 0, 2) X(3, 0, 1, 1) X(3, 0, 1, 2) X(3, 0, 2, 2) \
	X(3, 1, 1, 1) X(3, 1, 1, 2) X(3, 1, 2, 2) X(3, 2, 2, 2)
COMBINERS(COMBINER)
static const combiner combiners[4 * 27][4] /* adding or not, then the same with some in bfloat16 */ = { COMBINERS(ENTRY) };

// ones fills the work area with a piece of a plane of ones.
static const float *ones(const nb_context *c) {
	for (int i = 0; i < NB_PIECE * LANES; i++) c->work[i] = 1;
	return c->work;
}

// Passes over one plane take turns on pieces of it that stay in the nearest cache.
static void op_combine(const nb_op *op, const nb_context *c) {
	int64_t pixels = (int64_t)op->oh * op->ow;
	for (int32_t i = 0, j; i < op->count; i = j) {
		for (j = i; !op->passes[j].last; j++);
		j++;
		for (int64_t from = 0; from < pixels; from += NB_PIECE) {
			int64_t n = pixels - from < NB_PIECE ? pixels - from : NB_PIECE, offset = from * LANES;
			for (int32_t p = i; p < j; p++) {
				const nb_pass *q = &op->passes[p];
				const void *z[3] = { 0 }, *y[3] = { 0 };
				const float *coef = q->coef;
				float own[(1 + 3 * 3) * LANES]; // coefficients where those of the pass do not serve
				if (IMAGES > 1 || q->skip || q->images) repeated(own, q->coef, 1), coef = own;
				int key = 0, weight = 9, k = 0, half = 0;
				for (int t = 0; t < q->terms; t++) {
					if (q->skip >> t & 1) continue;
					float *a = own + (1 + 3 * k) * LANES;
					if (coef == own) repeated(a, q->coef + (1 + 3 * t) * CHANNELS, 3);
					if (q->images && q->image[t].space != SPACE_NONE) {
						const float *factors = at(&q->image[t], c);
						for (int l = 0; l < LANES; l++) a[l] *= factors[l % IMAGES];
					}
					key += 27 + q->kind[t] * weight;
					int half_y = q->kind[t] != TERM_PLAIN && is_half(&q->y[t]), half_z = q->kind[t] != TERM_RELU && is_half(&q->z[t]);
					if (q->kind[t] != TERM_PLAIN) y[k] = skipped(at(&q->y[t], c), offset, half_y);
					if (q->kind[t] == TERM_RELU) z[k] = y[k];
					else z[k] = q->z[t].space == SPACE_NONE ? ones(c) : skipped(at(&q->z[t], c), offset, half_z);
					if (q->kind[t] == TERM_PLAIN) y[k] = z[k];
					half |= (half_z | half_y << 1) << 2 * k;
					k++, weight /= 3;
				}
				combiners[key][(half ? 2 : 0) + q->accumulate](at(&q->out, c) + offset, z, y, coef, n, half);
			}
		}
	}
}

// ---- Reductions

static inline __attribute__((always_inline)) void reduce(int masked, int has_z, int nw, int half,
	const void *y, const void *z, const void *w0, const void *w1, const void *w2, const float *coef, int64_t pixels, const float *factors, double *sums) {
	EACH_PART(h) {
		vf s = ZERO, t = ZERO, one = SET1(1.f);
		if (masked) s = EXPAND(coef + h), t = EXPAND(coef + CHANNELS + h);
		float total[4][2 * LANES] = { 0 };
#define STEP(a, b, c, d, i) do { \
		vf v = has_z ? load(z, i, half & 2) : one; \
		if (masked || nw > 0) __builtin_prefetch(skipped(masked ? y : w0, (i) + AHEAD, masked ? half & 1 : half & 4)); \
		if (masked) v = KEEP(GT(FMA(s, load(y, i, half & 1), t), ZERO), v); \
		a = ADD(a, v); \
		if (nw > 0) b = FMA(v, load(w0, i, half & 4), b); \
		if (nw > 1) c = FMA(v, load(w1, i, half & 8), c); \
		if (nw > 2) d = FMA(v, load(w2, i, half & 16), d); \
	} while (0)
		for (int64_t from = 0; from < pixels; from += NB_PIECE) {
			int64_t i = from * LANES + h, end = (pixels - from < NB_PIECE ? pixels : from + NB_PIECE) * LANES;
			vf a0 = ZERO, b0 = ZERO, c0 = ZERO, d0 = ZERO, a1 = ZERO, b1 = ZERO, c1 = ZERO, d1 = ZERO;
			for (; i + LANES < end; i += 2 * LANES) {
				STEP(a0, b0, c0, d0, i);
				STEP(a1, b1, c1, d1, i + LANES);
			}
			if (i < end) STEP(a0, b0, c0, d0, i);
			compensate(total[0], ADD(a0, a1));
			if (nw > 0) compensate(total[1], ADD(b0, b1));
			if (nw > 1) compensate(total[2], ADD(c0, c1));
			if (nw > 2) compensate(total[3], ADD(d0, d1));
		}
#undef STEP
		for (int k = 0; k <= nw; k++)
			add_up(sums + k * CHANNELS + h, total[k], factors);
	}
}

static void op_reduce(const nb_op *op, const nb_context *c) {
	int64_t pixels = (int64_t)op->h * op->w;
	for (int32_t i = 0; i < op->count; i++) {
		const nb_reduction *r = &op->reductions[i];
		const float *y = r->masked ? at(&r->y, c) : 0, *z = r->has_z ? at(&r->z, c) : 0, *w[3] = { 0 };
		int half = (r->masked && is_half(&r->y)) | (r->has_z && is_half(&r->z)) << 1; // and a bit for each w
		for (int k = 0; k < r->nw; k++) w[k] = at(&r->w[k], c), half |= is_half(&r->w[k]) << (2 + k);
		double *sums = c->sums + r->slot;
		const float *factors = r->image.space == SPACE_NONE ? 0 : at(&r->image, c);
#define CASE(m, v, n) \
	case (m) * 8 + (v) * 4 + (n): reduce(m, v, n, 0, y, z, w[0], w[1], w[2], r->coef, pixels, factors, sums); break; \
	case 16 + (m) * 8 + (v) * 4 + (n): reduce(m, v, n, half, y, z, w[0], w[1], w[2], r->coef, pixels, factors, sums); break;
		switch ((half ? 16 : 0) + r->masked * 8 + r->has_z * 4 + r->nw) {
			CASE(0, 0, 0) CASE(0, 0, 1) CASE(0, 0, 2) CASE(0, 0, 3) CASE(0, 1, 0) CASE(0, 1, 1) CASE(0, 1, 2) CASE(0, 1, 3)
			CASE(1, 0, 0) CASE(1, 0, 1) CASE(1, 0, 2) CASE(1, 0, 3) CASE(1, 1, 0) CASE(1, 1, 1) CASE(1, 1, 2) CASE(1, 1, 3)
		}
#undef CASE
	}
}

// ---- Matrix products: every convolution comes down to these

enum { MAX_PLANES = 512 }; // of one instruction; Go checks it

// Results are stored, added to what is there, or stored past the caches, or stored in
// bfloat16 either way, and then what is added up of them is of the rounded ones.
enum { NEAR, ACCUMULATE, FAR, HALF, HALF_FAR };
static int mode_of(const nb_op *op) {
	if (is_half(op->out)) return op->far ? HALF_FAR : HALF;
	return op->accumulate ? ACCUMULATE : op->far ? FAR : NEAR;
}

// A product asks for a line of the stream at every input channel, which costs it
// next to nothing and keeps memory as busy as it can be. It must not call
// anything, which would cost the accumulators their registers, so planes are
// changed between products.
enum { LINE = 64 };

// fetch asks for so many lines of the stream.
static inline void fetch(nb_stream *s, int lines) {
	if (s->next >= s->end) {
		if (s->count <= 0) return;
		nb_advance(s);
	}
	for (int i = 0; i < lines; i++) __builtin_prefetch(s->next + i * LINE, 0, 2);
	s->next = lines * LINE < s->end - s->next ? s->next + lines * LINE : s->end;
}

static inline void next_plane(nb_stream *s) {
	if (s->next >= s->end && s->count > 0) nb_advance(s);
}

enum { BLOCK = CHANNELS * LANES }; // floats of packed weights, or gradients of them, for one plane by one

// pair_N computes N pixels of two vectors of output channels: out = Σ over the
// input planes and their channels of weight·x. x holds the planes, off the first
// pixel's place in them; w is [in block][in][lane] and its second vector ws floats
// further. With st, the results are added up there, see compensate: their sum,
// then that of their squares.
enum { MOMENT_FLOATS = 4 * LANES }; // of one output plane
#define DECLARE(n) vf a##n = ZERO, b##n = ZERO;
#define LOAD(n) a##n = LD(y0 + n * LANES); b##n = LD(y1 + n * LANES);
#define MULTIPLY(n) { vf s = BROADCAST(p + n * LANES); a##n = FMA(w0, s, a##n); b##n = FMA(w1, s, b##n); }
#define STORE(n) ST(y0 + n * LANES, a##n); ST(y1 + n * LANES, b##n);
#define STORE_FAR(n) STREAM(y0 + n * LANES, a##n); STREAM(y1 + n * LANES, b##n);
#define TO_HALF(n) a##n = ROUND(a##n); b##n = ROUND(b##n);
#define STORE_HALF(n) STH((uint16_t *)y0 + n * LANES, a##n); STH((uint16_t *)y1 + n * LANES, b##n);
#define STORE_HALF_FAR(n) STREAMH((uint16_t *)y0 + n * LANES, a##n); STREAMH((uint16_t *)y1 + n * LANES, b##n);
#define MOMENTS(n) m0 = ADD(m0, a##n); q0 = FMA(a##n, a##n, q0); m1 = ADD(m1, b##n); q1 = FMA(b##n, b##n, q1);
#define PAIR(N) \
	static void pair_##N(const float *const *x, int64_t off, int nin, const int32_t *depth, const float *w, int64_t ws, \
		float *y0, float *y1, int mode, float *st0, float *st1, nb_stream *stream) { \
		REPEAT(N, DECLARE) \
		if (mode == ACCUMULATE) { REPEAT(N, LOAD) } \
		for (int ib = 0; ib < nin; ib++) { \
			const float *p = x[ib] + off, *v = w + ib * BLOCK; \
			const char *ahead = stream->next; \
			for (const float *end = v + depth[ib] * LANES; v < end; v += LANES, p += IMAGES, ahead += LINE) { \
				__builtin_prefetch(ahead, 0, 2); \
				vf w0 = LD(v), w1 = LD(v + ws); \
				REPEAT(N, MULTIPLY) \
			} \
			stream->next = ahead < stream->end ? ahead : stream->end; \
		} \
		if (mode >= HALF) { \
			REPEAT(N, TO_HALF) \
			if (mode == HALF_FAR) { REPEAT(N, STORE_HALF_FAR) } else { REPEAT(N, STORE_HALF) } \
		} else if (mode == FAR) { REPEAT(N, STORE_FAR) } else { REPEAT(N, STORE) } \
		if (st0) { \
			vf m0 = ZERO, q0 = ZERO, m1 = ZERO, q1 = ZERO; \
			REPEAT(N, MOMENTS) \
			compensate(st0, m0); compensate(st0 + 2 * LANES, q0); compensate(st1, m1); compensate(st1 + 2 * LANES, q1); \
		} \
	}
typedef void (*pair)(const float *const *, int64_t, int, const int32_t *, const float *, int64_t, float *, float *, int, float *, float *, nb_stream *);

PAIR(1) PAIR(2) PAIR(3) PAIR(4) PAIR(5) PAIR(6)
#if VL == 16 // 32 registers
PAIR(7) PAIR(8) PAIR(9) PAIR(10) PAIR(11) PAIR(12) PAIR(13) PAIR(14)
enum { PAIR_PIXELS = 14 };
static const pair pairs[] = { 0, pair_1, pair_2, pair_3, pair_4, pair_5, pair_6, pair_7, pair_8, pair_9, pair_10, pair_11, pair_12, pair_13, pair_14 };
#else
enum { PAIR_PIXELS = 6 };
static const pair pairs[] = { 0, pair_1, pair_2, pair_3, pair_4, pair_5, pair_6 };
#endif
#undef DECLARE
#undef LOAD
#undef MULTIPLY
#undef STORE
#undef STORE_FAR
#undef TO_HALF
#undef STORE_HALF
#undef STORE_HALF_FAR
#undef MOMENTS

#if VL == LANES
// single_N is the same for one vector, when the number of output blocks is odd.
#define DECLARE(n) vf a##n = ZERO;
#define LOAD(n) a##n = LD(y + n * LANES);
#define MULTIPLY(n) a##n = FMA(w0, BROADCAST(p + n * LANES), a##n);
#define STORE(n) ST(y + n * LANES, a##n);
#define STORE_FAR(n) STREAM(y + n * LANES, a##n);
#define TO_HALF(n) a##n = ROUND(a##n);
#define STORE_HALF(n) STH((uint16_t *)y + n * LANES, a##n);
#define STORE_HALF_FAR(n) STREAMH((uint16_t *)y + n * LANES, a##n);
#define MOMENTS(n) m = ADD(m, a##n); q = FMA(a##n, a##n, q);
#define SINGLE(N) \
	static void single_##N(const float *const *x, int64_t off, int nin, const int32_t *depth, const float *w, float *y, int mode, float *st, nb_stream *stream) { \
		REPEAT(N, DECLARE) \
		if (mode == ACCUMULATE) { REPEAT(N, LOAD) } \
		for (int ib = 0; ib < nin; ib++) { \
			const float *p = x[ib] + off, *v = w + ib * BLOCK; \
			const char *ahead = stream->next; \
			for (const float *end = v + depth[ib] * LANES; v < end; v += LANES, p += IMAGES, ahead += LINE) { \
				__builtin_prefetch(ahead, 0, 2); \
				vf w0 = LD(v); \
				REPEAT(N, MULTIPLY) \
			} \
			stream->next = ahead < stream->end ? ahead : stream->end; \
		} \
		if (mode >= HALF) { \
			REPEAT(N, TO_HALF) \
			if (mode == HALF_FAR) { REPEAT(N, STORE_HALF_FAR) } else { REPEAT(N, STORE_HALF) } \
		} else if (mode == FAR) { REPEAT(N, STORE_FAR) } else { REPEAT(N, STORE) } \
		if (st) { \
			vf m = ZERO, q = ZERO; \
			REPEAT(N, MOMENTS) \
			compensate(st, m); compensate(st + 2 * LANES, q); \
		} \
	}
typedef void (*single)(const float *const *, int64_t, int, const int32_t *, const float *, float *, int, float *, nb_stream *);
SINGLE(1) SINGLE(2) SINGLE(3) SINGLE(4) SINGLE(5) SINGLE(6) SINGLE(7) SINGLE(8) SINGLE(9) SINGLE(10) SINGLE(11) SINGLE(12)
#if VL == 16
SINGLE(13) SINGLE(14) SINGLE(15) SINGLE(16) SINGLE(17) SINGLE(18) SINGLE(19) SINGLE(20)
SINGLE(21) SINGLE(22) SINGLE(23) SINGLE(24) SINGLE(25) SINGLE(26) SINGLE(27) SINGLE(28)
enum { SINGLE_PIXELS = 28 };
static const single singles[] = { 0, single_1, single_2, single_3, single_4, single_5, single_6, single_7, single_8, single_9, single_10,
	single_11, single_12, single_13, single_14, single_15, single_16, single_17, single_18, single_19, single_20,
	single_21, single_22, single_23, single_24, single_25, single_26, single_27, single_28 };
#else
enum { SINGLE_PIXELS = 12 };
static const single singles[] = { 0, single_1, single_2, single_3, single_4, single_5, single_6, single_7, single_8, single_9, single_10,
	single_11, single_12 };
#endif
#undef DECLARE
#undef LOAD
#undef MULTIPLY
#undef STORE
#undef STORE_FAR
#undef TO_HALF
#undef STORE_HALF
#undef STORE_HALF_FAR
#undef MOMENTS
#endif

// A cut divides pixels into runs of nearly equal lengths, at most `most` each.
typedef struct {
	int64_t runs, length, longer; // the first `longer` runs have one more
} cut;

static inline cut cut_into(int64_t pixels, int64_t most) {
	int64_t runs = (pixels + most - 1) / most;
	return (cut){ runs, pixels / runs, pixels % runs };
}

static inline int64_t run_length(cut c, int64_t run) { return c.length + (run < c.longer); }

// product multiplies all pixels of the input planes into all output planes.
// Pixels go in chunks whose inputs stay in the nearest cache while the output
// blocks are computed one after another. Where some of the inputs are in bfloat16, as
// `half` says of each, their chunk is widened into the room.
static void product(const float *const *inputs, const char *half, float *room, int nin, const int32_t *depth, const float *w, int64_t between,
	float *const *y, int nout, int64_t pixels, int mode, float *st, nb_stream *stream) {
	enum { CHUNK = 20 << 10 };
#define PLACE(o, i) ((float *)skipped(y[o], i, mode >= HALF))
	cut c = cut_into(pixels, PAIR_PIXELS);
	int64_t chunk = CHUNK / ((int64_t)nin * PAIR_PIXELS * LANES * 4), from = 0;
	if (chunk < 1) chunk = 1;
	const float *own[MAX_PLANES], *const *x = inputs;
	for (int64_t first = 0; first < c.runs; first += chunk) {
		int64_t end = first + chunk < c.runs ? first + chunk : c.runs, p = from;
		int o = 0;
		if (half) {
			int64_t count = 0;
			for (int64_t r = first; r < end; r++) count += run_length(c, r);
			x = own;
			for (int i = 0; i < nin; i++) {
				if (!half[i]) {
					own[i] = inputs[i];
					continue;
				}
				float *to = room + i * count * LANES;
				widen(to, (const uint16_t *)inputs[i] + from * LANES, count * LANES);
				own[i] = (const float *)((uintptr_t)to - sizeof(float) * from * LANES); // the first pixel's place
			}
		}
#if VL == LANES
		for (; o + 1 < nout; o += 2) {
			float *st0 = st ? st + o * MOMENT_FLOATS : 0, *st1 = st ? st0 + MOMENT_FLOATS : 0;
			p = from;
			for (int64_t r = first; r < end; r++) {
				int64_t n = run_length(c, r);
				next_plane(stream);
				pairs[n](x, p * LANES, nin, depth, w + o * between, between, PLACE(o, p * LANES), PLACE(o + 1, p * LANES), mode, st0, st1, stream);
				p += n;
			}
		}
		if (o < nout) {
			p = from;
			int64_t left = 0;
			for (int64_t r = first; r < end; r++) left += run_length(c, r);
			cut wide = cut_into(left, SINGLE_PIXELS);
			for (int64_t r = 0; r < wide.runs; r++) {
				int64_t n = run_length(wide, r);
				next_plane(stream);
				singles[n](x, p * LANES, nin, depth, w + o * between, PLACE(o, p * LANES), mode, st ? st + o * MOMENT_FLOATS : 0, stream);
				p += n;
			}
		}
#else
		for (; o < nout; o++)
			for (int h = 0; h < LANES; h += 2 * VL) {
				float *s = st ? st + o * MOMENT_FLOATS + h : 0;
				p = from;
				for (int64_t r = first; r < end; r++) {
					int64_t n = run_length(c, r);
					next_plane(stream);
					pairs[n](x, p * LANES, nin, depth, w + o * between + h, VL, PLACE(o, p * LANES + h), PLACE(o, p * LANES + h + VL), mode, s, s ? s + VL : 0, stream);
					p += n;
				}
			}
#endif
		from = p;
	}
#undef PLACE
}

// outer adds Σ over the pixels of x[i]·g[o] to the blocks dw, [CHANNELS][LANES], of one input
// plane and several output planes, which are `between` floats apart.
#define OUTER_4(N, ...) \
	static void outer_4(const float *x, const float *const *g, float *dw, int64_t between, int64_t pixels) { \
		const float *g0 = g[0], *g1 = g[1], *g2 = g[2], *g3 = g[3]; \
		float *d0 = dw, *d1 = d0 + between, *d2 = d1 + between, *d3 = d2 + between; \
		REPEAT(N, LOAD) \
		for (int64_t p = 0; p < pixels * LANES; p += LANES) { \
			vf v0 = LD(g0 + p), v1 = LD(g1 + p), v2 = LD(g2 + p), v3 = LD(g3 + p); \
			REPEAT(N, MULTIPLY) \
		} \
		REPEAT(N, STORE) \
	}
#if VL == 16
#define LOAD(n) vf a##n = LD(d0 + n * LANES), b##n = LD(d1 + n * LANES), c##n = LD(d2 + n * LANES), e##n = LD(d3 + n * LANES);
#define MULTIPLY(n) { vf s = BROADCAST(x + p + n * IMAGES); a##n = FMA(v0, s, a##n); b##n = FMA(v1, s, b##n); c##n = FMA(v2, s, c##n); e##n = FMA(v3, s, e##n); }
#define STORE(n) ST(d0 + n * LANES, a##n); ST(d1 + n * LANES, b##n); ST(d2 + n * LANES, c##n); ST(d3 + n * LANES, e##n);
OUTER_4(4)
#undef LOAD
#undef MULTIPLY
#undef STORE
#endif

enum { OUTER_ROWS = VL == 16 && IMAGES < 4 ? 8 : 4 };
#define LOAD(n) vf a##n = LD(d0 + n * LANES), b##n = LD(d1 + n * LANES);
#define MULTIPLY(n) { vf s = BROADCAST(x + p + n * IMAGES); a##n = FMA(v0, s, a##n); b##n = FMA(v1, s, b##n); }
#define STORE(n) ST(d0 + n * LANES, a##n); ST(d1 + n * LANES, b##n);
#define OUTER_2(N) \
	static void outer_2(const float *x, const float *g0, const float *g1, float *d0, float *d1, int64_t pixels) { \
		REPEAT(N, LOAD) \
		for (int64_t p = 0; p < pixels * LANES; p += LANES) { \
			vf v0 = LD(g0 + p), v1 = LD(g1 + p); \
			REPEAT(N, MULTIPLY) \
		} \
		REPEAT(N, STORE) \
	}
#if VL == 16 && IMAGES < 4
OUTER_2(8)
#else
OUTER_2(4)
#endif
#undef LOAD
#undef MULTIPLY
#undef STORE

#if VL == LANES
#define LOAD(n) vf a##n = LD(d + n * LANES);
#define MULTIPLY(n) a##n = FMA(v, BROADCAST(x + p + n * IMAGES), a##n);
#define STORE(n) ST(d + n * LANES, a##n);
#define OUTER_1(N) \
	static void outer_1(const float *x, const float *g, float *d, int64_t pixels) { \
		REPEAT(N, LOAD) \
		for (int64_t p = 0; p < pixels * LANES; p += LANES) { \
			vf v = LD(g + p); \
			REPEAT(N, MULTIPLY) \
		} \
		REPEAT(N, STORE) \
	}
#if VL / IMAGES == 16
OUTER_1(16)
#elif VL / IMAGES == 8
OUTER_1(8)
#else
OUTER_1(4)
#endif
#undef LOAD
#undef MULTIPLY
#undef STORE
#endif

// outer_product adds the products of all input with all output planes to dw
// [out block][in block][CHANNELS][LANES], chunk of pixels by chunk.
static void outer_product(const float *const *x, int nin, const int32_t *depth, const float *const *g, int nout, float *dw, int64_t pixels) {
	int64_t between = (int64_t)nin * BLOCK;
	for (int64_t from = 0; from < pixels; from += NB_OUTER) {
		int64_t n = pixels - from < NB_OUTER ? pixels - from : NB_OUTER, off = from * LANES;
		int o = 0;
#if VL == 16
		for (; o + 3 < nout; o += 4) {
			const float *q[4] = { g[o] + off, g[o + 1] + off, g[o + 2] + off, g[o + 3] + off };
			for (int i = 0; i < nin; i++)
				for (int r = 0; r < depth[i]; r += 4)
					outer_4(x[i] + off + r * IMAGES, q, dw + o * between + i * BLOCK + r * LANES, between, n);
		}
#endif
#if VL == LANES
		for (; o + 1 < nout; o += 2)
			for (int i = 0; i < nin; i++)
				for (int r = 0; r < depth[i]; r += OUTER_ROWS) {
					float *d = dw + o * between + i * BLOCK + r * LANES;
					outer_2(x[i] + off + r * IMAGES, g[o] + off, g[o + 1] + off, d, d + between, n);
				}
		if (o < nout)
			for (int i = 0; i < nin; i++)
				outer_1(x[i] + off, g[o] + off, dw + o * between + i * BLOCK, n);
#else
		for (; o < nout; o++)
			for (int h = 0; h < LANES; h += 2 * VL)
				for (int i = 0; i < nin; i++)
					for (int r = 0; r < depth[i]; r += OUTER_ROWS) {
						float *d = dw + o * between + i * BLOCK + r * LANES + h;
						outer_2(x[i] + off + r, g[o] + off + h, g[o] + off + h + VL, d, d + VL, n);
					}
#endif
	}
}

// ---- Convolutions

static void planes(float **p, const nb_ref *r, int n, const nb_context *c) {
	for (int i = 0; i < n; i++) p[i] = at(&r[i], c);
}

// flush adds the image's moments of every output plane to the group's.
static void flush(const nb_op *op, const nb_context *c, const float *moments) {
	for (int o = 0; o < op->nout; o++, moments += MOMENT_FLOATS) {
		if (op->slots[o] < 0) continue;
		double *sums = c->sums + op->slots[o];
		EACH_PART(l) add_up(sums + l, moments + l, 0), add_up(sums + CHANNELS + l, moments + 2 * LANES + l, 0);
	}
}

static void op_conv1(const nb_op *op, const nb_context *c) {
	float *x[MAX_PLANES], *y[MAX_PLANES];
	planes(x, op->in, op->nin, c);
	planes(y, op->out, op->nout, c);
	float *st = op->slots ? c->work : 0;
	if (st) memset(st, 0, sizeof(float) * MOMENT_FLOATS * op->nout);
	char half[MAX_PLANES];
	for (int i = 0; i < op->nin; i++) half[i] = (char)is_half(&op->in[i]);
	product((const float *const *)x, any_half(op->in, op->nin) ? half : 0, c->work + nb_own_work(op, LANES), op->nin, op->depth, op->weights,
		(int64_t)op->nin * BLOCK, y, op->nout, (int64_t)op->h * op->w, mode_of(op), st, c->stream);
	if (st) flush(op, c, st);
}

// stretch is n pixels of a plane, widened if need be into the room, of which it takes its part.
static const float *stretch(const nb_ref *r, const float *x, int64_t from, int64_t n, float **room) {
	if (!is_half(r)) return x + from * LANES;
	float *to = *room;
	widen(to, (const uint16_t *)x + from * LANES, n * LANES);
	*room += n * LANES;
	return to;
}

static void op_weight1(const nb_op *op, const nb_context *c) {
	float *x[MAX_PLANES], *g[MAX_PLANES];
	planes(x, op->in, op->nin, c);
	planes(g, op->aux, op->naux, c);
	int64_t pixels = (int64_t)op->h * op->w;
	if (!any_half(op->in, op->nin) && !any_half(op->aux, op->naux)) {
		outer_product((const float *const *)x, op->nin, op->depth, (const float *const *)g, op->naux, c->gradients + op->slot, pixels);
		return;
	}
	const float *own[MAX_PLANES], *other[MAX_PLANES];
	for (int64_t from = 0; from < pixels; from += NB_OUTER) {
		int64_t n = pixels - from < NB_OUTER ? pixels - from : NB_OUTER;
		float *room = c->work + nb_own_work(op, LANES);
		for (int i = 0; i < op->nin; i++) own[i] = stretch(&op->in[i], x[i], from, n, &room);
		for (int o = 0; o < op->naux; o++) other[o] = stretch(&op->aux[o], g[o], from, n, &room);
		outer_product(own, op->nin, op->depth, other, op->naux, c->gradients + op->slot, n);
	}
}

// 3×3 convolutions by Winograd's minimal filtering F(2×2, 3×3): 16 products
// where direct computation needs 36, with additions alone around them.
// Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
//
// A strip is several rows of 2×2 tiles, worked on while it stays in the cache.
enum { STRIP = 32 }; // tiles, roughly

typedef struct {
	int across, down, rows; // tiles in a row, rows in the image and in a strip
} tiling;

static tiling tiles_of(int h, int w) {
	tiling t = { (w + 1) / 2, (h + 1) / 2, 0 };
	t.rows = STRIP / t.across;
	if (t.rows < 1) t.rows = 1;
	if (t.rows > t.down) t.rows = t.down;
	return t;
}

// odd_lines keeps what is written side by side, one line for each position, from
// meeting in a few sets of the cache.
static int64_t odd_lines(int64_t floats) { return floats / LANES % 2 ? floats : floats + LANES; }

// winograd_input transforms the 4×4 windows of one row of tiles, which begin at
// row 2·row - 1 and overlap by two, into v, whose positions are `between` floats
// apart. zeros is a row of zeros.
static inline __attribute__((always_inline)) void winograd_windows(const void *x, int half, int h, int w, int row, int across, const float *zeros, float *v, int64_t between) {
	const void *r[4];
	for (int i = 0; i < 4; i++) {
		int y = 2 * row - 1 + i;
		r[i] = y < 0 || y >= h ? zeros : skipped(x, (int64_t)y * w * LANES, half);
	}
	EACH_PART(l) {
		const void *r0 = skipped(r[0], l, half), *r1 = skipped(r[1], l, half), *r2 = skipped(r[2], l, half), *r3 = skipped(r[3], l, half);
		float *q = v + l;
		vf a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO; // column 2t - 1
		vf d0 = load(r0, 0, half), d1 = load(r1, 0, half), d2 = load(r2, 0, half), d3 = load(r3, 0, half);
		vf b0 = SUB(d0, d2), b1 = ADD(d1, d2), b2 = SUB(d2, d1), b3 = SUB(d1, d3); // column 2t
		for (int t = 0; t < across; t++, q += LANES) {
			vf c0 = ZERO, c1 = ZERO, c2 = ZERO, c3 = ZERO, e0 = ZERO, e1 = ZERO, e2 = ZERO, e3 = ZERO;
			int64_t col = (2 * t + 1) * LANES;
			if (2 * t + 1 < w) {
				d0 = load(r0, col, half), d1 = load(r1, col, half), d2 = load(r2, col, half), d3 = load(r3, col, half);
				c0 = SUB(d0, d2), c1 = ADD(d1, d2), c2 = SUB(d2, d1), c3 = SUB(d1, d3);
			}
			if (2 * t + 2 < w) {
				col += LANES;
				d0 = load(r0, col, half), d1 = load(r1, col, half), d2 = load(r2, col, half), d3 = load(r3, col, half);
				e0 = SUB(d0, d2), e1 = ADD(d1, d2), e2 = SUB(d2, d1), e3 = SUB(d1, d3);
			}
			ST(q, SUB(a0, c0)), ST(q + between, ADD(b0, c0)), ST(q + 2 * between, SUB(c0, b0)), ST(q + 3 * between, SUB(b0, e0));
			float *u = q + 4 * between;
			ST(u, SUB(a1, c1)), ST(u + between, ADD(b1, c1)), ST(u + 2 * between, SUB(c1, b1)), ST(u + 3 * between, SUB(b1, e1));
			u += 4 * between;
			ST(u, SUB(a2, c2)), ST(u + between, ADD(b2, c2)), ST(u + 2 * between, SUB(c2, b2)), ST(u + 3 * between, SUB(b2, e2));
			u += 4 * between;
			ST(u, SUB(a3, c3)), ST(u + between, ADD(b3, c3)), ST(u + 2 * between, SUB(c3, b3)), ST(u + 3 * between, SUB(b3, e3));
			a0 = c0, a1 = c1, a2 = c2, a3 = c3;
			b0 = e0, b1 = e1, b2 = e2, b3 = e3;
		}
	}
}

static void winograd_input(const nb_ref *ref, const float *x, int h, int w, int row, int across, const float *zeros, float *v, int64_t between) {
	if (is_half(ref)) winograd_windows(x, 1, h, w, row, across, zeros, v, between);
	else winograd_windows(x, 0, h, w, row, across, zeros, v, between);
}

// winograd_output transforms one row of tiles of m back into the two rows of y
// that it covers, and adds up the results and their squares in st, if given.
static inline __attribute__((always_inline)) void winograd_output(const float *m, int64_t between, float *y, int h, int w, int row, int across, int mode, float *st) {
	int below = 2 * row + 1 < h;
	EACH_PART(l) {
		int64_t y0 = (int64_t)2 * row * w * LANES + l, y1 = y0 + (int64_t)w * LANES; // places in y
		const float *q = m + l;
		vf sum = ZERO, squares = ZERO;
#define PUT(place, value) do { \
		vf v = value; \
		if (mode == ACCUMULATE) v = ADD(v, LD(y + (place))); \
		if (mode >= HALF) v = ROUND(v); \
		if (mode == FAR) STREAM(y + (place), v); \
		else if (mode == HALF) STH((uint16_t *)y + (place), v); \
		else if (mode == HALF_FAR) STREAMH((uint16_t *)y + (place), v); \
		else ST(y + (place), v); \
		sum = ADD(sum, v); \
		squares = FMA(v, v, squares); \
	} while (0)
		for (int t = 0; t < across; t++, q += LANES) {
			vf s[4], d[4]; // upper and lower row before the horizontal step
#define COLUMN(j) { \
			vf m0 = LD(q + j * between), m1 = LD(q + (4 + j) * between), m2 = LD(q + (8 + j) * between), m3 = LD(q + (12 + j) * between); \
			s[j] = ADD(ADD(m0, m1), m2); \
			d[j] = SUB(SUB(m1, m2), m3); \
		}
			COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
			int64_t col = 2 * t * LANES;
			int right = 2 * t + 1 < w;
			PUT(y0 + col, ADD(ADD(s[0], s[1]), s[2]));
			if (right) PUT(y0 + col + LANES, SUB(SUB(s[1], s[2]), s[3]));
			if (below) {
				PUT(y1 + col, ADD(ADD(d[0], d[1]), d[2]));
				if (right) PUT(y1 + col + LANES, SUB(SUB(d[1], d[2]), d[3]));
			}
		}
#undef PUT
		if (st) {
			compensate(st + l, sum);
			compensate(st + 2 * LANES + l, squares);
		}
	}
}

// winograd_gradient transforms the 2×2 tiles of a row of the output's gradient
// for the gradient of the weights.
static inline __attribute__((always_inline)) void winograd_tiles(const void *g, int half, int h, int w, int row, int across, float *v, int64_t between) {
	EACH_PART(l) {
		const void *r0 = skipped(g, (int64_t)2 * row * w * LANES + l, half), *r1 = skipped(r0, (int64_t)w * LANES, half);
		float *q = v + l;
		int below = 2 * row + 1 < h;
		for (int t = 0; t < across; t++, q += LANES) {
			int64_t col = 2 * t * LANES;
			int right = 2 * t + 1 < w;
			vf a = load(r0, col, half), b = right ? load(r0, col + LANES, half) : ZERO, c = below ? load(r1, col, half) : ZERO, d = below && right ? load(r1, col + LANES, half) : ZERO;
			float *u = q;
#define ROW(x, y) \
			ST(u, x), ST(u + between, ADD(x, y)), ST(u + 2 * between, SUB(x, y)), ST(u + 3 * between, SUB(ZERO, y)); \
			u += 4 * between;
			vf p0 = ADD(a, c), p1 = ADD(b, d), n0 = SUB(a, c), n1 = SUB(b, d), z0 = SUB(ZERO, c), z1 = SUB(ZERO, d);
			ROW(a, b)
			ROW(p0, p1)
			ROW(n0, n1)
			ROW(z0, z1)
#undef ROW
		}
	}
}

static void winograd_gradient(const nb_ref *ref, const float *g, int h, int w, int row, int across, float *v, int64_t between) {
	if (is_half(ref)) winograd_tiles(g, 1, h, w, row, across, v, between);
	else winograd_tiles(g, 0, h, w, row, across, v, between);
}

// The work area holds a row of zeros, the sums, and the transformed planes.
static void op_conv3(const nb_op *op, const nb_context *c) {
	float *x[MAX_PLANES], *y[MAX_PLANES], *from[MAX_PLANES], *to[MAX_PLANES];
	planes(x, op->in, op->nin, c);
	planes(y, op->out, op->nout, c);
	tiling t = tiles_of(op->h, op->w);
	int64_t strip = (int64_t)t.rows * t.across * LANES; // floats of a plane's strip in one position
	int64_t in_position = odd_lines(strip * op->nin), out_position = odd_lines(strip * op->nout);
	float *zeros = c->work, *st = op->slots ? zeros + op->w * LANES : 0;
	float *v = zeros + op->w * LANES + MOMENT_FLOATS * op->nout, *m = v + 16 * in_position;
	memset(zeros, 0, sizeof(float) * (op->w * LANES + MOMENT_FLOATS * op->nout));
	for (int first = 0; first < t.down; first += t.rows) {
		int rows = t.down - first < t.rows ? t.down - first : t.rows;
		for (int i = 0; i < op->nin; i++)
			for (int r = 0; r < rows; r++)
				winograd_input(&op->in[i], x[i], op->h, op->w, first + r, t.across, zeros, v + i * strip + (int64_t)r * t.across * LANES, in_position);
		for (int position = 0; position < 16; position++) {
			for (int i = 0; i < op->nin; i++) from[i] = v + position * in_position + i * strip;
			for (int o = 0; o < op->nout; o++) to[o] = m + position * out_position + o * strip;
			product((const float *const *)from, 0, 0, op->nin, op->depth, op->weights + (int64_t)position * op->nout * op->nin * BLOCK,
				(int64_t)op->nin * BLOCK, to, op->nout, (int64_t)rows * t.across, NEAR, 0, c->stream);
		}
		for (int o = 0; o < op->nout; o++)
			for (int r = 0; r < rows; r++) {
				const float *q = m + o * strip + (int64_t)r * t.across * LANES;
				float *sums = st ? st + o * MOMENT_FLOATS : 0;
				switch (mode_of(op)) {
				case NEAR: winograd_output(q, out_position, y[o], op->h, op->w, first + r, t.across, NEAR, sums); break;
				case ACCUMULATE: winograd_output(q, out_position, y[o], op->h, op->w, first + r, t.across, ACCUMULATE, sums); break;
				case FAR: winograd_output(q, out_position, y[o], op->h, op->w, first + r, t.across, FAR, sums); break;
				case HALF: winograd_output(q, out_position, y[o], op->h, op->w, first + r, t.across, HALF, sums); break;
				case HALF_FAR: winograd_output(q, out_position, y[o], op->h, op->w, first + r, t.across, HALF_FAR, sums); break;
				}
			}
	}
	if (st) flush(op, c, st);
}

static void op_weight3(const nb_op *op, const nb_context *c) {
	float *x[MAX_PLANES], *g[MAX_PLANES];
	const float *from[MAX_PLANES], *to[MAX_PLANES];
	planes(x, op->in, op->nin, c);
	planes(g, op->aux, op->naux, c);
	tiling t = tiles_of(op->h, op->w);
	int64_t strip = (int64_t)t.rows * t.across * LANES;
	int64_t in_position = odd_lines(strip * op->nin), out_position = odd_lines(strip * op->naux);
	float *zeros = c->work, *v = zeros + op->w * LANES, *u = v + 16 * in_position;
	memset(zeros, 0, sizeof(float) * op->w * LANES);
	for (int first = 0; first < t.down; first += t.rows) {
		int rows = t.down - first < t.rows ? t.down - first : t.rows;
		for (int r = 0; r < rows; r++) {
			int64_t offset = (int64_t)r * t.across * LANES;
			for (int i = 0; i < op->nin; i++)
				winograd_input(&op->in[i], x[i], op->h, op->w, first + r, t.across, zeros, v + i * strip + offset, in_position);
			for (int o = 0; o < op->naux; o++)
				winograd_gradient(&op->aux[o], g[o], op->h, op->w, first + r, t.across, u + o * strip + offset, out_position);
		}
		for (int position = 0; position < 16; position++) {
			for (int i = 0; i < op->nin; i++) from[i] = v + position * in_position + i * strip;
			for (int o = 0; o < op->naux; o++) to[o] = u + position * out_position + o * strip;
			outer_product(from, op->nin, op->depth, to, op->naux,
				c->gradients + op->slot + (int64_t)position * op->naux * op->nin * BLOCK, (int64_t)rows * t.across);
		}
	}
}

// Windows of other sizes occur in no network here; they are computed plainly.
static void op_convk(const nb_op *op, const nb_context *c) {
	int k = op->k, h = op->h, w = op->w;
	for (int o = 0; o < op->nout; o++) {
		float *y = at(&op->out[o], c);
		for (int64_t p = 0; p < (int64_t)h * w; p++) {
			float sum[LANES] = { 0 };
			for (int tap = 0; tap < k * k; tap++) {
				int row = (int)(p / w) + tap / k - k / 2, col = (int)(p % w) + tap % k - k / 2;
				if (row < 0 || row >= h || col < 0 || col >= w) continue;
				for (int i = 0; i < op->nin; i++) {
					int64_t x = ((int64_t)row * w + col) * LANES;
					const float *v = op->weights + (((int64_t)tap * op->nout + o) * op->nin + i) * BLOCK;
					for (int a = 0; a < op->depth[i]; a++)
						for (int l = 0; l < LANES; l++) sum[l] += element(&op->in[i], c, x + a * IMAGES + l % IMAGES) * v[a * LANES + l];
				}
			}
			for (int l = 0; l < LANES; l++) {
				float v = op->accumulate ? y[p * LANES + l] + sum[l] : sum[l];
				y[p * LANES + l] = v;
				if (op->slots && op->slots[o] >= 0) {
					c->sums[op->slots[o] + l / IMAGES] += v;
					c->sums[op->slots[o] + CHANNELS + l / IMAGES] += (double)v * v;
				}
			}
		}
	}
}

static void op_weightk(const nb_op *op, const nb_context *c) {
	int k = op->k, h = op->h, w = op->w;
	for (int o = 0; o < op->naux; o++) {
		for (int tap = 0; tap < k * k; tap++)
			for (int64_t p = 0; p < (int64_t)h * w; p++) {
				int row = (int)(p / w) + tap / k - k / 2, col = (int)(p % w) + tap % k - k / 2;
				if (row < 0 || row >= h || col < 0 || col >= w) continue;
				for (int i = 0; i < op->nin; i++) {
					int64_t x = ((int64_t)row * w + col) * LANES;
					float *d = c->gradients + op->slot + (((int64_t)tap * op->naux + o) * op->nin + i) * BLOCK;
					for (int a = 0; a < op->depth[i]; a++)
						for (int l = 0; l < LANES; l++) d[a * LANES + l] += element(&op->in[i], c, x + a * IMAGES + l % IMAGES) * element(&op->aux[o], c, p * LANES + l);
				}
			}
	}
}

// ---- Pooling

static int is_3x3(const nb_op *op) { return op->k == 3 && op->stride == 1 && op->pad == 1; }

// is_halving reports whether the windows are 2×2 pixels side by side, from outside of the
// plane on, as between cells.
static int is_halving(const nb_op *op) { return op->k == 2 && op->stride == 2 && op->pad == 1; }

// clip returns the part of a window that begins at `from` inside 0..n.
static inline int lower(int from) { return from < 0 ? 0 : from; }
static inline int upper(int to, int n) { return to > n ? n : to; }

static void pool_3x3(const float *x, float *y, int h, int w) {
	int64_t row = (int64_t)w * LANES;
	for (int i = 0; i < h; i++, x += row, y += row) {
		const float *r0 = i ? x - row : x, *r2 = i + 1 < h ? x + row : x;
		EACH_PART(l) {
#define COLUMN(j) MAX(MAX(LD(r0 + (j) * LANES + l), LD(x + (j) * LANES + l)), LD(r2 + (j) * LANES + l))
			vf here = COLUMN(0), before = here;
			for (int j = 0; j < w; j++) {
				vf next = j + 1 < w ? COLUMN(j + 1) : here;
				ST(y + (int64_t)j * LANES + l, MAX(MAX(before, here), next));
				before = here, here = next;
			}
#undef COLUMN
		}
	}
}

// HALVING goes over such windows. Their pixels are at p0 to p3, in floats, of which those
// outside are the one next to them once more, and their result is at y.
#define HALVING(op, l, ...) do { \
	for (int64_t i_ = 0, y = (l); i_ < (op)->oh; i_++) { \
		int64_t above_ = i_ ? 2 * i_ - 1 : 0, below_ = 2 * i_ < (op)->h ? 2 * i_ : above_; \
		for (int64_t j_ = 0; j_ < (op)->ow; j_++, y += LANES) { \
			int64_t left_ = j_ ? 2 * j_ - 1 : 0, right_ = 2 * j_ < (op)->w ? 2 * j_ : left_; \
			int64_t p0 = (above_ * (op)->w + left_) * LANES + (l), p1 = p0 + (right_ - left_) * LANES; \
			int64_t p2 = p0 + (below_ - above_) * (op)->w * LANES, p3 = p2 + (p1 - p0); \
			__VA_ARGS__ \
		} \
	} \
} while (0)

static void pool_halving(const nb_op *op, const float *x, float *to) {
	EACH_PART(l) HALVING(op, l, ST(to + y, MAX(MAX(MAX(LD(x + p0), LD(x + p1)), LD(x + p2)), LD(x + p3))););
}

static void op_pool(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0);
		float *y = at(&op->out[b], c);
		if (is_3x3(op)) {
			pool_3x3(x, y, op->h, op->w);
			continue;
		}
		if (is_halving(op)) {
			pool_halving(op, x, y);
			continue;
		}
		for (int i = 0; i < op->oh; i++)
			for (int j = 0; j < op->ow; j++, y += LANES) {
				int top = i * op->stride - op->pad, left = j * op->stride - op->pad;
				int row0 = lower(top), row1 = upper(top + op->k, op->h), col0 = lower(left), col1 = upper(left + op->k, op->w);
				EACH_PART(l) {
					vf m = LD(x + ((int64_t)row0 * op->w + col0) * LANES + l);
					for (int row = row0; row < row1; row++)
						for (int col = col0; col < col1; col++) m = MAX(m, LD(x + ((int64_t)row * op->w + col) * LANES + l));
					ST(y + l, m);
				}
			}
	}
}

// The first maximum of a 3×3 window in row-major order is in the first row
// whose own maximum is the largest, and there the first: so a gradient goes down
// its column to that row, then along the row. Only three rows of each kind are
// alive at a time.
static void row_maxima(const float *x, float *m, int w) {
	EACH_PART(l) {
		vf here = LD(x + l), before = here;
		for (int j = 0; j < w; j++) {
			vf next = j + 1 < w ? LD(x + (int64_t)(j + 1) * LANES + l) : here;
			ST(m + (int64_t)j * LANES + l, MAX(MAX(before, here), next));
			before = here, here = next;
		}
	}
}

// along_row spreads g, one entry a window, to the first maximum of each window
// of a row, and adds the inner product of the result with x to dot. What it
// writes, or adds, is the result times scale.
static inline __attribute__((always_inline)) void along_row(const float *x, const float *g, float *d, int w, const float *scale, float *dot, int add) {
	EACH_PART(l) {
		vf sum = LD(dot + l), factor = LD(scale + l), here = LD(x + l), before = here, done = ZERO, open = ZERO; // columns j-1 and j of d
		for (int j = 0; j < w; j++) {
			int64_t p = (int64_t)j * LANES + l;
			vf v = LD(g + p), next = here;
			vm right = NONE, mid = ALL;
			if (j > 0) mid = GT(here, before);
			if (j + 1 < w) {
				next = LD(x + p + LANES);
				right = GT(next, j > 0 ? MAX(before, here) : here);
			}
			vf to_left = KEEP(ANDNOT(OR(mid, right), ALL), v), to_mid = KEEP(ANDNOT(right, mid), v);
			if (j > 0) {
				done = ADD(done, to_left);
				ST(d + p - LANES, add ? FMA(factor, done, LD(d + p - LANES)) : MUL(factor, done));
				sum = FMA(done, before, sum);
			}
			done = ADD(open, to_mid);
			open = KEEP(right, v);
			before = here, here = next;
		}
		float *last = d + (int64_t)(w - 1) * LANES + l;
		ST(last, add ? FMA(factor, done, LD(last)) : MUL(factor, done));
		ST(dot + l, FMA(done, before, sum));
	}
}

static inline __attribute__((always_inline)) void pool_back_3x3(const float *x, const float *g, float *d, int h, int w, float *work, const float *scale, float *dot, int add) {
	int64_t row = (int64_t)w * LANES;
	float *maxima[3] = { work, work + row, work + 2 * row }, *open[3] = { work + 3 * row, work + 4 * row, work + 5 * row };
	row_maxima(x, maxima[0], w);
	for (int i = 0; i < h; i++) {
		float *m0 = maxima[(i + 2) % 3], *m1 = maxima[i % 3], *m2 = maxima[(i + 1) % 3];
		float *d0 = open[(i + 2) % 3], *d1 = open[i % 3], *d2 = open[(i + 1) % 3];
		int first = i == 0, last = i + 1 == h;
		if (!last) row_maxima(x + (i + 1) * row, m2, w);
		if (first) memset(d1, 0, sizeof(float) * row);
		const float *gi = g + i * row;
		for (int64_t p = 0; p < row; p += VL) {
			vf v = LD(gi + p), b = LD(m1 + p), top = b;
			vm mid = ALL, down = NONE;
			if (!first) {
				vf a = LD(m0 + p);
				mid = GT(b, a);
				top = MAX(a, b);
			}
			if (!last) {
				down = GT(LD(m2 + p), top);
				ST(d2 + p, KEEP(down, v));
			}
			if (!first) ST(d0 + p, ADD(LD(d0 + p), KEEP(ANDNOT(OR(mid, down), ALL), v)));
			ST(d1 + p, ADD(LD(d1 + p), KEEP(ANDNOT(down, mid), v)));
		}
		if (!first) along_row(x + (i - 1) * row, d0, d + (i - 1) * row, w, scale, dot, add);
	}
	along_row(x + (h - 1) * row, open[(h - 1) % 3], d + (h - 1) * row, w, scale, dot, add);
}

// FIRSTS lets f0 to f3 be where each pixel of such a window is its first maximum m. A pixel
// that is there twice is so in the first place alone.
#define FIRSTS(x) \
	vf x0 = LD(x + p0), x1 = LD(x + p1), x2 = LD(x + p2), x3 = LD(x + p3), m = MAX(MAX(MAX(x0, x1), x2), x3); \
	vm f0 = ANDNOT(GT(m, x0), ALL), found = f0; \
	vm f1 = ANDNOT(OR(found, GT(m, x1)), ALL); \
	found = OR(found, f1); \
	vm f2 = ANDNOT(OR(found, GT(m, x2)), ALL); \
	found = OR(found, f2); \
	vm f3 = ANDNOT(OR(found, GT(m, x3)), ALL);

static void pool_back_halving(const nb_op *op, const float *x, const float *g, float *d, const float *scale, float *dot) {
	EACH_PART(l) {
		vf factor = LD(scale + l), sum = ZERO;
		HALVING(op, l, {
			FIRSTS(x)
			vf v = LD(g + y);
			sum = FMA(v, m, sum);
			v = MUL(v, factor);
			ST(d + p3, KEEP(f3, v)), ST(d + p2, KEEP(f2, v)), ST(d + p1, KEEP(f1, v)), ST(d + p0, KEEP(f0, v)); // the first place last
		});
		ST(dot + l, sum);
	}
}

// EACH_MAXIMUM does ONE at every `place` of the window, `here` being where its first maximum
// is there.
#define EACH_MAXIMUM(op, x, i, j, l, ONE) do { \
	int top = (i) * (op)->stride - (op)->pad, left = (j) * (op)->stride - (op)->pad; \
	int row0 = lower(top), row1 = upper(top + (op)->k, (op)->h), col0 = lower(left), col1 = upper(left + (op)->k, (op)->w); \
	vf m = LD(x + ((int64_t)row0 * (op)->w + col0) * LANES + l); \
	for (int row = row0; row < row1; row++) \
		for (int col = col0; col < col1; col++) m = MAX(m, LD(x + ((int64_t)row * (op)->w + col) * LANES + l)); \
	vm found = NONE; \
	for (int row = row0; row < row1; row++) \
		for (int col = col0; col < col1; col++) { \
			int64_t place = ((int64_t)row * (op)->w + col) * LANES + l; \
			vm here = ANDNOT(OR(found, GT(m, LD(x + place))), ALL); \
			found = OR(found, here); \
			ONE \
		} \
} while (0)

static void op_pool_back(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), *g = whole(op, c, &op->aux[b], (int64_t)op->oh * op->ow, 1);
		float *d = at(&op->out[b], c), dot[LANES] = { 0 }, scale[LANES];
		for (int l = 0; l < LANES; l++) scale[l] = op->weights ? op->weights[b * CHANNELS + l / IMAGES] : 1;
		if (is_3x3(op)) {
			if (op->accumulate) pool_back_3x3(x, g, d, op->h, op->w, c->work, scale, dot, 1);
			else pool_back_3x3(x, g, d, op->h, op->w, c->work, scale, dot, 0);
		} else if (is_halving(op) && !op->accumulate) {
			pool_back_halving(op, x, g, d, scale, dot);
		} else {
			int64_t size = (int64_t)op->h * op->w * LANES;
			if (!op->accumulate) memset(d, 0, sizeof(float) * size);
			for (int i = 0; i < op->oh; i++)
				for (int j = 0; j < op->ow; j++, g += LANES)
					EACH_PART(l) {
						vf v = LD(g + l);
						EACH_MAXIMUM(op, x, i, j, l, ST(d + place, ADD(LD(d + place), KEEP(here, v))););
					}
			for (int64_t p = 0; p < size && !op->accumulate; p++) {
				dot[p % LANES] += d[p] * x[p];
				d[p] *= scale[p % LANES];
			}
		}
		if (op->slot >= 0)
			for (int l = 0; l < LANES; l++) c->sums[op->slot + b * CHANNELS + l / IMAGES] += dot[l];
	}
}

// The same in the other direction: the value at the first maximum of each row
// of a window, then that of the first row with the largest maximum.
static void row_taken(const float *x, const float *u, float *m, float *t, int w) {
	EACH_PART(l) {
		for (int j = 0; j < w; j++) {
			int64_t p = (int64_t)j * LANES + l;
			vf best = LD(x + (j ? p - LANES : p)), value = LD(u + (j ? p - LANES : p));
			for (int k = j ? 0 : 1; k <= (j + 1 < w); k++) {
				vf v = LD(x + p + k * LANES);
				vm more = GT(v, best);
				best = MAX(best, v);
				value = ADD(KEEP(more, LD(u + p + k * LANES)), KEEP(ANDNOT(more, ALL), value));
			}
			ST(m + p, best);
			ST(t + p, value);
		}
	}
}

static void pool_take_3x3(const float *x, const float *u, float *y, int h, int w, float *work) {
	int64_t row = (int64_t)w * LANES;
	float *maxima[3] = { work, work + row, work + 2 * row }, *taken[3] = { work + 3 * row, work + 4 * row, work + 5 * row };
	row_taken(x, u, maxima[0], taken[0], w);
	for (int i = 0; i < h; i++) {
		if (i + 1 < h) row_taken(x + (i + 1) * row, u + (i + 1) * row, maxima[(i + 1) % 3], taken[(i + 1) % 3], w);
		int from = i ? i - 1 : i, to = i + 1 < h ? i + 1 : i;
		for (int64_t p = 0; p < row; p += VL) {
			vf best = LD(maxima[from % 3] + p), value = LD(taken[from % 3] + p);
			for (int k = from + 1; k <= to; k++) {
				vf v = LD(maxima[k % 3] + p);
				vm more = GT(v, best);
				best = MAX(best, v);
				value = ADD(KEEP(more, LD(taken[k % 3] + p)), KEEP(ANDNOT(more, ALL), value));
			}
			ST(y + i * row + p, value);
		}
	}
}

static void pool_take_halving(const nb_op *op, const float *x, const float *u, float *to) {
	EACH_PART(l)
		HALVING(op, l, {
			FIRSTS(x)
			ST(to + y, ADD(ADD(KEEP(f0, LD(u + p0)), KEEP(f1, LD(u + p1))), ADD(KEEP(f2, LD(u + p2)), KEEP(f3, LD(u + p3)))));
		});
}

static void op_pool_take(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), *u = whole(op, c, &op->aux[b], (int64_t)op->h * op->w, 1);
		float *y = at(&op->out[b], c);
		if (is_3x3(op)) {
			pool_take_3x3(x, u, y, op->h, op->w, c->work);
			continue;
		}
		if (is_halving(op)) {
			pool_take_halving(op, x, u, y);
			continue;
		}
		for (int i = 0; i < op->oh; i++)
			for (int j = 0; j < op->ow; j++, y += LANES)
				EACH_PART(l) {
					vf value = ZERO;
					EACH_MAXIMUM(op, x, i, j, l, value = ADD(value, KEEP(here, LD(u + place))););
					ST(y + l, value);
				}
	}
}

#include "depthwise.h"

// ---- Small things

static void op_mean(const nb_op *op, const nb_context *c) {
	int64_t pixels = (int64_t)op->h * op->w;
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], pixels, 0);
		float *y = at(&op->out[b], c);
		EACH_PART(l) {
			vf s = ZERO;
			for (int64_t p = 0; p < pixels; p++) s = ADD(s, LD(x + p * LANES + l));
			ST(y + l, MUL(s, SET1(1.f / (float)pixels)));
		}
	}
}

static void op_mean_back(const nb_op *op, const nb_context *c) {
	int64_t pixels = (int64_t)op->oh * op->ow;
	for (int b = 0; b < op->nin; b++) {
		const float *g = at(&op->in[b], c);
		float *y = at(&op->out[b], c);
		EACH_PART(l) {
			vf v = MUL(LD(g + l), SET1(1.f / (float)pixels));
			for (int64_t p = 0; p < pixels; p++) ST(y + p * LANES + l, v);
		}
	}
}

// in_block is how many of the channels are in a block.
static int in_block(const nb_op *op, int b) { return op->channels - b * CHANNELS < CHANNELS ? op->channels - b * CHANNELS : CHANNELS; }

// Images that are side by side in planes follow each other in the vector.
static void op_load(const nb_op *op, const nb_context *c) {
	const float *x = at(&op->in[0], c);
	int64_t pixels = (int64_t)op->h * op->w;
	for (int b = 0; b < op->nout; b++) {
		float *y = at(&op->out[b], c);
		int n = in_block(op, b);
		for (int64_t p = 0; p < pixels; p++)
			for (int l = 0; l < CHANNELS; l++)
				for (int i = 0; i < IMAGES; i++)
					y[p * LANES + l * IMAGES + i] = l < n ? x[(i * op->channels + b * CHANNELS + l) * pixels + p] : 0;
	}
}

static void op_store(const nb_op *op, const nb_context *c) {
	float *y = at(&op->out[0], c);
	int64_t pixels = (int64_t)op->h * op->w;
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], pixels, 0);
		int n = in_block(op, b);
		for (int i = 0; i < IMAGES; i++)
			for (int l = 0; l < n; l++)
				for (int64_t p = 0; p < pixels; p++) y[(i * op->channels + b * CHANNELS + l) * pixels + p] = x[p * LANES + l * IMAGES + i];
	}
}

// A piece is VL lanes of a plane from which VL lanes of another take some.
typedef struct {
	const float *from;
	int32_t index[VL];
	float taken[VL]; // 1 where they do, else 0
} piece;

// pieces lists those of the lanes from h on of the plane that the moves go to, at
// least one, of which nothing may be taken.
static int pieces(const float *const *planes, const nb_move *first, const nb_move *end, int h, piece *list) {
	int n = 0;
	list[0] = (piece){ planes[first->src] };
	for (const nb_move *m = first; m < end; m++)
		EACH_PART(part) {
			piece p = { planes[m->src] + part };
			int some = 0;
			for (int l = 0; l < VL; l++) {
				int lane = m->lanes[(h + l) / IMAGES] * IMAGES + l % IMAGES - part;
				if (lane < 0 || lane >= VL) continue;
				p.index[l] = lane, p.taken[l] = 1, some = 1;
			}
			if (some) list[n++] = p;
		}
	return n > 0 ? n : 1;
}

// take makes VL lanes of a plane of n pieces.
static inline __attribute__((always_inline)) void take(int n, const piece *p, float *y, int64_t pixels) {
	const float *x0 = p[0].from, *x1 = x0, *x2 = x0, *x3 = x0;
	vi i0 = LDI(p[0].index), i1 = i0, i2 = i0, i3 = i0;
	vm m0 = GT(LD(p[0].taken), ZERO), m1 = m0, m2 = m0, m3 = m0;
	if (n > 1) x1 = p[1].from, i1 = LDI(p[1].index), m1 = GT(LD(p[1].taken), ZERO);
	if (n > 2) x2 = p[2].from, i2 = LDI(p[2].index), m2 = GT(LD(p[2].taken), ZERO);
	if (n > 3) x3 = p[3].from, i3 = LDI(p[3].index), m3 = GT(LD(p[3].taken), ZERO);
	for (int64_t i = 0; i < pixels * LANES; i += LANES) {
		vf v = KEEP(m0, PERMUTE(i0, LD(x0 + i)));
		if (n > 1) v = MERGE(m1, PERMUTE(i1, LD(x1 + i)), v);
		if (n > 2) v = MERGE(m2, PERMUTE(i2, LD(x2 + i)), v);
		if (n > 3) v = MERGE(m3, PERMUTE(i3, LD(x3 + i)), v);
		for (int k = 4; k < n; k++) v = MERGE(GT(LD(p[k].taken), ZERO), PERMUTE(LDI(p[k].index), LD(p[k].from + i)), v);
		ST(y + i, v);
	}
}

static void op_repack(const nb_op *op, const nb_context *c) {
	int64_t pixels = (int64_t)op->h * op->w;
	const float *x[MAX_PLANES];
	for (int i = 0; i < op->nin; i++) x[i] = whole(op, c, &op->in[i], pixels, i);
	for (const nb_move *m = op->moves, *end; m < op->moves + op->count; m = end) {
		for (end = m; end < op->moves + op->count && end->block == m->block; end++) {}
		EACH_PART(h) {
			piece list[LANES];
			float *y = at(&op->out[m->block], c) + h;
			int n = pieces(x, m, end, h, list);
			switch (n) {
			case 1: take(1, list, y, pixels); break;
			case 2: take(2, list, y, pixels); break;
			case 3: take(3, list, y, pixels); break;
			case 4: take(4, list, y, pixels); break;
			default: take(n, list, y, pixels);
			}
		}
	}
}

// narrow stores a plane in bfloat16, and rounds it where it is if asked.
static void narrow(float *x, uint16_t *y, int64_t floats, int far, int round) {
	for (int64_t i = 0; i < floats; i += VL) {
		vf v = ROUND(LD(x + i));
		if (round) ST(x + i, v);
		if (far) STREAMH(y + i, v);
		else STH(y + i, v);
	}
}

static void op_stream(const nb_op *op, const nb_context *c) {
	int64_t floats = (int64_t)op->h * op->w * LANES;
	for (int b = 0; b < op->nin; b++) {
		float *x = at(&op->in[b], c), *y = at(&op->out[b], c);
		if (is_half(&op->out[b])) narrow(x, (uint16_t *)y, floats, op->far, op->round);
		else
			for (int64_t i = 0; i < floats; i += VL) STREAM(y + i, LD(x + i));
	}
}

// The loss is computed in double: there is little of it, and everything else
// hangs on it. Each image has its own.
static inline float *entry(const nb_ref *planes, const nb_context *c, int i, int image) {
	return at(&planes[i / CHANNELS], c) + i % CHANNELS * IMAGES + image;
}

static double softmax(const nb_op *op, const nb_context *c, int image, double *p) {
	double top = -INFINITY, sum = 0;
	for (int i = 0; i < op->channels; i++) {
		p[i] = *entry(op->in, c, i, image);
		if (p[i] > top || p[i] != p[i]) top = p[i];
	}
	for (int i = 0; i < op->channels; i++) {
		p[i] = exp(p[i] - top);
		sum += p[i];
	}
	for (int i = 0; i < op->channels; i++) p[i] /= sum;
	return top + log(sum);
}

#define EACH_IMAGE(k) for (int k = 0; k < IMAGES; k++)

static void op_loss(const nb_op *op, const nb_context *c) { // in: logits, aux: labels
	double p[MAX_PLANES * CHANNELS];
	EACH_IMAGE(k) {
		double total = 0, log_sum = softmax(op, c, k, p);
		for (int i = 0; i < op->channels; i++) total += *entry(op->aux, c, i, k) * (log_sum - *entry(op->in, c, i, k));
		c->sums[op->slot] += total * op->scale;
	}
}

static void clear_outputs(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nout; b++) memset(at(&op->out[b], c), 0, sizeof(float) * LANES);
}

static void op_loss_back(const nb_op *op, const nb_context *c) { // in: logits, aux: labels, weights: the seed
	double p[MAX_PLANES * CHANNELS], s = op->weights[0];
	clear_outputs(op, c);
	EACH_IMAGE(k) {
		softmax(op, c, k, p);
		for (int i = 0; i < op->channels; i++) *entry(op->out, c, i, k) = (float)(s * (p[i] - *entry(op->aux, c, i, k)) * op->scale);
	}
}

static void op_loss_back_back(const nb_op *op, const nb_context *c) { // in: logits, aux: u, weights: the seed
	double p[MAX_PLANES * CHANNELS], s = op->weights[0];
	clear_outputs(op, c);
	EACH_IMAGE(k) {
		double mean = 0;
		softmax(op, c, k, p);
		for (int i = 0; i < op->channels; i++) mean += p[i] * *entry(op->aux, c, i, k);
		for (int i = 0; i < op->channels; i++) *entry(op->out, c, i, k) = (float)(s * p[i] * (*entry(op->aux, c, i, k) - mean) * op->scale);
	}
}

static void op_loss_dot(const nb_op *op, const nb_context *c) { // in: logits, aux: labels, then u
	double p[MAX_PLANES * CHANNELS];
	EACH_IMAGE(k) {
		double total = 0;
		softmax(op, c, k, p);
		for (int i = 0; i < op->channels; i++) total += (p[i] - *entry(op->aux, c, i, k)) * *entry(op->aux + op->nin, c, i, k);
		c->sums[op->slot] += total * op->scale;
	}
}

static const nb_kernel table[OP_COUNT] = {
	[OP_COMBINE] = op_combine, [OP_REDUCE] = op_reduce,
	[OP_CONV1] = op_conv1, [OP_CONV3] = op_conv3, [OP_CONVK] = op_convk,
	[OP_WEIGHT1] = op_weight1, [OP_WEIGHT3] = op_weight3, [OP_WEIGHTK] = op_weightk,
	[OP_POOL] = op_pool, [OP_POOL_BACK] = op_pool_back, [OP_POOL_TAKE] = op_pool_take,
	[OP_DEPTH] = op_depth, [OP_DEPTH_BACK] = op_depth_back, [OP_DEPTH_WEIGHT] = op_depth_weight,
	[OP_AVERAGE] = op_average, [OP_AVERAGE_BACK] = op_average_back,
	[OP_SUBSAMPLE] = op_subsample, [OP_SPREAD] = op_spread, [OP_MASK] = op_mask,
	[OP_MEAN] = op_mean, [OP_MEAN_BACK] = op_mean_back,
	[OP_LOAD] = op_load, [OP_STORE] = op_store, [OP_REPACK] = op_repack,
	[OP_LOSS] = op_loss, [OP_LOSS_BACK] = op_loss_back, [OP_LOSS_BACK_BACK] = op_loss_back_back, [OP_LOSS_DOT] = op_loss_dot,
	[OP_STREAM] = op_stream,
};
