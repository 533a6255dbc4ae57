package recurrent

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

// key identifies a compiled program.
type key struct {
	task         task
	bn           supernet.BatchNorm
	steps, batch int
	masked       bool
	activation   bool // the loss has the term of the outputs
	temporal     bool // and that of their change
	inspected    bool // all that Inspection has is an output
}

// task is what a program computes besides the losses.
type task int

const (
	forward task = iota
	mixingGradient
	weightGradient
	hessianProduct
)

// network is the graph of a pass.
type network struct {
	*graph.Graph
	config     Config
	key        key
	parameters map[string]*graph.Node
	mixing     *graph.Node
	constants  *graph.Node
	running    []*graph.Node // running statistics that normalise, in turn
	maskH      *graph.Node

	hidden                     *graph.Node // the last one
	raw, dropped, logits       *graph.Node
	loss, activation, temporal *graph.Node
	stats, before, after       []*graph.Node // of the batch norms, in the order of their calls
	used                       []bool        // nodes that lead to the hidden state
}

// build makes the graph of a pass over windows of k.steps rows of k.batch sequences.
func (c Config) build(k key) *network {
	n := &network{Graph: graph.New(), config: c, key: k, parameters: map[string]*graph.Node{}}
	h, v := c.Hidden, c.Words
	matrix := func(name string, rows, columns int) {
		n.parameters[name] = n.Input(name, graph.Parameter, rows, columns, 1, 1)
	}
	matrix(nameWords, v, h)
	matrix(nameFirst, 2*h, 2*h)
	n.parameters[nameBias] = n.Input(nameBias, graph.Parameter, v)
	n.constants = n.Input(inputConstants, graph.Parameter, len(constants()))
	if c.Genotype == nil {
		n.used = slices.Repeat([]bool{true}, rnn.Nodes+1)
		n.mixing = n.Input(inputMixing, graph.Parameter, rnn.Dim)
		if k.bn == supernet.RunningStatistics {
			for i := range c.running() {
				n.running = append(n.running, n.Input(runningName(i), graph.Parameter, 2, h))
			}
		}
	} else {
		n.used = usedStates(*c.Genotype)
	}
	for node := 1; node <= c.nodes(); node++ {
		if n.used[node] {
			matrix(nameNode(node), h, 2*h)
		}
	}
	activation := func(name string, channels, rows int) *graph.Node {
		return n.Input(name, graph.Activation, k.batch, channels, rows, 1)
	}
	x := graph.NewEmbedding(n.parameters[nameWords], activation(inputTokens, 1, k.steps), c.withoutGradient())
	if k.masked {
		x = graph.NewMask(x, activation(inputMaskX, h, k.steps))
		n.maskH = activation(inputMaskH, h, 1)
	}
	n.hidden = activation(inputHidden, h, 1)
	var outputs []*graph.Node
	for t := range k.steps {
		first := n.first(graph.NewRows(x, t, t+1), n.hidden)
		if c.Genotype == nil {
			n.hidden = n.searchCell(first)
		} else {
			n.hidden = n.cell(first)
		}
		outputs = append(outputs, n.hidden)
	}
	n.raw = graph.NewStackRows(outputs...)
	n.dropped = n.raw
	if k.masked {
		n.dropped = graph.NewMask(n.raw, activation(inputMaskOutput, h, k.steps))
	}
	n.logits = graph.NewShiftChannels(graph.NewConv(n.dropped, n.parameters[nameWords]), n.parameters[nameBias])
	n.loss = graph.NewSparseCrossEntropy(n.logits, activation(inputTargets, 1, k.steps))
	if k.activation {
		n.activation = graph.NewMeanProduct(n.dropped, n.dropped)
	}
	if k.temporal {
		change := n.minus(graph.NewRows(n.raw, 1, k.steps), graph.NewRows(n.raw, 0, k.steps-1))
		n.temporal = graph.NewMeanProduct(change, change)
	}
	return n
}

// usedStates tells which states of a cell lead to its output.
func usedStates(g rnn.Genotype) []bool {
	used := make([]bool, len(g.Nodes)+1)
	for state := len(g.Nodes); state > 0; state-- {
		used[state] = used[state] || slices.Contains(g.Concat, state)
		if used[state] {
			used[g.Nodes[state-1].Input] = true
		}
	}
	used[0] = true
	return used
}

func (n *network) minus(x, y *graph.Node) *graph.Node {
	return graph.NewWeightedSum(n.constants, constantDifference, x, y)
}

// halves are the two halves of a product with a matrix.
func (n *network) halves(x *graph.Node, matrix string) (c, z *graph.Node) {
	h := n.config.Hidden
	both := graph.NewProduct(x, n.parameters[matrix])
	return graph.NewSlice(both, 0, h), graph.NewSlice(both, h, 2*h)
}

// gate is s + σ(c)·(y - s).
func (n *network) gate(s, c, y *graph.Node) *graph.Node {
	return graph.NewAdd(s, graph.NewMultiply(graph.NewSigmoid(c), n.minus(y, s)))
}

// masked is what enters a matrix in place of a hidden state.
func (n *network) masked(s *graph.Node) *graph.Node {
	if n.maskH == nil {
		return s
	}
	return graph.NewMask(s, n.maskH)
}

// first is state 0: the hidden state before, outside of the product not masked, moved towards
// what it and the word make of it.
func (n *network) first(x, before *graph.Node) *graph.Node {
	c, z := n.halves(graph.NewConcat(x, n.masked(before)), nameFirst)
	return n.gate(before, c, graph.NewTanh(z))
}

// function applies one of the functions of the space.
func function(name string, z *graph.Node) *graph.Node {
	switch name {
	case rnn.Tanh:
		return graph.NewTanh(z)
	case rnn.ReLU:
		return graph.NewReLU(z)
	case rnn.Sigmoid:
		return graph.NewSigmoid(z)
	case rnn.Identity:
		return z
	}
	panic(fmt.Sprintf("supernet/recurrent: no function %q", name))
}

// cell is that of the genotype, without batch norm.
func (n *network) cell(first *graph.Node) *graph.Node {
	states := []*graph.Node{first}
	for i, node := range n.config.Genotype.Nodes {
		if !n.used[i+1] {
			states = append(states, nil)
			continue
		}
		s := states[node.Input]
		c, z := n.halves(n.masked(s), nameNode(i+1))
		states = append(states, n.gate(s, c, function(node.Function, z)))
	}
	var averaged []*graph.Node
	for _, state := range n.config.Genotype.Concat {
		averaged = append(averaged, states[state])
	}
	return graph.NewMean(graph.NewStackRows(averaged...))
}

// searchCell mixes, in every node, all functions on the edges from all states before it. With
// p the weights of an edge, all but that of none, the edge is
//
//	Σ p_k·(s + σ(c)·(f_k(z) - s)) = (Σ p_k)·s + σ(c)·(Σ p_k·f_k(z) - (Σ p_k)·s).
//
// The edges into a node have the same matrix, and are the rows of one product.
func (n *network) searchCell(first *graph.Node) *graph.Node {
	states := []*graph.Node{n.normalize(first)}
	masked := []*graph.Node{n.masked(states[0])}
	columns := len(rnn.Functions())
	for node := 1; node <= rnn.Nodes; node++ {
		c, z := n.halves(graph.NewStackRows(masked...), nameNode(node))
		s := graph.NewStackRows(states...)
		var mixed, kept []*graph.Node
		for _, name := range rnn.Functions()[1:] {
			mixed, kept = append(mixed, function(name, z)), append(kept, s)
		}
		at := columns*rnn.Row(0, node) + 1
		edges := n.gate(graph.NewWeightedRows(n.mixing, at, columns, kept...), c, graph.NewWeightedRows(n.mixing, at, columns, mixed...))
		sum := graph.NewWeightedSum(n.constants, constantRows+node, graph.NewMean(edges))
		states = append(states, n.normalize(sum))
		masked = append(masked, n.masked(states[node]))
	}
	return graph.NewMean(graph.NewStackRows(states[1:]...))
}

// normalize is the batch norm of the search cell. All states and time steps share its running
// statistics (quirk R6), unless each state has its own.
func (n *network) normalize(x *graph.Node) *graph.Node {
	call := len(n.before)
	n.before = append(n.before, x)
	y := (*graph.Node)(nil)
	if len(n.running) > 0 {
		y = graph.NewNormalizeFixed(x, n.running[call%len(n.running)])
	} else {
		stats := graph.NewBatchStats(x)
		n.stats = append(n.stats, stats)
		y = graph.NewNormalize(x, stats)
	}
	n.after = append(n.after, y)
	return y
}
