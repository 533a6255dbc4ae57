package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/results"
)

func tableCommand() *cli.Command {
	return &cli.Command{
		Name:        "table",
		Usage:       "import and describe tables of NAS-Bench-101",
		Description: "Example:\n  nb1shot table import nasbench_only108.tfrecord",
		Subcommands: []*cli.Command{
			{
				Name:      "import",
				Usage:     "build a table from a file of NAS-Bench-101",
				ArgsUsage: "FILE",
				Description: `FILE is NAS-Bench-101's own nasbench_only108.tfrecord or nasbench_full.tfrecord, or
a TSV of means; either may be compressed by gzip. Every cell is hashed anew.

Example:
  nb1shot table import nasbench_only108.tfrecord`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "o", Usage: "write the table to `PATH`", DefaultText: "nasbench.sqlite in the data home, where runs find it"},
				},
				Action: interruptible(importTable),
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
				Description: `Writes the model that is embedded in this program as nasbench/surrogate.json.

Example:
  nb1shot table fit nasbench.sqlite -o surrogate.json`,
				Flags:  []cli.Flag{&cli.StringFlag{Name: "o", Usage: "write the surrogate to `FILE`"}},
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
	path := c.String("o")
	if path == "" {
		if path, err = defaultTable(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
	}
	t := newTransfer(c.App.ErrWriter, "importing "+filepath.Base(file))
	err = nasbench.Import(c.Context, file, path, t.update)
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

func describeTable(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	oracle, err := openTable(c.String("table"))
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

type spaceInfo struct {
	Space     int       `json:"space"`
	Reachable int       `json:"reachable"`
	Cells     int       `json:"cells"`
	Best      cell.Hash `json:"best"`
	BestError float64   `json:"best_error"`
}

func newTableInfo(info nasbench.Info) tableInfo {
	t := tableInfo{Source: source(info.Source), Cells: info.Cells}
	for _, b := range info.Budgets {
		t.Budgets = append(t.Budgets, budgetInfo(b))
	}
	for _, s := range info.Spaces {
		t.Spaces = append(t.Spaces, spaceInfo(s))
	}
	return t
}

func (i tableInfo) print(w io.Writer) error {
	i.Source.print(w)
	fmt.Fprintf(w, "%s cells\n\n", grouped(i.Cells))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "epochs\tcells\twith validation error\truns")
	for _, b := range i.Budgets {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", b.Epochs, grouped(b.Cells), grouped(b.Validation), grouped(b.Runs))
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "space\tcells\tof\tlowest mean test error")
	for _, s := range i.Spaces {
		best := "unknown"
		if s.Cells > 0 {
			best = fmt.Sprintf("%s by %v", percent(s.BestError), s.Best)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", s.Space, grouped(s.Cells), grouped(s.Reachable), best)
	}
	return t.Flush()
}

// surrogateInfo is the output of table info --json for a surrogate.
type surrogateInfo struct {
	Source  source             `json:"source"`
	HeldOut []nasbench.HeldOut `json:"held_out"`
}

func (i surrogateInfo) print(w io.Writer) error {
	i.Source.print(w)
	fmt.Fprintln(w, "\non cells that it was not fitted to:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "space\tcells\tmean absolute error\tmedian\tKendall's τ")
	for _, h := range i.HeldOut {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%.3f\n", h.Space, grouped(h.Cells), percent(h.MeanError), percent(h.MedianError), h.KendallTau)
	}
	return t.Flush()
}

func (s source) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\nSHA-256 %s\n", tableTitle(s.Kind), s.Detail, s.Digest)
}

func fitTable(c *cli.Context) error {
	path, err := oneArgument(c, "TABLE")
	if err != nil {
		return err
	}
	if !c.IsSet("o") {
		return misuse(errors.New("option -o is missing"), "an example is: nb1shot table fit nasbench.sqlite -o surrogate.json")
	}
	table, err := nasbench.Open(path)
	if err != nil {
		return err
	}
	defer table.Close()
	s, err := nasbench.Fit(c.Context, table)
	if err != nil {
		return err
	}
	file, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := results.WriteFile(c.String("o"), append(file, '\n')); err != nil {
		return err
	}
	return surrogateInfo{source(s.Source()), s.HeldOut()}.print(c.App.Writer)
}
