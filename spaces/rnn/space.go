package rnn

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// Name is the name of the space.
const Name spaces.Name = "rnn"

var space = newSpace()

func init() { spaces.Register(space) }

// Space returns the space: 36 rows of 5 architecture parameters, in one tensor.
func Space() *spaces.Space { return space }

func newSpace() *spaces.Space {
	var rows []spaces.Row
	for node := 1; node <= Nodes; node++ {
		for from := range node {
			row := spaces.Row{
				Tensor: "weights", Title: fmt.Sprintf("node %d to node %d", from, node),
				Offset: len(functions) * Row(from, node), Kind: spaces.OperationRow, Keep: 1,
			}
			for _, name := range functions {
				row.Candidates = append(row.Candidates, spaces.Candidate{Name: name})
			}
			rows = append(rows, row)
		}
	}
	return spaces.New(Name, rows, rules{})
}

// Cells is the number of cells of the space: 8!·4⁸, as a node has one input and one function.
func Cells() int {
	n := 1
	for node := range Nodes {
		n *= (node + 1) * (len(functions) - 1)
	}
	return n
}

// GenotypeOf returns the genotype of an architecture, and whether it is one of the space.
func GenotypeOf(a spaces.Architecture) (Genotype, bool) {
	if a.Space != Name || a.Check() != nil {
		return Genotype{}, false
	}
	return genotypeOf(a.Kept), true
}

// genotypeOf is that of what an architecture of the space keeps.
func genotypeOf(kept [][]int) Genotype {
	g := Genotype{Concat: states(Nodes)}
	for node := 1; node <= Nodes; node++ {
		for from := range node {
			for _, k := range kept[Row(from, node)] {
				g.Nodes = append(g.Nodes, Node{functions[k], from})
			}
		}
	}
	return g
}

// Architecture is the way back from a genotype. It is an error if the space does not have it:
// another number of nodes, or nodes that are not averaged.
func Architecture(g Genotype) (spaces.Architecture, error) {
	if len(g.Nodes) != Nodes || !slices.Equal(g.Concat, states(Nodes)) {
		return spaces.Architecture{}, fmt.Errorf("%d nodes, states %v averaged: cells of space %s have %d nodes and average all of them", len(g.Nodes), g.Concat, Name, Nodes)
	}
	kept := make([][]int, Edges)
	for i := range kept {
		kept[i] = []int{}
	}
	for i, n := range g.Nodes {
		if n.Input < 0 || n.Input > i {
			return spaces.Architecture{}, fmt.Errorf("node %d has input %d, want 0 to %d", i+1, n.Input, i)
		}
		kept[Row(n.Input, i+1)] = []int{slices.Index(functions, n.Function)}
	}
	a := spaces.Architecture{Space: Name, Kept: kept}
	return a, rules{}.Check(kept)
}

// rules implements [spaces.Rules].
type rules struct{}

// Check implements [spaces.Rules]: one edge into each node, with a function.
func (rules) Check(kept [][]int) error {
	for node := 1; node <= Nodes; node++ {
		edges := 0
		for from := range node {
			k := kept[Row(from, node)]
			if len(k) > 0 && (k[0] < 1 || k[0] >= len(functions)) {
				return fmt.Errorf("node %d to node %d: candidate %d is kept, want a function", from, node, k[0])
			}
			edges += len(k)
		}
		if edges != 1 {
			return fmt.Errorf("%d edges into node %d are kept, want one", edges, node)
		}
	}
	return nil
}

// Discretize implements [spaces.Rules]: see Derive. How ties are broken is part of the rule
// there.
func (rules) Discretize(alpha []float64, _ spaces.Ties) [][]int { return kept(Derive(alpha)) }

// kept is that of a genotype of the space.
func kept(g Genotype) [][]int {
	a, err := Architecture(g)
	if err != nil {
		panic(err) // cannot be: the genotype was made for the space
	}
	return a.Kept
}

// Sample implements [spaces.Rules]: for each node an input and a function, drawn uniformly.
func (rules) Sample(r *rand.Rand) [][]int {
	g := Genotype{Concat: states(Nodes)}
	for node := range Nodes {
		g.Nodes = append(g.Nodes, Node{functions[1+r.IntN(len(functions)-1)], r.IntN(node + 1)})
	}
	return kept(g)
}

// Mutate implements [spaces.Rules]. A decision is the function of a node, or its input where
// there is another one.
func (rules) Mutate(old [][]int, r *rand.Rand) [][]int {
	g := genotypeOf(old)
	if i := r.IntN(2*Nodes - 1); i < Nodes {
		at := slices.Index(functions, g.Nodes[i].Function) - 1
		g.Nodes[i].Function = functions[1+(at+1+r.IntN(len(functions)-2))%(len(functions)-1)]
	} else {
		i -= Nodes - 1
		g.Nodes[i].Input = (g.Nodes[i].Input + 1 + r.IntN(i)) % (i + 1)
	}
	return kept(g)
}
