package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

const (
	batchStatistics   = supernet.BatchStatistics
	runningStatistics = supernet.RunningStatistics
)

// subject is the supernet of a case.
type subject struct {
	*supernet.Net
	space    *spaces.Space                     // of its mixing weights
	one      *nb1shot1.Space                   // in NAS-Bench-1Shot1
	reported func(algorithms.Spectrum) float64 // the eigenvalue that the released code logs
	g        *golden
	out      *findings

	noise, dropout, masks recorded // what passes draw, in the spaces of DARTS
}

// variants are the networks of the released code by their names in manifests.
// NASP's is that of DARTS: its choices are made on the mixing weights.
var variants = map[string]supernet.Variant{
	"darts":   {},
	"nasp":    {},
	"gdas":    {Sampled: true},
	"pcdarts": {Partial: 4},
	"enas":    {},
}

// newBench builds the supernet that the manifest describes, for images of the
// given side, and records the layout of its vectors.
func newBench(g *golden, e engine.Engine, side int, out *findings) (*subject, error) {
	variant, ok := variants[g.text("network")]
	if !ok {
		return nil, fmt.Errorf("network %q is not supported", g.text("network"))
	}
	space, err := nb1shot1.Get(spaceOf(g.integer("space")))
	if err != nil {
		return nil, err
	}
	net, err := supernet.New(supernet.Config{
		Space:             space.Space,
		Channels:          g.integer("init_channels"),
		Cells:             g.integer("layers"),
		Classes:           g.integer("num_classes"),
		Side:              side,
		Variant:           variant,
		BatchNormMomentum: g.number("bn[0].momentum"),
	}, e)
	if err != nil {
		return nil, err
	}
	var operations []string
	for _, op := range []nb1shot1.Operation{nb1shot1.MaxPool3x3, nb1shot1.Conv3x3, nb1shot1.Conv1x1} {
		operations = append(operations, op.String())
	}
	out.text("primitives", operations...)
	b := &subject{Net: net, space: space.Space, one: space, reported: algorithms.Spectrum.Reported, g: g, out: out}
	b.layouts(func(name string) string { return name })
	return b, nil
}

// layouts records what the flat vectors are made of; named turns the names of weights and
// statistics into those of the released code.
func (b *subject) layouts(named func(string) string) {
	for i, t := range b.Parameters() {
		b.out.layout("params", i, named(t.Name), t.Shape, t.Offset, t.Size)
	}
	for i, t := range b.Statistics() {
		b.out.layout("buffers", i, named(t.Name), t.Shape, t.Offset, t.Size)
	}
	b.out.tensors(b.space)
}

// layout records a tensor of one of the manifest's lists.
func (r *findings) layout(list string, i int, name string, shape []int, offset, size int) {
	at := fmt.Sprintf("%s[%d].", list, i)
	r.text(at+"name", name)
	r.integers(at+"shape", shape)
	r.integers(at+"offset", []int{offset})
	r.integers(at+"size", []int{size})
}

// tensors records the architecture parameters of a space.
func (r *findings) tensors(space *spaces.Space) {
	for i, t := range space.Tensors() {
		shape := []int{t.Rows, t.Cols}
		if t.Cols == 0 { // edges into nodes, which the released code keeps in one row
			shape = []int{t.Size}
		}
		r.layout("alphas", i, t.Name, shape, t.Offset, t.Size)
	}
}

// begin sets the weights and running statistics of a network to those the case starts from.
func (g *golden) begin(net interface {
	ParameterCount() int
	WriteParameters([]float64)
	StatisticsCount() int
	WriteStatistics([]float64)
}) {
	net.WriteParameters(g.start(g.numbers("init_params", net.ParameterCount())))
	net.WriteStatistics(g.numbers("init_buffers", net.StatisticsCount()))
}

// filled returns n numbers that read fills in.
func filled(n int, read func([]float64)) []float64 {
	v := make([]float64, n)
	read(v)
	return v
}

func (b *subject) reset() { b.g.begin(b) }

func (b *subject) parameters() []float64 { return filled(b.ParameterCount(), b.ReadParameters) }

func (b *subject) gradient() []float64 { return filled(b.ParameterCount(), b.ReadGradient) }

func (b *subject) momentum() []float64 { return filled(b.ParameterCount(), b.ReadMomentum) }

func (b *subject) statistics() []float64 { return filled(b.StatisticsCount(), b.ReadStatistics) }

func (b *subject) softmax(alphas []float64) []float64 {
	s := make([]float64, len(alphas))
	b.space.Softmax(s, alphas)
	return s
}

// batches reads a stack of batches from arrays of images [..., N, 3, side, side]
// and labels [..., N], whose leading axes are flattened.
func batches(g *golden, images, labels string, axes int) []data.Batch {
	shape := g.shape(images, axes)
	n, side := shape[axes-4], shape[axes-1]
	count := 1
	for _, d := range shape[:axes-4] {
		count *= d
	}
	pixels := g.numbers(images, count*n*3*side*side)
	all := make([]data.Batch, count)
	for k := range all {
		all[k] = data.Batch{N: n, Side: side, Images: pixels[k*n*3*side*side : (k+1)*n*3*side*side]}
		for _, l := range g.numbers(labels, count*n)[k*n : (k+1)*n] {
			all[k].Labels = append(all[k].Labels, int(l))
		}
	}
	return all
}

// pass records the logits and loss of a forward pass under a prefix.
func (b *subject) pass(prefix string, p supernet.Pass) {
	b.out.set(prefix+"_logits", p.Logits...)
	b.out.set(prefix+"_loss", p.Loss)
}

// hessian records the architecture Hessian and its spectrum under a prefix.
func (b *subject) hessian(batch data.Batch, m algorithms.Mixing, decay float64, prefix, reported string) error {
	// A case is a step: Run looks at its own context between cases.
	draws := b.begin()
	h, spectrum, err := algorithms.Hessian(context.Background(), b, m, batch, decay)
	if err != nil {
		return err
	}
	draws.end(prefix)
	b.out.set(prefix, mat.DenseCopyOf(h).RawMatrix().Data...)
	b.out.set(prefix+"_eigenvalues_sorted", spectrum...)
	b.out.set(reported, b.reported(spectrum))
	return nil
}

// trainAndEvaluate records what a case's "alpha" passes yield from the present
// state: in training mode loss, gradients and statistics, then an evaluation
// with the statistics left behind. The training pass is done twice, once for
// either gradient; restore goes back to the present state between.
func (b *subject) trainAndEvaluate(batch data.Batch, alphas []float64, restore func()) error {
	simplex := b.softmax(alphas)
	grad := make([]float64, len(simplex))
	draws := b.begin()
	pass, err := b.MixingGradient(batch, simplex, batchStatistics, grad)
	if err != nil {
		return err
	}
	b.pass("alpha_train", pass)
	b.out.set("alpha_train_buffers_after", b.statistics()...)
	b.out.set("alpha_train_grad_alphas", algorithms.SoftmaxGradient(b.space, simplex, grad)...)

	restore()
	draws.again()
	if pass, err = b.WeightGradient(batch, simplex, batchStatistics); err != nil {
		return err
	}
	draws.end("alpha_train")
	b.pass("alpha_train", pass)
	b.out.set("alpha_train_buffers_after", b.statistics()...)

	draws = b.begin()
	if pass, err = b.Forward(batch, simplex, runningStatistics); err != nil {
		return err
	}
	draws.end("alpha_eval")
	b.pass("alpha_eval", pass)
	return nil
}

// forward computes the passes of a network in its three modes.
func forward(g *golden, e engine.Engine, out *findings) error {
	batch := batches(g, "images", "labels", 4)[0]
	b, err := newBench(g, e, batch.Side, out)
	if err != nil {
		return err
	}
	alphas := g.numbers("init_alphas", b.space.Dim())
	b.reset()
	if err := b.trainAndEvaluate(batch, alphas, b.reset); err != nil {
		return err
	}
	out.set("alpha_train_grad_params", b.gradient()...)

	// Simplex values used as they are, evaluation mode.
	simplex := b.softmax(alphas)
	out.set("simplex_alphas", simplex...)
	b.reset()
	grad := make([]float64, b.space.Dim())
	pass, err := b.MixingGradient(batch, simplex, runningStatistics, grad)
	if err != nil {
		return err
	}
	b.pass("weight_eval", pass)
	out.set("weight_eval_grad_simplex", grad...)
	if pass, err = b.WeightGradient(batch, simplex, runningStatistics); err != nil {
		return err
	}
	b.pass("weight_eval", pass)
	out.set("weight_eval_grad_params", b.gradient()...)
	if !slices.Equal(b.statistics(), g.numbers("init_buffers", -1)) && e.Precision() == "float64" {
		return errors.New("passes in evaluation mode moved the running statistics")
	}

	// A discrete cell, training mode.
	architecture, err := b.architecture()
	if err != nil {
		return err
	}
	discrete := b.space.DiscreteWeights(architecture)
	out.set("discrete_alphas", discrete...)
	if pass, err = b.WeightGradient(batch, discrete, batchStatistics); err != nil {
		return err
	}
	b.pass("discrete_train", pass)
	out.set("discrete_train_grad_params", b.gradient()...)
	out.set("discrete_train_buffers_after", b.statistics()...)

	b.reset()
	return b.hessian(batch, algorithms.Softmax(b.space, alphas), g.number("arch_weight_decay"), "hessian", "hessian_eigenvalue_reported")
}

// spaceOf is the name of a space of NAS-Bench-1Shot1.
func spaceOf(space int) spaces.Name { return spaces.Name(strconv.Itoa(space)) }

// architecture reads the discrete cell of a forward case.
func (b *subject) architecture() (spaces.Architecture, error) {
	nodes := b.one.Blocks() + 2
	matrix := b.g.numbers("discrete_adjacency", nodes*nodes)
	a := nb1shot1.Genotype{Parents: make([][]int, nodes)}
	for to := range nodes {
		for from := range to {
			if matrix[from*nodes+to] == 1 {
				a.Parents[to] = append(a.Parents[to], from)
			}
		}
	}
	for _, name := range b.g.texts("discrete_ops") {
		for _, op := range []nb1shot1.Operation{nb1shot1.MaxPool3x3, nb1shot1.Conv3x3, nb1shot1.Conv1x1} {
			if op.String() == name {
				a.Ops = append(a.Ops, op)
			}
		}
	}
	return b.one.Architecture(a), nil
}

// fullSize computes a case of the paper's network, whose weights and images
// follow a formula and whose gradients are kept as digests.
func fullSize(g *golden, e engine.Engine, out *findings) error {
	const side = 32
	b, err := newBench(g, e, side, out)
	if err != nil {
		return err
	}
	seed := g.integer("formula_seed")
	parameters := formula.Weights(b.Shapes(), seed)
	statistics := b.statistics() // as a new network has them: means 0, variances 1
	restore := func() {
		b.WriteParameters(g.start(parameters))
		b.WriteStatistics(statistics)
	}
	var alphas []float64
	for k, t := range b.space.Tensors() {
		alphas = append(alphas, formula.Uniform(seed+900+k, t.Size, 2, -1)...)
	}
	out.set("alphas", alphas...)
	n := g.integer("batch")
	batch := data.Batch{N: n, Side: side, Images: formula.Pixels(g.integer("image_seed"), n, side)}
	for _, l := range g.numbers("labels", n) {
		batch.Labels = append(batch.Labels, int(l))
	}

	restore()
	if err := b.trainAndEvaluate(batch, alphas, restore); err != nil {
		return err
	}
	gradient := b.gradient()
	for i, t := range b.Parameters() {
		out.digest(fmt.Sprintf("grad_digest[%d].", i), t, parameters, gradient)
	}
	out.set("grad_total_norm", floats.Norm(gradient, 2))

	restore()
	return b.hessian(batch, algorithms.Softmax(b.space, alphas), g.number("arch_weight_decay"), "hessian", "hessian_eigenvalue_reported")
}

// attacks computes stand-alone attacks of SDARTS-ADV on one network.
func attacks(g *golden, e engine.Engine, out *findings) error {
	batch := batches(g, "images", "labels", 4)[0]
	b, err := newBench(g, e, batch.Side, out)
	if err != nil {
		return err
	}
	b.reset()
	centre := b.softmax(g.numbers("init_alphas", b.space.Dim()))
	out.set("simplex_alphas", centre...)
	before := b.statistics()

	n, rolledBack := g.lengths["runs.runs"], 0
	for i := range n {
		at := fmt.Sprintf("runs.runs[%d].", i)
		var delta []float64
		if g.number(at+"random_start") == 1 {
			delta = g.numbers(at+"delta", b.space.Dim())
		} else {
			g.numbers(at+"delta", 0)
		}
		pgd := algorithms.PGD{Steps: g.integer(at + "steps"), Simplex: true, RollBack: true, BatchNorm: runningStatistics}
		a, err := pgd.Attack(b, b.space, batch, centre, g.number(at+"epsilon"), delta)
		if err != nil {
			return err
		}
		out.set(at+"loss_before", a.Before)
		out.set(at+"losses_in_loop", a.Losses...)
		out.set(at+"loss_after", a.After)
		out.set(at+"iterates_after_clip", slices.Concat(a.Iterates...)...)
		out.set(at+"result", a.Mixing...)
		out.flag(at+"rolled_back", a.RolledBack)
		if a.RolledBack {
			rolledBack++
		}
	}
	out.integers("n", []int{n})
	out.integers("rollbacks", []int{rolledBack})
	if !slices.Equal(before, b.statistics()) {
		return errors.New("attacks moved the running statistics")
	}
	return nil
}

// fixed gives a step the case's batches.
type fixed struct{ train, valid data.Batch }

func (fixed) Len(algorithms.Queue) int { return 1 }

func (f fixed) Batch(q algorithms.Queue, _, _ int) data.Batch {
	if q == algorithms.Train {
		return f.train
	}
	return f.valid
}

// steps returns the computation of consecutive training steps of the named
// algorithm, the Hessian after the last, and the validation. name is what the
// manifest calls it.
func steps(algorithm, name string) func(*golden, engine.Engine, *findings) error {
	return func(g *golden, e engine.Engine, out *findings) error {
		train := batches(g, "train_images", "train_labels", 5)
		valid := batches(g, "valid_images", "valid_labels", 5)
		count := g.integer("steps")
		if count < 1 || count != len(train) || count != len(valid) {
			return fmt.Errorf("%d steps with %d training and %d search batches", count, len(train), len(valid))
		}
		b, err := newBench(g, e, train[0].Side, out)
		if err != nil {
			return err
		}
		out.text("algorithm", name)
		out.integers("batch_train", []int{train[0].N})
		out.integers("batch_valid", []int{valid[0].N})
		out.set("arch_eps", algorithms.AdamEpsilon)
		out.flag("unrolled", algorithm == "darts-2nd")

		step := 0
		s, err := b.searcher(algorithm, &step)
		if err != nil {
			return err
		}
		b.reset()
		var passes []supernet.Pass
		for ; step < count; step++ {
			info, err := s.Step(context.Background(), b, fixed{train[step], valid[step]})
			if err != nil {
				return err
			}
			passes = append(passes, info.Weights)
			if err := b.step(step, s, info, train[step].N); err != nil {
				return err
			}
		}
		out.set(fmt.Sprintf("step%d_momentum", count-1), b.momentum()...)
		b.mean("epoch_train", train, passes)

		if err := b.hessian(valid[count-1], s.Mixing(algorithms.ForHessian, 0), g.number("arch_weight_decay"), "end_hessian", "end_eigenvalue_reported"); err != nil {
			return err
		}
		out.set("end_buffers", b.statistics()...)
		passes = nil
		for k, batch := range valid {
			pass, err := b.Forward(batch, s.Mixing(algorithms.ForValidation, k).Weights, runningStatistics)
			if err != nil {
				return err
			}
			if len(passes) == 0 {
				out.set("infer_logits_batch0", pass.Logits...)
			}
			passes = append(passes, pass)
		}
		b.mean("infer", valid, passes)
		return nil
	}
}

// searcher builds the searcher of a case with its recorded draws; perturbations
// are those of the step that *step counts.
func (b *subject) searcher(algorithm string, step *int) (algorithms.Relaxed, error) {
	g, d := b.g, b.space.Dim()
	settings := b.settings("")
	noise := func(dst []float64) { copy(dst, g.numbers(fmt.Sprintf("step%d_delta", *step), d)) }
	switch algorithm {
	case "sdarts-rs", "pc-darts-rs":
		settings["epsilon-min"], settings["epsilon-max"] = g.number("epsilon"), g.number("epsilon")
	case "sdarts-adv", "pc-darts-adv":
		settings["epsilon-min"], settings["epsilon-max"] = g.number("epsilon"), g.number("epsilon")
		settings["pgd-steps"] = g.number("pgd_steps")
	case "gdas":
		settings["temperature"], settings["temperature-min"] = g.number("tau"), g.number("tau")
		settings["arch-clip"] = g.number("grad_clip")
		noise = b.gumbel()
	}
	return newSearcher(algorithm, b.space, algorithms.Config{Cells: b.Config().Cells, Epochs: 1, Noise: noise}, settings, algorithms.State{
		Algorithm: algorithm,
		Alphas:    g.numbers("init_alphas", d),
		Adam:      algorithms.Moments{M: make([]float64, d), V: make([]float64, d)},
	})
}

// settings reads the hyper-parameters that all searches have, from leaves whose names
// begin with prefix.
func (b *subject) settings(prefix string) algorithms.Settings {
	number := func(name string) float64 { return b.g.number(prefix + name) }
	betas := b.g.numbers(prefix+"arch_betas", 2)
	return algorithms.Settings{
		"learning-rate":      number("lr"),
		"learning-rate-min":  number("lr"),
		"momentum":           number("momentum"),
		"weight-decay":       number("weight_decay"),
		"clip":               number("grad_clip"),
		"arch-learning-rate": number("arch_lr"),
		"arch-beta1":         betas[0],
		"arch-beta2":         betas[1],
		"arch-weight-decay":  number("arch_weight_decay"),
	}
}

// gumbel hands out the recorded Gumbel noise of a case, pass by pass: that of
// the steps and the Hessian, then that of the validation.
func (b *subject) gumbel() func(dst []float64) {
	n := b.g.integer("gumbel_values_per_forward")
	b.out.integers("gumbel_draws_per_forward", []int{b.Config().Cells * len(b.space.Tensors())})
	draws := slices.Concat(b.g.numbers("gumbel_noise", -1), b.g.numbers("gumbel_noise_infer", -1))
	return func(dst []float64) {
		if len(dst) == n {
			draws = draws[copy(dst, draws):]
		}
	}
}

// vectors records the vectors of training step k.
func (b *subject) vectors(k int, s algorithms.Relaxed, info algorithms.StepInfo) error {
	saved, err := s.State()
	if err != nil {
		return err
	}
	var state algorithms.State
	if err := json.Unmarshal(saved, &state); err != nil {
		return err
	}
	at := fmt.Sprintf("step%d_", k)
	b.out.set(at+"arch_grad", info.ArchGradient...)
	b.out.set(at+"alphas", s.Alphas()...)
	b.out.set(at+"adam_m", state.Adam.M...)
	b.out.set(at+"adam_v", state.Adam.V...)
	b.out.set(at+"alphas_softmax", info.Simplex...)
	b.out.set(at+"alphas_perturbed", info.Mixing...)
	b.out.set(at+"weight_logits", info.Weights.Logits...)
	b.out.set(at+"weight_grad", b.gradient()...)
	b.out.set(at+"params", b.parameters()...)
	b.out.set(at+"buffers", b.statistics()...)
	return nil
}

// step records what training step k did.
func (b *subject) step(k int, s algorithms.Relaxed, info algorithms.StepInfo, batch int) error {
	if err := b.vectors(k, s, info); err != nil {
		return err
	}
	at := fmt.Sprintf("step_info[%d].", k)
	b.out.set(at+"arch_loss", info.Architecture.Loss)
	b.out.set(at+"arch_grad_norm_before_clip", info.ArchNorm)
	b.out.set(at+"weight_loss", info.Weights.Loss)
	b.out.set(at+"train_top1_percent", 100*float64(info.Weights.Correct)/float64(batch))
	b.out.set(at+"weight_grad_norm_before_clip", info.GradientNorm)
	b.out.set(at+"clipped_grad_norm", floats.Norm(b.gradient(), 2))
	b.out.untouched(at+"params_without_gradient", b.Net)
	if a := info.Attack; a != nil {
		b.out.set(at+"pgd_loss_before", a.Before)
		b.out.set(at+"pgd_losses", a.Losses...)
		b.out.set(at+"pgd_loss_after", a.After)
		b.out.flag(at+"pgd_rolled_back", a.RolledBack)
	}
	return nil
}

// untouched records the names of the weights that no gradient has reached so
// far; there are some only where operations are sampled.
func (r *findings) untouched(name string, net *supernet.Net) {
	var names []string
	for i, touched := range net.ReadTouched() {
		if !touched {
			names = append(names, net.Parameters()[i].Name)
		}
	}
	if len(names) == 0 {
		r.set(name)
		return
	}
	r.text(name, names...)
}

// mean records loss and accuracy over several batches, weighted by their sizes.
func (b *subject) mean(prefix string, batches []data.Batch, passes []supernet.Pass) {
	loss, correct, n := 0.0, 0, 0
	for i, p := range passes {
		loss += p.Loss * float64(batches[i].N)
		correct += p.Correct
		n += batches[i].N
	}
	b.out.set(prefix+"_loss", loss/float64(n))
	b.out.set(prefix+"_top1", 100*float64(correct)/float64(n))
}
