package algorithms

func init() {
	Register(Definition{
		Name:  "darts",
		Title: "DARTS",
		Doc: "First-order DARTS (Liu et al., ICLR 2019): one Adam step of the architecture parameters on a search batch, " +
			"then one SGD step of the weights on a training batch, both mixing by the softmax.",
		Options: relaxationOptions(),
		New:     func(cfg Config) (Searcher, error) { return newRelaxation("darts", cfg, 0), nil },
	})
}
