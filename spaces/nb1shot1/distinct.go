package nb1shot1

import "slices"

// Distinct yields the architectures of the space without loose ends, in the order of
// Enumerate: every set of edges that is left when loose ends are dropped, with all
// operations for the blocks that are left. A block that is not left has the first
// operation and the parents of the first architecture with these edges. With released, only
// those that the released generator of cells without loose ends yields: Counts.LooseEndFree
// of them, what the authors of the spaces took the rank correlation over. It stops when
// yield returns false.
func (s *Space) Distinct(released bool) func(yield func(Genotype) bool) {
	return func(yield func(Genotype) bool) {
		seen := map[uint32]bool{}
		for parents := range s.topologies {
			used := usedNodes(parents)[1:s.output()]
			if released && blocksByLastParent(parents) != count(used) {
				continue
			}
			spec := Genotype{parents, make([]Operation, s.Blocks())}.Cell()
			if edges := spec.AdjacencyBits(); seen[edges] {
				continue
			} else {
				seen[edges] = true
			}
			for ops := range tuples[Operation](count(used)) {
				g := Genotype{Ops: make([]Operation, s.Blocks())}
				for _, set := range parents {
					g.Parents = append(g.Parents, slices.Clone(set))
				}
				next := 0
				for block, is := range used {
					if is {
						g.Ops[block] = ops[next]
						next++
					}
				}
				if !yield(g) {
					return
				}
			}
		}
	}
}

// Used tells of each block, from the first, whether a path leads from it to the output.
func (g Genotype) Used() []bool { return usedNodes(g.Parents)[1 : len(g.Parents)-1] }
