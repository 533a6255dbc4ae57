package darts

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

func TestEdges(t *testing.T) {
	want := []Edge{{0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}, {0, 4}, {1, 4}, {2, 4}, {3, 4}, {0, 5}, {1, 5}, {2, 5}, {3, 5}, {4, 5}}
	var got []Edge
	for e := range Edges {
		got = append(got, EdgeAt(e))
		if i := EdgeAt(e).Index(); i != e {
			t.Errorf("edge %d is number %d", e, i)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("edges (-want +got):\n%s", d)
	}
}

// The sizes of the spaces: parameters, and architectures counted with the formulas that the
// papers have for them.
func TestSpaces(t *testing.T) {
	for _, tc := range []struct {
		name          spaces.Name
		dim           int
		architectures int
	}{
		{"darts", 196, 180 * 180 * power(7, 16)},
		{"darts8", 224, 180 * 180 * power(7, 16)}, // none is no choice
		{"darts-s1", 56, 180 * 180 * power(2, 16)},
		{"darts-s2", 56, 180 * 180 * power(2, 16)},
		{"darts-s3", 84, 180 * 180 * power(2, 16)},
		{"darts-s4", 56, 180 * 180 * power(2, 16)},
	} {
		s := mustGet(t, tc.name)
		if s.Dim() != tc.dim || s.Architectures() != tc.architectures || s.Base() != s || s.HasEdges() || s.Restricted() {
			t.Errorf("%s has %d parameters and %d architectures, want %d and %d", tc.name, s.Dim(), s.Architectures(), tc.dim, tc.architectures)
		}
		cols := tc.dim / 28
		if d := cmp.Diff([]spaces.Tensor{
			{Name: "alphas_normal", Rows: 14, Cols: cols, Size: 14 * cols},
			{Name: "alphas_reduce", Rows: 14, Cols: cols, Offset: 14 * cols, Size: 14 * cols},
		}, s.Tensors()); d != "" {
			t.Errorf("%s: tensors (-want +got):\n%s", tc.name, d)
		}
		if registered, err := spaces.Get(tc.name); err != nil || registered != s.Space {
			t.Errorf("%s is not the space registered: %v", tc.name, err)
		}
		if of, ok := Of(s.Space); !ok || of != s {
			t.Errorf("%s is not recognised", tc.name)
		}
	}
	if _, err := Get("darts-s5"); err == nil {
		t.Error("there is a space darts-s5")
	}
}

func power(base, n int) int {
	p := 1
	for range n {
		p *= base
	}
	return p
}

// The count of a small space is that of its enumeration, whatever is kept on its edges.
func TestCellsAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := mustRestrict(t, "darts-s3")
		for _, kind := range []CellType{Normal, Reduction} {
			cells := 0
			for kept := range enumerate(s, kind, 0) {
				cells++
				if len(kept) != Inputs*Nodes {
					t.Fatalf("enumerated %v", kept)
				}
			}
			if cells != s.Cells(kind) {
				t.Errorf("%s: %d cells, enumerated %d", kind, s.Cells(kind), cells)
			}
		}
	})
}

// enumerate yields the kept edge numbers and operations of all cells from a node on.
func enumerate(s *Space, kind CellType, node int) func(yield func([][2]int) bool) {
	return func(yield func([][2]int) bool) {
		if node == Nodes {
			yield(nil)
			return
		}
		var choices [][2]int
		for e := firstEdge(node); e < firstEdge(node+1); e++ {
			for _, c := range s.Rows()[Row(kind, e)].Candidates {
				if c.Name != None {
					choices = append(choices, [2]int{e, len(choices)})
				}
			}
		}
		for i, a := range choices {
			for _, b := range choices[:i] {
				if a[0] == b[0] {
					continue
				}
				for rest := range enumerate(s, kind, node+1) {
					if !yield(append([][2]int{a, b}, rest...)) {
						return
					}
				}
			}
		}
	}
}

// mustRestrict draws a restriction of a space.
func mustRestrict(t *rapid.T, name spaces.Name) *Space {
	s, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	var kept [][]int
	for _, r := range s.Rows() {
		numbers := rapid.SliceOfNDistinct(rapid.IntRange(0, len(r.Candidates)-1), 1, -1, rapid.ID[int]).
			Filter(func(k []int) bool { return len(k) > 1 || r.Candidates[k[0]].Name != None }).Draw(t, r.Title)
		slices.Sort(numbers)
		kept = append(kept, numbers)
	}
	return s.Restrict(kept)
}

// anySpace draws a registered space or one derived from it.
func anySpace(t *rapid.T) *Space {
	s := rapid.SampledFrom(All()).Draw(t, "space")
	switch rapid.SampledFrom([]string{"registered", "with edges", "restricted"}).Draw(t, "kind") {
	case "with edges":
		return s.WithEdges()
	case "restricted":
		return mustRestrict(t, s.Name())
	}
	return s
}

// Whatever the parameters are: the architecture is one of the registered space, the discrete
// weights are a fixed point, a genotype and its text lead back to it, and sampled and mutated
// ones are architectures as well.
func TestArchitectures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpace(t)
		alpha := rapid.SliceOfN(rapid.SampledFrom([]float64{-1, 0, 0.5, 3, 200}), s.Dim(), s.Dim()).Draw(t, "alpha")
		a := s.Discretize(alpha, spaces.TiesNumPy)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		drawn := s.Sample(r)
		mutated := s.Mutate(drawn, r)
		for what, a := range map[string]spaces.Architecture{"derived": a, "sampled": drawn, "mutated": mutated} {
			if err := a.Check(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			g := s.Genotype(a)
			for _, text := range []string{g.Line(), g.String()} {
				read, err := ParseGenotype(text)
				if err != nil {
					t.Fatal(err)
				}
				if back, err := s.Architecture(read); err != nil || !back.Equal(a) {
					t.Errorf("%s: %v is back %v, %v", what, a.Kept, back.Kept, err)
				}
			}
			// Kept candidates are among those of the space, and weigh 1.
			weights := s.DiscreteWeights(a)
			ones := 0
			for _, w := range weights {
				if w != 0 && w != 1 {
					t.Fatalf("%s: weight %v", what, w)
				}
				ones += int(w)
			}
			want := 2 * Inputs * Nodes
			if s.HasEdges() {
				want *= 2
			}
			if ones != want {
				t.Errorf("%s: %d weights are 1, want %d", what, ones, want)
			}
			// What the weights favour is the architecture: an operation outweighs the rows
			// that keep none.
			for i := range weights {
				weights[i] *= 30
			}
			if again := s.Discretize(weights, spaces.TiesNumPy); !s.Restricted() && !again.Equal(a) {
				t.Errorf("%s: %v, its weights favour %v", what, a.Kept, again.Kept)
			}
		}
		if mutated.Equal(drawn) {
			t.Errorf("the mutation of %v is the same", drawn.Kept)
		}
		if changed := drawn.Changed(mutated); changed > 2 {
			t.Errorf("the mutation changes %d rows", changed)
		}
	})
}

// Mutations lead everywhere: in some thousand steps from any architecture every operation and
// every edge is met.
func TestMutationsReachEverything(t *testing.T) {
	s := mustGet(t, "darts8")
	r := random.New(1, "test")
	a := s.Sample(r)
	met := map[[2]int]bool{}
	for range 5000 {
		a = s.Mutate(a, r)
		for row, kept := range a.Kept {
			for _, k := range kept {
				met[[2]int{row, k}] = true
			}
		}
	}
	if want := 28 * 7; len(met) != want {
		t.Errorf("met %d operations on edges, want %d", len(met), want)
	}
}

// Random search draws the inputs of a node as pairs and the operations uniformly.
func TestSampleIsUniform(t *testing.T) {
	s := mustGet(t, "darts8")
	r := random.New(2, "test")
	const n = 40000
	count := map[[2]int]int{}
	for range n {
		for row, kept := range s.Sample(r).Kept {
			for _, k := range kept {
				count[[2]int{row, k}]++
			}
		}
	}
	for row := range 28 {
		inputs := EdgeAt(row % Edges).To
		expected := n * 2 / float64(inputs) / 7
		if count[[2]int{row, 0}] != 0 {
			t.Errorf("row %d draws none", row)
		}
		for k := 1; k < 8; k++ {
			// Five standard deviations.
			if d := float64(count[[2]int{row, k}]) - expected; d*d > 25*expected {
				t.Errorf("row %d draws operation %d %d times, want about %.0f", row, k, count[[2]int{row, k}], expected)
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	s := mustGet(t, "darts8")
	good := s.Sample(random.New(3, "test"))
	for _, tc := range []struct {
		change func(kept [][]int)
		want   string
	}{
		{func(k [][]int) { k[0] = []int{} }, "1 edges into node 0 are kept, want 2"},
		{func(k [][]int) { k[0] = []int{1, 2} }, "2 candidates are kept, want one at most"},
		{func(k [][]int) { k[15] = []int{0} }, `reduction cell, c_{k-1} to node 0: "none" is kept`},
		{func(k [][]int) { k[0] = []int{8} }, "want some of 0 to 7"},
		{func(k [][]int) { k[2], k[3], k[4] = []int{1}, []int{1}, []int{1} }, "normal cell: 3 edges into node 1"},
	} {
		a := spaces.Architecture{Space: good.Space, Kept: slices.Clone(good.Kept)}
		tc.change(a.Kept)
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

// The rows of the edges are one tensor for each type of cell, as long as the cell has edges.
func TestWithEdges(t *testing.T) {
	s := mustGet(t, "darts8").WithEdges()
	if d := cmp.Diff([]spaces.Tensor{
		{Name: "alphas_normal", Rows: 14, Cols: 8, Size: 112}, {Name: "alphas_reduce", Rows: 14, Cols: 8, Offset: 112, Size: 112},
		{Name: "betas_normal", Rows: 4, Offset: 224, Size: 14}, {Name: "betas_reduce", Rows: 4, Offset: 238, Size: 14},
	}, s.Tensors()); d != "" {
		t.Errorf("tensors (-want +got):\n%s", d)
	}
	flat := make([]float64, s.Dim())
	for i := range flat {
		flat[i] = float64(i)
	}
	if d := cmp.Diff([][]float64{{238, 239}, {240, 241, 242}, {243, 244, 245, 246}, {247, 248, 249, 250, 251}}, s.Split(s.Tensors()[3], flat)); d != "" {
		t.Errorf("betas_reduce (-want +got):\n%s", d)
	}
	flat[240] = -1 / zero
	if err := s.CheckAlpha(flat); err == nil || !strings.Contains(err.Error(), "betas_reduce[1,0]") {
		t.Errorf("error %v, want one about betas_reduce[1,0]", err)
	}
	if of, ok := Of(s.Space); !ok || of != s || s.Base() != mustGet(t, "darts8") || s.Name() != "darts8" {
		t.Error("it is not recognised, or not derived from darts8")
	}
}

var zero = 0.

// A weight on an edge decides where the operations tie.
func TestEdgesDecide(t *testing.T) {
	s := mustGet(t, "darts").WithEdges()
	alpha := make([]float64, s.Dim())
	betas := s.Split(s.Tensors()[2], alpha)
	betas[3][4], betas[3][2] = 2, 1
	g := s.Derive(alpha)
	if got := g.Short(Normal); got != "max:0 max:1 / max:0 max:1 / max:0 max:1 / max:4 max:2" {
		t.Errorf("normal cell %s", got)
	}
	if got := g.Short(Reduction); got != "max:0 max:1 / max:0 max:1 / max:0 max:1 / max:0 max:1" {
		t.Errorf("reduction cell %s", got)
	}
}

func TestRestrictRefuses(t *testing.T) {
	s := mustGet(t, "darts-s3")
	whole := make([][]int, 28)
	for i := range whole {
		whole[i] = []int{0, 2}
	}
	with := func(row int, kept ...int) [][]int {
		changed := slices.Clone(whole)
		changed[row] = kept
		return changed
	}
	for want, restrict := range map[string]func(){
		"27 rows restrict space darts-s3, want 28": func() { s.Restrict(whole[1:]) },
		"keeps the candidates [2 1]":               func() { s.Restrict(with(3, 2, 1)) },
		"keeps the candidates [3]":                 func() { s.Restrict(with(3, 3)) },
		"row 5 of space darts-s3 keeps no":         func() { s.Restrict(with(5)) },
		"row 6 of space darts-s3 keeps no":         func() { s.Restrict(with(6, 0)) },
		"cannot be derived from again":             func() { s.Restrict(whole).WithEdges() },
		"which the space was restricted not to":    func() { s.Restrict(whole).DiscreteWeights(keepSkips(s)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %s, want %q", got, want)
				}
			}()
			restrict()
		}()
	}
}

// keepSkips is an architecture of skip-connections alone.
func keepSkips(s *Space) spaces.Architecture {
	g, err := ParseGenotype("skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 | skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1")
	if err != nil {
		panic(err)
	}
	a, err := s.Architecture(g)
	if err != nil {
		panic(err)
	}
	return a
}

// P-DARTS' own tie rules: the higher state, and the last of equal operations; node 0 takes
// both of its edges whatever their order.
func TestStageTies(t *testing.T) {
	s := mustGet(t, "darts-s3")
	var kept [][]int
	for range 28 {
		kept = append(kept, []int{0, 1, 2})
	}
	stage := s.Restrict(kept)
	alpha := make([]float64, stage.Dim())
	if got := stage.Derive(alpha).Short(Normal); got != "sep3:0 sep3:1 / sep3:1 sep3:2 / sep3:2 sep3:3 / sep3:3 sep3:4" {
		t.Errorf("normal cell %s", got)
	}
	if got := s.Derive(alpha).Short(Normal); got != "skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1" {
		t.Errorf("normal cell by the rule of DARTS %s", got)
	}
}

// Cells without another operation keep their skip-connections, whatever the bound.
func TestSkipsThatCannotGo(t *testing.T) {
	s := mustGet(t, "darts-s2")
	var kept [][]int
	for range 28 {
		kept = append(kept, []int{0})
	}
	stage := s.Restrict(kept)
	g := stage.DeriveStage(make([]float64, stage.Dim()), 2)
	if g.ParameterFree() != 1 {
		t.Errorf("genotype %s, want skip-connections alone", g.Line())
	}
}

// With a bound no genotype has more skip-connections in its normal cell than it, if every
// edge has another operation.
func TestBoundOnSkips(t *testing.T) {
	s := mustGet(t, "darts8")
	rapid.Check(t, func(t *rapid.T) {
		var kept [][]int
		for range 28 {
			numbers := rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 2, 4, 5, 6, 7}), 2, 2, rapid.ID[int]).Draw(t, "others")
			numbers = append(numbers, 3)
			slices.Sort(numbers)
			kept = append(kept, numbers)
		}
		stage := s.Restrict(kept)
		alpha := rapid.SliceOfN(rapid.Float64Range(-2, 2), stage.Dim(), stage.Dim()).Draw(t, "alpha")
		free := stage.Derive(alpha)
		for bound := range Inputs*Nodes + 1 {
			g := stage.DeriveStage(alpha, bound)
			skips := 0
			for _, p := range g.Normal {
				if p.Operation == Skip {
					skips++
				}
			}
			if skips > bound {
				t.Errorf("%d skip-connections with a bound of %d: %s", skips, bound, g.Line())
			}
			if g.Short(Reduction) != free.Short(Reduction) {
				t.Errorf("the bound changed the reduction cell to %s", g.Short(Reduction))
			}
		}
	})
}

func TestArchitectureRefuses(t *testing.T) {
	const reduction = " | max:0 max:1 / max:0 max:1 / max:0 max:1 / max:0 max:1"
	s := mustGet(t, "darts")
	for text, want := range map[string]string{
		"max:0 max:1 / max:0 max:1 / max:0 max:1" + reduction:                       "6 pairs, states [2 3 4] concatenated: cells of space darts have 8 pairs",
		"max:0 max:1 / max:0 max:1 / max:0 max:1 / max:0 max:1 [3 4 5]" + reduction: "8 pairs, states [3 4 5] concatenated",
		"max:0 max:1 / max:0 max:1 / max:0 max:1 / max:0 sep7:1" + reduction:        `normal cell, c_{k-1} to node 3: no operation "sep_conv_7x7" in space darts`,
		"max:0 max:0 / max:0 max:1 / max:0 max:1 / max:0 max:1" + reduction:         "normal cell: node 0 has input 0 twice",
	} {
		g, err := ParseGenotype(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Architecture(g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	g := Genotype{Normal: []Pair{{Skip, 2}, {Skip, 0}, {Skip, 0}, {Skip, 1}, {Skip, 0}, {Skip, 1}, {Skip, 0}, {Skip, 1}}, NormalConcat: allNodes(4)}
	if _, err := s.Architecture(g); err == nil || !strings.Contains(err.Error(), "node 0 has input 2, want 0 to 1") {
		t.Errorf("error %v", err)
	}
}

func TestCostRefuses(t *testing.T) {
	p, _ := FindPublished("DARTS_V2")
	for want, n := range map[string]Network{
		"35 channels, want an even number": {Channels: 35, Cells: 20, Classes: 10},
		"2 cells, want at least 3":         {Channels: 36, Cells: 2, Classes: 10},
		"1 classes, want at least 2":       {Channels: 36, Cells: 20, Classes: 1},
	} {
		if _, err := n.Cost(p.Genotype); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := CIFARNetwork.Cost(Genotype{Normal: []Pair{{"conv_9x9", 0}}}); err == nil || !strings.Contains(err.Error(), "conv_9x9") {
		t.Errorf("error %v", err)
	}
}
