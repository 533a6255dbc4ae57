package verify

import (
	"fmt"

	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// recurrentGenotypes derives recurrent cells from architecture parameters.
func recurrentGenotypes(g *golden, out *findings) error {
	n := g.lengths["cases"]
	out.integers("n", []int{n})
	for i := range n {
		at := fmt.Sprintf("cases[%d].", i)
		derived := rnn.Derive(g.numbers(at+"alphas", rnn.Dim))
		for k, node := range derived.Nodes {
			out.text(fmt.Sprintf("%srecurrent[%d][0]", at, k), node.Function)
			out.integers(fmt.Sprintf("%srecurrent[%d][1]", at, k), []int{node.Input})
		}
		out.integers(at+"concat", derived.Concat)
	}
	return nil
}
