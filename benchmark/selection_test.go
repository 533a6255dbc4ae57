package benchmark_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// selectFrom selects from the supernet of a run of the job.
func selectFrom(ctx context.Context, t *testing.T, j benchmark.Job, h *results.History, o benchmark.SelectionOptions) (results.Selection, error) {
	t.Helper()
	s, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	return s.Select(ctx, h, o)
}

// Every kind of search gets an architecture of its space, each decision of which keeps what
// the supernet misses most, whether it is interrupted or not, and its run stays as it was.
func TestSelect(t *testing.T) {
	for _, test := range []struct {
		algorithm string
		space     spaces.Name
		decisions int
		tune      int
	}{
		{"darts", "2", 8, 1}, {"enas", "3", 10, 0}, {"gdas", "1", 7, 0}, {"r-darts-dp", "2", 8, 1},
		{"pc-darts", "darts-s2", 28 + 8, 0},
	} {
		t.Run(test.algorithm+"/"+string(test.space), func(t *testing.T) {
			j := tiny(t, test.algorithm, test.space)
			j.Engine = "cpu"
			h := mustRun(t, j)
			before, err := os.ReadFile(filepath.Join(h.Dir, benchmark.CheckpointFile))
			if err != nil {
				t.Fatal(err)
			}
			o := benchmark.SelectionOptions{Seed: 3, TuneEpochs: test.tune}
			want, err := selectFrom(t.Context(), t, j, h, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(h.Dir, benchmark.SelectionCheckpoint)); err != nil {
				t.Fatal(err)
			}
			if len(want.Decisions) != test.decisions {
				t.Errorf("%d decisions, want %d", len(want.Decisions), test.decisions)
			}
			for _, d := range want.Decisions {
				kept := map[int]bool{}
				for _, k := range d.Kept {
					kept[k] = true
				}
				for i, stays := range d.Candidates {
					for k, goes := range d.Candidates {
						if kept[i] && !kept[k] && stays.Score.Accuracy > goes.Score.Accuracy {
							t.Errorf("%s: %s stays, without which the accuracy is %v, %s goes, without which it is %v", d.Title, stays.Name, stays.Score.Accuracy, goes.Name, goes.Score.Accuracy)
						}
					}
				}
			}

			// Interrupted after some scores, it ends with the same.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := o
			stop.Report = func(done, total int) {
				if done > total/2 {
					cancel()
				}
			}
			if _, err := selectFrom(ctx, t, j, h, stop); !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted: %v", err)
			}
			other := o
			other.Seed++
			if _, err := selectFrom(t.Context(), t, j, h, other); !errors.Is(err, benchmark.ErrOtherSelection) {
				t.Errorf("other options: %v", err)
			}
			first := 0
			resumed := o
			resumed.Report = func(done, _ int) {
				if first == 0 {
					first = done
				}
			}
			got, err := selectFrom(t.Context(), t, j, h, resumed)
			if err != nil {
				t.Fatal(err)
			}
			if first < 2 {
				t.Errorf("it began again, with score %d", first)
			}
			want.Seconds, got.Seconds = 0, 0
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("an interrupted selection differs:\n%s", diff)
			}

			// The file is read with the run, which can then be seen with what was selected.
			if err := benchmark.WriteSelection(h.Dir, got, false); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(h.Dir, benchmark.SelectionCheckpoint)); err == nil {
				t.Error("the checkpoint stays")
			}
			again, err := results.Read(h.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&got, again.Selection, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Format" }, cmp.Ignore())); diff != "" {
				t.Errorf("read again:\n%s", diff)
			}
			wrong := func(h *results.History) (texts []string) {
				for _, f := range benchmark.Verify(h, j.Oracle) {
					if f.Wrong {
						texts = append(texts, f.Text)
					}
				}
				return texts
			}
			if found := wrong(again); found != nil {
				t.Errorf("a genuine selection is found wrong: %q", found)
			}
			by, err := again.BySelection()
			if err != nil {
				t.Fatal(err)
			}
			last := by.Epochs[len(by.Epochs)-1]
			if !last.Final || !cmp.Equal(last.Cell, got.Selected.Cell) || !cmp.Equal(last.Architecture, got.Selected.Architecture) || last.Warning == "" {
				t.Errorf("final record by selection: %+v", last)
			}
			if after, err := os.ReadFile(filepath.Join(h.Dir, benchmark.CheckpointFile)); err != nil || string(after) != string(before) {
				t.Errorf("the checkpoint of the run changed, %v", err)
			}
			if c := &again.Selection.Selected; c.Architecture == nil {
				c.Cell.Hash = again.Selection.Search.Cell.Hash[:31] + "x"
			} else {
				c.Structure.Width++
			}
			if found := wrong(again); len(found) != 1 || !strings.HasPrefix(found[0], "what was selected by perturbation: ") {
				t.Errorf("a forged selection: %q", found)
			}
		})
	}
	j := tiny(t, "random-search", "2")
	if _, err := selectFrom(t.Context(), t, j, mustRun(t, j), benchmark.SelectionOptions{}); err == nil {
		t.Error("a search without a supernet gives a selection")
	}
}

// An incumbent whose test error is not that of the table is found.
func TestVerifyIncumbents(t *testing.T) {
	j := tiny(t, "tpe", "1")
	h := mustRun(t, j)
	wrong := func() (n int) {
		for _, f := range benchmark.Verify(h, j.Oracle) {
			if f.Wrong {
				n++
			}
		}
		return n
	}
	if n := wrong(); n != 0 {
		t.Errorf("%d findings in a genuine run", n)
	}
	h.Epochs[0].Queries.Incumbents[0].Lookup.TestError = new(0.5)
	if n := wrong(); n != 1 {
		t.Errorf("%d findings of a forged incumbent", n)
	}
}
