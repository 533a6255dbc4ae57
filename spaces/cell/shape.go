package cell

// Shape is how a cell looks after pruning.
type Shape struct {
	Depth int // edges on the longest path from input to output
	// Width is the sum over the inner vertices of the share of their incoming
	// edges that come from the cell's input, in units of the channels of a vertex
	// (Shu et al., ICLR 2020, whose cells have inputs of two parents each).
	Width    float64
	Vertices int // inner vertices that survive pruning
	Pools    int // of them, max-poolings: the only operation without parameters
}

// Shape measures the pruned cell. It fails as Prune does.
func (s Spec) Shape() (Shape, error) {
	p, err := s.Prune()
	if err != nil {
		return Shape{}, err
	}
	n := p.Vertices()
	shape := Shape{Vertices: n - 2}
	for _, op := range p.Ops {
		if op == MaxPool3x3 {
			shape.Pools++
		}
	}
	depth := make([]int, n)
	for y := 1; y < n; y++ {
		in := 0
		for x := range y {
			if p.Matrix[x][y] == 1 {
				in++
				depth[y] = max(depth[y], depth[x]+1)
			}
		}
		if y < n-1 && p.Matrix[0][y] == 1 {
			shape.Width += 1 / float64(in)
		}
	}
	shape.Depth = depth[n-1]
	return shape, nil
}
