package results

import (
	"math"
	"slices"
)

// Clock is what the progress of a search is measured by.
type Clock int

// The clocks.
const (
	// ByCost counts the seconds that the networks which a search of the table asks for
	// take to train, by the table, with as many at a time as it has workers.
	ByCost Clock = iota
	// ByTrainings counts the epochs of these networks, in units of a full training of 108.
	ByTrainings
	// BySeconds counts the wall time of the search, the sum over its records.
	BySeconds
)

// fullTraining is the longest of NAS-Bench-101's trainings, in epochs.
const fullTraining = 108

// Step is what a quantity of a search is from a moment on.
type Step struct {
	At    float64 // by a Clock
	Value float64
}

// Anytime returns how a quantity of the cell that a search would deliver changes with the
// time of a clock, and when the search ends. Of searches of the table every incumbent
// counts from the end of its training on, of others the cell of every record from the
// moment that it belongs to. There are no changes where the run lacks the clock or the
// quantity.
func (h *History) Anytime(clock Clock, of func(Lookup) *float64) (changes []Step, end float64) {
	if clock == BySeconds {
		return h.bySeconds(of)
	}
	read := func(epochs int, seconds *float64) (float64, bool) {
		switch {
		case clock == ByTrainings:
			return float64(epochs) / fullTraining, true
		case seconds == nil:
			return 0, false
		}
		return *seconds, true
	}
	for _, e := range h.Epochs {
		if e.Queries == nil {
			continue
		}
		for _, n := range e.Queries.Incumbents {
			at, ok := read(n.Epochs, n.Seconds)
			value := of(n.Lookup)
			if !ok || value == nil {
				return nil, 0
			}
			changes = append(changes, Step{at, *value})
		}
		var ok bool
		if end, ok = read(e.Queries.Epochs, e.Queries.Seconds); !ok {
			return nil, 0
		}
	}
	return changes, end
}

// bySeconds is Anytime by the wall time.
func (h *History) bySeconds(of func(Lookup) *float64) (changes []Step, end float64) {
	after := h.Run.Setting("evaluate") == "after"
	for _, e := range h.Epochs {
		if len(e.Seconds) == 0 && !e.Final {
			return nil, 0
		}
		before := end
		end += e.Duration()
		at := before
		if after && !e.Final {
			at = end
		}
		value := of(e.Lookup)
		if value == nil {
			return nil, 0
		}
		changes = append(changes, Step{at, *value})
	}
	return changes, end
}

// Moment is the statistic of a quantity over the seeds at one moment.
type Moment struct {
	At                float64
	Low, Middle, High float64 // as in Point
	Seeds             int
}

// Anytime is a statistic over the seeds of Anytime of each, at n moments which are evenly
// spaced on a logarithmic axis, from the first at which every seed has a value to the last
// before any of them ends. It is empty where a seed has none, or where they share no time.
func (c Curve) Anytime(clock Clock, of func(Lookup) *float64, statistic Statistic, n int) []Moment {
	start, stop := 0.0, math.Inf(1)
	var all [][]Step
	for _, h := range c.Runs {
		changes, end := h.Anytime(clock, of)
		if len(changes) == 0 {
			return nil
		}
		first := slices.IndexFunc(changes, func(c Step) bool { return c.At > 0 })
		if first < 0 {
			return nil
		}
		start, stop = max(start, changes[first].At), min(stop, end)
		all = append(all, changes)
	}
	if !(start > 0 && start < stop) {
		return nil
	}
	var moments []Moment
	for i := range n {
		at := start * math.Pow(stop/start, float64(i)/float64(n-1))
		if i == n-1 {
			at = stop
		}
		var values []float64
		for _, changes := range all {
			later := slices.IndexFunc(changes, func(c Step) bool { return c.At > at })
			if later < 0 {
				later = len(changes)
			}
			values = append(values, changes[later-1].Value) // there is one: at is not before the start
		}
		low, middle, high := statistic.of(values)
		moments = append(moments, Moment{at, low, middle, high, len(values)})
	}
	return moments
}

// TestErrorOf is the test error of a lookup, a quantity for Anytime.
func TestErrorOf(l Lookup) *float64 { return l.TestError }

// ValidErrorOf is the validation error of a lookup, likewise.
func ValidErrorOf(l Lookup) *float64 { return l.ValidError }
