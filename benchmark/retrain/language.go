package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// Language is what of a Config the network of a recurrent cell has alone, beside Epochs, Batch
// (sequences side by side), LearningRate (constant), WeightDecay and Clip.
type Language struct {
	Words  int // of the training text that are used, and a tenth of the others; 0 is all
	Hidden int // length of the hidden state and of the words' vectors
	BPTT   int // usual rows of a window

	Dropout                          recurrent.Dropout
	Activation, Temporal             float64 // weights of the regularisers
	Patience                         int     // epochs that do not count when averaging begins
	ValidBatch, TestBatch, MostExtra int     // sequences side by side; rows that a window may be longer than BPTT
	AllWordsLearn                    bool    // see recurrent.Config
	RateByRows, RateOfStep           bool    // the alternatives of the quirks R3 and R17, see Settings
	RollBack                         bool    // after a loss that is not finite (quirk R19)
}

// penn is the recipe of DARTS for Penn Treebank at another size.
func penn(epochs, words, hidden, batch int) Config {
	return Config{
		Form: results.FormRecurrent, Epochs: epochs, Batch: batch, LearningRate: 20, WeightDecay: 8e-7, Clip: 0.25,
		Language: Language{
			Words: words, Hidden: hidden, BPTT: 35, Temporal: 1e-3, Patience: 5, ValidBatch: 10, TestBatch: 1, MostExtra: 20, RollBack: true,
			Dropout: recurrent.Dropout{Output: 0.75, H: 0.25, X: 0.75, Input: 0.2, Words: 0.1},
		},
	}
}

// lessDropout is for networks that are too small to forget so much.
func lessDropout(c Config) Config {
	c.Language.Dropout = recurrent.Dropout{Output: 0.2, H: 0.1, X: 0.2, Input: 0.1, Words: 0.05}
	return c
}

// language is the course of a network of words: the loop of the released code (DARTS, cnn's
// counterpart for Penn Treebank), whose windows have lengths that are drawn, and which goes over
// to averaged SGD once the loss of validation stops falling.
type language struct {
	config             Config
	seed               uint64
	corpus             *text.Corpus
	genotype           rnn.Genotype
	model              *recurrent.Model
	train, valid, test text.Columns

	trigger recurrent.Trigger
	average *recurrent.Average      // nil before the first epoch of averaged SGD
	best    []float64               // weights of the lowest loss of validation, or nothing
	bestOf  *recurrent.AverageState // averaged SGD after their epoch; nil where it was SGD
	hidden  []float64               // before the next step
	from    int                     // first epoch of averaged SGD

	rolledBack int // times that the epoch began again

	epoch   int // whose windows are known
	windows []window
}

// mostRollBacks is how often an epoch may begin again.
const mostRollBacks = 10

// window is one of the training text: its first row, and the length that was drawn.
type window struct{ row, length int }

func (j Job) newLanguage(e engine.Engine) (*language, error) {
	if j.Text == nil {
		return nil, errors.New("the network of a recurrent cell reads a text, and there is none")
	}
	if j.Config.Halves {
		return nil, errors.New("halves are of images: a text has a part to validate on")
	}
	g, err := rnn.ParseGenotype(j.Subject.Genotype)
	if err != nil {
		return nil, err
	}
	c := j.Config.Language
	l := &language{config: j.Config, seed: j.Seed, corpus: j.Text.First(c.Words), genotype: g, trigger: recurrent.Trigger{Patience: c.Patience}, epoch: -1}
	for _, part := range []struct {
		columns  *text.Columns
		sequence []int32
		batch    int
		name     string
	}{{&l.train, l.corpus.Train, j.Config.Batch, "train"}, {&l.valid, l.corpus.Valid, c.ValidBatch, "validate"}, {&l.test, l.corpus.Test, c.TestBatch, "test"}} {
		if *part.columns, err = text.NewColumns(part.sequence, part.batch); err != nil {
			return nil, fmt.Errorf("the text to %s: %w", part.name, err)
		}
	}
	if l.train.Rows < 3 {
		return nil, fmt.Errorf("%d words to train in %d columns make %d rows, want at least 3: take a longer text or a smaller batch", len(l.corpus.Train), l.train.Batch, l.train.Rows)
	}
	if l.model, err = recurrent.New(recurrent.Config{Words: len(l.corpus.Words), Hidden: c.Hidden, Genotype: &g, AllWordsLearn: c.AllWordsLearn}, e); err != nil {
		return nil, err
	}
	l.model.Initialize(random.New(j.Seed, "retrain/weights"))
	l.hidden = make([]float64, l.train.Batch*c.Hidden)
	return l, nil
}

// describe implements course.
func (l *language) describe(e *results.Evaluation) error {
	c := l.config
	cost, err := rnn.Network{Words: len(l.corpus.Words), Hidden: c.Language.Hidden}.Cost(l.genotype)
	if err != nil {
		return err
	}
	e.Parameters, e.ParametersAuxiliary, e.MACs = cost.Parameters, cost.Parameters, int64(cost.MACs)
	from := l.corpus.Source
	e.Provenance.Images, e.Provenance.ImagesDetail, e.Provenance.ImagesDigest = from.Kind, from.Detail, from.Digest
	e.Provenance.Scale = c.describe(len(l.corpus.Train))
	e.Recipe = c.recipe(len(l.corpus.Words), len(l.corpus.Train), len(l.corpus.Test))
	e.Recipe.Words.ValidWords = len(l.corpus.Valid)
	return nil
}

// draws is a random stream of an epoch; it is another one after each roll-back.
func (l *language) draws(purpose string, epoch, k int) *rand.Rand {
	index := []uint64{uint64(epoch), uint64(k)}
	if l.rolledBack > 0 {
		index = append(index, uint64(l.rolledBack))
	}
	return random.New(l.seed, purpose, index...)
}

// spans are the windows of an epoch: as long as there are two rows more, so that each has two
// rows and a change from one to the next.
func (l *language) spans(epoch int) []window {
	if l.epoch != epoch {
		l.epoch, l.windows = epoch, nil
		for row := 0; row < l.train.Rows-2; {
			r := l.draws("retrain/length", epoch, len(l.windows))
			length := recurrent.TrainingLength(l.config.Language.BPTT, l.config.Language.MostExtra, r.Float64(), normal(r))
			l.windows = append(l.windows, window{row, length})
			row += length
		}
	}
	return l.windows
}

// normal draws with a deviation of 5.
func normal(r *rand.Rand) func(float64) float64 {
	return func(mean float64) float64 { return mean + 5*r.NormFloat64() }
}

// steps implements course.
func (l *language) steps(epoch int) int { return len(l.spans(epoch)) }

// measuring implements course: the validation text, whose passes take a third of a step's.
func (l *language) measuring() float64 {
	return float64(l.valid.Rows*l.valid.Batch) / 3 / float64(l.train.Batch*l.config.Language.BPTT)
}

func (l *language) newAverage() *recurrent.Average {
	a := l.model.NewAverage()
	a.Present = l.config.Language.RateOfStep
	return a
}

// averaging tells whether an epoch is one of averaged SGD.
func (l *language) averaging() bool { return l.trigger.Averaging() }

// step implements course.
func (l *language) step(_ context.Context, epoch, k int) (done begun, err error) {
	c := l.config
	span := l.spans(epoch)[k]
	if k == 0 {
		clear(l.hidden)
		if l.averaging() && l.average == nil {
			l.average, l.from = l.newAverage(), epoch
		}
	}
	w := recurrent.Window{Batch: l.train.Batch, Hidden: l.hidden}
	w.Inputs, w.Targets = l.train.Window(span.row, span.length)
	w.Masks = c.Language.Dropout.Draw(l.draws("retrain/masks", epoch, k), len(l.corpus.Words), w.Batch, c.Language.Hidden)
	pass, err := l.model.WeightGradient(w, nil, supernet.BatchStatistics, recurrent.Regularisers{Activation: c.Language.Activation, Temporal: c.Language.Temporal})
	if err != nil {
		return done, err
	}
	if math.IsNaN(pass.Total) || math.IsInf(pass.Total, 0) {
		return done, l.rollBack(fmt.Errorf("the loss is %v: %w", pass.Total, algorithms.ErrDiverged))
	}
	if _, err := l.model.ClipGradient(c.Clip); err != nil {
		return done, l.rollBack(fmt.Errorf("%w: %w", algorithms.ErrDiverged, err))
	}
	rows := float64(span.length) // quirk R3
	if c.Language.RateByRows {
		rows = float64(len(w.Targets)) / float64(w.Batch)
	}
	rate := c.LearningRate * rows / float64(c.Language.BPTT)
	if l.average != nil {
		l.average.Step(rate, c.WeightDecay)
	} else {
		l.model.Descend(rate, c.WeightDecay)
	}
	copy(l.hidden, pass.Hidden)
	return begun{Images: len(w.Targets), Loss: pass.Loss * float64(len(w.Targets))}, nil
}

// rollBack takes weights and optimiser back to the end of the best epoch and returns an errAgain,
// or the cause where that is not to be (quirk R19). Unlike the released code it does not set the
// number of the epoch back, as each has one record, and it changes the random streams, which would
// lead to the same end.
func (l *language) rollBack(cause error) error {
	switch {
	case !l.config.Language.RollBack:
		return fmt.Errorf("%w; with roll-back on it would go back to the best weights: choose that or a lower learning-rate", cause)
	case l.best == nil:
		return fmt.Errorf("%w; no epoch is validated whose weights it could go back to: choose a lower learning-rate", cause)
	case l.rolledBack == mostRollBacks:
		return fmt.Errorf("%w; the epoch began again %d times from the best weights and never came to its end: choose a lower learning-rate", cause, mostRollBacks)
	}
	l.rolledBack++
	l.epoch = -1 // it gets other windows
	l.model.WriteParameters(l.best)
	if l.bestOf != nil {
		l.average.Restore(l.best, *l.bestOf) // the best weights are the averages themselves
	} else {
		l.average = nil
		l.trigger.BackToSGD()
	}
	return errAgain{fmt.Sprintf("%v; the epoch begins again from the best weights, for the %d. of at most %d times", cause, l.rolledBack, mostRollBacks)}
}

// measure implements course: the perplexity of the validation text by the weights, or by their
// averages; after the last epoch also that of the test text by the best.
func (l *language) measure(_ context.Context, e *Epoch) error {
	e.LearningRate = l.config.LearningRate
	words := &WordsEpoch{Averaging: l.average != nil, RolledBack: l.rolledBack}
	live := l.weights()
	measured := live
	if l.average != nil {
		measured = make([]float64, len(live))
		l.average.Read(measured)
	}
	// What an interrupt abandons is done again from a checkpoint, so the weights may stay put.
	l.model.WriteParameters(measured)
	valid, err := l.perplexity(l.valid)
	if errors.Is(err, algorithms.ErrDiverged) {
		return l.rollBack(fmt.Errorf("validation: %w", err))
	}
	if err != nil {
		return err
	}
	words.Valid = valid
	if words.Best = l.trigger.Epoch(valid.Loss); words.Best {
		l.best, l.bestOf = measured, l.averageState()
	}
	if e.Epoch+1 == l.config.Epochs {
		l.model.WriteParameters(l.best)
		test, err := l.perplexity(l.test)
		if err != nil {
			return err
		}
		words.Test = &test
	}
	l.model.WriteParameters(live)
	e.Words, l.rolledBack = words, 0
	return nil
}

func (l *language) perplexity(c text.Columns) (results.Perplexity, error) {
	e, err := l.model.Evaluate(c, l.config.Language.BPTT, nil)
	if err != nil {
		return results.Perplexity{}, err
	}
	p := results.NewPerplexity(e.Loss, e.Exact)
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("%w: %w", algorithms.ErrDiverged, err)
	}
	return p, nil
}

// averageState is nil of SGD.
func (l *language) averageState() *recurrent.AverageState {
	if l.average == nil {
		return nil
	}
	s := l.average.State()
	return &s
}

func (l *language) weights() []float64 {
	w := make([]float64, l.model.ParameterCount())
	l.model.ReadParameters(w)
	return w
}

// vectors implements course.
func (l *language) vectors() []vector {
	n := l.model.ParameterCount()
	all := []vector{
		{"weights", n, l.model.ReadParameters, l.model.WriteParameters},
		{"hidden", len(l.hidden), func(dst []float64) { copy(dst, l.hidden) }, func(src []float64) { copy(l.hidden, src) }},
	}
	if l.best != nil {
		all = append(all, vector{"best", n, func(dst []float64) { copy(dst, l.best) }, func(src []float64) { copy(l.best, src) }})
	}
	if l.average != nil {
		all = append(all, vector{"average", n, l.average.Read, func(src []float64) { l.average.Restore(src, l.average.State()) }})
	}
	return all
}

// languageMemory is what a checkpoint holds of the averaging. The trigger follows from the
// records.
type languageMemory struct {
	Averaging bool                   `json:"averaging"`
	From      int                    `json:"from"` // its first epoch
	Average   recurrent.AverageState `json:"average"`

	RolledBack int                     `json:"rolled_back,omitempty"` // times that the epoch began again
	BestOf     *recurrent.AverageState `json:"best_of,omitempty"`     // after the best epoch, where that averages
}

// memory implements course.
func (l *language) memory() any {
	m := languageMemory{Averaging: l.average != nil, From: l.from, RolledBack: l.rolledBack, BestOf: l.bestOf}
	if l.average != nil {
		m.Average = l.average.State()
	}
	return m
}

// recall implements course.
func (l *language) recall(memory json.RawMessage, epochs []Epoch, begun begun) error {
	var m languageMemory
	if err := json.Unmarshal(memory, &m); err != nil {
		return fmt.Errorf("averaging: %w", err)
	}
	impossible := func(a recurrent.AverageState) bool {
		return a.Steps < 1 || !(a.Rate > 0) || !(a.Weight > 0 && a.Weight <= 1)
	}
	if a := m.Average; m.Averaging && (impossible(a) || m.From < 1 || m.From > len(epochs)) {
		return fmt.Errorf("averaging since epoch %d, %d steps, rate %v, weight %v", m.From, a.Steps, a.Rate, a.Weight)
	}
	trigger := recurrent.Trigger{Patience: l.config.Language.Patience}
	var best *WordsEpoch
	rolled := func(epoch, times int) error { // what rollBack does to the trigger
		if times < 0 || times > mostRollBacks || times > 0 && (best == nil || !l.config.Language.RollBack) {
			return fmt.Errorf("epoch %d began again %d times: want at most %d, after a first epoch and with roll-back on", epoch, times, mostRollBacks)
		}
		if times > 0 && !best.Averaging {
			trigger.BackToSGD()
		}
		return nil
	}
	for _, e := range epochs {
		if e.Words == nil {
			return fmt.Errorf("the record of epoch %d has no words", e.Epoch)
		}
		if err := rolled(e.Epoch, e.Words.RolledBack); err != nil {
			return err
		}
		if trigger.Epoch(e.Words.Valid.Loss) {
			best = e.Words
		}
	}
	if err := rolled(len(epochs), m.RolledBack); err != nil {
		return err
	}
	last := len(epochs) - 1
	want := last >= 0 && epochs[last].Words.Averaging || trigger.Averaging() && begun.Steps > 0
	if m.RolledBack > 0 {
		want = best.Averaging
	}
	if m.Averaging != want {
		return fmt.Errorf("averaging %v, by the records it should be %v", m.Averaging, want)
	}
	if best != nil && best.Averaging && m.BestOf == nil {
		m.BestOf = &m.Average // a program that kept none wrote it: the newest is near
	}
	if averages := best != nil && best.Averaging; averages != (m.BestOf != nil) || averages && (!m.Averaging || impossible(*m.BestOf)) {
		return fmt.Errorf("averaging %v, after the best epoch %+v: want numbers above 0 if that averages, else none", m.Averaging, m.BestOf)
	}
	l.trigger, l.best, l.bestOf, l.average, l.from, l.rolledBack = trigger, nil, m.BestOf, nil, m.From, m.RolledBack
	l.epoch = -1 // the windows are of the roll-backs
	if best != nil {
		l.best = make([]float64, l.model.ParameterCount())
	}
	if m.Averaging {
		l.average = l.newAverage()
		l.average.Restore(make([]float64, l.model.ParameterCount()), m.Average)
	}
	return nil
}

// finish implements course: the result is that of the epoch of the lowest loss of validation.
func (l *language) finish(e *results.Evaluation, epochs []Epoch) {
	last := epochs[len(epochs)-1]
	w := &results.WordsResult{}
	for _, record := range epochs {
		if record.Words.Best {
			w.Epoch, w.Valid = record.Epoch, record.Words.Valid
		}
		if record.Words.Averaging && w.AveragingFrom == nil {
			w.AveragingFrom = new(record.Epoch)
		}
	}
	w.Test = *last.Words.Test
	e.Words, e.Train = w, last.Train
	e.Test.Loss = w.Test.Loss
}
