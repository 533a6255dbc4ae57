package retrain

import (
	"fmt"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Folder is the folder in a run directory that holds the records of the training of what
// the run found.
const Folder = "retrain"

// SubjectOf is what a finished run found: the architecture after its last epoch (quirk C4),
// or what was selected from its supernet, see results.History.BySelection.
func SubjectOf(h *results.History) (results.Subject, error) {
	s := results.Subject{Run: h.Run.Name(), Space: h.Run.Space}
	if h.BySelected {
		s.Selection = results.ByPerturbation
	}
	last := &h.Epochs[len(h.Epochs)-1]
	if last.Architecture == nil {
		s.Form, s.Cell = results.FormNASBench101, &last.Cell
		return s, nil
	}
	if g, ok := rnn.GenotypeOf(*last.Architecture); ok {
		s.Form, s.Genotype = results.FormRecurrent, g.Line()
		return s, nil
	}
	g, ok := darts.GenotypeOf(*last.Architecture)
	if !ok {
		return s, fmt.Errorf("%s: no network is known for the architectures of space %s", h.Dir, last.Architecture.Space)
	}
	s.Form, s.Genotype = results.FormCIFAR, g.Line()
	return s, nil
}

// SearchSeconds is the wall time of a run's records and, of what was selected from its
// supernet, of the selection.
func SearchSeconds(h *results.History) (sum float64) {
	if h.BySelected {
		sum = h.Selection.Seconds
	}
	for _, e := range h.Epochs {
		sum += e.Duration()
	}
	return sum
}

// Made tells whether an evaluation was made by the configuration, of whatever images.
func (c Config) Made(e results.Evaluation) bool {
	recipe := c.recipe(max(e.Recipe.Classes, e.Recipe.Words.Vocabulary), e.Recipe.TrainImages, e.Recipe.TestImages)
	recipe.Words.ValidWords = e.Recipe.Words.ValidWords
	return e.Subject.Form == c.Form && e.Provenance.Preset == c.Preset && e.Recipe == recipe
}

// Memory returns the bytes that a training takes at most on a CPU engine, for values of so
// many bytes: of an architecture with a separable convolution on every edge, or of four
// 3×3 convolutions side by side, which no other exceeds by much.
func (c Config) Memory(classes, element int) (int64, error) {
	const row = "sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1"
	j := Job{Config: c, Subject: results.Subject{Form: c.Form, Genotype: row + " | " + row}}
	if c.Form == results.FormNASBench101 {
		const conv = "conv3x3-bn-relu"
		j.Subject.Cell = &results.Cell{
			Matrix:     [][]int{{0, 1, 1, 1, 1, 0}, {0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 0}},
			Operations: []string{"input", conv, conv, conv, conv, "output"},
		}
	}
	network, err := j.network(classes)
	if err != nil {
		return 0, err
	}
	return network.Memory(c.Batch, 0, element)
}
