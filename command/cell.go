package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

func cellCommand() *cli.Command {
	return &cli.Command{
		Name:      "cell",
		Usage:     "draw a cell, or the cells of a genotype",
		ArgsUsage: "HASH|FILE|RUN_DIR",
		Description: `Draws the cell as a graph, with what the table says of it. The cell is that of a
hash, which needs a table; that of a file as query --file reads it; or the last
one that a run recorded. Vertices and edges that lie on no path from input to output,
which NAS-Bench-101 leaves out, are grey. Without --out it draws in the terminal, and
what is left out stands in parentheses.

With --genotype, and for runs on the spaces of DARTS, it draws a normal and a
reduction cell and says what is known of them: the share of operations without
parameters, width and depth, parameters and multiply-accumulates. A genotype may also be
a recurrent cell of DARTS' space on Penn Treebank.

Examples:
  nb1shot cell runs/s1-darts-quick-1f0c9a3e-seed0 -o darts.svg
  nb1shot cell --genotype "tanh:0 relu:1 relu:1 sigmoid:2"
  nb1shot cell --genotype c10_s2_pgd -o cells.pdf`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the drawing to `FILE.svg`, .png or .pdf"},
			forceFlag(),
			&cli.StringFlag{Name: "genotype", Usage: "draw the cells of `GENOTYPE`: a published one by name, such as DARTS_V2 or c10_s2_pgd; one as \"skip:0 sep3:1 / … | max:0 max:1 / …\", \"relu:0 tanh:1 …\" or as Python prints it; or a file with one"},
			&cli.BoolFlag{Name: "pruned", Usage: "leave out what lies on no path from input to output", DisableDefaultText: true},
			budgetFlag(),
			tableFlag(),
		},
		Action: interruptible(drawCell),
	}
}

func drawCell(c *cli.Context) error {
	out := c.String("out")
	if c.IsSet("out") && !slices.Contains([]string{".svg", ".png", ".pdf"}, filepath.Ext(out)) {
		return misuse(errors.New("option --out must name a file that ends in .svg, .png or .pdf"), "an example is: nb1shot cell cell.json --out cell.svg")
	}
	find := func() (drawable, error) { return readDrawable(c.String("genotype")) }
	if c.IsSet("genotype") {
		if err := noArguments(c); err != nil {
			return err
		}
	} else {
		name, err := oneArgument(c, "HASH, FILE or RUN_DIR")
		if err != nil {
			return err
		}
		find = func() (drawable, error) { return cellDrawing(c, name) }
	}
	if c.IsSet("out") {
		if err := reserve(c, out); err != nil {
			return err
		}
	}
	d, err := find()
	if err != nil {
		return err
	}
	if !c.IsSet("out") {
		text, err := d.text(c.Bool("pruned"))
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.App.Writer, text)
		return err
	}
	figure, err := d.figure(c.Bool("pruned"))
	if err != nil {
		return err
	}
	content, err := figure.Encode(out)
	if err != nil {
		return err
	}
	if err := save(c, out, content); err != nil {
		return err
	}
	if g, ok := d.(interface{ told() (string, error) }); ok {
		told, err := g.told()
		if err != nil {
			return err
		}
		fmt.Fprint(c.App.Writer, told)
	}
	fmt.Fprintln(c.App.Writer, out)
	return nil
}

// speaksUTF8 tells whether the locale of the terminal is one of UTF-8.
func speaksUTF8() bool {
	name := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	return strings.Contains(strings.ReplaceAll(strings.ToLower(name), "-", ""), "utf8")
}

// drawable is what the command draws. With pruned, without what lies on no path from input
// to output.
type drawable interface {
	figure(pruned bool) (*plots.Figure, error)
	text(pruned bool) (string, error)
}

// foundCell is a cell of NAS-Bench-101.
type foundCell plots.CellDrawing

func (f foundCell) drawing(pruned bool) plots.CellDrawing {
	f.Pruned = pruned
	return plots.CellDrawing(f)
}

func (f foundCell) figure(pruned bool) (*plots.Figure, error) { return plots.Cell(f.drawing(pruned)) }

func (f foundCell) text(pruned bool) (string, error) {
	return plots.CellText(f.drawing(pruned), !speaksUTF8())
}

// cellDrawing returns the cell of that hash, file or run, and its caption.
func cellDrawing(c *cli.Context, name string) (drawable, error) {
	var none drawable
	hash, notHash := cell.ParseHash(name)
	if notHash != nil {
		switch info, err := os.Stat(name); {
		case err != nil:
			return none, hinted(err, "a hash has %d hexadecimal digits", 2*len(hash))
		case info.IsDir():
			return lastCell(c, name)
		}
	}
	oracle, err := openTableAt(c, c.Int("budget"))
	if err != nil {
		return none, err
	}
	defer oracle.Close()
	var spec *cell.Spec
	if notHash != nil {
		read, err := readCellFile(name)
		if err != nil {
			return none, err
		}
		if hash, err = read.Hash(); err != nil {
			return none, fmt.Errorf("%s: %w", name, err)
		}
		spec = &read
	}
	table, ok := oracle.(*nasbench.Table)
	if !ok && spec == nil {
		return none, hinted(errors.New("without a table there is no cell of a hash"), "give FILE, or a table with --table PATH")
	}
	source := oracle.Source()
	m, err := question{oracle: oracle, epochs: c.Int("budget")}.lookUp(spec, hash)
	switch {
	case spec != nil && ok && (errors.Is(err, nasbench.ErrUnknownHash) || errors.Is(err, nasbench.ErrUnknownBudget)):
		return foundCell{Spec: *spec, Caption: []string{
			hash.String(), fmt.Sprintf("The table knows no test error of it at %d epochs.", c.Int("budget")), tableNote(source.Kind, source.Detail),
		}}, nil
	case err != nil:
		return none, err
	}
	if spec == nil {
		found, err := table.Cell(hash)
		if err != nil {
			return none, err
		}
		spec = &found
	}
	return foundCell{Spec: *spec, Caption: cellCaption(m, source)}, nil
}

// cellCaption says what is known of a cell, in paragraphs.
func cellCaption(m nasbench.Metrics, source nasbench.Source) []string {
	bar := &m.ErrorBar
	if m.ErrorBar == 0 {
		bar = nil
	}
	text := errorName(source.Kind) + " " + withBar(m.TestError, bar)
	if m.Runs > 0 {
		text += fmt.Sprintf(" after %d epochs (mean of %d runs)", m.Epochs, m.Runs)
	}
	return []string{m.Hash.String(), fmt.Sprintf("%s, %s parameters.", text, grouped(m.Parameters)), tableNote(source.Kind, source.Detail)}
}

// tableNote names the table below a figure.
func tableNote(kind, detail string) string {
	if detail == "" {
		return "Table: " + tableTitle(kind) + "."
	}
	return fmt.Sprintf("Table: %s (%s).", tableTitle(kind), detail)
}

// errorName is what figures call the mean test errors of a kind of table.
func errorName(kind string) string {
	switch {
	case kind == nasbench.KindSurrogate:
		return "Predicted test error"
	case measured(kind):
		return "Test error"
	}
	return "Synthetic test error"
}

// lastCell returns the cell of the last record of a run, or its genotype.
func lastCell(c *cli.Context, dir string) (drawable, error) {
	var none drawable
	run, err := readRun(dir)
	if err != nil {
		return none, err
	}
	warn(c.App.ErrWriter, run)
	if len(run.Epochs) == 0 {
		return none, fmt.Errorf("%s has recorded no cell yet", run.Dir)
	}
	last := run.Epochs[len(run.Epochs)-1]
	title := run.Run.Algorithm
	if definition, err := algorithms.Lookup(title); err == nil { // another version may know more
		title = definition.Title
	}
	when := fmt.Sprintf("epoch %d", last.Epoch)
	if last.Final {
		when = fmt.Sprintf("after %d epochs", last.Epoch)
	}
	title = fmt.Sprintf("%s%s, space %s, seed %d, %s", strings.ToUpper(title[:1]), title[1:], run.Run.Space, run.Run.Seed, when)
	p := run.Run.Provenance
	if a := last.Architecture; a != nil {
		if g, ok := rnn.GenotypeOf(*a); ok {
			return foundRecurrent{title, g}, nil
		}
		g, ok := darts.GenotypeOf(*a)
		if !ok {
			return none, fmt.Errorf("%s: there is no drawing of the architectures of space %s", run.Dir, a.Space)
		}
		return foundGenotype{title, g, classesOf(p.Images)}, nil
	}
	spec, err := cell.Parse(last.Cell.Matrix, last.Cell.Operations)
	if err != nil {
		return none, fmt.Errorf("%s: epoch %d: %w", run.Dir, last.Epoch, err)
	}
	caption := []string{last.Cell.Hash, "The table knows no test error of it."}
	if e := last.Lookup.TestError; e != nil {
		caption[1] = fmt.Sprintf("%s %s, %s parameters.", errorName(p.Table), withBar(*e, last.Lookup.ErrorBar), grouped(last.Lookup.Parameters))
	}
	return foundCell{
		Spec:    spec,
		Title:   title,
		Caption: append(caption, tableNote(p.Table, p.TableDetail)),
	}, nil
}
