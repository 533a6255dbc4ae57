//go:build gpu

// Package libcuda loads NVIDIA's driver when it is asked for, and has the few of
// its calls that gorgonia.org/cu lacks. Programs with this package start on
// machines without the driver, also those with gorgonia.org/cu, which by itself is
// linked to the driver and ends the program where there is none. Until Load has
// succeeded, no other call of either package does.
package libcuda

// The empty archive is what cu's -lcuda finds; where the linker finds a real library
// first, --as-needed leaves it out, as nothing refers to it.

// #cgo CFLAGS: -I/usr/local/cuda/include
// #cgo LDFLAGS: -Wl,--as-needed -L${SRCDIR}/empty -ldl
// #include <cuda.h>
// #include <stdlib.h>
// #include "libcuda.h"
import "C"

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// Library is the name by which the system's linker knows the driver.
const Library = "libcuda.so.1"

// oldest is the version of the driver that a program needs: that of the toolkit which
// compiled the kernels.
const oldest = 11080

var (
	mutex  sync.Mutex
	loaded bool
)

// Load loads the driver and initialises it. An error says what is missing. Later
// calls do nothing once one has succeeded.
func Load(library string) error {
	mutex.Lock()
	defer mutex.Unlock()
	if loaded {
		return nil
	}
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	if problem := C.nb_cuda_load(name); problem != nil {
		return fmt.Errorf("no NVIDIA driver on this machine: %s", C.GoString(problem))
	}
	var version C.int
	if err := result(C.cuDriverGetVersion(&version)); err == Result(C.CUDA_ERROR_STUB_LIBRARY) {
		return fmt.Errorf("no NVIDIA driver on this machine: %s is the one of the CUDA toolkit, to link with", library)
	} else if err != nil {
		return fmt.Errorf("the NVIDIA driver does not tell its version: %w", err)
	}
	if version < oldest {
		return fmt.Errorf("the NVIDIA driver knows CUDA %s, older than %s, for which this binary was built: update the driver", dotted(version), dotted(oldest))
	}
	if err := result(C.cuInit(0)); err != nil {
		return fmt.Errorf("the NVIDIA driver does not start: %w", err)
	}
	loaded = true
	return nil
}

// dotted is a version as people write it.
func dotted(version C.int) string { return fmt.Sprintf("%d.%d", version/1000, version%1000/10) }

// Result is what a call of the driver returned, other than success: a CUresult.
type Result int

// Results that callers tell from others.
const (
	OutOfMemory Result = C.CUDA_ERROR_OUT_OF_MEMORY
	NoDevice    Result = C.CUDA_ERROR_NO_DEVICE
)

func (r Result) Error() string {
	var text, name *C.char
	C.cuGetErrorString(C.CUresult(r), &text)
	C.cuGetErrorName(C.CUresult(r), &name)
	if text == nil || name == nil {
		return fmt.Sprintf("CUDA error %d", int(r))
	}
	return fmt.Sprintf("%s (%s, %d)", C.GoString(text), C.GoString(name), int(r))
}

// Fatal reports whether after it every call that uses the device fails.
func (r Result) Fatal() bool {
	switch r {
	case C.CUDA_ERROR_DEINITIALIZED, C.CUDA_ERROR_DEVICE_UNAVAILABLE, C.CUDA_ERROR_ECC_UNCORRECTABLE,
		C.CUDA_ERROR_NVLINK_UNCORRECTABLE, C.CUDA_ERROR_ILLEGAL_ADDRESS, C.CUDA_ERROR_LAUNCH_TIMEOUT,
		C.CUDA_ERROR_CONTEXT_IS_DESTROYED, C.CUDA_ERROR_ASSERT, C.CUDA_ERROR_HARDWARE_STACK_ERROR,
		C.CUDA_ERROR_ILLEGAL_INSTRUCTION, C.CUDA_ERROR_MISALIGNED_ADDRESS, C.CUDA_ERROR_INVALID_ADDRESS_SPACE,
		C.CUDA_ERROR_INVALID_PC, C.CUDA_ERROR_LAUNCH_FAILED, C.CUDA_ERROR_EXTERNAL_DEVICE, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}

func result(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return Result(r)
}

// Translate makes Results of errors of gorgonia.org/cu, which are the same numbers
// under an unexported type, and leaves other errors as they are.
func Translate(err error) error {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
		return Result(v.Int())
	}
	return err
}

// A Stream is a CUstream; gorgonia.org/cu gives it by Stream.C.
type Stream unsafe.Pointer

// BeginCapture makes a graph of what is put on the stream from now on, instead of
// doing it. The goroutine must stay on its thread until EndCapture.
func BeginCapture(s Stream) error {
	return result(C.cuStreamBeginCapture(C.CUstream(s), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
}

// Graph is an executable graph.
type Graph struct{ exec C.CUgraphExec }

// EndCapture ends what BeginCapture began.
func EndCapture(s Stream) (Graph, error) {
	var recorded C.CUgraph
	if err := result(C.cuStreamEndCapture(C.CUstream(s), &recorded)); err != nil {
		return Graph{}, err
	}
	defer C.cuGraphDestroy(recorded)
	var g Graph
	err := result(C.cuGraphInstantiateWithFlags(&g.exec, recorded, 0))
	return g, err
}

// Launch puts the graph on the stream.
func (g Graph) Launch(s Stream) error { return result(C.cuGraphLaunch(g.exec, C.CUstream(s))) }

// Destroy frees the graph, once it has run if it does now.
func (g Graph) Destroy() error { return result(C.cuGraphExecDestroy(g.exec)) }

// HostAlloc takes page-locked memory, from which copies to the device need not be
// waited for. gorgonia.org/cu frees it, by MemFreeHost.
func HostAlloc(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := result(C.cuMemHostAlloc(&p, C.size_t(bytes), 0)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}
