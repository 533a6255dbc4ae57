package supernet

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// Config fixes a network: the one-shot network of a space, or that of one architecture.
type Config struct {
	Space      *spaces.Space // nil in an evaluation network
	Evaluation *Evaluation   // nil in a one-shot network
	Channels   int           // of the stem and of the blocks of the first cells; the paper uses 16
	Cells      int           // at least 2 (runs ask for 3 or more), the resolution halves before cells ⌊Cells/3⌋ and ⌊2·Cells/3⌋; the paper uses 9
	Classes    int           // 10 for CIFAR-10
	Side       int           // height and width of the images
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
	// DropPath lets Net.SetDropPath scale layers image by image in the gradient passes
	// of training mode, see Net.Droppable. An evaluation network may have it, too.
	DropPath bool
	// Dropout lets Net.SetDropout drop entries of the skip connections of stride 1 in
	// the gradient passes of training mode, in the DARTS spaces alone: P-DARTS.
	Dropout bool
}

// MixingLen is the length of the mixing vector, 0 in an evaluation network.
func (c Config) MixingLen() int {
	if c.Evaluation != nil {
		return 0
	}
	if c.Sampled {
		return c.Cells * c.Space.Dim()
	}
	return c.Space.Dim()
}

func (c Config) check() error {
	if c.Evaluation != nil {
		if err := c.checkSizes(); err != nil {
			return err
		}
		return c.Evaluation.check(c)
	}
	switch {
	case c.Space == nil:
		return fmt.Errorf("no search space")
	case !known(c.Space):
		return fmt.Errorf("no network is known for space %s", c.Space.Name())
	case c.Sampled && !c.oneInput():
		return fmt.Errorf("the network of space %s cannot sample its operations", c.Space.Name())
	case c.Dropout && c.oneInput():
		return fmt.Errorf("the network of space %s has no skip connections to drop", c.Space.Name())
	case !c.oneInput() && (c.Channels%2 != 0 || c.Side%4 != 0):
		return fmt.Errorf("%d channels at side %d: the factorised reductions of space %s need an even number of channels and a side that 4 divides", c.Channels, c.Side, c.Space.Name())
	case !c.oneInput() && c.Unpadded:
		return fmt.Errorf("the network of space %s has no padded pooling to leave out", c.Space.Name())
	case c.Partial < 0:
		return fmt.Errorf("a 1/%d of the channels, need a divisor of at least 1, or 0 for all channels", c.Partial)
	case c.Channels%c.divisor() != 0:
		return fmt.Errorf("%d channels cannot be shuffled in %d groups, need a multiple of %d", c.Channels, c.Partial, c.Partial)
	}
	return c.checkSizes()
}

// checkSizes checks what every network has.
func (c Config) checkSizes() error {
	switch {
	case c.Channels < 1:
		return fmt.Errorf("%d channels, need at least 1", c.Channels)
	case c.Cells < 2:
		return fmt.Errorf("%d cells, need at least 2", c.Cells)
	case c.Classes < 2:
		return fmt.Errorf("%d classes, need at least 2", c.Classes)
	case c.Side < 4:
		return fmt.Errorf("images of %d×%d, need at least 4×4", c.Side, c.Side)
	case !(c.BatchNormMomentum > 0 && c.BatchNormMomentum <= 1):
		return fmt.Errorf("batch-norm momentum %g, need 0 < momentum ≤ 1", c.BatchNormMomentum)
	}
	return nil
}

// known tells whether a network is declared for the space.
func known(s *spaces.Space) bool {
	_, one := nb1shot1.Get(s.Name())
	_, two := darts.Of(s)
	return one == nil || two
}

// oneInput tells whether the cells take one earlier output, as in NAS-Bench-1Shot1, and
// not two, as in the DARTS spaces.
func (c Config) oneInput() bool {
	if c.Evaluation != nil {
		return c.Evaluation.Cell != nil
	}
	_, err := nb1shot1.Get(c.Space.Name())
	return err == nil
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

// blueprint declares the network.
func (c Config) blueprint() *blueprint {
	b := &builder{config: c, owner: always}
	if c.Evaluation != nil {
		b.evaluation()
	} else if space, err := nb1shot1.Get(c.Space.Name()); err == nil {
		b.nb1shot1(space)
	} else if space, ok := darts.Of(c.Space); ok {
		b.darts(space)
	}
	return &b.blueprint
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
	inputAuxSeed   = "auxiliary-seed"
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
	drop       []*graph.Node // [n, 1, 1, 1] of each droppable layer, or nil, see dropped
	dropout    bool          // see builder.dropout
	logits     *graph.Node
	loss       *graph.Node
	auxiliary  *graph.Node // logits of the auxiliary head, or nil
	auxLoss    *graph.Node
}

// losses are the loss and, where there is one, that of the auxiliary head.
func (net *network) losses() []*graph.Node {
	if net.auxLoss == nil {
		return []*graph.Node{net.loss}
	}
	return []*graph.Node{net.loss, net.auxLoss}
}

// build makes the graph of the network for a batch of n images, with drop path and
// dropout or without.
func (c Config) build(b *blueprint, n int, bn BatchNorm, drop, dropout bool) *network {
	net := &network{Graph: graph.New(), config: c, bn: bn, dropout: dropout}
	for i, t := range b.parameters {
		shape := t.Shape
		if len(shape) == 2 || slices.Contains(b.flat, i) { // a linear layer is a 1×1 convolution of one position
			shape = []int{shape[0], t.Size / shape[0], 1, 1}
		}
		net.parameters = append(net.parameters, net.Input(t.Name, graph.Parameter, shape...))
	}
	if d := c.MixingLen(); d > 0 {
		net.mixing = net.Input(inputMixing, graph.Parameter, d)
	}
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
	if net.auxiliary != nil {
		net.auxLoss = graph.NewCrossEntropy(net.auxiliary, labels)
	}
	return net
}
