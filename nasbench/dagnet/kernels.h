// The arithmetic of training, compiled for several processors.
//
// A matrix is given by the address of its first element and the distance, in
// floats, between neighbours of a column (row), and of a row where that is not 1
// (column).

#ifndef NB1_DAGNET_KERNELS_H
#define NB1_DAGNET_KERNELS_H

typedef struct {
	// product sets c, rows by columns, to a·b, or adds that to it.
	void (*product)(long rows, long columns, long depth, const float *a, long a_row, long a_column,
	                const float *b, long b_row, float *c, long c_row, int add);

	// gate computes states s, n by hidden, from z, n by two times hidden, and from
	// m, what comes in: with g = open(z) of the first half and v the second one,
	// s = g·v·open(v) + (1 - g)·KEPT·m.
	void (*gate)(long n, long hidden, const float *z, const float *m, long m_row, float *s);

	// gate_back turns z into its gradient, given that of s, and sets dm to the
	// gradient of m as far as it does not go through z.
	void (*gate_back)(long n, long hidden, float *z, const float *m, long m_row, const float *ds, float *dm);

	// smooth sets y to z·open(z); smooth_back turns dy into the gradient of z.
	void (*smooth)(long n, const float *z, float *y);
	void (*smooth_back)(long n, const float *z, float *dy);
} nb1_kernels;

const nb1_kernels *nb1_avx512(void); // NULL where the processor lacks it
const nb1_kernels *nb1_avx2(void);   // NULL where the processor lacks it
const nb1_kernels *nb1_plain(void);

#endif
