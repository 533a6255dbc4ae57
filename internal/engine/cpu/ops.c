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

static int blocks(int all, int channels) { return (all + channels - 1) / channels; }

// A block is what one block of channels has to do with another: a number for each pair.
typedef float block[LANES * LANES];

// taps reads the block, [in][out], of the kernel for one pair of channel blocks, tap by
// tap, zero outside.
static void taps(block *t, const float *w, const nb_weights *at, int out_block, int in_block, int channels) {
	int k2 = at->k * at->k;
	int outs = at->transposed ? at->ins : at->outs, ins = at->transposed ? at->outs : at->ins;
	memset(t, 0, sizeof *t * k2);
	for (int i = 0; i < channels && in_block * channels + i < ins; i++)
		for (int o = 0; o < channels && out_block * channels + o < outs; o++) {
			int64_t from = in_block * channels + i, to = out_block * channels + o;
			const float *s = at->transposed ? w + (from * at->ins + to) * k2 : w + (to * at->ins + from) * k2;
			for (int q = 0; q < k2; q++) t[at->transposed ? k2 - 1 - q : q][i * channels + o] = s[q];
		}
}

// four makes of three numbers, n times, the four that a filter is in Winograd's domain, G·g.
static void four(float *restrict r0, float *restrict r1, float *restrict r2, float *restrict r3, const float *restrict a, const float *restrict b, const float *restrict d, int n) {
	for (int e = 0; e < n; e++) r0[e] = a[e], r1[e] = (a[e] + b[e] + d[e]) * 0.5f, r2[e] = (a[e] - b[e] + d[e]) * 0.5f, r3[e] = d[e];
}

// three makes of four numbers, n times, the three that a gradient is outside it, Gᵀ·u.
static void three(float *restrict r0, float *restrict r1, float *restrict r2, const float *restrict a, const float *restrict b, const float *restrict c, const float *restrict d, int n) {
	for (int e = 0; e < n; e++) {
		float sum = (b[e] + c[e]) * 0.5f;
		r0[e] = a[e] + sum, r1[e] = (b[e] - c[e]) * 0.5f, r2[e] = sum + d[e];
	}
}

// repeat writes each of n numbers once for every image.
static void repeat(float *restrict to, const float *restrict from, int64_t n, int images) {
	switch (images) {
	case 1: memcpy(to, from, sizeof(float) * n); break;
	case 2:
		for (int64_t e = 0; e < n; e++) to[2 * e] = to[2 * e + 1] = from[e];
		break;
	default:
		for (int64_t e = 0; e < n * images; e++) to[e] = from[e / images];
	}
}

void nb_pack(float *packed, const float *w, const nb_weights *at, nb_plane plane) {
	const int channels = plane.channels, images = plane.images, size = channels * channels, k2 = at->k * at->k;
	if (at->depthwise) {
		int64_t lanes = channels * images, rest = at->outs % channels;
		if (rest) memset(packed + at->outs / channels * k2 * lanes, 0, sizeof(float) * k2 * lanes);
		for (int64_t o = 0; o < at->outs; o++)
			for (int64_t q = 0; q < k2; q++) repeat(packed + (o / channels * k2 + q) * lanes + o % channels * images, w + o * k2 + q, 1, images);
		return;
	}
	block *t = malloc(sizeof *t * k2), r[12], u[16];
	int nout = blocks(at->transposed ? at->ins : at->outs, channels), nin = blocks(at->transposed ? at->outs : at->ins, channels);
	int64_t position = (int64_t)at->out_blocks * at->in_blocks * size * images;
	for (int o = 0; o < nout; o++)
		for (int i = 0; i < nin; i++) {
			taps(t, w, at, o, i, channels);
			float *p = packed + ((int64_t)(at->out_block + o) * at->in_blocks + at->in_block + i) * size * images;
			if (at->k != 3) {
				for (int q = 0; q < k2; q++) repeat(p + q * position, t[q], size, images);
				continue;
			}
			for (int c = 0; c < 3; c++) four(r[c], r[3 + c], r[6 + c], r[9 + c], t[c], t[3 + c], t[6 + c], size);
			for (int q = 0; q < 4; q++) four(u[4 * q], u[4 * q + 1], u[4 * q + 2], u[4 * q + 3], r[3 * q], r[3 * q + 1], r[3 * q + 2], size);
			for (int q = 0; q < 16; q++) repeat(p + q * position, u[q], size, images);
		}
	free(t);
}

// of_images is the sum of what each image has.
static inline float of_images(const float *p, int images) {
	float sum = p[0];
	for (int i = 1; i < images; i++) sum += p[i];
	return sum;
}

void nb_unpack(float *w, const float *packed, const nb_weights *at, int64_t groups, int64_t between, nb_plane plane) {
	const int channels = plane.channels, images = plane.images, size = channels * channels, k2 = at->k * at->k;
	if (at->depthwise) {
		for (int64_t o = 0; o < at->outs; o++)
			for (int64_t q = 0; q < k2; q++) {
				float sum = 0;
				for (int64_t g = 0; g < groups; g++) sum += of_images(packed + g * between + ((o / channels * k2 + q) * channels + o % channels) * images, images);
				w[o * k2 + q] = sum;
			}
		return;
	}
	int positions = at->k == 3 ? 16 : k2, nout = blocks(at->outs, channels), nin = blocks(at->ins, channels);
	int64_t position = (int64_t)at->out_blocks * at->in_blocks * size * images;
	block *t = malloc(sizeof *t * positions), r[12];
	for (int o = 0; o < nout; o++)
		for (int i = 0; i < nin; i++) {
			const float *p = packed + ((int64_t)(at->out_block + o) * at->in_blocks + at->in_block + i) * size * images;
			for (int q = 0; q < positions; q++) {
				float *sum = t[q];
				memcpy(sum, p + q * position, sizeof(float) * size * images);
				for (int64_t g = 1; g < groups; g++)
					for (int e = 0; e < size * images; e++) sum[e] += p[q * position + g * between + e];
				if (images > 1)
					for (int e = 0; e < size; e++) sum[e] = of_images(sum + e * images, images);
			}
			const block *d = t;
			if (at->k == 3) {
				for (int c = 0; c < 4; c++) three(r[c], r[4 + c], r[8 + c], t[c], t[4 + c], t[8 + c], t[12 + c], size);
				for (int q = 0; q < 3; q++) three(t[3 * q], t[3 * q + 1], t[3 * q + 2], r[4 * q], r[4 * q + 1], r[4 * q + 2], r[4 * q + 3], size);
			}
			for (int b = 0; b < channels && o * channels + b < at->outs; b++)
				for (int a = 0; a < channels && i * channels + a < at->ins; a++) {
					float *to = w + ((int64_t)(o * channels + b) * at->ins + i * channels + a) * k2;
					for (int q = 0; q < k2; q++) to[q] = d[q][a * channels + b];
				}
		}
	free(t);
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
