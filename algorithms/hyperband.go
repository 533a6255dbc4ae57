package algorithms

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

// The budgets of NAS-Bench-101, in epochs, each the third of the next: η of Hyperband is 3.
var hyperbandBudgets = []int{4, 12, 36, FullBudget}

const eta = 3

func init() {
	Register(tableDefinition(Definition{
		Name:  "hyperband",
		Title: "Hyperband (table)",
		Look:  catalogue.Look{Family: catalogue.BlackBox, Colour: catalogue.Blue, Place: 25},
		Doc: "Hyperband (Li et al., JMLR 2018) with η = 3 and the table's budgets of 4, 12, 36 and 108 epochs: of random cells " +
			"that train for few epochs the best third trains anew for three times as many, and so on; brackets that begin " +
			"with 27 cells at 4 epochs, 12 at 12, 6 at 36 and 4 at 108 take turns.",
		Budgets: hyperbandBudgets,
	}, func(_ Config, space *configurations) strategy {
		return &hyperband{space: space, draw: space.sample}
	}))
}

// hyperband runs brackets of successive halving. A worker that has to wait for the others
// of a bracket begins the next bracket (Falkner et al., 2018, Section 3.3), so that none is
// ever idle; with one worker a bracket ends before the next begins.
type hyperband struct {
	space *configurations
	draw  func(*rand.Rand) int // a configuration to begin with

	Begun int        `json:"begun"` // brackets
	Open  []*bracket `json:"open"`  // those that have not ended, in the order of their beginning
}

// bracket is successive halving from one budget on.
type bracket struct {
	Number  int      `json:"number"`  // from 0; of a trial its Slot
	Start   int      `json:"start"`   // index of its first budget
	Rung    int      `json:"rung"`    // times that it has halved
	Undrawn int      `json:"undrawn"` // configurations of the first rung to be drawn
	Queue   []int    `json:"queue"`   // configurations of a later rung to begin
	Waiting int      `json:"waiting"` // trials of the rung that are under way
	Results []result `json:"results"` // of the rung
}

// size is the number of configurations of a rung: those that the bracket begins with,
// ⌈(s_max+1)/(s+1)·η^s⌉, where s rungs follow on the first, divided by η for each rung.
func (b *bracket) size(rung int) int {
	s := len(hyperbandBudgets) - 1 - b.Start
	n := len(hyperbandBudgets)
	for range s {
		n *= eta
	}
	n = (n + s) / (s + 1)
	for range rung {
		n /= eta
	}
	return n
}

// last tells whether the rung is that of the longest budget.
func (b *bracket) last() bool { return b.Start+b.Rung == len(hyperbandBudgets)-1 }

func (h *hyperband) next(r *rand.Rand) (trial, bool) {
	i := slices.IndexFunc(h.Open, func(b *bracket) bool { return b.Undrawn > 0 || len(b.Queue) > 0 })
	if i < 0 {
		b := &bracket{Number: h.Begun, Start: h.Begun % len(hyperbandBudgets)}
		b.Undrawn = b.size(0)
		i = len(h.Open)
		h.Open = append(h.Open, b)
		h.Begun++
	}
	b := h.Open[i]
	t := trial{Budget: hyperbandBudgets[b.Start+b.Rung], Slot: b.Number}
	if b.Undrawn > 0 {
		b.Undrawn--
		t.Configuration = h.draw(r)
	} else {
		t.Configuration, b.Queue = b.Queue[0], b.Queue[1:]
	}
	b.Waiting++
	return t, true
}

func (h *hyperband) told(t trial) {
	i := slices.IndexFunc(h.Open, func(b *bracket) bool { return b.Number == t.Slot })
	b := h.Open[i]
	b.Waiting--
	b.Results = append(b.Results, result{t.Configuration, t.Error})
	switch {
	case b.Undrawn > 0 || len(b.Queue) > 0 || b.Waiting > 0:
	case b.last():
		h.Open = slices.Delete(h.Open, i, i+1)
	default:
		b.Rung++
		for _, best := range byError(b.Results)[:b.size(b.Rung)] {
			b.Queue = append(b.Queue, best.Configuration)
		}
		b.Results = nil
	}
}

func (h *hyperband) restored(running []trial) error {
	number, under := -1, 0
	for _, b := range h.Open {
		if b == nil || b.Number <= number || b.Number >= h.Begun || b.Start != b.Number%len(hyperbandBudgets) ||
			b.Rung < 0 || b.Start+b.Rung >= len(hyperbandBudgets) {
			return fmt.Errorf("a bracket that is none of the %d begun", h.Begun)
		}
		number = b.Number
		first := b.Undrawn
		if b.Rung > 0 {
			first = len(b.Queue)
		}
		waiting := 0
		for _, t := range running {
			if t.Slot == b.Number && t.Budget == hyperbandBudgets[b.Start+b.Rung] {
				waiting++
			}
		}
		under += waiting
		if b.Undrawn < 0 || b.Waiting != waiting || first+b.Waiting+len(b.Results) != b.size(b.Rung) || b.Undrawn > 0 && b.Rung > 0 {
			return fmt.Errorf("bracket %d has %d configurations to begin, %d under way and %d results, of %d", b.Number, first, b.Waiting, len(b.Results), b.size(b.Rung))
		}
		all := slices.Clone(b.Results)
		for _, q := range b.Queue {
			all = append(all, result{Configuration: q})
		}
		if err := h.space.checkResults(all); err != nil {
			return err
		}
	}
	if under != len(running) {
		return fmt.Errorf("%d trials under way, of which the brackets know %d", len(running), under)
	}
	return nil
}
