package results_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/results"
)

func landscape() results.Landscape {
	return results.Landscape{
		Space: "1", Moved: results.MovedAlphas, Seed: 3, Images: 40, GradientNorm: 0.25, RandomNorm: 4.5,
		Directions:  [][]float64{{1, 0}, {0, 1}},
		Coordinates: []float64{-2, 0, 2},
		Accuracy:    [][]float64{{0.1, 0.2, 0.3}, {0.4, 0.5, 0.6}, {0.7, 0.8, 0.9}},
		Loss:        [][]float64{{9, 8, 7}, {6, 5, 4}, {3, 2, 1}},
		Sharpness:   results.Sharpness{Radius: 2, Points: 32, AccuracyDrop: 0.25, LossRise: 0.5},
	}
}

func TestLandscape(t *testing.T) {
	want := landscape()
	if err := want.Check(); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got results.Landscape
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if c := got.Centre(); c != (results.Score{Loss: 5, Accuracy: 0.5}) {
		t.Errorf("centre %+v", c)
	}
}

func TestLandscapeCheck(t *testing.T) {
	for field, spoil := range map[string]func(l *results.Landscape){
		"space":          func(l *results.Landscape) { l.Space = "4" },
		"moved":          func(l *results.Landscape) { l.Moved = "" },
		"images":         func(l *results.Landscape) { l.Images = 0 },
		"directions":     func(l *results.Landscape) { l.Directions[1] = []float64{1} },
		"coordinates":    func(l *results.Landscape) { l.Coordinates = []float64{-2, -1, 1, 2} },
		"coordinates[1]": func(l *results.Landscape) { l.Coordinates = []float64{2, 0, -2} },
		"accuracy":       func(l *results.Landscape) { l.Accuracy = l.Accuracy[:2] },
		"loss[2]":        func(l *results.Landscape) { l.Loss[2] = l.Loss[2][:2] },
		"accuracy[1][2]": func(l *results.Landscape) { l.Accuracy[1][2] = 1.5 },
		"loss[0][1]":     func(l *results.Landscape) { l.Loss[0][1] = math.NaN() },
		"sharpness.loss_rise": func(l *results.Landscape) {
			l.Sharpness.LossRise = math.Inf(1)
		},
	} {
		l := landscape()
		spoil(&l)
		var format *results.FormatError
		if err := l.Check(); !errors.As(err, &format) || format.Field != field {
			t.Errorf("error %v, want a FormatError of %s", err, field)
		}
	}
	if err := (results.Landscape{}).Check(); err == nil {
		t.Error("an empty landscape was accepted")
	}
}

func TestLandscapeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "landscape.json")
	whole := results.RunLandscape{
		Run: "s1-sdarts-adv-quick-1f0c9a3e-seed7", Provenance: results.Provenance{Images: "procedural", Preset: "quick"}, Landscape: landscape(),
	}
	if err := writeLandscape(path, whole); err != nil {
		t.Fatal(err)
	}
	got, err := results.ReadLandscape(path)
	if err != nil {
		t.Fatal(err)
	}
	whole.Format = got.Format // see TestLandscapeFormat
	if d := cmp.Diff(whole, got); d != "" {
		t.Error(d)
	}
	if algorithm, seed, err := got.Origin(); algorithm != "sdarts-adv" || seed != 7 || err != nil {
		t.Errorf("%q, %d, %v", algorithm, seed, err)
	}

	for name, test := range map[string]struct {
		spoil func(l *results.RunLandscape)
		field string
	}{
		"no run":         {func(l *results.RunLandscape) { l.Run = "" }, "run"},
		"another space":  {func(l *results.RunLandscape) { l.Run = "s2-sdarts-adv-quick-1f0c9a3e-seed7" }, "run"},
		"another preset": {func(l *results.RunLandscape) { l.Provenance.Preset = "paper" }, "run"},
		"no preset":      {func(l *results.RunLandscape) { l.Provenance.Preset = "" }, "provenance.preset"},
		"a huge seed":    {func(l *results.RunLandscape) { l.Run = "s1-darts-quick-1f0c9a3e-seed99999999999999999999" }, "run"},
		"no algorithm":   {func(l *results.RunLandscape) { l.Run = "s1--quick-1f0c9a3e-seed7" }, "run"},
		"not to scale":   {func(l *results.RunLandscape) { l.Accuracy[0][0] = 30 }, "accuracy[0][0]"},
	} {
		l := whole
		l.Landscape = landscape()
		test.spoil(&l)
		if err := writeLandscape(path, l); err != nil {
			t.Fatal(err)
		}
		var format *results.FormatError
		if _, err := results.ReadLandscape(path); !errors.As(err, &format) || format.Field != test.field || format.Path != path {
			t.Errorf("%s: error %v, want a FormatError of %s", name, err, test.field)
		}
	}
	if err := os.WriteFile(path, []byte("{\n\"run\": 3}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var format *results.FormatError
	if _, err := results.ReadLandscape(path); !errors.As(err, &format) || format.Line != 2 {
		t.Errorf("error %v, want a FormatError of line 2", err)
	}
	if _, err := results.ReadLandscape(filepath.Join(path, "nowhere")); err == nil {
		t.Error("read a file that is not there")
	}
}

func TestLandscapeFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "landscape.json")
	l := results.RunLandscape{
		Run: "s1-darts-quick-1f0c9a3e-seed0", Provenance: results.Provenance{Preset: "quick"}, Landscape: landscape(),
	}
	if err := writeLandscape(path, l); err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	formattest.Conform(t, formattest.Format{
		Document: "docs/run-directory.md", Sample: sample,
		Read: func(file []byte) error {
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := results.ReadLandscape(path)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}

func writeLandscape(path string, l results.RunLandscape) error {
	text, err := l.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
