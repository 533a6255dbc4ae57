package phases

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// compiler turns a plan into instructions.
//
// Instructions work on one image and belong to a phase. Only what needs the
// whole batch, the sums of batch normalisation first of all, separates phases:
// everything that a sum goes into comes in a later one. Evaluation mode has no
// such sums, so there the whole network, forward and backward, is one phase.
type compiler struct {
	machine Machine
	plan    *engine.Plan
	batch   int
	layout  Layout
	lanes   int  // layout.Channels
	far     bool // more is kept for the batch than a cache holds
	split   int  // first phase for what depends on the varying inputs
	values  []*value
	uses    []int // of each value of the plan, outputs among them
	wanted  map[int]Vector
	pending map[int]bool // gradients by an input that only a sum uses, see add

	instructions []*instruction
	storages     []*storage
	hosts        []*host

	separable bool // the plan has depthwise convolutions: see separable.go

	guardInput Vector
	guards     [][]int // entries of it, by guard
	guard      guard   // of what is being lowered
	series     []series

	sums       map[sumKey]*coef
	reductions map[reductionKey][]*reduction
	splats     map[entryKey]*coef
	channels   map[entryKey]*coef
	masks      map[uint16]*coef
	products   map[[2]*coef]*coef
	poolings   map[poolingKey]*pooling
}

// value is a value of the plan: an activation with an expression for each
// block of channels, or a parameter.
type value struct {
	engine.Value
	blocks []expression

	pooled *value          // is the max-pooling of this, computed or not
	pool   graph.Attr      // its window
	conv   *convolution    // is this one, which the only reader, a sum, computes
	back   *windowGradient // is this one, likewise
	moved  []channel       // is these channels of other values, put together or not

	param *parameter
	guard guard
}

// parameter is a value without a batch axis: doubles, or a vector where
// instructions or the caller want it, or both.
type parameter struct {
	moment
	shape []int
	host  *numbers
	array Vector
}

// instruction is a kernel call for every image.
type instruction struct {
	id       int
	kind     int
	phase    int
	varies   bool
	sinkable bool // may move to the phase of its first reader
	follows  bool // a weight gradient: may move to the last phase that reads its operands anyway
	reads    []*storage
	guard    guard

	in, out, aux []plane
	depths       []int // OP_CONV*, OP_WEIGHT*: how many channels of each plane in count
	attr         graph.Attr
	h, w, oh, ow int
	accumulate   bool
	round        bool // OP_STREAM: in is read again in the phase
	channels     int
	scale        float64
	weights      *weights     // OP_CONV*, OP_WEIGHT*
	seed         *parameter   // OP_LOSS_BACK*
	scales       []*coef      // OP_POOL_BACK: of each output plane
	affine       []*coef      // OP_DEPTH*: slope and shift of each plane that is rectified or masks
	passes       []pass       // OP_COMBINE
	reductions   []*reduction // OP_REDUCE
	moves        []move       // OP_REPACK
	stats        []*sums      // OP_CONV*: of each output plane, or nil
	sums         *sums        // OP_LOSS*, OP_POOL_BACK
}

// sums is room for n float64 partial sums. Their totals over the batch are there
// when the phase is over.
type sums struct {
	n     int
	slot  int
	total Address // of doubles
}

type pass struct {
	out        plane
	terms      []term
	b          *coef
	accumulate bool
	last       bool
}

type reduction struct {
	mask  mask
	z     plane
	w     []plane
	image plane // by whose first channel every image counts, or none
	in    *instruction
	sums  sums
}

// move is lanes of a plane of in that go to one of out.
type move struct {
	src, block int
	lanes      [Lanes]int8 // of src, or -1
}

// pooling is a memoised backward pooling: the gradient and its inner product
// with the input.
type pooling struct {
	in   *instruction
	out  *storage // nil if the gradient is part of a sum, see addActivations
	dots []*coef
}

type poolingKey struct {
	x, g  plane // the first ones
	guard guard
}

type sumKey struct {
	mask        mask
	z, w, image plane
}

type reductionKey struct {
	mask     mask
	z, image plane
	phase    int
	guard    guard
}

type entryKey struct {
	param *parameter
	at    int
}

// A value with more terms than this goes to memory when it is used twice.
const worthKeeping = 1

func newCompiler(machine Machine, plan *engine.Plan, inputs map[string]engine.Vector, outputs []engine.Vector) (*compiler, error) {
	separable := slices.ContainsFunc(plan.Steps, func(s engine.Step) bool { return s.Kind == graph.Depthwise })
	if separable {
		plan = withoutTwins(plan)
	}
	c := &compiler{
		machine: machine, plan: plan, layout: machine.Layout(), lanes: machine.Layout().Channels, separable: separable, values: make([]*value, len(plan.Values)), uses: make([]int, len(plan.Values)),
		wanted: map[int]Vector{}, pending: map[int]bool{},
		sums: map[sumKey]*coef{}, reductions: map[reductionKey][]*reduction{}, splats: map[entryKey]*coef{}, channels: map[entryKey]*coef{},
		masks: map[uint16]*coef{}, products: map[[2]*coef]*coef{}, poolings: map[poolingKey]*pooling{},
		guards: [][]int{nil},
	}
	if len(outputs) != len(plan.Outputs) {
		return nil, fmt.Errorf("compile: %d vectors for %d outputs", len(outputs), len(plan.Outputs))
	}
	for i, v := range plan.Values {
		if v.Role == graph.Activation {
			if c.batch != 0 && c.batch != v.Shape[0] {
				return nil, fmt.Errorf("compile: activations of %d and of %d images in one plan", c.batch, v.Shape[0])
			}
			c.batch = v.Shape[0]
		}
		if v.Input == "" {
			continue
		}
		bound, ok := inputs[v.Input].(Vector)
		if !ok || bound.Len() != v.Size() {
			return nil, fmt.Errorf("compile: input %q needs a vector of this engine with %d elements", v.Input, v.Size())
		}
		c.values[i] = c.input(v, bound)
		if v.Input == plan.GuardInput {
			c.guardInput = bound
		}
	}
	for i, o := range plan.Outputs {
		v := plan.Values[o]
		bound, ok := outputs[i].(Vector)
		if !ok || bound.Len() != v.Size() {
			return nil, fmt.Errorf("compile: output %d needs a vector of this engine with %d elements", i, v.Size())
		}
		c.wanted[o] = bound
		c.uses[o]++
	}
	users := make([][]int, len(plan.Values))
	for i, s := range plan.Steps {
		for _, o := range s.Operands {
			c.uses[o]++
			users[o] = append(users[o], i)
		}
	}
	// only returns the step that alone reads a value, if it is of the kind.
	only := func(value int, kind graph.Kind) *engine.Step {
		u := users[value]
		if len(u) != 1 || c.uses[value] != 1 || plan.Steps[u[0]].Kind != kind || plan.Values[value].Varies != plan.Values[plan.Steps[u[0]].Result].Varies {
			return nil
		}
		return &plan.Steps[u[0]]
	}
	for _, s := range plan.Steps {
		switch s.Kind {
		case graph.ConvData:
			c.pending[s.Result] = only(s.Result, graph.Add) != nil
		case graph.AveragePoolBack, graph.MaxPoolBack:
			c.pending[s.Result] = separable && only(s.Result, graph.Add) != nil
		case graph.DepthwiseData:
			reader := only(s.Result, graph.ReLUBack)
			c.pending[s.Result] = only(s.Result, graph.Add) != nil || reader != nil && only(reader.Result, graph.Add) != nil
		}
	}
	return c, nil
}

// compile lowers all steps and stores the outputs.
func (c *compiler) compile() error {
	for i, s := range c.plan.Steps {
		if i == c.plan.Split {
			c.split = c.lastPhase() + 1
		}
		c.guard = always
		if s.Guard != engine.Unguarded {
			c.guard = c.guardBy(s.Guard)
		}
		v, err := c.lower(s)
		if err != nil {
			return err
		}
		c.values[s.Result] = v
		if v.param == nil && c.uses[s.Result] > 1 {
			for _, e := range v.blocks {
				if len(e.terms) > worthKeeping {
					c.planes(v)
					break
				}
			}
		}
	}
	c.guard = always
	for i, o := range c.plan.Outputs {
		if slices.Index(c.plan.Outputs, o) != i {
			return fmt.Errorf("compile: value %d is wanted twice", o)
		}
		c.store(c.values[o], c.wanted[o])
	}
	return nil
}

func (c *compiler) lastPhase() int {
	last := -1
	for _, in := range c.instructions {
		last = max(last, in.phase)
	}
	for _, h := range c.hosts {
		last = max(last, h.level)
	}
	return last
}

func (c *compiler) input(v engine.Value, bound Vector) *value {
	out := &value{Value: v}
	if v.Role != graph.Activation {
		out.param = &parameter{moment: moment{varies: v.Varies}, shape: v.Shape, array: bound}
		return out
	}
	s := c.newStorage(v.Shape)
	raw := &storage{id: -1, layout: c.layout, vector: bound, varies: v.Varies, channels: v.Shape[1], h: v.Shape[2], w: v.Shape[3], phase: -1}
	c.emit(&instruction{kind: OpLoad, in: []plane{{raw, 0}}, out: planesOf(s), channels: v.Shape[1], sinkable: true})
	out.blocks = blocksFrom(s)
	return out
}

func planesOf(s *storage) []plane {
	p := make([]plane, s.blocks())
	for i := range p {
		p[i] = plane{s, i}
	}
	return p
}

func blocksFrom(s *storage) []expression {
	e := make([]expression, s.blocks())
	for i, p := range planesOf(s) {
		e[i] = plainOf(p)
	}
	return e
}

func (c *compiler) newStorage(shape []int) *storage {
	s := &storage{id: len(c.storages), layout: c.layout, channels: shape[1], h: shape[2], w: shape[3]}
	c.storages = append(c.storages, s)
	return s
}

// emit adds an instruction in the first phase that has what it reads, given
// the level of the coefficients it uses.
func (c *compiler) emit(in *instruction, needs ...*coef) *instruction {
	in.id, in.guard = len(c.instructions), c.guard
	read := func(planes []plane) {
		for _, p := range planes {
			if p.storage != nil && !slices.Contains(in.reads, p.storage) {
				in.reads = append(in.reads, p.storage)
			}
		}
	}
	read(in.in)
	read(in.aux)
	for _, p := range in.passes {
		for _, t := range p.terms {
			read([]plane{t.z, t.y, t.image})
			needs = append(needs, t.a, t.s, t.t)
		}
		needs = append(needs, p.b)
	}
	for _, s := range in.reads {
		in.phase, in.varies = max(in.phase, s.phase), in.varies || s.varies
	}
	for _, p := range in.out {
		if in.accumulate {
			in.phase, in.varies = max(in.phase, p.phase), in.varies || p.varies
		}
	}
	for _, a := range needs {
		if a != nil {
			in.wait(a.moment)
		}
	}
	if in.weights != nil {
		in.wait(in.weights.moment)
	}
	if in.seed != nil {
		in.wait(in.seed.moment)
	}
	if in.varies {
		in.phase = max(in.phase, c.split)
	}
	for _, p := range in.out {
		p.phase, p.varies, p.producer = in.phase, in.varies, in
		if !in.accumulate {
			p.storage.guard = in.guard
		}
		in.oh, in.ow = p.h, p.w
	}
	if len(in.in) > 0 {
		in.h, in.w = in.in[0].h, in.in[0].w
	}
	if in.kind == OpPoolBack || in.kind == OpDepthWeight { // which have windows for outputs
		in.oh, in.ow = in.aux[0].h, in.aux[0].w
	}
	c.instructions = append(c.instructions, in)
	return in
}

// wait puts the instruction where something computed on the host is known, and
// pins what that depends on.
func (in *instruction) wait(m moment) {
	in.phase, in.varies = max(in.phase, m.level), in.varies || m.varies
	for _, f := range m.from {
		f.sinkable = false
		in.phase = max(in.phase, f.phase+1)
	}
}

// planes returns the planes of a value, computing those that are not in memory.
func (c *compiler) planes(v *value) []plane {
	c.resolve(v)
	planes := make([]plane, len(v.blocks))
	var missing []int
	for i, e := range v.blocks {
		if p, ok := e.asPlane(); ok && c.within(v.guard, p.guard) {
			planes[i] = p
		} else {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return planes
	}
	s := c.storageOf(v, missing)
	in := &instruction{kind: OpCombine, out: planesOf(s), sinkable: true}
	for k, i := range missing {
		in.passes = append(in.passes, passes(plane{s, k}, v.blocks[i])...)
		planes[i] = plane{s, k}
		v.blocks[i] = plainOf(planes[i])
	}
	c.guarded(v.guard, func() { c.emit(in) })
	return planes
}

// storageOf makes room for some blocks of a value, given in order.
func (c *compiler) storageOf(v *value, blocks []int) *storage {
	channels := len(blocks) * c.lanes
	if blocks[len(blocks)-1] == len(v.blocks)-1 {
		channels -= len(v.blocks)*c.lanes - v.Shape[1]
	}
	return c.newStorage([]int{0, channels, v.Shape[2], v.Shape[3]})
}

// views returns planes that hold the value in its channels and may hold anything
// in those past them, which convolutions and poolings can do with.
func (c *compiler) views(v *value) []plane {
	c.resolve(v)
	planes := make([]plane, len(v.blocks))
	for i, e := range v.blocks {
		if len(e.terms) != 1 || e.b != nil || !e.terms[0].isPlain() || e.terms[0].a != c.mask(firstLanes(c.depth(v, i))) || !c.within(v.guard, c.guardOf(e.terms[0].z)) {
			return c.planes(v)
		}
		planes[i] = e.terms[0].z
	}
	return planes
}

// depth is how many channels of the value are in the block.
func (c *compiler) depth(v *value, block int) int { return min(c.lanes, v.Shape[1]-block*c.lanes) }

// depths are those of all blocks.
func (c *compiler) depths(v *value) []int {
	d := make([]int, c.blocksOf(v.Shape[1]))
	for i := range d {
		d[i] = c.depth(v, i)
	}
	return d
}

// passes divides an expression among passes of at most three terms, whose kinds
// are in order.
func passes(out plane, e expression) []pass {
	terms := slices.Clone(e.terms)
	slices.SortStableFunc(terms, func(a, b term) int { return int(a.kind - b.kind) })
	var list []pass
	for {
		n := min(len(terms), 3)
		p := pass{out: out, terms: terms[:n], accumulate: len(list) > 0}
		if len(list) == 0 {
			p.b = e.b
		}
		list = append(list, p)
		terms = terms[n:]
		if len(terms) == 0 {
			break
		}
	}
	list[len(list)-1].last = true
	return list
}

// resolve computes a value that waits to be asked for.
func (c *compiler) resolve(v *value) {
	if v.pooled != nil && v.blocks == nil {
		s := c.newStorage(v.Shape)
		c.guarded(v.guard, func() {
			c.emit(&instruction{kind: OpPool, in: c.views(v.pooled), out: planesOf(s), attr: v.pool, sinkable: true})
		})
		for i, e := range v.pooled.blocks { // by now a plane, perhaps masked
			v.blocks = append(v.blocks, c.times(plainOf(plane{s, i}), e.terms[0].a))
		}
	}
	if v.moved != nil && v.blocks == nil {
		c.guarded(v.guard, func() { c.gatherChannels(v) })
	}
}

// single returns the blocks of a value, each one plane times a coefficient plus,
// perhaps, a constant.
func (c *compiler) single(v *value) []expression {
	c.resolve(v)
	for _, e := range v.blocks {
		if len(e.terms) != 1 || !e.terms[0].isPlain() || !c.within(v.guard, c.guardOf(e.terms[0].z)) {
			c.planes(v)
			break
		}
	}
	return v.blocks
}

// simple returns the blocks of a value, each with at most n terms.
func (c *compiler) simple(v *value, n int) []expression {
	c.resolve(v)
	for _, e := range v.blocks {
		if len(e.terms) > n {
			c.planes(v)
			break
		}
	}
	return v.blocks
}

// ---- Sums over the batch

// sumOf is the sum of z·w over the batch where the mask holds, each image times
// its number; z, w and image that are no planes stand for 1.
func (c *compiler) sumOf(m mask, z, w, image plane) *coef {
	if z.storage == nil || w.storage != nil && (w.id > z.id || w.id == z.id && w.block > z.block) {
		z, w = w, z
	}
	key := sumKey{m, z, w, image}
	if s := c.sums[key]; s != nil {
		return s
	}
	if m.y.storage == nil && image.storage == nil {
		if s := c.fromConvolution(z, w); s != nil {
			c.sums[key] = s
			return s
		}
	}
	var phase int
	var varies bool
	for _, p := range []plane{m.y, z, w, image} {
		if p.storage != nil {
			phase, varies = max(phase, p.phase), varies || p.varies
		}
	}
	at := known([]*coef{m.s, m.t})
	phase, varies = max(phase, at.level), varies || at.varies
	for _, f := range at.from {
		f.sinkable = false
		phase = max(phase, f.phase+1)
	}
	if varies {
		phase = max(phase, c.split)
	}
	family := reductionKey{m, z, image, phase, c.guardOf(m.y, z, w)}
	var r *reduction
	for _, f := range c.reductions[family] {
		fits := w.storage == nil || len(f.w) < 3 && w.producerBefore(f.in)
		if fits {
			r = f
			break
		}
	}
	if r == nil {
		r = &reduction{mask: m, z: z, image: image}
		r.in = c.reduce(r, phase, varies)
		r.in.guard = family.guard
		c.reductions[family] = append(c.reductions[family], r)
	}
	offset := 0
	if w.storage != nil {
		r.w = append(r.w, w)
		offset = len(r.w) * c.lanes
		if !slices.Contains(r.in.reads, w.storage) {
			r.in.reads = append(r.in.reads, w.storage)
		}
		r.in.varies = r.in.varies || w.varies
	}
	c.sums[key] = c.total(&r.sums, offset, r.in)
	return c.sums[key]
}

// producerBefore reports whether the plane is there when the instruction runs.
func (p plane) producerBefore(in *instruction) bool {
	return p.phase < in.phase || p.producer.id < in.id
}

// reduce emits an instruction for a reduction, to which others of the same mask
// and z may be added. It may move to a later phase as long as nothing waits for it.
func (c *compiler) reduce(r *reduction, phase int, varies bool) *instruction {
	in := &instruction{kind: OpReduce, id: len(c.instructions), phase: phase, varies: varies, reductions: []*reduction{r}, sinkable: true}
	for _, p := range []plane{r.image, r.mask.y, r.z} {
		if p.storage != nil {
			in.h, in.w = p.h, p.w // of the last one
			if !slices.Contains(in.reads, p.storage) {
				in.reads = append(in.reads, p.storage)
			}
		}
	}
	c.instructions = append(c.instructions, in)
	return in
}

// total is one for each lane of the sums that the instruction computes.
func (c *compiler) total(s *sums, at int, in *instruction) *coef {
	d := &coef{moment: moment{level: in.phase + 1, varies: in.varies}, numbers: numbers{n: c.lanes}}
	if in.sinkable {
		d.from = []*instruction{in}
	}
	c.copy(d.moment, operand{of: &d.numbers}, operand{sums: s, at: at}, c.lanes)
	return d
}

// fromConvolution takes the sum of a plane or of its squares from the
// convolution that writes it.
func (c *compiler) fromConvolution(z, w plane) *coef {
	in := z.producer
	if z.storage == nil || in == nil || in.guard != z.guard || w.storage != nil && w != z {
		return nil
	}
	if in.kind != OpConv1 && in.kind != OpConv3 && in.kind != OpConvK {
		return nil
	}
	// Convolutions that accumulate into one storage: the last one has the sum.
	at := slices.Index(in.out, z)
	if at < 0 {
		return nil
	}
	if in.stats == nil {
		in.stats = make([]*sums, len(in.out))
	}
	for len(in.stats) < len(in.out) {
		in.stats = append(in.stats, nil)
	}
	if in.stats[at] == nil {
		in.stats[at] = &sums{n: 2 * c.lanes}
	}
	offset := 0
	if w.storage != nil {
		offset = c.lanes
	}
	return c.total(in.stats[at], offset, in)
}

// dot is the sum of e·f over the batch by channel, for one block of two values.
func (c *compiler) dot(v, u *value, block int) *coef {
	n := c.batch * v.Shape[2] * v.Shape[3]
	if d, ok := c.product(v.blocks[block], u.blocks[block], n); ok {
		return d
	}
	c.planes(u)
	if d, ok := c.product(v.blocks[block], u.blocks[block], n); ok {
		return d
	}
	c.planes(v)
	d, _ := c.product(v.blocks[block], u.blocks[block], n)
	return d
}

// meanAndScale of a block: mean and 1/√(variance + Eps), from statistics [2, C].
func (c *compiler) meanAndScale(stats *parameter, block int) (mean, scale *coef) {
	channels := stats.shape[1]
	n := min(c.lanes, channels-block*c.lanes)
	mean = c.channelwise(stats, block*c.lanes, n)
	variance := c.channelwise(stats, channels+block*c.lanes, n)
	key := [2]*coef{variance, nil}
	if c.products[key] == nil {
		c.products[key] = c.compute(NumbersRoot, graph.Eps, variance)
	}
	return mean, c.products[key]
}

// turns is how often a phase is gone through.
func (c *compiler) turns() int { return max(c.batch/c.layout.Images, 1) }
