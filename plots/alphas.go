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
	var operations, parents []*facet
	final := false
	for _, t := range s.Tensors() {
		for row := range t.Rows {
			title, looks := rowTitle(t, row), nodeLooks
			if t.Name == mixedOp {
				looks = operationLooks
			}
			lines := paths[t.Offset+row*t.Cols : t.Offset+(row+1)*t.Cols]
			f := &facet{title: title, draw: func(c canvas.Canvas, p *plot.Plot) {
				for i, points := range lines {
					one := series{points: points, style: lineStyle{colour: looks[i].colour}}
					drawLine(c, p, one)
					drawFinal(c, p, one)
				}
			}}
			for _, points := range lines {
				final = final || slices.ContainsFunc(points, func(p results.Point) bool { return p.Final })
			}
			switch t.Name {
			case mixedOp:
				operations = append(operations, f)
			default:
				parents = append(parents, f)
			}
		}
	}
	parents = append(parents[1:], parents[0]) // the output comes first among the tensors

	p := newPage(o.width(), 1)
	for _, looks := range [][]look{operationLooks, nodeLooks[:s.Blocks()+1]} {
		var entries []legendEntry
		for _, l := range looks {
			entries = append(entries, legendEntry{l.name, thumbLine(lineStyle{colour: l.colour}.line())})
		}
		p.legend(entries)
		p.depth -= 1.5 * vg.Millimeter
	}
	p.depth += 1.5 * vg.Millimeter
	g := panelGrid{xLabel: "Epochs of training", yLabel: "Softmax of the alphas", height: alphaHeight, axis: linearAxis(0, 1, 3)}
	g.axis.max = 1.03
	columns := min(s.Blocks(), fitting(p.inner, alphaRoom))
	for _, some := range [][]*facet{operations, parents} {
		for row := range slices.Chunk(some, columns) {
			g.rows = append(g.rows, row)
		}
	}
	g.fit(p, end)
	g.lay(p)
	var notes []string
	if !o.NoCaption {
		note := fmt.Sprintf("%s, space %d, seed %d: mixing weights, the softmax of each row of architecture parameters.", CurveName(curve), h.Run.Space, h.Run.Seed)
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

// mixedOp is the tensor of operations, see spaces.Tensor.
const mixedOp = "mixed_op"

// HasAlphas tells whether a run has recorded architecture parameters.
func HasAlphas(h *results.History) bool {
	return slices.ContainsFunc(h.Epochs, func(e results.Epoch) bool { return e.Alphas != nil })
}

// look is what a candidate is called and its colour.
type look struct {
	name   string
	colour color.NRGBA
}

// operationLooks are those of spaces.Operation, as cells are drawn.
var operationLooks = func() []look {
	var all []look
	for _, o := range []spaces.Operation{spaces.MaxPool3x3, spaces.Conv3x3, spaces.Conv1x1} {
		l := opLooks[o.Op()]
		all = append(all, look{strings.Join(l.lines, " "), l.colour})
	}
	return all
}()

// nodeLooks are those of the cell input and the blocks, in colours that no operation
// has.
var nodeLooks = []look{
	{"cell input", colours[6]}, {"block 1", colours[5]}, {"block 2", colours[2]},
	{"block 3", colours[4]}, {"block 4", colours[7]}, {"block 5", color.NRGBA{150, 150, 150, 255}},
}

// rowTitle is what a row of a tensor is called.
func rowTitle(t spaces.Tensor, row int) string {
	switch node, ok := strings.CutPrefix(t.Name, "input_node"); {
	case t.Name == mixedOp:
		return fmt.Sprintf("Operation of block %d", row+1)
	case ok:
		return "Inputs of block " + node
	}
	return "Inputs of the output"
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
			return nil, 0, fmt.Errorf("epoch %d: %d tensors, space %d has %d", e.Epoch, len(e.Alphas), s.ID(), len(tensors))
		}
		for i, t := range tensors {
			got := e.Alphas[i]
			if got.Name != t.Name || len(got.Rows) != t.Rows {
				return nil, 0, fmt.Errorf("epoch %d: tensor %d is %s with %d rows, space %d has %s with %d", e.Epoch, i, got.Name, len(got.Rows), s.ID(), t.Name, t.Rows)
			}
			for _, row := range got.Rows {
				if len(row) != t.Cols {
					return nil, 0, fmt.Errorf("epoch %d: a row of %s has %d entries, not %d", e.Epoch, t.Name, len(row), t.Cols)
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
