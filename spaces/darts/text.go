package darts

import (
	"fmt"
	"slices"
	"strings"
)

// shortNames are what tables call the operations.
var shortNames = map[string]string{
	None: "none", Noise: "noise", MaxPool: "max", AvgPool: "avg", Skip: "skip",
	SepConv3: "sep3", SepConv5: "sep5", SepConv7: "sep7", DilConv3: "dil3", DilConv5: "dil5", Conv71: "c71",
}

// Short writes a cell in a line: the pairs of each node, parted by slashes, each as
// operation:input, "skip:1 sep3:0 / dil3:2 skip:0 / …".
func (g Genotype) Short(t CellType) string {
	pairs, _ := g.Cell(t)
	var nodes []string
	for node := range slices.Chunk(pairs, Inputs) {
		var parts []string
		for _, p := range node {
			parts = append(parts, fmt.Sprintf("%s:%d", shortNames[p.Operation], p.Input))
		}
		nodes = append(nodes, strings.Join(parts, " "))
	}
	return strings.Join(nodes, " / ")
}

// String writes the genotype as the released code prints it, in Python:
// "Genotype(normal=[('skip_connect', 1), …], normal_concat=[2, 3, 4, 5], reduce=[…], …)".
func (g Genotype) String() string {
	cell := func(t CellType) string {
		pairs, concat := g.Cell(t)
		var parts, states []string
		for _, p := range pairs {
			parts = append(parts, fmt.Sprintf("('%s', %d)", p.Operation, p.Input))
		}
		for _, s := range concat {
			states = append(states, fmt.Sprint(s))
		}
		name := [CellTypes]string{"normal", "reduce"}[t]
		return fmt.Sprintf("%s=[%s], %s_concat=[%s]", name, strings.Join(parts, ", "), name, strings.Join(states, ", "))
	}
	return fmt.Sprintf("Genotype(%s, %s)", cell(Normal), cell(Reduction))
}
