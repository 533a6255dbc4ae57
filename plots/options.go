package plots

import (
	"slices"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Options say how figures over the epochs are drawn. The zero value draws every
// curve as its mean, across the page, with all notes.
type Options struct {
	Width Width // 0 is Page
	// Algorithms are those to draw, in the order of legends and panels; those that
	// no curve has are passed over. None means all, in the order of CompareCurves.
	Algorithms []string
	Median     bool // medians with quartiles, in place of means with deviations
	SeedLines  bool // a faint line for every seed
	NoCaption  bool // no notes below the panels, nor what they say of the origin of the numbers
	// SpectralNorm has HessianTrajectory draw the largest absolute eigenvalue in
	// place of the reported one.
	SpectralNorm bool
	Validation   bool // Anytime draws the validation error instead of the test error
	// Regret, by space, has AnytimeTestError and Anytime draw how far the test errors are above
	// these; every space that is drawn must have one.
	Regret map[spaces.Name]Anchor
	// Random is the expected test error of a uniformly random architecture, as a
	// fraction, by space. AnytimeTestError draws a line there.
	Random map[spaces.Name]float64
}

// Anchor is the test error that regret is counted from.
type Anchor struct {
	TestError       float64 // a fraction
	ValidationError float64 // likewise; 0 where unknown
	Source          string  // for people
}

func (o Options) width() Width {
	if o.Width == 0 {
		return Page
	}
	return o.Width
}

// choose returns the curves of the chosen algorithms.
func (o Options) choose(curves []results.Curve) []results.Curve {
	if o.Algorithms == nil {
		return curves
	}
	return slices.DeleteFunc(slices.Clone(curves), func(c results.Curve) bool { return !slices.Contains(o.Algorithms, c.Algorithm) })
}

// compare orders curves in legends and panels.
func (o Options) compare(a, b results.Curve) int {
	if i, j := slices.Index(o.Algorithms, a.Algorithm), slices.Index(o.Algorithms, b.Algorithm); i != j {
		return i - j
	}
	return CompareCurves(a, b)
}
