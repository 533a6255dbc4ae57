package phases

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
	input  Vector // of which the guards are entries
	values []float64
	sets   [][]int
	passes []bool // whether no entry is 0, by guard
	ops    []guardedOp
	terms  []guardedTerm
	reads  []guardedRead
	series []guardedSeries
}

type guardedOp struct {
	op *Op
	by guard
}

type guardedTerm struct {
	pass *Pass
	term int
	by   guard
}

type guardedRead struct {
	read  *Read
	bytes int64
	by    []guard // of its readers
}

type guardedSeries struct {
	list     []*Op
	fallback *Op
}

// Guarded reports whether instructions may be left out.
func (p *Program) Guarded() bool { return p.guards != nil }

// Settle leaves out of the instructions what the guards forbid now, and reports
// whether there are any guards. A repetition keeps what was settled.
func (p *Program) Settle() bool {
	g := p.guards
	if g == nil {
		return false
	}
	g.input.Read(g.values)
	for i, entries := range g.sets {
		g.passes[i] = true
		for _, e := range entries {
			g.passes[i] = g.passes[i] && g.values[e] != 0
		}
	}
	for _, o := range g.ops {
		o.op.Skip = truth(!g.passes[o.by])
	}
	for _, t := range g.terms {
		t.pass.Skip &^= 1 << t.term
		t.pass.Skip |= truth(!g.passes[t.by]) << t.term
	}
	for _, r := range g.reads {
		r.read.Bytes = 0
		for _, by := range r.by {
			if g.passes[by] {
				r.read.Bytes = r.bytes
			}
		}
	}
	for _, s := range g.series {
		begun := false
		for _, op := range s.list {
			if op.Skip == 0 {
				op.Accumulate = truth(begun)
				begun = true
			}
		}
		if s.fallback != nil {
			s.fallback.Skip = truth(begun)
		}
	}
	return true
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// guarding tells the program what its guards change.
func (a *assembler) guarding() *guarding {
	if len(a.guards) == 1 {
		return nil
	}
	g := &guarding{input: a.guardInput, values: make([]float64, a.guardInput.Len()), sets: a.guards, passes: make([]bool, len(a.guards)),
		terms: a.terms, reads: a.guardedReads}
	at := map[*instruction]*Op{}
	for i, in := range a.instructions {
		at[in] = &a.program.Ops[i]
		if in.guard != always {
			g.ops = append(g.ops, guardedOp{at[in], in.guard})
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
