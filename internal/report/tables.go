package report

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/claims"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// statistic is a number over the seeds that have it.
type statistic struct {
	n         int // 0 for none
	mean, std float64
}

// summarise is the mean and the sample standard deviation, 0 for one number.
func summarise(x []float64) statistic {
	s := statistic{n: len(x)}
	if s.n > 0 {
		s.mean = stats.Mean(x)
	}
	if s.n > 1 {
		s.std = stats.Std(x)
	}
	return s
}

// over summarises a measure over the complete runs of a curve.
func (s *study) over(c results.Curve, name stability.Name) statistic {
	return overRuns(c, func(h *results.History) *float64 {
		if x, ok := s.measures[h][name]; ok {
			return &x
		}
		return nil
	})
}

// overRuns summarises what the complete runs of a curve have.
func overRuns(c results.Curve, of func(*results.History) *float64) statistic {
	var all []float64
	for _, h := range complete(c) {
		if x := of(h); x != nil {
			all = append(all, *x)
		}
	}
	return summarise(all)
}

// show writes a statistic, times a factor, with the given number of decimals: "9.93 ± 5.41".
func (s statistic) show(factor float64, decimals int) string {
	number := func(x float64) string {
		text := strconv.FormatFloat(factor*x, 'f', decimals, 64)
		if strings.Trim(text, "-0.") == "" {
			text = strings.TrimPrefix(text, "-") // no −0.00
		}
		return strings.Replace(text, "-", "−", 1)
	}
	switch s.n {
	case 0:
		return "–"
	case 1:
		return number(s.mean)
	}
	return number(s.mean) + " ± " + number(s.std)
}

// percent writes a fraction, without its unit.
func percent(s statistic) string { return s.show(100, 2) }

// share writes a fraction of few things, without its unit.
func share(s statistic) string { return s.show(100, 0) }

func oneDecimal(s statistic) string { return s.show(1, 1) }

// significant writes a number to three digits of its mean.
func significant(s statistic) string {
	decimals := 2
	if s.mean != 0 {
		decimals = min(max(2-int(math.Floor(math.Log10(math.Abs(s.mean)))), 0), 6)
	}
	return s.show(1, decimals)
}

// table is one table of the report.
type table struct {
	name    string // of its files, without extension
	title   string
	caption caption
	columns []column
	rows    []row
	words   bool   // whether its columns are of words, not of numbers
	first   string // heading of the names; "Algorithm" where empty
	raw     string // its CSV, where that is not of the columns
}

// heading is that of the column of names.
func (t table) heading() string { return cmp.Or(t.first, "Algorithm") }

// column is a column behind the one of the names.
type column struct {
	key   string // in CSV
	title string
	show  func(statistic) string // nil for a column of texts
}

type row struct {
	name    string
	runs    int // complete ones
	entries []entry
}

// entry is a statistic, or a text in a column of texts.
type entry struct {
	statistic
	text  string
	mark  string   // Best or Second in its column
	paper *float64 // the paper's number; nil where it has none
}

// paperText is the paper's number as a column shows it.
func (e entry) paperText(c column) string {
	if e.paper == nil || c.show == nil {
		return ""
	}
	return c.show(statistic{n: 1, mean: *e.paper})
}

// markBest marks the lowest mean of a column and the one after it, if there are several.
func (t *table) markBest(column int) {
	var means []float64
	for _, r := range t.rows {
		if e := r.entries[column]; e.n > 0 {
			means = append(means, e.mean)
		}
	}
	slices.Sort(means)
	if means = slices.Compact(means); len(means) < 2 {
		return
	}
	for i := range t.rows {
		switch e := &t.rows[i].entries[column]; {
		case e.n > 0 && e.mean == means[0]:
			e.mark = Best
		case e.n > 0 && e.mean == means[1]:
			e.mark = Second
		}
	}
}

// text is what people read in a column of a row. A statistic over fewer runs than
// the row has says so.
func (r row) text(i int, c column) string {
	e := r.entries[i]
	if c.show == nil {
		return e.text
	}
	text := c.show(e.statistic)
	if e.n > 0 && e.n < r.runs {
		text += fmt.Sprintf(" (n = %d)", e.n)
	}
	return text
}

// tables lists all tables.
func (s *study) tables() []table {
	var all []table
	if s.hasErrors() {
		all = append(all, s.finalTable())
	}
	if on := s.onDARTS(); len(on) > 0 {
		all = append(all, s.parameterFreeTable(on))
	}
	all = append(all, s.trainedTables()...)
	all = append(all, s.perplexityTables()...)
	for _, space := range s.spaces {
		if s.hasErrors() {
			all = append(all, s.errorTable(space))
		}
	}
	for _, space := range s.spaces {
		all = append(all, s.hessianTable(space))
	}
	for _, space := range s.spaces {
		all = append(all, s.structureTable(space))
	}
	for _, space := range s.spaces {
		all = append(all, s.timeTable(space))
	}
	return append(all, s.seedTable())
}

// hasErrors tells whether the runs have a table, which knows test errors.
func (s *study) hasErrors() bool {
	return !slices.ContainsFunc(s.curves, func(c results.Curve) bool { return c.Provenance.Table == results.NoTable })
}

// onDARTS lists the spaces of the study that are of the family of DARTS.
func (s *study) onDARTS() []spaces.Name {
	return slices.DeleteFunc(slices.Clone(s.spaces), func(n spaces.Name) bool { return !onDARTS(n) })
}

// parameterFreeTable is in the form of the paper's Table 5.
func (s *study) parameterFreeTable(on []spaces.Name) table {
	curves := choose(s.curves, func(c results.Curve) bool { return slices.Contains(on, c.Space) })
	t := table{
		name: "parameter-free", title: "Parameter-free operations in the normal cells (%)",
		caption: s.caption(curves, true, "Skip connections, poolings and noise in percent of the 8 operations of the normal cell after the last epoch: mean ± standard deviation over the finished runs. "+
			"As the paper's Table 5. In grey the share in the genotypes that the paper's authors published for CIFAR-10, which is what that table has."),
	}
	for _, space := range on {
		t.columns = append(t.columns, column{fmt.Sprintf("%s_parameter_free", space.FileName()), fmt.Sprintf("Space %s", space), oneDecimalPercent})
	}
	return s.byAlgorithmOn(on, t, func(c results.Curve) entry {
		return entry{statistic: s.over(c, stability.ParameterFree), paper: paperShare(c)}
	})
}

// paperShare is the share of parameter-free operations in the genotype of the paper, nil
// where none was published.
func paperShare(c results.Curve) *float64 {
	search := map[string]string{"pc-darts": "pcdarts", "sdarts-rs": "random", "sdarts-adv": "pgd"}[c.Algorithm]
	space, reduced := strings.CutPrefix(string(c.Space), "darts-")
	if search == "" || !reduced || c.Variant != "" {
		return nil
	}
	p, ok := darts.FindPublished("c10_" + space + "_" + search)
	if !ok {
		return nil
	}
	return new(p.Genotype.ParameterFree())
}

// byAlgorithm is a table with a row for each algorithm and, in it, what cell
// makes of its curve on each space.
func (s *study) byAlgorithm(t table, entryOf func(results.Curve) entry) table {
	return s.byAlgorithmOn(s.spaces, t, entryOf)
}

func (s *study) byAlgorithmOn(on []spaces.Name, t table, entryOf func(results.Curve) entry) table {
	for _, name := range s.names {
		r := row{name: name}
		for _, space := range on {
			i := slices.IndexFunc(s.curves, func(c results.Curve) bool { return c.Space == space && plots.CurveName(c) == name })
			if i < 0 {
				r.entries = append(r.entries, entry{text: "no runs"})
				continue
			}
			r.entries = append(r.entries, entryOf(s.curves[i]))
		}
		t.rows = append(t.rows, r)
	}
	return t
}

// bySpace is a table with a row for each curve of a space.
func (s *study) bySpace(t table, space spaces.Name, entriesOf func(results.Curve) []entry) table {
	for _, c := range s.on(space) {
		t.rows = append(t.rows, row{plots.CurveName(c), len(complete(c)), entriesOf(c)})
	}
	return t
}

func (s *study) finalTable() table {
	t := table{
		name: "final-error", title: "Final test error (%)",
		caption: s.caption(s.curves, true, "Test error of the cell after the last epoch, in percent: mean ± standard deviation over the finished runs."),
	}
	for _, space := range s.spaces {
		t.columns = append(t.columns, column{fmt.Sprintf("%s_final_error", space.FileName()), fmt.Sprintf("Space %s", space), percent})
	}
	t = s.byAlgorithm(t, func(c results.Curve) entry { return entry{statistic: s.over(c, stability.FinalError)} })
	for i := range t.rows { // the seeds that all spaces have
		for _, e := range t.rows[i].entries {
			t.rows[i].runs = max(t.rows[i].runs, e.n)
		}
	}
	return t
}

// runsColumn counts the complete runs.
var runsColumn = column{"runs", "n", nil}

func runsOf(c results.Curve) entry { return entry{text: strconv.Itoa(len(complete(c)))} }

func (s *study) errorTable(space spaces.Name) table {
	anchor := s.anchors[space]
	regret := "No regret is known."
	if anchor.Source != "" {
		regret = fmt.Sprintf("Regret is the final error above %.2f %% (%s).", 100*anchor.TestError, anchor.Source)
	}
	measures := []struct {
		name  stability.Name
		title string
	}{
		{stability.FinalError, "Final"}, {stability.BestError, "Best"}, {stability.Degradation, "Degradation"},
		{stability.FinalRegret, "Regret"}, {stability.MeanError, "Mean over epochs"},
	}
	t := table{
		name: fmt.Sprintf("errors-%s", space.FileName()), title: fmt.Sprintf("Test errors (%%), space %s", space),
		caption: s.caption(s.on(space), true, "Test errors in percent: after the last epoch, the lowest on the way, what the search lost from there to its end (degradation), and the mean of all epochs; "+
			"and the epoch of the lowest. Mean ± standard deviation over n finished runs. "+regret),
		columns: []column{runsColumn},
	}
	for _, m := range measures {
		t.columns = append(t.columns, column{string(m.name), m.title, percent})
	}
	t.columns = append(t.columns, column{string(stability.BestEpoch), "Epoch of the best", whole})
	return s.bySpace(t, space, func(c results.Curve) []entry {
		entries := []entry{runsOf(c)}
		for _, m := range measures {
			entries = append(entries, entry{statistic: s.over(c, m.name)})
		}
		return append(entries, entry{statistic: s.over(c, stability.BestEpoch)})
	})
}

// whole writes a number of things, whose mean over the seeds need not be one.
func whole(s statistic) string {
	if s.mean == math.Trunc(s.mean) && s.std == math.Trunc(s.std) {
		return s.show(1, 0)
	}
	return s.show(1, 1)
}

func (s *study) hessianTable(space spaces.Name) table {
	decisions := "operations of blocks, parents of nodes"
	if onDARTS(space) {
		decisions = "edges and their operations"
	}
	gap := column{string(stability.ProjectionGap), "Projection gap", oneDecimalPercent}
	loses := "what the supernet loses in accuracy when its relaxed architecture is replaced by the discrete cell, in points"
	if onText(space) {
		decisions = "functions and inputs of nodes"
		gap = column{string(stability.LanguageGap), "Projection gap (nats)", significant}
		loses = "how much the loss of the supernet rises when its relaxed architecture is replaced by the discrete cell, in nats for each word"
	}
	t := table{
		name: fmt.Sprintf("stability-%s", space.FileName()), title: fmt.Sprintf("Eigenvalue, decisions and projection gap, space %s", space),
		caption: s.caption(s.on(space), true, "Dominant eigenvalue λ of the architecture Hessian after the first and after the last epoch, and its growth, the ratio of the two of a run; "+
			"decisions ("+decisions+") that changed over the run; and "+loses+". "+
			"Mean ± standard deviation over n finished runs; a dash means that an algorithm has no such number.",
			lambdaNote(space)),
		columns: []column{
			runsColumn, {"eigenvalue_first", "λ, first", significant}, {"eigenvalue_last", "λ, last", significant},
			{string(stability.EigenvalueGrowth), "Growth of λ", significant},
			{string(stability.Flips), "Changed decisions", whole}, gap,
		},
	}
	return s.bySpace(t, space, func(c results.Curve) []entry {
		return []entry{
			runsOf(c),
			{statistic: overRuns(c, func(h *results.History) *float64 { return end(h.Epochs, results.Eigenvalue, false) })},
			{statistic: overRuns(c, func(h *results.History) *float64 { return end(h.Epochs, results.Eigenvalue, true) })},
			{statistic: s.over(c, stability.EigenvalueGrowth)},
			{statistic: s.over(c, stability.Flips)},
			{statistic: s.over(c, stability.Name(gap.key))},
		}
	})
}

// lambdaNote says in what λ departs from the paper.
func lambdaNote(space spaces.Name) string {
	if onText(space) {
		return "λ is defined by this program itself, as no released code takes it on this space: as on NAS-Bench-1Shot1, without dropout"
	}
	quirks := "quirks Q8 to Q9b"
	if onDARTS(space) {
		quirks = "quirk C20"
	}
	return "λ is defined as the released code computes it (" + quirks + "), where the text has the spectral norm"
}

func oneDecimalPercent(s statistic) string { return s.show(100, 1) }

// end is a quantity of the first or the last record that has it.
func end(epochs []results.Epoch, quantity func(results.Epoch) *float64, last bool) *float64 {
	var found *float64
	for _, e := range epochs {
		if x := quantity(e); x != nil {
			if found = x; !last {
				break
			}
		}
	}
	return found
}

func (s *study) structureTable(space spaces.Name) table {
	if onDARTS(space) {
		return s.normalCellTable(space)
	}
	if onText(space) {
		return s.recurrentCellTable(space)
	}
	t := table{
		name: fmt.Sprintf("structure-%s", space.FileName()), title: fmt.Sprintf("Structure of the final cells, space %s", space),
		caption: s.caption(s.on(space), true, "Max-poolings, the only operation without parameters, in percent of all choice blocks and of those that survive pruning; "+
			"width, in channels of a vertex, and depth, in edges, of the pruned cell (Shu et al., 2020). Cells after the last epoch, mean ± standard deviation over n finished runs.",
			"the proportions of the paper's section 5.6 are those of normal cells of the DARTS space"),
		columns: []column{
			runsColumn, {string(stability.ParameterFree), "Parameter-free, all (%)", share}, {"parameter_free_used", "Parameter-free, used (%)", share},
			{string(stability.Width), "Width", oneDecimal}, {string(stability.Depth), "Depth", oneDecimal},
		},
	}
	return s.bySpace(t, space, func(c results.Curve) []entry {
		return []entry{
			runsOf(c),
			{statistic: s.over(c, stability.ParameterFree)},
			{statistic: overRuns(c, func(h *results.History) *float64 {
				if last := h.Epochs[len(h.Epochs)-1].Structure; last != nil {
					return &last.ParameterFreeUsed
				}
				return nil
			})},
			{statistic: s.over(c, stability.Width)},
			{statistic: s.over(c, stability.Depth)},
		}
	})
}

// normalCellTable is the structureTable of a space of DARTS.
func (s *study) normalCellTable(space spaces.Name) table {
	t := table{
		name: fmt.Sprintf("structure-%s", space.FileName()), title: fmt.Sprintf("Structure of the final normal cells, space %s", space),
		caption: s.caption(s.on(space), true, "Skip connections, poolings and noise in percent of the 8 operations of the normal cell; its width, in channels of a node, and its depth, in edges (Shu et al., 2020). "+
			"Cells after the last epoch, mean ± standard deviation over n finished runs."),
		columns: []column{
			runsColumn, {string(stability.ParameterFree), "Parameter-free (%)", oneDecimalPercent}, {string(stability.Width), "Width", oneDecimal}, {string(stability.Depth), "Depth", oneDecimal},
		},
	}
	return s.bySpace(t, space, func(c results.Curve) []entry {
		return []entry{runsOf(c), {statistic: s.over(c, stability.ParameterFree)}, {statistic: s.over(c, stability.Width)}, {statistic: s.over(c, stability.Depth)}}
	})
}

// recurrentCellTable is the structureTable of the recurrent space.
func (s *study) recurrentCellTable(space spaces.Name) table {
	t := table{
		name: fmt.Sprintf("structure-%s", space.FileName()), title: fmt.Sprintf("Perplexity and final cells, space %s", space),
		caption: s.caption(s.on(space), true, "Perplexity of the supernet on the validation text after the last epoch, in evaluation mode; and the depth of the final cell, in nodes. "+
			"Mean ± standard deviation over n finished runs.",
			"these are perplexities of the search, not those of cells that are trained from scratch, as in the paper's Table 3"),
		columns: []column{runsColumn, {string(stability.Perplexity), "Validation perplexity", oneDecimal}, {string(stability.Depth), "Depth", oneDecimal}},
	}
	return s.bySpace(t, space, func(c results.Curve) []entry {
		return []entry{runsOf(c), {statistic: s.over(c, stability.Perplexity)}, {statistic: s.over(c, stability.Depth)}}
	})
}

func (s *study) timeTable(space spaces.Name) table {
	reference := statistic{}
	for _, c := range s.on(space) {
		if c.Algorithm == "darts" && c.Variant == "" {
			reference = overRuns(c, claims.StepSeconds)
		}
	}
	t := table{
		name: fmt.Sprintf("time-%s", space.FileName()), title: fmt.Sprintf("Wall time, space %s", space),
		caption: s.caption(s.on(space), true, "Seconds an epoch takes in all (steps, Hessian, validation, projection, lookup) and for the steps of the search alone, mean ± standard deviation over n finished runs; "+
			"the steps relative to those of DARTS; and the same ratio of the paper, whose hours are for 100 epochs at its scale on other hardware (a GTX 1080 Ti), to compare ratios with, not times. "+
			"Wall times depend on whatever else the machine did."),
		columns: []column{
			runsColumn, {string(stability.SecondsPerEpoch), "s/epoch, all", significant}, {"steps_per_epoch", "s/epoch, steps", significant},
			{"relative_to_darts", "Relative to DARTS", nil}, {"paper_relative_to_darts", "Paper, relative", nil}, {"paper_hours", "Paper, hours", nil},
		},
	}
	return s.bySpace(t, space, func(c results.Curve) []entry {
		steps := overRuns(c, claims.StepSeconds)
		relative, paper, hours := "–", "–", "–"
		if steps.n > 0 && reference.n > 0 && reference.mean > 0 {
			relative = significant(statistic{n: 1, mean: steps.mean / reference.mean})
		}
		if h := claims.PaperHours[c.Algorithm]; h > 0 && c.Variant == "" && !onDARTS(space) && !onText(space) {
			paper, hours = fmt.Sprintf("%.2f", h/claims.PaperHours["darts"]), fmt.Sprintf("%g", h)
		}
		return []entry{runsOf(c), {statistic: s.over(c, stability.SecondsPerEpoch)}, {statistic: steps}, {text: relative}, {text: paper}, {text: hours}}
	})
}

// seedTable says which runs there are.
func (s *study) seedTable() table {
	t := table{
		name: "seeds", title: "Seeds", words: true,
	}
	t.caption.alone = "The seeds of the finished runs, and what became of every other seed that any run has. Means are over the finished runs alone."
	t.caption.page = t.caption.alone
	for _, space := range s.spaces {
		t.columns = append(t.columns, column{fmt.Sprintf("%s_seeds", space.FileName()), fmt.Sprintf("Space %s", space), nil})
	}
	return s.byAlgorithm(t, func(c results.Curve) entry {
		there, lacking := s.attendance(c)
		return entry{text: strings.Join(append([]string{there}, lacking...), "; ")}
	})
}

// csv writes the table with statistics as three columns each, unrounded, errors
// and shares as fractions, and behind them what the paper has, if it has any of them.
func (t table) csv() string {
	if t.raw != "" {
		return t.raw
	}
	var b bytes.Buffer
	w := printable.NewCSV(&b)
	header := []string{"algorithm"}
	hasPaper := make([]bool, len(t.columns))
	for i, c := range t.columns {
		if c.show == nil {
			header = append(header, c.key)
			continue
		}
		hasPaper[i] = slices.ContainsFunc(t.rows, func(r row) bool { return r.entries[i].paper != nil })
		header = append(header, c.key+"_mean", c.key+"_std", c.key+"_n")
		if hasPaper[i] {
			header = append(header, c.key+"_paper")
		}
	}
	w.Write(header)
	for _, r := range t.rows {
		record := []string{r.name}
		for i, c := range t.columns {
			e := r.entries[i]
			if c.show == nil {
				record = append(record, strings.TrimPrefix(e.text, "–"))
				continue
			}
			mean, std := "", ""
			if e.n > 0 {
				mean = strconv.FormatFloat(e.mean, 'g', -1, 64)
			}
			if e.n > 1 {
				std = strconv.FormatFloat(e.std, 'g', -1, 64)
			}
			record = append(record, mean, std, strconv.Itoa(e.n))
			if hasPaper[i] {
				paper := ""
				if e.paper != nil {
					paper = strconv.FormatFloat(*e.paper, 'g', -1, 64)
				}
				record = append(record, paper)
			}
		}
		w.Write(record)
	}
	w.Flush() // into memory, which does not fail
	return b.String()
}

// latex writes the table as a float of LaTeX, no wider than the line.
func (t table) latex() string {
	alignment := "r"
	if t.words {
		alignment = "l"
	}
	header := []string{t.heading()}
	for _, c := range t.columns {
		header = append(header, stacked(c.title, alignment))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%% Made by nb1shot report. Needs \\usepackage{booktabs,graphicx,xcolor}.\n"+
		"\\begin{table}\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"+
		"\\caption{%s. %s}\n\\label{tab:nb1shot-%s}\n"+
		"\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%%\n"+
		"\\begin{tabular}{@{}l%s@{}}\n\\toprule\n%s \\\\\n\\midrule\n",
		escapeLaTeX(t.title), escapeLaTeX(strings.ReplaceAll(t.caption.alone, "\n", " ")), t.name,
		strings.Repeat(alignment, len(t.columns)), strings.Join(header, " & "))
	for _, r := range t.rows {
		line := []string{escapeLaTeX(r.name)}
		for i, c := range t.columns {
			text := escapeLaTeX(r.text(i, c))
			switch r.entries[i].mark {
			case Best:
				text = `\textbf{` + text + `}`
			case Second:
				text = `\underline{` + text + `}`
			}
			if paper := r.entries[i].paperText(c); paper != "" {
				text += ` \textcolor{gray}{` + escapeLaTeX(paper) + `}`
			}
			line = append(line, text)
		}
		fmt.Fprintf(&b, "%s \\\\\n", strings.Join(line, " & "))
	}
	b.WriteString("\\bottomrule\n\\end{tabular}}\n\\end{table}\n")
	return b.String()
}

// stacked is a title in LaTeX, on two lines where it has several words.
func stacked(title, alignment string) string {
	words := strings.Fields(title)
	if len(words) < 2 || len(title) < 8 {
		return escapeLaTeX(title)
	}
	middle, shortest := 1, len(title)
	for i := 1; i < len(words); i++ { // where the longer line is shortest
		if longer := max(len(strings.Join(words[:i], " ")), len(strings.Join(words[i:], " "))); longer < shortest {
			middle, shortest = i, longer
		}
	}
	return fmt.Sprintf(`\shortstack[%s]{%s\\%s}`, alignment, escapeLaTeX(strings.Join(words[:middle], " ")), escapeLaTeX(strings.Join(words[middle:], " ")))
}

// escapeLaTeX writes a text so that pdfLaTeX prints it as it is. A character that
// its fonts lack becomes a question mark.
func escapeLaTeX(s string) string {
	var b strings.Builder
	for _, r := range printable.Line(s) {
		switch text, special := latexOf[r]; {
		case special:
			b.WriteString(text)
		case r < 0x80 || r >= 'À' && r <= 'ÿ' && !strings.ContainsRune("ÐÞð÷þ", r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// latexOf has the characters that LaTeX reads as something else, or not at all.
var latexOf = map[rune]string{
	'\\': `\textbackslash{}`, '{': `\{`, '}': `\}`, '$': `\char36{}`, '&': `\&`, '#': `\#`, '%': `\%`, '_': `\_`,
	'^': `\textasciicircum{}`, '~': `\textasciitilde{}`, '<': `\textless{}`, '>': `\textgreater{}`, '|': `\textbar{}`, '"': `''`,
	'±': `$\pm$`, '×': `$\times$`, '−': `$-$`, '–': `--`, '—': `---`, 'λ': `$\lambda$`, '→': `$\to$`, '≥': `$\geq$`, '≤': `$\leq$`, '²': `$^2$`, 'µ': `$\mu$`,
	'’': `'`, '‘': "`", '“': "``", '”': `''`, '…': `\dots{}`, '\u00a0': `~`,
}
