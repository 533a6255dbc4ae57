package ref

import "github.com/nb1shot/nb1shot/internal/graph"

// run is a contiguous piece of a channel's slab and the piece that a tap of the
// window shifts onto it.
type run struct{ tap, dst, src, len int }

// piece is about how many elements are worked on at once, so that they stay in
// the nearest cache while the input channels are added up.
const piece = 1024

// runs lists the pieces of a K×K window's taps over a slab [h, w, n], row after
// row. Zero padding of (k-1)/2 means that what falls outside is left out.
func runs(h, w, n, k int) []run {
	var list []run
	if k == 1 { // no shift: any cut will do
		for at := 0; at < h*w*n; at += piece {
			list = append(list, run{0, at, at, min(piece, h*w*n-at)})
		}
		return list
	}
	for y := range h {
		for tap := range k * k {
			dy, dx := tap/k-k/2, tap%k-k/2
			x0, x1 := max(0, -dx), min(w, w-dx)
			if y+dy < 0 || y+dy >= h || x0 >= x1 {
				continue
			}
			list = append(list, run{tap, (y*w + x0) * n, ((y+dy)*w + x0 + dx) * n, (x1 - x0) * n})
		}
	}
	return list
}

// windowRuns lists the pieces of the slab of y that the taps of strided, dilated windows
// connect with pieces of that of x: dst is in y, src in x.
func windowRuns[T Float](x, y tensor[T], a graph.Attr) []run {
	n, _, h, w := x.dims()
	_, _, oh, ow := y.dims()
	var list []run
	for tap := range a.K * a.K {
		dy, dx := tap/a.K*a.D-a.P, tap%a.K*a.D-a.P
		for oy := range oh {
			iy := oy*a.S + dy
			if iy < 0 || iy >= h {
				continue
			}
			for ox := 0; ox < ow; ox++ {
				ix := ox*a.S + dx
				if ix < 0 || ix >= w {
					continue
				}
				r := run{tap, (oy*ow + ox) * n, (iy*w + ix) * n, n}
				if a.S == 1 { // the rest of the row at once
					r.len = (min(ow, w-dx) - ox) * n
					ox = ow
				}
				list = append(list, r)
			}
		}
	}
	return list
}

// conv computes the convolution of in with kernels [out, in, K, K].
func (e *Engine[T]) conv(out, in tensor[T], kernels []T, k int, list []run) {
	ins, taps := in.channels(), k*k
	e.split(out.channels(), len(out.data)*ins*taps, func(from, to int) {
		for o := from; o < to; o++ {
			dst := out.channel(o)
			clear(dst)
			w := kernels[o*ins*taps : (o+1)*ins*taps]
			for _, r := range list {
				d := dst[r.dst : r.dst+r.len]
				src := func(i int) []T { return in.channel(i)[r.src : r.src+r.len] }
				i := 0
				for ; i+4 <= ins; i += 4 {
					at := i*taps + r.tap
					axpy4(d, w[at], w[at+taps], w[at+2*taps], w[at+3*taps], src(i), src(i+1), src(i+2), src(i+3))
				}
				for ; i < ins; i++ {
					axpy(d, w[i*taps+r.tap], src(i))
				}
			}
		}
	})
}

// transposeKernels turns kernels [O, I, K, K] into those of the backward pass:
// [I, O, K, K] with the window flipped.
func transposeKernels[T Float](dst, src []T, outs, ins, k int) {
	taps := k * k
	for o := range outs {
		for i := range ins {
			for tap := range taps {
				dst[(i*outs+o)*taps+taps-1-tap] = src[(o*ins+i)*taps+tap]
			}
		}
	}
}

// convWeight computes the gradient of kernels [out, in, K, K] from the input x
// and the gradient g of the output.
func (e *Engine[T]) convWeight(kernels []T, x, g tensor[T], k int, list []run) {
	ins, taps := x.channels(), k*k
	e.split(g.channels(), len(g.data)*ins*taps, func(from, to int) {
		sums := make([]float64, ins*taps)
		for o := from; o < to; o++ {
			clear(sums)
			grad := g.channel(o)
			for _, r := range list {
				d := grad[r.dst : r.dst+r.len]
				src := func(i int) []T { return x.channel(i)[r.src : r.src+r.len] }
				i := 0
				for ; i+4 <= ins; i += 4 {
					s0, s1, s2, s3 := dot4(d, src(i), src(i+1), src(i+2), src(i+3))
					at := i*taps + r.tap
					sums[at] += float64(s0)
					sums[at+taps] += float64(s1)
					sums[at+2*taps] += float64(s2)
					sums[at+3*taps] += float64(s3)
				}
				for ; i < ins; i++ {
					sums[i*taps+r.tap] += dot(d, src(i))
				}
			}
			w := kernels[o*ins*taps : (o+1)*ins*taps]
			for i, s := range sums {
				w[i] = T(s)
			}
		}
	})
}

// axpy adds a·x to d.
func axpy[T Float](d []T, a T, x []T) {
	x = x[:len(d)]
	for i := range d {
		d[i] += a * x[i]
	}
}

// axpy4 adds four multiples at once: loads and stores of d, which bound the
// loop, are shared.
func axpy4[T Float](d []T, a0, a1, a2, a3 T, x0, x1, x2, x3 []T) {
	x0, x1, x2, x3 = x0[:len(d)], x1[:len(d)], x2[:len(d)], x3[:len(d)]
	for i := range d {
		d[i] += a0*x0[i] + a1*x1[i] + a2*x2[i] + a3*x3[i]
	}
}

// dot is the inner product, summed in float64.
func dot[T Float](a, b []T) (s float64) {
	b = b[:len(a)]
	for i, x := range a {
		s += float64(x) * float64(b[i])
	}
	return s
}

// dot4 is the inner products of d with four vectors, summed in T: the runs it
// is used on are short.
func dot4[T Float](d, x0, x1, x2, x3 []T) (s0, s1, s2, s3 T) {
	x0, x1, x2, x3 = x0[:len(d)], x1[:len(d)], x2[:len(d)], x3[:len(d)]
	for i, a := range d {
		s0 += a * x0[i]
		s1 += a * x1[i]
		s2 += a * x2[i]
		s3 += a * x3[i]
	}
	return s0, s1, s2, s3
}
