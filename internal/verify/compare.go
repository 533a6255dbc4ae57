package verify

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	goldens "github.com/nb1shot/nb1shot/internal/golden"
)

// findings holds what a computation found for each leaf of a case, possibly in
// several ways, all of which must meet the expectation.
type findings struct {
	numbers map[string][][]float64
	texts   map[string][][]string
	scales  map[string]float64 // least magnitude that a difference is related to
}

func newResults() *findings {
	return &findings{map[string][][]float64{}, map[string][][]string{}, map[string]float64{}}
}

func (r *findings) set(name string, values ...float64) {
	r.numbers[name] = append(r.numbers[name], slices.Clone(values))
}

// setSum records a sum of terms that may cancel: differences are related to
// scale where that is larger than the sum.
func (r *findings) setSum(name string, sum, scale float64) {
	r.set(name, sum)
	r.scales[name] = scale
}

func (r *findings) text(name string, values ...string) {
	r.texts[name] = append(r.texts[name], values)
}

func (r *findings) flag(name string, value bool) {
	if value {
		r.set(name, 1)
	} else {
		r.set(name, 0)
	}
}

func (r *findings) integers(name string, values []int) {
	f := make([]float64, len(values))
	for i, v := range values {
		f[i] = float64(v)
	}
	r.set(name, f...)
}

// descriptive are the leaves that every case may store about its own making,
// which say nothing that could be computed.
var descriptive = regexp.MustCompile(`^(name|description|seed|dtype|torch|files\..*|bn\[\d+\]\..*|bn\.eps)$`)

// tolerance is how far numbers may be off: the largest |got − want| over the
// largest |want| of the vector. Single precision is bounded by what PyTorch's
// float32 loses on the same cases.
type tolerance struct {
	leaves           *regexp.Regexp
	float64, float32 float64
}

// tolerances of numbers that pass through a supernet; the first match counts.
var tolerances = []tolerance{
	{regexp.MustCompile(`eigenvalue|hessian`), 1e-6, 2e-4},
	{regexp.MustCompile(`logits|loss|top1`), 1e-9, 4e-6},
	{regexp.MustCompile(`buffers`), 1e-9, 6e-7},
	{regexp.MustCompile(``), 1e-9, 7e-4}, // gradients, and what steps along them reach
}

// hostTolerance is for arithmetic that is always done in float64.
const hostTolerance = 1e-12

// singleTolerance is for what the released code rounded to single precision on its way.
const singleTolerance = 1e-6

// networkTolerance returns the tolerance of a leaf on an engine of the given precision.
func networkTolerance(precision string) func(name string) float64 {
	return func(name string) float64 {
		i := slices.IndexFunc(tolerances, func(t tolerance) bool { return t.leaves.MatchString(name) })
		if precision == "float32" {
			return tolerances[i].float32
		}
		return tolerances[i].float64
	}
}

// deviation is how far a leaf is from what was expected of it.
type deviation struct {
	leaf             string
	error, tolerance float64 // error is +Inf for what cannot be measured: texts, lengths, what is missing
	count            int     // of numbers or texts in the leaf
	note             string
}

func (d deviation) ok() bool { return d.error <= d.tolerance }

// compare holds every leaf that is neither an input nor background against the
// results, and returns the deviations by leaf.
func compare(g *golden, r *findings, background *regexp.Regexp, tolerance func(string) float64) []deviation {
	var all []deviation
	for _, name := range slices.Sorted(maps.Keys(g.leaves)) {
		if g.inputs[name] || descriptive.MatchString(name) || background != nil && background.MatchString(name) {
			continue
		}
		want := g.leaves[name]
		d := deviation{leaf: name, tolerance: tolerance(name), count: len(want.numbers) + len(want.texts)}
		if len(r.numbers[name])+len(r.texts[name]) == 0 {
			d.error, d.note = math.Inf(1), "not computed"
		}
		for _, got := range r.numbers[name] {
			if e := relativeError(got, want, r.scales[name]); !(e <= d.error) {
				d.error = e
			}
			if n := want.len(); len(got) != n {
				d.note = fmt.Sprintf("%d numbers, want %d", len(got), n)
			}
		}
		for _, got := range r.texts[name] {
			if !slices.Equal(got, want.texts) {
				d.error, d.note = math.Inf(1), fmt.Sprintf("%q, want %q", got, want.texts)
			}
		}
		all = append(all, d)
	}
	return all
}

// relativeError is the largest difference over the largest expected magnitude,
// or over scale where that is larger; over 1 where all is expected to be 0.
func relativeError(got []float64, want leaf, scale float64) float64 {
	if len(got) != want.len() || want.texts != nil {
		return math.Inf(1)
	}
	if want.folded {
		if got = goldens.Fold(got); len(got) != len(want.numbers) {
			return math.Inf(1)
		}
	}
	worst := 0.0
	for i, w := range want.numbers {
		scale = max(scale, math.Abs(w))
		worst = max(worst, math.Abs(got[i]-w)) // NaN stays NaN
	}
	if scale == 0 {
		scale = 1
	}
	if math.IsNaN(worst / scale) {
		return math.Inf(1)
	}
	return worst / scale
}

// worst returns the deviation that exhausts its tolerance most.
func worst(all []deviation) deviation {
	return slices.MaxFunc(all, func(a, b deviation) int {
		return cmp.Compare(a.error/a.tolerance, b.error/b.tolerance)
	})
}
