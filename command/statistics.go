package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

func tableStatsCommand() *cli.Command {
	return &cli.Command{
		Name:  "stats",
		Usage: "show how the test errors of a space are distributed",
		Description: `Summarises the mean test errors of the cells that a search can end in, each counting
once, and breaks them down by what pruning keeps of the cell: its max-poolings, the
only operation without parameters, its width and depth; and by the parameters of the
network, in quartiles. With -o it also draws the distribution and the breakdown, each as
PNG, SVG and PDF. Without a table it shows what the surrogate predicts.

Example:
  nb1shot table stats --space 1 -o figures`,
		Flags: []cli.Flag{
			tableSpaceFlag("", "all"),
			budgetFlag(),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write figures to `DIR`"},
			forceFlag(),
			tableFlag(),
			jsonFlag(),
		},
		Action: interruptible(describeErrors),
	}
}

func tableTopCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "list the best cells of a table or a space",
		Description: `Lists the cells of the lowest mean test error, of those that a search in the space
can end in, or of the whole table. With -o it draws each of them as PNG, SVG and PDF.

Example:
  nb1shot table top --space 1 -n 3 -o figures`,
		Flags: []cli.Flag{
			tableSpaceFlag("", "the whole table"),
			bounded(&cli.IntFlag{Name: "n", Usage: "list `N` cells", Value: 10}, 1, 500_000),
			budgetFlag(),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write drawings to `DIR`"},
			forceFlag(),
			tableFlag(),
			jsonFlag(),
		},
		Action: interruptible(listTop),
	}
}

// errorStatistics is the output of table stats --json.
type errorStatistics struct {
	Source  source                `json:"source"`
	Spaces  []nasbench.Statistics `json:"spaces"`
	Figures []string              `json:"figures"` // files
}

func describeErrors(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ids, err := chosenSpaces(c)
	if err != nil {
		return err
	}
	if c.IsSet("out") {
		err = reserveFigures(c, c.String("out"), errorFigures(ids)...)
	} else {
		err = reserve(c)
	}
	if err != nil {
		return err
	}
	oracle, err := openTableAt(c, c.Int("budget"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	out := errorStatistics{Source: source(oracle.Source()), Figures: []string{}}
	for _, id := range ids {
		s, err := nasbench.SpaceStatistics(c.Context, oracle, id, c.Int("budget"))
		if err != nil {
			return lookupHint(err)
		}
		out.Spaces = append(out.Spaces, s)
	}
	if c.IsSet("out") {
		if out.Figures, err = saveFigures(c, c.String("out"), out.figures(errorFigures(ids))); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, out)
	}
	return out.print(c.App.Writer)
}

// chosenSpaces returns the space of --space, or all.
func chosenSpaces(c *cli.Context) ([]spaces.Name, error) {
	var names []spaces.Name
	if c.IsSet("space") {
		if _, err := nb1shot1.Get(spaceOf(c)); err != nil {
			return nil, misuse(err, "see %s --help", c.Command.HelpName)
		}
		return append(names, spaceOf(c)), nil
	}
	for _, s := range nb1shot1.All() {
		names = append(names, s.Name())
	}
	return names, nil
}

// The names of properties in tables and figures.
var propertyNames = map[nasbench.Property]string{
	nasbench.ParameterFree: "max-poolings",
	nasbench.Width:         "width",
	nasbench.Depth:         "depth",
	nasbench.Parameters:    "parameters",
}

var propertyTitles = map[nasbench.Property]string{
	nasbench.ParameterFree: "Max-poolings",
	nasbench.Width:         "Width",
	nasbench.Depth:         "Depth",
	nasbench.Parameters:    "Parameters (quarter)",
}

func (s errorStatistics) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%s\n", tableTitle(s.Source.Kind), s.Source.Detail)
	for _, space := range s.Spaces {
		fmt.Fprintf(w, "\nspace %s: %s of the %s cells that a search can end in\n", space.Space, grouped(space.Cells), grouped(space.Reachable))
		fmt.Fprintf(w, "%s (%%) after %d epochs\n", strings.ToLower(errorName(s.Source.Kind)), space.Epochs)
		rows := [][]string{
			{"", "cells", "lowest", "10 %", "25 %", "median", "75 %", "90 %", "≥ 25 %"},
			summaryRow("all", space.Summary),
		}
		for _, by := range space.By {
			for _, g := range by.Groups {
				value := fmt.Sprintf("%g", g.From)
				if by.Property == nasbench.Parameters {
					value = grouped(int(g.From)) + " to " + grouped(int(g.To))
				}
				rows = append(rows, summaryRow(propertyNames[by.Property]+" "+value, g.Summary))
			}
		}
		if err := printAligned(w, rows); err != nil {
			return err
		}
	}
	for i, file := range s.Figures {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, file)
	}
	return nil
}

func summaryRow(label string, s nasbench.Summary) []string {
	row := []string{label, grouped(s.Cells)}
	for _, x := range []float64{s.Lowest, s.P10, s.P25, s.P50, s.P75, s.P90} {
		row = append(row, fmt.Sprintf("%.2f", 100*x))
	}
	return append(row, grouped(s.Diverged))
}

// printAligned writes the first column to the left and the others to the right.
func printAligned(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, text := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], text)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// errorFigures are the names of the figures of these spaces.
func errorFigures(names []spaces.Name) []string {
	suffix := ""
	if len(names) == 1 {
		suffix = fmt.Sprintf("-%s", names[0].FileName())
	}
	return []string{"table-errors" + suffix, "table-errors-by-structure" + suffix}
}

// figures are the distribution and its breakdown, of these names.
func (s errorStatistics) figures(names []string) []drawing {
	first := s.Spaces[0]
	name := fmt.Sprintf("%s after %d epochs", errorName(s.Source.Kind), first.Epochs)
	table := tableNote(s.Source.Kind, s.Source.Detail)
	var histograms []plots.ErrorDistribution
	var titles []string
	for _, space := range s.Spaces {
		title := fmt.Sprintf("Space %s", space.Space)
		titles = append(titles, title)
		histograms = append(histograms, plots.ErrorDistribution{Title: title, Errors: space.Errors, Quantiles: plots.Quantiles(space.Quantiles)})
	}
	width := plots.Page
	if len(s.Spaces) == 1 {
		width = plots.Column
	}
	smallest := first.Cells
	for _, space := range s.Spaces {
		for _, by := range space.By {
			for _, g := range by.Groups {
				smallest = min(smallest, g.Cells)
			}
		}
	}
	return []drawing{
		{names[0], func() (*plots.Figure, error) {
			return plots.TestErrorHistograms(histograms, name, []string{"Each cell that a search can end in counts once. " + table}, width)
		}},
		{names[1], func() (*plots.Figure, error) {
			note := fmt.Sprintf("The smallest group has %s of the cells that a search can end in. %s", grouped(smallest), table)
			return plots.TestErrorsByGroup(s.breakdown(), titles, name, []string{note}, plots.Page)
		}},
	}
}

// breakdown arranges the groups of all spaces by property, on axes that hold the
// values of each.
func (s errorStatistics) breakdown() []plots.GroupedErrors {
	var panels []plots.GroupedErrors
	for i, by := range s.Spaces[0].By {
		panel := plots.GroupedErrors{Title: propertyTitles[by.Property]}
		position := func(g nasbench.Group) float64 {
			if by.Property == nasbench.Parameters {
				return float64(g.Quarter)
			}
			return g.From
		}
		var values []float64
		for _, space := range s.Spaces {
			for _, g := range space.By[i].Groups {
				values = append(values, position(g))
			}
		}
		slices.Sort(values)
		values = slices.Compact(values)
		for _, value := range values {
			panel.Groups = append(panel.Groups, fmt.Sprintf("%g", value))
		}
		for _, space := range s.Spaces {
			quantiles := make([]*plots.Quantiles, len(values))
			for _, g := range space.By[i].Groups {
				q := plots.Quantiles(g.Quantiles)
				quantiles[slices.Index(values, position(g))] = &q
			}
			panel.Quantiles = append(panel.Quantiles, quantiles)
		}
		panels = append(panels, panel)
	}
	return panels
}

// topCell is a cell in the output of table top --json.
type topCell struct {
	Rank            int       `json:"rank"`
	Hash            cell.Hash `json:"hash"`
	Cell            cell.Spec `json:"cell"` // pruned
	TestError       float64   `json:"test_error"`
	ErrorBar        float64   `json:"error_bar,omitempty"`
	ValidationError *float64  `json:"validation_error"`
	ValidationBar   float64   `json:"validation_error_bar,omitempty"`
	TrainSeconds    *float64  `json:"training_seconds"`
	Parameters      int       `json:"parameters"`
	Drawings        []string  `json:"drawings,omitempty"` // files
}

// topCells is the output of table top --json.
type topCells struct {
	Source source      `json:"source"`
	Space  spaces.Name `json:"space,omitempty"` // none is the whole table
	Epochs int         `json:"epochs"`
	Cells  []topCell   `json:"cells"`
}

func listTop(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if _, err := chosenSpaces(c); err != nil {
		return err
	}
	out := topCells{Space: spaceOf(c), Epochs: c.Int("budget"), Cells: []topCell{}}
	if c.IsSet("out") {
		for rank := range c.Int("n") {
			if err := reserveFigures(c, c.String("out"), out.drawing(rank+1)); err != nil {
				return err
			}
		}
	} else if err := reserve(c); err != nil {
		return err
	}
	oracle, err := openTableAt(c, c.Int("budget"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	out.Source = source(oracle.Source())
	table, isTable := oracle.(*nasbench.Table)
	if !isTable && !c.IsSet("space") {
		return misuse(errors.New("option --space is missing: without a table there is no list of all cells"), "give --space, or a table with --table PATH")
	}
	top, err := nasbench.Top(c.Context, oracle, out.Space, out.Epochs, c.Int("n"))
	if err != nil {
		return lookupHint(err)
	}
	for i, e := range top {
		var m nasbench.Metrics
		if isTable {
			m, err = table.Lookup(e.Hash, out.Epochs)
		} else {
			m, err = oracle.Query(e.Spec)
		}
		if err != nil {
			return err
		}
		best := topCell{
			Rank: i + 1, Hash: e.Hash, Cell: e.Spec, TestError: m.TestError, ErrorBar: m.ErrorBar,
			ValidationError: m.ValidationError, ValidationBar: m.ValidationBar, TrainSeconds: m.TrainSeconds, Parameters: m.Parameters,
		}
		if c.IsSet("out") {
			if best.Drawings, err = saveFigures(c, c.String("out"), []drawing{out.draw(best, m)}); err != nil {
				return err
			}
		}
		out.Cells = append(out.Cells, best)
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, out)
	}
	return out.print(c.App.Writer)
}

// drawing is the name of the drawing of a cell.
func (t topCells) drawing(rank int) string {
	if t.Space != "" {
		return fmt.Sprintf("top-%s-%03d", t.Space.FileName(), rank)
	}
	return fmt.Sprintf("top-table-%03d", rank)
}

func (t topCells) draw(best topCell, m nasbench.Metrics) drawing {
	where := "the table"
	if t.Space != "" {
		where = fmt.Sprintf("space %s", t.Space)
	}
	d := plots.CellDrawing{Spec: best.Cell, Title: fmt.Sprintf("No. %d of %s", best.Rank, where), Caption: cellCaption(m, nasbench.Source(t.Source))}
	return drawing{t.drawing(best.Rank), func() (*plots.Figure, error) { return plots.Cell(d) }}
}

func (t topCells) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%s\n\n", tableTitle(t.Source.Kind), t.Source.Detail)
	rows := [][]string{{"", strings.ToLower(errorName(t.Source.Kind)), "validation error", "training time", "parameters", "hash"}}
	for _, best := range t.Cells {
		bar := func(half float64) *float64 {
			if half == 0 {
				return nil
			}
			return &half
		}
		validation, seconds := "unknown", "unknown"
		if best.ValidationError != nil {
			validation = withBar(*best.ValidationError, bar(best.ValidationBar))
		}
		if best.TrainSeconds != nil {
			seconds = duration(time.Duration(*best.TrainSeconds * float64(time.Second)))
		}
		rows = append(rows, []string{strconv.Itoa(best.Rank), withBar(best.TestError, bar(best.ErrorBar)), validation, seconds, grouped(best.Parameters), best.Hash.String()})
	}
	if err := printAligned(w, rows); err != nil {
		return err
	}
	for i, best := range t.Cells {
		if i == 0 && best.Drawings != nil {
			fmt.Fprintln(w)
		}
		for _, file := range best.Drawings {
			fmt.Fprintln(w, file)
		}
	}
	return nil
}
