package command

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

func queryCommand() *cli.Command {
	return &cli.Command{
		Name:      "query",
		Usage:     "look up a cell of NAS-Bench-101",
		UsageText: "nb1shot query HASH [options]\nnb1shot query --matrix ROWS --ops NAMES [options]\nnb1shot query --file CELL.json [options]\nnb1shot query --stdin [options]",
		Description: `The cell is given by its hash, by its adjacency matrix and operations, or by a
file that holds both: {"matrix": [[0,1],[0,0]], "operations": ["input","output"]},
also in Python, as NumPy prints it, and with the names that NAS-Bench-101 uses.
With --stdin, every line of the standard input is such an object or a hash, and is
answered by a line of JSON; a line that cannot be answered, by one with "error", and
then the exit code is 1. Blank lines are passed over.

Example:
  nb1shot query --matrix 0110,0001,0001,0000 --ops conv3x3-bn-relu,maxpool3x3
  nb1shot query --stdin --mean < hashes.txt`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "matrix", Usage: "`ROWS` of 0 and 1 separated by commas, or a list of lists in JSON, Python or as NumPy prints it"},
			&cli.StringFlag{Name: "ops", Usage: "`NAMES` of the operations separated by commas, or a list of them; input and output may be left out"},
			&cli.StringFlag{Name: "file", Usage: "read the cell from `FILE`, JSON or Python"},
			budgetFlag(),
			&cli.BoolFlag{Name: "halfway", Usage: "show the cell as it was after half of the epochs", DisableDefaultText: true},
			&cli.BoolFlag{Name: "mean", Usage: "print the means alone, without each training run", DisableDefaultText: true},
			&cli.BoolFlag{Name: "stdin", Usage: "answer every line of the standard input", DisableDefaultText: true},
			&cli.BoolFlag{Name: "keep-going", Usage: "with --stdin: exit with 0 even if lines could not be answered", DisableDefaultText: true},
			tableFlag(),
			jsonFlag(),
		},
		Action: interruptible(query),
	}
}

func tableFlag() cli.Flag {
	return &cli.StringFlag{Name: "table", Usage: "table at `PATH`, or \"surrogate\"", DefaultText: "nasbench.sqlite in the data home, else surrogate"}
}

func budgetFlag() cli.Flag {
	return &cli.IntFlag{Name: "budget", Aliases: []string{"epochs"}, Usage: "results after `EPOCHS` of training: 4, 12, 36 or 108", Value: nasbench.Epochs}
}

// answer is what is known of a cell; it is the output of query --json.
type answer struct {
	known
	Cell   cell.Spec `json:"cell"` // pruned
	Source source    `json:"source"`
}

// known are the results of a cell. They come from the runs at the given number of
// epochs, halfway or at their end.
type known struct {
	Hash            cell.Hash `json:"hash"`
	Epochs          int       `json:"epochs"`
	Halfway         bool      `json:"halfway,omitempty"`
	TestError       float64   `json:"test_error"`
	ErrorBar        float64   `json:"error_bar,omitempty"`
	ValidationError *float64  `json:"validation_error"`
	ValidationBar   float64   `json:"validation_error_bar,omitempty"`
	TrainSeconds    *float64  `json:"training_seconds"`
	Parameters      int       `json:"parameters"`
	Runs            int       `json:"runs"`
	Repeats         []repeat  `json:"repeats,omitempty"`
}

type source struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Digest string `json:"digest"`
}

type repeat struct {
	Halfway evaluation `json:"halfway"`
	Final   evaluation `json:"final"`
}

type evaluation struct {
	Seconds            float64 `json:"seconds"`
	TrainAccuracy      float64 `json:"train_accuracy"`
	ValidationAccuracy float64 `json:"validation_accuracy"`
	TestAccuracy       float64 `json:"test_accuracy"`
}

func query(c *cli.Context) error {
	if c.Bool("stdin") {
		return queryLines(c)
	}
	if c.IsSet("keep-going") {
		return misuse(errors.New("--keep-going goes with --stdin only"), "see %s --help", c.Command.HelpName)
	}
	spec, hash, err := readCell(c)
	if err != nil {
		return err
	}
	oracle, err := openTableAt(c, c.Int("budget"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	q := question{oracle, c.Int("budget"), c.Bool("halfway"), !c.Bool("mean")}
	a := answer{Source: source(oracle.Source())}
	if a.known, err = q.ask(spec, hash); err != nil {
		return err
	}
	if spec != nil {
		a.Cell, err = spec.Prune()
	} else {
		a.Cell, err = oracle.(*nasbench.Table).Cell(hash) // no other answers by hash
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, a)
	}
	return a.print(c.App.Writer)
}

// question is what is asked of cells.
type question struct {
	oracle  nasbench.Oracle
	epochs  int
	halfway bool
	repeats bool // the runs are wanted one by one
}

// ask asks for the cell or, where it is nil, for the hash.
func (q question) ask(spec *cell.Spec, hash cell.Hash) (known, error) {
	m, err := q.lookUp(spec, hash)
	if err == nil && q.halfway {
		m, err = m.Halfway()
		err = lookupHint(err)
	}
	if err != nil {
		return known{}, err
	}
	k := known{
		Hash: m.Hash, Epochs: m.Epochs, Halfway: q.halfway,
		TestError: m.TestError, ErrorBar: m.ErrorBar, ValidationError: m.ValidationError, ValidationBar: m.ValidationBar,
		TrainSeconds: m.TrainSeconds, Parameters: m.Parameters, Runs: m.Runs,
	}
	if q.repeats {
		for _, r := range m.Repeats {
			k.Repeats = append(k.Repeats, repeat{evaluation(r.Halfway), evaluation(r.Final)})
		}
	}
	return k, nil
}

func (q question) lookUp(spec *cell.Spec, hash cell.Hash) (nasbench.Metrics, error) {
	if t, ok := q.oracle.(*nasbench.Table); ok {
		m, err := t.Lookup(hash, q.epochs)
		return m, lookupHint(err)
	}
	if spec == nil {
		return nasbench.Metrics{}, hinted(errNeedsCell, "give --matrix and --ops, or a table with --table PATH")
	}
	return q.oracle.Query(*spec)
}

// lookupHint adds to an error that a table does not hold what was asked for.
func lookupHint(err error) error {
	if errors.Is(err, nasbench.ErrUnknownHash) || errors.Is(err, nasbench.ErrUnknownBudget) {
		return hinted(err, "what the table holds: nb1shot table info")
	}
	return err
}

var errNeedsCell = errors.New("the surrogate predicts from a cell, not from its hash")

// readCell returns the cell that the command line gives, or nil where it gives
// a hash alone.
func readCell(c *cli.Context) (*cell.Spec, cell.Hash, error) {
	ways := c.Args().Len()
	for _, name := range []string{"matrix", "file"} {
		if c.IsSet(name) {
			ways++
		}
	}
	if ways != 1 || c.IsSet("ops") && !c.IsSet("matrix") {
		return nil, cell.Hash{}, misuse(errors.New("one cell is wanted: a hash, or --matrix with --ops, or --file"), "see %s --help", c.Command.HelpName)
	}
	var spec cell.Spec
	var err error
	switch {
	case c.IsSet("matrix"):
		if spec, err = cell.ReadParts(c.String("matrix"), c.String("ops")); err != nil {
			err = misuse(err, "an example is: --matrix 0110,0001,0001,0000 --ops %v,%v", cell.Conv3x3, cell.MaxPool3x3)
		}
	case c.IsSet("file"):
		spec, err = readCellFile(c.String("file"))
	default:
		hash, err := cell.ParseHash(c.Args().First())
		if err != nil {
			return nil, hash, misuse(err, "see %s --help", c.Command.HelpName)
		}
		return nil, hash, nil
	}
	if err != nil {
		return nil, cell.Hash{}, err
	}
	hash, err := spec.Hash()
	return &spec, hash, err
}

// largestCell bounds a file that holds a cell, which has less than 1 KiB.
const largestCell = 1 << 20

func readCellFile(path string) (cell.Spec, error) {
	text, err := foreign.ReadText(path, largestCell)
	if err != nil {
		return cell.Spec{}, err
	}
	spec, err := cell.Read(text)
	if err != nil {
		return cell.Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

func (a answer) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	bar := func(half float64) string {
		if half == 0 {
			return ""
		}
		return " ± " + percent(half)
	}
	validation, seconds := "unknown", "unknown"
	if a.ValidationError != nil {
		validation = percent(*a.ValidationError) + bar(a.ValidationBar)
	}
	if a.TrainSeconds != nil {
		seconds = duration(time.Duration(*a.TrainSeconds * float64(time.Second)))
	}
	runs := "none"
	if a.Runs > 0 {
		runs = strconv.Itoa(a.Runs)
	}
	fmt.Fprintf(t, "test error\t%s%s\n", percent(a.TestError), bar(a.ErrorBar))
	fmt.Fprintf(t, "validation error\t%s\n", validation)
	fmt.Fprintf(t, "training time\t%s\n", seconds)
	fmt.Fprintf(t, "training runs\t%s\n", runs)
	for i, r := range a.Repeats {
		e := r.Final
		if a.Halfway {
			e = r.Halfway
		}
		fmt.Fprintf(t, "  run %d\ttest %s, validation %s, %s\n", i+1,
			percent(1-e.TestAccuracy), percent(1-e.ValidationAccuracy), duration(time.Duration(e.Seconds*float64(time.Second))))
	}
	moment := ""
	if a.Halfway {
		moment = ", halfway"
	}
	fmt.Fprintf(t, "epochs\t%d%s\n", a.Epochs, moment)
	fmt.Fprintf(t, "parameters\t%s\n", grouped(a.Parameters))
	fmt.Fprintf(t, "source\t%s (%s)\n", tableTitle(a.Source.Kind), a.Source.Detail)
	fmt.Fprintf(t, "hash\t%v\n", a.Hash)
	fmt.Fprintln(t, "cell, pruned")
	for x, name := range a.Cell.OpNames() {
		row := ""
		for _, edge := range a.Cell.Matrix[x] {
			row += strconv.Itoa(int(edge))
		}
		fmt.Fprintf(t, "  %s\t%s\n", name, row)
	}
	return t.Flush()
}
