package algorithms

import (
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/spaces"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "reinforce",
		Title: "REINFORCE (table)",
		Look:  catalogue.Look{Family: catalogue.BlackBox, Colour: catalogue.Purple, Place: 23},
		Doc: "REINFORCE (Williams, 1992) as in the experiments of NAS-Bench-101: each choice is drawn from a softmax of its own " +
			"logits, which follow the gradient of the log-likelihood times how far the validation accuracy is above its " +
			"exponential moving average.",
		Options: []Option{
			{Name: "policy-learning-rate", Default: 0.1, Min: 1e-6, Max: 1e3, Doc: "policy: step of gradient ascent; the default is that of the released experiments of NAS-Bench-101's authors"},
			{Name: "baseline-momentum", Default: 0.9, Max: 0.9999, Doc: "policy: weight of the past in the moving average of the reward, likewise"},
		},
	}, func(cfg Config, space *configurations) strategy {
		p := &reinforce{space: space, rate: cfg.Settings.Number("policy-learning-rate"), momentum: cfg.Settings.Number("baseline-momentum")}
		for _, n := range space.levels() {
			p.Logits = append(p.Logits, make([]float64, n))
		}
		return p
	}))
}

type reinforce struct {
	space          *configurations
	rate, momentum float64

	Logits [][]float64 `json:"logits"` // by parameter and value
	// The moving average of the reward is Sum/Weight, so that it begins without a bias.
	Sum    float64 `json:"sum"`
	Weight float64 `json:"weight"`
}

func (p *reinforce) next(r *rand.Rand) (trial, bool) {
	values := make([]int, len(p.Logits))
	for i, logits := range p.Logits {
		u := r.Float64()
		for k, share := range policy(logits) {
			if values[i] = k; u < share {
				break
			}
			u -= share
		}
	}
	return trial{Configuration: p.space.join(values), Budget: FullBudget}, true
}

// policy returns the probabilities of the values of a parameter.
func policy(logits []float64) []float64 {
	shares := make([]float64, len(logits))
	spaces.SoftmaxRow(shares, logits)
	return shares
}

func (p *reinforce) told(t trial) {
	reward := 1 - t.Error
	p.Sum = float64(p.momentum*p.Sum) + float64((1-p.momentum)*reward)
	p.Weight = float64(p.momentum*p.Weight) + 1 - p.momentum
	advantage := reward - p.Sum/p.Weight
	for i, v := range p.space.split(t.Configuration) {
		for k, share := range policy(p.Logits[i]) {
			likelihood := -share // its gradient
			if k == v {
				likelihood++
			}
			p.Logits[i][k] += float64(p.rate * advantage * likelihood)
		}
	}
}

func (p *reinforce) restored([]trial) error {
	levels := p.space.levels()
	if len(p.Logits) != len(levels) || !(p.Weight >= 0 && p.Weight <= 1) {
		return fmt.Errorf("logits of %d parameters, want %d, and weight %g", len(p.Logits), len(levels), p.Weight)
	}
	for i, logits := range p.Logits {
		if len(logits) != levels[i] {
			return fmt.Errorf("parameter %d has %d logits, want %d", i, len(logits), levels[i])
		}
	}
	return nil
}
