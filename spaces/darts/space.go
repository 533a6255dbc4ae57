// Package darts holds the spaces of convolutional cells of DARTS (Liu et al., 2019), which
// are searched on CIFAR-10, CIFAR-100 and SVHN: the space of the SDARTS paper with 7
// operations (darts), the original one with 8 (darts8), and the four reduced spaces of
// RobustDARTS (Zela et al., 2020), darts-s1 to darts-s4. It registers them with package
// spaces.
//
// A network has cells of two types, normal and reduction. A cell has 6 states: states 0
// and 1 are the outputs of the two cells before, states 2 to 5 its intermediate nodes,
// which figures call 0 to 3. An edge leads into a node from each state before it, 14
// edges in all; each is a row of architecture parameters. A discrete architecture keeps
// two edges into each node, with one operation on each.
package darts

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// The size of every cell.
const (
	Nodes  = 4  // intermediate nodes
	Edges  = 14 // into them
	Inputs = 2  // kept edges into each node
)

// CellType is the type of a cell. All cells of a type share their architecture.
type CellType int

// The types, in the order of the rows of a space.
const (
	Normal CellType = iota
	Reduction
	CellTypes = 2
)

// String returns "normal" or "reduction".
func (t CellType) String() string { return [CellTypes]string{"normal", "reduction"}[t] }

// Edge leads from one state of a cell to another.
type Edge struct {
	From int // 0 to 4
	To   int // 2 to 5, larger than From
}

// EdgeAt returns edge e of a cell, 0 to 13: those into state 2 first, then those into 3, 4
// and 5, each from lower states first.
func EdgeAt(e int) Edge {
	node := 0
	for e >= firstEdge(node+1) {
		node++
	}
	return Edge{e - firstEdge(node), node + Inputs}
}

// Index returns the number of an edge, the inverse of EdgeAt.
func (e Edge) Index() int { return firstEdge(e.To-Inputs) + e.From }

// firstEdge is the first edge into a node 0 to 3.
func firstEdge(node int) int { return node * (node + 3) / 2 }

// StateName is what figures call a state of a cell: "c_{k-2}", "c_{k-1}", or the number
// of a node, 0 to 3.
func StateName(state int) string {
	if state < Inputs {
		return fmt.Sprintf("c_{k-%d}", Inputs-state)
	}
	return fmt.Sprint(state - Inputs)
}

// Row returns the number of the row of an edge's operations.
func Row(t CellType, edge int) int { return Edges*int(t) + edge }

// Space is a space of this family: a registered one, or one derived from it, which has
// other rows but the same architectures. It is immutable and safe for concurrent use.
type Space struct {
	*spaces.Space
	base    *Space  // the registered space
	numbers [][]int // for each row of operations the numbers of its candidates in the registered space
	edges   bool    // whether there are rows of edges as well
}

// Of returns the space of this family that a space is, and whether it is one.
func Of(s *spaces.Space) (*Space, bool) {
	r, ok := s.Rules().(rules)
	return r.Space, ok
}

// Get returns the registered space of a name.
func Get(name spaces.Name) (*Space, error) {
	for _, s := range all {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("space %.40q is not one of DARTS: want one of %v", name, Names())
}

// All returns the registered spaces: darts, darts8, darts-s1, darts-s2, darts-s3, darts-s4.
func All() []*Space { return slices.Clone(all) }

// Names returns the names of All.
func Names() (names []spaces.Name) {
	for _, s := range all {
		names = append(names, s.Name())
	}
	return names
}

// seven are the operations of the SDARTS paper's space (quirk C1).
var seven = []string{MaxPool, AvgPool, Skip, SepConv3, SepConv5, DilConv3, DilConv5}

// reduced are the operations of space S1 on each edge, of normal and reduction cells.
var reduced = [CellTypes][Edges][]string{
	Normal: {
		{Skip, DilConv3}, {Skip, DilConv5},
		{Skip, DilConv5}, {Skip, SepConv3}, {Skip, DilConv3},
		{MaxPool, Skip}, {Skip, SepConv3}, {Skip, SepConv3}, {Skip, DilConv3},
		{Skip, SepConv3}, {MaxPool, Skip}, {Skip, DilConv3}, {DilConv3, DilConv5}, {DilConv3, DilConv5},
	},
	Reduction: {
		{MaxPool, AvgPool}, {MaxPool, DilConv3},
		{MaxPool, AvgPool}, {MaxPool, AvgPool}, {Skip, DilConv5},
		{MaxPool, AvgPool}, {MaxPool, SepConv3}, {Skip, DilConv3}, {Skip, DilConv5},
		{MaxPool, AvgPool}, {MaxPool, AvgPool}, {Skip, DilConv5}, {Skip, DilConv5}, {Skip, DilConv5},
	},
}

var all = []*Space{
	register("darts", everywhere(seven...)),
	register("darts8", everywhere(append([]string{None}, seven...)...)),
	register("darts-s1", func(t CellType, edge int) []string { return reduced[t][edge] }),
	register("darts-s2", everywhere(Skip, SepConv3)),
	register("darts-s3", everywhere(None, Skip, SepConv3)),
	register("darts-s4", everywhere(Noise, SepConv3)),
}

// everywhere has the same operations on every edge.
func everywhere(operations ...string) func(CellType, int) []string {
	return func(CellType, int) []string { return operations }
}

func register(name spaces.Name, operations func(CellType, int) []string) *Space {
	s := &Space{}
	s.base = s
	var candidates [][]spaces.Candidate
	for t := range CellType(CellTypes) {
		for e := range Edges {
			var row []spaces.Candidate
			var numbers []int
			for i, op := range operations(t, e) {
				row = append(row, spaces.Candidate{Name: op, ParameterFree: ParameterFree(op)})
				numbers = append(numbers, i)
			}
			candidates = append(candidates, row)
			s.numbers = append(s.numbers, numbers)
		}
	}
	s.build(name, candidates)
	spaces.Register(s.Space)
	return s
}

// build makes the rows.
func (s *Space) build(name spaces.Name, candidates [][]spaces.Candidate) {
	var rows []spaces.Row
	at := 0
	add := func(tensor, title string, kind spaces.RowKind, keep int, c []spaces.Candidate) {
		rows = append(rows, spaces.Row{Tensor: tensor, Title: title, Offset: at, Kind: kind, Keep: keep, Candidates: c})
		at += len(c)
	}
	short := [CellTypes]string{"normal", "reduce"}
	for t := range CellType(CellTypes) {
		for e := range Edges {
			edge := EdgeAt(e)
			add("alphas_"+short[t], fmt.Sprintf("%s cell, %s to node %s", t, StateName(edge.From), StateName(edge.To)),
				spaces.OperationRow, 1, candidates[Row(t, e)])
		}
	}
	for t := range CellType(CellTypes) {
		for node := range Nodes {
			if !s.edges {
				break
			}
			var inputs []spaces.Candidate
			for from := range node + Inputs {
				name := StateName(from)
				if from >= Inputs {
					name = "node " + name
				}
				inputs = append(inputs, spaces.Candidate{Name: name})
			}
			add("betas_"+short[t], fmt.Sprintf("%s cell, inputs of node %d", t, node), spaces.EdgeRow, Inputs, inputs)
		}
	}
	s.Space = spaces.New(name, rows, rules{s})
}

// Base returns the registered space that the space is derived from, or the space itself.
func (s *Space) Base() *Space { return s.base }

// HasEdges tells whether the space has rows of edges, as WithEdges makes them.
func (s *Space) HasEdges() bool { return s.edges }

// Restricted tells whether the space has been made by Restrict.
func (s *Space) Restricted() bool { return s != s.base && !s.edges }

// WithEdges returns the space of PC-DARTS (Xu et al., 2020): after the rows of the
// operations it has, for each node of both types of cells, a row of the edges into it.
// They are the tensors betas_normal and betas_reduce of 14 entries each. It panics if the
// space is not a registered one.
func (s *Space) WithEdges() *Space {
	s.mustBeRegistered()
	d := &Space{base: s, numbers: s.numbers, edges: true}
	d.build(s.Name(), s.candidates())
	return d
}

// Restrict returns the space in which every edge has some of its operations only, as in
// the stages of P-DARTS (Chen et al., 2019): those whose numbers kept lists, ascending,
// for each of the 28 rows. Its architectures are those of the registered space, whose
// candidate numbers they keep. It panics if the space is not a registered one or where
// kept is not as said.
func (s *Space) Restrict(kept [][]int) *Space {
	s.mustBeRegistered()
	if len(kept) != len(s.numbers) {
		panic(fmt.Sprintf("spaces/darts: %d rows restrict space %s, want %d", len(kept), s.Name(), len(s.numbers)))
	}
	d := &Space{base: s}
	var candidates [][]spaces.Candidate
	for i, all := range s.candidates() {
		var row []spaces.Candidate
		for j, k := range kept[i] {
			if k < 0 || k >= len(all) || j > 0 && k <= kept[i][j-1] {
				panic(fmt.Sprintf("spaces/darts: row %d of space %s keeps the candidates %v, want some of 0 to %d, ascending", i, s.Name(), kept[i], len(all)-1))
			}
			row = append(row, all[k])
		}
		if len(row) == 0 || len(row) == 1 && row[0].Name == None {
			panic(fmt.Sprintf("spaces/darts: row %d of space %s keeps no operation", i, s.Name()))
		}
		candidates = append(candidates, row)
		d.numbers = append(d.numbers, slices.Clone(kept[i]))
	}
	d.build(s.Name(), candidates)
	return d
}

func (s *Space) mustBeRegistered() {
	if s != s.base {
		panic(fmt.Sprintf("spaces/darts: a space derived from %s cannot be derived from again", s.Name()))
	}
}

// candidates returns the candidates of each row of operations.
func (s *Space) candidates() (all [][]spaces.Candidate) {
	for _, r := range s.Rows()[:CellTypes*Edges] {
		all = append(all, r.Candidates)
	}
	return all
}

// EdgeRow returns the number of the row of the edges into a node 0 to 3, in a space that
// has such rows (see HasEdges).
func EdgeRow(t CellType, node int) int { return CellTypes*Edges + Nodes*int(t) + node }
