package enginetest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/random"
)

// choices is a graph of two choices among three operations, the second with a
// choice inside, which the first 8 entries of m make, and a sum of edges, which
// the other two weigh.
var choices = Graph{"choices",
	[]Input{
		activation("x", 3, 5, 4, 4), parameter("m", 10),
		parameter("u1", 5, 5, 3, 3), parameter("v1", 5, 5, 1, 1), parameter("u2", 5, 5, 3, 3), parameter("v2", 5, 5, 1, 1),
	},
	func(n map[string]*graph.Node) *graph.Node {
		conv := func(x, w *graph.Node) *graph.Node { return graph.NewReLU(normalize(graph.NewConv(x, w))) }
		m, x := n["m"], n["x"]
		a := graph.NewWeightedSum(m, 0, graph.NewMaxPool(x, 3, 1, 1), conv(x, n["u1"]), conv(x, n["v1"]))
		sum := graph.NewWeightedSum(m, 8, x, a)
		inner := graph.NewWeightedSum(m, 6, conv(sum, n["v2"]), graph.NewMaxPool(sum, 3, 1, 1))
		b := graph.NewWeightedSum(m, 3, graph.NewMaxPool(sum, 3, 1, 1), conv(sum, n["u2"]), conv(inner, n["v1"]))
		return graph.NewMean(graph.NewConcat(a, b))
	}}

// guards makes runs of one program in which other operations are left out each
// time, after one that leaves something in their place that spoils whatever reads
// it, and compares them with the reference engine, which computes everything.
func (s suite) guards(t *testing.T) {
	open, tolerance := s.open, s.tolerance
	r := random.New(5, "guards")
	p, err := choices.NewProblem(r)
	if err != nil {
		t.Fatal(err)
	}
	const operations = 8
	var entries []int
	for e := range operations {
		entries = append(entries, e)
	}
	check := func(what string, g *graph.Graph, node *graph.Node, byMixing bool) {
		plan, err := engine.NewPlan(g, []*graph.Node{node})
		if err != nil {
			t.Fatal(err)
		}
		all := compile(t, ref.New[float64](1), plan)
		plan.AddGuards(entries, "m", "second")
		if guarded := slices.ContainsFunc(plan.Steps, func(s engine.Step) bool { return s.Guard != engine.Unguarded }); !guarded {
			t.Errorf("%s: nothing is guarded", what)
		}
		some := []*Evaluator{compile(t, open(1), plan), compile(t, open(3), plan)}
		values := map[string][]float64{}
		for name, v := range p.Values {
			values[name] = slices.Clone(v)
		}
		nan := map[string][]float64{}
		for name, v := range values {
			nan[name] = slices.Repeat([]float64{math.NaN()}, len(v))
		}
		for draw := range 8 {
			for e := range operations {
				values["m"][e] = float64(r.IntN(2)) * r.NormFloat64()
				if byMixing && values["second"] != nil {
					values["second"][e] = values["m"][e] * r.NormFloat64()
				}
			}
			if !s.steady(fmt.Sprintf("guards, %s, draw %d", what, draw), values, all) {
				continue
			}
			want := all.At(values)
			for e := range operations {
				if byMixing && values["m"][e] == 0 {
					want[e] = 0
				}
			}
			scale := 1.0
			for _, w := range want {
				scale = max(scale, math.Abs(w))
			}
			var first []float64
			for _, ev := range some {
				ev.At(nan)
				got := ev.At(values)
				for i, w := range want {
					if !(math.Abs(got[i]-w) <= tolerance*scale) {
						t.Fatalf("%s with weights %.2g: entry %d is %g, the reference %g", what, values["m"], i, got[i], w)
					}
				}
				if first == nil {
					first = got
				} else if !slices.Equal(got, first) {
					t.Errorf("%s: 3 threads give other bits than one", what)
				}
			}
		}
	}
	check("output", p.Graph, p.Output, false)
	for i, name := range p.Names {
		check("gradient of "+name, p.Graph, p.Gradients[i], name == "m")
		if name == "m" {
			g, product := p.Second(i, name)
			check("gradient of m again by m", g, product, true)
		}
	}
}

// guardedOutput asks for a result that a guard leaves out: it is zeros then.
func guardedOutput(t *testing.T, e engine.Engine) {
	g := graph.New()
	x, m := g.Input("x", graph.Activation, 1, 2, 2, 2), g.Input("m", graph.Parameter, 1)
	pool := graph.NewMaxPool(x, 3, 1, 1)
	stats := graph.NewBatchStats(pool)
	plan, err := engine.NewPlan(g, []*graph.Node{graph.NewWeightedSum(m, 0, graph.NewNormalize(pool, stats)), pool, stats})
	if err != nil {
		t.Fatal(err)
	}
	plan.AddGuards([]int{0}, "m")
	inputs := map[string]engine.Vector{"x": e.NewVector(8), "m": e.NewVector(1)}
	outputs := []engine.Vector{e.NewVector(8), e.NewVector(8), e.NewVector(4)}
	p, err := e.Compile(plan, inputs, outputs)
	if err != nil {
		t.Fatal(err)
	}
	inputs["x"].Write([]float64{1, 2, 3, 4, 8, 7, 6, 5})
	for _, weight := range []float64{2, 0, 3} {
		inputs["m"].Write([]float64{weight})
		p.Run()
		want := [][]float64{make([]float64, 8), make([]float64, 8), make([]float64, 4)}
		if weight != 0 { // every window holds the whole image
			want[1], want[2] = []float64{4, 4, 4, 4, 8, 8, 8, 8}, []float64{4, 8, 0, 0}
		}
		for i, w := range want {
			got := make([]float64, len(w))
			outputs[i].Read(got)
			if !slices.Equal(got, w) {
				t.Errorf("weight %g: output %d is %v, want %v", weight, i, got, w)
			}
		}
	}
}
