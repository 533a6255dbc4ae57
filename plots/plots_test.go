package plots

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

func provenance() results.Provenance {
	return results.Provenance{
		Images: "procedural", ImagesDetail: "192 images of seed 7", ImagesDigest: "aa11",
		Table: "surrogate", TableDetail: "additive fit", TableDigest: "bb22",
		Preset: "quick", Scale: "3 cells, 8 channels, side 8, 96+96 images, architecture learning rate 8e-3",
		Engine: "ref", Precision: "float64",
	}
}

// history makes up a finished run: an algorithm that collapses to 16 % with a
// rising λ, or one that stays near 6.5 %, with noise of its own.
func history(t testing.TB, space spaces.Name, algorithm string, seed uint64, epochs int, config any) *results.History {
	t.Helper()
	run, err := results.NewRun(space, algorithm, seed, provenance(), config)
	if err != nil {
		t.Fatal(err)
	}
	noise := random.New(seed, run.Name())
	collapse := algorithm == "darts" || algorithm == "gdas"
	h := &results.History{Dir: "runs/" + run.Name(), Run: run, Status: results.Status{State: results.Finished}}
	for e := range epochs + 1 {
		x := float64(e) / float64(max(epochs, 1))
		fail := 0.065 + 0.04*math.Exp(-8*x) + 0.002*noise.NormFloat64()
		lambda := 0.02 * math.Exp(1.5*x+0.2*noise.NormFloat64())
		if collapse {
			rise := 1 / (1 + math.Exp(-25*(x-0.45-0.03*float64(seed))))
			fail += 0.095 * rise
			lambda *= 1 + 60*rise
		}
		record := results.Epoch{Epoch: e, Lookup: results.Lookup{Source: "surrogate", TestError: &fail}}
		if e < epochs {
			record.Training = &results.Training{}
			record.Hessian = &results.Hessian{Eigenvalues: []float64{lambda}, Reported: lambda, Definition: "abs(max eigenvalue), 96 search images, 1e-3 on the diagonal"}
		}
		record.Final = e == epochs
		h.Epochs = append(h.Epochs, record)
	}
	return h
}

func group(t testing.TB, runs ...*results.History) []results.Curve {
	t.Helper()
	curves, err := results.Group(runs)
	if err != nil {
		t.Fatal(err)
	}
	return curves
}

// cases are the shapes of data that a figure must stand.
func cases(t testing.TB) map[string][]results.Curve {
	many := func(number, seeds, epochs int, algorithms ...string) []*results.History {
		var runs []*results.History
		for _, space := range spaces.Names()[:number] {
			for _, a := range algorithms {
				for seed := range seeds {
					runs = append(runs, history(t, space, a, uint64(seed), epochs, map[string]int{"epochs": epochs}))
				}
			}
		}
		return runs
	}
	set := func(runs []*results.History, change func(e *results.Epoch)) []*results.History {
		for _, h := range runs {
			for i := range h.Epochs {
				change(&h.Epochs[i])
			}
		}
		return runs
	}
	four := []string{"darts", "sdarts-rs", "sdarts-adv", "pc-darts"}

	interrupted := many(2, 3, 50, "darts", "sdarts-rs")
	interrupted[4].Epochs = interrupted[4].Epochs[:21]
	interrupted[4].Status.State = results.Interrupted

	noHessian := many(1, 2, 50, "darts", "enas")
	for _, h := range noHessian {
		if h.Run.Algorithm == "enas" {
			set([]*results.History{h}, func(e *results.Epoch) { e.Hessian = nil })
		}
	}

	holes := set(many(1, 2, 30, "darts"), func(e *results.Epoch) {
		if e.Epoch%10 == 7 || e.Epoch == 9 {
			e.Lookup.TestError, e.Hessian = nil, nil
		}
	})

	var long []*results.History
	for i, steps := range []int{1, 7} {
		config := map[string]any{
			"epochs": 50,
			"perturbation": map[string]any{
				"steps": steps, "random_start": i == 0, "batch_norm": strings.Repeat("statistics_of_the_search_batch_", i+1), "projection": "simplex",
			},
		}
		long = append(long, history(t, "1", "sdarts-adv", 0, 50, config), history(t, "2", "sdarts-adv", 0, 50, config))
	}

	equal := set(many(3, 2, 20, four...), func(e *results.Epoch) {
		x, floor := 0.07, 0.001
		e.Lookup.TestError = &x
		if e.Hessian != nil {
			e.Hessian.Reported = floor
		}
	})

	wild := set(many(1, 3, 20, "darts"), func(e *results.Epoch) {
		if e.Hessian != nil {
			e.Hessian.Reported = math.Pow(10, float64(2*e.Epoch)-5)
		}
	})

	return map[string][]results.Curve{
		"one":         group(t, many(1, 1, 100, "sdarts-adv")...),
		"paper":       group(t, many(3, 3, 100, four...)...),
		"seven":       group(t, many(1, 2, 60, "darts", "sdarts-rs", "sdarts-adv", "pc-darts", "gdas", "nasp", "enas")...),
		"one-epoch":   group(t, many(2, 3, 1, "darts", "sdarts-rs")...),
		"equal":       group(t, equal...),
		"twelve":      group(t, many(3, 2, 50, "darts", "sdarts-rs", "sdarts-adv", "pc-darts", "gdas", "nasp", "enas", "pc-darts-rs", "pc-darts-adv", "random-search", "darts-es", "r-darts-l2")...),
		"interrupted": group(t, interrupted...),
		"no-hessian":  group(t, noHessian...),
		"holes":       group(t, holes...),
		"long-names":  group(t, long...),
		"wild":        group(t, wild...),
	}
}

var figures = map[string]func([]results.Curve, Options) (*Figure, error){"error": AnytimeTestError, "hessian": HessianTrajectory}

// Every case draws in every format; go test -artifacts keeps the files.
func TestSave(t *testing.T) {
	dir := t.ArtifactDir()
	for name, curves := range cases(t) {
		for kind, draw := range figures {
			for width, suffix := range map[Width]string{Page: "", Column: "-column"} {
				if width == Column && !slices.Contains([]string{"paper", "one", "long-names", "seven"}, name) {
					continue // they differ from the page in nothing else
				}
				f, err := draw(curves, Options{Width: width})
				if err != nil {
					t.Fatalf("%s %s: %v", name, kind, err)
				}
				paths, err := f.Save(filepath.Join(dir, name+"-"+kind+suffix))
				if err != nil {
					t.Fatal(err)
				}
				if len(paths) != 3 {
					t.Errorf("saved %q", paths)
				}
				data, err := os.ReadFile(paths[0])
				if err != nil {
					t.Fatal(err)
				}
				size, err := png.DecodeConfig(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				if want := map[Width]int{Page: 2007, Column: 1003}[width]; size.Width < want || size.Width > want+1 {
					t.Errorf("%s is %d dots wide, want %d", paths[0], size.Width, want)
				}
			}
		}
	}
}

// texts are the text elements of the figure as SVG.
func texts(t *testing.T, f *Figure) []string {
	t.Helper()
	svg, err := f.encode("svg")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?s)<text[^>]*>([^<]*)</text>`).FindAllSubmatch(svg, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

func TestContent(t *testing.T) {
	tests := map[string]struct {
		figure  string
		curves  string
		want    []string // text elements
		lacking []string
		notes   string // in the joined text
	}{
		"one algorithm": {"error", "one",
			[]string{"Space 1", "SDARTS-ADV", "after the last epoch", "Surrogate test error (%)", "Epochs of training"},
			[]string{"Space 2"},
			"One seed. Images: procedural (192 images of seed 7), not CIFAR-10. Table: surrogate (additive fit), not NAS-Bench-101. Preset quick: 3 cells, 8 channels"},
		"four algorithms": {"error", "paper",
			[]string{"Space 1", "Space 2", "Space 3", "DARTS", "SDARTS-RS", "SDARTS-ADV", "PC-DARTS", "8", "16", "100"},
			[]string{"the others"}, "Means over the seeds, with bands of ± one standard deviation. Seeds: 3."},
		"eigenvalue": {"hessian", "paper",
			[]string{"Dominant Hessian eigenvalue λ", "0.1", "10"},
			[]string{"after the last epoch", "Surrogate test error (%)"},
			"Geometric means over the seeds, with bands divided and multiplied by the geometric standard deviation. Seeds: 3. λ: abs(max eigenvalue)"},
		"fewer seeds": {"error", "interrupted",
			[]string{"DARTS", "SDARTS-RS"},
			[]string{"Space 3"},
			"Seeds: DARTS 3, SDARTS-RS 2–3. Images: procedural (192 images of seed 7), not CIFAR-10. Table: surrogate (additive fit), not NAS-Bench-101. Preset quick: 3 cells, 8 channels, side 8, 96+96 images, architecture learning rate 8e-3. Engine: ref, float64. Incomplete: SDARTS-RS, space 1 (seed 1 interrupted, 21 epochs)."},
		"algorithm without Hessian": {"hessian", "no-hessian",
			[]string{"DARTS"}, []string{"ENAS"}, "No λ recorded: ENAS."},
		"many decades":      {"hessian", "wild", []string{"1e+06"}, []string{"0.001"}, ""},
		"twelve algorithms": {"error", "twelve", []string{"the others", "Space 3", "PC-DARTS-ADV", "DARTS-ES", "(table)"}, nil, ""},
		"seven algorithms":  {"error", "seven", []string{"the algorithm of the panel", "the others", "SDARTS-ADV", "NASP", "ENAS"}, []string{"Space 1"}, ""},
		"variants":          {"error", "long-names", nil, nil, "perturbation.random_start true, perturbation.steps 1"},
	}
	all := cases(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := figures[test.figure](all[test.curves], Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := texts(t, f)
			for _, want := range test.want {
				if !slices.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			for _, lacking := range test.lacking {
				if slices.Contains(got, lacking) {
					t.Errorf("%q in %q", lacking, got)
				}
			}
			if !strings.Contains(strings.Join(got, " "), test.notes) {
				t.Errorf("no %q in %q", test.notes, got)
			}
		})
	}
}

// Real images and the real table carry no warning.
func TestGenuineProvenance(t *testing.T) {
	h := history(t, "1", "darts", 0, 3, struct{}{})
	h.Run.Provenance.Images, h.Run.Provenance.Table = results.CIFAR10, results.NASBench101
	f, err := AnytimeTestError(group(t, h), Options{Width: Column})
	if err != nil {
		t.Fatal(err)
	}
	got := texts(t, f)
	if !slices.Contains(got, "Test error (%)") {
		t.Errorf("no plain label in %q", got)
	}
	if joined := strings.Join(got, " "); strings.Contains(joined, ", not ") || !strings.Contains(joined, "Images: CIFAR-10 (") {
		t.Errorf("notes %q", got)
	}
}

// A band needs two seeds.
func TestBand(t *testing.T) {
	for seeds, want := range map[int]bool{1: false, 2: true} {
		var runs []*results.History
		for seed := range seeds {
			runs = append(runs, history(t, "1", "darts", uint64(seed), 5, struct{}{}))
		}
		f, err := HessianTrajectory(group(t, runs...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		svg, err := f.encode("svg")
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(svg, []byte("fill-opacity")); got != want {
			t.Errorf("%d seeds: band %v", seeds, got)
		}
	}
}

// The final evaluation is a mark at x = number of epochs, off the line.
func TestFinalMark(t *testing.T) {
	point := func(epoch int, final bool, x float64) results.Point {
		return results.Point{Epoch: epoch, Final: final, Low: x, Middle: x, High: x, Seeds: 1}
	}
	points := []results.Point{point(0, false, 0.2), point(1, false, 0.4), point(2, true, 0.6)}
	if _, lines := drawn(drawLine, series{points: points}); len(lines) != 1 || len(lines[0]) != 2 || lines[0][1].Pos != (vg.Point{X: 25, Y: 40}) {
		t.Errorf("lines %v", lines)
	}
	_, outlines := drawn(drawFinal, series{points: points})
	if len(outlines) == 0 {
		t.Fatal("no mark")
	}
	if right := outlines[len(outlines)-1][0].Pos; right != (vg.Point{X: 50 + markRadius, Y: 60}) {
		t.Errorf("the right corner of the mark is at %v", right)
	}
}

// drawn draws a layer of a series on a canvas of 100 by 100 points, with axes from 0
// to 4 and 0 to 1, and returns its fills and strokes.
func drawn(layer func(canvas.Canvas, *plot.Plot, series), s series) (fills, strokes []vg.Path) {
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 4, 0, 1
	r := new(recorder.Canvas)
	layer(canvas.Canvas{Canvas: r, Rectangle: vg.Rectangle{Max: vg.Point{X: 100, Y: 100}}}, p, s)
	for _, action := range r.Actions {
		switch action := action.(type) {
		case *recorder.Fill:
			fills = append(fills, action.Path)
		case *recorder.Stroke:
			strokes = append(strokes, action.Path)
		}
	}
	return fills, strokes
}

// Where the seeds agree a band is as thin as a line, and goes on; where there is one
// seed alone it ends.
func TestBandWhereSeedsAgree(t *testing.T) {
	s := series{points: []results.Point{
		{Epoch: 0, Low: 0.2, Middle: 0.3, High: 0.4, Seeds: 2}, {Epoch: 1, Low: 0.5, Middle: 0.5, High: 0.5, Seeds: 2},
		{Epoch: 2, Low: 0.6, Middle: 0.7, High: 0.8, Seeds: 2}, {Epoch: 3, Low: 0.6, Middle: 0.6, High: 0.6, Seeds: 1},
	}}
	fills, strokes := drawn(drawBand, s)
	if len(fills) != 1 || len(strokes) != 0 {
		t.Fatalf("%d areas and %d lines, want one area", len(fills), len(strokes))
	}
	var got []vg.Point
	for _, c := range fills[0] {
		if c.Type == vg.MoveComp || c.Type == vg.LineComp {
			got = append(got, vg.Point{X: vg.Length(math.Round(float64(c.Pos.X))), Y: vg.Length(math.Round(float64(c.Pos.Y)))})
		}
	}
	want := []vg.Point{{X: 0, Y: 40}, {X: 25, Y: 50}, {X: 50, Y: 80}, {X: 50, Y: 60}, {X: 25, Y: 50}, {X: 0, Y: 20}}
	if !slices.Equal(got, want) {
		t.Errorf("outline %v, want %v", got, want)
	}
}

// The band of λ is that of its logarithm: of 0.01 and 1 it lies between, and far
// from 0.
func TestEigenvalueBand(t *testing.T) {
	var runs []*results.History
	for seed, λ := range []float64{0.01, 1} {
		h := history(t, "1", "darts", uint64(seed), 3, struct{}{})
		for i := range h.Epochs[:3] {
			h.Epochs[i].Hessian.Reported = λ
		}
		runs = append(runs, h)
	}
	q := quantity{of: results.Eigenvalue, scale: func(_ spaces.Name, x float64) float64 { return x }, statistic: results.Geometric, atTheEnd: true}
	points := q.trajectory(group(t, runs...)[0])
	if len(points) != 3 || points[0].Epoch != 1 || points[2].Epoch != 3 {
		t.Fatalf("points %+v, want λ after 1 to 3 epochs of training", points)
	}
	spread := math.Exp(math.Log(100) / math.Sqrt2)
	if p := points[0]; math.Abs(p.Middle-0.1) > 1e-12 || math.Abs(p.Low-0.1/spread) > 1e-12 || math.Abs(p.High-0.1*spread) > 1e-12 {
		t.Errorf("%+v, want 0.1 divided and multiplied by %v", p, spread)
	}
}

// Values without logarithm are left out of λ's figure, and counted.
func TestNoLogarithm(t *testing.T) {
	h := history(t, "1", "darts", 0, 5, struct{}{})
	h.Epochs[1].Hessian.Reported, h.Epochs[3].Hessian.Reported = 0, -0.5
	for _, median := range []bool{false, true} {
		f, err := HessianTrajectory(group(t, h), Options{Median: median})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(texts(t, f), " "); !strings.Contains(got, "Left out, as they have no logarithm: 2 values") {
			t.Errorf("no note in %q", got)
		}
	}
}

// A test error stands at the epochs of training behind its cell.
func TestEpochsOfTraining(t *testing.T) {
	for evaluate, want := range map[string][]int{"before": {0, 1, 2, 3}, "after": {1, 2, 3, 3}} {
		h := history(t, "1", "enas", 0, 3, map[string]string{"evaluate": evaluate})
		q := quantity{of: results.TestError, scale: func(_ spaces.Name, x float64) float64 { return x }}
		var got []int
		for _, p := range q.trajectory(group(t, h)[0]) {
			got = append(got, p.Epoch)
		}
		if !slices.Equal(got, want) {
			t.Errorf("evaluated %s: at %v, want %v", evaluate, got, want)
		}
	}
}

// What the options change.
func TestOptions(t *testing.T) {
	var runs []*results.History
	for _, a := range []string{"darts", "sdarts-rs", "gdas"} {
		for seed := range 3 {
			runs = append(runs, history(t, "1", a, uint64(seed), 20, struct{}{}))
		}
	}
	for _, h := range runs {
		for i := range h.Epochs {
			if hessian := h.Epochs[i].Hessian; hessian != nil {
				hessian.SpectralNorm = 1000 * hessian.Reported
			}
		}
	}
	curves := group(t, runs...)
	tests := map[string]struct {
		figure        string
		o             Options
		want, lacking []string
		notes         string
	}{
		"median":        {"error", Options{Median: true}, nil, nil, "Medians over the seeds, with bands between the quartiles. Seeds: 3."},
		"median of λ":   {"hessian", Options{Median: true}, nil, nil, "Medians over the seeds, with bands between the quartiles. Seeds: 3."},
		"seeds":         {"error", Options{SeedLines: true}, nil, nil, "Faint lines: single seeds."},
		"spectral norm": {"hessian", Options{SpectralNorm: true}, []string{"Spectral norm of the Hessian", "100"}, []string{"Dominant Hessian eigenvalue λ", "0.1"}, "Spectral norm: largest absolute eigenvalue"},
		"regret": {"error", Options{Regret: map[spaces.Name]Anchor{"1": {TestError: 0.05, Source: "made up"}}}, []string{"Surrogate test regret (points)", "2", "10"}, []string{"16"},
			"Regret: test error above 5.00 % in space 1 (made up)."},
		"random":     {"error", Options{Random: map[spaces.Name]float64{"1": 0.096861}}, []string{"random architecture, expected"}, nil, "Expected test error of a uniformly random architecture: 9.69 % in space 1."},
		"algorithms": {"error", Options{Algorithms: []string{"gdas", "darts", "nasp"}}, []string{"GDAS", "DARTS"}, []string{"SDARTS-RS"}, "Seeds: 3."},
		"no caption": {"error", Options{NoCaption: true}, []string{"DARTS", "Space 1"}, nil, "Epochs of training"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := figures[test.figure](curves, test.o)
			if err != nil {
				t.Fatal(err)
			}
			got := texts(t, f)
			for _, want := range test.want {
				if !slices.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			for _, lacking := range test.lacking {
				if slices.Contains(got, lacking) {
					t.Errorf("%q in %q", lacking, got)
				}
			}
			joined := strings.Join(got, " ")
			if !strings.Contains(joined, test.notes) || test.o.NoCaption == strings.Contains(joined, "Images: ") {
				t.Errorf("no %q in %q", test.notes, got)
			}
		})
	}
	if f, err := AnytimeTestError(curves, Options{Algorithms: []string{"gdas", "darts"}, Width: Column}); err != nil {
		t.Error(err)
	} else if got := texts(t, f); f.width != 85*vg.Millimeter {
		t.Errorf("a column is %v wide: %q", f.width, got)
	}
	if _, err := AnytimeTestError(curves, Options{Algorithms: []string{"nasp"}}); err == nil {
		t.Error("drew an algorithm that is not there")
	}
	if _, err := AnytimeTestError(curves, Options{Regret: map[spaces.Name]Anchor{"2": {}}}); err == nil || !strings.Contains(err.Error(), "space 1") {
		t.Errorf("regrets of a space without anchor: %v", err)
	}
	plain, err := AnytimeTestError(curves, Options{})
	if err != nil {
		t.Fatal(err)
	}
	seeds, err := AnytimeTestError(curves, Options{SeedLines: true})
	if err != nil {
		t.Fatal(err)
	}
	count := func(f *Figure) int {
		svg, err := f.SVG()
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(svg, []byte("<path"))
	}
	if got := count(seeds) - count(plain); got != 9 {
		t.Errorf("%d more lines for 9 seeds", got)
	}
}

// The order of --algos is that of legends and panels, and leaves the colours.
func TestOrder(t *testing.T) {
	o := Options{Algorithms: []string{"enas", "darts"}}
	got := slices.SortedFunc(slices.Values(o.choose(curves("darts", "nasp", "enas"))), o.compare)
	if len(got) != 2 || got[0].Algorithm != "enas" || got[1].Algorithm != "darts" {
		t.Errorf("%v", got)
	}
}

// Labels do not overlap, keep their order, stay inside where there is room, and
// where they are wanted if they can.
func TestPlaceLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "labels")
		want, heights := make([]float64, n), make([]float64, n)
		for i := range n {
			want[i] = rapid.Float64Range(-20, 120).Draw(t, "want")
			heights[i] = rapid.Float64Range(5, 16).Draw(t, "height")
		}
		slices.Sort(want)
		at := placeLabels(want, heights, 0, 100)
		for i := range at {
			if at[i]-heights[i]/2 < -1e-9 || at[i]+heights[i]/2 > 100+1e-9 {
				t.Errorf("label %d at %v, %v high, leaves 0 to 100", i, at[i], heights[i])
			}
			if i > 0 && at[i]-heights[i]/2 < at[i-1]+heights[i-1]/2-1e-9 {
				t.Errorf("labels %d and %d overlap: %v, %v high", i-1, i, at, heights)
			}
		}
		apart := want[0] >= heights[0]/2 && want[n-1] <= 100-heights[n-1]/2
		for i := range n - 1 {
			apart = apart && want[i+1]-want[i] >= (heights[i]+heights[i+1])/2
		}
		for i := range at {
			if apart && math.Abs(at[i]-want[i]) > 1e-9 {
				t.Errorf("at %v, wanted %v, where there is room", at, want)
			}
		}
	})
}

func TestStretches(t *testing.T) {
	point := func(epoch, seeds int) results.Point { return results.Point{Epoch: epoch, Seeds: seeds} }
	points := []results.Point{point(0, 2), point(1, 2), point(3, 1), point(4, 2), point(5, 2), {Epoch: 6, Final: true, Seeds: 2}}
	lengths := func(stretches [][]results.Point) (n []int) {
		for _, s := range stretches {
			n = append(n, len(s))
		}
		return n
	}
	if got := lengths(stretches(points, func(results.Point) bool { return true })); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("line in stretches of %v", got)
	}
	if got := lengths(stretches(points, func(p results.Point) bool { return p.Seeds > 1 })); !slices.Equal(got, []int{2, 2}) {
		t.Errorf("band in stretches of %v", got)
	}
}

// What the notes say of runs that are shorter and of several engines.
func TestNotes(t *testing.T) {
	runs := []*results.History{history(t, "1", "darts", 0, 9, struct{}{}), history(t, "1", "darts", 1, 9, struct{}{})}
	runs[1].Epochs = runs[1].Epochs[:4]
	p := provenance()
	p.Engine, p.Precision = "cpu", "float32"
	run, err := results.NewRun("1", "nasp", 2, p, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	runs = append(runs, &results.History{Run: run, Status: results.Status{State: results.Running}})
	curves := group(t, runs...)
	if got, want := incompleteNote(curves), "Incomplete: DARTS, space 1 (seed 1 finished, 4 epochs), NASP, space 1 (seed 2 running, 0 epochs)."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for range 20 { // the order must not depend on a map's
		if got, want := ProvenanceNote(curves), "Engine: cpu, float32; ref, float64."; !strings.HasSuffix(got, want) {
			t.Fatalf("%q, want %q at the end", got, want)
		}
	}
}

// The same curves give the same bytes, in any order of the runs.
func TestDeterminism(t *testing.T) {
	runs := []*results.History{
		history(t, "2", "darts", 0, 20, struct{}{}), history(t, "2", "darts", 1, 20, struct{}{}),
		history(t, "1", "sdarts-rs", 0, 20, struct{}{}), history(t, "1", "my-search", 0, 20, struct{}{}),
	}
	for kind, draw := range figures {
		for _, format := range []string{"png", "svg", "pdf"} {
			var first []byte
			for range 3 {
				slices.Reverse(runs)
				f, err := draw(group(t, runs...), Options{})
				if err != nil {
					t.Fatal(err)
				}
				data, err := f.encode(format)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = data
				}
				for _, date := range pdfDate.FindAll(data, -1) {
					if string(date) != "(D:20000101000000)" {
						t.Errorf("%s as %s holds the date %s", kind, format, date)
					}
				}
				if !bytes.Equal(first, data) {
					t.Errorf("%s as %s differs from one drawing to the next", kind, format)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	changes := map[string]func(p *results.Provenance){
		"images":        func(p *results.Provenance) { p.Images = results.CIFAR10 },
		"images_digest": func(p *results.Provenance) { p.ImagesDigest = "cc33" },
		"table":         func(p *results.Provenance) { p.Table = results.NASBench101 },
		"table_digest":  func(p *results.Provenance) { p.TableDigest = "dd44" },
		"preset":        func(p *results.Provenance) { p.Preset = "paper" },
		"scale":         func(p *results.Provenance) { p.Scale = "9 cells" },
		"":              func(p *results.Provenance) { p.Engine, p.Precision, p.Device = "cpu", "float32", "another" },
	}
	for field, change := range changes {
		t.Run("differs in "+field, func(t *testing.T) {
			p := provenance()
			change(&p)
			run, err := results.NewRun("2", "nasp", 0, p, struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			other := history(t, "2", "nasp", 0, 3, struct{}{})
			other.Dir, other.Run = "runs/other", run
			curves := group(t, history(t, "1", "darts", 0, 3, struct{}{}), other)
			for kind, draw := range figures {
				_, err := draw(curves, Options{})
				var mixed *results.MixedError
				if field == "" {
					if err != nil {
						t.Errorf("%s: %v", kind, err)
					}
					continue
				}
				if !errors.As(err, &mixed) || mixed.Field != field || mixed.Dirs != [2]string{curves[0].Runs[0].Dir, "runs/other"} {
					t.Errorf("%s: error %v, want a MixedError of %s", kind, err, field)
				}
			}
		})
	}

	if _, err := AnytimeTestError(nil, Options{}); err == nil {
		t.Error("drew nothing")
	}
	h := history(t, "1", "enas", 0, 2, struct{}{})
	for i := range h.Epochs {
		h.Epochs[i].Hessian = nil
	}
	if _, err := HessianTrajectory(group(t, h), Options{}); err == nil || !strings.Contains(err.Error(), "no λ") {
		t.Errorf("no λ at all: %v", err)
	}
	huge := history(t, "1", "darts", 0, 2, struct{}{})
	huge.Epochs[1].Hessian.Reported = 1e308
	if _, err := HessianTrajectory(group(t, huge), Options{}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a huge λ: %v", err)
	}
}

// Whatever a name or a note holds, an SVG is XML, and every format can be drawn.
func TestForeignText(t *testing.T) {
	foreign := "a<b>&\"'\x1b[31m\u202e\u009b\xff\x00\ufffe"
	h := history(t, "1", "darts", 0, 3, map[string]int{"epochs": 3})
	h.Run.Algorithm, h.Run.Provenance.ImagesDetail = foreign, foreign
	f, err := AnytimeTestError(group(t, h), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range append(slices.Clone(formats), plainSVG) {
		image, err := f.encode(format)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if format != "svg" && format != plainSVG {
			continue
		}
		var text strings.Builder
		d := xml.NewDecoder(bytes.NewReader(image))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			if data, ok := token.(xml.CharData); ok {
				text.Write(data)
			}
		}
		if want := `(a<b>&"'\u001b[31m\u202e\u009b�\u0000\ufffe), not`; !strings.Contains(text.String(), want) {
			t.Errorf("%s: the text lacks %s:\n%s", format, want, text.String())
		}
	}
}

// Figures need no folder for temporary files.
func TestSaveWithoutTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "missing"))
	f, err := HessianTrajectory(group(t, history(t, "1", "darts", 0, 2, struct{}{})), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(filepath.Join(dir, "hessian")); err != nil {
		t.Error(err)
	}
}

// A panic while a figure is drawn is its error.
func TestDrawingPanics(t *testing.T) {
	f := &Figure{width: 100, height: 100, parts: []func(canvas.Canvas, vg.Length){func(canvas.Canvas, vg.Length) { panic("no font") }}}
	var broken *fault.Error
	if _, err := f.Save(filepath.Join(t.TempDir(), "figure")); !errors.As(err, &broken) || broken.Value != "no font" {
		t.Errorf("error %v", err)
	}
}

func TestSaveFails(t *testing.T) {
	f, err := AnytimeTestError(group(t, history(t, "1", "darts", 0, 2, struct{}{})), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(filepath.Join(t.TempDir(), "no such folder", "error")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
