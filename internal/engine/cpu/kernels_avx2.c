// The kernels for processors with AVX2 and FMA: 8 floats to a vector.

#include "ops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define VL 8
#ifdef NARROW
#define LANES 8
#else
#define LANES 16
#endif
#define IMAGES 1
typedef __m256 vf;
typedef __m256 vm;
typedef __m256i vi;
#define LD(p) _mm256_loadu_ps(p)
#define ST(p, v) _mm256_storeu_ps(p, v)
#define STREAM(p, v) _mm256_stream_ps(p, v)
#define SET1(s) _mm256_set1_ps(s)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define GT(a, b) _mm256_cmp_ps(a, b, _CMP_GT_OQ)
#define ANDNOT(a, b) _mm256_andnot_ps(a, b)
#define OR(a, b) _mm256_or_ps(a, b)
#define ALL _mm256_castsi256_ps(_mm256_set1_epi32(-1))
#define NONE _mm256_setzero_ps()
#define MERGE(m, x, y) _mm256_blendv_ps(y, x, m)
#define LDI(p) _mm256_loadu_si256((const __m256i *)(p))
#define PERMUTE(i, x) _mm256_permutevar8x32_ps(x, i)
#define KEEP(m, x) _mm256_and_ps(m, x)
#define LDH(p) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16))
#define STH(p, v) _mm_storeu_si128((__m128i *)(p), halves(v))
#define STREAMH(p, v) _mm_stream_si128((__m128i *)(p), halves(v))
#define ROUND(v) rounded(v)
static inline vf rounded(vf v) {
	vi x = _mm256_castps_si256(v), odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
	x = _mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
	return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000)));
}
static inline __m128i halves(vf v) { // of rounded ones
	vi x = _mm256_srli_epi32(_mm256_castps_si256(v), 16);
	return _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
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
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? table : 0;
}

#ifdef NARROW
const nb_kernel *nb_avx2_narrow(void) { return kernels(); }
#else
const nb_kernel *nb_avx2(void) { return kernels(); }

const nb_steps *nb_avx2_steps(void) { return &steps; }
#endif

#elif defined(NARROW)
const nb_kernel *nb_avx2_narrow(void) { return 0; }
#else
const nb_kernel *nb_avx2(void) { return 0; }
const nb_steps *nb_avx2_steps(void) { return 0; }
#endif
