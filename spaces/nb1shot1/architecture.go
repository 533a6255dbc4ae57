package nb1shot1

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
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

// Genotype is an architecture as NAS-Bench-1Shot1 writes it: one cell of a space, loose
// ends (blocks that lead nowhere) included.
type Genotype struct {
	Parents [][]int     // Parents[node], ascending, of nodes 0..n+1; node 0 has none
	Ops     []Operation // Ops[b-1] belongs to block b
}

// Genotype returns the architecture's, which is one of the space.
func (s *Space) Genotype(a spaces.Architecture) Genotype { return s.genotype(a.Kept) }

func (s *Space) genotype(kept [][]int) (g Genotype) {
	for b := range s.Blocks() {
		g.Ops = append(g.Ops, Operation(kept[b][0]))
	}
	for node, choices := range s.choices {
		parents := choices[0]
		if row := s.inputRows[node]; row >= 0 {
			parents = kept[row]
		}
		g.Parents = append(g.Parents, slices.Clone(parents))
	}
	return g
}

// Architecture is the way back from a genotype.
func (s *Space) Architecture(g Genotype) spaces.Architecture {
	return spaces.Architecture{Space: s.Name(), Kept: s.kept(g)}
}

func (s *Space) kept(g Genotype) [][]int {
	kept := make([][]int, len(s.Rows()))
	for i, op := range g.Ops {
		kept[i] = []int{int(op)}
	}
	for node, parents := range g.Parents {
		if row := s.inputRows[node]; row >= 0 {
			kept[row] = slices.Clone(parents)
		}
	}
	return kept
}

// rules implements [spaces.Rules] for a space.
type rules struct{ *Space }

// Check implements [spaces.Rules].
func (s rules) Check(kept [][]int) error {
	for i, r := range s.Rows() {
		if len(kept[i]) != r.Keep {
			return fmt.Errorf("%s: %d candidates are kept, want %d", r.Title, len(kept[i]), r.Keep)
		}
	}
	return nil
}

// Former reads the architectures of checkpoints made by versions that wrote genotypes.
func (s rules) Former(text []byte) ([][]int, error) {
	var g Genotype
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, err
	}
	if len(g.Ops) != s.Blocks() || len(g.Parents) != len(s.choices) {
		return nil, fmt.Errorf("an architecture of %d operations and %d nodes: space %s has %d and %d", len(g.Ops), len(g.Parents), s.Name(), s.Blocks(), len(s.choices))
	}
	return s.kept(g), nil
}

// CellOf returns the cell of an architecture of one of these spaces, as Genotype.Cell,
// and whether it is one.
func CellOf(a spaces.Architecture) (spec cell.Spec, ok bool) {
	s, err := Get(a.Space)
	if err != nil {
		return cell.Spec{}, false
	}
	return s.Genotype(a).Cell(), true
}

// Cell returns the cell as it is looked up in NAS-Bench-101: seven vertices,
// without the edges of loose ends. In spaces 1 and 2 vertex 5 is an unconnected
// 1x1 convolution. It always has a hash.
func (g Genotype) Cell() cell.Spec {
	output := len(g.Parents) - 1
	const last = cell.MaxVertices - 1
	var spec cell.Spec
	for range cell.MaxVertices {
		spec.Matrix = append(spec.Matrix, make([]uint8, cell.MaxVertices))
	}
	for node, used := range usedNodes(g.Parents) {
		if !used {
			continue
		}
		vertex := node
		if node == output {
			vertex = last
		}
		for _, parent := range g.Parents[node] {
			spec.Matrix[parent][vertex] = 1
		}
	}
	for _, op := range g.Ops {
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

// Sample draws the parents of every node uniformly from their combinations, then
// every operation uniformly: the distribution of weight-sharing random search.
func (s rules) Sample(r *rand.Rand) [][]int {
	g := Genotype{Ops: make([]Operation, s.Blocks())}
	for _, choices := range s.choices {
		g.Parents = append(g.Parents, choices[r.IntN(len(choices))])
	}
	for i := range g.Ops {
		g.Ops[i] = Operation(r.IntN(operations))
	}
	return s.kept(g)
}

// Mutate returns a copy in which one decision, the operation of a block or the
// parents of a node with a choice of them, is another one, drawn uniformly.
func (s rules) Mutate(kept [][]int, r *rand.Rand) [][]int {
	g := s.genotype(kept)
	var choices []int // nodes that can have other parents
	for node, sets := range s.choices {
		if len(sets) > 1 {
			choices = append(choices, node)
		}
	}
	i := r.IntN(len(g.Ops) + len(choices))
	if i < len(g.Ops) {
		g.Ops[i] = (g.Ops[i] + Operation(1+r.IntN(operations-1))) % operations
		return s.kept(g)
	}
	node := choices[i-len(g.Ops)]
	for {
		parents := r.Perm(node)[:s.InDegree(node)]
		slices.Sort(parents)
		if !slices.Equal(parents, g.Parents[node]) {
			g.Parents[node] = parents
			return s.kept(g)
		}
	}
}

// Discretize implements [spaces.Rules]: in each block the operation of largest weight,
// the first on ties; for each node as many parents of largest weight as it takes.
func (s rules) Discretize(alpha []float64, ties spaces.Ties) (kept [][]int) {
	for _, r := range s.Rows() {
		rule := ties
		if r.Kind == spaces.OperationRow {
			rule = spaces.TiesLowest
		}
		kept = append(kept, spaces.Top(alpha[r.Offset:r.End()], r.Keep, rule))
	}
	return kept
}

// Enumerate yields every architecture of the space, loose ends included, in
// lexicographic order of parents, then operations: 14,580, 29,160 or 1,312,200.
// It stops when yield returns false; it can be ranged over.
func (s *Space) Enumerate(yield func(Genotype) bool) {
	for parents := range s.topologies {
		for ops := range tuples[Operation](s.Blocks()) {
			g := Genotype{Ops: slices.Clone(ops)}
			for _, set := range parents {
				g.Parents = append(g.Parents, slices.Clone(set))
			}
			if !yield(g) {
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
