package stability

import (
	"context"
	"fmt"
	"math"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// Anchor is the test error that the regrets in a space are counted from.
type Anchor struct {
	TestError       float64 `json:"test_error"`                 // a fraction of the images
	ValidationError float64 `json:"validation_error,omitempty"` // likewise, on the validation images; 0 where unknown
	Source          string  `json:"source"`                     // where it comes from, for people; empty for no anchor
}

func (a Anchor) known() bool { return a.Source != "" }

// Published is the anchor that the authors of the spaces use: the lowest test
// error of any single training run of a cell without loose ends (quirk Q29).
// Regrets of means over three training runs do not reach 0.
func Published(space spaces.Name) (Anchor, error) {
	s, err := nb1shot1.Get(space)
	if err != nil {
		return Anchor{}, err
	}
	return Anchor{s.Published().MinTestError, s.Published().MinValidationError, "published: lowest of any single training run"}, nil
}

// Lowest is the anchor of a table: the lowest mean test error of the cells that a
// search in the space can end in. It reads them all.
func Lowest(ctx context.Context, o nasbench.Oracle, space spaces.Name) (Anchor, error) {
	lowest := Anchor{TestError: math.Inf(1), ValidationError: math.Inf(1), Source: "lowest mean of the table's cells (" + o.Source().Kind + ")"}
	err := nasbench.EachCell(ctx, o, space, nasbench.Epochs, func(e nasbench.Entry) error {
		lowest.TestError = min(lowest.TestError, e.TestError)
		if e.ValidationError == nil { // of every cell or of none: others might be lower
			lowest.ValidationError = math.Inf(-1)
		} else {
			lowest.ValidationError = min(lowest.ValidationError, *e.ValidationError)
		}
		return nil
	})
	if err == nil && math.IsInf(lowest.TestError, 1) {
		err = fmt.Errorf("no cell: %w", nasbench.ErrUnknownBudget)
	}
	if err != nil {
		return Anchor{}, fmt.Errorf("lowest test error of space %s: %w", space, err)
	}
	if math.IsInf(lowest.ValidationError, 0) {
		lowest.ValidationError = 0
	}
	return lowest, nil
}

// Predicted is the anchor of the embedded surrogate, the lowest error that it predicts
// for a cell that a search in the space can end in, and false for no such space.
func Predicted(space spaces.Name) (Anchor, bool) {
	lowest, ok := lowestPredictions[space]
	if !ok {
		return Anchor{}, false
	}
	return Anchor{lowest.TestError, lowest.ValidationError, "lowest that the embedded surrogate predicts"}, true
}

// lowestPredictions take a while to find, see Lowest.
var lowestPredictions = map[spaces.Name]Anchor{
	"1": {TestError: 0.0607844, ValidationError: 0.0520187},
	"2": {TestError: 0.0630671, ValidationError: 0.0537611},
	"3": {TestError: 0.0606854, ValidationError: 0.0524652},
}

// Anchors returns an anchor for every space of the runs: that of the first of the
// oracles that all runs of the space were looked up in, by its digest, that of the
// embedded surrogate where they were looked up there, or else the published one.
func Anchors(ctx context.Context, runs []*results.History, oracles ...nasbench.Oracle) (map[spaces.Name]Anchor, error) {
	digests := map[spaces.Name]map[string]bool{}
	for _, h := range runs {
		if digests[h.Run.Space] == nil {
			digests[h.Run.Space] = map[string]bool{}
		}
		digests[h.Run.Space][h.Run.Provenance.TableDigest] = true
	}
	anchors := map[spaces.Name]Anchor{}
	for space, tables := range digests {
		var err error
		if anchors[space], err = Published(space); err != nil {
			delete(anchors, space) // of no cells of NAS-Bench-101
			continue
		}
		if anchor, ok := Predicted(space); ok && len(tables) == 1 && tables[nasbench.Default().Source().Digest] {
			anchors[space] = anchor
			continue
		}
		for _, o := range oracles {
			if len(tables) != 1 || !tables[o.Source().Digest] {
				continue
			}
			if anchors[space], err = Lowest(ctx, o, space); err != nil {
				return nil, err
			}
			break
		}
	}
	return anchors, nil
}

// The mean test errors of a uniformly random architecture of each space, see
// nasbench.Expectation: as NAS-Bench-101 measured them, whose means over three
// trainings every table of it has, and as the embedded surrogate predicts them.
var (
	measuredExpectation  = map[spaces.Name]float64{"1": 0.0968610, "2": 0.0945662, "3": 0.0993077}
	predictedExpectation = map[spaces.Name]float64{"1": 0.0954742, "2": 0.0934001, "3": 0.0981616}
)

// Random returns the expected test error of a uniformly random architecture, by
// space, of those spaces of the runs whose table it is known for: NAS-Bench-101 and
// the embedded surrogate, and only where the runs agree on the table.
func Random(runs []*results.History) map[spaces.Name]float64 {
	expected := map[spaces.Name]float64{}
	for _, h := range runs {
		p, space := h.Run.Provenance, h.Run.Space
		if p.TableDigest != runs[0].Run.Provenance.TableDigest {
			return nil
		}
		known := measuredExpectation
		if _, standIn := p.StandIns(); standIn {
			if p.TableDigest != nasbench.Default().Source().Digest {
				continue
			}
			known = predictedExpectation
		}
		if x, ok := known[space]; ok {
			expected[space] = x
		}
	}
	return expected
}
