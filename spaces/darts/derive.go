package darts

import (
	"cmp"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// Derive returns the genotype that architecture parameters alpha, of length Dim(), favour.
// Everything is computed in single precision, as in the released code, so that ties can
// arise where alpha has none.
//
// The rule is that of DARTS: an edge has the largest of its weights (the softmax of its
// row) among all operations but none, as its score and that operation on it; a node takes
// the two edges of largest score, that of larger score first. On ties the lower column and
// the lower state come first. In a space with rows of edges, as PC-DARTS, every weight is
// multiplied by the softmax over the edges into the node.
//
// In a restricted space the rule is that of P-DARTS: see DeriveStage, without a bound on
// skip-connections.
func (s *Space) Derive(alpha []float64) Genotype {
	if s.Restricted() {
		return s.DeriveStage(alpha, Inputs*Nodes)
	}
	var cells [CellTypes][]Pair
	for t := range CellType(CellTypes) {
		weights := s.weights(alpha, t)
		for node := range Nodes {
			var inputs []scored
			for e := firstEdge(node); e < firstEdge(node+1); e++ {
				inputs = append(inputs, s.firstOfLargest(t, e, weights[e]))
			}
			slices.SortStableFunc(inputs, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
			for _, in := range inputs[:Inputs] {
				cells[t] = append(cells[t], in.Pair)
			}
		}
	}
	return ofSpace(cells)
}

// scored is an edge with the operation chosen for it.
type scored struct {
	Pair
	score float32
}

// weights returns the softmax of the rows of a type of cell.
func (s *Space) weights(alpha []float64, t CellType) [][]float32 {
	var weights [][]float32
	softmax := func(row int) []float32 {
		r := s.Rows()[row]
		return spaces.Softmax32(alpha[r.Offset:r.End()])
	}
	for e := range Edges {
		weights = append(weights, softmax(Row(t, e)))
	}
	if s.edges {
		for node := range Nodes {
			for from, b := range softmax(EdgeRow(t, node)) {
				row := weights[firstEdge(node)+from]
				for i := range row {
					row[i] *= b
				}
			}
		}
	}
	return weights
}

// firstOfLargest chooses the operation of largest weight that is not none, the first on
// ties. It is the edge's own none, whatever edges before it have (quirk C30).
func (s *Space) firstOfLargest(t CellType, e int, weights []float32) scored {
	best := scored{Pair{"", EdgeAt(e).From}, -1}
	for i, c := range s.Rows()[Row(t, e)].Candidates {
		if c.Name != None && (best.Operation == "" || weights[i] > best.score) {
			best.Operation, best.score = c.Name, weights[i]
		}
	}
	return best
}
