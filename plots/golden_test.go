package plots

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

var update = flag.Bool("update", false, "rewrite the golden figures in testdata/figures")

// goldenFigures are small figures of every kind, of numbers that were made up for
// these tests, and say so.
func goldenFigures(t *testing.T) map[string]func() (*Figure, error) {
	p := provenance()
	p.ImagesDetail, p.TableDetail, p.Scale = "made up for a test", "made up for a test", "none: these numbers are synthetic"
	some := func(number, seeds, epochs int, algorithms ...string) []results.Curve {
		var runs []*results.History
		for _, space := range spaces.Names()[:number] {
			for _, a := range algorithms {
				for seed := range seeds {
					h := history(t, space, a, uint64(seed), epochs, map[string]int{"epochs": epochs})
					h.Run.Provenance = p
					runs = append(runs, h)
				}
			}
		}
		return group(t, runs...)
	}
	three := some(3, 2, 6, "darts", "sdarts-rs", "sdarts-adv")
	var eight []string
	for _, e := range catalogue.All()[:8] {
		eight = append(eight, e.Name)
	}
	landscapes := []LandscapePanel{{"DARTS", landscape(7, 2, sharp), p}, {"SDARTS-ADV", landscape(7, 2, broad), p}}
	cells := drawnCells(t)
	drawing := CellDrawing{Spec: cells["loose"].spec, Title: "A cell made up for a test", Caption: []string{"Test error 5.82 %."}}
	best := CellDrawing{Spec: cells["best"].spec, Title: "DARTS, seed 1 (best)", Caption: []string{"5.82 %"}, Pruned: true}
	note := []string{"Made up for a test."}
	return map[string]func() (*Figure, error){
		"test-error": func() (*Figure, error) { return AnytimeTestError(three, Options{}) },
		"test-error-column": func() (*Figure, error) {
			return AnytimeTestError(some(1, 2, 6, "darts", "sdarts-adv"), Options{Width: Column})
		},
		"eight-curves":       func() (*Figure, error) { return AnytimeTestError(some(1, 2, 6, eight...), Options{Width: Column}) },
		"alphas":             func() (*Figure, error) { return Alphas(withAlphas(t, "2", 6), Options{}) },
		"hessian":            func() (*Figure, error) { return HessianTrajectory(three, Options{}) },
		"landscape-contours": func() (*Figure, error) { return LandscapeContours(landscapes, Page) },
		"landscape-surface":  func() (*Figure, error) { return LandscapeSurfaces(landscapes, Page) },
		"cell":               func() (*Figure, error) { return Cell(drawing) },
		"cells":              func() (*Figure, error) { return Cells([][]CellDrawing{{best, drawing}, {drawing}}, note, Page) },
		"histogram": func() (*Figure, error) {
			return TestErrorHistograms([]ErrorDistribution{distribution("Space 1", 200)}, "Test error", note, Column)
		},
		"groups": func() (*Figure, error) {
			return TestErrorsByGroup(groupCases()["one"], []string{"Space 1"}, "Test error", note, Column)
		},
	}
}

// Every kind of figure looks as it did, to the byte where it was drawn; other
// processors round differently. go test -update draws it anew.
func TestGoldenFigures(t *testing.T) {
	for name, draw := range goldenFigures(t) {
		t.Run(name, func(t *testing.T) {
			f, err := draw()
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.SVG()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "figures", name+".svg")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if runtime.GOARCH == "amd64" && string(got) != string(want) {
				t.Errorf("differs from %s, at byte %d of %d", path, firstDifference(got, want), len(want))
			}
			if place := unlike(got, want); place != "" {
				t.Errorf("differs from %s: %s", path, place)
			}
		})
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

var numeral = regexp.MustCompile(`-?(\d+(\.\d+)?|\.\d+)(e-?\d+)?`)

// unlike says where two SVG files differ by more than rounding: in anything but
// their numbers, or in a number by more than a fiftieth of a point.
func unlike(got, want []byte) string {
	between := func(svg []byte) []string { return numeral.Split(string(svg), -1) }
	numbers := func(svg []byte) []string { return numeral.FindAllString(string(svg), -1) }
	if !slices.Equal(between(got), between(want)) {
		return "other elements"
	}
	wanted := numbers(want)
	for i, text := range numbers(got) {
		x, err := strconv.ParseFloat(text, 64)
		y, errWanted := strconv.ParseFloat(wanted[i], 64)
		if err != nil || errWanted != nil || x-y > 0.02 || y-x > 0.02 {
			return "number " + strconv.Itoa(i) + " is " + text + ", not " + wanted[i]
		}
	}
	return ""
}

// The comparison allows for rounding, and for nothing else.
func TestUnlike(t *testing.T) {
	const svg = `<path d="M10.5,-3L4e-2,7" style="stroke:#0072B2"/>`
	for other, alike := range map[string]bool{
		svg: true,
		`<path d="M10.51,-3L4.1e-2,7" style="stroke:#0072B2"/>`: true,
		`<path d="M10.6,-3L4e-2,7" style="stroke:#0072B2"/>`:    false,
		`<path d="M10.5,-3L4e-2,7" style="stroke:#0072B3"/>`:    false,
		`<path d="M10.5,-3M4e-2,7" style="stroke:#0072B2"/>`:    false,
	} {
		if got := unlike([]byte(other), []byte(svg)); (got == "") != alike {
			t.Errorf("%s: %q", other, got)
		}
	}
}
