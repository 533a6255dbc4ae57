package results

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/formattest"
)

// documentedSelection is the example in the document of the format.
func documentedSelection(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "selection.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("no example in docs/selection.md")
	}
	return m[1]
}

func TestSelectionFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/selection.md", Sample: documentedSelection(t),
		Read: func(file []byte) error {
			_, err := parseSelection("selection.json", file)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}

func FuzzSelection(f *testing.F) {
	f.Add(documentedSelection(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSelection("selection.json", text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), SelectionFile)
		if err := WriteSelection(path, s, false); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

// No file is replaced unasked, and none is written that would not be read.
func TestWriteSelection(t *testing.T) {
	path := filepath.Join(t.TempDir(), SelectionFile)
	s, err := parseSelection("selection.json", documentedSelection(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteSelection(path, s, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteSelection(path, s, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	s.Seed = 8
	if err := WriteSelection(path, s, true); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"seed": 8`) {
		t.Errorf("not replaced: %v", err)
	}
	for name, change := range map[string]func(*Selection){
		"run":                               func(s *Selection) { s.Run = "" },
		"epochs":                            func(s *Selection) { s.Images = 0 },
		"decisions":                         func(s *Selection) { s.Decisions = nil },
		"decisions[0].kept":                 func(s *Selection) { s.Decisions[0].Kept = []int{3} },
		"decisions[0].candidates[1]":        func(s *Selection) { s.Decisions[0].Candidates[1].Name = "" },
		"decisions[0].candidates[2].score.": func(s *Selection) { s.Decisions[0].Candidates[2].Score.Accuracy = 2 },
		"selected.cell":                     func(s *Selection) { s.Selected.Cell.Hash = "" },
	} {
		s, err := parseSelection("selection.json", documentedSelection(t))
		if err != nil {
			t.Fatal(err)
		}
		change(&s)
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A run is read with its selection, which must be of it.
func TestReadSelection(t *testing.T) {
	h := histories(t, 1, func(int, *History) {})[0]
	if _, err := h.BySelection(); !errors.Is(err, ErrUnselected) {
		t.Errorf("without a selection: %v", err)
	}
	s, err := parseSelection("selection.json", documentedSelection(t))
	if err != nil {
		t.Fatal(err)
	}
	h.Selection = &s
	other, err := h.BySelection()
	if err != nil {
		t.Fatal(err)
	}
	last := len(h.Epochs) - 1
	if got := other.Epochs[last]; got.Cell.Hash != s.Selected.Cell.Hash || *got.Lookup.TestError != 0.0671 || !strings.Contains(got.Warning, "perturbation") {
		t.Errorf("final record: %+v", got)
	}
	if h.Epochs[last].Cell.Hash == s.Selected.Cell.Hash || h.BySelected || !other.BySelected {
		t.Error("the run itself has changed")
	}
}
