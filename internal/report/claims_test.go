package report

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
)

// written makes a report and returns its page.
func written(t *testing.T, in Input) (dir, page string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "report")
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, Page))
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(text)
}

// TestClaims: the verdicts stand above the figures, with what they were held against,
// and say at which scale and on which stand-ins they hold.
func TestClaims(t *testing.T) {
	in := Input{Runs: histories(t, "darts", "sdarts-rs", "sdarts-adv"), Program: "a test"}
	in.Changed = func(results.Run) map[string]string {
		return map[string]string{"settings.arch-learning-rate": "0.008"}
	}
	dir, page := written(t, in)
	section, rest, ok := strings.Cut(page, `<section id="figures">`)
	if !ok || strings.Contains(rest, claimsTitle) {
		t.Fatal("the claims do not stand above the figures alone")
	}
	for _, want := range []string{
		"<h2>" + claimsTitle + "</h2>", `<a href="#claims">`, `<th scope="row">P1 DARTS deteriorates with time</th><td>undecided (n = 2, p = `,
		"<td>not run</td>", "<dt>P3 SDARTS-ADV ends with better cells than SDARTS-RS.</dt>", "no runs of ENAS, GDAS, NASP, PC-DARTS",
		"measured, relative to DARTS (in the paper): SDARTS-RS 1.00 (1.00), SDARTS-ADV 2.50 (2.00)", "The verdicts hold for runs at this scale (3 cells, 8 channels; 4 epochs).",
		"The images are a stand-in, not CIFAR-10.", "Not as in the preset: arch-learning-rate 0.008.", `<a href="claims.csv">`,
	} {
		if !strings.Contains(section, want) {
			t.Errorf("no %q above the figures", want)
		}
	}
	if strings.Contains(section, "<dt>P9") {
		t.Error("a claim without a verdict is explained")
	}
	text, err := os.ReadFile(filepath.Join(dir, "claims.csv"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(records) < 30 || records[1][5] != "P1" || records[1][7] != "undecided" {
		t.Errorf("claims.csv: %d records, %v", len(records), err)
	}
	latex, err := os.ReadFile(filepath.Join(dir, "claims.tex"))
	if err != nil || !strings.Contains(string(latex), "\nClaim & ") || !strings.Contains(string(latex), `P6 RS and ADV anneal $\lambda$ to a low level & `) {
		t.Errorf("claims.tex: %v\n%s", err, latex)
	}
}

// TestNoClaims: where nothing could be judged there is no table of verdicts.
func TestNoClaims(t *testing.T) {
	dir, page := written(t, Input{Runs: histories(t, "enas", "random-search"), Program: "a test"})
	if strings.Contains(page, claimsTitle) {
		t.Error("verdicts of runs that cannot be judged")
	}
	if _, err := os.Stat(filepath.Join(dir, "claims.csv")); err == nil {
		t.Error("claims.csv is there")
	}
}
