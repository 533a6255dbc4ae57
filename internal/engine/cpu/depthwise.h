// Depthwise convolutions, average-pooling and what else goes over windows of one
// channel. Included by kernels.h.
//
// All lanes do the same, so a window is some rows of taps, each a place in the input and a
// vector of weights. Rows of the input go through a ring of rows with zeros at both ends,
// which also is where they are rectified: so the taps need no look at the borders, and a
// row stays in the nearest cache for as long as windows reach it.

enum { MAX_WINDOW = 15, MAX_ROWS = MAX_WINDOW * MAX_WINDOW }; // Go checks it; a row of taps may be just one

// The taps of a window, row by row: the first one's place in the input, and its weights.
typedef struct {
	int n;
	const float *x[MAX_ROWS], *w[MAX_ROWS];
	int64_t between; // floats from the weights of a tap to those of the next
} taps;

static inline void add_taps(taps *t, const float *x, const float *w) { t->x[t->n] = x, t->w[t->n] = w, t->n++; }

// outputs is a row of results, or every step / LANES-th of it.
typedef struct {
	float *y;
	int64_t step;      // floats from one to the next
	int accumulate;    // add to what is there
	int far;           // store past the caches, which is for whole lines
	const float *mask; // those that are not positive times coef[0] plus coef[1] count as 0; or NULL
	const float *coef; // slope and shift, CHANNELS apart
} outputs;

// window_N_K_S_D computes N results of windows that are S pixels apart, with K taps in a
// row that are D pixels apart: Σ over the taps of weight·x, x being off the taps' places.
// An x serves several results while it is in a register.
#define X(n, t) LD(p + ((n) * STEP + (t) * DILATION) * LANES)
#define DECLARE(n) vf a##n = ZERO;
#define WEIGHT(t) vf w##t = LD(v + (t) * t_->between);
#define TAP(n, t) a##n = FMA(w##t, X(n, t), a##n);
#define TAPS_1(n) TAP(n, 0)
#define TAPS_2(n) TAPS_1(n) TAP(n, 1)
#define TAPS_3(n) TAPS_2(n) TAP(n, 2)
#define TAPS_5(n) TAPS_3(n) TAP(n, 3) TAP(n, 4)
#define PUT(n) ST(y + (n) * LANES, a##n);
#define PUT_FAR(n) STREAM(y + (n) * LANES, a##n);
#define SPREAD(n) ST(y + (n) * step, a##n);
#define ADD_UP(n) ST(y + (n) * step, ADD(LD(y + (n) * step), a##n));
#define MASK(n) a##n = KEEP(GT(FMA(slope, LD(m + (n) * step), shift), ZERO), a##n);
#define WINDOW(N, K, S, D) \
	static void window_##N##_##K##_##S##_##D(const taps *t_, int64_t off, const outputs *o, int64_t at) { \
		enum { STEP = S, DILATION = D }; \
		EACH_PART(l) { \
			REPEAT(N, DECLARE) \
			for (int i = 0; i < t_->n; i++) { \
				const float *p = t_->x[i] + off + l, *v = t_->w[i] + l; \
				REPEAT(K, WEIGHT) \
				REPEAT(N, TAPS_##K) \
			} \
			float *y = o->y + at + l; \
			int64_t step = o->step; \
			if (o->mask) { \
				const float *m = o->mask + at + l; \
				vf slope = EXPAND(o->coef + l), shift = EXPAND(o->coef + CHANNELS + l); \
				REPEAT(N, MASK) \
			} \
			if (o->accumulate) { REPEAT(N, ADD_UP) } \
			else if (VL == LANES && o->far) { REPEAT(N, PUT_FAR) } \
			else if (step == LANES) { REPEAT(N, PUT) } \
			else { REPEAT(N, SPREAD) } \
		} \
	}
typedef void (*window)(const taps *, int64_t, const outputs *, int64_t);
// At most eight results at once, so that the fetching between windows is spread out: in
// bursts of 16 lines it holds up what comes after it.
enum { WINDOW_SIZES = 4 }; // 1, 2, 4, 8 results
#define WINDOWS(K, S, D) WINDOW(1, K, S, D) WINDOW(2, K, S, D) WINDOW(4, K, S, D) WINDOW(8, K, S, D) \
	static const window windows_##K##_##S##_##D[] = { window_1_##K##_##S##_##D, window_2_##K##_##S##_##D, window_4_##K##_##S##_##D, \
		window_8_##K##_##S##_##D };
WINDOWS(1, 1, 1) WINDOWS(1, 2, 1) WINDOWS(2, 1, 1)
WINDOWS(3, 1, 1) WINDOWS(3, 1, 2) WINDOWS(3, 2, 1) WINDOWS(3, 2, 2)
WINDOWS(5, 1, 1) WINDOWS(5, 1, 2) WINDOWS(5, 2, 1) WINDOWS(5, 2, 2)
#undef X
#undef DECLARE
#undef WEIGHT
#undef TAP
#undef PUT
#undef PUT_FAR
#undef SPREAD
#undef ADD_UP
#undef MASK

// windows_of is the kernels of windows with k taps in a row, `stride` pixels apart and
// themselves `dilation`, or NULL if there are none: then every tap is a row.
static const window *windows_of(int k, int stride, int dilation) {
	if (k == 1) return stride == 1 ? windows_1_1_1 : stride == 2 ? windows_1_2_1 : 0;
	if (stride > 2 || dilation > 2) return 0;
	int which = stride * 2 + dilation - 3;
	if (k == 3) return (const window *const[]){ windows_3_1_1, windows_3_1_2, windows_3_2_1, windows_3_2_2 }[which];
	if (k == 5) return (const window *const[]){ windows_5_1_1, windows_5_1_2, windows_5_2_1, windows_5_2_2 }[which];
	return k == 2 && which == 0 ? windows_2_1_1 : 0;
}

// window_row computes n results of windows that are stride pixels apart. Without kernels
// for them it makes one after another.
static void window_row(const window *kernels, const taps *t, int stride, const outputs *o, int64_t n, nb_stream *stream) {
	int size = kernels ? WINDOW_SIZES - 1 : 0;
	if (!kernels) kernels = windows_1_1_1;
	for (int64_t p = 0; p < n; p += (int64_t)1 << size) {
		while (n - p < (int64_t)1 << size) size--;
		fetch(stream, 1 << size);
		kernels[size](t, p * stride * LANES, o, p * o->step);
	}
}

// fill writes a row of pixels where a row of the ring has them, rectified if coef says
// how.
static inline void fill(float *to, const float *x, int64_t pixels, const float *coef) {
	if (!coef) {
		for (int64_t p = 0; p < pixels * LANES; p += VL) {
			__builtin_prefetch(x + p + AHEAD);
			ST(to + p, LD(x + p));
		}
		return;
	}
	EACH_PART(l) {
		vf s = EXPAND(coef + l), t = EXPAND(coef + CHANNELS + l);
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
	int64_t next;         // the next row that is not in the ring
	const float *coef;    // to rectify, or NULL
} reader;

// reader_of makes one for planes of an instruction, which go through it one after another.
static reader reader_of(const nb_op *op, float *rows) {
	nb_ring ring = nb_ring_of(op);
	memset(rows, 0, sizeof(float) * ring.rows * ring.length * LANES);
	int64_t room = ring.length - ring.left;
	return (reader){ .ring = ring, .rows = rows, .h = op->h, .w = op->w, .pixels = op->w < room ? op->w : room };
}

static void begin(reader *r, const float *x, const float *coef) { r->x = x, r->coef = coef, r->next = 0; }

static inline float *ring_row(const reader *r, int64_t row) { return r->rows + row % r->ring.rows * r->ring.length * LANES; }

// read_to lets the ring have the rows from..to of the plane, if there are such.
static void read_to(reader *r, int64_t from, int64_t to) {
	if (r->next < from) r->next = from;
	for (; r->next <= to && r->next < r->h; r->next++)
		fill(ring_row(r, r->next) + r->ring.left * LANES, r->x + r->next * r->w * LANES, r->pixels, r->coef);
}

// forward goes over a plane with windows of op->k² taps.
static void forward(const nb_op *op, reader *r, const float *w, float *y, nb_stream *stream) {
	int d = op->dilation, k = op->k, s = op->stride;
	taps t = { .between = LANES };
	const window *kernels = windows_of(k, s, d);
	int together = kernels != 0;
	if (!together) kernels = windows_of(1, s, 1);
	for (int64_t i = 0; i < op->oh; i++) {
		int64_t top = i * s - op->pad;
		read_to(r, top, top + (int64_t)(k - 1) * d);
		t.n = 0;
		for (int a = 0; a < k; a++) {
			int64_t row = top + (int64_t)a * d;
			if (row < 0 || row >= op->h) continue;
			for (int b = 0; b < (together ? 1 : k); b++)
				add_taps(&t, ring_row(r, row) + (int64_t)b * d * LANES, w + (a * k + b) * LANES);
		}
		outputs o = { .y = y + i * op->ow * LANES, .step = LANES, .far = op->far };
		window_row(kernels, &t, s, &o, op->ow, stream);
	}
}

// The taps in a row that reach a column, and the same for a row: every `apart`-th one from
// the last, so that the places in the input that they reach it from go up from `from`.
typedef struct {
	int last, n;
	int64_t from; // of the last tap; that of the next is `apart` times the dilation, by the stride, further
} reaching;

static reaching reaching_of(const nb_op *op, int64_t place, int apart) {
	int last = op->k - 1;
	if (op->stride > 1)
		while (last >= 0 && (place + op->pad + (int64_t)(op->stride - 1) * last * op->dilation) % op->stride != 0) last--;
	if (last < 0) return (reaching){ 0 };
	int64_t from = place + op->pad - (int64_t)last * op->dilation;
	return (reaching){ last, last / apart + 1, op->stride > 1 ? from / op->stride : from }; // no remainder
}

// backward goes over a plane with what forward's windows are seen from their input: for
// every row and each of the first stride columns the taps that reach it.
static void backward(const nb_op *op, reader *r, const float *w, float *y, const float *mask, const float *coef, nb_stream *stream) {
	int k = op->k, s = op->stride, apart = 1;
	while (apart * op->dilation % s != 0) apart++;
	int further = apart * op->dilation / s;
	reaching columns[MAX_WINDOW]; // of each of the first stride columns
	const window *kernels[MAX_WINDOW];
	for (int q = 0; q < s; q++) {
		columns[q] = reaching_of(op, q, apart);
		kernels[q] = windows_of(columns[q].n, 1, further);
	}
	taps t = { .between = -(int64_t)apart * LANES };
	for (int64_t i = 0; i < op->oh; i++) {
		reaching rows = reaching_of(op, i, apart);
		read_to(r, rows.from < 0 ? 0 : rows.from, rows.from + (int64_t)(rows.n - 1) * further);
		for (int q = 0; q < s && q < op->ow; q++) {
			const window *kernel = kernels[q] ? kernels[q] : windows_1_1_1;
			t.n = 0;
			for (int a = rows.n - 1; a >= 0; a--) {
				int64_t row = rows.from + (int64_t)a * further;
				if (row < 0 || row >= op->h) continue;
				const float *x = ring_row(r, row) + (columns[q].from + r->ring.left) * LANES;
				const float *v = w + ((rows.last - a * apart) * k + columns[q].last) * LANES;
				for (int b = 0; b < (kernels[q] ? columns[q].n > 0 : columns[q].n); b++)
					add_taps(&t, x + (int64_t)b * further * LANES, v - (int64_t)b * apart * LANES);
			}
			int64_t at = (i * op->ow + q) * LANES;
			outputs o = { y + at, (int64_t)s * LANES, op->accumulate, op->far && s == 1, mask ? mask + at : 0, coef };
			window_row(kernel, &t, 1, &o, s == 1 ? op->ow : (op->ow - q + s - 1) / s, stream);
		}
	}
}

static const float *affine_of(const nb_op *op, int plane) { return op->coef ? op->coef + plane * 2 * CHANNELS : 0; }

static void op_depth(const nb_op *op, const nb_context *c) {
	reader r = reader_of(op, c->work);
	for (int b = 0; b < op->nin; b++) {
		begin(&r, whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), affine_of(op, b));
		forward(op, &r, op->weights + (int64_t)b * op->k * op->k * LANES, at(&op->out[b], c), c->stream);
	}
}

static void op_depth_back(const nb_op *op, const nb_context *c) {
	reader r = reader_of(op, c->work);
	for (int b = 0; b < op->nin; b++) {
		begin(&r, whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), 0);
		backward(op, &r, op->weights + (int64_t)b * op->k * op->k * LANES, at(&op->out[b], c),
			op->naux ? whole(op, c, &op->aux[b], (int64_t)op->oh * op->ow, 1) : 0, affine_of(op, b), c->stream);
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
	static void correlate_##N(const float *x, int64_t between, int64_t step, const float *g, float *d, int64_t n, nb_stream *stream) { \
		REPEAT(N, DECLARE) \
		const float *end = g + n * LANES; \
		next_plane(stream); \
		const char *ahead = stream->next; \
		for (; g + LANES < end; g += 2 * LANES, ahead += LINE) { \
			__builtin_prefetch(ahead, 0, 2); \
			vf v = LD(g); \
			REPEAT(N, FIRST) \
			x += step, v = LD(g + LANES); \
			REPEAT(N, SECOND) \
			x += step; \
		} \
		stream->next = ahead < stream->end ? ahead : stream->end; \
		if (g < end) { \
			vf v = LD(g); \
			REPEAT(N, FIRST) \
		} \
		REPEAT(N, STORE) \
	}
CORRELATE(1) CORRELATE(2) CORRELATE(3) CORRELATE(4) CORRELATE(5) CORRELATE(6) CORRELATE(7)
enum { CORRELATED = 7 };
typedef void (*correlate)(const float *, int64_t, int64_t, const float *, float *, int64_t, nb_stream *);
static const correlate correlates[] = { 0, correlate_1, correlate_2, correlate_3, correlate_4, correlate_5, correlate_6, correlate_7 };
#undef DECLARE
#undef FIRST
#undef SECOND
#undef STORE

// correlate_rows_K does the same for K rows of K taps at once, and asks for two lines of
// the stream for every pixel: there are two inputs.
#define ROW_3(M, r) M(r, 0) M(r, 1) M(r, 2)
#define ROW_5(M, r) ROW_3(M, r) M(r, 3) M(r, 4)
#define EACH_TAP_3(M) ROW_3(M, 0) ROW_3(M, 1) ROW_3(M, 2)
#define EACH_TAP_5(M) ROW_5(M, 0) ROW_5(M, 1) ROW_5(M, 2) ROW_5(M, 3) ROW_5(M, 4)
#define DECLARE(r, t) vf a##r##t = ZERO;
#define MULTIPLY(r, t) a##r##t = FMA(LD(rows[r] + at + (t) * between), v, a##r##t);
#define STORE(r, t) ST(d + (r * TAPS + t) * LANES, ADD(LD(d + (r * TAPS + t) * LANES), a##r##t));
#define CORRELATE_ROWS(K) \
	static void correlate_rows_##K(const float *const *rows, int64_t between, int64_t step, const float *g, float *d, int64_t n, nb_stream *stream) { \
		enum { TAPS = K }; \
		EACH_TAP_##K(DECLARE) \
		next_plane(stream); \
		const char *ahead = stream->next; \
		for (int64_t p = 0, at = 0; p < n; p++, at += step, ahead += 2 * LINE) { \
			__builtin_prefetch(ahead, 0, 2); \
			__builtin_prefetch(ahead + LINE, 0, 2); \
			vf v = LD(g + p * LANES); \
			EACH_TAP_##K(MULTIPLY) \
		} \
		stream->next = ahead < stream->end ? ahead : stream->end; \
		EACH_TAP_##K(STORE) \
	}
CORRELATE_ROWS(3)
#if VL == 16
CORRELATE_ROWS(5) // needs 32 registers
enum { MOST_ROWS = 5 };
#else
#define correlate_rows_5 correlate_rows_3 // is not called
enum { MOST_ROWS = 3 };
#endif
#undef DECLARE
#undef MULTIPLY
#undef STORE

static void op_depth_weight(const nb_op *op, const nb_context *c) {
	reader r = reader_of(op, c->work);
	int d = op->dilation, k = op->k;
	for (int b = 0; b < op->nin; b++) {
		begin(&r, whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), affine_of(op, b));
		const float *g = whole(op, c, &op->aux[b], (int64_t)op->oh * op->ow, 1);
		float *dw = c->gradients + op->slot + (int64_t)b * k * k * LANES;
		for (int64_t i = 0; i < op->oh; i++, g += (int64_t)op->ow * LANES) {
			int64_t top = i * op->stride - op->pad;
			read_to(&r, top, top + (int64_t)(k - 1) * d);
			if ((k == 3 || k == 5) && k <= MOST_ROWS && top >= 0 && top + (k - 1) * (int64_t)d < op->h) {
				EACH_PART(l) {
					const float *rows[MOST_ROWS];
					for (int a = 0; a < k; a++) rows[a] = ring_row(&r, top + a * (int64_t)d) + l;
					(k == 3 ? correlate_rows_3 : correlate_rows_5)(rows, (int64_t)d * LANES, (int64_t)op->stride * LANES, g + l, dw + l, op->ow, c->stream);
				}
				continue;
			}
			for (int a = 0; a < k; a++) {
				int64_t row = top + (int64_t)a * d;
				if (row < 0 || row >= op->h) continue;
				for (int from = 0; from < k; from += CORRELATED) {
					int n = k - from < CORRELATED ? k - from : CORRELATED;
					EACH_PART(l)
						correlates[n](ring_row(&r, row) + (int64_t)from * d * LANES + l, (int64_t)d * LANES, (int64_t)op->stride * LANES,
							g + l, dw + (a * k + from) * LANES + l, op->ow, c->stream);
				}
			}
		}
	}
}

// ---- Average-pooling: sums of columns, then of rows of these

// share is one divided by how many of the `size` pixels of a row or a column are in the
// i-th window.
static inline float share(const nb_op *op, int64_t i, int64_t size) {
	int64_t from = i * op->stride - op->pad, to = from + op->k;
	return 1.f / (float)((to > size ? size : to) - (from < 0 ? 0 : from));
}

// column adds up three pixels of a column times factors; backward also times the share of
// their windows.
static inline __attribute__((always_inline)) vf column(const float *x, int64_t above, int64_t below, vf upper, vf mid, vf lower, vf share, int back) {
	vf sum = FMA(lower, LD(x + below), FMA(mid, LD(x), MUL(upper, LD(x + above))));
	return back ? MUL(share, sum) : sum;
}

// first_window and last_window are those that a pixel is in, which may be none, of n.
static inline int64_t first_window(const nb_op *op, int64_t place) {
	int64_t from = place + op->pad - op->k + 1;
	return from <= 0 ? 0 : (from + op->stride - 1) / op->stride;
}
static inline int64_t last_window(const nb_op *op, int64_t place, int64_t n) {
	int64_t last = (place + op->pad) / op->stride;
	return last < n ? last : n - 1;
}

// average_3x3 is both for windows that leave the plane's size: forward, sums are multiplied
// by the shares of their windows, backward what is summed up, and sums added if asked.
static inline __attribute__((always_inline)) void average_3x3(const float *x, float *y, int h, int w, const float *rows, const float *shares, int back, int add) {
	int64_t row = (int64_t)w * LANES;
	for (int i = 0; i < h; i++, x += row, y += row) {
		int64_t above = i ? -row : 0, below = i + 1 < h ? row : 0;
		vf mid = SET1(back ? rows[i] : 1.f), upper = SET1(i == 0 ? 0.f : back ? rows[i - 1] : 1.f), lower = SET1(i + 1 == h ? 0.f : back ? rows[i + 1] : 1.f);
		vf factor = SET1(rows[i]);
		EACH_PART(l) {
#define COLUMN(j) column(x + (j) * LANES + l, above, below, upper, mid, lower, SET1(shares[j]), back)
			vf here = COLUMN(0), before = ZERO;
			for (int64_t j = 0; j < w; j++) {
				vf next = j + 1 < w ? COLUMN(j + 1) : ZERO, sum = ADD(ADD(before, here), next);
				float *to = y + j * LANES + l;
				if (!back) sum = MUL(sum, MUL(factor, SET1(shares[j])));
				ST(to, add ? ADD(sum, LD(to)) : sum);
				before = here, here = next;
			}
#undef COLUMN
		}
	}
}

static void op_average(const nb_op *op, const nb_context *c) {
	float *columns = c->work, *shares = columns + op->w * LANES, *rows = shares + op->ow;
	for (int64_t j = 0; j < op->ow; j++) shares[j] = share(op, j, op->w);
	for (int64_t i = 0; i < op->oh; i++) rows[i] = share(op, i, op->h);
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0);
		float *y = at(&op->out[b], c);
		if (is_3x3(op)) {
			average_3x3(x, y, op->h, op->w, rows, shares, 0, 0);
			continue;
		}
		for (int64_t i = 0; i < op->oh; i++, y += (int64_t)op->ow * LANES) {
			int64_t top = i * op->stride - op->pad, from = lower(top), to = upper(top + op->k, op->h), line = (int64_t)op->w * LANES;
			vf factor = SET1(rows[i]);
			for (int64_t p = 0; p < line; p += VL) {
				vf sum = LD(x + from * line + p);
				for (int64_t row = from + 1; row < to; row++) sum = ADD(sum, LD(x + row * line + p));
				ST(columns + p, MUL(factor, sum));
			}
			for (int64_t j = 0; j < op->ow; j++) {
				int64_t left = j * op->stride - op->pad, first = lower(left), end = upper(left + op->k, op->w);
				EACH_PART(l) {
					vf sum = LD(columns + first * LANES + l);
					for (int64_t col = first + 1; col < end; col++) sum = ADD(sum, LD(columns + col * LANES + l));
					ST(y + j * LANES + l, MUL(SET1(shares[j]), sum));
				}
			}
		}
	}
}

static void op_average_back(const nb_op *op, const nb_context *c) {
	float *columns = c->work, *shares = columns + op->w * LANES, *rows = shares + op->w;
	for (int64_t j = 0; j < op->w; j++) shares[j] = share(op, j, op->ow);
	for (int64_t i = 0; i < op->h; i++) rows[i] = share(op, i, op->oh);
	for (int b = 0; b < op->nin; b++) {
		const float *g = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0);
		float *y = at(&op->out[b], c);
		if (is_3x3(op)) {
			if (op->accumulate) average_3x3(g, y, op->h, op->w, rows, shares, 1, 1);
			else average_3x3(g, y, op->h, op->w, rows, shares, 1, 0);
			continue;
		}
		for (int64_t i = 0; i < op->oh; i++, y += (int64_t)op->ow * LANES) {
			int64_t from = first_window(op, i), to = last_window(op, i, op->h), line = (int64_t)op->w * LANES;
			for (int64_t j = 0, p = 0; j < op->w; j++, p += LANES)
				EACH_PART(l) {
					vf sum = ZERO;
					for (int64_t row = from; row <= to; row++) sum = FMA(SET1(rows[row]), LD(g + row * line + p + l), sum);
					ST(columns + p + l, MUL(SET1(shares[j]), sum));
				}
			for (int64_t j = 0; j < op->ow; j++) {
				int64_t first = first_window(op, j), last = last_window(op, j, op->w);
				EACH_PART(l) {
					vf sum = op->accumulate ? LD(y + j * LANES + l) : ZERO;
					for (int64_t col = first; col <= last; col++) sum = ADD(sum, LD(columns + col * LANES + l));
					ST(y + j * LANES + l, sum);
				}
			}
		}
	}
}

// ---- Subsampling: windows of one pixel

static void op_subsample(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0);
		float *y = at(&op->out[b], c);
		for (int64_t i = 0; i < op->oh; i++)
			for (int64_t j = 0; j < op->ow; j++, y += LANES)
				memcpy(y, x + ((i * op->stride - op->pad) * op->w + j * op->stride - op->pad) * LANES, sizeof(float) * LANES);
	}
}

static void op_spread(const nb_op *op, const nb_context *c) {
	for (int b = 0; b < op->nin; b++) {
		const float *g = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0);
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
		const float *x = whole(op, c, &op->in[b], (int64_t)op->h * op->w, 0), *m = whole(op, c, &op->aux[b], (int64_t)op->h * op->w, 1);
		float *y = at(&op->out[b], c);
		for (int64_t i = 0; i < floats; i += VL) ST(y + i, MUL(LD(x + i), LD(m + i)));
	}
}
