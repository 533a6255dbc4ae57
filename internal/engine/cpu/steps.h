// Kernels of plans that are computed step by step, see steps.go. Activations are
// [channels][positions] there, the batch last. Included for each instruction set, after its
// macros.

#define MR (VL == 16 ? 12 : 6) // rows of a tile, whose columns are two vectors
#define NR (2 * VL)

// steps_pack copies the rows from i0 to i1, which begin tiles, and the columns k0..k1 of a [m] as
// tiles of MR rows, column by column, filled up with zeros.
static void steps_pack(float *to, const float *a, int64_t am, int64_t ak, int64_t m, int64_t i0, int64_t i1, int64_t k0, int64_t k1) {
	for (int64_t i = i0; i < i1; i += MR) {
		const float *from = a + i * am;
		int64_t rows = m - i < MR ? m - i : MR;
		if (rows == MR) {
			for (int64_t k = k0; k < k1; k++)
				for (int64_t r = 0; r < MR; r++) *to++ = from[r * am + k * ak];
			continue;
		}
		for (int64_t k = k0; k < k1; k++) {
			int64_t r = 0;
			for (; r < rows; r++) *to++ = from[r * am + k * ak];
			for (; r < MR; r++) *to++ = 0;
		}
	}
}

// pack_columns does the same with tiles of NR columns of b, row by row.
static void pack_columns(float *to, const float *b, int64_t bk, int64_t bn, int64_t k0, int64_t k1, int64_t j0, int64_t j1) {
	for (int64_t j = j0; j < j1; j += NR, to += (k1 - k0) * NR) {
		int64_t columns = j1 - j < NR ? j1 - j : NR;
		const float *from = b + j * bn;
		if (columns < NR) {
			for (int64_t k = k0; k < k1; k++)
				for (int64_t c = 0; c < NR; c++) to[(k - k0) * NR + c] = c < columns ? from[k * bk + c * bn] : 0;
		} else if (bn == 1) {
			float *at = to;
			for (int64_t k = k0; k < k1; k++, at += NR) {
				ST(at, LD(from + k * bk));
				ST(at + VL, LD(from + k * bk + VL));
			}
		} else {
			float *at = to;
			for (int64_t k = k0; k < k1; k++)
				for (int64_t c = 0; c < NR; c++) *at++ = from[k * bk + c * bn];
		}
	}
}

// tile is the product of packed rows and packed columns.
static inline void tile(float *restrict c, int64_t ldc, int32_t add, const float *a, const float *b, int64_t depth) {
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
	if (add)
		for (int r = 0; r < MR; r++) {
			sum[r][0] = ADD(LD(c + r * ldc), sum[r][0]);
			sum[r][1] = ADD(LD(c + r * ldc + VL), sum[r][1]);
		}
	for (int r = 0; r < MR; r++) {
		ST(c + r * ldc, sum[r][0]);
		ST(c + r * ldc + VL, sum[r][1]);
	}
}

// steps_product computes the columns j0..j1, at most NB_STEPS_COLUMNS, of the product of packed
// rows [m][depth] and b [depth][n], whose entries are bk and bn apart, or adds it to c, whose
// entries are cm and cn apart. The depth is divided into pieces, and every entry is summed in one
// order, however the columns are divided.
static void steps_product(float *c, int64_t cm, int64_t cn, const float *rows, const float *b, int64_t bk, int64_t bn,
	int64_t m, int64_t depth, int64_t piece, int64_t j0, int64_t j1, int32_t add, float *work) {
	float part[12 * 2 * 16];
	int64_t tiles = (m + MR - 1) / MR;
	for (int64_t k0 = 0; k0 < depth; k0 += piece) {
		int64_t k1 = k0 + piece < depth ? k0 + piece : depth, n = k1 - k0;
		pack_columns(work, b, bk, bn, k0, k1, j0, j1);
		for (int64_t i0 = 0; i0 < m; i0 += NB_STEPS_ROWS)
			for (int64_t j = j0; j < j1; j += NR)
				for (int64_t i = i0; i < i0 + NB_STEPS_ROWS && i < m; i += MR) {
					const float *from = rows + tiles * MR * k0 + i * n, *columns = work + (j - j0) * n;
					int64_t height = m - i < MR ? m - i : MR, width = j1 - j < NR ? j1 - j : NR;
					float *to = c + i * cm + j * cn;
					if (height == MR && width == NR && cn == 1) {
						tile(to, cm, add || k0 > 0, from, columns, n);
						continue;
					}
					tile(part, NR, 0, from, columns, n);
					int more = add || k0 > 0;
					for (int64_t x = 0; x < width; x++)
						for (int64_t r = 0; r < height; r++) {
							float *at = to + r * cm + x * cn;
							*at = more ? *at + part[r * NR + x] : part[r * NR + x];
						}
				}
	}
}

// Comparisons do not keep loops from becoming ones of vectors.
#ifndef __clang__
#pragma GCC push_options
#pragma GCC optimize("no-trapping-math")
#endif

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

// step_combine is y = Σ w·x over k of the operands, at most 4, or adds that.
static void step_combine(float *restrict y, const float *w, const float *const *x, int k, int64_t n, int add) {
	const float *a = x[0], *b = x[k > 1 ? 1 : 0], *c = x[k > 2 ? 2 : 0], *d = x[k > 3 ? 3 : 0];
	float p = w[0], q = k > 1 ? w[1] : 0, r = k > 2 ? w[2] : 0, s = k > 3 ? w[3] : 0;
	if (k == 1 && !add)
		for (int64_t i = 0; i < n; i++) y[i] = p * a[i];
	else if (k == 1)
		for (int64_t i = 0; i < n; i++) y[i] += p * a[i];
	else if (k == 2 && !add)
		for (int64_t i = 0; i < n; i++) y[i] = p * a[i] + q * b[i];
	else if (k == 2)
		for (int64_t i = 0; i < n; i++) y[i] += p * a[i] + q * b[i];
	else if (!add)
		for (int64_t i = 0; i < n; i++) y[i] = (p * a[i] + q * b[i]) + (r * c[i] + s * d[i]);
	else
		for (int64_t i = 0; i < n; i++) y[i] += (p * a[i] + q * b[i]) + (r * c[i] + s * d[i]);
}

// step_weigh is the sum of the operands of a channel, with weights, or without. The same operand
// several times in a row is read once.
static void step_weigh(const nb_step *s, float *restrict y, float *const *x, const float *w, int64_t n) {
	float weight[4] = { 0 };
	const float *from[4] = { 0 };
	int k = 0, add = 0;
	for (int32_t j = 0; j < s->terms; j++) {
		float p = w ? w[j] : 1;
		if (k > 0 && from[k - 1] == x[j]) {
			weight[k - 1] += p;
			continue;
		}
		if (k == 4) {
			step_combine(y, weight, from, k, n, add);
			k = 0, add = 1;
		}
		weight[k] = p, from[k++] = x[j];
	}
	step_combine(y, weight, from, k, n, add);
}

// step_inner is an inner product. Sums of up to 256 products are in single precision, a fixed number of
// them side by side, the others in double.
static double step_inner(const float *a, const float *b, int64_t n) {
	double total = 0;
	int64_t i = 0;
	while (i + 4 * VL <= n) {
		vf s0 = SET1(0), s1 = s0, s2 = s0, s3 = s0;
		for (int64_t end = i + 256; i + 4 * VL <= n && i < end; i += 4 * VL) {
			s0 = FMA(LD(a + i), LD(b + i), s0);
			s1 = FMA(LD(a + i + VL), LD(b + i + VL), s1);
			s2 = FMA(LD(a + i + 2 * VL), LD(b + i + 2 * VL), s2);
			s3 = FMA(LD(a + i + 3 * VL), LD(b + i + 3 * VL), s3);
		}
		float lanes[VL];
		ST(lanes, ADD(ADD(s0, s1), ADD(s2, s3)));
		for (int l = 0; l < VL; l++) total += lanes[l];
	}
	for (; i < n; i++) total += (double)a[i] * b[i];
	return total;
}

// step_total is the sum of the entries, or of the squares of their differences from a mean.
static double step_total(const float *x, int64_t n) {
	double sum[16] = { 0 }, all = 0;
	int64_t i = 0;
	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++) sum[k] += x[i + k];
	for (; i < n; i++) all += x[i];
	for (int k = 0; k < 16; k++) all += sum[k];
	return all;
}

static double step_squares(const float *x, double mean, int64_t n) {
	double sum[16] = { 0 }, all = 0;
	int64_t i = 0;
	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++) sum[k] += (x[i + k] - mean) * (x[i + k] - mean);
	for (; i < n; i++) all += (x[i] - mean) * (x[i] - mean);
	for (int k = 0; k < 16; k++) all += sum[k];
	return all;
}

// one_step computes a channel of the result. x are the channels of the operands.
static void one_step(const nb_step *s, int64_t channel, float *restrict y, float *const *x) {
	const float *a = x[0], *b = x[1], *c = x[2], *d = x[3]; // as far as there are so many
	const int64_t n = s->n, rows = s->row > 0 ? n / s->row : 1, row = s->row;
	switch (s->kind) {
	case STEP_SIGMOID:
		for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + exponential(-a[i]));
		return;
	case STEP_SIGMOID_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = b[i] * a[i] * (1 - a[i]);
		return;
	case STEP_SIGMOID_BACK_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = c[i] * b[i] * (1 - 2 * a[i]);
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
	case STEP_TANH_BACK_BACK:
		for (int64_t i = 0; i < n; i++) y[i] = -2 * c[i] * b[i] * a[i];
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
	case STEP_COPY:
		memcpy(y, a, sizeof(float) * n);
		return;
	case STEP_PAD_ROWS:
		memset(y, 0, sizeof(float) * n);
		memcpy(y + s->at, a, sizeof(float) * s->row);
		return;
	case STEP_SUM:
		step_weigh(s, y, x, 0, n);
		return;
	case STEP_WEIGH:
		for (int64_t r = 0; r < rows; r++) {
			float *of[NB_STEP_TERMS];
			for (int32_t j = 0; j < s->terms; j++) of[j] = x[j] + r * row;
			step_weigh(s, y + r * row, of, s->weights + r * s->at, row);
		}
		return;
	case STEP_INNER: // the first operand by all others
		for (int64_t r = 0; r < rows; r++)
			for (int32_t j = 1; j < s->terms; j++) {
				double *to = s->sums + (channel * rows + r) * (s->terms - 1) + j - 1;
				*to = j > 1 && x[j] == x[j - 1] ? to[-1] : step_inner(a + r * row, x[j] + r * row, row);
			}
		return;
	case STEP_MEAN:
		memcpy(y, a, sizeof(float) * row);
		for (int64_t r = 1; r < s->at; r++)
			for (int64_t i = 0; i < row; i++) y[i] += a[r * row + i];
		for (int64_t i = 0; i < row; i++) y[i] /= s->at;
		return;
	case STEP_MEAN_BACK: {
		float factor = 1 / (float)rows;
		for (int64_t r = 0; r < rows; r++)
			for (int64_t i = 0; i < row; i++) y[r * row + i] = factor * a[i];
		return;
	}
	case STEP_STATS: {
		double mean = step_total(a, n) / n;
		y[0] = (float)mean, y[s->at] = (float)(step_squares(a, mean, n) / n);
		return;
	}
	case STEP_SUM_CHANNEL:
		y[0] = (float)step_total(a, n);
		return;
	case STEP_SHIFT:
		for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[0];
		return;
	case STEP_SPREAD: { // at is the number of entries of all channels
		float factor = (float)(a[0] / (double)s->at);
		for (int64_t i = 0; i < n; i++) y[i] = factor * b[i];
		return;
	}
	}
	// What is left has statistics as the second operand, the variances at behind the means.
	const double scale = 1 / sqrt((double)b[s->at] + s->eps), mean = b[0];
	switch (s->kind) {
	case STEP_NORMALIZE:
		for (int64_t i = 0; i < n; i++) y[i] = (a[i] - (float)mean) * (float)scale;
		return;
	case STEP_SCALE:
		for (int64_t i = 0; i < n; i++) y[i] = a[i] * (float)scale;
		return;
	case STEP_NORMALIZE_BACK: {
		double sum = step_total(c, n) / n, product = (step_inner(a, c, n) - mean * sum * n) / n;
		float r = (float)scale, m = (float)mean, shift = (float)(scale * sum), slope = (float)(scale * scale * scale * product);
		for (int64_t i = 0; i < n; i++) y[i] = r * c[i] - shift - slope * (a[i] - m);
		return;
	}
	case STEP_NORMALIZE_BACK_BACK: { // as that of the reference engine
		double mg = 0, mu = 0, mgx = 0, mux = 0, mug = 0;
		for (int64_t i = 0; i < n; i++) {
			double xi = (a[i] - mean) * scale, g = c[i], u = d[i];
			mg += g, mu += u, mgx += g * xi, mux += u * xi, mug += u * g;
		}
		mg /= n, mu /= n, mgx /= n, mux /= n, mug /= n;
		double q = mug - mu * mg - mux * mgx;
		for (int64_t i = 0; i < n; i++) {
			double xi = (a[i] - mean) * scale;
			y[i] = (float)(-scale * scale * (xi * q + (d[i] - mu - xi * mux) * mgx + (c[i] - mg - xi * mgx) * mux));
		}
		return;
	}
	}
}

// steps_list executes steps, one after another, for the channels from..to.
static void steps_list(const nb_step *list, int64_t count, int64_t from, int64_t to, float *scratch) {
	for (int64_t channel = from; channel < to; channel++)
		for (int64_t k = 0; k < count; k++) {
			const nb_step *s = list + k;
			float *x[NB_STEP_TERMS];
			x[1] = x[2] = x[3] = 0;
			for (int32_t j = 0; j < s->terms; j++)
				x[j] = s->in[j].scratch ? scratch + s->in[j].offset : s->in[j].data + channel * s->in[j].stride;
			one_step(s, channel, s->to.scratch ? scratch + s->to.offset : s->to.data + channel * s->to.stride, x);
		}
}

// steps_take copies rows of w [words][size] with the numbers of the positions from..to to a
// [size][positions], 0 for a number that is left out.
static void steps_take(float *y, int64_t stride, const float *w, const float *numbers, int64_t size, int64_t without, int64_t from, int64_t to) {
	for (int64_t c = 0; c < size; c++)
		for (int64_t i = from; i < to; i++) {
			int64_t v = (int64_t)numbers[i];
			y[c * stride + i] = v == without ? 0 : w[v * size + c];
		}
}

// steps_scatter adds the channels from..to of g [size][n] to the rows with the numbers of the
// positions, one after another.
static void steps_scatter(float *y, const float *g, int64_t stride, const float *numbers, int64_t n, int64_t size, int64_t without, int64_t from, int64_t to) {
	for (int64_t i = 0; i < n; i++) {
		int64_t v = (int64_t)numbers[i];
		if (v == without) continue;
		for (int64_t c = from; c < to; c++) y[v * size + c] += g[c * stride + i];
	}
}

// steps_softmax finds, for the positions from..to of logits, whose classes are stride apart, the largest
// one and the sum of the exponentials of the differences from it.
static void steps_softmax(float *top, double *sum, const float *logits, int64_t classes, int64_t stride, int64_t from, int64_t to) {
	for (int64_t i = from; i < to; i++) top[i] = logits[i], sum[i] = 0;
	for (int64_t c = 1; c < classes; c++) {
		const float *x = logits + c * stride;
		for (int64_t i = from; i < to; i++) top[i] = x[i] > top[i] ? x[i] : top[i];
	}
	for (int64_t c = 0; c < classes; c++) {
		const float *x = logits + c * stride;
		for (int64_t i = from; i < to; i++) sum[i] += exponential(x[i] - top[i]);
	}
}

// steps_softmax_back makes of them scale·softmax.
static void steps_softmax_back(float *y, int64_t between, const float *logits, int64_t stride, const float *top, const double *sum, double scale, int64_t classes, int64_t from, int64_t to) {
	float factor[NB_STEPS_POSITIONS];
	for (int64_t i = from; i < to; i++) factor[i - from] = (float)(scale / sum[i]);
	for (int64_t c = 0; c < classes; c++) {
		const float *x = logits + c * stride;
		for (int64_t i = from; i < to; i++) y[c * between + i] = factor[i - from] * exponential(x[i] - top[i]);
	}
}

#ifndef __clang__
#pragma GCC pop_options
#endif

static const nb_steps steps = { MR, NR, steps_pack, steps_product, steps_list, steps_take, steps_scatter, steps_softmax, steps_softmax_back };

#undef MR
#undef NR
