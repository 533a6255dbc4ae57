package results

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestWriteThenRead(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		run := testRun(t, 0)
		w, err := Create(root, run)
		if err != nil {
			t.Fatal(err)
		}
		records := []Epoch{record(0), record(1), final(2)}
		for _, e := range records {
			if err := w.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		started := now()
		time.Sleep(90 * time.Second)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		got, err := Read(w.Dir())
		if err != nil {
			t.Fatal(err)
		}
		want := &History{
			Dir: filepath.Join(root, run.Name()), Run: run, Epochs: records,
			Status: Status{State: Finished, Started: started, Ended: started.Add(90 * time.Second), Process: process(), Record: &w.mark},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Every finite number comes back bit for bit.
func TestRoundTrip(t *testing.T) {
	root := t.TempDir()
	seed := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		w, err := Create(root, testRun(t, seed))
		seed++
		if err != nil {
			rt.Fatal(err)
		}
		records := []Epoch{anyRecord(rt, 0), anyRecord(rt, 1)}
		for _, e := range records {
			if err := w.Append(e); err != nil {
				rt.Fatal(err)
			}
		}
		got, err := Read(w.Dir())
		if err != nil {
			rt.Fatal(err)
		}
		bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		// JSON text is UTF-8: other bytes in a phase name do not survive.
		if diff := cmp.Diff(records, got.Epochs, bits, cmpopts.IgnoreFields(Epoch{}, "Seconds")); diff != "" {
			rt.Error(diff)
		}
	})
}

// A record that was changed after its run had ended is told, by whichever byte and
// however it is kept. A run from before there were digests is read as it is.
func TestMisfit(t *testing.T) {
	w, err := Create(t.TempDir(), testRun(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Append(record(0)), w.Append(record(1)), w.Append(final(2)), w.Finish()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.Dir(), epochsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	put := func(t testing.TB, content []byte, packed bool) {
		t.Helper()
		os.Remove(path)
		os.Remove(path + ".gz")
		if packed {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(content)
			z.Close()
			content = b.Bytes()
		}
		if err := os.WriteFile(map[bool]string{false: path, true: path + ".gz"}[packed], content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	changed := bytes.Replace(whole, []byte(`"test_error":0.0`), []byte(`"test_error":0.1`), 1)
	if bytes.Equal(changed, whole) {
		t.Fatal("nothing to change")
	}
	for name, content := range map[string][]byte{
		"a digit": changed, "no final record": bytes.Join(lines[:2], nil), "no record": {}, "a torn line": whole[:len(whole)-5],
		"a blank": bytes.Replace(whole, []byte(","), []byte(", "), 1),
	} {
		for _, packed := range []bool{false, true} {
			put(t, content, packed)
			h, err := Read(w.Dir())
			var misfit *MisfitError
			if err != nil || !errors.As(h.Misfit, &misfit) || misfit.Want != w.mark || len(h.Warnings) == 0 || h.Warnings[0] != misfit.Error() {
				t.Errorf("%s, packed %v: %+v, %v", name, packed, h, err)
			}
			if _, err := Create(filepath.Dir(w.Dir()), testRun(t, 0)); !packed && !errors.As(err, &misfit) {
				t.Errorf("%s: create: %v", name, err)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		flipped := bytes.Clone(whole)
		flipped[rapid.IntRange(0, len(whole)-1).Draw(rt, "at")] ^= rapid.ByteRange(1, 255).Draw(rt, "by")
		put(t, flipped, false)
		if h, err := Read(w.Dir()); err == nil && h.Misfit == nil {
			rt.Error("believed")
		}
	})
	for _, packed := range []bool{false, true} {
		put(t, whole, packed)
		if h, err := Read(w.Dir()); err != nil || h.Misfit != nil || h.Warnings != nil {
			t.Errorf("as it was, packed %v: %+v, %v", packed, h, err)
		}
	}
	w.status.Record = nil
	if err := writeJSON(filepath.Join(w.Dir(), statusFile), w.status); err != nil {
		t.Fatal(err)
	}
	put(t, changed, false)
	if h, err := Read(w.Dir()); err != nil || h.Misfit != nil || h.Warnings != nil {
		t.Errorf("without a digest: %+v, %v", h, err)
	}
}

// A run that is taken up again is open, and closed anew.
func TestRecordReopened(t *testing.T) {
	run := testRun(t, 0)
	w, err := Create(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	mark := func() *Mark {
		h, err := Read(w.Dir())
		if err != nil || h.Misfit != nil {
			t.Fatal(err, h)
		}
		return h.Status.Record
	}
	if mark() != nil {
		t.Error("closed at its start")
	}
	if err := errors.Join(w.Append(record(0)), w.Interrupt()); err != nil {
		t.Fatal(err)
	}
	if m := mark(); m == nil || *m != w.mark {
		t.Errorf("interrupted at %+v, closed at %+v", w.mark, m)
	}
	if w, err = Reopen(w.Dir(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rewind(Start()); err != nil {
		t.Fatal(err)
	}
	if mark() != nil {
		t.Error("closed while it goes on")
	}
	if err := errors.Join(w.Append(record(0)), w.Fail(errors.New("NaN"))); err != nil {
		t.Fatal(err)
	}
	if m := mark(); m == nil || *m != w.mark {
		t.Errorf("failed at %+v, closed at %+v", w.mark, m)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Run("unfinished", func(t *testing.T) {
		root := t.TempDir()
		w := create(t, root, 0)
		if err := w.Append(record(0)); err != nil {
			t.Fatal(err)
		}
		if err := w.Interrupt(); err != nil {
			t.Fatal(err)
		}
		_, err := Create(root, testRun(t, 0))
		var unfinished *UnfinishedError
		if !errors.As(err, &unfinished) {
			t.Fatalf("error %v, want an UnfinishedError", err)
		}
		if unfinished.Dir != w.Dir() || unfinished.Records != 1 || unfinished.Status.State != Interrupted {
			t.Errorf("%+v", unfinished)
		}
	})
	t.Run("finished", func(t *testing.T) {
		root := t.TempDir()
		w := create(t, root, 0)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		var finished *FinishedError
		if _, err := Create(root, testRun(t, 0)); !errors.As(err, &finished) || finished.Dir != w.Dir() {
			t.Fatalf("error %v, want a FinishedError of %s", err, w.Dir())
		}
		if _, err := MoveAside(w.Dir()); !errors.As(err, &finished) {
			t.Errorf("moved a finished run aside: %v", err)
		}
	})
	other, err := NewRun("2", "sdarts-adv", 0, provenance(), map[string]int{"epochs": 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]Run{"another seed": testRun(t, 1), "another configuration": other} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			w, err := Create(root, run)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Finish(), os.Rename(w.Dir(), filepath.Join(root, testRun(t, 0).Name()))); err != nil {
				t.Fatal(err)
			}
			if _, err := Create(root, testRun(t, 0)); err == nil || !strings.Contains(err.Error(), "holds another run") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("not a run", func(t *testing.T) {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, testRun(t, 0).Name()), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(root, testRun(t, 0)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("run made by hand", func(t *testing.T) {
		run := testRun(t, 0)
		run.Config = []byte(`{"epochs":3}`)
		var f *FormatError
		if _, err := Create(t.TempDir(), run); !errors.As(err, &f) || f.Field != "config_hash" {
			t.Errorf("error %v", err)
		}
	})
}

func TestCreateLeavesNothingBehind(t *testing.T) {
	root := t.TempDir()
	create(t, root, 0)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != testRun(t, 0).Name() {
		t.Errorf("the root holds %v", entries)
	}
	files, err := os.ReadDir(filepath.Join(root, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if diff := cmp.Diff([]string{"config.json", "epochs.jsonl", "status.json"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestMoveAside(t *testing.T) {
	root := t.TempDir()
	for i, want := range []string{".old-1", ".old-2"} {
		w := create(t, root, 0)
		if err := w.Fail(errors.New("loss is NaN")); err != nil {
			t.Fatal(err)
		}
		aside, err := MoveAside(w.Dir())
		if err != nil {
			t.Fatal(err)
		}
		if aside != w.Dir()+want {
			t.Errorf("move %d: %s, want %s", i, aside, w.Dir()+want)
		}
		h, err := Read(aside)
		if err != nil {
			t.Fatal(err)
		}
		if h.Status.State != Failed || h.Status.Message != "loss is NaN" {
			t.Errorf("status %+v", h.Status)
		}
	}
	if _, err := Find(root); err == nil {
		t.Error("Find found a run that was moved aside")
	}
	create(t, root, 0)
	create(t, root, 1)
	all, err := Find(root)
	if err != nil || len(all) != 2 || !strings.HasSuffix(all[0], "seed0") || !strings.HasSuffix(all[1], "seed1") {
		t.Fatalf("Find gave %v, %v", all, err)
	}
	if one, err := Find(all[1]); err != nil || len(one) != 1 || one[0] != all[1] {
		t.Errorf("Find of one run: %v, %v", one, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Epoch)
		field  string
	}{
		"NaN":               {func(e *Epoch) { e.Hessian.Eigenvalues[1] = math.NaN() }, "hessian.eigenvalues[1]"},
		"infinity":          {func(e *Epoch) { e.Training.Loss = math.Inf(1) }, "training.loss"},
		"NaN in a pointer":  {func(e *Epoch) { e.Lookup.TestError = ptr(math.NaN()) }, "lookup.test_error"},
		"NaN in alphas":     {func(e *Epoch) { e.Alphas[1].Rows[0][1] = math.NaN() }, "alphas[1].rows[0][1]"},
		"NaN in a map":      {func(e *Epoch) { e.Seconds["steps"] = math.Inf(-1) }, "seconds.steps"},
		"gap":               {func(e *Epoch) { e.Epoch = 2 }, "epoch"},
		"lower triangle":    {func(e *Epoch) { e.Cell.Matrix[1][0] = 1 }, "cell.matrix[1][0]"},
		"ragged matrix":     {func(e *Epoch) { e.Cell.Matrix[0] = []int{0} }, "cell.matrix[0]"},
		"operations":        {func(e *Epoch) { e.Cell.Operations = e.Cell.Operations[:1] }, "cell.operations"},
		"hash":              {func(e *Epoch) { e.Cell.Hash = "043721B9" }, "cell.hash"},
		"percent":           {func(e *Epoch) { e.Lookup.TestError = ptr(6.25) }, "lookup.test_error"},
		"source":            {func(e *Epoch) { e.Lookup.Source = "" }, "lookup.source"},
		"unsorted spectrum": {func(e *Epoch) { e.Hessian.Eigenvalues[0] = 1 }, "hessian.eigenvalues"},
		"one batch spread":  {func(e *Epoch) { e.Hessian.Spread = &Spread{Batches: []float64{1}, Mean: 1} }, "hessian.spread.batches"},
		"spread":            {func(e *Epoch) { e.Hessian.Spread = NewSpread([]float64{1, 2}); e.Hessian.Spread.Mean = 1 }, "hessian.spread"},
		"spectral norm":     {func(e *Epoch) { e.Hessian.SpectralNorm = 0.25 }, "hessian.spectral_norm"},
		"smallest":          {func(e *Epoch) { e.Hessian.Min = 0 }, "hessian.min"},
		"trained final":     {func(e *Epoch) { e.Final = true }, "training"},
		"nameless tensor":   {func(e *Epoch) { e.Alphas[0].Name = "" }, "alphas[0]"},
	}
	w := create(t, t.TempDir(), 0)
	if err := w.Append(record(0)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, w)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := record(1)
			test.change(&e)
			err := w.Append(e)
			var f *FormatError
			if !errors.As(err, &f) || f.Field != test.field {
				t.Fatalf("error %v, want a FormatError of %s", err, test.field)
			}
			if name != "gap" && !strings.Contains(err.Error(), "epoch 1 ") {
				t.Errorf("%q does not name the epoch", err)
			}
			if !bytes.Equal(contents(t, w), before) {
				t.Error("the file was touched")
			}
		})
	}
	for _, e := range []Epoch{record(1), final(2)} { // a refused record does not end the run
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Append(record(3)); err == nil {
		t.Error("a record after the final one was taken")
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(record(3)); err == nil {
		t.Error("a record after the end was taken")
	}
	if err := w.Interrupt(); err == nil {
		t.Error("a run ended twice")
	}
}

// A failed write must be the last thing in the file.
func TestAppendAfterWriteError(t *testing.T) {
	w := create(t, t.TempDir(), 0)
	readOnly, err := os.Open(filepath.Join(w.Dir(), epochsFile))
	if err != nil {
		t.Fatal(err)
	}
	w.epochs.Close()
	w.epochs = readOnly
	first := w.Append(record(0))
	if first == nil {
		t.Fatal("wrote to a read-only file")
	}
	if again := w.Append(record(0)); again != first {
		t.Errorf("%v, want the first error again", again)
	}
	if err := w.Fail(first); err != nil {
		t.Fatal(err)
	}
}

func TestCanonical(t *testing.T) {
	write := func(seconds float64) []byte {
		w := create(t, t.TempDir(), 0)
		for _, e := range []Epoch{record(0), final(1)} {
			e.Seconds = map[string]float64{"steps": seconds, `,"seconds":{`: 1}
			e.Lookup.Source = `,"seconds":{`
			if err := w.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		return contents(t, w)
	}
	a, b := write(1), write(2)
	if bytes.Equal(a, b) {
		t.Fatal("the wall times were not written")
	}
	if diff := cmp.Diff(string(Canonical(a)), string(Canonical(b))); diff != "" {
		t.Error(diff)
	}
	for line := range bytes.Lines(Canonical(a)) {
		var e Epoch
		if err := decode("", 1, line, &e); err != nil {
			t.Fatal(err)
		}
		if err := e.Check(); err != nil {
			t.Error(err)
		}
		if e.Seconds != nil || len(e.Alphas) != 2 {
			t.Errorf("canonical line %s", line)
		}
	}
}

func create(t *testing.T, root string, seed uint64) *Writer {
	t.Helper()
	w, err := Create(root, testRun(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.epochs != nil {
			w.epochs.Close()
		}
	})
	return w
}

func contents(t *testing.T, w *Writer) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.Dir(), epochsFile))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A reopened run goes on after a mark as if nothing had come behind it.
func TestReopen(t *testing.T) {
	root, run := t.TempDir(), testRun(t, 0)
	w, err := Create(root, run)
	if err != nil {
		t.Fatal(err)
	}
	marks := []Mark{w.Mark()}
	if marks[0] != Start() {
		t.Errorf("mark %v of a new run, want %v", marks[0], Start())
	}
	for e := range 2 {
		if err := w.Append(record(e)); err != nil {
			t.Fatal(err)
		}
		marks = append(marks, w.Mark())
	}
	var locked *LockedError
	if _, err := Reopen(w.Dir(), run); !errors.As(err, &locked) || locked.Status.Process != process() {
		t.Errorf("a run at work: %v, want a *LockedError that names the process", err)
	}
	if _, err := MoveAside(w.Dir()); !errors.As(err, &locked) {
		t.Errorf("moving a run at work: %v, want a *LockedError", err)
	}
	if err := w.Interrupt(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.Dir(), epochsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves behind.
	if err := os.WriteFile(filepath.Join(w.Dir(), ".status.json.123"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, `{"epoch":2`...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Reopen(w.Dir(), testRun(t, 1)); err == nil {
		t.Error("another run was reopened")
	}
	for n, mark := range marks {
		w, err := Reopen(w.Dir(), run)
		if err != nil {
			t.Fatal(err)
		}
		other := mark
		other.SHA256 = strings.Repeat("0", 64)
		beyond := mark
		beyond.Bytes = int64(len(whole)) + 100
		for _, wrong := range []Mark{other, beyond, {Bytes: -1}} {
			if _, err := w.Rewind(wrong); !errors.Is(err, ErrMark) {
				t.Errorf("mark %v: error %v, want ErrMark", wrong, err)
			}
		}
		kept, err := w.Rewind(mark)
		if err != nil || len(kept) != n || w.Mark() != mark {
			t.Fatalf("%d records and mark %v after rewinding to %v: %v", len(kept), w.Mark(), mark, err)
		}
		if h, err := Read(w.Dir()); err != nil || len(h.Epochs) != n || len(h.Warnings) > 0 || h.Status.State != Running {
			t.Fatalf("%+v, %v", h, err)
		}
		for e := n; e < 2; e++ {
			if err := w.Append(record(e)); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("after mark %d the record is\n%s\nwant\n%s", n, again, whole)
		}
		if err := w.Close(); err != nil { // as a killed process does
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.Dir(), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	last, err := Reopen(w.Dir(), run)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := last.Rewind(marks[2]); err != nil {
		t.Fatal(err)
	}
	if err := last.Finish(); err != nil {
		t.Fatal(err)
	}
	var finished *FinishedError
	if _, err := Reopen(w.Dir(), run); !errors.As(err, &finished) {
		t.Errorf("a finished run: %v, want a *FinishedError", err)
	}
}

// A run goes on only on the table that it was begun on, by the content of its file
// where that is known of both.
func TestReopenOnAnotherTable(t *testing.T) {
	on := func(content string) Run {
		p := provenance()
		p.TableContent = content
		run, err := NewRun("2", "darts", 0, p, map[string]any{"epochs": 2})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	for _, c := range []struct {
		begun, here string
		refused     bool
	}{
		{"aa11", "aa11", false}, {"aa11", "bb22", true}, {"", "bb22", false}, {"aa11", "", false},
	} {
		root := t.TempDir()
		w, err := Create(root, on(c.begun))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Interrupt(); err != nil {
			t.Fatal(err)
		}
		before, _ := Read(w.Dir())
		again, err := Reopen(w.Dir(), on(c.here))
		if err == nil {
			again.Close()
		}
		if refused := err != nil && strings.Contains(err.Error(), "another table of the same source"); refused != c.refused || err != nil && !refused {
			t.Errorf("begun on %q, continued on %q: %v", c.begun, c.here, err)
		}
		if after, err := Read(w.Dir()); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("the run was changed: %v", err)
		}
	}
}
