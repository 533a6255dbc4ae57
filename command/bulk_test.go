package command

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/nasbench"
)

var predictions = question{oracle: nasbench.Default(), epochs: nasbench.Epochs}

// TestAnswersAsTheyCome: whoever writes a line and waits gets its answer.
func TestAnswersAsTheyCome(t *testing.T) {
	in, ask := io.Pipe()
	hear, out := io.Pipe()
	ended := make(chan error)
	go func() {
		failed, err := predictions.answerLines(t.Context(), in, out)
		if failed != 3 {
			t.Errorf("%d lines failed, want 3", failed)
		}
		ended <- err
	}()
	answers := json.NewDecoder(hear)
	for _, c := range []struct{ line, code string }{
		{`{"matrix":[[0,1],[0,0]],"operations":["input","output"]}`, ""},
		{"{}", codeCell},
		{strings.Repeat("x", longestLine+1), codeLine},
		{"043721b9c7fe8c5fad811d47d83132ec", codeCell},
	} {
		if _, err := io.WriteString(ask, c.line+"\n"); err != nil {
			t.Fatal(err)
		}
		var answer struct{ Hash, Code string }
		if err := answers.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if answer.Code != c.code || (c.code == "") != (answer.Hash == "043721b9c7fe8c5fad811d47d83132ec") {
			t.Errorf("%.60q was answered by %+v, want code %q", c.line, answer, c.code)
		}
	}
	ask.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzAnswerLines: every line that is not blank has one answer, an object, in the
// right place.
func FuzzAnswerLines(f *testing.F) {
	f.Add("{\"matrix\":[[0,1],[0,0]],\"operations\":[\"input\",\"output\"]}\n\n043721b9c7fe8c5fad811d47d83132ec")
	f.Add("\"\n\"\"\n{\n")
	f.Add("\ufeff{'matrix': ((0, 1), (0, 0)), 'ops': ()}\r\n \r\n\ufeff\n043721b9c7fe8c5fad811d47d83132ec\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		failed, err := predictions.answerLines(t.Context(), strings.NewReader(text), &out)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) != "" {
				want++
			}
		}
		answers := strings.SplitAfter(out.String(), "\n")
		if len(answers) != want+1 {
			t.Fatalf("%d answers to %d lines", len(answers)-1, want)
		}
		for _, answer := range answers[:want] {
			var object map[string]any
			if err := json.Unmarshal([]byte(answer), &object); err != nil || (object["hash"] == nil) == (object["error"] == nil) {
				t.Errorf("answer %q, %v", answer, err)
			}
			if object["error"] != nil {
				failed--
			}
		}
		if failed != 0 {
			t.Errorf("%d more lines failed than have an error", failed)
		}
	})
}
