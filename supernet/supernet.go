// Package supernet is the one-shot network over a search space: all operations
// and edges at once, mixed by weights.
//
// It is built as an expression graph (package graph), differentiated
// symbolically and compiled for an engine. A search sees losses and gradients.
//
// All weights that mix operations and edges arrive as one flat vector, the
// mixing vector, laid out like the architecture parameters of the space and
// shared by all cells; that of a Sampled network has such a part for every cell.
// How an algorithm makes it (softmax, perturbed, 0/1) is its own affair, and so
// is the chain rule back to its parameters.
//
// A network of one architecture, which is trained from scratch, is built likewise and has
// an empty mixing vector: see [Evaluation].
package supernet

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// Net is a supernet with its weights on an engine. It is not safe for use by
// several goroutines at once.
type Net struct {
	config Config
	engine engine.Engine
	*blueprint

	weights, gradient, momentum engine.Vector
	running, batch              engine.Vector // batch-norm statistics: kept, and of the last batch
	mixing, direction           engine.Vector
	mixingGradient, product     engine.Vector
	loss, one                   engine.Vector
	auxLoss, auxWeight          engine.Vector   // of the auxiliary head
	fixed                       []engine.Vector // the constants of the blueprint
	stepped                     []stretch       // what StepWeights moves, unless Sampled
	square                      engine.Vector   // of StepRMSProp; nil before the first
	dropPath                    []float64       // see SetDropPath
	draws                       draws

	programs  map[key]*program
	average   averaging
	augmenter *augmenter // nil where the engine makes no images
	number    []float64  // the loss on its way out
	sampling  *sampling  // nil unless Sampled
}

// key identifies a compiled program.
type key struct {
	task  task
	bn    BatchNorm
	batch int
	rows  string // hessianForms: the row of each direction, as a rune
}

// formsKey is that of the Hessian in directions of the given rows of the space.
func formsKey(batch int, rows []int) key {
	k := key{task: hessianForms, bn: BatchStatistics, batch: batch}
	for _, row := range rows {
		k.rows += string(rune(row))
	}
	return k
}

// task is what a program computes besides loss and logits.
type task int

const (
	forward task = iota
	mixingGradient
	weightGradient
	hessianProduct
	hessianForms
	sparseForward // forward, without what mixing weights of 0 make superfluous
)

type program struct {
	engine.Program
	images, labels, logits engine.Vector
	auxiliary              engine.Vector // logits of the auxiliary head, or nil
	fed                    uint64        // serial of the batch that images and labels hold, or 0
	oneHot, read           []float64     // labels on their way in, logits on theirs out
	readAuxiliary          []float64
	smoothing              float64         // of the labels
	drop                   engine.Vector   // multipliers of drop path, or nil
	undropped              []float64       // as many ones
	dropouts               []engine.Vector // masks
	directions, forms      []engine.Vector // hessianForms
}

// averaging is how the statistics of a batch are folded into the running ones, see
// moveStatistics: factors for each number of batch normalisation.
type averaging struct {
	keep, gain, scale engine.Vector
	batch             int    // images for which scale is made
	executed          []bool // norms for which keep and gain are made
	buffer            []float64
}

// New returns a network with zero weights; Initialize or WriteParameters fills
// them.
func New(config Config, e engine.Engine) (*Net, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	b := config.blueprint()
	d := config.MixingLen()
	n := &Net{
		config: config, engine: e, blueprint: b, programs: map[key]*program{},
		weights: e.NewVector(size(b.parameters)), gradient: e.NewVector(size(b.parameters)), momentum: e.NewVector(size(b.parameters)),
		running: e.NewVector(size(b.statistics)), batch: e.NewVector(size(b.statistics)),
		mixing: e.NewVector(d), direction: e.NewVector(d), mixingGradient: e.NewVector(d), product: e.NewVector(d),
		loss: e.NewVector(1), one: e.NewVector(1), number: make([]float64, 1),
	}
	for _, c := range b.constants {
		v := e.NewVector(len(c.values))
		v.Write(c.values)
		n.fixed = append(n.fixed, v)
	}
	if config.auxiliary() {
		n.auxLoss, n.auxWeight = e.NewVector(1), e.NewVector(1)
		n.auxWeight.Write([]float64{config.Evaluation.AuxiliaryWeight})
	}
	trained := make([]bool, len(b.parameters))
	for _, i := range b.trained {
		trained[i] = true
	}
	n.stepped = n.stretchesOf(trained)
	n.average = averaging{
		keep: e.NewVector(size(b.statistics)), gain: e.NewVector(size(b.statistics)), scale: e.NewVector(size(b.statistics)),
		executed: make([]bool, len(b.norms)), buffer: make([]float64, size(b.statistics)),
	}
	if config.Sampled {
		n.sampling = n.newSampling()
	}
	if a, ok := e.(engine.Augmenter); ok {
		n.augmenter = &augmenter{engine: a, held: map[*data.Set]engine.Held{}, levels: map[*data.Levels]engine.Vector{}}
	}
	n.one.Write([]float64{1})
	n.resetStatistics()
	return n, nil
}

// Initialize draws new weights (PyTorch's default distributions), forgets the
// momentum and what was touched, and resets the running statistics.
func (n *Net) Initialize(r *rand.Rand) {
	if n.sampling != nil {
		clear(n.sampling.touched)
	}
	n.weights.Write(n.initialize(r))
	n.momentum.Scale(0)
	n.square = nil
	n.resetStatistics()
}

func (n *Net) resetStatistics() {
	start := make([]float64, n.running.Len())
	for _, bn := range n.norms {
		for i := range bn.channels {
			start[bn.offset+bn.channels+i] = 1
		}
	}
	n.running.Write(start)
}

// Config returns what New was given.
func (n *Net) Config() Config { return n.config }

// Parameters lists the weight tensors in the order of the flat vectors.
func (n *Net) Parameters() []Tensor { return n.parameters }

// Shapes yields the name and the shape of every tensor of Parameters.
func (n *Net) Shapes() iter.Seq2[string, []int] {
	return func(yield func(string, []int) bool) {
		for _, t := range n.parameters {
			if !yield(t.Name, t.Shape) {
				return
			}
		}
	}
}

// Statistics lists the running batch-norm statistics in the order of their flat
// vector: mean and variance of each batch norm in turn.
func (n *Net) Statistics() []Tensor { return n.statistics }

// ParameterCount is the number of weights.
func (n *Net) ParameterCount() int { return n.weights.Len() }

// StatisticsCount is the number of running statistics.
func (n *Net) StatisticsCount() int { return n.running.Len() }

// ReadParameters and its siblings copy a flat vector from the engine into dst,
// WriteParameters and its siblings one to the engine; lengths are
// ParameterCount or StatisticsCount.
func (n *Net) ReadParameters(dst []float64) { n.weights.Read(dst) }

// WriteParameters sets the weights.
func (n *Net) WriteParameters(src []float64) { n.weights.Write(src) }

// ReadGradient copies the weight gradient of the last WeightGradient; after a
// StepWeights it is the clipped one, before weight decay.
func (n *Net) ReadGradient(dst []float64) { n.gradient.Read(dst) }

// WriteGradient sets the weight gradient that StepWeights will take.
func (n *Net) WriteGradient(src []float64) { n.gradient.Write(src) }

// ReadMomentum copies the momentum buffer.
func (n *Net) ReadMomentum(dst []float64) { n.momentum.Read(dst) }

// WriteMomentum sets the momentum buffer.
func (n *Net) WriteMomentum(src []float64) { n.momentum.Write(src) }

// ReadStatistics copies the running batch-norm statistics.
func (n *Net) ReadStatistics(dst []float64) { n.running.Read(dst) }

// WriteStatistics sets the running batch-norm statistics.
func (n *Net) WriteStatistics(src []float64) { n.running.Write(src) }

// Forward evaluates the loss.
func (n *Net) Forward(b data.Batch, mixing []float64, bn BatchNorm) (Pass, error) {
	return n.run(key{task: forward, bn: bn, batch: b.N}, b, mixing)
}

// ForwardSparse is Forward in evaluation mode for mixing vectors with many zeros, as of a
// discrete architecture: it leaves out what nothing but an entry of 0 leads to. The numbers
// are those of Forward.
func (n *Net) ForwardSparse(b data.Batch, mixing []float64) (Pass, error) {
	return n.run(key{task: sparseForward, bn: RunningStatistics, batch: b.N}, b, mixing)
}

// MixingGradient evaluates the loss and its gradient with respect to the mixing
// vector, which it stores in grad. In a Sampled network it is 0 by the mixing
// weights of operations that are not executed.
func (n *Net) MixingGradient(b data.Batch, mixing []float64, bn BatchNorm, grad []float64) (Pass, error) {
	pass, err := n.run(key{task: mixingGradient, bn: bn, batch: b.N}, b, mixing)
	if err != nil {
		return Pass{}, err
	}
	n.sampling.touch()
	n.mixingGradient.Read(grad)
	return pass, nil
}

// WeightGradient evaluates the loss and its gradient with respect to the
// weights, which stays on the engine for StepWeights.
func (n *Net) WeightGradient(b data.Batch, mixing []float64, bn BatchNorm) (Pass, error) {
	pass, err := n.run(key{task: weightGradient, bn: bn, batch: b.N}, b, mixing)
	if err == nil {
		n.sampling.touch()
	}
	return pass, err
}

// StepWeights clips the gradient of the last WeightGradient, adds weight decay
// and takes a step of SGD with momentum, in a Sampled network of what ReadTouched
// lists. It returns the gradient's 2-norm before clipping.
func (n *Net) StepWeights(sgd SGD) (norm float64, err error) {
	norm = math.Sqrt(n.gradient.Dot(n.gradient))
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("weight step: the gradient's norm is %g; the training has diverged", norm)
	}
	if sgd.Clip > 0 {
		// The 1e-6 is the released code's guard against division by 0.
		n.gradient.Scale(min(1, sgd.Clip/(norm+1e-6)))
	}
	stepped := n.stepped
	if n.sampling != nil {
		stepped = n.touchedStretches()
	}
	for _, s := range stepped {
		sgd.step(s.weights, s.gradient, s.momentum)
	}
	return norm, nil
}

func (sgd SGD) step(weights, gradient, momentum engine.Vector) {
	momentum.Scale(sgd.Momentum)
	momentum.Axpy(1, gradient)
	momentum.Axpy(sgd.WeightDecay, weights)
	weights.Axpy(-sgd.LearningRate, momentum)
}

// HessianProducts evaluates in training mode the loss, its gradient with respect
// to the mixing vector, and the exact products of its Hessian with the given
// directions. The running statistics move once. In a Sampled network the Hessian
// is 0 at the operations that are not executed. When ctx is done, it stops before
// the next direction with ctx's error.
func (n *Net) HessianProducts(ctx context.Context, b data.Batch, mixing []float64, directions [][]float64) (pass Pass, grad []float64, products [][]float64, err error) {
	for i, v := range directions {
		if err := n.checkDirection(i, v); err != nil {
			return Pass{}, nil, nil, err
		}
	}
	collected := Products{Directions: directions, Dim: n.config.MixingLen()}
	if pass, err = n.HessianSequence(ctx, b, mixing, collected.Next); err != nil {
		return Pass{}, nil, nil, err
	}
	return pass, collected.Gradient, collected.Products, nil
}

// Products collects the products with directions that are known beforehand: Next is what a
// HessianSequence asks. Without directions it still asks for the gradient.
type Products struct {
	Directions [][]float64
	Dim        int // of the mixing vector

	Gradient []float64
	Products [][]float64 // with each direction
}

// Next takes what is known of the last direction and returns the next one, or nil.
func (p *Products) Next(grad, product []float64) []float64 {
	switch {
	case grad == nil && len(p.Directions) == 0:
		return make([]float64, p.Dim)
	case grad != nil && len(p.Directions) > 0:
		p.Products = append(p.Products, product)
	}
	p.Gradient = grad
	if len(p.Products) == len(p.Directions) {
		return nil
	}
	return p.Directions[len(p.Products)]
}

// Direction moves the mixing weights of one row of the space, in every cell of a Sampled
// network.
type Direction struct {
	Row    int
	Values []float64 // of the length of the mixing vector; 0 outside of the row
}

// What HessianForms takes in one pass: at most so many numbers of an activation of the first
// cells in all directions together, which take about 1 GB with all that is alive with them,
// and at most so many batch normalisations in all directions together, beyond which a
// program takes long to compile.
const (
	numbersAtOnce = 8 << 20
	normsAtOnce   = 2000
)

// leastAtOnce is for how few numbers products take less time than to compile that program.
// Tests set it to 0.
var leastAtOnce = 3 << 19

// formsAtOnce tells whether HessianForms of so many directions takes them all in one pass.
func (n *Net) formsAtOnce(batch, directions int) bool {
	c := n.config
	numbers := directions * batch * c.Channels * c.Side * c.Side
	return directions > 0 && leastAtOnce <= numbers && numbers <= numbersAtOnce && directions*len(n.norms) <= normsAtOnce
}

// HessianForms evaluates in training mode the loss, its gradient with respect to the
// mixing vector, and the exact Hessian in the given directions: the entry [i][j] of the
// symmetric matrix is directionᵢ·H·directionⱼ. A network of middling size moves in all
// directions at once (graph.Forms), which takes half the time of HessianProducts; those take
// over where one is too small or too large for that. The running statistics move once. In a
// Sampled network the Hessian is 0 at the operations that are not executed. When ctx is
// done, it stops before the next pass with ctx's error.
func (n *Net) HessianForms(ctx context.Context, b data.Batch, mixing []float64, directions []Direction) (pass Pass, grad []float64, forms [][]float64, err error) {
	rows := make([]int, len(directions))
	for i, v := range directions {
		if err := n.checkDirection(i, v.Values); err != nil {
			return Pass{}, nil, nil, err
		}
		if rows := n.config.Space.Rows(); v.Row < 0 || v.Row >= len(rows) {
			return Pass{}, nil, nil, fmt.Errorf("hessian: direction %d is of row %d, space %s has %d", i, v.Row, n.config.Space.Name(), len(rows))
		}
		rows[i] = v.Row
	}
	if err := n.writeMixing(mixing); err != nil {
		return Pass{}, nil, nil, err
	}
	values := make([][]float64, len(directions))
	for i, v := range directions {
		values[i] = n.executedOf(v.Values)
	}
	if !n.formsAtOnce(b.N, len(directions)) {
		pass, grad, products, err := n.HessianProducts(ctx, b, mixing, values)
		if err != nil {
			return Pass{}, nil, nil, err
		}
		return pass, grad, FormsOfProducts(values, products), nil
	}
	k := formsKey(b.N, rows)
	p, err := n.program(k)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Pass{}, nil, nil, err
	}
	for i, v := range values {
		p.directions[i].Write(v)
	}
	if pass, err = n.run(k, b, mixing); err != nil {
		return Pass{}, nil, nil, err
	}
	grad = make([]float64, n.config.MixingLen())
	n.mixingGradient.Read(grad)
	vectors := make([][]float64, len(p.forms))
	for i, v := range p.forms {
		vectors[i] = make([]float64, v.Len())
		v.Read(vectors[i])
	}
	return pass, grad, formsOf(values, vectors), nil
}

// formsOf puts together what graph.Forms says of the second derivatives.
func formsOf(directions, vectors [][]float64) [][]float64 {
	forms := make([][]float64, len(directions))
	for i := range forms {
		forms[i] = make([]float64, len(directions))
	}
	for i, v := range directions {
		for j, u := range directions[:i+1] {
			total := vectors[i][len(v)+j]
			for k := range v {
				total += v[k]*vectors[j][k] + u[k]*vectors[i][k]
			}
			forms[i][j], forms[j][i] = total, total
		}
	}
	return forms
}

// FormsOfProducts returns what HessianForms does, of the products of the Hessian with each
// direction: of two entries that rounding makes different, the mean.
func FormsOfProducts(directions, products [][]float64) [][]float64 {
	forms := make([][]float64, len(directions))
	for i := range forms {
		forms[i] = make([]float64, len(directions))
	}
	for i, v := range directions {
		for j, p := range products {
			for k, x := range v {
				forms[i][j] += x * p[k] / 2
				forms[j][i] += x * p[k] / 2
			}
		}
	}
	return forms
}

// ValuesOf are the vectors of the directions.
func ValuesOf(directions []Direction) [][]float64 {
	var values [][]float64
	for _, v := range directions {
		values = append(values, v.Values)
	}
	return values
}

// HessianSequence is HessianProducts for directions of which each may depend on the
// products with those before it. It calls next with nil for the first direction, then with
// the gradient and the product with the direction that next returned last, which are
// next's to keep, until next returns nil. All products are of one pass over the batch,
// whose noise and masks they share.
func (n *Net) HessianSequence(ctx context.Context, b data.Batch, mixing []float64, next func(grad, product []float64) (direction []float64)) (pass Pass, err error) {
	d := n.config.MixingLen()
	if err := n.writeMixing(mixing); err != nil {
		return Pass{}, err
	}
	var grad []float64
	var p *program
	direction := next(nil, nil)
	for i := 0; direction != nil; i++ {
		if err := n.checkDirection(i, direction); err != nil {
			return Pass{}, err
		}
		n.writeDirection(direction)
		if i == 0 {
			if pass, err = n.run(key{task: hessianProduct, bn: BatchStatistics, batch: b.N}, b, mixing); err != nil {
				return Pass{}, err
			}
			grad = make([]float64, d)
			n.mixingGradient.Read(grad)
			p = n.programs[key{task: hessianProduct, bn: BatchStatistics, batch: b.N}]
		} else {
			p.Rerun()
		}
		if err := ctx.Err(); err != nil {
			return Pass{}, err
		}
		product := make([]float64, d)
		n.product.Read(product)
		direction = next(grad, product)
	}
	return pass, nil
}

func (n *Net) checkDirection(i int, v []float64) error {
	if d := n.config.MixingLen(); len(v) != d {
		return fmt.Errorf("hessian: direction %d has %d entries, need %d", i, len(v), d)
	}
	return nil
}

// run feeds and runs the program of a task, and moves the running statistics
// when the pass used those of the batch.
func (n *Net) run(k key, b data.Batch, mixing []float64) (Pass, error) {
	p, err := n.program(k)
	if err != nil {
		return Pass{}, err
	}
	if err := n.feed(p, b, mixing); err != nil {
		return Pass{}, err
	}
	if err := n.feedDropPath(p, k); err != nil {
		return Pass{}, err
	}
	n.feedDraws(p, k)
	p.Run()
	if k.bn == BatchStatistics {
		n.moveStatistics(b.N)
	}
	n.loss.Read(n.number)
	p.logits.Read(p.read)
	pass := Pass{Loss: n.number[0], Logits: p.read}
	if p.auxiliary != nil {
		n.auxLoss.Read(n.number)
		p.auxiliary.Read(p.readAuxiliary)
		pass.AuxiliaryLoss, pass.AuxiliaryLogits = n.number[0], p.readAuxiliary
	}
	for i, label := range b.Labels {
		if argmax(pass.Logits[i*n.config.Classes:(i+1)*n.config.Classes]) == label {
			pass.Correct++
		}
	}
	return pass, nil
}

func argmax(xs []float64) int {
	best := 0
	for i, x := range xs {
		if x > xs[best] {
			best = i
		}
	}
	return best
}

func (n *Net) feed(p *program, b data.Batch, mixing []float64) error {
	raw := len(b.Images) == 0 && b.Recipe != nil
	if raw && (n.augmenter == nil || b.Recipe.Set.Side != b.Side || len(b.Recipe.Numbers) != b.N || len(b.Recipe.Crops) != b.N || p.images.Len() != b.N*3*b.Side*b.Side) {
		return fmt.Errorf("a batch of %d images of side %d without pixel values, but a recipe for %d, which this engine cannot make or which does not fit",
			b.N, b.Side, len(b.Recipe.Numbers))
	}
	if b.Side != n.config.Side || !raw && len(b.Images) != p.images.Len() || len(b.Labels) != b.N {
		return fmt.Errorf("batch of %d labels and %d pixel values for %d images of side %d, built for side %d",
			len(b.Labels), len(b.Images), b.N, b.Side, n.config.Side)
	}
	if b.Serial != 0 && p.fed == b.Serial {
		return n.writeMixing(mixing)
	}
	p.fed = 0
	spread := p.smoothing / float64(n.config.Classes)
	for i := range p.oneHot {
		p.oneHot[i] = spread
	}
	for i, label := range b.Labels {
		if label < 0 || label >= n.config.Classes {
			return fmt.Errorf("image %d of the batch has label %d, need 0..%d", i, label, n.config.Classes-1)
		}
		p.oneHot[i*n.config.Classes+label] = 1 - p.smoothing + spread
	}
	if raw {
		n.augmenter.augment(p.images, b.Recipe)
	} else {
		p.images.Write(b.Images)
	}
	p.labels.Write(p.oneHot)
	p.fed = b.Serial
	return n.writeMixing(mixing)
}

// moveStatistics folds the statistics of the last batch into the running ones,
// except those of operations that were not executed. The running variance is the
// unbiased one.
func (n *Net) moveStatistics(batch int) {
	a := &n.average
	// fill gives every norm its factors, that of the means and that of the variances.
	fill := func(v engine.Vector, factors func(batchNorm) (mean, variance float64)) {
		for _, bn := range n.norms {
			mean, variance := factors(bn)
			for i := range bn.channels {
				a.buffer[bn.offset+i], a.buffer[bn.offset+bn.channels+i] = mean, variance
			}
		}
		v.Write(a.buffer)
	}
	if a.batch != batch {
		a.batch = batch
		fill(a.scale, func(bn batchNorm) (float64, float64) {
			positions := float64(batch * bn.positions)
			return 1, positions / (positions - 1)
		})
	}
	changed := false
	for i := range n.norms {
		executed := n.sampling == nil || n.sampling.executed(n.norms[i].owner)
		changed = changed || a.executed[i] != executed
		a.executed[i] = executed
	}
	if changed { // always at first: a norm is executed then, and none was before
		for _, f := range []struct {
			v      engine.Vector
			factor func(momentum float64) float64
		}{{a.keep, func(m float64) float64 { return 1 - m }}, {a.gain, func(m float64) float64 { return m }}} {
			at := 0
			fill(f.v, func(bn batchNorm) (float64, float64) {
				at++
				if !a.executed[at-1] {
					return 0, 0
				}
				return f.factor(bn.momentum), f.factor(bn.momentum)
			})
		}
	}
	n.running.Blend(a.keep, a.gain, a.scale, n.batch)
}

func (n *Net) program(k key) (*program, error) {
	if p, ok := n.programs[k]; ok {
		return p, nil
	}
	plan, err := n.plan(k)
	if err != nil {
		return nil, err
	}
	p := &program{
		images: n.engine.NewVector(k.batch * 3 * n.config.Side * n.config.Side),
		labels: n.engine.NewVector(k.batch * n.config.Classes),
		logits: n.engine.NewVector(k.batch * n.config.Classes),
		oneHot: make([]float64, k.batch*n.config.Classes),
		read:   make([]float64, k.batch*n.config.Classes),

		smoothing: n.config.smoothing(k.bn),
	}
	inputs := map[string]engine.Vector{
		inputImages: p.images, inputLabels: p.labels, inputMixing: n.mixing,
		inputSeed: n.one, inputDirection: n.direction,
	}
	if n.drops(k) {
		n.bindDropPath(p, k.batch, inputs)
	}
	n.bindDraws(p, k, inputs)
	for _, t := range n.parameters {
		inputs[t.Name] = n.weights.Slice(t.Offset, t.Offset+t.Size)
	}
	for i, c := range n.constants {
		inputs[c.name] = n.fixed[i]
	}
	outputs := []engine.Vector{n.loss, p.logits}
	if n.config.auxiliary() && k.bn == BatchStatistics {
		p.auxiliary = n.engine.NewVector(k.batch * n.config.Classes)
		p.readAuxiliary = make([]float64, k.batch*n.config.Classes)
		inputs[inputAuxSeed] = n.auxWeight
		outputs = append(outputs, n.auxLoss, p.auxiliary)
	}
	for _, bn := range n.norms {
		inputs[bn.name] = n.running.Slice(bn.offset, bn.offset+2*bn.channels)
		if k.bn == BatchStatistics {
			outputs = append(outputs, n.batch.Slice(bn.offset, bn.offset+2*bn.channels))
		}
	}
	switch k.task {
	case mixingGradient:
		outputs = append(outputs, n.mixingGradient)
	case weightGradient:
		for _, i := range n.trained {
			t := n.parameters[i]
			outputs = append(outputs, n.gradient.Slice(t.Offset, t.Offset+t.Size))
		}
	case hessianProduct:
		outputs = append(outputs, n.mixingGradient, n.product)
	case hessianForms:
		outputs = append(outputs, n.mixingGradient)
		count := len([]rune(k.rows))
		for i := range count {
			p.directions = append(p.directions, n.engine.NewVector(n.mixing.Len()))
			p.forms = append(p.forms, n.engine.NewVector(n.mixing.Len()+count))
			inputs[directionName(i)] = p.directions[i]
		}
		outputs = append(outputs, p.forms...)
	}
	p.Program, err = n.engine.Compile(plan, inputs, outputs)
	if err != nil {
		return nil, err
	}
	n.programs[k] = p
	return p, nil
}

// directionName is the input of a direction of hessianForms.
func directionName(i int) string { return fmt.Sprint(inputDirection, i) }

// newPlan builds and differentiates the graph of a program. Its outputs are loss and
// logits, those of the auxiliary head where it has one, the statistics of every batch norm
// that takes the batch's, gradients, and the product of the Hessian.
func (n *Net) newPlan(k key) (*engine.Plan, error) {
	last := n.norms[len(n.norms)-1]
	if k.batch < 1 || k.bn == BatchStatistics && k.batch*last.positions < 2 {
		return nil, fmt.Errorf("a batch of %d images is too small for batch normalisation", k.batch)
	}
	if n.config.Evaluation != nil && (k.task == mixingGradient || k.task == hessianProduct || k.task == hessianForms) {
		return nil, fmt.Errorf("an evaluation network has no mixing weights to differentiate by")
	}
	if k.task == weightGradient && k.bn == RunningStatistics && n.config.auxiliary() {
		return nil, fmt.Errorf("the gradient of a network with an auxiliary head is that of training mode")
	}
	net := n.config.build(n.blueprint, k.batch, k.bn, n.drops(k), n.dropsOut(k))
	g := net.Graph
	outputs := []*graph.Node{net.loss, net.logits}
	if net.auxiliary != nil {
		outputs = append(outputs, net.auxLoss, net.auxiliary)
	}
	outputs = append(outputs, net.stats...)
	var varying []string
	if k.task != forward && k.task != sparseForward {
		wrt := []*graph.Node{net.mixing}
		if k.task == weightGradient {
			wrt = nil
			for _, i := range n.trained {
				wrt = append(wrt, net.parameters[i])
			}
		}
		seeds := []*graph.Node{g.Input(inputSeed, graph.Parameter)}
		if net.auxiliary != nil {
			seeds = append(seeds, g.Input(inputAuxSeed, graph.Parameter))
		}
		gradients, err := g.GradientsOfSum(net.losses(), seeds, wrt)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, gradients...)
	}
	if k.task == hessianProduct {
		g, outputs = g.Replay(outputs...)
		direction := g.Input(inputDirection, graph.Parameter, n.config.MixingLen())
		products, err := g.Gradients(outputs[len(outputs)-1], direction, []*graph.Node{g.Lookup(inputMixing)})
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, products...)
		varying = []string{inputDirection}
	}
	guarding := []string{inputMixing, inputDirection}
	if k.task == hessianForms {
		rows := n.config.Space.Rows()
		var directions []graph.Direction
		for i, row := range []rune(k.rows) {
			r := rows[row]
			vector := g.Input(directionName(i), graph.Parameter, n.config.MixingLen())
			directions = append(directions, graph.Direction{Vector: vector, From: r.Offset, To: r.End(), Period: n.config.Space.Dim()})
			guarding = append(guarding, directionName(i))
			varying = append(varying, directionName(i)) // so that all that they move comes after the gradients
		}
		forms, err := g.Forms(net.losses(), net.mixing, directions)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, forms...)
	}
	plan, err := engine.NewPlan(g, outputs, varying...)
	if err == nil && k.task == sparseForward {
		all := make([]int, n.config.MixingLen())
		for i := range all {
			all[i] = i
		}
		plan.AddGuards(all, inputMixing)
	} else if err == nil && n.sampling != nil {
		plan.AddGuards(n.candidates, guarding...)
	}
	return plan, err
}
