package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	_ "github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// tiny returns a runner of runs of a fraction of a second, and the units of darts,
// gdas and random search on space 1 from two seeds.
func tiny(t *testing.T, engine string) (*Runner, []Unit) {
	t.Helper()
	images := data.Procedural(20, 0)
	images, err := data.Downsample(images, 8)
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{
		Root: filepath.Join(t.TempDir(), "runs"), Train: images, Oracle: nasbench.Default(), Jobs: 1, Threads: 1,
		Shared: Shared{
			Preset: "smoke", Engine: engine, Table: Source{"surrogate", nasbench.Default().Source().Digest},
			Settings: map[string]string{"epochs": "2", "channels": "2", "side": "8", "limit": "20", "batch": "4", "random-search.queries": "4"},
		},
	}
	m := &Manifest{Shared: r.Shared}
	units, err := m.Grow(Grid{[]spaces.Name{"1"}, []string{"darts", "gdas", "random-search"}, []uint64{0, 1}}, r.Stem(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.Root, 0o777); err != nil {
		t.Fatal(err)
	}
	return r, units
}

// states lists the states of outcomes.
func states(outcomes []Outcome) string {
	var list []string
	for _, o := range outcomes {
		list = append(list, string(o.State))
	}
	return strings.Join(list, " ")
}

// The records are the same however many runs go on at a time, and what is finished
// is not run again.
func TestRun(t *testing.T) {
	records := func(engine string, jobs, threads int) map[string]string {
		r, units := tiny(t, engine)
		r.Jobs, r.Threads = jobs, threads
		// The callbacks exclude each other, of which the race detector is the judge.
		underWay, most, done := 0, 0, 0
		seen := map[int]bool{}
		r.Progress = func(u Unit, p benchmark.Progress) {
			if !seen[u.Index] {
				seen[u.Index] = true
				underWay++
				most = max(most, underWay)
			}
		}
		r.Done = func(o Outcome) {
			done++
			underWay--
		}
		outcomes, err := r.Run(t.Context(), units)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for i, o := range outcomes {
			if o.Unit != units[i] || o.State != Finished || !o.Ran || o.Err != nil || len(o.History.Epochs) != 3 {
				t.Errorf("unit %d: %+v", i, o)
				continue
			}
			raw, err := os.ReadFile(filepath.Join(r.Root, o.Unit.Run, "epochs.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			all[o.Unit.Run] = string(results.Canonical(raw))
		}
		if done != len(units) || len(seen) != len(units) || most > jobs {
			t.Errorf("%d done, %d seen of %d units; %d at a time with %d jobs", done, len(seen), len(units), most, jobs)
		}

		again, err := r.Run(t.Context(), units)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range again {
			if o.State != Finished || o.Ran || o.History == nil {
				t.Errorf("unit %d again: %+v", i, o)
			}
		}
		return all
	}
	for _, engine := range []string{"ref32", "cpu"} {
		one := records(engine, 1, 1)
		if len(one) != 6 {
			t.Fatalf("%d records", len(one))
		}
		for run, record := range records(engine, 4, 8) {
			if record != one[run] {
				t.Errorf("%s, %s: several at a time give another record", engine, run)
			}
		}
	}
}

// As many runs as there are jobs go on at a time.
func TestSeveralAtATime(t *testing.T) {
	r, units := tiny(t, "ref32")
	r.Jobs = 3
	here, all := make(chan int, r.Jobs), make(chan int)
	go func() {
		for range r.Jobs {
			<-here
		}
		close(all)
	}()
	r.Oracle = oracle{r.Oracle, func() error {
		select {
		case <-all:
			return nil
		default:
		}
		here <- 1
		select {
		case <-all:
			return nil
		case <-time.After(time.Minute):
			return errors.New("no other run came")
		}
	}}
	outcomes, err := r.Run(t.Context(), units)
	if got := states(outcomes); err != nil || strings.Count(got, "finished") != len(units) {
		t.Errorf("%s, %v", got, err)
	}
}

// A run of a sweep is the run that benchmark.Job makes of the same settings.
func TestRunsAreThoseOfJobs(t *testing.T) {
	r, units := tiny(t, "ref32")
	config, err := r.Shared.Config("1", "gdas")
	if err != nil {
		t.Fatal(err)
	}
	search, err := benchmark.Job{
		Config: config, Seed: 1, Train: data.Procedural(20, 0), Oracle: nasbench.Default(), Engine: "ref32", Threads: 1, Root: r.Root,
	}.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if got := search.Record().Name(); got != units[4].Run {
		t.Errorf("the job makes %s, the sweep %s", got, units[4].Run)
	}
}

// oracle answers as the surrogate does after it was asked whether to.
type oracle struct {
	nasbench.Oracle
	query func() error
}

func (o oracle) Query(c cell.Spec) (nasbench.Metrics, error) {
	if err := o.query(); err != nil {
		return nasbench.Metrics{}, err
	}
	return o.Oracle.Query(c)
}

// What happens to one unit does not stop the others.
func TestFailures(t *testing.T) {
	t.Run("foreign directory", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		if err := os.Mkdir(filepath.Join(r.Root, units[0].Run), 0o777); err != nil {
			t.Fatal(err)
		}
		outcomes, err := r.Run(t.Context(), units)
		if got := states(outcomes); err != nil || got != "failed finished finished finished finished finished" {
			t.Errorf("%s, %v", got, err)
		}
		if o := outcomes[0]; o.Err == nil || !strings.Contains(o.Err.Error(), "no readable run") {
			t.Errorf("message %v", o.Err)
		}
	})
	t.Run("another configuration", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		r.Shared.Settings["gdas.clip"] = "1"
		outcomes, err := r.Run(t.Context(), units)
		if got := states(outcomes); err != nil || got != "finished failed finished finished failed finished" {
			t.Errorf("%s, %v", got, err)
		}
		if o := outcomes[1]; o.Err == nil || !strings.Contains(o.Err.Error(), "this program would name it s1-gdas-smoke-") {
			t.Errorf("message %v", o.Err)
		}
	})
	t.Run("failure", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		n := 0
		r.Oracle = oracle{r.Oracle, func() error {
			if n++; n == 2 { // the second record of the first run
				return errors.New("the table is on fire")
			}
			return nil
		}}
		outcomes, err := r.Run(t.Context(), units)
		if got := states(outcomes); err != nil || got != "failed finished finished finished finished finished" {
			t.Errorf("%s, %v", got, err)
		}
		h, err := results.Read(filepath.Join(r.Root, units[0].Run))
		if err != nil || h.Status.State != results.Failed || !strings.Contains(h.Status.Message, "on fire") {
			t.Errorf("%+v, %v", h, err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		n := 0
		r.Oracle = oracle{r.Oracle, func() error {
			if n++; n == 1 {
				panic("a mistake")
			}
			return nil
		}}
		outcomes, err := r.Run(t.Context(), units)
		if got := states(outcomes); err != nil || got != "failed finished finished finished finished finished" {
			t.Errorf("%s, %v", got, err)
		}
		var panicked *PanicError
		if !errors.As(outcomes[0].Err, &panicked) || panicked.Value != "a mistake" {
			t.Fatalf("error %v", outcomes[0].Err)
		}
		stack, err := os.ReadFile(panicked.File)
		if err != nil || !strings.HasPrefix(string(stack), "panic: a mistake\n") || !strings.Contains(string(stack), "TestFailures") {
			t.Errorf("%v: %s", err, stack)
		}
	})
	t.Run("under way elsewhere", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		search, err := r.prepare(t.Context(), units[1], 1)
		if err != nil {
			t.Fatal(err)
		}
		w, err := results.Create(r.Root, search.Record())
		if err != nil {
			t.Fatal(err)
		}
		outcomes, err := r.Run(t.Context(), units)
		if got := states(outcomes); err != nil || got != "finished elsewhere finished finished finished finished" {
			t.Errorf("%s, %v", got, err)
		}
		if err := w.Interrupt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What no other unit would survive stops the sweep.
func TestStopped(t *testing.T) {
	t.Run("disk full", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		n := 0
		r.Oracle = oracle{r.Oracle, func() error {
			if n++; n == 5 { // in the second run
				return fmt.Errorf("write: %w", syscall.ENOSPC)
			}
			return nil
		}}
		outcomes, err := r.Run(t.Context(), units)
		var stopped *StoppedError
		if !errors.As(err, &stopped) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), r.Root) {
			t.Errorf("error %v", err)
		}
		if got := states(outcomes); got != "finished failed missing missing missing missing" {
			t.Errorf("states %s", got)
		}
	})
	t.Run("folder gone", func(t *testing.T) {
		r, units := tiny(t, "ref32")
		n := 0
		r.Oracle = oracle{r.Oracle, func() error {
			if n++; n == 1 {
				return os.RemoveAll(r.Root)
			}
			return nil
		}}
		outcomes, err := r.Run(t.Context(), units)
		var stopped *StoppedError
		if !errors.As(err, &stopped) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v", err)
		}
		if got := states(outcomes); got != "failed missing missing missing missing missing" {
			t.Errorf("states %s: %v", got, outcomes[0].Err)
		}
	})
}

// A cancelled sweep interrupts what goes on and begins nothing more.
func TestCancel(t *testing.T) {
	r, units := tiny(t, "ref32")
	r.Jobs = 2
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	finished := 0
	r.Done = func(o Outcome) {
		if o.State == Finished {
			finished++
		}
	}
	r.Progress = func(u Unit, p benchmark.Progress) {
		if p.Epoch == 1 {
			cancel()
		}
	}
	outcomes, err := r.Run(ctx, units)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	left := 0
	for _, o := range outcomes {
		switch o.State {
		case Missing:
			left++
		case Failed, Elsewhere:
			t.Errorf("%+v", o)
		}
	}
	if left == 0 || left+finished != len(units) {
		t.Errorf("%d left, %d finished: %s", left, finished, states(outcomes))
	}
	entries, err := os.ReadDir(r.Root)
	if err != nil || len(entries) > finished+2 {
		t.Errorf("%v begun, %v", entries, err)
	}
}
