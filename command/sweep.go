package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/advice"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/kubernetes"
	"github.com/nb1shot/nb1shot/internal/slurm"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

func sweepCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "spaces", Usage: "search the spaces of `LIST`, such as 1,3 or darts-s2; all are 1,2,3", DefaultText: "those of the manifest"},
		&cli.StringFlag{Name: "algos", Usage: "search by the algorithms of `LIST`, such as darts,gdas, or all that can search the spaces", DefaultText: "those of the manifest"},
		&cli.StringFlag{Name: "seeds", Usage: "search from the `SEEDS`, such as 0-5,9; a number alone says how many: 6 is 0-5, and 9-9 is seed 9", DefaultText: "those of the manifest"},
		&cli.StringFlag{Name: "seed-list", Usage: "what --seeds takes now", Hidden: true},
		bounded(&cli.IntFlag{Name: "jobs", Usage: "`N` runs at a time, which share the threads", DefaultText: "one for each thread"}, 1, maxThreads),
		bounded(&cli.IntFlag{Name: "unit", Usage: "run unit `K` of the manifest alone", DefaultText: "all that are asked for"}, 0, 10_000_000),
		&cli.BoolFlag{Name: "manifest-only", Usage: "write the manifest, list its units, run nothing", DisableDefaultText: true},
		&cli.BoolFlag{Name: "dry-run", Usage: "list the units, or print what --on would submit; write and run nothing", DisableDefaultText: true},
		&cli.BoolFlag{Name: "check", Usage: "print how all units of the manifest stand, run nothing; exit with 1 unless they are finished", DisableDefaultText: true},
		&cli.BoolFlag{Name: "retrain", Usage: "train the network of what each run found, as retrain does", DisableDefaultText: true},
		&cli.StringFlag{Name: "retrain-preset", Usage: "with --retrain: `PRESET` of these trainings: " + strings.Join(retrain.Presets(), ", "), DefaultText: "the name of that of the searches"},
		&cli.StringSliceFlag{Name: "retrain-set", Usage: "with --retrain: set a `SETTING=VALUE` of these trainings; repeatable"},
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "keep manifest and run directories in `DIR`", Value: "runs"},
	}
	flags = append(flags, clusterFlags()...)
	like := append([]string{"preset", "data", "table", "engine", "precision", "threads", "set", "settings"}, scaleFlags...)
	for _, f := range runCommand().Flags {
		if slices.Contains(like, f.Names()[0]) {
			flags = append(flags, f)
		}
	}
	return &cli.Command{
		Name:      "sweep",
		Usage:     "run many searches: spaces × algorithms × seeds",
		UsageText: "nb1shot sweep --spaces LIST --algos LIST --seeds N [options]",
		Description: `Runs every algorithm on every space from every seed, several at a time. The
manifest, sweep.json in the folder of the run directories, lists the runs as units.
The same command again resumes it and does only what is missing; more spaces,
algorithms or seeds append units. Options that are left out are as in the manifest.
--set ALGORITHM.SETTING=VALUE is for one algorithm. With --retrain the network of what
each run found is trained from scratch after it, by its seed; the manifest keeps this.

With --on slurm the units that are missing become tasks of an array job, and the
options behind -- are for sbatch. With --on kubernetes they are printed as a Job.

Example:
  nb1shot sweep --spaces 1,2,3 --algos all --seeds 6
  nb1shot sweep --spaces darts-s1,darts-s2 --algos darts,sdarts-rs --seeds 3 --retrain
  nb1shot sweep --on slurm --time 8:00:00 --report report -- --qos long`,
		Flags: append(flags,
			&cli.BoolFlag{Name: "quiet", Usage: "print errors and the final table only", DisableDefaultText: true},
			statusFlag(),
			watchFlag("with --status: tell"),
			finishFlag(),
			jsonFlag(),
		),
		Action: func(c *cli.Context) error {
			if c.Bool("status") {
				return sweepStatus(c) // which nothing has to stop gently
			}
			if c.IsSet("watch") {
				return misuse(errors.New("--watch needs --status"), "nb1shot sweep --status --watch --out DIR")
			}
			if c.IsSet("on-finish") && c.IsSet("on") {
				return misuse(errors.New("--on-finish and --on do not go together: the sweep goes on when the command has ended"), "--report has a job made that starts when all others have ended")
			}
			return interruptible(runSweep)(c)
		},
	}
}

func runSweep(c *cli.Context) error {
	line, err := readSweepLine(c)
	if err != nil {
		return err
	}
	root := c.String("out")
	if c.Bool("check") {
		return checkSweep(c, root)
	}
	plan := &sweepPlan{sweepLine: line, root: root}
	defer plan.close()
	if c.Bool("dry-run") || c.IsSet("unit") {
		m, err := sweep.Read(root)
		switch {
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case c.IsSet("unit"):
			return hinted(err, "the sweep must be there before its units: nb1shot sweep --spaces LIST --algos LIST --seeds N --manifest-only")
		default:
			m = &sweep.Manifest{}
		}
		if err := plan.prepare(c, m); err != nil {
			return err
		}
	} else if err := sweep.Update(root, func(m *sweep.Manifest) error { return plan.prepare(c, m) }); err != nil {
		return err
	} else {
		plan.note()
	}
	if line.pods != nil {
		return printPods(c, plan)
	}
	if line.cluster != nil && !c.IsSet("unit") {
		return submitSweep(c, plan)
	}
	if c.Bool("dry-run") || c.Bool("manifest-only") {
		return listUnits(c, &plan.runner, plan.units)
	}

	log := c.App.ErrWriter
	if c.Bool("quiet") {
		log = io.Discard
	}
	if err := plan.introduce(log); err != nil {
		return err
	}
	outcomes, stopped := plan.run(c.Context, log, nil)
	s := summariseSweep(root, outcomes)
	err = showSweep(c, s)
	if s.count().finished > 0 {
		fmt.Fprintf(log, "figures: %s plot %s -o figures; report: %s report %s\n", program, root, program, root)
	}
	if err == nil {
		err = unfinished(s, stopped)
	}
	if err != nil && line.cluster != nil && errors.Is(context.Cause(c.Context), stopSignal{syscall.SIGUSR1}) {
		return requeue(c, err, plan.advanced)
	}
	return onFinish(c, s, err)
}

// showSweep prints what a sweep has come to.
func showSweep(c *cli.Context, s sweepSummary) error {
	if c.Bool("json") {
		return writeJSON(c.App.Writer, s)
	}
	return s.print(c.App.Writer)
}

// checkSweep prints how the units of a manifest stand.
func checkSweep(c *cli.Context, root string) error {
	m, err := sweep.Read(root)
	if err != nil {
		return err
	}
	var outcomes []sweep.Outcome
	for _, u := range m.Units {
		outcomes = append(outcomes, m.Standing(root, u))
	}
	s := summariseSweep(root, outcomes)
	if err := showSweep(c, s); err != nil {
		return err
	}
	return unfinished(s, nil)
}

// unfinished is the error of a sweep that has come to s, because of what stopped
// it, unless all of it is finished.
func unfinished(s sweepSummary, stopped error) error {
	count := s.count()
	var hopeless *sweep.StoppedError
	switch {
	case errors.As(stopped, &hopeless):
		return hinted(stopped, "the same command resumes it")
	case errors.Is(stopped, context.Canceled):
		return hinted(fmt.Errorf("interrupted with %d of %d units finished", count.finished, len(s.Units)), "the same command resumes it")
	case stopped != nil:
		return stopped
	case count.finished < len(s.Units):
		return hinted(fmt.Errorf("%d of %d units are not finished: %s", len(s.Units)-count.finished, len(s.Units), count), "the same command tries them again")
	}
	return nil
}

// sweepLine is the command line of a sweep.
type sweepLine struct {
	grid sweep.Grid // nil where it is left out
	// everyAlgorithm tells that all algorithms are asked for that can search the spaces.
	everyAlgorithm bool
	settings       []assignment      // a later one replaces an earlier one of its name
	cluster        *slurm.Sweep      // nil without --on slurm
	pods           *kubernetes.Sweep // nil without --on kubernetes
}

// readSweepLine reads what can be read before anything is opened.
func readSweepLine(c *cli.Context) (line sweepLine, err error) {
	if c.String("on") == onKubernetes {
		line.pods, err = readPods(c)
	} else {
		line.cluster, err = readCluster(c)
	}
	if err != nil {
		return line, err
	}
	if err := checkEngine(c); err != nil {
		return line, err
	}
	if c.IsSet("unit") {
		for _, name := range slices.Concat([]string{"manifest-only", "dry-run", "check", "jobs", "on-finish"}, retrainFlags, gridFlags) {
			if c.IsSet(name) {
				return line, misuse(fmt.Errorf("--unit and --%s do not go together", name), "a unit is of the manifest: nb1shot sweep --out DIR --unit K")
			}
		}
	}
	if c.Bool("check") {
		for _, name := range slices.Concat([]string{"manifest-only", "dry-run", "jobs", "on", "on-finish"}, retrainFlags, gridFlags) {
			if c.IsSet(name) {
				return line, misuse(fmt.Errorf("--check and --%s do not go together", name), "it is of all units of a manifest: nb1shot sweep --out DIR --check")
			}
		}
	}
	if c.IsSet("spaces") {
		if line.grid.Spaces, err = parseSpaces(c.String("spaces")); err != nil {
			return line, err
		}
	}
	if c.IsSet("algos") {
		if line.grid.Algorithms, err = parseAlgorithms(c.String("algos")); err != nil {
			return line, err
		}
		line.everyAlgorithm = c.String("algos") == "all"
	}
	switch {
	case c.IsSet("seeds") && c.IsSet("seed-list"):
		return line, misuse(errors.New("--seeds and --seed-list do not go together"), "see %s --help", c.Command.HelpName)
	case c.IsSet("seeds"):
		if line.grid.Seeds, err = countSeeds(c.String("seeds")); err != nil {
			return line, misuse(err, "an example is: --seeds 0-5,9; a number alone says how many")
		}
	case c.IsSet("seed-list"):
		if line.grid.Seeds, err = parseSeeds(c.String("seed-list")); err != nil {
			return line, misuse(fmt.Errorf("--seed-list: %w", err), "an example is: --seeds 0-5,9")
		}
	}
	if path := c.String("settings"); path != "" {
		if line.settings, err = decodeSettings(path); err != nil {
			return line, err
		}
	}
	for _, pair := range c.StringSlice("set") {
		name, value, err := assigned("set", pair, "write --set NAME=VALUE or --set ALGORITHM.NAME=VALUE; nb1shot algos lists the names")
		if err != nil {
			return line, err
		}
		line.settings = append(line.settings, assignment{"--set " + pair, name, value})
	}
	line.settings = append(line.settings, scaleSettings(c)...)
	return line, nil
}

// scaleSettings are the settings that have options of their own, as given.
func scaleSettings(c *cli.Context) (list []assignment) {
	for _, name := range scaleFlags {
		if c.IsSet(name) {
			list = append(list, assignment{"--" + name, name, strconv.Itoa(c.Int(name))})
		}
	}
	return list
}

// countSeeds reads --seeds where a number alone says how many, which are those
// from 0: in what makes runs. Otherwise it is as parseSeeds reads it.
func countSeeds(text string) ([]uint64, error) {
	if strings.ContainsAny(strings.TrimLeft(text, "-"), ",-") {
		seeds, err := parseSeeds(text)
		if err != nil {
			err = fmt.Errorf("--seeds: %w", err)
		}
		return seeds, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxSeeds {
		return nil, fmt.Errorf("--seeds is %q, want how many, 1 to %d", text, maxSeeds)
	}
	var seeds []uint64
	for seed := range uint64(n) {
		seeds = append(seeds, seed)
	}
	return seeds, nil
}

// maxSeeds keeps a slip of the keyboard from asking for millions of units.
const maxSeeds = 10_000

func parseSpaces(list string) ([]spaces.Name, error) {
	var chosen []spaces.Name
	if list == "all" {
		for _, s := range nb1shot1.All() {
			chosen = append(chosen, s.Name())
		}
		return chosen, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		name := spaces.Name(text)
		if err := name.Check(); err != nil {
			return nil, misuse(fmt.Errorf("--spaces: %w", err), "an example is: --spaces 1,2,3")
		}
		if slices.Contains(chosen, name) {
			return nil, misuse(fmt.Errorf("--spaces: %s twice", name), "an example is: --spaces 1,2,3")
		}
		chosen = append(chosen, name)
	}
	return chosen, nil
}

func parseAlgorithms(list string) ([]string, error) {
	all := algorithms.Names()
	if list == "all" {
		return all, nil
	}
	var chosen []string
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(all, name) {
			return nil, unknown("algorithm", name, all, "choose all, or some of "+strings.Join(all, ", "))
		}
		if slices.Contains(chosen, name) {
			return nil, misuse(fmt.Errorf("--algos: %s twice", name), "an example is: --algos darts,gdas")
		}
		chosen = append(chosen, name)
	}
	return chosen, nil
}

// parseSeeds reads "0-5,9".
func parseSeeds(list string) ([]uint64, error) {
	var seeds []uint64
	seen := map[uint64]bool{}
	for text := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(text, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 64)
		last, err2 := strconv.ParseUint(high, 10, 64)
		switch {
		case err != nil || err2 != nil:
			return nil, fmt.Errorf("%q is neither a seed nor a range of seeds", text)
		case last < first:
			return nil, fmt.Errorf("%s goes backwards", text)
		case last-first >= uint64(maxSeeds-len(seeds)):
			return nil, fmt.Errorf("more than %d seeds", maxSeeds)
		}
		for i := range last - first + 1 {
			seed := first + i
			if seen[seed] {
				return nil, fmt.Errorf("%d twice", seed)
			}
			seen[seed] = true
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}

// formatSeeds writes seeds as parseSeeds reads them, in ascending order.
func formatSeeds(seeds []uint64) string {
	return strings.ReplaceAll(stability.List(slices.Sorted(slices.Values(seeds))), ", ", ",")
}

// sweepPlan is a sweep made ready.
type sweepPlan struct {
	sweepLine
	root string // folder of the manifest
	// What a new sweep has where the command line leaves it out: a nil axis must be
	// given, and no preset is that of the images and the table.
	defaults sweep.Grid
	preset   string

	paths    paths
	runner   sweep.Runner
	units    []sweep.Unit // to be run, or finished already
	advanced bool         // a step was done, or a record made
}

func (p *sweepPlan) close() {
	if p.runner.Oracle != nil {
		p.runner.Oracle.Close()
	}
}

// run runs the units. known are times of runs by which to estimate the end, beside
// those of the units themselves.
func (p *sweepPlan) run(ctx context.Context, log io.Writer, known []timed) ([]sweep.Outcome, error) {
	if err := p.openNetworkImages(ctx); err != nil {
		return nil, err
	}
	if err := p.fitMemory(ctx, log); err != nil {
		return nil, err
	}
	course := newSweepCourse(log, p.units, min(p.runner.Jobs, len(p.units)))
	course.took, course.retrains = known, p.runner.Shared.Retrain != nil
	if known == nil { // who knows has said it
		course.estimate = estimate{preset: p.runner.Shared.Preset, start: course.now()}
	}
	p.runner.Progress = func(u sweep.Unit, at benchmark.Progress) {
		p.advanced = p.advanced || at.Doing == ""
		course.update(u, at)
	}
	p.runner.Done = course.done
	defer course.end()
	return p.runner.Run(ctx, p.units)
}

// note remembers beside the manifest where images and table were.
func (p *sweepPlan) note() {
	images := ""
	switch r := p.runner; {
	case r.Train != nil:
		images = r.Train.Source.Digest
	case r.Text != nil:
		images = r.Text.Source.Digest
	}
	p.paths.note(p.root, images, p.runner.Shared.Table.Digest)
}

// prepare resolves the command line by the manifest, which it extends, and opens
// images and table.
func (p *sweepPlan) prepare(c *cli.Context, m *sweep.Manifest) error {
	r := &p.runner
	r.Root, r.Threads = p.root, c.Int("threads")
	r.Jobs = r.Threads
	if c.IsSet("jobs") {
		r.Jobs = c.Int("jobs")
	}
	whole := len(m.Units) > 0 && p.grid.Spaces == nil && p.grid.Algorithms == nil && p.grid.Seeds == nil
	if err := p.complete(c, m); err != nil {
		return err
	}
	family, err := p.family(m)
	if err != nil {
		return err
	}
	if !family.HasTable() && c.IsSet("table") {
		return misuse(fmt.Errorf("--table %w: no table knows the architectures of the spaces of %s", benchmark.ErrNoEffect, family), "leave it out")
	}

	images, table := c.String("data"), c.String("table")
	if images == "" && m.Shared.Images != nil && (generated(m.Shared.Images.Kind) || m.Shared.Images.Kind == generatedText) {
		images = m.Shared.Images.Kind
	}
	if table == "" && m.Shared.Table.Kind == surrogate {
		table = surrogate
	}
	if images == "" && m.Shared.Images != nil {
		images = advisedImages(r.Root, m.Shared.Images.Kind, m.Shared.Images.Digest)
	}
	table = cmp.Or(table, advice.Path(r.Root, advice.Table, m.Shared.Table.Digest))
	if p.paths.images, err = findData(family, images); err != nil {
		return err
	}
	images = p.paths.images
	source := sweep.Source{Kind: results.NoTable, Digest: results.NoTable}
	if family.HasTable() {
		if p.paths.table, err = findTable(table); err != nil {
			return err
		}
		if r.Oracle, err = openTable(c.Context, p.paths.table); err != nil {
			return err
		}
		source = sweep.Source{Kind: r.Oracle.Source().Kind, Digest: r.Oracle.Source().Digest}
		if err := p.checkBudgets(c); err != nil {
			return err
		}
	}
	r.Shared = sweep.Shared{
		Preset: c.String("preset"), Settings: maps.Clone(m.Shared.Settings),
		Table: source, Engine: engine.Resolve(c.String("engine")),
	}
	if family.ReadsText() {
		r.Shared.Engine = benchmark.TextEngine(c.String("engine"))
	}
	if r.Shared.Preset == "" {
		r.Shared.Preset = m.Shared.Preset
	}
	if r.Shared.Preset == "" {
		r.Shared.Preset = cmp.Or(p.preset, defaultPreset(images, source.Kind))
	}
	if family == benchmark.OneShot { // others came after the renaming
		m.Shared.Values = m.Renamed(c.Context, r.Oracle)
		if m.Shared.Values == "" && r.Shared.Preset == m.Shared.Preset && m.LastHessian(c.Context, r.Oracle) {
			for _, s := range []*sweep.Shared{&m.Shared, &r.Shared} {
				if s.Settings == nil {
					s.Settings = map[string]string{}
				}
				s.Settings["hessian"] = "last"
			}
		}
	}
	if r.Shared.Preset == m.Shared.Preset {
		r.Shared.Values = m.Shared.Values
	}
	if m.Shared.Engine != "" && !c.IsSet("engine") {
		r.Shared.Engine = m.Shared.Engine
	}
	if r.Shared.Retrain, err = retraining(c, m.Shared.Retrain, r.Shared.Preset, p.form(), images); err != nil {
		return err
	}
	r.Program = version()
	configs, err := p.configure(c, m)
	if err != nil {
		return err
	}
	for _, algorithm := range p.grid.Algorithms {
		if config := configs[algorithm]; !tableOnly(algorithm) && r.Train == nil && r.Text == nil {
			if family.ReadsText() {
				if r.Text, err = openText(c.Context, images, config.Text.Words); err != nil {
					return err
				}
				r.Shared.Images = &sweep.Source{Kind: r.Text.Source.Kind, Digest: r.Text.Source.Digest}
				continue
			}
			if err := p.openImages(c, images, config); err != nil {
				return err
			}
		}
	}
	if err := m.Extend(r.Shared); err != nil {
		var different *sweep.DifferentError
		if errors.As(err, &different) {
			hint := "another folder takes another sweep: --out DIR; figures take several folders"
			if strings.HasPrefix(different.Differences[0], "images ") || strings.HasPrefix(different.Differences[0], "table ") {
				hint = "--data PATH and --table PATH name the images and the table of the sweep; another folder takes another sweep: --out DIR"
			}
			return hinted(fmt.Errorf("%s holds %w", r.Root, err), "%s", hint)
		}
		return err
	}
	r.Shared = m.Shared
	if c.IsSet("unit") {
		p.units = m.Units[c.Int("unit"):][:1]
		return nil
	}
	if whole {
		p.units = m.Units // which need not be a whole grid
		return nil
	}
	p.units, err = m.Grow(p.grid, r.Stem(c.Context))
	if err != nil && c.Context.Err() != nil {
		return c.Context.Err()
	}
	if err != nil {
		return misuse(err, "see %s --help", c.Command.HelpName)
	}
	return nil
}

// family is that of the spaces of the sweep: runs of several share neither preset nor
// images. Of all algorithms it leaves those that support the spaces.
func (p *sweepPlan) family(m *sweep.Manifest) (benchmark.Family, error) {
	all := slices.Concat(m.Grid().Spaces, p.grid.Spaces)
	first := benchmark.FamilyOf(all[0])
	for _, space := range all {
		if f := benchmark.FamilyOf(space); f != first {
			return f, misuse(fmt.Errorf("spaces %s and %s in one sweep: a preset is of another size for the spaces of %s than for those of %s", all[0], space, first, f),
				"another folder takes another sweep: --out DIR; figures take several folders")
		}
	}
	if p.everyAlgorithm {
		p.grid.Algorithms = slices.DeleteFunc(p.grid.Algorithms, func(name string) bool {
			definition, err := algorithms.Lookup(name)
			return err == nil && slices.ContainsFunc(p.grid.Spaces, func(n spaces.Name) bool {
				space, err := spaces.Get(n)
				return err == nil && definition.CheckSpace(space) != nil
			})
		})
	}
	return first, nil
}

// checkBudgets is an error where an algorithm asks for training budgets that the table
// lacks. Of all algorithms it leaves out those that do, and says so.
func (p *sweepPlan) checkBudgets(c *cli.Context) error {
	var kept []string
	for _, name := range p.grid.Algorithms {
		definition, err := algorithms.Lookup(name)
		if err == nil {
			err = benchmark.CheckBudgets(definition, p.runner.Oracle)
		}
		switch {
		case err == nil:
			kept = append(kept, name)
		case p.everyAlgorithm && errors.Is(err, algorithms.ErrBudgets):
			fmt.Fprintf(c.App.ErrWriter, "left out: %v\n", err)
		default:
			return budgetHint(err)
		}
	}
	p.grid.Algorithms = kept
	return nil
}

// gridFlags say which units to run.
var gridFlags = []string{"spaces", "algos", "seeds", "seed-list"}

// complete takes from the manifest what the command line leaves out of the grid.
func (p *sweepPlan) complete(c *cli.Context, m *sweep.Manifest) error {
	if c.IsSet("unit") {
		k := c.Int("unit")
		if k < 0 || k >= len(m.Units) {
			return misuse(fmt.Errorf("no unit %d: %s has 0 to %d", k, filepath.Join(p.runner.Root, sweep.File), len(m.Units)-1), "nb1shot sweep --out DIR --dry-run lists them")
		}
		u := m.Units[k]
		p.grid = sweep.Grid{Spaces: []spaces.Name{u.Space}, Algorithms: []string{u.Algorithm}, Seeds: []uint64{u.Seed}}
		return nil
	}
	there := m.Grid()
	if len(m.Units) == 0 {
		there = p.defaults
	}
	if p.grid.Spaces == nil {
		p.grid.Spaces = there.Spaces
	}
	if p.grid.Algorithms == nil {
		p.grid.Algorithms = there.Algorithms
	}
	if p.grid.Seeds == nil {
		p.grid.Seeds = there.Seeds
	}
	for _, axis := range []struct {
		name string
		n    int
	}{{"spaces", len(p.grid.Spaces)}, {"algos", len(p.grid.Algorithms)}, {"seeds", len(p.grid.Seeds)}} {
		if axis.n == 0 {
			return misuse(fmt.Errorf("option --%s is missing: there is no sweep in %s yet", axis.name, p.runner.Root), "an example is: nb1shot sweep --spaces 1,2,3 --algos all --seeds 6")
		}
	}
	return nil
}

// configure adds the settings of the command line to those of the manifest and
// returns the configurations of all algorithms of both.
func (p *sweepPlan) configure(c *cli.Context, m *sweep.Manifest) (map[string]*benchmark.Config, error) {
	shared := &p.runner.Shared
	if err := checkPreset(shared.Preset); err != nil {
		return nil, err
	}
	if shared.Settings == nil {
		shared.Settings = map[string]string{}
	}
	all := slices.Clone(p.grid.Algorithms)
	for _, algorithm := range m.Grid().Algorithms {
		if !slices.Contains(all, algorithm) {
			all = append(all, algorithm)
		}
	}
	configs := map[string]*benchmark.Config{}
	for _, algorithm := range all {
		config, err := shared.Config(p.grid.Spaces[0], algorithm)
		if err != nil {
			return nil, hinted(fmt.Errorf("%s, %s: %w", filepath.Join(p.runner.Root, sweep.File), algorithm, err), "another folder takes another sweep: --out DIR")
		}
		configs[algorithm] = &config
	}
	for _, a := range p.settings {
		if err := assign(configs, all, a); err != nil {
			return nil, err
		}
		shared.Settings[a.name] = a.value
	}
	for _, algorithm := range all {
		config, err := shared.Config(p.grid.Spaces[0], algorithm)
		if err != nil {
			return nil, misuse(err, "see %s --help", c.Command.HelpName)
		}
		*configs[algorithm] = config
	}
	return configs, nil
}

// assign tries a setting on the algorithms that it is for.
func assign(configs map[string]*benchmark.Config, all []string, a assignment) error {
	algorithm, name, err := sweep.SplitSetting(a.name)
	if err != nil {
		return misuse(fmt.Errorf("%s: %w", a.where, err), "leave out the name of the algorithm")
	}
	of := all
	if algorithm != "" {
		if !slices.Contains(algorithms.Names(), algorithm) {
			return unknown("algorithm", algorithm, all, "choose one of "+strings.Join(all, ", "))
		}
		if configs[algorithm] == nil {
			return misuse(fmt.Errorf("%s: %s is not in the sweep", a.where, algorithm), "its algorithms are %s", strings.Join(all, ", "))
		}
		of = []string{algorithm}
	}
	var without, with, candidates []string
	var idle error
	effective := false
	for _, algorithm := range of {
		err := configs[algorithm].Set(name, a.value)
		candidates = append(candidates, benchmark.Settable(algorithm)...)
		switch {
		case errors.Is(err, benchmark.ErrSetting):
			without = append(without, algorithm)
			continue
		case err != nil:
			return misuse(fmt.Errorf("%s: %w", a.where, err), "nb1shot algos lists the settings of %s", algorithm)
		}
		with = append(with, algorithm)
		if err := configs[algorithm].CheckEffect(name); err != nil {
			idle = err
		} else {
			effective = true
		}
	}
	switch {
	case len(with) == 0:
		return unknown("setting", name, candidates, "nb1shot algos lists the settings")
	case len(without) > 0:
		return misuse(fmt.Errorf("%s: no such setting of %s", a.where, strings.Join(without, ", ")),
			"for one algorithm: --set %s.%s=%s", with[0], name, a.value)
	case !effective: // a list for several algorithms is good for one of them at least
		return misuse(fmt.Errorf("%s: %w", a.where, idle), "leave it out")
	}
	return nil
}

// openImages opens the images that all runs share, at the side that they are
// searched at.
func (p *sweepPlan) openImages(c *cli.Context, path string, config *benchmark.Config) error {
	r := &p.runner
	train, test, err := openImages(c.Context, path, config.Limit)
	if err != nil {
		return err
	}
	if r.Train, err = data.Downsample(train, config.Side); err == nil {
		r.Test, err = data.Downsample(test, config.Side)
	}
	if err != nil {
		return misuse(err, "see %s --help", c.Command.HelpName)
	}
	r.Shared.Images = &sweep.Source{Kind: r.Train.Source.Kind, Digest: r.Train.Source.Digest}
	return nil
}

// introduce says what the sweep will be, and what it uses instead of the real
// things.
func (p *sweepPlan) introduce(w io.Writer) error {
	r := &p.runner
	grid := (&sweep.Manifest{Units: p.units}).Grid()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "sweep\tspaces %s; %s; seeds %s; units %d\n", joinNames(grid.Spaces), strings.Join(grid.Algorithms, ", "), formatSeeds(grid.Seeds), len(p.units))
	if r.Train != nil {
		images := r.Train.Source.Detail
		if kind := r.Train.Source.Kind; generated(kind) {
			images = standInImages(kind)
		}
		fmt.Fprintf(t, "images\t%s\n", images)
	}
	if r.Text != nil {
		read := r.Text.Describe()
		if r.Text.Source.Kind == generatedText {
			read = standInText + "; " + read
		}
		fmt.Fprintf(t, "text\t%s\n", read)
	}
	kind := r.Shared.Table.Kind
	table := "none: no table knows the architectures of these spaces"
	if r.Oracle != nil {
		table = fmt.Sprintf("%s: %s", tableTitle(kind), r.Oracle.Source().Detail)
	}
	if !measured(kind) {
		table = fmt.Sprintf("a stand-in, %s; for the real one: %s table import FILE", tableTitle(kind), program)
	}
	fmt.Fprintf(t, "table\t%s\n", table)
	preset := r.Shared.Preset + departures(r.Shared.Settings)
	if r.Shared.Values != "" {
		preset += ", as it was when the sweep was begun: its values are called " + r.Shared.Values + " now"
	}
	fmt.Fprintf(t, "preset\t%s\n", preset)
	jobs := max(min(r.Jobs, len(p.units)), 1)
	if r.Shared.Retrain != nil {
		fmt.Fprintf(t, "networks\ttrained from scratch, %s\n", r.Shared.Retrain)
	}
	fmt.Fprintf(t, "engine\t%s, runs at a time %d, threads of each %d\n", r.Shared.Engine, jobs, max(r.Threads/jobs, 1))
	fmt.Fprintf(t, "record\t%s\n", filepath.Join(r.Root, sweep.File))
	return t.Flush()
}

// departures lists settings behind the name of the preset.
func departures(settings map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, name+" "+settings[name])
	}
	if len(parts) == 0 {
		return ""
	}
	return " with " + strings.Join(parts, ", ")
}

func joinNames(list []spaces.Name) string {
	return strings.Join(joined(list), ",")
}

func joinInts(list []int) string {
	var parts []string
	for _, v := range list {
		parts = append(parts, strconv.Itoa(v))
	}
	return strings.Join(parts, ",")
}

// listUnits prints the units and how they stand: finished, begun or missing.
func listUnits(c *cli.Context, r *sweep.Runner, units []sweep.Unit) error {
	type listed struct {
		sweep.Unit
		State string `json:"state"`
	}
	list := []listed{}
	left := 0
	for _, u := range units {
		o := r.Inspect(u)
		l := listed{u, string(o.State)}
		if o.State != sweep.Finished {
			left++
			if o.History != nil {
				l.State = "begun"
			}
		}
		list = append(list, l)
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, list)
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "unit\tspace\talgorithm\tseed\tstate\trun")
	for _, l := range list {
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%s\t%s\n", l.Index, l.Space, l.Algorithm, l.Seed, l.State, l.Run)
	}
	fmt.Fprintf(t, "units %d, to run %d\n", len(list), left)
	return t.Flush()
}
