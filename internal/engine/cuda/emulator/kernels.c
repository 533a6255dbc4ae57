// The kernels, compiled for the processor.

#include <string.h>

#include "emulator.h"
#include "thread.h"

#include "../kernels/kernels.cu"

static double number_of(uint64_t bits) {
	double x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

// KERNEL makes a function with which the emulator starts a kernel with these arguments.
#define KERNEL(name, ...) static void start_##name(const uint64_t *a) { name(__VA_ARGS__); }
#define P(type, i) ((type)(uintptr_t)a[i])
#define N(i) ((int64_t)a[i])
#define D(i) number_of(a[i])

#define EACH_OP(X) X(op_combine) X(op_reduce) X(op_conv1) X(op_conv3) X(op_convk) X(op_weight1) X(op_weight3) X(op_weightk) \
	X(op_pool) X(op_pool_back) X(op_pool_take) X(op_depth) X(op_depth_back) X(op_depth_weight) X(op_average) X(op_average_back) \
	X(op_subsample) X(op_spread) X(op_mask) X(op_mean) X(op_mean_back) X(op_load) X(op_store) X(op_repack) \
	X(op_loss) X(op_loss_back) X(op_loss_back_back) X(op_loss_dot) X(op_stream)
#define OP(name) KERNEL(name, P(const nb_op *, 0), P(const nb_device *, 1))
EACH_OP(OP)
KERNEL(run_numbers, P(const nb_numbers *, 0), N(1))
KERNEL(add_sums, P(double *, 0), N(1), P(const nb_device *, 2))
KERNEL(pack_weights, P(const nb_packing *, 0), N(1))
KERNEL(add_gradients, P(const nb_unpacking *, 0), N(1), P(const nb_device *, 2))
KERNEL(augment_images, P(float *, 0), P(const unsigned char *, 1), P(const float *, 2), P(const nb_crop *, 3), N(4))
KERNEL(vector_axpy, P(float *, 0), D(1), P(const float *, 2), N(3))
KERNEL(vector_scale, P(float *, 0), D(1), N(2))
KERNEL(vector_blend, P(float *, 0), P(const float *, 1), P(const float *, 2), P(const float *, 3), P(const float *, 4), N(5))
KERNEL(vector_dot, P(double *, 0), P(const float *, 1), P(const float *, 2), N(3))

#define ENTRY(name, arguments, threads) { #name, arguments, threads, start_##name },
#define OP_ENTRY(name) ENTRY(name, "pp", NB_THREADS)
static const emulated_kernel all[] = {
	EACH_OP(OP_ENTRY)
	ENTRY(run_numbers, "pn", NB_NUMBERS_THREADS)
	ENTRY(add_sums, "pnp", NB_THREADS)
	ENTRY(pack_weights, "pn", NB_THREADS)
	ENTRY(add_gradients, "pnp", NB_THREADS)
	ENTRY(augment_images, "ppppn", NB_THREADS)
	ENTRY(vector_axpy, "pdpn", NB_THREADS)
	ENTRY(vector_scale, "pdn", NB_THREADS)
	ENTRY(vector_blend, "pppppn", NB_THREADS)
	ENTRY(vector_dot, "pppn", NB_THREADS)
};

const emulated_kernel *emulated_kernel_at(int i) {
	return i < (int)(sizeof all / sizeof *all) ? &all[i] : NULL;
}

int64_t emulated_size(int which) {
	const int64_t sizes[] = { sizeof(nb_device), sizeof(nb_packing), sizeof(nb_unpacking), sizeof(nb_crop), sizeof(nb_op), sizeof(nb_pass),
		sizeof(nb_reduction), sizeof(nb_move), sizeof(nb_numbers), NB_THREADS, NB_NUMBERS_THREADS, NB_DOTS };
	return sizes[which];
}
