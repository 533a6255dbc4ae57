package command

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// failingWriter fails at every write.
type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// A command whose output cannot be written fails, even where nobody looked at the
// error of the print; but it is quiet where nobody reads.
func TestIncompleteOutput(t *testing.T) {
	runs, err := filepath.Glob("../results/study/s1-darts-small-*-seed0")
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %q, %v", runs, err)
	}
	for _, line := range []string{"", "version", "--version", "--help", "run --help", "help sweep", "table --help", "man", "completion bash", "algos", "spaces", "spaces --json", "table info --table surrogate", "results ls ../results/study",
		"results show $RUN", "plot $RUN -o $NEW", "report $RUN -o $NEW", "cell $RUN --table surrogate", "stability ../results/study", "claims ../results/study"} {
		t.Run(line, func(t *testing.T) {
			for _, test := range []struct {
				err  error
				code int
				want string
			}{
				{syscall.ENOSPC, 1, "no space left on device"},
				{syscall.EPIPE, 128 + 13, ""},
			} {
				var stderr bytes.Buffer
				given := strings.NewReplacer("$RUN", runs[0], "$NEW", filepath.Join(t.TempDir(), "new")).Replace(line)
				if code := run(append([]string{"nb1shot"}, strings.Fields(given)...), failingWriter{test.err}, &stderr); code != test.code {
					t.Errorf("%v: exit code %d, want %d", test.err, code, test.code)
				}
				if got := stderr.String(); !strings.Contains(got, test.want) || test.want == "" && strings.Contains(got, "nb1shot:") {
					t.Errorf("%v: error %q, want %q", test.err, got, test.want)
				}
			}
		})
	}
}

// Control characters of others are shown, those of the line of progress act.
func TestStream(t *testing.T) {
	var b bytes.Buffer
	s := newStream(&screenWriter{&screen{w: &b, columns: func() int { return 80 }}, &b})
	fmt.Fprintf(s, "run %s\n", "a\x1b[2J\u202e")
	st := newStatus(s, time.Second)
	st.print("importing b\x1b[2J\rc")
	st.end()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "run a\\u001b[2J\\u202e\n\r\x1b[Jimporting b\\u001b[2J\\u000dc\r\r\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What the program says of itself passes the streams as it is.
func TestOwnTextIsPrintable(t *testing.T) {
	app := newApp(nil, nil)
	for name, text := range map[string]string{"man": manPage(app), "bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion} {
		if printable.Text(text) != text {
			t.Errorf("%s holds what the streams escape", name)
		}
	}
}
