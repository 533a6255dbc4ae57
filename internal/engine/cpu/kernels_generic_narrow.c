// The kernels in plain C, on planes of 8 channels.

#define NARROW
#include "kernels_generic.c"
