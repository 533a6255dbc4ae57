package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/internal/slurm"
	"github.com/nb1shot/nb1shot/internal/watch"
)

// watchEvery is how often what is watched is looked at, where nothing else is asked for.
const watchEvery = 5 * time.Second

// watchFlag has a command show the same again and again.
func watchFlag(what string) cli.Flag {
	return optionalFlag{&cli.StringFlag{Name: "watch", Usage: what + " again every `SECONDS`, until Ctrl-C", DefaultText: "once; 5 without a number"}}
}

// watchPause reads --watch; 0 where it is not given.
func watchPause(c *cli.Context) (time.Duration, error) {
	text := c.String("watch")
	switch {
	case !c.IsSet("watch"):
		return 0, nil
	case text == optionalValue:
		return watchEvery, nil
	}
	const least, most = 1, 86400
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < least || seconds > most {
		return 0, misuse(fmt.Errorf("--watch is %q, want seconds, %d to %d", text, least, most), "folders come before it: %s DIR --watch", c.Command.HelpName)
	}
	return time.Duration(seconds) * time.Second, nil
}

// repeated makes an action that prints again and again where --watch asks for it: in
// place on a terminal, else below what was printed before. Only what has changed is
// printed where nobody looks at a terminal.
func repeated(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		pause, err := watchPause(c)
		if err != nil {
			return err
		}
		if pause == 0 {
			return action(c)
		}
		w, log := c.App.Writer, c.App.ErrWriter
		defer func() { c.App.Writer, c.App.ErrWriter = w, log }()
		raw, inPlace := unfiltered(w).(*screenWriter)
		var before []byte
		for first := true; ; first = false {
			var text bytes.Buffer
			c.App.Writer, c.App.ErrWriter = &text, &text
			if c.Bool("json") {
				c.App.ErrWriter = log
			}
			if err := action(c); err != nil {
				if first && text.Len() == 0 {
					return err
				}
				fmt.Fprintf(c.App.ErrWriter, "\n%s: %s\n", program, message(err)) // what is watched may come back
			}
			switch {
			case inPlace:
				note := fmt.Sprintf("%s, every %s; Ctrl-C ends", time.Now().Format(time.TimeOnly), duration(pause))
				redraw(w, raw, text.String(), note)
			case !bytes.Equal(text.Bytes(), before):
				if !first && !c.Bool("json") {
					fmt.Fprintln(w)
				}
				w.Write(text.Bytes())
			}
			if s, ok := w.(*stream); ok && s.closed() {
				return nil
			}
			before = bytes.Clone(text.Bytes())
			select {
			case <-c.Context.Done():
				return c.Context.Err()
			case <-time.After(pause):
			}
		}
	}
}

// redraw writes a text over what is on the terminal, line by line so that nothing flickers,
// as much of it as there is room for above a note.
func redraw(w io.Writer, raw *screenWriter, text, note string) {
	columns, rows := 80, 24
	if file, ok := raw.text.(*os.File); ok {
		if c, r, err := term.GetSize(int(file.Fd())); err == nil && c > 0 && r > 0 {
			columns, rows = c, r
		}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := max(rows-2, 1); len(lines) > most {
		note = fmt.Sprintf("%d lines more; %s", len(lines)-most, note)
		lines = lines[:most]
	}
	control := func(sequence string) { io.WriteString(raw.text, sequence) }
	control("\x1b[H")
	for _, line := range append(lines, "") {
		io.WriteString(w, fit(printable.Line(line), columns))
		control("\x1b[K\n")
	}
	io.WriteString(w, fit(note, columns-1))
	control("\x1b[J")
}

// statusFlag is for sweeps.
func statusFlag() cli.Flag {
	return &cli.BoolFlag{Name: "status", Usage: "tell how the sweep stands, and run nothing", DisableDefaultText: true}
}

// sweepStatus tells how the sweep in --out stands, by its files and, where there is one, by
// the queue of Slurm. It needs neither images nor table and takes no lock.
func sweepStatus(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	for _, name := range c.FlagNames() {
		if !slices.Contains([]string{"status", "out", "o", "json", "watch"}, name) {
			return misuse(fmt.Errorf("--status and --%s do not go together", name), "the whole sweep is shown: nb1shot sweep --status --out DIR")
		}
	}
	return repeated(func(c *cli.Context) error {
		root := c.String("out")
		m, err := sweep.Read(root)
		if errors.Is(err, fs.ErrNotExist) {
			if _, absent := os.Stat(root); absent == nil {
				err = fmt.Errorf("there is no sweep in %s: it has no %s", root, sweep.File)
			}
			return hinted(err, "--out DIR names the folder of a sweep; nb1shot results ls lists runs of any kind")
		}
		if err != nil {
			return err
		}
		s, err := watch.Take(root, m, time.Now())
		if err != nil {
			return err
		}
		if queue := queueOf(c.Context, root); queue != nil {
			s.Queue(queue.Pending)
		}
		if c.Bool("json") {
			return writeJSON(c.App.Writer, s)
		}
		return printSurvey(c.App.Writer, s, time.Now())
	})(c)
}

// queueOf asks Slurm what of the sweep waits; nil where there is none that answers soon.
func queueOf(ctx context.Context, root string) *slurm.Queue {
	root, err := resolved(root)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	queue, err := (&slurm.Sweep{Root: root}).Queue(ctx)
	if err != nil {
		return nil
	}
	return queue
}

// printSurvey prints the counts, then a line for each run that is not simply finished or
// missing.
func printSurvey(w io.Writer, s *watch.Survey, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "sweep\t%s, %d runs\n", s.Dir, len(s.Runs))
	fmt.Fprintf(t, "state\t%s\n", s.Counted())
	if s.Left != nil {
		text := "about " + seconds(*s.Left)
		if s.Counts[watch.Running] == 0 {
			text += " of work; nothing runs"
		}
		fmt.Fprintf(t, "left\t%s\n", text)
	}
	fmt.Fprintf(t, "disk\t%s\n", megabytes(s.Bytes))
	if err := t.Flush(); err != nil {
		return err
	}
	lines := [][]string{{"unit", "space", "algorithm", "seed", "state", "epochs", "left", "last record", "process"}}
	var reasons []string
	for _, r := range s.Runs {
		if r.State == watch.Finished || r.State == watch.Missing || r.State == watch.Queued {
			continue
		}
		unit, left, last := "-", "-", "-"
		if r.Unit != nil {
			unit = strconv.Itoa(*r.Unit)
		}
		if r.Left != nil {
			left = seconds(*r.Left)
		}
		if !r.Record.IsZero() {
			last = duration(max(now.Sub(r.Record), 0)) + " ago"
		}
		lines = append(lines, []string{unit, dashed(string(r.Space)), dashed(r.Algorithm), strconv.FormatUint(r.Seed, 10), string(r.State), ofEpochs(r), left, last, dashed(r.Process)})
		if r.Reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s\n  %s: %s", r.Name, r.State, r.Reason))
		}
	}
	if len(lines) > 1 {
		fmt.Fprintln(w)
		for _, line := range lines {
			fmt.Fprintln(t, strings.Join(line, "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, reason := range reasons {
		if _, err := fmt.Fprintf(w, "\n%s\n", reason); err != nil {
			return err
		}
	}
	return nil
}

func ofEpochs(r watch.Run) string {
	if r.Configured == 0 {
		return strconv.Itoa(r.Epochs)
	}
	return fmt.Sprintf("%d/%d", r.Epochs, r.Configured)
}

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

// finishFlag is for sweeps.
func finishFlag() cli.Flag {
	return &cli.StringFlag{Name: "on-finish", Usage: "run `CMD` by sh when the sweep has ended, however: $NB1SHOT_SWEEP is its folder, $NB1SHOT_DONE, _FAILED and _MISSING count runs"}
}

// finishPatience is for how long the output of a command is waited for that has ended and
// left something in the background.
const finishPatience = 2 * time.Second

// onFinish runs the command of --on-finish after a sweep that came to s and ended with
// err, and returns err, or that of the command where there is none.
func onFinish(c *cli.Context, s sweepSummary, err error) error {
	line := c.String("on-finish")
	if line == "" {
		return err
	}
	n := s.count()
	command := exec.CommandContext(context.WithoutCancel(c.Context), "sh", "-c", line) // an interrupted sweep has ended too
	command.Env = append(os.Environ(),
		"NB1SHOT_SWEEP="+s.Dir,
		"NB1SHOT_DONE="+strconv.Itoa(n.finished), "NB1SHOT_FAILED="+strconv.Itoa(n.failed), "NB1SHOT_MISSING="+strconv.Itoa(n.missing+n.elsewhere),
	)
	command.Stdout, command.Stderr = c.App.ErrWriter, c.App.ErrWriter // standard output is the sweep's own
	command.WaitDelay = finishPatience
	failed := command.Run()
	if failed == nil || errors.Is(failed, exec.ErrWaitDelay) {
		return err
	}
	failed = fmt.Errorf("the command of --on-finish failed: %w", failed)
	if err == nil {
		return hinted(failed, "the sweep itself has ended; what it recorded is there")
	}
	fmt.Fprintln(c.App.ErrWriter, program+": warning:", message(failed))
	return err
}
