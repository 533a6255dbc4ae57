// Package stats holds the statistics that comparisons of searches need: small
// samples, many ties, skewed values. All functions are pure, leave their
// arguments as they are and are deterministic: simulations and
// resampling draw from a fixed stream of package random.
package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Mean is the arithmetic mean of x, NaN where x is empty.
func Mean(x []float64) float64 { return stat.Mean(x, nil) }

// Std is the sample standard deviation of x, by n−1; NaN for fewer than two
// values.
func Std(x []float64) float64 {
	if len(x) < 2 {
		return math.NaN()
	}
	return stat.StdDev(x, nil)
}

// Median is the middle value of x, or the mean of both; NaN where x is empty.
func Median(x []float64) float64 {
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(x))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Quartiles are the values of x a quarter and three quarters of the way from the
// lowest to the highest, interpolated linearly between neighbours (definition 7 of
// Hyndman and Fan 1996), as Median is half-way; NaN where x is empty.
func Quartiles(x []float64) (lower, upper float64) {
	if len(x) == 0 {
		return math.NaN(), math.NaN()
	}
	ascending := sorted(x)
	at := func(p float64) float64 {
		below, part := math.Modf(p * float64(len(x)-1))
		i := int(below)
		if part == 0 {
			return ascending[i]
		}
		return ascending[i] + part*(ascending[i+1]-ascending[i])
	}
	return at(0.25), at(0.75)
}

// sample refuses what is no sample of at least the given number of finite values.
func sample(name string, x []float64, least int) error {
	if len(x) < least {
		return fmt.Errorf("%s has %d values, need at least %d", name, len(x), least)
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s[%d] is %v, need finite numbers", name, i, v)
		}
	}
	return nil
}

// Holm corrects the p-values of a family of tests (Holm 1979): a test whose
// corrected p is at most α may be called significant, and the probability of one
// or more false calls in the family stays at most α, however the tests depend on
// each other. The i-th result belongs to the i-th p. A p outside [0,1] is an
// error.
func Holm(p []float64) ([]float64, error) {
	order := make([]int, len(p))
	for i, v := range p {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("p[%d] is %v, need 0 to 1", i, v)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	corrected := make([]float64, len(p))
	running := 0.0
	for rank, i := range order {
		running = max(running, min(1, float64(len(p)-rank)*p[i]))
		corrected[i] = running
	}
	return corrected, nil
}
