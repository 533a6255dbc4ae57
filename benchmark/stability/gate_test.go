package stability

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/results"
)

// write writes a run to disk and reads it back. The status of a run that is not
// finished is Failed.
func write(t *testing.T, root string, h *results.History) *results.History {
	t.Helper()
	w, err := results.Create(root, h.Run)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.Epochs {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	end := w.Finish
	if h.Status.State != results.Finished {
		end = func() error { return w.Fail(errors.New("the loss is NaN")) }
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	read, err := results.Read(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// scene writes runs of several seeds whose final error and growth of λ grow with
// the seed, from each to the next by a hundredth; worse is added to the errors.
// shape may change a run before it is written.
func scene(t *testing.T, first, n uint64, worse float64, shape func(h *results.History)) []*results.History {
	t.Helper()
	root := t.TempDir()
	var all []*results.History
	for seed := first; seed < first+n; seed++ {
		x := 0.1 + 0.01*float64(seed%10)
		h := history(t, seed, x+worse, x-0.02+worse, x-0.01+worse, x+worse)
		for i := range h.Epochs[:3] {
			h.Epochs[i].Hessian.Reported *= 1 + float64(i)*x
		}
		if shape != nil {
			shape(h)
		}
		all = append(all, write(t, root, h))
	}
	return all
}

func baselineOf(t *testing.T, runs []*results.History) *Baseline {
	t.Helper()
	b, err := NewBaseline(runs)
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = ParseBaseline(text); err != nil {
		t.Fatal(err)
	}
	return b
}

// another gives a run another device.
func another(t *testing.T, h *results.History) {
	p := h.Run.Provenance
	p.Device = "CPU, arm64, plain C"
	var err error
	if h.Run, err = results.NewRun(h.Run.Space, h.Run.Algorithm, h.Run.Seed, p, h.Run.Config); err != nil {
		t.Fatal(err)
	}
}

func TestGate(t *testing.T) {
	b := baselineOf(t, scene(t, 0, 10, 0, nil))
	few := baselineOf(t, scene(t, 0, 3, 0, nil))
	tests := map[string]struct {
		baseline *Baseline
		runs     []*results.History
		seeds    []uint64
		want     Verdict
		fresh    bool
		records  string // GatedCurve.Exact, a regular expression
		lacking  string // GatedCurve.Lacking
		measures map[Name]Verdict
	}{
		"same again":  {b, scene(t, 0, 10, 0, nil), nil, Pass, false, "^the same, of seed 0-9$", "", map[Name]Verdict{FinalError: Pass, EigenvalueGrowth: Pass}},
		"one of them": {b, scene(t, 3, 1, 0, nil), nil, Pass, false, "^the same, of seed 3$", "", map[Name]Verdict{FinalError: TooFew}},
		"other wall times": {b, scene(t, 0, 10, 0, func(h *results.History) {
			h.Epochs[0].Seconds["steps"] = 99
		}), nil, Pass, false, "^the same", "", nil},
		"a number differs": {b, scene(t, 0, 10, 0, func(h *results.History) {
			if h.Run.Seed == 4 {
				h.Epochs[1].Training.Loss += 1e-9
			}
		}), nil, Drifted, false, "^seed 4 departs at record 1 in training$", "", map[Name]Verdict{FinalError: Pass}},
		"a record more": {b, scene(t, 0, 10, 0, func(h *results.History) {
			if h.Run.Seed == 4 {
				last := h.Epochs[3]
				h.Epochs[3] = history(t, 0, 0.1, 0.1, 0.1, 0.13, 0.1).Epochs[3]
				last.Epoch = 4
				h.Epochs = append(h.Epochs, last)
			}
		}), nil, Drifted, false, "^seed 4 departs at record 3 in .*other members$", "", nil},
		"fresh and as good":   {b, scene(t, 10, 10, 0, nil), nil, Pass, true, "^not compared: no seed of the baseline", "", map[Name]Verdict{FinalError: Pass, BestError: Pass, MeanError: Pass, EigenvalueGrowth: Pass}},
		"fresh and better":    {b, scene(t, 10, 10, -0.05, nil), nil, Pass, true, "^not compared", "", map[Name]Verdict{FinalError: Pass}},
		"fresh and worse":     {b, scene(t, 10, 10, 0.2, nil), nil, Degraded, true, "^not compared", "", map[Name]Verdict{FinalError: Degraded, BestError: Degraded, MeanError: Degraded, EigenvalueGrowth: Pass}},
		"common seeds, worse": {b, scene(t, 0, 10, 0.2, nil), nil, Degraded, false, "^seed 0 departs at record 0 in lookup; seed 1", "", map[Name]Verdict{FinalError: Degraded}},
		"fresh but too few":   {b, scene(t, 10, 1, 0, nil), nil, NotComparable, true, "^not compared", "", map[Name]Verdict{FinalError: TooFew}},
		"baseline too small":  {few, scene(t, 10, 3, 0.2, nil), nil, NotComparable, true, "^not compared", "", map[Name]Verdict{FinalError: TooFew}},
		"fresh ones decide":   {b, append(scene(t, 0, 2, 0, nil), scene(t, 10, 8, 0.2, nil)...), nil, Degraded, true, "^the same, of seed 0-1$", "", map[Name]Verdict{FinalError: Degraded}},
		"another device":      {b, scene(t, 0, 10, 0, func(h *results.History) { another(t, h) }), nil, Pass, false, `^not compared: another kind of device: ran on "CPU, arm64, plain C", the baseline on "CPU, amd64, AVX-512"$`, "", map[Name]Verdict{FinalError: Pass}},
		"another device, few": {few, scene(t, 0, 3, 0, func(h *results.History) { another(t, h) }), nil, NotComparable, false, "^not compared", "", map[Name]Verdict{FinalError: TooFew}},
		"one on another": {b, scene(t, 0, 2, 0, func(h *results.History) {
			if h.Run.Seed == 1 {
				another(t, h)
			}
		}), nil, Pass, false, `^the same, of seed 0; not compared: seed 1, which ran on "CPU, arm64`, "", nil},
		"a seed missing": {b, scene(t, 0, 9, 0, nil), []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, IncompleteSet, false, "^the same", "no run of seed 9", nil},
		"a seed failed": {b, scene(t, 0, 10, 0, func(h *results.History) {
			if h.Run.Seed == 2 {
				h.Status.State = results.Failed
				h.Epochs = h.Epochs[:2]
			}
		}), nil, IncompleteSet, false, "^the same, of seed 0-1, 3-9$", "seed 2 failed after 2 records (the loss is NaN)", nil},
		"all failed": {b, scene(t, 0, 2, 0, func(h *results.History) {
			h.Status.State = results.Failed
		}), nil, IncompleteSet, false, "^not compared: no seed", "seed 0 failed after 4 records (the loss is NaN); seed 1 failed after 4 records (the loss is NaN)", map[Name]Verdict{FinalError: Lacks}},
		"a measure missing": {b, scene(t, 10, 10, 0, func(h *results.History) {
			for i := range h.Epochs {
				h.Epochs[i].Hessian = nil
			}
		}), nil, IncompleteSet, true, "^not compared", "", map[Name]Verdict{EigenvalueGrowth: Lacks, FinalError: Pass}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Gate(test.baseline, test.runs, GateOptions{Alpha: 0.05, Seeds: test.seeds})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Curves) != 1 || r.Verdict != test.want || r.Curves[0].Verdict != test.want {
				t.Fatalf("verdict %q, want %q:\n%+v", r.Verdict, test.want, r.Curves)
			}
			g := r.Curves[0]
			if !regexp.MustCompile(test.records).MatchString(g.Exact.String()) || g.Lacking() != test.lacking || g.Fresh != test.fresh {
				t.Errorf("records %q, lacking %q, fresh %v", g.Exact, g.Lacking(), g.Fresh)
			}
			for measure, want := range test.measures {
				i := slices.IndexFunc(g.Tests, func(t GateTest) bool { return t.Measure == measure })
				if i < 0 || g.Tests[i].Verdict != want {
					t.Errorf("%s: %+v, want %s", measure, g.Tests, want)
				}
			}
			checkJUnit(t, r)
		})
	}
}

// checkJUnit: the XML is well-formed, counts rightly, and fails if and only if the
// gate does.
func checkJUnit(t *testing.T, r *Report) {
	t.Helper()
	text, err := r.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if (suites.Failures > 0) != (r.Verdict != Pass) {
		t.Errorf("verdict %s with %d failures:\n%s", r.Verdict, suites.Failures, text)
	}
	for element, want := range map[string]int{"<failure": suites.Failures, "<skipped": suites.Skipped, "<testcase": suites.Tests} {
		if n := bytes.Count(text, []byte(element)); n != want {
			t.Errorf("%d of %s, counted %d", n, element, want)
		}
	}
}

// TestJUnitEscapes: whatever a message holds, the XML is well-formed and says what was there.
func TestJUnitEscapes(t *testing.T) {
	message := "<&>\"']]>\x00\x1b\xff\u202e\u009b"
	r := &Report{Verdict: IncompleteSet, Curves: []GatedCurve{{
		Algorithm: "a<b", Verdict: IncompleteSet, Incomplete: []Incomplete{{1, results.Failed, 2, message}},
		Exact: Exact{Reason: message},
	}}, NotRun: []string{"<none>"}}
	checkJUnit(t, r)
	text, err := r.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	if printable.Text(string(text)) != string(text) || !bytes.Contains(text, []byte(`\u202e\u009b`)) {
		t.Errorf("%q", text)
	}
}

func TestChangedConfiguration(t *testing.T) {
	b := baselineOf(t, scene(t, 0, 10, 0, nil))
	changed := func(h *results.History) {
		h.Run = testRun(t, "2", "darts", h.Run.Seed, map[string]any{"epochs": 3, "evaluate": "before", "settings": map[string]any{"momentum": 0.5}})
	}
	runs := scene(t, 0, 10, 0, changed)
	unknown := func(b *Baseline, runs []*results.History, o GateOptions) string {
		r, err := Gate(b, runs, o)
		if err != nil || r.Verdict != NotComparable {
			t.Fatalf("report %+v, %v", r, err)
		}
		checkJUnit(t, r)
		return r.Curves[len(r.Curves)-1].Unknown
	}
	if want, got := "its configuration is not in the baseline: settings.momentum: none, now 0.5", unknown(b, runs, GateOptions{Alpha: 0.05}); !strings.Contains(got, want) {
		t.Errorf("unknown %q", got)
	}
	// The others are judged all the same, by their own seeds.
	beside, err := Gate(b, append(scene(t, 0, 10, 0, nil), scene(t, 20, 1, 0, changed)...), GateOptions{Alpha: 0.05})
	if err != nil || beside.Verdict != NotComparable || len(beside.Curves) != 2 {
		t.Fatalf("report %+v, %v", beside, err)
	}
	for _, c := range beside.Curves {
		if want := map[bool]Verdict{true: NotComparable, false: Pass}[c.Unknown != ""]; c.Verdict != want {
			t.Errorf("%s: %s, want %s: %s", c.Title(), c.Verdict, want, c.Lacking())
		}
	}
	for verdict, runs := range map[Verdict][]*results.History{Pass: runs, Degraded: scene(t, 10, 10, 0.2, changed)} {
		r, err := Gate(b, runs, GateOptions{Alpha: 0.05, Changed: true})
		if err != nil || r.Verdict != verdict || r.Curves[0].Exact.String() != "not compared: the configuration has changed" || len(r.Curves[0].Changes) != 1 {
			t.Errorf("report %+v, %v", r, err)
		}
	}

	other := scene(t, 0, 1, 0, func(h *results.History) { h.Run = testRun(t, "2", "gdas", h.Run.Seed, map[string]any{}) })
	if got := unknown(b, other, GateOptions{Alpha: 0.05, Changed: true}); !strings.Contains(got, "the baseline has no runs of gdas on space 2") {
		t.Errorf("another algorithm: %v", got)
	}
	scaled := scene(t, 0, 1, 0, func(h *results.History) {
		p := h.Run.Provenance
		p.Scale = "6 cells"
		var err error
		if h.Run, err = results.NewRun("2", "darts", 0, p, h.Run.Config); err != nil {
			t.Fatal(err)
		}
	})
	if got := unknown(b, scaled, GateOptions{Alpha: 0.05, Changed: true}); !strings.Contains(got, "scale") {
		t.Errorf("another scale: %v", got)
	}
	two := baselineOf(t, append(scene(t, 0, 2, 0, nil), scene(t, 0, 2, 0, changed)...))
	third := scene(t, 0, 1, 0, func(h *results.History) { h.Run = testRun(t, "2", "darts", 0, map[string]any{}) })
	if got := unknown(two, third, GateOptions{Alpha: 0.05, Changed: true}); !strings.Contains(got, "2 configurations of darts") {
		t.Errorf("two to choose from: %v", got)
	}
	if r, err := Gate(two, scene(t, 0, 2, 0, nil), GateOptions{Alpha: 0.05}); err != nil || r.Verdict != Pass || len(r.NotRun) != 1 {
		t.Errorf("one of two: %+v, %v", r, err)
	}
	for _, o := range []GateOptions{{}, {Alpha: 1}} {
		if _, err := Gate(b, runs, o); err == nil {
			t.Errorf("tested at level %v", o.Alpha)
		}
	}
	if _, err := Gate(b, nil, GateOptions{Alpha: 0.05}); err == nil {
		t.Error("nothing was tested")
	}
}

func TestBaselineRefusesRuns(t *testing.T) {
	failed := scene(t, 0, 1, 0, func(h *results.History) { h.Status.State = results.Failed })
	if _, err := NewBaseline(failed); err == nil || !strings.Contains(err.Error(), "is not finished (failed, 4 records)") {
		t.Errorf("a failed run: %v", err)
	}
	if _, err := NewBaseline(nil); err == nil {
		t.Error("a baseline of nothing")
	}
	mixed := scene(t, 0, 2, 0, func(h *results.History) {
		if h.Run.Seed == 1 {
			another(t, h)
		}
	})
	if _, err := NewBaseline(mixed); err == nil || !strings.Contains(err.Error(), "one kind of device") {
		t.Errorf("two devices: %v", err)
	}
	gone := scene(t, 0, 1, 0, nil)
	if err := os.Remove(filepath.Join(gone[0].Dir, "epochs.jsonl")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewBaseline(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no records: %v", err)
	}
}

func TestBaselineFile(t *testing.T) {
	runs := scene(t, 0, 2, 0, nil)
	text, err := baselineOf(t, runs).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := baselineOf(t, runs).Marshal()
	if err != nil || !bytes.Equal(text, again) {
		t.Error("the same runs give another file")
	}
	if strings.Contains(string(text), "seconds") {
		t.Error("wall times are in the baseline")
	}
	change := func(old, new string) string {
		if !strings.Contains(string(text), old) {
			t.Fatalf("no %q in the baseline", old)
		}
		return strings.Replace(string(text), old, new, 1)
	}
	for want, content := range map[string]string{
		"version 2, but this program reads version 1": change(`"format": 1`, `"format": 2`),
		"it has no format":                            change(`"format": 1,`, ``),
		"unknown field":                               change(`"entries"`, `"extra": 1, "entries"`),
		"after top-level value":                       string(text) + "{}",
		"is not the hash of this configuration":       change(`"darts"`, `"gdas"`),
		"no search space":                             change(`"space": 2`, `"space": 4`),
		"seed 1 is there twice":                       change(`"seed": 0`, `"seed": 1`),
		"64 lower-case hex digits":                    change(`"sha256": "`, `"sha256": "x`),
		"letters for each record":                     change(`"digests": "`, `"digests": "x`),
		"no measure \"best\"":                         change(`"best_error"`, `"best"`),
		"entries: there is none":                      `{"format": 1, "entries": []}`,
		"seeds: there is none":                        string(text[:bytes.Index(text, []byte(`"seeds"`))]) + `"seeds": []}]}`,
		"not a baseline":                              "nothing",
		"config.seed":                                 change(`"evaluate": "before"`, `"seed": 1, "evaluate": "before"`),
	} {
		if _, err := ParseBaseline([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one of %q", err, want)
		}
	}

	// A folder of files is one baseline.
	dir := t.TempDir()
	gdas, err := baselineOf(t, scene(t, 0, 2, 0, func(h *results.History) {
		h.Run = testRun(t, "2", "gdas", h.Run.Seed, map[string]any{})
	})).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBaseline(dir); err == nil {
		t.Error("an empty folder is a baseline")
	}
	for name, content := range map[string][]byte{"z.json": text, "a.json": gdas, "notes.txt": []byte("nothing")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b, err := ReadBaseline(dir)
	if err != nil || len(b.Entries) != 2 || b.Entries[0].Algorithm != "darts" {
		t.Errorf("%+v, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "again.json"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBaseline(dir); err == nil || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("an entry in two files: %v", err)
	}
	if _, err := ReadBaseline(filepath.Join(dir, "none.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestDepartureIsFound: whichever member of whichever record changes, the digests
// tell, but for one case of 4,096.
func TestDepartureIsFound(t *testing.T) {
	h := scene(t, 0, 1, 0, nil)[0]
	whole, err := record(h)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(h.Dir, "epochs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		lines := bytes.SplitAfter(results.Canonical(text), []byte("\n"))
		lines = lines[:len(lines)-1]
		at := rapid.IntRange(0, len(lines)-1).Draw(rt, "record")
		var members map[string]json.RawMessage
		if err := json.Unmarshal(lines[at], &members); err != nil {
			rt.Fatal(err)
		}
		var names []string
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		name := rapid.SampledFrom(names).Draw(rt, "member")
		before := members[name]
		members[name] = json.RawMessage(`"changed"`)
		changed, err := json.Marshal(members)
		if err != nil {
			rt.Fatal(err)
		}
		lines[at] = append(changed, '\n')
		now, err := digests(bytes.Join(lines, nil))
		if err != nil {
			rt.Fatal(err)
		}
		field := name
		if !slices.Contains(digestFields, name) {
			field = "other members"
		}
		d := departure(whole, Recorded{Digests: now})
		if digest(before) == digest(members[name]) {
			return
		}
		if d.Record == nil || *d.Record != at || !slices.Contains(d.Fields, field) {
			rt.Fatalf("departure %v, want record %d in %s", d, at, field)
		}
	})
	short := whole
	short.Digests = whole.Digests[:2*recordDigest]
	if d := departure(whole, short); d.Record == nil || *d.Record != 2 || len(d.Fields) != 0 || !strings.Contains(d.String(), "another number of records") {
		t.Errorf("a shorter run departs at %v", d)
	}
	if d := departure(whole, whole); d.Record != nil || d.String() != "seed 0 differs" {
		t.Errorf("hidden departure %v", d)
	}
}

// FuzzParseBaseline: no content makes the reader panic, and what it accepts it
// writes and reads again as the same.
func FuzzParseBaseline(f *testing.F) {
	valid := []byte(`{"format":1,"entries":[{"space":2,"algorithm":"darts","provenance":{"images":"procedural","images_digest":"aa11","table":"surrogate","table_digest":"bb22","preset":"quick","scale":"3 cells","engine":"cpu","precision":"float32"},"config":{"epochs":3},"config_hash":"` + fuzzHash(f) + `","seeds":[{"seed":0,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","digests":"Ogt6IeD8Jz........xT","measures":{"final_error":0.1}}]}]}`)
	if _, err := ParseBaseline(valid); err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1,"entries":[{"config":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBaseline(text)
		if err != nil {
			return
		}
		written, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseBaseline(written)
		if err != nil {
			t.Fatal(err)
		}
		rewritten, err := again.Marshal()
		if err != nil || !bytes.Equal(written, rewritten) {
			t.Fatalf("%v:\n%s\n%s", err, written, rewritten)
		}
	})
}

// fuzzHash is that of the configuration of the first seed of the fuzzing, which so
// is a valid baseline.
func fuzzHash(f *testing.F) string {
	run, err := results.NewRun("2", "darts", 0, results.Provenance{
		Images: "procedural", ImagesDigest: "aa11", Table: "surrogate", TableDigest: "bb22", Preset: "quick",
		Scale: "3 cells", Engine: "cpu", Precision: "float32",
	}, map[string]any{"epochs": 3})
	if err != nil {
		f.Fatal(err)
	}
	return run.ConfigHash
}

func TestFormat(t *testing.T) {
	sample, err := baselineOf(t, scene(t, 0, 2, 0, nil)).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	formattest.Conform(t, formattest.Format{
		Document: "docs/gate.md", Sample: sample,
		Read: func(file []byte) error {
			_, err := ParseBaseline(file)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}
