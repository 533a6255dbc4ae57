package main

import (
	"math"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/spaces"
)

func TestConformance(t *testing.T) {
	algorithmstest.ConformOnEverySpace(t, "sdarts-gaussian")
}

// TestNoise holds the weight steps to σ: none without it, and more of it in the second
// epoch.
func TestNoise(t *testing.T) {
	space := spaces.All()[0]
	step := func(settings algorithms.Settings, epoch int) algorithms.StepInfo {
		t.Helper()
		cfg := algorithmstest.Config("sdarts-gaussian", space, 1)
		cfg.Settings = settings
		s, err := algorithms.New("sdarts-gaussian", cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.StartEpoch(epoch)
		info, err := s.Step(t.Context(), algorithmstest.NewQuadratic(space.Dim(), 5), algorithmstest.Batches{
			algorithms.Train:  {algorithmstest.Batch(1)},
			algorithms.Search: {algorithmstest.Batch(2)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if moved := farthest(step(algorithms.Settings{"sigma-min": 0}, 0)); moved > 1e-15 {
		t.Errorf("σ is 0 and a mixing weight moved by %v", moved)
	}
	if info := step(nil, 0); info.Epsilon != 0.017 || farthest(info) < 0.001 || farthest(info) > 0.1 {
		t.Errorf("the first epoch has σ = %v and moved no mixing weight by more than %v", info.Epsilon, farthest(info))
	}
	if first, second := step(nil, 0), step(nil, 1); second.Epsilon <= first.Epsilon {
		t.Errorf("σ is %v and then %v, want it to grow", first.Epsilon, second.Epsilon)
	}
}

// farthest is how far the noise moved the mixing weight that it moved most.
func farthest(info algorithms.StepInfo) float64 {
	most := 0.0
	for i, weight := range info.Simplex {
		most = max(most, math.Abs(info.Mixing[i]-weight))
	}
	return most
}

// counting wraps a searcher without hiding what it can do: it counts the steps.
type counting struct {
	algorithms.Relaxed
	steps int
}

func (c *counting) StartEpoch(epoch int) {
	c.steps = 0
	c.Relaxed.StartEpoch(epoch)
}

// careless wraps one and hides that it has alphas.
type careless struct{ algorithms.Searcher }

// TestWrappers shows how to wrap the searcher of another algorithm, and that a wrapper
// which would lose the Hessian is refused.
func TestWrappers(t *testing.T) {
	wrapped := func(wrap func(algorithms.Searcher) algorithms.Searcher) (algorithms.Searcher, error) {
		d, err := algorithms.Lookup("sdarts-rs")
		if err != nil {
			t.Fatal(err)
		}
		inner := d.New
		d.New = func(cfg algorithms.Config) (algorithms.Searcher, error) {
			s, err := inner(cfg)
			if err != nil {
				return nil, err
			}
			return wrap(s), nil
		}
		return d.NewSearcher(algorithms.Config{Space: spaces.All()[0], Cells: 3, Epochs: 1})
	}
	s, err := wrapped(func(s algorithms.Searcher) algorithms.Searcher { return &counting{Relaxed: s.(algorithms.Relaxed)} })
	if err != nil {
		t.Errorf("a wrapper that embeds Relaxed: %v", err)
	} else if _, relaxed := s.(algorithms.Relaxed); !relaxed {
		t.Error("a wrapper that embeds Relaxed has no alphas")
	}
	_, err = wrapped(func(s algorithms.Searcher) algorithms.Searcher { return careless{s} })
	if err == nil || !strings.Contains(err.Error(), "embed that as Relaxed") {
		t.Errorf("a wrapper without alphas: got error %v, want one that says what to embed", err)
	}
}
