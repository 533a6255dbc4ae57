// What the kernels of kernels.cu are given besides instructions. kernels.go has
// the same for Go.

#ifndef NB1SHOT_DEVICE_H
#define NB1SHOT_DEVICE_H

#include "../../phases/format.h"

enum {
	NB_THREADS = 256,          // of a block at most, by which the kernels divide their work
	NB_NUMBERS_THREADS = 1024, // of the block of run_numbers
	NB_DOTS = 64               // partial sums of vector_dot
};

// What is the same for all instructions of a program. All images of a phase are
// worked on at once, so SPACE_SCRATCH holds those of each of them, as SPACE_BATCH
// does, and sums are partial sums of each image.
typedef struct {
	char *spaces[SPACES];      // see nb_at
	double *sums;              // of image 0
	int64_t sums_between;      // doubles from the sums of an image to those of the next
	float *gradients;          // of the first group of images: OP_WEIGHT*, OP_DEPTH_WEIGHT
	int64_t gradients_between; // floats from one group to the next
	int64_t images, groups;    // group g is the images g·images/groups .. (g+1)·images/groups
} nb_device;

// Packed weights are [K²][out block][in block][16 in][16 out], depthwise ones
// [block][K²][16].

// pack_weights fills the piece `at` of packed from w.
typedef struct {
	float *packed;
	const float *w; // [O][I][K][K]
	nb_weights at;
} nb_packing;

// add_gradients adds up the packed gradients that all groups have from slot on.
typedef struct {
	float *w; // [O][I][K][K]
	int64_t slot;
	nb_weights at;
} nb_unpacking;

// How augment_images makes an image of a batch: engine.Crop.
typedef struct {
	int64_t image;
	int32_t top, left, flip;
	int32_t cut_top, cut_bottom, cut_left, cut_right;
	int32_t unused;
} nb_crop;

#endif
