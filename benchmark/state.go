package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// The checkpoints in a run directory: the newest state of the search that was
// written, and the one before it, which serves where the newest is damaged.
const (
	CheckpointFile         = checkpoint.File
	PreviousCheckpointFile = checkpoint.PreviousFile
)

// checkpointMeta is what a checkpoint says of itself.
type checkpointMeta struct {
	ConfigHash string `json:"config_hash"` // of the run it belongs to
	Seed       uint64 `json:"seed"`
	Epochs     int    `json:"epochs"` // done
	// The members below are missing in a checkpoint from before runs could be
	// continued.
	Record   *results.Mark        `json:"record,omitempty"`   // the part of the record that belongs to it
	Stopped  bool                 `json:"stopped,omitempty"`  // the search has ended itself after these epochs
	Previous *spaces.Architecture `json:"previous,omitempty"` // of the newest lookup
	Begun    *begun               `json:"begun,omitempty"`    // nil between two epochs
	Devices  []string             `json:"devices,omitempty"`  // that computed it, in turn
}

// begun is how far an epoch has come.
type begun struct {
	Steps    int            `json:"steps"` // done, at least 1
	Lookup   *results.Epoch `json:"lookup,omitempty"`
	Training training       `json:"training"`
	// Queries counts those of the epoch so far; nil where the table is not asked.
	Queries *results.Queries `json:"queries,omitempty"`
}

// vector is a part of the supernet that a checkpoint holds.
type vector struct {
	n     int
	read  func([]float64)
	write func([]float64)
}

// vectors lists those of the supernet, by name; none where there is no supernet.
func (s *Search) vectors() map[string]vector {
	net := s.supernet()
	if net == nil {
		return nil
	}
	all := map[string]vector{
		"weights":    {net.ParameterCount(), net.ReadParameters, net.WriteParameters},
		"statistics": {net.StatisticsCount(), net.ReadStatistics, net.WriteStatistics},
	}
	if s.net != nil { // a language model has none
		all["momentum"] = vector{s.net.ParameterCount(), s.net.ReadMomentum, s.net.WriteMomentum}
	}
	return all
}

// snapshot is the state of the search: after a number of epochs, with part of the
// next one or not.
func (s *Search) snapshot(epochs int, part *begun) (*checkpoint.State, error) {
	mark := s.writer.Mark()
	meta, err := json.Marshal(checkpointMeta{
		ConfigHash: s.record.ConfigHash, Seed: s.Seed, Epochs: epochs,
		Record: &mark, Stopped: s.stopped, Previous: s.previous, Begun: part, Devices: s.devices,
	})
	if err != nil {
		return nil, err
	}
	searcher, err := s.searcher.State()
	if err != nil {
		return nil, err
	}
	state := checkpoint.State{Meta: meta, Blobs: map[string][]byte{"searcher": searcher}, Vectors: map[string]checkpoint.Vector{}}
	single := s.engine != nil && s.engine.Precision() != "float64"
	for name, v := range s.vectors() {
		values := make([]float64, v.n)
		v.read(values)
		state.Vectors[name] = checkpoint.Vector{Values: values, Single: single}
	}
	if s.language != nil {
		var streams []savedStream
		for _, stream := range s.language.Streams() {
			saved := savedStream{stream.Name, stream.Epoch, stream.Number}
			before, after := saved.vectors()
			state.Vectors[before] = checkpoint.Vector{Values: stream.Before, Single: single}
			state.Vectors[after] = checkpoint.Vector{Values: stream.After, Single: single}
			streams = append(streams, saved)
		}
		if state.Blobs["streams"], err = json.Marshal(streams); err != nil {
			return nil, err
		}
	}
	if s.net != nil {
		if touched := s.net.ReadTouched(); touched != nil {
			state.Blobs["touched"] = make([]byte, len(touched))
			for i, t := range touched {
				if t {
					state.Blobs["touched"][i] = 1
				}
			}
		}
	}
	return &state, nil
}

// patience is for how long an interrupt waits for the step at work to end before
// the newest kept state is written in its stead.
const patience = 700 * time.Millisecond

// ErrNoCheckpoint reports a run directory without a checkpoint: of a run before
// its first epoch was done, or made by an older program.
var ErrNoCheckpoint = errors.New("no checkpoint")

// ErrOtherRun reports a run directory that is not of this search.
var ErrOtherRun = errors.New("another run")

// loadCheckpoint restores the search from the first of some checkpoints of a run
// directory that is whole, fits the search, and that accept takes. notes say why
// one before it was passed over. The directory stays as it is.
func (s *Search) loadCheckpoint(dir string, names []string, accept func(checkpointMeta) error) (meta checkpointMeta, notes []string, err error) {
	read := func(path string) error {
		state, err := checkpoint.Load(path)
		if err != nil {
			return err
		}
		meta = checkpointMeta{}
		if err := json.Unmarshal(state.Meta, &meta); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if meta.ConfigHash != s.record.ConfigHash || meta.Seed != s.Seed {
			return fmt.Errorf("%s: the checkpoint is of %w: configuration %.8s, seed %d, not %.8s, %d",
				path, ErrOtherRun, meta.ConfigHash, meta.Seed, s.record.ConfigHash, s.Seed)
		}
		err = accept(meta)
		if err == nil {
			err = s.restore(state)
		}
		if err == nil { // what the counts may be depends on the state
			err = s.check(meta)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
	var errs []error
	for _, name := range names {
		err := read(filepath.Join(dir, name))
		switch {
		case err == nil:
			for _, passed := range errs {
				notes = append(notes, fmt.Sprintf("%v; the checkpoint before it serves", passed))
			}
			return meta, notes, nil
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: %w", dir, ErrNoCheckpoint))
	}
	return checkpointMeta{}, nil, errors.Join(errs...)
}

// Restore brings a prepared search to where the newest checkpoint of its run
// directory left it, and returns how many epochs that had done. The directory
// stays as it is.
func (s *Search) Restore(dir string) (epochs int, err error) {
	meta, _, err := s.loadCheckpoint(dir, []string{CheckpointFile}, func(checkpointMeta) error { return nil })
	return meta.Epochs, err
}

// check verifies what a checkpoint says of itself against the search, whose state
// is restored.
func (s *Search) check(meta checkpointMeta) error {
	if n := meta.Epochs; n < 0 || n > s.Config.Epochs {
		return fmt.Errorf("epochs: it says that %d are done, the run has %d", n, s.Config.Epochs)
	}
	if _, watches := s.searcher.(algorithms.Watcher); meta.Stopped && !watches {
		return fmt.Errorf("stopped: %s never ends a search", s.Config.Algorithm)
	}
	if meta.Previous != nil {
		if err := meta.Previous.Check(); err != nil {
			return fmt.Errorf("previous: %w", err)
		}
	}
	if meta.Begun == nil {
		return nil
	}
	if err := s.checkBegun(meta); err != nil {
		return fmt.Errorf("begun: %w", err)
	}
	return nil
}

// checkBegun verifies how far an epoch is said to have come.
func (s *Search) checkBegun(meta checkpointMeta) error {
	part := *meta.Begun
	if meta.Epochs == s.Config.Epochs || meta.Stopped {
		return errors.New("no epoch comes after the last one")
	}
	if s.words != nil {
		s.words.epoch = meta.Epochs
	}
	if n := s.searcher.Steps(s.batches()); part.Steps < 1 || part.Steps > n {
		return fmt.Errorf("%d steps are done, the epoch has %d", part.Steps, n)
	}
	sum := part.Training
	if sum.Images < 0 || sum.Correct < 0 || sum.Correct > sum.Images {
		return fmt.Errorf("it counts %d right images of %d", sum.Correct, sum.Images)
	}
	if (part.Lookup != nil) != (s.Config.Evaluate == evaluateBefore) {
		return fmt.Errorf("the cell is looked up %s an epoch", s.Config.Evaluate)
	}
	if part.Lookup == nil {
		return nil
	}
	if part.Lookup.Epoch != meta.Epochs || part.Lookup.Final {
		return fmt.Errorf("the lookup is of epoch %d, want that of epoch %d", part.Lookup.Epoch, meta.Epochs)
	}
	if err := part.Lookup.Check(); err != nil {
		return fmt.Errorf("lookup: %w", err)
	}
	if part.Lookup.Architecture != nil {
		return nil
	}
	return checkHash(part.Lookup.Cell)
}

// restore takes the state over.
func (s *Search) restore(state checkpoint.State) error {
	if _, ok := s.searcher.(algorithms.Staged); ok { // whose state tells which network the vectors are of
		if err := s.searcher.SetState(state.Blobs["searcher"]); err != nil {
			return fmt.Errorf("searcher: %w", err)
		}
		if err := s.enterStage(); err != nil {
			return err
		}
	}
	for name, v := range s.vectors() {
		if n := len(state.Vectors[name].Values); n != v.n {
			return fmt.Errorf("%s has %d numbers, the supernet %d", name, n, v.n)
		}
	}
	var streams []savedStream
	if s.language != nil {
		if err := json.Unmarshal(state.Blobs["streams"], &streams); err != nil {
			return fmt.Errorf("streams: %w", err)
		}
	}
	var touched []bool
	for _, b := range state.Blobs["touched"] {
		touched = append(touched, b == 1)
	}
	if s.net != nil && len(touched) != len(s.net.ReadTouched()) {
		return fmt.Errorf("it has %d touched flags, one for each weight tensor, want %d", len(touched), len(s.net.ReadTouched()))
	}
	if s.language != nil {
		err := s.language.SetStreams(streamsOf(streams, func(name string) []float64 { return state.Vectors[name].Values }))
		if err != nil {
			return err
		}
	}
	if err := s.searcher.SetState(state.Blobs["searcher"]); err != nil {
		return fmt.Errorf("searcher: %w", err)
	}
	for name, v := range s.vectors() {
		v.write(state.Vectors[name].Values)
	}
	if s.net != nil {
		s.net.WriteTouched(touched)
	}
	return nil
}

// errUncontinuable reports a checkpoint from before runs could be continued.
var errUncontinuable = errors.New("the checkpoint is of an older program and does not say which record it belongs to")

// resume takes up the unfinished run in dir where its newest whole checkpoint
// left it, and cuts off the records beyond that, which will be made again. Nothing
// of the directory changes before all of the state is restored and fits the record.
func (s *Search) resume(dir string) (err error) {
	if s.writer, err = results.Reopen(dir, s.record); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.writer.Close())
		}
	}()
	meta, notes, err := s.loadCheckpoint(dir, []string{CheckpointFile, PreviousCheckpointFile}, func(meta checkpointMeta) error {
		if meta.Record == nil {
			return errUncontinuable
		}
		records, err := s.writer.Before(*meta.Record)
		if err != nil {
			return err
		}
		if n := len(records); n != meta.Epochs || n > 0 && records[n-1].Final {
			return fmt.Errorf("epochs: it says that %d are done, the record before its mark has %d", meta.Epochs, n)
		}
		return nil
	})
	fresh := errors.Is(err, ErrNoCheckpoint)
	if fresh {
		// The first checkpoint comes after the first record.
		mark := results.Start()
		meta.Record, err = &mark, nil
		if n, err := results.Read(dir); err != nil {
			return err
		} else if len(n.Epochs) > 1 {
			return fmt.Errorf("%s has %d records: %w", dir, len(n.Epochs), ErrNoCheckpoint)
		}
	}
	if err != nil {
		return err
	}
	records, err := s.writer.Rewind(*meta.Record)
	if err != nil {
		return err
	}
	if err := durable.Clean(filepath.Join(dir, CheckpointFile)); err != nil {
		return err
	}
	if len(records) > 0 {
		s.last = &records[len(records)-1]
	}
	s.notes = append(s.notes, notes...)
	if fresh {
		s.notes = append(s.notes, "the run was stopped before its first checkpoint: it starts again")
		return nil
	}
	s.from, s.begun, s.stopped, s.previous = meta.Epochs, meta.Begun, meta.Stopped, meta.Previous
	here := s.devices[0]
	if s.devices = meta.Devices; len(s.devices) == 0 || s.devices[len(s.devices)-1] != here {
		s.devices = append(s.devices, here)
	}
	where := fmt.Sprintf("the run continues after %d of %d epochs", s.from, s.Config.Epochs)
	if s.begun != nil {
		where = fmt.Sprintf("the run continues in epoch %d of %d after step %d", s.from, s.Config.Epochs, s.begun.Steps)
	}
	s.notes = append(s.notes, where)
	return nil
}

// Recorded returns the job that made a run directory, without images, table,
// threads and folder.
func Recorded(run results.Run) (Job, error) {
	job := Job{Seed: run.Seed, Engine: run.Provenance.Engine}
	if err := json.Unmarshal(run.Config, &job.Config); err != nil {
		return Job{}, fmt.Errorf("configuration of the run: %w", err)
	}
	job.Config.Space, job.Config.Algorithm, job.Config.Preset = run.Space, run.Algorithm, run.Provenance.Preset
	return job, nil
}

// Landscape restores the search from the checkpoint of its run directory and
// scores the supernet around its alphas, see [Landscape], on the first batches of
// the search part, which are not augmented. Where an algorithm samples or
// binarises, the softmax of the alphas stands for it, in all cells.
func (s *Search) Landscape(ctx context.Context, dir string, batches int, o LandscapeOptions) (results.Landscape, error) {
	if _, err := s.Restore(dir); err != nil {
		return results.Landscape{}, err
	}
	relaxed, ok := s.searcher.(algorithms.Relaxed)
	if s.language != nil {
		return results.Landscape{}, fmt.Errorf("no landscape on space %s: %w", s.Config.Space, errNoSupernetOfImages)
	}
	if !ok || s.net == nil {
		return results.Landscape{}, fmt.Errorf("%s has no architecture parameters, so there is no landscape around them", s.Config.Algorithm)
	}
	var held []data.Batch
	for k := range min(batches, s.queues.Len(algorithms.Held)) {
		b := s.queues.Batch(algorithms.Held, 0, k)
		b.Images, b.Labels = slices.Clone(b.Images), slices.Clone(b.Labels)
		held = append(held, b)
	}
	space := relaxed.Space()
	if copies := s.net.Config().MixingLen() / space.Dim(); copies > 1 {
		o.Relax = func(alphas []float64) algorithms.Mixing {
			m := algorithms.Softmax(space, alphas)
			m.Weights = slices.Repeat(m.Weights, copies)
			m.Probabilities = m.Weights
			return m
		}
	}
	return abandon.Do(ctx, patience, func() (l results.Landscape, err error) {
		defer engine.Catch(&err)
		return Landscape(ctx, s.net, space, relaxed.Alphas(), held, o)
	})
}
