package algorithms

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// HessianNet is a supernet that can differentiate its loss twice with respect to
// the mixing weights.
type HessianNet interface {
	// HessianProducts returns the gradient and the Hessian's product with each
	// direction, all of the loss with respect to mixing, normalising by batch
	// statistics and moving the running ones once.
	HessianProducts(ctx context.Context, b data.Batch, mixing []float64, directions [][]float64) (pass supernet.Pass, grad []float64, products [][]float64, err error)
}

// Hessian returns the exact second derivative of the loss with respect to the
// alphas, d×d over all tensors, plus decay on the diagonal (quirk Q9), and its
// spectrum. The released code takes it at the end of each epoch on the last
// search batch alone (quirk Q8).
//
// With s = softmax(α), g = ∂L/∂s and t = J·e for a direction e of the alphas, the
// product is Jᵀ(∂²L/∂s²·t) + t∘(g − ⟨s,g⟩) − s⟨t,g⟩ within each softmax row.
// Adding a constant to a row changes nothing, so a row's columns sum to zero and
// its last one needs no product.
func Hessian(ctx context.Context, net HessianNet, space *spaces.Space, b data.Batch, alphas []float64, decay float64) (*mat.SymDense, Spectrum, error) {
	d := space.Dim()
	s := softmax(space, alphas)
	var directions [][]float64
	for lo, hi := range rows(space) {
		for j := lo; j < hi-1; j++ {
			e := make([]float64, d)
			e[j] = 1
			directions = append(directions, SoftmaxGradient(space, s, e))
		}
	}
	pass, grad, products, err := net.HessianProducts(ctx, b, s, directions)
	if err != nil {
		return nil, nil, fmt.Errorf("architecture Hessian: %w", err)
	}
	if err := checkLoss(pass.Loss); err != nil {
		return nil, nil, fmt.Errorf("architecture Hessian: %w", err)
	}

	columns := make([][]float64, d)
	k := 0
	for lo, hi := range rows(space) {
		last := make([]float64, d)
		mean := dot(s[lo:hi], grad[lo:hi])
		for j := lo; j < hi-1; j++ {
			t, column := directions[k], SoftmaxGradient(space, s, products[k])
			along := dot(t[lo:hi], grad[lo:hi])
			for i := lo; i < hi; i++ {
				column[i] += t[i]*(grad[i]-mean) - s[i]*along
			}
			for i, v := range column {
				last[i] -= v
			}
			columns[j] = column
			k++
		}
		columns[hi-1] = last
	}

	h := mat.NewSymDense(d, nil)
	for i := range d {
		for j := range i {
			h.SetSym(i, j, (columns[i][j]+columns[j][i])/2)
		}
		h.SetSym(i, i, columns[i][i]+decay)
	}
	spectrum, err := newSpectrum(h)
	return h, spectrum, err
}

// Spectrum holds the eigenvalues of an architecture Hessian in ascending order.
// Each softmax row contributes one exact null direction, whose eigenvalue is the
// decay on the diagonal, so Max never falls below that.
type Spectrum []float64

func newSpectrum(h *mat.SymDense) (Spectrum, error) {
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
