package retrain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// The files of a training's folder, beside those of checkpoints.
const (
	trainingFile = "training.json"
	epochsFile   = "epochs.jsonl"
)

// patience is for how long an interrupt waits for the step at work.
const patience = 700 * time.Millisecond

// Job is one training.
type Job struct {
	Config  Config
	Subject results.Subject // what to train; its form is that of Config
	Seed    uint64
	Train   *data.Set        // images at any side that Config.Side divides
	Test    *data.Set        // likewise; not used with Config.Halves
	Photos  data.FolderParts // instead of both, of the network for ImageNet
	Engine  string           // name of an engine, or engine.Auto
	Threads int              // of the engine; the record does not depend on it
	Dir     string           // folder of the training, made where needed
	Result  string           // path of evaluation.json
	// SearchSeconds is how long the search took that found the architecture; nil where that
	// is unknown.
	SearchSeconds *float64
	Program       string // version of the program, for people
}

// Progress tells how far a training has come.
type Progress struct {
	Epoch, Epochs int
	Step, Steps   int    // within the epoch
	Doing         string // what is under way where it is no step: "compiling", "testing"; else empty
	Last          *Epoch // newest record, nil before the first
	Remaining     time.Duration
	Note          string // on the first report: where a training goes on
}

// Training is a job made ready; nothing is on disk yet.
type Training struct {
	Job
	net         *supernet.Net
	engine      engine.Engine
	train, test loader
	evaluation  results.Evaluation // but for what the training yields
	keeper      *checkpoint.Keeper
	report      func(Progress)

	epochs []Epoch // done
	begun  begun   // the next one

	begin time.Time
	work  float64 // done since then, in training steps
}

// begun is how far an epoch has come.
type begun struct {
	Steps   int     `json:"steps"`
	Images  int     `json:"images"`
	Correct int     `json:"correct"`
	Loss    float64 `json:"loss"`    // summed over the images
	Seconds float64 `json:"seconds"` // of earlier processes
}

// ErrFinished reports a training whose evaluation is there already.
var ErrFinished = errors.New("finished: nothing to do")

// ErrOther reports a folder or a result of another training.
var ErrOther = errors.New("of another training")

// slowEpochs are the last of a training on ImageNet, see algorithms.ImageNetRate.
const slowEpochs = 5

// Prepare checks the job and builds everything that the training needs.
func (j Job) Prepare() (*Training, error) {
	t := &Training{Job: j}
	if j.Config.Form == results.FormImageNet && j.Config.Epochs <= slowEpochs {
		return nil, fmt.Errorf("%d epochs, need more than %d: the learning rate falls more slowly in the last of them", j.Config.Epochs, slowEpochs)
	}
	t.Engine = engine.Resolve(j.Engine)
	var err error
	if t.engine, err = engine.Open(t.Engine, j.Threads); err != nil {
		return nil, err
	}
	_, raw := t.engine.(engine.Augmenter)
	images, err := j.supply(raw)
	if err != nil {
		return nil, err
	}
	t.train, t.test = images.train, images.test
	config, err := j.network(images.classes)
	if err != nil {
		return nil, err
	}
	if t.net, err = supernet.New(config, t.engine); err != nil {
		return nil, err
	}
	t.net.Initialize(random.New(j.Seed, "retrain/weights"))
	return t, t.describe(images)
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

// describe fills in what the evaluation says before anything is trained.
func (t *Training) describe(images supply) error {
	flops, err := t.net.ForwardFLOPs(1)
	if err != nil {
		return err
	}
	macs := int(flops / 2)
	if e := t.net.Config().Evaluation; e.ImageNet { // where the engine computes more than convolutions of stride 2 need
		cost, err := darts.Network{Channels: t.Config.Channels, Cells: t.Config.Cells, Classes: images.classes, ImageNet: true}.Cost(e.Genotype)
		if err != nil {
			return err
		}
		macs = cost.MACs
	}
	parameters := 0
	for _, p := range t.net.Parameters() {
		if !strings.HasPrefix(p.Name, supernet.AuxiliaryPrefix) {
			parameters += p.Size
		}
	}
	from := images.source
	t.evaluation = results.Evaluation{
		Format: results.EvaluationVersion, Subject: t.Subject, Seed: t.Seed,
		Provenance: results.Provenance{
			Images: from.Kind, ImagesDetail: from.Detail, ImagesDigest: from.Digest, Table: results.NoTable, TableDigest: results.NoTable,
			Preset: t.Config.Preset, Scale: t.Config.describe(images.trainImages), Engine: t.Engine, Precision: t.engine.Precision(), Device: t.engine.Device(),
		},
		Recipe:     t.Config.recipe(images.classes, images.trainImages, images.testImages),
		Parameters: parameters, ParametersAuxiliary: t.net.ParameterCount(), MACs: int64(macs),
		SearchSeconds: t.SearchSeconds, Program: t.Program,
	}
	return nil
}

// Evaluation returns what evaluation.json will say of the training, without results.
func (t *Training) Evaluation() results.Evaluation { return t.evaluation }

// identity is what a training is: the content of training.json.
func (t *Training) identity() ([]byte, error) {
	text, err := json.MarshalIndent(struct {
		Format  int                   `json:"format"`
		Subject results.Subject       `json:"subject"`
		Seed    uint64                `json:"seed"`
		Key     results.EvaluationKey `json:"training"`
	}{results.EvaluationVersion, t.evaluation.Subject, t.Seed, t.evaluation.Key()}, "", "  ")
	return append(text, '\n'), err
}

// Run trains to the end, once, calling report after every step and record, and returns what
// it wrote to Result. Where the folder holds this training unfinished, it continues with the
// same numbers as if it had never been stopped. An ErrFinished says that the result is there
// already, and is returned with it; an ErrOther that the folder or the result is of another
// training; a durable.ErrLocked that another process works on it. When ctx is done, it stops
// at the next step, or in the middle of one that takes long, keeps its newest state, and
// returns ctx's error.
func (t *Training) Run(ctx context.Context, report func(Progress)) (results.Evaluation, error) {
	t.report = report
	switch e, err := results.ReadEvaluation(t.Result); {
	case err == nil && t.same(e):
		return e, fmt.Errorf("%s: %w", t.Result, ErrFinished)
	case err == nil:
		return e, fmt.Errorf("%s is %w; nothing is replaced", t.Result, ErrOther)
	case !errors.Is(err, fs.ErrNotExist):
		return e, err
	}
	lock, err := t.open()
	if err != nil {
		return results.Evaluation{}, err
	}
	defer lock.Close()
	note, err := t.resume()
	if err != nil {
		return results.Evaluation{}, err
	}
	t.keeper = checkpoint.NewKeeper(t.Dir, nil)
	_, err = abandon.Do(ctx, patience, func() (_ struct{}, err error) {
		defer engine.Catch(&err)
		return struct{}{}, t.run(ctx, note)
	})
	var broken *fault.Error
	if errors.As(err, &broken) {
		panic(broken)
	}
	if ctx.Err() != nil {
		t.keeper.Close()
		if err != nil && errors.Is(err, ctx.Err()) {
			return results.Evaluation{}, errors.Join(err, t.keeper.Last())
		}
	}
	if err != nil {
		return results.Evaluation{}, errors.Join(err, t.keeper.Write())
	}
	return t.finish()
}

// same tells whether an evaluation is of this training.
func (t *Training) same(e results.Evaluation) bool {
	mine, _ := json.Marshal(t.evaluation.Subject)
	others, _ := json.Marshal(e.Subject)
	return e.Key() == t.evaluation.Key() && e.Seed == t.Seed && bytes.Equal(mine, others)
}

// Files lists the names that a training's folder may hold.
func Files() []string {
	return []string{trainingFile, epochsFile, checkpoint.File, checkpoint.PreviousFile}
}

// Busy tells whether a process works on the training in a folder.
func Busy(dir string) bool {
	f, err := foreign.OpenFile(filepath.Join(dir, trainingFile), os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(durable.Lock(f), durable.ErrLocked)
}

// maxTraining bounds training.json, in bytes.
const maxTraining = 1 << 20

// open makes the folder or finds it to be of this training, and keeps other processes away
// until what it returns is closed.
func (t *Training) open() (*os.File, error) {
	identity, err := t.identity()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.Dir, 0o777); err != nil {
		return nil, err
	}
	path := filepath.Join(t.Dir, trainingFile)
	if err := durable.WriteNew(path, identity); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	there, err := foreign.ReadFile(path, maxTraining)
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(there, identity):
		return nil, fmt.Errorf("%s is %w: choose another folder, or move it aside", t.Dir, ErrOther)
	}
	lock, err := foreign.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(lock); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// run trains the epochs that are left.
func (t *Training) run(ctx context.Context, note string) error {
	t.begin = time.Now()
	t.tell(Progress{Epoch: len(t.epochs), Step: t.begun.Steps, Doing: "compiling", Note: note})
	for len(t.epochs) < t.Config.Epochs {
		epoch := len(t.epochs)
		start := time.Now()
		before := t.begun.Seconds
		seconds := func() float64 { return before + time.Since(start).Seconds() }
		if err := t.steps(ctx, epoch, seconds); err != nil {
			return err
		}
		t.tell(Progress{Epoch: epoch, Step: t.begun.Steps, Doing: "testing"})
		test, err := t.measure(ctx, epoch)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sum := t.begun
		t.epochs = append(t.epochs, Epoch{
			Epoch: epoch, LearningRate: t.Config.rate(epoch, 0, t.train.Len()), DropPath: t.Config.dropPath(epoch),
			Train:   results.Score{Loss: sum.Loss / float64(sum.Images), Accuracy: float64(sum.Correct) / float64(sum.Images)},
			Test:    test,
			Seconds: seconds(),
		})
		t.begun = begun{}
		if err := t.record(); err != nil {
			return err
		}
		if err := t.keep(true); err != nil {
			return err
		}
		t.tell(Progress{Epoch: epoch, Step: t.train.Len()})
	}
	return nil
}

// tell reports progress.
func (t *Training) tell(p Progress) {
	if t.report == nil {
		return
	}
	p.Epochs, p.Steps = t.Config.Epochs, t.train.Len()
	if n := len(t.epochs); n > 0 {
		p.Last = &t.epochs[n-1]
	}
	if t.work > 0 {
		perEpoch := float64(p.Steps) + testWork*float64(t.test.Len())
		left := float64(p.Epochs-len(t.epochs))*perEpoch - float64(t.begun.Steps)
		p.Remaining = time.Duration(float64(time.Since(t.begin)) / t.work * left)
	}
	t.report(p)
}

// testWork is how long a batch in evaluation takes, in training steps, about.
const testWork = 0.3

// steps makes the steps of an epoch that are left.
func (t *Training) steps(ctx context.Context, epoch int, seconds func() float64) error {
	var batch data.Batch
	steps := t.train.Len()
	for t.begun.Steps < steps {
		keep := func(write bool) error {
			if t.begun.Steps == 0 { // the epoch's start is kept
				return nil
			}
			t.begun.Seconds = seconds()
			return t.keep(write)
		}
		if ctx.Err() != nil {
			return errors.Join(keep(true), ctx.Err())
		}
		if t.keeper.Due() {
			if err := keep(false); err != nil {
				return err
			}
		}
		k := t.begun.Steps
		if err := t.train.Batch(ctx, &batch, epoch, k); err != nil {
			return errors.Join(keep(true), err)
		}
		pass, err := t.step(batch, epoch, k)
		if err != nil {
			return fmt.Errorf("epoch %d, step %d: %w", epoch, k, err)
		}
		t.begun.Images += batch.N
		t.begun.Correct += pass.Correct
		t.begun.Loss += pass.Loss * float64(batch.N)
		t.begun.Steps++
		t.work++
		t.tell(Progress{Epoch: epoch, Step: t.begun.Steps})
	}
	return nil
}

// step makes one step.
func (t *Training) step(batch data.Batch, epoch, k int) (supernet.Pass, error) {
	c := t.Config
	t.net.SetDraws(t.Seed, "retrain", uint64(epoch), uint64(k))
	r := random.New(t.Seed, "retrain/drop-path", uint64(epoch), uint64(k))
	t.net.SetDropPath(algorithms.DropPath(r, c.dropPath(epoch), t.net.Droppable()*batch.N))
	pass, err := t.net.WeightGradient(batch, nil, supernet.BatchStatistics)
	if err != nil {
		return pass, err
	}
	if math.IsNaN(pass.Loss) || math.IsInf(pass.Loss, 0) {
		return pass, fmt.Errorf("the loss is %v: %w", pass.Loss, algorithms.ErrDiverged)
	}
	rate := c.rate(epoch, k, t.train.Len())
	if c.optimizer() == "rmsprop" {
		_, err = t.net.StepRMSProp(supernet.RMSProp{LearningRate: rate, Decay: rmsDecay, Momentum: c.Momentum, Epsilon: rmsEpsilon, WeightDecay: c.WeightDecay})
	} else {
		_, err = t.net.StepWeights(supernet.SGD{LearningRate: rate, Momentum: c.Momentum, WeightDecay: c.WeightDecay, Clip: c.Clip})
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", algorithms.ErrDiverged, err)
	}
	return pass, err
}

// measure is loss and accuracy on the images to measure on. Noise operations draw there too
// (quirk C11).
func (t *Training) measure(ctx context.Context, epoch int) (s results.Score, err error) {
	var batch data.Batch
	images := 0
	for k := range t.test.Len() {
		if ctx.Err() != nil { // the steps are kept; what follows is made again
			return s, ctx.Err()
		}
		if err := t.test.Batch(ctx, &batch, 0, k); err != nil {
			return s, err
		}
		t.net.SetDraws(t.Seed, "retrain/test", uint64(epoch), uint64(k))
		pass, err := t.net.Forward(batch, nil, supernet.RunningStatistics)
		if err != nil {
			return s, err
		}
		s.Loss += pass.Loss * float64(batch.N)
		s.Accuracy += float64(pass.Correct)
		images += batch.N
		t.work += testWork
	}
	s.Loss /= float64(images)
	s.Accuracy /= float64(images)
	if math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0) {
		return s, fmt.Errorf("epoch %d: the loss on the images to measure on is %g: %w", epoch, s.Loss, algorithms.ErrDiverged)
	}
	return s, nil
}

// finish writes the evaluation, with the error after the last epoch as the result and the
// lowest one, which these images chose, beside it (quirk C35), and removes what nobody needs any more.
func (t *Training) finish() (results.Evaluation, error) {
	e := t.evaluation
	last := t.epochs[len(t.epochs)-1]
	e.Test, e.Train = last.Test, last.Train
	best := last
	for _, record := range t.epochs {
		e.Seconds += record.Seconds
		if record.Test.Accuracy > best.Test.Accuracy {
			best = record
		}
	}
	if len(t.epochs) > 1 {
		e.Best = &results.BestEpoch{Epoch: best.Epoch, Accuracy: best.Test.Accuracy}
	}
	if err := results.WriteEvaluation(t.Result, e); err != nil {
		return e, err
	}
	for _, name := range []string{checkpoint.File, checkpoint.PreviousFile} {
		if err := os.Remove(filepath.Join(t.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return e, err
		}
	}
	return e, nil
}
