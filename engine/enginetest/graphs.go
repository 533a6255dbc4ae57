// Package enginetest is the conformance suite that every engine passes: small
// graphs that together use every operation and its derivatives, computed by the
// engine and by the reference engine in float64.
package enginetest

import (
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/graph"
)

// Input is an input of a test graph.
type Input struct {
	Name     string
	Role     graph.Role
	Shape    []int
	Constant bool // not differentiated
	Draw     func(r *rand.Rand, v []float64)
}

// Graph is a small graph to compute and differentiate.
type Graph struct {
	Name   string
	Inputs []Input
	Build  func(n map[string]*graph.Node) *graph.Node
}

func normal(r *rand.Rand, v []float64) {
	for i := range v {
		v[i] = r.NormFloat64()
	}
}

func positive(r *rand.Rand, v []float64) {
	for i := range v {
		v[i] = 0.5 + r.Float64()
	}
}

func activation(name string, shape ...int) Input {
	return Input{Name: name, Role: graph.Activation, Shape: shape, Draw: normal}
}

func parameter(name string, shape ...int) Input {
	return Input{Name: name, Role: graph.Parameter, Shape: shape, Draw: normal}
}

func normalize(x *graph.Node) *graph.Node { return graph.NewNormalize(x, graph.NewBatchStats(x)) }

// Graphs are the graphs of the suite.
var Graphs = []Graph{
	{"3×3 convolution", []Input{activation("x", 2, 3, 4, 5), parameter("w", 5, 3, 3, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"1×1 convolution", []Input{activation("x", 2, 5, 3, 3), parameter("w", 2, 5, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"1×1 convolution of many elements", []Input{activation("x", 9, 4, 17, 17), parameter("w", 3, 4, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMean(graph.NewConv(n["x"], n["w"])) }},
	{"5×5 convolution, window larger than the image", []Input{activation("x", 1, 2, 3, 2), parameter("w", 2, 2, 5, 5)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"3×3 max-pool", []Input{activation("x", 2, 2, 4, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 3, 1, 1) }},
	{"2×2 max-pool, stride 2, padding 1", []Input{activation("x", 2, 2, 5, 4)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 2, 2, 1) }},
	{"batch normalisation", []Input{activation("x", 3, 2, 2, 3)},
		func(n map[string]*graph.Node) *graph.Node { return normalize(n["x"]) }},
	{"normalisation by running statistics",
		[]Input{activation("x", 3, 2, 2, 2), {Name: "stats", Role: graph.Parameter, Shape: []int{2, 2}, Constant: true, Draw: positive}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewNormalizeFixed(n["x"], n["stats"]) }},
	{"scaled and shifted channels", []Input{activation("x", 2, 3, 2, 2), parameter("a", 3), parameter("b", 3)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewShiftChannels(graph.NewScaleChannels(n["x"], n["a"]), n["b"])
		}},
	{"ReLU", []Input{activation("x", 2, 2, 3, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewReLU(n["x"]) }},
	{"weighted sum", []Input{activation("x", 2, 2, 2, 2), activation("y", 2, 2, 2, 2), parameter("m", 5)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewWeightedSum(n["m"], 1, n["x"], n["y"]) }},
	{"sum, concatenation and slice", []Input{activation("x", 2, 2, 2, 2), activation("y", 2, 3, 2, 2)},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewConcat(n["x"], n["y"], n["x"])
			return graph.NewSlice(graph.NewAdd(c, c, graph.NewConcat(n["y"], n["x"], n["x"])), 1, 6)
		}},
	{"mean over positions", []Input{activation("x", 2, 3, 3, 2)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMean(n["x"]) }},
	{"cross-entropy",
		[]Input{activation("x", 3, 4, 1, 1), {Name: "labels", Role: graph.Activation, Shape: []int{3, 4, 1, 1}, Constant: true, Draw: oneHot}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewCrossEntropy(n["x"], n["labels"]) }},
	{"convolution, batch norm, ReLU and pooling together", []Input{activation("x", 3, 2, 4, 4), parameter("w", 3, 2, 3, 3), parameter("m", 2)},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewReLU(normalize(graph.NewConv(n["x"], n["w"])))
			return graph.NewWeightedSum(n["m"], 0, c, graph.NewMaxPool(c, 3, 1, 1))
		}},
}

// oneHot draws labels among 4 classes.
func oneHot(r *rand.Rand, v []float64) {
	clear(v)
	for i := 0; i < len(v); i += 4 {
		v[i+r.IntN(4)] = 1
	}
}

// Problem is a graph of the suite with values for its inputs, and nodes that
// contract its output and its gradients to scalars.
type Problem struct {
	*graph.Graph
	Output, Seed *graph.Node
	Names        []string // inputs to differentiate
	Gradients    []*graph.Node
	Values       map[string][]float64

	r *rand.Rand
}

// NewProblem builds and differentiates the graph.
func (g Graph) NewProblem(r *rand.Rand) (*Problem, error) {
	p := &Problem{Graph: graph.New(), Values: map[string][]float64{}, r: r}
	nodes := map[string]*graph.Node{}
	var wrt []*graph.Node
	for _, in := range g.Inputs {
		nodes[in.Name] = p.Input(in.Name, in.Role, in.Shape...)
		p.Values[in.Name] = make([]float64, nodes[in.Name].Shape().TotalSize())
		in.Draw(r, p.Values[in.Name])
		if !in.Constant {
			wrt = append(wrt, nodes[in.Name])
			p.Names = append(p.Names, in.Name)
		}
	}
	p.Output = g.Build(nodes)
	p.Seed = p.contraction(p.Graph, "seed", p.Output)
	var err error
	p.Gradients, err = p.Graph.Gradients(p.Output, p.Seed, wrt)
	return p, err
}

// contraction adds an input of the shape of y with random values.
func (p *Problem) contraction(g *graph.Graph, name string, y *graph.Node) *graph.Node {
	role := graph.Parameter
	if y.Dims() == 4 {
		role = graph.Activation
	}
	for _, n := range p.Names { // the gradient of a kernel is no activation
		if in, _ := p.InputOf(p.Lookup(n)); in.Role == graph.Parameter && in.Node.Shape().Eq(y.Shape()) {
			role = graph.Parameter
		}
	}
	p.Values[name] = make([]float64, max(y.Shape().TotalSize(), 1))
	normal(p.r, p.Values[name])
	return g.Input(name, role, y.Shape()...)
}

// Second differentiates once more: gradient i, contracted with the input
// "second", with respect to the input of the given name. It returns nil where
// the gradient does not depend on that input.
func (p *Problem) Second(i int, name string) (*graph.Graph, *graph.Node) {
	g, nodes := p.Replay(p.Gradients[i])
	second := p.contraction(g, "second", nodes[0])
	if g.Lookup(name) == nil {
		return nil, nil
	}
	products, err := g.Gradients(nodes[0], second, []*graph.Node{g.Lookup(name)})
	if err != nil { // gorgonia finds no path
		return nil, nil
	}
	return g, products[0]
}
