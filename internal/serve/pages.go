package serve

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/internal/report"
	"github.com/nb1shot/nb1shot/internal/watch"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

//go:embed pages.html
var templates string

var pages = template.Must(template.Must(template.New("").Parse(templates)).Parse(report.Rows))

// part is a piece of a page that is replaced by itself when it changes.
type part struct {
	ID   string
	V    string // digest of the rest
	Half bool   // whether it needs half of a wide page only
	HTML template.HTML
}

// newPart executes a template.
func newPart(id, name string, data any) (part, error) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return part{}, err
	}
	text := printable.Text(b.String())
	return part{ID: id, V: strings.Trim(etagOf([]byte(text)), `"`), HTML: template.HTML(text)}, nil
}

func etagOf(text []byte) string {
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// compose makes a page of its parts.
func (s *Handler) compose(title, path string, parts []part) (page, error) {
	var versions strings.Builder
	for _, p := range parts {
		versions.WriteString(p.ID + p.V)
	}
	etag := etagOf([]byte(title + versions.String()))
	var b bytes.Buffer
	err := pages.ExecuteTemplate(&b, "page", struct {
		Title, Folder, ETag, Program string
		Home                         bool
		Parts                        []part
	}{printable.Line(title), printable.Line(s.title), etag, s.options.Program, path == "/", parts})
	return page{b.Bytes(), etag}, err
}

// group is the runs of a folder that can be shown together.
type group struct {
	title string
	runs  []*run
	live  *report.Live
	err   error
}

// gather sorts the runs into groups, each arranged once.
func (s *Handler) gather() []*group {
	type key = results.Provenance
	var keys []key
	members := map[key][]*run{}
	add := func(k key, r *run) {
		if members[k] == nil {
			keys = append(keys, k)
		}
		members[k] = append(members[k], r)
	}
	var untrained []*run
	for _, r := range s.shown() {
		if p := r.history.Run.Provenance; p.Images != results.NoImages {
			add(p.Setting(), r)
		} else {
			untrained = append(untrained, r)
		}
	}
	trained := slices.Clone(keys)
	for _, r := range untrained { // beside all that they may be compared with
		p, alone := r.history.Run.Provenance.Setting(), true
		for _, k := range trained {
			if name, _, _ := results.Difference(results.Comparable(k, p)); name == "" {
				add(k, r)
				alone = false
			}
		}
		if alone {
			add(p, r)
		}
	}
	slices.SortStableFunc(keys, func(a, b key) int { return len(members[b]) - len(members[a]) }) // the largest first
	groups := map[string]*group{}
	var all []*group
	for _, k := range keys {
		runs := members[k]
		sum := sha256.New()
		for _, r := range runs {
			fmt.Fprintf(sum, "%q %s\n", r.name, r.digest)
		}
		id := hex.EncodeToString(sum.Sum(nil))
		g := s.groups[id]
		if g == nil {
			g = &group{title: fmt.Sprintf("Preset %s: %s", k.Preset, k.Scale), runs: runs}
			g.live, g.err = s.arrange(runs)
		}
		groups[id] = g
		all = append(all, g)
	}
	s.groups = groups
	return all
}

// shown are the runs that figures may show: those that were read, each once, if there
// are copies that which has its name.
func (s *Handler) shown() []*run {
	named := map[string]*run{}
	for _, r := range s.folder.runs {
		if r.history == nil || r.history.Misfit != nil {
			continue
		}
		if name := r.history.Run.Name(); named[name] == nil || r.name == name {
			named[name] = r
		}
	}
	return slices.SortedFunc(maps.Values(named), func(a, b *run) int { return strings.Compare(a.name, b.name) })
}

func (s *Handler) arrange(runs []*run) (live *report.Live, err error) {
	defer fault.Catch(&err) // of whatever records may bring about
	var histories []*results.History
	for _, r := range runs {
		histories = append(histories, r.history)
	}
	in := report.Input{Runs: histories}
	if s.options.Anchors != nil {
		var of []string
		for _, h := range histories {
			of = append(of, string(h.Run.Space)+" "+h.Run.Provenance.Table+" "+h.Run.Provenance.TableDigest)
		}
		slices.Sort(of)
		key := strings.Join(slices.Compact(of), "\n")
		known, ok := s.anchors[key]
		if !ok {
			if known, err = s.options.Anchors(histories); err != nil {
				return nil, fmt.Errorf("what regrets are counted from is not known: %w", err)
			}
			s.anchors[key] = known
		}
		in.Anchors = known
	}
	return report.Arrange(in)
}

// shownFigure is a figure on a page.
type shownFigure struct {
	ID, Title, Alt string
	Caption        []string
	Key            string // of its drawings
	Half           bool   // drawn for half of a wide page
	Folded         bool   // not drawn until it is opened
	Trouble        string // why there are none
}

func (s *Handler) figure(id string, f report.Figure, digests map[*results.History]string, random map[string]string, half, folded bool) (part, error) {
	key := keyOf(f, digests, random)
	shown := shownFigure{ID: id, Title: f.Title, Alt: f.Alt, Caption: f.Caption, Key: key, Half: half, Folded: folded}
	notes, err := s.figures.hang(key, f).explain()
	if err != nil {
		shown.Trouble = err.Error()
	}
	for _, note := range notes {
		if !slices.ContainsFunc(shown.Caption, func(said string) bool { return strings.Contains(said, note) }) {
			shown.Caption = append(shown.Caption, note)
		}
	}
	p, err := newPart(id, "figure", shown)
	p.Half = half
	return p, err
}

// shownTable is a table on a page, open or folded.
type shownTable struct {
	report.Table
	Open bool
}

// row is a run in the list.
type row struct {
	watch.Run
	Link, Title            string
	Progress               string
	Error, Best, Lambda    string
	Images, Table, Preset  string
	StandIn, StandInImages bool
}

func newRow(state watch.Run, r *run) row {
	w := row{Run: state, Title: curveTitle(state)}
	w.Progress = strconv.Itoa(state.Epochs)
	if state.Configured > 0 {
		w.Progress += "/" + strconv.Itoa(state.Configured)
	}
	if r == nil {
		return w
	}
	w.Link = linkOf(r.name)
	if r.history == nil {
		return w
	}
	p := r.history.Run.Provenance
	w.Preset, w.Images, w.Table = p.Preset, p.Images, p.Table
	w.StandInImages, w.StandIn = p.StandIns()
	var best, last, first, now *float64
	for _, e := range r.history.Epochs {
		if x := results.TestError(e); x != nil {
			if last = x; best == nil || *x < *best {
				best = x
			}
		}
		if x := results.Eigenvalue(e); x != nil {
			if now = x; first == nil {
				first = x
			}
		}
	}
	w.Error, w.Best = percent(last), percent(best)
	if first != nil {
		w.Lambda = fmt.Sprintf("%.3g → %.3g", *first, *now)
	}
	return w
}

// curveTitle is what figures call the algorithm of a run.
func curveTitle(r watch.Run) string {
	if r.Algorithm == "" {
		return r.Name
	}
	return plots.CurveName(results.Curve{Algorithm: r.Algorithm})
}

func percent(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.2f %%", 100**x)
}

// LeftText is the time left, for people.
func (w row) LeftText() string { return watch.Seconds(w.Left) }

// SpentText is the time spent.
func (w row) SpentText() string { return watch.Seconds(w.Spent) }

// Moment is a time that the page shows, and how long ago it was.
type Moment struct{ Machine, People string }

func momentOf(t time.Time) *Moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &Moment{t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC")}
}

// Written is when the record was last written.
func (w row) Written() *Moment { return momentOf(w.Record) }

// front is the parts of the page of the folder.
func (s *Handler) front() ([]part, error) {
	survey := s.folder.survey
	groups := s.gather()
	var parts []part
	var failed error
	add := func(p part, err error) {
		if err != nil && failed == nil {
			failed = err
		}
		parts = append(parts, p)
	}
	var standIns []string
	for _, g := range groups {
		if g.live != nil {
			for _, text := range g.live.StandIns {
				if !slices.Contains(standIns, text) {
					standIns = append(standIns, text)
				}
			}
		}
	}
	add(newPart("state", "state", struct {
		Title, Counted, Left, Disk string
		Running                    bool
		Trouble, StandIns          []string
	}{s.title, survey.Counted(), watch.Seconds(survey.Left), watch.Megabytes(survey.Bytes), survey.Counts[watch.Running] > 0, s.folder.trouble, standIns}))
	var rows []row
	var troubles []row
	shown := s.shown()
	for _, state := range survey.Runs {
		r := s.folder.run(state.Name)
		w := newRow(state, r)
		rows = append(rows, w)
		if r != nil && r.history != nil && w.Reason == "" && !slices.Contains(shown, r) {
			w.Reason = "a copy of the run " + r.history.Run.Name() + ", left out of figures and tables"
		}
		if w.Reason != "" {
			troubles = append(troubles, w)
		}
	}
	slices.SortStableFunc(rows, compareRows)
	add(newPart("runs", "runs", struct {
		Rows, Troubles []row
		StandIns       bool
		Running        bool
	}{rows, troubles, standIns != nil, survey.Counts[watch.Running] > 0}))
	for i, g := range groups {
		id := ""
		if len(groups) > 1 {
			id = strconv.Itoa(i+1) + "-"
		}
		add(newPart(id+"about", "about", struct {
			ID, Title string
			Several   bool
			Live      *report.Live
			Trouble   error
		}{id + "about", g.title, len(groups) > 1, g.live, g.err}))
		if g.live == nil {
			continue
		}
		digests := map[*results.History]string{}
		var histories []*results.History
		for _, r := range g.runs {
			digests[r.history] = r.digest
			histories = append(histories, r.history)
		}
		random := references(histories)
		for _, f := range g.live.Figures {
			add(s.figure(id+f.Name, f, digests, random, false, strings.HasPrefix(f.Name, "alphas-")))
		}
		for _, t := range g.live.Tables {
			open := slices.Contains([]string{"table-final-error", "table-trained-error", "table-seeds"}, t.ID)
			t.ID, t.Files = id+t.ID, nil
			add(newPart(t.ID, "table", shownTable{t, open}))
		}
	}
	return parts, failed
}

// compareRows sorts what goes on first, then by space, algorithm and seed, and what cannot
// be read last.
func compareRows(a, b row) int {
	rank := func(w row) int {
		switch {
		case w.State == watch.Running:
			return 0
		case w.Algorithm == "":
			return 2
		}
		return 1
	}
	return cmp.Or(rank(a)-rank(b), strings.Compare(string(a.Space), string(b.Space)),
		plots.CompareCurves(results.Curve{Algorithm: a.Algorithm}, results.Curve{Algorithm: b.Algorithm}),
		cmp.Compare(a.Seed, b.Seed), strings.Compare(a.Preset, b.Preset), strings.Compare(a.Name, b.Name))
}

// pair is a line of a list of names and values.
type pair struct{ Name, Value string }

// ofRun is the parts of a run's page.
func (s *Handler) ofRun(r *run) ([]part, error) {
	var parts []part
	var failed error
	add := func(p part, err error) {
		if err != nil && failed == nil {
			failed = err
		}
		parts = append(parts, p)
	}
	w := newRow(r.state, r)
	head := struct {
		row
		Dir            string
		Started, Ended *Moment
		Warnings       []string
		StandIns       []string
	}{row: w, Dir: r.name}
	if r.history == nil {
		add(newPart("state", "run", head))
		add(newPart("files", "files", r.files))
		return parts, failed
	}
	h := r.history
	head.Started, head.Ended = momentOf(h.Status.Started), momentOf(h.Status.Ended)
	head.Warnings = slices.Clone(h.Warnings)
	for _, e := range h.Epochs {
		if e.Warning != "" && !slices.Contains(head.Warnings, e.Warning) {
			head.Warnings = append(head.Warnings, e.Warning)
		}
	}
	if w.StandInImages {
		head.StandIns = append(head.StandIns, "The images are a stand-in, not CIFAR-10.")
	}
	if w.StandIn {
		head.StandIns = append(head.StandIns, "The test errors are a stand-in's, not NAS-Bench-101's.")
	}
	add(newPart("state", "run", head))
	figures, err := figuresOf(h)
	if err != nil {
		add(newPart("figures", "trouble", err.Error()))
	}
	digests := map[*results.History]string{h: r.digest}
	for _, f := range figures {
		add(s.figure(f.Name, f, digests, nil, f.Name != "cells" && f.Name != "alphas", false))
	}
	if table := course(h); table.Rows != nil {
		add(newPart(table.ID, "table", shownTable{table, true}))
	}
	p := h.Run.Provenance
	add(newPart("provenance", "pairs", struct {
		ID, Title string
		Open      bool
		Pairs     []pair
	}{"provenance", "What it was measured on", true, slices.DeleteFunc([]pair{
		{"Images", p.Images}, {"", p.ImagesDetail}, {"Digest of the images", p.ImagesDigest},
		{"Table", p.Table}, {"", p.TableDetail}, {"Digest of the table", p.TableDigest}, {"Content of the table", p.TableContent},
		{"Preset", p.Preset}, {"Scale", p.Scale}, {"Engine", p.Engine}, {"Precision", p.Precision}, {"Device", p.Device},
		{"Configuration", h.Run.ConfigHash},
	}, func(p pair) bool { return p.Value == "" })}))
	if settings, err := h.Run.Settings(); err == nil {
		var all []pair
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			all = append(all, pair{name, settings[name]})
		}
		add(newPart("settings", "pairs", struct {
			ID, Title string
			Open      bool
			Pairs     []pair
		}{"settings", "Settings", false, all}))
	}
	add(newPart("files", "files", r.files))
	return parts, failed
}

// figuresOf lists the figures of a run.
func figuresOf(h *results.History) (all []report.Figure, err error) {
	defer fault.Catch(&err) // of a library
	if len(h.Epochs) == 0 {
		return nil, nil
	}
	return report.OfRun(h)
}

// course is the records of a run as a table, at most some dozens, evenly apart.
func course(h *results.History) report.Table {
	const most = 26
	t := report.Table{ID: "course", Title: "Records", First: "Epoch"}
	columns := []struct {
		title, name, format string
		factor              float64
	}{
		{"Test error (%)", "lookup.test_error", "%.2f", 100},
		{"Training accuracy (%)", "training.accuracy", "%.1f", 100},
		{"Search accuracy (%)", "search.accuracy", "%.1f", 100},
		{"Training perplexity", "language.training.perplexity", "%.1f", 1},
		{"Validation perplexity", "language.validation.perplexity", "%.1f", 1},
		{"λ", "hessian.reported", "%.3g", 1},
		{"Projection gap (points)", "projection.gap", "%.1f", 100},
		{"Projection gap (nats)", "language.projection.gap", "%.3f", 1},
		{"Width", "structure.width", "%.3g", 1},
		{"Depth", "structure.depth", "%.0f", 1},
		{"Changed decisions", "structure.changed", "%.0f", 1},
		{"Seconds", "seconds", "%.3g", 1},
	}
	var of []func(results.Epoch) *float64
	n := 0
	for _, c := range columns {
		q := results.Quantities[slices.IndexFunc(results.Quantities, func(q results.Quantity) bool { return q.Name == c.name })].Of
		if slices.ContainsFunc(h.Epochs, func(e results.Epoch) bool { return q(e) != nil }) {
			of = append(of, q)
			columns[n] = c
			n++
		}
	}
	columns = columns[:n]
	for _, c := range columns {
		t.Header = append(t.Header, c.title)
	}
	shown := min(len(h.Epochs), most)
	for i := range shown {
		e := h.Epochs[i*(len(h.Epochs)-1)/max(shown-1, 1)]
		cells := []string{strconv.Itoa(e.Epoch)}
		if e.Final {
			cells[0] += " (final)"
		}
		for k, c := range columns {
			text := ""
			if x := of[k](e); x != nil {
				text = fmt.Sprintf(c.format, c.factor**x)
			}
			cells = append(cells, text)
		}
		t.Rows = append(t.Rows, report.Plain(cells...))
	}
	if shown < len(h.Epochs) {
		t.Caption = []string{fmt.Sprintf("%d of %d records, evenly apart; nb1shot results export has all.", shown, len(h.Epochs))}
	}
	return t
}
