package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// LandscapeNet is what a landscape needs of a supernet; see algorithms.Supernet
// and supernet.Net.
type LandscapeNet interface {
	Forward(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error)
	MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error)
	SetDraws(seed uint64, purpose string, index ...uint64)
	StatisticsCount() int
	ReadStatistics(dst []float64)
	WriteStatistics(src []float64)
}

// LandscapeOptions says which plane to look at and how closely.
type LandscapeOptions struct {
	Radius float64 // of the grid and of the circle, in units of 2-norm; 0 is 2
	Points int     // of the grid in each direction, odd, 3 to 1001; 0 is 21
	// Moved is what the directions are added to: results.MovedAlphas, the
	// default, or results.MovedSimplex, the mixing weights, whose rows the clip
	// rule of SDARTS then brings back to the simplex (algorithms.ClipRow).
	Moved string
	Seed  uint64 // of the random direction
	// Relax returns the mixing weights for alphas, for every cell of a sampled supernet.
	// It does not change its argument. nil is the softmax of each row.
	Relax func(alphas []float64) algorithms.Mixing
	// Report, when set, is called after every point with their number so far and
	// in all.
	Report func(done, total int)
}

// circlePoints is the number of points on the circle of the sharpness. The mean
// over three or more evenly spaced points is exact for a quadratic function.
const circlePoints = 32

// Landscape scores the supernet around the alphas, of length space.Dim(), in the
// plane of the gradient of the mean loss over the batches and a random direction
// orthogonal to it (paper, Figure 1, which leaves open all but these
// directions). The gradient is that of the function shown: with respect to what
// is moved, through the softmax or the clip rule.
//
// All passes normalise by batch statistics. The running ones are put back, so
// the supernet is afterwards as it was, after an error too. When ctx is done, it
// stops before the next pass with ctx's error. Scores that are not finite are an
// algorithms.ErrDiverged.
func Landscape(ctx context.Context, net LandscapeNet, space *spaces.Space, alphas []float64, batches []data.Batch, o LandscapeOptions) (results.Landscape, error) {
	l, err := landscape(ctx, net, space, alphas, batches, o)
	if err != nil {
		return results.Landscape{}, fmt.Errorf("landscape: %w", err)
	}
	return l, nil
}

func landscape(ctx context.Context, net LandscapeNet, space *spaces.Space, alphas []float64, batches []data.Batch, o LandscapeOptions) (l results.Landscape, err error) {
	if err := o.complete(space); err != nil {
		return l, err
	}
	if err := space.CheckAlpha(alphas); err != nil {
		return l, err
	}
	p := plane{net: net, space: space, batches: batches, seed: o.Seed}
	for i, b := range batches {
		if b.N < 1 {
			return l, fmt.Errorf("batch %d has no images", i)
		}
		p.images += b.N
	}
	if p.images == 0 {
		return l, errors.New("no images to score on")
	}
	start := o.Relax(alphas)
	mixing := start.Weights
	if d := space.Dim(); len(mixing) == 0 || len(mixing)%d != 0 {
		return l, fmt.Errorf("the relaxation gives %d mixing weights, need a multiple of %d", len(mixing), d)
	}
	statistics := make([]float64, net.StatisticsCount())
	net.ReadStatistics(statistics)
	defer net.WriteStatistics(statistics)
	gradient, err := p.gradient(ctx, mixing)
	if err != nil {
		return l, err
	}
	if o.Moved == results.MovedAlphas {
		p.centre, p.mixing = alphas, func(alphas []float64) []float64 { return o.Relax(alphas).Weights }
		gradient = start.Gradient(gradient)
	} else {
		p.centre, p.mixing = mixing, p.clip
		for i, v := range p.clip(mixing) {
			if math.Abs(v-mixing[i]) > 1e-6 { // float32 may have made them
				return l, fmt.Errorf("mixing weight %d is %g: its row is not on the simplex, so move %s", i, mixing[i], results.MovedAlphas)
			}
		}
		gradient = p.clipGradient(mixing, gradient)
	}
	l = results.Landscape{Space: space.Name(), Moved: o.Moved, Seed: o.Seed, Images: p.images}
	if err := p.span(gradient, &l); err != nil {
		return l, err
	}

	half := o.Points / 2
	for i := -half; i <= half; i++ {
		l.Coordinates = append(l.Coordinates, o.Radius*float64(i)/float64(half))
	}
	total := o.Points*o.Points + circlePoints
	done := 0
	score := func(a, b float64) (results.Score, error) {
		s, err := p.score(ctx, a, b)
		if done++; err == nil && o.Report != nil && ctx.Err() == nil {
			o.Report(done, total)
		}
		return s, err
	}
	for _, b := range l.Coordinates {
		accuracy, loss := make([]float64, o.Points), make([]float64, o.Points)
		for j, a := range l.Coordinates {
			s, err := score(a, b)
			if err != nil {
				return l, err
			}
			accuracy[j], loss[j] = s.Accuracy, s.Loss
		}
		l.Accuracy, l.Loss = append(l.Accuracy, accuracy), append(l.Loss, loss)
	}

	l.Sharpness = results.Sharpness{Radius: o.Radius, Points: circlePoints}
	centre := l.Centre()
	for i := range circlePoints {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / circlePoints)
		s, err := score(o.Radius*cos, o.Radius*sin)
		if err != nil {
			return l, err
		}
		l.Sharpness.AccuracyDrop += (centre.Accuracy - s.Accuracy) / circlePoints
		l.Sharpness.LossRise += (s.Loss - centre.Loss) / circlePoints
	}
	return l, nil
}

// complete fills in the defaults and checks the options.
func (o *LandscapeOptions) complete(space *spaces.Space) error {
	if o.Radius == 0 {
		o.Radius = 2
	}
	if o.Points == 0 {
		o.Points = 21
	}
	if o.Moved == "" {
		o.Moved = results.MovedAlphas
	}
	if o.Relax == nil {
		o.Relax = func(alphas []float64) algorithms.Mixing { return algorithms.Softmax(space, alphas) }
	}
	switch {
	case !(o.Radius > 0) || math.IsInf(o.Radius, 0):
		return fmt.Errorf("radius %g, need a positive number", o.Radius)
	case o.Points < 3 || o.Points > 1001 || o.Points%2 == 0:
		return fmt.Errorf("%d points in each direction, need an odd number from 3 to 1001, so that one is in the middle", o.Points)
	case o.Moved != results.MovedAlphas && o.Moved != results.MovedSimplex:
		return fmt.Errorf("nothing called %q to move: choose %s or %s", o.Moved, results.MovedAlphas, results.MovedSimplex)
	}
	return nil
}

// plane scores points of a plane in the space of what is moved.
type plane struct {
	net     LandscapeNet
	space   *spaces.Space
	batches []data.Batch
	images  int
	seed    uint64

	centre, first, second []float64 // the point in the middle and the two directions
	mixing                func(point []float64) []float64
}

// draw lets all passes over a batch have the same noise, so that points differ by their
// weights alone.
func (p *plane) draw(batch int) { p.net.SetDraws(p.seed, "landscape", uint64(batch)) }

// gradient is that of the mean loss with respect to the mixing weights.
func (p *plane) gradient(ctx context.Context, mixing []float64) ([]float64, error) {
	mean, grad := make([]float64, len(mixing)), make([]float64, len(mixing))
	for i, b := range p.batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.draw(i)
		if _, err := p.net.MixingGradient(b, mixing, supernet.BatchStatistics, grad); err != nil {
			return nil, fmt.Errorf("gradient on batch %d: %w", i, err)
		}
		floats.AddScaled(mean, float64(b.N)/float64(p.images), grad)
	}
	return mean, nil
}

// span makes the two directions of the gradient and a random vector.
func (p *plane) span(gradient []float64, l *results.Landscape) error {
	l.GradientNorm = floats.Norm(gradient, 2)
	switch {
	case math.IsNaN(l.GradientNorm) || math.IsInf(l.GradientNorm, 0):
		return fmt.Errorf("the norm of the gradient is %g: %w", l.GradientNorm, algorithms.ErrDiverged)
	case l.GradientNorm == 0:
		return errors.New("the gradient is zero, so there is no direction along it")
	}
	p.first = slices.Clone(gradient)
	floats.Scale(1/l.GradientNorm, p.first)

	r := random.New(l.Seed, "landscape")
	p.second = make([]float64, len(p.first))
	for i := range p.second {
		p.second[i] = r.NormFloat64()
	}
	floats.AddScaled(p.second, -floats.Dot(p.first, p.second), p.first)
	l.RandomNorm = floats.Norm(p.second, 2)
	floats.Scale(1/l.RandomNorm, p.second)
	l.Directions = [][]float64{p.first, p.second}
	return nil
}

// score evaluates the supernet at centre + a·first + b·second.
func (p *plane) score(ctx context.Context, a, b float64) (results.Score, error) {
	point := slices.Clone(p.centre)
	floats.AddScaled(point, a, p.first)
	floats.AddScaled(point, b, p.second)
	mixing := p.mixing(point)
	var s results.Score
	correct := 0
	for i, batch := range p.batches {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		p.draw(i)
		pass, err := p.net.Forward(batch, mixing, supernet.BatchStatistics)
		if err != nil {
			return s, fmt.Errorf("point (%g, %g), batch %d: %w", a, b, i, err)
		}
		correct += pass.Correct
		s.Loss += pass.Loss * float64(batch.N) / float64(p.images)
	}
	s.Accuracy = float64(correct) / float64(p.images)
	if math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0) {
		return s, fmt.Errorf("point (%g, %g): loss is %g: %w", a, b, s.Loss, algorithms.ErrDiverged)
	}
	return s, nil
}

// rows calls do with the range of every row of a mixing vector.
func (p *plane) rows(mixing []float64, do func(lo, hi int)) {
	for cell := 0; cell < len(mixing); cell += p.space.Dim() {
		for _, r := range p.space.Rows() {
			do(cell+r.Offset, cell+r.End())
		}
	}
}

// clip returns the point with its rows brought back to the simplex.
func (p *plane) clip(point []float64) []float64 {
	clipped := slices.Clone(point)
	p.rows(clipped, func(lo, hi int) { algorithms.ClipRow(clipped[lo:hi]) })
	return clipped
}

// clipGradient is the chain rule through clip at a point of the simplex, where
// only the division by the sum takes effect: per row g − ⟨mixing,g⟩.
func (p *plane) clipGradient(mixing, grad []float64) []float64 {
	out := slices.Clone(grad)
	p.rows(mixing, func(lo, hi int) { floats.AddConst(-floats.Dot(mixing[lo:hi], grad[lo:hi]), out[lo:hi]) })
	return out
}
