package plots

import (
	"fmt"
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
	if _, err := d.layered(); err != nil {
		return "", err
	}
	spec := d.Spec
	if d.Pruned {
		var err error
		if spec, err = spec.Prune(); err != nil {
			return "", fmt.Errorf("draw cell: %w", err)
		}
	}
	n := spec.Vertices()
	kept := survivors(spec)
	labels := make([]string, n)
	room := 0
	for v := range n {
		switch v {
		case 0:
			labels[v] = "input"
		case n - 1:
			labels[v] = "output"
		default:
			labels[v] = strings.Join(opLooks[spec.Ops[v-1]].lines, " ")
		}
		if !kept[v] {
			labels[v] = "(" + labels[v] + ")"
		}
		room = max(room, utf8.RuneCountInString(labels[v]))
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
	for v := range n {
		write(labels[v], arrows(lanes, v))
		last := 0
		var targets []int
		for y := v + 1; y < n; y++ {
			if spec.Matrix[v][y] == 1 {
				targets, last = append(targets, y), y
			}
		}
		if targets != nil {
			lanes = append(lanes, lane{targets, last})
			write("", beginning(lanes, v))
		}
	}
	if slices.Contains(kept, false) {
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
