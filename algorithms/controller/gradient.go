package controller

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// tolerance is the largest difference, relative to 1 plus the value, between what
// the host and the graph compute.
const tolerance = 1e-9

// gradientGraph is the negative log-probability of a sample as a static graph,
// with its derivatives by all parameters. What a sample chose enters by inputs.
//
// All values are matrices, and states are rows [1, hidden], because gorgonia
// 0.9.18 does not differentiate outer products rightly and tells slices apart
// only up to 256. Products that stack rows or pick some of them avoid both.
// Parameters enter by products alone: the derivative by an operand of a product
// is a node that nothing else can overwrite.
type gradientGraph struct {
	machine             G.VM
	inputs              []*input
	derivatives         []*G.Node // of the inputs
	negLogProb, entropy *G.Node

	parentWeights    []float64   // [pairs]: 1/k at the pairs of a node and a chosen parent
	operationWeights []float64   // [blocks, 3]: 1 at what is chosen
	operationTokens  [][]float64 // per block [1, inputRows]: 1 at what is chosen
	anchors          [][]float64 // per node from 3 on [1, steps]: 1 at the step whose state is the next input
}

// Rows of the matrix of LSTM inputs: the embedding, and zeros for the anchors of
// nodes 0 and 1.
const (
	zeroInput = tokens
	inputRows = tokens + 1
)

// input is a matrix of parameters as the graph takes it: a rows×cols part of the
// flat vector, transposed if so marked, or the sum of several.
type input struct {
	node       *G.Node
	data       []float64
	offsets    []int
	rows, cols int // in the flat vector
	transposed bool
}

func (in *input) at(row, col int) int {
	if in.transposed {
		return col*in.rows + row
	}
	return row*in.cols + col
}

// The LSTM takes one step for each of nodes 0 and 1 and three for each other node,
// which decide on its parents, decide on an operation, and make its anchor. The
// output node, which nobody attends to, has no anchor.
func parentStep(node int) int    { return 3*node - 4 }
func operationStep(node int) int { return 3*node - 3 }
func anchorStep(node int) int {
	if node < 2 {
		return node
	}
	return 3*node - 2
}

// newGradientGraph builds, differentiates and compiles the graph.
func newGradientGraph(space *nb1shot1.Space, hidden int, l layout) (*gradientGraph, error) {
	b := &builder{gradientGraph: &gradientGraph{}, expr: G.NewGraph(), layout: l, hidden: hidden, output: space.Blocks() + 1}
	states := b.states()
	parentLoss, parentEntropy := b.parents(states)
	operationLoss, operationEntropy := b.operations(states)
	row := b.ones(1, space.Blocks())
	total := func(x, y *G.Node) *G.Node {
		return must(G.Sum(must(G.Mul(row, must(G.Add(x, y))))))
	}
	g := b.gradientGraph
	g.negLogProb = total(parentLoss, operationLoss)
	g.entropy = total(parentEntropy, operationEntropy)

	var wrt G.Nodes
	for _, in := range g.inputs {
		wrt = append(wrt, in.node)
	}
	var err error
	if g.derivatives, err = G.Grad(g.negLogProb, wrt...); err != nil {
		return nil, fmt.Errorf("differentiate: %w", err)
	}
	// Grad also adds derivatives by constants and choices; they are not computed.
	outputs := append(G.Nodes{g.negLogProb, g.entropy}, g.derivatives...)
	program, locations, err := G.CompileFunction(b.expr, wrt, outputs)
	if err != nil {
		return nil, fmt.Errorf("compile graph: %w", err)
	}
	g.machine = G.NewTapeMachine(b.expr, G.WithPrecompiled(program, locations))
	return g, nil
}

// builder adds to a gradientGraph what makes up its loss.
type builder struct {
	*gradientGraph
	expr   *G.ExprGraph
	layout layout
	hidden int
	output int // the output node's number
}

// matrix adds a leaf of zeros and returns its values, to be set at any time.
func (b *builder) matrix(rows, cols int) (*G.Node, []float64) {
	data := make([]float64, rows*cols)
	name := fmt.Sprint("matrix ", len(b.expr.AllNodes())) // gorgonia takes leaves of one name for one
	return G.NewMatrix(b.expr, tensor.Float64, G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data)))), data
}

// where adds a constant that is 1 where is holds, 0 elsewhere.
func (b *builder) where(rows, cols int, is func(row, col int) bool) *G.Node {
	node, data := b.matrix(rows, cols)
	for i := range data {
		if is(i/cols, i%cols) {
			data[i] = 1
		}
	}
	return node
}

func (b *builder) ones(rows, cols int) *G.Node {
	return b.where(rows, cols, func(int, int) bool { return true })
}

// parameter adds parameters as a matrix, transposed if so marked, for a tensor
// (or sum of tensors) of that shape at the offsets in the flat vector.
func (b *builder) parameter(rows, cols int, transposed bool, offsets ...int) *G.Node {
	in := &input{offsets: offsets, rows: rows, cols: cols, transposed: transposed}
	if transposed {
		rows, cols = cols, rows
	}
	in.node, in.data = b.matrix(rows, cols)
	b.inputs = append(b.inputs, in)
	return in.node
}

// states runs the LSTM and returns its states [steps, hidden].
func (b *builder) states() *G.Node {
	embedding := &input{offsets: []int{b.layout.embedding.Offset}, rows: tokens, cols: b.hidden} // without the row of zeros
	embedding.node, embedding.data = b.matrix(inputRows, b.hidden)
	b.inputs = append(b.inputs, embedding)
	var inputWeight, stateWeight, fromInput [gates]*G.Node
	column := b.ones(inputRows, 1)
	for i := range gates {
		at := i * b.hidden
		inputWeight[i] = b.parameter(b.hidden, b.hidden, true, b.layout.weightInput.Offset+at*b.hidden)
		stateWeight[i] = b.parameter(b.hidden, b.hidden, true, b.layout.weightHidden.Offset+at*b.hidden)
		bias := b.parameter(1, b.hidden, false, b.layout.biasInput.Offset+at, b.layout.biasHidden.Offset+at)
		fromInput[i] = must(G.Add(must(G.Mul(embedding.node, inputWeight[i])), must(G.Mul(column, bias))))
	}
	// pick returns what an input contributes to the gates, row [1, inputRows]
	// being 1 at that input.
	pick := func(row *G.Node) (z [gates]*G.Node) {
		for i := range z {
			z[i] = must(G.Mul(row, fromInput[i]))
		}
		return z
	}
	start := pick(b.where(1, inputRows, func(_, col int) bool { return col == 0 }))
	zero := pick(b.where(1, inputRows, func(_, col int) bool { return col == zeroInput }))

	steps := operationStep(b.output) + 1
	taken := 0
	var states, h, cell *G.Node // nil is zero
	step := func(z [gates]*G.Node) {
		if h != nil {
			for i := range z {
				z[i] = must(G.Add(z[i], must(G.Mul(h, stateWeight[i]))))
			}
		}
		next := must(G.HadamardProd(must(G.Sigmoid(z[0])), must(G.Tanh(z[2]))))
		if cell != nil {
			next = must(G.Add(next, must(G.HadamardProd(must(G.Sigmoid(z[1])), cell))))
		}
		cell = next
		h = must(G.HadamardProd(must(G.Sigmoid(z[3])), must(G.Tanh(cell))))

		row := must(G.Mul(b.where(steps, 1, func(row, _ int) bool { return row == taken }), h))
		if states == nil {
			states = row
		} else {
			states = must(G.Add(states, row))
		}
		taken++
	}
	step(start)
	step(start)
	for node := 2; node <= b.output; node++ {
		step(start)
		z := zero
		if node > 2 {
			row, data := b.matrix(1, steps)
			b.anchors = append(b.anchors, data)
			anchor := must(G.Mul(row, states))
			for i := range z {
				z[i] = must(G.Add(z[i], must(G.Mul(anchor, inputWeight[i]))))
			}
		}
		step(z)
		if node < b.output {
			row, data := b.matrix(1, inputRows)
			b.operationTokens = append(b.operationTokens, data)
			step(pick(row))
		}
	}
	return states
}

// parents returns negative log-probability and entropy [blocks, 1] of the
// decisions on parents, from one row for each pair of a node and an earlier one.
func (b *builder) parents(states *G.Node) (negLogProb, entropy *G.Node) {
	var of, earlier []int
	for node := 2; node <= b.output; node++ {
		for parent := range node {
			of, earlier = append(of, node), append(earlier, parent)
		}
	}
	pairs, steps := len(of), states.Shape()[0]
	keys := must(G.Mul(b.where(pairs, steps, func(row, col int) bool { return col == anchorStep(earlier[row]) }), states))
	queries := must(G.Mul(b.where(pairs, steps, func(row, col int) bool { return col == parentStep(of[row]) }), states))
	w1 := b.parameter(b.hidden, b.hidden, true, b.layout.attention1.Offset)
	w2 := b.parameter(b.hidden, b.hidden, true, b.layout.attention2.Offset)
	v := b.parameter(1, b.hidden, true, b.layout.vAttention.Offset)
	attention := must(G.Tanh(must(G.Add(must(G.Mul(keys, w1)), must(G.Mul(queries, w2))))))
	logits := squash(must(G.Mul(attention, v)), parentScale)

	weights, data := b.matrix(pairs, 1)
	b.parentWeights = data
	sum := b.where(b.output-1, pairs, func(row, col int) bool { return of[col] == row+2 })
	return head(logits, weights, func(x *G.Node) *G.Node { return must(G.Mul(sum, x)) })
}

// operations returns negative log-probability and entropy [blocks, 1] of the
// decisions on operations.
func (b *builder) operations(states *G.Node) (negLogProb, entropy *G.Node) {
	blocks, steps := b.output-1, states.Shape()[0]
	deciding := must(G.Mul(b.where(blocks, steps, func(row, col int) bool { return col == operationStep(row+2) }), states))
	w := b.parameter(operations, b.hidden, true, b.layout.wSoft.Offset)
	bias := b.parameter(1, operations, false, b.layout.bSoft.Offset)
	column := b.ones(blocks, 1)
	logits := squash(must(G.Add(must(G.Mul(deciding, w)), must(G.Mul(column, bias)))), operationScale)
	fixed, data := b.matrix(1, operations)
	copy(data, operationBias[:])
	logits = must(G.Add(logits, must(G.Mul(column, fixed))))

	weights, data := b.matrix(blocks, operations)
	b.operationWeights = data
	sum := b.ones(operations, 1)
	return head(logits, weights, func(x *G.Node) *G.Node { return must(G.Mul(x, sum)) })
}

// squash returns scale·tanh(x/temperature).
func squash(x *G.Node, scale float64) *G.Node {
	x = must(G.Tanh(must(G.HadamardProd(x, G.NewConstant(1/temperature)))))
	return must(G.HadamardProd(x, G.NewConstant(scale)))
}

// head returns negative log-probability and entropy of decisions, one a row. sum
// adds up what belongs to each decision; the weights are those of what was chosen.
// The logits are small, so that their exponentials need no shift.
func head(logits, weights *G.Node, sum func(*G.Node) *G.Node) (negLogProb, entropy *G.Node) {
	exp := must(G.Exp(logits))
	norm := sum(exp)
	log := must(G.Log(norm))
	negLogProb = must(G.Sub(log, sum(must(G.HadamardProd(weights, logits)))))
	mean := must(G.HadamardDiv(sum(must(G.HadamardProd(exp, logits))), norm))
	return negLogProb, must(G.Sub(log, mean))
}

// must is for graphs of known shapes, where an error is a mistake of ours.
func must(n *G.Node, err error) *G.Node {
	if err != nil {
		panic(fmt.Sprintf("controller: %v", err))
	}
	return n
}

// Gradient returns the derivatives of scale times the sample's negative
// log-probability by all parameters: with reward minus baseline as scale, the
// gradient of REINFORCE. The parameters must still be those that the sample was
// drawn at. The graph computes negative log-probability and entropy too, and it
// is an error if they differ from the sample's by more than 1e-9 of 1 plus the
// value. Of the decisions only Kind and Chosen count. The first call builds the graph,
// which takes a fraction of a second.
func (c *Controller) Gradient(s Sample, scale float64) ([]float64, error) {
	if math.IsNaN(scale) || math.IsInf(scale, 0) {
		return nil, fmt.Errorf("gradient scaled by %v: want a finite number", scale)
	}
	if c.gradient == nil {
		var err error
		if c.gradient, err = newGradientGraph(c.space, c.hidden, c.layout); err != nil {
			return nil, fmt.Errorf("gradient of the controller of space %s, width %d: %w", c.space.Name(), c.hidden, err)
		}
	}
	g := c.gradient
	if err := g.choose(c.space, s.Decisions); err != nil {
		return nil, fmt.Errorf("gradient of a sample: %w", err)
	}
	for _, in := range g.inputs {
		clear(in.data)
		for _, offset := range in.offsets {
			for i, v := range c.parameters[offset:][:in.rows*in.cols] {
				in.data[in.at(i/in.cols, i%in.cols)] += v
			}
		}
	}
	g.machine.Reset()
	if err := g.machine.RunAll(); err != nil {
		return nil, fmt.Errorf("gradient of a sample: %w", err)
	}
	for _, v := range []struct {
		name string
		node *G.Node
		host float64
	}{
		{"negative log-probability", g.negLogProb, s.NegLogProb},
		{"entropy", g.entropy, s.Entropy},
	} {
		graph := v.node.Value().Data().(float64)
		if !(math.Abs(graph-v.host) <= tolerance*(1+math.Abs(graph))) {
			return nil, fmt.Errorf("gradient of a sample: its %s is %.12g, the graph computes %.12g: take the gradient at the parameters it was sampled at", v.name, v.host, graph)
		}
	}
	gradient := make([]float64, len(c.parameters))
	for k, in := range g.inputs {
		derivative := g.derivatives[k].Value().Data().([]float64)
		for _, offset := range in.offsets {
			for i := range in.rows * in.cols {
				gradient[offset+i] = scale * derivative[in.at(i/in.cols, i%in.cols)]
			}
		}
	}
	return gradient, nil
}

// choose sets the inputs that say what was chosen.
func (g *gradientGraph) choose(space *nb1shot1.Space, decisions []Decision) error {
	blocks := space.Blocks()
	if len(decisions) != 2*blocks {
		return fmt.Errorf("%d decisions: space %s has %d", len(decisions), space.Name(), 2*blocks)
	}
	clear(g.parentWeights)
	clear(g.operationWeights)
	for _, x := range g.operationTokens {
		clear(x)
	}
	for _, x := range g.anchors {
		clear(x)
	}
	pair := 0
	for block := range blocks {
		node := block + 2
		parents, op := decisions[2*block], decisions[2*block+1]
		if parents.Kind != Parents || op.Kind != Operation {
			return fmt.Errorf("decisions %d and %d are not of parents and operation", 2*block, 2*block+1)
		}
		k := space.InDegree(node)
		if err := checkChosen(parents.Chosen, k, node); err != nil {
			return fmt.Errorf("decision %d: %w", 2*block, err)
		}
		if err := checkChosen(op.Chosen, 1, operations); err != nil {
			return fmt.Errorf("decision %d: %w", 2*block+1, err)
		}
		for _, parent := range parents.Chosen {
			g.parentWeights[pair+parent] = 1 / float64(k)
		}
		pair += node
		if last := parents.Chosen[k-1]; last >= 2 { // the anchors of nodes 0 and 1 are zero
			g.anchors[block-1][anchorStep(last)] = 1
		}
		o := op.Chosen[0]
		g.operationWeights[block*operations+o] = 1
		if block < len(g.operationTokens) {
			g.operationTokens[block][1+o] = 1
		}
	}
	return nil
}
