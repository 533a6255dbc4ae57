package algorithms

import (
	"math"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	Register(Definition{
		Name:  "gdas",
		Title: "GDAS",
		Look:  catalogue.Look{Family: catalogue.Baselines, Colour: catalogue.Purple, Place: 5},
		Doc: "GDAS (Dong and Yang, CVPR 2019): every pass samples one operation for each block of each cell by the " +
			"straight-through Gumbel softmax and computes only that. In the released code the edges' weights stay soft, each cell " +
			"has noise of its own, and the gradient of the alphas is clipped (quirk Q12).",
		Supports: notOnDARTS("its sampled network is that of NAS-Bench-1Shot1"),
		Options: append(RelaxationOptions(),
			Option{Name: "temperature", Default: 10, Min: 0.01, Max: 1000, Doc: "sampling: temperature of the softmax in the first epoch"},
			Option{Name: "temperature-min", Default: 1, Min: 0.01, Max: 1000, Doc: "sampling: temperature after the last epoch, to which it falls linearly"},
			Option{Name: "arch-clip", Default: 5, Max: 1e9, Doc: "alphas: bound on the 2-norm of the gradient (quirk Q12); 0 does not clip"},
			Option{Name: "hard-edges", Kind: Switch, Doc: "sampling: one-hot choices for the edges too (quirk Q12)"},
			Option{Name: "same-in-all-cells", Kind: Switch, Doc: "sampling: one draw for the whole network; off draws anew for each cell (quirk Q12)"},
			Option{Name: "hessian-draws", Kind: Count, Default: 1, Min: 1, Max: 1000, Doc: "Hessian: samples to average over; the released code takes one (quirk Q14)"},
		),
		Network: func(Settings) supernet.Variant { return supernet.Variant{Sampled: true} },
		Adapt:   adaptToRecurrent(Settings{"arch-clip": 0}),
		Own: func(space *spaces.Space) string {
			if isRecurrent(space) {
				return "own definition: of GDAS on recurrent cells only the cell and the loop are known; the sampling is that of its cells of convolutions"
			}
			return ""
		},
		New: newGDAS,
	})
}

// gumbel samples the mixing weights of GDAS: y = softmax((α + g)/τ) with Gumbel
// noise g, operations hard.
type gumbel struct {
	*Relaxation
	temperature Linear
	hardEdges   bool
	same        bool
}

func newGDAS(cfg Config) (Searcher, error) {
	s := cfg.Settings
	g := gumbel{
		Relaxation:  NewRelaxation("gdas", cfg, 0),
		temperature: Linear{From: s.Number("temperature"), To: s.Number("temperature-min"), Length: cfg.Epochs},
		hardEdges:   s.On("hard-edges"),
		same:        s.On("same-in-all-cells"),
	}
	g.archClip = s.Number("arch-clip")
	g.Relax = g.sample
	g.HessianDraws = s.Count("hessian-draws")
	return g.Relaxation, nil
}

// sample draws the weights of one pass. The validation comes after the
// temperature has been lowered for the next epoch.
func (g gumbel) sample(use Use, k int) Mixing {
	space, d := g.cfg.Space, g.cfg.Space.Dim()
	if use == ForValidation && isRecurrent(space) {
		return argmaxWeights(space, g.alphas)
	}
	tau := g.temperature.At(g.epoch)
	index := g.step
	switch use {
	case ForValidation:
		tau = g.temperature.At(g.epoch + 1)
		index = k
	case ForHessian:
		index = k
	}
	n := g.cfg.Cells * d
	noise := make([]float64, n)
	if g.cfg.Noise != nil {
		g.cfg.Noise(noise)
	} else {
		draws := random.New(g.cfg.Seed, "gdas/gumbel", uint64(use), uint64(g.epoch), uint64(index))
		for i := range noise {
			noise[i] = -math.Log(draws.ExpFloat64())
		}
	}
	m := Mixing{
		Weights: make([]float64, 0, n), Space: space, Probabilities: make([]float64, 0, n),
		Temperature: tau, Executed: make([]bool, n),
	}
	for from := 0; from < n; from += d {
		if from > 0 && g.same {
			copy(noise[from:from+d], noise[:d])
		}
		x := make([]float64, d)
		for i := range x {
			x[i] = (g.alphas[i] + noise[from+i]) / tau
		}
		p := softmax(space, x)
		y := append([]float64(nil), p...)
		for _, row := range space.Rows() {
			lo, hi, operations := row.Offset, row.End(), row.Kind == spaces.OperationRow
			if operations || g.hardEdges {
				oneHot(y[lo:hi])
			}
			for i := lo; i < hi; i++ {
				m.Executed[from+i] = !operations || y[i] == 1
			}
		}
		m.Probabilities = append(m.Probabilities, p...)
		m.Weights = append(m.Weights, y...)
	}
	return m
}
