#include "fma.h"

// A round is one multiply-add on each of a number of accumulators. None depends
// on another, so that there are always enough of them under way to hide the
// latency (4 cycles × 2 to 4 units), and all of them fit in registers.
#define TWELVE(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)
#define TWENTY_FOUR(x) \
	TWELVE(x) x(12) x(13) x(14) x(15) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23)
#define COUNT(i) +1

// The accumulators start apart: the compiler would merge equal ones.
#define START(i) vector v##i = a + (float)i;
#define MULTIPLY_ADD(i) v##i = v##i * a + b;
#define SUM(i) +v##i

#define KERNEL(name, target, bytes, accumulators)                                  \
	target static float name(long rounds, float scale, float shift) {              \
		typedef float vector __attribute__((vector_size(bytes)));                  \
		const vector a = (vector){0} + scale, b = (vector){0} + shift;             \
		accumulators(START)                                                        \
		for (long r = 0; r < rounds; r++) {                                        \
			accumulators(MULTIPLY_ADD)                                             \
		}                                                                          \
		const vector sum = (vector){0} accumulators(SUM);                          \
		float total = 0;                                                           \
		for (int lane = 0; lane < bytes / 4; lane++)                               \
			total += sum[lane];                                                    \
		return total;                                                              \
	}                                                                              \
	enum { name##_flops = 2 * (bytes / 4) * (0 accumulators(COUNT)) };

typedef struct {
	float (*rounds)(long, float, float);
	int flops;
	const char *isa;
} kernel;

#if defined(__x86_64__)
KERNEL(avx512, __attribute__((target("avx512f,fma"))), 64, TWENTY_FOUR)
KERNEL(avx2, __attribute__((target("avx2,fma"))), 32, TWELVE)
KERNEL(plain, , 16, TWELVE) // SSE2: 16 registers, a multiplication and an addition
#else
KERNEL(plain, , 16, TWENTY_FOUR)
#endif

static kernel fastest(void) {
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return (kernel){avx512, avx512_flops, "AVX-512"};
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return (kernel){avx2, avx2_flops, "AVX2"};
#endif
	return (kernel){plain, plain_flops, "plain C"};
}

float nb1_fma_rounds(long rounds, float scale, float shift) {
	return fastest().rounds(rounds, scale, shift);
}

int nb1_fma_flops(void) { return fastest().flops; }

const char *nb1_fma_isa(void) { return fastest().isa; }
