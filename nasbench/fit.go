package nasbench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/nasbench/dagnet"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

const (
	// diverged is the mean error from which on, nearly always, one of a cell's
	// three runs diverged. How badly cannot be predicted: a surrogate learns no
	// more than that they are at least as bad.
	diverged = 0.25
	// failed is the mean error from which on a prediction's miss says little, since
	// many of these trainings failed.
	failed = 0.15
	// failedWeight is that of a failed cell in the fit.
	failedWeight = 0.3
	// pointwiseWeight is that of a cell without 3×3 windows. There are few, by far
	// worse than the others for a reason that has nothing to do with failing: they
	// see no neighbourhood. One-shot searches collapse to them, so they must not
	// be passed over as outliers.
	pointwiseWeight = 5
)

// FitOptions are the settings of Fit. More hidden units or epochs than the default
// fit the training cells better and the others no better; three networks that
// answer together gain less than 0.002 in Kendall's τ.
type FitOptions struct {
	Hidden   int                   // units of the network; 0: 96
	Epochs   int                   // passes through the cells; 0: 30
	Seed     uint64                // of the first weights and the order of cells
	Progress func(done, total int) // is told how many epochs are done; may be nil
}

// heldOut tells whether a cell is kept out of the fit, as one in five is.
func heldOut(h cell.Hash) bool { return h[len(h)-1]%5 == 0 }

// Fit fits a surrogate to the 108-epoch test and validation errors of a table, in
// some minutes for all of NAS-Bench-101. The same table and options give the same
// bytes wherever dagnet.Train does.
func Fit(ctx context.Context, t *Table, o FitOptions) (*Surrogate, error) {
	if o.Hidden == 0 {
		o.Hidden = 96
	}
	if o.Epochs == 0 {
		o.Epochs = 30
	}
	s, err := fit(ctx, t, o)
	if err != nil {
		return nil, fmt.Errorf("fit surrogate: %w", err)
	}
	return s, nil
}

func fit(ctx context.Context, t *Table, o FitOptions) (*Surrogate, error) {
	var examples []dagnet.Example
	var logs [dagnet.Outputs][]float64
	err := t.Each(ctx, "", Epochs, func(e Entry) error {
		if heldOut(e.Hash) {
			return nil
		}
		measured, err := t.errors(e)
		if err != nil {
			return err
		}
		x := dagnet.Example{Graph: graphOf(e.Spec), Weight: 1}
		switch {
		case !slices.ContainsFunc(e.Spec.Ops, func(op cell.Op) bool { return op != cell.Conv1x1 }):
			x.Weight = pointwiseWeight
		case e.TestError >= failed:
			x.Weight = failedWeight
		}
		for i, m := range measured {
			log := math.Log(min(m, diverged))
			x.Target[i] = float32(log)
			if log == log {
				logs[i] = append(logs[i], log)
			}
		}
		examples = append(examples, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := &Surrogate{model: model{Trained: t.Source(), Cells: len(examples), Epochs: o.Epochs, Seed: o.Seed}}
	for i, known := range logs {
		s.model.Mean[i], s.model.Deviation[i] = stat.MeanStdDev(known, nil)
		if len(known) < 2 || s.model.Deviation[i] == 0 { // nothing to learn
			s.model.Mean[i], s.model.Deviation[i] = 0, 1
		}
	}
	for i := range examples {
		for j, x := range examples[i].Target {
			examples[i].Target[j] = float32((float64(x) - s.model.Mean[j]) / s.model.Deviation[j])
		}
	}
	s.network, err = dagnet.Train(ctx, examples, dagnet.Options{
		Hidden: o.Hidden, Epochs: o.Epochs, Random: random.New(o.Seed, "surrogate"),
		Progress: func(done int) {
			if o.Progress != nil {
				o.Progress(done, o.Epochs)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if s.model.HeldOut, s.model.Spread, err = s.evaluate(ctx, t); err != nil {
		return nil, err
	}
	return s, s.seal()
}

// errors returns the test error of a cell and its validation error, NaN where it is
// unknown; none is 0, as a logarithm is to be taken.
func (t *Table) errors(e Entry) ([dagnet.Outputs]float64, error) {
	const least = 1e-4 // an image of 10,000
	m, err := t.Lookup(e.Hash, Epochs)
	if err != nil {
		return [dagnet.Outputs]float64{}, err
	}
	validation := math.NaN()
	if m.ValidationError != nil {
		validation = max(*m.ValidationError, least)
	}
	return [dagnet.Outputs]float64{max(m.TestError, least), validation}, nil
}

// judged is a held-out cell with its predicted and measured errors.
type judged struct {
	entry               Entry
	predicted, measured [dagnet.Outputs]float64
	err                 error
}

// evaluate tells how well the surrogate predicts the held-out cells of each space,
// and the 68 % quantiles of |ln(predicted/measured)| over those of them that did
// not diverge.
func (s *Surrogate) evaluate(ctx context.Context, t *Table) (all []HeldOut, spread [dagnet.Outputs]float64, err error) {
	var spreads [dagnet.Outputs][]float64
	for _, space := range nb1shot1.All() {
		var cells []*judged
		err := pipeline.Run(func(emit func(*judged) bool) error {
			return t.Each(ctx, space.Name(), Epochs, func(e Entry) error {
				if heldOut(e.Hash) && !emit(&judged{entry: e}) {
					return io.EOF // ignored: a lookup has failed
				}
				return nil
			})
		}, func(j *judged) {
			j.predicted = s.predict(j.entry.Spec)
			j.measured, j.err = t.errors(j.entry)
		}, func(j *judged) error {
			cells = append(cells, j)
			return j.err
		})
		if err != nil {
			return nil, spread, err
		}
		h := HeldOut{Space: space.Name()}
		for i, quality := range []*Quality{&h.Test, &h.Validation} {
			var predicted, measured []float64
			for _, j := range cells {
				p, m := j.predicted[i], j.measured[i]
				if m != m {
					continue
				}
				predicted, measured = append(predicted, p), append(measured, m)
				if m < diverged {
					spreads[i] = append(spreads[i], math.Abs(math.Log(p/m)))
				}
			}
			if len(measured) >= 2 {
				*quality = qualityOf(predicted, measured)
			} else if i == 0 {
				return nil, spread, fmt.Errorf("the table has %d held-out cells of space %s, too few to evaluate on", len(measured), h.Space)
			}
		}
		all = append(all, h)
	}
	for i := range spreads {
		if len(spreads[i]) > 0 {
			slices.Sort(spreads[i])
			spread[i] = stat.Quantile(0.68, stat.Empirical, spreads[i], nil)
		}
	}
	return all, spread, nil
}

// qualityOf compares errors of at least two cells.
func qualityOf(predicted, measured []float64) Quality {
	q := Quality{Cells: len(measured), KendallTau: stat.Kendall(predicted, measured, nil)}
	ordered := slices.Clone(measured)
	slices.Sort(ordered)
	twentieth := stat.Quantile(0.05, stat.Empirical, ordered, nil)
	var all, trained, best, squares []float64
	for i, m := range measured {
		miss := math.Abs(predicted[i] - m)
		all = append(all, miss)
		if m < failed {
			trained, squares = append(trained, miss), append(squares, miss*miss)
		}
		if m <= twentieth {
			best = append(best, miss)
		}
	}
	slices.Sort(all)
	slices.Sort(best)
	q.Failed = len(all) - len(trained)
	q.MedianError = stat.Quantile(0.5, stat.Empirical, all, nil)
	q.BestError = stat.Quantile(0.5, stat.Empirical, best, nil)
	if len(trained) > 0 {
		q.MeanError, q.RootMeanSquare = stat.Mean(trained, nil), math.Sqrt(stat.Mean(squares, nil))
	}
	return q
}
