package graph_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// The gradient of a node with several uses is a sum that this package makes, of its terms in
// order. Gorgonia's own sums are merged where 32 bits of hash agree.
func TestGradientsAreSummed(t *testing.T) {
	g := graph.New()
	x, seed := g.Input("x", graph.Activation, 1, 1, 1, 1), g.Input("seed", graph.Activation, 1, 1, 1, 1)
	y := graph.NewTanh(x)
	gradients, err := g.Gradients(graph.NewMultiply(y, graph.NewMultiply(y, y)), seed, []*graph.Node{y})
	if err != nil {
		t.Fatal(err)
	}
	terms := 0
	for sum := gradients[0]; sum != nil; {
		op, err := graph.AsOp(sum)
		if err != nil {
			t.Fatal(err)
		}
		terms++
		if op.Kind != graph.Add {
			break
		}
		sum = graph.Children(sum)[0]
	}
	if terms != 3 {
		t.Errorf("the gradient is a sum of %d terms, want 3", terms)
	}
}

func TestGradientsAreRefused(t *testing.T) {
	g := graph.New()
	x, other, seed := g.Input("x", graph.Activation, 1, 1, 1, 1), g.Input("other", graph.Activation, 1, 1, 1, 1), g.Input("seed", graph.Activation, 1, 1, 1, 1)
	y := graph.NewTanh(x)
	for _, wrt := range [][]*graph.Node{{other}, {x, other}} {
		if _, err := g.Gradients(y, seed, wrt); err == nil {
			t.Errorf("a gradient with respect to %v was accepted", wrt)
		}
	}
}
