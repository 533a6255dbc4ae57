package command

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange moves the options of a command line before its arguments, where
// package cli looks for them, and drops the arguments where help is asked for.
// After "--" everything is an argument.
func arrange(app *cli.App, args []string) []string {
	rest, commands, flags := descend(app, args[1:])
	path := args[: len(args)-len(rest) : len(args)-len(rest)]
	if len(commands) > 0 && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return append(path, "--", rest[0]) // a command that does not exist, whatever follows
	}
	var options, arguments []string
	for i := 0; i < len(rest); i++ {
		switch arg := rest[i]; {
		case arg == "--":
			arguments = append(arguments, rest[i+1:]...)
			i = len(rest)
		case arg == "--help" || arg == "-h":
			return append(path, "--help")
		case !strings.HasPrefix(arg, "-") || arg == "-":
			arguments = append(arguments, arg)
		case !takesValue(flags, arg):
			options = append(options, arg)
		case mayLackValue(flags, arg) && (i+1 == len(rest) || len(rest[i+1]) > 1 && strings.HasPrefix(rest[i+1], "-")):
			options = append(options, arg, optionalValue)
		case i+1 < len(rest):
			options = append(options, arg, rest[i+1])
			i++
		default:
			return append(path, arg) // its value is missing, which ends it all
		}
	}
	return slices.Concat(path, options, []string{"--"}, arguments)
}

// descend follows the names of commands at the beginning of a command line. It
// returns the words behind them, and the commands and options that may follow.
func descend(app *cli.App, words []string) (rest []string, commands []*cli.Command, flags []cli.Flag) {
	rest, commands, flags = words, app.Commands, app.Flags
	for len(rest) > 0 {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			break
		}
		rest, commands, flags = rest[1:], commands[i].Subcommands, commands[i].Flags
	}
	return rest, commands, flags
}

// optionalFlag is an option that may do without a value where another option follows it
// or nothing does.
type optionalFlag struct{ *cli.StringFlag }

// optionalValue is what such an option has then.
const optionalValue = "-"

func mayLackValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	return slices.ContainsFunc(flags, func(f cli.Flag) bool {
		_, optional := f.(optionalFlag)
		return optional && slices.Contains(f.Names(), name)
	})
}

// takesValue tells whether the next argument is the value of the given option.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			_, isSwitch := f.(*cli.BoolFlag)
			return !isSwitch
		}
	}
	return false
}

// nearest returns the candidate that the user may have meant by name, or "". Case
// does not matter. A letter may be off, two where the name has five, and one more for
// each eight that it has.
func nearest(name string, candidates []string) string {
	best, least := "", min(2+len(name)/8, len(name))
	if len(name) > 4 {
		least++
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	var rows [2][]int // of one letter of a less, and of two
	for i := range len(a) + 1 {
		row := make([]int, len(b)+1)
		for j := range row {
			if i == 0 || j == 0 {
				row[j] = i + j
				continue
			}
			replaced := rows[0][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, row[j-1]+1, rows[0][j]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], rows[1][j-2]+1)
			}
		}
		rows = [2][]int{row, rows[0]}
	}
	return rows[0][len(b)]
}
