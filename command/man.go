package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		Description: "Example:\n  nb1shot man > ~/.local/share/man/man1/" + program + ".1",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, err := io.WriteString(c.App.Writer, manPage(c.App))
			return err
		},
	}
}

// manPage writes what --help says of all commands as one manual page. (Package
// cli can do so too, but leaves out the descriptions and with them the
// examples.)
func manPage(app *cli.App) string {
	var b strings.Builder
	name := roff(program)
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"nb1shot %s\" \"User Commands\"\n.nh\n.ad l\n", strings.ToUpper(name), roff(app.Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", name, roff(app.Usage))
	b.WriteString(".SH SYNOPSIS\n.B " + name + "\n.I COMMAND\n[options] [arguments]\n")
	b.WriteString(".SH DESCRIPTION\n")
	manText(&b, program+` trains one-shot supernets with architecture search over the three NAS-Bench-1Shot1
spaces, looks up the cell of every epoch in a NAS-Bench-101 table, follows the spectrum of
the architecture Hessian, and draws and compares what it recorded.

Options may stand before or behind the arguments; behind -- everything is an argument.`)
	b.WriteString(".SH COMMANDS\n")
	manCommands(&b, program, app.Commands)
	b.WriteString(".SH EXIT STATUS\n.TP\n0\nsuccess\n.TP\n1\nfailure; for results diff, the runs differ\n.TP\n2\nthe command line is wrong\n.TP\n3\na run is finished, but its figures could not be drawn\n.TP\n128+N\nended by signal N\n")
	b.WriteString(".SH ENVIRONMENT\n.TP\n.B NB1SHOT_HOME\nfolder of CIFAR\\-10 and of the default table; by default $XDG_DATA_HOME/nb1shot or else ~/.local/share/nb1shot\n.TP\n.B NB1SHOT_DATA, NB1SHOT_TABLE\nwhat \\-\\-data and \\-\\-table are where they are left out\n")
	b.WriteString(".SH FILES\n.TP\n.I runs/\nrun directories, described in docs/run\\-directory.md of the source\n")
	return b.String()
}

// manCommands writes a section for each command that does something itself.
func manCommands(b *strings.Builder, path string, commands []*cli.Command) {
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		name := path + " " + c.Name
		if len(c.Subcommands) > 0 {
			manCommands(b, name, c.Subcommands)
			continue
		}
		usage := name
		switch {
		case c.UsageText != "":
			usage = named(c.UsageText)
		case len(c.Flags) > 0:
			usage += " [options]"
		}
		if c.ArgsUsage != "" {
			usage += " " + c.ArgsUsage
		}
		fmt.Fprintf(b, ".SS %s\n.B %s\n.PP\n%s\n", roff(name), roff(usage), roff(strings.ToUpper(c.Usage[:1])+c.Usage[1:]+"."))
		if c.Description != "" {
			b.WriteString(".PP\n")
			manText(b, named(c.Description))
		}
		for _, f := range c.Flags {
			if !visible(f) {
				continue
			}
			names, usage := described(f)
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(names), roff(usage))
		}
	}
}

// described returns an option with its placeholder, "--algo ALGORITHM", and what
// it does.
func described(f cli.Flag) (names, usage string) {
	names, usage, _ = strings.Cut(f.String(), "\t")
	return names, named(usage)
}

// manText writes paragraphs. Indented lines stand as they are.
func manText(b *strings.Builder, text string) {
	verbatim := false
	for line := range strings.SplitSeq(text, "\n") {
		if indented := strings.HasPrefix(line, " "); indented != verbatim {
			b.WriteString(map[bool]string{true: ".RS 4\n.nf\n", false: ".fi\n.RE\n"}[indented])
			verbatim = indented
		}
		if line == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(strings.TrimPrefix(line, "  ")) + "\n")
	}
	if verbatim {
		b.WriteString(".fi\n.RE\n")
	}
}

// roff escapes a line of text.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\"", `\(dq`, "`", `\(ga`, "'", `\(aq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
