package plots

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// Alphas draws the softmax of every row of a run's architecture parameters over the
// epochs of training, one small panel for each row: the operations of each choice
// block, then the candidate parents of each node that chooses. It fails for a run
// without architecture parameters, and for tensors that are not those of its space.
// Of the options only Width and NoCaption count.
func Alphas(h *results.History, o Options) (*Figure, error) {
	s, err := searched(h)
	if err != nil {
		return nil, fmt.Errorf("alphas of %s: %w", h.Dir, err)
	}
	curve := results.Curve{Space: h.Run.Space, Algorithm: h.Run.Algorithm, Provenance: h.Run.Provenance, Runs: []*results.History{h}}
	later := quantity{}.trained(curve)
	paths, end, err := softmaxes(h, s, later)
	if err != nil {
		return nil, fmt.Errorf("alphas of %s: %w", h.Dir, err)
	}
	looks := looksOf(s)
	var operations, edges []*facet
	final := false
	rows := slices.Clone(s.Rows())
	slices.SortStableFunc(rows, func(a, b spaces.Row) int { // a node later in the cell has more edges to choose from
		if a.Kind == spaces.EdgeRow && b.Kind == spaces.EdgeRow {
			return len(a.Candidates) - len(b.Candidates)
		}
		return 0
	})
	for _, row := range rows {
		lines := paths[row.Offset:row.End()]
		f := &facet{title: shortTitle(row), draw: func(c canvas.Canvas, p *plot.Plot) {
			for i, points := range lines {
				one := series{points: points, style: lineStyle{colour: looks.colours[row.Candidates[i].Name]}}
				drawLine(c, p, one)
				drawFinal(c, p, one)
			}
		}}
		for _, points := range lines {
			final = final || slices.ContainsFunc(points, func(p results.Point) bool { return p.Final })
		}
		if row.Kind == spaces.OperationRow {
			operations = append(operations, f)
		} else {
			edges = append(edges, f)
		}
	}

	p := newPage(o.width(), 1)
	for _, names := range [][]string{looks.operations, looks.edges} {
		if names == nil {
			continue
		}
		var entries []legendEntry
		for _, name := range names {
			entries = append(entries, legendEntry{label(name), thumbLine(lineStyle{colour: looks.colours[name]}.line())})
		}
		p.legend(entries)
		p.depth -= 1.5 * vg.Millimeter
	}
	p.depth += 1.5 * vg.Millimeter
	g := panelGrid{xLabel: "Epochs of training", yLabel: "Softmax of the alphas", height: alphaHeight, axis: linearAxis(0, 1, 3)}
	g.axis.max = 1.03
	columns := min(len(operations), fitting(p.inner, alphaRoom))
	for _, some := range [][]*facet{operations, edges} {
		for row := range slices.Chunk(some, max(columns, 1)) {
			g.rows = append(g.rows, row)
		}
	}
	g.fit(p, end)
	g.lay(p)
	var notes []string
	if !o.NoCaption {
		note := fmt.Sprintf("%s, space %s, seed %d: mixing weights, the softmax of each row of architecture parameters.", CurveName(curve), h.Run.Space, h.Run.Seed)
		if final {
			note += " Diamonds: after the last epoch."
		}
		notes = []string{note, ProvenanceNote([]results.Curve{curve})}
		if note := incompleteNote([]results.Curve{curve}); note != "" {
			notes = append(notes, note)
		}
	}
	return p.finish(notes, 1.25), nil
}

// shortTitle is that of a row's panel: of the edges of the DARTS spaces, of which there are
// many, "Normal, c_{k-2} to 0".
func shortTitle(row spaces.Row) string {
	title := strings.ToUpper(row.Title[:1]) + row.Title[1:]
	return strings.NewReplacer(" cell, ", ", ", "to node ", "to ").Replace(title)
}

// ManyRows tells whether a run has so many rows of architecture parameters that Alphas wants
// a page.
func ManyRows(h *results.History) bool {
	s, err := spaces.Get(h.Run.Space)
	return err == nil && len(s.Rows()) > 12
}

// The size of a row's panel.
const (
	alphaRoom   = 3 * vg.Centimeter // with what is beside it
	alphaHeight = 2.2 * vg.Centimeter
)

// HasAlphas tells whether a run has recorded architecture parameters.
func HasAlphas(h *results.History) bool {
	return slices.ContainsFunc(h.Epochs, func(e results.Epoch) bool { return e.Alphas != nil })
}

// looks are the candidates of a space's rows, by name, and their colours.
type looks struct {
	operations, edges []string // in the order in which the rows name them
	colours           map[string]color.NRGBA
}

// looksOf gives the operations of NAS-Bench-101 the colours that they have in drawings of
// cells, and other candidates colours that these do not have.
func looksOf(s *spaces.Space) looks {
	all := looks{colours: map[string]color.NRGBA{}}
	free := []color.NRGBA{colours[6], colours[5], colours[2], colours[4], colours[7], {150, 150, 150, 255}, colours[0], colours[1], colours[3]}
	other := 0
	rows := slices.Clone(s.Rows())
	slices.SortStableFunc(rows, func(a, b spaces.Row) int { return len(b.Candidates) - len(a.Candidates) })
	for _, row := range rows {
		for _, c := range row.Candidates {
			if _, there := all.colours[c.Name]; there {
				continue
			}
			if op, err := cell.ParseOp(c.Name); err == nil {
				all.colours[c.Name] = opLooks[op].colour
			} else {
				all.colours[c.Name] = free[other%len(free)]
				other++
			}
			if row.Kind == spaces.OperationRow {
				all.operations = append(all.operations, c.Name)
			} else {
				all.edges = append(all.edges, c.Name)
			}
		}
	}
	return all
}

// label is what a candidate is called in legends.
func label(name string) string {
	if op, err := cell.ParseOp(name); err == nil {
		return strings.Join(opLooks[op].lines, " ")
	}
	return name
}

// searched is the space whose parameters a run recorded: its own, or that with rows of edges.
func searched(h *results.History) (*spaces.Space, error) {
	s, err := spaces.Get(h.Run.Space)
	if err != nil {
		return nil, err
	}
	d, ok := darts.Of(s)
	if ok && slices.ContainsFunc(h.Epochs, func(e results.Epoch) bool { return len(e.Alphas) > len(s.Tensors()) }) {
		s = d.WithEdges().Space
	}
	return s, nil
}

// softmaxes returns the course of every entry of the flat vector after softmax, and
// the last epoch of training. Entries that a record leaves out have no point there.
func softmaxes(h *results.History, s *spaces.Space, later int) (paths [][]results.Point, end int, err error) {
	paths, end = make([][]results.Point, s.Dim()), 1
	any := false
	for _, e := range h.Epochs {
		if e.Alphas == nil {
			continue
		}
		any = true
		tensors := s.Tensors()
		if len(e.Alphas) != len(tensors) {
			return nil, 0, fmt.Errorf("epoch %d: %d tensors, space %s has %d", e.Epoch, len(e.Alphas), s.Name(), len(tensors))
		}
		at := e.Epoch
		if !e.Final {
			at += later
		}
		end = max(end, at)
		rows := s.Rows()
		for i, t := range tensors {
			got := e.Alphas[i]
			if got.Name != t.Name || len(got.Rows) != t.Rows {
				return nil, 0, fmt.Errorf("epoch %d: tensor %d is %s with %d rows, space %s has %s with %d", e.Epoch, i, got.Name, len(got.Rows), s.Name(), t.Name, t.Rows)
			}
			for j, row := range got.Rows {
				r := rows[j]
				entries, err := entriesOf(got, j, r)
				if err != nil {
					return nil, 0, fmt.Errorf("epoch %d: row %d of %s %w", e.Epoch, j, t.Name, err)
				}
				for k, x := range softmax(row) {
					p := results.Point{Epoch: at, Final: e.Final, Low: x, Middle: x, High: x, Seeds: 1}
					paths[r.Offset+entries[k]] = append(paths[r.Offset+entries[k]], p)
				}
			}
			rows = rows[t.Rows:]
		}
	}
	if !any {
		return nil, 0, errors.New("no record has any")
	}
	return paths, end, nil
}

// entriesOf returns the candidates that the entries of row j of a tensor stand for.
func entriesOf(a results.Alpha, j int, row spaces.Row) ([]int, error) {
	n := len(row.Candidates)
	if a.Kept == nil {
		if len(a.Rows[j]) != n {
			return nil, fmt.Errorf("has %d entries, not %d", len(a.Rows[j]), n)
		}
		all := make([]int, n)
		for k := range all {
			all[k] = k
		}
		return all, nil
	}
	if kept := a.Kept[j]; len(kept) == len(a.Rows[j]) && (len(kept) == 0 || kept[0] >= 0 && slices.Max(kept) < n) {
		return kept, nil
	}
	return nil, fmt.Errorf("keeps the candidates %v of %d for %d entries", a.Kept[j], n, len(a.Rows[j]))
}

// softmax is that of a row, whose entries may be of any size.
func softmax(row []float64) []float64 {
	out := make([]float64, len(row))
	sum := 0.0
	for i, v := range row {
		out[i] = math.Exp(v - slices.Max(row))
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
