package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// KendallTau is the statistic of [Kendall], τ-b, without a test, by merging (Knight 1966):
// thousands of pairs take milliseconds. Where either does not vary, it is 0.
func KendallTau(x, y []float64) (float64, error) {
	if err := paired(x, y); err != nil {
		return 0, err
	}
	n := len(x)
	order := indicesBy(n, func(a, b int) int { return cmp.Or(cmp.Compare(x[a], x[b]), cmp.Compare(y[a], y[b])) })
	sorted := make([]float64, n) // y, by x
	tied, both := 0, 0           // pairs equal in x; in x and y
	for i, j := range order {
		sorted[i] = y[j]
	}
	runs(n, func(a, b int) bool { return x[order[a]] == x[order[b]] }, func(k int) { tied += k * (k - 1) / 2 })
	runs(n, func(a, b int) bool { return x[order[a]] == x[order[b]] && sorted[a] == sorted[b] }, func(k int) { both += k * (k - 1) / 2 })
	discordant := inversions(sorted, make([]float64, n)) // sorts it
	tiedY := 0
	runs(n, func(a, b int) bool { return sorted[a] == sorted[b] }, func(k int) { tiedY += k * (k - 1) / 2 })
	pairs := n * (n - 1) / 2
	if tied == pairs || tiedY == pairs {
		return 0, nil
	}
	s := pairs - tied - tiedY + both - 2*discordant
	return float64(s) / math.Sqrt(float64(pairs-tied)*float64(pairs-tiedY)), nil
}

// Spearman is the rank correlation ρ: Pearson's correlation of the ranks, equal values
// sharing the mean of theirs. Where either does not vary, it is 0.
func Spearman(x, y []float64) (float64, error) {
	if err := paired(x, y); err != nil {
		return 0, err
	}
	asFloats := func(values []float64) []float64 {
		doubled, _ := ranks(values)
		all := make([]float64, len(doubled))
		for i, r := range doubled {
			all[i] = float64(r)
		}
		return all
	}
	return correlation(asFloats(x), asFloats(y)), nil
}

// Pearson is the linear correlation r. Where either does not vary, it is 0.
func Pearson(x, y []float64) (float64, error) {
	if err := paired(x, y); err != nil {
		return 0, err
	}
	return correlation(x, y), nil
}

func correlation(x, y []float64) float64 {
	if slices.Min(x) == slices.Max(x) || slices.Min(y) == slices.Max(y) {
		return 0
	}
	return min(max(stat.Correlation(x, y, nil), -1), 1)
}

// TopOverlap is the share in [0,1] of the k lowest of x that are among the k lowest of y, 1 ≤ k ≤ their
// number. Where equal values straddle a boundary, it is the mean over all ways to choose
// among them. Of unrelated values k/n is expected.
func TopOverlap(x, y []float64, k int) (float64, error) {
	if err := paired(x, y); err != nil {
		return 0, err
	}
	if k < 1 || k > len(x) {
		return 0, fmt.Errorf("the %d lowest of %d values, need 1 to all", k, len(x))
	}
	a, b := lowest(x, k), lowest(y, k)
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum / float64(k), nil
}

// lowest is the probability of each value to be among the k lowest, equal ones being drawn.
func lowest(x []float64, k int) []float64 {
	last := slices.Sorted(slices.Values(x))[k-1]
	below, equal := 0, 0
	for _, v := range x {
		if v < last {
			below++
		} else if v == last {
			equal++
		}
	}
	share := make([]float64, len(x))
	for i, v := range x {
		if v < last {
			share[i] = 1
		} else if v == last {
			share[i] = float64(k-below) / float64(equal)
		}
	}
	return share
}

func paired(x, y []float64) error {
	if len(x) != len(y) {
		return fmt.Errorf("%d values cannot be paired with %d", len(x), len(y))
	}
	return errors.Join(sample("x", x, 2), sample("y", y, 2))
}

func indicesBy(n int, compare func(a, b int) int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, compare)
	return order
}

// runs calls visit with the length of every run of equal neighbours.
func runs(n int, equal func(a, b int) bool, visit func(length int)) {
	for first := 0; first < n; {
		end := first + 1
		for end < n && equal(first, end) {
			end++
		}
		visit(end - first)
		first = end
	}
}

// inversions sorts x by merging and returns how many pairs were in descending order.
func inversions(x, room []float64) int {
	if len(x) < 2 {
		return 0
	}
	half := len(x) / 2
	n := inversions(x[:half], room[:half]) + inversions(x[half:], room[half:])
	i, j := 0, half
	for k := range room {
		if j == len(x) || i < half && x[i] <= x[j] {
			room[k] = x[i]
			i++
		} else {
			room[k] = x[j]
			j++
			n += half - i
		}
	}
	copy(x, room)
	return n
}
