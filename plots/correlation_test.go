package plots

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// correlated makes up a correlation over 40 cells, of a supernet that knows the order but
// for a noise.
func correlated(t *testing.T, noise float64, forms ...string) results.Correlation {
	t.Helper()
	c := results.Correlation{Run: "s1-darts-quick-1f0c9a3e-seed0", Space: "1", Provenance: provenance(), Scoring: results.Scoring{
		Cells: results.CellsReleased, Forms: forms, On: results.ScoredOnSearch, Images: 200, Statistics: "running", Epochs: 100,
	}}
	for i := range 40 {
		cell := results.ScoredCell{Hash: fmt.Sprintf("%032x", i), Architecture: spaces.Architecture{Space: "1", Kept: [][]int{{0}, {1}, {2}, {0}, {0, 4}, {0, 1}, {2, 3}}}, TestError: 0.055 + 0.002*float64(i)}
		for k := range forms {
			cell.Scores = append(cell.Scores, results.Score{Loss: 1, Accuracy: 0.8 - 0.01*float64(i) - noise*float64(i*(7+k)%5)/5})
		}
		c.Cells = append(c.Cells, cell)
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCorrelations(t *testing.T) {
	panels := []CorrelationPanel{
		{"DARTS, space 1", correlated(t, 0.2, results.FormDiscrete, results.FormNormalized)},
		{"SDARTS-RS, space 1", correlated(t, 0, results.FormDiscrete, results.FormNormalized)},
	}
	f, err := Correlations(panels, Page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"All 40 cells without loose ends of the released generator", "after 100 epochs", "200 images of the search part", "DARTS, space 1, discrete", "(by chance 2.5)", "not CIFAR-10"} {
		if notes := strings.Join(f.Notes(), "\n"); !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
	svg, err := f.SVG()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DARTS, space 1, normalised", "τ 1.00", "Error by the supernet (%)"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("%q is not drawn", want)
		}
	}
	for name, spoil := range map[string]func(c *results.Correlation){
		"images":     func(c *results.Correlation) { c.Scoring.Images = 100 },
		"statistics": func(c *results.Correlation) { c.Scoring.Statistics = "batch" },
		"table":      func(c *results.Correlation) { c.Provenance.Table = "nasbench101" },
		"unfinished": func(c *results.Correlation) { c.By, c.Cells[39].Scores = nil, nil },
		"damaged":    func(c *results.Correlation) { c.Cells[3].Hash = "" },
	} {
		other := correlated(t, 0, results.FormDiscrete, results.FormNormalized)
		spoil(&other)
		_, err := Correlations([]CorrelationPanel{panels[0], {"other", other}}, Page)
		var mixed *results.MixedError
		var format *results.FormatError
		if err == nil || name != "unfinished" && !errors.As(err, &mixed) && !errors.As(err, &format) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Correlations(nil, Page); err == nil {
		t.Error("nothing is drawn")
	}
}
