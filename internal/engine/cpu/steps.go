package cpu

// #include "ops.h"
import "C"

import (
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
// matrices. The steps are those of the reference engine in float32, whose layout, the batch
// last, makes every matrix product one of whole matrices. What takes time has kernels in C.

// stepwise are the kinds that make a plan one of these.
var stepwise = []graph.Kind{
	graph.Sigmoid, graph.SigmoidBack, graph.SigmoidBackBack, graph.Tanh, graph.TanhBack, graph.TanhBackBack, graph.Multiply,
	graph.Rows, graph.PadRows, graph.StackRows, graph.Embedding, graph.EmbeddingBack, graph.EmbeddingTake, graph.MeanProduct, graph.Spread,
	graph.SparseCrossEntropy, graph.SparseCrossEntropyBack, graph.SparseCrossEntropyBackBack, graph.SparseCrossEntropyDot,
}

// isStepwise tells whether phases have no instructions for the plan.
func isStepwise(plan *engine.Plan) bool {
	return slices.ContainsFunc(plan.Steps, func(s engine.Step) bool {
		rows := (s.Kind == graph.WeightedSum || s.Kind == graph.InnerProducts) && s.Attr.S > 0
		return rows || slices.Contains(stepwise, s.Kind)
	})
}

// stepper makes the kernels of a program.
type stepper struct {
	*Engine
	kernels *C.nb_steps
	work    []*vector // of each thread, for products
	frame   *ref.Engine[float32]
}

// stepProgram is a program that is computed step by step.
type stepProgram struct {
	engine.Program
	stepper *stepper
	outputs []*vector
}

// compileSteps makes a program of a plan that isStepwise.
func (e *Engine) compileSteps(plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (engine.Program, error) {
	s := e.stepper
	if s == nil {
		s = &stepper{Engine: e, kernels: e.steps}
		const room = (C.NB_STEPS_ROWS+12)*C.NB_STEPS_DEPTH + (C.NB_STEPS_COLUMNS+32)*C.NB_STEPS_DEPTH
		for range e.pool.threads {
			s.work = append(s.work, newVector(room))
		}
		s.frame = ref.NewWith(e.pool.threads, s.kernel)
		e.stepper = s
	}
	p := &stepProgram{stepper: s}
	shared := map[string]engine.Vector{}
	for name, v := range inputs {
		if v, ok := v.(*vector); ok {
			shared[name] = ref.Share(v.data)
		}
	}
	var to []engine.Vector
	for _, v := range outputs {
		v, ok := v.(*vector)
		if !ok {
			to = append(to, nil)
			continue
		}
		to, p.outputs = append(to, ref.Share(v.data)), append(p.outputs, v)
	}
	var err error
	p.Program, err = s.frame.Compile(plan, shared, to)
	return p, err
}

// Run implements [engine.Program].
func (p *stepProgram) Run() { p.run(p.Program.Run) }

// Rerun implements [engine.Program].
func (p *stepProgram) Rerun() { p.run(p.Program.Rerun) }

func (p *stepProgram) run(steps func()) {
	p.stepper.mutex.Lock()
	defer p.stepper.mutex.Unlock()
	steps()
	for _, v := range p.outputs {
		v.memory.version++
	}
}

// kernel returns what computes a step, or nil for what the reference engine may compute.
func (s *stepper) kernel(kind graph.Kind, a graph.Attr, in []ref.Operand[float32], out ref.Operand[float32]) func() {
	entries := func(step C.int32_t, x, y []float32) func() {
		return s.ranges(len(out.Data), func(_, from, to int) {
			C.nb_step_entries(s.kernels, step, at(out.Data, from), at(x, from), at(y, from), C.int64_t(to-from))
		})
	}
	switch kind {
	case graph.Conv:
		if x, w := in[0], in[1]; a.K == 1 {
			return s.product(out.Data, matrix{w.Data, x.Channels(), 1}, matrix{x.Data, x.Slab(), 1}, out.Channels(), x.Channels(), out.Slab())
		}
	case graph.ConvData:
		if w, g := in[0], in[1]; a.K == 1 {
			return s.product(out.Data, matrix{w.Data, 1, out.Channels()}, matrix{g.Data, g.Slab(), 1}, out.Channels(), g.Channels(), out.Slab())
		}
	case graph.ConvWeight:
		if x, g := in[0], in[1]; a.K == 1 {
			return s.product(out.Data, matrix{g.Data, g.Slab(), 1}, matrix{x.Data, 1, x.Slab()}, g.Channels(), g.Slab(), x.Channels())
		}

	case graph.Sigmoid:
		return entries(C.STEP_SIGMOID, in[0].Data, in[0].Data)
	case graph.SigmoidBack:
		return entries(C.STEP_SIGMOID_BACK, in[0].Data, in[1].Data)
	case graph.Tanh:
		return entries(C.STEP_TANH, in[0].Data, in[0].Data)
	case graph.TanhBack:
		return entries(C.STEP_TANH_BACK, in[0].Data, in[1].Data)
	case graph.Multiply, graph.Mask:
		return entries(C.STEP_MULTIPLY, in[0].Data, in[1].Data)
	case graph.ReLU:
		return entries(C.STEP_RELU, in[0].Data, in[0].Data)
	case graph.ReLUBack:
		return entries(C.STEP_RELU_BACK, in[0].Data, in[1].Data)

	case graph.Add:
		return s.ranges(len(out.Data), func(_, from, to int) { s.weigh(nil, 0, in, out.Data, from, to) })
	case graph.WeightedSum:
		m, xs := in[0].Data, in[1:]
		if a.S == 0 {
			return s.ranges(len(out.Data), func(_, from, to int) { s.weigh(m, a.At, xs, out.Data, from, to) })
		}
		rows := out.Shape[2]
		row := out.Slab() / rows
		return s.channels(out, func(_, c int) {
			for r := range rows {
				from := c*out.Slab() + r*row
				s.weigh(m, a.At+r*a.S, xs, out.Data, from, from+row)
			}
		})
	case graph.InnerProducts:
		return s.innerProducts(a, in[0], in[1:], out)

	case graph.SparseCrossEntropy, graph.SparseCrossEntropyBack:
		return s.crossEntropy(kind, in, out)
	}
	return nil
}

func at(x []float32, i int) *C.float { return (*C.float)(unsafe.Pointer(&x[i])) }

// ranges returns what calls do for ranges that cover 0..n, on all threads where that is worth
// it.
func (s *stepper) ranges(n int, do func(thread, from, to int)) func() {
	const piece = 1 << 14
	tasks := (n + piece - 1) / piece
	each := func(thread, task int) { do(thread, task*piece, min((task+1)*piece, n)) }
	return func() { s.pool.run(tasks, false, each) }
}

// channels returns what calls do for every channel.
func (s *stepper) channels(out ref.Operand[float32], do func(thread, c int)) func() {
	n := out.Channels()
	per := max(1, (1<<14)/out.Slab())
	tasks := (n + per - 1) / per
	each := func(thread, task int) {
		for c := task * per; c < min((task+1)*per, n); c++ {
			do(thread, c)
		}
	}
	return func() { s.pool.run(tasks, false, each) }
}

// matrix is a matrix whose entries are so far apart from row to row and from column to column.
type matrix struct {
	data        []float32
	row, column int
}

// product returns what computes c [m, n] of a [m, depth] and b [depth, n].
func (s *stepper) product(c []float32, a, b matrix, m, depth, n int) func() {
	const rows, columns = C.NB_STEPS_ROWS, C.NB_STEPS_COLUMNS
	wide := (n + columns - 1) / columns
	tasks := (m + rows - 1) / rows * wide
	each := func(thread, task int) {
		i, j := task/wide*rows, task%wide*columns
		C.nb_step_product(s.kernels, at(c, 0), C.int64_t(n), at(a.data, 0), C.int64_t(a.row), C.int64_t(a.column), at(b.data, 0), C.int64_t(b.row), C.int64_t(b.column),
			C.int64_t(depth), C.int64_t(i), C.int64_t(min(i+rows, m)), C.int64_t(j), C.int64_t(min(j+columns, n)), pointer(s.work[thread].data))
	}
	return func() { s.pool.run(tasks, false, each) }
}

// weigh adds up the entries from..to of xs, weighted by m from an entry on, or by 1 for nil.
func (s *stepper) weigh(m []float32, first int, xs []ref.Operand[float32], out []float32, from, to int) {
	weight := func(j int) C.float {
		switch {
		case j >= len(xs):
			return 0
		case m == nil:
			return 1
		}
		return C.float(m[first+j])
	}
	for j := 0; j < len(xs); j += 2 {
		add := C.int32_t(0)
		if j > 0 {
			add = 1
		}
		second := xs[min(j+1, len(xs)-1)]
		C.nb_step_weigh(s.kernels, at(out, from), weight(j), at(xs[j].Data, from), weight(j+1), at(second.Data, from), C.int64_t(to-from), add)
	}
}

// innerProducts adds up each channel's products, then the channels, in doubles.
func (s *stepper) innerProducts(a graph.Attr, g ref.Operand[float32], xs []ref.Operand[float32], out ref.Operand[float32]) func() {
	rows := 1
	if a.S > 0 {
		rows = g.Shape[2]
	}
	row, n := g.Slab()/rows, rows*len(xs)
	sums := make([]float64, g.Channels()*n)
	products := s.channels(g, func(_, c int) {
		for r := range rows {
			from := c*g.Slab() + r*row
			for j, x := range xs {
				sums[c*n+r*len(xs)+j] = float64(C.nb_step_dot(s.kernels, at(g.Data, from), at(x.Data, from), C.int64_t(row)))
			}
		}
	})
	return func() {
		products()
		clear(out.Data)
		for r := range rows {
			for j := range xs {
				total := 0.0
				for c := range g.Channels() {
					total += sums[c*n+r*len(xs)+j]
				}
				out.Data[a.At+r*a.S+j] = float32(total)
			}
		}
	}
}

// crossEntropy is the loss, whose sums are doubles, or its gradient.
func (s *stepper) crossEntropy(kind graph.Kind, in []ref.Operand[float32], out ref.Operand[float32]) func() {
	logits, right := in[0], in[1].Data
	positions, classes := logits.Slab(), C.int64_t(logits.Channels())
	top, sum := make([]float32, positions), make([]float64, positions)
	const piece = C.NB_STEPS_POSITIONS / 8
	tasks := (positions + piece - 1) / piece
	each := func(_, task int) {
		from, to := task*piece, min((task+1)*piece, positions)
		sums := (*C.double)(unsafe.Pointer(&sum[0]))
		C.nb_step_softmax(s.kernels, at(top, 0), sums, at(logits.Data, 0), classes, C.int64_t(positions), C.int64_t(from), C.int64_t(to))
		if kind == graph.SparseCrossEntropy {
			return
		}
		scale := float64(in[2].Data[0]) / float64(positions)
		C.nb_step_softmax_back(s.kernels, at(out.Data, 0), at(logits.Data, 0), at(top, 0), sums, C.double(scale), classes, C.int64_t(positions), C.int64_t(from), C.int64_t(to))
		for i := from; i < to; i++ {
			out.Data[int(right[i])*positions+i] -= float32(scale)
		}
	}
	return func() {
		s.pool.run(tasks, false, each)
		if kind != graph.SparseCrossEntropy {
			return
		}
		total := 0.0
		for i, c := range right {
			total += float64(top[i]) + math.Log(sum[i]) - float64(logits.Data[int(c)*positions+i])
		}
		out.Data[0] = float32(total / float64(positions))
	}
}
