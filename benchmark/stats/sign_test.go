package stats

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func TestSignTest(t *testing.T) {
	for name, c := range map[string]struct {
		x           []float64
		against     float64
		alternative Alternative
		above, n    int
		p           float64
	}{
		"eight of ten above": {[]float64{1, 2, 3, 4, 5, 6, 7, 8, -1, -2}, 0, Greater, 8, 10, 56.0 / 1024},
		"two-sided":          {[]float64{1, 2, 3, 4, 5, 6, 7, 8, -1, -2}, 0, TwoSided, 8, 10, 112.0 / 1024},
		"less":               {[]float64{1, 2, 3, 4, 5, 6, 7, 8, -1, -2}, 0, Less, 8, 10, 1013.0 / 1024},
		"equal ones left":    {[]float64{10, 10, 11, 12, 9, 13}, 10, Greater, 3, 4, 5.0 / 16},
		"all equal":          {[]float64{10, 10}, 10, Less, 0, 0, 1},
	} {
		got, err := SignTest(c.x, c.against, c.alternative)
		if err != nil || got.Statistic != float64(c.above) || got.N != c.n || got.Zeros != len(c.x)-c.n || !near(got.P, c.p, 1e-15) {
			t.Errorf("%s: %+v, want %d of %d above, p %v; %v", name, got, c.above, c.n, c.p, err)
		}
	}
}

// TestBinomial against sums, and against the incomplete beta function beyond 50.
func TestBinomial(t *testing.T) {
	for _, c := range []struct {
		k, n   int
		chance float64
		a      Alternative
		want   float64
	}{
		{5, 5, 0.25, Greater, 1.0 / 1024}, {0, 3, 0.5, Greater, 1}, {0, 3, 0.5, Less, 1.0 / 8}, {3, 3, 0.5, TwoSided, 0.25}, {1, 2, 0.5, TwoSided, 1},
		{7, 10, 0.25, Greater, 0.0035057}, {60, 100, 0.5, Greater, 0.0284440}, {40, 100, 0.5, Less, 0.0284440},
	} {
		if got, err := Binomial(c.k, c.n, c.chance, c.a); err != nil || !near(got, c.want, 1e-7) {
			t.Errorf("%d of %d at %v: %v, want %v, %v", c.k, c.n, c.chance, got, c.want, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 80).Draw(t, "n")
		k := rapid.IntRange(0, n).Draw(t, "k")
		chance := rapid.Float64Range(0.01, 0.99).Draw(t, "chance")
		got, err := Binomial(k, n, chance, Less)
		if want := (distuv.Binomial{N: float64(n), P: chance}).CDF(float64(k)); err != nil || !near(got, min(want, 1), 1e-9) {
			t.Fatalf("%v, by the beta function %v, %v", got, want, err)
		}
	})
}

func TestMedianInterval(t *testing.T) {
	x := []float64{5, 3, 9, 1, 7, 2, 8, 10, 4, 6}
	for _, c := range []struct {
		n         int
		level     float64
		low, high float64 // 0 for none
	}{
		{4, 0.9, 0, 0}, {5, 0.9, 1, 9}, {5, 0.95, 0, 0}, {6, 0.95, 1, 9}, {10, 0.95, 2, 9}, {10, 0.99, 1, 10}, {1, 0.5, 0, 0},
	} {
		got, found, err := MedianInterval(x[:c.n], c.level)
		if err != nil || found != (c.high > 0) || got != (Interval{c.low, c.high}) {
			t.Errorf("%d values at %v: %v, %v, %v", c.n, c.level, got, found, err)
		}
	}
}

// TestRatioInterval: the sleep of Student (1908) as logarithms, whose interval R gives.
func TestRatioInterval(t *testing.T) {
	first := []float64{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0}
	second := []float64{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4}
	exp := func(x []float64) (y []float64) {
		for _, v := range x {
			y = append(y, math.Exp(v))
		}
		return y
	}
	ratio, i, err := RatioInterval(exp(first), exp(second), 0.95)
	if err != nil || !near(math.Log(ratio), -1.58, 1e-12) || !near(math.Log(i.Low), -3.3654832, 1e-6) || !near(math.Log(i.High), 0.2054832, 1e-6) {
		t.Errorf("%v %v, %v", ratio, i, err)
	}
	if ratio, i, err := RatioInterval([]float64{6}, []float64{2, 2}, 0.95); err != nil || !near(ratio, 3, 1e-12) || i != nil {
		t.Errorf("of one value: %v %v, %v", ratio, i, err)
	}
	if ratio, i, err := RatioInterval([]float64{4, 4}, []float64{2, 2}, 0.95); err != nil || !near(ratio, 2, 1e-12) || !near(i.Low, 2, 1e-12) || !near(i.High, 2, 1e-12) {
		t.Errorf("of equal values: %v %v, %v", ratio, i, err)
	}
}

func TestEquivalence(t *testing.T) {
	y := []float64{6, 6.5, 7, 7.5, 8, 8.5}
	shifted := func(by float64) (x []float64) {
		for i, v := range y {
			x = append(x, v+by+0.01*float64(i))
		}
		return x
	}
	for name, c := range map[string]struct {
		by           float64
		above, below bool // whether p is its lowest
	}{
		"within": {0.1, true, true}, "above": {0.8, true, false}, "below": {-0.8, false, true},
	} {
		above, below, err := Equivalence(Wilcoxon, shifted(c.by), y, 0.5)
		if err != nil || (above.P == 1.0/64) != c.above || (below.P == 1.0/64) != c.below {
			t.Errorf("%s: %v and %v, %v", name, above.P, below.P, err)
		}
	}
	if above, below, err := Equivalence(MannWhitney, []float64{1, 1.1, 0.9}, []float64{1.05, 1, 0.95}, 0.5); err != nil || above.P != 0.05 || below.P != 0.05 {
		t.Errorf("rank sums: %v and %v, %v", above.P, below.P, err)
	}
}

// TestKendall: the tuna of Hollander and Wolfe (1973), page 187, as R works it out;
// SciPy's example of τ-b; single orders.
func TestKendall(t *testing.T) {
	hunter := []float64{44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1}
	panel := []float64{2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8}
	got, err := Kendall(hunter, panel, Greater)
	if err != nil || !near(got.Statistic, 4.0/9, 1e-12) || !near(got.P, 0.05972, 0.008) || got.Method != Resampled || got.Ties {
		t.Errorf("tuna: %+v, %v", got, err)
	}
	if got, err := Kendall([]float64{12, 2, 1, 12, 2}, []float64{1, 4, 7, 1, 0}, TwoSided); err != nil || !near(got.Statistic, -0.4714045207910316, 1e-12) || !got.Ties {
		t.Errorf("ties: %+v, %v", got, err)
	}
	for n := 2; n <= 7; n++ {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i)
		}
		if got, err := Kendall(x, x, Greater); err != nil || got.Statistic != 1 || !near(got.P, KendallFloor(n, Greater), 1e-12) || got.Method != Exact {
			t.Errorf("%d in order: %+v, floor %v, %v", n, got, KendallFloor(n, Greater), err)
		}
	}
	if got, err := Kendall([]float64{1, 1, 1}, []float64{1, 2, 3}, Greater); err != nil || got.Statistic != 0 || got.P != 1 {
		t.Errorf("equal values: %+v, %v", got, err)
	}
	if KendallFloor(9, Greater) != 1.0/(Resamples+1) || KendallFloor(1, TwoSided) != 1 {
		t.Error("floors of one pair and of nine")
	}
}

// TestKendallProperties: against an enumeration of its own, symmetric, whatever the
// order of the pairs.
func TestKendallProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := few(2, 12).Draw(t, "x")
		y := few(len(x), len(x)).Draw(t, "y")
		got, err := Kendall(x, y, Greater)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(indices(len(x))).Draw(t, "order")
		if again, _ := Kendall(permuted(x, order), permuted(y, order), Greater); again != got {
			t.Fatalf("%+v in another order %+v", got, again)
		}
		if back, _ := Kendall(y, x, Greater); !near(back.Statistic, got.Statistic, 1e-12) {
			t.Fatalf("τ %v and %v", got.Statistic, back.Statistic)
		}
		if got.P <= 0 || got.P > 1 || math.Abs(got.Statistic) > 1 || len(x) > 6 || got.P == 1 {
			return
		}
		score := func(y []float64) (s float64) {
			for i := range x {
				for j := range x {
					s += sign(x[i]-x[j]) * sign(y[i]-y[j])
				}
			}
			return s
		}
		more, all := 0, 0
		var visit func(chosen, rest []float64)
		visit = func(chosen, rest []float64) {
			if len(rest) == 0 {
				all++
				if score(chosen) >= score(y) {
					more++
				}
			}
			for i := range rest {
				visit(append(slices.Clone(chosen), rest[i]), slices.Concat(rest[:i], rest[i+1:]))
			}
		}
		visit(nil, y)
		if want := float64(more) / float64(all); !near(got.P, want, 1e-12) {
			t.Fatalf("p %v, by enumeration %v", got.P, want)
		}
	})
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// TestSizes: the formulas of Noether (1987), and what so many values find in
// simulations.
func TestSizes(t *testing.T) {
	for name, c := range map[string]struct {
		size func(effect, alpha, power float64) (int, error)
		effect,
		power float64
		want int
	}{
		"rank sums":            {RankSumSize, 0.7, 0.9, 36},
		"rank sums, other way": {RankSumSize, 0.3, 0.9, 36},
		"signed ranks":         {SignedRankSize, 0.7, 0.9, 72},
		"Kendall":              {KendallSize, 0.5, 0.9, 16},
		"Kendall, other way":   {KendallSize, -0.5, 0.9, 16},
	} {
		if got, err := c.size(c.effect, 0.05, c.power); err != nil || got != c.want {
			t.Errorf("%s: %d, want %d, %v", name, got, c.want, err)
		}
	}
	n, _ := RankSumSize(0.7, 0.05, 0.8)
	shift := math.Sqrt2 * distuv.UnitNormal.Quantile(0.7)
	if p, err := Power(n, n, shift, 0.05); err != nil || !near(p, 0.8, 0.03) {
		t.Errorf("%d values find the effect with power %v, %v", n, p, err)
	}
	for _, c := range []struct {
		share, chance, power float64
		want                 int
	}{{0.75, 0.5, 0.8, 23}, {1, 0.5, 0.8, 5}, {1, 0.25, 0.8, 3}, {0.501, 0.5, 0.8, 0}} {
		if got, err := BinomialSize(c.share, c.chance, 0.05, c.power); err != nil || got != c.want {
			t.Errorf("a share of %v against %v: %d, want %d, %v", c.share, c.chance, got, c.want, err)
		}
	}
}

func TestMoreRefused(t *testing.T) {
	fine, bad := []float64{1, 2}, []float64{1, math.NaN()}
	third := func(_, _ any, err error) error { return err }
	for name, err := range map[string]error{
		"sign test of nothing":          second(SignTest(nil, 0, Greater)),
		"binomial of nothing":           second(Binomial(0, 0, 0.5, Less)),
		"binomial of more than all":     second(Binomial(3, 2, 0.5, Less)),
		"binomial at chance 1":          second(Binomial(1, 2, 1, Less)),
		"Kendall of different sizes":    second(Kendall(fine, fine[:1], Greater)),
		"Kendall of NaN":                second(Kendall(fine, bad, Greater)),
		"size of no effect":             second(RankSumSize(0.5, 0.05, 0.8)),
		"size of an impossible effect":  second(SignedRankSize(1.5, 0.05, 0.8)),
		"size at power 1":               second(RankSumSize(0.7, 0.05, 1)),
		"size of a share below chance":  second(BinomialSize(0.4, 0.5, 0.05, 0.8)),
		"interval of nothing":           third(MedianInterval(nil, 0.9)),
		"median interval at level 1":    third(MedianInterval(fine, 1)),
		"ratio of something negative":   third(RatioInterval(fine, []float64{-1}, 0.95)),
		"equivalence without a margin":  third(Equivalence(Wilcoxon, fine, fine, 0)),
		"equivalence of different size": third(Equivalence(Wilcoxon, fine, fine[:1], 1)),
	} {
		if err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}
