package command

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

func verifyRunsCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check other people's runs",
		ArgsUsage: "RUN_DIR...",
		Description: `Checks the format of each run, its record against the digest that it was closed with
and that of its checkpoint, the hash of each cell against its matrix, the provenance,
and, where the table is at hand, each test error against it; and whether every
configuration has all seeds. What is wrong makes the exit code 1; notes do not.

Example:
  nb1shot results verify submission --seeds 0-5`,
		Flags: []cli.Flag{
			seedsFlag("each configuration must have, such as 0-4,7", "all that any of them has"),
			&cli.StringFlag{Name: "table", Usage: "compare test errors with the table at `PATH`, if the runs were looked up in it", DefaultText: "nasbench.sqlite in the data home, and the surrogate"},
			jsonFlag(),
		},
		Action: interruptible(verifyRuns),
	}
}

// verifiedRun is a run in the output of results verify --json.
type verifiedRun struct {
	Dir      string              `json:"dir"`
	Run      string              `json:"run,omitempty"` // name; none where it cannot be read
	Findings []benchmark.Finding `json:"findings"`
}

// verifiedRuns is the output of results verify --json.
type verifiedRuns struct {
	Runs    []verifiedRun       `json:"runs"`
	Sets    []benchmark.Finding `json:"sets"` // of the runs together
	Wrong   int                 `json:"wrong"`
	Checked int                 `json:"checked"` // runs
}

func verifyRuns(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse(errors.New("RUN_DIR is missing"), "an example is: nb1shot results verify submission --seeds 0-5")
	}
	wanted, err := seedList(c)
	if err != nil {
		return err
	}
	oracle, err := openTable(c.Context, c.String("table"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	out := verifiedRuns{Runs: []verifiedRun{}, Sets: []benchmark.Finding{}}
	var dirs []string
	for _, path := range c.Args().Slice() {
		found, err := results.Find(path)
		if err != nil {
			return err
		}
		dirs = append(dirs, found...)
	}
	var runs []*results.History
	for _, dir := range dirs {
		if err := c.Context.Err(); err != nil {
			return err
		}
		v := verifiedRun{Dir: dir, Findings: []benchmark.Finding{}}
		if h, err := results.Read(dir); err != nil {
			v.Findings = append(v.Findings, benchmark.Finding{Check: "format", Wrong: true, Text: err.Error()})
		} else {
			runs = append(runs, h)
			v.Run = h.Run.Name()
			v.Findings = append(v.Findings, benchmark.Verify(h, oracle, nasbench.Default())...)
		}
		out.Runs = append(out.Runs, v)
	}
	out.Sets = append(out.Sets, verifySets(runs, wanted)...)
	out.Checked = len(out.Runs)
	for _, v := range out.Runs {
		out.Wrong += wrongIn(v.Findings)
	}
	out.Wrong += wrongIn(out.Sets)
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, out)
	} else {
		err = out.print(c.App.Writer)
	}
	if err == nil && out.Wrong > 0 {
		err = fmt.Errorf("wrong: %d in %d runs", out.Wrong, out.Checked)
	}
	return err
}

// verifySets checks what the runs are together: whether every configuration has
// the wanted seeds, by default all that any of them has, and each of them once.
func verifySets(runs []*results.History, wanted []uint64) (found []benchmark.Finding) {
	curves, err := results.Group(runs)
	if err != nil {
		return append(found, benchmark.Finding{Check: "seeds", Wrong: true, Text: err.Error()})
	}
	if len(wanted) == 0 {
		for _, h := range runs {
			wanted = append(wanted, h.Run.Seed)
		}
		slices.Sort(wanted)
		wanted = slices.Compact(wanted)
	}
	for _, curve := range curves {
		missing := slices.Clone(wanted)
		for _, h := range curve.Runs {
			missing = slices.DeleteFunc(missing, func(seed uint64) bool { return seed == h.Run.Seed })
		}
		if len(missing) > 0 {
			found = append(found, benchmark.Finding{Check: "seeds", Wrong: true, Text: fmt.Sprintf("space %s, %s, configuration %.8s: no run of seed %s",
				curve.Space, curve.Algorithm, curve.Runs[0].Run.ConfigHash, stability.List(missing))})
		}
	}
	if err := results.CheckSetting(curves); err != nil {
		found = append(found, benchmark.Finding{Check: "provenance", Text: err.Error()})
	}
	return found
}

func wrongIn(found []benchmark.Finding) (n int) {
	for _, f := range found {
		if f.Wrong {
			n++
		}
	}
	return n
}

func (v verifiedRuns) print(w io.Writer) error {
	show := func(name string, found []benchmark.Finding) {
		verdict := "good"
		if wrongIn(found) > 0 {
			verdict = "wrong"
		}
		fmt.Fprintf(w, "%-6s%s\n", verdict, name)
		for _, f := range found {
			mark := "note"
			if f.Wrong {
				mark = "wrong"
			}
			fmt.Fprintf(w, "      %s, %s: %s\n", mark, f.Check, f.Text)
		}
	}
	for _, r := range v.Runs {
		show(r.Dir, r.Findings)
	}
	show("the runs together", v.Sets)
	_, err := fmt.Fprintf(w, "\n%d runs, wrong: %d\n", v.Checked, v.Wrong)
	return err
}
