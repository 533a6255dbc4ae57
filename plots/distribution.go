package plots

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
)

// Quantiles are test errors, as fractions, that given shares of the cells do not exceed.
type Quantiles struct{ P10, P25, P50, P75, P90 float64 }

// ErrorDistribution is the test errors of some cells, one panel of a figure.
type ErrorDistribution struct {
	Title  string
	Errors []float64 // fractions in [0,1], ascending, at least one
	Quantiles
}

// TestErrorHistograms draws how the test errors of cells are distributed, with
// the median and the 10 % and 90 % quantiles marked, in panels of equal axes.
// The errors' name, such as "Test error", labels the x axis; the notes go below.
// The long tail of failed trainings is left out, and counted in a note.
func TestErrorHistograms(panels []ErrorDistribution, name string, notes []string, width Width) (*Figure, error) {
	if len(panels) == 0 {
		return nil, errors.New("no distribution to draw")
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		if len(p.Errors) == 0 {
			return nil, fmt.Errorf("%s has no cells to draw", p.Title)
		}
		if last := p.Errors[len(p.Errors)-1]; !(p.Errors[0] >= 0 && last <= 1) {
			return nil, fmt.Errorf("%s has errors from %v to %v, want fractions from 0 to 1", p.Title, p.Errors[0], last)
		}
		low, high = min(low, 100*p.Errors[0]), max(high, 150*p.P90)
	}
	high = min(math.Ceil(high), 100)
	low = min(math.Floor(low), high-1)
	if low < 0 { // all errors are 0
		low, high = 0, 1
	}
	bin := niceStep((high - low) / 80)

	tallest := 0.
	var shares [][]float64 // percent of the cells by panel and bin
	var beyond []string
	for _, p := range panels {
		counts := make([]float64, int(math.Ceil((high-low)/bin-1e-9)))
		out := 0
		for _, e := range p.Errors {
			if 100*e > high {
				out++
				continue
			}
			i := min(int((100*e-low)/bin), len(counts)-1)
			counts[i] += 100 / float64(len(p.Errors))
		}
		tallest = max(tallest, slices.Max(counts))
		shares = append(shares, counts)
		if out > 0 {
			beyond = append(beyond, fmt.Sprintf("%s: %s", p.Title, thousands(out)))
		}
	}
	share := linearAxis(0, tallest, 7)
	share.min = 0

	page := newPage(width, len(panels))
	step := strconv.FormatFloat(bin, 'g', 6, 64)
	page.legend([]legendEntry{
		{"cells, in bins of " + step + " points", func(c canvas.Canvas, left vg.Point) {
			c.FillPolygon(histogramColour, corners(vg.Rectangle{Min: left.Sub(vg.Point{Y: 3}), Max: left.Add(vg.Point{X: thumbWidth, Y: 3})}))
		}},
		{"median", thumbLine(medianLine)}, {"10 % and 90 % of the cells", thumbLine(decileLine)},
	})
	var titles []string
	var all []*plot.Plot
	for i, d := range panels {
		p := newPlot(name + " (%)")
		p.X.Tick.Marker, p.Y.Tick.Marker = linearTicks(low, high, 7), share.ticks
		p.Add(grid(), plotterFunc(func(c canvas.Canvas, p *plot.Plot) { drawHistogram(c, p, d, shares[i], low, bin) }))
		p.X.Min, p.X.Max = low, high
		p.Y.Min, p.Y.Max = share.min, share.max
		titles, all = append(titles, d.Title), append(all, p)
	}
	for first := 0; first < len(all); first += page.columns {
		end := min(first+page.columns, len(all))
		page.depth += layRow(titles[first:end], all[first:end], "Share of the cells (%)", page.inner, page.place) + vg.Millimeter
	}
	page.depth += vg.Millimeter / 2
	if beyond != nil {
		notes = append([]string{fmt.Sprintf("Cells beyond %g %%, not shown: %s.", high, strings.Join(beyond, "; "))}, notes...)
	}
	return page.finish(notes, lineGap), nil
}

// The marks of histograms.
var (
	decileDashes    = []vg.Length{5, 2}
	histogramColour = color.NRGBA{150, 190, 218, 255}
	medianLine      = canvas.LineStyle{Color: colours[2], Width: 1.1}
	decileLine      = canvas.LineStyle{Color: colours[2], Width: 0.9, Dashes: decileDashes}
)

func thumbLine(style canvas.LineStyle) func(c canvas.Canvas, left vg.Point) {
	return func(c canvas.Canvas, left vg.Point) {
		c.StrokeLines(style, []vg.Point{left, left.Add(vg.Point{X: thumbWidth})})
	}
}

// legend places a legend and the gap below it.
func (p *page) legend(entries []legendEntry) {
	for _, row := range layLegend(entries, p.inner) {
		p.place(row.draw)
		p.depth += row.height
	}
	p.depth += 2 * vg.Millimeter
}

// drawHistogram draws the shares of the bins, the marks, and the figures beside
// them in the upper right corner, where the tail leaves room.
func drawHistogram(c canvas.Canvas, p *plot.Plot, d ErrorDistribution, shares []float64, low, bin float64) {
	x, y := p.Transforms(&c)
	outline := []vg.Point{{X: x(low), Y: y(0)}}
	for i, share := range shares {
		left, right := x(low+bin*float64(i)), x(min(low+bin*float64(i+1), p.X.Max))
		outline = append(outline, vg.Point{X: left, Y: y(share)}, vg.Point{X: right, Y: y(share)})
	}
	outline = append(outline, vg.Point{X: outline[len(outline)-1].X, Y: y(0)})
	c.FillPolygon(histogramColour, outline)
	for _, m := range []struct {
		at    float64
		style canvas.LineStyle
	}{{d.P10, decileLine}, {d.P50, medianLine}, {d.P90, decileLine}} {
		c.StrokeLine2(m.style, x(100*m.at), y(p.Y.Min), x(100*m.at), y(p.Y.Max))
	}
	style := textStyle(tickSize, color.Black)
	style.XAlign = text.XRight
	percent := func(x float64) string { return strconv.FormatFloat(100*x, 'f', 2, 64) }
	for i, row := range [][2]string{
		{"cells", thousands(len(d.Errors))}, {"lowest", percent(d.Errors[0])},
		{"10 %", percent(d.P10)}, {"median", percent(d.P50)}, {"90 %", percent(d.P90)},
	} {
		at := vg.Point{X: c.Max.X - 3, Y: c.Max.Y - 3 - lineGap*style.Font.Size*vg.Length(i)}
		c.FillText(style, at, row[1])
		c.FillText(style, at.Sub(vg.Point{X: style.Width("00,000") + 4}), row[0])
	}
}

// thousands writes 1312200 as 1,312,200.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// linearTicks are about the given number of round numbers from low to high.
func linearTicks(low, high float64, about int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	step := niceStep((high - low) / float64(about))
	for k := math.Ceil(low / step); k*step <= high; k++ {
		ticks = append(ticks, tick(k, step))
	}
	return ticks
}

// GroupedErrors are the test errors of cells that are parted into groups, one
// panel of a figure.
type GroupedErrors struct {
	Title  string
	Groups []string // the ticks of the x axis
	// Quantiles holds, for each of the figure's series, those of every group;
	// nil where the series has no cell in it.
	Quantiles [][]*Quantiles
}

// TestErrorsByGroup draws the quantiles of the test errors of groups of cells,
// in panels that share a logarithmic axis: for each of the series a colour, a
// dot at the median, a bar between the quartiles and a line from the 10 % to the
// 90 % quantile. The name and the notes are as in TestErrorHistograms.
func TestErrorsByGroup(panels []GroupedErrors, series []string, name string, notes []string, width Width) (*Figure, error) {
	if len(series) > len(colours) {
		return nil, fmt.Errorf("%d series, at most %d can be told apart", len(series), len(colours))
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		if len(p.Quantiles) != len(series) {
			return nil, fmt.Errorf("%s has quantiles of %d series, not %d", p.Title, len(p.Quantiles), len(series))
		}
		for _, groups := range p.Quantiles {
			if len(groups) != len(p.Groups) {
				return nil, fmt.Errorf("%s has quantiles of %d groups, not %d", p.Title, len(groups), len(p.Groups))
			}
			for _, q := range groups {
				if q != nil {
					low, high = min(low, 100*q.P10), max(high, 100*q.P90)
				}
			}
		}
	}
	if low > high {
		return nil, errors.New("no group of cells to draw")
	}
	if !(low > 0 && high <= 100) {
		return nil, fmt.Errorf("the quantiles reach from %g %% to %g %%, which a logarithmic axis of errors cannot show", low, high)
	}
	axis := logAxis(low, high, 9)

	page := newPage(width, len(panels))
	var entries []legendEntry
	for i, name := range series {
		entries = append(entries, legendEntry{name, func(c canvas.Canvas, left vg.Point) {
			middle := left.Add(vg.Point{X: thumbWidth / 2})
			drawQuantiles(c, colours[i], middle.X, [5]vg.Length{middle.Y - 5, middle.Y - 3, middle.Y, middle.Y + 3, middle.Y + 5})
		}})
	}
	page.legend(entries)
	var titles []string
	var all []*plot.Plot
	for _, panel := range panels {
		p := newPlot("")
		var ticks plot.ConstantTicks
		for i, group := range panel.Groups {
			ticks = append(ticks, plot.Tick{Value: float64(i), Label: group})
		}
		p.X.Tick.Marker, p.Y.Tick.Marker, p.Y.Scale = ticks, axis.ticks, axis.scale
		g := grid()
		g.Vertical.Color = nil
		p.Add(g, plotterFunc(func(c canvas.Canvas, p *plot.Plot) {
			x, y := p.Transforms(&c)
			for i, groups := range panel.Quantiles {
				aside := 0.7 * ((float64(i)+0.5)/float64(len(series)) - 0.5)
				for k, q := range groups {
					if q == nil {
						continue
					}
					var heights [5]vg.Length
					for j, e := range [5]float64{q.P10, q.P25, q.P50, q.P75, q.P90} {
						heights[j] = y(100 * e)
					}
					drawQuantiles(c, colours[i], x(float64(k)+aside), heights)
				}
			}
		}))
		p.X.Min, p.X.Max = -0.5, float64(len(panel.Groups))-0.5
		p.Y.Min, p.Y.Max = axis.min, axis.max
		titles, all = append(titles, panel.Title), append(all, p)
	}
	for first := 0; first < len(all); first += page.columns {
		end := min(first+page.columns, len(all))
		page.depth += layRow(titles[first:end], all[first:end], name+" (%)", page.inner, page.place) + vg.Millimeter
	}
	page.depth += vg.Millimeter / 2
	notes = append([]string{"Dots: medians; bars: between the quartiles; lines: from 10 % to 90 % of the cells."}, notes...)
	return page.finish(notes, lineGap), nil
}

// drawQuantiles draws five quantiles, ascending, at x.
func drawQuantiles(c canvas.Canvas, colour color.NRGBA, x vg.Length, heights [5]vg.Length) {
	c.StrokeLine2(canvas.LineStyle{Color: colour, Width: 0.8}, x, heights[0], x, heights[4])
	c.StrokeLine2(canvas.LineStyle{Color: colour, Width: 3}, x, heights[1], x, heights[3])
	c.DrawGlyphNoClip(canvas.GlyphStyle{Color: colour, Radius: 2, Shape: canvas.CircleGlyph{}}, vg.Point{X: x, Y: heights[2]})
	c.DrawGlyphNoClip(canvas.GlyphStyle{Color: color.White, Radius: 1.3, Shape: canvas.CircleGlyph{}}, vg.Point{X: x, Y: heights[2]})
}
