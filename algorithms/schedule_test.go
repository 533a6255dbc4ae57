package algorithms_test

import (
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
)

func TestSchedulesMatchGolden(t *testing.T) {
	var want struct {
		Rate      []float64 `json:"sgd_lr_used_step_before_epoch"`
		RateAtE   []float64 `json:"closed_form_t_eq_epoch"`
		RatePerSt []float64 `json:"enas_sgd_lr_per_step"`
		Epsilon   []float64 `json:"epsilon_alpha"`
		TauTrain  []float64 `json:"gdas_tau_train"`
		TauInfer  []float64 `json:"gdas_tau_infer"`
	}
	golden(t, "schedules/schedules.json", &want)
	rate := algorithms.Cosine{Max: 0.025, Min: 0.001, Length: 100}
	epsilon := algorithms.Linear{From: 0.03, To: 0.3, Length: 100}
	tau := algorithms.Linear{From: 10, To: 1, Length: 100}
	for _, tt := range []struct {
		name string
		want []float64
		at   func(i int) float64
	}{
		{"learning rate at e+1 (Q1)", want.Rate, func(e int) float64 { return rate.At(e + 1) }},
		{"learning rate at e", want.RateAtE, rate.At},
		{"learning rate per step, past its length (Q19)", want.RatePerSt, rate.At},
		{"epsilon (Q3)", want.Epsilon, epsilon.At},
		{"temperature in training", want.TauTrain, tau.At},
		{"temperature in validation", want.TauInfer, func(e int) float64 { return tau.At(e + 1) }},
	} {
		if len(tt.want) < 100 {
			t.Errorf("%s: only %d golden values", tt.name, len(tt.want))
		}
		for i, want := range tt.want {
			if got := tt.at(i); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: at %d got %v, want %v", tt.name, i, got, want)
			}
		}
	}
}

// What a searcher uses in an epoch, defaults and the alternatives of Q1 and Q3.
func TestScheduleOfSearcher(t *testing.T) {
	sp := space(t, 2)
	for _, tt := range []struct {
		name          string
		settings      algorithms.Settings
		epoch, epochs int
		rate, epsilon float64
	}{
		{"first", nil, 0, 100, 0.02499407872438878, 0.03},
		{"last", nil, 99, 100, 0.001, 0.2973},
		{"last, epsilon reaches max", algorithms.Settings{"epsilon-reaches-max": 1}, 99, 100, 0.001, 0.3},
		{"single epoch, epsilon reaches max", algorithms.Settings{"epsilon-reaches-max": 1}, 0, 1, 0.001, 0.03},
		{"first, not shifted", algorithms.Settings{"learning-rate-shift": 0}, 0, 100, 0.025, 0.03},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := searcher(t, "sdarts-rs", algorithms.Config{Space: sp, Epochs: tt.epochs, Settings: tt.settings})
			net := algorithmstest.NewQuadratic(sp.Dim(), 1)
			s.StartEpoch(tt.epoch)
			info, err := s.Step(t.Context(), net, twoBatches(1, 2))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(info.LearningRate-tt.rate) > 1e-12 || math.Abs(info.Epsilon-tt.epsilon) > 1e-12 {
				t.Errorf("learning rate %v, epsilon %v, want %v, %v", info.LearningRate, info.Epsilon, tt.rate, tt.epsilon)
			}
			if used := net.Calls[len(net.Calls)-1].SGD.LearningRate; used != info.LearningRate {
				t.Errorf("stepped with %v, reported %v", used, info.LearningRate)
			}
		})
	}
}

// The learning rate on ImageNet at its corners; package verify has all of it.
func TestImageNetRate(t *testing.T) {
	for _, tt := range []struct {
		batch, epoch int
		want         float64
	}{
		{1024, 0, 0.1}, {1024, 4, 0.5}, {1024, 5, 0.5 * 240 / 245}, {1024, 244, 0.5 / 245}, {1024, 245, 0.5 / 245}, {1024, 249, 0.1 / 245},
		{256, 0, 0.5}, {256, 4, 0.5 * 241 / 245},
	} {
		if got := (algorithms.ImageNetRate{Max: 0.5, Epochs: 250, Batch: tt.batch}).At(tt.epoch); math.Abs(got-tt.want) > 1e-15 {
			t.Errorf("batch %d, epoch %d: %v, want %v", tt.batch, tt.epoch, got, tt.want)
		}
	}
}
