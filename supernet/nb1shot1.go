package supernet

import (
	"fmt"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// postprocessMomentum is the same for the last batch norm, which the released
// code leaves at PyTorch's default.
const postprocessMomentum = 0.1

// downsamples tells whether the resolution halves before the cell.
func (c Config) downsamples(cell int) bool { return cell == c.Cells/3 || cell == 2*c.Cells/3 }

// poolPadding is that of the 2×2 max-pooling (quirk Q26).
func (c Config) poolPadding() int {
	if c.Unpadded {
		return 0
	}
	return 1
}

// halved is the side after the pooling.
func (c Config) halved(side int) int { return side/2 + c.poolPadding() }

// nb1shot1 declares the network of NAS-Bench-1Shot1: a stem, cells of which each takes
// the output of the one before, with a max-pooling after each third, and a classifier.
func (b *builder) nb1shot1(space *nb1shot1.Space) {
	c := b.config
	in, channels, side := c.Channels, c.Channels, c.Side
	layers := []layer{b.convolution("stem.op.0", "stem.op.1", 3, channels, 3, side)}
	for cell := range c.Cells {
		if c.downsamples(cell) {
			channels *= 2
			side = c.halved(side)
			layers = append(layers, maxPool(2, 2, c.poolPadding()))
		}
		layers = append(layers, b.cell(space, cell, in, channels, side))
		in = space.Blocks() * channels
	}
	layers = append(layers,
		relu,
		b.conv("postprocess.op.1", in, channels, 1),
		b.norm("postprocess.op.2", channels, side, postprocessMomentum),
		mean,
		b.linear("classifier", channels, c.Classes))
	b.forward = chain(layers...)
}

// cell declares one cell: every choice block adds up its own projection of the cell's
// input and the blocks before it, and mixes the operations on that sum; the output
// mixes a projection and the concatenated blocks.
func (b *builder) cell(space *nb1shot1.Space, cell, in, channels, side int) layer {
	first := b.config.mixingOffset(cell)
	name := fmt.Sprintf("cells.%d.", cell)
	var operations [][]layer // by block
	for block := range space.Blocks() {
		operations = append(operations, b.operations(fmt.Sprintf("%s_choice_blocks.%d.mixed_op._ops.", name, block),
			first+space.MixedOp(block+1), channels/b.config.divisor(), side))
	}
	var projections []layer // of the cell's input: for each block, and for the output
	for i := range space.Blocks() + 1 {
		out := channels
		if i == space.Blocks() {
			out = space.Blocks() * channels
		}
		projection := fmt.Sprintf("%s_input_projections.%d.op.", name, i)
		projections = append(projections, b.convolution(projection+"0", projection+"1", in, out, 1, side))
	}

	return func(net *network, x *graph.Node) *graph.Node {
		var states []*graph.Node
		for block, candidates := range operations {
			inputs := append([]*graph.Node{projections[block](net, x)}, states...)
			var u *graph.Node
			if at, learnable := space.InputOffset(block + 1); learnable {
				u = graph.NewWeightedSum(net.mixing, first+at, inputs...)
			} else {
				u = graph.NewAdd(inputs...)
			}
			part := net.part(u)
			var results []*graph.Node
			for _, candidate := range candidates {
				results = append(results, candidate(net, part))
			}
			mixed := graph.NewWeightedSum(net.mixing, first+space.MixedOp(block+1), results...)
			states = append(states, net.bypassed(mixed, u, 1))
		}
		at := first + space.OutputOffset()
		direct := graph.NewWeightedSum(net.mixing, at, projections[space.Blocks()](net, x))
		for i, s := range states {
			states[i] = graph.NewWeightedSum(net.mixing, at+1+i, s)
		}
		return graph.NewAdd(direct, graph.NewConcat(states...))
	}
}

// operations declares the candidates of a choice block, whose mixing weights begin at
// an entry of the mixing vector.
func (b *builder) operations(name string, at, channels, side int) []layer {
	convolution := func(op, k int) func() layer {
		return func() layer {
			name := fmt.Sprintf("%s%d.op.op.", name, op)
			return b.convolution(name+"0", name+"1", channels, channels, k, side)
		}
	}
	return b.choice(at, func() layer { return maxPool(3, 1, 1) }, convolution(1, 3), convolution(2, 1))
}
