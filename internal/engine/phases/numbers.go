package phases

import "slices"

// numbers are n doubles, computed between the phases or constant.
type numbers struct {
	n        int
	constant []float64 // or nil
	address  Address   // at the end
}

// coef is one number for each lane.
type coef struct {
	moment
	numbers
}

// These are known by their identity, so that nothing is computed with them.
var one, zero = constantCoef(1), constantCoef(0)

func constantCoef(x float64) *coef {
	return &coef{numbers: numbers{n: Lanes, constant: slices.Repeat([]float64{x}, Lanes)}}
}

// host is one instruction between phases, see Numbers.
type host struct {
	moment
	kind     int32
	n, step  int
	k        float64
	to, a, b operand
}

// operand is where numbers begin: in others, in the totals of sums over the
// batch, or, as floats, in a vector or at an address.
type operand struct {
	of     *numbers
	sums   *sums
	vector Vector
	floats Address
	at     int
}

func (c *compiler) host(h host) {
	c.hosts = append(c.hosts, &h)
}

// compute makes a coefficient by an instruction on others.
func (c *compiler) compute(kind int32, k float64, operands ...*coef) *coef {
	d := &coef{moment: known(operands), numbers: numbers{n: c.lanes}}
	h := host{moment: d.moment, kind: kind, n: c.lanes, step: 1, k: k, to: operand{of: &d.numbers}, a: operand{of: &operands[0].numbers}}
	if len(operands) > 1 {
		h.b = operand{of: &operands[1].numbers}
	}
	c.host(h)
	return d
}

// known is when all of the coefficients are.
func known(operands []*coef) (m moment) {
	for _, a := range operands {
		if a != nil {
			m = m.and(a.moment)
		}
	}
	return m
}

// mul multiplies two coefficients, nil standing for 0.
func (c *compiler) mul(a, b *coef) *coef {
	switch {
	case a == nil || b == nil:
		return nil
	case a == one:
		return b
	case b == one:
		return a
	}
	key := [2]*coef{a, b}
	if c.products[key] == nil {
		c.products[key] = c.compute(NumbersMultiply, 0, a, b)
	}
	return c.products[key]
}

// product3 is a·b·d, in this order.
func (c *compiler) product3(a, b, d *coef) *coef { return c.mul(c.mul(a, b), d) }

// add adds two coefficients, nil standing for 0.
func (c *compiler) add(a, b *coef) *coef {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return c.compute(NumbersAdd, 0, a, b)
}

func (c *compiler) subtract(a, b *coef) *coef        { return c.compute(NumbersSubtract, 0, a, b) }
func (c *compiler) scaled(by float64, a *coef) *coef { return c.compute(NumbersScale, by, a) }
func (c *compiler) negative(a *coef) *coef           { return c.scaled(-1, a) }
func (c *compiler) divided(a *coef, by float64) *coef {
	return c.compute(NumbersDivide, by, a)
}

// splat is an entry of a parameter for all channels.
func (c *compiler) splat(p *parameter, at int) *coef {
	key := entryKey{p, at}
	if c.splats[key] == nil {
		from := c.numbers(p)
		d := &coef{moment: p.moment, numbers: numbers{n: c.lanes}}
		c.host(host{moment: p.moment, kind: NumbersCopy, n: c.lanes, step: 0, to: operand{of: &d.numbers}, a: operand{of: from, at: at}})
		c.splats[key] = d
	}
	return c.splats[key]
}

// channelwise is a block of a parameter's entries from the given one on, 0
// beyond n of them.
func (c *compiler) channelwise(p *parameter, from, n int) *coef {
	key := entryKey{p, from}
	if c.channels[key] == nil {
		d := &coef{moment: p.moment, numbers: numbers{n: c.lanes}}
		c.copy(p.moment, operand{of: &d.numbers}, operand{of: c.numbers(p), at: from}, min(n, c.lanes))
		c.channels[key] = d
	}
	return c.channels[key]
}

// copy copies n numbers.
func (c *compiler) copy(m moment, to, from operand, n int) {
	c.host(host{moment: m, kind: NumbersCopy, n: n, step: 1, to: to, a: from})
}

// mask is 1 in the channels whose bits are set and 0 in the others.
func (c *compiler) mask(bits uint16) *coef {
	if bits == firstLanes(c.lanes) {
		return one
	}
	if c.masks[bits] == nil {
		d := constantCoef(0)
		for l := range d.constant {
			d.constant[l] = float64(bits >> l & 1)
		}
		c.masks[bits] = d
	}
	return c.masks[bits]
}

// firstLanes has the bits of the first n channels.
func firstLanes(n int) uint16 { return uint16(1<<n - 1) }

// numbers returns the parameter's entries in double.
func (c *compiler) numbers(p *parameter) *numbers {
	if p.host == nil {
		p.host = &numbers{n: p.array.Len()}
		c.host(host{moment: p.moment, kind: NumbersRead, n: p.host.n, step: 1, to: operand{of: p.host}, a: operand{vector: p.array}})
	}
	return p.host
}

// floats returns the parameter's entries as a vector.
func (c *compiler) floats(p *parameter) Vector {
	if p.array == nil {
		p.array = c.machine.NewVector(p.host.n)
		c.write(p.moment, p.array, p.host)
	}
	return p.array
}

// write lets a vector have the numbers.
func (c *compiler) write(m moment, to Vector, from *numbers) {
	c.host(host{moment: m, kind: NumbersWrite, n: from.n, step: 1, to: operand{vector: to}, a: operand{of: from}})
}

// gather makes a parameter of the channels of coefficients, nil standing for 0.
func (c *compiler) gather(shape []int, blocks []*coef) *parameter {
	n := 1
	for _, d := range shape {
		n *= d
	}
	p := &parameter{moment: known(blocks), shape: shape, host: &numbers{n: n}}
	for i, b := range blocks {
		if b != nil {
			c.copy(p.moment, operand{of: p.host, at: i * c.lanes}, operand{of: &b.numbers}, min(c.lanes, n-i*c.lanes))
		}
	}
	return p
}

// addUp is the sum over the batch and all channels, nil standing for 0.
func (c *compiler) addUp(blocks []*coef) *parameter {
	blocks = slices.DeleteFunc(slices.Clone(blocks), func(b *coef) bool { return b == nil })
	p := &parameter{moment: known(blocks), host: &numbers{n: 1}}
	if len(blocks) == 0 {
		return p
	}
	all := c.gather([]int{len(blocks) * c.lanes}, blocks).host
	c.host(host{moment: p.moment, kind: NumbersSum, n: all.n, to: operand{of: p.host}, a: operand{of: all}})
	return p
}

// waves orders instructions of a level so that those of one wave, the first of
// which has the given number, do not depend on each other: what one reads was
// written in an earlier wave or level.
func waves(list []Numbers, first int) {
	const double = 8
	written := map[Address]int32{} // wave after which every double is there
	extent := func(h *Numbers, a Address) (from, to Address) {
		n := h.N
		if h.Kind == NumbersCopy && h.Step == 0 {
			n = 1
		}
		return a, a + Address(n)*double
	}
	for i := range list {
		h := &list[i]
		h.Wave = int32(first)
		for _, a := range []Address{h.A, h.B} {
			if a == 0 || h.Kind == NumbersRead {
				continue
			}
			for from, to := extent(h, a); from < to; from += double {
				h.Wave = max(h.Wave, written[from])
			}
		}
		if h.Kind == NumbersWrite {
			continue
		}
		n := h.N
		if h.Kind == NumbersSum {
			n = 1
		}
		for at := h.To; at < h.To+Address(n)*double; at += double {
			written[at] = max(written[at], h.Wave+1)
		}
	}
	slices.SortStableFunc(list, func(a, b Numbers) int { return int(a.Wave - b.Wave) })
}
