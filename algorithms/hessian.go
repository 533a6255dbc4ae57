package algorithms

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/supernet"
)

// Hessian returns the exact second derivative of the loss with respect to the
// alphas, d×d over all tensors, plus decay on the diagonal (quirk Q9), and its
// spectrum. The released code takes it at the end of each epoch on the last
// search batch alone (quirk Q8).
//
// With g = ∂L/∂m for mixing weights m and t the direction in which they move with an alpha,
// the entry of two alphas is tᵢ·∂²L/∂m²·tⱼ and, from g, what the curvature of the softmax
// adds (see Mixing). Adding a constant to a row of alphas changes nothing, so a row's
// entries sum to zero and its last alpha needs no direction.
func Hessian(ctx context.Context, net HessianNet, m Mixing, b data.Batch, decay float64) (*mat.SymDense, Spectrum, error) {
	d := m.Space.Dim()
	var known []int // alphas whose entries are not computed from the others
	var moves [][]float64
	var directions []supernet.Direction
	for i, row := range m.Space.Rows() {
		lo, hi := row.Offset, row.End()
		if !m.Identity {
			hi--
		}
		for j := lo; j < hi; j++ {
			e := make([]float64, d)
			e[j] = 1
			t := m.direction(e)
			known, moves, directions = append(known, j), append(moves, t), append(directions, supernet.Direction{Row: i, Values: m.masked(t)})
		}
	}
	pass, grad, forms, err := net.HessianForms(ctx, b, m.Weights, directions)
	if err == nil {
		err = checkLoss(pass.Loss)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("architecture Hessian: %w", err)
	}

	h := mat.NewSymDense(d, nil)
	for k, i := range known {
		bent := m.bend(grad, moves[k])
		for l, j := range known[:k+1] {
			h.SetSym(i, j, forms[k][l]+bent[j])
		}
	}
	if !m.Identity {
		for lo, hi := range rows(m.Space) {
			for j := range d {
				last := 0.0
				for i := lo; i < hi-1; i++ {
					last -= h.At(i, j)
				}
				h.SetSym(hi-1, j, last)
			}
		}
	}
	for i := range d {
		h.SetSym(i, i, h.At(i, i)+decay)
	}
	spectrum, err := NewSpectrum(h)
	return h, spectrum, err
}

// HessianProduct returns the gradient of the loss with respect to the alphas and
// the product of their Hessian with a vector of length space.Dim(), without
// decay.
func HessianProduct(ctx context.Context, net HessianNet, m Mixing, b data.Batch, v []float64) (gradient, product []float64, err error) {
	t := m.direction(v)
	direction := m.masked(t)
	pass, err := net.HessianSequence(ctx, b, m.Weights, func(g, p []float64) []float64 {
		if p == nil {
			return direction
		}
		gradient, product = m.Gradient(g), sum(m.Gradient(p), m.bend(g, t))
		return nil
	})
	if err == nil {
		err = checkLoss(pass.Loss)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("product with the architecture Hessian: %w", err)
	}
	return gradient, product, nil
}

// Spectrum holds the eigenvalues of an architecture Hessian in ascending order.
// Each softmax row contributes one exact null direction, whose eigenvalue is the
// decay on the diagonal, so the largest never falls below that.
type Spectrum []float64

// NewSpectrum returns the eigenvalues of a symmetric matrix, or an error that wraps
// ErrDiverged if an entry is not finite.
func NewSpectrum(h *mat.SymDense) (Spectrum, error) {
	for _, v := range h.RawSymmetric().Data {
		if !finite(v) {
			return nil, fmt.Errorf("architecture Hessian has the entry %v: %w", v, ErrDiverged)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(h, false) {
		return nil, fmt.Errorf("eigenvalues of the architecture Hessian did not converge")
	}
	return eigen.Values(nil), nil
}

// Reported is the eigenvalue that the released code logs: the absolute value of
// the algebraically largest one, which ignores negative curvature (quirk Q9b).
func (s Spectrum) Reported() float64 { return math.Abs(s[len(s)-1]) }

// Norm is the spectral norm, the largest absolute eigenvalue, which is what the
// paper's text names.
func (s Spectrum) Norm() float64 { return max(math.Abs(s[0]), math.Abs(s[len(s)-1])) }

// Min is the smallest eigenvalue.
func (s Spectrum) Min() float64 { return s[0] }

// Max is the algebraically largest eigenvalue.
func (s Spectrum) Max() float64 { return s[len(s)-1] }

// Trace is the sum of the eigenvalues.
func (s Spectrum) Trace() float64 {
	total := 0.0
	for _, v := range s {
		total += v
	}
	return total
}
