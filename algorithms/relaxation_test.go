package algorithms_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

const (
	trainLabel  = 3
	searchLabel = 8
)

func oneStep(t *testing.T, s algorithms.Searcher, net algorithms.Supernet) algorithms.StepInfo {
	t.Helper()
	info, err := s.Step(t.Context(), net, twoBatches(trainLabel, searchLabel))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// The passes of one step in their order, with batch and statistics of each.
func TestOrderOfPasses(t *testing.T) {
	type pass struct {
		Method string
		Label  int
		BN     supernet.BatchNorm
	}
	const batch, running = supernet.BatchStatistics, supernet.RunningStatistics
	architecture := pass{"MixingGradient", searchLabel, batch}
	weights := []pass{{"WeightGradient", trainLabel, batch}, {Method: "StepWeights"}}
	attack := func(steps int, bn supernet.BatchNorm) []pass {
		return slices.Concat(
			[]pass{{"Forward", trainLabel, bn}},
			slices.Repeat([]pass{{"MixingGradient", trainLabel, bn}}, steps),
			[]pass{{"Forward", trainLabel, bn}})
	}
	for _, tt := range []struct {
		name      string
		algorithm string
		settings  algorithms.Settings
		want      []pass
	}{
		{"darts", "darts", nil, slices.Concat([]pass{architecture}, weights)},
		{"warm start", "darts", algorithms.Settings{"warm-start-epochs": 1}, weights},
		{"sdarts-rs", "sdarts-rs", nil, slices.Concat([]pass{architecture}, weights)},
		{"sdarts-adv", "sdarts-adv", nil, slices.Concat([]pass{architecture}, attack(7, running), weights)},
		{"sdarts-adv, one step on batch statistics", "sdarts-adv", algorithms.Settings{"pgd-steps": 1, "pgd-batch-statistics": 1},
			slices.Concat([]pass{architecture}, attack(1, batch), weights)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sp := space(t, 3)
			net := algorithmstest.NewQuadratic(sp.Dim(), 2)
			s := searcher(t, tt.algorithm, algorithms.Config{Space: sp, Settings: tt.settings})
			oneStep(t, s, net)
			var got []pass
			for _, c := range net.Calls {
				got = append(got, pass{c.Method, c.Label, c.BatchNorm})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The numbers of a DARTS step: which alphas each pass sees, and the optimisers'
// settings.
func TestDARTSStep(t *testing.T) {
	sp := space(t, 1)
	net := algorithmstest.NewQuadratic(sp.Dim(), 3)
	s := searcher(t, "darts", algorithms.Config{Space: sp, Seed: 4})
	before := s.Alphas()
	info := oneStep(t, s, net)
	after := s.Alphas()

	simplex := func(a []float64) []float64 {
		v := make([]float64, len(a))
		sp.Softmax(v, a)
		return v
	}
	if diff := cmp.Diff(simplex(before), net.Calls[0].Mixing); diff != "" {
		t.Errorf("architecture step did not mix by the old alphas:\n%s", diff)
	}
	if diff := cmp.Diff(simplex(after), net.Calls[1].Mixing); diff != "" {
		t.Errorf("weight step did not mix by the new alphas:\n%s", diff)
	}
	if !slices.Equal(info.Mixing, net.Calls[1].Mixing) || !slices.Equal(info.Simplex, info.Mixing) {
		t.Error("reported mixing is not the one used")
	}
	for i, g := range info.ArchGradient {
		if g += 1e-3 * before[i]; math.Abs(after[i]-(before[i]-3e-4*math.Copysign(1, g))) > 1e-8 {
			t.Errorf("alpha %d moved from %v to %v on gradient %v", i, before[i], after[i], g)
		}
	}
	want := supernet.SGD{LearningRate: info.LearningRate, Momentum: 0.9, WeightDecay: 3e-4, Clip: 5}
	if diff := cmp.Diff(want, net.Calls[2].SGD); diff != "" {
		t.Error(diff)
	}
}

func TestInitialAlphas(t *testing.T) {
	sp := space(t, 3)
	sumSquares, n := 0.0, 0
	for seed := range uint64(200) {
		for _, a := range searcher(t, "darts", algorithms.Config{Space: sp, Seed: seed}).Alphas() {
			sumSquares += a * a
			n++
		}
	}
	if sd := math.Sqrt(sumSquares / float64(n)); math.Abs(sd-1e-3) > 5e-5 {
		t.Errorf("standard deviation of the initial alphas is %v, want 0.001", sd)
	}
}

func TestWarmStart(t *testing.T) {
	sp := space(t, 2)
	net := algorithmstest.NewQuadratic(sp.Dim(), 3)
	s := searcher(t, "sdarts-rs", algorithms.Config{Space: sp, Settings: algorithms.Settings{"warm-start-epochs": 2}})
	initial := s.Alphas()
	for epoch := range 3 {
		s.StartEpoch(epoch)
		info := oneStep(t, s, net)
		if warm := epoch < 2; slices.Equal(s.Alphas(), initial) != warm || (info.ArchGradient == nil) != warm {
			t.Errorf("epoch %d: alphas moved or gradient reported wrongly", epoch)
		}
	}
}

// With quirk Q22 a warm start's gradients add up, clipped ones at that, and no
// longer than the warm start; a saved state keeps the sum.
func TestAccumulate(t *testing.T) {
	sp := space(t, 2)
	for _, accumulate := range []float64{0, 1} {
		net := algorithmstest.NewQuadratic(sp.Dim(), 3)
		cfg := algorithms.Config{Space: sp, Settings: algorithms.Settings{"warm-start-epochs": 1, "accumulate": accumulate, "clip": 0.5}}
		s := searcher(t, "darts", cfg)
		var before []float64
		for k := range 5 {
			if k == 3 {
				s.StartEpoch(1)
			}
			saved, err := s.State()
			if err != nil {
				t.Fatal(err)
			}
			s = searcher(t, "darts", cfg)
			if err := s.SetState(saved); err != nil {
				t.Fatal(err)
			}
			weights := slices.Clone(net.Weights)
			info := oneStep(t, s, net)
			// The gradient of the quadratic is its residual, at the weights before.
			fresh := algorithmstest.NewQuadratic(sp.Dim(), 3)
			fresh.Weights = weights
			if _, err := fresh.WeightGradient(algorithmstest.Batch(trainLabel), info.Mixing, supernet.BatchStatistics); err != nil {
				t.Fatal(err)
			}
			want := make([]float64, len(weights))
			fresh.ReadGradient(want)
			if accumulate == 1 && k > 0 && k < 3 {
				for i := range want {
					want[i] += before[i]
				}
			}
			norm := 0.0
			for _, g := range want {
				norm = math.Hypot(norm, g)
			}
			if math.Abs(info.GradientNorm-norm) > 1e-12 {
				t.Errorf("accumulate %v, step %d: gradient norm %v, want %v", accumulate, k, info.GradientNorm, norm)
			}
			before = make([]float64, len(weights))
			net.ReadGradient(before)
		}
	}
}

func TestRandomSmoothing(t *testing.T) {
	sp := space(t, 2)
	for _, tt := range []struct {
		name     string
		settings algorithms.Settings
		clipped  bool
	}{
		{"simplex", nil, true},
		{"box alone", algorithms.Settings{"simplex": 0}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			delta := make([]float64, sp.Dim())
			for i := range delta {
				delta[i] = 0.03 * math.Pow(-1, float64(i))
			}
			delta[0], delta[1], delta[2] = -0.9, 0.5, 0.03
			s := searcher(t, "sdarts-rs", algorithms.Config{Space: sp, Settings: tt.settings,
				Noise: func(dst []float64) { copy(dst, delta) }})
			info := oneStep(t, s, algorithmstest.NewQuadratic(sp.Dim(), 3))
			want := slices.Clone(info.Simplex)
			for i, d := range delta {
				want[i] += d
			}
			if tt.clipped {
				for _, row := range sp.Rows() {
					algorithms.ClipRow(want[row.Offset:row.End()])
				}
			}
			if diff := cmp.Diff(want, info.Mixing); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Draws fill [-ε, ε] and are fresh in every step and epoch.
func TestDraws(t *testing.T) {
	sp := space(t, 3)
	net := algorithmstest.NewQuadratic(sp.Dim(), 3)
	s := searcher(t, "sdarts-rs", algorithms.Config{Space: sp,
		Settings: algorithms.Settings{"simplex": 0, "epsilon-min": 0.25, "epsilon-max": 0.25, "warm-start-epochs": 400}})
	lo, hi := 0.0, 0.0
	seen := map[float64]bool{}
	for i := range 100 {
		s.StartEpoch(i / 10)
		for range 2 {
			info := oneStep(t, s, net)
			for k, v := range info.Mixing {
				lo, hi = min(lo, v-info.Simplex[k]), max(hi, v-info.Simplex[k])
			}
			seen[info.Mixing[0]-info.Simplex[0]] = true
		}
	}
	if lo < -0.25-1e-15 || lo > -0.249 || hi > 0.25+1e-15 || hi < 0.249 {
		t.Errorf("draws fill [%v, %v], want [-0.25, 0.25]", lo, hi)
	}
	if len(seen) != 20 {
		t.Errorf("%d different draws in 10 epochs of 2 steps, each begun 10 times", len(seen))
	}
}

func TestDiverged(t *testing.T) {
	sp := space(t, 1)
	for _, tt := range []struct {
		name     string
		settings algorithms.Settings
	}{
		{"architecture step", nil},
		{"weight step", algorithms.Settings{"warm-start-epochs": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			net := algorithmstest.NewQuadratic(sp.Dim(), 3)
			net.Weights[0] = math.Inf(1)
			s := searcher(t, "darts", algorithms.Config{Space: sp, Settings: tt.settings})
			if _, err := s.Step(t.Context(), net, twoBatches(1, 2)); !errors.Is(err, algorithms.ErrDiverged) {
				t.Errorf("got error %v", err)
			}
			if _, _, err := algorithms.Hessian(t.Context(), net, s.Mixing(algorithms.ForHessian, 0), algorithmstest.Batch(1), 0); !errors.Is(err, algorithms.ErrDiverged) {
				t.Errorf("Hessian: got error %v", err)
			}
		})
	}
}

func TestSetStateErrors(t *testing.T) {
	sp := space(t, 1)
	good := searcher(t, "darts", algorithms.Config{Space: sp})
	saved, err := good.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*algorithms.State)
	}{
		{"other algorithm", func(s *algorithms.State) { s.Algorithm = "sdarts-rs" }},
		{"negative epoch", func(s *algorithms.State) { s.Epoch = -1 }},
		{"negative Adam step", func(s *algorithms.State) { s.Adam.Steps = -1 }},
		{"short alphas", func(s *algorithms.State) { s.Alphas = s.Alphas[1:] }},
		{"long moment", func(s *algorithms.State) { s.Adam.V = append(s.Adam.V, 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var st algorithms.State
			if err := json.Unmarshal(saved, &st); err != nil {
				t.Fatal(err)
			}
			tt.change(&st)
			b, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			if err := good.SetState(b); err == nil {
				t.Error("accepted")
			}
		})
	}
	if err := good.SetState(saved); err != nil {
		t.Errorf("unchanged state refused: %v", err)
	}
}

// Whatever SetState accepts, State returns as it is and the next step works on.
func FuzzSetState(f *testing.F) {
	sp, err := spaces.Get("1")
	if err != nil {
		f.Fatal(err)
	}
	s, err := algorithms.New("sdarts-rs", algorithms.Config{Space: sp, Cells: 1, Epochs: 3})
	if err != nil {
		f.Fatal(err)
	}
	saved, err := s.State()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved)
	f.Add(saved[:len(saved)/2])
	f.Add([]byte(`{"algorithm":"sdarts-rs","epoch":1e3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s.SetState(b) != nil {
			return
		}
		again, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetState(again); err != nil {
			t.Fatalf("own state refused: %v", err)
		}
		if third, _ := s.State(); string(third) != string(again) {
			t.Fatalf("state %s became %s", again, third)
		}
	})
}

// The attack's settings reach it: its start lowers the loss, from where it
// cannot move.
func TestAttackSettings(t *testing.T) {
	sp := space(t, 1)
	slope, delta := make([]float64, sp.Dim()), make([]float64, sp.Dim())
	slope[0], delta[0] = 1, -0.02
	for _, tt := range []struct {
		name       string
		settings   algorithms.Settings
		rolledBack bool
		moved      float64 // of the first mixing weight
		sum        float64 // of the first row
	}{
		{"default", nil, true, 0, 1},
		{"no roll-back", algorithms.Settings{"pgd-roll-back": 0}, false, -0.02 / 0.98 * 2 / 3, 1},
		{"no roll-back, box alone", algorithms.Settings{"pgd-roll-back": 0, "simplex": 0}, false, -0.02, 0.98},
		{"no random start", algorithms.Settings{"pgd-random-start": 0}, false, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := searcher(t, "sdarts-adv", algorithms.Config{Space: sp, Settings: tt.settings, Noise: func(dst []float64) { copy(dst, delta) }})
			info := oneStep(t, s, &stopAfter{linear(sp, slope), 1})
			moved := info.Mixing[0] - info.Simplex[0]
			sum := info.Mixing[0] + info.Mixing[1] + info.Mixing[2]
			if info.Attack.RolledBack != tt.rolledBack || math.Abs(moved-tt.moved) > 1e-4 || math.Abs(sum-tt.sum) > 1e-12 {
				t.Errorf("rolled back %v, moved by %v, row sums to %v", info.Attack.RolledBack, moved, sum)
			}
		})
	}
}
