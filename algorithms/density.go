package algorithms

import (
	"math"
	"math/rand/v2"
)

// densities is the model of TPE (Bergstra et al., NeurIPS 2011) with the kernels of BOHB
// (Falkner et al., ICML 2018, Section 3.2): one kernel density of the best results and
// one of the others, each a product over the parameters of the kernel of Aitchison and
// Aitken for values without an order. What is asked next is the candidate, drawn from the
// first density, at which it is highest over the second.
type densities struct {
	space      *configurations
	levels     []int
	share      float64 // of the results that count as the best
	candidates int
	widening   float64 // of the bandwidths, for the draws of the candidates
	prior      float64 // weight of the uniform distribution, in results, as in TPE
}

// least is the number of results from which a density can be made: one more than
// parameters (Falkner et al., equation 3).
func (d densities) least() int { return len(d.levels) + 1 }

// enough tells whether there are so many results that the two densities differ.
func (d densities) enough(results int) bool { return results >= d.least()+2 }

// minBandwidth keeps a density positive everywhere, where all results agree in a value.
const minBandwidth = 1e-3

// density is a kernel density.
type density struct {
	points    [][]int   // values of the results
	prior     float64   // results that the uniform distribution counts for
	bandwidth []float64 // by parameter: the share of the kernel that lies on other values
}

// fit makes the density of some results, at least one. The bandwidths follow Scott's rule,
// 1.06·σ·n^(−1/(4+d)), up to where the kernel is uniform. Values of a parameter have no
// order, so σ is that of the discrete metric, σ² = (1 − Σp²)/2 over the shares p of the
// values; the released code takes the standard deviation of their numbers instead.
func (d densities) fit(results []result) density {
	n := float64(len(results))
	k := density{bandwidth: make([]float64, len(d.levels)), prior: d.prior}
	for _, r := range results {
		k.points = append(k.points, d.space.split(r.Configuration))
	}
	scott := 1.06 * math.Pow(n, -1/(4+float64(len(d.levels))))
	for i, levels := range d.levels {
		counts := make([]float64, levels)
		for _, p := range k.points {
			counts[p[i]]++
		}
		same := 0.0
		for _, c := range counts {
			same += float64(c / n * (c / n))
		}
		k.bandwidth[i] = min(max(scott*math.Sqrt((1-same)/2), minBandwidth), uniform(levels))
	}
	return k
}

// uniform is the bandwidth at which a kernel is uniform.
func uniform(levels int) float64 { return float64(levels-1) / float64(levels) }

// at is the density at some values.
func (k density) at(values []int, levels []int) float64 {
	sum := k.prior
	for _, n := range levels {
		sum /= float64(n)
	}
	for _, p := range k.points {
		product := 1.0
		for i, v := range values {
			if b := k.bandwidth[i]; p[i] == v {
				product *= 1 - b
			} else {
				product *= b / float64(levels[i]-1)
			}
		}
		sum += product
	}
	return sum / (k.prior + float64(len(k.points)))
}

// draw draws values from the density with wider kernels.
func (k density) draw(r *rand.Rand, levels []int, widening float64) []int {
	values := make([]int, len(levels))
	if r.Float64()*(k.prior+float64(len(k.points))) < k.prior {
		for i, n := range levels {
			values[i] = r.IntN(n)
		}
		return values
	}
	centre := k.points[r.IntN(len(k.points))]
	for i, v := range centre {
		values[i] = v
		if r.Float64() < min(widening*k.bandwidth[i], uniform(levels[i])) {
			values[i] = (v + 1 + r.IntN(levels[i]-1)) % levels[i]
		}
	}
	return values
}

// propose returns the candidate that the densities of some results favour, and false where
// there is none that is wanted; nil wants all. There must be enough results.
func (d densities) propose(results []result, r *rand.Rand, wanted func(configuration int) bool) (configuration int, ok bool) {
	sorted := byError(results)
	n := len(sorted)
	best := max(d.least(), int(d.share*float64(n)))
	good, bad := d.fit(sorted[:best]), d.fit(sorted[n-max(d.least(), n-best):])
	highest := math.Inf(-1)
	for range d.candidates {
		values := good.draw(r, d.levels, d.widening)
		candidate := d.space.join(values)
		if wanted != nil && !wanted(candidate) {
			continue
		}
		if ratio := good.at(values, d.levels) / bad.at(values, d.levels); ratio > highest {
			highest, configuration, ok = ratio, candidate, true
		}
	}
	return configuration, ok
}
