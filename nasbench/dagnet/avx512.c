#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,fma,prefer-vector-width=512")
#endif
#define LANES 16
#include "body.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

const nb1_kernels *nb1_avx512(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") ? &table : 0;
}
#else
#include "kernels.h"

const nb1_kernels *nb1_avx512(void) { return 0; }
#endif
