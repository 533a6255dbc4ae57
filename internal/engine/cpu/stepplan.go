package cpu

import (
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// place is where a value is: channel c is the stretch at offset + c·stride of a store. Values
// that are no activations have one channel.
type place struct {
	store          *store
	offset, stride int
}

// store is memory of one value, or of several that are parts of one.
type store struct {
	size        int // floats
	data        []float32
	first, last int // units of the program that use it, first is -1 before any does
	scratch     bool
	channel     int // floats of a channel
	offset      int // in the arena, or in the scratch memory of a thread
}

const forever = 1 << 60

// item is a piece of a program's work: a step of the plan, a copy into a larger value, or, if it
// is free, nothing but the knowledge that a value is there.
type item struct {
	step     int // of the plan
	kind     graph.Kind
	in       []int
	out      int
	free     bool
	grouped  bool // computed channel by channel, together with others
	copy     bool // of in[0] into a part of out
	add      bool // of a product to what is there
	shifts   bool // channel c of the result is not made of channel c of the operands alone
	channels int
	to       place // of a copy

	waits int // for so many others
	users []*item
}

// part is a value that is a part of another: from a row on, or from a channel.
type part struct {
	value        int
	row, channel int
}

// layout finds out how a plan is computed: what steps are copies that need not be made because
// the parts of a value are computed where they belong, and which others are computed together,
// channel by channel, while a channel is in the cache.
type layout struct {
	plan   *engine.Plan
	stepOf []int // of each value, -1 for inputs
	uses   []int // how often each value is used; outputs once more
	dense  []bool
	places []place
	items  []*item
	itemOf []*item // of each value
	sums   map[int]int
	units  [][]*item
	split  int // units[split:] are those of a Rerun
}

func (l *layout) value(v int) engine.Value { return l.plan.Values[v] }

// slab is the number of elements of a channel.
func (l *layout) slab(v int) int {
	if value := l.value(v); value.Role == graph.Activation {
		return value.Size() / value.Shape[1]
	}
	return l.value(v).Size()
}

// row is the number of elements of a row of a channel.
func (l *layout) row(v int) int { return l.slab(v) / l.value(v).Shape[2] }

// grouped tells whether a step is computed channel by channel, and by how many.
func (l *layout) grouped(s engine.Step) (channels int, ok bool) {
	of := func(v int) (int, bool) {
		if value := l.value(v); value.Role == graph.Activation {
			return value.Shape[1], true
		}
		return 0, false
	}
	switch s.Kind {
	case graph.Sigmoid, graph.SigmoidBack, graph.SigmoidBackBack, graph.Tanh, graph.TanhBack, graph.TanhBackBack, graph.Multiply, graph.Mask,
		graph.ReLU, graph.ReLUBack, graph.PadRows, graph.Mean, graph.MeanBack, graph.BatchStats, graph.Normalize, graph.NormalizeFixed, graph.ScaleFixed,
		graph.NormalizeBack, graph.NormalizeBackBack, graph.ShiftChannels, graph.SumChannels, graph.MeanProduct:
		return of(s.Operands[0])
	case graph.Spread:
		return of(s.Operands[1])
	case graph.Add, graph.WeightedSum, graph.InnerProducts:
		channels, ok = of(s.Operands[len(s.Operands)-1])
		return channels, ok && len(s.Operands) <= maxTerms
	}
	return 0, false
}

// strided tells whether a step that is not grouped can read and write values whose channels lie
// apart.
func strided(s engine.Step) bool {
	switch s.Kind {
	case graph.Conv, graph.ConvData, graph.ConvWeight:
		return s.Attr.K == 1
	case graph.Embedding, graph.EmbeddingTake, graph.EmbeddingBack, graph.SparseCrossEntropy, graph.SparseCrossEntropyBack:
		return true
	}
	return false
}

// newLayout makes the layout of a plan whose inputs are at the given stores.
func newLayout(plan *engine.Plan, inputs map[int]*store) *layout {
	n := len(plan.Values)
	l := &layout{plan: plan, stepOf: slices.Repeat([]int{-1}, n), uses: make([]int, n), dense: make([]bool, n), places: make([]place, n), itemOf: make([]*item, n), sums: map[int]int{}}
	for i, s := range plan.Steps {
		l.stepOf[s.Result] = i
		for _, v := range s.Operands {
			l.uses[v]++
		}
	}
	for _, v := range plan.Outputs {
		l.uses[v]++
	}
	for v, s := range inputs {
		l.places[v] = place{store: s, stride: l.slab(v)}
	}
	for _, s := range plan.Steps {
		if _, ok := l.grouped(s); ok || strided(s) || slices.Contains([]graph.Kind{graph.Rows, graph.Slice, graph.StackRows, graph.Concat}, s.Kind) {
			continue
		}
		l.dense[s.Result] = true
		for _, v := range s.Operands {
			l.dense[v] = true
		}
	}
	l.arrange()
	l.schedule()
	l.live()
	return l
}

// padded tells whether all operands of a sum are of a kind that puts a value among zeros, are used
// by nothing else, and fill the result, and returns their parts.
func (l *layout) padded(s engine.Step, kind graph.Kind, axis int) (parts []part) {
	at := map[int]int{} // from where on each step puts its value
	for _, v := range s.Operands {
		i := l.stepOf[v]
		if i < 0 || l.plan.Steps[i].Kind != kind || l.uses[v] != 1 || l.value(v).Varies != l.value(s.Result).Varies {
			return nil
		}
		at[l.plan.Steps[i].Attr.From] = l.plan.Steps[i].Operands[0]
	}
	filled := 0
	for filled < l.value(s.Result).Shape[axis] {
		v, ok := at[filled]
		if !ok {
			return nil
		}
		p := part{value: v}
		if axis == 1 {
			p.channel = filled
		} else {
			p.row = filled
		}
		parts = append(parts, p)
		filled += l.value(v).Shape[axis]
	}
	if len(parts) != len(s.Operands) {
		return nil
	}
	return parts
}

// stack is a store of rows, of which values are stretches.
type stack struct {
	parts []int // values, one below another
	rows  int
	store *store
	like  int // a value that has as many channels, columns and images
}

// arrange decides where values are that are made of others, and makes the items.
func (l *layout) arrange() {
	var stacks []*stack
	type among struct {
		stack *stack
		row   int
	}
	in := map[int]among{}       // stacks of rows, by value
	of := map[int]among{}       // and of those that are put into one
	parents := map[int][]part{} // parts of values that are put together
	absorbed := map[int]bool{}  // steps that others do
	placeable := func(v int) bool {
		_, in := in[v]
		return !in && !l.dense[v] && l.places[v].store == nil && l.stepOf[v] >= 0 &&
			!slices.Contains([]graph.Kind{graph.Rows, graph.Slice, graph.StackRows, graph.Concat}, l.plan.Steps[l.stepOf[v]].Kind)
	}
	stackOf := func(result int, parts []part) {
		values := make([]int, len(parts))
		for i, p := range parts {
			values[i] = p.value
		}
		if at, ok := in[values[0]]; ok && !l.dense[result] { // perhaps a stretch of a stack, or of its continuation
			from := slices.Index(at.stack.parts, values[0])
			known := at.stack.parts[from:]
			k := min(len(known), len(values))
			if slices.Equal(known[:k], values[:k]) && !slices.ContainsFunc(values[k:], func(v int) bool { return !placeable(v) }) {
				for _, v := range values[k:] {
					in[v] = among{at.stack, at.stack.rows}
					at.stack.parts, at.stack.rows = append(at.stack.parts, v), at.stack.rows+l.value(v).Shape[2]
				}
				of[result] = in[values[0]]
				return
			}
		}
		s := &stack{like: result}
		stacks = append(stacks, s)
		seen := map[int]bool{}
		for _, v := range values {
			if placeable(v) && !seen[v] && !l.dense[result] {
				in[v] = among{s, s.rows}
			}
			seen[v] = true
			s.parts, s.rows = append(s.parts, v), s.rows+l.value(v).Shape[2]
		}
		of[result] = among{s, 0}
	}
	for i, s := range l.plan.Steps {
		var parts []part
		switch s.Kind {
		case graph.StackRows:
			row := 0
			for _, v := range s.Operands {
				parts = append(parts, part{value: v, row: row})
				row += l.value(v).Shape[2]
			}
			stackOf(s.Result, parts)
		case graph.Concat:
			channel := 0
			for _, v := range s.Operands {
				parts = append(parts, part{value: v, channel: channel})
				channel += l.value(v).Shape[1]
			}
		case graph.Add:
			if parts = l.padded(s, graph.PadRows, 2); parts != nil {
				stackOf(s.Result, parts)
			} else if parts = l.padded(s, graph.Pad, 1); parts == nil {
				l.accumulates(i)
				continue
			}
			for _, v := range s.Operands {
				absorbed[l.stepOf[v]] = true
			}
		default:
			continue
		}
		parents[i] = parts
		if _, ok := of[s.Result]; !ok { // channels
			l.places[s.Result] = place{store: &store{size: l.value(s.Result).Size(), first: -1}, stride: l.slab(s.Result)}
			for _, p := range parts {
				if placeable(p.value) {
					l.places[p.value] = place{l.places[s.Result].store, p.channel * l.slab(s.Result), l.slab(s.Result)}
				}
			}
		}
	}
	for _, s := range stacks {
		like := l.value(s.like)
		rows := s.rows * like.Shape[3] * like.Shape[0]
		if !l.dense[s.like] {
			rows = padding(rows)
		}
		s.store = &store{size: rows * like.Shape[1], first: -1}
		at := func(row int) place {
			return place{s.store, row * like.Shape[3] * like.Shape[0], rows}
		}
		for v, a := range in {
			if a.stack == s {
				l.places[v] = at(a.row)
			}
		}
		for v, a := range of {
			if a.stack == s {
				l.places[v] = at(a.row)
			}
		}
	}

	// The items, in the order of the plan. Copies come before what they are part of.
	for i, s := range l.plan.Steps {
		if absorbed[i] {
			continue
		}
		it := &item{step: i, kind: s.Kind, in: s.Operands, out: s.Result}
		l.itemOf[s.Result] = it
		own := func() {
			if l.places[s.Result].store != nil {
				return
			}
			slab := l.slab(s.Result)
			stride := slab
			if !l.dense[s.Result] && l.value(s.Result).Role == graph.Activation {
				stride = padding(slab)
			}
			channels := l.value(s.Result).Size() / slab
			l.places[s.Result] = place{store: &store{size: stride * channels, first: -1, channel: slab}, stride: stride}
		}
		switch parts := parents[i]; {
		case parts != nil:
			_, rows := of[s.Result]
			it.free, it.in, it.shifts = true, nil, !rows
			whole := l.places[s.Result]
			for _, p := range parts {
				to := place{whole.store, whole.offset + p.channel*whole.stride + p.row*l.row(p.value), whole.stride}
				if l.places[p.value] == to {
					it.in = append(it.in, p.value)
					continue
				}
				c := &item{step: i, in: []int{p.value}, out: s.Result, grouped: true, copy: true, shifts: it.shifts, channels: l.value(p.value).Shape[1], to: to}
				l.items = append(l.items, c)
				c.users, it.waits = append(c.users, it), it.waits+1
			}
		case (s.Kind == graph.Rows || s.Kind == graph.Slice) && !l.dense[s.Result]:
			it.free, it.shifts = true, s.Kind == graph.Slice
			p := l.places[s.Operands[0]]
			if s.Kind == graph.Slice {
				p.offset += s.Attr.From * p.stride
			} else {
				p.offset += s.Attr.From * l.row(s.Result)
			}
			l.places[s.Result] = p
		case s.Kind == graph.Rows || s.Kind == graph.Slice: // a copy
			own()
			it.grouped, it.copy, it.to, it.channels = true, true, l.places[s.Result], l.value(s.Result).Shape[1]
		default:
			it.channels, it.grouped = l.grouped(s)
			it.shifts = slices.Contains([]graph.Kind{graph.InnerProducts, graph.SumChannels, graph.MeanProduct}, s.Kind)
			if to, ok := l.sums[s.Result]; ok { // a product that is a term of a sum
				it.add = l.places[to].store != nil
				if l.places[to].store == nil {
					l.places[to] = place{store: &store{size: l.value(to).Size(), first: -1}, stride: l.value(to).Size()}
				}
				l.places[s.Result] = l.places[to]
			}
			own()
		}
		l.items = append(l.items, it)
	}
	last := map[int]*item{} // the last product of each sum
	for _, it := range l.items {
		for _, v := range it.in {
			if from := l.itemOf[v]; from != nil {
				from.users, it.waits = append(from.users, it), it.waits+1
			}
		}
		if to, ok := l.sums[it.out]; ok && !it.copy {
			if before := last[to]; before != nil {
				before.users, it.waits = append(before.users, it), it.waits+1
			}
			last[to] = it
		}
	}
}

// accumulates notes the products that a sum of gradients of weights has among its terms: the
// first is computed where the sum is to be, the others are added.
func (l *layout) accumulates(i int) {
	s := l.plan.Steps[i]
	if l.value(s.Result).Role == graph.Activation {
		return
	}
	for _, v := range s.Operands {
		at := l.stepOf[v]
		if at >= 0 && l.plan.Steps[at].Kind == graph.ConvWeight && l.plan.Steps[at].Attr.K == 1 && l.uses[v] == 1 && l.value(v).Varies == l.value(s.Result).Varies {
			l.sums[v] = s.Result
		}
	}
}

// padding keeps channels that follow each other from meeting in a cache.
func padding(floats int) int {
	if floats%256 == 0 {
		return floats + 16
	}
	return floats
}

// schedule orders the items: as many as can be are computed together channel by channel.
func (l *layout) schedule() {
	var ready, deferred []*item
	group := 0 // channels of the group that is open, 0 if none is
	var settle func(from *item)
	reach := func(q *item) {
		if q.waits--; q.waits > 0 {
			return
		}
		if q.free {
			settle(q)
			return
		}
		at, _ := slices.BinarySearchFunc(ready, q, func(a, b *item) int { return a.step - b.step })
		ready = slices.Insert(ready, at, q)
	}
	settle = func(from *item) {
		for _, q := range from.users {
			together := q.free && !q.shifts || q.grouped && q.channels == group
			if group > 0 && (from.shifts || !together) {
				deferred = append(deferred, q)
			} else {
				reach(q)
			}
		}
	}
	varies := func(it *item) bool { return it.step >= l.plan.Split }
	var first []*item
	for _, it := range l.items {
		if it.waits == 0 {
			first = append(first, it)
		}
	}
	for _, it := range first {
		it.waits = 1
		reach(it)
	}
	steady := 0
	for _, it := range l.items {
		if !it.free && !varies(it) {
			steady++
		}
	}
	for len(ready) > 0 {
		allowed := func(it *item) bool { return steady == 0 || !varies(it) }
		at := slices.IndexFunc(ready, func(it *item) bool { return it.grouped && allowed(it) })
		if at < 0 {
			at = slices.IndexFunc(ready, allowed)
		}
		if steady == 0 && l.split == 0 && l.plan.Split > 0 {
			l.split = len(l.units)
		}
		it := ready[at]
		ready = slices.Delete(ready, at, at+1)
		if !it.grouped {
			l.units = append(l.units, []*item{it})
			if !varies(it) {
				steady--
			}
			settle(it)
			continue
		}
		group = it.channels
		var unit []*item
		for {
			unit = append(unit, it)
			if !varies(it) {
				steady--
			}
			settle(it)
			at := slices.IndexFunc(ready, func(q *item) bool { return q.grouped && q.channels == group && varies(q) == varies(it) })
			if at < 0 {
				break
			}
			it = ready[at]
			ready = slices.Delete(ready, at, at+1)
		}
		l.units = append(l.units, unit)
		group = 0
		list := deferred
		deferred = nil
		for _, q := range list {
			reach(q)
		}
	}
	if l.split == 0 && l.plan.Split > 0 {
		l.split = len(l.units)
	}
}

// live finds when stores are used, and which are small enough for the scratch memory of a thread
// because nothing but one group uses them.
func (l *layout) live() {
	grouped := map[*store]bool{}
	for u, unit := range l.units {
		use := func(v int, scratch bool) {
			s := l.places[v].store
			if s.first < 0 {
				s.first, grouped[s] = u, true
			}
			s.last = max(s.last, u)
			grouped[s] = grouped[s] && scratch && l.value(v).Role == graph.Activation
		}
		for _, it := range unit {
			for _, v := range it.in {
				use(v, it.grouped)
			}
			use(it.out, it.grouped)
		}
	}
	for _, v := range l.plan.Outputs {
		l.places[v].store.last = forever
	}
	for _, p := range l.places {
		s := p.store
		if s == nil || s.first < 0 {
			continue
		}
		if s.first < l.split && s.last >= l.split {
			s.last = forever
		}
		s.scratch = s.data == nil && s.channel > 0 && grouped[s] && s.first == s.last
	}
}

// assign gives stores their places in memory that those which are never used at the same time
// share, and returns how much that takes, and the scratch memory of a thread.
func (l *layout) assign() (arena, scratch int) {
	const line = 16
	begins := make([][]*store, len(l.units))
	seen := map[*store]bool{}
	for _, p := range l.places {
		if s := p.store; s != nil && s.data == nil && s.first >= 0 && !seen[s] {
			seen[s] = true
			begins[s.first] = append(begins[s.first], s)
		}
	}
	var used ledger
	ends := make([][]*store, len(l.units)+1)
	for u, unit := range l.units {
		for _, s := range ends[u] {
			used.release(s.offset, (s.size+line-1)/line*line)
		}
		for _, s := range begins[u] {
			if s.scratch {
				continue
			}
			s.offset = used.take((s.size + line - 1) / line * line)
			if s.last < len(l.units) {
				ends[s.last+1] = append(ends[s.last+1], s)
			}
		}
		scratch = max(scratch, l.assignScratch(unit))
	}
	return used.end, scratch
}

// assignScratch does the same for the scratch memory of a group.
func (l *layout) assignScratch(unit []*item) int {
	const line = 16
	last := map[*store]int{}
	for i, it := range unit {
		for _, v := range append(slices.Clone(it.in), it.out) {
			last[l.places[v].store] = i
		}
	}
	var used ledger
	begun := map[*store]bool{}
	for i, it := range unit {
		size := func(s *store) int { return (s.channel + line - 1) / line * line }
		if s := l.places[it.out].store; s.scratch && !begun[s] {
			begun[s] = true
			s.offset = used.take(size(s))
		}
		for s := range begun {
			if begun[s] && last[s] == i {
				used.release(s.offset, size(s))
				begun[s] = false
			}
		}
	}
	return used.end
}

// ledger is a line of memory of which pieces are taken and released.
type ledger struct {
	free []stretch // in order, none next to another
	end  int
}

type stretch struct{ at, size int }

// take returns where a piece is: in the smallest gap that has room, or at the end.
func (r *ledger) take(size int) int {
	best := -1
	for i, f := range r.free {
		if f.size >= size && (best < 0 || f.size < r.free[best].size) {
			best = i
		}
	}
	if best >= 0 {
		f := &r.free[best]
		at := f.at
		f.at, f.size = f.at+size, f.size-size
		if f.size == 0 {
			r.free = slices.Delete(r.free, best, best+1)
		}
		return at
	}
	at := r.end
	if n := len(r.free); n > 0 && r.free[n-1].at+r.free[n-1].size == r.end {
		at = r.free[n-1].at
		r.free = r.free[:n-1]
	}
	r.end = at + size
	return at
}

func (r *ledger) release(at, size int) {
	i, _ := slices.BinarySearchFunc(r.free, at, func(f stretch, at int) int { return f.at - at })
	r.free = slices.Insert(r.free, i, stretch{at, size})
	join := func(i int) {
		if i >= 0 && i+1 < len(r.free) && r.free[i].at+r.free[i].size == r.free[i+1].at {
			r.free[i].size += r.free[i+1].size
			r.free = slices.Delete(r.free, i+1, i+2)
		}
	}
	join(i)
	join(i - 1)
}
