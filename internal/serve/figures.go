package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/report"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

// figurePath is what the addresses of figures begin with. A figure is addressed by what
// it shows, so it never changes at its address.
const figurePath = "/figure/"

// The widths of figures, by the end of their addresses.
var widths = map[string]plots.Width{"-wide.svg": plots.Page, "-narrow.svg": plots.Column}

// gallery keeps the figures of the pages, and those drawings that were looked at.
type gallery struct {
	mutex sync.Mutex
	shown map[string]*exhibit // by key
	order []string            // the keys, the one longest unused first
	bytes int                 // of all drawings
	seats chan struct{}       // for those who draw
}

// Bounds on the gallery.
const (
	maxExhibits = 2000
	maxDrawings = 128 << 20 // bytes
	drawers     = 2         // figures that are drawn at a time
)

// exhibit is a figure of the gallery.
type exhibit struct {
	report.Figure
	mutex    sync.Mutex // held while it is drawn
	notes    []string
	noted    bool
	drawings map[plots.Width][]byte
}

func newGallery() *gallery {
	return &gallery{shown: map[string]*exhibit{}, seats: make(chan struct{}, drawers)}
}

// keyOf identifies what a figure shows: its words and the records of its runs.
func keyOf(f report.Figure, digests map[*results.History]string, random map[string]string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q\n", f.Name, f.Title, f.Alt, f.Caption)
	for _, name := range slices.Sorted(maps.Keys(random)) {
		fmt.Fprintf(sum, "%s %s\n", name, random[name])
	}
	for _, c := range f.Curves {
		fmt.Fprintf(sum, "%q\n", plots.CurveName(c))
		for _, h := range c.Runs {
			fmt.Fprintf(sum, "%s %s\n", digests[h], h.Status.State)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// references are the lines that figures of runs have beside their curves.
func references(runs []*results.History) map[string]string {
	all := map[string]string{}
	for space, x := range stability.Random(runs) {
		all[string(space)] = fmt.Sprint(x)
	}
	return all
}

// hang puts a figure into the gallery, and returns it as it is there.
func (g *gallery) hang(key string, f report.Figure) *exhibit {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	e := g.use(key)
	if e == nil {
		e = &exhibit{Figure: f, drawings: map[plots.Width][]byte{}}
		g.shown[key] = e
		g.order = append(g.order, key)
	}
	for len(g.order) > maxExhibits {
		g.drop()
	}
	return e
}

// use returns an exhibit and makes it the last to go; nil where there is none.
func (g *gallery) use(key string) *exhibit {
	e := g.shown[key]
	if e != nil {
		i := slices.Index(g.order, key)
		g.order = append(slices.Delete(g.order, i, i+1), key)
	}
	return e
}

// drop takes down what was unused for longest.
func (g *gallery) drop() {
	for _, drawing := range g.shown[g.order[0]].drawings {
		g.bytes -= len(drawing)
	}
	delete(g.shown, g.order[0])
	g.order = g.order[1:]
}

// explain returns the notes of a figure.
func (e *exhibit) explain() (notes []string, err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.noted {
		return e.notes, nil
	}
	defer fault.Catch(&err) // of a library
	if _, e.notes, err = e.Build(plots.Page); err == nil {
		e.noted = true
	}
	return e.notes, err
}

// draw returns the drawing of a width, as SVG.
func (g *gallery) draw(e *exhibit, w plots.Width) (svg []byte, err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	g.mutex.Lock()
	svg = e.drawings[w]
	g.mutex.Unlock()
	if svg != nil {
		return svg, nil
	}
	g.seats <- struct{}{}
	defer func() { <-g.seats }()
	defer fault.Catch(&err) // of a library
	f, _, err := e.Build(w)
	if err != nil {
		return nil, err
	}
	if svg, err = f.Encode("figure.svg"); err != nil {
		return nil, err
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if slices.Contains(slices.Collect(maps.Values(g.shown)), e) {
		e.drawings[w] = svg
		g.bytes += len(svg)
		for g.bytes > maxDrawings && len(g.order) > 1 {
			g.drop()
		}
	}
	return svg, nil
}

// serveFigure answers with a drawing.
func (s *Handler) serveFigure(w http.ResponseWriter, r *http.Request, name string) {
	for ending, width := range widths {
		key, ok := strings.CutSuffix(name, ending)
		if !ok {
			continue
		}
		s.figures.mutex.Lock()
		e := s.figures.use(key)
		s.figures.mutex.Unlock()
		if e == nil {
			break
		}
		svg, err := s.figures.draw(e, width)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "private, max-age=86400, immutable")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; font-src data:; sandbox") // opened by itself
		s.send(w, r, "image/svg+xml", page{svg, etagOf([]byte(name))})
		return
	}
	http.Error(w, "This figure is no longer shown: what it shows has changed.", http.StatusNotFound)
}
