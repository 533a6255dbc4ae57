package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// The sizes are those of one-sided tests at level alpha that find an effect with a
// probability of power. They are the approximations of Noether (1987), but for
// BinomialSize, which is exact; for a handful of values take them as a guide.

// SignedRankSize is the number of pairs that Wilcoxon needs where the mean of two
// differences is positive with the given probability: W⁺/(n(n+1)/2) of a sample.
func SignedRankSize(probability, alpha, power float64) (int, error) {
	return noether(3, probability, alpha, power)
}

// RankSumSize is the number of values in each of two samples that MannWhitney needs
// where a value of the one is greater with the given probability: A12.
func RankSumSize(probability, alpha, power float64) (int, error) {
	return noether(6, probability, alpha, power)
}

// KendallSize is the number of pairs that Kendall needs to find a correlation τ.
func KendallSize(tau, alpha, power float64) (int, error) {
	return noether(9, (1+tau)/2, alpha, power)
}

// noether is the size (zα + zβ)² / (factor · (probability − ½)²).
func noether(factor, probability, alpha, power float64) (int, error) {
	if !(probability >= 0 && probability <= 1) || probability == 0.5 {
		return 0, fmt.Errorf("no size shows an effect of probability %v, need 0 to 1 without 0.5", probability)
	}
	if err := planned(alpha, power); err != nil {
		return 0, err
	}
	z := distuv.UnitNormal.Quantile(1-alpha) + distuv.UnitNormal.Quantile(power)
	d := probability - 0.5
	return int(math.Ceil(min(z*z/(factor*d*d), 1<<50))), nil
}

// BinomialSize is the least number of trials in which Binomial finds that their
// share of successes is not chance but share, above it: 0 where 1,000 do not.
func BinomialSize(share, chance, alpha, power float64) (int, error) {
	if !(chance > 0 && share > chance && share <= 1) {
		return 0, fmt.Errorf("no size shows a share of %v above a chance of %v", share, chance)
	}
	if err := planned(alpha, power); err != nil {
		return 0, err
	}
	const most = 1000
	critical := 0
	for n := 1; n <= most; n++ {
		for ; critical <= n; critical++ {
			if p, err := Binomial(critical, n, chance, Greater); err != nil {
				return 0, err
			} else if p <= alpha {
				break
			}
		}
		if critical > n {
			continue
		}
		if share == 1 {
			return n, nil
		}
		if p, err := Binomial(critical, n, share, Greater); err != nil {
			return 0, err
		} else if p >= power {
			return n, nil
		}
	}
	return 0, nil
}

func planned(alpha, power float64) error {
	if !(alpha > 0 && alpha < 0.5 && power > 0.5 && power < 1) {
		return fmt.Errorf("a level of %v and a power of %v: need less than 0.5, and between 0.5 and 1", alpha, power)
	}
	return nil
}
