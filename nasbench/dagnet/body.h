// The functions of kernels.h, for vectors of LANES floats.

#include "kernels.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 6")

enum { TALL = 6, WIDE = 2 }; // a tile of c: rows, and vectors of columns

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

// tile computes some rows, at most TALL, of a tile. Its sums stay in registers
// because rows is a constant where it is inlined.
INLINE void tile(const int rows, long depth, const float *a, long a_row, long a_column,
                 const float *b, long b_row, float *c, long c_row, int add) {
	vector sum[TALL][WIDE];
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int w = 0; w < WIDE; w++)
			sum[r][w] = add ? *(const vector *)(c + r * c_row + w * LANES) : (vector){0};
	for (long k = 0; k < depth; k++) {
		vector right[WIDE];
		UNROLL for (int w = 0; w < WIDE; w++) right[w] = *(const vector *)(b + k * b_row + w * LANES);
		UNROLL for (int r = 0; r < rows; r++)
			UNROLL for (int w = 0; w < WIDE; w++) sum[r][w] += a[r * a_row + k * a_column] * right[w];
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int w = 0; w < WIDE; w++) *(vector *)(c + r * c_row + w * LANES) = sum[r][w];
}

static void product(long rows, long columns, long depth, const float *a, long a_row, long a_column,
                    const float *b, long b_row, float *c, long c_row, int add) {
	long j = 0;
	for (; j + WIDE * LANES <= columns; j += WIDE * LANES) {
		long i = 0;
		for (; i + TALL <= rows; i += TALL)
			tile(TALL, depth, a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row, add);
		for (; i < rows; i++)
			tile(1, depth, a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row, add);
	}
	for (; j < columns; j++)
		for (long i = 0; i < rows; i++) {
			float sum = add ? c[i * c_row + j] : 0;
			for (long k = 0; k < depth; k++) sum += a[i * a_row + k * a_column] * b[k * b_row + j];
			c[i * c_row + j] = sum;
		}
}

#define KEPT 0.6f

// open rises from 0 to 1, without an exponential.
INLINE float open(float x) { return 0.5f + 0.5f * x / (1 + fabsf(x)); }

INLINE float open_slope(float x) {
	const float d = 1 + fabsf(x);
	return 0.5f / (d * d);
}

static void gate(long n, long hidden, const float *z, const float *m, long m_row, float *s) {
	for (long i = 0; i < n; i++)
		for (long k = 0; k < hidden; k++) {
			const float g = open(z[2 * i * hidden + k]), v = z[(2 * i + 1) * hidden + k];
			s[i * hidden + k] = g * v * open(v) + (1 - g) * KEPT * m[i * m_row + k];
		}
}

static void gate_back(long n, long hidden, float *restrict z, const float *m, long m_row, const float *ds, float *restrict dm) {
	for (long i = 0; i < n; i++)
		for (long k = 0; k < hidden; k++) {
			float *const first = z + 2 * i * hidden + k, *const second = first + hidden;
			const float d = ds[i * hidden + k], in = KEPT * m[i * m_row + k], v = *second;
			const float g = open(*first), o = open(v), slope = open_slope(*first);
			dm[i * hidden + k] = d * (1 - g) * KEPT;
			*first = d * (v * o - in) * slope;
			*second = d * g * (o + v * open_slope(v));
		}
}

static void smooth(long n, const float *z, float *restrict y) {
	for (long k = 0; k < n; k++) y[k] = z[k] * open(z[k]);
}

static void smooth_back(long n, const float *z, float *restrict dy) {
	for (long k = 0; k < n; k++) dy[k] *= open(z[k]) + z[k] * open_slope(z[k]);
}

static const nb1_kernels table = {product, gate, gate_back, smooth, smooth_back};
