package command

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Seeds are read as they are written, in any order.
func TestSeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.SliceOfNDistinct(rapid.Uint64Range(0, 12), 1, 12, rapid.ID).Draw(t, "small")
		large := rapid.SliceOfNDistinct(rapid.Uint64Range(1<<64-5, 1<<64-1), 0, 4, rapid.ID).Draw(t, "large")
		seeds := append(small, large...)
		text := formatSeeds(seeds)
		got, err := parseSeeds(text)
		if err != nil || !slices.Equal(got, slices.Sorted(slices.Values(seeds))) {
			t.Errorf("%v became %q became %v, %v", seeds, text, got, err)
		}
		if strings.Count(text, "-")+strings.Count(text, ",") >= len(seeds) {
			t.Errorf("%q for %d seeds", text, len(seeds))
		}
	})
	if got := formatSeeds([]uint64{9, 1, 0, 2, 4}); got != "0-2,4,9" {
		t.Errorf("got %q", got)
	}
	for list, want := range map[string]string{
		"": "neither", "1,": "neither", "x": "neither", "-1": "neither", "1-": "neither", "1-2-3": "neither", "1.5": "neither",
		"18446744073709551616": "neither", "4-3": "backwards", "1-3,2": "2 twice", "0-18446744073709551615": "more than", "0-9999,10000": "more than",
	} {
		if got, err := parseSeeds(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want an error with %q", list, got, err, want)
		}
	}
}

// unit makes a unit of a test.
func unit(index int, space spaces.Name, algorithm string) sweep.Unit {
	return sweep.Unit{Index: index, Space: space, Algorithm: algorithm, Run: algorithm + "-run"}
}

// took is the outcome of a unit whose one epoch took so long.
func took(u sweep.Unit, seconds float64) sweep.Outcome {
	test := 0.06
	return sweep.Outcome{Unit: u, State: sweep.Finished, Ran: true, History: &results.History{
		Epochs: []results.Epoch{{Lookup: results.Lookup{TestError: &test}, Seconds: map[string]float64{"steps": seconds - 1, "hessian": 1}}},
	}}
}

func TestSweepCourse(t *testing.T) {
	units := []sweep.Unit{unit(0, "1", "darts"), unit(1, "2", "darts"), unit(2, "1", "gdas"), unit(3, "1", "darts"), unit(4, "1", "darts")}
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	c := newSweepCourse(&b, units, 2)
	c.now = func() time.Time { return now }
	c.last = now
	remaining := func(want float64) {
		t.Helper()
		if got := c.remaining().Seconds(); got != want {
			t.Errorf("%v s left, want %v", got, want)
		}
	}
	remaining(0) // nothing is known

	// Under way, two at a time; what waits is expected to take as long.
	c.update(units[0], benchmark.Progress{Epochs: 10, Remaining: 90 * time.Second})
	c.update(units[1], benchmark.Progress{Epochs: 10, Remaining: 190 * time.Second})
	now = now.Add(10 * time.Second)
	c.update(units[0], benchmark.Progress{Epoch: 1, Epochs: 10, Remaining: 90 * time.Second})
	c.update(units[1], benchmark.Progress{Epoch: 1, Epochs: 10, Remaining: 190 * time.Second})
	remaining((90 + 190 + 150 + 100 + 100) / 2) // gdas as the mean of both
	if b.Len() > 0 {
		t.Errorf("printed early: %s", &b)
	}
	now = now.Add(20 * time.Second)
	c.update(units[0], benchmark.Progress{Epoch: 3, Epochs: 10, Remaining: 70 * time.Second})
	if want := "0 of 5 done, 4 min 55 s left: s1 darts seed 0 3/10, s2 darts seed 0 1/10\n"; b.String() != want {
		t.Errorf("%q, want %q", &b, want)
	}

	// What is finished says how long its like takes; a failure says nothing.
	b.Reset()
	c.done(took(units[0], 40))
	c.done(sweep.Outcome{Unit: units[1], State: sweep.Failed, Ran: true, Err: errors.New("it\ndiverged")})
	remaining((40 + 40 + 40) / 2.)
	if want := "darts-run: test error 6.00 % at epoch 0 (1 of 5 done, 3 min 5 s left)\n" +
		"darts-run: failed: it; diverged (1 of 5 done, 1 failed, 1 min 0 s left)\n"; b.String() != want {
		t.Errorf("%q, want %q", &b, want)
	}
	c.done(sweep.Outcome{Unit: units[2], State: sweep.Elsewhere, Err: errors.New("locked")})
	c.update(units[3], benchmark.Progress{Epochs: 10})
	now = now.Add(35 * time.Second)
	remaining(40) // beside 5
	c.done(took(units[4], 40))
	remaining(5)

	// The estimate is said once.
	b.Reset()
	c.estimate = estimate{preset: "paper", start: now.Add(-time.Minute)}
	c.update(units[3], benchmark.Progress{Epochs: 10, Remaining: 3 * time.Hour})
	c.update(units[3], benchmark.Progress{Epochs: 10, Remaining: 2 * time.Hour, Doing: "compiling"})
	if want := "time    about 3 h 0 min, by the pace of the first steps; in minutes, at a smaller scale: --preset quick or --preset small\n"; !strings.HasPrefix(b.String(), want) ||
		strings.Count(b.String(), "time") != 1 || !strings.HasSuffix(c.line(), "s1 darts seed 0 0/10 (compiling)") {
		t.Errorf("%q, %q", &b, c.line())
	}

	// What was finished before is counted and not told.
	b.Reset()
	o := took(units[3], 40)
	o.Ran = false
	if c.done(o); b.Len() > 0 || c.counts() != "3 of 5 done, 1 failed, 1 elsewhere" {
		t.Errorf("%q, %s", &b, c.counts())
	}
}

func TestSweepSummary(t *testing.T) {
	outcome := func(index int, algorithm string, seed uint64, state sweep.State, errors ...float64) sweep.Outcome {
		u := unit(index, "1", algorithm)
		u.Seed = seed
		o := sweep.Outcome{Unit: u, State: state, History: &results.History{}}
		for _, e := range errors {
			o.History.Epochs = append(o.History.Epochs, results.Epoch{Epoch: len(o.History.Epochs), Lookup: results.Lookup{TestError: &e}})
		}
		return o
	}
	s := summariseSweep("runs", []sweep.Outcome{
		outcome(0, "gdas", 0, sweep.Finished, 0.07, 0.04, 0.06),
		outcome(1, "darts", 0, sweep.Finished, 0.1),
		outcome(2, "gdas", 1, sweep.Finished, 0.05, 0.08),
		outcome(3, "gdas", 2, sweep.Failed, 0.01),
		outcome(4, "gdas", 3, sweep.Missing, 0.01),
		outcome(5, "gdas", 4, sweep.Elsewhere),
		outcome(6, "darts", 1, sweep.Missing),
	})
	var b bytes.Buffer
	if err := s.print(&b); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"algorithm  space  done  failed  missing       test error     best  λ",
		"darts          1     1       -        1          10.00 %  10.00 %  -",
		"gdas           1     2       2      3-4  7.00 % ± 1.41 %   4.00 %  -",
		"", "",
	}, "\n")
	if got, _, _ := strings.Cut(b.String(), "done counts"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := s.count().String(); got != "1 failed, 1 under way in another process, 2 missing" {
		t.Errorf("got %q", got)
	}
}
