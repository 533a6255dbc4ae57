package plots

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/printable"
)

// Width is the width of a figure in print, in millimetres. It decides how many panels stand
// side by side.
type Width float64

// Widths that papers have.
const (
	Page   Width = 170 // across the page
	Column Width = 85  // one of two columns
)

// Lengths of the layout, at print size.
const (
	margin     = 3 * vg.Millimeter / 2
	dataHeight = 4.4 * vg.Centimeter // of each panel's axes
	panelRoom  = 5 * vg.Centimeter   // that a panel needs to stand beside others
	panelGap   = 3 * vg.Millimeter
	labelGap   = vg.Length(6)  // beside the label of the y axis, points
	thumbWidth = vg.Length(20) // of a line in the legend
	thumbGap   = vg.Length(4)
	entryGap   = vg.Length(10)
	lineWidth  = vg.Length(0.8)
	dotRadius  = vg.Length(1.6)
	markRadius = vg.Length(2.3) // of a final evaluation
)

// Figure is a figure ready to be saved.
type Figure struct {
	width, height vg.Length
	parts         []func(c canvas.Canvas, height vg.Length) // what to draw, on a canvas of that size
	notes         []string                                  // below the drawing, which are the parts behind drawn
	drawn         int
	drawnHeight   vg.Length
}

// formats are the extensions of the files that a figure can be written to.
var formats = []string{"png", "svg", "pdf"}

// FileNames returns the names under which Save writes a figure: base.png (300
// dpi), base.svg and base.pdf.
func FileNames(base string) []string {
	var names []string
	for _, format := range formats {
		names = append(names, base+"."+format)
	}
	return names
}

// Save writes the figure to its FileNames, each atomically, and returns them.
func (f *Figure) Save(base string) ([]string, error) {
	paths := FileNames(base)
	images := make([][]byte, len(paths))
	for i, path := range paths {
		var err error
		if images[i], err = f.Encode(path); err != nil {
			return nil, err
		}
	}
	for i, path := range paths {
		if err := durable.WriteFile(path, images[i]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Notes are the paragraphs below the drawing.
func (f *Figure) Notes() []string { return f.notes }

// Bare is the figure without its notes, for where they are written beside it.
func (f *Figure) Bare() *Figure {
	bare := *f
	bare.parts, bare.height, bare.notes = f.parts[:f.drawn], f.drawnHeight, nil
	return &bare
}

// Encode returns the content of the file at path, which it does not write, in the
// format that its extension names: .png, .svg or .pdf. Any other one is an error.
func (f *Figure) Encode(path string) ([]byte, error) {
	format := strings.TrimPrefix(filepath.Ext(path), ".")
	if !slices.Contains(formats, format) {
		return nil, fmt.Errorf("draw %s: its extension must be one of .%s", path, strings.Join(formats, ", ."))
	}
	image, err := f.encode(format)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", path, err)
	}
	return image, nil
}

// SVG returns the figure as SVG without the font that Save embeds. Programs without Liberation Sans take one of the same widths.
func (f *Figure) SVG() ([]byte, error) {
	image, err := f.encode(plainSVG)
	if err != nil {
		return nil, fmt.Errorf("draw SVG: %w", err)
	}
	return image, nil
}

// plainSVG is the format of SVG without fonts.
const plainSVG = "svg without fonts"

// pdfDate is the date of drawing in a PDF.
var pdfDate = regexp.MustCompile(`\(D:\d{14}\)`)

// encode draws the figure in a format: png, svg, pdf or plainSVG.
func (f *Figure) encode(format string) (_ []byte, err error) {
	defer fault.Catch(&err) // of gonum's drawing
	var to vg.CanvasWriterTo
	var on vg.CanvasSizer
	switch format {
	case "png":
		to = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(f.width, f.height), vgimg.UseDPI(300), vgimg.UseBackgroundColor(color.White))}
		on = to
	case "svg", plainSVG:
		to = vgsvg.NewWith(vgsvg.UseWH(f.width, f.height), vgsvg.EmbedFonts(false))
		on = to
	case "pdf":
		to = newPDF(f.width, f.height)
		on = to
	}
	for _, part := range f.parts {
		part(canvas.New(printableCanvas{on}), f.height)
	}
	var b bytes.Buffer
	if _, err := to.WriteTo(&b); err != nil {
		return nil, err
	}
	image := b.Bytes()
	switch format {
	case "svg", plainSVG:
		image = compact(image)
		if format == "svg" {
			return embedFont(image)
		}
	case "pdf": // equal figures have equal bytes; the length stays, since a PDF refers to its own offsets
		image = pdfDate.ReplaceAll(image, []byte("(D:20000101000000)"))
	}
	return image, nil
}

// printableCanvas draws text as it is fit to be shown: SVG knows no control characters.
type printableCanvas struct{ vg.CanvasSizer }

// FillString implements vg.Canvas.
func (c printableCanvas) FillString(face font.Face, at vg.Point, s string) {
	c.CanvasSizer.FillString(face, at, printable.Line(s))
}

// legendEntry is a line of the legend and its sample.
type legendEntry struct {
	text  string
	thumb func(c canvas.Canvas, left vg.Point) // drawn thumbWidth to the right of a point, and around its height
}

// mark draws the diamond of a final evaluation.
func mark(c canvas.Canvas, at vg.Point, outline color.Color) {
	corners := make([]vg.Point, 5)
	for i := range corners {
		sin, cos := math.Sincos(float64(i) * math.Pi / 2)
		corners[i] = at.Add(vg.Point{X: markRadius * vg.Length(cos), Y: markRadius * vg.Length(sin)})
	}
	c.FillPolygon(color.White, corners[:4])
	c.StrokeLines(canvas.LineStyle{Color: outline, Width: 0.9}, corners)
}

// page is a figure in the making. Parts are placed from the top, at a depth below
// the upper edge; only at the end is the height known, from which the canvas
// counts.
type page struct {
	*Figure
	columns int       // of panels
	inner   vg.Length // width between the margins
	depth   vg.Length
}

// newPage starts a figure with the given number of panels side by side, or as many as there
// is room for.
func newPage(width Width, columns int) *page {
	f := &Figure{width: vg.Length(width) * vg.Millimeter}
	return &page{f, min(columns, fitting(f.width, panelRoom)), f.width - 2*margin, margin}
}

// fitting is how many panels of a width fit beside each other, one at least.
func fitting(width, room vg.Length) int { return max(int(width/room), 1) }

// place puts a part at the depth that has been reached.
func (p *page) place(part func(c canvas.Canvas, top vg.Length)) {
	top := p.depth
	p.parts = append(p.parts, func(c canvas.Canvas, height vg.Length) { part(c, height-top) })
}

// finish adds the notes, with the given distance between lines, and returns the
// figure.
func (p *page) finish(notes []string, gap vg.Length) *Figure {
	p.notes, p.drawn, p.drawnHeight = notes, len(p.parts), p.depth+margin
	style := textStyle(noteSize, noteColour)
	for _, note := range notes {
		for _, line := range wrap(note, style, p.inner) {
			p.place(func(c canvas.Canvas, top vg.Length) { c.FillText(style, vg.Point{X: margin, Y: top}, line) })
			p.depth += gap * style.Font.Size
		}
	}
	p.height = p.depth + margin
	return p.Figure
}

// legendRow is one row of the legend.
type legendRow struct {
	height vg.Length
	draw   func(c canvas.Canvas, top vg.Length)
}

// layLegend arranges the entries in as few rows as a width allows, in columns,
// centred.
func layLegend(legend []legendEntry, inner vg.Length) []legendRow {
	style := textStyle(legendSize, color.Black)
	lines := make([][]string, len(legend))
	widths := make([]vg.Length, len(legend))
	for i, e := range legend {
		lines[i] = wrap(e.text, style, inner-thumbWidth-thumbGap)
		for _, line := range lines[i] {
			widths[i] = max(widths[i], thumbWidth+thumbGap+style.Width(line))
		}
	}
	// offsets gives the left edges of the given number of columns and their total width.
	offsets := func(columns int) ([]vg.Length, vg.Length) {
		x := make([]vg.Length, columns)
		var total vg.Length
		for c := range columns {
			var column vg.Length
			for i := c; i < len(widths); i += columns {
				column = max(column, widths[i])
			}
			x[c] = total
			total += column + entryGap
		}
		return x, total - entryGap
	}
	columns := len(legend)
	for _, total := offsets(columns); columns > 1 && total > inner; _, total = offsets(columns) {
		columns--
	}
	rows := (len(legend) + columns - 1) / columns
	if even := (len(legend) + rows - 1) / rows; even < columns { // rows of equal length, if they fit
		if _, total := offsets(even); total <= inner {
			columns = even
		}
	}

	x, total := offsets(columns)
	var laid []legendRow
	for first := 0; first < len(legend); first += columns {
		last := min(first+columns, len(legend))
		tallest := 1
		for i := first; i < last; i++ {
			tallest = max(tallest, len(lines[i]))
		}
		lineHeight := 1.4 * style.Font.Size
		laid = append(laid, legendRow{lineHeight * vg.Length(tallest), func(c canvas.Canvas, top vg.Length) {
			for i := first; i < last; i++ {
				left := margin + (inner-total)/2 + x[i-first]
				legend[i].thumb(c, vg.Point{X: left, Y: top - lineHeight/2})
				for k, line := range lines[i] {
					middle := style
					middle.YAlign = text.YCenter
					descent := middle.FontExtents().Descent
					c.FillText(middle, vg.Point{X: left + thumbWidth + thumbGap, Y: top - lineHeight*(vg.Length(k)+0.5) + descent/2}, line)
				}
			}
		}})
	}
	return laid
}

// layRow places plots side by side under their titles, with axes of equal size
// and the same ticks on the y axes, whose label stands before the first, and
// returns the height of the row.
func layRow(titles []string, all []*plot.Plot, yLabel string, inner vg.Length, place placer) vg.Length {
	title, label := textStyle(titleSize, color.Black), textStyle(labelSize, color.Black)
	title.XAlign, label.XAlign = text.XCenter, text.XCenter
	label.Rotation = math.Pi / 2
	titleHeight, labelWidth := 1.7*title.Font.Size, label.Font.Size+labelGap

	n := vg.Length(len(all))
	// The same ticks take the same room around the axes.
	about := canvas.Canvas{Rectangle: vg.Rectangle{Max: vg.Point{X: inner / n, Y: dataHeight}}}
	axes := all[0].DataCanvas(about)
	left, right, below, above := axes.Min.X, about.Max.X-axes.Max.X, axes.Min.Y, about.Max.Y-axes.Max.Y
	data := (inner-labelWidth-(n-1)*panelGap)/n - left - right

	place(func(c canvas.Canvas, top vg.Length) {
		c.FillText(label, vg.Point{X: margin, Y: top - titleHeight - dataHeight/2}, yLabel)
	})
	x := margin + labelWidth
	for i, p := range all {
		outer := vg.Rectangle{Min: vg.Point{X: x, Y: -titleHeight - dataHeight - below}, Max: vg.Point{X: x + left + data + right, Y: above - titleHeight}}
		place(func(c canvas.Canvas, top vg.Length) {
			c.FillText(title, vg.Point{X: outer.Min.X + left + data/2, Y: top}, titles[i])
			c.Rectangle = outer.Add(vg.Point{Y: top})
			p.Draw(c)
		})
		x = outer.Max.X + panelGap
	}
	return titleHeight + dataHeight + below
}

// newPlot is an empty plot, without title and label of the y axis.
func newPlot(xLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text = xLabel
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = textStyle(labelSize, color.Black).Font
		a.Label.Padding = 2
		a.Tick.Label.Font = textStyle(tickSize, color.Black).Font
		a.Tick.Length = 3
		a.Padding = 0
	}
	return p
}

// grid is the grid behind what a plot shows.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = color.Gray{225}, color.Gray{225}
	g.Horizontal.Width, g.Vertical.Width = 0.4, 0.4
	return g
}

// plotterFunc is a plot.Plotter.
type plotterFunc func(canvas.Canvas, *plot.Plot)

// Plot implements plot.Plotter.
func (f plotterFunc) Plot(c canvas.Canvas, p *plot.Plot) { f(c, p) }
