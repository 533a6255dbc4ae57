// Package printable makes foreign text safe to show. Names, messages and notes that come
// from files and servers may hold control sequences of a terminal, marks that turn the
// direction of writing, or characters that XML forbids; these are shown as escapes.
// Everything that writes for people goes through this package: the terminal, figures,
// pages and tables.
package printable

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with an escape in place of everything that is neither a visible
// character, a space, a newline nor a tab: control characters as \u001b, marks without
// a shape (such as those that turn the direction of writing) as \u202e, and bytes that
// are no UTF-8 as \xff. Within a string of JSON these escapes mean the very same
// characters.
func Text(s string) string {
	if i := unfit(s); i < len(s) {
		return string(appendText(make([]byte, 0, len(s)+32), s))
	}
	return s
}

// Line is Text for what must stay on one line: a newline and a tab become spaces.
func Line(s string) string {
	return Text(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, s))
}

// shown tells whether a character needs no escape.
func shown(r rune) bool { return r == '\n' || r == '\t' || unicode.IsGraphic(r) }

// unfit returns where s holds the first byte that Text has to look at: all before it is
// shown.
func unfit[T string | []byte](s T) int {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return i
		}
	}
	return len(s)
}

func appendText(to []byte, s string) []byte {
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			to = append(to, '\\', 'x', hex(s[0]>>4), hex(s[0]))
		case shown(r):
			to = append(to, s[:n]...)
		case r > 0xffff: // as JSON has it
			high, low := utf16.EncodeRune(r)
			to = appendEscape(appendEscape(to, high), low)
		default:
			to = appendEscape(to, r)
		}
		s = s[n:]
	}
	return to
}

func appendEscape(to []byte, r rune) []byte {
	return append(to, '\\', 'u', hex(byte(r>>12)), hex(byte(r>>8)), hex(byte(r>>4)), hex(byte(r)))
}

func hex(b byte) byte { return "0123456789abcdef"[b&0xf] }

// Writer writes Text of what is written to it. A character may come in several
// pieces. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	partial []byte // beginning of a character whose end has not come yet
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes Text of p, but for an incomplete character at its end, which it keeps
// for the next call.
func (w *Writer) Write(p []byte) (int, error) {
	if len(w.partial) == 0 && unfit(p) == len(p) {
		return w.w.Write(p)
	}
	all := append(w.partial, p...)
	end := len(all)
	for i := 1; i < utf8.UTFMax && i <= len(all); i++ {
		if start := all[len(all)-i:]; utf8.RuneStart(start[0]) {
			if !utf8.FullRune(start) {
				end = len(all) - i
			}
			break
		}
	}
	w.partial = append([]byte(nil), all[end:]...)
	if end == 0 {
		return len(p), nil
	}
	if _, err := w.w.Write(appendText(nil, string(all[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes an incomplete character that is left at the end of all.
func (w *Writer) Flush() error {
	if len(w.partial) == 0 {
		return nil
	}
	_, err := w.w.Write(appendText(nil, string(w.partial)))
	w.partial = nil
	return err
}
