package plots

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// CellDrawing is a cell and how to draw it.
type CellDrawing struct {
	Spec cell.Spec // of NAS-Bench-101
	// Genotype is drawn instead of Spec unless it is nil: its cells of a type.
	Genotype *darts.Genotype
	Type     darts.CellType
	// Recurrent is drawn instead of both unless it is nil.
	Recurrent *rnn.Genotype

	Title   string   // above the cell; may be empty
	Caption []string // paragraphs below it
	// Pruned leaves out the vertices that lie on no path from input to output,
	// and their edges, which are otherwise drawn in grey.
	Pruned bool
}

// maxDrawn is the number of vertices up to which a drawing is readable.
const maxDrawn = 10

// layered returns the cell as it is drawn. The errors are those of Cell.
func (d CellDrawing) layered() (*layered, error) {
	diagram, err := d.diagram()
	if err != nil {
		return nil, err
	}
	g := newLayered(diagram)
	g.arrange()
	return g, nil
}

// Cell draws a cell as a graph from left to right, as wide as it needs: each
// vertex in the column of its distance from the input along the longest path,
// with few crossings and no edge through a box. In a cell of a genotype the
// operations are boxes on the edges into the nodes, which are circles. The errors are
// those of cell.Spec.Prune, and one for more than 10 vertices, 6 nodes, or 12 of a recurrent
// cell to draw. In a recurrent cell every node but the first is a box.
func Cell(d CellDrawing) (*Figure, error) {
	g, err := d.layered()
	if err != nil {
		return nil, err
	}
	size := g.place()
	f := &Figure{width: max(size.X+2*margin, cellMinWidth)}
	p := &page{f, 1, f.width - 2*margin, margin}
	if d.Title != "" {
		style := textStyle(titleSize, color.Black)
		style.XAlign = text.XCenter
		for _, line := range wrap(d.Title, style, p.inner) {
			p.place(func(c canvas.Canvas, top vg.Length) { c.FillText(style, vg.Point{X: f.width / 2, Y: top}, line) })
			p.depth += lineGap * style.Font.Size
		}
		p.depth += vg.Millimeter
	}
	p.depth += size.Y
	p.place(func(c canvas.Canvas, bottom vg.Length) {
		g.draw(c, vg.Point{X: (f.width - size.X) / 2, Y: bottom})
	})
	if len(d.Caption) > 0 {
		p.depth += 2 * vg.Millimeter
	}
	return p.finish(d.Caption, lineGap), nil
}

// Lengths of a cell's drawing, at print size.
const (
	cellMinWidth = 6 * vg.Centimeter
	boxRadius    = vg.Length(3.5)
	boxPadding   = vg.Length(5) // beside the text
	boxGap       = 12.0         // between boxes of a column, points
	laneGap      = 6.0          // between an edge and whatever it passes, points
	portGap      = 4.0          // between the ends of edges at a box, points
	portMargin   = 2.5          // from there to the corner of the box, points
	columnGap    = 20.0         // between columns, points; wider where edges rise or fall much
	arrowLength  = vg.Length(4.5)
	arrowWidth   = vg.Length(3.6)
	edgeWidth    = vg.Length(0.8)
)

// opLooks are the name and the colour of each operation.
var opLooks = [...]struct {
	lines  []string
	colour color.NRGBA
}{
	cell.Conv3x3:    {[]string{"conv", "3×3"}, colours[0]},
	cell.Conv1x1:    {[]string{"conv", "1×1"}, colours[1]},
	cell.MaxPool3x3: {[]string{"max pool", "3×3"}, colours[3]},
}

var (
	edgeColour = color.Gray{60}
	fadeColour = color.Gray{165} // of what pruning removes
	fadeDashes = []vg.Length{vg.Points(2.2), vg.Points(1.6)}
)

// layered is a diagram whose vertices stand in columns, its layers. An edge that
// passes a layer has a bend there, so that every link leads from one layer to
// the next: in the gap between two layers edges rise and fall, past the boxes of
// a layer they are level.
type layered struct {
	*diagram
	stops   []stop       // the vertices, then the bends
	layers  [][]int      // stops of each layer from below
	routes  [][]int      // stops of each edge, from its source to its target
	links   [][2]int     // successive stops of edges
	linksOf [][][2]int   // by stop
	ports   [][2]float64 // per edge: how far above the middle of its source and of its target it ends
	columns []span       // of the layers
}

// stop is where edges begin, bend or end.
type stop struct {
	layer  int
	vertex int     // -1 for a bend
	y      float64 // of its middle, points
	half   float64 // half its height
	width  float64
}

// span is the extent of a layer from left to right.
type span struct{ left, right float64 }

func newLayered(d *diagram) *layered {
	g := &layered{diagram: d}
	g.layers = make([][]int, d.vertices[len(d.vertices)-1].layer+1)
	add := func(s stop) int {
		g.layers[s.layer] = append(g.layers[s.layer], len(g.stops))
		g.stops = append(g.stops, s)
		return len(g.stops) - 1
	}
	style := textStyle(tickSize, color.Black)
	for i, v := range d.vertices {
		s := stop{layer: v.layer, vertex: i}
		padding := 2 * boxPadding
		if v.shape == joint {
			padding = boxPadding
		}
		// The boxes of all operations are equally wide.
		for _, line := range append(slices.Clone(v.lines), v.widest...) {
			s.width = max(s.width, float64(style.Width(line)+subscript(style).Width(v.below)+padding))
		}
		in, out := d.degrees(i)
		s.half = max(0.6*tickSize*float64(len(v.lines))+3, portGap*float64(max(in, out)-1)/2+portMargin)
		if v.shape != operation { // half circles on both sides
			s.width = max(s.width, 2*s.half)
		}
		add(s)
	}
	for _, e := range d.edges {
		route := []int{e.source}
		for layer := d.vertices[e.source].layer + 1; layer < d.vertices[e.target].layer; layer++ {
			route = append(route, add(stop{layer: layer, vertex: -1}))
		}
		route = append(route, e.target)
		g.routes = append(g.routes, route)
		for i := range len(route) - 1 {
			g.links = append(g.links, [2]int{route[i], route[i+1]})
		}
	}
	g.linksOf = make([][][2]int, len(g.stops))
	for _, link := range g.links {
		g.linksOf[link[0]] = append(g.linksOf[link[0]], link)
		g.linksOf[link[1]] = append(g.linksOf[link[1]], link)
	}
	return g
}

// survivors says which vertices lie on a path from input to output.
func survivors(spec cell.Spec) []bool {
	n := spec.Vertices()
	fromInput, toOutput := make([]bool, n), make([]bool, n)
	fromInput[0], toOutput[n-1] = true, true
	for y := range n {
		for x := range y {
			fromInput[y] = fromInput[y] || fromInput[x] && spec.Matrix[x][y] == 1
		}
	}
	for x := n - 1; x >= 0; x-- {
		for y := x + 1; y < n; y++ {
			toOutput[x] = toOutput[x] || toOutput[y] && spec.Matrix[x][y] == 1
		}
	}
	for v := range n {
		fromInput[v] = fromInput[v] && toOutput[v]
	}
	return fromInput
}

// layersOf returns the layer of each vertex: the input alone in layer 0, the
// output alone in the last one, the others after all their predecessors, and as
// near to their successors as possible where they have more of these.
func layersOf(spec cell.Spec) []int {
	n := spec.Vertices()
	layers := make([]int, n)
	for y := 1; y < n; y++ {
		layers[y] = 1
		for x := range y {
			if spec.Matrix[x][y] == 1 || y == n-1 {
				layers[y] = max(layers[y], layers[x]+1)
			}
		}
	}
	for x := n - 2; x > 0; x-- {
		if in, out := degrees(spec, x); out > in {
			layers[x] = layers[n-1]
			for y, entry := range spec.Matrix[x] {
				if entry == 1 {
					layers[x] = min(layers[x], layers[y]-1)
				}
			}
		}
	}
	return layers
}

// degrees counts the edges of a cell that enter and leave a vertex.
func degrees(spec cell.Spec, v int) (in, out int) {
	for u := range spec.Vertices() {
		in += int(spec.Matrix[u][v])
		out += int(spec.Matrix[v][u])
	}
	return in, out
}

// arrange orders the stops of each layer, and gives them their heights: fewest
// crossings first, then the straightest edges. It exchanges stops of a layer as
// long as this helps, from several orders to begin with.
func (g *layered) arrange() {
	const starts, budget = 12, 6000 // layouts to compare, and about how many to try
	stream := random.New(0, "order of a drawn cell")
	var best [][]int
	lowest, tried := math.Inf(1), 0
	for start := range starts {
		if tried > budget {
			break
		}
		if start > 0 {
			for _, layer := range g.layers {
				stream.Shuffle(len(layer), func(i, j int) { layer[i], layer[j] = layer[j], layer[i] })
			}
		}
		cost := g.cost()
		for again := true; again && tried <= budget; {
			again = false
			for _, layer := range g.layers {
				for j := range layer {
					for i := range j {
						layer[i], layer[j] = layer[j], layer[i]
						tried++
						if c := g.cost(); c < cost-1e-6 { // not by rounding alone
							cost, again = c, true
						} else {
							layer[i], layer[j] = layer[j], layer[i]
						}
					}
				}
			}
		}
		if cost < lowest-1e-6 {
			lowest, best = cost, nil
			for _, layer := range g.layers {
				best = append(best, slices.Clone(layer))
			}
		}
	}
	g.layers = best
	g.settle(200)
	g.straighten()
	// Of a layout and its mirror image take the one with the bends above.
	above := 0.
	n := len(g.vertices)
	for _, s := range g.stops[n:] {
		above += s.y
	}
	for _, s := range g.stops[:n] {
		above -= s.y * float64(len(g.stops)-n) / float64(n)
	}
	if g.upright {
		above = g.stops[0].y - g.stops[1].y
	}
	if above < -1e-6 {
		for i := range g.stops {
			g.stops[i].y *= -1
		}
		for _, layer := range g.layers {
			slices.Reverse(layer)
		}
	}
}

// cost of the order: crossings, then how far links rise and fall.
func (g *layered) cost() float64 {
	g.settle(8)
	cost := 1e6 * float64(g.crossings())
	for _, link := range g.links {
		d := g.stops[link[0]].y - g.stops[link[1]].y
		cost += g.weight(link) * d * d
	}
	return cost
}

// crossings counts the pairs of links that cross.
func (g *layered) crossings() int {
	rank := make([]int, len(g.stops))
	for _, layer := range g.layers {
		for i, s := range layer {
			rank[s] = i
		}
	}
	crossings := 0
	for i, a := range g.links {
		for _, b := range g.links[:i] {
			if g.stops[a[0]].layer == g.stops[b[0]].layer && (rank[a[0]]-rank[b[0]])*(rank[a[1]]-rank[b[1]]) < 0 {
				crossings++
			}
		}
	}
	return crossings
}

// weight says how straight a link should be.
func (g *layered) weight(link [2]int) float64 {
	from, to := g.stops[link[0]].vertex >= 0, g.stops[link[1]].vertex >= 0
	switch {
	case from && to:
		return 3
	case from || to:
		return 1
	}
	return 8
}

// settle finds the heights of the stops, in their order, at which the weighted
// sum of squares of all rises and falls is lowest, or comes near to them in the given number of rounds.
func (g *layered) settle(rounds int) {
	for _, layer := range g.layers {
		for i, s := range layer {
			g.stops[s].y = 20 * (float64(i) - float64(len(layer)-1)/2)
		}
	}
	for range rounds {
		g.relax(g.weight)
	}
}

// straighten goes on from there to where the weighted sum of the rises and falls
// themselves is low, which makes as many links as possible level.
func (g *layered) straighten() {
	for range 400 {
		g.relax(func(link [2]int) float64 {
			return g.weight(link) / (0.02 + math.Abs(g.stops[link[0]].y-g.stops[link[1]].y))
		})
	}
}

// relax moves the stops of one layer after the other to where they are best for
// the given weights of the links, the other layers standing still.
func (g *layered) relax(weight func(link [2]int) float64) {
	for _, layer := range g.layers {
		want, weights, gaps := make([]float64, len(layer)), make([]float64, len(layer)), make([]float64, len(layer))
		for i, s := range layer {
			sum, total := 1e-3*g.stops[s].y, 1e-3 // those without neighbours stay
			for _, link := range g.linksOf[s] {
				w := weight(link)
				sum += w * g.stops[link[0]+link[1]-s].y
				total += w
			}
			want[i], weights[i] = sum/total, total
			if i > 0 {
				gaps[i] = g.gap(layer[i-1], s)
			}
		}
		for i, y := range separate(want, weights, gaps) {
			g.stops[layer[i]].y = y
		}
	}
}

// gap is the least distance between the middles of two neighbours in a layer.
func (g *layered) gap(a, b int) float64 {
	between := laneGap
	if g.stops[a].vertex >= 0 && g.stops[b].vertex >= 0 {
		between = boxGap
	}
	return g.stops[a].half + between + g.stops[b].half
}

// separate returns the positions nearest to those wanted, by weighted least
// squares, of which each is at least its gap above the one before: isotonic
// regression by pooling adjacent violators.
func separate(want, weights, gaps []float64) []float64 {
	type pool struct {
		mean, weight float64
		n            int
	}
	var pools []pool
	offset := 0.
	for i := range want {
		offset += gaps[i]
		p := pool{want[i] - offset, weights[i], 1}
		for len(pools) > 0 && pools[len(pools)-1].mean > p.mean {
			q := pools[len(pools)-1]
			pools = pools[:len(pools)-1]
			p = pool{(p.mean*p.weight + q.mean*q.weight) / (p.weight + q.weight), p.weight + q.weight, p.n + q.n}
		}
		pools = append(pools, p)
	}
	positions := make([]float64, 0, len(want))
	offset = 0
	for _, p := range pools {
		for range p.n {
			offset += gaps[len(positions)]
			positions = append(positions, p.mean+offset)
		}
	}
	return positions
}

// place moves the cell to where its lower left corner is at the origin, finds
// the extents of the columns and the ends of the edges, and returns its size.
func (g *layered) place() vg.Point {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range g.stops {
		low, high = min(low, s.y-s.half), max(high, s.y+s.half)
	}
	for i := range g.stops {
		// Rounded, so that what is nearly level is level.
		g.stops[i].y = math.Round(5*(g.stops[i].y-low)) / 5
	}
	g.attach()

	x := 0.
	for layer, stops := range g.layers {
		if layer > 0 {
			steepest := 0.
			for _, l := range g.links {
				if g.stops[l[1]].layer == layer {
					steepest = max(steepest, math.Abs(g.stops[l[0]].y-g.stops[l[1]].y))
				}
			}
			x += columnGap + max(steepest-columnGap, 0)/4
		}
		widest := 0.
		for _, s := range stops {
			widest = max(widest, g.stops[s].width)
		}
		g.columns = append(g.columns, span{x, x + widest})
		x += widest
	}
	return vg.Point{X: vg.Length(x), Y: vg.Length(high - low)}
}

// attach spreads the ends of the edges over the sides of the boxes, each as
// level with its edge as the others allow. A lone edge ends in the middle.
func (g *layered) attach() {
	g.ports = make([][2]float64, len(g.routes))
	for v, s := range g.stops[:len(g.vertices)] {
		for side := range 2 { // 0: edges that leave v, 1: that enter it
			var ends []int
			toward := func(e int) float64 { // the height that the edge comes from
				if side == 0 {
					return g.stops[g.routes[e][1]].y
				}
				return g.stops[g.routes[e][len(g.routes[e])-2]].y
			}
			for e, edge := range g.edges {
				if side == 0 && edge.source == v || side == 1 && edge.target == v {
					ends = append(ends, e)
				}
			}
			slices.SortFunc(ends, func(a, b int) int { return cmp.Compare(toward(a), toward(b)) })
			room := s.half - portMargin
			if len(ends) == 1 {
				room = 0
			}
			apart := min(portGap, 2*room/float64(max(len(ends)-1, 1)))
			want, weights, gaps := make([]float64, len(ends)), make([]float64, len(ends)), make([]float64, len(ends))
			for i, e := range ends {
				want[i], weights[i] = min(max(toward(e)-s.y, -room), room), 1
				if i > 0 {
					gaps[i] = apart
				}
			}
			for i, offset := range separate(want, weights, gaps) {
				low, high := -room+apart*float64(i), room-apart*float64(len(ends)-1-i)
				g.ports[ends[i]][side] = math.Round(100*min(max(offset, low), high)) / 100
			}
		}
	}
}

// box is the outline of a vertex, the origin at the cell's lower left corner.
func (g *layered) box(v int) vg.Rectangle {
	s := g.stops[v]
	middle := (g.columns[s.layer].left + g.columns[s.layer].right) / 2
	return vg.Rectangle{
		Min: vg.Point{X: vg.Length(middle - s.width/2), Y: vg.Length(s.y - s.half)},
		Max: vg.Point{X: vg.Length(middle + s.width/2), Y: vg.Length(s.y + s.half)},
	}
}

// end is where an edge leaves the outline of its source (side 0) or meets that
// of its target (side 1).
func (g *layered) end(e, side int) vg.Point {
	v, offset := g.edges[e].source, g.ports[e][side]
	if side == 1 {
		v = g.edges[e].target
	}
	s, box := g.stops[v], g.box(v)
	inset := 0.
	if g.isRound(v) { // its side is a half circle
		inset = s.half - math.Sqrt(s.half*s.half-offset*offset)
	}
	if side == 1 {
		return vg.Point{X: box.Min.X + vg.Length(inset), Y: vg.Length(s.y + offset)}
	}
	return vg.Point{X: box.Max.X - vg.Length(inset), Y: vg.Length(s.y + offset)}
}

// isRound tells inputs, output and nodes from the boxes of operations.
func (g *layered) isRound(v int) bool { return g.vertices[v].shape != operation }

// path is the line of an edge, arrow excluded, and the tip of the arrow or the end
// of the line. The origin is the cell's lower left corner.
func (g *layered) path(e int) (line vg.Path, tip vg.Point) {
	edge := g.routes[e]
	at := g.end(e, 0)
	tip = g.end(e, 1)
	line.Move(at)
	rise := func(to vg.Point) {
		middle := (at.X + to.X) / 2
		line.CubeTo(vg.Point{X: middle, Y: at.Y}, vg.Point{X: middle, Y: to.Y}, to)
		at = to
	}
	for _, bend := range edge[1 : len(edge)-1] {
		column, y := g.columns[g.stops[bend].layer], vg.Length(g.stops[bend].y)
		rise(vg.Point{X: vg.Length(column.left), Y: y})
		at = vg.Point{X: vg.Length(column.right), Y: y}
		line.Line(at)
	}
	if g.edges[e].bare {
		rise(tip)
	} else {
		rise(vg.Point{X: tip.X - arrowLength, Y: tip.Y})
	}
	return line, tip
}

// draw draws the cell with its lower left corner at a point.
func (g *layered) draw(c canvas.Canvas, origin vg.Point) {
	c.Push()
	defer c.Pop()
	c.Translate(origin)
	for _, surviving := range []bool{false, true} { // what pruning removes lies below
		for e, edge := range g.edges {
			if (g.vertices[edge.source].survives && g.vertices[edge.target].survives) == surviving {
				g.drawEdge(c, e, surviving)
			}
		}
	}
	for v := range g.vertices {
		g.drawBox(c, v)
	}
}

func (g *layered) drawEdge(c canvas.Canvas, e int, survives bool) {
	style := canvas.LineStyle{Color: edgeColour, Width: edgeWidth}
	if !survives {
		style.Color, style.Dashes = fadeColour, fadeDashes
	}
	line, tip := g.path(e)
	c.SetLineStyle(style)
	c.Stroke(line)
	if g.edges[e].bare {
		return
	}
	c.FillPolygon(style.Color, []vg.Point{tip, {X: tip.X - arrowLength, Y: tip.Y - arrowWidth/2}, {X: tip.X - arrowLength, Y: tip.Y + arrowWidth/2}})
}

func (g *layered) drawBox(c canvas.Canvas, v int) {
	s, box, drawn := g.stops[v], g.box(v), g.vertices[v]
	line := canvas.LineStyle{Color: color.Black, Width: 0.8}
	fill, ink := color.Color(color.Gray{238}), color.Color(color.Black)
	radius := vg.Length(s.half)
	switch drawn.shape {
	case operation:
		radius, line.Color, fill = boxRadius, drawn.colour, tint(drawn.colour)
	case joint:
		fill = color.White
	}
	if !drawn.survives {
		line.Color, line.Dashes, fill, ink = fadeColour, fadeDashes, color.White, fadeColour
	}
	outline := rounded(box, radius)
	c.SetColor(fill)
	c.Fill(outline)
	c.SetLineStyle(line)
	c.Stroke(outline)
	style := textStyle(tickSize, ink)
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	height := 1.2 * style.Font.Size
	below := subscript(style)
	shift := below.Width(drawn.below) / 2
	for i, line := range drawn.lines {
		at := vg.Point{
			X: (box.Min.X+box.Max.X)/2 - shift,
			Y: vg.Length(s.y) + height*(vg.Length(len(drawn.lines)-1)/2-vg.Length(i)) + style.FontExtents().Descent/2,
		}
		c.FillText(style, at, line)
		if drawn.below != "" {
			c.FillText(below, vg.Point{X: at.X + style.Width(line)/2, Y: at.Y - 0.3*style.Font.Size}, drawn.below)
		}
	}
}

// subscript is the style of a subscript to text.
func subscript(style text.Style) text.Style {
	style.Font.Size *= 0.75
	style.XAlign = text.XLeft
	return style
}

// tint is a light shade of a colour.
func tint(c color.NRGBA) color.NRGBA {
	mix := func(x uint8) uint8 { return uint8(255 - (255-int(x))/4) }
	return color.NRGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}

// rounded is a rectangle with round corners: cubic curves, since gonum's vgpdf
// does not join arcs to the rest of a path.
func rounded(r vg.Rectangle, radius vg.Length) vg.Path {
	control := radius * 4 / 3 * (math.Sqrt2 - 1) // of the cubic nearest to a quarter of a circle
	var p vg.Path
	at := corners(r) // counter-clockwise from the lower left, as are the directions
	directions := []vg.Point{{Y: 1}, {X: -1}, {Y: -1}, {X: 1}}
	p.Move(vg.Point{X: r.Min.X + radius, Y: r.Min.Y})
	for i := range at {
		corner, out := at[(i+1)%4], directions[i]
		in := directions[(i+3)%4] // along the side that leads to the corner
		// A side of no length but for rounding would get a spike at its join.
		if to := corner.Sub(in.Scale(radius)); math.Abs(float64(to.X-p[len(p)-1].Pos.X))+math.Abs(float64(to.Y-p[len(p)-1].Pos.Y)) > 1e-6 {
			p.Line(to)
		}
		p.CubeTo(corner.Sub(in.Scale(radius-control)), corner.Add(out.Scale(radius-control)), corner.Add(out.Scale(radius)))
	}
	p.Close()
	return p
}
