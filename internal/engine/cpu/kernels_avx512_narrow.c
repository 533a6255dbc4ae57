// The kernels for processors with AVX-512, on planes of 8 channels of two images.

#define NARROW
#include "kernels_avx512.c"
