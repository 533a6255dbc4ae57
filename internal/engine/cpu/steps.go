package cpu

// #include "ops.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// Plans of language models are computed step by step, each for the whole batch: a recurrence
// has one position, and its batch norms want all sequences after every few operations, so that
// phases of instructions for one image after another would multiply vectors instead of
// matrices. Activations have the layout of the reference engine, the batch last, which makes
// every matrix product one of whole matrices. What lies between two products is computed channel
// by channel, while a channel is in the cache (stepplan.go). The few steps that have no kernel in
// C are the reference engine's.

// stepwise are the kinds that make a plan one of these.
var stepwise = []graph.Kind{
	graph.Sigmoid, graph.SigmoidBack, graph.SigmoidBackBack, graph.Tanh, graph.TanhBack, graph.TanhBackBack, graph.Multiply,
	graph.Rows, graph.PadRows, graph.StackRows, graph.Embedding, graph.EmbeddingBack, graph.EmbeddingTake, graph.MeanProduct, graph.Spread,
	graph.SparseCrossEntropy, graph.SparseCrossEntropyBack, graph.SparseCrossEntropyBackBack, graph.SparseCrossEntropyDot,
}

const maxTerms = C.NB_STEP_TERMS

// isStepwise tells whether phases have no instructions for the plan.
func isStepwise(plan *engine.Plan) bool {
	return slices.ContainsFunc(plan.Steps, func(s engine.Step) bool {
		rows := (s.Kind == graph.WeightedSum || s.Kind == graph.InnerProducts) && s.Attr.S > 0
		return rows || slices.Contains(stepwise, s.Kind)
	})
}

// stepper is what the programs that are computed step by step share.
type stepper struct {
	*Engine
	kernels *C.nb_steps
	frame   *ref.Engine[float32]
	work    []*vector // of each thread, for products
	arena   *vector   // the values of the program that ran last
	scratch []*vector // of each thread
	rows    *vector   // packed rows of a product
	last    *stepProgram
	packed  map[packedKey]*packedRows
}

// packedRows are the rows of a product that are weights, which are packed anew when they change.
type packedRows struct {
	from    *vector
	version int
	to      *vector
	pack    func()
}

type packedKey struct {
	at                        *float32
	row, column, rows, length int
}

// stepProgram is a program that is computed step by step.
type stepProgram struct {
	stepper *stepper
	plan    *engine.Plan
	layout  *layout
	outputs []*vector
	sources map[*store]*vector // the memory of inputs that are no activations

	loads, reloads []func()
	arenaSize      int
	scratchSize    int
	rowsSize       int

	// What follows is bound to memory, and made anew when that has moved.
	arena   *vector
	ops     []*memory
	units   [][]func()
	packs   []*packedRows
	softmax map[int]*softmax
}

// softmax is what the cross-entropy and its gradient share: of each position the largest logit
// and the sum of the exponentials of the differences from it.
type softmax struct {
	top []float32
	sum []float64
}

// compileSteps makes a program of a plan that isStepwise.
func (e *Engine) compileSteps(plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (engine.Program, error) {
	s := e.stepper
	if s == nil {
		s = &stepper{Engine: e, kernels: e.steps, frame: ref.New[float32](e.pool.threads), packed: map[packedKey]*packedRows{}}
		for range e.pool.threads {
			s.work = append(s.work, newVector((C.NB_STEPS_COLUMNS+32)*C.NB_STEPS_DEPTH))
			s.scratch = append(s.scratch, newVector(0))
		}
		s.arena, s.rows = newVector(0), newVector(0)
		e.stepper = s
	}
	if plan.GuardInput != "" {
		return nil, fmt.Errorf("compile: plans that are computed step by step have no guards")
	}
	p := &stepProgram{stepper: s, plan: plan, sources: map[*store]*vector{}}
	stores := map[int]*store{}
	for i, v := range plan.Values {
		if v.Input == "" {
			continue
		}
		bound, ok := inputs[v.Input].(*vector)
		if !ok || bound.Len() != v.Size() {
			return nil, fmt.Errorf("compile: input %q %v is not bound to a vector of this engine with %d elements", v.Input, v.Shape, v.Size())
		}
		st := &store{size: v.Size(), data: bound.data, first: -1}
		stores[i] = st
		if v.Role != graph.Activation {
			p.sources[st] = bound
			continue
		}
		turned := newVector(v.Size())
		st.data = turned.data
		load := s.turn(turned, bound, v.Shape[0])
		p.loads = append(p.loads, load)
		if v.Varies {
			p.reloads = append(p.reloads, load)
		}
	}
	if len(outputs) != len(plan.Outputs) {
		return nil, fmt.Errorf("compile: %d vectors for %d outputs", len(outputs), len(plan.Outputs))
	}
	for i, o := range plan.Outputs {
		v := plan.Values[o]
		to, ok := outputs[i].(*vector)
		if !ok || to.Len() != v.Size() {
			return nil, fmt.Errorf("compile: output %d %v is not bound to a vector of this engine with %d elements", i, v.Shape, v.Size())
		}
		p.outputs = append(p.outputs, to)
	}
	p.layout = newLayout(plan, stores)
	p.arenaSize, p.scratchSize = p.layout.assign()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return p, p.bind()
}

// turn returns what copies an input whose images come first to one whose images come last.
func (s *stepper) turn(to, from *vector, images int) func() {
	rest := len(from.data) / images
	tasks := 1
	if len(from.data) >= 1<<15 {
		tasks = min(images, 4*s.pool.threads)
	}
	each := func(_, task int) {
		C.nb_step_turn(pointer(to.data), pointer(from.data), C.int64_t(images), C.int64_t(rest), C.int64_t(task*images/tasks), C.int64_t((task+1)*images/tasks))
	}
	return func() { s.pool.run(tasks, false, each) }
}

// larger returns a vector of at least n elements: the given one, or, if that is too small, a new
// one.
func larger(v *vector, n int) *vector {
	if len(v.data) >= n {
		return v
	}
	return newVector(n)
}

// bind makes the functions that a run calls.
func (p *stepProgram) bind() (err error) {
	s := p.stepper
	s.arena = larger(s.arena, p.arenaSize)
	for i := range s.scratch {
		s.scratch[i] = larger(s.scratch[i], p.scratchSize)
	}
	p.arena, p.ops, p.units, p.packs, p.softmax = s.arena, nil, nil, nil, map[int]*softmax{}
	for _, unit := range p.layout.units {
		var do []func()
		if unit[0].grouped {
			do = p.group(unit)
		} else if do, err = p.single(unit[0]); err != nil {
			return err
		}
		p.units = append(p.units, do)
	}
	s.rows = larger(s.rows, p.rowsSize)
	return nil
}

// Run implements [engine.Program].
func (p *stepProgram) Run() { p.execute(false) }

// Rerun implements [engine.Program].
func (p *stepProgram) Rerun() { p.execute(true) }

func (p *stepProgram) execute(again bool) {
	s := p.stepper
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if p.arena != s.arena || len(s.scratch[0].data) < p.scratchSize {
		again = false
		if err := p.bind(); err != nil {
			panic(engine.Failure{Err: err}) // it has been bound before
		}
	}
	again = again && s.last == p
	s.last = p
	loads, units := p.loads, p.units
	if again {
		loads, units = p.reloads, units[p.layout.split:]
	}
	for _, load := range loads {
		load()
	}
	for _, k := range p.packs {
		if k.version != k.from.memory.version {
			k.version = k.from.memory.version
			k.pack()
		}
	}
	for _, unit := range units {
		for _, do := range unit {
			do()
		}
	}
	for i, o := range p.plan.Outputs {
		p.read(o, p.outputs[i].data)
		p.outputs[i].memory.version++
	}
}

// floats is the memory of a store from an offset on.
func (p *stepProgram) floats(at place) []float32 {
	if at.store.data != nil {
		return at.store.data[at.offset:]
	}
	return p.arena.data[at.store.offset+at.offset:]
}

// read copies a value to a vector, whose images come first.
func (p *stepProgram) read(v int, to []float32) {
	value, at := p.plan.Values[v], p.layout.places[v]
	from := p.floats(at)
	if value.Role != graph.Activation {
		copy(to, from[:len(to)])
		return
	}
	images, channels := value.Shape[0], value.Shape[1]
	positions := len(to) / images / channels
	for c := range channels {
		for j := range positions {
			for i, x := range from[c*at.stride+j*images : c*at.stride+(j+1)*images] {
				to[(i*channels+c)*positions+j] = x
			}
		}
	}
}

// view is a value as the kernels see it. Channels of a value that is none are between apart.
func (p *stepProgram) view(at place) C.nb_view {
	if at.store.scratch {
		return C.nb_view{scratch: 1, offset: C.int64_t(at.store.offset + at.offset)}
	}
	return C.nb_view{data: (*C.float)(unsafe.Pointer(unsafe.SliceData(p.floats(at)))), stride: C.int64_t(at.stride)}
}

// stepKinds are the kinds that are computed channel by channel.
var stepKinds = map[graph.Kind]C.int32_t{
	graph.Sigmoid: C.STEP_SIGMOID, graph.SigmoidBack: C.STEP_SIGMOID_BACK, graph.SigmoidBackBack: C.STEP_SIGMOID_BACK_BACK,
	graph.Tanh: C.STEP_TANH, graph.TanhBack: C.STEP_TANH_BACK, graph.TanhBackBack: C.STEP_TANH_BACK_BACK,
	graph.Multiply: C.STEP_MULTIPLY, graph.Mask: C.STEP_MULTIPLY, graph.ReLU: C.STEP_RELU, graph.ReLUBack: C.STEP_RELU_BACK,
	graph.PadRows: C.STEP_PAD_ROWS, graph.Add: C.STEP_SUM, graph.WeightedSum: C.STEP_WEIGH,
	graph.InnerProducts: C.STEP_INNER, graph.MeanProduct: C.STEP_INNER, graph.Mean: C.STEP_MEAN, graph.MeanBack: C.STEP_MEAN_BACK,
	graph.BatchStats: C.STEP_STATS, graph.SumChannels: C.STEP_SUM_CHANNEL, graph.ShiftChannels: C.STEP_SHIFT, graph.Spread: C.STEP_SPREAD,
	graph.Normalize: C.STEP_NORMALIZE, graph.NormalizeFixed: C.STEP_NORMALIZE, graph.ScaleFixed: C.STEP_SCALE,
	graph.NormalizeBack: C.STEP_NORMALIZE_BACK, graph.NormalizeBackBack: C.STEP_NORMALIZE_BACK_BACK,
}

// group returns what computes items channel by channel, and then what adds up their sums.
func (p *stepProgram) group(unit []*item) (do []func()) {
	s, l := p.stepper, p.layout
	allocate := func(bytes uintptr) unsafe.Pointer {
		m := newMemory(int(bytes))
		p.ops = append(p.ops, m)
		return m.pointer
	}
	list := unsafe.Slice((*C.nb_step)(allocate(uintptr(len(unit))*unsafe.Sizeof(C.nb_step{}))), len(unit))
	work := 0
	var sums []func()
	for i, it := range unit {
		step := &list[i]
		operands := it.in
		attr := l.plan.Steps[it.step].Attr
		out := l.value(it.out)
		last := operands[len(operands)-1]
		n := l.slab(last)
		if out.Role == graph.Activation && !it.copy {
			n = l.slab(it.out)
		}
		*step = C.nb_step{kind: stepKinds[it.kind], n: C.int64_t(n), row: C.int64_t(n), to: p.view(l.places[it.out]), eps: graph.Eps}
		terms := operands
		switch {
		case it.copy:
			step.kind, step.to = C.STEP_COPY, p.view(it.to)
		case it.kind == graph.PadRows:
			step.row, step.at = C.int64_t(l.slab(operands[0])), C.int64_t(attr.From*l.row(operands[0]))
		case it.kind == graph.WeightedSum:
			terms = operands[1:]
			step.weights = at(p.floats(l.places[operands[0]]), attr.At)
			if attr.S > 0 {
				step.row, step.at = C.int64_t(l.row(last)), C.int64_t(attr.S)
			}
		case it.kind == graph.InnerProducts, it.kind == graph.MeanProduct:
			rows := 1
			if attr.S > 0 && it.kind == graph.InnerProducts {
				rows, step.row = l.value(last).Shape[2], C.int64_t(l.row(last))
			}
			n := rows * (len(operands) - 1)
			partial := unsafe.Slice((*float64)(allocate(uintptr(8*n*it.channels))), n*it.channels)
			step.sums = (*C.double)(&partial[0])
			sums = append(sums, p.addUp(it, partial, rows))
		case it.kind == graph.Mean:
			images := l.value(last).Shape[0]
			step.row, step.at = C.int64_t(images), C.int64_t(l.slab(last)/images)
		case it.kind == graph.MeanBack:
			step.row = C.int64_t(l.value(last).Shape[0])
		case it.kind == graph.BatchStats:
			step.at, step.to.stride = C.int64_t(it.channels), 1
		case it.kind == graph.SumChannels:
			step.to.stride = 1
		case it.kind == graph.Spread:
			step.at = C.int64_t(out.Size())
		}
		step.terms = C.int32_t(len(terms))
		views := unsafe.Slice((*C.nb_view)(allocate(uintptr(len(terms))*unsafe.Sizeof(C.nb_view{}))), len(terms))
		for j, v := range terms {
			views[j] = p.view(l.places[v])
			if l.value(v).Role == graph.Activation {
				continue
			}
			views[j].stride = 1 // statistics, biases
			if it.kind == graph.Spread {
				views[j].stride = 0
			}
			if len(l.value(v).Shape) == 2 {
				step.at = C.int64_t(it.channels)
			}
		}
		step.in = unsafe.SliceData(views)
		work += n * it.channels * max(1, len(terms)/2)
	}
	channels := unit[0].channels
	tasks := max(1, min(channels, work>>16, 8*s.pool.threads))
	each := func(thread, task int) {
		C.nb_step_list(s.kernels, &list[0], C.int64_t(len(list)), C.int64_t(task*channels/tasks), C.int64_t((task+1)*channels/tasks), pointer(s.scratch[thread].data))
	}
	return append([]func(){func() { s.pool.run(tasks, false, each) }}, sums...)
}

// addUp returns what adds up the sums of the channels.
func (p *stepProgram) addUp(it *item, partial []float64, rows int) func() {
	l := p.layout
	attr, terms := l.plan.Steps[it.step].Attr, len(it.in)-1
	out := p.floats(l.places[it.out])[:l.value(it.out).Size()]
	scale := 1.0
	if it.kind == graph.MeanProduct {
		attr.At, scale = 0, float64(l.value(it.in[0]).Size())
	}
	n := rows * terms
	totals := make([]float64, n)
	return func() {
		clear(totals)
		for c := range it.channels {
			for k, v := range partial[c*n : (c+1)*n] {
				totals[k] += v
			}
		}
		clear(out)
		for r := range rows {
			for j := range terms {
				out[attr.At+r*attr.S+j] = float32(totals[r*terms+j] / scale)
			}
		}
	}
}

func at(x []float32, i int) *C.float { return (*C.float)(unsafe.Pointer(&x[i])) }

// single returns what computes an item by itself.
func (p *stepProgram) single(it *item) ([]func(), error) {
	s, l := p.stepper, p.layout
	step := l.plan.Steps[it.step]
	of := func(v int) matrix {
		return matrix{p.floats(l.places[v]), l.places[v].stride, 1}
	}
	weights := func(v int) matrix { // [out, in]
		return matrix{p.floats(l.places[v]), l.value(v).Shape[1], 1}
	}
	turned := func(m matrix) matrix { return matrix{m.data, m.column, m.row} }
	out := l.places[it.out]
	switch a := step.Attr; {
	case it.kind == graph.Conv && a.K == 1:
		x, w := it.in[0], it.in[1]
		return p.product(of(it.out), weights(w), of(x), l.value(it.out).Shape[1], l.value(x).Shape[1], l.slab(x), false, w), nil
	case it.kind == graph.ConvData && a.K == 1:
		w, g := it.in[0], it.in[1]
		return p.product(of(it.out), turned(weights(w)), of(g), l.value(it.out).Shape[1], l.value(g).Shape[1], l.slab(g), false, w), nil
	case it.kind == graph.ConvWeight && a.K == 1:
		x, g := it.in[0], it.in[1]
		ins, outs := l.value(x).Shape[1], l.value(g).Shape[1]
		to := weights(it.out)
		if ins < outs { // the smaller one is packed as a whole
			return p.product(turned(to), of(x), turned(of(g)), ins, l.slab(x), outs, it.add, x), nil
		}
		return p.product(to, of(g), turned(of(x)), outs, l.slab(g), ins, it.add, g), nil

	case it.kind == graph.Embedding, it.kind == graph.EmbeddingTake:
		w, numbers, y := p.floats(l.places[it.in[0]]), p.floats(l.places[it.in[1]]), p.floats(out)
		size, n, without := l.value(it.out).Shape[1], l.slab(it.out), -1
		if it.kind == graph.EmbeddingTake {
			without = a.At
		}
		return []func(){s.pieces(n, 64, func(_, from, to int) {
			C.nb_step_take(s.kernels, at(y, 0), C.int64_t(out.stride), at(w, 0), at(numbers, 0), C.int64_t(size), C.int64_t(without), C.int64_t(from), C.int64_t(to))
		})}, nil
	case it.kind == graph.EmbeddingBack:
		numbers, g := p.floats(l.places[it.in[0]]), l.places[it.in[1]]
		from, y := p.floats(g), p.floats(out)[:l.value(it.out).Size()]
		size, n := l.value(it.in[1]).Shape[1], l.slab(it.in[1])
		return []func(){
			s.pieces(len(y), 1<<16, func(_, from, to int) { clear(y[from:to]) }),
			s.pieces(size, 16, func(_, c0, c1 int) {
				C.nb_step_scatter(s.kernels, at(y, 0), at(from, 0), C.int64_t(g.stride), at(numbers, 0), C.int64_t(n), C.int64_t(size), C.int64_t(a.At), C.int64_t(c0), C.int64_t(c1))
			}),
		}, nil
	case it.kind == graph.SparseCrossEntropy, it.kind == graph.SparseCrossEntropyBack:
		return p.crossEntropy(it), nil
	case it.kind == graph.Add && l.value(it.out).Role != graph.Activation:
		return p.addition(it), nil
	}
	operand := func(v int) ref.Operand[float32] {
		value := l.value(v)
		return ref.Operand[float32]{Data: p.floats(l.places[v])[:value.Size()], Shape: value.Shape, Activation: value.Role == graph.Activation}
	}
	var in []ref.Operand[float32]
	for _, v := range it.in {
		in = append(in, operand(v))
	}
	run, err := s.frame.Kernel(it.kind, step.Attr, in, operand(it.out))
	return []func(){run}, err
}

// pieces returns what calls do for ranges that cover 0..n, on all threads.
func (s *stepper) pieces(n, piece int, do func(thread, from, to int)) func() {
	tasks := (n + piece - 1) / piece
	each := func(thread, task int) { do(thread, task*piece, min((task+1)*piece, n)) }
	return func() { s.pool.run(tasks, false, each) }
}

// addition adds up values that are no activations. Products among them are there already.
func (p *stepProgram) addition(it *item) []func() {
	l := p.layout
	out := p.floats(l.places[it.out])[:l.value(it.out).Size()]
	begun := false
	var terms [][]float32
	for _, v := range it.in {
		if _, ok := l.sums[v]; ok {
			begun = true
			continue
		}
		terms = append(terms, p.floats(l.places[v])[:len(out)])
	}
	return []func(){p.stepper.pieces(len(out), 1<<14, func(_, from, to int) {
		if !begun {
			clear(out[from:to])
		}
		for _, x := range terms {
			C.nb_axpy(at(out, from), 1, at(x, from), C.int64_t(to-from))
		}
	})}
}

// matrix is a matrix whose entries are so far apart from row to row and from column to column.
type matrix struct {
	data        []float32
	row, column int
}

// product returns what computes c [m, n] of a [m, depth] and b [depth, n], or adds it to c. The
// rows of a, made of a value of the plan, are packed first; if that is an input, only when it has
// changed.
func (p *stepProgram) product(c, a, b matrix, m, depth, n int, add bool, value int) (do []func()) {
	s := p.stepper
	height := int(s.kernels.tile_rows)
	tiles := (m + height - 1) / height
	chunks := (depth + C.NB_STEPS_DEPTH - 1) / C.NB_STEPS_DEPTH
	piece := (depth + chunks - 1) / chunks
	size := tiles * height * depth
	pack := func(to func() *vector) func() {
		const some = 16 // tiles
		blocks := (tiles + some - 1) / some
		each := func(_, task int) {
			k0, i0 := task/blocks*piece, task%blocks*some*height
			k1, i1 := min(k0+piece, depth), min(i0+some*height, m)
			C.nb_step_pack(s.kernels, at(to().data, tiles*height*k0+i0*(k1-k0)), at(a.data, 0), C.int64_t(a.row), C.int64_t(a.column),
				C.int64_t(m), C.int64_t(i0), C.int64_t(i1), C.int64_t(k0), C.int64_t(k1))
		}
		tasks := chunks * blocks
		return func() { s.pool.run(tasks, false, each) }
	}
	rows := func() *vector { return s.rows }
	if source := p.sources[p.layout.places[value].store]; source != nil {
		key := packedKey{&a.data[0], a.row, a.column, m, depth}
		known := s.packed[key]
		if known == nil {
			to := newVector(size)
			known = &packedRows{from: source, version: -1, to: to, pack: pack(func() *vector { return to })}
			s.packed[key] = known
		}
		if !slices.Contains(p.packs, known) {
			p.packs = append(p.packs, known)
		}
		rows = func() *vector { return known.to }
	} else {
		p.rowsSize = max(p.rowsSize, size)
		do = append(do, pack(rows))
	}
	width := int(s.kernels.tile_columns)
	tasks := (n + C.NB_STEPS_COLUMNS - 1) / C.NB_STEPS_COLUMNS
	if t := s.pool.threads; m*n*depth > 1<<20 {
		tasks = (tasks + t - 1) / t * t
	}
	columns := ((n+tasks-1)/tasks + width - 1) / width * width
	tasks = (n + columns - 1) / columns
	adds := C.int32_t(0)
	if add {
		adds = 1
	}
	each := func(thread, task int) {
		C.nb_step_product(s.kernels, at(c.data, 0), C.int64_t(c.row), C.int64_t(c.column), pointer(rows().data), at(b.data, 0), C.int64_t(b.row), C.int64_t(b.column),
			C.int64_t(m), C.int64_t(depth), C.int64_t(piece), C.int64_t(task*columns), C.int64_t(min((task+1)*columns, n)), adds, pointer(s.work[thread].data))
	}
	return append(do, func() { s.pool.run(tasks, false, each) })
}

// crossEntropy is the loss, whose sums are doubles, or its gradient.
func (p *stepProgram) crossEntropy(it *item) []func() {
	s, l := p.stepper, p.layout
	place := l.places[it.in[0]]
	logits, right := p.floats(place), p.floats(l.places[it.in[1]])
	positions, classes := l.slab(it.in[0]), C.int64_t(l.value(it.in[0]).Shape[1])
	right = right[:positions]
	const piece = 64
	var do []func()
	soft := p.softmax[it.in[0]]
	if soft == nil { // whichever comes first
		soft = &softmax{make([]float32, positions), make([]float64, positions)}
		p.softmax[it.in[0]] = soft
		do = append(do, s.pieces(positions, piece, func(_, from, to int) {
			C.nb_step_softmax(s.kernels, at(soft.top, 0), (*C.double)(&soft.sum[0]), at(logits, 0), classes, C.int64_t(place.stride), C.int64_t(from), C.int64_t(to))
		}))
	}
	out := l.places[it.out]
	y := p.floats(out)
	if it.kind == graph.SparseCrossEntropy {
		return append(do, func() {
			total := 0.0
			for i, c := range right {
				total += float64(soft.top[i]) + math.Log(soft.sum[i]) - float64(logits[int(c)*place.stride+i])
			}
			y[0] = float32(total / float64(positions))
		})
	}
	seed := p.floats(l.places[it.in[2]])
	return append(do, s.pieces(positions, piece, func(_, from, to int) {
		scale := float64(seed[0]) / float64(positions)
		C.nb_step_softmax_back(s.kernels, at(y, 0), C.int64_t(out.stride), at(logits, 0), C.int64_t(place.stride), at(soft.top, 0), (*C.double)(&soft.sum[0]),
			C.double(scale), classes, C.int64_t(from), C.int64_t(to))
		for i := from; i < to; i++ {
			y[int(right[i])*out.stride+i] -= float32(scale)
		}
	}))
}
