package cpu_test

import (
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/enginetest"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// open returns engines that use the instruction set.
func open(t *testing.T, set string) func(threads int) engine.Engine {
	return func(threads int) engine.Engine {
		e, err := cpu.New(threads, set)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestConformance(t *testing.T) {
	for _, set := range cpu.InstructionSets() {
		t.Run(set, func(t *testing.T) {
			enginetest.Conform(t, open(t, set), 2e-5)
			enginetest.ConformRecurrent(t, open(t, set), 4e-6)
		})
	}
}

func TestUnknownInstructionSet(t *testing.T) {
	if _, err := cpu.New(1, "Z80"); err == nil || !strings.Contains(err.Error(), cpu.InstructionSets()[0]) {
		t.Errorf("got error %v, want one that names those there are", err)
	}
}

// What does not fit is an error, and the engine goes on working.
func TestOutOfMemory(t *testing.T) {
	e := open(t, cpu.InstructionSets()[0])(2)
	compile := func(side int) error {
		g := graph.New()
		x := g.Input("x", graph.Activation, 1, 16, side, side)
		seed := g.Input("seed", graph.Activation, 1, 16, 1, 1)
		grads, err := g.Gradients(graph.NewMean(x), seed, []*graph.Node{x})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := engine.NewPlan(g, []*graph.Node{graph.NewMean(grads[0])})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile(plan, map[string]engine.Vector{"seed": e.NewVector(16)}, []engine.Vector{e.NewVector(16)})
		if err == nil {
			p.Run()
		}
		return err
	}
	if err := compile(1 << 22); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("an exbibyte: got error %v", err)
	}
	if err := compile(8); err != nil {
		t.Error(err)
	}
}
