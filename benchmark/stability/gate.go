package stability

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Gated lists the family of measures that a Gate tests, all of which are worse
// where they are higher. None follows from the others: the fewer there are, the
// less Holm's correction costs.
var Gated = []Name{FinalError, BestError, MeanError, EigenvalueGrowth}

// Verdict is what a Gate comes to.
type Verdict string

// The verdicts, the worst last. All but Pass fail.
const (
	Pass          Verdict = "pass"
	NotComparable Verdict = "not comparable" // neither the records nor enough seeds can be compared
	IncompleteSet Verdict = "incomplete"     // runs or measures are missing
	Drifted       Verdict = "drifted"        // a seed of the baseline gives other records now
	Degraded      Verdict = "degraded"       // a measure is significantly worse
)

var severity = []Verdict{Pass, NotComparable, IncompleteSet, Drifted, Degraded}

func worse(a, b Verdict) Verdict {
	return severity[max(slices.Index(severity, a), slices.Index(severity, b))]
}

// GateOptions says how a Gate compares.
type GateOptions struct {
	Alpha   float64  // level of significance of each curve's family of tests, in (0,1)
	Seeds   []uint64 // that every curve must have; empty are all that any of them has
	Changed bool     // let runs of another configuration be tested against the only one of their algorithm
}

// Report is the outcome of a Gate.
type Report struct {
	Verdict Verdict      `json:"verdict"` // the worst of the curves
	Alpha   float64      `json:"alpha"`
	Curves  []GatedCurve `json:"curves"`
	NotRun  []string     `json:"not_run"` // entries of the baseline without runs, in words
}

// GatedCurve is the runs of one configuration against their entry.
type GatedCurve struct {
	Space      spaces.Name `json:"space"`
	Algorithm  string      `json:"algorithm"`
	ConfigHash string      `json:"config_hash"`
	Against    string      `json:"against"` // ConfigHash of the entry
	Verdict    Verdict     `json:"verdict"`
	Unknown    string      `json:"unknown,omitempty"` // why the baseline has nothing to compare it with; empty where it has

	Changes    []Change     `json:"changes,omitempty"` // of the configuration, where GateOptions.Changed lets them pass
	Seeds      []uint64     `json:"seeds"`             // of the complete runs
	Missing    []uint64     `json:"missing"`
	Incomplete []Incomplete `json:"incomplete"`
	Exact      Exact        `json:"exact"`
	Fresh      bool         `json:"fresh"` // whether the tested runs are those of seeds that the baseline does not have
	Tests      []GateTest   `json:"tests"` // in the order of Gated
}

// Change is a setting in which two configurations differ.
type Change struct {
	Name     string `json:"name"`     // dotted, see results.Run.Settings
	Baseline string `json:"baseline"` // empty where there is none
	Run      string `json:"run"`      // likewise
}

// String reads "name: baseline, now run".
func (c Change) String() string {
	text := func(s string) string {
		if s == "" {
			return "none"
		}
		return s
	}
	return fmt.Sprintf("%s: %s, now %s", c.Name, text(c.Baseline), text(c.Run))
}

// Exact compares records byte for byte, wall times aside.
type Exact struct {
	Compared    []uint64      `json:"compared"`     // seeds
	NotCompared []NotCompared `json:"not_compared"` // seeds of the baseline that ran, and cannot be compared
	Drifts      []Drift       `json:"drifts"`       // those of Compared that differ
	Reason      string        `json:"reason"`       // why nothing is compared; empty where something is
}

// NotCompared is a seed whose records need not agree.
type NotCompared struct {
	Seed   uint64 `json:"seed"`
	Reason string `json:"reason"`
}

// Drift tells where a run departs from the baseline.
type Drift struct {
	Seed   uint64   `json:"seed"`
	Record *int     `json:"record,omitempty"` // the first one that differs, from 0; nil where the digests do not tell
	Fields []string `json:"fields"`           // of that record; empty where one of the runs has no such record
}

// String tells it in a few words.
func (d Drift) String() string {
	switch {
	case d.Record == nil:
		return fmt.Sprintf("seed %d differs", d.Seed)
	case len(d.Fields) == 0:
		return fmt.Sprintf("seed %d has another number of records: they agree before record %d", d.Seed, *d.Record)
	}
	return fmt.Sprintf("seed %d departs at record %d in %s", d.Seed, *d.Record, strings.Join(d.Fields, ", "))
}

// The outcomes of a GateTest beside Pass and Degraded.
const (
	TooFew  Verdict = "too few seeds"   // no p-value could be significant
	Lacks   Verdict = "missing"         // the baseline has the measure, some of the runs do not
	Unknown Verdict = "not in baseline" // the measure has nothing to be compared with
)

// GateTest is the one-sided Mann–Whitney test whether a measure has become worse.
type GateTest struct {
	Measure      Name     `json:"measure"`
	Verdict      Verdict  `json:"verdict"` // Pass, Degraded, TooFew, Lacks or Unknown
	N            int      `json:"n"`       // runs that have it
	M            int      `json:"m"`       // runs of the baseline that have it
	Lacking      []uint64 `json:"lacking,omitempty"`
	*GateNumbers          // nil where the verdict is Lacks or Unknown
}

// GateNumbers is the outcome of a GateTest.
type GateNumbers struct {
	Mean           float64      `json:"mean"`
	BaselineMean   float64      `json:"baseline_mean"`
	Median         float64      `json:"median"`
	BaselineMedian float64      `json:"baseline_median"`
	Method         stats.Method `json:"method"`
	P              float64      `json:"p"`
	Corrected      float64      `json:"p_corrected"` // by Holm, over the measures of the curve
	Floor          float64      `json:"p_floor"`     // the lowest p_corrected that this number of runs can reach alone
	A12            float64      `json:"a12"`         // probability that a run is worse than one of the baseline, ties half
	Power          float64      `json:"power"`       // to find that this measure alone is worse by one standard deviation, if it is normally distributed
}

// UnknownError reports runs whose configuration is not in the baseline.
type UnknownError struct {
	Dir       string
	Space     spaces.Name
	Algorithm string
	Changes   []Change // from the entry that differs least; nil where the baseline has none of space and algorithm
}

// Error tells what differs.
func (e *UnknownError) Error() string {
	if e.Changes == nil {
		return fmt.Sprintf("%s: the baseline has no runs of %s on space %s", e.Dir, e.Algorithm, e.Space)
	}
	var all []string
	for _, c := range e.Changes {
		all = append(all, c.String())
	}
	return fmt.Sprintf("%s: its configuration is not in the baseline: %s", e.Dir, strings.Join(all, "; "))
}

// Gate tests runs against a baseline, curve by curve.
//
// Where a seed of the baseline ran again, on the same kind of device, its records
// must be the same bytes. On another kind they are not compared, and only the
// measures are: one-sided Mann–Whitney tests of the Gated ones, corrected by Holm
// within the curve. The tested runs are those of fresh seeds where there are any,
// because runs of common seeds are no independent samples; otherwise they are all.
// (Runs of common seeds resemble each other: tests of them err on the side of
// passing.) A configuration that the baseline does not have is not comparable, and
// the others are judged without it.
func Gate(b *Baseline, runs []*results.History, o GateOptions) (*Report, error) {
	if !(o.Alpha > 0 && o.Alpha < 1) {
		return nil, fmt.Errorf("the level of significance is %v, need a number between 0 and 1", o.Alpha)
	}
	curves, err := results.Group(runs)
	if err != nil {
		return nil, err
	}
	if len(curves) == 0 {
		return nil, fmt.Errorf("no runs to test")
	}
	type counterpart struct {
		entry   Entry
		changes []Change
		err     error
	}
	found := make([]counterpart, len(curves))
	var judged []*results.History
	for i, c := range curves {
		f := &found[i]
		if f.entry, f.changes, f.err = b.find(c.Runs[0], o.Changed); f.err == nil {
			judged = append(judged, c.Runs...)
		}
	}
	wanted := o.Seeds
	if len(wanted) == 0 {
		wanted = seeds(judged)
	}
	report := &Report{Verdict: Pass, Alpha: o.Alpha, NotRun: []string{}}
	used, powers := map[string]bool{}, powers{}
	for i, c := range curves {
		f := found[i]
		var g GatedCurve
		if f.err != nil {
			g = unjudged(c, f.err)
		} else if g, err = gate(f.entry, c, f.changes, wanted, o.Alpha, powers); err != nil {
			return nil, err
		}
		used[f.entry.ConfigHash] = true
		report.Curves = append(report.Curves, g)
		report.Verdict = worse(report.Verdict, g.Verdict)
	}
	for _, e := range b.Entries {
		if !used[e.ConfigHash] {
			report.NotRun = append(report.NotRun, fmt.Sprintf("space %s, %s, configuration %.8s", e.Space, e.Algorithm, e.ConfigHash))
		}
	}
	return report, nil
}

// find returns the entry of a run's configuration, or, if changed ones are let
// pass, the only one of its space and algorithm, with what differs.
func (b *Baseline) find(h *results.History, changed bool) (Entry, []Change, error) {
	unknown := &UnknownError{Dir: h.Dir, Space: h.Run.Space, Algorithm: h.Run.Algorithm}
	var candidates []Entry
	for _, e := range b.Entries {
		if e.ConfigHash == h.Run.ConfigHash {
			return e, nil, nil
		}
		if e.Space != h.Run.Space || e.Algorithm != h.Run.Algorithm {
			continue
		}
		changes, err := e.changes(h.Run)
		if err != nil {
			return Entry{}, nil, fmt.Errorf("%s: %w", h.Dir, err)
		}
		candidates = append(candidates, e)
		if unknown.Changes == nil || len(changes) < len(unknown.Changes) {
			unknown.Changes = changes
		}
	}
	if !changed || len(candidates) == 0 {
		return Entry{}, nil, unknown
	}
	if len(candidates) > 1 {
		return Entry{}, nil, fmt.Errorf("%s: the baseline has %d configurations of %s on space %s, so it is not clear which one to compare with", h.Dir, len(candidates), h.Run.Algorithm, h.Run.Space)
	}
	e := candidates[0]
	if field, a, now := results.Difference(e.Provenance.Setting(), h.Run.Provenance.Setting()); field != "" {
		return Entry{}, nil, &results.MixedError{Field: field, Dirs: [2]string{"the baseline", h.Dir}, Values: [2]string{a, now}}
	}
	return e, unknown.Changes, nil
}

// changes lists the settings in which a run differs from those of the entry.
func (e Entry) changes(run results.Run) ([]Change, error) {
	recorded, err := e.run()
	if err != nil {
		return nil, err
	}
	before, err := recorded.Conditions()
	if err != nil {
		return nil, err
	}
	now, err := run.Conditions()
	if err != nil {
		return nil, err
	}
	names := maps.Clone(before)
	maps.Copy(names, now)
	all := []Change{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != now[name] {
			all = append(all, Change{name, before[name], now[name]})
		}
	}
	return all, nil
}

// unjudged is a curve that the baseline has nothing for.
func unjudged(c results.Curve, why error) GatedCurve {
	table := newCurve(c, Anchor{}, nil, nil)
	return GatedCurve{
		Space: c.Space, Algorithm: c.Algorithm, ConfigHash: table.ConfigHash, Verdict: NotComparable, Unknown: strings.TrimPrefix(why.Error(), "stability: "),
		Changes: []Change{}, Seeds: table.Seeds, Missing: []uint64{}, Incomplete: table.Incomplete,
		Exact: Exact{Compared: []uint64{}, NotCompared: []NotCompared{}, Drifts: []Drift{}, Reason: "its configuration is not in the baseline"},
	}
}

// gate tests one curve.
func gate(e Entry, c results.Curve, changes []Change, wanted []uint64, alpha float64, powers powers) (GatedCurve, error) {
	table := newCurve(c, Anchor{}, wanted, nil)
	g := GatedCurve{
		Space: c.Space, Algorithm: c.Algorithm, ConfigHash: table.ConfigHash, Against: e.ConfigHash, Verdict: Pass,
		Changes: changes, Seeds: table.Seeds, Missing: table.Missing, Incomplete: table.Incomplete,
	}
	var err error
	if g.Exact, err = compareRecords(e, c, len(changes) > 0); err != nil {
		return GatedCurve{}, err
	}

	baseline := map[uint64]Measures{}
	for _, r := range e.Seeds {
		baseline[r.Seed] = r.Measures
	}
	tested := maps.Clone(table.measures)
	for seed := range baseline {
		delete(tested, seed)
	}
	if g.Fresh = len(tested) > 0; !g.Fresh {
		tested = table.measures
	}
	if g.Tests, err = testMeasures(baseline, tested, alpha, powers); err != nil {
		return GatedCurve{}, err
	}

	same := len(g.Exact.Compared) > 0 && len(g.Exact.Drifts) == 0
	if len(g.Missing) > 0 || len(g.Incomplete) > 0 || len(g.Seeds) == 0 {
		g.Verdict = IncompleteSet
	}
	if len(g.Exact.Drifts) > 0 {
		g.Verdict = worse(g.Verdict, Drifted)
	}
	testable := false
	for _, t := range g.Tests {
		switch t.Verdict {
		case Degraded:
			g.Verdict = worse(g.Verdict, Degraded)
		case Lacks:
			g.Verdict = worse(g.Verdict, IncompleteSet)
		}
		testable = testable || t.Verdict == Pass || t.Verdict == Degraded
	}
	if !same && !testable {
		g.Verdict = worse(g.Verdict, NotComparable)
	}
	return g, nil
}

// compareRecords compares the records of the seeds that the entry has, unless
// their configuration has changed.
func compareRecords(e Entry, c results.Curve, changed bool) (Exact, error) {
	exact := Exact{Compared: []uint64{}, NotCompared: []NotCompared{}, Drifts: []Drift{}}
	if changed {
		exact.Reason = "the configuration has changed"
		return exact, nil
	}
	recorded := map[uint64]Recorded{}
	for _, r := range e.Seeds {
		recorded[r.Seed] = r
	}
	for _, h := range c.Runs {
		before, ok := recorded[h.Run.Seed]
		if !ok || !Complete(h) {
			continue
		}
		if device := h.Run.Provenance.Device; device != e.Provenance.Device {
			exact.NotCompared = append(exact.NotCompared, NotCompared{h.Run.Seed, fmt.Sprintf("ran on %q, the baseline on %q", device, e.Provenance.Device)})
			continue
		}
		now, err := record(h)
		if err != nil {
			return Exact{}, err
		}
		exact.Compared = append(exact.Compared, h.Run.Seed)
		if now.SHA256 != before.SHA256 {
			exact.Drifts = append(exact.Drifts, departure(before, now))
		}
	}
	switch {
	case len(exact.Compared) > 0:
	case len(exact.NotCompared) > 0:
		exact.Reason = "another kind of device: " + exact.NotCompared[0].Reason
	default:
		exact.Reason = "no seed of the baseline among the complete runs"
	}
	return exact, nil
}

// departure finds the first record that differs.
func departure(before, now Recorded) Drift {
	d := Drift{Seed: now.Seed, Fields: []string{}}
	a, b := before.Digests, now.Digests
	for i := 0; i < min(len(a), len(b)); i += recordDigest {
		if a[i:i+recordDigest] == b[i:i+recordDigest] {
			continue
		}
		for k := range len(digestFields) + 1 {
			at := i + k*digestSize
			if a[at:at+digestSize] == b[at:at+digestSize] {
				continue
			}
			name := "other members"
			if k < len(digestFields) {
				name = digestFields[k]
			}
			d.Fields = append(d.Fields, name)
		}
		first := i / recordDigest
		d.Record = &first
		return d
	}
	if len(a) != len(b) {
		first := min(len(a), len(b)) / recordDigest
		d.Record = &first
	}
	return d
}

// testMeasures tests whether the measures of runs, by seed, are worse than those
// of the baseline.
func testMeasures(baseline, runs map[uint64]Measures, alpha float64, powers powers) ([]GateTest, error) {
	var tests []GateTest
	var p []float64
	var family []int // places in tests
	for _, name := range Gated {
		before, _ := values(baseline, name)
		now, lacking := values(runs, name)
		t := GateTest{Measure: name, N: len(now), M: len(before), Lacking: lacking, Verdict: Pass}
		switch {
		case t.M == 0 && t.N == 0:
			continue // such as λ of an algorithm without alphas
		case t.M == 0:
			t.Verdict, t.Lacking = Unknown, nil
		case t.N == 0 || len(lacking) > 0:
			t.Verdict = Lacks
		default:
			test, err := stats.MannWhitney(now, before, stats.Greater)
			if err != nil {
				return nil, err
			}
			a12, err := stats.A12(now, before)
			if err != nil {
				return nil, err
			}
			t.GateNumbers = &GateNumbers{
				Mean: stats.Mean(now), BaselineMean: stats.Mean(before), Median: stats.Median(now), BaselineMedian: stats.Median(before),
				Method: test.Method, P: test.P, A12: a12,
			}
			p, family = append(p, t.P), append(family, len(tests))
		}
		tests = append(tests, t)
	}
	corrected, err := stats.Holm(p)
	if err != nil {
		return nil, err
	}
	k := float64(len(family))
	for j, i := range family {
		t := &tests[i]
		t.Corrected = corrected[j]
		t.Floor = min(1, k*stats.MannWhitneyFloor(t.N, t.M, stats.Greater))
		if t.Power, err = powers.of(t.N, t.M, alpha/k); err != nil {
			return nil, err
		}
		switch {
		case t.Corrected <= alpha:
			t.Verdict = Degraded
		case t.Floor > alpha:
			t.Verdict = TooFew
		}
	}
	return tests, nil
}

// powers are those that stats.Power has simulated for a shift of one standard
// deviation.
type powers map[design]float64

// design is the sizes of two samples and a level of significance.
type design struct {
	n, m  int
	alpha float64
}

func (all powers) of(n, m int, alpha float64) (float64, error) {
	d := design{n, m, alpha}
	if p, ok := all[d]; ok {
		return p, nil
	}
	p, err := stats.Power(n, m, 1, alpha)
	all[d] = p
	return p, err
}

// values lists a measure by ascending seed, and the seeds that lack it.
func values(runs map[uint64]Measures, name Name) (all []float64, lacking []uint64) {
	for _, seed := range slices.Sorted(maps.Keys(runs)) {
		if x, ok := runs[seed][name]; ok {
			all = append(all, x)
		} else {
			lacking = append(lacking, seed)
		}
	}
	return all, lacking
}
