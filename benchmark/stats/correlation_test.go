package stats

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestCorrelations compares with the definitions, evaluated apart from this package on pairs with ties,
// and with an overlap that was counted by hand.
func TestCorrelations(t *testing.T) {
	x := []float64{12, 2, 1, 12, 2, 7, 5, 5}
	y := []float64{1, 4, 7, 1, 0, 3, 4, 9}
	for name, test := range map[string]struct {
		of   func(x, y []float64) (float64, error)
		want float64
	}{
		"kendall": {KendallTau, -0.3922322702763681}, "spearman": {Spearman, -0.4049155956077707}, "pearson": {Pearson, -0.441914937889358},
	} {
		got, err := test.of(x, y)
		if err != nil || !near(got, test.want, 1e-12) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
		if got, err := test.of([]float64{1, 2}, []float64{3, 3}); got != 0 || err != nil {
			t.Errorf("%s of what does not vary: %v, %v, want 0", name, got, err)
		}
		for _, bad := range [][2][]float64{{{1, 2}, {1}}, {{1}, {1}}, {{1, math.NaN()}, {1, 2}}} {
			if _, err := test.of(bad[0], bad[1]); err == nil {
				t.Errorf("%s of %v is taken", name, bad)
			}
		}
	}
	// The 3 lowest of x are 1 and both 2, of y 0 and two of {1, 1}: 0 is in both.
	if got, err := TopOverlap(x, y, 3); err != nil || !near(got, 1.0/3, 1e-12) {
		t.Errorf("overlap %v, %v, want 1/3", got, err)
	}
	// Of the lowest 2 of y one is 0 and the other one of two; the 2 lowest of x are 1 and one of two, of which one has y = 0.
	if got, err := TopOverlap(x, y, 2); err != nil || !near(got, 0.25, 1e-12) {
		t.Errorf("overlap %v, %v, want 1/4", got, err)
	}
	for _, k := range []int{0, 9} {
		if _, err := TopOverlap(x, y, k); err == nil {
			t.Errorf("the %d lowest of 8 are taken", k)
		}
	}
}

// TestKendallTau compares with the statistic of the test, which counts pair by pair.
func TestKendallTau(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(t, "n")
		values := rapid.SliceOfN(rapid.Float64Range(-2, 2), n, n)
		coarse := rapid.Bool().Draw(t, "ties")
		x, y := values.Draw(t, "x"), values.Draw(t, "y")
		if coarse {
			for i := range x {
				x[i], y[i] = math.Round(x[i]), math.Round(y[i])
			}
		}
		want, err := Kendall(x, y, TwoSided)
		if err != nil {
			t.Fatal(err)
		}
		got, err := KendallTau(x, y)
		if err != nil || !near(got, want.Statistic, 1e-12) {
			t.Errorf("%v, %v, want %v", got, err, want.Statistic)
		}
		back, _ := KendallTau(y, x)
		if got != back {
			t.Errorf("%v, exchanged %v", got, back)
		}
	})
}
