package plots

import (
	"errors"
	"image/color"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
)

// The layout of a sheet of cells, at print size.
const (
	sheetScale = 0.8 // of the cells, to that of a drawing by itself
	sheetGap   = 6 * vg.Millimeter
	sheetRow   = 4 * vg.Millimeter // between lines
	sheetRoom  = 4 * vg.Centimeter // for a cell with its title, at least
)

// Cells draws several cells on one sheet, in the order of the rows: those of a
// row side by side as long as the width allows, and those of the next row below.
// A cell that is wider than the sheet is drawn smaller. The notes go below. The
// errors are those of Cell.
func Cells(rows [][]CellDrawing, notes []string, width Width) (*Figure, error) {
	page := newPage(width, 1)
	var lines [][]sheetCell
	for _, row := range rows {
		taken := page.inner // by the line, which no cell may join
		for _, d := range row {
			s, err := newSheetCell(d, page.inner)
			if err != nil {
				return nil, err
			}
			if taken += sheetGap + s.room; taken > page.inner {
				lines = append(lines, nil)
				taken = s.room
			}
			last := &lines[len(lines)-1]
			*last = append(*last, s)
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("no cells to draw")
	}
	for i, line := range lines {
		if i > 0 {
			page.depth += sheetRow
		}
		page.layCells(line)
	}
	page.depth += vg.Millimeter
	return page.finish(notes, lineGap), nil
}

// sheetCell is a cell of a sheet.
type sheetCell struct {
	drawing CellDrawing
	graph   *layered
	size    vg.Point // of the graph as Cell draws it
	scale   float64  // of the graph on the sheet
	room    vg.Length
}

func newSheetCell(d CellDrawing, inner vg.Length) (sheetCell, error) {
	g, err := d.layered()
	if err != nil {
		return sheetCell{}, err
	}
	s := sheetCell{drawing: d, graph: g, size: g.place()}
	s.scale = min(sheetScale, float64(inner/s.size.X))
	s.room = max(vg.Length(s.scale)*s.size.X, sheetRoom)
	return s, nil
}

// layCells places one line of cells.
func (p *page) layCells(line []sheetCell) {
	spare := p.inner + sheetGap // shared by the cells of the line
	for _, s := range line {
		spare -= s.room + sheetGap
	}
	var title, graph, caption vg.Length // heights
	for i := range line {
		s := &line[i]
		s.room += spare / vg.Length(len(line))
		title = max(title, textHeight(s.title(), titleSize))
		graph = max(graph, vg.Length(s.scale)*s.size.Y)
		caption = max(caption, textHeight(s.caption(), noteSize))
	}
	p.place(func(c canvas.Canvas, top vg.Length) {
		left := margin
		for _, s := range line {
			s.draw(c, left+s.room/2, top, title, graph)
			left += s.room + sheetGap
		}
	})
	p.depth += title + vg.Millimeter + graph + 2*vg.Millimeter + caption
}

// title is the lines above the graph.
func (s sheetCell) title() []string {
	if s.drawing.Title == "" {
		return nil
	}
	return wrap(s.drawing.Title, textStyle(titleSize, color.Black), s.room)
}

// caption is the lines below the graph.
func (s sheetCell) caption() []string {
	var lines []string
	for _, paragraph := range s.drawing.Caption {
		lines = append(lines, wrap(paragraph, textStyle(noteSize, noteColour), s.room)...)
	}
	return lines
}

// textHeight is the height of lines of a size.
func textHeight(lines []string, points float64) vg.Length {
	return lineGap * vg.Points(points) * vg.Length(len(lines))
}

// draw draws a cell around a middle, from the top: its title, its graph in the
// middle of the height that the line has for graphs, and its caption.
func (s sheetCell) draw(c canvas.Canvas, middle, top, title, graph vg.Length) {
	write := func(lines []string, points float64, colour color.Color, y vg.Length) {
		style := textStyle(points, colour)
		style.XAlign = text.XCenter
		for i, line := range lines {
			c.FillText(style, vg.Point{X: middle, Y: y - lineGap*style.Font.Size*vg.Length(i)}, line)
		}
	}
	write(s.title(), titleSize, color.Black, top)
	y := top - title - vg.Millimeter
	size := s.size.Scale(vg.Length(s.scale))
	c.Push()
	c.Translate(vg.Point{X: middle - size.X/2, Y: y - (graph+size.Y)/2})
	c.Scale(s.scale, s.scale)
	s.graph.draw(c, vg.Point{})
	c.Pop()
	write(s.caption(), noteSize, noteColour, y-graph-2*vg.Millimeter)
}
