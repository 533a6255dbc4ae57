package plots

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/results"
)

func curves(algorithms ...string) []results.Curve {
	var all []results.Curve
	for _, a := range algorithms {
		name, variant, _ := strings.Cut(a, "/")
		all = append(all, results.Curve{Algorithm: name, Variant: variant})
	}
	return all
}

func TestStyles(t *testing.T) {
	few, err := assignStyles(curves("sdarts-adv", "enas"))
	if err != nil {
		t.Fatal(err)
	}
	many, err := assignStyles(curves("zzz", "darts", "sdarts-adv", "sdarts-adv/steps 1", "gdas", "aaa", "enas", "random-search"))
	if err != nil {
		t.Fatal(err)
	}
	for name, style := range few {
		if fmt.Sprint(style) != fmt.Sprint(many[name]) {
			t.Errorf("the company of %s changes its style", name)
		}
	}

	var names []string
	for i := range len(colours) * len(markers) {
		names = append(names, fmt.Sprintf("a%02d", i))
	}
	full, err := assignStyles(curves(names...))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for name, s := range full {
		look := fmt.Sprintf("%v %T", s.colour, s.marker)
		if seen[look] != "" {
			t.Errorf("%s and %s look the same", name, seen[look])
		}
		seen[look] = name
	}
	if _, err := assignStyles(curves(append(names, "darts")...)); err == nil {
		t.Error("more curves than styles")
	}
}

// Up to eight curves differ in their colours, and in their markers as well;
// whichever they are, the paper's keep theirs.
func TestEightStyles(t *testing.T) {
	var names []string
	for _, e := range catalogue.All() {
		names = append(names, e.Name)
	}
	paper := catalogue.All()[:8]
	names = append(names, "aaa", "darts/steps 1", "darts/steps 2")
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.Permutation(names).Draw(t, "algorithms")[:rapid.IntRange(1, 8).Draw(t, "number")]
		styles, err := assignStyles(curves(some...))
		if err != nil {
			t.Fatal(err)
		}
		byColour, byMarkers := map[color.NRGBA]bool{}, map[string]bool{}
		for _, s := range styles {
			byColour[s.colour] = true
			byMarkers[fmt.Sprintf("%T", s.marker)] = true
		}
		if len(styles) != len(some) || len(byColour) != len(some) || len(byMarkers) != len(some) {
			t.Errorf("%d colours and %d markers for %v", len(byColour), len(byMarkers), some)
		}
		for _, c := range curves(some...) {
			i := slices.IndexFunc(paper, func(e catalogue.Entry) bool { return e.Name == c.Algorithm })
			if c.Variant == "" && i >= 0 && styles[CurveName(c)].colour != colours[i] {
				t.Errorf("%s has lost its colour", c.Algorithm)
			}
		}
	})
}

// The colours differ for people without red or green cones, too, as Viénot,
// Brettel and Mollon (1999) model them, and in CIELAB, where a difference of 2
// is just seen.
func TestColoursApart(t *testing.T) {
	sight := map[string][3][3]float64{ // of linear RGB
		"normal":       {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"protanopia":   {{0.11238, 0.88762, 0}, {0.11238, 0.88762, 0}, {0.00401, -0.00401, 1}},
		"deuteranopia": {{0.29275, 0.70725, 0}, {0.29275, 0.70725, 0}, {-0.02234, 0.02234, 1}},
	}
	for name, seen := range sight {
		for i, a := range colours {
			for _, b := range colours[:i] {
				if d := difference(lab(seen, a), lab(seen, b)); d < 17 {
					t.Errorf("%s: %v and %v are only %.0f apart", name, a, b, d)
				}
			}
			if d := difference(lab(seen, a), lab(seen, color.NRGBA{255, 255, 255, 255})); d < 30 {
				t.Errorf("%s: %v is only %.0f from white", name, a, d)
			}
		}
	}
}

// lab is a colour in CIELAB after a change of its linear RGB.
func lab(seen [3][3]float64, c color.NRGBA) [3]float64 {
	linear := func(x uint8) float64 {
		v := float64(x) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	times := func(m [3][3]float64, v [3]float64) (p [3]float64) {
		for i, row := range m {
			for j, x := range row {
				p[i] += x * v[j]
			}
		}
		return p
	}
	xyz := times([3][3]float64{{0.4124564, 0.3575761, 0.1804375}, {0.2126729, 0.7151522, 0.0721750}, {0.0193339, 0.1191920, 0.9503041}},
		times(seen, [3]float64{linear(c.R), linear(c.G), linear(c.B)}))
	white := [3]float64{0.95047, 1, 1.08883}
	var f [3]float64
	for i, x := range xyz {
		if x /= white[i]; x > 216./24389 {
			f[i] = math.Cbrt(x)
		} else {
			f[i] = (24389./27*x + 16) / 116
		}
	}
	return [3]float64{116*f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}

func difference(a, b [3]float64) float64 {
	sum := 0.
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum)
}

// Labels are few, distinct, within the axis and true.
func checkTicks(t *rapid.T, ticks []plot.Tick, min, max float64, least, most int) {
	seen := map[string]bool{}
	for _, tick := range ticks {
		if tick.Value < min || tick.Value > max {
			t.Errorf("tick %v outside %v..%v", tick.Value, min, max)
		}
		if tick.Label == "" {
			continue
		}
		if seen[tick.Label] {
			t.Errorf("two labels %s in %v", tick.Label, ticks)
		}
		seen[tick.Label] = true
		if x, err := strconv.ParseFloat(tick.Label, 64); err != nil || x-tick.Value > 1e-3*(max-min) || tick.Value-x > 1e-3*(max-min) {
			t.Errorf("label %s at %v", tick.Label, tick.Value)
		}
	}
	if len(seen) < least || len(seen) > most {
		t.Errorf("%d labels on %v..%v: %v", len(seen), min, max, ticks)
	}
}

func TestAxes(t *testing.T) {
	t.Run("linear", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			low := rapid.Float64Range(0, 100).Draw(t, "low")
			high := low + rapid.Float64Range(0, 100).Draw(t, "range")
			a := linearAxis(low, high, 7)
			if a.min > low || a.max < high || a.min < 0 {
				t.Errorf("axis %v..%v for %v..%v", a.min, a.max, low, high)
			}
			checkTicks(t, a.ticks, a.min, a.max, 2, 8)
		})
	})
	t.Run("percent", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			low := rapid.Float64Range(0, 100).Draw(t, "low")
			high := rapid.Float64Range(low, 100).Draw(t, "high")
			a := percentAxis(low, high, 7)
			if a.min > low || a.max < high || a.min < 0 || a.max > 100 {
				t.Errorf("axis %v..%v for %v..%v", a.min, a.max, low, high)
			}
			checkTicks(t, a.ticks, a.min, a.max, 2, 8)
		})
	})
	t.Run("logarithmic", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			low := rapid.Float64Range(1e-3, 1e4).Draw(t, "low")
			high := low * (1 + rapid.Float64Range(0, 1e10).Draw(t, "ratio"))
			a := logAxis(low, high, 9)
			if a.min >= low || a.max <= high {
				t.Errorf("axis %v..%v for %v..%v", a.min, a.max, low, high)
			}
			checkTicks(t, a.ticks, a.min, a.max, 2, 10)
		})
	})
	t.Run("epochs", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			end := rapid.IntRange(1, 2000).Draw(t, "end")
			checkTicks(t, epochTicks(end, 5), 0, float64(end), 2, 6)
		})
	})
}

// Wrapped text has all its letters and fits.
func TestWrap(t *testing.T) {
	style := textStyle(legendSize, color.Black)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`([a-zA-Z0-9,._λ–]{1,40} ?){0,12}`).Draw(t, "text")
		width := vg.Length(rapid.Float64Range(20, 300).Draw(t, "width"))
		lines := wrap(s, style, width)
		for _, line := range lines {
			if style.Width(line) > width {
				t.Errorf("%q is %v wide, more than %v", line, style.Width(line), width)
			}
		}
		letters := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if got := letters(strings.Join(lines, "")); got != letters(s) {
			t.Errorf("%q became %q", s, lines)
		}
	})
	if got := wrap("one two three", style, style.Width("one two")); len(got) != 2 || got[0] != "one two" {
		t.Errorf("wrapped to %q", got)
	}
}

// A PDF has ASCII as text, the rest as outlines where it belongs, and colours without
// alpha in them.
func TestPDFCanvas(t *testing.T) {
	c := newPDF(100, 100)
	c.doc.SetCompression(false)
	style := textStyle(10, color.Black)
	face := style.Handler.Cache().Lookup(style.Font, style.Font.Size)
	c.SetColor(color.NRGBA{R: 255, G: 128, A: 51})
	c.FillString(face, vg.Point{X: 7}, "a λ–b")
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`\(([^)]*)\)Tj|1.00000 0.00000 0.00000 1.00000 (\S+) -?0.00000 cm|([01.]+ [01.]+[0-9]* [01.]+) rg|/ca ([0-9.]+)|\n(f)\n`).FindAllStringSubmatch(b.String(), -1) {
		got = append(got, strings.Join(m[1:], ""))
	}
	behind := 7 + face.Width("a ") + face.Width("λ") + face.Width("–")
	want := []string{"1.000 0.502 0.000", "7.00000", "a ", "f", "f", fmt.Sprintf("%.5f", behind.Points()), "b", "1.000", "0.200"}
	if !slices.Equal(got, want) {
		t.Errorf("drew %q, want %q", got, want)
	}
	if path := outline(face, vg.Point{X: 100}, 'λ'); len(path) < 5 || path[0].Pos.X < 100 || path[0].Pos.X > 100+face.Width("λ") {
		t.Errorf("outline %v", path)
	}
}
