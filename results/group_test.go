package results

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/spaces"
)

func TestTrajectory(t *testing.T) {
	errors := [][]float64{{0.10, 0.12, 0.14}, {0.20, 0.14, 0.10}, {0.30, 0.10, 0.12}}
	point := func(epoch int, final bool, mean, std float64, seeds int) Point {
		return Point{epoch, final, mean, mean - std, mean + std, seeds}
	}
	tests := map[string]struct {
		seeds int
		shape func(seed int, h *History)
		want  []Point
	}{
		"one seed": {1, nil, []Point{point(0, false, 0.10, 0, 1), point(1, false, 0.12, 0, 1), point(2, true, 0.14, 0, 1)}},
		"three seeds": {3, nil, []Point{
			point(0, false, 0.20, 0.10, 3), point(1, false, 0.12, 0.02, 3), point(2, true, 0.12, 0.02, 3),
		}},
		"one interrupted": {3, func(seed int, h *History) {
			if seed == 2 {
				h.Epochs = h.Epochs[:1]
			}
		}, []Point{
			point(0, false, 0.20, 0.10, 3), point(1, false, 0.13, math.Sqrt(0.0002), 2), point(2, true, 0.12, math.Sqrt(0.0008), 2),
		}},
		"one value missing": {3, func(seed int, h *History) {
			if seed == 0 {
				h.Epochs[1].Lookup.TestError = nil
			}
		}, []Point{
			point(0, false, 0.20, 0.10, 3), point(1, false, 0.12, math.Sqrt(0.0008), 2), point(2, true, 0.12, 0.02, 3),
		}},
		"final at another epoch": {2, func(seed int, h *History) {
			if seed == 1 {
				h.Epochs = []Epoch{h.Epochs[0], final(1)}
				h.Epochs[1].Lookup.TestError = ptr(0.5)
			}
		}, []Point{
			point(0, false, 0.15, math.Sqrt(0.005), 2), point(1, false, 0.12, 0, 1), point(1, true, 0.5, 0, 1), point(2, true, 0.14, 0, 1),
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			runs := histories(t, test.seeds, func(seed int, h *History) {
				for i := range h.Epochs {
					h.Epochs[i].Lookup.TestError = ptr(errors[seed][i])
				}
				if test.shape != nil {
					test.shape(seed, h)
				}
			})
			curves, err := Group(runs)
			if err != nil {
				t.Fatal(err)
			}
			if len(curves) != 1 {
				t.Fatalf("%d curves", len(curves))
			}
			near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-14 })
			if diff := cmp.Diff(test.want, curves[0].Trajectory(TestError, Arithmetic), near); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// λ has no final point, and an algorithm without Hessian no point at all.
func TestTrajectoryEigenvalue(t *testing.T) {
	curves, err := Group(histories(t, 2, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []Point{{0, false, 0.5, 0.5, 0.5, 2}, {1, false, 0.5, 0.5, 0.5, 2}}
	if diff := cmp.Diff(want, curves[0].Trajectory(Eigenvalue, Quartiles)); diff != "" {
		t.Error(diff)
	}
	curves, err = Group(histories(t, 1, func(_ int, h *History) { h.Epochs[0].Hessian, h.Epochs[1].Hessian = nil, nil }))
	if err != nil {
		t.Fatal(err)
	}
	if points := curves[0].Trajectory(Eigenvalue, Geometric); points != nil || curves[0].Has(Eigenvalue) || !curves[0].Has(TestError) {
		t.Errorf("%v", points)
	}
}

// The statistics of one epoch over the seeds.
func TestStatistics(t *testing.T) {
	tests := map[string]struct {
		values    []float64
		statistic Statistic
		want      Point
	}{
		"arithmetic":       {[]float64{1, 2, 6}, Arithmetic, Point{Low: 3 - math.Sqrt(7), Middle: 3, High: 3 + math.Sqrt(7), Seeds: 3}},
		"geometric":        {[]float64{0.01, 0.1, 1}, Geometric, Point{Low: 0.01, Middle: 0.1, High: 1, Seeds: 3}},
		"no logarithm":     {[]float64{0.1, 0, -3, 10}, Geometric, Point{Low: math.Pow(10, -math.Sqrt2), Middle: 1, High: math.Pow(10, math.Sqrt2), Seeds: 2}},
		"quartiles":        {[]float64{5, 1, 4, 2, 3}, Quartiles, Point{Low: 2, Middle: 3, High: 4, Seeds: 5}},
		"quartiles of 4":   {[]float64{8, 1, 2, 4}, Quartiles, Point{Low: 1.75, Middle: 3, High: 5, Seeds: 4}},
		"one seed":         {[]float64{0.25}, Quartiles, Point{Low: 0.25, Middle: 0.25, High: 0.25, Seeds: 1}},
		"one seed, log":    {[]float64{0.25}, Geometric, Point{Low: 0.25, Middle: 0.25, High: 0.25, Seeds: 1}},
		"seeds that agree": {[]float64{0.5, 0.5}, Geometric, Point{Low: 0.5, Middle: 0.5, High: 0.5, Seeds: 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			curves, err := Group(histories(t, len(test.values), func(seed int, h *History) {
				h.Epochs = []Epoch{record(0)}
				h.Epochs[0].Hessian.Reported = test.values[seed]
			}))
			if err != nil {
				t.Fatal(err)
			}
			near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-14 })
			if diff := cmp.Diff([]Point{test.want}, curves[0].Trajectory(Eigenvalue, test.statistic), near); diff != "" {
				t.Error(diff)
			}
		})
	}
	curves, err := Group(histories(t, 1, func(_ int, h *History) { h.Epochs[0].Hessian.Reported, h.Epochs[1].Hessian.Reported = 0, -1 }))
	if err != nil {
		t.Fatal(err)
	}
	if points := curves[0].Trajectory(Eigenvalue, Geometric); points != nil {
		t.Errorf("values without logarithm alone: %v", points)
	}
}

func TestGroup(t *testing.T) {
	run := func(space spaces.Name, algorithm string, seed uint64, p Provenance, config string) *History {
		r, err := NewRun(space, algorithm, seed, p, json.RawMessage(config))
		if err != nil {
			t.Fatal(err)
		}
		return &History{Dir: "runs/" + r.Name(), Run: r, Status: Status{State: Finished}}
	}
	float32s := provenance()
	float32s.Precision = "float32"
	elsewhere := provenance()
	elsewhere.Device = "another CPU"

	type curve struct {
		Space              spaces.Name
		Algorithm, Variant string
		Seeds              []uint64
	}
	tests := map[string]struct {
		runs []*History
		want []curve
	}{
		"seeds and spaces, any order": {
			[]*History{
				run("2", "darts", 1, provenance(), `{}`), run("1", "nasp", 0, provenance(), `{}`), run("1", "darts", 5, provenance(), `{}`),
				run("2", "darts", 0, elsewhere, `{}`),
			},
			[]curve{{"1", "darts", "", []uint64{5}}, {"1", "nasp", "", []uint64{0}}, {"2", "darts", "", []uint64{0, 1}}},
		},
		"precision apart": {
			[]*History{run("1", "darts", 0, float32s, `{"a":1}`), run("1", "darts", 1, provenance(), `{"a":1}`)},
			[]curve{{"1", "darts", "precision float32", []uint64{0}}, {"1", "darts", "precision float64", []uint64{1}}},
		},
		"settings that go with the space": {
			[]*History{run("1", "darts", 0, provenance(), `{"dim":24}`), run("2", "darts", 0, provenance(), `{"dim":26}`)},
			[]curve{{"1", "darts", "", []uint64{0}}, {"2", "darts", "", []uint64{0}}},
		},
		"variants": {
			[]*History{
				run("1", "darts", 0, provenance(), `{"pgd":{"steps":1},"epochs":5,"name":"x"}`),
				run("1", "darts", 0, provenance(), `{"pgd":{"steps":7,"start":false},"epochs":5,"name":"x"}`),
				run("2", "darts", 0, provenance(), `{"pgd":{"steps":7,"start":false},"epochs":5,"name":"x"}`),
				run("2", "nasp", 0, provenance(), `{"epochs":6}`),
			},
			[]curve{
				{"1", "darts", "pgd.start false, pgd.steps 7", []uint64{0}},
				{"1", "darts", "pgd.steps 1", []uint64{0}},
				{"2", "darts", "pgd.start false, pgd.steps 7", []uint64{0}},
				{"2", "nasp", "", []uint64{0}},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			curves, err := Group(test.runs)
			if err != nil {
				t.Fatal(err)
			}
			var got []curve
			for _, c := range curves {
				g := curve{c.Space, c.Algorithm, c.Variant, nil}
				for _, h := range c.Runs {
					g.Seeds = append(g.Seeds, h.Run.Seed)
				}
				got = append(got, g)
			}
			byVariant := cmp.Transformer("sort", func(cs []curve) map[curveKey][]uint64 {
				m := map[curveKey][]uint64{}
				for _, c := range cs {
					m[curveKey{c.Space, c.Algorithm, c.Variant}] = c.Seeds
				}
				return m
			})
			if diff := cmp.Diff(test.want, got, byVariant); diff != "" || len(got) != len(test.want) {
				t.Error(diff)
			}
		})
	}

	_, err := Group([]*History{run("1", "darts", 3, provenance(), `{}`), run("1", "darts", 3, provenance(), `{}`)})
	if err == nil || !strings.Contains(err.Error(), "seed 3") {
		t.Errorf("the same seed twice: %v", err)
	}
}

type curveKey struct {
	space              spaces.Name
	algorithm, variant string
}

func TestSettings(t *testing.T) {
	got, err := testRun(t, 3).Conditions()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"epochs": "2", "perturbation.steps": "7", "images": "procedural", "engine": "ref"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, ok := got["device"]; ok {
		t.Error("the device is a setting")
	}
	run, err := NewRun("2", "darts", 0, provenance(), map[string]any{"images": 320})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = run.Conditions(); err != nil || got["images"] != "320" || got["provenance.images"] != "procedural" {
		t.Errorf("two members of one name: %v, %v", got, err)
	}
	if _, err := (Run{}).Conditions(); err != nil {
		t.Errorf("a run without configuration: %v", err)
	}
}
