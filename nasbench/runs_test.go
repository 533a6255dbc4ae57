package nasbench

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPackAccuracy(t *testing.T) {
	for k := range uint16(evaluationImages + 1) {
		if got, ok := packAccuracy(unpackAccuracy(k)); !ok || got != k {
			t.Fatalf("accuracy of %d images packs to %v, %v", k, got, ok)
		}
	}
	if k, ok := packAccuracy(0.3); ok {
		t.Errorf("0.3 packs to %d", k)
	}
}

// TestPackedRuns: runs come back to the bit, whether they fit the compact form or
// not, and those that do are compact.
func TestPackedRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compact := rapid.Bool().Draw(t, "compact")
		evaluation := rapid.Custom(func(t *rapid.T) Evaluation {
			if compact {
				accuracy := rapid.Map(rapid.Uint16Range(0, evaluationImages), unpackAccuracy)
				return Evaluation{float64(rapid.Float32Range(0, math.MaxFloat32).Draw(t, "seconds")), accuracy.Draw(t, "train"), accuracy.Draw(t, "validation"), accuracy.Draw(t, "test")}
			}
			accuracy := rapid.Float64Range(0, 1)
			return Evaluation{rapid.Float64Range(0, math.MaxFloat32).Draw(t, "seconds"), accuracy.Draw(t, "train"), accuracy.Draw(t, "validation"), accuracy.Draw(t, "test")}
		})
		repeat := rapid.Custom(func(t *rapid.T) Repeat { return Repeat{evaluation.Draw(t, "halfway"), evaluation.Draw(t, "final")} })
		want := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) budgetRuns {
			return budgetRuns{rapid.IntRange(1, 1<<40).Draw(t, "epochs"), rapid.SliceOfN(repeat, 1, officialRepeats).Draw(t, "runs")}
		}), 1, 4, func(b budgetRuns) int { return b.epochs }).Draw(t, "budgets")
		var blob []byte
		runs := 0
		for _, b := range want {
			blob = b.append(blob)
			runs += len(b.runs)
		}
		if limit := runs*compactSize + 8*len(want); compact && len(blob) > limit {
			t.Errorf("%d bytes, want at most %d", len(blob), limit)
		}
		got, err := allRuns(blob)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(budgetRuns{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, b := range want {
			found, err := findRuns(blob, b.epochs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b.runs, found); diff != "" {
				t.Errorf("%d epochs (-want +got):\n%s", b.epochs, diff)
			}
		}
	})
}

// FuzzPackedRuns: damaged runs are an error, never a panic.
func FuzzPackedRuns(f *testing.F) {
	f.Add([]byte{108, 1})
	f.Add((&budgetRuns{108, make([]Repeat, 3)}).append(nil))
	f.Add((&budgetRuns{4, []Repeat{{Final: Evaluation{TestAccuracy: 0.3}}}}).append(nil))
	f.Fuzz(func(t *testing.T, blob []byte) {
		all, err := allRuns(blob)
		if err != nil {
			return
		}
		for _, b := range all {
			if found, err := findRuns(blob, b.epochs); err != nil || len(found) == 0 {
				t.Errorf("%d epochs: %d runs, %v", b.epochs, len(found), err)
			}
		}
	})
}
