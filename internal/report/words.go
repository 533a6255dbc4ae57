package report

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

// paperPerplexity has the perplexities of the paper's Table 3, on the validation and the test
// text of Penn Treebank, and the parameters in millions.
var paperPerplexity = map[string]struct{ valid, test, parameters float64 }{
	"darts": {60.2, 57.6, 23}, "darts-2nd": {58.1, 55.7, 23}, "gdas": {59.8, 57.5, 23}, "nasp": {59.9, 57.3, 23},
	"sdarts-rs": {58.7, 56.4, 23}, "sdarts-adv": {58.3, 56.1, 23},
}

// perplexityTables are of language models that were trained from scratch, in the form of the
// paper's Table 3: one for each way of training, that of most runs first.
func (s *study) perplexityTables() (all []table) {
	curves := slices.Concat(append([][]results.Curve{s.curves}, s.beside...)...)
	var runs []*results.History
	for _, c := range curves {
		runs = append(runs, complete(c)...)
	}
	for i, g := range results.GroupEvaluations(runs, results.PartTestText) {
		t := table{
			name: "trained-perplexity", title: "Perplexity of language models trained from scratch",
			columns: []column{
				{"n", "n", nil}, {"valid_perplexity", "Validation", oneDecimal}, {"test_perplexity", "Test", oneDecimal},
				{"parameters", "Parameters (M)", significantMillions}, {"training_hours", "Training (h)", significant},
			},
		}
		if i > 0 {
			t.name = fmt.Sprintf("%s-%d", t.name, i+1)
		}
		var searched []results.Curve
		for _, c := range curves {
			over := func(number func(results.Evaluation) float64) entry {
				return entry{statistic: overRuns(c, func(h *results.History) *float64 {
					if h.Evaluation == nil || h.Evaluation.Key() != g.Key {
						return nil
					}
					return new(number(*h.Evaluation))
				})}
			}
			valid := over(func(e results.Evaluation) float64 { return e.Words.Valid.Perplexity })
			if valid.n == 0 {
				continue
			}
			test := over(func(e results.Evaluation) float64 { return e.Words.Test.Perplexity })
			parameters := over(func(e results.Evaluation) float64 { return float64(e.Parameters) })
			if paper, ok := paperPerplexity[c.Algorithm]; ok && c.Variant == "" {
				valid.paper, test.paper, parameters.paper = new(paper.valid), new(paper.test), new(1e6*paper.parameters)
			}
			searched = append(searched, c)
			t.rows = append(t.rows, row{plots.CurveName(c), valid.n, []entry{
				{text: fmt.Sprint(valid.n)}, valid, test, parameters, over(func(e results.Evaluation) float64 { return e.Seconds / 3600 }),
			}})
		}
		t.markBest(2)
		t.caption = perplexityCaption(g.Key, searched)
		all = append(all, t)
	}
	return all
}

// perplexityCaption says how the networks were trained, on what, and what is unlike the paper.
func perplexityCaption(k results.EvaluationKey, searched []results.Curve) caption {
	p, r := k.Provenance, k.Recipe
	text := "Perplexity of the language model of the recurrent cell that a search ended with, trained from scratch: of the weights of the epoch with the lowest validation loss, as the released code measures it (quirk R1); mean ± standard deviation over n finished runs. " +
		"The validation text chose the epoch, and in the released code the architecture too (quirk R5). The lowest mean on the test text is bold, the next one underlined. As the paper's Table 3, whose numbers are in grey; those of GDAS and NASP are quotations there."
	how := fmt.Sprintf("Trained on %s%s: preset %s, %s, %d epochs, batch %d. Engine: %s, %s.",
		plots.ImagesName(p.Images), standInMark(p), p.Preset, p.Scale, r.Epochs, r.Batch, p.Engine, p.Precision)
	var unlike []string
	for _, m := range []struct {
		ours, paper float64
		what        string
	}{
		{float64(r.Words.Hidden), 850, "networks of %g hidden units instead of %g"},
		{float64(r.Epochs), 8000, "trained for %g epochs instead of at most %g"},
		{float64(r.Batch), 64, "trained with %g sequences side by side instead of %g"},
		{r.Words.Output, 0.75, "dropout of %g of the outputs instead of %g"},
	} {
		if m.ours != m.paper {
			unlike = append(unlike, fmt.Sprintf(m.what, m.ours, m.paper))
		}
	}
	if p.Images != results.PennTreebank {
		unlike = append(unlike, fmt.Sprintf("trained on the text %s instead of Penn Treebank", p.Images))
	}
	return caption{
		alone: paragraphs(text, how, "Searches: "+provenance(searched), unlikePaper(unlike)),
		page:  paragraphs(text, how, unlikePaper(unlike)),
	}
}
