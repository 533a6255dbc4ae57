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
		enginetest.ConformRecurrent(t, func(threads int) engine.Engine { return ref.New[float64](threads) }, 0)
	})
	t.Run("float32", func(t *testing.T) {
		enginetest.Conform(t, func(threads int) engine.Engine { return ref.New[float32](threads) }, 2e-6)
		enginetest.ConformRecurrent(t, func(threads int) engine.Engine { return ref.New[float32](threads) }, 2e-6)
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

// A row without a gradient: looked up like any other, but nothing flows back to it, and
// nothing through that.
func TestEmbeddingWithoutRow(t *testing.T) {
	g := graph.New()
	w, numbers := g.Input("w", graph.Parameter, 3, 2, 1, 1), g.Input("t", graph.Activation, 1, 1, 3, 1)
	y := graph.NewEmbedding(w, numbers, 2)
	gradients, err := g.Gradients(y, g.Input("seed", graph.Activation, 1, 2, 3, 1), []*graph.Node{w})
	if err != nil {
		t.Fatal(err)
	}
	again, nodes := g.Replay(gradients[0])
	products, err := again.Gradients(nodes[0], again.Input("u", graph.Parameter, 3, 2, 1, 1), []*graph.Node{again.Lookup("seed")})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{"w": {1, 2, 3, 4, 5, 6}, "t": {2, 0, 2}, "seed": {1, 2, 3, 10, 20, 30}, "u": {1, 2, 3, 4, 5, 6}}
	for _, c := range []struct {
		name string
		of   *graph.Graph
		node *graph.Node
		want []float64
	}{
		{"output", g, y, []float64{5, 1, 5, 6, 2, 6}},
		{"gradient", g, gradients[0], []float64{2, 20, 0, 0, 0, 0}},
		{"product", again, products[0], []float64{0, 1, 0, 0, 2, 0}},
	} {
		if got := enginetest.Compile(t, ref.New[float64](1), c.of, c.node).At(values); !slices.Equal(got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDerivatives compares the first derivative of every operation, and the
// derivative of that, with central differences.
func TestDerivatives(t *testing.T) {
	e := ref.New[float64](2)
	for _, g := range slices.Concat(enginetest.Graphs, enginetest.Recurrent) {
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
