// The instructions of a compiled program, as Go writes them (format.go) and the
// kernels of an engine read them.
//
// An activation is stored as planes: 16 channels of one image, [H·W][16]
// floats, channels past the last one being zero. Everything but the reductions
// works on one image at a time, which is what lets a whole phase of the network
// run on an image while it is in the cache.

#ifndef NB1SHOT_FORMAT_H
#define NB1SHOT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { LANES = 16 };

// A ref locates a plane: base + image·stride bytes into a space of memory.
// Planes of the half space are in the batch's memory too, in bfloat16: the upper half of
// a float. Only OP_STREAM and those with `far` write such planes.
enum { SPACE_ABSOLUTE, SPACE_BATCH, SPACE_SCRATCH, SPACE_HALF, SPACES, SPACE_NONE };
typedef struct {
	int64_t space, base, stride;
} nb_ref;

enum { NB_PIECE = 128 }; // pixels that OP_COMBINE works on at once

// A pass computes up to three terms of a channel-wise linear combination:
// out = b + Σ a·term, or out += Σ a·term. The terms are ordered by kind.
enum { TERM_PLAIN, TERM_RELU, TERM_MASKED }; // z, max(A·y+B, 0), z where A·y+B > 0; without z, 1 in its place
typedef struct {
	nb_ref out;
	int32_t terms;      // how many
	int32_t kind[3];    // ascending
	int32_t accumulate; // add to out instead of starting from b
	int32_t last;       // the last pass over this plane
	int32_t images;     // some terms have an image
	int32_t skip;       // bit t: leave out term t
	nb_ref z[3], y[3];
	nb_ref image[3];    // its first number multiplies the term in the whole image
	const float *coef;  // b, then a, A, B of each term; 16 floats each
} nb_pass;

// A reduction adds up, over the positions of a plane, z and z·w[k], all of them
// only where A·y+B > 0 if it is masked; without z, that is 1 in its place. With
// image, its first number multiplies them all.
typedef struct {
	int32_t masked, has_z, nw;
	nb_ref y, z, w[3], image;
	const float *coef; // A, B
	int64_t slot;      // where the sums of z and z·w[k] go, 16 doubles each
} nb_reduction;

typedef enum {
	OP_COMBINE,
	OP_REDUCE,
	OP_CONV1,     // 1×1 convolution
	OP_CONV3,     // 3×3 convolution
	OP_CONVK,     // any other, slowly
	OP_WEIGHT1,   // their weight gradients
	OP_WEIGHT3,
	OP_WEIGHTK,
	OP_POOL,      // max-pooling of in
	OP_POOL_BACK, // aux scattered to the maxima of in, times weights; with slot >= 0 the inner product with in, without weights; or added without either
	OP_POOL_TAKE, // aux gathered from the maxima of in
	OP_DEPTH,     // depthwise convolution of in, which with coef is rectified first: max(A·in + B, 0)
	OP_DEPTH_BACK, // its gradient by the input, of in; with aux and coef only where A·aux + B > 0
	OP_DEPTH_WEIGHT, // its gradient by the weights, of in (with coef rectified) and aux
	OP_AVERAGE,   // average-pooling of in: the divisor is how many positions of in are in the window
	OP_AVERAGE_BACK, // and back
	OP_SUBSAMPLE, // of in every stride-th row and column from -pad on
	OP_SPREAD,    // and back: in to those of out, zeros to the others
	OP_MASK,      // in times aux
	OP_MEAN,
	OP_MEAN_BACK,
	OP_LOAD,      // [C][H][W] of a vector into planes
	OP_STORE,     // and back
	OP_REPACK,    // channels of in, moved to other lanes; the moves to a plane are together
	OP_LOSS,      // the four of the cross-entropy
	OP_LOSS_BACK,
	OP_LOSS_BACK_BACK,
	OP_LOSS_DOT,
	OP_STREAM,    // in to out, past the caches, to bfloat16 only if far
	OP_COUNT
} nb_kind;

typedef struct {
	int32_t src, block;
	int32_t lanes[LANES]; // of in[src], for each lane of out[block], or -1; what no move fills is 0
} nb_move;

typedef struct {
	int32_t kind;
	int32_t h, w, oh, ow;  // of the input and the output
	int32_t k, stride, pad, dilation; // of the window
	int32_t accumulate;
	int32_t skip;          // leave the whole instruction out
	int32_t far;           // OP_CONV1, OP_CONV3, OP_DEPTH, OP_DEPTH_BACK: store past the caches
	int32_t channels;      // OP_LOAD, OP_STORE, OP_LOSS*
	int32_t round;         // OP_STREAM to bfloat16: round in, which is read again, like out
	int32_t nin, nout, naux, count;
	const nb_ref *in, *out, *aux;
	const int32_t *depth;  // channels of each of the planes in that count
	const float *weights;  // packed as the engine likes it; OP_LOSS_BACK*: the seed; OP_POOL_BACK: 16 factors for each output plane, or NULL
	const float *coef;     // OP_DEPTH*: A, B for each plane, 16 floats each, or NULL
	const nb_pass *passes; // count of them
	const nb_reduction *reductions;
	const nb_move *moves;
	const int64_t *slots;  // OP_CONV*: where the sums of y and y² of each output plane go, or -1
	int64_t slot;          // of the group's partial sums: doubles, or floats for OP_WEIGHT* and OP_DEPTH_WEIGHT
	double scale;          // OP_LOSS*: 1 / batch
} nb_op;

// What a phase reads of each image before it writes it.
typedef struct {
	nb_ref plane;
	int64_t bytes;
} nb_read;

// Between the phases, numbers are computed from the sums: in double, a few for each
// channel. One such instruction computes n of them, to[i] for i < n, of which those of
// one level read only what others wrote before.
typedef enum {
	NUMBERS_COPY,     // a[step·i]
	NUMBERS_ADD,      // a[i] + b[i]
	NUMBERS_SUBTRACT, // a[i] - b[i]
	NUMBERS_MULTIPLY, // a[i] · b[i]
	NUMBERS_SCALE,    // k · a[i]
	NUMBERS_DIVIDE,   // a[i] / k
	NUMBERS_ROOT,     // 1/√(a[i] + k)
	NUMBERS_POSITIVE, // max(a[i], 0)
	NUMBERS_SUM,      // to[0] = a[0] + a[1] + ... + a[n-1], in this order
	NUMBERS_READ,     // a[i], which is float
	NUMBERS_WRITE,    // a[i], to float
	NUMBERS_COUNT
} nb_numbers_kind;
typedef struct {
	int32_t kind, n, step, wave; // wave: those of one wave do not depend on each other
	double k;
	void *to;
	const void *a, *b;
} nb_numbers;

// Where a piece of packed weights comes from: w [O][I][K][K], whose output blocks
// go to the array's from out_block on, the input blocks from in_block on. Transposed,
// w becomes the kernel of the gradient by the input. Depthwise, w is [O][1][K][K] and
// packed as [block][K²][16].
typedef struct {
	int32_t outs, ins, k;          // of w
	int32_t out_blocks, in_blocks; // of the whole packed array
	int32_t out_block, in_block;   // where this piece begins
	int32_t transposed, depthwise;
} nb_weights;

#ifndef NB_DEVICE
#define NB_DEVICE // __device__ where that is needed
#endif

// nb_at is where a plane of an image is.
static inline NB_DEVICE float *nb_at(const nb_ref *r, char *const *spaces, int64_t image) {
	return (float *)((intptr_t)spaces[r->space] + r->base + r->stride * image);
}

#endif
