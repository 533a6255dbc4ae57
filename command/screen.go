package command

import (
	"io"
	"os"
	"sync"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// screen is the terminal of the program with a line at its bottom that is written
// over again and again, to tell how something goes. Whatever else is written takes
// that line away first, so that nothing of it stays.
type screen struct {
	mutex   sync.Mutex
	w       io.Writer  // of the line
	columns func() int // of the terminal, now
	shown   bool       // whether the line is there
	open    bool       // whether what was written last has not ended its own line
}

// onScreen puts a screen behind those of the two that are terminals.
func onScreen(stdout, stderr io.Writer) (io.Writer, io.Writer) {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return stdout, stderr
	}
	s := &screen{w: file, columns: func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil || columns < 1 {
			return 80
		}
		return columns
	}}
	if file, ok := stdout.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		stdout = &screenWriter{s, stdout}
	}
	return stdout, &screenWriter{s, stderr}
}

// screenWriter writes text on a screen.
type screenWriter struct {
	*screen
	text io.Writer
}

// Write implements io.Writer.
func (w *screenWriter) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	w.erase()
	w.open = p[len(p)-1] != '\n'
	return w.text.Write(p)
}

// show writes the line anew, as much of the text as one line of the terminal holds.
func (s *screen) show(text string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	start := "\r"
	if s.open && !s.shown {
		start = "\r\n"
	}
	s.shown, s.open = true, false
	// The cursor waits where the line begins. Should the terminal become narrower
	// and break the line, it still stands there, above all that has to go.
	io.WriteString(s.w, start+"\x1b[J"+fit(printable.Line(text), s.columns()-1)+"\r")
}

// hide takes the line away.
func (s *screen) hide() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.erase()
}

func (s *screen) erase() {
	if s.shown {
		io.WriteString(s.w, "\r\x1b[J")
		s.shown = false
	}
}

// fit returns the beginning of a printable line that fits into the columns of any terminal. Characters that are wide in some terminals alone, such as λ, count as wide.
func fit(line string, columns int) string {
	for i, r := range line {
		if columns -= columnsOf(r); columns < 0 {
			return line[:i]
		}
	}
	return line
}

// columnsOf is how many columns of a terminal a character takes at most.
func columnsOf(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
		if r == '\ufe0f' { // makes the character before it a wide one
			return 1
		}
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth, width.EastAsianAmbiguous:
		return 2
	}
	return 1
}
