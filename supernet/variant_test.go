package supernet_test

import (
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
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// dropPath draws multipliers: 0 for some images, as if a convolution were not
// there, and 1/keep for the others.
func dropPath(c supernet.Config, batch int) []float64 {
	r := random.New(6, "drop path")
	droppable := 0
	for _, row := range c.Space.Rows() {
		for _, candidate := range row.Candidates {
			if row.Kind == spaces.OperationRow && !candidate.ParameterFree {
				droppable++
			}
		}
	}
	multipliers := make([]float64, c.Cells*droppable*batch)
	for i := range multipliers {
		if r.Float64() < 0.7 {
			multipliers[i] = 1 / 0.7
		}
	}
	return multipliers
}

// variants are networks that depart from that of DARTS, at sizes where channels
// fit into vectors and where they do not.
var variants = []struct {
	shape
	supernet.Variant
}{
	{shape{1, 16, 3, 8, 4}, supernet.Variant{Partial: 4}},
	{shape{2, 16, 3, 11, 3}, supernet.Variant{Partial: 4, DropPath: true}},
	{shape{3, 4, 3, 9, 18}, supernet.Variant{Partial: 4}},
	{shape{1, 20, 2, 10, 5}, supernet.Variant{Partial: 4, DropPath: true}},
	{shape{2, 36, 3, 6, 3}, supernet.Variant{Partial: 4}},
	{shape{3, 15, 3, 8, 6}, supernet.Variant{Partial: 3}},
	{shape{1, 34, 3, 5, 4}, supernet.Variant{Partial: 2}},
	{shape{2, 16, 3, 8, 37}, supernet.Variant{DropPath: true}},
}

func everythingOf(t testing.TB, s shape, v supernet.Variant, e engine.Engine) map[string][]float64 {
	t.Helper()
	net := s.variant(t, e, v)
	if v.DropPath {
		net.SetDropPath(dropPath(net.Config(), s.batch))
	}
	return everything(t, net, s.images())
}

func TestCPUEngineAgreesOnVariants(t *testing.T) {
	for i, v := range variants {
		t.Run(fmt.Sprintf("%v %+v", v.shape, v.Variant), func(t *testing.T) {
			if testing.Short() && i > 2 {
				t.Skip("the first ones suffice in short mode")
			}
			want := everythingOf(t, v.shape, v.Variant, ref.New[float64](2))
			for _, set := range cpu.InstructionSets() {
				agree(t, set, everythingOf(t, v.shape, v.Variant, newCPU(t, 2, set)), want, singleTolerance)
			}
		})
	}
}

func TestCPUEngineIsDeterministicOnVariants(t *testing.T) {
	s, v := shape{1, 16, 3, 8, 21}, supernet.Variant{Partial: 4, DropPath: true}
	set := cpu.InstructionSets()[0]
	want := everythingOf(t, s, v, newCPU(t, 1, set))
	for _, threads := range []int{2, 4} {
		for name, got := range everythingOf(t, s, v, newCPU(t, threads, set)) {
			if !slices.Equal(got, want[name]) {
				t.Errorf("%d threads: other bits in %s", threads, name)
			}
		}
	}
}

func TestDropPath(t *testing.T) {
	s := shape{2, 4, 3, 8, 5}
	plain := s.net(t, ref.New[float64](2))
	net := s.variant(t, ref.New[float64](2), supernet.Variant{DropPath: true})
	sp, b := net.Config().Space, s.images()
	mixing := uniform(sp)
	pass := func(net *supernet.Net, bn supernet.BatchNorm, mixing []float64) (float64, []float64) {
		t.Helper()
		grad := make([]float64, sp.Dim())
		p, err := net.MixingGradient(b, mixing, bn, grad)
		if err != nil {
			t.Fatal(err)
		}
		return p.Loss, grad
	}
	same := func(what string, loss float64, grad []float64, wantLoss float64, want []float64) {
		t.Helper()
		if loss != wantLoss || !slices.Equal(grad, want) {
			t.Errorf("%s: loss %v and gradient %v, want %v and %v", what, loss, grad, wantLoss, want)
		}
	}
	all := dropPath(net.Config(), s.batch)

	loss, grad := pass(plain, supernet.BatchStatistics, mixing)
	l, g := pass(net, supernet.BatchStatistics, mixing)
	same("no multipliers", l, g, loss, grad)
	ones := make([]float64, len(all))
	for i := range ones {
		ones[i] = 1
	}
	net.SetDropPath(ones)
	l, g = pass(net, supernet.BatchStatistics, mixing)
	same("ones", l, g, loss, grad)
	net.SetDropPath(all)
	if l, _ = pass(net, supernet.BatchStatistics, mixing); l == loss {
		t.Error("multipliers did not change the loss")
	}
	net.SetDropPath(nil)
	l, g = pass(net, supernet.BatchStatistics, mixing)
	same("multipliers taken back", l, g, loss, grad)

	// Without convolutions, pooling is what is left: its weight is not touched.
	net.SetDropPath(make([]float64, len(all)))
	pooled := slices.Clone(mixing)
	for _, row := range sp.Rows() {
		for i, c := range row.Candidates {
			if row.Kind == spaces.OperationRow && !c.ParameterFree {
				pooled[row.Offset+i] = 0
			}
		}
	}
	l, _ = pass(net, supernet.BatchStatistics, mixing)
	if want, _ := pass(plain, supernet.BatchStatistics, pooled); math.Abs(l-want) > 1e-12 {
		t.Errorf("all convolutions dropped: loss %v, want %v", l, want)
	}

	// Other passes have no drop path. The statistics have moved alike.
	statistics := make([]float64, net.StatisticsCount())
	plain.ReadStatistics(statistics)
	net.WriteStatistics(statistics)
	net.SetDropPath(all[:3])
	loss, grad = pass(plain, supernet.RunningStatistics, mixing)
	l, g = pass(net, supernet.RunningStatistics, mixing)
	same("evaluation mode", l, g, loss, grad)
	forward := func(net *supernet.Net) float64 {
		p, err := net.Forward(b, mixing, supernet.BatchStatistics)
		if err != nil {
			t.Fatal(err)
		}
		return p.Loss
	}
	if got, want := forward(net), forward(plain); got != want {
		t.Errorf("a forward pass has loss %v, want %v", got, want)
	}
}

func TestBadDropPathIsRefused(t *testing.T) {
	s := shape{1, 2, 3, 8, 3}
	b := s.images()
	for name, c := range map[string]struct {
		variant supernet.Variant
		count   int
		want    string
	}{
		"too few":          {supernet.Variant{DropPath: true}, 71, "71 drop-path multipliers, a batch of 3 images needs 72"},
		"too many":         {supernet.Variant{DropPath: true}, 73, "73 drop-path"},
		"not built for it": {supernet.Variant{}, 72, "without drop path"},
	} {
		net := s.variant(t, ref.New[float64](1), c.variant)
		net.SetDropPath(make([]float64, c.count))
		for task, err := range map[string]error{"mixing": mixingPass(net, b), "weights": weightPass(net, b)} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: error %v, want one with %q", name, task, err, c.want)
			}
		}
		net.SetDropPath(nil)
		if err := mixingPass(net, b); err != nil {
			t.Errorf("%s, taken back: %v", name, err)
		}
	}
}

func mixingPass(net *supernet.Net, b data.Batch) error {
	mixing := uniform(net.Config().Space)
	_, err := net.MixingGradient(b, mixing, supernet.BatchStatistics, make([]float64, len(mixing)))
	return err
}

func weightPass(net *supernet.Net, b data.Batch) error {
	_, err := net.WeightGradient(b, uniform(net.Config().Space), supernet.BatchStatistics)
	return err
}
