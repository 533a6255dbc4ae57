package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nb1shot/nb1shot/internal/durable"
)

// The files of a run directory.
const (
	configFile = "config.json"
	statusFile = "status.json"
	epochsFile = "epochs.jsonl"
)

// State is how a run stands. A run whose process was killed stays Running.
type State string

// The states of a run.
const (
	Running     State = "running"
	Finished    State = "finished"
	Interrupted State = "interrupted" // stopped on request
	Failed      State = "failed"      // stopped by an error, told in Status.Message
)

// Status is the content of status.json. Its times, in UTC and whole seconds,
// are the only timestamps of a run directory.
type Status struct {
	State   State     `json:"state"`
	Message string    `json:"message,omitempty"` // why the run failed
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// FinishedError reports that the run to be created has been done already.
type FinishedError struct {
	Dir string
}

// Error names the directory.
func (e *FinishedError) Error() string {
	return fmt.Sprintf("results: %s is finished: nothing to do", e.Dir)
}

// UnfinishedError reports that the run to be created was begun and not
// finished, or is still going on in another process.
type UnfinishedError struct {
	Dir     string
	Status  Status
	Records int // complete records in epochs.jsonl
}

// Error tells how far the run came and what to do.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("results: %s is unfinished (%s, %d records): if no process works on it, move it aside to start again",
		e.Dir, e.Status.State, e.Records)
}

// Writer writes one run directory. It is not safe for concurrent use. End it
// with Finish, Interrupt or Fail.
type Writer struct {
	dir      string
	status   Status
	epochs   *os.File // nil once the run has ended
	sequence sequence
	err      error // of a write that may have left half a line: nothing may follow it
}

// Create begins the run in the folder root/run.Name(), which appears complete
// or not at all. A *FinishedError or *UnfinishedError says that the folder
// holds this very run already; a folder that holds anything else is refused
// too.
func Create(root string, run Run) (_ *Writer, err error) {
	if run, err = run.checked(); err != nil {
		return nil, fmt.Errorf("results: create run: %w", err)
	}
	w := &Writer{
		dir:    filepath.Join(root, run.Name()),
		status: Status{State: Running, Started: now()},
	}
	if err := refuseExisting(w.dir, run); err != nil {
		return nil, err
	}

	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("results: create run: %w", err)
	}
	temp, err := os.MkdirTemp(root, ".create-*")
	if err != nil {
		return nil, fmt.Errorf("results: create run: %w", err)
	}
	defer func() {
		if err != nil {
			if w.epochs != nil {
				w.epochs.Close()
			}
			os.RemoveAll(temp)
			err = fmt.Errorf("results: create %s: %w", w.dir, err)
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(temp, configFile), struct {
		Format int `json:"format"`
		Run
	}{Version, run}); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(temp, statusFile), w.status); err != nil {
		return nil, err
	}
	if w.epochs, err = os.OpenFile(filepath.Join(temp, epochsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	if err := durable.Sync(temp); err != nil {
		return nil, err
	}
	if err := durable.Rename(temp, w.dir); err != nil {
		return nil, err
	}
	return w, nil
}

// refuseExisting returns nil where dir does not exist, and otherwise the error
// that tells what stands there.
func refuseExisting(dir string, run Run) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	there, err := Read(dir)
	switch {
	case err != nil:
		return fmt.Errorf("results: %s exists and is no readable run: move it aside to start again: %w", dir, err)
	case there.Run.ConfigHash != run.ConfigHash || there.Run.Seed != run.Seed:
		return fmt.Errorf("results: %s holds another run: configuration %s, seed %d", dir, there.Run.ConfigHash, there.Run.Seed)
	case there.Status.State == Finished:
		return &FinishedError{Dir: dir}
	}
	return &UnfinishedError{Dir: dir, Status: there.Status, Records: len(there.Epochs)}
}

// MoveAside renames an unfinished or unreadable run directory to dir.old-1, or
// the first free number, and returns that name. Nothing is deleted. For a
// finished run it returns a *FinishedError.
func MoveAside(dir string) (string, error) {
	if status, err := readStatus(os.DirFS(dir), dir); err == nil && status.State == Finished {
		return "", &FinishedError{Dir: dir}
	}
	for i := 1; ; i++ {
		aside := fmt.Sprintf("%s%s%d", dir, asideMark, i)
		err := os.Rename(dir, aside) // refuses an existing folder
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("results: move aside: %w", err)
		}
		return aside, durable.Sync(filepath.Dir(dir))
	}
}

// asideMark stands between a run's name and the number of a moved directory.
const asideMark = ".old-"

// Dir is the run directory.
func (w *Writer) Dir() string { return w.dir }

// Append adds one record, in one write that has reached the disk when Append
// returns. A record that breaks the format, by a NaN or infinity for one, is
// refused with a *FormatError and leaves the file untouched. After an error of
// the file system every further Append fails, because half a line may stand at
// the end; the reader cuts it off.
func (w *Writer) Append(e Epoch) error {
	if w.err != nil {
		return w.err
	}
	if w.epochs == nil {
		return fmt.Errorf("results: epoch %d not recorded: the run %s has ended", e.Epoch, w.dir)
	}
	due := w.sequence
	err := due.accept(e)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return fmt.Errorf("results: epoch %d not recorded: %w", e.Epoch, err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("results: epoch %d not recorded: %w", e.Epoch, err)
	}
	if _, err = w.epochs.Write(append(line, '\n')); err == nil {
		err = w.epochs.Sync()
	}
	if err != nil {
		w.err = fmt.Errorf("results: record epoch %d: %w", e.Epoch, err)
		return w.err
	}
	w.sequence = due
	return nil
}

// Finish ends the run as complete.
func (w *Writer) Finish() error { return w.end(Finished, "") }

// Interrupt ends the run as stopped on request.
func (w *Writer) Interrupt() error { return w.end(Interrupted, "") }

// Fail ends the run as stopped by cause.
func (w *Writer) Fail(cause error) error { return w.end(Failed, cause.Error()) }

func (w *Writer) end(state State, message string) error {
	if w.epochs == nil {
		return fmt.Errorf("results: the run %s has ended already", w.dir)
	}
	err := w.epochs.Close()
	w.epochs = nil
	w.status.State, w.status.Message, w.status.Ended = state, message, now()
	if err := errors.Join(err, writeJSON(filepath.Join(w.dir, statusFile), w.status)); err != nil {
		return fmt.Errorf("results: end run: %w", err)
	}
	return nil
}

// now is the time of day as Status records it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal %s: %w", path, err)
	}
	return durable.WriteFile(path, append(data, '\n'))
}
