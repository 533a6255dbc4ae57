// Package kernels holds the CUDA source of the kernels and the structures that
// they share with the host.
package kernels

import (
	_ "embed"

	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// Source is kernels.cu, and Header the file of ours beside it that it includes.
// Whoever compiles them from other places imports this package, so that the go
// command sees when they change.
var (
	//go:embed kernels.cu
	Source string
	//go:embed device.h
	Header string
)

// Sizes of device.h.
const (
	Threads        = 256  // of a block at most, by which the kernels divide their work
	NumbersThreads = 1024 // of the block of run_numbers
	Dots           = 64   // partial sums of vector_dot
)

// Device is nb_device, what is the same for all instructions of a program: the
// spaces of memory, the partial sums of each image (float64, SumsBetween apart),
// those of the weight gradients of each group of images (float32,
// GradientsBetween apart), the images of the batch and the groups.
type Device struct {
	Spaces           [phases.Spaces]phases.Address
	Sums             phases.Address
	SumsBetween      int64
	Gradients        phases.Address
	GradientsBetween int64
	Images, Groups   int64
}

// Packing is nb_packing: pack_weights fills the piece At of Packed from W.
type Packing struct {
	Packed, W phases.Address
	At        phases.Weights
}

// Unpacking is nb_unpacking: add_gradients adds up the packed gradients that all
// groups have from Slot on.
type Unpacking struct {
	W    phases.Address
	Slot int64
	At   phases.Weights
}
