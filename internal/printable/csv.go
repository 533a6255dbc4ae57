package printable

import (
	"encoding/csv"
	"io"
	"regexp"
)

// CSV writes comma-separated values that spreadsheets take for what they are: each
// cell is Text, and one that a spreadsheet would compute has an apostrophe before it.
type CSV struct{ w *csv.Writer }

// NewCSV returns a CSV to w.
func NewCSV(w io.Writer) *CSV { return &CSV{csv.NewWriter(w)} }

// Write writes one row; Flush keeps an error.
func (c *CSV) Write(row []string) {
	cells := make([]string, len(row))
	for i, cell := range row {
		cells[i] = Cell(cell)
	}
	c.w.Write(cells) // Error has it
}

// Flush writes what is still in memory and returns the first error of all.
func (c *CSV) Flush() error {
	c.w.Flush()
	return c.w.Error()
}

var (
	// Spreadsheets compute what begins so, the wide forms in some languages.
	formula = regexp.MustCompile(`^[\s]*[=+\-@＝＋－＠]|^[\t\r]`)
	number  = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)
)

// Cell is Text of a cell of comma-separated values, with an apostrophe before what a
// spreadsheet would take for a formula. Numbers stay as they are.
func Cell(s string) string {
	if formula.MatchString(s) && !number.MatchString(s) {
		s = "'" + s
	}
	return Text(s)
}
