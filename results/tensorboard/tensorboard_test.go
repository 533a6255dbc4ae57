package tensorboard

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/results"
)

var started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// history is a run of three epochs and the final record; the second epoch
// lacks what may be missing.
func history(t testing.TB) *results.History {
	t.Helper()
	run, err := results.NewRun("2", "sdarts-adv", 3, results.Provenance{
		Images: "procedural", ImagesDetail: "seed 7", ImagesDigest: "aa11",
		Table: results.NASBench101, TableDigest: "bb22",
		Preset: "quick", Scale: "3 cells", Engine: "ref", Precision: "float64",
	}, map[string]any{"epochs": 3})
	if err != nil {
		t.Fatal(err)
	}
	h := &results.History{Run: run, Status: results.Status{State: results.Finished, Started: started}}
	for i := range 4 {
		x := float64(i)
		e := results.Epoch{
			Epoch:   i,
			Cell:    results.Cell{Matrix: [][]int{{0, 1}, {0, 0}}, Operations: []string{"input", "output"}, Hash: "043721b9c7fe8c5fad811d47d83132ec"},
			Lookup:  results.Lookup{Source: "nasbench101", TestError: new(0.0625 + x/64), ValidError: new(0.125), Parameters: 2694282},
			Alphas:  []results.Alpha{{Name: "mixed_op", Rows: [][]float64{{x, -0.25, 0.5}, {0.5, 0.5, 0.75}}}, {Name: "output", Rows: [][]float64{{0.1, 0.1}}}},
			Seconds: map[string]float64{"steps": 1.5, "hessian": 0.1 + x},
		}
		if i != 1 && i != 3 {
			e.Structure = &results.Structure{ParameterFree: 0.25, Width: 1.5, Depth: 3, Changed: new(2)}
			e.Training = &results.Training{Loss: 2.25, Accuracy: 0.125, LearningRate: 0.025, Epsilon: 0.03}
			e.Search = &results.Score{Loss: 2.5, Accuracy: 0.25}
			e.Projection = &results.Projection{Relaxed: results.Score{Accuracy: 0.5}, Discrete: results.Score{Accuracy: 0.25}, Gap: 0.25, Images: 8}
			e.Hessian = &results.Hessian{Eigenvalues: []float64{-0.25, 0.001, 0.5}, Reported: 0.5, SpectralNorm: 0.5, Min: -0.25, Batch: 40, Trace: new(0.25)}
		}
		e.Final = i == 3
		h.Epochs = append(h.Epochs, e)
	}
	return h
}

func written(t testing.TB, h *results.History) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, h); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestWrite(t *testing.T) {
	h := history(t)
	events, err := Read(bytes.NewReader(written(t, h)))
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1+len(h.Epochs) {
		t.Fatalf("%d events, want one and one for each of %d records", len(events), len(h.Epochs))
	}
	if diff := cmp.Diff(Event{WallTime: 1767323045, FileVersion: "brain.Event:2"}, events[0]); diff != "" {
		t.Error(diff)
	}
	wall := 1767323045.0
	for i, e := range h.Epochs {
		event := events[i+1]
		wall += 1.6 + float64(i)
		if event.Step != int64(i) || math.Abs(event.WallTime-wall) > 1e-6 {
			t.Errorf("record %d: step %d at %v, want %d at %v", i, event.Step, event.WallTime, i, wall)
		}
		want := map[string]float32{"lookup/test_error": float32(*e.Lookup.TestError), "lookup/valid_error": 0.125, "lookup/parameters": 2694282, "seconds": float32(1.6 + float64(i))}
		histograms := map[string][]float64{"alphas/mixed_op": slices.Concat(e.Alphas[0].Rows...), "alphas/output": {0.1, 0.1}}
		if e.Hessian != nil {
			for tag, x := range map[string]float32{
				"structure/parameter_free": 0.25, "structure/parameter_free_used": 0, "structure/width": 1.5, "structure/depth": 3, "structure/changed": 2,
				"training/loss": 2.25, "training/accuracy": 0.125, "training/learning_rate": 0.025, "training/epsilon": 0.03,
				"search/loss": 2.5, "search/accuracy": 0.25,
				"projection/relaxed/accuracy": 0.5, "projection/discrete/accuracy": 0.25, "projection/gap": 0.25,
				"hessian/reported": 0.5, "hessian/spectral_norm": 0.5, "hessian/min": -0.25, "hessian/without_decay": 0, "hessian/trace": 0.25,
			} {
				want[tag] = x
			}
			histograms["hessian/eigenvalues"] = e.Hessian.Eigenvalues
		}
		got := map[string]float32{}
		for _, v := range event.Values {
			switch {
			case v.Scalar != nil:
				got[v.Tag] = *v.Scalar
			case v.Histogram != nil:
				checkHistogram(t, v.Histogram, histograms[v.Tag])
				delete(histograms, v.Tag)
			case v.Text != nil:
				if i > 0 || v.Tag != "provenance" || !strings.Contains(*v.Text, "| procedural (seed 7), **a stand-in** |") || !strings.Contains(*v.Text, "| nasbench101 |") {
					t.Errorf("record %d: text %s: %s", i, v.Tag, *v.Text)
				}
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
		if len(histograms) > 0 {
			t.Errorf("record %d lacks the histograms of %v", i, histograms)
		}
	}
}

// Text is fit to be shown, whatever a record of others holds.
func TestForeignText(t *testing.T) {
	h := history(t)
	h.Run.Provenance.ImagesDetail, h.Epochs[0].Alphas[0].Name = "a\x1b[31m\u202e", "b\x9b"
	file := written(t, h)
	for _, want := range []string{`a\u001b[31m\u202e`, `alphas/b\x9b`} {
		if !bytes.Contains(file, []byte(want)) {
			t.Errorf("the events lack %s", want)
		}
	}
}

// checkHistogram verifies that a histogram is that of the values.
func checkHistogram(t interface{ Errorf(string, ...any) }, h *Histogram, values []float64) {
	if len(values) == 0 {
		t.Errorf("a histogram of nothing: %+v", h)
		return
	}
	counts := make([]float64, len(h.Limits))
	sum := 0.0
	for _, x := range values {
		sum += x
		for i := range h.Limits {
			if x <= h.Limits[i] && (i == 0 || x > h.Limits[i-1]) {
				counts[i]++
				break
			}
		}
	}
	if !slices.Equal(counts, h.Counts) || !slices.IsSorted(h.Limits) ||
		h.Min != slices.Min(values) || h.Max != slices.Max(values) || h.Limits[len(h.Limits)-1] != h.Max ||
		h.Num != float64(len(values)) || h.Sum != sum {
		t.Errorf("histogram of %v: %+v", values, h)
	}
}

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64(), 1, 40).Draw(t, "values")
		checkHistogram(t, histogram(values), values)
	})
}

// TestBytes compares with an event that was coded by hand from event.proto,
// summary.proto, histogram.proto and tensor.proto.
func TestBytes(t *testing.T) {
	got := Event{WallTime: 2, Step: 300, Values: []Value{
		{Tag: "ab", Scalar: new(float32(0.5))},
		{Tag: "c", Histogram: &Histogram{Min: 1, Max: 2, Num: 3, Sum: 4, SumSquares: 8, Limits: []float64{2}, Counts: []float64{1}}},
		{Tag: "d", Text: new("hi")},
	}}.append(nil)
	const one, two, three, four, eight = "000000000000f03f", "0000000000000040", "0000000000000840", "0000000000001040", "0000000000002040"
	want := "09" + two + // wall_time = 1, fixed64
		"10ac02" + // step = 2, varint
		"2a6c" + // summary = 5
		"0a09" + "0a026162" + "150000003f" + // value: tag = 1, simple_value = 2
		"0a46" + "0a0163" + "2a41" + // value: tag, histo = 5
		"09" + one + "11" + two + "19" + three + "21" + four + "29" + eight + "3208" + two + "3a08" + one +
		"0a17" + "0a0164" + "4208" + "0807" + "1200" + "42026869" + // value: tag, tensor = 8: dtype, tensor_shape, string_val = 8
		"4a08" + "0a06" + "0a0474657874" // metadata = 9: plugin_data = 1: plugin_name = 1
	data, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	if want := tfrecord.Append(nil, data); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func anyEvent(t *rapid.T) Event {
	e := Event{WallTime: rapid.Float64().Draw(t, "wall"), Step: rapid.Int64().Draw(t, "step")}
	for range rapid.IntRange(0, 4).Draw(t, "values") {
		v := Value{Tag: rapid.String().Draw(t, "tag")}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			v.Scalar = new(rapid.Float32().Draw(t, "scalar"))
		case 1:
			v.Histogram = histogram(rapid.SliceOfN(rapid.Float64(), 1, 5).Draw(t, "x"))
		case 2:
			v.Text = new(rapid.String().Draw(t, "text"))
		}
		e.Values = append(e.Values, v)
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := []Event{{WallTime: rapid.Float64().Draw(t, "wall"), FileVersion: FileVersion}, anyEvent(t), anyEvent(t)}
		var file []byte
		for _, e := range events {
			file = e.append(file)
		}
		got, err := Read(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events, got); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzEvent: what can be decoded is decoded alike from what it is coded to.
func FuzzEvent(f *testing.F) {
	h := history(f)
	if err := tfrecord.Read(bytes.NewReader(written(f, h)), func(_ int64, data []byte) error {
		f.Add(bytes.Clone(data))
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEvent(data)
		if err != nil || e.FileVersion != "" {
			return
		}
		for i, v := range e.Values { // of several, the first is coded
			switch {
			case v.Scalar != nil:
				e.Values[i].Histogram, e.Values[i].Text = nil, nil
			case v.Histogram != nil:
				e.Values[i].Text = nil
			}
		}
		got, err := Read(bytes.NewReader(e.append(nil)))
		if err != nil {
			t.Fatal(err)
		}
		bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		bits32 := cmp.Comparer(func(a, b float32) bool { return a == b || a != a && b != b })
		if diff := cmp.Diff([]Event{e}, got, bits, bits32); diff != "" {
			t.Error(diff)
		}
	})
}

// appendAll continues the event file in dir with all records of a run.
func appendAll(t *testing.T, dir string, h *results.History) {
	t.Helper()
	w, err := Open(dir, h.Run, h.Status.Started)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.Epochs {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestContinue cuts the file at every third length, and flips a bit of every seventh byte: the
// file comes out as if nothing had happened.
func TestContinue(t *testing.T) {
	h := history(t)
	want := written(t, h)
	dir := t.TempDir()
	path := filepath.Join(dir, "events.out.tfevents.1767323045."+h.Run.Name())
	check := func(what string, left []byte) {
		t.Helper()
		if err := os.WriteFile(path, left, 0o666); err != nil {
			t.Fatal(err)
		}
		appendAll(t, dir, h)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: the file differs from that of Write", what)
		}
	}
	for i := 0; i <= len(want); i += 3 {
		check(fmt.Sprintf("cut at byte %d", i), want[:i])
	}
	for i := 0; i < len(want); i += 7 {
		damaged := bytes.Clone(want)
		damaged[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("flip in byte %d", i), damaged)
	}
}

func TestOpenRefuses(t *testing.T) {
	h := history(t)
	name := FileName(h.Run, started)
	version := Event{FileVersion: FileVersion}.append(nil)
	for what, test := range map[string]struct {
		name    string
		content []byte
		want    string
	}{
		"earlier start":  {"events.out.tfevents.1." + h.Run.Name(), nil, "the folder holds other events, events.out.tfevents.1."},
		"other version":  {name, Event{FileVersion: "brain.Event:1"}.append(nil), `its version is "brain.Event:1"`},
		"no version":     {name, Event{Step: 1}.append(nil), `its version is ""`},
		"gap":            {name, Event{Step: 1}.append(version), "step 1 stands where 0 is due"},
		"not an event":   {name, tfrecord.Append(nil, []byte("hello")), "not a protobuf message"},
		"cut in a field": {name, tfrecord.Append(nil, []byte{0x09, 0}), "not a protobuf message"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.name), test.content, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, h.Run, started)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			content, err := os.ReadFile(filepath.Join(dir, test.name))
			if err != nil || !bytes.Equal(content, test.content) {
				t.Errorf("the file was changed: %q, %v", content, err)
			}
		})
	}
}

func TestAppendRefusesGap(t *testing.T) {
	h := history(t)
	w, err := Open(filepath.Join(t.TempDir(), "new", "folder"), h.Run, started)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(h.Epochs[1]); err == nil || !strings.Contains(err.Error(), "epoch 1, but 0 is due") {
		t.Errorf("got %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(h.Epochs[0]); err == nil {
		t.Error("append to a closed file succeeded")
	}
	if err := w.Append(h.Epochs[0]); err == nil {
		t.Error("append after a failed one succeeded")
	}
}

func TestFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/results-commands.md", Sample: written(t, history(t)), Sealed: true, Open: true,
		Read: func(file []byte) error {
			events, err := Read(bytes.NewReader(file))
			if err == nil && len(events) == 0 {
				return errors.New("no event")
			}
			return err
		},
	})
}
