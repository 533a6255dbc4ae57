package results

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/formattest"
)

// documentedEvaluation is the example in the document of the format.
func documentedEvaluation(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "evaluation.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("no example in docs/evaluation.md")
	}
	return m[1]
}

func TestEvaluationFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/evaluation.md", Sample: documentedEvaluation(t),
		Read: func(file []byte) error {
			_, err := parseEvaluation("evaluation.json", file)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}

// sampleEvaluation is a valid evaluation.
func sampleEvaluation(t testing.TB) Evaluation {
	t.Helper()
	e, err := parseEvaluation("evaluation.json", documentedEvaluation(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The example of the document is what is written, and no file is replaced.
func TestWriteEvaluation(t *testing.T) {
	path := filepath.Join(t.TempDir(), EvaluationFile)
	e := sampleEvaluation(t)
	if err := WriteEvaluation(path, e); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(documentedEvaluation(t)), string(text)); diff != "" {
		t.Error(diff)
	}
	again, err := ReadEvaluation(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, again); diff != "" {
		t.Error(diff)
	}
	e.Seed++
	if err := WriteEvaluation(path, e); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second evaluation: %v", err)
	}
}

func TestCheckEvaluation(t *testing.T) {
	for field, spoil := range map[string]func(*Evaluation){
		"subject.form":      func(e *Evaluation) { e.Subject.Form = "resnet" },
		"subject.genotype":  func(e *Evaluation) { e.Subject.Genotype = "sep9:0" },
		"subject.cell":      func(e *Evaluation) { e.Subject.Form = FormNASBench101 },
		"subject.published": func(e *Evaluation) { e.Subject.Run = "darts-s2-darts-quick-1f0c9a3e-seed0" },
		"subject.cell.hash": func(e *Evaluation) {
			e.Subject = Subject{Form: FormNASBench101, Cell: new(record(0).Cell)}
			e.Subject.Cell.Hash = "?"
		},
		"provenance.table":     func(e *Evaluation) { e.Provenance.Table = "surrogate" },
		"provenance.preset":    func(e *Evaluation) { e.Provenance.Preset = "../x" },
		"provenance.engine":    func(e *Evaluation) { e.Provenance.Engine = "" },
		"recipe.epochs":        func(e *Evaluation) { e.Recipe.Epochs = 0 },
		"recipe.weight_decay":  func(e *Evaluation) { e.Recipe.WeightDecay = -1 },
		"recipe.drop_path":     func(e *Evaluation) { e.Recipe.DropPath = 1 },
		"recipe.schedule":      func(e *Evaluation) { e.Recipe.Schedule = "" },
		"recipe.measured_on":   func(e *Evaluation) { e.Recipe.MeasuredOn = PartSecondHalf },
		"test.accuracy":        func(e *Evaluation) { e.Test.Accuracy = 1.5 },
		"test.loss":            func(e *Evaluation) { e.Test.Loss = math.NaN() },
		"best":                 func(e *Evaluation) { e.Best = &BestEpoch{Epoch: e.Recipe.Epochs, Accuracy: 1} },
		"parameters_auxiliary": func(e *Evaluation) { e.ParametersAuxiliary = e.Parameters - 1 },
		"macs":                 func(e *Evaluation) { e.MACs = 0 },
		"search_seconds":       func(e *Evaluation) { e.SearchSeconds = new(-1.0) },
	} {
		e := sampleEvaluation(t)
		spoil(&e)
		var format *FormatError
		if err := e.Check(); !errors.As(err, &format) || format.Field != field {
			t.Errorf("want an error of %s, got %v", field, err)
		}
		path := filepath.Join(t.TempDir(), EvaluationFile)
		if err := WriteEvaluation(path, e); err == nil {
			t.Errorf("%s: was written", field)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left a file", field)
		}
	}
}

// The evaluation of a run is read with it, and must be its own.
func TestReadEvaluationOfRun(t *testing.T) {
	config, status, epochs := files(t)
	dir := directory(config, status, epochs)
	h, err := read(dir, "run")
	if err != nil || h.Evaluation != nil {
		t.Fatalf("%v, %v", h.Evaluation, err)
	}
	e := sampleEvaluation(t)
	e.Subject = Subject{Form: FormNASBench101, Space: h.Run.Space, Cell: new(record(0).Cell), Run: h.Run.Name()}
	for _, test := range []struct {
		spoil func(*Evaluation)
		want  string
	}{
		{func(*Evaluation) {}, ""},
		{func(e *Evaluation) { e.Subject.Run = "another" }, "subject.run"},
		{func(e *Evaluation) { e.Subject.Space = "3" }, "subject.space"},
		{func(e *Evaluation) { e.Subject.Cell.Hash = strings.Repeat("0", 32) }, "no record of the run has this architecture"},
		{func(e *Evaluation) { e.Format = 3 }, "version 3"},
	} {
		e := e
		e.Subject.Cell = new(record(0).Cell)
		test.spoil(&e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		dir[EvaluationFile] = &fstest.MapFile{Data: text}
		h, err := read(dir, "run")
		switch {
		case test.want == "" && (err != nil || h.Evaluation.TestError() != 0.375):
			t.Errorf("%v", err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "run/evaluation.json")):
			t.Errorf("want an error with %q, got %v", test.want, err)
		}
	}
}

// What was selected has an evaluation of its own, which the run by selection takes with it. One
// of a selection that was replaced is passed over, and neither may stand for the other.
func TestReadEvaluationOfSelection(t *testing.T) {
	config, status, epochs := files(t)
	dir := directory(config, status, epochs)
	h, err := read(dir, "run")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSelection("selection.json", documentedSelection(t))
	if err != nil {
		t.Fatal(err)
	}
	s.Run = h.Run.Name()
	s.Selected.Lookup.Source, s.Search.Lookup.Source = h.Run.Provenance.Table, h.Run.Provenance.Table
	put := func(name string, v any) {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		dir[name] = &fstest.MapFile{Data: text}
	}
	put(SelectionFile, s)
	e := sampleEvaluation(t)
	e.Subject = Subject{Form: FormNASBench101, Space: h.Run.Space, Cell: &s.Selected.Cell, Run: h.Run.Name(), Selection: ByPerturbation}
	put(SelectionFolder+"/"+EvaluationFile, e)
	if h, err = read(dir, "run"); err != nil || h.Evaluation != nil || h.SelectionEvaluation == nil {
		t.Fatalf("%v, evaluations %v, %v", err, h.Evaluation, h.SelectionEvaluation)
	}
	other, err := h.BySelection()
	if err != nil || other.Evaluation == nil || other.Evaluation.TestError() != 0.375 {
		t.Errorf("%v, evaluation %v", err, other.Evaluation)
	}

	put(EvaluationFile, e)
	if _, err := read(dir, "run"); err == nil || !strings.Contains(err.Error(), "subject.selection") {
		t.Errorf("it stands for what the search delivered: %v", err)
	}
	delete(dir, EvaluationFile)
	e.Subject.Cell = new(record(0).Cell)
	put(SelectionFolder+"/"+EvaluationFile, e)
	if h, err = read(dir, "run"); err != nil || h.SelectionEvaluation != nil {
		t.Errorf("of another selection: %v, %v", err, h.SelectionEvaluation)
	}
	e.Subject.Selection = ""
	put(SelectionFolder+"/"+EvaluationFile, e)
	if _, err := read(dir, "run"); err == nil || !strings.Contains(err.Error(), "subject.selection") {
		t.Errorf("of what the search delivered: %v", err)
	}
	for _, wrong := range []Subject{{Selection: "chance", Run: "r"}, {Selection: ByPerturbation}} {
		e.Subject.Selection, e.Subject.Run = wrong.Selection, wrong.Run
		if err := e.Check(); err == nil || !strings.Contains(err.Error(), "subject.selection") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// Evaluations agree in their keys apart from subject, seed and what people are told.
func TestEvaluationKey(t *testing.T) {
	a := sampleEvaluation(t)
	b := a
	b.Seed, b.Subject.Published, b.Provenance.Device, b.Test.Accuracy = 7, "c10_s2_random", "another", 0.5
	if name, _, _ := a.Key().Difference(b.Key()); name != "" || a.Key() != b.Key() {
		t.Errorf("they differ in %s", name)
	}
	b.Recipe.Epochs = 600
	if name, x, y := a.Key().Difference(b.Key()); name != "recipe.epochs" || x != "20" || y != "600" {
		t.Errorf("%s: %s, %s", name, x, y)
	}
}

// No bytes make the reader panic, and what it accepts can be written.
func FuzzEvaluation(f *testing.F) {
	sample := documentedEvaluation(f)
	f.Add(sample)
	f.Add(sample[:len(sample)/2])
	f.Add([]byte(`{"format": 1, "subject": {"form": "nasbench101", "cell": {}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parseEvaluation("evaluation.json", text)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v is not a FormatError", err)
			}
			return
		}
		written, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseEvaluation("evaluation.json", written)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Error(diff)
		}
	})
}
