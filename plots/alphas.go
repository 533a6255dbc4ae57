package plots

import (
	"errors"
	"fmt"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Alphas draws the softmax of every row of a run's architecture parameters over the
// epochs of training, one small panel for each row: the operations of each choice
// block, then the candidate parents of each node that chooses. It fails for a run
// without architecture parameters, and for tensors that are not those of its space.
// Of the options only Width and NoCaption count.
func Alphas(h *results.History, o Options) (*Figure, error) {
	s, err := spaces.Get(h.Run.Space)
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
		f := &facet{title: strings.ToUpper(row.Title[:1]) + row.Title[1:], draw: func(c canvas.Canvas, p *plot.Plot) {
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
		for row := range slices.Chunk(some, columns) {
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

// softmaxes returns the course of every entry of the flat vector after softmax, and
// the last epoch of training.
func softmaxes(h *results.History, s *spaces.Space, later int) (paths [][]results.Point, end int, err error) {
	paths, end = make([][]results.Point, s.Dim()), 1
	any := false
	for _, e := range h.Epochs {
		if e.Alphas == nil {
			continue
		}
		any = true
		var alpha []float64
		tensors := s.Tensors()
		if len(e.Alphas) != len(tensors) {
			return nil, 0, fmt.Errorf("epoch %d: %d tensors, space %s has %d", e.Epoch, len(e.Alphas), s.Name(), len(tensors))
		}
		for i, t := range tensors {
			got := e.Alphas[i]
			if got.Name != t.Name || len(got.Rows) != t.Rows {
				return nil, 0, fmt.Errorf("epoch %d: tensor %d is %s with %d rows, space %s has %s with %d", e.Epoch, i, got.Name, len(got.Rows), s.Name(), t.Name, t.Rows)
			}
			for j, want := range s.Split(t, make([]float64, s.Dim())) {
				row := got.Rows[j]
				if len(row) != len(want) {
					return nil, 0, fmt.Errorf("epoch %d: row %d of %s has %d entries, not %d", e.Epoch, j, t.Name, len(row), len(want))
				}
				alpha = append(alpha, row...)
			}
		}
		if err := s.CheckAlpha(alpha); err != nil {
			return nil, 0, fmt.Errorf("epoch %d: %w", e.Epoch, err)
		}
		s.Softmax(alpha, alpha)
		at := e.Epoch
		if !e.Final {
			at += later
		}
		end = max(end, at)
		for i, x := range alpha {
			paths[i] = append(paths[i], results.Point{Epoch: at, Final: e.Final, Low: x, Middle: x, High: x, Seeds: 1})
		}
	}
	if !any {
		return nil, 0, errors.New("no record has any")
	}
	return paths, end, nil
}
