package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/engine"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print the version and the engines of this program",
		Description: "Example:\n  nb1shot version",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			w := c.App.Writer
			fmt.Fprintf(w, "nb1shot %s, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			for _, e := range engine.All() {
				mark := ""
				if e.Name == engine.Resolve(engine.Auto) {
					mark = " (default)"
				}
				fmt.Fprintf(w, "engine %s%s: %s\n", e.Name, mark, e.Doc)
			}
			return nil
		},
	}
}

// modulePath is this module's.
const modulePath = "github.com/nb1shot/nb1shot"

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown version)"
	}
	return versionIn(info)
}

// versionIn is the version of this module in a program, which may be another module's:
// as go install has it, or that of the commit that was checked out.
func versionIn(info *debug.BuildInfo) string {
	module := info.Main
	for _, m := range info.Deps {
		if m.Path == modulePath {
			module = *m
			if m.Replace != nil {
				module = *m.Replace
			}
		}
	}
	if module.Version != "" && module.Version != "(devel)" {
		return module.Version
	}
	commit, changed := "", false
	if info.Main.Path == modulePath {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				changed = s.Value == "true"
			}
		}
	}
	switch {
	case commit == "":
		return "(development version of an unknown commit)"
	case changed:
		return fmt.Sprintf("(commit %.12s, changed)", commit)
	}
	return fmt.Sprintf("(commit %.12s)", commit)
}
