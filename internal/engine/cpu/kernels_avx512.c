// The kernels for processors with AVX-512: 16 floats to a vector.

#include "ops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")
#endif

#define VL 16
#define LANES 16
#ifdef NARROW
#define IMAGES 2
#define EXPAND(p) _mm512_permutexvar_ps(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), _mm512_castps256_ps512(_mm256_loadu_ps(p)))
#define BROADCAST(p) _mm512_castpd_ps(_mm512_set1_pd(*(const two *)(p)))
typedef double two __attribute__((may_alias, aligned(4)));
#else
#define IMAGES 1
#endif
typedef __m512 vf;
typedef __mmask16 vm;
typedef __m512i vi;
#define LD(p) _mm512_loadu_ps(p)
#define ST(p, v) _mm512_storeu_ps(p, v)
#define STREAM(p, v) _mm512_stream_ps(p, v)
#define SET1(s) _mm512_set1_ps(s)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define GT(a, b) _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ)
#define ANDNOT(a, b) ((vm)_kandn_mask16(a, b))
#define OR(a, b) ((vm)_kor_mask16(a, b))
#define ALL ((vm)0xffff)
#define NONE ((vm)0)
#define MERGE(m, x, y) _mm512_mask_mov_ps(y, m, x)
#define LDI(p) _mm512_loadu_si512(p)
#define PERMUTE(i, x) _mm512_permutexvar_ps(i, x)
#define KEEP(m, x) _mm512_maskz_mov_ps(m, x)
#define LDH(p) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16))
#define STH(p, v) _mm256_storeu_si256((__m256i *)(p), halves(v))
#define STREAMH(p, v) _mm256_stream_si256((__m256i *)(p), halves(v))
#define ROUND(v) rounded(v)
static inline vf rounded(vf v) {
	vi x = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
	x = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
	return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32((int)0xffff0000)));
}
static inline __m256i halves(vf v) { // of rounded ones
	return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(v), 16));
}

#include "kernels.h"
#ifndef NARROW
#include "steps.h"
#endif

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static const nb_kernel *kernels(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma") ? table : 0;
}

#ifdef NARROW
const nb_kernel *nb_avx512_narrow(void) { return kernels(); }
#else
const nb_kernel *nb_avx512(void) { return kernels(); }

const nb_steps *nb_avx512_steps(void) { return &steps; }
#endif

#elif defined(NARROW)
const nb_kernel *nb_avx512_narrow(void) { return 0; }
#else
const nb_kernel *nb_avx512(void) { return 0; }
const nb_steps *nb_avx512_steps(void) { return 0; }
#endif
