package algorithms

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	Register(Definition{
		Name:  "darts-hr",
		Title: "DARTS-HR (own hyper-parameters)",
		Look:  catalogue.Look{Family: catalogue.SmoothDARTS, Colour: catalogue.Brown, Place: 8},
		Doc: "DARTS with explicit regularisation of the architecture Hessian, the baseline of the SDARTS paper's Figure 3: the " +
			"architecture step adds strength·‖v‖ to the search loss, v being the finite difference of its gradient along a " +
			"random direction. The paper gives no distribution, length, norm or strength, and no code was released: all " +
			"hyper-parameters are our own.",
		Supports: notRecurrent(undefined, notOnDARTS("its strength was chosen for NAS-Bench-1Shot1, and no source defines it there")),
		Options: append(RelaxationOptions(),
			Option{Name: "hr-strength", Default: 0.1, Max: 1e6, Doc: "Hessian regularisation: factor of the added term"},
			Option{Name: "hr-radius", Default: 0.01, Min: 1e-6, Max: 1, Doc: "Hessian regularisation: step length of the finite difference, to either side"},
			Option{Name: "hr-squared", Kind: Switch, Doc: "Hessian regularisation: ‖v‖²/2 instead of ‖v‖"},
		),
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("darts-hr", cfg, 0)
			s := cfg.Settings
			reg := HessianPenalty{Radius: s.Number("hr-radius"), Squared: s.On("hr-squared")}
			strength := s.Number("hr-strength")
			r.ArchGradient = func(ctx context.Context, net Supernet, _, search data.Batch, info *StepInfo) error {
				if err := r.FirstOrder(net, search, info); err != nil {
					return err
				}
				at := func(alphas []float64) Mixing { return Softmax(cfg.Space, alphas) }
				_, penalty, err := reg.Gradient(ctx, net, at, search, r.alphas, r.direction())
				if err != nil {
					return err
				}
				for i, v := range penalty {
					info.ArchGradient[i] += strength * v
				}
				return nil
			}
			return r, nil
		},
	})
}

// direction returns a random unit vector over the alphas, fresh in each step.
func (r *Relaxation) direction() []float64 {
	draws := r.Random("darts-hr/direction")
	u := make([]float64, len(r.alphas))
	for i := range u {
		u[i] = draws.NormFloat64()
	}
	norm := math.Sqrt(dot(u, u))
	for i := range u {
		u[i] /= norm
	}
	return u
}

// HessianPenalty is ‖v‖, or ‖v‖²/2 if Squared, with
// v = (∇L(α + h·u) − ∇L(α − h·u))/2h for a direction u and radius h: the size of
// the Hessian along u.
type HessianPenalty struct {
	Radius  float64
	Squared bool
}

// Gradient returns the penalty of the loss in training mode and its gradient by
// the alphas, (H(α + h·u) − H(α − h·u))·w/2h with w the derivative by v. It takes
// two gradients and two exact Hessian products, each moving the running
// statistics. Where v is 0 the gradient is 0.
func (p HessianPenalty) Gradient(ctx context.Context, net Supernet, at func(alphas []float64) Mixing, b data.Batch, alphas, u []float64) (float64, []float64, error) {
	var points [2]Mixing
	v := make([]float64, len(alphas))
	for k, by := range [2]float64{p.Radius, -p.Radius} {
		moved := slices.Clone(alphas)
		for i := range moved {
			moved[i] += by * u[i]
		}
		points[k] = at(moved)
		grad := make([]float64, len(points[k].Weights))
		pass, err := net.MixingGradient(b, points[k].Weights, supernet.BatchStatistics, grad)
		if err == nil {
			err = checkLoss(pass.Loss)
		}
		if err != nil {
			return 0, nil, fmt.Errorf("hessian penalty: %w", err)
		}
		for i, g := range points[k].Gradient(grad) {
			v[i] += g / (2 * by)
		}
	}
	norm := math.Sqrt(dot(v, v))
	penalty := norm
	if p.Squared {
		penalty = norm * norm / 2
	} else if norm > 0 {
		for i := range v {
			v[i] /= norm
		}
	}
	out := make([]float64, len(alphas))
	for k, by := range [2]float64{p.Radius, -p.Radius} {
		_, product, err := HessianProduct(ctx, net, points[k], b, v)
		if err != nil {
			return 0, nil, fmt.Errorf("hessian penalty: %w", err)
		}
		for i, h := range product {
			out[i] += h / (2 * by)
		}
	}
	return penalty, out, nil
}
