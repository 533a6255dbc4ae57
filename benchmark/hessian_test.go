package benchmark_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/spaces"
)

// The presets small and quick take λ on four fixed batches where there is a λ, the others on
// the last batch as released, and hessian=last gives what the preset was before.
func TestPresetHessian(t *testing.T) {
	for _, of := range []struct {
		preset, space, algorithm string
		hessian                  string
		batches                  int
	}{
		{"paper", "1", "darts", "last", 1}, {"smoke", "1", "darts", "last", 1},
		{"small", "2", "sdarts-adv", "fixed", 4}, {"quick", "3", "gdas", "fixed", 4},
		{"quick", "1", "random-search", "last", 1}, {"small", "1", "enas", "last", 1}, {"quick", "darts-s2", "darts", "fixed", 4},
		{"small", "darts", "pc-darts", "fixed", 4}, {"smoke", "darts-s1", "darts", "last", 1}, {"quick", "darts", "random-ws", "last", 1},
	} {
		c := configOf(t, of.preset, of.space, of.algorithm)
		if c.Hessian != of.hessian || c.HessianBatches != of.batches {
			t.Errorf("%s of %s on space %s: hessian %s on %d batches, want %s on %d", of.preset, of.algorithm, of.space, c.Hessian, c.HessianBatches, of.hessian, of.batches)
		}
	}
	c := configOf(t, "quick", "1", "darts")
	for _, step := range []struct {
		name, value string
		batches     int
	}{{"hessian", "last", 1}, {"hessian", "fixed", 4}, {"hessian-batches", "6", 6}, {"hessian", "full", 6}} {
		if err := c.Set(step.name, step.value); err != nil {
			t.Fatal(err)
		}
		if c.HessianBatches != step.batches || c.Check() != nil {
			t.Errorf("after %s=%s there are %d batches, %v, want %d", step.name, step.value, c.HessianBatches, c.Check(), step.batches)
		}
	}
}

func configOf(t *testing.T, preset, space, algorithm string) benchmark.Config {
	t.Helper()
	c, err := benchmark.NewConfig(preset, spaces.Name(space), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
