package command

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

func stabilityCommand() *cli.Command {
	return &cli.Command{
		Name:      "stability",
		Usage:     "measure how stable the searches of runs are",
		ArgsUsage: "RUN_DIR...",
		Description: `Prints measures of stability as means over the seeds, space by space: final and best
test error, what was lost in between, the mean over the epochs, the growth of λ and
others; docs/stability.md explains them. RUN_DIR is a run directory or a folder of run
directories. Seeds that are missing or unfinished are listed. With --against every
algorithm is tested against one of them.

Example:
  nb1shot stability runs --against darts --csv stability.csv`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "against", Usage: "test the algorithms against `ALGO`"},
			alphaFlag(),
			runSpacesFlag(),
			seedsFlag("each algorithm should have, such as 0-4,7", "all that any of them has"),
			&cli.StringFlag{Name: "csv", Usage: "write all measures to `FILE`, a line for each measure of each algorithm"},
			forceFlag(),
			&cli.StringFlag{Name: "table", Usage: "count regret from the lowest error of the table at `PATH`, or of \"surrogate\", if it is the runs' own", DefaultText: "nasbench.sqlite in the data home"},
			skipDamagedFlag(),
			selectionFlag(),
			jsonFlag(),
		},
		Action: interruptible(measureStability),
	}
}

func alphaFlag() cli.Flag {
	return &cli.Float64Flag{Name: "alpha", Usage: "level of significance `A`, after Holm's correction", Value: 0.05}
}

func seedsFlag(usage, otherwise string) cli.Flag {
	return &cli.StringFlag{Name: "seeds", Usage: "the `SEEDS` that " + usage + "; a number alone is that seed", DefaultText: otherwise}
}

// seedList reads --seeds where no number alone counts seeds. It is ascending and nil
// where the option is not given.
func seedList(c *cli.Context) ([]uint64, error) {
	if !c.IsSet("seeds") {
		return nil, nil
	}
	seeds, err := parseSeeds(c.String("seeds"))
	if err != nil {
		return nil, misuse(fmt.Errorf("--seeds: %w", err), "an example is: --seeds 0-4,7")
	}
	slices.Sort(seeds)
	return seeds, nil
}

// significance reads --alpha.
func significance(c *cli.Context) (float64, error) {
	alpha := c.Float64("alpha")
	if !(alpha > 0 && alpha < 1) {
		return 0, misuse(fmt.Errorf("--alpha is %v, need a number between 0 and 1", alpha), "see %s --help", c.Command.HelpName)
	}
	return alpha, nil
}

// stabilityTable is the output of stability --json.
type stabilityTable struct {
	// BySelection tells that what runs delivered is what perturbation selected.
	BySelection bool               `json:"by_selection,omitempty"`
	selected    bool               // whether there are selections, to be shown beside
	Provenance  results.Provenance `json:"provenance"` // of the first run that trained on images
	stability.Table
	Lacking     []string               `json:"lacking"` // in words
	Comparisons []stability.Comparison `json:"comparisons,omitempty"`
	Alpha       float64                `json:"alpha"`
}

func measureStability(c *cli.Context) (err error) {
	alpha, err := significance(c)
	if err != nil {
		return err
	}
	wanted, err := seedList(c)
	if err != nil {
		return err
	}
	if err := reserve(c, c.String("csv")); err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot stability runs --against darts")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	if parts := byFamily(runs); len(parts) > 1 && !c.Bool("json") && !c.IsSet("csv") {
		for i, part := range parts {
			if i > 0 {
				fmt.Fprintln(c.App.Writer)
			}
			if err := tabulate(c, part, wanted, alpha); err != nil {
				return err
			}
		}
		return nil
	}
	if err := oneFamily(runs, "one table"); err != nil {
		return err
	}
	return tabulate(c, runs, wanted, alpha)
}

// tabulate measures runs of one family.
func tabulate(c *cli.Context, runs []*results.History, wanted []uint64, alpha float64) error {
	anchors, err := findAnchors(c, runs)
	if err != nil {
		return err
	}
	table, err := stability.Tabulate(runs, anchors, wanted)
	if err != nil {
		return err
	}
	out := stabilityTable{Provenance: runs[0].Run.Provenance, Table: *table, Lacking: table.Lacking(), Alpha: alpha}
	for _, r := range runs {
		out.BySelection = out.BySelection || r.BySelected
		out.selected = out.selected || r.Selection != nil && r.Selection.Selected.Lookup.TestError != nil && !r.BySelected
	}
	for _, r := range runs {
		if r.Run.Provenance.Images != results.NoImages {
			out.Provenance = r.Run.Provenance
			break
		}
	}
	if against := c.String("against"); against != "" {
		measures := stability.Compared
		if out.Provenance.Table == results.NoTable {
			measures = stability.ComparedWithoutTable
		}
		if benchmark.FamilyOf(runs[0].Run.Space).ReadsText() {
			measures = stability.ComparedOnText
		}
		if out.Evaluated != nil {
			measures = slices.Concat([]stability.Name{stability.RetrainedError}, measures)
		}
		if out.Comparisons, err = table.Compare(against, measures, alpha); err != nil {
			var names []string
			for _, curve := range table.Curves {
				names = append(names, curve.Algorithm)
			}
			slices.Sort(names)
			return misuse(err, "choose one of %s", strings.Join(slices.Compact(names), ", "))
		}
	}
	if path := c.String("csv"); path != "" {
		if err := save(c, path, out.csv()); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, out)
	}
	return out.print(c.App.Writer)
}

// findAnchors returns what regret is counted from, for every command: the lowest error
// of the table of --table, or of the one in the data home, where it is that of the
// runs; for runs of the surrogate its own; and the published one elsewhere.
func findAnchors(c *cli.Context, runs []*results.History) (map[spaces.Name]stability.Anchor, error) {
	path := c.String("table")
	if path == "" {
		var err error
		if path, err = defaultTable(); err != nil {
			return nil, err
		}
		if ok, err := exists(path); err != nil || !ok {
			return stability.Anchors(c.Context, runs)
		}
	}
	oracle, err := openTable(c.Context, path)
	if err != nil {
		return nil, err
	}
	defer oracle.Close()
	anchors, err := stability.Anchors(c.Context, runs, oracle)
	if errors.Is(err, nasbench.ErrUnknownBudget) {
		return nil, lookupHint(err)
	}
	return anchors, err
}

// measure is a column of the printed table.
type measure struct {
	name    stability.Name
	heading string // a short one
}

// shown are the columns of the printed table.
var shown = []measure{
	{stability.FinalError, "final"}, {stability.BestError, "best"}, {stability.Degradation, "degradation"}, {stability.FinalRegret, "regret"},
	{stability.MeanError, "mean"}, {stability.EigenvalueGrowth, "growth of λ"}, {stability.Flips, "changes"},
	{stability.ParameterFree, "poolings"}, {stability.ProjectionGap, "gap"}, {stability.SecondsPerEpoch, "s/epoch"},
}

// shownWithoutTable are those of runs on spaces that no table knows.
var shownWithoutTable = []measure{
	{stability.ParameterFree, "parameter-free"}, {stability.Width, "width"}, {stability.Depth, "depth"}, {stability.EigenvalueGrowth, "growth of λ"},
	{stability.Flips, "changes"}, {stability.ProjectionGap, "gap"}, {stability.SecondsPerEpoch, "s/epoch"},
}

// shownOnText are those of searches on a text.
var shownOnText = []measure{
	{stability.Perplexity, "perplexity"}, {stability.Depth, "depth"}, {stability.EigenvalueGrowth, "growth of λ"},
	{stability.Flips, "changes"}, {stability.LanguageGap, "gap (nats)"}, {stability.SecondsPerEpoch, "s/epoch"},
}

func (t stabilityTable) shown() []measure {
	all := shown
	if t.Provenance.Table == results.NoTable {
		all = shownWithoutTable
	}
	if len(t.Curves) > 0 && benchmark.FamilyOf(t.Curves[0].Space).ReadsText() {
		all = shownOnText
	}
	if t.selected {
		all = slices.Insert(slices.Clone(all), 1, measure{stability.SelectedError, "selected"})
	}
	if t.Evaluated != nil {
		all = slices.Concat([]measure{{stability.RetrainedError, "trained"}}, all)
	}
	return all
}

func (t stabilityTable) print(w io.Writer) error {
	if t.Provenance.Table == results.NoTable {
		without := ", and no test errors"
		if t.Evaluated != nil {
			without = ""
		}
		fmt.Fprintf(w, "%s%s; mean ± standard deviation over n seeds\n", tableTitle(results.NoTable), without)
	} else {
		fmt.Fprintf(w, "test errors by %s, in percent; mean ± standard deviation over n seeds,\n[%g %% confidence interval] of the mean final error\n", tableTitle(t.Provenance.Table), 100*stability.Level)
	}
	switch {
	case t.BySelection:
		fmt.Fprintln(w, "what a run delivered is what perturbation selected from its supernet")
	case t.selected:
		fmt.Fprintln(w, "selected: test error of what perturbation selected from the supernet")
	}
	if t.Evaluated != nil {
		images, _ := t.Evaluated.Provenance.StandIns()
		fmt.Fprintf(w, "trained: test error in percent after training from scratch, %s%s\n", t.Evaluated, map[bool]string{true: " (a stand-in)"}[images])
		if n := t.OtherEvaluations; n > 0 {
			fmt.Fprintf(w, "         evaluations made otherwise, which do not count: %d\n", n)
		}
	}
	for first, end := 0, 0; first < len(t.Curves); first = end {
		space := t.Curves[first].Space
		rows := [][]string{{"", "n"}}
		for _, s := range t.shown() {
			rows[0] = append(rows[0], s.heading)
			if s.name == stability.FinalError {
				rows[0] = append(rows[0], "")
			}
		}
		for end = first; end < len(t.Curves) && t.Curves[end].Space == space; end++ {
			rows = append(rows, stabilityRow(t.Curves[end], t.shown()))
		}
		fmt.Fprintf(w, "\nspace %s", space)
		if t.Provenance.Table != results.NoTable {
			fmt.Fprintf(w, ", regret from %s (%s)", percent(t.Anchors[space].TestError), t.Anchors[space].Source)
		}
		fmt.Fprintln(w)
		if err := printAligned(w, rows); err != nil {
			return err
		}
	}
	if err := t.printShares(w); err != nil {
		return err
	}
	if len(t.Lacking) > 0 {
		fmt.Fprintln(w, "\nlacking:")
		for _, line := range t.Lacking {
			fmt.Fprintln(w, " ", line)
		}
	}
	return t.printComparisons(w)
}

// printShares prints the share of parameter-free operations by space and algorithm, as the
// paper's Table 5, where there are several of either.
func (t stabilityTable) printShares(w io.Writer) error {
	var onSpaces []spaces.Name
	var names []string
	entries := map[string]map[spaces.Name]string{}
	for _, c := range t.Curves {
		statistic, ok := c.Statistic(stability.ParameterFree)
		if _, of := darts.Get(c.Space); of != nil || !ok {
			continue
		}
		if !slices.Contains(onSpaces, c.Space) {
			onSpaces = append(onSpaces, c.Space)
		}
		if entries[c.Name()] == nil {
			entries[c.Name()] = map[spaces.Name]string{}
			names = append(names, c.Name())
		}
		text := inUnit(stability.Percent, statistic.Mean)
		if statistic.Std != nil {
			text += " ± " + inUnit(stability.Percent, *statistic.Std)
		}
		entries[c.Name()][c.Space] = text
	}
	if len(names) < 2 && len(onSpaces) < 2 {
		return nil
	}
	rows := [][]string{{""}}
	for _, space := range onSpaces {
		rows[0] = append(rows[0], string(space))
	}
	slices.Sort(names)
	for _, name := range names {
		row := []string{name}
		for _, space := range onSpaces {
			row = append(row, cmp.Or(entries[name][space], "–"))
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w, "\nparameter-free operations in the normal cells, in percent (the paper's Table 5)")
	return printAligned(w, rows)
}

func stabilityRow(c stability.Curve, shown []measure) []string {
	row := []string{c.Name(), strconv.Itoa(len(c.Seeds))}
	for _, s := range shown {
		definition, _ := stability.Lookup(s.name)
		statistic, ok := c.Statistic(s.name)
		text, interval := "–", ""
		if ok {
			text = inUnit(definition.Unit, statistic.Mean)
			if statistic.Std != nil {
				text += " ± " + inUnit(definition.Unit, *statistic.Std)
			}
			if statistic.Interval != nil {
				interval = fmt.Sprintf("[%s, %s]", inUnit(definition.Unit, statistic.Interval.Low), inUnit(definition.Unit, statistic.Interval.High))
			}
		}
		row = append(row, text)
		if s.name == stability.FinalError {
			row = append(row, interval)
		}
	}
	return row
}

// inUnit writes a number of a measure for a table.
func inUnit(unit stability.Unit, x float64) string {
	switch unit {
	case stability.Percent:
		return fmt.Sprintf("%.2f", 100*x)
	default:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
}

func (t stabilityTable) printComparisons(w io.Writer) error {
	if len(t.Comparisons) == 0 {
		return nil
	}
	notes := map[string]int{}
	var order []string
	rows := [][]string{{"", "n", "mean", "reference", "p", "corrected", "effect", "A12", "test"}}
	var last stability.Comparison
	flush := func() error {
		if len(rows) == 1 {
			return nil
		}
		err := printAligned(w, rows)
		rows = rows[:1]
		return err
	}
	for _, c := range t.Comparisons {
		definition, _ := stability.Lookup(c.Measure)
		if c.Space != last.Space || c.Measure != last.Measure || c.Against != last.Against {
			if err := flush(); err != nil {
				return err
			}
			fmt.Fprintf(w, "\nspace %s, %s, against %s\n", c.Space, definition.Title, c.Against)
		}
		last = c
		mark := ""
		if c.Note != "" {
			if notes[c.Note] == 0 {
				order = append(order, c.Note)
				notes[c.Note] = len(order)
			}
			mark = fmt.Sprintf(" (%d)", notes[c.Note])
		}
		if c.Tested == nil {
			rows = append(rows, []string{c.Algorithm + mark, "", "–", "–", "–", "–", "–", "–", "–"})
			continue
		}
		size := strconv.Itoa(c.N)
		if c.Test == stability.RankSum {
			size += "/" + strconv.Itoa(c.M)
		}
		star := ""
		if c.Corrected <= t.Alpha {
			star = " *"
		}
		rows = append(rows, []string{c.Algorithm + mark, size, inUnit(definition.Unit, c.Mean), inUnit(definition.Unit, c.Reference),
			fmt.Sprintf("%.3g", c.P), fmt.Sprintf("%.3g%s", c.Corrected, star), fmt.Sprintf("%+.2f", c.Effect), fmt.Sprintf("%.2f", c.A12), c.Test + ", " + string(c.Method)})
	}
	if err := flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n* significant at %g after Holm's correction for the comparisons of the measure in the space\n", t.Alpha)
	for i, note := range order {
		fmt.Fprintf(w, "(%d) %s\n", i+1, note)
	}
	return nil
}

// csv is one line for each measure of each curve. Numbers are as stored: errors
// are fractions. What is missing is empty.
func (t stabilityTable) csv() []byte {
	var text bytes.Buffer
	w := printable.NewCSV(&text) // to memory: no error
	w.Write([]string{"space", "algorithm", "variant", "config_hash", "measure", "n", "mean", "std", "ci_low", "ci_high", "seeds", "lacking", "missing", "incomplete"})
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	for _, c := range t.Curves {
		var incomplete []string
		for _, i := range c.Incomplete {
			incomplete = append(incomplete, i.String())
		}
		head := []string{string(c.Space), c.Algorithm, c.Variant, c.ConfigHash}
		for _, d := range stability.Definitions {
			s, ok := c.Statistic(d.Name)
			mean, std, low, high := "", "", "", ""
			if ok {
				mean = number(s.Mean)
			} else {
				s.Lacking = c.Seeds
			}
			if s.Std != nil {
				std = number(*s.Std)
			}
			if s.Interval != nil {
				low, high = number(s.Interval.Low), number(s.Interval.High)
			}
			w.Write(slices.Concat(head, []string{string(d.Name), strconv.Itoa(len(s.Values)), mean, std, low, high,
				stability.List(c.Seeds), stability.List(s.Lacking), stability.List(c.Missing), strings.Join(incomplete, "; ")}))
		}
	}
	w.Flush()
	return text.Bytes()
}
