package results

import "math"

// Language is what an epoch measured where the network reads words: in the place of Training,
// Search and Projection, whose accuracies mean nothing there.
type Language struct {
	// Training is the mean over the words that the weights learned from, without regularisers;
	// nil in no epoch that trained.
	Training     *Predicted `json:"training,omitempty"`
	LearningRate float64    `json:"learning_rate,omitempty"` // of the weights, for a passage of the usual length
	Epsilon      float64    `json:"epsilon,omitempty"`       // perturbation radius; 0 for an algorithm without
	// Validation is the supernet's on the whole validation text in evaluation mode; nil where
	// not measured.
	Validation *Predicted `json:"validation,omitempty"`
	// Projection is what the supernet loses when its relaxed architecture is replaced by the
	// discrete cell; nil where not measured.
	Projection *LanguageProjection `json:"projection,omitempty"`
}

// Predicted is how well a network predicts words.
type Predicted struct {
	Loss float64 `json:"loss"` // cross-entropy in nats; of a whole text by the released code's denominator (quirk R1)
	// Exact is the same of a whole text over the words that are predicted; absent elsewhere.
	Exact      float64 `json:"exact,omitempty"`
	Perplexity float64 `json:"perplexity"` // e to the power of Loss
}

// maxLoss is the largest loss that has a perplexity among the finite numbers.
var maxLoss = math.Log(math.MaxFloat64)

// NewPredicted describes a loss, and that of a whole text also by the exact one, else 0. It is
// nil where the loss or its perplexity is no finite number, as of a network that has exploded.
func NewPredicted(loss, exact float64) *Predicted {
	if math.IsNaN(loss) || math.Abs(loss) >= maxLoss || math.IsNaN(exact) || math.IsInf(exact, 0) {
		return nil
	}
	return &Predicted{Loss: loss, Exact: exact, Perplexity: math.Exp(loss)}
}

// LanguageProjection is measured after the epoch on the same passages for both, each read from
// hidden states of 0 on, normalised by the batch and without dropout.
type LanguageProjection struct {
	Relaxed  Predicted `json:"relaxed"`
	Discrete Predicted `json:"discrete"` // 0/1 weights of the cell
	Gap      float64   `json:"gap"`      // loss discrete − relaxed, in nats: positive is a loss
	Words    int       `json:"words"`    // that were predicted
}

// check verifies the perplexities. The error is a *FormatError.
func (l Language) check() error {
	list := map[string]*Predicted{"language.training": l.Training, "language.validation": l.Validation}
	if p := l.Projection; p != nil {
		list["language.projection.relaxed"], list["language.projection.discrete"] = &p.Relaxed, &p.Discrete
		if p.Words < 1 {
			return invalid("language.projection.words", "%d words", p.Words)
		}
	}
	for member, p := range list {
		if p == nil {
			continue
		}
		if p.Perplexity < 0 || math.Abs(math.Log(p.Perplexity)-p.Loss) > 1e-9*(1+math.Abs(p.Loss)) {
			return invalid(member+".perplexity", "%v is not that of the loss %v", p.Perplexity, p.Loss)
		}
	}
	return nil
}

// ValidPerplexity is the perplexity of the supernet on the validation text, a quantity for
// Curve.Trajectory.
func ValidPerplexity(e Epoch) *float64 {
	return perplexity(e, func(l *Language) *Predicted { return l.Validation })
}

// TrainPerplexity is the mean perplexity of the weight steps of an epoch, without regularisers
// but with dropout, a quantity for Curve.Trajectory.
func TrainPerplexity(e Epoch) *float64 {
	return perplexity(e, func(l *Language) *Predicted { return l.Training })
}

// LanguageGap is the projection gap in nats, a quantity for Curve.Trajectory.
func LanguageGap(e Epoch) *float64 {
	if e.Language == nil || e.Language.Projection == nil {
		return nil
	}
	return &e.Language.Projection.Gap
}

func perplexity(e Epoch, of func(*Language) *Predicted) *float64 {
	if e.Language == nil || of(e.Language) == nil {
		return nil
	}
	return &of(e.Language).Perplexity
}
