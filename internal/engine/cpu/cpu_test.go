package cpu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/enginetest"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/results"
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
			enginetest.ConformRecurrent(t, open(t, set), 4e-6)
		})
		for _, channels := range []int{8, 16} {
			t.Run(fmt.Sprintf("%s, planes of %d channels", set, channels), func(t *testing.T) {
				if !open(t, set)(1).(*cpu.Engine).PlanesOf(channels) {
					t.Skipf("%s has no kernels for planes of %d channels", set, channels)
				}
				enginetest.Conform(t, func(threads int) engine.Engine {
					e := open(t, set)(threads)
					e.(*cpu.Engine).PlanesOf(channels)
					return e
				}, 2e-5)
			})
		}
	}
}

// Activations in bfloat16 have 8 bits of significance, so that each is off by up to 1/512 of
// itself, and what is computed of them by a few times as much, relative to the largest.
func TestMixedConformance(t *testing.T) {
	suite := enginetest.Mixed{Tolerance: 0.06, Rounding: 1.0 / 256}
	for _, set := range cpu.InstructionSets() {
		for _, channels := range []int{8, 16} {
			t.Run(fmt.Sprintf("%s, planes of %d channels", set, channels), func(t *testing.T) {
				open := func(threads int) engine.Engine {
					e, err := cpu.NewMixed(threads, set)
					if err != nil {
						t.Fatal(err)
					}
					return e
				}
				if !open(1).(*cpu.Engine).PlanesOf(channels) {
					t.Skipf("%s has no kernels for planes of %d channels", set, channels)
				}
				suite.Conform(t, func(threads int) engine.Engine {
					e := open(threads)
					e.(*cpu.Engine).PlanesOf(channels)
					return e
				})
			})
		}
	}
}

// What records call the precision is what figures and comparisons keep apart.
func TestMixedPrecisionHasItsName(t *testing.T) {
	e, err := cpu.NewMixed(1, cpu.InstructionSets()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Precision(); got != results.MixedPrecision {
		t.Errorf("precision %q, want %q", got, results.MixedPrecision)
	}
}

// Narrow networks have planes of 8 channels; those for AVX-512 are of two images, which not
// every batch has.
func TestLayout(t *testing.T) {
	for _, set := range cpu.InstructionSets() {
		e := open(t, set)(1).(*cpu.Engine)
		narrow, images := 8, 1
		if set == "AVX-512" {
			images = 2
		}
		for channels, want := range map[int]int{1: narrow, 8: narrow, 16: 16, 20: narrow, 36: narrow, 40: narrow, 64: 16} {
			for batch := range 4 {
				g := graph.New()
				plan, err := engine.NewPlan(g, []*graph.Node{graph.NewMean(g.Input("x", graph.Activation, batch+1, channels, 4, 4))})
				if err != nil {
					t.Fatal(err)
				}
				want := phases.Layout{Channels: want, Images: 1}
				if want.Channels == narrow {
					if want.Images = images; (batch+1)%images != 0 {
						want = phases.Layout{Channels: 16, Images: 1}
					}
				}
				if got := e.LayoutOf(plan); got != want {
					t.Errorf("%s: planes %+v for %d images of %d channels, want %+v", set, got, batch+1, channels, want)
				}
			}
		}
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
