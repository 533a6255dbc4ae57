package plots

import (
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// tableSearch is a run that asked a table: an incumbent after each of some trainings.
func tableSearch(t testing.TB, algorithm string, seed uint64, errors ...float64) *results.History {
	h := history(t, "1", algorithm, seed, 1, map[string]any{"evaluate": "after"})
	q := &results.Queries{}
	for i, e := range errors {
		q.Add(108, 1, new(3600*float64(i+1)))
		q.Incumbents = append(q.Incumbents, results.Incumbent{
			Trainings: i + 1, Epochs: q.Epochs, Seconds: q.Seconds, Budget: 108,
			Lookup: results.Lookup{TestError: &e, ValidError: new(e / 2), Parameters: 1_000_000 * (i + 1)},
		})
		h.Epochs[0].Lookup = results.Lookup{Source: "surrogate", TestError: &e, Parameters: 1_000_000 * (i + 1)}
	}
	h.Epochs[0].Queries, h.Epochs[0].Seconds = q, map[string]float64{"steps": 2}
	final := h.Epochs[0]
	final.Final, final.Epoch, final.Training, final.Queries = true, 1, nil, nil
	h.Epochs = append(h.Epochs[:1], final)
	return h
}

func TestAnytime(t *testing.T) {
	darts := history(t, "1", "darts", 0, 3, map[string]any{})
	darts.Epochs[0].Warning = "made up"
	for i := range darts.Epochs {
		darts.Epochs[i].Seconds = map[string]float64{"steps": 2}
	}
	curves := group(t,
		tableSearch(t, "tpe", 0, 0.1, 0.08, 0.06), tableSearch(t, "tpe", 1, 0.12, 0.06, 0.055),
		tableSearch(t, "bohb", 0, 0.09, 0.07, 0.06), darts)
	anchor := map[spaces.Name]Anchor{"1": {TestError: 0.05, ValidationError: 0.02, Source: "made up"}}
	for name, test := range map[string]struct {
		clock results.Clock
		o     Options
		want  []string
		notes string
	}{
		"cost":       {results.ByCost, Options{Regret: anchor}, []string{"Simulated training time (hours)", "Surrogate test regret (points)", "TPE (table)", "1", "2"}, "one standard error. Seeds: 1–2."},
		"trainings":  {results.ByTrainings, Options{}, []string{"Training, in full trainings of 108 epochs", "Surrogate test error (%)"}, "Records say: made up. Without such a time: DARTS."},
		"validation": {results.ByTrainings, Options{Validation: true, Regret: anchor, Median: true}, []string{"Surrogate validation regret (points)"}, "Regret: validation error above 2.00 % in space 1 (made up)."},
		"wall time":  {results.BySeconds, Options{}, []string{"Wall time of the search (s)", "DARTS"}, "Wall time"},
	} {
		f, err := Anytime(curves, test.clock, test.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := texts(t, f)
		for _, want := range test.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no %q in %q", name, want, got)
			}
		}
		if joined := strings.Join(got, " "); !strings.Contains(joined, test.notes) {
			t.Errorf("%s: no %q in %q", name, test.notes, joined)
		}
	}
	f, err := ErrorOverParameters(curves, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, f); !slices.Contains(got, "Trainable parameters (millions)") || !slices.Contains(got, "BOHB (table)") {
		t.Errorf("%q", got)
	}

	// What has no logarithm leaves the axes, and is told.
	best := group(t, tableSearch(t, "tpe", 0, 0.1, 0.05))
	if f, err = Anytime(best, results.ByCost, Options{Regret: anchor}); err != nil {
		t.Fatal(err)
	}
	if joined := strings.Join(texts(t, f), " "); !strings.Contains(joined, "a line leaves the axes") {
		t.Errorf("a regret of 0 is not told: %q", joined)
	}
	for name, refused := range map[string]func() (*Figure, error){
		"no clock": func() (*Figure, error) {
			return Anytime(group(t, history(t, "1", "darts", 0, 3, map[string]any{})), results.ByCost, Options{})
		},
		"no anchor": func() (*Figure, error) {
			return Anytime(curves, results.ByCost, Options{Regret: map[spaces.Name]Anchor{"2": {}}})
		},
		"no validation anchor": func() (*Figure, error) {
			return Anytime(curves, results.ByCost, Options{Validation: true, Regret: map[spaces.Name]Anchor{"1": {TestError: 0.05, Source: "x"}}})
		},
		"nobody": func() (*Figure, error) { return Anytime(curves, results.ByCost, Options{Algorithms: []string{"nasp"}}) },
	} {
		if _, err := refused(); err == nil {
			t.Errorf("%s: drawn", name)
		}
	}
}
