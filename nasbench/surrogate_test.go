package nasbench

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
)

var update = flag.Bool("update", false, "fit the embedded surrogate to the real table and write surrogate.json")

// checkEmbedded compares the embedded surrogate with one fitted to the table.
func checkEmbedded(t *testing.T, table *Table) {
	fitted, err := Fit(context.Background(), table)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		file, err := json.MarshalIndent(fitted, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, "surrogate.json", append(file, '\n'))
		return
	}
	// Another processor may round sums otherwise.
	if diff := cmp.Diff(Default().model, fitted.model, cmpopts.EquateApprox(1e-3, 1e-6)); diff != "" {
		t.Errorf("the embedded surrogate is not what Fit returns; run this test with -update (-embedded +fitted):\n%s", diff)
	}

	within, cells := 0, 0
	for _, space := range spaces.All() {
		err := table.Each(context.Background(), space.ID(), Epochs, func(e Entry) error {
			if !heldOut(e.Hash) || e.TestError >= diverged {
				return nil
			}
			m, err := Default().Query(e.Spec)
			cells++
			if math.Abs(m.TestError-e.TestError) <= m.ErrorBar {
				within++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if share := float64(within) / float64(cells); math.Abs(share-0.68) > 0.02 {
		t.Errorf("error bars hold %.3f of the held-out cells, want 0.68", share)
	}
}

func TestDefault(t *testing.T) {
	if len(embedded) > 100<<10 {
		t.Errorf("surrogate.json has %d bytes, want less than 100 KiB", len(embedded))
	}
	held := Default().HeldOut()
	if len(held) != 3 {
		t.Fatalf("held-out errors of %d spaces, want 3", len(held))
	}
	for _, h := range held {
		if h.MeanError > 0.005 || h.MedianError > 0.004 || h.KendallTau < 0.8 {
			t.Errorf("the surrogate is no better than %+v", h)
		}
	}
	if s := Default().Source(); s.Kind != KindSurrogate || len(s.Digest) != 64 || s.Detail == "" {
		t.Errorf("source %+v", s)
	}
	if err := Default().Close(); err != nil {
		t.Error(err)
	}
}

// TestSurrogateRanks: what is well known of cells holds for the predictions.
func TestSurrogateRanks(t *testing.T) {
	good := predict(t, chainRecord(t, cell.Conv3x3, 108, 0).spec)
	pointwise := predict(t, chainRecord(t, cell.Conv1x1, 108, 0).spec)
	if good.TestError > 0.09 || pointwise.TestError < 0.14 {
		t.Errorf("predicted %.3f for a 3×3 and %.3f for a 1×1 convolution", good.TestError, pointwise.TestError)
	}
	if good.Parameters != 10177674 || good.Runs != 0 || good.ValidationError != nil || good.TrainSeconds != nil || good.Repeats != nil {
		t.Errorf("got %+v", good)
	}
}

func predict(t testing.TB, spec cell.Spec) Metrics {
	t.Helper()
	m, err := Default().Query(spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawCell draws a cell of NAS-Bench-101's domain, loose ends included.
func drawCell(t *rapid.T) cell.Spec {
	n := rapid.IntRange(2, cell.MaxVertices).Draw(t, "vertices")
	ops := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 2), func(i int) cell.Op { return cell.Op(i) }), n-2, n-2).Draw(t, "ops")
	bits := rapid.Uint32Range(0, 1<<(n*(n-1)/2)-1).Filter(func(bits uint32) bool {
		s, err := cell.FromBits(n, bits, ops)
		return err == nil && s.Check() == nil
	}).Draw(t, "edges")
	s, err := cell.FromBits(n, bits, ops)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// renumber numbers the inner vertices anew, in another topological order.
func renumber(s cell.Spec, r *rand.Rand) cell.Spec {
	n := s.Vertices()
	order := []int{0}
	placed := make([]bool, n)
	placed[0] = true
	for len(order) < n-1 {
		v := 1 + r.IntN(n-2)
		ready := !placed[v]
		for u := range v {
			ready = ready && (s.Matrix[u][v] == 0 || placed[u])
		}
		if ready {
			placed[v] = true
			order = append(order, v)
		}
	}
	order = append(order, n-1)
	renumbered := cell.Spec{Matrix: make([][]uint8, n)}
	for i, u := range order {
		renumbered.Matrix[i] = make([]uint8, n)
		for j, v := range order {
			renumbered.Matrix[i][j] = s.Matrix[u][v]
		}
		if i > 0 && i < n-1 {
			renumbered.Ops = append(renumbered.Ops, s.Ops[u-1])
		}
	}
	return renumbered
}

// TestPredictionsInvariant: isomorphic cells, which share a hash, share a
// prediction, and it is an error rate.
func TestPredictionsInvariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCell(t)
		r := renumber(s, random.New(rapid.Uint64().Draw(t, "seed"), "renumber"))
		a, err := Default().Query(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Default().Query(r)
		if err != nil {
			t.Fatal(err)
		}
		// See TrainableParameters.
		if diff := cmp.Diff(a, b, cmpopts.IgnoreFields(Metrics{}, "Parameters")); diff != "" {
			t.Errorf("%v and %v:\n%s", s, r, diff)
		}
		if !(a.TestError > 0.03 && a.TestError < 0.9 && a.ErrorBar > 0 && a.ErrorBar < a.TestError) {
			t.Errorf("%v is predicted %v ± %v", s, a.TestError, a.ErrorBar)
		}
	})
}

func TestFeatures(t *testing.T) {
	// input → conv3x3 → maxpool → output, the convolution also → output, and
	// input → output.
	spec := mustParse(t, [][]int{{0, 1, 0, 1}, {0, 0, 1, 1}, {0, 0, 0, 1}, {0, 0, 0, 0}}, "input", "conv3x3-bn-relu", "maxpool3x3", "output")
	got := map[string]float64{}
	for _, f := range features(spec) {
		got[f.name] = f.value
	}
	want := map[string]float64{
		"bias": 1, "longest": 2, "shortest": 0, "most 3": 1, "fewest 3": 0, "most p": 1, "spatial 2": 1,
		"path ": 1, "path 3": 1, "path 3p": 1,
		"in i:": 1, "in 3:i": 1, "in p:3": 1, "in o:3ip": 1,
		"out i:3o": 1, "out 3:op": 1, "out p:o": 1, "out o:": 1,
		// Both vertices have half the output's channels.
		"width 3": 0.5, "width 1": 0, "width p": 0.5,
		// Projections of width 1/2 and 1, a 3×3 convolution of width 1/2.
		"log cost": math.Log(0.5 + 1 + 9*0.25),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-15)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFitRefuses(t *testing.T) {
	good := strings.Replace(chainLine, "22464", "28000", 1)
	for _, c := range []struct{ name, text, want string }{
		{"diverged cells only", meansHeader + chainLine, "no cells to fit to"},
		{"no held-out cells", meansHeader + good, "0 held-out cells of space 1, too few"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := importTable(t, writeFile(t, filepath.Join(t.TempDir(), "means"), []byte(c.text)))
			if _, err := Fit(context.Background(), table); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestParseSurrogateRefuses(t *testing.T) {
	for _, text := range []string{``, `{"weights": 1}`, `{"unknown": 1}`} {
		if _, err := parseSurrogate([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestTrainableParameters compares with cells of NAS-Bench-101.
func TestTrainableParameters(t *testing.T) {
	for _, c := range []struct {
		matrix [][]int
		ops    []string
		want   int
	}{
		{[][]int{{0, 1}, {0, 0}}, []string{"input", "output"}, 882570},
		{[][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}, []string{"input", "maxpool3x3", "output"}, 882570},
		{[][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}, []string{"input", "conv1x1-bn-relu", "output"}, 1920138},
		{[][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}, []string{"input", "conv3x3-bn-relu", "output"}, 10177674},
		{[][]int{{0, 1, 1}, {0, 0, 1}, {0, 0, 0}}, []string{"input", "conv3x3-bn-relu", "output"}, 11051402},
	} {
		got, err := TrainableParameters(mustParse(t, c.matrix, c.ops...))
		if err != nil || got != c.want {
			t.Errorf("%v %v: got %d, %v, want %d", c.matrix, c.ops, got, err, c.want)
		}
	}
}
