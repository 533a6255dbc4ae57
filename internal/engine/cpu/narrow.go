package cpu

import (
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// narrowLanes is how many channels the planes of a narrow network have. Channels past the
// last one are computed with like the others, so that one of 8 channels would take twice
// the time with planes of 16.
const narrowLanes = 8

// lanesOf is how many channels the planes of a plan's program have: 8 where the instruction
// set has kernels for them and 16 would be a twentieth larger in all. Where the channels
// fill 16, each of the two is the faster one in some steps.
func (e *Engine) lanesOf(plan *engine.Plan) int {
	padded := func(lanes int) (total int) {
		for _, v := range plan.Values {
			if v.Role == graph.Activation {
				total += (v.Shape[1] + lanes - 1) / lanes * lanes * v.Shape[0] * v.Shape[2] * v.Shape[3]
			}
		}
		return total
	}
	_, narrow := e.kernels[narrowLanes]
	_, wide := e.kernels[phases.Lanes]
	if narrow && (!wide || 20*padded(phases.Lanes) > 21*padded(narrowLanes)) {
		return narrowLanes
	}
	return phases.Lanes
}
