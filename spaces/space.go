// Package spaces holds the three search spaces of NAS-Bench-1Shot1 (Zela et
// al., 2020): which cells they contain, the architecture parameters that relax
// them, the way back from parameters to a cell of NAS-Bench-101, and their sizes.
//
// A cell has nodes 0..n+1: node 0 is the cell input, nodes 1..n are the choice
// blocks, node n+1 is the cell output. A node takes a fixed number of parents
// among the nodes before it; the in-degrees of each space sum to the nine edges
// that NAS-Bench-101 allows.
//
// The architecture parameters of a space travel as one flat vector: all tensors
// in the order of Tensors, each row-major.
package spaces

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// Space is one of the three search spaces. It is immutable and safe for
// concurrent use.
type Space struct {
	id        int
	choices   [][][]int // choices[node] lists the sets of parents it may take, each ascending
	tensors   []Tensor
	rows      []Row
	offsets   []int // of the entries of node K's parents in the flat vector; -1 if nothing is learned
	published Published
	enumerate func() enumeration // runs once
}

// Tensor is one tensor of architecture parameters within the flat vector. Each
// row is relaxed by a softmax of its own.
type Tensor struct {
	Name   string // "mixed_op", "output" or "input_nodeK"
	Rows   int
	Cols   int
	Offset int // of its first entry
}

var spaces = []*Space{
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

// newSpace lays out the space in which node K has inDegree[K] parents.
func newSpace(id int, inDegree []int, published Published) *Space {
	s := &Space{id: id, published: published}
	for node, k := range inDegree {
		s.choices = append(s.choices, combinations(node, k))
		s.offsets = append(s.offsets, -1)
	}
	s.enumerate = sync.OnceValue(s.enumerateCells)

	end := 0
	add := func(name string, rows, cols int) int {
		offset := end
		s.tensors = append(s.tensors, Tensor{name, rows, cols, offset})
		end += rows * cols
		return offset
	}
	output := s.output()
	add(mixedOp, s.Blocks(), operations)
	s.offsets[output] = add("output", 1, output)
	for node := range output {
		if len(s.choices[node]) > 1 {
			s.offsets[node] = add(fmt.Sprintf("input_node%d", node), 1, node)
		}
	}
	s.rows = s.makeRows()
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

// Get returns space 1, 2 or 3.
func Get(id int) (*Space, error) {
	if id < 1 || id > len(spaces) {
		return nil, fmt.Errorf("no search space %d: choose 1 to %d", id, len(spaces))
	}
	return spaces[id-1], nil
}

// All returns spaces 1, 2 and 3.
func All() []*Space { return slices.Clone(spaces) }

// ID returns 1, 2 or 3.
func (s *Space) ID() int { return s.id }

// Blocks returns the number n of choice blocks: 4, 4 or 5.
func (s *Space) Blocks() int { return len(s.choices) - 2 }

// output is the number of the output node.
func (s *Space) output() int { return len(s.choices) - 1 }

// InDegree returns how many parents a node 0..n+1 takes.
func (s *Space) InDegree(node int) int { return len(s.choices[node][0]) }

// Tensors returns the tensors of architecture parameters: mixed_op, whose row b
// belongs to block b+1, output, and an input tensor for each block that has a
// choice of parents.
func (s *Space) Tensors() []Tensor { return slices.Clone(s.tensors) }

// Dim returns the number of architecture parameters: 24, 26 or 35.
func (s *Space) Dim() int {
	last := s.tensors[len(s.tensors)-1]
	return last.Offset + last.Rows*last.Cols
}

// MixedOp returns where in the flat vector the 3 entries of block 1..n start,
// which are in the order of Operation.
func (s *Space) MixedOp(block int) (offset int) { return operations * (block - 1) }

// OutputOffset returns where the n+1 entries of the edges into the output node
// start: the cell input first, then the blocks.
func (s *Space) OutputOffset() int { return s.offsets[s.output()] }

// InputOffset returns where the entries of the edges into a node start, one for
// each earlier node. Nothing is learned of nodes that take all earlier nodes as
// parents: node 1 and, in space 1, node 2.
func (s *Space) InputOffset(node int) (offset int, learnable bool) {
	return s.offsets[node], s.offsets[node] >= 0
}

// CheckAlpha reports whether alpha can be architecture parameters of the space:
// Dim() finite numbers. Callers that read them from outside call it first.
func (s *Space) CheckAlpha(alpha []float64) error {
	if len(alpha) != s.Dim() {
		return fmt.Errorf("%d architecture parameters: space %d has %d", len(alpha), s.id, s.Dim())
	}
	for _, t := range s.tensors {
		for i, v := range alpha[t.Offset : t.Offset+t.Rows*t.Cols] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("architecture parameter %s[%d,%d] is %v: want a finite number", t.Name, i/t.Cols, i%t.Cols, v)
			}
		}
	}
	return nil
}

// Softmax writes the softmax of each row of alpha to dst, which may be alpha.
// Both have length Dim(). Entries of any size are safe: the largest of a row is
// subtracted first.
func (s *Space) Softmax(dst, alpha []float64) {
	for _, r := range s.rows {
		softmax(dst[r.Offset:r.End()], alpha[r.Offset:r.End()])
	}
}

func softmax(dst, row []float64) {
	largest, sum := slices.Max(row), 0.0
	for i, v := range row {
		dst[i] = math.Exp(v - largest)
		sum += dst[i]
	}
	for i := range dst {
		dst[i] /= sum
	}
}
