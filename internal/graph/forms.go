package graph

import (
	"fmt"
	"iter"
	"slices"

	"gorgonia.org/tensor"
)

// Direction is how a mixing vector may move: a vector like it, which is 0 but for the
// entries From to To of every Period.
type Direction struct {
	Vector           *Node
	From, To, Period int
}

// reaches reports whether the direction may move the entry.
func (d Direction) reaches(entry int) bool {
	return d.From <= entry%d.Period && entry%d.Period < d.To
}

// Forms returns what gives the second derivative of the outputs in every two of the
// directions d of the mixing vector, after Gradients has added the gradients of the
// outputs to the graph: for each direction a vector [D + R], D being the length of
// the mixing vector and R the number of directions. The entry of the second derivative for
// dᵢ and dⱼ, j ≤ i, is
//
//	form[i][D+j] + ⟨dᵢ, form[j][:D]⟩ + ⟨dⱼ, form[i][:D]⟩.
//
// The network is linear in its activations and the mixing weights each, but for batch
// normalisation and the loss, so its second derivative is a sum over these of products of
// first derivatives: how the network's values move with a direction (their tangents), and
// the gradient with respect to them. A direction costs one pass forward, where its product
// with the Hessian costs one forward and one back.
func (g *Graph) Forms(outputs []*Node, mixing *Node, directions []Direction) ([]*Node, error) {
	f := forms{
		mixing: mixing, directions: directions, gradients: g.gradients, tangents: map[*Node]tangents{},
		terms: make([][]*Node, len(directions)),
	}
	for _, n := range Reach(outputs...) {
		if _, input := g.InputOf(n); input {
			continue
		}
		if err := f.step(n); err != nil {
			return nil, err
		}
	}
	vectors := make([]*Node, len(directions))
	for i, terms := range f.terms {
		if len(terms) == 0 {
			return nil, fmt.Errorf("second derivative: nothing moves with direction %d", i)
		}
		vectors[i] = NewAdd(terms...)
	}
	return vectors, nil
}

// forms is how far Forms has come.
type forms struct {
	mixing     *Node
	directions []Direction
	gradients  map[*Node]*Node
	tangents   map[*Node]tangents
	terms      [][]*Node // of the vectors
}

// step adds the tangents of a node, and what it adds to the second derivative.
func (f *forms) step(n *Node) error {
	op, err := AsOp(n)
	if err != nil {
		return err
	}
	in := Children(n)
	if op.Kind == BatchStats { // Normalize is differentiated with its statistics
		return nil
	}
	all := make(tangents, len(f.directions))
	for i := range f.directions {
		moves := make([]*Node, len(in))
		for j, x := range in {
			moves[j] = f.tangents[x].of(i)
		}
		if all[i], err = f.tangent(op, n, in, moves, f.directions[i]); err != nil {
			return err
		}
	}
	f.tangents[n] = all
	switch op.Kind {
	case Normalize:
		f.pairs(f.tangents[in[0]], func(u *Node) *Node {
			return apply(NormalizeBackBack, Attr{}, u.Shape(), in[0], in[1], f.gradients[n], u)
		})
	case CrossEntropy:
		f.pairs(f.tangents[in[0]], func(u *Node) *Node {
			return apply(CrossEntropyBackBack, Attr{}, u.Shape(), in[0], f.gradients[n], u)
		})
	case WeightedSum:
		for i := range f.directions {
			f.products(i, f.gradients[n], op.Attr.At, len(in)-1, func(j int) *Node { return f.tangents[in[1+j]].of(i) })
		}
	}
	return nil
}

// tangents are how a value moves with each direction; nil is not at all.
type tangents []*Node

func (t tangents) of(direction int) *Node {
	if t == nil {
		return nil
	}
	return t[direction]
}

// pairs adds ⟨second(uᵢ), uⱼ⟩ for all tangents.
func (f *forms) pairs(u tangents, second func(u *Node) *Node) {
	for i := range u {
		if u[i] != nil {
			f.products(i, second(u[i]), f.mixing.Shape()[0], i+1, u.of)
		}
	}
}

// products adds to a direction's vector, from an entry on, the inner products of x with
// those of n values that are not nil.
func (f *forms) products(direction int, x *Node, at, n int, value func(int) *Node) {
	size := tensor.Shape{f.mixing.Shape()[0] + len(f.directions)}
	for from, values := range runs(n, value) {
		f.terms[direction] = append(f.terms[direction], apply(InnerProducts, Attr{At: at + from}, size, append([]*Node{x}, values...)...))
	}
}

// runs yields the values that follow one another without a nil, and the number of their first.
func runs(n int, value func(int) *Node) iter.Seq2[int, []*Node] {
	return func(yield func(int, []*Node) bool) {
		for from := 0; from < n; from++ {
			var values []*Node
			for from+len(values) < n && value(from+len(values)) != nil {
				values = append(values, value(from+len(values)))
			}
			if len(values) > 0 && !yield(from, values) {
				return
			}
			from += len(values)
		}
	}
}

// tangent is how the node moves with a direction when its operands do so, or nil.
func (f *forms) tangent(op *Op, n *Node, in, moves []*Node, d Direction) (*Node, error) {
	a := op.Attr
	still := !slices.ContainsFunc(moves, func(t *Node) bool { return t != nil })
	if op.Kind == WeightedSum && a.S == 0 {
		return mixedTangent(op, in, moves, d), nil
	}
	if still {
		return nil, nil
	}
	like := func(kind Kind, operands ...*Node) *Node { return apply(kind, a, n.Shape(), operands...) }
	switch op.Kind {
	case Conv, Depthwise: // x, w
		return like(op.Kind, moves[0], in[1]), nil
	case AveragePool, Subsample, Slice, Shuffle, Mean:
		return like(op.Kind, moves[0]), nil
	case ScaleChannels, ScaleImages, Mask:
		return like(op.Kind, moves[0], in[1]), nil
	case ShiftChannels:
		return moves[0], nil
	case MaxPool:
		return like(MaxPoolTake, in[0], moves[0]), nil
	case ReLU:
		return like(ReLUBack, n, moves[0]), nil
	case Normalize: // x, stats; its derivative is self-adjoint
		return like(NormalizeBack, in[0], in[1], moves[0]), nil
	case Add:
		return NewAdd(slices.DeleteFunc(moves, func(t *Node) bool { return t == nil })...), nil
	case Concat:
		if !slices.Contains(moves, nil) {
			return NewConcat(moves...), nil
		}
		var parts []*Node
		from := 0
		for i, t := range moves {
			if t != nil {
				parts = append(parts, apply(Pad, Attr{From: from}, n.Shape(), t))
			}
			from += in[i].Shape()[1]
		}
		return NewAdd(parts...), nil
	case CrossEntropy:
		return nil, nil // a number, which nothing reads
	}
	return nil, fmt.Errorf("second derivative: %s has no tangent", op.Kind)
}

// mixedTangent is that of a weighted sum: the moving values by the weights, and the values
// by the moving weights.
func mixedTangent(op *Op, in, moves []*Node, d Direction) *Node {
	var terms []*Node
	sums := func(weights *Node, value func(int) *Node) {
		for from, values := range runs(len(in)-1, value) {
			terms = append(terms, apply(WeightedSum, Attr{At: op.Attr.At + from}, in[1].Shape(), append([]*Node{weights}, values...)...))
		}
	}
	sums(in[0], func(j int) *Node { return moves[1+j] })
	sums(d.Vector, func(j int) *Node {
		if d.reaches(op.Attr.At + j) {
			return in[1+j]
		}
		return nil
	})
	if len(terms) == 0 {
		return nil
	}
	return NewAdd(terms...)
}
