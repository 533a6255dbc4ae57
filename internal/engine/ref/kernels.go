package ref

import (
	"fmt"
	"math"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// kernel returns the function that computes one step. The operands are those
// that the graph package lists beside each kind.
func (e *Engine[T]) kernel(kind graph.Kind, a graph.Attr, in []tensor[T], out tensor[T]) (func(), error) {
	switch kind {
	case graph.Conv:
		x, w := in[0], in[1]
		list := runsOf(x, a.K)
		return func() { e.conv(out, x, w.data, a.K, list) }, nil
	case graph.ConvData:
		w, g := in[0], in[1]
		list := runsOf(g, a.K)
		flipped := make([]T, len(w.data))
		return func() {
			transposeKernels(flipped, w.data, w.shape[0], w.shape[1], a.K)
			e.conv(out, g, flipped, a.K, list)
		}, nil
	case graph.ConvWeight:
		x, g := in[0], in[1]
		list := runsOf(x, a.K)
		return func() { e.convWeight(out.data, x, g, a.K, list) }, nil

	case graph.Depthwise:
		x, w := in[0], in[1].data
		list := windowRuns(x, out, a)
		return e.depthwise(x, out, len(list), func(c int) {
			src, dst := x.channel(c), out.channel(c)
			clear(dst)
			for _, r := range list {
				axpy(dst[r.dst:r.dst+r.len], w[c*a.K*a.K+r.tap], src[r.src:])
			}
		}), nil
	case graph.DepthwiseData:
		w, g := in[0].data, in[1]
		list := windowRuns(out, g, a)
		return e.depthwise(out, g, len(list), func(c int) {
			dst, src := out.channel(c), g.channel(c)
			clear(dst)
			for _, r := range list {
				axpy(dst[r.src:r.src+r.len], w[c*a.K*a.K+r.tap], src[r.dst:])
			}
		}), nil
	case graph.DepthwiseWeight:
		x, g := in[0], in[1]
		list, taps := windowRuns(x, g, a), a.K*a.K
		sums := make([]float64, x.channels()*taps)
		return e.depthwise(x, g, len(list), func(c int) {
			src, grad, s := x.channel(c), g.channel(c), sums[c*taps:(c+1)*taps]
			clear(s)
			for _, r := range list {
				s[r.tap] += dot(grad[r.dst:r.dst+r.len], src[r.src:])
			}
			for i, v := range s {
				out.data[c*taps+i] = T(v)
			}
		}), nil

	case graph.AveragePool:
		x := in[0]
		return e.pool(a, x, out, func(c, at int, windows []int, n int) {
			src, dst := x.channel(c), out.channel(c)[at:at+n]
			clear(dst)
			for _, w := range windows {
				axpy(dst, 1/T(len(windows)), src[w:])
			}
		}), nil
	case graph.AveragePoolBack:
		g := in[0]
		scatter := e.pool(a, out, g, func(c, at int, windows []int, n int) {
			dst, src := out.channel(c), g.channel(c)[at:]
			for _, w := range windows {
				axpy(dst[w:w+n], 1/T(len(windows)), src)
			}
		})
		return func() {
			clear(out.data)
			scatter()
		}, nil
	case graph.Subsample:
		x := in[0]
		return e.every(a, x, out, func(large, small []T) { copy(small, large) }), nil
	case graph.SubsampleBack:
		spread := e.every(a, out, in[0], func(large, small []T) { copy(large, small) })
		return func() {
			clear(out.data)
			spread()
		}, nil

	case graph.MaxPool:
		x := in[0]
		return e.pool(a, x, out, func(c, at int, windows []int, n int) {
			src, dst := x.channel(c), out.channel(c)[at:at+n]
			copy(dst, src[windows[0]:])
			for _, w := range windows[1:] {
				larger(dst, src[w:w+n])
			}
		}), nil
	case graph.MaxPoolTake:
		x, u := in[0], in[1]
		return e.pool(a, x, out, func(c, at int, windows []int, n int) {
			src, from, dst := x.channel(c), u.channel(c), out.channel(c)[at:at+n]
			for i := range dst {
				dst[i] = from[largest(src, windows, i)]
			}
		}), nil
	case graph.MaxPoolBack:
		x, g := in[0], in[1]
		scatter := e.pool(a, x, g, func(c, at int, windows []int, n int) {
			src, dst, from := x.channel(c), out.channel(c), g.channel(c)[at:at+n]
			for i, v := range from {
				dst[largest(src, windows, i)] += v
			}
		})
		return func() {
			clear(out.data)
			scatter()
		}, nil

	case graph.BatchStats:
		x := in[0]
		mean, variance := halves(out)
		return e.each(x, func(c int) {
			m, v := moments(x.channel(c))
			mean[c], variance[c] = T(m), T(v)
		}), nil
	case graph.Normalize, graph.NormalizeFixed:
		x, stats := in[0], in[1]
		return e.each(x, func(c int) {
			m, r := meanAndScale(stats, c)
			shiftScale(out.channel(c), x.channel(c), T(m), T(r))
		}), nil
	case graph.ScaleFixed:
		g, stats := in[0], in[1]
		return e.each(g, func(c int) {
			_, r := meanAndScale(stats, c)
			shiftScale(out.channel(c), g.channel(c), 0, T(r))
		}), nil
	case graph.NormalizeBack:
		x, stats, g := in[0], in[1], in[2]
		return e.each(x, func(c int) { normalizeBack(out.channel(c), x.channel(c), stats, c, g.channel(c)) }), nil
	case graph.NormalizeBackBack:
		x, stats, g, u := in[0], in[1], in[2], in[3]
		return e.each(x, func(c int) {
			normalizeBackBack(out.channel(c), x.channel(c), stats, c, g.channel(c), u.channel(c))
		}), nil

	case graph.ScaleChannels:
		x, w := in[0], in[1]
		return e.each(x, func(c int) { shiftScale(out.channel(c), x.channel(c), 0, w.data[c]) }), nil
	case graph.ShiftChannels:
		x, w := in[0], in[1]
		return e.each(x, func(c int) { shiftScale(out.channel(c), x.channel(c), -w.data[c], 1) }), nil
	case graph.DotChannels:
		x, g := in[0], in[1]
		return e.each(x, func(c int) { out.data[c] = T(dot(x.channel(c), g.channel(c))) }), nil
	case graph.SumChannels:
		x := in[0]
		return e.each(x, func(c int) { out.data[c] = T(sum(x.channel(c))) }), nil
	case graph.FillChannels:
		w := in[0]
		return e.each(out, func(c int) { fill(out.channel(c), w.data[c]) }), nil

	case graph.ReLU:
		x := in[0]
		return e.each(x, func(c int) { relu(out.channel(c), x.channel(c)) }), nil
	case graph.ReLUBack:
		y, g := in[0], in[1]
		return e.each(y, func(c int) { reluBack(out.channel(c), y.channel(c), g.channel(c)) }), nil

	case graph.WeightedSum:
		if a.S > 0 {
			break
		}
		mixing, xs := in[0].data[a.At:], in[1:]
		return e.each(out, func(c int) {
			dst := out.channel(c)
			clear(dst)
			for j, x := range xs {
				axpy(dst, mixing[j], x.channel(c))
			}
		}), nil
	case graph.InnerProducts:
		if a.S > 0 {
			break
		}
		g, xs := in[0], in[1:]
		perChannel := make([]float64, g.channels()*len(xs))
		products := e.each(g, func(c int) {
			for j, x := range xs {
				perChannel[c*len(xs)+j] = dot(g.channel(c), x.channel(c))
			}
		})
		return func() {
			products()
			clear(out.data)
			for j := range xs {
				var s float64
				for c := range g.channels() {
					s += perChannel[c*len(xs)+j]
				}
				out.data[a.At+j] = T(s)
			}
		}, nil

	case graph.Add:
		return func() {
			e.split(len(out.data), len(out.data)*len(in), func(from, to int) {
				dst := out.data[from:to]
				copy(dst, in[0].data[from:to])
				for _, x := range in[1:] {
					axpy(dst, 1, x.data[from:to])
				}
			})
		}, nil
	case graph.Concat:
		return func() {
			at := 0
			for _, x := range in {
				at += copy(out.data[at:], x.data)
			}
		}, nil
	case graph.Slice:
		return func() { copy(out.data, in[0].data[a.From*len(out.channel(0)):]) }, nil
	case graph.Pad:
		return func() {
			clear(out.data)
			copy(out.data[a.From*len(out.channel(0)):], in[0].data)
		}, nil

	case graph.Shuffle:
		x, size := in[0], in[0].channels()/a.K // of a group
		return e.each(out, func(c int) { copy(out.channel(c), x.channel(c%a.K*size+c/a.K)) }), nil
	case graph.ScaleImages:
		x, d := in[0], in[1].data
		return e.each(x, func(c int) {
			src, dst := x.channel(c), out.channel(c)
			for i, v := range src {
				dst[i] = v * d[i%len(d)]
			}
		}), nil

	case graph.Mask:
		x, m := in[0], in[1]
		return e.each(x, func(c int) {
			src, mask, dst := x.channel(c), m.channel(c), out.channel(c)
			for i, v := range src {
				dst[i] = v * mask[i]
			}
		}), nil

	case graph.Mean:
		x := in[0]
		batch := x.shape[0]
		return e.each(x, func(c int) {
			positions(x.channel(c), batch, out.channel(c))
		}), nil
	case graph.MeanBack:
		g := in[0]
		_, _, h, w := out.dims()
		return e.each(out, func(c int) {
			dst, src := out.channel(c), g.channel(c)
			for p := range h * w {
				shiftScale(dst[p*len(src):(p+1)*len(src)], src, 0, 1/T(h*w))
			}
		}), nil

	case graph.CrossEntropy, graph.CrossEntropyBack, graph.CrossEntropyBackBack, graph.CrossEntropyDot:
		return crossEntropy(kind, in, out), nil
	}
	if run := e.recurrentKernel(kind, a, in, out); run != nil {
		return run, nil
	}
	return nil, fmt.Errorf("compile: reference engine has no kernel for %s", kind)
}

func runsOf[T Float](x tensor[T], k int) []run {
	n, _, h, w := x.dims()
	return runs(h, w, n, k)
}

// each returns a function that calls do for every channel of x.
func (e *Engine[T]) each(x tensor[T], do func(c int)) func() {
	return func() {
		e.split(x.channels(), len(x.data), func(from, to int) {
			for c := from; c < to; c++ {
				do(c)
			}
		})
	}
}

// depthwise returns a function that calls do for every channel c of x and y, which
// windows connect in a number of runs.
func (e *Engine[T]) depthwise(x, y tensor[T], runs int, do func(c int)) func() {
	work := runs * y.slab / max(1, y.shape[2]) // at most: a run is a row
	return func() {
		e.split(x.channels(), x.channels()*work, func(from, to int) {
			for c := from; c < to; c++ {
				do(c)
			}
		})
	}
}

// every calls do with the images at each row and column of x that a subsampling takes,
// and with those at the place of y where they go.
func (e *Engine[T]) every(a graph.Attr, x, y tensor[T], do func(x, y []T)) func() {
	n, _, _, w := x.dims()
	_, _, oh, ow := y.dims()
	return e.each(y, func(c int) {
		large, small := x.channel(c), y.channel(c)
		for oy := range oh {
			for ox := range ow {
				from, to := ((a.From+oy*a.S)*w+a.From+ox*a.S)*n, (oy*ow+ox)*n
				do(large[from:from+n], small[to:to+n])
			}
		}
	})
}

// pool calls do for every channel c and every window of a pooling of x to y. The
// window's element of y for image 0 is at in y's slab; those of x in its slab are
// listed in row-major order, so that the first of equal ones is the maximum. The
// other images of the batch follow each of them, n in all.
func (e *Engine[T]) pool(a graph.Attr, x, y tensor[T], do func(c, at int, windows []int, n int)) func() {
	n, _, h, w := x.dims()
	_, _, oh, ow := y.dims()
	var windows [][]int
	for oy := range oh {
		for ox := range ow {
			var window []int
			for iy := max(0, oy*a.S-a.P); iy < min(h, oy*a.S-a.P+a.K); iy++ {
				for ix := max(0, ox*a.S-a.P); ix < min(w, ox*a.S-a.P+a.K); ix++ {
					window = append(window, (iy*w+ix)*n)
				}
			}
			windows = append(windows, window)
		}
	}
	return func() {
		e.split(x.channels(), len(y.data)*a.K*a.K, func(from, to int) {
			for c := from; c < to; c++ {
				for i, window := range windows {
					do(c, i*n, window, n)
				}
			}
		})
	}
}

// largest returns where in the window the maximum of image i is.
func largest[T Float](src []T, window []int, i int) int {
	best := window[0] + i
	top := src[best]
	for _, w := range window[1:] {
		if v := src[w+i]; v > top {
			best, top = w+i, v
		}
	}
	return best
}

// larger raises the entries of d to those of x.
func larger[T Float](d, x []T) {
	x = x[:len(d)]
	for i := range d {
		if x[i] > d[i] {
			d[i] = x[i]
		}
	}
}

func halves[T Float](stats tensor[T]) (mean, variance []T) {
	c := stats.shape[1]
	return stats.data[:c], stats.data[c:]
}

// meanAndScale returns the mean of channel c and 1/√(variance + Eps).
func meanAndScale[T Float](stats tensor[T], c int) (mean, scale float64) {
	m, v := halves(stats)
	return float64(m[c]), 1 / math.Sqrt(float64(v[c])+graph.Eps)
}

func sum[T Float](x []T) (s float64) {
	for _, v := range x {
		s += float64(v)
	}
	return s
}

func moments[T Float](x []T) (mean, variance float64) {
	mean = sum(x) / float64(len(x))
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, variance / float64(len(x))
}

// shiftScale sets d to (x - shift)·scale.
func shiftScale[T Float](d, x []T, shift, scale T) {
	x = x[:len(d)]
	for i := range d {
		d[i] = (x[i] - shift) * scale
	}
}

func fill[T Float](d []T, v T) {
	for i := range d {
		d[i] = v
	}
}

func relu[T Float](d, x []T) {
	x = x[:len(d)]
	for i := range d {
		d[i] = max(x[i], 0)
	}
}

func reluBack[T Float](d, y, g []T) {
	y, g = y[:len(d)], g[:len(d)]
	for i := range d {
		if y[i] > 0 {
			d[i] = g[i]
		} else {
			d[i] = 0
		}
	}
}

// normalizeBack is r·(g - mean(g) - x̂·mean(g·x̂)), x̂ = (x - m)·r.
func normalizeBack[T Float](d, x []T, stats tensor[T], c int, g []T) {
	m, r := meanAndScale(stats, c)
	var sg, sgx float64
	g = g[:len(x)]
	for i, v := range x {
		gi := float64(g[i])
		sg += gi
		sgx += gi * (float64(v) - m)
	}
	n := float64(len(x))
	mean, scale := T(m), T(r)
	shift, slope := T(r*sg/n), T(r*r*r*sgx/n)
	d, g = d[:len(x)], g[:len(x)]
	for i, v := range x {
		d[i] = scale*g[i] - shift - slope*(v-mean)
	}
}

// normalizeBackBack is the gradient with respect to x of ⟨u, normalizeBack(x, g)⟩.
// With means written ⟨·⟩, that inner product is r·M·q, where M is the number of
// elements and q = ⟨ug⟩ - ⟨u⟩⟨g⟩ - ⟨ux̂⟩⟨gx̂⟩.
func normalizeBackBack[T Float](d, x []T, stats tensor[T], c int, g, u []T) {
	m, r := meanAndScale(stats, c)
	n := float64(len(x))
	var mg, mu, mgx, mux, mug float64
	for i, v := range x {
		xi, gi, ui := (float64(v)-m)*r, float64(g[i]), float64(u[i])
		mg += gi / n
		mu += ui / n
		mgx += gi * xi / n
		mux += ui * xi / n
		mug += ui * gi / n
	}
	q := mug - mu*mg - mux*mgx
	for i, v := range x {
		xi := (float64(v) - m) * r
		du := (float64(u[i]) - mu - xi*mux) * mgx
		dg := (float64(g[i]) - mg - xi*mgx) * mux
		d[i] = T(-r * r * (xi*q + du + dg))
	}
}

// positions sets mean[i] to the mean of image i over the positions of a slab.
func positions[T Float](x []T, batch int, mean []T) {
	n := len(x) / batch
	for i := range batch {
		var s float64
		for p := range n {
			s += float64(x[p*batch+i])
		}
		mean[i] = T(s / float64(n))
	}
}
