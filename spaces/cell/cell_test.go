package cell

import (
	"encoding/json"
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/golden"
)

// fromRows builds a cell from the rows of its matrix, written in digits.
func fromRows(t *testing.T, rows []string, ops ...Op) Spec {
	t.Helper()
	matrix := make([][]int, len(rows))
	for x, row := range rows {
		for _, digit := range row {
			matrix[x] = append(matrix[x], int(digit-'0'))
		}
	}
	s, err := Parse(matrix, Spec{Ops: ops}.OpNames())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseRejects(t *testing.T) {
	chain := [][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}
	chainOps := []string{"input", "conv3x3-bn-relu", "output"}
	type position struct{ row, column int }
	for _, tc := range []struct {
		name   string
		matrix [][]int
		ops    []string
		at     position // of the *MatrixError
		vertex int      // of the *OpError, if the matrix is good
	}{
		{name: "empty", matrix: nil, ops: nil, at: position{-1, -1}},
		{name: "one vertex", matrix: [][]int{{0}}, ops: []string{"input"}, at: position{-1, -1}},
		{name: "short row", matrix: [][]int{{0, 1, 0}, {0, 0}, {0, 0, 0}}, ops: chainOps, at: position{1, -1}},
		{name: "missing row", matrix: chain[:2], ops: chainOps, at: position{0, -1}},
		{name: "entry 2", matrix: [][]int{{0, 1, 2}, {0, 0, 1}, {0, 0, 0}}, ops: chainOps, at: position{0, 2}},
		{name: "entry 257", matrix: [][]int{{0, 1, 0}, {0, 0, 257}, {0, 0, 0}}, ops: chainOps, at: position{1, 2}},
		{name: "negative entry", matrix: [][]int{{0, -1, 0}, {0, 0, 1}, {0, 0, 0}}, ops: chainOps, at: position{0, 1}},
		{name: "self loop", matrix: [][]int{{0, 1, 0}, {0, 1, 1}, {0, 0, 0}}, ops: chainOps, at: position{1, 1}},
		{name: "backward edge", matrix: [][]int{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}, ops: chainOps, at: position{2, 0}},
		{name: "too few names", matrix: chain, ops: chainOps[:2], vertex: -1},
		{name: "too many names", matrix: chain, ops: append(chainOps, "output"), vertex: -1},
		{name: "first not input", matrix: chain, ops: []string{"in", "maxpool3x3", "output"}, vertex: 0},
		{name: "last not output", matrix: chain, ops: []string{"input", "maxpool3x3", "input"}, vertex: 2},
		{name: "unknown operation", matrix: chain, ops: []string{"input", "conv5x5", "output"}, vertex: 1},
		{name: "output inside", matrix: chain, ops: []string{"input", "output", "output"}, vertex: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.matrix, tc.ops)
			var matrixError *MatrixError
			var opError *OpError
			switch {
			case errors.As(err, &matrixError):
				if got := (position{matrixError.Row, matrixError.Column}); got != tc.at {
					t.Errorf("error at %v, want %v: %v", got, tc.at, err)
				}
			case errors.As(err, &opError):
				if tc.at != (position{}) || opError.Vertex != tc.vertex {
					t.Errorf("operation error at vertex %d, want position %v, vertex %d: %v", opError.Vertex, tc.at, tc.vertex, err)
				}
			default:
				t.Errorf("got error %v, want a *MatrixError or *OpError", err)
			}
		})
	}
}

// A cell may also be built by hand, past Parse.
func TestCheckRejects(t *testing.T) {
	complete := func(vertices int) Spec {
		s := Spec{Matrix: newMatrix(vertices), Ops: make([]Op, vertices-2)}
		for y := range vertices {
			for x := range y {
				s.Matrix[x][y] = 1
			}
		}
		return s
	}
	chain := func(vertices int) Spec {
		s := Spec{Matrix: newMatrix(vertices), Ops: make([]Op, vertices-2)}
		for y := 1; y < vertices; y++ {
			s.Matrix[y-1][y] = 1
		}
		return s
	}
	is := func(target error) func(error) bool {
		return func(err error) bool { return errors.Is(err, target) }
	}
	matrixError := func(err error) bool { var e *MatrixError; return errors.As(err, &e) }
	opError := func(err error) bool { var e *OpError; return errors.As(err, &e) }
	domain := func(want DomainError) func(error) bool {
		return func(err error) bool { var e *DomainError; return errors.As(err, &e) && *e == want }
	}
	for _, tc := range []struct {
		name string
		spec Spec
		want func(error) bool
	}{
		{"zero", Spec{}, matrixError},
		{"ragged", Spec{Matrix: [][]uint8{{0, 1}, {0}}}, matrixError},
		{"entry 2", Spec{Matrix: [][]uint8{{0, 2}, {0, 0}}}, matrixError},
		{"cycle", Spec{Matrix: [][]uint8{{0, 1}, {1, 0}}}, matrixError},
		{"missing operation", Spec{Matrix: newMatrix(3)}, opError},
		{"unknown operation", Spec{Matrix: newMatrix(3), Ops: []Op{3}}, opError},
		{"no path", Spec{Matrix: newMatrix(3), Ops: []Op{Conv3x3}}, is(ErrDisconnected)},
		{"ten edges", complete(5), domain(DomainError{"edges", 10, MaxEdges})},
		{"eight vertices", chain(8), domain(DomainError{"vertices", 8, MaxVertices})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.spec.Check(); !tc.want(err) {
				t.Errorf("Check: %v", err)
			}
			if _, err := tc.spec.Hash(); !tc.want(err) {
				t.Errorf("Hash: %v", err)
			}
		})
	}
	if err := chain(7).Check(); err != nil {
		t.Errorf("a chain of seven vertices: %v", err)
	}
	// Size counts after pruning only.
	large := chain(9)
	large.Matrix[0][8], large.Matrix[0][1] = 1, 0
	if err := large.Check(); err != nil {
		t.Errorf("nine vertices of which two survive: %v", err)
	}
}

type goldenCell struct {
	Matrix       [][]int
	Ops          []string
	Valid        bool
	PrunedMatrix [][]int  `json:"pruned_matrix"`
	PrunedOps    []string `json:"pruned_ops"`
	Hash         Hash
	Edges        int
}

func TestGolden(t *testing.T) {
	text, err := fs.ReadFile(golden.FS(), "nb101_hash/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Cases []goldenCell }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for i, tc := range want.Cases {
		s, err := Parse(tc.Matrix, tc.Ops)
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		pruned, err := s.Prune()
		if !tc.Valid {
			counts["invalid"]++
			if !errors.Is(err, ErrDisconnected) {
				t.Errorf("case %d: got error %v, want ErrDisconnected", i, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		want, err := Parse(tc.PrunedMatrix, tc.PrunedOps)
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		if diff := cmp.Diff(want, pruned, cmpEmptyOps); diff != "" {
			t.Errorf("case %d: pruned (-want +got):\n%s", i, diff)
		}
		if got := pruned.Edges(); got != tc.Edges {
			t.Errorf("case %d: %d edges, want %d", i, got, tc.Edges)
		}
		if got := pruned.digest(); got != tc.Hash {
			t.Errorf("case %d: hash %v, want %v", i, got, tc.Hash)
		}
		// The golden hashes include graphs outside the domain of the benchmark.
		got, err := s.Hash()
		var tooLarge *DomainError
		switch {
		case tc.Edges > MaxEdges:
			counts["outside"]++
			if !errors.As(err, &tooLarge) {
				t.Errorf("case %d: Hash of %d edges: got error %v, want a *DomainError", i, tc.Edges, err)
			}
		case err != nil || got != tc.Hash:
			t.Errorf("case %d: Hash: %v, %v, want %v", i, got, err, tc.Hash)
		default:
			counts["inside"]++
		}
	}
	if diff := cmp.Diff(map[string]int{"invalid": 41, "outside": 13, "inside": 99}, counts); diff != "" {
		t.Errorf("cases seen (-want +got):\n%s", diff)
	}
}

// cmpEmptyOps makes no difference between no operations and an empty list.
var cmpEmptyOps = cmp.Transformer("ops", func(ops []Op) string { return string(opBytes(ops)) })

func opBytes(ops []Op) []byte {
	b := make([]byte, len(ops))
	for i, op := range ops {
		b[i] = byte(op)
	}
	return b
}

// drawCell draws a connected cell of at most MaxVertices vertices.
func drawCell(t *rapid.T) Spec {
	n := rapid.IntRange(2, MaxVertices).Draw(t, "vertices")
	s := Spec{Matrix: newMatrix(n), Ops: make([]Op, n-2)}
	for y := range n {
		for x := range y {
			s.Matrix[x][y] = rapid.Uint8Range(0, 1).Draw(t, "edge")
		}
	}
	for i := range s.Ops {
		s.Ops[i] = Op(rapid.IntRange(0, 2).Draw(t, "op"))
	}
	if _, err := s.Prune(); err != nil {
		s.Matrix[0][n-1] = 1
	}
	return s
}

// permute renumbers the vertices: vertex v becomes position[v].
func permute(s Spec, position []int) Spec {
	p := Spec{Matrix: newMatrix(s.Vertices()), Ops: make([]Op, len(s.Ops))}
	for x, row := range s.Matrix {
		for y, entry := range row {
			p.Matrix[position[x]][position[y]] = entry
		}
	}
	for i, op := range s.Ops {
		p.Ops[position[i+1]-1] = op
	}
	return p
}

func TestHashIgnoresNumbering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCell(t)
		pruned, err := s.Prune()
		if err != nil {
			t.Fatal(err)
		}
		// Place the vertices one by one, each after all its predecessors.
		n := s.Vertices()
		position := make([]int, n)
		placed := make([]bool, n)
		placed[0], position[n-1] = true, n-1
		for next := 1; next < n-1; next++ {
			var ready []int
			for v := 1; v < n-1; v++ {
				free := !placed[v]
				for u := range v {
					free = free && (s.Matrix[u][v] == 0 || placed[u])
				}
				if free {
					ready = append(ready, v)
				}
			}
			v := rapid.SampledFrom(ready).Draw(t, "next")
			position[v], placed[v] = next, true
		}
		moved := permute(s, position)
		movedPruned, err := moved.Prune()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := movedPruned.digest(), pruned.digest(); got != want {
			t.Fatalf("%v renumbered to %v: hash %v became %v", s, moved, want, got)
		}
	})
}

func TestHashIgnoresPrunedVertices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCell(t)
		want, err := s.Prune()
		if err != nil {
			t.Fatal(err)
		}
		// Insert a vertex with edges in or edges out, but not both.
		n := s.Vertices()
		at := rapid.IntRange(1, n-1).Draw(t, "at")
		leaves := rapid.Bool().Draw(t, "leaves")
		grown := Spec{Matrix: newMatrix(n + 1)}
		shift := func(v int) int {
			if v >= at {
				return v + 1
			}
			return v
		}
		for x, row := range s.Matrix {
			for y, entry := range row {
				grown.Matrix[shift(x)][shift(y)] = entry
			}
		}
		for v := range n + 1 {
			edge := rapid.Uint8Range(0, 1).Draw(t, "loose edge")
			if v < at && leaves {
				grown.Matrix[v][at] = edge
			} else if v > at && !leaves {
				grown.Matrix[at][v] = edge
			}
		}
		grown.Ops = append(grown.Ops, s.Ops[:at-1]...)
		grown.Ops = append(grown.Ops, Op(rapid.IntRange(0, 2).Draw(t, "op")))
		grown.Ops = append(grown.Ops, s.Ops[at-1:]...)
		got, err := grown.Prune()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("pruned (-want +got):\n%s", diff)
		}
	})
}

func TestBitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawCell(t)
		got, err := FromBits(want.Vertices(), want.AdjacencyBits(), want.Ops)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpEmptyOps); diff != "" {
			t.Fatalf("cell (-want +got):\n%s", diff)
		}
	})
	// Edges 0→1, 0→2 and 1→2 are bits 0, 1 and 2.
	if got := fromRows(t, []string{"001", "001", "000"}, Conv1x1).AdjacencyBits(); got != 0b110 {
		t.Errorf("bits %b, want 110", got)
	}
}

func TestFromBitsRejects(t *testing.T) {
	for _, tc := range []struct {
		name     string
		vertices int
		bits     uint32
		ops      []Op
	}{
		{"one vertex", 1, 0, nil},
		{"eight vertices", 8, 1, make([]Op, 6)},
		{"negative", -1, 1, nil},
		{"bit beyond", 3, 0b1001, []Op{Conv3x3}},
		{"missing operation", 3, 0b101, nil},
		{"unknown operation", 3, 0b101, []Op{7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if s, err := FromBits(tc.vertices, tc.bits, tc.ops); err == nil {
				t.Errorf("got %v, want an error", s)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	const want = `{"matrix":[[0,1,1],[0,0,1],[0,0,0]],"operations":["input","maxpool3x3","output"]}`
	s := fromRows(t, []string{"011", "001", "000"}, MaxPool3x3)
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, text := range map[string]string{
		"null":             `null`,
		"empty":            `{}`,
		"null entry":       `{"matrix":[[null,1],[0,0]],"operations":["input","output"]}`,
		"fraction":         `{"matrix":[[0,0.5],[0,0]],"operations":["input","output"]}`,
		"text entry":       `{"matrix":[[0,"1"],[0,0]],"operations":["input","output"]}`,
		"null row":         `{"matrix":[[0,1],null],"operations":["input","output"]}`,
		"null operation":   `{"matrix":[[0,1],[0,0]],"operations":[null,"output"]}`,
		"no operations":    `{"matrix":[[0,1],[0,0]]}`,
		"lower triangle":   `{"matrix":[[0,1],[1,0]],"operations":["input","output"]}`,
		"array not object": `[[0,1],[0,0]]`,
	} {
		t.Run(name, func(t *testing.T) {
			got := s
			if err := json.Unmarshal([]byte(text), &got); err == nil {
				t.Errorf("got %v, want an error", got)
			}
		})
	}
	if text, err := json.Marshal(Spec{}); err == nil {
		t.Errorf("the zero cell became %s, want an error", text)
	}
}

// FuzzScanJSON: what is scanned is what encoding/json reads.
func FuzzScanJSON(f *testing.F) {
	f.Add([]byte(`{"matrix":[[0,1],[0,0]],"operations":["input","output"]}`))
	f.Add([]byte(" {\t\"operations\" : [ \"input\" , \"maxpool3x3\",\"output\" ],\n\"matrix\": [[0,1,1],[ 0,0,1 ],[0,0,0]] } "))
	f.Add([]byte(`{"matrix":[[0,1],[0,0,0]],"operations":["input","output"]}`))
	f.Add([]byte(`{"matrix":[[0,1],[0,0]],"matrix":[[0,0],[0,0]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		scanned, ok := scanJSON(text)
		if !ok {
			return
		}
		var raw struct {
			Matrix     [][]int
			Operations []string
		}
		if err := json.Unmarshal(text, &raw); err != nil {
			t.Fatalf("%q was scanned, but %v", text, err)
		}
		read, err := Parse(raw.Matrix, raw.Operations)
		if err != nil {
			t.Fatalf("%q was scanned, but %v", text, err)
		}
		if diff := cmp.Diff(read, scanned, cmpEmptyOps); diff != "" {
			t.Errorf("%q (-read +scanned):\n%s", text, diff)
		}
	})
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{
		`{"matrix":[[0,1],[0,0]],"operations":["input","output"]}`,
		`{"matrix":[[0,1,1],[0,0,1],[0,0,0]],"operations":["input","maxpool3x3","output"]}`,
		`{"matrix":[[0,1,0],[0,0,0],[0,0,0]],"operations":["input","conv1x1-bn-relu","output"]}`,
		`{"matrix":[[0,1],[0]],"operations":["input","conv3x3-bn-relu","output"]}`,
		`{"matrix":[[0,2],[1,null]],"operations":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Spec
		if err := json.Unmarshal(text, &s); err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%s was read but not written: %v", text, err)
		}
		var back Spec
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s was written but not read: %v", again, err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Fatalf("round trip (-want +got):\n%s", diff)
		}
		pruned, err := s.Prune()
		if err != nil {
			if !errors.Is(err, ErrDisconnected) {
				t.Fatalf("a valid cell does not prune: %v", err)
			}
			return
		}
		twice, err := pruned.Prune()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pruned, twice); diff != "" {
			t.Fatalf("pruned twice (-once +twice):\n%s", diff)
		}
		hash, err := s.Hash()
		if prunedHash, prunedErr := pruned.Hash(); hash != prunedHash || (err == nil) != (prunedErr == nil) {
			t.Fatalf("hash %v, %v; pruned %v, %v", hash, err, prunedHash, prunedErr)
		}
	})
}
