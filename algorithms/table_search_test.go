package algorithms

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

// A mutation is another cell of the space that differs in one decision.
func TestMutate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := spaces.All()[rapid.IntRange(0, 2).Draw(t, "space")]
		r := random.New(rapid.Uint64().Draw(t, "seed"), "test")
		a := space.Sample(r)
		before := a.Cell()
		b := mutate(space, a, r)
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if again := a.Cell(); again.AdjacencyBits() != before.AdjacencyBits() {
			t.Fatal("the parent changed")
		}
		changed := 0
		for i, op := range a.Ops {
			if op != b.Ops[i] {
				changed++
			}
		}
		for i := range a.Parents {
			for j := range a.Parents[i] {
				if a.Parents[i][j] != b.Parents[i][j] {
					changed++
					break
				}
			}
		}
		if changed != 1 {
			t.Fatalf("%d decisions changed from %v to %v", changed, a, b)
		}
	})
}

// Evolution finds better cells than it starts from, and keeps its population.
func TestEvolution(t *testing.T) {
	space := spaces.All()[2]
	s, err := New("regularized-evolution", Config{
		Space: space, Cells: 1, Epochs: 40, Seed: 3,
		Settings: Settings{"population": 10, "sample": 4},
		Query: func(a spaces.Architecture) (float64, error) {
			e := 0.9
			for _, op := range a.Ops {
				if op == spaces.Conv3x3 {
					e -= 0.1
				}
			}
			return e + 0.01*float64(len(a.Parents[6])-a.Parents[6][0]), nil
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
