package plots

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
)

func TestCells(t *testing.T) {
	shapes := drawnCells(t)
	of := func(name, title string) CellDrawing {
		return CellDrawing{Spec: shapes[name].spec, Title: title, Caption: []string{"of " + title}}
	}
	rows := [][]CellDrawing{
		{of("small", "A"), of("small", "B")},      // side by side
		{of("chain", "C"), of("all-to-all", "D")}, // too wide for one line
		{of("empty", "E")},
	}
	for width, lines := range map[Width][][]string{Page: {{"A", "B"}, {"C"}, {"D"}, {"E"}}, Column: {{"A"}, {"B"}, {"C"}, {"D"}, {"E"}}} {
		f, err := Cells(rows, []string{"a note"}, width)
		if err != nil {
			t.Fatal(err)
		}
		r := new(recorder.Canvas)
		for _, part := range f.parts {
			part(canvas.NewCanvas(r, f.width, f.height), f.height)
		}
		heights := map[vg.Length][]string{} // titles by height
		for _, action := range r.Actions {
			if text, ok := action.(*recorder.FillString); ok && len(text.String) == 1 && text.Point.Y > 0 && strings.Contains("ABCDE", text.String) {
				heights[text.Point.Y] = append(heights[text.Point.Y], text.String)
			}
		}
		if len(heights) != len(lines) {
			t.Errorf("titles %v, want lines %v", heights, lines)
		}
		for _, titles := range heights {
			if !slices.ContainsFunc(lines, func(line []string) bool { return slices.Equal(line, titles) }) {
				t.Errorf("line %v, want one of %v", titles, lines)
			}
		}
		if got := strings.Join(texts(t, f), " "); !strings.Contains(got, "of A of B") && !strings.Contains(got, "of A B") || !strings.HasSuffix(got, "of E a note") {
			t.Errorf("texts %q", got)
		}
	}
	if _, err := Cells(nil, nil, Page); err == nil {
		t.Error("drew nothing")
	}
	if _, err := Cells([][]CellDrawing{{{Spec: parseCell(t, "010 000 000", "3")}}}, nil, Page); err == nil {
		t.Error("drew a cell without a way from input to output")
	}
}

// Without its font, SVG is the same and small; the font is that of SVG.
func TestSVG(t *testing.T) {
	f, err := Cell(CellDrawing{Spec: drawnCells(t)["small"].spec, Title: "λ"})
	if err != nil {
		t.Fatal(err)
	}
	full, err := f.encode("svg")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.SVG()
	if err != nil {
		t.Fatal(err)
	}
	family, ttf, err := Font("λ")
	if err != nil {
		t.Fatal(err)
	}
	if len(plain) > 10000 || bytes.Contains(plain, []byte("@font-face")) {
		t.Errorf("%d bytes with a font", len(plain))
	}
	without := regexp.MustCompile(`(?s)\s*<style>.*?</style>`).ReplaceAll(full, nil)
	if squeeze := func(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }; squeeze(without) != squeeze(plain) {
		t.Error("the two differ in more than the font")
	}
	if !bytes.Contains(plain, []byte("font-family:"+family+",")) {
		t.Errorf("the texts are not in %s", family)
	}
	if len(full) > 60_000 || len(ttf) > 10_000 {
		t.Errorf("%d bytes of SVG, %d of a font with a letter", len(full), len(ttf))
	}
}
