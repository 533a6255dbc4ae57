package darts

// Cells returns the number of different cells of a type in the space: for each node two
// inputs out of those there are, and an operation, not none, on both. Cells that compute the
// same count as often as they are written differently.
func (s *Space) Cells(t CellType) int {
	cells := 1
	for node := range Nodes {
		pairs := 0
		for e := firstEdge(node); e < firstEdge(node+1); e++ {
			for f := firstEdge(node); f < e; f++ {
				pairs += len(s.operations(Row(t, e))) * len(s.operations(Row(t, f)))
			}
		}
		cells *= pairs
	}
	return cells
}

// Architectures returns the number of architectures of the space, the pairs of a normal and
// a reduction cell: some 10^18 in the space of DARTS.
func (s *Space) Architectures() int { return s.Cells(Normal) * s.Cells(Reduction) }
