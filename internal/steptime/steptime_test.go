package steptime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	_ "github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

func tiny(space spaces.Name, steps ...string) Config {
	return Config{
		Space: space, Channels: 3, Cells: 3, Side: 8, Batch: 6, HessianBatch: 5,
		Steps: steps, Repeats: 1, Engine: "ref", Threads: 2,
	}
}

func run(t *testing.T, c Config, progress func(Progress)) Report {
	t.Helper()
	b, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Run(t.Context(), progress)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a float64 PyTorch model of the same problem computes.
func TestOutcomes(t *testing.T) {
	for space, want := range map[spaces.Name]struct{ train, eval, after, hessian, eigenvalue float64 }{
		"1": {2.322492235450453, 2.2972981026568244, 2.2977897939780867, 2.3470517340265227, 0.2510174299905844},
		"2": {2.2931823676651373, 2.2971475826505903, 2.297670196780036, 2.3051655945300835, 0.17739439927105957},
		"3": {2.2680059114656874, 2.2604584993707175, 2.261678189933225, 2.3130916260882066, 0.22872859401704743},
	} {
		t.Run(fmt.Sprint("space ", space), func(t *testing.T) {
			wants := map[string]Outcome{
				"arch":    {Loss: &want.train},
				"weight":  {Loss: &want.train},
				"pgd":     {Before: &want.eval, After: &want.after},
				"forward": {Loss: &want.eval},
				"hessian": {Loss: &want.hessian, Eigenvalue: &want.eigenvalue},
			}
			// No step may see what those before it left behind.
			b, err := Prepare(t.Context(), tiny(space, "weight", "hessian", "forward", "weight", "arch", "pgd", "forward"))
			if err != nil {
				t.Fatal(err)
			}
			near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Abs(b) })
			for _, s := range b.steps {
				got, err := b.time(t.Context(), s, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(wants[s.Name], got.Outcome, near); diff != "" {
					t.Errorf("%s: %s", s.Name, diff)
				}
			}
		})
	}
}

func TestReport(t *testing.T) {
	c := tiny("2", Names()...)
	c.Repeats = 3
	r := run(t, c, nil)
	want := Setup{
		Engine: "ref", Device: r.Device, Precision: "float64", Threads: 2,
		Space: "2", Batch: 6, Channels: 3, Cells: 3, Side: 8,
	}
	if r.Setup != want || r.Device == "" {
		t.Errorf("setup %+v, want %+v", r.Setup, want)
	}
	if r.ISA == "" || !(r.PeakBefore > 0 && r.PeakAfter > 0) || r.Peak != max(r.PeakBefore, r.PeakAfter) {
		t.Errorf("peak %v of %v before and %v after, by %q", r.Peak, r.PeakBefore, r.PeakAfter, r.ISA)
	}
	flops := map[string]float64{}
	last := int64(0)
	for i, s := range r.Steps {
		if s.Step != c.Steps[i] {
			t.Errorf("step %d is %s, want %s", i, s.Step, c.Steps[i])
		}
		if want := map[bool]int{false: 6, true: 5}[s.Step == "hessian"]; s.Batch != want {
			t.Errorf("%s on %d images, want %d", s.Step, s.Batch, want)
		}
		if len(s.Seconds) != 3 || slices.Min(s.Seconds) != s.Min || slices.Max(s.Seconds) != s.Max || !(s.Min > 0) || s.Median != median(s.Seconds) {
			t.Errorf("%s: median %v, min %v, max %v of %v", s.Step, s.Median, s.Min, s.Max, s.Seconds)
		}
		if s.Rate != s.FLOPs/s.Median/1e9 || s.Share != s.Rate/r.Peak {
			t.Errorf("%s: %v operations at %v GFLOP/s, %v of the peak", s.Step, s.FLOPs, s.Rate, s.Share)
		}
		if s.PeakRSS < last {
			t.Errorf("%s: the high-water mark of the memory fell from %d to %d", s.Step, last, s.PeakRSS)
		}
		flops[s.Step], last = s.FLOPs, s.PeakRSS
	}
	if !(flops["forward"] > 0 && flops["forward"] < flops["arch"] && flops["arch"] < flops["weight"]) {
		t.Errorf("operations %v", flops)
	}
	if want := 2*flops["forward"] + 7*flops["arch"]; flops["pgd"] != want {
		t.Errorf("the attack has %v operations, want %v", flops["pgd"], want)
	}
	// 26 parameters in 8 softmax rows, each of which needs one direction less.
	b, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var rows []int
	for i, row := range b.problem.space.Rows() {
		rows = append(rows, slices.Repeat([]int{i}, len(row.Candidates)-1)...)
	}
	if len(rows) != 26-8 {
		t.Errorf("%d directions", len(rows))
	}
	if want, err := b.problem.net.HessianFLOPs(5, rows); err != nil || flops["hessian"] != want {
		t.Errorf("the Hessian has %v operations, want %v, %v", flops["hessian"], want, err)
	}
}

// The network of GDAS draws the same choices in every run, and new ones in every
// repeat; the attack and the Hessian are not made for it.
func TestSampled(t *testing.T) {
	c := tiny("2", "weight", "arch", "forward")
	c.Sampled = true
	b, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	losses := func(s Step) (all []float64) {
		b.problem.reset()
		for range 3 {
			o, err := s.do(t.Context(), b.problem)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, *o.Loss)
		}
		return all
	}
	for _, s := range b.steps {
		first := losses(s)
		if first[0] == first[1] || first[1] == first[2] {
			t.Errorf("%s: losses %v, want others in every repeat", s.Name, first)
		}
		if again := losses(s); !slices.Equal(again, first) {
			t.Errorf("%s: losses %v, then %v", s.Name, first, again)
		}
	}
	r := run(t, c, nil)
	plain := run(t, tiny("2", c.Steps...), nil)
	for i, s := range r.Steps {
		if !(s.FLOPs > 0 && s.FLOPs < plain.Steps[i].FLOPs) {
			t.Errorf("%s: %g operations of %g", s.Step, s.FLOPs, plain.Steps[i].FLOPs)
		}
	}
	if !r.Sampled || plain.Sampled {
		t.Errorf("the setups say sampled %t and %t", r.Sampled, plain.Sampled)
	}
	for _, step := range []string{"pgd", "hessian"} {
		c.Steps = []string{step}
		if _, err := Prepare(t.Context(), c); err == nil || !strings.Contains(err.Error(), step+" is not for sampled networks") {
			t.Errorf("%s: error %v", step, err)
		}
	}
}

func TestProgress(t *testing.T) {
	c := tiny("1", "hessian", "forward")
	c.Repeats = 0
	var got, want []Progress
	r := run(t, c, func(p Progress) { got = append(got, p) })
	for i := range 1 + 3 {
		want = append(want, Progress{"hessian", i, 3})
	}
	for i := range 1 + 10 {
		want = append(want, Progress{"forward", i, 10})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if h, f := len(r.Steps[0].Seconds), len(r.Steps[1].Seconds); h != 3 || f != 10 {
		t.Errorf("%d and %d repeats, want 3 and 10", h, f)
	}
}

func TestCancel(t *testing.T) {
	c := tiny("2", "arch")
	c.Repeats = 1000
	b, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err = b.Run(ctx, func(p Progress) {
		if calls++; p.Repeat == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("%v after the start of %d repeats, want 3", err, calls)
	}
}

func TestBadConfig(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"space", func(c *Config) { c.Space = "4" }, "no search space \"4\""},
		{"step", func(c *Config) { c.Steps = []string{"arch", "nap"} }, `unknown step "nap"`},
		{"engine", func(c *Config) { c.Engine = "abacus" }, `no engine "abacus"`},
		{"channels", func(c *Config) { c.Channels = 0 }, "channels is 0"},
		{"cells", func(c *Config) { c.Cells = 100 }, "cells is 100"},
		{"two cells", func(c *Config) { c.Cells = 2 }, "cells is 2"},
		{"side", func(c *Config) { c.Side = 3 }, "side is 3"},
		{"partial", func(c *Config) { c.Partial = -1 }, "partial is -1"},
		{"partial channels", func(c *Config) { c.Partial = 2 }, "3 channels"},
		{"batch", func(c *Config) { c.Batch = 0 }, "batch is 0"},
		{"batch of the Hessian", func(c *Config) { c.HessianBatch = -1 }, "batch of the Hessian is -1"},
		{"repeats", func(c *Config) { c.Repeats = -1 }, "repeats is -1"},
		{"threads", func(c *Config) { c.Threads = 0 }, "threads is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := tiny("2", "arch")
			test.spoil(&c)
			if _, err := Prepare(t.Context(), c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 100, 1, 2}, 3}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

// A step that computes nonsense is not worth timing.
func TestOutcomeMustBeFinite(t *testing.T) {
	good := 1.0
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, o := range []Outcome{{Loss: &bad}, {Before: &good, After: &bad}, {Loss: &good, Eigenvalue: &bad}} {
			if o.check() == nil {
				t.Errorf("%v was accepted", bad)
			}
		}
	}
	if err := (Outcome{Loss: &good}).check(); err != nil {
		t.Error(err)
	}
}

func TestPeakRSS(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		if got := peakRSS(); got != 0 {
			t.Errorf("%d bytes on a system that does not tell", got)
		}
		return
	}
	const size = 256 << 20
	before := peakRSS()
	memory := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		memory[i] = 1
	}
	// The kernel counts in lots of a few pages.
	if after := peakRSS(); before <= 0 || after < size || after < before || memory[4096] != 1 {
		t.Errorf("%d bytes, then %d with %d more", before, after, size)
	}
}

// The phases of a step have its arithmetic, and their times add up to no more than its own.
func TestPhases(t *testing.T) {
	for _, genotype := range []bool{false, true} {
		c := tiny("2", "weight", "pgd", "hessian")
		c.Engine, c.Phases, c.Channels = "cpu", true, 16
		if genotype {
			g := darts.AllPublished()[0].Genotype
			c.Space, c.Genotype, c.Steps, c.Channels = "", &g, []string{"weight"}, 4
		}
		r := run(t, c, nil)
		if !(r.MemoryRead > 0 && r.MemoryWritten > 0) {
			t.Errorf("memory reads %v and writes %v GB/s", r.MemoryRead, r.MemoryWritten)
		}
		for _, s := range r.Steps {
			var flops, seconds float64
			for _, p := range s.Phases {
				flops += p.FLOPs
				seconds += p.Images + p.Batch
				if p.Bound() != max(p.Arithmetic, p.Memory) || p.Images > 0 && p.Share != p.Bound()/p.Images {
					t.Errorf("%s: %+v", s.Step, p)
				}
			}
			// Networks with depthwise convolutions compute some of them again.
			if flops < (1-1e-9)*s.FLOPs || !genotype && flops > (1+1e-9)*s.FLOPs {
				t.Errorf("%s: the phases have %v operations, the step %v", s.Step, flops, s.FLOPs)
			}
			if !(seconds > 0 && seconds <= 2*s.Max) {
				t.Errorf("%s: the phases take %v s, the step up to %v", s.Step, seconds, s.Max)
			}
		}
	}
	c := tiny("2", "forward")
	c.Phases = true
	if _, err := Prepare(t.Context(), c); err == nil || !strings.Contains(err.Error(), "does not tell how long its phases take") {
		t.Errorf("phases of the reference engine: %v", err)
	}
}
