package command

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/steptime"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "time the steps of a search on this machine",
		Description: `Times the steps on weights and images that are given by formula, after a warm-up
that does not count, and the machine's peak before and after them: multiply-adds in
registers, in single precision, on the same number of threads. A step's GFLOP/s are
those of its convolutions or matrix products. The memory is the most that the program has needed until
the end of the step, so time a step alone to see what it needs itself.

Steps:
` + stepList() + `

Example:
  nb1shot bench --space 2 --steps arch,weight
  nb1shot bench --space rnn --hidden 24 --words 300 --batch 16 --length 16`,
		Flags: []cli.Flag{
			spaceFlag("2", ""),
			&cli.StringFlag{Name: "genotype", Usage: "time the network that is trained from scratch with `GENOTYPE`, as for cell: weight and forward; with the auxiliary head at side 32"},
			&cli.StringFlag{Name: "steps", Usage: "time these `STEPS`, in this order", Value: strings.Join(steptime.Names(), ",")},
			&cli.IntFlag{Name: "batch", Usage: "`N` images in a batch, or passages", Value: 96, DefaultText: "96, of rnn 256"},
			&cli.IntFlag{Name: "hessian-batch", Usage: "`N` images in the batch of the Hessian", Value: 40},
			&cli.IntFlag{Name: "channels", Usage: "`N` channels of the first cells", Value: 16},
			&cli.IntFlag{Name: "cells", Usage: "`N` cells in the supernet, at least 3", Value: 9},
			&cli.IntFlag{Name: "side", Usage: "images of `N` pixels a side", Value: 32},
			&cli.IntFlag{Name: "hidden", Usage: "`N` hidden units of the language model of space rnn", Value: 300},
			&cli.IntFlag{Name: "words", Usage: "`N` words in its vocabulary", Value: 10_000},
			&cli.IntFlag{Name: "length", Usage: "passages of `N` words for it", Value: 35},
			&cli.IntFlag{Name: "partial", Usage: "send 1/`N` of the channels through the operations, as PC-DARTS does with 4", DefaultText: "all"},
			&cli.BoolFlag{Name: "sampled", Usage: "time the network of GDAS, with one operation of each block drawn in every repeat; without pgd and hessian", DisableDefaultText: true},
			bounded(&cli.IntFlag{Name: "repeats", Usage: "time each step `N` times", DefaultText: "10, the Hessian 3"}, 1, 1_000_000),
			&cli.BoolFlag{Name: "phases", Usage: "also time every phase of the engine's programs, beside the least time that its arithmetic and its bytes can take", DisableDefaultText: true},
			engineFlag(engine.Auto),
			precisionFlag(),
			bounded(&cli.IntFlag{Name: "threads", Usage: "compute on `N` threads", Value: runtime.GOMAXPROCS(0)}, 1, maxThreads),
			jsonFlag(),
		},
		Action: interruptible(runBench),
	}
}

func stepList() string {
	var lines []string
	for _, s := range steptime.Steps {
		lines = append(lines, fmt.Sprintf("  %-8s %s", s.Name, s.Doc))
	}
	return strings.Join(lines, "\n")
}

func runBench(c *cli.Context) error {
	b, err := newBench(c)
	if err != nil {
		return err
	}
	w := c.App.Writer
	if !c.Bool("json") {
		fmt.Fprintf(w, "engine   %s: %s, threads %d, %s\n", b.Engine, b.Precision, b.Threads, b.Device)
		network := "space " + string(b.Space)
		if b.Genotype != "" {
			network = "genotype " + b.Genotype
		}
		if b.Auxiliary > 0 {
			network += ", auxiliary head"
		}
		if b.Hidden > 0 {
			fmt.Fprintf(w, "network  %s, hidden %d, words %d, length %d", network, b.Hidden, b.Words, b.Length)
		} else {
			fmt.Fprintf(w, "network  %s, channels %d, cells %d, side %d", network, b.Channels, b.Cells, b.Side)
		}
		if b.Partial > 1 {
			fmt.Fprintf(w, ", partial %d", b.Partial)
		}
		if b.Sampled {
			fmt.Fprint(w, ", sampled")
		}
		fmt.Fprintln(w)
	}
	line := newStatus(c.App.ErrWriter, 0)
	if line.screen == nil {
		line.w = io.Discard
	}
	report, err := b.Run(c.Context, func(p steptime.Progress) { line.print(benchProgress(p)) })
	line.end()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(w, report)
	}
	return printReport(w, report)
}

// newBench reads the command line.
func newBench(c *cli.Context) (*steptime.Bench, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	if err := checkEngine(c); err != nil {
		return nil, err
	}
	steps := strings.Split(c.String("steps"), ",")
	if c.Bool("sampled") && !c.IsSet("steps") {
		steps = []string{"arch", "weight", "forward"}
	}
	var genotype *darts.Genotype
	if c.IsSet("genotype") {
		if c.IsSet("space") {
			return nil, misuse(errors.New("--genotype and --space name two networks"), "leave one out")
		}
		found, err := readGenotype(c.String("genotype"))
		if err != nil {
			return nil, err
		}
		genotype = &found.genotype
		if !c.IsSet("steps") {
			steps = []string{"weight", "forward"}
		}
	}
	batch := c.Int("batch")
	if genotype == nil && spaceOf(c) == rnn.Name {
		if err := misplaced(c, "images, and space rnn reads words", "hessian-batch", "channels", "cells", "side", "partial", "sampled", "phases"); err != nil {
			return nil, err
		}
		if !c.IsSet("steps") {
			steps = []string{"arch", "weight", "pgd", "forward"}
		}
		if !c.IsSet("batch") {
			batch = 256
		}
	} else if err := misplaced(c, "space rnn alone", "hidden", "words", "length"); err != nil {
		return nil, err
	}
	for _, name := range steps {
		if names := steptime.Names(); !slices.Contains(names, name) {
			return nil, unknown("step", name, names, "choose from "+strings.Join(names, ", "))
		}
	}
	help := fmt.Sprintf("see %s --help", c.Command.HelpName)
	b, err := steptime.Prepare(c.Context, steptime.Config{
		Space: spaceOf(c), Genotype: genotype, Channels: c.Int("channels"), Cells: c.Int("cells"), Side: c.Int("side"),
		Partial: c.Int("partial"), Sampled: c.Bool("sampled"), Phases: c.Bool("phases"), Batch: batch, HessianBatch: c.Int("hessian-batch"),
		Hidden: c.Int("hidden"), Words: c.Int("words"), Length: c.Int("length"),
		Steps: steps, Repeats: c.Int("repeats"), Engine: c.String("engine"), Threads: c.Int("threads"),
	})
	if err != nil && c.Context.Err() != nil {
		return nil, c.Context.Err()
	}
	if err != nil {
		return nil, misuse(err, "%s", help)
	}
	return b, nil
}

// misplaced is the error of an option among names that the network asked for has no use
// for, since it is for something else.
func misplaced(c *cli.Context, use string, names ...string) error {
	for _, name := range names {
		if c.IsSet(name) {
			return misuse(fmt.Errorf("--%s is for %s", name, use), "leave it out")
		}
	}
	return nil
}

func benchProgress(p steptime.Progress) string {
	if p.Repeat == 0 {
		return p.Step + ": warming up"
	}
	return fmt.Sprintf("%s: repeat %d of %d", p.Step, p.Repeat, p.Repeats)
}

func printReport(w io.Writer, r steptime.Report) error {
	if r.Peak > 0 {
		fmt.Fprintf(w, "peak     %.1f GFLOP/s by %s: %.1f before the steps, %.1f after\n", r.Peak, r.ISA, r.PeakBefore, r.PeakAfter)
	}
	fmt.Fprintln(w)
	const row = "%-8s %8s %10s %10s %10s %9s %8s %10s\n"
	what := "images"
	if r.Hidden > 0 {
		what = "passages"
	}
	fmt.Fprintf(w, row, "step", what, "median s", "min s", "max s", "GFLOP/s", "of peak", "memory")
	for _, t := range r.Steps {
		memory, share := "unknown", "–"
		if r.Peak > 0 {
			share = fmt.Sprintf("%.1f %%", 100*t.Share)
		}
		if t.PeakRSS > 0 {
			memory = fmt.Sprintf("%d MiB", t.PeakRSS>>20)
		}
		seconds := func(s float64) string { return fmt.Sprintf("%.4f", s) }
		_, err := fmt.Fprintf(w, row, t.Step, grouped(t.Batch), seconds(t.Median), seconds(t.Min), seconds(t.Max),
			fmt.Sprintf("%.1f", t.Rate), share, memory)
		if err != nil {
			return err
		}
	}
	for _, t := range r.Steps {
		if err := printPhases(w, r, t); err != nil {
			return err
		}
	}
	return nil
}

// printPhases prints the phases of a step, if they were timed.
func printPhases(w io.Writer, r steptime.Report, t steptime.Timing) error {
	if len(t.Phases) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nPhases of %s. Memory: %.1f GB/s read, %.1f written. Times in ms; the bound is the larger of FLOPs at the peak and bytes at the speed of memory.\n",
		t.Step, r.MemoryRead, r.MemoryWritten)
	const row = "%7s %5s %8s %8s %9s %8s %8s %8s %8s  %s\n"
	fmt.Fprintf(w, row, "program", "phase", "MB read", "written", "MFLOP", "images", "between", "bound", "of it", "instructions")
	var sum steptime.PhaseTiming
	var bound float64
	line := func(program, phase string, p steptime.PhaseTiming, bound float64, limit string) error {
		ms := func(s float64) string { return fmt.Sprintf("%.2f", 1e3*s) }
		mega := func(v float64) string { return fmt.Sprintf("%.1f", v/1e6) }
		share := "–"
		if p.Images > 0 {
			share = fmt.Sprintf("%.0f %%%s", 100*bound/p.Images, limit)
		}
		_, err := fmt.Fprintf(w, row, program, phase, mega(p.Read), mega(p.Written), mega(p.FLOPs), ms(p.Images), ms(p.Batch), ms(bound), share, p.Instructions)
		return err
	}
	for _, p := range t.Phases {
		limit := " A"
		if p.Memory > p.Arithmetic {
			limit = " M"
		}
		if err := line(fmt.Sprint(p.Program), fmt.Sprint(p.Phase), p, p.Bound(), limit); err != nil {
			return err
		}
		sum.Read, sum.Written, sum.FLOPs = sum.Read+p.Read, sum.Written+p.Written, sum.FLOPs+p.FLOPs
		sum.Images, sum.Batch, bound = sum.Images+p.Images, sum.Batch+p.Batch, bound+p.Bound()
	}
	return line("", "all", sum, bound, "")
}
