package phases

import "slices"

// A storage is memory for the planes of one value.
type storage struct {
	id       int
	layout   Layout
	channels int
	h, w     int
	phase    int  // in which it is written
	varies   bool // depends on the varying inputs
	producer *instruction
	guard    guard
	vector   Vector // of the caller, row-major, instead of planes

	// decided at the end
	uses     []*instruction
	scratch  bool // lives within one image of one phase
	at       int  // bytes into the scratch or the batch space
	streamed bool // is made in scratch memory, see stream
	direct   bool // or rather by an instruction that does it itself
	origin   int  // bytes into the scratch space, if so
	half     bool // what is streamed is in bfloat16
}

// blocksOf is how many planes have so many channels.
func (c *compiler) blocksOf(channels int) int { return (channels + c.lanes - 1) / c.lanes }

func (s *storage) blocks() int { return (s.channels + s.layout.Channels - 1) / s.layout.Channels }

// planeBytes is the size of one plane, turnBytes that of all planes of an image, or of the
// images that share them, and vectorBytes what these are in a vector.
func (s *storage) planeBytes() int  { return s.h * s.w * s.layout.Floats() * 4 }
func (s *storage) turnBytes() int   { return s.blocks() * s.planeBytes() }
func (s *storage) vectorBytes() int { return s.channels * s.h * s.w * s.layout.Images * 4 }

// kept is how many bytes so many of the storage are in memory of the batch.
func (s *storage) kept(bytes int) int {
	if s.half {
		return bytes / 2
	}
	return bytes
}

// plane is a block of channels of a storage, one for each lane.
type plane struct {
	*storage
	block int
}

// moment says when something computed between the phases is known.
type moment struct {
	level  int  // the first phase before which it is known
	varies bool // depends on the varying inputs
	// sums are of these, which may still move to a later phase as long as no
	// instruction depends on them
	from []*instruction
}

// and is the moment when both are known.
func (m moment) and(n moment) moment {
	from := m.from[:len(m.from):len(m.from)]
	for _, in := range n.from {
		if !slices.Contains(from, in) {
			from = append(from, in)
		}
	}
	return moment{max(m.level, n.level), m.varies || n.varies, from}
}

type termKind int32

const (
	plain  termKind = iota // a·z
	relu                   // a·max(s·y + t, 0)
	masked                 // a·z where s·y + t > 0
)

// term is one summand of an expression. The zero of z in a masked term stands
// for 1; t may be nil for 0.
type term struct {
	kind termKind
	z, y plane
	a    *coef
	s, t *coef
	// image, unless none, is a plane of one pixel whose first channel multiplies
	// the whole image
	image plane
}

// isPlain reports whether the term is a plane times a coefficient.
func (t term) isPlain() bool { return t.kind == plain && t.image.storage == nil }

// expression is what a plane of a value is before anyone needs it in memory: a
// channel-wise linear combination of planes, some of them rectified or masked.
// Batch normalisation, mixing, sums and rectifiers become expressions, so that
// whole chains of them are computed in one pass, and their gradients too.
type expression struct {
	terms []term
	b     *coef // nil for 0
}

func plainOf(p plane) expression {
	return expression{terms: []term{{kind: plain, z: p, a: one}}}
}

// asPlane returns the plane that the expression is, if it is one.
func (e expression) asPlane() (plane, bool) {
	if len(e.terms) == 1 && e.b == nil && e.terms[0].isPlain() && e.terms[0].a == one {
		return e.terms[0].z, true
	}
	return plane{}, false
}

// sameMask reports whether both terms are masked or rectified at the same places.
func (t term) sameMask(u term) bool {
	return t.kind != plain && u.kind != plain && t.y == u.y && t.s == u.s && t.t == u.t
}

func (t term) alike(u term) bool {
	return t.kind == u.kind && t.z == u.z && t.image == u.image && (t.kind == plain || t.sameMask(u))
}

// times scales each channel.
func (c *compiler) times(e expression, a *coef) expression {
	var d expression
	for _, t := range e.terms {
		t.a = c.mul(t.a, a)
		d.terms = append(d.terms, t)
	}
	if e.b != nil {
		d.b = c.mul(e.b, a)
	}
	return d
}

// plus adds two expressions.
func (c *compiler) plus(e, f expression) expression {
	d := expression{slices.Clone(e.terms), c.add(e.b, f.b)}
next:
	for _, t := range f.terms {
		for i, u := range d.terms {
			if t.alike(u) {
				d.terms[i].a = c.add(u.a, t.a)
				continue next
			}
		}
		d.terms = append(d.terms, t)
	}
	return d
}

// product is the sum of e·f over the batch, n positions in all, for each channel.
// It reports whether both are simple enough; planes always are.
func (c *compiler) product(e, f expression, n int) (*coef, bool) {
	var sum *coef
	put := func(a, b, s *coef) { sum = c.add(sum, c.mul(c.mul(a, b), s)) }
	for _, t := range e.terms {
		for _, u := range f.terms {
			if t.kind > u.kind {
				t, u = u, t
			}
			a, image := c.mul(t.a, u.a), t.image
			if u.image.storage != nil {
				if image.storage != nil {
					return nil, false
				}
				image = u.image
			}
			switch {
			case u.kind == plain:
				sum = c.add(sum, c.mul(a, c.sumOf(mask{}, t.z, u.z, image)))
			case t.kind == plain && u.kind == relu:
				m := maskOf(u)
				put(a, u.s, c.sumOf(m, t.z, u.y, image))
				if u.t != nil {
					put(a, u.t, c.sumOf(m, t.z, plane{}, image))
				}
			case t.kind == plain && u.kind == masked:
				sum = c.add(sum, c.mul(a, c.sumOf(maskOf(u), t.z, u.z, image)))
			case !t.sameMask(u):
				return nil, false
			case t.kind == relu && u.kind == relu:
				m := maskOf(u)
				put(a, c.mul(u.s, u.s), c.sumOf(m, u.y, u.y, image))
				if u.t != nil {
					put(a, c.mul(c.scaled(2, u.s), u.t), c.sumOf(m, u.y, plane{}, image))
					put(a, c.mul(u.t, u.t), c.sumOf(m, plane{}, plane{}, image))
				}
			case t.kind == relu && u.kind == masked:
				m := maskOf(u)
				put(a, t.s, c.sumOf(m, u.z, t.y, image))
				if t.t != nil {
					put(a, t.t, c.sumOf(m, u.z, plane{}, image))
				}
			default:
				sum = c.add(sum, c.mul(a, c.sumOf(maskOf(u), t.z, u.z, image)))
			}
		}
	}
	for _, x := range []struct {
		b *coef
		e expression
	}{{f.b, expression{e.terms, nil}}, {e.b, expression{f.terms, nil}}} {
		if x.b != nil && len(x.e.terms) > 0 {
			sum = c.add(sum, c.mul(x.b, c.sum(x.e, n)))
		}
	}
	if e.b != nil && f.b != nil {
		sum = c.add(sum, c.scaled(float64(n), c.mul(e.b, f.b)))
	}
	return sum, true
}

// sum is the sum of the expression over the n positions of the batch for each channel.
func (c *compiler) sum(e expression, n int) *coef {
	var sum *coef
	for _, t := range e.terms {
		switch t.kind {
		case plain:
			sum = c.add(sum, c.mul(t.a, c.sumOf(mask{}, t.z, plane{}, t.image)))
		case masked:
			sum = c.add(sum, c.mul(t.a, c.sumOf(maskOf(t), t.z, plane{}, t.image)))
		case relu:
			m := maskOf(t)
			sum = c.add(sum, c.mul(c.mul(t.a, t.s), c.sumOf(m, t.y, plane{}, t.image)))
			if t.t != nil {
				sum = c.add(sum, c.mul(c.mul(t.a, t.t), c.sumOf(m, plane{}, plane{}, t.image)))
			}
		}
	}
	if e.b != nil {
		sum = c.add(sum, c.scaled(float64(n), e.b))
	}
	return sum
}

// mask is where s·y + t > 0; without y it is everywhere.
type mask struct {
	y    plane
	s, t *coef
}

func maskOf(t term) mask { return mask{t.y, t.s, t.t} }
