package cuda_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/internal/steptime"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// idle is a driver of a device that does nothing and whose memory reads as zeros:
// it counts, and holds the host to the rules.
type idle struct {
	next      cuda.Address
	blocks    map[cuda.Address]int // bytes held
	held      int
	capturing bool

	launched          map[cuda.Kernel]int // outside of captures
	captured, graphs  int                 // launches and captures
	replays, written  int                 // bytes written
	allocated, read   int                 // calls of Alloc, bytes read
	calls, failsAfter int                 // calls that can fail, and after how many they do; 0 is never
	faults            []string
	capacity          int       // bytes; 0 is no limit
	released          int       // graphs
	traffic           []float64 // GB, of each program
	closed            atomic.Bool
}

func newIdle() *idle {
	return &idle{next: 1 << 40, blocks: map[cuda.Address]int{}, launched: map[cuda.Kernel]int{}}
}

var errIdle = errors.New("the device was unplugged")

func (d *idle) call(what string, at cuda.Address, bytes int) error {
	if at != 0 {
		ok := false
		for from, n := range d.blocks {
			ok = ok || at >= from && at+cuda.Address(bytes) <= from+cuda.Address(n)
		}
		if !ok {
			d.faults = append(d.faults, fmt.Sprintf("%s of %d bytes at %x: not ours", what, bytes, at))
		}
	}
	d.calls++
	if d.failsAfter > 0 && d.calls > d.failsAfter {
		return fmt.Errorf("%s: %w", what, errIdle)
	}
	return nil
}

func (d *idle) Device() string { return "nothing" }

func (d *idle) Alloc(bytes int) (cuda.Address, error) {
	if d.capturing {
		d.faults = append(d.faults, "memory taken in a capture")
	}
	if d.capacity > 0 && d.held+bytes > d.capacity {
		return 0, &cuda.OutOfMemoryError{Wanted: bytes, Free: d.capacity - d.held, Total: d.capacity}
	}
	at := d.next
	d.next += cuda.Address(bytes+511) / 256 * 256
	d.blocks[at] = bytes
	d.held += bytes
	d.allocated++
	return at, d.call("Alloc", 0, 0)
}

func (d *idle) Free(at cuda.Address) error {
	err := d.call("Free", at, 0)
	d.held -= d.blocks[at]
	delete(d.blocks, at)
	return err
}

func (d *idle) Write(to cuda.Address, from []byte) error {
	if d.capturing {
		d.faults = append(d.faults, "a write in a capture")
	}
	d.written += len(from)
	return d.call("Write", to, len(from))
}

func (d *idle) Read(to []byte, from cuda.Address) error {
	if d.capturing {
		d.faults = append(d.faults, "a read in a capture")
	}
	clear(to)
	d.read += len(to)
	return d.call("Read", from, len(to))
}

func (d *idle) Copy(to, from cuda.Address, bytes int) error {
	return errors.Join(d.call("Copy", to, bytes), d.call("Copy", from, bytes))
}

func (d *idle) Clear(to cuda.Address, bytes int) error { return d.call("Clear", to, bytes) }

func (d *idle) Launch(k cuda.Kernel, g cuda.Geometry, args ...uint64) error {
	const most = 1<<16 - 1 // blocks in the second and third direction
	if g.Grid[0] < 1 || g.Grid[1] < 1 || g.Grid[2] < 1 || g.Grid[1] > most || g.Grid[2] > most || g.Threads < 1 || g.Threads > 1024 {
		d.faults = append(d.faults, fmt.Sprintf("%s on %v", k, g))
	}
	if d.capturing {
		d.captured++
	} else {
		d.launched[k]++
	}
	return d.call("Launch "+string(k), 0, 0)
}

func (d *idle) Capture(record func() error) (cuda.Graph, error) {
	d.capturing = true
	err := record()
	d.capturing = false
	d.graphs++
	return idleGraph{d}, err
}

func (d *idle) Close() error {
	d.closed.Store(true)
	return nil
}

type idleGraph struct{ d *idle }

func (g idleGraph) Replay() error {
	g.d.replays++
	return g.d.call("Replay", 0, 0)
}

func (g idleGraph) Release() error {
	g.d.released++
	return nil
}

// lastIdle is the device of the engine that was opened last, which it takes from
// newIdle or from nextIdle.
var lastIdle, nextIdle *idle

func init() {
	engine.Register(engine.Definition{Name: "idle", Doc: "the CUDA engine on a device that does nothing", Rank: -1, Device: true, Open: func(int) (engine.Engine, error) {
		lastIdle, nextIdle = nextIdle, nil
		if lastIdle == nil {
			lastIdle = newIdle()
		}
		e, err := cuda.New(lastIdle)
		return weighed{e, lastIdle}, err
	}})
}

// weighed notes the traffic of every program.
type weighed struct {
	engine.Engine
	d *idle
}

func (e weighed) Compile(p *engine.Plan, in map[string]engine.Vector, out []engine.Vector) (engine.Program, error) {
	program, err := e.Engine.Compile(p, in, out)
	if err == nil {
		e.d.traffic = append(e.d.traffic, float64(program.(interface{ Traffic() int }).Traffic())/1e9)
	}
	return program, err
}

// paper is a bench of the paper's setting.
func paper(space spaces.Name, steps ...string) steptime.Config {
	return steptime.Config{Space: space, Channels: 16, Cells: 9, Side: 32, Batch: 96, HessianBatch: 40, Steps: steps, Repeats: 3, Engine: "idle", Threads: 1}
}

// What the host does for a step of the paper's setting: it replays one graph for each
// run of a program, takes no memory, and launches nothing else but the arithmetic on
// whole vectors.
func TestPaperSetting(t *testing.T) {
	for _, space := range []spaces.Name{"1", "2", "3"} {
		for _, step := range []string{"arch", "weight", "pgd", "forward", "hessian"} {
			t.Run(fmt.Sprintf("%s in space %s", step, space), func(t *testing.T) {
				if testing.Short() && (space != "2" || step != "arch") {
					t.Skip("in short mode one step in one space is enough")
				}
				b, err := steptime.Prepare(t.Context(), paper(space, step))
				if err != nil {
					t.Fatal(err)
				}
				d := lastIdle
				before := newIdle()
				repeats := 0
				r, err := b.Run(context.Background(), func(p steptime.Progress) {
					if repeats++; repeats == 3 { // the second after the warm-up
						before.allocated, before.graphs, before.replays, before.written = d.allocated, d.graphs, d.replays, d.written
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if r.Peak != 0 || r.Steps[0].Share != 0 {
					t.Errorf("the processor's peak, %v GFLOP/s, was measured for a device", r.Peak)
				}
				if len(d.faults) > 0 {
					t.Errorf("%d faults, such as: %s", len(d.faults), d.faults[0])
				}
				if d.allocated != before.allocated || d.graphs != before.graphs {
					t.Errorf("after the first step: memory taken %d times, %d captures", d.allocated-before.allocated, d.graphs-before.graphs)
				}
				steps := repeats - 2
				replays := (d.replays - before.replays) / steps
				if replays == 0 {
					t.Error("no graph was replayed")
				}
				if written := (d.written - before.written) / steps; written > 512<<10 {
					t.Errorf("%d KiB were written a step, for images that the device has", written>>10)
				}
				const gib = 1 << 30
				if d.held > 20*gib {
					t.Errorf("%.1f GiB are held", float64(d.held)/gib)
				}
				for k, n := range d.launched {
					if !slices.Contains([]cuda.Kernel{"vector_axpy", "vector_scale", "vector_blend", "vector_dot"}, k) {
						t.Errorf("%s was launched %d times outside of graphs", k, n)
					}
				}
				t.Logf("%d launches in %d graphs, %d replays a step, %.2f GiB held, %d KiB written a step, %.2f GB of traffic in a run, %.1f GFLOP a step",
					d.captured, d.graphs, replays, float64(d.held)/gib, (d.written-before.written)/steps>>10, d.traffic, r.Steps[0].FLOPs/1e9)
			})
		}
	}
}

// A convolution reads and writes an activation, and so do the instructions that
// bring its input and take its output.
func TestTraffic(t *testing.T) {
	e, err := cuda.New(newIdle())
	if err != nil {
		t.Fatal(err)
	}
	g := graph.New()
	y := graph.NewConv(g.Input("x", graph.Activation, 2, 16, 4, 4), g.Input("w", graph.Parameter, 16, 16, 1, 1))
	plan, err := engine.NewPlan(g, []*graph.Node{y})
	if err != nil {
		t.Fatal(err)
	}
	const n = 2 * 16 * 4 * 4
	p, err := e.Compile(plan, map[string]engine.Vector{"x": e.NewVector(n), "w": e.NewVector(256)}, []engine.Vector{e.NewVector(n)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.(interface{ Traffic() int }).Traffic(), 3*2*n*4; got != want {
		t.Errorf("%d bytes of traffic, want %d", got, want)
	}
}

// What is no longer used is given back, also while a device is full: networks of
// which two do not fit come one after the other.
func TestMemoryIsGivenBack(t *testing.T) {
	d := newIdle()
	e, err := cuda.New(d)
	if err != nil {
		t.Fatal(err)
	}
	use := func() {
		n, err := supernet.New(supernet.Config{Space: getSpace(t), Channels: 8, Cells: 3, Side: 16, Classes: 10, BatchNormMomentum: 0.997}, e)
		if err != nil {
			t.Fatal(err)
		}
		b := data.Batch{Images: make([]float64, 8*3*16*16), Labels: make([]int, 8), N: 8, Side: 16}
		if _, err := n.WeightGradient(b, make([]float64, n.Config().MixingLen()), supernet.BatchStatistics); err != nil {
			t.Fatal(err)
		}
	}
	use()
	d.capacity = d.held * 3 / 2
	for range 10 {
		use()
	}
	if d.released == 0 {
		t.Error("no graph was released")
	}
}

// Engines that nobody uses any more close their device.
func TestUnusedEnginesClose(t *testing.T) {
	d := newIdle()
	if e, err := cuda.New(d); err != nil || e.Device() != d.Device() {
		t.Fatal(err)
	}
	for range 100 {
		runtime.GC()
		if d.closed.Load() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the device is still open")
}

func getSpace(t *testing.T) *spaces.Space {
	t.Helper()
	s, err := spaces.Get("2")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A device that fails at any call ends in an error or a failure that has its
// cause, never in another panic.
func TestFailures(t *testing.T) {
	config := paper("2", "arch", "weight")
	config.Channels, config.Cells, config.Side, config.Batch, config.Repeats = 4, 3, 8, 2, 1
	attempt := func(failsAfter int) (err error) {
		defer engine.Catch(&err)
		nextIdle = newIdle()
		nextIdle.failsAfter = failsAfter
		b, err := steptime.Prepare(t.Context(), config)
		if err == nil {
			_, err = b.Run(context.Background(), nil)
		}
		return err
	}
	if err := attempt(0); err != nil {
		t.Fatal(err)
	}
	calls, attempts := lastIdle.calls, 15
	if testing.Short() {
		attempts = 3
	}
	for after := 1; after < calls; after += 1 + calls/attempts {
		if err := attempt(after); !errors.Is(err, errIdle) {
			t.Fatalf("after %d of %d calls: got %v", after, calls, err)
		}
	}
}
