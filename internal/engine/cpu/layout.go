package cpu

// #include "ops.h"
import "C"

import (
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// What the planes of a program are. Channels past the last one are computed with like the
// others, so that a network of 8 channels would take twice the time with planes of 16. A
// vector of AVX-512 has room for 8 channels of two images.
var (
	wide      = phases.Layout{Channels: 16, Images: 1}
	narrow    = phases.Layout{Channels: 8, Images: 1}
	twoImages = phases.Layout{Channels: 8, Images: 2}
)

// layoutOf is how the planes of a plan's program are laid out: not wide where the instruction
// set has kernels for that, the batch divides, and wide planes would be a twentieth larger
// in all. Where the channels fill 16, each of the two is the faster one in some steps.
func (e *Engine) layoutOf(plan *engine.Plan) phases.Layout {
	for _, k := range e.kernels[1:] {
		if l := k.layout; batchOf(plan)%l.Images == 0 && 20*floatsOf(plan, wide.Channels) > 21*floatsOf(plan, l.Channels) {
			return l
		}
	}
	return wide
}

// kernelsFor are the kernels for planes of a layout that the engine has.
func (e *Engine) kernelsFor(l phases.Layout) *C.nb_kernel {
	i := slices.IndexFunc(e.kernels, func(k kernels) bool { return k.layout == l })
	return e.kernels[i].table
}

// batchOf is how many images the activations of a plan have, or 0 if there are none.
func batchOf(plan *engine.Plan) int {
	for _, v := range plan.Values {
		if v.Role == graph.Activation {
			return v.Shape[0]
		}
	}
	return 0
}

// floatsOf is how many floats all activations have in planes of so many channels.
func floatsOf(plan *engine.Plan, channels int) (total int) {
	for _, v := range plan.Values {
		if v.Role == graph.Activation {
			total += (v.Shape[1] + channels - 1) / channels * channels * v.Shape[0] * v.Shape[2] * v.Shape[3]
		}
	}
	return total
}
