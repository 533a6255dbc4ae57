package plots

import (
	"bytes"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/results"
)

// landscape makes up one of n×n points over [-radius, radius]².
func landscape(n int, radius float64, accuracy func(a, b float64) float64) results.Landscape {
	l := results.Landscape{
		Space: "1", Moved: results.MovedAlphas, Images: 960, GradientNorm: 0.1, RandomNorm: 5,
		Directions: [][]float64{{1, 0}, {0, 1}},
		Sharpness:  results.Sharpness{Radius: radius, Points: 32, AccuracyDrop: accuracy(0, 0) - accuracy(radius, 0)},
	}
	for i := range n {
		l.Coordinates = append(l.Coordinates, radius*float64(2*i-(n-1))/float64(n-1))
	}
	for _, b := range l.Coordinates {
		var accuracies, losses []float64
		for _, a := range l.Coordinates {
			accuracies = append(accuracies, min(max(accuracy(a, b), 0), 1))
			losses = append(losses, -math.Log(max(accuracy(a, b), 0.01)))
		}
		l.Accuracy, l.Loss = append(l.Accuracy, accuracies), append(l.Loss, losses)
	}
	return l
}

// Shapes as the paper has them: a sharp summit and a broad one.
func sharp(a, b float64) float64 {
	return 0.12 + 0.72*math.Exp(-1.4*(a+0.15)*(a+0.15)-0.5*b*b) + 0.02*math.Sin(5*a)*math.Cos(4*b)
}

func broad(a, b float64) float64 {
	return 0.86 - 0.04*(a+0.3)*(a+0.3) - 0.015*b*b + 0.006*math.Sin(3*a+b)
}

func landscapeCases() map[string][]LandscapePanel {
	panel := func(title string, l results.Landscape) LandscapePanel {
		return LandscapePanel{title, l, provenance()}
	}
	four := []LandscapePanel{
		panel("DARTS", landscape(21, 2, sharp)), panel("PC-DARTS", landscape(21, 2, func(a, b float64) float64 { return 0.5*sharp(a, b) + 0.4*broad(b, a) })),
		panel("SDARTS-RS", landscape(21, 2, func(a, b float64) float64 { return broad(1.4*a, b) })), panel("SDARTS-ADV", landscape(21, 2, broad)),
	}
	return map[string][]LandscapePanel{
		"one":    {panel("SDARTS-ADV, space 1, after 100 epochs", landscape(21, 2, broad))},
		"two":    {four[0], four[3]},
		"three":  {four[0], four[2], four[3]},
		"four":   four,
		"flat":   {panel("flat", landscape(5, 2, func(a, b float64) float64 { return 0.1 })), panel("flat too", landscape(5, 2, func(a, b float64) float64 { return 0.1 }))},
		"coarse": {panel("three by three", landscape(3, 0.05, func(a, b float64) float64 { return 0.5 + 4*a - 3*b }))},
		"fine":   {panel("saddle", landscape(101, 10, func(a, b float64) float64 { return 0.5 + (a*a-b*b)/400 + 0.01*math.Sin(3*a)*math.Sin(3*b) }))},
		"long": {panel("A title that is far too long for one panel, so that it takes several lines above it", landscape(21, 2, sharp)),
			panel("short", landscape(21, 2, broad)), panel("", landscape(21, 2, broad))},
	}
}

var landscapeFigures = map[string]func([]LandscapePanel, Width) (*Figure, error){"contours": LandscapeContours, "surfaces": LandscapeSurfaces}

// Every case draws in every format; go test -artifacts keeps the files.
func TestSaveLandscapes(t *testing.T) {
	dir := t.ArtifactDir()
	for name, panels := range landscapeCases() {
		for kind, draw := range landscapeFigures {
			f, err := draw(panels, Page)
			if err != nil {
				t.Fatalf("%s %s: %v", name, kind, err)
			}
			paths, err := f.Save(filepath.Join(dir, name+"-"+kind))
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			size, err := png.DecodeConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			if size.Width < 2007 || size.Width > 2008 {
				t.Errorf("%s is %d dots wide, want 2007", paths[0], size.Width)
			}
		}
	}
}

func TestLandscapeContent(t *testing.T) {
	common := []string{gradientLabel, accuracyLabel, "−2", "1"}
	const notes = "Images: procedural (192 images of seed 7), not CIFAR-10. Table: surrogate (additive fit), not NAS-Bench-101. Preset quick: 3 cells"
	simplex := landscapeCases()["one"]
	simplex[0].Landscape.Moved = results.MovedSimplex
	for name, test := range map[string]struct {
		panels []LandscapePanel
		want   []string // text elements
		notes  []string // in the joined text
	}{
		"two":     {landscapeCases()["two"], append(common, "DARTS", "SDARTS-ADV", "20", "80"), []string{notes, "on 960 images", "the architecture parameters moved", "at distance 2, in points: DARTS: 70.7; SDARTS-ADV: 21.0."}},
		"four":    {landscapeCases()["four"], append(common, "PC-DARTS", "SDARTS-RS"), []string{notes}},
		"simplex": {simplex, common, []string{"the mixing weights, clipped to the simplex, moved"}},
		"coarse":  {landscapeCases()["coarse"], []string{"−0.04", "0.02"}, []string{"three by three: −20.0"}},
	} {
		for kind, draw := range landscapeFigures {
			f, err := draw(test.panels, Page)
			if err != nil {
				t.Fatal(err)
			}
			got := texts(t, f)
			for _, want := range test.want {
				if !slices.Contains(got, want) {
					t.Errorf("%s, %s: no %q in %q", name, kind, want, got)
				}
			}
			joined := strings.Join(got, " ")
			for _, want := range append(test.notes, randomLabel) {
				if !strings.Contains(joined, want) {
					t.Errorf("%s, %s: no %q in %q", name, kind, want, joined)
				}
			}
		}
	}
}

// box is a rectangle in any position, by its corners.
type box [4]vg.Point

// apart reports whether the boxes have no point in common: some side of one
// parts them.
func apart(a, b box) bool {
	for _, sides := range []box{a, b} {
		for k := range 2 {
			d := sides[k+1].Sub(sides[k])
			along := func(b box) (low, high vg.Length) {
				low = vg.Length(math.Inf(1))
				high = -low
				for _, p := range b {
					x := p.X*d.X + p.Y*d.Y
					low, high = min(low, x), max(high, x)
				}
				return low, high
			}
			lowA, highA := along(a)
			lowB, highB := along(b)
			if highA <= lowB || highB <= lowA {
				return true
			}
		}
	}
	return false
}

// Nothing is cut off at the edge of the figure, and no text touches another.
func TestLandscapeLayout(t *testing.T) {
	for name, panels := range landscapeCases() {
		for kind, draw := range landscapeFigures {
			for _, width := range []Width{Page, Column} {
				f, err := draw(panels, width)
				if err != nil {
					t.Fatal(err)
				}
				r := new(recorder.Canvas)
				for _, part := range f.parts {
					part(canvas.Canvas{Canvas: r, Rectangle: vg.Rectangle{Max: vg.Point{X: f.width, Y: f.height}}}, f.height)
				}
				inside := func(what string, p vg.Point) {
					if !(p.X >= 0 && p.Y >= 0 && p.X <= f.width && p.Y <= f.height) {
						t.Errorf("%s-%s, width %v: %s at %v of %v×%v", name, kind, width, what, p, f.width, f.height)
					}
				}
				angle := 0. // texts alone are turned
				var boxes []box
				var words []string
				for _, action := range r.Actions {
					switch a := action.(type) {
					case *recorder.Rotate:
						angle += a.Angle
					case *recorder.Pop:
						angle = 0
					case *recorder.Fill:
						for _, p := range a.Path {
							inside("area", p.Pos)
						}
					case *recorder.Stroke:
						for _, p := range a.Path {
							inside("line", p.Pos)
						}
					case *recorder.FillString:
						style := textStyle(float64(a.Size), nil)
						sin, cos := math.Sincos(angle)
						long, high := style.Width(a.String), capHeight*a.Size
						var b box
						for i, p := range []vg.Point{{}, {X: long}, {X: long, Y: high}, {Y: high}} {
							p = a.Point.Add(p)
							b[i] = vg.Point{X: p.X*vg.Length(cos) - p.Y*vg.Length(sin), Y: p.X*vg.Length(sin) + p.Y*vg.Length(cos)}
							inside(a.String, b[i])
						}
						for i, other := range boxes {
							if !apart(b, other) {
								t.Errorf("%s-%s, width %v: %q touches %q", name, kind, width, a.String, words[i])
							}
						}
						boxes, words = append(boxes, b), append(words, a.String)
					}
				}
				if len(words) < 10 {
					t.Errorf("%s-%s: only the texts %q", name, kind, words)
				}
			}
		}
	}
}

func area(path vg.Path) float64 {
	total := 0.0
	var start, last vg.Point
	for _, c := range path {
		to := c.Pos
		switch c.Type {
		case vg.MoveComp:
			start, last = to, to
			continue
		case vg.CloseComp:
			to = start
		}
		total += float64(last.X*to.Y-last.Y*to.X) / 2
		last = to
	}
	return total
}

// Where the height is linear, so are the areas and lines of every level, on a
// square of 100×100.
func TestContour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "points")
		slope := rapid.Float64Range(0.01, 3).Draw(t, "slope")
		level := rapid.Float64Range(-10, 310).Draw(t, "level")
		along := rapid.Bool().Draw(t, "along x")
		grid := make([][]spot, n)
		for i := range n {
			for j := range n {
				s := spot{at: vg.Point{X: vg.Length(100 * j / (n - 1)), Y: vg.Length(100 * i / (n - 1))}}
				s.height = slope * float64(s.at.Y)
				if along {
					s.height = slope * float64(s.at.X)
				}
				grid[i] = append(grid[i], s)
			}
		}
		filled, line := contour(grid, level)
		at := min(max(level/slope, 0), 100) // where the level is
		if got, want := area(filled), 100*(100-at); math.Abs(got-want) > 1e-6 {
			t.Fatalf("area %v at or above the level, want %v", got, want)
		}
		length := 0.0
		for i := 0; i < len(line); i += 2 {
			for _, end := range line[i : i+2] {
				x := end.Pos.Y
				if along {
					x = end.Pos.X
				}
				if math.Abs(float64(x)-level/slope) > 1e-6 {
					t.Fatalf("line through %v, want it at %v", end.Pos, level/slope)
				}
			}
			part := line[i+1].Pos.Sub(line[i].Pos)
			length += math.Hypot(float64(part.X), float64(part.Y))
		}
		if want := 100.; at > 1e-6 && at < 100-1e-6 && math.Abs(length-want) > 1e-6 {
			t.Fatalf("a line of length %v, want %v", length, want)
		}
	})
}

// A ridge whose height is a level is surrounded by its line, which does not run
// along it.
func TestRidge(t *testing.T) {
	l := landscape(5, 2, func(a, b float64) float64 {
		switch {
		case b == 0:
			return 0.5
		case a == 2 && b == 2:
			return 0.6
		}
		return 0.4
	})
	l.Images = 100
	r, err := newRelief([]LandscapePanel{{"", l, provenance()}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.levels, func(l plot.Tick) bool { return l.Value == 50 }) {
		t.Fatalf("50 %% is none of the levels %v", r.levels)
	}
	record := new(recorder.Canvas)
	scale := func(x float64) vg.Length { return vg.Length(x) }
	r.drawMap(canvas.Canvas{Canvas: record}, l, scale, scale)
	around := 0
	for _, action := range record.Actions {
		line, ok := action.(*recorder.Stroke)
		if !ok {
			continue
		}
		for _, c := range line.Path {
			if c.Pos.Y == 0 {
				t.Errorf("a line runs through %v, on the ridge", c.Pos)
			}
			if math.Abs(float64(c.Pos.Y)) < 0.1 {
				around++
			}
		}
	}
	if around == 0 {
		t.Error("no line surrounds the ridge")
	}
}

// One scale of colours holds all panels, and its luminance rises.
func TestLandscapeScale(t *testing.T) {
	for name, panels := range landscapeCases() {
		r, err := newRelief(panels)
		if err != nil {
			t.Fatal(err)
		}
		lowest, highest := r.levels[0].Value, r.levels[len(r.levels)-1].Value
		for _, p := range panels {
			for _, row := range p.Landscape.Accuracy {
				if 100*slices.Min(row) < lowest || 100*slices.Max(row) > highest {
					t.Errorf("%s: levels from %v to %v do not hold %v", name, lowest, highest, row)
				}
			}
		}
		if n := len(r.bands); n != len(r.levels)-1 || n < 6 || n > 18 {
			t.Errorf("%s: %d bands between %d levels", name, n, len(r.levels))
		}
	}
	last := -1.0
	for i := range 101 {
		r, g, b, _ := heightColour(float64(i) / 100).RGBA()
		luminance := 0.2126*math.Pow(float64(r)/0xffff, 2.2) + 0.7152*math.Pow(float64(g)/0xffff, 2.2) + 0.0722*math.Pow(float64(b)/0xffff, 2.2)
		if luminance < last {
			t.Errorf("colour %d is darker than the one before", i)
		}
		last = luminance
	}
	if heightColour(-1) != heightColours[0] || heightColour(2) != heightColours[len(heightColours)-1] {
		t.Error("heights out of range have colours of their own")
	}
}

func TestProject(t *testing.T) {
	if x, y, depth := project(vector{}); x != 0 || y != 0 || depth != distance {
		t.Errorf("the middle appears at %v, %v in depth %v", x, y, depth)
	}
	x, low, _ := project(vector{0, 0, -boxHeight})
	if _, high, _ := project(vector{0, 0, boxHeight}); x != 0 || low >= high {
		t.Errorf("up runs from %v to %v", low, high)
	}
	// The front corner is the nearest, the left one is on the left, and what is
	// nearer looks larger.
	nearest := vector{1, -1, -boxHeight}
	_, _, front := project(nearest)
	left, _, _ := project(vector{-1, -1, -boxHeight})
	for _, x := range []float64{-1, 1} {
		for _, y := range []float64{-1, 1} {
			at, _, depth := project(vector{x, y, -boxHeight})
			if depth < front || at < left {
				t.Errorf("corner %v, %v is at %v in depth %v", x, y, at, depth)
			}
		}
	}
	size := func(v vector) float64 {
		top := v
		top[2] += 0.01
		_, a, _ := project(v)
		_, b, _ := project(top)
		return b - a
	}
	if near, far := size(nearest), size(vector{-1, 1, -boxHeight}); near <= far {
		t.Errorf("near things have the size %v, far ones %v", near, far)
	}
}

// The cells are drawn from the back to the front.
func TestPainter(t *testing.T) {
	r, err := newRelief([]LandscapePanel{{"", landscape(5, 2, func(a, b float64) float64 { return 0.5 }), provenance()}})
	if err != nil {
		t.Fatal(err)
	}
	record := new(recorder.Canvas)
	w := view{scale: 100}
	r.drawSurface(canvas.Canvas{Canvas: record}, w, r.panels[0].Landscape)
	var cells []vg.Point // a corner of each
	for _, action := range record.Actions {
		if fill, ok := action.(*recorder.Fill); ok && len(fill.Path) == 5 {
			cells = append(cells, fill.Path[0].Pos)
		}
	}
	if len(cells) != 16 {
		t.Fatalf("%d cells, want 16", len(cells))
	}
	back, front := w.at(vector{-1, 0.5, 0}), w.at(vector{0.5, -1, 0})
	if near := func(a, b vg.Point) bool { return math.Hypot(float64(a.X-b.X), float64(a.Y-b.Y)) < 1e-9 }; !near(cells[0], back) || !near(cells[15], front) {
		t.Errorf("the first cell is at %v and the last at %v, want %v and %v", cells[0], cells[15], back, front)
	}
}

// The same landscapes give the same bytes.
func TestLandscapeDeterminism(t *testing.T) {
	for kind, draw := range landscapeFigures {
		for _, format := range []string{"png", "svg", "pdf"} {
			var first []byte
			for range 2 {
				f, err := draw(landscapeCases()["two"], Page)
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
				if !bytes.Equal(first, data) {
					t.Errorf("%s as %s differs from one drawing to the next", kind, format)
				}
			}
		}
	}
}

func TestLandscapeRefusals(t *testing.T) {
	for field, change := range map[string]func(p *LandscapePanel){
		"images_digest":              func(p *LandscapePanel) { p.Provenance.ImagesDigest = "cc33" },
		"scale":                      func(p *LandscapePanel) { p.Provenance.Scale = "9 cells" },
		"landscape.moved":            func(p *LandscapePanel) { p.Landscape.Moved = results.MovedSimplex },
		"landscape.images":           func(p *LandscapePanel) { p.Landscape.Images++ },
		"landscape.coordinates":      func(p *LandscapePanel) { p.Landscape = landscape(21, 3, broad) },
		"landscape.sharpness.radius": func(p *LandscapePanel) { p.Landscape.Sharpness.Radius = 1 },
	} {
		panels := landscapeCases()["two"]
		change(&panels[1])
		for kind, draw := range landscapeFigures {
			_, err := draw(panels, Page)
			var mixed *results.MixedError
			if !errors.As(err, &mixed) || mixed.Field != field || mixed.Dirs != [2]string{"DARTS", "SDARTS-ADV"} || mixed.Values[0] == mixed.Values[1] {
				t.Errorf("%s: error %v, want a MixedError of %s", kind, err, field)
			}
		}
	}
	for kind, draw := range landscapeFigures {
		if _, err := draw(nil, Page); err == nil {
			t.Errorf("%s: drew nothing", kind)
		}
		panels := landscapeCases()["two"]
		panels[1].Landscape.Accuracy[3][4] = math.NaN()
		_, err := draw(panels, Page)
		var format *results.FormatError
		if !errors.As(err, &format) || format.Field != "accuracy[3][4]" || !strings.Contains(err.Error(), "SDARTS-ADV") {
			t.Errorf("%s: error %v, want a FormatError that names the panel", kind, err)
		}
	}
}
