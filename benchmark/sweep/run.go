package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// State is what became of a unit.
type State string

// The states of a unit.
const (
	Finished  State = "finished"
	Failed    State = "failed"    // by an error of its own
	Elsewhere State = "elsewhere" // another process works on it
	Missing   State = "missing"   // not begun, or interrupted
)

// Outcome is what became of a unit.
type Outcome struct {
	Unit  Unit
	State State
	// Ran tells that this process worked on it, for so long.
	Ran     bool
	Elapsed time.Duration
	// History is its record: all of it where Finished, else what there was before,
	// nil where there is none that can be read.
	History *results.History
	Err     error // why it is not Finished; nil where it was not begun
}

// Runner runs units of a sweep.
type Runner struct {
	Root   string // folder of the manifest and of the run directories
	Shared Shared
	Train  *data.Set    // as benchmark.Job has them; nil where no unit needs any
	Text   *text.Corpus // likewise
	Test   *data.Set
	Oracle nasbench.Oracle
	// NetworkTrain and NetworkTest are the images that networks are trained on and tested
	// with, NetworkText is the text, as retrain.Job has them; nil where Shared.Retrain is.
	NetworkTrain, NetworkTest *data.Set
	NetworkText               *text.Corpus
	Program                   string // version of the program, for people

	Jobs int // runs at a time, at least 1
	// Threads are divided among the runs that go on at a time. No record depends
	// on their number.
	Threads int

	// Progress, unless nil, is called after every step, and Done when a unit is no
	// longer under way or turned out to be finished. Neither is called while the
	// other or itself is.
	Progress func(Unit, benchmark.Progress)
	Done     func(Outcome)
}

// StoppedError reports what made it senseless to go on with any unit.
type StoppedError struct{ Err error }

// Error names the cause.
func (e *StoppedError) Error() string { return fmt.Sprintf("sweep stopped: %v", e.Err) }

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Err }

// PanicError is a panic of a run. Its stack stands in the file File.
type PanicError struct {
	Value any
	File  string
}

// Error tells the value and where the stack is.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v; stack in %s", e.Value, e.File) }

// Run runs the units that are not finished, in their order, and returns what
// became of each. What keeps one unit from its end does not stop the others, but
// for a full disk or a vanished folder: a *StoppedError. When ctx is done, runs
// stop at their next step, and ctx's error is returned.
func (r *Runner) Run(ctx context.Context, units []Unit) ([]Outcome, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mutex sync.Mutex
	outcomes := make([]Outcome, len(units))
	done := func(i int, o Outcome) {
		mutex.Lock()
		defer mutex.Unlock()
		outcomes[i] = o
		if r.Done != nil {
			r.Done(o)
		}
	}
	var left []int
	for i, u := range units {
		if o := r.Inspect(u); o.State == Finished {
			done(i, o)
		} else {
			outcomes[i] = o
			left = append(left, i)
		}
	}

	jobs := max(min(r.Jobs, len(left)), 1)
	queue := make(chan int, len(left))
	for _, i := range left {
		queue <- i
	}
	close(queue)
	var workers fault.Group
	for range jobs {
		workers.Go(func() {
			for i := range queue {
				if ctx.Err() != nil {
					continue
				}
				o := r.one(ctx, units[i], max(r.Threads/jobs, 1), &mutex)
				if cause := r.hopeless(o.Err); cause != nil {
					stop(&StoppedError{cause})
				}
				done(i, o)
				// The engine's memory is outside the Go heap: without this, that of
				// several runs would pile up before the collector found a reason.
				runtime.GC()
			}
		})
	}
	workers.Wait()
	return outcomes, context.Cause(ctx)
}

// Inspect tells from its run directory whether a unit is finished, with its network trained
// where the sweep says so; Failed is one whose network was trained otherwise.
func (r *Runner) Inspect(u Unit) Outcome {
	o := Outcome{Unit: u, State: Missing}
	h, err := results.Read(filepath.Join(r.Root, u.Run))
	if err != nil || h.Run.Name() != u.Run {
		return o // running it tells what is wrong
	}
	if o.History = h; searched(h) {
		if done, err := r.Shared.trained(h); err != nil {
			o.State, o.Err = Failed, err
		} else if done {
			o.State = Finished
		}
	}
	return o
}

// searched tells whether the search of a run is finished.
func searched(h *results.History) bool { return h.Status.State == results.Finished && h.Misfit == nil }

// one runs a unit.
func (r *Runner) one(ctx context.Context, u Unit, threads int, mutex *sync.Mutex) Outcome {
	start := time.Now()
	report := func(p benchmark.Progress) {
		if r.Progress != nil {
			mutex.Lock()
			defer mutex.Unlock()
			r.Progress(u, p)
		}
	}
	search := func() error {
		if h := r.Inspect(u).History; h != nil && searched(h) { // its network is left
			return &results.FinishedError{Dir: h.Dir}
		}
		return r.search(ctx, u, threads, report)
	}
	err := search()
	var locked *results.LockedError
	if errors.As(err, &locked) && locked.Wait > 0 {
		// Its machine may have died with it, as a node of a cluster does: the task that is
		// started in its place has nothing else to do but wait until that is certain.
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(locked.Wait + time.Second):
			err = search()
		}
	}
	o := Outcome{Unit: u, State: Failed, Ran: true, Elapsed: time.Since(start), Err: err}
	var finished *results.FinishedError
	switch {
	case err == nil, errors.As(err, &finished):
		o.Ran = finished == nil
		dir := filepath.Join(r.Root, u.Run)
		if o.History, o.Err = results.Read(dir); o.Err != nil {
			return o
		}
		done, err := r.Shared.trained(o.History)
		if err == nil && !done {
			o.Ran = true
			if err = r.retrain(ctx, u, o.History, threads, report); err == nil {
				o.History, err = results.Read(dir)
			}
			o.Elapsed = time.Since(start)
		}
		switch o.Err = err; {
		case err == nil:
			o.State = Finished
		case errors.Is(err, context.Canceled):
			o.State = Missing
		case errors.Is(err, durable.ErrLocked):
			o.State, o.Ran = Elsewhere, false
		}
	case errors.Is(err, context.Canceled):
		o.State = Missing
	case errors.As(err, &locked):
		o.State, o.Ran = Elsewhere, false
	}
	return o
}

// guard makes a panic of the work on a unit a *PanicError. It is to be deferred.
func (r *Runner) guard(u Unit, err *error) {
	value := recover()
	if value == nil {
		return
	}
	file := filepath.Join(r.Root, u.Run+".panic.txt")
	trace := debug.Stack()
	if f, ok := value.(*fault.Error); ok { // from where the work was done
		value, trace = f.Value, []byte(strings.Join(f.Stack, "\n")+"\n")
	}
	stack := fmt.Appendf(nil, "panic: %v\n\n%s", value, trace)
	*err = errors.Join(&PanicError{value, file}, durable.WriteFile(file, stack))
}

// search prepares and runs the search of a unit. A panic becomes a *PanicError.
func (r *Runner) search(ctx context.Context, u Unit, threads int, report func(benchmark.Progress)) (err error) {
	defer r.guard(u, &err)
	defer engine.Catch(&err) // before it looks like a fault of the program
	search, err := r.prepare(ctx, u, threads)
	if err != nil {
		return err
	}
	if name := search.Record().Name(); name != u.Run {
		return fmt.Errorf("this program would name it %s: the manifest is of another version of the program, or the engine computes differently", name)
	}
	_, err = search.Run(ctx, report)
	return err
}

func (r *Runner) prepare(ctx context.Context, u Unit, threads int) (*benchmark.Search, error) {
	config, err := r.Shared.Config(u.Space, u.Algorithm)
	if err != nil {
		return nil, err
	}
	job := benchmark.Job{
		Config: config, Seed: u.Seed, Train: r.Train, Test: r.Test, Text: r.Text, Oracle: r.Oracle,
		Engine: r.Shared.Engine, Threads: threads, Root: r.Root,
	}
	return job.PrepareUntil(ctx)
}

// Stem returns what names the configuration of an algorithm on a space, for
// [Manifest.Grow]. When ctx is done, it returns ctx's error.
func (r *Runner) Stem(ctx context.Context) func(space spaces.Name, algorithm string) (string, error) {
	return func(space spaces.Name, algorithm string) (string, error) {
		u := Unit{Space: space, Algorithm: algorithm}
		search, err := r.prepare(ctx, u, 1)
		if err != nil {
			return "", fmt.Errorf("space %s, %s: %w", space, algorithm, err)
		}
		u.Run = search.Record().Name()
		return u.Stem(), nil
	}
}

// hopeless returns the part of a run's error that any other run would meet as
// well, or nil.
func (r *Runner) hopeless(err error) error {
	if err == nil {
		return nil
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		if errors.Is(err, full) {
			return fmt.Errorf("%s: %w", r.Root, full)
		}
	}
	if _, gone := os.Stat(r.Root); errors.Is(gone, fs.ErrNotExist) {
		return gone
	}
	return nil
}
