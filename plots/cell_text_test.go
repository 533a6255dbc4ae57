package plots

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestCellText(t *testing.T) {
	spec, err := cell.Parse([][]int{{0, 1, 0, 1, 0}, {0, 0, 0, 1, 1}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 0}},
		[]string{"input", "conv3x3-bn-relu", "maxpool3x3", "conv1x1-bn-relu", "output"})
	if err != nil {
		t.Fatal(err)
	}
	d := CellDrawing{Spec: spec, Title: "A cell", Caption: []string{"6.00 % ± 0.20 %"}}
	got, err := CellText(d, false)
	want := strings.Join([]string{
		"A cell",
		"",
		"input",
		"               ───╮",
		"conv 3×3       ◀──┤",
		"               ───│─╮",
		"(max pool 3×3)    │ │",
		"               ───│─│─╮",
		"conv 1×1       ◀──┴─┤ │",
		"               ─────│─│─╮",
		"output         ◀────┴─┴─╯",
		"",
		"In parentheses: on no path from input to output.",
		"",
		"6.00 % ± 0.20 %",
		"",
	}, "\n")
	if err != nil || got != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if got, err = CellText(d, true); err != nil || strings.IndexFunc(got, func(r rune) bool { return r > 126 }) >= 0 || !strings.Contains(got, "conv 1x1       <--+-+ |\n") {
		t.Errorf("%v, in ASCII\n%s", err, got)
	}
	d.Pruned = true
	if got, err = CellText(d, false); err != nil || strings.Contains(got, "max pool") || strings.Contains(got, "(") {
		t.Errorf("%v, pruned\n%s", err, got)
	}
	d.Spec.Matrix = make([][]uint8, 5)
	for i := range d.Spec.Matrix {
		d.Spec.Matrix[i] = make([]uint8, 5)
	}
	if _, err := CellText(d, false); err == nil {
		t.Error("drew a cell without a way from input to output")
	}
}

// The edges can be read from the drawing.
func TestCellTextEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(t, "vertices")
		spec := cell.Spec{Matrix: make([][]uint8, n), Ops: make([]cell.Op, n-2)}
		for x := range n {
			spec.Matrix[x] = make([]uint8, n)
			for y := x + 1; y < n; y++ {
				spec.Matrix[x][y] = uint8(rapid.IntRange(0, 1).Draw(t, "edge"))
			}
		}
		text, err := CellText(CellDrawing{Spec: spec}, false)
		if err != nil {
			t.Skip(err)
		}
		drawing, _, _ := strings.Cut(text, "\n\n")
		source := map[int]int{} // of the lane in a column
		v := -1
		read := make([][]uint8, n)
		for i := range read {
			read[i] = make([]uint8, n)
		}
		for _, line := range strings.Split(strings.TrimSuffix(drawing, "\n"), "\n") {
			if !strings.HasPrefix(line, " ") {
				v++
			}
			for column, r := range []rune(line) {
				switch {
				case r == '╮':
					source[column] = v
				case strings.ContainsRune("┤┼┴╯", r):
					read[source[column]][v] = 1
				}
			}
		}
		for x := range n {
			if !slices.Equal(read[x], spec.Matrix[x]) {
				t.Fatalf("from %d it reads %v, want %v:\n%s", x, read[x], spec.Matrix[x], text)
			}
		}
	})
}
