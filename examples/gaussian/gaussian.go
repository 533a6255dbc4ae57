// Command gaussian is nb1shot with one more algorithm: SmoothDARTS with random
// smoothing whose noise is Gaussian instead of uniform. The algorithm is composed from
// the parts of DARTS' search, so nb1shot itself stays as it is. All commands know it:
//
//	go run . run --space 2 --algo sdarts-gaussian --preset quick
//	go run . sweep --spaces 1,2,3 --algos sdarts-rs,sdarts-gaussian --seeds 3
package main

import (
	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/command"
	"github.com/nb1shot/nb1shot/data"
)

func init() {
	algorithms.Register(algorithms.Definition{
		Name:  "sdarts-gaussian",
		Title: "SDARTS-Gaussian",
		Look:  catalogue.Look{Family: catalogue.SmoothDARTS, Colour: catalogue.Sky, Place: 21},
		Doc: "SmoothDARTS with Gaussian smoothing: as SDARTS-RS, but the noise that each weight step adds to the softmax is " +
			"normal with the standard deviation σ instead of uniform. σ grows over the epochs.",
		Options: append(algorithms.RelaxationOptions(),
			algorithms.Option{Name: "sigma-min", Default: 0.017, Max: 1, Doc: "perturbation: σ in the first epoch; the default is the deviation of SDARTS-RS' noise, 0.03/√3"},
			algorithms.Option{Name: "sigma-max", Default: 0.17, Max: 1, Doc: "perturbation: σ after the last epoch; the default is the deviation of SDARTS-RS' noise, 0.3/√3"},
		),
		New: newGaussian,
	})
}

func newGaussian(cfg algorithms.Config) (algorithms.Searcher, error) {
	sigma := algorithms.Linear{
		From:   cfg.Settings.Number("sigma-min"),
		To:     cfg.Settings.Number("sigma-max"),
		Length: cfg.Epochs,
	}
	r := algorithms.NewRelaxation("sdarts-gaussian", cfg, 0)
	r.Perturb = func(_ algorithms.Supernet, _ data.Batch, info *algorithms.StepInfo) error {
		info.Epsilon = sigma.At(r.Epoch())
		// The stream is named by the seed, the epoch and the step, so there is no
		// generator to save.
		draws := r.Random("noise")
		info.Mixing = make([]float64, len(info.Simplex))
		for i, weight := range info.Simplex {
			info.Mixing[i] = weight + info.Epsilon*draws.NormFloat64()
		}
		algorithms.ClipSimplex(cfg.Space, info.Mixing)
		return nil
	}
	return r, nil
}

func main() {
	command.Main()
}
