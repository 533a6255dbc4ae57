package phases

import (
	_ "embed"
	"unsafe"
)

// Format is format.h. That it is embedded lets the go command compile kernels anew
// when it changes.
//
//go:embed format.h
var Format string

// Lanes is how many channels a plane holds at most.
const Lanes = 16

// Layout is what a pixel of a plane consists of: floats of so many channels, and of each
// channel those of so many images, which are worked on at once: [H·W][channel][image]. The
// images of a batch must be a multiple of these. Format.h describes planes of 16 channels of
// one image; elsewhere its 16 are the channels of a plane, its image the images of one, and
// what it says of a plane's first number its first channel.
type Layout struct{ Channels, Images int }

// Floats is how many a pixel has.
func (l Layout) Floats() int { return l.Channels * l.Images }

// A Ref locates a plane: Base + image·Stride bytes into a space of memory.
type Ref struct{ Space, Base, Stride int64 }

// Spaces of memory. Absolute ones are vectors; Batch holds values of all images;
// Scratch holds those of one image during one phase; Half is Batch for planes in
// bfloat16, see [Machine.Half]; None is no plane.
const (
	Absolute = iota
	Batch
	Scratch
	Half
	Spaces
	None
)

// MaxTerms is how many terms a Pass has at most.
const MaxTerms = 3

// Op is an instruction, Pass, Reduction and Move what some of them consist of:
// nb_op and the rest of format.h, which explains them. Addresses are the
// engine's.
type Op struct {
	Kind                      int32
	H, W, OH, OW              int32
	K, Stride, Pad, Dilation  int32
	Accumulate                int32
	Skip                      int32
	Far                       int32
	Channels                  int32
	Round                     int32
	Ins, Outs, Auxs, Count    int32
	In, Out, Aux              Address // of Refs
	Depth                     Address // of int32s
	Weights, Coef             Address // of float32s
	Passes, Reductions, Moves Address
	Slots                     Address // of int64s
	Slot                      int64
	Scale                     float64
}

// Address is a place in the engine's memory; 0 is none.
type Address uintptr

// Pass is nb_pass.
type Pass struct {
	Out                            Ref
	Terms                          int32
	Kind                           [MaxTerms]int32
	Accumulate, Last, Images, Skip int32
	Z, Y                           [MaxTerms]Ref
	Image                          [MaxTerms]Ref
	Coef                           Address
}

// Reduction is nb_reduction.
type Reduction struct {
	Masked, HasZ, NW int32
	_                int32
	Y, Z             Ref
	W                [MaxTerms]Ref
	Image            Ref
	Coef             Address
	Slot             int64
}

// Move is nb_move.
type Move struct {
	Src, Block int32
	Lanes      [Lanes]int32
}

// Numbers is nb_numbers.
type Numbers struct {
	Kind, N, Step, Wave int32
	K                   float64
	To, A, B            Address
}

// Weights is nb_weights.
type Weights struct {
	Outs, Ins, K        int32
	OutBlocks, InBlocks int32
	OutBlock, InBlock   int32
	Transposed          int32
	Depthwise           int32
}

// Read is nb_read.
type Read struct {
	Plane Ref
	Bytes int64
}

// The kinds of instructions, nb_kind.
const (
	OpCombine = iota
	OpReduce
	OpConv1
	OpConv3
	OpConvK
	OpWeight1
	OpWeight3
	OpWeightK
	OpPool
	OpPoolBack
	OpPoolTake
	OpDepth
	OpDepthBack
	OpDepthWeight
	OpAverage
	OpAverageBack
	OpSubsample
	OpSpread
	OpMask
	OpMean
	OpMeanBack
	OpLoad
	OpStore
	OpRepack
	OpLoss
	OpLossBack
	OpLossBackBack
	OpLossDot
	OpStream
	OpCount
)

// The kinds of Numbers, nb_numbers_kind.
const (
	NumbersCopy = iota
	NumbersAdd
	NumbersSubtract
	NumbersMultiply
	NumbersScale
	NumbersDivide
	NumbersRoot
	NumbersPositive
	NumbersSum
	NumbersRead
	NumbersWrite
	NumbersCount
)

// Sizes in bytes, which the kernels' side must share; engines check them.
const (
	OpBytes        = unsafe.Sizeof(Op{})
	PassBytes      = unsafe.Sizeof(Pass{})
	ReductionBytes = unsafe.Sizeof(Reduction{})
	MoveBytes      = unsafe.Sizeof(Move{})
	NumbersBytes   = unsafe.Sizeof(Numbers{})
	WeightsBytes   = unsafe.Sizeof(Weights{})
	ReadBytes      = unsafe.Sizeof(Read{})
)
