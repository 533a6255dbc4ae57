// Kernels with the mistakes that the emulator must find.

#include "emulator.h"
#include "thread.h"

// Each thread's result depends on whether its neighbour's has been written.
static void race(const uint64_t *a) {
	float *x = (float *)(uintptr_t)a[0];
	x[THREAD] = x[(THREAD + 1) % THREADS] + 1;
}

// The same without one: it turns the numbers round.
static void rotate(const uint64_t *a) {
	float *x = (float *)(uintptr_t)a[0] + BLOCK_X * THREADS;
	NB_SHARED(float, room, 64);
	room[THREAD] = x[THREAD];
	BARRIER();
	x[THREAD] = room[(THREAD + 1) % THREADS];
}

static void uninitialized(const uint64_t *a) {
	NB_SHARED(float, room, 64);
	((float *)(uintptr_t)a[0])[THREAD] = room[THREAD];
	room[THREAD] = 1;
}

static void diverge(const uint64_t *a) {
	(void)a;
	if (THREAD == 3) return;
	BARRIER();
}

static void diverge_late(const uint64_t *a) {
	(void)a;
	BARRIER();
	if (THREAD == 3) BARRIER();
}

static void two_barriers(const uint64_t *a) {
	(void)a;
	if (THREAD == 3) {
		BARRIER();
	} else {
		BARRIER();
	}
}

static void overrun(const uint64_t *a) {
	(void)a;
	NB_SHARED(float, room, 64);
	room[64] = 1;
}

static void large(const uint64_t *a) {
	(void)a;
	NB_SHARED(float, room, 12000);
	NB_SHARED(float, more, 300);
	room[0] = more[0] = 1;
}

static const emulated_kernel all[] = {
	{ "selftest_race", "p", 64, race },
	{ "selftest_rotate", "p", 64, rotate },
	{ "selftest_uninitialized", "p", 64, uninitialized },
	{ "selftest_diverge", "p", 64, diverge },
	{ "selftest_diverge_late", "p", 64, diverge_late },
	{ "selftest_two_barriers", "p", 64, two_barriers },
	{ "selftest_overrun", "p", 64, overrun },
	{ "selftest_large", "p", 64, large },
};

const emulated_kernel *emulated_selftest_at(int i) {
	return i < (int)(sizeof all / sizeof *all) ? &all[i] : NULL;
}
