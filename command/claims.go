package command

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/claims"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/results"
)

func claimsCommand() *cli.Command {
	return &cli.Command{
		Name:      "claims",
		Usage:     "judge the paper's claims by runs",
		ArgsUsage: "RUN_DIR...",
		Description: `Judges each claim of the paper on each space: supported, contradicted where the
opposite is significant, undecided, or not run. After the table it prints for each
claim the definition, the numbers, and how many seeds an undecided claim would need.
RUN_DIR is a run directory or a folder of run directories. Runs of different images,
table, preset, scale or number of epochs are judged apart; unfinished runs are left
out. docs/claims.md explains the definitions.

Example:
  nb1shot claims runs --csv claims.csv`,
		Flags: []cli.Flag{
			&cli.Float64Flag{Name: "alpha", Usage: "level of significance `A` of a claim's tests", Value: 0.05},
			&cli.StringFlag{Name: "csv", Usage: "write all numbers to `FILE`, a line for each part of each claim"},
			forceFlag(),
			skipDamagedFlag(),
			jsonFlag(),
		},
		Action: interruptible(judgeClaims),
	}
}

func judgeClaims(c *cli.Context) (err error) {
	alpha := c.Float64("alpha")
	if !(alpha > 0 && alpha < 0.5) {
		return misuse(fmt.Errorf("--alpha is %v, need a number between 0 and 0.5", alpha), "see %s --help", c.Command.HelpName)
	}
	path := c.String("csv")
	if err := reserve(c, path); err != nil {
		return err
	}
	runs, skipped, err := readRuns(c, "nb1shot claims runs")
	if err != nil {
		return err
	}
	defer skipped.fail(&err)
	judged, err := claims.Judge(runs, claims.Options{Alpha: alpha, Changed: changedSettings})
	if err != nil {
		return err
	}
	for _, warning := range judged.Warnings {
		fmt.Fprintln(c.App.ErrWriter, program+": warning:", warning)
	}
	if len(judged.Settings) == 0 {
		return hinted(fmt.Errorf("none of the runs (%d) is a finished one of an algorithm that the paper speaks of", len(runs)),
			"nb1shot results ls shows how they stand")
	}
	if path != "" {
		if err := save(c, path, judged.CSV()); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, judged)
	}
	return printClaims(c.App.Writer, judged)
}

// changedSettings returns the settings of a run that are not those of its preset. Of
// a preset that this program does not have nothing is known.
func changedSettings(run results.Run) map[string]string {
	config, err := benchmark.NewConfig(run.Provenance.Preset, run.Space, run.Algorithm)
	if err != nil {
		return nil
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil
	}
	preset, err := results.Run{Config: text}.Settings()
	own, err2 := run.Settings()
	if err != nil || err2 != nil {
		return nil
	}
	changed := map[string]string{}
	for name, value := range own {
		// What makes up the scale is judged apart anyway.
		if known, ok := preset[name]; ok && known != value && !slices.Contains([]string{"cells", "channels", "side", "images", "epochs"}, name) {
			changed[name] = value
		}
	}
	return changed
}

// claimsWidth is the width of the printed text.
const claimsWidth = 100

func printClaims(w io.Writer, j *claims.Judgement) error {
	p := &printer{w: w}
	for _, s := range j.Settings {
		p.setting(s)
		about := slices.DeleteFunc(slices.Clone(j.Claims), func(c claims.Claim) bool { return !slices.ContainsFunc(s.Spaces, c.SpeaksOf) })
		if len(about) == 0 {
			p.paragraph("", "No claim speaks of space "+strings.Join(joined(s.Spaces), ", ")+".")
		} else {
			p.overview(about, s)
		}
		for _, c := range about {
			p.details(c, s)
		}
		p.line("")
	}
	p.paragraph("", "e: anytime test error in percent. early, late: the first and the last tenth of the epochs; smoothed: the running mean over as many.")
	p.paragraph("", fmt.Sprintf("first, second: medians over the seeds; [a, b]: interval of the first. effect: from -1 to 1, positive where it speaks for the claim. "+
		"p: one-sided, corrected where the definition says so, of the opposite where contradicted; significant up to %g. needs: seeds of each algorithm that would show the effect seen, on whichever side, in 4 of 5 studies. "+
		"n: pairs, by signed ranks; \"3 and 6\", by rank sums; signs, by a sign test; votes; ranks, by Kendall's τ.", j.Alpha))
	return p.err
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, arguments ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, arguments...), " "))
	}
}

// paragraph writes a text in lines that begin with an indent.
func (p *printer) paragraph(indent, text string) {
	for _, line := range wrap(text, claimsWidth-len(indent)) {
		p.line("%s%s", indent, line)
	}
}

// table writes rows with their columns aligned to the left.
func (p *printer) table(indent string, rows [][]string) {
	widths := map[int]int{}
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range rows {
		line := indent
		for i, text := range row {
			if i > 0 {
				line += "  "
			}
			line += fmt.Sprintf("%-*s", widths[i], text)
		}
		p.line("%s", line)
	}
}

func (p *printer) setting(s claims.Setting) {
	p.paragraph("", s.Heading())
	p.paragraph("", strings.Join(append(slices.Clone(s.StandIns), "The verdicts are of runs at this scale."), " "))
	for _, of := range []struct {
		what string
		all  []claims.Change
	}{{"not as in the preset", s.Changed}, {"not as in other runs", s.Varied}} {
		var changes []string
		for _, c := range of.all {
			text := strings.TrimPrefix(c.Name, "settings.") + " " + c.Value
			if len(c.Algorithms) < len(s.Algorithms) {
				text += " (" + strings.Join(c.Algorithms, ", ") + ")"
			}
			changes = append(changes, text)
		}
		if changes != nil {
			p.paragraph("", of.what+": "+strings.Join(changes, ", "))
		}
	}
	for _, left := range s.LeftOut {
		p.paragraph("", "another configuration, which does not count: "+left)
	}
}

// overview writes a line for each claim.
func (p *printer) overview(about []claims.Claim, s claims.Setting) {
	rows := [][]string{{"", ""}}
	for _, space := range s.Spaces {
		rows[0] = append(rows[0], fmt.Sprintf("space %s", space))
	}
	for _, c := range about {
		row := []string{c.Number, c.Title}
		for _, space := range s.Spaces {
			r, _ := s.Result(c.Number, space)
			text := string(r.Verdict)
			if !c.SpeaksOf(space) {
				text = "–"
			}
			switch {
			case r.Verdict == claims.Undecided && r.Missing != nil:
				text += ", lacking" // whatever the tests say, it needs more algorithms
			case r.P != nil:
				text += " " + shortP(*r.P)
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	p.line("")
	p.table("", rows)
}

// shortP writes a p-value in at most five characters.
func shortP(p float64) string {
	switch {
	case p < 0.001:
		return "<.001"
	case p < 0.1:
		return strings.TrimPrefix(fmt.Sprintf("%.3f", p), "0")
	}
	return strings.TrimPrefix(fmt.Sprintf("%.2f", p), "0")
}

// details writes what the verdicts on a claim rest on, if there is one.
func (p *printer) details(c claims.Claim, s claims.Setting) {
	var found []claims.Result
	for _, space := range s.Spaces {
		if r, ok := s.Result(c.Number, space); ok && (r.Verdict != claims.NotRun || r.Missing == nil) {
			found = append(found, r)
		}
	}
	if found == nil {
		return
	}
	p.line("")
	p.paragraph("", c.Number+"  "+c.Statement)
	p.paragraph("  ", "Held against: "+c.Definition)
	for _, r := range found {
		p.result(r)
	}
}

func (p *printer) result(r claims.Result) {
	head := fmt.Sprintf("space %s: %s", r.Space, r.Verdict)
	if r.N > 0 {
		head += fmt.Sprintf(", n = %d", r.N)
	}
	if r.P != nil {
		head += ", p = " + shortP(*r.P)
	}
	if r.Needed > 0 {
		head += fmt.Sprintf("; the effects seen need %s seeds", grouped(r.Needed))
	}
	if r.Missing != nil {
		head += "; no finished run of " + strings.Join(r.Missing, ", ")
	}
	if r.Verdict == claims.NotRun {
		for _, part := range r.Parts {
			head += "; " + part.Statement + ": " + part.Note
		}
		p.paragraph("  ", head)
		return
	}
	p.paragraph("  ", head)
	header := []string{"", "n", "first", "second", "effect", "p", "needs"}
	row := partRow
	if r.Verdict == claims.Measured {
		header = []string{"", "n", "ratio", "95 %", "paper"}
		row = costRow
	}
	rows := [][]string{header}
	var notes []string
	for _, part := range r.Parts {
		if part.Verdict == claims.NotRun && part.Missing != nil {
			continue
		}
		verdict := string(part.Verdict)
		if part.Note != "" {
			i := slices.Index(notes, part.Note)
			if i < 0 {
				i = len(notes)
				notes = append(notes, part.Note)
			}
			verdict += fmt.Sprintf(" (%d)", i+1)
		}
		rows = append(rows, append(row(part), verdict))
	}
	p.table("    ", rows)
	for i, note := range notes {
		p.paragraph("    ", fmt.Sprintf("(%d) %s", i+1, note))
	}
}

func partRow(part claims.Part) []string {
	row := []string{part.Statement, "", "", "", "", "", ""}
	if part.P == nil {
		return row
	}
	row[1] = size(part)
	for i, s := range part.Samples[:min(2, len(part.Samples))] {
		row[2+i] = short(s.Median)
	}
	if i := part.Interval; i != nil {
		row[3] = fmt.Sprintf("[%s, %s]", short(i.Low), short(i.High))
	}
	row[4] = fmt.Sprintf("%+.2f", *part.Effect)
	decisive := part.P
	if part.Corrected != nil {
		decisive = part.Corrected
	}
	if part.Verdict == claims.Contradicted {
		decisive = part.Opposite
	}
	row[5] = shortP(*decisive)
	if part.Needed > 0 {
		row[6] = grouped(part.Needed)
	}
	return row
}

func costRow(part claims.Part) []string {
	row := []string{part.Statement, "", "", "", fmt.Sprintf("%.2f", *part.Paper)}
	if part.Estimate == nil {
		return row
	}
	row[1], row[2] = fmt.Sprintf("%d and %d", part.N, part.M), fmt.Sprintf("%.2f", *part.Estimate)
	if i := part.Interval; i != nil {
		row[3] = fmt.Sprintf("[%.2f, %.2f]", i.Low, i.High)
	}
	return row
}

// size says how many numbers were tested, and by what.
func size(part claims.Part) string {
	switch {
	case part.M > 0:
		return fmt.Sprintf("%d and %d", part.N, part.M)
	case strings.Contains(part.Test, stability.SignedRank):
		return counted(part.N, "pair")
	case strings.HasPrefix(part.Test, "sign"):
		return counted(part.N, "sign")
	case strings.HasPrefix(part.Test, "vote, "):
		return strings.TrimPrefix(part.Test, "vote, ") + " votes"
	}
	return fmt.Sprintf("%d ranks", part.N)
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// short writes a number in three digits.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }
