package verify

import (
	"fmt"

	"github.com/nb1shot/nb1shot/algorithms"
)

// earlyStops follows the tracker of DARTS-ES over sequences of eigenvalues.
func earlyStops(g *golden, out *findings) error {
	n, stopped := g.lengths["cases"], 0
	for i := range n {
		at := fmt.Sprintf("cases[%d].", i)
		rule := algorithms.StopRule{
			Window: g.integer(at + "window"), Distance: g.integer(at + "delta"), Factor: g.number(at + "factor"),
			Start: g.integer(at + "es_start_epoch"), Every: g.integer(at + "every"),
		}
		epochs := g.integer(at + "epochs")
		if epochs < 1 || rule.Every < 1 || rule.Window < 3 || rule.Distance < 1 {
			return fmt.Errorf("sequence %d has %d epochs and the rule %+v", i, epochs, rule)
		}
		eigenvalues := g.numbers(at+"eigenvalues_by_epoch", epochs)
		stop, back := -1, -1
		for e := 0; e < epochs-1 && stop < 0; e += rule.Every {
			out.integers(fmt.Sprintf("%sla_epochs.%d", at, e), []int{rule.Centre(e)})
			if b, s := rule.Stop(eigenvalues[:e+1]); s {
				stop, back = e, b
			}
		}
		if stop < 0 {
			out.text(at+"stopped_in_epoch", "null")
			out.text(at+"architecture_of_epoch", "null")
			out.set(at+"local_averages", rule.Averages(eigenvalues, epochs)...)
			continue
		}
		stopped++
		out.integers(at+"stopped_in_epoch", []int{stop})
		out.integers(at+"architecture_of_epoch", []int{back})
		out.set(at+"local_averages", rule.Averages(eigenvalues[:stop+1], 0)...)
	}
	out.integers("n", []int{n})
	out.integers("stopped", []int{stopped})
	return nil
}

// cellSchedules computes what an epoch of a search, or of the training of what it found,
// uses.
func cellSchedules(g *golden, out *findings) error {
	values := func(at string, schedule func(at string, epochs int) func(epoch int) float64) error {
		epochs := g.integer(at + "epochs")
		if epochs < 6 || epochs > 1e6 {
			return fmt.Errorf("%sepochs is %d, want 6 to 1000000", at, epochs)
		}
		value := schedule(at, epochs)
		all := make([]float64, epochs)
		for e := range all {
			all[e] = value(e)
		}
		out.set(at+"values", all...)
		return nil
	}
	imageNet := func(at string, epochs int) func(int) float64 {
		return algorithms.ImageNetRate{Max: g.number(at + "lr"), Epochs: epochs, Batch: g.integer(at + "batch")}.At
	}
	for name, schedule := range map[string]func(at string, epochs int) func(epoch int) float64{
		"search_cosine":               cosine(g, out, "e+1"),
		"search_cosine_epoch_e":       cosine(g, out, "e"),
		"pcdarts_cosine_epoch_e":      cosine(g, out, "e"),
		"pdarts_stage_cosine_epoch_e": cosine(g, out, "e"),
		"eval_cosine":                 cosine(g, out, "e+1"),
		"epsilon": func(at string, epochs int) func(int) float64 {
			return algorithms.Linear{From: 0.03, To: g.number(at + "max"), Length: epochs}.At
		},
		"search_drop_path": func(at string, epochs int) func(int) float64 {
			return algorithms.Linear{To: g.number(at + "max"), Length: epochs - 1}.At
		},
		"eval_drop_path": func(at string, epochs int) func(int) float64 {
			return algorithms.Linear{To: g.number(at + "max"), Length: epochs}.At
		},
		"imagenet_linear":             imageNet,
		"imagenet_linear_small_batch": imageNet,
	} {
		if err := values("schedules."+name+".", schedule); err != nil {
			return err
		}
	}
	for i := range g.lengths["schedules.pdarts_dropout"] {
		at := fmt.Sprintf("schedules.pdarts_dropout[%d].", i)
		out.integers(at+"stage", []int{i + 1})
		err := values(at, func(at string, epochs int) func(int) float64 {
			return algorithms.StageDropout{Rate: g.number(at + "rate"), Epochs: epochs, WarmStart: g.integer(at + "no_arch_epochs")}.At
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cosine is a learning rate that epoch e takes at e, or at e+1.
func cosine(g *golden, out *findings, convention string) func(at string, epochs int) func(epoch int) float64 {
	return func(at string, epochs int) func(int) float64 {
		out.text(at+"convention", convention)
		rate := algorithms.Cosine{Max: g.number(at + "lr"), Min: g.number(at + "min"), Length: epochs}
		if convention == "e" {
			return rate.At
		}
		return func(e int) float64 { return rate.At(e + 1) }
	}
}
