package spaces

import "fmt"

// RowKind says what a row chooses among.
type RowKind int

// The kinds of rows.
const (
	OperationRow RowKind = iota // operations of a choice block
	EdgeRow                     // earlier nodes whose output goes into a node
)

// Row is one choice of an architecture: a part of the flat vector of architecture
// parameters that has a softmax of its own.
type Row struct {
	Tensor     string // that it is part of
	Title      string // for figures: "operation of block 2"
	Offset     int    // of its first entry in the flat vector
	Kind       RowKind
	Keep       int         // how many candidates an architecture keeps
	Candidates []Candidate // one for each entry, in order
}

// Candidate is what an entry of a row stands for.
type Candidate struct {
	Name          string // of an operation, or of a node: "cell input", "block 2"
	ParameterFree bool   // an operation without weights, such as a pooling
}

// End is the place in the flat vector after the row's last entry.
func (r Row) End() int { return r.Offset + len(r.Candidates) }

// Rows returns the choices of the space in the order of the flat vector, which they
// cover without a gap. They must not be changed.
func (s *Space) Rows() []Row { return s.rows }

// makeRows describes the rows of the tensors.
func (s *Space) makeRows() (rows []Row) {
	for block := range s.Blocks() {
		row := Row{Tensor: mixedOp, Title: fmt.Sprintf("operation of block %d", block+1), Offset: s.MixedOp(block + 1), Kind: OperationRow, Keep: 1}
		for o := Operation(0); o < operations; o++ {
			row.Candidates = append(row.Candidates, Candidate{Name: o.String(), ParameterFree: o == MaxPool3x3})
		}
		rows = append(rows, row)
	}
	for _, t := range s.tensors[1:] {
		node := t.Cols // takes its parents from all earlier nodes
		row := Row{Tensor: t.Name, Title: fmt.Sprintf("inputs of block %d", node), Offset: t.Offset, Kind: EdgeRow, Keep: s.InDegree(node)}
		if node == s.output() {
			row.Title = "inputs of the output"
		}
		for parent := range node {
			name := "cell input"
			if parent > 0 {
				name = fmt.Sprintf("block %d", parent)
			}
			row.Candidates = append(row.Candidates, Candidate{Name: name})
		}
		rows = append(rows, row)
	}
	return rows
}
