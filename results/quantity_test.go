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
	words := full
	words.Training, words.Search, words.Projection = nil, nil, nil
	words.Language = &Language{
		Training: NewPredicted(5, 0), LearningRate: 20, Epsilon: 0.03, Validation: NewPredicted(4, 4.1),
		Projection: &LanguageProjection{Relaxed: *NewPredicted(3, 0), Discrete: *NewPredicted(3.5, 0), Gap: 0.5, Words: 8},
	}
	for _, e := range []Epoch{full, bare, words} {
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
			case strings.HasPrefix(q.Name, "language.") && ok != (e.Language != nil):
				t.Errorf("%s: found %v in a record that has %s", q.Name, ok, text)
			case strings.HasPrefix(q.Name, "language."), e.Language != nil: // which has no accuracies
			case ok != (e.Training != nil):
				t.Errorf("%s: found %v in a record that has %s", q.Name, ok, text)
			}
		}
	}
}

// Perplexities are those of their losses, a loss without a finite one has none, and a text stands
// beside no accuracies.
func TestLanguageCheck(t *testing.T) {
	for _, loss := range []float64{math.NaN(), math.Inf(1), 800} {
		if p := NewPredicted(loss, 0); p != nil {
			t.Errorf("loss %v has the perplexity %v", loss, p.Perplexity)
		}
	}
	good := record(0)
	good.Training, good.Search, good.Projection = nil, nil, nil
	good.Language = &Language{Training: NewPredicted(2, 0), Validation: NewPredicted(3, 3.1)}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(e *Epoch){
		"language: stands beside accuracies":                   func(e *Epoch) { e.Training = &Training{} },
		"language: the final record evaluates only":            func(e *Epoch) { e.Final = true },
		"language.validation.perplexity: 7 is not that":        func(e *Epoch) { e.Language = &Language{Validation: &Predicted{Loss: 3, Perplexity: 7}} },
		"language.projection.words: 0 words":                   func(e *Epoch) { e.Language = &Language{Projection: &LanguageProjection{}} },
		"language.validation.exact: +Inf has no place in JSON": func(e *Epoch) { e.Language = &Language{Validation: &Predicted{Loss: 3, Exact: math.Inf(1)}} },
	} {
		e := good
		change(&e)
		if err := e.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
