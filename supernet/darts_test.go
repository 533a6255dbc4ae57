package supernet_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// dartsSpace is a space of DARTS, with rows of edges if betas.
func dartsSpace(t *testing.T, name spaces.Name, betas bool) *spaces.Space {
	t.Helper()
	s, err := darts.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	if betas {
		s = s.WithEdges()
	}
	return s.Space
}

// newDARTS is a small network with drawn weights.
func newDARTS(t *testing.T, name spaces.Name, v supernet.Variant) *supernet.Net {
	t.Helper()
	net, err := supernet.New(supernet.Config{Space: dartsSpace(t, name, false), Channels: 4, Cells: 3, Classes: 10,
		Side: 8, BatchNormMomentum: 0.1, Variant: v}, ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(1, "weights"))
	return net
}

func dartsBatch(n int) data.Batch {
	b := data.Batch{N: n, Side: 8, Images: formula.Pixels(1, n, 8)}
	for i := range n {
		b.Labels = append(b.Labels, i%10)
	}
	return b
}

// The sizes of the search networks at 16 channels and 8 cells, counted on the released
// modules.
func TestDARTSSizes(t *testing.T) {
	for _, tc := range []struct {
		space                            spaces.Name
		partial                          int
		betas                            bool
		weights, tensors, norms, running int
		alphas, macs                     int
	}{
		{"darts", 0, false, 1_930_618, 1399, 929, 74_592, 196, 300_255_744},
		{"darts8", 0, false, 1_930_618, 1399, 929, 74_592, 224, 300_255_744},
		{"darts-s1", 0, false, 405_146, 275, 183, 14_752, 56, 68_434_432},
		{"darts-s2", 0, false, 665_466, 503, 257, 20_832, 56, 100_928_000},
		{"darts-s3", 0, false, 665_466, 503, 257, 20_832, 84, 100_928_000},
		{"darts-s4", 0, false, 624_506, 471, 241, 19_296, 56, 96_733_696},
		{"darts", 4, false, 299_578, 1399, 929, 19_680, 196, 56_596_992},
		{"darts8", 4, true, 299_578, 1399, 929, 19_680, 252, 56_596_992},
		{"darts-s1", 4, false, 130_946, 275, 183, 4_720, 56, 26_265_088},
		{"darts-s2", 4, false, 149_946, 503, 257, 6_240, 56, 28_785_152},
		{"darts-s3", 4, false, 149_946, 503, 257, 6_240, 84, 28_785_152},
		{"darts-s4", 4, false, 147_386, 471, 241, 5_856, 56, 28_523_008},
	} {
		net, err := supernet.New(supernet.Config{Space: dartsSpace(t, tc.space, tc.betas), Channels: 16, Cells: 8, Classes: 10, Side: 32,
			BatchNormMomentum: 0.1, Variant: supernet.Variant{Partial: tc.partial}}, ref.New[float32](1))
		if err != nil {
			t.Fatal(err)
		}
		flops, err := net.ForwardFLOPs(1)
		if err != nil {
			t.Fatal(err)
		}
		got := []int{net.ParameterCount(), len(net.Parameters()), len(net.Statistics()) / 2, net.StatisticsCount(), net.Config().MixingLen(), int(flops / 2)}
		want := []int{tc.weights, tc.tensors, tc.norms, tc.running, tc.alphas, tc.macs}
		if !slices.Equal(got, want) {
			t.Errorf("%s, 1/%d of the channels: weights, tensors, batch norms, running statistics, alphas, multiply-adds are %v, want %v", tc.space, max(tc.partial, 1), got, want)
		}
	}
}

// Noise is drawn anew for every pass, in training and in evaluation mode, and follows from
// what SetDraws is told.
func TestNoise(t *testing.T) {
	net := newDARTS(t, "darts-s4", supernet.Variant{})
	mixing := make([]float64, net.Config().MixingLen())
	for i := range mixing {
		mixing[i] = 0.5
	}
	loss := func(n int, bn supernet.BatchNorm) float64 {
		t.Helper()
		p, err := net.Forward(dartsBatch(n), mixing, bn)
		if err != nil {
			t.Fatal(err)
		}
		return p.Loss
	}
	for _, bn := range []supernet.BatchNorm{supernet.BatchStatistics, supernet.RunningStatistics} {
		net.WriteStatistics(make([]float64, net.StatisticsCount()))
		draw := func(index uint64) {
			net.WriteStatistics(slices.Repeat([]float64{1}, net.StatisticsCount()))
			net.SetDraws(1, "test", index)
		}
		draw(1)
		first, second := loss(3, bn), loss(3, bn)
		if first == second {
			t.Error("two passes drew the same noise")
		}
		draw(1)
		if again := loss(3, bn); again != first {
			t.Errorf("the same draws give the loss %v, then %v", first, again)
		}
		net.HoldDraws()
		if held := loss(3, bn); bn == supernet.BatchStatistics && held != first {
			t.Errorf("held noise gives the loss %v, before %v", held, first)
		}
		if next := loss(3, bn); next != second {
			t.Errorf("the pass after one that held its noise gives the loss %v, want %v", next, second)
		}
		draw(2)
		if other := loss(3, bn); other == first {
			t.Error("two steps drew the same noise")
		}
	}
}

// Dropout acts on the skip connections of stride 1 in the passes that train alone.
func TestDropout(t *testing.T) {
	net := newDARTS(t, "darts-s2", supernet.Variant{Dropout: true})
	skips := make([]float64, net.Config().MixingLen()) // all edges skip
	for i := 0; i < len(skips); i += 2 {
		skips[i] = 1
	}
	gradient := make([]float64, len(skips))
	loss := func(bn supernet.BatchNorm) float64 {
		t.Helper()
		p, err := net.MixingGradient(dartsBatch(4), skips, bn, gradient)
		if err != nil {
			t.Fatal(err)
		}
		return p.Loss
	}
	whole := loss(supernet.BatchStatistics)
	net.SetDropout(0.4)
	if dropped := loss(supernet.BatchStatistics); dropped == whole {
		t.Error("dropout changes nothing in training mode")
	}
	evaluated := loss(supernet.RunningStatistics)
	statistics := make([]float64, net.StatisticsCount())
	net.ReadStatistics(statistics)
	if again := loss(supernet.RunningStatistics); again != evaluated {
		t.Error("dropout acts in evaluation mode")
	}
	p, err := net.Forward(dartsBatch(4), skips, supernet.BatchStatistics)
	if err != nil {
		t.Fatal(err)
	}
	if p.Loss != whole {
		t.Error("dropout acts in a pass that does not train")
	}

	// Entries are kept where the number is not below the probability, and scaled up.
	var calls, entries int
	net.SetReplay(supernet.Replay{Dropout: func(dst []float64) {
		calls++
		entries += len(dst)
		for i := range dst {
			dst[i] = 0.4
		}
	}})
	kept := loss(supernet.BatchStatistics)
	// Of 3 cells the last two are reduction cells, in which 6 edges keep their side, of 8
	// and 16 channels at sides 4 and 2.
	if want := 14*4*64*4 + 6*8*16*4 + 6*16*4*4; calls != 26 || entries != want {
		t.Errorf("%d draws of %d numbers in all, want 26 of %d", calls, entries, want)
	}
	if kept == whole || math.IsNaN(kept) {
		t.Errorf("entries scaled by 1/0.6 give the loss %v, unscaled ones %v", kept, whole)
	}
}

func TestDARTSRefusals(t *testing.T) {
	good := supernet.Config{Space: dartsSpace(t, "darts-s2", false), Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.1}
	for want, change := range map[string]func(*supernet.Config){
		"cannot sample":           func(c *supernet.Config) { c.Sampled = true },
		"a side that 4 divides":   func(c *supernet.Config) { c.Side = 10 },
		"an even number of":       func(c *supernet.Config) { c.Channels = 3 },
		"no padded pooling":       func(c *supernet.Config) { c.Unpadded = true },
		"cannot be shuffled in 3": func(c *supernet.Config) { c.Partial = 3 },
	} {
		c := good
		change(&c)
		if _, err := supernet.New(c, ref.New[float64](1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := supernet.New(good, ref.New[float64](1)); err != nil {
		t.Errorf("the configuration itself: %v", err)
	}
}
