package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// files is a valid run directory in memory.
func files(t testing.TB) (config, status, epochs []byte) {
	t.Helper()
	const run = `{
  "format": 1,
  "space": 2,
  "algorithm": "sdarts-adv",
  "seed": 0,
  "provenance": {
    "images": "procedural", "images_digest": "aa11",
    "table": "surrogate", "table_digest": "bb22",
    "preset": "quick", "scale": "3 cells, 8 channels, side 8, 96+96 images",
    "engine": "ref", "precision": "float64"
  },
  "config": {
    "epochs": 2,
    "perturbation": {"steps": 7}
  },
  "config_hash": "1b6c5481d092546818995f03b1ef84a1f03def84a2e8e57a3f2c9626dd0c8e69"
}
`
	for _, e := range []Epoch{record(0), record(1), final(2)} {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		epochs = append(append(epochs, line...), '\n')
	}
	return []byte(run), []byte("{\"state\": \"finished\", \"started\": \"2026-01-02T03:04:05Z\"}\n"), epochs
}

func directory(config, status, epochs []byte) fstest.MapFS {
	return fstest.MapFS{configFile: {Data: config}, statusFile: {Data: status}, epochsFile: {Data: epochs}}
}

// Each corruption of a run directory, and what the reader makes of it.
func TestReadCorrupted(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte {
			changed := strings.Replace(string(data), old, new, 1)
			if changed == string(data) {
				t.Fatalf("%q is not in the file", old)
			}
			return []byte(changed)
		}
	}
	line := func(n int, change func([]byte) []byte) func([]byte) []byte { // 1-based
		return func(data []byte) []byte {
			lines := strings.SplitAfter(string(data), "\n")
			lines[n-1] = string(change([]byte(lines[n-1])))
			return []byte(strings.Join(lines, ""))
		}
	}
	tests := map[string]struct {
		file   string
		change func([]byte) []byte
		want   FormatError // Err aside
	}{
		"config empty":          {configFile, func([]byte) []byte { return nil }, FormatError{Line: 1}},
		"config broken":         {configFile, replace(`"seed": 0`, `"seed" 0`), FormatError{Line: 5}},
		"config member type":    {configFile, replace(`"seed": 0`, `"seed": -1`), FormatError{Line: 5, Field: "seed"}},
		"config changed":        {configFile, replace(`"epochs": 2`, `"epochs": 3`), FormatError{Field: "config_hash"}},
		"config no provenance":  {configFile, replace(`"images_digest": "aa11",`, ``), FormatError{Field: "provenance.images_digest"}},
		"config no object":      {configFile, replace(`"perturbation": {"steps": 7}`, `"perturbation": {"steps": }`), FormatError{Line: 14}},
		"config newer format":   {configFile, replace(`"format": 1`, `"format": 2`), FormatError{Field: "format"}},
		"config without format": {configFile, replace(`"format": 1,`, ``), FormatError{Field: "format"}},
		"status state":          {statusFile, replace("finished", "done"), FormatError{Field: "state"}},
		"status time":           {statusFile, replace("2026-01-02T03:04:05Z", "yesterday"), FormatError{Line: 1}},
		"status no start":       {statusFile, replace(`, "started": "2026-01-02T03:04:05Z"`, ``), FormatError{Field: "started"}},
		"line broken":           {epochsFile, line(2, replace(`"epoch":1`, `"epoch"`)), FormatError{Line: 2}},
		"line empty":            {epochsFile, line(2, func([]byte) []byte { return []byte("\n") }), FormatError{Line: 2}},
		"line missing":          {epochsFile, line(2, func([]byte) []byte { return nil }), FormatError{Line: 2, Field: "epoch"}},
		"line doubled":          {epochsFile, line(2, func(l []byte) []byte { return append(l, l...) }), FormatError{Line: 3, Field: "epoch"}},
		"line after the final":  {epochsFile, func(data []byte) []byte { return append(data, "{\"epoch\":3}\n"...) }, FormatError{Line: 4, Field: "epoch"}},
		"two lines in one":      {epochsFile, line(1, replace("\n", " ")), FormatError{Line: 1}},
		"member type":           {epochsFile, line(2, replace(`"loss":2.3`, `"loss":"2.3"`)), FormatError{Line: 2, Field: "training.loss"}},
		"member value":          {epochsFile, line(3, replace(`"hash":"0`, `"hash":"x`)), FormatError{Line: 3, Field: "cell.hash"}},
		"number too large":      {epochsFile, line(1, replace(`"reported":0.5`, `"reported":1e999`)), FormatError{Line: 1, Field: "hessian.reported"}},
		"empty record":          {epochsFile, func([]byte) []byte { return []byte("{}\n") }, FormatError{Line: 1, Field: "cell.matrix"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, status, epochs := files(t)
			fsys := directory(config, status, epochs)
			fsys[test.file].Data = test.change(fsys[test.file].Data)
			_, err := read(fsys, "run")
			var got *FormatError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			want := FormatError{Path: "run/" + test.file, Line: test.want.Line, Field: test.want.Field, Err: got.Err}
			if *got != want {
				t.Errorf("%v, want it at %s:%d in %q", got, want.Path, want.Line, want.Field)
			}
		})
	}
}

func TestReadSurvives(t *testing.T) {
	whole := func() []Epoch { return []Epoch{record(0), record(1), final(2)} }
	tests := map[string]struct {
		change   func(epochs []byte) []byte
		want     []Epoch
		warnings int
	}{
		"untouched":      {func(d []byte) []byte { return d }, whole(), 0},
		"no record":      {func([]byte) []byte { return nil }, nil, 0},
		"no line end":    {func(d []byte) []byte { return d[:len(d)-1] }, whole()[:2], 1},
		"torn line":      {func(d []byte) []byte { return d[:len(d)-100] }, whole()[:2], 1},
		"zeros appended": {func(d []byte) []byte { return append(d, 0, 0, 0) }, whole(), 1},
		"unknown member": {func(d []byte) []byte { return []byte(strings.Replace(string(d), "{", `{"new":1,`, 1)) }, whole(), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, status, epochs := files(t)
			h, err := read(directory(config, status, test.change(epochs)), "run")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, h.Epochs); diff != "" {
				t.Error(diff)
			}
			if len(h.Warnings) != test.warnings {
				t.Errorf("warnings %q, want %d", h.Warnings, test.warnings)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	if _, err := Find(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no run in") {
		t.Errorf("error %v", err)
	}
	if _, err := Find("no such folder"); err == nil {
		t.Error("found what does not exist")
	}
}

// No bytes make the reader panic, and what it accepts survives writing and
// reading again.
func FuzzRead(f *testing.F) {
	config, status, epochs := files(f)
	f.Add(config, status, epochs)
	f.Add(config, status, epochs[:len(epochs)/2])
	f.Add(config, []byte(`{"state":"running"}`), []byte("{}\n"))
	f.Add([]byte(`{"format":1,"config":null}`), status, epochs)
	f.Add([]byte("\n\n{"), status, []byte(nil))
	f.Fuzz(func(t *testing.T, config, status, epochs []byte) {
		h, err := read(directory(config, status, epochs), "run")
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v is not a FormatError", err)
			}
			return
		}
		var again []byte
		for _, e := range h.Epochs {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			again = append(append(again, line...), '\n')
		}
		second, err := read(directory(config, status, again), "run")
		if err != nil {
			t.Fatal(err)
		}
		var twice []byte
		for _, e := range second.Epochs {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			twice = append(append(twice, line...), '\n')
		}
		if string(again) != string(twice) {
			t.Errorf("%s\nbecame\n%s", again, twice)
		}
	})
}

// The examples of the format's document are true.
func TestDocumentedExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "run-directory.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	var line bytes.Buffer
	if err := json.Compact(&line, blocks[1]); err != nil {
		t.Fatal(err)
	}
	line.WriteByte('\n')
	h, err := read(directory(blocks[0], blocks[2], line.Bytes()), "example")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), h.Run.Name()) {
		t.Errorf("the name %s is not in the document", h.Run.Name())
	}
	written, err := json.Marshal(h.Epochs[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(line.String(), string(written)+"\n"); diff != "" {
		t.Error(diff)
	}
}
