// Running CUDA kernels on a processor.

#ifndef NB1SHOT_EMULATOR_H
#define NB1SHOT_EMULATOR_H

#include <stdint.h>

// A kernel, called for each thread.
typedef struct {
	const char *name;
	const char *arguments; // p: an address, n: an int64, d: a double
	int threads;           // of a block at most
	void (*run)(const uint64_t *arguments);
} emulated_kernel;

// emulated_kernel_at returns the i-th of all kernels, NULL after the last.
const emulated_kernel *emulated_kernel_at(int i);

// emulated_selftest_at lists the kernels of selftest.c.
const emulated_kernel *emulated_selftest_at(int i);

// An order of n things: the i-th is (first + round·turn + i·step) mod n. The round
// is the number of barriers passed; blocks have none.
typedef struct {
	int64_t first, step, turn;
} emulated_order;

typedef struct {
	const emulated_kernel *kernel;
	const uint64_t *arguments;
	int64_t grid[3], threads;
	emulated_order thread_order, block_order;
} emulated_launch;

enum { EMULATED_THREADS = 1024, EMULATED_SHARED = 48 << 10 }; // of a block, at most

// emulate runs a launch. If it returns other than NULL, that says what is wrong with
// the kernel, and the launch was broken off. One call at a time.
const char *emulate(const emulated_launch *launch);

// Memory, by address. emulated_alloc returns 0 if there is none.
uintptr_t emulated_alloc(int64_t bytes);
void emulated_free(uintptr_t p);
void emulated_write(uintptr_t to, const void *from, int64_t bytes);
void emulated_read(void *to, uintptr_t from, int64_t bytes);
void emulated_copy(uintptr_t to, uintptr_t from, int64_t bytes);
void emulated_clear(uintptr_t p, int64_t bytes);

// The sizes of structures, for Go to compare.
int64_t emulated_size(int which);

#endif
