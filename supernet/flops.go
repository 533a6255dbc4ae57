package supernet

// The methods below count the arithmetic of one call on a batch of the given number of
// images, as engine.Plan.FLOPs does, without making it. It does not depend on
// which statistics normalise. In a Sampled network it is the mean over all choices
// of one operation for each block.

// ForwardFLOPs is the arithmetic of Forward.
func (n *Net) ForwardFLOPs(batch int) (float64, error) { return n.flops(forward, batch) }

// MixingGradientFLOPs is the arithmetic of MixingGradient.
func (n *Net) MixingGradientFLOPs(batch int) (float64, error) { return n.flops(mixingGradient, batch) }

// WeightGradientFLOPs is the arithmetic of WeightGradient.
func (n *Net) WeightGradientFLOPs(batch int) (float64, error) { return n.flops(weightGradient, batch) }

func (n *Net) flops(t task, batch int) (float64, error) {
	k := key{task: t, bn: RunningStatistics, batch: batch}
	if t == weightGradient && n.config.auxiliary() {
		k.bn = BatchStatistics // there the head is
	}
	plan, err := n.plan(k)
	if err != nil {
		return 0, err
	}
	guarded, _ := plan.GuardedFLOPs()
	return plan.FLOPs() - n.unchosen(guarded), nil
}

// unchosen is how much of the arithmetic of the operations, given by their entries of the
// mixing vector, is left out on average.
func (n *Net) unchosen(guarded map[int]float64) float64 {
	total := 0.0
	for i, entry := range n.candidates {
		total += guarded[entry] * float64(n.among[i]-1) / float64(n.among[i])
	}
	return total
}

// HessianFLOPs is the arithmetic of HessianForms in directions of the given rows of the
// space.
func (n *Net) HessianFLOPs(batch int, rows []int) (float64, error) {
	k := key{task: hessianProduct, bn: BatchStatistics, batch: batch}
	passes := max(len(rows), 1) // of which the first comes with the loss and the gradient
	if n.formsAtOnce(batch, len(rows)) {
		k, passes = formsKey(batch, rows), 1
	}
	plan, err := n.plan(k)
	if err != nil {
		return 0, err
	}
	guarded, again := plan.GuardedFLOPs()
	return plan.FLOPs() - n.unchosen(guarded) + float64(passes-1)*(plan.VaryingFLOPs()-n.unchosen(again)), nil
}
