package phases

import (
	"slices"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
)

// Machine is what the compiler asks of an engine whose kernels execute the
// instructions.
type Machine interface {
	// Alloc returns the address of zeroed bytes that live as long as the program,
	// and where the host writes them. What it has written is in effect once Compile
	// has returned.
	Alloc(bytes int) (Address, unsafe.Pointer)
	// Room returns the address of zeroed bytes that live as long and that only the
	// program itself writes.
	Room(bytes int) Address
	// NewVector allocates n zeros.
	NewVector(n int) Vector
	// Pack sees to packed weights of the pieces, see Packing, and returns where
	// they will be.
	Pack(*Packing) Address
	// PackedGradients is how many floats the gradient with respect to the weights of a
	// convolution with K×K windows take in packed form.
	PackedGradients(outBlocks, inBlocks, k int) int
	// Together reports whether all images of a phase are worked on at once. Each
	// then has scratch memory of its own, and nothing is arranged for caches.
	Together() bool
	// Layout is that of the program's planes.
	Layout() Layout
	// Half reports whether planes that go through memory from one phase to another are
	// held in bfloat16 there. Those of single pixels, and those that a repetition starts
	// from, are floats all the same.
	Half() bool
}

// Vector is a vector of the engine that instructions can address.
type Vector interface {
	engine.Vector
	Address() Address
}

// Packing is packed weights: those of several convolutions side by side. They
// must be packed anew whenever one of the arrays has changed.
type Packing struct {
	OutBlocks, InBlocks, K int
	Layout                 Layout
	Depthwise              bool // of OutBlocks, see Floats
	Pieces                 []Weights
	Arrays                 []Vector // of each piece, [O][I][K][K]
	Computed               bool     // some are written by this program
}

// Floats is how many there are of depthwise weights, packed as [block][K²][lane].
func (p *Packing) Floats() int { return p.OutBlocks * p.K * p.K * p.Layout.Floats() }

// Unpacking adds up the groups' gradients of a convolution's weights, which are at
// a slot of each group's partial sums, into an array [O][I][K][K].
type Unpacking struct {
	At     Weights
	Slot   int
	Result Vector
}

// Program is a compiled plan. To run it is to do, level after level, what Level
// says.
type Program struct {
	Turns   int // how often a phase is gone through: the images of the batch, by those of a Layout
	Scratch int // bytes of scratch memory: of each turn if all are worked on together, else of a thread
	Batch   int // bytes of memory for the batch
	Split   int // the level that a repetition starts from
	Levels  []Level

	// Traffic is how many bytes of activations the instructions of a run read and
	// write together, a plane counting once for each: what goes through memory if
	// no cache keeps anything from one instruction to the next.
	Traffic int

	Ops     []Op    // all instructions, where the host writes them
	Address Address // of the first

	guards *guarding // nil without guards
	keep   []any     // what addresses lead to
}

// Level is what happens between phases, and the phase after it: first the
// numbers, in order or one wave after another, then the packing of weights, then the
// instructions, then the totals of what they have summed up and of weights' gradients.
type Level struct {
	Numbers        []Numbers // those that do not vary first; in waves if images are worked on together
	NumbersAddress Address
	Packs          []*Packing
	From, To       int    // instructions
	Reads          []Read // of each image, from earlier phases; not if images are worked on together
	ReadsAddress   Address
	// how many of Numbers and of the instructions do not vary: a repetition leaves them out
	SteadyNumbers, SteadyOps int

	Cost, Again Cost // of a run and of a repetition

	Sums          int // doubles that the instructions sum up
	Totals        []float64
	TotalsAddress Address
	Gradients     int // floats of weights' gradients that they sum up
	Unpack        []Unpacking
}

// Compile compiles a plan. Programs are bound to their inputs and outputs.
func Compile(m Machine, plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (*Program, error) {
	c, err := newCompiler(m, plan, inputs, outputs)
	if err != nil {
		return nil, err
	}
	if err := c.compile(); err != nil {
		return nil, err
	}
	c.schedule()
	return c.assemble(), nil
}

// assemble writes the instructions.
func (c *compiler) assemble() *Program {
	p := &Program{Turns: c.turns(), Split: c.split}
	p.Scratch, p.Batch = c.place()

	a := &assembler{compiler: c, program: p, constants: map[*numbers]Address{}}
	phases := c.lastPhase() + 1
	p.Levels = make([]Level, phases+1)
	p.Address, p.Ops = array[Op](a, max(len(c.instructions), 1))
	n := 0
	for i := range p.Levels {
		a.level, a.phase = &p.Levels[i], i
		a.level.From = n
		for ; n < len(c.instructions) && c.instructions[n].phase == i; n++ {
			a.instruction(&p.Ops[n], c.instructions[n])
			p.Traffic += c.instructions[n].traffic() * p.Turns
			if !c.instructions[n].varies {
				a.level.SteadyOps++
			}
		}
		a.level.To = n
		list := c.instructions[a.level.From:n]
		a.level.Cost, a.level.Again = costOf(list, a.layout), costOf(list[a.level.SteadyOps:], a.layout)
		if !c.machine.Together() {
			a.reads(c.instructions[a.level.From:n])
		}
		a.level.TotalsAddress, a.level.Totals = array[float64](a, a.level.Sums)
		for _, s := range a.sums {
			s.total = a.level.TotalsAddress + Address(s.slot*8)
		}
		a.sums = nil
	}
	p.guards = a.guarding()
	a.numbers()
	return p
}

// traffic is the bytes of one turn that the instruction reads and writes.
func (in *instruction) traffic() int {
	bytes := 0
	seen := map[plane]bool{}
	add := func(planes ...plane) {
		for _, p := range planes {
			switch {
			case p.storage == nil || seen[p]:
			case p.vector != nil:
				bytes += p.vectorBytes()
			default:
				bytes += p.planeBytes()
			}
			seen[p] = true
		}
	}
	add(in.in...)
	add(in.aux...)
	add(in.out...)
	for _, p := range in.passes {
		add(p.out)
		for _, t := range p.terms {
			add(t.z, t.y)
		}
	}
	for _, r := range in.reductions {
		add(r.mask.y, r.z)
		add(r.w...)
	}
	return bytes
}

type assembler struct {
	*compiler
	program *Program
	level   *Level
	phase   int
	sums    []*sums // of the level

	constants map[*numbers]Address

	terms        []guardedTerm
	guardedReads []guardedRead
}

// array makes room for n zeros that live as long as the program.
func array[T any](a *assembler, n int) (Address, []T) {
	if n == 0 {
		return 0, nil
	}
	var t T
	address, p := a.machine.Alloc(n * int(unsafe.Sizeof(t)))
	return address, unsafe.Slice((*T)(p), n)
}

// list copies a slice to where the kernels find it.
func list[T any](a *assembler, from []T) (Address, []T) {
	address, to := array[T](a, len(from))
	copy(to, from)
	return address, to
}

// numbers writes what is computed between the phases, in order.
func (a *assembler) numbers() {
	lists := make([][2][]Numbers, len(a.program.Levels)) // of each level: what is steady and what varies
	for _, h := range a.hosts {
		l := &lists[h.level][rank(h.varies)]
		*l = append(*l, Numbers{Kind: h.kind, N: int32(h.n), Step: int32(h.step), K: h.k, To: a.operand(h.to), A: a.operand(h.a), B: a.operand(h.b)})
	}
	for i, l := range lists {
		if a.machine.Together() {
			waves(l[0], 0)
			waves(l[1], len(l[0]))
		}
		level := &a.program.Levels[i]
		level.SteadyNumbers = len(l[0])
		level.NumbersAddress, level.Numbers = list(a, slices.Concat(l[0], l[1]))
	}
}

// operand is the address of one, 0 if there is none.
func (a *assembler) operand(o operand) Address {
	const double, float = 8, 4
	switch {
	case o.of != nil:
		return a.address(o.of) + Address(o.at*double)
	case o.sums != nil:
		return o.sums.total + Address(o.at*double)
	case o.vector != nil:
		a.keep(o.vector)
		return o.vector.Address() + Address(o.at*float)
	case o.floats != 0:
		return o.floats + Address(o.at*float)
	}
	return 0
}

// address is where numbers are.
func (a *assembler) address(n *numbers) Address {
	if n.constant != nil { // which programs share
		if a.constants[n] == 0 {
			a.constants[n], _ = list(a, n.constant)
		}
		return a.constants[n]
	}
	if n.address == 0 {
		const double = 8
		n.address = a.machine.Room(n.n * double)
	}
	return n.address
}

func (a *assembler) keep(v any) { a.program.keep = append(a.program.keep, v) }

func (a *assembler) ref(p plane) Ref {
	switch {
	case p.storage == nil:
		return Ref{Space: None}
	case p.vector != nil:
		a.keep(p.vector)
		return Ref{Space: Absolute, Base: int64(p.vector.Address()), Stride: int64(p.vectorBytes())}
	case p.scratch:
		return a.inScratch(p.at + p.block*p.planeBytes())
	case p.streamed && !p.direct && p.uses[0].phase == a.phase:
		return a.inScratch(p.origin + p.block*p.planeBytes())
	}
	return a.inBatch(p)
}

func (a *assembler) inScratch(at int) Ref {
	r := Ref{Space: Scratch, Base: int64(at)}
	if a.machine.Together() {
		r.Stride = int64(a.program.Scratch)
	}
	return r
}

// inBatch is where a plane is once it has been streamed.
func (a *assembler) inBatch(p plane) Ref {
	r := Ref{Space: Batch, Base: int64(p.at + p.block*p.kept(p.planeBytes())), Stride: int64(p.kept(p.turnBytes()))}
	if p.half {
		r.Space = Half
	}
	return r
}

func (a *assembler) refs(planes []plane) (Address, int32) {
	refs := make([]Ref, len(planes))
	for i, p := range planes {
		refs[i] = a.ref(p)
	}
	at, _ := list(a, refs)
	return at, int32(len(planes))
}

// reads lists the planes that a phase reads before it writes them, in order, and
// the guards of those who read each.
func (a *assembler) reads(phase []*instruction) {
	var reads []Read
	var guards [][]guard
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
				reads = append(reads, Read{Plane: a.ref(p), Bytes: int64(p.kept(p.planeBytes()))})
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
	a.level.ReadsAddress, a.level.Reads = list(a, reads)
	for i, by := range guards {
		if !slices.Contains(by, always) {
			a.guardedReads = append(a.guardedReads, guardedRead{&a.level.Reads[i], reads[i].Bytes, by})
		}
	}
}

// slot gives partial sums a place in the phase.
func (a *assembler) slot(s *sums) int64 {
	s.slot = a.level.Sums
	a.level.Sums += s.n
	a.sums = append(a.sums, s)
	return int64(s.slot)
}

// coefs returns a float for each lane for each coefficient, to be filled when they are known.
// Nil stands for 0.
func (a *assembler) coefs(all []*coef) Address {
	const float = 4
	floats := a.machine.Room(len(all) * a.lanes * float)
	m := known(all)
	for i, k := range all {
		if k != nil {
			a.host(host{moment: m, kind: NumbersWrite, n: a.lanes, step: 1, to: operand{floats: floats, at: i * a.lanes}, a: operand{of: &k.numbers}})
			a.settle(a.hosts[len(a.hosts)-1])
		}
	}
	return floats
}

func (a *assembler) instruction(op *Op, in *instruction) {
	op.Kind = int32(in.kind)
	op.H, op.W, op.OH, op.OW = int32(in.h), int32(in.w), int32(in.oh), int32(in.ow)
	op.K, op.Stride, op.Pad, op.Dilation = int32(in.attr.K), int32(in.attr.S), int32(in.attr.P), int32(in.attr.D)
	op.Accumulate = truth(in.accumulate)
	op.Channels, op.Scale = int32(in.channels), in.scale
	op.In, op.Ins = a.refs(in.in)
	op.Out, op.Outs = a.refs(in.out)
	op.Aux, op.Auxs = a.refs(in.aux)
	op.Slot = -1
	if in.sums != nil {
		op.Slot = a.slot(in.sums)
	}
	if in.seed != nil {
		op.Weights = in.seed.array.Address()
		a.keep(in.seed.array)
	}
	if in.scales != nil {
		op.Weights = a.coefs(in.scales)
	}
	if in.affine != nil {
		op.Coef = a.coefs(in.affine)
	}
	switch in.kind {
	case OpStream:
		out := make([]Ref, len(in.in))
		for i, p := range in.in {
			out[i] = a.inBatch(p)
		}
		op.Out, _ = list(a, out)
		op.Outs = int32(len(out))
		op.Far, op.Round = truth(a.far), truth(in.round)
	case OpCombine:
		var all []Pass
		for _, p := range in.passes {
			all = append(all, a.pass(p))
		}
		op.Passes, all = list(a, all)
		op.Count = int32(len(all))
		for i, p := range in.passes {
			for j, t := range p.terms {
				if by := a.guardOf(t.z, t.y); !a.within(in.guard, by) {
					a.terms = append(a.terms, guardedTerm{&all[i], j, by})
				}
			}
		}
	case OpReduce:
		var all []Reduction
		for _, r := range in.reductions {
			all = append(all, a.reduction(r))
		}
		op.Reductions, _ = list(a, all)
		op.Count = int32(len(all))
	case OpConv1, OpConv3, OpConvK:
		a.convolution(op, in)
	case OpWeight1, OpWeight3, OpWeightK:
		a.weightGradient(op, in)
	case OpDepth, OpDepthBack:
		op.Far = truth(in.out[0].direct)
		op.Weights = a.pack(in.weights)
	case OpDepthWeight:
		a.unpack(op, in.weights)
	case OpRepack:
		var all []Move
		for _, m := range in.moves {
			to := Move{Src: int32(m.src), Block: int32(m.block)}
			for l, from := range m.lanes {
				to.Lanes[l] = int32(from)
			}
			all = append(all, to)
		}
		op.Moves, _ = list(a, all)
		op.Count = int32(len(all))
	}
}

func (a *assembler) pass(p pass) Pass {
	q := Pass{Out: a.ref(p.out), Terms: int32(len(p.terms)), Accumulate: truth(p.accumulate), Last: truth(p.last)}
	all := []*coef{p.b}
	for i, t := range p.terms {
		q.Kind[i] = int32(t.kind)
		q.Z[i], q.Y[i], q.Image[i] = a.ref(t.z), a.ref(t.y), a.ref(t.image)
		if t.image.storage != nil {
			q.Images = 1
		}
		all = append(all, t.a, t.s, t.t)
	}
	q.Coef = a.coefs(all)
	return q
}

func (a *assembler) reduction(r *reduction) Reduction {
	q := Reduction{Y: a.ref(r.mask.y), Z: a.ref(r.z), Image: a.ref(r.image), NW: int32(len(r.w)), HasZ: truth(r.z.storage != nil)}
	for i, w := range r.w {
		q.W[i] = a.ref(w)
	}
	if r.mask.y.storage != nil {
		q.Masked = 1
		q.Coef = a.coefs([]*coef{r.mask.s, r.mask.t})
	}
	r.sums.n = (1 + len(r.w)) * a.lanes
	q.Slot = a.slot(&r.sums)
	return q
}

func (a *assembler) depths(in *instruction) Address {
	d := make([]int32, len(in.depths))
	for i, n := range in.depths {
		d[i] = int32(n)
	}
	at, _ := list(a, d)
	return at
}

func (w *weights) at(p piece) Weights {
	return Weights{Outs: int32(p.w.shape[0]), Ins: int32(p.w.shape[1]), K: int32(w.k), OutBlocks: int32(w.outBlocks), InBlocks: int32(w.inBlock),
		OutBlock: int32(p.outBlock), InBlock: int32(p.inBlock), Transposed: truth(p.transposed), Depthwise: truth(w.depthwise)}
}

func (a *assembler) convolution(op *Op, in *instruction) {
	op.Depth = a.depths(in)
	op.Far = truth(in.out[0].direct && a.far)
	if in.stats != nil {
		slots := make([]int64, len(in.out))
		for i := range slots {
			slots[i] = -1
			if i < len(in.stats) && in.stats[i] != nil {
				slots[i] = a.slot(in.stats[i])
			}
		}
		op.Slots, _ = list(a, slots)
	}
	op.Weights = a.pack(in.weights)
}

// pack lets the level in which they are known pack weights, and returns where they will
// be.
func (a *assembler) pack(w *weights) Address {
	pack := &Packing{OutBlocks: w.outBlocks, InBlocks: w.inBlock, K: w.k, Layout: a.layout, Depthwise: w.depthwise}
	for _, p := range w.pieces {
		pack.Pieces = append(pack.Pieces, w.at(p))
		pack.Arrays = append(pack.Arrays, p.w.array)
		pack.Computed = pack.Computed || p.w.level > 0 || p.w.host != nil
	}
	l := &a.program.Levels[w.level]
	l.Packs = append(l.Packs, pack)
	return a.machine.Pack(pack)
}

func (a *assembler) weightGradient(op *Op, in *instruction) {
	op.Depth = a.depths(in)
	a.unpack(op, in.weights)
}

// unpack gives an instruction room for a gradient of weights, which the level adds up.
func (a *assembler) unpack(op *Op, w *weights) {
	op.Slot = int64(a.level.Gradients)
	a.level.Unpack = append(a.level.Unpack, Unpacking{w.at(w.pieces[0]), a.level.Gradients, w.pieces[0].w.array})
	if w.depthwise {
		a.level.Gradients += (&Packing{OutBlocks: w.outBlocks, K: w.k, Layout: a.layout}).Floats()
		return
	}
	a.level.Gradients += a.machine.PackedGradients(w.outBlocks, w.inBlock, w.k)
}
