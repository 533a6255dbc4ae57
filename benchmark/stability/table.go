package stability

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Level is the confidence level of the intervals in a Table.
const Level = 0.95

// Table holds the measures of curves over their seeds.
type Table struct {
	Anchors map[spaces.Name]Anchor `json:"anchors"` // by space
	Curves  []Curve                `json:"curves"`  // by space and algorithm
	// Evaluated says how the evaluations behind RetrainedError were made; nil without one.
	// Runs whose evaluation was made otherwise lack the measure: OtherEvaluations counts
	// them.
	Evaluated        *results.EvaluationKey `json:"evaluated,omitempty"`
	OtherEvaluations int                    `json:"other_evaluations,omitempty"`
}

// Curve is the measures of one configuration over its seeds. Every wanted seed
// stands in exactly one of Seeds, Incomplete and Missing.
type Curve struct {
	Space      spaces.Name  `json:"space"`
	Algorithm  string       `json:"algorithm"`
	Variant    string       `json:"variant,omitempty"` // see results.Curve
	ConfigHash string       `json:"config_hash"`
	Seeds      []uint64     `json:"seeds"`      // of the complete runs, ascending
	Missing    []uint64     `json:"missing"`    // without a run
	Incomplete []Incomplete `json:"incomplete"` // begun, and not finished
	Statistics []Statistic  `json:"statistics"` // of the measures that any seed has, in the order of Definitions

	// Eigenvalue says how the runs define λ: growths of different ones do not
	// compare. Empty without a Hessian.
	Eigenvalue string `json:"eigenvalue_definition,omitempty"`

	measures map[uint64]Measures // by seed
}

// Name is the algorithm with its variant.
func (c Curve) Name() string {
	if c.Variant == "" {
		return c.Algorithm
	}
	return c.Algorithm + ", " + c.Variant
}

// Incomplete is a run without all its records.
type Incomplete struct {
	Seed    uint64        `json:"seed"`
	State   results.State `json:"state"`
	Records int           `json:"records"`
	Message string        `json:"message,omitempty"` // why it failed
}

// String tells it in a few words.
func (i Incomplete) String() string {
	text := fmt.Sprintf("seed %d %s after %d records", i.Seed, i.State, i.Records)
	if i.Message != "" {
		text += " (" + i.Message + ")"
	}
	return text
}

// Statistic is one measure over the seeds of a curve that have it.
type Statistic struct {
	Measure  Name            `json:"measure"`
	Values   []float64       `json:"values"` // by ascending seed, without those Lacking
	Mean     float64         `json:"mean"`
	Std      *float64        `json:"std,omitempty"`      // of the sample; nil for one value
	Interval *stats.Interval `json:"interval,omitempty"` // of the mean at Level, by the BCa bootstrap; nil for one value
	Lacking  []uint64        `json:"lacking,omitempty"`  // seeds whose complete run lacks the measure
}

// Tabulate measures runs and takes the statistics over their seeds. wanted are
// the seeds that each curve should have; empty are all that any curve has. Runs
// of different Provenance.Setting give a *results.MixedError.
func Tabulate(runs []*results.History, anchors map[spaces.Name]Anchor, wanted []uint64) (*Table, error) {
	curves, err := results.Group(runs)
	if err != nil {
		return nil, err
	}
	if err := results.CheckSetting(curves); err != nil {
		return nil, err
	}
	if len(wanted) == 0 {
		wanted = seeds(runs)
	}
	t := &Table{Anchors: anchors}
	for i, g := range results.GroupEvaluations(completeOf(runs), results.PartTest) {
		if i == 0 {
			t.Evaluated = &g.Key
		} else {
			t.OtherEvaluations += len(g.Runs)
		}
	}
	for _, c := range curves {
		t.Curves = append(t.Curves, newCurve(c, anchors[c.Space], wanted, t.Evaluated))
	}
	return t, nil
}

// completeOf are the runs that have all their records.
func completeOf(runs []*results.History) []*results.History {
	return slices.DeleteFunc(slices.Clone(runs), func(h *results.History) bool { return !Complete(h) })
}

// seeds of the runs, ascending, each once.
func seeds(runs []*results.History) []uint64 {
	all := map[uint64]bool{}
	for _, h := range runs {
		all[h.Run.Seed] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// newCurve measures the runs of a curve. RetrainedError counts where it was evaluated as
// said; nil is nowhere.
func newCurve(c results.Curve, anchor Anchor, wanted []uint64, evaluated *results.EvaluationKey) Curve {
	curve := Curve{
		Space: c.Space, Algorithm: c.Algorithm, Variant: c.Variant, ConfigHash: c.Runs[0].Run.ConfigHash,
		Seeds: []uint64{}, Missing: []uint64{}, Incomplete: []Incomplete{}, Statistics: []Statistic{},
		measures: map[uint64]Measures{},
	}
	there := map[uint64]bool{}
	for _, h := range c.Runs {
		seed := h.Run.Seed
		there[seed] = true
		if !Complete(h) {
			curve.Incomplete = append(curve.Incomplete, Incomplete{seed, h.Status.State, len(h.Epochs), h.Status.Message})
			continue
		}
		curve.Seeds = append(curve.Seeds, seed)
		curve.measures[seed] = Of(h, anchor)
		if evaluated == nil || h.Evaluation != nil && h.Evaluation.Key() != *evaluated {
			delete(curve.measures[seed], RetrainedError)
		}
		if curve.Eigenvalue == "" {
			curve.Eigenvalue = definition(h)
		}
	}
	for _, seed := range wanted {
		if !there[seed] {
			curve.Missing = append(curve.Missing, seed)
		}
	}
	for _, d := range Definitions {
		if s := curve.statistic(d.Name); len(s.Values) > 0 {
			curve.Statistics = append(curve.Statistics, s)
		}
	}
	return curve
}

// definition is how a run defines λ, empty where it has none.
func definition(h *results.History) string {
	for _, e := range h.Epochs {
		if e.Hessian != nil {
			return e.Hessian.Definition
		}
	}
	return ""
}

// Statistic returns that of a measure, and false where no seed has it.
func (c Curve) Statistic(name Name) (Statistic, bool) {
	i := slices.IndexFunc(c.Statistics, func(s Statistic) bool { return s.Measure == name })
	if i < 0 {
		return Statistic{}, false
	}
	return c.Statistics[i], true
}

func (c Curve) statistic(name Name) Statistic {
	s := Statistic{Measure: name}
	for _, seed := range c.Seeds {
		if x, ok := c.measures[seed][name]; ok {
			s.Values = append(s.Values, x)
		} else {
			s.Lacking = append(s.Lacking, seed)
		}
	}
	s.Mean = stats.Mean(s.Values)
	if len(s.Values) > 1 {
		std := stats.Std(s.Values)
		s.Std = &std
		if interval, err := stats.BCa(s.Values, stats.Mean, Level); err == nil {
			s.Interval = &interval
		}
	}
	return s
}
