package supernet

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/graph"
	"github.com/nb1shot/nb1shot/spaces"
)

// Config fixes the one-shot network.
type Config struct {
	Space    *spaces.Space
	Channels int // of the stem and of the blocks of the first cells; the paper uses 16
	Cells    int // at least 2, the resolution halves before cells ⌊Cells/3⌋ and ⌊2·Cells/3⌋; the paper uses 9
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
		return fmt.Errorf("supernet: no search space")
	case c.Channels < 1:
		return fmt.Errorf("supernet: %d channels, need at least 1", c.Channels)
	case c.Cells < 2:
		return fmt.Errorf("supernet: %d cells, need at least 2", c.Cells)
	case c.Partial < 0:
		return fmt.Errorf("supernet: a 1/%d of the channels, need a divisor of at least 1, or 0 for all channels", c.Partial)
	case c.Channels%c.divisor() != 0:
		return fmt.Errorf("supernet: %d channels cannot be shuffled in %d groups, need a multiple of %d", c.Channels, c.Partial, c.Partial)
	case c.Classes < 2:
		return fmt.Errorf("supernet: %d classes, need at least 2", c.Classes)
	case c.Side < 4:
		return fmt.Errorf("supernet: images of %d×%d, need at least 4×4", c.Side, c.Side)
	case !(c.BatchNormMomentum > 0 && c.BatchNormMomentum <= 1):
		return fmt.Errorf("supernet: batch-norm momentum %g, need 0 < momentum ≤ 1", c.BatchNormMomentum)
	}
	return nil
}

// Tensor is one named part of a flat vector.
type Tensor struct {
	Name         string
	Shape        []int
	Offset, Size int
}

// batchNorm is one batch normalisation: its part of the running statistics
// (means, then variances) and over how many positions of an image it averages.
type batchNorm struct {
	offset, channels, positions int
	momentum                    float64
}

// blueprint lists what a network is made of, in the order in which the released
// code numbers it; every graph of the network is built over it.
type blueprint struct {
	parameters []Tensor
	statistics []Tensor
	norms      []batchNorm
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

// layer names the parts of one convolution with batch norm and ReLU.
type layer struct{ conv, norm string }

func operation(cell, block, op int) layer {
	name := fmt.Sprintf("cells.%d._choice_blocks.%d.mixed_op._ops.%d.op.op", cell, block, op)
	return layer{name + ".0", name + ".1"}
}

func projection(cell, i int) layer {
	name := fmt.Sprintf("cells.%d._input_projections.%d.op", cell, i)
	return layer{name + ".0", name + ".1"}
}

var stem = layer{"stem.op.0", "stem.op.1"}

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

func (c Config) blueprint() *blueprint {
	b := &blueprint{}
	norm := func(name string, channels, side int, momentum float64) {
		at := 0
		if len(b.statistics) > 0 {
			at = size(b.statistics)
		}
		b.norms = append(b.norms, batchNorm{at, channels, side * side, momentum})
		add(&b.statistics, name+".running_mean", channels)
		add(&b.statistics, name+".running_var", channels)
	}
	convolution := func(l layer, in, out, k, side int) {
		add(&b.parameters, l.conv+".weight", out, in, k, k)
		add(&b.parameters, l.norm+".weight", out)
		add(&b.parameters, l.norm+".bias", out)
		norm(l.norm, out, side, c.BatchNormMomentum)
	}
	blocks := c.Space.Blocks()
	in, channels, side := c.Channels, c.Channels, c.Side
	convolution(stem, 3, channels, 3, side)
	for cell := range c.Cells {
		if c.downsamples(cell) {
			channels *= 2
			side = c.halved(side)
		}
		for block := range blocks {
			q := channels / c.divisor()
			convolution(operation(cell, block, 1), q, q, 3, side)
			convolution(operation(cell, block, 2), q, q, 1, side)
		}
		for i := range blocks {
			convolution(projection(cell, i), in, channels, 1, side)
		}
		convolution(projection(cell, blocks), in, blocks*channels, 1, side)
		in = blocks * channels
	}
	add(&b.parameters, "postprocess.op.1.weight", channels, in, 1, 1)
	norm("postprocess.op.2", channels, side, postprocessMomentum)
	add(&b.parameters, "classifier.weight", c.Classes, channels)
	add(&b.parameters, "classifier.bias", c.Classes)
	return b
}

// initialize draws the weights as PyTorch's defaults do: kernels and the
// classifier uniform within 1/√(fan in), batch norm 1 and 0.
func (b *blueprint) initialize(r *rand.Rand) []float64 {
	weights := make([]float64, size(b.parameters))
	fanIn := 0
	for _, t := range b.parameters {
		part := weights[t.Offset : t.Offset+t.Size]
		switch {
		case len(t.Shape) > 1:
			fanIn = t.Size / t.Shape[0]
		case t.Name == "classifier.bias": // bounded like the weight before it
		case t.Name[len(t.Name)-len("weight"):] == "weight":
			for i := range part {
				part[i] = 1
			}
			continue
		default:
			continue
		}
		bound := 1 / math.Sqrt(float64(fanIn))
		for i := range part {
			part[i] = bound * (2*r.Float64() - 1)
		}
	}
	return weights
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
	net := &network{Graph: graph.New(), config: c}
	for _, t := range b.parameters {
		shape := t.Shape
		if t.Name == "classifier.weight" { // a linear layer is a 1×1 convolution of one position
			shape = append(shape[:2:2], 1, 1)
		}
		net.parameters = append(net.parameters, net.Input(t.Name, graph.Parameter, shape...))
	}
	net.mixing = net.Input(inputMixing, graph.Parameter, c.MixingLen())
	images := net.Input(inputImages, graph.Activation, n, 3, c.Side, c.Side)
	labels := net.Input(inputLabels, graph.Activation, n, c.Classes, 1, 1)

	if drop {
		for i := range c.droppable() {
			net.drop = append(net.drop, net.Input(inputDrop(i), graph.Activation, n, 1, 1, 1))
		}
	}

	statsOf := map[string]*graph.Node{}
	normalize := func(name string, x *graph.Node) *graph.Node {
		if bn == BatchStatistics {
			stats := graph.NewBatchStats(x)
			statsOf[name] = stats
			return graph.NewNormalize(x, stats)
		}
		return graph.NewNormalizeFixed(x, net.Input(name, graph.Parameter, 2, x.Shape()[1]))
	}
	convolution := func(l layer, x *graph.Node) *graph.Node {
		y := normalize(l.norm, graph.NewConv(x, net.Lookup(l.conv+".weight")))
		y = graph.NewScaleChannels(y, net.Lookup(l.norm+".weight"))
		y = graph.NewShiftChannels(y, net.Lookup(l.norm+".bias"))
		return graph.NewReLU(y)
	}

	x := convolution(stem, images)
	for cell := range c.Cells {
		if c.downsamples(cell) {
			x = graph.NewMaxPool(x, 2, 2, c.poolPadding())
		}
		x = net.cell(cell, x, convolution)
	}
	x = normalize("postprocess.op.2", graph.NewConv(graph.NewReLU(x), net.Lookup("postprocess.op.1.weight")))
	x = graph.NewConv(graph.NewMean(x), net.Lookup("classifier.weight"))
	net.logits = graph.NewShiftChannels(x, net.Lookup("classifier.bias"))
	net.loss = graph.NewCrossEntropy(net.logits, labels)
	if bn == BatchStatistics {
		for i := 0; i < len(b.statistics); i += 2 {
			net.stats = append(net.stats, statsOf[normName(b.statistics[i])])
		}
	}
	return net
}

// normName is the name of the batch norm that a running mean belongs to.
func normName(mean Tensor) string { return mean.Name[:len(mean.Name)-len(".running_mean")] }

// cell builds one cell: every choice block adds up its own projection of the
// cell's input and the blocks before it, and mixes the operations on that sum;
// the output mixes a projection and the concatenated blocks.
func (net *network) cell(cell int, x *graph.Node, convolution func(layer, *graph.Node) *graph.Node) *graph.Node {
	space, first := net.config.Space, net.config.mixingOffset(cell)
	var states []*graph.Node
	for block := range space.Blocks() {
		inputs := append([]*graph.Node{convolution(projection(cell, block), x)}, states...)
		var u *graph.Node
		if at, learnable := space.InputOffset(block + 1); learnable {
			u = graph.NewWeightedSum(net.mixing, first+at, inputs...)
		} else {
			u = graph.NewAdd(inputs...)
		}
		part := net.part(u)
		mixed := graph.NewWeightedSum(net.mixing, first+space.MixedOp(block+1),
			graph.NewMaxPool(part, 3, 1, 1),
			net.dropped(cell, block, 1, convolution(operation(cell, block, 1), part)),
			net.dropped(cell, block, 2, convolution(operation(cell, block, 2), part)))
		states = append(states, net.bypassed(mixed, u))
	}
	at := first + space.OutputOffset()
	direct := graph.NewWeightedSum(net.mixing, at, convolution(projection(cell, space.Blocks()), x))
	for i, s := range states {
		states[i] = graph.NewWeightedSum(net.mixing, at+1+i, s)
	}
	return graph.NewAdd(direct, graph.NewConcat(states...))
}
