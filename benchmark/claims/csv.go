package claims

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// CSV writes a line for each part of each result, numbers unrounded; what is missing
// is empty. docs/claims.md describes the columns.
func (j *Judgement) CSV() []byte {
	var text bytes.Buffer
	w := printable.NewCSV(&text) // to memory: no error
	w.Write([]string{"images", "table", "preset", "scale", "epochs", "claim", "space", "verdict", "n", "p", "needed", "missing",
		"part", "part_verdict", "unit", "first", "first_n", "first_mean", "first_median", "second", "second_n", "second_mean", "second_median",
		"test", "part_n", "part_m", "effect", "part_p", "part_p_corrected", "part_p_opposite", "part_p_floor", "part_needed",
		"estimate", "ci_low", "ci_high", "ci_level", "paper", "note"})
	for _, s := range j.Settings {
		p := s.Provenance
		for _, r := range s.Results {
			for _, part := range r.Parts {
				record := []string{p.Images, p.Table, p.Preset, p.Scale, count(s.Epochs), r.Claim, string(r.Space), string(r.Verdict), count(r.N), number(r.P), count(r.Needed), strings.Join(r.Missing, "; "),
					part.Statement, string(part.Verdict), part.Unit}
				for i := range 2 { // votes have more, which are in JSON
					if i >= len(part.Samples) {
						record = append(record, "", "", "", "")
						continue
					}
					sample := part.Samples[i]
					record = append(record, sample.Name, count(sample.N), number(&sample.Mean), number(&sample.Median))
				}
				record = append(record, part.Test, count(part.N), count(part.M), number(part.Effect), number(part.P), number(part.Corrected), number(part.Opposite), number(part.Floor), count(part.Needed),
					number(part.Estimate))
				if i := part.Interval; i != nil {
					record = append(record, number(&i.Low), number(&i.High), number(&i.Level))
				} else {
					record = append(record, "", "", "")
				}
				w.Write(append(record, number(part.Paper), part.Note))
			}
		}
	}
	w.Flush()
	return text.Bytes()
}

// number is empty for what is missing.
func number(x *float64) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(*x, 'g', -1, 64)
}

// count is empty for 0, which stands for what is missing.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
