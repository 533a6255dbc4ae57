package plots

import (
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
)

// The figure of a training says what its lines are and what they are of.
func TestTraining(t *testing.T) {
	e := results.Evaluation{Seed: 7, Provenance: results.Provenance{Images: "procedural", Table: results.NoTable, Preset: "quick", Scale: "5 cells", Engine: "cpu", Precision: "float32"}}
	for part, want := range map[string]string{
		results.PartTest:       "on the test images",
		results.PartSecondHalf: "on the second half of the training images",
	} {
		e.Recipe.MeasuredOn = part
		f, err := Training("c10_s2_pgd", []float64{0.9, 0.5, 0.25}, []float64{0.8, 0.5, 0.375}, e, Column)
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(f.Notes(), " ")
		for _, want := range []string{want, "seed 7", "procedural, not CIFAR-10", "Preset quick: 5 cells"} {
			if !strings.Contains(notes, want) {
				t.Errorf("notes %q, want %q", notes, want)
			}
		}
		svg, err := f.SVG()
		if err != nil || len(svg) < 1000 {
			t.Errorf("%d bytes of SVG, %v", len(svg), err)
		}
	}
	for _, test := range [][]float64{nil, {0.5, 0.5}} {
		if _, err := Training("x", test[:min(1, len(test))], test, e, Column); err == nil {
			t.Errorf("%v is drawn", test)
		}
	}
}
