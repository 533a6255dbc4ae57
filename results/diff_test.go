package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded writes a finished run of the given records and reads it back.
func recorded(t *testing.T, run Run, records ...Epoch) *History {
	t.Helper()
	w, err := Create(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range records {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	h, err := Read(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func compare(t *testing.T, a, b *History) Comparison {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompareSame(t *testing.T) {
	slow := record(0)
	slow.Seconds = map[string]float64{"steps": 99}
	other := testRun(t, 0)
	other.Provenance.Device, other.Provenance.ImagesDetail = "another CPU", ""
	c := compare(t, recorded(t, testRun(t, 0), record(0), final(1)), recorded(t, other, slow, final(1)))
	want := Comparison{
		Settings: []Change{}, Provenance: []Change{}, Measures: []MeasureChange{},
		Details: []Change{{"images_detail", "seed 7", ""}, {"device", "one CPU", "another CPU"}},
	}
	if diff := cmp.Diff(want, c); diff != "" || !c.Same() {
		t.Errorf("same: %v (-want +got):\n%s", c.Same(), diff)
	}
}

func TestCompareSettings(t *testing.T) {
	p := provenance()
	p.Engine, p.Table = "cpu", NASBench101
	run, err := NewRun("1", "darts", 7, p, map[string]any{"epochs": 2, "perturbation": map[string]any{"radius": 0.3}, "ties": "lowest"})
	if err != nil {
		t.Fatal(err)
	}
	c := compare(t, recorded(t, testRun(t, 0)), recorded(t, run))
	want := Comparison{
		Settings: []Change{
			{"space", "2", "1"}, {"algorithm", "sdarts-adv", "darts"}, {"seed", "0", "7"},
			{"perturbation.radius", "", "0.3"}, {"perturbation.steps", "7", ""}, {"ties", "", "lowest"},
		},
		Provenance: []Change{{"table", "surrogate", "nasbench101"}, {"engine", "ref", "cpu"}},
		Details:    []Change{}, Measures: []MeasureChange{},
	}
	if diff := cmp.Diff(want, c); diff != "" || c.Same() {
		t.Errorf("same: %v (-want +got):\n%s", c.Same(), diff)
	}
}

func TestCompareRecords(t *testing.T) {
	changed := record(1)
	changed.Hessian.Eigenvalues[1] = 0.002
	changed.Alphas[0].Rows[0] = []float64{0.1, -0.2}
	worse := final(2)
	worse.Lookup.TestError = ptr(0.5)
	bare := record(1)
	bare.Search = nil
	warned := record(1)
	warned.Warning = "careful"
	fewer := record(1)
	fewer.Alphas = nil
	for name, test := range map[string]struct {
		a, b     []Epoch
		want     Departure
		measures []MeasureChange
	}{
		"numbers": {[]Epoch{record(0), record(1)}, []Epoch{record(0), changed},
			Departure{Epoch: 1, First: Change{"hessian.eigenvalues[1]", "0.001", "0.002"}, More: 1}, nil},
		"final": {[]Epoch{record(0), record(1), final(2)}, []Epoch{record(0), record(1), worse},
			Departure{Epoch: 2, Final: true, First: Change{"lookup.test_error", "0.0625", "0.5"}}, []MeasureChange{{"lookup.test_error", ptr(0.0625), ptr(0.5)}}},
		"member of a": {[]Epoch{record(0), record(1)}, []Epoch{record(0), bare},
			Departure{Epoch: 1, First: Change{"search.loss", "2.29", ""}, More: 1}, nil},
		"member of b": {[]Epoch{record(0), record(1)}, []Epoch{record(0), warned},
			Departure{Epoch: 1, First: Change{"warning", "", `"careful"`}}, nil},
		"list of b": {[]Epoch{record(0), fewer}, []Epoch{record(0), record(1)},
			Departure{Epoch: 1, First: Change{"alphas[0].name", "", `"mixed_op"`}, More: 6}, nil},
		"longer a": {[]Epoch{record(0), record(1), final(2)}, []Epoch{record(0), record(1)},
			Departure{Epoch: 2, Final: true, OnlyA: true}, nil},
		"longer b": {nil, []Epoch{record(0)},
			Departure{OnlyB: true}, nil},
		"one is final": {[]Epoch{record(0), record(1)}, []Epoch{record(0), final(1)},
			Departure{Epoch: 1, Final: true, First: Change{"training.loss", "2.3", ""}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := compare(t, recorded(t, testRun(t, 0), test.a...), recorded(t, testRun(t, 0), test.b...))
			if c.Records == nil || c.Same() {
				t.Fatal("no difference found")
			}
			if name == "one is final" {
				// Which members follow is not the point.
				c.Records.First, c.Records.More, test.want.First = Change{}, 0, Change{}
			}
			if diff := cmp.Diff(&test.want, c.Records); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if test.measures != nil {
				if diff := cmp.Diff(test.measures, c.Measures); diff != "" {
					t.Errorf("measures (-want +got):\n%s", diff)
				}
			}
			turned := compare(t, recorded(t, testRun(t, 0), test.b...), recorded(t, testRun(t, 0), test.a...)).Records
			if turned == nil || turned.Epoch != c.Records.Epoch || turned.OnlyB != c.Records.OnlyA || turned.More != c.Records.More && name != "one is final" {
				t.Errorf("turned round: %+v", turned)
			}
		})
	}
}

// TestCompareBytes: a record that only another program would write so.
func TestCompareBytes(t *testing.T) {
	a, b := recorded(t, testRun(t, 0), record(0)), recorded(t, testRun(t, 0), record(0))
	path := filepath.Join(b.Dir, epochsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"loss":2.3,`, `"loss": 2.3,`, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Departure{}, compare(t, a, b).Records); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Compare(a, b); err == nil || !strings.Contains(err.Error(), "fewer records than when it was read") {
		t.Errorf("got %v", err)
	}
}

func TestMembers(t *testing.T) {
	for text, want := range map[string][]member{
		`{"a":{"b":[1,[2.50]],"c":{}},"d":[],"e":null,"f":true}`: {{"a.b[0]", "1"}, {"a.b[1][0]", "2.50"}, {"a.c", "{}"}, {"d", "[]"}, {"e", "null"}, {"f", "true"}},
		`"<&"`: {{"", `"\u003c\u0026"`}},
	} {
		got, err := members([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(member{})); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "{", `{"a":}`, "[1", "1 2", `{"a":1}}`} {
		if got, err := members([]byte(text)); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestStandIns(t *testing.T) {
	for _, test := range []struct {
		images, table   string
		images1, table1 bool
	}{
		{CIFAR10, NASBench101, false, false}, {NoImages, NASBench101Means, false, false},
		{"procedural", NASBench101NNI, true, false}, {CIFAR10, "surrogate", false, true},
		{CIFAR100, NoTable, false, false}, {SVHN, NoTable, false, false}, {"procedural100", NoTable, true, false},
		{CIFAR100, NASBench101, true, false}, {SVHN, "surrogate", true, true},
	} {
		images, table := Provenance{Images: test.images, Table: test.table}.StandIns()
		if images != test.images1 || table != test.table1 {
			t.Errorf("%+v: %v, %v", test, images, table)
		}
	}
}
