package algorithms

import (
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "tpe",
		Title: "TPE (table)",
		Look:  catalogue.Look{Family: catalogue.BlackBox, Colour: catalogue.Sky, Place: 24},
		Doc: "Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), with kernel densities for categorical choices as " +
			"in BOHB (Falkner et al., ICML 2018): the next cell is the draw from a density of the best cells at which it is " +
			"highest over a density of the others. As the table would say the same again, a draw that was asked before does not " +
			"count; where none else is drawn, the next cell is a random one.",
		Options: []Option{
			{Name: "random-start", Kind: Count, Default: 20, Min: 1, Max: 1e6, Doc: "model: cells drawn at random before it is used; the default is that of Hyperopt"},
			{Name: "best-share", Default: 0.15, Min: 0.01, Max: 0.99, Doc: "model: share of the cells that count as the best; the default is that of Bergstra et al."},
			{Name: "model-candidates", Kind: Count, Default: 24, Min: 1, Max: 1e5, Doc: "model: draws of which the most promising is asked; the default is that of Hyperopt"},
		},
	}, func(cfg Config, space *configurations) strategy {
		return &tpe{known: map[int]bool{}, start: cfg.Settings.Count("random-start"), model: densities{
			space: space, levels: space.levels(), share: cfg.Settings.Number("best-share"),
			candidates: cfg.Settings.Count("model-candidates"), widening: 1, prior: 1,
		}}
	}))
}

type tpe struct {
	start int
	model densities
	known map[int]bool // configurations that have a result

	Results []result `json:"results"`
}

func (s *tpe) next(r *rand.Rand) (trial, bool) {
	t := trial{Budget: FullBudget}
	ok := false
	if len(s.Results) >= s.start && s.model.enough(len(s.Results)) {
		t.Configuration, ok = s.model.propose(s.Results, r, func(c int) bool { return !s.known[c] })
	}
	if !ok {
		t.Configuration = s.model.space.sample(r)
	}
	return t, true
}

func (s *tpe) told(t trial) {
	s.known[t.Configuration] = true
	s.Results = append(s.Results, result{t.Configuration, t.Error})
}

func (s *tpe) restored([]trial) error {
	for _, known := range s.Results {
		s.known[known.Configuration] = true
	}
	return s.model.space.checkResults(s.Results)
}
