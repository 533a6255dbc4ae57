package results

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// searched is a run of two epochs that asked a table: incumbents of the given errors after
// 1, 2 and 4 trainings of 108 epochs, each of 100 seconds.
func searchedTable(errors ...float64) *History {
	h := &History{Run: Run{Config: []byte(`{"evaluate":"after"}`)}}
	counts := &Queries{}
	at := 0
	for e := range 2 {
		counts = counts.Next()
		for range 2 {
			counts.Add(108, 1, ptr(100*float64(counts.Trainings+1)))
			if n := counts.Trainings; n == 1 || n == 2 || n == 4 {
				counts.Incumbents = append(counts.Incumbents, Incumbent{
					Trainings: n, Epochs: counts.Epochs, Seconds: counts.Seconds, Budget: 108, Lookup: Lookup{TestError: &errors[at]},
				})
				at++
			}
		}
		last := errors[at-1]
		h.Epochs = append(h.Epochs, Epoch{Epoch: e, Lookup: Lookup{TestError: &last}, Queries: counts, Seconds: map[string]float64{"steps": 3}})
	}
	h.Epochs = append(h.Epochs, Epoch{Epoch: 2, Final: true, Lookup: Lookup{TestError: &errors[2]}})
	return h
}

func TestAnytime(t *testing.T) {
	h := searchedTable(0.3, 0.2, 0.1)
	for _, c := range []struct {
		clock Clock
		want  []Step
		end   float64
	}{
		{ByCost, []Step{{100, 0.3}, {200, 0.2}, {400, 0.1}}, 400},
		{ByTrainings, []Step{{1, 0.3}, {2, 0.2}, {4, 0.1}}, 4},
		{BySeconds, []Step{{3, 0.2}, {6, 0.1}, {6, 0.1}}, 6},
	} {
		got, end := h.Anytime(c.clock, TestErrorOf)
		if diff := cmp.Diff(c.want, got); diff != "" || end != c.end {
			t.Errorf("clock %d: end %v, want %v\n%s", c.clock, end, c.end, diff)
		}
		if got, _ := h.Anytime(c.clock, ValidErrorOf); got != nil {
			t.Errorf("clock %d: validation errors %v", c.clock, got)
		}
	}
	h.Run.Config = []byte(`{"evaluate":"before"}`) // the cell of a record is that before its epoch
	if got, _ := h.Anytime(BySeconds, TestErrorOf); !cmp.Equal(got, []Step{{0, 0.2}, {3, 0.1}, {6, 0.1}}) {
		t.Errorf("evaluated before the epoch: %v", got)
	}
	h.Epochs[1].Queries.Seconds = nil
	if got, _ := h.Anytime(ByCost, TestErrorOf); got != nil {
		t.Errorf("a table without all times: %v", got)
	}
}

func TestCurveAnytime(t *testing.T) {
	c := Curve{Runs: []*History{searchedTable(0.3, 0.2, 0.1), searchedTable(0.5, 0.4, 0.3)}}
	got := c.Anytime(ByTrainings, TestErrorOf, Uncertainty, 3)
	var want []Moment
	for i, middle := range []float64{0.4, 0.3, 0.2} { // at 1, 2 and 4; standard error 0.1
		want = append(want, Moment{math.Pow(2, float64(i)), middle - 0.1, middle, middle + 0.1, 2})
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })); diff != "" {
		t.Error(diff)
	}
	c.Runs[1].Epochs = nil
	if got := c.Anytime(ByTrainings, TestErrorOf, Uncertainty, 3); got != nil {
		t.Errorf("with a run that has nothing: %v", got)
	}
}
