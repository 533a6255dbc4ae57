package recurrent

import (
	"context"
	"fmt"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

// Window is what a pass reads, and what it is to predict.
type Window struct {
	Batch           int       // sequences, at least 1
	Inputs, Targets []int32   // words by their numbers, T×Batch, row by row; T is at least 1
	Hidden          []float64 // Batch×H: the hidden states before
	Masks           *Masks    // nil drops nothing
}

// Masks are the dropout of a pass, the same at all time steps: 0, or 1 over the probability of
// being kept. A nil one is all ones.
type Masks struct {
	Words               []float64 // V: of the vectors that are read, not of the decoder (quirk R25)
	Input, X, H, Output []float64 // Batch×H each: of the vectors twice, of every state before a matrix, and of the outputs
}

// Regularisers are the weights of what is added to the cross-entropy in training.
type Regularisers struct {
	Activation float64 // of the mean square of the outputs, after their mask
	Temporal   float64 // of the mean square of their change from one time step to the next, before it; no effect in windows of one row
}

// Pass is what a pass gives.
type Pass struct {
	Loss                 float64   // mean cross-entropy over the window, in nats
	Activation, Temporal float64   // means of squares, where their weight is not 0; else 0
	Total                float64   // the loss with its regularisers
	Hidden               []float64 // Batch×H: the hidden states after
}

// Inspection is all that a pass computes on its way, T×Batch×… row by row; those of the batch
// norm are one Batch×H for each of the 9·T calls.
type Inspection struct {
	Logits, Raw, Dropped []float64 // before the softmax; outputs before their mask and after
	Before, After        []float64 // the batch norm; empty without one
}

type program struct {
	engine.Program
	flops                      float64
	tokens, targets, hidden    engine.Vector
	maskX, maskH, maskOutput   engine.Vector // nil unless masked
	last                       engine.Vector // the hidden states after
	stats                      engine.Vector // of the calls of the batch norm, [2, H] each
	logits, raw, dropped       engine.Vector // where inspected
	before, after              []engine.Vector
	tokenBuffer, bufferOfMasks []float64
	statsBuffer                []float64
}

// Forward evaluates a window. mixing has rnn.Dim weights, used as they are, and is nil for the
// network of a genotype. Passes with batch statistics move the running ones.
func (m *Model) Forward(w Window, mixing []float64, bn supernet.BatchNorm) (Pass, error) {
	pass, _, err := m.run(key{task: forward, bn: bn}, w, mixing, Regularisers{})
	return pass, err
}

// MixingGradient also writes the total loss's gradient with respect to mixing into grad.
func (m *Model) MixingGradient(w Window, mixing []float64, bn supernet.BatchNorm, r Regularisers, grad []float64) (Pass, error) {
	pass, _, err := m.run(key{task: mixingGradient, bn: bn}, w, mixing, r)
	if err == nil {
		m.mixingGradient.Read(grad)
	}
	return pass, err
}

// WeightGradient also computes the total loss's gradient with respect to the weights, and keeps
// it.
func (m *Model) WeightGradient(w Window, mixing []float64, bn supernet.BatchNorm, r Regularisers) (Pass, error) {
	pass, _, err := m.run(key{task: weightGradient, bn: bn}, w, mixing, r)
	return pass, err
}

// Inspect is Forward that also returns what was computed on the way, and the regularisers.
func (m *Model) Inspect(w Window, mixing []float64, bn supernet.BatchNorm, r Regularisers) (Pass, Inspection, error) {
	pass, p, err := m.run(key{task: forward, bn: bn, inspected: true}, w, mixing, r)
	if err != nil {
		return pass, Inspection{}, err
	}
	steps := len(w.Inputs) / w.Batch
	read := func(v engine.Vector, channels, steps int) []float64 {
		from, to := make([]float64, v.Len()), make([]float64, v.Len())
		v.Read(from)
		for b := range w.Batch {
			for c := range channels {
				for t := range steps {
					to[(t*w.Batch+b)*channels+c] = from[(b*channels+c)*steps+t]
				}
			}
		}
		return to
	}
	h := m.config.Hidden
	i := Inspection{Logits: read(p.logits, m.config.Words, steps), Raw: read(p.raw, h, steps), Dropped: read(p.dropped, h, steps)}
	for k := range p.before {
		i.Before = append(i.Before, read(p.before[k], h, 1)...)
		i.After = append(i.After, read(p.after[k], h, 1)...)
	}
	return pass, i, nil
}

// HessianProducts evaluates the cross-entropy of a window, its gradient with respect to mixing,
// and the exact products of its Hessian with directions, each of rnn.Dim numbers. The running
// statistics do not move.
func (m *Model) HessianProducts(ctx context.Context, w Window, mixing []float64, bn supernet.BatchNorm, directions [][]float64) (pass Pass, grad []float64, products [][]float64, err error) {
	collected := supernet.Products{Directions: directions, Dim: rnn.Dim}
	if pass, err = m.HessianSequence(ctx, w, mixing, bn, collected.Next); err != nil {
		return Pass{}, nil, nil, err
	}
	return pass, collected.Gradient, collected.Products, nil
}

// HessianSequence does the same for directions that depend on the products with those before
// them: next is called with nil for the first direction, then with the gradient and the product
// with the direction that it returned last, until it returns nil.
func (m *Model) HessianSequence(ctx context.Context, w Window, mixing []float64, bn supernet.BatchNorm, next func(grad, product []float64) (direction []float64)) (pass Pass, err error) {
	var p *program
	var grad []float64
	direction := next(nil, nil)
	for i := 0; direction != nil; i++ {
		if len(direction) != rnn.Dim {
			return Pass{}, fmt.Errorf("hessian: direction %d has %d entries, want %d", i, len(direction), rnn.Dim)
		}
		m.direction.Write(direction)
		if i == 0 {
			pass, p, err = m.run(key{task: hessianProduct, bn: bn}, w, mixing, Regularisers{})
			if err != nil {
				return Pass{}, err
			}
			grad = make([]float64, rnn.Dim)
			m.mixingGradient.Read(grad)
		} else {
			p.Rerun()
		}
		if err := ctx.Err(); err != nil {
			return Pass{}, err
		}
		product := make([]float64, rnn.Dim)
		m.product.Read(product)
		direction = next(grad, product)
	}
	return pass, nil
}

// run feeds and runs the program of a task.
func (m *Model) run(k key, w Window, mixing []float64, r Regularisers) (Pass, *program, error) {
	if err := m.check(w, mixing, k); err != nil {
		return Pass{}, nil, err
	}
	k.steps, k.batch, k.masked = len(w.Inputs)/w.Batch, w.Batch, w.Masks != nil
	k.activation, k.temporal = r.Activation != 0, r.Temporal != 0 && k.steps > 1
	p, err := m.program(k)
	if err != nil {
		return Pass{}, nil, err
	}
	if m.config.Genotype == nil {
		m.mixing.Write(mixing)
	}
	m.ofActivation.Write([]float64{r.Activation})
	m.ofChange.Write([]float64{r.Temporal})
	p.feed(m.config, k, w)
	p.Run()
	m.flops += p.flops
	if len(p.statsBuffer) > 0 && k.task != hessianProduct {
		m.moveStatistics(p, k)
	}
	pass := Pass{Hidden: make([]float64, len(w.Hidden))}
	number := func(v engine.Vector) float64 {
		var n [1]float64
		v.Read(n[:])
		return n[0]
	}
	pass.Loss = number(m.loss)
	pass.Total = pass.Loss
	if k.activation {
		pass.Activation = number(m.activation)
		pass.Total += r.Activation * pass.Activation
	}
	if k.temporal {
		pass.Temporal = number(m.temporal)
		pass.Total += r.Temporal * pass.Temporal
	}
	p.last.Read(pass.Hidden)
	return pass, p, nil
}

func (m *Model) check(w Window, mixing []float64, k key) error {
	size := w.Batch * m.config.Hidden
	switch {
	case w.Batch < 1 || len(w.Inputs) == 0 || len(w.Inputs)%w.Batch != 0 || len(w.Targets) != len(w.Inputs):
		return fmt.Errorf("a window of %d words to read and %d to predict in %d sequences: want as many of both, a multiple of the sequences", len(w.Inputs), len(w.Targets), w.Batch)
	case len(w.Hidden) != size:
		return fmt.Errorf("%d numbers of hidden states, want %d for each of %d sequences", len(w.Hidden), m.config.Hidden, w.Batch)
	case m.config.Genotype == nil && len(mixing) != rnn.Dim:
		return fmt.Errorf("%d mixing weights, want %d", len(mixing), rnn.Dim)
	case m.config.Genotype != nil && (mixing != nil || k.task == mixingGradient || k.task == hessianProduct):
		return fmt.Errorf("the network of a genotype has no mixing weights")
	case m.config.Genotype == nil && k.bn == supernet.BatchStatistics && w.Batch < 2:
		return fmt.Errorf("a batch of %d sequences is too small for batch normalisation: want at least 2", w.Batch)
	}
	for _, words := range [][]int32{w.Inputs, w.Targets} {
		for _, word := range words {
			if word < 0 || int(word) >= m.config.Words {
				return fmt.Errorf("word number %d, the vocabulary has %d", word, m.config.Words)
			}
		}
	}
	if w.Masks == nil {
		return nil
	}
	for _, mask := range [][]float64{w.Masks.Input, w.Masks.X, w.Masks.H, w.Masks.Output} {
		if mask != nil && len(mask) != size {
			return fmt.Errorf("a mask of %d numbers, want %d", len(mask), size)
		}
	}
	if mask := w.Masks.Words; mask != nil && len(mask) != m.config.Words {
		return fmt.Errorf("a mask of %d words, want %d", len(mask), m.config.Words)
	}
	return nil
}

// feed writes the window to the inputs of a program, whose layout is [Batch, channels, T, 1].
func (p *program) feed(c Config, k key, w Window) {
	transposed := func(words []int32) []float64 {
		for t := range k.steps {
			for b := range k.batch {
				p.tokenBuffer[b*k.steps+t] = float64(words[t*k.batch+b])
			}
		}
		return p.tokenBuffer
	}
	p.tokens.Write(transposed(w.Inputs))
	p.targets.Write(transposed(w.Targets))
	p.hidden.Write(w.Hidden)
	if w.Masks == nil {
		return
	}
	at := func(mask []float64, i int) float64 {
		if mask == nil {
			return 1
		}
		return mask[i]
	}
	masks := p.bufferOfMasks
	for i := range k.batch * c.Hidden {
		masks[i] = at(w.Masks.H, i)
	}
	p.maskH.Write(masks[:k.batch*c.Hidden])
	for i := range k.batch * c.Hidden {
		for t := range k.steps {
			masks[i*k.steps+t] = at(w.Masks.Output, i)
		}
	}
	p.maskOutput.Write(masks)
	for i := range k.batch * c.Hidden {
		both := at(w.Masks.Input, i) * at(w.Masks.X, i)
		for t := range k.steps {
			word := w.Inputs[t*k.batch+i/c.Hidden]
			masks[i*k.steps+t] = at(w.Masks.Words, int(word)) * both
		}
	}
	p.maskX.Write(masks)
}

// moveStatistics folds the statistics of the calls of the batch norm into the running ones, one
// after another, those of a state into its own where it has some; the running variance takes the
// unbiased one.
func (m *Model) moveStatistics(p *program, k key) {
	p.stats.Read(p.statsBuffer)
	h, momentum := m.config.Hidden, m.config.BatchNormMomentum
	all := make([]float64, m.StatisticsCount())
	m.running.Read(all)
	unbiased := float64(k.batch) / float64(k.batch-1)
	for at := 0; at < len(p.statsBuffer); at += 2 * h {
		running := all[at%len(all):]
		for i := range h {
			running[i] += momentum * (p.statsBuffer[at+i] - running[i])
			running[h+i] += momentum * (unbiased*p.statsBuffer[at+h+i] - running[h+i])
		}
	}
	m.running.Write(all)
}

// program returns the program of a key, compiling it on first use.
func (m *Model) program(k key) (*program, error) {
	if p := m.programs[k]; p != nil {
		return p, nil
	}
	net := m.config.build(k)
	g := net.Graph
	nodes := []*graph.Node{net.loss, net.hidden}
	losses, seeds := []*graph.Node{net.loss}, []*graph.Node{}
	if k.task != forward {
		seeds = append(seeds, g.Input(inputSeed, graph.Parameter))
	}
	p := &program{last: m.engine.NewVector(k.batch * m.config.Hidden)}
	vectors := []engine.Vector{m.loss, p.last}
	term := func(node *graph.Node, v engine.Vector, seed string) {
		if node == nil {
			return
		}
		nodes, vectors = append(nodes, node), append(vectors, v)
		if k.task != forward {
			losses, seeds = append(losses, node), append(seeds, g.Input(seed, graph.Parameter))
		}
	}
	term(net.activation, m.activation, inputActivation)
	term(net.temporal, m.temporal, inputTemporal)
	if len(net.stats) > 0 {
		size := 2 * m.config.Hidden
		p.stats, p.statsBuffer = m.engine.NewVector(size*len(net.stats)), make([]float64, size*len(net.stats))
		for i, node := range net.stats {
			nodes, vectors = append(nodes, node), append(vectors, p.stats.Slice(i*size, (i+1)*size))
		}
	}
	if k.inspected {
		look := func(node *graph.Node) engine.Vector {
			v := m.engine.NewVector(node.Shape().TotalSize())
			nodes, vectors = append(nodes, node), append(vectors, v)
			return v
		}
		p.logits, p.raw, p.dropped = look(net.logits), look(net.raw), look(net.dropped)
		for i := range net.before {
			p.before, p.after = append(p.before, look(net.before[i])), append(p.after, look(net.after[i]))
		}
	}
	wrt := []*graph.Node{net.mixing}
	into := []engine.Vector{m.mixingGradient}
	if k.task == weightGradient {
		wrt, into = nil, nil
		for _, t := range m.parameters {
			if node := net.parameters[t.Name]; node != nil {
				wrt, into = append(wrt, node), append(into, m.gradient.Slice(t.Offset, t.Offset+t.Size))
			}
		}
	}
	if k.task != forward {
		gradients, err := g.GradientsOfSum(losses, seeds, wrt)
		if err != nil {
			return nil, err
		}
		nodes, vectors = append(nodes, gradients...), append(vectors, into...)
	}
	var varying []string
	if k.task == hessianProduct {
		g, nodes = g.Replay(nodes...)
		products, err := g.Gradients(nodes[len(nodes)-1], g.Input(inputDirection, graph.Parameter, rnn.Dim), []*graph.Node{g.Lookup(inputMixing)})
		if err != nil {
			return nil, err
		}
		nodes, vectors = append(nodes, products...), append(vectors, m.product)
		varying = []string{inputDirection}
	}
	plan, err := engine.NewPlan(g, nodes, varying...)
	if err != nil {
		return nil, err
	}
	p.flops = plan.FLOPs()
	if p.Program, err = m.engine.Compile(plan, m.bind(p, k), vectors); err != nil {
		return nil, fmt.Errorf("recurrent network: %w", err)
	}
	m.programs[k] = p
	return p, nil
}

// bind makes the vectors of the inputs of a program, and returns all inputs by name.
func (m *Model) bind(p *program, k key) map[string]engine.Vector {
	rows, cells := k.batch*k.steps, k.batch*m.config.Hidden
	p.tokens, p.targets, p.hidden = m.engine.NewVector(rows), m.engine.NewVector(rows), m.engine.NewVector(cells)
	p.tokenBuffer = make([]float64, rows)
	inputs := map[string]engine.Vector{
		inputTokens: p.tokens, inputTargets: p.targets, inputHidden: p.hidden,
		inputMixing: m.mixing, inputConstants: m.constants, inputDirection: m.direction,
		inputSeed: m.one, inputActivation: m.ofActivation, inputTemporal: m.ofChange,
	}
	if k.masked {
		p.maskX, p.maskH, p.maskOutput = m.engine.NewVector(cells*k.steps), m.engine.NewVector(cells), m.engine.NewVector(cells*k.steps)
		p.bufferOfMasks = make([]float64, cells*k.steps)
		inputs[inputMaskX], inputs[inputMaskH], inputs[inputMaskOutput] = p.maskX, p.maskH, p.maskOutput
	}
	for i := range m.config.running() {
		inputs[runningName(i)] = m.running.Slice(2*m.config.Hidden*i, 2*m.config.Hidden*(i+1))
	}
	for _, t := range m.parameters {
		inputs[t.Name] = m.weights.Slice(t.Offset, t.Offset+t.Size)
	}
	return inputs
}
