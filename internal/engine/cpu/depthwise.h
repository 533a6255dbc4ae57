// Depthwise convolutions, average-pooling and what else goes over windows of one
// channel. Included by kernels.h.
//
// All lanes do the same, so a window is a list of taps, each a place in the input and a
// vector of weights. Rows of the input go through a ring of rows with zeros at both ends,
// which also is where they are rectified: so the taps need no look at the borders, and a
// row stays in the nearest cache for as long as windows reach it.

enum { MAX_WINDOW = 15, MAX_TAPS = MAX_WINDOW * MAX_WINDOW }; // Go checks it

typedef struct {
	int n;
	const float *x[MAX_TAPS], *w[MAX_TAPS];
} taps;

// outputs is a row of results, or every step / LANES-th of it.
typedef struct {
	float *y;
	int64_t step;      // floats from one to the next
	int accumulate;    // add to what is there
	const float *mask; // those that are not positive times coef[0] plus coef[1] count as 0; or NULL
	const float *coef; // slope and shift, LANES apart
} outputs;

static inline __attribute__((always_inline)) void put(const outputs *o, int64_t at, int64_t l, vf v) {
	if (o->mask) v = KEEP(GT(FMA(LD(o->coef + l), LD(o->mask + at), LD(o->coef + LANES + l)), ZERO), v);
	if (o->accumulate) v = ADD(v, LD(o->y + at));
	ST(o->y + at, v);
}

// window_N_S computes N results of windows that are S pixels apart: Σ over the taps of
// weight·x, x being off the taps' places.
#define DECLARE(n) vf a##n = ZERO;
#define MULTIPLY(n) a##n = FMA(v, LD(p + (n) * STEP), a##n);
#define PUT(n) put(o, at + l + (n) * o->step, l, a##n);
#define WINDOW(N, S) \
	static void window_##N##_##S(const taps *t, int64_t off, const outputs *o, int64_t at) { \
		enum { STEP = S * LANES }; \
		EACH_PART(l) { \
			REPEAT(N, DECLARE) \
			for (int i = 0; i < t->n; i++) { \
				const float *p = t->x[i] + off + l; \
				vf v = LD(t->w[i] + l); \
				REPEAT(N, MULTIPLY) \
			} \
			REPEAT(N, PUT) \
		} \
	}
#define WINDOWS(S) WINDOW(1, S) WINDOW(2, S) WINDOW(3, S) WINDOW(4, S) WINDOW(5, S) WINDOW(6, S) WINDOW(7, S) WINDOW(8, S)
WINDOWS(1)
WINDOWS(2)
typedef void (*window)(const taps *, int64_t, const outputs *, int64_t);
#if VL == 16
#define MORE_WINDOWS(S) WINDOW(9, S) WINDOW(10, S) WINDOW(11, S) WINDOW(12, S) WINDOW(13, S) WINDOW(14, S) WINDOW(15, S) WINDOW(16, S)
MORE_WINDOWS(1)
MORE_WINDOWS(2)
enum { WINDOW_PIXELS = 16 };
#define LIST(S) { 0, window_1_##S, window_2_##S, window_3_##S, window_4_##S, window_5_##S, window_6_##S, window_7_##S, window_8_##S, \
	window_9_##S, window_10_##S, window_11_##S, window_12_##S, window_13_##S, window_14_##S, window_15_##S, window_16_##S }
#else
enum { WINDOW_PIXELS = 8 };
#define LIST(S) { 0, window_1_##S, window_2_##S, window_3_##S, window_4_##S, window_5_##S, window_6_##S, window_7_##S, window_8_##S }
#endif
static const window windows[2][WINDOW_PIXELS + 1] = { LIST(1), LIST(2) };
#undef DECLARE
#undef MULTIPLY
#undef PUT

// window_row computes n results of windows that are stride pixels apart.
static void window_row(const taps *t, int stride, const outputs *o, int64_t n) {
	if (stride > 2) {
		for (int64_t p = 0; p < n; p++) windows[0][1](t, p * stride * LANES, o, p * o->step);
		return;
	}
	if (n <= 0) return;
	cut c = cut_into(n, WINDOW_PIXELS);
	for (int64_t r = 0, p = 0; r < c.runs; p += run_length(c, r++))
		windows[stride - 1][run_length(c, r)](t, p * stride * LANES, o, p * o->step);
}

// fill writes a row of pixels where a row of the ring has them, rectified if coef says
// how.
static inline void fill(float *to, const float *x, int64_t pixels, const float *coef) {
	if (!coef) {
		memcpy(to, x, sizeof(float) * LANES * pixels);
		return;
	}
	EACH_PART(l) {
		vf s = LD(coef + l), t = LD(coef + LANES + l);
		for (int64_t p = l; p < pixels * LANES; p += LANES) {
			__builtin_prefetch(x + p + AHEAD);
			ST(to + p, MAX(ZERO, FMA(s, LD(x + p), t)));
		}
	}
}

// A reader goes through the rows of a plane from the first to the last.
typedef struct {
	nb_ring ring;
	float *rows;
	const float *x;
	int64_t h, w, pixels; // of x; pixels of each row that the ring has
	int64_t next;         // row that is not in the ring
	const float *coef;    // to rectify, or NULL
} reader;

static reader reader_of(nb_ring ring, float *rows, const float *x, int64_t h, int64_t w, const float *coef) {
	memset(rows, 0, sizeof(float) * ring.rows * ring.length * LANES);
	int64_t room = ring.length - ring.left;
	return (reader){ ring, rows, x, h, w, w < room ? w : room, 0, coef };
}

static inline float *ring_row(const reader *r, int64_t row) { return r->rows + row % r->ring.rows * r->ring.length * LANES; }

// read_to lets the ring have the rows from..to of the plane, if there are such.
static void read_to(reader *r, int64_t from, int64_t to) {
	if (r->next < from) r->next = from;
	for (; r->next <= to && r->next < r->h; r->next++)
		fill(ring_row(r, r->next) + r->ring.left * LANES, r->x + r->next * r->w * LANES, r->pixels, r->coef);
}

// forward goes over a plane with windows whose taps' weights are `between` floats apart.
static void forward(const nb_op *op, reader *r, const float *w, int64_t between, float *y) {
	taps t;
	int d = op->dilation, k = op->k;
	for (int64_t i = 0; i < op->oh; i++) {
		int64_t top = i * op->stride - op->pad;
		read_to(r, top, top + (int64_t)(k - 1) * d);
		t.n = 0;
		for (int a = 0; a < k; a++) {
			int64_t row = top + (int64_t)a * d;
			if (row < 0 || row >= op->h) continue;
			const float *x = ring_row(r, row);
			for (int b = 0; b < k; b++, t.n++) t.x[t.n] = x + (int64_t)b * d * LANES, t.w[t.n] = w + (a * k + b) * between;
		}
		outputs o = { y + i * op->ow * LANES, LANES };
		window_row(&t, op->stride, &o, op->ow);
	}
}

// backward goes over a plane with what forward's windows are seen from their input: for
// every row and each of the first stride columns the taps that reach it from a row and a
// column of theirs.
static void backward(const nb_op *op, reader *r, const float *w, int64_t between, float *y, int accumulate, const float *mask, const float *coef) {
	taps t;
	int d = op->dilation, k = op->k, s = op->stride, reach = (k - 1) * d;
	for (int64_t i = 0; i < op->oh; i++) {
		int64_t below = i + op->pad; // of the window's first row from the input's in question
		int64_t first = below - reach;
		read_to(r, first <= 0 ? 0 : (first + s - 1) / s, below / s);
		for (int q = 0; q < s && q < op->ow; q++) {
			t.n = 0;
			for (int a = 0; a < k; a++) {
				int64_t row = below - (int64_t)a * d;
				if (row < 0 || row % s != 0 || row / s >= op->h) continue;
				const float *x = ring_row(r, row / s) + r->ring.left * LANES;
				for (int b = 0; b < k; b++) {
					int64_t col = q + op->pad - (int64_t)b * d;
					if ((col % s + s) % s != 0) continue;
					t.x[t.n] = x + (col - (col % s + s) % s) / s * LANES, t.w[t.n] = w + (a * k + b) * between, t.n++;
				}
			}
			int64_t at = (i * op->ow + q) * LANES;
			outputs o = { y + at, (int64_t)s * LANES, accumulate, mask ? mask + at : 0, coef };
			window_row(&t, 1, &o, (op->ow - q + s - 1) / s);
		}
	}
}

static const float *affine_of(const nb_op *op, int plane) { return op->coef ? op->coef + plane * 2 * LANES : 0; }

static void op_depth(const nb_op *op, const nb_context *c) {
	nb_ring ring = nb_ring_of(op);
	for (int b = 0; b < op->nin; b++) {
		reader r = reader_of(ring, c->work, at(&op->in[b], c), op->h, op->w, affine_of(op, b));
		forward(op, &r, op->weights + (int64_t)b * op->k * op->k * LANES, LANES, at(&op->out[b], c));
	}
}

static void op_depth_back(const nb_op *op, const nb_context *c) {
	nb_ring ring = nb_ring_of(op);
	for (int b = 0; b < op->nin; b++) {
		reader r = reader_of(ring, c->work, at(&op->in[b], c), op->h, op->w, 0);
		backward(op, &r, op->weights + (int64_t)b * op->k * op->k * LANES, LANES, at(&op->out[b], c), op->accumulate,
			op->naux ? at(&op->aux[b], c) : 0, affine_of(op, b));
	}
}

// correlate_N adds Σ over n pixels of x·g to the N vectors of d, x being `between` floats
// further for each and `step` further for every pixel. Two sums of each take turns, so that
// none waits for itself.
#define DECLARE(n) vf a##n = ZERO, b##n = ZERO;
#define FIRST(n) a##n = FMA(LD(x + (n) * between), v, a##n);
#define SECOND(n) b##n = FMA(LD(x + (n) * between), v, b##n);
#define STORE(n) ST(d + (n) * LANES, ADD(LD(d + (n) * LANES), ADD(a##n, b##n)));
#define CORRELATE(N) \
	static void correlate_##N(const float *x, int64_t between, int64_t step, const float *g, float *d, int64_t n) { \
		REPEAT(N, DECLARE) \
		const float *end = g + n * LANES; \
		for (; g + LANES < end; g += 2 * LANES) { \
			vf v = LD(g); \
			REPEAT(N, FIRST) \
			x += step, v = LD(g + LANES); \
			REPEAT(N, SECOND) \
			x += step; \
		} \
		if (g < end) { \
			vf v = LD(g); \
			REPEAT(N, FIRST) \
		} \
		REPEAT(N, STORE) \
	}
CORRELATE(1) CORRELATE(2) CORRELATE(3) CORRELATE(4) CORRELATE(5) CORRELATE(6) CORRELATE(7)
enum { CORRELATED = 7 };
typedef void (*correlate)(const float *, int64_t, int64_t, const float *, float *, int64_t);
static const correlate correlates[] = { 0, correlate_1, correlate_2, correlate_3, correlate_4, correlate_5, correlate_6, correlate_7 };
#undef DECLARE
#undef FIRST
#undef SECOND
#undef STORE

static void op_depth_weight(const nb_op *op, const nb_context *c) {
	nb_ring ring = nb_ring_of(op);
	int d = op->dilation, k = op->k;
	for (int b = 0; b < op->nin; b++) {
		reader r = reader_of(ring, c->work, at(&op->in[b], c), op->h, op->w, affine_of(op, b));
		const float *g = at(&op->aux[b], c);
		float *dw = c->gradients + op->slot + (int64_t)b * k * k * LANES;
		for (int64_t i = 0; i < op->oh; i++, g += (int64_t)op->ow * LANES) {
			int64_t top = i * op->stride - op->pad;
			read_to(&r, top, top + (int64_t)(k - 1) * d);
			for (int a = 0; a < k; a++) {
				int64_t row = top + (int64_t)a * d;
				if (row < 0 || row >= op->h) continue;
				for (int from = 0; from < k; from += CORRELATED) {
					int n = k - from < CORRELATED ? k - from : CORRELATED;
					EACH_PART(l)
						correlates[n](ring_row(&r, row) + (int64_t)from * d * LANES + l, (int64_t)d * LANES, (int64_t)op->stride * LANES,
							g + l, dw + (a * k + from) * LANES + l, op->ow);
				}
			}
		}
	}
}

// share is one divided by how many of the `size` pixels of a row or a column are in the
// i-th window.
static inline float share(const nb_op *op, int64_t i, int64_t size) {
	int64_t from = i * op->stride - op->pad, to = from + op->k;
	return 1.f / (float)((to > size ? size : to) - (from < 0 ? 0 : from));
}

static void op_average(const nb_op *op, const nb_context *c) {
	nb_ring ring = nb_ring_of(op);
	float one[LANES];
	for (int l = 0; l < LANES; l++) one[l] = 1;
	for (int b = 0; b < op->nin; b++) {
		reader r = reader_of(ring, c->work, at(&op->in[b], c), op->h, op->w, 0);
		float *y = at(&op->out[b], c);
		forward(op, &r, one, 0, y);
		for (int64_t i = 0; i < op->oh; i++)
			for (int64_t j = 0; j < op->ow; j++, y += LANES) {
				vf factor = SET1(share(op, i, op->h) * share(op, j, op->w));
				EACH_PART(l) ST(y + l, MUL(factor, LD(y + l)));
			}
	}
}

// The gradient, divided, goes behind the ring in the work area.
static void op_average_back(const nb_op *op, const nb_context *c) {
	nb_ring ring = nb_ring_of(op);
	float one[LANES], *scaled = c->work + ring.rows * ring.length * LANES;
	for (int l = 0; l < LANES; l++) one[l] = 1;
	for (int b = 0; b < op->nin; b++) {
		const float *g = at(&op->in[b], c);
		for (int64_t i = 0, p = 0; i < op->h; i++)
			for (int64_t j = 0; j < op->w; j++, p++) {
				vf factor = SET1(share(op, i, op->oh) * share(op, j, op->ow));
				EACH_PART(l) ST(scaled + p * LANES + l, MUL(factor, LD(g + p * LANES + l)));
			}
		reader r = reader_of(ring, c->work, scaled, op->h, op->w, 0);
		backward(op, &r, one, 0, at(&op->out[b], c), 0, 0, 0);
	}
}

// ---- Subsampling: windows of one pixel

static void op_subsample(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *x = at(&op->in[b], c);
		float *y = at(&op->out[b], c);
		for (int64_t i = 0; i < op->oh; i++)
			for (int64_t j = 0; j < op->ow; j++, y += LANES)
				memcpy(y, x + ((i * op->stride - op->pad) * op->w + j * op->stride - op->pad) * LANES, sizeof(float) * LANES);
	}
}

static void op_spread(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *g = at(&op->in[b], c);
		float *y = at(&op->out[b], c);
		memset(y, 0, sizeof(float) * LANES * op->oh * op->ow);
		for (int64_t i = 0; i < op->h; i++)
			for (int64_t j = 0; j < op->w; j++, g += LANES)
				memcpy(y + ((i * op->stride - op->pad) * op->ow + j * op->stride - op->pad) * LANES, g, sizeof(float) * LANES);
	}
}

static void op_mask(const nb_op *op, const nb_context *c) {
	int64_t floats = (int64_t)op->h * op->w * LANES;
	for (int b = 0; b < op->nin; b++) {
		const float *x = at(&op->in[b], c), *m = at(&op->aux[b], c);
		float *y = at(&op->out[b], c);
		for (int64_t i = 0; i < floats; i += VL) ST(y + i, MUL(LD(x + i), LD(m + i)));
	}
}
