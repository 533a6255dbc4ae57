package cuda

import "github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"

// What the tests of the kernels need.
var (
	KernelOf        = opKernels
	GeometryOf      = geometryOf
	NumbersGeometry = numbersGeometry
	SumsGeometry    = sumsGeometry
	PackGeometry    = packGeometry
	UnpackGeometry  = unpackGeometry
	VectorGeometry  = vectorGeometry
	DotGeometry     = dotGeometry
)

// DotBlocks is how many partial sums vector_dot makes.
const DotBlocks = kernels.Dots
