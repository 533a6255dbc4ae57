package rnn

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Published is a cell that was published with a paper.
type Published struct {
	Name     string // in the released code, with "penn_" before it where that lacks it
	Source   string // what found it, for people
	Genotype Genotype
}

// publishedCells are those that the released code of SDARTS, DARTS and GDAS has.
var publishedCells = []struct{ name, source, line string }{
	{"penn_random", "SDARTS-RS", "sigmoid:0 sigmoid:1 identity:2 sigmoid:1 tanh:2 tanh:2 sigmoid:0 sigmoid:3"},
	{"penn_pgd", "SDARTS-ADV", "relu:0 relu:1 tanh:2 relu:3 identity:2 relu:1 tanh:2 relu:7"},
	{"penn_DARTS_V1", "DARTS of first order (Liu et al., 2019)", "relu:0 relu:1 tanh:2 relu:3 relu:4 identity:1 relu:5 relu:1"},
	{"penn_DARTS_V2", "DARTS of second order (Liu et al., 2019)", "sigmoid:0 relu:1 relu:1 identity:1 tanh:2 sigmoid:5 tanh:3 relu:5"},
	{"penn_GDAS", "GDAS (Dong and Yang, 2019)", "relu:0 relu:0 identity:1 relu:1 tanh:0 relu:2 identity:4 identity:2"},
	{"penn_ENAS", "ENAS (Pham et al., 2018)", "tanh:0 tanh:1 relu:1 tanh:3 tanh:3 relu:3 relu:4 relu:7 relu:8 relu:8 relu:8 [2 5 6 9 10 11]"},
}

var published = sync.OnceValue(func() (all []Published) {
	for _, p := range publishedCells {
		g, err := ParseGenotype(p.line)
		if err != nil {
			panic(fmt.Sprintf("spaces/rnn: published genotype %s: %v", p.name, err))
		}
		all = append(all, Published{p.name, p.source + " on Penn Treebank", g})
	}
	return all
})

// AllPublished returns the published genotypes, those of the SDARTS paper first.
func AllPublished() []Published { return slices.Clone(published()) }

// FindPublished returns the published genotype of a name, in lower or upper case, and
// whether there is one.
func FindPublished(name string) (Published, bool) {
	for _, p := range published() {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Published{}, false
}
