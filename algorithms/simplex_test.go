package algorithms_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/algorithms"
)

func TestClipRowMatchesGolden(t *testing.T) {
	var want struct {
		Rows []struct{ Input, Output []float64 }
	}
	golden(t, "clip_rows/cases.json", &want)
	if len(want.Rows) != 127 {
		t.Fatalf("%d golden rows, want 127", len(want.Rows))
	}
	for _, row := range want.Rows {
		got := slices.Clone(row.Input)
		algorithms.ClipRow(got)
		for i := range got {
			if math.Abs(got[i]-row.Output[i]) > 1e-12 {
				t.Errorf("ClipRow(%v) = %v, want %v", row.Input, got, row.Output)
				break
			}
		}
	}
}

func TestClipRowProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Float64Range(-2, 2), 1, 6).Draw(t, "row")
		once := slices.Clone(in)
		algorithms.ClipRow(once)
		sum := 0.0
		for i, v := range once {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("entry %d is %v", i, v)
			}
			sum += v
		}
		if math.Abs(sum-1) > 1e-15*float64(len(in)) {
			t.Fatalf("sums to %v", sum)
		}
		largest := slices.Index(in, slices.Max(in))
		if once[largest] != slices.Max(once) {
			t.Fatalf("largest entry %d is no longer the largest in %v", largest, once)
		}
		twice := slices.Clone(once)
		algorithms.ClipRow(twice)
		for i := range once {
			if math.Abs(twice[i]-once[i]) > 1e-15 {
				t.Fatalf("not idempotent: %v, then %v", once, twice)
			}
		}
	})
}

func TestSoftmaxGradientMatchesDifferences(t *testing.T) {
	for id := 1; id <= 3; id++ {
		sp := space(t, id)
		alphas, g := alphasOf(sp.Dim()), alphasOf(sp.Dim())
		value := func(a []float64) float64 {
			s := make([]float64, len(a))
			sp.Softmax(s, a)
			total := 0.0
			for i, v := range s {
				total += math.Sin(v) * g[i]
			}
			return total
		}
		s := make([]float64, len(alphas))
		sp.Softmax(s, alphas)
		outer := make([]float64, len(alphas))
		for i, v := range s {
			outer[i] = math.Cos(v) * g[i]
		}
		got := algorithms.SoftmaxGradient(sp, s, outer)
		const h = 1e-5
		for i := range alphas {
			up, down := slices.Clone(alphas), slices.Clone(alphas)
			up[i] += h
			down[i] -= h
			if want := (value(up) - value(down)) / (2 * h); math.Abs(got[i]-want) > 1e-9 {
				t.Errorf("space %d: gradient[%d] = %v, differences give %v", id, i, got[i], want)
			}
		}
	}
}
