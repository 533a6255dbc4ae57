package algorithms_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	_ "github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/supernet"
)

// realNet is a small supernet in float64, of which the running statistics never
// matter here.
func realNet(t *testing.T, v supernet.Variant) (*supernet.Net, data.Batch) {
	t.Helper()
	e, err := engine.Open("ref", 1)
	if err != nil {
		t.Fatal(err)
	}
	const side, images = 8, 6
	net, err := supernet.New(supernet.Config{
		Space: space(t, 1), Channels: 2, Cells: 3, Classes: 10, Side: side, BatchNormMomentum: 0.997, Variant: v,
	}, e)
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(3, "weights"))
	b := data.Batch{N: images, Side: side, Images: formula.Pixels(5, images, side), Labels: []int{1, 4, 2, 8, 5, 7}}
	return net, b
}

// The penalty is the size of the Hessian along the direction, and its gradient
// that of the penalty, as the exact Hessian in float64 has them.
func TestHessianPenalty(t *testing.T) {
	sp := space(t, 1)
	net, b := realNet(t, supernet.Variant{})
	at := func(alphas []float64) algorithms.Mixing { return algorithms.Softmax(sp, alphas) }
	alphas := alphasOf(sp.Dim())
	draws := random.New(1, "test")
	u, norm := make([]float64, sp.Dim()), 0.0
	for i := range u {
		u[i] = draws.NormFloat64()
		norm = math.Hypot(norm, u[i])
	}
	for i := range u {
		u[i] /= norm
	}
	for _, squared := range []bool{false, true} {
		// A short way, on which the network has no kink.
		p := algorithms.HessianPenalty{Radius: 1e-5, Squared: squared}
		value, gradient, err := p.Gradient(context.Background(), net, at, b, alphas, u)
		if err != nil {
			t.Fatal(err)
		}
		// ‖H·u‖ by the exact Hessian, at the point and a little way off in each
		// coordinate.
		size := func(alphas []float64) float64 {
			h, _, err := algorithms.Hessian(context.Background(), net, at(alphas), b, 0)
			if err != nil {
				t.Fatal(err)
			}
			total := 0.0
			for i := range u {
				row := 0.0
				for j := range u {
					row += h.At(i, j) * u[j]
				}
				total += row * row
			}
			if squared {
				return total / 2
			}
			return math.Sqrt(total)
		}
		if want := size(alphas); math.Abs(value-want) > 1e-5*want {
			t.Errorf("squared %v: penalty %v, the Hessian's size is %v", squared, value, want)
		}
		const step = 1e-6
		largest := slices.Max(gradient)
		for i := range alphas {
			up, down := slices.Clone(alphas), slices.Clone(alphas)
			up[i] += step
			down[i] -= step
			want := (size(up) - size(down)) / (2 * step)
			if math.Abs(gradient[i]-want) > 1e-3*largest {
				t.Errorf("squared %v: derivative %d is %v, differences of the Hessian give %v", squared, i, gradient[i], want)
			}
		}
	}
}
