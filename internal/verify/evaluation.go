package verify

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// evaluationKind are training steps of the network of a genotype.
var evaluationKind = kind{
	name: "training of a genotype", is: allOf(says("network", "cifar", "imagenet"), holds("formula_seed"), holds("step_info")), network: evaluation,
}

// evaluation computes an evaluation in evaluation mode, training steps, and an evaluation.
func evaluation(g *golden, e engine.Engine, out *findings) error {
	batch, side, count := g.integer("batch"), g.integer("image_size"), g.integer("hyper.steps")
	if batch < 1 || batch > 1<<10 || side < 1 || side > 1<<10 || count < 1 || count > 1<<10 {
		return fmt.Errorf("%d steps on batches of %d images of side %d", count, batch, side)
	}
	genotype := readGenotype(g, "genotype.")
	if name := g.text("genotype_name"); g.err == nil {
		if p, ok := darts.FindPublished(name); ok && p.Genotype.Line() != genotype.Line() {
			return fmt.Errorf("the genotype is %s, that of %s is %s", genotype.Line(), name, p.Genotype.Line())
		}
	}
	architecture := &supernet.Evaluation{
		Genotype:        genotype,
		ImageNet:        g.text("network") == "imagenet",
		AuxiliaryWeight: g.number("hyper.auxiliary_weight"),
		LabelSmoothing:  g.number("hyper.label_smoothing"),
	}
	if g.number("auxiliary") == 0 {
		architecture.AuxiliaryWeight = 0
	}
	drop := g.number("drop_path_prob")
	net, err := supernet.New(supernet.Config{
		Evaluation:        architecture,
		Channels:          g.integer("init_channels"),
		Cells:             g.integer("layers"),
		Classes:           g.integer("num_classes"),
		Side:              side,
		Variant:           supernet.Variant{DropPath: drop > 0},
		BatchNormMomentum: g.number("bn.momentum"),
	}, e)
	if err != nil {
		return err
	}
	b := &subject{Net: net, g: g, out: out}
	for i, t := range b.Parameters() {
		out.layout("params", i, t.Name, t.Shape, t.Offset, t.Size)
	}
	for i, t := range b.Statistics() {
		out.layout("buffers", i, t.Name, t.Shape, t.Offset, t.Size)
	}
	out.integers("param_count", []int{net.ParameterCount()})
	out.text("bn.affine", "all")
	out.integers("bn.count", []int{len(net.Statistics()) / 2})

	seed := g.integer("formula_seed")
	parameters := formula.Weights(b.Shapes(), seed)
	for k, t := range b.Parameters() {
		if strings.HasSuffix(t.Name, "classifier.bias") { // its bound is no function of its shape there
			copy(parameters[t.Offset:], formula.Uniform(seed+k, t.Size, 0.2, -0.1))
		}
	}
	b.WriteParameters(g.start(parameters))
	out.set("param_digest_init", b.digests(parameters)...)
	if g.has("noise_seed") {
		b.evaluationNoise(genotype, batch)
	}

	images, labels := formula.Pixels(g.integer("image_seed"), count*batch, side), g.numbers("labels", count*batch)
	var all []data.Batch
	for k := range count {
		next := data.Batch{N: batch, Side: side, Images: images[k*batch*3*side*side : (k+1)*batch*3*side*side]}
		for _, l := range labels[k*batch : (k+1)*batch] {
			next.Labels = append(next.Labels, int(l))
		}
		all = append(all, next)
	}
	pass, err := b.Forward(all[0], nil, runningStatistics)
	if err != nil {
		return err
	}
	out.set("eval_logits_before", pass.Logits...)
	out.set("eval_loss_before", smoothedLoss(pass.Logits, all[0].Labels, architecture.LabelSmoothing))
	if architecture.LabelSmoothing == 0 {
		out.set("eval_loss_before", pass.Loss)
	}
	sgd := supernet.SGD{LearningRate: g.number("hyper.lr"), Momentum: g.number("hyper.momentum"), WeightDecay: g.number("hyper.weight_decay"), Clip: g.number("hyper.grad_clip")}
	for k, batch := range all {
		if err := b.evaluationStep(k, batch, sgd, drop); err != nil {
			return err
		}
	}
	if pass, err = b.Forward(all[0], nil, runningStatistics); err != nil {
		return err
	}
	out.set("eval_logits_after", pass.Logits...)
	if g.has("noise_seed") {
		out.integers("noise_calls", []int{b.noise.next})
	}
	return nil
}

// evaluationStep makes training step k.
func (b *subject) evaluationStep(k int, batch data.Batch, sgd supernet.SGD, drop float64) error {
	at, info := fmt.Sprintf("step%d_", k), fmt.Sprintf("step_info[%d].", k)
	if drop > 0 {
		masks := slices.Clone(b.g.numbers(at+"droppath_masks", b.Droppable()*batch.N))
		floats.Scale(1/(1-drop), masks)
		b.Net.SetDropPath(masks)
	}
	pass, err := b.WeightGradient(batch, nil, batchStatistics)
	if err != nil {
		return err
	}
	b.out.set(at+"logits", pass.Logits...)
	b.out.set(info+"loss_main", pass.Loss)
	if pass.AuxiliaryLogits != nil {
		b.out.set(at+"logits_aux", pass.AuxiliaryLogits...)
		b.out.set(info+"loss_aux", pass.AuxiliaryLoss)
	} else {
		b.out.text(info+"loss_aux", "null")
	}
	b.out.set(info+"grad_digest_before_clip", b.digests(b.gradient())...)
	norm, err := b.StepWeights(sgd)
	if err != nil {
		return err
	}
	b.out.set(info+"grad_norm_before_clip", norm)
	b.out.set(info+"param_digest_after", b.digests(b.parameters())...)
	b.out.set(at+"buffers", b.statistics()...)
	return nil
}

// digests are 2-norm, sum, dot product with a given vector and the first four numbers of
// each weight tensor of a flat vector.
func (b *subject) digests(flat []float64) (all []float64) {
	for _, t := range b.Parameters() {
		v := flat[t.Offset : t.Offset+t.Size]
		all = append(all, digest(v)[:3]...)
		all = append(all, v[:min(4, len(v))]...)
	}
	return all
}

// evaluationNoise lets the noise operations of a genotype draw what the released code drew,
// and records their shapes.
func (b *subject) evaluationNoise(genotype darts.Genotype, batch int) {
	var shapes [][]int // of one forward pass
	c := b.Config()
	channels, side := c.Channels, c.Side
	for i := range c.Cells {
		kind := darts.Normal
		if i == c.Cells/3 || i == 2*c.Cells/3 {
			kind, channels, side = darts.Reduction, 2*channels, side/2
		}
		pairs, _ := genotype.Cell(kind)
		for _, p := range pairs {
			if p.Operation == darts.Noise {
				shapes = append(shapes, []int{batch, channels, side, side})
			}
		}
	}
	b.noise.seed = b.g.integer("noise_seed")
	var drawn []int
	b.SetReplay(supernet.Replay{Noise: func(dst []float64) {
		for i, u := range formula.Uniform(b.noise.seed+b.noise.next, len(dst), 2, -1) {
			dst[i] = math.Sqrt(3) * u
		}
		drawn = append(drawn, shapes[b.noise.next%len(shapes)]...)
		b.noise.next++
		if b.noise.next == len(b.g.leaves["noise_shapes_first"].numbers)/4 {
			b.out.integers("noise_shapes_first", drawn)
		}
	}})
}

// smoothedLoss is the mean cross-entropy against labels of which a share is spread over all
// classes.
func smoothedLoss(logits []float64, labels []int, smoothing float64) float64 {
	classes := len(logits) / len(labels)
	loss := 0.0
	for i, label := range labels {
		row := logits[i*classes : (i+1)*classes]
		logSum := floats.LogSumExp(row)
		loss += (1-smoothing)*(logSum-row[label]) + smoothing*(logSum-floats.Sum(row)/float64(classes))
	}
	return loss / float64(len(labels))
}
