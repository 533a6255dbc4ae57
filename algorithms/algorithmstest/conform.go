package algorithmstest

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
)

const (
	epochs        = 2
	stepsPerEpoch = 3
)

// Conform runs the suite on a registered algorithm with its default settings:
// steps are finite and reproducible, mixing weights are on the simplex, what is
// handed out is not shared, and a saved state continues with the same numbers.
// newNet returns equal supernets on every call; train and search are two batches
// each that they accept.
func Conform(t *testing.T, name string, space *spaces.Space, newNet func() algorithms.Supernet, train, search [2]data.Batch) {
	start := func(seed uint64) algorithms.Searcher {
		t.Helper()
		s, err := algorithms.New(name, algorithms.Config{Space: space, Epochs: epochs, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	step := func(s algorithms.Searcher, net algorithms.Supernet, i int) algorithms.StepInfo {
		t.Helper()
		info, err := s.Step(net, train[i%2], search[i%2])
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	type trace struct {
		Steps  []algorithms.StepInfo
		Alphas [][]float64
	}
	record := func(seed uint64) trace {
		var tr trace
		s, net := start(seed), newNet()
		for e := range epochs {
			s.StartEpoch(e)
			for i := range stepsPerEpoch {
				tr.Steps = append(tr.Steps, step(s, net, i))
				tr.Alphas = append(tr.Alphas, s.Alphas())
			}
		}
		return tr
	}
	want := record(1)

	t.Run("finite", func(t *testing.T) {
		for i, info := range want.Steps {
			scalars := []float64{info.Architecture.Loss, info.Weights.Loss, info.GradientNorm, info.LearningRate, info.Epsilon}
			for field, v := range map[string][]float64{"scalars": scalars, "ArchGradient": info.ArchGradient, "Alphas": want.Alphas[i]} {
				if j := slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }); j >= 0 {
					t.Errorf("step %d: %s[%d] = %v", i, field, j, v[j])
				}
			}
			if info.LearningRate <= 0 || info.GradientNorm <= 0 {
				t.Errorf("step %d: learning rate %v, gradient norm %v, want both positive", i, info.LearningRate, info.GradientNorm)
			}
		}
	})
	t.Run("simplex", func(t *testing.T) {
		for i, info := range want.Steps {
			checkSimplex(t, space, i, "Simplex", info.Simplex)
			checkSimplex(t, space, i, "Mixing", info.Mixing)
		}
	})
	t.Run("deterministic", func(t *testing.T) {
		if diff := cmp.Diff(want, record(1)); diff != "" {
			t.Errorf("two runs of one seed differ:\n%s", diff)
		}
		if cmp.Equal(want.Alphas[0], record(2).Alphas[0]) {
			t.Error("two seeds gave the same alphas")
		}
	})
	t.Run("not shared", func(t *testing.T) {
		s, net := start(1), newNet()
		s.StartEpoch(0)
		info := step(s, net, 0)
		for _, v := range [][]float64{info.ArchGradient, info.Simplex, info.Mixing, s.Alphas(), s.Point()} {
			for i := range v {
				v[i] = 7
			}
		}
		step(s, net, 1)
		if diff := cmp.Diff(want.Alphas[1], s.Alphas()); diff != "" {
			t.Errorf("writing to returned vectors changed the search:\n%s", diff)
		}
	})
	t.Run("state", func(t *testing.T) {
		for cut := range epochs * stepsPerEpoch {
			var got trace
			s, net := start(1), newNet()
			for i := range epochs * stepsPerEpoch {
				if i%stepsPerEpoch == 0 {
					s.StartEpoch(i / stepsPerEpoch)
				}
				if i == cut {
					saved, err := s.State()
					if err != nil {
						t.Fatal(err)
					}
					s = start(1)
					if err := s.SetState(saved); err != nil {
						t.Fatal(err)
					}
				}
				got.Steps = append(got.Steps, step(s, net, i%stepsPerEpoch))
				got.Alphas = append(got.Alphas, s.Alphas())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("restored before step %d, the run differs:\n%s", cut, diff)
			}
		}
	})
	t.Run("foreign state", func(t *testing.T) {
		s := start(1)
		before := s.Alphas()
		for _, b := range []string{"", "{}", "null", "[1,2]", `{"algorithm":"` + name + `"}`} {
			if err := s.SetState([]byte(b)); err == nil {
				t.Errorf("state %q was accepted", b)
			}
		}
		if diff := cmp.Diff(before, s.Alphas()); diff != "" {
			t.Errorf("a refused state changed the alphas:\n%s", diff)
		}
	})
}

func checkSimplex(t *testing.T, space *spaces.Space, step int, field string, v []float64) {
	t.Helper()
	if len(v) != space.Dim() {
		t.Errorf("step %d: %s has %d entries, want %d", step, field, len(v), space.Dim())
		return
	}
	for _, tensor := range space.Tensors() {
		for row := range tensor.Rows {
			lo := tensor.Offset + row*tensor.Cols
			sum := 0.0
			for _, x := range v[lo : lo+tensor.Cols] {
				if !(x >= 0 && x <= 1) {
					t.Errorf("step %d: %s of %s has the entry %v", step, field, tensor.Name, x)
				}
				sum += x
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("step %d: row %d of %s of %s sums to %v", step, row, field, tensor.Name, sum)
			}
		}
	}
}
