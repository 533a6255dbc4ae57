package results

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/spaces"
)

func TestRunName(t *testing.T) {
	run := testRun(t, 3)
	if got, want := run.Name(), "s2-sdarts-adv-quick-1b6c5481-seed3"; got != want {
		t.Errorf("name %q, want %q: a changed hash orphans every run directory made so far", got, want)
	}
	if got, want := string(run.Config), `{"epochs":2,"perturbation":{"steps":7}}`; got != want {
		t.Errorf("config %s, want %s", got, want)
	}
}

// Integers beyond 2^53 keep their digits.
func TestConfigNumbers(t *testing.T) {
	const config = `{"n":18446744073709551615,"x":3e-05}`
	run, err := NewRun("1", "darts", 0, provenance(), json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	if string(run.Config) != config {
		t.Errorf("config %s, want %s", run.Config, config)
	}
}

func TestConfigHash(t *testing.T) {
	base := testRun(t, 0).ConfigHash
	hash := func(space spaces.Name, algorithm string, seed uint64, p Provenance, config string) string {
		run, err := NewRun(space, algorithm, seed, p, json.RawMessage(config))
		if err != nil {
			t.Fatal(err)
		}
		return run.ConfigHash
	}
	people, engine := provenance(), provenance()
	people.Device, people.ImagesDetail, people.TableDetail = "another CPU", "elsewhere", "elsewhere"
	engine.Engine = "cpu"
	const config = `{"epochs":2,"perturbation":{"steps":7}}`
	tests := map[string]struct {
		hash string
		same bool
	}{
		"order and blanks":   {hash("2", "sdarts-adv", 0, provenance(), ` { "perturbation": {"steps":7}, "epochs":2 } `), true},
		"seed":               {hash("2", "sdarts-adv", 9, provenance(), config), true},
		"details and device": {hash("2", "sdarts-adv", 0, people, config), true},
		"space":              {hash("1", "sdarts-adv", 0, provenance(), config), false},
		"algorithm":          {hash("2", "sdarts-rs", 0, provenance(), config), false},
		"engine":             {hash("2", "sdarts-adv", 0, engine, config), false},
		"setting":            {hash("2", "sdarts-adv", 0, provenance(), `{"epochs":2,"perturbation":{"steps":1}}`), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.hash == base; got != test.same {
				t.Errorf("same hash: %v, want %v", got, test.same)
			}
		})
	}
}

func TestNewRunRefuses(t *testing.T) {
	without := func(change func(*Provenance)) Provenance {
		p := provenance()
		change(&p)
		return p
	}
	tests := map[string]struct {
		space     spaces.Name
		algorithm string
		p         Provenance
		config    string
		field     string
	}{
		"space":           {"4", "darts", provenance(), `{}`, "space"},
		"algorithm":       {"1", "../darts", provenance(), `{}`, "algorithm"},
		"preset":          {"1", "darts", without(func(p *Provenance) { p.Preset = "" }), `{}`, "provenance.preset"},
		"no digest":       {"1", "darts", without(func(p *Provenance) { p.TableDigest = "" }), `{}`, "provenance.table_digest"},
		"no object":       {"1", "darts", provenance(), `[1]`, "config"},
		"null":            {"1", "darts", provenance(), `null`, "config"},
		"seed in configs": {"1", "darts", provenance(), `{"seed":1}`, "config.seed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewRun(test.space, test.algorithm, 0, test.p, json.RawMessage(test.config))
			var f *FormatError
			if !errors.As(err, &f) || f.Field != test.field {
				t.Errorf("error %v, want a FormatError of %s", err, test.field)
			}
		})
	}
}

func TestDifference(t *testing.T) {
	a, b := provenance(), provenance()
	b.Device, b.ImagesDetail = "another CPU", "elsewhere"
	if name, _, _ := Difference(a, b); name != "" {
		t.Errorf("details differ in %s", name)
	}
	b.Engine = "cpu"
	if name, x, y := Difference(a.Key(), b.Key()); name != "engine" || x != "ref" || y != "cpu" {
		t.Errorf("keys differ in %s: %s, %s", name, x, y)
	}
	if name, _, _ := Difference(a.Setting(), b.Setting()); name != "" {
		t.Errorf("settings differ in %s", name)
	}
	b.Precision = MixedPrecision
	if name, x, y := Difference(a.Setting(), b.Setting()); name != "precision" || x != "full" || y != MixedPrecision {
		t.Errorf("settings differ in %q: %s, %s, want precision", name, x, y)
	}
	b.Precision = a.Precision
	b.TableDigest = "cc33"
	if name, _, _ := Difference(a.Setting(), b.Setting()); name != "table_digest" {
		t.Errorf("settings differ in %q, want table_digest", name)
	}
}

func TestFormatErrorText(t *testing.T) {
	err := &FormatError{Path: "runs/x/epochs.jsonl", Line: 3, Field: "hessian.min", Err: errors.New("is wrong")}
	if got, want := err.Error(), "runs/x/epochs.jsonl:3: hessian.min: is wrong"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := invalid("a", "b").Error(); strings.HasPrefix(got, ":") || got != "a: b" {
		t.Errorf("%q", got)
	}
}
