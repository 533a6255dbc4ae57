package retrain

import (
	"fmt"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// Folder is the folder in a run directory that holds the records of the training of what
// the run found.
const Folder = "retrain"

// SubjectOf is what a finished run found: the architecture after its last epoch (quirk C4).
func SubjectOf(h *results.History) (results.Subject, error) {
	s := results.Subject{Run: h.Run.Name(), Space: h.Run.Space}
	last := &h.Epochs[len(h.Epochs)-1]
	if last.Architecture == nil {
		s.Form, s.Cell = results.FormNASBench101, &last.Cell
		return s, nil
	}
	g, ok := darts.GenotypeOf(*last.Architecture)
	if !ok {
		return s, fmt.Errorf("%s: no network is known for the architectures of space %s", h.Dir, last.Architecture.Space)
	}
	s.Form, s.Genotype = results.FormCIFAR, g.Line()
	return s, nil
}

// SearchSeconds is the wall time of a run's records.
func SearchSeconds(h *results.History) (sum float64) {
	for _, e := range h.Epochs {
		sum += e.Duration()
	}
	return sum
}

// Made tells whether an evaluation was made by the configuration, of whatever images.
func (c Config) Made(e results.Evaluation) bool {
	return e.Subject.Form == c.Form && e.Provenance.Preset == c.Preset && e.Recipe == c.recipe(e.Recipe.Classes, e.Recipe.TrainImages, e.Recipe.TestImages)
}
