package verify

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	goldens "github.com/nb1shot/nb1shot/internal/golden"
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

// load reads the case in a folder.
func load(dir string) (*golden, error) {
	return loadGolden(Folder(filepath.Dir(dir)), filepath.Base(dir))
}

func TestLoadGoldenFlattens(t *testing.T) {
	dir := writeCase(t, map[string]string{
		"manifest.json": `{"a": 1.5, "b": true, "c": null, "list": [[1, 2], [3]], "none": [],
			"words": ["x", "y"], "steps": [{"loss": 1}, {"loss": 2, "gone": ["z"]}]}`,
		"cases.json": `{"a": {"3": [false, 4]}}`,
		"rows.json":  `[{"x": 5}, {"x": 6}]`,
		"array.npy":  string(npy(header("<i8", "2,"), 8, 9)),
		"odd.bin":    "?",
	})
	g, err := load(dir)
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
		"rows[0].x":     {numbers: []float64{5}},
		"rows[1].x":     {numbers: []float64{6}},
		"array":         {numbers: []float64{8, 9}, shape: []int{2}},
		"odd.bin":       {},
	}
	if diff := cmp.Diff(want, g.leaves, cmp.AllowUnexported(leaf{})); diff != "" {
		t.Error(diff)
	}
	if g.lengths["steps"] != 2 || g.lengths["rows"] != 2 {
		t.Errorf("lengths %v", g.lengths)
	}
	for _, name := range []string{"a", "steps", "steps[1].gone", "cases", "cases.a", "rows", "array", "odd.bin"} {
		if !g.has(name) {
			t.Errorf("%s is not there", name)
		}
	}
	if g.has("step") || g.has("case") || g.has("cases.a.4") {
		t.Error("parts of names are there")
	}
}

func TestLoadGoldenErrors(t *testing.T) {
	array := string(npy(header("<f8", "2,"), 8, 9))
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no manifest", map[string]string{"a.npy": array}, "manifest.json"},
		{"array missing", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [2]}}}`}, "a.npy"},
		{"text missing", map[string]string{"manifest.json": `{"files": {"a.json": {"dtype": "json"}}}`}, "a.json"},
		{"array cut short", map[string]string{"manifest.json": `{}`, "a.npy": array[:len(array)-1]}, "needs 16"},
		{"huge header", map[string]string{"manifest.json": `{}`, "a.npy": string(npy(header("<f8", "9999999999,")))}, "more than"},
		{"folded to another length", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [40]}}}`, "a.folded.npy": array}, "3"},
		{"whole and folded", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [32]}}}`, "a.folded.npy": array, "a.npy": array}, "twice"},
		{"other shape", map[string]string{"manifest.json": `{"files": {"a.npy": {"shape": [1, 2]}}}`, "a.npy": array}, "shape"},
		{"stored twice", map[string]string{"manifest.json": `{"a": 1}`, "a.npy": array}, "twice"},
		{"not JSON", map[string]string{"manifest.json": `{"a": `}, "manifest.json"},
		{"not an object", map[string]string{"manifest.json": `[1]`}, "manifest.json"},
		{"not an array", map[string]string{"manifest.json": `{}`, "a.npy": "x"}, "a.npy"},
		{"text after JSON", map[string]string{"manifest.json": `{}`, "b.json": `{} {}`}, "b.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(writeCase(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %q", err, tt.want)
			}
		})
	}
	if _, err := load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder missing: got error %v", err)
	}
}

// A folded array stands for as many numbers as the manifest says, is no input, and is met
// by numbers that have its sums.
func TestFolded(t *testing.T) {
	values := make([]float64, 33)
	for i := range values {
		values[i] = float64(i%7) - 3
	}
	g, err := load(writeCase(t, map[string]string{
		"manifest.json":    `{"files": {"a.npy": {"shape": [3, 11]}}}`,
		"a.folded.npy":     string(formatNPY(goldens.Fold(values))),
		"b.folded.npy.txt": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	a := g.leaves["a"]
	if a.len() != 33 || len(a.numbers) != 3 {
		t.Errorf("%d sums of %d numbers, want 3 of 33", len(a.numbers), a.len())
	}
	if e := relativeError(values, a, 0); e != 0 {
		t.Errorf("the numbers themselves are off by %g", e)
	}
	for i := range values {
		values[i] += 1e-6
		if e := relativeError(values, a, 0); !(e > 1e-8) {
			t.Errorf("number %d is off by 1e-6, found %g", i, e)
		}
		values[i] -= 1e-6
	}
	if e := relativeError(values[:32], a, 0); !math.IsInf(e, 1) {
		t.Errorf("a number is missing, found %g", e)
	}
	if g.numbers("a", -1); g.err == nil {
		t.Error("sums were read as an input")
	}
}

// Wrong inputs read as zeros of the right length and are remembered.
func TestInputs(t *testing.T) {
	g, err := load(writeCase(t, map[string]string{"manifest.json": `{"n": 3, "half": 0.5, "t": "x", "tt": ["x", "y"]}`}))
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
