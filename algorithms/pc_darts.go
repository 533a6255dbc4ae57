package algorithms

import (
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/supernet"
)

// The three algorithms on the network of PC-DARTS. Only the first exists for
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
		Network: partialChannels,
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("pc-darts", cfg, 0)
			if cfg.Settings.On("unrolled") {
				r.unroll()
			}
			return r, nil
		},
	})
	Register(Definition{
		Name:    "pc-darts-rs",
		Title:   "PC-DARTS-RS",
		Look:    catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Orange, Place: 9},
		Doc:     "SDARTS-RS" + network,
		Options: slices.Concat(RelaxationOptions(), partialOptions(), perturbationOptions()),
		Network: partialChannels,
		New:     func(cfg Config) (Searcher, error) { return newSDARTSRS("pc-darts-rs", cfg), nil },
	})
	Register(Definition{
		Name:    "pc-darts-adv",
		Title:   "PC-DARTS-ADV",
		Look:    catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Vermillion, Place: 10},
		Doc:     "SDARTS-ADV" + network,
		Options: slices.Concat(RelaxationOptions(), partialOptions(), perturbationOptions(), attackOptions()),
		Network: partialChannels,
		New:     func(cfg Config) (Searcher, error) { return newSDARTSADV("pc-darts-adv", cfg), nil },
	})
}

func partialOptions() []Option {
	return []Option{
		{Name: "partial-channels", Kind: Count, Default: 4, Min: 1, Max: 64, Doc: "network: one channel in this many goes through the operations; must divide the channels of the first cells"},
	}
}

func partialChannels(s Settings) supernet.Variant {
	return supernet.Variant{Partial: s.Count("partial-channels")}
}
