package command

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/verify"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "check this program against golden numbers of the released code",
		Description: `Recomputes every golden case and compares the numbers. The cases are those in this
program or, with --golden, those in a folder. It fails if a number differs, or if
the program has no check for a case. docs/verify.md describes what is compared.

Examples:
  nb1shot verify
  nb1shot verify --cases 'steps_darts_*'
  nb1shot verify --engine cpu --golden shared/golden`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "golden", Usage: "`DIR` of golden data, a folder per case", DefaultText: "the cases in this program"},
			&cli.StringFlag{Name: "cases", Usage: "those whose names match `PATTERN`, with * for any text", DefaultText: "all"},
			engineFlag("ref"),
			threadsFlag(),
		},
		Action: interruptible(verifyGolden),
	}
}

func verifyGolden(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := checkEngine(c); err != nil {
		return err
	}
	source := verify.Embedded()
	if c.IsSet("golden") {
		source = verify.Folder(c.String("golden"))
	}
	if c.IsSet("cases") {
		var err error
		if source, err = source.Like(c.String("cases")); err != nil {
			return misuse(fmt.Errorf("--cases: %w", err), "* stands for any text, ? for any character: --cases 'forward_*'")
		}
	}
	w := c.App.Writer
	const row = "%-26s %-28s %-15s %-10s %s\n"
	counts := map[verify.Verdict]int{}
	nearest := map[string]verify.Result{} // to its tolerance, of each kind
	var kinds []string
	all, err := verify.Run(c.Context, source, c.String("engine"), c.Int("threads"), func(r verify.Result) {
		if len(counts) == 0 {
			fmt.Fprintf(w, row, "case", "kind", "relative error", "tolerance", "verdict")
		}
		counts[r.Verdict]++
		if r.Verdict == verify.NotChecked {
			fmt.Fprintf(w, row, r.Case, "-", "-", "-", r.Verdict)
			return
		}
		kind := r.Kind
		if kind == "" {
			kind = "-"
		}
		fmt.Fprintf(w, row, r.Case, kind, fmt.Sprintf("%.1e", r.Error), fmt.Sprintf("%.0e", r.Tolerance), r.Verdict)
		if r.Verdict == verify.Fail {
			fmt.Fprintf(w, "  %s %s\n", r.At, r.Detail)
		}
		before, seen := nearest[kind]
		if !seen {
			kinds = append(kinds, kind)
		}
		if !seen || r.Error*before.Tolerance > before.Error*r.Tolerance {
			nearest[kind] = r
		}
	})
	switch {
	case errors.Is(err, verify.ErrNoCases) && c.IsSet("cases"):
		return hinted(err, "without --cases all are checked, and their names are listed")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, verify.ErrNoCases):
		return hinted(err, "give a folder of golden data with --golden DIR, or leave it out to check the cases in this program")
	case err != nil:
		return err
	}
	if len(kinds) > 0 {
		fmt.Fprintf(w, "\nof each kind, what comes nearest to its tolerance:\n")
	}
	for _, kind := range kinds {
		r := nearest[kind]
		fmt.Fprintf(w, "  %-28s %.1e of %.0e", kind, r.Error, r.Tolerance)
		if r.Error > 0 && r.At != "" {
			fmt.Fprintf(w, "  %s, %s", r.Case, r.At)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d cases: %d pass, %d fail, %d not checked\n",
		len(all), counts[verify.Pass], counts[verify.Fail], counts[verify.NotChecked])
	if verify.Passed(all) {
		return nil
	}
	err = fmt.Errorf("%d of %d cases in %s do not pass: %d fail, %d not checked",
		len(all)-counts[verify.Pass], len(all), source, counts[verify.Fail], counts[verify.NotChecked])
	if counts[verify.Fail] == 0 {
		return hinted(err, "this version of nb1shot has no check for the cases that the list calls \"not checked\"")
	}
	return err
}
