package enginetest

import (
	"fmt"
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
	t.Run("vectors", func(t *testing.T) { vectors(t, open(1)) })
	t.Run("unbound inputs are refused", func(t *testing.T) { unbound(t, open(1)) })
	t.Run("guards", func(t *testing.T) { guards(t, open, tolerance) })
	t.Run("guarded outputs", func(t *testing.T) { guardedOutput(t, open(1)) })
	for _, g := range Graphs {
		t.Run(g.Name, func(t *testing.T) { conform(t, g, open, tolerance) })
	}
}

// ConformRecurrent runs the part of the suite that an engine must pass to train language
// models, see Recurrent.
func ConformRecurrent(t *testing.T, open func(threads int) engine.Engine, tolerance float64) {
	for _, g := range Recurrent {
		t.Run(g.Name, func(t *testing.T) { conform(t, g, open, tolerance) })
	}
}

func conform(t *testing.T, g Graph, open func(threads int) engine.Engine, tolerance float64) {
	p, err := g.NewProblem(random.New(2, g.Name))
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, g *graph.Graph, node *graph.Node) {
		want := Compile(t, ref.New[float64](1), g, node).At(p.Values)
		got := Compile(t, open(1), g, node).At(p.Values)
		scale := 0.0
		for _, w := range want {
			scale = max(scale, math.Abs(w))
		}
		for i, w := range want {
			if !(math.Abs(got[i]-w) <= tolerance*max(scale, 1)) {
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
	for i, name := range p.Names {
		same("gradient of "+name, p.Graph, p.Gradients[i])
		for _, other := range append(slices.Clone(p.Names), "seed") {
			if second, product := p.Second(i, other); product != nil {
				same(fmt.Sprintf("gradient of %s again by %s", name, other), second, product)
			}
		}
		rerun(t, p, open, p.Gradients[i])
	}
}

// rerun varies the seed alone and compares a Rerun with a fresh Run, once on an
// engine of its own and once on one where another program runs in between.
func rerun(t *testing.T, p *Problem, open func(threads int) engine.Engine, node *graph.Node) {
	e := open(2)
	rerunBeside(t, p, e, open(2), node)
	rerunBeside(t, p, e, e, node)
}

func rerunBeside(t *testing.T, p *Problem, e, other engine.Engine, node *graph.Node) {
	once, all := Compile(t, e, p.Graph, node, "seed"), Compile(t, other, p.Graph, node)
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
