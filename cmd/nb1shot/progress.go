package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/results"
)

// status is the line that tells how far something has come: rewritten in place
// on a terminal, a new line now and then elsewhere.
type status struct {
	w       io.Writer
	columns int           // of the terminal, 0 where there is none
	pause   time.Duration // least time between two lines
	now     func() time.Time
	last    time.Time // of the last line
}

// newStatus prints to w, no more often than pause where w is no terminal.
func newStatus(w io.Writer, pause time.Duration) *status {
	s := &status{w: w, pause: pause, now: time.Now}
	if isTerminal(w) {
		s.pause = 100 * time.Millisecond
		s.columns = 80
		if columns, _, err := term.GetSize(int(unfiltered(w).(*os.File).Fd())); err == nil && columns > 0 {
			s.columns = columns
		}
	}
	return s
}

// print shows the text unless it is too early.
func (s *status) print(text string) {
	now := s.now()
	if now.Sub(s.last) < s.pause {
		return
	}
	s.last = now
	if s.columns == 0 {
		fmt.Fprintln(s.w, text)
		return
	}
	text = printable.Line(text)
	if line := []rune(text); len(line) >= s.columns {
		text = string(line[:s.columns-1])
	}
	fmt.Fprintf(unfiltered(s.w), "\r%s\x1b[K", text)
}

// end removes the line from a terminal.
func (s *status) end() {
	if s.columns > 0 {
		fmt.Fprint(unfiltered(s.w), "\r\x1b[K")
	}
}

// transfer shows how much of a file has been read.
type transfer struct {
	*status
	label string
	start time.Time
	from  int64 // bytes there at the start
}

func newTransfer(w io.Writer, label string) *transfer {
	s := newStatus(w, 5*time.Second)
	return &transfer{status: s, label: label, start: s.now(), from: -1}
}

// update is called with the bytes there so far and in all.
func (t *transfer) update(done, total int64) {
	if t.from < 0 {
		t.from = done
	}
	text := fmt.Sprintf("%s: %d of %d MB", t.label, done/1e6, total/1e6)
	if passed := t.now().Sub(t.start); done > t.from && passed > time.Second {
		left := time.Duration(float64(passed) / float64(done-t.from) * float64(total-done))
		text += fmt.Sprintf(", %s left", duration(left))
	}
	t.print(text)
}

// tally shows how many of several equal parts are done.
type tally struct {
	*status
	label string
	start time.Time
}

func newTally(w io.Writer, label string) *tally {
	s := newStatus(w, 5*time.Second)
	return &tally{status: s, label: label, start: s.now()}
}

func (c *tally) update(done, total int) {
	text := fmt.Sprintf("%s: %d of %d", c.label, done, total)
	if passed := c.now().Sub(c.start); passed > time.Second {
		text += fmt.Sprintf(", %s left", duration(time.Duration(float64(passed)/float64(done)*float64(total-done))))
	}
	c.print(text)
}

// course shows how a run goes: every step on a terminal, every record elsewhere.
// Epochs have the numbers of their records, from 0.
type course struct {
	*status
	last *results.Epoch // newest record seen
	best float64        // lowest test error so far
}

func newCourse(w io.Writer) *course {
	return &course{status: newStatus(w, time.Second), best: math.Inf(1)}
}

func (c *course) update(p benchmark.Progress) {
	if p.Last != nil && p.Last.Final {
		return // the summary tells
	}
	isNew := p.Last != c.last
	c.last = p.Last
	if isNew {
		if x := results.TestError(*p.Last); x != nil {
			c.best = min(c.best, *x)
		}
	}
	if c.columns == 0 && !isNew {
		return
	}
	var parts []string
	if p.Last != nil {
		if x := results.TestError(*p.Last); x != nil {
			parts = append(parts, "error "+percent(*x), "best "+percent(c.best))
		}
		if x := results.Eigenvalue(*p.Last); x != nil {
			parts = append(parts, "λ "+eigenvalue(*x))
		}
	}
	if p.Remaining >= time.Second {
		parts = append(parts, p.Remaining.Round(time.Second).String()+" left")
	}
	where := fmt.Sprintf("epoch %d/%d, step %d/%d", p.Epoch, p.Epochs, p.Step, p.Steps)
	switch {
	case c.columns == 0:
		where = fmt.Sprintf("epoch %d/%d", p.Last.Epoch, p.Epochs)
	case p.Last != nil && len(parts) > 0: // what follows is of the record before
		where += fmt.Sprintf("; epoch %d: %s", p.Last.Epoch, parts[0])
		parts = parts[1:]
	}
	c.print(strings.Join(append([]string{where}, parts...), ", "))
}
