package controller

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// Kind says what a decision is about.
type Kind int

// A node's parents are decided first. The operation that is decided next is that
// of the block before the node (quirk Q23).
const (
	Parents Kind = iota
	Operation
)

// Decision is one draw of a sample.
type Decision struct {
	Kind          Kind
	Probabilities []float64 // of each earlier node, or of the three operations in the order of spaces.Operation
	Chosen        []int     // the parents in the order drawn, or the one operation
}

// Sample is a sampled cell.
type Sample struct {
	Architecture spaces.Architecture
	Decisions    []Decision // Parents and Operation in turn, for nodes 2 to the output
	// NegLogProb sums over the decisions -log p, of parents its mean over those
	// chosen.
	NegLogProb float64
	// Entropy sums over the decisions that of the probabilities, in nats.
	Entropy float64
}

// Draw returns k different indices of probabilities, which are positive, sum to 1
// and must not be changed. The order matters: the parent drawn last is the next
// input of the LSTM.
type Draw func(probabilities []float64, k int) []int

// Random returns a Draw that takes one index after the other, each proportional
// to the probabilities that remain. It returns fewer than k indices when fewer
// have a positive probability.
//
// That is the distribution of torch.multinomial without replacement, order
// included. Its newer versions sort p_i/e_i with exponential e_i instead, which
// is the same: e_i/p_i is exponential with rate p_i, the first of such clocks to
// ring is i with probability p_i over the sum, and the others, having no memory,
// start anew.
func Random(r *rand.Rand) Draw {
	return func(probabilities []float64, k int) []int {
		remaining := slices.Clone(probabilities)
		var chosen []int
		for range k {
			total := 0.0
			for _, p := range remaining {
				total += p
			}
			u := r.Float64() * total
			pick := -1
			for i, p := range remaining {
				if p <= 0 {
					continue
				}
				pick = i // the last one too if rounding leaves some of u
				if u < p {
					break
				}
				u -= p
			}
			if pick < 0 {
				break
			}
			remaining[pick] = 0
			chosen = append(chosen, pick)
		}
		return chosen
	}
}

// Sample samples an architecture at the present parameters. Nothing but draw is
// random. It is an error if draw returns other than k different indices, or if
// the parameters are so large that probabilities are not numbers.
func (c *Controller) Sample(draw Draw) (Sample, error) {
	if draw == nil {
		return Sample{}, fmt.Errorf("sample without a Draw: pass Random or recorded draws")
	}
	var s Sample
	g := nb1shot1.Genotype{Parents: [][]int{{}, {0}}}
	decide := func(kind Kind, logits []float64, k int) ([]int, error) {
		d := Decision{Kind: kind, Probabilities: make([]float64, len(logits))}
		sum := 0.0
		for i, l := range logits {
			d.Probabilities[i] = math.Exp(l) // squashed logits cannot overflow
			sum += d.Probabilities[i]
		}
		if math.IsNaN(sum) {
			return nil, fmt.Errorf("decision %d: probabilities are not numbers: the controller's parameters are too large", len(s.Decisions))
		}
		for i, l := range logits {
			d.Probabilities[i] /= sum
			s.Entropy += d.Probabilities[i] * (math.Log(sum) - l)
		}
		d.Chosen = slices.Clone(draw(d.Probabilities, k))
		if err := checkChosen(d.Chosen, k, len(logits)); err != nil {
			return nil, fmt.Errorf("decision %d: %w", len(s.Decisions), err)
		}
		for _, i := range d.Chosen {
			s.NegLogProb += (math.Log(sum) - logits[i]) / float64(k)
		}
		s.Decisions = append(s.Decisions, d)
		return d.Chosen, nil
	}

	h, cell := make([]float64, c.hidden), make([]float64, c.hidden)
	step := func(x []float64) { h, cell = c.lstm(x, h, cell) }
	var anchors, keys [][]float64
	anchor := func(v []float64) {
		anchors = append(anchors, v)
		keys = append(keys, times(c.of(c.layout.attention1), h))
	}
	embedding := func(token int) []float64 {
		return c.of(c.layout.embedding)[token*c.hidden:][:c.hidden]
	}
	for range 2 { // nodes 0 and 1 have nothing to decide
		step(embedding(0))
		anchor(make([]float64, c.hidden))
	}
	for node := 2; node <= c.space.Blocks()+1; node++ {
		step(embedding(0))
		query := times(c.of(c.layout.attention2), h)
		logits := make([]float64, node)
		for j, key := range keys {
			for i, v := range c.of(c.layout.vAttention) {
				logits[j] += v * math.Tanh(key[i]+query[i])
			}
			logits[j] = parentScale * math.Tanh(logits[j]/temperature)
		}
		parents, err := decide(Parents, logits, c.space.InDegree(node))
		if err != nil {
			return Sample{}, err
		}
		g.Parents = append(g.Parents, slices.Sorted(slices.Values(parents)))

		step(anchors[parents[len(parents)-1]])
		logits = times(c.of(c.layout.wSoft), h)
		for o, b := range c.of(c.layout.bSoft) {
			logits[o] = operationScale*math.Tanh((logits[o]+b)/temperature) + operationBias[o]
		}
		op, err := decide(Operation, logits, 1)
		if err != nil {
			return Sample{}, err
		}
		g.Ops = append(g.Ops, nb1shot1.Operation(op[0]))

		if node <= c.space.Blocks() { // nobody attends to the output node
			step(embedding(1 + op[0]))
			anchor(h)
		}
	}
	s.Architecture = c.space.Architecture(g)
	return s, nil
}

// checkChosen reports whether chosen are k different indices below n.
func checkChosen(chosen []int, k, n int) error {
	if len(chosen) != k {
		return fmt.Errorf("%d indices drawn: want %d", len(chosen), k)
	}
	for i, v := range chosen {
		if v < 0 || v >= n || slices.Contains(chosen[:i], v) {
			return fmt.Errorf("indices %v drawn: want different ones of 0 to %d", chosen, n-1)
		}
	}
	return nil
}

// lstm is one step of PyTorch's LSTM cell.
func (c *Controller) lstm(x, h, cell []float64) (newH, newCell []float64) {
	l := c.layout
	z, zh := times(c.of(l.weightInput), x), times(c.of(l.weightHidden), h)
	bi, bh := c.of(l.biasInput), c.of(l.biasHidden)
	for i := range z {
		z[i] += zh[i] + bi[i] + bh[i]
	}
	newH, newCell = make([]float64, c.hidden), make([]float64, c.hidden)
	gate := func(g, i int) float64 { return z[g*c.hidden+i] }
	for i := range newH {
		newCell[i] = sigmoid(gate(1, i))*cell[i] + sigmoid(gate(0, i))*math.Tanh(gate(2, i))
		newH[i] = sigmoid(gate(3, i)) * math.Tanh(newCell[i])
	}
	return newH, newCell
}

// sigmoid is the logistic function. It takes gorgonia's shortcut beyond 19, wrong
// by less than 6e-9, so that both passes agree.
func sigmoid(x float64) float64 {
	if x > 19 {
		return 1
	}
	return 1 / (1 + math.Exp(-x))
}

// times returns the product of a row-major matrix and the vector x.
func times(matrix, x []float64) []float64 {
	y := make([]float64, len(matrix)/len(x))
	for i := range y {
		row := matrix[i*len(x):][:len(x)]
		sum := 0.0
		for j, v := range row {
			sum += v * x[j]
		}
		y[i] = sum
	}
	return y
}
