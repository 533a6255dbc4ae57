// Package emulator runs the CUDA kernels on the processor, for tests: a
// cuda.Driver whose device is the host's memory.
//
// It runs the threads of a block one after another, in an order that can be chosen:
// a kernel whose results depend on the order has a race. What a GPU would leave
// undefined is made visible: new memory and the shared memory of a block are full of
// NaNs, and threads that do not meet at one barrier, shared memory that is too large
// or overrun, and addresses outside of the device's memory are errors. It says
// nothing about speed.
package emulator

// #cgo CFLAGS: -Wall
// #cgo !asan,!race CFLAGS: -O3
// #cgo LDFLAGS: -lm
// #include "emulator.h"
import "C"

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
	"github.com/nb1shot/nb1shot/random"
)

// Order is that of the threads of a block and of the blocks of a launch.
type Order struct {
	name   string
	stream *rand.Rand // nil if it is not shuffled
}

// Forwards is the order of their numbers.
func Forwards() Order { return Order{name: "forwards"} }

// Backwards is the opposite of Forwards.
func Backwards() Order { return Order{name: backwards} }

const backwards = "backwards"

// Shuffled is another order in every launch, and after every barrier.
func Shuffled(seed uint64) Order {
	return Order{fmt.Sprintf("shuffled by %d", seed), random.New(seed, "emulator")}
}

// String is the order in words.
func (o Order) String() string { return o.name }

// of returns an order of n things.
func (o Order) of(n int64) C.emulated_order {
	switch {
	case o.stream != nil:
		step := 1 + o.stream.Int64N(n)
		for gcd(step, n) != 1 {
			step = 1 + o.stream.Int64N(n)
		}
		return C.emulated_order{first: C.int64_t(o.stream.Int64N(n)), step: C.int64_t(step), turn: C.int64_t(o.stream.Int64N(n))}
	case o.name == backwards:
		return C.emulated_order{first: C.int64_t(n - 1), step: C.int64_t(n - 1)}
	}
	return C.emulated_order{step: 1}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Device is an emulated GPU.
type Device struct {
	// Memory is how many bytes it has; 0 is no limit.
	Memory int

	order     Order
	held      []allocation // by address
	bytes     int          // of them
	recording *recording   // while Capture runs
	closed    bool
}

var _ cuda.Driver = (*Device)(nil)

type allocation struct {
	at    cuda.Address
	bytes int
}

// running guards what all emulated devices share: the coroutines.
var running sync.Mutex

// New returns a device that runs threads in this order.
func New(order Order) *Device { return &Device{order: order} }

// Device says that it is none.
func (d *Device) Device() string { return "emulated GPU, " + runtime.GOARCH + ", " + d.order.name }

// Held is how many bytes are allocated.
func (d *Device) Held() int { return d.bytes }

// Alloc returns memory full of NaNs.
func (d *Device) Alloc(bytes int) (cuda.Address, error) {
	if err := d.ready("alloc", true); err != nil {
		return 0, err
	}
	if bytes <= 0 {
		return 0, fmt.Errorf("emulated device: alloc: %d bytes", bytes)
	}
	var at cuda.Address
	if free := d.Memory - d.bytes; d.Memory == 0 || bytes <= free {
		at = cuda.Address(C.emulated_alloc(C.int64_t(bytes)))
	}
	if at == 0 {
		return 0, fmt.Errorf("emulated device: alloc: out of memory: %d bytes wanted, %d of %d free", bytes, max(d.Memory-d.bytes, 0), d.Memory)
	}
	i, _ := slices.BinarySearchFunc(d.held, at, func(a allocation, at cuda.Address) int { return compare(a.at, at) })
	d.held = slices.Insert(d.held, i, allocation{at, bytes})
	d.bytes += bytes
	return at, nil
}

func compare(a, b cuda.Address) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Free gives back what Alloc returned.
func (d *Device) Free(at cuda.Address) error {
	if err := d.ready("free", true); err != nil {
		return err
	}
	i, ok := slices.BinarySearchFunc(d.held, at, func(a allocation, at cuda.Address) int { return compare(a.at, at) })
	if !ok {
		return fmt.Errorf("emulated device: free: no allocation begins at %#x", at)
	}
	d.bytes -= d.held[i].bytes
	d.held = slices.Delete(d.held, i, i+1)
	C.emulated_free(C.uintptr_t(at))
	return nil
}

// ready reports why nothing can be done now; alone says that it cannot be recorded.
func (d *Device) ready(what string, alone bool) error {
	switch {
	case d.closed:
		return fmt.Errorf("emulated device: %s: the device is closed", what)
	case alone && d.recording != nil:
		return fmt.Errorf("emulated device: %s: not while a graph is recorded", what)
	}
	return nil
}

// within reports if the range is not in one allocation.
func (d *Device) within(what string, at cuda.Address, bytes int) error {
	i, ok := slices.BinarySearchFunc(d.held, at, func(a allocation, at cuda.Address) int { return compare(a.at, at) })
	if !ok {
		i-- // the last one that begins before
	}
	if bytes < 0 || i < 0 || int(at-d.held[i].at)+bytes > d.held[i].bytes {
		return fmt.Errorf("emulated device: %s: %d bytes at %#x are not in one allocation", what, bytes, at)
	}
	return nil
}

// do carries out an operation, or records it.
func (d *Device) do(operation func() error) error {
	if d.recording != nil {
		d.recording.operations = append(d.recording.operations, operation)
		return nil
	}
	return operation()
}

// Write copies to the device.
func (d *Device) Write(to cuda.Address, from []byte) error {
	if err := errors.Join(d.ready("write", true), d.within("write", to, len(from))); err != nil {
		return err
	}
	C.emulated_write(C.uintptr_t(to), unsafe.Pointer(unsafe.SliceData(from)), C.int64_t(len(from)))
	return nil
}

// Read copies from the device.
func (d *Device) Read(to []byte, from cuda.Address) error {
	if err := errors.Join(d.ready("read", true), d.within("read", from, len(to))); err != nil {
		return err
	}
	C.emulated_read(unsafe.Pointer(unsafe.SliceData(to)), C.uintptr_t(from), C.int64_t(len(to)))
	return nil
}

// Copy copies on the device.
func (d *Device) Copy(to, from cuda.Address, bytes int) error {
	check := func() error {
		return errors.Join(d.ready("copy", false), d.within("copy to", to, bytes), d.within("copy from", from, bytes))
	}
	if err := check(); err != nil {
		return err
	}
	return d.do(func() error {
		if err := check(); err != nil { // a graph may be older than what it uses
			return err
		}
		C.emulated_copy(C.uintptr_t(to), C.uintptr_t(from), C.int64_t(bytes))
		return nil
	})
}

// Clear sets bytes to 0.
func (d *Device) Clear(to cuda.Address, bytes int) error {
	check := func() error { return errors.Join(d.ready("clear", false), d.within("clear", to, bytes)) }
	if err := check(); err != nil {
		return err
	}
	return d.do(func() error {
		if err := check(); err != nil {
			return err
		}
		C.emulated_clear(C.uintptr_t(to), C.int64_t(bytes))
		return nil
	})
}

// kernelTable are the kernels by name.
var kernelTable = func() map[cuda.Kernel]*C.emulated_kernel {
	all := map[cuda.Kernel]*C.emulated_kernel{}
	add := func(k *C.emulated_kernel) bool {
		if k != nil {
			all[cuda.Kernel(C.GoString(k.name))] = k
		}
		return k != nil
	}
	for i := C.int(0); add(C.emulated_kernel_at(i)); i++ {
	}
	for i := C.int(0); add(C.emulated_selftest_at(i)); i++ {
	}
	return all
}()

// Limits of a grid, which CUDA has.
const (
	maxGridX  = 1<<31 - 1
	maxGridYZ = 1<<16 - 1
)

// Launch runs a kernel, and reports what would be undefined on a GPU as far as it
// shows.
func (d *Device) Launch(k cuda.Kernel, g cuda.Geometry, args ...uint64) error {
	args = slices.Clone(args)
	check := func() error { return d.checkLaunch(k, g, args) }
	if err := check(); err != nil {
		return err
	}
	return d.do(func() error {
		if err := check(); err != nil {
			return err
		}
		return d.launch(kernelTable[k], g, args)
	})
}

func (d *Device) checkLaunch(k cuda.Kernel, g cuda.Geometry, args []uint64) error {
	if err := d.ready("launch", false); err != nil {
		return err
	}
	kernel := kernelTable[k]
	if kernel == nil {
		return fmt.Errorf("emulated device: launch: no kernel %q", k)
	}
	if g.Threads < 1 || g.Threads > int(kernel.threads) {
		return fmt.Errorf("emulated device: launch of %s: blocks of %d threads, of 1 to %d", k, g.Threads, kernel.threads)
	}
	for i, most := range []int{maxGridX, maxGridYZ, maxGridYZ} {
		if g.Grid[i] < 1 || g.Grid[i] > most {
			return fmt.Errorf("emulated device: launch of %s: grid %v, of which number %d must be 1 to %d", k, g.Grid, i, most)
		}
	}
	kinds := C.GoString(kernel.arguments)
	if len(args) != len(kinds) {
		return fmt.Errorf("emulated device: launch of %s: %d arguments, not %d", k, len(args), len(kinds))
	}
	for i, kind := range kinds {
		if kind == 'p' {
			if err := d.within(fmt.Sprintf("launch of %s: argument %d", k, i), cuda.Address(args[i]), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Device) launch(kernel *C.emulated_kernel, g cuda.Geometry, args []uint64) error {
	running.Lock()
	defer running.Unlock()
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&args[0])
	l := C.emulated_launch{kernel: kernel, arguments: (*C.uint64_t)(&args[0]), threads: C.int64_t(g.Threads),
		thread_order: d.order.of(int64(g.Threads)), block_order: d.order.of(int64(g.Grid[0]) * int64(g.Grid[1]) * int64(g.Grid[2]))}
	for i, n := range g.Grid {
		l.grid[i] = C.int64_t(n)
	}
	if problem := C.emulate(&l); problem != nil {
		return fmt.Errorf("emulated device: %s %s", C.GoString(kernel.name), C.GoString(problem))
	}
	return nil
}

// recording is a graph.
type recording struct {
	device     *Device
	operations []func() error
	released   bool
}

// Capture records what is launched, copied on the device and cleared.
func (d *Device) Capture(record func() error) (cuda.Graph, error) {
	if err := d.ready("capture", true); err != nil {
		return nil, err
	}
	r := &recording{device: d}
	d.recording = r
	err := record()
	d.recording = nil
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Replay does what was recorded.
func (r *recording) Replay() error {
	if r.released {
		return errors.New("emulated device: replay: the graph is released")
	}
	if err := r.device.ready("replay", true); err != nil {
		return err
	}
	for i, operation := range r.operations {
		if err := operation(); err != nil {
			return fmt.Errorf("replay, operation %d: %w", i, err)
		}
	}
	return nil
}

// Release forgets the graph.
func (r *recording) Release() error {
	if r.released {
		return errors.New("emulated device: release: the graph is released already")
	}
	r.released, r.operations = true, nil
	return nil
}

// Close gives all memory back.
func (d *Device) Close() error {
	if err := d.ready("close", true); err != nil {
		return err
	}
	for _, a := range d.held {
		C.emulated_free(C.uintptr_t(a.at))
	}
	d.held, d.bytes, d.closed = nil, 0, true
	return nil
}

// The structures that Go and C describe must be the same.
func init() {
	for i, want := range []uintptr{unsafe.Sizeof(kernels.Device{}), unsafe.Sizeof(kernels.Packing{}), unsafe.Sizeof(kernels.Unpacking{}), unsafe.Sizeof(engine.Crop{}),
		phases.OpBytes, phases.PassBytes, phases.ReductionBytes, phases.MoveBytes, phases.NumbersBytes,
		kernels.Threads, kernels.NumbersThreads, kernels.Dots} {
		if got := C.emulated_size(C.int(i)); got != C.int64_t(want) {
			panic(fmt.Sprintf("emulator: size %d is %d in C and %d in Go", i, got, want))
		}
	}
}
