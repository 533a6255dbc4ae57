// Package nb1shot1 holds the three search spaces of NAS-Bench-1Shot1 (Zela et
// al., 2020): which cells they contain, the architecture parameters that relax
// them, the way back from parameters to a cell of NAS-Bench-101, and their sizes.
// It registers them with package spaces.
//
// A cell has nodes 0..n+1: node 0 is the cell input, nodes 1..n are the choice
// blocks, node n+1 is the cell output. A node takes a fixed number of parents
// among the nodes before it; the in-degrees of each space sum to the nine edges
// that NAS-Bench-101 allows.
package nb1shot1

import (
	"fmt"
	"slices"
	"sync"

	"github.com/nb1shot/nb1shot/spaces"
)

// Space is one of the three search spaces. It is immutable and safe for
// concurrent use.
type Space struct {
	*spaces.Space
	number    int
	choices   [][][]int // choices[node] lists the sets of parents it may take, each ascending
	inputRows []int     // of node K's parents in the rows of the space; -1 if nothing is learned
	published Published
	enumerate func() enumeration // runs once
}

var all = []*Space{
	newSpace(1, []int{0, 1, 2, 2, 2, 2}, Published{
		Architectures:      6240,
		LooseEndFree:       2487,
		MinTestError:       0.05448716878890991,
		MinValidationError: 0.049278855323791504,
	}),
	newSpace(2, []int{0, 1, 1, 2, 2, 3}, Published{
		Architectures:      29160,
		LooseEndFree:       3609,
		MinTestError:       0.057592153549194336,
		MinValidationError: 0.051582515239715576,
	}),
	newSpace(3, []int{0, 1, 1, 1, 2, 2, 2}, Published{
		Architectures:      363648,
		LooseEndFree:       24066,
		MinTestError:       0.05338543653488159,
		MinValidationError: 0.04847759008407593,
	}),
}

// mixedOp is the tensor of the choice blocks' operations.
const mixedOp = "mixed_op"

func init() {
	for _, s := range all {
		spaces.Register(s.Space)
	}
}

// newSpace lays out the space in which node K has inDegree[K] parents: the operations of
// the blocks, the parents of the output, then those of every block that has a choice.
func newSpace(number int, inDegree []int, published Published) *Space {
	s := &Space{number: number, published: published}
	for node, k := range inDegree {
		s.choices = append(s.choices, combinations(node, k))
		s.inputRows = append(s.inputRows, -1)
	}
	s.enumerate = sync.OnceValue(s.enumerateCells)

	var rows []spaces.Row
	add := func(row spaces.Row) {
		if n := len(rows); n > 0 {
			row.Offset = rows[n-1].End()
		}
		rows = append(rows, row)
	}
	for block := range s.Blocks() {
		row := spaces.Row{Tensor: mixedOp, Title: fmt.Sprintf("operation of block %d", block+1), Kind: spaces.OperationRow, Keep: 1}
		for o := Operation(0); o < operations; o++ {
			row.Candidates = append(row.Candidates, spaces.Candidate{Name: o.String(), ParameterFree: o == MaxPool3x3})
		}
		add(row)
	}
	inputs := func(node int, tensor, title string) {
		row := spaces.Row{Tensor: tensor, Title: title, Kind: spaces.EdgeRow, Keep: s.InDegree(node)}
		for parent := range node { // it takes its parents from all earlier nodes
			name := "cell input"
			if parent > 0 {
				name = fmt.Sprintf("block %d", parent)
			}
			row.Candidates = append(row.Candidates, spaces.Candidate{Name: name})
		}
		s.inputRows[node] = len(rows)
		add(row)
	}
	inputs(s.output(), "output", "inputs of the output")
	for node := range s.output() {
		if len(s.choices[node]) > 1 {
			inputs(node, fmt.Sprintf("input_node%d", node), fmt.Sprintf("inputs of block %d", node))
		}
	}
	s.Space = spaces.New(spaces.Name(fmt.Sprint(number)), rows, rules{s})
	return s
}

// combinations lists the k-element subsets of 0..n-1 in lexicographic order.
func combinations(n, k int) [][]int {
	if k == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for first := range n {
		for _, rest := range combinations(n-first-1, k-1) {
			set := []int{first}
			for _, v := range rest {
				set = append(set, first+1+v)
			}
			all = append(all, set)
		}
	}
	return all
}

// Get returns the space of a name: 1, 2 or 3.
func Get(name spaces.Name) (*Space, error) {
	for _, s := range all {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("space %.40q is not one of NAS-Bench-1Shot1: want 1, 2 or 3", name)
}

// All returns spaces 1, 2 and 3.
func All() []*Space { return slices.Clone(all) }

// Number returns 1, 2 or 3.
func (s *Space) Number() int { return s.number }

// Blocks returns the number n of choice blocks: 4, 4 or 5.
func (s *Space) Blocks() int { return len(s.choices) - 2 }

// output is the number of the output node.
func (s *Space) output() int { return len(s.choices) - 1 }

// InDegree returns how many parents a node 0..n+1 takes.
func (s *Space) InDegree(node int) int { return len(s.choices[node][0]) }

// MixedOp returns where in the flat vector the 3 entries of block 1..n start,
// which are in the order of Operation.
func (s *Space) MixedOp(block int) (offset int) { return operations * (block - 1) }

// OutputOffset returns where the n+1 entries of the edges into the output node
// start: the cell input first, then the blocks.
func (s *Space) OutputOffset() int { return s.Rows()[s.inputRows[s.output()]].Offset }

// InputOffset returns where the entries of the edges into a node start, one for
// each earlier node. Nothing is learned of nodes that take all earlier nodes as
// parents: node 1 and, in space 1, node 2.
func (s *Space) InputOffset(node int) (offset int, learnable bool) {
	if row := s.inputRows[node]; row >= 0 {
		return s.Rows()[row].Offset, true
	}
	return 0, false
}
