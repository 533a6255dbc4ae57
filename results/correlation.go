package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/spaces"
)

// The forms in which a supernet stands for a cell.
const (
	// FormDiscrete keeps what the cell keeps, by mixing weights of 0 and 1.
	FormDiscrete = "discrete"
	// FormNormalized divides the edges into a node by their number and takes the softmax
	// of the operations' 0 and 1, as the released analysis of NAS-Bench-1Shot1 does
	// (quirk Q27): the operation counts 0.576, the two others 0.212 each.
	FormNormalized = "normalized"
)

// The sets of cells that a correlation is taken over: architectures without loose ends.
const (
	CellsReleased  = "released"  // of the released generator, as the authors of the spaces did
	CellsReachable = "reachable" // all that a search can end in
)

// The images that cells are scored on, which are not augmented.
const (
	ScoredOnSearch = "search" // part of the training images
	ScoredOnTest   = "test"   // images, as the released analysis does
)

// RankCorrelation compares the errors of cells by a supernet's inherited weights with those
// of the table. Coefficients are in [−1,1], and 0 where either side does not vary.
type RankCorrelation struct {
	Kendall  float64   `json:"kendall"`  // τ-b
	Spearman float64   `json:"spearman"` // ρ
	Pearson  float64   `json:"pearson"`  // r
	Top      []Overlap `json:"top"`
}

// Overlap is the share of the K best cells by the supernet that are among the K best by the
// table, averaged over the ways to choose among equal ones. K over the number of cells is
// expected by chance.
type Overlap struct {
	K     int     `json:"k"`
	Share float64 `json:"share"` // in [0,1]
}

// LeastCells is the smallest number of cells that a correlation is taken over.
const LeastCells = 20

// overlaps are the K of Overlap, those of them that are at most half of the cells.
var overlaps = []int{10, 50, 100, 500, 1000}

// Correlate compares errors by the supernet with those of the table, at least LeastCells.
func Correlate(scores, table []float64) (r RankCorrelation, err error) {
	if len(scores) < LeastCells {
		return r, fmt.Errorf("%d cells, need at least %d", len(scores), LeastCells)
	}
	for _, of := range []struct {
		to *float64
		by func(x, y []float64) (float64, error)
	}{{&r.Kendall, stats.KendallTau}, {&r.Spearman, stats.Spearman}, {&r.Pearson, stats.Pearson}} {
		if *of.to, err = of.by(scores, table); err != nil {
			return r, err
		}
	}
	for _, k := range overlaps {
		if 2*k > len(scores) {
			break
		}
		share, err := stats.TopOverlap(scores, table, k)
		if err != nil {
			return r, err
		}
		r.Top = append(r.Top, Overlap{k, share})
	}
	return r, nil
}

// EpochCorrelation is the rank correlation after an epoch, over a sample of the reachable
// cells that is the same for every run on the space.
type EpochCorrelation struct {
	Cells      int             `json:"cells"`
	Images     int             `json:"images"` // of the search part, not augmented
	Discrete   RankCorrelation `json:"discrete"`
	Normalized RankCorrelation `json:"normalized"`
}

// KendallDiscrete is the rank correlation τ of discrete cells after the epoch of a record, a
// quantity for Curve.Trajectory.
func KendallDiscrete(e Epoch) *float64 {
	return part(e.Correlation, func(c *EpochCorrelation) float64 { return c.Discrete.Kendall })
}

// Scoring says what a correlation was taken over. It decides every number of it, with the
// run and the table.
type Scoring struct {
	Cells      string   `json:"cells"`       // CellsReleased or CellsReachable
	Sample     int      `json:"sample"`      // stratified, of these cells; 0 is all
	Seed       uint64   `json:"seed"`        // of the sample
	Forms      []string `json:"forms"`       // FormDiscrete, FormNormalized, or both in this order
	On         string   `json:"on"`          // ScoredOnSearch or ScoredOnTest
	Images     int      `json:"images"`      // the first of them
	Statistics string   `json:"statistics"`  // "running" or "batch", of batch normalisation
	Checkpoint string   `json:"checkpoint"`  // file of the run directory
	Epochs     int      `json:"epochs"`      // that the search had done there
	Steps      int      `json:"steps"`       // of the epoch after them
	Weights    string   `json:"weights"`     // SHA-256 of weights and running statistics, hex
	TestDigest string   `json:"test_digest"` // SHA-256 of the test images, "" unless scored on them
	Device     string   `json:"device"`      // that computed it
}

// ScoredCell is a cell with its errors.
type ScoredCell struct {
	Hash         string              `json:"hash"` // of the pruned cell
	Architecture spaces.Architecture `json:"architecture"`
	TestError    float64             `json:"test_error"` // by the table, in [0,1]
	// Scores are those of the forms, in their order; none while the cell is not scored.
	Scores []Score `json:"scores,omitempty"`
}

// Correlation is what `nb1shot correlate` found of a run, and the content of a correlation
// file, finished or not.
type Correlation struct {
	Format     int         `json:"format"` // Version, set by Marshal
	Run        string      `json:"run"`    // Run.Name
	Space      spaces.Name `json:"space"`
	Provenance Provenance  `json:"provenance"` // of the run
	Scoring    Scoring     `json:"scoring"`
	// By is the outcome by form; nil while cells are left to score.
	By    map[string]RankCorrelation `json:"by,omitempty"`
	Cells []ScoredCell               `json:"cells"` // in the order in which they are scored
}

// Done is the number of cells that are scored, the first ones.
func (c Correlation) Done() int {
	for i, s := range c.Cells {
		if s.Scores == nil {
			return i
		}
	}
	return len(c.Cells)
}

// Errors returns the errors of the scored cells by the supernet, in a form of the scoring,
// and by the table.
func (c Correlation) Errors(form string) (supernet, table []float64) {
	for i, f := range c.Scoring.Forms {
		if f != form {
			continue
		}
		for _, s := range c.Cells[:c.Done()] {
			supernet, table = append(supernet, 1-s.Scores[i].Accuracy), append(table, s.TestError)
		}
	}
	return supernet, table
}

// Finish sets By. All cells must be scored.
func (c *Correlation) Finish() error {
	by, err := c.outcome()
	if err == nil {
		c.By = by
	}
	return err
}

func (c Correlation) outcome() (map[string]RankCorrelation, error) {
	by := map[string]RankCorrelation{}
	for _, form := range c.Scoring.Forms {
		r, err := Correlate(c.Errors(form))
		if err != nil {
			return nil, fmt.Errorf("correlation of %s cells: %w", form, err)
		}
		by[form] = r
	}
	return by, nil
}

// Check verifies a correlation that came from elsewhere. The error is a *FormatError.
func (c Correlation) Check() error {
	if field, x := nonFinite(reflect.ValueOf(c), ""); field != "" {
		return invalid(field, "%v has no place in JSON: only finite numbers can be recorded", x)
	}
	if err := c.Space.Check(); err != nil {
		return invalid("space", "%w", err)
	}
	if c.Run == "" {
		return invalid("run", "is missing")
	}
	s := c.Scoring
	switch {
	case s.Cells != CellsReleased && s.Cells != CellsReachable:
		return invalid("scoring.cells", "is %q: want %q or %q", s.Cells, CellsReleased, CellsReachable)
	case s.On != ScoredOnSearch && s.On != ScoredOnTest:
		return invalid("scoring.on", "is %q: want %q or %q", s.On, ScoredOnSearch, ScoredOnTest)
	case s.Images < 1:
		return invalid("scoring.images", "%d images", s.Images)
	case len(c.Cells) < LeastCells || s.Sample != 0 && s.Sample != len(c.Cells):
		return invalid("cells", "%d cells of a sample of %d: want at least %d, and the sample", len(c.Cells), s.Sample, LeastCells)
	}
	forms := strings.Join(s.Forms, ",")
	if forms != FormDiscrete && forms != FormNormalized && forms != FormDiscrete+","+FormNormalized {
		return invalid("scoring.forms", "are %q: want %s, %s or both", forms, FormDiscrete, FormNormalized)
	}
	done := c.Done()
	for i, cell := range c.Cells {
		at := func(member string) string { return fmt.Sprintf("cells[%d].%s", i, member) }
		if !hash.MatchString(cell.Hash) {
			return invalid(at("hash"), "%q is not 32 lower-case hex digits", cell.Hash)
		}
		if err := cell.Architecture.Check(); err != nil || cell.Architecture.Space != c.Space {
			return invalid(at("architecture"), "is none of space %s: %v", c.Space, err)
		}
		if !(cell.TestError >= 0 && cell.TestError <= 1) {
			return invalid(at("test_error"), "%v is not in [0,1]", cell.TestError)
		}
		if n := len(cell.Scores); i < done && n != len(s.Forms) || i >= done && n != 0 {
			return invalid(at("scores"), "has %d scores for %d forms, behind %d scored cells", n, len(s.Forms), done)
		}
		for _, score := range cell.Scores {
			if !(score.Accuracy >= 0 && score.Accuracy <= 1) {
				return invalid(at("scores"), "%v is not in [0,1]", score.Accuracy)
			}
		}
	}
	if c.By == nil {
		return nil
	}
	if done < len(c.Cells) {
		return invalid("by", "stands there with %d of %d cells scored", done, len(c.Cells))
	}
	by, err := c.outcome()
	if err != nil {
		return invalid("by", "%w", err)
	}
	for form, want := range by {
		if got, ok := c.By[form]; !ok || len(c.By) != len(by) || !got.near(want) {
			return invalid("by."+form, "does not follow from the cells")
		}
	}
	return nil
}

// near allows for the rounding of another processor.
func (r RankCorrelation) near(other RankCorrelation) bool {
	same := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if len(r.Top) != len(other.Top) {
		return false
	}
	for i, o := range r.Top {
		if o.K != other.Top[i].K || !same(o.Share, other.Top[i].Share) {
			return false
		}
	}
	return same(r.Kendall, other.Kendall) && same(r.Spearman, other.Spearman) && same(r.Pearson, other.Pearson)
}

// Marshal returns the content of the correlation file: a line for each cell.
func (c Correlation) Marshal() ([]byte, error) {
	c.Format = Version
	cells := c.Cells
	c.Cells = nil
	head, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return nil, fmt.Errorf("correlation: %w", err)
	}
	const empty = "null\n}"
	out := bytes.NewBuffer(bytes.TrimSuffix(head, []byte(empty)))
	out.WriteString("[")
	for i, cell := range cells {
		line, err := json.Marshal(cell)
		if err != nil {
			return nil, fmt.Errorf("correlation: %w", err)
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n  ")
		out.Write(line)
	}
	out.WriteString("\n ]\n}\n")
	return out.Bytes(), nil
}

// CSV returns a row for each cell under the names of the columns.
func (c Correlation) CSV() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	row := []string{"run", "hash", "test_error"}
	for _, form := range c.Scoring.Forms {
		row = append(row, form+".error", form+".loss")
	}
	w.Write(row)
	for _, cell := range c.Cells {
		row = append(row[:0], c.Run, cell.Hash, number(cell.TestError))
		for i := range c.Scoring.Forms {
			if cell.Scores == nil {
				row = append(row, "", "")
				continue
			}
			row = append(row, strconv.FormatFloat(1-cell.Scores[i].Accuracy, 'g', -1, 64), number(cell.Scores[i].Loss))
		}
		w.Write(row)
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// maxCorrelation bounds a correlation file, in bytes: the 24,066 cells of space 3 take 6 MB.
const maxCorrelation = 64 << 20

// ReadCorrelation reads a correlation file, finished or not. A file that breaks the format
// gives a *FormatError.
func ReadCorrelation(path string) (Correlation, error) {
	var c Correlation
	data, err := foreign.ReadFile(path, maxCorrelation)
	if err != nil {
		return c, fmt.Errorf("read correlation: %w", err)
	}
	if err := decode(path, 1, data, &c); err != nil {
		return c, fmt.Errorf("read correlation: %w", err)
	}
	if c.Format != Version {
		err = invalid("format", "version %d, but this program reads version %d only", c.Format, Version)
	} else {
		err = c.Check()
	}
	if err != nil {
		return c, fmt.Errorf("read correlation: %w", locate(err, path, 0))
	}
	return c, nil
}
