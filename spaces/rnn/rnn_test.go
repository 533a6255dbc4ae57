package rnn

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

func TestParseGenotype(t *testing.T) {
	for text, want := range map[string]string{
		"relu:0":                        "relu:0",
		" tanh:0  relu:1\tsigmoid:0 \n": "tanh:0 relu:1 sigmoid:0",
		"tanh:0 identity:1 [2]":         "tanh:0 identity:1 [2]",
		"tanh:0 identity:1 [1 2]":       "tanh:0 identity:1",
		"tanh:0 identity:1 [2 1]":       "tanh:0 identity:1 [2 1]",
		"Genotype(recurrent=[('relu', 0), ('tanh',1)], concat=range(1, 3))": "relu:0 tanh:1",
		"Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=[2])":        "relu:0 tanh:1 [2]",
	} {
		g, err := ParseGenotype(text)
		if err != nil || g.Line() != want || !IsGenotype(text) {
			t.Errorf("%s\nis read as %s, %v\nwant %s", text, g.Line(), err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       "0 nodes: want 1 to 12",
		"relu":                                   `node 1: the input of relu is "": want 0 to 0`,
		"relu:0 swish:0":                         `node 2: no function "swish": choose tanh, relu, sigmoid or identity`,
		"none:0":                                 `no function "none"`,
		"relu:0 relu:2":                          `node 2: the input of relu is "2": want 0 to 1`,
		"relu:-1":                                `the input of relu is "-1"`,
		"relu:0 [2]":                             `"2" is no state for the output: want some of 1 to 1`,
		"relu:0 [0]":                             `"0" is no state`,
		"relu:0 [1 1]":                           `"1" is no state`,
		"relu:0 []":                              "want its states in square brackets",
		"relu:0 [1":                              "want its states in square brackets",
		"Genotype(recurrent=[])":                 "want Genotype(recurrent=",
		"Genotype(recurrent=[], concat=[1])":     "0 nodes",
		"Genotype(recurrent=[relu], concat=[1])": `"relu": want nodes such as`,
		"Genotype(recurrent=[('relu', 0)], concat=range(1, 1))":  "want states such as",
		"Genotype(recurrent=[('relu', 0)], concat=range(1, 99))": `"2" is no state`,
		strings.Repeat("relu:0 ", 13):                            "13 nodes",
	} {
		if _, err := ParseGenotype(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"penn_pgd", "a file", "", "skip:0 skip:1 | max:0 max:1", "skip:0 skip:1 / skip:0 skip:1", "Genotype(normal=[])", "c:file"} {
		if IsGenotype(text) {
			t.Errorf("%q is taken for a recurrent genotype", text)
		}
	}
}

// No text makes the reader panic, and what it reads it writes in a way that it reads again.
func FuzzParseGenotype(f *testing.F) {
	f.Add("relu:0 tanh:1 [2]")
	f.Add("Genotype(recurrent=[('relu', 0), ('identity', 1)], concat=range(1, 3))")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGenotype(text)
		if err != nil {
			return
		}
		for _, again := range []string{g.Line(), g.String()} {
			if back, err := ParseGenotype(again); err != nil || back.String() != g.String() || !IsGenotype(again) {
				t.Errorf("%q is read as %s, that as %s, %v", text, again, back, err)
			}
		}
		if d := g.Depth(); d < 1 || d > len(g.Nodes) {
			t.Errorf("%s has depth %d", g.Line(), d)
		}
		if _, err := EvaluationNetwork.Cost(g); err != nil {
			t.Error(err)
		}
	})
}

// A node takes the entry that was made largest, unless it is none.
func TestDerive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alpha := make([]float64, Dim)
		for i := range alpha {
			alpha[i] = rapid.Float64Range(-1, 1).Draw(t, "alpha")
		}
		var want Genotype
		for node := 1; node <= Nodes; node++ {
			n := Node{rapid.SampledFrom(Functions()[1:]).Draw(t, "function"), rapid.IntRange(0, node-1).Draw(t, "input")}
			alpha[5*Row(n.Input, node)+slices.Index(Functions(), n.Function)] = 4
			want.Nodes = append(want.Nodes, n)
		}
		want.Concat = states(Nodes)
		if g := Derive(alpha); g.String() != want.String() {
			t.Fatalf("%s, want %s", g, want)
		}
	})
	// None is not taken, and keeps its edge from being taken.
	alpha := make([]float64, Dim)
	alpha[5*Row(0, 2)] = 3
	alpha[5*Row(0, 2)+1] = 0.1
	for i, n := range Derive(alpha).Nodes {
		want := Node{Tanh, 0}
		if i == 1 {
			want.Input = 1
		}
		if n != want {
			t.Errorf("node %d is %v, want %v", i+1, n, want)
		}
	}
	alpha[7] = math.NaN()
	for i, n := range Derive(alpha).Nodes {
		if n.Function == "" || n.Input > i {
			t.Errorf("with a NaN node %d is %v", i+1, n)
		}
	}
}

// The published cells, their networks as the released code has them, and their depth.
func TestPublished(t *testing.T) {
	for name, want := range map[string]struct {
		line              string
		parameters, depth int
	}{
		"penn_DARTS_V1": {"relu:0 relu:1 tanh:2 relu:3 relu:4 identity:1 relu:5 relu:1", 22_960_000, 6},
		"penn_darts_v2": {"sigmoid:0 relu:1 relu:1 identity:1 tanh:2 sigmoid:5 tanh:3 relu:5", 22_960_000, 4},
		"penn_random":   {"sigmoid:0 sigmoid:1 identity:2 sigmoid:1 tanh:2 tanh:2 sigmoid:0 sigmoid:3", 22_960_000, 4},
		"penn_pgd":      {"relu:0 relu:1 tanh:2 relu:3 identity:2 relu:1 tanh:2 relu:7", 22_960_000, 4},
		"penn_GDAS":     {"relu:0 relu:0 identity:1 relu:1 tanh:0 relu:2 identity:4 identity:2", 22_960_000, 3},
		"penn_ENAS":     {"tanh:0 tanh:1 relu:1 tanh:3 tanh:3 relu:3 relu:4 relu:7 relu:8 relu:8 relu:8 [2 5 6 9 10 11]", 27_295_000, 6},
	} {
		p, ok := FindPublished(name)
		if !ok || p.Genotype.Line() != want.line {
			t.Errorf("%s: found %s", name, p.Genotype.Line())
			continue
		}
		cost, err := EvaluationNetwork.Cost(p.Genotype)
		if err != nil || cost.Parameters != want.parameters || p.Genotype.Depth() != want.depth {
			t.Errorf("%s: %d parameters, depth %d, %v, want %d, %d", name, cost.Parameters, p.Genotype.Depth(), err, want.parameters, want.depth)
		}
	}
	if n := len(AllPublished()); n != 6 {
		t.Errorf("%d genotypes are published, want 6", n)
	}
	if cost, err := EvaluationNetwork.Cost(AllPublished()[0].Genotype); err != nil || cost.MACs != 22_950_000 {
		t.Errorf("%d multiply-accumulates, %v", cost.MACs, err)
	}
	for _, n := range []Network{{1, 10}, {10, 0}, {1 << 40, 10}, {10, 1 << 40}} {
		if _, err := n.Cost(AllPublished()[0].Genotype); err == nil {
			t.Errorf("%+v is no error", n)
		}
	}
}

// Architectures are drawn and changed within the space, and are the genotypes that they stand
// for.
func TestRules(t *testing.T) {
	s := Space()
	if Cells() != 2_642_411_520 {
		t.Errorf("%d cells", Cells())
	}
	if s.Dim() != Dim || len(s.Rows()) != Edges || s.Name() != Name {
		t.Errorf("space %s has %d parameters in %d rows", s.Name(), s.Dim(), len(s.Rows()))
	}
	rapid.Check(t, func(t *rapid.T) {
		r := random.New(rapid.Uint64().Draw(t, "seed"), "rules")
		a := s.Sample(r)
		if err := s.Rules().Check(a.Kept); err != nil {
			t.Fatal(err)
		}
		g, ok := GenotypeOf(a)
		if !ok {
			t.Fatalf("%v is no architecture of the space", a)
		}
		if back, err := Architecture(g); err != nil || !back.Equal(a) {
			t.Fatalf("%s and back is %v, %v", g.Line(), back, err)
		}
		if d, _ := GenotypeOf(s.Discretize(s.DiscreteWeights(a), spaces.TiesNumPy)); d.Line() != g.Line() {
			t.Fatalf("the weights of %s are discretised to %s", g.Line(), d.Line())
		}
		m, _ := GenotypeOf(s.Mutate(a, r))
		changed := 0
		for i := range g.Nodes {
			if g.Nodes[i].Function != m.Nodes[i].Function {
				changed++
			}
			if g.Nodes[i].Input != m.Nodes[i].Input {
				changed++
			}
		}
		if changed != 1 {
			t.Fatalf("%s changes to %s", g.Line(), m.Line())
		}
	})
	if _, ok := GenotypeOf(spaces.Architecture{Space: Name}); ok {
		t.Error("an architecture that keeps nothing has a genotype")
	}
	kept := func(change func([][]int)) [][]int {
		k := s.Sample(random.New(0, "kept")).Kept
		change(k)
		return k
	}
	for want, k := range map[string][][]int{
		"0 edges into node 1": kept(func(k [][]int) { k[0] = nil }),
		"2 edges into node 1": kept(func(k [][]int) { k[0] = []int{1, 2} }),
		"candidate 0 is kept": kept(func(k [][]int) { k[0] = []int{0} }),
	} {
		if err := s.Rules().Check(k); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	for _, line := range []string{"relu:0", "tanh:0 tanh:1 relu:1 tanh:3 tanh:3 relu:3 relu:4 relu:7 [8]"} {
		g, err := ParseGenotype(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Architecture(g); err == nil {
			t.Errorf("%s is no error", line)
		}
	}
}
