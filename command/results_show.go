package command

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

func showRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show all of one run",
		ArgsUsage: "RUN_DIR",
		Description: `Shows what the run was, what it was measured on, its course and its last cell; with
--epoch everything that one record holds.

Example:
  nb1shot results show runs/s2-darts-quick-1f0c9a3e-seed0`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "epoch", Usage: "show the record of epoch `N`, from 0; the final record has the number of epochs", DefaultText: "a summary of all"},
			jsonFlag(),
		},
		Action: showRun,
	}
}

// shownRun is the output of results show --json.
type shownRun struct {
	Dir      string          `json:"dir"`
	Run      results.Run     `json:"run"`
	Status   results.Status  `json:"status"`
	Warnings []string        `json:"warnings,omitempty"`
	Final    *outcome        `json:"final"`
	Best     *outcome        `json:"best"`
	Found    *found          `json:"found,omitempty"` // where no table knows the space
	Epochs   []results.Epoch `json:"epochs"`
	// Evaluation is absent where the architecture was not trained.
	Evaluation *results.Evaluation `json:"evaluation,omitempty"`
	Files      []runFile           `json:"files"`
}

type runFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

func showRun(c *cli.Context) error {
	dir, err := oneArgument(c, "RUN_DIR")
	if err != nil {
		return err
	}
	h, err := readRun(dir)
	if err != nil {
		return err
	}
	warn(c.App.ErrWriter, h)
	w := c.App.Writer
	if c.IsSet("epoch") {
		n := c.Int("epoch")
		if n < 0 || n >= len(h.Epochs) {
			return misuse(fmt.Errorf("%s has no record of epoch %d", h.Dir, n), "it has %d records, from 0", len(h.Epochs))
		}
		if c.Bool("json") {
			return writeJSON(w, h.Epochs[n])
		}
		return printRecord(w, h.Epochs[n])
	}
	files, err := runFiles(h.Dir)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		s := summarise(h)
		return writeJSON(w, shownRun{h.Dir, h.Run, h.Status, h.Warnings, s.Final, s.Best, s.Found, append([]results.Epoch{}, h.Epochs...), h.Evaluation, files})
	}
	return printRun(w, h, files)
}

func runFiles(dir string) ([]runFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []runFile
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		files = append(files, runFile{entry.Name(), info.Size()})
	}
	return files, nil
}

func printRun(w io.Writer, h *results.History, files []runFile) error {
	entry, p := newRunEntry(h), h.Run.Provenance
	images, table := p.StandIns()
	origin := func(kind, detail string, standIn bool) string {
		if detail != "" {
			kind += ": " + detail
		}
		if standIn {
			kind += " (a stand-in)"
		}
		return kind
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "run\t%s\n", h.Dir)
	fmt.Fprintf(t, "search\t%s on space %s, seed %d\n", h.Run.Algorithm, h.Run.Space, h.Run.Seed)
	fmt.Fprintf(t, "state\t%s, epochs %s in %s\n", entry.state(), entry.epochs(), secondsOf(entry.Seconds))
	if h.Status.Message != "" {
		fmt.Fprintf(t, "\t%s\n", h.Status.Message)
	}
	fmt.Fprintf(t, "started\t%s\n", h.Status.Started.Format(time.RFC3339))
	if !h.Status.Ended.IsZero() {
		fmt.Fprintf(t, "ended\t%s\n", h.Status.Ended.Format(time.RFC3339))
	}
	what := "images"
	if benchmark.FamilyOf(h.Run.Space).ReadsText() {
		what = "text"
	}
	fmt.Fprintf(t, what+"\t%s\n\t%s\n", origin(p.Images, p.ImagesDetail, images), p.ImagesDigest)
	if p.Table == results.NoTable {
		fmt.Fprintf(t, "table\t%s\n", tableTitle(p.Table))
	} else {
		fmt.Fprintf(t, "table\t%s\n\t%s\n", origin(p.Table, p.TableDetail, table), p.TableDigest)
	}
	fmt.Fprintf(t, "preset\t%s: %s\n", p.Preset, p.Scale)
	fmt.Fprintf(t, "engine\t%s\n", strings.Join(slices.DeleteFunc([]string{p.Engine, p.Precision, p.Device}, func(s string) bool { return s == "" }), ", "))
	if entry.Found != nil {
		fmt.Fprintf(t, "found\t%s\n", entry.Found.shape())
	} else {
		fmt.Fprintf(t, "test error\t%v, best %v\n", entry.Last, entry.Best)
	}
	if s := summarise(h); len(s.Perplexity) > 0 {
		fmt.Fprintf(t, "perplexity\t%s, of the supernet on the validation text\n", s.perplexities())
	}
	if len(entry.Eigenvalue) > 0 {
		fmt.Fprintf(t, "λ\t%s\n", summary{Eigenvalue: entry.Eigenvalue}.eigenvalues())
	}
	if h.Evaluation != nil {
		printEvaluation(t, *h.Evaluation)
	}
	for _, e := range h.Epochs {
		if e.Warning != "" {
			fmt.Fprintf(t, "warning\t%s\n", e.Warning)
			break
		}
	}
	fmt.Fprintf(t, "\nconfiguration\t%s\n", h.Run.ConfigHash)
	settings, err := h.Run.Settings()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(t, "  %s\t%s\n", name, settings[name])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(h.Epochs) > 0 {
		if err := printCourse(w, h.Epochs); err != nil {
			return err
		}
		last := h.Epochs[len(h.Epochs)-1]
		fmt.Fprintf(w, "\n%s\n", recordTitle(last))
		printFound(w, last)
	}
	fmt.Fprintln(w, "\nfiles")
	for _, f := range files {
		fmt.Fprintf(t, "  %s\t%s bytes\n", f.Name, grouped(int(f.Size)))
	}
	return t.Flush()
}

// printEvaluation writes lines of a table: what the architecture scores after training.
func printEvaluation(w io.Writer, e results.Evaluation) {
	images, _ := e.Provenance.StandIns()
	standIn := ""
	if images {
		standIn = " (a stand-in)"
	}
	where := "test error"
	if e.Recipe.MeasuredOn != results.PartTest {
		where = "error on the " + e.Recipe.MeasuredOn + " of the training images"
	}
	worth := where + " " + percent(e.TestError())
	if e.Words != nil {
		worth = fmt.Sprintf("perplexity %.2f on the test text, %.2f on the validation text,", e.Words.Test.Perplexity, e.Words.Valid.Perplexity)
	}
	fmt.Fprintf(w, "trained\t%s after %d epochs, %s parameters, %s multiply-adds, in %s\n", worth, e.Recipe.Epochs,
		grouped(e.Parameters), grouped(int(e.MACs)), secondsOf(&e.Seconds))
	fmt.Fprintf(w, "\tpreset %s: %s, seed %d, on %s%s, %s, %s\n", e.Provenance.Preset, e.Provenance.Scale, e.Seed, e.Provenance.Images, standIn, e.Provenance.Engine, e.Provenance.Precision)
}

// courseColumn is a column of the course of a run: a quantity, by its name in
// results.Quantities.
type courseColumn struct {
	title, name string
	format      func(float64) string
}

var courseColumns = []courseColumn{
	{"test error", "lookup.test_error", percent},
	{"training", "training.accuracy", percent},
	{"search", "search.accuracy", percent},
	{"training perplexity", "language.training.perplexity", perplexity},
	{"validation perplexity", "language.validation.perplexity", perplexity},
	{"λ", "hessian.reported", eigenvalue},
	{"gap", "projection.gap", percent},
	{"gap (nats)", "language.projection.gap", func(x float64) string { return fmt.Sprintf("%.3f", x) }},
	{"free", "structure.parameter_free", percent},
	{"width", "structure.width", eigenvalue},
	{"depth", "structure.depth", eigenvalue},
	{"changed", "structure.changed", eigenvalue},
}

// printCourse prints some dozen records, evenly apart, and the best one; columns
// that are empty throughout are left out.
func printCourse(w io.Writer, epochs []results.Epoch) error {
	const rows = 11
	show := map[int]bool{}
	for i := range min(rows, len(epochs)) {
		show[i*(len(epochs)-1)/max(1, min(rows, len(epochs))-1)] = true
	}
	best := -1
	for i, e := range epochs {
		if x := results.TestError(e); x != nil && (best < 0 || *x < *epochs[best].Lookup.TestError) {
			best = i
		}
	}
	if best >= 0 {
		show[best] = true
	}
	columns := slices.DeleteFunc(slices.Clone(courseColumns), func(c courseColumn) bool {
		if c.name == "structure.parameter_free" && epochs[0].Architecture == nil { // the cells show it
			return true
		}
		return !slices.ContainsFunc(epochs, func(e results.Epoch) bool { return quantity(c.name)(e) != nil })
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nepoch")
	for _, c := range columns {
		fmt.Fprint(t, "\t", c.title)
	}
	if f := foundIn(epochs[0]); f == nil || f.recurrent {
		fmt.Fprint(t, "\tcell\n")
	} else {
		fmt.Fprint(t, "\tnormal cell\n")
	}
	for _, i := range slices.Sorted(maps.Keys(show)) {
		e := epochs[i]
		fmt.Fprint(t, e.Epoch)
		for _, c := range columns {
			text := ""
			if x := quantity(c.name)(e); x != nil {
				text = c.format(*x)
			}
			fmt.Fprint(t, "\t", text)
		}
		note := ""
		if i == best {
			note += ", the best"
		}
		if e.Final {
			note += ", final"
		}
		what := fmt.Sprintf("%.8s", e.Cell.Hash)
		switch f := foundIn(e); {
		case f != nil && f.recurrent:
			what = f.Genotype
		case f != nil && f.Genotype != "":
			what = f.genotype.Short(darts.Normal)
		}
		fmt.Fprintf(t, "\t%s%s\n", what, note)
	}
	return t.Flush()
}

// quantity returns the quantity of that name in results.Quantities.
func quantity(name string) func(results.Epoch) *float64 {
	i := slices.IndexFunc(results.Quantities, func(q results.Quantity) bool { return q.Name == name })
	return results.Quantities[i].Of
}

func recordTitle(e results.Epoch) string {
	if e.Final {
		return fmt.Sprintf("final record, after %d epochs", e.Epoch)
	}
	return fmt.Sprintf("record of epoch %d", e.Epoch)
}

// printFound prints the architecture of a record.
func printFound(w io.Writer, e results.Epoch) {
	f := foundIn(e)
	if f == nil {
		printCell(w, e.Cell)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	f.print(t)
	t.Flush()
	if f.Genotype != "" && !f.recurrent {
		fmt.Fprintln(w, f.genotype)
	}
}

// printCell prints the cell as it was looked up, before pruning.
func printCell(w io.Writer, cell results.Cell) {
	fmt.Fprintf(w, "cell %s\n   ", cell.Hash)
	for j := range cell.Operations {
		fmt.Fprintf(w, " %d", j)
	}
	fmt.Fprintln(w)
	for i, row := range cell.Matrix {
		fmt.Fprintf(w, "  %d", i)
		for _, edge := range row {
			fmt.Fprintf(w, " %s", [2]string{".", "1"}[edge])
		}
		fmt.Fprintf(w, "  %s\n", cell.Operations[i])
	}
}

// printRecord prints all that a record holds.
func printRecord(w io.Writer, e results.Epoch) error {
	fmt.Fprintln(w, recordTitle(e))
	printFound(w, e)
	if e.Warning != "" {
		fmt.Fprintf(w, "warning: %s\n", e.Warning)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if e.Lookup.Source != "" {
		fmt.Fprintf(t, "lookup.source\t%s\tkind of table that answered\n", e.Lookup.Source)
	}
	for _, q := range results.Quantities {
		if x := q.Of(e); x != nil {
			fmt.Fprintf(t, "%s\t%.8g\t%s\n", q.Name, *x, q.Doc)
		}
	}
	for _, phase := range slices.Sorted(maps.Keys(e.Seconds)) {
		fmt.Fprintf(t, "  %s\t%.8g\n", phase, e.Seconds[phase])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if e.Hessian != nil {
		what := "eigenvalues"
		if h := e.Hessian; !h.Whole() {
			what = fmt.Sprintf("ends of the spectrum, by %s with %d products, residual %.2g,", h.Method, h.Products, h.Residual)
		}
		fmt.Fprintf(w, "\n%s of the architecture Hessian: %s\n", what, e.Hessian.Definition)
		printNumbers(w, e.Hessian.Eigenvalues)
	}
	for _, a := range e.Alphas {
		fmt.Fprintf(w, "\nalphas %s\n", a.Name)
		for _, row := range a.Rows {
			printNumbers(w, row)
		}
	}
	return nil
}

// printNumbers prints numbers, eight on a line.
func printNumbers(w io.Writer, x []float64) {
	for line := range slices.Chunk(x, 8) {
		for _, v := range line {
			fmt.Fprintf(w, " %12.5g", v)
		}
		fmt.Fprintln(w)
	}
}
