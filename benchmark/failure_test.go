package benchmark_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/results"
)

// brittle is an engine whose device is lost when it has run programs so often.
type brittle struct {
	engine.Engine
	left *int
}

type brittleProgram struct {
	engine.Program
	left *int
}

var (
	errLost   = errors.New("the device is lost")
	untilLost = -1 // runs that engines opened from now on have left, or -1 for never
)

func init() {
	engine.Register(engine.Definition{Name: "brittle", Doc: "of a test", Rank: -1, Open: func(threads int) (engine.Engine, error) {
		e, err := engine.Open("cpu", threads)
		left := untilLost
		return &brittle{e, &left}, err
	}})
}

func (e *brittle) Compile(p *engine.Plan, in map[string]engine.Vector, out []engine.Vector) (engine.Program, error) {
	program, err := e.Engine.Compile(p, in, out)
	return &brittleProgram{program, e.left}, err
}

func (p *brittleProgram) Run() {
	if *p.left == 0 {
		panic(engine.Failure{Err: errLost})
	}
	*p.left--
	p.Program.Run()
}

// A run whose device is lost ends with an error that says so, and continues on a
// device that works to what it would have been.
func TestDeviceFailure(t *testing.T) {
	job := func() benchmark.Job {
		j := mustResumable(t, "sdarts-adv")
		j.Engine = "brittle"
		return j
	}
	dir, _ := mustResume(t, job())
	want := outcomeOf(t, dir)

	j := job()
	for _, runs := range []int{0, 1, 20, 33} {
		untilLost = runs
		dir, err := j.Run(context.Background(), nil)
		untilLost = -1
		if failure := (engine.Failure{}); !errors.As(err, &failure) || !errors.Is(err, errLost) {
			t.Fatalf("after %d runs of programs: %v", runs, err)
		}
		h, err := results.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if h.Status.State != results.Failed || h.Status.Message != errLost.Error() {
			t.Errorf("after %d runs of programs the run is %s: %s", runs, h.Status.State, h.Status.Message)
		}
	}
	dir, _ = mustResume(t, j)
	if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}
