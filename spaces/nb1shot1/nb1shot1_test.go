package nb1shot1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestLayout(t *testing.T) {
	for i, want := range []struct {
		blocks, dim int
		inDegrees   []int
		tensors     []spaces.Tensor
	}{
		{4, 24, []int{0, 1, 2, 2, 2, 2}, []spaces.Tensor{
			{Name: "mixed_op", Rows: 4, Cols: 3, Offset: 0, Size: 12}, {Name: "output", Rows: 1, Cols: 5, Offset: 12, Size: 5}, {Name: "input_node3", Rows: 1, Cols: 3, Offset: 17, Size: 3}, {Name: "input_node4", Rows: 1, Cols: 4, Offset: 20, Size: 4},
		}},
		{4, 26, []int{0, 1, 1, 2, 2, 3}, []spaces.Tensor{
			{Name: "mixed_op", Rows: 4, Cols: 3, Offset: 0, Size: 12}, {Name: "output", Rows: 1, Cols: 5, Offset: 12, Size: 5}, {Name: "input_node2", Rows: 1, Cols: 2, Offset: 17, Size: 2}, {Name: "input_node3", Rows: 1, Cols: 3, Offset: 19, Size: 3}, {Name: "input_node4", Rows: 1, Cols: 4, Offset: 22, Size: 4},
		}},
		{5, 35, []int{0, 1, 1, 1, 2, 2, 2}, []spaces.Tensor{
			{Name: "mixed_op", Rows: 5, Cols: 3, Offset: 0, Size: 15}, {Name: "output", Rows: 1, Cols: 6, Offset: 15, Size: 6}, {Name: "input_node2", Rows: 1, Cols: 2, Offset: 21, Size: 2}, {Name: "input_node3", Rows: 1, Cols: 3, Offset: 23, Size: 3},
			{Name: "input_node4", Rows: 1, Cols: 4, Offset: 26, Size: 4}, {Name: "input_node5", Rows: 1, Cols: 5, Offset: 30, Size: 5},
		}},
	} {
		name := spaces.Name(fmt.Sprint(i + 1))
		t.Run("space "+string(name), func(t *testing.T) {
			s, err := Get(name)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name() != name || s.Number() != i+1 || s.Blocks() != want.blocks || s.Dim() != want.dim {
				t.Errorf("space %s with %d blocks and %d parameters, want %d, %d, %d", s.Name(), s.Blocks(), s.Dim(), i+1, want.blocks, want.dim)
			}
			if diff := cmp.Diff(want.tensors, s.Tensors()); diff != "" {
				t.Errorf("tensors (-want +got):\n%s", diff)
			}
			for node, inDegree := range want.inDegrees {
				if got := s.InDegree(node); got != inDegree {
					t.Errorf("in-degree of node %d is %d, want %d", node, got, inDegree)
				}
			}
			offsets := map[string]int{"output": s.OutputOffset()}
			for block := 1; block <= s.Blocks(); block++ {
				if got := s.MixedOp(block); got != 3*(block-1) {
					t.Errorf("mixed operation of block %d starts at %d, want %d", block, got, 3*(block-1))
				}
				if offset, learnable := s.InputOffset(block); learnable {
					offsets[fmt.Sprintf("input_node%d", block)] = offset
				}
			}
			wantOffsets := map[string]int{}
			for _, tensor := range want.tensors[1:] {
				wantOffsets[tensor.Name] = tensor.Offset
			}
			if diff := cmp.Diff(wantOffsets, offsets); diff != "" {
				t.Errorf("offsets (-want +got):\n%s", diff)
			}
		})
	}
	for _, id := range []spaces.Name{"", "0", "4", "darts"} {
		if s, err := Get(id); err == nil {
			t.Errorf("Get(%q) = space %s, want an error", id, s.Name())
		}
	}
}

func TestOperations(t *testing.T) {
	for op, want := range map[Operation]string{MaxPool3x3: "maxpool3x3", Conv3x3: "conv3x3-bn-relu", Conv1x1: "conv1x1-bn-relu"} {
		if got := op.String(); got != want {
			t.Errorf("operation %d is %q, want %q", int(op), got, want)
		}
	}
}

func TestCheckAlpha(t *testing.T) {
	s := All()[0]
	good := make([]float64, s.Dim())
	if err := s.CheckAlpha(good); err != nil {
		t.Error(err)
	}
	at := func(i int, v float64) []float64 {
		alpha := slices.Clone(good)
		alpha[i] = v
		return alpha
	}
	for name, tc := range map[string]struct {
		alpha []float64
		want  string
	}{
		"empty":    {nil, "0 architecture parameters: space 1 has 24"},
		"too long": {make([]float64, 26), "26 architecture parameters: space 1 has 24"},
		"NaN":      {at(5, math.NaN()), "architecture parameter mixed_op[1,2] is NaN: want a finite number"},
		"infinite": {at(23, math.Inf(1)), "architecture parameter input_node4[0,3] is +Inf: want a finite number"},
	} {
		if err := s.CheckAlpha(tc.alpha); err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

func TestSoftmax(t *testing.T) {
	s := All()[1]
	alpha := make([]float64, s.Dim())
	copy(alpha, []float64{0, math.Log(2), math.Log(5)})
	alpha[s.OutputOffset()] = 1000 // must not overflow
	s.Softmax(alpha, alpha)
	want := slices.Concat([]float64{1. / 8, 2. / 8, 5. / 8}, slices.Repeat([]float64{1. / 3}, 9), []float64{1, 0, 0, 0, 0},
		[]float64{.5, .5}, slices.Repeat([]float64{1. / 3}, 3), slices.Repeat([]float64{.25}, 4))
	for i := range want {
		if math.Abs(alpha[i]-want[i]) > 1e-15 {
			t.Errorf("entry %d is %v, want %v", i, alpha[i], want[i])
		}
	}
}

func drawSpace(t *rapid.T) *Space { return rapid.SampledFrom(All()).Draw(t, "space") }

func drawAlpha(t *rapid.T, s *Space) []float64 {
	entry := rapid.OneOf(
		rapid.Float64Range(-50, 50),
		rapid.SampledFrom([]float64{0, 1}), // NASP ties there
		rapid.Float64Range(-1e-6, 1e-6),    // ties in single precision
		rapid.Float64(),
	)
	return rapid.SliceOfN(entry, s.Dim(), s.Dim()).Draw(t, "alpha")
}

func TestSoftmaxRowsAreDistributions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace(t)
		alpha := drawAlpha(t, s)
		weights := make([]float64, len(alpha))
		s.Softmax(weights, alpha)
		for _, tensor := range s.Tensors() {
			for row := range tensor.Rows {
				from := tensor.Offset + row*tensor.Cols
				sum := 0.0
				for i := from; i < from+tensor.Cols; i++ {
					if weights[i] < 0 {
						t.Fatalf("%s: negative weight %v", tensor.Name, weights[i])
					}
					sum += weights[i]
				}
				if !(math.Abs(sum-1) < 1e-14) { // a NaN fails, too
					t.Fatalf("%s row %d sums to %v", tensor.Name, row, sum)
				}
			}
		}
	})
}

// inSpace fails unless the architecture is one of its space and its hash one of
// those enumerated.
func inSpace(t *rapid.T, s *Space, a spaces.Architecture) {
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if a.Space != s.Name() {
		t.Fatalf("architecture of space %s, want %s", a.Space, s.Name())
	}
	hash, err := s.Genotype(a).Cell().Hash()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Hashes(), hash) {
		t.Fatalf("hash %v of %v is not in the space", hash, a)
	}
}

func TestDiscretizeStaysInSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace(t)
		alpha := drawAlpha(t, s)
		for _, ties := range []spaces.Ties{spaces.TiesNumPy, spaces.TiesLowest} {
			a := s.Discretize(alpha, ties)
			inSpace(t, s, a)
			// The weights of what is left out are never larger.
			for node, parents := range s.Genotype(a).Parents {
				offset, learnable := s.InputOffset(node)
				if !learnable {
					continue
				}
				weights := softmax32(alpha[offset : offset+node])
				smallest := float32(1)
				for _, parent := range parents {
					smallest = min(smallest, weights[parent])
				}
				for i, weight := range weights {
					if weight > smallest && !slices.Contains(parents, i) {
						t.Fatalf("%v: node %d with weights %v has parents %v", ties, node, weights, parents)
					}
				}
			}
		}
	})
}

func TestSampleStaysInSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace(t)
		inSpace(t, s, s.Sample(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))))
	})
}

// Every set of parents and every operation of every node comes up as often.
func TestSampleIsUniform(t *testing.T) {
	const draws = 10_000
	for _, s := range All() {
		r := rand.New(rand.NewPCG(1, 2))
		seen := map[string]int{}
		for range draws {
			a := s.Genotype(s.Sample(r))
			for node, parents := range a.Parents {
				seen[fmt.Sprint("node ", node, parents)]++
			}
			for i, op := range a.Ops {
				seen[fmt.Sprint("block ", i+1, op)]++
			}
		}
		outcomes := 0
		check := func(key string, of int) {
			outcomes++
			expected := draws / float64(of)
			if got := float64(seen[key]); math.Abs(got-expected) > 5*math.Sqrt(expected) {
				t.Errorf("space %s: %s came up %v times, expected %.0f", s.Name(), key, got, expected)
			}
		}
		for node, choices := range s.choices {
			for _, parents := range choices {
				check(fmt.Sprint("node ", node, parents), len(choices))
			}
		}
		for block := range s.Blocks() {
			for op := range Operation(operations) {
				check(fmt.Sprint("block ", block+1, op), operations)
			}
		}
		if len(seen) != outcomes {
			t.Errorf("space %s: %d different outcomes, want %d", s.Name(), len(seen), outcomes)
		}
	}
}

func TestDiscreteWeightsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace(t)
		want := s.Sample(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		weights := s.DiscreteWeights(want)
		if err := s.CheckAlpha(weights); err != nil {
			t.Fatal(err)
		}
		for _, ties := range []spaces.Ties{spaces.TiesNumPy, spaces.TiesLowest} {
			if diff := cmp.Diff(want, s.Discretize(weights, ties)); diff != "" {
				t.Fatalf("%v (-want +got):\n%s", ties, diff)
			}
		}
	})
}

func TestDiscreteWeights(t *testing.T) {
	s := All()[0]
	got := s.DiscreteWeights(s.Architecture(Genotype{
		Parents: [][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}},
		Ops:     []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3},
	}))
	want := []float64{
		0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0,
		1, 0, 0, 0, 1,
		1, 0, 1,
		0, 1, 0, 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

// Alphas that a diverged search leaves behind still name a cell.
func TestDiscretizeNotFinite(t *testing.T) {
	for _, s := range All() {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
			got := s.Discretize(slices.Repeat([]float64{v}, s.Dim()), spaces.TiesNumPy)
			want := s.Discretize(make([]float64, s.Dim()), spaces.TiesNumPy)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("space %s, all %v: (-all equal +got):\n%s", s.Name(), v, diff)
			}
		}
	}
}

// Weights that differ in double precision only are a tie.
func TestDiscretizeIsSinglePrecision(t *testing.T) {
	s := All()[0]
	alpha := make([]float64, s.Dim())
	alpha[1] = 1e-12
	if got := s.Genotype(s.Discretize(alpha, spaces.TiesNumPy)).Ops[0]; got != MaxPool3x3 {
		t.Errorf("operation %v, want the first", got)
	}
}

func TestArchitectureCheck(t *testing.T) {
	good := func() spaces.Architecture {
		return All()[0].Architecture(Genotype{
			Parents: [][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}},
			Ops:     []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3},
		})
	}
	const inputs4 = 6 // the row of block 4's parents
	for name, spoil := range map[string]func(*spaces.Architecture){
		"no such space":     func(a *spaces.Architecture) { a.Space = "4" },
		"another space":     func(a *spaces.Architecture) { a.Space = "2" },
		"missing row":       func(a *spaces.Architecture) { a.Kept = a.Kept[:6] },
		"missing parent":    func(a *spaces.Architecture) { a.Kept[inputs4] = []int{1} },
		"too many parents":  func(a *spaces.Architecture) { a.Kept[inputs4] = []int{0, 1, 2} },
		"later parent":      func(a *spaces.Architecture) { a.Kept[inputs4] = []int{0, 4} },
		"negative parent":   func(a *spaces.Architecture) { a.Kept[inputs4] = []int{-1, 0} },
		"descending":        func(a *spaces.Architecture) { a.Kept[inputs4] = []int{2, 0} },
		"repeated":          func(a *spaces.Architecture) { a.Kept[inputs4] = []int{1, 1} },
		"missing operation": func(a *spaces.Architecture) { a.Kept[0] = nil },
		"two operations":    func(a *spaces.Architecture) { a.Kept[0] = []int{0, 1} },
		"unknown operation": func(a *spaces.Architecture) { a.Kept[0] = []int{3} },
		"negative":          func(a *spaces.Architecture) { a.Kept[0] = []int{-1} },
	} {
		a := good()
		spoil(&a)
		if err := a.Check(); err == nil {
			t.Errorf("%s: %v passes", name, a)
		}
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
}

// Checkpoints of earlier versions have architectures as genotypes.
func TestFormerArchitectures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace(t)
		want := s.Sample(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		g := s.Genotype(want)
		former, err := json.Marshal(struct {
			Space   int
			Parents [][]int
			Ops     []Operation
		}{s.Number(), g.Parents, g.Ops})
		if err != nil {
			t.Fatal(err)
		}
		now, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{former, now} {
			var got spaces.Architecture
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", text, diff)
			}
		}
	})
	for _, text := range []string{
		`{"Space":1,"Parents":[[],[0]],"Ops":[0]}`, `{"Space":7,"Parents":[],"Ops":[]}`, `{"Space":1}`, `{"Space":1,"Parents":3}`,
	} {
		var a spaces.Architecture
		if err := json.Unmarshal([]byte(text), &a); err == nil {
			t.Errorf("%s is read as %v", text, a)
		}
	}
}

func TestCell(t *testing.T) {
	ops1 := []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3}
	ops3 := []Operation{Conv3x3, Conv3x3, Conv3x3, MaxPool3x3, Conv1x1}
	for _, tc := range []struct {
		name     string
		space    spaces.Name
		genotype Genotype
		rows     []string
		hash     string
	}{
		{
			"space 1", "1", Genotype{[][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}}, ops1},
			[]string{"0111001", "0010100", "0001000", "0000100", "0000001", "0000000", "0000000"},
			"4b36ea627d50212870654b497baf4ebc",
		},
		{
			"space 1 with loose ends", "1", Genotype{[][]int{{}, {0}, {0, 1}, {0, 1}, {0, 1}, {0, 1}}, ops1},
			[]string{"0100001", "0000001", "0000000", "0000000", "0000000", "0000000", "0000000"},
			"d32d0b26d534203b48d866facd98cc3e",
		},
		{
			"space 2", "2", Genotype{[][]int{{}, {0}, {1}, {0, 2}, {2, 3}, {1, 3, 4}}, []Operation{Conv3x3, MaxPool3x3, Conv3x3, Conv1x1}},
			[]string{"0101000", "0010001", "0001100", "0000101", "0000001", "0000000", "0000000"},
			"70eca48eb2992ef352948f755686074b",
		},
		{
			"space 3", "3", Genotype{[][]int{{}, {0}, {1}, {2}, {0, 3}, {3, 4}, {0, 5}}, ops3},
			[]string{"0100101", "0010000", "0001000", "0000110", "0000010", "0000001", "0000000"},
			"163d485b60acba2b63ccb1a192da859f",
		},
		{
			"space 3 with loose ends", "3", Genotype{[][]int{{}, {0}, {0}, {1}, {0, 2}, {1, 4}, {0, 3}}, ops3},
			[]string{"0100001", "0001000", "0000000", "0000001", "0000000", "0000000", "0000000"},
			"b5fb4f6193360330b6ff6a52cbf0cad7",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Get(tc.space)
			if err != nil {
				t.Fatal(err)
			}
			a := s.Architecture(tc.genotype)
			if err := a.Check(); err != nil {
				t.Fatal(err)
			}
			spec, ok := CellOf(a)
			if !ok {
				t.Fatal("no cell")
			}
			var rows []string
			for _, row := range spec.Matrix {
				text := ""
				for _, entry := range row {
					text += string('0' + rune(entry))
				}
				rows = append(rows, text)
			}
			if diff := cmp.Diff(tc.rows, rows); diff != "" {
				t.Errorf("matrix (-want +got):\n%s", diff)
			}
			if got, err := spec.Hash(); err != nil || got.String() != tc.hash {
				t.Errorf("hash %v, %v, want %s", got, err, tc.hash)
			}
		})
	}
}

func TestEnumerate(t *testing.T) {
	for _, s := range All() {
		if s.Number() == 3 && testing.Short() {
			continue
		}
		seen := 0
		var previous Genotype
		for a := range s.Enumerate {
			if seen%97 == 0 { // every architecture would take too long in space 3
				if err := s.Architecture(a).Check(); err != nil {
					t.Fatal(err)
				}
			}
			if seen > 0 && compareGenotypes(previous, a) >= 0 {
				t.Fatalf("space %s: %v after %v", s.Name(), a, previous)
			}
			previous = a
			seen++
		}
		if want := s.Count().Architectures; seen != want {
			t.Errorf("space %s: %d architectures, want %d", s.Name(), seen, want)
		}
		seen = 0
		for range s.Enumerate {
			if seen++; seen == 100 {
				break
			}
		}
		if seen != 100 {
			t.Errorf("space %s: stopped after %d", s.Name(), seen)
		}
	}
}

func compareGenotypes(a, b Genotype) int {
	if c := slices.CompareFunc(a.Parents, b.Parents, slices.Compare); c != 0 {
		return c
	}
	return slices.Compare(a.Ops, b.Ops)
}

// The counts that the golden file leaves out, and the published ones.
func TestCounts(t *testing.T) {
	for i, want := range []struct{ withOutgoing, surviving int }{{6240, 5508}, {16632, 16038}, {363648, 265860}} {
		s := All()[i]
		c, p := s.Count(), s.Published()
		if c.WithOutgoing != want.withOutgoing || c.Surviving != want.surviving {
			t.Errorf("space %s: %d, %d, want %v", s.Name(), c.WithOutgoing, c.Surviving, want)
		}
		published := c.WithOutgoing
		if s.Number() == 2 {
			published = c.Architectures
		}
		if p.Architectures != published || p.LooseEndFree != c.LooseEndFree {
			t.Errorf("space %s: published %d and %d, counted %d and %d", s.Name(), p.Architectures, p.LooseEndFree, published, c.LooseEndFree)
		}
	}
}

// The minima are errors of single evaluations on 39 batches of 256 images.
func TestPublishedMinima(t *testing.T) {
	for i, correct := range []struct{ test, validation float32 }{{9440, 9492}, {9409, 9469}, {9451, 9500}} {
		p := All()[i].Published()
		if want := 1 - float64(correct.test/9984); p.MinTestError != want {
			t.Errorf("space %d: test error %v, want %v", i+1, p.MinTestError, want)
		}
		if want := 1 - float64(correct.validation/9984); p.MinValidationError != want {
			t.Errorf("space %d: validation error %v, want %v", i+1, p.MinValidationError, want)
		}
	}
}

func TestHashes(t *testing.T) {
	union := map[cell.Hash][]int{}
	for _, s := range All() {
		hashes := s.Hashes()
		if !slices.IsSortedFunc(hashes, func(a, b cell.Hash) int { return bytes.Compare(a[:], b[:]) }) {
			t.Errorf("space %s: hashes are not sorted", s.Name())
		}
		for _, hash := range hashes {
			union[hash] = append(union[hash], s.Number())
		}
	}
	shared := map[string]int{}
	for _, ids := range union {
		shared[fmt.Sprint(ids)]++
	}
	want := map[string]int{"[1]": 2685 - 201, "[2]": 7773, "[3]": 55854 - 201, "[1 3]": 201}
	if diff := cmp.Diff(want, shared); diff != "" {
		t.Errorf("hashes by the spaces they belong to (-want +got):\n%s", diff)
	}
	if len(union) != 66111 {
		t.Errorf("%d hashes in all, want 66111", len(union))
	}
}

// TestReachable: every architecture is one of the cells.
func TestReachable(t *testing.T) {
	for _, s := range All() {
		architectures, looseEndFree := 0, 0
		hashes := s.Hashes()
		for i, r := range s.Reachable() {
			if r.Hash != hashes[i] {
				t.Errorf("space %s: cell %d is %v, want %v", s.Name(), i, r.Hash, hashes[i])
			}
			architectures += r.Architectures
			if r.LooseEndFree {
				looseEndFree++
			}
		}
		if c := s.Count(); architectures != c.Architectures || looseEndFree != c.LooseEndFreeHashes {
			t.Errorf("space %s: %d architectures, %d loose-end-free cells, want %d and %d", s.Name(), architectures, looseEndFree, c.Architectures, c.LooseEndFreeHashes)
		}
	}
}

// The released generator, step by step, against the description by last parents.
func TestLooseEndFreeGenerator(t *testing.T) {
	for _, s := range All() {
		output := s.output()
		complete := func(parents [][]int) bool {
			used := make([]bool, output+1)
			used[output] = true
			for _, set := range parents {
				for _, parent := range set {
					used[parent] = true
				}
			}
			for node := range parents {
				if used[node] && len(parents[node]) != s.InDegree(node) {
					return false
				}
			}
			return true
		}
		generated := map[string]int{}
		var generate func(parents [][]int, node int)
		generate = func(parents [][]int, node int) {
			if complete(parents) {
				generated[fmt.Sprint(parents)]++
				return
			}
			for _, choice := range combinations(node, s.InDegree(node)-len(parents[node])) {
				dropped := slices.Clone(parents)
				for _, parent := range choice {
					dropped[node] = append(slices.Clone(dropped[node]), parent)
					generate(dropped, parent)
				}
			}
		}
		generate(make([][]int, output+1), output)

		described := map[string]int{}
		for parents := range s.topologies {
			used := usedNodes(parents)
			if blocksByLastParent(parents) != count(used[1:output]) {
				continue
			}
			walked := slices.Clone(parents)
			for node := range walked {
				if !used[node] {
					walked[node] = nil
				}
			}
			described[fmt.Sprint(walked)] = 1 // the generator never repeats itself
		}
		if diff := cmp.Diff(generated, described); diff != "" {
			t.Errorf("space %s (-generated +described):\n%s", s.Name(), diff)
		}
	}
}

func BenchmarkEnumerate(b *testing.B) {
	s := All()[2]
	for b.Loop() {
		s.enumerateCells()
	}
}

// softmax32 is the softmax in single precision, where ties are decided.
func softmax32(row []float64) []float32 {
	largest, sum := float32(slices.Max(row)), float32(0)
	weights := make([]float32, len(row))
	for i, v := range row {
		weights[i] = float32(math.Exp(float64(float32(v) - largest)))
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}
