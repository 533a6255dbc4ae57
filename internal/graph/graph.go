// Package graph holds the supernet's expression graph: gorgonia's graph
// over operations of our own.
//
// Gorgonia keeps the nodes, checks their types and sorts them for the chain rule; the
// operations here carry shapes and symbolic derivatives but no arithmetic. An engine compiles the
// finished graph into a plan and computes it. Every operation's derivative is
// again made of these operations, so differentiating twice works and gives the
// exact Hessian-vector products of the architecture.
//
// Activations have the shape [N, C, H, W]: batch, channels, height, width.
// Convolution kernels are [out, in, K, K]. The weights that mix operations and
// edges are one flat vector [D], the mixing vector.
package graph

import (
	"fmt"
	"iter"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Node is a value of the expression graph.
type Node = gorgonia.Node

// dtype is the type written on every node. It only satisfies gorgonia's type
// checker: the engine that computes the graph decides the precision.
var dtype = tensor.Float64

// Role says what an input is, which decides how an engine lays it out.
type Role int

const (
	// Activation is a value with a batch axis: images and labels.
	Activation Role = iota
	// Parameter is everything else: kernels, vectors, scalars.
	Parameter
)

// Graph is an expression graph with named inputs.
type Graph struct {
	expr      *gorgonia.ExprGraph
	inputs    map[string]Input
	gradients map[*Node]*Node // what Gradients found last, of every node on the way
}

// Input is a leaf of the graph, fed from outside.
type Input struct {
	Name string
	Role Role
	Node *Node
}

// New returns an empty graph.
func New() *Graph {
	return &Graph{expr: gorgonia.NewGraph(), inputs: map[string]Input{}}
}

// Input adds the input of the given name and shape; no dimensions make a
// scalar. Names must be unique: gorgonia takes two inputs of one name for one.
func (g *Graph) Input(name string, role Role, shape ...int) *Node {
	if _, dup := g.inputs[name]; dup {
		panic(fmt.Sprintf("graph: input %q added twice", name))
	}
	var n *Node
	if len(shape) == 0 {
		n = gorgonia.NewScalar(g.expr, dtype, gorgonia.WithName(name))
	} else {
		n = gorgonia.NewTensor(g.expr, dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	}
	g.inputs[name] = Input{name, role, n}
	return n
}

// InputOf returns the input that n is, if it is one.
func (g *Graph) InputOf(n *Node) (Input, bool) {
	if n.Op() != nil {
		return Input{}, false
	}
	in, ok := g.inputs[n.Name()]
	return in, ok && in.Node == n
}

// Children returns the operands of n in order.
func Children(n *Node) []*Node {
	it := n.Graph().From(n.ID())
	if it == nil {
		return nil
	}
	children := make([]*Node, 0, max(it.Len(), 0))
	for it.Next() {
		children = append(children, it.Node().(*Node))
	}
	return children
}

// Reach returns the nodes that the outputs need, operands before the nodes that
// use them.
func Reach(outputs ...*Node) []*Node {
	seen := map[*Node]bool{}
	var nodes []*Node
	var walk func(n *Node)
	walk = func(n *Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, c := range Children(n) {
			walk(c)
		}
		nodes = append(nodes, n)
	}
	for _, o := range outputs {
		walk(o)
	}
	// Nodes are numbered as they are made, so this order is topological too,
	// and it keeps each layer's work together.
	slices.SortFunc(nodes, func(a, b *Node) int { return int(a.ID() - b.ID()) })
	return nodes
}

// Gradients returns the derivatives of the scalar or vector output with
// respect to the inputs wrt, contracted with seed, a node of the output's
// shape: seed 1 on a loss gives gradients, a vector on a gradient gives
// Hessian-vector products. It must depend on all of wrt.
//
// The result is differentiated again in the copy that Replay makes.
func (g *Graph) Gradients(output, seed *Node, wrt []*Node) ([]*Node, error) {
	return g.GradientsOfSum([]*Node{output}, []*Node{seed}, wrt)
}

// GradientsOfSum is Gradients of the sum of several outputs, each contracted with a seed of
// its own: a weighted sum of losses.
//
// Gorgonia's own Backpropagate would do, but for its sums of the gradients of a node with
// several uses: they are merged where 32 bits of hash agree, whatever their operands, so that
// one of thousands of graphs would silently have a wrong derivative.
func (g *Graph) GradientsOfSum(outputs, seeds, wrt []*Node) ([]*Node, error) {
	users, err := gorgonia.Sort(g.expr) // before their operands
	if err != nil {
		return nil, fmt.Errorf("differentiate graph: %w", err)
	}
	active := map[*Node]bool{} // depends on wrt
	for _, n := range wrt {
		active[n] = true
	}
	for _, n := range slices.Backward(users) {
		for _, operand := range through(n) {
			active[n] = active[n] || active[operand]
		}
	}
	g.gradients = map[*Node]*Node{}
	terms := map[*Node][]*Node{} // of the gradient of each node
	for i, o := range outputs {
		if !active[o] {
			return nil, fmt.Errorf("differentiate graph: %v does not depend on what it is differentiated by", o)
		}
		terms[o] = append(terms[o], seeds[i])
	}
	for _, n := range users {
		if !active[n] || len(terms[n]) == 0 {
			continue
		}
		gradient := terms[n][0]
		for _, t := range terms[n][1:] {
			gradient = apply(Add, Attr{}, gradient.Shape(), gradient, t)
		}
		g.gradients[n] = gradient
		if n.Op() == nil {
			continue
		}
		op, err := AsOp(n)
		if err != nil {
			return nil, fmt.Errorf("differentiate graph: %w", err)
		}
		derivatives, err := op.SymDiff(Children(n), n, gradient)
		if err != nil {
			return nil, fmt.Errorf("differentiate graph: %v: %w", n, err)
		}
		for i, operand := range through(n) {
			terms[operand] = append(terms[operand], derivatives[i])
		}
	}
	gradients := make([]*Node, len(wrt))
	for i, n := range wrt {
		if gradients[i] = g.gradients[n]; gradients[i] == nil {
			return nil, fmt.Errorf("differentiate graph: no output depends on %v", n)
		}
	}
	return gradients, nil
}

// through yields the operands of a node through which derivatives flow, by their number.
func through(n *Node) iter.Seq2[int, *Node] {
	return func(yield func(int, *Node) bool) {
		op, err := AsOp(n)
		if err != nil {
			return // an input has none
		}
		operands := Children(n)
		for i, flows := range op.DiffWRT(len(operands)) {
			if flows && !yield(i, operands[i]) {
				return
			}
		}
	}
}

// Replay copies the expressions of the outputs into a fresh graph, without what they do not
// need, and returns it with the copied outputs.
func (g *Graph) Replay(outputs ...*Node) (*Graph, []*Node) {
	copied := New()
	at := map[*Node]*Node{}
	for _, n := range Reach(outputs...) {
		if in, ok := g.InputOf(n); ok {
			at[n] = copied.Input(in.Name, in.Role, n.Shape()...)
			continue
		}
		var children []*Node
		for _, c := range Children(n) {
			children = append(children, at[c])
		}
		at[n] = applied(n.Op(), children)
	}
	result := make([]*Node, len(outputs))
	for i, o := range outputs {
		result[i] = at[o]
	}
	return copied, result
}

// Lookup returns the input of the given name, or nil.
func (g *Graph) Lookup(name string) *Node {
	return g.inputs[name].Node
}

// applied adds the operation to the graph of its operands. Every node is made
// here: gorgonia merges nodes whose 32-bit hashes agree, so that the operands
// of what it returns are compared with those asked for.
func applied(op gorgonia.Op, operands []*Node) *Node {
	n, err := gorgonia.ApplyOp(op, operands...)
	if err != nil {
		panic(fmt.Sprintf("graph: %v: %v", op, err))
	}
	if !slices.Equal(Children(n), operands) {
		panic(fmt.Sprintf("graph: %v was merged with another node of the same hash", op))
	}
	return n
}
