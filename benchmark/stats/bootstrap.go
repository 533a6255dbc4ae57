package stats

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/nb1shot/nb1shot/random"
)

// Interval is a confidence interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Resamples is the number of bootstrap samples behind an interval.
const Resamples = 10_000

// Percentile is the bootstrap percentile interval of a statistic of x at a
// confidence level in (0,1) (Efron 1979). x needs two values; intervals of fewer
// than about ten are too narrow.
func Percentile(x []float64, statistic func([]float64) float64, level float64) (Interval, error) {
	all, err := bootstrap(x, statistic, level)
	if err != nil {
		return Interval{}, err
	}
	return Interval{quantile(all, (1-level)/2), quantile(all, (1+level)/2)}, nil
}

// BCa is the bootstrap interval corrected for bias and acceleration (Efron 1987),
// otherwise like Percentile.
func BCa(x []float64, statistic func([]float64) float64, level float64) (Interval, error) {
	all, err := bootstrap(x, statistic, level)
	if err != nil {
		return Interval{}, err
	}
	estimate := statistic(sorted(x))
	below := 0.0
	for _, v := range all {
		switch {
		case v < estimate:
			below++
		case v == estimate:
			below += 0.5
		}
	}
	b := float64(len(all))
	normal := distuv.UnitNormal
	z0 := normal.Quantile(min(max(below, 0.5), b-0.5) / b)
	a := acceleration(sorted(x), statistic)
	at := func(p float64) float64 {
		z := z0 + normal.Quantile(p)
		return quantile(all, normal.CDF(z0+z/(1-a*z)))
	}
	return Interval{at((1 - level) / 2), at((1 + level) / 2)}, nil
}

// bootstrap returns the statistic of samples drawn from x with replacement,
// ascending. They depend on the values of x only, not on their order.
func bootstrap(x []float64, statistic func([]float64) float64, level float64) ([]float64, error) {
	if err := sample("x", x, 2); err != nil {
		return nil, err
	}
	if !(level > 0 && level < 1) {
		return nil, fmt.Errorf("the confidence level is %v, need a number between 0 and 1", level)
	}
	x = sorted(x)
	stream := random.New(0, "stats/bootstrap", uint64(len(x)))
	drawn := make([]float64, len(x))
	all := make([]float64, Resamples)
	for i := range all {
		for j := range drawn {
			drawn[j] = x[stream.IntN(len(x))]
		}
		all[i] = statistic(drawn)
	}
	slices.Sort(all)
	return all, nil
}

// acceleration is that of BCa, by the jackknife; 0 where the statistic does not
// vary.
func acceleration(x []float64, statistic func([]float64) float64) float64 {
	left := make([]float64, len(x))
	for i := range x {
		left[i] = statistic(slices.Concat(x[:i], x[i+1:]))
	}
	mean, largest := Mean(left), 0.0
	for _, v := range left {
		largest = max(largest, math.Abs(mean-v))
	}
	if !(largest > 0) {
		return 0
	}
	squares, cubes := 0.0, 0.0
	for _, v := range left {
		d := (mean - v) / largest // the ratio has no unit, and powers of small numbers vanish
		squares += d * d
		cubes += d * d * d
	}
	return cubes / (6 * math.Pow(squares, 1.5))
}

func sorted(x []float64) []float64 { return slices.Sorted(slices.Values(x)) }

// quantile of ascending values, p in [0,1].
func quantile(ascending []float64, p float64) float64 {
	return stat.Quantile(min(max(p, 0), 1), stat.Empirical, ascending, nil)
}
