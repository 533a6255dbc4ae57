package darts

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// Pair is an edge into a node with an operation on it.
type Pair struct {
	Operation string // its long name, such as "sep_conv_3x3"
	Input     int    // the state that it is applied to: 0 and 1 are the cells before
}

// Genotype is an architecture as the released code writes it: of each type of cell two
// pairs for each node, those of state 2 first, and the states whose channels, one after
// the other, are the output of the cell. Cells of the spaces have 4 nodes, all of which
// go into the output; some published cells have 5.
type Genotype struct {
	Normal       []Pair
	NormalConcat []int
	Reduce       []Pair
	ReduceConcat []int
}

// Cell returns the pairs and the concatenated states of a type of cell.
func (g Genotype) Cell(t CellType) (pairs []Pair, concat []int) {
	if t == Reduction {
		return g.Reduce, g.ReduceConcat
	}
	return g.Normal, g.NormalConcat
}

// ofSpace is the genotype of cells as the spaces have them.
func ofSpace(cells [CellTypes][]Pair) Genotype {
	return Genotype{cells[Normal], []int{2, 3, 4, 5}, cells[Reduction], []int{2, 3, 4, 5}}
}

// Genotype returns the genotype of an architecture, which is one of the space. The two
// pairs of a node are in the order of their inputs, since an architecture has no other.
func (s *Space) Genotype(a spaces.Architecture) Genotype {
	var cells [CellTypes][]Pair
	for t := range CellType(CellTypes) {
		for e := range Edges {
			row := Row(t, e)
			for _, k := range a.Kept[row] {
				cells[t] = append(cells[t], Pair{s.base.Rows()[row].Candidates[k].Name, EdgeAt(e).From})
			}
		}
	}
	return ofSpace(cells)
}

// GenotypeOf returns the genotype of an architecture of one of these spaces, and whether
// it is one.
func GenotypeOf(a spaces.Architecture) (g Genotype, ok bool) {
	s, err := Get(a.Space)
	if err != nil {
		return Genotype{}, false
	}
	return s.Genotype(a), true
}

// Architecture is the way back from a genotype. It is an error if the space does not have
// it: other operations or another number of nodes.
func (s *Space) Architecture(g Genotype) (spaces.Architecture, error) {
	kept := make([][]int, CellTypes*Edges)
	for i := range kept {
		kept[i] = []int{}
	}
	for t := range CellType(CellTypes) {
		pairs, concat := g.Cell(t)
		if len(pairs) != Inputs*Nodes || !slices.Equal(concat, []int{2, 3, 4, 5}) {
			return spaces.Architecture{}, fmt.Errorf("%s cell: %d pairs, states %v concatenated: cells of space %s have %d pairs and concatenate [2 3 4 5]",
				t, len(pairs), concat, s.Name(), Inputs*Nodes)
		}
		for i, p := range pairs {
			to := i/Inputs + Inputs
			if p.Input < 0 || p.Input >= to {
				return spaces.Architecture{}, fmt.Errorf("%s cell: node %d has input %d, want 0 to %d", t, to-Inputs, p.Input, to-1)
			}
			row := Row(t, Edge{p.Input, to}.Index())
			if len(kept[row]) > 0 {
				return spaces.Architecture{}, fmt.Errorf("%s cell: node %d has input %d twice: space %s wants two inputs", t, to-Inputs, p.Input, s.Name())
			}
			candidates := s.base.Rows()[row].Candidates
			k := slices.IndexFunc(candidates, func(c spaces.Candidate) bool { return c.Name == p.Operation })
			if k < 0 {
				return spaces.Architecture{}, fmt.Errorf("%s: no operation %q in space %s", s.base.Rows()[row].Title, p.Operation, s.Name())
			}
			kept[row] = append(kept[row], k)
		}
	}
	a := spaces.Architecture{Space: s.Name(), Kept: kept}
	if err := a.Check(); err != nil {
		return spaces.Architecture{}, err
	}
	return a, nil
}
