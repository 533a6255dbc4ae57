package algorithms

import (
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// The three algorithms on the network of PC-DARTS (quirk C14). Only the first exists for
// these spaces in the released code, and it has no perturbation; the others are
// compositions of its network with the SDARTS loop.
func init() {
	const network = " on partially connected choice blocks (Xu et al., ICLR 2020): a quarter of the channels goes through the " +
		"operations, the others bypass them, and a fixed shuffle follows. Defaults are those of the released code for these spaces; " +
		"the original has 15 warm-up epochs, batch 256 and learning rates of 0.1 and 6e-4 (quirk Q17)."
	Register(Definition{
		Name:  "pc-darts",
		Title: "PC-DARTS",
		Look:  catalogue.Look{Family: catalogue.Baselines, Colour: catalogue.Green, Place: 4},
		Doc:   "First-order DARTS" + network,
		Options: slices.Concat(RelaxationOptions(), partialOptions(), unrollOptions(),
			[]Option{{Name: "unrolled", Kind: Switch, Doc: "second-order architecture steps, as in darts-2nd"}}),
		Adapt:       adaptPartial,
		Supports:    notOnRecurrentPartial,
		Extend:      edgeWeights,
		Network:     partialChannels,
		Preparation: partialPreparation,
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("pc-darts", cfg, 0)
			r.unrollIfAsked()
			return r, nil
		},
	})
	Register(Definition{
		Name:     "pc-darts-rs",
		Title:    "PC-DARTS-RS",
		Look:     catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Orange, Place: 9},
		Doc:      "SDARTS-RS" + network,
		Options:  slices.Concat(RelaxationOptions(), partialOptions(), perturbationOptions()),
		Supports: notOnRecurrentPartial,
		Adapt:    adaptPartial, Extend: edgeWeights, Network: partialChannels, Preparation: partialPreparation,
		New: func(cfg Config) (Searcher, error) { return newSDARTSRS("pc-darts-rs", cfg), nil },
	})
	Register(Definition{
		Name:     "pc-darts-adv",
		Title:    "PC-DARTS-ADV",
		Look:     catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Vermillion, Place: 10},
		Doc:      "SDARTS-ADV" + network,
		Options:  slices.Concat(RelaxationOptions(), partialOptions(), perturbationOptions(), attackOptions()),
		Supports: notOnRecurrentPartial,
		Adapt:    adaptPartial, Extend: edgeWeights, Network: partialChannels, Preparation: partialPreparation,
		New: func(cfg Config) (Searcher, error) { return newSDARTSADV("pc-darts-adv", cfg), nil },
	})
}

// notOnRecurrentPartial is the Supports of PC-DARTS.
var notOnRecurrentPartial = notRecurrent("a recurrent cell has no channels to divide")

func partialOptions() []Option {
	return []Option{
		{Name: "partial-channels", Kind: Count, Default: 4, Min: 1, Max: 64, Doc: "network: one channel in this many goes through the operations; must divide the channels of the first cells"},
	}
}

// adaptPartial adds edge weights in the spaces of DARTS. In those of all operations they
// and the original hyper-parameters are the default, on S1 to S4 the setting of the SDARTS
// paper's code (quirk C13).
func adaptPartial(space *spaces.Space, options []Option) []Option {
	if !isDARTS(space) {
		return options
	}
	edges := Option{Name: "edge-weights", Kind: Switch, Doc: "network: the edges into a node have weights of their own, as in the original (quirk C13)"}
	if originalPartial(space) {
		edges.Default = 1
		options = WithDefaults(options, Settings{
			"learning-rate": 0.1, "learning-rate-min": 0, "learning-rate-shift": 0, "arch-learning-rate": 6e-4, "warm-start-epochs": 15, // quirk C3
		})
	}
	return append(slices.Clip(options), edges)
}

// originalPartial tells whether PC-DARTS searches a space in its original setting.
func originalPartial(space *spaces.Space) bool {
	return space.Name() == "darts" || space.Name() == "darts8"
}

func edgeWeights(space *spaces.Space, s Settings) *spaces.Space {
	if d, ok := darts.Of(space); ok && s.On("edge-weights") {
		return d.WithEdges().Space
	}
	return space
}

func partialPreparation(space *spaces.Space, _ Settings) Preparation {
	p := dartsPreparation(space)
	if originalPartial(space) {
		p.Batch = 256
	}
	return p
}

func partialChannels(s Settings) supernet.Variant {
	return supernet.Variant{Partial: s.Count("partial-channels")}
}
