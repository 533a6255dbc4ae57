// A driver's library without a GPU, for tests of the Go side: memory is the host's,
// kernels do nothing, and every call is written to the file $FAKE_CUDA_LOG. What
// is put on the stream happens when it is synchronised, not earlier, so that whoever
// does not wait when it must reads what is not there yet.
//
// $FAKE_CUDA_FAIL, as in cuMemAlloc_v2=2, makes a call return an error.
// $FAKE_CUDA_VERSION and $FAKE_CUDA_CAPABILITY are what it pretends to be.
// A kernel args3 has 3 arguments.

#include <cuda.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 1000 };

static int fake_context;
static __thread CUcontext current;
static int alive; // allocations, streams, modules, graphs

static void note(const char *format, ...) {
	FILE *f = fopen(getenv("FAKE_CUDA_LOG"), "a");
	va_list args;
	va_start(args, format);
	vfprintf(f, format, args);
	va_end(args);
	fclose(f);
}

static int setting(const char *name, int otherwise) {
	const char *value = getenv(name);
	return value && *value ? atoi(value) : otherwise;
}

static CUresult failure(const char *call) {
	const char *fail = getenv("FAKE_CUDA_FAIL");
	size_t n = strlen(call);
	return fail && !strncmp(fail, call, n) && fail[n] == '=' ? atoi(fail + n + 1) : CUDA_SUCCESS;
}

// CALL notes the call, without the argument list's addresses, and fails on demand.
#define STRING(x) #x
#define NAME(x) STRING(x)
#define CALL(call, ...) \
	do { \
		note(NAME(call) " " __VA_ARGS__); \
		note("\n"); \
		CUresult e = failure(NAME(call)); \
		if (e) \
			return e; \
	} while (0)
#define NEEDS_CONTEXT \
	do { \
		if (current != (CUcontext)&fake_context) \
			return CUDA_ERROR_INVALID_CONTEXT; \
	} while (0)

// What is on a stream or in a graph.
typedef struct {
	enum { COPY, UPLOAD, SET, KERNEL } kind;
	CUdeviceptr to, from;
	size_t bytes;
	char text[200];
} work;

typedef struct { // of graphs, executable or not
	int n;
	work list[MANY];
} works;

struct CUstream_st {
	works queue;
	works *recorded; // NULL unless capturing
	pthread_t thread;
	int spoiled; // a call was made that no capture allows
};

static CUstream stream; // there is one

static void add(works *to, const work *w) {
	if (to->n == MANY)
		abort();
	to->list[to->n++] = *w;
}

static CUresult put(CUstream s, work *w) {
	NEEDS_CONTEXT;
	add(s->recorded ? s->recorded : &s->queue, w);
	return CUDA_SUCCESS;
}

static CUresult no_capture(void) {
	NEEDS_CONTEXT;
	if (!stream || !stream->recorded)
		return CUDA_SUCCESS;
	stream->spoiled = 1;
	return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult cuDriverGetVersion(int *version) {
	CALL(cuDriverGetVersion);
	*version = setting("FAKE_CUDA_VERSION", 12020);
	return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags) {
	CALL(cuInit);
	return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult e, const char **text) {
	*text = "text";
	return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult e, const char **text) {
	*text = "NAME";
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *n) {
	CALL(cuDeviceGetCount);
	*n = 1;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *d, int n) {
	CALL(cuDeviceGet, "%d", n);
	*d = 7;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int n, CUdevice d) {
	CALL(cuDeviceGetName, "%d", d);
	snprintf(name, n, "No GPU");
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute a, CUdevice d) {
	CALL(cuDeviceGetAttribute, "%d %d", a, d);
	int capability = setting("FAKE_CUDA_CAPABILITY", 90);
	*value = a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? capability / 10 : capability % 10;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) {
	CALL(cuDevicePrimaryCtxRetain, "%d", d);
	*c = (CUcontext)&fake_context;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice d) {
	CALL(cuDevicePrimaryCtxRelease, "%d", d);
	note("alive %d\n", alive);
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext c) {
	current = c; // not noted: it is part of every call
	return failure("cuCtxSetCurrent");
}

CUresult cuStreamCreate(CUstream *s, unsigned int flags) {
	CALL(cuStreamCreate, "%u", flags);
	NEEDS_CONTEXT;
	*s = stream = calloc(1, sizeof *stream);
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream s) {
	CALL(cuStreamDestroy);
	NEEDS_CONTEXT;
	free(s);
	stream = NULL;
	alive--;
	return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream s) {
	CALL(cuStreamSynchronize);
	CUresult e = no_capture();
	if (e)
		return e;
	for (work *w = s->queue.list; w < s->queue.list + s->queue.n; w++) {
		switch (w->kind) {
		case COPY:
		case UPLOAD:
			memmove((void *)w->to, (void *)w->from, w->bytes);
			break;
		case SET:
			memset((void *)w->to, 0, w->bytes);
			break;
		case KERNEL:
			note("run %s\n", w->text);
		}
	}
	s->queue.n = 0;
	return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **p, size_t bytes, unsigned int flags) {
	CALL(cuMemHostAlloc, "%zu", bytes);
	NEEDS_CONTEXT;
	*p = malloc(bytes);
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *p) {
	CALL(cuMemFreeHost);
	NEEDS_CONTEXT;
	free(p);
	alive--;
	return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr *p, size_t bytes) {
	CALL(cuMemAlloc, "%zu", bytes);
	CUresult e = no_capture();
	if (e)
		return e;
	*p = (CUdeviceptr)aligned_alloc(256, (bytes + 255) / 256 * 256);
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr p) {
	CALL(cuMemFree);
	CUresult e = no_capture();
	if (e)
		return e;
	free((void *)p);
	alive--;
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *available, size_t *total) {
	CALL(cuMemGetInfo);
	NEEDS_CONTEXT;
	*available = (size_t)3 << 30;
	*total = (size_t)80 << 30;
	return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream s) {
	CALL(cuMemcpyHtoDAsync, "%zu", bytes);
	work w = {UPLOAD, to, (CUdeviceptr)from, bytes};
	return put(s, &w);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s) {
	CALL(cuMemcpyDtoDAsync, "%zu", bytes);
	work w = {COPY, to, from, bytes};
	return put(s, &w);
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream s) {
	CALL(cuMemsetD8Async, "%d %zu", value, bytes);
	work w = {SET, to, 0, bytes};
	return put(s, &w);
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
	CALL(cuMemcpyDtoH, "%zu", bytes);
	CUresult e = no_capture();
	if (!e)
		memcpy(to, (void *)from, bytes);
	return e;
}

CUresult cuModuleLoadFatBinary(CUmodule *m, const void *image) {
	CALL(cuModuleLoadFatBinary);
	NEEDS_CONTEXT;
	uint32_t magic;
	memcpy(&magic, image, sizeof magic);
	if (magic != 0xba55ed50)
		return CUDA_ERROR_INVALID_IMAGE;
	*m = malloc(1);
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule m) {
	CALL(cuModuleUnload);
	NEEDS_CONTEXT;
	free(m);
	alive--;
	return CUDA_SUCCESS;
}

static const char *const functions[] = {"args0", "args1", "args2", "args3", "args4", "args5", "args6", "args7", "args8"};

CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
	CALL(cuModuleGetFunction, "%s", name);
	NEEDS_CONTEXT;
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		if (!strcmp(functions[i], name)) {
			*f = (CUfunction)functions[i];
			return CUDA_SUCCESS;
		}
	}
	return CUDA_ERROR_NOT_FOUND;
}

CUresult cuLaunchKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by, unsigned int bz,
                        unsigned int shared, CUstream s, void **args, void **extra) {
	const char *name = (const char *)f;
	CALL(cuLaunchKernel, "%s", name);
	work w = {KERNEL};
	int at = snprintf(w.text, sizeof w.text, "%s %u,%u,%u of %u,%u,%u:", name, gx, gy, gz, bx, by, bz);
	for (int i = 0; i < name[4] - '0'; i++)
		at += snprintf(w.text + at, sizeof w.text - at, " %llx", *(unsigned long long *)args[i]);
	return put(s, &w);
}

CUresult cuStreamBeginCapture(CUstream s, CUstreamCaptureMode mode) {
	CALL(cuStreamBeginCapture, "%d", mode);
	CUresult e = no_capture();
	if (e)
		return e;
	s->recorded = calloc(1, sizeof *s->recorded);
	s->thread = pthread_self();
	s->spoiled = 0;
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream s, CUgraph *g) {
	CALL(cuStreamEndCapture);
	NEEDS_CONTEXT;
	if (!pthread_equal(s->thread, pthread_self()))
		return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
	*g = (CUgraph)s->recorded;
	s->recorded = NULL;
	if (s->spoiled) {
		free(*g);
		alive--;
		return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	}
	return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph g, unsigned long long flags) {
	CALL(cuGraphInstantiateWithFlags);
	NEEDS_CONTEXT;
	*exec = malloc(sizeof(works));
	memcpy(*exec, g, sizeof(works));
	alive++;
	return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph g) {
	CALL(cuGraphDestroy);
	NEEDS_CONTEXT;
	free(g);
	alive--;
	return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
	CALL(cuGraphExecDestroy);
	NEEDS_CONTEXT;
	free(exec);
	alive--;
	return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream s) {
	CALL(cuGraphLaunch);
	CUresult e = no_capture();
	if (e)
		return e;
	works *g = (works *)exec;
	for (int i = 0; i < g->n; i++)
		add(&s->queue, &g->list[i]);
	return CUDA_SUCCESS;
}
