package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/claims"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

// alpha is the level of significance of the claims.
const alpha = 0.05

// claimsTitle heads the verdicts on what the paper claims.
const claimsTitle = "Do these runs agree with the paper?"

// claimsTable is the verdicts on runs that can be compared.
type claimsTable struct {
	table
	Claims []claims.Claim // that have a verdict
}

// claimsTables holds the runs against what the paper claims, in a table for each part
// of them that can be compared and got any verdict.
func (s *study) claimsTables(changed func(results.Run) map[string]string) ([]claimsTable, error) {
	var runs []*results.History
	for _, c := range s.curves {
		runs = append(runs, c.Runs...)
	}
	j, err := claims.Judge(runs, claims.Options{Alpha: alpha, Changed: changed})
	if err != nil {
		return nil, err
	}
	var all []claimsTable
	for _, setting := range j.Settings {
		if !setting.Judged() {
			continue
		}
		t := claimsTable{table: table{name: "claims", title: claimsTitle, first: "Claim", words: true}}
		if len(all) > 0 {
			t.name += fmt.Sprintf("-%d", len(all)+1)
		}
		t.raw = string((&claims.Judgement{Settings: []claims.Setting{setting}}).CSV())
		for _, space := range setting.Spaces {
			t.columns = append(t.columns, column{space.FileName(), fmt.Sprintf("Space %s", space), nil})
		}
		for _, c := range j.Claims {
			if !slices.ContainsFunc(setting.Spaces, c.SpeaksOf) {
				continue
			}
			r := row{name: c.Number + " " + c.Title}
			judged := false
			for _, space := range setting.Spaces {
				result, spoken := setting.Result(c.Number, space)
				if !spoken {
					r.entries = append(r.entries, entry{text: "–"})
					continue
				}
				judged = judged || result.Verdict != claims.NotRun
				r.entries = append(r.entries, entry{text: verdict(result)})
			}
			t.rows = append(t.rows, r)
			if judged {
				t.Claims = append(t.Claims, c)
			}
		}
		t.caption.alone = paragraphs(
			fmt.Sprintf("What the paper says of these spaces, judged by the runs with definitions of our own: supported where one-sided tests are significant at %g for all that a claim says, contradicted where the opposite of any of it is, undecided otherwise. "+
				"n is the fewest seeds behind a verdict, p the highest of its tests, corrected where several baselines are compared, or of the opposite. What it would take is the seeds of each algorithm that would show the effects that were seen.", alpha),
			settingNote(setting))
		t.caption.page = t.caption.alone
		all = append(all, t)
	}
	return all, nil
}

// settingNote says for which runs the verdicts hold.
func settingNote(setting claims.Setting) string {
	text := fmt.Sprintf("The verdicts hold for runs at this scale (%s; %d epochs).", setting.Provenance.Scale, setting.Epochs)
	if len(setting.StandIns) > 0 {
		text += " " + strings.Join(setting.StandIns, " ")
	}
	list := func(what string, all []claims.Change) {
		var changes []string
		for _, c := range all {
			changes = append(changes, strings.TrimPrefix(c.Name, "settings.")+" "+c.Value)
		}
		if changes != nil {
			text += " " + what + ": " + strings.Join(changes, ", ") + "."
		}
	}
	list("Not as in the preset", setting.Changed)
	list("Not as in other runs", setting.Varied)
	if len(setting.LeftOut) > 0 {
		text += " Other configurations, which do not count: " + strings.Join(setting.LeftOut, "; ") + "."
	}
	return text
}

// curveName is what legends call an algorithm.
func curveName(algorithm string) string { return plots.CurveName(results.Curve{Algorithm: algorithm}) }

// verdict is a cell of the table.
func verdict(r claims.Result) string {
	var parts []string
	if r.N > 0 {
		parts = append(parts, fmt.Sprintf("n = %d", r.N))
	}
	switch {
	case r.P != nil && *r.P < 0.001:
		parts = append(parts, "p < 0.001")
	case r.P != nil:
		parts = append(parts, fmt.Sprintf("p = %.2g", *r.P))
	}
	if r.Needed > 0 {
		parts = append(parts, fmt.Sprintf("it would take %d", r.Needed))
	}
	if len(r.Missing) > 0 && r.Verdict != claims.NotRun && r.Verdict != claims.Measured {
		var names []string
		for _, name := range r.Missing {
			names = append(names, curveName(name))
		}
		parts = append(parts, "no runs of "+strings.Join(names, ", "))
	}
	text := string(r.Verdict)
	if parts != nil {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	if r.Verdict != claims.Measured {
		return text
	}
	var ratios []string
	for _, p := range r.Parts {
		if p.Estimate != nil {
			ratios = append(ratios, fmt.Sprintf("%s %.2f (%.2f)", curveName(p.Samples[0].Name), *p.Estimate, *p.Paper))
		}
	}
	return text + ", relative to DARTS (in the paper): " + strings.Join(ratios, ", ")
}
