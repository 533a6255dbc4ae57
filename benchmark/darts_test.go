package benchmark_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// dartsEngine computes the tests on the DARTS spaces.
const dartsEngine = "cpu"

// onDARTS is a small job on a space of DARTS: three epochs of two steps.
func onDARTS(t *testing.T, space spaces.Name, algorithm string, set ...string) benchmark.Job {
	t.Helper()
	config, err := benchmark.NewConfig("smoke", space, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	config.Epochs, config.Channels, config.Cells, config.Side, config.Limit, config.Batch, config.ProjectionBatches = 3, 4, 3, 8, 16, 4, 1
	maps.Copy(config.Settings, algorithmstest.Small(algorithm))
	for i := 0; i < len(set); i += 2 {
		if err := config.Set(set[i], set[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return benchmark.Job{
		Config: config, Train: data.Procedural(16, 0), Test: data.Procedural(4, 1), Engine: dartsEngine, Threads: 1, Root: t.TempDir(),
	}
}

// A run on a space of DARTS needs no table, records what there is to record, and resumes
// from every step with the same bytes; where the algorithm has stages, from each.
func TestRunsOnDARTS(t *testing.T) {
	for _, c := range []struct {
		space     spaces.Name
		algorithm string
		set       []string
		tensors   int // of architecture parameters
		rows      int // of the last of them
		lanczos   bool
	}{
		{"darts-s4", "sdarts-adv", nil, 2, 14, false},
		{"darts", "pc-darts-rs", nil, 4, 4, true},
		{"darts8", "p-darts", []string{"added-cells", "1", "warm-start-share", "0"}, 2, 14, true},
		{"darts-s3", "r-darts-dp", nil, 2, 14, false},
		{"darts-s1", "random-ws", nil, 0, 0, false},
	} {
		t.Run(string(c.space)+"/"+c.algorithm, func(t *testing.T) {
			t.Parallel()
			dir, _ := mustResume(t, onDARTS(t, c.space, c.algorithm, c.set...))
			want := outcomeOf(t, dir)
			h, err := results.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			if p := h.Run.Provenance; p.Table != results.NoTable || h.Run.Space != c.space {
				t.Errorf("provenance %+v", p)
			}
			if len(h.Epochs) != 4 {
				t.Fatalf("%d records, want 4", len(h.Epochs))
			}
			for i, e := range h.Epochs {
				if err := e.Check(); err != nil {
					t.Error(err)
				}
				if e.Architecture == nil || e.Architecture.Space != c.space || e.Structure == nil || e.Structure.Width < 0.5 || e.Structure.Depth < 2 {
					t.Errorf("record %d: architecture %v, structure %+v", i, e.Architecture, e.Structure)
				}
				if len(e.Alphas) != c.tensors || c.tensors > 0 && len(e.Alphas[c.tensors-1].Rows) != c.rows {
					t.Errorf("record %d: %d tensors of alphas", i, len(e.Alphas))
				}
				if c.tensors > 0 && !e.Final && (e.Hessian == nil || e.Projection == nil || e.Search == nil) {
					t.Errorf("record %d lacks Hessian, projection or validation", i)
				}
			}
			if hessian := h.Epochs[0].Hessian; c.tensors > 0 {
				if (hessian.Method == results.Lanczos) != c.lanczos || hessian.Batch != 4 || hessian.Reported != hessian.Eigenvalues[len(hessian.Eigenvalues)-1] {
					t.Errorf("hessian %+v", hessian)
				}
			}
			if findings := benchmark.Verify(h); len(findings) > 1 { // the images are a stand-in
				t.Errorf("findings %v", findings)
			}

			dir = stepByStep(t, onDARTS(t, c.space, c.algorithm, c.set...))
			if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

// stepByStep makes the run of a job, interrupted after every step and continued, and returns
// its directory.
func stepByStep(t *testing.T, j benchmark.Job) (dir string) {
	t.Helper()
	stops := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		dir, err := j.Run(ctx, func(p benchmark.Progress) {
			if len(p.Notes) == 0 && p.Doing == "" {
				cancel()
			}
		})
		cancel()
		if err == nil {
			if stops < 6 {
				t.Errorf("stopped %d times", stops)
			}
			return dir
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if stops++; stops > 100 {
			t.Fatal("it does not come to its end")
		}
	}
}

// testEnds tests that Lanczos finds the ends of the spectrum that the whole Hessian has, in the
// same run otherwise, and returns the whole one.
func testEnds(t *testing.T, job func(hessian string) benchmark.Job) *results.Hessian {
	t.Helper()
	var found []*results.Hessian
	for _, hessian := range []string{"last", "exact"} {
		j := job(hessian)
		j.Engine = "ref"
		dir, _ := mustResume(t, j)
		h, err := results.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, h.Epochs[0].Hessian)
	}
	ends, whole := found[0], found[1]
	if ends.Method != results.Lanczos || ends.Whole() || ends.Products < 2 || ends.Products > 60 || ends.Trace != nil {
		t.Errorf("ends %+v", ends)
	}
	if whole.Method != "" || !whole.Whole() || whole.Trace == nil {
		t.Errorf("whole spectrum of %d eigenvalues: %+v", len(whole.Eigenvalues), whole)
	}
	for what, pair := range map[string][2]float64{
		"λ": {ends.Reported, whole.Reported}, "norm": {ends.SpectralNorm, whole.SpectralNorm}, "smallest": {ends.Min, whole.Min},
	} {
		if off := math.Abs(pair[0] - pair[1]); off > 1e-4*whole.SpectralNorm {
			t.Errorf("%s is %v, of the whole Hessian %v", what, pair[0], pair[1])
		}
	}
	return whole
}

func TestEndsOfTheSpectrum(t *testing.T) {
	whole := testEnds(t, func(hessian string) benchmark.Job {
		return onDARTS(t, "darts", "darts", "hessian", hessian, "epochs", "1")
	})
	if len(whole.Eigenvalues) != 196 {
		t.Errorf("%d eigenvalues, want 196", len(whole.Eigenvalues))
	}
}

// Over several batches Lanczos finds the ends of the mean of the Hessians and λ of each batch,
// whatever drop path leaves out, and the running statistics move as they do when every Hessian
// is taken whole.
func TestEndsOfTheMean(t *testing.T) {
	const batches = 2
	j := onDARTS(t, "darts", "r-darts-dp", "hessian", "fixed", "hessian-batches", "2", "channels", "2")
	j.Engine = "ref"
	s, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	found, statistics, err := s.BothSpectra(t.Context(), 1, batches)
	if err != nil {
		t.Fatal(err)
	}
	ends, whole := found[0], found[1]
	if ends.Method != results.Lanczos || ends.Batch != whole.Batch || len(whole.Eigenvalues) != 196 || ends.Products >= 196 || ends.Products <= batches {
		t.Errorf("ends %+v of %d eigenvalues", ends, len(whole.Eigenvalues))
	}
	got, want := algorithms.Spectrum(ends.Eigenvalues), algorithms.Spectrum(whole.Eigenvalues)
	for what, pair := range map[string][2]float64{
		"largest": {got.Max(), want.Max()}, "smallest": {got.Min(), want.Min()},
		"λ of batch 0": {ends.Spread.Batches[0], whole.Spread.Batches[0]},
		"λ of batch 1": {ends.Spread.Batches[1], whole.Spread.Batches[1]},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-4*want.Norm() {
			t.Errorf("%s is %v, of the whole Hessians %v", what, pair[0], pair[1])
		}
	}
	if d := cmp.Diff(statistics[0], statistics[1]); d != "" {
		t.Errorf("running statistics: %s", d)
	}
}

// Every preset is a configuration that its algorithms take, on every space that they search,
// and a run of it begins.
func TestPresetsOnDARTS(t *testing.T) {
	for _, p := range benchmark.Presets {
		for _, name := range algorithms.Names() {
			definition, err := algorithms.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, space := range benchmark.DARTS.Spaces() {
				s, err := spaces.Get(space)
				if err != nil {
					t.Fatal(err)
				}
				if definition.CheckSpace(s) != nil {
					continue
				}
				config, err := benchmark.NewConfig(p.Name, space, name)
				if err == nil {
					err = config.Check()
				}
				if err != nil {
					t.Errorf("%s, %s, %s: %v", p.Name, space, name, err)
				}
				if wrong := config.BatchNormMomentum != 0.1 || config.FreshSearch == strings.HasPrefix(name, "p-darts"); wrong {
					t.Errorf("%s, %s, %s: %+v", p.Name, space, name, config)
				}
				if p.Name == "smoke" {
					set := data.Procedural(config.Limit, 0)
					j := benchmark.Job{Config: config, Train: set, Test: set, Engine: dartsEngine, Threads: 1, Root: t.TempDir()}
					if _, err := j.Prepare(); err != nil {
						t.Errorf("%s, %s, %s: %v", p.Name, space, name, err)
					}
				}
			}
		}
	}
}

// The memory that a run is said to take is that of its largest network, which need not be
// the first.
func TestMemoryOfStages(t *testing.T) {
	config, err := benchmark.NewConfig("smoke", "darts8", "p-darts")
	if err != nil {
		t.Fatal(err)
	}
	train := data.Procedural(config.Limit, 0)
	memory := func(added string) int64 {
		if err := config.Set("added-cells", added); err != nil {
			t.Fatal(err)
		}
		n, err := config.Memory(train, 4)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if few, many := memory("0"), memory("6"); few <= 0 || many <= few {
		t.Errorf("%d bytes with 0 cells added at each stage, %d with 6", few, many)
	}
}
