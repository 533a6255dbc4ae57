package command

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// The scripts ask this program for the candidates, by "nb1shot completion
// candidates -- WORD...".
var (
	//go:embed completion/nb1shot.bash
	bashCompletion string
	//go:embed completion/nb1shot.zsh
	zshCompletion string
	//go:embed completion/nb1shot.fish
	fishCompletion string
)

func completionCommand() *cli.Command {
	script := func(shell, text, how string) *cli.Command {
		return &cli.Command{
			Name:        shell,
			Usage:       "print the script for " + shell,
			Description: "Example:\n  " + how,
			Action: func(c *cli.Context) error {
				if err := noArguments(c); err != nil {
					return err
				}
				_, err := io.WriteString(c.App.Writer, strings.ReplaceAll(text, "nb1shot", program))
				return err
			},
		}
	}
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the script that lets a shell complete commands, options and their values",
		Description: "Example:\n  nb1shot completion bash > ~/.local/share/bash-completion/completions/" + program,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return cli.ShowSubcommandHelp(c)
			}
			// The nearest name would be that of another shell.
			return misuse(fmt.Errorf("there is no script for %q", c.Args().First()), "there are those for bash, zsh and fish")
		},
		Subcommands: []*cli.Command{
			script("bash", bashCompletion, "nb1shot completion bash > ~/.local/share/bash-completion/completions/"+program),
			script("zsh", zshCompletion, "nb1shot completion zsh > ~/.zfunc/_"+program+"   # a folder of $fpath"),
			script("fish", fishCompletion, "nb1shot completion fish > ~/.config/fish/completions/"+program+".fish"),
			{
				Name:        "candidates",
				Usage:       "print what the last word may become, with what it means behind a tab",
				ArgsUsage:   "-- WORD...",
				Description: "Example:\n  nb1shot completion candidates -- run --algo sdar",
				Hidden:      true,
				Action: func(c *cli.Context) error {
					if !c.Args().Present() {
						return misuse(errors.New("WORD is missing"), "an example is: nb1shot completion candidates -- run --algo sdar")
					}
					for _, found := range candidates(c.App, c.Args().Slice()) {
						if _, err := fmt.Fprintf(c.App.Writer, "%s\t%s\n", found.word, found.doc); err != nil {
							return err
						}
					}
					return nil
				},
			},
		},
	}
}

// candidate is a word that may stand at the end of a command line. One that ends
// in "=" goes on.
type candidate struct{ word, doc string }

// anyFile is the candidate that stands for the names of files.
var anyFile = candidate{doc: "files"}

// candidates returns what the last of the words may become; the words before it
// are a command line without the name of the program.
func candidates(app *cli.App, words []string) []candidate {
	before, last := words[:len(words)-1], words[len(words)-1]
	if len(before) > 0 && before[0] == "help" {
		before = before[1:]
		if strings.HasPrefix(last, "-") {
			return nil
		}
	}
	rest, commands, flags := descend(app, before)
	if slices.Contains(rest, "--") {
		return nil
	}
	var all []candidate
	name, _, joined := strings.Cut(last, "=")
	switch {
	case len(rest) > 0 && takesValue(flags, rest[len(rest)-1]):
		all = values(flags, rest[len(rest)-1], last, rest)
	case strings.HasPrefix(last, "-") && joined:
		for _, v := range values(flags, name, last[len(name)+1:], rest) {
			if v != anyFile {
				v.word = name + "=" + v.word
			}
			all = append(all, v)
		}
	case strings.HasPrefix(last, "-"):
		all = append(all, candidate{"--help", "show help"})
		for _, f := range flags {
			if f == cli.HelpFlag || !visible(f) {
				continue
			}
			_, usage := described(f)
			for _, n := range shownNames(f.Names()) {
				all = append(all, candidate{dashes(n), usage})
			}
		}
	case len(rest) > 0 || len(commands) == 0:
		all = append(all, anyFile)
	default:
		for _, c := range commands {
			if !c.Hidden {
				all = append(all, candidate{c.Name, c.Usage})
			}
		}
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return c != anyFile && !strings.HasPrefix(c.word, last) })
}

// values are the values of an option, by its name and by what its help calls its value,
// as far as they can be listed. The beginning of the value says what a list has
// already, the other words of the command line of which algorithm the settings are and
// of which table the budgets.
func values(flags []cli.Flag, option, begun string, line []string) []candidate {
	list := namedValues(option, begun, line)
	knows := slices.ContainsFunc(flags, func(f cli.Flag) bool {
		return slices.Contains(f.Names(), "pruned") || slices.Contains(f.Names(), "imagenet")
	})
	if knows && strings.TrimLeft(option, "-") == "genotype" { // cell and retrain alone know recurrent cells
		for _, p := range rnn.AllPublished() {
			list = append(list, candidate{p.Name, p.Source})
		}
	}
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), strings.TrimLeft(option, "-")) })
	if i >= 0 && isPath.MatchString(placeholder(flags[i])) {
		list = append(list, anyFile)
	}
	return list
}

// isPath recognises what a value is called that is the name of a file or folder.
var isPath = regexp.MustCompile(`FILE|DIR|PATH`)

// placeholder is what the help calls the value of an option.
func placeholder(f cli.Flag) string {
	if documented, ok := f.(cli.DocGenerationFlag); ok {
		if parts := strings.Split(documented.GetUsage(), "`"); len(parts) == 3 {
			return parts[1]
		}
	}
	return ""
}

func namedValues(option, begun string, line []string) []candidate {
	var list []candidate
	plain := func(names ...string) {
		for _, n := range names {
			list = append(list, candidate{word: n})
		}
	}
	switch strings.TrimLeft(option, "-") {
	case "space":
		for _, n := range spaces.Names() {
			plain(string(n))
		}
	case "genotype":
		for _, p := range darts.AllPublished() {
			list = append(list, candidate{p.Name, p.Source})
		}
	case "algo", "against":
		list = algorithmsAfter("")
	case "algos":
		there := begun[:strings.LastIndex(begun, ",")+1]
		if list = algorithmsAfter(there); there == "" {
			list = append(list, candidate{word: "all"})
		}
	case "data":
		plain(procedural, procedural100)
		plain(data.Kinds()...)
	case "table":
		plain(surrogate)
	case "budget":
		plain(budgets(valueIn(line, "table"))...)
	case "width":
		plain("column", "page")
	case "preset":
		for _, p := range benchmark.Presets {
			list = append(list, candidate{p.Name, p.Doc(benchmark.OneShot)})
		}
	case "precision":
		plain("mixed")
	case "engine":
		plain(engineNames()...)
	case "on":
		plain(onSlurm, onKubernetes)
	case "state":
		plain(stateNames()...)
	case "format":
		plain(exportFormats...)
	case "set":
		for _, algorithm := range algorithmsOf(line) {
			for _, name := range benchmark.Settable(algorithm) {
				if found := (candidate{word: name + "="}); !slices.Contains(list, found) {
					list = append(list, found)
				}
			}
		}
	}
	return list
}

// algorithmsAfter are the algorithms that are not in a list yet, behind it.
func algorithmsAfter(there string) []candidate {
	var list []candidate
	for _, name := range algorithms.Names() {
		if slices.Contains(strings.Split(there, ","), name) {
			continue
		}
		title := ""
		if d, err := algorithms.Lookup(name); err == nil {
			title = d.Title
		}
		list = append(list, candidate{there + name, title})
	}
	return list
}

// budgets are those of the table that a command line names, or of that in the data
// home, or all that there are where none can be read.
func budgets(table string) []string {
	names := []string{"4", "12", "36", "108"}
	oracle, err := openUnverified(table)
	if err != nil {
		return names
	}
	defer oracle.Close()
	if t, ok := oracle.(*nasbench.Table); ok {
		if known, err := t.Budgets(context.Background()); err == nil {
			names = nil
			for _, epochs := range known {
				names = append(names, strconv.Itoa(epochs))
			}
		}
	}
	return names
}

// algorithmsOf returns the algorithm that a command line chooses, or all.
func algorithmsOf(line []string) []string {
	if value := valueIn(line, "algo"); slices.Contains(algorithms.Names(), value) {
		return []string{value}
	}
	return algorithms.Names()
}

// valueIn returns the value of an option in a command line, or "".
func valueIn(line []string, option string) string {
	for i, word := range line {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case strings.TrimLeft(name, "-") != option || !strings.HasPrefix(name, "-"):
		case joined:
			return value
		case i+1 < len(line):
			return line[i+1]
		}
	}
	return ""
}
