package benchmark

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// hessianDefinitions say in the record what λ was taken on.
var hessianDefinitions = map[string]string{
	hessianLast:  "last search batch of the epoch",
	hessianFull:  "first search batches of the epoch",
	hessianFixed: "search batches that are the same in every epoch",
}

// run does the epochs that are left and the marked final evaluation (quirk Q11).
func (s *Search) run(ctx context.Context) error {
	s.announce(s.from, s.begun.steps(), "compiling")
	s.notes = nil
	for epoch := s.from; epoch < s.Config.Epochs && !s.stopped; epoch++ {
		record, stop, err := s.epoch(ctx, epoch)
		if err != nil {
			return err
		}
		s.begun, s.stopped = nil, stop
		if err := s.append(record); err != nil {
			return err
		}
		if err := s.keep(epoch+1, nil, true); err != nil {
			return err
		}
	}
	final, err := s.evaluate(s.last.Epoch + 1)
	if err != nil {
		return err
	}
	final.Final = true
	return s.append(final)
}

// keep keeps the state of the search as it is now, see keeper.keep.
func (s *Search) keep(epochs int, part *begun, write bool) error {
	state, err := s.snapshot(epochs, part)
	if err != nil {
		return err
	}
	return s.keeper.keep(state, write)
}

func (s *Search) append(record results.Epoch) error {
	if record.Warning = s.warning; len(s.devices) > 1 {
		if record.Warning != "" {
			record.Warning += "; "
		}
		record.Warning += "computed in turn on " + strings.Join(s.devices, ", then ") + ", which round differently"
	}
	if err := s.writer.Append(record); err != nil {
		return err
	}
	s.journal.epoch(record)
	s.last = &record
	if record.Final {
		s.progress(record.Epoch, 0)
	} else {
		s.progress(record.Epoch, s.searcher.Steps(s.queues))
	}
	return nil
}

// epoch looks up the architecture as it stands (quirk Q11), then trains, takes
// the Hessian and validates the supernet, in the order of the released code: the
// Hessian moves the running statistics that the validation uses. stop tells that
// the search has had enough.
func (s *Search) epoch(ctx context.Context, epoch int) (record results.Epoch, stop bool, err error) {
	seconds := map[string]float64{}
	phase := func(name string, do func() error) {
		if err != nil {
			return
		}
		if name != "steps" && name != "lookup" { // which takes no time
			s.announce(epoch, s.searcher.Steps(s.queues), name)
		}
		start := time.Now()
		if err = do(); err == nil {
			seconds[name] += time.Since(start).Seconds()
			err = ctx.Err()
		}
	}
	lookup := func() (err error) {
		record, err = s.evaluate(epoch)
		return err
	}
	switch {
	case s.begun != nil && s.begun.Lookup != nil:
		record = *s.begun.Lookup
		maps.Copy(seconds, record.Seconds)
	case s.Config.Evaluate == evaluateBefore:
		phase("lookup", lookup)
	}
	measured := results.Epoch{}
	phase("steps", func() (err error) {
		measured.Training, err = s.steps(ctx, epoch, record, seconds)
		return err
	})
	if relaxed, ok := s.searcher.(algorithms.Relaxed); ok {
		if s.Config.Hessian != hessianOff {
			phase("hessian", func() (err error) {
				measured.Hessian, err = s.hessian(ctx, relaxed, epoch)
				return err
			})
		}
		phase("validation", func() (err error) {
			measured.Search, err = s.validate(ctx, relaxed, epoch)
			return err
		})
		if s.Config.ProjectionBatches > 0 {
			phase("projection", func() (err error) {
				measured.Projection, err = s.projection(ctx, relaxed, epoch)
				return err
			})
		}
	}
	if watcher, ok := s.searcher.(algorithms.Watcher); ok && err == nil && measured.Hessian != nil {
		stop = watcher.EpochDone(measured.Hessian.Eigenvalues)
	}
	if s.Config.Evaluate == evaluateAfter {
		phase("lookup", lookup)
	}
	if err != nil {
		return results.Epoch{}, false, err
	}
	record.Training, record.Hessian, record.Search, record.Projection = measured.Training, measured.Hessian, measured.Search, measured.Projection
	record.Seconds = seconds
	return record, stop, nil
}

// evaluate looks up the architecture that the search would deliver now.
func (s *Search) evaluate(epoch int) (results.Epoch, error) {
	architecture := s.searcher.Architecture()
	record := results.Epoch{Epoch: epoch, Structure: &results.Structure{ParameterFree: s.space.ParameterFree(architecture)}}
	if s.previous != nil {
		changed := architecture.Changed(*s.previous)
		record.Structure.Changed = &changed
	}
	s.previous = &architecture
	if spec, ok := nb1shot1.CellOf(architecture); ok {
		if err := s.lookUp(&record, spec); err != nil {
			return results.Epoch{}, fmt.Errorf("cell of epoch %d: %w", epoch, err)
		}
	} else {
		record.Architecture = &architecture
	}
	if relaxed, ok := s.searcher.(algorithms.Relaxed); ok {
		alphas := relaxed.Alphas()
		for _, t := range s.space.Tensors() {
			record.Alphas = append(record.Alphas, results.Alpha{Name: t.Name, Rows: s.space.Split(t, alphas)})
		}
	}
	return record, nil
}

// lookUp adds a cell of NAS-Bench-101 to the record, its shape and what the table says of
// it.
func (s *Search) lookUp(record *results.Epoch, spec cell.Spec) error {
	hash, err := spec.Hash()
	if err != nil {
		return err
	}
	metrics, err := s.Oracle.Query(spec)
	if err != nil {
		return err
	}
	shape, err := spec.Shape()
	if err != nil {
		return err
	}
	record.Cell = results.Cell{Operations: spec.OpNames(), Hash: hash.String()}
	for _, row := range spec.Matrix {
		bits := make([]int, len(row))
		for i, bit := range row {
			bits[i] = int(bit)
		}
		record.Cell.Matrix = append(record.Cell.Matrix, bits)
	}
	record.Lookup = lookup(s.Oracle.Source().Kind, metrics)
	record.Structure.Width, record.Structure.Depth = shape.Width, shape.Depth
	// Vertex 5 of spaces 1 and 2 is never connected, so what survives are blocks.
	if shape.Vertices > 0 {
		record.Structure.ParameterFreeUsed = float64(shape.Pools) / float64(shape.Vertices)
	}
	return nil
}

// training adds up the weight steps of an epoch.
type training struct {
	Images       int     `json:"images"`
	Correct      int     `json:"correct"`
	Loss         float64 `json:"loss"` // summed over the images
	LearningRate float64 `json:"learning_rate"`
	Epsilon      float64 `json:"epsilon"`
	Seconds      float64 `json:"seconds"` // of an earlier process
}

// steps returns how many steps of the epoch are done.
func (b *begun) steps() int {
	if b == nil {
		return 0
	}
	return b.Steps
}

// steps does the steps of one epoch that are left. The result is nil where none
// trained. record is the lookup before them, if there is one.
func (s *Search) steps(ctx context.Context, epoch int, record results.Epoch, seconds map[string]float64) (*results.Training, error) {
	part := s.begun
	if part == nil {
		part = &begun{}
		s.searcher.StartEpoch(epoch)
	}
	start := time.Now()
	sum := &part.Training
	before := sum.Seconds
	if s.Config.Evaluate == evaluateBefore {
		record.Seconds = seconds
		part.Lookup = &record
	}
	steps := s.searcher.Steps(s.queues)
	// The state before any step is that of the epoch's start, which is kept.
	keep := func(write bool) error {
		if part.Steps == 0 {
			return nil
		}
		sum.Seconds = before + time.Since(start).Seconds()
		return s.keep(epoch, part, write)
	}
	for part.Steps < steps {
		if ctx.Err() != nil {
			return nil, errors.Join(keep(true), ctx.Err())
		}
		if s.keeper.isDue() {
			if err := keep(false); err != nil {
				return nil, err
			}
		}
		info, err := s.searcher.Step(ctx, s.supernet(), s.queues)
		if err != nil {
			return nil, err
		}
		if info.Trained > 0 {
			sum.Images += info.Trained
			sum.Correct += info.Weights.Correct
			sum.Loss += info.Weights.Loss * float64(info.Trained)
			sum.LearningRate, sum.Epsilon = info.LearningRate, info.Epsilon
		}
		part.Steps++
		s.progress(epoch, part.Steps)
	}
	// What follows the steps is done anew when it was interrupted.
	if err := keep(false); err != nil {
		return nil, err
	}
	seconds["steps"] = before // the phase adds its own
	if sum.Images == 0 {
		return nil, nil
	}
	return &results.Training{
		Loss: sum.Loss / float64(sum.Images), Accuracy: float64(sum.Correct) / float64(sum.Images),
		LearningRate: sum.LearningRate, Epsilon: sum.Epsilon,
	}, nil
}

// supernet is the algorithm's, or nil if it has none.
func (s *Search) supernet() algorithms.Supernet {
	if s.net == nil {
		return nil
	}
	return s.net
}

// hessian takes the spectrum of the architecture Hessian, as released on the
// last search batch of the epoch (quirk Q8). A mean over several batches, or
// over several samples of an algorithm that draws its relaxation (quirk Q14), is
// a mean of matrices.
func (s *Search) hessian(ctx context.Context, relaxed algorithms.Relaxed, epoch int) (*results.Hessian, error) {
	batches := s.Config.HessianBatches
	if s.Config.Hessian == hessianLast {
		batches = 1
	}
	draws, decay := relaxed.Curvature()
	if !s.Config.HessianDecay {
		decay = 0
	}
	total := mat.NewSymDense(s.space.Dim(), nil)
	images := 0
	for i := range batches * draws {
		var batch data.Batch
		switch s.Config.Hessian {
		case hessianLast:
			batch = s.queues.Batch(algorithms.Search, epoch, s.queues.Len(algorithms.Train)-1)
		case hessianFull:
			batch = s.queues.Batch(algorithms.Search, epoch, i/draws)
		case hessianFixed:
			batch = s.queues.Batch(algorithms.Search, 0, i/draws)
		}
		h, _, err := algorithms.Hessian(ctx, s.net, relaxed.Mixing(algorithms.ForHessian, i), batch, decay)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		h.ScaleSym(1/float64(batches*draws), h)
		total.AddSym(total, h)
		if i%draws == 0 {
			images += batch.N
		}
	}
	spectrum, err := algorithms.NewSpectrum(total)
	if err != nil {
		return nil, fmt.Errorf("epoch %d: %w", epoch, err)
	}
	definition := hessianDefinitions[s.Config.Hessian] + ", batch statistics"
	if s.Config.HessianDecay {
		definition += ", arch weight decay on the diagonal"
	}
	reported := spectrum.Reported()
	if s.Config.HessianReport == reportNorm {
		reported, definition = spectrum.Norm(), definition+", spectral norm"
	} else {
		definition += ", |largest algebraic eigenvalue|"
	}
	if batches > 1 {
		definition = fmt.Sprintf("mean over %d %s", batches, definition)
	}
	if draws > 1 {
		definition = fmt.Sprintf("mean over %d draws, %s", draws, definition)
	}
	return &results.Hessian{
		Eigenvalues: spectrum, Reported: reported, SpectralNorm: spectrum.Norm(), Min: spectrum.Min(),
		Decay: decay, WithoutDecay: spectrum.Max() - decay, Trace: spectrum.Trace() - decay*float64(len(spectrum)),
		Batch: images, Definition: definition,
	}, nil
}

// tally adds up passes.
type tally struct {
	loss            float64
	images, correct int
}

func (t *tally) add(b data.Batch, p supernet.Pass) {
	t.images += b.N
	t.correct += p.Correct
	t.loss += p.Loss * float64(b.N)
}

func (t *tally) score() results.Score {
	return results.Score{Loss: t.loss / float64(t.images), Accuracy: float64(t.correct) / float64(t.images)}
}

// validate scores the supernet on the whole search part by running statistics.
func (s *Search) validate(ctx context.Context, relaxed algorithms.Relaxed, epoch int) (*results.Score, error) {
	var all tally
	var batch data.Batch
	for k := range s.queues.validation.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.queues.validation.Batch(&batch, epoch, k)
		pass, err := s.net.Forward(batch, relaxed.Mixing(algorithms.ForValidation, k).Weights, supernet.RunningStatistics)
		if err != nil {
			return nil, fmt.Errorf("validation of epoch %d: %w", epoch, err)
		}
		all.add(batch, pass)
	}
	score := all.score()
	return &score, nil
}

// projection measures the projection gap. It leaves the running statistics as
// they are.
func (s *Search) projection(ctx context.Context, relaxed algorithms.Relaxed, epoch int) (*results.Projection, error) {
	statistics := make([]float64, s.net.StatisticsCount())
	s.net.ReadStatistics(statistics)
	defer s.net.WriteStatistics(statistics)

	cell := s.space.DiscreteWeights(relaxed.Architecture())
	discrete := slices.Repeat(cell, s.net.Config().MixingLen()/len(cell))
	n := s.queues.validation.Len()
	var soft, hard tally
	var batch data.Batch
	for k := range min(s.Config.ProjectionBatches, n) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.queues.validation.Batch(&batch, epoch, k)
		// Beyond the draws of the validation.
		weights := relaxed.Mixing(algorithms.ForValidation, n+k).Weights
		for _, side := range []struct {
			*tally
			mixing []float64
		}{{&soft, weights}, {&hard, discrete}} {
			pass, err := s.net.Forward(batch, side.mixing, supernet.BatchStatistics)
			if err != nil {
				return nil, fmt.Errorf("projection gap of epoch %d: %w", epoch, err)
			}
			side.add(batch, pass)
		}
	}
	p := &results.Projection{Relaxed: soft.score(), Discrete: hard.score(), Images: soft.images}
	p.Gap = p.Relaxed.Accuracy - p.Discrete.Accuracy
	return p, nil
}

// progress reports a step or a record.
func (s *Search) progress(epoch, step int) {
	if s.report == nil {
		return
	}
	s.left = s.clock.remaining(epoch, step, s.searcher.Steps(s.queues), s.Config.Epochs)
	s.announce(epoch, step, "")
}

// announce reports what is under way.
func (s *Search) announce(epoch, step int, doing string) {
	if s.report == nil {
		return
	}
	if s.net == nil { // nothing but the table is asked
		doing = ""
	}
	s.report(Progress{
		Epoch: epoch, Epochs: s.Config.Epochs, Step: step, Steps: s.searcher.Steps(s.queues), Doing: doing, Last: s.last,
		Remaining: s.left, Notes: s.notes,
	})
}
