package stats

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/random"
)

// simulations is the number of experiments behind a Power: its standard error is
// at most 0.005.
const simulations = 10_000

// Power is the probability that the one-sided Mann–Whitney test at level alpha
// finds n normally distributed values greater than m others, where they are so by
// shift standard deviations. It is simulated.
func Power(n, m int, shift, alpha float64) (float64, error) {
	if n < 1 || m < 1 || n+m > 10_000 {
		return 0, fmt.Errorf("power of %d against %d values: need at least 1 each, and 10,000 at most", n, m)
	}
	if !(alpha > 0 && alpha < 1) {
		return 0, fmt.Errorf("the level of significance is %v, need a number between 0 and 1", alpha)
	}
	critical := criticalU(n, m, alpha)
	stream := random.New(0, "stats/power", uint64(n), uint64(m))
	x, y := make([]float64, n), make([]float64, m)
	found := 0
	for range simulations {
		for i := range x {
			x[i] = stream.NormFloat64() + shift
		}
		for i := range y {
			y[i] = stream.NormFloat64()
		}
		if pairsGreater(x, y) >= critical {
			found++
		}
	}
	return float64(found) / simulations, nil
}

// criticalU is the lowest U whose one-sided p-value is at most alpha, without
// ties; n·m+1 where there is none.
func criticalU(n, m int, alpha float64) int {
	p := func(u int) float64 { return mannWhitneyNormal(float64(u), n, m, 0, Greater) }
	if n+m <= exactValues {
		ranks := make([]int, n+m)
		for i := range ranks {
			ranks[i] = 2 * (i + 1)
		}
		ways := rankSumCounts(ranks, n)
		p = func(u int) float64 { return tail(ways, 2*u+n*(n+1), Greater) }
	}
	low, high := 0, n*m+1
	for low < high {
		if u := (low + high) / 2; p(u) <= alpha {
			high = u
		} else {
			low = u + 1
		}
	}
	return low
}

// pairsGreater is U: the pairs in which x is greater. It sorts both.
func pairsGreater(x, y []float64) int {
	slices.Sort(x)
	slices.Sort(y)
	u, below := 0, 0
	for _, v := range x {
		for below < len(y) && y[below] < v {
			below++
		}
		u += below
	}
	return u
}
