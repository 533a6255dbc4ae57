// Package ref is the reference engine: plain Go, one kernel for each operation
// of the graph, in float64 ("ref") or float32 ("ref32"). It is the oracle that
// faster engines are compared with, so it prefers being obvious to being fast.
//
// Inside, activations are stored as [C, H, W, N]. A channel is then one
// contiguous slab, which makes batch normalisation and everything else that
// works channel by channel a loop over a slice, and a row of W·N elements is
// contiguous under any shift of a convolution's window.
//
// Work is divided among threads by channel. Every element is computed by one
// thread in a fixed order, so results do not depend on the number of threads.
package ref

import (
	"fmt"
	"runtime"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/graph"
)

func init() {
	engine.Register(engine.Definition{
		Name: "ref",
		Doc:  "reference engine, plain Go, float64",
		Open: func(threads int) (engine.Engine, error) { return New[float64](threads), nil },
	})
	engine.Register(engine.Definition{
		Name: "ref32",
		Doc:  "reference engine, plain Go, float32",
		Rank: 1,
		Open: func(threads int) (engine.Engine, error) { return New[float32](threads), nil },
	})
}

// Float is an element type of the engine.
type Float interface{ float32 | float64 }

// Engine is the reference engine in the precision T.
type Engine[T Float] struct {
	threads int

	shared []T      // memory of the values of all programs, as large as any needed so far
	last   *program // whose values are in it
}

// slots returns shared memory of so many elements each. A larger program leaves to those
// before it what they have.
func (e *Engine[T]) slots(sizes []int) [][]T {
	const line = 16 // elements, so that no two slots meet in a cache line
	total := 0
	for _, n := range sizes {
		total += (n + line - 1) / line * line
	}
	if total > len(e.shared) {
		e.shared = make([]T, total)
	}
	slots, at := make([][]T, len(sizes)), 0
	for i, n := range sizes {
		slots[i] = e.shared[at : at+n : at+n]
		at += (n + line - 1) / line * line
	}
	return slots
}

// Operand is a value of a plan in the engine's layout, for Kernel: an activation is
// [C, H, W, N], anything else is as it is.
type Operand[T Float] struct {
	Data       []T
	Shape      []int // in the graph
	Activation bool
}

// Kernel returns the function that computes a step, for an engine that computes plans step by
// step in the same layout and lacks a kernel of its own.
func (e *Engine[T]) Kernel(kind graph.Kind, a graph.Attr, in []Operand[T], out Operand[T]) (func(), error) {
	of := func(o Operand[T]) tensor[T] {
		t := tensor[T]{data: o.Data, shape: o.Shape}
		if o.Activation {
			t.slab = len(o.Data) / o.Shape[1]
		}
		return t
	}
	var operands []tensor[T]
	for _, o := range in {
		operands = append(operands, of(o))
	}
	return e.kernel(kind, a, operands, of(out))
}

// New returns an engine with the given number of threads.
func New[T Float](threads int) *Engine[T] { return &Engine[T]{threads: max(threads, 1)} }

// Precision is the name of T.
func (e *Engine[T]) Precision() string { return fmt.Sprintf("%T", T(0)) }

// Device is the processor.
func (e *Engine[T]) Device() string { return "CPU, " + runtime.GOARCH + ", plain Go" }

// NewVector allocates n zeros.
func (e *Engine[T]) NewVector(n int) engine.Vector { return &vector[T]{make([]T, n)} }

// worthSplitting is the number of elementary operations below which handing
// work to other threads costs more than it saves.
const worthSplitting = 1 << 13

// split calls do with disjoint ranges that cover 0..n, on several threads when
// the work in elementary operations is worth it.
func (e *Engine[T]) split(n, work int, do func(from, to int)) {
	parts := min(e.threads, n)
	if work < worthSplitting || parts == 1 {
		do(0, n)
		return
	}
	var group fault.Group
	defer group.Wait()
	for i := range parts - 1 {
		group.Go(func() { do(i*n/parts, (i+1)*n/parts) })
	}
	do((parts-1)*n/parts, n)
}

// program is a compiled plan: one closure for each step, over slots of memory.
type program struct {
	loads   []func() // inputs with a batch axis into the engine's layout
	reloads []func() // those of the loads that a Rerun needs
	steps   []func()
	split   int
	stores  []func()
	last    **program // of the engine
}

func (p *program) Run() {
	*p.last = p
	call(p.loads)
	call(p.steps)
	call(p.stores)
}

func (p *program) Rerun() {
	if *p.last != p { // which has written over what is needed
		p.Run()
		return
	}
	call(p.reloads)
	call(p.steps[p.split:])
	call(p.stores)
}

func call(fs []func()) {
	for _, f := range fs {
		f()
	}
}

// Compile binds the plan to memory.
func (e *Engine[T]) Compile(plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (engine.Program, error) {
	p := &program{split: plan.Split, last: &e.last}
	slots := e.slots(plan.Slots)
	values := make([]tensor[T], len(plan.Values))
	for i, v := range plan.Values {
		t := tensor[T]{shape: v.Shape}
		if v.Role == graph.Activation {
			t.slab = v.Size() / v.Shape[1]
		}
		if v.Input == "" {
			t.data = slots[v.Slot][:v.Size()]
		} else {
			bound, ok := inputs[v.Input].(*vector[T])
			if !ok || bound.Len() != v.Size() {
				return nil, fmt.Errorf("compile: input %q %v is not bound to a vector of this engine with %d elements", v.Input, v.Shape, v.Size())
			}
			t.data = bound.data
			if v.Role == graph.Activation {
				t.data = make([]T, v.Size())
				load := func() { batchLast(t.data, bound.data, v.Shape) }
				p.loads = append(p.loads, load)
				if v.Varies {
					p.reloads = append(p.reloads, load)
				}
			}
		}
		values[i] = t
	}
	var guards []T
	if plan.GuardInput != "" {
		bound, ok := inputs[plan.GuardInput].(*vector[T])
		if !ok {
			return nil, fmt.Errorf("compile: the input %q of the guards is not bound to a vector of this engine", plan.GuardInput)
		}
		guards = bound.data
	}
	for _, s := range plan.Steps {
		in := make([]tensor[T], len(s.Operands))
		for i, v := range s.Operands {
			in[i] = values[v]
		}
		run, err := e.kernel(s.Kind, s.Attr, in, values[s.Result])
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, guarded(run, s.Guard, guards, values[s.Result]))
	}
	if len(outputs) != len(plan.Outputs) {
		return nil, fmt.Errorf("compile: %d vectors for %d outputs", len(outputs), len(plan.Outputs))
	}
	for i, o := range plan.Outputs {
		v, from := plan.Values[o], values[o].data
		to, ok := outputs[i].(*vector[T])
		if !ok || to.Len() != v.Size() {
			return nil, fmt.Errorf("compile: output %d %v is not bound to a vector of this engine with %d elements", i, v.Shape, v.Size())
		}
		if v.Role == graph.Activation {
			p.stores = append(p.stores, func() { batchFirst(to.data, from, v.Shape) })
		} else {
			p.stores = append(p.stores, func() { copy(to.data, from) })
		}
	}
	return p, nil
}

// guarded is a step that gives zeros where its guard is 0.
func guarded[T Float](run func(), guard int, guards []T, result tensor[T]) func() {
	if guard == engine.Unguarded {
		return run
	}
	return func() {
		if guards[guard] == 0 {
			clear(result.data)
			return
		}
		run()
	}
}

// tensor is a value in the engine's layout; the shape is the graph's.
type tensor[T Float] struct {
	data  []T
	shape []int
	slab  int // elements in one channel of an activation
}

// dims returns the shape of an activation.
func (t tensor[T]) dims() (n, c, h, w int) { return t.shape[0], t.shape[1], t.shape[2], t.shape[3] }

// channels is the number of channels of an activation.
func (t tensor[T]) channels() int { return t.shape[1] }

// channel is the slab [H, W, N] of one channel.
func (t tensor[T]) channel(c int) []T {
	return t.data[c*t.slab : (c+1)*t.slab]
}

// batchLast copies [N, rest] to [rest, N], batchFirst back.
func batchLast[T Float](dst, src []T, shape []int) {
	n, rest := shape[0], len(src)/shape[0]
	for i := range n {
		for j := range rest {
			dst[j*n+i] = src[i*rest+j]
		}
	}
}

func batchFirst[T Float](dst, src []T, shape []int) {
	n, rest := shape[0], len(src)/shape[0]
	for i := range n {
		for j := range rest {
			dst[i*rest+j] = src[j*n+i]
		}
	}
}
