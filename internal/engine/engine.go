// Package engine turns expression graphs into plans, and names the engines that
// compute them.
//
// A Plan is the same for every engine: the steps in order, and which of them
// may share memory. An Engine owns memory (Vectors) and compiles plans into
// Programs that read and write it. What a search holds between steps (weights,
// momentum, running statistics) stays in the engine's vectors.
package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Engine computes plans in one precision on one device.
type Engine interface {
	// Precision is "float64", "float32" or Mixed.
	Precision() string
	// Device describes the hardware, for provenance.
	Device() string
	// NewVector allocates n zeros.
	NewVector(n int) Vector
	// Compile prepares the plan to read its inputs from the named vectors and
	// to write its outputs, in the plan's order, to the given ones. Activations
	// are [N, C, H, W] row-major in vectors, whatever the engine does inside.
	Compile(plan *Plan, inputs map[string]Vector, outputs []Vector) (Program, error)
}

// Mixed is the precision of an engine that computes in float32, and holds its vectors in it,
// but activations in bfloat16 while they wait in memory.
const Mixed = "bfloat16+float32"

// Program is a compiled plan.
type Program interface {
	// Run computes everything.
	Run()
	// Rerun computes only what depends on the plan's varying inputs, after at
	// least one Run in which nothing else differed. Programs of an engine may share
	// memory: it is fast only as long as no other one has run in between.
	Rerun()
}

// Vector is memory of an engine. Vectors that meet in one call must come from
// one engine and have equal lengths.
type Vector interface {
	Len() int
	// Slice shares the elements from..to.
	Slice(from, to int) Vector
	// Read and Write convert to and from float64.
	Read(dst []float64)
	Write(src []float64)
	// Scale multiplies by a.
	Scale(a float64)
	// Axpy adds a·x.
	Axpy(a float64, x Vector)
	// Blend makes each element keep·itself + gain·(scale·x), each factor being that
	// of the element. Where gain is 0 the element stays, whatever x is.
	Blend(keep, gain, scale, x Vector)
	// Dot is the inner product, summed in float64 in a fixed order.
	Dot(x Vector) float64
}

// Definition describes an engine that can be opened by name.
type Definition struct {
	Name string
	Doc  string
	Rank int // the engine of the highest rank is Auto
	// Device reports that the engine does not compute on the processor: threads and
	// the peak of the processor mean nothing to it.
	Device bool
	// Open starts the engine with the given number of threads (at least 1).
	Open func(threads int) (Engine, error)
}

var definitions = map[string]Definition{}

// Register makes an engine available by name. Engines call it when their
// package is loaded.
func Register(d Definition) {
	if _, dup := definitions[d.Name]; dup {
		panic("engine: " + d.Name + " registered twice")
	}
	definitions[d.Name] = d
}

// All lists the engines of this binary by name.
func All() []Definition {
	return slices.SortedFunc(maps.Values(definitions), func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
}

// Auto, as a name, stands for the engine of the highest rank.
const Auto = "auto"

// Resolve returns the name of the engine that the given name stands for.
func Resolve(name string) string {
	if name != Auto {
		return name
	}
	best := slices.MaxFunc(All(), func(a, b Definition) int { return a.Rank - b.Rank })
	return best.Name
}

// OnDevice reports whether the engine of the given name computes elsewhere than on
// the processor.
func OnDevice(name string) bool { return definitions[Resolve(name)].Device }

// Open starts the engine of the given name.
func Open(name string, threads int) (Engine, error) {
	d, ok := definitions[Resolve(name)]
	if !ok {
		return nil, fmt.Errorf("no engine %q in this binary; it has %s", name, strings.Join(slices.Sorted(maps.Keys(definitions)), ", "))
	}
	e, err := d.Open(max(threads, 1))
	if err != nil {
		return nil, &OpenError{Engine: d.Name, Err: err}
	}
	return e, nil
}

// OpenError is returned where an engine is in this binary but cannot be used on
// this machine.
type OpenError struct {
	Engine string
	Err    error
}

func (e *OpenError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *OpenError) Unwrap() error { return e.Err }
