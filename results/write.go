package results

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
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
	Started time.Time `json:"started"`           // for the first time
	Ended   time.Time `json:"ended,omitzero"`
	Process string    `json:"process,omitempty"` // that runs it or did last: "4711 on host"
	// Record is the end of the record when the run ended; nil while it goes on, after
	// an error that may have cut a line short, and of a run from before there were any.
	Record *Mark `json:"record,omitempty"`
}

// Killed tells of a run that stands as running whether its process, on this
// host, is there no more. Of another host nothing is known.
func (s Status) Killed() bool {
	id, host := s.where()
	if s.State != Running || host == "" {
		return false
	}
	here, err := hostname()
	return err == nil && host == here && errors.Is(syscall.Kill(id, 0), syscall.ESRCH)
}

// FinishedError reports that the run to be created has been done already.
type FinishedError struct {
	Dir string
}

// Error names the directory.
func (e *FinishedError) Error() string {
	return fmt.Sprintf("%s is finished: nothing to do", e.Dir)
}

// UnfinishedError reports that the run to be created was begun and not
// finished, or is still going on in another process. Reopen tells which.
type UnfinishedError struct {
	Dir     string
	Status  Status
	Records int // complete records in epochs.jsonl
}

// Error tells how far the run came and what to do.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s is unfinished (%s, %d records): continue it, or move it aside to start again",
		e.Dir, e.Status.State, e.Records)
}

// LockedError reports a run that another process works on.
type LockedError struct {
	Dir    string
	Status Status
	// Wait is for how long a process of another machine must stay silent until the run
	// may be continued here; 0 where the process is known to be at work.
	Wait time.Duration
}

// Error names the process.
func (e *LockedError) Error() string {
	process := e.Status.Process
	if process == "" {
		process = "unknown"
	}
	if e.Wait > 0 {
		return fmt.Sprintf("a process of another machine (%s) worked on %s less than %v ago", process, e.Dir, Silence)
	}
	return fmt.Sprintf("another process (%s) works on %s", process, e.Dir)
}

// Writer writes one run directory, which no other process can write then. It is
// not safe for concurrent use. End it with Finish, Interrupt or Fail.
type Writer struct {
	dir      string
	status   Status
	epochs   *os.File // locked; nil once the run has ended
	sequence sequence
	mark     Mark
	sum      digest // SHA-256 of what mark counts
	err      error  // of a write that may have left half a line: nothing may follow it
	owner    string // what status.json says of the process while it is this one
	rest     func() // ends the signs of life; nil where there are none
}

// digest is a hash.Hash.
type digest interface {
	io.Writer
	Sum([]byte) []byte
}

// Mark is a place in the record of a run, after some epoch or at the start.
type Mark struct {
	Bytes  int64  `json:"bytes"`  // of epochs.jsonl before it
	SHA256 string `json:"sha256"` // of these, hex
}

// Mark returns the place after the newest record.
func (w *Writer) Mark() Mark { return w.mark }

// count moves the mark past lines that stand in epochs.jsonl.
func (w *Writer) count(lines []byte) {
	w.sum.Write(lines)
	w.mark.Bytes += int64(len(lines))
	w.mark.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
}

// Create begins the run in the folder root/run.Name(), which appears complete
// or not at all. A *FinishedError or *UnfinishedError says that the folder
// holds this very run already, a *MisfitError that it is finished and was changed
// since; a folder that holds anything else is refused too.
func Create(root string, run Run) (_ *Writer, err error) {
	if run, err = run.checked(); err != nil {
		return nil, fmt.Errorf("create run: %w", err)
	}
	w := &Writer{
		dir:    filepath.Join(root, run.Name()),
		status: Status{State: Running, Started: now(), Process: process()},
		sum:    sha256.New(),
	}
	w.count(nil)
	if err := refuseExisting(w.dir, run); err != nil {
		return nil, err
	}

	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("create run: %w", err)
	}
	folder, err := durable.MkdirTemp(root, ".create-")
	if err != nil {
		return nil, fmt.Errorf("create run: %w", err)
	}
	defer folder.Close()
	temp := folder.Name()
	defer func() {
		if err != nil {
			if w.epochs != nil {
				w.epochs.Close()
			}
			os.RemoveAll(temp)
			err = fmt.Errorf("create %s: %w", w.dir, err)
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
	if err := durable.Lock(w.epochs); err != nil {
		return nil, err
	}
	if err := durable.Sync(temp); err != nil {
		return nil, err
	}
	err = durable.Rename(temp, w.dir)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		if there := refuseExisting(w.dir, run); there != nil {
			err = there
		}
	}
	if err != nil {
		return nil, err
	}
	w.live()
	return w, nil
}

// Reopen takes up an unfinished run in its directory dir, to be continued with
// Rewind, until when nothing of it changes. A
// *LockedError says that another process works on the run, a *FinishedError that
// nothing is left to do.
func Reopen(dir string, run Run) (_ *Writer, err error) {
	if run, err = run.checked(); err != nil {
		return nil, fmt.Errorf("continue run: %w", err)
	}
	w := &Writer{dir: dir}
	path := filepath.Join(dir, epochsFile)
	if w.epochs, err = foreign.OpenFile(path, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return nil, fmt.Errorf("continue run: %w", err)
	}
	defer func() {
		if err != nil {
			w.epochs.Close()
		}
	}()
	err = durable.Lock(w.epochs)
	var unfinished *UnfinishedError
	switch there := refuseExisting(dir, run); {
	case errors.Is(err, durable.ErrLocked):
		status, _ := readStatus(foreign.Dir(dir), dir)
		return nil, &LockedError{Dir: dir, Status: status}
	case err != nil:
		return nil, fmt.Errorf("continue run: %w", err)
	case errors.As(there, &unfinished):
		w.status = unfinished.Status
		if wait := remaining(dir, w.status); wait > 0 {
			return nil, &LockedError{Dir: dir, Status: w.status, Wait: wait}
		}
	default: // finished meanwhile, or not this run
		return nil, there
	}
	return w, nil
}

// ErrMark reports a record that does not begin with what a Mark stands for.
var ErrMark = errors.New("the record is not the one that was marked")

// Before returns the records before a mark, and changes nothing. It is an error
// that wraps ErrMark if the record does not begin with what the mark stands for.
func (w *Writer) Before(m Mark) ([]Epoch, error) {
	lines, err := w.before(m)
	if err != nil {
		return nil, err
	}
	epochs, _, err := w.parse(m, lines)
	return epochs, err
}

// parse reads the lines before a mark, and returns what may follow them.
func (w *Writer) parse(m Mark, lines []byte) ([]Epoch, sequence, error) {
	epochs, due, torn, err := readEpochs(w.epochs.Name(), lines)
	switch {
	case err != nil:
		return nil, due, err
	case torn > 0:
		return nil, due, fmt.Errorf("the mark at %d of %s is within a line: %w", m.Bytes, w.epochs.Name(), ErrMark)
	}
	return epochs, due, nil
}

// before reads the lines before a mark.
func (w *Writer) before(m Mark) ([]byte, error) {
	info, err := w.epochs.Stat()
	if err != nil {
		return nil, err
	}
	if m.Bytes < 0 || info.Size() < m.Bytes {
		return nil, fmt.Errorf("%s has %d bytes, the mark is at %d: %w", w.epochs.Name(), info.Size(), m.Bytes, ErrMark)
	}
	lines := make([]byte, m.Bytes)
	if _, err := w.epochs.ReadAt(lines, 0); err != nil {
		return nil, err
	}
	if markOf(lines) != m {
		return nil, fmt.Errorf("the first %d bytes of %s: %w", m.Bytes, w.epochs.Name(), ErrMark)
	}
	return lines, nil
}

// Start is the mark of a record without any epoch.
func Start() Mark {
	return markOf(nil)
}

// Rewind continues a reopened run after the mark: what the record has beyond it
// is cut off, to be made again, and what a killed process left half written beside
// the files is removed. It returns the records that stay.
func (w *Writer) Rewind(m Mark) ([]Epoch, error) {
	lines, err := w.before(m)
	if err != nil {
		return nil, err
	}
	epochs, due, err := w.parse(m, lines)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{configFile, statusFile} {
		if err := durable.Clean(filepath.Join(w.dir, name)); err != nil {
			return nil, fmt.Errorf("continue run: %w", err)
		}
	}
	w.status.State, w.status.Message, w.status.Ended, w.status.Process = Running, "", time.Time{}, process()
	w.status.Record = nil
	if err := writeJSON(filepath.Join(w.dir, statusFile), w.status); err != nil {
		return nil, fmt.Errorf("continue run: %w", err)
	}
	if err := errors.Join(w.epochs.Truncate(m.Bytes), w.epochs.Sync()); err != nil {
		return nil, fmt.Errorf("continue run: %w", err)
	}
	w.sequence, w.sum, w.mark, w.err = due, sha256.New(), Mark{}, nil
	w.count(lines)
	w.live()
	return epochs, nil
}

// Close lets go of a reopened run without a change.
func (w *Writer) Close() error {
	if w.epochs == nil {
		return nil
	}
	if w.rest != nil {
		w.rest()
		w.rest = nil
	}
	err := w.epochs.Close()
	w.epochs = nil
	return err
}

// process names this process.
func process() string {
	host, err := hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%d on %s", os.Getpid(), host)
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
		return fmt.Errorf("%s exists and is no readable run: move it aside to start again: %w", dir, err)
	case there.Run.ConfigHash != run.ConfigHash || there.Run.Seed != run.Seed:
		return fmt.Errorf("%s holds another run: configuration %s, seed %d", dir, there.Run.ConfigHash, there.Run.Seed)
	case there.Status.State == Finished && there.Misfit != nil:
		return there.Misfit
	case there.Status.State == Finished:
		return &FinishedError{Dir: dir}
	}
	if begun, here := there.Run.Provenance.TableContent, run.Provenance.TableContent; begun != here && begun != "" && here != "" {
		return fmt.Errorf("%s was begun on another table of the same source, its content %.8s, here %.8s: give that table, or start again", dir, begun, here)
	}
	return &UnfinishedError{Dir: dir, Status: there.Status, Records: len(there.Epochs)}
}

// MoveAside renames an unfinished or unreadable run directory to dir.old-1, or
// the first free number, and returns that name. Nothing is deleted. For a
// finished run it returns a *FinishedError, for one that another process works on
// a *LockedError.
func MoveAside(dir string) (string, error) {
	status, err := readStatus(foreign.Dir(dir), dir)
	if err == nil && status.State == Finished {
		return "", &FinishedError{Dir: dir}
	}
	if f, err := foreign.OpenFile(filepath.Join(dir, epochsFile), os.O_RDONLY, 0); err == nil {
		defer f.Close()
		if err := durable.Lock(f); errors.Is(err, durable.ErrLocked) {
			return "", &LockedError{Dir: dir, Status: status}
		}
		if wait := remaining(dir, status); wait > 0 {
			return "", &LockedError{Dir: dir, Status: status, Wait: wait}
		}
	}
	for i := 1; ; i++ {
		aside := fmt.Sprintf("%s%s%d", dir, asideMark, i)
		err := os.Rename(dir, aside) // refuses an existing folder
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("move aside: %w", err)
		}
		return aside, durable.Sync(filepath.Dir(dir))
	}
}

// asideMark stands between a run's name and the number of a moved directory.
const asideMark = ".old-"

// Process names the process that writes the run: "4711 on host".
func (w *Writer) Process() string { return w.owner }

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
		return fmt.Errorf("epoch %d not recorded: the run %s has ended", e.Epoch, w.dir)
	}
	due := w.sequence
	err := due.accept(e)
	if err == nil {
		err = e.Check()
	}
	if err != nil {
		return fmt.Errorf("epoch %d not recorded: %w", e.Epoch, err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("epoch %d not recorded: %w", e.Epoch, err)
	}
	if err := w.Owned(); err != nil {
		w.err = fmt.Errorf("epoch %d not recorded: %w", e.Epoch, err)
		return w.err
	}
	line = append(line, '\n')
	if _, err = w.epochs.Write(line); err == nil {
		err = w.epochs.Sync()
	}
	if err != nil {
		w.err = fmt.Errorf("record epoch %d: %w", e.Epoch, err)
		return w.err
	}
	w.sequence = due
	w.count(line)
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
		return fmt.Errorf("the run %s has ended already", w.dir)
	}
	if err := w.Owned(); err != nil {
		return errors.Join(fmt.Errorf("end run: %w", err), w.Close())
	}
	w.status.State, w.status.Message, w.status.Ended = state, message, now()
	if w.err == nil {
		w.status.Record = &w.mark
	}
	err := writeJSON(filepath.Join(w.dir, statusFile), w.status)
	if err := errors.Join(err, w.Close()); err != nil { // the lock goes last
		return fmt.Errorf("end run: %w", err)
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
