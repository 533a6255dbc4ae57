package engine

import "time"

// Phase is a part of a program in which every image is worked on by itself, and what one
// run of it has cost. Between phases sums over the batch are added up.
type Phase struct {
	Instructions  string  // by kind
	Read, Written float64 // bytes of memory, by what the instructions name
	FLOPs         float64 // of convolutions, each done directly, as Plan.FLOPs

	// Batch is the time of what is done for the batch as a whole: numbers computed from
	// sums, weights packed, gradients of weights added up. Images is that of the images.
	Batch, Images time.Duration
}

// Observable is an engine that can tell how long every phase takes.
type Observable interface {
	// Observe has the engine call f after every phase of every run, until it is given
	// nil: with the program and the number of the phase. Taking the time costs less than
	// a microsecond a phase.
	Observe(f func(p Program, phase int, cost Phase))
}
