package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nb1shot/nb1shot/benchmark/claims"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// TestClaimsFitATerminal: whatever the numbers, no line is wider than it may be.
func TestClaimsFitATerminal(t *testing.T) {
	setting := claims.Setting{
		Provenance: results.Provenance{Images: "procedural", Table: "surrogate", Preset: "quick", Scale: strings.Repeat("9 cells, 16 channels, ", 5)},
		Epochs:     100, Spaces: []spaces.Name{"1", "2", "3"}, StandIns: []string{"The images are a stand-in, not CIFAR-10."},
		Algorithms: []string{"darts", "gdas"}, Changed: []claims.Change{{Name: "settings.arch-learning-rate", Value: "0.0098", Algorithms: []string{"darts"}}},
		LeftOut: []string{"space 2, darts, " + strings.Repeat("settings.arch-learning-rate 0.0071, ", 4) + "settings.momentum 0.5: seed 0-5"},
	}
	about := slices.DeleteFunc(slices.Clone(claims.All), func(c claims.Claim) bool { return !c.SpeaksOf("1") })
	for _, c := range about {
		for _, space := range []spaces.Name{"1", "2", "3"} {
			r := claims.Result{Claim: c.Number, Space: space, Verdict: claims.Contradicted, N: 12, P: new(0.0001), Needed: 1234, Missing: c.Needs}
			p := claims.Part{
				Statement: "gdas changes less than pc-darts", Verdict: claims.Contradicted, Test: "Wilcoxon", N: 12, Samples: []claims.Sample{{Median: -1.23}, {Median: 0.123}},
				Effect: new(-0.123), P: new(0.5), Corrected: new(0.5), Opposite: new(0.0001), Needed: 1234, Note: strings.Repeat("values without a partner are left out: 3; ", 4),
			}
			if c.Number == "P13" {
				r.Verdict, r.P, r.N = claims.Measured, nil, 0
				p = claims.Part{Statement: "sdarts-adv to darts", Verdict: claims.Measured, N: 12, M: 12, Estimate: new(12.345), Paper: new(2.0), Interval: &claims.Interval{Low: 10.234, High: 14.567}}
			}
			r.Parts = []claims.Part{p}
			if c.Number == "P5" {
				r.Parts[0].Statement, r.Parts[0].Test = "log λ of pc-darts rises", "sign test"
				r.Parts[0].Samples = r.Parts[0].Samples[:1]
				r.Parts[0].Interval = &claims.Interval{Low: 12.345, High: 45.678}
			}
			setting.Results = append(setting.Results, r)
		}
	}
	var out bytes.Buffer
	if err := printClaims(&out, &claims.Judgement{Alpha: 0.05, Claims: claims.All, Settings: []claims.Setting{setting, setting}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > claimsWidth || strings.HasSuffix(line, " ") {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(line), line)
		}
	}
	for _, c := range about {
		if !strings.Contains(out.String(), "\n"+c.Number+" ") || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), "Held against: "+c.Definition) {
			t.Errorf("%s is not printed with its definition", c.Number)
		}
	}
}

func TestShortP(t *testing.T) {
	for p, want := range map[float64]string{0.00005: "<.001", 0.0012: ".001", 0.05: ".050", 0.0999: ".100", 0.1: ".10", 0.5: ".50", 1: "1.00"} {
		if got := shortP(p); got != want {
			t.Errorf("%v is written %q, want %q", p, got, want)
		}
	}
}

// TestChangedSettings: a run as its preset has it changes nothing, and one of a
// preset that is not known cannot be told.
func TestChangedSettings(t *testing.T) {
	run := func(preset string, config any) results.Run {
		r, err := results.NewRun("2", "darts", 0, results.Provenance{
			Images: "procedural", ImagesDigest: "aa", Table: "surrogate", TableDigest: "bb", Preset: preset, Scale: "3 cells", Engine: "cpu", Precision: "float32",
		}, config)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	config := map[string]any{"batch": 96, "epochs": 7, "unknown": true, "settings": map[string]any{"momentum": 0.9, "clip": 4}}
	changed := changedSettings(run("paper", config))
	if len(changed) != 1 || changed["settings.clip"] != "4" {
		t.Errorf("changed: %v", changed)
	}
	if changed := changedSettings(run("another", config)); changed != nil {
		t.Errorf("of an unknown preset: %v", changed)
	}
}
