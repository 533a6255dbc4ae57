package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/graph"
)

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one with %q", got, want)
		}
	}()
	f()
}

func TestInputNamesAreUnique(t *testing.T) {
	g := graph.New()
	g.Input("x", graph.Parameter, 3)
	mustPanic(t, `"x" added twice`, func() { g.Input("x", graph.Parameter, 3) })
}

// Gorgonia merges nodes by a hash that leaves the operands out. Equal
// operations on different operands must stay apart.
func TestEqualOperationsStayApart(t *testing.T) {
	g := graph.New()
	x, y := g.Input("x", graph.Activation, 1, 2, 2, 2), g.Input("y", graph.Activation, 1, 2, 2, 2)
	a, b := graph.NewReLU(x), graph.NewReLU(y)
	if a == b {
		t.Fatal("ReLU of two inputs is one node")
	}
	if got := graph.Children(b); !slices.Equal(got, []*graph.Node{y}) {
		t.Errorf("ReLU(y) has the operands %v", got)
	}
}

func TestShapesAreChecked(t *testing.T) {
	g := graph.New()
	x := g.Input("x", graph.Activation, 2, 3, 4, 4)
	w := g.Input("w", graph.Parameter, 5, 2, 3, 3)
	y := g.Input("y", graph.Activation, 2, 3, 5, 5)
	m := g.Input("m", graph.Parameter, 2)
	mustPanic(t, "conv", func() { graph.NewConv(x, w) })
	mustPanic(t, "concat", func() { graph.NewConcat(x, y) })
	mustPanic(t, "add", func() { graph.NewAdd(x, y) })
	mustPanic(t, "mixing weights", func() { graph.NewWeightedSum(m, 1, x, x) })
	mustPanic(t, "channels", func() { graph.NewSlice(x, 2, 4) })
	mustPanic(t, "statistics of another", func() { graph.NewNormalize(x, graph.NewBatchStats(y)) })
}

// Differentiating a replayed expression gives fresh nodes in a fresh graph; the
// original keeps its own.
func TestReplay(t *testing.T) {
	g := graph.New()
	x := g.Input("x", graph.Activation, 1, 1, 2, 2)
	w := g.Input("w", graph.Parameter, 1, 1, 1, 1)
	y := graph.NewConv(x, w)
	seed := g.Input("seed", graph.Activation, 1, 1, 2, 2)
	first, err := g.Gradients(y, seed, []*graph.Node{w})
	if err != nil {
		t.Fatal(err)
	}
	copied, nodes := g.Replay(first[0])
	if copied.Lookup("x") == x || copied.Lookup("w") != nil {
		t.Error("the copy shares an input or has one that the expression does not need")
	}
	second := copied.Input("second", graph.Parameter, 1, 1, 1, 1)
	again, err := copied.Gradients(nodes[0], second, []*graph.Node{copied.Lookup("x")})
	if err != nil {
		t.Fatal(err)
	}
	op, err := graph.AsOp(again[0])
	if err != nil || op.Kind != graph.ConvData {
		t.Errorf("derivative of the kernel's gradient by x is %v, %v; want %s", op, err, graph.ConvData)
	}
}
