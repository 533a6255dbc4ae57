package plots

import (
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

	"github.com/nb1shot/nb1shot/results"
)

// The palette of Okabe and Ito, which stays distinct under colour blindness,
// without its yellow, too faint for a line on white.
var colours = []color.NRGBA{
	{0, 114, 178, 255},   // blue
	{230, 159, 0, 255},   // orange
	{213, 94, 0, 255},    // vermillion
	{0, 158, 115, 255},   // bluish green
	{204, 121, 167, 255}, // reddish purple
	{86, 180, 233, 255},  // sky blue
	{0, 0, 0, 255},       // black
}

// dashes are prime to the colours in number, so that stepping through both at
// once meets every pair before it repeats.
var dashes = [][]vg.Length{
	nil,
	{vg.Points(5), vg.Points(2)},
	{vg.Points(7), vg.Points(1.2), vg.Points(1.2), vg.Points(1.2)},
	{vg.Points(1.5), vg.Points(1.2)},
}

// known are the algorithms whose style is the same in every figure.
var known = []string{
	"darts", "sdarts-rs", "sdarts-adv", "pc-darts", "gdas", "nasp", "enas",
	"pc-darts-rs", "pc-darts-adv", "darts-2nd", "darts-hr", "darts-es", "r-darts-l2",
	"r-darts-dp", "random-ws", "random-search", "regularized-evolution", "drift",
}

// titles are what legends call the algorithms that are not called by their name
// in capitals.
var titles = map[string]string{
	"darts-2nd": "DARTS, 2nd order", "darts-hr": "DARTS-HR (own hyper-parameters)",
	"r-darts-l2": "R-DARTS (L2)", "r-darts-dp": "R-DARTS (DP)",
	"random-ws": "Random search (weight sharing)", "random-search": "Random search (table)",
	"regularized-evolution": "Regularised evolution (table)", "drift": "Drift (control)",
}

// lineStyle tells a curve from others by colour and dashes. Its rank is its
// place in the legend.
type lineStyle struct {
	rank   int
	colour color.NRGBA
	dashes []vg.Length
}

// band is the colour of the area around the line.
func (s lineStyle) band() color.NRGBA {
	c := s.colour
	c.A = 45
	return c
}

// assignStyles gives every name in the figure a style of its own: the known
// algorithms theirs, everything else the free ones in the order of the names.
func assignStyles(curves []results.Curve) (map[string]lineStyle, error) {
	available := len(colours) * len(dashes)
	free := make([]int, 0, 2*available)
	for rank := len(known); rank < available; rank++ {
		free = append(free, rank)
	}
	for rank := range known {
		free = append(free, rank)
	}
	ranks := map[string]int{}
	other := map[string]bool{}
	for _, c := range curves {
		rank := slices.Index(known, c.Algorithm)
		if rank < 0 || c.Variant != "" {
			other[displayName(c)] = true
			continue
		}
		ranks[displayName(c)] = rank
		free = slices.DeleteFunc(free, func(r int) bool { return r == rank })
	}
	if len(other) > len(free) {
		return nil, fmt.Errorf("plots: %d curves, but only %d can be told apart: draw fewer", len(other)+len(ranks), available)
	}
	for i, name := range slices.Sorted(maps.Keys(other)) {
		ranks[name] = free[i]
	}
	styles := map[string]lineStyle{}
	for name, rank := range ranks {
		styles[name] = lineStyle{rank, colours[rank%len(colours)], dashes[rank%len(dashes)]}
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

// linearAxis holds low..high, in percent, with a margin.
func linearAxis(low, high float64) valueAxis {
	margin := 0.05 * (high - low)
	if high-low < 0.01 { // one image of the table's 9,984
		margin = 0.5
	}
	a := valueAxis{min: max(low-margin, 0), max: high + margin, scale: plot.LinearScale{}}
	step := niceStep((a.max - a.min) / 7)
	for k := math.Ceil(a.min / step); k*step <= a.max; k++ {
		a.ticks = append(a.ticks, plot.Tick{Value: k * step, Label: strconv.FormatFloat(k*step, 'g', 6, 64)})
	}
	return a
}

// logAxis holds low..high between powers of ten or their double or fivefold;
// low > 0.
func logAxis(low, high float64) valueAxis {
	a := valueAxis{scale: plot.LogScale{}, min: niceBelow(low), max: niceStep(high)}
	if a.min == a.max {
		a.max = niceStep(1.01 * a.max)
	}
	bottom, top := int(math.Floor(math.Log10(a.min)+1e-9)), int(math.Ceil(math.Log10(a.max)-1e-9))
	decades := top - bottom
	for e := bottom; e <= top; e++ {
		for k := 1.; k < 10; k++ {
			t := plot.Tick{Value: decimal(k, e)}
			if t.Value < a.min || t.Value > a.max {
				continue
			}
			powers := k == 1 && (e-bottom)%(1+decades/8) == 0
			if powers || decades < 3 && (k == 2 || k == 5) {
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

// epochTicks are the ticks of the x axis up to epoch end.
func epochTicks(end int) plot.ConstantTicks {
	step := max(int(niceStep(float64(end)/5)), 1)
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
