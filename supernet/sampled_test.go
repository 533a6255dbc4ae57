package supernet_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

func (s shape) sampled(t testing.TB, e engine.Engine) *supernet.Net {
	t.Helper()
	net, err := supernet.New(supernet.Config{
		Space: space(t, s.space), Channels: s.channels, Cells: s.cells, Classes: 10, Side: s.side, BatchNormMomentum: 0.997,
		Variant: supernet.Variant{Sampled: true},
	}, e)
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(3, "weights"))
	return net
}

// choices is a mixing vector for one cell: soft weights for the edges, and for
// each block the operations that choose picks.
func choices(r *rand.Rand, s *spaces.Space, choose func(block int) (weights [3]float64)) []float64 {
	mixing := make([]float64, s.Dim())
	for i := range mixing {
		mixing[i] = r.NormFloat64()
	}
	s.Softmax(mixing, mixing)
	for block, row := range s.Rows() {
		if row.Kind == spaces.OperationRow {
			w := choose(block)
			copy(mixing[row.Offset:row.End()], w[:])
		}
	}
	return mixing
}

// oneEach picks one operation for each block.
func oneEach(r *rand.Rand) func(int) [3]float64 {
	return func(int) (w [3]float64) {
		w[r.IntN(3)] = 1
		return w
	}
}

// anyOf picks one operation most of the time, else none or several.
func anyOf(r *rand.Rand) func(int) [3]float64 {
	one := oneEach(r)
	return func(block int) [3]float64 {
		switch r.IntN(6) {
		case 0:
			return [3]float64{}
		case 1:
			return [3]float64{float64(r.IntN(2)), r.Float64(), float64(r.IntN(2))}
		}
		return one(block)
	}
}

// perCell is a mixing vector with choices of its own for every cell.
func perCell(c supernet.Config, r *rand.Rand, choose func(int) [3]float64) []float64 {
	var mixing []float64
	for range c.Cells {
		mixing = append(mixing, choices(r, c.Space, choose)...)
	}
	return mixing
}

// unsampled tells whether an entry of the mixing vector belongs to an operation
// that is not executed.
func unsampled(s *spaces.Space, mixing []float64, entry int) bool {
	i := slices.IndexFunc(s.Rows(), func(r spaces.Row) bool { return entry%s.Dim() < r.End() })
	return s.Rows()[i].Kind == spaces.OperationRow && mixing[entry] == 0
}

// entryOf is the entry of the mixing vector that a weight or a running statistic
// of an operation belongs to, or -1.
func entryOf(c supernet.Config, name string) int {
	var cell, block, op int
	if n, _ := fmt.Sscanf(name, "cells.%d._choice_blocks.%d.mixed_op._ops.%d.", &cell, &block, &op); n == 3 {
		return cell*c.Space.Dim() + c.Space.Rows()[block].Offset + op
	}
	return -1
}

func read(n int, f func([]float64)) []float64 {
	v := make([]float64, n)
	f(v)
	return v
}

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-9*max(1, math.Abs(want[i]))) {
			t.Fatalf("%s: entry %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// With the same choices in all cells the network is that of DARTS with 0/1
// weights, but for what belongs to operations that are not executed.
func TestSampledIsPlainWithTheSameChoices(t *testing.T) {
	for id := 1; id <= 3; id++ {
		t.Run(fmt.Sprint("space ", id), func(t *testing.T) {
			s := shape{id, 3, 3, 8, 6}
			plain, net, b := s.net(t, ref.New[float64](2)), s.sampled(t, ref.New[float64](2)), s.images()
			sp, r := plain.Config().Space, random.New(9, "choices", uint64(id))
			d := sp.Dim()
			sumCells := func(v []float64) []float64 {
				sum := make([]float64, d)
				for i, x := range v {
					sum[i%d] += x
				}
				return sum
			}
			for range 4 {
				mixing := choices(r, sp, oneEach(r))
				repeated := slices.Repeat(mixing, plain.Config().Cells)
				direction := make([]float64, d)
				for i := range direction {
					if !unsampled(sp, mixing, i) {
						direction[i] = r.NormFloat64()
					}
				}
				masked := func(v []float64) []float64 {
					for i := range v {
						if unsampled(sp, mixing, i) {
							v[i] = 0
						}
					}
					return v
				}
				// What unsampled operations are asked for must not matter.
				spoilt := slices.Repeat(direction, plain.Config().Cells)
				for i := range spoilt {
					if unsampled(sp, repeated, i) {
						spoilt[i] = r.NormFloat64()
					}
				}

				before := read(net.StatisticsCount(), net.ReadStatistics)
				wantGrad, gotGrad := make([]float64, d), make([]float64, len(repeated))
				want, err := plain.MixingGradient(b, mixing, supernet.BatchStatistics, wantGrad)
				if err != nil {
					t.Fatal(err)
				}
				got, err := net.MixingGradient(b, repeated, supernet.BatchStatistics, gotGrad)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "loss", []float64{got.Loss}, []float64{want.Loss})
				near(t, "gradient with respect to the mixing weights", sumCells(gotGrad), masked(wantGrad))

				after, all := read(net.StatisticsCount(), net.ReadStatistics), read(net.StatisticsCount(), plain.ReadStatistics)
				for _, st := range net.Statistics() {
					from, to := st.Offset, st.Offset+st.Size
					if e := entryOf(net.Config(), st.Name); e >= 0 && repeated[e] == 0 {
						if !slices.Equal(after[from:to], before[from:to]) {
							t.Errorf("%s moved", st.Name)
						}
					} else {
						near(t, st.Name, after[from:to], all[from:to])
					}
				}
				plain.WriteStatistics(after)

				_, wantGrad, wantProducts, err := plain.HessianProducts(t.Context(), b, mixing, [][]float64{direction, direction})
				if err != nil {
					t.Fatal(err)
				}
				_, gotGrad, gotProducts, err := net.HessianProducts(t.Context(), b, repeated, [][]float64{spoilt, spoilt})
				if err != nil {
					t.Fatal(err)
				}
				near(t, "gradient with the Hessian", sumCells(gotGrad), masked(wantGrad))
				for i := range wantProducts {
					near(t, "product with the Hessian", sumCells(gotProducts[i]), masked(wantProducts[i]))
				}
				plain.WriteStatistics(read(net.StatisticsCount(), net.ReadStatistics))

				for _, bn := range []supernet.BatchNorm{supernet.BatchStatistics, supernet.RunningStatistics} {
					if _, err := plain.WeightGradient(b, mixing, bn); err != nil {
						t.Fatal(err)
					}
					if _, err := net.WeightGradient(b, repeated, bn); err != nil {
						t.Fatal(err)
					}
					gradient := read(net.ParameterCount(), net.ReadGradient)
					near(t, "gradient with respect to the weights", gradient, read(net.ParameterCount(), plain.ReadGradient))
					for _, p := range net.Parameters() {
						if e := entryOf(net.Config(), p.Name); e >= 0 && repeated[e] == 0 && slices.ContainsFunc(gradient[p.Offset:p.Offset+p.Size], func(g float64) bool { return g != 0 }) {
							t.Errorf("%s has a gradient", p.Name)
						}
					}
				}
				plain.WriteStatistics(read(net.StatisticsCount(), net.ReadStatistics))
			}
		})
	}
}

// With other choices in every cell the gradient with respect to the mixing weights is the
// slope of the loss, and the Hessian that of the gradient.
func TestSampledDerivatives(t *testing.T) {
	s := shape{2, 3, 3, 8, 6}
	net, b, r := s.sampled(t, ref.New[float64](2)), s.images(), random.New(10, "choices")
	mixing := perCell(net.Config(), r, oneEach(r))
	direction := make([]float64, len(mixing))
	for i := range mixing {
		if !unsampled(net.Config().Space, mixing, i) {
			direction[i] = r.NormFloat64()
		}
	}
	_, grad, products, err := net.HessianProducts(t.Context(), b, mixing, [][]float64{direction})
	if err != nil {
		t.Fatal(err)
	}
	const h = 1e-7
	at := func(step float64) (float64, []float64) {
		moved, grad := slices.Clone(mixing), make([]float64, len(mixing))
		for i, v := range direction {
			moved[i] += step * v
		}
		pass, err := net.MixingGradient(b, moved, supernet.BatchStatistics, grad)
		if err != nil {
			t.Fatal(err)
		}
		return pass.Loss, grad
	}
	above, gradAbove := at(h)
	below, gradBelow := at(-h)
	slope := 0.0
	for i, v := range direction {
		slope += v * grad[i]
	}
	if got := (above - below) / (2 * h); math.Abs(got-slope) > 1e-6*max(1, math.Abs(slope)) {
		t.Errorf("the loss changes by %g, its gradient says %g", got, slope)
	}
	numeric := make([]float64, len(mixing))
	for i := range numeric {
		numeric[i] = (gradAbove[i] - gradBelow[i]) / (2 * h)
	}
	if d := distance(products[0], numeric); d > 1e-5 {
		t.Errorf("the product with the Hessian is off the differences of the gradient by %.1e", d)
	}
}

// Quirk Q13: weights that no gradient pass has reached stay as they are, with
// their momentum; from then on every step moves them.
func TestSampledStepsMoveWhatWasTouched(t *testing.T) {
	s := shape{1, 2, 3, 8, 4}
	net, b, r := s.sampled(t, ref.New[float64](1)), s.images(), random.New(11, "choices")
	n := net.ParameterCount()
	sgd := supernet.SGD{LearningRate: 0.1, Momentum: 0.9, WeightDecay: 0.01, Clip: 5}
	grad := make([]float64, net.Config().MixingLen())
	touched := make([]bool, len(net.Parameters()))
	expect := func(mixing []float64) {
		t.Helper()
		for i, p := range net.Parameters() {
			if e := entryOf(net.Config(), p.Name); e < 0 || mixing[e] != 0 {
				touched[i] = true
			}
		}
		if got := net.ReadTouched(); !slices.Equal(got, touched) {
			t.Fatalf("touched %v, want %v", got, touched)
		}
	}
	if slices.Contains(net.ReadTouched(), true) {
		t.Error("a fresh network has touched weights")
	}
	untouched := 0
	for step := range 5 {
		mixing := perCell(net.Config(), r, oneEach(r))
		// Neither a forward pass nor the Hessian counts.
		if _, err := net.Forward(b, perCell(net.Config(), r, oneEach(r)), supernet.RunningStatistics); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := net.HessianProducts(t.Context(), b, perCell(net.Config(), r, oneEach(r)), nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(net.ReadTouched(), touched) {
			t.Fatal("a pass without gradients with respect to weights or mixing weights has touched weights")
		}
		if step%2 == 1 {
			other := perCell(net.Config(), r, oneEach(r))
			if _, err := net.MixingGradient(b, other, supernet.BatchStatistics, grad); err != nil {
				t.Fatal(err)
			}
			expect(other)
		}
		if _, err := net.WeightGradient(b, mixing, supernet.BatchStatistics); err != nil {
			t.Fatal(err)
		}
		expect(mixing)
		weights, momentum, gradient := read(n, net.ReadParameters), read(n, net.ReadMomentum), read(n, net.ReadGradient)
		square := 0.0
		for _, g := range gradient {
			square += g * g
		}
		norm, err := net.StepWeights(sgd)
		if err != nil || math.Abs(norm-math.Sqrt(square)) > 1e-12*norm {
			t.Fatalf("norm %g, %v; want %g", norm, err, math.Sqrt(square))
		}
		factor := min(1, sgd.Clip/(norm+1e-6))
		newWeights, newMomentum := read(n, net.ReadParameters), read(n, net.ReadMomentum)
		for i, p := range net.Parameters() {
			if !touched[i] {
				untouched++
			}
			for j := p.Offset; j < p.Offset+p.Size; j++ {
				w, m := weights[j], momentum[j]
				if touched[i] {
					m = 0.9*m + factor*gradient[j] + 0.01*w
					w -= 0.1 * m
				}
				if math.Abs(newWeights[j]-w) > 1e-12 || math.Abs(newMomentum[j]-m) > 1e-12 {
					t.Fatalf("step %d: %s is %g with momentum %g, want %g with %g", step, p.Name, newWeights[j], newMomentum[j], w, m)
				}
			}
		}
	}
	if untouched == 0 {
		t.Error("everything was sampled at once; the test shows nothing")
	}
	some := make([]bool, len(touched))
	some[3] = true
	net.WriteTouched(some)
	if !slices.Equal(net.ReadTouched(), some) {
		t.Error("what was written is not what is read")
	}
	net.Initialize(random.New(3, "weights"))
	if slices.Contains(net.ReadTouched(), true) {
		t.Error("Initialize leaves weights touched")
	}
	plain := s.net(t, ref.New[float64](1))
	plain.WriteTouched(some)
	if plain.ReadTouched() != nil {
		t.Error("a network that is not sampled has touched weights")
	}
}

// A network that samples is asked for all cells' weights.
func TestSampledChecksTheMixingWeights(t *testing.T) {
	s := shape{2, 2, 3, 8, 4}
	net, b := s.sampled(t, ref.New[float64](1)), s.images()
	if got, want := net.Config().MixingLen(), 3*net.Config().Space.Dim(); got != want {
		t.Errorf("%d mixing weights, want %d", got, want)
	}
	one := uniform(net.Config().Space)
	if _, err := net.Forward(b, one, supernet.BatchStatistics); err == nil || !strings.Contains(err.Error(), "26 mixing weights") {
		t.Errorf("Forward with the weights of one cell: %v", err)
	}
	if _, _, _, err := net.HessianProducts(t.Context(), b, one, nil); err == nil || !strings.Contains(err.Error(), "26 mixing weights") {
		t.Errorf("HessianProducts with the weights of one cell: %v", err)
	}
	if _, _, _, err := net.HessianProducts(t.Context(), b, slices.Repeat(one, 3), [][]float64{one}); err == nil {
		t.Error("HessianProducts took a direction of one cell")
	}
}

// walk makes passes of all kinds with choices that change from one to the next
// and returns what each computes. It leaves memory in a state that shows in the
// next pass, should that read what was not executed.
func (s shape) walk(t testing.TB, e engine.Engine, seed uint64, passes int, poison bool) []map[string][]float64 {
	t.Helper()
	net, b, r := s.sampled(t, e), s.images(), random.New(seed, "choices")
	bad := data.Batch{N: b.N, Side: b.Side, Labels: b.Labels, Images: slices.Repeat([]float64{math.NaN()}, len(b.Images))}
	d := net.Config().MixingLen()
	grad := make([]float64, d)
	directions := [][]float64{make([]float64, d), make([]float64, d)}
	for _, v := range directions {
		for i := range v {
			v[i] = r.NormFloat64()
		}
	}
	var all []map[string][]float64
	for range passes {
		mixing, bn := perCell(net.Config(), r, anyOf(r)), supernet.BatchNorm(r.IntN(2))
		do := func(b data.Batch, mixing []float64) map[string][]float64 {
			out := map[string][]float64{}
			must := func(name string, p supernet.Pass, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				out[name+" loss"], out[name+" logits"] = []float64{p.Loss}, slices.Clone(p.Logits)
			}
			p, err := net.MixingGradient(b, mixing, bn, grad)
			must("architecture", p, err)
			out["architecture gradient"] = slices.Clone(grad)
			p, _, products, err := net.HessianProducts(context.Background(), b, mixing, directions)
			must("Hessian", p, err)
			out["Hessian products"] = slices.Concat(products...)
			statistics := read(net.StatisticsCount(), net.ReadStatistics)
			p, _, forms, err := net.HessianForms(context.Background(), b, mixing, few(rowDirections(net, seed)))
			must("Hessian at once", p, err)
			out["Hessian forms"] = slices.Concat(forms...)
			net.WriteStatistics(statistics) // which have moved with the products already
			p, err = net.WeightGradient(b, mixing, bn)
			must("weight", p, err)
			out["weight gradient"] = read(net.ParameterCount(), net.ReadGradient)
			p, err = net.Forward(b, mixing, bn)
			must("forward", p, err)
			out["statistics"] = read(net.StatisticsCount(), net.ReadStatistics)
			return out
		}
		if poison {
			statistics := read(net.StatisticsCount(), net.ReadStatistics)
			do(bad, slices.Repeat(uniform(net.Config().Space), net.Config().Cells))
			net.WriteStatistics(statistics)
		}
		all = append(all, do(b, mixing))
	}
	return all
}

// The fast engine agrees with the reference whatever was executed before.
func TestCPUEngineAgreesOnSampledNetworks(t *testing.T) {
	for i, s := range []shape{{1, 16, 3, 8, 4}, {2, 4, 3, 12, 7}, {3, 5, 3, 11, 6}, {2, 20, 3, 10, 3}, {1, 16, 3, 32, 2}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			if testing.Short() && s.side > 16 {
				t.Skip("large images in short mode")
			}
			const passes = 3
			wants := s.walk(t, ref.New[float64](2), uint64(i), passes, false)
			for _, set := range cpu.InstructionSets() {
				for pass, got := range s.walk(t, newCPU(t, 2, set), uint64(i), passes, true) {
					for name, w := range wants[pass] {
						tolerance := 1e-4
						switch {
						case strings.HasSuffix(name, "gradient"), name == "Hessian products", name == "Hessian forms":
							tolerance = 5e-3
						case strings.HasSuffix(name, "loss"):
							tolerance = 1e-5
						}
						if d := distance(got[name], w); !(d <= tolerance) {
							t.Errorf("%s, pass %d: %s is off by %.1e of its norm, more than %.0e", set, pass, name, d, tolerance)
						}
					}
				}
			}
		})
	}
}

// Neither threads, nor repetition, nor what was in memory before changes a bit.
func TestCPUEngineIsDeterministicOnSampledNetworks(t *testing.T) {
	for i, s := range []shape{{1, 16, 3, 8, 37}, {2, 5, 3, 9, 19}} {
		want := s.walk(t, newCPU(t, 1, cpu.InstructionSets()[0]), uint64(i), 3, false)
		for _, threads := range []int{1, 2, 4} {
			for pass, got := range s.walk(t, newCPU(t, threads, cpu.InstructionSets()[0]), uint64(i), 3, true) {
				for name := range got {
					if !slices.Equal(got[name], want[pass][name]) {
						t.Errorf("%v on %d threads, pass %d: other bits in %s", s, threads, pass, name)
					}
				}
			}
		}
	}
}

// Programs so large that their values are written past the caches, see
// (*compiler).stream, against the network that computes everything.
func TestSampledAgreesWithPlainOnLargeBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("large images in short mode")
	}
	s := shape{2, 16, 3, 32, 30}
	set := cpu.InstructionSets()[0]
	plain, net, b, r := s.net(t, newCPU(t, 2, set)), s.sampled(t, newCPU(t, 2, set)), s.images(), random.New(13, "choices")
	sp := plain.Config().Space
	bad := b
	bad.Images = slices.Repeat([]float64{math.NaN()}, len(b.Images))
	for range 3 {
		mixing := choices(r, sp, oneEach(r))
		repeated := slices.Repeat(mixing, plain.Config().Cells)
		want, got := make([]float64, sp.Dim()), make([]float64, len(repeated))
		statistics := read(net.StatisticsCount(), net.ReadStatistics)
		for _, x := range []struct {
			batch  data.Batch
			mixing []float64
		}{{bad, slices.Repeat(uniform(sp), plain.Config().Cells)}, {b, repeated}} {
			if _, err := net.MixingGradient(x.batch, x.mixing, supernet.BatchStatistics, got); err != nil {
				t.Fatal(err)
			}
			if _, err := net.WeightGradient(x.batch, x.mixing, supernet.BatchStatistics); err != nil {
				t.Fatal(err)
			}
		}
		net.WriteStatistics(statistics)
		if _, err := plain.MixingGradient(b, mixing, supernet.BatchStatistics, want); err != nil {
			t.Fatal(err)
		}
		if _, err := plain.WeightGradient(b, mixing, supernet.BatchStatistics); err != nil {
			t.Fatal(err)
		}
		sum := make([]float64, sp.Dim())
		for i, g := range got {
			sum[i%len(sum)] += g
		}
		for i := range want {
			if unsampled(sp, mixing, i) {
				want[i] = 0
			}
		}
		if d := distance(sum, want); !(d < 1e-3) {
			t.Errorf("the gradient with respect to the mixing weights is off by %.1e of its norm", d)
		}
		if d := distance(read(net.ParameterCount(), net.ReadGradient), read(net.ParameterCount(), plain.ReadGradient)); !(d < 1e-3) {
			t.Errorf("the gradient with respect to the weights is off by %.1e of its norm", d)
		}
	}
}

// A step allocates nothing, even when the choices change.
func TestSampledStepsDoNotAllocate(t *testing.T) {
	s := shape{2, 16, 3, 8, 6}
	net, b, r := s.sampled(t, newCPU(t, 2, cpu.InstructionSets()[0])), s.images(), random.New(12, "choices")
	grad := make([]float64, net.Config().MixingLen())
	draws := [2][]float64{perCell(net.Config(), r, oneEach(r)), perCell(net.Config(), r, oneEach(r))}
	mixing := slices.Clone(draws[0])
	for name, step := range steps(t, net, b, mixing, grad) {
		fewest := math.Inf(1)
		for i := range 5 {
			copy(mixing, draws[i%2])
			fewest = min(fewest, testing.AllocsPerRun(5, step))
		}
		if fewest > 0 {
			t.Errorf("%s: %g allocations", name, fewest)
		}
	}
}
