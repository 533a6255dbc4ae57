package plots

import (
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
)

// page is a figure in the making. Parts are placed from the top, at a depth below
// the upper edge; only at the end is the height known, from which the canvas
// counts.
type page struct {
	*Figure
	columns int       // of panels
	inner   vg.Length // width between the margins
	depth   vg.Length
}

// newPage starts a figure with so many panels side by side, or one below the
// other in a column.
func newPage(width Width, columns int) *page {
	f := &Figure{width: 17 * vg.Centimeter}
	if width == Column {
		f.width, columns = 8.5*vg.Centimeter, 1
	}
	return &page{f, columns, f.width - 2*margin, margin}
}

// place puts a part at the depth that has been reached.
func (p *page) place(part func(c canvas.Canvas, top vg.Length)) {
	top := p.depth
	p.parts = append(p.parts, func(c canvas.Canvas) { part(c, p.height-top) })
}

// finish adds the notes, with the given distance between lines, and returns the
// figure.
func (p *page) finish(notes []string, gap vg.Length) *Figure {
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
