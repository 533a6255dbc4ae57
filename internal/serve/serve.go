// Package serve shows a folder of runs as a live page: the figures and tables of a
// report, a table of the runs, and a page for each run, refreshed as records arrive. It
// only ever reads, nothing outside the folder, and draws a figure when it is looked at
// and what it shows has changed.
package serve

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/report"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Options say what is served and to whom.
type Options struct {
	Dir     string // a folder of run directories, or a run directory
	Program string // for people, such as "nb1shot 1.0"
	// Hosts are names besides IP addresses and localhost by which the server may be
	// called. Others are refused: a page elsewhere could have its own name lead here.
	Hosts []string
	// Anchors returns what regrets are counted from, by space.
	Anchors func([]*results.History) (map[spaces.Name]stability.Anchor, error)
}

// Handler is the pages. It is an http.Handler.
type Handler struct {
	options Options
	title   string // of the folder
	figures *gallery

	mutex   sync.Mutex
	looked  time.Time // at the folder
	folder  *folder
	groups  map[string]*group  // by what is in them
	anchors map[string]anchors // by the tables and spaces that they are of
	pages   map[string]page    // by path, of the folder's version
}

type anchors = map[spaces.Name]stability.Anchor

// page is a page as it is sent.
type page struct {
	text []byte
	etag string
}

// patience is for how long what was seen of the folder is taken for what is there.
const patience = 500 * time.Millisecond

// New returns a handler. The folder must be there.
func New(o Options) (*Handler, error) {
	info, err := os.Stat(o.Dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no folder", o.Dir)
	}
	title := o.Dir
	if absolute, err := filepath.Abs(o.Dir); err == nil {
		title = filepath.Base(absolute)
	}
	return &Handler{options: o, title: title, figures: newGallery(), anchors: map[string]anchors{}}, nil
}

var (
	//go:embed live.js
	script []byte
	//go:embed live.css
	style string
	//go:embed live.svg
	icon []byte
)

// policy lets the pages load what is served beside them, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers GET and HEAD.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	if !s.knows(r.Host) {
		http.Error(w, "This server is not called by that name: use the address that it printed.", http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "Nothing is ever written here: GET and HEAD only.", http.StatusMethodNotAllowed)
		return
	}
	switch path := r.URL.Path; {
	case path == "/live.js":
		s.send(w, r, "text/javascript; charset=utf-8", page{script, etagOf(script)})
	case path == "/live.css":
		text := []byte(report.Style + style)
		s.send(w, r, "text/css; charset=utf-8", page{text, etagOf(text)})
	case path == "/live.svg":
		s.send(w, r, "image/svg+xml", page{icon, etagOf(icon)})
	case strings.HasPrefix(path, figurePath):
		s.serveFigure(w, r, strings.TrimPrefix(path, figurePath))
	default:
		p, ok, err := s.page(path)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !ok:
			http.Error(w, "There is no such page. The list of runs is at /.", http.StatusNotFound)
		default:
			s.send(w, r, "text/html; charset=utf-8", p)
		}
	}
}

// send answers with a page, or says that the one that is there is still the same.
func (s *Handler) send(w http.ResponseWriter, r *http.Request, kind string, p page) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("ETag", p.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.text)) // compares the ETag
}

// knows tells whether the server may be called by the Host of a request. What names an IP
// address cannot have been made to lead here by somebody's name server.
func (s *Handler) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "localhost" {
		return true
	}
	return host != "" && slices.ContainsFunc(s.options.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// runPath is what the addresses of runs' pages begin with.
const runPath = "/run/"

func linkOf(name string) string { return runPath + url.PathEscape(name) }

// page makes the page at a path, unless it is there; false where there is none.
func (s *Handler) page(path string) (page, bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.look()
	if p, ok := s.pages[path]; ok {
		return p, true, nil
	}
	var parts []part
	var err error
	title := s.title
	name, isRun := strings.CutPrefix(path, runPath)
	switch r := s.folder.run(name); {
	case path == "/":
		parts, err = s.front()
	case isRun && r != nil: // a name of the list, whatever it looks like
		title = name
		parts, err = s.ofRun(r)
	default:
		return page{}, false, nil
	}
	if err != nil {
		return page{}, false, err
	}
	p, err := s.compose(title, path, parts)
	if err != nil {
		return page{}, false, err
	}
	s.pages[path] = p
	return p, true, nil
}

// look looks at the folder, unless it has just done so.
func (s *Handler) look() {
	now := time.Now()
	if s.folder != nil && now.Sub(s.looked) < patience {
		return
	}
	s.looked = now
	f := readFolder(s.options.Dir, s.folder, now)
	if s.folder == nil || f.version != s.folder.version {
		s.pages = map[string]page{}
	}
	s.folder = f
}
