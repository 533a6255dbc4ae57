package plots

import (
	"fmt"
	"image/color"
	"slices"

	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// functionColours are those of the functions of a recurrent cell.
var functionColours = map[string]color.NRGBA{
	rnn.Tanh:     colours[0],
	rnn.ReLU:     colours[1],
	rnn.Sigmoid:  colours[3],
	rnn.Identity: colours[2],
}

// recurrentDiagram is that of a recurrent cell: the word and the hidden state before, node 0,
// and a box for each other node, with its number and its function, after the node that it is
// applied to.
func recurrentDiagram(g rnn.Genotype, pruned bool) (*diagram, error) {
	n := len(g.Nodes)
	if n < 1 || n > rnn.MaxNodes {
		return nil, fmt.Errorf("draw cell: it has %d nodes, want 1 to %d", n, rnn.MaxNodes)
	}
	used := make([]bool, n+1) // states that lead to the output
	for state := n; state >= 0; state-- {
		used[state] = used[state] || state > 0 && slices.Contains(g.Concat, state)
		if state == 0 {
			continue
		}
		input := g.Nodes[state-1].Input
		if input < 0 || input >= state {
			return nil, fmt.Errorf("draw cell: node %d has input %d, want 0 to %d", state, input, state-1)
		}
		used[input] = used[input] || used[state]
	}

	d := &diagram{upright: true}
	places := make([]int, n+1) // vertices of the states
	add := func(v vertex) int {
		d.vertices = append(d.vertices, v)
		return len(d.vertices) - 1
	}
	word := add(vertex{lines: []string{"x"}, below: "t", shape: terminal, survives: true})
	before := add(vertex{lines: []string{"h"}, below: "t−1", shape: terminal, survives: true})
	places[0] = add(vertex{lines: []string{"0"}, shape: joint, layer: 1, survives: true})
	d.edges = append(d.edges, arc{source: word, target: places[0]}, arc{source: before, target: places[0]})
	last := 1
	for i, node := range g.Nodes {
		state := i + 1
		if pruned && !used[state] {
			continue
		}
		colour, known := functionColours[node.Function]
		if !known {
			return nil, fmt.Errorf("draw cell: no function %.40q", node.Function)
		}
		layer := d.vertices[places[node.Input]].layer + 1
		places[state] = add(vertex{
			lines: []string{fmt.Sprintf("%d %s", state, node.Function)}, shape: operation, colour: colour,
			widest: []string{"8 identity"}, layer: layer, survives: used[state],
		})
		d.edges = append(d.edges, arc{source: places[node.Input], target: places[state]})
		last = max(last, layer)
	}
	output := add(vertex{lines: []string{"h"}, below: "t", shape: terminal, layer: last + 1, survives: true})
	for _, state := range g.Concat {
		d.edges = append(d.edges, arc{source: places[state], target: output})
	}
	d.sortEdges()
	return d, nil
}
