// What a kernel sees of the emulator in the place of CUDA, see kernels.cu.

#ifndef NB1SHOT_THREAD_H
#define NB1SHOT_THREAD_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
	int thread, threads;
	int block[3], grid[3];
} emulated_thread;
extern emulated_thread emulated; // the running one

// emulated_barrier returns when all threads of the block have called it, from the
// same line.
void emulated_barrier(int line);

// emulated_shared is memory of the block, the same for the n-th call of each thread.
void *emulated_shared(size_t bytes);

#define NB_KERNEL(threads) static void
#define NB_SHARED(type, name, n) type *name = emulated_shared(sizeof(type) * (n))
#define BARRIER() emulated_barrier(__LINE__)
#define THREAD emulated.thread
#define THREADS emulated.threads
#define BLOCK_X emulated.block[0]
#define BLOCK_Y emulated.block[1]
#define BLOCK_Z emulated.block[2]
#define GRID_X emulated.grid[0]
#define GRID_Y emulated.grid[1]
#define INLINE static inline __attribute__((always_inline))
#define UNROLL
#define UNROLL_BY(n)
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c)) // fmaf is a slow call on many processors
#define GLOBAL(p) (p)

#endif
