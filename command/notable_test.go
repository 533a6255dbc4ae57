package command

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
)

// withoutTable makes finished runs of a space without a table into the folder root.
func withoutTable(t *testing.T, root string, algorithms ...string) {
	t.Helper()
	p := results.Provenance{
		Images: "procedural", ImagesDigest: "aa11", Table: results.NoTable, TableDigest: "none",
		Preset: "smoke", Scale: "3 cells", Engine: "ref", Precision: "float64", Device: "CPU of a test",
	}
	cell := results.Cell{Matrix: [][]int{{0, 1, 1}, {0, 0, 1}, {0, 0, 0}}, Operations: []string{"input", "conv3x3-bn-relu", "output"}, Hash: "a86afbb5ef4a11ef1a4d8b1e2a7c0b1d"}
	for k, algorithm := range algorithms {
		for seed := range uint64(3) {
			run, err := results.NewRun("1", algorithm, seed, p, map[string]any{"epochs": 10})
			if err != nil {
				t.Fatal(err)
			}
			w, err := results.Create(root, run)
			if err != nil {
				t.Fatal(err)
			}
			for e := range 11 {
				record := results.Epoch{Epoch: e, Cell: cell, Final: e == 10}
				if !record.Final {
					record.Training = &results.Training{Loss: 2, Accuracy: 0.3, LearningRate: 0.1}
					record.Search = &results.Score{Loss: 2, Accuracy: 0.2}
					record.Projection = &results.Projection{Gap: 0.01 * float64(k+1), Images: 10}
					lambda := 0.1 * math.Pow(1.5, float64(e*(k+1))) * (1 + 0.1*float64(seed))
					record.Hessian = &results.Hessian{
						Eigenvalues: []float64{0, lambda}, Reported: lambda, SpectralNorm: lambda, Batch: 10, Definition: "made up",
					}
				}
				if err := w.Append(record); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Records without a lookup are whole: every command that reads runs works, and shows
// what is missing as missing.
func TestWithoutTable(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("NB1SHOT_HOME", filepath.Join(dir, "home"))
	runs := filepath.Join(dir, "runs")
	withoutTable(t, runs, "darts", "sdarts-rs")
	out := func(name string) string { return filepath.Join(dir, name) }
	one, err := filepath.Glob(filepath.Join(runs, "s1-sdarts-rs-*-seed0"))
	if err != nil || len(one) != 1 {
		t.Fatal(one, err)
	}
	for _, test := range []struct {
		args string
		want string // in what it prints
	}{
		{"results ls RUNS", "sdarts-rs"},
		{"results show ONE", "λ"},
		{"results export RUNS --format csv -o " + out("runs.csv"), ""},
		{"plot RUNS -o " + out("figures"), "hessian.png"},
		{"stability RUNS --against darts", "^no table: the space has none, and no test errors.*\n\nspace 1\n.*growth of λ"},
		{"claims RUNS", `P6 .*(supported|contradicted|undecided)`},
		{"report RUNS -o " + out("report"), "index.html"},
		{"gate --make " + out("baseline.json") + " RUNS", "runs: 6"},
		{"gate --baseline " + out("baseline.json") + " RUNS", "pass"},
		{"cell ONE -o " + out("cell.svg"), ""},
	} {
		var stdout, stderr bytes.Buffer
		args := []string{"nb1shot"}
		for _, a := range strings.Fields(test.args) {
			args = append(args, strings.NewReplacer("RUNS", runs, "ONE", one[0]).Replace(a))
		}
		if code := run(args, &stdout, &stderr); code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", test.args, code, &stdout, &stderr)
		} else if !regexp.MustCompile(test.want).MatchString(stdout.String()) {
			t.Errorf("%s: no %q in\n%s", test.args, test.want, &stdout)
		} else if strings.Contains(stdout.String(), "NaN") {
			t.Errorf("%s: NaN in\n%s", test.args, &stdout)
		}
		if testing.Verbose() {
			fmt.Printf("== %s\n%s%s", test.args, &stdout, &stderr)
		}
	}
	if _, err := os.Stat(out("figures/test-error.png")); err == nil {
		t.Error("a figure of test errors that nobody has")
	}
}
