package plots

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/results"
)

// The box of a surface is [-1,1]×[-1,1]×[-boxHeight,boxHeight]: gradient
// direction, random direction, accuracy.
const boxHeight = 0.75

// surfaceWidth is the largest width of a surface with its letters.
const surfaceWidth = 8.2 * vg.Centimeter

// The camera looks at the middle of the box.
const (
	azimuth   = -52 * math.Pi / 180 // of the camera, from the gradient direction towards the random one
	elevation = 27 * math.Pi / 180
	distance  = 7 // in half sides of the box
)

// vector is a point of the box.
type vector [3]float64

// project returns where a point appears, in half sides of the box from the
// middle of the view, and its distance from the camera.
func project(v vector) (x, y, depth float64) {
	sinA, cosA := math.Sincos(azimuth)
	sinE, cosE := math.Sincos(elevation)
	ahead := v[0]*cosA + v[1]*sinA // towards the camera, on the level
	depth = distance - (ahead*cosE + v[2]*sinE)
	size := distance / depth
	return size * (v[1]*cosA - v[0]*sinA), size * (v[2]*cosE - ahead*sinE), depth
}

// view places the projected box on a page.
type view struct {
	scale  vg.Length // of a half side of the box
	middle vg.Point
}

func (w view) at(v vector) vg.Point {
	x, y, _ := project(v)
	return w.middle.Add(vg.Point{X: w.scale * vg.Length(x), Y: w.scale * vg.Length(y)})
}

// lettering is text on the page.
type lettering struct {
	style text.Style
	at    vg.Point
	text  string
}

// edge is an axis of the box.
type edge struct {
	from, to vector
	ticks    []edgeTick
	towards  vector // of the ticks, from the edge; zero is square to it
	label    string
	room     vg.Length // for a line of the label, in lengths of the edge
}

type edgeTick struct {
	place float64 // on the edge, from 0 to 1
	label string
}

// upright tells the axis of the accuracy from those of the floor.
func (e edge) upright() bool { return e.from[2] != e.to[2] }

// edges are the axes along the front of the floor and up the left, so that
// their labels are below them and to the left.
func (r *relief) edges() []edge {
	directions := make([]edgeTick, len(r.ticks))
	for i, t := range r.ticks {
		directions[i] = edgeTick{(t.Value/r.radius + 1) / 2, t.Label}
	}
	var heights []edgeTick
	for i, t := range r.levels {
		if t.Label != "" {
			heights = append(heights, edgeTick{float64(i) / float64(len(r.bands)), t.Label})
		}
	}
	left, front, right := vector{-1, -1, -boxHeight}, vector{1, -1, -boxHeight}, vector{1, 1, -boxHeight}
	return []edge{
		{left, front, directions, vector{}, gradientLabel, 1.2},
		{front, right, directions, vector{1, 0, 0}, randomLabel, 1.4},
		{left, vector{-1, -1, boxHeight}, heights, vector{}, accuracyLabel, 2},
	}
}

// between is the point at a place from 0 to 1 of an edge.
func (e edge) between(place float64) vector {
	var v vector
	for i := range v {
		v[i] = e.from[i] + place*(e.to[i]-e.from[i])
	}
	return v
}

// letter places the ticks and labels of the axes on the outer side of their
// edges.
func (r *relief) letter(w view) (marks [][]vg.Point, letters []lettering) {
	for _, e := range r.edges() {
		from, to := w.at(e.from), w.at(e.to)
		along, length := unit(to.Sub(from))
		outwards := vg.Point{X: along.Y, Y: -along.X} // to the right of the edge
		if e.upright() {
			outwards = outwards.Scale(-1)
		}
		style := centred(tickSize, 0)
		ticks := e.ticks
		if e.upright() && len(ticks) > 1 { // leave out some where they would touch
			apart := float64(length) * (ticks[1].place - ticks[0].place)
			every := max(int(math.Ceil(1.25*float64(style.Font.Size)/apart)), 1)
			ticks = nil
			for i := 0; i < len(e.ticks); i += every {
				ticks = append(ticks, e.ticks[i])
			}
		}
		var farthest vg.Length // of the ticks' text from the edge
		for _, t := range ticks {
			at, outer := w.at(e.between(t.place)), e.between(t.place)
			for i, v := range e.towards {
				outer[i] += v
			}
			towards := outwards
			if outer != e.between(t.place) {
				towards, _ = unit(w.at(outer).Sub(at))
			}
			marks = append(marks, []vg.Point{at, at.Add(towards.Scale(3))})
			// so that all of the text is beyond the tick
			width, height := style.Width(t.label)/2, capHeight*style.Font.Size/2
			far := tickGap + abs(towards.X)*width + abs(towards.Y)*height
			letters = append(letters, lettering{style, at.Add(towards.Scale(far)), t.label})
			farthest = max(farthest, far*(towards.X*outwards.X+towards.Y*outwards.Y)+abs(outwards.X)*width+abs(outwards.Y)*height)
		}
		style = centred(labelSize, math.Atan2(float64(along.Y), float64(along.X)))
		lines := wrap(e.label, style, e.room*length)
		if e.upright() { // outwards is upwards
			slices.Reverse(lines)
		}
		middle := length / 2
		if e.upright() { // longer ones keep clear of the floor's labels
			middle = max(middle, style.Width(e.label)/2)
		}
		for k, line := range lines {
			far := farthest + style.Font.Size*(0.9+lineGap*vg.Length(k))
			letters = append(letters, lettering{style, from.Add(along.Scale(middle)).Add(outwards.Scale(far)), line})
		}
	}
	return marks, letters
}

// unit is the direction of p and its length.
func unit(p vg.Point) (vg.Point, vg.Length) {
	length := vg.Length(math.Hypot(float64(p.X), float64(p.Y)))
	return p.Scale(1 / length), length
}

// tickGap is from an axis to the text at its ticks, in points.
const tickGap = 6

// capHeight is the height of digits and capitals in sizes of the font.
const capHeight = 0.72

func abs(x vg.Length) vg.Length { return vg.Length(math.Abs(float64(x))) }

// centred is a style of text around a point.
func centred(points, rotation float64) text.Style {
	style := textStyle(points, color.Black)
	style.XAlign, style.YAlign, style.Rotation = text.XCenter, text.YCenter, rotation
	return style
}

func (l lettering) draw(c canvas.Canvas) {
	sin, cos := math.Sincos(l.style.Rotation)
	up := l.style.FontExtents().Descent / 2 // to the middle of the capitals
	c.FillText(l.style, l.at.Add(vg.Point{X: -up * vg.Length(sin), Y: up * vg.Length(cos)}), l.text)
}

// bounds is the rectangle around box and letters.
func (r *relief) bounds(w view) vg.Rectangle {
	inf := vg.Length(math.Inf(1))
	bounds := vg.Rectangle{Min: vg.Point{X: inf, Y: inf}, Max: vg.Point{X: -inf, Y: -inf}}
	include := func(at vg.Point, x, y vg.Length) { // and so much around it
		bounds.Min = vg.Point{X: min(bounds.Min.X, at.X-x), Y: min(bounds.Min.Y, at.Y-y)}
		bounds.Max = vg.Point{X: max(bounds.Max.X, at.X+x), Y: max(bounds.Max.Y, at.Y+y)}
	}
	for _, x := range []float64{-1, 1} {
		for _, y := range []float64{-1, 1} {
			for _, z := range []float64{-boxHeight, boxHeight} {
				include(w.at(vector{x, y, z}), 1, 1)
			}
		}
	}
	_, letters := r.letter(w)
	for _, l := range letters {
		sin, cos := math.Sincos(l.style.Rotation)
		width, height := l.style.Width(l.text)/2, l.style.Font.Size/2
		include(l.at, abs(vg.Length(cos))*width+abs(vg.Length(sin))*height, abs(vg.Length(sin))*width+abs(vg.Length(cos))*height)
	}
	return bounds
}

// laySurfaces places one row of surfaces.
func (r *relief) laySurfaces(panels []LandscapePanel, columns int, inner vg.Length, place placer) vg.Length {
	n := vg.Length(columns)
	width := min((inner-(n-1)*panelGap)/n, surfaceWidth)
	// The letters keep their size, so the box takes what they leave.
	w := view{scale: width / 4}
	for range 20 {
		w.scale *= width / r.bounds(w).Size().X
	}
	bounds := r.bounds(w)

	start := margin + (inner-n*width-(n-1)*panelGap)/2
	var middles []vg.Length
	for i := range panels {
		middles = append(middles, start+vg.Length(i)*(width+panelGap)+width/2)
	}
	titles := layTitles(panels, middles, width, place)
	place(func(c canvas.Canvas, top vg.Length) {
		for i, panel := range panels {
			w := w
			w.middle = vg.Point{X: middles[i] - width/2 - bounds.Min.X, Y: top - titles - bounds.Max.Y}
			r.drawBox(c, w)
			r.drawSurface(c, w, panel.Landscape)
			marks, letters := r.letter(w)
			for _, e := range r.edges() {
				marks = append(marks, []vg.Point{w.at(e.from), w.at(e.to)})
			}
			c.StrokeLines(canvas.LineStyle{Color: color.Black, Width: 0.5}, marks...)
			for _, l := range letters {
				l.draw(c)
			}
		}
	})
	return titles + bounds.Size().Y
}

// drawBox draws the floor and the two walls behind the surface with lines at
// the ticks.
func (r *relief) drawBox(c canvas.Canvas, w view) {
	edges := r.edges()
	// Each side is spanned from a corner by two of the axes' directions.
	for _, side := range []struct {
		corner       vector
		first, other int // axes
	}{
		{vector{-1, -1, -boxHeight}, 0, 1}, {vector{-1, -1, -boxHeight}, 1, 2}, {vector{-1, 1, -boxHeight}, 0, 2},
	} {
		at := func(a, b float64) vg.Point { // places from 0 to 1
			v := side.corner
			v[side.first] += a * (edges[side.first].to[side.first] - edges[side.first].from[side.first])
			v[side.other] += b * (edges[side.other].to[side.other] - edges[side.other].from[side.other])
			return w.at(v)
		}
		outline := []vg.Point{at(0, 0), at(1, 0), at(1, 1), at(0, 1), at(0, 0)}
		c.FillPolygon(color.Gray{250}, outline)
		grid := [][]vg.Point{outline}
		for _, t := range edges[side.first].ticks {
			grid = append(grid, []vg.Point{at(t.place, 0), at(t.place, 1)})
		}
		for _, t := range edges[side.other].ticks {
			grid = append(grid, []vg.Point{at(0, t.place), at(1, t.place)})
		}
		c.StrokeLines(canvas.LineStyle{Color: color.Gray{215}, Width: 0.4}, grid...)
	}
}

// drawSurface draws the cells of a landscape, the farthest first, so that the
// near ones cover them, in the colours of their mean height.
func (r *relief) drawSurface(c canvas.Canvas, w view, l results.Landscape) {
	n := len(l.Coordinates)
	lowest, highest := r.levels[0].Value, r.levels[len(r.bands)].Value
	height := func(i, j int) float64 { return (100*l.Accuracy[i][j] - lowest) / (highest - lowest) }
	corner := func(i, j int) vector {
		return vector{l.Coordinates[j] / r.radius, l.Coordinates[i] / r.radius, boxHeight * (2*height(i, j) - 1)}
	}
	type cell struct {
		depth, height float64 // means
		corners       []vg.Point
	}
	var cells []cell
	mesh := canvas.LineStyle{Width: 0.25 * vg.Length(min(1, 20/float64(n-1)))}
	for i := range n - 1 {
		for j := range n - 1 {
			at := cell{height: (height(i, j) + height(i, j+1) + height(i+1, j+1) + height(i+1, j)) / 4}
			for _, v := range []vector{corner(i, j), corner(i, j+1), corner(i+1, j+1), corner(i+1, j)} {
				_, _, depth := project(vector{v[0], v[1]}) // on the level, whatever the heights: only what is nearer there can cover
				at.depth += depth / 4
				at.corners = append(at.corners, w.at(v))
			}
			cells = append(cells, at)
		}
	}
	slices.SortStableFunc(cells, func(a, b cell) int { return cmp.Compare(b.depth, a.depth) })
	for _, at := range cells {
		colour := heightColour(at.height)
		c.FillPolygon(colour, at.corners)
		mesh.Color = darker(colour)
		c.StrokeLines(mesh, append(at.corners, at.corners[0]))
	}
	drawCentre(c, w.at(corner(n/2, n/2))) // also where cells hide it
}

// darker is the colour of the lines on an area.
func darker(c color.NRGBA) color.NRGBA {
	part := func(x uint8) uint8 { return uint8(int(x) * 11 / 20) }
	return color.NRGBA{part(c.R), part(c.G), part(c.B), c.A}
}
