package bench

import (
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// The streams of the problem, see package formula. Other programs that are
// compared with this one use the same.
const (
	alphaSeed  = 500
	imageSeed  = 700
	weightSeed = 1000 // of the first tensor
)

// problem is what all steps work on: a network, architecture parameters and
// labelled images, all given by formula.
type problem struct {
	net   *supernet.Net
	space *spaces.Space

	weights, statistics []float64 // that every step starts from
	alphas, mixing      []float64
	gradient            []float64 // by the mixing weights

	images, hessianImages data.Batch
	directions            int // of the last Hessian
}

func newProblem(c Config, e engine.Engine) (*problem, error) {
	space, err := spaces.Get(c.Space)
	if err != nil {
		return nil, err
	}
	net, err := supernet.New(supernet.Config{
		Space: space, Channels: c.Channels, Cells: c.Cells, Classes: data.Classes,
		Side: c.Side, BatchNormMomentum: 0.997, Variant: supernet.Variant{Partial: c.Partial},
	}, e)
	if err != nil {
		return nil, err
	}
	d := space.Dim()
	p := &problem{
		net: net, space: space,
		weights:       formula.Weights(net.Parameters(), weightSeed),
		statistics:    make([]float64, net.StatisticsCount()),
		alphas:        formula.Uniform(alphaSeed, d, 2, -1),
		mixing:        make([]float64, d),
		gradient:      make([]float64, d),
		images:        newBatch(c.Batch, c.Side),
		hessianImages: newBatch(c.HessianBatch, c.Side),
	}
	net.ReadStatistics(p.statistics)
	space.Softmax(p.mixing, p.alphas)
	return p, nil
}

func newBatch(n, side int) data.Batch {
	b := data.Batch{N: n, Side: side, Images: formula.Images(imageSeed, n, side), Labels: make([]int, n)}
	for i := range b.Labels {
		b.Labels[i] = i % data.Classes
	}
	return b
}

// reset makes the network what it was at first.
func (p *problem) reset() {
	p.net.WriteParameters(p.weights)
	p.net.WriteMomentum(make([]float64, len(p.weights)))
	p.net.WriteStatistics(p.statistics)
}
