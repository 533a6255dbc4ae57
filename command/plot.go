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

--x draws the error over something else than the epochs, in one figure: over cost, the
training seconds of the table along a search of it; over trainings, the epochs that it had
trained, in units of 108; over seconds, the wall time of any search; or as a scatter over
parameters. Times have a logarithmic axis, and regrets over them as well.

Example:
  nb1shot plot runs -o figures
  nb1shot plot runs --algos darts,sdarts-rs,sdarts-adv --regret --width column
  nb1shot plot runs --algos random-search,tpe,bohb --x cost --regret`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the figures to `DIR`", Value: "."},
			forceFlag(),
			skipDamagedFlag(),
			selectionFlag(),
			&cli.StringFlag{Name: "name", Usage: "begin the names of the files with `NAME`"},
			runSpacesFlag(),
			&cli.StringFlag{Name: "algos", Usage: "draw the algorithms of `LIST` alone, separated by commas, in this order", DefaultText: "all"},
			&cli.BoolFlag{Name: "median", Usage: "draw medians with quartiles instead of means with standard deviations"},
			&cli.BoolFlag{Name: "seed-lines", Usage: "draw a faint line for every seed"},
			&cli.BoolFlag{Name: "regret", Usage: "draw how far the test errors are above the lowest of the space"},
			&cli.StringFlag{Name: "x", Usage: "draw the error over `WHAT`: " + strings.Join(xNames(), ", "), DefaultText: "epochs"},
			&cli.BoolFlag{Name: "validation", Usage: "with --x, draw the validation error of the table instead of the test error"},
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
	o.Validation = c.Bool("validation")
	if o.Width, err = printWidth(c); err != nil {
		return err
	}
	if err := checkX(c); err != nil {
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
		if len(parts) > 1 { // beside those of another family
			name = strings.TrimPrefix(name+map[benchmark.Family]string{benchmark.DARTS: "-darts", benchmark.Recurrent: "-recurrent"}[benchmark.FamilyOf(some[0].Run.Space)], "-")
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

// xParameters is the --x of a scatter; the others are clocks.
const xParameters = "parameters"

// clocks are what --x calls them.
var clocks = []struct {
	name  string
	clock results.Clock
}{{"cost", results.ByCost}, {"trainings", results.ByTrainings}, {"seconds", results.BySeconds}}

// xNames lists the values of --x.
func xNames() (names []string) {
	for _, k := range clocks {
		names = append(names, k.name)
	}
	return append(names, xParameters)
}

// checkX refuses options that mean nothing with or without --x.
func checkX(c *cli.Context) error {
	x := c.String("x")
	if c.IsSet("x") && !slices.Contains(xNames(), x) {
		return unknown("--x", x, xNames(), "choose one of "+strings.Join(xNames(), ", "))
	}
	for _, o := range []struct {
		name string
		idle bool
		why  string
	}{
		{"validation", x == "" || x == xParameters, "it needs --x cost, trainings or seconds"},
		{"spectral-norm", x != "", "--x draws errors alone"},
		{"seed-lines", x != "", "--x draws no lines of single seeds"},
		{"median", x == xParameters, "--x parameters draws every run"},
	} {
		if o.idle && c.IsSet(o.name) {
			return misuse(fmt.Errorf("--%s has no effect here: %s", o.name, o.why), "see %s --help", c.Command.HelpName)
		}
	}
	return nil
}

// drawOver draws the figure of --x.
func drawOver(c *cli.Context, curves []results.Curve, dir, name string, o plots.Options) ([]string, error) {
	x := c.String("x")
	what := "test-error-"
	switch {
	case o.Regret != nil && o.Validation:
		what = "validation-regret-"
	case o.Regret != nil:
		what = "regret-"
	case o.Validation:
		what = "validation-error-"
	}
	of := drawing{name + what + x, func() (*plots.Figure, error) { return plots.ErrorOverParameters(curves, o) }}
	if x == xParameters {
		return saveFigures(c, dir, []drawing{of})
	}
	for _, k := range clocks {
		if k.name != x {
			continue
		}
		quantity := results.TestErrorOf
		if o.Validation {
			quantity = results.ValidErrorOf
		}
		if !slices.ContainsFunc(curves, func(c results.Curve) bool { return len(c.Anytime(k.clock, quantity, results.Quartiles, 2)) > 0 }) {
			return nil, lacksTime(x)
		}
		of.draw = func() (*plots.Figure, error) { return plots.Anytime(curves, k.clock, o) }
	}
	return saveFigures(c, dir, []drawing{of})
}

// lacksTime says why there is nothing to draw over a clock.
func lacksTime(x string) error {
	err := fmt.Errorf("--x %s: no run has such a time with these errors", x)
	switch x {
	case "cost":
		return hinted(err, "only searches of a table that knows all training times have a cost: --x trainings counts epochs of training, --x seconds the wall time")
	case "trainings":
		return hinted(err, "only searches of the table alone have trainings, such as random-search and bohb; records of earlier versions do not count them")
	}
	return hinted(err, "nb1shot results ls shows how the runs stand")
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
	if c.String("x") != "" {
		if name != "" {
			name += "-"
		}
		return drawOver(c, curves, dir, name, o)
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
	add(name+"perplexity", results.ValidPerplexity, plots.Perplexity)
	add(name+"projection-gap-nats", results.LanguageGap, plots.LanguageGap)
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
