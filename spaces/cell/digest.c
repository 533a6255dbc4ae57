#include "digest.h"

#include <stdint.h>
#include <string.h>

// MD5 is a chain of operations, each of which waits for the one before, so a core
// is mostly idle in it. Here every lane of a vector sums a text of its own.

enum {
	LANES = 32,    // texts that are summed at a time
	MOST = 7,      // vertices of a cell
	PER_CELL = 8,  // lanes
	CELLS = LANES / PER_CELL,
	SUM = 16,      // bytes of a sum
	DIGITS = 32,   // characters of a sum in hexadecimal digits
	BLOCK = 64,    // bytes that MD5 takes in at a time
	LONGEST = 320, // bytes of the longest text, the final list, and its padding
};

typedef uint32_t vector __attribute__((vector_size(4 * LANES)));

typedef struct {
	_Alignas(BLOCK) unsigned char bytes[LANES][LONGEST];
	int length[LANES];
} texts;

#define INLINE static inline __attribute__((always_inline))

// The integer part of |sin(i + 1)| * 2^32.
static const uint32_t sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const int shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

#define ROUND(r, mix, word)                                                          \
	_Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) {                          \
		const int shift = shifts[r][i % 4];                                          \
		const vector x = a + (mix) + words.all[(word) % 16] + sines[16 * r + i];         \
		a = d, d = c, c = b, b += x << shift | x >> (32 - shift);                    \
	}

// sum_all writes the MD5 sum of each text, which it pads in place.
INLINE void sum_all(texts *t, unsigned char (*sums)[SUM]) {
	vector blocks; // of each text
	int most = 0;
	for (int lane = 0; lane < LANES; lane++) {
		const int length = t->length[lane], n = (length + 8) / BLOCK + 1;
		unsigned char *end = t->bytes[lane] + BLOCK * n;
		memset(t->bytes[lane] + length, 0, BLOCK * n - length);
		t->bytes[lane][length] = 0x80;
		end[-8] = 8 * length, end[-7] = 8 * length >> 8; // bits, little endian
		blocks[lane] = n;
		most = n > most ? n : most;
	}
	const vector zero = {0};
	vector state[4] = {zero + 0x67452301, zero + 0xefcdab89, zero + 0x98badcfe, zero + 0x10325476};
	for (int block = 0; block < most; block++) {
		union {
			vector all[16];
			uint32_t each[16][LANES];
		} words;
		for (int lane = 0; lane < LANES; lane++)
			for (int i = 0; i < 16; i++) {
				const unsigned char *p = t->bytes[lane] + BLOCK * block + 4 * i;
				words.each[i][lane] = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
			}
		vector a = state[0], b = state[1], c = state[2], d = state[3];
		ROUND(0, d ^ (b & (c ^ d)), i)
		ROUND(1, c ^ (d & (b ^ c)), 5 * i + 1)
		ROUND(2, b ^ c ^ d, 3 * i + 5)
		ROUND(3, c ^ (b | ~d), 7 * i)
		const vector more = (vector)(blocks > zero + block); // all ones where the text goes on
		state[0] += a & more, state[1] += b & more, state[2] += c & more, state[3] += d & more;
	}
	for (int lane = 0; lane < LANES; lane++)
		for (int i = 0; i < SUM; i++)
			sums[lane][i] = state[i / 4][lane] >> 8 * (i % 4);
}

// summing is sum_all for a set of instructions. It takes seconds to compile, so each set has it once.
typedef void summing(texts *t, unsigned char (*sums)[SUM]);

// spell writes sums in hexadecimal digits.
INLINE void spell(unsigned char (*sums)[SUM], char (*labels)[DIGITS], int n) {
	for (int i = 0; i < n; i++)
		for (int k = 0; k < SUM; k++) {
			const unsigned char high = sums[i][k] >> 4, low = sums[i][k] & 15;
			labels[i][2 * k] = high + (high < 10 ? '0' : 'a' - 10);
			labels[i][2 * k + 1] = low + (low < 10 ? '0' : 'a' - 10);
		}
}

INLINE uint64_t big_endian(const unsigned char *p) {
	return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
	       (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | (uint64_t)p[7];
}

// sort lists n vertices in the order of their labels, which is that of their
// sums. It counts for each how many come before, without a branch to mispredict.
INLINE void sort(unsigned char (*sums)[SUM], int n, int *order) {
	uint64_t high[MOST], low[MOST];
	for (int i = 0; i < n; i++) {
		high[i] = big_endian(sums[i]);
		low[i] = big_endian(sums[i] + 8);
	}
	for (int i = 0; i < n; i++) {
		int rank = 0;
		for (int j = 0; j < n; j++) {
			const int before = (low[j] < low[i]) | ((low[j] == low[i]) & (j < i));
			rank += (high[j] < high[i]) | ((high[j] == high[i]) & before);
		}
		order[rank] = i;
	}
}

// neighbours are sets of vertices, bit by bit.
typedef struct {
	unsigned in[MOST], out[MOST];
} neighbours;

INLINE neighbours connect(const nb1_cell *c) {
	neighbours s = {{0}, {0}};
	unsigned edges = c->edges;
	for (int y = 1; y < (int)c->vertices; y++)
		for (int x = 0; x < y; x++, edges >>= 1) {
			s.in[y] |= (edges & 1) << x;
			s.out[x] |= (edges & 1) << y;
		}
	return s;
}

// append adds a label to a text.
INLINE char *append(char *text, const char *label) {
	memcpy(text, label, DIGITS);
	return text + DIGITS;
}

// initial writes "(out-degree, in-degree, operation)" of a vertex.
INLINE int initial(char *text, const nb1_cell *c, const neighbours *s, int v) {
	char *p = text;
	*p++ = '(', *p++ = '0' + __builtin_popcount(s->out[v]), *p++ = ',', *p++ = ' ';
	*p++ = '0' + __builtin_popcount(s->in[v]), *p++ = ',', *p++ = ' ';
	if (v == 0)
		*p++ = '-', *p++ = '1';
	else if (v == (int)c->vertices - 1)
		*p++ = '-', *p++ = '2';
	else
		*p++ = '0' + (c->ops >> 2 * (v - 1) & 3);
	*p++ = ')';
	return p - text;
}

// refined writes the sorted labels of a vertex's in-neighbours, those of its
// out-neighbours and its own, separated by bars.
INLINE int refined(char *text, const neighbours *s, int v, char (*labels)[DIGITS], const int *order, int n) {
	char *p = text;
	// Labels that are not wanted are overwritten: that is faster than a branch.
	for (int i = 0; i < n; i++)
		p = append(p, labels[order[i]]) - DIGITS * (~s->in[v] >> order[i] & 1);
	*p++ = '|';
	for (int i = 0; i < n; i++)
		p = append(p, labels[order[i]]) - DIGITS * (~s->out[v] >> order[i] & 1);
	*p++ = '|';
	return append(p, labels[v]) - text;
}

// list writes all labels as Python prints a list of strings.
INLINE int list(char *text, char (*labels)[DIGITS], const int *order, int n) {
	char *p = text;
	*p++ = '[';
	for (int i = 0; i < n; i++) {
		if (i > 0)
			*p++ = ',', *p++ = ' ';
		*p++ = '\'';
		p = append(p, labels[order[i]]);
		*p++ = '\'';
	}
	*p++ = ']';
	return p - text;
}

// label writes the final lists of up to four cells, whose vertices share the lanes:
// every vertex mixes the labels of its neighbours into its own as many times as
// there are vertices, so that each learns of the whole graph.
INLINE void label(const nb1_cell *cells, int n, texts *lists, int at, summing *sum) {
	texts t;
	memset(t.length, 0, sizeof t.length);
	neighbours s[CELLS];
	unsigned char sums[LANES][SUM];
	char labels[LANES][DIGITS];
	int order[MOST], rounds = 0;
	for (int i = 0; i < n; i++) {
		s[i] = connect(&cells[i]);
		rounds = (int)cells[i].vertices > rounds ? cells[i].vertices : rounds;
		for (int v = 0; v < (int)cells[i].vertices; v++) {
			const int lane = PER_CELL * i + v;
			t.length[lane] = initial((char *)t.bytes[lane], &cells[i], &s[i], v);
		}
	}
	for (int round = 0; round <= rounds; round++) {
		sum(&t, sums);
		spell(sums, labels, LANES);
		for (int i = 0; i < n; i++) {
			const int first = PER_CELL * i, vertices = cells[i].vertices;
			if (round > vertices)
				continue; // the cell is done, its lanes sum in vain
			sort(sums + first, vertices, order);
			if (round == vertices)
				lists->length[at + i] = list((char *)lists->bytes[at + i], labels + first, order, vertices);
			for (int v = 0; v < vertices && round < vertices; v++)
				t.length[first + v] = refined((char *)t.bytes[first + v], &s[i], v, labels + first, order, vertices);
		}
	}
}

INLINE void digests(const nb1_cell *cells, int n, unsigned char (*hashes)[SUM], summing *sum) {
	texts lists;
	unsigned char sums[LANES][SUM];
	for (int from = 0; from < n; from += LANES) {
		const int some = n - from < LANES ? n - from : LANES;
		memset(lists.length, 0, sizeof lists.length);
		for (int i = 0; i < some; i += CELLS)
			label(cells + from + i, some - i < CELLS ? some - i : CELLS, &lists, i, sum);
		sum(&lists, sums);
		memcpy(hashes[from], sums, some * SUM);
	}
}

// FOR defines the digests by a set of instructions.
#define FOR(name, attributes)                                                                        \
	attributes static __attribute__((noinline)) void sum_##name(texts *t, unsigned char (*sums)[SUM]) { \
		sum_all(t, sums);                                                                            \
	}                                                                                                \
	attributes static void name(const nb1_cell *cells, int n, unsigned char (*hashes)[SUM]) {           \
		digests(cells, n, hashes, sum_##name);                                                       \
	}

FOR(plain, )
#if defined(__x86_64__)
FOR(avx2, __attribute__((target("avx2"))))
FOR(avx512, __attribute__((target("avx512f,avx512bw,avx512vl"))))
#endif

void nb1_digests(const nb1_cell *cells, int n, unsigned char (*hashes)[SUM], int level) {
#if defined(__x86_64__)
	if (level > 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
		return avx512(cells, n, hashes);
	if (level > 0 && __builtin_cpu_supports("avx2"))
		return avx2(cells, n, hashes);
#endif
	plain(cells, n, hashes);
}
