package supernet_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

func space(t testing.TB, id int) *spaces.Space {
	t.Helper()
	s, err := spaces.Get(spaces.Name(strconv.Itoa(id)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newNet(t *testing.T, id, channels, threads int) *supernet.Net {
	t.Helper()
	net, err := supernet.New(supernet.Config{
		Space: space(t, id), Channels: channels, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997,
	}, ref.New[float64](threads))
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(3, "weights"))
	return net
}

func batch(n int) data.Batch {
	r := random.New(4, "batch")
	b := data.Batch{N: n, Side: 8, Images: make([]float64, n*3*8*8), Labels: make([]int, n)}
	for i := range b.Images {
		b.Images[i] = r.NormFloat64()
	}
	for i := range b.Labels {
		b.Labels[i] = r.IntN(10)
	}
	return b
}

func uniform(s *spaces.Space) []float64 {
	mixing := make([]float64, s.Dim())
	s.Softmax(mixing, mixing)
	return mixing
}

// The counts of the paper's network, 16 channels and 9 cells.
func TestParameterCounts(t *testing.T) {
	for _, want := range []struct{ space, partial, parameters, tensors, statistics, norms int }{
		{1, 0, 1_101_402, 357, 10_912, 119},
		{2, 1, 1_101_402, 357, 10_912, 119},
		{3, 0, 1_509_594, 438, 13_600, 146},
		{1, 4, 492_570, 357, 6_880, 119},
		{2, 4, 492_570, 357, 6_880, 119},
		{3, 4, 748_554, 438, 8_560, 146},
	} {
		net, err := supernet.New(supernet.Config{
			Space: space(t, want.space), Channels: 16, Cells: 9, Classes: 10, Side: 32, BatchNormMomentum: 0.997,
			Variant: supernet.Variant{Partial: want.partial},
		}, ref.New[float32](1))
		if err != nil {
			t.Fatal(err)
		}
		got := [...]int{net.ParameterCount(), len(net.Parameters()), net.StatisticsCount(), len(net.Statistics()) / 2}
		if got != [...]int{want.parameters, want.tensors, want.statistics, want.norms} {
			t.Errorf("space %d, partial %d has %v weights, tensors, running statistics and batch norms, want %v",
				want.space, want.partial, got, want)
		}
	}
}

func TestInitialize(t *testing.T) {
	net := newNet(t, 3, 4, 1)
	weights := make([]float64, net.ParameterCount())
	net.ReadParameters(weights)
	fanIn := 0
	for _, p := range net.Parameters() {
		part := weights[p.Offset : p.Offset+p.Size]
		low, high := slices.Min(part), slices.Max(part)
		switch {
		case len(p.Shape) == 1 && p.Name != "classifier.bias":
			want := 0.0
			if strings.HasSuffix(p.Name, ".weight") {
				want = 1
			}
			if low != want || high != want {
				t.Errorf("%s lies in %g..%g, want %g", p.Name, low, high, want)
			}
			continue
		case len(p.Shape) > 1:
			fanIn = p.Size / p.Shape[0]
		}
		bound := 1 / math.Sqrt(float64(fanIn))
		if low < -bound || high > bound || low > -bound/2 || high < bound/2 {
			t.Errorf("%s lies in %g..%g, want to fill ±%g", p.Name, low, high, bound)
		}
	}
}

// A step by hand: clip to the bound, add weight decay, momentum, learning rate.
func TestStepWeights(t *testing.T) {
	net := newNet(t, 2, 2, 1)
	n := net.ParameterCount()
	read := func(f func([]float64)) []float64 {
		v := make([]float64, n)
		f(v)
		return v
	}
	momentum := make([]float64, n)
	for i := range momentum {
		momentum[i] = float64(i%7) / 100
	}
	net.WriteMomentum(momentum)
	if _, err := net.WeightGradient(batch(4), uniform(space(t, 2)), supernet.BatchStatistics); err != nil {
		t.Fatal(err)
	}
	weights, gradient := read(net.ReadParameters), read(net.ReadGradient)
	var square float64
	for _, g := range gradient {
		square += g * g
	}
	norm := math.Sqrt(square)
	sgd := supernet.SGD{LearningRate: 0.1, Momentum: 0.9, WeightDecay: 0.01, Clip: norm / 2}
	got, err := net.StepWeights(sgd)
	if err != nil || math.Abs(got-norm) > 1e-12*norm {
		t.Fatalf("norm %g, %v; want %g", got, err, norm)
	}
	after := read(net.ReadParameters)
	for i := range weights {
		g := gradient[i] * (norm / 2) / (norm + 1e-6)
		want := weights[i] - 0.1*(0.9*momentum[i]+g+0.01*weights[i])
		if math.Abs(after[i]-want) > 1e-12 {
			t.Fatalf("weight %d moved to %g, want %g", i, after[i], want)
		}
	}
	// far below the bound nothing is clipped
	before := read(net.ReadGradient)
	sgd.Clip = 1e9
	if _, err := net.StepWeights(sgd); err != nil {
		t.Fatal(err)
	}
	if after := read(net.ReadGradient); !slices.Equal(before, after) {
		t.Error("a gradient below the bound was changed")
	}
}

func TestDivergedGradientIsRefused(t *testing.T) {
	net := newNet(t, 1, 2, 1)
	b := batch(4)
	b.Images[5] = math.NaN()
	if _, err := net.WeightGradient(b, uniform(space(t, 1)), supernet.BatchStatistics); err != nil {
		t.Fatal(err)
	}
	before := make([]float64, net.ParameterCount())
	net.ReadParameters(before)
	if _, err := net.StepWeights(supernet.SGD{LearningRate: 0.1}); err == nil || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("error %v, want one that says diverged", err)
	}
	after := make([]float64, len(before))
	net.ReadParameters(after)
	if !slices.Equal(before, after) {
		t.Error("the weights moved")
	}
}

func TestRunningStatistics(t *testing.T) {
	s := space(t, 2)
	net := newNet(t, 2, 2, 1)
	read := func() []float64 {
		v := make([]float64, net.StatisticsCount())
		net.ReadStatistics(v)
		return v
	}
	start := read()
	if _, err := net.Forward(batch(4), uniform(s), supernet.RunningStatistics); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read(), start) {
		t.Error("a pass in evaluation mode moved the running statistics")
	}
	directions := [][]float64{uniform(s), uniform(s), uniform(s)}
	if _, _, _, err := net.HessianProducts(t.Context(), batch(4), uniform(s), directions); err != nil {
		t.Fatal(err)
	}
	once := read()
	if slices.Equal(once, start) {
		t.Error("a pass in training mode left the running statistics alone")
	}
	net.WriteStatistics(start)
	if _, err := net.Forward(batch(4), uniform(s), supernet.BatchStatistics); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read(), once) {
		t.Error("three Hessian products did not move the running statistics like one pass")
	}
}

// The bytes of a step must not depend on the number of threads.
func TestThreadsDoNotMatter(t *testing.T) {
	s := space(t, 3)
	result := func(threads int) []float64 {
		net := newNet(t, 3, 8, threads)
		grad := make([]float64, s.Dim())
		for range 2 {
			if _, err := net.MixingGradient(batch(6), uniform(s), supernet.BatchStatistics, grad); err != nil {
				t.Fatal(err)
			}
			if _, err := net.WeightGradient(batch(6), uniform(s), supernet.BatchStatistics); err != nil {
				t.Fatal(err)
			}
			if _, err := net.StepWeights(supernet.SGD{LearningRate: 0.1, Momentum: 0.9, Clip: 5}); err != nil {
				t.Fatal(err)
			}
		}
		weights := make([]float64, net.ParameterCount())
		net.ReadParameters(weights)
		return append(grad, weights...)
	}
	one := result(1)
	for _, threads := range []int{2, 3, 4} {
		if !slices.Equal(result(threads), one) {
			t.Errorf("%d threads give other bits than one", threads)
		}
	}
}

func TestBadInputIsRefused(t *testing.T) {
	s := space(t, 2)
	net := newNet(t, 2, 2, 1)
	short := batch(4)
	short.Images = short.Images[:10]
	label := batch(4)
	label.Labels[2] = 10
	other := batch(4)
	other.Side = 16
	for name, c := range map[string]struct {
		batch  data.Batch
		mixing []float64
		want   string
	}{
		"pixels missing":       {short, uniform(s), "10 pixel values"},
		"label out of range":   {label, uniform(s), "image 2 of the batch has label 10"},
		"side":                 {other, uniform(s), "side 16"},
		"mixing weights":       {batch(4), make([]float64, 3), "3 mixing weights"},
		"batch without images": {data.Batch{Side: 8}, uniform(s), "batch of 0 images"},
	} {
		if _, err := net.Forward(c.batch, c.mixing, supernet.BatchStatistics); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if _, _, _, err := net.HessianProducts(t.Context(), batch(4), uniform(s), [][]float64{{1}}); err == nil {
		t.Error("a direction of the wrong length was taken")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := net.HessianProducts(done, batch(4), uniform(s), [][]float64{uniform(s)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Hessian products of a cancelled context: %v", err)
	}
	good := net.Config()
	for name, spoil := range map[string]func(*supernet.Config){
		"no space":      func(c *supernet.Config) { c.Space = nil },
		"no channels":   func(c *supernet.Config) { c.Channels = 0 },
		"1 cell":        func(c *supernet.Config) { c.Cells = 1 },
		"1 class":       func(c *supernet.Config) { c.Classes = 1 },
		"tiny images":   func(c *supernet.Config) { c.Side = 2 },
		"momentum NaN":  func(c *supernet.Config) { c.BatchNormMomentum = math.NaN() },
		"partial":       func(c *supernet.Config) { c.Partial = -1 },
		"odd partial":   func(c *supernet.Config) { c.Channels, c.Partial = 6, 4 },
		"no channel":    func(c *supernet.Config) { c.Channels, c.Partial = 2, 4 },
		"momentum zero": func(c *supernet.Config) { c.BatchNormMomentum = 0 },
	} {
		c := good
		spoil(&c)
		if _, err := supernet.New(c, ref.New[float64](1)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Single precision stays close to double on the same weights.
func TestPrecisions(t *testing.T) {
	s := space(t, 1)
	config := supernet.Config{Space: s, Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997}
	double, err := supernet.New(config, ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	single, err := supernet.New(config, ref.New[float32](1))
	if err != nil {
		t.Fatal(err)
	}
	double.Initialize(random.New(1, "precision"))
	single.Initialize(random.New(1, "precision"))
	a, err := double.Forward(batch(8), uniform(s), supernet.BatchStatistics)
	if err != nil {
		t.Fatal(err)
	}
	b, err := single.Forward(batch(8), uniform(s), supernet.BatchStatistics)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(a.Loss - b.Loss); d == 0 || d > 1e-5 {
		t.Errorf("losses %.9g and %.9g: want them close and not equal", a.Loss, b.Loss)
	}
}

// A batch whose serial a program has seen is not copied again, and any other is.
func TestSerials(t *testing.T) {
	net := newNet(t, 2, 2, 1)
	batches := []data.Batch{batch(4), batch(4), batch(4)}
	for i, b := range batches { // other images
		slices.Reverse(b.Images[i*3*8*8:])
	}
	mixing := uniform(net.Config().Space)
	var want []float64
	for _, b := range batches { // without serials
		pass, err := net.Forward(b, mixing, supernet.RunningStatistics)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, pass.Loss)
	}
	if want[0] == want[1] || want[1] == want[2] {
		t.Fatal("the batches do not differ")
	}
	batches[0].Serial, batches[1].Serial = data.NewSerial(), data.NewSerial()
	for _, i := range []int{0, 0, 1, 0, 2, 0, 2, 1, 1} {
		pass, err := net.Forward(batches[i], mixing, supernet.RunningStatistics)
		if err != nil {
			t.Fatal(err)
		}
		if pass.Loss != want[i] {
			t.Errorf("batch %d: loss %v, want %v", i, pass.Loss, want[i])
		}
	}
	// What has the serial is not looked at.
	batches[1].Images = make([]float64, len(batches[1].Images))
	if pass, err := net.Forward(batches[1], mixing, supernet.RunningStatistics); err != nil || pass.Loss != want[1] {
		t.Errorf("the same serial: loss %v, want %v; %v", pass.Loss, want[1], err)
	}
}
