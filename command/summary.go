package command

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
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
	// Found is the newest architecture in a space that no table knows.
	Found *found `json:"found,omitempty"`
	// Perplexity is that of the supernet on the validation text, after the first and the last
	// epoch; absent where images are classified.
	Perplexity []float64 `json:"perplexity,omitempty"`
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

// found is the architecture of a record in a space that no table knows.
type found struct {
	Epoch         int     `json:"epoch"`
	Genotype      string  `json:"genotype,omitempty"` // as nb1shot cell --genotype takes it
	ParameterFree float64 `json:"parameter_free"`     // share of the operations of the normal cell, in [0,1]
	Width         float64 `json:"width"`              // of the normal cell, in channels of a node
	Depth         int     `json:"depth"`              // of the normal cell, in edges

	genotype  darts.Genotype
	recurrent bool // a recurrent cell, which has a depth alone
}

// foundIn is that of a record, nil where it has none.
func foundIn(e results.Epoch) *found {
	if e.Architecture == nil {
		return nil
	}
	f := &found{Epoch: e.Epoch}
	if s := e.Structure; s != nil {
		f.ParameterFree, f.Width, f.Depth = s.ParameterFree, s.Width, s.Depth
	}
	if g, ok := darts.GenotypeOf(*e.Architecture); ok {
		f.genotype, f.Genotype = g, g.Line()
	}
	if g, ok := rnn.GenotypeOf(*e.Architecture); ok {
		f.recurrent, f.Genotype = true, g.Line()
	}
	return f
}

// shape tells the measures in words.
func (f found) shape() string {
	if f.recurrent {
		return fmt.Sprintf("depth %d at epoch %d", f.Depth, f.Epoch)
	}
	return fmt.Sprintf("parameter-free %.3g %%, width %.3g, depth %d at epoch %d", 100*f.ParameterFree, f.Width, f.Depth, f.Epoch)
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
		if f := foundIn(e); f != nil {
			s.Found = f
		}
		if x := results.ValidPerplexity(e); x != nil {
			s.Perplexity = append(s.Perplexity[:min(len(s.Perplexity), 1)], *x)
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
	if s.Found != nil {
		s.Found.print(t)
	} else {
		fmt.Fprintf(t, "test error\t%v, best %v\n", s.Final, s.Best)
		fmt.Fprintf(t, "\tby %s\n", tableTitle(s.Table))
	}
	if len(s.Perplexity) > 0 {
		fmt.Fprintf(t, "perplexity\t%s, of the supernet on the validation text\n", s.perplexities())
	}
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

// print writes lines of a table: the cells, and the shape of the normal one.
func (f found) print(w io.Writer) {
	switch {
	case f.recurrent:
		fmt.Fprintf(w, "cell\t%s\n", f.Genotype)
	case f.Genotype != "":
		fmt.Fprintf(w, "normal cell\t%s\n", f.genotype.Short(darts.Normal))
		fmt.Fprintf(w, "reduction cell\t%s\n", f.genotype.Short(darts.Reduction))
	}
	fmt.Fprintf(w, "\t%s\n", f.shape())
}

// line is the summary in one line.
func (s summary) line() string {
	text := fmt.Sprintf("%s: test error %v (%s)", s.Dir, s.Final, tableTitle(s.Table))
	if s.Found != nil {
		text = fmt.Sprintf("%s: %s", s.Dir, s.Found.shape())
		if s.Found.Genotype != "" {
			text += ", " + s.Found.Genotype
		}
	}
	if len(s.Perplexity) > 0 {
		text += ", perplexity " + s.perplexities()
	}
	if len(s.Eigenvalue) > 0 {
		text += ", λ " + s.eigenvalues()
	}
	return text
}

func (s summary) eigenvalues() string { return firstToLast(s.Eigenvalue, eigenvalue) }

func (s summary) perplexities() string { return firstToLast(s.Perplexity, perplexity) }

// perplexity writes one, which has no unit.
func perplexity(x float64) string { return fmt.Sprintf("%.1f", x) }

func firstToLast(values []float64, format func(float64) string) string {
	var texts []string
	for _, x := range values {
		texts = append(texts, format(x))
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
