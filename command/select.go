package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/results"
)

func selectCommand() *cli.Command {
	return &cli.Command{
		Name:      "select",
		Usage:     "select the architecture of finished runs by perturbation, as DARTS-PT does",
		ArgsUsage: "RUN_DIR...",
		Description: `Selects an architecture from the supernet of each finished run by perturbation (Wang et
al., ICLR 2021) instead of by its largest alphas: decision by decision, operations before
inputs, what stays is that without which the supernet loses the most validation accuracy.
With --tune-epochs the weights are trained between the decisions. The supernet comes from
the checkpoint in the run directory, which stays as it is; the result is selection.json
beside it. A selection that was stopped goes on after its last decision, and one that is
there is shown. plot, stability and report take what was selected with --selection.

Example:
  nb1shot select runs/s2-darts-quick-* --tune-epochs 1
  nb1shot stability runs --selection`,
		Flags: []cli.Flag{
			bounded(&cli.IntFlag{Name: "tune-epochs", Usage: "train the weights for `N` epochs between two decisions; the paper: 5"}, 0, 1_000),
			bounded(&cli.IntFlag{Name: "batches", Usage: "score on `N` search batches", DefaultText: "all"}, 1, 1_000_000),
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the order of the decisions and of the fine-tuning"},
			&cli.BoolFlag{Name: "force", Usage: "select anew, and replace a selection that is there or was stopped", DisableDefaultText: true},
			skipDamagedFlag(),
			dataFlag("the run's images: ", "as run finds them"),
			tableFlag(),
			threadsFlag(),
			jsonFlag(),
		},
		Action: interruptible(selectRuns),
	}
}

func selectRuns(c *cli.Context) (err error) {
	runs, skipped, err := readRuns(c, "nb1shot select runs/s2-darts-quick-*")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	var all []results.Selection
	for _, run := range runs {
		found := run.Selection
		if found == nil || c.Bool("force") {
			one, err := selectByPerturbation(c, run)
			if err != nil {
				return err
			}
			found = &one
		} else if err := sameSelection(c, run); err != nil {
			return err
		}
		all = append(all, *found)
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, all)
	}
	return printSelections(c, all)
}

// sameSelection tells whether the selection of a run was made as the command line asks.
func sameSelection(c *cli.Context, run *results.History) error {
	s := run.Selection
	if c.IsSet("tune-epochs") && c.Int("tune-epochs") != s.TuneEpochs || c.IsSet("seed") && c.Uint64("seed") != s.Seed || c.IsSet("batches") && c.Int("batches") != s.Batches {
		return hinted(fmt.Errorf("%s was made with seed %d, %d batches and %d epochs of fine-tuning", filepath.Join(run.Dir, results.SelectionFile), s.Seed, s.Batches, s.TuneEpochs), "--force selects anew and replaces it")
	}
	return nil
}

func selectByPerturbation(c *cli.Context, run *results.History) (found results.Selection, err error) {
	search, done, err := searchAgain(c, run, "there is no selection")
	if err != nil {
		return found, err
	}
	defer done()
	course := newTally(c.App.ErrWriter, "selection of "+run.Run.Name())
	defer course.end()
	found, err = search.Select(c.Context, run, benchmark.SelectionOptions{
		Batches: c.Int("batches"), TuneEpochs: c.Int("tune-epochs"), Seed: c.Uint64("seed"), Restart: c.Bool("force"), Report: course.update,
	})
	switch {
	case errors.Is(err, benchmark.ErrNoCheckpoint):
		return found, hinted(err, "its checkpoint was removed, as results gc does: without one there is no supernet to select from")
	case errors.Is(err, benchmark.ErrOtherSelection):
		return found, hinted(err, "the same options continue it; --force begins anew")
	case err != nil && c.Context.Err() != nil:
		if _, stat := os.Stat(filepath.Join(run.Dir, benchmark.SelectionCheckpoint)); stat == nil {
			return found, hinted(err, "the same command continues it")
		}
		return found, err
	case err != nil:
		return found, err
	}
	found.Program = version()
	err = benchmark.WriteSelection(run.Dir, found, c.Bool("force"))
	if errors.Is(err, fs.ErrExist) {
		err = hinted(err, "another process has selected meanwhile; --force replaces it")
	}
	return found, err
}

// printSelections prints what was selected beside what the searches delivered.
func printSelections(c *cli.Context, all []results.Selection) error {
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "run\ttest error\tby perturbation\tparameter-free\tby perturbation\tchanged\tsupernet\tby perturbation")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.Run,
			testErrorOf(s.Search), testErrorOf(s.Selected), freeOf(s.Search), freeOf(s.Selected), s.Changed,
			percent(s.Search.Supernet.Accuracy), percent(s.Selected.Supernet.Accuracy))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(c.App.Writer, `
changed counts decisions that differ; supernet is its accuracy on the search part with
the discrete cell; parameter-free is the share of operations without parameters
`)
	return err
}

func testErrorOf(choice results.Choice) string {
	if choice.Lookup.TestError == nil {
		return "-"
	}
	return percent(*choice.Lookup.TestError)
}

func freeOf(choice results.Choice) string {
	if choice.Structure == nil {
		return "-"
	}
	return percent(choice.Structure.ParameterFree)
}

// selectionFlag lets a command take what perturbation selected.
func selectionFlag() cli.Flag {
	return &cli.BoolFlag{Name: "selection", Usage: "take the architecture that select chose by perturbation as what each run delivered; runs without one are left out", DisableDefaultText: true}
}

// bySelection replaces what runs delivered by what perturbation selected, where that is
// asked for, and leaves out those for which nothing was selected.
func bySelection(c *cli.Context, runs []*results.History) ([]*results.History, error) {
	if !c.Bool("selection") {
		return runs, nil
	}
	var kept []*results.History
	for _, h := range runs {
		other, err := h.BySelection()
		if err != nil {
			fmt.Fprintln(c.App.ErrWriter, program+": left out:", err)
			continue
		}
		kept = append(kept, other)
	}
	if len(kept) == 0 {
		return nil, hinted(errors.New("nothing was selected by perturbation for any of the runs"), "nb1shot select RUN_DIR... does")
	}
	return kept, nil
}
