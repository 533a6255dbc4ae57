package ref_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/enginetest"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/random"
)

func TestConformance(t *testing.T) {
	t.Run("float64", func(t *testing.T) {
		enginetest.Conform(t, func(threads int) engine.Engine { return ref.New[float64](threads) }, 0)
	})
	t.Run("float32", func(t *testing.T) {
		enginetest.Conform(t, func(threads int) engine.Engine { return ref.New[float32](threads) }, 2e-6)
	})
}

// Channel g·3+a of the two groups of three becomes channel a·2+g.
func TestShuffle(t *testing.T) {
	g := graph.New()
	y := graph.NewShuffle(g.Input("x", graph.Activation, 2, 6, 1, 1), 2)
	got := enginetest.Compile(t, ref.New[float64](1), g, y).At(map[string][]float64{"x": {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15}})
	if want := []float64{0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15}; !slices.Equal(got, want) {
		t.Errorf("shuffled to %v, want %v", got, want)
	}
}

// TestDerivatives compares the first derivative of every operation, and the
// derivative of that, with central differences.
func TestDerivatives(t *testing.T) {
	e := ref.New[float64](2)
	for _, g := range enginetest.Graphs {
		t.Run(g.Name, func(t *testing.T) {
			p, err := g.NewProblem(random.New(1, g.Name))
			if err != nil {
				t.Fatal(err)
			}
			value := enginetest.Compile(t, e, p.Graph, p.Output)
			for i, name := range p.Names {
				gradient := enginetest.Compile(t, e, p.Graph, p.Gradients[i])
				check(t, "gradient of "+name, value, gradient, "seed", name, p.Values)
				for _, other := range append(slices.Clone(p.Names), "seed") {
					var product *enginetest.Evaluator
					if second, node := p.Second(i, other); node != nil {
						product = enginetest.Compile(t, e, second, node)
					}
					check(t, fmt.Sprintf("gradient of %s again by %s", name, other), gradient, product, "second", other, p.Values)
				}
			}
		})
	}
}

// check compares derivative (nil: zero) with the central differences of
// ⟨weights, value⟩ with respect to the input named by, at up to 40 entries.
func check(t *testing.T, what string, value, derivative *enginetest.Evaluator, weights, by string, values map[string][]float64) {
	t.Helper()
	const h = 1e-5
	moved := values[by]
	got := make([]float64, len(moved))
	if derivative != nil {
		got = derivative.At(values)
	}
	for i := 0; i < len(moved); i += max(1, len(moved)/40) {
		center := moved[i]
		moved[i] = center + h
		up := inner(values[weights], value.At(values))
		moved[i] = center - h
		down := inner(values[weights], value.At(values))
		moved[i] = center
		want := (up - down) / (2 * h)
		if math.Abs(got[i]-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("%s: entry %d is %.9g, differences give %.9g", what, i, got[i], want)
			return
		}
	}
}

func inner(a, b []float64) (s float64) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}
