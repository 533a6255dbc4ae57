package spaces

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTies(t *testing.T) {
	for _, tc := range []struct {
		weights       []float32
		k             int
		numPy, lowest []int
	}{
		{[]float32{1, 1}, 1, []int{1}, []int{0}},
		{[]float32{1, 1, 1}, 1, []int{2}, []int{0}},
		{[]float32{1, 1, 1}, 2, []int{1, 2}, []int{0, 1}},
		{[]float32{1, 1, 1, 1}, 2, []int{2, 3}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1}, 2, []int{1, 4}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1, 1}, 2, []int{1, 5}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1}, 3, []int{2, 3, 4}, []int{0, 1, 2}},
		{[]float32{0, 1, 0, 1, 1}, 2, []int{1, 4}, []int{1, 3}},
		{[]float32{0, 0, 2, 0, 1, 0}, 2, []int{2, 4}, []int{2, 4}},
	} {
		got := numPyTop(tc.weights, tc.k)
		slices.Sort(got)
		if diff := cmp.Diff(tc.numPy, got); diff != "" {
			t.Errorf("NumPy, %d of %v (-want +got):\n%s", tc.k, tc.weights, diff)
		}
		got = lowestTop(tc.weights, tc.k)
		slices.Sort(got)
		if diff := cmp.Diff(tc.lowest, got); diff != "" {
			t.Errorf("lowest, %d of %v (-want +got):\n%s", tc.k, tc.weights, diff)
		}
	}
}

func TestParseTies(t *testing.T) {
	for _, want := range []Ties{TiesNumPy, TiesLowest} {
		if got, err := ParseTies(want.String()); err != nil || got != want {
			t.Errorf("ParseTies(%q) = %v, %v", want, got, err)
		}
	}
	if got, err := ParseTies("highest"); err == nil {
		t.Errorf("ParseTies(highest) = %v, want an error", got)
	}
}
