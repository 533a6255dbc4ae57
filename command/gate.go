package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark/stability"
)

func gateCommand() *cli.Command {
	return &cli.Command{
		Name:      "gate",
		Usage:     "test runs of algorithms against a recorded baseline",
		UsageText: "nb1shot gate --baseline FILE RUN_DIR... [options]\nnb1shot gate --make FILE RUN_DIR... [--force]",
		ArgsUsage: "RUN_DIR...",
		Description: `Seeds that the baseline has must give the same records again, byte for byte, on the
same kind of processor; other seeds must not be significantly worse. The exit code is
0 if all passes, and 1 if anything is degraded, drifted, incomplete or not comparable.
--make records a baseline. docs/gate.md explains both.

Example:
  nb1shot gate --make darts.json runs/s?-darts-smoke-*
  nb1shot gate --baseline darts.json new/s?-darts-smoke-* --junit gate.xml`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "baseline", Usage: "test against the baseline in `FILE`, or in all the files of a folder"},
			&cli.StringFlag{Name: "make", Usage: "record the runs as the baseline `FILE`"},
			forceFlag(),
			skipDamagedFlag(),
			alphaFlag(),
			seedsFlag("each algorithm must have, such as 0-4,7", "all that any of them has"),
			&cli.BoolFlag{Name: "changed", Usage: "test runs of changed settings, too, against those of their algorithm", DisableDefaultText: true},
			optionalFlag{&cli.StringFlag{Name: "json", Usage: "print JSON; with a `FILE` after it, write it there"}},
			&cli.StringFlag{Name: "junit", Usage: "write the report as JUnit XML to `FILE`"},
		},
		Action: func(c *cli.Context) error {
			switch {
			case c.IsSet("make") && c.IsSet("baseline"):
				return misuse(errors.New("--make and --baseline exclude each other"), "see %s --help", c.Command.HelpName)
			case c.IsSet("make"):
				return makeBaseline(c)
			case c.IsSet("baseline"):
				return gate(c)
			}
			return misuse(errors.New("option --baseline is missing"), "an example is: nb1shot gate --baseline baseline.json runs")
		},
	}
}

// makeBaseline records runs in a file.
func makeBaseline(c *cli.Context) (err error) {
	for _, name := range []string{"alpha", "seeds", "changed", "json", "junit"} {
		if c.IsSet(name) {
			return misuse(fmt.Errorf("--%s has no meaning with --make", name), "see %s --help", c.Command.HelpName)
		}
	}
	path := c.String("make")
	if err := reserve(c, path); err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot gate --make baseline.json runs")
	if err != nil {
		return err
	}
	if skipped.fail(&err); err != nil { // a baseline holds all that it was made of
		return err
	}
	b, err := stability.NewBaseline(runs)
	if err != nil {
		return err
	}
	text, err := b.Marshal()
	if err != nil {
		return err
	}
	if err := save(c, path, text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: runs: %d, configurations: %d, %s kB\n", path, len(runs), len(b.Entries), grouped((len(text)+999)/1000))
	return err
}

// gate tests runs against a baseline.
func gate(c *cli.Context) (err error) {
	jsonFile := c.String("json")
	if jsonFile == "-" {
		jsonFile = ""
	}
	if err := reserve(c, c.String("junit"), jsonFile); err != nil {
		return err
	}
	alpha, err := significance(c)
	if err != nil {
		return err
	}
	wanted, err := seedList(c)
	if err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot gate --baseline baseline.json runs")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	b, err := stability.ReadBaseline(c.String("baseline"))
	if err != nil {
		return hinted(err, "to record one: nb1shot gate --make FILE RUN_DIR...")
	}
	report, err := stability.Gate(b, runs, stability.GateOptions{Alpha: alpha, Seeds: wanted, Changed: c.Bool("changed")})
	if err != nil {
		return err
	}
	if path := c.String("junit"); path != "" {
		text, err := report.JUnit()
		if err != nil {
			return err
		}
		if err := save(c, path, text); err != nil {
			return err
		}
	}
	switch path := c.String("json"); path {
	case "":
		err = printGate(c.App.Writer, report)
	case "-":
		err = writeJSON(c.App.Writer, report)
	default:
		var text []byte
		if text, err = json.MarshalIndent(report, "", " "); err == nil {
			err = errors.Join(save(c, path, append(text, '\n')), printGate(c.App.Writer, report))
		}
	}
	if err != nil {
		return err
	}
	if report.Verdict == stability.Pass {
		return nil
	}
	err = fmt.Errorf("gate: %s", report.Verdict)
	if slices.ContainsFunc(report.Curves, func(g stability.GatedCurve) bool { return g.Unknown != "" }) && !c.Bool("changed") {
		return hinted(err, "record what the baseline lacks with --make, or, where settings were changed on purpose, test against the recorded ones with --changed")
	}
	return err
}

func printGate(w io.Writer, r *stability.Report) error {
	for _, g := range r.Curves {
		fmt.Fprintf(w, "%s: %s\n", g.Title(), g.Verdict)
		if g.Unknown != "" {
			fmt.Fprintf(w, "  %s\n\n", g.Unknown)
			continue
		}
		for _, change := range g.Changes {
			fmt.Fprintf(w, "  changed %s\n", change)
		}
		if text := g.Lacking(); text != "" {
			fmt.Fprintf(w, "  incomplete: %s\n", text)
		}
		fmt.Fprintf(w, "  records %s\n", g.Exact)
		if len(g.Tests) > 0 {
			which := "all seeds"
			if g.Fresh {
				which = "fresh seeds"
			}
			fmt.Fprintf(w, "  %s, one-sided Mann–Whitney, significant at %g after Holm's correction:\n", which, r.Alpha)
			rows := [][]string{{"   ", "n", "median", "baseline", "mean", "baseline", "p", "corrected", "A12", "power", ""}}
			for _, t := range g.Tests {
				rows = append(rows, testRow(t))
			}
			if err := printAligned(w, rows); err != nil {
				return err
			}
		}
		fmt.Fprintln(w)
	}
	switch n := len(r.NotRun); {
	case n > 4:
		fmt.Fprintf(w, "in the baseline and not run: %s and %d others\n", strings.Join(r.NotRun[:2], "; "), n-2)
	case n > 0:
		fmt.Fprintf(w, "in the baseline and not run: %s\n", strings.Join(r.NotRun, "; "))
	}
	_, err := fmt.Fprintf(w, "gate: %s\n", r.Verdict)
	return err
}

func testRow(t stability.GateTest) []string {
	definition, _ := stability.Lookup(t.Measure)
	row := []string{"    " + definition.Title}
	switch t.Verdict {
	case stability.Lacks, stability.Unknown:
		return append(row, fmt.Sprintf("%d/%d", t.N, t.M), "–", "–", "–", "–", "–", "–", "–", "–", t.String())
	}
	verdict := string(t.Verdict)
	if t.Verdict == stability.TooFew {
		verdict += fmt.Sprintf(" (corrected p ≥ %.2g)", t.Floor)
	}
	number := func(x float64) string { return inUnit(definition.Unit, x) }
	return append(row, fmt.Sprintf("%d/%d", t.N, t.M), number(t.Median), number(t.BaselineMedian), number(t.Mean), number(t.BaselineMean),
		fmt.Sprintf("%.3g", t.P), fmt.Sprintf("%.3g", t.Corrected), fmt.Sprintf("%.2f", t.A12), fmt.Sprintf("%.2f", t.Power), verdict)
}
