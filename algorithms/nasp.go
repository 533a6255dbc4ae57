package algorithms

import (
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/spaces"
)

func init() {
	Register(Definition{
		Name:  "nasp",
		Title: "NASP",
		Look:  catalogue.Look{Family: catalogue.Baselines, Colour: catalogue.Sky, Place: 6},
		Doc: "NASP (Yao et al., AAAI 2020): every pass sees the operations' alphas replaced by a one-hot choice, the steps move " +
			"the continuous ones, which are kept in [0,1]. In the released code a softmax follows the choice, so the " +
			"chosen operation weighs 0.576 and the others 0.212 each (quirk Q15).",
		Supports: notOnDARTS("it keeps alphas near 0.5 within [0,1] and has no released setting there"),
		Options: append(RelaxationOptions(),
			Option{Name: "true-binarisation", Kind: Switch, Doc: "choice: all alphas become one-hot and no softmax follows, as in the original (quirk Q15)"},
			Option{Name: "clamp-after-arch-step", Kind: Switch, Doc: "alphas: clamp to [0,1] right after the architecture step, as in the original; off clamps after the weight step (quirk Q16)"},
		),
		Adapt: adaptToRecurrent(Settings{"true-binarisation": 1}),
		Own: func(space *spaces.Space) string {
			if isRecurrent(space) {
				return "own definition: no code of NASP for recurrent cells is public; each edge keeps its largest function"
			}
			return ""
		},
		New: newNASP,
	})
}

// nasp is a relaxation that takes the alphas as choices.
type nasp struct{ *Relaxation }

func newNASP(cfg Config) (Searcher, error) {
	r := NewRelaxation("nasp", cfg, 0.5)
	n := nasp{r}
	hard := cfg.Settings.On("true-binarisation")
	r.Relax = func(Use, int) Mixing {
		if hard {
			q := n.binarise(true)
			return Mixing{Weights: q, Space: cfg.Space, Probabilities: q, Temperature: 1, Identity: true}
		}
		return Softmax(cfg.Space, n.binarise(false))
	}
	early := cfg.Settings.On("clamp-after-arch-step")
	r.Settle = func(alphas []float64, endOfStep bool) {
		if endOfStep == early {
			return
		}
		for i, v := range alphas {
			alphas[i] = min(max(v, 0), 1)
		}
	}
	return r, nil
}

// binarise returns the alphas with the rows of the mixed operations replaced by
// 1 at their largest entry, the first of equals, and 0 elsewhere; all rows if all. On the
// recurrent space none is never taken for NASP.
func (n *nasp) binarise(all bool) []float64 {
	if !isRecurrent(n.cfg.Space) {
		return binarise(n.cfg.Space, n.alphas, all)
	}
	q := slices.Clone(n.alphas)
	for _, row := range n.cfg.Space.Rows() {
		q[row.Offset] = 0 // of none
		oneHot(q[row.Offset+1 : row.End()])
	}
	return q
}

// binarise is that of all spaces with none among the operations.
func binarise(space *spaces.Space, alphas []float64, all bool) []float64 {
	q := slices.Clone(alphas)
	for _, row := range space.Rows() {
		if all || row.Kind == spaces.OperationRow {
			oneHot(q[row.Offset:row.End()])
		}
	}
	return q
}

// oneHot replaces a row by 1 at its largest entry, the first of equals, and 0
// elsewhere, and returns where that is.
func oneHot(row []float64) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	clear(row)
	row[best] = 1
	return best
}
