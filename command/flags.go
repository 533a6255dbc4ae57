package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// An option has one name in all commands, its first; a second one of one letter is
// shown with it. Longer ones are what it was called before, which still work.

func init() {
	whole := cli.FlagStringer
	cli.FlagStringer = func(f cli.Flag) string {
		names, usage, _ := strings.Cut(whole(f), "\t")
		all := strings.Split(names, ", ")
		kept := shownNames(f.Names())
		all = slices.DeleteFunc(all, func(name string) bool {
			name, _, _ = strings.Cut(strings.TrimLeft(name, "-"), " ")
			return !slices.Contains(kept, name)
		})
		return strings.Join(all, ", ") + "\t" + usage
	}
}

// bounded lets an option for a count have no value out of its bounds. The upper ones are
// far beyond any use; they keep a slip of the keyboard from asking for more memory or
// threads than there are.
func bounded(f *cli.IntFlag, least, most int) *cli.IntFlag {
	f.Action = func(c *cli.Context, n int) error {
		if n < least || n > most {
			return misuse(fmt.Errorf("%s is %d, want %d to %d", dashes(f.Name), n, least, most), "see %s --help", c.Command.HelpName)
		}
		return nil
	}
	return f
}

// shownNames returns the names of an option that help, completion and manual show.
func shownNames(names []string) []string {
	return append(names[:1:1], slices.DeleteFunc(slices.Clone(names[1:]), func(n string) bool { return len(n) > 1 })...)
}

// visible tells whether an option is shown at all.
func visible(f cli.Flag) bool {
	v, ok := f.(cli.VisibleFlag)
	return !ok || v.IsVisible()
}

// spaceFlag is an option that names a search space.
func spaceFlag(value, defaultText string) *cli.StringFlag {
	return oneSpaceFlag(value, defaultText, spaces.Choices(), spaces.Name.Check)
}

// tableSpaceFlag is an option that names a search space whose cells a table has.
func tableSpaceFlag(value, defaultText string) *cli.StringFlag {
	return oneSpaceFlag(value, defaultText, "1, 2 or 3", func(n spaces.Name) error {
		_, err := nb1shot1.Get(n)
		return err
	})
}

func oneSpaceFlag(value, defaultText, choices string, check func(spaces.Name) error) *cli.StringFlag {
	f := &cli.StringFlag{Name: "space", Usage: "search `SPACE`: " + choices, Value: value, DefaultText: defaultText}
	f.Action = func(c *cli.Context, name string) error {
		if check(spaces.Name(name)) == nil {
			return nil
		}
		hint := fmt.Sprintf("see %s --help", c.Command.HelpName)
		if several.MatchString(name) {
			hint = "several of them: nb1shot sweep --spaces " + name
		}
		return misuse(fmt.Errorf("--space is %q, want %s", name, choices), "%s", hint)
	}
	return f
}

// several matches what looks like a list of spaces.
var several = regexp.MustCompile(`[,; ]|^[0-9]-`)

// spaceOf is the space that the option names, or "".
func spaceOf(c *cli.Context) spaces.Name { return spaces.Name(c.String("space")) }

// joined lists names as text.
func joined(names []spaces.Name) (all []string) {
	for _, n := range names {
		all = append(all, string(n))
	}
	return all
}

// assigned takes NAME=VALUE apart, which an option was given; hint says how to write it and
// where the names are.
func assigned(option, pair, hint string) (name, value string, err error) {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return "", "", misuse(fmt.Errorf("--%s %s: no value", option, pair), "%s", hint)
	}
	return name, value, nil
}
