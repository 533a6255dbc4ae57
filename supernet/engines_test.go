package supernet_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/supernet"
)

func newCPU(t testing.TB, threads int, set string) engine.Engine {
	t.Helper()
	e, err := cpu.New(threads, set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// shape is a network and a batch of some size.
type shape struct{ space, channels, cells, side, batch int }

func (s shape) net(t testing.TB, e engine.Engine) *supernet.Net {
	t.Helper()
	return s.variant(t, e, supernet.Variant{})
}

func (s shape) variant(t testing.TB, e engine.Engine, v supernet.Variant) *supernet.Net {
	t.Helper()
	net, err := supernet.New(supernet.Config{
		Space: space(t, s.space), Channels: s.channels, Cells: s.cells, Classes: 10, Side: s.side, BatchNormMomentum: 0.997, Variant: v,
	}, e)
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(3, "weights"))
	return net
}

func (s shape) images() data.Batch {
	r := random.New(4, "batch")
	b := data.Batch{N: s.batch, Side: s.side, Images: make([]float64, s.batch*3*s.side*s.side), Labels: make([]int, s.batch)}
	for i := range b.Images {
		b.Images[i] = r.NormFloat64()
	}
	for i := range b.Labels {
		b.Labels[i] = r.IntN(10)
	}
	return b
}

// everything is what a network computes, as one list of vectors: losses, logits,
// gradients, statistics and weights after steps, products with the Hessian.
func (s shape) everything(t testing.TB, e engine.Engine) map[string][]float64 {
	t.Helper()
	return everything(t, s.net(t, e), s.images())
}

func everything(t testing.TB, net *supernet.Net, b data.Batch) map[string][]float64 {
	t.Helper()
	sp := net.Config().Space
	mixing := uniform(sp)
	r := random.New(5, "directions")
	directions := [][]float64{make([]float64, sp.Dim()), make([]float64, sp.Dim())}
	for _, d := range directions {
		for i := range d {
			d[i] = r.NormFloat64()
		}
	}
	all := map[string][]float64{}
	must := func(name string, p supernet.Pass, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all[name+" loss"], all[name+" logits"] = []float64{p.Loss}, slices.Clone(p.Logits)
	}
	grad := make([]float64, sp.Dim())
	p, err := net.MixingGradient(b, mixing, supernet.BatchStatistics, grad)
	must("architecture", p, err)
	all["architecture gradient"] = slices.Clone(grad)
	p, _, products, err := net.HessianProducts(context.Background(), b, mixing, directions)
	must("Hessian", p, err)
	all["Hessian products"] = slices.Concat(products...)
	p, _, forms, err := net.HessianForms(context.Background(), b, mixing, few(rowDirections(net, 6)))
	must("Hessian at once", p, err)
	all["Hessian forms"] = slices.Concat(forms...)
	p, err = net.WeightGradient(b, mixing, supernet.BatchStatistics)
	must("weight", p, err)
	all["weight gradient"] = make([]float64, net.ParameterCount())
	net.ReadGradient(all["weight gradient"])
	p, err = net.MixingGradient(b, mixing, supernet.RunningStatistics, grad)
	must("attack", p, err)
	all["attack gradient"] = slices.Clone(grad)
	if _, err := net.StepWeights(supernet.SGD{LearningRate: 0.025, Momentum: 0.9, WeightDecay: 3e-4, Clip: 5}); err != nil {
		t.Fatal(err)
	}
	p, err = net.Forward(b, mixing, supernet.RunningStatistics)
	must("validation", p, err)
	all["weights"], all["statistics"] = make([]float64, net.ParameterCount()), make([]float64, net.StatisticsCount())
	net.ReadParameters(all["weights"])
	net.ReadStatistics(all["statistics"])
	return all
}

// distance is |a - b| / |b| in the 2-norm.
func distance(a, b []float64) float64 {
	var d, n float64
	for i := range b {
		d += (a[i] - b[i]) * (a[i] - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}

var shapes = []shape{
	{1, 16, 3, 8, 4},  // the scale of the presets small, quick and smoke
	{2, 16, 3, 32, 3}, // the planes of the paper's network
	{3, 16, 3, 9, 40}, // a Hessian's batch; odd side
	{1, 1, 3, 8, 5},
	{2, 4, 3, 12, 7}, // the channels inside PC-DARTS
	{3, 5, 3, 11, 6}, // channels that share no lane with their neighbours
	{2, 7, 6, 8, 37},
	{1, 20, 3, 10, 3}, // more than one block, the last one not full
	{3, 24, 3, 8, 2},
	{2, 3, 3, 64, 2},
}

// expected is what the reference computes, for all engines that are held against it.
var expected = map[shape]map[string][]float64{}

// The fast engine agrees with the reference in float64, whatever the sizes.
func TestCPUEngineAgrees(t *testing.T) {
	agrees(t, newCPU, singleTolerance)
}

// With activations in bfloat16 the engine agrees by tolerances of its own, about twice what
// was measured. Derivatives are far less precise than logits: rectifiers switch, and rounding
// makes several entries of a window its maximum, so that gradients take other ways.
func TestMixedEngineAgrees(t *testing.T) {
	agrees(t, newMixed, mixedTolerance)
}

// agrees holds an engine against the reference in float64 on networks of all sizes.
func agrees(t *testing.T, open func(t testing.TB, threads int, set string) engine.Engine, tolerance func(name string) float64) {
	for _, s := range shapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			if testing.Short() && s.side > 16 {
				t.Skip("large images in short mode")
			}
			if expected[s] == nil {
				expected[s] = s.everything(t, ref.New[float64](2))
			}
			for _, set := range cpu.InstructionSets() {
				agree(t, set, s.everything(t, open(t, 2, set)), expected[s], tolerance)
			}
		})
	}
}

// agree holds what an engine computes against the reference, by the tolerance of each
// quantity. Norms are compared because a rectifier within rounding of its kink may switch
// and move single entries.
func agree(t *testing.T, set string, got, want map[string][]float64, tolerance func(name string) float64) {
	t.Helper()
	for name, w := range want {
		if d := distance(got[name], w); !(d <= tolerance(name)) {
			t.Errorf("%s: %s is off by %.1e of its norm, more than %.0e", set, name, d, tolerance(name))
		}
	}
}

// singleTolerance is what an engine in single precision may be off by.
func singleTolerance(name string) float64 {
	switch name {
	case "architecture gradient", "weight gradient", "Hessian products", "Hessian forms", "attack gradient":
		return 5e-3
	case "architecture loss", "weight loss", "Hessian loss", "Hessian at once loss", "attack loss":
		return 1e-5
	}
	return 1e-4
}

func newMixed(t testing.TB, threads int, set string) engine.Engine {
	t.Helper()
	e, err := cpu.NewMixed(threads, set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mixedTolerance(name string) float64 {
	switch {
	case strings.HasSuffix(name, "loss"):
		return 4e-3
	case strings.HasSuffix(name, "logits"):
		return 0.05
	case name == "statistics", name == "weights":
		return 4e-3
	}
	return 0.5
}

// Neither the number of threads nor repetition changes a bit.
func TestCPUEngineIsDeterministic(t *testing.T) {
	for _, s := range []shape{{1, 16, 3, 8, 37}, {2, 5, 3, 9, 19}, {3, 16, 3, 16, 6}} {
		for _, open := range []func(testing.TB, int, string) engine.Engine{newCPU, newMixed} {
			want := s.everything(t, open(t, 1, cpu.InstructionSets()[0]))
			for _, threads := range []int{1, 2, 4} {
				e := open(t, threads, cpu.InstructionSets()[0])
				for name, got := range s.everything(t, e) {
					if !slices.Equal(got, want[name]) {
						t.Errorf("%v in %s on %d threads: other bits in %s", s, e.Precision(), threads, name)
					}
				}
			}
		}
	}
}

// A step allocates nothing once it has run.
func TestCPUEngineDoesNotAllocate(t *testing.T) {
	s := shape{2, 16, 3, 8, 6}
	for i, v := range []supernet.Variant{{}, {Partial: 4, DropPath: true}, {}} {
		open := newCPU
		if i == 2 {
			open = newMixed
		}
		net, b := s.variant(t, open(t, 2, cpu.InstructionSets()[0]), v), s.images()
		mixing := uniform(net.Config().Space)
		grad, drop := make([]float64, len(mixing)), dropPath(net.Config(), s.batch)
		for name, step := range steps(t, net, b, mixing, grad) {
			once := func() {
				if v.DropPath {
					net.SetDropPath(drop)
				}
				step()
			}
			// What the runtime allocates now and then is counted too, so the
			// fewest of several counts matter.
			fewest := math.Inf(1)
			for range 5 {
				fewest = min(fewest, testing.AllocsPerRun(5, once))
			}
			if fewest > 0 {
				t.Errorf("%+v, %s: %g allocations", v, name, fewest)
			}
		}
	}
}

// steps are the calls that a search makes over and over.
func steps(t testing.TB, net *supernet.Net, b data.Batch, mixing, grad []float64) map[string]func() {
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(){
		"architecture": func() { _, err := net.MixingGradient(b, mixing, supernet.BatchStatistics, grad); check(err) },
		"attack":       func() { _, err := net.MixingGradient(b, mixing, supernet.RunningStatistics, grad); check(err) },
		"forward":      func() { _, err := net.Forward(b, mixing, supernet.RunningStatistics); check(err) },
		"weight": func() {
			_, err := net.WeightGradient(b, mixing, supernet.BatchStatistics)
			check(err)
			_, err = net.StepWeights(supernet.SGD{LearningRate: 1e-3, Momentum: 0.9, WeightDecay: 3e-4, Clip: 5})
			check(err)
		},
	}
}

func BenchmarkStep(b *testing.B) {
	s := shape{2, 16, 3, 16, 48}
	for _, name := range []string{"architecture", "weight", "attack", "forward"} {
		b.Run(name, func(b *testing.B) {
			net, images := s.net(b, newCPU(b, 2, cpu.InstructionSets()[0])), s.images()
			mixing := uniform(net.Config().Space)
			step := steps(b, net, images, mixing, make([]float64, len(mixing)))[name]
			step()
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
