package enginetest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/random"
)

// Evaluator computes one node for given inputs.
type Evaluator struct {
	program engine.Program
	inputs  map[string]engine.Vector
	output  engine.Vector
}

// Compile compiles the computation of one node.
func Compile(t *testing.T, e engine.Engine, g *graph.Graph, output *graph.Node, varying ...string) *Evaluator {
	t.Helper()
	plan, err := engine.NewPlan(g, []*graph.Node{output}, varying...)
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, e, plan)
}

func compile(t *testing.T, e engine.Engine, plan *engine.Plan) *Evaluator {
	t.Helper()
	var err error
	ev := &Evaluator{inputs: map[string]engine.Vector{}}
	for _, v := range plan.Values {
		if v.Input != "" {
			ev.inputs[v.Input] = e.NewVector(v.Size())
		}
	}
	ev.output = e.NewVector(plan.Values[plan.Outputs[0]].Size())
	ev.program, err = e.Compile(plan, ev.inputs, []engine.Vector{ev.output})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// At feeds the inputs and computes the node.
func (ev *Evaluator) At(values map[string][]float64) []float64 {
	for name, v := range ev.inputs {
		v.Write(values[name])
	}
	ev.program.Run()
	return ev.read()
}

func (ev *Evaluator) read() []float64 {
	out := make([]float64, ev.output.Len())
	ev.output.Read(out)
	return out
}

// Conform runs the suite on an engine. Tolerance bounds the difference from the
// reference engine, relative to the largest entry of what is compared.
func Conform(t *testing.T, open func(threads int) engine.Engine, tolerance float64) {
	suite{open: open, tolerance: tolerance}.run(t)
}

// Mixed is the suite for engines that round values in between to so many parts of themselves.
// Their results depend on where they divide a program, so a repetition is compared with a run
// of the same program. And a value so close to a kink that rounding takes it to the other side,
// as a rectifier has them, changes derivatives by any amount: so what is compared with the
// reference engine are results that hardly change there when the inputs do, by more than
// rounding would; that must be most of them. Which these are, all engines that are held
// against one Mixed share. In short mode nothing is compared with the reference engine, since
// finding out takes minutes under the race detector or a sanitizer, for which the programs
// still run; repetitions are compared.
type Mixed struct {
	Tolerance, Rounding float64

	known map[string]bool // steady results
}

// Conform runs the suite on an engine.
func (m *Mixed) Conform(t *testing.T, open func(threads int) engine.Engine) {
	if m.known == nil {
		m.known = map[string]bool{}
	}
	var all, compared int
	suite{open: open, tolerance: m.Tolerance, rounding: m.Rounding, known: m.known, all: &all, compared: &compared, alone: testing.Short()}.run(t)
	if !testing.Short() && 5*compared < 4*all {
		t.Errorf("only %d of %d results bear the rounding, so that they were compared", compared, all)
	}
}

// suite is an engine and what is asked of it.
type suite struct {
	open      func(threads int) engine.Engine
	tolerance float64
	rounding  float64 // of values in between, 0 where they are as precise as the tolerance says

	known         map[string]bool // steady results, with rounding
	all, compared *int            // results, with rounding
	alone         bool            // compares nothing with the reference engine
}

func (s suite) run(t *testing.T) {
	t.Run("vectors", func(t *testing.T) { vectors(t, s.open(1)) })
	t.Run("unbound inputs are refused", func(t *testing.T) { unbound(t, s.open(1)) })
	t.Run("guards", func(t *testing.T) { s.guards(t) })
	t.Run("guarded outputs", func(t *testing.T) { guardedOutput(t, s.open(1)) })
	for _, g := range slices.Concat(Graphs, Kinks) {
		t.Run(g.Name, func(t *testing.T) { s.conform(t, g) })
	}
}

// steady reports whether a result is compared with the reference engine: always without
// rounding, else if it bears the rounding. What names it among all of the suite.
func (s suite) steady(what string, values map[string][]float64, ev *Evaluator) bool {
	if s.alone {
		return false
	}
	if s.rounding == 0 {
		return true
	}
	steady, known := s.known[what]
	if !known {
		steady = bears(values, ev, s.rounding, s.tolerance)
		s.known[what] = steady
	}
	return steady
}

// bears reports whether a result, computed by the reference engine, changes by less than
// twice the tolerance when the inputs change by four times the rounding, each by itself or
// together with its neighbours, since what pooling and convolutions make of many is rounded too.
func bears(values map[string][]float64, ev *Evaluator, rounding, tolerance float64) bool {
	want, scale := ev.At(values), 1.0
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	r := random.New(3, "rounding")
	for trial := range 200 {
		together := 1 << (trial % 4 * 2)
		change := 0.0
		other := map[string][]float64{}
		for name, v := range values {
			other[name] = slices.Clone(v)
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			for i := range other[name] {
				if i%together == 0 {
					change = 4 * rounding * (2*r.Float64() - 1)
				}
				other[name][i] *= 1 + change
			}
		}
		for i, g := range ev.At(other) {
			if math.Abs(g-want[i]) > 2*tolerance*scale {
				return false
			}
		}
	}
	return true
}

// problem draws one and gives it a name; with rounding one whose output and derivatives are
// steady, if it finds one soon.
func (s suite) problem(t *testing.T, g Graph) (p *Problem, name string) {
	for seed := range uint64(40) {
		var err error
		if p, err = g.NewProblem(random.New(2+seed, g.Name)); err != nil {
			t.Fatal(err)
		}
		name = fmt.Sprintf("%s, draw %d: ", g.Name, seed)
		if s.alone || s.rounding == 0 {
			break
		}
		steady := s.steady(name+"output", p.Values, Compile(t, ref.New[float64](1), p.Graph, p.Output))
		for i, of := range p.Names {
			steady = steady && s.steady(name+"gradient of "+of, p.Values, Compile(t, ref.New[float64](1), p.Graph, p.Gradients[i]))
		}
		if steady {
			break
		}
	}
	return p, name
}

// ConformRecurrent runs the part of the suite that an engine must pass to train language
// models, see Recurrent.
func ConformRecurrent(t *testing.T, open func(threads int) engine.Engine, tolerance float64) {
	for _, g := range Recurrent {
		t.Run(g.Name, func(t *testing.T) { suite{open: open, tolerance: tolerance}.conform(t, g) })
	}
}

func (s suite) conform(t *testing.T, g Graph) {
	p, name := s.problem(t, g)
	open, tolerance := s.open, s.tolerance
	same := func(what string, g *graph.Graph, node *graph.Node) {
		oracle := Compile(t, ref.New[float64](1), g, node)
		want, got := oracle.At(p.Values), Compile(t, open(1), g, node).At(p.Values)
		scale := 0.0
		for _, w := range want {
			scale = max(scale, math.Abs(w))
		}
		steady := s.steady(name+what, p.Values, oracle)
		if s.rounding > 0 {
			*s.all++
			if steady {
				*s.compared++
			}
		}
		for i, w := range want {
			if steady && !(math.Abs(got[i]-w) <= tolerance*max(scale, 1)) {
				t.Errorf("%s: entry %d is %g, the reference %g", what, i, got[i], w)
				break
			}
		}
		for _, threads := range []int{2, 3, 4} {
			if again := Compile(t, open(threads), g, node).At(p.Values); !slices.Equal(got, again) {
				t.Errorf("%s: %d threads give other bits than one", what, threads)
			}
		}
	}
	same("output", p.Graph, p.Output)
	for i, of := range p.Names {
		same("gradient of "+of, p.Graph, p.Gradients[i])
		for _, other := range append(slices.Clone(p.Names), "seed") {
			if second, product := p.Second(i, other); product != nil {
				same(fmt.Sprintf("gradient of %s again by %s", of, other), second, product)
			}
		}
		s.rerun(t, p, p.Gradients[i])
	}
}

// rerun varies the seed alone and compares a Rerun with a fresh Run, once on an
// engine of its own and once on one where another program runs in between. What varies for
// the fresh Run is nothing, unless it is to be of the same program.
func (s suite) rerun(t *testing.T, p *Problem, node *graph.Node) {
	e := s.open(2)
	var varying []string
	if s.rounding > 0 {
		varying = []string{"seed"}
	}
	rerunBeside(t, p, e, s.open(2), node, varying)
	rerunBeside(t, p, e, e, node, varying)
}

func rerunBeside(t *testing.T, p *Problem, e, other engine.Engine, node *graph.Node, varying []string) {
	once, all := Compile(t, e, p.Graph, node, "seed"), Compile(t, other, p.Graph, node, varying...)
	once.At(p.Values)
	seed := p.Values["seed"]
	defer func() { p.Values["seed"] = seed }()
	for i := range 3 {
		other := slices.Clone(seed)
		other[i%len(other)] += 1
		p.Values["seed"] = other
		once.inputs["seed"].Write(other)
		once.program.Rerun()
		if got, want := once.read(), all.At(p.Values); !slices.Equal(got, want) {
			t.Errorf("rerun %d differs from a fresh run", i)
		}
	}
}

func vectors(t *testing.T, e engine.Engine) {
	v, w := e.NewVector(4), e.NewVector(4)
	v.Write([]float64{1, 2, 3, 4})
	w.Write([]float64{1, -1, 0.5, 2})
	if d := v.Dot(w); d != 8.5 {
		t.Errorf("dot is %g, want 8.5", d)
	}
	v.Axpy(2, w)
	v.Slice(1, 3).Scale(-1)
	got := make([]float64, 4)
	v.Read(got)
	if want := []float64{3, 0, -4, 8}; !slices.Equal(got, want) {
		t.Errorf("vector is %v, want %v", got, want)
	}

	of := func(x ...float64) engine.Vector {
		v := e.NewVector(len(x))
		v.Write(x)
		return v
	}
	v.Blend(of(0.5, 7, 1, 0), of(2, 0, 1, -1), of(1, 7, 4, 3), of(4, math.NaN(), 0.5, 2))
	v.Read(got)
	if want := []float64{9.5, 0, -2, -6}; !slices.Equal(got, want) {
		t.Errorf("blended vector is %v, want %v", got, want)
	}
}

func unbound(t *testing.T, e engine.Engine) {
	g := graph.New()
	y := graph.NewReLU(g.Input("x", graph.Activation, 1, 1, 2, 2))
	plan, err := engine.NewPlan(g, []*graph.Node{y})
	if err != nil {
		t.Fatal(err)
	}
	out := []engine.Vector{e.NewVector(4)}
	for name, inputs := range map[string]map[string]engine.Vector{
		"missing":   {},
		"too short": {"x": e.NewVector(3)},
	} {
		if _, err := e.Compile(plan, inputs, out); err == nil {
			t.Errorf("input %s: no error", name)
		}
	}
	if _, err := e.Compile(plan, map[string]engine.Vector{"x": e.NewVector(4)}, nil); err == nil {
		t.Error("no output vector: no error")
	}
}
