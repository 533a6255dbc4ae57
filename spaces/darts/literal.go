package darts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shortNames are what genotypes on one line call the operations.
var shortNames = map[string]string{
	None: "none", Noise: "noise", MaxPool: "max", AvgPool: "avg", Skip: "skip",
	SepConv3: "sep3", SepConv5: "sep5", SepConv7: "sep7", DilConv3: "dil3", DilConv5: "dil5", Conv71: "c71",
}

// ShortName returns the short name of an operation: "sep3" of "sep_conv_3x3". A name that
// is none is returned as it is.
func ShortName(operation string) string {
	if short, ok := shortNames[operation]; ok {
		return short
	}
	return operation
}

// longName returns the operation of a short or a long name.
func longName(name string) (operation string, ok bool) {
	for long, short := range shortNames {
		if name == long || name == short {
			return long, true
		}
	}
	return "", false
}

// String writes the genotype on one line, as ParseGenotype reads it.
func (g Genotype) String() string {
	return cellString(g.Cell(Normal)) + " | " + cellString(g.Cell(Reduction))
}

func cellString(pairs []Pair, concat []int) string {
	var b strings.Builder
	for i, p := range pairs {
		switch {
		case i > 0 && i%Inputs == 0:
			b.WriteString(" / ")
		case i > 0:
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s:%d", ShortName(p.Operation), p.Input)
	}
	if !slices.Equal(concat, allNodes(len(pairs)/Inputs)) {
		fmt.Fprint(&b, " ", concat)
	}
	return b.String()
}

// allNodes are the states of so many intermediate nodes.
func allNodes(n int) []int {
	var states []int
	for node := range n {
		states = append(states, node+Inputs)
	}
	return states
}

// maxNodes is the number of nodes up to which a cell is read.
const maxNodes = 8

// ParseGenotype reads a genotype written on one line: the normal cell, "|", the reduction
// cell. A cell is its nodes, separated by "/", each with two pairs "operation:input", such
// as "sep3:1 skip:0". Operations have their short names (none, noise, max, avg, skip, sep3,
// sep5, sep7, dil3, dil5, c71) or the long ones of the released code; the inputs 0 and 1 are
// the two cells before, 2 is the first node. In square brackets behind the nodes stand the
// states that are the output, if these are not all nodes.
func ParseGenotype(text string) (Genotype, error) {
	normal, reduce, both := strings.Cut(text, "|")
	if !both || strings.Contains(reduce, "|") {
		return Genotype{}, fmt.Errorf(`genotype %.60q: want a normal cell, "|" and a reduction cell, such as "skip:0 sep3:1 / ... | max:0 max:1 / ..."`, text)
	}
	var g Genotype
	var err error
	if g.Normal, g.NormalConcat, err = parseCell(normal); err != nil {
		return Genotype{}, fmt.Errorf("normal cell: %w", err)
	}
	if g.Reduce, g.ReduceConcat, err = parseCell(reduce); err != nil {
		return Genotype{}, fmt.Errorf("reduction cell: %w", err)
	}
	return g, nil
}

func parseCell(text string) (pairs []Pair, concat []int, err error) {
	nodes, output, some := strings.Cut(text, "[")
	for i, node := range strings.Split(nodes, "/") {
		words := strings.Fields(node)
		if len(words) != Inputs {
			return nil, nil, fmt.Errorf(`node %d is %.60q: want two pairs, such as "sep3:1 skip:0"`, i, strings.TrimSpace(node))
		}
		for _, word := range words {
			name, input, _ := strings.Cut(word, ":")
			operation, known := longName(name)
			if !known {
				return nil, nil, fmt.Errorf("node %d: no operation %.40q: choose none, noise, max, avg, skip, sep3, sep5, sep7, dil3, dil5 or c71", i, name)
			}
			from, err := strconv.Atoi(input)
			if err != nil || from < 0 || from >= i+Inputs {
				return nil, nil, fmt.Errorf("node %d: the input of %.40q is %.40q: want 0 to %d", i, name, input, i+Inputs-1)
			}
			pairs = append(pairs, Pair{operation, from})
		}
	}
	n := len(pairs) / Inputs
	if n > maxNodes {
		return nil, nil, fmt.Errorf("%d nodes, want at most %d", n, maxNodes)
	}
	if !some {
		return pairs, allNodes(n), nil
	}
	output, closed := strings.CutSuffix(strings.TrimSpace(output), "]")
	for _, word := range strings.Fields(output) {
		state, err := strconv.Atoi(word)
		if err != nil || state < Inputs || state >= n+Inputs || slices.Contains(concat, state) {
			return nil, nil, fmt.Errorf("%.40q is no state for the output: want some of %d to %d, each once", word, Inputs, n+Inputs-1)
		}
		concat = append(concat, state)
	}
	if !closed || len(concat) == 0 {
		return nil, nil, fmt.Errorf(`the states of the output are "[%.40s": want them in square brackets behind the nodes`, output)
	}
	return pairs, concat, nil
}
