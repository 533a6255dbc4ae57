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
)

// CorrelationPanel is a run in a figure of correlations, which has a panel for each of its
// forms.
type CorrelationPanel struct {
	Title       string // such as "SDARTS-ADV, space 1"
	Correlation results.Correlation
}

// dotColour is that of a cell, of which thousands lie on one another.
var dotColour = fade(colours[0], 70)

// Correlations draws the error of cells by the inherited weights of supernets against their
// test errors by the table, a dot for each cell, in panels that share their axes. Runs of
// different provenance, or scored on different cells or images, give a
// *results.MixedError, an invalid correlation a *results.FormatError.
func Correlations(panels []CorrelationPanel, width Width) (*Figure, error) {
	if len(panels) == 0 {
		return nil, errors.New("no correlations to draw")
	}
	var curves []results.Curve // that have the panels' provenance
	xLow, xHigh, yLow, yHigh := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	forms := 0
	for _, p := range panels {
		c := p.Correlation
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("correlation %q: %w", p.Title, err)
		}
		if c.By == nil {
			return nil, fmt.Errorf("correlation %q: %d of %d cells are scored: correlate scores the others", p.Title, c.Done(), len(c.Cells))
		}
		first := panels[0].Correlation
		for _, m := range []struct{ name, here, there string }{
			{"cells", c.Scoring.Cells, first.Scoring.Cells}, {"on", c.Scoring.On, first.Scoring.On}, {"statistics", c.Scoring.Statistics, first.Scoring.Statistics},
			{"images", fmt.Sprint(c.Scoring.Images), fmt.Sprint(first.Scoring.Images)}, {"sample", fmt.Sprint(c.Scoring.Sample), fmt.Sprint(first.Scoring.Sample)},
		} {
			if m.here != m.there {
				return nil, &results.MixedError{Field: "scoring." + m.name, Dirs: [2]string{panels[0].Title, p.Title}, Values: [2]string{m.there, m.here}}
			}
		}
		forms = max(forms, len(c.Scoring.Forms))
		for _, form := range c.Scoring.Forms {
			supernet, table := c.Errors(form)
			xLow, xHigh = min(xLow, slices.Min(table)), max(xHigh, slices.Max(table))
			yLow, yHigh = min(yLow, slices.Min(supernet)), max(yHigh, slices.Max(supernet))
		}
		curves = append(curves, results.Curve{Provenance: c.Provenance, Runs: []*results.History{{Dir: p.Title, Run: results.Run{Provenance: c.Provenance}}}})
	}
	if err := results.CheckSetting(curves); err != nil {
		return nil, err
	}
	page := newPage(width, len(panels)*forms)
	page.columns = max(page.columns/forms*forms, 1) // the forms of a run side by side
	x, y := logAxis(max(100*xLow, 0.01), max(100*xHigh, 0.02), 8), linearAxis(100*yLow, 100*yHigh, 8)
	var titles []string
	var all []*plot.Plot
	for _, panel := range panels {
		for _, form := range panel.Correlation.Scoring.Forms {
			p := newPlot("Test error by the table (%)")
			p.X.Tick.Marker, p.X.Scale, p.Y.Tick.Marker = x.ticks, x.scale, y.ticks
			p.Add(grid(), plotterFunc(func(c canvas.Canvas, p *plot.Plot) { drawCells(c, p, panel.Correlation, form) }))
			p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = x.min, x.max, y.min, y.max
			all = append(all, p)
			titles = append(titles, fmt.Sprintf("%s, %s", panel.Title, formName(form)))
		}
	}
	for first := 0; first < len(all); first += page.columns {
		end := min(first+page.columns, len(all))
		page.depth += layRow(titles[first:end], all[first:end], "Error by the supernet (%)", page.inner, page.place) + 2*vg.Millimeter
	}
	return page.finish([]string{correlationNote(panels), ProvenanceNote(curves)}, lineGap), nil
}

// formName is how a form is called in a sentence.
func formName(form string) string {
	if form == results.FormNormalized {
		return "normalised"
	}
	return form
}

// drawCells draws the cells, and their coefficients in the lower right corner, where cells are rare.
func drawCells(c canvas.Canvas, p *plot.Plot, of results.Correlation, form string) {
	x, y := p.Transforms(&c)
	supernet, table := of.Errors(form)
	for i := range table {
		c.DrawGlyph(canvas.GlyphStyle{Color: dotColour, Radius: 0.9, Shape: canvas.CircleGlyph{}}, vg.Point{X: x(100 * table[i]), Y: y(100 * supernet[i])})
	}
	r := of.By[form]
	lines := []string{"τ " + number(r.Kendall, 'f', 2), "ρ " + number(r.Spearman, 'f', 2), "r " + number(r.Pearson, 'f', 2)}
	style := textStyle(tickSize, color.Black)
	room := style.Width("ρ −0.00")
	leading := lineGap * style.Font.Size
	box := vg.Rectangle{Min: vg.Point{X: c.Max.X - room - 7, Y: c.Min.Y + 3}, Max: vg.Point{X: c.Max.X - 3, Y: c.Min.Y + 6 + leading*vg.Length(len(lines))}}
	c.FillPolygon(color.NRGBA{255, 255, 255, 215}, corners(box))
	for i, line := range lines {
		c.FillText(style, vg.Point{X: box.Min.X + 2, Y: box.Max.Y - 1.5 - leading*vg.Length(i)}, line)
	}
}

// correlationNote says what a dot is, and how many of the best cells are the same.
func correlationNote(panels []CorrelationPanel) string {
	s, cells := panels[0].Correlation.Scoring, len(panels[0].Correlation.Cells)
	which := "All " + thousands(cells) + " cells without loose ends"
	if s.Sample != 0 {
		which = "A stratified sample of " + thousands(cells) + " cells without loose ends"
	}
	which += map[string]string{results.CellsReleased: " of the released generator", results.CellsReachable: " that a search can end in"}[s.Cells]
	images := "images of the search part"
	if s.On == results.ScoredOnTest {
		images = "test images"
	}
	epochs := fmt.Sprint(panels[0].Correlation.Scoring.Epochs)
	for _, p := range panels {
		if fmt.Sprint(p.Correlation.Scoring.Epochs) != epochs {
			epochs = "different numbers of"
		}
	}
	var tops []string
	for _, p := range panels {
		c := p.Correlation
		for _, form := range c.Scoring.Forms {
			if top := c.By[form].Top; len(top) > 0 {
				best := top[min(1, len(top)-1)]
				tops = append(tops, fmt.Sprintf("%s, %s %.0f of %d (by chance %.1f)", p.Title, formName(form), best.Share*float64(best.K), best.K, float64(best.K*best.K)/float64(len(c.Cells))))
			}
		}
	}
	note := fmt.Sprintf("%s, scored by the weights of the supernet after %s epochs, without training, on %s %s, by %s statistics. Normalised: edges divided by "+
		"their number, operations by the softmax of 0 and 1. τ: Kendall's τ-b, ρ: Spearman, r: Pearson.", which, epochs, thousands(s.Images), images, s.Statistics)
	if !slices.Contains(s.Forms, results.FormNormalized) {
		note = strings.Replace(note, " Normalised: edges divided by their number, operations by the softmax of 0 and 1.", "", 1)
	}
	if tops != nil {
		note += " Best cells in common: " + strings.Join(tops, "; ") + "."
	}
	return note
}

// RankCorrelation draws Kendall's τ between the errors of discrete cells by the supernet and
// by the table, after each epoch, as HessianTrajectory draws λ.
func RankCorrelation(curves []results.Curve, o Options) (*Figure, error) {
	q := ofSupernet(results.KendallDiscrete, "rank correlation", "Rank correlation τ")
	q.scale = func(_ spaces.Name, x float64) float64 { return x }
	for _, c := range o.choose(curves) {
		for _, h := range c.Runs {
			for _, e := range h.Epochs {
				if e.Correlation != nil && q.notes == nil {
					q.notes = []string{fmt.Sprintf("τ: Kendall's τ-b between the error of %d cells by the supernet, discrete, on %d images, and their test error by the table.", e.Correlation.Cells, e.Correlation.Images)}
				}
			}
		}
	}
	return draw(curves, q, o)
}
