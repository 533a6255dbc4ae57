package stability

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/nb1shot/nb1shot/internal/printable"
)

type (
	junitSuites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Suites   []junitSuite
	}
	junitSuite struct {
		XMLName  xml.Name `xml:"testsuite"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Cases    []junitCase
	}
	junitCase struct {
		XMLName xml.Name      `xml:"testcase"`
		Suite   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
	}
)

// JUnit returns the report as JUnit XML: a test suite for each curve, with a test
// case for its seeds, one for its records and one for each measure. What could not
// be compared is skipped, unless nothing of the curve could.
func (r *Report) JUnit() ([]byte, error) {
	all := junitSuites{Name: "nb1shot gate"}
	for _, c := range r.Curves {
		all.add(c.Title(), c.junit())
	}
	for _, e := range r.NotRun {
		all.add(e, []junitCase{{Name: "runs", Skipped: &junitMessage{"no run of this entry of the baseline"}}})
	}
	text, err := xml.MarshalIndent(all, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write JUnit XML: %w", err)
	}
	return append([]byte(xml.Header), printable.Text(string(text)+"\n")...), nil
}

// Title names the curve.
func (c GatedCurve) Title() string {
	return fmt.Sprintf("space %s, %s, configuration %.8s", c.Space, c.Algorithm, c.ConfigHash)
}

func (s *junitSuites) add(name string, cases []junitCase) {
	suite := junitSuite{Name: name, Tests: len(cases), Cases: cases}
	for i := range cases {
		cases[i].Suite = name
		if cases[i].Failure != nil {
			suite.Failures++
		}
		if cases[i].Skipped != nil {
			suite.Skipped++
		}
	}
	s.Suites = append(s.Suites, suite)
	s.Tests += suite.Tests
	s.Failures += suite.Failures
	s.Skipped += suite.Skipped
}

func (c GatedCurve) junit() []junitCase {
	seeds := junitCase{Name: "seeds", Output: "complete: " + List(c.Seeds)}
	if c.Unknown != "" {
		seeds.Failure = &junitMessage{c.Unknown}
		return []junitCase{seeds}
	}
	if text := c.Lacking(); text != "" {
		seeds.Failure = &junitMessage{text}
	} else if c.Verdict == NotComparable {
		seeds.Failure = &junitMessage{"not comparable: " + c.Exact.Reason + ", and too few seeds for a test"}
	}
	records := junitCase{Name: "records"}
	switch {
	case len(c.Exact.Drifts) > 0:
		records.Failure = &junitMessage{c.Exact.drifted()}
	case len(c.Exact.Compared) == 0:
		records.Skipped = &junitMessage{"not compared: " + c.Exact.Reason}
	default:
		records.Output = "the same: seeds " + List(c.Exact.Compared)
	}
	cases := []junitCase{seeds, records}
	for _, t := range c.Tests {
		one := junitCase{Name: string(t.Measure)}
		switch t.Verdict {
		case Degraded, Lacks:
			one.Failure = &junitMessage{t.String()}
		case TooFew, Unknown:
			one.Skipped = &junitMessage{t.String()}
		default:
			one.Output = t.String()
		}
		cases = append(cases, one)
	}
	return cases
}

// Lacking tells in words which runs are missing or unfinished; it is empty where
// none is.
func (c GatedCurve) Lacking() string {
	return strings.Join(absences(c.Missing, c.Incomplete), "; ")
}

// String says what the records have come to.
func (e Exact) String() string {
	text := "not compared: " + e.Reason
	switch {
	case len(e.Drifts) > 0:
		text = e.drifted()
	case len(e.Compared) > 0:
		text = "the same, of seed " + List(e.Compared)
	}
	if len(e.Compared) > 0 && len(e.NotCompared) > 0 {
		var seeds []uint64
		for _, n := range e.NotCompared {
			seeds = append(seeds, n.Seed)
		}
		text += fmt.Sprintf("; not compared: seed %s, which %s", List(seeds), e.NotCompared[0].Reason)
	}
	return text
}

func (e Exact) drifted() string {
	var parts []string
	for _, d := range e.Drifts {
		parts = append(parts, d.String())
	}
	return strings.Join(parts, "; ")
}

// String says what the test has come to, with its numbers.
func (t GateTest) String() string {
	switch t.Verdict {
	case Lacks:
		if len(t.Lacking) == 0 {
			return "missing: the baseline has it, and no run here is complete"
		}
		return fmt.Sprintf("missing: the baseline has it, of these runs %d do not (seed %s)", len(t.Lacking), List(t.Lacking))
	case Unknown:
		return "not in the baseline"
	}
	text := fmt.Sprintf("%s: mean %.6g, baseline %.6g; median %.6g, baseline %.6g; n = %d against %d; p = %.3g (%s), corrected %.3g; A12 = %.2f; power %.2f",
		t.Verdict, t.Mean, t.BaselineMean, t.Median, t.BaselineMedian, t.N, t.M, t.P, t.Method, t.Corrected, t.A12, t.Power)
	if t.Verdict == TooFew {
		text += fmt.Sprintf("; so few runs reach no corrected p below %.3g alone", t.Floor)
	}
	return text
}
