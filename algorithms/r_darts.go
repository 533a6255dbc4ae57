package algorithms

import (
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// The two regularised variants of R-DARTS (Zela et al., ICLR 2020). On the
// spaces of NAS-Bench-1Shot1 neither has a released setting beyond the values of weight
// decay.
func init() {
	strong := RelaxationOptions()
	for i, o := range strong {
		if o.Name == "weight-decay" {
			strong[i].Default = 27e-4
			strong[i].Doc = "weights: L2 factor, added to the clipped gradient; the benchmark's scripts try 1e-4, 3e-4, 9e-4, 27e-4 and 81e-4"
		}
	}
	Register(Definition{
		Name:  "r-darts-l2",
		Title: "R-DARTS (L2)",
		Look:  catalogue.Look{Family: catalogue.Stabilised, Colour: catalogue.Green, Place: 13},
		Doc: "First-order DARTS with a larger weight decay of the supernet's weights (Zela et al., ICLR 2020). They take the best " +
			"of several searches with different values; a run here has one value.",
		Options:  strong,
		Supports: notRecurrent(undefined),
		Adapt:    adaptToDARTS(Settings{"learning-rate-shift": 0}, unrolledOptions()...), // quirk C3
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("r-darts-l2", cfg, 0)
			r.unrollIfAsked()
			return r, nil
		},
	})
	Register(Definition{
		Name:  "r-darts-dp",
		Title: "R-DARTS (DP)",
		Look:  catalogue.Look{Family: catalogue.Stabilised, Colour: catalogue.Sky, Place: 14},
		Doc: "First-order DARTS with drop path (Zela et al., ICLR 2020): in the training passes the output of each convolution of a " +
			"choice block is dropped, image by image, with a probability that grows over the epochs, and scaled up otherwise. The " +
			"supernets of NAS-Bench-1Shot1 have no drop path of their own: where it acts is our choice, max-pooling being exempt. In " +
			"the spaces of DARTS it acts on the mixed operation of every edge, with cutout besides, as in the released RobustDARTS code.",
		Options: append(RelaxationOptions(),
			Option{Name: "drop-path", Default: 0.2, Max: 0.95, Doc: "drop path: probability in the last epoch, reached linearly from 0"},
		),
		Supports: notRecurrent(undefined),
		Adapt:    adaptToDARTS(Settings{"learning-rate-shift": 0}, unrolledOptions()...), // quirk C3
		Network:  func(Settings) supernet.Variant { return supernet.Variant{DropPath: true} },
		Preparation: func(space *spaces.Space, _ Settings) Preparation {
			p := dartsPreparation(space)
			if isDARTS(space) {
				p.Cutout = 1 // quirks C16, C18
			}
			return p
		},
		New: newDropPath,
	})
}

func newDropPath(cfg Config) (Searcher, error) {
	r := NewRelaxation("r-darts-dp", cfg, 0)
	probability := Linear{To: cfg.Settings.Number("drop-path"), Length: max(cfg.Epochs-1, 1)}
	r.Before = func(net Supernet, use Use, images int) {
		index := []uint64{uint64(use), uint64(r.epoch), uint64(r.step)}
		if r.look > 0 {
			index = append(index, uint64(r.look))
		}
		draws := random.New(cfg.Seed, "drop-path", index...)
		net.SetDropPath(DropPath(draws, probability.At(r.epoch), net.Droppable()*images))
	}
	r.unrollIfAsked()
	return r, nil
}

// DropPath draws n multipliers of drop path, as supernet.Net.SetDropPath takes them: 0 with
// probability p, in [0,1), else 1/(1−p). Without a probability it draws nothing and returns
// none.
func DropPath(r *rand.Rand, p float64, n int) []float64 {
	if p == 0 {
		return nil
	}
	multipliers := make([]float64, n)
	for i := range multipliers {
		if r.Float64() >= p {
			multipliers[i] = 1 / (1 - p)
		}
	}
	return multipliers
}
