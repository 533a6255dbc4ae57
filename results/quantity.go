package results

import (
	"maps"
	"slices"
)

// Quantity is a number that records have.
type Quantity struct {
	Name string               // path of the member in epochs.jsonl, such as "training.loss"
	Doc  string               // what it is, with its unit or range
	Of   func(Epoch) *float64 // nil where a record lacks it; for Curve.Trajectory
}

// Quantities lists the numbers of a record, in its order.
var Quantities = []Quantity{
	{"lookup.test_error", "test error of the cell, in [0,1]", func(e Epoch) *float64 { return e.Lookup.TestError }},
	{"lookup.valid_error", "validation error of the cell, in [0,1]", func(e Epoch) *float64 { return e.Lookup.ValidError }},
	{"lookup.error_bar", "a surrogate's standard error of the test error", func(e Epoch) *float64 { return e.Lookup.ErrorBar }},
	{"lookup.valid_error_bar", "a surrogate's standard error of the validation error", func(e Epoch) *float64 { return e.Lookup.ValidBar }},
	{"lookup.training_time", "training time of the stand-alone network, seconds", func(e Epoch) *float64 { return e.Lookup.TrainingTime }},
	{"lookup.parameters", "trainable parameters of the stand-alone network", func(e Epoch) *float64 { return positive(float64(e.Lookup.Parameters)) }},
	ofCells("parameter_free", "share of operations without parameters, in [0,1]", func(s *Structure) float64 { return s.ParameterFree }),
	ofCells("parameter_free_used", "the same among those that survive pruning, in [0,1]", func(s *Structure) float64 { return s.ParameterFreeUsed }),
	ofCells("width", "width of the pruned cell, or the normal one, in channels of a vertex", func(s *Structure) float64 { return s.Width }),
	structure("depth", "edges on the longest path of the pruned cell, or the normal one", func(s *Structure) float64 { return float64(s.Depth) }),
	{"structure.changed", "decisions unlike in the record before", func(e Epoch) *float64 {
		if e.Structure == nil || e.Structure.Changed == nil {
			return nil
		}
		return new(float64(*e.Structure.Changed))
	}},
	training("loss", "mean training loss of the epoch, nats", func(t *Training) float64 { return t.Loss }),
	training("accuracy", "mean training accuracy of the epoch, in [0,1]", func(t *Training) float64 { return t.Accuracy }),
	training("learning_rate", "learning rate of the weights", func(t *Training) float64 { return t.LearningRate }),
	{"training.epsilon", "perturbation radius, where the algorithm has one", func(e Epoch) *float64 {
		if e.Training == nil {
			return nil
		}
		return positive(e.Training.Epsilon)
	}},
	{"search.loss", "loss of the supernet on the search part, nats", func(e Epoch) *float64 { return part(e.Search, func(s *Score) float64 { return s.Loss }) }},
	{"search.accuracy", "accuracy of the supernet on the search part, in [0,1]", func(e Epoch) *float64 { return part(e.Search, func(s *Score) float64 { return s.Accuracy }) }},
	projection("relaxed.accuracy", "accuracy of the supernet with its relaxed architecture, in [0,1]", func(p *Projection) float64 { return p.Relaxed.Accuracy }),
	projection("discrete.accuracy", "accuracy of the supernet with the discrete cell, in [0,1]", func(p *Projection) float64 { return p.Discrete.Accuracy }),
	projection("gap", "projection gap: the difference of the two", func(p *Projection) float64 { return p.Gap }),
	{"language.training.loss", "mean loss of the weight steps on text, nats for each word", func(e Epoch) *float64 {
		return language(e, func(l *Language) *float64 { return part(l.Training, func(p *Predicted) float64 { return p.Loss }) })
	}},
	{"language.training.perplexity", "its perplexity", TrainPerplexity},
	{"language.learning_rate", "learning rate of the weights for a passage of the usual length", func(e Epoch) *float64 {
		return language(e, func(l *Language) *float64 { return positive(l.LearningRate) })
	}},
	{"language.epsilon", "perturbation radius, where the algorithm has one", func(e Epoch) *float64 {
		return language(e, func(l *Language) *float64 { return positive(l.Epsilon) })
	}},
	{"language.validation.loss", "loss of the supernet on the validation text, nats for each word (quirk R1)", func(e Epoch) *float64 {
		return language(e, func(l *Language) *float64 {
			return part(l.Validation, func(p *Predicted) float64 { return p.Loss })
		})
	}},
	{"language.validation.exact", "the same over the words that are predicted", func(e Epoch) *float64 {
		return language(e, func(l *Language) *float64 {
			return part(l.Validation, func(p *Predicted) float64 { return p.Exact })
		})
	}},
	{"language.validation.perplexity", "perplexity of the supernet on the validation text", ValidPerplexity},
	{"language.projection.gap", "projection gap on text: loss of the discrete cell less that of the relaxed one, nats", LanguageGap},
	hessian("reported", "λ of the architecture Hessian, as the figures have it", func(h *Hessian) float64 { return h.Reported }),
	hessian("spectral_norm", "largest absolute eigenvalue", func(h *Hessian) float64 { return h.SpectralNorm }),
	hessian("min", "smallest eigenvalue", func(h *Hessian) float64 { return h.Min }),
	hessian("without_decay", "largest eigenvalue without the weight decay", func(h *Hessian) float64 { return h.WithoutDecay }),
	{"hessian.trace", "sum of the eigenvalues without the weight decay", func(e Epoch) *float64 {
		if e.Hessian == nil {
			return nil
		}
		return e.Hessian.Trace
	}},
	{"hessian.spread.mean", "mean λ of the batches that the Hessian was averaged over", func(e Epoch) *float64 { return spread(e, func(s *Spread) float64 { return s.Mean }) }},
	{"hessian.spread.std", "their standard deviation", func(e Epoch) *float64 { return spread(e, func(s *Spread) float64 { return s.Std }) }},
	correlation("discrete.kendall", "rank correlation τ of discrete cells by the supernet with the table", func(c *EpochCorrelation) float64 { return c.Discrete.Kendall }),
	correlation("discrete.spearman", "likewise ρ", func(c *EpochCorrelation) float64 { return c.Discrete.Spearman }),
	correlation("discrete.pearson", "their linear correlation", func(c *EpochCorrelation) float64 { return c.Discrete.Pearson }),
	correlation("normalized.kendall", "rank correlation τ of cells in the normalised form", func(c *EpochCorrelation) float64 { return c.Normalized.Kendall }),
	correlation("normalized.spearman", "likewise ρ", func(c *EpochCorrelation) float64 { return c.Normalized.Spearman }),
	correlation("normalized.pearson", "their linear correlation", func(c *EpochCorrelation) float64 { return c.Normalized.Pearson }),
	queries("trainings", "networks that a search of the table had trained so far", func(q *Queries) *float64 { return new(float64(q.Trainings)) }),
	queries("epochs", "epochs of these trainings, together", func(q *Queries) *float64 { return new(float64(q.Epochs)) }),
	queries("seconds", "training time that they took by the table, with so many workers", func(q *Queries) *float64 { return q.Seconds }),
	{"seconds", "wall time of the epoch, the sum of its phases", func(e Epoch) *float64 {
		if e.Seconds == nil {
			return nil
		}
		return new(e.Duration())
	}},
}

// Duration is the wall time of a record, the sum of its phases, in seconds.
func (e Epoch) Duration() float64 {
	sum := 0.0
	for _, phase := range slices.Sorted(maps.Keys(e.Seconds)) { // in order, for the same rounding every time
		sum += e.Seconds[phase]
	}
	return sum
}

// part returns a number of a part of a record, nil where the part is missing.
func part[P any](p *P, number func(*P) float64) *float64 {
	if p == nil {
		return nil
	}
	return new(number(p))
}

// positive returns x, nil for the 0 that the records leave out.
func positive(x float64) *float64 {
	if x == 0 {
		return nil
	}
	return &x
}

func structure(name, doc string, number func(*Structure) float64) Quantity {
	return Quantity{"structure." + name, doc, func(e Epoch) *float64 { return part(e.Structure, number) }}
}

// ofCells is a quantity that recurrent cells do not have.
func ofCells(name, doc string, number func(*Structure) float64) Quantity {
	q := structure(name, doc, number)
	of := q.Of
	q.Of = func(e Epoch) *float64 {
		if recurrentCell(e) {
			return nil
		}
		return of(e)
	}
	return q
}

func language(e Epoch, number func(*Language) *float64) *float64 {
	if e.Language == nil {
		return nil
	}
	return number(e.Language)
}

func training(name, doc string, number func(*Training) float64) Quantity {
	return Quantity{"training." + name, doc, func(e Epoch) *float64 { return part(e.Training, number) }}
}

func projection(name, doc string, number func(*Projection) float64) Quantity {
	return Quantity{"projection." + name, doc, func(e Epoch) *float64 { return part(e.Projection, number) }}
}

func queries(name, doc string, number func(*Queries) *float64) Quantity {
	return Quantity{"queries." + name, doc, func(e Epoch) *float64 {
		if e.Queries == nil {
			return nil
		}
		return number(e.Queries)
	}}
}

func hessian(name, doc string, number func(*Hessian) float64) Quantity {
	return Quantity{"hessian." + name, doc, func(e Epoch) *float64 { return part(e.Hessian, number) }}
}

func correlation(name, doc string, number func(*EpochCorrelation) float64) Quantity {
	return Quantity{"correlation." + name, doc, func(e Epoch) *float64 { return part(e.Correlation, number) }}
}

func spread(e Epoch, number func(*Spread) float64) *float64 {
	if e.Hessian == nil {
		return nil
	}
	return part(e.Hessian.Spread, number)
}
