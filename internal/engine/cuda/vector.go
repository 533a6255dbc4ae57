package cuda

import (
	"math"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
)

// vector is float32 numbers on the device.
type vector struct {
	engine  *Engine
	memory  *memory
	address Address
	n       int
}

func (e *Engine) newVector(n int) *vector {
	m := e.newMemory(4 * n)
	return &vector{e, m, m.address, n}
}

// bytesOf is how numbers lie in memory.
func bytesOf[T any](x []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(t)))
}

// Address is where the elements are on the device.
func (v *vector) Address() Address { return v.address }

func (v *vector) Len() int { return v.n }

func (v *vector) Slice(from, to int) engine.Vector {
	if from < 0 || from > to || to > v.n {
		panic("vector: slice out of range")
	}
	return &vector{v.engine, v.memory, v.address + Address(4*from), to - from}
}

// buffer returns room for n floats on the host.
func (e *Engine) buffer(n int) []float32 {
	if cap(e.floats) < n {
		e.floats = make([]float32, n)
	}
	return e.floats[:n]
}

func (v *vector) Read(dst []float64) {
	v.engine.mutex.Lock()
	defer v.engine.mutex.Unlock()
	if len(dst) == 0 {
		return
	}
	b := v.engine.buffer(len(dst))
	check(v.engine.driver.Read(bytesOf(b), v.address))
	for i, x := range b {
		dst[i] = float64(x)
	}
}

func (v *vector) Write(src []float64) {
	v.engine.mutex.Lock()
	defer v.engine.mutex.Unlock()
	if len(src) == 0 {
		return
	}
	b := v.engine.buffer(len(src))
	for i, x := range src {
		b[i] = float32(x)
	}
	check(v.engine.driver.Write(v.address, bytesOf(b)))
}

func (v *vector) Scale(a float64) {
	v.engine.mutex.Lock()
	defer v.engine.mutex.Unlock()
	if v.n > 0 {
		check(v.engine.driver.Launch("vector_scale", vectorGeometry(v.n), uint64(v.address), math.Float64bits(a), uint64(v.n)))
	}
}

func (v *vector) Axpy(a float64, x engine.Vector) {
	v.engine.mutex.Lock()
	defer v.engine.mutex.Unlock()
	if v.n > 0 {
		check(v.engine.driver.Launch("vector_axpy", vectorGeometry(v.n), uint64(v.address), math.Float64bits(a), uint64(x.(*vector).address), uint64(v.n)))
	}
}

func (v *vector) Blend(keep, gain, scale, x engine.Vector) {
	v.engine.mutex.Lock()
	defer v.engine.mutex.Unlock()
	at := func(x engine.Vector) uint64 { return uint64(x.(*vector).address) }
	if v.n > 0 {
		check(v.engine.driver.Launch("vector_blend", vectorGeometry(v.n), uint64(v.address), at(keep), at(gain), at(scale), at(x), uint64(v.n)))
	}
}

func (v *vector) Dot(x engine.Vector) float64 {
	e := v.engine
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if v.n == 0 {
		return 0
	}
	check(e.driver.Launch("vector_dot", dotGeometry(), uint64(e.partial), uint64(v.address), uint64(x.(*vector).address), uint64(v.n)))
	var partial [kernels.Dots]float64
	check(e.driver.Read(bytesOf(partial[:]), e.partial))
	var sum float64
	for _, p := range partial {
		sum += p
	}
	return sum
}
