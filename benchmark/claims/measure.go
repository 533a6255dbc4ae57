package claims

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/results"
)

// Time is counted in epochs: at time t, t epochs are done. The anytime test error
// has a value from time 0, where a record holds the cell before its epoch, or from
// time 1 to E; λ has one from time 1 to E.

// series is a number at consecutive times.
type series struct {
	first  int // time of the first
	values []float64
	end    int // E, the number of epochs
}

// within is the values from behind one share of the epochs up to another.
func (s series) within(from, to float64) []float64 {
	after := func(share float64) int { return int(math.Floor(share*float64(s.end)+1e-9)) - s.first + 1 }
	low, high := max(after(from), 0), min(after(to), len(s.values))
	if low >= high {
		return nil
	}
	return s.values[low:high]
}

// window is the length of early, late and smoothing windows: a tenth of the epochs.
func (s series) window() int { return max(1, int(math.Round(float64(s.end)/10))) }

// early and late are the first and the last window.
func (s series) early() []float64 { return s.values[:min(s.window(), len(s.values))] }
func (s series) late() []float64  { return s.values[max(0, len(s.values)-s.window()):] }

// smoothed is the running mean over a window.
func (s series) smoothed() []float64 {
	w := min(s.window(), len(s.values))
	var all []float64
	for i := 0; i+w <= len(s.values); i++ {
		all = append(all, stats.Mean(s.values[i:i+w]))
	}
	return all
}

// trained is the number of epochs that a run has records of.
func trained(h *results.History) int {
	n := 0
	for _, e := range h.Epochs {
		if !e.Final {
			n++
		}
	}
	return n
}

// testErrors is the anytime test error of a complete run in percent, false where a
// record lacks it.
func testErrors(h *results.History) (series, bool) {
	s := series{end: trained(h)}
	records := h.Epochs
	if h.Run.Setting("evaluate") == "after" { // the final record repeats the last one
		s.first, records = 1, records[:len(records)-1]
	}
	for _, e := range records {
		x := results.TestError(e)
		if x == nil {
			return series{}, false
		}
		s.values = append(s.values, 100**x)
	}
	return s, len(s.values) > 0
}

// eigenvalues is λ after every epoch, false where one lacks it.
func eigenvalues(h *results.History) (series, bool) {
	s := series{first: 1, end: trained(h)}
	for _, e := range h.Epochs {
		if e.Final {
			continue
		}
		x := results.Eigenvalue(e)
		if x == nil {
			return series{}, false
		}
		s.values = append(s.values, *x)
	}
	return s, len(s.values) > 0
}

// quantity is a number of a run that claims speak of.
type quantity struct {
	name   string // as after "no": what a run may lack
	short  string // where it is compared with another of the same run
	unit   string
	lambda bool                                   // whether it compares only where λ is defined alike
	of     func(*results.History) (float64, bool) // of a complete run; false where it lacks it
}

const (
	points  = "points"  // of percent
	percent = "percent" // of the test images

	ofOperations = "percent of operations"
)

var (
	finalError = quantity{name: "final test error", unit: percent, of: func(h *results.History) (float64, bool) {
		x, ok := stability.Of(h, stability.Anchor{})[stability.FinalError]
		return 100 * x, ok
	}}
	deterioration = ofErrors("test error in every record", "", points, func(s series) float64 { return stats.Mean(s.late()) - slices.Min(s.smoothed()) })
	errorBefore   = ofErrors("test errors at 75 to 80 % of the epochs", "75–80 %", percent, func(s series) float64 { return stats.Mean(s.within(0.75, 0.80)) })
	errorAtEnd    = ofErrors("test errors in the last 5 % of the epochs", "95–100 %", percent, func(s series) float64 { return stats.Mean(s.within(0.95, 1)) })
	lateFall      = ofErrors("test errors at 75 to 80 and 95 to 100 % of the epochs", "", points, func(s series) float64 { return stats.Mean(s.within(0.75, 0.80)) - stats.Mean(s.within(0.95, 1)) })
	fluctuation   = ofErrors("two test errors in the second half", "", points, func(s series) float64 { return stats.Std(s.within(0.5, 1)) })

	parameterFree = quantity{name: "final share of parameter-free operations", unit: ofOperations, of: func(h *results.History) (float64, bool) {
		x, ok := stability.Of(h, stability.Anchor{})[stability.ParameterFree]
		return 100 * x, ok
	}}

	lateDecisions = quantity{name: "record of changed decisions", unit: "decisions", of: func(h *results.History) (float64, bool) {
		s := series{end: trained(h)}
		if h.Run.Setting("evaluate") == "after" {
			s.first = 1
		}
		for i, e := range h.Epochs {
			changed := 0
			if i > 0 {
				if e.Structure == nil || e.Structure.Changed == nil {
					return 0, false
				}
				changed = *e.Structure.Changed
			}
			s.values = append(s.values, float64(changed))
		}
		sum := 0.0
		for _, x := range s.within(0.5, 2) { // the final record that repeats the last one has changed nothing
			sum += x
		}
		return sum, true
	}}

	lateEigenvalue  = ofEigenvalues("λ of every epoch", "late", func(s series) float64 { return stats.Mean(s.late()) })
	earlyEigenvalue = ofEigenvalues("λ of every epoch", "early", func(s series) float64 { return stats.Mean(s.early()) })
	// peakEigenvalue is of windows that end before the late one begins: with it among
	// them the late mean could never be above.
	peakEigenvalue = ofEigenvalues("λ before its late window", "peak", func(s series) float64 {
		smoothed, w := s.smoothed(), s.window()
		if len(smoothed) <= w {
			return math.NaN()
		}
		return slices.Max(smoothed[:len(smoothed)-w])
	})
	growth = ofEigenvalues("positive λ", "", func(s series) float64 {
		early, late := stats.Mean(s.early()), stats.Mean(s.late())
		if early <= 0 || late <= 0 {
			return math.NaN()
		}
		return late / early
	})
	slope = ofEigenvalues("two positive λ", "", logSlope)

	stepTime = quantity{name: "time of the search's steps", unit: "s", of: func(h *results.History) (float64, bool) {
		x := StepSeconds(h)
		if x == nil || *x <= 0 {
			return 0, false
		}
		return *x, true
	}}
)

// retrained is the test error after training, of those evaluations that were made as most
// of the algorithms' are, and in a note how that is.
func (j *judge) retrained(names ...string) (q quantity, note string) {
	q = quantity{name: "test error after training", unit: percent}
	var runs []*results.History
	for _, name := range names {
		runs = append(runs, j.curves[name].Runs...)
	}
	groups := results.GroupEvaluations(runs, results.PartTest)
	q.of = func(h *results.History) (float64, bool) {
		if len(groups) == 0 || h.Evaluation == nil || h.Evaluation.Key() != groups[0].Key {
			return 0, false
		}
		return 100 * h.Evaluation.TestError(), true
	}
	if len(groups) == 0 {
		return q, ""
	}
	note = "trained with " + groups[0].Key.String()
	others := 0
	for _, g := range groups[1:] {
		others += len(g.Runs)
	}
	if others > 0 {
		note += fmt.Sprintf("; evaluations made otherwise, which do not count: %d", others)
	}
	return q, note
}

func ofErrors(name, short, unit string, of func(series) float64) quantity {
	return quantity{name: name, short: short, unit: unit, of: func(h *results.History) (float64, bool) {
		s, ok := testErrors(h)
		if !ok {
			return 0, false
		}
		x := of(s)
		return x, !math.IsNaN(x)
	}}
}

func ofEigenvalues(name, short string, of func(series) float64) quantity {
	return quantity{name: name, short: short, lambda: true, of: func(h *results.History) (float64, bool) {
		s, ok := eigenvalues(h)
		if !ok {
			return 0, false
		}
		x := of(s)
		return x, !math.IsNaN(x)
	}}
}

// logSlope is the least-squares slope of ln λ over the epochs, of those that are
// positive.
func logSlope(s series) float64 {
	var t, y []float64
	for i, x := range s.values {
		if x > 0 {
			t, y = append(t, float64(i)), append(y, math.Log(x))
		}
	}
	if len(t) < 2 {
		return math.NaN()
	}
	_, slope := stat.LinearRegression(t, y, nil, false)
	return slope
}

// StepSeconds is the mean wall time of the search's steps in an epoch, without
// Hessian, validation and lookup; nil where an epoch does not have it.
func StepSeconds(h *results.History) *float64 {
	sum := 0.0
	for _, e := range h.Epochs {
		if e.Final {
			continue
		}
		x, ok := e.Seconds["steps"]
		if !ok {
			return nil
		}
		sum += x
	}
	n := trained(h)
	if n == 0 {
		return nil
	}
	return new(sum / float64(n))
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
