package serve

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/watch"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// study is recorded runs.
const study = "../../results/study"

// copyRuns copies runs of the study whose names begin so into a folder, with records of
// so many epochs; 0 copies all of them.
func copyRuns(t *testing.T, to, prefix string, epochs int) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(study, prefix+"*"))
	if err != nil || dirs == nil {
		t.Fatalf("no runs %s: %v", prefix, err)
	}
	for i, dir := range dirs {
		records, err := results.Records(dir)
		if err != nil {
			t.Fatal(err)
		}
		config, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(filepath.Join(dir, "status.json"))
		if err != nil {
			t.Fatal(err)
		}
		if epochs > 0 {
			records = bytes.Join(bytes.SplitAfterN(records, []byte("\n"), epochs+1)[:epochs], nil)
			status = []byte(`{"state":"running","started":"2026-01-01T00:00:00Z","process":"4711 on elsewhere"}`)
		}
		dirs[i] = filepath.Join(to, filepath.Base(dir))
		write(t, dirs[i], "config.json", config)
		write(t, dirs[i], "status.json", status)
		write(t, dirs[i], "epochs.jsonl", records)
	}
	return dirs
}

// write writes a file that is older than what a page takes for new.
func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func newTest(t *testing.T, dir string) *Handler {
	t.Helper()
	h, err := New(Options{Dir: dir, Program: "nb1shot test", Hosts: []string{"here.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks for a path, with headers in pairs.
func get(h *Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8000/", nil)
	r.URL.Path = path
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// checked returns a page, which must be well-formed, run nothing of its own and lead to
// what is there.
func checked(t *testing.T, h *Handler, path string) string {
	t.Helper()
	w := get(h, path)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	text := w.Body.String()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is not well-formed: %v\n%s", path, err, text)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if element.Name.Local == "style" {
			t.Errorf("%s has styles of its own", path)
		}
		source := ""
		for _, a := range element.Attr {
			if name := a.Name.Local; strings.HasPrefix(name, "on") || name == "style" {
				t.Errorf("%s: %s of %s", path, name, element.Name.Local)
			} else if name == "src" || name == "srcset" || name == "href" {
				source = a.Value
				target, err := url.PathUnescape(source)
				if err != nil || !strings.HasPrefix(target, "/") {
					t.Errorf("%s leads to %q", path, source)
				} else if got := get(h, target); got.Code != http.StatusOK {
					t.Errorf("%s leads to %q: %d %s", path, source, got.Code, got.Body)
				}
			}
		}
		if element.Name.Local == "script" && source != "/live.js" {
			t.Errorf("%s runs %q", path, source)
		}
	}
	return text
}

func TestPages(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(study, "s*-seed*"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	h := newTest(t, study)
	front := checked(t, h, "/")
	for _, want := range []string{
		"Runs in study", fmt.Sprintf("%d finished; ", len(all)), `<a href="/run/s1-darts-small-eb491bd4-seed0">DARTS, space 1, seed 0</a>`,
		"Anytime test error: DARTS, SDARTS-RS, SDARTS-ADV", "Discovered cells, space 2", "Final test error (%)",
		"Device: CPU, amd64", "Preset small: 3 cells",
	} {
		if !strings.Contains(front, want) {
			t.Errorf("the front page lacks %q", want)
		}
	}
	run := checked(t, h, "/run/s1-darts-small-eb491bd4-seed0")
	for _, want := range []string{
		"DARTS, space 1, seed 0</h1>", "100/100 in 40 min 25 s", "6.70 % last, 6.29 % best", "Anytime test error", "Dominant eigenvalue", "Accuracy of the supernet",
		"Projection gap", "The first, the best and the last cell", "Architecture parameters", "settings.momentum", "Digest of the table", "epochs.jsonl", "100 (final)",
	} {
		if !strings.Contains(run, want) {
			t.Errorf("the page of a run lacks %q", want)
		}
	}
	figures := 0
	for _, text := range []string{front, run} {
		for part := range strings.SplitSeq(text, "<figure>") {
			if !strings.Contains(part, "/figure/") {
				continue
			}
			figures++
			for _, origin := range []string{"Images: CIFAR-10", "Table: NAS-Bench-101 means", "Preset small: 3 cells", "Device: CPU"} {
				if !strings.Contains(part, origin) {
					t.Errorf("a figure does not say %q: %.200s", origin, part)
				}
			}
		}
	}
	if figures < 12 {
		t.Errorf("%d figures", figures)
	}
	one := newTest(t, filepath.Join(study, "s1-darts-small-eb491bd4-seed0"))
	if page := checked(t, one, "/"); !strings.Contains(page, "1 finished") || !strings.Contains(page, `href="/run/s1-darts-small-eb491bd4-seed0"`) {
		t.Error("a folder that is a run shows none")
	}
	if _, err := New(Options{Dir: filepath.Join(study, "nothing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no folder: %v", err)
	}
}

func TestRequests(t *testing.T) {
	h := newTest(t, study)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://localhost/", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:81": 200, "localhost.": 200, "127.0.0.1:8000": 200, "[::1]:8000": 200, "[::1]": 200, "10.1.2.3:80": 200, "here.example:1": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:80": 421, "evil.example:8000": 421, "": 421, "[evil]:1": 421,
	} {
		r := httptest.NewRequest(http.MethodHead, "http://x/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("called %q: %d, want %d", host, w.Code, want)
		}
		if w.Body.Len() > 0 && want == 200 {
			t.Errorf("HEAD of %q has a body", host)
		}
	}
	for _, path := range []string{"/", "/live.js", "/live.css", "/nothing", "/run/x"} {
		header := get(h, path).Header()
		if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; ") || strings.Contains(header.Get("Content-Security-Policy"), "unsafe") ||
			header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, header)
		}
	}
	for _, path := range []string{
		"", "//", "/..", "/run", "/run/", "/run/.", "/run/..", "/run/../study", "/run/s1-darts-small-eb491bd4-seed0/", "/run/s1-darts-small-eb491bd4-seed0/config.json",
		"/run/../../../etc/passwd", "/etc/passwd", "/figure/", "/figure/x-wide.svg", "/figure/../../go.mod", "/config.json", "/run/\x00", "/live.js/", "/run//etc",
	} {
		if w := get(h, path); w.Code != http.StatusNotFound {
			t.Errorf("%q: %d %.80s", path, w.Code, w.Body)
		}
	}
}

// Whatever stands in a folder, the others are shown, and it is told why not.
func TestHostile(t *testing.T) {
	secret := t.TempDir()
	write(t, secret, "config.json", []byte(`{"format":1,"secret":"TOP SECRET"}`))
	write(t, secret, "status.json", []byte(`TOP SECRET`))
	dir := t.TempDir()
	good := copyRuns(t, dir, "s1-darts", 0)
	names := []string{`<script>alert(1)<`, `"onmouseover="x`, "esc\x1b[31m", "\u202egnol", "not\xffutf8", "a b%2f..%2f", "?q#f", strings.Repeat("n", 200), "new\nline"}
	for i, name := range names {
		run := filepath.Join(dir, name)
		write(t, run, "config.json", []byte(fmt.Sprintf("{<b>%d\x1b[2J", i)))
	}
	in := func(name string) string { // a good run with something wrong
		to := filepath.Join(dir, name)
		for _, file := range []string{"config.json", "status.json", "epochs.jsonl"} {
			data, err := os.ReadFile(filepath.Join(good[0], file))
			if err != nil {
				t.Fatal(err)
			}
			write(t, to, file, data)
		}
		return to
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Symlink(secret, filepath.Join(dir, "link-out")))
	check(os.Symlink(good[0], filepath.Join(dir, "link-absolute")))
	check(os.Symlink("nowhere", filepath.Join(dir, "link-nowhere")))
	check(os.Symlink(filepath.Base(good[0]), filepath.Join(dir, "again")))
	file := in("file-out")
	check(os.Remove(filepath.Join(file, "status.json")))
	check(os.Symlink(filepath.Join(secret, "status.json"), filepath.Join(file, "status.json")))
	pipe := in("pipe")
	check(os.Remove(filepath.Join(pipe, "epochs.jsonl")))
	check(syscall.Mkfifo(filepath.Join(pipe, "epochs.jsonl"), 0o666))
	device := in("device")
	check(os.Remove(filepath.Join(device, "status.json")))
	check(os.Symlink("/dev/zero", filepath.Join(device, "status.json")))
	huge := in("huge")
	check(os.Truncate(filepath.Join(huge, "epochs.jsonl"), 1<<40))
	changed := in("changed")
	text, err := os.ReadFile(filepath.Join(changed, "epochs.jsonl"))
	check(err)
	write(t, changed, "status.json", []byte(`{"state":"finished","started":"2026-01-01T00:00:00Z","record":{"bytes":7,"sha256":"00"}}`))
	write(t, changed, "epochs.jsonl", text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1])
	write(t, dir, "sweep.json", []byte(`{"format":1,"<i>":2}`))
	check(os.Mkdir(filepath.Join(dir, "no run"), 0o777))

	h := newTest(t, dir)
	done := make(chan string, 1)
	pages := func() string {
		text := checked(t, h, "/")
		for _, r := range h.folder.runs {
			text += checked(t, h, "/run/"+r.name)
		}
		return text
	}
	failed := make(chan struct{})
	timer := time.AfterFunc(time.Minute, func() { close(failed) })
	defer timer.Stop()
	done <- pages()
	select {
	case <-failed:
		t.Error("it took a minute")
	default:
	}
	all := <-done
	if strings.Contains(all, "SECRET") {
		t.Error("what a link leads to was read")
	}
	if strings.ContainsAny(all, "\x1b\u202e") || strings.Contains(all, "<script>alert") || strings.Contains(all, "<b>") {
		t.Error("what stands in files and names stands in the page as it is")
	}
	front := get(h, "/").Body.String()
	for _, want := range []string{
		"4 finished, 16 damaged", "link-out: damaged", "path escapes from parent", "file-out: damaged", "pipe: damaged", "epochs.jsonl: want a regular file", "device: damaged",
		"huge: damaged", "too large", "changed: damaged", "was changed after the run had ended", "sweep.json: ", "esc\\u001b[31m",
		"3 runs of 1 algorithm on search space 1; 3 finished.", "again: finished", "a copy of the run s1-darts-small-eb491bd4-seed0",
	} {
		if !strings.Contains(html.UnescapeString(front), want) {
			t.Errorf("the front page lacks %q", want)
		}
	}
	if strings.Contains(front, "no run<") || strings.Contains(front, "link-nowhere") {
		t.Error("what is no run is listed")
	}
	if t.Failed() {
		t.Log(front)
	}
}

var figureAddress = regexp.MustCompile(`/figure/[0-9a-f]+-wide\.svg`)

// While nothing changes, nothing is read or drawn again; a record that is appended is
// shown, and only what it changes is drawn anew.
func TestRefresh(t *testing.T) {
	dir := t.TempDir()
	runs := copyRuns(t, dir, "s1-darts-small-eb491bd4-seed0", 5)
	copyRuns(t, dir, "s2-darts-small-a1151768-seed0", 0)
	h := newTest(t, dir)
	front := get(h, "/")
	if front.Code != 200 || !strings.Contains(front.Body.String(), "1 finished, 1 running") || !strings.Contains(front.Body.String(), "5/100") {
		t.Fatalf("%d %s", front.Code, front.Body)
	}
	again := func() *httptest.ResponseRecorder {
		h.looked = time.Time{}
		return get(h, "/", "If-None-Match", front.Header().Get("ETag"))
	}
	if w := again(); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("the same again: %d, %d bytes", w.Code, w.Body.Len())
	}
	status, err := os.ReadFile(filepath.Join(runs[0], "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(runs[0], "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	in := func(status []byte, at time.Time) {
		path := filepath.Join(runs[0], "status.json")
		if err := errors.Join(os.WriteFile(path, status, 0o666), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	in(bytes.Replace(status, []byte("elsewhere"), []byte("somewhere"), 1), info.ModTime())
	if w := again(); w.Code != http.StatusNotModified {
		t.Error("a file is read again whose size and time are as they were")
	}
	in(status, info.ModTime())
	addresses := figureAddress.FindAllString(front.Body.String(), -1)
	drawn := get(h, addresses[0])
	if etag := drawn.Header().Get("ETag"); get(h, addresses[0], "If-None-Match", etag).Code != http.StatusNotModified || !strings.Contains(drawn.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("a figure is sent twice: %v", drawn.Header())
	}
	if n := h.figures.bytes; n != drawn.Body.Len() {
		t.Errorf("%d bytes of drawings are kept, want %d", n, drawn.Body.Len())
	}

	records, err := results.Records(filepath.Join(study, filepath.Base(runs[0])))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(runs[0], "epochs.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.SplitAfter(records, []byte("\n"))[5]
	file.Write(line[:100]) // half of it, as a writer may leave it for a moment
	if w := again(); w.Code != 200 || !strings.Contains(w.Body.String(), "5/100") {
		t.Errorf("with half a record: %d", w.Code)
	}
	file.Write(line[100:])
	file.Close()
	w := again()
	if w.Code != 200 || !strings.Contains(w.Body.String(), "6/100") {
		t.Errorf("with one record more: %d %s", w.Code, w.Body)
	}
	after := figureAddress.FindAllString(w.Body.String(), -1)
	if len(after) != len(addresses) || slices.Contains(after, addresses[0]) || !slices.Contains(addresses, after[len(after)-1]) {
		t.Errorf("figures %v became %v: want those with the new record anew, that of the finished run as it was", addresses, after)
	}
	if get(h, addresses[0]).Code != 200 {
		t.Error("a page that was just sent has lost its figures")
	}
	// A file that changes within the tick of its clock.
	now := time.Now()
	in(status, now)
	again()
	in(bytes.Replace(status, []byte("elsewhere"), []byte("somewhere"), 1), now)
	if w := again(); !strings.Contains(w.Body.String(), "4711 on somewhere") {
		t.Error("a change of the same length and time is not seen")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if w := again(); w.Code != 200 || !strings.Contains(w.Body.String(), "no such file") {
		t.Errorf("without the folder: %d %s", w.Code, w.Body)
	}
}

// Runs that no figure may show together are shown apart.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	copyRuns(t, dir, "s1-darts", 0)
	former, err := filepath.Glob("../../command/testdata/former-quick/*")
	if err != nil || len(former) != 3 {
		t.Fatal(former, err)
	}
	for _, run := range former {
		if err := os.CopyFS(filepath.Join(dir, filepath.Base(run)), os.DirFS(run)); err != nil {
			t.Fatal(err)
		}
	}
	text := checked(t, newTest(t, dir), "/")
	for _, want := range []string{`<h2 id="1-about">Preset small: 3 cells`, `<h2 id="2-about">Preset quick: 3 cells`, "The images are a stand-in", `id="part-2-hessian-`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	empty := checked(t, newTest(t, t.TempDir()), "/")
	if !strings.Contains(empty, "No run is here yet") || !strings.Contains(empty, "no runs") {
		t.Error(empty)
	}
}

// Several readers at once, while records arrive, get whole pages and their figures.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	runs := copyRuns(t, dir, "s1-darts-small-eb491bd4-seed0", 3)
	records, err := results.Records(filepath.Join(study, filepath.Base(runs[0])))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(records, []byte("\n"))
	h := newTest(t, dir)
	var readers fault.Group
	for i := range 4 {
		readers.Go(func() {
			for range 5 {
				path := []string{"/", linkOf(filepath.Base(runs[0]))}[i%2]
				text := get(h, path).Body.String()
				if !strings.HasSuffix(text, "</html>\n") {
					t.Errorf("%s: %.200s", path, text)
				}
				for _, figure := range figureAddress.FindAllString(text, 2) {
					if w := get(h, figure); w.Code != http.StatusOK {
						t.Errorf("%s: %d", figure, w.Code)
					}
				}
			}
		})
	}
	for n := range 8 {
		write(t, runs[0], "epochs.jsonl", bytes.Join(lines[:4+n], nil))
		h.mutex.Lock()
		h.looked = time.Time{}
		h.mutex.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	readers.Wait()
}

// What goes on comes first, then all by space, algorithm and seed, also what is missing,
// and last what has no algorithm.
func TestCompareRows(t *testing.T) {
	of := func(space spaces.Name, algorithm string, seed uint64, state watch.State, preset string) row {
		return row{Run: watch.Run{Name: fmt.Sprint(algorithm, seed), Space: space, Algorithm: algorithm, Seed: seed, State: state}, Preset: preset}
	}
	want := []row{
		of("1", "darts", 2, watch.Running, "smoke"), of("2", "darts", 0, watch.Running, "smoke"),
		of("1", "darts", 0, watch.Finished, "smoke"), of("1", "darts", 1, watch.Missing, ""), of("1", "darts", 3, watch.Finished, "quick"),
		of("1", "darts", 3, watch.Finished, "smoke"), of("1", "sdarts-rs", 0, watch.Failed, "smoke"), of("2", "darts", 10, watch.Finished, "smoke"),
		of("", "", 0, watch.Damaged, ""),
	}
	got := slices.Clone(want)
	for range 20 {
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, compareRows)
		if !slices.Equal(got, want) {
			t.Fatalf("%v\nwant\n%v", got, want)
		}
	}
}
