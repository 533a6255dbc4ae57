package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/spaces"
)

// SelectionFile is the file of a Selection, in the directory of the search run.
const SelectionFile = "selection.json"

// SelectionFolder is the folder in the directory of a search run that holds the training of
// what was selected, with its Evaluation.
const SelectionFolder = "retrain-selection"

// SelectionVersion is the format of a selection, its member "format".
const SelectionVersion = 1

// maxSelection bounds the file of a selection, in bytes.
const maxSelection = 4 << 20

// Selection is the architecture that perturbation selects from the supernet of a finished
// search (Wang et al., ICLR 2021), beside the one that the search delivered.
type Selection struct {
	Format int    `json:"format"` // SelectionVersion, set when it is written
	Run    string `json:"run"`    // Run.Name of the search
	Epochs int    `json:"epochs"` // of the search that are behind the supernet
	// Seed is that of the order of the decisions and of the fine-tuning.
	Seed         uint64  `json:"seed"`
	Batches      int     `json:"batches"`                 // of the search part, that a score is taken on
	Images       int     `json:"images"`                  // in them
	TuneEpochs   int     `json:"tune_epochs"`             // of fine-tuning after each decision but the last; 0 is none
	LearningRate float64 `json:"learning_rate,omitempty"` // at the start of the fine-tuning
	// Start is the supernet as the search left it.
	Start     Score              `json:"start"`
	Decisions []SelectedDecision `json:"decisions"` // in the order in which they were made
	Selected  Choice             `json:"selected"`  // by perturbation
	Search    Choice             `json:"search"`    // of the final record of the search
	Changed   int                `json:"changed"`   // choices in which the two differ
	Seconds   float64            `json:"seconds"`   // wall time
	Program   string             `json:"program,omitempty"`
}

// SelectedDecision is one decision of a Selection.
type SelectedDecision struct {
	Title      string    `json:"title"` // such as "operation of block 2"
	Candidates []LeftOut `json:"candidates"`
	Kept       []int     `json:"kept"` // of the candidates, ascending
}

// LeftOut is the supernet without a candidate.
type LeftOut struct {
	Name  string `json:"name"`
	Score Score  `json:"score"`
}

// Choice is an architecture as a record has it, and what the supernet makes of it.
type Choice struct {
	Cell         Cell                 `json:"cell,omitzero"`
	Architecture *spaces.Architecture `json:"architecture,omitempty"`
	Lookup       Lookup               `json:"lookup,omitzero"`
	Structure    *Structure           `json:"structure,omitempty"`
	// Supernet is the supernet with the discrete architecture, after all decisions.
	Supernet Score `json:"supernet"`
}

// Check verifies a selection that came from elsewhere, or is to be written. The error is a
// *FormatError.
func (s Selection) Check() error {
	if field, x := nonFinite(reflect.ValueOf(s), ""); field != "" {
		return invalid(field, "%v has no place in JSON: only finite numbers can be recorded", x)
	}
	switch {
	case s.Run == "":
		return invalid("run", "is missing")
	case s.Epochs < 1 || s.Batches < 1 || s.Images < 1 || s.TuneEpochs < 0 || s.LearningRate < 0 || s.Seconds < 0 || s.Changed < 0:
		return invalid("epochs", "%d epochs, %d batches of %d images, %d epochs of fine-tuning at %v, %d changes in %v seconds: want counts", s.Epochs, s.Batches, s.Images, s.TuneEpochs, s.LearningRate, s.Changed, s.Seconds)
	case len(s.Decisions) == 0:
		return invalid("decisions", "are missing")
	}
	scores := map[string]Score{"start": s.Start, "selected.supernet": s.Selected.Supernet, "search.supernet": s.Search.Supernet}
	for i, d := range s.Decisions {
		member := fmt.Sprintf("decisions[%d]", i)
		if d.Title == "" || len(d.Candidates) == 0 || len(d.Kept) == 0 {
			return invalid(member, "has no title, no candidates or keeps none")
		}
		for k, kept := range d.Kept {
			if kept < 0 || kept >= len(d.Candidates) || k > 0 && kept <= d.Kept[k-1] {
				return invalid(member+".kept", "is %v: want some of 0 to %d, ascending", d.Kept, len(d.Candidates)-1)
			}
		}
		for k, c := range d.Candidates {
			if c.Name == "" {
				return invalid(fmt.Sprintf("%s.candidates[%d]", member, k), "has no name")
			}
			scores[fmt.Sprintf("%s.candidates[%d].score", member, k)] = c.Score
		}
	}
	for member, score := range scores {
		if score.Accuracy < 0 || score.Accuracy > 1 {
			return invalid(member+".accuracy", "%v is not in [0,1]", score.Accuracy)
		}
	}
	for member, c := range map[string]Choice{"selected": s.Selected, "search": s.Search} {
		if err := c.record(Epoch{}).Check(); err != nil {
			return under(member, err)
		}
	}
	return nil
}

// record is a final record with the architecture of the choice instead of its own.
func (c Choice) record(e Epoch) Epoch {
	e.Cell, e.Architecture, e.Lookup, e.Structure = c.Cell, c.Architecture, c.Lookup, c.Structure
	return e
}

// WriteSelection writes the file at path. Where it is there already, it is replaced only if
// that is asked for: the error is fs.ErrExist otherwise. A selection that breaks the format
// is refused with a *FormatError.
func WriteSelection(path string, s Selection, replace bool) error {
	s.Format = SelectionVersion
	err := s.Check()
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(s, "", " ")
	}
	switch text = append(text, '\n'); {
	case err != nil:
	case replace:
		err = durable.WriteFile(path, text)
	default:
		err = durable.WriteNew(path, text)
	}
	if err != nil {
		return fmt.Errorf("write selection %s: %w", path, err)
	}
	return nil
}

// parseSelection reads the content of the file at path.
func parseSelection(path string, text []byte) (Selection, error) {
	return parseVersioned[Selection](path, text, SelectionVersion)
}

// readSelection reads the selection of a run in its directory dir, whose files are in fsys;
// it is nil where there is none.
func readSelection(fsys fs.FS, dir string, run Run) (*Selection, error) {
	path := filepath.Join(dir, SelectionFile)
	s, err := readBeside(fsys, path, SelectionFile, maxSelection, parseSelection)
	if s == nil || err != nil {
		return nil, err
	}
	if s.Run != run.Name() {
		return nil, locate(invalid("run", "is %q, but this is the run %s", s.Run, run.Name()), path, 0)
	}
	if err := run.checkLookup(s.Selected.record(Epoch{})); err != nil {
		return nil, locate(under("selected", err), path, 0)
	}
	return s, nil
}

// ErrUnselected reports a run without a Selection.
var ErrUnselected = errors.New("nothing was selected by perturbation")

// BySelection is the run as if it had delivered what its Selection selected: the final
// record has that architecture, all others are as they were. The error wraps ErrUnselected
// where there is no Selection.
func (h *History) BySelection() (*History, error) {
	n := len(h.Epochs)
	if h.Selection == nil || n == 0 || !h.Epochs[n-1].Final {
		return nil, fmt.Errorf("%s: %w", h.Dir, ErrUnselected)
	}
	other := *h
	other.Epochs = append(append([]Epoch{}, h.Epochs[:n-1]...), h.Selection.Selected.record(h.Epochs[n-1]))
	other.Evaluation, other.SelectionEvaluation = h.SelectionEvaluation, nil
	other.BySelected = true
	final := &other.Epochs[n-1]
	if final.Warning != "" {
		final.Warning += "; "
	}
	final.Warning += "selected by perturbation from the supernet that the search left, not by the search"
	return &other, nil
}
