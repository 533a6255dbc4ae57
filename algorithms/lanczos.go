package algorithms

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
)

// Extremes are both ends of the spectrum of an architecture Hessian, as Lanczos finds them.
type Extremes struct {
	// Spectrum holds the eigenvalues found, ascending: the smallest, the largest, and
	// those between that are as accurate. Where Whole, all of them.
	Spectrum Spectrum
	Whole    bool    // every direction was used
	Products int     // of the Hessian with a direction
	Residual float64 // ‖Hv − θv‖ of the ends, the larger: no end is farther than that from an eigenvalue
}

// FreeDirections is how many directions the loss can change in: each softmax row has one,
// in which all its alphas grow alike, that changes nothing.
func FreeDirections(space *spaces.Space) int { return space.Dim() - len(space.Rows()) }

// Lanczos returns both ends of the spectrum of the Hessian with respect to the alphas,
// decay on its diagonal included, as [Hessian] would give them. It multiplies the Hessian
// with one direction after the other, from a random start, and keeps all of them orthogonal,
// until ‖Hv − θv‖ of the largest eigenvalue is at most tolerance·|θ| and that of the
// smallest at most tolerance times the spectral norm, or every direction has been used. It
// never searches the directions that change nothing, whose eigenvalue is known: the decay.
// What it returns for an end is an eigenvalue to that accuracy, and the end itself unless
// another eigenvalue is very near: of two that are 1e-5 of the norm apart it may find the
// inner one, since only directions between their vectors tell them apart.
//
// The method is that of Golub and Van Loan, Matrix Computations, section 10.1, with full
// reorthogonalisation.
func Lanczos(ctx context.Context, net HessianNet, m Mixing, b data.Batch, decay float64, start *rand.Rand, tolerance float64) (Extremes, error) {
	k := newKrylov(m, decay, start, tolerance)
	if len(k.basis) == 0 {
		return k.found, nil
	}
	pass, err := net.HessianSequence(ctx, b, m.Weights, func(grad, product []float64) []float64 {
		v := k.newest()
		if product != nil {
			if v = k.next(sum(m.Gradient(product), m.bend(grad, m.direction(v)))); v == nil {
				return nil
			}
		}
		return m.masked(m.direction(v))
	})
	if err == nil {
		err = checkLoss(pass.Loss)
	}
	if err == nil {
		err = k.err
	}
	if err != nil {
		return Extremes{}, fmt.Errorf("architecture Hessian: %w", err)
	}
	return k.found, nil
}

// LanczosOfMean is [Lanczos] for the mean of several Hessians with respect to the alphas, as
// of several batches. product returns the mean of their products with a direction of the
// alphas, each as [HessianProduct] has it. m is where they are taken; of several samples of
// the mixing weights, any.
func LanczosOfMean(m Mixing, decay float64, start *rand.Rand, tolerance float64, product func(v []float64) ([]float64, error)) (Extremes, error) {
	k := newKrylov(m, decay, start, tolerance)
	if len(k.basis) == 0 {
		return k.found, nil
	}
	for v := k.newest(); v != nil; {
		w, err := product(v)
		if err != nil {
			return Extremes{}, err
		}
		v = k.next(w)
	}
	if k.err != nil {
		return Extremes{}, fmt.Errorf("mean of architecture Hessians: %w", k.err)
	}
	return k.found, nil
}

// krylov is how far Lanczos has come: an orthonormal basis of directions of the alphas, in
// which the Hessian without decay is tridiagonal.
type krylov struct {
	mixing           Mixing
	tolerance, decay float64
	free             int // directions that there are

	basis          [][]float64
	diagonal, side []float64 // of the tridiagonal matrix
	found          Extremes
	err            error
}

// newKrylov begins with a random direction. Where every row has one candidate there is
// none, and all is found.
func newKrylov(m Mixing, decay float64, start *rand.Rand, tolerance float64) *krylov {
	k := &krylov{mixing: m, tolerance: tolerance, decay: decay, free: m.Space.Dim()}
	if !m.Identity {
		k.free = FreeDirections(m.Space)
	}
	v := make([]float64, m.Space.Dim())
	for i := range v {
		v[i] = start.NormFloat64()
	}
	k.add(v)
	if len(k.basis) == 0 {
		k.found = Extremes{Spectrum: slices.Repeat(Spectrum{decay}, m.Space.Dim()), Whole: true}
	}
	return k
}

// newest is the direction of the basis that was added last.
func (k *krylov) newest() []float64 { return k.basis[len(k.basis)-1] }

// next takes the product with the newest direction of the basis and returns the next one;
// nil when the ends are found, or an error is set.
func (k *krylov) next(w []float64) []float64 {
	k.diagonal = append(k.diagonal, dot(k.newest(), w))
	side := 0.0
	if len(k.basis) < k.free {
		side = k.add(w)
	}
	if !finite(k.diagonal[len(k.diagonal)-1]) || !finite(side) {
		k.err = fmt.Errorf("a product with it is not finite: %w", ErrDiverged)
		return nil
	}
	if done := k.settle(side); done || k.err != nil {
		return nil
	}
	k.side = append(k.side, side)
	return k.newest()
}

// add extends the basis by what of a vector is new: orthogonal to the basis and to the
// directions that change nothing. It returns the length of that; one that is rounding alone
// is not added.
func (k *krylov) add(w []float64) float64 {
	w = slices.Clone(w)
	before := math.Sqrt(dot(w, w))
	for range 2 { // once leaves rounding behind
		if !k.mixing.Identity {
			for lo, hi := range rows(k.mixing.Space) {
				mean := 0.0
				for _, x := range w[lo:hi] {
					mean += x / float64(hi-lo)
				}
				for i := lo; i < hi; i++ {
					w[i] -= mean
				}
			}
		}
		for _, v := range k.basis {
			along := dot(v, w)
			for i := range w {
				w[i] -= along * v[i]
			}
		}
	}
	length := math.Sqrt(dot(w, w))
	if !(length > 1e-12*before) {
		return 0
	}
	for i := range w {
		w[i] /= length
	}
	k.basis = append(k.basis, w)
	return length
}

// settle looks at the eigenvalues of the tridiagonal matrix, which side would extend, and
// tells whether its ends are those of the Hessian.
func (k *krylov) settle(side float64) (done bool) {
	n := len(k.diagonal)
	t := mat.NewSymDense(n, nil)
	for i, d := range k.diagonal {
		t.SetSym(i, i, d)
		if i > 0 {
			t.SetSym(i-1, i, k.side[i-1])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(t, true) {
		k.err = fmt.Errorf("the eigenvalues of %d products did not converge", n)
		return true
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil)
	residual := func(i int) float64 { return math.Abs(side * vectors.At(n-1, i)) }

	nulls := k.mixing.Space.Dim() - k.free
	whole := n == k.free
	all := make(Spectrum, 0, n+nulls)
	for _, x := range values {
		all = append(all, x+k.decay)
	}
	if nulls > 0 {
		all = append(all, k.decay)
		slices.Sort(all)
	}
	norm := all.Norm()
	// An end that is known to be the decay needs nothing of the others.
	high, low := residual(n-1), residual(0)
	top := high <= k.tolerance*math.Abs(all.Max()) || nulls > 0 && values[n-1]+high < 0
	bottom := low <= k.tolerance*norm
	if done = side == 0 || top && bottom; !done {
		return false
	}
	f := Extremes{Whole: whole, Products: n, Residual: max(high, low)}
	for i, x := range values {
		if i == 0 || i == n-1 || residual(i) <= k.tolerance*norm {
			f.Spectrum = append(f.Spectrum, x+k.decay)
		}
	}
	if nulls > 0 { // whose eigenvalue is the decay
		f.Spectrum = append(f.Spectrum, slices.Repeat(Spectrum{k.decay}, nulls)...)
	}
	slices.Sort(f.Spectrum)
	k.found = f
	return true
}
