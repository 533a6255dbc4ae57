// Package controller is the recurrent controller of ENAS (Pham et al., 2018) as
// NAS-Bench-1Shot1 uses it: an LSTM that samples the cells of a search space one
// decision after the other, trained by REINFORCE.
//
// Sampling is plain Go. The gradient of the negative log-probability of a sample
// comes from an expression graph of gorgonia's own operations, run by its
// TapeMachine. Reward, baseline and optimiser are the caller's.
package controller

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

const (
	operations = 3              // candidates of a block
	tokens     = 1 + operations // rows of the embedding: the start token, then the operations
	gates      = 4              // of the LSTM, in the order input, forget, cell, output
	maxHidden  = 1024
)

// The logits are squashed: those of parents to ±parentScale, those of operations
// to ±operationScale around operationBias. The fixed bias favours max pooling and
// the 3x3 convolution (quirk Q23).
const (
	temperature    = 5.0
	parentScale    = 2.5
	operationScale = 0.5
)

var operationBias = [operations]float64{0.25, 0.25, -0.25}

// Config says what a controller samples and how wide it is.
type Config struct {
	Space  *nb1shot1.Space
	Hidden int // width of the LSTM, 1 to 1024; 64 in the released code
}

// Tensor is one tensor of parameters within the flat vector, row-major.
type Tensor struct {
	Name   string // PyTorch's name in the released code
	Rows   int    // 1 for vectors
	Cols   int
	Offset int // of its first entry
}

// Controller is the LSTM with its parameters. It is not safe for concurrent use.
type Controller struct {
	space      *nb1shot1.Space
	hidden     int
	layout     layout
	parameters []float64
	gradient   *gradientGraph // nil before the first Gradient
}

// layout holds the parameters' tensors in the order of the flat vector.
type layout struct {
	bSoft, embedding, weightInput, weightHidden, biasInput, biasHidden, wSoft, attention1, attention2, vAttention Tensor
}

func newLayout(hidden int) layout {
	end := 0
	tensor := func(name string, rows, cols int) Tensor {
		t := Tensor{name, rows, cols, end}
		end += rows * cols
		return t
	}
	return layout{
		bSoft:        tensor("b_soft", 1, operations),
		embedding:    tensor("encoder.weight", tokens, hidden),
		weightInput:  tensor("lstm.weight_ih", gates*hidden, hidden),
		weightHidden: tensor("lstm.weight_hh", gates*hidden, hidden),
		biasInput:    tensor("lstm.bias_ih", 1, gates*hidden),
		biasHidden:   tensor("lstm.bias_hh", 1, gates*hidden),
		wSoft:        tensor("w_soft.weight", operations, hidden),
		attention1:   tensor("w_attn_1.weight", hidden, hidden),
		attention2:   tensor("w_attn_2.weight", hidden, hidden),
		vAttention:   tensor("v_attn.weight", 1, hidden),
	}
}

func (l layout) tensors() []Tensor {
	return []Tensor{l.bSoft, l.embedding, l.weightInput, l.weightHidden, l.biasInput, l.biasHidden,
		l.wSoft, l.attention1, l.attention2, l.vAttention}
}

// New returns a controller whose parameters are all zero: call Initialize or
// SetParameters.
func New(c Config) (*Controller, error) {
	if c.Space == nil {
		return nil, fmt.Errorf("controller without a search space: set Config.Space")
	}
	if c.Hidden < 1 || c.Hidden > maxHidden {
		return nil, fmt.Errorf("controller of width %d: want 1 to %d, 64 as in the released code", c.Hidden, maxHidden)
	}
	l := newLayout(c.Hidden)
	last := l.vAttention
	return &Controller{
		space:      c.Space,
		hidden:     c.Hidden,
		layout:     l,
		parameters: make([]float64, last.Offset+last.Rows*last.Cols),
	}, nil
}

// Tensors names the parameters in the order of the flat vector, which is
// PyTorch's of the released code.
func (c *Controller) Tensors() []Tensor { return c.layout.tensors() }

// Parameters returns a copy of all parameters, tensor after tensor.
func (c *Controller) Parameters() []float64 { return slices.Clone(c.parameters) }

// SetParameters copies the values, as many finite numbers as Parameters returns,
// into the controller.
func (c *Controller) SetParameters(values []float64) error {
	if len(values) != len(c.parameters) {
		return fmt.Errorf("%d controller parameters: width %d has %d", len(values), c.hidden, len(c.parameters))
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("controller parameter %d is %v: want a finite number", i, v)
		}
	}
	copy(c.parameters, values)
	return nil
}

// Initialize draws every parameter uniformly from ±0.1, except the trainable bias
// of the operations, which becomes (10, 10, 0).
func (c *Controller) Initialize(r *rand.Rand) {
	for i := range c.parameters {
		c.parameters[i] = 0.2*r.Float64() - 0.1
	}
	copy(c.of(c.layout.bSoft), []float64{10, 10, 0})
}

// of returns the parameters of the tensor.
func (c *Controller) of(t Tensor) []float64 {
	return c.parameters[t.Offset : t.Offset+t.Rows*t.Cols]
}
