#define _DEFAULT_SOURCE

#include "memory.h"

#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

float *nb1_memory_block(long bytes) {
	void *block = 0;
	if (posix_memalign(&block, 2 << 20, bytes))
		return 0;
#if defined(__linux__)
	madvise(block, bytes, MADV_HUGEPAGE);
#endif
	return block;
}

enum { LINE = 16, AHEAD = 2048 }; // floats

float nb1_memory_read(const float *from, long floats) {
	typedef float vector __attribute__((vector_size(64), aligned(4)));
	vector a = {0}, b = a, c = a, d = a;
	for (long i = 0; i < floats; i += 4 * LINE) {
		for (int k = 0; k < 4; k++)
			__builtin_prefetch(from + i + k * LINE + AHEAD);
		a += *(const vector *)(from + i);
		b += *(const vector *)(from + i + LINE);
		c += *(const vector *)(from + i + 2 * LINE);
		d += *(const vector *)(from + i + 3 * LINE);
	}
	a += b + (c + d);
	float total = 0;
	for (int k = 0; k < LINE; k++)
		total += a[k];
	return total;
}

void nb1_memory_write(float *to, long floats, float value) {
#if defined(__x86_64__)
	const __m128 v = _mm_set1_ps(value);
	for (long i = 0; i < floats; i += 4)
		_mm_stream_ps(to + i, v);
	_mm_sfence();
#else
	for (long i = 0; i < floats; i++)
		to[i] = value;
#endif
}
