package algorithms

import (
	"context"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
)

func init() {
	Register(Definition{
		Name:  "drift",
		Title: "drift (control)",
		Doc: "A control, not a search: DARTS whose architecture steps follow random numbers instead of a gradient. What another " +
			"algorithm does not do better than this, it does not owe to what it learned about architectures.",
		Options: relaxationOptions(),
		New: func(cfg Config) (Searcher, error) {
			r := newRelaxation("drift", cfg, 0)
			r.archGradient = func(_ context.Context, _ Supernet, _, _ data.Batch, info *StepInfo) error {
				draws := random.New(cfg.Seed, "drift", uint64(r.epoch), uint64(r.step))
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
