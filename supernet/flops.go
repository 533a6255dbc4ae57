package supernet

// The methods below count the arithmetic of one call on a batch of so many
// images, as engine.Plan.FLOPs does, without making it. It does not depend on
// which statistics normalise. In a Sampled network it is the mean over all choices
// of one operation of the three for each block.

// ForwardFLOPs is the arithmetic of Forward.
func (n *Net) ForwardFLOPs(batch int) (float64, error) { return n.flops(forward, batch) }

// MixingGradientFLOPs is the arithmetic of MixingGradient.
func (n *Net) MixingGradientFLOPs(batch int) (float64, error) { return n.flops(mixingGradient, batch) }

// WeightGradientFLOPs is the arithmetic of WeightGradient.
func (n *Net) WeightGradientFLOPs(batch int) (float64, error) { return n.flops(weightGradient, batch) }

func (n *Net) flops(t task, batch int) (float64, error) {
	plan, err := n.plan(key{t, RunningStatistics, batch})
	if err != nil {
		return 0, err
	}
	guarded, _ := plan.GuardedFLOPs()
	return plan.FLOPs() - guarded*2/3, nil
}

// HessianFLOPs is the arithmetic of HessianProducts in so many directions, of
// which the first comes with the loss and the gradient.
func (n *Net) HessianFLOPs(batch, directions int) (float64, error) {
	plan, err := n.plan(key{hessianProduct, BatchStatistics, batch})
	if err != nil {
		return 0, err
	}
	guarded, again := plan.GuardedFLOPs()
	return plan.FLOPs() - guarded*2/3 + float64(max(directions-1, 0))*(plan.VaryingFLOPs()-again*2/3), nil
}
