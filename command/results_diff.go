package command

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/results"
)

// exitTrouble is the exit code of results diff where it cannot compare, as of
// diff(1), whose 1 means that there are differences.
const exitTrouble = 2

func diffRunsCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show how two runs differ",
		ArgsUsage: "RUN_DIR RUN_DIR",
		Description: `Compares settings, provenance and records, wall times aside: byte for byte, so that
a run and its exact repetition are the same. The exit code is 0 where they are, 1
where they differ, 2 where they cannot be compared. Other processors, other names of
the same files and the states of the runs are shown but do not count.

Example:
  nb1shot results diff runs/s2-darts-quick-1f0c9a3e-seed0 elsewhere/s2-darts-quick-1f0c9a3e-seed0`,
		Flags:  []cli.Flag{jsonFlag()},
		Action: diffRuns,
	}
}

func diffRuns(c *cli.Context) error {
	if n := c.Args().Len(); n != 2 {
		return misuse(fmt.Errorf("%d arguments, want two run directories", n), "see %s --help", c.Command.HelpName)
	}
	var runs [2]*results.History
	for i, dir := range c.Args().Slice() {
		var err error
		if runs[i], err = readRun(dir); err != nil {
			return trouble(err)
		}
		warn(c.App.ErrWriter, runs[i])
	}
	comparison, err := results.Compare(runs[0], runs[1])
	if err != nil {
		return trouble(err)
	}
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, struct {
			A    string `json:"a"`
			B    string `json:"b"`
			Same bool   `json:"same"`
			results.Comparison
		}{runs[0].Dir, runs[1].Dir, comparison.Same(), comparison})
	} else {
		err = printComparison(c.App.Writer, runs[0], runs[1], comparison)
	}
	if err == nil && !comparison.Same() {
		err = errors.New("the runs differ")
	}
	return err
}

// trouble gives an error the exit code that says so.
func trouble(err error) error {
	f := &failure{error: err, code: exitTrouble}
	if inner := (*failure)(nil); errors.As(err, &inner) {
		f.hint = inner.hint
	}
	return f
}

func printComparison(w io.Writer, a, b *results.History, c results.Comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "run\t%s\t%s\n", a.Dir, b.Dir)
	section := func(title string, changes []results.Change) {
		if len(changes) == 0 {
			return
		}
		fmt.Fprintf(t, "\n%s\n", title)
		for _, change := range changes {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", change.Name, orNone(change.A), orNone(change.B))
		}
	}
	section("settings", c.Settings)
	section("provenance", c.Provenance)
	section("details, which do not count", c.Details)
	fmt.Fprintf(t, "\nrecords\t%d\t%d\n", len(a.Epochs), len(b.Epochs))
	switch d := c.Records; {
	case d == nil:
		fmt.Fprintf(t, "  the same\n")
	case d.OnlyA || d.OnlyB:
		which := map[bool]string{true: "first", false: "second"}[d.OnlyA]
		fmt.Fprintf(t, "  the same before epoch %d, which only the %s run has\n", d.Epoch, which)
	default:
		fmt.Fprintf(t, "  %s is the first that differs", recordTitle(results.Epoch{Epoch: d.Epoch, Final: d.Final}))
		switch {
		case d.First.Name == "":
			fmt.Fprintf(t, ", in its bytes but in no value\n")
		case d.More == 0:
			fmt.Fprintf(t, ", in one member\n  %s\t%s\t%s\n", d.First.Name, orNone(d.First.A), orNone(d.First.B))
		default:
			fmt.Fprintf(t, ", in %d members, first\n  %s\t%s\t%s\n", d.More+1, d.First.Name, orNone(d.First.A), orNone(d.First.B))
		}
	}
	if len(c.Measures) > 0 {
		fmt.Fprintf(t, "\nat the end\t\t\tdifference\n")
		for _, m := range c.Measures {
			fmt.Fprintf(t, "  %s\t%s\t%s", m.Name, number(m.A), number(m.B))
			if m.A != nil && m.B != nil {
				fmt.Fprintf(t, "\t%+.6g", *m.B-*m.A)
			}
			fmt.Fprintln(t)
		}
	}
	return t.Flush()
}

// orNone is the text for a cell of a table: not empty, and not too wide.
func orNone(text string) string {
	const width = 48
	letters := []rune(text)
	switch {
	case text == "":
		return "–"
	case len(letters) > width:
		return string(letters[:width-1]) + "…"
	}
	return text
}

func number(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.6g", *x)
}
