package results

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Column is one column of the table that WriteCSV writes.
type Column struct {
	Name string // of a member as in config.json and epochs.jsonl, dotted; never renamed
	Doc  string
	text func(*History, Epoch) string
}

// Columns lists the columns of WriteCSV: what run it is and what it was
// measured on, which record, and Quantities. Others may be added.
func Columns() []Column {
	columns := []Column{
		{"run", "name of the run directory, from the configuration", func(h *History, _ Epoch) string { return h.Run.Name() }},
		{"space", "search space", func(h *History, _ Epoch) string { return string(h.Run.Space) }},
		{"algorithm", "name of the algorithm", func(h *History, _ Epoch) string { return h.Run.Algorithm }},
		{"seed", "seed of the run", func(h *History, _ Epoch) string { return strconv.FormatUint(h.Run.Seed, 10) }},
		{"state", "how the run stands: running, finished, interrupted or failed", func(h *History, _ Epoch) string { return string(h.Status.State) }},
		{"config_hash", "equal for repetitions with other seeds", func(h *History, _ Epoch) string { return h.Run.ConfigHash }},
	}
	for i, m := range (Provenance{}).key() {
		columns = append(columns, Column{"provenance." + m.name, provenanceDocs[m.name],
			func(h *History, _ Epoch) string { return h.Run.Provenance.key()[i].value }})
	}
	columns = append(columns,
		Column{"epoch", "epoch from 0; the number of epochs in the final record", func(_ *History, e Epoch) string { return strconv.Itoa(e.Epoch) }},
		Column{"final", "true in the extra record after the last epoch", func(_ *History, e Epoch) string { return strconv.FormatBool(e.Final) }},
		Column{"cell.hash", "hash of the pruned cell", func(_ *History, e Epoch) string { return e.Cell.Hash }},
		Column{"lookup.source", "kind of table that answered", func(_ *History, e Epoch) string { return e.Lookup.Source }},
	)
	for _, q := range Quantities {
		columns = append(columns, Column{q.Name, q.Doc, func(_ *History, e Epoch) string {
			x := q.Of(e)
			if x == nil {
				return ""
			}
			return number(*x) // finite: Read and Append see to it
		}})
	}
	columns = append(columns, Column{"architecture", "cells of the DARTS spaces, as nb1shot cell --genotype takes them", func(_ *History, e Epoch) string { return genotype(e) }})
	for _, q := range evaluated {
		columns = append(columns, Column{"evaluation." + q.name, q.doc, func(h *History, e Epoch) string {
			if !h.isLast(e) || h.Evaluation == nil {
				return ""
			}
			return q.text(*h.Evaluation)
		}})
	}
	return append(columns, Column{"warning", "what a reader must know before believing the record", func(_ *History, e Epoch) string { return e.Warning }})
}

// TidyColumns lists the columns of WriteTidy: what run it is and what it was measured on,
// which record, and a quantity with its value.
func TidyColumns() []Column {
	all := Columns()
	last := slices.IndexFunc(all, func(c Column) bool { return c.Name == "cell.hash" })
	return append(all[:last+1:last+1],
		Column{"quantity", "name of the number, as a column of the table or a member of the record", nil},
		Column{"index", "place from 0 in a list of such numbers; empty where there is one", nil},
		Column{"value", "the number", nil})
}

// WriteTidy writes a row for each number of each record of the runs, in their order, below
// the names of TidyColumns: Quantities, the eigenvalues, λ of each batch, the alphas of each
// tensor and the wall time of each phase. What a record lacks has no row.
func WriteTidy(w io.Writer, runs []*History) error {
	columns := TidyColumns()
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.Name
	}
	out := printable.NewCSV(w)
	out.Write(row)
	about := len(columns) - 3
	for _, h := range runs {
		for _, e := range h.Epochs {
			for i, c := range columns[:about] {
				row[i] = c.text(h, e)
			}
			write := func(quantity, index string, x float64) {
				copy(row[about:], []string{quantity, index, number(x)})
				out.Write(row)
			}
			list := func(quantity string, xs []float64) {
				for i, x := range xs {
					write(quantity, strconv.Itoa(i), x)
				}
			}
			for _, q := range Quantities {
				if x := q.Of(e); x != nil {
					write(q.Name, "", *x)
				}
			}
			for _, phase := range slices.Sorted(maps.Keys(e.Seconds)) {
				write("seconds."+phase, "", e.Seconds[phase])
			}
			if e.Hessian != nil {
				list("hessian.eigenvalues", e.Hessian.Eigenvalues)
				if e.Hessian.Spread != nil {
					list("hessian.spread.batches", e.Hessian.Spread.Batches)
				}
			}
			for _, a := range e.Alphas {
				list("alphas."+a.Name, slices.Concat(a.Rows...))
			}
		}
	}
	return out.Flush()
}

// evaluated are the columns of the evaluation of a run, which stand in its last row.
var evaluated = []struct {
	name, doc string
	text      func(Evaluation) string
}{
	{"test_error", "test error after training from scratch, in [0,1]; in the last row of a run", func(e Evaluation) string {
		if e.Words != nil {
			return ""
		}
		return number(e.TestError())
	}},
	{"perplexity", "perplexity of a language model on the test text", func(e Evaluation) string {
		if e.Words == nil {
			return ""
		}
		return number(e.Words.Test.Perplexity)
	}},
	{"valid_perplexity", "likewise on the validation text, which chose the epoch", func(e Evaluation) string {
		if e.Words == nil {
			return ""
		}
		return number(e.Words.Valid.Perplexity)
	}},
	{"train_accuracy", "accuracy in the last epoch of that training, in [0,1]", func(e Evaluation) string { return number(e.Train.Accuracy) }},
	{"parameters", "parameters of the network, without the auxiliary head", func(e Evaluation) string { return strconv.Itoa(e.Parameters) }},
	{"macs", "multiply-adds for one image", func(e Evaluation) string { return strconv.FormatInt(e.MACs, 10) }},
	{"seconds", "wall time of the training", func(e Evaluation) string { return number(e.Seconds) }},
	{"preset", "preset of the training", func(e Evaluation) string { return e.Provenance.Preset }},
	{"scale", "size of the network and the images that it was trained on", func(e Evaluation) string { return e.Provenance.Scale }},
	{"images", "kind of images that it was trained on", func(e Evaluation) string { return e.Provenance.Images }},
	{"epochs", "epochs of the training", func(e Evaluation) string { return strconv.Itoa(e.Recipe.Epochs) }},
	{"trained_on", "part of the training images that it was trained on", func(e Evaluation) string { return e.Recipe.TrainedOn }},
	{"measured_on", "images of the test error", func(e Evaluation) string { return e.Recipe.MeasuredOn }},
	{"engine", "engine of the training", func(e Evaluation) string { return e.Provenance.Engine }},
	{"seed", "seed of the training", func(e Evaluation) string { return strconv.FormatUint(e.Seed, 10) }},
}

// number writes a finite number as JSON does.
func number(x float64) string {
	text, _ := json.Marshal(x)
	return string(text)
}

// isLast tells whether a record is the last one of the run.
func (h *History) isLast(e Epoch) bool {
	last := h.Epochs[len(h.Epochs)-1]
	return e.Epoch == last.Epoch && e.Final == last.Final
}

// provenanceDocs describes the members of Provenance.Key.
var provenanceDocs = map[string]string{
	"images": "kind of images; anything but cifar10, and cifar100 and svhn where there is no table, is a stand-in", "images_digest": "SHA-256 of pixels and labels",
	"table": "kind of table; anything but nasbench101, nasbench101-means and nasbench101-nni is a stand-in", "table_digest": "SHA-256 of the table",
	"preset": "name of the preset", "scale": "size of supernet and images",
	"engine": "name of the engine", "precision": "its precision",
}

// WriteCSV writes one row for each record of the runs, in their order, below a
// row with the names of the Columns. Numbers are as in epochs.jsonl; what a
// record lacks is empty.
func WriteCSV(w io.Writer, runs []*History) error {
	columns := Columns()
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.Name
	}
	out := printable.NewCSV(w)
	out.Write(row)
	for _, h := range runs {
		for _, e := range h.Epochs {
			for i, c := range columns {
				row[i] = c.text(h, e)
			}
			out.Write(row)
		}
	}
	return out.Flush()
}

// WriteJSONL writes one line for each record of the runs, in their order: the
// record as it stands in epochs.jsonl, behind the run and what it was measured
// on, and before the cells in words where they are those of a DARTS space, and the
// evaluation in the last line of a run that has one.
func WriteJSONL(w io.Writer, runs []*History) error {
	out := json.NewEncoder(printable.NewWriter(w))
	out.SetEscapeHTML(false)
	for _, h := range runs {
		for _, e := range h.Epochs {
			evaluation := h.Evaluation
			if !h.isLast(e) {
				evaluation = nil
			}
			if err := out.Encode(struct {
				Name  string `json:"run"`
				State State  `json:"state"`
				Run
				Epoch
				Genotype   string      `json:"genotype,omitempty"`
				Evaluation *Evaluation `json:"evaluation,omitempty"`
			}{h.Run.Name(), h.Status.State, h.Run, e, genotype(e), evaluation}); err != nil {
				return err
			}
		}
	}
	return nil
}

// genotype writes the architecture of a record in words, where it is one of a space of DARTS.
func genotype(e Epoch) string {
	if e.Architecture == nil {
		return ""
	}
	if g, ok := darts.GenotypeOf(*e.Architecture); ok {
		return g.Line()
	}
	if g, ok := rnn.GenotypeOf(*e.Architecture); ok {
		return g.Line()
	}
	return ""
}
