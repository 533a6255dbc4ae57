package plots

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Training draws the errors of a network that was trained from scratch, as fractions, after
// each epoch: over the training images of the epoch, and on those that it was measured on.
func Training(title string, train, test []float64, e results.Evaluation, width Width) (*Figure, error) {
	if len(train) == 0 || len(train) != len(test) {
		return nil, errors.New("no epochs to draw")
	}
	measured := "test images"
	if e.Recipe.MeasuredOn != results.PartTest {
		measured = e.Recipe.MeasuredOn + " of the training images"
	}
	lines := []struct {
		name   string
		errors []float64
		line   series
	}{
		{"training images", train, series{style: lineStyle{colour: colours[1], marker: markers[1]}}},
		{measured, test, series{style: lineStyle{colour: colours[0], marker: markers[0]}}},
	}
	low, high := math.Inf(1), math.Inf(-1)
	var all []series
	for _, l := range lines {
		for epoch, x := range l.errors {
			x *= 100
			low, high = min(low, x), max(high, x)
			l.line.points = append(l.line.points, results.Point{Epoch: epoch + 1, Low: x, Middle: x, High: x, Seeds: 1})
		}
		l.line.name = l.name
		all = append(all, l.line)
	}
	p := newPage(width, 1)
	g := panelGrid{xLabel: "Epochs of training", yLabel: "Error (%)", height: dataHeight, axis: linearAxis(low, high, fitting(dataHeight, 13))}
	g.rows = [][]*facet{{{title: title, draw: func(c canvas.Canvas, p *plot.Plot) {
		for i, one := range all {
			drawLine(c, p, one)
			drawMarkers(c, p, one, float64(i)/2, len(train))
		}
	}}}}
	g.fit(p, len(train))
	sheet := sheet{names: []string{lines[0].name, lines[1].name}, panels: map[spaces.Name][]series{"": all}}
	p.legend(sheet.legend(true))
	g.lay(p)
	how := fmt.Sprintf("Trained from scratch, seed %d. Error over the training images of an epoch, with their augmentation and drop path, and after it on the %s.", e.Seed, measured)
	return p.finish([]string{how, ProvenanceNote([]results.Curve{{Provenance: e.Provenance}})}, 1.25), nil
}
