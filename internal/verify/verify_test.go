package verify

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/engine"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	goldens "github.com/nb1shot/nb1shot/internal/golden"
)

// computed is an embedded case, computed once in float64.
type computed struct {
	kind    kind
	golden  *golden
	results *findings
	err     error
}

var computeAll = sync.OnceValues(func() (map[string]computed, error) {
	e, err := engine.Open("ref", 2)
	if err != nil {
		return nil, err
	}
	names, err := Embedded().cases()
	if err != nil {
		return nil, err
	}
	all := map[string]computed{}
	for _, name := range names {
		if testing.Short() && strings.HasPrefix(name, "big_") {
			continue // the full size takes half of the package's time
		}
		c := computed{}
		var ok bool
		if c.golden, c.err = loadGolden(Embedded(), name); c.err == nil {
			if c.kind, ok = kindOf(c.golden); !ok {
				c.err = errors.New("no check")
			} else {
				c.results, c.err = c.kind.compute(c.golden, e)
			}
		}
		all[name] = c
	}
	return all, nil
})

func eachCase(t *testing.T, check func(t *testing.T, c computed)) {
	all, err := computeAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, c := range all {
		seen[c.kind.name] = true
		t.Run(name, func(t *testing.T) {
			if c.err != nil {
				t.Fatal(c.err)
			}
			check(t, c)
		})
	}
	for _, k := range kinds {
		if !seen[k.name] && !testing.Short() && k.name != "steps of pc-darts-rs" {
			t.Errorf("no case of kind %q", k.name)
		}
	}
}

// readCase reads an embedded case and tells its kind.
func readCase(t *testing.T, name string) (*golden, kind) {
	t.Helper()
	g, err := loadGolden(Embedded(), name)
	if err != nil {
		t.Fatal(err)
	}
	k, ok := kindOf(g)
	if !ok {
		t.Fatalf("no check for %s", name)
	}
	return g, k
}

// Every embedded case agrees, and far better than it must.
func TestGolden(t *testing.T) {
	eachCase(t, func(t *testing.T, c computed) {
		w := worst(c.kind.compare(c.golden, c.results, "float64"))
		if !w.ok() || c.kind.network != nil && w.error > 1e-11 {
			t.Errorf("%s is off by %.3g: %s", w.leaf, w.error, w.note)
		}
	})
}

// Any one number off by a little more than the tolerance, any one text changed,
// any list shortened, and any expectation not computed is found, everywhere.
func TestCorruptionIsFound(t *testing.T) {
	eachCase(t, func(t *testing.T, c computed) {
		expected := c.kind.compare(c.golden, c.results, "float64")
		if len(expected) < 7 {
			t.Errorf("only %d expectations", len(expected))
		}
		for i, d := range expected {
			want := c.golden.leaves[d.leaf]
			found := func(how string, corrupt leaf, r *findings) {
				corrupt.folded, corrupt.shape = want.folded, want.shape
				g := &golden{leaves: map[string]leaf{d.leaf: corrupt}}
				got := c.kind.compare(g, r, "float64")
				if len(got) != 1 || got[0].ok() {
					t.Errorf("%s, %s: not found", d.leaf, how)
				}
			}
			found("not computed", want, newResults())
			if n := len(want.numbers); n > 0 {
				off := slices.Clone(want.numbers)
				scale := max(math.Abs(slices.Max(off)), math.Abs(slices.Min(off)), c.results.scales[d.leaf])
				if scale == 0 {
					scale = 1
				}
				off[i%n] += 2 * d.tolerance * scale
				found("a number off", leaf{numbers: off}, c.results)
				off[i%n] = math.NaN()
				found("not a number", leaf{numbers: off}, c.results)
				found("a number missing", leaf{numbers: off[:n-1]}, c.results)
				found("text instead", leaf{texts: []string{"x"}}, c.results)
			}
			if n := len(want.texts); n > 0 {
				off := slices.Clone(want.texts)
				off[i%n] += "x"
				found("a text off", leaf{texts: off}, c.results)
				found("a text missing", leaf{texts: off[:n-1]}, c.results)
			}
		}
	})
}

// The computations depend on every input they are said to have.
func TestInputsMatter(t *testing.T) {
	e, err := engine.Open("ref", 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		only *regexp.Regexp
	}{
		{"forward_s2", regexp.MustCompile(``)},
		{"steps_darts_clip_s3", regexp.MustCompile(``)},
		{"steps_sdarts_adv_s1", regexp.MustCompile(`epsilon|pgd|delta`)},
		{"steps_sdarts_rs_s2", regexp.MustCompile(`epsilon|delta`)},
		{"augment", regexp.MustCompile(`cases\[[25]\]|raw`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			original, k := readCase(t, tt.name)
			if _, err := k.compute(original, e); err != nil {
				t.Fatal(err)
			}
			for name := range original.inputs {
				if !tt.only.MatchString(name) || insensitive.MatchString(tt.name+" "+name) {
					continue
				}
				g, _ := readCase(t, tt.name)
				corrupt(g, name)
				r, err := k.compute(g, e)
				if err == nil && worst(k.compare(g, r, "float64")).ok() {
					t.Errorf("input %s does not matter", name)
				}
			}
		})
	}
}

// insensitive are inputs that their case really does not depend on: the
// recorded runs renormalise every draw, so ε shows only in the draws
// themselves, and a cutout that is off has no centre.
var insensitive = regexp.MustCompile(`sdarts_rs_s2 epsilon$|cases\[5\]\.cutout_centre`)

// corrupt shrinks the numbers of a leaf, of which those that are 0 become 1, or
// changes its first text.
func corrupt(g *golden, name string) {
	l := g.leaves[name]
	if l.texts != nil {
		l.texts[0] += "x"
	}
	for i, v := range l.numbers {
		if l.numbers[i] = 0.8 * v; v == 0 {
			l.numbers[i] = 1
		}
	}
}

// copyCase copies an embedded case into dir.
func copyCase(t *testing.T, dir, name string) {
	t.Helper()
	files, err := fs.Sub(goldens.FS(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, name), files); err != nil {
		t.Fatal(err)
	}
}

// Files that were tampered with fail the run, one case of each kind.
func TestRunOnTamperedFiles(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		old, new   string // in the file; for arrays a bit of its last number is turned
		at         string // named in the result
	}{
		{"forward_s2", "discrete_train_logits.npy", "", "", "discrete_train_logits"},
		{"steps_darts_s1", "step1_adam_v.npy", "", "", "step1_adam_v"},
		{"steps_sdarts_rs_s2", "step2_alphas_perturbed.npy", "", "", "step2_alphas_perturbed"},
		{"steps_sdarts_adv_s1", "manifest.json", `"pgd_rolled_back":false`, `"pgd_rolled_back":true`, "pgd_rolled_back"},
		{"pgd_unit", "runs.json", `"rolled_back": true`, `"rolled_back": false`, "rolled_back"},
		{"clip_rows", "cases.json", `"output": [0.0, 1.0]`, `"output": [1e-11, 1.0]`, "cases.rows[0].output"},
		{"schedules", "schedules.json", "0.0327", "0.03270000001", "schedules.epsilon_alpha"},
		{"augment", "output_chw.npy", "", "", "output_chw"},
		{"derive_s1", "cases.json", `"hash": "4`, `"hash": "5`, "hash"},
		{"nb101_hash", "cases.json", `"valid": false`, `"valid": true`, "valid"},
		{"enumeration", "counts.json", `"unique_hashes": 55854`, `"unique_hashes": 55855`, "counts.3.unique_hashes"},
		{"tfrecord_synthetic", "expected.json", `"test_accuracy": 0.8784993886947632`, `"test_accuracy": 0.9784993886947632`, "test_accuracy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			copyCase(t, dir, tt.name)
			path := filepath.Join(dir, tt.name, tt.file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if tt.old == "" {
				b[len(b)-2] ^= 0x08 // in the exponent or the top of the fraction
			} else {
				changed := strings.Replace(string(b), tt.old, tt.new, 1)
				if changed == string(b) {
					t.Fatalf("%q is not in %s", tt.old, tt.file)
				}
				b = []byte(changed)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			all, err := Run(context.Background(), Folder(dir), "ref", 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := all[0]
			if len(all) != 1 || r.Verdict != Fail || Passed(all) || !strings.Contains(r.At, tt.at) || !(r.Error > r.Tolerance) {
				t.Errorf("got %+v", all)
			}
		})
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	copyCase(t, dir, "clip_rows")
	copyCase(t, dir, "schedules")
	for name, manifest := range map[string]string{"forward_s1": "", "quantum_s1": `{"name": "quantum_s1", "space": "q"}`} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if manifest == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name, "manifest.json"), []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var reported []Result
	all, err := Run(context.Background(), Folder(dir), "ref", 1, func(r Result) { reported = append(reported, r) })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, r.Case+": "+r.Verdict.String())
	}
	want := []string{"clip_rows: pass", "forward_s1: FAIL", "quantum_s1: not checked", "schedules: pass"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(all, reported); diff != "" {
		t.Error(diff)
	}
	if Passed(all) || Passed(all[2:3]) || Passed(nil) || !Passed(all[:1]) {
		t.Error("Passed is wrong")
	}
	if all[0].Compared < 127 || all[1].Detail == "" {
		t.Errorf("got %+v", all)
	}
}

func TestRunErrors(t *testing.T) {
	ctx := context.Background()
	if _, err := Run(ctx, Folder(t.TempDir()), "ref", 1, nil); !errors.Is(err, ErrNoCases) {
		t.Errorf("empty directory: got error %v", err)
	}
	if _, err := Run(ctx, Folder(filepath.Join(t.TempDir(), "none")), "ref", 1, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: got error %v", err)
	}
	if _, err := Run(ctx, Embedded(), "abacus", 1, nil); err == nil {
		t.Error("an engine that does not exist was opened")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if all, err := Run(cancelled, Embedded(), "ref", 1, nil); !errors.Is(err, context.Canceled) || len(all) != 0 {
		t.Errorf("cancelled: got error %v and %d results", err, len(all))
	}
}

// Single precision passes at its own tolerances, which are wider only where
// float64 itself reacts to rounding; an error beyond them is still found.
func TestSinglePrecision(t *testing.T) {
	for _, engineName := range []string{"ref32", "cpu"} {
		e, err := engine.Open(engineName, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"forward_s1", "forward_s2", "forward_s3", "pgd_unit", "steps_darts_s1", "steps_sdarts_adv_s1", "steps_sdarts_rs_s2"} {
			t.Run(engineName+"/"+name, func(t *testing.T) {
				g, k := readCase(t, name)
				all, err := k.run(g, e)
				if err != nil {
					t.Fatal(err)
				}
				if w := worst(all); !w.ok() || w.error < 1e-9 {
					t.Errorf("%s is off by %.3g, tolerance %.3g", w.leaf, w.error, w.tolerance)
				}
			})
		}
	}
}

// shared is where whole golden data lie, where they are at hand.
func shared(t *testing.T) (sources []Source) {
	t.Helper()
	dir := os.Getenv("NB1SHOT_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	for _, name := range []string{"golden", "golden-cnn"} {
		s := Folder(filepath.Join(dir, name))
		if _, err := s.cases(); err != nil {
			t.Skipf("no shared golden data, set NB1SHOT_SHARED to their folder: %v", err)
		}
		sources = append(sources, s)
	}
	return sources
}

// The embedded cases are those that Pack makes of the whole ones.
func TestEmbeddedIsPacked(t *testing.T) {
	var packed bytes.Buffer
	if err := Pack(&packed, io.Discard, shared(t)...); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, f := range r.File {
		want[f.Name] = true
		a, err := fs.ReadFile(r, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := fs.ReadFile(goldens.FS(), f.Name); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is packed and differs in the program, error %v; run go generate ./internal/golden", f.Name, err)
		}
	}
	err = fs.WalkDir(goldens.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !want[name] {
			t.Errorf("%s is in the program and was not packed; run go generate ./internal/golden", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What a case is does not depend on the name of its folder, and every case of the whole
// golden data is of the kind that the embedded one is.
func TestKindsOfSharedCases(t *testing.T) {
	for _, source := range shared(t) {
		names, err := source.cases()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			whole, err := loadGolden(source, name)
			if err != nil {
				t.Fatal(err)
			}
			k, ok := kindOf(whole)
			embedded, err := loadGolden(Embedded(), name)
			if ok != (err == nil) {
				t.Errorf("%s: checked %v, embedded with error %v", name, ok, err)
			}
			if !ok || err != nil {
				continue
			}
			if other, _ := kindOf(embedded); other.name != k.name {
				t.Errorf("%s is %q, embedded %q", name, k.name, other.name)
			}
			whole.name = "another"
			if other, _ := kindOf(whole); other.name != k.name {
				t.Errorf("%s in another folder is %q, not %q", name, other.name, k.name)
			}
		}
	}
}
