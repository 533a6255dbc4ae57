package darts

import (
	"cmp"
	"slices"
)

// DeriveStage returns the genotype of P-DARTS, whose rule differs from that of DARTS: on
// an edge candidates are dropped, none first, then always the one of smallest weight, the
// lowest column on ties, until one is left; of edges with the same score the higher state
// is taken; and pairs are in the order of their inputs.
//
// As long as more than maxSkips edges of the normal cell are skip-connections, the weight
// of the weakest of them becomes 0 and both the operations and the edges are chosen anew.
// P-DARTS allows 2; with 8 there is no bound. alpha has length Dim().
func (s *Space) DeriveStage(alpha []float64, maxSkips int) Genotype {
	_, g := s.deriveStage(alpha, maxSkips)
	return g
}

// Restriction is a genotype of P-DARTS with a bound on skip-connections.
type Restriction struct {
	MaxSkips int
	Genotype Genotype
}

// Restrictions returns the genotypes that DeriveStage has for the bounds 8, 7, ... 0,
// those that differ from the one before, the first from the genotype without a bound, as
// the released code prints them.
func (s *Space) Restrictions(alpha []float64) (all []Restriction) {
	before := 0
	for bound := Inputs * Nodes; bound >= 0; bound-- {
		removed, g := s.deriveStage(alpha, bound)
		if removed > before {
			all = append(all, Restriction{bound, g})
		}
		before = removed
	}
	return all
}

func (s *Space) deriveStage(alpha []float64, maxSkips int) (removed int, _ Genotype) {
	var cells [CellTypes][]Pair
	for t := range CellType(CellTypes) {
		weights := s.weights(alpha, t)
		chosen := s.chooseStage(t, weights)
		for t == Normal {
			skips, weakest := 0, -1
			for _, e := range chosen {
				if e.Operation != Skip {
					continue
				}
				skips++
				if weakest < 0 || e.skip(s, weights) < chosen[weakest].skip(s, weights) {
					weakest = slices.IndexFunc(chosen, func(c chosenEdge) bool { return c.edge == e.edge })
				}
			}
			// A weight that is 0 already belongs to an edge without another operation.
			if skips <= maxSkips || chosen[weakest].skip(s, weights) == 0 {
				break
			}
			removed++
			weights[chosen[weakest].edge][s.column(t, chosen[weakest].edge, Skip)] = 0
			chosen = s.chooseStage(t, weights)
		}
		for _, e := range chosen {
			cells[t] = append(cells[t], e.Pair)
		}
	}
	return removed, ofSpace(cells)
}

// chosenEdge is an edge that goes into the genotype.
type chosenEdge struct {
	scored
	edge int
}

// skip is the weight of the skip-connection on an edge of the normal cell that has one.
func (e chosenEdge) skip(s *Space, weights [][]float32) float32 {
	return weights[e.edge][s.column(Normal, e.edge, Skip)]
}

// column is the place of an operation among the candidates of an edge, -1 if it has none.
func (s *Space) column(t CellType, edge int, operation string) int {
	for i, c := range s.Rows()[Row(t, edge)].Candidates {
		if c.Name == operation {
			return i
		}
	}
	return -1
}

// chooseStage chooses the operation of every edge and two edges into each node.
func (s *Space) chooseStage(t CellType, weights [][]float32) (chosen []chosenEdge) {
	for node := range Nodes {
		var inputs []chosenEdge
		for e := firstEdge(node); e < firstEdge(node+1); e++ {
			inputs = append(inputs, chosenEdge{s.lastLeft(t, e, weights[e]), e})
		}
		slices.SortStableFunc(inputs, func(a, b chosenEdge) int { return cmp.Compare(a.score, b.score) })
		inputs = inputs[len(inputs)-Inputs:]
		slices.SortFunc(inputs, func(a, b chosenEdge) int { return cmp.Compare(a.edge, b.edge) })
		chosen = append(chosen, inputs...)
	}
	return chosen
}

// lastLeft chooses the operation that is left when none and then those of smallest weight
// have been dropped.
func (s *Space) lastLeft(t CellType, e int, weights []float32) scored {
	candidates := s.Rows()[Row(t, e)].Candidates
	left := dropSmallest(weights, len(candidates)-1, s.column(t, e, None))[0]
	return scored{Pair{candidates[left].Name, EdgeAt(e).From}, weights[left]}
}

// dropSmallest returns the columns of a row, ascending, without n of them: the column
// first, if it is not negative, and then those of smallest weight, the lowest on ties.
func dropSmallest(weights []float32, n, first int) []int {
	var left []int
	for i := range weights {
		left = append(left, i)
	}
	for k := range n {
		smallest := 0
		for j, i := range left {
			if weights[i] < weights[left[smallest]] {
				smallest = j
			}
		}
		if k == 0 && first >= 0 {
			smallest = first
		}
		left = slices.Delete(left, smallest, smallest+1)
	}
	return left
}

// Drop returns what Restrict takes for the next stage of P-DARTS: the operations that are
// left of each edge, by their numbers in the registered space, when the n of smallest
// weight have been dropped, the lowest column on ties. alpha has length Dim(); n is smaller
// than the number of candidates of every edge.
func (s *Space) Drop(alpha []float64, n int) (kept [][]int) {
	for t := range CellType(CellTypes) {
		for e, weights := range s.weights(alpha, t) {
			row := []int{}
			for _, i := range dropSmallest(weights, n, -1) {
				row = append(row, s.numbers[Row(t, e)][i])
			}
			kept = append(kept, row)
		}
	}
	return kept
}
