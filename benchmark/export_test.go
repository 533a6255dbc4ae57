package benchmark

import (
	"context"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/results"
)

// For tests.
var (
	DiscreteForm   = discreteForm
	NormalizedForm = normalizedForm
)

// BothSpectra takes the Hessian of an epoch as Lanczos does and as a whole, both from the
// present running statistics, and returns what these are after each.
func (s *Search) BothSpectra(ctx context.Context, epoch, batches int) (found [2]*results.Hessian, statistics [2][]float64, err error) {
	before := make([]float64, s.net.StatisticsCount())
	s.net.ReadStatistics(before)
	relaxed := s.searcher.(algorithms.Relaxed)
	for i, take := range []func(into *results.Hessian) (algorithms.Spectrum, error){
		func(into *results.Hessian) (algorithms.Spectrum, error) {
			return s.ends(ctx, relaxed, epoch, batches, into)
		},
		func(into *results.Hessian) (algorithms.Spectrum, error) {
			return s.wholeSpectrum(ctx, relaxed, epoch, batches, 1, into)
		},
	} {
		s.net.WriteStatistics(before)
		found[i] = &results.Hessian{}
		if found[i].Eigenvalues, err = take(found[i]); err != nil {
			return found, statistics, err
		}
		statistics[i] = make([]float64, len(before))
		s.net.ReadStatistics(statistics[i])
	}
	return found, statistics, nil
}
