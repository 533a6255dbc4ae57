package algorithms_test

import (
	"context"
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// gumbelConfig is a GDAS of three cells that draws the given noise, at temperature 2.5.
func gumbelConfig(t *testing.T, noise []float64) algorithms.Config {
	return algorithms.Config{
		Space: space(t, 2), Cells: 3, Seed: 1,
		Settings: algorithms.Settings{"temperature": 2.5, "temperature-min": 2.5},
		Noise:    func(dst []float64) { copy(dst, noise) },
	}
}

// Weights of operations are hard, those of edges soft; every cell has its own.
func TestGDASSamples(t *testing.T) {
	sp := space(t, 2)
	cfg := gumbelConfig(t, nil)
	cfg.Noise = nil
	for _, tt := range []struct {
		name        string
		settings    algorithms.Settings
		hard, equal bool
	}{
		{"released", nil, false, false},
		{"hard edges", algorithms.Settings{"hard-edges": 1}, true, false},
		{"same in all cells", algorithms.Settings{"same-in-all-cells": 1}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := cfg
			cfg.Settings = tt.settings
			s := searcher(t, "gdas", cfg)
			seen := map[int]int{}
			equal := true
			for k := range 300 {
				w := s.Mixing(algorithms.ForHessian, k).Weights
				if len(w) != 3*sp.Dim() {
					t.Fatalf("%d weights", len(w))
				}
				for cell := range 3 {
					for _, tensor := range sp.Tensors() {
						for row := range tensor.Rows {
							lo := cell*sp.Dim() + tensor.Offset + row*tensor.Cols
							ones := 0
							for i, v := range w[lo : lo+tensor.Cols] {
								if v == 1 {
									ones++
									if tensor.Offset == 0 {
										seen[i]++
									}
								}
								equal = equal && v == w[lo-cell*sp.Dim()+i]
							}
							if hard := ones == 1; hard != (tensor.Offset == 0 || tt.hard) {
								t.Fatalf("row %d of %s: %v", row, tensor.Name, w[lo:lo+tensor.Cols])
							}
						}
					}
				}
			}
			if equal != tt.equal {
				t.Errorf("all cells alike: %v", equal)
			}
			total := 300 * 3 * 4
			for op, n := range seen { // alphas are all but equal, so a third each
				if d := math.Abs(float64(n)/float64(total) - 1.0/3); d > 0.04 {
					t.Errorf("operation %d was sampled %d times of %d", op, n, total)
				}
			}
		})
	}
}

// The temperature falls linearly, and the validation is one epoch ahead.
func TestGDASTemperature(t *testing.T) {
	cfg := gumbelConfig(t, make([]float64, 3*26))
	cfg.Settings, cfg.Epochs = nil, 100
	s := searcher(t, "gdas", cfg)
	alphas := s.Alphas()
	output := nb1shot1.All()[1].OutputOffset()
	temperature := func(use algorithms.Use) float64 {
		w := s.Mixing(use, 0).Weights[output : output+2]
		return (alphas[output] - alphas[output+1]) / math.Log(w[0]/w[1])
	}
	for _, tt := range []struct {
		epoch         int
		now, validate float64
	}{{0, 10, 9.91}, {50, 5.5, 5.41}, {99, 1.09, 1}} {
		s.StartEpoch(tt.epoch)
		if now, validate := temperature(algorithms.ForHessian), temperature(algorithms.ForValidation); math.Abs(now-tt.now) > 1e-6 || math.Abs(validate-tt.validate) > 1e-6 {
			t.Errorf("epoch %d: temperatures %v and %v, want %v and %v", tt.epoch, now, validate, tt.now, tt.validate)
		}
	}
}

// The gradient that GDAS follows is that of the softmax behind its choices, for
// the operations that were executed; the Hessian is that of the same function.
func TestGDASDerivatives(t *testing.T) {
	sp := space(t, 2)
	d := sp.Dim()
	noise := make([]float64, 3*d)
	for i := range noise {
		noise[i] = math.Sin(float64(3 * i))
	}
	s := searcher(t, "gdas", gumbelConfig(t, noise))
	m := s.Mixing(algorithms.ForHessian, 0)
	net := algorithmstest.NewQuadratic(3*d, 2)
	b := algorithmstest.Batch(1)
	grad := make([]float64, 3*d)
	if _, err := net.MixingGradient(b, m.Weights, supernet.BatchStatistics, grad); err != nil {
		t.Fatal(err)
	}
	got := m.Gradient(grad)

	// The function whose derivatives these are: the loss at the choices, moved by
	// as much as the softmax moves from where it is.
	soft := func(alphas []float64) []float64 {
		all := make([]float64, 0, 3*d)
		for cell := range 3 {
			x, p := make([]float64, d), make([]float64, d)
			for i := range x {
				x[i] = (alphas[i] + noise[cell*d+i]) / 2.5
			}
			sp.Softmax(p, x)
			all = append(all, p...)
		}
		return all
	}
	alphas := s.Alphas()
	start := soft(alphas)
	mixed := sp.Tensors()[0]
	loss := func(alphas []float64) float64 {
		w := append([]float64(nil), m.Weights...)
		for i, p := range soft(alphas) {
			if i%d < mixed.Rows*mixed.Cols && m.Weights[i] == 0 {
				continue
			}
			w[i] += p - start[i]
		}
		pass, err := net.Forward(b, w, supernet.BatchStatistics)
		if err != nil {
			t.Fatal(err)
		}
		return pass.Loss
	}
	moved := func(i, j int, di, dj float64) float64 {
		a := append([]float64(nil), alphas...)
		a[i] += di
		a[j] += dj
		return loss(a)
	}
	h, _, err := algorithms.Hessian(context.Background(), net, m, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	const step = 1e-4
	for i := range alphas {
		if want := (moved(i, i, step, 0) - moved(i, i, -step, 0)) / (2 * step); math.Abs(got[i]-want) > 1e-6 {
			t.Errorf("derivative %d is %v, differences give %v", i, got[i], want)
		}
		for j := range i {
			want := (moved(i, j, step, step) - moved(i, j, step, -step) - moved(i, j, -step, step) + moved(i, j, -step, -step)) / (4 * step * step)
			if math.Abs(h.At(i, j)-want) > 1e-5 {
				t.Errorf("H[%d,%d] is %v, differences give %v", i, j, h.At(i, j), want)
			}
		}
	}
}

// NASP chooses operations, keeps its alphas in [0,1], and clamps when it is told to.
func TestNASP(t *testing.T) {
	sp := space(t, 3)
	for _, tt := range []struct {
		name     string
		settings algorithms.Settings
		largest  float64 // weight of a chosen operation
		row      float64 // sum of the row
	}{
		{"released", algorithms.Settings{}, math.E / (math.E + 2), 1},
		{"true binarisation", algorithms.Settings{"true-binarisation": 1}, 1, 1},
		{"early clamp", algorithms.Settings{"clamp-after-arch-step": 1}, math.E / (math.E + 2), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings["arch-learning-rate"] = 0.4
			s := searcher(t, "nasp", algorithms.Config{Space: sp, Settings: tt.settings})
			net := algorithmstest.NewQuadratic(sp.Dim(), 4)
			ends := 0
			for k := range 10 {
				oneStep(t, s, net)
				for _, a := range s.Alphas() {
					if !(a >= 0 && a <= 1) {
						t.Fatalf("alpha %v after step %d", a, k)
					}
					if a == 0 || a == 1 {
						ends++
					}
				}
				w := s.Mixing(algorithms.ForHessian, 0).Weights
				if got := max(w[0], w[1], w[2]); math.Abs(got-tt.largest) > 1e-12 || math.Abs(w[0]+w[1]+w[2]-tt.row) > 1e-12 {
					t.Errorf("weights %v, want a largest of %v", w[:3], tt.largest)
				}
			}
			if ends == 0 {
				t.Error("no alpha was ever clamped")
			}
		})
	}
}
