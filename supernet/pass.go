package supernet

// BatchNorm says which statistics normalise a forward pass.
type BatchNorm int

const (
	// BatchStatistics normalises by the batch itself and moves the running
	// statistics: training mode.
	BatchStatistics BatchNorm = iota
	// RunningStatistics normalises by the running statistics and leaves them
	// alone: evaluation mode.
	RunningStatistics
)

// Pass is what one forward pass over a batch of N images yields.
type Pass struct {
	Loss    float64   // mean cross-entropy over the batch, in nats
	Correct int       // images whose largest logit is their label
	Logits  []float64 // N×Classes, row-major; the next pass of the same kind reuses it

	// The same of the auxiliary head, in passes of training mode of a network that has one.
	AuxiliaryLoss   float64
	AuxiliaryLogits []float64
}

// SGD holds the hyper-parameters of one weight step.
type SGD struct {
	LearningRate float64
	Momentum     float64 // no dampening, no Nesterov
	WeightDecay  float64 // added to the gradient after clipping
	Clip         float64 // bound on the 2-norm of the whole gradient; 0 does not clip
}
