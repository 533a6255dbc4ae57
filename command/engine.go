package command

import (
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/engine"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"  // registers itself
	_ "github.com/nb1shot/nb1shot/internal/engine/cuda" // registers itself
	_ "github.com/nb1shot/nb1shot/internal/engine/ref"  // registers its engines
)

func engineFlag(name string) cli.Flag {
	return &cli.StringFlag{Name: "engine", Usage: "`ENGINE` that computes: " + strings.Join(engineNames(), ", "), Value: name}
}

// maxThreads is more than any machine has processors for one engine.
const maxThreads = 1024

func threadsFlag() cli.Flag {
	return bounded(&cli.IntFlag{Name: "threads", Usage: "compute on `N` threads; the numbers do not depend on it", Value: runtime.GOMAXPROCS(0)}, 1, maxThreads)
}

// checkEngine checks the values of both flags.
func checkEngine(c *cli.Context) error {
	names := engineNames()
	if name := c.String("engine"); !slices.Contains(names, name) {
		return unknown("engine", name, names, "choose one of "+strings.Join(names, ", "))
	}
	return nil
}

// engineNames returns what --engine may be.
func engineNames() []string {
	names := []string{engine.Auto}
	for _, e := range engine.All() {
		names = append(names, e.Name)
	}
	return names
}
