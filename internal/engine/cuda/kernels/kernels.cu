// The kernels, in what C and CUDA C++ have in common: nvcc compiles this file for
// GPUs, and the emulator includes it in C to run it on a processor. format.h says
// what the instructions mean.
//
// A kernel works on all images at once, BLOCK_Z being the image. Planes are
// [pixel][16 channels], so a thread takes four channels of a pixel (a quarter of
// them) and its neighbours the others: they read and write lines of memory
// together. Every sum is made in an order that depends on sizes alone, and
// nothing is added to memory by several blocks, so results have the same bits in
// every run.
//
// Planes, coefficients and packed weights are aligned to 16 bytes. Only OP_COMBINE
// and sums in place (accumulate) may write what they read.

#include <math.h>

#ifdef __CUDACC__
#define NB_DEVICE __device__
#define NB_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define NB_SHARED(type, name, n) __shared__ type name[n]
#define BARRIER() __syncthreads()
#define THREAD ((int)threadIdx.x)
#define THREADS ((int)blockDim.x)
#define BLOCK_X ((int)blockIdx.x)
#define BLOCK_Y ((int)blockIdx.y)
#define BLOCK_Z ((int)blockIdx.z)
#define GRID_X ((int)gridDim.x)
#define GRID_Y ((int)gridDim.y)
#define INLINE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(n) PRAGMA(unroll n)
#define MULTIPLY_ADD(a, b, c) fmaf(a, b, c)
#define GLOBAL(p) __cvta_global_to_generic((size_t)(p)) // loads are faster if nvcc knows that it is
#endif

#include "device.h"

enum {
	QUARTERS = LANES / 4,
	ROWS = NB_THREADS / LANES,    // pixels at a time, a thread for each channel
	PIXELS = NB_THREADS / QUARTERS, // or for each quarter
	BLOCK = LANES * LANES         // weights of a pair of channel blocks
};

#define EACH(l) UNROLL for (int l = 0; l < 4; l++)

// Four channels of a pixel; fours has the same number in all of them.
typedef struct __attribute__((aligned(16))) {
	float v[4];
} four;

INLINE float *at(const nb_ref *r, const nb_device *d, int64_t image) {
	return (float *)GLOBAL(nb_at(r, d->spaces, image));
}

// quarter is where the q-th four channels of a plane's pixels begin, QUARTERS apart.
INLINE four *quarter(const nb_ref *r, const nb_device *d, int64_t image, int q) { return (four *)at(r, d, image) + q; }

INLINE four fours(float x) {
	four r;
	EACH(l) r.v[l] = x;
	return r;
}

INLINE int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

// tree adds up the n numbers room[i·NB_THREADS + t] of all threads t that are a
// multiple of `columns` apart, a power of 2; those of threads t < columns are then
// the sums.
INLINE void tree(double *room, const int n, const int columns) {
	BARRIER();
	for (int half = NB_THREADS / 2; half >= columns; half /= 2) {
		if (THREAD < half) {
			UNROLL for (int i = 0; i < n; i++) room[i * NB_THREADS + THREAD] += room[i * NB_THREADS + THREAD + half];
		}
		BARRIER();
	}
}

// ---- Linear combinations

enum { COMBINED = 4 }; // pixels of a thread

// A thread makes all passes over its elements. Between the passes over one plane
// the sum stays with it, so the later of them must not have the plane for a term.
NB_KERNEL(NB_THREADS) op_combine(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->oh * op->ow;
	int64_t first = (int64_t)BLOCK_X * COMBINED * PIXELS + THREAD / QUARTERS;
	int q = THREAD % QUARTERS, count = op->count, begins = 1;
	const nb_pass *p = op->passes;
	four sum[COMBINED];
	UNROLL for (int j = 0; j < COMBINED; j++) sum[j] = fours(0);
	for (int i = 0; i < count; i++, p++) {
		four *out = quarter(&p->out, d, image, q);
		const four *coef = (const four *)p->coef + q;
		if (!p->accumulate) {
			four b = coef[0];
			UNROLL for (int j = 0; j < COMBINED; j++) sum[j] = b;
		} else if (begins) {
			UNROLL for (int j = 0; j < COMBINED; j++)
				if (first + j * PIXELS < pixels) sum[j] = out[(first + j * PIXELS) * QUARTERS];
		}
		for (int t = 0; t < p->terms; t++) {
			if (p->skip >> t & 1) continue;
			int kind = p->kind[t], has_z = kind != TERM_RELU && p->z[t].space != SPACE_NONE;
			const four *z = has_z ? quarter(&p->z[t], d, image, q) : 0;
			const four *y = kind != TERM_PLAIN ? quarter(&p->y[t], d, image, q) : 0;
			four a = coef[(1 + 3 * t) * QUARTERS], slope = fours(0), shift = fours(0);
			if (kind != TERM_PLAIN) slope = coef[(2 + 3 * t) * QUARTERS], shift = coef[(3 + 3 * t) * QUARTERS];
			if (p->images && p->image[t].space != SPACE_NONE) {
				float factor = *at(&p->image[t], d, image);
				EACH(l) a.v[l] *= factor;
			}
			UNROLL for (int j = 0; j < COMBINED; j++) {
				int64_t pixel = first + j * PIXELS;
				if (pixel >= pixels) break;
				four v = has_z ? z[pixel * QUARTERS] : fours(1);
				if (kind != TERM_PLAIN) {
					four w = y[pixel * QUARTERS];
					EACH(l) w.v[l] = MULTIPLY_ADD(slope.v[l], w.v[l], shift.v[l]);
					if (kind == TERM_RELU) {
						EACH(l) v.v[l] = 0 > w.v[l] ? 0 : w.v[l]; // NaN stays
					} else {
						EACH(l) v.v[l] = w.v[l] > 0 ? v.v[l] : 0;
					}
				}
				EACH(l) sum[j].v[l] = MULTIPLY_ADD(a.v[l], v.v[l], sum[j].v[l]);
			}
		}
		begins = p->last;
		if (!begins) continue;
		UNROLL for (int j = 0; j < COMBINED; j++)
			if (first + j * PIXELS < pixels) out[(first + j * PIXELS) * QUARTERS] = sum[j];
	}
}

// ---- Reductions

// A block makes one reduction of one image.
NB_KERNEL(NB_THREADS) op_reduce(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, 4 * NB_THREADS);
	if (op->skip) return;
	const nb_reduction *r = op->reductions + BLOCK_X;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w;
	int lane = THREAD % LANES, masked = r->masked, nw = r->nw;
	const float *z = r->has_z ? at(&r->z, d, image) + lane : 0, *y = masked ? at(&r->y, d, image) + lane : 0, *w[3];
	UNROLL for (int k = 0; k < 3; k++) w[k] = k < nw ? at(&r->w[k], d, image) + lane : 0;
	float slope = 0, shift = 0;
	if (masked) slope = r->coef[lane], shift = r->coef[LANES + lane];
	double sum[4] = { 0, 0, 0, 0 };
	UNROLL_BY(2) for (int64_t p = THREAD / LANES; p < pixels; p += ROWS) {
		float v = z ? z[p * LANES] : 1;
		if (masked && !(MULTIPLY_ADD(slope, y[p * LANES], shift) > 0)) v = 0;
		sum[0] += v;
		UNROLL for (int k = 0; k < 3; k++)
			if (k < nw) sum[1 + k] += (double)v * w[k][p * LANES];
	}
	UNROLL for (int k = 0; k < 4; k++) room[k * NB_THREADS + THREAD] = sum[k];
	tree(room, 4, LANES);
	if (THREAD >= LANES) return;
	double factor = r->image.space == SPACE_NONE ? 1 : *at(&r->image, d, image);
	double *sums = d->sums + image * d->sums_between + r->slot + lane;
	for (int k = 0; k <= nw; k++) sums[k * LANES] = factor * room[k * NB_THREADS + lane];
}

// ---- Convolutions: matrix products of tiles of pixels

// A tile is CONVOLVED pixels a thread times four output channels; with more output
// blocks in a tile it has fewer pixels.
enum {
	CONVOLVED = 4,
	ACROSS = 16, NARROW = 8,        // pixels in a row of a tile for K > 1, and if it has 4 output blocks
	WEIGHTS = BLOCK / 4 + QUARTERS, // fours of a pair of blocks; the odd ones keep blocks off each other's banks
	CONV1_ROOM = NB_THREADS * QUARTERS + WEIGHTS, // with one output block, which needs most
	CONV3_ROOM = (ACROSS + 2) * (ACROSS + 2) * QUARTERS + 3 * WEIGHTS
};

// convolve makes the tiles of one image for some output blocks: K = 1 or 3, blocks =
// 1, 2 or 4. The inputs of a tile go through the room, one channel block after
// another, and the weights, one row of taps after another. An image's moments are
// those of all its tiles, which then must all be made by this block (GRID_Y = 1).
INLINE void convolve(const nb_op *op, const nb_device *d, four *room, double *moments, const int K, const int blocks) {
	const int columns = QUARTERS * blocks, rows = NB_THREADS / columns, size = rows * CONVOLVED;
	const int across = K == 1 ? size : blocks == 4 ? NARROW : ACROSS, down = size / across;
	const int width = across + K - 1, height = down + K - 1; // with the halo
	const four *x_room = room;
	four *w_room = room + width * height * QUARTERS;
	int h = op->h, w = op->w, nin = op->nin, nout = op->nout, accumulate = op->accumulate;
	if (K == 1) w *= h, h = 1;
	int column = THREAD % columns, row = THREAD / columns;
	int first = BLOCK_X * blocks, mine = first + column / QUARTERS;
	int64_t image = BLOCK_Z;
	const four *weights = (const four *)op->weights;
	four *out = mine < nout ? quarter(&op->out[mine], d, image, column % QUARTERS) : 0;
	const four *my_weights = w_room + column / QUARTERS * WEIGHTS + column % QUARTERS;
	int place[CONVOLVED]; // of my pixels in the room
	UNROLL for (int j = 0; j < CONVOLVED; j++) place[j] = (row + j * rows) / across * width + (row + j * rows) % across;
	int summed = op->slots != 0;
	UNROLL for (int i = 0; i < 8 && summed; i++) moments[i * NB_THREADS + THREAD] = 0;
	int tiles_across = (int)divide_up(w, across), tiles = tiles_across * (int)divide_up(h, down);
	for (int tile = BLOCK_Y; tile < tiles; tile += GRID_Y) {
		int top = tile / tiles_across * down, left = tile % tiles_across * across;
		four sum[CONVOLVED];
		UNROLL for (int j = 0; j < CONVOLVED; j++) sum[j] = fours(0);
		for (int i = 0; i < nin; i++) {
			const four *x = quarter(&op->in[i], d, image, 0);
			int depth = op->depth[i];
			for (int taps = 0; taps < K; taps++) { // a row of them
				BARRIER();
				if (taps == 0)
					for (int e = THREAD; e < width * height * QUARTERS; e += NB_THREADS) {
						int q = e % QUARTERS, r = top + e / QUARTERS / width - K / 2, c = left + e / QUARTERS % width - K / 2;
						four v = fours(0);
						if (r >= 0 && r < h && c >= 0 && c < w && 4 * q < depth) v = x[((int64_t)r * w + c) * QUARTERS + q];
						EACH(l) v.v[l] = 4 * q + l < depth ? v.v[l] : 0;
						room[e] = v;
					}
				for (int e = THREAD; e < K * blocks * (BLOCK / 4); e += NB_THREADS) {
					int o = e / (BLOCK / 4) % blocks, tap = taps * K + e / (BLOCK / 4) / blocks;
					four v = fours(0);
					if (first + o < nout) v = weights[(((int64_t)tap * nout + first + o) * nin + i) * (BLOCK / 4) + e % (BLOCK / 4)];
					w_room[e / (BLOCK / 4) * WEIGHTS + e % (BLOCK / 4)] = v;
				}
				BARRIER();
				UNROLL for (int tap = 0; tap < K; tap++)
					for (int q = 0; 4 * q < depth; q++) {
						four v[4];
						EACH(n) v[n] = my_weights[tap * blocks * WEIGHTS + (4 * q + n) * QUARTERS];
						UNROLL for (int j = 0; j < CONVOLVED; j++) {
							four u = x_room[(place[j] + taps * width + tap) * QUARTERS + q];
							EACH(n) EACH(l) sum[j].v[l] = MULTIPLY_ADD(u.v[n], v[n].v[l], sum[j].v[l]);
						}
					}
			}
		}
		UNROLL for (int j = 0; j < CONVOLVED; j++) {
			int r = top + (row + j * rows) / across, c = left + (row + j * rows) % across;
			if (!out || r >= h || c >= w) continue;
			four *y = out + ((int64_t)r * w + c) * QUARTERS;
			if (accumulate) {
				four before = *y;
				EACH(l) sum[j].v[l] += before.v[l];
			}
			*y = sum[j];
			if (summed) EACH(l) {
				moments[l * NB_THREADS + THREAD] += sum[j].v[l];
				moments[(4 + l) * NB_THREADS + THREAD] += (double)sum[j].v[l] * sum[j].v[l];
			}
		}
	}
	if (!summed) return;
	tree(moments, 8, columns);
	if (THREAD >= columns || mine >= nout || op->slots[mine] < 0) return;
	double *sums = d->sums + image * d->sums_between + op->slots[mine] + THREAD % QUARTERS * 4;
	EACH(l) {
		sums[l] = moments[l * NB_THREADS + THREAD];
		sums[LANES + l] = moments[(4 + l) * NB_THREADS + THREAD];
	}
}

// tiles calls convolve for as many blocks as the host chose by the size of the grid.
INLINE void tiles(const nb_op *op, const nb_device *d, four *room, double *moments, const int K) {
	int blocks = (int)divide_up(op->nout, GRID_X);
	if (blocks == 1) convolve(op, d, room, moments, K, 1);
	else if (blocks == 2) convolve(op, d, room, moments, K, 2);
	else convolve(op, d, room, moments, K, 4);
}

NB_KERNEL(NB_THREADS) op_conv1(const nb_op *op, const nb_device *d) {
	NB_SHARED(four, room, CONV1_ROOM);
	NB_SHARED(double, moments, 8 * NB_THREADS);
	if (!op->skip) tiles(op, d, room, moments, 1);
}

NB_KERNEL(NB_THREADS) op_conv3(const nb_op *op, const nb_device *d) {
	NB_SHARED(four, room, CONV3_ROOM);
	NB_SHARED(double, moments, 8 * NB_THREADS);
	if (!op->skip) tiles(op, d, room, moments, 3);
}

// Windows of other sizes occur in no network here; they are computed plainly, a
// pixel and four channels by a thread.
NB_KERNEL(NB_THREADS) op_convk(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, 8 * NB_THREADS);
	if (op->skip) return;
	int k = op->k, h = op->h, w = op->w, nin = op->nin, nout = op->nout, o = BLOCK_X, q = THREAD % QUARTERS;
	int64_t image = BLOCK_Z, pixels = (int64_t)h * w;
	const four *weights = (const four *)op->weights + q;
	four *y = quarter(&op->out[o], d, image, q);
	UNROLL for (int i = 0; i < 8; i++) room[i * NB_THREADS + THREAD] = 0;
	for (int64_t p = (int64_t)BLOCK_Y * PIXELS + THREAD / QUARTERS; p < pixels; p += (int64_t)GRID_Y * PIXELS) {
		four sum = op->accumulate ? y[p * QUARTERS] : fours(0);
		for (int tap = 0; tap < k * k; tap++) {
			int row = (int)(p / w) + tap / k - k / 2, col = (int)(p % w) + tap % k - k / 2;
			if (row < 0 || row >= h || col < 0 || col >= w) continue;
			for (int i = 0; i < nin; i++) {
				const float *x = at(&op->in[i], d, image) + ((int64_t)row * w + col) * LANES;
				const four *v = weights + (((int64_t)tap * nout + o) * nin + i) * (BLOCK / 4);
				for (int a = 0; a < op->depth[i]; a++) EACH(l) sum.v[l] = MULTIPLY_ADD(x[a], v[a * QUARTERS].v[l], sum.v[l]);
			}
		}
		y[p * QUARTERS] = sum;
		EACH(l) {
			room[l * NB_THREADS + THREAD] += sum.v[l];
			room[(4 + l) * NB_THREADS + THREAD] += (double)sum.v[l] * sum.v[l];
		}
	}
	if (!op->slots) return;
	tree(room, 8, QUARTERS);
	if (THREAD >= QUARTERS || op->slots[o] < 0) return;
	double *sums = d->sums + image * d->sums_between + op->slots[o] + q * 4;
	EACH(l) {
		sums[l] = room[l * NB_THREADS + THREAD];
		sums[LANES + l] = room[(4 + l) * NB_THREADS + THREAD];
	}
}

// ---- Weight gradients

// weigh computes, for input block BLOCK_X, group BLOCK_Z and `outs` output blocks,
// the gradient of `taps` taps in a row: Σ of input times gradient over the group's
// pixels. A thread has 4×4 pairs of channels and one pixel of every ROWS; K is 0 if
// it is not known here.
INLINE void weigh(const nb_op *op, const nb_device *d, double *room, const int K, const int taps, const int outs, int first_out, int first_tap) {
	int k = K ? K : op->k, h = op->h, w = op->w, in = BLOCK_X, naux = op->naux;
	int a = THREAD % LANES / QUARTERS, c = THREAD % QUARTERS;
	int dy = first_tap / k - k / 2, dx = first_tap % k - k / 2;
	int64_t pixels = (int64_t)h * w, group = BLOCK_Z, to = (group + 1) * d->images / d->groups;
	four sum[12]; // [taps][outs][4], at most
	UNROLL for (int i = 0; i < taps * outs * 4; i++) sum[i] = fours(0);
	for (int64_t image = group * d->images / d->groups; image < to; image++) {
		const four *x = quarter(&op->in[in], d, image, a), *g[2];
		UNROLL for (int o = 0; o < outs; o++) g[o] = quarter(&op->aux[first_out + o < naux ? first_out + o : first_out], d, image, c);
		int row = THREAD / LANES / w, col = THREAD / LANES % w;
		for (int64_t p = THREAD / LANES; p < pixels; p += ROWS) {
			four v[2];
			UNROLL for (int o = 0; o < outs; o++) v[o] = g[o][p * QUARTERS];
			UNROLL for (int t = 0; t < taps; t++) {
				int y = row + dy, z = col + dx + t;
				four u = fours(0);
				if (K == 1 || (y >= 0 && y < h && z >= 0 && z < w)) u = x[((int64_t)y * w + z) * QUARTERS];
				UNROLL for (int o = 0; o < outs; o++)
					EACH(n) EACH(l) sum[(t * outs + o) * 4 + n].v[l] = MULTIPLY_ADD(u.v[n], v[o].v[l], sum[(t * outs + o) * 4 + n].v[l]);
			}
			for (col += ROWS; col >= w; col -= w) row++;
		}
	}
	UNROLL for (int t = 0; t < taps; t++)
		UNROLL for (int o = 0; o < outs; o++) {
			EACH(n) EACH(l) room[(n * 4 + l) * NB_THREADS + THREAD] = sum[(t * outs + o) * 4 + n].v[l];
			tree(room, 16, LANES);
			if (THREAD >= LANES || first_out + o >= naux) continue;
			four *to = (four *)(d->gradients + group * d->gradients_between + op->slot +
				(((int64_t)(first_tap + t) * naux + first_out + o) * op->nin + in) * BLOCK) + c;
			EACH(n) {
				four r;
				EACH(l) r.v[l] = 4 * a + n < op->depth[in] ? (float)room[(n * 4 + l) * NB_THREADS + THREAD] : 0;
				to[(4 * a + n) * QUARTERS] = r;
			}
		}
}

NB_KERNEL(NB_THREADS) op_weight1(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, 16 * NB_THREADS);
	if (!op->skip) weigh(op, d, room, 1, 1, 2, 2 * BLOCK_Y, 0);
}

NB_KERNEL(NB_THREADS) op_weight3(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, 16 * NB_THREADS);
	if (!op->skip) weigh(op, d, room, 3, 3, 1, BLOCK_Y / 3, BLOCK_Y % 3 * 3);
}

NB_KERNEL(NB_THREADS) op_weightk(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, 16 * NB_THREADS);
	if (!op->skip) weigh(op, d, room, 0, 1, 1, BLOCK_Y / (op->k * op->k), BLOCK_Y % (op->k * op->k));
}

// ---- Pooling

INLINE int lower(int from) { return from < 0 ? 0 : from; }
INLINE int upper(int to, int n) { return to > n ? n : to; }

// chosen finds the first maximum of window (i, j) of four channels: its value and its
// number in the window, row by row. A NaN counts as larger than all numbers.
INLINE four chosen(const nb_op *op, const four *x, int i, int j, int *tap) {
	int k = op->k, w = op->w, top = i * op->stride - op->pad, left = j * op->stride - op->pad;
	int row1 = upper(top + k, op->h), col1 = upper(left + k, w);
	four best = fours(0);
	EACH(l) tap[l] = -1;
	for (int row = lower(top); row < row1; row++)
		UNROLL_BY(1) for (int col = lower(left); col < col1; col++) { // or registers spill
			four v = x[((int64_t)row * w + col) * QUARTERS];
			EACH(l)
				if (tap[l] < 0 || v.v[l] > best.v[l] || (v.v[l] != v.v[l] && best.v[l] == best.v[l])) {
					best.v[l] = v.v[l];
					tap[l] = (row - top) * k + col - left;
				}
		}
	return best;
}

NB_KERNEL(NB_THREADS) op_pool(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	int ow = op->ow, q = THREAD % QUARTERS, tap[4];
	if (p >= (int64_t)op->oh * ow) return;
	quarter(&op->out[BLOCK_Y], d, image, q)[p * QUARTERS] =
		chosen(op, quarter(&op->in[BLOCK_Y], d, image, q), (int)(p / ow), (int)(p % ow), tap);
}

NB_KERNEL(NB_THREADS) op_pool_take(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	int ow = op->ow, k = op->k, q = THREAD % QUARTERS, tap[4];
	if (p >= (int64_t)op->oh * ow) return;
	int i = (int)(p / ow), j = (int)(p % ow), top = i * op->stride - op->pad, left = j * op->stride - op->pad;
	const four *u = quarter(&op->aux[BLOCK_Y], d, image, q);
	four r;
	chosen(op, quarter(&op->in[BLOCK_Y], d, image, q), i, j, tap);
	EACH(l) r.v[l] = u[((int64_t)(top + tap[l] / k) * op->w + left + tap[l] % k) * QUARTERS].v[l];
	quarter(&op->out[BLOCK_Y], d, image, q)[p * QUARTERS] = r;
}

// The windows that contain a place are those from first_window to last_window, which
// may be none.
INLINE int first_window(int place, const nb_op *op) {
	int from = place + op->pad - op->k + 1;
	return from <= 0 ? 0 : (from + op->stride - 1) / op->stride;
}
INLINE int last_window(int place, const nb_op *op, int n) { return upper((place + op->pad) / op->stride, n - 1); }

enum { POOLED = 8, WINDOWS = 16 }; // sides of a tile, and of the windows about it whose choice is remembered

// Every place asks the windows that contain it whether they chose it. For an inner
// product, one block makes all tiles of a plane.
NB_KERNEL(NB_THREADS) op_pool_back(const nb_op *op, const nb_device *d) {
	NB_SHARED(unsigned char, choice, WINDOWS * WINDOWS * LANES);
	NB_SHARED(double, room, 4 * NB_THREADS);
	if (op->skip) return;
	int64_t image = BLOCK_Z;
	int b = BLOCK_X, q = THREAD % QUARTERS, h = op->h, w = op->w, oh = op->oh, ow = op->ow, k = op->k, stride = op->stride, pad = op->pad;
	const four *x = quarter(&op->in[b], d, image, q), *g = quarter(&op->aux[b], d, image, q);
	four *out = quarter(&op->out[b], d, image, q), scale = op->weights ? ((const four *)op->weights)[b * QUARTERS + q] : fours(1);
	EACH(l) room[l * NB_THREADS + THREAD] = 0;
	int tiles_across = (int)divide_up(w, POOLED), tiles = tiles_across * (int)divide_up(h, POOLED);
	for (int tile = BLOCK_Y; tile < tiles; tile += GRID_Y) {
		int top = tile / tiles_across * POOLED, left = tile % tiles_across * POOLED;
		int row0 = first_window(top, op), col0 = first_window(left, op);
		int rows = last_window(top + POOLED - 1, op, oh) - row0 + 1, cols = last_window(left + POOLED - 1, op, ow) - col0 + 1;
		int remembered = rows <= WINDOWS && cols <= WINDOWS && k * k <= 256, tap[4];
		BARRIER();
		if (remembered)
			for (int e = THREAD / QUARTERS; e < rows * cols; e += PIXELS) {
				chosen(op, x, row0 + e / cols, col0 + e % cols, tap);
				EACH(l) choice[e * LANES + q * 4 + l] = (unsigned char)tap[l];
			}
		BARRIER();
		int row = top + THREAD / QUARTERS / POOLED, col = left + THREAD / QUARTERS % POOLED;
		if (row >= h || col >= w) continue;
		int row1 = last_window(row, op, oh), col1 = last_window(col, op, ow);
		four sum = fours(0);
		for (int i = first_window(row, op); i <= row1; i++)
			for (int j = first_window(col, op); j <= col1; j++) {
				int here = (row - (i * stride - pad)) * k + col - (j * stride - pad);
				four v = g[((int64_t)i * ow + j) * QUARTERS];
				if (remembered) {
					EACH(l) tap[l] = choice[((i - row0) * cols + j - col0) * LANES + q * 4 + l];
				} else {
					chosen(op, x, i, j, tap);
				}
				EACH(l) sum.v[l] += tap[l] == here ? v.v[l] : 0;
			}
		int64_t place = ((int64_t)row * w + col) * QUARTERS;
		four value = x[place], r;
		EACH(l) {
			room[l * NB_THREADS + THREAD] += (double)sum.v[l] * value.v[l];
			r.v[l] = scale.v[l] * sum.v[l];
		}
		if (op->accumulate) {
			four before = out[place];
			EACH(l) r.v[l] += before.v[l];
		}
		out[place] = r;
	}
	if (op->slot < 0) return;
	tree(room, 4, QUARTERS);
	if (THREAD >= QUARTERS) return;
	EACH(l) d->sums[image * d->sums_between + op->slot + b * LANES + q * 4 + l] = room[l * NB_THREADS + THREAD];
}

// ---- Depthwise convolutions, average-pooling and subsampling

// pixel_of is the pixel of a thread that makes four channels of one of a plane, or -1 if
// there is none left.
INLINE int64_t pixel_of(int64_t pixels) {
	int64_t p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	return p < pixels ? p : -1;
}

// rectify is max(slope·x + shift, 0), NaN staying.
INLINE four rectify(four x, four slope, four shift) {
	EACH(l) {
		float v = MULTIPLY_ADD(slope.v[l], x.v[l], shift.v[l]);
		x.v[l] = 0 > v ? 0 : v;
	}
	return x;
}

NB_KERNEL(NB_THREADS) op_depth(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS, k = op->k, h = op->h, w = op->w;
	int top = (int)(p / op->ow) * op->stride - op->pad, left = (int)(p % op->ow) * op->stride - op->pad;
	const four *x = quarter(&op->in[b], d, image, q), *weights = (const four *)op->weights + (int64_t)b * k * k * QUARTERS + q;
	const four *coef = op->coef ? (const four *)op->coef + 2 * b * QUARTERS + q : 0;
	four slope = fours(1), shift = fours(0), sum = fours(0);
	if (coef) slope = coef[0], shift = coef[QUARTERS];
	for (int i = 0; i < k; i++) {
		int row = top + i * op->dilation;
		if (row < 0 || row >= h) continue;
		for (int j = 0; j < k; j++) {
			int col = left + j * op->dilation;
			if (col < 0 || col >= w) continue;
			four v = x[((int64_t)row * w + col) * QUARTERS], u = weights[(i * k + j) * QUARTERS];
			if (coef) v = rectify(v, slope, shift);
			EACH(l) sum.v[l] = MULTIPLY_ADD(u.v[l], v.v[l], sum.v[l]);
		}
	}
	quarter(&op->out[b], d, image, q)[p * QUARTERS] = sum;
}

// window_at is the window of which a place of the input is `tap` pixels from the first,
// or -1.
INLINE int window_at(const nb_op *op, int place, int tap, int n) {
	int from = place + op->pad - tap;
	return from < 0 || from % op->stride != 0 || from / op->stride >= n ? -1 : from / op->stride;
}

NB_KERNEL(NB_THREADS) op_depth_back(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS, k = op->k, h = op->h, w = op->w, y = (int)(p / op->ow), z = (int)(p % op->ow);
	const four *g = quarter(&op->in[b], d, image, q), *weights = (const four *)op->weights + (int64_t)b * k * k * QUARTERS + q;
	four *out = quarter(&op->out[b], d, image, q) + p * QUARTERS, sum = fours(0);
	for (int i = 0; i < k; i++) {
		int row = window_at(op, y, i * op->dilation, h);
		if (row < 0) continue;
		for (int j = 0; j < k; j++) {
			int col = window_at(op, z, j * op->dilation, w);
			if (col < 0) continue;
			four v = g[((int64_t)row * w + col) * QUARTERS], u = weights[(i * k + j) * QUARTERS];
			EACH(l) sum.v[l] = MULTIPLY_ADD(u.v[l], v.v[l], sum.v[l]);
		}
	}
	if (op->naux > 0) {
		const four *coef = (const four *)op->coef + 2 * b * QUARTERS + q;
		four m = quarter(&op->aux[b], d, image, q)[p * QUARTERS], slope = coef[0], shift = coef[QUARTERS];
		EACH(l) sum.v[l] = MULTIPLY_ADD(slope.v[l], m.v[l], shift.v[l]) > 0 ? sum.v[l] : 0;
	}
	if (op->accumulate) {
		four before = *out;
		EACH(l) sum.v[l] += before.v[l];
	}
	*out = sum;
}

// weigh_row computes, for plane BLOCK_X and group BLOCK_Z, the gradient of `taps` taps of
// a row of the kernels: Σ of input times gradient over the group's pixels.
INLINE void weigh_row(const nb_op *op, const nb_device *d, double *room, const int taps, int first_tap) {
	int b = BLOCK_X, q = THREAD % QUARTERS, k = op->k, h = op->h, w = op->w, ow = op->ow;
	int dy = first_tap / k * op->dilation - op->pad, dx = first_tap % k * op->dilation - op->pad;
	int64_t pixels = (int64_t)op->oh * ow, group = BLOCK_Z, to = (group + 1) * d->images / d->groups;
	const four *coef = op->coef ? (const four *)op->coef + 2 * b * QUARTERS + q : 0;
	four slope = fours(1), shift = fours(0), sum[7]; // [taps], at most
	if (coef) slope = coef[0], shift = coef[QUARTERS];
	UNROLL for (int t = 0; t < taps; t++) sum[t] = fours(0);
	for (int64_t image = group * d->images / d->groups; image < to; image++) {
		const four *x = quarter(&op->in[b], d, image, q), *g = quarter(&op->aux[b], d, image, q);
		for (int64_t p = THREAD / QUARTERS; p < pixels; p += PIXELS) {
			int row = (int)(p / ow) * op->stride + dy, col = (int)(p % ow) * op->stride + dx;
			if (row < 0 || row >= h) continue;
			four v = g[p * QUARTERS];
			UNROLL for (int t = 0; t < taps; t++) {
				int c = col + t * op->dilation;
				if (c < 0 || c >= w) continue;
				four u = x[((int64_t)row * w + c) * QUARTERS];
				if (coef) u = rectify(u, slope, shift);
				EACH(l) sum[t].v[l] = MULTIPLY_ADD(u.v[l], v.v[l], sum[t].v[l]);
			}
		}
	}
	UNROLL for (int t = 0; t < taps; t++) {
		EACH(l) room[l * NB_THREADS + THREAD] = sum[t].v[l];
		tree(room, 4, QUARTERS);
		if (THREAD >= QUARTERS) continue;
		float *to = d->gradients + group * d->gradients_between + op->slot + ((int64_t)b * k * k + first_tap + t) * LANES + q * 4;
		EACH(l) to[l] = (float)room[l * NB_THREADS + THREAD];
	}
}

NB_KERNEL(NB_THREADS) op_depth_weight(const nb_op *op, const nb_device *d) { // a row of taps in one, if they are 3, 5 or 7
	NB_SHARED(double, room, 4 * NB_THREADS);
	if (op->skip) return;
	if (op->k == 3) weigh_row(op, d, room, 3, BLOCK_Y * 3);
	else if (op->k == 5) weigh_row(op, d, room, 5, BLOCK_Y * 5);
	else if (op->k == 7) weigh_row(op, d, room, 7, BLOCK_Y * 7);
	else weigh_row(op, d, room, 1, BLOCK_Y);
}

// share is one divided by how many of the `size` pixels of a row or a column are in the
// i-th window.
INLINE float share(const nb_op *op, int i, int size) {
	int from = i * op->stride - op->pad;
	return 1.f / (float)(upper(from + op->k, size) - lower(from));
}

NB_KERNEL(NB_THREADS) op_average(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS, h = op->h, w = op->w, i = (int)(p / op->ow), j = (int)(p % op->ow);
	int top = i * op->stride - op->pad, left = j * op->stride - op->pad, row1 = upper(top + op->k, h), col1 = upper(left + op->k, w);
	const four *x = quarter(&op->in[b], d, image, q);
	four sum = fours(0);
	for (int row = lower(top); row < row1; row++)
		for (int col = lower(left); col < col1; col++) {
			four v = x[((int64_t)row * w + col) * QUARTERS];
			EACH(l) sum.v[l] += v.v[l];
		}
	float factor = share(op, i, h) * share(op, j, w);
	EACH(l) sum.v[l] *= factor;
	quarter(&op->out[b], d, image, q)[p * QUARTERS] = sum;
}

NB_KERNEL(NB_THREADS) op_average_back(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS, h = op->h, w = op->w, y = (int)(p / op->ow), z = (int)(p % op->ow);
	int row1 = last_window(y, op, h), col1 = last_window(z, op, w);
	const four *g = quarter(&op->in[b], d, image, q);
	four sum = fours(0);
	for (int i = first_window(y, op); i <= row1; i++)
		for (int j = first_window(z, op); j <= col1; j++) {
			four v = g[((int64_t)i * w + j) * QUARTERS];
			float factor = share(op, i, op->oh) * share(op, j, op->ow);
			EACH(l) sum.v[l] = MULTIPLY_ADD(factor, v.v[l], sum.v[l]);
		}
	four *out = quarter(&op->out[b], d, image, q) + p * QUARTERS;
	if (op->accumulate) {
		four before = *out;
		EACH(l) sum.v[l] += before.v[l];
	}
	*out = sum;
}

NB_KERNEL(NB_THREADS) op_subsample(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS;
	int64_t row = p / op->ow * op->stride - op->pad, col = p % op->ow * op->stride - op->pad;
	quarter(&op->out[b], d, image, q)[p * QUARTERS] = quarter(&op->in[b], d, image, q)[(row * op->w + col) * QUARTERS];
}

NB_KERNEL(NB_THREADS) op_spread(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS;
	int row = window_at(op, (int)(p / op->ow), 0, op->h), col = window_at(op, (int)(p % op->ow), 0, op->w);
	four v = fours(0);
	if (row >= 0 && col >= 0) v = quarter(&op->in[b], d, image, q)[((int64_t)row * op->w + col) * QUARTERS];
	quarter(&op->out[b], d, image, q)[p * QUARTERS] = v;
}

NB_KERNEL(NB_THREADS) op_mask(const nb_op *op, const nb_device *d) {
	int64_t image = BLOCK_Z, p = pixel_of((int64_t)op->oh * op->ow);
	if (op->skip || p < 0) return;
	int b = BLOCK_Y, q = THREAD % QUARTERS;
	four v = quarter(&op->in[b], d, image, q)[p * QUARTERS], m = quarter(&op->aux[b], d, image, q)[p * QUARTERS];
	EACH(l) v.v[l] *= m.v[l];
	quarter(&op->out[b], d, image, q)[p * QUARTERS] = v;
}

// ---- Small things

NB_KERNEL(NB_THREADS) op_mean(const nb_op *op, const nb_device *d) {
	NB_SHARED(double, room, NB_THREADS);
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w;
	const float *x = at(&op->in[BLOCK_X], d, image) + THREAD % LANES;
	double sum = 0;
	for (int64_t p = THREAD / LANES; p < pixels; p += ROWS) sum += x[p * LANES];
	room[THREAD] = sum;
	tree(room, 1, LANES);
	if (THREAD < LANES) at(&op->out[BLOCK_X], d, image)[THREAD] = (float)(room[THREAD] / (double)pixels);
}

NB_KERNEL(NB_THREADS) op_mean_back(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->oh * op->ow, p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	int q = THREAD % QUARTERS;
	if (p >= pixels) return;
	four g = *quarter(&op->in[BLOCK_Y], d, image, q);
	EACH(l) g.v[l] *= 1.f / (float)pixels;
	quarter(&op->out[BLOCK_Y], d, image, q)[p * QUARTERS] = g;
}

NB_KERNEL(NB_THREADS) op_load(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w, p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	int q = THREAD % QUARTERS, channel = BLOCK_Y * LANES + q * 4;
	if (p >= pixels) return;
	const float *x = at(&op->in[0], d, image) + channel * pixels + p;
	four v;
	EACH(l) v.v[l] = channel + l < op->channels ? x[l * pixels] : 0;
	quarter(&op->out[BLOCK_Y], d, image, q)[p * QUARTERS] = v;
}

NB_KERNEL(NB_THREADS) op_store(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w, p = (int64_t)BLOCK_X * PIXELS + THREAD % PIXELS;
	int q = THREAD / PIXELS, channel = BLOCK_Y * LANES + q * 4; // neighbours have neighbouring pixels
	if (p >= pixels) return;
	float *y = at(&op->out[0], d, image) + channel * pixels + p;
	four v = quarter(&op->in[BLOCK_Y], d, image, q)[p * QUARTERS];
	EACH(l)
		if (channel + l < op->channels) y[l * pixels] = v.v[l];
}

NB_KERNEL(NB_THREADS) op_repack(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w, p = (int64_t)BLOCK_X * ROWS + THREAD / LANES;
	int lane = THREAD % LANES, count = op->count;
	if (p >= pixels) return;
	const nb_move *m = op->moves;
	float v = 0;
	for (int i = 0; i < count; i++, m++) {
		if (m->lanes[lane] >= 0) v = at(&op->in[m->src], d, image)[p * LANES + m->lanes[lane]];
		if (i + 1 < count && m[1].block == m->block) continue;
		at(&op->out[m->block], d, image)[p * LANES + lane] = v;
		v = 0;
	}
}

NB_KERNEL(NB_THREADS) op_stream(const nb_op *op, const nb_device *d) {
	if (op->skip) return;
	int64_t image = BLOCK_Z, pixels = (int64_t)op->h * op->w, p = (int64_t)BLOCK_X * PIXELS + THREAD / QUARTERS;
	int q = THREAD % QUARTERS;
	if (p < pixels) quarter(&op->out[BLOCK_Y], d, image, q)[p * QUARTERS] = quarter(&op->in[BLOCK_Y], d, image, q)[p * QUARTERS];
}

// ---- The loss, in double, an image by a thread: there is little of it, and
// everything else hangs on it

INLINE float *entry(const nb_ref *planes, const nb_device *d, int64_t image, int i) { return at(&planes[i / LANES], d, image) + i % LANES; }

// The softmax of an image's logits is exp(x - top) / sum.
typedef struct {
	double top, sum;
} softmax;

INLINE softmax softmax_of(const nb_op *op, const nb_device *d, int64_t image) {
	softmax s = { -INFINITY, 0 };
	for (int i = 0; i < op->channels; i++) {
		double x = *entry(op->in, d, image, i);
		if (x > s.top) s.top = x;
	}
	for (int i = 0; i < op->channels; i++) s.sum += exp(*entry(op->in, d, image, i) - s.top);
	return s;
}

INLINE double probability(const nb_op *op, const nb_device *d, int64_t image, softmax s, int i) {
	return exp(*entry(op->in, d, image, i) - s.top) / s.sum;
}

#define OWN_IMAGE int64_t image = (int64_t)BLOCK_X * THREADS + THREAD; if (op->skip || image >= d->images) return

NB_KERNEL(NB_THREADS) op_loss(const nb_op *op, const nb_device *d) { // in: logits, aux: labels
	OWN_IMAGE;
	softmax s = softmax_of(op, d, image);
	double total = 0, log_sum = s.top + log(s.sum);
	for (int i = 0; i < op->channels; i++) total += *entry(op->aux, d, image, i) * (log_sum - *entry(op->in, d, image, i));
	d->sums[image * d->sums_between + op->slot] = total * op->scale;
}

NB_KERNEL(NB_THREADS) op_loss_back(const nb_op *op, const nb_device *d) { // in: logits, aux: labels, weights: the seed
	OWN_IMAGE;
	softmax s = softmax_of(op, d, image);
	for (int i = 0; i < op->nout * LANES; i++) {
		double v = 0;
		if (i < op->channels) v = op->weights[0] * (probability(op, d, image, s, i) - *entry(op->aux, d, image, i)) * op->scale;
		*entry(op->out, d, image, i) = (float)v;
	}
}

NB_KERNEL(NB_THREADS) op_loss_back_back(const nb_op *op, const nb_device *d) { // in: logits, aux: u, weights: the seed
	OWN_IMAGE;
	softmax s = softmax_of(op, d, image);
	double mean = 0;
	for (int i = 0; i < op->channels; i++) mean += probability(op, d, image, s, i) * *entry(op->aux, d, image, i);
	for (int i = 0; i < op->nout * LANES; i++) {
		double v = 0;
		if (i < op->channels) v = op->weights[0] * probability(op, d, image, s, i) * (*entry(op->aux, d, image, i) - mean) * op->scale;
		*entry(op->out, d, image, i) = (float)v;
	}
}

NB_KERNEL(NB_THREADS) op_loss_dot(const nb_op *op, const nb_device *d) { // in: logits, aux: labels, then u
	OWN_IMAGE;
	softmax s = softmax_of(op, d, image);
	double total = 0;
	for (int i = 0; i < op->channels; i++)
		total += (probability(op, d, image, s, i) - *entry(op->aux, d, image, i)) * *entry(op->aux + op->nin, d, image, i);
	d->sums[image * d->sums_between + op->slot] = total * op->scale;
}

// ---- Between the phases

// number computes those elements of an instruction that are `lane` modulo LANES.
INLINE void number(const nb_numbers *e, int lane) {
	const double *a = (const double *)e->a, *b = (const double *)e->b;
	double *to = (double *)e->to;
	if (e->kind == NUMBERS_SUM) {
		if (lane > 0) return;
		double sum = 0;
		for (int i = 0; i < e->n; i++) sum += a[i];
		*to = sum;
		return;
	}
	for (int i = lane; i < e->n; i += LANES) switch (e->kind) {
		case NUMBERS_COPY: to[i] = a[(int64_t)e->step * i]; break;
		case NUMBERS_ADD: to[i] = a[i] + b[i]; break;
		case NUMBERS_SUBTRACT: to[i] = a[i] - b[i]; break;
		case NUMBERS_MULTIPLY: to[i] = a[i] * b[i]; break;
		case NUMBERS_SCALE: to[i] = e->k * a[i]; break;
		case NUMBERS_DIVIDE: to[i] = a[i] / e->k; break;
		case NUMBERS_ROOT: to[i] = 1 / sqrt(a[i] + e->k); break;
		case NUMBERS_POSITIVE: to[i] = a[i] < 0 ? 0 : a[i]; break; // NaN stays
		case NUMBERS_READ: to[i] = ((const float *)e->a)[i]; break;
		case NUMBERS_WRITE: ((float *)e->to)[i] = (float)a[i]; break;
		}
}

// One block executes the list, which is sorted by wave, wave by wave.
NB_KERNEL(NB_NUMBERS_THREADS) run_numbers(const nb_numbers *list, int64_t n) {
	if (n == 0) return;
	int64_t e = THREAD / LANES;
	int last = list[n - 1].wave;
	for (int wave = list[0].wave; wave <= last; wave++) {
		for (; e < n && list[e].wave == wave; e += THREADS / LANES) number(list + e, THREAD % LANES);
		BARRIER();
	}
}

NB_KERNEL(NB_THREADS) add_sums(double *total, int64_t n, const nb_device *d) {
	int64_t i = (int64_t)BLOCK_X * THREADS + THREAD, between = d->sums_between, images = d->images;
	if (i >= n) return;
	const double *sums = d->sums + i;
	double sum = 0;
	UNROLL_BY(8) for (int64_t image = 0; image < images; image++) sum += sums[image * between];
	total[i] = sum;
}

#define STRIDED(i, n) for (int64_t i = (int64_t)BLOCK_X * THREADS + THREAD; i < (n); i += (int64_t)GRID_X * THREADS)

NB_KERNEL(NB_THREADS) pack_weights(const nb_packing *list, int64_t n) {
	if (BLOCK_Y >= n) return;
	const nb_packing *p = list + BLOCK_Y;
	const nb_weights *f = &p->at;
	int outs = f->transposed ? f->ins : f->outs, ins = f->transposed ? f->outs : f->ins, k2 = f->k * f->k;
	int out_blocks = (int)divide_up(outs, LANES), in_blocks = (int)divide_up(ins, LANES);
	if (f->depthwise) {
		STRIDED(e, (int64_t)k2 * out_blocks * LANES) {
			int64_t out = e / LANES / k2 * LANES + e % LANES;
			p->packed[e] = out < outs ? p->w[out * k2 + e / LANES % k2] : 0;
		}
		return;
	}
	STRIDED(e, (int64_t)k2 * out_blocks * in_blocks * BLOCK) {
		int64_t block = e / BLOCK;
		int i = (int)(block % in_blocks), o = (int)(block / in_blocks % out_blocks), tap = (int)(block / in_blocks / out_blocks);
		int64_t in = i * LANES + e % BLOCK / LANES, out = o * LANES + e % LANES;
		float v = 0;
		if (in < ins && out < outs) v = f->transposed ? p->w[(in * f->ins + out) * k2 + k2 - 1 - tap] : p->w[(out * f->ins + in) * k2 + tap];
		p->packed[(((int64_t)tap * f->out_blocks + f->out_block + o) * f->in_blocks + f->in_block + i) * BLOCK + e % BLOCK] = v;
	}
}

NB_KERNEL(NB_THREADS) add_gradients(const nb_unpacking *list, int64_t n, const nb_device *d) {
	if (BLOCK_Y >= n) return;
	const nb_unpacking *p = list + BLOCK_Y;
	const nb_weights *f = &p->at;
	int k2 = f->k * f->k, out_blocks = (int)divide_up(f->outs, LANES), in_blocks = (int)divide_up(f->ins, LANES);
	if (f->depthwise) {
		STRIDED(e, (int64_t)k2 * f->outs) {
			int64_t out = e / k2, tap = e % k2;
			const float *from = d->gradients + p->slot + (out / LANES * k2 + tap) * LANES + out % LANES;
			float sum = 0;
			for (int64_t g = 0; g < d->groups; g++) sum += from[g * d->gradients_between];
			p->w[e] = sum;
		}
		return;
	}
	STRIDED(e, (int64_t)k2 * out_blocks * in_blocks * BLOCK) {
		int64_t block = e / BLOCK;
		int i = (int)(block % in_blocks), o = (int)(block / in_blocks % out_blocks), tap = (int)(block / in_blocks / out_blocks);
		int64_t in = i * LANES + e % BLOCK / LANES, out = o * LANES + e % LANES;
		if (in >= f->ins || out >= f->outs) continue;
		const float *from = d->gradients + p->slot + (((int64_t)tap * f->out_blocks + f->out_block + o) * f->in_blocks + f->in_block + i) * BLOCK + e % BLOCK;
		float sum = 0;
		for (int64_t g = 0; g < d->groups; g++) sum += from[g * d->gradients_between];
		p->w[(out * f->ins + in) * k2 + tap] = sum;
	}
}

// ---- Images

// augment_images makes one plane in each BLOCK_Y, channel by channel of image by
// image, of pixels that are stored likewise; levels has 256 values for each channel.
NB_KERNEL(NB_THREADS) augment_images(float *to, const unsigned char *pixels, const float *levels, const nb_crop *crops, int64_t side) {
	int64_t place = (int64_t)BLOCK_X * NB_THREADS + THREAD, size = side * side, channel = BLOCK_Y;
	if (place >= size) return;
	const nb_crop *c = &crops[BLOCK_Z];
	int64_t y = place / side, x = place % side;
	int64_t row = y + c->top, col = (c->flip ? side - 1 - x : x) + c->left;
	int level = 0; // black outside
	if (row >= 0 && row < side && col >= 0 && col < side) level = pixels[(c->image * 3 + channel) * size + row * side + col];
	int cut = y >= c->cut_top && y < c->cut_bottom && x >= c->cut_left && x < c->cut_right;
	to[((int64_t)BLOCK_Z * 3 + channel) * size + place] = cut ? 0 : levels[channel * 256 + level];
}

// ---- Vectors

NB_KERNEL(NB_THREADS) vector_axpy(float *y, double a, const float *x, int64_t n) { // y + a·x
	STRIDED(i, n) y[i] = MULTIPLY_ADD((float)a, x[i], y[i]);
}

NB_KERNEL(NB_THREADS) vector_scale(float *y, double a, int64_t n) {
	STRIDED(i, n) y[i] *= (float)a;
}

NB_KERNEL(NB_THREADS) vector_blend(float *y, const float *keep, const float *gain, const float *scale, const float *x, int64_t n) { // keep·y + gain·(scale·x)
	STRIDED(i, n)
		if (gain[i] != 0) y[i] = MULTIPLY_ADD(gain[i], scale[i] * x[i], keep[i] * y[i]);
}

NB_KERNEL(NB_THREADS) vector_dot(double *partial, const float *x, const float *y, int64_t n) { // NB_DOTS blocks
	NB_SHARED(double, room, NB_THREADS);
	double sum = 0;
	STRIDED(i, n) sum += (double)x[i] * y[i];
	room[THREAD] = sum;
	tree(room, 1, 1);
	if (THREAD == 0) partial[BLOCK_X] = room[0];
}
