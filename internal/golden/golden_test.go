package golden

import (
	"math"
	"testing"
	"testing/fstest"
)

// The archives are seen as one file system.
func TestFS(t *testing.T) {
	if err := fstest.TestFS(FS(), "forward_s1/manifest.json", "tfrecord_synthetic/synthetic.tfrecord", "steps_darts_s1/step2_params.folded.npy"); err != nil {
		t.Error(err)
	}
}

// Every number has a weight of its own, and the last sum may be of fewer.
func TestFold(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 16: 1, 17: 2, 160: 10} {
		if got := len(Fold(make([]float64, n))); got != want || FoldedLen(n) != want {
			t.Errorf("%d numbers fold to %d, said to be %d, want %d", n, got, FoldedLen(n), want)
		}
	}
	values, seen := make([]float64, 48), map[float64]bool{}
	for i := range values {
		values[i] = 1
		sums := Fold(values)
		values[i] = 0
		w := sums[i/16]
		if math.Abs(w) < 0.5 || math.Abs(w) >= 1.5 || seen[w] {
			t.Errorf("number %d has the weight %v", i, w)
		}
		seen[w] = true
		for k, sum := range sums {
			if k != i/16 && sum != 0 {
				t.Errorf("number %d is in sum %d", i, k)
			}
		}
	}
}
