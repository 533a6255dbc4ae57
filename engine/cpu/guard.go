package cpu

// #include "ops.h"
import "C"

import "slices"

// guard is a set of entries of the plan's guard input, an index into
// compiler.guards. What is guarded is computed only while none of them is 0.
// Otherwise whoever would read it leaves it out: what is in its place may be
// anything, and 0 times anything may be NaN. Sums that were not computed are 0.
type guard int

// always guards nothing.
const always guard = 0

// guardBy is the guard of a step.
func (c *compiler) guardBy(entries ...int) guard {
	if len(entries) == 0 {
		return always
	}
	if i := slices.IndexFunc(c.guards, func(set []int) bool { return slices.Equal(set, entries) }); i >= 0 {
		return guard(i)
	}
	c.guards = append(c.guards, entries)
	return guard(len(c.guards) - 1)
}

// both lets pass what both guards let pass.
func (c *compiler) both(a, b guard) guard {
	if a == b || b == always {
		return a
	}
	entries := slices.Concat(c.guards[a], c.guards[b])
	slices.Sort(entries)
	return c.guardBy(slices.Compact(entries)...)
}

// within reports whether what is guarded by b is there whenever a passes.
func (c *compiler) within(a, b guard) bool { return c.both(a, b) == a }

// guarded calls do, in which all instructions get this guard.
func (c *compiler) guarded(by guard, do func()) {
	old := c.guard
	c.guard = by
	do()
	c.guard = old
}

// guardOf is that of the planes, which need not be any.
func (c *compiler) guardOf(planes ...plane) guard {
	g := always
	for _, p := range planes {
		if p.storage != nil {
			g = c.both(g, p.guard)
		}
	}
	return g
}

// A series is what is added up in one place by instructions of which guards may
// leave out some: the first that is not writes, the others add. If none is left,
// the fallback writes zeros.
type series struct {
	list     []*instruction
	fallback *instruction // nil if one of the list always runs
}

// guarding is what guards change in the instructions of a program before it
// runs.
type guarding struct {
	input  *vector // of which the guards are entries
	sets   [][]int
	passes []bool // whether no entry is 0, by guard
	ops    []guardedOp
	terms  []guardedTerm
	reads  []guardedRead
	series []guardedSeries
}

type guardedOp struct {
	op *C.nb_op
	by guard
}

type guardedTerm struct {
	pass *C.nb_pass
	term int
	by   guard
}

type guardedRead struct {
	read  *C.nb_read
	bytes C.int64_t
	by    []guard // of its readers
}

type guardedSeries struct {
	list     []*C.nb_op
	fallback *C.nb_op
}

// settle leaves out what the guards forbid now.
func (g *guarding) settle() {
	if g == nil {
		return
	}
	for i, entries := range g.sets {
		g.passes[i] = true
		for _, e := range entries {
			g.passes[i] = g.passes[i] && g.input.data[e] != 0
		}
	}
	for _, o := range g.ops {
		o.op.skip = truth(!g.passes[o.by])
	}
	for _, t := range g.terms {
		t.pass.skip &^= 1 << t.term
		t.pass.skip |= truth(!g.passes[t.by]) << t.term
	}
	for _, r := range g.reads {
		r.read.bytes = 0
		for _, by := range r.by {
			if g.passes[by] {
				r.read.bytes = r.bytes
			}
		}
	}
	for _, s := range g.series {
		begun := false
		for _, op := range s.list {
			if op.skip == 0 {
				op.accumulate = truth(begun)
				begun = true
			}
		}
		if s.fallback != nil {
			s.fallback.skip = truth(begun)
		}
	}
}

func truth(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// guarding tells the program what its guards change.
func (a *assembler) guarding(ops []C.nb_op, input *vector) *guarding {
	if len(a.guards) == 1 {
		return nil
	}
	g := &guarding{input: input, sets: a.guards, passes: make([]bool, len(a.guards)), terms: a.terms, reads: a.guardedReads}
	at := map[*instruction]*C.nb_op{}
	for i, in := range a.instructions {
		at[in] = &ops[i]
		if in.guard != always {
			g.ops = append(g.ops, guardedOp{&ops[i], in.guard})
		}
	}
	for _, s := range a.series {
		t := guardedSeries{fallback: at[s.fallback]}
		for _, in := range s.list {
			t.list = append(t.list, at[in])
		}
		g.series = append(g.series, t)
	}
	return g
}
