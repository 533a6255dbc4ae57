package plots

import (
	"cmp"
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/results"
)

// The palette of package catalogue, in its order: that of Okabe and Ito, which stays distinct under colour blindness, with
// a brown for its yellow, too faint for a line on white.
var colours = []color.NRGBA{
	{0, 114, 178, 255},   // blue
	{230, 159, 0, 255},   // orange
	{213, 94, 0, 255},    // vermillion
	{0, 158, 115, 255},   // bluish green
	{204, 121, 167, 255}, // reddish purple
	{86, 180, 233, 255},  // sky blue
	{0, 0, 0, 255},       // black
	{100, 50, 10, 255},   // brown
}

// markers are as many as the colours, so that each of the first eight curves has
// its own in print without colours, too. The diamond is that of the final
// evaluation.
var markers = []canvas.GlyphDrawer{
	canvas.CircleGlyph{}, canvas.BoxGlyph{}, canvas.PyramidGlyph{}, canvas.RingGlyph{},
	canvas.SquareGlyph{}, canvas.TriangleGlyph{}, canvas.CrossGlyph{}, canvas.PlusGlyph{},
}

// entry is what is known of an algorithm, which may be nothing.
func entry(algorithm string) catalogue.Entry {
	e, ok := catalogue.Lookup(algorithm)
	if !ok {
		e.Name, e.Title = algorithm, strings.ToUpper(algorithm)
	}
	return e
}

// CompareCurves compares curves by their place in legends: the known algorithms in
// their order, then the others by name, and variants by theirs.
func CompareCurves(a, b results.Curve) int {
	return cmp.Or(catalogue.Compare(entry(a.Algorithm), entry(b.Algorithm)), strings.Compare(CurveName(a), CurveName(b)))
}

// lineStyle tells a curve from others by colour and marker. Its rank is its
// place in the legend.
type lineStyle struct {
	rank   int
	colour color.NRGBA
	marker canvas.GlyphDrawer
}

func (s lineStyle) line() canvas.LineStyle {
	return canvas.LineStyle{Color: s.colour, Width: lineWidth}
}

// faint is the line of a single seed.
func (s lineStyle) faint() canvas.LineStyle {
	return canvas.LineStyle{Color: fade(s.colour, 110), Width: 0.35}
}

// band is the colour of the area around the line.
func (s lineStyle) band() color.NRGBA { return fade(s.colour, 45) }

func fade(c color.NRGBA, alpha uint8) color.NRGBA {
	c.A = alpha
	return c
}

// assignStyles gives every name in the figure a style of its own. Up to eight
// have colours and markers of their own; more share colours, as evenly as
// possible. In the order of the legend (the known algorithms, then everything
// else by name) each takes its colour, or where others have used it more often
// the first that was used least.
func assignStyles(curves []results.Curve) (map[string]lineStyle, error) {
	ranks, preferred := map[string]int{}, map[string]int{}
	var other []string
	last := 0
	for _, c := range curves {
		name, e := CurveName(c), entry(c.Algorithm)
		if e.Place == 0 || e.Colour == catalogue.Any || c.Variant != "" {
			if !slices.Contains(other, name) {
				other = append(other, name)
			}
			continue
		}
		ranks[name], preferred[name] = e.Place, int(e.Colour-catalogue.Blue)
		last = max(last, e.Place)
	}
	slices.Sort(other)
	for i, name := range other {
		ranks[name], preferred[name] = last+1+i, len(colours)-1-i%len(colours) // away from the paper's
	}
	if available := len(colours) * len(markers); len(ranks) > available {
		return nil, fmt.Errorf("%d curves, but only %d can be told apart: draw fewer", len(ranks), available)
	}
	used := make([]int, len(colours))
	styles := map[string]lineStyle{}
	for _, name := range slices.SortedFunc(maps.Keys(ranks), func(a, b string) int { return cmp.Compare(ranks[a], ranks[b]) }) {
		colour, least := preferred[name], slices.Min(used)
		if used[colour] > least {
			colour = slices.Index(used, least)
		}
		styles[name] = lineStyle{ranks[name], colours[colour], markers[(colour+used[colour])%len(markers)]}
		used[colour]++
	}
	return styles, nil
}

// Sizes of text at print size.
const (
	titleSize  = 9
	labelSize  = 8
	tickSize   = 7
	legendSize = 7
	noteSize   = 6
)

var noteColour = color.Gray{90}

// textStyle is Liberation Sans of a size in points, drawn from its upper left.
func textStyle(points float64, c color.Color) text.Style {
	return text.Style{
		Color:   c,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(points)},
		XAlign:  text.XLeft,
		YAlign:  text.YTop,
		Handler: plot.DefaultTextHandler,
	}
}

// wrap breaks s into lines no wider than width, at spaces where it can.
func wrap(s string, style text.Style, width vg.Length) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if joined := strings.TrimLeft(line+" "+word, " "); style.Width(joined) <= width {
			line = joined
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = ""
		for _, r := range word { // a word too long for a line is broken anywhere
			if line != "" && style.Width(line+string(r)) > width {
				lines = append(lines, line)
				line = ""
			}
			line += string(r)
		}
	}
	return append(lines, line)
}

// valueAxis is the range and the ticks of a y axis.
type valueAxis struct {
	min, max float64
	ticks    plot.ConstantTicks
	scale    plot.Normalizer
}

// linearAxis holds low..high with a margin, which does not reach below 0 where
// they do not, and some seven ticks, or about the given number where that is less.
func linearAxis(low, high float64, ticks int) valueAxis {
	margin := 0.05 * (high - low)
	if high-low < 0.01 { // one image of the table's 9,984, in percent
		margin = 0.5
	}
	a := valueAxis{min: low - margin, max: high + margin, scale: plot.LinearScale{}}
	if low >= 0 {
		a.min = max(a.min, 0)
	}
	step := niceStep((a.max - a.min) / float64(min(ticks, 7)))
	for k := math.Ceil(a.min / step); k*step <= a.max; k++ {
		a.ticks = append(a.ticks, tick(k, step))
	}
	return a
}

// percentAxis is a linear axis of shares, which ends at 100 at the latest.
func percentAxis(low, high float64, ticks int) valueAxis {
	a := linearAxis(low, high, ticks)
	if high <= 100 {
		a.max = min(a.max, 100)
		a.ticks = slices.DeleteFunc(a.ticks, func(t plot.Tick) bool { return t.Value > a.max })
	}
	return a
}

// logAxis holds low..high between powers of ten or their double or fivefold, with
// at most the given number of labels where two are left; low > 0.
func logAxis(low, high float64, labels int) valueAxis {
	a := valueAxis{scale: plot.LogScale{}, min: niceBelow(low), max: niceStep(high)}
	if a.min == a.max {
		a.max = niceStep(1.01 * a.max)
	}
	bottom, top := int(math.Floor(math.Log10(a.min)+1e-9)), int(math.Ceil(math.Log10(a.max)-1e-9))
	decades := top - bottom
	// Labels at the powers of ten, their double and fivefold; at the powers alone;
	// at every second one, and so on, as many as there is room for.
	labelled := func(k float64, e, every int) bool {
		if every == 0 {
			return k == 1 || k == 2 || k == 5
		}
		return k == 1 && (e-bottom)%every == 0
	}
	count := func(every int) (n int) {
		for e := bottom; e <= top; e++ {
			for k := 1.; k < 10; k++ {
				if v := decimal(k, e); v >= a.min && v <= a.max && labelled(k, e, every) {
					n++
				}
			}
		}
		return n
	}
	every := 0
	for count(every) > labels && count(every+1) >= 2 {
		every++
	}
	for e := bottom; e <= top; e++ {
		for k := 1.; k < 10; k++ {
			t := plot.Tick{Value: decimal(k, e)}
			if t.Value < a.min || t.Value > a.max {
				continue
			}
			if labelled(k, e, every) {
				t.Label = strconv.FormatFloat(t.Value, 'g', -1, 64)
			}
			if k == 1 || decades < 8 {
				a.ticks = append(a.ticks, t)
			}
		}
	}
	room := math.Pow(a.max/a.min, 0.03) // off the axes
	a.min, a.max = a.min/room, a.max*room
	return a
}

// epochTicks are about the given number of ticks of the x axis up to epoch end.
func epochTicks(end, about int) plot.ConstantTicks {
	step := max(int(niceStep(float64(end)/float64(about))), 1)
	var ticks plot.ConstantTicks
	for e := 0; e <= end; e += step {
		ticks = append(ticks, plot.Tick{Value: float64(e), Label: strconv.Itoa(e)})
	}
	return ticks
}

// niceStep is the smallest 1, 2 or 5 times a power of ten that is at least x;
// x > 0.
func niceStep(x float64) float64 {
	e := int(math.Floor(math.Log10(x)))
	for _, k := range []float64{1, 2, 5} {
		if nice := decimal(k, e); nice >= x {
			return nice
		}
	}
	return decimal(1, e+1)
}

// niceBelow is the largest 1, 2 or 5 times a power of ten that is at most x;
// x > 0.
func niceBelow(x float64) float64 {
	e := int(math.Floor(math.Log10(x)))
	for _, k := range []float64{5, 2, 1} {
		if nice := decimal(k, e); nice <= x {
			return nice
		}
	}
	return decimal(5, e-1)
}

// decimal is k·10^e, correctly rounded, so that it prints as such.
func decimal(k float64, e int) float64 {
	x, _ := strconv.ParseFloat(fmt.Sprintf("%ge%d", k, e), 64)
	return x
}
