package algorithms

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/combin"

	"github.com/nb1shot/nb1shot/spaces"
)

// configurations is a space as the searches of a table see it: a categorical parameter
// for each row, whose values are the sets of candidates that an architecture may keep
// there. An operation is one of a few values, the parents of a node one of the sets of
// the right size, without an order among them. A configuration is a number: the digits of
// its values, of the last row the lowest. There are as many as architectures, loose ends
// included.
//
// It is for spaces whose architectures keep Row.Keep candidates of every row, whatever
// they keep of the others, as those of NAS-Bench-1Shot1.
type configurations struct {
	space *spaces.Space
	sets  [][][]int // by row and value, each ascending
}

func newConfigurations(space *spaces.Space) *configurations {
	c := &configurations{space: space}
	for _, row := range space.Rows() {
		c.sets = append(c.sets, combin.Combinations(len(row.Candidates), row.Keep))
	}
	return c
}

// levels returns the number of values of each parameter.
func (c *configurations) levels() []int {
	levels := make([]int, len(c.sets))
	for i, sets := range c.sets {
		levels[i] = len(sets)
	}
	return levels
}

// size returns the number of configurations.
func (c *configurations) size() int {
	n := 1
	for _, sets := range c.sets {
		n *= len(sets)
	}
	return n
}

// join returns the configuration of values, one for each parameter.
func (c *configurations) join(values []int) int {
	n := 0
	for i, v := range values {
		n = n*len(c.sets[i]) + v
	}
	return n
}

// split is the way back from join.
func (c *configurations) split(configuration int) []int {
	values := make([]int, len(c.sets))
	for i, sets := range slices.Backward(c.sets) {
		values[i] = configuration % len(sets)
		configuration /= len(sets)
	}
	return values
}

// architecture returns the architecture that a configuration stands for.
func (c *configurations) architecture(configuration int) spaces.Architecture {
	a := spaces.Architecture{Space: c.space.Name()}
	for i, v := range c.split(configuration) {
		a.Kept = append(a.Kept, slices.Clone(c.sets[i][v]))
	}
	return a
}

// of is the way back from architecture.
func (c *configurations) of(a spaces.Architecture) int {
	values := make([]int, len(c.sets))
	for i, kept := range a.Kept {
		values[i] = slices.IndexFunc(c.sets[i], func(set []int) bool { return slices.Equal(set, kept) })
	}
	return c.join(values)
}

// sample draws a configuration as random search does.
func (c *configurations) sample(r *rand.Rand) int { return c.of(c.space.Sample(r)) }

// neighbours returns the configurations that differ in one value, in ascending order of
// the parameter and the value.
func (c *configurations) neighbours(configuration int) []int {
	var all []int
	values := c.split(configuration)
	for i, own := range values {
		for v := range c.sets[i] {
			if v != own {
				values[i] = v
				all = append(all, c.join(values))
			}
		}
		values[i] = own
	}
	return all
}
