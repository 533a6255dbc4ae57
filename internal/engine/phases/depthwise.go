package phases

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// maxWindow is MAX_WINDOW of depthwise.h: the side of the largest depthwise kernel, and the
// largest stride.
const maxWindow = 15

// depthwise lowers a depthwise convolution. A rectifier before it is part of the
// instruction, so that what it rectifies is all that must be in memory.
func (c *compiler) depthwise(v, x *value, w *parameter, a graph.Attr) (*value, error) {
	weights, err := c.depthwiseWeights(v, w, a)
	if err != nil {
		return nil, err
	}
	in, affine, factors := c.rectified(x)
	st := c.newStorage(v.Shape)
	c.emit(&instruction{kind: OpDepth, in: in, affine: affine, out: planesOf(st), attr: a, weights: weights, sinkable: true}, affine...)
	for i, f := range factors {
		v.blocks = append(v.blocks, c.times(plainOf(plane{st, i}), f))
	}
	return v, nil
}

func (c *compiler) depthwiseWeights(v *value, w *parameter, a graph.Attr) (*weights, error) {
	if a.K > maxWindow || a.S > maxWindow {
		return nil, fmt.Errorf("compile: a depthwise convolution of %d×%d windows and stride %d is too large, at most %d×%d and %d", a.K, a.K, a.S, maxWindow, maxWindow, maxWindow)
	}
	packed := &weights{k: a.K, outBlocks: c.blocksOf(v.Shape[1]), inBlock: 1, depthwise: true}
	packed.take(c, w, piece{w: w})
	return packed, nil
}

// rectified returns a value as planes, which with affine, a slope and a shift for each
// plane, are to be rectified, and factors by which to multiply all that.
func (c *compiler) rectified(x *value) (in []plane, affine, factors []*coef) {
	c.resolve(x)
	for _, e := range x.blocks {
		if len(e.terms) != 1 || e.b != nil {
			c.planes(x)
			break
		}
		t := e.terms[0]
		if t.kind == masked || t.kind != x.blocks[0].terms[0].kind || t.image.storage != nil || !c.within(x.guard, c.guardOf(t.z, t.y)) {
			c.planes(x)
			break
		}
	}
	for _, e := range x.blocks {
		t := e.terms[0]
		factors = append(factors, t.a)
		if t.kind == relu {
			in, affine = append(in, t.y), append(affine, t.s, t.t)
		} else {
			in = append(in, t.z)
		}
	}
	return in, affine, factors
}

// depthwiseBack lowers the gradient by the input.
func (c *compiler) depthwiseBack(v, g *value, w *parameter, a graph.Attr, later bool) (*value, error) {
	weights, err := c.depthwiseWeights(v, w, a)
	if err != nil {
		return nil, err
	}
	in, factors := c.scaledPlanes(g)
	return c.windowBack(v, instruction{kind: OpDepthBack, in: in, attr: a, weights: weights}, factors, later), nil
}

// averagePoolBack lowers the gradient of an average-pooling.
func (c *compiler) averagePoolBack(v, g *value, a graph.Attr, later bool) *value {
	a.D = 1
	in, factors := c.scaledPlanes(g)
	return c.windowBack(v, instruction{kind: OpAverageBack, in: in, attr: a}, factors, later)
}

// windowBack lowers the gradient of an operation over windows by its input, but for
// factors. If a sum is its only reader, later, that is left to it.
func (c *compiler) windowBack(v *value, in instruction, factors []*coef, later bool) *value {
	back := &windowGradient{instruction: in, guard: c.guard}
	if later && !slices.ContainsFunc(factors, func(f *coef) bool { return f != one }) {
		v.back = back
		return v
	}
	st := c.newStorage(v.Shape)
	c.emit(back.into(st))
	for i, f := range factors {
		v.blocks = append(v.blocks, c.times(plainOf(plane{st, i}), f))
	}
	return v
}

// windowGradient is the gradient of an operation over windows by its input, perhaps masked:
// an instruction but for where it writes.
type windowGradient struct {
	instruction
	guard guard
}

// mask lets the gradient be 0 outside the masks of its planes.
func (g *windowGradient) mask(masks []mask) {
	for _, m := range masks {
		g.aux, g.affine = append(g.aux, m.y), append(g.affine, m.s, m.t)
	}
}

// into is the instruction that writes the gradient to a storage.
func (g *windowGradient) into(out *storage) *instruction {
	in := g.instruction
	in.out, in.sinkable = planesOf(out), true
	return &in
}

// phaseOf is the first phase in which everything that the gradient reads is there.
func (c *compiler) phaseOf(g *windowGradient) int {
	known := known(g.affine)
	if g.weights != nil {
		known = known.and(g.weights.moment)
	}
	phase := known.level
	for _, f := range known.from {
		f.sinkable = false
		phase = max(phase, f.phase+1)
	}
	for _, p := range slices.Concat(g.in, g.aux) {
		phase = max(phase, p.phase)
	}
	return phase
}

// depthwiseWeight computes the gradient of a depthwise kernel straight into the caller's
// vector, if that is all it is for.
func (c *compiler) depthwiseWeight(v, x, g *value, a graph.Attr, wanted Vector, last bool) (*value, error) {
	p := &parameter{shape: v.Shape, array: wanted}
	if wanted == nil {
		p.array = c.machine.NewVector(v.Size())
	}
	weights, err := c.depthwiseWeights(&value{Value: x.Value}, p, a)
	if err != nil {
		return nil, err
	}
	weights.moment = moment{}
	in, affine, factors := c.rectified(x)
	for i, f := range factors {
		if f != one && f != c.mask(firstLanes(c.depth(x, i))) {
			in, affine = c.planes(x), nil
			break
		}
	}
	e := c.emit(&instruction{kind: OpDepthWeight, in: in, affine: affine, aux: c.views(g), attr: a, follows: wanted != nil && last, weights: weights}, affine...)
	p.moment = moment{level: e.phase + 1, varies: e.varies}
	v.param = p
	return v, nil
}

// averagePool lowers an average-pooling, which leaves constants as they are.
func (c *compiler) averagePool(v, x *value, a graph.Attr) *value {
	a.D = 1
	st := c.newStorage(v.Shape)
	blocks := c.single(x)
	pool := &instruction{kind: OpAverage, out: planesOf(st), attr: a, sinkable: true}
	for i, e := range blocks {
		pool.in = append(pool.in, e.terms[0].z)
		v.blocks = append(v.blocks, c.plus(c.times(plainOf(plane{st, i}), e.terms[0].a), expression{b: e.b}))
	}
	c.emit(pool)
	return v
}

// linear lowers an operation that is linear in every channel, an instruction of a kind.
func (c *compiler) linear(kind int, v, x *value, a graph.Attr, aux ...plane) *value {
	planes, factors := c.scaledPlanes(x)
	st := c.newStorage(v.Shape)
	c.emit(&instruction{kind: kind, in: planes, aux: aux, out: planesOf(st), attr: a, sinkable: true})
	for i, f := range factors {
		v.blocks = append(v.blocks, c.times(plainOf(plane{st, i}), f))
	}
	return v
}

// subsample lowers a subsampling: that of an expression is the expression of its planes'.
func (c *compiler) subsample(v, x *value, a graph.Attr) *value {
	for _, e := range c.simple(x, 1) {
		if len(e.terms) == 0 || !c.within(x.guard, c.guardOf(e.terms[0].z, e.terms[0].y)) {
			c.planes(x)
			break
		}
	}
	var in []plane
	at := map[plane]int{}
	for _, e := range x.blocks {
		for _, p := range []plane{e.terms[0].z, e.terms[0].y} {
			if _, ok := at[p]; p.storage != nil && !ok {
				at[p] = len(in)
				in = append(in, p)
			}
		}
	}
	st := c.newStorage([]int{0, len(in) * c.lanes, v.Shape[2], v.Shape[3]})
	c.emit(&instruction{kind: OpSubsample, in: in, out: planesOf(st), attr: graph.Attr{K: 1, S: a.S, P: -a.From}, sinkable: true})
	of := func(p plane) plane {
		if p.storage == nil {
			return p
		}
		return plane{st, at[p]}
	}
	for _, e := range x.blocks {
		t := e.terms[0]
		t.z, t.y = of(t.z), of(t.y)
		v.blocks = append(v.blocks, expression{terms: []term{t}, b: e.b})
	}
	return v
}
