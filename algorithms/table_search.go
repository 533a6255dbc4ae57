package algorithms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

// FullBudget is the training budget that a search is judged at, in epochs: the longest of
// NAS-Bench-101's.
const FullBudget = 108

// Searches that train nothing and only ask the table for validation errors have this in
// common; each says in a file of its own what it asks next.
const tableDoc = " Only the table is asked, for validation errors; an epoch of the search is a number of queries."

// tableDefinition completes the definition of a search of the table.
func tableDefinition(d Definition, ask func(Config, *configurations) strategy) Definition {
	d.Doc += tableDoc
	d.Options = append([]Option{
		{Name: "queries", Kind: Count, Default: 10, Min: 1, Max: 1e6, Doc: "table queries in an epoch"},
	}, append(d.Options, Option{
		Name: "workers", Kind: Count, Default: 1, Min: 1, Max: 10_000, Later: true,
		Doc: "networks that train at the same time, in simulation: by the training times of the table they finish in another order than they began in",
	})...)
	const noTable = "no table has its architectures"
	d.Supports = notRecurrent(noTable, notOnDARTS(noTable))
	d.TableOnly, d.After = true, true
	d.New = func(cfg Config) (Searcher, error) {
		t := &tableSearch{name: d.Name, cfg: cfg, queries: cfg.Settings.Count("queries"), workers: cfg.Settings.Count("workers")}
		t.space = newConfigurations(cfg.Space)
		t.fresh = func() strategy { return ask(cfg, t.space) }
		t.strategy = t.fresh()
		return t, nil
	}
	return d
}

// strategy is what a search of the table asks next. Its exported fields are its state, in
// JSON; the others follow from them and from what it was made of.
type strategy interface {
	// next returns what a worker that is free trains now: Configuration, Budget and Slot.
	// It returns false where the worker has to wait for another one to finish, never where
	// nothing is under way.
	next(r *rand.Rand) (trial, bool)
	// told hears how a trial ended.
	told(t trial)
	// restored checks a state that was read, beside the trials that are under way in it, and
	// completes what is not part of it.
	restored(running []trial) error
}

// trial is a network that trains, in simulation.
type trial struct {
	Configuration int     `json:"configuration"`
	Budget        int     `json:"budget"`           // epochs of training
	Slot          int     `json:"slot,omitempty"`   // what it is for, known to the strategy
	Error         float64 `json:"error"`            // on the validation images, in [0,1]
	Seconds       float64 `json:"seconds,omitzero"` // that the training takes; 0 where unknown
	End           float64 `json:"end,omitzero"`     // time at which it ends, in seconds from the start of the search
}

// tableSearch asks the table for one cell a step: the next of those that train to finish.
type tableSearch struct {
	name             string
	cfg              Config
	queries, workers int
	space            *configurations
	fresh            func() strategy
	strategy         strategy

	epoch, step int
	clock       float64 // at which the newest trial ended
	untimed     bool    // the table does not know how long some of them took
	best        *trial
	running     []trial // in the order of their start
}

// errNoTimes reports a table that cannot say which of several networks is done first.
var errNoTimes = errors.New("the table does not know how long this cell trains: simulated workers need a table with the training times of all cells, or take one worker: --set workers=1")

func (t *tableSearch) Steps(Batches) int { return t.queries }

func (t *tableSearch) StartEpoch(epoch int) { t.epoch, t.step = epoch, 0 }

func (t *tableSearch) Step(_ context.Context, _ Supernet, _ Batches) (StepInfo, error) {
	if t.cfg.Query == nil {
		return StepInfo{}, fmt.Errorf("%s: no table to ask", t.name)
	}
	for k := 0; len(t.running) < t.workers; k++ {
		index := []uint64{uint64(t.epoch), uint64(t.step)}
		if k > 0 { // of several workers that are free
			index = append(index, uint64(k))
		}
		next, ok := t.strategy.next(random.New(t.cfg.Seed, t.name, index...))
		if !ok {
			break
		}
		if err := t.start(next); err != nil {
			return StepInfo{}, fmt.Errorf("query %d of epoch %d: %w", t.step, t.epoch, err)
		}
	}
	if len(t.running) == 0 {
		return StepInfo{}, fmt.Errorf("%s: nothing to ask in step %d of epoch %d", t.name, t.step, t.epoch)
	}
	first := 0
	for i, other := range t.running {
		if other.End < t.running[first].End {
			first = i
		}
	}
	done := t.running[first]
	t.running = slices.Delete(t.running, first, first+1)
	t.clock = max(t.clock, done.End)
	t.strategy.told(done)
	info := StepInfo{Trial: &Trial{Architecture: t.space.architecture(done.Configuration), Budget: done.Budget, Error: done.Error, Workers: t.workers}}
	if !t.untimed {
		info.Trial.Clock = new(t.clock)
	}
	// What was trained for longer is known better, as in the released code of BOHB.
	if b := t.best; b == nil || cmp.Or(cmp.Compare(b.Budget, done.Budget), cmp.Compare(done.Error, b.Error)) < 0 {
		t.best, info.Trial.Incumbent = &done, true
	}
	t.step++
	return info, nil
}

// start asks the table how a trial will end.
func (t *tableSearch) start(next trial) error {
	answer, err := t.cfg.Query(t.space.architecture(next.Configuration), next.Budget)
	if err != nil {
		return err
	}
	if answer.Seconds == nil {
		if t.untimed = true; t.workers > 1 {
			return errNoTimes
		}
	} else {
		next.Seconds = *answer.Seconds
	}
	next.Error, next.End = answer.Error, t.clock+next.Seconds
	t.running = append(t.running, next)
	return nil
}

// Architecture is the best cell so far; before any query, one that would be
// drawn first.
func (t *tableSearch) Architecture() spaces.Architecture {
	if t.best == nil {
		return t.cfg.Space.Sample(random.New(t.cfg.Seed, t.name, 0, 0))
	}
	return t.space.architecture(t.best.Configuration)
}

type tableState struct {
	Algorithm string          `json:"algorithm"`
	Epoch     int             `json:"epoch"`
	Step      int             `json:"step"`
	Clock     float64         `json:"clock"`
	Untimed   bool            `json:"untimed,omitempty"`
	Best      *trial          `json:"best"`
	Running   []trial         `json:"running,omitempty"`
	Strategy  json.RawMessage `json:"strategy"`
}

func (t *tableSearch) State() ([]byte, error) {
	s := tableState{t.name, t.epoch, t.step, t.clock, t.untimed, t.best, t.running, nil}
	var err error
	if s.Strategy, err = json.Marshal(t.strategy); err != nil {
		return nil, fmt.Errorf("save state of %s: %w", t.name, err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", t.name, err)
	}
	return b, nil
}

func (t *tableSearch) SetState(b []byte) error {
	var s tableState
	restored := t.fresh()
	err := json.Unmarshal(b, &s)
	if err == nil {
		err = t.check(s)
	}
	if err == nil {
		err = json.Unmarshal(s.Strategy, restored)
	}
	if err == nil {
		err = restored.restored(s.Running)
	}
	if err != nil {
		return fmt.Errorf("restore state of %s: %w", t.name, err)
	}
	t.epoch, t.step, t.clock, t.untimed, t.best, t.running, t.strategy = s.Epoch, s.Step, s.Clock, s.Untimed, s.Best, s.Running, restored
	return nil
}

// check verifies a state that was read, the strategy's excepted.
func (t *tableSearch) check(s tableState) error {
	if s.Algorithm != t.name {
		return fmt.Errorf("it was saved by %q", s.Algorithm)
	}
	if s.Strategy == nil {
		return errors.New("it was saved by an earlier version, which did not keep what this one needs: run the search anew")
	}
	if s.Epoch < 0 || s.Step < 0 || !isTime(s.Clock) || len(s.Running) >= t.workers || s.Best == nil && (s.Epoch > 0 || s.Step > 0) {
		return fmt.Errorf("epoch %d, step %d at %g seconds, %d networks that train, do not fit", s.Epoch, s.Step, s.Clock, len(s.Running))
	}
	all := s.Running
	if s.Best != nil {
		all = append(all[:len(all):len(all)], *s.Best)
	}
	for _, c := range all {
		if err := t.space.checkTrial(c); err != nil {
			return err
		}
	}
	return nil
}

func isTime(seconds float64) bool { return seconds >= 0 && !math.IsInf(seconds, 0) }

// checkTrial verifies a trial that was read from a saved state.
func (c *configurations) checkTrial(t trial) error {
	if !isTime(t.Seconds) || !isTime(t.End) || t.Budget < 1 || t.Slot < 0 {
		return fmt.Errorf("a network of %d epochs, slot %d, %g seconds and end %g", t.Budget, t.Slot, t.Seconds, t.End)
	}
	return c.checkResult(result{t.Configuration, t.Error})
}

// result is a configuration and its validation error.
type result struct {
	Configuration int     `json:"c"`
	Error         float64 `json:"e"` // in [0,1]
}

// checkResult verifies a result that was read from a saved state.
func (c *configurations) checkResult(r result) error {
	if r.Configuration < 0 || r.Configuration >= c.size() {
		return fmt.Errorf("configuration %d: space %s has 0 to %d", r.Configuration, c.space.Name(), c.size()-1)
	}
	if !(r.Error >= 0 && r.Error <= 1) {
		return fmt.Errorf("configuration %d has the error %g, want 0 to 1", r.Configuration, r.Error)
	}
	return nil
}

// checkResults is checkResult of several.
func (c *configurations) checkResults(all []result) error {
	for _, r := range all {
		if err := c.checkResult(r); err != nil {
			return err
		}
	}
	return nil
}

// byError sorts results by their error; equal ones keep their order.
func byError(all []result) []result {
	return slices.SortedStableFunc(slices.Values(all), func(a, b result) int { return cmp.Compare(a.Error, b.Error) })
}

// candidate is a cell and how bad it is.
type candidate struct {
	Architecture spaces.Architecture `json:"architecture"`
	Error        float64             `json:"error"` // in [0,1]
}

// inSpace checks a cell that was read from a saved state.
func inSpace(space *spaces.Space, a spaces.Architecture) error {
	if a.Space != space.Name() {
		return fmt.Errorf("a cell of space %s in a search of space %s", a.Space, space.Name())
	}
	return a.Check()
}
