package nasbench

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// inventedMeans is a file of all cells of space 1 and some of the others, whose
// errors follow from their operations by a formula: nothing of it was measured.
func inventedMeans(t *testing.T) string {
	t.Helper()
	cells := map[cell.Hash]cell.Spec{}
	for _, space := range nb1shot1.All() {
		taken := 0
		for h, spec := range space.Cells {
			if taken++; space.Number() > 1 && taken > 200 {
				break
			}
			cells[h] = spec
		}
	}
	var text strings.Builder
	text.WriteString(meansHeader)
	for _, h := range slices.SortedFunc(maps.Keys(cells), func(a, b cell.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		spec := cells[h]
		accuracy, ops := 0.94, ""
		for _, op := range spec.Ops {
			ops += fmt.Sprint(int(op))
			accuracy -= 0.008 * float64(op)
		}
		if ops == "" {
			ops = "-"
		}
		fmt.Fprintf(&text, "%v\t%d\t%d\t%s\t1\t%d\t%d\t1\n", h, spec.Vertices(), spec.AdjacencyBits(), ops,
			int(math.Round(29952*accuracy)), int(math.Round(9984*(accuracy+0.01))))
	}
	return writeFile(t, filepath.Join(t.TempDir(), "invented.tsv"), []byte(text.String()))
}

// A fit learns, tells how well, and gives the same file with one thread.
func TestFit(t *testing.T) {
	table := importTable(t, inventedMeans(t))
	var progress []int
	fitted := func(epochs int) *Surrogate {
		progress = nil
		s, err := Fit(context.Background(), table, FitOptions{Hidden: 32, Epochs: epochs, Seed: 7, Progress: func(done, total int) {
			if total != epochs {
				t.Errorf("%d epochs in all, want %d", total, epochs)
			}
			progress = append(progress, done)
		}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := fitted(100)
	if len(progress) != 100 || progress[99] != 100 {
		t.Errorf("progress %v", progress)
	}
	for _, h := range s.HeldOut() {
		for _, q := range []Quality{h.Test, h.Validation} {
			if q.Cells < 20 || q.KendallTau < 0.7 || q.MeanError > 0.005 || q.MedianError > 0.005 || q.RootMeanSquare < q.MeanError || q.Failed != 0 {
				t.Errorf("space %s: %+v", h.Space, q)
			}
		}
	}
	two := fitted(5)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if one := fitted(5); !bytes.Equal(one.file, two.file) {
		t.Error("one thread gives another surrogate")
	}
}

func TestQuality(t *testing.T) {
	measured := []float64{0.06, 0.08, 0.10, 0.20}
	got := qualityOf([]float64{0.07, 0.08, 0.075, 0.30}, measured)
	want := Quality{
		Cells: 4, Failed: 1,
		KendallTau:  4.0 / 6, // five of six pairs are in order
		MedianError: 0.01, BestError: 0.01,
		MeanError: 0.035 / 3, RootMeanSquare: math.Sqrt((1e-4 + 6.25e-4) / 3),
	}
	for _, x := range [][2]float64{
		{got.MedianError, want.MedianError}, {got.BestError, want.BestError}, {got.MeanError, want.MeanError}, {got.RootMeanSquare, want.RootMeanSquare},
		{got.KendallTau, want.KendallTau},
	} {
		if math.Abs(x[0]-x[1]) > 1e-12 {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got.Cells != want.Cells || got.Failed != want.Failed {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
