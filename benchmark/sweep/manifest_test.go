package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/spaces"
)

// shared is a configuration of tests.
func shared() Shared {
	return Shared{
		Preset: "smoke", Settings: map[string]string{"epochs": "2", "gdas.clip": "4"},
		Images: &Source{"procedural", "0123456789"}, Table: Source{"surrogate", "abcdef"}, Engine: "ref32",
	}
}

// stem names configurations without making them.
func stem(space spaces.Name, algorithm string) (string, error) {
	return fmt.Sprintf("%s-%s-smoke-%08x", space.Prefix(), algorithm, 16*len(algorithm)+int(space[0]-'0')), nil
}

func grown(t *testing.T, grids ...Grid) *Manifest {
	t.Helper()
	m := &Manifest{Shared: shared()}
	for _, g := range grids {
		if _, err := m.Grow(g, stem); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestGrow(t *testing.T) {
	runs := func(m *Manifest) string {
		var list []string
		for _, u := range m.Units {
			list = append(list, fmt.Sprintf("%d:%s/%s/%d", u.Index, u.Space, u.Algorithm, u.Seed))
		}
		return strings.Join(list, " ")
	}
	base := Grid{[]spaces.Name{"1", "2"}, []string{"darts", "gdas"}, []uint64{0}}
	const units = "0:1/darts/0 1:1/gdas/0 2:2/darts/0 3:2/gdas/0"
	for name, test := range map[string]struct {
		more Grid
		want string
		asks int // units of the grid
	}{
		"the same":        {base, units, 4},
		"less":            {Grid{[]spaces.Name{"2"}, []string{"gdas"}, []uint64{0}}, units, 1},
		"a seed":          {Grid{[]spaces.Name{"2", "1"}, []string{"darts"}, []uint64{0, 7}}, units + " 4:2/darts/7 5:1/darts/7", 4},
		"an algorithm":    {Grid{[]spaces.Name{"1"}, []string{"enas", "darts"}, []uint64{0}}, units + " 4:1/enas/0", 2},
		"a space":         {Grid{[]spaces.Name{"3"}, []string{"darts"}, []uint64{0}}, units + " 4:3/darts/0", 1},
		"a seed twice":    {Grid{[]spaces.Name{"1"}, []string{"darts"}, []uint64{5, 5}}, units + " 4:1/darts/5", 1},
		"nothing of this": {Grid{}, units, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := grown(t, base)
			asked, err := m.Grow(test.more, stem)
			if got := runs(m); err != nil || got != test.want || len(asked) != test.asks {
				t.Errorf("%s, asked %v, %v; want %s, asked %d", got, asked, err, test.want, test.asks)
			}
		})
	}

	m := grown(t, base)
	failure := errors.New("no such thing")
	_, err := m.Grow(Grid{[]spaces.Name{"3"}, []string{"darts"}, []uint64{0}}, func(spaces.Name, string) (string, error) { return "", failure })
	if !errors.Is(err, failure) || runs(m) != units {
		t.Errorf("%v left %s", err, runs(m))
	}
	for _, wrong := range []string{"", "s3-darts-paper-00000000", "s3-darts-smoke-0000000", "s3-darts-smoke-00000000-seed0"} {
		if _, err := m.Grow(Grid{[]spaces.Name{"3"}, []string{"darts"}, []uint64{0}}, func(spaces.Name, string) (string, error) { return wrong, nil }); err == nil || runs(m) != units {
			t.Errorf("stem %q: %v left %s", wrong, err, runs(m))
		}
	}
}

// However a manifest grows, units keep their index and none is there twice; it
// holds what was asked for and nothing else, and a configuration is named once.
func TestGrowInAnyOrder(t *testing.T) {
	axis := func(rt *rapid.T, name string, of []int) []int {
		return rapid.SliceOfDistinct(rapid.SampledFrom(of), rapid.ID).Draw(rt, name)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := &Manifest{Shared: shared()}
		type key struct {
			space     spaces.Name
			algorithm string
			seed      uint64
		}
		want := map[key]bool{}
		named := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			var g Grid
			for _, space := range axis(rt, "spaces", []int{1, 2, 3}) {
				g.Spaces = append(g.Spaces, spaces.Name(strconv.Itoa(space)))
			}
			for _, i := range axis(rt, "algorithms", []int{0, 1, 2, 3}) {
				g.Algorithms = append(g.Algorithms, []string{"darts", "gdas", "pc-darts", "darts-2nd"}[i])
			}
			for _, s := range axis(rt, "seeds", []int{0, 1, 2, 3, 40}) {
				g.Seeds = append(g.Seeds, uint64(s))
			}
			before := slices.Clone(m.Units)
			asked, err := m.Grow(g, func(space spaces.Name, algorithm string) (string, error) {
				name, err := stem(space, algorithm)
				if named[name] {
					rt.Errorf("%s is named again", name)
				}
				named[name] = true
				return name, err
			})
			if err != nil {
				rt.Fatal(err)
			}
			for _, space := range g.Spaces {
				for _, algorithm := range g.Algorithms {
					for _, seed := range g.Seeds {
						want[key{space, algorithm, seed}] = true
					}
				}
			}
			if len(asked) != len(g.Spaces)*len(g.Algorithms)*len(g.Seeds) {
				rt.Errorf("asked for %+v, got %v", g, asked)
			}
			for _, u := range asked {
				if m.Units[u.Index] != u || !want[key{u.Space, u.Algorithm, u.Seed}] {
					rt.Errorf("asked for %v, unit %d is %v", u, u.Index, m.Units[u.Index])
				}
			}
			if !slices.Equal(m.Units[:len(before)], before) {
				rt.Errorf("units changed: %v became %v", before, m.Units)
			}
		}
		there := map[key]bool{}
		for i, u := range m.Units {
			k := key{u.Space, u.Algorithm, u.Seed}
			if there[k] || u.Index != i {
				rt.Errorf("unit %d: %v", i, u)
			}
			there[k] = true
		}
		if diff := cmp.Diff(want, there); diff != "" {
			rt.Error(diff)
		}
		data, err := m.Marshal()
		if err != nil {
			rt.Fatal(err)
		}
		again, err := Parse(data)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(m.Units, again.Units, cmpopts.EquateEmpty()); diff != "" {
			rt.Error(diff)
		}
	})
}

func TestParse(t *testing.T) {
	m := grown(t, Grid{[]spaces.Name{"1"}, []string{"darts", "gdas"}, []uint64{0}})
	data, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	whole := string(data)
	if got, err := Parse(data); err != nil || cmp.Diff(m, got) != "" {
		t.Fatalf("%v: %s", err, cmp.Diff(m, got))
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"empty":               {whole, "", "unexpected end"},
		"cut":                 {"]\n}\n", "", "unexpected end"},
		"more":                {"]\n}\n", "]\n}\n{}", "after top-level value"},
		"version":             {`"format": 1`, `"format": 2`, "format: version 2"},
		"no version":          {`"format": 1`, `"form": 1`, "format: version 0"},
		"unknown member":      {`"engine"`, `"motor"`, `unknown field "motor"`},
		"unknown unit member": {`{"index":0`, `{"x":1,"index":0`, `unknown field "x"`},
		"index":               {`"index":1`, `"index":0`, "units[1].index: is 0"},
		"space":               {`"space":1`, `"space":4`, "units[0].space: no search space"},
		"algorithm":           {`"algorithm":"darts"`, `"algorithm":"Darts"`, "units[0].algorithm"},
		"negative seed":       {`"seed":0`, `"seed":-1`, "cannot unmarshal"},
		"other seed":          {`"seed":0`, `"seed":3`, "units[0].run"},
		"path":                {"s1-darts-smoke", "../darts-smoke", "units[0].run"},
		"other preset":        {"s1-darts-smoke", "s1-darts-paper", "units[0].run"},
		"no preset":           {`"preset": "smoke"`, `"preset": ""`, "shared.preset"},
		"setting":             {`"gdas.clip"`, `"gdas."`, "shared.settings"},
		"setting of all":      {`"gdas.clip"`, `"gdas.side"`, "side applies to all"},
		"no algorithm":        {`"gdas.clip"`, `".clip"`, "shared.settings"},
		"setting's type":      {`"4"`, `4`, "cannot unmarshal"},
		"no images":           {`"0123456789"`, `""`, "shared.images"},
		"no table":            {`"surrogate"`, `""`, "shared.table"},
		"no engine":           {`"ref32"`, `""`, "shared.engine"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(whole, test.old) {
				t.Fatalf("no %s in %s", test.old, whole)
			}
			_, err := Parse([]byte(strings.Replace(whole, test.old, test.new, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	// A kind of table that had another name before is the kind that it is.
	former, err := Parse([]byte(strings.Replace(whole, `"surrogate"`, `"means-tsv"`, 1)))
	if err != nil || former.Shared.Table.Kind != "nasbench101-means" {
		t.Errorf("%+v, %v", former, err)
	}
	twice := slices.Clone(m.Units)
	twice[1] = twice[0]
	twice[1].Index = 1
	if _, err := (&Manifest{m.Shared, twice}).Marshal(); err == nil || !strings.Contains(err.Error(), "the same as units[0]") {
		t.Errorf("a unit twice: %v", err)
	}
	apart := append(slices.Clone(m.Units), Unit{2, "1", "darts", 1, "s1-darts-smoke-ffffffff-seed1"})
	if _, err := (&Manifest{m.Shared, apart}).Marshal(); err == nil || !strings.Contains(err.Error(), "units[2].run: the configuration of space 1, darts") {
		t.Errorf("two configurations of one algorithm: %v", err)
	}
}

// What is read is written as it was read, and no input is worse than an error.
func FuzzParse(f *testing.F) {
	m := &Manifest{Shared: shared()}
	if _, err := m.Grow(Grid{[]spaces.Name{"1", "3"}, []string{"darts", "pc-darts"}, []uint64{0, 1<<64 - 1}}, stem); err != nil {
		f.Fatal(err)
	}
	data, err := m.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format": 1, "shared": {"preset": "smoke", "settings": null, "table": {"kind": "a", "digest": "b"}, "engine": "cpu"}, "units": null}`))
	f.Add([]byte(`{"format": 1, "units": [{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		for i, u := range m.Units {
			if u.Index != i || filepath.Base(u.Run) != u.Run || u.Stem()+u.suffix() != u.Run {
				t.Errorf("unit %d: %+v", i, u)
			}
		}
		written, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("%v in\n%s", err, written)
		}
		rewritten, err := again.Marshal()
		if err != nil || string(rewritten) != string(written) {
			t.Errorf("%v: %s became %s", err, written, rewritten)
		}
	})
}

func TestExtend(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Shared)
		want   string // of the error, "" for none
	}{
		"nothing":                        {func(*Shared) {}, ""},
		"no images needed":               {func(s *Shared) { s.Images = nil }, ""},
		"setting of another algorithm":   {func(s *Shared) { s.Settings["enas.learning-rate"] = "0.1" }, ""},
		"setting as the preset has it":   {func(s *Shared) { s.Settings["channels"] = "8" }, ""},
		"setting written otherwise":      {func(s *Shared) { s.Settings["gdas.clip"] = "4.0" }, ""},
		"preset":                         {func(s *Shared) { s.Preset = "paper" }, "another sweep: preset is smoke there, paper here"},
		"engine":                         {func(s *Shared) { s.Engine = "cpu" }, "engine is ref32 there, cpu here"},
		"table":                          {func(s *Shared) { s.Table = Source{"nasbench101", "0000000000"} }, "table is surrogate abcdef there, nasbench101 00000000 here"},
		"images":                         {func(s *Shared) { s.Images = &Source{"cifar10", "012"} }, "images is procedural 01234567 there, cifar10 012 here"},
		"setting of all":                 {func(s *Shared) { s.Settings["epochs"] = "3" }, "another sweep: epochs is 2 there, 3 here"},
		"setting of all is the preset's": {func(s *Shared) { delete(s.Settings, "epochs") }, "epochs is 2 there, 100 here"},
		"setting of one":                 {func(s *Shared) { s.Settings["gdas.clip"] = "3" }, "another sweep: gdas: clip is 4 there, 3 here"},
		"several": {func(s *Shared) { s.Engine = "cpu"; s.Settings["clip"] = "2" },
			"another sweep: engine is ref32 there, cpu here; darts: clip is 5 there, 2 here"},
		"setting that some lack": {func(s *Shared) { s.Settings["tau-max"] = "3" }, `"tau-max": unknown setting of darts`},
	} {
		t.Run(name, func(t *testing.T) {
			m := grown(t, Grid{[]spaces.Name{"1", "2"}, []string{"darts", "gdas"}, []uint64{0}})
			other := shared()
			test.change(&other)
			err := m.Extend(other)
			var different *DifferentError
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "":
				if other.Images = shared().Images; cmp.Diff(other, m.Shared) != "" {
					t.Error(cmp.Diff(other, m.Shared))
				}
			case err == nil || !strings.Contains(err.Error(), test.want):
				t.Errorf("error %v, want one with %q", err, test.want)
			case name != "setting that some lack" && !errors.As(err, &different):
				t.Errorf("%v is no *DifferentError", err)
			default:
				if diff := cmp.Diff(shared(), m.Shared); diff != "" {
					t.Errorf("refused, but %s", diff)
				}
			}
		})
	}
	m := &Manifest{}
	if err := m.Extend(shared()); err != nil || cmp.Diff(shared(), m.Shared) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(shared(), m.Shared))
	}
	m = grown(t, Grid{[]spaces.Name{"1"}, []string{"darts"}, []uint64{0}})
	m.Shared.Images = nil
	if err := m.Extend(shared()); err != nil || m.Shared.Images == nil {
		t.Errorf("images where there were none: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "all", "runs")
	failure := errors.New("no")
	if err := Update(root, func(*Manifest) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Dir(root)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a change that failed left its folders: %v", err)
	}
	if _, err := Read(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no manifest: %v", err)
	}

	// Several at once: each adds its seeds, none is lost.
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() {
			errs[i] = Update(root, func(m *Manifest) error {
				if err := m.Extend(shared()); err != nil {
					return err
				}
				_, err := m.Grow(Grid{[]spaces.Name{"1"}, []string{"darts"}, []uint64{uint64(i), 100}}, stem)
				return err
			})
		})
	}
	group.Wait()
	m, err := Read(root)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	if seeds := m.Grid().Seeds; len(m.Units) != 9 || len(seeds) != 9 {
		t.Errorf("%d units, seeds %v", len(m.Units), seeds)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 1 {
		t.Errorf("beside the manifest: %v", entries)
	}

	// What does not change is not written, and what fails changes nothing.
	path := filepath.Join(root, File)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range []error{nil, failure} {
		err := Update(root, func(m *Manifest) error {
			if result != nil {
				m.Units = nil
			}
			return result
		})
		if !errors.Is(err, result) {
			t.Error(err)
		}
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%v: the manifest was replaced", err)
		}
	}
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	var damaged *FormatError
	if err := Update(root, func(*Manifest) error { return nil }); !errors.As(err, &damaged) || damaged.Path != path {
		t.Errorf("damaged: %v", err)
	}
}

func TestFormat(t *testing.T) {
	sample, err := grown(t, Grid{[]spaces.Name{"1", "2"}, []string{"darts", "gdas"}, []uint64{0}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	formattest.Conform(t, formattest.Format{
		Document: "docs/sweep.md", Sample: sample,
		Read: func(file []byte) error {
			_, err := Parse(file)
			return err
		},
		Version: `"format": 1`, Other: `"format": 2`, Says: []string{"version 2", "version 1"},
	})
}
