package engine

import (
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// Unguarded is Step.Guard of a step that is always computed.
const Unguarded = -1

// AddGuards lets the plan leave out what the given entries of a vector of mixing
// weights make superfluous while they are 0. A step gets an entry as its guard if
// its result then is 0 or goes only into weighted sums in which it counts 0 times.
//
// Inputs are the names of the mixing vector, whose entries are the guards, and of
// vectors like it that are 0 wherever it is: a Hessian's direction. Where a guard
// is 0, the result of its step reads as zeros, in outputs too; so does, therefore,
// the gradient by the entry itself, which InnerProducts computes.
//
// What is guarded is read only by steps with the same guard and by sums
// (WeightedSum, InnerProducts, Add), which leave out zeros.
func (p *Plan) AddGuards(entries []int, inputs ...string) {
	mixing := func(v int) bool { return p.Values[v].Input != "" && slices.Contains(inputs, p.Values[v].Input) }
	guard := func(entry int) int {
		if slices.Contains(entries, entry) {
			return entry
		}
		return Unguarded
	}

	zero := make([]int, len(p.Values)) // the entry that makes the value 0, by value
	for i := range zero {
		zero[i] = Unguarded
	}
	for _, s := range p.Steps {
		if s.Kind == graph.WeightedSum && len(s.Operands) == 2 && mixing(s.Operands[0]) && guard(s.Attr.At) != Unguarded {
			zero[s.Result] = s.Attr.At
			continue
		}
		zero[s.Result] = zeroOf(s, zero)
	}

	type use struct {
		step  *Step
		entry int // which the step, a sum, multiplies by or differentiates by
	}
	users := make([][]use, len(p.Values))
	for i := range p.Steps {
		s := &p.Steps[i]
		for j, v := range s.Operands {
			u := use{s, Unguarded}
			switch {
			case s.Kind == graph.InnerProducts && len(s.Operands) == 2:
				u.entry = guard(s.Attr.At)
			case j > 0 && (s.Kind == graph.InnerProducts || s.Kind == graph.WeightedSum && mixing(s.Operands[0])):
				u.entry = guard(s.Attr.At + j - 1)
			}
			users[v] = append(users[v], u)
		}
	}
	for i := range slices.Backward(p.Steps) {
		s, uses := &p.Steps[i], users[p.Steps[i].Result]
		var candidates []int
		if g := zero[s.Result]; g != Unguarded {
			candidates = []int{g}
		} else if len(uses) > 0 {
			candidates = []int{uses[0].entry, uses[0].step.Guard}
		}
		for _, g := range candidates {
			superfluous := func(u use) bool {
				isSum := u.step.Kind == graph.WeightedSum || u.step.Kind == graph.InnerProducts || u.step.Kind == graph.Add
				return u.entry == g || u.step.Guard == g || isSum && zero[s.Result] == g
			}
			if g != Unguarded && !slices.ContainsFunc(uses, func(u use) bool { return !superfluous(u) }) {
				s.Guard = g
				break
			}
		}
	}
	if slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Guard != Unguarded }) {
		p.GuardInput = inputs[0]
	}
}

// linear lists, for the kinds that have any, the operands of which one that is 0
// makes the result 0.
var linear = map[graph.Kind][]int{
	graph.Conv: {0, 1}, graph.ConvData: {0, 1}, graph.ConvWeight: {0, 1},
	graph.MaxPoolBack: {1}, graph.MaxPoolTake: {1},
	graph.NormalizeBack: {2}, graph.NormalizeBackBack: {2, 3}, graph.ScaleFixed: {0},
	graph.ScaleChannels: {0, 1}, graph.DotChannels: {0, 1}, graph.SumChannels: {0}, graph.FillChannels: {0},
	graph.ReLUBack: {1}, graph.InnerProducts: {0},
	graph.Slice: {0}, graph.Pad: {0}, graph.Mean: {0}, graph.MeanBack: {0},
	graph.CrossEntropyBack: {2}, graph.CrossEntropyBackBack: {1, 2}, graph.CrossEntropyDot: {2},
}

// zeroOf is the entry that makes the step's result 0 by making operands 0.
func zeroOf(s Step, zero []int) int {
	for _, i := range linear[s.Kind] {
		if g := zero[s.Operands[i]]; g != Unguarded {
			return g
		}
	}
	terms := s.Operands
	switch s.Kind {
	case graph.WeightedSum, graph.InnerProducts:
		terms = terms[1:]
	case graph.Add, graph.Concat:
	default:
		return Unguarded
	}
	for _, v := range terms {
		if zero[v] != zero[terms[0]] {
			return Unguarded
		}
	}
	return zero[terms[0]]
}
