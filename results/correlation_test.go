package results_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// correlation makes one up, of cells of which the supernet knows half the order.
func correlation(t *testing.T) results.Correlation {
	t.Helper()
	c := results.Correlation{
		Run: "s1-darts-quick-1f0c9a3e-seed0", Space: "1", Provenance: results.Provenance{Images: "procedural", Preset: "quick"},
		Scoring: results.Scoring{
			Cells: results.CellsReleased, Sample: 20, Forms: []string{results.FormDiscrete, results.FormNormalized}, On: results.ScoredOnSearch,
			Images: 100, Statistics: "running", Checkpoint: "checkpoint", Epochs: 3, Weights: "ab", Device: "CPU",
		},
	}
	for i := range 20 {
		c.Cells = append(c.Cells, results.ScoredCell{
			Hash:         fmt.Sprintf("%032x", i),
			Architecture: spaces.Architecture{Space: "1", Kept: [][]int{{0}, {1}, {2}, {i % 3}, {0, 4}, {0, 1}, {2, 3}}},
			TestError:    0.05 + 0.01*float64(i),
			Scores:       []results.Score{{Loss: 1, Accuracy: 0.9 - 0.02*float64(i)}, {Loss: 2, Accuracy: 0.5 + 0.1*float64(i%4)}},
		})
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCorrelation(t *testing.T) {
	c := correlation(t)
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	got := c.By[results.FormDiscrete]
	if math.Abs(got.Kendall-1) > 1e-12 || math.Abs(got.Spearman-1) > 1e-12 || math.Abs(got.Pearson-1) > 1e-12 || len(got.Top) != 1 || got.Top[0] != (results.Overlap{K: 10, Share: 1}) {
		t.Errorf("cells in the order of the table: %+v", got)
	}
	if other := c.By[results.FormNormalized]; other.Kendall > 0.5 || cmp.Equal(other, got) {
		t.Errorf("cells in another order: %+v", other)
	}
	rows, err := c.CSV()
	if err != nil || strings.Count(string(rows), "\n") != 21 || !strings.HasPrefix(string(rows), "run,hash,test_error,discrete.error,discrete.loss,normalized.error,normalized.loss\ns1-darts-quick-1f0c9a3e-seed0,00000000000000000000000000000000,0.05,0.09") {
		t.Errorf("%v, rows\n%s", err, rows)
	}
	if _, err := results.Correlate(make([]float64, 19), make([]float64, 19)); err == nil {
		t.Error("19 cells are taken")
	}
}

func TestCorrelationCheck(t *testing.T) {
	for field, spoil := range map[string]func(c *results.Correlation){
		"space":                 func(c *results.Correlation) { c.Space = "" },
		"run":                   func(c *results.Correlation) { c.Run = "" },
		"scoring.cells":         func(c *results.Correlation) { c.Scoring.Cells = "some" },
		"scoring.on":            func(c *results.Correlation) { c.Scoring.On = "" },
		"scoring.images":        func(c *results.Correlation) { c.Scoring.Images = 0 },
		"scoring.forms":         func(c *results.Correlation) { c.Scoring.Forms = nil },
		"cells":                 func(c *results.Correlation) { c.Cells = c.Cells[:19] },
		"cells[1].hash":         func(c *results.Correlation) { c.Cells[1].Hash = "x" },
		"cells[2].architecture": func(c *results.Correlation) { c.Cells[2].Architecture.Space = "2" },
		"cells[3].test_error":   func(c *results.Correlation) { c.Cells[3].TestError = 2 },
		"cells[4].scores":       func(c *results.Correlation) { c.Cells[4].Scores = c.Cells[4].Scores[:1] },
		"cells[5].scores":       func(c *results.Correlation) { c.Cells[5].Scores[0].Accuracy = -1 },
		"cells[7].scores":       func(c *results.Correlation) { c.Cells[6].Scores = nil },
		"by":                    func(c *results.Correlation) { c.Cells[19].Scores = nil },
		"by.discrete": func(c *results.Correlation) {
			r := c.By[results.FormDiscrete]
			r.Kendall = 0.5
			c.By[results.FormDiscrete] = r
		},
	} {
		c := correlation(t)
		spoil(&c)
		var format *results.FormatError
		if err := c.Check(); !errors.As(err, &format) || format.Field != field {
			t.Errorf("error %v, want a FormatError of %s", err, field)
		}
	}
}

// An unfinished correlation is read as one, and every version but this one refused.
func TestCorrelationFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "correlation.json")
	c := correlation(t)
	c.Format = results.Version
	for _, done := range []int{20, 7, 0} {
		c := c
		if done < 20 {
			c.By, c.Cells = nil, append([]results.ScoredCell{}, c.Cells...)
			for i := done; i < 20; i++ {
				c.Cells[i].Scores = nil
			}
		}
		text, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := results.ReadCorrelation(path)
		if err != nil || got.Done() != done {
			t.Fatalf("%d of %d cells are scored, %v", got.Done(), done, err)
		}
		if d := cmp.Diff(c, got); d != "" {
			t.Error(d)
		}
	}
	sample, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	formattest.Conform(t, formattest.Format{
		Document: "docs/correlation.md", Sample: sample,
		Read: func(file []byte) error {
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := results.ReadCorrelation(path)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}
