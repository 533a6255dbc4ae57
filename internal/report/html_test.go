package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/results"
)

// checkPage reads a page as strict XML and returns what in it is not as it must
// be: it loads nothing, its links lead to places on it or to the given files, its
// figures have texts for those who cannot see them.
func checkPage(page string, files map[string]string) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	decoder := xml.NewDecoder(strings.NewReader(page))
	ids, links := map[string]bool{}, []string{}
	element := ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fault("not well-formed: %v", err)
			break
		}
		switch token := token.(type) {
		case xml.StartElement:
			element = token.Name.Local
			switch element {
			case "script", "img", "link", "iframe", "object", "embed", "audio", "video", "source", "image", "use", "base", "form", "foreignObject":
				fault("element %s", element)
			}
			label := ""
			for _, a := range token.Attr {
				switch name := a.Name.Local; {
				case name == "id":
					if ids[a.Value] {
						fault("two elements %s", a.Value)
					}
					ids[a.Value] = true
				case name == "href" && element == "a":
					links = append(links, a.Value)
				case name == "aria-label":
					label = a.Value
				case name == "src" || name == "srcset" || name == "href" || name == "data" || name == "poster" || strings.HasPrefix(name, "on"):
					fault("attribute %s of %s", name, element)
				}
				if strings.Contains(strings.ToLower(a.Value), "url(") {
					fault("%s of %s loads %.40s", a.Name.Local, element, a.Value)
				}
			}
			if element == "svg" && len(label) < 20 {
				fault("a figure without a text: %q", label)
			}
		case xml.CharData:
			if element != "style" {
				continue
			}
			for _, m := range regexp.MustCompile(`(?i)@import|url\(\s*["']?([^)]{0,12})`).FindAllStringSubmatch(string(token), -1) {
				if !strings.HasPrefix(m[1], "data:") {
					fault("the style loads %s", m[0])
				}
			}
		case xml.EndElement:
			element = ""
		}
	}
	for _, link := range links {
		place, isPlace := strings.CutPrefix(link, "#")
		if _, isFile := files[link]; isPlace && !ids[place] || !isPlace && !isFile {
			fault("link to %s, which is not there", link)
		}
	}
	for _, scheme := range []string{"http:", "https:", "file:"} {
		if strings.Contains(page, scheme) {
			fault("an address of %s", scheme)
		}
	}
	return faults
}

func TestPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	in := testInput(t)
	in.Landscapes = nil
	hostile := testProvenance()
	hostile.ImagesDetail, hostile.Device = `</text></svg><script>alert("1")</script> & $1 'x'`, `<img src="x"/>`
	for i, h := range in.Runs {
		in.Runs[i] = historyOf(t, h.Run.Space, h.Run.Algorithm, h.Run.Seed, hostile, testConfig)
		in.Runs[i].Epochs[0].Warning = `<b onclick="x()">`
	}
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	files := folder(t, dir)
	page := files[Page]
	for _, fault := range checkPage(page, files) {
		t.Error(fault)
	}
	for _, want := range []string{
		`name="viewport" content="width=device-width`, "prefers-color-scheme: dark", "@media print", "12 runs of 3 algorithms on search spaces 1, 2; 12 finished.",
		"The images are a stand-in, not CIFAR-10.", "The test errors are a stand-in&#39;s, not NAS-Bench-101&#39;s.", "Seeds 0, 1, none missing or failed.",
		"&lt;b onclick=", `<th scope="row">SDARTS-ADV</th><td>6.50 ± 0.71</td>`, `<a href="seeds.tex">`,
		"Anytime test error: DARTS, SDARTS-ADV, ENAS</h3>", "Dominant eigenvalue of the architecture Hessian: DARTS, SDARTS-ADV</h3>", // without those that have no runs
		"SDARTS-ADV, space 2: 6.50 ± 0.71 %", // in the text of a figure
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "Images: "); n != 1 {
		t.Errorf("the page says %d times what it is about, want once", n)
	}
	if n := strings.Count(page, `<svg class="wide"`); n != 4 || strings.Count(page, `<svg class="narrow"`) != n {
		t.Errorf("%d figures, want 4 in two widths", n)
	}
}

// The check finds what a page must not have.
func TestCheckPage(t *testing.T) {
	for body, sound := range map[string]bool{
		`<p id="x">text</p><a href="#x">here</a><a href="seeds.csv">file</a>`: true,
		`<p>open`:                                    false,
		`<img src="data:image/png,"/>`:               false,
		`<a href="#nowhere">x</a>`:                   false,
		`<a href="other.csv">x</a>`:                  false,
		`<p id="x"/><p id="x"/>`:                     false,
		`<p style="background:url(x)"/>`:             false,
		`<style>@import "x";</style>`:                false,
		`<style>p{background:url(x.png)}</style>`:    false,
		`<style>p{background:url("data:x")}</style>`: true,
		`<p onclick="x()"/>`:                         false,
		`<svg aria-label="short"/>`:                  false,
		`<p>see https://example.org</p>`:             false,
	} {
		faults := checkPage("<!DOCTYPE html>\n<html><body>"+body+"</body></html>", map[string]string{"seeds.csv": ""})
		if (faults == nil) != sound {
			t.Errorf("%s: %q", body, faults)
		}
	}
}

// widths is a page that lays out another one as wide as a phone, in an element of
// its own, and says by how much anything in it is too wide.
const widths = `<!DOCTYPE html><html><body><iframe id="phone" src="/page" style="width:%dpx;height:800px;border:0"></iframe><pre id="verdict">none</pre><script>
document.getElementById("phone").onload = function () {
  var inner = this.contentDocument, root = inner.documentElement;
  var shown = 0;
  inner.querySelectorAll("svg").forEach(function (s) { if (s.getBoundingClientRect().width > 100) shown++; });
  document.getElementById("verdict").textContent = "measured " + root.clientWidth + " " + root.scrollWidth + " " + shown;
};
</script></body></html>`

// In a browser, the page is no wider than a phone, and shows every figure once.
// go test -artifacts keeps screenshots.
func TestBrowser(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("neither chromium nor google-chrome is installed: the page is not laid out")
	}
	dir := filepath.Join(t.TempDir(), "report")
	in := testInput(t)
	long := testProvenance()
	long.ImagesDetail = strings.Repeat("a_very_long_word_without_a_space", 5)
	for i, h := range in.Runs {
		in.Runs[i] = historyOf(t, h.Run.Space, h.Run.Algorithm, h.Run.Seed, long, testConfig)
	}
	in.Landscapes = []results.RunLandscape{runLandscape(in.Runs[0].Run)}
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, Page))
	if err != nil {
		t.Fatal(err)
	}
	var lock sync.Mutex
	var others []string // what is asked for beside the page
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		var width int
		if _, err := fmt.Sscanf(r.URL.Path, "/width/%d", &width); err == nil {
			fmt.Fprintf(w, widths, width)
			return
		}
		if r.URL.Path == "/page" {
			w.Write(page)
			return
		}
		lock.Lock()
		others = append(others, r.URL.Path)
		lock.Unlock()
		http.NotFound(w, r)
	}))
	defer site.Close()
	run := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), browser, append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir=" + t.TempDir(), "--virtual-time-budget=10000",
		}, args...)...)
		command.WaitDelay = 5 * time.Second
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", browser, err)
		}
		return string(output)
	}
	for _, width := range []int{320, 360, 800} {
		dom := run("--window-size=1200,900", "--dump-dom", fmt.Sprintf("%s/width/%d", site.URL, width))
		_, verdict, _ := strings.Cut(dom, `<pre id="verdict">measured `)
		var client, scroll, shown int
		if _, err := fmt.Sscanf(verdict, "%d %d %d", &client, &scroll, &shown); err != nil {
			t.Fatalf("no verdict in %s", dom)
		}
		if client > width || scroll > client {
			t.Errorf("at %d px the page is %d px wide in %d", width, scroll, client)
		}
		if shown != 6 {
			t.Errorf("at %d px %d figures are shown, want 6", width, shown)
		}
	}
	for _, width := range []int{500, 1000} { // no browser makes its window narrower
		shot := filepath.Join(t.ArtifactDir(), fmt.Sprintf("page-%d.png", width))
		run(fmt.Sprintf("--window-size=%d,9000", width), "--screenshot="+shot, site.URL+"/page")
		if info, err := os.Stat(shot); err != nil || info.Size() < 10000 {
			t.Errorf("screenshot: %v", err)
		}
	}
	lock.Lock()
	defer lock.Unlock()
	for _, request := range others {
		if request != "/favicon.ico" { // which browsers ask for by themselves
			t.Errorf("the page loads %s", request)
		}
	}
}
