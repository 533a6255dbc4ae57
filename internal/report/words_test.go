package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Language models that were trained alike are in one table as the paper's Table 3, those that
// were trained otherwise in another, and none among the networks of images.
func TestPerplexityTables(t *testing.T) {
	in := Input{}
	for seed := range uint64(2) {
		for i, algorithm := range []string{"darts", "sdarts-rs", "sdarts-adv", "random-ws"} {
			h := trainedRun(t, "procedural", "darts-s2", algorithm, seed, 0.3)
			p := h.Evaluation.Provenance
			p.Images, p.Scale = results.PennTreebank, "200 hidden units, 100000 words"
			valid := results.NewPerplexity(4.75+0.02*float64(i)+0.01*float64(seed), 4.76+0.02*float64(i)+0.01*float64(seed))
			genotype, _ := rnn.FindPublished("penn_pgd")
			h.Evaluation = &results.Evaluation{
				Format:  results.EvaluationVersion,
				Subject: results.Subject{Form: results.FormRecurrent, Space: "darts-s2", Genotype: genotype.Genotype.Line(), Run: h.Run.Name()},
				Seed:    seed, Provenance: p,
				Recipe: results.Recipe{
					Epochs: 40, Batch: 20, Optimizer: "asgd", LearningRate: 20, FinalLearningRate: 20, Schedule: "constant", TrainedOn: results.PartAll, MeasuredOn: results.PartTestText,
					TrainImages: 100_000, TestImages: 10_000,
					Words: results.WordsRecipe{Vocabulary: 10_000, Hidden: 200, BPTT: 35, Output: 0.2, Patience: 5, ValidBatch: 10, TestBatch: 1, ValidWords: 10_000},
				},
				Words:      &results.WordsResult{Valid: valid, Test: results.NewPerplexity(valid.Loss-0.1, valid.Loss-0.05), Epoch: 30},
				Parameters: 2_810_000, ParametersAuxiliary: 2_810_000, MACs: 2_800_000, Seconds: 360,
			}
			if err := h.Evaluation.Check(); err != nil {
				t.Fatal(err)
			}
			in.Runs = append(in.Runs, h)
		}
	}
	in.Runs[7].Evaluation.Recipe.Words.Hidden = 100 // seed 1 of random-ws
	s, err := newStudy(in)
	if err != nil {
		t.Fatal(err)
	}
	if all := s.trainedTables(); len(all) > 0 {
		t.Errorf("%d tables of test errors", len(all))
	}
	tables := s.perplexityTables()
	var names []string
	for _, table := range tables {
		names = append(names, table.name)
	}
	if want := []string{"trained-perplexity", "trained-perplexity-2"}; !slices.Equal(names, want) {
		t.Fatalf("tables %q, want %q", names, want)
	}
	text := tables[0].csv()
	for _, want := range []string{
		"algorithm,n,valid_perplexity_mean,valid_perplexity_std,valid_perplexity_n,valid_perplexity_paper,test_perplexity_mean,",
		"\nDARTS,2,116.1", ",60.2,", "\nSDARTS-ADV,2,", ",56.1,2.81e+06,0,2,2.3e+07,0.1,0,2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := tables[1].csv(); strings.Count(text, "\n") != 2 || !strings.Contains(text, ",1,") {
		t.Errorf("the other table:\n%s", text)
	}
	latex := tables[0].latex()
	for _, want := range []string{`\textbf{105.1 $\pm$ 0.7} \textcolor{gray}{57.6}`, `\underline{107.2`} {
		if !strings.Contains(latex, want) {
			t.Errorf("no %s in\n%s", want, latex)
		}
	}
	for _, want := range []string{"Trained on Penn Treebank: preset quick, 200 hidden units, 100000 words, 40 epochs, batch 20", "networks of 200 hidden units instead of 850", "trained for 40 epochs instead of at most 8000", "dropout of 0.2 of the outputs instead of 0.75"} {
		if caption := tables[0].caption.alone; !strings.Contains(caption, want) {
			t.Errorf("no %q in\n%s", want, caption)
		}
	}
}

// What stands in the place of a figure has perplexities as they are and shares in percent.
func TestCourse(t *testing.T) {
	s := &study{}
	h := &results.History{}
	for _, loss := range []float64{math.Log(120), math.Log(30)} {
		share := loss / 10
		h.Epochs = append(h.Epochs, results.Epoch{
			Language:  &results.Language{Validation: &results.Predicted{Perplexity: math.Exp(loss)}},
			Structure: &results.Structure{ParameterFree: share},
		})
	}
	some := selection{curves: []results.Curve{{Space: "rnn", Algorithm: "darts", Runs: []*results.History{h}}}}
	for _, c := range []struct {
		figure figure
		want   string
	}{
		{s.perplexityFigure(some), "from 120 to 30."},
		{s.parameterFreeFigure(some), "from 47.9 to 34."},
	} {
		if !strings.HasSuffix(c.figure.alt, c.want) {
			t.Errorf("%s: %q does not end in %q", c.figure.name, c.figure.alt, c.want)
		}
	}
}
