package algorithms

import (
	"testing"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// Evolution finds better cells than it starts from, and keeps its population.
func TestEvolution(t *testing.T) {
	space := nb1shot1.All()[2]
	s, err := New("regularized-evolution", Config{
		Space: space.Space, Cells: 1, Epochs: 40, Seed: 3,
		Settings: Settings{"population": 10, "sample": 4},
		Query: func(a spaces.Architecture) (float64, error) {
			e := 0.9
			g := space.Genotype(a)
			for _, op := range g.Ops {
				if op == nb1shot1.Conv3x3 {
					e -= 0.1
				}
			}
			return e + 0.01*float64(len(g.Parents[6])-g.Parents[6][0]), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := s.(*tableSearch)
	var first float64
	for epoch := range 40 {
		e.StartEpoch(epoch)
		for range e.Steps(nil) {
			if _, err := e.Step(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if epoch == 0 {
			first = e.best.Error
		}
		if len(e.members) != 10 {
			t.Fatalf("%d members", len(e.members))
		}
	}
	mean := 0.0
	for _, m := range e.members {
		mean += m.Error / 10
	}
	if !(e.best.Error < first && mean < first) {
		t.Errorf("best %v, population's mean %v, best of the first epoch %v", e.best.Error, mean, first)
	}
}
