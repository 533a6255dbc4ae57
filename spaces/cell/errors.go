package cell

import (
	"errors"
	"fmt"
)

// ErrDisconnected reports a cell without any path from its input to its output.
var ErrDisconnected = errors.New("cell is disconnected: no path leads from its input to its output")

// MatrixError reports an adjacency matrix that describes no cell.
type MatrixError struct {
	Row, Column int // 0-based; -1 where the whole matrix or the whole row is meant
	Problem     string
}

// Error names the row and column.
func (e *MatrixError) Error() string {
	switch {
	case e.Row < 0:
		return "adjacency matrix: " + e.Problem
	case e.Column < 0:
		return fmt.Sprintf("adjacency matrix row %d: %s", e.Row, e.Problem)
	}
	return fmt.Sprintf("adjacency matrix row %d, column %d: %s", e.Row, e.Column, e.Problem)
}

// OpError reports operations that do not fit the cell.
type OpError struct {
	Vertex  int    // 0-based, vertex 0 being the input; -1 where the whole list is meant
	Name    string // the offending name
	Problem string
}

// Error names the vertex and its operation.
func (e *OpError) Error() string {
	if e.Vertex < 0 {
		return "operations: " + e.Problem
	}
	return fmt.Sprintf("operation %q of vertex %d: %s", e.Name, e.Vertex, e.Problem)
}

// DomainError reports a cell that is too large for NAS-Bench-101 even after
// pruning.
type DomainError struct {
	Quantity string // "vertices" or "edges"
	Got, Max int
}

// Error names the size and the limit.
func (e *DomainError) Error() string {
	return fmt.Sprintf("pruned cell has %d %s: NAS-Bench-101 has at most %d", e.Got, e.Quantity, e.Max)
}
