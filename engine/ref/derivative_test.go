package ref_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nb1shot/nb1shot/engine"
	"github.com/nb1shot/nb1shot/engine/ref"
	"github.com/nb1shot/nb1shot/graph"
	"github.com/nb1shot/nb1shot/random"
)

// evaluator computes one output of a graph for given inputs.
type evaluator struct {
	program engine.Program
	inputs  map[string]engine.Vector
	output  engine.Vector
	size    int
}

func compile(t *testing.T, e engine.Engine, g *graph.Graph, output *graph.Node) *evaluator {
	t.Helper()
	plan, err := engine.NewPlan(g, []*graph.Node{output})
	if err != nil {
		t.Fatal(err)
	}
	ev := &evaluator{inputs: map[string]engine.Vector{}}
	for _, v := range plan.Values {
		if v.Input != "" {
			ev.inputs[v.Input] = e.NewVector(v.Size())
		}
	}
	ev.size = plan.Values[plan.Outputs[0]].Size()
	ev.output = e.NewVector(ev.size)
	ev.program, err = e.Compile(plan, ev.inputs, []engine.Vector{ev.output})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func (ev *evaluator) at(values map[string][]float64) []float64 {
	for name, v := range ev.inputs {
		v.Write(values[name])
	}
	ev.program.Run()
	out := make([]float64, ev.size)
	ev.output.Read(out)
	return out
}

func inner(a, b []float64) (s float64) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// in is an input of a test graph.
type in struct {
	name  string
	role  graph.Role
	shape []int
}

func x(shape ...int) in { return in{"x", graph.Activation, shape} }

var derivativeCases = []struct {
	name   string
	inputs []in
	build  func(n map[string]*graph.Node) *graph.Node
}{
	{"3×3 convolution", []in{x(2, 3, 4, 5), {"w", graph.Parameter, []int{5, 3, 3, 3}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"1×1 convolution", []in{x(2, 5, 3, 3), {"w", graph.Parameter, []int{2, 5, 1, 1}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"5×5 convolution, window larger than the image", []in{x(1, 2, 3, 2), {"w", graph.Parameter, []int{2, 2, 5, 5}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"3×3 max-pool", []in{x(2, 2, 4, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 3, 1, 1) }},
	{"2×2 max-pool, stride 2, padding 1", []in{x(2, 2, 5, 4)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 2, 2, 1) }},
	{"batch normalisation", []in{x(3, 2, 2, 3)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewNormalize(n["x"], graph.NewBatchStats(n["x"]))
		}},
	{"normalisation by running statistics", []in{x(3, 2, 2, 2), {"positive", graph.Parameter, []int{2, 2}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewNormalizeFixed(n["x"], n["positive"]) }},
	{"scaled and shifted channels", []in{x(2, 3, 2, 2), {"a", graph.Parameter, []int{3}}, {"b", graph.Parameter, []int{3}}},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewShiftChannels(graph.NewScaleChannels(n["x"], n["a"]), n["b"])
		}},
	{"ReLU", []in{x(2, 2, 3, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewReLU(n["x"]) }},
	{"weighted sum", []in{x(2, 2, 2, 2), {"y", graph.Activation, []int{2, 2, 2, 2}}, {"m", graph.Parameter, []int{5}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewWeightedSum(n["m"], 1, n["x"], n["y"]) }},
	{"sum, concatenation and slice", []in{x(2, 2, 2, 2), {"y", graph.Activation, []int{2, 3, 2, 2}}},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewConcat(n["x"], n["y"], n["x"])
			return graph.NewSlice(graph.NewAdd(c, c, graph.NewConcat(n["y"], n["x"], n["x"])), 1, 6)
		}},
	{"mean over positions", []in{x(2, 3, 3, 2)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMean(n["x"]) }},
	{"cross-entropy", []in{x(3, 4, 1, 1), {"labels", graph.Activation, []int{3, 4, 1, 1}}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewCrossEntropy(n["x"], n["labels"]) }},
	{"convolution, batch norm, ReLU and pooling together", []in{x(3, 2, 4, 4), {"w", graph.Parameter, []int{3, 2, 3, 3}}, {"m", graph.Parameter, []int{2}}},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewConv(n["x"], n["w"])
			c = graph.NewReLU(graph.NewNormalize(c, graph.NewBatchStats(c)))
			return graph.NewWeightedSum(n["m"], 0, c, graph.NewMaxPool(c, 3, 1, 1))
		}},
}

// isConstant names the inputs that are not differentiated.
func isConstant(name string) bool { return name == "labels" || name == "positive" }

// TestDerivatives compares the first derivative of every operation, and the
// derivative of that, with central differences.
func TestDerivatives(t *testing.T) {
	e := ref.New[float64](2)
	for _, c := range derivativeCases {
		t.Run(c.name, func(t *testing.T) {
			r := random.New(1, c.name)
			g := graph.New()
			nodes, values := map[string]*graph.Node{}, map[string][]float64{}
			roles := map[string]graph.Role{}
			var wrt []*graph.Node
			var names []string
			for _, i := range c.inputs {
				nodes[i.name] = g.Input(i.name, i.role, i.shape...)
				roles[i.name] = i.role
				values[i.name] = draw(r, i.shape, i.name)
				if !isConstant(i.name) {
					wrt = append(wrt, nodes[i.name])
					names = append(names, i.name)
				}
			}
			y := c.build(nodes)
			role := graph.Activation
			if y.IsScalar() {
				role = graph.Parameter
			}
			seed := g.Input("seed", role, y.Shape()...)
			values["seed"] = draw(r, y.Shape(), "seed")
			value := compile(t, e, g, y)
			gradients, err := g.Gradients(y, seed, wrt)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				check(t, "gradient of "+name, value, compile(t, e, g, gradients[i]), "seed", name, values)

				again, replayed := g.Replay(gradients[i])
				second := again.Input("second", roles[name], replayed[0].Shape()...)
				values["second"] = draw(r, replayed[0].Shape(), "second")
				for _, other := range append(names, "seed") {
					if again.Lookup(other) == nil {
						continue
					}
					// differentiating needs a fresh copy each time
					g2, outs := again.Replay(replayed[0], second)
					var product *evaluator
					products, err := g2.Gradients(outs[0], outs[1], []*graph.Node{g2.Lookup(other)})
					if err == nil { // otherwise there is no path, and the differences must vanish
						product = compile(t, e, g2, products[0])
					}
					check(t, fmt.Sprintf("gradient of %s again by %s", name, other),
						compile(t, e, g, gradients[i]), product, "second", other, values)
				}
			}
		})
	}
}

func draw(r *rand.Rand, shape []int, name string) []float64 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
		if name == "positive" {
			v[i] = 0.5 + r.Float64()
		}
	}
	if name == "labels" {
		clear(v)
		for i := range shape[0] {
			v[i*shape[1]+r.IntN(shape[1])] = 1
		}
	}
	return v
}

// check compares derivative (nil: zero) with the central differences of
// ⟨weights, value⟩ with respect to the input named by.
func check(t *testing.T, what string, value, derivative *evaluator, weights, by string, values map[string][]float64) {
	t.Helper()
	const h = 1e-5
	moved := values[by]
	got := make([]float64, len(moved))
	if derivative != nil {
		got = derivative.at(values)
	}
	for i, center := range moved {
		moved[i] = center + h
		up := inner(values[weights], value.at(values))
		moved[i] = center - h
		down := inner(values[weights], value.at(values))
		moved[i] = center
		want := (up - down) / (2 * h)
		if math.Abs(got[i]-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("%s: entry %d is %.9g, differences give %.9g", what, i, got[i], want)
			return
		}
	}
}
