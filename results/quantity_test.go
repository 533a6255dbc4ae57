package results

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestQuantitiesAreMembers looks every quantity up by its name in the JSON of a
// record that has everything, and in one that has nothing.
func TestQuantitiesAreMembers(t *testing.T) {
	full := record(0)
	full.Lookup.ValidBar = ptr(0.003)
	changed := 3
	full.Structure = &Structure{ParameterFree: 0.25, ParameterFreeUsed: 0.5, Width: 1.5, Depth: 3, Changed: &changed}
	full.Projection = &Projection{Relaxed: Score{2.2, 0.3}, Discrete: Score{2.3, 0.2}, Gap: 0.1, Images: 8}
	full.Queries = &Queries{Trainings: 3, Epochs: 116, Seconds: ptr(1800), Workers: 1, Budgets: []Budget{{4, 2}, {108, 1}}}
	full.Hessian.WithoutDecay, full.Hessian.Trace = 0.499, new(0.248)
	full.Hessian.Spread = NewSpread([]float64{0.25, 0.5, 1})
	full.Correlation = &EpochCorrelation{Cells: 20, Images: 8, Discrete: RankCorrelation{0.1, 0.2, 0.3, nil}, Normalized: RankCorrelation{0.4, 0.5, 0.6, nil}}
	bare := Epoch{Cell: full.Cell, Lookup: Lookup{Source: "surrogate"}}
	for _, e := range []Epoch{full, bare} {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		for _, q := range Quantities {
			var member any = object
			for name := range strings.SplitSeq(q.Name, ".") {
				inner, _ := member.(map[string]any)
				member = inner[name]
			}
			if q.Name == "seconds" && member != nil {
				member = e.Seconds["steps"] + e.Seconds["hessian"]
			}
			got := q.Of(e)
			switch want, ok := member.(float64); {
			case !ok && got != nil:
				t.Errorf("%s is %v, but the record has no such member", q.Name, *got)
			case ok && (got == nil || math.Abs(*got-want) > 1e-12):
				t.Errorf("%s is %v, but %v in the record", q.Name, got, want)
			case ok != (e.Training != nil):
				t.Errorf("%s: found %v in a record that has %s", q.Name, ok, text)
			}
		}
	}
}
