package recurrent

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/supernet"
)

// Dropout are the probabilities, in [0,1), with which masks drop their entries.
type Dropout struct {
	Output float64 // of the outputs before the decoder
	H      float64 // of every state before a matrix
	X      float64 // of the word's vector in the cell
	Input  float64 // of the same, once more
	Words  float64 // of whole words, as they are read (quirk R25)
}

// Draw draws the masks of a pass of so many sequences, in the order of the released code; nil
// where nothing is dropped.
func (d Dropout) Draw(r *rand.Rand, words, batch, hidden int) *Masks {
	if d == (Dropout{}) {
		return nil
	}
	mask := func(p float64, n int) []float64 {
		if p == 0 {
			return nil
		}
		m := make([]float64, n)
		for i := range m {
			if r.Float64() >= p {
				m[i] = 1 / (1 - p)
			}
		}
		return m
	}
	n := batch * hidden
	var m Masks
	m.Words, m.Input = mask(d.Words, words), mask(d.Input, n)
	m.X, m.H, m.Output = mask(d.X, n), mask(d.H, n), mask(d.Output, n)
	return &m
}

// Search is a search network as an algorithm sees a supernet (algorithms.Supernet). Its batches
// are passages of text. It draws the masks of dropout, and carries the hidden states of a stream
// from passage to passage.
//
// Passes that train, that is those with batch statistics that give a gradient, drop out and hand
// their last hidden states on: the passage after theirs begins with those of the last pass over
// theirs. All other passes drop nothing and hand nothing on; so the attack of SDARTS-ADV and the
// Hessian begin where the step does that they belong to. A passage that does not follow the one
// that was trained on last begins with states of 0.
type Search struct {
	*Model
	dropout      Dropout
	regularisers Regularisers // of the gradients of the weights
	plain        bool         // leaves them out

	streams map[string]*Stream
	draws   struct {
		seed    uint64
		purpose string
		index   []uint64
		pass    uint64 // since SetDraws
		held    bool
		last    *Masks
		batch   int // of last
		replay  func(pass int) *Masks
	}
}

// Stream is how far the passages of a stream have been trained on in an epoch.
type Stream struct {
	Name          string
	Epoch, Number int       // of the passage that was trained on last
	Before, After []float64 // Batch×H: the hidden states before it, and those it handed on
}

// NewSearch returns a search network around a model without a genotype.
func NewSearch(m *Model, dropout Dropout, r Regularisers) *Search {
	return &Search{Model: m, dropout: dropout, regularisers: r, streams: map[string]*Stream{}}
}

// Streams returns the streams that have been trained on, by name, for a checkpoint.
func (s *Search) Streams() (all []Stream) {
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		st := *s.streams[name]
		st.Before, st.After = slices.Clone(st.Before), slices.Clone(st.After)
		all = append(all, st)
	}
	return all
}

// SetStreams replaces the streams by those that Streams returned. It changes nothing on error.
func (s *Search) SetStreams(all []Stream) error {
	for _, st := range all {
		if n := len(st.Before); st.Epoch < 0 || st.Number < 0 || n == 0 || n%s.config.Hidden != 0 || len(st.After) != n {
			return fmt.Errorf("stream %q has %d and %d numbers of hidden states after passage %d of epoch %d: want as many of both, a multiple of %d",
				st.Name, n, len(st.After), st.Number, st.Epoch, s.config.Hidden)
		}
	}
	s.streams = map[string]*Stream{}
	for _, st := range all {
		s.streams[st.Name] = &st
	}
	return nil
}

// before returns the hidden states that a passage begins with.
func (s *Search) before(p *text.Passage) []float64 {
	n := p.Batch * s.config.Hidden
	if st := s.streams[p.Stream]; st != nil && !p.Begins && st.Epoch == p.Epoch && len(st.Before) == n {
		switch p.Number {
		case st.Number:
			return st.Before
		case st.Number + 1:
			return st.After
		}
	}
	return make([]float64, n)
}

// window is what a pass reads of a batch, without masks.
func (s *Search) window(b data.Batch) (Window, error) {
	p := b.Text
	if p == nil {
		return Window{}, fmt.Errorf("a batch without text: the recurrent network reads words")
	}
	return Window{Batch: p.Batch, Inputs: p.Inputs, Targets: p.Targets, Hidden: s.before(p)}, nil
}

// trained hands the hidden states after a passage on.
func (s *Search) trained(p *text.Passage, w Window, pass Pass) {
	s.streams[p.Stream] = &Stream{Name: p.Stream, Epoch: p.Epoch, Number: p.Number, Before: w.Hidden, After: pass.Hidden}
}

// masks draws those of the next pass that trains.
func (s *Search) masks(batch int) *Masks {
	d := &s.draws
	if d.held && d.batch == batch {
		d.held = false
		return d.last
	}
	d.held = false
	if d.replay != nil {
		d.last = d.replay(int(d.pass))
	} else {
		index := append(slices.Clone(d.index), d.pass)
		d.last = s.dropout.Draw(random.New(d.seed, d.purpose+"/masks", index...), s.config.Words, batch, s.config.Hidden)
	}
	d.batch = batch
	d.pass++
	return d.last
}

// SetReplay replaces the seeded masks by recorded ones: those of a pass that trains, counted from
// 0 since SetDraws.
func (s *Search) SetReplay(masks func(pass int) *Masks) { s.draws.replay = masks }

// SetDraws implements algorithms.Supernet: the streams of the masks of the passes that follow.
func (s *Search) SetDraws(seed uint64, purpose string, index ...uint64) {
	d := &s.draws
	d.seed, d.purpose, d.index, d.pass, d.held = seed, purpose, slices.Clone(index), 0, false
}

// HoldDraws implements algorithms.Supernet: the next pass that trains takes the masks of the last
// one, if it has as many sequences.
func (s *Search) HoldDraws() { s.draws.held = true }

// Droppable implements algorithms.Supernet: there is no drop path.
func (s *Search) Droppable() int { return 0 }

// SetDropPath implements algorithms.Supernet: there is no drop path.
func (s *Search) SetDropPath([]float64) {}

// SetDropout implements algorithms.Supernet: there are no skip connections to drop.
func (s *Search) SetDropout(float64) {}

// Regularise tells whether the gradients of the weights that follow are of the loss with the
// regularisers, as they are at first, or of the cross-entropy alone.
func (s *Search) Regularise(on bool) { s.plain = !on }

// Tied returns where the vectors of the words, which are the decoder too, lie among the
// parameters: those from from on, up to to.
func (s *Search) Tied() (from, to int) {
	t := s.parameters[0]
	return t.Offset, t.Offset + t.Size
}

// Forward implements algorithms.Supernet.
func (s *Search) Forward(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	w, err := s.window(b)
	if err != nil {
		return supernet.Pass{}, err
	}
	pass, err := s.Model.Forward(w, mixing, bn)
	return supernet.Pass{Loss: pass.Loss}, err
}

// MixingGradient implements algorithms.Supernet, of the cross-entropy without regularisers (quirk
// R11).
func (s *Search) MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	w, err := s.window(b)
	if err != nil {
		return supernet.Pass{}, err
	}
	if bn == supernet.BatchStatistics {
		w.Masks = s.masks(w.Batch)
	}
	pass, err := s.Model.MixingGradient(w, mixing, bn, Regularisers{}, grad)
	if err == nil && bn == supernet.BatchStatistics {
		s.trained(b.Text, w, pass)
	}
	return supernet.Pass{Loss: pass.Loss}, err
}

// WeightGradient implements algorithms.Supernet. The loss that it returns is the cross-entropy.
func (s *Search) WeightGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	w, err := s.window(b)
	if err != nil {
		return supernet.Pass{}, err
	}
	r := s.regularisers
	if s.plain {
		r = Regularisers{}
	}
	if bn == supernet.BatchStatistics {
		w.Masks = s.masks(w.Batch)
	}
	pass, err := s.Model.WeightGradient(w, mixing, bn, r)
	if err == nil && bn == supernet.BatchStatistics {
		s.trained(b.Text, w, pass)
	}
	return supernet.Pass{Loss: pass.Loss}, err
}

// StepWeights implements algorithms.Supernet. There is no momentum.
func (s *Search) StepWeights(sgd supernet.SGD) (float64, error) {
	if sgd.Momentum != 0 {
		return 0, fmt.Errorf("momentum %v: the recurrent network is trained without", sgd.Momentum)
	}
	norm, err := s.ClipGradient(sgd.Clip)
	if err == nil {
		s.Descend(sgd.LearningRate, sgd.WeightDecay)
	}
	return norm, err
}

// ReadMomentum implements algorithms.Weights: zeros, as there is no momentum.
func (s *Search) ReadMomentum(dst []float64) { clear(dst) }

// HessianForms implements algorithms.HessianNet: without masks, by batch statistics, with
// running ones that do not move.
func (s *Search) HessianForms(ctx context.Context, b data.Batch, mixing []float64, directions []supernet.Direction) (supernet.Pass, []float64, [][]float64, error) {
	w, err := s.window(b)
	if err != nil {
		return supernet.Pass{}, nil, nil, err
	}
	values := supernet.ValuesOf(directions)
	pass, grad, products, err := s.Model.HessianProducts(ctx, w, mixing, supernet.BatchStatistics, values)
	if err != nil {
		return supernet.Pass{}, nil, nil, err
	}
	return supernet.Pass{Loss: pass.Loss}, grad, supernet.FormsOfProducts(values, products), nil
}

// HessianSequence implements algorithms.HessianNet likewise.
func (s *Search) HessianSequence(ctx context.Context, b data.Batch, mixing []float64, next func(grad, product []float64) []float64) (supernet.Pass, error) {
	w, err := s.window(b)
	if err != nil {
		return supernet.Pass{}, err
	}
	pass, err := s.Model.HessianSequence(ctx, w, mixing, supernet.BatchStatistics, next)
	return supernet.Pass{Loss: pass.Loss}, err
}
