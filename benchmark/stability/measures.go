// Package stability says how stable searches are: measures of each recorded
// run, their statistics over the seeds, tests of one algorithm against another,
// and the gate, which tests new runs of an algorithm against a recorded
// baseline. It reads run directories only and trains nothing.
package stability

import (
	"slices"

	"github.com/nb1shot/nb1shot/results"
)

// Name names a measure of a run, in tables and in files.
type Name string

// The measures. All but the seconds and RetrainedError follow from the configuration and
// the seed.
const (
	// FinalError is the test error, a fraction, of the cell after the last epoch:
	// that of the final record.
	FinalError Name = "final_error"
	// RetrainedError is the test error of the network of the architecture that was found,
	// trained from scratch; missing where it was not, or not measured on the test images.
	RetrainedError Name = "retrained_error"
	// SelectedError is the test error of the cell that perturbation selects from the supernet
	// of the search (results.Selection); missing where that was not asked.
	SelectedError Name = "selected_error"
	// BestError is the lowest anytime test error of all records, the final one
	// included.
	BestError Name = "best_error"
	// Degradation is FinalError − BestError, at least 0: what the search has had
	// and lost again.
	Degradation Name = "degradation"
	// FinalRegret and BestRegret are the errors above an Anchor of the space. They
	// may be negative above a published one.
	FinalRegret Name = "final_regret"
	BestRegret  Name = "best_regret"
	// MeanError is the area under the curve of the anytime test error over its
	// length: the mean over the cells that the search has held. Where a record
	// holds the cell after its epoch, the final record repeats the last one and
	// does not count twice.
	MeanError Name = "mean_error"
	// BestEpoch is the epoch of the first record with BestError.
	BestEpoch Name = "best_epoch"
	// EigenvalueGrowth is the reported λ of the last record that has one over that
	// of the first, λ_end/λ_start. Missing without a Hessian, and where the first
	// is not positive.
	EigenvalueGrowth Name = "eigenvalue_growth"
	// Flips is the number of decisions (operations of blocks or edges, parents of nodes)
	// that changed from record to record, summed over the run.
	Flips Name = "flips"
	// ParameterFree is the share of operations without parameters in the final cell: of
	// max-poolings among the choice blocks, before pruning; in the DARTS spaces among the
	// 8 operations of the normal cell.
	ParameterFree Name = "parameter_free"
	// Width and Depth are those of the final cell after pruning, see cell.Shape, or of the
	// normal cell, see darts.Genotype.
	Width Name = "width"
	Depth Name = "depth"
	// ProjectionGap is the accuracy that the supernet loses by discretisation, a
	// fraction, after the last epoch that was trained.
	ProjectionGap Name = "projection_gap"
	// Perplexity is that of the supernet on the validation text after the last epoch, of a
	// search on text.
	Perplexity Name = "perplexity"
	// LanguageGap is how much the supernet's loss on text rises by discretisation, in nats for
	// each word, after the last epoch that was trained.
	LanguageGap Name = "projection_gap_nats"
	// Seconds is the wall time of all epochs, SecondsPerEpoch its mean.
	Seconds         Name = "seconds"
	SecondsPerEpoch Name = "seconds_per_epoch"
)

// Direction tells which change of a measure is for the worse.
type Direction int

// The directions. A measure that Describes is neither good nor bad by itself.
const (
	Describes Direction = iota
	HigherIsWorse
	LowerIsWorse
)

// Unit tells how the numbers of a measure are printed.
type Unit int

// The units. Errors and shares are stored as fractions and read as percentages.
const (
	Number Unit = iota
	Percent
	Time // seconds
)

// Definition describes a measure.
type Definition struct {
	Name  Name
	Title string // for the heading of a table
	Unit  Unit
	Worse Direction
}

// Definitions lists all measures in the order of tables. Treat it as read-only.
var Definitions = []Definition{
	{FinalError, "final test error", Percent, HigherIsWorse},
	{RetrainedError, "test error after training", Percent, HigherIsWorse},
	{SelectedError, "test error by perturbation", Percent, HigherIsWorse},
	{BestError, "best test error", Percent, HigherIsWorse},
	{Degradation, "degradation", Percent, HigherIsWorse},
	{FinalRegret, "final regret", Percent, HigherIsWorse},
	{BestRegret, "best regret", Percent, HigherIsWorse},
	{MeanError, "mean test error over the epochs", Percent, HigherIsWorse},
	{BestEpoch, "epoch of the best", Number, Describes},
	{EigenvalueGrowth, "growth of λ", Number, HigherIsWorse},
	{Flips, "changed decisions", Number, HigherIsWorse},
	{ParameterFree, "share of parameter-free operations", Percent, HigherIsWorse},
	{Width, "width", Number, Describes},
	{Depth, "depth", Number, Describes},
	{ProjectionGap, "projection gap", Percent, HigherIsWorse},
	{Perplexity, "validation perplexity of the supernet", Number, HigherIsWorse},
	{LanguageGap, "projection gap, nats", Number, HigherIsWorse},
	{SecondsPerEpoch, "seconds per epoch", Time, HigherIsWorse},
	{Seconds, "seconds", Time, HigherIsWorse},
}

// Lookup returns the definition of a measure, and false if there is none.
func Lookup(name Name) (Definition, bool) {
	i := slices.IndexFunc(Definitions, func(d Definition) bool { return d.Name == name })
	if i < 0 {
		return Definition{}, false
	}
	return Definitions[i], true
}

// Measures are the measures of one run. A measure that the run does not have is
// missing from the map, never 0.
type Measures map[Name]float64

// Complete tells whether a run has all its records: it is finished, and its last
// record is the final one.
func Complete(h *results.History) bool {
	n := len(h.Epochs)
	return h.Status.State == results.Finished && n > 0 && h.Epochs[n-1].Final
}

// Of measures a run. The regrets are counted from the anchor, and are missing
// where it is the zero Anchor. A run that is not Complete has no measures: what it
// has so far is not comparable with what others have at their end.
func Of(h *results.History, anchor Anchor) Measures {
	m := Measures{}
	if !Complete(h) {
		return m
	}
	last := h.Epochs[len(h.Epochs)-1]
	m.errors(h, anchor)
	if e := h.Evaluation; e != nil && e.Recipe.MeasuredOn == results.PartTest {
		m[RetrainedError] = e.TestError()
	}
	if s := h.Selection; s != nil && s.Selected.Lookup.TestError != nil {
		m[SelectedError] = *s.Selected.Lookup.TestError
	}
	if s := last.Structure; s != nil {
		m[Depth] = float64(s.Depth)
		if share := results.ParameterFree(last); share != nil { // a recurrent cell has neither
			m[ParameterFree], m[Width] = *share, s.Width
		}
	}
	m.flips(h.Epochs)
	m.curvature(h.Epochs)
	for _, e := range h.Epochs {
		if gap := results.ProjectionGap(e); gap != nil {
			m[ProjectionGap] = *gap
		}
		if gap := results.LanguageGap(e); gap != nil {
			m[LanguageGap] = *gap
		}
		if p := results.ValidPerplexity(e); p != nil {
			m[Perplexity] = *p
		}
	}
	m.time(h.Epochs)
	return m
}

// errors sets what follows from the anytime test errors. The final one needs
// only the final record, the others need all.
func (m Measures) errors(h *results.History, anchor Anchor) {
	last := len(h.Epochs) - 1
	var curve []float64
	for _, e := range h.Epochs {
		if x := results.TestError(e); x != nil {
			curve = append(curve, *x)
		}
	}
	if final := results.TestError(h.Epochs[last]); final != nil {
		m[FinalError] = *final
		if anchor.known() {
			m[FinalRegret] = *final - anchor.TestError
		}
	}
	if len(curve) != len(h.Epochs) {
		return // what is missing may have been the best
	}
	best := slices.Min(curve)
	m[BestError], m[BestEpoch] = best, float64(slices.Index(curve, best))
	m[Degradation] = curve[last] - best
	if anchor.known() {
		m[BestRegret] = best - anchor.TestError
	}
	if h.Run.Setting("evaluate") == "after" && last > 0 {
		curve = curve[:last]
	}
	sum := 0.0
	for _, x := range curve {
		sum += x
	}
	m[MeanError] = sum / float64(len(curve))
}

// flips counts the decisions that changed, where every record but the first
// tells.
func (m Measures) flips(epochs []results.Epoch) {
	sum := 0
	for _, e := range epochs[1:] {
		if e.Structure == nil || e.Structure.Changed == nil {
			return
		}
		sum += *e.Structure.Changed
	}
	m[Flips] = float64(sum)
}

// curvature sets the growth of λ.
func (m Measures) curvature(epochs []results.Epoch) {
	var all []float64
	for _, e := range epochs {
		if x := results.Eigenvalue(e); x != nil {
			all = append(all, *x)
		}
	}
	if len(all) > 1 && all[0] > 0 {
		m[EigenvalueGrowth] = all[len(all)-1] / all[0]
	}
}

// time sums the wall times, where every trained epoch has them.
func (m Measures) time(epochs []results.Epoch) {
	sum, trained := 0.0, 0
	for _, e := range epochs {
		if e.Final {
			continue
		}
		if len(e.Seconds) == 0 {
			return
		}
		trained++
		sum += e.Duration()
	}
	if trained > 0 {
		m[Seconds], m[SecondsPerEpoch] = sum, sum/float64(trained)
	}
}
