package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/report"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// demoAlgorithms are what the demonstration compares: the first with the others.
var demoAlgorithms = []string{"darts", "sdarts-rs", "sdarts-adv"}

func demoCommand() *cli.Command {
	flags := []cli.Flag{
		spaceFlag("", "2"),
		&cli.StringFlag{Name: "seeds", Usage: "search from the `SEEDS`, such as 0-5,9; a number alone says how many", DefaultText: "2"},
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "keep runs and report in folders of `DIR`", Value: "demo"},
	}
	like := []string{"preset", "epochs", "data", "table", "engine", "precision", "threads", "jobs"}
	for _, f := range sweepCommand().Flags {
		if !slices.Contains(like, f.Names()[0]) {
			continue
		}
		if preset, ok := f.(*cli.StringFlag); ok && preset.Name == "preset" {
			preset.DefaultText = "quick"
		}
		flags = append(flags, f)
	}
	return &cli.Command{
		Name:      "demo",
		Usage:     "show in minutes what the benchmark is about",
		UsageText: "nb1shot demo [options]",
		Description: `Searches a space by DARTS, SDARTS-RS and SDARTS-ADV from a few seeds at a small scale,
makes the report with its figures, and prints the results. It says at the start how
long that takes. The same command resumes it where it was stopped. DIR/runs holds the
runs, an ordinary sweep, and DIR/report the report.

Example:
  nb1shot demo`,
		Flags:  flags,
		Action: interruptible(runDemo),
	}
}

func runDemo(c *cli.Context) error {
	plan := &sweepPlan{
		root: filepath.Join(c.String("out"), "runs"), preset: "quick",
		defaults: sweep.Grid{Spaces: []spaces.Name{"2"}, Seeds: []uint64{0, 1}},
	}
	defer plan.close()
	var err error
	if plan.sweepLine, err = readDemoLine(c); err != nil {
		return err
	}
	if err := sweep.Update(plan.root, func(m *sweep.Manifest) error { return plan.prepare(c, m) }); err != nil {
		return err
	}
	plan.note()
	log := c.App.ErrWriter
	if err := plan.introduce(log); err != nil {
		return err
	}
	known, err := plan.pace(c.Context, log)
	if err != nil {
		return err
	}
	outcomes, stopped := plan.run(c.Context, log, known)
	s := summariseSweep(plan.root, outcomes)
	if err := unfinished(s, stopped); err != nil {
		return err
	}

	var in report.Input
	for _, o := range outcomes {
		in.Runs = append(in.Runs, o.History)
	}
	out := filepath.Join(c.String("out"), "report")
	if err := writeReport(c, out, in); err != nil {
		if errors.Is(err, context.Canceled) {
			return hinted(errors.New("interrupted at the report, with all runs finished"), "the same command makes it")
		}
		return err
	}
	curves, err := results.Group(in.Runs)
	if err != nil {
		return err
	}
	slices.SortStableFunc(curves, plots.CompareCurves)
	return printDemo(c.App.Writer, out, curves)
}

// readDemoLine reads what can be read before anything is opened.
func readDemoLine(c *cli.Context) (line sweepLine, err error) {
	for _, check := range []func(*cli.Context) error{noArguments, checkEngine} {
		if err := check(c); err != nil {
			return line, err
		}
	}
	help := fmt.Sprintf("see %s --help", c.Command.HelpName)
	if c.IsSet("space") {
		if spaceOf(c) == rnn.Name {
			return line, misuse(errors.New("the demonstration is of networks for images, which space rnn has none of"),
				"nb1shot sweep --spaces rnn --algos %s searches it", strings.Join(demoAlgorithms, ","))
		}
		line.grid.Spaces = []spaces.Name{spaceOf(c)}
	}
	if c.IsSet("seeds") {
		if line.grid.Seeds, err = countSeeds(c.String("seeds")); err != nil {
			return line, misuse(err, "%s", help)
		}
	}
	line.grid.Algorithms = demoAlgorithms
	line.settings = scaleSettings(c)
	return line, nil
}

// paceEpochs are timed: the first is slower than those that follow.
const paceEpochs = 2

// pace times some epochs of each algorithm of which no unit is finished, as many at
// a time as the sweep will run, and says how long the sweep will take. What it
// returns is for the run.
func (p *sweepPlan) pace(ctx context.Context, log io.Writer) (known []timed, err error) {
	var left []sweep.Unit
	var finished []timed
	epochs := map[string]int{} // of the algorithms of which a time is known
	for _, u := range p.units {
		if o := p.runner.Inspect(u); o.State == sweep.Finished {
			finished = append(finished, timed{u, summarise(o.History).Seconds})
			epochs[u.Algorithm] = len(o.History.Epochs) - 1
		} else {
			left = append(left, u)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	folder, err := durable.MkdirTemp(filepath.Dir(p.root), ".pace-")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	defer os.RemoveAll(folder.Name())
	r := p.runner
	r.Root = folder.Name()
	r.Shared.Settings = maps.Clone(r.Shared.Settings)
	var units []sweep.Unit
	for _, u := range left {
		if epochs[u.Algorithm] > 0 {
			continue
		}
		config, err := p.runner.Shared.Config(u.Space, u.Algorithm)
		if err != nil {
			return nil, err
		}
		epochs[u.Algorithm] = config.Epochs
		r.Shared.Settings[u.Algorithm+".epochs"] = strconv.Itoa(min(paceEpochs, config.Epochs))
		stem, err := r.Stem(ctx)(u.Space, u.Algorithm)
		if err != nil {
			return nil, err
		}
		units = append(units, sweep.Unit{Index: len(units), Space: u.Space, Algorithm: u.Algorithm, Run: stem + "-seed0"})
	}
	timing := newSweepCourse(log, units, r.Jobs)
	r.Progress = timing.update
	outcomes, err := r.Run(ctx, units)
	timing.end()
	if errors.Is(err, context.Canceled) {
		return nil, hinted(errors.New("interrupted before the first run"), "the same command resumes it")
	}
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		if o.State != sweep.Finished {
			return nil, fmt.Errorf("%s: %w", o.Unit.Algorithm, o.Err)
		}
		last := o.History.Epochs[len(o.History.Epochs)-2] // before the final record
		known = append(known, timed{o.Unit, last.Duration() * float64(epochs[o.Unit.Algorithm])})
	}
	jobs := min(p.runner.Jobs, len(left))
	course := newSweepCourse(io.Discard, left, jobs)
	course.took = slices.Concat(known, finished)
	_, err = fmt.Fprintf(log, "time    about %s for %d runs, %d at a time\n", duration(course.remaining()), len(left), jobs)
	return known, err
}

// printDemo says where the report is and what the runs have come to.
func printDemo(w io.Writer, folder string, curves []results.Curve) error {
	fmt.Fprintf(w, "report   %s\n", filepath.Join(folder, report.Page))
	label := "figures"
	for _, pattern := range []string{"test-error-*.png", "hessian-*.png"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			fmt.Fprintf(w, "%-8s %s\n", label, file)
			label = ""
		}
	}

	rows := [][]string{{"algorithm", "space", "seeds", "test error", "λ, first", "late", "projection gap, late"}}
	ends := make([][]ending, len(curves)) // by the seeds of the curve
	for i, c := range curves {
		var final, first, late, gap []float64
		for _, h := range c.Runs {
			e, ok := endOf(h)
			if !ok {
				return nil // the sweep was begun by another command, without what is compared here
			}
			ends[i] = append(ends[i], e)
			final, first, late, gap = append(final, e.final), append(first, e.first), append(late, e.late), append(gap, e.gap)
		}
		test := newStatistic(final)
		rows = append(rows, []string{
			plots.CurveName(c), string(c.Space), strconv.Itoa(len(c.Runs)), withBar(test.Mean, test.Deviation),
			eigenvalue(stat.Mean(first, nil)), eigenvalue(stat.Mean(late, nil)), fmt.Sprintf("%.1f points", 100*stat.Mean(gap, nil)),
		})
	}
	fmt.Fprintln(w)
	if err := printAligned(w, rows); err != nil {
		return err
	}
	note := fmt.Sprintf("means over the seeds; test error of the cell after the last epoch ± standard deviation, by %s; late is the mean of the last tenth of the epochs", tableTitle(curves[0].Provenance.Table))
	fmt.Fprintf(w, "\n%s\n\n", strings.Join(wrap(note, 85), "\n"))
	for i, c := range curves {
		for j, base := range curves {
			if base.Space != c.Space || base.Algorithm != demoAlgorithms[0] || c.Algorithm == demoAlgorithms[0] {
				continue
			}
			fmt.Fprintln(w, compareEnds(plots.CurveName(base), plots.CurveName(c), ends[j], ends[i]))
		}
	}
	_, err := fmt.Fprintln(w, "Test errors take more seeds to tell apart than λ and the projection gap: --seeds N adds some.")
	return err
}

// ending is what a run comes to.
type ending struct {
	final       float64 // test error of the final record
	first, late float64 // λ of the first epoch, and the mean of the last tenth of them
	gap         float64 // projection gap, late as well
}

// endOf measures a finished run, and is false for one that lacks any of it.
func endOf(h *results.History) (e ending, ok bool) {
	var lambdas, gaps []float64
	for _, record := range h.Epochs {
		if x := results.Eigenvalue(record); x != nil {
			lambdas = append(lambdas, *x)
		}
		if x := results.ProjectionGap(record); x != nil {
			gaps = append(gaps, *x)
		}
	}
	final := results.TestError(h.Epochs[len(h.Epochs)-1])
	if final == nil || len(lambdas) == 0 || len(gaps) == 0 {
		return e, false
	}
	return ending{*final, lambdas[0], late(lambdas), late(gaps)}, true
}

// late is the mean of the last tenth of some values, at least one.
func late(values []float64) float64 {
	return stat.Mean(values[len(values)-max(len(values)/10, 1):], nil)
}

// compareEnds says in how many seeds the base ended above the other. Both are of
// the same seeds.
func compareEnds(base, other string, ofBase, ofOther []ending) string {
	above := func(of func(ending) float64) string {
		n := 0
		for i := range ofBase {
			if of(ofBase[i]) > of(ofOther[i]) {
				n++
			}
		}
		return fmt.Sprintf("%d of %d", n, len(ofBase))
	}
	return fmt.Sprintf("%s ended above %s in λ with %s seeds, in the projection gap with %s, in the test error with %s.", base, other,
		above(func(e ending) float64 { return e.late }), above(func(e ending) float64 { return e.gap }), above(func(e ending) float64 { return e.final }))
}
