package supernet

import (
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/graph"
	"github.com/nb1shot/nb1shot/spaces"
)

// Without padding the resolution halves as in NAS-Bench-101 (quirk Q26).
func TestUnpadded(t *testing.T) {
	for _, tt := range []struct {
		unpadded bool
		want     []int
	}{{false, []int{9, 17}}, {true, []int{8, 16}}} {
		c := Config{Space: spaces.All()[0], Channels: 1, Cells: 9, Classes: 10, Side: 32, BatchNormMomentum: 0.997, Unpadded: tt.unpadded}
		b := c.blueprint()
		seen := map[*graph.Node]bool{}
		var sides []int
		var walk func(n *graph.Node)
		walk = func(n *graph.Node) {
			if seen[n] {
				return
			}
			seen[n] = true
			if op, err := graph.AsOp(n); err == nil && op.Kind == graph.MaxPool && op.Attr.S == 2 {
				sides = append(sides, n.Shape()[2])
			}
			for _, child := range graph.Children(n) {
				walk(child)
			}
		}
		walk(c.build(b, 1, RunningStatistics, false, false).loss)
		slices.Sort(sides)
		last := b.norms[len(b.norms)-1]
		if !slices.Equal(sides, tt.want) || last.positions != tt.want[0]*tt.want[0] {
			t.Errorf("unpadded %v: sides %v, want %v; the last batch norm has %d positions", tt.unpadded, sides, tt.want, last.positions)
		}
	}
}
