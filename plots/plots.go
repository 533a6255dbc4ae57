// Package plots draws the figures of the benchmark from run directories: the
// anytime test error and the trajectory of the dominant eigenvalue of the
// architecture Hessian, one panel per search space. It also draws the cells that
// a run finds, and how the test errors of a space are distributed. Equal curves,
// cells and errors give equal bytes in every format.
package plots

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// AnytimeTestError draws the test error of each epoch's discrete cell, in percent,
// or its regret in percentage points: means over the seeds with a band of one
// standard deviation where there are at least two. The x axis is the epochs of
// training behind the cell: the number of its record, and one more for runs that
// evaluate after each epoch (quirk Q11). The final evaluation, which the released
// code never makes, is marked. Runs of different provenance give a
// *results.MixedError.
func AnytimeTestError(curves []results.Curve, o Options) (*Figure, error) {
	q := quantity{
		of:        results.TestError,
		name:      "test error",
		label:     "Test error (%)",
		scale:     func(_ spaces.Name, x float64) float64 { return 100 * max(x, 0) },
		axis:      linearAxis,
		statistic: results.Arithmetic,
		reference: map[spaces.Name]float64{},
	}
	if table := provenanceOf(curves).Table; tableNames[table] == "" && table != "" {
		q.label = strings.ToUpper(table[:1]) + table[1:] + " test error (%)"
	}
	var expected, anchors []string
	for _, space := range spacesOf(curves) {
		if o.Regret != nil {
			anchor, ok := o.Regret[space]
			if !ok {
				return nil, fmt.Errorf("no test error to count the regrets in space %s from", space)
			}
			anchors = append(anchors, fmt.Sprintf("%.2f %% in space %s (%s)", 100*anchor.TestError, space, anchor.Source))
		}
		if x, ok := o.Random[space]; ok {
			q.reference[space] = 100 * (x - o.Regret[space].TestError)
			expected = append(expected, fmt.Sprintf("%.2f %% in space %s", 100*x, space))
		}
	}
	if o.Regret != nil {
		q.name = "regret"
		q.label = strings.Replace(strings.Replace(q.label, "(%)", "regret (points)", 1), "Test error regret", "Test regret", 1)
		q.label = strings.Replace(q.label, "test error regret", "test regret", 1)
		q.scale = func(space spaces.Name, x float64) float64 { return 100 * (x - o.Regret[space].TestError) }
		q.notes = append(q.notes, "Regret: test error above "+strings.Join(anchors, ", ")+".")
	}
	if expected != nil {
		q.notes = append(q.notes, "Expected test error of a uniformly random architecture: "+strings.Join(expected, ", ")+".")
	}
	return draw(curves, q, o)
}

// HessianTrajectory draws the reported dominant eigenvalue λ of the architecture
// Hessian, or its spectral norm, on a logarithmic axis: geometric means over the
// seeds with a band of one geometric standard deviation. The x axis is the epochs of
// training behind the architecture parameters: λ of a record is measured at the end
// of its epoch, so it stands at one more than the record's number, where
// AnytimeTestError shows the test error of the same architecture (quirk Q11). The
// architecture weight decay on the diagonal adds 0.001 to every eigenvalue (quirk
// Q9), so that λ is positive; values that are not are left out, and a note counts
// them. Runs of different provenance give a *results.MixedError.
func HessianTrajectory(curves []results.Curve, o Options) (*Figure, error) {
	q := quantity{
		of:        results.Eigenvalue,
		name:      "λ",
		label:     "Dominant Hessian eigenvalue λ",
		scale:     func(_ spaces.Name, x float64) float64 { return x },
		axis:      logAxis,
		statistic: results.Geometric,
		atTheEnd:  true,
	}
	if o.SpectralNorm {
		q.of, q.name, q.label = results.SpectralNorm, "spectral norm", "Spectral norm of the Hessian"
		q.notes = append(q.notes, "Spectral norm: largest absolute eigenvalue of the architecture Hessian.")
	} else if d := definitions(curves); d != "" {
		q.notes = append(q.notes, "λ: "+d+".")
	}
	dropped := 0
	for _, c := range o.choose(curves) {
		for _, h := range c.Runs {
			for _, e := range h.Epochs {
				if x := q.of(e); x != nil && *x <= 0 {
					dropped++
				}
			}
		}
	}
	if dropped > 0 {
		q.notes = append(q.notes, fmt.Sprintf("Left out, as they have no logarithm: %d values that are not positive.", dropped))
		of := q.of
		q.of = func(e results.Epoch) *float64 {
			if x := of(e); x != nil && *x > 0 {
				return x
			}
			return nil
		}
	}
	return draw(curves, q, o)
}

// SearchAccuracy draws the accuracy of the supernet on the search part of the images, in
// percent, after each epoch, as HessianTrajectory draws λ.
func SearchAccuracy(curves []results.Curve, o Options) (*Figure, error) {
	q := ofSupernet(results.SearchAccuracy, "accuracy of the supernet", "Search accuracy (%)")
	q.axis = percentAxis
	return draw(curves, q, o)
}

// ProjectionGap draws what the supernet loses in accuracy, in percentage points, when its
// relaxed architecture is replaced by the discrete cell, likewise.
func ProjectionGap(curves []results.Curve, o Options) (*Figure, error) {
	return draw(curves, ofSupernet(results.ProjectionGap, "projection gap", "Projection gap (points)"), o)
}

// Perplexity draws the perplexity of the supernet on the validation text after each epoch,
// likewise.
func Perplexity(curves []results.Curve, o Options) (*Figure, error) {
	q := ofSupernet(results.ValidPerplexity, "perplexity of the supernet", "Validation perplexity")
	q.scale = func(_ spaces.Name, x float64) float64 { return x }
	return draw(curves, q, o)
}

// LanguageGap draws how much the loss of the supernet on text rises, in nats for each word, when
// its relaxed architecture is replaced by the discrete cell, likewise.
func LanguageGap(curves []results.Curve, o Options) (*Figure, error) {
	q := ofSupernet(results.LanguageGap, "projection gap", "Projection gap (nats)")
	q.scale = func(_ spaces.Name, x float64) float64 { return x }
	return draw(curves, q, o)
}

// ParameterFree draws the share of operations without parameters of each epoch's discrete
// architecture, in percent, as AnytimeTestError draws its test error.
func ParameterFree(curves []results.Curve, o Options) (*Figure, error) {
	q := ofSupernet(results.ParameterFree, "share of parameter-free operations", "Parameter-free (%)")
	q.atTheEnd, q.axis = false, percentAxis
	return draw(curves, q, o)
}

// ofSupernet is a share at the end of each epoch, in percent.
func ofSupernet(of func(results.Epoch) *float64, name, label string) quantity {
	return quantity{
		of: of, name: name, label: label, axis: linearAxis, statistic: results.Arithmetic, atTheEnd: true,
		scale: func(_ spaces.Name, x float64) float64 { return 100 * x },
	}
}

// quantity is what a figure shows of a record, and how.
type quantity struct {
	of        func(results.Epoch) *float64
	name      string
	label     string                                       // of the y axis
	scale     func(space spaces.Name, x float64) float64   // to the unit of the y axis
	axis      func(low, high float64, ticks int) valueAxis // that holds the scaled values
	statistic results.Statistic
	atTheEnd  bool                    // of a record's epoch, not before it, unless the run says so
	reference map[spaces.Name]float64 // a line to draw, by space, in the unit of the y axis
	notes     []string
}

// series is one curve of one panel.
type series struct {
	curve  results.Curve
	name   string
	style  lineStyle
	points []results.Point   // in the unit of the y axis, at epochs of training
	seeds  [][]results.Point // likewise, of each run, where they are to be drawn
}

// trained is how many epochs of training are behind the quantity in the records of
// a curve, more than their number says; the final record has it right.
func (q quantity) trained(c results.Curve) int {
	if q.atTheEnd || c.Runs[0].Run.Setting("evaluate") == "after" {
		return 1
	}
	return 0
}

// trajectory is a curve's in the units of the figure.
func (q quantity) trajectory(c results.Curve) []results.Point {
	points := c.Trajectory(q.of, q.statistic)
	for i, p := range points {
		if !p.Final {
			points[i].Epoch += q.trained(c)
		}
		points[i].Low, points[i].Middle, points[i].High = q.scale(c.Space, p.Low), q.scale(c.Space, p.Middle), q.scale(c.Space, p.High)
	}
	return points
}

// draw lays out the figure of a quantity.
func draw(curves []results.Curve, q quantity, o Options) (*Figure, error) {
	if curves = o.choose(curves); len(curves) == 0 {
		return nil, errors.New("no runs to draw")
	}
	if err := results.CheckSetting(curves); err != nil {
		return nil, err
	}
	styles, err := assignStyles(curves)
	if err != nil {
		return nil, err
	}
	if o.Median {
		q.statistic = results.Quartiles
	}
	curves = slices.SortedStableFunc(slices.Values(curves), o.compare)
	s := sheet{quantity: q, panels: map[spaces.Name][]series{}, low: math.Inf(1), high: math.Inf(-1), end: 1}
	var lacking []string
	for _, c := range curves {
		one := series{curve: c, name: CurveName(c), points: q.trajectory(c)}
		one.style = styles[one.name]
		if len(one.points) == 0 {
			if !slices.Contains(lacking, one.name) {
				lacking = append(lacking, one.name)
			}
			continue
		}
		if o.SeedLines && len(c.Runs) > 1 {
			for _, h := range c.Runs {
				alone := c
				alone.Runs = []*results.History{h}
				one.seeds = append(one.seeds, q.trajectory(alone))
			}
		}
		s.add(one)
	}
	if len(s.panels) == 0 {
		return nil, fmt.Errorf("no %s in any of the runs", q.name)
	}
	if !(s.high < 1e300) {
		return nil, fmt.Errorf("%s reaches %g, too large to draw", q.name, s.high)
	}
	var notes []string
	if !o.NoCaption {
		lines := []string{s.statisticNote()}
		if o.SeedLines {
			lines = append(lines, "Faint lines: single seeds.")
		}
		lines = append(lines, q.notes...)
		if slices.ContainsFunc(curves, func(c results.Curve) bool {
			return slices.ContainsFunc(c.Runs, func(h *results.History) bool { return h.BySelected })
		}) {
			lines = append(lines, "After the last epoch: what perturbation selects from the supernet.")
		}
		if lacking != nil {
			slices.Sort(lacking)
			lines = append(lines, fmt.Sprintf("No %s recorded: %s.", q.name, strings.Join(lacking, "; ")))
		}
		notes = append(notes, strings.Join(lines, " "), ProvenanceNote(curves))
		if note := incompleteNote(curves); note != "" {
			notes = append(notes, note)
		}
	}
	return s.layOut(o.width(), notes), nil
}

// statisticNote says what lines and bands are, and of how many seeds.
func (s sheet) statisticNote() string {
	type seedRange struct{ least, most int }
	counts := map[string]seedRange{}
	all := seedRange{math.MaxInt, 0}
	for _, some := range s.panels {
		for _, one := range some {
			n, ok := counts[one.name]
			if !ok {
				n = seedRange{math.MaxInt, 0}
			}
			for _, p := range one.points {
				n = seedRange{min(n.least, p.Seeds), max(n.most, p.Seeds)}
			}
			counts[one.name] = n
			all = seedRange{min(all.least, n.least), max(all.most, n.most)}
		}
	}
	text := func(n seedRange) string {
		if n.least == n.most {
			return strconv.Itoa(n.least)
		}
		return fmt.Sprintf("%d–%d", n.least, n.most)
	}
	seeds := "Seeds: " + text(all) + "."
	if all.least != all.most {
		var each []string
		for _, name := range s.names {
			each = append(each, name+" "+text(counts[name]))
		}
		seeds = "Seeds: " + strings.Join(each, ", ") + "."
	}
	if all.most == 1 {
		return "One seed."
	}
	return map[results.Statistic]string{
		results.Arithmetic: "Means over the seeds, with bands of ± one standard deviation. ",
		results.Geometric:  "Geometric means over the seeds, with bands divided and multiplied by the geometric standard deviation. ",
		results.Quartiles:  "Medians over the seeds, with bands between the quartiles. ",
	}[s.statistic] + seeds
}

// spacesOf lists the spaces of curves, ascending.
func spacesOf(curves []results.Curve) []spaces.Name {
	var all []spaces.Name
	for _, c := range curves {
		all = append(all, c.Space)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// provenanceOf is that of the first of some curves.
func provenanceOf(curves []results.Curve) results.Provenance {
	if len(curves) == 0 {
		return results.Provenance{}
	}
	return curves[0].Provenance
}

// CurveName is what a curve is called in the legend.
func CurveName(c results.Curve) string {
	name := entry(c.Algorithm).Title
	if c.Variant != "" {
		name += ", " + c.Variant
	}
	return name
}

// The kinds that are what they are named after; every other one is a stand-in.
var (
	imageNames = map[string]string{results.CIFAR10: "CIFAR-10", results.CIFAR100: "CIFAR-100", results.SVHN: "SVHN", results.ImageNet: "ImageNet", results.PennTreebank: "Penn Treebank"}
	tableNames = map[string]string{results.NASBench101: "NAS-Bench-101", results.NASBench101Means: "NAS-Bench-101 means", results.NASBench101NNI: "NAS-Bench-101 as NNI converted it"}
)

// ImagesName is what a kind of images is called: "CIFAR-10"; of a stand-in its kind.
func ImagesName(kind string) string { return cmp.Or(imageNames[kind], kind) }

// ProvenanceNote says what the runs of the curves, at least one, were measured on,
// and that a stand-in is one.
func ProvenanceNote(curves []results.Curve) string {
	origin := func(kind, detail string, real map[string]string, standsInFor string) string {
		name := real[kind]
		if detail != "" {
			detail = " (" + detail + ")"
		}
		if name == "" {
			return kind + detail + ", not " + standsInFor
		}
		return name + detail
	}
	p := results.Trained(curves).Provenance
	engines := map[string]bool{}
	for _, c := range curves {
		if c.Provenance.Images == results.NoImages && p.Images != results.NoImages {
			continue
		}
		engines[c.Provenance.Engine+", "+c.Provenance.Precision] = true
	}
	table := origin(p.Table, p.TableDetail, tableNames, "NAS-Bench-101")
	if p.Table == results.NoTable {
		table = results.NoTable
	}
	if p.Images == results.NoImages { // nothing is trained, so there is no scale either
		return fmt.Sprintf("Table: %s.", table)
	}
	what, standsInFor := "Images", "CIFAR-10"
	if curves[0].Space == rnn.Name {
		what, standsInFor = "Text", "Penn Treebank"
	}
	return fmt.Sprintf("%s: %s. Table: %s. Preset %s: %s. Engine: %s.",
		what, origin(p.Images, p.ImagesDetail, imageNames, standsInFor), table,
		p.Preset, p.Scale, strings.Join(slices.Sorted(maps.Keys(engines)), "; "))
}

// incompleteNote lists the runs that are not finished or shorter than others of
// their curve, so that a mean over fewer seeds is never mistaken, and apart from
// them those that ended early by themselves.
func incompleteNote(curves []results.Curve) string {
	var incomplete, early []string
	for _, c := range curves {
		longest := 0
		for _, h := range c.Runs {
			longest = max(longest, len(h.Epochs))
		}
		var seeds, stopped []string
		for _, h := range c.Runs {
			planned, err := strconv.Atoi(h.Run.Setting("epochs"))
			complete := h.Status.State == results.Finished
			switch {
			case complete && err == nil && h.Trained() < planned:
				stopped = append(stopped, fmt.Sprintf("seed %d after %d epochs", h.Run.Seed, h.Trained()))
			case !complete || len(h.Epochs) < longest:
				seeds = append(seeds, fmt.Sprintf("seed %d %s, %d epochs", h.Run.Seed, h.Status.State, h.Trained()))
			}
		}
		name := fmt.Sprintf("%s, space %s", CurveName(c), c.Space)
		if seeds != nil {
			incomplete = append(incomplete, name+" ("+strings.Join(seeds, "; ")+")")
		}
		if stopped != nil {
			early = append(early, name+" ("+strings.Join(stopped, "; ")+")")
		}
	}
	var notes []string
	if incomplete != nil {
		notes = append(notes, "Incomplete: "+strings.Join(incomplete, ", ")+".")
	}
	if early != nil {
		notes = append(notes, "Ended early by themselves: "+strings.Join(early, ", ")+".")
	}
	return strings.Join(notes, " ")
}

// definitions lists how the runs define λ.
func definitions(curves []results.Curve) string {
	all := map[string]bool{}
	for _, c := range curves {
		for _, h := range c.Runs {
			for _, e := range h.Epochs {
				if e.Hessian != nil {
					all[e.Hessian.Definition] = true
				}
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), "; ")
}
