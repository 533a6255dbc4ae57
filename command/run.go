package command

import (
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
	"time"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/results/tensorboard"
	"github.com/nb1shot/nb1shot/spaces"
)

func runCommand() *cli.Command {
	scale := func(name, usage string) cli.Flag {
		return &cli.IntFlag{Name: name, Usage: usage, DefaultText: "the preset's"}
	}
	return &cli.Command{
		Name:      "run",
		Usage:     "run a search and draw its figures",
		UsageText: "nb1shot run --space N --algo NAME [options]",
		Description: `Trains the supernet of a search space by an algorithm. Every epoch it looks up the
discrete cell in NAS-Bench-101, on the spaces that this knows, and takes the spectrum of
the architecture Hessian. The record and the figures are in a folder named from the
configuration.

Presets on the spaces of NAS-Bench-1Shot1, which are 1, 2, 3:
` + presetList() + `

Example:
  nb1shot run --space 2 --algo sdarts-adv --epochs 100`,
		Flags: []cli.Flag{
			spaceFlag("", "must be given"),
			&cli.StringFlag{Name: "algo", Usage: "search by `ALGORITHM`: " + strings.Join(algorithms.Names(), ", "), DefaultText: "must be given"},
			scale("epochs", "train for `N` epochs"),
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of every random number"},
			&cli.StringFlag{Name: "preset", Usage: "`PRESET` that the configuration starts from: " + strings.Join(benchmark.PresetNames(), ", "), DefaultText: "paper where images and table are the real ones, else quick"},
			dataFlag("", "CIFAR-10 in the data home, else procedural"),
			tableFlag(),
			engineFlag(engine.Auto),
			precisionFlag(),
			threadsFlag(),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "make the run directory in `DIR`", Value: "runs"},
			scale("limit", "use `N` of the training images, training and search part together; 0 is all"),
			scale("batch", "`N` images in a batch"),
			scale("channels", "`N` channels of the first cells"),
			scale("cells", "`N` cells in the supernet, at least 3"),
			scale("side", "average the images down to `N` pixels a side: 8, 16 or 32"),
			&cli.StringSliceFlag{Name: "set", Usage: "set a `SETTING=VALUE` of the algorithm or the run; nb1shot algos lists them; repeatable"},
			&cli.StringFlag{Name: "settings", Usage: "read settings from a TOML `FILE`, before those of --set"},
			&cli.BoolFlag{Name: "quiet", Usage: "print errors and the final line only", DisableDefaultText: true},
			&cli.BoolFlag{Name: "json", Usage: "print the records as JSON lines, then a summary", DisableDefaultText: true},
			&cli.BoolFlag{Name: "restart", Usage: "start an unfinished run again instead of continuing it; the old record is kept aside", DisableDefaultText: true},
			&cli.StringFlag{Name: "tensorboard", Usage: "also write each record as events for TensorBoard into a folder of `DIR`"},
			&cli.BoolFlag{Name: "no-figures", Usage: "draw no figures", DisableDefaultText: true},
			&cli.BoolFlag{Name: "force", Usage: "replace figures that were changed since they were drawn", DisableDefaultText: true},
		},
		Action: interruptible(runSearch),
	}
}

// scaleFlags are the settings of a run that have options of their own.
var scaleFlags = []string{"epochs", "limit", "batch", "channels", "cells", "side"}

func presetList() string {
	var lines []string
	for _, family := range benchmark.Families() {
		if family != benchmark.OneShot {
			lines = append(lines, "\nPresets on the spaces of "+family.String()+", which are "+strings.Join(joined(family.Spaces()), ", ")+":")
		}
		for _, p := range benchmark.Presets {
			lines = append(lines, fmt.Sprintf("  %-6s %s", p.Name, strings.Join(wrap(p.Doc(family), 78), "\n         ")))
		}
	}
	return strings.Join(lines, "\n")
}

func runSearch(c *cli.Context) error {
	log := c.App.ErrWriter
	if c.Bool("quiet") {
		log = io.Discard
	}
	course := newCourse(log)
	course.hint("opening images and table")
	job, at, err := newJob(c)
	if err != nil {
		return err
	}
	if job.Oracle != nil {
		defer job.Oracle.Close()
	}
	search, err := job.PrepareUntil(c.Context)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted before the first step")
	}
	if errors.Is(err, algorithms.ErrBudgets) {
		return budgetHint(err)
	}
	if err != nil {
		return misuse(err, "see %s --help", c.Command.HelpName)
	}
	run := search.Record()
	dir := filepath.Join(job.Root, run.Name())
	if err := introduce(log, job, run, dir); err != nil {
		return err
	}
	if c.Bool("restart") {
		if err := moveAside(log, dir); err != nil {
			return err
		}
	}

	records := &recordWriter{w: io.Discard}
	if c.Bool("json") {
		records.w = c.App.Writer
	}
	course.estimate.preset = run.Provenance.Preset
	events := &eventWriter{root: c.String("tensorboard"), dir: dir}
	defer events.close()
	var progress benchmark.Progress
	noted := false
	ctx, cancel := context.WithCancelCause(c.Context)
	defer cancel(nil)
	_, err = search.Run(ctx, func(p benchmark.Progress) {
		progress = p
		if !noted { // the folder is there now
			at.note(job.Root, run.Provenance.ImagesDigest, run.Provenance.TableDigest)
			noted = true
		}
		if err := events.update(p.Last); err != nil {
			cancel(err)
		}
		for _, note := range p.Notes {
			fmt.Fprintln(log, note)
		}
		course.update(p)
		records.update(p.Last)
	})
	course.end()
	var finished *results.FinishedError
	switch {
	case errors.As(err, &finished):
		fmt.Fprintln(log, "this run is finished already; its record:")
	case events.err != nil:
		return hinted(fmt.Errorf("--tensorboard: %w", events.err), "the run was interrupted; without --tensorboard the same command continues it")
	case err != nil:
		return stopped(err, dir, progress)
	}

	history, err := results.Read(dir)
	if err != nil {
		return err
	}
	s := summarise(history)
	var undrawn error
	if !c.Bool("no-figures") {
		s.Figures, undrawn = draw(c, []*results.History{history}, dir, "", plots.Options{})
	}
	switch {
	case c.Bool("json"):
		err = records.finish(history, s)
	case c.Bool("quiet"):
		_, err = fmt.Fprintln(c.App.Writer, s.line())
	default:
		err = s.print(c.App.Writer)
	}
	if err == nil && undrawn != nil {
		err = &failure{fmt.Errorf("the run is finished, but not its figures: %w", undrawn), "nb1shot plot " + dir + " -o " + dir + " draws them", exitFigures}
	}
	return err
}

// newJob reads the command line and opens images and table.
func newJob(c *cli.Context) (job benchmark.Job, at paths, err error) {
	if err := noArguments(c); err != nil {
		return job, at, err
	}
	for _, name := range []string{"space", "algo"} {
		if !c.IsSet(name) {
			return job, at, misuse(fmt.Errorf("option --%s is missing", name), "an example is: nb1shot run --space 2 --algo sdarts-adv --epochs 100")
		}
	}
	if err := checkEngine(c); err != nil {
		return job, at, err
	}
	reads := benchmark.FamilyOf(spaceOf(c)).ReadsText()
	if at.images, err = findData(benchmark.FamilyOf(spaceOf(c)), c.String("data")); err != nil {
		return job, at, err
	}
	job = benchmark.Job{
		Seed: c.Uint64("seed"), Engine: c.String("engine"), Threads: c.Int("threads"), Root: c.String("out"),
	}
	table := results.NoTable
	if benchmark.FamilyOf(spaceOf(c)).HasTable() {
		if at.table, err = findTable(c.String("table")); err != nil {
			return job, at, err
		}
		if job.Oracle, err = openTable(c.Context, at.table); err != nil {
			return job, at, err
		}
		table = job.Oracle.Source().Kind
	} else if c.IsSet("table") {
		return job, at, misuse(fmt.Errorf("--table %w: no table knows the architectures of space %s", benchmark.ErrNoEffect, spaceOf(c)), "leave it out")
	}
	preset := c.String("preset")
	if preset == "" {
		preset = defaultPreset(at.images, table)
	}
	job.Config, err = newConfig(c, preset)
	switch {
	case err != nil || tableOnly(job.Config.Algorithm):
	case reads:
		job.Text, err = openText(c.Context, at.images, job.Config.Text.Words)
	default:
		job.Train, job.Test, err = openImages(c.Context, at.images, job.Config.Limit)
	}
	if err != nil && job.Oracle != nil {
		job.Oracle.Close()
	}
	return job, at, err
}

// budgetHint says what to do about a table without the training budgets that an algorithm
// asks for.
func budgetHint(err error) error {
	if !errors.Is(err, algorithms.ErrBudgets) {
		return err
	}
	return misuse(err, "nb1shot table fetch --full and nb1shot table import bring the table of all budgets; local-search, reinforce, tpe, random-search and regularized-evolution ask for 108 epochs alone")
}

// tableOnly tells whether the algorithm needs no images.
func tableOnly(algorithm string) bool {
	definition, err := algorithms.Lookup(algorithm)
	return err == nil && definition.TableOnly
}

// defaultPreset is the paper's where both images and table are the real ones.
func defaultPreset(images, table string) string {
	if !generated(images) && images != generatedText && measured(table) {
		return "paper"
	}
	return "quick"
}

// checkPreset refuses the name of a preset that does not exist.
func checkPreset(name string) error {
	presets := benchmark.PresetNames()
	if slices.Contains(presets, name) {
		return nil
	}
	return unknown("preset", name, presets, "choose one of "+strings.Join(presets, ", "))
}

// newConfig returns the configuration of the preset with the options that the
// command line changes.
func newConfig(c *cli.Context, preset string) (benchmark.Config, error) {
	if err := checkPreset(preset); err != nil {
		return benchmark.Config{}, err
	}
	algorithm := c.String("algo")
	if !slices.Contains(algorithms.Names(), algorithm) {
		otherwise := "choose one of " + strings.Join(algorithms.Names(), ", ")
		if strings.ContainsAny(algorithm, ", ") {
			otherwise = "several of them: nb1shot sweep --algos " + algorithm
		}
		return benchmark.Config{}, unknown("algorithm", algorithm, algorithms.Names(), otherwise)
	}
	config, err := benchmark.NewConfig(preset, spaceOf(c), algorithm)
	if err != nil {
		return benchmark.Config{}, err
	}
	if path := c.String("settings"); path != "" {
		if err := readSettings(&config, path); err != nil {
			return benchmark.Config{}, err
		}
	}
	for _, pair := range c.StringSlice("set") {
		name, value, err := assigned("set", pair, "write --set NAME=VALUE; nb1shot algos lists the names")
		if err != nil {
			return benchmark.Config{}, err
		}
		if err := set(&config, "--set "+pair, name, value); err != nil {
			return benchmark.Config{}, err
		}
		if err := checkEffect(config, "--set "+pair, name); err != nil {
			return benchmark.Config{}, err
		}
	}
	for _, pair := range c.StringSlice("set") { // once more: one may have undone another
		name, _, _ := strings.Cut(pair, "=")
		if err := checkEffect(config, "--set "+pair, name); err != nil {
			return benchmark.Config{}, err
		}
	}
	if tableOnly(algorithm) && c.IsSet("engine") { // --data may decide on the preset
		return benchmark.Config{}, misuse(fmt.Errorf("--%s %w: %s trains no supernet, it asks the table alone", computesOn(c), benchmark.ErrNoEffect, algorithm), "leave it out")
	}
	for _, name := range scaleFlags {
		if c.IsSet(name) {
			if err := config.CheckEffect(name); err != nil {
				return benchmark.Config{}, misuse(fmt.Errorf("--%w", err), "leave it out")
			}
			if err := config.Set(name, strconv.Itoa(c.Int(name))); err != nil {
				return benchmark.Config{}, misuse(fmt.Errorf("--%w", err), "see %s --help", c.Command.HelpName)
			}
		}
	}
	if err := config.Check(); err != nil {
		return benchmark.Config{}, misuse(err, "see %s --help", c.Command.HelpName)
	}
	return config, nil
}

// set changes one setting of a configuration; where says where it was given. The
// name may begin with that of the algorithm and a dot.
func set(config *benchmark.Config, where, name, value string) error {
	algorithm, setting, err := sweep.SplitSetting(name)
	switch {
	case err != nil:
		return misuse(fmt.Errorf("%s: %w", where, err), "leave out the name of the algorithm")
	case algorithm == "":
	case !slices.Contains(algorithms.Names(), algorithm):
		return unknown("algorithm", algorithm, algorithms.Names(), "choose one of "+strings.Join(algorithms.Names(), ", "))
	case algorithm != config.Algorithm:
		return misuse(fmt.Errorf("%s: the run is of %s", where, config.Algorithm), "leave it out, or choose --algo %s", algorithm)
	}
	name = setting
	err = config.Set(name, value)
	switch {
	case errors.Is(err, benchmark.ErrSetting):
		return unknown("setting", name, benchmark.Settable(config.Algorithm), "nb1shot algos lists the settings of "+config.Algorithm)
	case err != nil:
		return misuse(fmt.Errorf("%s: %w", where, err), "nb1shot algos lists the settings of %s", config.Algorithm)
	}
	return nil
}

// checkEffect refuses a setting, which set has taken, that the algorithm would not look at.
func checkEffect(config benchmark.Config, where, name string) error {
	_, setting, err := sweep.SplitSetting(name)
	if err == nil {
		err = config.CheckEffect(setting)
	}
	if err != nil {
		return misuse(fmt.Errorf("%s: %w", where, err), "leave it out")
	}
	return nil
}

// readSettings changes a configuration by a file of settings, which may be one of a
// sweep: tables of other algorithms are checked, and of no effect. What its own
// table has goes before what stands outside of all.
func readSettings(config *benchmark.Config, path string) error {
	list, err := decodeSettings(path)
	if err != nil {
		return err
	}
	others := map[string]*benchmark.Config{}
	for _, limited := range []bool{false, true} {
		for _, a := range list {
			algorithm, _, ofOne := strings.Cut(a.name, ".")
			if ofOne != limited {
				continue
			}
			of := config
			if ofOne && algorithm != config.Algorithm && slices.Contains(algorithms.Names(), algorithm) {
				if others[algorithm] == nil {
					other, err := benchmark.NewConfig(config.Preset, config.Space, algorithm)
					if err != nil {
						return err
					}
					others[algorithm] = &other
				}
				of = others[algorithm]
			}
			if err := set(of, a.where, a.name, a.value); err != nil {
				return err
			}
			if ofOne { // what is for all is good for one of them at least
				if err := checkEffect(*of, a.where, a.name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// assignment is a setting as the command line gives it.
type assignment struct{ where, name, value string }

// maxSettings bounds a file of settings, in bytes.
const maxSettings = 64 << 10

// decodeSettings reads a TOML file of the names and values that --set takes. What
// stands in a table has the name of the table and a dot before its own.
func decodeSettings(path string) ([]assignment, error) {
	const example = "the file has lines such as: pgd-steps = 1"
	var values map[string]any
	text, err := foreign.ReadText(path, maxSettings)
	if err == nil {
		err = toml.Unmarshal(text, &values)
	}
	if err != nil {
		return nil, misuse(fmt.Errorf("--settings %s: %w", path, err), example)
	}
	var list []assignment
	var add func(before string, values map[string]any) error
	add = func(before string, values map[string]any) error {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			a := assignment{name: before + name}
			a.where = fmt.Sprintf("--settings %s: %s", path, a.name)
			switch v := values[name].(type) {
			case map[string]any:
				if err := add(a.name+".", v); err != nil {
					return err
				}
				continue
			case bool:
				a.value = map[bool]string{true: "on", false: "off"}[v]
			case int64, float64, string:
				a.value = fmt.Sprint(v)
			default:
				return misuse(fmt.Errorf("--settings %s: %s is neither a number, a text, nor true or false", path, a.name), example)
			}
			list = append(list, a)
		}
		return nil
	}
	return list, add("", values)
}

// introduce says what the run will be, and what it uses instead of the real things.
func introduce(w io.Writer, job benchmark.Job, run results.Run, dir string) error {
	definition, err := algorithms.Lookup(run.Algorithm)
	if err != nil {
		return err
	}
	p := run.Provenance
	images := p.ImagesDetail
	if generated(p.Images) {
		images = standInImages(p.Images)
	}
	what := "images"
	if benchmark.FamilyOf(run.Space).ReadsText() {
		what = "text"
		if p.Images == generatedText {
			images = standInText + "; " + images
		}
	}
	kind := p.Table
	table := fmt.Sprintf("%s: %s", tableTitle(kind), p.TableDetail)
	if kind == results.NoTable {
		table = "none: no table knows the architectures of this space"
	} else if !measured(kind) {
		table = fmt.Sprintf("a stand-in, %s; for the real one: %s table import FILE", tableTitle(kind), program)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "search\t%s on space %s, epochs %d, seed %d\n", definition.Title, run.Space, job.Config.Epochs, run.Seed)
	if !definition.TableOnly {
		fmt.Fprintf(t, "%s\t%s\n", what, images)
	}
	fmt.Fprintf(t, "table\t%s\n", table)
	fmt.Fprintf(t, "preset\t%s: %s\n", p.Preset, p.Scale)
	if !definition.TableOnly {
		fmt.Fprintf(t, "engine\t%s: %s, threads %d, %s\n", p.Engine, p.Precision, job.Threads, p.Device)
	}
	if space, err := spaces.Get(run.Space); err == nil {
		if warning := definition.Caveat(space, job.Config.Settings); warning != "" {
			fmt.Fprintf(t, "warning\t%s\n", warning)
		}
	}
	fmt.Fprintf(t, "record\t%s\n", dir)
	return t.Flush()
}

// eventWriter writes the records of a run as TensorBoard events while it goes on,
// into root, or not at all where that is empty.
type eventWriter struct {
	root, dir string // of the events, of the run
	writer    *tensorboard.Writer
	newest    *results.Epoch
	err       error // the first one
}

func (e *eventWriter) update(newest *results.Epoch) error {
	if e.root == "" || newest == nil || newest == e.newest || e.err != nil {
		return e.err
	}
	e.newest = newest
	if e.writer != nil {
		e.err = e.writer.Append(*newest)
		return e.err
	}
	// A run that continues has records from before.
	h, err := results.Read(e.dir)
	if err == nil {
		e.writer, err = tensorboard.Open(filepath.Join(e.root, h.Run.Name()), h.Run, h.Status.Started)
	}
	for i := 0; err == nil && i < len(h.Epochs); i++ {
		err = e.writer.Append(h.Epochs[i])
	}
	e.err = err
	return err
}

func (e *eventWriter) close() {
	if e.writer != nil {
		e.writer.Close()
	}
}

// moveAside makes room for the run where an unfinished one stands.
func moveAside(w io.Writer, dir string) error {
	if there, err := exists(dir); err != nil || !there {
		return err
	}
	aside, err := results.MoveAside(dir)
	var finished *results.FinishedError
	if errors.As(err, &finished) {
		return nil // Run reports it
	}
	if err == nil {
		fmt.Fprintf(w, "the old record is kept in %s\n", aside)
	}
	return err
}

// stopped words the error that ended a run.
func stopped(err error, dir string, at benchmark.Progress) error {
	var unfinished *results.UnfinishedError
	var locked *results.LockedError
	var misfit *results.MisfitError
	switch {
	case errors.As(err, &misfit):
		return hinted(err, "restore the file, or move %s aside to run again", dir)
	case errors.As(err, &locked) && locked.Wait > 0:
		return hinted(err, "if that process has died, the same command continues the run in %v", locked.Wait.Round(time.Second))
	case errors.As(err, &locked):
		return hinted(err, "wait for it, or choose another folder by --out")
	case errors.As(err, &unfinished):
		return hinted(err, "--restart starts it again and keeps the old record aside")
	case errors.Is(err, algorithms.ErrDiverged):
		return hinted(err, "the record so far is in %s; a lower learning rate may help", dir)
	}
	return halted(err, dir, at.Epoch, at.Epochs, at.Step, at.Steps)
}

// halted words what ends any long computation that writes into a folder, at a step of an epoch.
func halted(err error, dir string, epoch, epochs, step, steps int) error {
	switch {
	case errors.Is(err, context.Canceled):
		where := "before the first step"
		if step > 0 {
			where = fmt.Sprintf("in epoch %d of %d, step %d of %d", epoch, epochs, step, steps)
		}
		return hinted(fmt.Errorf("interrupted %s: %s", where, dir), "the same command continues it")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hinted(err, "free some space: the same command then continues from the newest checkpoint, nothing is lost")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return hinted(err, "it writes into %s: make that writable, or choose another folder by --out", filepath.Dir(dir))
	}
	return err
}
