// Package cpu is the fast engine for processors: float32, with kernels in C for
// AVX-512, AVX2 and plain C that are chosen when the engine starts.
//
// Package phases compiles a plan into instructions; program.go runs them, phase
// after phase, one image after another while it is in the cache, and several images at
// once (pool.go). Plans of language models run step by step instead (steps.go).
//
// Results do not depend on the number of threads: the batch is divided into a
// fixed number of groups, and sums over images are added up group by group.
package cpu

// #cgo CFLAGS: -Wall
// #cgo !asan,!race CFLAGS: -O3
// #cgo LDFLAGS: -lm
// #include "ops.h"
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

func init() {
	engine.Register(engine.Definition{
		Name: "cpu",
		Doc:  "fast engine for processors, float32, AVX-512, AVX2 or plain C",
		Rank: 2,
		Open: func(threads int) (engine.Engine, error) { return New(threads, InstructionSets()[0]) },
	})
	engine.Register(engine.Definition{
		Name: "cpu-mixed",
		Doc:  "the same with activations held in bfloat16 between phases, --precision mixed",
		Rank: -1,
		Open: func(threads int) (engine.Engine, error) { return NewMixed(threads, InstructionSets()[0]) },
	})
}

// instructionSets are the kernels by name, the fastest first.
var instructionSets = []struct {
	name    string
	kernels []kernels // the first are those for wide planes
	steps   *C.nb_steps
}{
	{"AVX-512", []kernels{{wide, C.nb_avx512()}, {twoImages, C.nb_avx512_narrow()}}, C.nb_avx512_steps()},
	{"AVX2", []kernels{{wide, C.nb_avx2()}, {narrow, C.nb_avx2_narrow()}}, C.nb_avx2_steps()},
	{"plain C", []kernels{{wide, C.nb_generic()}, {narrow, C.nb_generic_narrow()}}, C.nb_generic_steps()},
}

// kernels are those for planes of one layout, or nil if this machine lacks the instructions.
type kernels struct {
	layout phases.Layout
	table  *C.nb_kernel
}

// InstructionSets lists those that this machine has, the fastest first.
func InstructionSets() []string {
	var names []string
	for _, s := range instructionSets {
		if s.kernels[0].table != nil {
			names = append(names, s.name)
		}
	}
	return names
}

// Engine is the CPU engine. Its programs share memory and run one at a time.
type Engine struct {
	name    string
	half    bool // activations are held in bfloat16, see phases.Machine
	kernels []kernels
	layout  func(*engine.Plan) phases.Layout // of the planes of a plan's program: layoutOf
	steps   *C.nb_steps
	stepper *stepper // nil until a plan is computed step by step
	pool    *pool

	mutex     sync.Mutex
	last      *program // whose values are in the memory
	has       room
	batch     *memory
	scratch   []*memory // of each thread
	work      []*memory
	sums      []float64
	gradients *vector
	sumMemory *memory

	observe func(engine.Program, int, engine.Phase)

	packings map[string]*packing
	renewed  []renewal
	renew    func(thread, task int)
}

type renewal struct {
	packing *packing
	piece   int
}

// New returns an engine with the given number of threads that uses one of InstructionSets.
func New(threads int, instructionSet string) (*Engine, error) {
	for _, s := range instructionSets {
		if s.name == instructionSet && s.kernels[0].table != nil {
			e := &Engine{name: s.name, kernels: s.kernels, steps: s.steps, pool: newPool(max(threads, 1)), packings: map[string]*packing{}}
			e.layout = e.layoutOf
			e.gradients = newVector(0)
			e.scratch, e.work = make([]*memory, e.pool.threads), make([]*memory, e.pool.threads)
			e.reserve(room{batch: 1, scratch: 1, work: 1})
			e.renew = func(_, task int) {
				r := e.renewed[task]
				C.nb_pack(pointer(r.packing.packed.data), pointer(r.packing.Arrays[r.piece].(*vector).data), (*C.nb_weights)(unsafe.Pointer(&r.packing.Pieces[r.piece])), planeOf(r.packing.Layout))
			}
			runtime.AddCleanup(e, func(p *pool) { p.stop() }, e.pool)
			return e, nil
		}
	}
	return nil, fmt.Errorf("CPU engine: no instruction set %q on this machine; it has %s", instructionSet, strings.Join(InstructionSets(), ", "))
}

// NewMixed returns an engine as New does that holds in bfloat16 what activations go through
// memory from one phase to another. It computes in float32 as the other one does, and so
// are weights, gradients of them and vectors.
func NewMixed(threads int, instructionSet string) (*Engine, error) {
	e, err := New(threads, instructionSet)
	if err == nil {
		e.half = true
	}
	return e, err
}

// Precision is float32, or engine.Mixed. The loss, all sums over a batch and what is computed
// from them are float64.
func (e *Engine) Precision() string {
	if e.half {
		return engine.Mixed
	}
	return "float32"
}

// Device is the processor and the instruction set.
func (e *Engine) Device() string { return "CPU, " + runtime.GOARCH + ", " + e.name }

// Observe implements engine.Observable.
func (e *Engine) Observe(f func(engine.Program, int, engine.Phase)) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.observe = f
}

// NewVector allocates n zeros.
func (e *Engine) NewVector(n int) engine.Vector { return newVector(n) }

// Compile makes a program of the plan and sees to its memory.
func (e *Engine) Compile(plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (p engine.Program, err error) {
	defer engine.Catch(&err)
	if isStepwise(plan) {
		if p, err = e.compileSteps(plan, inputs, outputs); err != nil {
			return nil, fmt.Errorf("CPU engine: %w", err)
		}
		return p, nil
	}
	m := &machine{engine: e, layout: e.layout(plan), packings: map[*phases.Packing]*packing{}}
	code, err := phases.Compile(m, plan, inputs, outputs)
	if err != nil {
		return nil, fmt.Errorf("CPU engine: %w", err)
	}
	program := newProgram(e, code, m)
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.reserve(program.needs)
	return program, nil
}

// reserve makes room for a program.
func (e *Engine) reserve(need room) {
	// What is there goes before the new comes, and with it what it held.
	renew := func(m **memory, bytes int) {
		old := *m
		*m, e.last = nil, nil
		old.release()
		*m = newMemory(bytes)
	}
	if need.batch > e.has.batch {
		e.has.batch = 0
		renew(&e.batch, need.batch)
		e.has.batch = need.batch
	}
	if need.scratch > e.has.scratch {
		e.has.scratch = 0
		for i := range e.scratch {
			renew(&e.scratch[i], need.scratch)
		}
		e.has.scratch = need.scratch
	}
	if need.work > e.has.work {
		e.has.work = 0
		for i := range e.work {
			renew(&e.work[i], need.work)
		}
		e.has.work = need.work
	}
	if need.sums > e.has.sums {
		e.has.sums = (need.sums + 7) / 8 * 8
		e.sumMemory, e.sums = newArray[float64](e.has.sums * maxGroups)
	}
	if need.gradients > e.has.gradients {
		e.has.gradients = need.gradients
		e.gradients = newVector(need.gradients * maxGradientGroups)
	}
}

func (e *Engine) sumsOf(group int) []float64 {
	return e.sums[group*e.has.sums : (group+1)*e.has.sums]
}

func (e *Engine) gradientsOf(group int) []float32 {
	return e.gradients.data[group*e.has.gradients : (group+1)*e.has.gradients]
}

// planeOf is a layout as the kernels have it.
func planeOf(l phases.Layout) C.nb_plane {
	return C.nb_plane{channels: C.int32_t(l.Channels), images: C.int32_t(l.Images)}
}

// packing is packed weights and the versions of what they were made of.
type packing struct {
	*phases.Packing
	packed   *vector
	versions []int
}

// packing returns the packed weights of the description, which programs share
// unless they are results of one of them.
func (e *Engine) packing(p *phases.Packing) *packing {
	var key strings.Builder
	fmt.Fprint(&key, p.Layout, " ")
	for i, at := range p.Pieces {
		fmt.Fprint(&key, at, p.Arrays[i].Address(), " ")
	}
	if old := e.packings[key.String()]; old != nil && !p.Computed {
		return old
	}
	size := p.Floats()
	if !p.Depthwise {
		size = int(C.nb_packed_size(C.int64_t(p.OutBlocks), C.int64_t(p.InBlocks), C.int64_t(p.K), planeOf(p.Layout)))
	}
	made := &packing{Packing: p, packed: newVector(size), versions: slices.Repeat([]int{-1}, len(p.Pieces))}
	if !p.Computed {
		e.packings[key.String()] = made
	}
	return made
}

// pack renews those packed weights whose origin has changed.
func (e *Engine) pack(packings []*packing) {
	e.renewed = e.renewed[:0]
	for _, p := range packings {
		for i, a := range p.Arrays {
			version := a.(*vector).memory.version
			if p.Computed || p.versions[i] != version {
				p.versions[i] = version
				e.renewed = append(e.renewed, renewal{p, i})
			}
		}
	}
	if len(e.renewed) > 0 {
		e.pool.run(len(e.renewed), false, e.renew)
	}
}
