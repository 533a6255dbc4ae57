package results

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/spaces/darts"
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
			text, _ := json.Marshal(*x) // finite: Read and Append see to it
			return string(text)
		}})
	}
	columns = append(columns, Column{"architecture", "cells of the DARTS spaces, as nb1shot cell --genotype takes them", func(_ *History, e Epoch) string { return genotype(e) }})
	return append(columns, Column{"warning", "what a reader must know before believing the record", func(_ *History, e Epoch) string { return e.Warning }})
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
// on, and before the cells in words where they are those of a DARTS space.
func WriteJSONL(w io.Writer, runs []*History) error {
	out := json.NewEncoder(printable.NewWriter(w))
	out.SetEscapeHTML(false)
	for _, h := range runs {
		for _, e := range h.Epochs {
			if err := out.Encode(struct {
				Name  string `json:"run"`
				State State  `json:"state"`
				Run
				Epoch
				Genotype string `json:"genotype,omitempty"`
			}{h.Run.Name(), h.Status.State, h.Run, e, genotype(e)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// genotype writes the architecture of a record in words, where it is one of a DARTS space.
func genotype(e Epoch) string {
	if e.Architecture == nil {
		return ""
	}
	g, ok := darts.GenotypeOf(*e.Architecture)
	if !ok {
		return ""
	}
	return g.Line()
}
