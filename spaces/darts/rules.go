package darts

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// rules implements [spaces.Rules] for a space.
type rules struct{ *Space }

// Check implements [spaces.Rules]: two edges into each node, an operation on each.
func (s rules) Check(kept [][]int) error {
	for t := range CellType(CellTypes) {
		for node := range Nodes {
			edges := 0
			for e := firstEdge(node); e < firstEdge(node+1); e++ {
				row := s.base.Rows()[Row(t, e)]
				switch k := kept[Row(t, e)]; {
				case len(k) > 1:
					return fmt.Errorf("%s: %d candidates are kept, want one at most", row.Title, len(k))
				case len(k) == 1 && row.Candidates[k[0]].Name == None:
					return fmt.Errorf("%s: %q is kept, want an operation", row.Title, None)
				default:
					edges += len(k)
				}
			}
			if edges != Inputs {
				return fmt.Errorf("%s cell: %d edges into node %d are kept, want %d", t, edges, node, Inputs)
			}
		}
	}
	return nil
}

// Discretize implements [spaces.Rules]: see Derive. How ties are broken is part of the
// rule there.
func (s rules) Discretize(alpha []float64, _ spaces.Ties) [][]int { return s.kept(s.Derive(alpha)) }

// kept is that of a genotype of the space.
func (s rules) kept(g Genotype) [][]int {
	a, err := s.Architecture(g)
	if err != nil {
		panic(err) // cannot be: the genotype was made from candidates of the space
	}
	return a.Kept
}

// operations returns the candidates of a row that an architecture may keep, by their
// numbers in the registered space: all but none.
func (s *Space) operations(row int) []int {
	return slices.DeleteFunc(slices.Clone(s.numbers[row]), func(k int) bool { return s.base.Rows()[row].Candidates[k].Name == None })
}

// Sample implements [spaces.Rules]: for each node two different inputs, drawn uniformly,
// and on both an operation, drawn uniformly, but never none.
func (s rules) Sample(r *rand.Rand) [][]int {
	kept := make([][]int, CellTypes*Edges)
	for i := range kept {
		kept[i] = []int{}
	}
	for t := range CellType(CellTypes) {
		for node := range Nodes {
			for _, from := range r.Perm(node + Inputs)[:Inputs] {
				row := Row(t, firstEdge(node)+from)
				kept[row] = []int{pick(r, s.operations(row))}
			}
		}
	}
	return kept
}

func pick(r *rand.Rand, from []int) int { return from[r.IntN(len(from))] }

// Mutate implements [spaces.Rules]. A decision is the operation on an edge, where there is
// another one, or one of the two inputs of a node, where there is a third: that edge moves
// to another state and takes its operation along, or draws one if the edge there does not
// have it.
func (s rules) Mutate(kept [][]int, r *rand.Rand) [][]int {
	var operations, inputs []int // rows
	for row, k := range kept {
		if len(k) == 0 {
			continue
		}
		if len(s.operations(row)) > 1 {
			operations = append(operations, row)
		}
		if EdgeAt(row%Edges).To > Inputs {
			inputs = append(inputs, row)
		}
	}
	kept = slices.Clone(kept)
	i := r.IntN(len(operations) + len(inputs))
	if i < len(operations) {
		row := operations[i]
		others := slices.DeleteFunc(s.operations(row), func(k int) bool { return k == kept[row][0] })
		kept[row] = []int{pick(r, others)}
		return kept
	}
	row := inputs[i-len(operations)]
	edge := EdgeAt(row % Edges)
	var free []int // rows of the edges into the node that are not kept
	for from := range edge.To {
		if other := row - edge.From + from; len(kept[other]) == 0 {
			free = append(free, other)
		}
	}
	to := pick(r, free)
	name := s.base.Rows()[row].Candidates[kept[row][0]].Name
	k := slices.IndexFunc(s.operations(to), func(k int) bool { return s.base.Rows()[to].Candidates[k].Name == name })
	if k >= 0 {
		kept[to] = []int{s.operations(to)[k]}
	} else {
		kept[to] = []int{pick(r, s.operations(to))}
	}
	kept[row] = []int{}
	return kept
}

// Weights returns the mixing weights of an architecture: 1 for the operation of every kept
// edge and, where the space has rows of edges, for the edge itself.
func (s rules) Weights(kept [][]int) []float64 {
	weights := make([]float64, s.Dim())
	for row, ks := range kept {
		for _, k := range ks {
			i := slices.Index(s.numbers[row], k)
			if i < 0 {
				panic(fmt.Sprintf("spaces/darts: %s: the architecture keeps candidate %d, which the space was restricted not to have", s.Rows()[row].Title, k))
			}
			weights[s.Rows()[row].Offset+i] = 1
			if s.edges {
				edge := EdgeAt(row % Edges)
				weights[s.Rows()[EdgeRow(CellType(row/Edges), edge.To-Inputs)].Offset+edge.From] = 1
			}
		}
	}
	return weights
}

// ParameterFree returns the share of the normal cell's operations that have no parameters,
// as the SDARTS paper's Table 5 counts them.
func (s rules) ParameterFree(kept [][]int) float64 {
	return s.Genotype(spaces.Architecture{Space: s.Name(), Kept: kept}).ParameterFree()
}
