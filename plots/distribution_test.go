package plots

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"

	"github.com/nb1shot/nb1shot/random"
)

// distribution makes up the errors of cells: most between 6 and 14 %, one in
// forty at 40 %.
func distribution(title string, cells int) ErrorDistribution {
	noise := random.New(0, title)
	d := ErrorDistribution{Title: title}
	for i := range cells {
		e := 0.06 + 0.02*noise.ExpFloat64()
		if i%40 == 39 {
			e = 0.4
		}
		d.Errors = append(d.Errors, e)
	}
	slices.Sort(d.Errors)
	d.Quantiles = quantiles(d.Errors)
	return d
}

func quantiles(errs []float64) Quantiles {
	q := func(p float64) float64 { return stat.Quantile(p, stat.Empirical, errs, nil) }
	return Quantiles{q(0.1), q(0.25), q(0.5), q(0.75), q(0.9)}
}

func constant(title string, x float64) ErrorDistribution {
	return ErrorDistribution{title, []float64{x, x, x}, Quantiles{x, x, x, x, x}}
}

// distributionCases are the shapes of data that a histogram must stand.
func distributionCases() map[string][]ErrorDistribution {
	return map[string][]ErrorDistribution{
		"three":   {distribution("Space 1", 2685), distribution("Space 2", 7773), distribution("Space 3", 55854)},
		"one":     {distribution("Space 1", 2685)},
		"few":     {distribution("Space 1", 5)},
		"equal":   {constant("Space 1", 0.0731), constant("Space 2", 0.08)},
		"perfect": {constant("Space 1", 0)},
		"failed":  {constant("Space 1", 1)},
	}
}

func groupCases() map[string][]GroupedErrors {
	panel := func(title string, groups []string, series int) GroupedErrors {
		g := GroupedErrors{Title: title, Groups: groups}
		for k := range series {
			var all []*Quantiles
			for i := range groups {
				q := distribution(title, 100+100*i+k).Quantiles
				all = append(all, &q)
			}
			all[k%len(all)] = nil
			g.Quantiles = append(g.Quantiles, all)
		}
		return g
	}
	return map[string][]GroupedErrors{
		"three": {
			panel("Max-poolings", []string{"0", "1", "2", "3", "4", "5"}, 3), panel("Width", []string{"1", "1.5", "2", "2.5", "3", "3.5"}, 3),
			panel("Depth", []string{"2", "3", "4", "5", "6"}, 3), panel("Parameters (quarter)", []string{"1", "2", "3", "4"}, 3),
		},
		"one": {panel("Max-poolings", []string{"0", "1", "2"}, 1)},
	}
}

func seriesOf(panels []GroupedErrors) []string {
	return []string{"Space 1", "Space 2", "Space 3"}[:len(panels[0].Quantiles)]
}

// Every case draws in every format; go test -artifacts keeps the files.
func TestSaveDistributions(t *testing.T) {
	dir := t.ArtifactDir()
	for width, suffix := range map[Width]string{Page: "", Column: "-column"} {
		for name, panels := range distributionCases() {
			f, err := TestErrorHistograms(panels, "Test error", []string{"note"}, width)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := f.Save(filepath.Join(dir, "histogram-"+name+suffix)); err != nil {
				t.Fatal(err)
			}
		}
		for name, panels := range groupCases() {
			f, err := TestErrorsByGroup(panels, seriesOf(panels), "Test error", []string{"note"}, width)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := f.Save(filepath.Join(dir, "groups-"+name+suffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDistributionContent(t *testing.T) {
	three := distributionCases()["three"]
	f, err := TestErrorHistograms(three, "Predicted test error", []string{"Table: surrogate."}, Page)
	if err != nil {
		t.Fatal(err)
	}
	got := texts(t, f)
	for _, want := range []string{"Space 1", "Space 3", "Predicted test error (%)", "Share of the cells (%)", "2,685", "55,854", "median", "lowest", "6.00", "Table: surrogate."} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	// The axis ends at 1.5 times the highest 90 % quantile, 11.17 %.
	at, _ := slices.BinarySearch(three[0].Errors, 0.17)
	if joined, want := strings.Join(got, " "), fmt.Sprintf("Cells beyond 17 %%, not shown: Space 1: %d; Space 2: ", 2685-at); !strings.Contains(joined, want) {
		t.Errorf("no %q in %q", want, got)
	}

	groups := groupCases()["three"]
	if f, err = TestErrorsByGroup(groups, seriesOf(groups), "Test error", []string{"Table: NAS-Bench-101."}, Page); err != nil {
		t.Fatal(err)
	}
	got = texts(t, f)
	for _, want := range []string{"Space 2", "Max-poolings", "Depth", "3.5", "Test error (%)", "Table: NAS-Bench-101.", "10"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// The area under the outline is the share of the cells that are shown.
func TestHistogramArea(t *testing.T) {
	shares := []float64{10, 0, 40, 25}
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 5, 7, 0, 50
	r := new(recorder.Canvas)
	c := canvas.Canvas{Canvas: r, Rectangle: vg.Rectangle{Max: vg.Point{X: 200, Y: 100}}}
	drawHistogram(c, p, constant("", 0.06), shares, 5, 0.5)
	var outline vg.Path
	for _, action := range r.Actions {
		if fill, ok := action.(*recorder.Fill); ok {
			outline = fill.Path
			break
		}
	}
	var area float64
	var corners []vg.Point
	for _, p := range outline {
		if p.Type != vg.CloseComp {
			corners = append(corners, p.Pos)
		}
	}
	for i, a := range corners {
		b := corners[(i+1)%len(corners)]
		area += float64(b.X-a.X) * float64(a.Y+b.Y) / 2
	}
	// A bin is 50 wide, a percent 2 high.
	if want := 75. * 2 * 50; math.Abs(area-want) > 1e-6 {
		t.Errorf("area %v, want %v", area, want)
	}
}

func TestDistributionDeterminism(t *testing.T) {
	histograms, groups := distributionCases()["one"], groupCases()["three"]
	for _, format := range formats {
		var first [][]byte
		for range 2 {
			h, err := TestErrorHistograms(histograms, "Test error", nil, Column)
			if err != nil {
				t.Fatal(err)
			}
			g, err := TestErrorsByGroup(groups, seriesOf(groups), "Test error", nil, Page)
			if err != nil {
				t.Fatal(err)
			}
			var images [][]byte
			for _, f := range []*Figure{h, g} {
				image, err := f.encode(format)
				if err != nil {
					t.Fatal(err)
				}
				images = append(images, image)
			}
			if first == nil {
				first = images
			}
			if !slices.EqualFunc(first, images, bytes.Equal) {
				t.Errorf("%s differs from one drawing to the next", format)
			}
		}
	}
}

func TestDistributionRefusals(t *testing.T) {
	for name, panels := range map[string][]ErrorDistribution{"none": nil, "empty": {{Title: "Space 1"}}, "percent": {constant("Space 1", 7)}, "not a number": {constant("Space 1", math.NaN())}} {
		if _, err := TestErrorHistograms(panels, "Test error", nil, Page); err == nil {
			t.Errorf("%s: drew it", name)
		}
	}
	q := &Quantiles{0.1, 0.1, 0.1, 0.1, 0.1}
	for name, test := range map[string]struct {
		panels []GroupedErrors
		series []string
	}{
		"none":             {nil, nil},
		"no series":        {[]GroupedErrors{{Title: "Width", Groups: []string{"1"}}}, nil},
		"series missing":   {[]GroupedErrors{{Title: "Width", Groups: []string{"1"}, Quantiles: [][]*Quantiles{{q}}}}, []string{"a", "b"}},
		"group missing":    {[]GroupedErrors{{Title: "Width", Groups: []string{"1", "2"}, Quantiles: [][]*Quantiles{{q}}}}, []string{"a"}},
		"too many series":  {nil, make([]string, len(colours)+1)},
		"no error":         {[]GroupedErrors{{Title: "Width", Groups: []string{"1"}, Quantiles: [][]*Quantiles{{{}}}}}, []string{"a"}},
		"no group at all":  {[]GroupedErrors{{Title: "Width", Groups: []string{"1"}, Quantiles: [][]*Quantiles{{nil}}}}, []string{"a"}},
		"impossible error": {[]GroupedErrors{{Title: "Width", Groups: []string{"1"}, Quantiles: [][]*Quantiles{{{0.1, 0.1, 0.1, 0.1, 2}}}}}, []string{"a"}},
	} {
		if _, err := TestErrorsByGroup(test.panels, test.series, "Test error", nil, Page); err == nil {
			t.Errorf("%s: drew it", name)
		}
	}
}
