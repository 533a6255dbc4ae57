package watch

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// history is a run of 10 epochs, of which those were recorded that took so many seconds.
func history(state results.State, process string, seconds ...float64) *results.History {
	h := &results.History{
		Dir: "x", Run: results.Run{Space: "1", Algorithm: "darts", Config: []byte(`{"epochs":10}`)},
		Status: results.Status{State: state, Process: process},
	}
	for i, s := range seconds {
		h.Epochs = append(h.Epochs, results.Epoch{Epoch: i, Seconds: map[string]float64{"steps": s}})
	}
	return h
}

func TestOf(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	misfit := history(results.Finished, "")
	misfit.Misfit = &results.MisfitError{Path: "x/epochs.jsonl", Want: results.Mark{Bytes: 1}}
	for name, test := range map[string]struct {
		h    *results.History
		want State
		left float64 // −1 for none
	}{
		"by the last epochs": {history(results.Running, "1 on elsewhere", 90, 10, 10, 10, 10, 10), Running, 4*10 - 5},
		"late":               {history(results.Running, "1 on elsewhere", 0.1), Running, 0},
		"none yet":           {history(results.Running, "1 on elsewhere"), Running, -1},
		"killed":             {history(results.Running, fmt.Sprintf("%d on %s", 1<<22+1, host), 10), Killed, -1},
		"finished":           {history(results.Finished, "1 on elsewhere", 10), Finished, -1},
		"changed":            {misfit, Damaged, -1},
	} {
		r := Of(name, test.h, now.Add(-5*time.Second), now)
		left := -1.0
		if r.Left != nil {
			left = *r.Left
		}
		if r.State != test.want || left != test.left || r.Configured != 10 || r.Epochs != len(test.h.Epochs) {
			t.Errorf("%s: %+v with %g s left, want %s with %g", name, r, left, test.want, test.left)
		}
	}
}

func TestAssemble(t *testing.T) {
	seconds := func(x float64) *float64 { return &x }
	unit := func(i int, space spaces.Name, algorithm string) sweep.Unit {
		return sweep.Unit{Index: i, Space: space, Algorithm: algorithm, Run: fmt.Sprintf("s%s-%s-%d", space, algorithm, i)}
	}
	m := &sweep.Manifest{Units: []sweep.Unit{
		unit(0, "1", "darts"), unit(1, "1", "darts"), unit(2, "2", "darts"), unit(3, "1", "gdas"), unit(4, "1", "darts"), unit(5, "1", "darts"),
	}}
	finished := Run{Name: "s1-darts-0", Space: "1", Algorithm: "darts", State: Finished, Spent: seconds(100), Bytes: 7}
	running := Run{Name: "s1-darts-1", Space: "1", Algorithm: "darts", State: Running, Spent: seconds(50), Left: seconds(250), Bytes: 1}
	killed := Run{Name: "s1-darts-4", Space: "1", Algorithm: "darts", State: Killed, Spent: seconds(150)}
	failed := Run{Name: "s1-darts-5", Space: "1", Algorithm: "darts", State: Failed, Reason: "NaN"}
	beside := Run{Name: "other", Space: "2", Algorithm: "enas", State: Finished, Spent: seconds(700)}
	s := Assemble("runs", m, []Run{failed, beside, running, killed, finished})
	if got := s.Counted(); got != "2 finished, 1 running, 2 missing, 1 killed, 1 failed" {
		t.Error(got)
	}
	// 250 of the running one, as DARTS on any space (100 and 300) the one on space 2,
	// as all (100, 300, 700) the GDAS, and what is left of 200 of the killed one.
	want := 250 + 200 + 1100.0/3 + 50
	if s.Left == nil || *s.Left-want > 1e-9 || want-*s.Left > 1e-9 {
		t.Errorf("%v s left, want %g", s.Left, want)
	}
	for i, name := range []string{"s1-darts-0", "s1-darts-1", "s2-darts-2", "s1-gdas-3", "s1-darts-4", "s1-darts-5", "other"} {
		if r := s.Runs[i]; r.Name != name || (r.Unit == nil) != (name == "other") || r.Unit != nil && *r.Unit != i {
			t.Errorf("place %d: %+v", i, r)
		}
	}
	s.Queue(map[int]bool{0: true, 1: true, 2: true, 5: true}) // of which two are done and at work
	if got := s.Counted(); got != "2 finished, 1 running, 2 queued, 1 missing, 1 killed" {
		t.Error(got)
	}
	if s.Bytes != 8 || !s.Sweep {
		t.Errorf("%d bytes", s.Bytes)
	}
	// Several at a time, but no sooner than the longest.
	running.Left, finished.Name = seconds(1000), "s1-darts-4"
	killed.Name, killed.State, killed.Left = "s1-darts-0", Running, seconds(10)
	if s := Assemble("runs", m, []Run{running, killed, failed, finished}); s.Left == nil || *s.Left < 1000 || *s.Left > 1200 {
		t.Errorf("%v", s.Left)
	}
	if s := Assemble("runs", m, []Run{failed}); s.Left != nil || s.Counts[Missing] != 5 {
		t.Errorf("%v s left where nothing tells", s.Left)
	}
	if s := Assemble("runs", nil, []Run{finished}); s.Left != nil || s.Sweep {
		t.Errorf("%v s left where nothing is to be done", s.Left)
	}
}

// A sweep that trains networks is done when these are; the time left has that of their
// trainings.
func TestAssembleTrainings(t *testing.T) {
	seconds := func(x float64) *float64 { return &x }
	m := &sweep.Manifest{Shared: sweep.Shared{Retrain: &sweep.Retraining{Preset: "smoke"}}}
	for i := range 4 {
		m.Units = append(m.Units, sweep.Unit{Index: i, Space: "darts-s2", Algorithm: "darts", Run: fmt.Sprintf("run-%d", i)})
	}
	of := func(i int, state State, r Run) Run {
		r.Name, r.Space, r.Algorithm, r.State = fmt.Sprintf("run-%d", i), "darts-s2", "darts", state
		return r
	}
	runs := []Run{
		of(0, Finished, Run{Spent: seconds(100), Training: seconds(300)}),
		of(1, Finished, Run{Spent: seconds(120), training: "epoch 3"}),
		of(2, Running, Run{Spent: seconds(50), Left: seconds(50)}),
	}
	s := Assemble("runs", m, runs)
	if got := s.Counted(); got != "1 finished, 1 running, 1 untrained, 1 missing" {
		t.Error(got)
	}
	if r := s.Runs[1]; r.Reason != "epoch 3" {
		t.Errorf("reason %q", r.Reason)
	}
	if want := 280 + 350 + 400.0; s.Left == nil || *s.Left != want {
		t.Errorf("%v s left, want %g", s.Left, want)
	}
	m.Shared.Retrain = nil
	if got := Assemble("runs", m, runs).Counted(); got != "2 finished, 1 running, 1 missing" {
		t.Error(got)
	}
}
