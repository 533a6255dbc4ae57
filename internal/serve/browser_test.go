package serve

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/results"
)

// browser is a headless Chromium that is spoken to through pipes, by its DevTools
// protocol: messages of JSON that end with a zero byte.
type browser struct {
	t        *testing.T
	to       *os.File
	messages chan message
	last     int
	session  string
	faults   []string // what the page complained of
}

type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// startBrowser starts Chromium with one empty page.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium to look at the pages with: apt-get install chromium")
	}
	toRead, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "chromium-") // which it may still write to when it has ended
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	command.ExtraFiles = []*os.File{toRead, fromWrite} // 3 and 4, as the protocol has it
	command.Env = append(os.Environ(), "HOME="+profile, "TZ=UTC")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to be ended with its children
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	fromWrite.Close()
	b := &browser{t: t, to: to, messages: make(chan message, 1000)}
	ended := fault.Start(func() {
		defer close(b.messages)
		lines := bufio.NewReader(from)
		for {
			text, err := lines.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) == nil {
				b.messages <- m
			}
		}
	})
	t.Cleanup(func() {
		syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		command.Wait()
		to.Close()
		from.Close()
		for range b.messages {
		}
		<-ended
		for range 20 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	var made struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call calls a method and waits for its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	if params == nil {
		params = struct{}{}
	}
	text, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": b.session})
	if b.session == "" {
		text, err = json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		select {
		case m, ok := <-b.messages:
			switch {
			case !ok:
				b.t.Fatalf("%s: the browser has ended", method)
			case m.Method == "Log.entryAdded", m.Method == "Runtime.exceptionThrown", m.Method == "Runtime.consoleAPICalled":
				b.faults = append(b.faults, string(m.Params))
			}
			if m.ID != b.last {
				continue
			}
			if m.Error != nil {
				b.t.Fatalf("%s: %s", method, m.Error.Message)
			}
			if result != nil {
				if err := json.Unmarshal(m.Result, result); err != nil {
					b.t.Fatalf("%s: %v", method, err)
				}
			}
			return
		case <-deadline:
			b.t.Fatalf("%s: no answer", method)
		}
	}
}

// evaluate evaluates an expression in the page, as text.
func (b *browser) evaluate(expression string) string {
	b.t.Helper()
	var r struct {
		Result struct {
			Value any
		}
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return fmt.Sprint(r.Result.Value)
}

// await waits until an expression is true.
func (b *browser) await(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if b.evaluate(expression) == "true" {
			return
		}
	}
	b.t.Fatalf("in 30 seconds it did not become true that %s", expression)
}

// drawn is that all figures are there but those that are folded away.
const drawn = `[...document.images].every((i) => i.closest("details:not([open])") || i.complete && i.naturalWidth > 0)`

// open opens an address at a width, and waits for its figures.
func (b *browser) open(address string, width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Page.navigate", map[string]any{"url": address}, nil)
	b.await(fmt.Sprintf(`location.href === %q && document.readyState === "complete" && %s`, address, drawn))
}

// screenshot takes a picture of the whole page to a file.
func (b *browser) screenshot(path string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, data, 0o666)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// The pages fit a desktop and a phone, load nothing that their policy forbids, and
// complain of nothing. With NB1SHOT_SCREENSHOTS, a folder, pictures of them are left there.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Chromium for every page: not in short mode")
	}
	b := startBrowser(t)
	hostile := t.TempDir()
	copyRuns(t, hostile, "s1-darts", 7)
	write(t, filepath.Join(hostile, strings.Repeat("long-name", 25)), "config.json", []byte("x"))
	write(t, filepath.Join(hostile, "<img src=x onerror=alert(1)>"), "config.json", []byte("<script>alert(1)</script>"+strings.Repeat("x", 300)))
	for name, dir := range map[string]string{"study": study, "hostile": hostile} {
		server := httptest.NewServer(newTest(t, dir))
		defer server.Close()
		for page, path := range map[string]string{"front": "/", "run": "/run/s1-darts-small-eb491bd4-seed0", "damaged": linkOf("<img src=x onerror=alert(1)>")} {
			if name == "study" && page == "damaged" {
				continue
			}
			for _, width := range []int{1280, 390} {
				b.open(server.URL+path, width)
				if got := b.evaluate(`document.scrollingElement.scrollWidth <= innerWidth && innerWidth`); got != fmt.Sprint(width) {
					widest := b.evaluate(`[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll")).map((e) => e.outerHTML.slice(0, 120)).join("\n")`)
					t.Errorf("%s page of %s, %d pixels wide: it is wider: %s\n%s", page, name, width, b.evaluate(`document.scrollingElement.scrollWidth`), widest)
				}
				if got := b.evaluate(`document.getElementById("pulse").textContent`); got != "live" {
					t.Errorf("%s page of %s: its script says %q", page, name, got)
				}
				if folder := os.Getenv("NB1SHOT_SCREENSHOTS"); folder != "" {
					b.screenshot(filepath.Join(folder, fmt.Sprintf("%s-%s-%d.png", name, page, width)))
				}
			}
		}
	}
	for _, fault := range b.faults {
		t.Errorf("the page complains: %.600s", fault)
	}
}

// A page that is open shows a record soon after it was appended, and what somebody has
// opened or scrolled stays so.
func TestBrowserRefresh(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Chromium for every page: not in short mode")
	}
	b := startBrowser(t)
	dir := t.TempDir()
	runs := copyRuns(t, dir, "s1-darts-small-eb491bd4-seed0", 5)
	server := httptest.NewServer(newTest(t, dir))
	defer server.Close()
	b.open(server.URL+"/", 1280)
	b.evaluate(`document.getElementById("table-final-error-details").open = document.getElementById("table-seeds-details").open = false; window.stays = true;
		document.querySelector("#part-table-final-error").dataset.mine = "1"; window.before = document.querySelector("img").src; 0`)
	records, err := results.Records(filepath.Join(study, filepath.Base(runs[0])))
	if err != nil {
		t.Fatal(err)
	}
	write(t, runs[0], "epochs.jsonl", bytes.Join(bytes.SplitAfter(records, []byte("\n"))[:6], nil))
	b.await(`document.querySelector("tbody").textContent.includes("6/100") && document.querySelector("img").src !== before`)
	b.await(drawn)
	if got := b.evaluate(`window.stays && document.querySelector("#part-table-final-error").dataset.mine === "1" && !document.getElementById("table-final-error-details").open`); got != "true" {
		t.Error("what did not change was made anew")
	}
	copyRuns(t, dir, "s2-darts-small-a1151768-seed0", 0)
	b.await(`document.querySelectorAll("table.runs tbody tr").length === 2 && document.body.textContent.includes("Space 2")`)
	b.await(`document.getElementById("table-seeds-details").textContent.includes("Space 2")`)
	if b.evaluate(`document.getElementById("table-seeds-details").open`) != "false" {
		t.Error("what was folded is unfolded")
	}
	// What is unfolded is drawn, and stays unfolded with the next record.
	b.evaluate(`const d = document.querySelector("[id^=part-alphas] details"); d.open = true; d.scrollIntoView(); 0`)
	b.await(drawn)
	write(t, runs[0], "epochs.jsonl", bytes.Join(bytes.SplitAfter(records, []byte("\n"))[:7], nil))
	b.await(`document.querySelector("tbody").textContent.includes("7/100") && ` + drawn)
	for _, fault := range b.faults {
		t.Errorf("the page complains: %.600s", fault)
	}
	server.CloseClientConnections()
	server.Close()
	b.await(`document.getElementById("pulse").textContent.startsWith("no answer since ")`)
}
