package retrain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/results"
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
	Text    *text.Corpus     // instead of all, of the network of a recurrent cell
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
	Note          string // on the first report: where a training goes on; later: why an epoch begins again
}

// Training is a job made ready; nothing is on disk yet.
type Training struct {
	Job
	course     course
	engine     engine.Engine
	evaluation results.Evaluation // but for what the training yields
	keeper     *checkpoint.Keeper
	report     func(Progress)

	epochs []Epoch // done
	begun  begun   // the next one

	begin time.Time
	work  float64 // done since then, in training steps
}

// course is what a training does with its network: one of images, or one of words.
type course interface {
	// steps is how many an epoch has.
	steps(epoch int) int
	// step makes step k of an epoch and returns what it adds to the sums of the epoch. An
	// errAgain of it or of measure says that the epoch begins again.
	step(ctx context.Context, epoch, k int) (begun, error)
	// measure measures the network after the steps of an epoch, and completes the record of
	// the epoch.
	measure(ctx context.Context, e *Epoch) error
	// measuring is how long measure takes, in steps, about.
	measuring() float64
	// vectors are the numbers that a checkpoint holds. memory is what it holds beside them;
	// recall takes it over, with the records so far and how far the next epoch has come, before
	// the vectors are written. It changes nothing on error.
	vectors() []vector
	memory() any
	recall(memory json.RawMessage, epochs []Epoch, begun begun) error
	// describe says of the evaluation what is known before anything is trained, finish what
	// the records say.
	describe(e *results.Evaluation) error
	finish(e *results.Evaluation, epochs []Epoch)
}

// begun is how far an epoch has come.
type begun struct {
	Steps   int     `json:"steps"`
	Images  int     `json:"images"` // or words that were predicted
	Correct int     `json:"correct"`
	Loss    float64 `json:"loss"`    // summed over the images
	Seconds float64 `json:"seconds"` // of earlier processes
}

// errAgain is why an epoch begins again, from a state that the course has gone back to.
type errAgain struct{ note string }

func (e errAgain) Error() string { return e.note }

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
	if form := j.Config.Form; form != j.Subject.Form {
		return nil, fmt.Errorf("the configuration is of the network %s, the architecture of %s", form, j.Subject.Form)
	}
	if j.Config.Form == results.FormRecurrent {
		t.course, err = j.newLanguage(t.engine)
	} else {
		t.course, err = j.newVision(t.engine)
	}
	if err != nil {
		return nil, err
	}
	t.evaluation = results.Evaluation{
		Format: results.EvaluationVersion, Subject: t.Subject, Seed: t.Seed,
		Provenance: results.Provenance{
			Table: results.NoTable, TableDigest: results.NoTable,
			Preset: t.Config.Preset, Engine: t.Engine, Precision: t.engine.Precision(), Device: t.engine.Device(),
		},
		SearchSeconds: t.SearchSeconds, Program: t.Program,
	}
	return t, t.course.describe(&t.evaluation)
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
		e := Epoch{Epoch: epoch}
		err := t.steps(ctx, epoch, seconds)
		if err == nil {
			t.tell(Progress{Epoch: epoch, Step: t.begun.Steps, Doing: "testing"})
			err = t.course.measure(ctx, &e)
		}
		if again, ok := errors.AsType[errAgain](err); ok {
			t.begun = begun{Seconds: seconds()}
			t.tell(Progress{Epoch: epoch, Note: again.note})
			continue
		}
		if err != nil {
			return err
		}
		t.work += t.course.measuring()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sum := t.begun
		e.Train = results.Score{Loss: sum.Loss / float64(sum.Images), Accuracy: float64(sum.Correct) / float64(sum.Images)}
		e.Seconds = seconds()
		t.epochs, t.begun = append(t.epochs, e), begun{}
		if err := t.record(); err != nil {
			return err
		}
		if err := t.keep(true); err != nil {
			return err
		}
		t.tell(Progress{Epoch: epoch, Step: t.course.steps(epoch)})
	}
	return nil
}

// tell reports progress.
func (t *Training) tell(p Progress) {
	if t.report == nil {
		return
	}
	p.Epochs, p.Steps = t.Config.Epochs, t.course.steps(p.Epoch)
	if n := len(t.epochs); n > 0 {
		p.Last = &t.epochs[n-1]
	}
	if t.work > 0 {
		perEpoch := float64(p.Steps) + t.course.measuring()
		left := float64(p.Epochs-len(t.epochs))*perEpoch - float64(t.begun.Steps)
		p.Remaining = time.Duration(float64(time.Since(t.begin)) / t.work * left)
	}
	t.report(p)
}

// steps makes the steps of an epoch that are left.
func (t *Training) steps(ctx context.Context, epoch int, seconds func() float64) error {
	steps := t.course.steps(epoch)
	keep := func(write bool) error {
		if t.begun.Steps == 0 { // the epoch's start is kept
			return nil
		}
		t.begun.Seconds = seconds()
		return t.keep(write)
	}
	for t.begun.Steps < steps {
		if ctx.Err() != nil {
			return errors.Join(keep(true), ctx.Err())
		}
		if t.keeper.Due() {
			if err := keep(false); err != nil {
				return err
			}
		}
		k := t.begun.Steps
		done, err := t.course.step(ctx, epoch, k)
		switch {
		case errors.Is(err, errBatch):
			return errors.Join(keep(true), err)
		case err != nil:
			return fmt.Errorf("epoch %d, step %d: %w", epoch, k, err)
		}
		t.begun.Images += done.Images
		t.begun.Correct += done.Correct
		t.begun.Loss += done.Loss
		t.begun.Steps++
		t.work++
		t.tell(Progress{Epoch: epoch, Step: t.begun.Steps})
	}
	return keep(false) // what follows is made anew when it is interrupted
}

// finish writes the evaluation, and removes what nobody needs any more.
func (t *Training) finish() (results.Evaluation, error) {
	e := t.evaluation
	for _, record := range t.epochs {
		e.Seconds += record.Seconds
	}
	t.course.finish(&e, t.epochs)
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
