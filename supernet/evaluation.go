package supernet

import (
	"fmt"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// Evaluation is what is particular to an evaluation network, one that is trained from
// scratch with the cells of an architecture. Nothing is mixed in it: its mixing vector has
// length 0, and its passes take nil.
//
// It is that of the genotype, or else, where Cell is not nil, the network that
// NAS-Bench-101 trains. Config.Channels are those of the first cells in the former, whose
// stem has three times as many, and of the stem and the first stack in the latter.
type Evaluation struct {
	Genotype darts.Genotype
	// ImageNet is the network for images of side 224: three convolutions of stride 2
	// before the cells.
	ImageNet bool
	// AuxiliaryWeight is that of the loss of an auxiliary head on the output of cell
	// ⌊2·Cells/3⌋ in the passes of training mode; 0 leaves the head out. The released code
	// uses 0.4. The head fits only what is 8×8 there, or 7×7 in the ImageNet network
	// (quirk C23).
	AuxiliaryWeight float64
	// AuxiliaryNorm gives the head of the ImageNet network the second batch normalisation
	// that DARTS and SDARTS leave out and P-DARTS has (quirk C24).
	AuxiliaryNorm bool
	// LabelSmoothing is the share of the target that is spread over all classes in the
	// passes of training mode: 0.1 on ImageNet, otherwise 0.
	LabelSmoothing float64

	Cell *cell.Spec
}

// AuxiliaryPrefix is how the names of the auxiliary head's weights begin.
const AuxiliaryPrefix = "auxiliary_head."

// The auxiliary head's channels (Liu et al., 2019, released code).
const (
	auxiliaryNarrow = 128
	auxiliaryWide   = 768
)

// imageNetSide is the side of the images that the ImageNet network is made for.
const imageNetSide = 224

func (e *Evaluation) check(c Config) error {
	switch {
	case c.Space != nil:
		return fmt.Errorf("an evaluation network of space %s: it is of an architecture, not of a space", c.Space.Name())
	case c.divisor() > 1 || c.Sampled || c.Dropout || c.Unpadded:
		return fmt.Errorf("an evaluation network has no variants but drop path")
	case !(e.AuxiliaryWeight >= 0) || math.IsInf(e.AuxiliaryWeight, 0):
		return fmt.Errorf("auxiliary weight %g, need a number from 0 on", e.AuxiliaryWeight)
	case !(e.LabelSmoothing >= 0 && e.LabelSmoothing < 1):
		return fmt.Errorf("label smoothing %g, need 0 ≤ smoothing < 1", e.LabelSmoothing)
	case e.Cell != nil:
		return e.checkCell(c)
	case c.Cells < 3:
		return fmt.Errorf("%d cells, need at least 3", c.Cells)
	case c.Channels%2 != 0:
		return fmt.Errorf("%d channels: the factorised reductions need an even number", c.Channels)
	case e.ImageNet && c.Side != imageNetSide:
		return fmt.Errorf("images of side %d, the ImageNet network is for side %d", c.Side, imageNetSide)
	case c.Side%4 != 0:
		return fmt.Errorf("images of side %d: the factorised reductions need a side that 4 divides", c.Side)
	case e.AuxiliaryWeight > 0 && c.Cells < 4:
		return fmt.Errorf("%d cells with an auxiliary head, need at least 4: with fewer it sits on the last cell, whose output its ReLU rectifies for the classifier as well in the released code (quirk C22)", c.Cells)
	case e.AuxiliaryWeight > 0 && !e.ImageNet && c.Side != 32:
		return fmt.Errorf("images of side %d with an auxiliary head, which needs 8×8 positions after two reductions, so side 32 (quirk C23); auxiliary weight 0 leaves it out", c.Side)
	}
	for t := range darts.CellType(darts.CellTypes) {
		if err := e.checkPairs(t); err != nil {
			return fmt.Errorf("%s cell: %w", t, err)
		}
	}
	return nil
}

// checkPairs checks one cell of the genotype.
func (e *Evaluation) checkPairs(t darts.CellType) error {
	pairs, concat := e.Genotype.Cell(t)
	if len(pairs) == 0 || len(pairs)%2 != 0 {
		return fmt.Errorf("%d pairs, need two for each node", len(pairs))
	}
	states := darts.Inputs + len(pairs)/2
	used := make([]bool, states)
	if len(concat) == 0 {
		return fmt.Errorf("no state goes into its output")
	}
	for i, state := range concat {
		if state < darts.Inputs || state >= states || slices.Contains(concat[:i], state) {
			return fmt.Errorf("states %v go into its output, need different ones of %d to %d", concat, darts.Inputs, states-1)
		}
		used[state] = true
	}
	for i, p := range slices.Backward(pairs) {
		node := darts.Inputs + i/2
		switch {
		case p.Input < 0 || p.Input >= node:
			return fmt.Errorf("%s of state %d at node %d, which follows states 0 to %d", p.Operation, p.Input, node-darts.Inputs, node-1)
		case p.Operation == darts.None || !hasLayer(p.Operation):
			return fmt.Errorf("no layer is known for the operation %.40q", p.Operation)
		case !used[node]:
			return fmt.Errorf("node %d goes nowhere", node-darts.Inputs)
		}
		used[p.Input] = true
	}
	return nil
}

// hasLayer tells whether builder.candidate knows an operation.
func hasLayer(operation string) bool {
	switch operation {
	case darts.Noise, darts.MaxPool, darts.AvgPool, darts.Skip, darts.SepConv3, darts.SepConv5, darts.SepConv7, darts.DilConv3, darts.DilConv5:
		return true
	}
	return false
}

// auxiliary tells whether the network has an auxiliary head.
func (c Config) auxiliary() bool { return c.Evaluation != nil && c.Evaluation.AuxiliaryWeight > 0 }

// auxiliaryCell is the cell whose output it takes.
func (c Config) auxiliaryCell() int { return 2 * c.Cells / 3 }

// smoothing is the share of the targets that is spread over the classes in a mode.
func (c Config) smoothing(bn BatchNorm) float64 {
	if c.Evaluation == nil || bn != BatchStatistics {
		return 0
	}
	return c.Evaluation.LabelSmoothing
}

// evaluation declares the network.
func (b *builder) evaluation() {
	switch e := b.config.Evaluation; {
	case e.Cell != nil:
		b.nasbench101(*e.Cell)
	case e.ImageNet:
		b.imageNet()
	default:
		stem, output := b.stem()
		b.cells(output, output, b.genotypeCell, func(net *network, x *graph.Node) (s0, s1 *graph.Node) {
			s := stem(net, x)
			return s, s
		})
	}
	b.trained = b.reached()
}

// reached lists the parameters on which the losses depend. Those of what goes only into
// operations that ignore their input, noise, do not.
func (b *builder) reached() (reached []int) {
	net := b.config.build(&b.blueprint, 2, BatchStatistics, false, false)
	nodes := graph.Reach(net.losses()...)
	for i, p := range net.parameters {
		if slices.Contains(nodes, p) {
			reached = append(reached, i)
		}
	}
	return reached
}

// imageNet declares the network for images of side 224: stems whose outputs have 56 and 28
// rows, so that the first cell halves the first.
func (b *builder) imageNet() {
	c := b.config.Channels
	halving := func(conv, norm string, in, out, side int) layer {
		return chain(b.halvingConv(conv, in, out), b.cellNorm(norm, out, side/2))
	}
	stem0 := chain(
		halving("stem0.0", "stem0.1", 3, c/2, b.config.Side), relu,
		halving("stem0.3", "stem0.4", c/2, c, b.config.Side/2))
	stem1 := chain(relu, halving("stem1.1", "stem1.2", c, c, b.config.Side/4))
	b.cells(dartsInput{c, b.config.Side / 4}, dartsInput{c, b.config.Side / 8}, b.genotypeCell, func(net *network, x *graph.Node) (s0, s1 *graph.Node) {
		s0 = stem0(net, x)
		return s0, stem1(net, s0)
	})
}

// halvingConv is a 3×3 convolution of stride 2: every second row and column of one of
// stride 1.
func (b *builder) halvingConv(name string, in, out int) layer {
	return chain(b.conv(name, in, out, 3), func(_ *network, x *graph.Node) *graph.Node { return graph.NewSubsample(x, 2, 0) })
}

// genotypeCell declares a cell of the genotype: every node adds up two operations on states
// before it. Drop path scales each of them but identities, in the order of the genotype.
func (b *builder) genotypeCell(name string, kind darts.CellType, before, last dartsInput, channels int) (twoInputs, int) {
	pairs, concat := b.config.Evaluation.Genotype.Cell(kind)
	first, second := b.preprocess(name, before, last, channels)
	var operations []layer
	for i, p := range pairs {
		stride, side := placed(kind, p.Input, last.side)
		operation := b.candidate(fmt.Sprintf("%s_ops.%d.", name, i), p.Operation, channels, side, stride)
		if p.Operation != darts.Skip || stride > 1 {
			operation = b.dropped(operation)
		}
		operations = append(operations, operation)
	}
	return func(net *network, s0, s1 *graph.Node) *graph.Node {
		states := []*graph.Node{first(net, s0), second(net, s1)}
		for i := 0; i < len(pairs); i += 2 {
			h1 := operations[i](net, states[pairs[i].Input])
			states = append(states, graph.NewAdd(h1, operations[i+1](net, states[pairs[i+1].Input])))
		}
		var outputs []*graph.Node
		for _, state := range concat {
			outputs = append(outputs, states[state])
		}
		return graph.NewConcat(outputs...)
	}, len(concat) * channels
}

// auxiliary declares the auxiliary head: an average-pooling to 2×2 positions, a 1×1
// convolution, a 2×2 convolution that leaves one position, and a classifier.
func (b *builder) auxiliary(in dartsInput) layer {
	e := b.config.Evaluation
	const name = AuxiliaryPrefix
	stride := 3 // from 8×8
	if e.ImageNet {
		stride = 2 // from 7×7
	}
	layers := []layer{
		relu,
		averagePool(5, stride, 0),
		b.conv(name+"features.2", in.channels, auxiliaryNarrow, 1),
		b.cellNorm(name+"features.3", auxiliaryNarrow, 2),
		relu,
		b.covering(name+"features.5", auxiliaryNarrow, auxiliaryWide),
	}
	if !e.ImageNet || e.AuxiliaryNorm {
		layers = append(layers, b.cellNorm(name+"features.6", auxiliaryWide, 1))
	}
	return chain(append(layers, relu, b.linear(name+"classifier", auxiliaryWide, b.config.Classes))...)
}

// covering is a 2×2 convolution of 2×2 positions: a linear layer of all their channels in
// the order channel, row, column. Depthwise convolutions with constant kernels take the
// positions apart.
func (b *builder) covering(name string, in, out int) layer {
	const side = 2
	w := b.weight(name+".weight", uniform(in*side*side), out, in, side, side)
	b.flat = append(b.flat, w)
	first := len(b.constants)
	for position := range side * side {
		kernels := make([]float64, in*side*side)
		for c := range in {
			kernels[c*side*side+position] = 1
		}
		b.constants = append(b.constants, constant{fmt.Sprintf("%s.position.%d", name, position), []int{in, 1, side, side}, kernels})
	}
	return func(net *network, x *graph.Node) *graph.Node {
		var positions []*graph.Node
		for _, c := range b.constants[first : first+side*side] {
			positions = append(positions, graph.NewDepthwise(x, net.Input(c.name, graph.Parameter, c.shape...), side, 0, 1))
		}
		return graph.NewConv(graph.NewShuffle(graph.NewConcat(positions...), side*side), net.parameters[w])
	}
}
