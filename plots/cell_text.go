package plots

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// CellText draws a cell in characters, the vertices one below the other: the line that
// begins at a vertex leads down past those that come later, and an arrow leads from it
// to each that it feeds, whereas what passes a line without a joint crosses it. What
// pruning removes is in parentheses. With ascii it needs no others than ASCII's. The
// title and the caption stand above and below; the errors are those of Cell.
func CellText(d CellDrawing, ascii bool) (string, error) {
	g, err := d.diagram()
	if err != nil {
		return "", err
	}
	lost := false
	labels := make([]string, len(g.vertices))
	room := 0
	for i, v := range g.vertices {
		labels[i] = v.text()
		if !v.survives {
			labels[i], lost = "("+labels[i]+")", true
		}
		room = max(room, utf8.RuneCountInString(labels[i]))
	}

	var b strings.Builder
	if d.Title != "" {
		b.WriteString(d.Title + "\n\n")
	}
	var lanes []lane // in the order of their vertices, from the left
	write := func(label string, line []rune) {
		text := label + strings.Repeat(" ", room-utf8.RuneCountInString(label)) + " " + string(line)
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	for v := range g.vertices {
		write(labels[v], arrows(lanes, v))
		last := 0
		var targets []int
		for _, e := range g.edges {
			if e.source == v {
				targets, last = append(targets, e.target), e.target
			}
		}
		if targets != nil {
			lanes = append(lanes, lane{targets, last})
			write("", beginning(lanes, v))
		}
	}
	if lost {
		b.WriteString("\nIn parentheses: on no path from input to output.\n")
	}
	if d.Caption != nil {
		b.WriteString("\n" + strings.Join(d.Caption, "\n") + "\n")
	}
	if ascii {
		return toASCII.Replace(b.String()), nil
	}
	return b.String(), nil
}

// toASCII has what CellText draws with, and what captions say.
var toASCII = strings.NewReplacer("─", "-", "│", "|", "╮", "+", "┤", "+", "┼", "+", "┴", "+", "╯", "+", "◀", "<", "×", "x", "±", "+-", "–", "-")

// lane is the line that leads down from a vertex.
type lane struct {
	targets []int // vertices
	last    int   // of them
}

// arrows is the line of a vertex: what leads to it from the lanes, and those that pass.
func arrows(lanes []lane, v int) []rune {
	first := -1 // from the right of those that feed it
	for i, l := range lanes {
		if slices.Contains(l.targets, v) {
			first = i
		}
	}
	line := []rune("   ")
	if first >= 0 {
		line = []rune("◀──")
	}
	for i, l := range lanes {
		joint, between := ' ', ' '
		switch feeds := slices.Contains(l.targets, v); {
		case feeds && i == first && l.last == v:
			joint = '╯'
		case feeds && i == first:
			joint = '┤'
		case feeds && l.last == v:
			joint = '┴'
		case feeds:
			joint = '┼'
		case l.last >= v:
			joint = '│'
		case i < first:
			joint = '─'
		}
		if i < first {
			between = '─'
		}
		line = append(line, joint, between)
	}
	return line
}

// beginning is the line below a vertex, where the last of the lanes, its own, begins.
func beginning(lanes []lane, v int) []rune {
	line := []rune("───")
	for i, l := range lanes {
		switch {
		case i == len(lanes)-1:
			line = append(line, '╮')
		case l.last > v:
			line = append(line, '│', '─')
		default:
			line = append(line, '─', '─')
		}
	}
	return line
}
