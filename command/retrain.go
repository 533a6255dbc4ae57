package command

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "retrain",
		Usage:     "train the network of an architecture from scratch and measure it",
		ArgsUsage: "[RUN_DIR...]",
		Description: `Trains the network of what a search found from new weights, and tests it: on a space
that no table knows, this is the result of a search. The architecture is the last one of
a finished run, a genotype, of convolutions or recurrent, or a cell of NAS-Bench-101. A
recurrent one is trained on a text, by default Penn Treebank in the data home. The result is evaluation.json,
beside the record of the run; lines for each epoch and checkpoints are in a folder
retrain there. The same command continues a training that was stopped.

With --selection it trains what select chose from the supernet of the run; that result and
its records are in a folder ` + results.SelectionFolder + ` there.

With --select it trains what several runs found on the first half of the training images,
a sixth of the epochs, and says which is best on the second.

Presets of networks of genotypes:
` + retrainPresets(results.FormCIFAR) + `
Presets of networks of cells:
` + retrainPresets(results.FormNASBench101) + `
Presets of networks of recurrent genotypes:
` + retrainPresets(results.FormRecurrent) + `

Settings for --set: ` + strings.Join(wrap(strings.Join(retrain.SettingNames(), ", "), 66), "\n  ") + `

Examples:
  nb1shot retrain runs/darts-s2-sdarts-adv-quick-1f0c9a3e-seed0
  nb1shot retrain --genotype c10_s2_pgd --preset quick
  nb1shot retrain --genotype penn_pgd --data ptb --preset small`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "genotype", Usage: "train the network of `GENOTYPE`: a published one by name, one in its short form, or a file with one, as for cell"},
			&cli.StringFlag{Name: "cell", Usage: "train the network of `CELL`: a hash, which needs a table, or a file as query reads it"},
			&cli.BoolFlag{Name: "select", Usage: "choose among several runs", DisableDefaultText: true},
			&cli.BoolFlag{Name: "selection", Usage: "train the architecture that select chose by perturbation, not the one that the search delivered", DisableDefaultText: true},
			&cli.StringFlag{Name: "preset", Usage: "`PRESET` that the configuration starts from: " + strings.Join(retrain.Presets(), ", "), DefaultText: "paper on real images, else quick"},
			dataFlag("", "the run's; else as run finds them"),
			&cli.StringFlag{Name: "imagenet", Usage: "train the network for ImageNet on the photographs in `DIR`, which has folders train and val with a folder for each class"},
			tableFlag(),
			engineFlag(engine.Auto),
			precisionFlag(),
			threadsFlag(),
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of every random number of the training"},
			&cli.StringSliceFlag{Name: "set", Usage: "set a `SETTING=VALUE` of the training; repeatable"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write result and records into `DIR`", DefaultText: "in RUN_DIR; else in trainings, by name"},
			&cli.BoolFlag{Name: "no-figures", Usage: "draw no figure", DisableDefaultText: true},
			&cli.BoolFlag{Name: "quiet", Usage: "print errors and the result only", DisableDefaultText: true},
			&cli.BoolFlag{Name: "json", Usage: "print the content of evaluation.json", DisableDefaultText: true},
		},
		Action: interruptible(retrainArchitecture),
	}
}

func retrainPresets(form string) string {
	var lines []string
	for _, name := range retrain.Presets() {
		lines = append(lines, fmt.Sprintf("  %-6s %s", name, strings.Join(wrap(retrain.PresetDoc(form, name), 78), "\n         ")))
	}
	return strings.Join(lines, "\n")
}

// The folders in a run directory that hold the records of a training, and of the short one
// to choose among runs.
const (
	retrainFolder = retrain.Folder
	selectFolder  = "select"
)

func retrainArchitecture(c *cli.Context) error {
	if err := checkEngine(c); err != nil {
		return err
	}
	chosen := 0
	for _, given := range []bool{c.IsSet("genotype"), c.IsSet("cell"), c.Args().Present()} {
		if given {
			chosen++
		}
	}
	const example = "an example is: nb1shot retrain --genotype c10_s2_pgd --preset quick"
	switch {
	case chosen == 0:
		return misuse(errors.New("there is no architecture to train"), example)
	case chosen > 1:
		return misuse(errors.New("several architectures: give a run, --genotype or --cell"), example)
	case c.Bool("selection") && (c.Bool("select") || !c.Args().Present()):
		return misuse(errors.New("--selection is for the training of one run"), "an example is: nb1shot retrain runs/darts-s2-darts-quick-1f0c9a3e-seed0 --selection")
	case c.Bool("select"):
		return selectRun(c)
	}
	var s trainee
	var err error
	folder := retrainFolder
	if c.Bool("selection") {
		folder = results.SelectionFolder
	}
	switch {
	case c.IsSet("genotype"):
		s, err = genotypeSubject(c.String("genotype"))
	case c.IsSet("cell"):
		s, err = cellSubject(c, c.String("cell"))
	default:
		var dir string
		if dir, err = oneArgument(c, "RUN_DIR"); err == nil {
			s, err = runSubject(dir, c.Bool("selection"))
		}
	}
	if err != nil {
		return err
	}
	if c.IsSet("imagenet") {
		if s.Form != results.FormCIFAR || c.IsSet("data") {
			return misuse(errors.New("--imagenet is for genotypes of convolutions, and without --data"), "see %s --help", c.Command.HelpName)
		}
		s.Form = results.FormImageNet
	}
	e, path, err := train(c, s, folder, false)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		content, err := json.MarshalIndent(e, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(c.App.Writer, "%s\n", content)
		}
		return err
	}
	return printTraining(c.App.Writer, e, path)
}

// trainee is an architecture and where it comes from.
type trainee struct {
	results.Subject
	name          string // for a folder and for people
	title         string // of a figure
	run           *results.History
	searchSeconds *float64
}

func genotypeSubject(given string) (trainee, error) {
	found, err := readDrawable(given)
	if err != nil {
		return trainee{}, err
	}
	var s trainee
	switch found := found.(type) {
	case foundRecurrent:
		s.Form, s.Genotype = results.FormRecurrent, found.genotype.Line()
		if p, ok := rnn.FindPublished(given); ok {
			s.Published, s.name = p.Name, p.Name
		}
	case foundGenotype:
		s.Form, s.Genotype = results.FormCIFAR, found.genotype.Line()
		if p, ok := darts.FindPublished(given); ok {
			s.Published, s.name = p.Name, p.Name
		}
	}
	if s.name == "" {
		s.name = fmt.Sprintf("genotype-%.4x", sha256.Sum256([]byte(s.Genotype)))
	}
	return s, nil
}

// runSubject is what a finished run found, or what perturbation selected from its supernet.
func runSubject(dir string, selected bool) (trainee, error) {
	run, err := readRun(dir)
	if err == nil {
		err = run.Misfit
	}
	if err != nil {
		return trainee{}, err
	}
	if run.Status.State != results.Finished {
		return trainee{}, hinted(fmt.Errorf("%s is not finished (%s)", run.Dir, run.Status.State), "nb1shot run continues it with the command that began it")
	}
	if selected {
		if run, err = run.BySelection(); err != nil {
			return trainee{}, hinted(err, "nb1shot select %s selects", dir)
		}
	}
	subject, err := retrain.SubjectOf(run)
	if err != nil {
		return trainee{}, err
	}
	seconds := retrain.SearchSeconds(run)
	s := trainee{Subject: subject, run: run, name: run.Run.Name(), title: run.Run.Algorithm, searchSeconds: &seconds}
	if definition, err := algorithms.Lookup(s.title); err == nil { // another version may know more
		s.title = definition.Title
	}
	s.title += fmt.Sprintf(" on space %s, seed %d", run.Run.Space, run.Run.Seed)
	if selected {
		s.name, s.title = "what perturbation selected in "+s.name, s.title+", selected by perturbation"
	}
	return s, nil
}

func cellSubject(c *cli.Context, name string) (trainee, error) {
	spec, err := findCell(c, name)
	if err != nil {
		return trainee{}, err
	}
	hash, err := spec.Hash()
	if err != nil {
		return trainee{}, fmt.Errorf("--cell %s: %w", name, err)
	}
	record := results.NewCell(spec, hash)
	return trainee{
		Subject: results.Subject{Form: results.FormNASBench101, Cell: &record},
		name:    "cell-" + hash.String()[:8],
	}, nil
}

// findCell returns the cell of a file, or that of a hash in a table.
func findCell(c *cli.Context, name string) (cell.Spec, error) {
	hash, err := cell.ParseHash(name)
	if err != nil {
		return readCellFile(name)
	}
	oracle, err := openTableAt(c, nasbench.Epochs)
	if err != nil {
		return cell.Spec{}, err
	}
	defer oracle.Close()
	table, ok := oracle.(*nasbench.Table)
	if !ok {
		return cell.Spec{}, hinted(errors.New("without a table there is no cell of a hash"), "give FILE, or a table with --table PATH")
	}
	return table.Cell(hash)
}

// train trains an architecture, or finds that it was trained, and returns the evaluation
// and where it is.
func train(c *cli.Context, s trainee, folder string, halves bool) (results.Evaluation, string, error) {
	log := c.App.ErrWriter
	if c.Bool("quiet") {
		log = io.Discard
	}
	show := newStatus(log, within)
	show.hint("opening images")
	job, err := retrainJob(c, s, folder, halves)
	if err != nil {
		return results.Evaluation{}, "", err
	}
	training, err := abandon.Do(c.Context, 0, func() (t *retrain.Training, err error) {
		defer engine.Catch(&err)
		return job.Prepare()
	})
	switch {
	case errors.Is(err, context.Canceled):
		return results.Evaluation{}, "", errors.New("interrupted before the first step")
	case err != nil:
		return results.Evaluation{}, "", misuse(err, "see %s --help", c.Command.HelpName)
	}
	if err := introduceTraining(log, training.Evaluation(), s.name, job); err != nil {
		return results.Evaluation{}, "", err
	}
	var at retrain.Progress
	newest := -1
	e, err := training.Run(c.Context, func(p retrain.Progress) {
		at = p
		if p.Note != "" {
			show.end()
			fmt.Fprintln(log, p.Note)
		}
		if p.Last != nil && p.Last.Epoch > newest {
			newest = p.Last.Epoch
			show.last = show.last.Add(-within) // a record is always shown
		}
		show.print(trainingLine(p))
	})
	show.end()
	switch {
	case errors.Is(err, retrain.ErrFinished):
		fmt.Fprintln(log, "this training is finished already; its result:")
		return e, job.Result, nil
	case err == nil && e.Words == nil && !c.Bool("no-figures"):
		if undrawn := drawTraining(c, cmp.Or(s.title, s.name), e, job.Dir); undrawn != nil {
			return e, job.Result, &failure{fmt.Errorf("the training is finished, but not its figure: %w", undrawn), "its numbers are in " + job.Dir, exitFigures}
		}
	case errors.Is(err, algorithms.ErrDiverged):
		err = hinted(err, "the record so far is in %s; a lower learning rate may help, in another folder by --out", job.Dir)
	case errors.Is(err, retrain.ErrOther):
		err = hinted(err, "--out names another folder")
	case errors.Is(err, durable.ErrLocked):
		err = hinted(err, "wait for it, or choose another folder by --out")
	case err != nil:
		err = halted(err, job.Dir, at.Epoch, at.Epochs, at.Step, at.Steps)
	}
	return e, job.Result, err
}

// trainingFigure is the name of the figure of a training's errors, without extension.
const trainingFigure = "training"

// drawTraining draws the errors over the epochs into the folder of the training.
func drawTraining(c *cli.Context, title string, e results.Evaluation, dir string) (err error) {
	defer fault.Catch(&err) // of a library
	epochs, err := retrain.ReadEpochs(dir)
	if err != nil {
		return err
	}
	var train, test []float64
	for _, epoch := range epochs {
		train, test = append(train, 1-epoch.Train.Accuracy), append(test, 1-epoch.Test.Accuracy)
	}
	_, err = saveFigures(c, dir, []drawing{{trainingFigure, func() (*plots.Figure, error) {
		return plots.Training(title, train, test, e, plots.Column)
	}}})
	return err
}

// trainingLine says how far a training has come.
func trainingLine(p retrain.Progress) string {
	text := fmt.Sprintf("epoch %d/%d", p.Epoch, p.Epochs)
	errors := ""
	if p.Last != nil && p.Last.Words != nil {
		errors = fmt.Sprintf(": training perplexity %.2f, validation %.2f", math.Exp(p.Last.Train.Loss), p.Last.Words.Valid.Perplexity)
	} else if p.Last != nil {
		errors = fmt.Sprintf(": training error %s, error %s", percent(1-p.Last.Train.Accuracy), percent(1-p.Last.Test.Accuracy))
	}
	switch {
	case p.Last == nil || p.Last.Epoch != p.Epoch:
		text += ", " + cmp.Or(p.Doing, fmt.Sprintf("step %d/%d", p.Step, p.Steps))
		if p.Last != nil {
			text += fmt.Sprintf("; epoch %d%s", p.Last.Epoch, errors)
		}
	default: // done
		text += errors
	}
	if p.Remaining >= time.Second {
		text += ", " + duration(p.Remaining) + " left"
	}
	return text
}

// retrainJob reads the command line and opens the images.
func retrainJob(c *cli.Context, s trainee, folder string, halves bool) (job retrain.Job, err error) {
	path, err := imagesFor(c, s)
	if err != nil {
		return job, err
	}
	words := s.Form == results.FormRecurrent
	preset := c.String("preset")
	if preset == "" {
		preset = "paper"
		if generated(path) || words && path == generatedText {
			preset = "quick"
		}
	}
	if !slices.Contains(retrain.Presets(), preset) {
		return job, unknown("preset", preset, retrain.Presets(), "choose one of "+strings.Join(retrain.Presets(), ", "))
	}
	kind := path
	switch {
	case words: // opened below, as the settings tell how much of it
	case s.Form == results.FormImageNet:
		job.Photos, err = data.OpenImageNet(c.Context, path)
	case !generated(path):
		if job.Train, job.Test, err = openImages(c.Context, path, 0); err == nil {
			kind = job.Train.Source.Kind
		}
	}
	if err != nil {
		return job, err
	}
	config, err := retrain.NewConfig(preset, s.Form, kind)
	if err != nil {
		return job, misuse(err, "see %s --help", c.Command.HelpName)
	}
	if halves {
		config.Halves, config.Epochs = true, max(2, config.Epochs/6)
	}
	for _, pair := range c.StringSlice("set") {
		name, value, err := assigned("set", pair, fmt.Sprintf("write --set NAME=VALUE; see %s --help", c.Command.HelpName))
		if err != nil {
			return job, err
		}
		err = config.Set(name, value)
		if errors.Is(err, retrain.ErrSetting) {
			return job, unknown("setting", name, retrain.SettingNames(), "see "+c.Command.HelpName+" --help")
		}
		if err != nil {
			return job, misuse(fmt.Errorf("--set %w", err), "see %s --help", c.Command.HelpName)
		}
	}
	job.Config, job.Subject, job.Seed, job.Engine, job.Threads = config, s.Subject, c.Uint64("seed"), c.String("engine"), c.Int("threads")
	job.SearchSeconds, job.Program = s.searchSeconds, version()
	result := ""
	switch out := c.String("out"); {
	case out != "":
		job.Dir = out
	case s.run != nil:
		job.Dir = filepath.Join(s.run.Dir, folder)
		if folder == retrainFolder { // what the run found scores this: beside its record
			result = s.run.Dir
		}
	default:
		job.Dir = filepath.Join("trainings", fmt.Sprintf("%s-%s-seed%d", s.name, preset, job.Seed))
	}
	job.Result = filepath.Join(cmp.Or(result, job.Dir), results.EvaluationFile)
	switch {
	case words:
		job.Text, err = openText(c.Context, path, config.Language.Words)
	case generated(path):
		job.Train, job.Test, err = generatedImages(c.Context, path, config)
	}
	return job, err
}

// imagesFor is where the images of a training are: those of the run unless others are named.
func imagesFor(c *cli.Context, s trainee) (string, error) {
	switch s.Form {
	case results.FormImageNet:
		return c.String("imagenet"), nil
	case results.FormRecurrent:
		choice := c.String("data")
		if choice == "" && s.run != nil && s.run.Run.Provenance.Images == text.KindGenerated {
			choice = generatedText
		}
		return findText(choice)
	}
	choice := c.String("data")
	if choice == "" && s.run != nil {
		p := s.run.Run.Provenance
		if generated(p.Images) {
			choice = p.Images
		} else if p.Images != results.NoImages {
			choice = cmp.Or(advisedImages(filepath.Dir(s.run.Dir), p.Images, p.ImagesDigest), p.Images)
		}
	}
	return findImages(choice)
}

// generatedImages makes the stand-ins that a training uses.
func generatedImages(ctx context.Context, kind string, config retrain.Config) (train, test *data.Set, err error) {
	if train, _, err = openImages(ctx, kind, cmp.Or(config.Images, proceduralImages)); err != nil {
		return nil, nil, err
	}
	// The second set of so many is that of a fifth.
	_, test, err = openImages(ctx, kind, 5*cmp.Or(config.TestImages, proceduralImages/5))
	return train, test, err
}

// introduceTraining says what will be trained.
func introduceTraining(w io.Writer, e results.Evaluation, name string, job retrain.Job) error {
	p := e.Provenance
	images := p.ImagesDetail
	switch {
	case generated(p.Images):
		images = standInImages(p.Images)
	case job.Text != nil:
		images = job.Text.Describe()
		if p.Images == text.KindGenerated {
			images = standInText + "; " + images
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "network\tof %s, epochs %d, seed %d\n", name, e.Recipe.Epochs, e.Seed)
	fmt.Fprintf(t, "size\t%s parameters, %s multiply-accumulates\n", grouped(e.Parameters), grouped(int(e.MACs)))
	if job.Text != nil {
		fmt.Fprintf(t, "text\t%s\n", images)
	} else {
		fmt.Fprintf(t, "images\t%s\n", images)
		fmt.Fprintf(t, "measured\ton %s images, %s\n", grouped(e.Recipe.TestImages), measuredOn(e.Recipe))
	}
	fmt.Fprintf(t, "preset\t%s: %s\n", p.Preset, p.Scale)
	fmt.Fprintf(t, "engine\t%s: %s, threads %d, %s\n", p.Engine, p.Precision, job.Threads, p.Device)
	fmt.Fprintf(t, "record\t%s\n", job.Dir)
	return t.Flush()
}

func measuredOn(r results.Recipe) string {
	if r.MeasuredOn == results.PartSecondHalf {
		return "the second half of the training set"
	}
	return "the test set"
}

// printTraining prints what a training yielded.
func printTraining(w io.Writer, e results.Evaluation, path string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if e.Words != nil {
		printWords(t, e)
		fmt.Fprintf(t, "result\t%s\n", path)
		return t.Flush()
	}
	what := "test error"
	if e.Recipe.MeasuredOn != results.PartTest {
		what = "validation error"
	}
	fmt.Fprintf(t, "%s\t%s after %d epochs", what, percent(e.TestError()), e.Recipe.Epochs)
	if b := e.Best; b != nil && b.Accuracy > e.Test.Accuracy {
		fmt.Fprintf(t, ", lowest %s in epoch %d, which these images chose", percent(1-b.Accuracy), b.Epoch)
	}
	fmt.Fprintf(t, "\n\ton %s images, %s\n", grouped(e.Recipe.TestImages), measuredOn(e.Recipe))
	if generated(e.Provenance.Images) {
		fmt.Fprintf(t, "\t%s\n", standInImages(e.Provenance.Images))
	}
	fmt.Fprintf(t, "training error\t%s\n", percent(1-e.Train.Accuracy))
	parameters := grouped(e.Parameters)
	if extra := e.ParametersAuxiliary - e.Parameters; extra > 0 {
		parameters += fmt.Sprintf(", and %s of the auxiliary head", grouped(extra))
	}
	fmt.Fprintf(t, "parameters\t%s\n", parameters)
	fmt.Fprintf(t, "result\t%s\n", path)
	return t.Flush()
}

// printWords prints what a training of words yielded.
func printWords(w io.Writer, e results.Evaluation) {
	r := e.Words
	fmt.Fprintf(w, "perplexity\t%.2f on the test text, %.2f on the validation text, which chose epoch %d of %d\n", r.Test.Perplexity, r.Valid.Perplexity, r.Epoch, e.Recipe.Epochs)
	fmt.Fprintf(w, "\tof the predicted words alone %.2f and %.2f (quirk R1)\n", r.Test.Exact, r.Valid.Exact)
	if e.Provenance.Images == text.KindGenerated {
		fmt.Fprintf(w, "\t%s\n", standInText)
	}
	if r.AveragingFrom != nil {
		fmt.Fprintf(w, "averaged SGD\tfrom epoch %d on\n", *r.AveragingFrom)
	}
	fmt.Fprintf(w, "parameters\t%s\n", grouped(e.Parameters))
}

// selectRun trains what several runs found for a short time on one half of the training
// images and ranks them by the other.
func selectRun(c *cli.Context) error {
	if c.Args().Len() < 2 {
		return misuse(errors.New("--select chooses among several runs"), "an example is: nb1shot retrain --select runs/darts-s2-sdarts-adv-*")
	}
	if c.IsSet("out") {
		return misuse(errors.New("--out has no effect with --select: records are in each run's folder "+selectFolder), "leave it out")
	}
	var subjects []trainee
	for _, dir := range c.Args().Slice() {
		s, err := runSubject(dir, false)
		if err != nil {
			return err
		}
		subjects = append(subjects, s)
	}
	best := -1
	var all []results.Evaluation
	for i, s := range subjects {
		e, _, err := train(c, s, selectFolder, true)
		if err != nil {
			return err
		}
		if i > 0 {
			if name, a, b := e.Key().Difference(all[0].Key()); name != "" {
				return fmt.Errorf("%s and %s cannot be compared: %s is %s and %s", s.run.Dir, subjects[0].run.Dir, name, a, b)
			}
		}
		all = append(all, e)
		if best < 0 || e.Test.Accuracy > all[best].Test.Accuracy {
			best = i
		}
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, struct {
			Best        string               `json:"best"`
			Evaluations []results.Evaluation `json:"evaluations"`
		}{subjects[best].run.Dir, all})
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "run\tvalidation error after %d epochs\tparameters\n", all[0].Recipe.Epochs)
	for i, e := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\n", subjects[i].run.Dir, percent(e.TestError()), grouped(e.Parameters))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.App.Writer, "best: %s\n", subjects[best].run.Dir)
	return err
}
