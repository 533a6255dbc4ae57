// The kernels for processors with AVX2 and FMA, on planes of 8 channels.

#define NARROW
#include "kernels_avx2.c"
