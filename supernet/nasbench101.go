package supernet

import (
	"fmt"
	"math"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// stacks is how many stacks of cells the network of NAS-Bench-101 has; after each but the
// last the resolution halves and the channels double.
const stacks = 3

func (e *Evaluation) checkCell(c Config) error {
	if err := e.Cell.Check(); err != nil {
		return err
	}
	switch {
	case e.ImageNet || e.AuxiliaryWeight > 0 || c.DropPath:
		return fmt.Errorf("the network of NAS-Bench-101 has no ImageNet stem, no auxiliary head and no drop path")
	case c.Cells%stacks != 0:
		return fmt.Errorf("%d cells, the network of NAS-Bench-101 has equally many in each of its %d stacks", c.Cells, stacks)
	case c.Side%4 != 0:
		return fmt.Errorf("images of side %d: the resolution halves twice, need a side that 4 divides", c.Side)
	case c.Channels < cell.MaxVertices:
		return fmt.Errorf("%d channels, need at least %d to share among the vertices of a cell", c.Channels, cell.MaxVertices)
	}
	return nil
}

// nasbench101 declares the network that NAS-Bench-101 trains (Ying et al., 2019, released
// code): a 3×3 convolution, three stacks of cells with a max-pooling between them, and a
// classifier. Its weights start as TensorFlow's do there.
func (b *builder) nasbench101(spec cell.Spec) {
	c := b.config
	spec, _ = spec.Prune() // checkCell has tried
	channels, side := c.Channels, c.Side
	layers := []layer{b.convNormReLU("stem.", 3, channels, 3, side)}
	in := channels
	for i := range c.Cells {
		if i > 0 && i%(c.Cells/stacks) == 0 {
			layers = append(layers, maxPool(2, 2, 0))
			side /= 2
			channels *= 2
		}
		layers = append(layers, b.nasbench101Cell(fmt.Sprintf("cells.%d.", i), spec, in, channels, side))
		in = channels
	}
	bound := math.Sqrt(6 / float64(in+c.Classes)) // Glorot and Bengio, 2010
	w := b.weight("classifier.weight", initial{bound: bound}, c.Classes, in)
	bias := b.weight("classifier.bias", initial{}, c.Classes)
	b.forward = chain(append(layers, mean, func(net *network, x *graph.Node) *graph.Node {
		return graph.NewShiftChannels(graph.NewConv(x, net.parameters[w]), net.parameters[bias])
	})...)
}

// convNormReLU is a k×k convolution, batch normalisation and ReLU.
func (b *builder) convNormReLU(name string, in, out, k, side int) layer {
	// The deviation of a normal number that is drawn again beyond 2.
	const truncated = 0.87962566103423978
	w := b.weight(name+"conv.weight", initial{deviation: 1 / math.Sqrt(float64(in*k*k)) / truncated}, out, in, k, k)
	return chain(
		func(net *network, x *graph.Node) *graph.Node { return graph.NewConv(x, net.parameters[w]) },
		b.cellNorm(name+"norm", out, side),
		relu)
}

// nasbench101Cell declares a pruned cell: edges from its input are 1×1 convolutions, every
// other vertex adds up what leads to it, cut to its channels, and the output is the channels
// of the vertices that lead to it one after another, plus the input if that does.
func (b *builder) nasbench101Cell(name string, spec cell.Spec, in, out, side int) layer {
	last := spec.Vertices() - 1
	widths := spec.Widths(out)
	projections, operations := make([]layer, last+1), make([]layer, last+1)
	for v := 1; v <= last; v++ {
		vertex := fmt.Sprintf("%svertex.%d.", name, v)
		if spec.Matrix[0][v] == 1 {
			projections[v] = b.convNormReLU(vertex+"projection.", in, widths[v], 1, side)
		}
		if v == last {
			break
		}
		switch spec.Ops[v-1] {
		case cell.Conv3x3:
			operations[v] = b.convNormReLU(vertex, widths[v], widths[v], 3, side)
		case cell.Conv1x1:
			operations[v] = b.convNormReLU(vertex, widths[v], widths[v], 1, side)
		default:
			operations[v] = maxPool(3, 1, 1)
		}
	}
	return func(net *network, x *graph.Node) *graph.Node {
		values := make([]*graph.Node, last)
		var outputs []*graph.Node
		for v := 1; v < last; v++ {
			var inputs []*graph.Node
			for from := 1; from < v; from++ {
				switch {
				case spec.Matrix[from][v] == 0:
				case widths[from] == widths[v]:
					inputs = append(inputs, values[from])
				default:
					inputs = append(inputs, graph.NewSlice(values[from], 0, widths[v]))
				}
			}
			if projections[v] != nil {
				inputs = append(inputs, projections[v](net, x))
			}
			values[v] = operations[v](net, graph.NewAdd(inputs...))
			if spec.Matrix[v][last] == 1 {
				outputs = append(outputs, values[v])
			}
		}
		var sum []*graph.Node
		if len(outputs) > 0 {
			sum = append(sum, graph.NewConcat(outputs...))
		}
		if projections[last] != nil {
			sum = append(sum, projections[last](net, x))
		}
		return graph.NewAdd(sum...)
	}
}
