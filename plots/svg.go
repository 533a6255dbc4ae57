package plots

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

// What vgsvg writes says more than can be seen: the font of every text in full, points
// on straight lines, digits.

// tolerance is how far a line may pass beside the points that are left out of it.
const tolerance vg.Length = 0.05

var (
	svgFont = regexp.MustCompile(`font-family:` + fontFamily + `;font-variant:normal;font-weight:normal;font-style:normal;`)
	svgAxes = regexp.MustCompile(`<g (transform="scale\(1, -1\) translate)`)
	svgLine = regexp.MustCompile(` d="(M[-+.,e\dMLZ]*)"`) // without arcs and curves
)

// compact returns the SVG of a figure that looks the same in fewer bytes. Programs
// that lack the font or pass over an embedded one take one of the same widths.
func compact(svg []byte) []byte {
	svg = svgFont.ReplaceAll(svg, nil)
	if at := svgAxes.FindSubmatchIndex(svg); at != nil { // all is within
		style := fmt.Sprintf(`style="font-family:%s,Arial,Helvetica,sans-serif" `, fontFamily)
		svg = bytes.Join([][]byte{svg[:at[2]], svg[at[2]:]}, []byte(style))
	}
	return svgLine.ReplaceAllFunc(svg, func(attribute []byte) []byte {
		if short, ok := compactPath(string(attribute[4 : len(attribute)-1])); ok {
			return []byte(` d="` + short + `"`)
		}
		return attribute
	})
}

// compactPath rewrites a path of straight lines, and is false for one that it cannot read.
func compactPath(d string) (string, bool) {
	var short strings.Builder
	for part := range strings.SplitSeq(d[1:], "M") {
		part, closed := strings.CutSuffix(part, "Z")
		var points []vg.Point
		for pair := range strings.SplitSeq(part, "L") {
			x, y, ok := strings.Cut(pair, ",")
			px, err := strconv.ParseFloat(x, 64)
			py, err2 := strconv.ParseFloat(y, 64)
			if !ok || err != nil || err2 != nil {
				return "", false
			}
			points = append(points, vg.Point{X: vg.Length(px), Y: vg.Length(py)})
		}
		writeLines(&short, simplify(points))
		if closed {
			short.WriteByte('z')
		}
	}
	return short.String(), true
}

// simplify leaves out points of a line that lie, within the tolerance, between their
// neighbours that stay.
func simplify(points []vg.Point) []vg.Point {
	if len(points) < 3 {
		return points
	}
	kept := points[:1:1]
	anchor, far := points[0], vg.Length(0)
	ahead, left, right := 0.0, 0.0, 0.0 // the direction, and how far it may turn, once far > 0
	for i := 1; i < len(points); i++ {
		// The line from the anchor to a later point must pass all between them, none of
		// which may lie further away than those that follow.
		from := points[i].Sub(anchor)
		away := vg.Length(math.Hypot(float64(from.X), float64(from.Y)))
		angle := math.Atan2(float64(from.Y), float64(from.X))
		turn := math.Remainder(angle-ahead, 2*math.Pi)
		if points[i-1] != anchor && (away < far || far > 0 && (turn < right || turn > left)) {
			anchor, far = points[i-1], 0
			kept = append(kept, anchor)
			i--
			continue
		}
		if away <= tolerance {
			continue
		}
		width := math.Asin(float64(tolerance / away))
		if far == 0 {
			ahead, left, right = angle, width, -width
		} else {
			left, right = min(left, turn+width), max(right, turn-width)
		}
		far = away
	}
	return append(kept, points[len(points)-1])
}

// writeLines writes lines with two digits after the point, each point counted from the
// one before as it was written, so that nothing adds up.
func writeLines(b *strings.Builder, points []vg.Point) {
	const unit = 100
	round := func(p vg.Point) (x, y int64) {
		return int64(math.Round(unit * float64(p.X))), int64(math.Round(unit * float64(p.Y)))
	}
	number := func(n int64) string {
		text := strconv.FormatFloat(float64(n)/unit, 'f', -1, 64)
		if digits, ok := strings.CutPrefix(text, "0."); ok {
			return "." + digits
		}
		if digits, ok := strings.CutPrefix(text, "-0."); ok {
			return "-." + digits
		}
		return text
	}
	x, y := round(points[0])
	b.WriteString("M" + number(x) + "," + number(y))
	was := byte('M')
	for _, p := range points[1:] {
		nextX, nextY := round(p)
		dx, dy := nextX-x, nextY-y
		x, y = nextX, nextY
		command, text := byte('l'), number(dx)+","+number(dy)
		switch {
		case dx == 0 && dy == 0 && len(points) > 2:
			continue
		case dy == 0:
			command, text = 'h', number(dx)
		case dx == 0:
			command, text = 'v', number(dy)
		}
		if command == was {
			command = ' '
		} else {
			was = command
		}
		b.WriteByte(command)
		b.WriteString(text)
	}
}
