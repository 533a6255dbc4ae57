package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/random"
)

// Resampled is a p-value from random permutations, the observed order counted
// among them (Phipson and Smyth 2010).
const Resampled Method = "permutations"

// exactOrders is the number of pairs up to which Kendall goes through all orders:
// 8! are 40,320.
const exactOrders = 8

// Kendall is the rank correlation τ of pairs (Kendall 1938), as many x as y, in
// [−1,1], corrected for ties (τ-b). The p-value is the share of the permutations of
// y whose τ is as far out: of all up to 8 pairs, of Resamples random ones beyond.
// Where either does not vary, τ is 0 and p is 1.
func Kendall(x, y []float64, alternative Alternative) (Test, error) {
	if len(x) != len(y) {
		return Test{}, fmt.Errorf("%d values cannot be paired with %d", len(x), len(y))
	}
	if err := errors.Join(sample("x", x, 2), sample("y", y, 2)); err != nil {
		return Test{}, err
	}
	n := len(x)
	t := Test{N: n, Method: Exact, P: 1}
	order := make([]int, n) // by x and y: the outcome must not depend on the order of the pairs
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(x[a], x[b]), cmp.Compare(y[a], y[b])) })
	a, b := make([]float64, n), make([]float64, n)
	for i, j := range order {
		a[i], b[i] = x[j], y[j]
	}
	tiedX, tiedY := ties(a), ties(b)
	pairs := n * (n - 1) / 2
	t.Ties = tiedX+tiedY > 0
	if tiedX == pairs || tiedY == pairs {
		return t, nil
	}
	r, _ := ranks(b)
	own := concordance(a, r)
	t.Statistic = float64(own) / math.Sqrt(float64(pairs-tiedX)*float64(pairs-tiedY))

	upper, lower, all := 0, 0, 0
	count := func(s int) {
		all++
		if s >= own {
			upper++
		}
		if s <= own {
			lower++
		}
	}
	if n <= exactOrders {
		permutations(r, func(r []int) { count(concordance(a, r)) })
	} else {
		t.Method = Resampled
		count(own)
		stream := random.New(0, "stats/kendall", uint64(n))
		for range Resamples {
			for i := n - 1; i > 0; i-- {
				j := stream.IntN(i + 1)
				r[i], r[j] = r[j], r[i]
			}
			count(concordance(a, r))
		}
	}
	share := func(k int) float64 { return float64(k) / float64(all) }
	switch alternative {
	case Greater:
		t.P = share(upper)
	case Less:
		t.P = share(lower)
	default:
		t.P = min(1, 2*min(share(upper), share(lower)))
	}
	return t, nil
}

// KendallFloor is the lowest p-value that n pairs can reach, where no two values
// are equal: that of the one order among n!.
func KendallFloor(n int, alternative Alternative) float64 {
	if n > exactOrders {
		return floor(1.0/(Resamples+1), alternative)
	}
	f, _ := math.Lgamma(float64(max(n, 0) + 1))
	return floor(math.Exp(-f), alternative)
}

// concordance is the pairs of pairs in the same order less those in opposite order,
// of ascending x and the ranks of y.
func concordance(x []float64, ranks []int) int {
	s := 0
	first := 0 // of the values equal to x[i]
	for i, r := range ranks {
		if x[i] != x[first] {
			first = i
		}
		for _, before := range ranks[:first] {
			if before < r {
				s++
			} else if before > r {
				s--
			}
		}
	}
	return s
}

// ties is the number of pairs of equal values.
func ties(x []float64) int {
	n := 0
	for i := range x {
		for j := range i {
			if x[i] == x[j] {
				n++
			}
		}
	}
	return n
}

// permutations calls visit with every order of x (Heap 1963), which it changes.
func permutations(x []int, visit func([]int)) {
	var arrange func(k int)
	arrange = func(k int) {
		if k <= 1 {
			visit(x)
			return
		}
		for i := range k {
			arrange(k - 1)
			if i == k-1 {
				break
			}
			j := 0
			if k%2 == 0 {
				j = i
			}
			x[j], x[k-1] = x[k-1], x[j]
		}
	}
	arrange(len(x))
}
