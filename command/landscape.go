package command

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/internal/advice"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

func landscapeCommand() *cli.Command {
	return &cli.Command{
		Name:      "landscape",
		Usage:     "draw the accuracy of the supernet around the architecture of a run",
		ArgsUsage: "RUN_DIR...",
		Description: `Draws the validation accuracy along the gradient and a random orthogonal direction
of the architecture parameters, as contours and as a surface (Figure 1 of the paper),
from the checkpoint in each run directory, which stays as it is. Several runs share
their scales. The numbers are written beside the figures.

Example:
  nb1shot landscape runs/s2-darts-quick-* -o figures`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write figures and numbers to `DIR`", Value: "."},
			forceFlag(),
			skipDamagedFlag(),
			&cli.Float64Flag{Name: "radius", Usage: "go `R` far in each direction", Value: 2},
			bounded(&cli.IntFlag{Name: "points", Usage: "score `N` points along each direction, an odd number", Value: 21}, 3, 1001),
			bounded(&cli.IntFlag{Name: "batches", Usage: "score each point on `N` search batches", Value: 10}, 1, 1_000_000),
			&cli.BoolFlag{Name: "simplex", Usage: "move the mixing weights, clipped as SDARTS does, instead of the alphas", DisableDefaultText: true},
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the random direction"},
			dataFlag("the run's images: ", "as run finds them"),
			tableFlag(),
			threadsFlag(),
		},
		Action: interruptible(drawLandscapes),
	}
}

func drawLandscapes(c *cli.Context) (err error) {
	if points := c.Int("points"); points < 3 || points%2 == 0 || points > 1001 {
		return misuse(fmt.Errorf("--points is %d, need an odd number from 3 to 1001", points), "see %s --help", c.Command.HelpName)
	}
	if r := c.Float64("radius"); !(r > 0) || math.IsInf(r, 0) {
		return misuse(fmt.Errorf("--radius is %v, need a positive number", r), "see %s --help", c.Command.HelpName)
	}
	runs, skipped, err := readRuns(c, "nb1shot landscape runs/s2-darts-quick-* -o figures")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	dir := c.String("out")
	numbers := func(run *results.History) string {
		return filepath.Join(dir, "landscape-"+run.Run.Name()+".json")
	}
	for _, run := range runs {
		if err := refuse(c, numbers(run), nil); err != nil {
			return err
		}
	}
	if err := reserveFigures(c, dir, "landscape-contours", "landscape-surface"); err != nil {
		return err
	}
	var panels []plots.LandscapePanel
	for _, run := range runs {
		l, err := scoreLandscape(c, run)
		if err != nil {
			return err
		}
		definition, err := algorithms.Lookup(run.Run.Algorithm)
		if err != nil {
			return err
		}
		title := fmt.Sprintf("%s, space %s", definition.Title, run.Run.Space)
		if len(runs) > 1 {
			title += fmt.Sprintf(", seed %d", run.Run.Seed)
		}
		panels = append(panels, plots.LandscapePanel{Title: title, Landscape: l, Provenance: run.Run.Provenance})
	}
	width := plots.Column
	if len(panels) > 1 {
		width = plots.Page
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for i, p := range panels {
		path := numbers(runs[i])
		l := results.RunLandscape{Run: runs[i].Run.Name(), Provenance: p.Provenance, Landscape: p.Landscape}
		text, err := l.Marshal()
		if err != nil {
			return err
		}
		if err := save(c, path, text); err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, path)
	}
	files, err := saveFigures(c, dir, []drawing{
		{"landscape-contours", func() (*plots.Figure, error) { return plots.LandscapeContours(panels, width) }},
		{"landscape-surface", func() (*plots.Figure, error) { return plots.LandscapeSurfaces(panels, width) }},
	})
	for _, file := range files {
		fmt.Fprintln(c.App.Writer, file)
	}
	return err
}

// scoreLandscape scores the supernet of the checkpoint of a run.
func scoreLandscape(c *cli.Context, run *results.History) (results.Landscape, error) {
	var none results.Landscape
	search, done, err := searchAgain(c, run, "there is no landscape")
	if err != nil {
		return none, err
	}
	defer done()
	course := newTally(c.App.ErrWriter, "landscape of "+run.Run.Name())
	defer course.end()
	moved := results.MovedAlphas
	if c.Bool("simplex") {
		moved = results.MovedSimplex
	}
	l, err := search.Landscape(c.Context, run.Dir, c.Int("batches"), benchmark.LandscapeOptions{
		Radius: c.Float64("radius"), Points: c.Int("points"), Moved: moved, Seed: c.Uint64("seed"), Report: course.update,
	})
	if errors.Is(err, benchmark.ErrNoCheckpoint) {
		return none, hinted(err, "the run has none before its first epoch is done")
	}
	return l, err
}

// searchAgain makes the search of a run again, from the same images and the same table,
// for an analysis of its supernet; without says what there is not where it has none. done
// closes the table.
func searchAgain(c *cli.Context, run *results.History, without string) (search *benchmark.Search, done func(), err error) {
	job, err := benchmark.Recorded(run.Run)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", run.Dir, err)
	}
	if tableOnly(job.Config.Algorithm) {
		return nil, nil, fmt.Errorf("%s: %s trains no supernet, so %s", run.Dir, job.Config.Algorithm, without)
	}
	if benchmark.FamilyOf(job.Config.Space).ReadsText() {
		return nil, nil, fmt.Errorf("%s: the networks of space %s read words and have no accuracies on images, so %s", run.Dir, job.Config.Space, without)
	}
	job.Threads = c.Int("threads")
	path, provenance := c.String("data"), run.Run.Provenance
	if path == "" && generated(provenance.Images) {
		path = provenance.Images
	}
	path = cmp.Or(path, advisedImages(filepath.Dir(run.Dir), provenance.Images, provenance.ImagesDigest))
	if path, err = findImages(path); err != nil {
		return nil, nil, err
	}
	if job.Train, job.Test, err = openImages(c.Context, path, job.Config.Limit); err != nil {
		return nil, nil, err
	}
	done = func() {}
	if provenance.Table != results.NoTable {
		table := c.String("table")
		if table == "" && provenance.Table == surrogate {
			table = surrogate
		}
		table = cmp.Or(table, advice.Path(filepath.Dir(run.Dir), advice.Table, provenance.TableDigest))
		if job.Oracle, err = openTable(c.Context, table); err != nil {
			return nil, nil, err
		}
		done = func() { job.Oracle.Close() }
	}
	closeTable := done // which a return of an error forgets
	defer func() {
		if err != nil {
			closeTable()
		}
	}()
	search, err = job.PrepareUntil(c.Context)
	if err != nil && c.Context.Err() != nil {
		return nil, nil, c.Context.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", run.Dir, err)
	}
	if made := search.Record(); made.ConfigHash != run.Run.ConfigHash {
		name, recorded, here := results.Difference(run.Run.Provenance.Key(), made.Provenance.Key())
		if name == "" {
			return nil, nil, fmt.Errorf("%s: this program reads its configuration differently: it was made by another version", run.Dir)
		}
		return nil, nil, hinted(fmt.Errorf("%s: its %s is %s, here it is %s", run.Dir, name, recorded, here), "--data and --table name the images and the table of the run")
	}
	return search, done, nil
}
