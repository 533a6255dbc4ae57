// Package command is the command line of nb1shot. Another module's program that
// calls Main has all its commands under its own name, with the algorithms that it
// registers in addition.
//
// A command prints what was asked for on standard output, and everything else on
// standard error. It exits with 0 on success, 1 on failure, 2 where the command
// line is wrong, 3 where a run is finished but for its figures, and 128 plus the number
// of the signal that ended it.
package command

import (
	"context"
	"io"
	"os"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
)

// Main executes the command line of the process, and ends the process with the exit code.
// Algorithms are registered before, as package variables or in the program's main:
//
//	func main() {
//		algorithms.Register(algorithms.Definition{Name: "mine", …})
//		command.Main()
//	}
func Main() {
	nameProgram()
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	stdout, stderr = onScreen(stdout, stderr)
	out, log := newStream(stdout), newStream(stderr)
	err := execute(newApp(out, log), args)
	if out.closed() {
		return 128 + int(syscall.SIGPIPE) // whoever closed it needs no message
	}
	if incomplete := out.end(); err == nil {
		err = incomplete
	}
	return printError(log, err)
}

// execute runs the app. A device that fails is an error like any other, and so is a
// fault of the program or of a library.
func execute(app *cli.App, args []string) (err error) {
	defer fault.Catch(&err)
	defer engine.Catch(&err)
	return app.RunContext(context.Background(), arrange(app, args))
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      program,
		Usage:     "the NAS-Bench-1Shot1 stability benchmark",
		UsageText: "nb1shot COMMAND [options] [arguments]",
		Commands: []*cli.Command{
			runCommand(),
			demoCommand(),
			sweepCommand(),
			retrainCommand(),
			plotCommand(),
			reportCommand(),
			serveCommand(),
			stabilityCommand(),
			claimsCommand(),
			gateCommand(),
			landscapeCommand(),
			correlateCommand(),
			selectCommand(),
			resultsCommand(),
			queryCommand(),
			cellCommand(),
			tableCommand(),
			dataCommand(),
			spacesCommand(),
			algosCommand(),
			verifyCommand(),
			benchCommand(),
			versionCommand(),
			completionCommand(),
			manCommand(),
			helpCommand(),
		},
		Flags:                     []cli.Flag{cli.HelpFlag},
		Version:                   version(),
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a value may hold a comma
		Action:                    group,
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // printError does it
		Writer:                    stdout,
		ErrWriter:                 stderr,
	}
	complete(app.Commands)
	return app
}

// complete fills in what all commands have in common.
func complete(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand = true
		c.OnUsageError = usageError
		if len(c.Subcommands) > 0 {
			if c.Action == nil {
				c.Action = group
			}
			c.UsageText = "nb1shot " + c.Name + " COMMAND [options] [arguments]"
		}
		complete(c.Subcommands)
	}
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the options of a command",
		ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error {
			args := append([]string{c.App.Name}, c.Args().Slice()...)
			return c.App.RunContext(c.Context, append(args, "--help"))
		},
	}
}
