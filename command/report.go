package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/report"
	"github.com/nb1shot/nb1shot/results"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "make the figures and tables of a paper from runs",
		ArgsUsage: "RUN_DIR... [LANDSCAPE.json...]",
		Description: `Makes what the paper shows, as far as the runs allow: each figure as PNG, SVG and PDF,
each table as CSV and LaTeX, and a page of HTML with all of it that needs no other
file. RUN_DIR is a run directory or a folder of run directories, LANDSCAPE.json a file
that nb1shot landscape wrote. A report can be made again in its folder; nothing else
is ever overwritten. Regrets count from the lowest mean error of the table that the runs
were looked up in, if it is that of --table or in the data home, and else from the
published error.

Example:
  nb1shot report runs figures/landscape-*.json -o report`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the report to the folder `DIR`", Value: "report"},
			runSpacesFlag(),
			&cli.StringSliceFlag{Name: "beside", Usage: "show the runs at `RUN_DIR` too, which may be on other images, in the tables of test errors after training alone; may be given several times"},
			skipDamagedFlag(),
			selectionFlag(),
			&cli.StringFlag{Name: "table", Usage: "count regrets from the lowest error of the table at `PATH`, if the runs were looked up in it", DefaultText: "nasbench.sqlite in the data home"},
		},
		Action: interruptible(makeReport),
	}
}

func makeReport(c *cli.Context) (err error) {
	if !c.Args().Present() {
		return misuse(errors.New("RUN_DIR is missing"), "an example is: nb1shot report runs -o report")
	}
	var dirs, landscapes []string
	var in report.Input
	for _, path := range c.Args().Slice() {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || filepath.Ext(path) != ".json" {
			dirs = append(dirs, path)
			continue
		}
		landscapes = append(landscapes, path)
	}
	if dirs == nil {
		return misuse(errors.New("RUN_DIR is missing: there are landscapes alone"), "an example is: nb1shot report runs -o report")
	}
	var skipped *damage
	if in.Runs, skipped, err = readRunsAt(c, dirs); err != nil {
		return err
	}
	defer skipped.fail(&err)
	if err := oneFamily(in.Runs, "one report"); err != nil {
		return err
	}
	if paths := c.StringSlice("beside"); paths != nil {
		var left *damage
		if in.Beside, left, err = readRunsAt(c, paths); err != nil {
			return err
		}
		defer left.fail(&err)
	}
	for _, path := range landscapes {
		skipped.all++
		l, err := results.ReadLandscape(path)
		if err != nil {
			skipped.skip(err)
			continue
		}
		in.Landscapes = append(in.Landscapes, l)
	}
	if err := writeReport(c, c.String("out"), in); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, filepath.Join(c.String("out"), report.Page))
	return nil
}

// writeReport makes the report of in, whose Runs and Landscapes are given, in the
// folder dir, and shows how that goes.
func writeReport(c *cli.Context, dir string, in report.Input) (err error) {
	in.Program, in.Changed = "nb1shot "+version(), changedSettings
	if in.Anchors, err = findAnchors(c, in.Runs); err != nil {
		return err
	}
	course := newTally(c.App.ErrWriter, "figures")
	in.Progress = course.update
	err = report.Write(c.Context, dir, in)
	course.end()
	if mixed := (*results.MixedError)(nil); errors.As(err, &mixed) {
		err = fmt.Errorf("%s and %s differ in %s (%q and %q), so no report shows both", mixed.Dirs[0], mixed.Dirs[1], mixed.Field, mixed.Values[0], mixed.Values[1])
		return hinted(err, "make one report of the runs of each %s", strings.TrimSuffix(mixed.Field, "_digest"))
	}
	return err
}
