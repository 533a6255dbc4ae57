package sweep

import (
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/spaces"
)

// Memory returns the bytes that the largest of the units takes at most, see
// benchmark.Config.Memory and retrain.Config.Memory; 0 where they read a text.
func (r *Runner) Memory(units []Unit) (largest int64, err error) {
	element := 4
	if r.Shared.Engine == "ref" {
		element = 8
	}
	type shape struct {
		space                 spaces.Name
		batch, channels, side int
	}
	seen := map[shape]bool{} // of networks alike: planning takes a while
	known := map[pair]bool{}
	for _, u := range units {
		if benchmark.FamilyOf(u.Space).ReadsText() {
			continue // not estimated
		}
		if known[u.pair()] {
			continue
		}
		known[u.pair()] = true
		c, err := r.Shared.Config(u.Space, u.Algorithm)
		if err != nil {
			return 0, err
		}
		s := shape{u.Space, c.Batch, c.Channels, c.Side}
		if seen[s] {
			continue
		}
		bytes, err := c.Memory(r.Train, element)
		if err != nil {
			return 0, err
		}
		if bytes > 0 {
			seen[s] = true
		}
		largest = max(largest, bytes)
	}
	if r.Shared.Retrain == nil || len(units) == 0 || r.NetworkText != nil {
		return largest, nil
	}
	c, err := r.Shared.Retrain.Config(Form(units[0].Space), r.NetworkTrain.Source.Kind)
	if err != nil {
		return 0, err
	}
	bytes, err := c.Memory(r.NetworkTrain.Classes, element)
	return max(largest, bytes), err
}
