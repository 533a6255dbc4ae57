package supernet

import (
	"slices"
	"sync"

	"github.com/nb1shot/nb1shot/internal/engine"
)

// plans are the latest plans of this process. Differentiating a graph takes longer than
// compiling its plan, and the same network is often asked for again: for its memory
// before a run and for the run itself, for every seed of a sweep, for a run that goes on.
// Plans do not change once they are made, so that networks may share them.
var plans struct {
	sync.Mutex
	made []madePlan // the latest last
}

type madePlan struct {
	config Config
	key    key
	plan   *engine.Plan
}

// keptPlans bounds what plans holds: some megabytes each at the size of the paper.
const keptPlans = 32

// plan is that of a program, made unless it is among the latest.
func (n *Net) plan(k key) (*engine.Plan, error) {
	find := func() *engine.Plan {
		plans.Lock()
		defer plans.Unlock()
		i := slices.IndexFunc(plans.made, func(m madePlan) bool { return m.config == n.config && m.key == k })
		if i < 0 {
			return nil
		}
		found := plans.made[i]
		plans.made = append(slices.Delete(plans.made, i, i+1), found)
		return found.plan
	}
	if plan := find(); plan != nil {
		return plan, nil
	}
	plan, err := n.newPlan(k)
	if err != nil {
		return nil, err
	}
	plans.Lock()
	defer plans.Unlock()
	plans.made = append(plans.made, madePlan{n.config, k, plan})
	if len(plans.made) > keptPlans {
		plans.made = slices.Delete(plans.made, 0, 1)
	}
	return plan, nil
}
