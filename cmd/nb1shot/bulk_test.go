package main

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
	go func() { ended <- predictions.answerLines(t.Context(), in, out) }()
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

// FuzzAnswerLines: every line has one answer, an object, in the right place.
func FuzzAnswerLines(f *testing.F) {
	f.Add("{\"matrix\":[[0,1],[0,0]],\"operations\":[\"input\",\"output\"]}\n\n043721b9c7fe8c5fad811d47d83132ec")
	f.Add("\"\n\"\"\n{\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := predictions.answerLines(t.Context(), strings.NewReader(text), &out); err != nil {
			t.Fatal(err)
		}
		want := strings.Count(text, "\n")
		if len(text) > 0 && !strings.HasSuffix(text, "\n") {
			want++
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
		}
	})
}

// FuzzParseCell: whatever the matrix and the names, there is a cell or an error.
func FuzzParseCell(f *testing.F) {
	f.Add("0110,0001,0001,0000", "conv3x3-bn-relu,maxpool3x3")
	f.Add("[[0,1,1],[0,0,1],[0,0,0]]", "input conv1x1-bn-relu output")
	f.Add("[[", "")
	f.Add("01,00", "")
	f.Fuzz(func(t *testing.T, matrix, ops string) {
		spec, err := parseCell(matrix, ops)
		if err != nil {
			return
		}
		if len(spec.Ops) != spec.Vertices()-2 {
			t.Errorf("%d operations for %d vertices", len(spec.Ops), spec.Vertices())
		}
		hash, err := spec.Hash()
		if checked := spec.Check(); (err == nil) != (checked == nil) {
			t.Errorf("hash %v, %v; but Check: %v", hash, err, checked)
		}
	})
}
