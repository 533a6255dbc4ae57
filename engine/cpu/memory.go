package cpu

// #include "ops.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/nb1shot/nb1shot/engine"
)

// memory is a block outside the Go heap, where the kernels can keep pointers
// into it. It is given back when nothing refers to it any more.
type memory struct {
	pointer unsafe.Pointer
	bytes   int
	version int // counts the writes, so that what was derived from it can be renewed
}

func newMemory(bytes int) *memory {
	p := C.nb_alloc(C.int64_t(bytes))
	if p == nil {
		panic(fmt.Sprintf("cpu engine: cannot allocate %d MiB of memory; a smaller batch or network needs less", bytes>>20))
	}
	m := &memory{pointer: p, bytes: bytes}
	runtime.AddCleanup(m, func(p unsafe.Pointer) { C.nb_free(p) }, p)
	return m
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

func (v *vector) Dot(x engine.Vector) float64 {
	return float64(C.nb_dot(pointer(v.data), pointer(x.(*vector).data), C.int64_t(len(v.data))))
}

// pointer is where the elements are, in C memory.
func pointer(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }
