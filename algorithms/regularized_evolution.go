package algorithms

import (
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "regularized-evolution",
		Title: "Regularised evolution (table)",
		Look:  catalogue.Look{Family: catalogue.References, Colour: catalogue.Green, Place: 17},
		Doc: "Regularised evolution (Real et al., AAAI 2019): the best of a random sample of the population has a mutated " +
			"child, and the oldest member dies. A mutation draws anew the operation of one block or the parents of one node.",
		Options: []Option{
			{Name: "population", Kind: Count, Default: 50, Min: 2, Max: 1e5, Doc: "evolution: members"},
			{Name: "sample", Kind: Count, Default: 10, Min: 1, Max: 1e5, Doc: "evolution: members of which the best has a child"},
		},
	}, func(cfg Config, space *configurations) strategy {
		return &evolution{space: space, population: cfg.Settings.Count("population"), sample: cfg.Settings.Count("sample")}
	}))
}

type evolution struct {
	space              *configurations
	population, sample int

	Members []result `json:"members"` // oldest first
}

// next is a mutation of the best of a sample, once the population is complete.
func (e *evolution) next(r *rand.Rand) (trial, bool) {
	t := trial{Budget: FullBudget}
	if len(e.Members) < e.population {
		t.Configuration = e.space.sample(r)
		return t, true
	}
	best := e.Members[r.IntN(len(e.Members))]
	for range e.sample - 1 {
		if m := e.Members[r.IntN(len(e.Members))]; m.Error < best.Error {
			best = m
		}
	}
	t.Configuration = e.space.of(e.space.space.Mutate(e.space.architecture(best.Configuration), r))
	return t, true
}

func (e *evolution) told(t trial) {
	e.Members = append(e.Members, result{t.Configuration, t.Error})
	e.Members = e.Members[max(len(e.Members)-e.population, 0):]
}

func (e *evolution) restored([]trial) error {
	if len(e.Members) > e.population {
		return fmt.Errorf("%d members of a population of %d", len(e.Members), e.population)
	}
	return e.space.checkResults(e.Members)
}
