package command

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

func plotCommand() *cli.Command {
	return &cli.Command{
		Name:      "plot",
		Usage:     "draw the figures of runs",
		ArgsUsage: "RUN_DIR...",
		Description: `Draws the anytime test error and the trajectory of the dominant eigenvalue, one
panel per space, or one per algorithm where there are more than four: means over the
seeds with bands of one standard deviation, geometric ones of the eigenvalue. For a
single run it also draws the architecture parameters. On the DARTS spaces it draws the
share of parameter-free operations and the projection gap in place of test errors; where
there are runs of both families, these figures are called darts-*. RUN_DIR is a run
directory or a folder of run directories. Each figure is written as PNG, SVG and PDF. With --table
the recorded cells are looked up again, for example in a table imported later.
Regrets count from the lowest mean error of the table that the runs were looked up in,
if it is that of --table or in the data home, and else from the published error.

Example:
  nb1shot plot runs -o figures
  nb1shot plot runs --algos darts,sdarts-rs,sdarts-adv --regret --width column`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the figures to `DIR`", Value: "."},
			forceFlag(),
			skipDamagedFlag(),
			&cli.StringFlag{Name: "name", Usage: "begin the names of the files with `NAME`"},
			runSpacesFlag(),
			&cli.StringFlag{Name: "algos", Usage: "draw the algorithms of `LIST` alone, separated by commas, in this order", DefaultText: "all"},
			&cli.BoolFlag{Name: "median", Usage: "draw medians with quartiles instead of means with standard deviations"},
			&cli.BoolFlag{Name: "seed-lines", Usage: "draw a faint line for every seed"},
			&cli.BoolFlag{Name: "regret", Usage: "draw how far the test errors are above the lowest of the space"},
			&cli.BoolFlag{Name: "spectral-norm", Usage: "draw the spectral norm of the Hessian instead of the eigenvalue that the runs report"},
			&cli.StringFlag{Name: "width", Usage: "`WIDTH` of the figures in print: column (85 mm), page (170 mm) or millimetres", DefaultText: "column for one space, else page"},
			&cli.BoolFlag{Name: "no-caption", Usage: "leave out the text below the panels, which says what was measured on what"},
			&cli.StringFlag{Name: "table", Usage: "look the cells up again in the table at `PATH`, or in \"surrogate\"", DefaultText: "what the runs recorded"},
		},
		Action: interruptible(plotRuns),
	}
}

func plotRuns(c *cli.Context) (err error) {
	o := plots.Options{
		Median: c.Bool("median"), SeedLines: c.Bool("seed-lines"), NoCaption: c.Bool("no-caption"), SpectralNorm: c.Bool("spectral-norm"),
	}
	if o.Width, err = printWidth(c); err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot plot runs -o figures")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	if o.Algorithms, err = chosenAlgorithms(c, runs); err != nil {
		return err
	}
	if o.Algorithms != nil {
		runs = slices.DeleteFunc(runs, func(h *results.History) bool { return !slices.Contains(o.Algorithms, h.Run.Algorithm) })
	}
	if c.IsSet("table") {
		oracle, err := openTable(c.Context, c.String("table"))
		if err != nil {
			return err
		}
		defer oracle.Close()
		for _, r := range runs {
			if err := benchmark.Reevaluate(r, oracle); err != nil {
				return lookupHint(err)
			}
		}
	}
	if c.Bool("regret") {
		anchors, err := findAnchors(c, runs)
		if err != nil {
			return err
		}
		o.Regret = map[spaces.Name]plots.Anchor{}
		for space, a := range anchors {
			o.Regret[space] = plots.Anchor(a)
		}
	}
	parts := byFamily(runs)
	for _, some := range parts {
		name := c.String("name")
		if len(parts) > 1 && benchmark.FamilyOf(some[0].Run.Space) == benchmark.DARTS {
			name = strings.TrimPrefix(name+"-darts", "-") // beside those of NAS-Bench-1Shot1
		}
		files, err := draw(c, some, c.String("out"), name, o)
		for _, file := range files {
			fmt.Fprintln(c.App.Writer, file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printWidths are the widths that have a name.
var printWidths = map[string]plots.Width{"column": plots.Column, "page": plots.Page}

// printWidth reads --width; 0 where it is not given.
func printWidth(c *cli.Context) (plots.Width, error) {
	const least, most = 60, 400
	text := c.String("width")
	if !c.IsSet("width") {
		return 0, nil
	}
	if w, ok := printWidths[text]; ok {
		return w, nil
	}
	mm, err := strconv.ParseFloat(text, 64)
	if err != nil || !(mm >= least && mm <= most) {
		return 0, misuse(fmt.Errorf("--width is %q, need column, page or %d to %d (millimetres)", text, least, most), "an example is: --width 120")
	}
	return plots.Width(mm), nil
}

// chosenAlgorithms reads --algos, which the runs must have; nil where it is not given.
func chosenAlgorithms(c *cli.Context, runs []*results.History) ([]string, error) {
	if !c.IsSet("algos") {
		return nil, nil
	}
	var there []string
	for _, h := range runs {
		if !slices.Contains(there, h.Run.Algorithm) {
			there = append(there, h.Run.Algorithm)
		}
	}
	slices.Sort(there)
	var chosen []string
	for name := range strings.SplitSeq(c.String("algos"), ",") {
		name = strings.TrimSpace(name)
		switch {
		case slices.Contains(chosen, name):
			return nil, misuse(fmt.Errorf("--algos names %s twice", name), "an example is: --algos darts,sdarts-rs")
		case slices.Contains(there, name):
			chosen = append(chosen, name)
		case slices.Contains(algorithms.Names(), name):
			return nil, misuse(fmt.Errorf("no run of %s to draw", name), "the runs are of %s", strings.Join(there, ", "))
		default:
			return nil, unknown("algorithm", name, slices.Concat(there, algorithms.Names()), "the runs are of "+strings.Join(there, ", "))
		}
	}
	return chosen, nil
}

// draw writes the figures of the runs into the folder dir and returns the names
// of the files.
func draw(c *cli.Context, runs []*results.History, dir, name string, o plots.Options) (files []string, err error) {
	defer fault.Catch(&err) // of a library
	curves, err := results.Group(runs)
	if err != nil {
		return nil, err
	}
	ofAlphas := o
	if o.Width == 0 {
		o.Width = plots.Column
		if slices.ContainsFunc(curves, func(c results.Curve) bool { return c.Space != curves[0].Space }) {
			o.Width = plots.Page
		}
	}
	o.Random = stability.Random(runs)
	errorName, hessianName := "test-error", "hessian"
	if o.Regret != nil {
		errorName = "regret"
	}
	if o.SpectralNorm {
		hessianName = "spectral-norm"
	}
	if name != "" {
		name += "-"
	}
	var figures []drawing
	// A space without a table has no test errors, and an algorithm without architecture
	// parameters no Hessian.
	add := func(name string, of func(results.Epoch) *float64, draw func([]results.Curve, plots.Options) (*plots.Figure, error)) {
		if some := slices.DeleteFunc(slices.Clone(curves), func(c results.Curve) bool { return !c.Has(of) }); len(some) > 0 {
			figures = append(figures, drawing{name, func() (*plots.Figure, error) { return draw(some, o) }})
		}
	}
	add(name+errorName, results.TestError, plots.AnytimeTestError)
	add(name+hessianName, results.Eigenvalue, plots.HessianTrajectory)
	if !slices.ContainsFunc(curves, func(c results.Curve) bool { return benchmark.FamilyOf(c.Space).HasTable() }) {
		add(name+"parameter-free", results.ParameterFree, plots.ParameterFree)
		add(name+"projection-gap", results.ProjectionGap, plots.ProjectionGap)
	}
	add(name+"rank-correlation", results.KendallDiscrete, plots.RankCorrelation)
	if len(runs) == 1 && plots.HasAlphas(runs[0]) {
		if ofAlphas.Width = cmp.Or(ofAlphas.Width, o.Width); !c.IsSet("width") && plots.ManyRows(runs[0]) {
			ofAlphas.Width = plots.Page
		}
		figures = append(figures, drawing{name + "alphas", func() (*plots.Figure, error) { return plots.Alphas(runs[0], ofAlphas) }})
	}
	if len(figures) == 0 {
		return nil, hinted(errors.New("the runs have neither test errors nor a Hessian: there is nothing to draw"), "nb1shot results ls shows how they stand")
	}
	return saveFigures(c, dir, figures)
}
