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

	"github.com/nb1shot/nb1shot/results"
)

// LandscapePanel is one panel of a figure of landscapes.
type LandscapePanel struct {
	Title      string // such as "SDARTS-ADV, space 1"
	Landscape  results.Landscape
	Provenance results.Provenance // of the run that trained the supernet
}

// LandscapeContours draws the validation accuracy around the architecture
// parameters (paper, Figure 1), one map for each panel, with the same colours
// and axes. Panels of different provenance, plane or number of images give a
// *results.MixedError, an invalid landscape a *results.FormatError.
func LandscapeContours(panels []LandscapePanel, width Width) (*Figure, error) {
	r, err := newRelief(panels)
	if err != nil {
		return nil, err
	}
	return layLandscapes(r, width, r.layMaps), nil
}

// LandscapeSurfaces draws what LandscapeContours does as surfaces in perspective.
func LandscapeSurfaces(panels []LandscapePanel, width Width) (*Figure, error) {
	r, err := newRelief(panels)
	if err != nil {
		return nil, err
	}
	return layLandscapes(r, width, r.laySurfaces), nil
}

// relief is what a figure of landscapes shows, and the scales of all its panels.
type relief struct {
	panels []LandscapePanel
	radius float64            // the axes of the directions run from -radius to radius
	ticks  plot.ConstantTicks // of these axes
	levels plot.ConstantTicks // of the accuracy, in percent, evenly spaced, every other one with a label; a band of colour lies between each two
	bands  []color.NRGBA      // one fewer than levels
	notes  []string
}

// newRelief checks the panels and finds the scales that hold them all.
func newRelief(panels []LandscapePanel) (*relief, error) {
	if len(panels) == 0 {
		return nil, errors.New("no landscapes to draw")
	}
	r := &relief{panels: panels}
	var curves []results.Curve // that have the panels' provenance
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		if err := p.Landscape.Check(); err != nil {
			return nil, fmt.Errorf("landscape %q: %w", p.Title, err)
		}
		for _, row := range p.Landscape.Accuracy {
			low, high = min(low, 100*slices.Min(row)), max(high, 100*slices.Max(row))
		}
		curves = append(curves, results.Curve{
			Provenance: p.Provenance,
			Runs:       []*results.History{{Dir: p.Title, Run: results.Run{Provenance: p.Provenance}}},
		})
	}
	if err := results.CheckSetting(curves); err != nil {
		return nil, err
	}
	if err := checkPlanes(panels); err != nil {
		return nil, err
	}
	first := panels[0].Landscape
	r.radius = max(-first.Coordinates[0], first.Coordinates[len(first.Coordinates)-1])
	step := niceStep(r.radius / 2.5)
	for k := -math.Floor(r.radius / step); k*step <= r.radius; k++ {
		r.ticks = append(r.ticks, tick(k, step))
	}

	if high-low < 0.01 { // less than an image of 10,000
		low, high = max(low-0.5, 0), min(high+0.5, 100)
	}
	step = niceStep((high - low) / 16)
	for k := math.Floor(low / step); ; k++ {
		t := tick(k, step)
		if math.Mod(k, 2) != 0 {
			t.Label = "" // every other one, for room
		}
		r.levels = append(r.levels, t)
		if k*step >= high {
			break
		}
	}
	for i := range len(r.levels) - 1 {
		r.bands = append(r.bands, heightColour((float64(i)+0.5)/float64(len(r.levels)-1)))
	}
	r.notes = []string{r.explanation(), r.sharpness(), ProvenanceNote(curves)}
	return r, nil
}

func tick(k, step float64) plot.Tick {
	k += 0 // no −0
	return plot.Tick{Value: k * step, Label: number(k*step, 'g', 6)}
}

// number is x as strconv.FormatFloat writes it, with a true minus.
func number(x float64, format byte, precision int) string {
	return strings.Replace(strconv.FormatFloat(x, format, precision, 64), "-", "−", 1)
}

// checkPlanes refuses landscapes that were not measured alike.
func checkPlanes(panels []LandscapePanel) error {
	describe := func(l results.Landscape) [][2]string {
		n := len(l.Coordinates)
		return [][2]string{
			{"moved", l.Moved},
			{"images", strconv.Itoa(l.Images)},
			{"coordinates", fmt.Sprintf("%g to %g", l.Coordinates[0], l.Coordinates[n-1])},
			{"sharpness.radius", fmt.Sprintf("%g", l.Sharpness.Radius)},
		}
	}
	first := describe(panels[0].Landscape)
	for _, p := range panels {
		for i, m := range describe(p.Landscape) {
			if m != first[i] {
				return &results.MixedError{Field: "landscape." + m[0], Dirs: [2]string{panels[0].Title, p.Title}, Values: [2]string{first[i][1], m[1]}}
			}
		}
	}
	return nil
}

// explanation says what the axes are.
func (r *relief) explanation() string {
	l := r.panels[0].Landscape
	moved := "the architecture parameters"
	if l.Moved == results.MovedSimplex {
		moved = "the mixing weights, clipped to the simplex,"
	}
	return fmt.Sprintf("Accuracy of the supernet on %d images, by batch statistics, with %s moved along the gradient of the loss "+
		"and a random direction orthogonal to it, both of norm 1. The circle marks where they stand.", l.Images, moved)
}

// sharpness compares the panels in one number each.
func (r *relief) sharpness() string {
	var drops []string
	for _, p := range r.panels {
		drops = append(drops, strings.TrimPrefix(p.Title+": "+number(100*p.Landscape.Sharpness.AccuracyDrop, 'f', 1), ": "))
	}
	return fmt.Sprintf("Mean drop of accuracy at distance %g, in points: %s.", r.panels[0].Landscape.Sharpness.Radius, strings.Join(drops, "; "))
}

// The colours of heights, from low to high, evenly spaced. Their luminance
// rises, so that they keep their order in grey and under colour blindness.
var heightColours = []color.NRGBA{
	{38, 24, 88, 255}, {29, 66, 136, 255}, {18, 108, 150, 255}, {20, 148, 138, 255},
	{78, 184, 106, 255}, {168, 212, 72, 255}, {250, 232, 90, 255},
}

// heightColour is the colour of a height from 0 to 1.
func heightColour(height float64) color.NRGBA {
	at := min(max(height, 0), 1) * float64(len(heightColours)-1)
	i := min(int(at), len(heightColours)-2)
	a, b, part := heightColours[i], heightColours[i+1], at-float64(i)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + part*(float64(b)-float64(a)))) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// The labels of the axes.
const (
	gradientLabel = "Gradient direction"
	randomLabel   = "Random orthogonal direction"
	accuracyLabel = "Validation accuracy (%)"
)

// Lengths of the landscapes' layout, at print size.
const (
	mapSide    = 6.2 * vg.Centimeter // largest
	barWidth   = 3 * vg.Millimeter
	barGap     = 3 * vg.Millimeter
	lineGap    = 1.25 // from line to line, in sizes of the font
	perRow     = 3    // panels, at most, across the page
	centreSize = vg.Length(2.4)
)

// layLandscapes places, from the top, the rows of panels and the notes. A row's
// height comes from row, which places its panels.
func layLandscapes(r *relief, width Width, row func(panels []LandscapePanel, columns int, inner vg.Length, place placer) vg.Length) *Figure {
	rows := (len(r.panels) + perRow - 1) / perRow
	p := newPage(width, (len(r.panels)+rows-1)/rows)
	for panels := range slices.Chunk(r.panels, p.columns) {
		p.depth += row(panels, p.columns, p.inner, p.place) + vg.Millimeter
	}
	return p.finish(r.notes, lineGap)
}

// placer places a part of a figure at the depth that has been reached.
type placer func(part func(c canvas.Canvas, top vg.Length))

// layTitles places the titles of panels, centred at x, and returns their height.
func layTitles(panels []LandscapePanel, x []vg.Length, width vg.Length, place placer) vg.Length {
	style := textStyle(titleSize, color.Black)
	style.XAlign = text.XCenter
	tallest := 1
	for i, p := range panels {
		lines := wrap(p.Title, style, width)
		tallest = max(tallest, len(lines))
		place(func(c canvas.Canvas, top vg.Length) {
			for k, line := range lines {
				c.FillText(style, vg.Point{X: x[i], Y: top - lineGap*style.Font.Size*vg.Length(k)}, line)
			}
		})
	}
	return (lineGap*vg.Length(tallest-1) + 1.7) * style.Font.Size
}

// layMaps places one row of maps and the bar of colours.
func (r *relief) layMaps(panels []LandscapePanel, columns int, inner vg.Length, place placer) vg.Length {
	label, ticks := textStyle(labelSize, color.Black), textStyle(tickSize, color.Black)
	label.XAlign = text.XCenter
	label.Rotation = math.Pi / 2
	labelWidth := label.Font.Size + labelGap

	levelWidth := vg.Length(0)
	for _, l := range r.levels {
		levelWidth = max(levelWidth, ticks.Width(l.Label))
	}
	bar := barGap + barWidth + 4 + levelWidth + labelWidth // with ticks and label

	// All maps have the same ticks, hence the same room around their axes.
	about := canvas.Canvas{Rectangle: vg.Rectangle{Max: vg.Point{X: 5 * vg.Centimeter, Y: 5 * vg.Centimeter}}}
	axes := r.plot(panels[0].Landscape).DataCanvas(about)
	left, right, below, above := axes.Min.X, about.Max.X-axes.Max.X, axes.Min.Y, about.Max.Y-axes.Max.Y
	n := vg.Length(columns)
	around := labelWidth + n*(left+right) + (n-1)*panelGap + bar
	side := min((inner-around)/n, mapSide)

	start := margin + (inner-around-n*side)/2
	var middles []vg.Length
	x := start + labelWidth
	for range panels {
		middles = append(middles, x+left+side/2)
		x += left + side + right + panelGap
	}
	titles := layTitles(panels, middles, side+left, place)
	place(func(c canvas.Canvas, top vg.Length) {
		c.FillText(label, vg.Point{X: start, Y: top - titles - side/2}, randomLabel)
		for i, panel := range panels {
			c.Rectangle = vg.Rectangle{
				Min: vg.Point{X: middles[i] - side/2 - left, Y: top - titles - side - below},
				Max: vg.Point{X: middles[i] + side/2 + right, Y: top - titles + above},
			}
			r.plot(panel.Landscape).Draw(c)
		}
		r.drawBar(c, vg.Rectangle{
			Min: vg.Point{X: x - panelGap + barGap, Y: top - titles - side},
			Max: vg.Point{X: x - panelGap + barGap + barWidth, Y: top - titles},
		})
		c.FillText(label, vg.Point{X: x - panelGap + bar - label.Font.Size, Y: top - titles - side/2}, accuracyLabel)
	})
	return titles + side + below
}

// plot is the map of one landscape, without title and label of the y axis.
func (r *relief) plot(l results.Landscape) *plot.Plot {
	p := newPlot(gradientLabel)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Marker = r.ticks
		a.LineStyle.Width = 0 // the map has a frame
	}
	p.Add(plotterFunc(func(c canvas.Canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		r.drawMap(c, l, x, y)
	}))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -r.radius, r.radius, -r.radius, r.radius
	return p
}

// drawBar draws the colours of the bands with their levels on the right.
func (r *relief) drawBar(c canvas.Canvas, at vg.Rectangle) {
	style := textStyle(tickSize, color.Black)
	style.YAlign = text.YCenter
	height := func(i int) vg.Length {
		return at.Min.Y + at.Size().Y*vg.Length(i)/vg.Length(len(r.bands))
	}
	for i, band := range r.bands { // up to the top, so that no seam shows
		c.FillPolygon(band, corners(vg.Rectangle{Min: vg.Point{X: at.Min.X, Y: height(i)}, Max: at.Max}))
	}
	line := canvas.LineStyle{Color: color.Black, Width: 0.5}
	c.StrokeLines(line, append(corners(at), at.Min))
	for i, level := range r.levels {
		if level.Label == "" {
			continue
		}
		c.StrokeLine2(line, at.Max.X, height(i), at.Max.X+2, height(i))
		c.FillText(style, vg.Point{X: at.Max.X + 4, Y: height(i) + style.FontExtents().Descent/2}, level.Label)
	}
}

// corners are those of a rectangle.
func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}

// spot is a point of a map and its height.
type spot struct {
	at     vg.Point
	height float64
}

// crossing is where the line from a to b, on either side of a level, meets it.
func crossing(a, b spot, level float64) vg.Point {
	if a.height > b.height { // the same point for both triangles that share the line
		a, b = b, a
	}
	part := vg.Length((level - a.height) / (b.height - a.height))
	return a.at.Add(b.at.Sub(a.at).Scale(part))
}

// above is the part of a triangle that is at a level or above it.
func above(triangle [3]spot, level float64) []vg.Point {
	var part []vg.Point
	for i, a := range triangle {
		b := triangle[(i+1)%3]
		if a.height >= level {
			part = append(part, a.at)
		}
		if (a.height >= level) != (b.height >= level) {
			part = append(part, crossing(a, b, level))
		}
	}
	return part
}

// contour is what of a grid lies at a level or above it, and the line around
// that within the grid. Between the points of the grid the height is linear on
// four triangles, which meet at the mean in the middle of each cell.
func contour(grid [][]spot, level float64) (area, line vg.Path) {
	n := len(grid)
	for i := range n - 1 {
		first := 0 // cell of those that are wholly above, up to this one
		flush := func(j int) {
			if first < j {
				area = addPolygon(area, corners(vg.Rectangle{Min: grid[i][first].at, Max: grid[i+1][j].at}))
			}
			first = j + 1
		}
		for j := range n - 1 {
			cell := [4]spot{grid[i][j], grid[i][j+1], grid[i+1][j+1], grid[i+1][j]}
			middle := spot{at: cell[0].at.Add(cell[2].at).Scale(0.5)}
			lowest := math.Inf(1)
			for _, s := range cell {
				middle.height += s.height / 4
				lowest = min(lowest, s.height)
			}
			if lowest >= level {
				continue
			}
			flush(j)
			for e, a := range cell {
				triangle := [3]spot{a, cell[(e+1)%4], middle}
				area = addPolygon(area, above(triangle, level))
				line = addCrossings(line, triangle, level)
			}
		}
		flush(n - 1)
	}
	return area, line
}

// drawMap fills the bands between the levels, and draws the lines between them.
func (r *relief) drawMap(c canvas.Canvas, l results.Landscape, x, y func(float64) vg.Length) {
	n := len(l.Coordinates)
	grid := make([][]spot, n)
	for i, b := range l.Coordinates {
		for j, a := range l.Coordinates {
			grid[i] = append(grid[i], spot{vg.Point{X: x(a), Y: y(b)}, 100 * l.Accuracy[i][j]})
		}
	}
	frame := vg.Rectangle{Min: grid[0][0].at, Max: grid[n-1][n-1].at}
	c.FillPolygon(r.bands[0], corners(frame))
	// Each band is filled over the lower ones up to the summits, in one path, so
	// that no seam shows between bands or cells.
	var lines []vg.Path
	// Accuracies are multiples of an image. A level in the middle between two
	// meets no plateau or ridge, along which a line would enclose nothing.
	half := 50 / float64(l.Images)
	for k, band := range r.bands[1:] {
		area, line := contour(grid, r.levels[k+1].Value-half)
		if area != nil {
			c.SetColor(band)
			c.Fill(area)
		}
		if line != nil {
			lines = append(lines, line)
		}
	}
	c.SetLineStyle(canvas.LineStyle{Color: color.NRGBA{0, 0, 0, 120}, Width: 0.4})
	for _, line := range lines {
		c.Stroke(line)
	}
	c.StrokeLines(canvas.LineStyle{Color: color.Black, Width: 0.5}, append(corners(frame), frame.Min))
	drawCentre(c, grid[n/2][n/2].at)
}

// addPolygon adds a polygon to a path, unless it is empty.
func addPolygon(path vg.Path, corners []vg.Point) vg.Path {
	if len(corners) == 0 {
		return path
	}
	path.Move(corners[0])
	for _, p := range corners[1:] {
		path.Line(p)
	}
	path.Close()
	return path
}

// addCrossings adds the line in which a triangle meets a level, if it does.
func addCrossings(path vg.Path, triangle [3]spot, level float64) vg.Path {
	var ends []vg.Point
	for i, a := range triangle {
		if b := triangle[(i+1)%3]; (a.height >= level) != (b.height >= level) {
			ends = append(ends, crossing(a, b, level))
		}
	}
	if len(ends) == 2 {
		path.Move(ends[0])
		path.Line(ends[1])
	}
	return path
}

// drawCentre marks where the architecture parameters stand.
func drawCentre(c canvas.Canvas, at vg.Point) {
	for _, s := range []canvas.GlyphStyle{
		{Color: color.Black, Radius: centreSize, Shape: canvas.CircleGlyph{}},
		{Color: color.White, Radius: centreSize - 0.8, Shape: canvas.CircleGlyph{}},
	} {
		c.DrawGlyphNoClip(s, at)
	}
}
