// Package claims judges what the paper says of NAS-Bench-1Shot1, and of spaces of DARTS, by
// runs: each statement has an operational definition and a test, and is judged space by
// space.
// docs/claims.md explains the definitions and the verdicts.
package claims

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// Verdict is what runs say of a claim, or of a part of it.
type Verdict string

// The verdicts.
const (
	Supported    Verdict = "supported"    // significant, all parts of it
	Contradicted Verdict = "contradicted" // the opposite is significant, of any part
	Undecided    Verdict = "undecided"    // neither
	NotRun       Verdict = "not run"      // the runs lack what the claim speaks of
	Measured     Verdict = "measured"     // numbers without a test, those of the costs
)

// Claim is a statement of the paper and how runs are held against it.
type Claim struct {
	Number     string   `json:"number"`     // "P1" to "P16"
	Title      string   `json:"title"`      // in a line of a table
	Statement  string   `json:"statement"`  // what the paper says, in our words
	Definition string   `json:"definition"` // what that means of runs, and the test
	Needs      []string `json:"needs"`      // the algorithms that it speaks of

	on    []spaces.Name // spaces that it speaks of; nil is those of NAS-Bench-1Shot1
	holm  []spaces.Name // spaces on which p-values are corrected for the parts
	parts func(*judge) []Part
}

// SpeaksOf tells whether the claim is of a space.
func (c Claim) SpeaksOf(space spaces.Name) bool {
	if c.on == nil {
		_, err := nb1shot1.Get(space)
		return err == nil
	}
	return slices.Contains(c.on, space)
}

// Result is a claim judged on a space.
type Result struct {
	Claim   string      `json:"claim"` // its number
	Space   spaces.Name `json:"space"`
	Verdict Verdict     `json:"verdict"`
	N       int         `json:"n,omitempty"`       // the fewest seeds behind a part that was tested
	P       *float64    `json:"p,omitempty"`       // the highest of the parts, corrected where the claim asks for it; the lowest of the opposite where contradicted
	Needed  int         `json:"needed,omitempty"`  // seeds of each algorithm that would decide what is undecided, at the effects seen; 0 where unknown or decided
	Missing []string    `json:"missing,omitempty"` // algorithms without a finished run that counts
	Parts   []Part      `json:"parts"`
}

// Part is one comparison of a claim.
type Part struct {
	Statement string   `json:"statement"`
	Verdict   Verdict  `json:"verdict"`
	Unit      string   `json:"unit,omitempty"` // of the samples: "points", "percent", "s", ...
	Samples   []Sample `json:"samples,omitempty"`

	Test      string   `json:"test,omitempty"`
	N         int      `json:"n,omitempty"`           // pairs, or values of the first sample
	M         int      `json:"m,omitempty"`           // values of the second where they are not paired
	Effect    *float64 `json:"effect,omitempty"`      // in [−1,1], positive where it speaks for the claim; docs/claims.md
	P         *float64 `json:"p,omitempty"`           // one-sided
	Corrected *float64 `json:"p_corrected,omitempty"` // by Holm, where the claim asks for it
	Opposite  *float64 `json:"p_opposite,omitempty"`  // of the opposite, corrected likewise
	Floor     *float64 `json:"p_floor,omitempty"`     // lowest P, corrected if alone, that this number of seeds can reach
	Needed    int      `json:"needed,omitempty"`      // as in Result

	Estimate *float64  `json:"estimate,omitempty"` // a ratio
	Interval *Interval `json:"interval,omitempty"` // of the estimate
	Paper    *float64  `json:"paper,omitempty"`    // the estimate of the paper
	Missing  []string  `json:"missing,omitempty"`  // algorithms without a finished run that counts
	Note     string    `json:"note,omitempty"`     // what a reader must know

	seeds  int                     // of the algorithm that has fewer; 0 where the test is not of seeds
	floor  float64                 // lowest p that they can reach
	least  func(level float64) int // seeds of each algorithm without which no p is as low; nil where seeds do not matter
	needed func(level float64) int // seeds that the effect asks for, 0 where unknown; nil likewise
}

// Interval is a confidence interval at Level.
type Interval struct {
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Level float64 `json:"level"`
}

// Sample is the numbers of one algorithm over its seeds.
type Sample struct {
	Name   string  `json:"name"`
	N      int     `json:"n"`
	Mean   float64 `json:"mean"`
	Median float64 `json:"median"`
}

// Setting is the claims judged on runs of one results.Provenance.Setting and length
// whose settings agree.
type Setting struct {
	Provenance results.Provenance `json:"provenance"` // of the setting alone: without details, engine and device
	Epochs     int                `json:"epochs"`
	Algorithms []string           `json:"algorithms"` // that count, in the order of the claims
	Spaces     []spaces.Name      `json:"spaces"`     // ascending
	StandIns   []string           `json:"stand_ins"`  // sentences, where images or table are not what the benchmark is defined on
	Changed    []Change           `json:"changed"`    // settings that are not the preset's
	Varied     []Change           `json:"varied"`     // where the preset is not known: settings that other runs have otherwise
	LeftOut    []string           `json:"left_out"`   // configurations that do not count: "space 2, darts, batch 96: seed 0"
	Devices    []string           `json:"devices"`
	Results    []Result           `json:"results"` // by claim and space
}

// Change is a setting that runs have unlike their preset.
type Change struct {
	Name       string   `json:"name"` // as in the configuration, such as "settings.momentum"
	Value      string   `json:"value"`
	Algorithms []string `json:"algorithms"` // that have it
}

// Judgement is what runs say of all claims.
type Judgement struct {
	Alpha    float64   `json:"alpha"`
	Claims   []Claim   `json:"claims"`   // that speak of any of the spaces
	Settings []Setting `json:"settings"` // in the order of their headings
	Warnings []string  `json:"warnings"` // runs that were left out because they are not finished
}

// Options of Judge.
type Options struct {
	Alpha float64 // level of significance, in (0, ½)
	// Changed returns the settings of a run that are not those of its preset, by their
	// names in results.Run.Settings, and nil where it does not know the preset. It may
	// be nil itself.
	Changed func(results.Run) map[string]string
}

// Judge holds runs against all claims. Runs that are not complete are left out with
// a warning, and algorithms that no claim speaks of without. Runs of different images,
// table, preset, scale or number of epochs are judged apart, and so are those of
// different algorithms that do not share their changes of the preset (or, where that
// is not known, the values of the settings that any algorithm varies). Of several
// configurations of one algorithm, the one with the fewest changes counts, then the
// one with the most seeds. The verdicts do not depend on the order of the runs. The
// same run twice is an error.
func Judge(runs []*results.History, o Options) (*Judgement, error) {
	if !(o.Alpha > 0 && o.Alpha < 0.5) {
		return nil, fmt.Errorf("the level of significance is %v, need a number between 0 and 0.5", o.Alpha)
	}
	j := &Judgement{Alpha: o.Alpha, Claims: []Claim{}, Settings: []Setting{}, Warnings: []string{}}
	type key struct {
		results.Provenance
		epochs int
	}
	apart := map[key][]*results.History{}
	for _, h := range runs {
		if !slices.Contains(algorithms, h.Run.Algorithm) {
			continue
		}
		if !stability.Complete(h) {
			j.Warnings = append(j.Warnings, fmt.Sprintf("%s is %s after %d records: left out", h.Dir, unfinished(h), len(h.Epochs)))
			continue
		}
		k := key{h.Run.Provenance.Setting(), trained(h)}
		apart[k] = append(apart[k], h)
	}
	slices.Sort(j.Warnings)
	keys := slices.SortedFunc(maps.Keys(apart), func(a, b key) int {
		return cmp.Or(strings.Compare(a.Preset, b.Preset), strings.Compare(a.Scale, b.Scale), cmp.Compare(a.epochs, b.epochs),
			strings.Compare(a.Images, b.Images), strings.Compare(a.Table, b.Table),
			strings.Compare(a.ImagesDigest, b.ImagesDigest), strings.Compare(a.TableDigest, b.TableDigest))
	})
	for _, k := range keys {
		curves, err := results.Group(apart[k])
		if err != nil {
			return nil, err
		}
		families, err := sort(curves, o.Changed)
		if err != nil {
			return nil, err
		}
		for _, f := range families {
			s := Setting{Provenance: k.Provenance, Epochs: k.epochs, StandIns: standIns(k.Provenance), Results: []Result{}}
			f.describe(&s)
			for _, c := range All {
				for _, space := range s.Spaces {
					if !c.SpeaksOf(space) {
						continue
					}
					r, err := f.result(c, space, o.Alpha)
					if err != nil {
						return nil, err
					}
					s.Results = append(s.Results, r)
				}
			}
			j.Settings = append(j.Settings, s)
		}
	}
	for _, c := range All {
		if slices.ContainsFunc(j.Settings, func(s Setting) bool { return slices.ContainsFunc(s.Spaces, c.SpeaksOf) }) {
			j.Claims = append(j.Claims, c)
		}
	}
	return j, nil
}

func unfinished(h *results.History) string {
	if h.Status.State == results.Finished {
		return "without its final record"
	}
	return string(h.Status.State)
}

// Result returns that of a claim on a space, and false where the claim does not speak
// of the space.
func (s Setting) Result(number string, space spaces.Name) (Result, bool) {
	i := slices.IndexFunc(s.Results, func(r Result) bool { return r.Claim == number && r.Space == space })
	if i < 0 {
		return Result{}, false
	}
	return s.Results[i], true
}

// Judged tells whether any claim got a verdict.
func (s Setting) Judged() bool {
	return slices.ContainsFunc(s.Results, func(r Result) bool { return r.Verdict != NotRun && r.Verdict != Measured })
}

// Heading says what the runs were measured on.
func (s Setting) Heading() string {
	kind := func(kind, real string, isReal bool) string {
		if isReal {
			return kind
		}
		return kind + ", a stand-in for " + real
	}
	images, table := s.Provenance.StandIns()
	what, real := read(s.Provenance)
	return fmt.Sprintf("%s: %s; table: %s; preset %s: %s; %d epochs",
		what, kind(s.Provenance.Images, real, !images), kind(s.Provenance.Table, "NAS-Bench-101", !table), s.Provenance.Preset, s.Provenance.Scale, s.Epochs)
}

// read says what networks read, and what that should be.
func read(p results.Provenance) (what, real string) {
	if text.IsKind(p.Images) {
		return "text", "Penn Treebank"
	}
	return "images", "CIFAR-10"
}

func standIns(p results.Provenance) []string {
	all := []string{}
	images, table := p.StandIns()
	switch {
	case images && text.IsKind(p.Images):
		all = append(all, "The text is a stand-in, not Penn Treebank.")
	case images:
		all = append(all, "The images are a stand-in, not CIFAR-10.")
	}
	if table {
		all = append(all, "The test errors are a stand-in's, not NAS-Bench-101's.")
	}
	return all
}
