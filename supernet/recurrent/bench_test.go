package recurrent

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// BenchmarkSearchStep is the two passes of a first-order search step at the paper's hidden size and
// vocabulary, with masks, for a quarter of its batch and windows of 10 rows.
func BenchmarkSearchStep(b *testing.B) {
	c := Config{Words: 10_000, Hidden: 300, BatchNormMomentum: 0.1}
	e, err := cpu.New(2, cpu.InstructionSets()[0])
	if err != nil {
		b.Fatal(err)
	}
	m, err := New(c, e)
	if err != nil {
		b.Fatal(err)
	}
	m.WriteParameters(normals("weights", m.ParameterCount(), 0.04))
	const batch, rows = 64, 10
	r := random.New(2, "bench")
	w := Window{Batch: batch, Hidden: make([]float64, batch*c.Hidden), Masks: &Masks{H: normals("mask", batch*c.Hidden, 1)}}
	for range batch * rows {
		w.Inputs, w.Targets = append(w.Inputs, int32(r.IntN(c.Words))), append(w.Targets, int32(r.IntN(c.Words)))
	}
	mix, grad := mixing(), make([]float64, rnn.Dim)
	step := func() {
		if _, err := m.MixingGradient(w, mix, training, Regularisers{}, grad); err != nil {
			b.Fatal(err)
		}
		if _, err := m.WeightGradient(w, mix, training, Regularisers{Temporal: 1e-3}); err != nil {
			b.Fatal(err)
		}
	}
	step() // compiles
	steps := 0
	for b.Loop() {
		step()
		steps++
	}
	const macs = 6 * batch * rows * 9_840_000.
	b.ReportMetric(2*macs*float64(steps)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
