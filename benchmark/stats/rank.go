package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Alternative is what a test tries to show of its first sample.
type Alternative int

// The alternatives of a test of x against y.
const (
	TwoSided Alternative = iota // x and y differ
	Greater                     // x tends to be greater
	Less                        // x tends to be less
)

// Method tells how a p-value was computed.
type Method string

// The methods.
const (
	// Exact is the permutation distribution of the statistic, given the ranks as
	// they are, ties and all.
	Exact Method = "exact"
	// Normal is the normal approximation, with the variance corrected for ties and
	// the statistic for continuity by 1/2.
	Normal Method = "normal"
)

// Test is the outcome of a rank test.
type Test struct {
	Statistic float64 // W⁺ of Wilcoxon: the ranks of the positive differences; U of Mann–Whitney: pairs in which x is greater, ties half
	P         float64 // in (0,1]
	Method    Method
	N, M      int  // values that count: pairs without the zeros (M is 0), or sizes of x and y
	Zeros     int  // pairs left out because they do not differ
	Ties      bool // whether any of the ranks are shared
}

// The sizes up to which p-values are exact: pairs, and values of both samples.
// Their permutations are counted in float64, up to which that is exact too:
// 2⁵⁰ and C(56, 28) < 2⁵³. So p = 0.05 is at most α = 0.05.
const (
	exactPairs  = 50
	exactValues = 56
)

// Wilcoxon is the signed-rank test of paired samples, as many x as y. Pairs that
// do not differ are left out, as Wilcoxon (1945) did. Differences within 10⁻¹² of
// the largest value are taken for equal, because subtraction of equal steps
// rounds differently. The p-value is exact up to 50 pairs. Where no pair
// differs, p is 1.
func Wilcoxon(x, y []float64, alternative Alternative) (Test, error) {
	if len(x) != len(y) {
		return Test{}, fmt.Errorf("%d values cannot be paired with %d", len(x), len(y))
	}
	if err := errors.Join(sample("x", x, 1), sample("y", y, 1)); err != nil {
		return Test{}, err
	}
	differences, zeros := differences(x, y)
	n := len(differences)
	t := Test{N: n, Zeros: zeros, Method: Exact, P: 1}
	if n == 0 {
		return t, nil
	}
	sizes := make([]float64, n)
	for i, d := range differences {
		sizes[i] = math.Abs(d)
	}
	ranks, ties := ranks(sizes)
	t.Ties = ties > 0
	sum := 0
	for i, d := range differences {
		if d > 0 {
			sum += ranks[i]
		}
	}
	t.Statistic = float64(sum) / 2
	if n <= exactPairs {
		t.P = tail(signedRankCounts(ranks), sum, alternative)
		return t, nil
	}
	t.Method = Normal
	k := float64(n)
	t.P = normalTail(t.Statistic-k*(k+1)/4, k*(k+1)*(2*k+1)/24-ties/48, alternative)
	return t, nil
}

// differences returns x − y, in units of 10⁻¹² of the largest value and rounded,
// without the zeros, whose number it returns too.
func differences(x, y []float64) (nonzero []float64, zeros int) {
	largest := 0.0
	for i := range x {
		largest = max(largest, math.Abs(x[i]), math.Abs(y[i]))
	}
	for i := range x {
		// Each is scaled by itself: the difference of large ones might overflow.
		if d := math.Round((x[i]/largest - y[i]/largest) * 1e12); d != 0 && largest > 0 {
			nonzero = append(nonzero, d)
		} else {
			zeros++
		}
	}
	return nonzero, zeros
}

// MannWhitney is the rank-sum test of independent samples (Mann and Whitney
// 1947). The p-value is exact up to 56 values in all, with ties too: it is that
// of the permutation distribution of the shared ranks.
func MannWhitney(x, y []float64, alternative Alternative) (Test, error) {
	if err := errors.Join(sample("x", x, 1), sample("y", y, 1)); err != nil {
		return Test{}, err
	}
	n, m := len(x), len(y)
	ranks, ties := ranks(slices.Concat(x, y))
	sum := 0
	for _, r := range ranks[:n] {
		sum += r
	}
	t := Test{Statistic: float64(sum-n*(n+1)) / 2, N: n, M: m, Ties: ties > 0, Method: Exact}
	if n+m <= exactValues {
		t.P = tail(rankSumCounts(ranks, n), sum, alternative)
		return t, nil
	}
	t.Method = Normal
	t.P = mannWhitneyNormal(t.Statistic, n, m, ties, alternative)
	return t, nil
}

// mannWhitneyNormal is the approximate p-value of U.
func mannWhitneyNormal(u float64, n, m int, ties float64, alternative Alternative) float64 {
	a, b := float64(n), float64(m)
	variance := a * b / 12 * (a + b + 1 - ties/((a+b)*(a+b-1)))
	return normalTail(u-a*b/2, variance, alternative)
}

// WilcoxonFloor is the lowest p-value that n pairs can reach, where no two
// differences are equal.
func WilcoxonFloor(n int, alternative Alternative) float64 {
	return floor(math.Exp2(-float64(max(n, 0))), alternative)
}

// MannWhitneyFloor is the lowest p-value that n against m values can reach, where
// no two are equal.
func MannWhitneyFloor(n, m int, alternative Alternative) float64 {
	if n < 1 || m < 1 {
		return 1
	}
	log := func(k int) float64 {
		l, _ := math.Lgamma(float64(k + 1))
		return l
	}
	return floor(math.Exp(log(n)+log(m)-log(n+m)), alternative)
}

func floor(oneSided float64, alternative Alternative) float64 {
	if alternative == TwoSided {
		oneSided *= 2
	}
	return min(1, max(oneSided, math.SmallestNonzeroFloat64))
}

// ranks returns twice the ranks of the values, from 2, equal values sharing the
// mean of theirs: whole numbers all of them. ties is the sum of t³−t over the
// groups of t equal values.
func ranks(values []float64) (doubled []int, ties float64) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	doubled = make([]int, len(values))
	for first := 0; first < len(order); {
		end := first + 1
		for end < len(order) && values[order[end]] == values[order[first]] {
			end++
		}
		for _, i := range order[first:end] {
			doubled[i] = first + 1 + end
		}
		t := float64(end - first)
		ties += t*t*t - t
		first = end
	}
	return doubled, ties
}

// signedRankCounts is the number of ways to choose any of the ranks so that they
// have each sum.
func signedRankCounts(ranks []int) []float64 {
	ways := make([]float64, total(ranks)+1)
	ways[0] = 1
	for _, r := range ranks {
		for s := len(ways) - 1; s >= r; s-- {
			ways[s] += ways[s-r]
		}
	}
	return ways
}

// rankSumCounts is the number of ways to choose n of the ranks so that they have
// each sum.
func rankSumCounts(ranks []int, n int) []float64 {
	ways := make([][]float64, n+1) // [how many are chosen][their sum]
	for k := range ways {
		ways[k] = make([]float64, total(ranks)+1)
	}
	ways[0][0] = 1
	sum := 0
	for i, r := range ranks {
		sum += r
		for k := min(n, i+1); k > 0; k-- {
			for s := r; s <= sum; s++ {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	return ways[n]
}

func total(ranks []int) int {
	sum := 0
	for _, r := range ranks {
		sum += r
	}
	return sum
}

// tail is the p-value of a sum that each of the given number of equally likely permutations
// may have. Two-sided it is twice the smaller tail.
func tail(ways []float64, sum int, alternative Alternative) float64 {
	lower, upper, all := 0.0, 0.0, 0.0
	for s, w := range ways {
		all += w
		if s <= sum {
			lower += w
		}
		if s >= sum {
			upper += w
		}
	}
	switch alternative {
	case Greater:
		return upper / all
	case Less:
		return lower / all
	}
	return min(1, 2*min(lower, upper)/all)
}

// normalTail is the p-value of a deviation from the mean of a variable of the
// given variance.
func normalTail(deviation, variance float64, alternative Alternative) float64 {
	if !(variance > 0) {
		return 1 // all ranks are equal
	}
	upper := func(x float64) float64 { return math.Erfc((x-0.5)/math.Sqrt(2*variance)) / 2 }
	var p float64
	switch alternative {
	case Greater:
		p = upper(deviation)
	case Less:
		p = upper(-deviation)
	default:
		p = 2 * upper(math.Abs(deviation))
	}
	return min(1, max(p, math.SmallestNonzeroFloat64))
}
