package engine_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

func TestFLOPs(t *testing.T) {
	// 2 images of 5×6, 3 channels to 4 by 3×3 windows, then 4 to 2 by 1×1.
	const (
		wide   = 2 * (2 * 5 * 6) * 3 * 4 * 9
		narrow = 2 * (2 * 5 * 6) * 4 * 2
	)
	for _, test := range []struct {
		name      string
		gradients []string // of the sum of all outputs
		varying   string
		want      float64
		again     float64
	}{
		{name: "forward", want: wide + narrow},
		{name: "forward, other images again", varying: "x", want: wide + narrow, again: wide + narrow},
		{name: "forward, other first kernel again", varying: "v", want: wide + narrow, again: wide + narrow},
		{name: "forward, other second kernel again", varying: "w", want: wide + narrow, again: narrow},
		{name: "gradient of the images", gradients: []string{"x"}, want: 2 * (wide + narrow)},
		{name: "gradient of the first kernel", gradients: []string{"v"}, want: 2*wide + 2*narrow},
		{name: "gradient of the second kernel", gradients: []string{"w"}, want: wide + 2*narrow},
		{name: "gradient of everything", gradients: []string{"x", "v", "w"}, want: 3 * (wide + narrow)},
		{name: "gradients, other second kernel again", gradients: []string{"v", "w"}, varying: "w", want: 2*wide + 3*narrow, again: wide + 2*narrow},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := graph.New()
			x := g.Input("x", graph.Activation, 2, 3, 5, 6)
			v := g.Input("v", graph.Parameter, 4, 3, 3, 3)
			w := g.Input("w", graph.Parameter, 2, 4, 1, 1)
			y := graph.NewConv(graph.NewReLU(graph.NewConv(x, v)), w)
			outputs := []*graph.Node{y}
			if test.gradients != nil {
				var wrt []*graph.Node
				for _, name := range test.gradients {
					wrt = append(wrt, g.Lookup(name))
				}
				gradients, err := g.Gradients(y, g.Input("seed", graph.Activation, 2, 2, 5, 6), wrt)
				if err != nil {
					t.Fatal(err)
				}
				outputs = append(outputs, gradients...)
			}
			plan, err := engine.NewPlan(g, outputs, test.varying)
			if err != nil {
				t.Fatal(err)
			}
			if got := plan.FLOPs(); got != test.want {
				t.Errorf("%v operations, want %v", got, test.want)
			}
			if got := plan.VaryingFLOPs(); got != test.again {
				t.Errorf("%v operations again, want %v", got, test.again)
			}
		})
	}
}
