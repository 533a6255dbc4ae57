package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// longRun is a finished run of so many epochs.
func longRun(t *testing.T, epochs int) (dir string, record []byte) {
	t.Helper()
	w, err := Create(t.TempDir(), testRun(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	write := func(e Epoch) {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	for i := range epochs {
		write(recordOf(i))
	}
	write(final(epochs))
	if _, err := w.epochs.Write(lines.Bytes()); err != nil { // without a sync for each
		t.Fatal(err)
	}
	w.count(lines.Bytes())
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return w.Dir(), lines.Bytes()
}

func recordOf(i int) Epoch {
	e := record(i)
	e.Epoch = i
	return e
}

// The beginning and the end are those that Read reads, and the middle is not
// looked at; of a short record all is.
func TestSkim(t *testing.T) {
	dir, _ := longRun(t, 5)
	h, whole, err := Skim(dir)
	if err != nil || !whole || len(h.Epochs) != 6 {
		t.Fatalf("%d epochs, whole %v, %v", len(h.Epochs), whole, err)
	}

	dir, text := longRun(t, 4000)
	all, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, epochsFile)
	middle := bytes.Clone(text)
	copy(middle[len(middle)/2:], "garbage")
	if err := os.WriteFile(path, middle, 0o644); err != nil {
		t.Fatal(err)
	}
	h, whole, err = Skim(dir)
	if err != nil || whole || h.Misfit != nil {
		t.Fatalf("whole %v, %v, %v", whole, h, err)
	}
	n := len(h.Epochs)
	if n >= len(all.Epochs)/2 || !cmp.Equal(h.Epochs[:10], all.Epochs[:10]) || !cmp.Equal(h.Epochs[n-10:], all.Epochs[len(all.Epochs)-10:]) || h.Trained() != 4000 {
		t.Errorf("%d of %d records, %d epochs", n, len(all.Epochs), h.Trained())
	}
	for name, c := range map[string]struct {
		text  []byte
		want  string // in the error
		short bool   // it does not fit, and that is all
	}{
		"cut off":          {text[:len(text)-len(text)/4], "", true},
		"torn":             {text[:len(text)-3], "", true},
		"damaged at first": {append([]byte("garbage"), text[7:]...), "epochs.jsonl:1: ", false},
		"damaged at last":  {append(bytes.Clone(text[:len(text)-9]), "garbage}\n"...), "invalid character", false},
		"a gap at the end": {append(bytes.Clone(text), mustLine(t, recordOf(9999))...), "a record follows the final one", false},
	} {
		if err := os.WriteFile(path, c.text, 0o644); err != nil {
			t.Fatal(err)
		}
		h, _, err := Skim(dir)
		var misfit *MisfitError
		if c.short && (err != nil || !errors.As(h.Misfit, &misfit)) || !c.short && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustLine(t *testing.T, e Epoch) []byte {
	t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return append(line, '\n')
}

// Time goes with the number of settings and not with its square: a
// configuration of the largest size is read, listed, grouped and compared in
// seconds.
func TestLargeConfiguration(t *testing.T) {
	config := map[string]any{"epochs": 100_000}
	for i := range 20_000 {
		config[fmt.Sprintf("setting%d", i)] = i
	}
	var runs []*History
	start := time.Now()
	for variant := range 4 {
		config["variant"] = variant
		run, err := NewRun("1", "darts", 0, testRun(t, 0).Provenance, config)
		if err != nil {
			t.Fatal(err)
		}
		settings, err := run.Settings()
		if err != nil || len(settings) != 20_002 || settings["setting19999"] != "19999" {
			t.Fatal(len(settings), err)
		}
		runs = append(runs, &History{Dir: fmt.Sprint(variant), Run: run})
	}
	curves, err := Group(runs)
	if err != nil || len(curves) != 4 || curves[0].Variant == curves[1].Variant || !strings.HasPrefix(curves[0].Variant, "variant ") {
		t.Fatal(len(curves), err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}

// Nesting has a bound, since nothing about a deep one is linear.
func TestDeepConfiguration(t *testing.T) {
	nested := func(depth int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, depth-1) + `{"b":1}` + strings.Repeat("}", depth-1))
	}
	run, err := NewRun("1", "darts", 0, testRun(t, 0).Provenance, nested(maxDepth))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := run.Settings(); err != nil || s[strings.Repeat("a.", maxDepth-1)+"b"] != "1" {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := NewRun("1", "darts", 0, testRun(t, 0).Provenance, nested(maxDepth+1)); err == nil || !strings.Contains(err.Error(), "nested deeper than 16") {
		t.Errorf("error %v", err)
	}
}

// Settings are texts without quotes, lists as they stand, an empty object nothing.
func TestSettingsOf(t *testing.T) {
	run := Run{Config: json.RawMessage(`{"a": {"b": [1, {"c": 2}], "d": "x y"}, "e": null, "f": {}, "g":1e5, "h":{"i":{"j":true}}}`)}
	got, err := run.Settings()
	if want := map[string]string{"a.b": `[1, {"c": 2}]`, "a.d": "x y", "e": "null", "g": "1e5", "h.i.j": "true"}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}
