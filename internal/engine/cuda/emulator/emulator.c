// The threads of a block are coroutines, of which one runs until it ends or meets
// a barrier. A coroutine whose thread has ended goes on with the next thread, so a
// kernel without barriers costs no switches.

#undef _FORTIFY_SOURCE // whose longjmp knows nothing of coroutines
#define _GNU_SOURCE
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "emulator.h"
#include "thread.h"

enum { STACK = 64 << 10, ARRAYS = 8, GUARD = 64, GUARD_BYTE = 0x5a };

emulated_thread emulated;

typedef struct {
	jmp_buf here;
	char *stack;
	int begun;
	int thread; // it waits at a barrier in this line
	int line;
} coroutine;

// An array of shared memory, with a guard behind it.
typedef struct {
	char *memory;
	size_t bytes;
} array;

static struct {
	const emulated_launch *launch;
	jmp_buf scheduler;
	coroutine *self;
	int begun, ended;   // threads of the block
	array arrays[ARRAYS];
	int arrays_of_block, arrays_of_thread;
	const char *problem; // or NULL
} state;

static coroutine coroutines[EMULATED_THREADS];

static int64_t in_order(const emulated_order *o, int64_t i, int64_t round, int64_t n) {
	return (o->first + round % n * o->turn + i * o->step) % n;
}

static void leave(void) {
	if (!_setjmp(state.self->here)) _longjmp(state.scheduler, 1);
}

// run is what a coroutine does.
static void run(void) {
	for (;;) {
		while (state.begun < emulated.threads) {
			emulated.thread = state.self->thread = (int)in_order(&state.launch->thread_order, state.begun++, 0, emulated.threads);
			state.arrays_of_thread = 0;
			state.launch->kernel->run(state.launch->arguments);
			state.ended++;
		}
		state.self->line = 0;
		leave();
	}
}

static void resume(coroutine *c) {
	state.self = c;
	emulated.thread = c->thread;
	if (_setjmp(state.scheduler)) return;
	if (c->begun) _longjmp(c->here, 1);
	c->begun = 1;
	if (!c->stack) c->stack = malloc(STACK);
	ucontext_t context;
	getcontext(&context);
	context.uc_stack.ss_sp = c->stack;
	context.uc_stack.ss_size = STACK;
	context.uc_link = NULL;
	makecontext(&context, run, 0);
	setcontext(&context);
}

void emulated_barrier(int line) {
	state.self->line = line;
	leave();
}

void *emulated_shared(size_t bytes) {
	int i = state.arrays_of_thread++;
	if (i >= ARRAYS) abort(); // a limit of ours
	array *a = &state.arrays[i];
	if (i >= state.arrays_of_block) {
		state.arrays_of_block++;
		if (a->bytes != bytes) {
			free(a->memory);
			*a = (array){ malloc(bytes + GUARD), bytes };
			memset(a->memory + bytes, GUARD_BYTE, GUARD);
		}
		memset(a->memory, 0xff, bytes); // NaNs
		size_t total = 0;
		for (int k = 0; k <= i; k++) total += state.arrays[k].bytes;
		if (total > EMULATED_SHARED) state.problem = "has more shared memory than a block can have";
	}
	return a->memory;
}

// run_block returns 0 if the block cannot go on.
static int run_block(void) {
	static coroutine *waiting[EMULATED_THREADS]; // by thread
	int used = 0, threads = emulated.threads;
	state.begun = state.ended = state.arrays_of_block = 0;
	while (state.begun < threads) {
		coroutine *c = &coroutines[used++];
		resume(c);
		waiting[c->thread] = c;
	}
	for (int64_t round = 1; state.ended < threads; round++) {
		int line = 0;
		for (int i = 0; i < used; i++) {
			if (!coroutines[i].line) continue; // has nothing to do any more
			if (line && coroutines[i].line != line) state.problem = "has threads of a block wait at different barriers";
			line = coroutines[i].line;
		}
		if (state.ended) state.problem = "has some threads of a block wait at a barrier and others return";
		if (state.problem) return 0;
		for (int i = 0; i < threads; i++) resume(waiting[in_order(&state.launch->thread_order, i, round, threads)]);
	}
	for (int i = 0; i < state.arrays_of_block; i++)
		for (int k = 0; k < GUARD; k++)
			if (state.arrays[i].memory[state.arrays[i].bytes + k] != GUARD_BYTE) state.problem = "writes past the end of its shared memory";
	return !state.problem;
}

const char *emulate(const emulated_launch *launch) {
	const int64_t *grid = launch->grid;
	int64_t blocks = grid[0] * grid[1] * grid[2];
	state.launch = launch;
	state.problem = NULL;
	emulated.threads = (int)launch->threads;
	for (int i = 0; i < 3; i++) emulated.grid[i] = (int)grid[i];
	for (int64_t i = 0; i < blocks; i++) {
		int64_t block = in_order(&launch->block_order, i, 0, blocks);
		emulated.block[0] = (int)(block % grid[0]);
		emulated.block[1] = (int)(block / grid[0] % grid[1]);
		emulated.block[2] = (int)(block / grid[0] / grid[1]);
		if (run_block()) continue;
		for (int k = 0; k < EMULATED_THREADS; k++) coroutines[k].begun = 0; // begin anew next time
		for (int k = 0; k < ARRAYS; k++) {
			free(state.arrays[k].memory);
			state.arrays[k] = (array){ 0 };
		}
		break;
	}
	return state.problem;
}

enum { ALIGNMENT = 256 };

uintptr_t emulated_alloc(int64_t bytes) {
	void *p;
	if (posix_memalign(&p, ALIGNMENT, bytes)) return 0;
	memset(p, 0xff, bytes); // NaNs, so that it shows if they are read
	return (uintptr_t)p;
}

void emulated_free(uintptr_t p) { free((void *)p); }
void emulated_write(uintptr_t to, const void *from, int64_t bytes) { memcpy((void *)to, from, bytes); }
void emulated_read(void *to, uintptr_t from, int64_t bytes) { memcpy(to, (void *)from, bytes); }
void emulated_copy(uintptr_t to, uintptr_t from, int64_t bytes) { memmove((void *)to, (void *)from, bytes); }
void emulated_clear(uintptr_t p, int64_t bytes) { memset((void *)p, 0, bytes); }
