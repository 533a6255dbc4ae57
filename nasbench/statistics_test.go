package nasbench

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// oracle answers with a number that the cell gives.
type oracle func(cell.Spec) (Metrics, error)

func (o oracle) Query(s cell.Spec) (Metrics, error) { return o(s) }
func (oracle) Source() Source                       { return Source{Kind: KindSurrogate} }
func (oracle) Close() error                         { return nil }

// byPools is an oracle whose test error is 10 % of the max-poolings, plus a part
// in a thousand that the hash gives, as it does the parameters, 0 to 255.
func byPools(s cell.Spec) (Metrics, error) {
	h, err := s.Hash()
	if err != nil {
		return Metrics{}, err
	}
	shape, err := s.Shape()
	return Metrics{Hash: h, TestError: 0.1*float64(shape.Pools) + float64(h[0])/256000, Parameters: int(h[1])}, err
}

func TestSpaceStatistics(t *testing.T) {
	s, err := SpaceStatistics(t.Context(), oracle(byPools), "1", Epochs)
	if err != nil {
		t.Fatal(err)
	}
	if s.Space != "1" || s.Epochs != Epochs || s.Reachable != 2685 || s.Cells != 2685 || len(s.Errors) != 2685 || !slices.IsSorted(s.Errors) {
		t.Errorf("%d of %d cells, %d errors", s.Cells, s.Reachable, len(s.Errors))
	}
	if s.Lowest != s.Errors[0] || s.Highest != s.Errors[2684] || s.P50 != s.Errors[1342] || s.P10 != s.Errors[268] || s.P90 != s.Errors[2416] {
		t.Errorf("summary %+v", s.Summary)
	}
	values := map[Property][]float64{}
	for _, by := range s.By {
		cells, lowest := 0, math.Inf(1)
		for i, g := range by.Groups {
			values[by.Property] = append(values[by.Property], g.From)
			cells += g.Cells
			lowest = min(lowest, g.Lowest)
			if g.From > g.To || i > 0 && by.Groups[i-1].To >= g.From {
				t.Errorf("%s: groups %v to %v and %v to %v", by.Property, by.Groups[i-1].From, by.Groups[i-1].To, g.From, g.To)
			}
			if by.Property != Parameters && (g.From != g.To || g.Quarter != 0) || by.Property == Parameters && (g.Quarter < 1 || g.Quarter > 4) {
				t.Errorf("%s: group %+v", by.Property, g)
			}
		}
		if cells != s.Cells || lowest != s.Lowest {
			t.Errorf("%s: %d cells in groups, the lowest error %v", by.Property, cells, lowest)
		}
	}
	for property, want := range map[Property][]float64{ParameterFree: {0, 1, 2, 3, 4}, Width: {1, 1.5, 2, 2.5}, Depth: {2, 3, 4, 5}} {
		if diff := cmp.Diff(want, values[property]); diff != "" {
			t.Errorf("%s: %s", property, diff)
		}
	}
	for i, g := range s.By[0].Groups {
		if pools := 0.1 * float64(i); g.Lowest < pools || g.Highest > pools+0.001 || g.Mean < g.Lowest || g.Mean > g.Highest {
			t.Errorf("%d max-poolings: %+v", i, g)
		}
		if want := map[bool]int{false: 0, true: g.Cells}[i >= 3]; g.Diverged != want {
			t.Errorf("%d max-poolings: %d cells at or above 25 %%, want %d", i, g.Diverged, want)
		}
	}
	quarters := s.By[3].Groups
	if len(quarters) != 4 {
		t.Fatalf("%d groups by parameters", len(quarters))
	}
	for i, g := range quarters { // a value has some ten cells, which stay together
		if g.Quarter != i+1 || math.Abs(float64(g.Cells)-2685./4) > 30 {
			t.Errorf("quarter %d is %+v", i+1, g)
		}
	}
}

func TestQuarters(t *testing.T) {
	var cells []measured
	for _, x := range []float64{1, 1, 1, 2, 3, 4, 5, 6} {
		cells = append(cells, measured{property: x})
	}
	quarter := quarters(cells)
	var got []int
	for _, c := range cells {
		got = append(got, quarter(c))
	}
	if diff := cmp.Diff([]int{1, 1, 1, 2, 3, 3, 4, 4}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTop(t *testing.T) {
	var all []Entry
	collect := func(e Entry) error { all = append(all, e); return nil }
	if err := EachCell(t.Context(), oracle(byPools), "1", Epochs, collect); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { // by ascending hash before
		switch {
		case a.TestError < b.TestError:
			return -1
		case a.TestError > b.TestError:
			return 1
		}
		return 0
	})
	for _, n := range []int{0, 1, 7, 300, 5000} {
		got, err := Top(t.Context(), oracle(byPools), "1", Epochs, n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all[:min(n, len(all))], got, cmp.Comparer(func(a, b Entry) bool { return a.Hash == b.Hash })); diff != "" && n > 0 {
			t.Errorf("top %d: %s", n, diff)
		}
		if n == 0 && len(got) != 0 {
			t.Errorf("%d cells, want none", len(got))
		}
	}

	// Of a table no space is all of it.
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	var lowest []float64
	if err := table.Each(t.Context(), "", 4, func(e Entry) error { lowest = append(lowest, e.TestError); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lowest)
	got, err := Top(t.Context(), table, "", 4, 2)
	if err != nil || len(got) != 2 || got[0].TestError != lowest[0] || got[1].TestError != lowest[1] {
		t.Errorf("%+v, %v, want errors %v", got, err, lowest[:2])
	}
}

// A table answers with what it holds, here of the space and of a single cell.
func TestEachCellOfTable(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	for _, space := range nb1shot1.All() {
		want, got := 0, 0
		if err := table.Each(t.Context(), space.Name(), Epochs, func(Entry) error { want++; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := EachCell(t.Context(), table, space.Name(), Epochs, func(Entry) error { got++; return nil }); err != nil || got != want {
			t.Errorf("space %s: %d cells, %v, want %d", space.Name(), got, err, want)
		}
		if _, err := SpaceStatistics(t.Context(), table, space.Name(), 12); !errors.Is(err, ErrUnknownBudget) {
			t.Errorf("space %s, a budget that the table lacks: %v", space.Name(), err)
		}
	}
}

// A random architecture's error is the mean over all architectures, loose ends
// included; a table that lacks some of their cells does not know it.
func TestExpectation(t *testing.T) {
	s, err := nb1shot1.Get("1")
	if err != nil {
		t.Fatal(err)
	}
	sum, n := 0.0, 0
	for a := range s.Enumerate {
		m, err := byPools(a.Cell())
		if err != nil {
			t.Fatal(err)
		}
		sum += m.TestError
		n++
	}
	got, err := Expectation(t.Context(), oracle(byPools), "1")
	if want := sum / float64(n); err != nil || math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := Expectation(t.Context(), importTable(t, goldenFile(t, "synthetic.tfrecord")), "1"); !errors.Is(err, ErrUnknownBudget) {
		t.Errorf("a table with a few cells: %v", err)
	}
	if _, err := Expectation(t.Context(), oracle(byPools), "4"); err == nil {
		t.Error("space 4 has an expectation")
	}
}

func TestEachCellFails(t *testing.T) {
	none := func(Entry) error { return nil }
	if err := EachCell(t.Context(), oracle(byPools), "4", Epochs, none); err == nil {
		t.Error("read space 4")
	}
	if err := EachCell(t.Context(), oracle(byPools), "1", 12, none); !errors.Is(err, ErrUnknownBudget) {
		t.Errorf("predictions at 12 epochs: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EachCell(cancelled, oracle(byPools), "1", Epochs, none); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	stop := errors.New("stop")
	if err := EachCell(t.Context(), oracle(byPools), "1", Epochs, func(Entry) error { return stop }); err != stop {
		t.Errorf("visit's error came back as %v", err)
	}
	failing := oracle(func(cell.Spec) (Metrics, error) { return Metrics{}, stop })
	if _, err := SpaceStatistics(t.Context(), failing, "1", Epochs); !errors.Is(err, stop) {
		t.Errorf("the oracle's error came back as %v", err)
	}
	if _, err := Top(t.Context(), failing, "0", Epochs, 1); err == nil {
		t.Error("an oracle without a list of cells has a best one")
	}
}
