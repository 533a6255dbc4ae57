package stats

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// SignTest tests the median of x against a value by the number of values above it
// (Arbuthnott 1710). Values equal to it are left out. Where none is left, p is 1.
// Test.Statistic is the number above.
func SignTest(x []float64, against float64, alternative Alternative) (Test, error) {
	if err := sample("x", x, 1); err != nil {
		return Test{}, err
	}
	t := Test{Method: Exact, P: 1}
	above := 0
	for _, v := range x {
		switch {
		case v == against:
			t.Zeros++
		case v > against:
			above++
			fallthrough
		default:
			t.N++
		}
	}
	t.Statistic = float64(above)
	if t.N == 0 {
		return t, nil
	}
	var err error
	t.P, err = Binomial(above, t.N, 0.5, alternative)
	return t, err
}

// Binomial is the p-value of the given number of successes in n trials whose chance would be
// chance, in (0,1). Two-sided it is twice the smaller tail.
func Binomial(successes, n int, chance float64, alternative Alternative) (float64, error) {
	if n < 1 || successes < 0 || successes > n {
		return 0, fmt.Errorf("%d successes in %d trials: need 0 to n of at least one", successes, n)
	}
	if !(chance > 0 && chance < 1) {
		return 0, fmt.Errorf("the chance of a success is %v, need a number between 0 and 1", chance)
	}
	least := func(k int, chance float64) float64 { // P(X ≥ k), the tail that is summed and not subtracted
		if k <= 0 {
			return 1
		}
		return 1 - distuv.Binomial{N: float64(n), P: chance}.CDF(float64(k-1))
	}
	if n <= exactPairs { // by addition, which is exact where the chance is 1/2
		least = func(k int, chance float64) float64 {
			sum, ways := 0.0, 1.0
			for i := 0; i <= n; i++ {
				if i >= k {
					sum += ways * math.Pow(chance, float64(i)) * math.Pow(1-chance, float64(n-i))
				}
				ways = ways * float64(n-i) / float64(i+1)
			}
			return sum
		}
	}
	upper, lower := least(successes, chance), least(n-successes, 1-chance)
	p := 2 * min(upper, lower)
	switch alternative {
	case Greater:
		p = upper
	case Less:
		p = lower
	}
	return min(1, max(p, math.SmallestNonzeroFloat64)), nil
}

// MedianInterval is the confidence interval of the median between two values of x,
// as far from both ends, that holds it with a probability of at least level (Thompson
// 1936). It is false where x has too few values for any: five for 0.9, six for 0.95.
func MedianInterval(x []float64, level float64) (Interval, bool, error) {
	if err := sample("x", x, 1); err != nil {
		return Interval{}, false, err
	}
	if !(level > 0 && level < 1) {
		return Interval{}, false, fmt.Errorf("the confidence level is %v, need a number between 0 and 1", level)
	}
	n, ends := len(x), 0
	for ends < n/2 {
		if outside, err := Binomial(ends, n, 0.5, Less); err != nil || outside > (1-level)/2 {
			break
		}
		ends++
	}
	if ends == 0 {
		return Interval{}, false, nil
	}
	ascending := sorted(x)
	return Interval{ascending[ends-1], ascending[n-ends]}, true, nil
}

// RatioInterval is the ratio of the geometric mean of x to that of y with its
// confidence interval, by Welch's t (1947) on the logarithms. Both need positive
// values, and two of them for an interval, which is nil otherwise.
func RatioInterval(x, y []float64, level float64) (float64, *Interval, error) {
	if !(level > 0 && level < 1) {
		return 0, nil, fmt.Errorf("the confidence level is %v, need a number between 0 and 1", level)
	}
	var logs [2][]float64
	for i, values := range [][]float64{x, y} {
		if err := sample([]string{"x", "y"}[i], values, 1); err != nil {
			return 0, nil, err
		}
		if slices.Min(values) <= 0 {
			return 0, nil, fmt.Errorf("%v has no logarithm, need positive numbers", slices.Min(values))
		}
		for _, v := range values {
			logs[i] = append(logs[i], math.Log(v))
		}
	}
	difference := Mean(logs[0]) - Mean(logs[1])
	if len(x) < 2 || len(y) < 2 {
		return math.Exp(difference), nil, nil
	}
	n, m := float64(len(x)), float64(len(y))
	a, b := Std(logs[0])*Std(logs[0])/n, Std(logs[1])*Std(logs[1])/m
	if a+b == 0 {
		return math.Exp(difference), &Interval{math.Exp(difference), math.Exp(difference)}, nil
	}
	freedom := (a + b) * (a + b) / (a*a/(n-1) + b*b/(m-1))
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile((1+level)/2) * math.Sqrt(a+b)
	return math.Exp(difference), &Interval{math.Exp(difference - half), math.Exp(difference + half)}, nil
}

// Equivalence is the two one-sided tests (Schuirmann 1987) of x and y being within
// margin of each other, by Wilcoxon or MannWhitney. above tests that x − y is above
// −margin, below that it is below margin. They are equivalent where both are
// significant: the larger p is that of the equivalence.
func Equivalence(test func(x, y []float64, a Alternative) (Test, error), x, y []float64, margin float64) (above, below Test, err error) {
	if !(margin > 0) {
		return Test{}, Test{}, fmt.Errorf("the margin of equivalence is %v, need a positive number", margin)
	}
	moved := func(by float64) []float64 {
		m := slices.Clone(x)
		for i := range m {
			m[i] += by
		}
		return m
	}
	if above, err = test(moved(margin), y, Greater); err != nil {
		return above, below, err
	}
	below, err = test(moved(-margin), y, Less)
	return above, below, err
}
