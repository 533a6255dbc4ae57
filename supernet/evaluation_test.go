package supernet_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// genotype reads one in its short form.
func genotype(t *testing.T, text string) darts.Genotype {
	t.Helper()
	g, err := darts.ParseGenotype(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const (
	separable = " | sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1"
	skips     = "skip:0 skip:1 / skip:0 sep3:1 / skip:0 skip:1 / max:2 skip:1" + separable
)

func evaluation(e supernet.Evaluation) supernet.Config {
	return supernet.Config{Evaluation: &e, Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.1}
}

// Parameters and multiply-accumulates of the networks of all published genotypes are those
// that their sizes were counted from.
func TestEvaluationSizes(t *testing.T) {
	for _, p := range darts.AllPublished() {
		if p.Name == "NASNet" || p.Name == "AmoebaNet" {
			continue
		}
		c := evaluation(supernet.Evaluation{Genotype: p.Genotype, AuxiliaryWeight: 0.4})
		c.Cells, c.Side = 5, 32
		net, err := supernet.New(c, ref.New[float32](1))
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		flops, err := net.ForwardFLOPs(1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := darts.Network{Channels: 4, Cells: 5, Classes: 10}.Cost(p.Genotype)
		if err != nil {
			t.Fatal(err)
		}
		if got := net.ParameterCount(); got != want.Parameters+want.Auxiliary || int(flops/2) != want.MACs {
			t.Errorf("%s: %d parameters and %.0f MACs, want %d+%d and %d", p.Name, got, flops/2, want.Parameters, want.Auxiliary, want.MACs)
		}
	}
}

func parseCell(t *testing.T, text string) cell.Spec {
	t.Helper()
	s, err := cell.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The cells of NAS-Bench-101: one whose channels do not divide and whose vertices are cut,
// and one that is but an edge.
var nasbench101Cells = []string{
	`{"matrix": [[0,1,0,0,0,1],[0,0,1,1,0,1],[0,0,0,0,1,0],[0,0,0,0,1,1],[0,0,0,0,0,1],[0,0,0,0,0,0]], "ops": ["input","conv3x3-bn-relu","conv1x1-bn-relu","maxpool3x3","conv3x3-bn-relu","output"]}`,
	`{"matrix": [[0,1],[0,0]], "ops": ["input","output"]}`,
}

// The network has as many parameters as NAS-Bench-101 says.
func TestNASBench101Size(t *testing.T) {
	for _, text := range nasbench101Cells {
		spec := parseCell(t, text)
		c := evaluation(supernet.Evaluation{Cell: &spec})
		c.Channels, c.Cells, c.Side = 128, 9, 32
		net, err := supernet.New(c, ref.New[float32](1))
		if err != nil {
			t.Fatal(err)
		}
		want, err := nasbench.TrainableParameters(spec)
		if err != nil {
			t.Fatal(err)
		}
		if net.ParameterCount() != want {
			t.Errorf("%d parameters, want %d", net.ParameterCount(), want)
		}
	}
}

// The gradient is the slope of the loss: of both losses where there is an auxiliary head,
// with smoothed labels.
func TestEvaluationGradient(t *testing.T) {
	first, second := parseCell(t, nasbench101Cells[0]), parseCell(t, nasbench101Cells[1])
	for name, e := range map[string]supernet.Evaluation{
		"genotype": {Genotype: genotype(t, skips), LabelSmoothing: 0.1},
		"cell":     {Cell: &first},
		"edge":     {Cell: &second},
		"head":     {Genotype: genotype(t, skips), AuxiliaryWeight: 0.3, LabelSmoothing: 0.2},
	} {
		c := evaluation(e)
		batch := dartsBatch(3)
		if e.Cell != nil {
			c.Channels = 7
		}
		if e.AuxiliaryWeight > 0 {
			c.Cells, c.Side, batch.Side = 4, 32, 32
			batch.Images = formula.Pixels(1, 3, 32)
		}
		net, err := supernet.New(c, ref.New[float64](2))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		net.Initialize(random.New(1, "weights"))
		weights, direction := make([]float64, net.ParameterCount()), make([]float64, net.ParameterCount())
		net.ReadParameters(weights)
		r := random.New(2, "direction")
		for i := range direction {
			direction[i] = r.NormFloat64() / 100
		}
		loss := func(step float64) float64 {
			moved := slices.Clone(weights)
			for i := range moved {
				moved[i] += step * direction[i]
			}
			net.WriteParameters(moved)
			pass, err := net.WeightGradient(batch, nil, supernet.BatchStatistics)
			if err != nil {
				t.Fatal(err)
			}
			return pass.Loss + e.AuxiliaryWeight*pass.AuxiliaryLoss
		}
		const step = 1e-6
		slope := (loss(step) - loss(-step)) / (2 * step)
		loss(0)
		gradient := make([]float64, net.ParameterCount())
		net.ReadGradient(gradient)
		want := 0.0
		for i, g := range gradient {
			want += g * direction[i]
		}
		if math.Abs(slope-want) > 1e-6*max(1, math.Abs(want)) {
			t.Errorf("%s: the loss changes by %g along a direction, its gradient says %g", name, slope, want)
		}
	}
}

// Weights whose results only noise would read are neither moved nor decayed, as in PyTorch,
// where they get no gradient; all others are.
func TestEvaluationIdleWeights(t *testing.T) {
	net, err := supernet.New(evaluation(supernet.Evaluation{
		Genotype: genotype(t, "noise:0 sep3:1 / noise:0 sep3:1 / noise:0 sep3:1 / noise:0 sep3:1"+separable),
	}), ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(1, "weights"))
	before, after := make([]float64, net.ParameterCount()), make([]float64, net.ParameterCount())
	net.ReadParameters(before)
	if _, err := net.WeightGradient(dartsBatch(2), nil, supernet.BatchStatistics); err != nil {
		t.Fatal(err)
	}
	if _, err := net.StepWeights(supernet.SGD{LearningRate: 0.1, Momentum: 0.9, WeightDecay: 0.1}); err != nil {
		t.Fatal(err)
	}
	net.ReadParameters(after)
	for _, p := range net.Parameters() {
		moved := !slices.Equal(before[p.Offset:p.Offset+p.Size], after[p.Offset:p.Offset+p.Size])
		if idle := strings.HasPrefix(p.Name, "cells.0.preprocess0."); moved == idle {
			t.Errorf("%s moved: %v", p.Name, moved)
		}
	}
}

// Drop path spares identities.
func TestEvaluationDropPath(t *testing.T) {
	c := evaluation(supernet.Evaluation{Genotype: genotype(t, skips)})
	c.DropPath = true
	net, err := supernet.New(c, ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + 2*8; net.Droppable() != want {
		t.Errorf("drop path scales %d operations, want %d", net.Droppable(), want)
	}
}

func TestEvaluationRefuses(t *testing.T) {
	spec := parseCell(t, nasbench101Cells[0])
	cells := supernet.Evaluation{Genotype: genotype(t, skips)}
	for _, tc := range []struct {
		change func(c *supernet.Config, e *supernet.Evaluation)
		want   string
	}{
		{func(c *supernet.Config, _ *supernet.Evaluation) { c.Space = dartsSpace(t, "darts", false) }, "not of a space"},
		{func(c *supernet.Config, _ *supernet.Evaluation) { c.Partial = 4 }, "no variants but drop path"},
		{func(c *supernet.Config, _ *supernet.Evaluation) { c.Channels = 5 }, "5 channels: the factorised reductions"},
		{func(c *supernet.Config, _ *supernet.Evaluation) { c.Side = 10 }, "a side that 4 divides"},
		{func(c *supernet.Config, _ *supernet.Evaluation) { c.Cells = 2 }, "2 cells, need at least 3"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.ImageNet = true }, "the ImageNet network is for side 224"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.LabelSmoothing = 1 }, "label smoothing 1"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.AuxiliaryWeight = math.NaN() }, "auxiliary weight NaN"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.AuxiliaryWeight = 0.4 }, "quirk C22"},
		{func(c *supernet.Config, e *supernet.Evaluation) { c.Cells, e.AuxiliaryWeight = 4, 0.4 }, "quirk C23"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Genotype.Normal = e.Genotype.Normal[:3] }, "normal cell: 3 pairs"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Genotype.NormalConcat = []int{3, 4} }, "normal cell: node 3 goes nowhere"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Genotype.ReduceConcat = []int{2, 7} }, "reduction cell: states [2 7]"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Genotype.ReduceConcat = nil }, "no state goes into its output"},
		{func(_ *supernet.Config, e *supernet.Evaluation) {
			e.Genotype.Normal = slices.Clone(e.Genotype.Normal)
			e.Genotype.Normal[0] = darts.Pair{Operation: "conv_7x1_1x7", Input: 0}
		}, `"conv_7x1_1x7"`},
		{func(_ *supernet.Config, e *supernet.Evaluation) {
			e.Genotype.Normal = slices.Clone(e.Genotype.Normal)
			e.Genotype.Normal[0].Input = 2
		}, "of state 2 at node 0"},
		{func(c *supernet.Config, e *supernet.Evaluation) { e.Cell, c.Channels, c.Cells = &spec, 8, 4 }, "equally many in each of its 3 stacks"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Cell = &spec }, "4 channels, need at least 7"},
		{func(c *supernet.Config, e *supernet.Evaluation) { e.Cell, c.DropPath = &spec, true }, "no drop path"},
		{func(_ *supernet.Config, e *supernet.Evaluation) { e.Cell = &cell.Spec{} }, ""},
	} {
		e := cells
		c := evaluation(e)
		tc.change(&c, &e)
		c.Evaluation = &e
		if _, err := supernet.New(c, ref.New[float64](1)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
	net, err := supernet.New(evaluation(cells), ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.MixingGradient(dartsBatch(2), nil, supernet.BatchStatistics, nil); err == nil || !strings.Contains(err.Error(), "no mixing weights") {
		t.Errorf("error %v about a gradient by mixing weights", err)
	}
	if _, err := net.Forward(dartsBatch(2), []float64{1}, supernet.RunningStatistics); err == nil || !strings.Contains(err.Error(), "an evaluation network has 0") {
		t.Errorf("error %v about mixing weights", err)
	}
}
