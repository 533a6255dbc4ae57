package cuda_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/emulator"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
	"github.com/nb1shot/nb1shot/random"
)

const lanes = phases.Lanes

var nan = float32(math.NaN())

// gpu is a device and what the kernels are given besides instructions.
type gpu struct {
	*emulator.Device
	t      testing.TB
	shared kernels.Device
	grid   [2]int // of the instruction instead of the host's choice, unless it is 0
}

func newGPU(t testing.TB, order emulator.Order, images, groups int) *gpu {
	g := &gpu{Device: emulator.New(order), t: t, shared: kernels.Device{Images: int64(images), Groups: int64(groups)}}
	// Spaces begin anywhere: refs are relative to it.
	g.shared.Spaces = [phases.Spaces]phases.Address{phases.Batch: g.alloc(64), phases.Scratch: g.alloc(64)}
	return g
}

func (g *gpu) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gpu) alloc(bytes int) cuda.Address {
	g.t.Helper()
	a, err := g.Alloc(max(bytes, 1))
	g.check(err)
	return a
}

// put copies numbers or structures to the device.
func put[T any](g *gpu, x ...T) cuda.Address {
	g.t.Helper()
	b := bytesOf(x)
	a := g.alloc(len(b))
	g.check(g.Write(a, b))
	return a
}

func bytesOf[T any](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(*new(T))))
}

// as is the numbers that the bytes are of.
func as[T any](b []byte) []T {
	x := make([]T, len(b)/int(unsafe.Sizeof(*new(T))))
	copy(bytesOf(x), b)
	return x
}

// region is memory of the device.
type region struct {
	at    cuda.Address
	bytes int
}

// room is a region for n numbers, which are NaN.
func room[T any](g *gpu, n int) region {
	bytes := n * int(unsafe.Sizeof(*new(T)))
	return region{g.alloc(bytes), bytes}
}

func (g *gpu) read(r region) []byte {
	g.t.Helper()
	b := make([]byte, r.bytes)
	g.check(g.Read(b, r.at))
	return b
}

// inAllOrders runs on devices with different orders of threads and returns what they
// all left in the regions.
func inAllOrders(t testing.TB, images, groups int, run func(g *gpu) []region) [][]byte {
	t.Helper()
	var first [][]byte
	for _, order := range []emulator.Order{emulator.Forwards(), emulator.Backwards(), emulator.Shuffled(1)} {
		g := newGPU(t, order, images, groups)
		var all [][]byte
		for _, r := range run(g) {
			all = append(all, g.read(r))
		}
		g.check(g.Close())
		if first == nil {
			first = all
		}
		for i := range all {
			if !bytes.Equal(all[i], first[i]) {
				t.Fatalf("result %d differs between the orders of threads forwards and %v", i, order)
			}
		}
	}
	return first
}

// runOp executes an instruction, in all orders, and returns its results. With Skip it
// must leave them as they were.
func runOp(t testing.TB, images, groups int, build func(g *gpu) (phases.Op, []region)) [][]byte {
	t.Helper()
	return inAllOrders(t, images, groups, func(g *gpu) []region {
		op, results := build(g)
		geometry := cuda.GeometryOf(&op, images, groups)
		for i, n := range g.grid {
			if n > 0 {
				geometry.Grid[i] = n
			}
		}
		var before [][]byte
		for _, r := range results {
			before = append(before, g.read(r))
		}
		shared := put(g, g.shared)
		launch := func() {
			g.check(g.Launch(cuda.KernelOf[op.Kind], geometry, uint64(put(g, op)), uint64(shared)))
		}
		op.Skip = 1
		launch()
		for i, r := range results {
			if !bytes.Equal(g.read(r), before[i]) {
				t.Fatalf("result %d changed although the instruction was to be skipped", i)
			}
		}
		op.Skip = 0
		launch()
		return results
	})
}

// activation is planes of all images: [image][block][pixel][lane].
type activation struct {
	images, blocks, pixels int
	data                   []float32
}

func newActivation(images, blocks, pixels int, fill func() float32) activation {
	a := activation{images, blocks, pixels, make([]float32, images*blocks*pixels*lanes)}
	for i := range a.data {
		a.data[i] = fill()
	}
	return a
}

func (a activation) at(image, block, pixel, lane int) *float32 {
	return &a.data[((image*a.blocks+block)*a.pixels+pixel)*lanes+lane]
}

// spoil makes channels that do not count NaN.
func (a activation) spoil(depths []int32) activation {
	for image := range a.images {
		for b, depth := range depths {
			for p := range a.pixels {
				for l := int(depth); l < lanes; l++ {
					*a.at(image, b, p, l) = nan
				}
			}
		}
	}
	return a
}

// planes copies an activation to a space of the device's memory.
func (g *gpu) planes(a activation, space int) ([]phases.Ref, region) {
	at := put(g, a.data...)
	base := int64(at)
	if space != phases.Absolute {
		base -= int64(g.shared.Spaces[space])
	}
	refs := make([]phases.Ref, a.blocks)
	for b := range refs {
		refs[b] = phases.Ref{Space: int64(space), Base: base + int64(b*a.pixels*lanes*4), Stride: int64(a.blocks * a.pixels * lanes * 4)}
	}
	return refs, region{at, 4 * len(a.data)}
}

// result is the activation that was read.
func (a activation) result(b []byte) activation {
	a.data = as[float32](b)
	return a
}

// sums makes room for n sums of each image.
func (g *gpu) sums(images, n int) region {
	r := room[float64](g, images*n)
	g.shared.Sums, g.shared.SumsBetween = r.at, int64(n)
	return r
}

// uniform are numbers in [-1, 1), of so few bits that float32 has a·y + b without
// rounding: whether it is positive must not depend on how it is computed.
func uniform(r *rand.Rand) func() float32 {
	return func() float32 { return float32(r.IntN(2048)-1024) / 1024 }
}

// coarse are few numbers, so that many are equal.
func coarse(r *rand.Rand) func() float32 { return func() float32 { return float32(r.IntN(5)-2) / 2 } }

func always(x float32) func() float32 { return func() float32 { return x } }

func many(n int, f func() float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = f()
	}
	return x
}

// near reports whether got is want, which is the sum of terms of this size, up to
// rounding in so many bits.
func near(got, want, size float64, bits int) bool {
	if math.IsNaN(want) {
		return math.IsNaN(got)
	}
	return math.Abs(got-want) <= (size+math.Abs(want))*math.Pow(2, float64(-bits))
}

const (
	singleBits = 18 // what is left of 24 after many additions
	doubleBits = 44
)

// draws are what is drawn for a case, and listed if it fails.
type draws struct {
	*testing.T
	random *rand.Rand
	list   []string
}

// number is in from..to, often one of them.
func (d *draws) number(from, to int, name string) int {
	n := from + d.random.IntN(to-from+1)
	switch d.random.IntN(8) {
	case 0:
		n = from
	case 1:
		n = to
	}
	d.list = append(d.list, fmt.Sprintf("%s %d", name, n))
	return n
}

func (d *draws) yes(name string) bool { return d.number(0, 1, name) == 1 }

func (d *draws) oneOf(name string, x ...int) int { return x[d.number(0, len(x)-1, name)] }

func (d *draws) space(name string) int {
	return d.oneOf(name+" space", phases.Absolute, phases.Batch, phases.Scratch)
}

// forCases runs a test for so many cases, the same in every run.
func forCases(t *testing.T, cases int, test func(d *draws)) {
	t.Helper()
	for i := range cases {
		t.Run(fmt.Sprint("case", i), func(t *testing.T) {
			d := &draws{T: t, random: random.New(uint64(i), t.Name())}
			defer func() {
				if t.Failed() {
					t.Log(d.list)
				}
			}()
			test(d)
		})
	}
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func relu(v float64) float64 {
	if v < 0 {
		return 0
	}
	return v
}

// ---- Linear combinations and reductions

func TestCombine(t *testing.T) {
	const (
		plain = iota
		rectified
		masked
	)
	forCases(t, 40, func(d *draws) {
		images, h, w := d.number(1, 4, "images"), d.number(1, 19, "h"), d.number(1, 33, "w")
		outs, ins := d.number(1, 3, "outs"), d.number(1, 3, "ins")
		in := newActivation(images, ins, h*w, uniform(d.random))
		if d.yes("NaN") {
			*in.at(0, 0, 0, 3) = nan
		}
		factors := newActivation(images, 1, 1, uniform(d.random))
		out := newActivation(images, outs, h*w, uniform(d.random))
		type pass struct {
			phases.Pass
			coef []float32
			z, y [phases.MaxTerms]int // blocks of in; -1 is 1, -2 is out
		}
		var list []pass
		var plane []int
		for o := range outs {
			begins := d.yes("accumulate")
			for n := d.number(1, 3, "passes"); n > 0; n-- {
				p := pass{coef: many(10*lanes, uniform(d.random))}
				p.Terms, p.Accumulate, p.Last = int32(d.number(0, 3, "terms")), truth(begins), truth(n == 1)
				p.Pass.Skip = int32(d.number(0, 7, "skip"))
				for k := range p.Terms {
					p.Kind[k] = int32(d.number(plain, masked, "kind"))
					p.z[k], p.y[k] = d.number(-1, ins-1, "z"), d.number(0, ins-1, "y")
					if !begins && p.z[k] == -1 && d.yes("in place") {
						p.z[k] = -2
					}
				}
				slices.Sort(p.Kind[:p.Terms])
				p.Images = truth(d.yes("images"))
				begins = true
				list, plane = append(list, p), append(plane, o)
			}
		}
		space := d.space("out")
		withImage := d.yes("factor")
		got := out.result(runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
			x, _ := g.planes(in, phases.Batch)
			f, _ := g.planes(factors, phases.Scratch)
			y, r := g.planes(out, space)
			var passes []phases.Pass
			for i, p := range list {
				q := p.Pass
				q.Out, q.Coef = y[plane[i]], put(g, p.coef...)
				for k := range q.Terms {
					q.Image[k] = phases.Ref{Space: phases.None}
					if withImage {
						q.Image[k] = f[0]
					}
					switch p.z[k] {
					case -1:
						q.Z[k] = phases.Ref{Space: phases.None}
					case -2:
						q.Z[k] = y[plane[i]]
					default:
						q.Z[k] = x[p.z[k]]
					}
					q.Y[k] = x[p.y[k]]
				}
				passes = append(passes, q)
			}
			return phases.Op{Kind: phases.OpCombine, OH: int32(h), OW: int32(w), Passes: put(g, passes...), Count: int32(len(passes))}, []region{r}
		})[0])
		for image := range images {
			for pixel := range h * w {
				for l := range lanes {
					want, size := make([]float64, outs), make([]float64, outs)
					for i, p := range list {
						o := plane[i]
						if i == 0 || list[i-1].Last == 1 {
							want[o] = float64(*out.at(image, o, pixel, l))
						}
						old := want[o]
						if p.Accumulate == 0 {
							want[o] = float64(p.coef[l])
						}
						for k := range p.Terms {
							if p.Pass.Skip>>k&1 == 1 {
								continue
							}
							c := func(j int) float64 { return float64(p.coef[(1+3*int(k)+j)*lanes+l]) }
							z, a := 1., c(0)
							switch p.z[k] {
							case -1:
							case -2:
								z = old
							default:
								z = float64(*in.at(image, p.z[k], pixel, l))
							}
							v := c(1)*float64(*in.at(image, p.y[k], pixel, l)) + c(2)
							if p.Images == 1 && withImage {
								a *= float64(*factors.at(image, 0, 0, 0))
							}
							switch p.Kind[k] {
							case rectified:
								z = relu(v)
							case masked:
								if !(v > 0) {
									z = 0
								}
							}
							want[o] += a * z
							size[o] += math.Abs(a * z)
						}
					}
					for o := range outs {
						if g := float64(*got.at(image, o, pixel, l)); !near(g, want[o], 10+size[o], singleBits) {
							d.Fatalf("image %d, plane %d, pixel %d, lane %d: %v, want %v", image, o, pixel, l, g, want[o])
						}
					}
				}
			}
		}
	})
}

func TestReduce(t *testing.T) {
	forCases(t, 40, func(d *draws) {
		images, h, w := d.number(1, 3, "images"), d.number(1, 19, "h"), d.number(1, 33, "w")
		in := newActivation(images, 3, h*w, uniform(d.random))
		if d.yes("NaN") {
			*in.at(0, 1, h*w-1, 5) = nan
		}
		factors := newActivation(images, 1, 1, uniform(d.random))
		type reduction struct {
			phases.Reduction
			coef  []float32
			y, z  int
			w     [3]int
			image bool
		}
		var list []reduction
		slots := 1 // the first is nobody's
		for range d.number(1, 4, "reductions") {
			r := reduction{coef: many(2*lanes, uniform(d.random)), y: d.number(0, 2, "y"), z: d.number(0, 2, "z"), image: d.yes("image")}
			r.Masked, r.HasZ, r.NW, r.Slot = truth(d.yes("masked")), truth(d.yes("has z")), int32(d.number(0, 3, "nw")), int64(slots)
			for k := range r.w {
				r.w[k] = d.number(0, 2, "w")
			}
			slots += lanes * int(1+r.NW)
			list = append(list, r)
		}
		got := as[float64](runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
			x, _ := g.planes(in, phases.Batch)
			f, _ := g.planes(factors, phases.Absolute)
			sums := g.sums(images, slots)
			var reductions []phases.Reduction
			for _, r := range list {
				q := r.Reduction
				q.Coef, q.Image = put(g, r.coef...), phases.Ref{Space: phases.None}
				if r.image {
					q.Image = f[0]
				}
				if q.Masked == 1 {
					q.Y = x[r.y]
				}
				if q.HasZ == 1 {
					q.Z = x[r.z]
				}
				for k := range q.NW {
					q.W[k] = x[r.w[k]]
				}
				reductions = append(reductions, q)
			}
			return phases.Op{Kind: phases.OpReduce, H: int32(h), W: int32(w), Reductions: put(g, reductions...), Count: int32(len(list))}, []region{sums}
		})[0])
		for image := range images {
			if !math.IsNaN(got[image*slots]) {
				d.Fatal("a slot of nobody was written")
			}
			for i, r := range list {
				for l := range lanes {
					var want, size [4]float64
					for p := range h * w {
						v := 1.
						if r.HasZ == 1 {
							v = float64(*in.at(image, r.z, p, l))
						}
						if r.Masked == 1 && !(float64(r.coef[l])*float64(*in.at(image, r.y, p, l))+float64(r.coef[lanes+l]) > 0) {
							v = 0
						}
						for k := range 1 + r.NW {
							x := v
							if k > 0 {
								x *= float64(*in.at(image, r.w[k-1], p, l))
							}
							want[k] += x
							size[k] += math.Abs(x)
						}
					}
					factor := 1.
					if r.image {
						factor = float64(*factors.at(image, 0, 0, 0))
					}
					for k := range 1 + int(r.NW) {
						g := got[image*slots+int(r.Slot)+k*lanes+l]
						if !near(g, factor*want[k], size[k], doubleBits) {
							d.Fatalf("image %d, reduction %d, sum %d, lane %d: %v, want %v", image, i, k, l, g, factor*want[k])
						}
					}
				}
			}
		}
	})
}

// ---- Convolutions

// convolutionKinds are the kinds of a convolution and of its weight gradient.
var convolutionKinds = map[int][2]int32{
	1: {phases.OpConv1, phases.OpWeight1}, 3: {phases.OpConv3, phases.OpWeight3}, 5: {phases.OpConvK, phases.OpWeightK},
}

// shape is that of a convolution with channels up to 70 and sides up to 33, not both.
type shape struct {
	images, h, w, k, ins, outs int
	depths                     []int32
}

func (d *draws) shape() shape {
	s := shape{images: d.number(1, 5, "images"), k: d.oneOf("k", 1, 3, 5), ins: d.number(1, 5, "ins"), outs: d.number(1, 5, "outs")}
	most := 33
	if s.ins*s.outs*s.k*s.k*s.images > 60 {
		most = 12
	}
	s.h, s.w = d.number(1, most, "h"), d.number(1, most, "w")
	for range s.ins {
		s.depths = append(s.depths, int32(d.number(1, lanes, "depth")))
	}
	return s
}

// eachTap calls do for all taps that lie within the image.
func (s shape) eachTap(pixel int, do func(tap, pixel int)) {
	for tap := range s.k * s.k {
		r, c := pixel/s.w+tap/s.k-s.k/2, pixel%s.w+tap%s.k-s.k/2
		if r >= 0 && r < s.h && c >= 0 && c < s.w {
			do(tap, r*s.w+c)
		}
	}
}

func (s shape) op(kind int32) phases.Op {
	return phases.Op{Kind: kind, H: int32(s.h), W: int32(s.w), OH: int32(s.h), OW: int32(s.w), K: int32(s.k), Stride: 1, Pad: int32(s.k / 2)}
}

func TestConvolution(t *testing.T) {
	forCases(t, 150, func(d *draws) {
		s := d.shape()
		in := newActivation(s.images, s.ins, s.h*s.w, uniform(d.random)).spoil(s.depths)
		out := newActivation(s.images, s.outs, s.h*s.w, uniform(d.random))
		weights := many(s.k*s.k*s.outs*s.ins*lanes*lanes, uniform(d.random))
		accumulate, withSlots := d.yes("accumulate"), d.yes("slots")
		var slots []int64
		width := 1
		for range s.outs {
			slots = append(slots, -1)
			if d.yes("slot") {
				slots[len(slots)-1] = int64(width)
				width += 2 * lanes
			}
		}
		inSpace, outSpace := d.space("in"), d.space("out")
		var grid [2]int
		if d.yes("other grid") {
			if s.k != 5 {
				grid[0] = d.number((s.outs+3)/4, s.outs, "columns")
			}
			if !withSlots {
				grid[1] = d.number(1, 5, "rows")
			}
		}
		results := runOp(d, s.images, 1, func(g *gpu) (phases.Op, []region) {
			x, _ := g.planes(in, inSpace)
			y, r := g.planes(out, outSpace)
			op := s.op(convolutionKinds[s.k][0])
			op.In, op.Ins, op.Out, op.Outs = put(g, x...), int32(s.ins), put(g, y...), int32(s.outs)
			op.Depth, op.Weights, op.Accumulate = put(g, s.depths...), put(g, weights...), truth(accumulate)
			if withSlots {
				op.Slots = put(g, slots...)
			}
			g.grid = grid
			return op, []region{r, g.sums(s.images, width)}
		})
		got, sums := out.result(results[0]), as[float64](results[1])
		for image := range s.images {
			for o := range s.outs {
				var moments, sizes [2][lanes]float64
				for p := range s.h * s.w {
					var want, size [lanes]float64
					s.eachTap(p, func(tap, q int) {
						for i, depth := range s.depths {
							for a := range int(depth) {
								x := float64(*in.at(image, i, q, a))
								w := weights[(((tap*s.outs+o)*s.ins+i)*lanes+a)*lanes:]
								for l := range lanes {
									want[l] += x * float64(w[l])
									size[l] += math.Abs(x * float64(w[l]))
								}
							}
						}
					})
					for l := range lanes {
						if accumulate {
							want[l] += float64(*out.at(image, o, p, l))
						}
						g := float64(*got.at(image, o, p, l))
						if !near(g, want[l], 1+size[l], singleBits) {
							d.Fatalf("image %d, plane %d, pixel %d, lane %d: %v, want %v", image, o, p, l, g, want[l])
						}
						for m, v := range []float64{g, g * g} {
							moments[m][l] += v
							sizes[m][l] += math.Abs(v)
						}
					}
				}
				for m := range moments {
					for l, want := range moments[m] {
						if slots[o] < 0 || !withSlots {
							continue
						}
						if g := sums[image*width+int(slots[o])+m*lanes+l]; !near(g, want, sizes[m][l], doubleBits) {
							d.Fatalf("image %d, plane %d, moment %d, lane %d: %v, want %v", image, o, m, l, g, want)
						}
					}
				}
			}
			if !math.IsNaN(sums[image*width]) || !withSlots && slices.ContainsFunc(sums, func(x float64) bool { return x == x }) {
				d.Fatal("a slot of nobody was written")
			}
		}
	})
}

func TestWeightGradient(t *testing.T) {
	forCases(t, 25, func(d *draws) {
		s := d.shape()
		groups := d.number(1, s.images, "groups")
		in := newActivation(s.images, s.ins, s.h*s.w, uniform(d.random)).spoil(s.depths)
		gradient := newActivation(s.images, s.outs, s.h*s.w, uniform(d.random))
		size := s.k * s.k * s.outs * s.ins * lanes * lanes
		between, slot := size+64, 16
		got := as[float32](runOp(d, s.images, groups, func(g *gpu) (phases.Op, []region) {
			x, _ := g.planes(in, phases.Batch)
			y, _ := g.planes(gradient, phases.Scratch)
			op := s.op(convolutionKinds[s.k][1])
			op.In, op.Ins, op.Aux, op.Auxs = put(g, x...), int32(s.ins), put(g, y...), int32(s.outs)
			op.Depth, op.Slot = put(g, s.depths...), int64(slot)
			r := room[float32](g, between*groups)
			g.shared.Gradients, g.shared.GradientsBetween = r.at, int64(between)
			return op, []region{r}
		})[0])
		for group := range groups {
			part := got[group*between:][:between]
			if part[0] == part[0] || part[between-1] == part[between-1] {
				d.Fatal("something outside of the gradient was written")
			}
			want := make([]float64, size)
			for image := group * s.images / groups; image < (group+1)*s.images/groups; image++ {
				for p := range s.h * s.w {
					s.eachTap(p, func(tap, q int) {
						for o := range s.outs {
							for i, depth := range s.depths {
								for a := range int(depth) {
									x, y, to := float64(*in.at(image, i, q, a)), gradient.data[((image*s.outs+o)*s.h*s.w+p)*lanes:], want[(((tap*s.outs+o)*s.ins+i)*lanes+a)*lanes:]
									for l := range lanes {
										to[l] += x * float64(y[l])
									}
								}
							}
						}
					})
				}
			}
			for i, v := range want {
				if g := float64(part[slot+i]); !near(g, v, float64(s.h*s.w*s.images), singleBits) {
					d.Fatalf("group %d, element %d of %+v: %v, want %v", group, i, s, g, v)
				}
			}
		}
	})
}

// ---- Pooling

// window is a pooling's.
type window struct {
	images, blocks, h, w, oh, ow, k, stride, pad int
}

func (d *draws) window() window {
	// The last is too large for the choices of its windows to be remembered.
	k, stride, pad := 0, 0, 0
	switch d.number(0, 5, "window") {
	case 0, 1:
		k, stride, pad = 3, 1, 1
	case 2:
		k, stride, pad = 2, 2, 0
	case 3:
		k, stride, pad = 3, 2, 1
	case 4:
		k, stride, pad = 5, 1, 2
	case 5:
		k, stride, pad = 17, 1, 8
	}
	most := 33
	if k == 17 {
		most = 11
	}
	s := window{images: d.number(1, 3, "images"), blocks: d.number(1, 2, "blocks"), h: d.number(k-pad, most, "h"), w: d.number(k-pad, most, "w"), k: k, stride: stride, pad: pad}
	s.oh, s.ow = (s.h+2*pad-k)/stride+1, (s.w+2*pad-k)/stride+1
	return s
}

func (s window) op(kind int32) phases.Op {
	return phases.Op{Kind: kind, H: int32(s.h), W: int32(s.w), OH: int32(s.oh), OW: int32(s.ow), K: int32(s.k), Stride: int32(s.stride), Pad: int32(s.pad), Slot: -1}
}

// maximum is where the first maximum of a window is; a NaN is the largest.
func (s window) maximum(x activation, image, block, pixel, lane int) int {
	best := -1
	for r := max(0, pixel/s.ow*s.stride-s.pad); r < min(s.h, pixel/s.ow*s.stride-s.pad+s.k); r++ {
		for c := max(0, pixel%s.ow*s.stride-s.pad); c < min(s.w, pixel%s.ow*s.stride-s.pad+s.k); c++ {
			at := r*s.w + c
			if best < 0 {
				best = at
			} else if v, b := *x.at(image, block, at, lane), *x.at(image, block, best, lane); v > b || v != v && b == b {
				best = at
			}
		}
	}
	return best
}

func (s window) input(d *draws) activation {
	in := newActivation(s.images, s.blocks, s.h*s.w, coarse(d.random))
	if d.yes("NaN") {
		*in.at(0, 0, d.number(0, s.h*s.w-1, "NaN at"), 7) = nan
	}
	return in
}

func equal(a, b float32) bool { return a == b || a != a && b != b }

func TestPool(t *testing.T) {
	forCases(t, 30, func(d *draws) {
		s := d.window()
		in := s.input(d)
		other := newActivation(s.images, s.blocks, s.h*s.w, uniform(d.random))
		for _, kind := range []int32{phases.OpPool, phases.OpPoolTake} {
			out := newActivation(s.images, s.blocks, s.oh*s.ow, always(nan))
			got := out.result(runOp(d, s.images, 1, func(g *gpu) (phases.Op, []region) {
				x, _ := g.planes(in, phases.Batch)
				u, _ := g.planes(other, phases.Scratch)
				y, r := g.planes(out, phases.Scratch)
				op := s.op(kind)
				op.In, op.Ins, op.Out, op.Outs = put(g, x...), int32(s.blocks), put(g, y...), int32(s.blocks)
				if kind == phases.OpPoolTake {
					op.Aux, op.Auxs = put(g, u...), int32(s.blocks)
				}
				return op, []region{r}
			})[0])
			from := in
			if kind == phases.OpPoolTake {
				from = other
			}
			for image := range s.images {
				for b := range s.blocks {
					for p := range s.oh * s.ow {
						for l := range lanes {
							if g, want := *got.at(image, b, p, l), *from.at(image, b, s.maximum(in, image, b, p, l), l); !equal(g, want) {
								d.Fatalf("%s: image %d, plane %d, window %d, lane %d: %v, want %v", cuda.KernelOf[kind], image, b, p, l, g, want)
							}
						}
					}
				}
			}
		}
	})
}

func TestPoolBack(t *testing.T) {
	forCases(t, 30, func(d *draws) {
		s := d.window()
		in := s.input(d)
		gradient := newActivation(s.images, s.blocks, s.oh*s.ow, uniform(d.random))
		out := newActivation(s.images, s.blocks, s.h*s.w, always(nan))
		scales := many(s.blocks*lanes, uniform(d.random))
		scaled, dotted := d.yes("scaled"), d.yes("dotted")
		width := 1 + s.blocks*lanes
		results := runOp(d, s.images, 1, func(g *gpu) (phases.Op, []region) {
			x, _ := g.planes(in, phases.Batch)
			u, _ := g.planes(gradient, phases.Scratch)
			y, r := g.planes(out, phases.Absolute)
			op := s.op(phases.OpPoolBack)
			op.In, op.Ins, op.Aux, op.Auxs, op.Out, op.Outs = put(g, x...), int32(s.blocks), put(g, u...), int32(s.blocks), put(g, y...), int32(s.blocks)
			if scaled {
				op.Weights = put(g, scales...)
			}
			if dotted {
				op.Slot = 1
			}
			return op, []region{r, g.sums(s.images, width)}
		})
		got, sums := out.result(results[0]), as[float64](results[1])
		for image := range s.images {
			for b := range s.blocks {
				want := make([]float64, s.h*s.w*lanes)
				for p := range s.oh * s.ow {
					for l := range lanes {
						want[s.maximum(in, image, b, p, l)*lanes+l] += float64(*gradient.at(image, b, p, l))
					}
				}
				var dots [lanes]float64
				for i, v := range want {
					p, l := i/lanes, i%lanes
					dots[l] += v * float64(*in.at(image, b, p, l))
					if scaled {
						v *= float64(scales[b*lanes+l])
					}
					if g := float64(*got.at(image, b, p, l)); !near(g, v, 9, singleBits) {
						d.Fatalf("image %d, plane %d, pixel %d, lane %d: %v, want %v", image, b, p, l, g, v)
					}
				}
				for l, want := range dots {
					g := sums[image*width+1+b*lanes+l]
					if dotted && !near(g, want, float64(s.oh*s.ow), singleBits) {
						d.Fatalf("image %d, plane %d, lane %d: inner product %v, want %v", image, b, l, g, want)
					}
					if !dotted && g == g {
						d.Fatal("a slot of nobody was written")
					}
				}
			}
		}
	})
}

// ---- Small things

func TestMean(t *testing.T) {
	forCases(t, 10, func(d *draws) {
		images, blocks, h, w := d.number(1, 5, "images"), d.number(1, 5, "blocks"), d.number(1, 33, "h"), d.number(1, 33, "w")
		large, small := newActivation(images, blocks, h*w, uniform(d.random)), newActivation(images, blocks, 1, uniform(d.random))
		run := func(kind int32, in, out activation) activation {
			return out.result(runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
				x, _ := g.planes(in, phases.Batch)
				y, r := g.planes(out, phases.Scratch)
				op := phases.Op{Kind: kind, H: int32(h), W: int32(w), OH: 1, OW: 1, In: put(g, x...), Ins: int32(blocks), Out: put(g, y...), Outs: int32(blocks)}
				if kind == phases.OpMeanBack {
					op.H, op.W, op.OH, op.OW = 1, 1, op.H, op.W
				}
				return op, []region{r}
			})[0])
		}
		mean, back := run(phases.OpMean, large, small), run(phases.OpMeanBack, small, large)
		for image := range images {
			for b := range blocks {
				for l := range lanes {
					var sum float64
					each := float64(*small.at(image, b, 0, l)) / float64(h*w)
					for p := range h * w {
						sum += float64(*large.at(image, b, p, l))
						if g := float64(*back.at(image, b, p, l)); !near(g, each, 0, 22) {
							d.Fatalf("gradient %v, want %v", g, each)
						}
					}
					if g := float64(*mean.at(image, b, 0, l)); !near(g, sum/float64(h*w), 0, 22) {
						d.Fatalf("mean %v, want %v", g, sum/float64(h*w))
					}
				}
			}
		}
	})
}

func TestLoadAndStore(t *testing.T) {
	forCases(t, 20, func(d *draws) {
		images, channels, h, w := d.number(1, 4, "images"), d.number(1, 70, "channels"), d.number(1, 19, "h"), d.number(1, 33, "w")
		blocks, size := (channels+lanes-1)/lanes, channels*h*w
		vector := many(images*size, uniform(d.random))
		planes := newActivation(images, blocks, h*w, always(nan))
		vectorRef := func(a cuda.Address) phases.Ref {
			return phases.Ref{Space: phases.Absolute, Base: int64(a), Stride: int64(4 * size)}
		}
		shape := phases.Op{H: int32(h), W: int32(w), OH: int32(h), OW: int32(w), Channels: int32(channels)}
		loaded := planes.result(runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
			op := shape
			y, r := g.planes(planes, phases.Batch)
			op.Kind, op.In, op.Ins, op.Out, op.Outs = phases.OpLoad, put(g, vectorRef(put(g, vector...))), 1, put(g, y...), int32(blocks)
			return op, []region{r}
		})[0])
		for image := range images {
			for c := range blocks * lanes {
				for p := range h * w {
					want := float32(0)
					if c < channels {
						want = vector[image*size+c*h*w+p]
					}
					if g := *loaded.at(image, c/lanes, p, c%lanes); g != want {
						d.Fatalf("load: image %d, channel %d, pixel %d: %v, want %v", image, c, p, g, want)
					}
				}
			}
		}
		stored := as[float32](runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
			op := shape
			x, _ := g.planes(loaded, phases.Scratch)
			r := room[float32](g, len(vector))
			op.Kind, op.In, op.Ins, op.Out, op.Outs = phases.OpStore, put(g, x...), int32(blocks), put(g, vectorRef(r.at)), 1
			return op, []region{r}
		})[0])
		if !slices.Equal(stored, vector) {
			d.Fatal("what was stored is not what was loaded")
		}
	})
}

func TestRepackAndStream(t *testing.T) {
	forCases(t, 20, func(d *draws) {
		images, h, w, ins, outs := d.number(1, 4, "images"), d.number(1, 9, "h"), d.number(1, 33, "w"), d.number(1, 3, "ins"), d.number(1, 3, "outs")
		in, out := newActivation(images, ins, h*w, uniform(d.random)), newActivation(images, outs, h*w, always(nan))
		var moves []phases.Move
		for o := range outs {
			free := d.random.Perm(lanes)
			for range d.number(1, 3, "moves") {
				m := phases.Move{Src: int32(d.number(0, ins-1, "src")), Block: int32(o)}
				for l := range m.Lanes {
					m.Lanes[l] = -1
				}
				for range d.number(0, 5, "lanes") {
					m.Lanes[free[0]] = int32(d.random.IntN(lanes))
					free = free[1:]
				}
				moves = append(moves, m)
			}
		}
		run := func(op phases.Op, out activation) activation {
			return out.result(runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
				x, _ := g.planes(in, phases.Batch)
				y, r := g.planes(out, phases.Scratch)
				op := op
				op.H, op.W, op.OH, op.OW = int32(h), int32(w), int32(h), int32(w)
				op.In, op.Ins, op.Out, op.Outs = put(g, x...), int32(ins), put(g, y...), int32(out.blocks)
				op.Moves = put(g, moves...)
				return op, []region{r}
			})[0])
		}
		got := run(phases.Op{Kind: phases.OpRepack, Count: int32(len(moves))}, out)
		for image := range images {
			for p := range h * w {
				var want [3][lanes]float32
				for _, m := range moves {
					for l, from := range m.Lanes {
						if from >= 0 {
							want[m.Block][l] = *in.at(image, int(m.Src), p, int(from))
						}
					}
				}
				for o := range outs {
					for l := range lanes {
						if g := *got.at(image, o, p, l); g != want[o][l] {
							d.Fatalf("repack: image %d, plane %d, pixel %d, lane %d: %v, want %v", image, o, p, l, g, want[o][l])
						}
					}
				}
			}
		}
		if copied := run(phases.Op{Kind: phases.OpStream}, newActivation(images, ins, h*w, always(nan))); !slices.Equal(copied.data, in.data) {
			d.Fatal("stream: not the same")
		}
	})
}

// ---- The loss

func TestLoss(t *testing.T) {
	forCases(t, 30, func(d *draws) {
		images, channels := d.oneOf("images", 1, 5, 31, 32, 33, 70), d.number(1, 40, "channels")
		blocks := (channels + lanes - 1) / lanes
		spread := float32(d.oneOf("spread", 1, 10, 300))
		logits := newActivation(images, blocks, 1, func() float32 { return spread * (2*d.random.Float32() - 1) })
		if d.yes("NaN") {
			*logits.at(0, 0, 0, 0) = nan
		}
		labels, u := newActivation(images, blocks, 1, uniform(d.random)), newActivation(images, blocks, 1, uniform(d.random))
		seed, scale := 2*d.random.Float32(), 1/float64(images)
		run := func(kind int32, aux ...activation) [][]byte {
			return runOp(d, images, 1, func(g *gpu) (phases.Op, []region) {
				x, _ := g.planes(logits, phases.Batch)
				var list []phases.Ref
				for _, a := range aux {
					refs, _ := g.planes(a, phases.Scratch)
					list = append(list, refs...)
				}
				y, r := g.planes(newActivation(images, blocks, 1, always(nan)), phases.Batch)
				op := phases.Op{Kind: kind, Channels: int32(channels), H: 1, W: 1, OH: 1, OW: 1, In: put(g, x...), Ins: int32(blocks),
					Aux: put(g, list...), Auxs: int32(len(list)), Slot: 1, Scale: scale, Weights: put(g, seed)}
				if kind == phases.OpLossBack || kind == phases.OpLossBackBack {
					op.Out, op.Outs, op.Slot = put(g, y...), int32(blocks), -1
				}
				return op, []region{r, g.sums(images, 2)}
			})
		}
		loss, dot := as[float64](run(phases.OpLoss, labels)[1]), as[float64](run(phases.OpLossDot, labels, u)[1])
		back, backBack := logits.result(run(phases.OpLossBack, labels)[0]), logits.result(run(phases.OpLossBackBack, u)[0])
		for image := range images {
			of := func(a activation, c int) float64 { return float64(*a.at(image, c/lanes, 0, c%lanes)) }
			top, sum := math.Inf(-1), 0.
			for c := range channels {
				top = max(top, of(logits, c))
			}
			for c := range channels {
				sum += math.Exp(of(logits, c) - top)
			}
			p := func(c int) float64 { return math.Exp(of(logits, c)-top) / sum }
			var wantLoss, wantDot, mean float64
			for c := range channels {
				wantLoss += of(labels, c) * (top + math.Log(sum) - of(logits, c)) * scale
				wantDot += (p(c) - of(labels, c)) * of(u, c) * scale
				mean += p(c) * of(u, c)
			}
			if g := loss[image*2+1]; !near(g, wantLoss, float64(spread), 40) {
				d.Fatalf("loss of image %d: %v, want %v", image, g, wantLoss)
			}
			if g := dot[image*2+1]; !near(g, wantDot, 1, 40) {
				d.Fatalf("inner product of image %d: %v, want %v", image, g, wantDot)
			}
			for c := range blocks * lanes {
				var want, wantBack float64
				if c < channels {
					want = float64(seed) * (p(c) - of(labels, c)) * scale
					wantBack = float64(seed) * p(c) * (of(u, c) - mean) * scale
				}
				if g := of(back, c); !near(g, want, 1, 23) || c >= channels && g != 0 {
					d.Fatalf("gradient of image %d, channel %d: %v, want %v", image, c, g, want)
				}
				if g := of(backBack, c); !near(g, wantBack, 1, 23) || c >= channels && g != 0 {
					d.Fatalf("second derivative of image %d, channel %d: %v, want %v", image, c, g, wantBack)
				}
			}
		}
	})
}

// ---- Between the phases

func TestNumbers(t *testing.T) {
	forCases(t, 20, func(d *draws) {
		// The memory is a row of doubles, then a row of floats. Each wave reads what was
		// there before it and appends.
		const start, floats = 40, 40
		type instruction struct {
			phases.Numbers
			to, a, b int
		}
		doubles := make([]float64, start)
		for i := range doubles {
			doubles[i] = d.random.Float64() - .25
		}
		doubles[d.number(0, start-1, "NaN at")] = math.NaN()
		singles := many(floats, uniform(d.random))
		want, wantSingles := slices.Clone(doubles), slices.Clone(singles)
		var list []instruction
		wave := int32(d.number(0, 3, "first wave"))
		for range d.number(1, 4, "waves") {
			known := len(want)
			for range d.number(0, 90, "instructions") {
				in := instruction{Numbers: phases.Numbers{Kind: int32(d.random.IntN(phases.NumbersWrite + 1)), N: int32(d.random.IntN(34)), Step: int32(d.random.IntN(2)), Wave: wave, K: d.random.Float64() + .3}}
				n := int(in.N)
				in.to, in.a, in.b = len(want), d.random.IntN(known-n+1), d.random.IntN(known-n+1)
				switch in.Kind {
				case phases.NumbersRead:
					in.a = d.random.IntN(floats - n + 1)
				case phases.NumbersWrite:
					in.to = len(wantSingles)
				}
				var sum float64
				for i := range n {
					var v float64
					a, b := want[in.a+i], want[in.b+i]
					switch in.Kind {
					case phases.NumbersCopy:
						v = want[in.a+i*int(in.Step)]
					case phases.NumbersAdd:
						v = a + b
					case phases.NumbersSubtract:
						v = a - b
					case phases.NumbersMultiply:
						v = a * b
					case phases.NumbersScale:
						v = in.K * a
					case phases.NumbersDivide:
						v = a / in.K
					case phases.NumbersRoot:
						v = 1 / math.Sqrt(a+in.K)
					case phases.NumbersPositive:
						v = max(a, 0)
					case phases.NumbersRead:
						v = float64(wantSingles[in.a+i])
					}
					sum += a
					switch in.Kind {
					case phases.NumbersSum:
					case phases.NumbersWrite:
						wantSingles = append(wantSingles, float32(a))
					default:
						want = append(want, v)
					}
				}
				if in.Kind == phases.NumbersSum {
					want = append(want, sum)
				}
				list = append(list, in)
			}
			wave += int32(d.number(1, 2, "next wave"))
		}
		results := inAllOrders(d, 1, 1, func(g *gpu) []region {
			memory, memorySingles := room[float64](g, len(want)), room[float32](g, len(wantSingles))
			g.check(g.Write(memory.at, bytesOf(doubles)))
			g.check(g.Write(memorySingles.at, bytesOf(singles)))
			var code []phases.Numbers
			for _, in := range list {
				q := in.Numbers
				q.To, q.A, q.B = memory.at+8*cuda.Address(in.to), memory.at+8*cuda.Address(in.a), memory.at+8*cuda.Address(in.b)
				switch q.Kind {
				case phases.NumbersRead:
					q.A = memorySingles.at + 4*cuda.Address(in.a)
				case phases.NumbersWrite:
					q.To = memorySingles.at + 4*cuda.Address(in.to)
				}
				code = append(code, q)
			}
			g.check(g.Launch("run_numbers", cuda.NumbersGeometry(), uint64(put(g, code...)), uint64(len(code))))
			return []region{memory, memorySingles}
		})
		for i, g := range as[float64](results[0]) {
			if !near(g, want[i], 0, 50) {
				d.Fatalf("number %d: %v, want %v", i, g, want[i])
			}
		}
		for i, g := range as[float32](results[1]) {
			if !near(float64(g), float64(wantSingles[i]), 0, 22) {
				d.Fatalf("float %d: %v, want %v", i, g, wantSingles[i])
			}
		}
	})
}

func TestAddSums(t *testing.T) {
	forCases(t, 10, func(d *draws) {
		images, n := d.number(1, 20, "images"), d.number(1, 300, "n")
		between := n + d.number(0, 3, "between")
		sums := make([]float64, images*between)
		for i := range sums {
			sums[i] = d.random.NormFloat64()
		}
		got := as[float64](inAllOrders(d, images, 1, func(g *gpu) []region {
			g.shared.Sums, g.shared.SumsBetween = put(g, sums...), int64(between)
			r := room[float64](g, n)
			g.check(g.Launch("add_sums", cuda.SumsGeometry(n), uint64(r.at), uint64(n), uint64(put(g, g.shared))))
			return []region{r}
		})[0])
		for i, g := range got {
			var want float64
			for image := range images {
				want += sums[image*between+i]
			}
			if g != want {
				d.Fatalf("sum %d: %v, want %v", i, g, want)
			}
		}
	})
}

// TestPacking packs random pieces and compares every element of the packed arrays,
// then takes gradients of the same form apart again.
func TestPacking(t *testing.T) {
	forCases(t, 30, func(d *draws) {
		groups := d.number(1, 4, "groups")
		type piece struct {
			phases.Weights
			w []float32
		}
		var list []piece
		var sizes []int
		for range d.number(1, 3, "pieces") {
			p := piece{Weights: phases.Weights{Outs: int32(d.number(1, 40, "outs")), Ins: int32(d.number(1, 40, "ins")), K: int32(d.oneOf("k", 1, 3, 5)),
				OutBlock: int32(d.number(0, 2, "out block")), InBlock: int32(d.number(0, 2, "in block")), Transposed: truth(d.yes("transposed"))}}
			outs, ins := p.Outs, p.Ins
			if p.Transposed == 1 {
				outs, ins = ins, outs
			}
			p.OutBlocks, p.InBlocks = p.OutBlock+(outs+lanes-1)/lanes+int32(d.number(0, 1, "more")), p.InBlock+(ins+lanes-1)/lanes+int32(d.number(0, 1, "more"))
			p.w = many(int(p.Outs*p.Ins*p.K*p.K), uniform(d.random))
			list, sizes = append(list, p), append(sizes, int(p.K*p.K*p.OutBlocks*p.InBlocks)*lanes*lanes)
		}
		// where is the place of w[o][i][tap] in the packed array.
		where := func(p phases.Weights, o, i, tap int) int {
			if p.Transposed == 1 {
				o, i, tap = i, o, int(p.K*p.K)-1-tap
			}
			return (((tap*int(p.OutBlocks)+int(p.OutBlock)+o/lanes)*int(p.InBlocks)+int(p.InBlock)+i/lanes)*lanes+i%lanes)*lanes + o%lanes
		}
		packed := inAllOrders(d, 1, 1, func(g *gpu) (regions []region) {
			var code []kernels.Packing
			for i, p := range list {
				r := room[float32](g, sizes[i])
				regions = append(regions, r)
				code = append(code, kernels.Packing{Packed: r.at, W: put(g, p.w...), At: p.Weights})
			}
			g.check(g.Launch("pack_weights", cuda.PackGeometry(len(code)), uint64(put(g, code...)), uint64(len(code))))
			return regions
		})
		for n, p := range list {
			got := as[float32](packed[n])
			want := many(len(got), always(nan)) // outside of the piece
			outs, ins := p.Outs, p.Ins
			if p.Transposed == 1 {
				outs, ins = ins, outs
			}
			whole := p.Weights
			whole.Transposed = 0
			for tap := range int(p.K * p.K) {
				for o := range int((outs + lanes - 1) / lanes * lanes) {
					for i := range int((ins + lanes - 1) / lanes * lanes) {
						want[where(whole, o, i, tap)] = 0
					}
				}
			}
			for e, v := range p.w {
				k2 := int(p.K * p.K)
				want[where(p.Weights, e/k2/int(p.Ins), e/k2%int(p.Ins), e%k2)] = v
			}
			if !slices.EqualFunc(got, want, equal) {
				d.Fatalf("piece %d: %+v: not what was to be packed", n, p.Weights)
			}
		}

		slots, between := []int{5}, 5
		for _, size := range sizes {
			between += size
			slots = append(slots, between)
		}
		gradients := many(groups*between, uniform(d.random))
		unpacked := inAllOrders(d, 1, groups, func(g *gpu) (regions []region) {
			g.shared.Gradients, g.shared.GradientsBetween = put(g, gradients...), int64(between)
			var code []kernels.Unpacking
			for i, p := range list {
				p.Transposed = 0
				if p.OutBlock*lanes+p.Outs > p.OutBlocks*lanes || p.InBlock*lanes+p.Ins > p.InBlocks*lanes {
					p.Outs, p.Ins = p.Ins, p.Outs // fits if it was packed transposed
				}
				list[i].Weights = p.Weights
				r := room[float32](g, len(p.w))
				regions = append(regions, r)
				code = append(code, kernels.Unpacking{W: r.at, Slot: int64(slots[i]), At: p.Weights})
			}
			g.check(g.Launch("add_gradients", cuda.UnpackGeometry(len(code)), uint64(put(g, code...)), uint64(len(code)), uint64(put(g, g.shared))))
			return regions
		})
		for n, p := range list {
			for e, g := range as[float32](unpacked[n]) {
				k2 := int(p.K * p.K)
				var want float32
				for group := range groups {
					want += gradients[group*between+slots[n]+where(p.Weights, e/k2/int(p.Ins), e/k2%int(p.Ins), e%k2)]
				}
				if g != want {
					d.Fatalf("gradient %d, element %d: %v, want %v", n, e, g, want)
				}
			}
		}
	})
}

// ---- Vectors

func TestVectors(t *testing.T) {
	forCases(t, 6, func(d *draws) {
		n := d.oneOf("n", 1, 255, 256, 257, 5000, 30001)
		x, y, a := many(n, d.random.Float32), many(n, d.random.Float32), d.random.Float64()
		results := inAllOrders(d, 1, 1, func(g *gpu) []region {
			from, sum, scaled := put(g, x...), put(g, y...), put(g, y...)
			partial := room[float64](g, cuda.DotBlocks)
			g.check(g.Launch("vector_axpy", cuda.VectorGeometry(n), uint64(sum), math.Float64bits(a), uint64(from), uint64(n)))
			g.check(g.Launch("vector_dot", cuda.DotGeometry(), uint64(partial.at), uint64(from), uint64(scaled), uint64(n)))
			g.check(g.Launch("vector_scale", cuda.VectorGeometry(n), uint64(scaled), math.Float64bits(a), uint64(n)))
			return []region{{sum, 4 * n}, {scaled, 4 * n}, partial}
		})
		var want, got float64
		for i, g := range as[float32](results[0]) {
			if w := float64(y[i]) + a*float64(x[i]); !near(float64(g), w, 2, 22) {
				d.Fatalf("axpy: element %d: %v, want %v", i, g, w)
			}
			want += float64(x[i]) * float64(y[i])
		}
		for i, g := range as[float32](results[1]) {
			if w := a * float64(y[i]); !near(float64(g), w, 0, 22) {
				d.Fatalf("scale: element %d: %v, want %v", i, g, w)
			}
		}
		for _, p := range as[float64](results[2]) {
			got += p
		}
		if !near(got, want, float64(n), doubleBits) {
			d.Fatalf("dot: %v, want %v", got, want)
		}
	})
}
