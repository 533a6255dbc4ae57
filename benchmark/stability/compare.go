package stability

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/spaces"
)

// Compared lists the measures that algorithms are compared by.
var Compared = []Name{FinalError, BestError, Degradation, MeanError, EigenvalueGrowth}

// ComparedWithoutTable lists those where no table knows test errors.
var ComparedWithoutTable = []Name{ParameterFree, EigenvalueGrowth, ProjectionGap}

// ComparedOnText lists those of searches on a text.
var ComparedOnText = []Name{Perplexity, EigenvalueGrowth, LanguageGap}

// minPairs is the number of pairs from which a two-sided signed-rank test can be
// significant at 5 %: 2·2⁻⁶ = 0.03.
const minPairs = 6

// Comparison is a two-sided test of one measure of an algorithm against that of a
// reference in the same space.
type Comparison struct {
	Space     spaces.Name `json:"space"`
	Measure   Name        `json:"measure"`
	Algorithm string      `json:"algorithm"` // name of the curve
	Against   string      `json:"against"`   // name of the reference

	*Tested        // nil where there is nothing to test
	Note    string `json:"note,omitempty"` // what a reader must know before believing it
}

// Tested is the outcome of a Comparison.
type Tested struct {
	Test      string       `json:"test"`   // SignedRank or RankSum
	Method    stats.Method `json:"method"` // of its p-value
	N         int          `json:"n"`      // values of the algorithm
	M         int          `json:"m"`      // values of the reference; equal to N and of the same seeds for SignedRank
	Mean      float64      `json:"mean"`
	Reference float64      `json:"reference"` // mean of the reference over the tested seeds
	P         float64      `json:"p"`
	Corrected float64      `json:"p_corrected"` // by Holm, over the comparisons of the measure in the space
	Effect    float64      `json:"effect"`      // rank-biserial correlation or Cliff's δ, in [−1,1]; positive where the algorithm's values are higher
	A12       float64      `json:"a12"`         // probability that a value of the algorithm is higher, ties half
}

// The tests.
const (
	SignedRank = "Wilcoxon"     // of pairs by seed
	RankSum    = "Mann–Whitney" // of independent samples
)

// Compare tests every curve against that of the algorithm against, or against each
// of its curves where it has several, space by space and measure by measure.
// Curves that have the same seeds, or six in common, are tested by the signed
// ranks of the seeds they share, others by the rank sums of all. alpha is the
// level that Notes speak of. It is an error if no curve is of the algorithm.
func (t *Table) Compare(against string, measures []Name, alpha float64) ([]Comparison, error) {
	if !(alpha > 0 && alpha < 1) {
		return nil, fmt.Errorf("the level of significance is %v, need a number between 0 and 1", alpha)
	}
	var all []Comparison
	found := false
	for _, reference := range t.Curves {
		if reference.Algorithm != against {
			continue
		}
		found = true
		for _, measure := range measures {
			var family []Comparison
			for _, c := range t.Curves {
				if c.Space != reference.Space || c.ConfigHash == reference.ConfigHash {
					continue
				}
				comparison, err := compare(c, reference, measure)
				if err != nil {
					return nil, err
				}
				family = append(family, comparison)
			}
			if err := correct(family, alpha); err != nil {
				return nil, err
			}
			all = append(all, family...)
		}
	}
	if !found {
		return nil, fmt.Errorf("no run of %q to compare with", against)
	}
	return all, nil
}

// compare tests one measure of c against that of the reference.
func compare(c, reference Curve, measure Name) (Comparison, error) {
	r := Comparison{Space: c.Space, Measure: measure, Algorithm: c.Name(), Against: reference.Name()}
	if measure == EigenvalueGrowth && c.Eigenvalue != "" && reference.Eigenvalue != "" && c.Eigenvalue != reference.Eigenvalue {
		r.Note = "not compared: λ is defined differently"
		return r, nil
	}
	x, y, pairs, same := c.paired(reference, measure)
	all, others := c.values(measure), reference.values(measure)
	if len(all) == 0 || len(others) == 0 {
		r.Note = "not compared: no values"
		return r, nil
	}
	r.Tested = &Tested{}
	var test stats.Test
	var err, err2 error
	if same || pairs >= minPairs {
		r.Test = SignedRank
		test, err = stats.Wilcoxon(x, y, stats.TwoSided)
		r.Effect, err2 = stats.RankBiserial(x, y)
		if !same {
			r.Note = fmt.Sprintf("%d and %d seeds without a partner are left out", len(all)-pairs, len(others)-pairs)
		}
		if test.Zeros > 0 {
			r.Note = joined(r.Note, fmt.Sprintf("%d equal pairs do not count", test.Zeros))
		}
	} else {
		x, y = all, others
		r.Test = RankSum
		test, err = stats.MannWhitney(x, y, stats.TwoSided)
		r.Effect, err2 = stats.CliffDelta(x, y)
	}
	a12, err3 := stats.A12(x, y)
	r.Method, r.P, r.A12 = test.Method, test.P, a12
	r.N, r.M, r.Mean, r.Reference = len(x), len(y), stats.Mean(x), stats.Mean(y)
	return r, errors.Join(err, err2, err3)
}

// paired returns the values of the seeds that have the measure in both curves, by
// ascending seed, and whether these are all.
func (c Curve) paired(reference Curve, measure Name) (x, y []float64, pairs int, same bool) {
	for _, seed := range c.Seeds {
		a, inC := c.measures[seed][measure]
		b, inReference := reference.measures[seed][measure]
		if inC && inReference {
			x, y = append(x, a), append(y, b)
		}
	}
	n := len(x)
	return x, y, n, n > 0 && n == len(c.values(measure)) && n == len(reference.values(measure))
}

func (c Curve) values(measure Name) []float64 {
	s, _ := c.Statistic(measure)
	return s.Values
}

// correct sets Corrected in a family of comparisons, and notes which of them
// cannot become significant however they turn out.
func correct(family []Comparison, alpha float64) error {
	var p []float64
	var tested []int
	for i, c := range family {
		if c.Tested != nil {
			p, tested = append(p, c.P), append(tested, i)
		}
	}
	corrected, err := stats.Holm(p)
	if err != nil {
		return err
	}
	for k, i := range tested {
		c := &family[i]
		c.Corrected = corrected[k]
		least := stats.MannWhitneyFloor(c.N, c.M, stats.TwoSided)
		if c.Test == SignedRank {
			least = stats.WilcoxonFloor(c.N, stats.TwoSided) // the seeds decide, not how many pairs turned out equal
		}
		// Where all do their best, Holm multiplies the last of them by 1.
		if least > alpha {
			c.Note = joined(c.Note, fmt.Sprintf("too few seeds: p cannot be below %.3g", least))
		} else if k := float64(len(tested)); least*k > alpha {
			c.Note = joined(c.Note, fmt.Sprintf("too few seeds to be significant alone: p corrected for %d comparisons cannot be below %.3g", len(tested), least*k))
		}
	}
	return nil
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// Lacking tells in words which seeds are missing, unfinished or without a measure,
// a line for each curve that has any.
func (t *Table) Lacking() []string {
	var lines []string
	for _, c := range t.Curves {
		parts := absences(c.Missing, c.Incomplete)
		for _, s := range c.Statistics {
			if len(s.Lacking) > 0 {
				parts = append(parts, fmt.Sprintf("no %s of seed %s", s.Measure, List(s.Lacking)))
			}
		}
		if parts != nil {
			lines = append(lines, fmt.Sprintf("space %s, %s: %s", c.Space, c.Name(), strings.Join(parts, "; ")))
		}
	}
	return lines
}

// absences says in words which seeds have no complete run.
func absences(missing []uint64, incomplete []Incomplete) (parts []string) {
	if len(missing) > 0 {
		parts = append(parts, "no run of seed "+List(missing))
	}
	for _, i := range incomplete {
		parts = append(parts, i.String())
	}
	return parts
}

// List writes ascending seeds in the shortest way: "0-4, 7".
func List(seeds []uint64) string {
	text := ""
	for i := 0; i < len(seeds); {
		end := i
		for end+1 < len(seeds) && seeds[end+1] == seeds[end]+1 {
			end++
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprint(seeds[i])
		if end > i {
			text += fmt.Sprintf("-%d", seeds[end])
		}
		i = end + 1
	}
	return text
}
