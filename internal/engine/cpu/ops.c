// What the instruction sets share: running a program, packing weights, memory.

#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ops.h"

void nb_advance(nb_stream *s) {
	do {
		s->next = (const char *)nb_at(&s->reads->plane, s->spaces, s->image);
		s->end = s->next + s->reads->bytes;
		s->reads++;
		s->count--;
	} while (s->next == s->end && s->count > 0);
}

void nb_run(const nb_phase *phase, nb_context context, int64_t from, int64_t to) {
	for (int64_t n = 0; n < to - from; n++) {
		int64_t image = phase->backwards ? to - 1 - n : from + n, next = phase->backwards ? image - 1 : image + 1;
		nb_stream stream = { .reads = phase->reads, .count = next >= 0 && next < phase->images ? phase->read_count : 0,
			.image = next, .spaces = context.spaces, .next = context.spaces[SPACE_SCRATCH], .end = context.spaces[SPACE_SCRATCH] };
		context.image = image;
		context.stream = &stream;
		for (int64_t i = 0; i < phase->count; i++)
			if (!phase->ops[i].skip) phase->kernels[phase->ops[i].kind](&phase->ops[i], &context);
	}
	__sync_synchronize(); // for what went past the caches
}

void nb_total(double *restrict total, const double *restrict sums, int64_t n, int64_t groups, int64_t between) {
	for (int64_t i = 0; i < n; i++) total[i] = 0;
	for (int64_t g = 0; g < groups; g++)
		for (int64_t i = 0; i < n; i++) total[i] += sums[g * between + i];
}

void nb_numbers_run(const nb_numbers *list, int64_t count) {
	for (const nb_numbers *h = list; h < list + count; h++) {
		double *to = h->to;
		const double *a = h->a, *b = h->b;
		int32_t n = h->n;
		switch (h->kind) {
		case NUMBERS_COPY:
			for (int32_t i = 0; i < n; i++) to[i] = a[i * h->step];
			break;
		case NUMBERS_ADD:
			for (int32_t i = 0; i < n; i++) to[i] = a[i] + b[i];
			break;
		case NUMBERS_SUBTRACT:
			for (int32_t i = 0; i < n; i++) to[i] = a[i] - b[i];
			break;
		case NUMBERS_MULTIPLY:
			for (int32_t i = 0; i < n; i++) to[i] = a[i] * b[i];
			break;
		case NUMBERS_SCALE:
			for (int32_t i = 0; i < n; i++) to[i] = h->k * a[i];
			break;
		case NUMBERS_DIVIDE:
			for (int32_t i = 0; i < n; i++) to[i] = a[i] / h->k;
			break;
		case NUMBERS_ROOT:
			for (int32_t i = 0; i < n; i++) to[i] = 1 / sqrt(a[i] + h->k);
			break;
		case NUMBERS_POSITIVE:
			for (int32_t i = 0; i < n; i++) to[i] = a[i] < 0 ? 0 : a[i]; // NaN stays
			break;
		case NUMBERS_SUM: {
			double sum = 0;
			for (int32_t i = 0; i < n; i++) sum += a[i];
			to[0] = sum;
			break;
		}
		case NUMBERS_READ:
			for (int32_t i = 0; i < n; i++) to[i] = ((const float *)h->a)[i];
			break;
		case NUMBERS_WRITE:
			for (int32_t i = 0; i < n; i++) ((float *)h->to)[i] = (float)a[i];
			break;
		}
	}
}

int64_t nb_own_work(const nb_op *op, int lanes) {
	int64_t row = (int64_t)op->w * lanes, across = (op->w + 1) / 2, down = (op->h + 1) / 2;
	// A strip is at most 32 tiles or one row of them, see kernels.h.
	int64_t strip = (across > 32 ? across : across * down < 32 ? across * down : 32) * lanes;
	switch (op->kind) {
	case OP_COMBINE: return NB_PIECE * lanes;
	case OP_CONV1: return 4 * lanes * op->nout;
	case OP_CONV3: return row + 4 * lanes * op->nout + 16 * (strip * (op->nin + op->nout) + 2 * lanes);
	case OP_WEIGHT3: return row + 16 * (strip * (op->nin + op->naux) + 2 * lanes);
	case OP_POOL_BACK:
	case OP_POOL_TAKE: return 6 * row;
	case OP_DEPTH:
	case OP_DEPTH_BACK:
	case OP_DEPTH_WEIGHT: {
		nb_ring ring = nb_ring_of(op);
		return ring.rows * ring.length * lanes;
	}
	case OP_AVERAGE: return row + op->ow + op->oh;
	case OP_AVERAGE_BACK: return row + op->w + op->h;
	default: return 0;
	}
}

static int some_half(const nb_ref *r, int n) {
	for (int i = 0; i < n; i++)
		if (r[i].space == SPACE_HALF) return 1;
	return 0;
}

int64_t nb_work(const nb_op *op, int lanes) {
	int64_t own = nb_own_work(op, lanes), in = some_half(op->in, op->nin), aux = some_half(op->aux, op->naux);
	if (!in && !aux) return own;
	int64_t inner = (int64_t)op->h * op->w, outer = (int64_t)op->oh * op->ow, plane = (inner > outer ? inner : outer) * lanes;
	switch (op->kind) {
	case OP_CONV1: { // see product, kernels.h
		int64_t chunk = (int64_t)op->nin * 14 * lanes;
		return own + (chunk > 5120 ? chunk : 5120);
	}
	case OP_WEIGHT1: return own + (int64_t)(op->nin + op->naux) * NB_OUTER * lanes;
	case OP_CONV3:
	case OP_WEIGHT3:
	case OP_CONVK:
	case OP_WEIGHTK:
	case OP_STREAM: return own;
	case OP_REPACK: return own + op->nin * plane;
	default: return own + 2 * plane;
	}
}

// taps reads the block, [lanes][lanes], of the kernel for one pair of channel blocks, tap by
// tap, zero outside.
static void taps(float t[][LANES * LANES], const float *w, const nb_weights *at, int out_block, int in_block, int lanes) {
	int k2 = at->k * at->k;
	int outs = at->transposed ? at->ins : at->outs, ins = at->transposed ? at->outs : at->ins;
	memset(t, 0, sizeof *t * k2);
	for (int i = 0; i < lanes && in_block * lanes + i < ins; i++)
		for (int o = 0; o < lanes && out_block * lanes + o < outs; o++) {
			int64_t from = in_block * lanes + i, to = out_block * lanes + o;
			const float *s = at->transposed ? w + (from * at->ins + to) * k2 : w + (to * at->ins + from) * k2;
			for (int q = 0; q < k2; q++) t[at->transposed ? k2 - 1 - q : q][i * lanes + o] = s[q];
		}
}

static int blocks(int channels, int lanes) { return (channels + lanes - 1) / lanes; }

void nb_pack(float *packed, const float *w, const nb_weights *at, int lanes) {
	const int block = lanes * lanes;
	if (at->depthwise) {
		int64_t k2 = at->k * at->k, rest = at->outs % lanes;
		if (rest) memset(packed + at->outs / lanes * k2 * lanes, 0, sizeof(float) * k2 * lanes);
		for (int64_t o = 0; o < at->outs; o++)
			for (int64_t q = 0; q < k2; q++) packed[(o / lanes * k2 + q) * lanes + o % lanes] = w[o * k2 + q];
		return;
	}
	float(*t)[LANES * LANES] = malloc(sizeof *t * at->k * at->k);
	int nout = blocks(at->transposed ? at->ins : at->outs, lanes), nin = blocks(at->transposed ? at->outs : at->ins, lanes);
	int64_t position = (int64_t)at->out_blocks * at->in_blocks * block;
	for (int o = 0; o < nout; o++)
		for (int i = 0; i < nin; i++) {
			taps(t, w, at, o, i, lanes);
			float *p = packed + ((int64_t)(at->out_block + o) * at->in_blocks + at->in_block + i) * block;
			if (at->k != 3) {
				for (int q = 0; q < at->k * at->k; q++) memcpy(p + q * position, t[q], sizeof(float) * block);
				continue;
			}
			for (int e = 0; e < block; e++) { // G·g·Gᵀ
				float r[4][3];
				for (int c = 0; c < 3; c++) {
					float a = t[c][e], b = t[3 + c][e], d = t[6 + c][e];
					r[0][c] = a, r[1][c] = (a + b + d) * 0.5f, r[2][c] = (a - b + d) * 0.5f, r[3][c] = d;
				}
				for (int q = 0; q < 4; q++) {
					float a = r[q][0], b = r[q][1], d = r[q][2];
					p[(q * 4 + 0) * position + e] = a;
					p[(q * 4 + 1) * position + e] = (a + b + d) * 0.5f;
					p[(q * 4 + 2) * position + e] = (a - b + d) * 0.5f;
					p[(q * 4 + 3) * position + e] = d;
				}
			}
		}
	free(t);
}

void nb_unpack(float *w, const float *packed, const nb_weights *at, int64_t groups, int64_t between, int lanes) {
	const int block = lanes * lanes;
	if (at->depthwise) {
		int64_t k2 = at->k * at->k;
		for (int64_t o = 0; o < at->outs; o++)
			for (int64_t q = 0; q < k2; q++) {
				float sum = 0;
				for (int64_t g = 0; g < groups; g++) sum += packed[g * between + (o / lanes * k2 + q) * lanes + o % lanes];
				w[o * k2 + q] = sum;
			}
		return;
	}
	int k2 = at->k * at->k, positions = at->k == 3 ? 16 : k2, nout = blocks(at->outs, lanes), nin = blocks(at->ins, lanes);
	int64_t position = (int64_t)at->out_blocks * at->in_blocks * block;
	float(*sum)[LANES * LANES] = malloc(sizeof *sum * positions);
	for (int o = 0; o < nout; o++)
		for (int i = 0; i < nin; i++) {
			const float *p = packed + ((int64_t)(at->out_block + o) * at->in_blocks + at->in_block + i) * block;
			for (int q = 0; q < positions; q++) {
				memcpy(sum[q], p + q * position, sizeof(float) * block);
				for (int64_t g = 1; g < groups; g++)
					for (int e = 0; e < block; e++) sum[q][e] += p[q * position + g * between + e];
			}
			for (int a = 0; a < lanes && i * lanes + a < at->ins; a++)
				for (int b = 0; b < lanes && o * lanes + b < at->outs; b++) {
					int e = a * lanes + b;
					float *d = w + ((int64_t)(o * lanes + b) * at->ins + i * lanes + a) * k2;
					if (at->k != 3) {
						for (int q = 0; q < k2; q++) d[q] = sum[q][e];
						continue;
					}
					float r[3][4]; // Gᵀ·u·G
					for (int c = 0; c < 4; c++) {
						float u0 = sum[c][e], u1 = sum[4 + c][e], u2 = sum[8 + c][e], u3 = sum[12 + c][e];
						r[0][c] = u0 + (u1 + u2) * 0.5f, r[1][c] = (u1 - u2) * 0.5f, r[2][c] = (u1 + u2) * 0.5f + u3;
					}
					for (int q = 0; q < 3; q++) {
						d[q * 3 + 0] = r[q][0] + (r[q][1] + r[q][2]) * 0.5f;
						d[q * 3 + 1] = (r[q][1] - r[q][2]) * 0.5f;
						d[q * 3 + 2] = (r[q][1] + r[q][2]) * 0.5f + r[q][3];
					}
				}
		}
	free(sum);
}

enum { HUGE_PAGE = 2 << 20 };

void *nb_alloc(int64_t bytes) {
	void *memory = 0;
	int64_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
	if (posix_memalign(&memory, align, bytes > 0 ? bytes : 1)) return 0;
#if defined(__linux__)
	if (bytes >= HUGE_PAGE) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
	memset(memory, 0, bytes);
	return memory;
}

void nb_free(void *memory) { free(memory); }

void nb_axpy(float *restrict y, float a, const float *restrict x, int64_t n) {
	for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

void nb_scale(float *y, float a, int64_t n) {
	for (int64_t i = 0; i < n; i++) y[i] *= a;
}

void nb_blend(float *restrict y, const float *keep, const float *gain, const float *scale, const float *x, int64_t n) {
	for (int64_t i = 0; i < n; i++) {
		float scaled = scale[i] * x[i], kept = keep[i] * y[i];
		y[i] = gain[i] == 0 ? y[i] : kept + gain[i] * scaled;
	}
}

// The sum is in double and in a fixed order; four partial sums keep it from
// waiting on itself.
double nb_dot(const float *x, const float *y, int64_t n) {
	double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
	int64_t i = 0;
	for (; i + 4 <= n; i += 4) {
		s0 += (double)x[i] * y[i];
		s1 += (double)x[i + 1] * y[i + 1];
		s2 += (double)x[i + 2] * y[i + 2];
		s3 += (double)x[i + 3] * y[i + 3];
	}
	for (; i < n; i++) s0 += (double)x[i] * y[i];
	return (s0 + s1) + (s2 + s3);
}

void nb_step_pack(const nb_steps *s, float *to, const float *a, int64_t am, int64_t ak, int64_t m, int64_t i0, int64_t i1, int64_t k0, int64_t k1) {
	s->pack(to, a, am, ak, m, i0, i1, k0, k1);
}

void nb_step_product(const nb_steps *s, float *c, int64_t cm, int64_t cn, const float *rows, const float *b, int64_t bk, int64_t bn,
	int64_t m, int64_t depth, int64_t piece, int64_t j0, int64_t j1, int32_t add, float *work) {
	s->product(c, cm, cn, rows, b, bk, bn, m, depth, piece, j0, j1, add, work);
}

void nb_step_list(const nb_steps *s, const nb_step *list, int64_t count, int64_t from, int64_t to, float *scratch) {
	s->list(list, count, from, to, scratch);
}

void nb_step_take(const nb_steps *s, float *y, int64_t stride, const float *w, const float *numbers, int64_t size, int64_t without, int64_t from, int64_t to) {
	s->take(y, stride, w, numbers, size, without, from, to);
}

void nb_step_scatter(const nb_steps *s, float *y, const float *g, int64_t stride, const float *numbers, int64_t n, int64_t size, int64_t without, int64_t from, int64_t to) {
	s->scatter(y, g, stride, numbers, n, size, without, from, to);
}

void nb_step_softmax(const nb_steps *s, float *top, double *sum, const float *logits, int64_t classes, int64_t stride, int64_t from, int64_t to) {
	s->softmax(top, sum, logits, classes, stride, from, to);
}

void nb_step_softmax_back(const nb_steps *s, float *y, int64_t between, const float *logits, int64_t stride, const float *top, const double *sum, double scale, int64_t classes, int64_t from, int64_t to) {
	s->softmax_back(y, between, logits, stride, top, sum, scale, classes, from, to);
}

void nb_step_turn(float *y, const float *x, int64_t images, int64_t rest, int64_t n0, int64_t n1) {
	for (int64_t j0 = 0; j0 < rest; j0 += 16)
		for (int64_t n = n0; n < n1; n++)
			for (int64_t j = j0; j < rest && j < j0 + 16; j++) y[j * images + n] = x[n * rest + j];
}
