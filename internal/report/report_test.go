package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	_ "github.com/nb1shot/nb1shot/algorithms" // fills the catalogue
	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

func ptr[T any](x T) *T { return &x }

func testProvenance() results.Provenance {
	return results.Provenance{
		Images: "procedural", ImagesDetail: "made up for a test", ImagesDigest: "aa11",
		Table: "surrogate", TableDetail: "made up for a test", TableDigest: "bb22",
		Preset: "quick", Scale: "3 cells, 8 channels", Engine: "ref", Precision: "float64", Device: "CPU of a test",
	}
}

var testConfig = map[string]any{"epochs": 4, "cells": 3, "channels": 16, "settings": map[string]any{"arch-learning-rate": 0.008}}

// The two cells that made-up runs find.
var (
	plain = results.Cell{Matrix: [][]int{{0, 1, 1}, {0, 0, 1}, {0, 0, 0}}, Operations: []string{"input", "conv3x3-bn-relu", "output"}, Hash: strings.Repeat("a", 32)}
	loose = results.Cell{
		Matrix:     [][]int{{0, 1, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
		Operations: []string{"input", "maxpool3x3", "conv1x1-bn-relu", "output"}, Hash: strings.Repeat("b", 32),
	}
)

// history makes up a finished run of four epochs. Its final test error is 6 % and
// a point for each seed, its lowest 6 %; λ doubles with each epoch from 0.1.
func history(t testing.TB, space spaces.Name, algorithm string, seed uint64) *results.History {
	t.Helper()
	return historyOf(t, space, algorithm, seed, testProvenance(), testConfig)
}

func historyOf(t testing.TB, space spaces.Name, algorithm string, seed uint64, p results.Provenance, config any) *results.History {
	t.Helper()
	run, err := results.NewRun(space, algorithm, seed, p, config)
	if err != nil {
		t.Fatal(err)
	}
	h := &results.History{Dir: "runs/" + run.Name(), Run: run, Status: results.Status{State: results.Finished}}
	const epochs = 4
	for e := range epochs + 1 {
		found := plain
		if (int(seed)+e)%2 == 1 {
			found = loose
		}
		record := results.Epoch{
			Epoch: e, Cell: found,
			Lookup:    results.Lookup{Source: "surrogate", TestError: ptr(0.06 + 0.01*float64(e)*float64(seed)/epochs)},
			Structure: &results.Structure{ParameterFree: 0.25, ParameterFreeUsed: 0.5, Width: 1, Depth: 2, Changed: ptr(1)},
		}
		if e == epochs {
			record.Final = true
		} else {
			record.Training = &results.Training{}
			record.Seconds = map[string]float64{"steps": 2, "hessian": 1}
			if algorithm == "sdarts-adv" {
				record.Seconds["steps"] = 5
			}
			if algorithm != "enas" && algorithm != "random-search" {
				record.Hessian = &results.Hessian{Reported: 0.1 * math.Pow(2, float64(e)), Definition: "made up"}
				record.Projection = &results.Projection{Gap: 0.05}
			}
		}
		h.Epochs = append(h.Epochs, record)
	}
	return h
}

// histories are seeds 0 and 1 of algorithms on two spaces.
func histories(t testing.TB, algorithms ...string) []*results.History {
	var runs []*results.History
	for _, space := range []spaces.Name{"1", "2"} {
		for _, a := range algorithms {
			for seed := range uint64(2) {
				runs = append(runs, history(t, space, a, seed))
			}
		}
	}
	return runs
}

// runLandscape makes up the landscape of a run.
func runLandscape(run results.Run) results.RunLandscape {
	l := results.RunLandscape{Run: run.Name(), Provenance: run.Provenance, Landscape: results.Landscape{
		Space: run.Space, Moved: results.MovedAlphas, Images: 100,
		Directions: [][]float64{{1, 0}, {0, 1}}, Coordinates: []float64{-1, 0, 1},
		Accuracy: [][]float64{{0.1, 0.2, 0.1}, {0.2, 0.5, 0.3}, {0.1, 0.3, 0.2}}, Loss: [][]float64{{2, 2, 2}, {2, 1, 2}, {2, 2, 2}},
		Sharpness: results.Sharpness{Radius: 1, Points: 32, AccuracyDrop: 0.25, LossRise: 1},
	}}
	return l
}

func testInput(t testing.TB) Input {
	runs := histories(t, "darts", "sdarts-adv", "enas")
	anchors, err := stability.Anchors(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	return Input{Runs: runs, Landscapes: []results.RunLandscape{runLandscape(runs[0].Run), runLandscape(runs[2].Run)}, Anchors: anchors, Program: "a test"}
}

// folder lists the files of a folder with their contents.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "report")
	in := testInput(t)
	calls := 0
	in.Progress = func(done, total int) {
		if calls++; done != calls || total != 6 {
			t.Errorf("progress %d of %d at call %d", done, total, calls)
		}
	}
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	first := folder(t, dir)
	var want []string
	for _, figure := range []string{"landscape-contours", "landscape-surface", "test-error-baselines", "hessian-smoothdarts", "cells-space1", "cells-space2"} {
		want = append(want, figure+".png", figure+".svg", figure+".pdf")
	}
	for _, table := range []string{"final-error", "errors-space1", "errors-space2", "stability-space1", "stability-space2", "structure-space1", "structure-space2", "time-space1", "time-space2", "seeds", "claims"} {
		want = append(want, table+".csv", table+".tex")
	}
	want = append(want, Page, sealFile)
	slices.Sort(want)
	var got []string
	for name := range first {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if calls != 6 {
		t.Errorf("%d calls of Progress, want 6", calls)
	}

	// Again, in another order: the same, and nothing left beside it.
	slices.Reverse(in.Runs)
	slices.Reverse(in.Landscapes)
	in.Progress = nil
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, folder(t, dir)); diff != "" {
		t.Error("a second report of the same runs differs")
	}
	// Of fewer runs: what is not made any more is gone. Through a link.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), link, Input{Runs: histories(t, "enas")}); err != nil {
		t.Fatal(err)
	}
	if files := folder(t, dir); files["hessian-smoothdarts.svg"] != "" || files["test-error-baselines.svg"] == "" {
		t.Error("the second report still has the first one's figures")
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v", err)
	}
	if beside, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(beside) != 1 {
		t.Errorf("beside the report: %v, %v", beside, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of the folder: %v, %v", info.Mode(), err)
	}
}

func TestWriteRefuses(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report")
	in := Input{Runs: histories(t, "enas")}
	if err := Write(t.Context(), report, in); err != nil {
		t.Fatal(err)
	}
	unchanged := folder(t, report)
	set := func(name, text string) {
		if err := os.WriteFile(filepath.Join(report, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		file, text string
	}{
		"another file":      {"notes.txt", "mine"},
		"an edited table":   {"seeds.tex", "mine"},
		"another list":      {sealFile, `{"format": "something else"}`},
		"a list of nothing": {sealFile, `{"format": "nb1shot report 1"}`},
		"no list":           {sealFile, "{"},
	} {
		set(test.file, test.text)
		before := folder(t, report)
		var foreign *ForeignError
		if err := Write(t.Context(), report, in); !errors.As(err, &foreign) || foreign.Dir != report {
			t.Errorf("%s: error %v, want a ForeignError", name, err)
		}
		if diff := cmp.Diff(before, folder(t, report)); diff != "" {
			t.Errorf("%s: something was touched", name)
		}
		if original, ok := unchanged[test.file]; ok {
			set(test.file, original)
		} else if err := os.Remove(filepath.Join(report, test.file)); err != nil {
			t.Fatal(err)
		}
	}
	// What is missing is made again.
	if err := os.Remove(filepath.Join(report, "seeds.csv")); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), report, in); err != nil {
		t.Error(err)
	}

	file := filepath.Join(report, "seeds.csv", "below")
	if err := Write(t.Context(), file, in); err == nil {
		t.Error("wrote below a file")
	}
	if err := Write(t.Context(), filepath.Join(report, "seeds.csv"), in); err == nil {
		t.Error("replaced a file")
	}
	t.Chdir(t.TempDir())
	if err := Write(t.Context(), ".", in); err == nil || !strings.Contains(err.Error(), "current folder") {
		t.Errorf("error %v", err)
	}
}

// Nothing appears when a report fails or is interrupted.
func TestWriteFails(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := histories(t, "darts")
	broken[0].Epochs[4].Cell.Operations = []string{"input", "conv7x7", "output"}
	other := testProvenance()
	other.TableDigest = "cc33"
	// In families that no figure shows together.
	mixed := append(histories(t, "darts", "gdas", "nasp", "enas", "sdarts-rs", "sdarts-adv"), historyOf(t, "1", "pc-darts-rs", 0, other, testConfig))
	darts := history(t, "1", "darts", 0)
	elsewhere := runLandscape(darts.Run)
	elsewhere.Provenance = other
	unlike := runLandscape(history(t, "2", "darts", 0).Run)
	unlike.Images = 7
	invalid := runLandscape(darts.Run)
	invalid.Accuracy = nil
	landscape := runLandscape(darts.Run)
	for name, test := range map[string]struct {
		ctx   context.Context
		in    Input
		mixed string // field of a MixedError
	}{
		"interrupted":             {canceled, Input{Runs: []*results.History{darts}}, ""},
		"no runs":                 {t.Context(), Input{Landscapes: []results.RunLandscape{landscape}}, ""},
		"the same run twice":      {t.Context(), Input{Runs: []*results.History{darts, darts}}, ""},
		"a cell that is none":     {t.Context(), Input{Runs: broken}, ""},
		"two tables":              {t.Context(), Input{Runs: mixed}, "table_digest"},
		"a landscape of another":  {t.Context(), Input{Runs: []*results.History{darts}, Landscapes: []results.RunLandscape{elsewhere}}, "table_digest"},
		"a landscape twice":       {t.Context(), Input{Runs: []*results.History{darts}, Landscapes: []results.RunLandscape{landscape, landscape}}, ""},
		"landscapes of two kinds": {t.Context(), Input{Runs: []*results.History{darts}, Landscapes: []results.RunLandscape{landscape, unlike}}, "landscape.images"},
		"a landscape of nothing":  {t.Context(), Input{Runs: []*results.History{darts}, Landscapes: []results.RunLandscape{invalid}}, ""},
	} {
		root := t.TempDir()
		err := Write(test.ctx, filepath.Join(root, "report"), test.in)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		var m *results.MixedError
		if errors.As(err, &m) != (test.mixed != "") || m != nil && m.Field != test.mixed {
			t.Errorf("%s: error %v, want a MixedError of %q", name, err, test.mixed)
		}
		if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
			t.Errorf("%s: left behind %v, %v", name, entries, err)
		}
	}
}

// If the new report cannot take the place, the old one comes back.
func TestPutBack(t *testing.T) {
	root := t.TempDir()
	place, from := filepath.Join(root, "report"), filepath.Join(root, "new")
	for _, dir := range []string{place, from} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(place, "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := put(filepath.Join(root, "nothing"), place); err == nil {
		t.Error("put nothing in place")
	}
	if files := folder(t, place); len(files) != 1 {
		t.Errorf("the place holds %v", files)
	}
	if err := put(from, place); err != nil {
		t.Fatal(err)
	}
	if files := folder(t, place); len(files) != 0 {
		t.Errorf("the place holds %v", files)
	}
}

// names returns what a folder holds.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What a killed report has left goes with the next one, and the report before it is
// never lost.
func TestAbandoned(t *testing.T) {
	in := testInput(t)
	root := t.TempDir()
	place, before := filepath.Join(root, "report"), filepath.Join(root, ".report.before")
	if err := Write(t.Context(), place, in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(root, ".report-123", "half"), 0o755), os.Rename(place, before)); err != nil {
		t.Fatal(err)
	}
	if found, err := findPlace(place); err != nil || found != place {
		t.Fatalf("%s, %v", found, err)
	}
	if got := names(t, root); !slices.Equal(got, []string{".report-123", "report"}) {
		t.Errorf("there is %v, want the report before", got)
	}
	if err := os.CopyFS(before, os.DirFS(place)); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), place, in); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); !slices.Equal(got, []string{"report"}) {
		t.Errorf("there is %v, want the report alone", got)
	}
	if err := errors.Join(os.Mkdir(before, 0o755), os.WriteFile(filepath.Join(before, "mine"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	var foreign *ForeignError
	if err := Write(t.Context(), place, in); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
}

// The numbers of the tables, worked out by hand from what history makes up: final
// errors 6 and 7 %, best 6 and 6 %.
func TestTables(t *testing.T) {
	in := testInput(t)
	s, err := newStudy(in)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]table{}
	for _, table := range s.tables() {
		tables[table.name] = table
	}
	texts := func(table, algorithm string) string {
		for _, r := range tables[table].rows {
			if r.name == algorithm {
				var all []string
				for i, c := range tables[table].columns {
					all = append(all, r.text(i, c))
				}
				return strings.Join(all, " | ")
			}
		}
		return "no row"
	}
	for _, test := range []struct{ table, algorithm, want string }{
		{"final-error", "DARTS", "6.50 ± 0.71 | 6.50 ± 0.71"},
		{"errors-space1", "DARTS", "2 | 6.50 ± 0.71 | 6.00 ± 0.00 | 0.50 ± 0.71 | 1.05 ± 0.71 | 6.25 ± 0.35 | 0 ± 0"},
		{"stability-space1", "DARTS", "2 | 0.100 ± 0.000 | 0.800 ± 0.000 | 8.00 ± 0.00 | 4 ± 0 | 5.0 ± 0.0"},
		{"stability-space1", "ENAS", "2 | – | – | – | 4 ± 0 | –"},
		{"structure-space2", "ENAS", "2 | 25 ± 0 | 50 ± 0 | 1.0 ± 0.0 | 2.0 ± 0.0"},
		{"time-space1", "SDARTS-ADV", "2 | 6.00 ± 0.00 | 5.00 ± 0.00 | 2.50 | 2.00 | 16"},
		{"time-space1", "ENAS", "2 | 3.00 ± 0.00 | 2.00 ± 0.00 | 1.00 | 1.31 | 10.5"},
		{"seeds", "ENAS", "0, 1 | 0, 1"},
	} {
		if got := texts(test.table, test.algorithm); got != test.want {
			t.Errorf("%s, %s: %s, want %s", test.table, test.algorithm, got, test.want)
		}
	}

	records, err := csv.NewReader(strings.NewReader(tables["final-error"].csv())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"algorithm", "space1_final_error_mean", "space1_final_error_std", "space1_final_error_n"}; !slices.Equal(records[0][:4], want) {
		t.Errorf("header %q", records[0])
	}
	var mean, std float64
	if _, err := fmt.Sscan(records[1][1]+" "+records[1][2], &mean, &std); err != nil || math.Abs(mean-0.065) > 1e-12 || math.Abs(std-0.01/math.Sqrt2) > 1e-12 || records[1][3] != "2" {
		t.Errorf("DARTS: %q, %v", records[1], err)
	}
	if got := tables["stability-space1"].csv(); !strings.Contains(got, "ENAS,2,,,0,,,0,,,0,4,0,2,,,0\n") {
		t.Errorf("what is missing is not empty: %s", got)
	}
}

// Whatever the records of others hold, page and tables show it as text.
func TestForeignText(t *testing.T) {
	foreign := "=a\x1b[31m\u202e\u009b\xff"
	runs := histories(t, "darts", "enas")
	for _, h := range runs {
		h.Run.Provenance.ImagesDetail, h.Run.Provenance.Preset = foreign, foreign
	}
	runs[1].Status = results.Status{State: results.Failed, Message: foreign}
	dir := filepath.Join(t.TempDir(), "report")
	anchors, err := stability.Anchors(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), dir, Input{Runs: runs, Anchors: anchors, Program: foreign}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, file := range files {
		if !slices.Contains([]string{".html", ".csv", ".tex", ".svg"}, filepath.Ext(file)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := printable.Text(string(text)); got != string(text) {
			t.Errorf("%s holds what must be escaped", file)
		}
		for _, cell := range []string{"\n=", ",=", `"=`} {
			if filepath.Ext(file) == ".csv" && strings.Contains(string(text), cell) {
				t.Errorf("%s has a formula:\n%s", file, text)
			}
		}
		if strings.Contains(string(text), `u001b`) {
			shown++
		}
	}
	if shown < 3 {
		t.Errorf("%d files show the name", shown)
	}
}

// Runs that are not finished are in no mean, and are named.
func TestSeeds(t *testing.T) {
	runs := append(histories(t, "darts", "sdarts-adv"), history(t, "1", "darts", 2), history(t, "1", "darts", 3), history(t, "1", "darts", 5))
	runs[1].Status = results.Status{State: results.Failed, Message: "epoch 3: the training loss is NaN"} // DARTS, space 1, seed 1
	runs[1].Epochs = runs[1].Epochs[:3]
	runs[7].Epochs = runs[7].Epochs[:4] // SDARTS-ADV, space 2, seed 1
	runs[8].Status.State = results.Running
	s, err := newStudy(Input{Runs: runs})
	if err != nil {
		t.Fatal(err)
	}
	want := "Seeds 0–3, 5, but " +
		"seed 1 failed, 3 epochs (epoch 3: the training loss is NaN): DARTS (space 1); " +
		"seed 2 running, 4 epochs: DARTS (space 1); " +
		"seeds 2, 3, 5 missing: SDARTS-ADV (spaces 1, 2), DARTS (space 2); " +
		"seed 1 without its final record, 4 epochs: SDARTS-ADV (space 2)."
	if got := s.seedNote(s.curves); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	final := s.finalTable()
	if got := final.rows[0].text(0, final.columns[0]) + " | " + final.rows[0].text(1, final.columns[1]); got != "8.67 ± 2.52 | 6.50 ± 0.71 (n = 2)" {
		t.Errorf("DARTS: %s", got)
	}
	if got := final.rows[1].text(1, final.columns[1]); got != "6.00 (n = 1)" {
		t.Errorf("SDARTS-ADV, space 2: %s", got)
	}
	if got, err := newStudy(Input{Runs: append(histories(t, "enas"), history(t, "2", "drift", 0), history(t, "2", "drift", 1))}); err != nil ||
		got.seedNote(got.curves) != "Seeds 0, 1, but no runs: Drift (control) (space 1)." || got.seedNote(got.on("1")) != "Seeds 0, 1, none missing or failed." {
		t.Errorf("%s, %v", got.seedNote(got.curves), err)
	}
	if got, err := newStudy(Input{Runs: histories(t, "enas")}); err != nil || got.seedNote(got.curves) != "Seeds 0, 1, none missing or failed." {
		t.Errorf("%v, %v", got, err)
	}
	// Every figure and table says so.
	figures, err := s.figures()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		if !strings.Contains(f.caption.alone, "seed 1 ") && !strings.Contains(f.caption.alone, "missing") {
			t.Errorf("%s conceals missing seeds: %s", f.name, f.caption.alone)
		}
		if !strings.Contains(f.caption.alone, "Device: CPU of a test.") || !strings.Contains(f.caption.alone, "Images: procedural") {
			t.Errorf("%s conceals its provenance: %s", f.name, f.caption.alone)
		}
	}
	for _, table := range s.tables() {
		if text := table.latex(); !strings.Contains(text, "missing") {
			t.Errorf("%s conceals missing seeds", table.name)
		}
	}
}

func TestDepartures(t *testing.T) {
	paper := testProvenance()
	paper.Images, paper.Table, paper.Preset = results.CIFAR10, results.NASBench101, "paper"
	of := func(p results.Provenance, config any, seeds int) []string {
		var runs []*results.History
		for seed := range seeds {
			runs = append(runs, historyOf(t, "1", "darts", uint64(seed), p, config))
		}
		s, err := newStudy(Input{Runs: runs})
		if err != nil {
			t.Fatal(err)
		}
		return departures(s.curves, true)
	}
	asPaper := map[string]any{"cells": 9, "channels": 16, "side": 32, "images": 0, "epochs": 100, "settings": map[string]any{"arch-learning-rate": 3e-4}}
	for name, test := range map[string]struct {
		got, want []string
	}{
		"none": {of(paper, asPaper, 6), nil},
		"all": {of(testProvenance(), map[string]any{"cells": 3, "channels": 8, "side": 16, "images": 320, "epochs": 20, "settings": map[string]any{"arch-learning-rate": 0.008}}, 1), []string{
			"procedural images instead of CIFAR-10", "test errors from a stand-in for NAS-Bench-101 (surrogate)",
			"3 cells instead of 9", "8 channels instead of 16", "images of side 16 instead of 32", "320 training images instead of 50000",
			"20 epochs instead of 100", "an architecture learning rate of 0.008 instead of 0.0003", "1 seed instead of 6",
		}},
		"other programs": {of(paper, map[string]any{"cells": "many", "settings": 3}, 6), nil},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := unlikePaper(nil); strings.Contains(got, "Unlike") {
		t.Errorf("without departures: %s", got)
	}
}

// Every curve is in a figure, few enough are in each, and no two figures show
// the same.
func TestSelections(t *testing.T) {
	var names []string
	for _, e := range catalogue.All() {
		names = append(names, e.Name)
	}
	for i := range 10 {
		names = append(names, fmt.Sprintf("own-%d", i))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.Permutation(names).Draw(t, "algorithms")[:rapid.IntRange(0, len(names)).Draw(t, "number")]
		var curves []results.Curve
		for _, name := range some {
			for _, space := range spaces.Names()[:rapid.IntRange(1, 2).Draw(t, "spaces")] {
				curves = append(curves, results.Curve{Space: space, Algorithm: name})
			}
		}
		shown, figures := map[string]int{}, map[string]bool{}
		for _, s := range selections(curves) {
			inFigure := map[string]bool{}
			for _, c := range s.curves {
				inFigure[c.Algorithm] = true
				shown[fmt.Sprint(c.Algorithm, c.Space)]++
			}
			if len(inFigure) < 1 || len(inFigure) > mostCurves {
				t.Errorf("%d curves in %s", len(inFigure), s.name)
			}
			if figures[s.name] {
				t.Errorf("two figures called %s", s.name)
			}
			figures[s.name] = true
		}
		if len(shown) != len(curves) {
			t.Errorf("%d of %d curves are shown", len(shown), len(curves))
		}
	})
	// Of the paper's own algorithms, the paper's own figures.
	curves := func(names ...string) (all []results.Curve) {
		for _, n := range names {
			all = append(all, results.Curve{Algorithm: n})
		}
		return all
	}
	if s := selections(curves("darts", "sdarts-rs", "sdarts-adv")); len(s) != 1 || s[0].errors != "Figure 3" {
		t.Errorf("%+v", s)
	}
	if s := selections(curves("darts", "sdarts-rs", "drift")); len(s) != 1 || s[0].name != "all" {
		t.Errorf("%+v", s)
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{ranges(nil), "none"}, {ranges([]uint64{4}), "4"}, {ranges([]uint64{0, 1}), "0, 1"}, {ranges([]uint64{0, 1, 2, 7, 9, 10, 11}), "0–2, 7, 9–11"},
		{percent(statistic{}), "–"}, {percent(statistic{1, 0.0654321, 0}), "6.54"}, {percent(statistic{3, -0.012, 0.2}), "−1.20 ± 20.00"},
		{percent(statistic{1, -1e-9, 0}), "0.00"}, {significant(statistic{2, 0.00177, 0.00081}), "0.00177 ± 0.00081"},
		{whole(statistic{2, 0.5, math.Sqrt2 / 2}), "0.5 ± 0.7"}, {whole(statistic{3, 4, 1}), "4 ± 1"}, {whole(statistic{1, 7, 0}), "7"}, {whole(statistic{}), "–"},
		{significant(statistic{2, 1234.5, 6.7}), "1234 ± 7"}, {significant(statistic{2, 0, 0.5}), "0.00 ± 0.50"}, {significant(statistic{1, 12.345, 0}), "12.3"},
		{stacked("n", "r"), "n"}, {stacked("Epoch of the best", "r"), `\shortstack[r]{Epoch of\\the best}`},
		{escapeLaTeX(`50 % of {a_b} & $x^2 ~ \n #1 "q"`), `50 \% of \{a\_b\} \& \char36{}x\textasciicircum{}2 \textasciitilde{} \textbackslash{}n \#1 ''q''`},
		{escapeLaTeX("λ ± 2×2 – é 漢\n"), `$\lambda$ $\pm$ 2$\times$2 -- é ? `},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
	if s := summarise([]float64{1, 2, 4}); s.n != 3 || math.Abs(s.mean-7./3) > 1e-12 || math.Abs(s.std-math.Sqrt(7./3)) > 1e-12 {
		t.Errorf("%+v", s)
	}
}

// Best and typical are the lowest and the median of the final errors.
func TestCells(t *testing.T) {
	var runs []*results.History
	for seed := range uint64(4) {
		runs = append(runs, history(t, "1", "darts", seed))
	}
	s, err := newStudy(Input{Runs: runs})
	if err != nil {
		t.Fatal(err)
	}
	figures, err := s.cellFigures("1")
	if err != nil {
		t.Fatal(err)
	}
	if want := "DARTS, seed 0: best, 6.00 %: 1 conv3x3; edges input to 1, input to output, 1 to output. " +
		"DARTS, seed 1: typical, 7.00 %: 1 maxpool3x3; edges input to 1, 1 to output."; len(figures) != 1 || !strings.HasSuffix(figures[0].alt, want) {
		t.Errorf("%q, want %q", figures[0].alt, want)
	}
}

// What is there alone, or not at all, makes a report that says so.
func TestPartialReports(t *testing.T) {
	began := history(t, "1", "darts", 0)
	began.Epochs, began.Status.State = nil, results.Running
	unknown := history(t, "1", "random-search", 0)
	for i := range unknown.Epochs {
		unknown.Epochs[i].Lookup.TestError = nil
	}
	for name, test := range map[string]struct {
		runs []*results.History
		want string
	}{
		"just begun":    {[]*results.History{began}, "The anytime test error: no record has one."},
		"unknown cells": {[]*results.History{unknown}, "Cells of space 1: no finished run has one with a test error."},
		"no landscape":  {[]*results.History{history(t, "3", "drift", 0)}, "no landscape was given"},
	} {
		dir := filepath.Join(t.TempDir(), "report")
		if err := Write(t.Context(), dir, Input{Runs: test.runs}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if page := folder(t, dir)[Page]; !strings.Contains(page, test.want) {
			t.Errorf("%s: the page does not say %q", name, test.want)
		}
	}
}

// The list in a report names every other file with its digest.
func TestSeal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	if err := Write(t.Context(), dir, Input{Runs: histories(t, "enas")}); err != nil {
		t.Fatal(err)
	}
	files := folder(t, dir)
	var c contents
	if err := json.Unmarshal([]byte(files[sealFile]), &c); err != nil {
		t.Fatal(err)
	}
	if c.Format != sealFormat || len(c.Files) != len(files)-1 {
		t.Errorf("%d files listed of %d, format %q", len(c.Files), len(files), c.Format)
	}
}

// The tables compile, each by itself in a document of two packages.
func TestLaTeXCompiles(t *testing.T) {
	compiler, err := exec.LookPath("pdflatex")
	if err != nil {
		t.Skip("pdflatex is not installed: the tables are not compiled")
	}
	in := testInput(t)
	hostile := testProvenance()
	hostile.ImagesDetail = `100 % \of {my} $data_1 & #2 ~^ "quoted" <é> 漢 |`
	for i, h := range in.Runs {
		in.Runs[i] = historyOf(t, h.Run.Space, h.Run.Algorithm, h.Run.Seed, hostile, testConfig)
	}
	s, err := newStudy(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	document := "\\documentclass{article}\n\\usepackage{booktabs,graphicx,xcolor}\n\\begin{document}\n"
	for _, table := range s.tables() {
		if err := os.WriteFile(filepath.Join(dir, table.name+".tex"), []byte(table.latex()), 0o644); err != nil {
			t.Fatal(err)
		}
		document += "\\input{" + table.name + "}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "paper.tex"), []byte(document+"\\end{document}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), compiler, "-interaction=nonstopmode", "-halt-on-error", "paper.tex")
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil || strings.Contains(string(output), "Overfull") {
		t.Errorf("%v\n%s", err, output)
	}
}

// Each algorithm has one figure of alphas on each space, of its first curve that has some,
// and says for how many it stands. No caption says twice what it says.
func TestAlphaFigures(t *testing.T) {
	space, err := spaces.Get("1")
	if err != nil {
		t.Fatal(err)
	}
	var runs []*results.History
	for _, rate := range []float64{0.004, 0.008, 0.016} {
		for seed := range uint64(3) {
			config := map[string]any{"epochs": 4, "cells": 3, "channels": 16, "settings": map[string]any{"arch-learning-rate": rate}}
			h := historyOf(t, "1", "darts", seed, testProvenance(), config)
			for i := range h.Epochs {
				for _, tensor := range space.Tensors() {
					a := results.Alpha{Name: tensor.Name, Rows: space.Split(tensor, make([]float64, space.Dim()))}
					h.Epochs[i].Alphas = append(h.Epochs[i].Alphas, a)
				}
			}
			runs = append(runs, h)
		}
	}
	dir, page := written(t, Input{Runs: runs})
	files, err := filepath.Glob(filepath.Join(dir, "alphas-*.svg"))
	if err != nil || len(files) != 1 {
		t.Errorf("figures of alphas %q, %v, want one", files, err)
	}
	if want := "It stands for the 3 curves of its algorithm on this space"; !strings.Contains(page, want) {
		t.Errorf("no %q in the page", want)
	}
	captions := regexp.MustCompile(`(?s)<figcaption.*?</figcaption>`).FindAllString(page, -1)
	if len(captions) < 3 {
		t.Errorf("%d captions", len(captions))
	}
	for _, c := range captions {
		for _, phrase := range []string{"the median (the lower of two)", "the epochs", "Means over the seeds"} {
			if n := strings.Count(c, phrase); n > 1 {
				t.Errorf("%q %d times in %s", phrase, n, c)
			}
		}
	}
}

// genotypeHistory makes up a finished run of a space of DARTS that begins and ends with
// genotypes.
func genotypeHistory(t testing.TB, algorithm string, seed uint64, first, last string) *results.History {
	t.Helper()
	h := history(t, "darts-s2", algorithm, seed)
	s, err := darts.Get("darts-s2")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range map[int]string{0: first, 1: first, 2: first, 3: last, 4: last} {
		g, err := darts.ParseGenotype(text)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Architecture(g)
		if err != nil {
			t.Fatal(err)
		}
		h.Epochs[i].Cell, h.Epochs[i].Lookup, h.Epochs[i].Architecture = results.Cell{}, results.Lookup{}, &a
	}
	return h
}

// Genotypes of the DARTS spaces: the typical one is that of the median share of
// parameter-free operations, and has two cells. The page of a run shows first and last.
func TestGenotypes(t *testing.T) {
	const reduction = " | sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1"
	most := "skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1" + reduction
	some := "sep3:0 skip:1 / skip:0 skip:1 / sep3:0 skip:2 / sep3:0 sep3:4" + reduction
	none := "sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1" + reduction
	runs := []*results.History{
		genotypeHistory(t, "darts", 0, none, most), genotypeHistory(t, "darts", 1, none, some), genotypeHistory(t, "darts", 2, some, none),
		genotypeHistory(t, "sdarts-rs", 0, none, none), genotypeHistory(t, "sdarts-adv", 0, none, none),
	}
	s, err := newStudy(Input{Runs: runs})
	if err != nil {
		t.Fatal(err)
	}
	figures, err := s.cellFigures("darts-s2")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range figures {
		names = append(names, f.name)
		if _, err := f.build(plots.Page); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	if want := []string{"cells-darts-s2-1", "cells-darts-s2-2"}; !slices.Equal(names, want) {
		t.Errorf("figures %q, want %q", names, want)
	}
	if want := "DARTS, seed 1: normal cell sep3:0 skip:1 / skip:0 skip:1 / sep3:0 skip:2 / sep3:0 sep3:4; " +
		"reduction cell sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1 / sep3:0 sep3:1; parameter-free 50.0 %, width 3, depth 4."; !strings.Contains(figures[0].alt, want) {
		t.Errorf("%q, want %q in it", figures[0].alt, want)
	}
	rows, described := firstAndLast(runs[0], "DARTS")
	if len(rows) != 2 || rows[0][0].Title != "DARTS, epoch 0, seed 0, normal cell" || rows[1][1].Title != "DARTS, epoch 4, seed 0, reduction cell" {
		t.Errorf("drawn %q", described)
	}
	if absent := strings.Join(s.absent(), "\n"); strings.Contains(absent, "Cells of space") {
		t.Errorf("said to be absent:\n%s", absent)
	}
}
