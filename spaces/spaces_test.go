package spaces

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestLayout(t *testing.T) {
	for i, want := range []struct {
		blocks, dim int
		inDegrees   []int
		tensors     []Tensor
	}{
		{4, 24, []int{0, 1, 2, 2, 2, 2}, []Tensor{
			{"mixed_op", 4, 3, 0}, {"output", 1, 5, 12}, {"input_node3", 1, 3, 17}, {"input_node4", 1, 4, 20},
		}},
		{4, 26, []int{0, 1, 1, 2, 2, 3}, []Tensor{
			{"mixed_op", 4, 3, 0}, {"output", 1, 5, 12}, {"input_node2", 1, 2, 17}, {"input_node3", 1, 3, 19}, {"input_node4", 1, 4, 22},
		}},
		{5, 35, []int{0, 1, 1, 1, 2, 2, 2}, []Tensor{
			{"mixed_op", 5, 3, 0}, {"output", 1, 6, 15}, {"input_node2", 1, 2, 21}, {"input_node3", 1, 3, 23},
			{"input_node4", 1, 4, 26}, {"input_node5", 1, 5, 30},
		}},
	} {
		t.Run(fmt.Sprintf("space %d", i+1), func(t *testing.T) {
			s, err := Get(i + 1)
			if err != nil {
				t.Fatal(err)
			}
			if s.ID() != i+1 || s.Blocks() != want.blocks || s.Dim() != want.dim {
				t.Errorf("space %d with %d blocks and %d parameters, want %d, %d, %d", s.ID(), s.Blocks(), s.Dim(), i+1, want.blocks, want.dim)
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
	for _, id := range []int{-1, 0, 4} {
		if s, err := Get(id); err == nil {
			t.Errorf("Get(%d) = space %d, want an error", id, s.ID())
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
func inSpace(t *rapid.T, s *Space, a Architecture) {
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if a.Space != s.ID() {
		t.Fatalf("architecture of space %d, want %d", a.Space, s.ID())
	}
	hash, err := a.Cell().Hash()
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
		for _, ties := range []Ties{TiesNumPy, TiesLowest} {
			a := s.Discretize(alpha, ties)
			inSpace(t, s, a)
			// The weights of what is left out are never larger.
			for node, parents := range a.Parents {
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
			a := s.Sample(r)
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
				t.Errorf("space %d: %s came up %v times, expected %.0f", s.ID(), key, got, expected)
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
			t.Errorf("space %d: %d different outcomes, want %d", s.ID(), len(seen), outcomes)
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
		for _, ties := range []Ties{TiesNumPy, TiesLowest} {
			if diff := cmp.Diff(want, s.Discretize(weights, ties)); diff != "" {
				t.Fatalf("%v (-want +got):\n%s", ties, diff)
			}
		}
	})
}

func TestDiscreteWeights(t *testing.T) {
	s := All()[0]
	got := s.DiscreteWeights(Architecture{
		Space:   1,
		Parents: [][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}},
		Ops:     []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3},
	})
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

func TestTies(t *testing.T) {
	for _, tc := range []struct {
		weights       []float32
		k             int
		numPy, lowest []int
	}{
		{[]float32{1, 1}, 1, []int{1}, []int{0}},
		{[]float32{1, 1, 1}, 1, []int{2}, []int{0}},
		{[]float32{1, 1, 1}, 2, []int{1, 2}, []int{0, 1}},
		{[]float32{1, 1, 1, 1}, 2, []int{2, 3}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1}, 2, []int{1, 4}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1, 1}, 2, []int{1, 5}, []int{0, 1}},
		{[]float32{1, 1, 1, 1, 1}, 3, []int{2, 3, 4}, []int{0, 1, 2}},
		{[]float32{0, 1, 0, 1, 1}, 2, []int{1, 4}, []int{1, 3}},
		{[]float32{0, 0, 2, 0, 1, 0}, 2, []int{2, 4}, []int{2, 4}},
	} {
		got := numPyTop(tc.weights, tc.k)
		slices.Sort(got)
		if diff := cmp.Diff(tc.numPy, got); diff != "" {
			t.Errorf("NumPy, %d of %v (-want +got):\n%s", tc.k, tc.weights, diff)
		}
		got = lowestTop(tc.weights, tc.k)
		slices.Sort(got)
		if diff := cmp.Diff(tc.lowest, got); diff != "" {
			t.Errorf("lowest, %d of %v (-want +got):\n%s", tc.k, tc.weights, diff)
		}
	}
}

func TestParseTies(t *testing.T) {
	for _, want := range []Ties{TiesNumPy, TiesLowest} {
		if got, err := ParseTies(want.String()); err != nil || got != want {
			t.Errorf("ParseTies(%q) = %v, %v", want, got, err)
		}
	}
	if got, err := ParseTies("highest"); err == nil {
		t.Errorf("ParseTies(highest) = %v, want an error", got)
	}
}

// Alphas that a diverged search leaves behind still name a cell.
func TestDiscretizeNotFinite(t *testing.T) {
	for _, s := range All() {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
			got := s.Discretize(slices.Repeat([]float64{v}, s.Dim()), TiesNumPy)
			want := s.Discretize(make([]float64, s.Dim()), TiesNumPy)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("space %d, all %v: (-all equal +got):\n%s", s.ID(), v, diff)
			}
		}
	}
}

// Weights that differ in double precision only are a tie.
func TestDiscretizeIsSinglePrecision(t *testing.T) {
	s := All()[0]
	alpha := make([]float64, s.Dim())
	alpha[1] = 1e-12
	if got := s.Discretize(alpha, TiesNumPy).Ops[0]; got != MaxPool3x3 {
		t.Errorf("operation %v, want the first", got)
	}
}

func TestArchitectureCheck(t *testing.T) {
	good := func() Architecture {
		return Architecture{
			Space:   1,
			Parents: [][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}},
			Ops:     []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3},
		}
	}
	for name, spoil := range map[string]func(*Architecture){
		"no such space":     func(a *Architecture) { a.Space = 4 },
		"another space":     func(a *Architecture) { a.Space = 2 },
		"missing node":      func(a *Architecture) { a.Parents = a.Parents[:5] },
		"missing parent":    func(a *Architecture) { a.Parents[4] = []int{1} },
		"too many parents":  func(a *Architecture) { a.Parents[4] = []int{0, 1, 2} },
		"later parent":      func(a *Architecture) { a.Parents[3] = []int{0, 3} },
		"negative parent":   func(a *Architecture) { a.Parents[3] = []int{-1, 0} },
		"descending":        func(a *Architecture) { a.Parents[3] = []int{2, 0} },
		"repeated":          func(a *Architecture) { a.Parents[3] = []int{1, 1} },
		"parent of input":   func(a *Architecture) { a.Parents[0] = []int{0} },
		"missing operation": func(a *Architecture) { a.Ops = a.Ops[:3] },
		"unknown operation": func(a *Architecture) { a.Ops[0] = 3 },
		"negative":          func(a *Architecture) { a.Ops[0] = -1 },
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

func TestCell(t *testing.T) {
	ops1 := []Operation{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3}
	ops3 := []Operation{Conv3x3, Conv3x3, Conv3x3, MaxPool3x3, Conv1x1}
	for _, tc := range []struct {
		name string
		arch Architecture
		rows []string
		hash string
	}{
		{
			"space 1", Architecture{1, [][]int{{}, {0}, {0, 1}, {0, 2}, {1, 3}, {0, 4}}, ops1},
			[]string{"0111001", "0010100", "0001000", "0000100", "0000001", "0000000", "0000000"},
			"4b36ea627d50212870654b497baf4ebc",
		},
		{
			"space 1 with loose ends", Architecture{1, [][]int{{}, {0}, {0, 1}, {0, 1}, {0, 1}, {0, 1}}, ops1},
			[]string{"0100001", "0000001", "0000000", "0000000", "0000000", "0000000", "0000000"},
			"d32d0b26d534203b48d866facd98cc3e",
		},
		{
			"space 2", Architecture{2, [][]int{{}, {0}, {1}, {0, 2}, {2, 3}, {1, 3, 4}}, []Operation{Conv3x3, MaxPool3x3, Conv3x3, Conv1x1}},
			[]string{"0101000", "0010001", "0001100", "0000101", "0000001", "0000000", "0000000"},
			"70eca48eb2992ef352948f755686074b",
		},
		{
			"space 3", Architecture{3, [][]int{{}, {0}, {1}, {2}, {0, 3}, {3, 4}, {0, 5}}, ops3},
			[]string{"0100101", "0010000", "0001000", "0000110", "0000010", "0000001", "0000000"},
			"163d485b60acba2b63ccb1a192da859f",
		},
		{
			"space 3 with loose ends", Architecture{3, [][]int{{}, {0}, {0}, {1}, {0, 2}, {1, 4}, {0, 3}}, ops3},
			[]string{"0100001", "0001000", "0000000", "0000001", "0000000", "0000000", "0000000"},
			"b5fb4f6193360330b6ff6a52cbf0cad7",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.arch.Check(); err != nil {
				t.Fatal(err)
			}
			spec := tc.arch.Cell()
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
		if s.ID() == 3 && testing.Short() {
			continue
		}
		seen := 0
		var previous Architecture
		for a := range s.Enumerate {
			if seen%97 == 0 { // every architecture would take too long in space 3
				if err := a.Check(); err != nil {
					t.Fatal(err)
				}
			}
			if seen > 0 && compareArchitectures(previous, a) >= 0 {
				t.Fatalf("space %d: %v after %v", s.ID(), a, previous)
			}
			previous = a
			seen++
		}
		if want := s.Count().Architectures; seen != want {
			t.Errorf("space %d: %d architectures, want %d", s.ID(), seen, want)
		}
		seen = 0
		for range s.Enumerate {
			if seen++; seen == 100 {
				break
			}
		}
		if seen != 100 {
			t.Errorf("space %d: stopped after %d", s.ID(), seen)
		}
	}
}

func compareArchitectures(a, b Architecture) int {
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
			t.Errorf("space %d: %d, %d, want %v", s.ID(), c.WithOutgoing, c.Surviving, want)
		}
		published := c.WithOutgoing
		if s.ID() == 2 {
			published = c.Architectures
		}
		if p.Architectures != published || p.LooseEndFree != c.LooseEndFree {
			t.Errorf("space %d: published %d and %d, counted %d and %d", s.ID(), p.Architectures, p.LooseEndFree, published, c.LooseEndFree)
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
			t.Errorf("space %d: hashes are not sorted", s.ID())
		}
		for _, hash := range hashes {
			union[hash] = append(union[hash], s.ID())
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

// The released generator, step by step, against the description by last parents.
// TestReachable: every architecture is one of the cells.
func TestReachable(t *testing.T) {
	for _, s := range All() {
		architectures, looseEndFree := 0, 0
		hashes := s.Hashes()
		for i, r := range s.Reachable() {
			if r.Hash != hashes[i] {
				t.Errorf("space %d: cell %d is %v, want %v", s.ID(), i, r.Hash, hashes[i])
			}
			architectures += r.Architectures
			if r.LooseEndFree {
				looseEndFree++
			}
		}
		if c := s.Count(); architectures != c.Architectures || looseEndFree != c.LooseEndFreeHashes {
			t.Errorf("space %d: %d architectures, %d loose-end-free cells, want %d and %d", s.ID(), architectures, looseEndFree, c.Architectures, c.LooseEndFreeHashes)
		}
	}
}

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
			t.Errorf("space %d (-generated +described):\n%s", s.ID(), diff)
		}
	}
}

func BenchmarkEnumerate(b *testing.B) {
	s := All()[2]
	for b.Loop() {
		s.enumerateCells()
	}
}
