package verify

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// recurrentGenotypes derives recurrent cells from architecture parameters.
func recurrentGenotypes(g *golden, out *findings) error {
	n := g.lengths["cases"]
	out.integers("n", []int{n})
	for i := range n {
		at := fmt.Sprintf("cases[%d].", i)
		out.recurrent(at, rnn.Derive(g.numbers(at+"alphas", rnn.Dim)))
	}
	return nil
}

// recurrent records a recurrent cell.
func (r *findings) recurrent(at string, g rnn.Genotype) {
	for k, node := range g.Nodes {
		r.text(fmt.Sprintf("%srecurrent[%d][0]", at, k), node.Function)
		r.integers(fmt.Sprintf("%srecurrent[%d][1]", at, k), []int{node.Input})
	}
	r.integers(at+"concat", g.Concat)
}

// model is the language model of a case.
type model struct {
	*recurrent.Model
	words, hidden, batch int
	g                    *golden
	out                  *findings
	window               recurrent.Window // of the passes that PGD and the Hessian make
}

// withLanguage returns the engine, or the reference engine where it does not have the
// operations of language models.
func withLanguage(e engine.Engine) (engine.Engine, error) {
	g := graph.New()
	plan, err := engine.NewPlan(g, []*graph.Node{graph.NewTanh(g.Input("x", graph.Activation, 1, 1, 1, 1))})
	if err != nil {
		return nil, err
	}
	if _, err := e.Compile(plan, map[string]engine.Vector{"x": e.NewVector(1)}, []engine.Vector{e.NewVector(1)}); err != nil {
		return engine.Open("ref", runtime.GOMAXPROCS(0))
	}
	return e, nil
}

// newModel builds the network that the manifest describes, and records the layout of its
// vectors.
func newModel(g *golden, e engine.Engine, out *findings) (*model, error) {
	m := &model{words: g.integer("vocab"), hidden: g.integer("nhid"), batch: g.integer("batch"), g: g, out: out}
	out.integers("emsize", []int{m.hidden}) // must be the same
	out.text("space", string(rnn.Name))
	c := recurrent.Config{Words: m.words, Hidden: m.hidden, BatchNormMomentum: 0.1}
	switch network := g.text("network"); network {
	case "search":
		if g.has("bn[0].momentum") {
			c.BatchNormMomentum = g.number("bn[0].momentum")
		}
		if g.has("primitives") {
			out.text("primitives", rnn.Functions()...)
		}
	case "eval":
		genotype, err := readRecurrent(g, "genotype.")
		if err != nil {
			return nil, err
		}
		c.Genotype = &genotype
	default:
		return nil, fmt.Errorf("network %q is not supported", network)
	}
	const most = 1 << 14 // keeps a wrong case from exhausting memory
	if m.words > most || m.hidden > most || m.batch < 1 || m.batch > most {
		return nil, fmt.Errorf("%d words, %d hidden units and %d sequences", m.words, m.hidden, m.batch)
	}
	e, err := withLanguage(e)
	if err != nil {
		return nil, err
	}
	if m.Model, err = recurrent.New(c, e); err != nil {
		return nil, err
	}
	for i, t := range m.Parameters() {
		out.layout("params", i, t.Name, t.Shape, t.Offset, t.Size)
	}
	if c.Genotype == nil {
		for i, name := range []string{"rnns.0.bn.running_mean", "rnns.0.bn.running_var"} {
			out.layout("buffers", i, name, []int{m.hidden}, i*m.hidden, m.hidden)
		}
		out.tensors(rnn.Space())
	}
	return m, nil
}

// readRecurrent reads the cell of a case.
func readRecurrent(g *golden, at string) (rnn.Genotype, error) {
	var genotype rnn.Genotype
	for k := range g.lengths[at+"recurrent"] {
		node := rnn.Node{Function: g.text(fmt.Sprintf("%srecurrent[%d][0]", at, k)), Input: g.integer(fmt.Sprintf("%srecurrent[%d][1]", at, k))}
		genotype.Nodes = append(genotype.Nodes, node)
	}
	for _, state := range g.numbers(at+"concat", -1) {
		genotype.Concat = append(genotype.Concat, int(state))
	}
	// Read once more, so that a wrong one is an error.
	return rnn.ParseGenotype(genotype.Line())
}

// numbersOfWords are those of an input array.
func (m *model) numbersOfWords(name string) []int32 {
	var words []int32
	for _, v := range m.g.numbers(name, -1) {
		words = append(words, int32(v))
	}
	return words
}

// read returns the window of arrays with these names, without masks.
func (m *model) read(tokens, targets, hidden string) recurrent.Window {
	return recurrent.Window{
		Batch: m.batch, Inputs: m.numbersOfWords(tokens), Targets: m.numbersOfWords(targets),
		Hidden: m.g.numbers(hidden, m.batch*m.hidden),
	}
}

// masks returns those of a pass that trains, the first axis of arrays that begin with a prefix.
func (m *model) masks(prefix string, pass int) *recurrent.Masks {
	take := func(name string, size int) []float64 {
		all := m.g.numbers(prefix+name, -1)
		if len(all) < (pass+1)*size {
			m.g.fail("input %s has %d numbers, want %d for each pass", prefix+name, len(all), size)
			return make([]float64, size)
		}
		return all[pass*size : (pass+1)*size]
	}
	size := m.batch * m.hidden
	return &recurrent.Masks{Words: take("mask_emb", m.words), Input: take("mask_input", size), X: take("mask_x", size), H: take("mask_h", size), Output: take("mask_output", size)}
}

// dropouts reads the probabilities that a manifest lists; the masks of a case are what counts.
func (m *model) dropouts() {
	for _, name := range []string{"dropout", "dropouth", "dropoutx", "dropouti", "dropoute"} {
		if p := m.g.number(name); p < 0 || p >= 1 {
			m.g.fail("input %s is %v, want 0 or more and less than 1", name, p)
		}
	}
}

func (m *model) gradient() []float64 { return filled(m.ParameterCount(), m.ReadGradient) }

func (m *model) statistics() []float64 { return filled(m.StatisticsCount(), m.ReadStatistics) }

func (m *model) reset() { m.g.begin(m) }

// logProbabilities are the logits less the logarithm of the sum of their exponentials.
func (m *model) logProbabilities(logits []float64) []float64 {
	p := slices.Clone(logits)
	for row := range slices.Chunk(p, m.words) {
		floats.AddConst(-floats.LogSumExp(row), row)
	}
	return p
}

// inspect records the pass that begins with a prefix: log-probabilities, hidden state, loss.
func (m *model) inspect(prefix string, w recurrent.Window, mixing []float64, bn supernet.BatchNorm, r recurrent.Regularisers) (recurrent.Inspection, error) {
	pass, i, err := m.Inspect(w, mixing, bn, r)
	if err != nil {
		return i, err
	}
	m.out.set(prefix+"_logp", m.logProbabilities(i.Logits)...)
	m.out.set(prefix+"_nll", pass.Loss)
	m.out.set(prefix+"_hidden", pass.Hidden...)
	return i, nil
}

// trained records the losses and gradients of a pass that trains.
func (m *model) trained(prefix, architecture string, w recurrent.Window, mixing []float64, carried func([]float64) []float64, r recurrent.Regularisers) error {
	grad := make([]float64, rnn.Dim)
	pass, err := m.MixingGradient(w, mixing, batchStatistics, r, grad)
	if err != nil {
		return err
	}
	m.out.set(prefix+architecture, carried(grad)...)
	m.out.set(prefix+"_buffers_after", m.statistics()...)
	m.out.set(prefix+"_nll", pass.Loss)
	m.out.set(prefix+"_total", pass.Total)
	m.WriteStatistics(m.start())
	if pass, err = m.WeightGradient(w, mixing, batchStatistics, r); err != nil {
		return err
	}
	m.out.set(prefix+"_grad_params", m.gradient()...)
	m.out.set(prefix+"_buffers_after", m.statistics()...)
	m.out.set(prefix+"_ar", pass.Activation)
	m.out.set(prefix+"_tar", pass.Temporal)
	m.out.set(prefix+"_total", pass.Total)
	return nil
}

func (m *model) start() []float64 { return m.g.numbers("init_buffers", m.StatisticsCount()) }

// onSoftmax carries a gradient from the softmax to the alphas.
func onSoftmax(simplex []float64) func([]float64) []float64 {
	return func(grad []float64) []float64 { return algorithms.SoftmaxGradient(rnn.Space(), simplex, grad) }
}

func softmaxOf(alphas []float64) []float64 {
	s := make([]float64, len(alphas))
	rnn.Space().Softmax(s, alphas)
	return s
}

// forwardRecurrent computes the passes of the search network in its modes.
func forwardRecurrent(g *golden, e engine.Engine, out *findings) error {
	m, err := newModel(g, e, out)
	if err != nil {
		return err
	}
	m.dropouts()
	out.integers("steps", []int{rnn.Nodes})
	out.integers("concat", []int{rnn.Nodes})
	w := m.read("tokens", "targets", "hidden0")
	out.integers("bptt", []int{len(w.Inputs) / m.batch})
	r := recurrent.Regularisers{Activation: g.number("ar_coefficient"), Temporal: g.number("tar_coefficient")}
	masked := w
	masked.Masks = m.masks("train_", 0)
	alphas := g.numbers("init_alphas", rnn.Dim)
	simplex := softmaxOf(alphas)

	m.reset()
	i, err := m.inspect("alpha_train", masked, simplex, batchStatistics, r)
	if err != nil {
		return err
	}
	out.set("alpha_train_raw", i.Raw...)
	out.set("alpha_train_bn_in", i.Before...)
	out.set("alpha_train_bn_out", i.After...)
	out.integers("bn[0].calls_per_forward", []int{len(i.Before) / (m.batch * m.hidden)})
	m.reset()
	grad := make([]float64, rnn.Dim)
	if _, err := m.MixingGradient(masked, simplex, batchStatistics, recurrent.Regularisers{}, grad); err != nil {
		return err
	}
	out.set("alpha_train_grad_alphas_nll", onSoftmax(simplex)(grad)...)
	m.reset()
	if err := m.trained("alpha_train", "_grad_alphas", masked, simplex, onSoftmax(simplex), r); err != nil {
		return err
	}

	if _, err := m.inspect("alpha_eval", w, simplex, runningStatistics, recurrent.Regularisers{}); err != nil {
		return err
	}
	out.set("simplex_alphas", simplex...)
	if _, err := m.inspect("weight_eval", w, simplex, runningStatistics, recurrent.Regularisers{}); err != nil {
		return err
	}
	before := m.statistics()
	if _, err := m.MixingGradient(w, simplex, runningStatistics, recurrent.Regularisers{}, grad); err != nil {
		return err
	}
	out.set("weight_eval_grad_simplex", grad...)
	if _, err := m.WeightGradient(w, simplex, runningStatistics, recurrent.Regularisers{}); err != nil {
		return err
	}
	out.set("weight_eval_grad_params", m.gradient()...)
	if !slices.Equal(before, m.statistics()) {
		return fmt.Errorf("passes in evaluation mode moved the running statistics")
	}

	perturbed := g.numbers("perturbed_alphas", rnn.Dim)
	m.reset()
	if _, err := m.inspect("weight_train", masked, perturbed, batchStatistics, r); err != nil {
		return err
	}
	m.reset()
	return m.trained("weight_train", "_grad_simplex", masked, perturbed, slices.Clone[[]float64], r)
}

// onWindow is the model as algorithms see a supernet, on the window that it was given last.
type onWindow struct {
	*model
	bn supernet.BatchNorm
}

// HessianForms implements [algorithms.HessianNet].
func (o onWindow) HessianForms(ctx context.Context, _ data.Batch, mixing []float64, directions []supernet.Direction) (supernet.Pass, []float64, [][]float64, error) {
	values := supernet.ValuesOf(directions)
	pass, grad, products, err := o.Model.HessianProducts(ctx, o.window, mixing, o.bn, values)
	if err != nil {
		return supernet.Pass{}, nil, nil, err
	}
	return supernet.Pass{Loss: pass.Loss}, grad, supernet.FormsOfProducts(values, products), nil
}

// HessianSequence implements [algorithms.HessianNet]; the whole Hessian does not need it.
func (o onWindow) HessianSequence(context.Context, data.Batch, []float64, func(_, _ []float64) []float64) (supernet.Pass, error) {
	return supernet.Pass{}, fmt.Errorf("products one after another are not computed for a recurrent network")
}

// hessiansRecurrent computes the architecture Hessian in the modes that a case has.
func hessiansRecurrent(g *golden, e engine.Engine, out *findings) error {
	m, err := newModel(g, e, out)
	if err != nil {
		return err
	}
	m.dropouts()
	w := m.read("tokens", "targets", "hidden0")
	out.integers("bptt", []int{len(w.Inputs) / m.batch})
	alphas, decay := g.numbers("init_alphas", rnn.Dim), g.number("arch_weight_decay")
	mode := func(name string, masks *recurrent.Masks, bn supernet.BatchNorm) error {
		if !g.has(name + "_nll") {
			return nil
		}
		m.window = w
		m.window.Masks = masks
		mixing := algorithms.Softmax(rnn.Space(), alphas)
		pass, err := m.Forward(m.window, mixing.Weights, bn)
		if err != nil {
			return err
		}
		out.set(name+"_nll", pass.Loss)
		out.set(name+"_buffers_after", m.statistics()...)
		after := m.statistics()
		grad := make([]float64, rnn.Dim)
		if _, err := m.MixingGradient(m.window, mixing.Weights, bn, recurrent.Regularisers{}, grad); err != nil {
			return err
		}
		out.set(name+"_grad_alphas", mixing.Gradient(grad)...)
		m.WriteStatistics(after)
		h, spectrum, err := algorithms.Hessian(context.Background(), onWindow{m, bn}, mixing, data.Batch{}, decay)
		if err != nil {
			return err
		}
		if !slices.Equal(after, m.statistics()) {
			return fmt.Errorf("the Hessian moved the running statistics")
		}
		out.set(name+"_hessian", mat.DenseCopyOf(h).RawMatrix().Data...)
		out.set(name+"_eigenvalues_sorted", spectrum...)
		out.set(name+"_eigenvalue_reported", spectrum.Reported())
		null := 0
		for _, v := range spectrum {
			if math.Abs(v-decay) < 1e-12 {
				null++
			}
		}
		out.integers(name+"_eigenvalues_equal_to_weight_decay", []int{null})
		return nil
	}
	m.reset()
	if g.has("train_nll") {
		if err := mode("train", m.masks("train_", 0), batchStatistics); err != nil {
			return err
		}
	}
	m.reset()
	if err := mode("nodrop", nil, batchStatistics); err != nil {
		return err
	}
	return mode("eval", nil, runningStatistics)
}

// attackable is the model as PGD sees a supernet.
type attackable struct {
	algorithms.Supernet // none: PGD needs no more than what follows
	m                   *model
}

// Forward implements [algorithms.Supernet].
func (a attackable) Forward(_ data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	pass, err := a.m.Forward(a.m.window, mixing, bn)
	return supernet.Pass{Loss: pass.Loss}, err
}

// MixingGradient implements [algorithms.Supernet].
func (a attackable) MixingGradient(_ data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	pass, err := a.m.MixingGradient(a.m.window, mixing, bn, recurrent.Regularisers{}, grad)
	return supernet.Pass{Loss: pass.Loss}, err
}

// attacksRecurrent computes stand-alone attacks of SDARTS-ADV.
func attacksRecurrent(g *golden, e engine.Engine, out *findings) error {
	m, err := newModel(g, e, out)
	if err != nil {
		return err
	}
	m.reset()
	started := m.statistics()
	m.window = m.read("tokens", "targets", "hidden0")
	out.integers("bptt", []int{len(m.window.Inputs) / m.batch})
	g.numbers("init_alphas", rnn.Dim) // what the points began as
	for i := range g.lengths["calls"] {
		at, call := fmt.Sprintf("calls[%d].", i), fmt.Sprintf("call%d_", i)
		var delta []float64
		if g.number(at+"random_start") == 1 {
			delta = g.numbers(call+"delta", rnn.Dim)
		}
		pgd := algorithms.PGD{Steps: g.integer(at + "steps"), Simplex: true, RollBack: true, BatchNorm: runningStatistics}
		if pgd.Steps < 0 || pgd.Steps > 100 {
			return fmt.Errorf("%d steps", pgd.Steps)
		}
		a, err := pgd.Attack(attackable{m: m}, rnn.Space(), data.Batch{}, g.numbers(call+"simplex", rnn.Dim), g.number(at+"epsilon"), delta)
		if err != nil {
			return err
		}
		out.set(at+"loss_before", a.Before)
		out.set(at+"losses", a.Losses...)
		out.set(at+"loss_after", a.After)
		out.flag(at+"rolled_back", a.RolledBack)
		out.set(call+"iterates", slices.Concat(a.Iterates...)...)
		out.set(call+"result", a.Mixing...)
	}
	if !slices.Equal(m.statistics(), started) {
		return fmt.Errorf("attacks moved the running statistics")
	}
	return nil
}

// formulaMask is a mask of dropout p by the stream of a seed, or nil where nothing is dropped.
func formulaMask(seed, n int, p float64) []float64 {
	if p == 0 {
		return nil
	}
	mask := formula.Uniform(seed, n, 1, 0)
	for i, u := range mask {
		mask[i] = 0
		if u < 1-p {
			mask[i] = 1 / (1 - p)
		}
	}
	return mask
}

// fullSizeRecurrent computes a case of the paper's networks, whose weights and words follow a
// formula and whose gradients are kept as digests.
func fullSizeRecurrent(g *golden, e engine.Engine, out *findings) error {
	m, err := newModel(g, e, out)
	if err != nil {
		return err
	}
	m.dropouts()
	out.integers("parameters", []int{m.ParameterCount()})
	seed, rows, size := g.integer("formula_seed"), g.integer("bptt"), m.batch*m.hidden
	if rows < 1 || rows > 100 {
		return fmt.Errorf("%d rows", rows)
	}
	var parameters []float64
	for k, t := range m.Parameters() {
		scale, shift := 2/math.Sqrt(float64(t.Shape[0])), -1/math.Sqrt(float64(t.Shape[0]))
		switch t.Name {
		case "encoder.weight":
			scale, shift = 0.2, -0.1
		case "decoder.bias":
			scale, shift = 0.4, -0.2
		}
		parameters = append(parameters, formula.Uniform(seed+k, t.Size, scale, shift)...)
	}
	var words []int32
	for _, u := range formula.Uniform(seed+800, (rows+1)*m.batch, 1, 0) {
		words = append(words, int32(u*float64(m.words)))
	}
	w := recurrent.Window{Batch: m.batch, Inputs: words[:rows*m.batch], Targets: words[m.batch:], Hidden: formula.Uniform(seed+801, size, 0.6, -0.3)}
	masked := w
	masked.Masks = &recurrent.Masks{
		Words: formulaMask(seed+810, m.words, g.number("dropoute")), Input: formulaMask(seed+811, size, g.number("dropouti")),
		X: formulaMask(seed+812, size, g.number("dropoutx")), H: formulaMask(seed+813, size, g.number("dropouth")), Output: formulaMask(seed+814, size, g.number("dropout")),
	}
	r := recurrent.Regularisers{Activation: g.number("ar_coefficient"), Temporal: g.number("tar_coefficient")}
	fresh := m.statistics()
	m.WriteParameters(g.start(parameters))
	var mixing []float64
	if search := g.text("network") == "search"; search {
		alphas := formula.Uniform(seed+900, rnn.Dim, 2, -1)
		out.set("alphas", alphas...)
		mixing = softmaxOf(alphas)
		grad := make([]float64, rnn.Dim)
		if _, err := m.MixingGradient(masked, mixing, batchStatistics, r, grad); err != nil {
			return err
		}
		out.set("train_grad_alphas", onSoftmax(mixing)(grad)...)
		m.WriteStatistics(fresh)
	}
	pass, err := m.WeightGradient(masked, mixing, batchStatistics, r)
	if err != nil {
		return err
	}
	out.set("train_nll", pass.Loss)
	out.set("train_ar", pass.Activation)
	out.set("train_tar", pass.Temporal)
	out.set("train_total", pass.Total)
	out.set("train_hidden", pass.Hidden...)
	gradient := m.gradient()
	for i, t := range m.Parameters() {
		out.digest(fmt.Sprintf("grad_digest[%d].", i), t, parameters, gradient)
	}
	if mixing != nil {
		out.set("train_buffers_after", m.statistics()...)
	}
	// Once more, for the loss of every word; the statistics of the first time are those that
	// an evaluation uses.
	after := m.statistics()
	_, seen, err := m.Inspect(masked, mixing, batchStatistics, recurrent.Regularisers{})
	if err != nil {
		return err
	}
	out.set("train_token_nll", m.perWord(seen.Logits, w.Targets)...)
	m.WriteStatistics(after)
	evaluated, seen, err := m.Inspect(w, mixing, runningStatistics, recurrent.Regularisers{})
	if err != nil {
		return err
	}
	out.set("eval_nll", evaluated.Loss)
	out.set("eval_hidden", evaluated.Hidden...)
	out.set("eval_token_nll", m.perWord(seen.Logits, w.Targets)...)
	return nil
}

// perWord is the cross-entropy of each word to predict.
func (m *model) perWord(logits []float64, targets []int32) (losses []float64) {
	p := m.logProbabilities(logits)
	for i, word := range targets {
		losses = append(losses, -p[i*m.words+int(word)])
	}
	return losses
}

// digest records what a full-size case keeps of the gradient of a tensor.
func (r *findings) digest(at string, t supernet.Tensor, parameters, gradient []float64) {
	p, grad := parameters[t.Offset:t.Offset+t.Size], gradient[t.Offset:t.Offset+t.Size]
	r.text(at+"name", t.Name)
	r.set(at+"param_sum", floats.Sum(p))
	r.set(at+"param_first", p[:min(2, t.Size)]...)
	r.set(at+"grad_norm", floats.Norm(grad, 2))
	r.setSum(at+"grad_sum", floats.Sum(grad), floats.Norm(grad, 2))
	r.setSum(at+"grad_dot", floats.Dot(grad, formula.Uniform(7, t.Size, 2, -1)), floats.Norm(grad, 2))
	r.set(at+"grad_first", grad[:min(4, t.Size)]...)
}
