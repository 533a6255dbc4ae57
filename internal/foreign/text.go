package foreign

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrHalfCharacter reports a text in UTF-16 that ends within a character.
var ErrHalfCharacter = errors.New("a text in UTF-16 that ends in the middle of a character")

// ReadText returns the content of the regular file at path, of at most max bytes, as
// Decode reads it.
func ReadText(path string, max int64) ([]byte, error) {
	f, err := Open(context.Background(), path, max)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(Decode(f))
	if err != nil {
		err = pathError("read", path, err)
	}
	return text, err
}

// Decode reads text as UTF-8 without the mark that some editors put at its beginning.
// By that mark it also knows UTF-16, which Windows PowerShell writes, and replaces what is
// no character in it by U+FFFD.
func Decode(r io.Reader) io.Reader { return &textReader{in: bufio.NewReader(r)} }

type textReader struct {
	in    *bufio.Reader
	begun bool
	order binary.ByteOrder // of UTF-16; nil is UTF-8
	done  []byte           // decoded, not yet read
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	if !t.begun {
		t.begun = true
		t.begin()
	}
	if t.order == nil {
		return t.in.Read(p)
	}
	for len(t.done) == 0 {
		r, err := t.next()
		if err != nil {
			return 0, err
		}
		t.done = utf8.AppendRune(t.done, r)
		for t.in.Buffered() >= 4 && len(t.done) < len(p) { // two units, without waiting for them
			if r, err = t.next(); err != nil {
				break // not with so many
			}
			t.done = utf8.AppendRune(t.done, r)
		}
	}
	n := copy(p, t.done)
	t.done = t.done[:copy(t.done, t.done[n:])]
	return n, nil
}

// begin passes over the mark. A text of which the first bytes cannot be read has none.
func (t *textReader) begin() {
	mark, _ := t.in.Peek(2)
	switch string(mark) {
	case "\xff\xfe":
		t.order = binary.LittleEndian
	case "\xfe\xff":
		t.order = binary.BigEndian
	case "\xef\xbb":
		if mark, _ = t.in.Peek(3); string(mark) != "\xef\xbb\xbf" {
			return
		}
	default:
		return
	}
	t.in.Discard(len(mark)) // what is buffered: no error
}

// next reads a character of UTF-16.
func (t *textReader) next() (rune, error) {
	unit, err := t.in.Peek(2)
	if len(unit) < 2 {
		if err == io.EOF && len(unit) == 1 {
			err = ErrHalfCharacter
		}
		return 0, err
	}
	r := rune(t.order.Uint16(unit))
	t.in.Discard(2)
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if unit, _ = t.in.Peek(2); len(unit) == 2 {
		if pair := utf16.DecodeRune(r, rune(t.order.Uint16(unit))); pair != utf8.RuneError {
			t.in.Discard(2)
			return pair, nil
		}
	}
	return utf8.RuneError, nil
}
