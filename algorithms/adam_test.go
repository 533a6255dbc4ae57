package algorithms_test

import (
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
)

func TestAdam(t *testing.T) {
	adam := algorithms.Adam{Epsilon: algorithms.AdamEpsilon, LearningRate: 0.1, Beta1: 0.5, Beta2: 0.9, WeightDecay: 0.5,
		Moments: algorithms.Moments{M: make([]float64, 1), V: make([]float64, 1)}}
	p := []float64{2}

	// The first step moves by the learning rate against the sign of g + decay·p.
	adam.Step(p, []float64{-3})
	if want := 2 + 0.1; math.Abs(p[0]-want) > 1e-8 {
		t.Errorf("after step 1: %v, want %v", p[0], want)
	}
	// Second step by hand: g = 1 + 0.5·p.
	g := 1 + 0.5*p[0]
	m, v := 0.5*(0.5*-2)+0.5*g, 0.9*(0.1*4)+0.1*g*g
	want := p[0] - 0.1/0.75*m/(math.Sqrt(v)/math.Sqrt(1-0.81)+1e-8)
	adam.Step(p, []float64{1})
	if math.Abs(p[0]-want) > 1e-14 || math.Abs(adam.M[0]-m) > 1e-15 || math.Abs(adam.V[0]-v) > 1e-15 || adam.Steps != 2 {
		t.Errorf("after step 2: %v with %+v, want %v with m %v, v %v", p[0], adam.Moments, want, m, v)
	}
}
