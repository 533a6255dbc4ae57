package nb1shot1

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Cells yields the cells of NAS-Bench-101 that a search can end in, one for each
// of Hashes and in that order, pruned: of isomorphic cells always the same one.
// It stops when yield returns false; it can be ranged over. Each call enumerates
// the space anew, which takes a second or two for space 3.
func (s *Space) Cells(yield func(cell.Hash, cell.Spec) bool) {
	seen := map[matrix]bool{}
	for parents := range s.topologies {
		p, err := Genotype{parents, make([]Operation, s.Blocks())}.Cell().Prune()
		if err != nil {
			panic(err) // cannot be: every ancestry ends in the cell input
		}
		seen[matrix{p.Vertices(), p.AdjacencyBits()}] = true
	}
	matrices := slices.SortedFunc(maps.Keys(seen), func(a, b matrix) int {
		return cmp.Or(cmp.Compare(a.vertices, b.vertices), cmp.Compare(a.bits, b.bits))
	})
	first := map[cell.Hash]labelled{}
	for i, hashes := range hashAll(matrices) {
		for ops, hash := range hashes {
			if _, ok := first[hash]; !ok {
				first[hash] = labelled{matrices[i], ops}
			}
		}
	}
	for _, hash := range slices.SortedFunc(maps.Keys(first), func(a, b cell.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		if !yield(hash, first[hash].spec()) {
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
