package benchmark

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/supernet"
)

// hessianDefinition says in the record how λ follows from the spectrum.
const hessianDefinition = "last search batch of the epoch, batch statistics, arch weight decay on the diagonal, |largest algebraic eigenvalue|"

// run does the epochs and the marked final evaluation (quirk Q11).
func (s *Search) run(ctx context.Context) error {
	for epoch := range s.Config.Epochs {
		record, err := s.epoch(ctx, epoch)
		if err != nil {
			return err
		}
		if err := s.append(record); err != nil {
			return err
		}
	}
	final, err := s.evaluate(s.Config.Epochs)
	if err != nil {
		return err
	}
	final.Final = true
	return s.append(final)
}

func (s *Search) append(record results.Epoch) error {
	if err := s.writer.Append(record); err != nil {
		return err
	}
	s.last = &record
	if record.Final {
		s.progress(record.Epoch, 0)
	} else {
		s.progress(record.Epoch, s.train.Len())
	}
	return nil
}

// epoch evaluates the architecture as it stands (quirk Q11), then trains, takes
// the Hessian and validates the supernet, in the order of the released code:
// the Hessian moves the running statistics that the validation uses.
func (s *Search) epoch(ctx context.Context, epoch int) (results.Epoch, error) {
	record, err := s.evaluate(epoch)
	if err != nil {
		return results.Epoch{}, err
	}
	phase := func(name string, do func() error) error {
		start := time.Now()
		if err := do(); err != nil {
			return err
		}
		record.Seconds[name] = time.Since(start).Seconds()
		return ctx.Err()
	}
	err = phase("steps", func() (err error) {
		record.Training, err = s.steps(ctx, epoch)
		return err
	})
	if err != nil {
		return results.Epoch{}, err
	}
	err = phase("hessian", func() (err error) {
		record.Hessian, err = s.hessian(ctx, epoch)
		return err
	})
	if err != nil {
		return results.Epoch{}, err
	}
	err = phase("validation", func() (err error) {
		record.Search, err = s.validate(ctx, epoch)
		return err
	})
	return record, err
}

// evaluate derives the discrete cell and looks it up.
func (s *Search) evaluate(epoch int) (results.Epoch, error) {
	start := time.Now()
	alphas := s.searcher.Alphas()
	spec := s.space.Discretize(alphas, s.ties).Cell()
	hash, err := spec.Hash()
	if err != nil {
		return results.Epoch{}, fmt.Errorf("cell of epoch %d: %w", epoch, err)
	}
	metrics, err := s.Oracle.Query(spec)
	if err != nil {
		return results.Epoch{}, fmt.Errorf("cell of epoch %d: %w", epoch, err)
	}
	record := results.Epoch{
		Epoch:  epoch,
		Cell:   results.Cell{Operations: spec.OpNames(), Hash: hash.String()},
		Lookup: lookup(s.Oracle.Source().Kind, metrics),
	}
	for _, row := range spec.Matrix {
		bits := make([]int, len(row))
		for i, bit := range row {
			bits[i] = int(bit)
		}
		record.Cell.Matrix = append(record.Cell.Matrix, bits)
	}
	for _, t := range s.space.Tensors() {
		values := alphas[t.Offset : t.Offset+t.Rows*t.Cols]
		record.Alphas = append(record.Alphas, results.Alpha{Name: t.Name, Rows: slices.Collect(slices.Chunk(values, t.Cols))})
	}
	record.Seconds = map[string]float64{"lookup": time.Since(start).Seconds()}
	return record, nil
}

// steps does the training steps of one epoch, step k on batch k of both halves.
func (s *Search) steps(ctx context.Context, epoch int) (*results.Training, error) {
	s.searcher.StartEpoch(epoch)
	training := &results.Training{}
	var images, correct int
	var train, search data.Batch
	for k := range s.train.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.train.Batch(&train, epoch, k)
		s.search.Batch(&search, epoch, k)
		info, err := s.searcher.Step(s.net, train, search)
		if err != nil {
			return nil, err
		}
		images += train.N
		correct += info.Weights.Correct
		training.Loss += info.Weights.Loss * float64(train.N)
		training.LearningRate, training.Epsilon = info.LearningRate, info.Epsilon
		s.progress(epoch, k+1)
	}
	training.Loss /= float64(images)
	training.Accuracy = float64(correct) / float64(images)
	return training, nil
}

// hessian takes the spectrum on the last search batch of the epoch (quirk Q8).
func (s *Search) hessian(ctx context.Context, epoch int) (*results.Hessian, error) {
	var batch data.Batch
	s.search.Batch(&batch, epoch, s.train.Len()-1)
	_, spectrum, err := algorithms.Hessian(ctx, s.net, s.space, batch, s.searcher.Point(), s.decay)
	if err != nil {
		return nil, fmt.Errorf("epoch %d: %w", epoch, err)
	}
	return &results.Hessian{
		Eigenvalues: spectrum, Reported: spectrum.Reported(), SpectralNorm: spectrum.Norm(), Min: spectrum.Min(),
		Batch: batch.N, Definition: hessianDefinition,
	}, nil
}

// validate scores the supernet on the whole search half by running statistics.
func (s *Search) validate(ctx context.Context, epoch int) (*results.Score, error) {
	mixing := make([]float64, s.space.Dim())
	s.space.Softmax(mixing, s.searcher.Point())
	score := &results.Score{}
	var images, correct int
	var batch data.Batch
	for k := range s.validation.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.validation.Batch(&batch, epoch, k)
		pass, err := s.net.Forward(batch, mixing, supernet.RunningStatistics)
		if err != nil {
			return nil, fmt.Errorf("validation of epoch %d: %w", epoch, err)
		}
		images += batch.N
		correct += pass.Correct
		score.Loss += pass.Loss * float64(batch.N)
	}
	score.Loss /= float64(images)
	score.Accuracy = float64(correct) / float64(images)
	return score, nil
}

func (s *Search) progress(epoch, step int) {
	if s.report == nil {
		return
	}
	steps := s.train.Len()
	s.report(Progress{
		Epoch: epoch, Epochs: s.Config.Epochs, Step: step, Steps: steps, Last: s.last,
		Remaining: s.clock.remaining(epoch, step, steps, s.Config.Epochs),
	})
}
