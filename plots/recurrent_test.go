package plots

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Recurrent cells draw in every format; go test -artifacts keeps the files.
func TestSaveRecurrent(t *testing.T) {
	for _, p := range rnn.AllPublished() {
		f, err := Cell(CellDrawing{Recurrent: &p.Genotype, Title: p.Name, Caption: []string{p.Source}})
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if _, err := f.Save(filepath.Join(t.ArtifactDir(), p.Name)); err != nil {
			t.Fatal(err)
		}
	}
}

// The drawing says what the genotype does: every node once, with its function, and an arrow
// from its input; nothing that is pruned.
func TestRecurrentContent(t *testing.T) {
	g, err := rnn.ParseGenotype("tanh:0 relu:1 sigmoid:1 identity:0 [2 4]")
	if err != nil {
		t.Fatal(err)
	}
	for pruned, want := range map[bool][]string{
		false: {"x", "t", "h", "t−1", "0", "1 tanh", "2 relu", "3 sigmoid", "4 identity", "h", "t"},
		true:  {"x", "t", "h", "t−1", "0", "1 tanh", "2 relu", "4 identity", "h", "t"},
	} {
		d := CellDrawing{Recurrent: &g, Pruned: pruned}
		f, err := Cell(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(t, f); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		text, err := CellText(d, true)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "(3 sigmoid)") == pruned || !strings.Contains(text, "\n2 relu ") {
			t.Errorf("pruned %v:\n%s", pruned, text)
		}
	}
	d, err := recurrentDiagram(g, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []arc{{0, 2, false}, {1, 2, false}, {2, 3, false}, {2, 6, false}, {3, 4, false}, {3, 5, false}, {4, 7, false}, {6, 7, false}}
	if !slices.Equal(d.edges, want) {
		t.Errorf("edges %v, want %v", d.edges, want)
	}
}

func TestRecurrentErrors(t *testing.T) {
	for want, g := range map[string]rnn.Genotype{
		"it has 0 nodes, want 1 to 12":     {},
		"it has 13 nodes":                  {Nodes: make([]rnn.Node, 13)},
		"node 1 has input 1, want 0 to 0":  {Nodes: []rnn.Node{{Function: rnn.Tanh, Input: 1}}, Concat: []int{1}},
		"no function \"none\"":             {Nodes: []rnn.Node{{Function: rnn.None}}, Concat: []int{1}},
		"node 2 has input -1, want 0 to 1": {Nodes: []rnn.Node{{Function: rnn.Tanh}, {Function: rnn.Tanh, Input: -1}}, Concat: []int{1}},
	} {
		if _, err := Cell(CellDrawing{Recurrent: &g}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
