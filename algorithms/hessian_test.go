package algorithms_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/supernet"
)

// Second differences of the loss in the alphas agree with the exact Hessian.
func TestHessianMatchesDifferences(t *testing.T) {
	const decay = 0.25
	for id := 1; id <= 3; id++ {
		sp := space(t, id)
		net := algorithmstest.NewQuadratic(sp.Dim(), uint64(id))
		batch := algorithmstest.Batch(1)
		alphas := alphasOf(sp.Dim())
		gradient := func(a []float64) []float64 {
			s, g := make([]float64, len(a)), make([]float64, len(a))
			sp.Softmax(s, a)
			if _, err := net.MixingGradient(batch, s, supernet.BatchStatistics, g); err != nil {
				t.Fatal(err)
			}
			return algorithms.SoftmaxGradient(sp, s, g)
		}
		h, spectrum, err := algorithms.Hessian(t.Context(), net, algorithms.Softmax(sp, alphas), batch, decay)
		if err != nil {
			t.Fatal(err)
		}
		const step = 1e-5
		for i := range alphas {
			up, down := slices.Clone(alphas), slices.Clone(alphas)
			up[i] += step
			down[i] -= step
			gUp, gDown := gradient(up), gradient(down)
			for j := range alphas {
				want := (gUp[j] - gDown[j]) / (2 * step)
				if i == j {
					want += decay
				}
				if math.Abs(h.At(i, j)-want) > 1e-8 {
					t.Errorf("space %d: H[%d,%d] = %v, differences give %v", id, i, j, h.At(i, j), want)
				}
			}
		}

		nulls, trace := 0, 0.0
		for i, v := range spectrum {
			if math.Abs(v-decay) < 1e-10 {
				nulls++
			}
			trace += v - h.At(i, i)
		}
		if want := []int{7, 8, 10}[id-1]; nulls != want {
			t.Errorf("space %d: %d null directions, want one per softmax row, %d", id, nulls, want)
		}
		if math.Abs(trace) > 1e-10 || !slices.IsSorted(spectrum) || len(spectrum) != sp.Dim() {
			t.Errorf("space %d: eigenvalues %v are not the ascending spectrum", id, spectrum)
		}
	}
}

// One forward pass serves the whole Hessian: it moves the running statistics once.
func TestHessianPassesOnce(t *testing.T) {
	sp := space(t, 1)
	net := algorithmstest.NewQuadratic(sp.Dim(), 1)
	if _, _, err := algorithms.Hessian(t.Context(), net, algorithms.Softmax(sp, alphasOf(sp.Dim())), algorithmstest.Batch(2), 0); err != nil {
		t.Fatal(err)
	}
	if len(net.Calls) != 1 || net.Calls[0].Method != "HessianForms" {
		t.Errorf("calls %+v", net.Calls)
	}
}

func TestSpectrum(t *testing.T) {
	for _, tt := range []struct {
		name                string
		spectrum            algorithms.Spectrum
		reported, norm, min float64
	}{
		{"negative curvature is ignored (Q9b)", algorithms.Spectrum{-18.85, 0.001}, 0.001, 18.85, -18.85},
		{"positive", algorithms.Spectrum{0.001, 3}, 3, 3, 0.001},
		{"all negative", algorithms.Spectrum{-3, -2}, 2, 3, -3},
	} {
		got := []float64{tt.spectrum.Reported(), tt.spectrum.Norm(), tt.spectrum.Min()}
		if diff := cmp.Diff([]float64{tt.reported, tt.norm, tt.min}, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
