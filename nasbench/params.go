package nasbench

import "github.com/nb1shot/nb1shot/spaces/cell"

// The network that NAS-Bench-101 builds of a cell: a stem, then stacks of
// modules, each module being the cell and each stack twice as wide as the one
// before, then a linear classifier.
const (
	imageChannels = 3
	stemChannels  = 128
	stacks        = 3
	modules       = 3 // per stack
	classes       = 10
)

// TrainableParameters returns the number of trainable parameters of
// NAS-Bench-101's network of the cell. It is exact, but depends on how the
// cell's vertices are numbered where its output width is not divisible by the
// number of vertices concatenated there, so a cell may differ, by less than 1 %,
// from the isomorphic one that NAS-Bench-101 trained. The errors are those of
// cell.Spec.Check.
func TrainableParameters(spec cell.Spec) (int, error) {
	if err := spec.Check(); err != nil {
		return 0, err
	}
	p, err := spec.Prune()
	if err != nil {
		return 0, err
	}
	total := convolution(3, imageChannels, stemChannels)
	in, out := stemChannels, stemChannels
	for stack := range stacks {
		if stack > 0 {
			out *= 2
		}
		for range modules {
			total += moduleParameters(p, in, out)
			in = out
		}
	}
	return total + in*classes + classes, nil
}

// convolution counts the weights of a square convolution without bias and the
// scale and shift of the batch normalisation behind it.
func convolution(side, in, out int) int { return side*side*in*out + 2*out }

// moduleParameters counts the parameters of a pruned cell. Edges from its
// input are projections (1×1 convolutions) to the width of where they lead.
func moduleParameters(p cell.Spec, in, out int) int {
	width := p.Widths(out)
	total := 0
	for v := 1; v < p.Vertices(); v++ {
		if p.Matrix[0][v] == 1 {
			total += convolution(1, in, width[v])
		}
	}
	for i, op := range p.Ops {
		switch w := width[i+1]; op {
		case cell.Conv3x3:
			total += convolution(3, w, w)
		case cell.Conv1x1:
			total += convolution(1, w, w)
		}
	}
	return total
}
