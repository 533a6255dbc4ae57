package algorithms

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// relaxation is the bilevel search over continuously relaxed cells that DARTS
// introduced (Liu et al., 2019) and SDARTS perturbs. A step is
//
//	(a) gradient of the search loss with respect to the alphas, Adam step;
//	(b) gradient of the training loss with respect to the weights, taken where
//	    perturb puts the mixing weights, clipped SGD step.
//
// Both passes normalise by batch statistics. (b) sees the alphas that (a) moved,
// and its own gradient with respect to them is never taken.
type relaxation struct {
	name      string
	cfg       Config
	warmStart int // epochs without (a)
	rate      Cosine
	shift     int // see option learning-rate-shift
	sgd       supernet.SGD
	adam      Adam
	archClip  float64 // bound on the 2-norm of the alphas' gradient; 0 does not clip
	alphas    []float64
	epoch     int
	step      int // next step of the epoch, which names the stream of its draws

	accumulate  bool      // see option accumulate of DARTS
	accumulated []float64 // gradient that the next step of the warm start adds to; nil is 0

	// What makes an algorithm: its file replaces relax and archGradient or sets
	// the others.

	// relax returns where a pass stands; k counts the batches of a validation.
	relax func(use Use, k int) Mixing
	// before is called before a pass over so many images that trains; nil does nothing.
	before func(net Supernet, use Use, images int)
	// archGradient sets info.Architecture and info.ArchGradient.
	archGradient func(ctx context.Context, net Supernet, train, search data.Batch, info *StepInfo) error
	// perturb sets info.Mixing, and Epsilon and Attack where they apply, given
	// info.Simplex. nil mixes by the simplex itself.
	perturb func(net Supernet, train data.Batch, info *StepInfo) error
	// settle is called after the alphas moved and at the end of a step; nil does nothing.
	settle func(endOfStep bool)
}

// State is what a searcher of the DARTS family saves, as JSON. Numbers are
// written so that they read back exactly.
type State struct {
	Algorithm string    `json:"algorithm"`
	Epoch     int       `json:"epoch"`
	Step      int       `json:"step"`   // steps done in the epoch
	Alphas    []float64 `json:"alphas"` // length space.Dim()
	Adam      Moments   `json:"adam"`
	// Accumulated is the weights' gradient that the next step adds to, see option
	// accumulate; mostly absent.
	Accumulated []float64 `json:"accumulated,omitempty"`
}

// relaxationOptions returns the options every relaxation has. Defaults are those
// of the released code, which the paper shares.
func relaxationOptions() []Option {
	return []Option{
		{Name: "learning-rate", Default: 0.025, Max: 10, Doc: "weights: learning rate at the start of the cosine schedule"},
		{Name: "learning-rate-min", Default: 0.001, Max: 10, Doc: "weights: learning rate at the end of the schedule"},
		{Name: "learning-rate-shift", Kind: Count, Default: 1, Max: 1, Doc: "weights: epoch e takes the schedule at e+1, so the highest rate is never used (quirk Q1); 0 takes it at e"},
		{Name: "momentum", Default: 0.9, Max: 1, Doc: "weights: momentum of SGD"},
		{Name: "weight-decay", Default: 3e-4, Max: 1, Doc: "weights: L2 factor, added to the clipped gradient"},
		{Name: "clip", Default: 5, Max: 1e9, Doc: "weights: bound on the 2-norm of the gradient; 0 does not clip"},
		{Name: "arch-learning-rate", Default: 3e-4, Max: 10, Doc: "alphas: learning rate of Adam, constant"},
		{Name: "arch-beta1", Default: 0.5, Max: 0.999999, Doc: "alphas: Adam's decay of the first moment"},
		{Name: "arch-beta2", Default: 0.999, Max: 0.999999, Doc: "alphas: Adam's decay of the second moment"},
		{Name: "arch-weight-decay", Default: 1e-3, Max: 1, Doc: "alphas: L2 factor, added to the gradient and to the Hessian's diagonal (quirk Q9)"},
		{Name: "warm-start-epochs", Kind: Count, Max: 1e6, Doc: "first epochs in which only the weights move, on a fresh gradient each step (quirk Q22: the released DARTS script lets it accumulate)"},
	}
}

// newRelaxation returns plain DARTS, for the algorithm of the given name to
// change. Its alphas start at normal draws of deviation 1e-3 around centre.
func newRelaxation(name string, cfg Config, centre float64) *relaxation {
	s := cfg.Settings
	r := &relaxation{
		name:      name,
		cfg:       cfg,
		warmStart: s.count("warm-start-epochs"),
		rate:      Cosine{Max: s.number("learning-rate"), Min: s.number("learning-rate-min"), Length: cfg.Epochs},
		shift:     s.count("learning-rate-shift"),
		sgd:       supernet.SGD{Momentum: s.number("momentum"), WeightDecay: s.number("weight-decay"), Clip: s.number("clip")},
		adam: Adam{
			LearningRate: s.number("arch-learning-rate"),
			Beta1:        s.number("arch-beta1"),
			Beta2:        s.number("arch-beta2"),
			WeightDecay:  s.number("arch-weight-decay"),
			Epsilon:      AdamEpsilon,
			Moments:      Moments{M: make([]float64, cfg.Space.Dim()), V: make([]float64, cfg.Space.Dim())},
		},
		alphas: make([]float64, cfg.Space.Dim()),
	}
	r.relax = func(Use, int) Mixing { return Softmax(cfg.Space, r.alphas) }
	r.archGradient = func(_ context.Context, net Supernet, _, search data.Batch, info *StepInfo) error {
		return r.firstOrder(net, search, info)
	}
	draws := random.New(cfg.Seed, "alphas")
	for i := range r.alphas {
		r.alphas[i] = centre + 1e-3*draws.NormFloat64()
	}
	return r
}

func (r *relaxation) StartEpoch(epoch int) { r.epoch, r.step = epoch, 0 }

func (r *relaxation) Alphas() []float64 { return slices.Clone(r.alphas) }

func (r *relaxation) Architecture() spaces.Architecture {
	return r.cfg.Space.Discretize(r.alphas, r.cfg.Ties)
}

func (r *relaxation) Mixing(use Use, k int) Mixing { return r.relax(use, k) }

// Steps is one for each training batch. Step k takes search batch k.
func (r *relaxation) Steps(b Batches) int { return b.Len(Train) }

func (r *relaxation) Step(ctx context.Context, net Supernet, b Batches) (StepInfo, error) {
	train := b.Batch(Train, r.epoch, r.step)
	info := StepInfo{LearningRate: r.rate.At(r.epoch + r.shift)}
	if r.epoch >= r.warmStart {
		if err := r.stepArchitecture(ctx, net, train, b.Batch(Search, r.epoch, r.step), &info); err != nil {
			return info, fmt.Errorf("architecture step %d of epoch %d: %w", r.step, r.epoch, err)
		}
	}
	if err := r.stepWeights(net, train, &info); err != nil {
		return info, fmt.Errorf("weight step %d of epoch %d: %w", r.step, r.epoch, err)
	}
	if r.settle != nil {
		r.settle(true)
	}
	r.step++
	return info, nil
}

func (r *relaxation) stepArchitecture(ctx context.Context, net Supernet, train, search data.Batch, info *StepInfo) error {
	if r.before != nil {
		r.before(net, ForArchitecture, search.N)
	}
	if err := r.archGradient(ctx, net, train, search, info); err != nil {
		return err
	}
	info.ArchNorm = math.Sqrt(dot(info.ArchGradient, info.ArchGradient))
	if r.archClip > 0 {
		// The 1e-6 is the released code's guard against division by 0.
		if factor := r.archClip / (info.ArchNorm + 1e-6); factor < 1 {
			for i := range info.ArchGradient {
				info.ArchGradient[i] *= factor
			}
		}
	}
	r.adam.Step(r.alphas, info.ArchGradient)
	if r.settle != nil {
		r.settle(false)
	}
	return nil
}

// firstOrder is the gradient of the search loss with the weights as they are.
func (r *relaxation) firstOrder(net Supernet, search data.Batch, info *StepInfo) (err error) {
	info.Architecture, info.ArchGradient, err = alphaGradient(net, search, r.relax(ForArchitecture, 0))
	return err
}

// alphaGradient is the loss in training mode and its gradient by the alphas.
func alphaGradient(net Supernet, b data.Batch, m Mixing) (supernet.Pass, []float64, error) {
	grad := make([]float64, len(m.Weights))
	pass, err := net.MixingGradient(b, m.Weights, supernet.BatchStatistics, grad)
	if err == nil {
		err = checkLoss(pass.Loss)
	}
	if err != nil {
		return pass, nil, err
	}
	return pass, m.Gradient(grad), nil
}

func (r *relaxation) stepWeights(net Supernet, train data.Batch, info *StepInfo) (err error) {
	info.Simplex = r.relax(ForWeights, 0).Weights
	info.Mixing = info.Simplex
	if r.perturb != nil {
		if err := r.perturb(net, train, info); err != nil {
			return err
		}
	}
	if r.before != nil {
		r.before(net, ForWeights, train.N)
	}
	info.Images = train.N
	if info.Weights, err = net.WeightGradient(train, info.Mixing, supernet.BatchStatistics); err != nil {
		return err
	}
	if err := checkLoss(info.Weights.Loss); err != nil {
		return err
	}
	warming := r.accumulate && r.epoch < r.warmStart
	if warming && r.accumulated != nil {
		g := make([]float64, net.ParameterCount())
		if len(r.accumulated) != len(g) {
			return fmt.Errorf("the saved gradient has %d numbers, the supernet %d weights", len(r.accumulated), len(g))
		}
		net.ReadGradient(g)
		net.WriteGradient(sum(g, r.accumulated))
	}
	sgd := r.sgd
	sgd.LearningRate = info.LearningRate
	if info.GradientNorm, err = net.StepWeights(sgd); err != nil {
		return err
	}
	r.accumulated = nil
	if warming {
		r.accumulated = make([]float64, net.ParameterCount())
		net.ReadGradient(r.accumulated)
	}
	return nil
}

func checkLoss(loss float64) error {
	if !finite(loss) {
		return fmt.Errorf("loss is %v: %w, a lower learning rate may help", loss, ErrDiverged)
	}
	return nil
}

// draw returns a fresh perturbation, uniform in [-ε, ε] per entry. The stream is
// named by epoch and step, so the saved state need not hold a generator.
func (r *relaxation) draw(epsilon float64) []float64 {
	delta := make([]float64, len(r.alphas))
	if r.cfg.Noise != nil {
		r.cfg.Noise(delta)
		return delta
	}
	draws := random.New(r.cfg.Seed, "sdarts/delta", uint64(r.epoch), uint64(r.step))
	for i := range delta {
		delta[i] = epsilon * (2*draws.Float64() - 1)
	}
	return delta
}

func (r *relaxation) state() State {
	return State{r.name, r.epoch, r.step, r.alphas, r.adam.Moments, r.accumulated}
}

func (r *relaxation) State() ([]byte, error) {
	b, err := json.Marshal(r.state())
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", r.name, err)
	}
	return b, nil
}

func (r *relaxation) SetState(b []byte) error {
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore state of %s: %w", r.name, err)
	}
	return r.setState(s)
}

func (r *relaxation) setState(s State) error {
	if s.Algorithm != r.name {
		return fmt.Errorf("restore state of %s: it was saved by %q", r.name, s.Algorithm)
	}
	if s.Epoch < 0 || s.Step < 0 || s.Adam.Steps < 0 {
		return fmt.Errorf("restore state of %s: negative count in epoch %d, step %d, adam step %d", r.name, s.Epoch, s.Step, s.Adam.Steps)
	}
	for field, v := range map[string][]float64{"alphas": s.Alphas, "adam.m": s.Adam.M, "adam.v": s.Adam.V} {
		if len(v) != len(r.alphas) {
			return fmt.Errorf("restore state of %s: %s has %d numbers, space %d needs %d",
				r.name, field, len(v), r.cfg.Space.ID(), len(r.alphas))
		}
	}
	r.epoch, r.step, r.alphas, r.adam.Moments, r.accumulated = s.Epoch, s.Step, s.Alphas, s.Adam, s.Accumulated
	return nil
}
