package plots

import (
	"fmt"
	"image/color"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// diagram is a graph that is drawn in layers. Vertices come after all that feed them.
type diagram struct {
	vertices []vertex
	edges    []arc // by source, then by target
	upright  bool  // vertex 0 stands above vertex 1
}

// vertex is a box of a diagram.
type vertex struct {
	lines    []string
	below    string // a subscript behind the only line
	shape    shape
	colour   color.NRGBA // of an operation
	widest   []string    // lines that the box has room for, besides its own
	layer    int
	survives bool // on a path from input to output; otherwise it is drawn in grey
}

type shape int

const (
	operation shape = iota
	terminal        // input or output
	joint           // an intermediate node
)

// arc is an edge of a diagram.
type arc struct {
	source, target int
	bare           bool // without an arrow
}

// text is what a vertex is called in a line.
func (v vertex) text() string {
	line := strings.Join(v.lines, " ")
	switch {
	case v.shape == joint:
		line = "node " + line
	case v.below != "":
		line += "_{" + strings.ReplaceAll(v.below, "−", "-") + "}"
	}
	return line
}

// GenotypeCells are the drawings of both cells of a genotype, the normal one first, whose
// titles say which it is. What is told of the genotype stands below the second.
func GenotypeCells(g darts.Genotype, title string, caption ...string) []CellDrawing {
	var both []CellDrawing
	for t := range darts.CellType(darts.CellTypes) {
		d := CellDrawing{Genotype: &g, Type: t, Title: fmt.Sprintf("%s, %s cell", title, t)}
		if title == "" {
			d.Title = strings.ToUpper(t.String()[:1]) + t.String()[1:] + " cell"
		}
		both = append(both, d)
	}
	both[darts.Reduction].Caption = caption
	return both
}

// diagram returns what is drawn of a cell. The errors are those of Cell.
func (d CellDrawing) diagram() (*diagram, error) {
	if d.Recurrent != nil {
		return recurrentDiagram(*d.Recurrent, d.Pruned)
	}
	if d.Genotype != nil {
		return genotypeDiagram(*d.Genotype, d.Type, d.Pruned)
	}
	spec, err := d.Spec.Prune()
	if err != nil {
		return nil, fmt.Errorf("draw cell: %w", err)
	}
	if !d.Pruned {
		spec = d.Spec
	}
	if n := spec.Vertices(); n > maxDrawn {
		return nil, fmt.Errorf("draw cell: it has %d vertices, at most %d can be drawn", n, maxDrawn)
	}
	return specDiagram(spec), nil
}

// specDiagram is that of a cell of NAS-Bench-101, which has a box for each vertex.
func specDiagram(spec cell.Spec) *diagram {
	n := spec.Vertices()
	layers, survives := layersOf(spec), survivors(spec)
	g := &diagram{}
	for v := range n {
		box := vertex{layer: layers[v], survives: survives[v], shape: terminal}
		switch v {
		case 0:
			box.lines = []string{"input"}
		case n - 1:
			box.lines = []string{"output"}
		default:
			look := opLooks[spec.Ops[v-1]]
			box.shape, box.lines, box.colour = operation, look.lines, look.colour
			box.widest = opLooks[cell.MaxPool3x3].lines
		}
		g.vertices = append(g.vertices, box)
	}
	for x := range n {
		for y := x + 1; y < n; y++ {
			if spec.Matrix[x][y] != 0 {
				g.edges = append(g.edges, arc{source: x, target: y})
			}
		}
	}
	return g
}

// dartsLooks are the name and the colour of each operation of the spaces of DARTS.
// Convolutions with many weights are blue, dilated ones orange, poolings green, as in cells
// of NAS-Bench-101; skip-connections stand out.
var dartsLooks = map[string]struct {
	lines  []string
	colour color.NRGBA
}{
	darts.None:     {[]string{"none"}, fadeOp},
	darts.Noise:    {[]string{"noise"}, fadeOp},
	darts.MaxPool:  {[]string{"max pool", "3×3"}, colours[3]},
	darts.AvgPool:  {[]string{"avg pool", "3×3"}, colours[3]},
	darts.Skip:     {[]string{"skip"}, colours[2]},
	darts.SepConv3: {[]string{"sep conv", "3×3"}, colours[0]},
	darts.SepConv5: {[]string{"sep conv", "5×5"}, colours[0]},
	darts.SepConv7: {[]string{"sep conv", "7×7"}, colours[0]},
	darts.DilConv3: {[]string{"dil conv", "3×3"}, colours[1]},
	darts.DilConv5: {[]string{"dil conv", "5×5"}, colours[1]},
	darts.Conv71:   {[]string{"conv", "7×1, 1×7"}, colours[4]},
}

// fadeOp is the colour of what computes nothing.
var fadeOp = color.NRGBA{120, 120, 120, 255}

// maxDrawnNodes is the number of nodes of a cell up to which a drawing is readable.
const maxDrawnNodes = 6

// genotypeDiagram is that of a cell of a genotype: the cells before, the nodes, and on each
// edge into a node a box with its operation, in the layer before the node's.
func genotypeDiagram(g darts.Genotype, t darts.CellType, pruned bool) (*diagram, error) {
	pairs, concat := g.Cell(t)
	nodes := len(pairs) / darts.Inputs
	if nodes < 1 || nodes > maxDrawnNodes || len(pairs)%darts.Inputs != 0 {
		return nil, fmt.Errorf("draw cell: it has %d pairs, want 2 for each of 1 to %d nodes", len(pairs), maxDrawnNodes)
	}
	used := make([]bool, nodes+darts.Inputs) // states that lead to the output
	for state := len(used) - 1; state >= 0; state-- {
		used[state] = used[state] || slices.Contains(concat, state)
		if state >= darts.Inputs && used[state] {
			for _, p := range pairs[darts.Inputs*(state-darts.Inputs):][:darts.Inputs] {
				if p.Input < 0 || p.Input >= state {
					return nil, fmt.Errorf("draw cell: node %d has input %d, want 0 to %d", state-darts.Inputs, p.Input, state-1)
				}
				used[p.Input] = true
			}
		}
	}

	d := &diagram{upright: true}
	places := make([]int, len(used)) // vertices of the states
	add := func(v vertex) int {
		d.vertices = append(d.vertices, v)
		return len(d.vertices) - 1
	}
	for state := range darts.Inputs {
		places[state] = add(vertex{lines: []string{"c"}, below: fmt.Sprintf("k−%d", darts.Inputs-state), shape: terminal, survives: used[state]})
	}
	last := 0
	for state := darts.Inputs; state < len(used); state++ {
		if pruned && !used[state] {
			continue
		}
		into := pairs[darts.Inputs*(state-darts.Inputs):][:darts.Inputs]
		layer := 0
		for _, p := range into {
			layer = max(layer, d.vertices[places[p.Input]].layer+2)
		}
		var boxes []int
		for _, p := range into {
			look, known := dartsLooks[p.Operation]
			if !known {
				return nil, fmt.Errorf("draw cell: no operation %.40q", p.Operation)
			}
			box := add(vertex{
				lines: look.lines, shape: operation, colour: look.colour, widest: dartsLooks[darts.SepConv3].lines,
				layer: layer - 1, survives: used[state],
			})
			d.edges = append(d.edges, arc{source: places[p.Input], target: box, bare: true})
			boxes = append(boxes, box)
		}
		places[state] = add(vertex{lines: []string{fmt.Sprint(state - darts.Inputs)}, shape: joint, layer: layer, survives: used[state]})
		for _, box := range boxes {
			d.edges = append(d.edges, arc{source: box, target: places[state]})
		}
		last = max(last, layer)
	}
	output := add(vertex{lines: []string{"c"}, below: "k", shape: terminal, layer: last + 1, survives: true})
	for _, state := range concat {
		d.edges = append(d.edges, arc{source: places[state], target: output})
	}
	d.sortEdges()
	return d, nil
}

// sortEdges brings the edges in their order: by source, then by target.
func (d *diagram) sortEdges() {
	slices.SortFunc(d.edges, func(a, b arc) int {
		if a.source != b.source {
			return a.source - b.source
		}
		return a.target - b.target
	})
}

// degrees counts the edges that enter and leave a vertex.
func (d *diagram) degrees(v int) (in, out int) {
	for _, e := range d.edges {
		if e.target == v {
			in++
		}
		if e.source == v {
			out++
		}
	}
	return in, out
}
