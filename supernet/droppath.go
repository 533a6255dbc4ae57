package supernet

import (
	"fmt"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// inputDrop is the name of the multipliers of droppable layer i.
func inputDrop(i int) string { return fmt.Sprint("drop-path.", i) }

// dropped is the output x of droppable layer i, every image times its multiplier
// in a network with drop path.
func (net *network) dropped(i int, x *graph.Node) *graph.Node {
	if net.drop == nil {
		return x
	}
	return graph.NewScaleImages(x, net.drop[i])
}

// Droppable is how many layers drop path scales, in all cells together: the operations
// that have weights, in the DARTS spaces the mixed operations of all edges (quirk C17),
// and in the evaluation network of a genotype all operations but identities.
func (n *Net) Droppable() int { return n.droppable }

// SetDropPath sets what the outputs of those layers are multiplied by in the following
// calls of MixingGradient and WeightGradient with BatchStatistics, and in the DARTS
// spaces of HessianProducts and HessianForms: one number for each cell, block and operation (3×3, then
// 1×1), or cell and edge, or cell and pair of the genotype, and image of the batch, in this order. None stand for ones, as in the beginning. It
// is an error of the next such call if Config.DropPath is not set or the number
// of multipliers does not fit the batch; the other passes ignore them.
func (n *Net) SetDropPath(multipliers []float64) {
	n.dropPath = append(n.dropPath[:0], multipliers...)
}

// dropPathCounts tells whether SetDropPath is about a program.
func (n *Net) dropPathCounts(k key) bool {
	return k.bn == BatchStatistics && (k.task == mixingGradient || k.task == weightGradient || (k.task == hessianProduct || k.task == hessianForms) && !n.config.oneInput())
}

// drops tells whether a program has drop path.
func (n *Net) drops(k key) bool { return n.config.DropPath && n.dropPathCounts(k) }

func (n *Net) bindDropPath(p *program, batch int, inputs map[string]engine.Vector) {
	count := n.droppable
	p.drop, p.undropped = n.engine.NewVector(count*batch), make([]float64, count*batch)
	for i := range p.undropped {
		p.undropped[i] = 1
	}
	for i := range count {
		inputs[inputDrop(i)] = p.drop.Slice(i*batch, (i+1)*batch)
	}
}

func (n *Net) feedDropPath(p *program, k key) error {
	given := len(n.dropPath)
	switch {
	case !n.dropPathCounts(k):
	case p.drop == nil && given > 0:
		return fmt.Errorf("%d drop-path multipliers for a network that is built without drop path", given)
	case p.drop == nil:
	case given == 0:
		p.drop.Write(p.undropped)
	case given != p.drop.Len():
		return fmt.Errorf("%d drop-path multipliers, a batch of %d images needs %d", given, k.batch, p.drop.Len())
	default:
		p.drop.Write(n.dropPath)
	}
	return nil
}
