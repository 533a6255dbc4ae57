package phases

import (
	"cmp"
	"slices"
)

// schedule settles phases and memory.
func (c *compiler) schedule() {
	c.findUses()
	if c.separable {
		c.sinkGradients()
		c.repeat()
	} else {
		c.sink()
	}
	slices.SortStableFunc(c.instructions, func(a, b *instruction) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(rank(a.varies), rank(b.varies)), cmp.Compare(a.id, b.id))
	})
	if c.separable {
		c.order()
	}
	for _, h := range c.hosts {
		c.settle(h)
	}
	large := 0
	for _, s := range c.storages {
		s.scratch = true
		for _, in := range s.uses {
			s.scratch = s.scratch && in.phase == s.uses[0].phase && in.varies == s.uses[0].varies
		}
		if !s.scratch {
			large += s.turnBytes() * c.turns()
		}
	}
	c.far = large > farAway
	if (c.far || c.machine.Half()) && !c.machine.Together() {
		c.stream()
	}
}

// settle puts a host computation after the instructions that it depends on, where
// they are now, and what a Rerun repeats into that part.
func (c *compiler) settle(h *host) {
	for _, f := range h.from {
		h.level = max(h.level, f.phase+1)
	}
	if h.varies {
		h.level = max(h.level, c.split)
	}
}

// farAway is how much a program keeps for the batch when it is sure not to find
// it in a cache again.
const farAway = 64 << 20

// stream lets the values of the batch be made in scratch memory, read there as
// long as the phase lasts, and written to memory once, past the caches: a line
// that is written through them is read from memory first, at a third of the speed. Where
// the machine holds them in bfloat16 that is where they become so, and whoever reads one
// in the same phase reads it rounded too.
func (c *compiler) stream() {
	writer := map[*instruction][]*storage{} // the last one of each storage
	for _, s := range c.storages {
		// What a Rerun keeps must be where it finds it.
		if s.scratch || len(s.uses) == 0 || slices.ContainsFunc(s.uses, func(in *instruction) bool { return in.varies != s.uses[0].varies }) {
			continue
		}
		last := s.uses[0]
		phases := true
		for _, in := range c.instructions { // in order
			if slices.ContainsFunc(in.out, func(p plane) bool { return p.storage == s }) {
				last, phases = in, phases && in.phase == s.uses[0].phase
			}
		}
		if half := c.machine.Half() && s.h*s.w > 1; phases && (c.far || half) {
			s.streamed, s.half = true, half
			writer[last] = append(writer[last], s)
		}
	}
	for in, storages := range writer {
		if in.storesFar() && !in.accumulate && !(in.out[0].half && in.depthwise()) && !slices.ContainsFunc(in.out, func(p plane) bool {
			return !p.streamed || slices.ContainsFunc(p.uses, func(user *instruction) bool { return user != in && user.phase == in.phase })
		}) {
			for _, s := range storages {
				s.direct = true
			}
			delete(writer, in)
		}
	}
	var all []*instruction
	for _, in := range c.instructions {
		all = append(all, in)
		for _, s := range writer[in] {
			out := &instruction{kind: OpStream, id: in.id, phase: in.phase, varies: in.varies, reads: []*storage{s}, in: planesOf(s), h: s.h, w: s.w, guard: s.guard,
				round: s.half && slices.ContainsFunc(s.uses, func(user *instruction) bool { return user.phase == in.phase && !slices.Contains(user.writes(), s) })}
			s.uses = append(s.uses, out)
			all = append(all, out)
		}
	}
	c.instructions = all
}

// depthwise reports whether the instruction writes a depthwise convolution or a gradient of one.
func (in *instruction) depthwise() bool { return in.kind == OpDepth || in.kind == OpDepthBack }

// storesFar reports whether the instruction can store past the caches itself.
func (in *instruction) storesFar() bool {
	return in.kind == OpConv1 || in.kind == OpConv3 || in.kind == OpDepth || in.kind == OpDepthBack
}

func rank(varies bool) int {
	if varies {
		return 1
	}
	return 0
}

func (c *compiler) findUses() {
	for _, in := range c.instructions {
		for _, p := range in.out {
			if len(p.uses) == 0 || p.uses[len(p.uses)-1] != in {
				p.storage.uses = append(p.uses, in)
			}
		}
		for _, s := range in.reads {
			s.uses = append(s.uses, in)
		}
	}
}

// sink moves what is cheap to compute to the phase where it is first read, so
// that it lives in the cache instead of in memory, and weight gradients to where
// their operands are read anyway.
func (c *compiler) sink() {
	for _, in := range slices.Backward(c.instructions) {
		if !in.sinkable && !in.follows {
			continue
		}
		if in.kind == OpReduce { // nothing waits for it: do it where its operands are read last
			c.delay(in)
			continue
		}
		storages := in.aux
		if in.sinkable {
			storages = in.out
		}
		first, last := 1<<30, -1
		for _, p := range storages {
			for _, user := range p.uses {
				if user != in && user.varies == in.varies {
					first, last = min(first, user.phase), max(last, user.phase)
				}
			}
		}
		switch {
		case in.follows:
			in.phase = max(in.phase, last)
		case last >= 0 && first > in.phase:
			in.phase = first
			for _, p := range in.out {
				p.storage.phase = first
			}
		}
	}
}

// delay moves a reduction that nothing waits for to where its operands are read last.
func (c *compiler) delay(in *instruction) {
	for _, s := range in.reads {
		for _, user := range s.uses {
			if user.varies == in.varies && !(user.kind == OpReduce && user.sinkable) {
				in.phase = max(in.phase, user.phase)
			}
		}
	}
}

// arena places storages of different lifetimes in one contiguous run of memory.
type arena struct {
	live []extent // by position
	size int
}

type extent struct{ from, to, until int }

// place finds room for the bytes from `now` until the given time, in the
// smallest gap that holds them.
func (a *arena) place(bytes, now, until int) int {
	a.live = slices.DeleteFunc(a.live, func(e extent) bool { return e.until < now })
	best, room, end := -1, 1<<62, 0
	for _, e := range a.live {
		if gap := e.from - end; gap >= bytes && gap < room {
			best, room = end, gap
		}
		end = e.to
	}
	if best < 0 {
		best = end
	}
	at, _ := slices.BinarySearchFunc(a.live, best, func(e extent, from int) int { return e.from - from })
	a.live = slices.Insert(a.live, at, extent{best, best + bytes, until})
	a.size = max(a.size, best+bytes)
	return best
}

// place puts every storage somewhere: what lives within one phase into scratch
// memory, which is one image's, the rest into memory for the whole batch. It
// returns the bytes of both.
func (c *compiler) place() (scratch, batch int) {
	const forever, line = 1 << 30, 64
	position := map[*instruction]int{} // within its phase
	phase, at := -1, 0
	for _, in := range c.instructions {
		if in.phase != phase {
			phase, at = in.phase, 0
		}
		position[in] = at
		at++
	}
	var order []*storage // by the first write
	for _, in := range c.instructions {
		for _, p := range in.out {
			if p.vector == nil && p.uses[0] == in && !slices.Contains(order[max(0, len(order)-64):], p.storage) {
				order = append(order, p.storage)
			}
		}
	}
	var b, s arena
	inScratch := -1
	for _, st := range order {
		first, last := st.uses[0], st.uses[0]
		kept, bytes := false, (st.kept(st.turnBytes()*c.turns())+line-1)/line*line
		for _, in := range st.uses {
			if in.phase > last.phase || in.phase == last.phase && position[in] > position[last] {
				last = in
			}
			kept = kept || in.varies != first.varies
		}
		switch {
		case st.scratch:
			if first.phase != inScratch {
				s.live, inScratch = nil, first.phase
			}
			st.at = s.place(st.turnBytes(), position[first], position[last])
			continue
		case kept:
			st.at = b.place(bytes, first.phase, forever)
		default:
			st.at = b.place(bytes, first.phase, last.phase)
		}
		if st.streamed && !st.direct {
			if first.phase != inScratch {
				s.live, inScratch = nil, first.phase
			}
			until := 0
			for _, in := range st.uses {
				if in.phase == first.phase {
					until = max(until, position[in])
				}
			}
			st.origin = s.place(st.turnBytes(), position[first], until)
		}
	}
	return s.size, b.size
}
