package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/internal/watch"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

func resultsCommand() *cli.Command {
	return &cli.Command{
		Name:        "results",
		Usage:       "list, show, compare, export, verify and remove runs",
		Description: "Example:\n  nb1shot results ls",
		Subcommands: []*cli.Command{
			{
				Name:      "ls",
				Usage:     "list runs",
				ArgsUsage: "[RUN_DIR...]",
				Description: `RUN_DIR is a run directory or a folder of run directories, by default runs. A
directory that cannot be read is listed with the reason, and the exit code is 1.

Example:
  nb1shot results ls --algo darts --state finished`,
				Flags: []cli.Flag{
					spaceFlag("", "all"),
					&cli.StringFlag{Name: "algo", Usage: "only runs of `ALGORITHM`", DefaultText: "all"},
					&cli.StringFlag{Name: "state", Usage: "only runs that are `STATE`: " + strings.Join(stateNames(), ", "), DefaultText: "all"},
					skipDamagedFlag(),
					watchFlag("list"),
					jsonFlag(),
				},
				Action: repeated(listRuns),
			},
			showRunCommand(),
			diffRunsCommand(),
			exportRunsCommand(),
			verifyRunsCommand(),
			collectCommand(),
			removeRunsCommand(),
		},
	}
}

// killed is what a running run is called whose process is there no more.
const killed = "killed"

// stateNames are the states that are shown.
func stateNames() []string {
	var names []string
	for _, s := range results.States {
		names = append(names, string(s))
	}
	return append(names, killed)
}

// listedRun is a run in the output of results ls --json. One that cannot be
// read has a directory and an error only.
type listedRun struct {
	Dir   string `json:"dir"`
	Error string `json:"error,omitempty"`
	*runEntry
}

type runEntry struct {
	Run        string             `json:"run"` // name
	Space      spaces.Name        `json:"space"`
	Algorithm  string             `json:"algorithm"`
	Preset     string             `json:"preset"`
	Seed       uint64             `json:"seed"`
	ConfigHash string             `json:"config_hash"`
	State      results.State      `json:"state"`
	Killed     bool               `json:"killed,omitempty"`        // the process of a running one is there no more
	Epochs     int                `json:"epochs"`                  // recorded, without the final record
	Configured int                `json:"configured"`              // epochs; 0 if the configuration has none
	Last       *outcome           `json:"last"`                    // of the newest record that the table knows
	Best       *outcome           `json:"best"`                    // nil also where the record is too long to look for it
	Found      *found             `json:"found,omitempty"`         // where no table knows the space
	Trained    *float64           `json:"trained_error,omitempty"` // on the test images, after training from scratch; nil where that was not done
	Eigenvalue []float64          `json:"eigenvalue"`              // λ of the first and the last epoch
	Seconds    *float64           `json:"seconds"`                 // wall time of the records; nil where there are too many to add up
	Provenance results.Provenance `json:"provenance"`
}

func newRunEntry(h *results.History) *runEntry {
	s := summarise(h)
	e := &runEntry{
		Run: h.Run.Name(), Space: h.Run.Space, Algorithm: h.Run.Algorithm, Preset: h.Run.Provenance.Preset, Seed: h.Run.Seed,
		ConfigHash: h.Run.ConfigHash, State: s.State, Killed: h.Status.Killed(), Last: s.Final, Best: s.Best, Found: s.Found, Eigenvalue: s.Eigenvalue, Seconds: &s.Seconds, Provenance: h.Run.Provenance, Epochs: h.Trained(),
	}
	e.Configured, _ = strconv.Atoi(h.Run.Setting("epochs")) // 0 where there is none
	if v := h.Evaluation; v != nil && v.Recipe.MeasuredOn == results.PartTest {
		e.Trained = new(v.TestError())
	}
	return e
}

// state is how the run stands, for people.
func (e *runEntry) state() string {
	if e.Killed {
		return killed
	}
	return string(e.State)
}

// epochs is how many epochs are recorded, and of how many where that is known.
func (e *runEntry) epochs() string {
	if e.Configured == 0 {
		return strconv.Itoa(e.Epochs)
	}
	return fmt.Sprintf("%d/%d", e.Epochs, e.Configured)
}

func listRuns(c *cli.Context) (err error) {
	state := c.String("state")
	if c.IsSet("state") && !slices.Contains(stateNames(), state) {
		return unknown("state", state, stateNames(), "choose one of "+strings.Join(stateNames(), ", "))
	}
	paths := c.Args().Slice()
	if len(paths) == 0 {
		if _, err := os.Stat("runs"); err != nil {
			return hinted(errors.New("there is no folder runs here"), "name a folder of runs, or make one: nb1shot run")
		}
		paths = []string{"runs"}
	}
	dirs, skipped, err := findRuns(c, paths)
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	listed := []listedRun{}
	known := algorithms.Names()
	for _, dir := range dirs {
		h, whole, err := results.Skim(dir)
		if err != nil {
			skipped.skipped++
			listed = append(listed, listedRun{Dir: dir, Error: strings.TrimPrefix(message(err), "read run: ")})
			continue
		}
		warn(c.App.ErrWriter, h)
		known = append(known, h.Run.Algorithm)
		entry := newRunEntry(h)
		if !whole {
			entry.Best, entry.Seconds = nil, nil
		}
		if c.IsSet("space") && entry.Space != spaceOf(c) || c.IsSet("algo") && entry.Algorithm != c.String("algo") || c.IsSet("state") && entry.state() != state {
			continue
		}
		listed = append(listed, listedRun{Dir: dir, runEntry: entry})
	}
	if algorithm := c.String("algo"); c.IsSet("algo") && !slices.Contains(known, algorithm) {
		return unknown("algorithm", algorithm, known, "choose one of "+strings.Join(algorithms.Names(), ", "))
	}
	slices.SortStableFunc(listed, func(a, b listedRun) int {
		if a.runEntry == nil || b.runEntry == nil { // damaged ones last
			return cmp.Compare(min(len(a.Error), 1), min(len(b.Error), 1))
		}
		return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Algorithm, b.Algorithm), strings.Compare(a.ConfigHash, b.ConfigHash), cmp.Compare(a.Seed, b.Seed))
	})
	if c.Bool("json") {
		return writeJSON(c.App.Writer, listed)
	}
	return printRuns(c.App.Writer, listed)
}

func printRuns(w io.Writer, listed []listedRun) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	free := slices.ContainsFunc(listed, func(r listedRun) bool { return r.runEntry != nil && r.Found != nil && !r.Found.recurrent })
	trained := slices.ContainsFunc(listed, func(r listedRun) bool { return r.runEntry != nil && r.Trained != nil })
	column := func(shown bool, text string) string {
		if shown {
			return text + "\t"
		}
		return ""
	}
	fmt.Fprintf(t, "space\talgorithm\tpreset\tseed\tstate\tepochs\ttest error\tbest\t%s%sλ\timages\ttable\ttime\tdirectory\n", column(trained, "trained"), column(free, "free"))
	standIns := false
	for _, r := range listed {
		if r.runEntry == nil {
			continue
		}
		images, table := r.Provenance.StandIns()
		standIns = standIns || images || table
		after, share := "", ""
		if r.Trained != nil {
			after = percent(*r.Trained)
		}
		if r.Found != nil && !r.Found.recurrent {
			share = percent(r.Found.ParameterFree)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s%s\t%s\t%s\t%s\t%s\n", r.Space, r.Algorithm, r.Preset, r.Seed, r.state(), r.epochs(),
			errorOf(r.Last), errorOf(r.Best), column(trained, after)+column(free, share), summary{Eigenvalue: r.Eigenvalue}.eigenvalues(),
			marked(r.Provenance.Images, images), marked(r.Provenance.Table, table), secondsOf(r.Seconds), r.Dir)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if standIns {
		fmt.Fprintln(w, "\n* a stand-in for CIFAR-10, Penn Treebank or NAS-Bench-101")
	}
	for _, r := range listed {
		if r.runEntry == nil {
			fmt.Fprintf(w, "\ndamaged: %s\n  %s\n", r.Dir, r.Error)
		}
	}
	return nil
}

func errorOf(o *outcome) string {
	if o == nil {
		return ""
	}
	return percent(o.TestError)
}

// secondsOf is a wall time, empty where it is not known.
func secondsOf(seconds *float64) string { return watch.Seconds(seconds) }

// marked marks the kind of a stand-in.
func marked(kind string, standIn bool) string {
	if standIn {
		return kind + "*"
	}
	return kind
}
