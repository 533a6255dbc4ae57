// Package cell describes the cells of NAS-Bench-101 (Ying et al., 2019):
// directed acyclic graphs with labelled vertices, and the hash under which the
// benchmark stores what it measured of them.
package cell

import (
	"encoding/json"
	"fmt"
	"slices"

	_ "github.com/nb1shot/nb1shot/internal/needcgo" // says what is missing where C is not compiled
)

// The limits of NAS-Bench-101, which hold after pruning.
const (
	MaxVertices = 7
	MaxEdges    = 9
)

// Spec is a cell of V ≥ 2 vertices in topological order: vertex 0 is the
// input, vertex V-1 the output, the others carry an operation.
type Spec struct {
	Matrix [][]uint8 // V×V, strictly upper triangular; 1 at [x][y] is the edge x→y
	Ops    []Op      // V-2 operations; Ops[i] belongs to vertex i+1
}

// Parse builds a cell from an adjacency matrix and the names of all its
// vertices, "input" and "output" included. The errors are *MatrixError and
// *OpError. Parse does not prune: a disconnected or too large cell is found by
// Check.
func Parse(matrix [][]int, ops []string) (Spec, error) {
	var s Spec
	for x, row := range matrix {
		s.Matrix = append(s.Matrix, make([]uint8, len(row)))
		for y, entry := range row {
			if entry != 0 && entry != 1 {
				return Spec{}, &MatrixError{x, y, fmt.Sprintf("entry is %d, want 0 or 1", entry)}
			}
			s.Matrix[x][y] = uint8(entry)
		}
	}
	if err := s.validateMatrix(); err != nil {
		return Spec{}, err
	}
	if len(ops) != len(matrix) {
		return Spec{}, &OpError{-1, "", fmt.Sprintf("%d names for %d vertices", len(ops), len(matrix))}
	}
	last := len(ops) - 1
	if ops[0] != inputName {
		return Spec{}, &OpError{0, ops[0], fmt.Sprintf("the first vertex must be %q", inputName)}
	}
	if ops[last] != outputName {
		return Spec{}, &OpError{last, ops[last], fmt.Sprintf("the last vertex must be %q", outputName)}
	}
	for v, name := range ops[1:last] {
		op, err := ParseOp(name)
		if err != nil {
			return Spec{}, &OpError{v + 1, name, fmt.Sprintf("want one of %q", opNames)}
		}
		s.Ops = append(s.Ops, op)
	}
	return s, nil
}

// FromBits builds the cell whose edges AdjacencyBits returned. It fails if
// vertices is not in 2..MaxVertices, if a bit names an edge the cell cannot
// have, or if ops does not fit.
func FromBits(vertices int, bits uint32, ops []Op) (Spec, error) {
	if vertices < 2 || vertices > MaxVertices {
		return Spec{}, fmt.Errorf("a stored cell has 2 to %d vertices, not %d", MaxVertices, vertices)
	}
	if bits>>(vertices*(vertices-1)/2) != 0 {
		return Spec{}, fmt.Errorf("edge bits %#x reach beyond the %d vertices of the cell", bits, vertices)
	}
	s := Spec{Matrix: newMatrix(vertices), Ops: slices.Clone(ops)}
	for y := range vertices {
		for x := range y {
			s.Matrix[x][y] = uint8(bits>>edgeBit(x, y)) & 1
		}
	}
	if err := s.validateOps(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// AdjacencyBits packs the edges of a cell of at most MaxVertices vertices:
// edge x→y is bit x + y(y-1)/2.
func (s Spec) AdjacencyBits() uint32 {
	var bits uint32
	for x, row := range s.Matrix {
		for y := x + 1; y < len(row); y++ {
			bits |= uint32(row[y]) << edgeBit(x, y)
		}
	}
	return bits
}

// edgeBit is the position of edge x→y, x < y, in AdjacencyBits.
func edgeBit(x, y int) int { return x + y*(y-1)/2 }

// Vertices returns the number of vertices, input and output included.
func (s Spec) Vertices() int { return len(s.Matrix) }

// Edges returns the number of edges.
func (s Spec) Edges() int {
	n := 0
	for _, row := range s.Matrix {
		for _, entry := range row {
			n += int(entry)
		}
	}
	return n
}

// OpNames returns the names of all vertices, "input" and "output" included.
func (s Spec) OpNames() []string {
	names := []string{inputName}
	for _, op := range s.Ops {
		names = append(names, op.String())
	}
	return append(names, outputName)
}

// Prune returns the cell without the vertices that lie on no path from input
// to output: the cell itself if there are none. It fails with ErrDisconnected if
// there is no such path.
func (s Spec) Prune() (Spec, error) {
	if err := s.validate(); err != nil {
		return Spec{}, err
	}
	n := s.Vertices()
	fromInput, toOutput := make([]bool, n), make([]bool, n)
	fromInput[0], toOutput[n-1] = true, true
	for x := range n {
		for y := x + 1; y < n && fromInput[x]; y++ {
			fromInput[y] = fromInput[y] || s.Matrix[x][y] == 1
		}
	}
	if !fromInput[n-1] {
		return Spec{}, ErrDisconnected
	}
	for x := n - 2; x >= 0; x-- {
		for y := x + 1; y < n; y++ {
			toOutput[x] = toOutput[x] || s.Matrix[x][y] == 1 && toOutput[y]
		}
	}
	kept := make([]int, 0, n)
	for v := range n {
		if fromInput[v] && toOutput[v] {
			kept = append(kept, v)
		}
	}
	if len(kept) == n {
		return s, nil
	}
	p := Spec{Matrix: newMatrix(len(kept)), Ops: make([]Op, 0, len(kept)-2)}
	for i, x := range kept {
		for j, y := range kept {
			p.Matrix[i][j] = s.Matrix[x][y]
		}
		if x > 0 && x < n-1 {
			p.Ops = append(p.Ops, s.Ops[x-1])
		}
	}
	return p, nil
}

// Check reports whether NAS-Bench-101 can hold the cell: after pruning it has
// at most MaxVertices vertices and MaxEdges edges. The errors are *MatrixError,
// *OpError, ErrDisconnected and *DomainError.
func (s Spec) Check() error {
	_, err := s.canonical()
	return err
}

// canonical prunes and checks the domain.
func (s Spec) canonical() (Spec, error) {
	p, err := s.Prune()
	if err != nil {
		return Spec{}, err
	}
	if v := p.Vertices(); v > MaxVertices {
		return Spec{}, &DomainError{"vertices", v, MaxVertices}
	}
	if e := p.Edges(); e > MaxEdges {
		return Spec{}, &DomainError{"edges", e, MaxEdges}
	}
	return p, nil
}

func (s Spec) validate() error {
	if err := s.validateMatrix(); err != nil {
		return err
	}
	return s.validateOps()
}

func (s Spec) validateMatrix() error {
	n := len(s.Matrix)
	if n < 2 {
		return &MatrixError{-1, -1, fmt.Sprintf("%d rows, want at least 2, for input and output", n)}
	}
	for x, row := range s.Matrix {
		if len(row) != n {
			return &MatrixError{x, -1, fmt.Sprintf("%d entries, want %d: the matrix is square", len(row), n)}
		}
		for y, entry := range row {
			if entry > 1 {
				return &MatrixError{x, y, fmt.Sprintf("entry is %d, want 0 or 1", entry)}
			}
			if entry == 1 && y <= x {
				return &MatrixError{x, y, "edges lead from lower to higher vertices only: the matrix is strictly upper triangular"}
			}
		}
	}
	return nil
}

func (s Spec) validateOps() error {
	if len(s.Ops) != len(s.Matrix)-2 {
		return &OpError{-1, "", fmt.Sprintf("%d operations for %d inner vertices", len(s.Ops), len(s.Matrix)-2)}
	}
	for i, op := range s.Ops {
		if int(op) >= len(opNames) {
			return &OpError{i + 1, op.String(), fmt.Sprintf("want one of %q", opNames)}
		}
	}
	return nil
}

func newMatrix(n int) [][]uint8 {
	entries := make([]uint8, n*n)
	matrix := make([][]uint8, n)
	for x := range matrix {
		matrix[x] = entries[x*n : (x+1)*n]
	}
	return matrix
}

// MarshalJSON writes {"matrix": [[0,1],[0,0]], "operations": ["input",
// "output"]}; an invalid cell is an error.
func (s Spec) MarshalJSON() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	// A []uint8 would become base64 text.
	matrix := make([][]int, len(s.Matrix))
	for x, row := range s.Matrix {
		for _, entry := range row {
			matrix[x] = append(matrix[x], int(entry))
		}
	}
	return json.Marshal(struct {
		Matrix     [][]int  `json:"matrix"`
		Operations []string `json:"operations"`
	}{matrix, s.OpNames()})
}
