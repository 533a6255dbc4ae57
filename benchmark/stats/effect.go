package stats

import (
	"errors"
	"math"
)

// CliffDelta is P(x > y) − P(x < y) over all pairs of values, in [−1,1] (Cliff
// 1993): the rank-biserial correlation of the Mann–Whitney test.
func CliffDelta(x, y []float64) (float64, error) {
	if err := errors.Join(sample("x", x, 1), sample("y", y, 1)); err != nil {
		return 0, err
	}
	sum := 0
	for _, a := range x {
		for _, b := range y {
			switch {
			case a > b:
				sum++
			case a < b:
				sum--
			}
		}
	}
	return float64(sum) / float64(len(x)*len(y)), nil
}

// A12 is P(x > y) + P(x = y)/2, in [0,1] (Vargha and Delaney 2000).
func A12(x, y []float64) (float64, error) {
	δ, err := CliffDelta(x, y)
	return (1 + δ) / 2, err
}

// RankBiserial is the matched-pairs rank-biserial correlation of the Wilcoxon
// test, in [−1,1]: the ranks of the positive differences x − y less those of the
// negative ones, over all of them (Kerby 2014). It is 0 where no pair differs.
func RankBiserial(x, y []float64) (float64, error) {
	t, err := Wilcoxon(x, y, TwoSided)
	if err != nil || t.N == 0 {
		return 0, err
	}
	return 4*t.Statistic/float64(t.N*(t.N+1)) - 1, nil
}

// HedgesG is the difference of the means in pooled standard deviations, corrected
// for its bias in small samples (Hedges 1981, by the approximate factor). It is
// an error where neither sample varies.
func HedgesG(x, y []float64) (float64, error) {
	if err := errors.Join(sample("x", x, 2), sample("y", y, 2)); err != nil {
		return 0, err
	}
	n, m := float64(len(x)), float64(len(y))
	vx, vy := Std(x)*Std(x), Std(y)*Std(y)
	pooled := math.Sqrt(((n-1)*vx + (m-1)*vy) / (n + m - 2))
	if !(pooled > 0) {
		return 0, errors.New("neither sample varies: a difference has no standard deviations to be measured in")
	}
	return (1 - 3/(4*(n+m-2)-1)) * (Mean(x) - Mean(y)) / pooled, nil
}
