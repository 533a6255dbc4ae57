package controller_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/algorithms/controller"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// manifest is the part of a golden case that is about the controller. The cases
// come from the released PyTorch modules in float64.
type manifest struct {
	Space  spaces.Name `json:"space"`
	Params []struct {
		Name   string `json:"name"`
		Shape  []int  `json:"shape"`
		Offset int    `json:"offset"`
	} `json:"controller_params"`
	ChildCalls      []call `json:"child_calls"`
	ControllerCalls []call `json:"controller_calls"`
	Hyper           struct {
		Hidden   int     `json:"lstm_size"`
		Decay    float64 `json:"baseline_decay"`
		Baseline float64 `json:"baseline_initial"`
	} `json:"hyper"`
	Steps []struct {
		Baseline float64 `json:"baseline_after_update"`
	} `json:"controller_info"`
}

type call struct {
	Adjacency  [][]int  `json:"adjacency"`
	Ops        []string `json:"ops"`
	NegLogProb float64  `json:"neg_log_prob_sum"`
	Entropy    float64  `json:"entropy_sum"`
	Draws      []struct {
		Probabilities []float64 `json:"probabilities"`
		Sampled       []int     `json:"sampled"`
	} `json:"draws"`
}

// replay draws what the call recorded.
func (c call) replay() controller.Draw {
	next := 0
	return func([]float64, int) []int {
		if next == len(c.Draws) {
			return nil
		}
		next++
		return c.Draws[next-1].Sampled
	}
}

// replay draws what the sample drew.
func replay(s controller.Sample) controller.Draw {
	next := 0
	return func([]float64, int) []int {
		next++
		return s.Decisions[next-1].Chosen
	}
}

func golden(t testing.TB, name string) (m manifest, array func(file string) []float64) {
	t.Helper()
	read := func(file string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name, file))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := json.Unmarshal(read("manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	return m, func(file string) []float64 {
		b := read(file + ".npy")
		header := 10 + int(binary.LittleEndian.Uint16(b[8:]))
		if !strings.Contains(string(b[:header]), "'<f8'") {
			t.Fatalf("%s does not hold float64", file)
		}
		values := make([]float64, (len(b)-header)/8)
		for i := range values {
			values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[header+8*i:]))
		}
		return values
	}
}

func newController(t testing.TB, space spaces.Name, hidden int) *controller.Controller {
	t.Helper()
	s, err := nb1shot1.Get(space)
	if err != nil {
		t.Fatal(err)
	}
	c, err := controller.New(controller.Config{Space: s, Hidden: hidden})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func close(t rapid.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
		t.Errorf("%s: %.15g, want %.15g", what, got, want)
	}
}

func checkCall(t *testing.T, what string, c *controller.Controller, recorded call) controller.Sample {
	t.Helper()
	s, err := c.Sample(recorded.replay())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	close(t, what+": negative log-probability", s.NegLogProb, recorded.NegLogProb, 1e-12)
	close(t, what+": entropy", s.Entropy, recorded.Entropy, 1e-12)
	if len(s.Decisions) != len(recorded.Draws) {
		t.Fatalf("%s: %d decisions, want %d", what, len(s.Decisions), len(recorded.Draws))
	}
	for i, d := range s.Decisions {
		if len(d.Probabilities) != len(recorded.Draws[i].Probabilities) {
			t.Fatalf("%s: decision %d between %d, want %d", what, i, len(d.Probabilities), len(recorded.Draws[i].Probabilities))
		}
		for j, p := range d.Probabilities {
			close(t, fmt.Sprintf("%s: decision %d, probability %d", what, i, j), p, recorded.Draws[i].Probabilities[j], 1e-12)
		}
	}
	adjacency := make([][]int, len(recorded.Adjacency))
	for i := range adjacency {
		adjacency[i] = make([]int, len(adjacency))
	}
	space, err := nb1shot1.Get(s.Architecture.Space)
	if err != nil {
		t.Fatal(err)
	}
	genotype := space.Genotype(s.Architecture)
	for node, parents := range genotype.Parents {
		for _, parent := range parents {
			adjacency[parent][node] = 1
		}
	}
	var ops []string
	for _, op := range genotype.Ops {
		ops = append(ops, op.String())
	}
	if diff := cmp.Diff(recorded.Adjacency, adjacency) + cmp.Diff(recorded.Ops, ops); diff != "" {
		t.Errorf("%s: architecture (-want +got):\n%s", what, diff)
	}
	return s
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"enas_s1", "enas_s3"} {
		t.Run(name, func(t *testing.T) {
			m, array := golden(t, name)
			c := newController(t, m.Space, m.Hyper.Hidden)
			tensors := c.Tensors()
			if len(tensors) != len(m.Params) {
				t.Fatalf("%d tensors, want %d", len(tensors), len(m.Params))
			}
			for i, want := range m.Params {
				got := tensors[i]
				shape := []int{got.Rows, got.Cols}
				if len(want.Shape) == 1 {
					shape = shape[1:]
				}
				if got.Name != want.Name || got.Offset != want.Offset || !slices.Equal(shape, want.Shape) {
					t.Errorf("tensor %d is %v, want %v", i, got, want)
				}
			}

			set := func(file string) {
				t.Helper()
				if err := c.SetParameters(array(file)); err != nil {
					t.Fatal(err)
				}
			}
			set("controller_init")
			for i, recorded := range m.ChildCalls {
				checkCall(t, fmt.Sprint("child call ", i), c, recorded)
			}
			baseline := m.Hyper.Baseline
			for i, recorded := range m.ControllerCalls {
				if i > 0 {
					set(fmt.Sprintf("ctl%d_params", i-1))
				}
				s := checkCall(t, fmt.Sprint("controller call ", i), c, recorded)
				// The reward is what moved the recorded baseline.
				updated := m.Steps[i].Baseline
				reward := (updated - m.Hyper.Decay*baseline) / (1 - m.Hyper.Decay)
				baseline = updated
				got, err := c.Gradient(s, reward-baseline)
				if err != nil {
					t.Fatal(err)
				}
				want := array(fmt.Sprintf("ctl%d_grad", i))
				if len(got) != len(want) {
					t.Fatalf("gradient of %d entries, want %d", len(got), len(want))
				}
				largest := 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(v))
				}
				for j := range got {
					if !(math.Abs(got[j]-want[j]) <= 1e-12*largest) {
						t.Errorf("step %d: gradient[%d] is %.15g, want %.15g", i, j, got[j], want[j])
					}
				}
			}
		})
	}
}

// checkDifferences compares the gradient with differences of the host pass, at
// parameters and for a sample from r.
func checkDifferences(t rapid.TB, c *controller.Controller, r *rand.Rand, scale, spread float64) {
	at := make([]float64, len(c.Parameters()))
	direction := make([]float64, len(at))
	length := 0.0
	for i := range at {
		at[i] = spread * r.NormFloat64()
		direction[i] = r.NormFloat64()
		length += direction[i] * direction[i]
	}
	// Of length 1, as the directions of single entries are: what is left of the error of a
	// difference grows with the fifth power of the length.
	for i := range direction {
		direction[i] /= math.Sqrt(length)
	}
	set := func(values []float64) {
		if err := c.SetParameters(values); err != nil {
			t.Fatal(err)
		}
	}
	set(at)
	s, err := c.Sample(controller.Random(r))
	if err != nil {
		t.Fatal(err)
	}
	gradient, err := c.Gradient(s, scale)
	if err != nil {
		t.Fatal(err)
	}
	moved := slices.Clone(at)
	value := func(step float64, move func(i int) float64) float64 {
		for i := range at {
			moved[i] = at[i] + step*move(i)
		}
		set(moved)
		again, err := c.Sample(replay(s))
		if err != nil {
			t.Fatal(err)
		}
		return scale * again.NegLogProb
	}
	check := func(what string, want float64, move func(i int) float64) {
		const step = 1e-4
		difference := func(h float64) float64 { return (value(h, move) - value(-h, move)) / (2 * h) }
		// Richardson's extrapolation removes the error in step².
		got := (4*difference(step/2) - difference(step)) / 3
		if !(math.Abs(got-want) <= 1e-8*(1+math.Abs(want))) {
			t.Fatalf("%s: gradient %.12g, differences %.12g", what, want, got)
		}
	}
	product := 0.0
	for i, g := range gradient {
		product += g * direction[i]
	}
	check("random direction", product, func(i int) float64 { return direction[i] })
	for _, tensor := range c.Tensors() { // an entry of each
		entry := tensor.Offset + r.IntN(tensor.Rows*tensor.Cols)
		check(fmt.Sprintf("%s[%d]", tensor.Name, entry-tensor.Offset), gradient[entry], func(i int) float64 {
			if i == entry {
				return 1
			}
			return 0
		})
	}
}

func TestGradientAgainstDifferences(t *testing.T) {
	for _, space := range nb1shot1.All() {
		for _, hidden := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("space %s, width %d", space.Name(), hidden), func(t *testing.T) {
				c := newController(t, space.Name(), hidden)
				rapid.Check(t, func(t *rapid.T) {
					r := random.New(rapid.Uint64().Draw(t, "seed"), "test")
					checkDifferences(t, c, r, rapid.Float64Range(-3, 3).Draw(t, "scale"), rapid.Float64Range(0.1, 1).Draw(t, "spread"))
				})
			})
		}
		t.Run(fmt.Sprintf("space %s, released width", space.Name()), func(t *testing.T) {
			c := newController(t, space.Name(), 64)
			for seed := range uint64(5) {
				checkDifferences(t, c, random.New(seed, "test"), 1, 0.3)
			}
		})
	}
}

func TestInitialize(t *testing.T) {
	c := newController(t, "3", 64)
	var mean [3]float64
	const controllers = 20
	for seed := range uint64(controllers) {
		r := random.New(seed, "test")
		c.Initialize(r)
		low, high := math.Inf(1), math.Inf(-1)
		for _, tensor := range c.Tensors() {
			values := c.Parameters()[tensor.Offset:][:tensor.Rows*tensor.Cols]
			if tensor.Name == "b_soft" {
				if !slices.Equal(values, []float64{10, 10, 0}) {
					t.Errorf("b_soft is %v", values)
				}
				continue
			}
			low, high = min(low, slices.Min(values)), max(high, slices.Max(values))
		}
		if low < -0.1 || low > -0.099 || high > 0.1 || high < 0.099 {
			t.Errorf("parameters from %v to %v, want nearly ±0.1", low, high)
		}
		s, err := c.Sample(controller.Random(r))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range s.Decisions[1].Probabilities {
			mean[i] += p / controllers
		}
	}
	for i, want := range []float64{0.421, 0.421, 0.158} {
		if math.Abs(mean[i]-want) > 0.003 {
			t.Errorf("mean first probability of %v is %.4f, want about %v", nb1shot1.Operation(i), mean[i], want)
		}
	}
}

// Samples are architectures of the space, and their sums follow from the
// decisions.
func TestSample(t *testing.T) {
	for _, space := range nb1shot1.All() {
		t.Run(fmt.Sprint("space ", space.Name()), func(t *testing.T) {
			c := newController(t, space.Name(), 4)
			rapid.Check(t, func(t *rapid.T) {
				r := random.New(rapid.Uint64().Draw(t, "seed"), "test")
				spread := rapid.Float64Range(0, 10).Draw(t, "spread")
				values := c.Parameters()
				for i := range values {
					values[i] = spread * r.NormFloat64()
				}
				if err := c.SetParameters(values); err != nil {
					t.Fatal(err)
				}
				s, err := c.Sample(controller.Random(r))
				if err != nil {
					t.Fatal(err)
				}
				a := s.Architecture
				if err := a.Check(); err != nil || a.Space != space.Name() {
					t.Fatalf("architecture %v: %v", a, err)
				}
				genotype := space.Genotype(a)
				if len(s.Decisions) != 2*space.Blocks() {
					t.Fatalf("%d decisions", len(s.Decisions))
				}
				negLogProb, entropy := 0.0, 0.0
				for i, d := range s.Decisions {
					sum := 0.0
					for _, p := range d.Probabilities {
						sum += p
						entropy -= p * math.Log(p)
					}
					close(t, fmt.Sprint("sum of probabilities ", i), sum, 1, 1e-12)
					for _, chosen := range d.Chosen {
						negLogProb -= math.Log(d.Probabilities[chosen]) / float64(len(d.Chosen))
					}
					block := i/2 + 1
					if d.Kind == controller.Operation {
						if got := int(genotype.Ops[block-1]); !slices.Equal(d.Chosen, []int{got}) {
							t.Errorf("block %d has operation %d, decided %v", block, got, d.Chosen)
						}
					} else if got := genotype.Parents[block+1]; !slices.Equal(got, slices.Sorted(slices.Values(d.Chosen))) {
						t.Errorf("node %d has parents %v, decided %v", block+1, got, d.Chosen)
					}
				}
				close(t, "negative log-probability", s.NegLogProb, negLogProb, 1e-12)
				close(t, "entropy", s.Entropy, entropy, 1e-12)
				// The graph agrees, also where gates are saturated.
				if _, err := c.Gradient(s, 1); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Gorgonia rounds a gate of 19 and more to 1, which strong attention shows.
func TestSaturatedGates(t *testing.T) {
	c := newController(t, "3", 8)
	r := random.New(5, "test")
	values := c.Parameters()
	for _, tensor := range c.Tensors() {
		for i := range tensor.Rows * tensor.Cols {
			v := r.NormFloat64()
			switch {
			case tensor.Name == "lstm.bias_ih" && i >= 24: // output gates
				v = 19.2
			case strings.HasPrefix(tensor.Name, "lstm.weight"):
				v *= 0.1
			case strings.Contains(tensor.Name, "attn"):
				v *= 5
			}
			values[tensor.Offset+i] = v
		}
	}
	if err := c.SetParameters(values); err != nil {
		t.Fatal(err)
	}
	s, err := c.Sample(controller.Random(r))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Gradient(s, 1); err != nil {
		t.Error(err)
	}
}

// Equal seeds give equal samples and gradients to the last bit, whatever the
// controller did before.
func TestDeterminism(t *testing.T) {
	for _, space := range nb1shot1.All() {
		run := func(c *controller.Controller, seed uint64) (controller.Sample, []float64) {
			r := random.New(seed, "test")
			c.Initialize(r)
			s, err := c.Sample(controller.Random(r))
			if err != nil {
				t.Fatal(err)
			}
			gradient, err := c.Gradient(s, 0.7)
			if err != nil {
				t.Fatal(err)
			}
			return s, gradient
		}
		c := newController(t, space.Name(), 8)
		sample, gradient := run(c, 1)
		if other, _ := run(c, 2); cmp.Equal(sample, other) {
			t.Errorf("space %s: seeds 1 and 2 give the same sample", space.Name())
		}
		for _, again := range []*controller.Controller{c, newController(t, space.Name(), 8)} {
			s, g := run(again, 1)
			if diff := cmp.Diff(sample, s) + cmp.Diff(gradient, g); diff != "" {
				t.Errorf("space %s: a second run differs:\n%s", space.Name(), diff)
			}
		}
	}
}

// Random draws ordered pairs with the probabilities of successive draws.
func TestRandom(t *testing.T) {
	p := []float64{0.1, 0.2, 0.3, 0.4}
	const n = 200000
	draw := controller.Random(random.New(3, "test"))
	var counts [4][4]float64
	for range n {
		pair := draw(p, 2)
		counts[pair[0]][pair[1]]++
	}
	for i := range p {
		for j := range p {
			want := 0.0
			if i != j {
				want = p[i] * p[j] / (1 - p[i])
			}
			if deviation := math.Sqrt(want * (1 - want) / n); math.Abs(counts[i][j]/n-want) > 4*deviation {
				t.Errorf("pair %d, %d in %v of the draws, want %v ± %v", i, j, counts[i][j]/n, want, deviation)
			}
		}
	}
	if got := draw([]float64{0, 1, 0}, 2); !slices.Equal(got, []int{1}) {
		t.Errorf("drew %v where only index 1 is possible", got)
	}
	if !slices.Equal(p, []float64{0.1, 0.2, 0.3, 0.4}) {
		t.Errorf("Random changed the probabilities to %v", p)
	}
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: error %v, want one about %q", what, err, text)
	}
}

func TestErrors(t *testing.T) {
	space := nb1shot1.All()[0]
	for _, hidden := range []int{-1, 0, 1 << 40} {
		_, err := controller.New(controller.Config{Space: space, Hidden: hidden})
		wantError(t, fmt.Sprint("width ", hidden), err, "width")
	}
	_, err := controller.New(controller.Config{Hidden: 64})
	wantError(t, "no space", err, "search space")

	c := newController(t, "1", 4)
	c.Initialize(random.New(1, "test"))
	values := c.Parameters()
	wantError(t, "too few parameters", c.SetParameters(values[1:]), "parameters")
	for _, v := range []float64{math.NaN(), math.Inf(-1)} {
		bad := slices.Clone(values)
		bad[7] = v
		wantError(t, fmt.Sprint("parameter ", v), c.SetParameters(bad), "parameter 7")
	}
	if !slices.Equal(c.Parameters(), values) {
		t.Error("refused parameters were kept")
	}

	_, err = c.Sample(nil)
	wantError(t, "no draw", err, "Draw")
	for name, indices := range map[string][]int{"none": nil, "one": {0}, "repeated": {1, 1}, "beyond": {0, 2}, "negative": {-1, 0}} {
		_, err = c.Sample(func([]float64, int) []int { return indices })
		wantError(t, name, err, "decision 0")
	}

	draw := controller.Random(random.New(2, "test"))
	s, err := c.Sample(draw)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Gradient(s, math.NaN())
	wantError(t, "scale", err, "scale")
	for name, tt := range map[string]struct {
		change func(d []controller.Decision) []controller.Decision
		want   string
	}{
		"missing decision": {func(d []controller.Decision) []controller.Decision { return d[1:] }, "7 decisions"},
		"swapped":          {func(d []controller.Decision) []controller.Decision { d[2], d[3] = d[3], d[2]; return d }, "decisions 2 and 3"},
		"parents":          {func(d []controller.Decision) []controller.Decision { d[2].Chosen = []int{0, 3}; return d }, "decision 2"},
		"operation":        {func(d []controller.Decision) []controller.Decision { d[5].Chosen = []int{3}; return d }, "decision 5"},
		"other choice": {func(d []controller.Decision) []controller.Decision {
			d[7].Chosen = []int{(d[7].Chosen[0] + 1) % 3}
			return d
		}, "negative log-probability"},
	} {
		bad := s
		bad.Decisions = tt.change(slices.Clone(s.Decisions))
		_, err = c.Gradient(bad, 1)
		wantError(t, name, err, tt.want)
	}
	bad := s
	bad.Entropy += 1e-7
	_, err = c.Gradient(bad, 1)
	wantError(t, "entropy", err, "entropy")

	values[len(values)-1] += 10 // attention
	if err := c.SetParameters(values); err != nil {
		t.Fatal(err)
	}
	_, err = c.Gradient(s, 1)
	wantError(t, "sample of other parameters", err, "sampled at")

	for i := range values {
		values[i] = math.MaxFloat64 * float64(1-i%2*2)
	}
	if err := c.SetParameters(values); err != nil {
		t.Fatal(err)
	}
	_, err = c.Sample(draw)
	wantError(t, "huge parameters", err, "too large")
}

func BenchmarkSample(b *testing.B) {
	c := newController(b, "3", 64)
	r := random.New(1, "benchmark")
	c.Initialize(r)
	for b.Loop() {
		if _, err := c.Sample(controller.Random(r)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGradient(b *testing.B) {
	c := newController(b, "3", 64)
	r := random.New(1, "benchmark")
	c.Initialize(r)
	s, err := c.Sample(controller.Random(r))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Gradient(s, 1); err != nil {
			b.Fatal(err)
		}
	}
}
