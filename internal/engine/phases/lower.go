package phases

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// convolution is a convolution with w, or the gradient of one by its input.
type convolution struct {
	in       []plane
	depths   []int // of them
	w        *parameter
	k        int
	gradient bool
	guard    guard
}

// weights are packed kernels of one or several convolutions, side by side.
type weights struct {
	moment
	k                  int
	outBlocks, inBlock int
	depthwise          bool
	pieces             []piece
}

type piece struct {
	w                 *parameter
	transposed        bool
	outBlock, inBlock int
}

// lower turns a step into instructions and expressions.
func (c *compiler) lower(s engine.Step) (*value, error) {
	v := &value{Value: c.plan.Values[s.Result], guard: c.guard}
	in := make([]*value, len(s.Operands))
	for i, o := range s.Operands {
		in[i] = c.values[o]
	}
	a := s.Attr
	param := func(p *parameter) (*value, error) {
		p.shape = v.Shape
		v.param = p
		return v, nil
	}
	// each makes the blocks of v from those of an operand.
	each := func(x *value, f func(block int, e expression) expression) (*value, error) {
		c.resolve(x)
		for i, e := range x.blocks {
			v.blocks = append(v.blocks, f(i, e))
		}
		return v, nil
	}
	stored := func(st *storage) (*value, error) {
		v.blocks = blocksFrom(st)
		return v, nil
	}
	// positions of an activation in the batch
	n := func(x *value) int { return x.Shape[0] * x.Shape[2] * x.Shape[3] }

	switch s.Kind {
	case graph.Conv, graph.ConvData:
		x, w := in[0], in[1]
		if s.Kind == graph.ConvData {
			x, w = in[1], in[0]
		}
		conv := &convolution{c.views(x), c.depths(x), w.param, a.K, s.Kind == graph.ConvData, c.guard}
		if c.pending[s.Result] {
			v.conv = conv
			return v, nil
		}
		st := c.newStorage(v.Shape)
		if err := c.convolve(st, []*convolution{conv}, false, 0); err != nil {
			return nil, err
		}
		if last := c.instructions[len(c.instructions)-1]; c.separable && conv.gradient && last.out[0].storage == st {
			last.sinkable = true
		}
		return stored(st)
	case graph.ConvWeight:
		return c.convWeight(v, in[0], in[1], a.K, c.wanted[s.Result], c.uses[s.Result] == 1)

	case graph.Depthwise:
		return c.depthwise(v, in[0], in[1].param, a)
	case graph.DepthwiseData:
		return c.depthwiseBack(v, in[1], in[0].param, a, c.pending[s.Result])
	case graph.DepthwiseWeight:
		return c.depthwiseWeight(v, in[0], in[1], a, c.wanted[s.Result], c.uses[s.Result] == 1)

	case graph.AveragePool:
		return c.averagePool(v, in[0], a), nil
	case graph.AveragePoolBack:
		return c.averagePoolBack(v, in[0], a, c.pending[s.Result]), nil
	case graph.Subsample:
		return c.subsample(v, in[0], a), nil
	case graph.SubsampleBack:
		return c.linear(OpSpread, v, in[0], graph.Attr{K: 1, S: a.S, P: -a.From}), nil
	case graph.Mask:
		return c.linear(OpMask, v, in[0], graph.Attr{}, c.planes(in[1])...), nil

	case graph.MaxPool:
		v.pooled, v.pool = in[0], a
		return v, nil
	case graph.MaxPoolBack:
		x, g := in[0], in[1]
		planes, coefs := c.scaledPlanes(g)
		if c.pending[s.Result] {
			return c.windowBack(v, instruction{kind: OpPoolBack, in: c.views(x), aux: planes, attr: a}, coefs, true), nil
		}
		p := c.poolBack(c.views(x), planes, a, v.Shape, true)
		for i := range coefs {
			v.blocks = append(v.blocks, c.times(plainOf(plane{p.out, i}), coefs[i]))
		}
		return v, nil
	case graph.MaxPoolTake:
		x, u := in[0], in[1]
		planes, coefs := c.scaledPlanes(u)
		st := c.newStorage(v.Shape)
		c.emit(&instruction{kind: OpPoolTake, in: c.views(x), aux: planes, out: planesOf(st), attr: a, sinkable: true})
		for i := range coefs {
			v.blocks = append(v.blocks, c.times(plainOf(plane{st, i}), coefs[i]))
		}
		return v, nil

	case graph.BatchStats:
		return param(c.batchStats(in[0], n(in[0])))
	case graph.Normalize, graph.NormalizeFixed:
		return each(in[0], func(i int, e expression) expression {
			mean, scale := c.meanAndScale(in[1].param, i)
			return c.plus(c.times(e, scale), expression{b: c.mul(c.scaled(-1, mean), scale)})
		})
	case graph.ScaleFixed:
		return each(in[0], func(i int, e expression) expression {
			_, scale := c.meanAndScale(in[1].param, i)
			return c.times(e, scale)
		})
	case graph.NormalizeBack:
		return c.normalizeBack(v, in[0], in[1].param, in[2], float64(n(in[0])))
	case graph.NormalizeBackBack:
		return c.normalizeBackBack(v, in[0], in[1].param, in[2], in[3], float64(n(in[0])))

	case graph.ScaleChannels:
		return each(in[0], func(i int, e expression) expression {
			return c.times(e, c.channelwise(in[1].param, i*c.lanes, v.Shape[1]-i*c.lanes))
		})
	case graph.ShiftChannels:
		return each(in[0], func(i int, e expression) expression {
			return c.plus(e, expression{b: c.channelwise(in[1].param, i*c.lanes, v.Shape[1]-i*c.lanes)})
		})
	case graph.DotChannels:
		c.resolve(in[0])
		c.resolve(in[1])
		var dots []*coef
		for i := range in[0].blocks {
			dots = append(dots, c.dot(in[0], in[1], i))
		}
		return param(c.gather(v.Shape, dots))
	case graph.SumChannels:
		c.resolve(in[0])
		var sums []*coef
		for _, e := range in[0].blocks {
			sums = append(sums, c.sum(e, n(in[0])))
		}
		return param(c.gather(v.Shape, sums))
	case graph.FillChannels:
		for i := range c.blocksOf(v.Shape[1]) {
			v.blocks = append(v.blocks, expression{b: c.channelwise(in[0].param, i*c.lanes, v.Shape[1]-i*c.lanes)})
		}
		return v, nil

	case graph.ReLU:
		return c.relu(v, in[0])
	case graph.ReLUBack:
		return c.reluBack(v, in[0], in[1])

	case graph.WeightedSum:
		if a.S > 0 {
			break // rows have weights of their own
		}
		m := in[0].param
		v.blocks = make([]expression, c.blocksOf(v.Shape[1]))
		for j, x := range in[1:] {
			c.resolve(x)
			for i, e := range x.blocks {
				v.blocks[i] = c.plus(v.blocks[i], c.times(e, c.splat(m, a.At+j)))
			}
		}
		return v, nil
	case graph.InnerProducts:
		if a.S > 0 {
			break
		}
		return param(c.innerProducts(in[0], in[1:], a.At, v.Size()))

	case graph.Add:
		if v.Role != graph.Activation {
			return param(c.addParameters(in, v.Size()))
		}
		return v, c.addActivations(v, in)
	case graph.Concat, graph.Slice, graph.Pad, graph.Shuffle:
		c.moveChannels(v, s, in)
		return v, nil

	case graph.ScaleImages:
		image := c.planes(in[1])[0]
		c.resolve(in[0])
		for _, e := range in[0].blocks {
			if e.b != nil || slices.ContainsFunc(e.terms, func(t term) bool { return t.image.storage != nil }) {
				c.planes(in[0])
				break
			}
		}
		return each(in[0], func(i int, e expression) expression {
			e.terms = slices.Clone(e.terms)
			for k := range e.terms {
				e.terms[k].image = image
			}
			return e
		})

	case graph.Mean:
		x := in[0]
		blocks := c.single(x)
		st := c.newStorage(v.Shape)
		mean := &instruction{kind: OpMean, out: planesOf(st)}
		for i, e := range blocks {
			mean.in = append(mean.in, e.terms[0].z)
			v.blocks = append(v.blocks, c.plus(c.times(plainOf(plane{st, i}), e.terms[0].a), expression{b: e.b}))
		}
		c.emit(mean)
		return v, nil
	case graph.MeanBack:
		st := c.newStorage(v.Shape)
		c.emit(&instruction{kind: OpMeanBack, in: c.planes(in[0]), out: planesOf(st), sinkable: true})
		return stored(st)

	case graph.CrossEntropy, graph.CrossEntropyDot:
		e := &instruction{kind: OpLoss, in: c.planes(in[0]), aux: c.planes(in[1])}
		if s.Kind == graph.CrossEntropyDot {
			e.kind, e.aux = OpLossDot, append(e.aux[:len(e.aux):len(e.aux)], c.planes(in[2])...)
		}
		e.channels, e.scale = in[0].Shape[1], 1/float64(c.batch)
		e.sums = &sums{n: 1}
		c.emit(e)
		p := &parameter{moment: moment{level: e.phase + 1, varies: e.varies}, host: &numbers{n: 1}}
		c.copy(p.moment, operand{of: p.host}, operand{sums: e.sums}, 1)
		return param(p)
	case graph.CrossEntropyBack, graph.CrossEntropyBackBack:
		st := c.newStorage(v.Shape)
		e := &instruction{kind: OpLossBack, in: c.planes(in[0]), out: planesOf(st), channels: v.Shape[1], scale: 1 / float64(c.batch)}
		other, seed := in[1], in[2]
		if s.Kind == graph.CrossEntropyBackBack {
			e.kind, seed, other = OpLossBackBack, in[1], in[2]
		}
		e.aux, e.seed = c.planes(other), seed.param
		c.floats(seed.param)
		c.emit(e)
		return stored(st)
	}
	return nil, fmt.Errorf("compile: there is no instruction for %s", s.Kind)
}

// ---- Convolutions

// convolve adds up convolutions into a storage, those of one window in one
// instruction.
func (c *compiler) convolve(out *storage, list []*convolution, accumulate bool, phase int) error {
	slices.SortStableFunc(list, func(a, b *convolution) int { return cmp.Or(a.k-b.k, int(a.guard-b.guard)) })
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].k == list[0].k && list[n].guard == list[0].guard {
			n++
		}
		var err error
		c.guarded(c.both(c.guard, list[0].guard), func() { err = c.convolveOne(out, list[:n], accumulate, phase) })
		if err != nil {
			return err
		}
		list, accumulate = list[n:], true
	}
	return nil
}

// maxPlanes is MAX_PLANES of kernels.h.
const maxPlanes = 512

func (c *compiler) convolveOne(out *storage, list []*convolution, accumulate bool, phase int) error {
	k := list[0].k
	kind := OpConvK
	switch k {
	case 1:
		kind = OpConv1
	case 3:
		kind = OpConv3
	}
	w := &weights{k: k, outBlocks: out.blocks()}
	var in []plane
	var depths []int
	for _, conv := range list {
		w.add(c, conv, 0, len(in))
		in, depths = append(in, conv.in...), append(depths, conv.depths...)
	}
	w.inBlock = len(in)
	if len(in) > maxPlanes || out.blocks() > maxPlanes {
		return fmt.Errorf("compile: a convolution of %d by %d channels is too large", len(in)*c.lanes, out.blocks()*c.lanes)
	}
	if k == 1 && !accumulate && len(list) == 1 && c.join(out, list[0]) {
		return nil
	}
	c.emit(&instruction{kind: kind, in: in, depths: depths, out: planesOf(out), attr: graph.Attr{K: k}, accumulate: accumulate, weights: w, phase: phase})
	return nil
}

// join adds a 1×1 convolution to an instruction that does others of the same
// input in the same phase, so that the input is read once for all of them.
func (c *compiler) join(out *storage, conv *convolution) bool {
	for _, other := range slices.Backward(c.instructions) {
		w := other.weights
		if other.kind != OpConv1 || other.accumulate || other.guard != c.guard || !slices.Equal(other.in, conv.in) || !slices.Equal(other.depths, conv.depths) || w.pieces[0].transposed != conv.gradient {
			continue
		}
		if w.moment.level != conv.w.level || w.varies != conv.w.varies || len(other.out)+out.blocks() > maxPlanes {
			return false
		}
		w.add(c, conv, w.outBlocks, 0)
		w.outBlocks += out.blocks()
		other.out = append(other.out, planesOf(out)...)
		out.phase, out.varies, out.producer, out.guard = other.phase, other.varies, other, other.guard
		return true
	}
	return false
}

func (w *weights) add(c *compiler, conv *convolution, outBlock, inBlock int) {
	w.take(c, conv.w, piece{conv.w, conv.gradient, outBlock, inBlock})
}

// take adds a piece of weights that are computed or the caller's.
func (w *weights) take(c *compiler, p *parameter, at piece) {
	c.floats(p)
	w.moment = w.moment.and(p.moment)
	w.pieces = append(w.pieces, at)
}

// convWeight computes the gradient of a convolution's weights straight into the
// caller's vector, if that is all it is for.
func (c *compiler) convWeight(v, x, g *value, k int, wanted Vector, last bool) (*value, error) {
	kind := OpWeightK
	switch k {
	case 1:
		kind = OpWeight1
	case 3:
		kind = OpWeight3
	}
	p := &parameter{shape: v.Shape, array: wanted}
	if wanted == nil {
		p.array = c.machine.NewVector(v.Size())
	}
	in, aux := c.views(x), c.views(g)
	if len(in) > maxPlanes || len(aux) > maxPlanes {
		return nil, fmt.Errorf("compile: a convolution of %d by %d channels is too large", len(in)*c.lanes, len(aux)*c.lanes)
	}
	e := c.emit(&instruction{kind: kind, in: in, depths: c.depths(x), aux: aux, attr: graph.Attr{K: k}, follows: wanted != nil && last,
		weights: &weights{k: k, outBlocks: len(aux), inBlock: len(in), pieces: []piece{{w: p}}}})
	p.moment = moment{level: e.phase + 1, varies: e.varies}
	v.param = p
	return v, nil
}

// ---- Batch normalisation

// batchStats is [2, C]: the mean and the biased variance of each channel.
func (c *compiler) batchStats(x *value, n int) *parameter {
	c.resolve(x)
	var means, variances []*coef
	for i, e := range x.blocks {
		sum := c.sum(e, n)
		squares := c.dot(x, x, i)
		mean := c.scaled(1/float64(n), c.orZero(sum))
		means = append(means, mean)
		squares = c.orZero(squares)
		variance := c.subtract(c.divided(squares, float64(n)), c.mul(mean, mean))
		variances = append(variances, c.compute(NumbersPositive, 0, variance))
	}
	channels := x.Shape[1]
	p := &parameter{moment: known(means).and(known(variances)), host: &numbers{n: 2 * channels}}
	for i := range means {
		n := min(c.lanes, channels-i*c.lanes)
		c.copy(p.moment, operand{of: p.host, at: i * c.lanes}, operand{of: &means[i].numbers}, n)
		c.copy(p.moment, operand{of: p.host, at: channels + i*c.lanes}, operand{of: &variances[i].numbers}, n)
	}
	return p
}

func (c *compiler) orZero(a *coef) *coef {
	if a == nil {
		return zero
	}
	return a
}

// normalizeBack is r·(g - mean(g) - x̂·mean(g·x̂)), x̂ = (x - m)·r.
func (c *compiler) normalizeBack(v, x *value, stats *parameter, g *value, n float64) (*value, error) {
	c.simple(x, 1)
	c.simple(g, 2)
	for i := range x.blocks {
		m, r := c.meanAndScale(stats, i)
		sg := c.orZero(c.sum(g.blocks[i], int(n)))
		sgx := c.orZero(c.dot(g, x, i))
		// of x: -r³·(sgx - m·sg)/n
		slope := c.divided(c.mul(c.product3(c.negative(r), r, r), c.subtract(sgx, c.mul(m, sg))), n)
		// -r·sg/n - slope·m
		shift := c.subtract(c.divided(c.mul(c.negative(r), sg), n), c.mul(slope, m))
		v.blocks = append(v.blocks, c.plus(c.plus(c.times(g.blocks[i], r), c.times(x.blocks[i], slope)), expression{b: shift}))
	}
	return v, nil
}

// normalizeBackBack is the gradient with respect to x of ⟨u, normalizeBack(x, g)⟩.
// With means written ⟨·⟩ and q = ⟨ug⟩ - ⟨u⟩⟨g⟩ - ⟨ux̂⟩⟨gx̂⟩ it is
// -r²·(x̂·q + (u - ⟨u⟩ - x̂⟨ux̂⟩)⟨gx̂⟩ + (g - ⟨g⟩ - x̂⟨gx̂⟩)⟨ux̂⟩).
func (c *compiler) normalizeBackBack(v, x *value, stats *parameter, g, u *value, n float64) (*value, error) {
	c.simple(x, 1)
	c.simple(g, 2)
	c.simple(u, 2)
	for i := range x.blocks {
		m, r := c.meanAndScale(stats, i)
		sg, su := c.orZero(c.sum(g.blocks[i], int(n))), c.orZero(c.sum(u.blocks[i], int(n)))
		sgx, sux, sug := c.orZero(c.dot(g, x, i)), c.orZero(c.dot(u, x, i)), c.orZero(c.dot(u, g, i))
		mg, mu, mug := c.divided(sg, n), c.divided(su, n), c.divided(sug, n)
		mgx := c.mul(c.subtract(c.divided(sgx, n), c.mul(m, mg)), r)
		mux := c.mul(c.subtract(c.divided(sux, n), c.mul(m, mu)), r)
		ofU := c.product3(c.negative(r), r, mgx)
		ofG := c.product3(c.negative(r), r, mux)
		q := c.subtract(c.subtract(mug, c.mul(mu, mg)), c.mul(mux, mgx))
		ofX := c.mul(c.negative(c.mul(r, c.mul(r, r))), c.subtract(q, c.mul(c.scaled(2, mux), mgx)))
		shift := c.subtract(c.mul(c.mul(r, r), c.add(c.mul(mu, mgx), c.mul(mg, mux))), c.mul(ofX, m))
		e := c.plus(c.times(u.blocks[i], ofU), c.times(g.blocks[i], ofG))
		v.blocks = append(v.blocks, c.plus(c.plus(e, c.times(x.blocks[i], ofX)), expression{b: shift}))
	}
	return v, nil
}

// ---- Rectifiers

func (c *compiler) relu(v, x *value) (*value, error) {
	for _, e := range c.single(x) {
		t := e.terms[0]
		v.blocks = append(v.blocks, expression{terms: []term{{kind: relu, y: t.z, s: t.a, t: e.b, a: one}}})
	}
	return v, nil
}

func (c *compiler) reluBack(v, y, g *value) (*value, error) {
	masks := c.masksOf(y)
	if g.back != nil {
		v.back, g.back = g.back, nil
		v.back.mask(masks)
		return v, nil
	}
	under := func(m mask, e expression) (expression, bool) {
		var d expression
		for _, t := range e.terms {
			switch {
			case t.kind == plain:
				t = term{kind: masked, z: t.z, a: t.a, y: m.y, s: m.s, t: m.t, image: t.image}
			case t.kind == relu || maskOf(t) != m:
				return d, false
			}
			d.terms = append(d.terms, t)
		}
		if e.b != nil {
			d.terms = append(d.terms, term{kind: masked, a: e.b, y: m.y, s: m.s, t: m.t})
		}
		return d, true
	}
	c.simple(g, 2)
	for i, m := range masks {
		d, ok := under(m, g.blocks[i])
		if !ok {
			c.planes(g)
			d, _ = under(m, g.blocks[i])
		}
		v.blocks = append(v.blocks, d)
	}
	return v, nil
}

// masksOf tells where the blocks of a rectified value are not 0.
func (c *compiler) masksOf(y *value) (masks []mask) {
	for range 2 { // the second time y is in memory
		c.resolve(y)
		masks = nil
		for _, e := range y.blocks {
			if p, ok := e.asPlane(); ok {
				masks = append(masks, mask{p, one, nil})
			} else if len(e.terms) == 1 && e.terms[0].kind == relu && e.terms[0].a == one && e.b == nil {
				masks = append(masks, maskOf(e.terms[0]))
			}
		}
		if len(masks) == len(y.blocks) {
			break
		}
		c.planes(y)
	}
	return masks
}

// ---- Sums

// addActivations adds up. Gradients by an input that only this sum uses are
// convolved straight onto it.
func (c *compiler) addActivations(v *value, in []*value) error {
	sum := make([]expression, c.blocksOf(v.Shape[1]))
	var convs []*convolution
	var backs []*windowGradient
	phase, empty := 0, true
	for _, x := range in {
		if x.conv != nil {
			convs = append(convs, x.conv)
			x.conv = nil
			continue
		}
		if x.back != nil {
			backs = append(backs, x.back)
			x.back = nil
			continue
		}
		c.resolve(x)
		for i, e := range x.blocks {
			sum[i] = c.plus(sum[i], e)
			empty = empty && len(e.terms) == 0 && e.b == nil
		}
	}
	if len(convs) == 0 && len(backs) == 0 {
		v.blocks = sum
		return nil
	}
	for _, conv := range convs {
		phase = max(phase, conv.w.level)
		for _, p := range conv.in {
			phase = max(phase, p.phase)
		}
	}
	for _, b := range backs {
		phase = max(phase, c.phaseOf(b))
	}
	st := c.newStorage(v.Shape)
	from := len(c.instructions)
	var all []*instruction // that write it
	if p := c.soleGradient(sum); p != nil {
		c.redirect(p, st, sum, phase)
		all = append(all, p.in)
	} else if !empty {
		first := &instruction{kind: OpCombine, out: planesOf(st), phase: phase}
		for i, e := range sum {
			first.passes = append(first.passes, passes(plane{st, i}, e)...)
		}
		c.emit(first)
	}
	v.blocks = blocksFrom(st)
	if err := c.convolve(st, convs, !empty, phase); err != nil {
		return err
	}
	for i, b := range backs {
		in := b.into(st)
		in.accumulate, in.phase, in.sinkable = !empty || len(convs) > 0 || i > 0, phase, false
		c.guarded(c.both(c.guard, b.guard), func() { c.emit(in, in.affine...) })
	}
	c.addInTurn(st, append(all, c.instructions[from:]...))
	return nil
}

// addInTurn makes a storage hold the sum of those of the instructions that are
// not left out, which all write to it.
func (c *compiler) addInTurn(st *storage, list []*instruction) {
	st.guard = c.guard
	if list[0].guard == c.guard {
		return
	}
	s := series{list: list}
	if !slices.ContainsFunc(list, func(in *instruction) bool { return in.guard == c.guard }) {
		s.fallback = &instruction{kind: OpCombine, out: planesOf(st), accumulate: true}
		for _, p := range s.fallback.out {
			s.fallback.passes = append(s.fallback.passes, passes(p, expression{})...)
		}
		c.emit(s.fallback)
	}
	c.series = append(c.series, s)
}

// soleGradient returns the backward pooling that all blocks are a multiple of,
// if nothing else reads it and it may still move.
func (c *compiler) soleGradient(sum []expression) *pooling {
	for i, e := range sum {
		if len(e.terms) != 1 || e.b != nil || !e.terms[0].isPlain() || e.terms[0].z.block != i {
			return nil
		}
	}
	z := sum[0].terms[0].z
	if z.producer.kind != OpPoolBack || !z.producer.sinkable || len(sum) != z.blocks() {
		return nil
	}
	for _, e := range sum {
		if e.terms[0].z.storage != z.storage {
			return nil
		}
	}
	for _, in := range c.instructions[z.producer.id:] {
		if slices.Contains(in.reads, z.storage) {
			return nil
		}
	}
	p := c.poolings[poolingKey{z.producer.in[0], z.producer.aux[0], z.producer.guard}]
	if p == nil || p.out != z.storage {
		return nil
	}
	return p
}

// redirect lets a backward pooling write its multiple straight to where it is
// the first summand.
func (c *compiler) redirect(p *pooling, to *storage, sum []expression, phase int) {
	in := p.in
	for _, e := range sum {
		in.scales = append(in.scales, e.terms[0].a)
		in.wait(e.terms[0].a.moment)
	}
	in.phase = max(in.phase, phase)
	in.out, in.sinkable, p.out = planesOf(to), false, nil
	to.phase, to.varies, to.producer = in.phase, in.varies, in
}

func (c *compiler) addParameters(in []*value, n int) *parameter {
	p := &parameter{host: &numbers{n: n}}
	for _, x := range in {
		p.moment = p.moment.and(x.param.moment)
	}
	sum := c.numbers(in[0].param)
	for i, x := range in[1:] {
		to := &numbers{n: n}
		if i == len(in)-2 {
			to = p.host
		}
		c.host(host{moment: p.moment, kind: NumbersAdd, n: n, step: 1, to: operand{of: to}, a: operand{of: sum}, b: operand{of: c.numbers(x.param)}})
		sum = to
	}
	p.host = sum
	return p
}

// innerProducts is ⟨g, xs[j]⟩ at entry at+j of a vector of n.
func (c *compiler) innerProducts(g *value, xs []*value, at, n int) *parameter {
	p := &parameter{host: &numbers{n: n}}
	var entries []*parameter
	c.simple(g, 2)
	for _, x := range xs {
		var dots []*coef
		if x.pooled != nil {
			dots = c.pooledDots(g, x)
		} else {
			c.resolve(x)
			for i := range g.blocks {
				dots = append(dots, c.dot(g, x, i))
			}
		}
		e := c.addUp(dots)
		entries = append(entries, e)
		p.moment = p.moment.and(e.moment)
	}
	for j, e := range entries {
		c.copy(p.moment, operand{of: p.host, at: at + j}, operand{of: e.host}, 1)
	}
	return p
}

// ---- Pooling

// scaledPlanes returns planes and a coefficient for each that together are the
// value: what is linear can be done with the planes alone.
func (c *compiler) scaledPlanes(v *value) (planes []plane, coefs []*coef) {
	for _, e := range c.single(v) {
		if e.b != nil {
			c.planes(v)
			break
		}
	}
	for _, e := range v.blocks {
		planes, coefs = append(planes, e.terms[0].z), append(coefs, e.terms[0].a)
	}
	return planes, coefs
}

// poolBack scatters g to the maxima of x, once for both who may ask: for the
// result and for its inner product with x.
func (c *compiler) poolBack(x, g []plane, a graph.Attr, shape []int, result bool) *pooling {
	key := poolingKey{x[0], g[0], c.guard}
	p := c.poolings[key]
	if p != nil && slices.Equal(p.in.in, x) && slices.Equal(p.in.aux, g) && p.in.attr == a && (p.out != nil || !result) {
		return p
	}
	p = &pooling{out: c.newStorage(shape)}
	p.in = c.emit(&instruction{kind: OpPoolBack, in: x, aux: g, out: planesOf(p.out), attr: a, sinkable: true})
	c.poolings[key] = p
	return p
}

// pooledDots is ⟨g, pool(u)⟩ by channel, as ⟨pool-back(u, g), u⟩: the pooled
// values need not be kept.
func (c *compiler) pooledDots(g, x *value) []*coef {
	planes, coefs := c.scaledPlanes(g)
	u := c.views(x.pooled)
	var p *pooling
	c.guarded(c.both(c.guard, c.both(x.guard, g.guard)), func() { p = c.poolBack(u, planes, x.pool, x.pooled.Shape, false) })
	if p.in.sums == nil {
		p.in.sums = &sums{n: len(u) * c.lanes}
		for i := range u {
			p.dots = append(p.dots, c.total(p.in.sums, i*c.lanes, p.in))
		}
	}
	var dots []*coef
	for i, d := range p.dots {
		dots = append(dots, c.mul(coefs[i], d))
	}
	return dots
}

// ---- Channels moved to other values

// channel is a channel of a value; without a value it is 0.
type channel struct {
	of *value
	at int
}

// moveChannels makes v of channels of its operands. Where some go to other lanes,
// that waits until it is asked for: moves of moves are one.
func (c *compiler) moveChannels(v *value, s engine.Step, in []*value) {
	later := false
	for i, x := range in {
		waits := x.moved != nil && x.blocks == nil
		if waits && c.uses[s.Operands[i]] > 1 {
			c.resolve(x)
			waits = false
		}
		later = later || waits
	}
	from := func(x *value, at int) channel {
		if x.moved != nil && x.blocks == nil {
			return x.moved[at]
		}
		return channel{x, at}
	}
	v.moved = make([]channel, v.Shape[1])
	n, a := in[0].Shape[1], s.Attr
	switch s.Kind {
	case graph.Concat:
		to := 0
		for _, x := range in {
			for k := range x.Shape[1] {
				v.moved[to+k] = from(x, k)
			}
			to += x.Shape[1]
		}
	case graph.Slice:
		for k := range v.moved {
			v.moved[k] = from(in[0], a.From+k)
		}
	case graph.Pad:
		for k := range n {
			v.moved[a.From+k] = from(in[0], k)
		}
	case graph.Shuffle:
		for k := range v.moved {
			v.moved[k] = from(in[0], k%a.K*(n/a.K)+k/a.K)
		}
	}
	for b := range c.blocksOf(v.Shape[1]) {
		for _, p := range c.partsOf(v, b) {
			later = later || !p.inPlace()
			if i := slices.Index(in, p.of); i >= 0 && p.mask() != firstLanes(c.depth(p.of, p.block)) && c.uses[s.Operands[i]] > 1 {
				c.planes(p.of) // rather than compute parts of it here and there
			}
		}
	}
	if !later {
		c.gatherChannels(v)
	}
}

// part is what one block of channels takes from one of another value.
type part struct {
	of    *value
	block int
	lanes [Lanes]int8 // of that block, or -1
}

// partsOf lists the parts of a block of moved channels.
func (c *compiler) partsOf(v *value, block int) []part {
	var parts []part
	for l := range c.depth(v, block) {
		m := v.moved[block*c.lanes+l]
		if m.of == nil {
			continue
		}
		i := slices.IndexFunc(parts, func(p part) bool { return p.of == m.of && p.block == m.at/c.lanes })
		if i < 0 {
			i = len(parts)
			parts = append(parts, part{of: m.of, block: m.at / c.lanes})
			for k := range parts[i].lanes {
				parts[i].lanes[k] = -1
			}
		}
		parts[i].lanes[l] = int8(m.at % c.lanes)
	}
	return parts
}

// inPlace reports whether all channels stay in their lanes.
func (p part) inPlace() bool {
	for l, from := range p.lanes {
		if from >= 0 && int(from) != l {
			return false
		}
	}
	return true
}

// mask has the bits of the lanes that the part fills.
func (p part) mask() (bits uint16) {
	for l, from := range p.lanes {
		if from >= 0 {
			bits |= 1 << l
		}
	}
	return bits
}

// gatherChannels makes the blocks of a value of moved channels: expressions where
// all stay in their lanes, planes where not.
func (c *compiler) gatherChannels(v *value) {
	v.blocks = make([]expression, c.blocksOf(v.Shape[1]))
	var missing []int
	for b := range v.blocks {
		parts := c.partsOf(v, b)
		if slices.ContainsFunc(parts, func(p part) bool { return !p.inPlace() }) {
			missing = append(missing, b)
			continue
		}
		for _, p := range parts {
			c.resolve(p.of)
			e := p.of.blocks[p.block]
			if bits := p.mask(); bits != firstLanes(c.depth(p.of, p.block)) {
				e = c.times(e, c.mask(bits))
			}
			v.blocks[b] = c.plus(v.blocks[b], e)
		}
	}
	if len(missing) == 0 {
		return
	}
	s := c.storageOf(v, missing)
	in := &instruction{kind: OpRepack, out: planesOf(s), sinkable: true}
	for k, b := range missing {
		for _, p := range c.partsOf(v, b) {
			z := c.views(p.of)[p.block]
			src := slices.Index(in.in, z)
			if src < 0 {
				src = len(in.in)
				in.in = append(in.in, z)
			}
			in.moves = append(in.moves, move{src, k, p.lanes})
		}
		v.blocks[b] = plainOf(plane{s, k})
	}
	c.emit(in)
}

// store writes an output to the caller's vector.
func (c *compiler) store(v *value, to Vector) {
	if p := v.param; p != nil {
		if p.array != to {
			c.write(p.moment, to, c.numbers(p))
		}
		return
	}
	v = &value{Value: v.Value, blocks: v.blocks, pooled: v.pooled, pool: v.pool, moved: v.moved} // with zeros where its guard leaves it out
	raw := &storage{id: -1, layout: c.layout, vector: to, channels: v.Shape[1], h: v.Shape[2], w: v.Shape[3], phase: -1}
	c.emit(&instruction{kind: OpStore, in: c.planes(v), out: []plane{{raw, 0}}, channels: v.Shape[1]})
}
