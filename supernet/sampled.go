package supernet

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
)

// sampling is what a Sampled network keeps of its choices: the mixing weights of the
// last pass, and which weights have been reached.
type sampling struct {
	*blueprint

	mixing  []float64 // of the last pass, as the engine rounds it
	touched []bool    // by weight tensor

	stretches []stretch // of what stretched lists
	stretched []bool
}

// stretch is a contiguous run of weight tensors; soon there is one, of all of them.
type stretch struct{ weights, gradient, momentum engine.Vector }

func (n *Net) newSampling() *sampling {
	return &sampling{blueprint: n.blueprint, mixing: make([]float64, n.mixing.Len()), touched: make([]bool, len(n.parameters)), stretched: make([]bool, len(n.parameters))}
}

// executed reports whether the last pass executed what belongs to an entry.
func (s *sampling) executed(entry int) bool {
	return s == nil || entry == always || s.mixing[entry] != 0
}

// touch notes which weights the last pass reached.
func (s *sampling) touch() {
	if s != nil {
		for i, entry := range s.owners {
			s.touched[i] = s.touched[i] || s.executed(entry)
		}
	}
}

// touchedStretches covers all touched weight tensors and no others.
func (n *Net) touchedStretches() []stretch {
	s := n.sampling
	if slices.Equal(s.stretched, s.touched) {
		return s.stretches
	}
	copy(s.stretched, s.touched)
	s.stretches = n.stretchesOf(s.touched)
	return s.stretches
}

// stretchesOf covers the chosen weight tensors and no others.
func (n *Net) stretchesOf(chosen []bool) (all []stretch) {
	for i := 0; i < len(chosen); i++ {
		if !chosen[i] {
			continue
		}
		from, to := n.parameters[i].Offset, n.parameters[i].Offset
		for ; i < len(chosen) && chosen[i] && n.parameters[i].Offset == to; i++ {
			to += n.parameters[i].Size
		}
		i--
		all = append(all, stretch{n.weights.Slice(from, to), n.gradient.Slice(from, to), n.momentum.Slice(from, to)})
	}
	return all
}

// writeMixing sets the mixing weights of a pass.
func (n *Net) writeMixing(mixing []float64) error {
	if len(mixing) != n.mixing.Len() {
		what := "an evaluation network"
		if n.config.Space != nil {
			what = "the network of space " + string(n.config.Space.Name())
		}
		return fmt.Errorf("%d mixing weights, %s has %d", len(mixing), what, n.mixing.Len())
	}
	n.mixing.Write(mixing)
	if s := n.sampling; s != nil {
		n.mixing.Read(s.mixing)
	}
	return nil
}

// ReadTouched tells of each weight tensor, in the order of Parameters, whether a
// WeightGradient or MixingGradient since Initialize has executed it. StepWeights
// leaves the others alone (quirk Q13). It is nil unless the network is Sampled.
func (n *Net) ReadTouched() []bool {
	if n.sampling == nil {
		return nil
	}
	return slices.Clone(n.sampling.touched)
}

// WriteTouched sets what ReadTouched reads. A network that is not Sampled has
// no use for it.
func (n *Net) WriteTouched(touched []bool) {
	if n.sampling != nil {
		copy(n.sampling.touched, touched)
	}
}

// writeDirection sets the direction of a Hessian product.
func (n *Net) writeDirection(direction []float64) { n.direction.Write(n.executedOf(direction)) }

// executedOf is a direction with zeros at the operations that are not executed: the loss
// does not depend on their weights.
func (n *Net) executedOf(direction []float64) []float64 {
	if s := n.sampling; s != nil {
		direction = slices.Clone(direction)
		for _, entry := range s.candidates {
			if !s.executed(entry) {
				direction[entry] = 0
			}
		}
	}
	return direction
}
