package algorithms

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

// Searches that train nothing and only ask the table for validation errors:
// reference lines for those that do.
func init() {
	const table = " Only the table is asked, for validation errors; an epoch is a number of queries."
	queries := Option{Name: "queries", Kind: Count, Default: 10, Min: 1, Max: 1e6, Doc: "table queries in an epoch"}
	Register(Definition{
		Name:      "random-search",
		Title:     "Random search (table)",
		Look:      catalogue.Look{Family: catalogue.References, Colour: catalogue.Black, Place: 16},
		Doc:       "Random search: cells drawn uniformly from the space, the one with the lowest validation error kept." + table,
		Options:   []Option{queries},
		Supports:  notOnDARTS("no table has its architectures"),
		TableOnly: true,
		After:     true,
		New: func(cfg Config) (Searcher, error) {
			t := newTableSearch("random-search", cfg)
			t.next = func(r *rand.Rand) spaces.Architecture { return cfg.Space.Sample(r) }
			return t, nil
		},
	})
	Register(Definition{
		Name:  "regularized-evolution",
		Title: "Regularised evolution (table)",
		Look:  catalogue.Look{Family: catalogue.References, Colour: catalogue.Green, Place: 17},
		Doc: "Regularised evolution (Real et al., AAAI 2019): the best of a random sample of the population has a mutated " +
			"child, and the oldest member dies. A mutation draws anew the operation of one block or the parents of one node." + table,
		Options: []Option{
			queries,
			{Name: "population", Kind: Count, Default: 50, Min: 2, Max: 1e5, Doc: "evolution: members"},
			{Name: "sample", Kind: Count, Default: 10, Min: 1, Max: 1e5, Doc: "evolution: members of which the best has a child"},
		},
		Supports:  notOnDARTS("no table has its architectures"),
		TableOnly: true,
		After:     true,
		New: func(cfg Config) (Searcher, error) {
			t := newTableSearch("regularized-evolution", cfg)
			t.population, t.sample = cfg.Settings.Count("population"), cfg.Settings.Count("sample")
			t.next = t.child
			return t, nil
		},
	})
}

// tableSearch asks the table for one cell a step.
type tableSearch struct {
	name    string
	cfg     Config
	queries int
	next    func(r *rand.Rand) spaces.Architecture

	population, sample int // of the evolution; 0 keeps no members

	epoch, step int
	best        *candidate
	members     []candidate // oldest first
}

// candidate is a cell and how bad it is.
type candidate struct {
	Architecture spaces.Architecture `json:"architecture"`
	Error        float64             `json:"error"` // in [0,1]
}

func newTableSearch(name string, cfg Config) *tableSearch {
	return &tableSearch{name: name, cfg: cfg, queries: cfg.Settings.Count("queries")}
}

func (t *tableSearch) Steps(Batches) int { return t.queries }

func (t *tableSearch) StartEpoch(epoch int) { t.epoch, t.step = epoch, 0 }

func (t *tableSearch) Step(_ context.Context, _ Supernet, _ Batches) (StepInfo, error) {
	if t.cfg.Query == nil {
		return StepInfo{}, fmt.Errorf("%s: no table to ask", t.name)
	}
	a := t.next(random.New(t.cfg.Seed, t.name, uint64(t.epoch), uint64(t.step)))
	e, err := t.cfg.Query(a)
	if err != nil {
		return StepInfo{}, fmt.Errorf("query %d of epoch %d: %w", t.step, t.epoch, err)
	}
	c := candidate{a, e}
	if t.best == nil || c.Error < t.best.Error {
		t.best = &c
	}
	if t.population > 0 {
		t.members = append(t.members, c)
		t.members = t.members[max(len(t.members)-t.population, 0):]
	}
	t.step++
	return StepInfo{}, nil
}

// child is a mutation of the best of a sample, once the population is complete.
func (t *tableSearch) child(r *rand.Rand) spaces.Architecture {
	if len(t.members) < t.population {
		return t.cfg.Space.Sample(r)
	}
	best := t.members[r.IntN(len(t.members))]
	for range t.sample - 1 {
		if c := t.members[r.IntN(len(t.members))]; c.Error < best.Error {
			best = c
		}
	}
	return t.cfg.Space.Mutate(best.Architecture, r)
}

// Architecture is the best cell so far; before any query, one that would be
// drawn first.
func (t *tableSearch) Architecture() spaces.Architecture {
	if t.best == nil {
		return t.cfg.Space.Sample(random.New(t.cfg.Seed, t.name, 0, 0))
	}
	return t.best.Architecture
}

type tableState struct {
	Algorithm string      `json:"algorithm"`
	Epoch     int         `json:"epoch"`
	Step      int         `json:"step"`
	Best      *candidate  `json:"best"`
	Members   []candidate `json:"members"`
}

func (t *tableSearch) State() ([]byte, error) {
	b, err := json.Marshal(tableState{t.name, t.epoch, t.step, t.best, t.members})
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", t.name, err)
	}
	return b, nil
}

func (t *tableSearch) SetState(b []byte) error {
	var s tableState
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore state of %s: %w", t.name, err)
	}
	if s.Algorithm != t.name {
		return fmt.Errorf("restore state of %s: it was saved by %q", t.name, s.Algorithm)
	}
	if s.Epoch < 0 || s.Step < 0 || len(s.Members) > t.population || s.Best == nil && (s.Epoch > 0 || s.Step > 0) {
		return fmt.Errorf("restore state of %s: epoch %d, step %d, %d members do not fit", t.name, s.Epoch, s.Step, len(s.Members))
	}
	all := s.Members
	if s.Best != nil {
		all = append(all[:len(all):len(all)], *s.Best)
	}
	for _, c := range all {
		if err := inSpace(t.cfg.Space, c.Architecture); err != nil {
			return fmt.Errorf("restore state of %s: %w", t.name, err)
		}
	}
	t.epoch, t.step, t.best, t.members = s.Epoch, s.Step, s.Best, s.Members
	return nil
}

// inSpace checks a cell that was read from a saved state.
func inSpace(space *spaces.Space, a spaces.Architecture) error {
	if a.Space != space.Name() {
		return fmt.Errorf("a cell of space %s in a search of space %s", a.Space, space.Name())
	}
	return a.Check()
}
