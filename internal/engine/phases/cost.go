package phases

import (
	"fmt"
	"slices"
	"strings"
)

// Cost is what a phase asks of the machine in each turn.
type Cost struct {
	Read, Written int     // bytes of memory; not what lives in scratch memory
	FLOPs         float64 // of convolutions, each done directly, as engine.Plan.FLOPs
	Kinds         [OpCount]int
}

// String lists the instructions by kind, the most frequent first.
func (c Cost) String() string {
	kinds := make([]int, 0, OpCount)
	for k, n := range c.Kinds {
		if n > 0 {
			kinds = append(kinds, k)
		}
	}
	slices.SortStableFunc(kinds, func(a, b int) int { return c.Kinds[b] - c.Kinds[a] })
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = fmt.Sprintf("%d %s", c.Kinds[k], kindNames[k])
	}
	return strings.Join(words, ", ")
}

// costOf is the cost of the instructions of a phase, all guards open. A plane counts once
// for reading, unless it is made in the phase, and once for writing.
func costOf(list []*instruction, layout Layout) (cost Cost) {
	made, read := map[*storage]bool{}, map[*storage]bool{}
	for _, in := range list {
		cost.Kinds[in.kind]++
		cost.FLOPs += in.flops() * float64(layout.Images)
		for _, s := range in.reads {
			if !made[s] && !read[s] && !s.scratch {
				read[s] = true
				cost.Read += s.kept(s.turnBytes())
			}
		}
		for _, p := range in.out {
			if s := p.storage; !made[s] && !s.scratch {
				made[s] = true
				cost.Written += s.kept(s.turnBytes())
			}
		}
	}
	return cost
}

// flops is the arithmetic of a convolution or of a derivative of one, for an image.
func (in *instruction) flops() (n float64) {
	if in.weights == nil {
		return 0
	}
	positions := in.oh * in.ow
	switch in.kind {
	case OpDepthBack: // its weights go over the gradient
		positions = in.h * in.w
	case OpWeight1, OpWeight3, OpWeightK:
		positions = in.h * in.w
	}
	for _, p := range in.weights.pieces {
		size := 1
		for _, d := range p.w.shape {
			size *= d
		}
		n += 2 * float64(size) * float64(positions)
	}
	return n
}
