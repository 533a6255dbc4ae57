package algorithms

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// PGD is projected gradient ascent on the loss over the mixing weights in an
// ℓ∞-box around a point of the simplex: the adversary of SDARTS-ADV.
type PGD struct {
	Entries   int                // of the mixing weights that may move, the first ones; 0 is all
	Steps     int                // each moves by 2ε/Steps times the gradient's sign
	Simplex   bool               // after the box, clip every row to the simplex, which has the last word (quirk Q6)
	RollBack  bool               // give up the perturbation if the loss fell (quirk Q6b)
	BatchNorm supernet.BatchNorm // RunningStatistics in the released code (quirk Q4)
}

// Attack is the course of one [PGD].
type Attack struct {
	Before     float64     // loss at the centre
	Losses     []float64   // loss at the beginning of each step
	After      float64     // loss at the last iterate
	RolledBack bool        // the loss fell, so Mixing is the centre
	Iterates   [][]float64 // the random start, if there is one, then the point after each step
	Mixing     []float64   // the result
}

// Attack ascends from centre+delta, or from the centre itself if delta is nil,
// within epsilon of the centre. delta lies in [-epsilon, epsilon].
func (p PGD) Attack(net Supernet, space *spaces.Space, b data.Batch, centre []float64, epsilon float64, delta []float64) (Attack, error) {
	var a Attack
	pass, err := net.Forward(b, centre, p.BatchNorm)
	if err != nil {
		return a, fmt.Errorf("attack: %w", err)
	}
	a.Before = pass.Loss

	q := slices.Clone(centre)
	moving := len(q)
	if p.Entries > 0 {
		moving = p.Entries
	}
	if delta != nil {
		q = sum(centre, delta)
		if p.Simplex {
			ClipSimplex(space, q[:moving])
		}
		a.Iterates = append(a.Iterates, slices.Clone(q))
	}
	grad := make([]float64, len(q))
	for range p.Steps {
		if pass, err = net.MixingGradient(b, q, p.BatchNorm, grad); err != nil {
			return a, fmt.Errorf("attack: %w", err)
		}
		a.Losses = append(a.Losses, pass.Loss)
		for i, s := range centre[:moving] {
			q[i] += 2 * epsilon / float64(p.Steps) * sign(grad[i])
			q[i] = s + min(max(q[i]-s, -epsilon), epsilon)
		}
		if p.Simplex {
			ClipSimplex(space, q[:moving])
		}
		a.Iterates = append(a.Iterates, slices.Clone(q))
	}
	if pass, err = net.Forward(b, q, p.BatchNorm); err != nil {
		return a, fmt.Errorf("attack: %w", err)
	}
	a.After = pass.Loss
	a.Mixing = q
	if p.RollBack && a.Before > a.After {
		a.RolledBack = true
		a.Mixing = slices.Clone(centre)
	}
	return a, nil
}
