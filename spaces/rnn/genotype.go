// Package rnn holds the recurrent cells of DARTS (Liu et al., 2019), whose space the SDARTS
// paper searches on Penn Treebank (Section 5.4): derivation from architecture parameters,
// published genotypes, their shape and what their networks cost.
//
// A cell has states 0 to 8. State 0 is made of the word and of the hidden state of the time
// step before, in a fixed way. Each of the nodes 1 to 8 takes one earlier state s, and is
//
//	s + σ(c)·(f(z) − s),
//
// where c and z are the two halves of the product of s with the node's matrix, and f is one of
// four functions. The new hidden state is the mean of the nodes.
package rnn

import (
	"fmt"

	"github.com/nb1shot/nb1shot/spaces"
)

// The functions of the space, by the names of the released code, in the order of the columns
// of the architecture parameters. None is no function of a node: it only takes weight from
// its edge.
const (
	None     = "none"
	Tanh     = "tanh"
	ReLU     = "relu"
	Sigmoid  = "sigmoid"
	Identity = "identity"
)

// functions are the columns of the architecture parameters.
var functions = []string{None, Tanh, ReLU, Sigmoid, Identity}

// Functions returns the five columns of the architecture parameters: None, then what a node
// can apply.
func Functions() []string { return append([]string(nil), functions...) }

// The size of a cell of the space.
const (
	Nodes = 8                       // that are searched
	Edges = Nodes * (Nodes + 1) / 2 // into them, a row of architecture parameters each
	Dim   = Edges * 5               // architecture parameters
)

// Row returns the number of the row of the edge from a state, 0 to node − 1, to a node, 1 to
// 8.
func Row(from, node int) int { return node*(node-1)/2 + from }

// Node is a node of a genotype.
type Node struct {
	Function string // not None
	Input    int    // the state that it is applied to, lower than the node's own number
}

// Genotype is a cell as the released code writes it. Node i of the list is state i+1. Cells
// of the space have 8 nodes, all of which are averaged; ENAS's has 11.
type Genotype struct {
	Nodes  []Node
	Concat []int // the states whose mean is the new hidden state
}

// Depth returns the number of nodes on the longest path to the hidden state, at most the
// number of nodes.
func (g Genotype) Depth() int {
	longest, depth := make([]int, len(g.Nodes)+1), 0
	for i, n := range g.Nodes {
		longest[i+1] = longest[n.Input] + 1
	}
	for _, state := range g.Concat {
		depth = max(depth, longest[state])
	}
	return depth
}

// Derive returns the genotype that architecture parameters alpha favour: 36 rows of 5, those
// of the edges into node 1 first, each from lower states first. It panics if there are not
// Dim of them.
//
// Each row becomes its softmax, in single precision as in the released code, and the largest
// entry of it that is not None is the score of the edge. A node takes the edge of largest
// score, the first on ties, with the function of that entry, the first on ties. None is never
// taken, but its weight lowers the score of its edge (quirk R13).
func Derive(alpha []float64) Genotype {
	if len(alpha) != Dim {
		panic(fmt.Sprintf("spaces/rnn: %d architecture parameters, want %d", len(alpha), Dim))
	}
	var g Genotype
	for node := 1; node <= Nodes; node++ {
		var best Node
		score := float32(-1)
		for from := range node {
			at := len(functions) * Row(from, node)
			for k, w := range spaces.Softmax32(alpha[at : at+len(functions)]) {
				if functions[k] != None && (w > score || best.Function == "") {
					best, score = Node{functions[k], from}, w
				}
			}
		}
		g.Nodes = append(g.Nodes, best)
	}
	g.Concat = states(Nodes)
	return g
}

// states are those of so many nodes.
func states(nodes int) []int {
	var all []int
	for node := range nodes {
		all = append(all, node+1)
	}
	return all
}
