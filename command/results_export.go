package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/results/tensorboard"
)

// exportFormats are the formats of results export.
var exportFormats = []string{"csv", "tidy", "jsonl", "tensorboard"}

func exportRunsCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the records of runs as CSV, tidy CSV, JSON lines or TensorBoard events",
		ArgsUsage: "RUN_DIR...",
		Description: `csv and jsonl are one file, a row or a line for each record, with the run and what it
was measured on; tidy is CSV too, with a row for each number of each record, as pandas
and R like it. tensorboard is a folder with the events of each run in a folder of
its own. Existing events are continued, so the same command brings those of an unfinished
run up to date; nothing else is overwritten without --force.
docs/results-commands.md describes the columns and the tags.

Example:
  nb1shot results export --format csv runs -o records.csv`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT`: " + strings.Join(exportFormats, ", "), DefaultText: "must be given"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write to the file, or for tensorboard the folder, at `PATH`; - is standard output", DefaultText: "-"},
			forceFlag(),
			skipDamagedFlag(),
		},
		Action: exportRuns,
	}
}

func exportRuns(c *cli.Context) (err error) {
	const example = "nb1shot results export --format csv runs -o records.csv"
	format, out := c.String("format"), c.String("out")
	switch {
	case !c.IsSet("format"):
		return misuse(errors.New("option --format is missing"), "an example is: %s", example)
	case !slices.Contains(exportFormats, format):
		return unknown("format", format, exportFormats, "choose one of "+strings.Join(exportFormats, ", "))
	case c.Args().Present() && format == "tensorboard" && (out == "" || out == "-"):
		return misuse(errors.New("events need a folder"), "name it with -o DIR; it is what tensorboard --logdir takes")
	}
	toFile := format != "tensorboard" && out != "" && out != "-"
	if toFile {
		if err := reserve(c, out); err != nil {
			return err
		}
	}
	runs, skipped, err := readRuns(c, example)
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	if format == "tensorboard" {
		return exportEvents(c, runs, out)
	}
	write := results.WriteCSV
	switch format {
	case "jsonl":
		write = results.WriteJSONL
	case "tidy":
		write = results.WriteTidy
	}
	if !toFile {
		return write(c.App.Writer, runs)
	}
	return exportFile(c, out, func(w io.Writer) error { return write(w, runs) })
}

// exportFile saves what write writes, and prints the name of the file.
func exportFile(c *cli.Context, path string, write func(io.Writer) error) error {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	if err := save(c, path, content.Bytes()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.App.Writer, path)
	return err
}

// exportEvents writes the events of each run into the folder out/NAME.
func exportEvents(c *cli.Context, runs []*results.History, out string) error {
	dirs := map[string]string{}
	for _, run := range runs {
		name := run.Run.Name()
		if other := dirs[name]; other != "" {
			return hinted(fmt.Errorf("%s and %s are the same run", other, run.Dir), "give one of them")
		}
		dirs[name] = run.Dir
	}
	for _, run := range runs {
		if err := exportRunEvents(c, run, filepath.Join(out, run.Run.Name())); err != nil {
			return err
		}
	}
	return nil
}

func exportRunEvents(c *cli.Context, run *results.History, dir string) error {
	if c.Bool("force") {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		path := filepath.Join(dir, tensorboard.FileName(run.Run, run.Status.Started))
		return exportFile(c, path, func(w io.Writer) error { return tensorboard.Write(w, run) })
	}
	w, err := tensorboard.Open(dir, run.Run, run.Status.Started)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, e := range run.Epochs {
		if err := w.Append(e); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, w.Path())
	return err
}
