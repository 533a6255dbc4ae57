package darts

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shortNames are what tables call the operations.
var shortNames = map[string]string{
	None: "none", Noise: "noise", MaxPool: "max", AvgPool: "avg", Skip: "skip",
	SepConv3: "sep3", SepConv5: "sep5", SepConv7: "sep7", DilConv3: "dil3", DilConv5: "dil5", Conv71: "c71",
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

// Short writes a cell in a line: the pairs of each node, parted by slashes, each as
// operation:input, "skip:1 sep3:0 / dil3:2 skip:0 / …". If some of the nodes are not part of
// the output, the states that are follow: "[4 5 6]".
func (g Genotype) Short(t CellType) string {
	pairs, concat := g.Cell(t)
	var nodes []string
	for node := range slices.Chunk(pairs, Inputs) {
		var parts []string
		for _, p := range node {
			parts = append(parts, fmt.Sprintf("%s:%d", shortNames[p.Operation], p.Input))
		}
		nodes = append(nodes, strings.Join(parts, " "))
	}
	line := strings.Join(nodes, " / ")
	if !slices.Equal(concat, allNodes(len(nodes))) {
		line += fmt.Sprint(" ", concat)
	}
	return line
}

// Line writes both cells in a line, as Short does, with "|" between the normal and the
// reduction cell. ParseGenotype reads it.
func (g Genotype) Line() string { return g.Short(Normal) + " | " + g.Short(Reduction) }

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

// allNodes are the states of so many intermediate nodes.
func allNodes(n int) []int {
	var states []int
	for node := range n {
		states = append(states, node+Inputs)
	}
	return states
}

// maxNodes is the number of nodes of a cell up to which genotypes are read.
const maxNodes = 8

// ParseGenotype reads a genotype as Line or String writes it. In a line operations may
// have their short names (none, noise, max, avg, skip, sep3, sep5, sep7, dil3, dil5, c71) or
// the long ones of the released code; the inputs 0 and 1 are the two cells before, 2 is the
// first node.
func ParseGenotype(text string) (Genotype, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "Genotype(") {
		return parsePython(text)
	}
	normal, reduce, both := strings.Cut(text, "|")
	if !both {
		return Genotype{}, fmt.Errorf(`genotype %.60q: want a normal cell, "|" and a reduction cell, such as "skip:0 sep3:1 / … | max:0 max:1 / …"`, text)
	}
	var cells [CellTypes][]Pair
	var concats [CellTypes][]int
	for t, line := range []string{normal, reduce} {
		nodes, output, some := strings.Cut(line, "[")
		var pairs [][2]string
		for i, node := range strings.Split(nodes, "/") {
			words := strings.Fields(node)
			if len(words) != Inputs {
				return Genotype{}, fmt.Errorf(`%s cell: node %d is %.60q: want two pairs, such as "sep3:1 skip:0"`, CellType(t), i, strings.TrimSpace(node))
			}
			for _, word := range words {
				operation, input, _ := strings.Cut(word, ":")
				pairs = append(pairs, [2]string{operation, input})
			}
		}
		var states []string
		if some {
			output, closed := strings.CutSuffix(strings.TrimSpace(output), "]")
			if states = strings.Fields(output); !closed || len(states) == 0 {
				return Genotype{}, fmt.Errorf(`%s cell: the output is "[%.40s": want its states in square brackets behind the nodes`, CellType(t), output)
			}
		}
		var err error
		if cells[t], concats[t], err = readCell(pairs, states); err != nil {
			return Genotype{}, fmt.Errorf("%s cell: %w", CellType(t), err)
		}
	}
	return Genotype{cells[Normal], concats[Normal], cells[Reduction], concats[Reduction]}, nil
}

// The parts of what String writes. The released code also has range(2, 6) for the states.
var (
	pythonCells = regexp.MustCompile(`^Genotype\(normal=\[(.*)\], *normal_concat=(.*), *reduce=\[(.*)\], *reduce_concat=(.*)\)$`)
	pythonPair  = regexp.MustCompile(`^\('([a-z0-9_]+)', *([0-9]+)\)(?:, *|$)`)
	pythonRange = regexp.MustCompile(`^range\(2, *([0-9])\)$`)
)

func parsePython(text string) (Genotype, error) {
	text = strings.TrimSpace(text)
	parts := pythonCells.FindStringSubmatch(text)
	if parts == nil {
		return Genotype{}, fmt.Errorf("genotype %.60q: want Genotype(normal=[…], normal_concat=[…], reduce=[…], reduce_concat=[…])", text)
	}
	var cells [CellTypes][]Pair
	var concats [CellTypes][]int
	for t := range CellType(CellTypes) {
		var pairs [][2]string
		list, concat := parts[1+2*t], parts[2+2*t]
		for list != "" {
			m := pythonPair.FindStringSubmatch(list)
			if m == nil {
				return Genotype{}, fmt.Errorf("%s cell: %.40q: want pairs such as ('skip_connect', 0)", t, list)
			}
			pairs = append(pairs, [2]string{m[1], m[2]})
			list = list[len(m[0]):]
		}
		var states []string
		if m := pythonRange.FindStringSubmatch(concat); m != nil {
			for state := '2'; state < rune(m[1][0]); state++ {
				states = append(states, string(state))
			}
		} else {
			states = strings.FieldsFunc(concat, func(r rune) bool { return strings.ContainsRune("[, ]", r) })
		}
		if len(states) == 0 {
			return Genotype{}, fmt.Errorf("%s cell: the output is %.40q: want states such as [2, 3, 4, 5]", t, concat)
		}
		var err error
		if cells[t], concats[t], err = readCell(pairs, states); err != nil {
			return Genotype{}, fmt.Errorf("%s cell: %w", t, err)
		}
	}
	return Genotype{cells[Normal], concats[Normal], cells[Reduction], concats[Reduction]}, nil
}

// readCell reads pairs of operation and input, and the states of the output, which are all
// nodes if there are none.
func readCell(words [][2]string, states []string) (pairs []Pair, concat []int, err error) {
	n := len(words) / Inputs
	if n < 1 || n > maxNodes || len(words)%Inputs != 0 {
		return nil, nil, fmt.Errorf("%d pairs: want two for each of 1 to %d nodes", len(words), maxNodes)
	}
	for i, word := range words {
		node := i / Inputs
		operation, known := longName(word[0])
		if !known {
			return nil, nil, fmt.Errorf("node %d: no operation %.40q: choose none, noise, max, avg, skip, sep3, sep5, sep7, dil3, dil5 or c71", node, word[0])
		}
		from, err := strconv.Atoi(word[1])
		if err != nil || from < 0 || from >= node+Inputs {
			return nil, nil, fmt.Errorf("node %d: the input of %s is %.40q: want 0 to %d", node, word[0], word[1], node+Inputs-1)
		}
		pairs = append(pairs, Pair{operation, from})
	}
	if states == nil {
		return pairs, allNodes(n), nil
	}
	for _, word := range states {
		state, err := strconv.Atoi(word)
		if err != nil || state < Inputs || state >= n+Inputs || slices.Contains(concat, state) {
			return nil, nil, fmt.Errorf("%.40q is no state for the output: want some of %d to %d, each once", word, Inputs, n+Inputs-1)
		}
		concat = append(concat, state)
	}
	return pairs, concat, nil
}
