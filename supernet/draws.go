package supernet

import (
	"fmt"
	"runtime"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/random"
)

// drawn is an input of random numbers: for each image of the batch so many channels of
// side × side.
type drawn struct{ channels, side int }

func (d drawn) size() int { return d.channels * d.side * d.side }

func inputNoise(i int) string   { return fmt.Sprint("noise.", i) }
func inputDropout(i int) string { return fmt.Sprint("dropout.", i) }

// noise is an operation without input: standard normal numbers, drawn anew for every
// forward pass, in training and in evaluation mode (quirk C11).
func (b *builder) noise(channels, side int) layer {
	i := len(b.noises)
	b.noises = append(b.noises, drawn{channels, side})
	return func(net *network, x *graph.Node) *graph.Node {
		return net.Input(inputNoise(i), graph.Activation, x.Shape()[0], channels, side, side)
	}
}

// dropout lets x pass. In a network with dropout the passes that train drop entries of
// it, see Net.SetDropout.
func (b *builder) dropout(channels, side int) layer {
	if !b.config.Dropout {
		return func(_ *network, x *graph.Node) *graph.Node { return x }
	}
	i := len(b.dropouts)
	b.dropouts = append(b.dropouts, drawn{channels, side})
	return func(net *network, x *graph.Node) *graph.Node {
		if !net.dropout {
			return x
		}
		return graph.NewMask(x, net.Input(inputDropout(i), graph.Activation, x.Shape()[0], channels, side, side))
	}
}

// draws is where a network's random numbers come from.
type draws struct {
	seed    uint64
	purpose string
	index   []uint64
	pass    uint64 // since SetDraws
	held    bool   // the next pass takes the numbers of the last one
	dropout float64

	replay Replay
	noise  map[int][]engine.Vector // by batch
}

// Replay fills in the random numbers of a network in the order in which its passes need
// them, one call for each operation that draws, in place of the seeded streams, so that
// a recorded run can be replayed.
type Replay struct {
	Noise   func(dst []float64) // N×C×H×W numbers of a noise operation
	Dropout func(dst []float64) // N×C×H×W numbers in [0,1); those below the probability drop their entry
}

// SetReplay replaces the seeded streams.
func (n *Net) SetReplay(r Replay) { n.draws.replay = r }

// SetDraws names the streams of the noise and of the dropout masks of the following
// passes, which are numbered from here on. So a step draws the same numbers whenever it
// is made.
func (n *Net) SetDraws(seed uint64, purpose string, index ...uint64) {
	n.draws.seed, n.draws.purpose, n.draws.index, n.draws.pass, n.draws.held = seed, purpose, index, 0, false
}

// HoldDraws lets the next pass use the noise and the masks of the last one, which must
// have had as many images.
func (n *Net) HoldDraws() { n.draws.held = true }

// SetDropout sets the probability with which the following passes that train drop each
// entry of an identity skip, in [0,1). It has no effect unless Config.Dropout is set.
func (n *Net) SetDropout(p float64) { n.draws.dropout = p }

// dropsOut tells whether a program has dropout.
func (n *Net) dropsOut(k key) bool {
	return n.config.Dropout && k.bn == BatchStatistics && k.task != forward
}

// bindDraws gives a program its inputs of random numbers.
func (n *Net) bindDraws(p *program, k key, inputs map[string]engine.Vector) {
	if len(n.noises) > 0 {
		if n.draws.noise[k.batch] == nil {
			if n.draws.noise == nil {
				n.draws.noise = map[int][]engine.Vector{}
			}
			for _, d := range n.noises {
				n.draws.noise[k.batch] = append(n.draws.noise[k.batch], n.engine.NewVector(k.batch*d.size()))
			}
		}
		for i, v := range n.draws.noise[k.batch] {
			inputs[inputNoise(i)] = v
		}
	}
	if n.dropsOut(k) {
		for i, d := range n.dropouts {
			p.dropouts = append(p.dropouts, n.engine.NewVector(k.batch*d.size()))
			inputs[inputDropout(i)] = p.dropouts[i]
		}
	}
}

// feedDraws draws the random numbers of a pass.
func (n *Net) feedDraws(p *program, k key) {
	if len(n.noises) == 0 && len(p.dropouts) == 0 {
		return // what follows allocates
	}
	d := &n.draws
	pass := d.pass
	if d.held {
		pass--
	}
	d.pass = pass + 1
	if !d.held {
		fill(n.draws.noise[k.batch], d.replay.Noise, func(i int, dst []float64) {
			r := random.New(d.seed, d.purpose+"/noise", append(d.index[:len(d.index):len(d.index)], pass, uint64(i))...)
			for j := range dst {
				dst[j] = r.NormFloat64()
			}
		}, nil)
	}
	d.held = false
	keep := 1 / (1 - d.dropout)
	fill(p.dropouts, d.replay.Dropout, func(i int, dst []float64) {
		if d.dropout == 0 {
			return // zeros are not below it
		}
		r := random.New(d.seed, d.purpose+"/dropout", append(d.index[:len(d.index):len(d.index)], pass, uint64(i))...)
		for j := range dst {
			dst[j] = r.Float64()
		}
	}, func(u float64) float64 {
		if u < d.dropout {
			return 0
		}
		return keep
	})
}

// fill writes random numbers to vectors: those of replay in turn or, if that is nil, those
// of draw at once; then turns each by a function, if there is one.
func fill(vectors []engine.Vector, replay func([]float64), draw func(i int, dst []float64), turn func(float64) float64) {
	work := func(from, step int) {
		var buffer []float64
		for i := from; i < len(vectors); i += step {
			if cap(buffer) < vectors[i].Len() {
				buffer = make([]float64, vectors[i].Len())
			}
			numbers := buffer[:vectors[i].Len()]
			if replay != nil {
				replay(numbers)
			} else {
				clear(numbers)
				draw(i, numbers)
			}
			if turn != nil {
				for j, u := range numbers {
					numbers[j] = turn(u)
				}
			}
			vectors[i].Write(numbers)
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(vectors))
	if replay != nil || workers < 2 {
		work(0, 1)
		return
	}
	var group fault.Group
	defer group.Wait()
	for w := range workers {
		group.Go(func() { work(w, workers) })
	}
}
