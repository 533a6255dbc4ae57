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

// clockLabels are the x axes of Anytime, and what one unit there is by the clock.
var clockLabels = map[results.Clock]struct {
	label string
	unit  float64
}{
	results.ByCost:      {"Simulated training time (hours)", 3600},
	results.ByTrainings: {"Training, in full trainings of 108 epochs", 1},
	results.BySeconds:   {"Wall time of the search (s)", 1},
}

// clockNotes say what the clocks are.
var clockNotes = map[results.Clock]string{
	results.ByCost:      "Time: training times of the table, of all networks that a search asks for, with as many at a time as it has workers.",
	results.ByTrainings: "Training: epochs of all networks that a search asks the table for.",
	results.BySeconds:   "Wall time: of the search on the machine that ran it, without its start.",
}

// anytimePoints is how many moments a curve is drawn at.
const anytimePoints = 200

// Anytime draws the test error of the cell that a search would deliver, or its regret, over
// the time of a clock on a logarithmic axis, as papers on black-box searches do; regret has
// a logarithmic axis as well. Lines are means over the seeds with a band of one standard
// error, or with Options.Median medians with quartiles; all curves of a space share a
// panel. With Options.Validation it draws the validation error instead. A search that lacks
// the clock is named below. Runs of different provenance give a *results.MixedError.
func Anytime(curves []results.Curve, clock results.Clock, o Options) (*Figure, error) {
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
	statistic := results.Uncertainty
	if o.Median {
		statistic = results.Quartiles
	}
	of, name := results.TestErrorOf, "test"
	if o.Validation {
		of, name = results.ValidErrorOf, "validation"
	}
	a := anytime{clock: clock, panels: map[spaces.Name][]timedSeries{}, y: extent{math.Inf(1), math.Inf(-1)}, x: extent{math.Inf(1), math.Inf(-1)}}
	var lacking, anchors []string
	counts := map[int]bool{}
	for _, c := range slices.SortedStableFunc(slices.Values(curves), o.compare) {
		anchor := 0.0
		if o.Regret != nil {
			from, ok := o.Regret[c.Space]
			if anchor = from.TestError; o.Validation {
				anchor = from.ValidationError
			}
			if !ok || anchor == 0 {
				return nil, fmt.Errorf("no %s error to count the regrets in space %s from", name, c.Space)
			}
			if note := fmt.Sprintf("%.2f %% in space %s (%s)", 100*anchor, c.Space, from.Source); !slices.Contains(anchors, note) {
				anchors = append(anchors, note)
			}
		}
		one := timedSeries{name: CurveName(c), moments: c.Anytime(clock, of, statistic, anytimePoints)}
		one.style = styles[one.name]
		if len(one.moments) == 0 {
			if !slices.Contains(lacking, one.name) {
				lacking = append(lacking, one.name)
			}
			continue
		}
		for i := range one.moments {
			m := &one.moments[i]
			m.At /= clockLabels[clock].unit
			m.Low, m.Middle, m.High = 100*(m.Low-anchor), 100*(m.Middle-anchor), 100*(m.High-anchor)
		}
		counts[len(c.Runs)] = true
		a.add(c.Space, one, o.Regret != nil)
	}
	if len(a.panels) == 0 {
		return nil, fmt.Errorf("no %s error over this time in any of the runs: %s", name, clockNotes[clock])
	}
	a.label = strings.ToUpper(name[:1]) + name[1:] + " error (%)"
	axis := linearAxis
	if o.Regret != nil {
		a.label, axis = strings.ToUpper(name[:1])+name[1:]+" regret (points)", logAxis
		if math.IsInf(a.y.low, 1) {
			return nil, errors.New("no regret above 0, which alone has a logarithm")
		}
	}
	if p := provenanceOf(curves); tableNames[p.Table] == "" {
		a.label = strings.ToUpper(p.Table[:1]) + p.Table[1:] + " " + strings.ToLower(a.label[:1]) + a.label[1:]
	}
	var notes []string
	if !o.NoCaption {
		seeds := slices.Sorted(maps.Keys(counts))
		number := fmt.Sprint(seeds[0])
		if last := seeds[len(seeds)-1]; last != seeds[0] {
			number += fmt.Sprintf("–%d", last)
		}
		lines := []string{"Means over the seeds, with bands of ± one standard error. Seeds: " + number + ".", clockNotes[clock],
			"A line begins where every seed has a cell, and ends where the first does."}
		if o.Median {
			lines[0] = "Medians over the seeds, with bands between the quartiles. Seeds: " + number + "."
		}
		if anchors != nil {
			lines = append(lines, "Regret: "+name+" error above "+strings.Join(anchors, ", ")+".")
		}
		if a.cut {
			lines = append(lines, "Where the regret is 0 or below, which has no logarithm, a line leaves the axes.")
		}
		for _, warning := range warnings(curves) {
			lines = append(lines, "Records say: "+warning+".")
		}
		if lacking != nil {
			lines = append(lines, fmt.Sprintf("Without such a time: %s.", strings.Join(lacking, "; ")))
		}
		notes = append(notes, strings.Join(lines, " "), ProvenanceNote(curves))
		if note := incompleteNote(curves); note != "" {
			notes = append(notes, note)
		}
	}
	return a.layOut(o.width(), axis, notes), nil
}

// warnings lists what the records of curves warn of.
func warnings(curves []results.Curve) []string {
	all := map[string]bool{}
	for _, c := range curves {
		for _, h := range c.Runs {
			for _, e := range h.Epochs {
				if e.Warning != "" {
					all[e.Warning] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// timedSeries is one curve of one panel, in the units of the axes.
type timedSeries struct {
	name    string
	style   lineStyle
	moments []results.Moment
}

// extent is a range of values.
type extent struct{ low, high float64 }

func (e *extent) include(x float64) { e.low, e.high = min(e.low, x), max(e.high, x) }

// anytime is what a figure over time shows.
type anytime struct {
	clock  results.Clock
	label  string
	panels map[spaces.Name][]timedSeries
	x, y   extent
	cut    bool // some values have no logarithm
}

func (a *anytime) add(space spaces.Name, one timedSeries, logarithmic bool) {
	a.panels[space] = append(a.panels[space], one)
	for _, m := range one.moments {
		a.x.include(m.At)
		for i, y := range []float64{m.Low, m.Middle, m.High} {
			if logarithmic && !(y > 0) {
				a.cut = a.cut || i == 1
				continue
			}
			if i > 0 || !logarithmic { // bands need not be whole
				a.y.include(y)
			}
		}
	}
}

func (a anytime) layOut(width Width, axis func(low, high float64, ticks int) valueAxis, notes []string) *Figure {
	names := slices.Sorted(maps.Keys(a.panels))
	p := newPage(width, len(names))
	time := logAxis(a.x.low, a.x.high, 7)
	g := panelGrid{xLabel: clockLabels[a.clock].label, yLabel: a.label, height: dataHeight, axis: axis(a.y.low, a.y.high, fitting(dataHeight, 13)), time: &time}
	var legend []legendEntry
	for row := range slices.Chunk(names, p.columns) {
		var facets []*facet
		for _, space := range row {
			facets = append(facets, &facet{title: "Space " + string(space), draw: func(c canvas.Canvas, p *plot.Plot) { a.draw(c, p, a.panels[space]) }})
		}
		g.rows = append(g.rows, facets)
	}
	var shown []string
	for _, space := range names {
		for _, one := range a.panels[space] {
			if slices.Contains(shown, one.name) {
				continue
			}
			shown = append(shown, one.name)
			legend = append(legend, legendEntry{one.name, func(c canvas.Canvas, left vg.Point) {
				c.FillPolygon(one.style.band(), corners(vg.Rectangle{Min: left.Sub(vg.Point{Y: 3}), Max: left.Add(vg.Point{X: thumbWidth, Y: 3})}))
				c.StrokeLines(one.style.line(), []vg.Point{left, left.Add(vg.Point{X: thumbWidth})})
				drawMarker(c, left.Add(vg.Point{X: thumbWidth / 2}), one.style)
			}})
		}
	}
	g.fit(p, 0)
	p.legend(legend)
	g.lay(p)
	return p.finish(notes, 1.25)
}

// draw draws the curves of a panel, the first of the legend on top.
func (a anytime) draw(c canvas.Canvas, p *plot.Plot, all []timedSeries) {
	x, y := p.Transforms(&c)
	at := func(m results.Moment, value float64) vg.Point { return vg.Point{X: x(m.At), Y: y(max(value, p.Y.Min))} }
	for _, one := range slices.Backward(all) {
		low := steps(one.moments, func(m results.Moment) vg.Point { return at(m, m.Low) })
		slices.Reverse(low)
		outline := append(steps(one.moments, func(m results.Moment) vg.Point { return at(m, m.High) }), low...)
		c.FillPolygon(one.style.band(), c.ClipPolygonXY(outline))
	}
	for _, one := range slices.Backward(all) {
		line := steps(one.moments, func(m results.Moment) vg.Point { return at(m, m.Middle) })
		c.StrokeLines(one.style.line(), c.ClipLinesXY(line)...)
	}
	for k, one := range slices.Backward(all) {
		step := len(one.moments) / markersPerLine
		for i := step * (k + 1) / (len(all) + 1); i < len(one.moments); i += step {
			if m := one.moments[i]; m.Middle >= p.Y.Min {
				drawMarker(c, at(m, m.Middle), one.style)
			}
		}
	}
}

// steps are the corners of a line that keeps its value until the next moment.
func steps(moments []results.Moment, at func(results.Moment) vg.Point) (corners []vg.Point) {
	for i, m := range moments {
		p := at(m)
		if i > 0 {
			corners = append(corners, vg.Point{X: p.X, Y: corners[len(corners)-1].Y})
		}
		corners = append(corners, p)
	}
	return corners
}
