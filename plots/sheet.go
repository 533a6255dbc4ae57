package plots

import (
	"image/color"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// overlaid is the number of curves that one panel shows well. Of more, each has a
// panel of its own, with the others in grey behind it.
const overlaid = 4

// sheet is what a figure of a quantity shows.
type sheet struct {
	quantity
	names     []string                 // of the curves, in the order of the legend
	panels    map[spaces.Name][]series // by space, in that order
	low, high float64                  // of all that is drawn
	end       int                      // of the x axis
	final     bool                     // whether there is a final evaluation
	band      bool                     // whether there is a spread
}

// add puts a series on the sheet, behind those that come before it in legends.
func (s *sheet) add(one series) {
	space := one.curve.Space
	s.panels[space] = append(s.panels[space], one)
	if !slices.Contains(s.names, one.name) {
		s.names = append(s.names, one.name)
	}
	include := func(points []results.Point) {
		for _, p := range points {
			s.low, s.high = min(s.low, p.Low), max(s.high, p.High)
			s.end = max(s.end, p.Epoch)
			s.final = s.final || p.Final
			s.band = s.band || p.Seeds > 1
		}
	}
	include(one.points)
	for _, seed := range one.seeds {
		include(seed)
	}
	if x, ok := s.reference[space]; ok {
		s.low, s.high = min(s.low, x), max(s.high, x)
	}
}

// layOut arranges the panels: one for each space, or where that has too many curves
// one for each curve.
func (s sheet) layOut(width Width, notes []string) *Figure {
	spaces := slices.Sorted(maps.Keys(s.panels))
	most := 0
	for _, all := range s.panels {
		most = max(most, len(all))
	}
	p := newPage(width, len(spaces))
	g := panelGrid{xLabel: "Epochs of training", yLabel: s.label, height: dataHeight}
	var legend []legendEntry
	switch {
	case most > overlaid:
		g.rows, g.sides = s.multiples(spaces, p)
		// As many rows as there are fit on a page with their caption.
		g.height = min(max(18*vg.Centimeter/vg.Length(len(g.rows)), 1.7*vg.Centimeter), 2.3*vg.Centimeter)
		legend = s.multiplesLegend()
	default:
		labels := p.columns == 1 && most > 1
		for _, space := range spaces {
			for _, one := range s.panels[space] {
				labels = labels && len(labelLines(one.name)) <= 2
			}
		}
		for row := range slices.Chunk(spaces, p.columns) {
			var facets []*facet
			for _, space := range row {
				facets = append(facets, s.overlay(space, labels))
			}
			g.rows = append(g.rows, facets)
		}
		legend = s.legend(!labels)
	}
	g.axis = s.axis(s.low, s.high, fitting(g.height, 13))
	g.fit(p, s.end)
	if len(legend) > 0 {
		p.legend(legend)
	}
	g.lay(p)
	return p.finish(notes, 1.25)
}

// overlay is the panel of a space with all its curves.
func (s sheet) overlay(space spaces.Name, labels bool) *facet {
	all := s.panels[space]
	f := &facet{title: "Space " + string(space)}
	f.draw = func(c canvas.Canvas, p *plot.Plot) {
		s.drawReference(c, p, space)
		for _, layer := range []func(canvas.Canvas, *plot.Plot, series){drawBand, drawSeeds, drawLine, drawFinal} {
			for _, one := range slices.Backward(all) { // the first of the legend on top
				layer(c, p, one)
			}
		}
		if len(s.names) > 1 {
			for i, one := range slices.Backward(all) {
				drawMarkers(c, p, one, float64(i)/float64(len(all)), s.end)
			}
		}
	}
	if labels {
		for _, one := range all {
			f.labels = append(f.labels, lineLabel{one.points[len(one.points)-1].Middle, labelLines(one.name), one.style})
		}
	}
	return f
}

// multiples are small panels of one curve each, with the other means in grey: a
// column for each space, or with one space as many as there is room for, each under
// the name of its curve.
func (s sheet) multiples(names []spaces.Name, p *page) (rows [][]*facet, sides []string) {
	one := func(space spaces.Name, name string) *facet {
		return &facet{draw: func(c canvas.Canvas, p *plot.Plot) {
			s.drawReference(c, p, space)
			at := -1
			for i, other := range s.panels[space] {
				if other.name == name {
					at = i
					continue
				}
				drawBehind(c, p, other)
			}
			if at >= 0 {
				for _, layer := range []func(canvas.Canvas, *plot.Plot, series){drawBand, drawSeeds, drawLine, drawFinal} {
					layer(c, p, s.panels[space][at])
				}
			}
		}}
	}
	if len(names) == 1 {
		for some := range slices.Chunk(s.names, fitting(p.inner, smallRoom)) {
			var row []*facet
			for _, name := range some {
				f := one(names[0], name)
				f.title = name
				row = append(row, f)
			}
			rows = append(rows, row)
		}
		return rows, nil
	}
	for i, name := range s.names {
		var row []*facet
		for _, space := range names {
			f := one(space, name)
			if i == 0 {
				f.title = "Space " + string(space)
			}
			row = append(row, f)
		}
		rows = append(rows, row)
	}
	return rows, s.names
}

// smallRoom is the width that a small panel needs.
const smallRoom = 3.6 * vg.Centimeter

// legend has the curves, unless they are labelled, and whatever else is drawn.
func (s sheet) legend(curves bool) []legendEntry {
	var all []legendEntry
	if curves {
		styles := map[string]lineStyle{}
		for _, some := range s.panels {
			for _, one := range some {
				styles[one.name] = one.style
			}
		}
		for _, name := range s.names {
			style := styles[name]
			all = append(all, legendEntry{name, func(c canvas.Canvas, left vg.Point) {
				s.thumbBand(c, left, style)
				c.StrokeLines(style.line(), []vg.Point{left, left.Add(vg.Point{X: thumbWidth})})
				if len(s.names) > 1 {
					drawMarker(c, left.Add(vg.Point{X: thumbWidth / 2}), style)
				}
			}})
		}
	}
	return append(all, s.commonLegend()...)
}

// multiplesLegend tells the curve of a panel from the others.
func (s sheet) multiplesLegend() []legendEntry {
	style := lineStyle{colour: color.NRGBA{0, 0, 0, 255}}
	return append([]legendEntry{
		{"the algorithm of the panel", func(c canvas.Canvas, left vg.Point) {
			s.thumbBand(c, left, style)
			c.StrokeLines(style.line(), []vg.Point{left, left.Add(vg.Point{X: thumbWidth})})
		}},
		{"the others", thumbLine(behindLine)},
	}, s.commonLegend()...)
}

// commonLegend has what belongs to no curve.
func (s sheet) commonLegend() []legendEntry {
	var all []legendEntry
	if s.final {
		all = append(all, legendEntry{"after the last epoch", func(c canvas.Canvas, left vg.Point) {
			mark(c, left.Add(vg.Point{X: thumbWidth / 2}), noteColour)
		}})
	}
	if len(s.reference) > 0 {
		all = append(all, legendEntry{"random architecture, expected", thumbLine(referenceLine)})
	}
	return all
}

func (s sheet) thumbBand(c canvas.Canvas, left vg.Point, style lineStyle) {
	if s.band {
		c.FillPolygon(style.band(), corners(vg.Rectangle{Min: left.Sub(vg.Point{Y: 3}), Max: left.Add(vg.Point{X: thumbWidth, Y: 3})}))
	}
}

// Lines that are no algorithm's.
var (
	behindLine    = canvas.LineStyle{Color: color.Gray{205}, Width: 0.5}
	referenceLine = canvas.LineStyle{Color: color.Gray{110}, Width: 0.6, Dashes: []vg.Length{2.5, 2}}
)

func (s sheet) drawReference(c canvas.Canvas, p *plot.Plot, space spaces.Name) {
	if x, ok := s.reference[space]; ok {
		_, y := p.Transforms(&c)
		c.StrokeLine2(referenceLine, c.Min.X, y(x), c.Max.X, y(x))
	}
}

// stretches cuts the epochs of a series where one is missing or does not
// belong; the final evaluation never does.
func stretches(points []results.Point, belongs func(results.Point) bool) [][]results.Point {
	var all [][]results.Point
	next := -1
	for _, p := range points {
		if p.Final || !belongs(p) {
			continue
		}
		if p.Epoch != next {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], p)
		next = p.Epoch + 1
	}
	return all
}

// placed returns where values of points are on a canvas.
func placed(c canvas.Canvas, p *plot.Plot, points []results.Point, value func(results.Point) float64) []vg.Point {
	x, y := p.Transforms(&c)
	at := make([]vg.Point, len(points))
	for i, p := range points {
		at[i] = vg.Point{X: x(float64(p.Epoch)), Y: y(value(p))}
	}
	return at
}

func low(p results.Point) float64    { return p.Low }
func middle(p results.Point) float64 { return p.Middle }
func high(p results.Point) float64   { return p.High }

// drawBand fills the area of the spread, where there are at least two seeds, also
// where they agree; around a lone epoch it is an error bar.
func drawBand(c canvas.Canvas, p *plot.Plot, s series) {
	for _, points := range stretches(s.points, func(p results.Point) bool { return p.Seeds > 1 }) {
		if len(points) == 1 {
			drawErrorBar(c, p, points[0], s.style)
			continue
		}
		below := placed(c, p, points, low)
		slices.Reverse(below)
		c.FillPolygon(s.style.band(), append(placed(c, p, points, high), below...))
	}
}

// drawSeeds draws the lines of single seeds.
func drawSeeds(c canvas.Canvas, p *plot.Plot, s series) {
	for _, seed := range s.seeds {
		for _, points := range stretches(seed, func(results.Point) bool { return true }) {
			c.StrokeLines(s.style.faint(), placed(c, p, points, middle))
		}
	}
}

// drawLine draws the mean or the median; a lone epoch is a dot.
func drawLine(c canvas.Canvas, p *plot.Plot, s series) {
	for _, points := range stretches(s.points, func(results.Point) bool { return true }) {
		line := placed(c, p, points, middle)
		if len(line) == 1 {
			c.DrawGlyph(canvas.GlyphStyle{Color: s.style.colour, Radius: dotRadius, Shape: canvas.CircleGlyph{}}, line[0])
			continue
		}
		c.StrokeLines(s.style.line(), line)
	}
}

// drawBehind draws the line of another panel's curve.
func drawBehind(c canvas.Canvas, p *plot.Plot, s series) {
	for _, points := range stretches(s.points, func(results.Point) bool { return true }) {
		c.StrokeLines(behindLine, placed(c, p, points, middle))
	}
}

// markersPerLine is how many markers a line over all epochs has.
const markersPerLine = 5

// drawMarkers draws a few of a line's markers, at other epochs than those of the
// lines with another phase, from 0 to 1.
func drawMarkers(c canvas.Canvas, p *plot.Plot, s series, phase float64, end int) {
	next := (0.3 + phase) / markersPerLine * float64(end)
	for _, point := range s.points {
		if point.Final || float64(point.Epoch) < next {
			continue
		}
		drawMarker(c, placed(c, p, []results.Point{point}, middle)[0], s.style)
		for next <= float64(point.Epoch) {
			next += float64(end) / markersPerLine
		}
	}
}

func drawMarker(c canvas.Canvas, at vg.Point, style lineStyle) {
	c.DrawGlyph(canvas.GlyphStyle{Color: style.colour, Radius: dotRadius, Shape: style.marker}, at)
}

// drawFinal marks the evaluation after the last epoch.
func drawFinal(c canvas.Canvas, p *plot.Plot, s series) {
	for _, point := range s.points {
		if point.Final {
			drawErrorBar(c, p, point, s.style)
			mark(c, placed(c, p, []results.Point{point}, middle)[0], s.style.colour)
		}
	}
}

// drawErrorBar draws the spread around one mean or median.
func drawErrorBar(c canvas.Canvas, p *plot.Plot, point results.Point, style lineStyle) {
	one := []results.Point{point}
	c.StrokeLines(canvas.LineStyle{Color: style.colour, Width: 0.8}, []vg.Point{placed(c, p, one, low)[0], placed(c, p, one, high)[0]})
}

// panelGrid is panels in rows, with the same axes, whose ticks have labels on the
// left and below alone.
type panelGrid struct {
	xLabel, yLabel string
	rows           [][]*facet
	sides          []string // to the right of each row; nil for none
	height         vg.Length
	axis           valueAxis
	x              plot.ConstantTicks
	end            int // of the x axis, which begins at 0
	// time is the x axis where that is not of epochs; nil where it is.
	time *valueAxis

	// Set by fit: the room for labels of the y axis and its ticks, the width of a
	// panel's axes, of the labels beside it, and of the text beside the last.
	left, width, labels, side vg.Length
}

// facet is one panel.
type facet struct {
	title  string // above it; may be empty
	draw   func(canvas.Canvas, *plot.Plot)
	labels []lineLabel
}

// lineLabel is the name of a line, to the right of its end.
type lineLabel struct {
	at    float64 // value of the line there
	lines []string
	style lineStyle
}

// Lengths around panels.
const (
	labelledWidth = 2.3 * vg.Centimeter
	leaderLength  = vg.Length(8) // from the axes to a label
	beyondTick    = vg.Length(6) // to the right of the axes, for half a label of the last tick
)

// labelLines breaks the name of a curve for a label.
func labelLines(name string) []string {
	return wrap(name, textStyle(legendSize, color.Black), labelledWidth)
}

// fit finds the widths on a page, and the ticks of an x axis up to epoch end.
func (g *panelGrid) fit(p *page, end int) {
	names, ticks := textStyle(legendSize, color.Black), textStyle(tickSize, color.Black)
	n := 0
	for _, row := range g.rows {
		n = max(n, len(row))
		for _, f := range row {
			for _, l := range f.labels {
				for _, line := range l.lines {
					g.labels = max(g.labels, leaderLength+2+names.Width(line))
				}
			}
		}
	}
	for _, name := range g.sides {
		g.side = max(g.side, (0.6+lineGap*vg.Length(len(g.sideLines(name))))*names.Font.Size)
	}
	for _, t := range g.axis.ticks {
		g.left = max(g.left, ticks.Width(t.Label)+5) // with the tick
	}
	g.left += labelSize + labelGap
	beyond := max(beyondTick-max(g.labels, g.side), 0)
	g.width = (p.inner - g.left - g.side - beyond - vg.Length(n)*g.labels - vg.Length(n-1)*panelGap) / vg.Length(n)
	if g.time == nil {
		g.x, g.end = epochTicks(end, min(fitting(g.width, 26), 5)), end
	} else {
		g.x = g.time.ticks
	}
}

// sideLines breaks the text beside a row.
func (g *panelGrid) sideLines(name string) []string {
	return wrap(name, textStyle(legendSize, color.Black), g.height+panelGap)
}

// lay places the panels on a page.
func (g panelGrid) lay(p *page) {
	title, label, names := textStyle(titleSize, color.Black), textStyle(labelSize, color.Black), textStyle(legendSize, color.Black)
	title.XAlign, label.XAlign = text.XCenter, text.XCenter
	if g.height < dataHeight {
		title.Font.Size = labelSize
	}
	upright := label
	upright.Rotation = math.Pi / 2
	side := names
	side.Rotation, side.XAlign, side.YAlign = -math.Pi/2, text.XCenter, text.YTop

	start := margin + g.left
	middle := start + (vg.Length(len(g.rows[0]))*(g.width+g.labels+panelGap)-panelGap-g.labels)/2
	top := p.depth
	var below vg.Length
	for r, row := range g.rows {
		titled := slices.ContainsFunc(row, func(f *facet) bool { return f.title != "" })
		if titled {
			p.depth += 1.6 * title.Font.Size
		}
		for i, f := range row {
			bottom := r+1 == len(g.rows) || i >= len(g.rows[r+1])
			one := g.plot(f, i == 0, bottom)
			x := start + vg.Length(i)*(g.width+g.labels+panelGap)
			data := vg.Rectangle{Min: vg.Point{X: x, Y: -g.height}, Max: vg.Point{X: x + g.width}}
			outer := around(one, data)
			below = max(below, data.Min.Y-outer.Min.Y)
			p.place(func(c canvas.Canvas, top vg.Length) {
				c.FillText(title, vg.Point{X: x + g.width/2, Y: top + 1.6*title.Font.Size}, f.title)
				c.Rectangle = outer.Add(vg.Point{Y: top})
				one.Draw(c)
				g.drawLabels(c, one, f)
			})
		}
		if g.sides != nil {
			lines := g.sideLines(g.sides[r])
			right := start + vg.Length(len(row))*(g.width+panelGap) - panelGap
			p.place(func(c canvas.Canvas, top vg.Length) {
				for k, line := range lines { // the first is the farthest
					x := right + (0.6+lineGap*vg.Length(len(lines)-k))*names.Font.Size
					c.FillText(side, vg.Point{X: x, Y: top - g.height/2}, line)
				}
			})
		}
		p.depth += g.height
		if r+1 < len(g.rows) {
			p.depth += panelGap
		}
	}
	height := p.depth - top
	p.parts = append(p.parts, func(c canvas.Canvas, all vg.Length) {
		c.FillText(upright, vg.Point{X: margin, Y: all - top - height/2}, g.yLabel)
	})
	p.depth += below + 1
	p.place(func(c canvas.Canvas, top vg.Length) { c.FillText(label, vg.Point{X: middle, Y: top}, g.xLabel) })
	p.depth += lineGap*label.Font.Size + vg.Millimeter
}

// around is the rectangle on which a plot's axes take up the given one.
func around(p *plot.Plot, data vg.Rectangle) vg.Rectangle {
	outer := data
	for range 3 { // labels of ticks at the ends need the less room the longer the axes are
		got := p.DataCanvas(canvas.Canvas{Rectangle: outer}).Rectangle
		outer.Min = outer.Min.Add(data.Min.Sub(got.Min))
		outer.Max = outer.Max.Add(data.Max.Sub(got.Max))
	}
	return outer
}

// plot is the plot of a facet, with or without labels of the ticks.
func (g panelGrid) plot(f *facet, left, bottom bool) *plot.Plot {
	p := newPlot("")
	unlabelled := func(ticks plot.ConstantTicks, keep bool) plot.ConstantTicks {
		if keep {
			return ticks
		}
		all := slices.Clone(ticks)
		for i := range all {
			if all[i].Label != "" {
				all[i].Label = " " // which keeps it a long tick
			}
		}
		return all
	}
	p.X.Tick.Marker, p.Y.Tick.Marker, p.Y.Scale = unlabelled(g.x, bottom), unlabelled(g.axis.ticks, left), g.axis.scale
	p.Add(grid(), plotterFunc(f.draw))
	p.X.Min, p.X.Max = -0.02*float64(g.end), 1.02*float64(g.end)
	if g.time != nil {
		p.X.Min, p.X.Max, p.X.Scale = g.time.min, g.time.max, g.time.scale
	}
	p.Y.Min, p.Y.Max = g.axis.min, g.axis.max
	return p
}

// drawLabels draws the labels of a facet's lines beside its axes, none over
// another, with leaders from where the lines end.
func (g panelGrid) drawLabels(c canvas.Canvas, p *plot.Plot, f *facet) {
	if f.labels == nil {
		return
	}
	data := p.DataCanvas(c)
	_, y := p.Transforms(&data)
	style := textStyle(legendSize, color.Black)
	style.YAlign = text.YCenter
	all := slices.SortedStableFunc(slices.Values(f.labels), func(a, b lineLabel) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	var want, heights []float64
	for _, l := range all {
		want = append(want, float64(y(l.at)))
		heights = append(heights, 1.1*legendSize*float64(len(l.lines)))
	}
	for i, at := range placeLabels(want, heights, float64(data.Min.Y), float64(data.Max.Y)) {
		l := all[i]
		left := data.Max.X + leaderLength
		c.StrokeLines(canvas.LineStyle{Color: l.style.colour, Width: 0.4}, []vg.Point{{X: data.Max.X + 1, Y: vg.Length(want[i])}, {X: left - 1, Y: vg.Length(at)}})
		style.Color = l.style.colour
		for k, line := range l.lines {
			up := 1.1 * legendSize * (vg.Length(len(l.lines)-1)/2 - vg.Length(k))
			c.FillText(style, vg.Point{X: left + 1, Y: vg.Length(at) + up + style.FontExtents().Descent/2}, line)
		}
	}
}

// placeLabels returns the middles of labels of the given heights that are as near to
// those wanted, which ascend, as they can be without overlapping, and between low
// and high where there is room.
func placeLabels(want, heights []float64, low, high float64) []float64 {
	inside, weights, gaps := make([]float64, len(want)), make([]float64, len(want)), make([]float64, len(want))
	for i, w := range want {
		inside[i] = min(max(w, low+heights[i]/2), high-heights[i]/2)
		weights[i] = 1
		if i > 0 {
			gaps[i] = (heights[i-1] + heights[i]) / 2
		}
	}
	at := separate(inside, weights, gaps)
	limit := high
	for i := len(at) - 1; i >= 0; i-- {
		at[i] = min(at[i], limit-heights[i]/2)
		limit = at[i] - heights[i]/2
	}
	limit = low
	for i := range at {
		at[i] = max(at[i], limit+heights[i]/2)
		limit = at[i] + heights[i]/2
	}
	return at
}
