package cpu

// #include "ops.h"
import "C"

import (
	"slices"
	"time"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// The kernels read what package phases has written.
var (
	_ [phases.OpBytes]byte        = [unsafe.Sizeof(C.nb_op{})]byte{}
	_ [phases.PassBytes]byte      = [unsafe.Sizeof(C.nb_pass{})]byte{}
	_ [phases.ReductionBytes]byte = [unsafe.Sizeof(C.nb_reduction{})]byte{}
	_ [phases.MoveBytes]byte      = [unsafe.Sizeof(C.nb_move{})]byte{}
	_ [phases.NumbersBytes]byte   = [unsafe.Sizeof(C.nb_numbers{})]byte{}
	_ [phases.WeightsBytes]byte   = [unsafe.Sizeof(C.nb_weights{})]byte{}
	_ [phases.ReadBytes]byte      = [unsafe.Sizeof(C.nb_read{})]byte{}
	_ [phases.OpCount]byte        = [C.OP_COUNT]byte{}
	_ [phases.NumbersCount]byte   = [C.NUMBERS_COUNT]byte{}
)

// machine gives a program memory for its instructions.
type machine struct {
	engine   *Engine
	layout   phases.Layout
	chunks   []*memory
	used     int // of the last one
	packings map[*phases.Packing]*packing
}

// Alloc cuts pieces of whole cache lines off larger ones.
func (m *machine) Alloc(bytes int) (phases.Address, unsafe.Pointer) {
	const chunk, line = 1 << 18, 64
	bytes = (bytes + line - 1) / line * line
	if len(m.chunks) == 0 || m.used+bytes > m.chunks[len(m.chunks)-1].bytes {
		m.chunks, m.used = append(m.chunks, newMemory(max(bytes, chunk))), 0
	}
	p := unsafe.Add(m.chunks[len(m.chunks)-1].pointer, m.used)
	m.used += bytes
	return phases.Address(p), p
}

func (m *machine) Room(bytes int) phases.Address {
	a, _ := m.Alloc(bytes)
	return a
}

func (m *machine) NewVector(n int) phases.Vector { return newVector(n) }

func (m *machine) Pack(p *phases.Packing) phases.Address {
	m.packings[p] = m.engine.packing(p)
	return m.packings[p].packed.Address()
}

func (m *machine) PackedGradients(outBlocks, inBlocks, k int) int {
	return int(C.nb_packed_size(C.int64_t(outBlocks), C.int64_t(inBlocks), C.int64_t(k), planeOf(m.layout)))
}

func (m *machine) Together() bool { return false }

func (m *machine) Layout() phases.Layout { return m.layout }

func (m *machine) Half() bool { return m.engine.half }

// program is a compiled plan.
type program struct {
	*phases.Program
	engine  *Engine
	machine *machine
	levels  []level
	needs   room
}

// room is memory that the programs of an engine share.
type room struct {
	batch           int // bytes
	scratch, work   int // bytes of each thread
	sums, gradients int // elements of each group
}

// level is a level of the program and how it is run.
type level struct {
	*phases.Level
	numbers []C.nb_numbers
	packs   []*packing

	// Every other phase goes through the images backwards: what the last phase
	// left in the caches comes first.
	backwards bool
	groups    []int // group g is the turns groups[g]..groups[g+1]
	run       func(thread, group int)
	again     func(thread, group int)
	unpackOne func(thread, task int)
}

// The images of a batch are divided into this many groups, at most. Sums are
// added up over the images of a group, then over the groups, so their number must
// not depend on that of the threads. More groups leave less waiting at the end of
// a phase, but each needs its own sums, and those of weight gradients are large, and
// larger by the images of a plane.
const (
	maxGroups         = 32
	maxGradientGroups = 16
)

// newProgram makes the code ready to run.
func newProgram(e *Engine, code *phases.Program, m *machine) *program {
	p := &program{Program: code, engine: e, machine: m, needs: room{batch: code.Batch, scratch: code.Scratch}}
	ops := view[C.nb_op](code.Ops)
	for i := range ops {
		p.needs.work = max(p.needs.work, 4*int(C.nb_work(&ops[i], C.int(m.layout.Floats()))))
	}
	p.levels = make([]level, len(code.Levels))
	for i := range p.levels {
		l := &p.levels[i]
		l.Level, l.backwards = &code.Levels[i], i%2 == 1
		l.numbers = view[C.nb_numbers](l.Numbers)
		for _, pack := range l.Packs {
			if shared := m.packings[pack]; !slices.Contains(l.packs, shared) {
				l.packs = append(l.packs, shared)
			}
		}
		groups := min(code.Turns, maxGroups)
		if l.Gradients > 0 {
			groups = min(code.Turns, maxGradientGroups/m.layout.Images)
		}
		for g := range groups + 1 {
			l.groups = append(l.groups, g*code.Turns/groups)
		}
		p.needs.sums, p.needs.gradients = max(p.needs.sums, l.Sums), max(p.needs.gradients, l.Gradients)
		l.bind(p, ops[l.From:l.To:l.To])
	}
	return p
}

// view is a list in C memory as the kernels see it.
func view[C, Go any](list []Go) []C {
	return unsafe.Slice((*C)(unsafe.Pointer(unsafe.SliceData(list))), len(list))
}

// bind makes the functions that a run calls, so that it allocates nothing.
func (l *level) bind(p *program, ops []C.nb_op) {
	e := p.engine
	phase := func(ops []C.nb_op) func(thread, group int) {
		_, at := p.machine.Alloc(int(unsafe.Sizeof(C.nb_phase{})))
		phase := (*C.nb_phase)(at)
		*phase = C.nb_phase{kernels: e.kernelsFor(p.machine.layout), ops: unsafe.SliceData(ops), count: C.int64_t(len(ops)),
			reads: unsafe.SliceData(view[C.nb_read](l.Reads)), read_count: C.int64_t(len(l.Reads)), images: C.int64_t(p.Turns)}
		if l.backwards {
			phase.backwards = 1
		}
		return func(thread, group int) {
			var context C.nb_context
			if l.Sums > 0 {
				sums := e.sumsOf(group)[:l.Sums]
				clear(sums)
				context.sums = (*C.double)(&sums[0])
			}
			if l.Gradients > 0 {
				gradients := e.gradientsOf(group)[:l.Gradients]
				clear(gradients)
				context.gradients = (*C.float)(&gradients[0])
			}
			context.spaces[C.SPACE_BATCH] = (*C.char)(e.batch.pointer)
			context.spaces[C.SPACE_HALF] = (*C.char)(e.batch.pointer)
			context.spaces[C.SPACE_SCRATCH] = (*C.char)(e.scratch[thread].pointer)
			context.work = (*C.float)(e.work[thread].pointer)
			C.nb_run(phase, context, C.int64_t(l.groups[group]), C.int64_t(l.groups[group+1]))
		}
	}
	l.run, l.again = phase(ops), phase(ops[l.SteadyOps:])
	l.unpackOne = func(_, task int) {
		u := &l.Unpack[task]
		C.nb_unpack(pointer(u.Result.(*vector).data), pointer(e.gradients.data[u.Slot:]), (*C.nb_weights)(unsafe.Pointer(&u.At)), C.int64_t(len(l.groups)-1), C.int64_t(e.has.gradients), planeOf(p.machine.layout))
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
		p.Settle()
	}
	from := 0
	if again {
		from = p.Split
	}
	for i := from; i < len(p.levels); i++ {
		if e.observe == nil {
			p.do(i, again, nil)
			continue
		}
		start, cost := time.Now(), p.levels[i].cost(p.Turns, again)
		p.do(i, again, func(images time.Duration) { cost.Images = images })
		cost.Batch = time.Since(start) - cost.Images
		e.observe(p, i, cost)
	}
}

// do computes a level, and tells how long its images have taken if somebody asks.
func (p *program) do(level int, again bool, tell func(images time.Duration)) {
	e, l := p.engine, &p.levels[level]
	numbers, ops, do := l.numbers, l.To-l.From, l.run
	if again {
		numbers, ops, do = numbers[l.SteadyNumbers:], ops-l.SteadyOps, l.again
	}
	C.nb_numbers_run(unsafe.SliceData(numbers), C.int64_t(len(numbers)))
	e.pack(l.packs)
	if ops == 0 {
		return
	}
	groups := len(l.groups) - 1
	var start time.Time
	if tell != nil {
		start = time.Now()
	}
	e.pool.run(groups, l.backwards, do)
	if tell != nil {
		tell(time.Since(start))
	}
	if l.Sums > 0 {
		C.nb_total((*C.double)(unsafe.SliceData(l.Totals)), (*C.double)(&e.sums[0]), C.int64_t(l.Sums), C.int64_t(groups), C.int64_t(e.has.sums))
	}
	if len(l.Unpack) > 0 {
		e.pool.run(len(l.Unpack), false, l.unpackOne)
	}
}

// cost is that of the level for so many turns, without times.
func (l *level) cost(turns int, again bool) engine.Phase {
	n, c := float64(turns), &l.Cost
	if again {
		c = &l.Again
	}
	return engine.Phase{Instructions: c.String(), Read: n * float64(c.Read), Written: n * float64(c.Written), FLOPs: n * c.FLOPs}
}
