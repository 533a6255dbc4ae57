package results

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// provenance is a complete made-up provenance.
func provenance() Provenance {
	return Provenance{
		Images: "procedural", ImagesDetail: "seed 7", ImagesDigest: "aa11",
		Table: "surrogate", TableDetail: "additive fit", TableDigest: "bb22",
		Preset: "quick", Scale: "3 cells, 8 channels, side 8, 96+96 images",
		Engine: "ref", Precision: "float64", Device: "one CPU",
	}
}

func testRun(t *testing.T, seed uint64) Run {
	t.Helper()
	run, err := NewRun("2", "sdarts-adv", seed, provenance(), map[string]any{"epochs": 2, "perturbation": map[string]any{"steps": 7}})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func ptr(x float64) *float64 { return &x }

// record is a complete valid record of epoch e.
func record(e int) Epoch {
	return Epoch{
		Epoch:    e,
		Cell:     Cell{Matrix: [][]int{{0, 1}, {0, 0}}, Operations: []string{"input", "output"}, Hash: "043721b9c7fe8c5fad811d47d83132ec"},
		Lookup:   Lookup{Source: "surrogate", TestError: ptr(0.0625), ValidError: ptr(0.06), ErrorBar: ptr(0.002), TrainingTime: ptr(1500), Parameters: 2694282},
		Training: &Training{Loss: 2.3, Accuracy: 0.1, LearningRate: 0.0249940787, Epsilon: 0.03},
		Search:   &Score{Loss: 2.29, Accuracy: 0.11},
		Hessian: &Hessian{
			Eigenvalues: []float64{-0.25, 0.001, 0.5}, Reported: 0.5, SpectralNorm: 0.5, Min: -0.25,
			Batch: 40, Definition: "abs(max), one search batch, 1e-3 on the diagonal",
		},
		Alphas:  []Alpha{{Name: "mixed_op", Rows: [][]float64{{0.1, -0.2, 0.3}}}, {Name: "output", Rows: [][]float64{{1e-300, 0.1 + 0.2}}}},
		Seconds: map[string]float64{"steps": 1.5, "hessian": 0.25},
	}
}

// final is a valid final record after n epochs.
func final(n int) Epoch {
	e := record(n)
	e.Final, e.Training, e.Search, e.Hessian = true, nil, nil, nil
	return e
}

// anyRecord draws a valid record of epoch e with arbitrary finite numbers.
func anyRecord(t *rapid.T, e int) Epoch {
	number := rapid.Float64()
	r := record(e)
	r.Training.Loss = number.Draw(t, "loss")
	r.Lookup.TestError = ptr(rapid.Float64Range(0, 1).Draw(t, "error"))
	r.Alphas[0].Rows = [][]float64{rapid.SliceOfN(number, 1, 5).Draw(t, "row")}
	r.Seconds = map[string]float64{rapid.String().Draw(t, "phase"): number.Draw(t, "seconds")}
	return r
}

// histories gives n finished runs in memory, with seeds from 0; shape adjusts
// each.
func histories(t *testing.T, n int, shape func(seed int, h *History)) []*History {
	t.Helper()
	var all []*History
	for seed := range n {
		h := &History{
			Dir: fmt.Sprintf("runs/%d", seed), Run: testRun(t, uint64(seed)), Status: Status{State: Finished},
			Epochs: []Epoch{record(0), record(1), final(2)},
		}
		if shape != nil {
			shape(seed, h)
		}
		all = append(all, h)
	}
	return all
}
