package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// The builders below add one operation each and panic when shapes do not fit,
// which only a mistake in the code that builds the network can cause.

func assert(ok bool, format string, args ...any) {
	if !ok {
		panic("graph: " + fmt.Sprintf(format, args...))
	}
}

func isActivation(n *Node) bool { return n.Dims() == 4 }

// NewConv adds a K×K convolution of x [N, I, H, W] with w [O, I, K, K], stride
// 1, zero padding (K-1)/2.
func NewConv(x, w *Node) *Node {
	xs, ws := x.Shape(), w.Shape()
	assert(isActivation(x) && len(ws) == 4 && ws[1] == xs[1] && ws[2] == ws[3] && ws[2]%2 == 1, "conv of %v with %v", xs, ws)
	k := ws[2]
	return apply(Conv, Attr{K: k, S: 1, P: k / 2}, tensor.Shape{xs[0], ws[0], xs[2], xs[3]}, x, w)
}

// NewDepthwise adds a convolution of each channel of x [N, C, H, W] with its own K×K
// kernel of w [C, 1, K, K].
func NewDepthwise(x, w *Node, stride, padding, dilation int) *Node {
	xs, ws := x.Shape(), w.Shape()
	assert(isActivation(x) && len(ws) == 4 && ws[0] == xs[1] && ws[1] == 1 && ws[2] == ws[3], "depthwise convolution of %v with %v", xs, ws)
	assert(stride > 0 && dilation > 0, "depthwise convolution of stride %d and dilation %d", stride, dilation)
	a := Attr{K: ws[2], S: stride, P: padding, D: dilation}
	return apply(Depthwise, a, windowed(x, a, dilation*(a.K-1)+1), x, w)
}

// windowed is the shape of what windows make of x that reach over a number of its rows
// and columns.
func windowed(x *Node, a Attr, reach int) tensor.Shape {
	xs := x.Shape()
	assert(xs[2]+2*a.P >= reach && xs[3]+2*a.P >= reach, "windows over %d rows and columns of %v with padding %d", reach, xs, a.P)
	out := func(n int) int { return (n+2*a.P-reach)/a.S + 1 }
	return tensor.Shape{xs[0], xs[1], out(xs[2]), out(xs[3])}
}

// NewProduct multiplies x [N, I, H, W] at every position, as a row, by the matrix w
// [I, O, 1, 1]: a 1×1 convolution whose kernels are the columns of w.
func NewProduct(x, w *Node) *Node {
	xs, ws := x.Shape(), w.Shape()
	assert(isActivation(x) && len(ws) == 4 && ws[0] == xs[1] && ws[2] == 1 && ws[3] == 1, "product of %v with %v", xs, ws)
	return apply(ConvData, Attr{K: 1, S: 1}, tensor.Shape{xs[0], ws[1], xs[2], xs[3]}, w, x)
}

// NewMaxPool adds a max-pooling with the given window, stride and padding.
func NewMaxPool(x *Node, k, s, p int) *Node {
	return pool(MaxPool, x, Attr{K: k, S: s, P: p})
}

// NewAveragePool adds an average-pooling with the given window, stride and padding.
func NewAveragePool(x *Node, k, s, p int) *Node {
	return pool(AveragePool, x, Attr{K: k, S: s, P: p})
}

func pool(kind Kind, x *Node, a Attr) *Node {
	assert(isActivation(x) && a.P < a.K, "%d×%d %s of %v with padding %d", a.K, a.K, kind, x.Shape(), a.P)
	return apply(kind, a, windowed(x, a, a.K), x)
}

// NewSubsample takes of x every row and column whose number is from plus a multiple of
// the stride.
func NewSubsample(x *Node, stride, from int) *Node {
	xs := x.Shape()
	assert(isActivation(x) && stride > 0 && from >= 0 && from < xs[2] && from < xs[3], "every %dth row and column of %v from %d", stride, xs, from)
	out := func(n int) int { return (n-from-1)/stride + 1 }
	return apply(Subsample, Attr{S: stride, From: from}, tensor.Shape{xs[0], xs[1], out(xs[2]), out(xs[3])}, x)
}

// NewBatchStats adds the mean and biased variance of every channel of x, [2, C].
func NewBatchStats(x *Node) *Node {
	assert(isActivation(x), "batch statistics of %v", x.Shape())
	return apply(BatchStats, Attr{}, tensor.Shape{2, x.Shape()[1]}, x)
}

// NewNormalize adds batch normalisation of x by its own statistics, the node
// that NewBatchStats(x) gave.
func NewNormalize(x, stats *Node) *Node {
	assert(slices.Equal(Children(stats), []*Node{x}), "normalisation by the statistics of another node")
	return apply(Normalize, Attr{}, x.Shape(), x, stats)
}

// NewNormalizeFixed adds batch normalisation of x by running statistics [2, C].
func NewNormalizeFixed(x, stats *Node) *Node {
	assert(isActivation(x) && stats.Shape().Eq(tensor.Shape{2, x.Shape()[1]}), "normalisation of %v by %v", x.Shape(), stats.Shape())
	return apply(NormalizeFixed, Attr{}, x.Shape(), x, stats)
}

// NewScaleChannels multiplies each channel of x by its entry of c [C].
func NewScaleChannels(x, c *Node) *Node { return channelwise(ScaleChannels, x, c) }

// NewShiftChannels adds to each channel of x its entry of c [C].
func NewShiftChannels(x, c *Node) *Node { return channelwise(ShiftChannels, x, c) }

func channelwise(kind Kind, x, c *Node) *Node {
	assert(isActivation(x) && c.Shape().Eq(tensor.Shape{x.Shape()[1]}), "%s of %v by %v", kind, x.Shape(), c.Shape())
	return apply(kind, Attr{}, x.Shape(), x, c)
}

// NewReLU adds max(x, 0); its derivative at 0 is 0.
func NewReLU(x *Node) *Node { return apply(ReLU, Attr{}, x.Shape(), x) }

// NewSigmoid adds the logistic function of x.
func NewSigmoid(x *Node) *Node { return apply(Sigmoid, Attr{}, x.Shape(), x) }

// NewTanh adds the hyperbolic tangent of x.
func NewTanh(x *Node) *Node { return apply(Tanh, Attr{}, x.Shape(), x) }

// NewMultiply adds the product of two activations, entry by entry.
func NewMultiply(x, y *Node) *Node {
	assert(isActivation(x) && x.Shape().Eq(y.Shape()), "product of %v and %v", x.Shape(), y.Shape())
	return apply(Multiply, Attr{}, x.Shape(), x, y)
}

// NewWeightedSum adds Σ mixing[at+j]·xs[j].
func NewWeightedSum(mixing *Node, at int, xs ...*Node) *Node {
	assert(mixing.Dims() == 1 && at >= 0 && at+len(xs) <= mixing.Shape()[0], "mixing weights %d..%d of %v", at, at+len(xs), mixing.Shape())
	sameShape(WeightedSum, xs)
	return apply(WeightedSum, Attr{At: at}, xs[0].Shape(), append([]*Node{mixing}, xs...)...)
}

// NewWeightedRows is NewWeightedSum with weights of its own for each row r of the xs:
// Σ mixing[at+stride·r+j]·xs[j].
func NewWeightedRows(mixing *Node, at, stride int, xs ...*Node) *Node {
	sameShape(WeightedSum, xs)
	s := xs[0].Shape()
	assert(isActivation(xs[0]) && mixing.Dims() == 1 && stride >= len(xs) && at >= 0 && at+stride*(s[2]-1)+len(xs) <= mixing.Shape()[0],
		"%d mixing weights a row, from %d of %v, for %d of %v", stride, at, mixing.Shape(), len(xs), s)
	return apply(WeightedSum, Attr{At: at, S: stride}, s, append([]*Node{mixing}, xs...)...)
}

// NewAdd adds the sum of xs.
func NewAdd(xs ...*Node) *Node {
	if len(xs) == 1 {
		return xs[0]
	}
	sameShape(Add, xs)
	return apply(Add, Attr{}, xs[0].Shape(), xs...)
}

func sameShape(kind Kind, xs []*Node) {
	for _, x := range xs {
		assert(x.Shape().Eq(xs[0].Shape()), "%s of %v and %v", kind, xs[0].Shape(), x.Shape())
	}
}

// NewConcat puts the channels of xs one after another.
func NewConcat(xs ...*Node) *Node {
	shape := xs[0].Shape().Clone()
	shape[1] = 0
	for _, x := range xs {
		s := x.Shape()
		assert(isActivation(x) && s[0] == shape[0] && s[2] == shape[2] && s[3] == shape[3], "concat of %v and %v", xs[0].Shape(), s)
		shape[1] += s[1]
	}
	return apply(Concat, Attr{}, shape, xs...)
}

// NewSlice takes the channels from..to of x.
func NewSlice(x *Node, from, to int) *Node {
	s := x.Shape().Clone()
	assert(isActivation(x) && 0 <= from && from < to && to <= s[1], "channels %d..%d of %v", from, to, s)
	s[1] = to - from
	return apply(Slice, Attr{From: from}, s, x)
}

// NewRows takes the rows from..to of x.
func NewRows(x *Node, from, to int) *Node {
	s := x.Shape().Clone()
	assert(isActivation(x) && 0 <= from && from < to && to <= s[2], "rows %d..%d of %v", from, to, s)
	s[2] = to - from
	return apply(Rows, Attr{From: from}, s, x)
}

// NewStackRows puts the rows of xs one below another.
func NewStackRows(xs ...*Node) *Node {
	if len(xs) == 1 {
		return xs[0]
	}
	shape := xs[0].Shape().Clone()
	shape[2] = 0
	for _, x := range xs {
		s := x.Shape()
		assert(isActivation(x) && s[0] == shape[0] && s[1] == shape[1] && s[3] == shape[3], "rows of %v below %v", s, xs[0].Shape())
		shape[2] += s[2]
	}
	return apply(StackRows, Attr{}, shape, xs...)
}

// NewShuffle views the channels of x as [groups][C/groups] and transposes them:
// channel a·groups+g of the result is channel g·(C/groups)+a of x.
func NewShuffle(x *Node, groups int) *Node {
	assert(isActivation(x) && groups > 0 && x.Shape()[1]%groups == 0, "shuffle of %d groups of the channels of %v", groups, x.Shape())
	return apply(Shuffle, Attr{K: groups}, x.Shape(), x)
}

// NewScaleImages multiplies each image of x [N, C, H, W] by its entry of the
// activation d [N, 1, 1, 1], through which no derivative flows.
func NewScaleImages(x, d *Node) *Node {
	assert(isActivation(x) && d.Shape().Eq(tensor.Shape{x.Shape()[0], 1, 1, 1}), "images of %v times %v", x.Shape(), d.Shape())
	return apply(ScaleImages, Attr{}, x.Shape(), x, d)
}

// NewMask multiplies x by the activation m of the same shape, through which no
// derivative flows.
func NewMask(x, m *Node) *Node {
	assert(isActivation(x) && m.Shape().Eq(x.Shape()), "mask of %v for %v", m.Shape(), x.Shape())
	return apply(Mask, Attr{}, x.Shape(), x, m)
}

// NewMean adds the mean over the positions of x, [N, C, 1, 1].
func NewMean(x *Node) *Node {
	assert(isActivation(x), "mean over the positions of %v", x.Shape())
	return apply(Mean, Attr{}, tensor.Shape{x.Shape()[0], x.Shape()[1], 1, 1}, x)
}

// NewCrossEntropy adds the mean cross-entropy of logits against one-hot labels,
// both [N, classes, 1, 1].
func NewCrossEntropy(logits, labels *Node) *Node {
	s := logits.Shape()
	assert(isActivation(logits) && s[2] == 1 && s[3] == 1 && labels.Shape().Eq(s), "cross-entropy of %v against %v", s, labels.Shape())
	return apply(CrossEntropy, Attr{}, tensor.Shape{}, logits, labels)
}

// NewEmbedding looks up, at each position of numbers [N, 1, H, W], the row of w [V, C, 1, 1]
// with the number there: [N, C, H, W]. The row without has no gradient; -1 is none.
func NewEmbedding(w, numbers *Node, without int) *Node {
	ws, s := w.Shape(), numbers.Shape().Clone()
	assert(len(ws) == 4 && ws[2] == 1 && ws[3] == 1 && isActivation(numbers) && s[1] == 1 && without >= -1 && without < ws[0],
		"embedding of %v by %v without row %d", s, ws, without)
	s[1] = ws[1]
	return apply(Embedding, Attr{At: without}, s, w, numbers)
}

// NewMeanProduct adds the mean of x·y over all entries.
func NewMeanProduct(x, y *Node) *Node {
	assert(isActivation(x) && x.Shape().Eq(y.Shape()), "mean product of %v and %v", x.Shape(), y.Shape())
	return apply(MeanProduct, Attr{}, tensor.Shape{}, x, y)
}

// NewSparseCrossEntropy adds the mean cross-entropy of logits [N, V, H, W] against the numbers
// of the right classes, [N, 1, H, W].
func NewSparseCrossEntropy(logits, classes *Node) *Node {
	s := logits.Shape()
	assert(isActivation(logits) && classes.Shape().Eq(tensor.Shape{s[0], 1, s[2], s[3]}), "cross-entropy of %v against %v", s, classes.Shape())
	return apply(SparseCrossEntropy, Attr{}, tensor.Shape{}, logits, classes)
}
