package command

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/internal/watch"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do it, instead of saying what would be done", DisableDefaultText: true}
}

func removeRunsCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove runs",
		ArgsUsage: "RUN_DIR...",
		Description: `Says which run directories would be removed and what that frees; --yes removes them. A
run that a process works on stays, and so does one whose folder holds files that nb1shot did
not make: move them away first. There is no way back.

Example:
  nb1shot results rm runs/s2-darts-*`,
		Flags:  []cli.Flag{yesFlag(), jsonFlag()},
		Action: interruptible(removeRuns),
	}
}

func collectCommand() *cli.Command {
	return &cli.Command{
		Name:      "gc",
		Usage:     "remove the checkpoints of finished runs",
		ArgsUsage: "[RUN_DIR...]",
		Description: `Says which checkpoints would be removed and what that frees; --yes removes them. Records
and figures stay; a landscape can no longer be made of such a run. RUN_DIR is a run directory
or a folder of run directories, by default runs.

Example:
  nb1shot results gc`,
		Flags:  []cli.Flag{yesFlag(), jsonFlag()},
		Action: interruptible(collectCheckpoints),
	}
}

// freed is what is removed, or would be, of one run.
type freed struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"` // names in the folder
	Bytes int64    `json:"bytes"`
	Kept  string   `json:"kept,omitempty"` // why nothing is removed
}

// freeing is the output of results rm and results gc.
type freeing struct {
	Removed bool    `json:"removed"` // or only said
	Runs    []freed `json:"runs"`
	Bytes   int64   `json:"bytes"`
}

func removeRuns(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse(errors.New("RUN_DIR is missing"), "an example is: nb1shot results rm runs/s2-darts-*")
	}
	return free(c, c.Args().Slice(), true)
}

func collectCheckpoints(c *cli.Context) error {
	paths := c.Args().Slice()
	if len(paths) == 0 {
		paths = []string{"runs"}
	}
	return free(c, paths, false)
}

// free removes whole runs, or the checkpoints of finished ones.
func free(c *cli.Context, paths []string, whole bool) (err error) {
	dirs, skipped, err := findRuns(c, paths)
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	out := freeing{Removed: c.Bool("yes"), Runs: []freed{}}
	kept := 0
	for _, dir := range dirs {
		if c.Context.Err() != nil {
			return c.Context.Err()
		}
		f, err := freeOne(dir, whole, out.Removed)
		if err != nil {
			return err
		}
		if f.Kept == "" && len(f.Files) == 0 {
			continue
		}
		if f.Kept != "" && whole {
			kept++
		}
		out.Runs = append(out.Runs, f)
		out.Bytes += f.Bytes
	}
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, out)
	} else {
		err = out.print(c.App.Writer, c.App.ErrWriter, whole)
	}
	if err == nil && kept > 0 {
		err = fmt.Errorf("%d of %d runs stay", kept, len(dirs))
	}
	return err
}

// freeOne removes a run or its checkpoints, or only says what that would free.
func freeOne(dir string, whole, really bool) (freed, error) {
	f := freed{Dir: dir, Files: []string{}}
	release, err := results.Claim(dir)
	var locked *results.LockedError
	switch {
	case errors.As(err, &locked) && !whole:
		return f, nil // it needs its checkpoints
	case errors.As(err, &locked):
		f.Kept = err.Error()
		return f, nil
	case err != nil:
		f.Kept = strings.TrimPrefix(message(err), "claim run: ")
		return f, nil
	}
	defer release()
	names := []string{benchmark.CheckpointFile, benchmark.PreviousCheckpointFile}
	if whole {
		var foreign []string
		if names, foreign, err = contents(dir); err != nil {
			return f, err
		}
		if foreign != nil {
			f.Kept = "it holds " + strings.Join(foreign, ", ") + ", which nb1shot did not make"
			return f, nil
		}
	} else if h, _, err := results.Skim(dir); err != nil || h.Status.State != results.Finished || h.Misfit != nil {
		return f, nil
	}
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		f.Files = append(f.Files, name)
		f.Bytes += info.Size()
	}
	if !really {
		return f, nil
	}
	for _, name := range f.Files { // config.json goes last, so that the rest can still be removed as a run
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return f, err
		}
	}
	if whole {
		for _, folder := range trainingFolders {
			if err := os.Remove(filepath.Join(dir, folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
		return f, os.Remove(dir)
	}
	return f, nil
}

// contents lists the files of a run directory that this program made, config.json and
// status.json last, and those that it did not make.
func contents(dir string) (ours, others []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	drawn, err := results.ReadFigures(dir)
	if err != nil {
		return nil, nil, err
	}
	record := append(results.Files(), results.EvaluationFile, results.SelectionFile, benchmark.SelectionCheckpoint, benchmark.CheckpointFile, benchmark.PreviousCheckpointFile, benchmark.LogFile)
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir() && slices.Contains(trainingFolders, name):
			inner, foreign, err := trainingContents(dir, name)
			if err != nil {
				return nil, nil, err
			}
			ours, others = append(ours, inner...), append(others, foreign...)
		case !e.Type().IsRegular():
			others = append(others, name)
		case slices.Contains(record, name), isDrawn(drawn, dir, name):
			ours = append(ours, name)
		default:
			others = append(others, name)
		}
	}
	slices.SortStableFunc(ours, func(a, b string) int { return last(a) - last(b) })
	return ours, others, nil
}

// trainingFolders are the folders in a run directory that retrain makes.
var trainingFolders = []string{retrainFolder, selectFolder, results.SelectionFolder}

// trainingContents is contents of a folder of a training in a run directory. One that goes
// on counts as not made by this program.
func trainingContents(dir, folder string) (ours, others []string, err error) {
	if retrain.Busy(filepath.Join(dir, folder)) {
		return nil, []string{folder + ", a training that goes on"}, nil
	}
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	for _, e := range entries {
		name := filepath.Join(folder, e.Name())
		if e.Type().IsRegular() && slices.Contains(slices.Concat(retrain.Files(), plots.FileNames(trainingFigure), []string{results.EvaluationFile}), e.Name()) {
			ours = append(ours, name)
		} else {
			others = append(others, name)
		}
	}
	return ours, others, err
}

// last ranks the files by which a folder is known to be a run after the others.
func last(name string) int {
	if name == "config.json" || name == "status.json" {
		return 1
	}
	return 0
}

// isDrawn tells whether a file is as this program drew it.
func isDrawn(drawn results.Figures, dir, name string) bool {
	if drawn[name] == nil {
		return false
	}
	text, err := foreign.ReadFile(filepath.Join(dir, name), results.MaxFigure)
	return err == nil && drawn.Has(name, fmt.Sprintf("%x", sha256.Sum256(text)))
}

func (f freeing) print(out, log io.Writer, whole bool) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	n := 0
	for _, r := range f.Runs {
		if r.Kept != "" {
			fmt.Fprintf(log, program+": %s stays: %s\n", r.Dir, r.Kept)
			continue
		}
		n++
		fmt.Fprintf(t, "%s\t%s\t%d files\n", megabytes(r.Bytes), r.Dir, len(r.Files))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	what := fmt.Sprintf("the checkpoints of %d finished runs", n)
	if whole {
		what = fmt.Sprintf("%d runs", n)
	}
	verb := "to be freed"
	if f.Removed {
		verb = "freed"
	}
	if _, err := fmt.Fprintf(out, "%s %s: %s\n", megabytes(f.Bytes), verb, what); err != nil {
		return err
	}
	if !f.Removed && n > 0 {
		fmt.Fprintln(log, "nothing is removed yet: --yes removes it")
	}
	return nil
}

func megabytes(n int64) string { return watch.Megabytes(n) }
