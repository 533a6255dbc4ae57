package verify

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeCase makes a case folder of the given files.
func writeCase(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadGoldenFlattens(t *testing.T) {
	dir := writeCase(t, map[string]string{
		"manifest.json": `{"a": 1.5, "b": true, "c": null, "list": [[1, 2], [3]], "none": [],
			"words": ["x", "y"], "steps": [{"loss": 1}, {"loss": 2, "gone": ["z"]}]}`,
		"cases.json": `{"a": {"3": [false, 4]}}`,
		"array.npy":  string(npy(header("<i8", "2,"), 8, 9)),
		"odd.bin":    "?",
	})
	g, err := loadGolden(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]leaf{
		"a":             {numbers: []float64{1.5}},
		"b":             {numbers: []float64{1}},
		"c":             {texts: []string{"null"}},
		"list":          {numbers: []float64{1, 2, 3}},
		"none":          {},
		"words":         {texts: []string{"x", "y"}},
		"steps[0].loss": {numbers: []float64{1}},
		"steps[1].loss": {numbers: []float64{2}},
		"steps[1].gone": {texts: []string{"z"}},
		"cases.a.3":     {numbers: []float64{0, 4}},
		"array":         {numbers: []float64{8, 9}, shape: []int{2}},
		"odd.bin":       {},
	}
	if diff := cmp.Diff(want, g.leaves, cmp.AllowUnexported(leaf{})); diff != "" {
		t.Error(diff)
	}
	if g.lengths["steps"] != 2 {
		t.Errorf("lengths %v", g.lengths)
	}
}

func TestLoadGoldenErrors(t *testing.T) {
	array := string(npy(header("<f8", "2,"), 8, 9))
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"array missing", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [2]}}}`}, "a.npy"},
		{"other shape", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [1, 2]}}}`, "a.npy": array}, "shape"},
		{"stored twice", map[string]string{"manifest.json": `{"a": 1}`, "a.npy": array}, "twice"},
		{"not JSON", map[string]string{"manifest.json": `{"a": `}, "manifest.json"},
		{"not an object", map[string]string{"manifest.json": `[1]`}, "manifest.json"},
		{"not an array", map[string]string{"a.npy": "x"}, "a.npy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadGolden(writeCase(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %q", err, tt.want)
			}
		})
	}
	if _, err := loadGolden(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder missing: got error %v", err)
	}
}

// Wrong inputs read as zeros of the right length and are remembered.
func TestInputs(t *testing.T) {
	g, err := loadGolden(writeCase(t, map[string]string{"manifest.json": `{"n": 3, "half": 0.5, "t": "x", "tt": ["x", "y"]}`}))
	if err != nil {
		t.Fatal(err)
	}
	if g.integer("n") != 3 || g.number("half") != 0.5 || g.text("t") != "x" || g.err != nil {
		t.Fatalf("good inputs read wrongly, error %v", g.err)
	}
	for name, read := range map[string]func() bool{
		"missing":     func() bool { return g.number("none") == 0 },
		"length":      func() bool { return len(g.numbers("n", 4)) == 4 },
		"text":        func() bool { return g.number("t") == 0 },
		"whole":       func() bool { return g.integer("half") == 0 },
		"number":      func() bool { return len(g.texts("n")) == 0 },
		"two texts":   func() bool { return g.text("tt") == "" },
		"not a array": func() bool { return len(g.shape("n", 2)) == 2 },
	} {
		g.err = nil
		if !read() || g.err == nil {
			t.Errorf("%s: error %v", name, g.err)
		}
	}
}
