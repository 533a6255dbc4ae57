package command

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nb1shot/nb1shot/results"
)

// summary is what a finished run comes to; it ends the output of run --json.
type summary struct {
	Dir     string        `json:"dir"`
	State   results.State `json:"state"`
	Seconds float64       `json:"seconds"` // of work, over all epochs
	Images  string        `json:"images"`  // kind
	Table   string        `json:"table"`   // kind
	Final   *outcome      `json:"final"`   // after the last epoch
	Best    *outcome      `json:"best"`
	// Eigenvalue is the reported λ of the first and the last epoch.
	Eigenvalue []float64 `json:"eigenvalue"`
	Figures    []string  `json:"figures"` // files
	Warning    string    `json:"warning,omitempty"`
}

// outcome is the test error of the discrete cell before an epoch, or after the
// last one, whose number is then that of the epochs.
type outcome struct {
	Epoch     int      `json:"epoch"`
	Hash      string   `json:"hash"`
	TestError float64  `json:"test_error"`
	ErrorBar  *float64 `json:"error_bar,omitempty"`
}

func (o *outcome) String() string {
	if o == nil {
		return "unknown"
	}
	return fmt.Sprintf("%s at epoch %d", withBar(o.TestError, o.ErrorBar), o.Epoch)
}

func summarise(h *results.History) summary {
	s := summary{
		Dir: h.Dir, State: h.Status.State,
		Images: h.Run.Provenance.Images, Table: h.Run.Provenance.Table,
	}
	for _, e := range h.Epochs {
		s.Seconds += e.Duration() // the run may have been stopped for days
		if e.Warning != "" {
			s.Warning = e.Warning
		}
		if x := results.TestError(e); x != nil {
			o := &outcome{Epoch: e.Epoch, Hash: e.Cell.Hash, TestError: *x, ErrorBar: e.Lookup.ErrorBar}
			if s.Best == nil || o.TestError < s.Best.TestError {
				s.Best = o
			}
			s.Final = o
		}
		if x := results.Eigenvalue(e); x != nil {
			s.Eigenvalue = append(s.Eigenvalue[:min(len(s.Eigenvalue), 1)], *x)
		}
	}
	return s
}

func (s summary) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%s, in %s\n", s.State, s.Dir, duration(time.Duration(s.Seconds*float64(time.Second))))
	fmt.Fprintf(t, "test error\t%v, best %v\n", s.Final, s.Best)
	fmt.Fprintf(t, "\tby %s\n", tableTitle(s.Table))
	if len(s.Eigenvalue) > 0 {
		fmt.Fprintf(t, "λ\t%s\n", s.eigenvalues())
	}
	if s.Warning != "" {
		fmt.Fprintf(t, "warning\t%s\n", s.Warning)
	}
	if len(s.Figures) > 0 {
		var names []string
		for _, file := range s.Figures {
			names = append(names, filepath.Base(file))
		}
		fmt.Fprintf(t, "figures\t%s\n", strings.Join(names, ", "))
	}
	return t.Flush()
}

// line is the summary in one line.
func (s summary) line() string {
	text := fmt.Sprintf("%s: test error %v (%s)", s.Dir, s.Final, tableTitle(s.Table))
	if len(s.Eigenvalue) > 0 {
		text += ", λ " + s.eigenvalues()
	}
	return text
}

func (s summary) eigenvalues() string {
	var texts []string
	for _, x := range s.Eigenvalue {
		texts = append(texts, eigenvalue(x))
	}
	return strings.Join(texts, " → ")
}

// recordWriter writes the records of a run as JSON lines while it goes on.
type recordWriter struct {
	w       io.Writer
	written int
	err     error // the first one
}

// update writes the newest record if it is new and the next one.
func (r *recordWriter) update(newest *results.Epoch) {
	if newest != nil && newest.Epoch == r.written {
		r.write(newest)
		r.written++
	}
}

// finish writes the records that are left, and the summary.
func (r *recordWriter) finish(h *results.History, s summary) error {
	for _, e := range h.Epochs[r.written:] {
		r.write(e)
	}
	r.write(map[string]summary{"summary": s})
	return r.err
}

func (r *recordWriter) write(v any) {
	if err := writeJSON(r.w, v); r.err == nil {
		r.err = err
	}
}
