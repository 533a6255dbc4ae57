package ref

import (
	"math"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// crossEntropy returns the kernel of the loss or of one of its derivatives. The
// arithmetic is in float64: there is little of it, and everything else hangs on it.
func crossEntropy[T Float](kind graph.Kind, in []tensor[T], out tensor[T]) func() {
	logits := in[0]
	batch, classes := logits.shape[0], logits.shape[1]
	n := float64(batch)
	p := make([]float64, classes)
	// column is the entry of class c of image i
	column := func(t tensor[T], c, i int) float64 { return float64(t.data[c*batch+i]) }
	return func() {
		var total float64
		for i := range batch {
			logSum := softmax(p, func(c int) float64 { return column(logits, c, i) })
			switch kind {
			case graph.CrossEntropy:
				labels := in[1]
				for c := range p {
					total += column(labels, c, i) * (logSum - column(logits, c, i)) / n
				}
			case graph.CrossEntropyBack:
				labels, s := in[1], float64(in[2].data[0])
				for c := range p {
					out.data[c*batch+i] = T(s * (p[c] - column(labels, c, i)) / n)
				}
			case graph.CrossEntropyBackBack:
				s, u := float64(in[1].data[0]), in[2]
				var pu float64
				for c := range p {
					pu += p[c] * column(u, c, i)
				}
				for c := range p {
					out.data[c*batch+i] = T(s * p[c] * (column(u, c, i) - pu) / n)
				}
			case graph.CrossEntropyDot:
				labels, u := in[1], in[2]
				for c := range p {
					total += (p[c] - column(labels, c, i)) * column(u, c, i) / n
				}
			}
		}
		if len(out.shape) == 0 {
			out.data[0] = T(total)
		}
	}
}

// softmax fills p and returns the logarithm of the sum of exponentials.
func softmax(p []float64, logit func(c int) float64) (logSum float64) {
	top := math.Inf(-1)
	for c := range p {
		top = max(top, logit(c))
	}
	var s float64
	for c := range p {
		p[c] = math.Exp(logit(c) - top)
		s += p[c]
	}
	for c := range p {
		p[c] /= s
	}
	return top + math.Log(s)
}
