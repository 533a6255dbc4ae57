package darts

import "fmt"

// Network is the size of an evaluation network: what is trained from scratch with the cells
// of a genotype.
type Network struct {
	Channels int // of the first cells: 36 in the paper's networks for CIFAR-10, 48 for ImageNet
	Cells    int // 20 there, 14 for ImageNet
	Classes  int
	ImageNet bool // for images of side 224 with the stem of that network; otherwise of side 32
}

// The networks of the SDARTS paper, the same for all its spaces (quirk C31).
var (
	CIFARNetwork    = Network{Channels: 36, Cells: 20, Classes: 10}
	ImageNetNetwork = Network{Channels: 48, Cells: 14, Classes: 1000, ImageNet: true}
)

// Cost is the size of a network and its work.
type Cost struct {
	Parameters int // that are trained, without the auxiliary head (quirk C27)
	Auxiliary  int // those of the auxiliary head
	MACs       int // multiply-accumulates of the convolutions and of the classifier, for one image in evaluation
}

// Cost counts the network of a genotype. It is an error if the size is impossible or an
// operation unknown.
func (n Network) Cost(g Genotype) (Cost, error) {
	switch {
	case n.Channels < 2 || n.Channels%2 != 0:
		return Cost{}, fmt.Errorf("%d channels, want an even number", n.Channels)
	case n.Cells < 3:
		return Cost{}, fmt.Errorf("%d cells, want at least 3", n.Cells)
	case n.Classes < 2:
		return Cost{}, fmt.Errorf("%d classes, want at least 2", n.Classes)
	}
	var t counter
	c := n.Channels
	before, last := 3*c, 3*c // channels of the outputs of the two cells before
	side := 32               // of the last one
	if n.ImageNet {
		before, last, side = c, c, 28
		t.conv(9*3*c/2, 112)
		t.norm(c / 2)
		t.conv(9*c/2*c, 56)
		t.norm(c)
		t.conv(9*c*c, 28)
		t.norm(c)
	} else {
		t.conv(9*3*3*c, side)
		t.norm(3 * c)
	}
	auxiliary := 0
	for i := range n.Cells {
		kind := Normal
		if i == n.Cells/3 || i == 2*n.Cells/3 {
			kind = Reduction
			c *= 2
		}
		pairs, concat := g.Cell(kind)
		// Both are computed at the resolution of the last cell: where that halved it, the
		// output of the one before is halved as well.
		t.pointwise(before, c, side)
		t.pointwise(last, c, side)
		if kind == Reduction {
			side /= 2
		}
		for _, p := range pairs {
			if err := t.operation(p.Operation, c, side, kind == Reduction && p.Input < Inputs); err != nil {
				return Cost{}, err
			}
		}
		before, last = last, len(concat)*c
		if i == 2*n.Cells/3 {
			auxiliary = n.auxiliary(last)
		}
	}
	t.parameters += last*n.Classes + n.Classes
	t.macs += last * n.Classes
	return Cost{t.parameters, auxiliary, t.macs}, nil
}

// auxiliary counts the parameters of the head for so many channels. That of the ImageNet
// network has no batch norm after its second convolution (quirk C24).
func (n Network) auxiliary(in int) int {
	var t counter
	t.conv(in*128, 0)
	t.norm(128)
	t.conv(4*128*768, 0)
	if !n.ImageNet {
		t.norm(768)
	}
	return t.parameters + 768*n.Classes + n.Classes
}

// counter adds up parameters and multiply-accumulates.
type counter struct{ parameters, macs int }

// conv adds a convolution without bias, computed at the positions of an image of a side.
func (t *counter) conv(weights, side int) {
	t.parameters += weights
	t.macs += weights * side * side
}

// norm adds an affine batch norm.
func (t *counter) norm(channels int) { t.parameters += 2 * channels }

// pointwise adds the two halves of a factorised reduction, or the one convolution in its
// place, with their batch norm.
func (t *counter) pointwise(in, out, side int) {
	t.conv(in*out, side)
	t.norm(out)
}

// operation adds an operation on c channels whose output has a side.
func (t *counter) operation(name string, c, side int, halves bool) error {
	depthwise := func(window, times int) {
		for range times {
			t.conv(c*window*window+c*c, side)
			t.norm(c)
		}
	}
	switch name {
	case None, Noise, MaxPool, AvgPool:
	case Skip:
		if halves {
			t.pointwise(c, c, side)
		}
	case SepConv3:
		depthwise(3, 2)
	case SepConv5:
		depthwise(5, 2)
	case SepConv7:
		depthwise(7, 2)
	case DilConv3:
		depthwise(3, 1)
	case DilConv5:
		depthwise(5, 1)
	case Conv71:
		t.parameters += 2 * 7 * c * c
		t.norm(c)
		rows := side // of the first of its convolutions, which halves the columns only
		if halves {
			rows *= 2
		}
		t.macs += 7 * c * c * side * (rows + side)
	default:
		return fmt.Errorf("no operation %.40q", name)
	}
	return nil
}
