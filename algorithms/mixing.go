package algorithms

import (
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// Mixing is a point of the relaxed architecture: the mixing weights of a
// supernet, and how they depend on the alphas.
//
// The weights' derivative is that of softmax(x/Temperature), x being the alphas
// up to constants, for every row: with p the probabilities, weight i of a row
// moves by p_i·(δ_ij − p_j)/temperature with alpha j. Where the weights are hard
// choices, p is the softmax that they stand for (straight-through).
type Mixing struct {
	Weights []float64 // for every cell of a sampled supernet, else for all cells at once

	Space         *spaces.Space
	Probabilities []float64 // as many as weights
	Temperature   float64   // above 0
	Executed      []bool    // weights that the supernet answers to; nil is all
	Identity      bool      // the weights move as the alphas do, without a softmax
}

// Softmax is the point of DARTS: the softmax of every row.
func Softmax(space *spaces.Space, alphas []float64) Mixing {
	s := softmax(space, alphas)
	return Mixing{Weights: s, Space: space, Probabilities: s, Temperature: 1}
}

// Gradient returns the gradient with respect to the alphas when grad is the one
// with respect to the weights.
func (m Mixing) Gradient(grad []float64) []float64 {
	d := m.Space.Dim()
	total := make([]float64, d)
	for from := 0; from < len(m.Weights); from += d {
		g := m.masked(grad)[from : from+d]
		if !m.Identity {
			g = SoftmaxGradient(m.Space, m.Probabilities[from:from+d], g)
		}
		for i, v := range g {
			total[i] += v / m.Temperature
		}
	}
	return total
}

// direction returns how the probabilities move along a direction of the alphas.
func (m Mixing) direction(e []float64) []float64 {
	d := m.Space.Dim()
	out := make([]float64, 0, len(m.Weights))
	for from := 0; from < len(m.Weights); from += d {
		t := e
		if !m.Identity {
			t = SoftmaxGradient(m.Space, m.Probabilities[from:from+d], e)
		}
		out = append(out, t...)
	}
	for i := range out {
		out[i] /= m.Temperature
	}
	return out
}

// bend returns what the curvature of the softmax adds to the Hessian's product
// with a direction of the alphas, given the gradient with respect to the weights
// and how the probabilities move in that direction: for a row with p, g and t it is (t∘(g − ⟨p,g⟩) − p⟨t,g⟩)/temperature.
func (m Mixing) bend(grad, direction []float64) []float64 {
	d := m.Space.Dim()
	total := make([]float64, d)
	if m.Identity {
		return total
	}
	for from := 0; from < len(m.Weights); from += d {
		g := m.masked(grad)[from : from+d]
		p := m.Probabilities[from : from+d]
		t := direction[from : from+d]
		for lo, hi := range rows(m.Space) {
			mean, along := dot(p[lo:hi], g[lo:hi]), dot(t[lo:hi], g[lo:hi])
			for i := lo; i < hi; i++ {
				total[i] += (t[i]*(g[i]-mean) - p[i]*along) / m.Temperature
			}
		}
	}
	return total
}

// masked returns v with 0 for the weights that the supernet does not answer to.
func (m Mixing) masked(v []float64) []float64 {
	if m.Executed == nil {
		return v
	}
	out := slices.Clone(v)
	for i := range out {
		if !m.Executed[i] {
			out[i] = 0
		}
	}
	return out
}
