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
		Description: `Recomputes every case in a folder of golden data and compares the numbers. It fails if
a number differs, or if a case is of a kind that is not supported.

Example:
  nb1shot verify --golden testdata/golden`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "golden", Usage: "`DIR` of the golden data", Value: "testdata/golden"},
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
	w := c.App.Writer
	const row = "%-22s %-21s %-23s %-10s %s\n"
	counts := map[verify.Verdict]int{}
	all, err := verify.Run(c.Context, c.String("golden"), c.String("engine"), c.Int("threads"), func(r verify.Result) {
		if len(counts) == 0 {
			fmt.Fprintf(w, row, "case", "kind", "largest relative error", "tolerance", "verdict")
		}
		counts[r.Verdict]++
		if r.Verdict == verify.Unsupported {
			fmt.Fprintf(w, row, r.Case, "-", "-", "-", r.Verdict)
			return
		}
		fmt.Fprintf(w, row, r.Case, r.Kind, fmt.Sprintf("%.1e", r.Error), fmt.Sprintf("%.0e", r.Tolerance), r.Verdict)
		if r.Verdict == verify.Fail {
			fmt.Fprintf(w, "  %s %s\n", r.At, r.Detail)
		}
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, verify.ErrNoCases):
		return hinted(err, "run it in a checkout of nb1shot, or give the golden data with --golden DIR")
	case err != nil:
		return err
	}
	fmt.Fprintf(w, "%d cases: %d pass, %d fail, %d not supported\n",
		len(all), counts[verify.Pass], counts[verify.Fail], counts[verify.Unsupported])
	if !verify.Passed(all) {
		return fmt.Errorf("%d of %d cases in %s do not pass", len(all)-counts[verify.Pass], len(all), c.String("golden"))
	}
	return nil
}
