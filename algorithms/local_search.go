package algorithms

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
)

func init() {
	Register(tableDefinition(Definition{
		Name:  "local-search",
		Title: "Local search (table)",
		Look:  catalogue.Look{Family: catalogue.BlackBox, Colour: catalogue.Orange, Place: 22},
		Doc: "Local search (White et al., UAI 2021): from a random cell to the best of all that differ in the operation of one " +
			"block or the parents of one node, as long as that is better; then again from another random cell. No cell is " +
			"asked again as a neighbour.",
		Options: []Option{
			{Name: "first-improvement", Kind: Switch, Doc: "local search: go to the first neighbour that is better instead of the best of all"},
		},
	}, func(cfg Config, space *configurations) strategy {
		return &localSearch{space: space, first: cfg.Settings.On("first-improvement"), known: map[int]float64{}}
	}))
}

// localSearch descends. What is known of a configuration is not asked again, except at a
// random start, so that every descent asks something.
type localSearch struct {
	space *configurations
	first bool
	known map[int]float64

	Known     []result `json:"known"`
	Place     int      `json:"place"`             // number of Current, from 1: of a trial its Slot
	Starting  bool     `json:"starting"`          // Current is being asked
	Current   *result  `json:"current,omitempty"` // nil before a start is known
	Expanded  bool     `json:"expanded"`          // Unasked and Best are those of Current
	Unasked   []int    `json:"unasked,omitempty"` // neighbours
	Waiting   int      `json:"waiting"`           // for neighbours
	BestSoFar *result  `json:"best,omitempty"`    // of the neighbours better than Current; nil if none is
}

func (s *localSearch) next(r *rand.Rand) (trial, bool) {
	for {
		switch {
		case s.Starting:
			return trial{}, false
		case s.Current == nil:
			s.arrive(nil)
			s.Starting = true
			return trial{Configuration: s.space.sample(r), Budget: FullBudget, Slot: s.Place}, true
		case !s.Expanded:
			s.expand(r)
		case s.first && s.BestSoFar != nil:
			s.arrive(s.BestSoFar)
		case len(s.Unasked) > 0:
			t := trial{Configuration: s.Unasked[0], Budget: FullBudget, Slot: s.Place}
			s.Unasked = s.Unasked[1:]
			s.Waiting++
			return t, true
		case s.Waiting > 0:
			return trial{}, false
		default: // a local minimum where BestSoFar is nil
			s.arrive(s.BestSoFar)
		}
	}
}

// arrive goes to a configuration, or to a random start where that is nil.
func (s *localSearch) arrive(at *result) {
	s.Place++
	s.Current, s.Expanded, s.Unasked, s.Waiting, s.BestSoFar = at, false, nil, 0, nil
}

// expand lists the neighbours that are not known, in random order, and considers the
// others.
func (s *localSearch) expand(r *rand.Rand) {
	s.Expanded = true
	for _, n := range s.space.neighbours(s.Current.Configuration) {
		if e, ok := s.known[n]; ok {
			s.consider(result{n, e})
		} else {
			s.Unasked = append(s.Unasked, n)
		}
	}
	r.Shuffle(len(s.Unasked), func(i, j int) { s.Unasked[i], s.Unasked[j] = s.Unasked[j], s.Unasked[i] })
}

// consider takes note of a neighbour.
func (s *localSearch) consider(n result) {
	better := s.Current.Error
	if s.BestSoFar != nil {
		better = s.BestSoFar.Error
	}
	if n.Error < better {
		s.BestSoFar = &n
	}
}

func (s *localSearch) told(t trial) {
	own := result{t.Configuration, t.Error}
	if _, ok := s.known[t.Configuration]; !ok {
		s.known[t.Configuration] = t.Error
		s.Known = append(s.Known, own)
	}
	switch {
	case t.Slot != s.Place: // of a place that was left
	case s.Starting:
		s.Starting, s.Current = false, &own
	default:
		s.Waiting--
		s.consider(own)
	}
}

func (s *localSearch) restored(running []trial) error {
	all := s.Known
	for _, one := range []*result{s.Current, s.BestSoFar} {
		if one != nil {
			all = append(all[:len(all):len(all)], *one)
		}
	}
	for _, n := range s.Unasked {
		all = append(all[:len(all):len(all)], result{Configuration: n})
	}
	if err := s.space.checkResults(all); err != nil {
		return err
	}
	here := 0
	for _, t := range running {
		if t.Slot == s.Place {
			here++
		}
	}
	if s.Starting {
		here--
	}
	switch {
	case s.Place < 0 || s.Waiting != here:
		return fmt.Errorf("place %d waits for %d neighbours, %d are under way", s.Place, s.Waiting, here)
	case s.Current == nil && (s.Expanded || s.BestSoFar != nil || s.Waiting > 0 || s.Unasked != nil) || s.Current != nil && s.Starting:
		return errors.New("a local search that has neighbours and no place")
	}
	for _, k := range s.Known {
		s.known[k.Configuration] = k.Error
	}
	return nil
}
