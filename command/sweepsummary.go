package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// sweepCourse shows how a sweep goes: on a terminal in one line that is rewritten,
// elsewhere a line for every unit and now and then one for the whole.
type sweepCourse struct {
	*status
	estimate                    estimate
	jobs, total                 int
	waiting                     map[int]sweep.Unit // by index
	running                     map[int]underWay
	finished, failed, elsewhere int
	took                        []timed
	retrains                    bool // whether networks are trained after the searches
}

// underWay is a unit that runs.
type underWay struct {
	sweep.Unit
	start time.Time
	at    benchmark.Progress
	seen  time.Time // when it was there
}

// timed is a finished unit and how long it took.
type timed struct {
	sweep.Unit
	seconds float64
}

func newSweepCourse(w io.Writer, units []sweep.Unit, jobs int) *sweepCourse {
	c := &sweepCourse{
		status: newStatus(w, 30*time.Second), jobs: max(jobs, 1), total: len(units),
		waiting: map[int]sweep.Unit{}, running: map[int]underWay{},
	}
	c.last = c.now() // nothing to tell yet
	for _, u := range units {
		c.waiting[u.Index] = u
	}
	return c
}

func (c *sweepCourse) update(u sweep.Unit, p benchmark.Progress) {
	way, ok := c.running[u.Index]
	if !ok {
		way = underWay{Unit: u, start: c.now()}
		delete(c.waiting, u.Index)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(c.w, "%s: %s\n", u.Run, note)
	}
	way.at, way.seen = p, c.now()
	c.running[u.Index] = way
	if !c.estimate.told && c.estimate.preset != "" {
		if text := c.estimate.of(c.now(), c.remaining()); text != "" {
			fmt.Fprintln(c.w, text)
		}
	}
	if c.due() { // the line takes longer than a step of a search of the table
		c.print(c.line())
	}
}

func (c *sweepCourse) done(o sweep.Outcome) {
	delete(c.waiting, o.Unit.Index)
	delete(c.running, o.Unit.Index)
	text := ""
	switch o.State {
	case sweep.Finished:
		c.finished++
		seconds := summarise(o.History).Seconds
		if e := o.History.Evaluation; c.retrains && e != nil {
			seconds += e.Seconds
		}
		c.took = append(c.took, timed{o.Unit, seconds})
		if !o.Ran {
			return // it was finished before
		}
		text = fmt.Sprintf("test error %v", summarise(o.History).Final)
		if s := summarise(o.History); benchmark.FamilyOf(o.Unit.Space).ReadsText() {
			text = strings.TrimPrefix(cmp.Or(s.perplexities(), s.Found.shape()), "perplexity ")
			if len(s.Perplexity) > 0 {
				text = "perplexity " + text
			}
		}
		if e := o.History.Evaluation; c.retrains && e != nil {
			text = fmt.Sprintf("test error %s after training", percent(e.TestError()))
			if e.Words != nil {
				text = fmt.Sprintf("perplexity %s on the test text after training", perplexity(e.Words.Test.Perplexity))
			}
		}
	case sweep.Failed:
		c.failed++
		text = "failed: " + message(o.Err)
	case sweep.Elsewhere:
		c.elsewhere++
		text = "elsewhere: " + message(o.Err)
	default:
		return // interrupted, as all are then
	}
	if c.screen != nil && o.State == sweep.Finished {
		c.print(c.line())
		return
	}
	fmt.Fprintf(c.w, "%s: %s (%s)\n", o.Unit.Run, text, c.counts())
}

// counts tells how far the whole sweep has come.
func (c *sweepCourse) counts() string {
	text := fmt.Sprintf("%d of %d done", c.finished, c.total)
	if c.failed > 0 {
		text += fmt.Sprintf(", %d failed", c.failed)
	}
	if c.elsewhere > 0 {
		text += fmt.Sprintf(", %d elsewhere", c.elsewhere)
	}
	if left := c.remaining(); left >= time.Second {
		text += fmt.Sprintf(", %s left", duration(left))
	}
	return text
}

func (c *sweepCourse) line() string {
	var parts []string
	for _, index := range slices.Sorted(maps.Keys(c.running)) {
		w := c.running[index]
		what := ""
		if w.at.Training {
			what = "training "
		}
		part := fmt.Sprintf("%s %s seed %d %s%d/%d", w.Space.Prefix(), w.Algorithm, w.Seed, what, w.at.Epoch, w.at.Epochs)
		if w.at.Step < w.at.Steps || w.at.Doing != "" {
			part += " (" + progressOf(w.at) + ")"
		}
		parts = append(parts, part)
	}
	return c.counts() + ": " + strings.Join(parts, ", ")
}

// remaining estimates the time until the end, 0 while there is no saying.
func (c *sweepCourse) remaining() time.Duration {
	finished := newPace(c.took)
	known := slices.Clone(c.took)
	total, longest := 0.0, 0.0
	add := func(seconds float64) {
		total += seconds
		longest = max(longest, seconds)
	}
	for _, w := range c.running {
		passed := c.now().Sub(w.start).Seconds()
		if w.at.Remaining > 0 && (w.at.Training || !c.retrains) {
			left := max(w.at.Remaining-c.now().Sub(w.seen), 0).Seconds()
			known = append(known, timed{w.Unit, passed + left})
			add(left)
		} else if all, ok := finished.of(w.Unit); ok {
			add(max(all-passed, 0))
		} else {
			return 0
		}
	}
	all := newPace(known)
	for _, u := range c.waiting {
		seconds, ok := all.of(u)
		if !ok {
			return 0
		}
		add(seconds)
	}
	return time.Duration(max(total/float64(c.jobs), longest) * float64(time.Second))
}

// pace is how long units take, by their space and algorithm, by their algorithm alone, and
// of all.
type pace map[sweep.Unit][]float64

// alike are the kinds of units that u is of, the narrowest first.
func alike(u sweep.Unit) [3]sweep.Unit {
	return [3]sweep.Unit{{Algorithm: u.Algorithm, Space: u.Space}, {Algorithm: u.Algorithm}, {}}
}

func newPace(known []timed) pace {
	p := pace{}
	for _, k := range known {
		for _, kind := range alike(k.Unit) {
			p[kind] = append(p[kind], k.seconds)
		}
	}
	return p
}

// of is the mean time of the units that are most like u, false where there are none.
func (p pace) of(u sweep.Unit) (seconds float64, ok bool) {
	for _, kind := range alike(u) {
		if times := p[kind]; len(times) > 0 {
			return stat.Mean(times, nil), true
		}
	}
	return 0, false
}

// sweepSummary is what a sweep comes to, and the output of sweep --json.
type sweepSummary struct {
	Dir    string       `json:"dir"`
	Groups []sweptGroup `json:"groups"`
	Units  []sweptUnit  `json:"units"`
}

// sweptGroup is the units of a space and an algorithm.
type sweptGroup struct {
	Space     spaces.Name `json:"space"`
	Algorithm string      `json:"algorithm"`
	Finished  []uint64    `json:"finished"` // seeds
	Failed    []uint64    `json:"failed"`
	Missing   []uint64    `json:"missing"` // those elsewhere too
	// Means over the finished seeds, nil where there is none.
	TestError  *float64 `json:"test_error"`      // after the last epoch
	Deviation  *float64 `json:"test_error_std"`  // sample standard deviation, nil for one seed
	Best       *float64 `json:"best_test_error"` // the lowest of any seed at any epoch
	Eigenvalue *float64 `json:"eigenvalue"`      // λ of the last epoch
	// Trained is the test error of the networks after training, TrainedDeviation its sample
	// standard deviation; absent where none is trained.
	Trained          *float64 `json:"trained_error,omitempty"`
	TrainedDeviation *float64 `json:"trained_error_std,omitempty"`
	// Where networks read words: the perplexity of the supernet on the validation text after
	// the last epoch, and that of the networks after training on the test text.
	Perplexity        *statistic `json:"perplexity,omitempty"`
	TrainedPerplexity *statistic `json:"trained_perplexity,omitempty"`

	Table string `json:"table,omitempty"` // kind
}

// statistic is a mean over seeds with the sample standard deviation, nil for one seed.
type statistic struct {
	Mean      float64  `json:"mean"`
	Deviation *float64 `json:"std"`
}

// newStatistic returns that of values, or nil of none.
func newStatistic(values []float64) *statistic {
	if len(values) == 0 {
		return nil
	}
	s := &statistic{Mean: stat.Mean(values, nil)}
	if len(values) > 1 {
		s.Deviation = new(stat.StdDev(values, nil))
	}
	return s
}

func (s *statistic) String() string {
	switch {
	case s == nil:
		return "-"
	case s.Deviation == nil:
		return perplexity(s.Mean)
	}
	return perplexity(s.Mean) + " ± " + perplexity(*s.Deviation)
}

// sweptUnit is a unit in the output of sweep --json.
type sweptUnit struct {
	sweep.Unit
	State      sweep.State `json:"state"`
	Message    string      `json:"message,omitempty"` // why it is not finished
	Seconds    *float64    `json:"seconds"`           // of its epochs
	Final      *outcome    `json:"final"`
	Best       *outcome    `json:"best"`
	Eigenvalue []float64   `json:"eigenvalue"` // λ of the first and the last epoch
	// Trained is the test error of the network after training, absent without.
	Trained *float64 `json:"trained_error,omitempty"`
	// Perplexity and TrainedPerplexity are those of a sweptGroup, absent where networks read images.
	Perplexity        *float64 `json:"perplexity,omitempty"`
	TrainedPerplexity *float64 `json:"trained_perplexity,omitempty"`
}

func summariseSweep(dir string, outcomes []sweep.Outcome) sweepSummary {
	s := sweepSummary{Dir: dir, Groups: []sweptGroup{}, Units: []sweptUnit{}}
	type key struct {
		space     spaces.Name
		algorithm string
	}
	members := map[key][]sweptUnit{}
	tables := map[key]string{}
	var finished []*results.History
	for _, o := range outcomes {
		if o.State == sweep.Finished {
			finished = append(finished, o.History)
		}
	}
	var counted []results.EvaluationKey // on images, on a text: how most were made
	for _, part := range []string{results.PartTest, results.PartTestText} {
		if groups := results.GroupEvaluations(finished, part); len(groups) > 0 {
			counted = append(counted, groups[0].Key)
		}
	}
	for _, o := range outcomes {
		u := sweptUnit{Unit: o.Unit, State: o.State}
		if o.Err != nil {
			u.Message = message(o.Err)
		}
		k := key{u.Space, u.Algorithm}
		if h := o.History; o.State == sweep.Finished {
			summary := summarise(h)
			u.Seconds, u.Final, u.Best, u.Eigenvalue = &summary.Seconds, summary.Final, summary.Best, summary.Eigenvalue
			tables[k] = summary.Table
			if n := len(summary.Perplexity); n > 0 {
				u.Perplexity = &summary.Perplexity[n-1]
			}
			if e := h.Evaluation; e != nil && slices.Contains(counted, e.Key()) {
				if e.Words != nil {
					u.TrainedPerplexity = &e.Words.Test.Perplexity
				} else {
					u.Trained = new(e.TestError())
				}
			}
		}
		s.Units = append(s.Units, u)
		members[k] = append(members[k], u)
	}
	for k, units := range members {
		s.Groups = append(s.Groups, newSweptGroup(units, tables[k]))
	}
	slices.SortFunc(s.Groups, func(a, b sweptGroup) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Algorithm, b.Algorithm))
	})
	return s
}

func newSweptGroup(units []sweptUnit, table string) sweptGroup {
	g := sweptGroup{
		Space: units[0].Space, Algorithm: units[0].Algorithm, Table: table,
		Finished: []uint64{}, Failed: []uint64{}, Missing: []uint64{},
	}
	var final, best, eigenvalues, trained, perplexities, trainedPerplexities []float64
	for _, u := range units {
		switch u.State {
		case sweep.Finished:
			g.Finished = append(g.Finished, u.Seed)
		case sweep.Failed:
			g.Failed = append(g.Failed, u.Seed)
		default:
			g.Missing = append(g.Missing, u.Seed)
		}
		if u.Final != nil {
			final, best = append(final, u.Final.TestError), append(best, u.Best.TestError)
		}
		if u.Trained != nil {
			trained = append(trained, *u.Trained)
		}
		if u.Perplexity != nil {
			perplexities = append(perplexities, *u.Perplexity)
		}
		if u.TrainedPerplexity != nil {
			trainedPerplexities = append(trainedPerplexities, *u.TrainedPerplexity)
		}
		if n := len(u.Eigenvalue); n > 0 {
			eigenvalues = append(eigenvalues, u.Eigenvalue[n-1])
		}
	}
	if s := newStatistic(final); s != nil {
		g.TestError, g.Deviation, g.Best = &s.Mean, s.Deviation, new(slices.Min(best))
	}
	if s := newStatistic(trained); s != nil {
		g.Trained, g.TrainedDeviation = &s.Mean, s.Deviation
	}
	g.Perplexity, g.TrainedPerplexity = newStatistic(perplexities), newStatistic(trainedPerplexities)
	if len(eigenvalues) > 0 {
		mean := stat.Mean(eigenvalues, nil)
		g.Eigenvalue = &mean
	}
	return g
}

// sweepCount counts units by their state.
type sweepCount struct{ finished, failed, elsewhere, missing int }

func (s sweepSummary) count() (n sweepCount) {
	for _, u := range s.Units {
		switch u.State {
		case sweep.Finished:
			n.finished++
		case sweep.Failed:
			n.failed++
		case sweep.Elsewhere:
			n.elsewhere++
		default:
			n.missing++
		}
	}
	return n
}

// String lists those that are not finished.
func (n sweepCount) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{n.failed, "failed"}, {n.elsewhere, "under way in another process"}, {n.missing, "missing"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.text))
		}
	}
	return strings.Join(parts, ", ")
}

// print writes the table, then what failed.
func (s sweepSummary) print(w io.Writer) error {
	rows := [][]string{{"algorithm", "space", "done", "failed", "missing", "test error", "best", "λ"}}
	trains := slices.ContainsFunc(s.Groups, func(g sweptGroup) bool { return g.Trained != nil })
	if trains {
		rows[0] = append(rows[0], "trained")
	}
	read := slices.ContainsFunc(s.Groups, func(g sweptGroup) bool { return g.Perplexity != nil || g.TrainedPerplexity != nil })
	if read {
		rows[0] = append(rows[0], "perplexity", "after training")
	}
	tables := map[string]bool{}
	for _, g := range s.Groups {
		row := []string{g.Algorithm, string(g.Space), strconv.Itoa(len(g.Finished)), dashed(formatSeeds(g.Failed)), dashed(formatSeeds(g.Missing))}
		if g.TestError == nil {
			row = append(row, "-", "-")
		} else {
			tables[g.Table] = true
			row = append(row, withBar(*g.TestError, g.Deviation), percent(*g.Best))
		}
		if g.Eigenvalue == nil {
			row = append(row, "-")
		} else {
			row = append(row, eigenvalue(*g.Eigenvalue))
		}
		switch {
		case g.Trained != nil:
			row = append(row, withBar(*g.Trained, g.TrainedDeviation))
		case trains:
			row = append(row, "-")
		}
		if read {
			row = append(row, g.Perplexity.String(), g.TrainedPerplexity.String())
		}
		rows = append(rows, row)
	}
	if err := printAligned(w, rows); err != nil {
		return err
	}
	notes := []string{"done counts seeds, failed and missing list them; test error after the last epoch, mean ± standard deviation over the seeds; best at any epoch of any seed; λ of the last epoch, mean"}
	if trains {
		notes = append(notes, "trained: test error after training from scratch, mean ± standard deviation over the seeds")
	}
	if read {
		notes = append(notes, "perplexity of the supernet on the validation text after the last epoch; after training from scratch, on the test text")
	}
	for _, kind := range slices.Sorted(maps.Keys(tables)) {
		notes = append(notes, "by "+tableTitle(kind))
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(wrap(strings.Join(notes, "; "), 85), "\n")); err != nil {
		return err
	}
	for _, u := range s.Units {
		if u.State != sweep.Failed && u.State != sweep.Elsewhere {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s\n  %s: %s\n", filepath.Join(s.Dir, u.Run), u.State, u.Message); err != nil {
			return err
		}
	}
	return nil
}

// dashed is the text, or a dash for none.
func dashed(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
