package stability

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/results"
)

// search is a finished run of an algorithm whose final test error is given.
func search(t testing.TB, algorithm string, seed uint64, final float64) *results.History {
	h := history(t, seed, 0.09, 0.06, final)
	h.Run = testRun(t, "2", algorithm, seed, map[string]any{"epochs": 2, "evaluate": "before"})
	h.Dir = "runs/" + h.Run.Name()
	return h
}

// searches are those of seeds 0, 1, ...
func searches(t testing.TB, algorithm string, finals ...float64) (all []*results.History) {
	for seed, final := range finals {
		all = append(all, search(t, algorithm, uint64(seed), final))
	}
	return all
}

func tabulate(t *testing.T, runs []*results.History, wanted ...uint64) *Table {
	t.Helper()
	table, err := Tabulate(runs, nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTabulate(t *testing.T) {
	runs := slices.Concat(searches(t, "darts", 0.07, 0.08, 0.12), searches(t, "gdas", 0.10))
	runs[1].Epochs[0].Hessian = nil
	runs[1].Epochs[1].Hessian = nil
	failed := search(t, "gdas", 2, 0.5)
	failed.Status = results.Status{State: results.Failed, Message: "the loss is NaN"}
	table := tabulate(t, append(runs, failed))
	if len(table.Curves) != 2 {
		t.Fatalf("%d curves", len(table.Curves))
	}
	darts, gdas := table.Curves[0], table.Curves[1]
	s, ok := darts.Statistic(FinalError)
	if !ok || !slices.Equal(s.Values, []float64{0.07, 0.08, 0.12}) || math.Abs(s.Mean-0.09) > 1e-15 || s.Std == nil ||
		math.Abs(*s.Std-math.Sqrt(0.0007)) > 1e-12 || s.Interval == nil || s.Interval.Low < 0.07 || s.Interval.High > 0.12 || s.Lacking != nil {
		t.Errorf("final error %+v", s)
	}
	if s, _ := darts.Statistic(EigenvalueGrowth); len(s.Values) != 2 || !slices.Equal(s.Lacking, []uint64{1}) {
		t.Errorf("growth of λ %+v", s)
	}
	if _, ok := darts.Statistic(FinalRegret); ok {
		t.Error("a regret without an anchor")
	}
	if s, _ := gdas.Statistic(FinalError); len(s.Values) != 1 || s.Std != nil || s.Interval != nil {
		t.Errorf("of one seed %+v", s)
	}
	if !slices.Equal(gdas.Seeds, []uint64{0}) || !slices.Equal(gdas.Missing, []uint64{1}) ||
		!slices.Equal(gdas.Incomplete, []Incomplete{{2, results.Failed, 3, "the loss is NaN"}}) {
		t.Errorf("gdas %+v", gdas)
	}
	want := []string{
		"space 2, darts: no eigenvalue_growth of seed 1",
		"space 2, gdas: no run of seed 1; seed 2 failed after 3 records (the loss is NaN)",
	}
	if diff := cmp.Diff(want, table.Lacking()); diff != "" {
		t.Errorf("lacking (-want +got):\n%s", diff)
	}
	if table := tabulate(t, runs, 0, 1, 2, 3); !slices.Equal(table.Curves[0].Missing, []uint64{3}) {
		t.Errorf("missing of the wanted ones %v", table.Curves[0].Missing)
	}
	if table := tabulate(t, nil); len(table.Curves) != 0 {
		t.Error("curves of no runs")
	}
}

func TestMixedRunsAreRefused(t *testing.T) {
	a, b := search(t, "darts", 0, 0.1), search(t, "gdas", 0, 0.1)
	p := b.Run.Provenance
	p.Scale = "6 cells"
	var err error
	if b.Run, err = results.NewRun("2", "gdas", 0, p, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	_, err = Tabulate([]*results.History{a, b}, nil, nil)
	var mixed *results.MixedError
	if !errors.As(err, &mixed) || mixed.Field != "scale" {
		t.Fatalf("error %v", err)
	}
	if _, err := Tabulate([]*results.History{a, a}, nil, nil); err == nil {
		t.Error("the same run twice")
	}
	// What trains on no images goes with everything on the same table.
	p = b.Run.Provenance
	p.Images, p.ImagesDigest, p.Scale, p.Engine = results.NoImages, "none", "table queries", "none"
	if b.Run, err = results.NewRun("2", "random-search", 0, p, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Tabulate([]*results.History{b, a}, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestCompare(t *testing.T) {
	eight := []float64{0.071, 0.082, 0.093, 0.074, 0.085, 0.096, 0.077, 0.088}
	var worse []float64
	for i, x := range eight {
		worse = append(worse, x+0.01+0.001*float64(i))
	}
	tests := map[string]struct {
		runs []*results.History
		want Comparison
	}{
		"paired": {slices.Concat(searches(t, "darts", eight...), searches(t, "gdas", worse...)), Comparison{Tested: &Tested{
			Test: SignedRank, Method: stats.Exact, N: 8, M: 8, P: 2.0 / 256, Corrected: 2.0 / 256, Effect: 1,
		}}},
		"six in common": {slices.Concat(searches(t, "darts", eight...), searches(t, "gdas", worse[:6]...)), Comparison{Tested: &Tested{
			Test: SignedRank, Method: stats.Exact, N: 6, M: 6, P: 2.0 / 64, Corrected: 2.0 / 64, Effect: 1,
		}, Note: "0 and 2 seeds without a partner are left out"}},
		"few pairs": {slices.Concat(searches(t, "darts", eight[:3]...), searches(t, "gdas", worse[:3]...)), Comparison{Tested: &Tested{
			Test: SignedRank, Method: stats.Exact, N: 3, M: 3, P: 0.25, Corrected: 0.25, Effect: 1,
		}, Note: "too few seeds: p cannot be below 0.25"}},
		"different seeds": {slices.Concat(searches(t, "darts", 0.07, 0.08, 0.09, 0.10, 0.11), searches(t, "gdas", 0.12, 0.13, 0.14, 0.15)), Comparison{Tested: &Tested{
			Test: RankSum, Method: stats.Exact, N: 4, M: 5, P: 2.0 / 126, Corrected: 2.0 / 126, Effect: 1,
		}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all, err := tabulate(t, test.runs).Compare("darts", []Name{FinalError}, 0.05)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d comparisons, %v", len(all), err)
			}
			got := all[0]
			test.want.Space, test.want.Measure, test.want.Algorithm, test.want.Against = "2", FinalError, "gdas", "darts"
			test.want.Mean, test.want.Reference, test.want.A12 = got.Mean, got.Reference, got.A12
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("comparison (-want +got):\n%s", diff)
			}
			if !(got.Mean > got.Reference) || got.A12 < 0.5 {
				t.Errorf("means %v and %v, A12 %v", got.Mean, got.Reference, got.A12)
			}
		})
	}
}

// TestCompareFamily: Holm's family is the algorithms that one measure is compared
// over, and says so where it makes significance impossible.
func TestCompareFamily(t *testing.T) {
	six := []float64{0.071, 0.082, 0.093, 0.074, 0.085, 0.096}
	runs := searches(t, "darts", six...)
	for _, other := range []string{"gdas", "nasp"} {
		var finals []float64
		for i, x := range six {
			finals = append(finals, x+0.01+0.001*float64(i))
		}
		runs = append(runs, searches(t, other, finals...)...)
	}
	enas := searches(t, "enas", six...)
	for _, h := range enas {
		for i := range h.Epochs {
			h.Epochs[i].Hessian = nil
		}
	}
	all, err := tabulate(t, append(runs, enas...)).Compare("darts", []Name{FinalError, EigenvalueGrowth}, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 6 {
		t.Fatalf("%d comparisons", len(all))
	}
	for _, c := range all {
		switch {
		case c.Measure == FinalError && c.Algorithm == "enas":
			if c.P != 1 || c.Effect != 0 {
				t.Errorf("equal runs: %+v", c)
			}
		case c.Measure == FinalError:
			if math.Abs(c.Corrected-3*c.P) > 1e-15 || !strings.Contains(c.Note, "to be significant alone: p corrected for 3 comparisons cannot be below 0.0938") {
				t.Errorf("%+v", c)
			}
		case c.Algorithm == "enas":
			if c.Tested != nil || c.Note != "not compared: no values" {
				t.Errorf("no Hessian: %+v", c)
			}
		}
	}
	for i := range runs[0].Epochs[:2] {
		runs[0].Epochs[i].Hessian.Definition = "another"
	}
	if all, err = tabulate(t, runs).Compare("darts", []Name{EigenvalueGrowth}, 0.05); err != nil || all[0].Tested != nil || all[0].Note != "not compared: λ is defined differently" {
		t.Errorf("λ of two definitions: %+v, %v", all, err)
	}
	if _, err := tabulate(t, runs).Compare("dartz", Compared, 0.05); err == nil {
		t.Error("compared with an algorithm that did not run")
	}
	if _, err := tabulate(t, runs).Compare("darts", Compared, 1); err == nil {
		t.Error("compared at level 1")
	}
}

func TestList(t *testing.T) {
	for want, seeds := range map[string][]uint64{"": nil, "3": {3}, "0-4, 7": {0, 1, 2, 3, 4, 7}, "1, 3-4": {1, 3, 4}} {
		if got := List(seeds); got != want {
			t.Errorf("%v is written %q, want %q", seeds, got, want)
		}
	}
}

// TestEverySeedIsAccountedFor: no run is dropped without a word, whatever its
// state.
func TestEverySeedIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var runs []*results.History
		states := []results.State{results.Finished, results.Running, results.Interrupted, results.Failed}
		for _, algorithm := range []string{"darts", "gdas"} {
			for seed := range uint64(5) {
				if rapid.Bool().Draw(rt, "there") {
					h := search(t, algorithm, seed, rapid.Float64Range(0.06, 0.2).Draw(rt, "final"))
					h.Status.State = rapid.SampledFrom(states).Draw(rt, "state")
					runs = append(runs, h)
				}
			}
		}
		table, err := Tabulate(runs, nil, []uint64{0, 1, 2, 3, 4})
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range table.Curves {
			if n := len(c.Seeds) + len(c.Missing) + len(c.Incomplete); n != 5 {
				rt.Fatalf("%d of 5 seeds", n)
			}
			for _, s := range c.Statistics {
				if len(s.Values)+len(s.Lacking) != len(c.Seeds) {
					rt.Fatalf("%s has %d values and lacks %d of %d", s.Measure, len(s.Values), len(s.Lacking), len(c.Seeds))
				}
			}
		}
	})
}

// TestRetrained: evaluations that were made otherwise than most do not count, and say so.
func TestRetrained(t *testing.T) {
	runs := slices.Concat(searches(t, "darts", 0.07, 0.08, 0.12), searches(t, "gdas", 0.10, 0.11))
	evaluate := func(h *results.History, preset, on string, testError float64) {
		h.Evaluation = &results.Evaluation{Provenance: results.Provenance{Preset: preset}, Recipe: results.Recipe{MeasuredOn: on}, Test: results.Score{Accuracy: 1 - testError}}
	}
	if table := tabulate(t, runs); table.Evaluated != nil {
		t.Error("an evaluation of runs without one")
	}
	evaluate(runs[0], "small", results.PartTest, 0.25)
	evaluate(runs[1], "quick", results.PartTest, 0.5)
	evaluate(runs[3], "small", results.PartTest, 0.125)
	evaluate(runs[4], "small", results.PartSecondHalf, 0.5)
	table := tabulate(t, runs)
	if table.Evaluated == nil || table.Evaluated.Provenance.Preset != "small" || table.OtherEvaluations != 1 {
		t.Errorf("evaluated %v, others %d", table.Evaluated, table.OtherEvaluations)
	}
	darts, _ := table.Curves[0].Statistic(RetrainedError)
	gdas, _ := table.Curves[1].Statistic(RetrainedError)
	if !slices.Equal(darts.Values, []float64{0.25}) || !slices.Equal(darts.Lacking, []uint64{1, 2}) ||
		!slices.Equal(gdas.Values, []float64{0.125}) || !slices.Equal(gdas.Lacking, []uint64{1}) {
		t.Errorf("darts %+v, gdas %+v", darts, gdas)
	}
}
