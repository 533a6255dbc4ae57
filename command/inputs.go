package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

func skipDamagedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "skip-damaged", Usage: "exit with 0 even if folders were left out that are damaged or are no runs", DisableDefaultText: true}
}

// damage counts what a command reads and leaves out.
type damage struct {
	c            *cli.Context
	skipped, all int
}

// skip leaves out what cannot be read, and says so.
func (d *damage) skip(err error) {
	d.skipped++
	fmt.Fprintln(d.c.App.ErrWriter, program+": warning: left out:", err)
}

// fail makes a command that has succeeded without all of its runs fail. Defer it.
func (d *damage) fail(err *error) {
	if *err == nil && d.skipped > 0 && !d.c.Bool("skip-damaged") {
		*err = hinted(fmt.Errorf("damaged or no runs: %d of %d, left out", d.skipped, d.all), "--skip-damaged ignores them")
	}
}

// runSpacesFlag lets a command that reads runs leave some out.
func runSpacesFlag() cli.Flag {
	return &cli.StringFlag{Name: "spaces", Usage: "take the runs on the spaces of `LIST` alone, such as 1,3 or darts-s2; all are 1,2,3", DefaultText: "of all spaces"}
}

// byFamily parts runs on spaces of different families: they have no table, preset or
// images in common. Those of NAS-Bench-1Shot1 come first.
func byFamily(runs []*results.History) [][]*results.History {
	var parts [][]*results.History
	for _, family := range benchmark.Families() {
		part := slices.DeleteFunc(slices.Clone(runs), func(h *results.History) bool { return benchmark.FamilyOf(h.Run.Space) != family })
		if len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// oneFamily is an error unless all runs are on spaces of one family; what is what cannot
// be of several.
func oneFamily(runs []*results.History, what string) error {
	parts := byFamily(runs)
	if len(parts) < 2 {
		return nil
	}
	return misuse(fmt.Errorf("the runs are on spaces of %s and of %s: they have nothing in common that %s could compare", benchmark.FamilyOf(parts[0][0].Run.Space), benchmark.FamilyOf(parts[1][0].Run.Space), what),
		"--spaces %s takes those of one; --spaces %s those of the other", spaceList(parts[0]), spaceList(parts[1]))
}

// spaceList lists the spaces of runs as --spaces takes them.
func spaceList(runs []*results.History) string {
	var all []string
	for _, h := range runs {
		all = append(all, string(h.Run.Space))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

// readRuns reads the runs of the arguments.
func readRuns(c *cli.Context, example string) ([]*results.History, *damage, error) {
	if !c.Args().Present() {
		return nil, nil, misuse(errors.New("RUN_DIR is missing"), "an example is: %s", example)
	}
	return readRunsAt(c, c.Args().Slice())
}

// readRunsAt reads the runs at the paths and prints the warnings. A run that
// cannot be read, or whose record is not the one that it left, is left out, as is
// what there is at one of several paths and is no run; it is an error if nothing
// remains.
func readRunsAt(c *cli.Context, paths []string) ([]*results.History, *damage, error) {
	var chosen []spaces.Name
	if list := c.String("spaces"); list != "" { // of the commands that have it
		var err error
		if chosen, err = parseSpaces(list); err != nil {
			return nil, nil, err
		}
	}
	dirs, d, err := findRuns(c, paths)
	if err != nil {
		return nil, nil, err
	}
	var runs []*results.History
	for _, dir := range dirs {
		h, err := results.Read(dir)
		if err == nil {
			err = h.Misfit
		}
		if err != nil {
			d.skip(err)
			continue
		}
		if chosen != nil && !slices.Contains(chosen, h.Run.Space) {
			continue
		}
		warn(c.App.ErrWriter, h)
		runs = append(runs, h)
	}
	switch {
	case len(runs) == 0 && chosen != nil && d.skipped < d.all:
		return nil, nil, misuse(fmt.Errorf("no run is on space %s", strings.Join(joined(chosen), ", ")), "nb1shot results ls tells which there are")
	case len(runs) == 0:
		return nil, nil, errors.New("no run is left")
	}
	if runs, err = bySelection(c, runs); err != nil {
		return nil, nil, err
	}
	return runs, d, nil
}

// findRuns returns the run directories at the paths.
func findRuns(c *cli.Context, paths []string) ([]string, *damage, error) {
	d := &damage{c: c}
	var dirs []string
	for _, path := range paths {
		if filepath.Base(path) == sweep.File && len(paths) > 1 {
			continue // stands among its runs
		}
		found, err := results.Find(path)
		if _, absent := os.Stat(path); err != nil && (absent != nil || len(paths) == 1) {
			return nil, nil, err
		}
		if err != nil { // the wildcards of a shell name all kinds of files
			d.all++
			d.skip(err)
			continue
		}
		dirs = append(dirs, found...)
	}
	d.all += len(dirs)
	return dirs, d, nil
}

// readRun returns the only run at a path.
func readRun(path string) (*results.History, error) {
	dirs, err := results.Find(path)
	if err != nil {
		return nil, err
	}
	if len(dirs) > 1 {
		return nil, hinted(fmt.Errorf("%s holds %d runs", path, len(dirs)), "name one of them, such as %s", dirs[0])
	}
	return results.Read(dirs[0])
}

// warn says what was passed over while a run was read.
func warn(w io.Writer, h *results.History) {
	for _, warning := range h.Warnings {
		fmt.Fprintln(w, program+": warning:", warning)
	}
}
