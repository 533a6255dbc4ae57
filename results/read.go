package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Bounds on the files of a run, in bytes; maxRecords is that of the records.
const (
	maxConfig = 1 << 20
	maxStatus = 1 << 20
)

// History is one run as read from its directory.
type History struct {
	Dir    string
	Run    Run
	Status Status
	Epochs []Epoch // in order, the Final record last where there is one
	// Evaluation is that of the architecture that the run found; nil where it was not
	// trained from scratch.
	Evaluation *Evaluation
	// Selection is what perturbation selects from its supernet; nil where that was not asked.
	Selection *Selection
	// SelectionEvaluation is that of what the Selection selected; nil where it was not
	// trained from scratch.
	SelectionEvaluation *Evaluation
	// BySelected tells that the final record has what the Selection selected, see BySelection.
	BySelected bool
	Warnings   []string // what was passed over while reading, and Misfit
	Misfit     error    // that the record is not the one that the run left, a *MisfitError; nil if it is or nothing is known
}

// Trained is the number of epochs that the run has recorded; its Final record is of
// none.
func (h *History) Trained() int {
	n := len(h.Epochs)
	if n == 0 {
		return 0
	}
	last := h.Epochs[n-1] // by its number, as Skim leaves some out
	if last.Final {
		return last.Epoch
	}
	return last.Epoch + 1
}

// States lists what a run can be.
var States = []State{Running, Finished, Interrupted, Failed}

// Read reads the run directory dir. A line of epochs.jsonl that a crash cut
// short, the last one without a line end, is left out with a warning; every
// other departure from the format is a *FormatError. Members it does not know
// are passed over: they are additions of a later program.
func Read(dir string) (*History, error) {
	return ReadFS(foreign.Dir(dir), dir)
}

// ReadFS is Read of a run directory whose files are in fsys; dir is what errors call it.
func ReadFS(fsys fs.FS, dir string) (*History, error) {
	h, err := read(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	return h, nil
}

// MisfitError reports a record that was changed after its run had ended.
type MisfitError struct {
	Path      string
	Want, Got Mark
}

// Error says how the record differs from the one that the run left.
func (e *MisfitError) Error() string {
	if e.Want.Bytes != e.Got.Bytes {
		return fmt.Sprintf("%s was changed after the run had ended: it has %d bytes, want %d", e.Path, e.Got.Bytes, e.Want.Bytes)
	}
	return fmt.Sprintf("%s was changed after the run had ended: its SHA-256 is %s, want %s", e.Path, e.Got.SHA256, e.Want.SHA256)
}

// fits compares the content of the record at path with what the run left.
func (s Status) fits(path string, record []byte) error {
	if s.Record == nil {
		return nil
	}
	if got := markOf(record); got != *s.Record {
		return &MisfitError{Path: path, Want: *s.Record, Got: got}
	}
	return nil
}

// Begins tells whether the lines begin with what the mark stands for.
func (m Mark) Begins(lines []byte) bool {
	return m.Bytes >= 0 && m.Bytes <= int64(len(lines)) && markOf(lines[:m.Bytes]) == m
}

// markOf is the place behind these lines at the start of a record.
func markOf(lines []byte) Mark {
	sum := sha256.Sum256(lines)
	return Mark{Bytes: int64(len(lines)), SHA256: hex.EncodeToString(sum[:])}
}

// Find returns the run directories at the given paths, unread. A path is a run
// directory, or a folder that holds some, in the order of their names; those
// that MoveAside renamed are left out.
func Find(paths ...string) ([]string, error) {
	var dirs []string
	for _, path := range paths {
		if IsRun(path) {
			dirs = append(dirs, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("find runs: %w", err)
		}
		found := len(dirs)
		for _, entry := range entries {
			if dir := filepath.Join(path, entry.Name()); Listed(entry.Name()) && IsRun(dir) {
				dirs = append(dirs, dir)
			}
		}
		if len(dirs) == found {
			return nil, fmt.Errorf("no run in %s: neither it nor a folder in it has a %s", path, configFile)
		}
	}
	return dirs, nil
}

// Listed tells whether a folder of this name is listed among the runs beside it: none
// that a crash left while it was made, and none that MoveAside renamed.
func Listed(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.Contains(name, asideMark)
}

// read reads a run directory whose files are in fsys; dir is its name.
func read(fsys fs.FS, dir string) (*History, error) {
	h := &History{Dir: dir}
	var err error
	if h.Run, err = readConfig(fsys, dir); err != nil {
		return nil, err
	}
	if h.Status, err = readStatus(fsys, dir); err != nil {
		return nil, err
	}
	if h.Evaluation, err = readEvaluation(fsys, dir, h.Run, ""); err != nil {
		return nil, err
	}
	if h.Selection, err = readSelection(fsys, dir, h.Run); err != nil {
		return nil, err
	}
	if h.SelectionEvaluation, err = readEvaluation(fsys, dir, h.Run, ByPerturbation); err != nil {
		return nil, err
	}
	if e := h.SelectionEvaluation; e != nil && (h.Selection == nil || !e.Subject.is(h.Selection.Selected.record(Epoch{}))) {
		h.SelectionEvaluation = nil // of a selection that was replaced
	}

	data, path, err := records(fsys, dir)
	if err != nil {
		return nil, err
	}
	var torn int
	if h.Misfit = h.Status.fits(path, data); h.Misfit != nil {
		h.Warnings = append(h.Warnings, h.Misfit.Error())
	}
	if h.Epochs, _, torn, err = readEpochs(path, data); err != nil {
		return nil, err
	}
	for i, e := range h.Epochs {
		if err := h.Run.checkLookup(e); err != nil {
			return nil, locate(err, path, i+1)
		}
	}
	if torn > 0 {
		h.Warnings = append(h.Warnings, fmt.Sprintf("%s:%d: the last line is cut short, left out", path, torn))
	}
	if err := h.checkEvaluation(); err != nil {
		return nil, err
	}
	return h, nil
}

// readEpochs reads the records in data, what stands in the file at path, and
// returns what may follow them. A last line that is cut short is left out; torn
// is its number, 0 if there is none.
func readEpochs(path string, data []byte) (epochs []Epoch, due sequence, torn int, err error) {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		if !bytes.HasSuffix(text, []byte("\n")) {
			return epochs, due, line, nil
		}
		var e Epoch
		if err := decode(path, line, text, &e); err != nil {
			return nil, due, 0, err
		}
		err := due.accept(e)
		if err == nil {
			err = e.Check()
		}
		if err != nil {
			return nil, due, 0, locate(err, path, line)
		}
		epochs = append(epochs, e)
	}
	return epochs, due, 0, nil
}

func readConfig(fsys fs.FS, dir string) (Run, error) {
	path := filepath.Join(dir, configFile)
	data, err := foreign.ReadFS(fsys, configFile, maxConfig)
	if err != nil {
		return Run{}, err
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := decode(path, 1, data, &version); err != nil {
		return Run{}, err
	}
	if version.Format != Version {
		return Run{}, locate(invalid("format", "version %d, but this program reads version %d only", version.Format, Version), path, 0)
	}
	var run Run
	if err := decode(path, 1, data, &run); err != nil {
		return Run{}, err
	}
	if run, err = run.checked(); err != nil {
		return Run{}, locate(err, path, 0)
	}
	return run, nil
}

func readStatus(fsys fs.FS, dir string) (Status, error) {
	path := filepath.Join(dir, statusFile)
	data, err := foreign.ReadFS(fsys, statusFile, maxStatus)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := decode(path, 1, data, &s); err != nil {
		return Status{}, err
	}
	if !slices.Contains(States, s.State) {
		return Status{}, locate(invalid("state", "%q is none of %s", s.State, States), path, 0)
	}
	if s.Started.IsZero() {
		return Status{}, locate(invalid("started", "is missing"), path, 0)
	}
	return s, nil
}

// decode unmarshals data, which begins at the given line of the file at path.
func decode(path string, line int, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	f := &FormatError{Path: path, Err: err}
	var offset int64
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &wrong):
		offset, f.Field = wrong.Offset, wrong.Field
		f.Err = fmt.Errorf("a JSON %s does not fit", wrong.Value)
	}
	before := data[:min(int(offset), len(bytes.TrimRight(data, "\n")))]
	f.Line = line + bytes.Count(before, []byte("\n"))
	return f
}

// parseVersioned reads the content of the file at path: an object that names the version of
// its format, of which this program reads one.
func parseVersioned[T interface{ Check() error }](path string, text []byte, version int) (v T, err error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := decode(path, 1, text, &head); err != nil {
		return v, err
	}
	if head.Format != version {
		return v, locate(invalid("format", "version %d, but this program reads version %d only", head.Format, version), path, 0)
	}
	if err := decode(path, 1, text, &v); err != nil {
		return v, err
	}
	if err := v.Check(); err != nil {
		return v, locate(err, path, 0)
	}
	return v, nil
}

// readBeside reads what may lie beside the records of a run, at path and so in fsys, which is
// its directory; nil where there is nothing.
func readBeside[T any](fsys fs.FS, path, name string, most int64, parse func(path string, text []byte) (T, error)) (*T, error) {
	text, err := foreign.ReadFS(fsys, name, most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := parse(path, text)
	return &v, err
}
