package supernet

import (
	"fmt"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces"
)

// Config fixes the one-shot network.
type Config struct {
	Space    *spaces.Space
	Channels int // of the stem and of the blocks of the first cells; the paper uses 16
	Cells    int // at least 2 (runs ask for 3 or more), the resolution halves before cells ⌊Cells/3⌋ and ⌊2·Cells/3⌋; the paper uses 9
	Classes  int // 10 for CIFAR-10
	Side     int // height and width of the images
	Variant
	// Unpadded leaves out the padding of the pooling between the thirds, so that
	// the resolution halves as in NAS-Bench-101, from 32 to 16 and 8 instead of 17
	// and 9 (quirk Q26).
	Unpadded bool
	// BatchNormMomentum is the weight of the newest batch in the running
	// statistics (PyTorch's meaning). The released code uses 0.997 (quirk Q7).
	BatchNormMomentum float64
}

// Variant is how an algorithm's network departs from that of DARTS. The zero
// value does not.
type Variant struct {
	// Partial is PC-DARTS' divisor, which must divide Channels: of the channels
	// of a choice block only the first 1/Partial go through its operations; the
	// others bypass them, and a fixed shuffle with Partial groups follows. 0 and
	// 1 are all channels. The released code uses 4.
	Partial int
	// Sampled is the network of GDAS: the mixing vector has Space.Dim() entries
	// for every cell, one after another, and an operation with mixing weight 0
	// is not executed: its statistics stay, its weights get no gradient, and
	// weights that no gradient pass has reached so far are left alone by
	// StepWeights, weight decay included (quirk Q13).
	Sampled bool
	// DropPath lets Net.SetDropPath scale the convolutions of choice blocks image
	// by image in the gradient passes of training mode.
	DropPath bool
}

// MixingLen is the length of the mixing vector.
func (c Config) MixingLen() int {
	if c.Sampled {
		return c.Cells * c.Space.Dim()
	}
	return c.Space.Dim()
}

// postprocessMomentum is the same for the last batch norm, which the released
// code leaves at PyTorch's default.
const postprocessMomentum = 0.1

func (c Config) check() error {
	switch {
	case c.Space == nil:
		return fmt.Errorf("no search space")
	case c.Channels < 1:
		return fmt.Errorf("%d channels, need at least 1", c.Channels)
	case c.Cells < 2:
		return fmt.Errorf("%d cells, need at least 2", c.Cells)
	case c.Partial < 0:
		return fmt.Errorf("a 1/%d of the channels, need a divisor of at least 1, or 0 for all channels", c.Partial)
	case c.Channels%c.divisor() != 0:
		return fmt.Errorf("%d channels cannot be shuffled in %d groups, need a multiple of %d", c.Channels, c.Partial, c.Partial)
	case c.Classes < 2:
		return fmt.Errorf("%d classes, need at least 2", c.Classes)
	case c.Side < 4:
		return fmt.Errorf("images of %d×%d, need at least 4×4", c.Side, c.Side)
	case !(c.BatchNormMomentum > 0 && c.BatchNormMomentum <= 1):
		return fmt.Errorf("batch-norm momentum %g, need 0 < momentum ≤ 1", c.BatchNormMomentum)
	}
	return nil
}

// Tensor is one named part of a flat vector.
type Tensor struct {
	Name         string
	Shape        []int
	Offset, Size int
}

func add(list *[]Tensor, name string, shape ...int) {
	t := Tensor{Name: name, Shape: shape, Size: 1}
	for _, d := range shape {
		t.Size *= d
	}
	if n := len(*list); n > 0 {
		t.Offset = (*list)[n-1].Offset + (*list)[n-1].Size
	}
	*list = append(*list, t)
}

// size is the length of the flat vector.
func size(list []Tensor) int {
	last := list[len(list)-1]
	return last.Offset + last.Size
}

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

// blueprint declares the network.
func (c Config) blueprint() *blueprint {
	b := &builder{config: c, owner: always}
	in, channels, side := c.Channels, c.Channels, c.Side
	layers := []layer{b.convolution("stem.op.0", "stem.op.1", 3, channels, 3, side)}
	for cell := range c.Cells {
		if c.downsamples(cell) {
			channels *= 2
			side = c.halved(side)
			layers = append(layers, maxPool(2, 2, c.poolPadding()))
		}
		layers = append(layers, b.cell(cell, in, channels, side))
		in = c.Space.Blocks() * channels
	}
	layers = append(layers,
		relu,
		b.conv("postprocess.op.1", in, channels, 1),
		b.norm("postprocess.op.2", channels, side, postprocessMomentum),
		mean,
		b.linear("classifier", channels, c.Classes))
	b.forward = chain(layers...)
	return &b.blueprint
}

// cell declares one cell: every choice block adds up its own projection of the cell's
// input and the blocks before it, and mixes the operations on that sum; the output
// mixes a projection and the concatenated blocks.
func (b *builder) cell(cell, in, channels, side int) layer {
	space, first := b.config.Space, b.config.mixingOffset(cell)
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
			states = append(states, net.bypassed(mixed, u))
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

// mixingOffset is where the mixing weights of a cell begin.
func (c Config) mixingOffset(cell int) int {
	if c.Sampled {
		return cell * c.Space.Dim()
	}
	return 0
}

// Names of the inputs of the network's graphs; the parameters and statistics go
// by their own.
const (
	inputImages    = "images"
	inputLabels    = "labels"
	inputMixing    = "mixing"
	inputSeed      = "seed"
	inputDirection = "direction"
)

// network is the graph of one forward pass over a batch.
type network struct {
	*graph.Graph
	config     Config
	bn         BatchNorm
	parameters []*graph.Node // in blueprint order
	mixing     *graph.Node
	stats      []*graph.Node // [2, C] of each batch norm in blueprint order, when BatchStatistics
	drop       []*graph.Node // [n, 1, 1, 1] of each convolution of a choice block, or nil, see dropped
	logits     *graph.Node
	loss       *graph.Node
}

// build makes the graph of the network for a batch of n images, with drop path
// or without.
func (c Config) build(b *blueprint, n int, bn BatchNorm, drop bool) *network {
	net := &network{Graph: graph.New(), config: c, bn: bn}
	for _, t := range b.parameters {
		shape := t.Shape
		if len(shape) == 2 { // a linear layer is a 1×1 convolution of one position
			shape = append(shape[:2:2], 1, 1)
		}
		net.parameters = append(net.parameters, net.Input(t.Name, graph.Parameter, shape...))
	}
	net.mixing = net.Input(inputMixing, graph.Parameter, c.MixingLen())
	images := net.Input(inputImages, graph.Activation, n, 3, c.Side, c.Side)
	labels := net.Input(inputLabels, graph.Activation, n, c.Classes, 1, 1)
	if drop {
		for i := range b.droppable {
			net.drop = append(net.drop, net.Input(inputDrop(i), graph.Activation, n, 1, 1, 1))
		}
	}
	if bn == BatchStatistics {
		net.stats = make([]*graph.Node, len(b.norms))
	}
	net.logits = b.forward(net, images)
	net.loss = graph.NewCrossEntropy(net.logits, labels)
	return net
}
