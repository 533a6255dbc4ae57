package plots

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// found is the network of what one run ended with.
type found struct {
	name              string
	style             lineStyle
	parameters, error float64 // in millions, in the unit of the y axis
}

// ErrorOverParameters draws a point for every finished run: the test error of the cell that
// it ended with, or its regret, over the trainable parameters of the network of that cell,
// on a logarithmic axis. On spaces without a table these are of the network that was trained
// from scratch (results.Evaluation). Runs of different provenance give a
// *results.MixedError, evaluations that were made in different ways an error.
func ErrorOverParameters(curves []results.Curve, o Options) (*Figure, error) {
	if curves = o.choose(curves); len(curves) == 0 {
		return nil, errors.New("no runs to draw")
	}
	if err := results.CheckSetting(curves); err != nil {
		return nil, err
	}
	styles, err := assignStyles(curves)
	if err != nil {
		return nil, err
	}
	panels := map[spaces.Name][]found{}
	x, y := extent{math.Inf(1), math.Inf(-1)}, extent{math.Inf(1), math.Inf(-1)}
	var names []string
	var evaluated *results.History
	lacking := 0
	for _, c := range slices.SortedStableFunc(slices.Values(curves), o.compare) {
		for _, h := range c.Runs {
			at := found{name: CurveName(c), style: styles[CurveName(c)]}
			last := results.Epoch{}
			if n := len(h.Epochs); n > 0 && h.Epochs[n-1].Final {
				last = h.Epochs[n-1]
			}
			switch {
			case h.Run.Provenance.Table != results.NoTable && last.Lookup.TestError != nil && last.Lookup.Parameters > 0:
				at.parameters, at.error = float64(last.Lookup.Parameters)/1e6, *last.Lookup.TestError
			case h.Run.Provenance.Table == results.NoTable && h.Evaluation != nil && h.Evaluation.Recipe.MeasuredOn == results.PartTest:
				if evaluated == nil {
					evaluated = h
				}
				if member, a, b := evaluated.Evaluation.Key().Difference(h.Evaluation.Key()); member != "" {
					return nil, fmt.Errorf("%s and %s were trained in different ways (%s is %s and %s): draw them apart", evaluated.Dir, h.Dir, member, a, b)
				}
				at.parameters, at.error = float64(h.Evaluation.Parameters)/1e6, h.Evaluation.TestError()
			default:
				lacking++
				continue
			}
			if o.Regret != nil {
				anchor, ok := o.Regret[c.Space]
				if !ok {
					return nil, fmt.Errorf("no test error to count the regrets in space %s from", c.Space)
				}
				at.error -= anchor.TestError
			}
			at.error *= 100
			x.include(at.parameters)
			y.include(at.error)
			panels[c.Space] = append(panels[c.Space], at)
			if !slices.Contains(names, at.name) {
				names = append(names, at.name)
			}
		}
	}
	if len(panels) == 0 {
		return nil, errors.New("no finished run has a test error and a number of parameters: spaces without a table have them after nb1shot retrain")
	}
	label := "Test error (%)"
	if o.Regret != nil {
		label = "Test regret (points)"
	}
	if p := provenanceOf(curves); tableNames[p.Table] == "" && p.Table != results.NoTable {
		label = strings.ToUpper(p.Table[:1]) + p.Table[1:] + " " + strings.ToLower(label[:1]) + label[1:]
	}
	shown := slices.Sorted(maps.Keys(panels))
	p := newPage(o.width(), len(shown))
	time := logAxis(x.low, x.high, 7)
	g := panelGrid{xLabel: "Trainable parameters (millions)", yLabel: label, height: dataHeight, axis: linearAxis(y.low, y.high, fitting(dataHeight, 13)), time: &time}
	for row := range slices.Chunk(shown, p.columns) {
		var facets []*facet
		for _, space := range row {
			facets = append(facets, &facet{title: "Space " + string(space), draw: func(c canvas.Canvas, p *plot.Plot) {
				x, y := p.Transforms(&c)
				for _, at := range slices.Backward(panels[space]) {
					drawMarker(c, vg.Point{X: x(at.parameters), Y: y(at.error)}, at.style)
				}
			}})
		}
		g.rows = append(g.rows, facets)
	}
	var legend []legendEntry
	for _, name := range names {
		style := styles[name]
		legend = append(legend, legendEntry{name, func(c canvas.Canvas, left vg.Point) {
			drawMarker(c, left.Add(vg.Point{X: thumbWidth / 2}), style)
		}})
	}
	g.fit(p, 0)
	p.legend(legend)
	g.lay(p)
	var notes []string
	if !o.NoCaption {
		how := "A point is the cell that a run ended with, as the table has it."
		if evaluated != nil {
			how = "A point is the network of what a run found, trained from scratch: " + evaluated.Evaluation.Key().String() + "."
		}
		if lacking > 0 {
			how += fmt.Sprintf(" Runs without such a point: %d.", lacking)
		}
		notes = append(notes, how, ProvenanceNote(curves))
	}
	return p.finish(notes, 1.25), nil
}
