package algorithms

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "bohb",
		Title: "BOHB (table)",
		Look:  catalogue.Look{Family: catalogue.BlackBox, Colour: catalogue.Vermillion, Place: 26},
		Doc: "BOHB (Falkner et al., ICML 2018): Hyperband whose brackets begin with cells from a model, as in TPE, of the results " +
			"of the longest budget that has enough of them; a third of the cells is still drawn at random.",
		Budgets: hyperbandBudgets,
		Options: []Option{
			{Name: "random-share", Default: 1. / 3, Max: 1, Doc: "model: share of the cells that are drawn at random all the same; Falkner et al.: 1/3"},
			{Name: "best-share", Default: 0.15, Min: 0.01, Max: 0.99, Doc: "model: share of the cells that count as the best; Falkner et al.: 15 %"},
			{Name: "model-candidates", Kind: Count, Default: 64, Min: 1, Max: 1e5, Doc: "model: draws of which the most promising is asked; Falkner et al.: 64"},
			{Name: "bandwidth-factor", Default: 3, Min: 1, Max: 1e3, Doc: "model: times that the kernels are wider where candidates are drawn; Falkner et al.: 3. The released code widens those of numbers alone, and all choices here are categorical: 1"},
		},
	}, func(cfg Config, space *configurations) strategy {
		b := &bohb{share: cfg.Settings.Number("random-share"), model: densities{
			space: space, levels: space.levels(), share: cfg.Settings.Number("best-share"),
			candidates: cfg.Settings.Count("model-candidates"), widening: cfg.Settings.Number("bandwidth-factor"),
		}}
		b.Brackets = &hyperband{space: space, draw: b.draw}
		b.Results = make([][]result, len(hyperbandBudgets))
		return b
	}))
}

type bohb struct {
	share float64 // of random configurations
	model densities

	Brackets *hyperband `json:"brackets"`
	Results  [][]result `json:"results"` // by budget
}

func (b *bohb) next(r *rand.Rand) (trial, bool) { return b.Brackets.next(r) }

// draw asks the model of the longest budget that has enough results.
func (b *bohb) draw(r *rand.Rand) int {
	if r.Float64() >= b.share {
		for _, results := range slices.Backward(b.Results) {
			if b.model.enough(len(results)) {
				c, _ := b.model.propose(results, r, nil)
				return c
			}
		}
	}
	return b.model.space.sample(r)
}

func (b *bohb) told(t trial) {
	i := slices.Index(hyperbandBudgets, t.Budget)
	b.Results[i] = append(b.Results[i], result{t.Configuration, t.Error})
	b.Brackets.told(t)
}

func (b *bohb) restored(running []trial) error {
	if b.Brackets == nil || len(b.Results) != len(hyperbandBudgets) {
		return fmt.Errorf("results of %d budgets, want %d", len(b.Results), len(hyperbandBudgets))
	}
	for _, results := range b.Results {
		if err := b.model.space.checkResults(results); err != nil {
			return err
		}
	}
	return b.Brackets.restored(running)
}
