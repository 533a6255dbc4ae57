package ref

import (
	"math"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// recurrentKernel returns the kernel of an operation that language models need, or nil for
// another one.
func (e *Engine[T]) recurrentKernel(kind graph.Kind, a graph.Attr, in []tensor[T], out tensor[T]) func() {
	// entrywise computes each entry from those of the operands at its place.
	entrywise := func(f func(i int) T) func() {
		return func() {
			e.split(len(out.data), len(out.data), func(from, to int) {
				for i := from; i < to; i++ {
					out.data[i] = f(i)
				}
			})
		}
	}
	switch kind {
	case graph.Sigmoid:
		x := in[0].data
		return entrywise(func(i int) T { return T(1 / (1 + math.Exp(-float64(x[i])))) })
	case graph.SigmoidBack:
		y, g := in[0].data, in[1].data
		return entrywise(func(i int) T { return g[i] * y[i] * (1 - y[i]) })
	case graph.SigmoidBackBack:
		y, g, u := in[0].data, in[1].data, in[2].data
		return entrywise(func(i int) T { return u[i] * g[i] * (1 - 2*y[i]) })
	case graph.Tanh:
		x := in[0].data
		return entrywise(func(i int) T { return T(math.Tanh(float64(x[i]))) })
	case graph.TanhBack:
		y, g := in[0].data, in[1].data
		return entrywise(func(i int) T { return g[i] * (1 - y[i]*y[i]) })
	case graph.TanhBackBack:
		y, g, u := in[0].data, in[1].data, in[2].data
		return entrywise(func(i int) T { return -2 * u[i] * g[i] * y[i] })
	case graph.Multiply:
		x, y := in[0].data, in[1].data
		return entrywise(func(i int) T { return x[i] * y[i] })

	case graph.WeightedSum: // of rows with weights of their own
		mixing, xs := in[0].data, in[1:]
		return e.each(out, func(c int) {
			clear(out.channel(c))
			for r := range out.shape[2] {
				dst := out.row(c, r)
				for j, x := range xs {
					axpy(dst, mixing[a.At+r*a.S+j], x.row(c, r))
				}
			}
		})
	case graph.InnerProducts:
		g, xs := in[0], in[1:]
		rows := g.shape[2]
		perChannel := make([]float64, g.channels()*rows*len(xs))
		products := e.each(g, func(c int) {
			for r := range rows {
				for j, x := range xs {
					perChannel[(c*rows+r)*len(xs)+j] = dot(g.row(c, r), x.row(c, r))
				}
			}
		})
		return func() {
			products()
			clear(out.data)
			for r := range rows {
				for j := range xs {
					var s float64
					for c := range g.channels() {
						s += perChannel[(c*rows+r)*len(xs)+j]
					}
					out.data[a.At+r*a.S+j] = T(s)
				}
			}
		}

	case graph.Rows:
		x := in[0]
		return e.each(out, func(c int) { copy(out.channel(c), x.channel(c)[a.From*len(x.row(c, 0)):]) })
	case graph.PadRows:
		x := in[0]
		return e.each(out, func(c int) {
			dst := out.channel(c)
			clear(dst)
			copy(dst[a.From*len(x.row(c, 0)):], x.channel(c))
		})
	case graph.StackRows:
		return e.each(out, func(c int) {
			at := 0
			for _, x := range in {
				at += copy(out.channel(c)[at:], x.channel(c))
			}
		})

	case graph.Embedding, graph.EmbeddingTake:
		w, numbers, size := in[0].data, in[1].data, out.channels()
		return e.each(out, func(c int) {
			dst := out.channel(c)
			for i, v := range numbers {
				dst[i] = w[int(v)*size+c]
				if kind == graph.EmbeddingTake && int(v) == a.At {
					dst[i] = 0
				}
			}
		})
	case graph.EmbeddingBack:
		numbers, g := in[0].data, in[1]
		size := g.channels()
		sums := e.each(g, func(c int) {
			src := g.channel(c)
			for i, v := range numbers {
				if int(v) != a.At {
					out.data[int(v)*size+c] += src[i]
				}
			}
		})
		return func() {
			clear(out.data)
			sums()
		}

	case graph.MeanProduct:
		x, y := in[0], in[1]
		return func() {
			var s float64
			for c := range x.channels() {
				s += dot(x.channel(c), y.channel(c))
			}
			out.data[0] = T(s / float64(len(x.data)))
		}
	case graph.Spread:
		s, x := in[0].data, in[1].data
		return entrywise(func(i int) T { return s[0] * x[i] / T(len(x)) })

	case graph.SparseCrossEntropy, graph.SparseCrossEntropyBack, graph.SparseCrossEntropyBackBack, graph.SparseCrossEntropyDot:
		return sparseCrossEntropy(kind, in, out)
	}
	return nil
}

// row is row r of channel c, all columns and images.
func (t tensor[T]) row(c, r int) []T {
	n := t.slab / t.shape[2]
	return t.data[c*t.slab+r*n : c*t.slab+(r+1)*n]
}

// sparseCrossEntropy is crossEntropy with the numbers of classes for labels, at every position.
func sparseCrossEntropy[T Float](kind graph.Kind, in []tensor[T], out tensor[T]) func() {
	logits := in[0]
	classes, n := logits.channels(), float64(logits.slab)
	p := make([]float64, classes)
	// column is the entry of class c at position i
	column := func(t tensor[T], c, i int) float64 { return float64(t.data[c*t.slab+i]) }
	return func() {
		var total float64
		for i := range logits.slab {
			logSum := softmax(p, func(c int) float64 { return column(logits, c, i) })
			switch kind {
			case graph.SparseCrossEntropy:
				total += (logSum - column(logits, int(in[1].data[i]), i)) / n
			case graph.SparseCrossEntropyBack:
				s := float64(in[2].data[0])
				for c := range p {
					out.data[c*out.slab+i] = T(s * p[c] / n)
				}
				right := int(in[1].data[i])
				out.data[right*out.slab+i] = T(s * (p[right] - 1) / n)
			case graph.SparseCrossEntropyBackBack:
				s, u := float64(in[1].data[0]), in[2]
				var pu float64
				for c := range p {
					pu += p[c] * column(u, c, i)
				}
				for c := range p {
					out.data[c*out.slab+i] = T(s * p[c] * (column(u, c, i) - pu) / n)
				}
			case graph.SparseCrossEntropyDot:
				u := in[2]
				for c := range p {
					total += p[c] * column(u, c, i) / n
				}
				total -= column(u, int(in[1].data[i]), i) / n
			}
		}
		if len(out.shape) == 0 {
			out.data[0] = T(total)
		}
	}
}
