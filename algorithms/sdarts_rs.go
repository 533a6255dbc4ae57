package algorithms

import (
	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
)

func init() {
	Register(Definition{
		Name:  "sdarts-rs",
		Title: "SDARTS-RS",
		Look:  catalogue.Look{Family: catalogue.SmoothDARTS, Colour: catalogue.Orange, Place: 2},
		Doc: "SmoothDARTS with random smoothing (Chen and Hsieh, ICML 2020): as DARTS, but each weight step mixes by the " +
			"softmax plus uniform noise in [-ε, ε], brought back to the simplex. ε grows over the epochs.",
		Options: append(RelaxationOptions(), perturbationOptions()...),
		Adapt:   adaptToRecurrent(nil),
		New:     func(cfg Config) (Searcher, error) { return newSDARTSRS("sdarts-rs", cfg), nil },
	})
}

// perturbationOptions returns the options SDARTS-RS and SDARTS-ADV share.
func perturbationOptions() []Option {
	return []Option{
		{Name: "epsilon-min", Default: 0.03, Max: 1, Doc: "perturbation: ε in the first epoch"},
		{Name: "epsilon-max", Default: 0.3, Max: 1, Doc: "perturbation: ε after the last epoch"},
		{Name: "epsilon-reaches-max", Kind: Switch, Doc: "perturbation: ε is epsilon-max in the last epoch already, e/(E-1) instead of e/E (quirks Q3, C6)"},
		{Name: "simplex", Kind: Switch, Default: 1, Doc: "perturbation: clamp to [0,1] and renormalise each row, which may leave the ε-box (quirk Q6); off keeps to the box alone"},
	}
}

// epsilonSchedule returns ε as a function of the epoch.
func epsilonSchedule(cfg Config) Linear {
	l := Linear{From: cfg.Settings.Number("epsilon-min"), To: cfg.Settings.Number("epsilon-max"), Length: cfg.Epochs}
	if cfg.Settings.On("epsilon-reaches-max") {
		l.Length = max(cfg.Epochs-1, 1)
	}
	return l
}

func newSDARTSRS(name string, cfg Config) *Relaxation {
	r := NewRelaxation(name, cfg, 0)
	epsilon := epsilonSchedule(cfg)
	simplex := cfg.Settings.On("simplex")
	r.Perturb = func(_ Supernet, _ data.Batch, info *StepInfo) error {
		info.Epsilon = epsilon.At(r.scheduled())
		info.Mixing = sum(info.Simplex, r.draw(info.Epsilon))
		if simplex {
			ClipSimplex(cfg.Space, info.Mixing[:r.operations()])
		}
		return nil
	}
	return r
}
