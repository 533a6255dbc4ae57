package supernet

import (
	"math"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/internal/graph"
)

// blueprint is a declared network: what it is made of, in the order in which the
// released code numbers it, and how to build its graph.
type blueprint struct {
	parameters []Tensor
	initials   []initial // of each parameter
	owners     []int     // of each parameter: the entry of its candidate, or always
	statistics []Tensor
	norms      []batchNorm
	candidates []int   // all entries of the mixing vector that belong to operations
	among      []int   // for each of them, how many there are to choose from
	droppable  int     // layers that drop path can scale, see dropped
	noises     []drawn // inputs of random numbers, in the order of the forward pass
	dropouts   []drawn // inputs of dropout, likewise
	constants  []constant
	flat       []int // parameters whose kernels cover the image, used as linear layers
	trained    []int // parameters on which the losses depend
	forward    layer // from images to logits
}

// layer adds its nodes to the graph of a network.
type layer func(net *network, x *graph.Node) *graph.Node

// initial is how a weight tensor starts: uniform within ±bound; or normal numbers of a
// deviation, those beyond two of them drawn again; or all entries equal.
type initial struct{ bound, deviation, value float64 }

// constant is an input that is always the same.
type constant struct {
	name   string
	shape  []int
	values []float64
}

// batchNorm is one batch normalisation: its part of the running statistics
// (means, then variances) and over how many positions of an image it averages.
type batchNorm struct {
	name                        string
	offset, channels, positions int
	momentum                    float64
	owner                       int // as blueprint.owners
}

// always is the owner of what belongs to no candidate.
const always = -1

// builder declares a network, once: its methods create weights, in the order of the
// calls, and return the layers that use them, which are applied in the order of the
// forward pass.
type builder struct {
	blueprint
	config Config
	owner  int // of what is being declared
}

// weight creates a weight tensor and returns its number.
func (b *builder) weight(name string, start initial, shape ...int) int {
	add(&b.parameters, name, shape...)
	b.initials = append(b.initials, start)
	b.owners = append(b.owners, b.owner)
	i := len(b.parameters) - 1
	b.trained = append(b.trained, i)
	return i
}

// uniform is PyTorch's default of convolutions and linear layers.
func uniform(fanIn int) initial { return initial{bound: 1 / math.Sqrt(float64(fanIn))} }

// conv is a k×k convolution of stride 1 that keeps the side.
func (b *builder) conv(name string, in, out, k int) layer {
	w := b.weight(name+".weight", uniform(in*k*k), out, in, k, k)
	return func(net *network, x *graph.Node) *graph.Node { return graph.NewConv(x, net.parameters[w]) }
}

// depthwise is a k×k convolution of each channel by itself, padded so that the side is
// divided by the stride.
func (b *builder) depthwise(name string, channels, k, stride, dilation int) layer {
	w := b.weight(name+".weight", uniform(k*k), channels, 1, k, k)
	return func(net *network, x *graph.Node) *graph.Node {
		return graph.NewDepthwise(x, net.parameters[w], stride, dilation*(k/2), dilation)
	}
}

// linear is a linear layer of one position.
func (b *builder) linear(name string, in, out int) layer {
	w := b.weight(name+".weight", uniform(in), out, in)
	bias := b.weight(name+".bias", uniform(in), out)
	return func(net *network, x *graph.Node) *graph.Node {
		return graph.NewShiftChannels(graph.NewConv(x, net.parameters[w]), net.parameters[bias])
	}
}

// cellNorm is the batch normalisation of an operation: in evaluation networks with scale
// and shift, in supernets without.
func (b *builder) cellNorm(name string, channels, side int) layer {
	norm := b.norm(name, channels, side, b.config.BatchNormMomentum)
	if b.config.Evaluation == nil {
		return norm
	}
	return chain(norm, b.affine(name, channels))
}

// norm is a batch normalisation without scale and shift.
func (b *builder) norm(name string, channels, side int, momentum float64) layer {
	bn := batchNorm{name: name, channels: channels, positions: side * side, momentum: momentum, owner: b.owner}
	if len(b.statistics) > 0 {
		bn.offset = size(b.statistics)
	}
	i := len(b.norms)
	b.norms = append(b.norms, bn)
	add(&b.statistics, name+".running_mean", channels)
	add(&b.statistics, name+".running_var", channels)
	return func(net *network, x *graph.Node) *graph.Node {
		if net.bn == BatchStatistics {
			net.stats[i] = graph.NewBatchStats(x)
			return graph.NewNormalize(x, net.stats[i])
		}
		return graph.NewNormalizeFixed(x, net.Input(name, graph.Parameter, 2, channels))
	}
}

// affine scales and shifts each channel.
func (b *builder) affine(name string, channels int) layer {
	scale := b.weight(name+".weight", initial{value: 1}, channels)
	shift := b.weight(name+".bias", initial{}, channels)
	return func(net *network, x *graph.Node) *graph.Node {
		return graph.NewShiftChannels(graph.NewScaleChannels(x, net.parameters[scale]), net.parameters[shift])
	}
}

// convolution is a k×k convolution, batch normalisation and ReLU, on images of a side.
func (b *builder) convolution(conv, norm string, in, out, k, side int) layer {
	return chain(
		b.conv(conv, in, out, k),
		b.norm(norm, out, side, b.config.BatchNormMomentum),
		b.affine(norm, out),
		relu)
}

// choice declares the operations of a choice block, whose mixing weights begin at an
// entry of the mixing vector. In a Sampled network the weights of an operation belong
// to its entry; if it has weights, drop path can scale it.
func (b *builder) choice(at int, declare ...func() layer) []layer {
	var operations []layer
	for i, f := range declare {
		b.candidates = append(b.candidates, at+i)
		b.among = append(b.among, len(declare))
		weights := len(b.parameters)
		b.owner = at + i
		operation := f()
		b.owner = always
		if len(b.parameters) > weights {
			operation = b.dropped(operation)
		}
		operations = append(operations, operation)
	}
	return operations
}

// dropped lets drop path scale a layer.
func (b *builder) dropped(l layer) layer {
	i := b.droppable
	b.droppable++
	return func(net *network, x *graph.Node) *graph.Node { return net.dropped(i, l(net, x)) }
}

// chain applies layers one after the other.
func chain(layers ...layer) layer {
	return func(net *network, x *graph.Node) *graph.Node {
		for _, l := range layers {
			x = l(net, x)
		}
		return x
	}
}

func relu(_ *network, x *graph.Node) *graph.Node { return graph.NewReLU(x) }

func mean(_ *network, x *graph.Node) *graph.Node { return graph.NewMean(x) }

// maxPool is a k×k max-pooling.
func maxPool(k, stride, padding int) layer {
	return func(_ *network, x *graph.Node) *graph.Node { return graph.NewMaxPool(x, k, stride, padding) }
}

// averagePool is a k×k average-pooling.
func averagePool(k, stride, padding int) layer {
	return func(_ *network, x *graph.Node) *graph.Node { return graph.NewAveragePool(x, k, stride, padding) }
}

// initialize draws the weights as PyTorch's defaults do.
func (b *blueprint) initialize(r *rand.Rand) []float64 {
	weights := make([]float64, size(b.parameters))
	for i, t := range b.parameters {
		part, start := weights[t.Offset:t.Offset+t.Size], b.initials[i]
		for k := range part {
			part[k] = start.value
			switch {
			case start.bound > 0:
				part[k] = start.bound * (2*r.Float64() - 1)
			case start.deviation > 0:
				part[k] = start.deviation * truncatedNormal(r)
			}
		}
	}
	return weights
}

// truncatedNormal draws a normal number of at most two standard deviations.
func truncatedNormal(r *rand.Rand) float64 {
	for {
		if x := r.NormFloat64(); math.Abs(x) <= 2 {
			return x
		}
	}
}
