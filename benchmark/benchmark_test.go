package benchmark_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	_ "github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// tiny returns a job of a second or less.
func tiny(t *testing.T, algorithm string, space spaces.Name) benchmark.Job {
	t.Helper()
	config, err := benchmark.NewConfig("smoke", space, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	config.Epochs, config.Channels, config.Side, config.Limit, config.Batch = 2, 4, 8, 20, 4
	if algorithm == "enas" { // whose search part is a tenth
		config.Batch = 2
	}
	if strings.HasPrefix(algorithm, "p-darts") { // an epoch for each stage
		config.Epochs = 3
	}
	maps.Copy(config.Settings, algorithmstest.Small(algorithm))
	return benchmark.Job{
		Config: config, Train: data.Procedural(20, 0), Oracle: oracleFor(algorithm),
		Test:   data.Procedural(4, 1),
		Engine: "ref32", Threads: 1, Root: t.TempDir(),
	}
}

// oracleFor is the surrogate, made to answer for all budgets that an algorithm asks for.
func oracleFor(algorithm string) nasbench.Oracle {
	if definition, err := algorithms.Lookup(algorithm); err == nil && definition.Budgets != nil {
		return allBudgets{nasbench.Default()}
	}
	return nasbench.Default()
}

// allBudgets has results after fewer epochs, and training times.
type allBudgets struct{ *nasbench.Surrogate }

func (allBudgets) Budgets(context.Context) ([]int, error) { return []int{4, 12, 36, 108}, nil }

func (o allBudgets) QueryAt(spec cell.Spec, epochs int) (nasbench.Metrics, error) {
	m, err := o.Surrogate.Query(spec)
	if err != nil {
		return m, err
	}
	worse := 1 - float64(epochs)/108
	validation, seconds := *m.ValidationError+worse/10, float64(epochs)*(1+float64(m.Parameters)/1e7)
	m.ValidationError, m.TrainSeconds = &validation, &seconds
	return m, nil
}

func mustRun(t *testing.T, j benchmark.Job) *results.History {
	t.Helper()
	dir, err := j.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRecord(t *testing.T) {
	for _, s := range nb1shot1.All() {
		j := tiny(t, "sdarts-adv", s.Name())
		h := mustRun(t, j)
		if h.Status.State != results.Finished {
			t.Errorf("space %s: state %q", s.Name(), h.Status.State)
		}
		if len(h.Epochs) != 3 || !h.Epochs[2].Final || h.Epochs[2].Epoch != 2 {
			t.Fatalf("space %s: want two epochs and a final record, got %d records", s.Name(), len(h.Epochs))
		}
		for _, e := range h.Epochs[:2] {
			if len(e.Hessian.Eigenvalues) != s.Dim() || e.Hessian.Batch != 2 {
				t.Errorf("space %s: %d eigenvalues on %d images, want %d on the last batch of 2", s.Name(), len(e.Hessian.Eigenvalues), e.Hessian.Batch, s.Dim())
			}
			if e.Training.Epsilon != 0.03+0.27*float64(e.Epoch)/2 {
				t.Errorf("space %s: epsilon %g in epoch %d", s.Name(), e.Training.Epsilon, e.Epoch)
			}
			if e.Lookup.Source != "surrogate" || e.Lookup.ErrorBar == nil {
				t.Errorf("space %s: lookup %+v does not say that it is a prediction", s.Name(), e.Lookup)
			}
			for _, phase := range []string{"lookup", "steps", "hessian", "validation"} {
				if _, ok := e.Seconds[phase]; !ok {
					t.Errorf("space %s: no time of %s", s.Name(), phase)
				}
			}
		}
		if cmp.Equal(h.Epochs[0].Alphas, h.Epochs[2].Alphas) {
			t.Errorf("space %s: the architecture parameters did not move", s.Name())
		}
	}
}

// The record of epoch e holds the cell of the parameters before it (quirk Q11):
// the first is that of the random initialisation.
func TestFirstRecordIsTheInitialArchitecture(t *testing.T) {
	j := tiny(t, "darts", "2")
	h := mustRun(t, j)
	space, err := spaces.Get("2")
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := algorithms.New("darts", algorithms.Config{Space: space, Cells: 3, Epochs: 2, Settings: j.Config.Settings})
	if err != nil {
		t.Fatal(err)
	}
	var recorded []float64
	for _, a := range h.Epochs[0].Alphas {
		for _, row := range a.Rows {
			recorded = append(recorded, row...)
		}
	}
	if d := cmp.Diff(searcher.(algorithms.Relaxed).Alphas(), recorded); d != "" {
		t.Error(d)
	}
}

// Equal configuration and seed give equal bytes for any number of threads, and
// another seed gives others.
func TestDeterminism(t *testing.T) {
	records := func(threads int, seed uint64) string {
		j := tiny(t, "sdarts-rs", "3")
		j.Threads, j.Seed = threads, seed
		raw, err := os.ReadFile(filepath.Join(mustRun(t, j).Dir, "epochs.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return string(results.Canonical(raw))
	}
	one := records(1, 5)
	for _, threads := range []int{1, 2, 4} {
		if d := cmp.Diff(one, records(threads, 5)); d != "" {
			t.Errorf("%d threads: %s", threads, d)
		}
	}
	if records(1, 6) == one {
		t.Error("two seeds gave the same record")
	}
}

// What the record calls λ, on which batches and with what on the diagonal.
func TestHessianSettings(t *testing.T) {
	hessian := func(settings map[string]string, images int) *results.Hessian {
		t.Helper()
		j := tiny(t, "darts", "2")
		for name, value := range settings {
			if err := j.Config.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		h := mustRun(t, j).Epochs[1].Hessian
		if h.Batch != images {
			t.Errorf("%v: on %d images, want %d", settings, h.Batch, images)
		}
		return h
	}
	last := hessian(nil, 2)
	bare := hessian(map[string]string{"hessian-decay": "off"}, 2)
	norm := hessian(map[string]string{"hessian-report": "norm"}, 2)
	for i, v := range last.Eigenvalues {
		if math.Abs(v-1e-3-bare.Eigenvalues[i]) > 1e-6 {
			t.Errorf("eigenvalue %d is %v with the decay, %v without", i, v, bare.Eigenvalues[i])
		}
	}
	if last.Decay != 1e-3 || bare.Decay != 0 || math.Abs(last.WithoutDecay-bare.WithoutDecay) > 1e-6 || math.Abs(*last.Trace-*bare.Trace) > 1e-5 {
		t.Errorf("decay %v and %v, without it %v and %v, trace %v and %v", last.Decay, bare.Decay, last.WithoutDecay, bare.WithoutDecay, *last.Trace, *bare.Trace)
	}
	if norm.Reported != norm.SpectralNorm || last.Reported != math.Abs(last.Eigenvalues[len(last.Eigenvalues)-1]) || norm.Definition == last.Definition {
		t.Errorf("reported %v of %+v, and %v", norm.Reported, norm, last.Reported)
	}
	hessian(map[string]string{"hessian": "full", "hessian-batches": "2"}, 8)
	fixed := hessian(map[string]string{"hessian": "fixed", "hessian-batches": "2"}, 8)
	if full := hessian(map[string]string{"hessian": "full", "hessian-batches": "2"}, 8); cmp.Equal(full.Eigenvalues, fixed.Eigenvalues) {
		t.Error("in the second epoch the fixed batches are those of the epoch")
	}
	if s := fixed.Spread; s == nil || len(s.Batches) != 2 || s.Batches[0] == s.Batches[1] || s.Mean < fixed.Reported-1e-6 || s.Std == 0 {
		t.Errorf("spread %+v around %v", s, fixed.Reported)
	}
	if last.Spread != nil {
		t.Errorf("of a single batch, λ has a spread: %+v", last.Spread)
	}
	j := tiny(t, "darts", "2")
	if err := j.Config.Set("hessian", "off"); err != nil {
		t.Fatal(err)
	}
	if h := mustRun(t, j); h.Epochs[0].Hessian != nil {
		t.Error("a Hessian that is off was taken")
	}
}

// A search that its checkpoint restores stands where the run left it.
func TestRestore(t *testing.T) {
	for _, name := range []string{"sdarts-adv", "gdas", "enas", "darts-es", "regularized-evolution"} {
		j := tiny(t, name, "1")
		h := mustRun(t, j)
		s, err := j.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		if epochs, err := s.Restore(h.Dir); err != nil || epochs != 2 {
			t.Errorf("%s: %d epochs, %v", name, epochs, err)
		}
		j.Seed = 1
		if s, err = j.Prepare(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Restore(h.Dir); !errors.Is(err, benchmark.ErrOtherRun) {
			t.Errorf("%s: the checkpoint of another seed: %v", name, err)
		}
		j.Seed = 0
		if err := os.Remove(filepath.Join(h.Dir, benchmark.CheckpointFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Restore(h.Dir); !errors.Is(err, benchmark.ErrNoCheckpoint) {
			t.Errorf("%s: no checkpoint: %v", name, err)
		}
	}
}

// Every algorithm runs to its end, twice with the same record, and stops when it
// is told to.
func TestEveryAlgorithm(t *testing.T) {
	for _, name := range algorithms.Names() {
		t.Run(name, func(t *testing.T) {
			records := func(threads int) (*results.History, string) {
				j := tiny(t, name, spaceOf(name))
				j.Threads = threads
				h := mustRun(t, j)
				raw, err := os.ReadFile(filepath.Join(h.Dir, "epochs.jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				return h, string(results.Canonical(raw))
			}
			h, one := records(1)
			if epochs := tiny(t, name, spaceOf(name)).Config.Epochs; h.Status.State != results.Finished || len(h.Epochs) != epochs+1 || !h.Epochs[epochs].Final {
				t.Errorf("state %q after %d records", h.Status.State, len(h.Epochs))
			}
			if _, two := records(2); one != two {
				t.Error(cmp.Diff(one, two))
			}
			j := tiny(t, name, spaceOf(name))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			steps := 0
			_, err := j.Run(ctx, func(benchmark.Progress) {
				steps++
				cancel()
			})
			if !errors.Is(err, context.Canceled) || steps != 1 {
				t.Errorf("told to stop at the first step, it made %d and ended with %v", steps, err)
			}
		})
	}
}

func TestInterruptStopsAtAStep(t *testing.T) {
	j := tiny(t, "darts", "1")
	ctx, cancel := context.WithCancel(context.Background())
	var seen []benchmark.Progress
	var doing []string
	dir, err := j.Run(ctx, func(p benchmark.Progress) {
		if p.Doing != "" {
			doing = append(doing, fmt.Sprintf("%s %d/%d", p.Doing, p.Step, p.Steps))
			return
		}
		seen = append(seen, p)
		if p.Epoch == 1 && p.Step == 1 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the context's", err)
	}
	h, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if h.Status.State != results.Interrupted || len(h.Epochs) != 1 {
		t.Errorf("state %q after %d records, want %q after 1", h.Status.State, len(h.Epochs), results.Interrupted)
	}
	// three steps, the record of the epoch, and the step at which it was cancelled
	if len(seen) != 5 || seen[2].Last != nil || seen[3].Last == nil || seen[3].Last.Epoch != 0 || seen[4].Step != 1 {
		t.Errorf("progress was %+v", seen)
	}
	if want := []string{"compiling 0/3", "hessian 3/3", "validation 3/3", "projection 3/3"}; !slices.Equal(doing, want) {
		t.Errorf("between the steps it was %q, want %q", doing, want)
	}
}

func TestFinishedRunIsNotRepeated(t *testing.T) {
	j := tiny(t, "darts", "1")
	mustRun(t, j)
	var finished *results.FinishedError
	if _, err := j.Run(context.Background(), nil); !errors.As(err, &finished) {
		t.Errorf("running again: %v, want a *FinishedError", err)
	}
}

type broken struct{ nasbench.Oracle }

func (broken) Query(cell.Spec) (nasbench.Metrics, error) {
	return nasbench.Metrics{}, errors.New("the table is on fire")
}

func TestFailureIsRecorded(t *testing.T) {
	j := tiny(t, "darts", "1")
	j.Oracle = broken{j.Oracle}
	dir, err := j.Run(context.Background(), nil)
	if err == nil || !strings.Contains(err.Error(), "on fire") {
		t.Fatalf("error %v does not tell the cause", err)
	}
	h, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if h.Status.State != results.Failed || !strings.Contains(h.Status.Message, "on fire") {
		t.Errorf("status %+v", h.Status)
	}
}

func TestBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*benchmark.Job)
		want  string
	}{
		"space":              {func(j *benchmark.Job) { j.Config.Space = "4" }, "4"},
		"epochs":             {func(j *benchmark.Job) { j.Config.Epochs = 0 }, "epochs is 0, need 1 to"},
		"batch":              {func(j *benchmark.Job) { j.Config.Batch = 1 }, "batch is 1"},
		"cells":              {func(j *benchmark.Job) { j.Config.Cells = 2 }, "cells is 2"},
		"memory":             {func(j *benchmark.Job) { j.Config.Channels = 100_000_000 }, "channels is 100000000"},
		"side":               {func(j *benchmark.Job) { j.Config.Side = 9 }, "side 9"},
		"images":             {func(j *benchmark.Job) { j.Config.Limit = 21 }, "21 images"},
		"ties":               {func(j *benchmark.Job) { j.Config.Ties = "coin" }, "coin"},
		"algorithm":          {func(j *benchmark.Job) { j.Config.Algorithm = "dart" }, "dart"},
		"engine":             {func(j *benchmark.Job) { j.Engine = "abacus" }, "abacus"},
		"setting":            {func(j *benchmark.Job) { j.Config.Settings = algorithms.Settings{"clip": math.NaN()} }, "clip"},
		"momentum":           {func(j *benchmark.Job) { j.Config.BatchNormMomentum = 2 }, "momentum"},
		"training batch":     {func(j *benchmark.Job) { j.Config.Batch = 11 }, "batch of 11 has no effect beyond the 10 images of the training part"},
		"last averaged":      {func(j *benchmark.Job) { j.Config.HessianBatches = 5 }, "hessian-batches of 5 has no effect without hessian=full or hessian=fixed"},
		"too many averaged":  {func(j *benchmark.Job) { j.Config.Hessian, j.Config.HessianBatches = "full", 4 }, "hessian-batches of 4 has no effect beyond the 3 batches of the search part"},
		"report of none":     {func(j *benchmark.Job) { j.Config.Hessian, j.Config.HessianReport = "off", "norm" }, "hessian-report=norm has no effect"},
		"decay of none":      {func(j *benchmark.Job) { j.Config.Hessian, j.Config.HessianDecay = "off", false }, "hessian-decay=off has no effect"},
		"growth of none":     {func(j *benchmark.Job) { j.Config.CutoutGrows = true }, "cutout-grows has no effect"},
		"clean already":      {func(j *benchmark.Job) { j.Config.Augment, j.Config.CleanValidation = false, true }, "clean-validation has no effect"},
		"too many projected": {func(j *benchmark.Job) { j.Config.ProjectionBatches = 4 }, "projection-batches of 4 has no effect beyond the 3 batches"},
		"no setting":         {func(j *benchmark.Job) { j.Config.Settings = algorithms.Settings{"clop": 1} }, "clop"},
	} {
		t.Run(name, func(t *testing.T) {
			j := tiny(t, "darts", "1")
			c.spoil(&j)
			_, err := j.Run(context.Background(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if entries, _ := os.ReadDir(j.Root); len(entries) > 0 {
				t.Errorf("%s was left behind", entries[0].Name())
			}
		})
	}
	// All that there is, and the presets, are well.
	j := tiny(t, "darts", "1")
	j.Config.Batch, j.Config.Hessian, j.Config.HessianBatches, j.Config.ProjectionBatches = 10, "full", 1, 1
	if _, err := j.Prepare(); err != nil {
		t.Error(err)
	}
	for _, p := range benchmark.Presets {
		for _, algorithm := range algorithms.Names() {
			if config, err := benchmark.NewConfig(p.Name, spaceOf(algorithm), algorithm); err != nil || config.Check() != nil {
				t.Errorf("%s, %s: %v, %v", p.Name, algorithm, err, config.Check())
			}
		}
	}
	if _, err := benchmark.NewConfig("slow", "1", "darts"); !errors.Is(err, benchmark.ErrPreset) {
		t.Errorf("unknown preset: %v", err)
	}
}
