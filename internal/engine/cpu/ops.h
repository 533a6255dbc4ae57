// What the kernels for processors share.

#ifndef NB1SHOT_OPS_H
#define NB1SHOT_OPS_H

#include "../phases/format.h"

// A stream fetches what the phase reads of the next image into the cache while
// the matrix products of this one keep the arithmetic units busy: memory would
// stand idle then, and they afterwards.
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
	int64_t image;        // its number, or that of the images that share planes
	char *spaces[SPACES]; // NULL, values of the whole batch, temporaries of this thread
	float *work;          // room for the kernels' own use, see nb_work
	double *sums;         // of this group of images
	float *gradients;     // of this group of images: OP_WEIGHT*
	nb_stream *stream;    // of the next image
} nb_context;

typedef void (*nb_kernel)(const nb_op *, const nb_context *);

// A view is where the channels of a value are: stride apart, or, one at a time, in the scratch
// memory of a thread.
typedef struct {
	float *data;
	int64_t stride;
	int64_t scratch, offset; // whether it is there, and where
} nb_view;

// A step computes, channel by channel, a value of a plan that is computed step by step.
typedef struct {
	int32_t kind, terms; // terms operands
	int64_t n;           // floats of a channel of the result, or of the operand that is summed
	int64_t row;         // floats of a row, see one_step in steps.h
	int64_t at;
	nb_view to;
	const nb_view *in;
	const float *weights;
	double *sums;
	double eps;
} nb_step;

// The most operands of a step.
#define NB_STEP_TERMS 128

enum {
	STEP_SIGMOID, STEP_SIGMOID_BACK, STEP_SIGMOID_BACK_BACK, STEP_TANH, STEP_TANH_BACK, STEP_TANH_BACK_BACK,
	STEP_MULTIPLY, STEP_RELU, STEP_RELU_BACK, STEP_COPY, STEP_PAD_ROWS, STEP_SUM, STEP_WEIGH, STEP_INNER, STEP_MEAN,
	STEP_MEAN_BACK, STEP_STATS, STEP_SUM_CHANNEL, STEP_SHIFT, STEP_SPREAD, STEP_NORMALIZE, STEP_SCALE,
	STEP_NORMALIZE_BACK, STEP_NORMALIZE_BACK_BACK
};

// Kernels of plans that are computed step by step, see steps.h.
typedef struct {
	int64_t tile_rows, tile_columns; // of products
	void (*pack)(float *to, const float *a, int64_t am, int64_t ak, int64_t m, int64_t i0, int64_t i1, int64_t k0, int64_t k1);
	void (*product)(float *c, int64_t cm, int64_t cn, const float *rows, const float *b, int64_t bk, int64_t bn,
		int64_t m, int64_t depth, int64_t piece, int64_t j0, int64_t j1, int32_t add, float *work);
	void (*list)(const nb_step *list, int64_t count, int64_t from, int64_t to, float *scratch);
	void (*take)(float *y, int64_t stride, const float *w, const float *numbers, int64_t size, int64_t without, int64_t from, int64_t to);
	void (*scatter)(float *y, const float *g, int64_t stride, const float *numbers, int64_t n, int64_t size, int64_t without, int64_t from, int64_t to);
	void (*softmax)(float *top, double *sum, const float *logits, int64_t classes, int64_t stride, int64_t from, int64_t to);
	void (*softmax_back)(float *y, int64_t between, const float *logits, int64_t stride, const float *top, const double *sum, double scale, int64_t classes, int64_t from, int64_t to);
} nb_steps;

// The rows that go through packed columns while these are in the first cache, the most columns of
// a product that a thread packs at a time, the most of the depth, and the
// most positions of a call of softmax_back.
#define NB_STEPS_ROWS 192
#define NB_STEPS_COLUMNS 128
#define NB_STEPS_DEPTH 320
#define NB_STEPS_POSITIONS 64

// Those of an instruction set that this machine has.
const nb_steps *nb_avx512_steps(void);
const nb_steps *nb_avx2_steps(void);
const nb_steps *nb_generic_steps(void);

// The kernels of an instruction set, by nb_kind, or NULL if this machine or
// this build lacks it.
const nb_kernel *nb_avx512(void);
const nb_kernel *nb_avx2(void);
const nb_kernel *nb_generic(void);

// Those for narrow networks: planes of 8 channels, with AVX-512 of two images.
const nb_kernel *nb_avx512_narrow(void);
const nb_kernel *nb_avx2_narrow(void);
const nb_kernel *nb_generic_narrow(void);

// A phase is the instructions that are executed for one image after another,
// and what they read of an image that was not written in the same phase.
typedef struct {
	const nb_kernel *kernels;
	const nb_op *ops;
	int64_t count;
	const nb_read *reads;
	int64_t read_count;
	int64_t images; // of the batch, those that share planes counting once
	int32_t backwards;
} nb_phase;

// nb_run executes a phase for the images from..to, backwards or not.
void nb_run(const nb_phase *phase, nb_context context, int64_t from, int64_t to);

// nb_total adds up the n sums of all groups, which are `between` apart.
void nb_total(double *total, const double *sums, int64_t n, int64_t groups, int64_t between);

// nb_work is how many floats of nb_context.work the instruction needs, for pixels of so many
// floats.
int64_t nb_work(const nb_op *op, int lanes);

// nb_own_work is that without room for what is widened from bfloat16, which comes after it.
int64_t nb_own_work(const nb_op *op, int lanes);

// Pixels of a plane that a product of gradients goes through at a time.
enum { NB_OUTER = 96 };

// A ring is room for rows of a plane that windows reach at a time, each with what is
// left and right of it, in pixels.
typedef struct {
	int64_t rows, left, length;
} nb_ring;

static inline nb_ring nb_ring_of(const nb_op *op) {
	int64_t reach = (int64_t)(op->k - 1) * op->dilation, s = op->stride;
	if (op->kind != OP_DEPTH_BACK)
		return (nb_ring){ reach + 1, op->pad, (op->ow - 1) * s + reach + 1 };
	int64_t left = reach > op->pad ? (reach - op->pad + s - 1) / s : 0, right = (op->ow - 1 + op->pad) / s + 1;
	return (nb_ring){ reach / s + 2, left, left + (op->w > right ? op->w : right) };
}

// A pixel of a plane is `channels` channels, of each of them `images` images.
typedef struct {
	int32_t channels, images;
} nb_plane;

// Packed weights are repeated for every image of a plane. A packed 1×1 convolution is
// [out block][in block][in][out][image], a 3×3 one has in front its 16 positions in the
// Winograd domain, any other its K² taps, a depthwise one is [block][K²][out][image].
// nb_pack writes the piece of w [O][I][K][K] that belongs to output blocks from o0 and input
// blocks from i0 on; transposed, w becomes the kernel of the gradient by the input.
// nb_unpack reverses it for gradients, adding up the partial sums of all groups, which are
// `between` floats apart, and of all images.
void nb_pack(float *packed, const float *w, const nb_weights *at, nb_plane plane);
void nb_unpack(float *w, const float *packed, const nb_weights *at, int64_t groups, int64_t between, nb_plane plane);

static inline int64_t nb_packed_size(int64_t outs, int64_t ins, int64_t k, nb_plane plane) {
	return outs * ins * plane.channels * plane.channels * plane.images * (k == 3 ? 16 : k * k);
}

// The kernels of nb_steps, for Go, which cannot call pointers.
void nb_step_pack(const nb_steps *s, float *to, const float *a, int64_t am, int64_t ak, int64_t m, int64_t i0, int64_t i1, int64_t k0, int64_t k1);
void nb_step_product(const nb_steps *s, float *c, int64_t cm, int64_t cn, const float *rows, const float *b, int64_t bk, int64_t bn,
	int64_t m, int64_t depth, int64_t piece, int64_t j0, int64_t j1, int32_t add, float *work);
void nb_step_list(const nb_steps *s, const nb_step *list, int64_t count, int64_t from, int64_t to, float *scratch);
void nb_step_take(const nb_steps *s, float *y, int64_t stride, const float *w, const float *numbers, int64_t size, int64_t without, int64_t from, int64_t to);
void nb_step_scatter(const nb_steps *s, float *y, const float *g, int64_t stride, const float *numbers, int64_t n, int64_t size, int64_t without, int64_t from, int64_t to);
void nb_step_softmax(const nb_steps *s, float *top, double *sum, const float *logits, int64_t classes, int64_t stride, int64_t from, int64_t to);
void nb_step_softmax_back(const nb_steps *s, float *y, int64_t between, const float *logits, int64_t stride, const float *top, const double *sum, double scale, int64_t classes, int64_t from, int64_t to);

// nb_step_turn copies images n0..n1 of x [images][rest] to y [rest][images].
void nb_step_turn(float *y, const float *x, int64_t images, int64_t rest, int64_t n0, int64_t n1);

// nb_numbers_run executes the instructions one after another.
void nb_numbers_run(const nb_numbers *list, int64_t n);

// nb_alloc returns zeroed memory aligned to a cache line, or to a huge page
// when it is large; nb_free takes it back.
void *nb_alloc(int64_t bytes);
void nb_free(void *memory);

// Elementary arithmetic on vectors, plain C.
void nb_axpy(float *y, float a, const float *x, int64_t n);
void nb_blend(float *y, const float *keep, const float *gain, const float *scale, const float *x, int64_t n);
void nb_scale(float *y, float a, int64_t n);
double nb_dot(const float *x, const float *y, int64_t n);

#endif
