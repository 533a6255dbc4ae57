// Package cuda computes plans on NVIDIA GPUs, in float32. It has never run on one: its
// kernels are compiled for GPUs, and the same source is compiled for the processor and
// checked there (package emulator).
//
// Package phases compiles a plan into instructions, each of which becomes the launch of a
// kernel for all images of the batch (kernels/kernels.cu, geometry.go). All launches of
// a program are captured once as a CUDA graph and replayed for every run (program.go). The
// host touches nothing in between: what the CPU engine computes between phases is a
// kernel here, and so is the packing of weights.
//
// Without the build tag gpu the engine only says how to get it.
package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

func init() {
	engine.Register(engine.Definition{
		Name:   "cuda",
		Doc:    "NVIDIA GPUs, float32; not yet run on one, see docs/cuda.md",
		Device: true,
		Open: func(int) (engine.Engine, error) {
			d, err := open()
			if err != nil {
				return nil, err
			}
			return New(d)
		},
	})
}

// Engine is the CUDA engine. Its programs share memory and run one at a time, in the
// order of the calls.
type Engine struct {
	mutex   sync.Mutex
	driver  Driver
	garbage *garbage

	last       *program // whose values are in the memory
	has        room
	batch      Address
	scratch    Address
	sums       Address
	gradients  Address
	generation int     // of these addresses
	partial    Address // of inner products
	floats     []float32
	crops      *memory // of a batch, see Augment
}

// room is memory that the programs of an engine share, in bytes.
type room struct{ batch, scratch, sums, gradients int }

// New returns an engine on a device.
func New(d Driver) (*Engine, error) {
	e := &Engine{driver: d, garbage: &garbage{}}
	var err error
	if e.partial, err = d.Alloc(kernels.Dots * 8); err != nil {
		return nil, err
	}
	// Nobody is left whom an error could concern.
	runtime.AddCleanup(e, func(d Driver) { _ = d.Close() }, d)
	return e, nil
}

// Precision is float32. The loss, all sums over a batch and what is computed
// from them are float64.
func (e *Engine) Precision() string { return "float32" }

// Device is the GPU.
func (e *Engine) Device() string { return e.driver.Device() }

// NewVector allocates n zeros. It panics with an engine.Failure if the device has no
// memory left.
func (e *Engine) NewVector(n int) engine.Vector {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.newVector(n)
}

// Compile makes a program of the plan and sees to its memory.
func (e *Engine) Compile(plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (p engine.Program, err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	defer engine.Catch(&err)
	m := &machine{engine: e, packed: map[*phases.Packing]*vector{}}
	code, err := phases.Compile(m, plan, inputs, outputs)
	if err != nil {
		return nil, fmt.Errorf("CUDA engine: %w", err)
	}
	program := newProgram(e, code, m)
	e.reserve(program.needs)
	return program, nil
}

// check panics with a failure of the device.
func check(err error) {
	if err != nil {
		panic(engine.Failure{Err: err})
	}
}

// alloc takes memory of the device. What nobody refers to any more is known only
// when Go has collected its garbage, for which it sees no need while the device
// fills up: so that is asked for before giving up.
func (e *Engine) alloc(bytes int) Address {
	e.tidy()
	a, err := e.driver.Alloc(bytes)
	var full *OutOfMemoryError
	for wait := time.Millisecond; errors.As(err, &full) && wait < 2*time.Second; wait *= 4 {
		runtime.GC()
		time.Sleep(wait) // for the cleanups
		e.tidy()
		a, err = e.driver.Alloc(bytes)
	}
	check(err)
	return a
}

// garbage is what nobody refers to any more and the engine has still to give back.
// It refers to nothing else, so that it keeps nothing alive.
type garbage struct {
	mutex     sync.Mutex
	addresses []Address
	graphs    []Graph
}

func (g *garbage) addMemory(a Address) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.addresses = append(g.addresses, a)
}

func (g *garbage) addGraphs(list *graphs) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for _, graph := range list.of {
		if graph != nil {
			g.graphs = append(g.graphs, graph)
		}
	}
}

// tidy gives the garbage back.
func (e *Engine) tidy() {
	g := e.garbage
	g.mutex.Lock()
	addresses, graphs := g.addresses, g.graphs
	g.addresses, g.graphs = nil, nil
	g.mutex.Unlock()
	for _, a := range graphs {
		check(a.Release())
	}
	for _, a := range addresses {
		check(e.driver.Free(a))
	}
}

// reserve makes room for a program.
func (e *Engine) reserve(need room) {
	renew := func(a *Address, has *int, need int) {
		if need <= *has {
			return
		}
		if *a != 0 { // what is there goes before the new comes
			old := *a
			*a, *has = 0, 0
			check(e.driver.Free(old))
		}
		e.last = nil
		e.generation++
		*a = e.alloc(need)
		*has = need
	}
	renew(&e.batch, &e.has.batch, need.batch)
	renew(&e.scratch, &e.has.scratch, need.scratch)
	renew(&e.sums, &e.has.sums, need.sums)
	renew(&e.gradients, &e.has.gradients, need.gradients)
}

// memory is a block of the device's memory, given back when nothing refers to it
// any more.
type memory struct {
	address Address
	bytes   int
}

func (e *Engine) newMemory(bytes int) *memory {
	m := &memory{e.alloc(max(bytes, 1)), bytes}
	check(e.driver.Clear(m.address, max(bytes, 1)))
	runtime.AddCleanup(m, e.garbage.addMemory, m.address)
	return m
}

// machine gives a program memory for its instructions: what the host writes is
// staged here and copied to the device as a whole.
type machine struct {
	engine *Engine
	code   []*chunk // staged
	room   []*chunk
	packed map[*phases.Packing]*vector
}

// chunk is memory from which pieces are cut.
type chunk struct {
	*memory
	used   int      // bytes
	staged []uint64 // what the host writes, if it does
}

// cut returns where in the last chunk there is room for the given number of bytes, rounded up,
// and adds a chunk if there is none.
func (m *machine) cut(list *[]*chunk, bytes int) (c *chunk, at int) {
	const size, line = 1 << 20, 64
	bytes = (bytes + line - 1) / line * line
	if n := len(*list); n > 0 {
		c = (*list)[n-1]
	}
	if c == nil || c.used+bytes > c.bytes {
		c = &chunk{memory: m.engine.newMemory(max(bytes, size))}
		*list = append(*list, c)
	}
	at = c.used
	c.used += bytes
	return c, at
}

func (m *machine) Alloc(bytes int) (phases.Address, unsafe.Pointer) {
	c, at := m.cut(&m.code, bytes)
	if c.staged == nil {
		c.staged = make([]uint64, c.bytes/8)
	}
	return c.address + Address(at), unsafe.Pointer(&c.staged[at/8])
}

func (m *machine) Room(bytes int) phases.Address {
	c, at := m.cut(&m.room, bytes)
	return c.address + Address(at)
}

func (m *machine) NewVector(n int) phases.Vector { return m.engine.newVector(n) }

func (m *machine) Pack(p *phases.Packing) phases.Address {
	size := p.Floats()
	if !p.Depthwise {
		size = m.PackedGradients(p.OutBlocks, p.InBlocks, p.K)
	}
	m.packed[p] = m.engine.newVector(size)
	return m.packed[p].address
}

// PackedGradients is the size of packed weights, too: all taps of all blocks.
func (m *machine) PackedGradients(outBlocks, inBlocks, k int) int {
	return outBlocks * inBlocks * phases.Lanes * phases.Lanes * k * k
}

func (m *machine) Together() bool { return true }

// Layout is that of the kernels.
func (m *machine) Layout() phases.Layout { return phases.Layout{Channels: phases.Lanes, Images: 1} }

// Half reports that all planes are floats.
func (m *machine) Half() bool { return false }
