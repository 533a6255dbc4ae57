package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
)

// The exit codes, but for those of signals.
const (
	exitFailure = 1
	exitUsage   = 2
	exitFigures = 3 // the run is finished, but without its figures
)

// failure is an error with what the user can do about it.
type failure struct {
	error
	hint string // "" where there is nothing to say
	code int    // exit code
}

func (f *failure) Unwrap() error { return f.error }

// hinted adds a hint to an error.
func hinted(err error, format string, args ...any) error {
	return &failure{err, fmt.Sprintf(format, args...), exitFailure}
}

// misuse is an error of the command line.
func misuse(err error, format string, args ...any) error {
	return &failure{err, fmt.Sprintf(format, args...), exitUsage}
}

// unknown is the misuse of a name that does not exist. The hint is the nearest
// candidate if there is one, and otherwise the given text.
func unknown(kind, name string, candidates []string, otherwise string) error {
	if n := nearest(name, candidates); n != "" {
		otherwise = fmt.Sprintf("did you mean %s?", n)
	}
	return misuse(fmt.Errorf("unknown %s %q", kind, name), "%s", otherwise)
}

// printError prints the error and returns the exit code.
func printError(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(w, "%s: %s\n", program, message(err))
	var f *failure
	if broken := (*fault.Error)(nil); errors.As(err, &broken) {
		reportFault(w, broken)
	}
	if closed := (*engine.OpenError)(nil); errors.As(err, &closed) { // wherever it was opened
		f = &failure{err, "--engine auto takes one that works here", exitFailure}
	} else if !errors.As(err, &f) {
		return exitFailure
	}
	if f.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", named(f.hint))
	}
	return f.code
}

// issues is where faults of the program are reported.
const issues = "https://github.com/nb1shot/nb1shot/issues"

// reportFault asks for a report of what only a change of the program can mend.
func reportFault(w io.Writer, f *fault.Error) {
	fmt.Fprintf(w, "hint: what was recorded is safe; please report this with the command line and these lines at %s\n", issues)
	fmt.Fprintf(w, "  nb1shot %s, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, line := range f.Stack {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// libraries are how packages of others begin their errors. Ours begin with what was
// being done.
var libraries = regexp.MustCompile(`(^|: |; )(?:(?:strconv\.\w+|json|toml|gzip|zlib|flate|archive/tar|encoding/hex|encoding/csv|sql|net/http|tls|x509|cli|flag|regexp|png|svg|pdf): )+`)

// message is what an error says to the user, in one line.
func message(err error) string {
	return libraries.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", "; "), "$1")
}

// group is the action of a command that only holds others.
func group(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, sub := range c.Command.Subcommands {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	return unknown("command", c.Args().First(), names, "choose one of "+strings.Join(names, ", "))
}

// usageError words the errors of package flag as ours.
func usageError(c *cli.Context, err error, _ bool) error {
	help := fmt.Sprintf("see %s --help", c.Command.HelpName)
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		var names []string
		for _, f := range c.Command.Flags {
			for _, n := range shownNames(f.Names()) {
				names = append(names, dashes(n))
			}
		}
		return unknown("option", dashes(name), names, help)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return misuse(fmt.Errorf("option %s needs a value", dashes(name)), "%s", help)
	}
	if m := badValue.FindStringSubmatch(text); m != nil {
		return wrongValue(c, m[2], m[1], help)
	}
	return misuse(errors.New(text), "%s", help)
}

// badValue is how package flag words a value that it cannot read, of a number, and
// of a switch, in Go's quotes.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^:]+): `)

// wrongValue words a value that an option cannot have, and how to write what may
// have been meant.
func wrongValue(c *cli.Context, name, quoted, hint string) error {
	value, err := strconv.Unquote(quoted)
	if err != nil {
		value = quoted
	}
	want := "a number, such as 0.05"
	whole := false
	for _, f := range c.Command.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.BoolFlag:
			return misuse(fmt.Errorf("option %s is a switch, it takes no value such as %q", dashes(name), value), "%s", hint)
		case *cli.IntFlag, *cli.Int64Flag:
			want, whole = "a whole number", true
		case *cli.UintFlag, *cli.Uint64Flag:
			want, whole = "a whole number from 0", true
		case *cli.DurationFlag:
			want = "a time such as 30s or 5m"
		}
	}
	x, err := strconv.ParseFloat(strings.Replace(value, ",", ".", 1), 64)
	switch {
	case severalFor[name] != "" && strings.ContainsAny(strings.TrimPrefix(value, "-"), ", ;-"):
		hint = fmt.Sprintf("several of them: nb1shot sweep %s %s", severalFor[name], value)
	case err == nil && !whole && strings.Contains(value, ","):
		hint = fmt.Sprintf("write %s %v", dashes(name), x)
	case err == nil && whole && x == math.Trunc(x) && math.Abs(x) < 1e15 && (x >= 0 || want == "a whole number"):
		hint = fmt.Sprintf("write %s %.0f", dashes(name), x)
	case err == nil && whole && math.Abs(x) >= 1e15:
		want += " that is not so large"
	}
	return misuse(fmt.Errorf("%s is %q, want %s", dashes(name), value, want), "%s", hint)
}

// severalFor has the option of sweep that takes several of what an option of other
// commands takes one of.
var severalFor = map[string]string{"space": "--spaces", "seed": "--seeds", "algo": "--algos"}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// noArguments refuses arguments.
func noArguments(c *cli.Context) error {
	if !c.Args().Present() {
		return nil
	}
	return misuse(fmt.Errorf("unexpected argument %q", c.Args().First()), "see %s --help", c.Command.HelpName)
}

// oneArgument returns the only argument, called what in the error.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch n := c.Args().Len(); n {
	case 1:
		return c.Args().First(), nil
	case 0:
		return "", misuse(fmt.Errorf("%s is missing", what), "see %s --help", c.Command.HelpName)
	default:
		return "", misuse(fmt.Errorf("%d arguments, want %s alone", n, what), "see %s --help", c.Command.HelpName)
	}
}

// grace is for how long after a signal another one is the same: timeout(1), for
// one, sends its signal twice.
const grace = 500 * time.Millisecond

// stopSignal is the cause of a context's end by a signal.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return s.String() }

// Is tells that what a signal ends was cancelled.
func (s stopSignal) Is(target error) bool { return target == context.Canceled }

// endings are the signals that ask the program to end: SIGHUP is none where it is ignored, as
// by nohup.
func endings() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// interruptible lets endings and SIGUSR1, by which clusters announce the end of a job,
// cancel the action's context, and says so at once. A second signal kills the program.
func interruptible(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, append(endings(), syscall.SIGUSR1)...)
		ctx, cancel := context.WithCancelCause(c.Context)
		code := make(chan int, 1)
		fault.Start(func() {
			defer signal.Stop(signals)
			defer close(code)
			select {
			case s := <-signals:
				cancel(stopSignal{s})
				newStatus(c.App.ErrWriter, 0).end() // of the line of progress
				fmt.Fprintln(c.App.ErrWriter, "stopping after this step; again to stop now")
				code <- 128 + int(s.(syscall.Signal)) // the program may end now
				time.Sleep(grace)
			case <-ctx.Done():
			}
		})
		c.Context = ctx
		err := action(c)
		cancel(nil)
		signalled := <-code
		if err == nil || signalled == 0 {
			return err
		}
		interrupted := &failure{error: err, code: signalled}
		if f := (*failure)(nil); errors.As(err, &f) {
			interrupted.hint = f.hint
		} else if errors.Is(err, context.Canceled) {
			interrupted.error = errors.New("interrupted")
		}
		return interrupted
	}
}
