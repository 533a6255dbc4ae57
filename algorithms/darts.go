package algorithms

import "github.com/nb1shot/nb1shot/algorithms/catalogue"

func init() {
	Register(Definition{
		Name:  "darts",
		Title: "DARTS",
		Look:  catalogue.Look{Colour: catalogue.Blue, Place: 1},
		Doc: "First-order DARTS (Liu et al., ICLR 2019): one Adam step of the architecture parameters on a search batch, " +
			"then one SGD step of the weights on a training batch, both mixing by the softmax.",
		Options: append(RelaxationOptions(),
			Option{Name: "accumulate", Kind: Switch, Doc: "weights: during the warm start each step adds to the clipped gradient of the one before, as the released script does because it never zeroes it (quirk Q22)"},
		),
		Adapt: adaptToRecurrent(nil),
		New: func(cfg Config) (Searcher, error) {
			r := NewRelaxation("darts", cfg, 0)
			r.accumulate = cfg.Settings.On("accumulate")
			return r, nil
		},
	})
}
