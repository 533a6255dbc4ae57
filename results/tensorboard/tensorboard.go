package tensorboard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/results"
)

// FileName is the name of the event file of a run that began at started, such as
// "events.out.tfevents.1767323045.s2-darts-quick-1f0c9a3e-seed0".
func FileName(run results.Run, started time.Time) string {
	return fmt.Sprintf("%s%d.%s", filePrefix, started.Unix(), run.Name())
}

// maxEvents bounds an event file that is continued, in bytes.
const maxEvents = 1 << 30

const filePrefix = "events.out.tfevents."

// Write writes the event file of a run. The same run gives the same bytes, also
// where a Writer wrote them piece by piece.
func Write(w io.Writer, h *results.History) error {
	s := newStream(h.Run, h.Status.Started)
	file := s.header()
	for _, e := range h.Epochs {
		file = s.record(file, e)
	}
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("write events of %s: %w", h.Run.Name(), err)
	}
	return nil
}

// Writer adds the records of a run that goes on to its event file. It is not
// safe for concurrent use, nor may two of them write one file.
type Writer struct {
	file   *os.File
	stream stream
	err    error // of a write that may have left half an event: nothing may follow it
}

// Open opens the event file of a run in the folder dir, which is made where it is
// missing, and continues it where it was left. An end that a crash damaged is
// cut off. A folder with the events of another run, or of an earlier start of
// this one, is refused: TensorBoard would join them to one curve.
func Open(dir string, run results.Run, started time.Time) (_ *Writer, err error) {
	path := filepath.Join(dir, FileName(run, started))
	defer func() {
		if err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, filePrefix) && name != filepath.Base(path) {
			return nil, fmt.Errorf("the folder holds other events, %s: remove them or choose another folder", name)
		}
	}
	file, err := foreign.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: file, stream: newStream(run, started)}
	if err := w.resume(); err != nil {
		file.Close()
		return nil, err
	}
	return w, nil
}

// resume reads what the file holds, cuts off a damaged end, and writes the
// header where there is none.
func (w *Writer) resume() error {
	content, err := foreign.ReadAll(w.file, maxEvents)
	if err != nil {
		return err
	}
	events, err := Read(bytes.NewReader(content))
	var corrupt *tfrecord.CorruptError
	if errors.As(err, &corrupt) {
		err = w.file.Truncate(corrupt.Offset)
	}
	if err != nil {
		return err
	}
	if len(events) == 0 {
		_, err := w.file.Write(w.stream.header())
		return err
	}
	if events[0].FileVersion != FileVersion {
		return fmt.Errorf("its version is %q, not %q", events[0].FileVersion, FileVersion)
	}
	for i, e := range events[1:] {
		if e.Step != int64(i) {
			return fmt.Errorf("step %d stands where %d is due: another program wrote it", e.Step, i)
		}
		w.stream.next, w.stream.wall = i+1, e.WallTime
	}
	return nil
}

// Append adds one record; one whose epoch is in the file already is passed over.
// It is an error to leave out an epoch.
func (w *Writer) Append(e results.Epoch) error {
	switch {
	case w.err != nil:
		return w.err
	case e.Epoch < w.stream.next:
		return nil
	case e.Epoch > w.stream.next:
		return fmt.Errorf("event of epoch %d, but %d is due", e.Epoch, w.stream.next)
	}
	if _, err := w.file.Write(w.stream.record(nil, e)); err != nil {
		w.err = fmt.Errorf("write epoch %d: %w", e.Epoch, err)
	}
	return w.err
}

// Path is the event file.
func (w *Writer) Path() string { return w.file.Name() }

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

// stream turns the records of a run into events, in their order.
type stream struct {
	run  results.Run
	next int     // epoch that is due
	wall float64 // of the last event
}

func newStream(run results.Run, started time.Time) stream {
	return stream{run: run, wall: float64(started.Unix())}
}

func (s *stream) header() []byte {
	return Event{WallTime: s.wall, FileVersion: FileVersion}.append(nil)
}

// record appends the event of a record, which happened at its end: the start of
// the run and all that its epochs took, whatever lay between them.
func (s *stream) record(file []byte, e results.Epoch) []byte {
	s.wall += e.Duration()
	s.next = e.Epoch + 1
	values := s.values(e)
	if e.Epoch == 0 {
		values = append(values, Value{Tag: "provenance", Text: new(printable.Text(provenance(s.run)))})
	}
	return Event{WallTime: s.wall, Step: int64(e.Epoch), Values: values}.append(file)
}

// values are the quantities of a record, the spectrum and the alphas.
func (s *stream) values(e results.Epoch) []Value {
	var values []Value
	for _, q := range results.Quantities {
		if x := q.Of(e); x != nil {
			values = append(values, Value{Tag: Tag(q.Name), Scalar: new(float32(*x))})
		}
	}
	if e.Hessian != nil && e.Hessian.Whole() {
		values = append(values, Value{Tag: "hessian/eigenvalues", Histogram: histogram(e.Hessian.Eigenvalues)})
	}
	for _, a := range e.Alphas {
		if x := slices.Concat(a.Rows...); len(x) > 0 {
			values = append(values, Value{Tag: printable.Text("alphas/" + a.Name), Histogram: histogram(x)})
		}
	}
	return values
}

// Tag is the tag of a quantity, by its name in results.Quantities, with slashes
// for the dots: TensorBoard groups tags by what stands before the first.
func Tag(name string) string { return strings.ReplaceAll(name, ".", "/") }

// buckets is the number of buckets of a histogram, that of TensorFlow.
const buckets = 30

// histogram counts x, of at least one value, in buckets of equal width.
func histogram(x []float64) *Histogram {
	h := &Histogram{Min: slices.Min(x), Max: slices.Max(x), Num: float64(len(x))}
	n := buckets
	if h.Min == h.Max {
		n = 1
	}
	limit := h.Min
	for i := 1; i < n; i++ {
		t := float64(i) / float64(n)
		limit = min(max(limit, h.Min*(1-t)+h.Max*t), h.Max) // ascending in spite of rounding
		h.Limits = append(h.Limits, limit)
	}
	h.Limits = append(h.Limits, h.Max)
	h.Counts = make([]float64, n)
	for _, v := range x {
		h.Sum += v
		h.SumSquares += v * v
		i, _ := slices.BinarySearch(h.Limits, v) // at most the last, which is the maximum
		h.Counts[i]++
	}
	return h
}

// provenance says in Markdown what the run was measured on.
func provenance(run results.Run) string {
	p := run.Provenance
	images, table := p.StandIns()
	mark := func(kind, detail string, standIn bool) string {
		if detail != "" {
			kind += " (" + detail + ")"
		}
		if standIn {
			kind += ", **a stand-in**"
		}
		return kind
	}
	return fmt.Sprintf("| | |\n|---|---|\n| images | %s |\n| table | %s |\n| preset | %s: %s |\n| engine | %s, %s |\n| configuration | %s |\n",
		mark(p.Images, p.ImagesDetail, images), mark(p.Table, p.TableDetail, table),
		p.Preset, p.Scale, p.Engine, p.Precision, run.ConfigHash)
}
