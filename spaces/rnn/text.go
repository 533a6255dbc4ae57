package rnn

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Line writes a cell in a line: the nodes, each as function:input, "relu:0 relu:1 tanh:2 …".
// If some of them are not averaged, the states that are follow: "[2 5 6]". ParseGenotype
// reads it.
func (g Genotype) Line() string {
	var nodes []string
	for _, n := range g.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s:%d", n.Function, n.Input))
	}
	line := strings.Join(nodes, " ")
	if !slices.Equal(g.Concat, states(len(g.Nodes))) {
		line += fmt.Sprint(" ", g.Concat)
	}
	return line
}

// String writes the genotype as the released code prints it, in Python:
// "Genotype(recurrent=[('relu', 0), …], concat=[1, 2, 3, 4, 5, 6, 7, 8])".
func (g Genotype) String() string {
	var nodes, concat []string
	for _, n := range g.Nodes {
		nodes = append(nodes, fmt.Sprintf("('%s', %d)", n.Function, n.Input))
	}
	for _, s := range g.Concat {
		concat = append(concat, fmt.Sprint(s))
	}
	return fmt.Sprintf("Genotype(recurrent=[%s], concat=[%s])", strings.Join(nodes, ", "), strings.Join(concat, ", "))
}

// MaxNodes is the number of nodes of a cell up to which genotypes are read.
const MaxNodes = 12

// The parts of what String writes. The released code also has range(1, 9) for the states.
var (
	pythonCell  = regexp.MustCompile(`^Genotype\(recurrent=\[(.*)\], *concat=(.*)\)$`)
	pythonNode  = regexp.MustCompile(`^\('([a-z0-9_]+)', *([0-9]+)\)(?:, *|$)`)
	pythonRange = regexp.MustCompile(`^range\(1, *([0-9]{1,2})\)$`)
	lineBegin   = regexp.MustCompile(`^[A-Za-z]+:[0-9]+(\s|$)`)
)

// IsGenotype tells whether a text is meant as a genotype of this package, rather than one of
// convolutional cells or the name of something: as Line or String begins it.
func IsGenotype(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "Genotype(recurrent=") || lineBegin.MatchString(text) && !strings.ContainsAny(text, "|/")
}

// ParseGenotype reads a genotype as Line or String writes it. The input 0 is state 0, which is
// made of the word and of the hidden state before; 1 is the first node.
func ParseGenotype(text string) (Genotype, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "Genotype(") {
		return parsePython(text)
	}
	nodes, output, some := strings.Cut(text, "[")
	var words [][2]string
	for word := range strings.FieldsSeq(nodes) {
		function, input, _ := strings.Cut(word, ":")
		words = append(words, [2]string{function, input})
	}
	var concat []string
	if some {
		output, closed := strings.CutSuffix(output, "]")
		if concat = strings.Fields(output); !closed || len(concat) == 0 {
			return Genotype{}, fmt.Errorf(`the output is "[%.40s": want its states in square brackets behind the nodes`, output)
		}
	}
	return read(words, concat)
}

func parsePython(text string) (Genotype, error) {
	parts := pythonCell.FindStringSubmatch(text)
	if parts == nil {
		return Genotype{}, fmt.Errorf("genotype %.60q: want Genotype(recurrent=[…], concat=[…])", text)
	}
	var words [][2]string
	for list := parts[1]; list != ""; {
		m := pythonNode.FindStringSubmatch(list)
		if m == nil {
			return Genotype{}, fmt.Errorf("%.40q: want nodes such as ('relu', 0)", list)
		}
		words = append(words, [2]string{m[1], m[2]})
		list = list[len(m[0]):]
	}
	var concat []string
	if m := pythonRange.FindStringSubmatch(parts[2]); m != nil {
		end, _ := strconv.Atoi(m[1]) // two digits at most
		for state := 1; state < end; state++ {
			concat = append(concat, fmt.Sprint(state))
		}
	} else {
		concat = strings.FieldsFunc(parts[2], func(r rune) bool { return strings.ContainsRune("[, ]", r) })
	}
	if len(concat) == 0 {
		return Genotype{}, fmt.Errorf("the output is %.40q: want states such as [1, 2, 3]", parts[2])
	}
	return read(words, concat)
}

// read makes a genotype of pairs of function and input and of the states of the output, which
// are all nodes if there are none.
func read(words [][2]string, concat []string) (Genotype, error) {
	if len(words) < 1 || len(words) > MaxNodes {
		return Genotype{}, fmt.Errorf(`%d nodes: want 1 to %d, such as "relu:0 relu:1 tanh:2"`, len(words), MaxNodes)
	}
	var g Genotype
	for i, word := range words {
		if !slices.Contains(functions[1:], word[0]) {
			return Genotype{}, fmt.Errorf("node %d: no function %.40q: choose tanh, relu, sigmoid or identity", i+1, word[0])
		}
		from, err := strconv.Atoi(word[1])
		if err != nil || from < 0 || from > i {
			return Genotype{}, fmt.Errorf("node %d: the input of %s is %.40q: want 0 to %d", i+1, word[0], word[1], i)
		}
		g.Nodes = append(g.Nodes, Node{word[0], from})
	}
	if concat == nil {
		g.Concat = states(len(words))
		return g, nil
	}
	for _, word := range concat {
		state, err := strconv.Atoi(word)
		if err != nil || state < 1 || state > len(words) || slices.Contains(g.Concat, state) {
			return Genotype{}, fmt.Errorf("%.40q is no state for the output: want some of 1 to %d, each once", word, len(words))
		}
		g.Concat = append(g.Concat, state)
	}
	return g, nil
}
