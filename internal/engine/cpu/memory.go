package cpu

// #include "ops.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// memory is a block outside the Go heap, where the kernels can keep pointers
// into it. It is given back when nothing refers to it any more.
type memory struct {
	pointer unsafe.Pointer
	bytes   int
	version int // counts the writes, so that what was derived from it can be renewed
	cleanup runtime.Cleanup
}

// outOfMemory is the failure that newMemory panics with; Compile, where all that is
// large is allocated, makes an error of it.
type outOfMemory struct{ bytes int }

func (e outOfMemory) Error() string {
	return fmt.Sprintf("CPU engine: the system has no %d MiB of memory left; a smaller batch or network needs less", e.bytes>>20)
}

func newMemory(bytes int) *memory {
	p := C.nb_alloc(C.int64_t(bytes))
	if p == nil {
		panic(engine.Failure{Err: outOfMemory{bytes}})
	}
	m := &memory{pointer: p, bytes: bytes}
	m.cleanup = runtime.AddCleanup(m, func(p unsafe.Pointer) { C.nb_free(p) }, p)
	return m
}

// release gives the memory back at once. Nobody may use it any more.
func (m *memory) release() {
	if m != nil {
		m.cleanup.Stop()
		C.nb_free(m.pointer)
	}
}

// newArray returns n zeroed elements of C memory.
func newArray[T any](n int) (*memory, []T) {
	var t T
	m := newMemory(n * int(unsafe.Sizeof(t)))
	return m, unsafe.Slice((*T)(m.pointer), n)
}

// vector is a vector of the engine.
type vector struct {
	memory *memory
	data   []float32
}

func newVector(n int) *vector {
	m, data := newArray[float32](n)
	return &vector{m, data}
}

// Address is where the elements are, in C memory.
func (v *vector) Address() phases.Address {
	return phases.Address(unsafe.Pointer(unsafe.SliceData(v.data)))
}

func (v *vector) Len() int { return len(v.data) }

func (v *vector) Slice(from, to int) engine.Vector { return &vector{v.memory, v.data[from:to:to]} }

func (v *vector) Read(dst []float64) {
	for i, x := range v.data[:len(dst)] {
		dst[i] = float64(x)
	}
}

func (v *vector) Write(src []float64) {
	v.memory.version++
	for i, x := range src {
		v.data[i] = float32(x)
	}
}

func (v *vector) Scale(a float64) {
	v.memory.version++
	C.nb_scale(pointer(v.data), C.float(a), C.int64_t(len(v.data)))
}

func (v *vector) Axpy(a float64, x engine.Vector) {
	v.memory.version++
	C.nb_axpy(pointer(v.data), C.float(a), pointer(x.(*vector).data), C.int64_t(len(v.data)))
}

func (v *vector) Blend(keep, gain, scale, x engine.Vector) {
	v.memory.version++
	at := func(x engine.Vector) *C.float { return pointer(x.(*vector).data) }
	C.nb_blend(pointer(v.data), at(keep), at(gain), at(scale), at(x), C.int64_t(len(v.data)))
}

func (v *vector) Dot(x engine.Vector) float64 {
	return float64(C.nb_dot(pointer(v.data), pointer(x.(*vector).data), C.int64_t(len(v.data))))
}

// pointer is where the elements are, in C memory.
func pointer(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }
