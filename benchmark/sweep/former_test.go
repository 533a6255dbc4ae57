package sweep

import (
	"os"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// asNamed answers as the surrogate and has the name of another table.
type asNamed struct {
	nasbench.Oracle
	source nasbench.Source
}

func (o asNamed) Source() nasbench.Source { return o.source }

// formerTable is the table that testdata/former.json names.
var formerTable = asNamed{nasbench.Default(), nasbench.Source{
	Kind: nasbench.KindSynthetic, Digest: "891afdc93b3881b60536a2d99f8e8f56a3236f3d0cae83a4ceceab13aadfd907",
}}

// A sweep that was begun when the preset smoke was called quick goes on with the
// same values.
func TestRenamed(t *testing.T) {
	text, err := os.ReadFile("testdata/former.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Renamed(t.Context(), nasbench.Default()); got != "" {
		t.Errorf("with another table it is called %q", got)
	}
	if m.Shared.Values = m.Renamed(t.Context(), formerTable); m.Shared.Values != "smoke" {
		t.Fatalf("it is called %q now, want smoke", m.Shared.Values)
	}
	images, err := data.Downsample(data.Procedural(320, 0), 16)
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Root: t.TempDir(), Shared: m.Shared, Train: images, Oracle: formerTable, Jobs: 1, Threads: 1}
	for _, u := range m.Units {
		// What is asked for next has the names that it would have had.
		if stem, err := r.Stem(t.Context())(u.Space, u.Algorithm); err != nil || stem != u.Stem() {
			t.Errorf("%s became %s, %v", u.Stem(), stem, err)
		}
	}
	outcomes, err := r.Run(t.Context(), m.Units[1:])
	if got := states(outcomes); err != nil || got != "finished" {
		t.Fatalf("%s, %v, %v", got, err, outcomes[0].Err)
	}
	if h := outcomes[0].History; h.Run.Provenance.Preset != "quick" || h.Run.Setting("images") != "320" {
		t.Errorf("preset %s, images %s", h.Run.Provenance.Preset, h.Run.Setting("images"))
	}
}

// A sweep of a preset that has the name today is what it says.
func TestNotRenamed(t *testing.T) {
	for _, preset := range []string{"quick", "smoke", "paper"} {
		r, _ := tiny(t, "ref32")
		r.Shared.Preset = preset
		m := &Manifest{Shared: r.Shared}
		if got := m.Renamed(t.Context(), r.Oracle); got != "" {
			t.Errorf("%s without units is called %q", preset, got)
		}
		r.Train = data.Procedural(20, 0)
		if _, err := m.Grow(Grid{[]spaces.Name{"1"}, []string{"darts"}, []uint64{0}}, r.Stem(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := m.Renamed(t.Context(), r.Oracle); got != "" {
			t.Errorf("%s is called %q", preset, got)
		}
	}
}

// Runs of one name and of other values are never averaged.
func TestFormerRunsStayApart(t *testing.T) {
	run := func(values, algorithm string, seed uint64) *results.History {
		r, _ := tiny(t, "ref32")
		r.Shared.Preset, r.Shared.Values, r.Shared.Settings = "quick", values, nil
		config, err := r.Shared.Config("2", algorithm)
		if err != nil {
			t.Fatal(err)
		}
		r.Train = data.Procedural(config.Limit, 0)
		search, err := r.prepare(t.Context(), Unit{Space: "2", Algorithm: algorithm, Seed: seed}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return &results.History{Dir: values + "-" + algorithm, Run: search.Record()}
	}
	for _, algorithm := range []string{"darts", "random-search"} {
		curves, err := results.Group([]*results.History{
			run("", algorithm, 0), run("smoke", algorithm, 1), run("", algorithm, 2), run("smoke", algorithm, 3),
		})
		if err != nil || len(curves) != 2 || len(curves[0].Runs) != 2 || len(curves[1].Runs) != 2 {
			t.Fatalf("%s: %d curves, %v, want two of two runs", algorithm, len(curves), err)
		}
		for _, c := range curves {
			if c.Variant == "" || c.Runs[0].Dir != c.Runs[1].Dir {
				t.Errorf("%s: a curve %q of %s and %s", algorithm, c.Variant, c.Runs[0].Dir, c.Runs[1].Dir)
			}
		}
		if err := results.CheckSetting(curves); algorithm == "darts" && err == nil {
			t.Errorf("%s: one figure for both", algorithm)
		}
	}
}

// A sweep that was begun when its preset took λ on the last batch goes on doing so.
func TestLastHessian(t *testing.T) {
	for _, of := range []struct {
		settings map[string]string
		edit     func(*Manifest)
		want     bool
	}{
		{map[string]string{"hessian": "last"}, func(m *Manifest) { m.Shared.Settings = nil }, true},
		{nil, func(*Manifest) {}, false}, // as it is today
		{map[string]string{"hessian": "last"}, func(*Manifest) {}, false},
		{map[string]string{"hessian": "off"}, func(m *Manifest) { m.Shared.Settings = nil }, false},
	} {
		r, _ := tiny(t, "ref32")
		r.Shared.Preset, r.Shared.Settings = "quick", of.settings
		r.Train = data.Procedural(848, 0)
		m := &Manifest{Shared: r.Shared}
		if _, err := m.Grow(Grid{[]spaces.Name{"1"}, []string{"random-search", "darts"}, []uint64{0}}, r.Stem(t.Context())); err != nil {
			t.Fatal(err)
		}
		of.edit(m)
		if got := m.LastHessian(t.Context(), r.Oracle); got != of.want {
			t.Errorf("%v: %v, want %v", of.settings, got, of.want)
		}
	}
}
