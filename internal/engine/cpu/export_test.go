package cpu

import (
	"slices"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// PlanesOf lets planes have so many channels, whatever the plan, if its batch divides. It
// reports whether the instruction set has kernels for them.
func (e *Engine) PlanesOf(channels int) bool {
	for _, k := range e.kernels {
		if l := k.layout; l.Channels == channels {
			e.layout = func(plan *engine.Plan) phases.Layout {
				if batchOf(plan)%l.Images == 0 {
					return l
				}
				return wide
			}
			return true
		}
	}
	return false
}

// LayoutOf is that of the planes of a plan's program.
func (e *Engine) LayoutOf(plan *engine.Plan) phases.Layout { return e.layoutOf(plan) }

// Instruction is one instruction that is executed for a batch of images, whose planes are
// in memory, for measurements of its kernel alone.
type Instruction struct {
	phases.Op
	Images       int
	In, Aux, Out int // planes of each image that the instruction reads and writes
	InPixels     int // of a plane of In
	AuxPixels    int
	OutPixels    int
	Weights      int  // floats of packed weights
	Gradients    int  // floats of packed gradients
	Reduce       bool // Aux is what a reduction multiplies In by
}

// Bytes is how much the instruction reads and writes.
func (i *Instruction) Bytes() int {
	return i.Images * (i.In*i.InPixels + i.Aux*i.AuxPixels + i.Out*i.OutPixels) * phases.Lanes * 4
}

// Ready returns what executes the instruction for all images.
func (i *Instruction) Ready(e *Engine) (run func()) {
	m := &machine{engine: e, layout: wide}
	code := &phases.Program{Turns: i.Images, Levels: make([]phases.Level, 1)}
	l := &code.Levels[0]
	refs := func(planes, pixels int) (phases.Address, []phases.Ref) {
		if planes == 0 {
			return 0, nil
		}
		plane := pixels * phases.Lanes * 4
		var refs []phases.Ref
		for p := range planes {
			refs = append(refs, phases.Ref{Space: phases.Batch, Base: int64(code.Batch + p*plane), Stride: int64(planes * plane)})
		}
		code.Batch += i.Images * planes * plane
		return inMemory(m, refs...)
	}
	op := i.Op
	op.Ins, op.Auxs, op.Outs = int32(i.In), int32(i.Aux), int32(i.Out)
	var in, aux []phases.Ref
	op.In, in = refs(i.In, i.InPixels)
	op.Aux, aux = refs(i.Aux, i.AuxPixels)
	op.Out, _ = refs(i.Out, i.OutPixels)
	if i.Weights > 0 {
		op.Weights = m.Room(i.Weights * 4)
	}
	if i.Reduce {
		var all []phases.Reduction
		for p, z := range in {
			none := phases.Ref{Space: phases.None}
			r := phases.Reduction{HasZ: 1, NW: 1, Y: none, Z: z, Image: none, Slot: int64(p * 2 * phases.Lanes)}
			r.W[0] = aux[p]
			all = append(all, r)
		}
		op.Reductions, all = inMemory(m, all...)
		op.Count = int32(len(all))
		l.Sums = 2 * phases.Lanes * len(all)
		l.Totals = make([]float64, l.Sums)
	}
	for _, r := range slices.Concat(in, aux) {
		l.Reads = append(l.Reads, phases.Read{Plane: r, Bytes: int64(i.InPixels * phases.Lanes * 4)})
	}
	l.ReadsAddress, l.Reads = inMemory(m, l.Reads...)
	l.To, l.Gradients = 1, i.Gradients
	code.Address, code.Ops = inMemory(m, op)
	p := newProgram(e, code, m)
	e.reserve(p.needs)
	return p.Run
}

// inMemory copies a list to where the kernels find it.
func inMemory[T any](m *machine, list ...T) (phases.Address, []T) {
	at, p := m.Alloc(len(list) * int(unsafe.Sizeof(list[0])))
	to := unsafe.Slice((*T)(p), len(list))
	copy(to, list)
	return at, to
}
