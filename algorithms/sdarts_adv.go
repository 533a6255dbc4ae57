package algorithms

import (
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	Register(Definition{
		Name:  "sdarts-adv",
		Title: "SDARTS-ADV",
		Look:  catalogue.Look{Family: catalogue.SmoothDARTS, Colour: catalogue.Vermillion, Place: 3},
		Doc: "SmoothDARTS with an adversary (Chen and Hsieh, ICML 2020): as DARTS, but each weight step mixes by the worst " +
			"point that projected gradient ascent on the training batch finds within ε of the softmax. ε grows over the epochs.",
		Options: slices.Concat(RelaxationOptions(), perturbationOptions(), attackOptions()),
		Adapt:   adaptToRecurrent(nil),
		New:     func(cfg Config) (Searcher, error) { return newSDARTSADV("sdarts-adv", cfg), nil },
	})
}

// attackOptions returns the options of the attack of SDARTS-ADV.
func attackOptions() []Option {
	return []Option{
		{Name: "pgd-steps", Kind: Count, Default: 7, Min: 1, Max: 1000, Doc: "attack: steps, each of size 2ε/steps"},
		{Name: "pgd-random-start", Kind: Switch, Default: 1, Doc: "attack: start at a random point of the ε-box (quirk Q5); off starts at the softmax"},
		{Name: "pgd-roll-back", Kind: Switch, Default: 1, Doc: "attack: no perturbation where the loss did not rise (quirk Q6b)"},
		{Name: "pgd-batch-statistics", Kind: Switch, Doc: "attack: normalise by the batch, which moves the running statistics; off uses the running statistics, essentially those of the search batch before (quirks Q4, C7)"},
	}
}

func newSDARTSADV(name string, cfg Config) *Relaxation {
	r := NewRelaxation(name, cfg, 0)
	epsilon := epsilonSchedule(cfg)
	randomStart := cfg.Settings.On("pgd-random-start")
	pgd := PGD{
		Steps:     cfg.Settings.Count("pgd-steps"),
		Entries:   r.operations(),
		Simplex:   cfg.Settings.On("simplex"),
		RollBack:  cfg.Settings.On("pgd-roll-back"),
		BatchNorm: supernet.RunningStatistics,
	}
	if cfg.Settings.On("pgd-batch-statistics") {
		pgd.BatchNorm = supernet.BatchStatistics
	}
	r.Perturb = func(net Supernet, train data.Batch, info *StepInfo) error {
		info.Epsilon = epsilon.At(r.scheduled())
		var delta []float64
		if randomStart {
			delta = r.draw(info.Epsilon)
		}
		attack, err := pgd.Attack(net, cfg.Space, train, info.Simplex, info.Epsilon, delta)
		if err != nil {
			return err
		}
		info.Attack, info.Mixing = &attack, attack.Mixing
		return nil
	}
	return r
}
