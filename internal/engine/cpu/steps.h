// Kernels of plans that are computed step by step, see steps.go. Activations are
// [channels][positions] there, the batch last. Included for each instruction set, after its
// macros.

#define MR (VL == 16 ? 12 : 6) // rows of a tile, whose columns are two vectors
#define NR (2 * VL)
#define MB NB_STEPS_ROWS
#define NB NB_STEPS_COLUMNS
#define KB NB_STEPS_DEPTH

// pack_rows copies rows i0..i1 and columns k0..k1 of a as tiles of MR rows, column by column,
// filled up with zeros.
static void pack_rows(float *to, const float *a, int64_t am, int64_t ak, int64_t i0, int64_t i1, int64_t k0, int64_t k1) {
	for (int64_t i = i0; i < i1; i += MR) {
		int64_t rows = i1 - i < MR ? i1 - i : MR;
		for (int64_t k = k0; k < k1; k++) {
			int64_t r = 0;
			for (; r < rows; r++) *to++ = a[(i + r) * am + k * ak];
			for (; r < MR; r++) *to++ = 0;
		}
	}
}

// pack_columns does the same with tiles of NR columns of b, row by row.
static void pack_columns(float *to, const float *b, int64_t bk, int64_t bn, int64_t k0, int64_t k1, int64_t j0, int64_t j1) {
	for (int64_t j = j0; j < j1; j += NR) {
		int64_t columns = j1 - j < NR ? j1 - j : NR;
		if (bn == 1 && columns == NR) {
			for (int64_t k = k0; k < k1; k++, to += NR) {
				ST(to, LD(b + k * bk + j));
				ST(to + VL, LD(b + k * bk + j + VL));
			}
			continue;
		}
		for (int64_t c = 0; c < NR; c++)
			for (int64_t k = k0; k < k1; k++) to[(k - k0) * NR + c] = c < columns ? b[k * bk + (j + c) * bn] : 0;
		to += (k1 - k0) * NR;
	}
}

// tile is the product of packed rows and packed columns.
static inline void tile(float *restrict c, const float *a, const float *b, int64_t depth) {
	vf sum[MR][2];
	for (int r = 0; r < MR; r++) sum[r][0] = sum[r][1] = SET1(0);
	for (int64_t k = 0; k < depth; k++, a += MR, b += NR) {
		vf b0 = LD(b), b1 = LD(b + VL);
#pragma GCC unroll 12
		for (int r = 0; r < MR; r++) {
			vf x = SET1(a[r]);
			sum[r][0] = FMA(x, b0, sum[r][0]);
			sum[r][1] = FMA(x, b1, sum[r][1]);
		}
	}
	for (int r = 0; r < MR; r++) {
		ST(c + r * NR, sum[r][0]);
		ST(c + r * NR + VL, sum[r][1]);
	}
}

// steps_product computes rows i0..i1 and columns j0..j1, at most MB and NB, of the product of a
// [m][depth] and b [depth][n], whose entries are am, ak, bk and bn apart. Every entry is summed
// in one order, however the product is divided.
static void steps_product(float *c, int64_t ldc, const float *a, int64_t am, int64_t ak, const float *b, int64_t bk, int64_t bn,
	int64_t depth, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *work) {
	float *rows = work, *columns = work + (MB + 12) * KB, part[12 * 2 * 16];
	for (int64_t k0 = 0; k0 < depth; k0 += KB) {
		int64_t k1 = k0 + KB < depth ? k0 + KB : depth, n = k1 - k0;
		pack_rows(rows, a, am, ak, i0, i1, k0, k1);
		pack_columns(columns, b, bk, bn, k0, k1, j0, j1);
		for (int64_t j = j0; j < j1; j += NR)
			for (int64_t i = i0; i < i1; i += MR) {
				tile(part, rows + (i - i0) * n, columns + (j - j0) * n, n);
				int64_t height = i1 - i < MR ? i1 - i : MR, width = j1 - j < NR ? j1 - j : NR;
				for (int64_t r = 0; r < height; r++) {
					float *to = c + (i + r) * ldc + j;
					const float *from = part + r * NR;
					if (k0 == 0)
						for (int64_t x = 0; x < width; x++) to[x] = from[x];
					else
						for (int64_t x = 0; x < width; x++) to[x] += from[x];
				}
			}
	}
}

// exponential is exp(x) to about 2 units in the last place, and what is next to 0 or to infinity
// among the numbers beyond.
static inline float exponential(float x) {
	x = x < -87.3f ? -87.3f : x;
	x = x > 88.3f ? 88.3f : x;
	const float magic = 12582912.f; // adding it rounds to a whole number, which is in the lower bits
	float t = x * 1.44269504f + magic, n = t - magic;
	float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1;
	int32_t bits;
	memcpy(&bits, &t, 4);
	bits = (int32_t)((uint32_t)(bits - 0x4B400000 + 127) << 23);
	float power;
	memcpy(&power, &bits, 4);
	return p * power;
}

static void steps_entries(int32_t kind, float *restrict y, const float *a, const float *b, int64_t n) {
	switch (kind) {
	case STEP_SIGMOID:
		for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + exponential(-a[i]));
		return;
	case STEP_SIGMOID_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = b[i] * a[i] * (1 - a[i]);
		return;
	case STEP_TANH:
		for (int64_t i = 0; i < n; i++) {
			float e = exponential(-2 * (a[i] < 0 ? -a[i] : a[i])), t = (1 - e) / (1 + e);
			y[i] = a[i] < 0 ? -t : t;
		}
		return;
	case STEP_TANH_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = b[i] * (1 - a[i] * a[i]);
		return;
	case STEP_MULTIPLY:
		for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
		return;
	case STEP_RELU:
		for (int64_t i = 0; i < n; i++) y[i] = a[i] < 0 ? 0 : a[i];
		return;
	case STEP_RELU_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = a[i] > 0 ? b[i] : 0;
		return;
	}
}

// steps_weigh is y = p·a + q·b, or y += that.
static void steps_weigh(float *restrict y, float p, const float *a, float q, const float *b, int64_t n, int32_t add) {
	if (add)
		for (int64_t i = 0; i < n; i++) y[i] += p * a[i] + q * b[i];
	else
		for (int64_t i = 0; i < n; i++) y[i] = p * a[i] + q * b[i];
}

// steps_dot is an inner product, summed in doubles, a fixed number of them at a time.
static double steps_dot(const float *a, const float *b, int64_t n) {
	double sum[16] = { 0 }, total = 0;
	int64_t i = 0;
	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++) sum[k] += (double)a[i + k] * b[i + k];
	for (; i < n; i++) total += (double)a[i] * b[i];
	for (int k = 0; k < 16; k++) total += sum[k];
	return total;
}

// steps_softmax finds, for the positions from..to of logits [classes][positions], the largest
// one and the sum of the exponentials of the differences from it.
static void steps_softmax(float *top, double *sum, const float *logits, int64_t classes, int64_t positions, int64_t from, int64_t to) {
	for (int64_t i = from; i < to; i++) top[i] = logits[i], sum[i] = 0;
	for (int64_t c = 1; c < classes; c++) {
		const float *x = logits + c * positions;
		for (int64_t i = from; i < to; i++) top[i] = x[i] > top[i] ? x[i] : top[i];
	}
	for (int64_t c = 0; c < classes; c++) {
		const float *x = logits + c * positions;
		for (int64_t i = from; i < to; i++) sum[i] += exponential(x[i] - top[i]);
	}
}

// steps_softmax_back makes of them scale·softmax.
static void steps_softmax_back(float *y, const float *logits, const float *top, const double *sum, double scale, int64_t classes, int64_t positions, int64_t from, int64_t to) {
	float factor[NB_STEPS_POSITIONS];
	for (int64_t i = from; i < to; i++) factor[i - from] = (float)(scale / sum[i]);
	for (int64_t c = 0; c < classes; c++) {
		const float *x = logits + c * positions;
		for (int64_t i = from; i < to; i++) y[c * positions + i] = factor[i - from] * exponential(x[i] - top[i]);
	}
}

static const nb_steps steps = { steps_product, steps_entries, steps_weigh, steps_dot, steps_softmax, steps_softmax_back };

#undef MR
#undef NR
#undef MB
#undef NB
#undef KB
