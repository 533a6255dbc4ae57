package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// vision is the course of a network of images.
type vision struct {
	config Config
	seed   uint64
	net    *supernet.Net
	images supply

	batch data.Batch
}

func (j Job) newVision(e engine.Engine) (*vision, error) {
	_, raw := e.(engine.Augmenter)
	images, err := j.supply(raw)
	if err != nil {
		return nil, err
	}
	config, err := j.network(images.classes)
	if err != nil {
		return nil, err
	}
	v := &vision{config: j.Config, seed: j.Seed, images: images}
	if v.net, err = supernet.New(config, e); err != nil {
		return nil, err
	}
	v.net.Initialize(random.New(j.Seed, "retrain/weights"))
	return v, nil
}

// network is the network of the job.
func (j Job) network(classes int) (supernet.Config, error) {
	c := j.Config
	e := &supernet.Evaluation{AuxiliaryWeight: c.AuxiliaryWeight, LabelSmoothing: c.LabelSmoothing}
	switch j.Subject.Form {
	case results.FormNASBench101:
		if j.Subject.Cell == nil {
			return supernet.Config{}, fmt.Errorf("the network %s is of a cell, and there is none", j.Subject.Form)
		}
		spec, err := cell.Parse(j.Subject.Cell.Matrix, j.Subject.Cell.Operations)
		if err != nil {
			return supernet.Config{}, err
		}
		e.Cell = &spec
	case results.FormCIFAR, results.FormImageNet:
		g, err := darts.ParseGenotype(j.Subject.Genotype)
		if err != nil {
			return supernet.Config{}, err
		}
		e.Genotype, e.ImageNet, e.AuxiliaryNorm = g, j.Subject.Form == results.FormImageNet, c.AuxiliaryNorm
	}
	return supernet.Config{
		Evaluation: e, Channels: c.Channels, Cells: c.Cells, Classes: classes, Side: c.Side,
		Variant: supernet.Variant{DropPath: c.DropPath > 0}, BatchNormMomentum: c.BatchNormMomentum,
	}, nil
}

// describe implements course.
func (v *vision) describe(e *results.Evaluation) error {
	images := v.images
	flops, err := v.net.ForwardFLOPs(1)
	if err != nil {
		return err
	}
	macs := int(flops / 2)
	if net := v.net.Config().Evaluation; net.ImageNet { // where the engine computes more than convolutions of stride 2 need
		cost, err := darts.Network{Channels: v.config.Channels, Cells: v.config.Cells, Classes: images.classes, ImageNet: true}.Cost(net.Genotype)
		if err != nil {
			return err
		}
		macs = cost.MACs
	}
	e.Parameters = 0
	for _, p := range v.net.Parameters() {
		if !strings.HasPrefix(p.Name, supernet.AuxiliaryPrefix) {
			e.Parameters += p.Size
		}
	}
	e.ParametersAuxiliary, e.MACs = v.net.ParameterCount(), int64(macs)
	from := images.source
	e.Provenance.Images, e.Provenance.ImagesDetail, e.Provenance.ImagesDigest = from.Kind, from.Detail, from.Digest
	e.Provenance.Scale = v.config.describe(images.trainImages)
	e.Recipe = v.config.recipe(images.classes, images.trainImages, images.testImages)
	return nil
}

// testWork is how long a batch in evaluation takes, in training steps, about.
const testWork = 0.3

// errBatch reports a batch that could not be had: the state before its step is whole.
var errBatch = errors.New("cannot read a batch")

// steps implements course.
func (v *vision) steps(int) int { return v.images.train.Len() }

// measuring implements course.
func (v *vision) measuring() float64 { return testWork * float64(v.images.test.Len()) }

// step implements course.
func (v *vision) step(ctx context.Context, epoch, k int) (done begun, err error) {
	c := v.config
	if err := v.images.train.Batch(ctx, &v.batch, epoch, k); err != nil {
		return done, fmt.Errorf("%w: %w", errBatch, err)
	}
	n := v.batch.N
	v.net.SetDraws(v.seed, "retrain", uint64(epoch), uint64(k))
	r := random.New(v.seed, "retrain/drop-path", uint64(epoch), uint64(k))
	v.net.SetDropPath(algorithms.DropPath(r, c.dropPath(epoch), v.net.Droppable()*n))
	pass, err := v.net.WeightGradient(v.batch, nil, supernet.BatchStatistics)
	if err != nil {
		return done, err
	}
	if math.IsNaN(pass.Loss) || math.IsInf(pass.Loss, 0) {
		return done, fmt.Errorf("the loss is %v: %w", pass.Loss, algorithms.ErrDiverged)
	}
	rate := c.rate(epoch, k, v.images.train.Len())
	if c.optimizer() == "rmsprop" {
		_, err = v.net.StepRMSProp(supernet.RMSProp{LearningRate: rate, Decay: rmsDecay, Momentum: c.Momentum, Epsilon: rmsEpsilon, WeightDecay: c.WeightDecay})
	} else {
		_, err = v.net.StepWeights(supernet.SGD{LearningRate: rate, Momentum: c.Momentum, WeightDecay: c.WeightDecay, Clip: c.Clip})
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", algorithms.ErrDiverged, err)
	}
	return begun{Images: n, Correct: pass.Correct, Loss: pass.Loss * float64(n)}, err
}

// measure implements course: loss and accuracy on the images to measure on. Noise operations
// draw there too (quirk C11).
func (v *vision) measure(ctx context.Context, e *Epoch) error {
	e.LearningRate, e.DropPath = v.config.rate(e.Epoch, 0, v.images.train.Len()), v.config.dropPath(e.Epoch)
	images := 0
	s := &e.Test
	for k := range v.images.test.Len() {
		if ctx.Err() != nil { // the steps are kept; what follows is made again
			return ctx.Err()
		}
		if err := v.images.test.Batch(ctx, &v.batch, 0, k); err != nil {
			return err
		}
		v.net.SetDraws(v.seed, "retrain/test", uint64(e.Epoch), uint64(k))
		pass, err := v.net.Forward(v.batch, nil, supernet.RunningStatistics)
		if err != nil {
			return err
		}
		s.Loss += pass.Loss * float64(v.batch.N)
		s.Accuracy += float64(pass.Correct)
		images += v.batch.N
	}
	s.Loss /= float64(images)
	s.Accuracy /= float64(images)
	if math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0) {
		return fmt.Errorf("epoch %d: the loss on the images to measure on is %g: %w", e.Epoch, s.Loss, algorithms.ErrDiverged)
	}
	return nil
}

// vectors implements course.
func (v *vision) vectors() []vector {
	p, s := v.net.ParameterCount(), v.net.StatisticsCount()
	all := []vector{
		{"weights", p, v.net.ReadParameters, v.net.WriteParameters},
		{"momentum", p, v.net.ReadMomentum, v.net.WriteMomentum},
		{"statistics", s, v.net.ReadStatistics, v.net.WriteStatistics},
	}
	if v.config.optimizer() == "rmsprop" {
		all = append(all, vector{"mean square", p, v.net.ReadMeanSquare, v.net.WriteMeanSquare})
	}
	return all
}

// memory implements course: there is none.
func (v *vision) memory() any { return nil }

// recall implements course.
func (v *vision) recall(json.RawMessage, []Epoch, begun) error { return nil }

// finish implements course: the error after the last epoch is the result, the lowest one,
// which these images chose, stands beside it (quirk C35).
func (v *vision) finish(e *results.Evaluation, epochs []Epoch) {
	last := epochs[len(epochs)-1]
	e.Test, e.Train = last.Test, last.Train
	best := last
	for _, record := range epochs {
		if record.Test.Accuracy > best.Test.Accuracy {
			best = record
		}
	}
	if len(epochs) > 1 {
		e.Best = &results.BestEpoch{Epoch: best.Epoch, Accuracy: best.Test.Accuracy}
	}
}
