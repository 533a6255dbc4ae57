package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// reading hands the passages of a text to an algorithm, in the place of queues of images.
type reading struct {
	*recurrent.Passages
	valid text.Columns // that the supernet is validated on
	epoch int          // whose passages Len counts
}

// Len implements algorithms.Batches: in every epoch the text is cut anew, so that it is of the
// epoch under way.
func (r *reading) Len(queue algorithms.Queue) int {
	switch queue {
	case algorithms.Train:
		return r.Steps(r.epoch)
	case algorithms.Search, algorithms.Held:
		return r.HeldLen()
	}
	return 0
}

// Batch implements algorithms.Batches.
func (r *reading) Batch(queue algorithms.Queue, epoch, k int) data.Batch {
	switch queue {
	case algorithms.Train:
		return r.Training(epoch, k)
	case algorithms.Search:
		return r.Searching(epoch, k)
	}
	return r.Held(k)
}

// newReading cuts the text of a job into its columns.
func (j Job) newReading(corpus *text.Corpus) (*reading, error) {
	var columns [3]text.Columns
	train, search, name := corpus.Train, corpus.Valid, "validation text" // quirk R5
	if j.Config.Text.SearchSplit {
		cut := len(train) - len(train)/10
		train, search, name = train[:cut], train[cut:], "last tenth of the training text"
	}
	for i, part := range []struct {
		name  string
		words []int32
		batch int
	}{
		{"training text", train, j.Config.Batch}, {name, search, j.Config.Batch}, {"validation text", corpus.Valid, j.Config.Text.ValidBatch},
	} {
		var err error
		if columns[i], err = text.NewColumns(part.words, part.batch); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	passages, err := recurrent.NewPassages(columns[0], columns[1], j.Config.Text.BPTT, j.Seed)
	if err != nil {
		return nil, err
	}
	passages.RateByRows, passages.InOrder = j.Config.Text.RateByRows, j.Config.Text.SearchInOrder
	return &reading{Passages: passages, valid: columns[2]}, nil
}

// model is the language model's part of the configuration, for so many words.
func (c Config) model(words int) recurrent.Config {
	return recurrent.Config{Words: words, Hidden: c.Text.Hidden, BatchNormMomentum: c.BatchNormMomentum, AllWordsLearn: c.Text.AllWordsLearn, NormEachState: c.Text.NormEachState}
}

// TextEngine is the engine for language models that a name stands for: the best one computes
// them unless it is of a device.
func TextEngine(name string) string {
	if name == engine.Auto && engine.OnDevice(name) {
		return "cpu"
	}
	return engine.Resolve(name)
}

// prepareText brings text and language model.
func (s *Search) prepareText(definition algorithms.Definition) (err error) {
	if s.Text == nil {
		return fmt.Errorf("space %s reads a text, and there is none", s.Config.Space)
	}
	t := s.Config.Text
	corpus := s.Text.First(t.Words)
	if s.words, err = s.newReading(corpus); err != nil {
		return err
	}
	s.Engine = TextEngine(s.Engine)
	if s.engine, err = engine.Open(s.Engine, s.Threads); err != nil {
		return err
	}
	if s.engine.Precision() == engine.Mixed {
		return fmt.Errorf("engine %s holds no activations of language models in bfloat16; engine cpu computes them", s.Engine)
	}
	model, err := recurrent.New(s.Config.model(len(corpus.Words)), s.engine)
	if err != nil {
		return err
	}
	model.Initialize(random.New(s.Seed, "weights"))
	s.language = recurrent.NewSearch(model,
		recurrent.Dropout{Output: t.Dropout, H: t.DropoutH, X: t.DropoutX, Input: t.DropoutInput, Words: t.DropoutWords},
		recurrent.Regularisers{Activation: t.Activation, Temporal: t.Temporal})
	on := OnText(corpus)
	on.ImagesDetail += fmt.Sprintf("; %d columns", s.Config.Batch)
	on.Scale = fmt.Sprintf("%d hidden units, %d columns, passages of %d words, %d words", t.Hidden, s.Config.Batch, t.BPTT, len(corpus.Train))
	on.Engine, on.Precision, on.Device = s.Engine, s.engine.Precision(), s.engine.Device()
	s.record, err = s.describe(definition, on)
	return err
}

// OnText is the part of a provenance that says which text was read.
func OnText(corpus *text.Corpus) results.Provenance {
	return results.Provenance{Images: corpus.Source.Kind, ImagesDetail: corpus.Describe(), ImagesDigest: corpus.Source.Digest}
}

// errNoSupernetOfImages says why what follows a search cannot follow one on a text.
var errNoSupernetOfImages = errors.New("it measures accuracies on images, and the networks of the space read words")

// validateText scores the supernet on the whole validation text, in evaluation mode.
func (s *Search) validateText(relaxed algorithms.Relaxed) (*results.Predicted, error) {
	e, err := s.language.Evaluate(s.words.valid, s.Config.Text.BPTT, relaxed.Mixing(algorithms.ForValidation, 0).Weights)
	if err != nil {
		return nil, err
	}
	return results.NewPredicted(e.Loss, e.Exact), nil
}

// projectText measures the projection gap on the first passages of the columns of the search. It
// leaves the running statistics as they are.
func (s *Search) projectText(ctx context.Context, relaxed algorithms.Relaxed) (*results.LanguageProjection, error) {
	statistics := make([]float64, s.language.StatisticsCount())
	s.language.ReadStatistics(statistics)
	defer s.language.WriteStatistics(statistics)
	weights := [2][]float64{
		relaxed.Mixing(algorithms.ForValidation, 1).Weights,
		relaxed.Space().DiscreteWeights(relaxed.Architecture()),
	}
	var sums [2]tally
	for k := range min(s.Config.ProjectionBatches, s.words.HeldLen()) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch := s.words.Batch(algorithms.Held, 0, k)
		for side, mixing := range weights {
			pass, err := s.language.Forward(batch, mixing, supernet.BatchStatistics)
			if err != nil {
				return nil, err
			}
			sums[side].add(batch, pass)
		}
	}
	soft, hard := results.NewPredicted(sums[0].score().Loss, 0), results.NewPredicted(sums[1].score().Loss, 0)
	if soft == nil || hard == nil {
		return nil, nil
	}
	return &results.LanguageProjection{Relaxed: *soft, Discrete: *hard, Gap: hard.Loss - soft.Loss, Words: sums[0].images}, nil
}

// savedStream is where a stream of hidden states stands, in a checkpoint; the states are among
// its vectors.
type savedStream struct {
	Name   string `json:"name"`
	Epoch  int    `json:"epoch"`
	Number int    `json:"number"`
}

// The names of a stream's vectors in a checkpoint.
func (s savedStream) vectors() (before, after string) {
	return "hidden/" + s.Name + "/before", "hidden/" + s.Name + "/after"
}

// streamsOf brings the streams of a checkpoint into the form of the network.
func streamsOf(saved []savedStream, vector func(name string) []float64) (all []recurrent.Stream) {
	for _, s := range saved {
		before, after := s.vectors()
		all = append(all, recurrent.Stream{Name: s.Name, Epoch: s.Epoch, Number: s.Number, Before: slices.Clone(vector(before)), After: slices.Clone(vector(after))})
	}
	return all
}
