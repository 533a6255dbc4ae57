package nasbench

import (
	"bytes"
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

var update = flag.Bool("update", false, "fit the embedded surrogate to the real table and write surrogate.bin")

// checkEmbedded compares what the embedded surrogate says of itself with the
// table that it was fitted to.
func checkEmbedded(t *testing.T, table *Table) {
	if *update {
		s, err := Fit(context.Background(), table, FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, "surrogate.bin", s.file)
		return
	}
	heldOut, spread, err := Default().evaluate(context.Background(), table)
	if err != nil {
		t.Fatal(err)
	}
	// Another processor may round exponentials otherwise.
	approximate := cmpopts.EquateApprox(1e-9, 0)
	if diff := cmp.Diff(Default().HeldOut(), heldOut, approximate); diff != "" {
		t.Errorf("held-out errors (-said +measured):\n%s", diff)
	}
	if diff := cmp.Diff(Default().model.Spread, spread, approximate); diff != "" {
		t.Errorf("spread (-said +measured):\n%s", diff)
	}
	if got, want := Default().model.Trained, table.Source(); got.Digest != want.Digest {
		t.Errorf("fitted to %v, the table is %v", got, want)
	}
}

func TestDefault(t *testing.T) {
	if len(embedded) > 512<<10 {
		t.Errorf("surrogate.bin has %d bytes, want at most 512 KiB", len(embedded))
	}
	held := Default().HeldOut()
	if len(held) != 3 {
		t.Fatalf("held-out errors of %d spaces, want 3", len(held))
	}
	for _, h := range held {
		if q := h.Test; q.MedianError > 0.0017 || q.MeanError > 0.0025 || q.KendallTau < 0.90 || q.Cells < 500 {
			t.Errorf("space %s: test error: %+v", h.Space, q)
		}
		if q := h.Validation; q.MedianError > 0.004 || q.KendallTau < 0.8 || q.Cells < 20 {
			t.Errorf("space %s: validation error: %+v", h.Space, q)
		}
	}
	if s := Default().Source(); s.Kind != KindSurrogate || len(s.Digest) != 64 || s.Detail == "" {
		t.Errorf("source %+v", s)
	}
	if file, err := Default().MarshalBinary(); err != nil || !bytes.Equal(file, embedded) {
		t.Errorf("read and written again, the file is another: %v", err)
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
	if good.Parameters != 10177674 || good.Runs != 0 || good.ValidationError == nil || good.ValidationBar <= 0 || good.TrainSeconds != nil || good.Repeats != nil {
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
		if !(a.TestError > 0.03 && a.TestError < 0.9 && a.ErrorBar > 0 && a.ErrorBar < a.TestError &&
			*a.ValidationError > 0.03 && *a.ValidationError < 0.9) {
			t.Errorf("%v is predicted %v ± %v", s, a.TestError, a.ErrorBar)
		}
	})
}

func TestFitRefuses(t *testing.T) {
	table := importTable(t, writeFile(t, filepath.Join(t.TempDir(), "means"), []byte(meansHeader+chainLine)))
	const want = "fit surrogate: 1 examples, want at least 1024"
	if _, err := Fit(context.Background(), table, FitOptions{}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestSurrogateFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/surrogate.md", Sample: embedded,
		Read: func(file []byte) error {
			_, err := parseSurrogate(file)
			return err
		},
		Version: magic, Other: "nb1shot surrogate 2\n", Says: []string{"surrogate", "version"},
	})
}

func TestParseSurrogateRefuses(t *testing.T) {
	for _, text := range []string{"{}", magic, magic + "{}", magic + "{}\n", magic + "{\"unknown\": 1}\n"} {
		if _, err := parseSurrogate([]byte(text)); err == nil {
			t.Errorf("a file of %d bytes was accepted", len(text))
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
