package cuda

import (
	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// What the kernels share with their geometry, see kernels/device.h and
// kernels/kernels.cu.
const (
	rows          = kernels.Threads / phases.Lanes       // ROWS: pixels of a block with a thread for each channel
	quarterPixels = kernels.Threads / (phases.Lanes / 4) // PIXELS: with a thread for four
	combined      = 4                                    // COMBINED: pixels of a thread of op_combine
	pooled        = 8                                    // POOLED: side of a tile of op_pool_back
)

// manyBlocks keep a GPU busy: two for each of an H100's 132 multiprocessors.
const manyBlocks = 264

// geometryOf is that of the kernel of an instruction, for the given number of images and of groups
// of them of which weight gradients are summed up.
func geometryOf(op *phases.Op, images, groups int) Geometry {
	h, w, oh, ow := int(op.H), int(op.W), int(op.OH), int(op.OW)
	ins, outs, auxs, k := int(op.Ins), int(op.Outs), int(op.Auxs), int(op.K)
	each := func(x, y int) Geometry { return geometry(x, y, images) }
	switch op.Kind {
	case phases.OpCombine:
		return each(divideUp(oh*ow, combined*quarterPixels), 1)
	case phases.OpReduce:
		return each(int(op.Count), 1)
	case phases.OpConv1, phases.OpConv3:
		blocks := convolvedBlocks(op, images)
		tiles := convolvedTiles(op, blocks)
		if op.Slots != 0 { // sums of all tiles of an image: one block makes them
			tiles = 1
		}
		return each(divideUp(outs, blocks), tiles)
	case phases.OpConvK:
		if op.Slots != 0 {
			return each(outs, 1)
		}
		return each(outs, divideUp(h*w, quarterPixels))
	case phases.OpWeight1: // two output blocks in one
		return geometry(ins, divideUp(auxs, 2), groups)
	case phases.OpWeight3: // a row of taps in one
		return geometry(ins, 3*auxs, groups)
	case phases.OpWeightK:
		return geometry(ins, k*k*auxs, groups)
	case phases.OpDepthWeight: // a row of taps in one
		if k == 3 || k == 5 || k == 7 {
			return geometry(ins, k, groups)
		}
		return geometry(ins, k*k, groups)
	case phases.OpPoolBack:
		if op.Slot >= 0 {
			return each(ins, 1)
		}
		return each(ins, divideUp(h, pooled)*divideUp(w, pooled))
	case phases.OpMean:
		return each(ins, 1)
	case phases.OpLoad:
		return each(divideUp(h*w, quarterPixels), outs)
	case phases.OpStore, phases.OpStream:
		return each(divideUp(h*w, quarterPixels), ins)
	case phases.OpRepack:
		return each(divideUp(h*w, rows), 1)
	case phases.OpLoss, phases.OpLossBack, phases.OpLossBackBack, phases.OpLossDot:
		const threads = 32
		return Geometry{Grid: [3]int{divideUp(images, threads), 1, 1}, Threads: threads}
	}
	return each(divideUp(oh*ow, quarterPixels), ins) // OpPool, OpPoolTake, OpMeanBack, OpDepth and others over windows
}

// convolvedBlocks is how many output blocks a tile of a convolution has: 1, 2 or 4,
// as many as leave few unused, but fewer if otherwise there are too few tiles to
// go round. A tile has the fewer pixels the more blocks it has.
func convolvedBlocks(op *phases.Op, images int) int {
	outs := int(op.Outs)
	blocks := 4
	for ; blocks > 1; blocks /= 2 {
		columns := divideUp(outs, blocks)
		parallel := images * columns
		if op.Slots == 0 {
			parallel *= convolvedTiles(op, blocks)
		}
		wasted := columns*blocks - outs
		if 4*wasted <= outs && (parallel >= manyBlocks || convolvedTiles(op, blocks) == 1) {
			break
		}
	}
	return blocks
}

// convolvedTiles is how many tiles an image has, see convolve in kernels.cu.
func convolvedTiles(op *phases.Op, blocks int) int {
	h, w, size := int(op.H), int(op.W), 256/blocks
	if op.Kind == phases.OpConv1 {
		return divideUp(h*w, size)
	}
	across := 16
	if blocks == 4 {
		across = 8
	}
	return divideUp(h, size/across) * divideUp(w, across)
}

func geometry(x, y, z int) Geometry {
	return Geometry{Grid: [3]int{max(x, 1), max(y, 1), max(z, 1)}, Threads: kernels.Threads}
}

func divideUp(n, by int) int { return (n + by - 1) / by }

// numbersGeometry is that of run_numbers.
func numbersGeometry() Geometry {
	return Geometry{Grid: [3]int{1, 1, 1}, Threads: kernels.NumbersThreads}
}

// sumsGeometry is that of add_sums for n sums, of which each is a chain of additions:
// small blocks spread them.
func sumsGeometry(n int) Geometry {
	const threads = 64
	return Geometry{Grid: [3]int{max(divideUp(n, threads), 1), 1, 1}, Threads: threads}
}

// Blocks that share a piece of weights, whatever its size.
const pieceBlocks = 16

// packGeometry is that of pack_weights for n pieces.
func packGeometry(n int) Geometry { return geometry(pieceBlocks, n, 1) }

// unpackGeometry is that of add_gradients for n pieces.
func unpackGeometry(n int) Geometry { return geometry(pieceBlocks, n, 1) }

// augmentGeometry is that of augment_images.
func augmentGeometry(side, images int) Geometry {
	return geometry(divideUp(side*side, kernels.Threads), 3, images)
}

// vectorGeometry is that of vector_axpy, vector_scale and vector_blend for n numbers.
func vectorGeometry(n int) Geometry {
	return geometry(min(divideUp(n, kernels.Threads), 4*manyBlocks), 1, 1)
}

// dotGeometry is that of vector_dot.
func dotGeometry() Geometry { return geometry(kernels.Dots, 1, 1) }
