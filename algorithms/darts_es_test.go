package algorithms_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
)

var robustDARTS = algorithms.StopRule{Window: 5, Distance: 4, Factor: 1.3, Start: 10, Every: 1}

// firstStop feeds eigenvalues one by one, and returns the epoch at which the
// rule stops and the one it goes back to, or -1.
func firstStop(rule algorithms.StopRule, eigenvalues []float64) (at, back int) {
	for e := range eigenvalues {
		if back, stop := rule.Stop(eigenvalues[:e+1]); stop {
			return e, back
		}
	}
	return -1, -1
}

func TestStopRule(t *testing.T) {
	flat := slices.Repeat([]float64{0.2}, 60)
	jump := func(at int) []float64 {
		v := slices.Clone(flat)
		for e := at; e < len(v); e++ {
			v[e] = 1
		}
		return v
	}
	everySecond := robustDARTS
	everySecond.Every = 2
	rising := make([]float64, 60)
	for e := range rising {
		rising[e] = math.Pow(1.1, float64(e))
	}
	slow := make([]float64, 60)
	for e := range slow {
		slow[e] = math.Pow(1.05, float64(e))
	}
	for _, tt := range []struct {
		name        string
		rule        algorithms.StopRule
		eigenvalues []float64
		at, back    int
	}{
		{"flat", robustDARTS, flat, -1, -1},
		{"rises from the start: the first epoch that may stop", robustDARTS, rising, 16, 10},
		{"every second epoch", everySecond, rising, 22, 10},
		{"1.05⁴ < 1.3", robustDARTS, slow, -1, -1},
		// At 30 the mean of 26..30 is (4·0.2+1)/5 = 0.36, that of four epochs before 0.2.
		{"jump", robustDARTS, jump(30), 30, 24},
		{"jump before the start", robustDARTS, jump(5), -1, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if at, back := firstStop(tt.rule, tt.eigenvalues); at != tt.at || back != tt.back {
				t.Errorf("stops at %d, back to %d, want %d, %d", at, back, tt.at, tt.back)
			}
		})
	}
}

// The means of a window that fills, of every second eigenvalue, and at the end.
func TestStopRuleAverages(t *testing.T) {
	rule := algorithms.StopRule{Window: 4, Distance: 1, Factor: 2, Start: 0, Every: 2}
	eigenvalues := []float64{1, 100, 2, 100, 6, 100, 3, 100, 9, 18}
	for _, tt := range []struct {
		seen, epochs int
		want         []float64
	}{
		{4, 0, nil},
		{5, 0, []float64{3}},
		{8, 0, []float64{3, 3}},
		{9, 0, []float64{3, 3, 5}},
		{10, 0, []float64{3, 3, 5}},
		{10, 10, []float64{3, 3, 5, 9, 10}},
		{9, 9, []float64{3, 3, 5, 6}}, // the last one counts once
	} {
		if got := rule.Averages(eigenvalues[:tt.seen], tt.epochs); !slices.Equal(got, tt.want) {
			t.Errorf("%d of %d eigenvalues have the averages %v, want %v", tt.seen, tt.epochs, got, tt.want)
		}
	}
	for epoch, want := range map[int]int{0: -1, 2: -1, 4: 0, 6: 2, 8: 4} {
		if got := rule.Centre(epoch); got != want {
			t.Errorf("the average of epoch %d belongs to %d, want %d", epoch, got, want)
		}
	}
}

// A rule knows no units, and never goes back before its start or to an epoch
// that has no eigenvalue.
func TestStopRuleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := algorithms.StopRule{
			Window: rapid.IntRange(3, 8).Draw(t, "window"), Distance: rapid.IntRange(1, 6).Draw(t, "distance"),
			Factor: rapid.Float64Range(1, 2).Draw(t, "factor"), Start: rapid.IntRange(0, 20).Draw(t, "start"),
			Every: rapid.IntRange(1, 3).Draw(t, "every"),
		}
		eigenvalues := rapid.SliceOfN(rapid.Float64Range(1e-3, 10), 0, 60).Draw(t, "eigenvalues")
		at, back := firstStop(rule, eigenvalues)
		doubled := slices.Clone(eigenvalues)
		for i := range doubled {
			doubled[i] *= 2 // exactly
		}
		if a, b := firstStop(rule, doubled); a != at || b != back {
			t.Errorf("stops at %d, back to %d; with doubled eigenvalues at %d, back to %d", at, back, a, b)
		}
		if at >= 0 && (back < rule.Start || back >= at || back%rule.Every != 0) {
			t.Errorf("stops at %d and goes back to %d", at, back)
		}
	})
}

// When it stops, the search delivers the alphas from after the epoch to which it
// goes back.
func TestEarlyStopGoesBack(t *testing.T) {
	sp := space(t, 1)
	s := searcher(t, "darts-es", algorithms.Config{Space: sp, Seed: 1})
	net := algorithmstest.NewQuadratic(sp.Dim(), 3)
	var after [][]float64
	for epoch := range 40 {
		s.StartEpoch(epoch)
		oneStep(t, s, net)
		after = append(after, s.Alphas())
		if s.(algorithms.Watcher).EpochDone(algorithms.Spectrum{-5, math.Pow(1.1, float64(epoch))}) {
			if epoch != 16 || !slices.Equal(s.Alphas(), after[10]) || slices.Equal(after[10], after[16]) {
				t.Errorf("stopped after epoch %d, alphas of epoch 10: %v", epoch, slices.Equal(s.Alphas(), after[10]))
			}
			return
		}
	}
	t.Error("never stopped")
}
