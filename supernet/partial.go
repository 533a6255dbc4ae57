package supernet

import "github.com/nb1shot/nb1shot/internal/graph"

// divisor is Config.Partial, 1 for all channels.
func (c Config) divisor() int { return max(c.Partial, 1) }

// part is what goes through the operations of a choice block with input u: in
// PC-DARTS only the first channels (Xu et al., "PC-DARTS", 2020, section 3.1).
func (net *network) part(u *graph.Node) *graph.Node {
	if net.config.divisor() == 1 {
		return u
	}
	return graph.NewSlice(u, 0, u.Shape()[1]/net.config.Partial)
}

// bypassed is the output of a choice block with input u: what the operations
// made of its first channels, then the others as they are, or pooled where the operations
// have a stride, shuffled so that the next block's operations see other ones.
func (net *network) bypassed(mixed, u *graph.Node, stride int) *graph.Node {
	if net.config.divisor() == 1 {
		return mixed
	}
	rest := graph.NewSlice(u, mixed.Shape()[1], u.Shape()[1])
	if stride > 1 {
		rest = graph.NewMaxPool(rest, stride, stride, 0)
	}
	return graph.NewShuffle(graph.NewConcat(mixed, rest), net.config.Partial)
}
