package supernet

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/spaces"
)

// Networks of one configuration share their plans; all others have plans of their own, and
// no more than keptPlans are kept.
func TestSharedPlans(t *testing.T) {
	space, err := spaces.Get("1")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Space: space, Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997}
	plan := func(c Config, batch int) any {
		n, err := New(c, ref.New[float64](1))
		if err != nil {
			t.Fatal(err)
		}
		p, err := n.plan(key{task: forward, bn: RunningStatistics, batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := plan(config, 1)
	if plan(config, 1) != first {
		t.Error("two networks of one configuration have two plans")
	}
	other := config
	other.Channels = 8
	if plan(other, 1) == first || plan(config, 2) == first {
		t.Error("networks or batches that differ share a plan")
	}
	for batch := 3; batch < 3+keptPlans; batch++ {
		plan(config, batch)
	}
	if n := len(plans.made); n != keptPlans {
		t.Errorf("%d plans are kept, want %d", n, keptPlans)
	}
	if plan(config, 1) == first {
		t.Error("the plan that was asked for least recently is still there")
	}
}
