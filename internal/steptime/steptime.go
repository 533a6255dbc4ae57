// Package steptime times the steps that a search consists of, on an engine and in
// one run with the machine's peak, so that its rates can be compared with what
// the machine can do and, through a problem given by formula, with other
// programs. Package benchmark compares algorithms.
package steptime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/peak"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Config says what to time.
type Config struct {
	Space        spaces.Name
	Genotype     *darts.Genotype // if not nil, times the network that is trained from scratch with it, not that of Space
	Channels     int             // of the first cells
	Cells        int             // at least 3
	Side         int             // of the images, in pixels
	Hidden       int             // units of the language model, on the space of recurrent cells, which has none of the four above
	Words        int             // of its vocabulary
	Length       int             // of its passages, in words
	Partial      int             // see supernet.Variant; 0 is the network of DARTS
	Batch        int             // images, but for the Hessian; or passages
	HessianBatch int             // images for the Hessian
	Steps        []string
	Repeats      int    // of each step; 0 is the step's own number
	Engine       string // name of an engine, or engine.Auto
	Threads      int    // of the engine and of the peak
	Phases       bool   // also time every phase of the engine's programs, see PhaseTiming
	Sampled      bool   // the network of GDAS, with one operation for each block drawn anew in every repeat
}

// recurrent tells whether the network is that of the recurrent space.
func (c Config) recurrent() bool { return c.Genotype == nil && c.Space == rnn.Name }

func (c Config) check() error {
	between := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %d, need %d to %d", name, v, low, high)
		}
		return nil
	}
	for _, name := range c.Steps {
		s, err := lookup(name)
		if err != nil {
			return err
		}
		if c.Sampled && !s.Sampled {
			return fmt.Errorf("step %s is not for sampled networks", name)
		}
		if c.recurrent() && !s.Recurrent {
			return fmt.Errorf("step %s is not for the space %s", name, c.Space)
		}
		if c.Genotype != nil && !s.Evaluation {
			return fmt.Errorf("step %s is not for the network of a genotype", name)
		}
	}
	common := errors.Join(
		between("repeats", c.Repeats, 0, 1_000_000),
		between("threads", c.Threads, 1, 1024),
	)
	if c.recurrent() {
		return errors.Join(
			between("hidden units", c.Hidden, 1, 10_000),
			between("words", c.Words, 2, 1_000_000),
			between("length", c.Length, 1, 1000),
			between("batch", c.Batch, 2, 100_000),
			common,
		)
	}
	// The upper bounds are far beyond any use, as in a search.
	return errors.Join(
		between("channels", c.Channels, 1, 512),
		between("cells", c.Cells, 3, 99),
		between("side", c.Side, 4, 512),
		between("partial", c.Partial, 0, 512),
		between("batch", c.Batch, 1, 100_000),
		between("batch of the Hessian", c.HessianBatch, 1, 100_000),
		common,
	)
}

// Setup is what a bench runs on.
type Setup struct {
	Engine    string      `json:"engine"`
	Device    string      `json:"device"`
	Precision string      `json:"precision"`
	Threads   int         `json:"threads"`
	Space     spaces.Name `json:"space,omitempty"`
	Genotype  string      `json:"genotype,omitempty"`  // in its place
	Auxiliary float64     `json:"auxiliary,omitempty"` // weight of the auxiliary head that the network of a genotype has
	Batch     int         `json:"batch"`               // but for the Hessian
	Channels  int         `json:"channels,omitempty"`
	Cells     int         `json:"cells,omitempty"`
	Side      int         `json:"side,omitempty"`
	Hidden    int         `json:"hidden,omitempty"` // of the space of recurrent cells
	Words     int         `json:"words,omitempty"`
	Length    int         `json:"length,omitempty"`
	Partial   int         `json:"partial,omitempty"`
	Sampled   bool        `json:"sampled,omitempty"` // see Config
}

// Report is what a bench measured.
type Report struct {
	Setup
	// The peak is that of the processor, and 0 for engines that compute elsewhere.
	ISA        string  `json:"isa"`         // instructions of the peak, see peak.FMA
	Peak       float64 `json:"peak_gflops"` // the larger of the next two
	PeakBefore float64 `json:"peak_before"` // of all threads in single precision, in GFLOP/s
	PeakAfter  float64 `json:"peak_after"`  // the same after the last step
	// What all threads together read from memory and write to it, in GB/s; 0 unless phases
	// are timed.
	MemoryRead    float64  `json:"memory_read,omitempty"`
	MemoryWritten float64  `json:"memory_written,omitempty"`
	Steps         []Timing `json:"steps"` // in the order of Config.Steps
}

// Timing is what was measured of one step. Times are in seconds.
type Timing struct {
	Step  string `json:"step"`
	Batch int    `json:"batch"` // images or passages
	Outcome
	Seconds []float64 `json:"seconds"` // of each repeat in turn
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	FLOPs   float64   `json:"flops"`  // arithmetic of a repeat, see engine.Plan.FLOPs
	Rate    float64   `json:"gflops"` // by the median, in GFLOP/s
	Share   float64   `json:"share"`  // Rate as a fraction of Report.Peak, 0 without one
	// PeakRSS is the most memory that the process, with all that it did until
	// the end of this step, has had resident. 0 where the system does not tell.
	PeakRSS int64 `json:"peak_rss_bytes,omitempty"`
	// Phases are those of all programs that the step runs, in order, if asked for.
	Phases []PhaseTiming `json:"phases,omitempty"`
}

// Progress tells how far a bench has come.
type Progress struct {
	Step            string
	Repeat, Repeats int // repeat 0 is the warm-up, which does not count
}

// Bench is a configuration made ready.
type Bench struct {
	Setup
	steps   []Step
	repeats int
	problem *problem
	engine  engine.Engine
	phases  bool
}

// Prepare checks the configuration and makes the network and the images. When ctx is
// done, it leaves them alone and returns ctx's error.
func Prepare(ctx context.Context, c Config) (*Bench, error) {
	return abandon.Do(ctx, 0, func() (b *Bench, err error) {
		defer engine.Catch(&err)
		return prepare(c)
	})
}

func prepare(c Config) (*Bench, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	name := engine.Resolve(c.Engine)
	e, err := engine.Open(name, c.Threads)
	if err != nil {
		return nil, err
	}
	b := &Bench{
		Setup: Setup{
			Engine: name, Device: e.Device(), Precision: e.Precision(), Threads: c.Threads,
			Space: c.Space, Batch: c.Batch, Channels: c.Channels, Cells: c.Cells, Side: c.Side,
			Partial: c.Partial, Sampled: c.Sampled,
		},
		repeats: c.Repeats, engine: e, phases: c.Phases,
	}
	if _, ok := e.(engine.Observable); c.Phases && !ok {
		return nil, fmt.Errorf("engine %s does not tell how long its phases take; cpu does", name)
	}
	if c.recurrent() {
		b.Channels, b.Cells, b.Side, b.Hidden, b.Words, b.Length = 0, 0, 0, c.Hidden, c.Words, c.Length
	}
	if c.Genotype != nil {
		b.Space, b.Genotype, b.Auxiliary = "", c.Genotype.Line(), c.auxiliary()
	}
	for _, name := range c.Steps {
		s, err := lookup(name)
		if err != nil {
			return nil, err
		}
		b.steps = append(b.steps, s)
	}
	b.problem, err = newProblem(c, e)
	return b, err
}

// Run measures, calling progress, if not nil, before every repeat. When ctx is
// done, it leaves the repeat at work alone and returns ctx's error.
func (b *Bench) Run(ctx context.Context, progress func(Progress)) (Report, error) {
	return abandon.Do(ctx, 0, func() (r Report, err error) {
		defer engine.Catch(&err)
		return b.run(ctx, progress)
	})
}

func (b *Bench) run(ctx context.Context, progress func(Progress)) (Report, error) {
	r := Report{Setup: b.Setup}
	measured := !engine.OnDevice(b.Engine)
	if measured {
		r.PeakBefore, r.ISA = peak.FMA(b.Threads)
	}
	if b.phases {
		read, written := peak.Memory(b.Threads)
		r.MemoryRead, r.MemoryWritten = read/1e9, written/1e9
	}
	for _, s := range b.steps {
		t, err := b.time(ctx, s, progress)
		if err != nil {
			return Report{}, fmt.Errorf("bench %s: %w", s.Name, err)
		}
		r.Steps = append(r.Steps, t)
	}
	if measured {
		r.PeakAfter, _ = peak.FMA(b.Threads)
	}
	// Load from outside can only lower what is measured.
	r.Peak = max(r.PeakBefore, r.PeakAfter)

	// Counting builds the graphs once more, which no step's memory should show.
	for i, s := range b.steps {
		var err error
		t := &r.Steps[i]
		if b.problem.search == nil {
			t.FLOPs, err = s.flops(b.problem)
		}
		if err != nil {
			return Report{}, fmt.Errorf("bench %s: %w", s.Name, err)
		}
		t.Rate = t.FLOPs / t.Median / 1e9
		if measured {
			t.Share = t.Rate / r.Peak
		}
		for k := range t.Phases {
			t.Phases[k].judge(r)
		}
	}
	return r, nil
}

// time repeats the step from the state in which every step starts.
func (b *Bench) time(ctx context.Context, s Step, progress func(Progress)) (Timing, error) {
	t := Timing{Step: s.Name, Batch: s.batch(b.problem).N}
	repeats := b.repeats
	if repeats == 0 {
		repeats = s.Repeats
	}
	b.problem.reset()
	var watch phaseWatch
	if b.phases {
		watched := b.engine.(engine.Observable)
		watched.Observe(watch.saw)
		defer watched.Observe(nil)
	}
	for i := range repeats + 1 {
		if err := ctx.Err(); err != nil {
			return Timing{}, err
		}
		if progress != nil {
			progress(Progress{Step: s.Name, Repeat: i, Repeats: repeats})
		}
		before := b.problem.flops()
		start := time.Now()
		outcome, err := s.do(ctx, b.problem)
		took := time.Since(start).Seconds()
		if err != nil {
			return Timing{}, err
		}
		t.FLOPs = b.problem.flops() - before
		if watch.next(); i > 0 {
			t.Seconds = append(t.Seconds, took)
			continue
		}
		if err := outcome.check(); err != nil {
			return Timing{}, err
		}
		t.Outcome = outcome
		runtime.GC() // compiling leaves garbage that is not for the repeats to clear
	}
	t.Median, t.Min, t.Max = median(t.Seconds), slices.Min(t.Seconds), slices.Max(t.Seconds)
	t.PeakRSS = peakRSS()
	t.Phases = watch.timings()
	return t, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Outcome is what the first repeat of a step computed, by which two programs can
// tell that they time the same. What a step does not compute is nil.
type Outcome struct {
	Loss       *float64 `json:"loss,omitempty"`
	Before     *float64 `json:"before,omitempty"`     // loss before the attack
	After      *float64 `json:"after,omitempty"`      // loss after the attack
	Eigenvalue *float64 `json:"eigenvalue,omitempty"` // the algebraically largest of the Hessian
}

func (o Outcome) check() error {
	for _, v := range []*float64{o.Loss, o.Before, o.After, o.Eigenvalue} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return fmt.Errorf("the step computes %v; the engine or the size is at fault", *v)
		}
	}
	return nil
}
