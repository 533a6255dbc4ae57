package algorithmstest

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
)

const (
	epochs = 2
	cells  = 3
)

// Batches is fixed batches by queue. The two queues of the search part share
// theirs.
type Batches map[algorithms.Queue][]data.Batch

// Len implements algorithms.Batches.
func (b Batches) Len(q algorithms.Queue) int { return len(b.of(q)) }

// Batch implements algorithms.Batches; every epoch has the same batches.
func (b Batches) Batch(q algorithms.Queue, _, k int) data.Batch { return b.of(q)[k%b.Len(q)] }

func (b Batches) of(q algorithms.Queue) []data.Batch {
	if _, ok := b[q]; !ok && q == algorithms.Held {
		q = algorithms.Search
	}
	return b[q]
}

// Small returns settings with which an algorithm's epoch has a few steps only.
func Small(name string) algorithms.Settings {
	d, err := algorithms.Lookup(name)
	if err != nil {
		return nil
	}
	s := algorithms.Settings{}
	for _, o := range d.Options {
		switch o.Name {
		case "controller-hidden", "queries":
			s[o.Name] = 4
		case "candidates":
			s[o.Name] = 3
		case "controller-steps", "finalists", "candidate-batches", "sample", "population", "random-start":
			s[o.Name] = 2
		}
	}
	return s
}

// preferred is the operation of cells with a low error in the table of Config.
const preferred = "conv3x3-bn-relu"

// Config returns what [Conform] builds a searcher from. The table that it asks
// prefers cells with many 3×3 convolutions, the more so the longer they train.
func Config(name string, space *spaces.Space, seed uint64) algorithms.Config {
	cells := cells
	if space.Name() == rnn.Name { // whose network has one cell
		cells = 1
	}
	return algorithms.Config{
		Space: space, Cells: cells, Epochs: epochs + 1, Seed: seed, Settings: Small(name),
		Query: func(a spaces.Architecture, epochs int) (algorithms.Answer, error) {
			e, seconds := 1.0, 10*float64(epochs)
			for i, row := range space.Rows() {
				if row.Kind == spaces.OperationRow && row.Candidates[a.Kept[i][0]].Name == preferred {
					e -= 0.15 * float64(epochs) / algorithms.FullBudget
					seconds += float64(epochs)
				}
			}
			return algorithms.Answer{Error: e, Seconds: &seconds}, nil
		},
	}
}

// ConformOnEverySpace is Conform on an analytic supernet, a quadratic function of the
// mixing weights, over every space that the algorithm supports. A test of an algorithm
// calls it by its registered name; it takes seconds.
func ConformOnEverySpace(t *testing.T, name string) {
	batches := Batches{
		algorithms.Train:   {Batch(3), Batch(4), Batch(5)},
		algorithms.Search:  {Batch(7), Batch(1)},
		algorithms.TestSet: {Batch(2)},
	}
	definition, err := algorithms.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	supported := 0
	for _, space := range spaces.All() {
		if definition.CheckSpace(space) != nil {
			continue
		}
		supported++
		t.Run(fmt.Sprintf("space %s", space.Name()), func(t *testing.T) {
			net := func(v supernet.Variant) algorithms.Supernet {
				return NewQuadratic(supernet.Config{Space: space, Cells: Config(name, space, 1).Cells, Variant: v}.MixingLen(), 5)
			}
			Conform(t, name, space, net, batches)
		})
	}
	if supported == 0 {
		t.Errorf("%s supports no space", name)
	}
}

// Conform runs the suite on a registered algorithm with its default settings,
// but short epochs: steps are finite and reproducible, mixing weights are on the
// simplex, what is handed out is not shared, every architecture belongs to the
// space, and a saved state continues with the same numbers. newNet returns equal
// supernets of three cells, of a recurrent space of one, of the algorithm's variant, on every call.
func Conform(t *testing.T, name string, space *spaces.Space, newNet func(supernet.Variant) algorithms.Supernet, batches algorithms.Batches) {
	definition, err := algorithms.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	variant, err := definition.Variant(Small(name))
	if err != nil {
		t.Fatal(err)
	}
	net := func() algorithms.Supernet {
		if definition.TableOnly {
			return nil
		}
		return newNet(variant)
	}
	start := func(seed uint64) algorithms.Searcher {
		t.Helper()
		s, err := algorithms.New(name, Config(name, space, seed))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// point is where a search stands after a step.
	type point struct {
		Info         algorithms.StepInfo
		Rows         []spaces.Row // of the space that the searcher learns, as it is now
		Alphas       []float64
		Validation   []float64 // mixing weights
		Architecture spaces.Architecture
	}
	step := func(s algorithms.Searcher, net algorithms.Supernet) point {
		t.Helper()
		info, err := s.Step(t.Context(), net, batches)
		if err != nil {
			t.Fatal(err)
		}
		// The next pass of the same kind reuses the logits.
		info.Architecture.Logits, info.Weights.Logits = slices.Clone(info.Architecture.Logits), slices.Clone(info.Weights.Logits)
		p := point{Rows: space.Rows(), Info: info, Architecture: s.Architecture()}
		if r, ok := s.(algorithms.Relaxed); ok {
			p.Rows, p.Alphas, p.Validation = r.Space().Rows(), r.Alphas(), r.Mixing(algorithms.ForValidation, 0).Weights
		}
		return p
	}
	steps := start(1).Steps(batches)
	if steps < 1 {
		t.Fatalf("%d steps in an epoch", steps)
	}
	record := func(seed uint64) []point {
		var all []point
		s, n := start(seed), net()
		for e := range epochs {
			s.StartEpoch(e)
			for range steps {
				all = append(all, step(s, n))
			}
		}
		return all
	}
	want := record(1)

	t.Run("finite", func(t *testing.T) {
		trained := 0
		for i, p := range want {
			info := p.Info
			scalars := []float64{info.Architecture.Loss, info.Weights.Loss, info.GradientNorm, info.LearningRate, info.Epsilon}
			for field, v := range map[string][]float64{"scalars": scalars, "ArchGradient": info.ArchGradient, "Alphas": p.Alphas} {
				if j := slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }); j >= 0 {
					t.Errorf("step %d: %s[%d] = %v", i, field, j, v[j])
				}
			}
			if info.Trained == 0 {
				continue
			}
			trained++
			if info.LearningRate <= 0 || info.GradientNorm <= 0 {
				t.Errorf("step %d: learning rate %v, gradient norm %v, want both positive", i, info.LearningRate, info.GradientNorm)
			}
		}
		if trained == 0 && !definition.TableOnly {
			t.Error("no step trained the weights")
		}
	})
	t.Run("weights", func(t *testing.T) {
		_, relaxed := start(1).(algorithms.Relaxed)
		for i, p := range want {
			for field, v := range map[string][]float64{"Simplex": p.Info.Simplex, "Mixing": p.Info.Mixing, "Validation": p.Validation} {
				checkWeights(t, p.Rows, i, field, v, relaxed)
			}
			if p.Architecture.Space != space.Name() {
				t.Errorf("step %d: an architecture of space %s", i, p.Architecture.Space)
			}
			if err := p.Architecture.Check(); err != nil {
				t.Errorf("step %d: %v", i, err)
			}
		}
	})
	t.Run("deterministic", func(t *testing.T) {
		if diff := difference(want, record(1)); diff != "" {
			t.Errorf("two runs of one seed differ:\n%s", diff)
		}
		if reflect.DeepEqual(want, record(2)) {
			t.Error("two seeds gave the same search")
		}
	})
	t.Run("not shared", func(t *testing.T) {
		s, n := start(1), net()
		s.StartEpoch(0)
		p := step(s, n)
		handed := [][]float64{p.Info.ArchGradient, p.Info.Simplex, p.Info.Mixing, p.Alphas, p.Validation}
		for _, v := range handed {
			for i := range v {
				v[i] = 7
			}
		}
		if diff := difference(want[1], step(s, n)); diff != "" {
			t.Errorf("writing to returned vectors changed the search:\n%s", diff)
		}
	})
	t.Run("state", func(t *testing.T) {
		for cut := range epochs * steps {
			var got []point
			s, n := start(1), net()
			for i := range epochs * steps {
				if i%steps == 0 {
					s.StartEpoch(i / steps)
				}
				if i == cut {
					saved, err := s.State()
					if err != nil {
						t.Fatal(err)
					}
					s = start(1)
					if err := s.SetState(saved); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, step(s, n))
			}
			if diff := difference(want, got); diff != "" {
				t.Fatalf("restored before step %d, the run differs:\n%s", cut, diff)
			}
		}
	})
	t.Run("foreign state", func(t *testing.T) {
		s := start(1)
		before, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []string{"", "{}", "null", "[1,2]", `{"algorithm":"` + name + `","epoch":-1}`, `{"algorithm":"x` + name + `"}`} {
			if err := s.SetState([]byte(b)); err == nil {
				t.Errorf("state %q was accepted", b)
			}
		}
		if after, err := s.State(); err != nil || string(after) != string(before) {
			t.Errorf("a refused state changed the search: %s, %v", after, err)
		}
	})
}

// difference is cmp.Diff, which takes longer than a search to find nothing.
func difference(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

// checkWeights holds mixing weights to [0,1], and their rows to the sum 1 where
// the search is relaxed.
func checkWeights(t *testing.T, rows []spaces.Row, step int, field string, v []float64, relaxed bool) {
	t.Helper()
	d := rows[len(rows)-1].End()
	if len(v)%d != 0 {
		t.Errorf("step %d: %s has %d entries, want a multiple of %d", step, field, len(v), d)
		return
	}
	for from := 0; from < len(v); from += d {
		for i, row := range rows {
			sum := 0.0
			for _, x := range v[from+row.Offset : from+row.End()] {
				if !(x >= 0 && x <= 1) {
					t.Errorf("step %d: row %d of %s has the entry %v", step, i, field, x)
				}
				sum += x
			}
			if relaxed && math.Abs(sum-1) > 1e-12 {
				t.Errorf("step %d: row %d of %s sums to %v", step, i, field, sum)
			}
		}
	}
}
