// Package benchmark runs searches: it trains a supernet by an algorithm, looks
// up each epoch's discrete cell, follows the architecture Hessian, and records
// everything in a run directory.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// Job is one search run.
type Job struct {
	Config Config
	Seed   uint64
	Train  *data.Set       // training images at any side that Config.Side divides
	Test   *data.Set       // test images likewise, for the algorithms that rank cells on them; else nil
	Text   *text.Corpus    // what is read in the place of images on the recurrent space; else nil
	Oracle nasbench.Oracle // answers for the cells; not asked, and may be nil, where the space has no table
	Engine string          // name of an engine, or engine.Auto
	// Threads of the engine. The record does not depend on it.
	Threads int
	Root    string // folder in which the run directory is made
}

// Progress tells how far a run has come.
type Progress struct {
	Epoch, Epochs int
	Step, Steps   int            // within the epoch
	Doing         string         // what is under way where it is no step: "compiling" before the first, "hessian" after the last; else empty
	Last          *results.Epoch // newest record, nil before the first
	Remaining     time.Duration  // estimate, 0 while unknown
	// Training tells that the network of what was found is trained, in a sweep that does so.
	Training bool
	// Notes, on the first report of a run that was taken up again, say from where it
	// continues and what was wrong with a checkpoint.
	Notes []string
}

// Search is a job made ready: images, supernet and searcher, nothing on disk yet.
type Search struct {
	Job
	record   results.Run
	space    *spaces.Space
	searched *spaces.Space // the space with the rows that the algorithm adds
	ties     spaces.Ties
	engine   engine.Engine
	net      *supernet.Net // nil where the algorithm asks the table alone
	variant  supernet.Variant
	stage    int // that the network is of, see algorithms.Staged
	searcher algorithms.Searcher

	queues   *queues
	language *recurrent.Search    // in the place of net where words are read
	words    *reading             // in the place of queues there
	ranked   []rankedCell         // after each epoch, see Config.Correlation
	warning  string               // for every record
	previous *spaces.Architecture // of the newest lookup
	writer   *results.Writer
	keeper   *checkpoint.Keeper
	journal  journal
	last     *results.Epoch // newest record
	clock    clock
	left     time.Duration // by the clock, at the newest step or record
	report   func(Progress)

	// Where a run that was stopped goes on.
	from    int      // epochs done
	begun   *begun   // the next one, if it was begun
	stopped bool     // the search has ended itself
	devices []string // that computed it, in order, this one last
	notes   []string // for the first report
}

// Run prepares and runs the job, see Search.Run.
func (j Job) Run(ctx context.Context, report func(Progress)) (dir string, err error) {
	s, err := j.Prepare()
	if err != nil {
		return "", err
	}
	return s.Run(ctx, report)
}

// Record is what the run directory will say of the run, its name included.
func (s *Search) Record() results.Run { return s.record }

// Run runs the search to its end, once, calling report after every step and
// record, and returns the run directory. Where the directory holds this run
// unfinished, it continues with the same numbers as if it had never been stopped.
// A *results.FinishedError says that the run is done already, a
// *results.LockedError that another process works on it, a
// *results.UnfinishedError that it cannot be continued, and why.
//
// When ctx is done, the run stops at the next step, or in the middle of one that takes
// long, writes its newest state, is marked as interrupted, and ctx's error returned.
func (s *Search) Run(ctx context.Context, report func(Progress)) (dir string, err error) {
	s.report = report
	dir = filepath.Join(s.Root, s.record.Name())
	s.devices = []string{s.record.Provenance.Device}
	s.writer, err = results.Create(s.Root, s.record)
	var unfinished *results.UnfinishedError
	if errors.As(err, &unfinished) {
		if err = s.resume(dir); err != nil && !isStanding(err) && !isOfTheDisk(err) {
			err = fmt.Errorf("%w; it cannot be continued: %w", unfinished, err)
		}
	}
	if err != nil {
		return dir, err
	}
	s.keeper = checkpoint.NewKeeper(dir, s.writer.Owned)
	s.journal.open(dir)
	defer func() {
		s.journal.end(err, ctx)
		s.journal.close()
	}()
	s.journal.line("%s on %s with %s", s.writer.Process(), s.record.Provenance.Device, s.record.Provenance.Engine)
	for _, note := range s.notes {
		s.journal.line("%s", note)
	}
	// Compiling, or a step, may take longer than the one who interrupts will wait: it is
	// left alone then, and not recorded.
	_, err = abandon.Do(ctx, patience, func() (struct{}, error) { return struct{}{}, s.runUntil(ctx) })
	if ctx.Err() != nil {
		s.keeper.Close()
	}
	var failure engine.Failure
	var broken *fault.Error
	switch {
	case errors.As(err, &broken): // let go of the run, and say so
		s.writer.Fail(fmt.Errorf("panic: %v", broken.Value))
		panic(broken)
	case err == nil:
		err = s.writer.Finish()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = errors.Join(err, s.keeper.Last(), s.writer.Interrupt())
	case errors.As(err, &failure): // of the device: the host still has the last state
		err = errors.Join(err, s.keeper.Write(), s.writer.Fail(err))
	default:
		err = errors.Join(err, s.writer.Fail(err))
	}
	return dir, err
}

// runUntil runs until a device fails or the search ends.
func (s *Search) runUntil(ctx context.Context) (err error) {
	defer engine.Catch(&err)
	return s.run(ctx)
}

// isStanding tells whether err says how a run stands, not that it cannot be
// continued.
func isStanding(err error) bool {
	var finished *results.FinishedError
	var locked *results.LockedError
	return errors.As(err, &finished) || errors.As(err, &locked)
}

// isOfTheDisk tells whether err is of the file system: of a full disk, for one,
// which says nothing about the run.
func isOfTheDisk(err error) bool {
	var of *fs.PathError
	return errors.As(err, &of)
}

// PrepareUntil is Prepare that is left alone when ctx is done, with ctx's error.
func (j Job) PrepareUntil(ctx context.Context) (*Search, error) {
	return abandon.Do(ctx, 0, func() (s *Search, err error) {
		defer engine.Catch(&err)
		return j.Prepare()
	})
}

// Prepare checks the job and builds everything that its run needs.
func (j Job) Prepare() (*Search, error) {
	if err := j.Config.Check(); err != nil {
		return nil, err
	}
	s := &Search{Job: j}
	var err error
	if s.space, err = spaces.Get(j.Config.Space); err != nil {
		return nil, err
	}
	if s.ties, err = spaces.ParseTies(j.Config.Ties); err != nil {
		return nil, err
	}
	definition, err := algorithms.Lookup(j.Config.Algorithm)
	if err != nil {
		return nil, err
	}
	definition = definition.On(s.space)
	if s.Config.Settings, err = definition.Resolve(j.Config.Settings); err != nil {
		return nil, err
	}
	if s.searched, err = definition.SearchSpace(s.space, s.Config.Settings); err != nil {
		return nil, err
	}
	s.warning = definition.Caveat(s.space, s.Config.Settings)
	s.searcher, err = algorithms.New(j.Config.Algorithm, algorithms.Config{
		Space: s.searched, Ties: s.ties, Cells: s.Config.cells(), Epochs: s.Config.Epochs, Seed: s.Seed,
		Settings: s.Config.Settings, Query: s.query,
	})
	if err != nil {
		return nil, err
	}
	if definition.TableOnly {
		if _, err := nb1shot1.Get(s.space.Name()); err != nil {
			return nil, fmt.Errorf("algorithm %s asks a table of NAS-Bench-101 alone: %w", definition.Name, err)
		}
		if !knowsValidation(j.Oracle.Source().Kind) {
			s.warning = rankedByTest
		}
		if err := CheckBudgets(definition, j.Oracle); err != nil {
			return nil, err
		}
		s.record, err = s.describe(definition, nothingTrained)
		return s, err
	}
	if _, ok := s.searcher.(algorithms.Watcher); ok && s.Config.Hessian == hessianOff {
		return nil, fmt.Errorf("hessian is off, and %s decides by it: leave it on", j.Config.Algorithm)
	}
	if FamilyOf(s.Config.Space).ReadsText() {
		return s, s.prepareText(definition)
	}
	return s, s.prepareNet(definition)
}

// nothingTrained is the provenance of a search that asks the table alone.
var nothingTrained = results.Provenance{
	Images: results.NoImages, ImagesDigest: "none", Scale: "table queries", Engine: "none", Precision: "none",
}

// cells is the number of cells of the first network; a language model has one.
func (c Config) cells() int {
	if FamilyOf(c.Space).ReadsText() {
		return 1
	}
	return c.Cells
}

// prepareNet brings images and supernet.
func (s *Search) prepareNet(definition algorithms.Definition) (err error) {
	if s.Train, err = data.Downsample(s.Train, s.Config.Side); err != nil {
		return err
	}
	if s.Test != nil {
		if s.Test, err = data.Downsample(s.Test, s.Config.Side); err != nil {
			return err
		}
	}
	if err := s.Config.checkImages(s.Train); err != nil {
		return err
	}
	from, err := definition.LearnsFrom(s.space, s.Config.Settings)
	if err != nil {
		return err
	}
	s.Engine = engine.Resolve(s.Engine)
	if s.engine, err = engine.Open(s.Engine, s.Threads); err != nil {
		return err
	}
	_, augments := s.engine.(engine.Augmenter)
	if s.queues, err = s.newQueues(from, augments); err != nil {
		return err
	}
	if err := s.Config.checkBatches(s.queues); err != nil {
		return err
	}
	if s.variant, err = definition.Variant(s.Config.Settings); err != nil {
		return err
	}
	if err := s.newNet(algorithms.Stage{Space: s.searched, Cells: s.Config.Cells}); err != nil {
		return err
	}
	images := s.Train.Source
	// The division and the batch are the algorithm's own: figures that compare
	// algorithms at one scale must not part them for that.
	detail := fmt.Sprintf("%s; %d to train, %d to search, batch %d", images.Detail, s.queues.images[0], s.queues.images[1], s.Config.Batch)
	if from.TestSet {
		detail += fmt.Sprintf(", %d to test", s.Test.Len())
	}
	on := results.Provenance{
		Images: images.Kind, ImagesDetail: detail, ImagesDigest: images.Digest,
		Scale: fmt.Sprintf("%d cells, %d channels, side %d, %d images",
			s.Config.Cells, s.Config.Channels, s.Config.Side, s.queues.images[0]+s.queues.images[1]),
		Engine: s.Engine, Precision: s.engine.Precision(), Device: s.engine.Device(),
	}
	s.record, err = s.describe(definition, on)
	return err
}

// newNet makes the network of a stage of the search, with new weights. A search that has no
// stages is one.
func (s *Search) newNet(stage algorithms.Stage) error {
	if s.net != nil {
		s.net = nil
		runtime.GC() // the engine's memory is outside the Go heap
	}
	config := s.Config.network(stage.Space, s.variant, s.Train.Classes)
	config.Cells = stage.Cells
	net, err := supernet.New(config, s.engine)
	if err != nil {
		return err
	}
	var index []uint64
	if stage.Number > 0 {
		index = append(index, uint64(stage.Number))
	}
	net.Initialize(random.New(s.Seed, "weights", index...))
	s.net, s.stage = net, stage.Number
	return nil
}

// enterStage makes the network of the stage that the searcher is in, unless it is there.
func (s *Search) enterStage() error {
	staged, ok := s.searcher.(algorithms.Staged)
	if !ok || staged.Stage().Number == s.stage {
		return nil
	}
	return s.newNet(staged.Stage())
}

// describe adds preset and table to what the run is measured on.
func (s *Search) describe(definition algorithms.Definition, on results.Provenance) (results.Run, error) {
	if FamilyOf(s.Config.Space).HasTable() {
		table := s.Oracle.Source()
		on.Table, on.TableDetail, on.TableDigest = table.Kind, table.Detail, table.Digest
		if t, ok := s.Oracle.(*nasbench.Table); ok {
			on.TableContent = t.Content()
		}
	} else {
		on.Table, on.TableDigest = results.NoTable, results.NoTable
	}
	on.Preset = s.Config.Preset
	config := s.Config
	config.Settings = definition.Recorded(config.Settings)
	return results.NewRun(s.Config.Space, s.Config.Algorithm, s.Seed, on, config)
}

// CheckBudgets tells whether an oracle knows the training budgets that an algorithm asks
// for. The error wraps algorithms.ErrBudgets where it does not.
func CheckBudgets(definition algorithms.Definition, oracle nasbench.Oracle) error {
	if definition.Budgets == nil {
		return nil
	}
	known, err := nasbench.BudgetsOf(context.Background(), oracle)
	if err != nil {
		return err
	}
	return definition.CheckBudgets(oracle.Source().Kind, known)
}

// rankedByTest is the warning of a search whose table does not know the
// validation error of every cell.
const rankedByTest = "ranked by test error: this table does not know the validation error of every cell"

// query is what the table says of a cell after a number of epochs: its validation error,
// or its test error where that is all that is known of every cell, and how long it trains.
func (s *Search) query(a spaces.Architecture, epochs int) (algorithms.Answer, error) {
	spec, ok := nb1shot1.CellOf(a)
	if !ok {
		return algorithms.Answer{}, fmt.Errorf("space %s has no table to ask", a.Space)
	}
	m, err := nasbench.QueryAt(s.Oracle, spec, epochs)
	if err != nil {
		return algorithms.Answer{}, err
	}
	answer := algorithms.Answer{Error: m.TestError, Seconds: m.TrainSeconds}
	if knowsValidation(s.Oracle.Source().Kind) {
		if m.ValidationError == nil {
			return answer, fmt.Errorf("the table has no validation error of %v", a)
		}
		answer.Error = *m.ValidationError
	}
	return answer, nil
}

// knowsValidation tells whether a kind of table has the validation error of
// every cell.
func knowsValidation(kind string) bool {
	return kind != nasbench.KindMeans
}

// lookup brings the oracle's answer into the record's form.
func lookup(kind string, m nasbench.Metrics) results.Lookup {
	l := results.Lookup{
		Source: kind, TestError: &m.TestError, ValidError: m.ValidationError,
		TrainingTime: m.TrainSeconds, Parameters: m.Parameters,
	}
	if m.ErrorBar > 0 {
		l.ErrorBar = &m.ErrorBar
	}
	if m.ValidationBar > 0 {
		l.ValidBar = &m.ValidationBar
	}
	return l
}
