package recurrent

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

const (
	training   = supernet.BatchStatistics
	evaluation = supernet.RunningStatistics
)

var search = Config{Words: 11, Hidden: 5, BatchNormMomentum: 0.1}

func genotype(t testing.TB, line string) Config {
	t.Helper()
	g, err := rnn.ParseGenotype(line)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Words: 11, Hidden: 5, Genotype: &g}
}

func normals(purpose string, n int, deviation float64) []float64 {
	r, v := random.New(1, purpose), make([]float64, n)
	for i := range v {
		v[i] = deviation * r.NormFloat64()
	}
	return v
}

func newModel(t testing.TB, c Config, e engine.Engine) *Model {
	t.Helper()
	m, err := New(c, e)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteParameters(normals("weights", m.ParameterCount(), 0.5))
	return m
}

// window is one of some rows of 4 sequences with distinct first words, which batch norm needs.
func window(c Config, rows int) Window {
	r := random.New(2, "window")
	w := Window{Batch: 4, Hidden: normals("hidden", 4*c.Hidden, 0.3)}
	for i := range rows * w.Batch {
		w.Inputs, w.Targets = append(w.Inputs, int32(r.IntN(c.Words))), append(w.Targets, int32(r.IntN(c.Words)))
		if i < w.Batch {
			w.Inputs[i] = int32(i)
		}
	}
	return w
}

func mixing() []float64 {
	v := normals("mixing", rnn.Dim, 1)
	for i := range v {
		v[i] = math.Abs(v[i]) / 5
	}
	return v
}

func gradient(m *Model) []float64 {
	g := make([]float64, m.ParameterCount())
	m.ReadGradient(g)
	return g
}

func parameters(m *Model) []float64 {
	w := make([]float64, m.ParameterCount())
	m.ReadParameters(w)
	return w
}

// The gradients of the whole loss are those that differences give, of the search network and
// of a cell, where every word learns.
func TestGradients(t *testing.T) {
	r := Regularisers{Activation: 0.7, Temporal: 0.4}
	for name, c := range map[string]Config{"search": search, "cell": genotype(t, "tanh:0 sigmoid:1 identity:1 tanh:0 [2 3]")} {
		c.AllWordsLearn = true
		m := newModel(t, c, ref.New[float64](2))
		w := window(c, 3)
		w.Masks = &Masks{Words: slices.Repeat([]float64{1.25}, c.Words), H: slices.Repeat([]float64{0, 1.5, 1.5, 1.5, 1.5}, 4), Output: slices.Repeat([]float64{2, 0.5}, 10)}
		var mix []float64
		if c.Genotype == nil {
			mix = mixing()
		}
		total := func() float64 {
			pass, _, err := m.Inspect(w, mix, training, r)
			if err != nil {
				t.Fatal(err)
			}
			return pass.Total
		}
		if _, err := m.WeightGradient(w, mix, training, r); err != nil {
			t.Fatal(err)
		}
		check := func(what string, v, got []float64, set func()) {
			const h = 1e-5
			for i := 0; i < len(v); i += 7 {
				centre := v[i]
				v[i] = centre + h
				set()
				up := total()
				v[i] = centre - h
				set()
				down := total()
				v[i] = centre
				set()
				if want := (up - down) / (2 * h); math.Abs(got[i]-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("%s: %s %d is %.9g, differences give %.9g", name, what, i, got[i], want)
				}
			}
		}
		weights, of := parameters(m), gradient(m)
		check("gradient of weight", weights, of, func() { m.WriteParameters(weights) })
		unused := slices.IndexFunc(m.Parameters(), func(p supernet.Tensor) bool { return p.Name == nameNode(4) })
		if p := m.Parameters()[unused]; c.Genotype != nil && slices.ContainsFunc(of[p.Offset:p.Offset+p.Size], func(v float64) bool { return v != 0 }) {
			t.Error("a node that leads nowhere has a gradient")
		}
		if mix == nil {
			continue
		}
		grad := make([]float64, rnn.Dim)
		if _, err := m.MixingGradient(w, mix, training, r, grad); err != nil {
			t.Fatal(err)
		}
		check("gradient of mixing weight", mix, grad, func() {})
		for row := range rnn.Edges {
			if grad[5*row] != 0 {
				t.Errorf("none has the gradient %v", grad[5*row])
			}
		}
	}
}

// The products are those that differences of gradients give, and leave the running statistics.
func TestHessianProducts(t *testing.T) {
	m, w, mix := newModel(t, search, ref.New[float64](2)), window(search, 2), mixing()
	direction := normals("direction", rnn.Dim, 1)
	before := make([]float64, m.StatisticsCount())
	m.ReadStatistics(before)
	pass, grad, products, err := m.HessianProducts(context.Background(), w, mix, training, [][]float64{make([]float64, rnn.Dim), direction})
	if err != nil {
		t.Fatal(err)
	}
	after := make([]float64, len(before))
	if m.ReadStatistics(after); !slices.Equal(before, after) {
		t.Error("the running statistics have moved")
	}
	at := func(h float64) (float64, []float64) {
		moved, g := slices.Clone(mix), make([]float64, rnn.Dim)
		for i := range moved {
			moved[i] += h * direction[i]
		}
		pass, err := m.MixingGradient(w, moved, training, Regularisers{}, g)
		if err != nil {
			t.Fatal(err)
		}
		return pass.Loss, g
	}
	const h = 1e-5
	loss, same := at(0)
	_, up := at(h)
	_, down := at(-h)
	if loss != pass.Loss || !slices.Equal(same, grad) {
		t.Errorf("loss %v and %v, or gradients differ", loss, pass.Loss)
	}
	for i := range direction {
		if want := (up[i] - down[i]) / (2 * h); math.Abs(products[1][i]-want) > 1e-6*(1+math.Abs(want)) || products[0][i] != 0 {
			t.Errorf("entry %d is %v and %v, want 0 and %v", i, products[0][i], products[1][i], want)
		}
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, _, err := m.HessianProducts(done, w, mix, training, [][]float64{direction}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, _, err := m.HessianProducts(context.Background(), w, mix, training, [][]float64{{1}}); err == nil {
		t.Error("a direction of one entry is no error")
	}
}

// A window and the next one, whose hidden state it hands on, are the same as both at once, and
// so are bits for any number of threads. Programs of several lengths share the model.
func TestHiddenState(t *testing.T) {
	c := genotype(t, "tanh:0 relu:1 sigmoid:0")
	for _, threads := range []int{1, 3} {
		m, whole := newModel(t, c, ref.New[float64](threads)), window(c, 5)
		want, err := m.Forward(whole, nil, evaluation)
		if err != nil {
			t.Fatal(err)
		}
		part, loss := whole, 0.0
		for _, rows := range []int{2, 3} {
			n := rows * whole.Batch
			part.Inputs, part.Targets = whole.Inputs[:n], whole.Targets[:n]
			whole.Inputs, whole.Targets = whole.Inputs[n:], whole.Targets[n:]
			pass, err := m.Forward(part, nil, evaluation)
			if err != nil {
				t.Fatal(err)
			}
			loss += float64(rows) * pass.Loss / 5
			part.Hidden = pass.Hidden
		}
		if math.Abs(loss-want.Loss) > 1e-12 || !slices.Equal(part.Hidden, want.Hidden) {
			t.Errorf("%d threads: in parts loss %v, hidden %v, at once %v, %v", threads, loss, part.Hidden, want.Loss, want.Hidden)
		}
	}
	one, three := newModel(t, search, ref.New[float64](1)), newModel(t, search, ref.New[float64](3))
	for _, m := range []*Model{one, three} {
		if _, err := m.WeightGradient(window(search, 4), mixing(), training, Regularisers{Temporal: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(gradient(one), gradient(three)) {
		t.Error("three threads give other gradients than one")
	}
}

// The last word learns nothing from being read unless all words do (quirk R7): the gradient of
// its vector is then that of the decoder alone.
func TestLastWord(t *testing.T) {
	gradientOf := func(all bool, word int32) []float64 {
		c := genotype(t, "tanh:0")
		c.AllWordsLearn = all
		m, w := newModel(t, c, ref.New[float64](1)), window(c, 2)
		w.Inputs[1] = word
		if _, err := m.WeightGradient(w, nil, training, Regularisers{}); err != nil {
			t.Fatal(err)
		}
		return gradient(m)[:c.Words*c.Hidden]
	}
	last := func(g []float64) []float64 { return g[len(g)-5:] }
	if slices.Equal(last(gradientOf(true, 10)), last(gradientOf(false, 10))) {
		t.Error("the last word learns either way")
	}
	if !slices.Equal(gradientOf(true, 9), gradientOf(false, 9)) {
		t.Error("another word learns in two ways")
	}
}

func TestClipAndDescend(t *testing.T) {
	m := newModel(t, genotype(t, "relu:0"), ref.New[float64](1))
	if _, err := m.WeightGradient(window(search, 2), nil, training, Regularisers{}); err != nil {
		t.Fatal(err)
	}
	w, g := parameters(m), gradient(m)
	norm, err := m.ClipGradient(0.1)
	if err != nil {
		t.Fatal(err)
	}
	m.Descend(2, 0.05)
	for i, v := range parameters(m) {
		clipped := g[i] * 0.1 / (norm + 1e-6)
		if want := w[i] - 2*(clipped+0.05*w[i]); math.Abs(v-want) > 1e-13 {
			t.Fatalf("weight %d is %v, want %v", i, v, want)
		}
	}
	broken := gradient(m)
	broken[3] = math.Inf(1)
	m.gradient.Write(broken)
	if _, err := m.ClipGradient(0.1); err == nil || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("an infinite gradient: %v", err)
	}
}

func TestErrors(t *testing.T) {
	for want, c := range map[string]Config{
		"a vocabulary of 1 words":  {Words: 1, Hidden: 2, BatchNormMomentum: 0.1},
		"0 hidden units":           {Words: 2, BatchNormMomentum: 0.1},
		"batch norm with momentum": {Words: 2, Hidden: 2},
	} {
		if _, err := New(c, ref.New[float64](1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	m, cell := newModel(t, search, ref.New[float64](1)), newModel(t, genotype(t, "relu:0"), ref.New[float64](1))
	for want, change := range map[string]func(w *Window, mix *[]float64){
		"a window of 7 words":                  func(w *Window, _ *[]float64) { w.Inputs = w.Inputs[:7] },
		"0 words to read":                      func(w *Window, _ *[]float64) { w.Inputs, w.Targets = nil, nil },
		"in 0 sequences":                       func(w *Window, _ *[]float64) { w.Batch = 0 },
		"19 numbers of hidden states":          func(w *Window, _ *[]float64) { w.Hidden = w.Hidden[:19] },
		"3 mixing weights, want 180":           func(_ *Window, mix *[]float64) { *mix = (*mix)[:3] },
		"word number 11, the vocabulary has":   func(w *Window, _ *[]float64) { w.Targets[2] = 11 },
		"word number -1, the vocabulary has":   func(w *Window, _ *[]float64) { w.Inputs[2] = -1 },
		"a mask of 3 numbers, want 20":         func(w *Window, _ *[]float64) { w.Masks = &Masks{X: make([]float64, 3)} },
		"a mask of 3 words, want 11":           func(w *Window, _ *[]float64) { w.Masks = &Masks{Words: make([]float64, 3)} },
		"1 sequences is too small for batch n": func(w *Window, _ *[]float64) { w.Batch, w.Hidden = 1, w.Hidden[:5] },
	} {
		w, mix := window(search, 2), mixing()
		change(&w, &mix)
		if _, err := m.Forward(w, mix, training); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := cell.MixingGradient(window(search, 2), nil, training, Regularisers{}, nil); err == nil || !strings.Contains(err.Error(), "no mixing weights") {
		t.Errorf("mixing weights of a cell: %v", err)
	}
}

// The fast engine computes what the reference engine does, with the same bits for any number of
// threads, also where products are larger than its tiles.
func TestCPU(t *testing.T) {
	c := Config{Words: 333, Hidden: 70, BatchNormMomentum: 0.1}
	gradientOn := func(e engine.Engine) []float64 {
		m, w := newModel(t, c, e), window(c, 3)
		m.WriteParameters(normals("weights", m.ParameterCount(), 0.1))
		if _, err := m.WeightGradient(w, mixing(), training, Regularisers{Temporal: 1}); err != nil {
			t.Fatal(err)
		}
		return gradient(m)
	}
	want := gradientOn(ref.New[float64](2))
	for _, set := range cpu.InstructionSets() {
		var first []float64
		for _, threads := range []int{1, 3} {
			e, err := cpu.New(threads, set)
			if err != nil {
				t.Fatal(err)
			}
			got := gradientOn(e)
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) {
				t.Errorf("%s: %d threads give other bits than one", set, threads)
			}
		}
		scale, off := 0.0, 0.0
		for i, v := range want {
			scale, off = max(scale, math.Abs(v)), max(off, math.Abs(first[i]-v))
		}
		if off > 2e-5*scale {
			t.Errorf("%s: the gradient is off by %.3g of its largest entry", set, off/scale)
		}
	}
}

func TestLengths(t *testing.T) {
	for _, c := range []struct {
		u, z          float64
		search, train int
	}{
		{0, 0, 35, 35}, {0.94999, 1, 35, 40}, {0.95, 0, 17, 17}, {0.99, -1, 17, 12}, {0.5, -40, 35, 5}, {0.5, 5.9, 35, 55}, {0.5, -0.19, 35, 34},
	} {
		if got := SearchLength(35, c.u); got != c.search {
			t.Errorf("u %v: a search takes %d rows, want %d", c.u, got, c.search)
		}
		if got := TrainingLength(35, 20, c.u, func(mean float64) float64 { return mean + 5*c.z }); got != c.train {
			t.Errorf("u %v, z %v: a training takes %d rows, want %d", c.u, c.z, got, c.train)
		}
	}
}

// An evaluation in windows is that of the whole text at once; its loss is over all rows.
func TestEvaluate(t *testing.T) {
	c := genotype(t, "tanh:0 relu:1 sigmoid:0")
	m := newModel(t, c, ref.New[float64](1))
	r := random.New(3, "text")
	var sequence []int32
	for range 3*11 + 2 { // the last two are left over
		sequence = append(sequence, int32(r.IntN(c.Words)))
	}
	columns, err := text.NewColumns(sequence, 3)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := m.Evaluate(columns, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := m.Evaluate(columns, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(parts.Lengths, []int{4, 4, 2}) || !slices.Equal(whole.Lengths, []int{10}) {
		t.Errorf("windows of %v and %v rows", parts.Lengths, whole.Lengths)
	}
	if math.Abs(parts.Loss-whole.Loss) > 1e-12 || math.Abs(whole.Exact-whole.Losses[0]) > 1e-12 || math.Abs(whole.Loss-whole.Losses[0]*10/11) > 1e-12 || !slices.Equal(parts.Hidden, whole.Hidden) {
		t.Errorf("in windows %+v, at once %+v", parts, whole)
	}
	if _, err := m.Evaluate(columns, 0, nil); err == nil {
		t.Error("windows without rows are no error")
	}
}

// The average is that of the weights from the second step on, and a step has the rate of the
// one before, or its own.
func TestAverage(t *testing.T) {
	for _, present := range []bool{false, true} {
		testAverage(t, present)
	}
}

func testAverage(t *testing.T, present bool) {
	m := newModel(t, genotype(t, "tanh:0"), ref.New[float64](1))
	a, n := m.NewAverage(), m.ParameterCount()
	a.Present = present
	sum, before := make([]float64, n), parameters(m)
	rates := []float64{1, 0.5, 0.25, 2}
	for k, rate := range rates {
		if _, err := m.WeightGradient(window(search, 2), nil, training, Regularisers{}); err != nil {
			t.Fatal(err)
		}
		g := gradient(m)
		a.Step(rate, 0.01)
		w, used := parameters(m), rates[max(k-1, 0)]
		if present {
			used = rate
		}
		average := make([]float64, n)
		a.Read(average)
		for i := range w {
			if want := before[i] - used*(g[i]+0.01*before[i]); math.Abs(w[i]-want) > 1e-13 {
				t.Fatalf("step %d: weight %d is %v, want %v", k+1, i, w[i], want)
			}
			want := w[i]
			if k > 0 {
				sum[i] += w[i]
				want = sum[i] / float64(k)
			}
			if math.Abs(average[i]-want) > 1e-13 {
				t.Fatalf("step %d: average %d is %v, want %v", k+1, i, average[i], want)
			}
		}
		if next, weight := a.Next(); next != rate || weight != 1/float64(k+1) {
			t.Errorf("after step %d the next rate is %v and weight %v", k+1, next, weight)
		}
		before = w
	}
}

// With running statistics of each state, a state moves its own alone and is normalised by them.
func TestNormEachState(t *testing.T) {
	c := search
	c.NormEachState = true
	m := newModel(t, c, ref.New[float64](1))
	w := window(c, 3)
	_, inspected, err := m.Inspect(w, mixing(), training, Regularisers{})
	if err != nil {
		t.Fatal(err)
	}
	const states, batch = rnn.Nodes + 1, 4
	h := c.Hidden
	want := slices.Repeat(slices.Concat(make([]float64, h), slices.Repeat([]float64{1}, h)), states)
	for call := range 3 * states {
		values := inspected.Before[call*batch*h:][:batch*h]
		at := want[call%states*2*h:]
		for i := range h {
			mean, variance := 0.0, 0.0
			for b := range batch {
				mean += values[b*h+i] / batch
			}
			for b := range batch {
				variance += (values[b*h+i] - mean) * (values[b*h+i] - mean) / (batch - 1)
			}
			at[i] += 0.1 * (mean - at[i])
			at[h+i] += 0.1 * (variance - at[h+i])
		}
	}
	got := make([]float64, m.StatisticsCount())
	m.ReadStatistics(got)
	if len(got) != len(want) {
		t.Fatalf("%d running statistics, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Fatalf("running statistic %d is %v, want %v", i, got[i], want[i])
		}
	}
	_, inspected, err = m.Inspect(w, mixing(), evaluation, Regularisers{})
	if err != nil {
		t.Fatal(err)
	}
	for k, before := range inspected.Before {
		i, at := k%h, got[k/(batch*h)%states*2*h:]
		if y := (before - at[i]) / math.Sqrt(at[h+i]+1e-5); math.Abs(inspected.After[k]-y) > 1e-12 {
			t.Fatalf("value %d is normalised to %v, want %v", k, inspected.After[k], y)
		}
	}
}

// SGD ends where a loss is above one that lies more than the patience back, and not before; the
// best epochs count over both.
func TestTrigger(t *testing.T) {
	tr := Trigger{Patience: 2}
	for k, c := range []struct {
		loss      float64
		best      bool
		averaging bool // afterwards
	}{
		{5, true, false}, {4, true, false}, {6, false, false}, {4.5, false, false}, {4.2, false, true}, {3, true, true}, {3, false, true},
	} {
		if best := tr.Epoch(c.loss); best != c.best || tr.Averaging() != c.averaging {
			t.Errorf("epoch %d: best %v, then averaging %v, want %v, %v", k+1, best, tr.Averaging(), c.best, c.averaging)
		}
	}
}
