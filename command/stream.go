package command

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// stream is standard output or standard error as commands write to it: names and
// messages of others reach the terminal as printable.Text. It remembers the first error
// of a write, since not every print is checked. Several goroutines may write to it.
type stream struct {
	raw io.Writer

	mu   sync.Mutex
	text *printable.Writer
	err  error
}

func newStream(w io.Writer) *stream { return &stream{raw: w, text: printable.NewWriter(w)} }

// Write writes the text of p.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.text.Write(p)
	s.note(err)
	return n, err
}

// note keeps the first error.
func (s *stream) note(err error) {
	if s.err == nil {
		s.err = err
	}
}

// end returns the error of standard output when all has been written.
func (s *stream) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(s.text.Flush())
	if s.err == nil {
		return nil
	}
	return hinted(fmt.Errorf("standard output is not complete: %w", s.err), "write it to where there is room")
}

// closed tells whether nobody reads any more, as after "| head".
func (s *stream) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Is(s.err, syscall.EPIPE)
}

// unfiltered is what w writes to, for the few who control the terminal themselves.
func unfiltered(w io.Writer) io.Writer {
	if s, ok := w.(*stream); ok {
		return s.raw
	}
	return w
}
