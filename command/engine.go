package command

import (
	"errors"
	"fmt"
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

// mixedEngine is what computes where precisionFlag asks for mixed.
const mixedEngine = "cpu-mixed"

func precisionFlag() cli.Flag {
	return &cli.StringFlag{Name: "precision", Usage: "with mixed, compute on engine " + mixedEngine + ", which holds activations in bfloat16 while they wait in memory: `PRECISION`", DefaultText: "the engine's own"}
}

// maxThreads is more than any machine has processors for one engine.
const maxThreads = 1024

func threadsFlag() cli.Flag {
	return bounded(&cli.IntFlag{Name: "threads", Usage: "compute on `N` threads; the numbers do not depend on it", Value: runtime.GOMAXPROCS(0)}, 1, maxThreads)
}

// checkEngine checks the values of all three flags, and lets --engine be what --precision
// stands for.
func checkEngine(c *cli.Context) error {
	names := engineNames()
	if name := c.String("engine"); !slices.Contains(names, name) {
		return unknown("engine", name, names, "choose one of "+strings.Join(names, ", "))
	}
	if !c.IsSet("precision") {
		return nil
	}
	if name := c.String("precision"); name != "mixed" {
		return misuse(fmt.Errorf("there is no --precision %q", name), "it can be mixed; without it, every engine computes in its own")
	}
	if name := c.String("engine"); c.IsSet("engine") && name != engine.Auto && name != "cpu" && name != mixedEngine {
		return misuse(fmt.Errorf("--precision mixed: engine %s has one precision alone", name), "leave one of --engine and --precision out")
	}
	if err := c.Set("engine", mixedEngine); err != nil {
		return errors.Join(errors.New("--precision mixed"), err)
	}
	return nil
}

// computesOn is the flag that says on which engine.
func computesOn(c *cli.Context) string {
	if c.IsSet("precision") {
		return "precision"
	}
	return "engine"
}

// engineNames returns what --engine may be.
func engineNames() []string {
	names := []string{engine.Auto}
	for _, e := range engine.All() {
		names = append(names, e.Name)
	}
	return names
}
