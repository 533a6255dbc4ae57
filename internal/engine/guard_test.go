package engine_test

import (
	"maps"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// Which steps get which guard.
func TestAddGuards(t *testing.T) {
	const unguarded = engine.Unguarded
	g := graph.New()
	x, w := g.Input("x", graph.Activation, 2, 3, 4, 4), g.Input("w", graph.Parameter, 3, 3, 3, 3)
	m := g.Input("m", graph.Parameter, 4)
	edge := graph.NewMean(x)
	pool := graph.NewMaxPool(x, 3, 1, 1)
	conv := graph.NewReLU(graph.NewConv(x, w))
	both := graph.NewMaxPool(graph.NewReLU(x), 3, 1, 1) // also goes where no weight is
	y := graph.NewAdd(graph.NewMean(graph.NewWeightedSum(m, 0, pool, conv, both)), graph.NewWeightedSum(m, 3, edge), graph.NewMean(both))
	gradients, err := g.Gradients(y, g.Input("seed", graph.Activation, 2, 3, 1, 1), []*graph.Node{m, w})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.NewPlan(g, append(gradients, y))
	if err != nil {
		t.Fatal(err)
	}
	plan.AddGuards([]int{0, 1, 2}, "m")
	if plan.GuardInput != "m" {
		t.Errorf("guards are entries of %q", plan.GuardInput)
	}
	type step struct {
		kind  graph.Kind
		guard int
	}
	got := map[step]int{}
	for _, s := range plan.Steps {
		got[step{s.Kind, s.Guard}]++
	}
	want := map[step]int{
		{graph.MaxPool, 0}: 1, {graph.Conv, 1}: 1, {graph.ReLU, 1}: 1,
		{graph.WeightedSum, 1}: 1, {graph.ReLUBack, 1}: 1, {graph.ConvWeight, 1}: 1, // the gradient
		{graph.MaxPool, unguarded}: 1, {graph.ReLU, unguarded}: 1,
		{graph.WeightedSum, unguarded}: 2, {graph.InnerProducts, unguarded}: 2, {graph.MeanBack, unguarded}: 1,
		{graph.Mean, unguarded}: 3, {graph.Add, unguarded}: 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("steps by guard: %v, want %v", got, want)
	}
	all, varying := plan.GuardedFLOPs()
	if want := 2.0 * 2 * (2 * 4 * 4) * 3 * 3 * 9; all[1] != want || len(all) != 2 || len(varying) != 0 {
		t.Errorf("%v and %v guarded operations, want %g of entry 1", all, varying, want)
	}

	// Without entries, or without the input, nothing is guarded.
	for _, input := range []string{"m", "other"} {
		plan, err := engine.NewPlan(g, append(gradients, y))
		if err != nil {
			t.Fatal(err)
		}
		var entries []int
		if input == "other" {
			entries = []int{0, 1, 2}
		}
		plan.AddGuards(entries, input)
		for _, s := range plan.Steps {
			if s.Guard != unguarded || plan.GuardInput != "" {
				t.Errorf("%s has the guard %d of %q", s.Kind, s.Guard, plan.GuardInput)
			}
		}
	}
}
