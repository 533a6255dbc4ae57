package supernet

import (
	"fmt"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// stemMultiplier is how many times the channels of the first cells the stem has.
const stemMultiplier = 3

// darts declares the search network of the DARTS spaces (Liu et al., 2019): a stem
// without ReLU, cells that take the outputs of the two before them, and a classifier.
// Cells ⌊L/3⌋ and ⌊2L/3⌋ are reduction cells, with twice the channels at half the side.
// No batch normalisation but the stem's has a scale and a shift, and every pooling has one
// (quirk C9).
func (b *builder) darts(space *darts.Space) {
	stem, output := b.stem()
	b.cells(output, output, func(name string, kind darts.CellType, before, last dartsInput, channels int) (twoInputs, int) {
		return b.dartsCell(name, space, kind, before, last, channels), darts.Nodes * channels
	}, func(net *network, x *graph.Node) (s0, s1 *graph.Node) {
		s := stem(net, x)
		return s, s
	})
}

// stem declares a convolution and batch normalisation without ReLU, and says what comes
// out.
func (b *builder) stem() (layer, dartsInput) {
	channels, side := stemMultiplier*b.config.Channels, b.config.Side
	return chain(
		b.conv("stem.0", 3, channels, 3),
		b.norm("stem.1", channels, side, b.config.BatchNormMomentum),
		b.affine("stem.1", channels)), dartsInput{channels, side}
}

// twoInputs adds the nodes of a cell to a network: its output, of those of the two cells
// before it.
type twoInputs func(net *network, s0, s1 *graph.Node) *graph.Node

// cells declares the cells and what follows them. declare adds a cell and says how many
// channels its output has; stems makes the inputs of the first cell, which are before and
// last.
func (b *builder) cells(before, last dartsInput, declare func(name string, kind darts.CellType, before, last dartsInput, channels int) (twoInputs, int),
	stems func(net *network, x *graph.Node) (s0, s1 *graph.Node)) {
	c := b.config
	channels := c.Channels
	var cells []twoInputs
	var auxiliary layer
	var atAuxiliary dartsInput
	for i := range c.Cells {
		kind, side := darts.Normal, last.side
		if c.downsamples(i) {
			kind = darts.Reduction
			channels *= 2
			side /= 2
		}
		cell, out := declare(fmt.Sprintf("cells.%d.", i), kind, before, last, channels)
		cells = append(cells, cell)
		before, last = last, dartsInput{out, side}
		if i == c.auxiliaryCell() {
			atAuxiliary = last
		}
	}
	if c.auxiliary() {
		auxiliary = b.auxiliary(atAuxiliary)
	}
	classifier := chain(mean, b.linear("classifier", last.channels, c.Classes))
	b.forward = func(net *network, x *graph.Node) *graph.Node {
		s0, s1 := stems(net, x)
		for i, cell := range cells {
			s0, s1 = s1, cell(net, s0, s1)
			if auxiliary != nil && i == c.auxiliaryCell() && net.bn == BatchStatistics {
				net.auxiliary = auxiliary(net, s1)
			}
		}
		return classifier(net, s1)
	}
}

// dartsInput is the output of an earlier cell.
type dartsInput struct{ channels, side int }

// preprocess declares what brings both inputs of a cell to its channels and to the side of
// the later one.
func (b *builder) preprocess(name string, before, last dartsInput, channels int) (first, second layer) {
	if before.side != last.side {
		first = b.factorizedReduce(name+"preprocess0.", "conv_1", "conv_2", "bn", before.channels, channels, before.side)
	} else {
		first = b.reluConvNorm(name+"preprocess0.op.", before.channels, channels, before.side)
	}
	return first, b.reluConvNorm(name+"preprocess1.op.", last.channels, channels, last.side)
}

// placed is the stride of an operation on a state in a cell whose later input has a side,
// and the side of that state.
func placed(kind darts.CellType, from, side int) (stride, stateSide int) {
	switch {
	case kind == darts.Normal:
		return 1, side
	case from < darts.Inputs:
		return 2, side
	}
	return 1, side / 2
}

// dartsCell declares a cell of the search network: every node adds up the mixed operations
// on the states before it, and the output is the nodes' channels one after another.
func (b *builder) dartsCell(name string, space *darts.Space, kind darts.CellType, before, last dartsInput, channels int) twoInputs {
	first, second := b.preprocess(name, before, last, channels)
	var edges []layer
	for e := range darts.Edges {
		stride, side := placed(kind, darts.EdgeAt(e).From, last.side)
		row := space.Rows()[darts.Row(kind, e)]
		edges = append(edges, b.dropped(b.mixedOperation(fmt.Sprintf("%s_ops.%d._ops.", name, e), row, channels, side, stride)))
	}
	return func(net *network, s0, s1 *graph.Node) *graph.Node {
		states := []*graph.Node{first(net, s0), second(net, s1)}
		e := 0
		for node := range darts.Nodes {
			var inputs []*graph.Node
			for from := range darts.Inputs + node {
				inputs = append(inputs, edges[e](net, states[from]))
				e++
			}
			if space.HasEdges() {
				at := space.Rows()[darts.EdgeRow(kind, node)].Offset
				states = append(states, graph.NewWeightedSum(net.mixing, at, inputs...))
			} else {
				states = append(states, graph.NewAdd(inputs...))
			}
		}
		return graph.NewConcat(states[darts.Inputs:]...)
	}
}

// mixedOperation mixes the candidates of a row, of which none is no summand. In PC-DARTS
// only the first channels go through them; the others bypass them, through a
// max-pooling where the stride is 2.
func (b *builder) mixedOperation(name string, row spaces.Row, channels, side, stride int) layer {
	var candidates []layer
	for i, c := range row.Candidates {
		candidates = append(candidates, b.candidate(fmt.Sprintf("%s%d.", name, i), c.Name, channels/b.config.divisor(), side, stride))
	}
	return func(net *network, u *graph.Node) *graph.Node {
		part := net.part(u)
		var sums []*graph.Node
		for i := 0; i < len(candidates); i++ {
			at := row.Offset + i
			var results []*graph.Node
			for ; i < len(candidates) && candidates[i] != nil; i++ {
				results = append(results, candidates[i](net, part))
			}
			if len(results) > 0 {
				sums = append(sums, graph.NewWeightedSum(net.mixing, at, results...))
			}
		}
		return net.bypassed(graph.NewAdd(sums...), u, stride)
	}
}

// candidate declares the operation of a name on images of a side; nil is none.
func (b *builder) candidate(name, operation string, channels, side, stride int) layer {
	separable := func(k int) layer {
		return chain(
			b.depthwiseSeparable(name+"op.1", name+"op.2", name+"op.3", channels, k, side, stride, 1),
			b.depthwiseSeparable(name+"op.5", name+"op.6", name+"op.7", channels, k, side/stride, 1, 1))
	}
	dilated := func(k int) layer {
		return b.depthwiseSeparable(name+"op.1", name+"op.2", name+"op.3", channels, k, side, stride, 2)
	}
	pooled := func(pool layer) layer {
		if b.config.Evaluation != nil {
			return pool
		}
		return chain(pool, b.cellNorm(name+"1", channels, side/stride))
	}
	switch operation {
	case darts.None:
		return nil
	case darts.Noise:
		return b.noise(channels, side/stride)
	case darts.MaxPool:
		return pooled(maxPool(3, stride, 1))
	case darts.AvgPool:
		return pooled(averagePool(3, stride, 1))
	case darts.Skip:
		if stride == 1 {
			return b.dropout(channels, side)
		}
		return b.factorizedReduce(name, "conv_1", "conv_2", "bn", channels, channels, side)
	case darts.SepConv3:
		return separable(3)
	case darts.SepConv5:
		return separable(5)
	case darts.SepConv7:
		return separable(7)
	case darts.DilConv3:
		return dilated(3)
	case darts.DilConv5:
		return dilated(5)
	}
	panic(fmt.Sprintf("supernet: no layer is known for the operation %q", operation))
}

// reluConvNorm is ReLU, a 1×1 convolution and batch normalisation.
func (b *builder) reluConvNorm(name string, in, out, side int) layer {
	return chain(relu, b.conv(name+"1", in, out, 1), b.cellNorm(name+"2", out, side))
}

// factorizedReduce halves the side: after a ReLU half of the channels come from the even
// rows and columns, the other half from the odd ones, each by a 1×1 convolution.
func (b *builder) factorizedReduce(name, even, odd, norm string, in, out, side int) layer {
	first, second := b.conv(name+even, in, out/2, 1), b.conv(name+odd, in, out/2, 1)
	normalize := b.cellNorm(name+norm, out, side/2)
	return func(net *network, x *graph.Node) *graph.Node {
		r := graph.NewReLU(x)
		return normalize(net, graph.NewConcat(first(net, graph.NewSubsample(r, 2, 0)), second(net, graph.NewSubsample(r, 2, 1))))
	}
}

// depthwiseSeparable is ReLU, a depthwise convolution that keeps the side but for the
// stride, a 1×1 convolution and batch normalisation.
func (b *builder) depthwiseSeparable(depthwise, pointwise, norm string, channels, k, side, stride, dilation int) layer {
	return chain(
		relu,
		b.depthwise(depthwise, channels, k, stride, dilation),
		b.conv(pointwise, channels, channels, 1),
		b.cellNorm(norm, channels, side/stride))
}
