package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nb1shot": Main, "own": ownMain})
}

// ownMain is another module's program: with an algorithm that searches space 2 alone.
func ownMain() {
	d, err := algorithms.Lookup("random-search")
	if err != nil {
		panic(err)
	}
	d.Name, d.Title, d.Look.Place = "picky", "Picky", 0
	d.Supports = func(space *spaces.Space) error {
		if space.Name() != "2" {
			return errors.New("it was written for space 2")
		}
		return nil
	}
	algorithms.Register(d)
	Main()
}

func TestScripts(t *testing.T) {
	folder := goldenFolder(t)
	former, err := filepath.Abs("testdata/former-quick")
	if err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(t.TempDir(), "synthetic.sqlite")
	if err := nasbench.Import(t.Context(), filepath.Join(folder, "tfrecord_synthetic", "synthetic.tfrecord"), table, nil); err != nil {
		t.Fatal(err)
	}
	// A site without CIFAR-10.
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/damaged" {
			w.Write([]byte("not the archive"))
			return
		}
		if r.URL.Path == "/escapes" {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(connection, "HTTP/1.1 418 \x1b[2J\x1b]0;mine\a\r\nContent-Length: 0\r\n\r\n")
				connection.Close()
			}
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(site.Close)
	if signal.Ignored(syscall.SIGHUP) { // as by nohup, and then in the scripts too
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("NB1SHOT_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("GOLDEN", folder)
			env.Setenv("FORMER", former)
			env.Setenv("SITE", site.URL)
			env.Setenv("TABLE", table)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "uts" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return exec.Command("unshare", "--uts", "hostname", "other").Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"jsonlines": jsonLines,
			"await":     await,
			"fetch":     fetch,
		},
		RequireUniqueNames: true,
	})
}

// goldenFolder returns a folder with the golden cases.
func goldenFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, golden.FS()); err != nil {
		t.Fatal(err)
	}
	return folder
}

// exits runs a command that must exit with the given code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// jsonLines checks that a file is so many lines, each a JSON object.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonlines COUNT FILE")
	}
	lines := bytes.Split(bytes.TrimSuffix([]byte(ts.ReadFile(args[1])), []byte("\n")), []byte("\n"))
	if want, err := strconv.Atoi(args[0]); err != nil || len(lines) != want {
		ts.Fatalf("%d lines, want %s", len(lines), args[0])
	}
	for i, line := range lines {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			ts.Fatalf("line %d: %v", i+1, err)
		}
	}
}

// await waits until a file that matches the pattern has content.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await PATTERN")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				return
			}
		}
	}
	ts.Fatalf("no content in %s", args[0])
}

// fetch prints what the server whose address is in a file answers to a path as it stands,
// with its status in front.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch FILE PATH")
	}
	request, err := http.NewRequest(http.MethodGet, strings.TrimSpace(ts.ReadFile(args[0])), nil)
	ts.Check(err)
	request.URL.Opaque = "//" + request.URL.Host + args[1]
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s", answer.Status, text)
}
