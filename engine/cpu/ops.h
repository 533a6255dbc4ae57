// The instructions of a compiled program, as Go writes them and the kernels
// read them.
//
// An activation is stored as planes: 16 channels of one image, [H·W][16]
// floats, channels past the last one being zero. Everything but the reductions
// works on one image at a time, which is what lets a whole phase of the network
// run on an image while it is in the cache.

#ifndef NB1SHOT_OPS_H
#define NB1SHOT_OPS_H

#include <stddef.h>
#include <stdint.h>

enum { LANES = 16 };

// A ref locates a plane: base + image·stride bytes into a space of memory.
enum { SPACE_ABSOLUTE, SPACE_BATCH, SPACE_SCRATCH, SPACES, SPACE_NONE };
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
	OP_POOL_BACK, // aux scattered to the maxima of in, times weights; with slot >= 0 the inner product with in, without weights
	OP_POOL_TAKE, // aux gathered from the maxima of in
	OP_MEAN,
	OP_MEAN_BACK,
	OP_LOAD,      // [C][H][W] of a vector into planes
	OP_STORE,     // and back
	OP_REPACK,    // channels of in, moved to other lanes; the moves to a plane are together
	OP_LOSS,      // the four of the cross-entropy
	OP_LOSS_BACK,
	OP_LOSS_BACK_BACK,
	OP_LOSS_DOT,
	OP_STREAM,    // in to out, past the caches
	OP_COUNT
} nb_kind;

typedef struct {
	int32_t src, block;
	int32_t lanes[LANES]; // of in[src], for each lane of out[block], or -1; what no move fills is 0
} nb_move;

typedef struct {
	int32_t kind;
	int32_t h, w, oh, ow;  // of the input and the output
	int32_t k, stride, pad; // of the window
	int32_t accumulate;
	int32_t skip;          // leave the whole instruction out
	int32_t far;           // OP_CONV1, OP_CONV3: store past the caches
	int32_t channels;      // OP_LOAD, OP_STORE, OP_LOSS*
	int32_t nin, nout, naux, count;
	const nb_ref *in, *out, *aux;
	const int32_t *depth;  // channels of each of the planes in that count
	const float *weights;  // packed; OP_LOSS_BACK*: the seed; OP_POOL_BACK: 16 factors for each output plane, or NULL
	const nb_pass *passes; // count of them
	const nb_reduction *reductions;
	const nb_move *moves;
	const int64_t *slots;  // OP_CONV*: where the sums of y and y² of each output plane go, or -1
	int64_t slot;          // of the group's partial sums: doubles, or floats for OP_WEIGHT*
	double scale;          // OP_LOSS*: 1 / batch
} nb_op;

// A stream fetches what the phase reads of the next image into the cache while
// the matrix products of this one keep the arithmetic units busy: memory would
// stand idle then, and they afterwards.
typedef struct {
	nb_ref plane;
	int64_t bytes;
} nb_read;
typedef struct {
	const char *next, *end; // what is left of the current plane
	const nb_read *reads;   // what comes after it
	int64_t count;
	int64_t image;
	char *const *spaces;
} nb_stream;


// nb_advance goes to the next plane of the stream, which has one.
void nb_advance(nb_stream *s);

// What is the same for all instructions of a call.
typedef struct {
	int64_t image;
	char *spaces[SPACES]; // NULL, values of the whole batch, temporaries of this thread
	float *work;          // room for the kernels' own use, see nb_work
	double *sums;         // of this group of images
	float *gradients;     // of this group of images: OP_WEIGHT*
	nb_stream *stream;    // of the next image
} nb_context;

// nb_at is where a plane of an image is.
static inline float *nb_at(const nb_ref *r, char *const *spaces, int64_t image) {
	return (float *)((intptr_t)spaces[r->space] + r->base + r->stride * image);
}

typedef void (*nb_kernel)(const nb_op *, const nb_context *);

// The kernels of an instruction set, by nb_kind, or NULL if this machine or
// this build lacks it.
const nb_kernel *nb_avx512(void);
const nb_kernel *nb_avx2(void);
const nb_kernel *nb_generic(void);

// A phase is the instructions that are executed for one image after another,
// and what they read of an image that was not written in the same phase.
typedef struct {
	const nb_kernel *kernels;
	const nb_op *ops;
	int64_t count;
	const nb_read *reads;
	int64_t read_count;
	int64_t images; // of the batch
	int32_t backwards;
} nb_phase;

// nb_run executes a phase for the images from..to, backwards or not.
void nb_run(const nb_phase *phase, nb_context context, int64_t from, int64_t to);

// nb_total adds up the n sums of all groups, which are `between` apart.
void nb_total(double *total, const double *sums, int64_t n, int64_t groups, int64_t between);

// nb_work is how many floats of nb_context.work the instruction needs.
int64_t nb_work(const nb_op *op);

// Weights. A packed 1×1 convolution is [out block][in block][in][out], a 3×3
// one has in front its 16 positions in the Winograd domain, any other its K²
// taps. nb_pack writes the piece of w [O][I][K][K] that belongs to output
// blocks from o0 and input blocks from i0 on; transposed, w becomes the kernel
// of the gradient by the input. nb_unpack reverses it for gradients, adding up
// the partial sums of all groups, which are `between` floats apart.
typedef struct {
	int32_t outs, ins, k;          // of w
	int32_t out_blocks, in_blocks; // of the whole packed array
	int32_t out_block, in_block;   // where this piece begins
	int32_t transposed;
} nb_weights;
void nb_pack(float *packed, const float *w, const nb_weights *at);
void nb_unpack(float *w, const float *packed, const nb_weights *at, int64_t groups, int64_t between);

static inline int64_t nb_packed_size(int64_t outs, int64_t ins, int64_t k) {
	return outs * ins * LANES * LANES * (k == 3 ? 16 : k * k);
}

// nb_alloc returns zeroed memory aligned to a cache line, or to a huge page
// when it is large; nb_free takes it back.
void *nb_alloc(int64_t bytes);
void nb_free(void *memory);

// Elementary arithmetic on vectors, plain C.
void nb_axpy(float *y, float a, const float *x, int64_t n);
void nb_scale(float *y, float a, int64_t n);
double nb_dot(const float *x, const float *y, int64_t n);

#endif
