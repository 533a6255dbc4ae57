package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/width"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// emulator is a terminal that breaks lines at its width, and breaks them anew when it
// is given another one, as most do.
type emulator struct {
	columns  int
	narrow   bool     // characters of ambiguous width take one column
	lines    [][]rune // as written, with a 0 behind a wide character
	row, col int      // of the cursor, in the lines
	ended    []bool   // whether a newline ended the line, else the width did
}

func (e *emulator) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		for e.row >= len(e.lines) {
			e.lines, e.ended = append(e.lines, nil), append(e.ended, true)
		}
		switch r := text[i]; {
		case r == '\r':
			e.col = 0
		case r == '\n':
			e.row, e.col = e.row+1, 0 // as the system has it
		case r == '\x1b' && i+2 < len(text) && string(text[i:i+3]) == "\x1b[J":
			i += 2
			e.lines[e.row] = e.lines[e.row][:min(e.col, len(e.lines[e.row]))]
			e.lines, e.ended = e.lines[:e.row+1], e.ended[:e.row+1]
			e.ended[e.row] = true
		default:
			e.put(r)
		}
	}
	return len(p), nil
}

func (e *emulator) put(r rune) {
	n := 1
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.Is(unicode.Mn, r):
		return // stays on the character before it
	case kind == width.EastAsianWide, kind == width.EastAsianFullwidth, kind == width.EastAsianAmbiguous && !e.narrow:
		n = 2
	}
	if e.col+n > e.columns {
		e.ended[e.row] = false
		e.lines, e.ended = slices.Insert(e.lines, e.row+1, []rune(nil)), slices.Insert(e.ended, e.row+1, true)
		e.row, e.col = e.row+1, 0
	}
	line := e.lines[e.row]
	for len(line) < e.col+n {
		line = append(line, ' ')
	}
	line[e.col] = r
	if n == 2 {
		line[e.col+1] = 0
	}
	e.lines[e.row], e.col = line, e.col+n
}

// resize breaks the lines anew. The cursor stays at its character.
func (e *emulator) resize(columns int) {
	var lines [][]rune
	var ended []bool
	row, col := 0, 0
	for i := 0; i < len(e.lines); i++ {
		whole, at := slices.Clone(e.lines[i]), -1
		if e.row == i {
			at = e.col
		}
		for ; !e.ended[i]; i++ {
			if e.row == i+1 {
				at = len(whole) + e.col
			}
			whole = append(whole, e.lines[i+1]...)
		}
		first := len(lines)
		for chunk := range slices.Chunk(whole, columns) {
			lines, ended = append(lines, chunk), append(ended, false)
		}
		if len(whole) == 0 {
			lines, ended = append(lines, nil), append(ended, false)
		}
		ended[len(ended)-1] = true
		if at >= 0 {
			row, col = first+at/columns, at%columns
			if at == len(whole) && at > 0 && col == 0 { // behind the last column
				row, col = row-1, columns
			}
		}
	}
	if e.row >= len(e.lines) {
		row = len(lines) + e.row - len(e.lines)
	}
	for row >= len(lines) {
		lines, ended = append(lines, nil), append(ended, true)
	}
	e.columns, e.lines, e.ended, e.row, e.col = columns, lines, ended, row, col
}

// text is what can be read.
func (e *emulator) text() string {
	var b strings.Builder
	for i, line := range e.lines {
		b.WriteString(strings.ReplaceAll(string(line), "\x00", ""))
		if e.ended[i] {
			b.WriteByte('\n')
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// Whatever is shown, written and resized, of the line that tells the progress nothing
// is left but what was shown last, and nothing that was written is missing.
func TestScreen(t *testing.T) {
	letters := rapid.RuneFrom([]rune("ab ,λ±é日本🙂́\x1b\u202e\x07"))
	rapid.Check(t, func(t *rapid.T) {
		e := &emulator{columns: rapid.IntRange(2, 40).Draw(t, "columns"), narrow: rapid.Bool().Draw(t, "narrow")}
		s := &screen{w: e, columns: func() int { return e.columns }}
		w := &screenWriter{s, e}
		written, line := "", ""
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			switch rapid.SampledFrom([]string{"show", "show", "write", "piece", "hide", "resize"}).Draw(t, "event") {
			case "show":
				text := rapid.StringOfN(letters, 0, 60, -1).Draw(t, "text")
				if written != "" && !strings.HasSuffix(written, "\n") {
					written += "\n"
				}
				s.show(text)
				line = strings.ReplaceAll(fit(printable.Line(text), e.columns-1), "\u0301", "") // which the terminal does not keep
			case "write":
				text := rapid.StringMatching(`[a-z]{1,50}`).Draw(t, "written") + "\n"
				io.WriteString(w, text)
				written, line = written+text, ""
			case "piece":
				text := rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "piece")
				io.WriteString(w, text)
				written, line = written+text, ""
			case "hide":
				s.hide()
				line = ""
			case "resize":
				e.resize(rapid.IntRange(2, 40).Draw(t, "new columns"))
			}
			want := strings.TrimRight(written+line, "\n")
			if got := e.text(); strings.TrimRight(got, " \n") != strings.TrimRight(want, " \n") {
				t.Fatalf("the terminal shows\n%q, want\n%q", got, want)
			}
		}
	})
}

func TestFit(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"epoch 1/3", 20, "epoch 1/3"}, {"epoch 1/3", 5, "epoch"}, {"epoch", 0, ""}, {"epoch", -1, ""},
		{"日本語", 5, "日本"}, {"日本語", 1, ""}, {"λ 0.5", 4, "λ 0"}, {"e\u0301a", 1, "e\u0301"},
		{"❤\ufe0f!", 2, "❤\ufe0f"},
	} {
		if got := fit(test.text, test.columns); got != test.want {
			t.Errorf("fit(%q, %d) = %q, want %q", test.text, test.columns, got, test.want)
		}
	}
	if got := fmt.Sprintf("%q", fit(strings.Repeat("日", 1000), 79)); strings.Count(got, "日") != 39 {
		t.Errorf("%s", got)
	}
}
