package plots

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// parseCell reads a matrix such as "010 001 000" and operations such as "3", "1"
// and "p" for the two convolutions and the pooling.
func parseCell(t testing.TB, matrix, ops string) cell.Spec {
	t.Helper()
	var rows [][]int
	for text := range strings.FieldsSeq(matrix) {
		var row []int
		for _, digit := range text {
			row = append(row, int(digit-'0'))
		}
		rows = append(rows, row)
	}
	names := []string{"input"}
	for _, op := range ops {
		names = append(names, map[rune]cell.Op{'3': cell.Conv3x3, '1': cell.Conv1x1, 'p': cell.MaxPool3x3}[op].String())
	}
	spec, err := cell.Parse(rows, append(names, "output"))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// drawnCells are shapes that a drawing must stand, by name, with the fewest
// crossings that they allow between layers.
func drawnCells(t testing.TB) map[string]drawnCell {
	return map[string]drawnCell{
		"empty":       {parseCell(t, "01 00", ""), 0},
		"small":       {parseCell(t, "0110 0001 0001 0000", "3p"), 0},
		"chain":       {parseCell(t, "0100000 0010000 0001000 0000100 0000010 0000001 0000000", "313p1"), 0},
		"residual":    {parseCell(t, "01001 00100 00010 00001 00000", "313"), 0},
		"best":        {parseCell(t, "0100011 0010000 0001100 0000100 0000010 0000001 0000000", "p3333"), 0},
		"dense":       {parseCell(t, "0111100 0010011 0000100 0000010 0000001 0000001 0000000", "313p1"), 0},
		"all-to-all":  {parseCell(t, "01111 00111 00011 00001 00000", "313"), 1},
		"parallel":    {parseCell(t, "0111110 0000001 0000001 0000001 0000001 0000001 0000000", "313p1"), 0},
		"crossing":    {parseCell(t, "0110000 0001100 0001100 0000011 0000001 0000000 0000000", "31p31"), 1},
		"loose":       {parseCell(t, "0111000 0001000 0000100 0000001 0000000 0000000 0000000", "31p31"), 0},
		"unreachable": {parseCell(t, "0100000 0000001 0001010 0000000 0000001 0000000 0000000", "31p31"), 0},
	}
}

type drawnCell struct {
	spec      cell.Spec
	crossings int
}

// Every shape draws in every format; go test -artifacts keeps the files.
func TestSaveCells(t *testing.T) {
	dir := t.ArtifactDir()
	for name, c := range drawnCells(t) {
		for _, pruned := range []bool{false, true} {
			f, err := Cell(CellDrawing{
				Spec: c.spec, Title: "No. 1 of space 3", Pruned: pruned,
				Caption: []string{"a958be818a5f3d98eb5ce84f41a7764a", "Test error 5.82 % after 108 epochs (mean of 3 runs), 39,810,442 parameters.", "Table: NAS-Bench-101."},
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := f.Save(filepath.Join(dir, fmt.Sprintf("cell-%s-%v", name, pruned))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCellCrossings(t *testing.T) {
	for name, c := range drawnCells(t) {
		g := newLayered(specDiagram(c.spec))
		g.arrange()
		if got := g.crossings(); got != c.crossings {
			t.Errorf("%s: %d crossings, want %d", name, got, c.crossings)
		}
	}
}

func TestCellContent(t *testing.T) {
	loose := drawnCells(t)["loose"].spec
	for name, test := range map[string]struct {
		drawing CellDrawing
		want    []string // text elements, in this order
	}{
		"grey":   {CellDrawing{Spec: loose}, []string{"input", "conv", "3×3", "conv", "1×1", "max pool", "3×3", "conv", "3×3", "conv", "1×1", "output"}},
		"pruned": {CellDrawing{Spec: loose, Pruned: true}, []string{"input", "conv", "3×3", "max pool", "3×3", "output"}},
		"texts": {CellDrawing{Spec: parseCell(t, "01 00", ""), Title: "The empty cell", Caption: []string{"two", "paragraphs"}},
			[]string{"The empty cell", "input", "output", "two", "paragraphs"}},
	} {
		f, err := Cell(test.drawing)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(t, f); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	// What pruning removes is dashed, and nothing else.
	for _, pruned := range []bool{false, true} {
		f, err := Cell(CellDrawing{Spec: loose, Pruned: pruned})
		if err != nil {
			t.Fatal(err)
		}
		svg, err := f.encode("svg")
		if err != nil {
			t.Fatal(err)
		}
		// Two edges and three boxes.
		if got, want := len(regexp.MustCompile(`stroke-dasharray`).FindAll(svg, -1)), map[bool]int{false: 5, true: 0}[pruned]; got != want {
			t.Errorf("pruned %v: %d dashed lines, want %d", pruned, got, want)
		}
	}
}

// connected draws cells of up to 8 vertices that have a path from input to
// output.
func connected(t *rapid.T) cell.Spec {
	n := rapid.IntRange(2, 8).Draw(t, "vertices")
	var spec cell.Spec
	for x := range n {
		row := make([]uint8, n)
		for y := x + 1; y < n; y++ {
			row[y] = rapid.Uint8Range(0, 1).Draw(t, "edge")
		}
		spec.Matrix = append(spec.Matrix, row)
	}
	spec.Ops = rapid.SliceOfN(rapid.SampledFrom([]cell.Op{cell.Conv3x3, cell.Conv1x1, cell.MaxPool3x3}), n-2, n-2).Draw(t, "operations")
	if _, err := spec.Prune(); err != nil {
		spec.Matrix[0][n-1] = 1
	}
	return spec
}

// Boxes stand apart in layers that follow the edges, and no edge runs through
// one.
func TestCellLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := connected(t)
		g := newLayered(specDiagram(spec))
		g.arrange()
		size := g.place()
		n := spec.Vertices()

		pruned, err := spec.Prune()
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		for v := range g.vertices {
			if g.vertices[v].survives && v > 0 && v < n-1 {
				if op := pruned.Ops[kept]; op != spec.Ops[v-1] {
					t.Fatalf("vertex %d survives with %v, not %v", v, spec.Ops[v-1], op)
				}
				kept++
			}
		}
		if kept != pruned.Vertices()-2 {
			t.Fatalf("%d inner vertices survive, not %d", kept, pruned.Vertices()-2)
		}

		for v := range n {
			box := g.box(v)
			if box.Min.X < 0 || box.Min.Y < -0.11 || box.Max.X > size.X || box.Max.Y > size.Y+0.11 { // heights are rounded to 0.2
				t.Errorf("box %d at %v is not within %v", v, box, size)
			}
			for u := range v {
				other := g.box(u)
				if box.Min.X < other.Max.X && other.Min.X < box.Max.X && box.Min.Y < other.Max.Y+5 && other.Min.Y < box.Max.Y+5 {
					t.Errorf("boxes %d at %v and %d at %v touch", u, other, v, box)
				}
			}
		}
		edges := 0
		for e, edge := range g.edges {
			source, target := edge.source, edge.target
			if spec.Matrix[source][target] != 1 {
				t.Errorf("edge from %d to %d", source, target)
			}
			edges++
			line, tip := g.path(e)
			if d := distanceToOutline(g, source, line[0].Pos); d > 1e-6 {
				t.Errorf("edge from %d to %d begins %v off the box", source, target, d)
			}
			if d := distanceToOutline(g, target, tip); d > 1e-6 {
				t.Errorf("edge from %d to %d ends %v off the box", source, target, d)
			}
			last := vg.Length(math.Inf(-1))
			for _, p := range append(pointsOf(line), tip) {
				if p.X < last-1e-9 {
					t.Errorf("edge from %d to %d turns back at %v", source, target, p)
				}
				last = p.X
				for v := range n {
					box := g.box(v)
					if v != source && v != target && p.X > box.Min.X && p.X < box.Max.X && p.Y > box.Min.Y-3 && p.Y < box.Max.Y+3 {
						t.Errorf("edge from %d to %d passes box %d at %v", source, target, v, p)
					}
				}
			}
		}
		if edges != spec.Edges() {
			t.Errorf("%d edges, want %d", edges, spec.Edges())
		}
	})
}

// pointsOf are points along a path.
func pointsOf(path vg.Path) []vg.Point {
	var points []vg.Point
	var at vg.Point
	for _, c := range path {
		switch c.Type {
		case vg.CurveComp:
			for i := range 20 {
				u := vg.Length(i+1) / 20
				w := 1 - u
				points = append(points, at.Scale(w*w*w).Add(c.Control[0].Scale(3*w*w*u)).Add(c.Control[1].Scale(3*w*u*u)).Add(c.Pos.Scale(u*u*u)))
			}
		default:
			points = append(points, c.Pos)
		}
		at = c.Pos
	}
	return points
}

// distanceToOutline is how far a point is from the left or right side of a box,
// half circles for input and output.
func distanceToOutline(g *layered, v int, p vg.Point) float64 {
	box := g.box(v)
	if !g.isRound(v) {
		return min(math.Abs(float64(p.X-box.Min.X)), math.Abs(float64(p.X-box.Max.X)))
	}
	radius := float64(box.Max.Y-box.Min.Y) / 2
	middle := (box.Min.Y + box.Max.Y) / 2
	distance := math.Inf(1)
	for _, x := range []vg.Length{box.Min.X + vg.Length(radius), box.Max.X - vg.Length(radius)} {
		distance = min(distance, math.Abs(math.Hypot(float64(p.X-x), float64(p.Y-middle))-radius))
	}
	return distance
}

// Every point of the outline lies on the sides of the rectangle or on the
// circles at its corners, and no arc, which a PDF would not show, is in it.
func TestRounded(t *testing.T) {
	r := vg.Rectangle{Min: vg.Point{X: 1, Y: 2}, Max: vg.Point{X: 31, Y: 22}}
	for radius, sides := range map[vg.Length]int{3.5: 4, 10: 2} {
		outline := rounded(r, radius)
		lines := 0
		for _, c := range outline {
			switch c.Type {
			case vg.ArcComp:
				t.Errorf("radius %v: an arc", radius)
			case vg.LineComp:
				lines++
			}
		}
		if lines != sides {
			t.Errorf("radius %v: %d lines, want %d", radius, lines, sides)
		}
		for _, p := range pointsOf(outline[:len(outline)-1]) {
			// From the nearest point of the rectangle without its margin.
			inner := vg.Point{X: min(max(p.X, r.Min.X+radius), r.Max.X-radius), Y: min(max(p.Y, r.Min.Y+radius), r.Max.Y-radius)}
			d := p.Sub(inner)
			if off := math.Hypot(float64(d.X), float64(d.Y)) - float64(radius); math.Abs(off) > 0.001*float64(radius) {
				t.Errorf("radius %v: %v is %v off the outline", radius, p, off)
			}
		}
		if first, last := outline[0].Pos, outline[len(outline)-2].Pos; math.Hypot(float64(first.X-last.X), float64(first.Y-last.Y)) > 1e-9 {
			t.Errorf("radius %v: begins at %v, ends at %v", radius, first, last)
		}
	}
}

// separate keeps the gaps, and no other positions that do are nearer.
func TestSeparate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "n")
		list := func(low, high float64, name string) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(low, high), n, n).Draw(t, name)
		}
		want, weights, gaps := list(-50, 50, "want"), list(0.1, 10, "weights"), list(0, 30, "gaps")
		got := separate(want, weights, gaps)
		if len(got) != n {
			t.Fatalf("%d positions, want %d", len(got), n)
		}
		cost := func(positions []float64) float64 {
			sum := 0.
			for i, p := range positions {
				sum += weights[i] * (p - want[i]) * (p - want[i])
			}
			return sum
		}
		valid := func(positions []float64, slack float64) bool {
			for i := 1; i < n; i++ {
				if positions[i]-positions[i-1] < gaps[i]-slack {
					return false
				}
			}
			return true
		}
		if !valid(got, 1e-9) {
			t.Fatalf("%v does not keep the gaps %v", got, gaps)
		}
		// The cost is convex: it is lowest where no small step lowers it.
		step := list(-1, 1, "step")
		for _, size := range []float64{1e-3, 1, 10} {
			other := make([]float64, n)
			for i := range other {
				other[i] = got[i] + size*step[i]
			}
			if valid(other, 0) && cost(other) < cost(got)-1e-6 {
				t.Fatalf("%v costs %v, %v only %v", got, cost(got), other, cost(other))
			}
		}
	})
}

func TestCellDeterminism(t *testing.T) {
	for name, c := range drawnCells(t) {
		for _, format := range formats {
			var first []byte
			for range 2 {
				f, err := Cell(CellDrawing{Spec: c.spec, Caption: []string{"caption"}})
				if err != nil {
					t.Fatal(err)
				}
				image, err := f.encode(format)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = image
				}
				if !bytes.Equal(first, image) {
					t.Errorf("%s as %s differs from one drawing to the next", name, format)
				}
			}
		}
	}
}

func TestCellRefusals(t *testing.T) {
	if _, err := Cell(CellDrawing{Spec: parseCell(t, "010 000 000", "3")}); !errors.Is(err, cell.ErrDisconnected) {
		t.Errorf("disconnected: %v", err)
	}
	var matrixError *cell.MatrixError
	if _, err := Cell(CellDrawing{}); !errors.As(err, &matrixError) {
		t.Errorf("no cell at all: %v", err)
	}
	large := cell.Spec{Ops: make([]cell.Op, 9)}
	for range 11 {
		large.Matrix = append(large.Matrix, make([]uint8, 11))
	}
	large.Matrix[0][10] = 1
	if _, err := Cell(CellDrawing{Spec: large}); err == nil || !strings.Contains(err.Error(), "11 vertices") {
		t.Errorf("11 vertices: %v", err)
	}
	if _, err := Cell(CellDrawing{Spec: large, Pruned: true}); err != nil {
		t.Errorf("2 vertices are left: %v", err)
	}
}

// The largest cell that is drawn, with every edge, ends within the budget of
// layouts to try.
func TestLargestCell(t *testing.T) {
	spec := cell.Spec{Ops: make([]cell.Op, maxDrawn-2)}
	for x := range maxDrawn {
		row := make([]uint8, maxDrawn)
		for y := x + 1; y < maxDrawn; y++ {
			row[y] = 1
		}
		spec.Matrix = append(spec.Matrix, row)
	}
	f, err := Cell(CellDrawing{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(filepath.Join(t.ArtifactDir(), "cell-largest")); err != nil {
		t.Fatal(err)
	}
}

func TestEncode(t *testing.T) {
	f, err := Cell(CellDrawing{Spec: parseCell(t, "01 00", "")})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, format := range formats {
		path := filepath.Join(dir, "cell."+format)
		got, err := f.Encode(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.encode(format)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not the figure", path)
		}
	}
	for _, name := range []string{"cell", "cell.jpg", "svg", "cell.SVG"} {
		if _, err := f.Encode(filepath.Join(dir, name)); err == nil {
			t.Errorf("encoded as %s", name)
		}
	}
}
