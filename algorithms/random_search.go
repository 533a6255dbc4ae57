package algorithms

import (
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "random-search",
		Title: "Random search (table)",
		Look:  catalogue.Look{Family: catalogue.References, Colour: catalogue.Black, Place: 16},
		Doc:   "Random search: cells drawn uniformly from the space, the one with the lowest validation error kept.",
	}, func(_ Config, space *configurations) strategy { return &randomSearch{space} }))
}

// randomSearch has no state.
type randomSearch struct{ space *configurations }

func (s *randomSearch) next(r *rand.Rand) (trial, bool) {
	return trial{Configuration: s.space.sample(r), Budget: FullBudget}, true
}

func (s *randomSearch) told(trial) {}

func (s *randomSearch) restored([]trial) error { return nil }
