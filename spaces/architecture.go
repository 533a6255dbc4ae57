package spaces

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Operation is a candidate of a choice block, in the order of the mixed
// operation's architecture parameters. NAS-Bench-101 orders them differently:
// see cell.Op.
type Operation int

// The candidates of every choice block.
const (
	MaxPool3x3 Operation = iota
	Conv3x3
	Conv1x1

	operations = 3
)

// Op returns the operation as NAS-Bench-101 numbers it.
func (o Operation) Op() cell.Op {
	return [operations]cell.Op{cell.MaxPool3x3, cell.Conv3x3, cell.Conv1x1}[o]
}

// String returns NAS-Bench-101's name of the operation.
func (o Operation) String() string {
	if o < 0 || o >= operations {
		return fmt.Sprintf("Operation(%d)", int(o))
	}
	return o.Op().String()
}

// Architecture is one cell of a space, loose ends (blocks that lead nowhere)
// included.
type Architecture struct {
	Space   int         // 1, 2 or 3
	Parents [][]int     // Parents[node], ascending, of nodes 0..n+1; node 0 has none
	Ops     []Operation // Ops[b-1] belongs to block b
}

// Check reports whether the architecture belongs to its space. Callers that read
// one from outside call it before the other methods.
func (a Architecture) Check() error {
	s, err := Get(a.Space)
	if err != nil {
		return err
	}
	if len(a.Parents) != len(s.choices) {
		return fmt.Errorf("architecture has parents of %d nodes: space %d has %d", len(a.Parents), s.id, len(s.choices))
	}
	for node, parents := range a.Parents {
		if !slices.ContainsFunc(s.choices[node], func(choice []int) bool { return slices.Equal(choice, parents) }) {
			return fmt.Errorf("node %d has parents %v: in space %d it takes %d of the earlier nodes, ascending", node, parents, s.id, s.InDegree(node))
		}
	}
	if len(a.Ops) != s.Blocks() {
		return fmt.Errorf("architecture has %d operations: space %d has %d choice blocks", len(a.Ops), s.id, s.Blocks())
	}
	for i, op := range a.Ops {
		if op < 0 || op >= operations {
			return fmt.Errorf("operation of block %d is %d: want 0 to %d", i+1, int(op), operations-1)
		}
	}
	return nil
}

// Cell returns the cell as it is looked up in NAS-Bench-101: seven vertices,
// without the edges of loose ends. In spaces 1 and 2 vertex 5 is an unconnected
// 1x1 convolution. It always has a hash.
func (a Architecture) Cell() cell.Spec {
	output := len(a.Parents) - 1
	const last = cell.MaxVertices - 1
	var spec cell.Spec
	for range cell.MaxVertices {
		spec.Matrix = append(spec.Matrix, make([]uint8, cell.MaxVertices))
	}
	for node, used := range usedNodes(a.Parents) {
		if !used {
			continue
		}
		vertex := node
		if node == output {
			vertex = last
		}
		for _, parent := range a.Parents[node] {
			spec.Matrix[parent][vertex] = 1
		}
	}
	for _, op := range a.Ops {
		spec.Ops = append(spec.Ops, op.Op())
	}
	for len(spec.Ops) < last-1 {
		spec.Ops = append(spec.Ops, cell.Conv1x1)
	}
	return spec
}

// usedNodes says for each node whether a path leads from it to the output. Such
// nodes are exactly those that survive pruning: all ancestries end in node 0.
func usedNodes(parents [][]int) []bool {
	output := len(parents) - 1
	used := make([]bool, len(parents))
	used[output] = true
	for node := output; node > 0; node-- {
		for _, parent := range parents[node] {
			used[parent] = used[parent] || used[node]
		}
	}
	return used
}

// DiscreteWeights returns the mixing weights of an architecture of the space: a
// flat vector with 1 for every chosen operation and parent, 0 elsewhere.
func (s *Space) DiscreteWeights(a Architecture) []float64 {
	weights := make([]float64, s.Dim())
	for i, op := range a.Ops {
		weights[s.MixedOp(i+1)+int(op)] = 1
	}
	for node, parents := range a.Parents {
		if offset, learnable := s.InputOffset(node); learnable {
			for _, parent := range parents {
				weights[offset+parent] = 1
			}
		}
	}
	return weights
}

// Sample draws the parents of every node uniformly from their combinations, then
// every operation uniformly: the distribution of weight-sharing random search.
func (s *Space) Sample(r *rand.Rand) Architecture {
	a := Architecture{Space: s.id, Ops: make([]Operation, s.Blocks())}
	for _, choices := range s.choices {
		a.Parents = append(a.Parents, slices.Clone(choices[r.IntN(len(choices))]))
	}
	for i := range a.Ops {
		a.Ops[i] = Operation(r.IntN(operations))
	}
	return a
}

// Mutate returns a copy in which one decision, the operation of a block or the
// parents of a node with a choice of them, is another one, drawn uniformly.
func (s *Space) Mutate(a Architecture, r *rand.Rand) Architecture {
	a.Parents, a.Ops = slices.Clone(a.Parents), slices.Clone(a.Ops)
	var choices []int // nodes that can have other parents
	for node, sets := range s.choices {
		if len(sets) > 1 {
			choices = append(choices, node)
		}
	}
	i := r.IntN(len(a.Ops) + len(choices))
	if i < len(a.Ops) {
		a.Ops[i] = (a.Ops[i] + Operation(1+r.IntN(operations-1))) % operations
		return a
	}
	node := choices[i-len(a.Ops)]
	for {
		parents := r.Perm(node)[:s.InDegree(node)]
		slices.Sort(parents)
		if !slices.Equal(parents, a.Parents[node]) {
			a.Parents[node] = parents
			return a
		}
	}
}

// Enumerate yields every architecture of the space, loose ends included, in
// lexicographic order of parents, then operations: 14,580, 29,160 or 1,312,200.
// It stops when yield returns false; it can be ranged over.
func (s *Space) Enumerate(yield func(Architecture) bool) {
	for parents := range s.topologies {
		for ops := range tuples[Operation](s.Blocks()) {
			a := Architecture{Space: s.id, Ops: slices.Clone(ops)}
			for _, set := range parents {
				a.Parents = append(a.Parents, slices.Clone(set))
			}
			if !yield(a) {
				return
			}
		}
	}
}

// topologies yields every choice of parents. What it yields is only valid until
// the next one and must not be changed.
func (s *Space) topologies(yield func(parents [][]int) bool) {
	parents := make([][]int, len(s.choices))
	var choose func(node int) bool
	choose = func(node int) bool {
		if node == len(parents) {
			return yield(parents)
		}
		for _, set := range s.choices[node] {
			parents[node] = set
			if !choose(node + 1) {
				return false
			}
		}
		return true
	}
	choose(0)
}

// tuples yields every n-tuple of the three operations, in lexicographic order,
// always in the same slice.
func tuples[Op ~int | ~uint8](n int) func(yield func([]Op) bool) {
	return func(yield func([]Op) bool) {
		ops := make([]Op, n)
		for yield(ops) {
			i := n - 1
			for ; i >= 0 && ops[i] == operations-1; i-- {
				ops[i] = 0
			}
			if i < 0 {
				return
			}
			ops[i]++
		}
	}
}
