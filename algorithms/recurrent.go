package algorithms

import (
	"errors"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

// LanguageModel is what a supernet that reads words has besides (supernet/recurrent).
type LanguageModel interface {
	Supernet
	// Regularise tells whether the gradients of the weights that follow are of the loss with
	// the regularisers of training, as they are at first, or of the cross-entropy alone.
	Regularise(on bool)
	// Tied returns where the vectors of the words, which the decoder shares, lie among the
	// parameters: those from from on, up to to.
	Tied() (from, to int)
}

// isRecurrent tells whether a space is that of recurrent cells, spaces/rnn.
func isRecurrent(space *spaces.Space) bool { return space.Name() == rnn.Name }

// notRecurrent is the Supports of an algorithm that cannot search the recurrent space, for a
// reason, and that of others.
func notRecurrent(reason string, others ...func(*spaces.Space) error) func(*spaces.Space) error {
	return func(space *spaces.Space) error {
		if isRecurrent(space) {
			return errors.New(reason)
		}
		for _, supports := range others {
			if err := supports(space); err != nil {
				return err
			}
		}
		return nil
	}
}

// undefined is why most algorithms refuse the recurrent space.
const undefined = "no source defines it for recurrent cells"

// recurrentDefaults are those of the released code for the recurrent space: a constant learning
// rate without momentum, and alphas that move ten times as fast (quirk R12).
var recurrentDefaults = Settings{
	"learning-rate": 20, "learning-rate-min": 20, "momentum": 0, "weight-decay": 5e-7, "clip": 0.25,
	"arch-learning-rate": 3e-3, "arch-beta1": 0.9,
}

// adaptToRecurrent gives options other defaults on the recurrent space, and further options.
func adaptToRecurrent(own Settings, further ...Option) func(*spaces.Space, []Option) []Option {
	return func(space *spaces.Space, options []Option) []Option {
		if !isRecurrent(space) {
			return options
		}
		options = WithDefaults(WithDefaults(options, recurrentDefaults), own)
		for i, o := range options {
			switch o.Name {
			case "learning-rate", "learning-rate-min":
				options[i].Max = 1000
			case "momentum": // the network has none
				options[i].Max = 0
			}
		}
		return append(options, further...)
	}
}

// onBatch is the learning rate of a step on a batch: a passage of text has a factor of its own
// (quirk R3).
func onBatch(b data.Batch, rate float64) float64 {
	if b.Text != nil {
		return rate * b.Text.Rate
	}
	return rate
}

// scoreText is the mean cross-entropy of a cell, in nats, on n passages from first on, each read
// from hidden states of 0 on. The one batch norm of the search network has running statistics of
// the cell that was trained last, by which another cell can explode, so that a batch normalises
// itself here; the running ones stay.
func scoreText(net Supernet, b Batches, q Queue, epoch, first, n int, weights []float64) (float64, error) {
	statistics := make([]float64, net.StatisticsCount())
	net.ReadStatistics(statistics)
	defer net.WriteStatistics(statistics)
	words, loss := 0, 0.0
	for k := first; k < first+n; k++ {
		batch := b.Batch(q, epoch, k)
		pass, err := net.Forward(batch, weights, supernet.BatchStatistics)
		if err != nil {
			return 0, err
		}
		words += batch.N
		loss += float64(batch.N) * pass.Loss
	}
	if loss /= float64(words); !finite(loss) {
		loss = math.MaxFloat64 // the worst
	}
	return loss, nil
}

// lookAheadOptions are those of second-order steps on the recurrent space.
func lookAheadOptions() []Option {
	return []Option{
		{Name: "unroll-bounded", Kind: Switch, Doc: "second order: the correction's factor is at most 1 and the vector of its finite difference as long as it is; off clips the vector, and makes the factor larger than 1 where the gradient was shorter than clip (quirk R9)"},
		{Name: "unroll-words", Kind: Switch, Doc: "second order: the vectors of the words, which are the decoder, take the step ahead too; off leaves them where they are (quirk R8)"},
		{Name: "unroll-common-masks", Kind: Switch, Doc: "second order: both sides of the finite difference drop the same; off draws each side's masks anew (quirk R10)"},
	}
}

// lookAhead is the part of a second-order step that the recurrent space has in its own way.
type lookAhead struct {
	words LanguageModel
	clip  float64 // bound on 2-norms; 0 clips nothing
	own   Settings
}

// recurrentLookAhead returns it, or nil for a supernet that reads no words.
func (r *Relaxation) recurrentLookAhead(net Supernet) *lookAhead {
	if words, ok := net.(LanguageModel); ok {
		return &lookAhead{words, r.sgd.Clip, r.cfg.Settings}
	}
	return nil
}

// factor is what scales a vector to the bound.
func (l *lookAhead) factor(v []float64) float64 {
	if l.clip == 0 {
		return 1
	}
	return l.clip / (math.Sqrt(dot(v, v)) + 1e-6) // as released
}

// clipped scales the gradient of the step ahead, and returns the factor of the correction.
func (l *lookAhead) clipped(g []float64) float64 {
	kappa := l.factor(g)
	scale(g, min(kappa, 1))
	if l.own.On("unroll-bounded") {
		return min(kappa, 1)
	}
	return kappa
}

// stay keeps the vectors of the words from stepping ahead.
func (l *lookAhead) stay(ahead, w []float64) {
	if l.own.On("unroll-words") {
		return
	}
	from, to := l.words.Tied()
	copy(ahead[from:to], w[from:to])
}

// vector clips that of the finite difference.
func (l *lookAhead) vector(v []float64) {
	if !l.own.On("unroll-bounded") {
		scale(v, min(l.factor(v), 1))
	}
}

func scale(v []float64, by float64) {
	for i := range v {
		v[i] *= by
	}
}

// argmaxWeights is 1 at the largest alpha of each row, the first of equals.
func argmaxWeights(space *spaces.Space, alphas []float64) Mixing {
	q := binarise(space, alphas, true)
	return Mixing{Weights: q, Space: space, Probabilities: slices.Clone(q), Temperature: 1, Identity: true}
}
