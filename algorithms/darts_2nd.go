package algorithms

import (
	"context"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	Register(Definition{
		Name:  "darts-2nd",
		Title: "DARTS, 2nd order",
		Look:  catalogue.Look{Family: catalogue.Stabilised, Colour: catalogue.Purple, Place: 11},
		Doc: "Second-order DARTS (Liu et al., ICLR 2019): the architecture step looks one weight step ahead, and the " +
			"product of mixed second derivatives that this needs is a finite difference. It is the released option --unrolled.",
		Options: append(RelaxationOptions(), unrollOptions()...),
		Adapt:   adaptToRecurrent(nil, lookAheadOptions()...),
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("darts-2nd", cfg, 0)
			r.unroll()
			return r, nil
		},
	})
}

func unrollOptions() []Option {
	return []Option{
		{Name: "unroll-radius", Default: 0.01, Min: 1e-9, Max: 1, Doc: "second order: step length of the finite difference in weight space"},
	}
}

// unrollIfAsked makes the architecture step second order where the settings say so.
func (r *Relaxation) unrollIfAsked() {
	if r.cfg.Settings["unrolled"] == 1 { // not an option on every space
		r.unroll()
	}
}

// unroll makes the architecture step second order. With learning rate η, weights
// w and their SGD direction after a training batch, w' = w − η·direction; u is the
// search loss's gradient with respect to w', and the gradient of the alphas
//
//	∇α L_search(w', α) − η·(∇α L_train(w + R·u, α) − ∇α L_train(w − R·u, α))/2R
//
// with R = radius/‖u‖. η is the rate that the weight step uses (quirk Q2). The
// On the recurrent space the direction and u are clipped as the gradient of a step is, the
// vectors of the words stay where they are, and the correction has a factor of its own (quirks
// R8, R9, R10). The look ahead leaves no trace; the three passes over the training batch at or
// around w move the running statistics, as in the released code.
func (r *Relaxation) unroll() {
	radius := r.cfg.Settings.Number("unroll-radius")
	r.ArchGradient = func(_ context.Context, net Supernet, train, search data.Batch, info *StepInfo) error {
		m := r.Relax(ForArchitecture, 0)
		r.look = 0
		defer func() { r.look = 0 }()
		prepare := func(images int) { // every pass draws for itself
			r.look++
			r.Prepare(net, ForArchitecture, images)
		}
		n, eta := net.ParameterCount(), info.LearningRate
		w, g, v := make([]float64, n), make([]float64, n), make([]float64, n)

		text := r.recurrentLookAhead(net)
		if text != nil {
			text.words.Regularise(false)
			defer text.words.Regularise(true)
		}
		prepare(train.N)
		pass, err := net.WeightGradient(train, m.Weights, supernet.BatchStatistics)
		if err == nil {
			err = checkLoss(pass.Loss)
		}
		if err != nil {
			return err
		}
		net.ReadParameters(w)
		net.ReadGradient(g)
		net.ReadMomentum(v)
		correction := eta
		if text != nil {
			correction *= text.clipped(g)
		}
		ahead := slices.Clone(w)
		for i := range ahead {
			ahead[i] -= eta * (r.sgd.Momentum*v[i] + g[i] + r.sgd.WeightDecay*w[i])
		}
		if text != nil {
			text.stay(ahead, w)
		}

		statistics := make([]float64, net.StatisticsCount())
		net.ReadStatistics(statistics)
		net.WriteParameters(ahead)
		prepare(search.N)
		if info.Architecture, info.ArchGradient, err = alphaGradient(net, search, m); err != nil {
			return err
		}
		net.HoldDraws() // one pass in the released code
		if _, err := net.WeightGradient(search, m.Weights, supernet.BatchStatistics); err != nil {
			return err
		}
		net.ReadGradient(g) // u
		net.WriteStatistics(statistics)
		if text != nil {
			text.vector(g)
		}

		step := radius / math.Sqrt(dot(g, g))
		var around [2][]float64
		for k, by := range []float64{step, -step} {
			for i := range ahead {
				ahead[i] = w[i] + by*g[i]
			}
			net.WriteParameters(ahead)
			prepare(train.N)
			if k == 1 && text != nil && r.cfg.Settings.On("unroll-common-masks") {
				net.HoldDraws()
			}
			if _, around[k], err = alphaGradient(net, train, m); err != nil {
				return err
			}
		}
		net.WriteParameters(w)
		for i := range info.ArchGradient {
			info.ArchGradient[i] -= correction * (around[0][i] - around[1][i]) / (2 * step)
		}
		return nil
	}
}
