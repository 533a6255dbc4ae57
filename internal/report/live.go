package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Live is a report in pieces, for a page whose figures are drawn when they are looked at.
type Live struct {
	Summary    string
	StandIns   []string // what is not what the benchmark is defined on
	Provenance []string
	Seeds      string
	Departures []string // from the paper
	Warnings   []string
	Figures    []Figure
	Tables     []Table
}

// Figure is a figure that is yet to be drawn.
type Figure struct {
	Name, Title string
	Alt         string          // what it shows, for those who cannot see it
	Caption     []string        // paragraphs: what it shows, and what it was measured on
	Curves      []results.Curve // that it shows
	caption     caption
	build       func(plots.Width) (*plots.Figure, error)
}

// Arrange makes the pieces. Of in it takes Runs and Anchors; runs of different settings
// give a *results.MixedError.
func Arrange(in Input) (*Live, error) {
	s, err := newStudy(in)
	if err != nil {
		return nil, err
	}
	figures, err := s.figures()
	if err != nil {
		return nil, err
	}
	l := &Live{
		Summary: s.summary(), StandIns: s.standIns(), Provenance: []string{plots.ProvenanceNote(s.curves), devices(s.curves)},
		Seeds: s.seedNote(s.curves), Departures: departures(s.curves, true), Warnings: s.warnings(),
	}
	for _, f := range figures {
		paragraphs := append(strings.Split(f.caption.page, "\n"), provenance(f.of))
		l.Figures = append(l.Figures, Figure{f.name, f.title, f.alt, paragraphs, f.of, f.caption, f.build})
	}
	for i, t := range s.tables() {
		l.Tables = append(l.Tables, t.onPage(i+1))
	}
	return l, nil
}

// Build lays the figure out, without its notes, which it returns as far as the caption
// does not say the same.
func (f Figure) Build(w plots.Width) (*plots.Figure, []string, error) {
	figure, err := f.build(w)
	if err != nil {
		return nil, nil, err
	}
	notes := slices.DeleteFunc(slices.Clone(figure.Notes()), func(note string) bool { return strings.Contains(f.caption.alone, note) })
	return figure.Bare(), notes, nil
}

// OfRun lists the figures of one run: its curves, its architecture parameters, and the
// first, the best and the last of its cells.
func OfRun(h *results.History) ([]Figure, error) {
	curves, err := results.Group([]*results.History{h})
	if err != nil {
		return nil, err
	}
	s := &study{curves: curves, spaces: []spaces.Name{h.Run.Space}}
	name := plots.CurveName(curves[0])
	var all []Figure
	add := func(file, title, alt, text string, build func(plots.Width) (*plots.Figure, error)) {
		c := s.caption(curves, false, text)
		all = append(all, Figure{file, title, alt, append(strings.Split(text, "\n"), provenance(curves)), curves, c, build})
	}
	for _, q := range []struct {
		file, title, text string
		of                func(results.Epoch) *float64
		draw              func([]results.Curve, plots.Options) (*plots.Figure, error)
	}{
		{"test-error", "Anytime test error", "Test error of each epoch's discrete cell; the diamond: after the last epoch.", results.TestError, plots.AnytimeTestError},
		{"hessian", "Dominant eigenvalue of the architecture Hessian", "Dominant eigenvalue λ of the Hessian of the validation loss by the architecture parameters.", results.Eigenvalue, plots.HessianTrajectory},
		{"search-accuracy", "Accuracy of the supernet", "Accuracy of the supernet on the search part of the images, after each epoch.", results.SearchAccuracy, plots.SearchAccuracy},
		{"perplexity", "Perplexity of the supernet", "Perplexity of the supernet on the validation text, after each epoch.", results.ValidPerplexity, plots.Perplexity},
		{"projection-gap-nats", "Projection gap", "How much the loss of the supernet on text rises, in nats for each word, when its relaxed architecture is replaced by the discrete cell.", results.LanguageGap, plots.LanguageGap},
		{"parameter-free", "Parameter-free operations", "Share of operations without parameters in each epoch's discrete architecture; the diamond: after the last epoch.", results.ParameterFree, plots.ParameterFree},
		{"projection-gap", "Projection gap", "What the supernet loses in accuracy when its relaxed architecture is replaced by the discrete cell.", results.ProjectionGap, plots.ProjectionGap},
	} {
		points := curves[0].Trajectory(q.of, results.Arithmetic)
		if len(points) == 0 || q.file == "parameter-free" && !onDARTS(h.Run.Space) {
			continue
		}
		alt := fmt.Sprintf("A line chart of %s of %s on space %s, seed %d, over the epochs: from %.3g to %.3g.",
			strings.ToLower(q.title), name, h.Run.Space, h.Run.Seed, points[0].Middle, points[len(points)-1].Middle)
		add(q.file, q.title, alt, q.text, func(w plots.Width) (*plots.Figure, error) { return q.draw(curves, plots.Options{Width: w}) })
	}
	if rows, described := firstAndLast(h, name); rows != nil {
		add("cells", "The first and the last cells", "Graphs of cells. "+strings.Join(described, " "), "The cells of the first and of the last record.",
			func(w plots.Width) (*plots.Figure, error) {
				return plots.Cells(rows, []string{plots.ProvenanceNote(curves)}, w)
			})
	}
	if cells, described := firstBestLast(h, name); cells != nil {
		add("cells", "The first, the best and the last cell", "Graphs of cells. "+strings.Join(described, " "),
			"The cells of the first record, of the lowest test error and of the last record, pruned, with their test errors.",
			func(w plots.Width) (*plots.Figure, error) {
				return plots.Cells([][]plots.CellDrawing{cells}, []string{plots.ProvenanceNote(curves)}, w)
			})
	}
	if _, err := plots.Alphas(h, plots.Options{}); plots.HasAlphas(h) && err == nil {
		add("alphas", "Architecture parameters",
			fmt.Sprintf("Line charts of the mixing weights of %s on space %s, seed %d, a panel for each row of architecture parameters.", name, h.Run.Space, h.Run.Seed),
			"The softmax of each row of architecture parameters: the operations of each block, then the inputs of each node.",
			func(w plots.Width) (*plots.Figure, error) { return plots.Alphas(h, plots.Options{Width: w}) })
	}
	return all, nil
}

// firstAndLast are the cells of a run on a space of DARTS, both of a record in a row.
func firstAndLast(h *results.History, name string) (rows [][]plots.CellDrawing, described []string) {
	for i, e := range h.Epochs {
		if i > 0 && i < len(h.Epochs)-1 {
			continue
		}
		if both, text := (find{h, e}).genotypeCells(fmt.Sprintf("%s, epoch %d", name, e.Epoch)); both != nil {
			rows, described = append(rows, both), append(described, text)
		}
	}
	return rows, described
}

// firstBestLast are the cells of a run, each once, drawn and in words; none where a
// record has no cell that can be drawn.
func firstBestLast(h *results.History, name string) (cells []plots.CellDrawing, described []string) {
	if len(h.Epochs) == 0 || h.Epochs[0].Cell.Matrix == nil {
		return nil, nil
	}
	best := 0
	for i, e := range h.Epochs {
		if x := results.TestError(e); x != nil && (results.TestError(h.Epochs[best]) == nil || *x < *results.TestError(h.Epochs[best])) {
			best = i
		}
	}
	places := []int{0, best, len(h.Epochs) - 1}
	roles := []string{"first", "best", "last"}
	for i, at := range places {
		if slices.Contains(places[:i], at) {
			continue
		}
		role := roles[i]
		for j := i + 1; j < len(places); j++ {
			if places[j] == at {
				role += " and " + roles[j]
			}
		}
		e := h.Epochs[at]
		d, err := find{h, e}.drawing(name, fmt.Sprintf("%s, epoch %d", role, e.Epoch))
		if err != nil {
			return nil, nil
		}
		cells, described = append(cells, d), append(described, describe(d))
	}
	return cells, described
}

// Origin says what the runs of the curves, at least one, were measured on.
func Origin(curves []results.Curve) string { return provenance(curves) }
