package command

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/results"
)

// status is the line that tells how far something has come: rewritten in place
// on a terminal, a new line now and then elsewhere.
type status struct {
	w      io.Writer
	screen *screen       // nil where w is no terminal
	pause  time.Duration // least time between two lines
	now    func() time.Time
	last   time.Time // of the last line
}

// newStatus prints to w, no more often than pause where w is no terminal.
func newStatus(w io.Writer, pause time.Duration) *status {
	s := &status{w: w, pause: pause, now: time.Now}
	if on, ok := unfiltered(w).(*screenWriter); ok {
		s.screen, s.pause = on.screen, 100*time.Millisecond
	}
	return s
}

// due tells whether it is time for a line.
func (s *status) due() bool { return s.now().Sub(s.last) >= s.pause }

// print shows the text unless it is too early.
func (s *status) print(text string) {
	if !s.due() {
		return
	}
	s.last = s.now()
	if s.screen == nil {
		fmt.Fprintln(s.w, text)
		return
	}
	s.screen.show(text)
}

// hint shows a text on a terminal, at once.
func (s *status) hint(text string) {
	if s.screen != nil {
		s.screen.show(text)
	}
}

// end removes the line from a terminal.
func (s *status) end() {
	if s.screen != nil {
		s.screen.hide()
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

// note prints a line of its own.
func (t *transfer) note(text string) {
	t.end()
	fmt.Fprintln(t.w, text)
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

// within is how often a run that is no terminal's tells how far an epoch has come.
const within = 30 * time.Second

// course shows how a run goes: every step on a terminal, elsewhere every record and
// now and then how far its epoch has come. Epochs have the numbers of their records,
// from 0.
type course struct {
	*status
	estimate estimate
	last     *results.Epoch // newest record seen
	best     float64        // lowest test error so far
}

func newCourse(w io.Writer) *course {
	c := &course{status: newStatus(w, time.Second), best: math.Inf(1)}
	c.estimate.start = c.now()
	return c
}

func (c *course) update(p benchmark.Progress) {
	if p.Last != nil && p.Last.Final {
		return // the summary tells
	}
	if text := c.estimate.of(c.now(), p.Remaining); text != "" {
		fmt.Fprintln(c.w, text)
	}
	isNew := p.Last != c.last
	c.last = p.Last
	if isNew {
		if x := results.TestError(*p.Last); x != nil {
			c.best = min(c.best, *x)
		}
	}
	if c.screen == nil && !isNew && (c.now().Sub(c.status.last) < within || c.now().Sub(c.estimate.start) < within) {
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
		parts = append(parts, duration(p.Remaining)+" left")
	}
	where := fmt.Sprintf("epoch %d/%d, ", p.Epoch, p.Epochs) + progressOf(p)
	switch {
	case c.screen == nil && isNew:
		where = fmt.Sprintf("epoch %d/%d", p.Last.Epoch, p.Epochs)
	case p.Last != nil && len(parts) > 0: // what follows is of the record before
		where += fmt.Sprintf("; epoch %d: %s", p.Last.Epoch, parts[0])
		parts = parts[1:]
	}
	c.print(strings.Join(append([]string{where}, parts...), ", "))
}

// progressOf is how far a run has come within its epoch.
func progressOf(p benchmark.Progress) string {
	if p.Doing != "" {
		return p.Doing
	}
	return fmt.Sprintf("step %d/%d", p.Step, p.Steps)
}

// estimate says, once and soon, how long something will take. The zero value says
// nothing.
type estimate struct {
	preset string
	start  time.Time
	seen   int // reports that had an estimate
	told   bool
}

// What an estimate rests on at least, unless it is time to say something, and what
// takes so long that one may want to know of something shorter.
const (
	estimateSteps = 3
	estimateAfter = 10 * time.Second
	long          = 20 * time.Minute
)

// of returns a line that tells how much time is left, or nothing where there is no
// saying yet, it has been said, or it is seconds.
func (e *estimate) of(now time.Time, left time.Duration) string {
	if left <= 0 || e.told || e.preset == "" {
		return ""
	}
	if e.seen++; e.seen < estimateSteps && now.Sub(e.start) < estimateAfter {
		return ""
	}
	e.told = true
	if left < within {
		return ""
	}
	text := "time    about " + roughly(left)
	if left < long {
		return text
	}
	return text + ", by the pace of the first steps" + shorter(e.preset)
}

// roughly writes a time with what an estimate of it can be worth.
func roughly(d time.Duration) string {
	switch {
	case d >= 10*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	case d >= time.Hour:
		return duration(d.Round(10 * time.Minute))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	return duration(d)
}

// shorter names the presets that take less time than one.
func shorter(preset string) string {
	names := benchmark.PresetNames()
	names = names[slices.Index(names, preset)+1:]
	var options []string
	for _, name := range slices.Backward(names) {
		if name != "smoke" { // which shows nothing
			options = append(options, "--preset "+name)
		}
	}
	if options == nil {
		return "; fewer epochs take less: --epochs"
	}
	return "; in minutes, at a smaller scale: " + strings.Join(options, " or ")
}
