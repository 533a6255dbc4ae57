package spaces

import "github.com/nb1shot/nb1shot/nasbench/cell"

// Cells yields the cells of NAS-Bench-101 that a search can end in, one for each
// of Hashes and in that order, pruned: of isomorphic cells always the same one.
// It stops when yield returns false; it can be ranged over.
func (s *Space) Cells(yield func(cell.Hash, cell.Spec) bool) {
	e := s.enumerate()
	for i, hash := range e.hashes {
		if !yield(hash, e.cells[i].spec()) {
			return
		}
	}
}

// labelled is a matrix with operations: those of that place in the order of
// tuples.
type labelled struct {
	matrix
	ops int
}

func (l labelled) spec() cell.Spec {
	ops := make([]cell.Op, l.vertices-2)
	for i, rest := len(ops)-1, l.ops; i >= 0; i-- {
		ops[i] = cell.Op(rest % operations)
		rest /= operations
	}
	spec, err := cell.FromBits(l.vertices, l.bits, ops)
	if err != nil {
		panic(err) // cannot be: the matrix is that of a cell
	}
	return spec
}
