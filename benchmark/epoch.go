package benchmark

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

// hessianDefinitions say in the record what λ was taken on.
var hessianDefinitions = map[string]string{
	hessianLast:  "last search batch of the epoch",
	hessianExact: "last search batch of the epoch",
	hessianFull:  "first search batches of the epoch",
	hessianFixed: "search batches that are the same in every epoch",
}

// textHessian is what it is taken on where the network reads words, from the hidden states
// before it.
const textHessian = "last search passage of the epoch, without dropout"

// run does the epochs that are left and the marked final evaluation (quirks Q11, C4).
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
		// An epoch of table queries takes less time than the disk for a checkpoint. The first
		// must be there, as a run without one has one record at most; others wait until they
		// are due or the run is stopped.
		first, last := epoch == s.from, epoch+1 == s.Config.Epochs
		if err := s.keep(epoch+1, nil, s.trains() || first || last); err != nil {
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

// keep keeps the state of the search as it is now, see checkpoint.Keeper.
func (s *Search) keep(epochs int, part *begun, write bool) error {
	state, err := s.snapshot(epochs, part)
	if err != nil {
		return err
	}
	return s.keeper.Keep(state, write)
}

func (s *Search) append(record results.Epoch) error {
	var warnings []string
	if s.warning != "" {
		warnings = append(warnings, s.warning)
	}
	if _, relaxed := s.searcher.(algorithms.Relaxed); relaxed && record.Language != nil && record.Language.Validation == nil {
		warnings = append(warnings, exploded)
	}
	if len(s.devices) > 1 {
		warnings = append(warnings, "computed in turn on "+strings.Join(s.devices, ", then ")+", which round differently")
	}
	record.Warning = strings.Join(warnings, "; ")
	if err := s.writer.Append(record); err != nil {
		return err
	}
	s.journal.epoch(record)
	s.last = &record
	if record.Final {
		s.progress(record.Epoch, 0)
	} else {
		s.progress(record.Epoch, s.searcher.Steps(s.batches()))
	}
	return nil
}

// epoch looks up the architecture as it stands (quirk Q11), then trains, takes
// the Hessian and validates the supernet, in the order of the released code: the
// Hessian moves the running statistics that the validation uses. stop tells that
// the search has had enough.
func (s *Search) epoch(ctx context.Context, epoch int) (record results.Epoch, stop bool, err error) {
	if s.words != nil {
		s.words.epoch = epoch
	}
	seconds := map[string]float64{}
	phase := func(name string, do func() error) {
		if err != nil {
			return
		}
		if name != "steps" && name != "lookup" { // which takes no time
			s.announce(epoch, s.searcher.Steps(s.batches()), name)
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
		measured.Training, measured.Queries, err = s.steps(ctx, epoch, record, seconds)
		measured.Training, measured.Language = s.asText(measured.Training)
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
			if s.language != nil {
				measured.Language.Validation, err = s.validateText(relaxed)
				return err
			}
			measured.Search, err = s.validate(ctx, relaxed, epoch)
			return err
		})
		if s.Config.ProjectionBatches > 0 {
			phase("projection", func() (err error) {
				if s.language != nil {
					measured.Language.Projection, err = s.projectText(ctx, relaxed)
					return err
				}
				measured.Projection, err = s.projection(ctx, relaxed, epoch)
				return err
			})
		}
	}
	if s.Config.Correlation > 0 && s.net != nil {
		phase("correlation", func() (err error) {
			measured.Correlation, err = s.correlation(ctx)
			return err
		})
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
	record.Correlation, record.Language = measured.Correlation, measured.Language
	record.Queries = measured.Queries
	record.Seconds = seconds
	return record, stop, nil
}

// evaluate looks up the architecture that the search would deliver now.
func (s *Search) evaluate(epoch int) (results.Epoch, error) {
	architecture := s.searcher.Architecture()
	record := results.Epoch{Epoch: epoch, Structure: &results.Structure{}}
	measure(record.Structure, architecture)
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
		space := relaxed.Space()
		for _, t := range space.Tensors() {
			record.Alphas = append(record.Alphas, results.Alpha{Name: t.Name, Rows: space.Split(t, alphas), Kept: s.kept(space, t)})
		}
	}
	return record, nil
}

// kept lists for each row of a tensor the candidates of the registered space that are left
// in a space derived from it; nil where all are.
func (s *Search) kept(space *spaces.Space, t spaces.Tensor) (kept [][]int) {
	whole := s.space.Rows()
	some := false
	for i, row := range space.Rows() {
		if row.Offset < t.Offset || row.End() > t.Offset+t.Size {
			continue
		}
		if i >= len(whole) { // rows that the algorithm adds
			return nil
		}
		var left []int
		for k, c := range whole[i].Candidates {
			if slices.ContainsFunc(row.Candidates, func(other spaces.Candidate) bool { return other.Name == c.Name }) {
				left = append(left, k)
			}
		}
		some = some || len(left) < len(whole[i].Candidates)
		kept = append(kept, left)
	}
	if !some {
		return nil
	}
	return kept
}

// measure sets what can be told of an architecture without its cell: the share of its
// operations without parameters; in the DARTS spaces also the shape, all of the normal cell.
func measure(s *results.Structure, a spaces.Architecture) {
	if space, err := spaces.Get(a.Space); err == nil {
		s.ParameterFree = space.ParameterFree(a)
	}
	if g, ok := rnn.GenotypeOf(a); ok {
		s.Depth = g.Depth()
	}
	if g, ok := darts.GenotypeOf(a); ok {
		s.ParameterFreeUsed = s.ParameterFree // every node is part of the output
		s.Width, s.Depth = g.Width(darts.Normal), g.Depth(darts.Normal)
	}
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
	record.Cell = results.NewCell(spec, hash)
	record.Lookup = lookup(s.Oracle.Source().Kind, metrics)
	if record.Structure == nil {
		return nil
	}
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

// exploded is what a record says whose validation loss has no place in it.
const exploded = "the supernet exploded on the validation text: by running statistics nothing bounds the recurrence"

// steps returns how many steps of the epoch are done.
func (b *begun) steps() int {
	if b == nil {
		return 0
	}
	return b.Steps
}

// steps does the steps of one epoch that are left. The first result is nil where none
// trained, the second where none asked the table. record is the lookup before them, if
// there is one.
func (s *Search) steps(ctx context.Context, epoch int, record results.Epoch, seconds map[string]float64) (*results.Training, *results.Queries, error) {
	part := s.begun
	if part == nil {
		part = &begun{}
		s.searcher.StartEpoch(epoch)
		if err := s.enterStage(); err != nil {
			return nil, nil, err
		}
	}
	start := time.Now()
	sum := &part.Training
	before := sum.Seconds
	if s.Config.Evaluate == evaluateBefore {
		record.Seconds = seconds
		part.Lookup = &record
	}
	steps := s.searcher.Steps(s.batches())
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
			return nil, nil, errors.Join(keep(true), ctx.Err())
		}
		if s.keeper.Due() {
			if err := keep(false); err != nil {
				return nil, nil, err
			}
		}
		info, err := s.searcher.Step(ctx, s.supernet(), s.batches())
		if err != nil {
			return nil, nil, err
		}
		if info.Trained > 0 {
			sum.Images += info.Trained
			sum.Correct += info.Weights.Correct
			sum.Loss += info.Weights.Loss * float64(info.Trained)
			sum.LearningRate, sum.Epsilon = info.LearningRate, info.Epsilon
			if s.words != nil {
				sum.LearningRate /= s.words.Training(epoch, part.Steps).Text.Rate
			}
		}
		if info.Trial != nil {
			if err := s.count(part, *info.Trial); err != nil {
				return nil, nil, err
			}
		}
		part.Steps++
		s.progress(epoch, part.Steps)
	}
	// What follows the steps is done anew when it was interrupted.
	if err := keep(false); err != nil {
		return nil, nil, err
	}
	seconds["steps"] = before // the phase adds its own
	if sum.Images == 0 {
		return nil, part.Queries, nil
	}
	return &results.Training{
		Loss: sum.Loss / float64(sum.Images), Accuracy: float64(sum.Correct) / float64(sum.Images),
		LearningRate: sum.LearningRate, Epsilon: sum.Epsilon,
	}, part.Queries, nil
}

// count adds a training that the table was asked for to the part of an epoch.
func (s *Search) count(part *begun, t algorithms.Trial) error {
	if part.Queries == nil {
		var before *results.Queries
		if s.last != nil {
			before = s.last.Queries
		}
		part.Queries = before.Next()
	}
	q := part.Queries
	q.Add(t.Budget, t.Workers, t.Clock)
	if !t.Incumbent {
		return nil
	}
	spec, ok := nb1shot1.CellOf(t.Architecture)
	if !ok {
		return fmt.Errorf("space %s has no table to ask", t.Architecture.Space)
	}
	var found results.Epoch
	if err := s.lookUp(&found, spec); err != nil {
		return err
	}
	q.Incumbents = append(q.Incumbents, results.Incumbent{
		Trainings: q.Trainings, Epochs: q.Epochs, Seconds: q.Seconds, Budget: t.Budget, Cell: found.Cell, Lookup: found.Lookup,
	})
	return nil
}

// supernet is the algorithm's, or nil if it has none.
func (s *Search) supernet() algorithms.Supernet {
	switch {
	case s.language != nil:
		return s.language
	case s.net != nil:
		return s.net
	}
	return nil
}

// trains tells whether the algorithm trains a supernet.
func (s *Search) trains() bool { return s.supernet() != nil }

// batches are what it learns from.
func (s *Search) batches() algorithms.Batches {
	if s.words != nil {
		return s.words
	}
	return s.queues
}

// asText brings the weight steps of an epoch on a text into their form, and returns those on
// images as they are.
func (s *Search) asText(t *results.Training) (*results.Training, *results.Language) {
	if s.language == nil {
		return t, nil
	}
	l := &results.Language{}
	if t != nil {
		l.Training, l.LearningRate, l.Epsilon = results.NewPredicted(t.Loss, 0), t.LearningRate, t.Epsilon
	}
	return nil, l
}

// hessian takes the spectrum of the architecture Hessian, as released on the
// last search batch of the epoch (quirk Q8). A mean over several batches, or
// over several samples of an algorithm that draws its relaxation (quirk Q14), is
// a mean of matrices. In spaces of many directions only both ends are computed, unless all
// are asked for.
func (s *Search) hessian(ctx context.Context, relaxed algorithms.Relaxed, epoch int) (*results.Hessian, error) {
	batches := 1
	if s.Config.averagesHessian() { // see checkBatches
		batches = min(s.Config.HessianBatches, s.batches().Len(algorithms.Search))
	}
	draws, decay := relaxed.Curvature()
	if !s.Config.HessianDecay {
		decay = 0
	}
	h := &results.Hessian{Decay: decay}
	s.supernet().SetDraws(s.Seed, "hessian", uint64(epoch))
	spectrum := algorithms.Spectrum(nil)
	var err error
	// Where a relaxation is drawn, several draws take the whole matrix.
	if many := algorithms.FreeDirections(relaxed.Space()) > maxExact; many && draws == 1 && s.Config.Hessian != hessianExact {
		spectrum, err = s.ends(ctx, relaxed, epoch, batches, h)
	} else {
		spectrum, err = s.wholeSpectrum(ctx, relaxed, epoch, batches, draws, h)
	}
	if err != nil {
		return nil, fmt.Errorf("epoch %d: %w", epoch, err)
	}
	h.Eigenvalues, h.SpectralNorm, h.Min = spectrum, spectrum.Norm(), spectrum.Min()
	h.WithoutDecay = spectrum.Max() - decay
	if len(spectrum) == relaxed.Space().Dim() {
		h.Trace = new(spectrum.Trace() - decay*float64(len(spectrum)))
	}
	h.Definition = hessianDefinitions[s.Config.Hessian]
	if s.words != nil {
		h.Definition = textHessian
	}
	h.Definition += ", batch statistics"
	if s.Config.HessianDecay {
		h.Definition += ", arch weight decay on the diagonal"
	}
	h.Reported = s.reported(spectrum)
	switch s.Config.HessianReport {
	case reportNorm:
		h.Definition += ", spectral norm"
	case reportSigned:
		h.Definition += ", largest algebraic eigenvalue"
	default:
		h.Definition += ", |largest algebraic eigenvalue|"
	}
	if batches > 1 {
		h.Definition = fmt.Sprintf("mean over %d %s", batches, h.Definition)
	}
	if draws > 1 {
		h.Definition = fmt.Sprintf("mean over %d draws, %s", draws, h.Definition)
	}
	return h, nil
}

// reported is λ of a spectrum, as HessianReport says.
func (s *Search) reported(spectrum algorithms.Spectrum) float64 {
	switch s.Config.HessianReport {
	case reportNorm:
		return spectrum.Norm()
	case reportSigned:
		return spectrum.Max()
	}
	return spectrum.Reported()
}

// hessianBatch is batch i of those that the Hessian of an epoch is taken on.
func (s *Search) hessianBatch(epoch, i int) data.Batch {
	switch s.Config.Hessian {
	case hessianFull:
		return s.batches().Batch(algorithms.Search, epoch, i)
	case hessianFixed:
		return s.batches().Batch(algorithms.Search, 0, i)
	}
	return s.batches().Batch(algorithms.Search, epoch, s.batches().Len(algorithms.Train)-1)
}

// wholeSpectrum takes the mean Hessian over some batches and draws, and λ of each of several
// batches, which it is the mean over the draws of.
func (s *Search) wholeSpectrum(ctx context.Context, relaxed algorithms.Relaxed, epoch, batches, draws int, into *results.Hessian) (algorithms.Spectrum, error) {
	total := mat.NewSymDense(relaxed.Space().Dim(), nil)
	lambdas := make([]float64, batches)
	for i := range batches * draws {
		batch := s.hessianBatch(epoch, i/draws)
		relaxed.Prepare(s.supernet(), algorithms.ForHessian, batch.N)
		h, spectrum, err := algorithms.Hessian(ctx, s.supernet(), relaxed.Mixing(algorithms.ForHessian, i), batch, into.Decay)
		if err != nil {
			return nil, err
		}
		lambdas[i/draws] += s.reported(spectrum) / float64(draws)
		h.ScaleSym(1/float64(batches*draws), h)
		total.AddSym(total, h)
		if i%draws == 0 {
			into.Batch += batch.N
		}
	}
	if batches > 1 {
		into.Spread = results.NewSpread(lambdas)
	}
	return algorithms.NewSpectrum(total)
}

// ends finds both ends of the spectrum that wholeSpectrum takes, and λ of each of several
// batches.
func (s *Search) ends(ctx context.Context, relaxed algorithms.Relaxed, epoch, batches int, into *results.Hessian) (algorithms.Spectrum, error) {
	into.Method = results.Lanczos
	mixing := relaxed.Mixing(algorithms.ForHessian, 0)
	start := func(index ...uint64) *rand.Rand {
		return random.New(s.Seed, "hessian/start", append([]uint64{uint64(epoch)}, index...)...)
	}
	if batches == 1 {
		batch := s.hessianBatch(epoch, 0)
		relaxed.Prepare(s.supernet(), algorithms.ForHessian, batch.N)
		found, err := algorithms.Lanczos(ctx, s.supernet(), mixing, batch, into.Decay, start(), lanczosTolerance)
		if err != nil {
			return nil, err
		}
		into.Batch, into.Products, into.Residual = batch.N, found.Products, found.Residual
		return found.Spectrum, nil
	}

	// All passes over a batch have the same noise and masks, and so the same Hessian.
	prepare := func(i int) data.Batch {
		batch := s.hessianBatch(epoch, i)
		relaxed.Prepare(s.supernet(), algorithms.ForHessian, batch.N)
		s.supernet().SetDraws(s.Seed, "hessian", uint64(epoch), uint64(i))
		return batch
	}
	lambdas := make([]float64, batches)
	for i := range lambdas {
		batch := prepare(i)
		found, err := algorithms.Lanczos(ctx, s.supernet(), mixing, batch, into.Decay, start(uint64(i)), lanczosTolerance)
		if err != nil {
			return nil, err
		}
		lambdas[i] = s.reported(found.Spectrum)
		into.Batch += batch.N
		into.Products += found.Products
	}
	into.Spread = results.NewSpread(lambdas)

	// The running statistics have moved once for each batch, as in wholeSpectrum. Each product
	// of the mean is a pass over every batch again.
	statistics := make([]float64, s.supernet().StatisticsCount())
	s.supernet().ReadStatistics(statistics)
	defer s.supernet().WriteStatistics(statistics)
	found, err := algorithms.LanczosOfMean(mixing, into.Decay, start(), lanczosTolerance, func(v []float64) ([]float64, error) {
		mean := make([]float64, len(v))
		for i := range batches {
			_, product, err := algorithms.HessianProduct(ctx, s.supernet(), mixing, prepare(i), v)
			if err != nil {
				return nil, err
			}
			for j, x := range product {
				mean[j] += x / float64(batches)
			}
		}
		into.Products += batches
		return mean, nil
	})
	into.Residual = found.Residual
	return found.Spectrum, err
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
	s.net.SetDraws(s.Seed, "validation", uint64(epoch))
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

	s.net.SetDraws(s.Seed, "projection", uint64(epoch))
	cell := relaxed.Space().DiscreteWeights(relaxed.Architecture())
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
			if side.tally == &hard {
				s.net.HoldDraws() // noise is not what is compared
			}
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
	s.left = s.clock.remaining(epoch, step, s.searcher.Steps(s.batches()), s.Config.Epochs)
	s.announce(epoch, step, "")
}

// announce reports what is under way.
func (s *Search) announce(epoch, step int, doing string) {
	if s.report == nil {
		return
	}
	if !s.trains() { // nothing but the table is asked
		doing = ""
	}
	s.report(Progress{
		Epoch: epoch, Epochs: s.Config.Epochs, Step: step, Steps: s.searcher.Steps(s.batches()), Doing: doing, Last: s.last,
		Remaining: s.left, Notes: s.notes,
	})
}
