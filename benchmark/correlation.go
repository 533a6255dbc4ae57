package benchmark

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// DefaultScored is how many images cells are scored on unless more are asked for: enough to
// tell them apart where they differ by a few points, few enough for a space in a minute.
const DefaultScored = 160

// scoredBatch is the most images that cells are scored on at once. In evaluation mode the
// engine works image by image, so that a large batch costs no more memory than its images.
const scoredBatch = 512

// ScoredTogether is how many cells go over the images together, which are then handed to the
// engine once. It is after so many that CorrelationOptions.Report is called.
const ScoredTogether = 32

// CorrelationOptions says over what cells and images a correlation is taken.
type CorrelationOptions struct {
	Cells           string   // results.CellsReleased, the default, or results.CellsReachable
	Sample          int      // so many of them, at least results.LeastCells; 0 is all
	Seed            uint64   // of the sample
	Forms           []string // results.FormDiscrete, results.FormNormalized; none is both
	On              string   // results.ScoredOnSearch, the default, or results.ScoredOnTest
	Images          int      // the first of these; 0 is all, −1 is DefaultScored or all if they are fewer
	BatchStatistics bool     // normalise by each batch; the default normalises by the running statistics, as the released code does
	Checkpoint      string   // CheckpointFile, the default, or PreviousCheckpointFile
	// Known, when set, is an earlier correlation that was not finished. It is continued if
	// it is of the same run, weights, cells and images; else the error wraps ErrOtherRun.
	Known *results.Correlation
	// Report, when set, is called before the first cell, with what is scored so far now and
	// then, and at the end. Its error ends the scoring.
	Report func(results.Correlation) error
}

// Correlate restores the search from a checkpoint of its run directory and scores cells by
// the supernet's weights, without any training, beside what the table says of them. The
// numbers do not depend on the number of threads. When ctx is done, it returns what it has
// with ctx's error.
func (s *Search) Correlate(ctx context.Context, dir string, o CorrelationOptions) (results.Correlation, error) {
	c, weights, err := s.correlate(dir, o)
	if err != nil {
		return c, err
	}
	batches, err := s.scoredBatches(o.On == results.ScoredOnTest, c.Scoring.Images)
	if err != nil {
		return c, err
	}
	var left [][][]float64 // mixing weights by form and cell
	for _, form := range c.Scoring.Forms {
		left = append(left, weights[form][c.Done():])
	}
	if o.Report != nil {
		if err := o.Report(c); err != nil {
			return c, err
		}
	}
	if c.By != nil {
		return c, nil
	}
	first := c.Done()
	var mutex sync.Mutex // what is let go of may still report
	_, err = abandon.Do(ctx, patience, func() (_ struct{}, err error) {
		defer engine.Catch(&err)
		return struct{}{}, s.score(ctx, left, batches, o.BatchStatistics, func(from int, scores [][]results.Score) error {
			mutex.Lock()
			defer mutex.Unlock()
			if err := ctx.Err(); err != nil {
				return err
			}
			c.Cells = slices.Clone(c.Cells) // that of the last report stays as it was
			for i, of := range scores {
				c.Cells[first+from+i].Scores = of
			}
			if c.Done() == len(c.Cells) {
				if err := c.Finish(); err != nil {
					return err
				}
			}
			if o.Report == nil {
				return nil
			}
			return o.Report(c)
		})
	})
	mutex.Lock()
	defer mutex.Unlock()
	return c, err
}

// correlate restores the search and lists the cells, with their mixing weights by form.
func (s *Search) correlate(dir string, o CorrelationOptions) (c results.Correlation, mixing map[string][][]float64, err error) {
	space, err := nb1shot1.Get(s.Config.Space)
	if err != nil {
		return c, nil, fmt.Errorf("no table knows the cells to compare with: %w", err)
	}
	if s.net == nil {
		return c, nil, fmt.Errorf("%s trains no supernet, so there are no weights to score cells by", s.Config.Algorithm)
	}
	o.Cells, o.On = cmp.Or(o.Cells, results.CellsReleased), cmp.Or(o.On, results.ScoredOnSearch)
	o.Checkpoint = cmp.Or(o.Checkpoint, CheckpointFile)
	if o.Forms == nil {
		o.Forms = []string{results.FormDiscrete, results.FormNormalized}
	}
	meta, _, err := s.loadCheckpoint(dir, []string{o.Checkpoint}, func(checkpointMeta) error { return nil })
	if err != nil {
		return c, nil, err
	}
	queue := s.queues.held
	if o.On == results.ScoredOnTest {
		if queue = s.queues.test; queue.Set == nil {
			return c, nil, errors.New("there are no test images")
		}
	}
	if o.Images == -1 {
		o.Images = min(DefaultScored, len(queue.Images))
	}
	if n := len(queue.Images); o.Images > n || o.Images < 0 {
		return c, nil, fmt.Errorf("%d images asked for, need 1 to the %d that there are, or 0 for all", o.Images, n)
	} else {
		o.Images = cmp.Or(o.Images, n)
	}
	cells, err := s.rank(space, o.Cells == results.CellsReleased, o.Sample, o.Seed)
	if err != nil {
		return c, nil, err
	}
	c = results.Correlation{Run: s.record.Name(), Space: space.Name(), Provenance: s.record.Provenance, Scoring: results.Scoring{
		Cells: o.Cells, Sample: o.Sample, Seed: o.Seed, Forms: o.Forms, On: o.On, Images: o.Images, Statistics: "running",
		Checkpoint: o.Checkpoint, Epochs: meta.Epochs, Steps: meta.Begun.steps(), Weights: s.weightsDigest(), Device: s.engine.Device(),
	}}
	if o.BatchStatistics {
		c.Scoring.Statistics = "batch"
	}
	if o.On == results.ScoredOnTest {
		c.Scoring.TestDigest = s.Test.Source.Digest
	}
	mixing = map[string][][]float64{}
	for _, cell := range cells {
		c.Cells = append(c.Cells, results.ScoredCell{Hash: cell.hash, Architecture: cell.architecture, TestError: cell.testError})
		for form, weights := range cell.mixing {
			mixing[form] = append(mixing[form], weights)
		}
	}
	if o.Known != nil {
		if err := takeUp(&c, *o.Known); err != nil {
			return c, nil, err
		}
	}
	return c, mixing, nil
}

// takeUp takes over the scores of a correlation that was not finished.
func takeUp(c *results.Correlation, known results.Correlation) error {
	member := ""
	for _, m := range []struct{ name, here, there string }{
		{"run", c.Run, known.Run},
		{"table", c.Provenance.TableDigest, known.Provenance.TableDigest},
		{"images", c.Provenance.ImagesDigest, known.Provenance.ImagesDigest},
		{"scoring", fmt.Sprintf("%+v", c.Scoring), fmt.Sprintf("%+v", known.Scoring)},
	} {
		if m.here != m.there && member == "" {
			member = m.name
		}
	}
	same := slices.EqualFunc(c.Cells, known.Cells, func(a, b results.ScoredCell) bool { return a.Hash == b.Hash && a.TestError == b.TestError })
	if member == "" && !same {
		member = "cells"
	}
	if member != "" {
		return fmt.Errorf("the correlation that there is is of other %s: %w", member, ErrOtherRun)
	}
	for i := range c.Cells {
		c.Cells[i].Scores = known.Cells[i].Scores
	}
	c.By = known.By
	return nil
}

// rankedCell is a cell to score.
type rankedCell struct {
	hash         string
	architecture spaces.Architecture
	testError    float64
	mixing       map[string][]float64 // by form, for all cells of the supernet
}

// rank lists the architectures of a space without loose ends, or a sample of them, with
// what the table says of them. The sample is stratified: the architectures are put in the
// order of the blocks they use, of their poolings and of their 3×3 convolutions, and one is
// drawn of each of as many equal parts as the sample has cells. It depends on the space, on
// the size and on the seed alone.
func (s *Search) rank(space *nb1shot1.Space, released bool, sample int, seed uint64) ([]rankedCell, error) {
	all := slices.Collect(space.Distinct(released))
	if sample != 0 {
		if sample < results.LeastCells || sample > len(all) {
			return nil, fmt.Errorf("a sample of %d cells, need %d to %d", sample, results.LeastCells, len(all))
		}
		all = stratify(all, sample, random.New(seed, "correlation", uint64(space.Number())).Float64)
	}
	repeat := s.net.Config().MixingLen() / space.Dim()
	var cells []rankedCell
	for _, g := range all {
		spec := g.Cell()
		hash, err := spec.Hash()
		if err != nil {
			return nil, err
		}
		m, err := s.Oracle.Query(spec)
		if err != nil {
			return nil, fmt.Errorf("cell %v: %w", hash, err)
		}
		cell := rankedCell{hash.String(), space.Architecture(g), m.TestError, map[string][]float64{}}
		for form, weights := range map[string][]float64{
			results.FormDiscrete: discreteForm(space, g), results.FormNormalized: normalizedForm(space, g),
		} {
			cell.mixing[form] = slices.Repeat(weights, repeat)
		}
		cells = append(cells, cell)
	}
	return cells, nil
}

// stratify draws n of the architectures, see Search.rank; uniform returns numbers in [0,1).
func stratify(all []nb1shot1.Genotype, n int, uniform func() float64) []nb1shot1.Genotype {
	counts := func(g nb1shot1.Genotype) (c [3]int) {
		for block, used := range g.Used() {
			if !used {
				continue
			}
			c[0]++
			switch g.Ops[block] {
			case nb1shot1.MaxPool3x3:
				c[1]++
			case nb1shot1.Conv3x3:
				c[2]++
			}
		}
		return c
	}
	slices.SortStableFunc(all, func(a, b nb1shot1.Genotype) int {
		x, y := counts(a), counts(b)
		return slices.Compare(x[:], y[:])
	})
	drawn := make([]nb1shot1.Genotype, 0, n)
	for i := range n {
		from, to := i*len(all)/n, (i+1)*len(all)/n
		drawn = append(drawn, all[from+int(uniform()*float64(to-from))])
	}
	return drawn
}

// discreteForm is the mixing weights of a cell, 0 and 1. Blocks that lead nowhere have none,
// so that the supernet need not compute them.
func discreteForm(space *nb1shot1.Space, g nb1shot1.Genotype) []float64 {
	weights := space.DiscreteWeights(space.Architecture(g))
	for block, used := range g.Used() {
		if used {
			continue
		}
		clear(weights[space.MixedOp(block+1):][:3])
		if at, learnable := space.InputOffset(block + 1); learnable {
			clear(weights[at:][:block+1])
		}
	}
	return weights
}

// normalizedForm is the mixing weights of a cell in the released analysis: the edges into a
// node divided by their number, and the softmax of the operations' 0 and 1 (quirk Q27).
func normalizedForm(space *nb1shot1.Space, g nb1shot1.Genotype) []float64 {
	weights := discreteForm(space, g)
	for _, r := range space.Rows() {
		row := weights[r.Offset:r.End()]
		sum := floats.Sum(row)
		switch {
		case sum == 0:
		case r.Kind == spaces.EdgeRow:
			floats.Scale(1/sum, row)
		default:
			for i, x := range row {
				row[i] = math.Exp(x) / (math.E + float64(len(row)-1))
			}
		}
	}
	return weights
}

// weightsDigest is the SHA-256 of the supernet's weights and running statistics.
func (s *Search) weightsDigest() string {
	h := sha256.New()
	for _, part := range []struct {
		n    int
		read func([]float64)
	}{{s.net.ParameterCount(), s.net.ReadParameters}, {s.net.StatisticsCount(), s.net.ReadStatistics}} {
		values := make([]float64, part.n)
		part.read(values)
		binary.Write(h, binary.LittleEndian, values) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// scoredBatches are the first images of the test images or of the search part, in batches
// of almost equal size.
func (s *Search) scoredBatches(test bool, images int) ([]data.Batch, error) {
	queue := s.queues.held
	if test {
		queue = s.queues.test
	}
	queue.Images = queue.Images[:images]
	parts := (images + scoredBatch - 1) / scoredBatch
	queue.BatchSize = (images + parts - 1) / parts
	loader, err := data.NewLoader(queue)
	if err != nil {
		return nil, err
	}
	batches := make([]data.Batch, loader.Len())
	for k := range batches {
		loader.Batch(&batches[k], 0, k)
	}
	return batches, nil
}

// score scores cells, given by their mixing weights in each of some forms. It calls done
// with the number of the first and the scores by form of some cells at a time. The
// supernet stays as it is.
func (s *Search) score(ctx context.Context, mixing [][][]float64, batches []data.Batch, batchStatistics bool, done func(from int, scores [][]results.Score) error) error {
	statistics := make([]float64, s.net.StatisticsCount())
	s.net.ReadStatistics(statistics)
	forward := s.net.ForwardSparse
	if batchStatistics {
		defer s.net.WriteStatistics(statistics)
		forward = func(b data.Batch, weights []float64) (supernet.Pass, error) {
			return s.net.Forward(b, weights, supernet.BatchStatistics)
		}
	}
	n := len(mixing[0])
	for from := 0; from < n; from += ScoredTogether {
		to := min(from+ScoredTogether, n)
		sums := make([][]tally, to-from)
		for i := range sums {
			sums[i] = make([]tally, len(mixing))
		}
		for _, b := range batches {
			for f, of := range mixing {
				for i, weights := range of[from:to] {
					if err := ctx.Err(); err != nil {
						return err
					}
					pass, err := forward(b, weights)
					if err != nil {
						return fmt.Errorf("score cell %d: %w", from+i, err)
					}
					sums[i][f].add(b, pass)
				}
			}
		}
		scores := make([][]results.Score, to-from)
		for i, of := range sums {
			for _, sum := range of {
				score := sum.score()
				if math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0) {
					return fmt.Errorf("cell %d has a loss of %v: %w", from+i, score.Loss, algorithms.ErrDiverged)
				}
				scores[i] = append(scores[i], score)
			}
		}
		if err := done(from, scores); err != nil {
			return err
		}
	}
	return nil
}

// correlation is the rank correlation as the weights are now, over the sample that
// Config.Correlation asks for.
func (s *Search) correlation(ctx context.Context) (*results.EpochCorrelation, error) {
	if s.ranked == nil {
		space, err := nb1shot1.Get(s.Config.Space)
		if err != nil {
			return nil, err
		}
		if s.ranked, err = s.rank(space, false, s.Config.Correlation, 0); err != nil {
			return nil, fmt.Errorf("correlation: %w", err)
		}
	}
	images := min(DefaultScored, s.queues.images[1])
	batches, err := s.scoredBatches(false, images)
	if err != nil {
		return nil, err
	}
	forms := []string{results.FormDiscrete, results.FormNormalized}
	mixing, scores := make([][][]float64, len(forms)), make([][]float64, len(forms))
	var table []float64
	for _, cell := range s.ranked {
		table = append(table, cell.testError)
		for f, form := range forms {
			mixing[f] = append(mixing[f], cell.mixing[form])
		}
	}
	err = s.score(ctx, mixing, batches, false, func(_ int, some [][]results.Score) error {
		for _, of := range some {
			for f, score := range of {
				scores[f] = append(scores[f], 1-score.Accuracy)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := &results.EpochCorrelation{Cells: len(table), Images: images}
	if c.Discrete, err = results.Correlate(scores[0], table); err != nil {
		return nil, err
	}
	c.Normalized, err = results.Correlate(scores[1], table)
	return c, err
}
