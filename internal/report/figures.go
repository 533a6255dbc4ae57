package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// figure is one figure of the report.
type figure struct {
	name    string // of its files, without extension
	title   string
	caption caption
	alt     string // what it shows, for those who cannot see it
	of      []results.Curve
	build   func(plots.Width) (*plots.Figure, error)
}

// family is the curves of one figure. Its members are the algorithms that say so in their
// definition, and are drawn there alone; what they are compared with may be in several.
type family struct {
	name        string // of the catalogue
	title       string
	beside      []string // algorithms
	errors      string   // which figure of the paper shows their test errors, if one does
	eigenvalues string   // which one the eigenvalues
}

// families sort the algorithms. The first two are the paper's own selections.
var families = []family{
	{
		name: catalogue.SmoothDARTS, title: "DARTS, explicit regularisation of the Hessian, and SmoothDARTS",
		beside: []string{"darts"},
		errors: "Figure 3", eigenvalues: "Figure 5",
	},
	{
		name: catalogue.Baselines, title: "SmoothDARTS and the paper's baselines",
		beside: []string{"darts", "sdarts-rs", "sdarts-adv"},
		errors: "Figure 4",
	},
	{
		name: catalogue.PerturbedPCDARTS, title: "PC-DARTS with perturbation",
		beside: []string{"pc-darts"},
	},
	{
		name: catalogue.Stabilised, title: "Other ways to a stable DARTS",
		beside: []string{"darts"},
	},
	{
		name: catalogue.References, title: "Lines of reference",
		beside: []string{"darts"},
	},
	{
		name: catalogue.BlackBox, title: "Searches of the table",
		beside: []string{"random-search", "regularized-evolution"},
	},
}

// The numbers of curves that a figure shows well: few can stand together
// whatever they are; of more, only those that belong together, as long as each
// has a colour.
const (
	fewCurves  = 6
	mostCurves = 8
)

// selection is the curves of one figure and how the figure is called.
type selection struct {
	family
	curves []results.Curve
}

// title names the algorithms, in the order of legends.
func (s selection) title() string {
	var names []string
	separator := ", "
	for _, c := range slices.SortedStableFunc(slices.Values(s.curves), plots.CompareCurves) {
		if name := plots.CurveName(c); !slices.Contains(names, name) {
			names = append(names, name)
			if strings.Contains(name, separator) {
				separator = "; "
			}
		}
	}
	return strings.Join(names, separator)
}

// selections sorts curves into figures, so that each is in one at least.
func selections(curves []results.Curve) []selection {
	var names []string
	for _, c := range curves {
		if name := plots.CurveName(c); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if len(names) <= fewCurves {
		all := selection{family{name: "all"}, curves}
		for _, f := range families { // of just the paper's algorithms
			if f.errors != "" && !slices.ContainsFunc(curves, func(c results.Curve) bool { return !f.holds(c) }) && slices.ContainsFunc(curves, f.isMember) {
				all.family = f
				break
			}
		}
		return []selection{all}
	}
	var all []selection
	shown := map[string]bool{}
	add := func(f family, some []results.Curve) {
		for i, part := range split(some) {
			if i > 0 {
				f.name = fmt.Sprintf("%s-%d", f.name, i+1)
			}
			all = append(all, selection{f, part})
		}
		for _, c := range some {
			shown[plots.CurveName(c)] = true
		}
	}
	for _, f := range families {
		if slices.ContainsFunc(curves, f.isMember) {
			add(f, choose(curves, f.holds))
		}
	}
	rest := choose(curves, func(c results.Curve) bool { return !shown[plots.CurveName(c)] })
	if rest != nil {
		add(family{name: "others"}, rest)
	}
	return all
}

func (f family) isMember(c results.Curve) bool {
	e, ok := catalogue.Lookup(c.Algorithm)
	return ok && e.Family == f.name
}

func (f family) holds(c results.Curve) bool {
	return f.isMember(c) || slices.Contains(f.beside, c.Algorithm)
}

func choose(curves []results.Curve, of func(results.Curve) bool) []results.Curve {
	var some []results.Curve
	for _, c := range curves {
		if of(c) {
			some = append(some, c)
		}
	}
	return some
}

// split divides curves that are too many for a figure, by name.
func split(curves []results.Curve) [][]results.Curve {
	var names []string
	for _, c := range slices.SortedFunc(slices.Values(curves), plots.CompareCurves) {
		if name := plots.CurveName(c); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) <= mostCurves {
		return [][]results.Curve{curves}
	}
	var parts [][]results.Curve
	for some := range slices.Chunk(names, fewCurves) {
		parts = append(parts, choose(curves, func(c results.Curve) bool { return slices.Contains(some, plots.CurveName(c)) }))
	}
	return parts
}

// figures lists what can be drawn.
func (s *study) figures() ([]figure, error) {
	all := s.landscapeFigures()
	have := func(quantity func(results.Epoch) *float64) []results.Curve {
		return choose(s.curves, func(c results.Curve) bool { return c.Has(quantity) })
	}
	for _, some := range selections(have(results.TestError)) {
		all = append(all, s.errorFigure(some))
	}
	for _, some := range selections(have(results.Eigenvalue)) {
		all = append(all, s.hessianFigure(some))
	}
	if on := s.onDARTS(); len(on) > 0 {
		isOn := func(c results.Curve) bool { return slices.Contains(on, c.Space) }
		for _, some := range selections(choose(have(results.ParameterFree), isOn)) {
			all = append(all, s.parameterFreeFigure(some))
		}
		for _, some := range selections(choose(have(results.ProjectionGap), isOn)) {
			all = append(all, s.projectionFigure(some))
		}
	}
	for _, some := range selections(have(results.ValidPerplexity)) {
		all = append(all, s.perplexityFigure(some))
	}
	for _, some := range selections(have(results.LanguageGap)) {
		all = append(all, s.languageGapFigure(some))
	}
	for _, space := range s.spaces {
		some, err := s.cellFigures(space)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return append(all, s.alphaFigures()...), nil
}

// alphaFigures shows the course of the architecture parameters in the run of the typical
// seed: for each algorithm on each space, of the first of its curves that has them, so that
// a study of many settings is not all alphas.
func (s *study) alphaFigures() []figure {
	var all []figure
	type subject struct {
		space     spaces.Name
		algorithm string
	}
	shown := map[subject]bool{}
	for _, c := range s.curves {
		of := subject{c.Space, c.Algorithm}
		if shown[of] {
			continue
		}
		found := slices.DeleteFunc(s.finds(c.Space)[plots.CurveName(c)], func(f find) bool { return !plots.HasAlphas(f.run) })
		if len(found) == 0 {
			continue
		}
		run := found[(len(found)-1)/2].run
		if _, err := plots.Alphas(run, plots.Options{}); err != nil {
			continue // not those of the space: another program's
		}
		shown[of] = true
		text := "The run of the typical seed, whose final test error is the median (the lower of two). One run is an illustration, not a mean."
		if c.Provenance.Table == results.NoTable {
			text = "The run of the typical seed, whose share of parameter-free operations is the median (the lower of two). One run is an illustration, not a mean."
			if slices.ContainsFunc(s.spaces, onText) {
				text = "The run of the typical seed, whose perplexity on the validation text is the median (the lower of two). One run is an illustration, not a mean."
			}
		}
		if siblings := choose(s.on(c.Space), func(other results.Curve) bool { return other.Algorithm == c.Algorithm }); len(siblings) > 1 {
			text += fmt.Sprintf(" It stands for the %d curves of its algorithm on this space; nb1shot plot RUN draws the alphas of any other run.", len(siblings))
		}
		name := plots.CurveName(c)
		alone := []results.Curve{{Space: c.Space, Algorithm: c.Algorithm, Variant: c.Variant, Provenance: c.Provenance, Runs: []*results.History{run}}}
		all = append(all, figure{
			name:    fmt.Sprintf("alphas-%s-%s", c.Space.FileName(), fileName(name)),
			title:   fmt.Sprintf("Architecture parameters of %s, space %s", name, c.Space),
			of:      alone,
			caption: s.caption(alone, false, text),
			alt:     fmt.Sprintf("Line charts of the mixing weights of %s on space %s, seed %d, a panel for each row of architecture parameters: the operations of each block, then the inputs of each node.", name, c.Space, run.Run.Seed),
			build: func(w plots.Width) (*plots.Figure, error) {
				return plots.Alphas(run, plots.Options{Width: w})
			},
		})
	}
	return all
}

// fileName is a name of lower-case letters, digits and hyphens.
func fileName(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}

// absent lists what no run or landscape is there for.
func (s *study) absent() []string {
	var all []string
	lacks := func(quantity func(results.Epoch) *float64) bool {
		return !slices.ContainsFunc(s.curves, func(c results.Curve) bool { return c.Has(quantity) })
	}
	if s.landscapes == nil {
		all = append(all, "The accuracy around the architecture parameters (the paper's Figure 1): no landscape was given. nb1shot landscape makes them from runs with checkpoints.")
	}
	if !s.hasErrors() {
		all = append(all, "Test errors: no table knows the architectures of these spaces.")
	} else if lacks(results.TestError) {
		all = append(all, "The anytime test error: no record has one.")
	}
	if lacks(results.Eigenvalue) {
		all = append(all, "The trajectory of the dominant eigenvalue: no record has one.")
	}
	for _, space := range s.spaces {
		if len(s.finds(space)) == 0 {
			what := "one with a test error"
			if !s.hasErrors() {
				what = "one"
			}
			all = append(all, fmt.Sprintf("Cells of space %s: no finished run has %s.", space, what))
		}
	}
	return all
}

// like says which figure of the paper one corresponds to, if one does.
func like(paper string) string {
	if paper == "" {
		return ""
	}
	return " As the paper's " + paper + "."
}

// paragraphs joins what is not empty.
func paragraphs(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "\n")
}

func (s *study) errorFigure(some selection) figure {
	var finals []string
	for _, c := range some.curves {
		if final := s.over(c, stability.FinalError); final.n > 0 {
			finals = append(finals, fmt.Sprintf("%s, space %s: %s %%", plots.CurveName(c), c.Space, percent(final)))
		}
	}
	return figure{
		name:  "test-error-" + some.name,
		title: "Anytime test error: " + some.title(),
		of:    some.curves,
		caption: s.caption(some.curves, true,
			"Test error of each epoch's discrete cell, means over the seeds; diamonds: after the last epoch."+like(some.errors),
			"the evaluation after the last epoch is added, which the released code never makes (quirk Q11)"),
		alt: "Line charts of the test error in percent over the epochs, one for each space. At the end: " + strings.Join(finals, "; ") + ".",
		build: func(w plots.Width) (*plots.Figure, error) {
			return plots.AnytimeTestError(some.curves, plots.Options{Width: w, Random: s.random})
		},
	}
}

func (s *study) hessianFigure(some selection) figure {
	var courses []string
	for _, c := range some.curves {
		points := c.Trajectory(results.Eigenvalue, results.Geometric)
		if points == nil {
			continue // none has a logarithm
		}
		courses = append(courses, fmt.Sprintf("%s, space %s: from %.3g to %.3g", plots.CurveName(c), c.Space, points[0].Middle, points[len(points)-1].Middle))
	}
	return figure{
		name:  "hessian-" + some.name,
		title: "Dominant eigenvalue of the architecture Hessian: " + some.title(),
		of:    some.curves,
		caption: s.caption(some.curves, true,
			"Dominant eigenvalue λ of the Hessian of the validation loss with respect to the architecture parameters, geometric means over the seeds."+like(some.eigenvalues),
			"λ is what the notes below the figure define, "+strings.TrimPrefix(lambdaNote(some.curves[0].Space), "λ is defined ")),
		alt: "Line charts of the dominant eigenvalue over the epochs on a logarithmic axis, one for each space. " + strings.Join(courses, "; ") + ".",
		build: func(w plots.Width) (*plots.Figure, error) {
			return plots.HessianTrajectory(some.curves, plots.Options{Width: w})
		},
	}
}

// course tells how a quantity, times a factor, begins and ends for each curve.
func course(curves []results.Curve, of func(results.Epoch) *float64, factor float64) string {
	var all []string
	for _, c := range curves {
		if points := c.Trajectory(of, results.Arithmetic); points != nil {
			all = append(all, fmt.Sprintf("%s, space %s: from %.3g to %.3g", plots.CurveName(c), c.Space, factor*points[0].Middle, factor*points[len(points)-1].Middle))
		}
	}
	return strings.Join(all, "; ")
}

// courses is a figure of how a quantity, times a factor, goes over the epochs: its name and
// title, its caption, and how the text in its place begins.
func (s *study) courses(some selection, name, title, caption, alt string, of func(results.Epoch) *float64, factor float64,
	draw func([]results.Curve, plots.Options) (*plots.Figure, error)) figure {
	return figure{
		name:    name + "-" + some.name,
		title:   title + ": " + some.title(),
		of:      some.curves,
		caption: s.caption(some.curves, true, caption),
		alt:     alt + " " + course(some.curves, of, factor) + ".",
		build: func(w plots.Width) (*plots.Figure, error) {
			return draw(some.curves, plots.Options{Width: w})
		},
	}
}

func (s *study) parameterFreeFigure(some selection) figure {
	return s.courses(some, "parameter-free", "Parameter-free operations in the normal cell",
		"Skip connections, poolings and noise in percent of the 8 operations of each epoch's normal cell, means over the seeds; diamonds: after the last epoch.",
		"Line charts of the share of parameter-free operations in percent over the epochs, one for each space.",
		results.ParameterFree, 100, plots.ParameterFree)
}

func (s *study) projectionFigure(some selection) figure {
	return s.courses(some, "projection-gap", "Projection gap",
		"What the supernet loses in accuracy, in points, when its relaxed architecture is replaced by the discrete one without training, means over the seeds.",
		"Line charts of the projection gap in points over the epochs, one for each space.",
		results.ProjectionGap, 100, plots.ProjectionGap)
}

func (s *study) perplexityFigure(some selection) figure {
	return s.courses(some, "perplexity", "Perplexity of the supernet",
		"Perplexity of the supernet on the validation text after each epoch, in evaluation mode, means over the seeds. Its one batch norm remembers about two words, so that it varies (quirk R6).",
		"Line charts of the perplexity over the epochs.",
		results.ValidPerplexity, 1, plots.Perplexity)
}

func (s *study) languageGapFigure(some selection) figure {
	return s.courses(some, "projection-gap-nats", "Projection gap on text",
		"How much the loss of the supernet rises, in nats for each word, when its relaxed architecture is replaced by the discrete one without training, means over the seeds.",
		"Line charts of the projection gap in nats over the epochs.",
		results.LanguageGap, 1, plots.LanguageGap)
}

// landscapesPerFigure is the number of panels up to which a figure stays on a page.
const landscapesPerFigure = 6

func (s *study) landscapeFigures() []figure {
	var all []figure
	part := 0
	for some := range slices.Chunk(s.landscapes, landscapesPerFigure) {
		part++
		suffix := ""
		if len(s.landscapes) > landscapesPerFigure {
			suffix = fmt.Sprintf("-%d", part)
		}
		var panels []plots.LandscapePanel
		var curves []results.Curve
		var drops []string
		for _, l := range some {
			title := fmt.Sprintf("%s, space %s, seed %d", plots.CurveName(l.curve), l.Space, l.seed)
			panels = append(panels, plots.LandscapePanel{Title: title, Landscape: l.Landscape, Provenance: l.Provenance})
			curves = append(curves, s.origin(l))
			drops = append(drops, fmt.Sprintf("%s: %.1f %% in the middle, %.1f points less at distance %g",
				title, 100*l.Centre().Accuracy, 100*l.Sharpness.AccuracyDrop, l.Sharpness.Radius))
		}
		unlike := []string{"radius, normalisation and batch statistics are choices of this program, as the paper does not give them"}
		if !onDARTS(some[0].Space) {
			unlike = append([]string{"a space of NAS-Bench-1Shot1 instead of the DARTS space"}, unlike...)
		}
		caption := s.caption(curves, false,
			"Validation accuracy of the supernet around the architecture parameters that the search ended with, one run a panel."+like("Figure 1")+
				" Each panel names its seed; one run is an illustration, not a mean.",
			unlike...)
		alt := strings.Join(drops, "; ") + "."
		all = append(all,
			figure{"landscape-contours" + suffix, "Accuracy around the architecture parameters, from above", caption, "Contour maps of the validation accuracy. " + alt, curves,
				func(w plots.Width) (*plots.Figure, error) { return plots.LandscapeContours(panels, w) }},
			figure{"landscape-surface" + suffix, "Accuracy around the architecture parameters, in perspective", caption, "Surfaces of the validation accuracy. " + alt, curves,
				func(w plots.Width) (*plots.Figure, error) { return plots.LandscapeSurfaces(panels, w) }})
	}
	return all
}

// origin is the curve of a landscape with its run where that is in the report.
func (s *study) origin(l landscape) results.Curve {
	for _, c := range s.curves {
		for _, h := range c.Runs {
			if h.Run.Name() == l.Run {
				c.Runs = []*results.History{h}
				return c
			}
		}
	}
	return l.curve
}

// find is a cell that a run found, on a page of reports the one that it ended with.
type find struct {
	run  *results.History
	last results.Epoch
}

func (f find) testError() float64 { return *f.last.Lookup.TestError }

// rank is by what finds are sorted: the test error, or the share of parameter-free
// operations where no table knows any, or on text the last perplexity of the supernet.
func (f find) rank() float64 {
	if f.last.Lookup.TestError != nil {
		return f.testError()
	}
	if share := results.ParameterFree(f.last); share != nil {
		return *share
	}
	if p := end(f.run.Epochs, results.ValidPerplexity, true); p != nil {
		return *p
	}
	return 0
}

// finds returns, for each curve of a space that has one, the cells of its
// complete runs, the best first, or those with the fewest parameter-free operations.
func (s *study) finds(space spaces.Name) map[string][]find {
	all := map[string][]find{}
	for _, c := range s.on(space) {
		var found []find
		for _, h := range complete(c) {
			if last := h.Epochs[len(h.Epochs)-1]; last.Lookup.TestError != nil || last.Architecture != nil {
				found = append(found, find{h, last})
			}
		}
		slices.SortStableFunc(found, func(a, b find) int { return cmp.Compare(a.rank(), b.rank()) })
		if found != nil {
			all[plots.CurveName(c)] = found
		}
	}
	return all
}

// sheetRows is the number of algorithms on a sheet of cells that fits on a page.
const sheetRows = 6

func (s *study) cellFigures(space spaces.Name) ([]figure, error) {
	finds := s.finds(space)
	curves := choose(s.on(space), func(c results.Curve) bool { return finds[plots.CurveName(c)] != nil })
	if onDARTS(space) || onText(space) {
		return s.genotypeFigures(space, curves, finds), nil
	}
	var all []figure
	sheets := (len(curves) + sheetRows - 1) / sheetRows
	for some := range slices.Chunk(curves, sheetRows) {
		name, title := fmt.Sprintf("cells-%s", space.FileName()), fmt.Sprintf("Discovered cells, space %s", space)
		if sheets > 1 {
			name, title = fmt.Sprintf("%s-%d", name, len(all)+1), fmt.Sprintf("%s (%d of %d)", title, len(all)+1, sheets)
		}
		var rows [][]plots.CellDrawing
		var described []string
		for _, c := range some {
			found := finds[plots.CurveName(c)]
			best, typical := found[0], found[(len(found)-1)/2]
			pairs := []struct {
				find
				role string
			}{{best, "best"}, {typical, "typical"}}
			if best.last.Cell.Hash == typical.last.Cell.Hash {
				pairs = pairs[:1]
				pairs[0].role = "best and typical"
			}
			var row []plots.CellDrawing
			for _, p := range pairs {
				d, err := p.drawing(plots.CurveName(c), p.role)
				if err != nil {
					return nil, err
				}
				row = append(row, d)
				described = append(described, describe(d))
			}
			rows = append(rows, row)
		}
		const shown = "Cells after the last epoch, pruned, with their test errors: of each algorithm the seed of the lowest and of the median (the lower of two)."
		notes := []string{shown, plots.ProvenanceNote(some)}
		all = append(all, figure{
			name: name, title: title, of: some,
			caption: s.caption(some, true,
				shown+" NAS-Bench-101 trains cells as they are after pruning."),
			alt: "Graphs of cells. " + strings.Join(described, " "),
			build: func(w plots.Width) (*plots.Figure, error) {
				return plots.Cells(rows, notes, w)
			},
		})
	}
	return all, nil
}

// genotypeRows is the number of algorithms on a sheet of normal and reduction cells, which
// take 9 cm and more of a page.
const genotypeRows = 2

// genotypeFigures are the cellFigures of a space of DARTS or of recurrent cells.
func (s *study) genotypeFigures(space spaces.Name, curves []results.Curve, finds map[string][]find) (all []figure) {
	sheets := (len(curves) + genotypeRows - 1) / genotypeRows
	for some := range slices.Chunk(curves, genotypeRows) {
		name, title := fmt.Sprintf("cells-%s", space.FileName()), fmt.Sprintf("Discovered cells, space %s", space)
		if sheets > 1 {
			name, title = fmt.Sprintf("%s-%d", name, len(all)+1), fmt.Sprintf("%s (%d of %d)", title, len(all)+1, sheets)
		}
		var rows [][]plots.CellDrawing
		var described []string
		for _, c := range some {
			found := finds[plots.CurveName(c)]
			typical := found[(len(found)-1)/2]
			both, text := typical.genotypeCells(plots.CurveName(c))
			if both != nil {
				rows, described = append(rows, both), append(described, text)
			}
		}
		if rows == nil {
			continue
		}
		shown, what := "Cells after the last epoch: of each algorithm the seed of the median share of parameter-free operations (the lower of two).", "normal and reduction"
		if onText(space) {
			shown, what = "Cells after the last epoch: of each algorithm the seed of the median perplexity of the supernet on the validation text (the lower of two).", "recurrent"
		}
		notes := []string{shown, plots.ProvenanceNote(some)}
		all = append(all, figure{
			name: name, title: title, of: some,
			caption: s.caption(some, true, shown),
			alt:     "Graphs of " + what + " cells. " + strings.Join(described, " "),
			build: func(w plots.Width) (*plots.Figure, error) {
				return plots.Cells(rows, notes, w)
			},
		})
	}
	return all
}

// genotypeCells draws both cells of a find on a space of DARTS, or the one of the recurrent
// space, and tells them in words.
func (f find) genotypeCells(name string) (both []plots.CellDrawing, described string) {
	if f.last.Architecture == nil {
		return nil, ""
	}
	title := fmt.Sprintf("%s, seed %d", name, f.run.Run.Seed)
	if g, ok := rnn.GenotypeOf(*f.last.Architecture); ok {
		return []plots.CellDrawing{{Recurrent: &g, Title: title, Caption: []string{fmt.Sprintf("depth %d", g.Depth())}}}, fmt.Sprintf("%s: %s.", title, g.Line())
	}
	g, ok := darts.GenotypeOf(*f.last.Architecture)
	if !ok {
		return nil, ""
	}
	both = plots.GenotypeCells(g, title)
	shape := fmt.Sprintf("parameter-free %.1f %%, width %.3g, depth %d", 100*g.ParameterFree(), g.Width(darts.Normal), g.Depth(darts.Normal))
	both[darts.Normal].Caption = []string{shape}
	return both, fmt.Sprintf("%s: normal cell %s; reduction cell %s; %s.", title, g.Short(darts.Normal), g.Short(darts.Reduction), shape)
}

// drawing draws the cell of a find.
func (f find) drawing(name, role string) (plots.CellDrawing, error) {
	spec, err := cell.Parse(f.last.Cell.Matrix, f.last.Cell.Operations)
	if err != nil {
		return plots.CellDrawing{}, fmt.Errorf("%s: epoch %d: %w", f.run.Dir, f.last.Epoch, err)
	}
	if spec, err = spec.Prune(); err != nil {
		return plots.CellDrawing{}, fmt.Errorf("%s: epoch %d: %w", f.run.Dir, f.last.Epoch, err)
	}
	d := plots.CellDrawing{Spec: spec, Title: fmt.Sprintf("%s, seed %d: %s", name, f.run.Run.Seed, role), Pruned: true}
	if f.last.Lookup.TestError != nil {
		d.Caption = []string{fmt.Sprintf("%.2f %%", 100*f.testError())}
	}
	return d, nil
}

// describe tells a cell in words.
func describe(d plots.CellDrawing) string {
	names := d.Spec.OpNames()
	label := func(v int) string {
		if v == 0 || v == len(names)-1 {
			return names[v]
		}
		return fmt.Sprintf("%d", v)
	}
	var vertices, edges []string
	for v := 1; v < len(names)-1; v++ {
		vertices = append(vertices, fmt.Sprintf("%d %s", v, strings.TrimSuffix(names[v], "-bn-relu")))
	}
	for x, row := range d.Spec.Matrix {
		for y, entry := range row {
			if entry == 1 {
				edges = append(edges, label(x)+" to "+label(y))
			}
		}
	}
	if vertices == nil {
		vertices = []string{"no operations"}
	}
	return fmt.Sprintf("%s: %s; edges %s.", strings.Join(append([]string{d.Title}, d.Caption...), ", "), strings.Join(vertices, ", "), strings.Join(edges, ", "))
}
