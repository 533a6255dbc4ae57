package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// trainedRun makes up a finished run on a space of DARTS whose network was trained, with a
// test error. Images other than procedural are those of the search, too.
func trainedRun(t testing.TB, images string, space spaces.Name, algorithm string, seed uint64, testError float64) *results.History {
	t.Helper()
	p := testProvenance()
	p.Table, p.TableDetail, p.TableDigest, p.Images, p.ImagesDigest = results.NoTable, "", results.NoTable, images, images
	h := historyOf(t, space, algorithm, seed, p, testConfig)
	s, err := darts.Get(space)
	if err != nil {
		t.Fatal(err)
	}
	g, err := darts.ParseGenotype("sep3:0 skip:1 / skip:0 sep3:1 / sep3:0 skip:2 / sep3:0 sep3:4 | sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Architecture(g)
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.Epochs {
		h.Epochs[i].Cell, h.Epochs[i].Lookup, h.Epochs[i].Architecture = results.Cell{}, results.Lookup{}, &a
	}
	h.Evaluation = &results.Evaluation{
		Format:  results.EvaluationVersion,
		Subject: results.Subject{Form: results.FormCIFAR, Space: space, Genotype: g.Line(), Run: h.Run.Name()},
		Seed:    seed, Provenance: p,
		Recipe: results.Recipe{
			Epochs: 20, Batch: 96, Channels: 8, Cells: 8, Side: 16, Classes: 10, Optimizer: "sgd", LearningRate: 0.025, Schedule: "cosine", Momentum: 0.9, WeightDecay: 3e-4,
			Clip: 5, Cutout: 8, DropPath: 0.2, AuxiliaryWeight: 0.4, TrainedOn: results.PartAll, MeasuredOn: results.PartTest, TrainImages: 2560, TestImages: 1000,
		},
		Test: results.Score{Loss: 1, Accuracy: 1 - testError}, Train: results.Score{Loss: 1, Accuracy: 0.75},
		Parameters: 1_250_000, ParametersAuxiliary: 1_700_000, MACs: 50_000_000, Seconds: 1800,
	}
	h.Evaluation.Provenance.Scale = "8 cells, 8 channels, side 16, 2,560 images"
	if err := h.Evaluation.Check(); err != nil {
		t.Fatal(err)
	}
	return h
}

// trainedInput has two seeds of three algorithms on S2 and on the space of DARTS, and on S2
// of another kind of images.
func trainedInput(t testing.TB) Input {
	var in Input
	for seed := range uint64(2) {
		own := 0.02 * float64(seed)
		in.Runs = append(in.Runs,
			trainedRun(t, "procedural", "darts-s2", "darts", seed, 0.30+own), trainedRun(t, "procedural", "darts-s2", "sdarts-rs", seed, 0.26+own), trainedRun(t, "procedural", "darts-s2", "sdarts-adv", seed, 0.24+own),
			trainedRun(t, "procedural", "darts", "darts", seed, 0.20+own), trainedRun(t, "procedural", "darts", "sdarts-adv", seed, 0.22+own))
		in.Beside = append(in.Beside, trainedRun(t, results.CIFAR100, "darts-s2", "darts", seed, 0.60+own), trainedRun(t, results.CIFAR100, "darts-s2", "pc-darts", seed, 0.64+own))
	}
	return in
}

func TestTrainedTables(t *testing.T) {
	in := trainedInput(t)
	in.Runs[1].Evaluation.Recipe.Epochs = 40 // seed 0 of sdarts-rs on S2, made otherwise
	in.Runs[7].Evaluation = nil              // seed 1 of sdarts-adv on S2
	in.Runs[9].Evaluation.SearchSeconds = new(7200.0)
	s, err := newStudy(in)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]table{}
	for _, table := range s.trainedTables() {
		tables[table.name] = table
	}
	var names []string
	for name := range tables {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"trained-darts-procedural", "trained-darts-s2-cifar100", "trained-darts-s2-procedural", "trained-error"}; !slices.Equal(names, want) {
		t.Fatalf("tables %q, want %q", names, want)
	}
	for _, test := range []struct{ table, want string }{
		{"trained-error", "algorithm,procedural_darts_trained_error_mean,procedural_darts_trained_error_std,procedural_darts_trained_error_n,procedural_darts_trained_error_paper,procedural_darts-s2_trained_error_mean,"},
		{"trained-error", "\nSDARTS-RS,,,0,,0.28,,1,0.0275,,,0,\n"},
		{"trained-error", "\nPC-DARTS,,,0,,,,0,,0.65,"},
		{"trained-darts-procedural", "1.25e+06,0,2,3.3e+06,5e+07,0,2,"},                                                                   // the paper's parameters
		{"trained-darts-s2-procedural", "1.25e+06,0,2,5e+07,"},                                                                            // none there
		{"trained-darts-procedural", "\nSDARTS-ADV,2,0.22999999999999998,"},                                                               // both seeds
		{"trained-darts-procedural", ",search_hours_mean,search_hours_std,"},                                                              // no GPU
		{"trained-darts-s2-procedural", "\nDARTS,2,0.31000000000000005,0.014142135623730963,2,0.048499999999999995,0.30000000000000004,"}, // the paper's Table 4
		{"trained-darts-procedural", "\nDARTS,2,0.20999999999999996,0.014142135623730963,2,0.03,"},                                        // and its Table 1
		{"trained-error", ",0.61,0.014142135623730963,2,0.2605\n"},
	} {
		if text := tables[test.table].csv(); !strings.Contains(text, test.want) {
			t.Errorf("%s lacks %q:\n%s", test.table, test.want, text)
		}
	}
	latex := tables["trained-error"].latex()
	for _, want := range []string{`\textbf{21.00 $\pm$ 1.41}`, `\underline{23.00 $\pm$ 1.41}`, `\textbf{24.00 (n = 1)}`, `\underline{28.00}`, `\textbf{61.00 $\pm$ 1.41}`} {
		if !strings.Contains(latex, want) {
			t.Errorf("no %s in\n%s", want, latex)
		}
	}
	if text := tables["trained-darts-procedural"].latex(); !strings.Contains(text, `1.25 $\pm$ 0.00 \textcolor{gray}{3.30}`) {
		t.Errorf("no grey parameters in\n%s", text)
	}
	caption := tables["trained-error"].caption.alone
	for _, want := range []string{
		"Trained on procedural, a stand-in: preset quick, 8 cells, 8 channels, side 16, 2,560 images, 20 epochs, batch 96, cutout 8, drop path 0.2, auxiliary weight 0.4; tested on 1000. Engine: ref, float64. Evaluations made otherwise, which do not count: 1.",
		"networks of 8 cells instead of 20; networks of 8 channels instead of 36; trained for 20 epochs instead of 600", "Trained on CIFAR-100: ", "networks of 8 channels instead of 16",
	} {
		if !strings.Contains(caption, want) {
			t.Errorf("no %q in\n%s", want, caption)
		}
	}
	// Made otherwise in another preset: a table of its own.
	in = trainedInput(t)
	in.Beside = nil
	in.Runs[0].Evaluation.Provenance.Preset = "small"
	if s, err = newStudy(in); err != nil {
		t.Fatal(err)
	}
	names = nil
	for _, table := range s.trainedTables() {
		names = append(names, table.name)
	}
	if diff := cmp.Diff([]string{"trained-error", "trained-darts", "trained-darts-s2", "trained-error-2", "trained-darts-s2-2"}, names); diff != "" {
		t.Error(diff)
	}
}

// The paper's shares of parameter-free operations stand beside ours.
func TestPaperShares(t *testing.T) {
	s, err := newStudy(trainedInput(t))
	if err != nil {
		t.Fatal(err)
	}
	text := s.parameterFreeTable([]spaces.Name{"darts", "darts-s2"}).csv()
	for _, want := range []string{"darts-s2_parameter_free_n,darts-s2_parameter_free_paper\n", "\nSDARTS-RS,,,0,0.25,0,2,0.375\n", "\nSDARTS-ADV,0.25,0,2,0.25,0,2,0.125\n", "\nDARTS,0.25,0,2,0.25,0,2,\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The report has them with marks and greys, in the order of their inputs or any other.
func TestTrainedReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	in := trainedInput(t)
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	first := folder(t, dir)
	slices.Reverse(in.Runs)
	slices.Reverse(in.Beside)
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, folder(t, dir)); diff != "" {
		t.Error("a second report of the same runs differs")
	}
	for _, want := range []string{`<td class="best">25.00 ± 1.41 <span class="paper">2.65</span></td>`, `<td class="second">27.00 ± 1.41 <span class="paper">2.75</span></td>`, `<span class="paper">12.5</span>`, "CIFAR-100, darts-s2"} {
		if !strings.Contains(first[Page], want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if keep := os.Getenv("NB1SHOT_REPORT"); keep != "" {
		if err := os.CopyFS(keep, os.DirFS(dir)); err != nil {
			t.Error(err)
		}
	}
}
