package engine

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// Plan is a graph made ready to compute: steps in order, each value assigned to
// a slot of memory that values living at other times may share.
type Plan struct {
	Values  []Value
	Steps   []Step
	Split   int   // Steps[Split:] are those that depend on the varying inputs
	Slots   []int // elements in each slot
	Outputs []int // values, in the order asked for

	GuardInput string // name of the input whose entries guard steps, or "", see AddGuards
}

// Value is one node of the graph.
type Value struct {
	Shape []int
	Role  graph.Role // graph.Activation has a batch axis, see graph.Role
	Input string     // name of the input that it is, or ""
	Slot  int        // index into Plan.Slots, or -1 for an input

	Varies bool // depends on the varying inputs, or is one
}

// Size is the number of elements.
func (v Value) Size() int {
	n := 1
	for _, d := range v.Shape {
		n *= d
	}
	return n
}

// Step computes one value.
type Step struct {
	Kind     graph.Kind
	Attr     graph.Attr
	Operands []int // values
	Result   int   // value
	Guard    int   // entry of Plan.GuardInput without which the result is zeros, or Unguarded
}

// NewPlan plans the computation of the outputs. Steps that depend on the
// inputs named varying come last, and everything that they need is kept, so
// that a Program can repeat them alone.
func NewPlan(g *graph.Graph, outputs []*graph.Node, varying ...string) (*Plan, error) {
	nodes := graph.Reach(outputs...)
	varies := make(map[*graph.Node]bool, len(nodes))
	users := make(map[*graph.Node][]*graph.Node, len(nodes))
	for _, n := range nodes {
		in, isInput := g.InputOf(n)
		varies[n] = isInput && slices.Contains(varying, in.Name)
		for _, c := range graph.Children(n) {
			varies[n] = varies[n] || varies[c]
			users[c] = append(users[c], n)
		}
	}
	rank := func(n *graph.Node) int {
		if varies[n] {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(nodes, func(a, b *graph.Node) int { return rank(a) - rank(b) })

	ops := make(map[*graph.Node]*graph.Op, len(nodes))
	for _, n := range nodes {
		if _, isInput := g.InputOf(n); isInput {
			continue
		}
		op, err := graph.AsOp(n)
		if err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		ops[n] = op
	}
	isSum := func(n *graph.Node) bool { return ops[n] != nil && ops[n].Kind == graph.Add }
	// The gradients of a node with many uses arrive as a chain of pairwise sums:
	// a sum used only by another sum is left to that one.
	absorbed := func(n *graph.Node) bool {
		return isSum(n) && !slices.Contains(outputs, n) && len(users[n]) == 1 &&
			isSum(users[n][0]) && varies[n] == varies[users[n][0]]
	}
	var operandsOf func(n *graph.Node) []*graph.Node
	operandsOf = func(n *graph.Node) []*graph.Node {
		var operands []*graph.Node
		for _, c := range graph.Children(n) {
			if absorbed(c) {
				operands = append(operands, operandsOf(c)...)
			} else {
				operands = append(operands, c)
			}
		}
		return operands
	}

	p := &Plan{}
	value := make(map[*graph.Node]int, len(nodes))
	for _, n := range nodes {
		if absorbed(n) {
			continue
		}
		value[n] = len(p.Values)
		v := Value{Shape: n.Shape(), Role: graph.Parameter, Slot: -1, Varies: varies[n]}
		if in, isInput := g.InputOf(n); isInput {
			v.Role, v.Input = in.Role, in.Name
			p.Values = append(p.Values, v)
			continue
		}
		step := Step{Kind: ops[n].Kind, Attr: ops[n].Attr, Result: value[n], Guard: Unguarded}
		for _, c := range operandsOf(n) {
			step.Operands = append(step.Operands, value[c])
		}
		switch {
		case step.Kind == graph.Add:
			v.Role = p.Values[step.Operands[0]].Role
		case !gradientOfWeights(step.Kind) && len(v.Shape) == 4:
			v.Role = graph.Activation
		}
		p.Values = append(p.Values, v)
		p.Steps = append(p.Steps, step)
		if !varies[n] {
			p.Split = len(p.Steps)
		}
	}
	for _, o := range outputs {
		p.Outputs = append(p.Outputs, value[o])
	}
	p.assignSlots()
	return p, nil
}

// gradientOfWeights tells kinds whose result has four axes and no batch.
func gradientOfWeights(k graph.Kind) bool {
	return k == graph.ConvWeight || k == graph.DepthwiseWeight || k == graph.EmbeddingBack
}

// assignSlots lets values that are never alive together share memory: each
// result takes the smallest free slot that holds it, else the largest, grown.
func (p *Plan) assignSlots() {
	const forever = 1 << 30
	last := make([]int, len(p.Values)) // the step after which a value is dead
	for i, s := range p.Steps {
		for _, v := range s.Operands {
			last[v] = i
		}
	}
	for i, s := range p.Steps {
		if i < p.Split && last[s.Result] >= p.Split {
			last[s.Result] = forever // a Rerun reads it again
		}
	}
	for _, v := range p.Outputs {
		last[v] = forever
	}
	var free []int
	for i, s := range p.Steps {
		size := p.Values[s.Result].Size()
		best := -1
		for at, slot := range free {
			if best < 0 || better(p.Slots[slot], p.Slots[free[best]], size) {
				best = at
			}
		}
		slot := len(p.Slots)
		if best >= 0 {
			slot = free[best]
			free = slices.Delete(free, best, best+1)
			p.Slots[slot] = max(p.Slots[slot], size)
		} else {
			p.Slots = append(p.Slots, size)
		}
		p.Values[s.Result].Slot = slot
		for j, v := range s.Operands {
			if last[v] == i && p.Values[v].Slot >= 0 && !slices.Contains(s.Operands[:j], v) {
				free = append(free, p.Values[v].Slot)
			}
		}
	}
}

// better reports whether a free slot of a elements suits size better than one
// of b: the smallest that fits, else the largest.
func better(a, b, size int) bool {
	if (a >= size) != (b >= size) {
		return a >= size
	}
	if a >= size {
		return a < b
	}
	return a > b
}

// Bytes is the memory of all slots, for elements of the given size.
func (p *Plan) Bytes(element int) int {
	n := 0
	for _, s := range p.Slots {
		n += s * element
	}
	return n
}
