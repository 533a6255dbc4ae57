package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// study is the runs of a report, arranged.
type study struct {
	curves     []results.Curve // by space, then in the order of legends
	names      []string        // of the curves, each once, in the order of legends
	spaces     []spaces.Name   // ascending
	seeds      []uint64        // of any run, ascending: what every curve should have
	measures   map[*results.History]stability.Measures
	anchors    map[spaces.Name]stability.Anchor
	random     map[spaces.Name]float64 // expected test errors of random architectures, by space, where known
	landscapes []landscape             // by space, then in the order of legends
	beside     [][]results.Curve       // of other images, each in the order of legends
}

// landscape is one with what a figure calls it.
type landscape struct {
	results.RunLandscape
	curve results.Curve // of its run, without records
	seed  uint64
}

func newStudy(in Input) (*study, error) {
	if len(in.Runs) == 0 {
		return nil, errors.New("no runs")
	}
	curves, err := results.Group(in.Runs)
	if err != nil {
		return nil, err
	}
	s := &study{curves: curves, anchors: in.Anchors, random: stability.Random(in.Runs), measures: map[*results.History]stability.Measures{}}
	if s.landscapes, err = arrange(in.Landscapes); err != nil {
		return nil, err
	}
	all := slices.Clone(curves)
	for _, l := range s.landscapes {
		all = append(all, l.curve)
	}
	if err := results.CheckSetting(all); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.curves, plots.CompareCurves)
	for _, c := range s.curves {
		if name := plots.CurveName(c); !slices.Contains(s.names, name) {
			s.names = append(s.names, name)
		}
		s.spaces = append(s.spaces, c.Space)
		for _, h := range c.Runs {
			s.seeds = append(s.seeds, h.Run.Seed)
			s.measures[h] = stability.Of(h, in.Anchors[c.Space])
		}
	}
	slices.SortStableFunc(s.curves, func(a, b results.Curve) int { return cmp.Compare(a.Space, b.Space) })
	slices.Sort(s.spaces)
	s.spaces = slices.Compact(s.spaces)
	slices.Sort(s.seeds)
	s.seeds = slices.Compact(s.seeds)
	if s.beside, err = arrangeBeside(in.Beside); err != nil {
		return nil, err
	}
	return s, nil
}

// arrange sorts landscapes, and names their curves.
func arrange(all []results.RunLandscape) ([]landscape, error) {
	var arranged []landscape
	for _, l := range all {
		if err := l.Check(); err != nil {
			return nil, fmt.Errorf("landscape of %s: %w", l.Run, err)
		}
		algorithm, seed, err := l.Origin()
		if err != nil {
			return nil, fmt.Errorf("landscape: %w", err)
		}
		for _, other := range arranged {
			if other.Run == l.Run {
				return nil, fmt.Errorf("two landscapes of %s: give one of them", l.Run)
			}
		}
		arranged = append(arranged, landscape{l, results.Curve{
			Space: l.Space, Algorithm: algorithm, Provenance: l.Provenance,
			Runs: []*results.History{{Dir: "the landscape of " + l.Run, Run: results.Run{Provenance: l.Provenance}}},
		}, seed})
	}
	slices.SortFunc(arranged, func(a, b landscape) int {
		if a.Space != b.Space {
			return cmp.Compare(a.Space, b.Space)
		}
		if order := plots.CompareCurves(a.curve, b.curve); order != 0 {
			return order
		}
		return strings.Compare(a.Run, b.Run)
	})
	return arranged, nil
}

// on returns the curves of a space.
func (s *study) on(space spaces.Name) []results.Curve {
	var some []results.Curve
	for _, c := range s.curves {
		if c.Space == space {
			some = append(some, c)
		}
	}
	return some
}

// complete returns the runs of a curve that have all their records.
func complete(c results.Curve) []*results.History {
	var runs []*results.History
	for _, h := range c.Runs {
		if stability.Complete(h) {
			runs = append(runs, h)
		}
	}
	return runs
}

// attendance says which of the seeds a curve has complete runs of, and what
// became of each other one.
func (s *study) attendance(c results.Curve) (there string, lacking []string) {
	var seeds, missing []uint64
	for _, seed := range s.seeds {
		i := slices.IndexFunc(c.Runs, func(h *results.History) bool { return h.Run.Seed == seed })
		if i < 0 {
			missing = append(missing, seed)
			continue
		}
		h := c.Runs[i]
		if stability.Complete(h) {
			seeds = append(seeds, seed)
			continue
		}
		what := string(h.Status.State)
		if h.Status.State == results.Finished {
			what = "without its final record"
		}
		what = fmt.Sprintf("seed %d %s, %d %s", seed, what, h.Trained(), plural("epoch", h.Trained()))
		if h.Status.Message != "" {
			what += " (" + h.Status.Message + ")"
		}
		lacking = append(lacking, what)
	}
	if missing != nil {
		lacking = append(lacking, plural("seed", len(missing))+" "+ranges(missing)+" missing")
	}
	return ranges(seeds), lacking
}

// seedNote says which seeds stand behind the curves, and lists every one that
// does not: what is the same of several curves once, with their spaces.
func (s *study) seedNote(curves []results.Curve) string {
	type exception struct {
		what, name string
		spaces     []spaces.Name
	}
	var all []exception
	except := func(what, name string, space spaces.Name) {
		i := slices.IndexFunc(all, func(e exception) bool { return e.what == what && e.name == name })
		if i < 0 {
			i = len(all)
			all = append(all, exception{what: what, name: name})
		}
		all[i].spaces = append(all[i].spaces, space)
	}
	for _, space := range s.spaces {
		on := choose(curves, func(c results.Curve) bool { return c.Space == space })
		for _, c := range on {
			_, lacking := s.attendance(c)
			for _, what := range lacking {
				except(what, plots.CurveName(c), space)
			}
		}
		for _, name := range s.names { // of those that have a curve on another space
			isNamed := func(c results.Curve) bool { return plots.CurveName(c) == name }
			if on != nil && slices.ContainsFunc(curves, isNamed) && !slices.ContainsFunc(on, isNamed) {
				except("no runs", name, space)
			}
		}
	}
	note := plural("Seed", len(s.seeds)) + " " + ranges(s.seeds)
	if all == nil {
		return note + allThere
	}
	var exceptions []string
	for len(all) > 0 {
		what := all[0].what
		var names []string
		for _, e := range all {
			if e.what == what {
				names = append(names, fmt.Sprintf("%s (%s %s)", e.name, plural("space", len(e.spaces)), nameRanges(e.spaces)))
			}
		}
		exceptions = append(exceptions, what+": "+strings.Join(names, ", "))
		all = slices.DeleteFunc(all, func(e exception) bool { return e.what == what })
	}
	return note + ", but " + strings.Join(exceptions, "; ") + "."
}

// allThere ends the note on seeds of which none is missing.
const allThere = ", none missing or failed."

// ranges writes ascending numbers as "0–3, 7", and none as "none".
func ranges(all []uint64) string {
	var parts []string
	for i := 0; i < len(all); {
		last := i
		for last+1 < len(all) && all[last+1] == all[last]+1 {
			last++
		}
		switch text := strconv.FormatUint(all[i], 10); last - i {
		case 0:
			parts = append(parts, text)
		case 1:
			parts = append(parts, text, strconv.FormatUint(all[last], 10))
		default:
			parts = append(parts, text+"–"+strconv.FormatUint(all[last], 10))
		}
		i = last + 1
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// nameRanges writes names of spaces, in their order, likewise.
func nameRanges(all []spaces.Name) string {
	var numbers []uint64
	var parts []string
	for _, name := range all { // numbers come first
		if n, err := strconv.ParseUint(string(name), 10, 64); err == nil {
			numbers = append(numbers, n)
		} else {
			parts = append(parts, string(name))
		}
	}
	if numbers != nil || parts == nil {
		parts = slices.Insert(parts, 0, ranges(numbers))
	}
	return strings.Join(parts, ", ")
}

func plural(word string, n int) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// devices lists what the runs of the curves were computed on.
func devices(curves []results.Curve) string {
	var all []string
	for _, c := range curves {
		for _, h := range c.Runs {
			if d := h.Run.Provenance.Device; d != "" && !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	slices.Sort(all)
	if all == nil {
		return "Device: not recorded."
	}
	return "Device: " + strings.Join(all, "; ") + "."
}

// provenance says what the curves were measured on.
func provenance(curves []results.Curve) string {
	return plots.ProvenanceNote(curves) + " " + devices(curves)
}

// paperSeeds is the number of runs behind each curve of the paper.
const paperSeeds = 6

// departures lists in what the runs differ from the paper's setting, as far as
// their provenance and configuration say so. The number of seeds counts where the
// paper has as many.
func departures(curves []results.Curve, seeds bool) []string {
	var all []string
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	most := 0
	for _, c := range curves {
		p := c.Provenance
		switch images, _ := p.StandIns(); {
		case images && onText(c.Space):
			add("a text (%s) instead of Penn Treebank", p.Images)
		case images:
			add("%s images instead of CIFAR-10", p.Images)
		}
		switch p.Table {
		case results.NASBench101, results.NoTable:
		case results.NASBench101Means, results.NASBench101NNI:
			add("a table of NAS-Bench-101's numbers from a file that its authors' checksums do not cover")
		default:
			add("test errors from a stand-in for NAS-Bench-101 (%s)", p.Table)
		}
		for _, h := range c.Runs {
			config := paperSettings{}
			json.Unmarshal(h.Run.Config, &config) // other programs may have other members: what does not fit is not compared
			config.compare(c, add)
		}
		most = max(most, len(complete(c)))
	}
	if seeds && most < paperSeeds {
		add("%d %s instead of %d", most, plural("seed", most), paperSeeds)
	}
	return all
}

// paperSettings are the members of a configuration that the paper fixes.
type paperSettings struct {
	Cells, Channels, Side, Images, Epochs *int
	Settings                              map[string]any
	Batch                                 int
	Text                                  *struct{ Hidden, Words int } // of a language model
}

// paperScale is what the paper has of paperSettings.
type paperScale struct {
	cells, channels, side, images, epochs int
	rate                                  float64 // at which the architecture parameters learn
	hidden, columns                       int     // of a language model, and of its text
}

// paperOf is that for the runs of a curve.
func paperOf(c results.Curve) paperScale {
	if onText(c.Space) {
		return paperScale{epochs: 50, rate: 3e-3, hidden: 300, columns: 256}
	}
	if !onDARTS(c.Space) {
		return paperScale{cells: 9, channels: 16, side: 32, images: 50000, epochs: 100, rate: 3e-4}
	}
	p := paperScale{cells: 8, channels: 16, side: 32, images: 50000, epochs: 50, rate: 3e-4}
	if c.Provenance.Images == results.SVHN {
		p.images = 73257
	}
	switch {
	case strings.HasPrefix(c.Algorithm, "p-darts"): // of its first stage; three of 25 epochs
		p.cells, p.epochs, p.rate = 5, 75, 6e-4
	case strings.HasPrefix(c.Algorithm, "pc-darts") && (c.Space == "darts" || c.Space == "darts8"): // quirk C13
		p.rate = 6e-4
	}
	return p
}

// onText tells whether the networks of a space read words.
func onText(space spaces.Name) bool { return space == rnn.Name }

// onDARTS tells whether a space is one of the family of DARTS.
func onDARTS(space spaces.Name) bool {
	_, err := darts.Get(space)
	return err == nil
}

// compare tells what differs from the paper.
func (s paperSettings) compare(c results.Curve, add func(format string, args ...any)) {
	paper := paperOf(c)
	for _, m := range []struct {
		value *int
		paper int
		what  string
	}{
		{s.Cells, paper.cells, "%d cells instead of %d"},
		{s.Channels, paper.channels, "%d channels instead of %d"},
		{s.Side, paper.side, "images of side %d instead of %d"},
		{s.Images, paper.images, "%d training images instead of %d"},
		{s.Epochs, paper.epochs, "%d epochs instead of %d"},
	} {
		if m.value != nil && *m.value != m.paper && *m.value != 0 { // 0 images are all of them
			add(m.what, *m.value, m.paper)
		}
	}
	if t := s.Text; t != nil {
		if t.Hidden != paper.hidden {
			add("%d hidden units instead of %d", t.Hidden, paper.hidden)
		}
		if s.Batch != paper.columns {
			add("%d columns of text instead of %d", s.Batch, paper.columns)
		}
		if t.Words != 0 {
			add("%d words of the training text instead of all", t.Words)
		}
	}
	if x, ok := s.Settings["arch-learning-rate"].(float64); ok && x != paper.rate {
		add("an architecture learning rate of %g instead of %g", x, paper.rate)
	}
}

// unlikePaper is departures as a sentence.
func unlikePaper(departures []string, more ...string) string {
	all := slices.Concat(departures, more)
	if len(all) == 0 {
		return "Nothing recorded departs from the paper's setting."
	}
	return "Unlike the paper: " + strings.Join(all, "; ") + "."
}

// caption is what stands below a figure or a table, in paragraphs, one a line: in a
// file by itself, and on the page, which says at its top what holds for all.
type caption struct{ alone, page string }

// caption adds to a text on the curves what they were measured on, their seeds, if these
// count, and what is unlike the paper.
func (s *study) caption(curves []results.Curve, seeds bool, text string, more ...string) caption {
	unlike, said := departures(curves, seeds), departures(s.curves, true)
	note, own := "", ""
	if seeds {
		note = s.seedNote(curves)
	}
	if note != s.seedNote(s.curves) && !strings.HasSuffix(note, allThere) {
		own = note
	}
	c := caption{alone: paragraphs(text, provenance(curves), note, unlikePaper(unlike, more...)), page: paragraphs(text, own)}
	if apart := slices.DeleteFunc(slices.Clone(unlike), func(d string) bool { return slices.Contains(said, d) }); len(apart)+len(more) > 0 {
		c.page = paragraphs(c.page, unlikePaper(apart, more...))
	}
	return c
}

// warnings lists what the records and the reader of the runs warn of.
func (s *study) warnings() []string {
	var all []string
	for _, c := range s.curves {
		for _, h := range c.Runs {
			for _, w := range h.Warnings {
				all = append(all, h.Run.Name()+": "+strings.TrimPrefix(w, h.Dir+string(filepath.Separator)))
			}
			for _, e := range h.Epochs {
				if e.Warning != "" {
					all = append(all, plots.CurveName(c)+": "+e.Warning)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
