// Package recurrent is the language model of the recurrent space: words, one recurrent layer
// with the search cell or the cell of a genotype, and a decoder that shares the matrix of the
// words (Section 5.4 of the SDARTS paper; DARTS, Section 3.2).
//
// Like package supernet it is an expression graph that is differentiated symbolically and
// compiled for an engine. A sequence is an image one column wide: its channels are the
// features, its rows the time steps. Each length of windows has programs of its own, which are
// compiled when first needed and kept.
//
// The CUDA engine does not have the operations.
package recurrent

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

// Config says what a model is made of.
type Config struct {
	Words    int           // V, the size of the vocabulary, at least 2
	Hidden   int           // H, the length of the vectors of words and of the hidden state
	Genotype *rnn.Genotype // of the network that is trained from scratch; nil is the search network
	// BatchNormMomentum is the weight of the new statistics in the running ones: 0.1 in the
	// released code. Only the search network normalises.
	BatchNormMomentum float64
	// AllWordsLearn lets the last word learn from where it is read, too. In the released code
	// it does not (quirk R7 of the space): only the decoder moves its vector.
	AllWordsLearn bool
	// NormEachState keeps running statistics of each of the nine states of the search cell. In
	// the released code all states move the same ones (quirk R6 of the space).
	NormEachState bool
}

func (c Config) check() error {
	switch {
	case c.Words < 2:
		return fmt.Errorf("a vocabulary of %d words, want at least 2", c.Words)
	case c.Hidden < 1:
		return fmt.Errorf("%d hidden units, want at least 1", c.Hidden)
	case c.Genotype == nil && !(c.BatchNormMomentum > 0 && c.BatchNormMomentum <= 1):
		return fmt.Errorf("batch norm with momentum %v, want more than 0 and at most 1", c.BatchNormMomentum)
	}
	return nil
}

// running is how many sets of running statistics there are.
func (c Config) running() int {
	if c.NormEachState {
		return rnn.Nodes + 1
	}
	return 1
}

// initialStatistics are means of 0 and variances of 1.
func (c Config) initialStatistics() []float64 {
	return slices.Repeat(slices.Concat(make([]float64, c.Hidden), slices.Repeat([]float64{1}, c.Hidden)), c.running())
}

// nodes is the number of nodes with a matrix.
func (c Config) nodes() int {
	if c.Genotype != nil {
		return len(c.Genotype.Nodes)
	}
	return rnn.Nodes
}

// withoutGradient is the word that does not learn from where it is read, or -1.
func (c Config) withoutGradient() int {
	if c.AllWordsLearn {
		return -1
	}
	return c.Words - 1
}

// Model is a language model with its weights on an engine. It is not safe for use by several
// goroutines at once.
type Model struct {
	config     Config
	engine     engine.Engine
	parameters []supernet.Tensor
	size       int // of all of them

	weights, gradient           engine.Vector
	running                     engine.Vector // mean and variance of the one batch norm, or of each
	mixing, mixingGradient      engine.Vector
	direction, product          engine.Vector
	constants                   engine.Vector
	loss, activation, temporal  engine.Vector
	one, ofActivation, ofChange engine.Vector // seeds of the gradients

	programs map[key]*program
	flops    float64 // of all passes so far
}

// inputs of the graph that are not parameters.
const (
	inputTokens     = "tokens"
	inputTargets    = "targets"
	inputHidden     = "hidden"
	inputMaskX      = "mask of x"
	inputMaskH      = "mask of h"
	inputMaskOutput = "mask of the output"
	inputMixing     = "mixing"
	inputConstants  = "constants"
	inputSeed       = "seed"
	inputActivation = "seed of the activation"
	inputTemporal   = "seed of the change"
	inputDirection  = "direction"
)

// Names of parameters, those of the released code.
const (
	nameWords = "encoder.weight"
	nameFirst = "rnns.0._W0"
	nameBias  = "decoder.bias"
)

// runningName is the input of the running statistics of a state.
func runningName(state int) string { return fmt.Sprint("running statistics of state ", state) }

func nameNode(node int) string { return fmt.Sprintf("rnns.0._Ws.%d", node-1) }

// New returns a model with zero weights and running statistics of mean 0 and variance 1.
func New(config Config, e engine.Engine) (*Model, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	m := &Model{config: config, engine: e, programs: map[key]*program{}}
	add := func(name string, shape ...int) {
		t := supernet.Tensor{Name: name, Shape: shape, Offset: m.size, Size: 1}
		for _, n := range shape {
			t.Size *= n
		}
		m.parameters, m.size = append(m.parameters, t), m.size+t.Size
	}
	h := config.Hidden
	add(nameWords, config.Words, h)
	add(nameFirst, 2*h, 2*h)
	for node := range config.nodes() {
		add(nameNode(node+1), h, 2*h)
	}
	add(nameBias, config.Words)

	vector := func(values ...float64) engine.Vector {
		v := e.NewVector(len(values))
		v.Write(values)
		return v
	}
	m.weights, m.gradient = e.NewVector(m.size), e.NewVector(m.size)
	m.running = vector(config.initialStatistics()...)
	m.mixing, m.mixingGradient = e.NewVector(rnn.Dim), e.NewVector(rnn.Dim)
	m.direction, m.product = e.NewVector(rnn.Dim), e.NewVector(rnn.Dim)
	m.constants = vector(constants()...)
	m.loss, m.activation, m.temporal = e.NewVector(1), e.NewVector(1), e.NewVector(1)
	m.one, m.ofActivation, m.ofChange = vector(1), e.NewVector(1), e.NewVector(1)
	return m, nil
}

// constants are numbers that sums in the graph are weighted by: 1 and -1 for differences, then
// the numbers of rows from 1 to 8 that means are multiplied by.
func constants() []float64 {
	list := []float64{1, -1}
	for rows := range rnn.Nodes {
		list = append(list, float64(rows+1))
	}
	return list
}

const (
	constantDifference = 0
	constantRows       = 1 // constantRows+n is n
)

// Parameters lists the tensors of the flat vector of weights: the words, which are the decoder
// too, the matrix of state 0, those of the nodes and the bias of the decoder. Matrices are
// multiplied from the right.
func (m *Model) Parameters() []supernet.Tensor { return m.parameters }

// ParameterCount is the number of weights.
func (m *Model) ParameterCount() int { return m.size }

// FLOPs is the arithmetic of the matrix products of all passes so far, see engine.Plan.FLOPs.
// Repeated products with the Hessian are not in it.
func (m *Model) FLOPs() float64 { return m.flops }

// StatisticsCount is the number of running statistics: mean and variance of each feature, for
// each state where Config.NormEachState is set.
func (m *Model) StatisticsCount() int { return 2 * m.config.Hidden * m.config.running() }

// ReadParameters copies the weights to dst, of ParameterCount numbers.
func (m *Model) ReadParameters(dst []float64) { m.weights.Read(dst) }

// WriteParameters sets the weights.
func (m *Model) WriteParameters(src []float64) { m.weights.Write(src) }

// ReadGradient copies the gradient of the last WeightGradient to dst.
func (m *Model) ReadGradient(dst []float64) { m.gradient.Read(dst) }

// WriteGradient replaces the gradient of the last WeightGradient.
func (m *Model) WriteGradient(src []float64) { m.gradient.Write(src) }

// Initialize draws the weights as the released code does, uniform in [-0.04, 0.04) but for the
// decoder's bias, which is 0, and resets the running statistics.
func (m *Model) Initialize(r *rand.Rand) {
	w := make([]float64, m.size)
	for i := range m.size - m.config.Words { // the bias is the last tensor
		w[i] = 0.04 * (2*r.Float64() - 1)
	}
	m.weights.Write(w)
	m.running.Write(m.config.initialStatistics())
}

// ReadStatistics copies the running statistics to dst: means, then variances, state after state.
func (m *Model) ReadStatistics(dst []float64) { m.running.Read(dst) }

// WriteStatistics sets the running statistics.
func (m *Model) WriteStatistics(src []float64) { m.running.Write(src) }

// ClipGradient scales the gradient of the last WeightGradient to a 2-norm of at most clip,
// where that is not 0, and returns the norm before. It is an error if that is not finite.
func (m *Model) ClipGradient(clip float64) (norm float64, err error) {
	norm = math.Sqrt(m.gradient.Dot(m.gradient))
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("weight step: the gradient's norm is %g; the training has diverged", norm)
	}
	if clip > 0 {
		// The 1e-6 is the released code's guard against division by 0.
		m.gradient.Scale(min(1, clip/(norm+1e-6)))
	}
	return norm, nil
}

// Descend moves the weights by -rate·(gradient + decay·weights), with the gradient of the last
// WeightGradient, as it is.
func (m *Model) Descend(rate, decay float64) {
	m.weights.Scale(1 - rate*decay)
	m.weights.Axpy(-rate, m.gradient)
}
