package verify

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
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
		if !seen[k.name] && !testing.Short() && !slices.Contains(withoutCase, k.name) {
			t.Errorf("no case of kind %q", k.name)
		}
	}
}

// withoutCase are kinds of which there is no case, but for others of the same algorithm or
// network.
var withoutCase = []string{
	"steps of pc-darts-rs", "steps of pc-darts-rs, cells", "steps of pc-darts-adv, edges",
	"steps of p-darts-adv, cells", "steps of r-darts-l2, cells",
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
		single := c.kind.single != nil && c.kind.single.MatchString(w.leaf)
		if !w.ok() || c.kind.network != nil && w.error > 1e-11 && !single {
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
		{"forward_cnn_pcdarts_s4", regexp.MustCompile(``)},
		{"steps_cnn_sdarts_adv_s4", regexp.MustCompile(`noise|epsilon|delta`)},
		{"steps_cnn_pdarts_stage2", regexp.MustCompile(`dropout|arch_step|arch_grad_clip|primitives_reduct\[7\]`)},
		{"steps_cnn_rdarts_dp_s1", regexp.MustCompile(`drop_?path`)},
		{"steps_cnn_rdarts_l2_s2", regexp.MustCompile(`hyper`)},
		{"earlystop", regexp.MustCompile(`cases\[(0|4|9)\]`)},
		{"schedules_cnn", regexp.MustCompile(``)},
		{"pipeline_rnn", regexp.MustCompile(`batches`)},
		{"evalrnn_darts_v1_plain", regexp.MustCompile(`normal_draws|lr|clip|beta|val_data`)},
		{"steps_rnn_sdarts_rs", regexp.MustCompile(`arch_lr|weight_mask_h|delta`)},
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
// themselves, a cutout that is off has no centre, the gradient of alphas is shorter than
// its bound, and sequences stop long after they may or never.
var insensitive = regexp.MustCompile(`sdarts_rs_s2 epsilon$|augment cases\[5\]\.cutout_centre|arch_grad_clip$|earlystop cases(\[[09]\]\.es_start_epoch|\[4\]\.factor)$`)

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
		{"forward_cnn_s4", "droppath_train_logits.npy", "", "", "droppath_train_logits"},
		{"forward_cnn_s4", "manifest.json", `"droppath_train":[168,224]`, `"droppath_train":[168,223]`, "noise_calls.droppath_train"},
		{"steps_cnn_pdarts_stage2", "step2_params.folded.npy", "", "", "step2_params"},
		{"steps_cnn_darts2_s3", "manifest.json", `"skip_connect",0`, `"skip_connect",1`, "genotype_end.normal[0][1]"},
		{"earlystop", "cases.json", `"stopped_in_epoch": 26`, `"stopped_in_epoch": 25`, "cases[0].stopped_in_epoch"},
		{"schedules_cnn", "schedules.json", "0.0245", "0.02450000001", "values"},
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

// Every array of a case counts: with one wrong number in any file it fails.
func TestEveryArrayCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("computes cases many times: not in short mode")
	}
	e, err := engine.Open("ref", 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"forward_cnn_pcdarts_s1", "steps_cnn_rdarts_dp_s1", "steps_cnn_pcdarts_beta_rs", "steps_sdarts_rs_s2"} {
		dir := t.TempDir()
		copyCase(t, dir, name)
		files, err := filepath.Glob(filepath.Join(dir, name, "*.npy"))
		if err != nil || len(files) < 15 {
			t.Fatalf("%s: %d arrays, error %v", name, len(files), err)
		}
		for i, file := range files {
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := slices.Clone(whole)
			// Somewhere in the array, so that a 0 and a 1 change too.
			at := len(changed) - 8*(1+i%3)
			v := math.Float64frombits(binary.LittleEndian.Uint64(changed[at:]))
			binary.LittleEndian.PutUint64(changed[at:], math.Float64bits(v+0.37))
			if strings.HasSuffix(file, "labels.npy") {
				binary.LittleEndian.PutUint64(changed[at:], (binary.LittleEndian.Uint64(whole[at:])+1)%10)
			}
			if err := os.WriteFile(file, changed, 0o666); err != nil {
				t.Fatal(err)
			}
			if r := runCase(Folder(dir), name, e); r.Verdict != Fail {
				t.Errorf("%s with a wrong number in %s: %+v", name, filepath.Base(file), r)
			}
			if err := os.WriteFile(file, whole, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if r := runCase(Folder(dir), name, e); r.Verdict != Pass {
			t.Errorf("%s as it was: %+v", name, r)
		}
	}
}

// A folder from which something is missing, in which something is cut short or too large,
// or to which something was added does not pass; under another name it does.
func TestDamagedFolders(t *testing.T) {
	e, err := engine.Open("ref", 2)
	if err != nil {
		t.Fatal(err)
	}
	array := string(npy(header("<f8", "2,"), 1, 2))
	for _, name := range []string{"forward_cnn_s1", "schedules_cnn", "clip_rows"} {
		dir := t.TempDir()
		copyCase(t, dir, name)
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		failed := func(how string) {
			t.Helper()
			if r := runCase(Folder(dir), name, e); r.Verdict != Fail || r.Detail+r.At == "" {
				t.Errorf("%s, %s: %+v", name, how, r)
			}
		}
		for _, f := range entries {
			path := filepath.Join(dir, name, f.Name())
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			failed(f.Name() + " missing")
			for how, content := range map[string][]byte{
				"empty": {}, "cut short": whole[:len(whole)-3], "longer": append(slices.Clone(whole), "]x"...),
				"huge": npy(header("<f8", "8888888888, 88"), 1), "of another kind": []byte("GIF89a"),
			} {
				if err := os.WriteFile(path, content, 0o666); err != nil {
					t.Fatal(err)
				}
				failed(f.Name() + " " + how)
			}
			if err := os.WriteFile(path, whole, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for file, content := range map[string]string{"more.npy": array, "more.json": `{"a": 1}`, "more.txt": "", "README": ""} {
			path := filepath.Join(dir, name, file)
			if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
			failed(file + " added")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, name, "more"), 0o777); err != nil {
			t.Fatal(err)
		}
		failed("folder added")
		if err := os.Remove(filepath.Join(dir, name, "more")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "steps_gdas_s9")); err != nil {
			t.Fatal(err)
		}
		if r := runCase(Folder(dir), "steps_gdas_s9", e); r.Verdict != Pass || r.Case != "steps_gdas_s9" {
			t.Errorf("%s under another name: %+v", name, r)
		}
	}
}

// What a case is, whatever its folder is called.
func TestKindOf(t *testing.T) {
	for manifest, want := range map[string]string{
		`{"space": 2, "network": "pcdarts", "algorithm": "pcdarts_rs"}`:                              "steps of pc-darts-rs",
		`{"space": 2, "network": "darts", "algorithm": "sdarts_xyz", "init_params": 1}`:              "",
		`{"space": 1, "formula_seed": 4}`:                                                            "forward, full size",
		`{"space": "s5", "network": "darts", "formula_seed": 4}`:                                     "forward, full size, cells",
		`{"space": "s4", "network": "darts", "hyper": {"algorithm": "darts2"}}`:                      "steps of darts-2nd, cells",
		`{"space": "darts8", "network": "pcdarts_beta", "hyper": {"algorithm": "pcdarts_beta_adv"}}`: "steps of pc-darts-adv, edges",
		`{"space": "s4", "network": "darts", "hyper": {"algorithm": "nasp"}, "init_params": 1}`:      "",
		`{"space": "s9", "network": "darts", "init_params": 1}`:                                      "",
		`{"space": "rnn", "network": "search", "algorithm": "darts1"}`:                               "",
		`{"network": "cifar", "genotype_name": "DARTS_V2", "formula_seed": 3}`:                       "",
		`{"name": "clip_rows"}`: "simplex clip",
		`{"name": "quantum"}`:   "",
		`{"name": 5}`:           "",
		`{}`:                    "",
	} {
		g, err := load(writeCase(t, map[string]string{"manifest.json": manifest}))
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := kindOf(g); k.name != want || ok != (want != "") {
			t.Errorf("%s is %q, want %q", manifest, k.name, want)
		}
	}
}

// No manifest makes the program fall over before a computation begins.
func FuzzManifest(f *testing.F) {
	for _, name := range []string{"forward_cnn_s4", "steps_cnn_pdarts_stage2", "steps_darts_s1", "clip_rows"} {
		b, err := Embedded().read(name, manifestFile)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"files": {"a.npy": {"shape": [1e30, -3]}, "b.json": {"dtype": "json"}}, "space": [[1], "s1"]}`))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.folded.npy"), npy(header("<f8", "1,"), 5), 0o666); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		if err := os.WriteFile(filepath.Join(dir, manifestFile), manifest, 0o666); err != nil {
			t.Fatal(err)
		}
		g, err := load(dir)
		if err != nil {
			return
		}
		for name := range g.leaves {
			if !g.has(name) {
				t.Errorf("%q is stored and not there", name)
			}
		}
		kindOf(g)
		compare(g, newResults(), nil, func(string) float64 { return 1 })
	})
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
		for _, name := range []string{
			"forward_s1", "forward_s2", "forward_s3", "pgd_unit", "steps_darts_s1", "steps_sdarts_adv_s1", "steps_sdarts_rs_s2",
			"forward_rnn_dropout", "evalrnn_darts_v2",
			"forward_cnn_s1", "forward_cnn_s4", "forward_cnn_pcdarts_beta", "steps_cnn_sdarts_adv_s4", "steps_cnn_pdarts_stage2", "steps_cnn_rdarts_dp_s1",
		} {
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
	for _, name := range []string{"golden", "golden-cnn", "golden-rnn"} {
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
