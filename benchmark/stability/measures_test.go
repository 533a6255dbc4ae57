package stability

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

func ptr[T any](x T) *T { return &x }

// testRun describes a run on made-up images and a made-up table.
func testRun(t testing.TB, space spaces.Name, algorithm string, seed uint64, config map[string]any) results.Run {
	t.Helper()
	run, err := results.NewRun(space, algorithm, seed, results.Provenance{
		Images: "procedural", ImagesDigest: "aa11", Table: "surrogate", TableDigest: "bb22", Preset: "quick",
		Scale: "3 cells", Engine: "cpu", Precision: "float32", Device: "CPU, amd64, AVX-512",
	}, config)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// history is a finished run of the given anytime test errors, the last of them
// that of the final record; λ doubles in every epoch.
func history(t testing.TB, seed uint64, errs ...float64) *results.History {
	t.Helper()
	h := &results.History{
		Dir:    fmt.Sprintf("runs/%d", seed),
		Run:    testRun(t, "2", "darts", seed, map[string]any{"epochs": len(errs) - 1, "evaluate": "before"}),
		Status: results.Status{State: results.Finished},
	}
	for i, x := range errs {
		e := results.Epoch{
			Epoch: i, Final: i == len(errs)-1,
			Cell:      results.Cell{Matrix: [][]int{{0, 1}, {0, 0}}, Operations: []string{"input", "output"}, Hash: "043721b9c7fe8c5fad811d47d83132ec"},
			Lookup:    results.Lookup{Source: "surrogate", TestError: ptr(x)},
			Structure: &results.Structure{ParameterFree: 0.25 * float64(i), Width: 2.5, Depth: 3},
		}
		if i > 0 {
			e.Structure.Changed = ptr(i)
		}
		if !e.Final {
			λ := 0.5 * math.Pow(2, float64(i))
			e.Training = &results.Training{Loss: 2}
			e.Projection = &results.Projection{Gap: 0.125 * float64(i+1)}
			e.Hessian = &results.Hessian{Eigenvalues: []float64{λ}, Reported: λ, SpectralNorm: λ, Min: λ, Batch: 4, Definition: "largest"}
			e.Seconds = map[string]float64{"steps": 1.5, "hessian": 0.5}
		}
		h.Epochs = append(h.Epochs, e)
	}
	return h
}

func TestMeasures(t *testing.T) {
	anchor := Anchor{TestError: 0.05, Source: "test"}
	whole := Measures{
		FinalError: 0.08, BestError: 0.06, Degradation: 0.02, FinalRegret: 0.03, BestRegret: 0.01,
		MeanError: 0.075, BestEpoch: 1, EigenvalueGrowth: 4, Flips: 6, ParameterFree: 0.75, Width: 2.5, Depth: 3,
		ProjectionGap: 0.375, Seconds: 6, SecondsPerEpoch: 2,
	}
	without := func(names ...Name) Measures {
		m := Measures{}
		for name, x := range whole {
			m[name] = x
		}
		for _, name := range names {
			delete(m, name)
		}
		return m
	}
	tests := map[string]struct {
		shape  func(h *results.History)
		anchor Anchor
		want   Measures
	}{
		"whole":     {nil, anchor, whole},
		"no anchor": {nil, Anchor{}, without(FinalRegret, BestRegret)},
		"no Hessian": {func(h *results.History) {
			for i := range h.Epochs {
				h.Epochs[i].Hessian = nil
			}
		}, anchor, without(EigenvalueGrowth)},
		"λ starts at 0": {func(h *results.History) { h.Epochs[0].Hessian.Reported = 0 }, anchor, without(EigenvalueGrowth)},
		"λ once": {func(h *results.History) {
			h.Epochs[1].Hessian, h.Epochs[2].Hessian = nil, nil
		}, anchor, without(EigenvalueGrowth)},
		"no structure": {func(h *results.History) {
			for i := range h.Epochs {
				h.Epochs[i].Structure = nil
			}
		}, anchor, without(ParameterFree, Width, Depth, Flips)},
		"no change recorded": {func(h *results.History) { h.Epochs[2].Structure.Changed = nil }, anchor, without(Flips)},
		"no projection": {func(h *results.History) {
			for i := range h.Epochs {
				h.Epochs[i].Projection = nil
			}
		}, anchor, without(ProjectionGap)},
		"no times": {func(h *results.History) { h.Epochs[1].Seconds = nil }, anchor, without(Seconds, SecondsPerEpoch)},
		"an error unknown": {func(h *results.History) { h.Epochs[0].Lookup.TestError = nil }, anchor,
			without(BestError, Degradation, BestRegret, MeanError, BestEpoch)},
		"final error unknown": {func(h *results.History) { h.Epochs[3].Lookup.TestError = nil }, anchor,
			without(FinalError, FinalRegret, BestError, Degradation, BestRegret, MeanError, BestEpoch)},
		"interrupted":     {func(h *results.History) { h.Status.State = results.Interrupted }, anchor, Measures{}},
		"failed":          {func(h *results.History) { h.Status.State = results.Failed }, anchor, Measures{}},
		"no final record": {func(h *results.History) { h.Epochs = h.Epochs[:3] }, anchor, Measures{}},
		"no records":      {func(h *results.History) { h.Epochs = nil }, anchor, Measures{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := history(t, 0, 0.09, 0.06, 0.07, 0.08)
			if test.shape != nil {
				test.shape(h)
			}
			if diff := cmp.Diff(test.want, Of(h, test.anchor), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMeasuresEvaluatedAfter: the final record repeats the last one, and counts
// once.
// The same records give the same number, to its last bit.
func TestSecondsInOneOrder(t *testing.T) {
	h := history(t, 0, 0.1, 0.1)
	h.Epochs[0].Seconds = map[string]float64{"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.7, "e": 1e-9}
	want := Of(h, Anchor{})[Seconds]
	for range 100 {
		if got := Of(h, Anchor{})[Seconds]; got != want {
			t.Fatalf("%v seconds, then %v", want, got)
		}
	}
}

func TestMeasuresEvaluatedAfter(t *testing.T) {
	h := history(t, 0, 0.09, 0.06, 0.06)
	h.Run = testRun(t, "2", "enas", 0, map[string]any{"evaluate": "after"})
	m := Of(h, Anchor{})
	if got, want := m[MeanError], 0.075; math.Abs(got-want) > 1e-12 {
		t.Errorf("mean error %v, want %v", got, want)
	}
	if m[BestEpoch] != 1 || m[Degradation] != 0 {
		t.Errorf("best at %v, degradation %v", m[BestEpoch], m[Degradation])
	}
}

func TestDefinitions(t *testing.T) {
	for name := range Of(history(t, 0, 0.1, 0.2, 0.3), Anchor{TestError: 0.05, Source: "test"}) {
		if _, ok := Lookup(name); !ok {
			t.Errorf("%s has no definition", name)
		}
	}
	if _, ok := Lookup("nothing"); ok {
		t.Error("a definition of nothing")
	}
	seen := map[Name]bool{}
	for _, d := range Definitions {
		if seen[d.Name] || d.Title == "" {
			t.Errorf("%s is defined twice or without a title", d.Name)
		}
		seen[d.Name] = true
	}
}

// constant is an oracle that answers alike for every cell.
type constant struct {
	digest string
	err    error
}

func (c constant) Query(cell.Spec) (nasbench.Metrics, error) {
	return nasbench.Metrics{TestError: 0.125}, c.err
}
func (c constant) Source() nasbench.Source {
	return nasbench.Source{Kind: "constant", Digest: c.digest}
}
func (c constant) Close() error { return nil }

func TestAnchors(t *testing.T) {
	h := history(t, 0, 0.1, 0.2)
	h.Run.Space = "1"
	published := Anchor{TestError: 0.05448716878890991, ValidationError: 0.049278855323791504, Source: "published: lowest of any single training run"}
	other := *h
	other.Run.Provenance.TableDigest = "cc33"
	predicted := *h
	predicted.Run.Provenance.TableDigest = nasbench.Default().Source().Digest
	tests := map[string]struct {
		runs    []*results.History
		oracles []nasbench.Oracle
		want    Anchor
	}{
		"the surrogate":   {[]*results.History{&predicted}, []nasbench.Oracle{constant{digest: "cc33"}}, Anchor{TestError: 0.0607844, ValidationError: 0.0520187, Source: "lowest that the embedded surrogate predicts"}},
		"partly":          {[]*results.History{&predicted, h}, []nasbench.Oracle{nasbench.Default()}, published},
		"no table":        {[]*results.History{h}, nil, published},
		"another table":   {[]*results.History{h}, []nasbench.Oracle{constant{digest: "cc33"}}, published},
		"the runs' table": {[]*results.History{h}, []nasbench.Oracle{constant{digest: "cc33"}, constant{digest: "bb22"}}, Anchor{TestError: 0.125, Source: "lowest mean of the table's cells (constant)"}},
		"tables disagree": {[]*results.History{h, &other}, []nasbench.Oracle{constant{digest: "bb22"}}, published},
		"first that fits": {[]*results.History{h}, []nasbench.Oracle{constant{digest: "bb22"}, constant{"bb22", errors.New("never asked")}}, Anchor{TestError: 0.125, Source: "lowest mean of the table's cells (constant)"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Anchors(t.Context(), test.runs, test.oracles...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[spaces.Name]Anchor{"1": test.want}, got); diff != "" {
				t.Errorf("anchors (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Anchors(t.Context(), []*results.History{h}, constant{"bb22", errors.New("broken")}); err == nil {
		t.Error("a broken table gives an anchor")
	}
	if _, err := Published("4"); err == nil {
		t.Error("an anchor of space 4")
	}
}
