package steptime

import (
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/formula"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// The streams of the problem, see package formula. Other programs that are
// compared with this one use the same.
const (
	alphaSeed  = 500
	imageSeed  = 700
	weightSeed = 1000 // of the first tensor
	choiceSeed = 1    // of package random: the operations of sampled networks
)

// classes is the number of classes, as of CIFAR-10.
const classes = 10

// problem is what all steps work on: a network, architecture parameters and
// labelled images, all given by formula.
type problem struct {
	net    *supernet.Net
	search *recurrent.Search // in its place, on the space of recurrent cells
	space  *spaces.Space
	sgd    supernet.SGD

	weights, statistics []float64 // that every step starts from
	alphas, mixing      []float64
	gradient            []float64 // with respect to the mixing weights

	choices *rand.Rand // of operations, nil unless sampled

	images, hessianImages data.Batch
	directions            []int // of the last Hessian: the row of each
}

// auxiliary is the weight of the loss of the auxiliary head of a genotype's network: the
// paper's, where the network has room for one.
func (c Config) auxiliary() float64 {
	if c.Genotype == nil || c.Side != 32 || c.Cells < 4 {
		return 0
	}
	return 0.4
}

// newEvaluation is the problem of the network of a genotype.
func newEvaluation(c Config, e engine.Engine) (*problem, error) {
	net, err := supernet.New(supernet.Config{
		Evaluation: &supernet.Evaluation{Genotype: *c.Genotype, AuxiliaryWeight: c.auxiliary()},
		Channels:   c.Channels, Cells: c.Cells, Classes: classes, Side: c.Side, BatchNormMomentum: 0.1,
		Variant: supernet.Variant{DropPath: true, Partial: c.Partial, Sampled: c.Sampled},
	}, e)
	if err != nil {
		return nil, err
	}
	p := &problem{
		net:        net,
		sgd:        sgd,
		weights:    formula.Weights(net.Shapes(), weightSeed),
		statistics: make([]float64, net.StatisticsCount()),
		images:     newBatch(c.Batch, c.Side),
	}
	net.ReadStatistics(p.statistics)
	p.reset()
	return p, nil
}

func newProblem(c Config, e engine.Engine) (*problem, error) {
	if c.Genotype != nil {
		return newEvaluation(c, e)
	}
	if c.Space == rnn.Name {
		return newLanguage(c, e)
	}
	space, err := spaces.Get(c.Space)
	if err != nil {
		return nil, err
	}
	net, err := supernet.New(supernet.Config{
		Space: space, Channels: c.Channels, Cells: c.Cells, Classes: classes,
		Side: c.Side, BatchNormMomentum: 0.997,
		Variant: supernet.Variant{Partial: c.Partial, Sampled: c.Sampled},
	}, e)
	if err != nil {
		return nil, err
	}
	d := net.Config().MixingLen()
	p := &problem{
		net: net, space: space, sgd: sgd,
		weights:       formula.Weights(net.Shapes(), weightSeed),
		statistics:    make([]float64, net.StatisticsCount()),
		alphas:        formula.Uniform(alphaSeed, space.Dim(), 2, -1),
		mixing:        make([]float64, d),
		gradient:      make([]float64, d),
		images:        newBatch(c.Batch, c.Side),
		hessianImages: newBatch(c.HessianBatch, c.Side),
	}
	net.ReadStatistics(p.statistics)
	space.Softmax(p.mixing, p.alphas)
	p.reset()
	return p, nil
}

// nextMixing is the mixing vector of the next pass. If the network is sampled, it
// picks an operation for each block and weighs all edges alike.
func (p *problem) nextMixing() []float64 {
	if p.choices == nil {
		return p.mixing
	}
	even := make([]float64, p.space.Dim())
	p.space.Softmax(even, even)
	for at := 0; at < len(p.mixing); at += len(even) {
		cell := p.mixing[at : at+len(even)]
		copy(cell, even)
		for _, row := range p.space.Rows() {
			if row.Kind == spaces.OperationRow {
				clear(cell[row.Offset:row.End()])
				cell[row.Offset+p.choices.IntN(len(row.Candidates))] = 1
			}
		}
	}
	return p.mixing
}

func newBatch(n, side int) data.Batch {
	b := data.Batch{N: n, Side: side, Images: formula.Pixels(imageSeed, n, side), Labels: make([]int, n), Serial: data.NewSerial()}
	for i := range b.Labels {
		b.Labels[i] = i % classes
	}
	return b
}

// supernet is the network as algorithms see it.
func (p *problem) supernet() algorithms.Supernet {
	if p.search != nil {
		return p.search
	}
	return p.net
}

// reset makes the network what it was at first.
func (p *problem) reset() {
	if p.search != nil {
		p.resetLanguage()
		return
	}
	p.net.WriteParameters(p.weights)
	p.net.WriteMomentum(make([]float64, len(p.weights)))
	p.net.WriteStatistics(p.statistics)
	if p.net.Config().Sampled {
		p.net.WriteTouched(make([]bool, len(p.net.Parameters())))
		p.choices = random.New(choiceSeed, "bench: choices")
	}
}
