#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#include "body.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

const nb1_kernels *nb1_avx2(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &table : 0;
}
#else
#include "kernels.h"

const nb1_kernels *nb1_avx2(void) { return 0; }
#endif
