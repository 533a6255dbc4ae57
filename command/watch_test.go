package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What is redrawn stays within a terminal, whatever it is.
func TestRedraw(t *testing.T) {
	var shown bytes.Buffer
	raw := &screenWriter{&screen{w: &shown}, &shown}
	text := ""
	for i := range 40 {
		text += fmt.Sprintf("%d \x1b[31m%s\n", i, strings.Repeat("λ", 100))
	}
	redraw(newStream(raw), raw, text, "a note")
	got := shown.String()
	rest, ok := strings.CutPrefix(got, "\x1b[H")
	if !ok || !strings.HasSuffix(got, "\x1b[J") {
		t.Fatalf("%q", got)
	}
	lines := strings.Split(strings.TrimSuffix(rest, "\x1b[J"), "\n")
	if len(lines) != 24 || lines[23] != "18 lines more; a note" {
		t.Errorf("%d lines, the last %q, want the 24 of a terminal", len(lines), lines[len(lines)-1])
	}
	for i, line := range lines[:23] {
		line, ok := strings.CutSuffix(line, "\x1b[K")
		if !ok || strings.Contains(line, "\x1b") || fit(line, 80) != line {
			t.Errorf("line %d: %q", i, line)
		}
	}
	shown.Reset()
	redraw(newStream(raw), raw, "one\ntwo\n", "a note")
	if got := shown.String(); got != "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[K\na note\x1b[J" {
		t.Errorf("%q", got)
	}
}
