package algorithms

import (
	"iter"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// rows yields the half-open range in the flat vector of every softmax row.
func rows(space *spaces.Space) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		for _, r := range space.Rows() {
			if !yield(r.Offset, r.End()) {
				return
			}
		}
	}
}

// softmax returns the row-wise softmax of the alphas.
func softmax(space *spaces.Space, alphas []float64) []float64 {
	s := make([]float64, len(alphas))
	space.Softmax(s, alphas)
	return s
}

// SoftmaxGradient returns the gradient with respect to the alphas when grad is
// the one with respect to simplex = softmax(alphas): per row s∘(g − ⟨s,g⟩).
// The same linear map carries a direction of the alphas to one of the simplex.
func SoftmaxGradient(space *spaces.Space, simplex, grad []float64) []float64 {
	out := make([]float64, len(grad))
	for lo, hi := range rows(space) {
		mean := dot(simplex[lo:hi], grad[lo:hi])
		for i := lo; i < hi; i++ {
			out[i] = simplex[i] * (grad[i] - mean)
		}
	}
	return out
}

// ClipRow brings one row back to the simplex as SDARTS does: entries are clamped
// to [0,1] and divided by their sum; if nothing is left, the entry that was
// largest before clamping (the first of equals) becomes 1.
func ClipRow(row []float64) {
	largest := 0
	for i, v := range row {
		if v > row[largest] {
			largest = i
		}
	}
	sum := 0.0
	for i, v := range row {
		row[i] = min(max(v, 0), 1)
		sum += row[i]
	}
	if sum == 0 {
		row[largest], sum = 1, 1
	}
	for i := range row {
		row[i] /= sum
	}
}

// ClipSimplex applies [ClipRow] to every row of q, a vector of length space.Dim() or its
// first rows.
func ClipSimplex(space *spaces.Space, q []float64) {
	for lo, hi := range rows(space) {
		if hi > len(q) {
			return
		}
		ClipRow(q[lo:hi])
	}
}

// sum returns a + b.
func sum(a, b []float64) []float64 {
	c := slices.Clone(a)
	for i, v := range b {
		c[i] += v
	}
	return c
}

func dot(a, b []float64) float64 {
	total := 0.0
	for i, v := range a {
		total += v * b[i]
	}
	return total
}

// sign returns -1, 0 or 1; unlike math.Copysign it is 0 at 0, where a PGD step
// must not move.
func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
