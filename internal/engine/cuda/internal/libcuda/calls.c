//go:build gpu

// Every call of the driver is defined here, as a jump to where the library has it.
// Until the library is loaded a call fails with CUDA_ERROR_NOT_INITIALIZED, except
// cuInit, which gorgonia.org/cu makes when the program starts, and which ends the
// program where it fails. Hidden symbols, lest the library finds them for its own.
// No cuda.h: its macros would rename them.

#include "libcuda.h"
#include "calls.h"
#include <dlfcn.h>
#include <stddef.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_NOT_INITIALIZED = 3 };

#define HIDDEN __attribute__((visibility("hidden")))

static int not_loaded(void) { return CUDA_ERROR_NOT_INITIALIZED; }

// A jump knows no prototype: the arguments stay where they are.
#if defined __x86_64__
#define JUMP(name) "jmp *nb_cuda_" #name "(%rip)\n"
#elif defined __aarch64__
#define JUMP(name) "adrp x16, nb_cuda_" #name "\nldr x16, [x16, #:lo12:nb_cuda_" #name "]\nbr x16\n"
#else
#error "the CUDA engine is for amd64 and arm64"
#endif
#define DEFINE(name) \
	HIDDEN void *nb_cuda_##name = (void *)not_loaded; \
	__asm__(".text\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n" JUMP(name));
CALLS(DEFINE)

static int (*init)(unsigned int flags);

HIDDEN int cuInit(unsigned int flags) { return init ? init(flags) : CUDA_SUCCESS; }

// What an older library lacks stays as it is: cu names many calls that nobody makes.
static void find(void *library, const char *name, void **call) {
	void *found = dlsym(library, name);
	if (found)
		*call = found;
}

const char *nb_cuda_load(const char *name) {
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return dlerror();
	find(library, "cuInit", (void **)&init);
#define FIND(name) find(library, #name, &nb_cuda_##name);
	CALLS(FIND)
	return NULL;
}
