#define LANES 4
#include "body.h"

const nb1_kernels *nb1_plain(void) { return &table; }
