package sweep

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// The manifest keeps how networks are trained, which may be added but not changed.
func TestRetraining(t *testing.T) {
	m := grown(t, Grid{[]spaces.Name{"1"}, []string{"darts"}, []uint64{0}})
	with := func(r *Retraining) Shared {
		s := shared()
		s.Retrain = r
		return s
	}
	quick := &Retraining{Preset: "quick", Settings: map[string]string{"epochs": "3"}}
	if err := m.Extend(with(quick)); err != nil {
		t.Fatal(err)
	}
	text, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil || again.Shared.Retrain.String() != "preset quick, epochs 3" {
		t.Fatalf("%v, %v", again, err)
	}
	for _, other := range []*Retraining{nil, {Preset: "small"}, {Preset: "quick"}} {
		var different *DifferentError
		if err := m.Extend(with(other)); !errors.As(err, &different) || !strings.Contains(err.Error(), "training of networks is preset quick, epochs 3 there") {
			t.Errorf("%v: error %v", other, err)
		}
	}
	for _, bad := range []*Retraining{{}, {Preset: "../x"}, {Preset: "quick", Settings: map[string]string{"a b": "1"}}} {
		m := &Manifest{Shared: with(bad)}
		if _, err := m.Marshal(); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	for want, r := range map[string]Retraining{
		"no preset": {Preset: "huge"}, "unknown setting": {Preset: "quick", Settings: map[string]string{"epoch": "1"}},
		"halves is on": {Preset: "quick", Settings: map[string]string{"halves": "on"}},
	} {
		if _, err := r.Config(results.FormCIFAR, data.KindProcedural); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A unit is searched, then trained, and what is searched already is trained alone. One whose
// network was trained otherwise fails, and nothing is replaced.
func TestRunRetrains(t *testing.T) {
	r, units := tiny(t, "cpu")
	units = units[:1]
	search, err := r.Run(t.Context(), units)
	if err != nil || search[0].State != Finished || search[0].History.Evaluation != nil {
		t.Fatalf("%+v, %v", search, err)
	}
	r.Shared.Retrain = &Retraining{Preset: "smoke", Settings: map[string]string{"epochs": "1", "channels": "8", "images": "32", "test-images": "32"}}
	r.NetworkTrain, r.NetworkTest = data.Procedural(32, 0), data.Procedural(32, 1)
	if o := r.Inspect(units[0]); o.State != Missing || o.History == nil {
		t.Errorf("a searched unit: %+v", o)
	}
	phases := map[bool]int{}
	r.Progress = func(_ Unit, p benchmark.Progress) { phases[p.Training]++ }
	outcomes, err := r.Run(t.Context(), units)
	if err != nil {
		t.Fatal(err)
	}
	o := outcomes[0]
	if o.State != Finished || !o.Ran || o.History.Evaluation == nil || o.History.Evaluation.Seed != units[0].Seed || phases[false] > 0 || phases[true] == 0 {
		t.Fatalf("%+v, reports %v", o, phases)
	}
	m := &Manifest{Shared: r.Shared, Units: units}
	if o := m.Standing(r.Root, units[0]); o.State != Finished {
		t.Errorf("it stands as %+v", o)
	}
	again, err := r.Run(t.Context(), units)
	if err != nil || again[0].State != Finished || again[0].Ran {
		t.Errorf("again: %+v, %v", again[0], err)
	}

	path := filepath.Join(r.Root, units[0].Run, results.EvaluationFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Shared.Retrain = &Retraining{Preset: "smoke"}
	outcomes, err = r.Run(t.Context(), units)
	if err != nil || outcomes[0].State != Failed || !strings.Contains(outcomes[0].Err.Error(), "is of another training") {
		t.Errorf("trained otherwise: %+v, %v", outcomes[0], err)
	}
	m.Shared = r.Shared
	if o := m.Standing(r.Root, units[0]); o.State != Failed {
		t.Errorf("it stands as %+v", o)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the evaluation was changed, %v", err)
	}
	if bytes, err := r.Memory(units); err != nil || bytes <= 0 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
}

// A training is larger than the search where its preset is.
func TestMemoryOfTrainings(t *testing.T) {
	for _, form := range []string{results.FormCIFAR, results.FormNASBench101} {
		sizes := map[string]int64{}
		for _, preset := range []string{"paper", "quick"} {
			c, err := retrain.NewConfig(preset, form, data.KindCIFAR10)
			if err != nil {
				t.Fatal(err)
			}
			if sizes[preset], err = c.Memory(10, 4); err != nil {
				t.Fatal(err)
			}
		}
		if sizes["paper"] < 1<<30 || sizes["quick"] < 1<<20 || sizes["quick"] > 1<<28 {
			t.Errorf("%s: %v", form, sizes)
		}
	}
}
