package cell

// Widths returns the channels of each vertex of a pruned cell but the input, in
// NAS-Bench-101's network, where the output has so many: those that lead to the output
// share its channels, the first ones taking the remainder; each other is as wide as its
// widest successor. Entry 0 is 0.
func (s Spec) Widths(out int) []int {
	last := s.Vertices() - 1
	width := make([]int, last+1)
	width[last] = out
	concatenated := 0
	for v := 1; v < last; v++ {
		concatenated += int(s.Matrix[v][last])
	}
	nth := 0
	for v := 1; v < last; v++ {
		if s.Matrix[v][last] == 1 {
			width[v] = out / concatenated
			if nth < out%concatenated {
				width[v]++
			}
			nth++
		}
	}
	for v := last - 1; v > 0; v-- {
		if s.Matrix[v][last] == 1 {
			continue
		}
		for w := v + 1; w < last; w++ {
			if s.Matrix[v][w] == 1 {
				width[v] = max(width[v], width[w])
			}
		}
	}
	return width
}
