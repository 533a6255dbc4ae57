// Package algorithmstest tests search algorithms: a small analytic supernet, and
// the suite that every registered algorithm must pass.
package algorithmstest

import (
	"context"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/supernet"
)

// units is the number of weights of [Quadratic].
const units = 4

// Call is one pass or step that a [Quadratic] was asked for.
type Call struct {
	Method    string // name of the method
	Label     int    // first label of the batch
	BatchNorm supernet.BatchNorm
	Mixing    []float64
	SGD       supernet.SGD // of StepWeights only
}

// Quadratic is a supernet whose loss is a quadratic form, so that every
// derivative is known in closed form:
//
//	L(w, s) = ½ Σₖ rₖ² + ⟨Slope, s⟩ + ½ Σᵢ Bend[i]·sᵢ²,  rₖ = wₖ − ⟨Coupling[k], s⟩ − y
//
// over the weights w and the mixing s. y is the mean label of the batch, or with
// running statistics a running mean of those, which passes that normalise by
// batch statistics move by 99.7 % (quirk Q7).
type Quadratic struct {
	Weights  []float64
	Running  float64
	Coupling [][]float64
	Slope    []float64
	Bend     []float64
	Calls    []Call

	gradient, velocity []float64
}

// NewQuadratic returns one with the given number of mixing weights and coefficients drawn
// from the seed.
func NewQuadratic(mixing int, seed uint64) *Quadratic {
	r := random.New(seed, "quadratic")
	normal := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}
	q := &Quadratic{Weights: normal(units), Slope: normal(mixing), Bend: normal(mixing)}
	for range units {
		q.Coupling = append(q.Coupling, normal(mixing))
	}
	return q
}

// residuals returns r and the loss, and moves the running statistic.
func (q *Quadratic) residuals(method string, b data.Batch, s []float64, bn supernet.BatchNorm) ([]float64, supernet.Pass) {
	q.Calls = append(q.Calls, Call{Method: method, Label: b.Labels[0], BatchNorm: bn, Mixing: slices.Clone(s)})
	y := q.Running
	if bn == supernet.BatchStatistics {
		y = 0
		for _, label := range b.Labels {
			y += float64(label) / float64(b.N)
		}
		q.Running += 0.997 * (y - q.Running)
	}
	loss := 0.0
	for i, v := range s {
		loss += q.Slope[i]*v + q.Bend[i]*v*v/2
	}
	r := slices.Clone(q.Weights)
	for k := range r {
		r[k] -= y
		for i, v := range s {
			r[k] -= q.Coupling[k][i] * v
		}
		loss += r[k] * r[k] / 2
	}
	return r, supernet.Pass{Loss: loss}
}

func (q *Quadratic) mixingGradient(r, s, grad []float64) {
	for i, v := range s {
		grad[i] = q.Slope[i] + q.Bend[i]*v
		for k := range r {
			grad[i] -= r[k] * q.Coupling[k][i]
		}
	}
}

// Forward implements algorithms.Supernet.
func (q *Quadratic) Forward(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	_, pass := q.residuals("Forward", b, mixing, bn)
	return pass, nil
}

// MixingGradient implements algorithms.Supernet.
func (q *Quadratic) MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	r, pass := q.residuals("MixingGradient", b, mixing, bn)
	q.mixingGradient(r, mixing, grad)
	return pass, nil
}

// WeightGradient implements algorithms.Supernet.
func (q *Quadratic) WeightGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	r, pass := q.residuals("WeightGradient", b, mixing, bn)
	q.gradient = r
	return pass, nil
}

// StepWeights implements algorithms.Supernet.
func (q *Quadratic) StepWeights(sgd supernet.SGD) (float64, error) {
	q.Calls = append(q.Calls, Call{Method: "StepWeights", SGD: sgd})
	norm := 0.0
	for _, g := range q.gradient {
		norm = math.Hypot(norm, g)
	}
	scale := 1.0
	if sgd.Clip > 0 {
		scale = min(1, sgd.Clip/(norm+1e-6))
	}
	if q.velocity == nil {
		q.velocity = make([]float64, units)
	}
	for k := range q.gradient {
		q.gradient[k] *= scale
		q.velocity[k] = sgd.Momentum*q.velocity[k] + q.gradient[k] + sgd.WeightDecay*q.Weights[k]
		q.Weights[k] -= sgd.LearningRate * q.velocity[k]
	}
	return norm, nil
}

// Droppable implements algorithms.Supernet.
func (q *Quadratic) Droppable() int { return 0 }

// SetDropPath implements algorithms.Supernet. There is nothing to drop.
func (q *Quadratic) SetDropPath([]float64) {}

// SetDraws, HoldDraws and SetDropout implement algorithms.Supernet. Nothing is random.
func (q *Quadratic) SetDraws(uint64, string, ...uint64) {}

// HoldDraws does nothing, see SetDraws.
func (q *Quadratic) HoldDraws() {}

// SetDropout does nothing, see SetDraws.
func (q *Quadratic) SetDropout(float64) {}

// ParameterCount and the methods after it implement algorithms.Weights.
func (q *Quadratic) ParameterCount() int { return units }

// StatisticsCount is 1, for Running.
func (q *Quadratic) StatisticsCount() int { return 1 }

// ReadParameters copies Weights.
func (q *Quadratic) ReadParameters(dst []float64) { copy(dst, q.Weights) }

// WriteParameters sets Weights.
func (q *Quadratic) WriteParameters(src []float64) { copy(q.Weights, src) }

// ReadGradient copies the gradient of the last WeightGradient.
func (q *Quadratic) ReadGradient(dst []float64) { copy(dst, q.gradient) }

// WriteGradient sets the gradient that StepWeights takes.
func (q *Quadratic) WriteGradient(src []float64) { q.gradient = slices.Clone(src) }

// ReadMomentum copies the momentum, which starts at 0.
func (q *Quadratic) ReadMomentum(dst []float64) {
	clear(dst)
	copy(dst, q.velocity)
}

// ReadStatistics copies Running.
func (q *Quadratic) ReadStatistics(dst []float64) { dst[0] = q.Running }

// WriteStatistics sets Running.
func (q *Quadratic) WriteStatistics(src []float64) { q.Running = src[0] }

// HessianForms implements algorithms.HessianNet.
func (q *Quadratic) HessianForms(_ context.Context, b data.Batch, mixing []float64, directions []supernet.Direction) (supernet.Pass, []float64, [][]float64, error) {
	r, pass := q.residuals("HessianForms", b, mixing, supernet.BatchStatistics)
	grad := make([]float64, len(mixing))
	q.mixingGradient(r, mixing, grad)
	var products [][]float64
	for _, t := range directions {
		products = append(products, q.hessianProduct(t.Values))
	}
	return pass, grad, supernet.FormsOfProducts(supernet.ValuesOf(directions), products), nil
}

// HessianSequence implements algorithms.HessianNet.
func (q *Quadratic) HessianSequence(_ context.Context, b data.Batch, mixing []float64, next func(grad, product []float64) []float64) (supernet.Pass, error) {
	r, pass := q.residuals("HessianSequence", b, mixing, supernet.BatchStatistics)
	grad := make([]float64, len(mixing))
	q.mixingGradient(r, mixing, grad)
	for t := next(nil, nil); t != nil; {
		t = next(grad, q.hessianProduct(t))
	}
	return pass, nil
}

func (q *Quadratic) hessianProduct(t []float64) []float64 {
	p := make([]float64, len(t))
	for i, v := range t {
		p[i] += q.Bend[i] * v
		for k := range q.Coupling {
			for j, w := range t {
				p[i] += q.Coupling[k][i] * q.Coupling[k][j] * w
			}
		}
	}
	return p
}

// Batch returns a batch of two images without pixels whose first label is the
// given one.
func Batch(label int) data.Batch {
	return data.Batch{Labels: []int{label, (3*label + 1) % 10}, N: 2}
}
