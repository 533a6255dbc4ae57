package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// cellSpaces are the spaces of DARTS by their names in manifests: the released code of
// SDARTS calls that of all operations s5.
var cellSpaces = map[string]spaces.Name{
	"s5": "darts", "darts8": "darts8", "s1": "darts-s1", "s2": "darts-s2", "s3": "darts-s3", "s4": "darts-s4",
}

// cellNetworks are the search networks of the released code by their names in manifests.
var cellNetworks = map[string]supernet.Variant{
	"darts":        {},
	"pcdarts":      {Partial: 4},
	"pcdarts_beta": {Partial: 4}, // its edges have parameters too
	"pdarts":       {Dropout: true},
}

// cells tells a search network of the DARTS spaces.
func cells(g *golden) bool {
	space, network := g.leaves["space"].texts, g.leaves["network"].texts
	if len(space) != 1 || len(network) != 1 {
		return false
	}
	_, known := cellNetworks[network[0]]
	return known && cellSpaces[space[0]] != ""
}

// newCells builds the search network that the manifest describes, and records what it is
// made of.
func newCells(g *golden, e engine.Engine, out *findings) (*subject, error) {
	network := g.text("network")
	base, err := darts.Get(cellSpaces[g.text("space")])
	if err != nil {
		return nil, err
	}
	space := base
	switch {
	case network == "pdarts":
		kept, err := keptBy(g, base)
		if err != nil {
			return nil, err
		}
		space = base.Restrict(kept)
	case network == "pcdarts_beta":
		space = base.WithEdges()
		fallthrough
	default:
		for t := range darts.CellType(darts.CellTypes) {
			for edge := range darts.Edges {
				out.text(primitives(g, t, edge), names(base.Rows()[darts.Row(t, edge)].Candidates)...)
			}
		}
	}
	variant := cellNetworks[network]
	variant.DropPath = g.has("drop_path_prob")
	momentum := 0.1
	if g.has("bn") {
		momentum = g.number("bn.momentum")
	}
	net, err := supernet.New(supernet.Config{
		Space:             space.Space,
		Channels:          g.integer("init_channels"),
		Cells:             g.integer("layers"),
		Classes:           g.integer("num_classes"),
		Side:              g.integer("image_size"),
		Variant:           variant,
		BatchNormMomentum: momentum,
	}, e)
	if err != nil {
		return nil, err
	}
	b := &subject{Net: net, space: space.Space, reported: algorithms.Spectrum.Max, g: g, out: out}
	b.layouts(func(name string) string {
		if network == "pdarts" {
			return edgeName.ReplaceAllString(name, "$1.cell_ops.$2.m_ops.")
		}
		return name
	})
	out.integers("param_count", []int{net.ParameterCount()})
	out.integers("param_tensors", []int{len(net.Parameters())})
	normalised := map[string]bool{}
	for _, t := range net.Statistics() {
		normalised[strings.TrimSuffix(t.Name, ".running_mean")] = true
	}
	var affine []string
	for _, t := range net.Parameters() {
		if name, ok := strings.CutSuffix(t.Name, ".weight"); ok && normalised[name] {
			affine = append(affine, name)
		}
	}
	out.text("bn.affine", affine...)
	out.integers("bn.count", []int{len(net.Statistics()) / 2})
	b.replay()
	return b, nil
}

// edgeName is the beginning of the name of a tensor of an edge's operation.
var edgeName = regexp.MustCompile(`^(cells\.\d+)\._ops\.(\d+)\._ops\.`)

// primitives names the leaf that lists the operations of an edge: there may be one for all.
func primitives(g *golden, t darts.CellType, edge int) string {
	if _, one := g.leaves["primitives"]; one {
		return "primitives"
	}
	return fmt.Sprintf("primitives.primitives_%s[%d]", [darts.CellTypes]string{"normal", "reduct"}[t], edge)
}

func names(candidates []spaces.Candidate) (all []string) {
	for _, c := range candidates {
		all = append(all, c.Name)
	}
	return all
}

// keptBy reads which candidates of a space the edges of a stage of P-DARTS have.
func keptBy(g *golden, base *darts.Space) (kept [][]int, err error) {
	for t := range darts.CellType(darts.CellTypes) {
		for edge := range darts.Edges {
			all := names(base.Rows()[darts.Row(t, edge)].Candidates)
			row := []int{}
			for _, name := range g.texts(primitives(g, t, edge)) {
				k := slices.Index(all, name)
				if k < 0 || len(row) > 0 && k <= row[len(row)-1] {
					return nil, fmt.Errorf("edge %d of the %s cell has the operation %q, want some of %v in this order", edge, t, name, all)
				}
				row = append(row, k)
			}
			if len(row) < 2 {
				return nil, fmt.Errorf("edge %d of the %s cell has %d operations, want at least 2", edge, t, len(row))
			}
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// recorded are random numbers of a case: the calls for them so far, or what is left.
type recorded struct {
	seed, next  int       // of formula's streams: call number next takes the stream of seed+next
	left        []float64 // those that are stored
	probability float64   // of dropout
	replace     bool      // whether what an algorithm sets is replaced
}

// replay lets the passes draw what the released code drew.
func (b *subject) replay() {
	var r supernet.Replay
	noises, skips := b.drawn()
	if len(noises) > 0 {
		b.noise.seed = b.g.integer("noise_seed")
		r.Noise = func(dst []float64) {
			for i, u := range formula.Uniform(b.noise.seed+b.noise.next, len(dst), 2, -1) {
				dst[i] = math.Sqrt(3) * u
			}
			b.noise.next++
		}
	}
	if b.Config().Dropout && b.g.has("dropout_seed") {
		b.dropout.seed = b.g.integer("dropout_seed")
		r.Dropout = func(dst []float64) {
			at := fmt.Sprintf("dropout_first_calls[%d].", b.dropout.next)
			b.out.set(at+"p", b.dropout.probability)
			if s := skips[b.dropout.next%len(skips)]; len(dst)%(s[0]*s[1]*s[2]) == 0 {
				b.out.integers(at+"shape", append([]int{len(dst) / (s[0] * s[1] * s[2])}, s...))
			}
			copy(dst, formula.Uniform(b.dropout.seed+b.dropout.next, len(dst), 1, 0))
			b.dropout.next++
		}
	}
	b.SetReplay(r)
	if n := len(b.g.leaves["labels"].numbers); n > 0 {
		var shapes []int
		for _, s := range noises {
			shapes = append(append(shapes, n), s...)
		}
		b.out.integers("noise_shapes_first_forward", shapes)
	}
}

// drawn lists the noise operations and the skip connections that dropout acts on, in the
// order of the forward pass: channels, height and width of each.
func (b *subject) drawn() (noises, skips [][]int) {
	c := b.Config()
	channels, side := c.Channels, c.Side
	for cell := range c.Cells {
		kind := darts.Normal
		if cell == c.Cells/3 || cell == 2*c.Cells/3 {
			kind, channels, side = darts.Reduction, 2*channels, side/2
		}
		for edge := range darts.Edges {
			for _, candidate := range b.space.Rows()[darts.Row(kind, edge)].Candidates {
				shape := []int{channels / max(c.Partial, 1), side, side}
				switch {
				case candidate.Name == darts.Noise:
					noises = append(noises, shape)
				case candidate.Name == darts.Skip && (kind == darts.Normal || darts.EdgeAt(edge).From >= darts.Inputs):
					skips = append(skips, shape)
				}
			}
		}
	}
	return noises, skips
}

// part is a part of a case that draws random numbers.
type part struct {
	b              *subject
	noise, dropout int // calls before it
}

func (b *subject) begin() part { return part{b, b.noise.next, b.dropout.next} }

// again goes back to the beginning of the part, to do in two passes what the released
// code did in one.
func (p part) again() { p.b.noise.next, p.b.dropout.next = p.noise, p.dropout }

// end records which calls the part made.
func (p part) end(name string) {
	p.b.out.integers("noise_calls."+name, []int{p.noise, p.b.noise.next})
	p.b.out.integers("dropout_calls."+name, []int{p.dropout, p.b.dropout.next})
}

// SetDropPath replaces the multipliers of an algorithm by those of the case.
func (b *subject) SetDropPath(multipliers []float64) {
	if b.masks.replace {
		n := min(b.Droppable()*b.g.integer("batch"), len(b.masks.left))
		multipliers = slices.Clone(b.masks.left[:n])
		floats.Scale(1/(1-b.g.number("drop_path_prob")), multipliers)
		b.masks.left = b.masks.left[n:]
	}
	b.Net.SetDropPath(multipliers)
}

// setMasks reads the masks of drop path for the passes that follow.
func (b *subject) setMasks(name string) {
	b.masks = recorded{left: b.g.numbers(name, -1), replace: true}
}

// masksUsed returns an error if some are left.
func (b *subject) masksUsed() error {
	if n := len(b.masks.left); n > 0 {
		return fmt.Errorf("%d masks of drop path were not asked for", n)
	}
	return nil
}

// SetDropout replaces the probability of an algorithm by that of the case.
func (b *subject) SetDropout(p float64) {
	if b.dropout.replace {
		p = b.dropout.probability
	}
	b.Net.SetDropout(p)
}

// forwardCells computes the passes of a search network.
func forwardCells(g *golden, e engine.Engine, out *findings) error {
	b, err := newCells(g, e, out)
	if err != nil {
		return err
	}
	batch := batches(g, "images", "labels", 4)[0]
	out.integers("batch", []int{batch.N})
	alphas := g.numbers("init_alphas", b.space.Dim())
	b.reset()
	if err := b.trainAndEvaluate(batch, alphas, b.reset); err != nil {
		return err
	}
	out.set("alpha_train_grad_params", b.gradient()...)
	simplex := b.softmax(alphas)

	if g.has("weight_eval_logits") {
		// Simplex values used as they are, evaluation mode.
		out.set("simplex_alphas", simplex...)
		b.reset()
		draws := b.begin()
		grad := make([]float64, b.space.Dim())
		pass, err := b.MixingGradient(batch, simplex, runningStatistics, grad)
		if err != nil {
			return err
		}
		b.pass("weight_eval", pass)
		out.set("weight_eval_grad_simplex", grad...)
		draws.again()
		if pass, err = b.WeightGradient(batch, simplex, runningStatistics); err != nil {
			return err
		}
		draws.end("weight_eval")
		b.pass("weight_eval", pass)
		out.set("weight_eval_grad_params_digest", floats.Norm(b.gradient(), 2), floats.Sum(b.gradient()))
		if !slices.Equal(b.statistics(), g.numbers("init_buffers", -1)) && e.Precision() == "float64" {
			return errors.New("passes in evaluation mode moved the running statistics")
		}
	}
	if g.has("droppath_masks") {
		b.reset()
		draws := b.begin()
		b.setMasks("droppath_masks")
		b.SetDropPath(nil)
		grad := make([]float64, b.space.Dim())
		pass, err := b.MixingGradient(batch, simplex, batchStatistics, grad)
		if err != nil {
			return err
		}
		draws.end("droppath_train")
		b.pass("droppath_train", pass)
		out.set("droppath_train_grad_alphas", algorithms.SoftmaxGradient(b.space, simplex, grad)...)
		if err := b.masksUsed(); err != nil {
			return err
		}
		b.Net.SetDropPath(nil)
	}
	if !g.has("hessian_eigenvalue_reported") {
		return nil
	}
	b.reset()
	return b.hessian(batch, algorithms.Softmax(b.space, alphas), g.number("arch_weight_decay"), "hessian", "hessian_eigenvalue_reported")
}

// fullSizeCells computes a search network of the paper's size, whose weights and images
// follow a formula and whose gradients are kept as digests.
func fullSizeCells(g *golden, e engine.Engine, out *findings) error {
	b, err := newCells(g, e, out)
	if err != nil {
		return err
	}
	seed := g.integer("formula_seed")
	parameters := formula.Weights(b.Shapes(), seed)
	for k, t := range b.Parameters() {
		if t.Name == "classifier.bias" { // its bound is no function of its shape there
			copy(parameters[t.Offset:], formula.Uniform(seed+k, t.Size, 0.2, -0.1))
		}
	}
	var alphas []float64
	for k, t := range b.space.Tensors() {
		alphas = append(alphas, formula.Uniform(g.integer("alpha_seed")+k, t.Size, 2, -1)...)
	}
	n, side := g.integer("batch"), b.Config().Side
	if n < 1 || n > 1<<10 {
		return fmt.Errorf("a batch of %d images", n)
	}
	batch := data.Batch{N: n, Side: side, Images: formula.Pixels(g.integer("image_seed"), n, side)}
	for _, l := range g.numbers("labels", n) {
		batch.Labels = append(batch.Labels, int(l))
	}
	statistics := b.statistics() // as a new network has them: means 0, variances 1
	b.WriteParameters(g.start(parameters))
	simplex := b.softmax(alphas)
	draws := b.begin()
	grad := make([]float64, b.space.Dim())
	pass, err := b.MixingGradient(batch, simplex, batchStatistics, grad)
	if err != nil {
		return err
	}
	out.set("logits", pass.Logits...)
	out.set("loss", pass.Loss)
	out.set("grad_alphas", algorithms.SoftmaxGradient(b.space, simplex, grad)...)
	b.WriteStatistics(statistics)
	draws.again()
	if pass, err = b.WeightGradient(batch, simplex, batchStatistics); err != nil {
		return err
	}
	draws.end("train")
	out.set("logits", pass.Logits...)
	out.set("loss", pass.Loss)
	gradient := b.gradient()
	for _, t := range b.Parameters() {
		at := fmt.Sprintf("digests.%s.", t.Name)
		out.integers(at+"shape", t.Shape)
		out.set(at+"param", digest(parameters[t.Offset:t.Offset+t.Size])...)
		out.set(at+"grad", digest(gradient[t.Offset:t.Offset+t.Size])...)
	}
	out.set("grad_norm", floats.Norm(gradient, 2))
	var sums []float64
	after := b.statistics()
	for _, t := range b.Statistics() {
		v := after[t.Offset : t.Offset+t.Size]
		sums = append(sums, floats.Sum(v), floats.Dot(v, v))
	}
	out.set("buffer_sums", sums...)

	draws = b.begin()
	if pass, err = b.Forward(batch, simplex, runningStatistics); err != nil {
		return err
	}
	draws.end("eval")
	out.set("eval_logits", pass.Logits...)
	if !g.has("hessian_eigenvalue_reported") {
		return nil
	}
	return b.hessian(batch, algorithms.Softmax(b.space, alphas), g.number("arch_weight_decay"), "hessian", "hessian_eigenvalue_reported")
}

// digest is 2-norm, sum, dot product with a given vector, and the first two numbers.
func digest(v []float64) []float64 {
	return append([]float64{floats.Norm(v, 2), floats.Sum(v), floats.Dot(v, formula.Uniform(7, len(v), 2, -1))}, v[:min(2, len(v))]...)
}

// stepsCells returns the computation of consecutive training steps of the named
// algorithm on a search network, the Hessian after the last, and the validation. name is
// what the manifest calls the algorithm.
func stepsCells(algorithm, name string) func(*golden, engine.Engine, *findings) error {
	return func(g *golden, e engine.Engine, out *findings) error {
		b, err := newCells(g, e, out)
		if err != nil {
			return err
		}
		train := batches(g, "train_images", "train_labels", 5)
		valid := batches(g, "valid_images", "valid_labels", 5)
		count := g.integer("hyper.steps")
		if count < 1 || count != len(train) || count != len(valid) {
			return fmt.Errorf("%d steps with %d training and %d search batches", count, len(train), len(valid))
		}
		out.text("hyper.algorithm", name)
		out.set("hyper.arch_eps", algorithms.AdamEpsilon)
		if n := g.integer("batch"); train[0].N != n || valid[0].N != n {
			return fmt.Errorf("batches of %d and %d images, the manifest says %d", train[0].N, valid[0].N, n)
		}

		step := 0
		s, start, err := b.cellSearcher(algorithm, &step)
		if err != nil {
			return err
		}
		b.reset()
		for ; step < count; step++ {
			if err := start(step); err != nil {
				return err
			}
			draws := b.begin()
			info, err := s.Step(context.Background(), b, fixed{train[step], valid[step]})
			if err != nil {
				return err
			}
			draws.end(fmt.Sprintf("step%d", step))
			if err := b.masksUsed(); err != nil {
				return err
			}
			if err := b.cellStep(step, s, info); err != nil {
				return err
			}
		}
		out.set(fmt.Sprintf("step%d_momentum", count-1), b.momentum()...)
		if space, ok := darts.Of(s.Space()); ok {
			b.out.genotype("genotype_end", space.Derive(s.Alphas()))
		}

		if g.has("end_eigenvalue_reported") {
			if g.has("end_hessian_droppath_masks") {
				b.setMasks("end_hessian_droppath_masks")
			}
			last := valid[count-1]
			s.Prepare(b, algorithms.ForHessian, last.N)
			if err := b.hessian(last, s.Mixing(algorithms.ForHessian, 0), g.number("hyper.arch_weight_decay"), "end_hessian", "end_eigenvalue_reported"); err != nil {
				return err
			}
			if err := b.masksUsed(); err != nil {
				return err
			}
		}
		out.set("end_buffers", b.statistics()...)
		draws := b.begin()
		var passes []supernet.Pass
		for k, batch := range valid {
			pass, err := b.Forward(batch, s.Mixing(algorithms.ForValidation, k).Weights, runningStatistics)
			if err != nil {
				return err
			}
			if k == 0 {
				out.set("infer_logits_batch0", pass.Logits...)
			}
			passes = append(passes, pass)
		}
		draws.end("infer")
		b.mean("infer", valid, passes)
		return nil
	}
}

// cellSearcher builds the searcher of a case with its recorded draws, and a function to be
// called before each step; perturbations are those of the step that *step counts.
func (b *subject) cellSearcher(algorithm string, step *int) (_ algorithms.Relaxed, start func(step int) error, err error) {
	g := b.g
	settings := b.settings("hyper.")
	settings["warm-start-epochs"] = 0
	unrolled := g.has("hyper.unrolled") && g.number("hyper.unrolled") == 1
	switch {
	case algorithm == "darts-2nd" && !unrolled:
		return nil, nil, fmt.Errorf("hyper.unrolled is false, steps of %s are second order", algorithm)
	case algorithm != "darts-2nd" && unrolled:
		settings["unrolled"] = 1
	}
	if strings.HasSuffix(algorithm, "-rs") || strings.HasSuffix(algorithm, "-adv") {
		settings["epsilon-min"], settings["epsilon-max"] = g.number("hyper.epsilon"), g.number("hyper.epsilon")
	} else {
		b.out.set("hyper.epsilon", 0)
	}
	searched, operations := b.space, b.space.Dim()
	space, _ := darts.Of(b.space)
	if strings.HasPrefix(algorithm, "pc-darts") {
		settings["edge-weights"] = 0
		if space.HasEdges() {
			settings["edge-weights"] = 1
			operations = space.Base().Dim()
		}
	}
	cfg := algorithms.Config{
		Cells: b.Config().Cells, Epochs: 1,
		Noise: func(dst []float64) { copy(dst, g.numbers(fmt.Sprintf("step%d_delta", *step), operations)) },
	}
	d := b.space.Dim()
	state := struct {
		algorithms.State
		Stage int     `json:"stage"`
		Kept  [][]int `json:"kept,omitempty"`
	}{State: algorithms.State{
		Algorithm: algorithm,
		Alphas:    g.numbers("init_alphas", d),
		Adam:      algorithms.Moments{M: make([]float64, d), V: make([]float64, d)},
	}}
	start = func(int) error { return nil }
	switch {
	case strings.HasPrefix(algorithm, "p-darts"):
		// Whatever stage it was, it is done as the second, whose first epoch has no
		// architecture steps.
		searched = space.Base().Space
		cfg.Epochs = 6 // two in each stage
		delete(settings, "warm-start-epochs")
		settings["warm-start-share"] = 0.5
		settings["arch-clip"] = g.number("hyper.arch_grad_clip")
		settings["dropped-1"] = float64(len(space.Base().Rows()[0].Candidates) - len(space.Rows()[0].Candidates))
		settings["dropped-2"] = 0
		if state.Kept, err = keptBy(g, space.Base()); err != nil {
			return nil, nil, err
		}
		state.Stage = 1
		moves := g.numbers("hyper.arch_step", g.integer("hyper.steps"))
		b.dropout.replace = true
		s, err := newSearcher(algorithm, searched, cfg, settings, state)
		return s, func(step int) error {
			b.dropout.probability = g.number(fmt.Sprintf("step_info[%d].dropout_p", step))
			s.StartEpoch(2 + int(moves[step]))
			return nil
		}, err
	case b.Config().DropPath:
		start = func(step int) error {
			b.setMasks(fmt.Sprintf("step%d_droppath_masks", step))
			return nil
		}
	}
	s, err := newSearcher(algorithm, searched, cfg, settings, state)
	return s, start, err
}

// newSearcher builds a searcher with a state.
func newSearcher(algorithm string, space *spaces.Space, cfg algorithms.Config, settings algorithms.Settings, state any) (algorithms.Relaxed, error) {
	cfg.Space, cfg.Settings = space, settings
	s, err := algorithms.New(algorithm, cfg)
	if err != nil {
		return nil, err
	}
	start, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	return s.(algorithms.Relaxed), s.SetState(start)
}

// cellStep records what training step k did.
func (b *subject) cellStep(k int, s algorithms.Relaxed, info algorithms.StepInfo) error {
	if err := b.vectors(k, s, info); err != nil {
		return err
	}
	if n := len(b.g.leaves[fmt.Sprintf("step%d_delta", k)].numbers); n > 0 && n < len(info.Mixing) {
		// Edges are not perturbed, and not stored.
		at := fmt.Sprintf("step%d_", k)
		if !slices.Equal(info.Mixing[n:], info.Simplex[n:]) {
			return fmt.Errorf("step %d perturbed the weights of edges", k)
		}
		delete(b.out.numbers, at+"alphas_softmax")
		delete(b.out.numbers, at+"alphas_perturbed")
		b.out.set(at+"alphas_softmax", info.Simplex[:n]...)
		b.out.set(at+"alphas_perturbed", info.Mixing[:n]...)
	}
	at := fmt.Sprintf("step_info[%d].", k)
	if info.ArchGradient == nil {
		b.out.text(at+"arch_loss", "null")
		b.out.text(at+"arch_grad_norm_before_clip", "null")
	} else {
		b.out.set(at+"arch_loss", info.Architecture.Loss)
		b.out.set(at+"arch_grad_norm_before_clip", info.ArchNorm)
	}
	b.out.set(at+"weight_loss", info.Weights.Loss)
	b.out.set(at+"grad_norm_before_clip", info.GradientNorm)
	b.out.set(at+"grad_norm_after_clip", floats.Norm(b.gradient(), 2))
	b.out.untouched(at+"no_gradient", b.Net)
	if a := info.Attack; a != nil {
		b.out.set(at+"pgd_loss_before", a.Before)
		b.out.set(at+"pgd_losses", a.Losses...)
		b.out.set(at+"pgd_loss_after", a.After)
		b.out.flag(at+"rolled_back", a.RolledBack)
	}
	return nil
}

// genotype records a genotype under a name.
func (r *findings) genotype(name string, genotype darts.Genotype) {
	for cell, pairs := range map[string][]darts.Pair{"normal": genotype.Normal, "reduce": genotype.Reduce} {
		for i, p := range pairs {
			at := fmt.Sprintf("%s.%s[%d]", name, cell, i)
			r.text(at+"[0]", p.Operation)
			r.integers(at+"[1]", []int{p.Input})
		}
	}
	r.integers(name+".normal_concat", genotype.NormalConcat)
	r.integers(name+".reduce_concat", genotype.ReduceConcat)
}
