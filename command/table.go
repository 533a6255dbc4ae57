package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// importCommand is the command that may replace a table.
const importCommand = "import"

func tableCommand() *cli.Command {
	return &cli.Command{
		Name:        "table",
		Usage:       "import and describe tables of NAS-Bench-101",
		Description: "Example:\n  nb1shot table import nasbench_only108.tfrecord",
		Subcommands: []*cli.Command{
			{
				Name:      importCommand,
				Usage:     "build a table from a file of NAS-Bench-101",
				ArgsUsage: "FILE",
				Description: `FILE is NAS-Bench-101's own nasbench_only108.tfrecord or nasbench_full.tfrecord, or
a TSV of means, either of which may be gzipped, or NNI's nasbench101.db. Every cell
is hashed anew.
With --only-spaces the table is a sixth as large and serves every search.

Example:
  nb1shot table import nasbench_only108.tfrecord`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "table", Aliases: []string{"out", "o"}, Usage: "write the table to `PATH`", DefaultText: "nasbench.sqlite in the data home, where runs find it"},
					forceFlag(),
					&cli.BoolFlag{Name: "only-spaces", Usage: "keep only the cells that a search in the three spaces can reach", DisableDefaultText: true},
				},
				Action: interruptible(importTable),
			},
			{
				Name:  "fetch",
				Usage: "download NAS-Bench-101",
				Description: `Downloads nasbench_only108.tfrecord, 499 MB, from its authors' site and checks it.
After an interruption it continues where it stopped.

Example:
  nb1shot table fetch && nb1shot table import nasbench_only108.tfrecord`,
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "full", Usage: "nasbench_full.tfrecord instead, 1.95 GB: the budgets of 4, 12 and 36 epochs too", DisableDefaultText: true},
					&cli.StringFlag{Name: "dir", Usage: "keep the file in `DIR`", Value: "."},
					&cli.StringFlag{Name: "url", Usage: "`URL` of a mirror", DefaultText: "the authors' site"},
				},
				Action: interruptible(fetchTable),
			},
			{
				Name:        "info",
				Usage:       "say what a table holds",
				Description: "Example:\n  nb1shot table info",
				Flags:       []cli.Flag{tableFlag(), jsonFlag()},
				Action:      interruptible(describeTable),
			},
			{
				Name:      "fit",
				Usage:     "fit a surrogate to a table",
				ArgsUsage: "TABLE",
				Description: `Trains the model that is embedded in this program as nasbench/surrogate.bin, which
answers where no table was imported. The same table and seed give the same bytes.

Example:
  nb1shot table fit nasbench.sqlite -o surrogate.bin`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the surrogate to `FILE`"},
					forceFlag(),
					&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the first weights and the order of cells", DefaultText: "0"},
					bounded(&cli.IntFlag{Name: "epochs", Usage: "passes through the cells, `N`", DefaultText: "30"}, 1, 1_000_000),
				},
				Action: interruptible(fitTable),
			},
			tableStatsCommand(),
			tableTopCommand(),
		},
	}
}

func importTable(c *cli.Context) error {
	file, err := oneArgument(c, "FILE")
	if err != nil {
		return err
	}
	path := c.String("table")
	if path == "" {
		if path, err = defaultTable(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
	}
	if err := reserve(c, path); err != nil {
		return err
	}
	t := newTransfer(c.App.ErrWriter, "importing "+filepath.Base(file))
	build := nasbench.Import
	if c.Bool("only-spaces") {
		build = nasbench.ImportSpaces
	}
	err = build(c.Context, file, path, t.update)
	t.end()
	if err != nil {
		return err
	}
	table, err := nasbench.Open(path)
	if err != nil {
		return err
	}
	defer table.Close()
	source := table.Source()
	fmt.Fprintf(c.App.Writer, "%s: %s (%s)\n", path, tableTitle(source.Kind), source.Detail)
	return nil
}

func fetchTable(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	t := newTransfer(c.App.ErrWriter, "fetching NAS-Bench-101")
	path, err := nasbench.Fetch(c.Context, c.String("dir"), nasbench.FetchOptions{Full: c.Bool("full"), URL: c.String("url"), Progress: t.update, Note: t.note})
	t.end()
	switch {
	case errors.Is(err, nasbench.ErrChecksum):
		return err
	case err != nil:
		return hinted(err, "what has arrived is kept: the same command continues; --url names a mirror")
	}
	_, err = fmt.Fprintln(c.App.Writer, path)
	return err
}

func describeTable(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	oracle, err := openTable(c.Context, c.String("table"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	var info any
	var print func(io.Writer) error
	switch o := oracle.(type) {
	case *nasbench.Table:
		i, err := o.Info(c.Context)
		if err != nil {
			return err
		}
		t := newTableInfo(i)
		info, print = t, t.print
	case *nasbench.Surrogate:
		s := surrogateInfo{source(o.Source()), o.HeldOut()}
		info, print = s, s.print
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, info)
	}
	return print(c.App.Writer)
}

// tableInfo is the output of table info --json; see nasbench.Info.
type tableInfo struct {
	Source  source       `json:"source"`
	Content string       `json:"content"` // SHA-256 of the table's file, verified
	Cells   int          `json:"cells"`
	Budgets []budgetInfo `json:"budgets"`
	Spaces  []spaceInfo  `json:"spaces"`
}

type budgetInfo struct {
	Epochs     int `json:"epochs"`
	Cells      int `json:"cells"`
	Runs       int `json:"runs"`
	Validation int `json:"validation"`
}

// spaceInfo shows what a table has of a space beside what its authors published.
type spaceInfo struct {
	Space            spaces.Name `json:"space"`
	Reachable        int         `json:"reachable"`
	Cells            int         `json:"cells"`
	Best             cell.Hash   `json:"best"`
	BestError        float64     `json:"best_error"`
	Tenth            float64     `json:"tenth"`
	Median           float64     `json:"median"`
	Ninetieth        float64     `json:"ninetieth"`
	Random           float64     `json:"random"`
	TestAnchor       *float64    `json:"test_anchor"`
	ValidationAnchor *float64    `json:"validation_anchor"`
	Published        published   `json:"published"`
}

func newTableInfo(info nasbench.Info) tableInfo {
	t := tableInfo{Source: source(info.Source), Content: info.Content, Cells: info.Cells}
	for _, b := range info.Budgets {
		t.Budgets = append(t.Budgets, budgetInfo(b))
	}
	for _, s := range info.Spaces {
		i := spaceInfo{
			Space: s.Space, Reachable: s.Reachable, Cells: s.Cells, Best: s.Best, BestError: s.BestError,
			Tenth: s.Tenth, Median: s.Median, Ninetieth: s.Ninetieth, Random: s.Random,
			TestAnchor: s.TestAnchor, ValidationAnchor: s.ValidationAnchor,
		}
		if space, err := nb1shot1.Get(s.Space); err == nil {
			i.Published = published(space.Published())
		}
		t.Spaces = append(t.Spaces, i)
	}
	return t
}

func (i tableInfo) print(w io.Writer) error {
	i.Source.print(w)
	fmt.Fprintf(w, "SHA-256 %s of the table, as it was imported\n", i.Content)
	fmt.Fprintf(w, "%s cells\n\n", grouped(i.Cells))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "epochs\tcells\twith validation error\truns")
	for _, b := range i.Budgets {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", b.Epochs, grouped(b.Cells), grouped(b.Validation), grouped(b.Runs))
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "mean test error\tcells\tof\tlowest\t10 %\tmedian\t90 %\trandom\tbest cell")
	for _, s := range i.Spaces {
		fmt.Fprintf(t, "space %s\t%s\t%s", s.Space, grouped(s.Cells), grouped(s.Reachable))
		if s.Cells > 0 {
			for _, e := range []float64{s.BestError, s.Tenth, s.Median, s.Ninetieth, s.Random} {
				fmt.Fprintf(t, "\t%s", percent(e))
			}
			fmt.Fprintf(t, "\t%v", s.Best)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "lowest of any run\ttest\tpublished\tvalidation\tpublished")
	for _, s := range i.Spaces {
		fmt.Fprintf(t, "space %s\t%s\t%s\t%s\t%s\n", s.Space,
			percentIfKnown(s.TestAnchor), percent(s.Published.MinTestError), percentIfKnown(s.ValidationAnchor), percent(s.Published.MinValidationError))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, `
10 %, median and 90 % are over the cells that a search can reach, random is a
uniformly random architecture. The lowest errors of single runs are those of the
cells without loose ends: the published ones are what regret is counted from.
`)
	return err
}

func percentIfKnown(x *float64) string {
	if x == nil {
		return "unknown"
	}
	return percent(*x)
}

// surrogateInfo is the output of table info --json for a surrogate.
type surrogateInfo struct {
	Source  source             `json:"source"`
	HeldOut []nasbench.HeldOut `json:"held_out"`
}

func (i surrogateInfo) print(w io.Writer) error {
	i.Source.print(w)
	fmt.Fprintln(w, "\non cells that it was not fitted to, in percentage points:")
	rows := [][]string{{"", "cells", "Kendall's τ", "median", "mean", "RMSE", "best 5 %", "failed"}}
	for _, error := range []struct {
		name string
		of   func(nasbench.HeldOut) nasbench.Quality
	}{
		{"test error", func(h nasbench.HeldOut) nasbench.Quality { return h.Test }},
		{"validation error", func(h nasbench.HeldOut) nasbench.Quality { return h.Validation }},
	} {
		for _, h := range i.HeldOut {
			q := error.of(h)
			if q.Cells == 0 {
				continue
			}
			row := []string{fmt.Sprintf("%s, space %s", error.name, h.Space), grouped(q.Cells), fmt.Sprintf("%.3f", q.KendallTau)}
			for _, x := range []float64{q.MedianError, q.MeanError, q.RootMeanSquare, q.BestError} {
				row = append(row, fmt.Sprintf("%.3f", 100*x))
			}
			rows = append(rows, append(row, grouped(q.Failed)))
		}
	}
	if err := printAligned(w, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, `
Median of the absolute errors over all cells; mean and root mean square without the
failed ones, whose measured error is 15 % or more; median over the best 5 %.
`)
	return err
}

func (s source) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\nSHA-256 %s\n", tableTitle(s.Kind), s.Detail, s.Digest)
}

func fitTable(c *cli.Context) error {
	path, err := oneArgument(c, "TABLE")
	if err != nil {
		return err
	}
	if !c.IsSet("out") {
		return misuse(errors.New("option --out is missing"), "an example is: nb1shot table fit nasbench.sqlite -o surrogate.bin")
	}
	if err := reserve(c, c.String("out")); err != nil {
		return err
	}
	table, err := nasbench.Open(path)
	if err != nil {
		return err
	}
	defer table.Close()
	progress := newTally(c.App.ErrWriter, "fitting, epochs")
	s, err := nasbench.Fit(c.Context, table, nasbench.FitOptions{Seed: c.Uint64("seed"), Epochs: c.Int("epochs"), Progress: progress.update})
	progress.end()
	if err != nil {
		return err
	}
	file, err := s.MarshalBinary()
	if err != nil {
		return err
	}
	if err := save(c, c.String("out"), file); err != nil {
		return err
	}
	return surrogateInfo{source(s.Source()), s.HeldOut()}.print(c.App.Writer)
}
