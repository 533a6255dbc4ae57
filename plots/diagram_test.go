package plots

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

func published(t testing.TB, name string) darts.Genotype {
	t.Helper()
	p, ok := darts.FindPublished(name)
	if !ok {
		t.Fatalf("no genotype %s", name)
	}
	return p.Genotype
}

// Genotypes of every space and size draw in every format; go test -artifacts keeps the
// files.
func TestSaveGenotypes(t *testing.T) {
	for _, name := range []string{"c10_s2_pgd", "c10_s4_pcdarts", "DARTS_V1", "NASNet", "AmoebaNet"} {
		f, err := Cells([][]CellDrawing{GenotypeCells(published(t, name), "", "Width 2c, depth 5.")}, []string{name}, Page)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := f.Save(filepath.Join(t.ArtifactDir(), "genotype-"+name)); err != nil {
			t.Fatal(err)
		}
	}
}

// The drawing says what the genotype does: its inputs, operations and nodes.
func TestGenotypeContent(t *testing.T) {
	g := published(t, "DARTS_V2")
	both := GenotypeCells(g, "DARTS", "two", "paragraphs")
	for d, want := range map[*CellDrawing][]string{
		&both[0]: {"DARTS, normal cell", "c", "k−2", "c", "k−1",
			"sep conv", "3×3", "sep conv", "3×3", "0", "sep conv", "3×3", "sep conv", "3×3", "1",
			"sep conv", "3×3", "skip", "2", "skip", "dil conv", "3×3", "3", "c", "k"},
		&both[1]: {"DARTS, reduction cell", "c", "k−2", "c", "k−1",
			"max pool", "3×3", "max pool", "3×3", "0", "skip", "max pool", "3×3", "1",
			"max pool", "3×3", "skip", "2", "skip", "max pool", "3×3", "3", "c", "k", "two", "paragraphs"},
	} {
		f, err := Cell(*d)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(t, f); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	text, err := CellText(both[0], true)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DARTS, normal cell\n\nc_{k-2}\n", "\ndil conv 3x3 <-", "\nnode 3       <-", "\nc_{k}        <-"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What does not lead to the output is grey, or left out.
func TestGenotypePruned(t *testing.T) {
	g, err := darts.ParseGenotype("max:1 max:1 / skip:1 skip:1 / skip:3 skip:3 [2 4] | max:0 max:1 / skip:2 skip:2 [2]")
	if err != nil {
		t.Fatal(err)
	}
	both := GenotypeCells(g, "")
	normal, err := both[0].diagram()
	if err != nil {
		t.Fatal(err)
	}
	if normal.vertices[0].survives || !normal.vertices[1].survives {
		t.Error("the normal cell does not use c_{k-2}, and does use c_{k-1}")
	}
	for _, pruned := range []bool{false, true} {
		both[1].Pruned = pruned
		reduction, err := both[1].diagram()
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for _, v := range reduction.vertices {
			if !v.survives {
				lost++
			}
		}
		if want := map[bool][2]int{false: {9, 3}, true: {6, 0}}[pruned]; len(reduction.vertices) != want[0] || lost != want[1] {
			t.Errorf("pruned %v: %d vertices, %d lost, want %v", pruned, len(reduction.vertices), lost, want)
		}
	}
}

// Boxes stand apart, no edge runs through one, and c_{k-2} is above c_{k-1}.
func TestGenotypeLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := darts.Get("darts")
		if err != nil {
			t.Fatal(err)
		}
		genotype := s.Genotype(s.Sample(random.New(rapid.Uint64Max(1000).Draw(t, "seed"), "test")))
		diagram, err := CellDrawing{Genotype: &genotype}.diagram()
		if err != nil {
			t.Fatal(err)
		}
		g := newLayered(diagram)
		g.arrange()
		size := g.place()
		if g.stops[0].y < g.stops[1].y {
			t.Error("c_{k-2} is below")
		}
		for v := range g.vertices {
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
		for e, edge := range g.edges {
			line, tip := g.path(e)
			if d := max(distanceToOutline(g, edge.source, line[0].Pos), distanceToOutline(g, edge.target, tip)); d > 1e-6 {
				t.Errorf("edge from %d to %d ends %v off a box", edge.source, edge.target, d)
			}
			for _, p := range append(pointsOf(line), tip) {
				for v := range g.vertices {
					box := g.box(v)
					if v != edge.source && v != edge.target && inside(box, p, 3) {
						t.Errorf("edge from %d to %d passes box %d at %v", edge.source, edge.target, v, p)
					}
				}
			}
		}
	})
}

// inside tells whether a point is within a box or nearer to its upper and lower side than a
// distance.
func inside(box vg.Rectangle, p vg.Point, near vg.Length) bool {
	return p.X > box.Min.X && p.X < box.Max.X && p.Y > box.Min.Y-near && p.Y < box.Max.Y+near
}

func TestGenotypeDeterminism(t *testing.T) {
	var first []byte
	for range 2 {
		f, err := Cells([][]CellDrawing{GenotypeCells(published(t, "c10_s2_pgd"), "")}, nil, Page)
		if err != nil {
			t.Fatal(err)
		}
		image, err := f.encode("svg")
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = image
		}
		if !bytes.Equal(first, image) {
			t.Error("it differs from one drawing to the next")
		}
	}
}

func TestGenotypeRefusals(t *testing.T) {
	seven := strings.TrimSuffix(strings.Repeat("skip:0 skip:1 / ", 7), " / ")
	tooMany, err := darts.ParseGenotype(seven + " | " + seven)
	if err != nil {
		t.Fatal(err)
	}
	for want, g := range map[string]darts.Genotype{
		"14 pairs, want 2 for each of 1 to 6 nodes": tooMany,
		"0 pairs, want 2":                 {},
		"node 0 has input 2, want 0 to 1": {Normal: []darts.Pair{{Operation: darts.Skip, Input: 2}, {Operation: darts.Skip}}, NormalConcat: []int{2}},
		`no operation "conv"`:             {Normal: []darts.Pair{{Operation: "conv"}, {Operation: darts.Skip}}, NormalConcat: []int{2}},
	} {
		if _, err := Cell(CellDrawing{Genotype: &g}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
