package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/engine"
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

// version is that of the module, with the commit where the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}
