// Package formula makes the networks and images of test problems that are not
// stored but computed, the same in every language: from SplitMix64 streams, one
// for each tensor.
package formula

import (
	"iter"
	"math"
	"slices"
	"strings"
)

// stream is the state of SplitMix64 (Steele, Lea and Flood, 2014).
type stream uint64

func (s *stream) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Uniform returns the first n numbers scale·u + shift of the stream of a seed,
// where u is the upper 53 bits of an output as a fraction, 0 ≤ u < 1.
func Uniform(seed, n int, scale, shift float64) []float64 {
	s := stream(seed)
	v := make([]float64, n)
	for i := range v {
		v[i] = scale*float64(s.next()>>11)/(1<<53) + shift
	}
	return v
}

// Weights returns values for the weight tensors of a supernet, given by name and shape, one
// after another: those of tensor k from the stream of seed+k, kernels and the classifier within
// ±1/√(fan in), weights of batch norms in 0.5..1.5, biases in ±0.2.
func Weights(tensors iter.Seq2[string, []int], seed int) []float64 {
	var parts [][]float64
	fanIn := 0
	for name, shape := range tensors {
		size := 1
		for _, d := range shape {
			size *= d
		}
		if len(shape) > 1 {
			fanIn = size / shape[0]
		}
		scale, shift := 1.0, 0.5
		switch bound := 1 / math.Sqrt(float64(fanIn)); {
		case len(shape) > 1, name == "classifier.bias":
			scale, shift = 2*bound, -bound
		case strings.HasSuffix(name, ".bias"):
			scale, shift = 0.4, -0.2
		}
		parts = append(parts, Uniform(seed+len(parts), size, scale, shift))
	}
	return slices.Concat(parts...)
}

// Pixels returns n images [N, 3, side, side] with values in -2..2.
func Pixels(seed, n, side int) []float64 { return Uniform(seed, n*3*side*side, 4, -2) }
