package spaces

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
	Keep       int         // how many candidates an architecture keeps at most
	Candidates []Candidate // one for each entry, in order
}

// Candidate is what an entry of a row stands for.
type Candidate struct {
	Name          string // of an operation, or of a node: "cell input", "block 2"
	ParameterFree bool   // an operation without weights, such as a pooling
}

// End is the place in the flat vector after the row's last entry.
func (r Row) End() int { return r.Offset + len(r.Candidates) }
