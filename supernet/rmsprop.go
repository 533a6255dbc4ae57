package supernet

import (
	"fmt"
	"math"
)

// RMSProp holds the hyper-parameters of one weight step as TensorFlow's optimiser of that
// name takes it, with which NAS-Bench-101 trains.
type RMSProp struct {
	LearningRate float64
	Decay        float64 // of the mean square of the gradient, which starts at 1
	Momentum     float64
	Epsilon      float64 // added to the mean square
	WeightDecay  float64 // added to the gradient
}

// StepRMSProp takes a step of RMSProp along the gradient of the last WeightGradient, on the
// host. It returns the gradient's 2-norm without weight decay.
func (n *Net) StepRMSProp(o RMSProp) (norm float64, err error) {
	norm = math.Sqrt(n.gradient.Dot(n.gradient))
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("weight step: the gradient's norm is %g; the training has diverged", norm)
	}
	p := n.ParameterCount()
	weights, gradient, momentum := make([]float64, p), make([]float64, p), make([]float64, p)
	n.weights.Read(weights)
	n.gradient.Read(gradient)
	n.momentum.Read(momentum)
	square := make([]float64, p)
	n.ReadMeanSquare(square)
	for i, g := range gradient {
		g += o.WeightDecay * weights[i]
		square[i] = o.Decay*square[i] + (1-o.Decay)*g*g
		momentum[i] = o.Momentum*momentum[i] + o.LearningRate*g/math.Sqrt(square[i]+o.Epsilon)
		weights[i] -= momentum[i]
	}
	n.WriteMeanSquare(square)
	n.momentum.Write(momentum)
	n.weights.Write(weights)
	return norm, nil
}

// ReadMeanSquare copies the mean square of StepRMSProp, one number for each weight.
func (n *Net) ReadMeanSquare(dst []float64) {
	if n.square == nil {
		for i := range dst {
			dst[i] = 1
		}
		return
	}
	n.square.Read(dst)
}

// WriteMeanSquare sets the mean square of StepRMSProp.
func (n *Net) WriteMeanSquare(src []float64) {
	if n.square == nil {
		n.square = n.engine.NewVector(n.ParameterCount())
	}
	n.square.Write(src)
}
