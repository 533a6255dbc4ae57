package benchmark_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/benchmark"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// trained is a job that has run, ready to be restored.
func trained(t *testing.T, algorithm string) (benchmark.Job, string) {
	t.Helper()
	j := tiny(t, algorithm, "1")
	j.Engine = "cpu"
	return j, mustRun(t, j).Dir
}

func correlate(t *testing.T, j benchmark.Job, dir string, o benchmark.CorrelationOptions) (results.Correlation, error) {
	t.Helper()
	s, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	return s.Correlate(t.Context(), dir, o)
}

// The numbers are the same for any number of threads, and when the work was interrupted,
// whatever the algorithm.
func TestCorrelate(t *testing.T) {
	for _, algorithm := range []string{"sdarts-rs", "gdas", "random-ws", "pc-darts"} {
		j, dir := trained(t, algorithm)
		whole, err := correlate(t, j, dir, benchmark.CorrelationOptions{Sample: 70})
		if err != nil {
			t.Fatal(err)
		}
		if err := whole.Check(); err != nil || whole.By == nil || whole.Scoring.Images != 10 || whole.Scoring.Epochs != 2 {
			t.Errorf("%s: %v, %+v", algorithm, err, whole.Scoring)
		}
		// It stops after the first cells, and goes on on two threads.
		var part results.Correlation
		enough := errors.New("enough")
		_, err = correlate(t, j, dir, benchmark.CorrelationOptions{Sample: 70, Report: func(c results.Correlation) error {
			if part = c; c.Done() > 0 {
				return enough
			}
			return nil
		}})
		if !errors.Is(err, enough) || part.Done() == 0 || part.Done() == 70 {
			t.Fatalf("%s: %d cells, %v", algorithm, part.Done(), err)
		}
		j.Threads = 2
		rest, err := correlate(t, j, dir, benchmark.CorrelationOptions{Sample: 70, Known: &part})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(whole, rest); d != "" {
			t.Errorf("%s: %s", algorithm, d)
		}
		var other results.Correlation = part
		other.Scoring.Images++
		if _, err := correlate(t, j, dir, benchmark.CorrelationOptions{Sample: 70, Known: &other}); !errors.Is(err, benchmark.ErrOtherRun) {
			t.Errorf("%s: a correlation on other images is continued: %v", algorithm, err)
		}
	}
}

// Batch statistics give other scores, and both they and the test images are scored with the
// weights as they were.
func TestCorrelateOtherwise(t *testing.T) {
	j, dir := trained(t, "darts")
	scored := map[string]results.Correlation{}
	s, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]benchmark.CorrelationOptions{
		"plain": {}, "batch": {BatchStatistics: true}, "test": {On: results.ScoredOnTest}, "reachable": {Cells: results.CellsReachable},
		"another sample": {Seed: 1}, "previous": {Checkpoint: benchmark.PreviousCheckpointFile}, "again": {},
	} {
		o.Sample, o.Forms = 40, []string{results.FormDiscrete}
		c, err := s.Correlate(t.Context(), dir, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		scored[name] = c
	}
	for _, name := range []string{"batch", "test", "reachable", "another sample", "previous"} {
		if cmp.Equal(scored[name].Cells, scored["plain"].Cells) {
			t.Errorf("%s: the scores are those without", name)
		}
	}
	if !cmp.Equal(scored["again"], scored["plain"]) {
		t.Error("the second time the scores are others")
	}
	if n := scored["test"].Scoring.Images; n != 4 {
		t.Errorf("%d test images", n)
	}
	if a, b := scored["previous"].Scoring.Epochs, scored["plain"].Scoring.Epochs; a != 1 || b != 2 {
		t.Errorf("checkpoints after %d and %d epochs", a, b)
	}
	for name, o := range map[string]benchmark.CorrelationOptions{"few": {Sample: 19}, "many": {Sample: 100_000}, "images": {Images: 11}} {
		if _, err := s.Correlate(t.Context(), dir, o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Correlate(ctx, dir, benchmark.CorrelationOptions{Sample: 40}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A cell that follows the alphas' argmax is scored as the supernet is with its mixing
// weights, and the forms are as the specification has them.
func TestForms(t *testing.T) {
	space, err := nb1shot1.Get("1")
	if err != nil {
		t.Fatal(err)
	}
	// Block 3 is no part of the cell.
	g := nb1shot1.Genotype{Parents: [][]int{{}, {0}, {0, 1}, {1, 2}, {0, 2}, {0, 4}}, Ops: []nb1shot1.Operation{1, 0, 2, 2}}
	high, low := math.E/(math.E+2), 1/(math.E+2)
	discrete := []float64{0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0}
	normalized := []float64{low, high, low, high, low, low, 0, 0, 0, low, low, high, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5, 0, 0.5, 0}
	if got := benchmark.DiscreteForm(space, g); !slices.Equal(got, discrete) {
		t.Errorf("discrete %v, want %v", got, discrete)
	}
	for i, x := range benchmark.NormalizedForm(space, g) {
		if math.Abs(x-normalized[i]) > 1e-15 {
			t.Errorf("normalized weight %d is %v, want %v", i, x, normalized[i])
		}
	}
	if math.Abs(high-0.5761) > 1e-4 || math.Abs(low-0.2119) > 1e-4 { // as the specification writes them
		t.Error(high, low)
	}
}

// The records of a run have the correlation where it is asked for, over the same cells in
// every epoch, and nothing else changes.
func TestRecordedCorrelation(t *testing.T) {
	j := tiny(t, "darts", "2")
	plain := mustRun(t, j)
	j.Root = t.TempDir()
	if err := j.Config.Set("correlation", "25"); err != nil {
		t.Fatal(err)
	}
	h := mustRun(t, j)
	for i, e := range h.Epochs[:2] {
		c := e.Correlation
		if c == nil || c.Cells != 25 || c.Images != 10 || c.Discrete.Kendall == 0 && c.Normalized.Kendall == 0 || e.Seconds["correlation"] <= 0 {
			t.Errorf("epoch %d: %+v", i, c)
		}
		e.Correlation, e.Seconds = nil, nil
		was := plain.Epochs[i]
		was.Seconds = nil
		if d := cmp.Diff(was, e); d != "" {
			t.Error(d)
		}
	}
	if h.Epochs[2].Correlation != nil {
		t.Error("the final record trains nothing and has a correlation")
	}
	if err := j.Config.Set("correlation", "19"); err == nil {
		t.Error("19 cells are taken")
	}
}
