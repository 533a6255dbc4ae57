package steptime

import (
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// The streams of the problem of the recurrent space: words to read and to predict, and the four
// masks of dropout.
const (
	wordSeed = 800
	maskSeed = 900
)

// languageWeights bounds all weights of the language model. It is more than the ±0.04 that a
// search begins with, so that its loss is not merely that of a guess.
const languageWeights = 0.1

// Dropout of the released code, of masks in this order, and the rest of its weight step.
var (
	languageDropout = []float64{0.2, 0.75, 0.25, 0.75} // words before the cell, words in it, states, outputs
	languageSGD     = supernet.SGD{LearningRate: 20, WeightDecay: 5e-7, Clip: 0.25}
	languageTerms   = recurrent.Regularisers{Temporal: 1e-3}
)

// newLanguage is the problem of the recurrent space: one passage, from hidden states of 0 on.
func newLanguage(c Config, e engine.Engine) (*problem, error) {
	space, err := spaces.Get(c.Space)
	if err != nil {
		return nil, err
	}
	model, err := recurrent.New(recurrent.Config{Words: c.Words, Hidden: c.Hidden, BatchNormMomentum: 0.1}, e)
	if err != nil {
		return nil, err
	}
	p := &problem{
		search: recurrent.NewSearch(model, recurrent.Dropout{}, languageTerms),
		space:  space, sgd: languageSGD,
		alphas:   formula.Uniform(alphaSeed, rnn.Dim, 2, -1),
		mixing:   make([]float64, rnn.Dim),
		gradient: make([]float64, rnn.Dim),
	}
	space.Softmax(p.mixing, p.alphas)
	for i, t := range model.Parameters() {
		p.weights = append(p.weights, formula.Uniform(weightSeed+i, t.Size, 2*languageWeights, -languageWeights)...)
	}
	words := func(seed int) []int32 {
		list := make([]int32, c.Batch*c.Length)
		for i, u := range formula.Uniform(seed, len(list), float64(c.Words), 0) {
			list[i] = int32(u)
		}
		return list
	}
	p.images = data.Batch{N: c.Batch, Text: &text.Passage{Stream: "bench", Batch: c.Batch, Inputs: words(wordSeed), Targets: words(wordSeed + 1), Rate: 1}}
	var all [4][]float64
	for i, drop := range languageDropout {
		all[i] = formula.Uniform(maskSeed+i, c.Batch*c.Hidden, 1, 0)
		for j, u := range all[i] {
			all[i][j] = 0
			if u >= drop {
				all[i][j] = 1 / (1 - drop)
			}
		}
	}
	masks := &recurrent.Masks{Input: all[0], X: all[1], H: all[2], Output: all[3]}
	p.search.SetReplay(func(int) *recurrent.Masks { return masks })

	// Running statistics that do not fit the network can make it explode in evaluation mode, so
	// that those of a pass are where all steps begin.
	p.statistics = make([]float64, model.StatisticsCount())
	model.WriteParameters(p.weights)
	if _, err = p.search.Forward(p.images, p.mixing, supernet.BatchStatistics); err != nil {
		return nil, err
	}
	model.ReadStatistics(p.statistics)
	p.reset()
	return p, nil
}

// resetLanguage makes the language model what it was at first.
func (p *problem) resetLanguage() {
	p.search.WriteParameters(p.weights)
	p.search.WriteStatistics(p.statistics)
	if err := p.search.SetStreams(nil); err != nil {
		panic(err) // there is nothing in it to be wrong
	}
}

// flops is the arithmetic of all passes of the language model so far, 0 without one.
func (p *problem) flops() float64 {
	if p.search == nil {
		return 0
	}
	return p.search.FLOPs()
}
