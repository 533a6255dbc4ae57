package stability

import (
	"context"
	"fmt"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Anchor is the test error that the regrets in a space are counted from.
type Anchor struct {
	TestError float64 `json:"test_error"` // a fraction of the images
	Source    string  `json:"source"`     // where it comes from, for people; empty for no anchor
}

func (a Anchor) known() bool { return a.Source != "" }

// Published is the anchor that the authors of the spaces use: the lowest test
// error of any single training run of a cell without loose ends (quirk Q29).
// Regrets of means over three training runs do not reach 0.
func Published(space int) (Anchor, error) {
	s, err := spaces.Get(space)
	if err != nil {
		return Anchor{}, err
	}
	return Anchor{s.Published().MinTestError, "published: lowest of any single training run"}, nil
}

// Lowest is the anchor of a table: the lowest mean test error of the cells that a
// search in the space can end in. It reads them all.
func Lowest(ctx context.Context, o nasbench.Oracle, space int) (Anchor, error) {
	top, err := nasbench.Top(ctx, o, space, nasbench.Epochs, 1)
	if err != nil {
		return Anchor{}, fmt.Errorf("lowest test error of space %d: %w", space, err)
	}
	if len(top) == 0 {
		return Anchor{}, fmt.Errorf("no cell of space %d: %w", space, nasbench.ErrUnknownBudget)
	}
	return Anchor{top[0].TestError, "lowest mean of the table's cells (" + o.Source().Kind + ")"}, nil
}

// Predicted is the anchor of the embedded surrogate, the lowest error that it predicts
// for a cell that a search in the space can end in, and false for no such space.
func Predicted(space int) (Anchor, bool) {
	if space < 1 || space >= len(lowestPredictions) {
		return Anchor{}, false
	}
	return Anchor{lowestPredictions[space], "lowest that the embedded surrogate predicts"}, true
}

// lowestPredictions take a while to find, see Lowest.
var lowestPredictions = [...]float64{1: 0.0607844, 2: 0.0630671, 3: 0.0606854}

// Anchors returns an anchor for every space of the runs: that of the first of the
// oracles that all runs of the space were looked up in, by its digest, that of the
// embedded surrogate where they were looked up there, or else the published one.
func Anchors(ctx context.Context, runs []*results.History, oracles ...nasbench.Oracle) (map[int]Anchor, error) {
	digests := map[int]map[string]bool{}
	for _, h := range runs {
		if digests[h.Run.Space] == nil {
			digests[h.Run.Space] = map[string]bool{}
		}
		digests[h.Run.Space][h.Run.Provenance.TableDigest] = true
	}
	anchors := map[int]Anchor{}
	for space, tables := range digests {
		var err error
		if anchors[space], err = Published(space); err != nil {
			return nil, err
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
	measuredExpectation  = [...]float64{1: 0.0968610, 2: 0.0945662, 3: 0.0993077}
	predictedExpectation = [...]float64{1: 0.0954742, 2: 0.0934001, 3: 0.0981616}
)

// Random returns the expected test error of a uniformly random architecture, by
// space, of those spaces of the runs whose table it is known for: NAS-Bench-101 and
// the embedded surrogate, and only where the runs agree on the table.
func Random(runs []*results.History) map[int]float64 {
	expected := map[int]float64{}
	for _, h := range runs {
		p, space := h.Run.Provenance, h.Run.Space
		if p.TableDigest != runs[0].Run.Provenance.TableDigest {
			return nil
		}
		_, standIn := p.StandIns()
		switch {
		case space < 1 || space >= len(measuredExpectation):
		case !standIn:
			expected[space] = measuredExpectation[space]
		case p.TableDigest == nasbench.Default().Source().Digest:
			expected[space] = predictedExpectation[space]
		}
	}
	return expected
}
