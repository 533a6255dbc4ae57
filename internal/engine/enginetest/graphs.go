// Package enginetest is the conformance suite that every engine passes: small
// graphs that together use every operation and its derivatives, computed by the
// engine and by the reference engine in float64.
package enginetest

import (
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/internal/graph"
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

// whole draws numbers of which many are equal.
func whole(r *rand.Rand, v []float64) {
	for i := range v {
		v[i] = float64(r.IntN(4) - 1)
	}
}

func activation(name string, shape ...int) Input {
	return Input{Name: name, Role: graph.Activation, Shape: shape, Draw: normal}
}

func parameter(name string, shape ...int) Input {
	return Input{Name: name, Role: graph.Parameter, Shape: shape, Draw: normal}
}

func normalize(x *graph.Node) *graph.Node { return graph.NewNormalize(x, graph.NewBatchStats(x)) }

// Graphs are the graphs of the suite. Most have an even number of images, which an engine
// may compute two at a time.
var Graphs = []Graph{
	{"3×3 convolution", []Input{activation("x", 2, 3, 4, 5), parameter("w", 5, 3, 3, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"1×1 convolution", []Input{activation("x", 2, 5, 3, 3), parameter("w", 2, 5, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"1×1 convolution of many elements", []Input{activation("x", 10, 4, 17, 17), parameter("w", 3, 4, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMean(graph.NewConv(n["x"], n["w"])) }},
	{"5×5 convolution, window larger than the image", []Input{activation("x", 1, 2, 3, 2), parameter("w", 2, 2, 5, 5)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewConv(n["x"], n["w"]) }},
	{"3×3 max-pool", []Input{activation("x", 2, 2, 4, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 3, 1, 1) }},
	{"2×2 max-pool, stride 2, padding 1", []Input{activation("x", 2, 2, 5, 4)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 2, 2, 1) }},
	{"2×2 max-pools, stride 2, padding 1, and a convolution", []Input{activation("x", 2, 9, 4, 7), parameter("w", 9, 9, 3, 3), parameter("m", 2)},
		func(n map[string]*graph.Node) *graph.Node {
			x := n["x"]
			return graph.NewWeightedSum(n["m"], 0, graph.NewMaxPool(x, 2, 2, 1), graph.NewMaxPool(graph.NewConv(x, n["w"]), 2, 2, 1))
		}},
	{"batch normalisation", []Input{activation("x", 4, 2, 2, 3)},
		func(n map[string]*graph.Node) *graph.Node { return normalize(n["x"]) }},
	{"normalisation by running statistics",
		[]Input{activation("x", 4, 2, 2, 2), {Name: "stats", Role: graph.Parameter, Shape: []int{2, 2}, Constant: true, Draw: positive}},
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
	{"parts of sums, padded", []Input{activation("x", 2, 40, 2, 1), activation("y", 2, 40, 2, 1)},
		func(n map[string]*graph.Node) *graph.Node {
			s := graph.NewAdd(n["x"], n["y"])
			return graph.NewConcat(graph.NewSlice(s, 0, 5), graph.NewReLU(graph.NewSlice(s, 5, 21)), graph.NewSlice(n["x"], 16, 33), graph.NewSlice(s, 30, 40))
		}},
	{"shuffled channels", []Input{activation("x", 2, 12, 2, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewShuffle(n["x"], 4) }},
	{"shuffled channels, more than one block, odd groups", []Input{activation("x", 2, 35, 2, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewShuffle(graph.NewShuffle(n["x"], 5), 5) }},
	{"scaled images", []Input{activation("x", 4, 2, 2, 3), constants("d", 4)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewScaleImages(n["x"], n["d"]) }},
	{"images scaled twice, shifted between", []Input{activation("x", 4, 2, 2, 3), parameter("b", 2), constants("d", 4), constants("e", 4)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewReLU(graph.NewScaleImages(graph.NewShiftChannels(graph.NewScaleImages(n["x"], n["d"]), n["b"]), n["e"]))
		}},
	depthwise("3×3", 2, 3, 5, 4, graph.Attr{K: 3, S: 1, P: 1, D: 1}),
	depthwise("3×3, stride 2", 4, 2, 5, 6, graph.Attr{K: 3, S: 2, P: 1, D: 1}),
	depthwise("3×3, dilation 2", 2, 17, 5, 3, graph.Attr{K: 3, S: 1, P: 2, D: 2}),
	depthwise("5×5", 1, 33, 4, 3, graph.Attr{K: 5, S: 1, P: 2, D: 1}),
	depthwise("5×5, stride 2, dilation 2", 2, 3, 7, 6, graph.Attr{K: 5, S: 2, P: 4, D: 2}),
	depthwise("7×7, stride 2, window larger than the image", 2, 2, 3, 2, graph.Attr{K: 7, S: 2, P: 3, D: 1}),
	{"3×3 average-pool", []Input{activation("x", 2, 3, 4, 3)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewAveragePool(n["x"], 3, 1, 1) }},
	{"3×3 average-pool, stride 2", []Input{activation("x", 2, 18, 5, 6)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewAveragePool(n["x"], 3, 2, 1) }},
	{"5×5 average-pool, stride 3, without padding", []Input{activation("x", 2, 2, 8, 9)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewAveragePool(n["x"], 5, 3, 0) }},
	{"3×3 max-pool, stride 2, odd sides", []Input{activation("x", 2, 3, 5, 7)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMaxPool(n["x"], 3, 2, 1) }},
	{"every second row and column", []Input{activation("x", 2, 3, 5, 4)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewSubsample(n["x"], 2, 0) }},
	{"every second row and column from the second", []Input{activation("x", 2, 17, 4, 6)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewSubsample(n["x"], 2, 1) }},
	{"masked activation", []Input{activation("x", 2, 3, 2, 3), {Name: "m", Role: graph.Activation, Shape: []int{2, 3, 2, 3}, Constant: true, Draw: positive}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMask(n["x"], n["m"]) }},
	{"factorised reduction", []Input{activation("x", 4, 5, 6, 4), parameter("even", 3, 5, 1, 1), parameter("odd", 3, 5, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node {
			r := graph.NewReLU(n["x"])
			half := func(from int, w string) *graph.Node { return graph.NewConv(graph.NewSubsample(r, 2, from), n[w]) }
			return normalize(graph.NewConcat(half(0, "even"), half(1, "odd")))
		}},
	mixedOperation(1, 3, 5, 4),
	mixedOperation(2, 20, 6, 7),
	{"mean over positions", []Input{activation("x", 2, 3, 3, 2)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMean(n["x"]) }},
	{"cross-entropy",
		[]Input{activation("x", 4, 4, 1, 1), {Name: "labels", Role: graph.Activation, Shape: []int{4, 4, 1, 1}, Constant: true, Draw: oneHot}},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewCrossEntropy(n["x"], n["labels"]) }},
	{"convolution, batch norm, ReLU and pooling together", []Input{activation("x", 4, 2, 4, 4), parameter("w", 3, 2, 3, 3), parameter("m", 2)},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewReLU(normalize(graph.NewConv(n["x"], n["w"])))
			return graph.NewWeightedSum(n["m"], 0, c, graph.NewMaxPool(c, 3, 1, 1))
		}},
	partial(4, 2, 3),
	partial(16, 4, 4),
	partial(20, 4, 3),
	partial(32, 4, 3),
	partial(64, 4, 2),
	{"drop path", []Input{activation("x", 4, 3, 3, 4), parameter("w", 3, 3, 1, 1), parameter("m", 2), constants("d", 4)},
		func(n map[string]*graph.Node) *graph.Node {
			c := graph.NewReLU(normalize(graph.NewConv(n["x"], n["w"])))
			return graph.NewWeightedSum(n["m"], 0, graph.NewScaleImages(c, n["d"]), graph.NewMaxPool(n["x"], 3, 1, 1))
		}},
	{"auxiliary head, but for its last batch norm", []Input{activation("x", 4, 3, 8, 8), parameter("v", 5, 3, 1, 1), parameter("w", 18, 20, 1, 1), position(0, 5), position(1, 5), position(2, 5), position(3, 5)},
		func(n map[string]*graph.Node) *graph.Node {
			x := graph.NewReLU(normalize(graph.NewConv(graph.NewAveragePool(graph.NewReLU(n["x"]), 5, 3, 0), n["v"])))
			var positions []*graph.Node
			for i := range 4 {
				positions = append(positions, graph.NewDepthwise(x, n[fmt.Sprint("position ", i)], 2, 0, 1))
			}
			return graph.NewReLU(graph.NewConv(graph.NewShuffle(graph.NewConcat(positions...), 4), n["w"]))
		}},
}

// Kinks are more graphs of the suite, whose inputs are where they have no derivative but
// the one that the specification chooses: the first of several maxima gets the gradient.
var Kinks = []Graph{
	{"max-pools of equal entries", []Input{{Name: "x", Role: graph.Activation, Shape: []int{2, 9, 5, 7}, Draw: whole}},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewConcat(graph.NewMaxPool(n["x"], 2, 2, 1), graph.NewMaxPool(n["x"], 3, 2, 1))
		}},
}

// Recurrent are graphs of the operations that language models need. An engine that has them
// passes ConformRecurrent; the CUDA engine does not.
var Recurrent = []Graph{
	{"product with a matrix", []Input{activation("x", 4, 4, 2, 1), parameter("w", 4, 5, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewProduct(n["x"], n["w"]) }},
	{"sigmoid", []Input{activation("x", 2, 3, 2, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewSigmoid(n["x"]) }},
	{"hyperbolic tangent", []Input{activation("x", 2, 3, 2, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewTanh(n["x"]) }},
	{"product of activations", []Input{activation("x", 2, 3, 2, 1), activation("y", 2, 3, 2, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMultiply(n["x"], n["y"]) }},
	{"weighted rows", []Input{activation("x", 2, 3, 3, 2), activation("y", 2, 3, 3, 2), parameter("m", 13)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewWeightedRows(n["m"], 1, 4, n["x"], n["y"], n["x"])
		}},
	{"rows taken and stacked", []Input{activation("x", 2, 3, 2, 2), activation("y", 2, 3, 3, 2)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewRows(graph.NewStackRows(n["y"], n["x"], n["y"]), 2, 7)
		}},
	{"embedding", []Input{numbers("t", 6, 2, 1, 4, 1), parameter("w", 6, 3, 1, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewEmbedding(n["w"], n["t"], -1) }},
	{"tied embedding and cross-entropy", []Input{numbers("t", 4, 3, 1, 4, 1), numbers("next", 4, 3, 1, 4, 1), parameter("w", 4, 3, 1, 1), parameter("b", 4)},
		func(n map[string]*graph.Node) *graph.Node {
			logits := graph.NewShiftChannels(graph.NewConv(graph.NewTanh(graph.NewEmbedding(n["w"], n["t"], -1)), n["w"]), n["b"])
			return graph.NewSparseCrossEntropy(logits, n["next"])
		}},
	{"cross-entropy of classes by number", []Input{activation("x", 3, 5, 2, 2), numbers("t", 5, 3, 1, 2, 2)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewSparseCrossEntropy(n["x"], n["t"]) }},
	{"mean of products", []Input{activation("x", 2, 3, 4, 1), activation("y", 2, 3, 4, 1)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewMeanProduct(n["x"], graph.NewTanh(n["y"]))
		}},
	{"mean of squares", []Input{activation("x", 2, 3, 4, 1)},
		func(n map[string]*graph.Node) *graph.Node { return graph.NewMeanProduct(n["x"], n["x"]) }},
	{"gates of a recurrent cell", []Input{activation("s", 12, 2, 3, 1), parameter("w", 2, 4, 1, 1), parameter("m", 15), {Name: "one", Role: graph.Parameter, Shape: []int{2}, Constant: true, Draw: difference}},
		func(n map[string]*graph.Node) *graph.Node {
			s := n["s"]
			cz := graph.NewProduct(s, n["w"])
			c, z := graph.NewSigmoid(graph.NewSlice(cz, 0, 2)), graph.NewSlice(cz, 2, 4)
			mixed := graph.NewWeightedRows(n["m"], 1, 5, graph.NewTanh(z), graph.NewReLU(z), graph.NewSigmoid(z), z)
			kept := graph.NewWeightedRows(n["m"], 1, 5, s, s, s, s)
			return normalize(graph.NewMean(graph.NewAdd(kept, graph.NewMultiply(c, graph.NewWeightedSum(n["one"], 0, mixed, kept)))))
		}},
}

// numbers are an activation of whole numbers below n.
func numbers(name string, n int, shape ...int) Input {
	return Input{Name: name, Role: graph.Activation, Shape: shape, Constant: true, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = float64(r.IntN(n))
		}
	}}
}

// difference are the weights of a difference.
func difference(_ *rand.Rand, v []float64) { v[0], v[1] = 1, -1 }

// position are 2×2 kernels that take one position of four.
func position(i, channels int) Input {
	return Input{Name: fmt.Sprint("position ", i), Role: graph.Parameter, Shape: []int{channels, 1, 2, 2}, Constant: true, Draw: func(_ *rand.Rand, v []float64) {
		clear(v)
		for k := i; k < len(v); k += 4 {
			v[k] = 1
		}
	}}
}

// depthwise is a depthwise convolution of n images of channels·h·w.
func depthwise(name string, n, channels, h, w int, a graph.Attr) Graph {
	return Graph{name + " depthwise convolution", []Input{activation("x", n, channels, h, w), parameter("w", channels, 1, a.K, a.K)},
		func(n map[string]*graph.Node) *graph.Node {
			return graph.NewDepthwise(n["x"], n["w"], a.S, a.P, a.D)
		}}
}

// mixedOperation is an edge of the DARTS space with one operation of each kind, of
// which noise is an input.
func mixedOperation(stride, channels, h, w int) Graph {
	oh, ow := (h-1)/stride+1, (w-1)/stride+1
	return Graph{fmt.Sprintf("mixed operation of stride %d on %d channels", stride, channels), []Input{
		activation("x", 2, channels, h, w), parameter("m", 7), {Name: "noise", Role: graph.Activation, Shape: []int{2, channels, oh, ow}, Constant: true, Draw: normal},
		parameter("d1", channels, 1, 3, 3), parameter("p1", channels, channels, 1, 1), parameter("d2", channels, 1, 3, 3), parameter("p2", channels, channels, 1, 1),
		parameter("d3", channels, 1, 5, 5), parameter("p3", channels, channels, 1, 1),
	}, func(n map[string]*graph.Node) *graph.Node {
		x := n["x"]
		separable := normalize(graph.NewConv(graph.NewDepthwise(graph.NewReLU(x), n["d1"], stride, 1, 1), n["p1"]))
		separable = normalize(graph.NewConv(graph.NewDepthwise(graph.NewReLU(separable), n["d2"], 1, 1, 1), n["p2"]))
		dilated := normalize(graph.NewConv(graph.NewDepthwise(graph.NewReLU(x), n["d3"], stride, 4, 2), n["p3"]))
		skip := graph.NewSubsample(x, stride, 0)
		return graph.NewWeightedSum(n["m"], 1, normalize(graph.NewMaxPool(x, 3, stride, 1)), normalize(graph.NewAveragePool(x, 3, stride, 1)),
			skip, separable, dilated, n["noise"])
	}}
}

// partial is a choice block of PC-DARTS and what comes before and after it.
func partial(channels, groups, side int) Graph {
	q := channels / groups
	return Graph{fmt.Sprintf("choice block of %d channels, a %dth of them", channels, groups),
		[]Input{activation("x", 2, channels, side, side), parameter("w", q, q, 3, 3), parameter("v", q, q, 1, 1), parameter("m", 5)},
		func(n map[string]*graph.Node) *graph.Node {
			u := graph.NewWeightedSum(n["m"], 3, graph.NewReLU(normalize(n["x"])), n["x"])
			first := graph.NewSlice(u, 0, q)
			mixed := graph.NewWeightedSum(n["m"], 0, graph.NewMaxPool(first, 3, 1, 1),
				graph.NewReLU(normalize(graph.NewConv(first, n["w"]))), graph.NewReLU(normalize(graph.NewConv(first, n["v"]))))
			y := graph.NewShuffle(graph.NewConcat(mixed, graph.NewSlice(u, q, channels)), groups)
			return graph.NewWeightedSum(n["m"], 3, y, u)
		}}
}

// constants are an activation of one number for each of n images.
func constants(name string, n int) Input {
	return Input{Name: name, Role: graph.Activation, Shape: []int{n, 1, 1, 1}, Constant: true, Draw: positive}
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
