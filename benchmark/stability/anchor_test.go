package stability

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// predictions is the embedded surrogate, which answers once for all tests that ask for every
// cell of a space.
var predictions = sync.OnceValue(func() *remembered { return &remembered{Oracle: nasbench.Default()} })

type remembered struct {
	nasbench.Oracle
	answers sync.Map // nasbench.Metrics by cell.Hash
}

func (r *remembered) Query(spec cell.Spec) (nasbench.Metrics, error) {
	h, err := spec.Hash()
	if err != nil {
		return nasbench.Metrics{}, err
	}
	if known, ok := r.answers.Load(h); ok {
		return known.(nasbench.Metrics), nil
	}
	m, err := r.Oracle.Query(spec)
	if err == nil {
		r.answers.Store(h, m)
	}
	return m, err
}

// checkExpectation compares what is written down with what the oracle says.
func checkExpectation(t *testing.T, o nasbench.Oracle, known map[spaces.Name]float64) {
	t.Helper()
	for _, space := range []spaces.Name{"1", "2", "3"} {
		if space == "3" && testing.Short() {
			break
		}
		got, err := nasbench.Expectation(t.Context(), o, space)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got-known[space]) > 5e-8 {
			t.Errorf("space %s: %.7f is expected, %.7f is written down", space, got, known[space])
		}
	}
}

// The errors that the embedded surrogate predicts for a random architecture.
func TestPredictedExpectation(t *testing.T) {
	checkExpectation(t, predictions(), predictedExpectation)
}

// The errors that NAS-Bench-101 has for a random architecture, where its means lie
// beside the repository.
func TestMeasuredExpectation(t *testing.T) {
	const means = "../../../shared/data/nb101/cells.tsv.gz"
	if _, err := os.Stat(means); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no means of NAS-Bench-101 at %s", means)
	}
	path := filepath.Join(t.TempDir(), "table")
	if err := nasbench.ImportSpaces(t.Context(), means, path, nil); err != nil {
		t.Fatal(err)
	}
	table, err := nasbench.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	checkExpectation(t, table, measuredExpectation)
}

// The lowest errors that the embedded surrogate predicts.
func TestPredictedLowest(t *testing.T) {
	for _, space := range []spaces.Name{"1", "2", "3"} {
		if space > "1" && testing.Short() {
			break
		}
		got, err := Lowest(t.Context(), predictions(), space)
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := Predicted(space); !ok || math.Abs(got.TestError-want.TestError) > 5e-8 {
			t.Errorf("space %s: %.7f is the lowest, %.7f is written down", space, got.TestError, want.TestError)
		} else if math.Abs(got.ValidationError-want.ValidationError) > 5e-8 {
			t.Errorf("space %s: %.7f is the lowest validation error, %.7f is written down", space, got.ValidationError, want.ValidationError)
		}
	}
	if a, ok := Predicted("4"); ok {
		t.Errorf("space 4: %v", a)
	}
}

// Only tables that the errors are known for have them.
func TestRandom(t *testing.T) {
	at := func(space spaces.Name, kind, digest string) *results.History {
		return &results.History{Run: results.Run{Space: space, Provenance: results.Provenance{Table: kind, TableDigest: digest}}}
	}
	surrogate := nasbench.Default().Source().Digest
	tests := map[string]struct {
		runs []*results.History
		want map[spaces.Name]float64
	}{
		"measured":          {[]*results.History{at("1", results.NASBench101, "a"), at("3", results.NASBench101, "a")}, map[spaces.Name]float64{"1": measuredExpectation["1"], "3": measuredExpectation["3"]}},
		"means":             {[]*results.History{at("2", results.NASBench101Means, "a")}, map[spaces.Name]float64{"2": measuredExpectation["2"]}},
		"by NNI":            {[]*results.History{at("2", results.NASBench101NNI, "a")}, map[spaces.Name]float64{"2": measuredExpectation["2"]}},
		"predicted":         {[]*results.History{at("2", "surrogate", surrogate)}, map[spaces.Name]float64{"2": predictedExpectation["2"]}},
		"another surrogate": {[]*results.History{at("2", "surrogate", "a")}, nil},
		"synthetic":         {[]*results.History{at("2", "synthetic", "a")}, nil},
		"two tables":        {[]*results.History{at("2", results.NASBench101, "a"), at("2", results.NASBench101Means, "b")}, nil},
		"no such space":     {[]*results.History{at("4", results.NASBench101, "a")}, nil},
		"none":              {nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Random(test.runs)
			if len(got) != len(test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			for space, x := range test.want {
				if got[space] != x {
					t.Errorf("space %s: %v, want %v", space, got[space], x)
				}
			}
		})
	}
}
