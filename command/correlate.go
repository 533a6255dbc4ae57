package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

// The words that options of correlate take.
var (
	cellSets  = []string{results.CellsReleased, results.CellsReachable}
	scoredOn  = []string{results.ScoredOnSearch, results.ScoredOnTest}
	cellForms = []string{"both", results.FormDiscrete, results.FormNormalized}
	moments   = []string{"newest", "previous"}
)

func correlateCommand() *cli.Command {
	return &cli.Command{
		Name:      "correlate",
		Usage:     "compare how the supernet of a run ranks cells with the table",
		ArgsUsage: "RUN_DIR...",
		Description: `Scores cells of the run's space by the weights of its supernet, without training, from
the checkpoint in each run directory, which stays as it is, and compares the errors with
the test errors of the table: Kendall's τ, Spearman's ρ, Pearson's r, and how many of the
best cells are the same. A cell is scored in two forms: discrete, by mixing weights of 0
and 1, and normalized, as the released analysis of NAS-Bench-1Shot1 does (quirk Q27).
docs/correlation.md describes both. Numbers for every cell are written beside the figure,
as JSON and CSV; the same command continues what was interrupted. The rank correlation
over the epochs of a run is recorded by run --set correlation=N.

Example:
  nb1shot correlate runs/s2-darts-quick-* --sample 500 -o figures`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write figure and numbers to `DIR`", Value: "."},
			forceFlag(),
			skipDamagedFlag(),
			bounded(&cli.IntFlag{Name: "sample", Usage: "score a stratified random sample of `N` cells, the same for all runs on a space", DefaultText: "all cells"}, results.LeastCells, 1_000_000),
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the sample"},
			&cli.StringFlag{Name: "cells", Usage: "score the `CELLS` without loose ends that are released, in the released generator's list, or reachable by a search", Value: results.CellsReleased},
			&cli.StringFlag{Name: "form", Usage: "score cells in `FORM`: " + strings.Join(cellForms, ", "), Value: "both"},
			&cli.StringFlag{Name: "on", Usage: "score on images of `PART`: search, of the training images, or test", Value: results.ScoredOnSearch},
			bounded(&cli.IntFlag{Name: "images", Usage: "score on the first `N` of these images; 0 is all", DefaultText: fmt.Sprintf("%d, or all if they are fewer", benchmark.DefaultScored)}, 0, 1_000_000),
			&cli.BoolFlag{Name: "batch-statistics", Usage: "normalise by each batch, not by the running statistics as the released code does; slower", DisableDefaultText: true},
			&cli.StringFlag{Name: "checkpoint", Usage: "take the `CHECKPOINT`: " + strings.Join(moments, ", "), Value: moments[0]},
			dataFlag("the run's images: ", "as run finds them"),
			tableFlag(),
			threadsFlag(),
		},
		Action: interruptible(correlateRuns),
	}
}

func correlateRuns(c *cli.Context) (err error) {
	o, err := correlationOptions(c)
	if err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot correlate runs/s2-darts-quick-* --sample 500 -o figures")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	dir := c.String("out")
	for _, run := range runs {
		path := correlationFile(dir, run)
		if err := errors.Join(refuse(c, path, ofRun(run)), reserveFigures(c, dir, "correlation")); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var panels []plots.CorrelationPanel
	var all []results.Correlation
	for _, run := range runs {
		found, err := correlateRun(c, run, o)
		if err != nil {
			return err
		}
		all = append(all, found)
		definition, err := algorithms.Lookup(run.Run.Algorithm)
		if err != nil {
			return err
		}
		title := fmt.Sprintf("%s, space %s", definition.Title, run.Run.Space)
		if len(runs) > 1 {
			title += fmt.Sprintf(", seed %d", run.Run.Seed)
		}
		panels = append(panels, plots.CorrelationPanel{Title: title, Correlation: found})
	}
	if err := printCorrelations(c.App.Writer, all); err != nil {
		return err
	}
	for _, run := range runs {
		path := correlationFile(dir, run)
		fmt.Fprintf(c.App.Writer, "%s\n%s\n", path, csvBeside(path))
	}
	files, err := saveFigures(c, dir, []drawing{{"correlation", func() (*plots.Figure, error) { return plots.Correlations(panels, plots.Page) }}})
	for _, file := range files {
		fmt.Fprintln(c.App.Writer, file)
	}
	return err
}

// correlationOptions reads the command line.
func correlationOptions(c *cli.Context) (o benchmark.CorrelationOptions, err error) {
	for _, choice := range []struct {
		option string
		known  []string
	}{{"cells", cellSets}, {"on", scoredOn}, {"form", cellForms}, {"checkpoint", moments}} {
		value := c.String(choice.option)
		if !slices.Contains(choice.known, value) {
			return o, misuse(fmt.Errorf("--%s is %q, need %s", choice.option, value, strings.Join(choice.known, " or ")), "see %s --help", c.Command.HelpName)
		}
	}
	if c.IsSet("seed") && !c.IsSet("sample") {
		return o, misuse(errors.New("--seed has no effect without --sample"), "leave it out")
	}
	o = benchmark.CorrelationOptions{
		Cells: c.String("cells"), Sample: c.Int("sample"), Seed: c.Uint64("seed"), On: c.String("on"), Images: c.Int("images"),
		BatchStatistics: c.Bool("batch-statistics"), Checkpoint: benchmark.CheckpointFile,
	}
	if !c.IsSet("images") {
		o.Images = -1
	}
	if form := c.String("form"); form != "both" {
		o.Forms = []string{form}
	}
	if c.String("checkpoint") == "previous" {
		o.Checkpoint = benchmark.PreviousCheckpointFile
	}
	return o, nil
}

func correlationFile(dir string, run *results.History) string {
	return filepath.Join(dir, "correlation-"+run.Run.Name()+".json")
}

func csvBeside(path string) string { return strings.TrimSuffix(path, ".json") + ".csv" }

// ofRun tells of the content of a correlation file whether it is of the run, so that it may
// be continued.
func ofRun(run *results.History) func([]byte) bool {
	return func(content []byte) bool {
		var there results.Correlation
		return json.Unmarshal(content, &there) == nil && there.Run == run.Run.Name() && there.Check() == nil
	}
}

// saveEvery is how often the numbers of unfinished work are written.
const saveEvery = 5 * time.Second

// correlateRun scores the cells of a run's space, or those that are left.
func correlateRun(c *cli.Context, run *results.History, o benchmark.CorrelationOptions) (found results.Correlation, err error) {
	path := correlationFile(c.String("out"), run)
	known, err := results.ReadCorrelation(path)
	switch {
	case err == nil:
		o.Known = &known
	case !errors.Is(err, fs.ErrNotExist) && !c.Bool("force"):
		return found, err
	}
	search, done, err := searchAgain(c, run, "there are no weights to score cells by")
	if err != nil {
		return found, err
	}
	defer done()
	course := newTally(c.App.ErrWriter, "correlation of "+run.Run.Name()+", cells")
	defer course.end()
	write := func(now results.Correlation) error {
		text, err := now.Marshal()
		if err != nil {
			return err
		}
		return saveUnless(c, path, text, ofRun(run))
	}
	begun := -1
	var start, last time.Time
	o.Report = func(now results.Correlation) error {
		n := now.Done()
		if begun < 0 {
			begun, start = n, time.Now()
		} else {
			course.update(n, len(now.Cells))
		}
		if n < len(now.Cells) && time.Since(last) < saveEvery {
			return nil
		}
		last = time.Now()
		return write(now)
	}
	found, err = search.Correlate(c.Context, run.Dir, o)
	if errors.Is(err, benchmark.ErrOtherRun) && c.Bool("force") {
		o.Known = nil
		found, err = search.Correlate(c.Context, run.Dir, o)
	}
	course.end()
	switch {
	case errors.Is(err, benchmark.ErrNoCheckpoint):
		return found, hinted(err, "the run has none before its first epoch is done; results gc removes those of finished runs")
	case errors.Is(err, benchmark.ErrOtherRun) && o.Known != nil:
		return found, hinted(fmt.Errorf("%s: %w", path, err), "--force replaces it; --out names another folder")
	case err != nil && c.Context.Err() != nil:
		if found.Done() > 0 {
			if err := write(found); err != nil {
				return found, err
			}
		}
		return found, hinted(fmt.Errorf("interrupted after %d of %d cells: %s", found.Done(), len(found.Cells), path), "the same command continues it")
	case err != nil:
		return found, err
	}
	if passed := time.Since(start).Seconds(); begun >= 0 && passed > 1 {
		fmt.Fprintf(c.App.ErrWriter, "%s cells in %s, %.0f a second, %s on %s images\n", grouped(found.Done()-begun),
			duration(time.Duration(passed*float64(time.Second))), float64(found.Done()-begun)/passed, strings.Join(found.Scoring.Forms, " and "), grouped(found.Scoring.Images))
	}
	rows, err := found.CSV()
	if err != nil {
		return found, err
	}
	return found, saveUnless(c, csvBeside(path), rows, func(content []byte) bool { return bytes.Equal(content, rows) })
}

// printCorrelations prints a line for each run and form.
func printCorrelations(w io.Writer, all []results.Correlation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "run\tepochs\tform\tcells\tτ\tρ\tr\tbest cells in common")
	for _, c := range all {
		for _, form := range c.Scoring.Forms {
			r := c.By[form]
			var top []string
			for _, o := range r.Top {
				top = append(top, fmt.Sprintf("%.0f %% of %d", 100*o.Share, o.K))
			}
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%.3f\t%.3f\t%.3f\t%s\n", c.Run, c.Scoring.Epochs, form, grouped(len(c.Cells)), r.Kendall, r.Spearman, r.Pearson, strings.Join(top, ", "))
		}
	}
	return t.Flush()
}
