package darts

// ParameterFree returns the share of the operations of the normal cell that have no
// parameters, in [0,1]. A skip-connection counts, and so does noise (quirk C12).
func (g Genotype) ParameterFree() float64 {
	free := 0
	for _, p := range g.Normal {
		if ParameterFree(p.Operation) {
			free++
		}
	}
	return float64(free) / float64(len(g.Normal))
}

// Width returns the width of a cell in units of the channels of a node: the sum over the
// intermediate nodes of the share of their inputs that are outputs of the cells before
// (Shu et al., 2020, as the SDARTS paper measures it). It is 1.5 to 4 in the spaces, whose
// cells have 4 nodes with two different inputs each.
func (g Genotype) Width(t CellType) float64 {
	pairs, _ := g.Cell(t)
	width := 0.0
	for _, p := range pairs {
		if p.Input < Inputs {
			width += 1. / Inputs
		}
	}
	return width
}

// Depth returns the number of edges on the longest path of a cell from an input to its
// output, the last edge from a node to the output included: 2 to 5 with 4 nodes.
func (g Genotype) Depth(t CellType) int {
	pairs, concat := g.Cell(t)
	longest := make([]int, len(pairs)/Inputs+Inputs) // to each state
	for i, p := range pairs {
		to := i/Inputs + Inputs
		longest[to] = max(longest[to], longest[p.Input]+1)
	}
	depth := 0
	for _, state := range concat {
		depth = max(depth, longest[state]+1)
	}
	return depth
}
