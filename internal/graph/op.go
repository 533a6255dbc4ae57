package graph

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Kind names an operation. In the comments x and y are activations
// [N, C, H, W], c is a vector [C], m a mixing vector [D], s a scalar; g and u
// stand for the gradients that flow into a derivative.
type Kind string

// The operations, each beside those that make up its derivative.
const (
	Conv       Kind = "conv"        // x, w → y: K×K convolution, stride 1, zero padding (K-1)/2
	ConvData   Kind = "conv-data"   // w, g → gradient of x
	ConvWeight Kind = "conv-weight" // x, g → gradient of w

	Depthwise       Kind = "depthwise"        // x, w [C, 1, K, K] → y: each channel with a K×K kernel of its own, stride S, zero padding P, dilation D
	DepthwiseData   Kind = "depthwise-data"   // w, g → gradient of x
	DepthwiseWeight Kind = "depthwise-weight" // x, g → gradient of w

	MaxPool     Kind = "max-pool"      // x → y: window K, stride S, padding P with -∞; ties go to the first in row-major order
	MaxPoolBack Kind = "max-pool-back" // x, g → g scattered to where x had its maxima
	MaxPoolTake Kind = "max-pool-take" // x, u → u gathered from where x has its maxima

	AveragePool     Kind = "average-pool"      // x → y: window K, stride S, padding P, which does not count: the divisor is the number of positions of x in the window
	AveragePoolBack Kind = "average-pool-back" // g → gradient of x

	Subsample     Kind = "subsample"      // x → its rows and columns From, From+S, From+2S, …
	SubsampleBack Kind = "subsample-back" // g → gradient of x: g at those rows and columns, 0 elsewhere

	BatchStats        Kind = "batch-stats"         // x → [2, C]: mean and biased variance of each channel; not differentiated by itself
	Normalize         Kind = "normalize"           // x, stats → (x - mean)/√(var + Eps), stats being BatchStats(x) and differentiated as such
	NormalizeBack     Kind = "normalize-back"      // x, stats, g → gradient of x
	NormalizeBackBack Kind = "normalize-back-back" // x, stats, g, u → gradient of x through NormalizeBack
	NormalizeFixed    Kind = "normalize-fixed"     // x, stats → the same by running statistics, which are constants
	ScaleFixed        Kind = "scale-fixed"         // g, stats → g/√(var + Eps)

	ScaleChannels Kind = "scale-channels" // x, c → x·c, channel by channel
	ShiftChannels Kind = "shift-channels" // x, c → x + c
	DotChannels   Kind = "dot-channels"   // x, g → [C]: inner product of each channel
	SumChannels   Kind = "sum-channels"   // x → [C]: sum of each channel
	FillChannels  Kind = "fill-channels"  // c → x: each channel filled with its entry

	ReLU     Kind = "relu"      // x → max(x, 0)
	ReLUBack Kind = "relu-back" // y, g → g where y > 0, else 0

	Sigmoid         Kind = "sigmoid"           // x → 1/(1 + exp(-x))
	SigmoidBack     Kind = "sigmoid-back"      // y, g → g·y·(1 - y)
	SigmoidBackBack Kind = "sigmoid-back-back" // y, g, u → u·g·(1 - 2y), the gradient of y through SigmoidBack

	Tanh         Kind = "tanh"           // x → tanh(x)
	TanhBack     Kind = "tanh-back"      // y, g → g·(1 - y²)
	TanhBackBack Kind = "tanh-back-back" // y, g, u → -2·u·g·y, the gradient of y through TanhBack

	Multiply Kind = "multiply" // x, y → x·y, entry by entry; both are differentiated

	WeightedSum   Kind = "weighted-sum"   // m, x1..xk → Σ m[At+j]·xj, in row r of the xj Σ m[At+S·r+j]·xj
	InnerProducts Kind = "inner-products" // g, x1..xk → [D]: entry At+j is ⟨g, xj⟩, or entry At+S·r+j that of rows r; the others are 0

	Add    Kind = "add"    // x1..xk → Σ xj; any shape
	Concat Kind = "concat" // x1..xk → their channels one after another
	Slice  Kind = "slice"  // x → its channels From..From+C(out)
	Pad    Kind = "pad"    // x → x as the channels From.. of a larger activation, the others 0

	Rows      Kind = "rows"       // x → its rows From..From+H(out)
	PadRows   Kind = "pad-rows"   // x → x as the rows From.. of a taller activation, the others 0
	StackRows Kind = "stack-rows" // x1..xk → their rows one below another

	Shuffle     Kind = "shuffle"      // x → its channels, K groups of C/K one after another, taken in turn from each group
	ScaleImages Kind = "scale-images" // x, d [N, 1, 1, 1] → each image of x times its entry of d, which is a constant
	Mask        Kind = "mask"         // x, m → x times m, entry by entry; m is a constant of the shape of x

	Mean     Kind = "mean"      // x → [N, C, 1, 1]: mean over the positions
	MeanBack Kind = "mean-back" // g → g/(H·W) at every position

	Embedding     Kind = "embedding"      // w [V, C, 1, 1], t [N, 1, H, W] → y: at each position the row of w with the number that t has there
	EmbeddingBack Kind = "embedding-back" // t, g → gradient of w: of each row the sum of g where t has its number; 0 for the row At
	EmbeddingTake Kind = "embedding-take" // u, t → Embedding(u, t), but 0 where t is At: the derivative of EmbeddingBack

	MeanProduct Kind = "mean-product" // x, y → s: the mean of x·y over all entries
	Spread      Kind = "spread"       // s, x → s·x over the number of entries of x

	SparseCrossEntropy         Kind = "sparse-cross-entropy"           // logits l, classes t [N, 1, H, W] → s: mean over the batch and the positions
	SparseCrossEntropyBack     Kind = "sparse-cross-entropy-back"      // l, t, s → s·(softmax(l) - onehot(t))/(N·H·W)
	SparseCrossEntropyBackBack Kind = "sparse-cross-entropy-back-back" // l, s, u → gradient of l through SparseCrossEntropyBack
	SparseCrossEntropyDot      Kind = "sparse-cross-entropy-dot"       // l, t, u → s: ⟨(softmax(l) - onehot(t))/(N·H·W), u⟩

	CrossEntropy         Kind = "cross-entropy"           // logits l, one-hot labels t [N, C, 1, 1] → s: mean over the batch
	CrossEntropyBack     Kind = "cross-entropy-back"      // l, t, s → s·(softmax(l) - t)/N
	CrossEntropyBackBack Kind = "cross-entropy-back-back" // l, s, u → gradient of l through CrossEntropyBack
	CrossEntropyDot      Kind = "cross-entropy-dot"       // l, t, u → s: ⟨(softmax(l) - t)/N, u⟩
)

// Eps is added to the variance in batch normalisation.
const Eps = 1e-5

// Attr holds the constants of an operation; which ones count depends on its kind.
type Attr struct {
	K, S, P int // Conv*, Depthwise*, MaxPool*, AveragePool*: window, stride, padding; Subsample*: stride; Shuffle: K groups; WeightedSum, InnerProducts: S entries from one row to the next, 0 where all rows have the same
	D       int // Depthwise*: dilation
	At      int // WeightedSum, InnerProducts: first entry of the mixing vector; Embedding*: row without a gradient, or -1
	From    int // Slice, Pad: first channel; Rows, PadRows: first row; Subsample*: first row and column
}

// Op is an operation of the graph: a gorgonia operation with a symbolic
// derivative and no arithmetic of its own.
type Op struct {
	Kind  Kind
	Attr  Attr
	shape tensor.Shape
	ranks []int
	id    uint32 // tells equal operations on different operands apart, see WriteHash
}

var lastID atomic.Uint32

func apply(kind Kind, attr Attr, shape tensor.Shape, operands ...*Node) *Node {
	op := &Op{Kind: kind, Attr: attr, shape: shape, id: lastID.Add(1)}
	for _, n := range operands {
		op.ranks = append(op.ranks, n.Dims())
	}
	return applied(op, operands)
}

// AsOp returns the operation of a computed node.
func AsOp(n *Node) (*Op, error) {
	op, ok := n.Op().(*Op)
	if !ok {
		return nil, fmt.Errorf("node %v is not an operation of this package", n)
	}
	return op, nil
}

func hmType(rank int) hm.Type {
	if rank == 0 {
		return dtype
	}
	return gorgonia.TensorType{Dims: rank, Of: dtype}
}

// Arity is the number of operands.
func (o *Op) Arity() int { return len(o.ranks) }

// Type is the function type of the operation, made afresh for each call because
// gorgonia returns it to a pool.
func (o *Op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.ranks)+1)
	for _, r := range o.ranks {
		types = append(types, hmType(r))
	}
	return hm.NewFnType(append(types, hmType(len(o.shape)))...)
}

// InferShape returns the shape given at construction.
func (o *Op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape, nil }

// Do fails: the arithmetic is the engines'.
func (o *Op) Do(...gorgonia.Value) (gorgonia.Value, error) {
	return nil, errors.New("graph operations are computed by an engine, not by gorgonia")
}

// ReturnsPtr, CallsExtern and OverwritesInput answer gorgonia's own executors,
// which do not run this graph.
func (o *Op) ReturnsPtr() bool { return false }

// CallsExtern is false, see ReturnsPtr.
func (o *Op) CallsExtern() bool { return false }

// OverwritesInput is none, see ReturnsPtr.
func (o *Op) OverwritesInput() int { return -1 }

// WriteHash writes the identity of the operation. Gorgonia's node hash leaves
// the operands out, so the instance's own number is part of it.
func (o *Op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s %v %v %d", o.Kind, o.Attr, o.shape, o.id) }

// Hashcode is a hash of what WriteHash writes.
func (o *Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *Op) String() string { return fmt.Sprintf("%s%+v→%v", o.Kind, o.Attr, o.shape) }
