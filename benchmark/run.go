// Package benchmark runs searches: it trains a supernet by an algorithm, looks
// up each epoch's discrete cell, follows the architecture Hessian, and records
// everything in a run directory.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/engine"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Job is one search run.
type Job struct {
	Config Config
	Seed   uint64
	Images *data.Set       // training images at any side that Config.Side divides
	Oracle nasbench.Oracle // answers for the cells
	Engine string          // name of an engine, or engine.Auto
	// Threads of the engine. The record does not depend on it.
	Threads int
	Root    string // folder in which the run directory is made
}

// Progress tells how far a run has come.
type Progress struct {
	Epoch, Epochs int
	Step, Steps   int            // within the epoch
	Last          *results.Epoch // newest record, nil before the first
	Remaining     time.Duration  // estimate, 0 while unknown
}

// Search is a job made ready: images, supernet and searcher, nothing on disk yet.
type Search struct {
	Job
	record   results.Run
	space    *spaces.Space
	ties     spaces.Ties
	engine   engine.Engine
	net      *supernet.Net
	searcher algorithms.Searcher
	decay    float64 // on the Hessian's diagonal

	train, search, validation *data.Loader
	images                    [2]int // in the training and the search half
	writer                    *results.Writer
	last                      *results.Epoch
	clock                     clock
	report                    func(Progress)
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
// record, and returns the run directory. The errors of results.Create say that
// the directory holds this run already. When ctx is done, the run stops at the
// next step boundary, is marked as interrupted, and ctx's error returned.
func (s *Search) Run(ctx context.Context, report func(Progress)) (dir string, err error) {
	s.report = report
	s.writer, err = results.Create(s.Root, s.record)
	if err != nil {
		return "", err
	}
	err = s.run(ctx)
	switch {
	case err == nil:
		err = s.writer.Finish()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = errors.Join(err, s.writer.Interrupt())
	default:
		err = errors.Join(err, s.writer.Fail(err))
	}
	return s.writer.Dir(), err
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
	s.decay = j.Config.Settings["arch-weight-decay"]
	if s.Images, err = data.Downsample(j.Images, j.Config.Side); err != nil {
		return nil, err
	}
	s.Engine = engine.Resolve(j.Engine)
	if s.engine, err = engine.Open(s.Engine, j.Threads); err != nil {
		return nil, err
	}
	if s.net, err = supernet.New(j.Config.network(s.space, data.Classes), s.engine); err != nil {
		return nil, err
	}
	s.net.Initialize(random.New(j.Seed, "weights"))
	s.searcher, err = algorithms.New(j.Config.Algorithm, algorithms.Config{
		Space: s.space, Epochs: j.Config.Epochs, Seed: j.Seed, Settings: j.Config.Settings,
	})
	if err != nil {
		return nil, err
	}
	if err := s.loaders(); err != nil {
		return nil, err
	}
	s.record, err = s.describe()
	return s, err
}

// loaders makes the queues of the training and the search half. Parity
// validates on augmented images too, so the validation is a queue of its own
// over the search half (quirk Q10).
func (s *Search) loaders() error {
	train, search, err := data.Split(s.Images, 0.5, s.Config.Images)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		loader **data.Loader
		name   string
		images []int
	}{
		{&s.train, "train", train}, {&s.search, "search", search}, {&s.validation, "validation", search},
	} {
		*q.loader, err = data.NewLoader(data.Queue{
			Name: q.name, Seed: s.Seed, Set: s.Images, Images: q.images, BatchSize: s.Config.Batch,
			Transform: data.Transform{Normalization: data.DARTSNormalization, Augment: s.Config.Augment},
		})
		if err != nil {
			return err
		}
	}
	s.images = [2]int{len(train), len(search)}
	return nil
}

// describe says what the run is measured on.
func (s *Search) describe() (results.Run, error) {
	images, table := s.Images.Source, s.Oracle.Source()
	return results.NewRun(s.Config.Space, s.Config.Algorithm, s.Seed, results.Provenance{
		Images: images.Kind, ImagesDetail: images.Detail, ImagesDigest: images.Digest,
		Table: tableKind(table.Kind), TableDetail: table.Detail, TableDigest: table.Digest,
		Preset: s.Config.Preset,
		Scale: fmt.Sprintf("%d cells, %d channels, side %d, %d+%d images, batch %d",
			s.Config.Cells, s.Config.Channels, s.Config.Side, s.images[0], s.images[1], s.Config.Batch),
		Engine: s.Engine, Precision: s.engine.Precision(), Device: s.engine.Device(),
	}, s.Config)
}

// tableKind is the name that results and figures have for a kind of table.
func tableKind(kind string) string {
	switch kind {
	case nasbench.KindOnly108, nasbench.KindFull:
		return results.NASBench101
	case nasbench.KindMeans:
		return results.NASBench101Means
	}
	return kind
}

// lookup brings the oracle's answer into the record's form.
func lookup(kind string, m nasbench.Metrics) results.Lookup {
	l := results.Lookup{
		Source: tableKind(kind), TestError: &m.TestError, ValidError: m.ValidationError,
		TrainingTime: m.TrainSeconds, Parameters: m.Parameters,
	}
	if m.ErrorBar > 0 {
		l.ErrorBar = &m.ErrorBar
	}
	return l
}
