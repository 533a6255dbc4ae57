package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// constant lists, for the kinds that have any, the operands through which no
// derivative flows. The masks and window positions are piecewise constant;
// statistics are either constants or differentiated by the operation that
// normalises with them.
var constant = map[Kind][]int{
	MaxPoolBack:       {0},
	MaxPoolTake:       {0},
	BatchStats:        {0},
	Normalize:         {1},
	NormalizeBack:     {1},
	NormalizeBackBack: {0, 1, 2, 3}, // third derivatives are never wanted
	NormalizeFixed:    {1},
	ScaleFixed:        {1},
	ReLUBack:          {0},
	SigmoidBackBack:   {0, 1, 2},
	TanhBackBack:      {0, 1, 2},
	Embedding:         {1},
	EmbeddingBack:     {0},
	EmbeddingTake:     {1},
	ScaleImages:       {1},
	Mask:              {1},

	CrossEntropy:         {1},
	CrossEntropyBack:     {1},
	CrossEntropyBackBack: {0, 1, 2},
	CrossEntropyDot:      {0, 1, 2},

	SparseCrossEntropy:         {1},
	SparseCrossEntropyBack:     {1},
	SparseCrossEntropyBackBack: {0, 1, 2},
	SparseCrossEntropyDot:      {0, 1, 2},
}

// DiffWRT tells gorgonia through which operands derivatives flow.
func (o *Op) DiffWRT(operands int) []bool {
	wrt := make([]bool, operands)
	for i := range wrt {
		wrt[i] = true
	}
	for _, i := range constant[o.Kind] {
		wrt[i] = false
	}
	return wrt
}

// SymDiff returns the expressions of the derivative with respect to each
// operand (nil for a constant one), given the gradient g of the output.
func (o *Op) SymDiff(in gorgonia.Nodes, out, g *Node) (gorgonia.Nodes, error) {
	a := o.Attr
	like := func(kind Kind, shaped *Node, operands ...*Node) *Node {
		return apply(kind, a, shaped.Shape(), operands...)
	}
	scalar := tensor.Shape{}
	switch o.Kind {
	case Conv: // x, w
		return gorgonia.Nodes{like(ConvData, in[0], in[1], g), like(ConvWeight, in[1], in[0], g)}, nil
	case ConvData: // w, g'
		return gorgonia.Nodes{like(ConvWeight, in[0], g, in[1]), like(Conv, in[1], g, in[0])}, nil
	case ConvWeight: // x, g'
		return gorgonia.Nodes{like(ConvData, in[0], g, in[1]), like(Conv, in[1], in[0], g)}, nil

	case Depthwise: // x, w
		return gorgonia.Nodes{like(DepthwiseData, in[0], in[1], g), like(DepthwiseWeight, in[1], in[0], g)}, nil
	case DepthwiseData: // w, g'
		return gorgonia.Nodes{like(DepthwiseWeight, in[0], g, in[1]), like(Depthwise, in[1], g, in[0])}, nil
	case DepthwiseWeight: // x, g'
		return gorgonia.Nodes{like(DepthwiseData, in[0], g, in[1]), like(Depthwise, in[1], in[0], g)}, nil

	case AveragePool:
		return gorgonia.Nodes{like(AveragePoolBack, in[0], g)}, nil
	case AveragePoolBack:
		return gorgonia.Nodes{like(AveragePool, in[0], g)}, nil
	case Subsample:
		return gorgonia.Nodes{like(SubsampleBack, in[0], g)}, nil
	case SubsampleBack:
		return gorgonia.Nodes{like(Subsample, in[0], g)}, nil

	case MaxPool:
		return gorgonia.Nodes{like(MaxPoolBack, in[0], in[0], g)}, nil
	case MaxPoolBack: // x, g'
		return gorgonia.Nodes{nil, like(MaxPoolTake, in[1], in[0], g)}, nil
	case MaxPoolTake: // x, u
		return gorgonia.Nodes{nil, like(MaxPoolBack, in[0], in[0], g)}, nil

	case Normalize: // x, stats
		return gorgonia.Nodes{like(NormalizeBack, in[0], in[0], in[1], g), nil}, nil
	case NormalizeBack: // x, stats, g'; linear and self-adjoint in g'
		return gorgonia.Nodes{
			like(NormalizeBackBack, in[0], in[0], in[1], in[2], g), nil,
			like(NormalizeBack, in[0], in[0], in[1], g),
		}, nil
	case NormalizeFixed, ScaleFixed:
		return gorgonia.Nodes{like(ScaleFixed, in[0], g, in[1]), nil}, nil

	case ScaleChannels: // x, c
		return gorgonia.Nodes{like(ScaleChannels, in[0], g, in[1]), like(DotChannels, in[1], in[0], g)}, nil
	case DotChannels: // x, y
		return gorgonia.Nodes{like(ScaleChannels, in[0], in[1], g), like(ScaleChannels, in[0], in[0], g)}, nil
	case ShiftChannels:
		return gorgonia.Nodes{g, like(SumChannels, in[1], g)}, nil
	case SumChannels:
		return gorgonia.Nodes{like(FillChannels, in[0], g)}, nil
	case FillChannels:
		return gorgonia.Nodes{like(SumChannels, in[0], g)}, nil

	case ReLU:
		return gorgonia.Nodes{like(ReLUBack, in[0], out, g)}, nil
	case ReLUBack: // y, g'
		return gorgonia.Nodes{nil, like(ReLUBack, in[1], in[0], g)}, nil

	case Sigmoid:
		return gorgonia.Nodes{like(SigmoidBack, in[0], out, g)}, nil
	case SigmoidBack: // y, g'
		return gorgonia.Nodes{like(SigmoidBackBack, in[0], in[0], in[1], g), like(SigmoidBack, in[1], in[0], g)}, nil
	case Tanh:
		return gorgonia.Nodes{like(TanhBack, in[0], out, g)}, nil
	case TanhBack: // y, g'
		return gorgonia.Nodes{like(TanhBackBack, in[0], in[0], in[1], g), like(TanhBack, in[1], in[0], g)}, nil
	case Multiply: // x, y
		return gorgonia.Nodes{NewMultiply(g, in[1]), NewMultiply(g, in[0])}, nil

	case WeightedSum: // m, x1..xk
		d := gorgonia.Nodes{like(InnerProducts, in[0], append(gorgonia.Nodes{g}, in[1:]...)...)}
		for j := range in[1:] {
			d = append(d, apply(WeightedSum, Attr{At: a.At + j, S: a.S}, g.Shape(), in[0], g))
		}
		return d, nil
	case InnerProducts: // y, x1..xk; g is a mixing vector
		d := gorgonia.Nodes{like(WeightedSum, in[0], append(gorgonia.Nodes{g}, in[1:]...)...)}
		for j := range in[1:] {
			d = append(d, apply(WeightedSum, Attr{At: a.At + j, S: a.S}, in[0].Shape(), g, in[0]))
		}
		return d, nil

	case Add:
		d := make(gorgonia.Nodes, len(in))
		for i := range d {
			d[i] = g
		}
		return d, nil
	case Concat:
		var d gorgonia.Nodes
		from := 0
		for _, x := range in {
			to := from + x.Shape()[1]
			d = append(d, NewSlice(g, from, to))
			from = to
		}
		return d, nil
	case Slice:
		return gorgonia.Nodes{like(Pad, in[0], g)}, nil
	case Pad:
		return gorgonia.Nodes{NewSlice(g, a.From, a.From+in[0].Shape()[1])}, nil

	case Rows:
		return gorgonia.Nodes{like(PadRows, in[0], g)}, nil
	case PadRows:
		return gorgonia.Nodes{NewRows(g, a.From, a.From+in[0].Shape()[2])}, nil
	case StackRows:
		var d gorgonia.Nodes
		from := 0
		for _, x := range in {
			to := from + x.Shape()[2]
			d = append(d, NewRows(g, from, to))
			from = to
		}
		return d, nil

	case Shuffle: // a transposition, undone by the other one
		return gorgonia.Nodes{NewShuffle(g, in[0].Shape()[1]/a.K)}, nil
	case ScaleImages: // x, d
		return gorgonia.Nodes{NewScaleImages(g, in[1]), nil}, nil
	case Mask: // x, m
		return gorgonia.Nodes{NewMask(g, in[1]), nil}, nil

	case Mean:
		return gorgonia.Nodes{like(MeanBack, in[0], g)}, nil
	case MeanBack:
		return gorgonia.Nodes{NewMean(g)}, nil

	case Embedding: // w, t
		return gorgonia.Nodes{like(EmbeddingBack, in[0], in[1], g), nil}, nil
	case EmbeddingBack: // t, g'
		return gorgonia.Nodes{nil, like(EmbeddingTake, in[1], g, in[0])}, nil
	case EmbeddingTake: // u, t
		return gorgonia.Nodes{like(EmbeddingBack, in[0], in[1], g), nil}, nil

	case MeanProduct: // x, y
		return gorgonia.Nodes{like(Spread, in[0], g, in[1]), like(Spread, in[1], g, in[0])}, nil
	case Spread: // s, x
		return gorgonia.Nodes{apply(MeanProduct, a, scalar, in[1], g), like(Spread, in[1], in[0], g)}, nil

	case SparseCrossEntropy: // l, t
		return gorgonia.Nodes{like(SparseCrossEntropyBack, in[0], in[0], in[1], g), nil}, nil
	case SparseCrossEntropyBack: // l, t, s
		return gorgonia.Nodes{
			like(SparseCrossEntropyBackBack, in[0], in[0], in[2], g), nil,
			apply(SparseCrossEntropyDot, a, scalar, in[0], in[1], g),
		}, nil

	case CrossEntropy: // l, t
		return gorgonia.Nodes{like(CrossEntropyBack, in[0], in[0], in[1], g), nil}, nil
	case CrossEntropyBack: // l, t, s
		return gorgonia.Nodes{
			like(CrossEntropyBackBack, in[0], in[0], in[2], g), nil,
			apply(CrossEntropyDot, a, scalar, in[0], in[1], g),
		}, nil
	}
	return nil, fmt.Errorf("%s is not differentiated", o.Kind)
}
