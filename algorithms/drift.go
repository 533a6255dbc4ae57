package algorithms

import (
	"context"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
)

func init() {
	Register(Definition{
		Name:  "drift",
		Title: "Drift (control)",
		Look:  catalogue.Look{Family: catalogue.References, Colour: catalogue.Orange, Place: 21},
		Doc: "A control, not a search: DARTS whose architecture steps follow random numbers instead of a gradient. Where " +
			"another algorithm does no better than this, it has gained nothing from what it learned about architectures.",
		Options: RelaxationOptions(),
		Adapt:   adaptToRecurrent(nil),
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("drift", cfg, 0)
			r.ArchGradient = func(_ context.Context, _ Supernet, _, _ data.Batch, info *StepInfo) error {
				draws := r.Random("drift")
				info.ArchGradient = make([]float64, cfg.Space.Dim())
				for i := range info.ArchGradient {
					info.ArchGradient[i] = draws.NormFloat64()
				}
				return nil
			}
			return r, nil
		},
	})
}
