package cuda

import (
	"runtime"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// opKernels are those of the instructions, by kind.
var opKernels = [phases.OpCount]Kernel{
	phases.OpCombine: "op_combine", phases.OpReduce: "op_reduce",
	phases.OpConv1: "op_conv1", phases.OpConv3: "op_conv3", phases.OpConvK: "op_convk",
	phases.OpWeight1: "op_weight1", phases.OpWeight3: "op_weight3", phases.OpWeightK: "op_weightk",
	phases.OpPool: "op_pool", phases.OpPoolBack: "op_pool_back", phases.OpPoolTake: "op_pool_take",
	phases.OpDepth: "op_depth", phases.OpDepthBack: "op_depth_back", phases.OpDepthWeight: "op_depth_weight",
	phases.OpAverage: "op_average", phases.OpAverageBack: "op_average_back",
	phases.OpSubsample: "op_subsample", phases.OpSpread: "op_spread", phases.OpMask: "op_mask",
	phases.OpMean: "op_mean", phases.OpMeanBack: "op_mean_back",
	phases.OpLoad: "op_load", phases.OpStore: "op_store", phases.OpRepack: "op_repack",
	phases.OpLoss: "op_loss", phases.OpLossBack: "op_loss_back", phases.OpLossBackBack: "op_loss_back_back", phases.OpLossDot: "op_loss_dot",
	phases.OpStream: "op_stream",
}

// The gradients of weights are summed up in this many groups of images, at most.
// Each is some blocks of a kernel: of 16 channels by 16, three. More keep more of the
// GPU busy, but take more memory, which is read once more.
const maxGradientGroups = 48

// program is a compiled plan.
type program struct {
	*phases.Program
	engine  *Engine
	machine *machine
	needs   room

	device        *kernels.Device // staged
	deviceAddress Address
	packs         []work // of each level
	computed      []work // those of them that a repetition does again
	unpacks       []work

	*graphs
}

// graphs are the captured launches of a program.
type graphs struct {
	generation int      // of the engine's memory for which they are made
	of         [2]Graph // a run and a repetition
}

// release forgets them.
func (g *graphs) release() error {
	for i, graph := range g.of {
		if graph != nil {
			g.of[i] = nil
			if err := graph.Release(); err != nil {
				return err
			}
		}
	}
	return nil
}

// work is a list that one kernel goes through.
type work struct {
	address Address
	n       int
}

// newProgram copies the code to the device.
func newProgram(e *Engine, code *phases.Program, m *machine) *program {
	p := &program{Program: code, engine: e, machine: m, graphs: &graphs{generation: -1}}
	runtime.AddCleanup(p, e.garbage.addGraphs, p.graphs)
	at, view := m.Alloc(int(unsafe.Sizeof(kernels.Device{})))
	p.device, p.deviceAddress = (*kernels.Device)(view), at
	d := p.device
	d.Images, d.Groups = int64(code.Turns), int64(min(code.Turns, maxGradientGroups))
	for _, l := range code.Levels {
		d.SumsBetween, d.GradientsBetween = max(d.SumsBetween, int64(l.Sums)), max(d.GradientsBetween, int64(l.Gradients))
		var all, computed []kernels.Packing
		for _, pack := range l.Packs {
			for i, at := range pack.Pieces {
				piece := kernels.Packing{Packed: m.packed[pack].address, W: pack.Arrays[i].Address(), At: at}
				all = append(all, piece)
				if pack.Computed {
					computed = append(computed, piece)
				}
			}
		}
		p.packs, p.computed = append(p.packs, listOf(m, all)), append(p.computed, listOf(m, computed))
		var unpacks []kernels.Unpacking
		for _, u := range l.Unpack {
			unpacks = append(unpacks, kernels.Unpacking{W: u.Result.Address(), Slot: int64(u.Slot), At: u.At})
		}
		p.unpacks = append(p.unpacks, listOf(m, unpacks))
	}
	p.needs = room{batch: code.Batch, scratch: code.Scratch * code.Turns,
		sums: int(d.SumsBetween*d.Images) * 8, gradients: int(d.GradientsBetween*d.Groups) * 4}
	return p
}

// listOf stages a list.
func listOf[T any](m *machine, from []T) work {
	if len(from) == 0 {
		return work{}
	}
	var t T
	a, p := m.Alloc(len(from) * int(unsafe.Sizeof(t)))
	copy(unsafe.Slice((*T)(p), len(from)), from)
	return work{a, len(from)}
}

// upload copies what is staged to the device.
func (p *program) upload() {
	for _, c := range p.machine.code {
		check(p.engine.driver.Write(c.address, bytesOf(c.staged)[:c.used]))
	}
}

// Traffic is phases.Program.Traffic.
func (p *program) Traffic() int { return p.Program.Traffic }

// Run computes everything.
func (p *program) Run() { p.execute(false) }

// Rerun computes what depends on the varying inputs. If another program has
// used the engine's memory since, that is everything.
func (p *program) Rerun() { p.execute(true) }

func (p *program) execute(again bool) {
	e := p.engine
	e.mutex.Lock()
	again = again && e.last == p
	e.mutex.Unlock()
	settled := !again && p.Settle() // which reads a vector
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.reserve(p.needs)
	e.last = p
	if p.generation != e.generation {
		check(p.release())
		d := p.device
		d.Spaces = [phases.Spaces]Address{phases.Batch: e.batch, phases.Scratch: e.scratch}
		d.Sums, d.Gradients = e.sums, e.gradients
		p.generation = e.generation
		settled = true
	}
	if settled {
		p.upload()
	}
	graph := &p.of[0]
	if again {
		graph = &p.of[1]
	}
	if *graph == nil {
		var err error
		*graph, err = e.driver.Capture(func() error { return p.record(again) })
		check(err)
	}
	check((*graph).Replay())
}

// record makes all launches of a run or of a repetition.
func (p *program) record(again bool) error {
	r := recorder{driver: p.engine.driver}
	from := 0
	if again {
		from = p.Split
	}
	images, groups := int(p.device.Images), int(p.device.Groups)
	device := uint64(p.deviceAddress)
	for i := from; i < len(p.Levels); i++ {
		l := &p.Levels[i]
		numbers, first, packs := 0, l.From, p.packs[i]
		if again {
			numbers, first, packs = l.SteadyNumbers, l.From+l.SteadyOps, p.computed[i]
		}
		if n := len(l.Numbers) - numbers; n > 0 {
			r.launch("run_numbers", numbersGeometry(), uint64(l.NumbersAddress)+uint64(numbers)*uint64(phases.NumbersBytes), uint64(n))
		}
		if packs.n > 0 {
			r.launch("pack_weights", packGeometry(packs.n), uint64(packs.address), uint64(packs.n))
		}
		if first == l.To {
			continue
		}
		if p.Guarded() { // what is left out counts as 0
			r.clear(p.engine.sums, 8*int(p.device.SumsBetween)*images)
			r.clear(p.engine.gradients, 4*int(p.device.GradientsBetween)*groups)
		}
		for k := first; k < l.To; k++ {
			op := &p.Ops[k]
			r.launch(opKernels[op.Kind], geometryOf(op, images, groups), uint64(p.Address)+uint64(k)*uint64(phases.OpBytes), device)
		}
		if l.Sums > 0 {
			r.launch("add_sums", sumsGeometry(l.Sums), uint64(l.TotalsAddress), uint64(l.Sums), device)
		}
		if u := p.unpacks[i]; u.n > 0 {
			r.launch("add_gradients", unpackGeometry(u.n), uint64(u.address), uint64(u.n), device)
		}
	}
	return r.err
}

// recorder keeps the first error.
type recorder struct {
	driver Driver
	err    error
}

func (r *recorder) launch(k Kernel, g Geometry, args ...uint64) {
	if r.err == nil {
		r.err = r.driver.Launch(k, g, args...)
	}
}

func (r *recorder) clear(to Address, bytes int) {
	if r.err == nil && bytes > 0 {
		r.err = r.driver.Clear(to, bytes)
	}
}
