package phases

import (
	"cmp"
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// Networks with depthwise convolutions consist of far more operations than others for
// what they compute, on the same few inputs, so that memory limits them even more. What is
// here makes their programs keep less. Programs without depthwise convolutions stay what
// they are without it.

// withoutTwins is the plan without rectifiers of what another one rectifies already.
func withoutTwins(plan *engine.Plan) *engine.Plan {
	type key struct{ operand, guard int }
	p := *plan
	p.Steps = nil
	first, same := map[key]int{}, map[int]int{}
	for i, s := range plan.Steps {
		if i == plan.Split {
			p.Split = len(p.Steps)
		}
		s.Operands = slices.Clone(s.Operands)
		for j, o := range s.Operands {
			if twin, ok := same[o]; ok {
				s.Operands[j] = twin
			}
		}
		if s.Kind == graph.ReLU && !slices.Contains(plan.Outputs, s.Result) {
			k := key{s.Operands[0], s.Guard}
			if twin, ok := first[k]; ok && plan.Values[twin].Varies == plan.Values[s.Result].Varies {
				same[s.Result] = twin
				continue
			}
			first[k] = s.Result
		}
		p.Steps = append(p.Steps, s)
	}
	if plan.Split == len(plan.Steps) {
		p.Split = len(p.Steps)
	}
	return &p
}

// sinkGradients moves what may move to the phase where it is first read, and gradients of
// weights, which can wait longest, to where the last other reader of theirs is.
func (c *compiler) sinkGradients() {
	for _, follow := range []bool{false, true} {
		for _, in := range slices.Backward(c.instructions) {
			if in.follows != follow || !follow && !in.sinkable || in.kind == OpReduce {
				continue
			}
			storages := in.out
			if follow {
				storages = in.aux
			}
			first, last := 1<<30, -1
			for _, p := range storages {
				for _, user := range p.uses {
					if user != in && user.varies == in.varies && !user.follows {
						first, last = min(first, user.phase), max(last, user.phase)
					}
				}
			}
			switch {
			case last < 0:
			case follow:
				in.phase = max(in.phase, last)
			case first > in.phase:
				in.phase = first
				for _, p := range in.out {
					p.storage.phase = first
				}
			}
		}
	}
	for _, in := range c.instructions {
		if in.kind == OpReduce && in.sinkable {
			c.delay(in)
		}
	}
}

// repeat lets cheap instructions be executed again in every phase that reads their
// result, instead of keeping it, if what they read is kept that long anyway.
func (c *compiler) repeat() {
	type moment struct {
		phase  int
		varies bool
	}
	before := map[*instruction][]*instruction{} // what is to be executed before it
	for _, in := range c.instructions {
		if !in.repeatable() {
			continue
		}
		again := map[moment]*instruction{}
		kept := in.out[0].storage
		for _, user := range slices.Clone(kept.uses) {
			at := moment{user.phase, user.varies}
			if user == in || at == (moment{in.phase, in.varies}) || !in.canWait(user.phase) {
				continue
			}
			if again[at] == nil {
				again[at] = c.repetition(in, user.phase, user.varies)
				before[user] = append(before[user], again[at])
			}
			user.readInstead(kept, again[at].out[0].storage)
		}
	}
	var all []*instruction
	for _, in := range c.instructions {
		all = append(append(all, before[in]...), in)
	}
	c.instructions = all
}

// repeatable reports whether the instruction computes one value in one cheap pass.
func (in *instruction) repeatable() bool {
	switch in.kind {
	case OpDepth, OpPool, OpAverage:
	case OpCombine:
		for _, p := range in.passes {
			if len(p.terms) != 1 || p.terms[0].kind != relu || p.accumulate {
				return false
			}
		}
	default:
		return false
	}
	return !in.accumulate && in.guard == always && len(in.out) == in.out[0].blocks()
}

// canWait reports whether all that the instruction reads is kept for others until the
// phase.
func (in *instruction) canWait(phase int) bool {
	return !slices.ContainsFunc(in.reads, func(s *storage) bool {
		return !slices.ContainsFunc(s.uses, func(user *instruction) bool { return user != in && user.phase >= phase })
	})
}

// repetition is the instruction once more, in another phase and with a storage of its own.
func (c *compiler) repetition(in *instruction, phase int, varies bool) *instruction {
	again, old := *in, in.out[0].storage
	st := &storage{id: len(c.storages), layout: c.layout, channels: old.channels, h: old.h, w: old.w, phase: phase, varies: varies, producer: &again, uses: []*instruction{&again}}
	c.storages = append(c.storages, st)
	again.phase, again.varies, again.out = phase, varies, planesOf(st)
	again.passes = slices.Clone(in.passes)
	for i := range again.passes {
		again.passes[i].out.storage = st
	}
	for _, s := range again.reads {
		s.uses = append(s.uses, &again)
	}
	return &again
}

// readInstead lets the instruction read another storage.
func (in *instruction) readInstead(old, now *storage) {
	replaced := func(p plane) plane {
		if p.storage == old {
			p.storage = now
		}
		return p
	}
	replace := func(planes []plane) []plane {
		planes = slices.Clone(planes)
		for i, p := range planes {
			planes[i] = replaced(p)
		}
		return planes
	}
	in.in, in.aux = replace(in.in), replace(in.aux)
	for i, p := range in.passes {
		in.passes[i].terms = slices.Clone(p.terms)
		for j, t := range p.terms {
			t.z, t.y, t.image = replaced(t.z), replaced(t.y), replaced(t.image)
			in.passes[i].terms[j] = t
		}
	}
	for _, r := range in.reductions {
		r.mask.y, r.z, r.image = replaced(r.mask.y), replaced(r.z), replaced(r.image)
		r.w = replace(r.w)
	}
	in.reads = slices.Clone(in.reads)
	for i, s := range in.reads {
		if s == old {
			in.reads[i] = now
		}
	}
	old.uses = slices.DeleteFunc(slices.Clone(old.uses), func(user *instruction) bool { return user == in })
	now.uses = append(now.uses, in)
}

// order arranges the instructions of every phase so that what they make for each other is
// read soon, before it has left the cache: of those that can be next, the one that leaves
// least behind comes first.
func (c *compiler) order() {
	var all []*instruction
	for from, to := 0, 0; from < len(c.instructions); from = to {
		first := c.instructions[from]
		for to = from; to < len(c.instructions) && c.instructions[to].phase == first.phase && c.instructions[to].varies == first.varies; to++ {
		}
		all = append(all, c.ordered(c.instructions[from:to])...)
	}
	c.instructions = all
	for _, s := range c.storages {
		s.uses = nil
	}
	c.findUses()
}

// ordered arranges the instructions of one phase.
func (c *compiler) ordered(list []*instruction) []*instruction {
	type use struct {
		writers, readers []int // the last ones so far, of which the readers come after the writers
		sum              []int // the writers that add up what the storage is at first, in any order
		written, begun   bool
		all, left        int // uses in this phase
	}
	uses := map[*storage]*use{}
	at := func(s *storage) *use {
		if uses[s] == nil {
			uses[s] = &use{}
		}
		return uses[s]
	}
	after := make([][]int, len(list)) // what waits for each
	waits := make([]int, len(list))   // for so many others
	for i, in := range list {
		follow := func(earlier []int) {
			for _, e := range earlier {
				after[e] = append(after[e], i)
				waits[i]++
			}
		}
		for _, s := range in.reads {
			u := at(s)
			follow(u.writers)
			u.readers = append(u.readers, i)
			u.all++
		}
		for _, s := range in.writes() {
			u := at(s)
			u.all++
			switch {
			case len(u.sum) > 0 && len(u.sum) == len(u.writers) && len(u.readers) == 0 && c.addsUp(in):
				u.sum = append(u.sum, i)
				u.writers = u.sum
			case !u.written && len(u.readers) == 0 && c.addsUp(in):
				u.sum = []int{i}
				u.writers = u.sum
			default:
				follow(u.writers)
				follow(u.readers)
				u.writers, u.readers = []int{i}, nil
			}
			u.written = true
		}
	}
	for _, u := range uses {
		u.left = u.all
	}
	// grows is how many more bytes are in use once the instruction is done.
	grows := func(in *instruction) (bytes int) {
		for _, s := range in.writes() {
			u := uses[s]
			if u.all > 1 && !u.begun {
				bytes += s.turnBytes()
			}
			if u.all > 1 && u.left == 1 {
				bytes -= s.turnBytes()
			}
		}
		for _, s := range in.reads {
			if u := uses[s]; u.written && u.left == 1 {
				bytes -= s.turnBytes()
			}
		}
		return bytes
	}
	var ready []int
	for i, n := range waits {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	var order []*instruction
	for len(ready) > 0 {
		i := slices.MinFunc(ready, func(a, b int) int { return cmp.Or(cmp.Compare(grows(list[a]), grows(list[b])), cmp.Compare(a, b)) })
		ready = slices.DeleteFunc(ready, func(j int) bool { return j == i })
		order = append(order, list[i])
		for _, s := range list[i].writes() {
			u := uses[s]
			if len(u.sum) > 1 && !u.begun && !list[u.sum[0]].adds() {
				for _, w := range u.sum {
					list[w].setAdds(w != i)
				}
			}
			u.begun = true
			u.left--
		}
		for _, s := range list[i].reads {
			uses[s].left--
		}
		for _, j := range after[i] {
			if waits[j]--; waits[j] == 0 {
				ready = append(ready, j)
			}
		}
	}
	return order
}

// writes lists the storages that the instruction writes.
func (in *instruction) writes() (storages []*storage) {
	for _, p := range in.out {
		if p.vector == nil && !slices.Contains(storages, p.storage) {
			storages = append(storages, p.storage)
		}
	}
	return storages
}

// addsUp reports whether the instruction may be any of those that add up something in one
// storage, the first or a later one.
func (c *compiler) addsUp(in *instruction) bool {
	switch in.kind {
	case OpConv1, OpConv3, OpConvK, OpDepthBack, OpAverageBack, OpPoolBack:
	case OpCombine:
		if slices.ContainsFunc(in.passes, func(p pass) bool { return p.b != nil }) {
			return false
		}
	default:
		return false
	}
	return len(c.guards) == 1 && in.stats == nil && in.sums == nil && in.scales == nil && len(in.out) == in.out[0].blocks() && len(in.writes()) == 1
}

// adds reports whether the instruction adds to what is there.
func (in *instruction) adds() bool {
	if in.kind == OpCombine {
		return in.passes[0].accumulate
	}
	return in.accumulate
}

// setAdds lets the instruction add to what is there or not.
func (in *instruction) setAdds(adds bool) {
	if in.kind != OpCombine {
		in.accumulate = adds
		return
	}
	for i := range in.passes {
		if i == 0 || in.passes[i-1].last {
			in.passes[i].accumulate = adds
		}
	}
}
