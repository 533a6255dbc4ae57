package spaces

import (
	"fmt"
	"math"
	"slices"
)

// Ties says which of several equally large weights become parents. It matters
// for NASP, whose architecture parameters are clipped to [0,1] (quirk Q31).
type Ties int

const (
	// TiesNumPy keeps what numpy.argpartition (NumPy 1.24 without SIMD
	// sorting) leaves in the last places, as the released code does.
	TiesNumPy Ties = iota
	// TiesLowest prefers lower nodes.
	TiesLowest
)

var tiesNames = [...]string{TiesNumPy: "numpy", TiesLowest: "lowest"}

// String returns "numpy" or "lowest".
func (t Ties) String() string { return tiesNames[t] }

// ParseTies reads what String returns.
func ParseTies(name string) (Ties, error) {
	for t, n := range tiesNames {
		if n == name {
			return Ties(t), nil
		}
	}
	return 0, fmt.Errorf("unknown tie rule %q: want one of %q", name, tiesNames)
}

// Top returns the k candidates of a row that have the largest weights, ascending. The
// weights are the softmax of alpha in single precision, which can tie where alpha does
// not.
func Top(alpha []float64, k int, ties Ties) []int {
	weights := Softmax32(alpha)
	top := numPyTop
	if ties == TiesLowest {
		top = lowestTop
	}
	return slices.Sorted(slices.Values(top(weights, k)))
}

// Softmax32 is the softmax of a row in single precision, as architectures are derived.
func Softmax32(row []float64) []float32 {
	weights := make([]float32, len(row))
	for i, v := range row {
		weights[i] = float32(v)
	}
	largest, sum := slices.Max(weights), float32(0)
	for i, v := range weights {
		weights[i] = float32(math.Exp(float64(v - largest)))
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// lowestTop returns the indices of the k largest weights, the largest first, the
// lowest on ties.
func lowestTop(weights []float32, k int) []int {
	order := identity(len(weights))
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case weights[i] > weights[j]:
			return -1
		case weights[i] < weights[j]:
			return 1
		}
		return 0
	})
	return order[:k]
}

// numPyTop returns, in any order, the last k places of NumPy's argpartition of
// the weights at the k-th place from the end, for rows of up to six weights. A
// row is either free of NaN or all NaN, so that plain comparisons suffice.
func numPyTop(weights []float32, k int) []int {
	order := identity(len(weights))
	less := func(a, b int) bool { return weights[order[a]] < weights[order[b]] }
	swap := func(a, b int) { order[a], order[b] = order[b], order[a] }

	kth := len(order) - k
	if kth <= 2 {
		// NumPy selects the few smallest one after the other.
		for i := range kth + 1 {
			smallest := i
			for j := i + 1; j < len(order); j++ {
				if less(j, smallest) {
					smallest = j
				}
			}
			swap(i, smallest)
		}
		return order[kth:]
	}

	// Quickselect with the median of three as pivot, as far as it decides which
	// indices end up in the last k places; their order does not matter.
	low, high := 0, len(order)-1
	for low+1 < high {
		mid := low + (high-low)/2
		if less(high, mid) {
			swap(high, mid)
		}
		if less(high, low) {
			swap(high, low)
		}
		if less(low, mid) {
			swap(low, mid)
		}
		swap(mid, low+1)

		left, right := low+1, high
		for {
			for left++; less(left, low); left++ {
			}
			for right--; less(low, right); right-- {
			}
			if right < left {
				break
			}
			swap(left, right)
		}
		swap(low, right)
		if right < kth {
			low = left
		} else {
			high = right - 1
		}
	}
	return order[kth:]
}

func identity(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}
