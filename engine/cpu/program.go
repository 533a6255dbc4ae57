package cpu

// #include "ops.h"
import "C"

import (
	"slices"
	"unsafe"
)

// The kinds of instructions, nb_kind in ops.h.
const (
	opCombine      = C.OP_COMBINE
	opReduce       = C.OP_REDUCE
	opConv1        = C.OP_CONV1
	opConv3        = C.OP_CONV3
	opConvK        = C.OP_CONVK
	opWeight1      = C.OP_WEIGHT1
	opWeight3      = C.OP_WEIGHT3
	opWeightK      = C.OP_WEIGHTK
	opPool         = C.OP_POOL
	opPoolBack     = C.OP_POOL_BACK
	opPoolTake     = C.OP_POOL_TAKE
	opMean         = C.OP_MEAN
	opMeanBack     = C.OP_MEAN_BACK
	opLoad         = C.OP_LOAD
	opStore        = C.OP_STORE
	opRepack       = C.OP_REPACK
	opLoss         = C.OP_LOSS
	opLossBack     = C.OP_LOSS_BACK
	opLossBackBack = C.OP_LOSS_BACK_BACK
	opLossDot      = C.OP_LOSS_DOT
	opStream       = C.OP_STREAM
)

// program is a compiled plan.
type program struct {
	engine *Engine
	levels []level
	split  int // the level that a Rerun starts from
	needs  room
	ops    []C.nb_op
	guards *guarding // nil without guards
	keep   []any     // what the instructions point to
}

// room is memory that the programs of an engine share.
type room struct {
	batch           int // bytes
	scratch, work   int // bytes of each thread
	sums, gradients int // elements of each group
}

// level is what happens on the host, and the phase after it.
type level struct {
	hosts []func() // those that do not vary first
	packs []*packing
	phase []C.nb_op
	reads []C.nb_read // of each image, from earlier phases
	// how many of hosts and phase do not vary
	steadyHosts, steadyOps int

	// Every other phase goes through the images backwards: what the last phase
	// left in the caches comes first.
	backwards bool
	groups    []int // group g is the images groups[g]..groups[g+1]
	sums      []*sums
	totals    []float64 // of the groups' partial sums
	width     int       // float64 partial sums of a group
	gradients int       // float32 partial sums of a group
	unpack    []unpacking
	run       func(thread, group int)
	again     func(thread, group int)
	unpackOne func(thread, task int)
}

// packing fills packed weights, if what they are made of has changed.
type packing struct {
	packed   *vector
	pieces   []C.nb_weights
	arrays   []*vector
	versions []int
	computed bool // some are results of this program
}

// unpacking adds up the groups' gradients of a convolution's weights.
type unpacking struct {
	at     C.nb_weights
	slot   int
	result *vector
}

// The images of a batch are divided into this many groups, at most. Sums are
// added up over the images of a group, then over the groups, so their number must
// not depend on that of the threads. More groups leave less waiting at the end of
// a phase, but each needs its own sums, and those of weight gradients are large.
const (
	maxGroups         = 32
	maxGradientGroups = 16
)

// assemble makes the C instructions.
func (c *compiler) assemble(e *Engine) *program {
	p := &program{engine: e}
	c.batch = max(c.batch, 1)
	p.needs.scratch, p.needs.batch = c.place()

	a := &assembler{compiler: c, program: p}
	phases := c.lastPhase() + 1
	p.levels = make([]level, phases+1)
	p.split = c.split
	memory, ops := newArray[C.nb_op](max(len(c.instructions), 1))
	p.ops, p.keep = ops, append(p.keep, memory)
	n := 0
	for i := range p.levels {
		a.level, a.phase = &p.levels[i], i
		a.level.backwards = i%2 == 1
		from := n
		for ; n < len(c.instructions) && c.instructions[n].phase == i; n++ {
			a.instruction(&ops[n], c.instructions[n])
			p.needs.work = max(p.needs.work, 4*int(C.nb_work(&ops[n])))
			if !c.instructions[n].varies {
				a.level.steadyOps++
			}
		}
		a.level.phase = ops[from:n:n]
		if reads, guards := a.reads(c.instructions[from:n]); len(reads) > 0 {
			memory, list := newArray[C.nb_read](len(reads))
			copy(list, reads)
			a.level.reads, p.keep = list, append(p.keep, memory)
			for i, by := range guards {
				if !slices.Contains(by, always) {
					a.guardedReads = append(a.guardedReads, guardedRead{&list[i], list[i].bytes, by})
				}
			}
		}
		p.needs.sums, p.needs.gradients = max(p.needs.sums, a.level.width), max(p.needs.gradients, a.level.gradients)
		a.finish()
	}
	p.guards = a.guarding(ops, c.guardInput)
	for _, varies := range []bool{false, true} {
		for _, h := range c.hosts {
			if h.varies == varies {
				l := &p.levels[h.level]
				l.hosts = append(l.hosts, h.run)
				if !varies {
					l.steadyHosts++
				}
			}
		}
	}
	for i := range p.levels {
		p.levels[i].bind(p)
	}
	return p
}

// finish divides the batch and lets the sums of a level find their totals.
func (a *assembler) finish() {
	l := a.level
	groups := min(a.batch, maxGroups)
	if l.gradients > 0 {
		groups = min(a.batch, maxGradientGroups)
	}
	for g := range groups + 1 {
		l.groups = append(l.groups, g*a.batch/groups)
	}
	if l.width > 0 {
		var memory *memory
		memory, l.totals = newArray[float64](l.width)
		a.program.keep = append(a.program.keep, memory)
	}
	for _, s := range l.sums {
		s.total = l.totals[s.slot : s.slot+s.n]
	}
}

type assembler struct {
	*compiler
	program *program
	level   *level
	phase   int

	terms        []guardedTerm
	guardedReads []guardedRead
}

// array copies a slice to C memory that lives as long as the program.
func array[T any](a *assembler, from []T) *T {
	if len(from) == 0 {
		return nil
	}
	m, to := newArray[T](len(from))
	a.program.keep = append(a.program.keep, m)
	copy(to, from)
	return &to[0]
}

func (a *assembler) ref(p plane) C.nb_ref {
	switch {
	case p.storage == nil:
		return C.nb_ref{space: C.SPACE_NONE}
	case p.vector != nil:
		return C.nb_ref{space: C.SPACE_ABSOLUTE, base: C.int64_t(uintptr(unsafe.Pointer(&p.vector.data[0]))),
			stride: C.int64_t(p.channels * p.h * p.w * 4)}
	case p.scratch:
		return C.nb_ref{space: C.SPACE_SCRATCH, base: C.int64_t(p.at + p.block*p.planeBytes())}
	case p.streamed && !p.direct && p.uses[0].phase == a.phase:
		return C.nb_ref{space: C.SPACE_SCRATCH, base: C.int64_t(p.origin + p.block*p.planeBytes())}
	}
	return a.inBatch(p)
}

// inBatch is where a plane is once it has been streamed.
func (a *assembler) inBatch(p plane) C.nb_ref {
	return C.nb_ref{space: C.SPACE_BATCH, base: C.int64_t(p.at + p.block*p.planeBytes()), stride: C.int64_t(p.imageBytes())}
}

func (a *assembler) refs(planes []plane) *C.nb_ref {
	refs := make([]C.nb_ref, len(planes))
	for i, p := range planes {
		refs[i] = a.ref(p)
	}
	return array(a, refs)
}

// reads lists the planes that a phase reads before it writes them, in order, and
// the guards of those who read each.
func (a *assembler) reads(phase []*instruction) (reads []C.nb_read, guards [][]guard) {
	const written = -1
	seen := map[plane]int{} // index into reads
	read := func(in *instruction, planes ...plane) {
		for _, p := range planes {
			if p.storage == nil || p.scratch || p.vector != nil {
				continue
			}
			i, ok := seen[p]
			if !ok {
				i = len(reads)
				seen[p] = i
				reads = append(reads, C.nb_read{plane: a.ref(p), bytes: C.int64_t(p.planeBytes())})
				guards = append(guards, nil)
			}
			if i != written {
				guards[i] = append(guards[i], a.both(in.guard, p.guard))
			}
		}
	}
	for _, in := range phase {
		read(in, in.in...)
		read(in, in.aux...)
		for _, p := range in.passes {
			for _, t := range p.terms {
				read(in, t.z, t.y, t.image)
			}
		}
		for _, r := range in.reductions {
			read(in, r.mask.y, r.z, r.image)
			read(in, r.w...)
		}
		for _, p := range in.out {
			if _, ok := seen[p]; !ok {
				seen[p] = written
			}
		}
	}
	return reads, guards
}

// slot gives partial sums a place in the phase.
func (a *assembler) slot(s *sums) C.int64_t {
	s.slot = a.level.width
	a.level.width += s.n
	a.level.sums = append(a.level.sums, s)
	return C.int64_t(s.slot)
}

// coefs returns 16 floats for each coefficient in C memory, to be filled when
// they are known. Nil stands for 0.
func (a *assembler) coefs(list []*coef) *C.float {
	v := newVector(len(list) * lanes)
	a.program.keep = append(a.program.keep, v)
	a.host(known(list), func() {
		for i, k := range list {
			if k != nil {
				for l, x := range k.v {
					v.data[i*lanes+l] = float32(x)
				}
			}
		}
	})
	a.settle(&a.hosts[len(a.hosts)-1])
	return pointer(v.data)
}

func (a *assembler) instruction(op *C.nb_op, in *instruction) {
	op.kind = C.int32_t(in.kind)
	op.h, op.w, op.oh, op.ow = C.int32_t(in.h), C.int32_t(in.w), C.int32_t(in.oh), C.int32_t(in.ow)
	op.k, op.stride, op.pad = C.int32_t(in.attr.K), C.int32_t(in.attr.S), C.int32_t(in.attr.P)
	if in.accumulate {
		op.accumulate = 1
	}
	op.channels, op.scale = C.int32_t(in.channels), C.double(in.scale)
	op.in, op.nin = a.refs(in.in), C.int32_t(len(in.in))
	op.out, op.nout = a.refs(in.out), C.int32_t(len(in.out))
	op.aux, op.naux = a.refs(in.aux), C.int32_t(len(in.aux))
	op.slot = -1
	if in.sums != nil {
		op.slot = a.slot(in.sums)
	}
	if in.seed != nil {
		op.weights = pointer(in.seed.array.data)
		a.program.keep = append(a.program.keep, in.seed.array)
	}
	if in.scales != nil {
		op.weights = a.coefs(in.scales)
	}
	switch in.kind {
	case opStream:
		out := make([]C.nb_ref, len(in.in))
		for i, p := range in.in {
			out[i] = a.inBatch(p)
		}
		op.out, op.nout = array(a, out), C.int32_t(len(out))
	case opCombine:
		var list []C.nb_pass
		for _, p := range in.passes {
			list = append(list, a.pass(p))
		}
		op.passes, op.count = array(a, list), C.int32_t(len(list))
		for i, p := range in.passes {
			for j, t := range p.terms {
				if by := a.guardOf(t.z, t.y); !a.within(in.guard, by) {
					a.terms = append(a.terms, guardedTerm{&unsafe.Slice(op.passes, len(list))[i], j, by})
				}
			}
		}
	case opReduce:
		var list []C.nb_reduction
		for _, r := range in.reductions {
			list = append(list, a.reduction(r))
		}
		op.reductions, op.count = array(a, list), C.int32_t(len(list))
	case opConv1, opConv3, opConvK:
		a.convolution(op, in)
	case opWeight1, opWeight3, opWeightK:
		a.weightGradient(op, in)
	case opRepack:
		var list []C.nb_move
		for _, m := range in.moves {
			to := C.nb_move{src: C.int32_t(m.src), block: C.int32_t(m.block)}
			for l, from := range m.lanes {
				to.lanes[l] = C.int32_t(from)
			}
			list = append(list, to)
		}
		op.moves, op.count = array(a, list), C.int32_t(len(list))
	}
}

func (a *assembler) pass(p pass) C.nb_pass {
	q := C.nb_pass{out: a.ref(p.out), terms: C.int32_t(len(p.terms))}
	list := []*coef{p.b}
	for i, t := range p.terms {
		q.kind[i] = C.int32_t(t.kind)
		q.z[i], q.y[i], q.image[i] = a.ref(t.z), a.ref(t.y), a.ref(t.image)
		if t.image.storage != nil {
			q.images = 1
		}
		list = append(list, t.a, t.s, t.t)
	}
	if p.accumulate {
		q.accumulate = 1
	}
	if p.last {
		q.last = 1
	}
	q.coef = a.coefs(list)
	return q
}

func (a *assembler) reduction(r *reduction) C.nb_reduction {
	q := C.nb_reduction{y: a.ref(r.mask.y), z: a.ref(r.z), image: a.ref(r.image), nw: C.int32_t(len(r.w))}
	if r.z.storage != nil {
		q.has_z = 1
	}
	for i, w := range r.w {
		q.w[i] = a.ref(w)
	}
	if r.mask.y.storage != nil {
		q.masked = 1
		q.coef = a.coefs([]*coef{r.mask.s, r.mask.t})
	}
	r.sums.n = (1 + len(r.w)) * lanes
	q.slot = a.slot(&r.sums)
	return q
}

func (a *assembler) depths(in *instruction) *C.int32_t {
	var d []C.int32_t
	for _, n := range in.depths {
		d = append(d, C.int32_t(n))
	}
	return array(a, d)
}

func (w *weights) at(p piece) C.nb_weights {
	at := C.nb_weights{outs: C.int32_t(p.w.shape[0]), ins: C.int32_t(p.w.shape[1]), k: C.int32_t(w.k),
		out_blocks: C.int32_t(w.outBlocks), in_blocks: C.int32_t(w.inBlock), out_block: C.int32_t(p.outBlock), in_block: C.int32_t(p.inBlock)}
	if p.transposed {
		at.transposed = 1
	}
	return at
}

func (a *assembler) convolution(op *C.nb_op, in *instruction) {
	op.depth = a.depths(in)
	if in.out[0].direct {
		op.far = 1
	}
	if in.stats != nil {
		slots := make([]C.int64_t, len(in.out))
		for i := range slots {
			slots[i] = -1
			if i < len(in.stats) && in.stats[i] != nil {
				slots[i] = a.slot(in.stats[i])
			}
		}
		op.slots = array(a, slots)
	}
	w := in.weights
	pack := &packing{}
	for _, p := range w.pieces {
		pack.pieces = append(pack.pieces, w.at(p))
		pack.arrays = append(pack.arrays, p.w.array)
		pack.computed = pack.computed || p.w.level > 0
	}
	pack = a.program.engine.packing(pack, int(C.nb_packed_size(C.int64_t(w.outBlocks), C.int64_t(w.inBlock), C.int64_t(w.k))))
	op.weights = pointer(pack.packed.data)
	a.program.keep = append(a.program.keep, pack)
	l := &a.program.levels[w.level]
	if !slices.Contains(l.packs, pack) {
		l.packs = append(l.packs, pack)
	}
}

func (a *assembler) weightGradient(op *C.nb_op, in *instruction) {
	op.depth = a.depths(in)
	w := in.weights
	op.slot = C.int64_t(a.level.gradients)
	a.level.unpack = append(a.level.unpack, unpacking{w.at(w.pieces[0]), a.level.gradients, w.pieces[0].w.array})
	a.level.gradients += int(C.nb_packed_size(C.int64_t(w.outBlocks), C.int64_t(w.inBlock), C.int64_t(w.k)))
}

// bind makes the functions that a run calls, so that it allocates nothing.
func (l *level) bind(p *program) {
	e := p.engine
	phase := func(ops []C.nb_op) func(thread, group int) {
		memory, phases := newArray[C.nb_phase](1)
		p.keep = append(p.keep, memory)
		phases[0] = C.nb_phase{kernels: e.kernels, ops: unsafe.SliceData(ops), count: C.int64_t(len(ops)),
			reads: unsafe.SliceData(l.reads), read_count: C.int64_t(len(l.reads)), images: C.int64_t(l.groups[len(l.groups)-1])}
		if l.backwards {
			phases[0].backwards = 1
		}
		return func(thread, group int) {
			var context C.nb_context
			if l.width > 0 {
				sums := e.sumsOf(group)[:l.width]
				clear(sums)
				context.sums = (*C.double)(&sums[0])
			}
			if l.gradients > 0 {
				gradients := e.gradientsOf(group)[:l.gradients]
				clear(gradients)
				context.gradients = (*C.float)(&gradients[0])
			}
			context.spaces[C.SPACE_BATCH] = (*C.char)(e.batch.pointer)
			context.spaces[C.SPACE_SCRATCH] = (*C.char)(e.scratch[thread].pointer)
			context.work = (*C.float)(e.work[thread].pointer)
			C.nb_run(&phases[0], context, C.int64_t(l.groups[group]), C.int64_t(l.groups[group+1]))
		}
	}
	l.run, l.again = phase(l.phase), phase(l.phase[l.steadyOps:])
	l.unpackOne = func(_, task int) {
		u := &l.unpack[task]
		C.nb_unpack(pointer(u.result.data), pointer(e.gradients.data[u.slot:]), &u.at, C.int64_t(len(l.groups)-1), C.int64_t(e.has.gradients))
	}
}

// Run computes everything.
func (p *program) Run() { p.execute(false) }

// Rerun computes what depends on the varying inputs. If another program has
// used the engine's memory since, that is everything.
func (p *program) Rerun() { p.execute(true) }

func (p *program) execute(again bool) {
	e := p.engine
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.reserve(p.needs)
	again = again && e.last == p
	e.last = p
	if !again {
		p.guards.settle()
	}
	from := 0
	if again {
		from = p.split
	}
	for i := from; i < len(p.levels); i++ {
		l := &p.levels[i]
		hosts, ops, do := l.hosts, l.phase, l.run
		if again {
			hosts, ops, do = hosts[l.steadyHosts:], ops[l.steadyOps:], l.again
		}
		for _, h := range hosts {
			h()
		}
		e.pack(l.packs)
		if len(ops) == 0 {
			continue
		}
		groups := len(l.groups) - 1
		e.pool.run(groups, l.backwards, do)
		if l.width > 0 {
			C.nb_total((*C.double)(&l.totals[0]), (*C.double)(&e.sums[0]), C.int64_t(l.width), C.int64_t(groups), C.int64_t(e.has.sums))
		}
		if len(l.unpack) > 0 {
			e.pool.run(len(l.unpack), false, l.unpackOne)
		}
	}
}
