// Package phases compiles a plan, the order in which a graph's values are computed, to
// the instructions that the CPU engine and the CUDA engine execute.
//
// # Why phases
//
// A supernet's step goes through gigabytes of activations, far more than a cache holds,
// so what limits it is memory. The remedy is to finish one image before the next: its
// activations stay in the cache from one operation to the next. Batch normalisation
// forbids that, since it needs sums over the whole batch, forward and backward. So the
// compiler divides the work at exactly these sums. A phase is everything that can be
// computed for one image alone once the sums of the phases before are known. In
// evaluation mode there are no such sums, and the whole network is one phase.
//
// # From what
//
// An engine.Plan: steps such as Conv, BatchStats, ReLU or their derivatives, each with
// its operands and its result.
//
// # Through what
//
// Lowering (lower.go) visits the steps in order. Only some of them become instructions at
// once: convolutions, poolings, means, the loss. Everything that is linear in each
// channel, rectified or masked becomes an expression (expression.go), a sum of terms
//
//	a·z    a·max(s·y + t, 0)    a·z where s·y + t > 0
//
// over planes z and y that are in memory, with a coefficient for each channel.
// Normalising, scaling, mixing, adding, rectifying and their gradients only change
// expressions. An expression is computed, in one pass, when something needs it in
// memory, and a sum over the batch of products of expressions comes down to a few kinds
// of reductions.
//
// Coefficients depend on the sums. They are computed between phases (numbers.go) in
// double precision, a few numbers for each channel. A moment says from which phase on
// such a number is known; an instruction belongs to the first phase in which all that
// it reads is there.
//
// Scheduling (schedule.go) then moves cheap instructions to the phase of their first
// reader, so that their result never leaves the cache, and gives every storage a place:
// in scratch memory, if it lives within one image of one phase, or in memory for the
// whole batch.
//
// Guards (guard.go) mark what need not be computed while entries of the mixing vector
// are 0, as for GDAS, which samples one operation of each choice block.
//
// # To what
//
// A Program (assemble.go): for each level numbers to compute, weights to pack,
// instructions to execute for every image, and sums to add up over the images. format.h
// describes the instructions as the kernels read them, format.go is the same in Go. An
// activation is stored as planes of 16 channels, or as [Machine.Layout] says, so that one
// or two vector registers hold a pixel. With planes of two images, what is said of one image
// here is true of the two together.
//
// Listing prints a compiled program. testdata has the listings of two small networks,
// which are the best way into the code: change something and see what becomes of them.
package phases
