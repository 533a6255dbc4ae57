package rnn

import "fmt"

// Network is the size of a language model: its words and the length of its vectors. The
// matrix of the decoder is that of the words.
type Network struct {
	Words  int // V, the size of the vocabulary: 10,000 in Penn Treebank
	Hidden int // H, the length of hidden states and of the vectors of words
}

// EvaluationNetwork is what the SDARTS paper trains from scratch on Penn Treebank.
var EvaluationNetwork = Network{Words: 10_000, Hidden: 850}

// Cost is the size of a network and its work.
type Cost struct {
	Parameters int
	MACs       int // multiply-accumulates of all matrix products for a word, without the gradients
}

// maxHidden and maxWords keep the products of Cost far from overflow.
const maxHidden, maxWords = 1 << 20, 1 << 31

// Cost counts the network that trains a genotype from scratch: it has V·H numbers for the
// words, 4·H² for state 0, 2·H² for each node and V for the bias of the decoder. Which
// functions and which inputs the nodes have makes no difference. It is an error if the size
// is impossible.
func (n Network) Cost(g Genotype) (Cost, error) {
	v, h := n.Words, n.Hidden
	if v < 2 || v > maxWords || h < 1 || h > maxHidden {
		return Cost{}, fmt.Errorf("a network of %d words and %d hidden units: want 2 words or more, and 1 to %d units", v, h, maxHidden)
	}
	weights := v*h + 4*h*h + len(g.Nodes)*2*h*h
	return Cost{Parameters: weights + v, MACs: weights}, nil
}
