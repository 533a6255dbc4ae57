package algorithms

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// Relaxation is the bilevel search over continuously relaxed cells that DARTS
// introduced (Liu et al., 2019) and SDARTS perturbs. A step is
//
//	(a) gradient of the search loss with respect to the alphas, Adam step;
//	(b) gradient of the training loss with respect to the weights, taken where
//	    Perturb puts the mixing weights, clipped SGD step.
//
// Both passes normalise by batch statistics. (b) sees the alphas that (a) moved,
// and its own gradient with respect to them is never taken.
//
// As NewRelaxation returns it, it is first-order DARTS. Another algorithm replaces Relax or
// ArchGradient or sets the other hooks, before the first step. A hook that has a state of
// its own between steps must save it: embed the Relaxation, and State and SetState too, as
// darts_es.go does.
type Relaxation struct {
	name      string
	cfg       Config
	warmStart int // epochs without (a)
	rate      Cosine
	shift     int // see option learning-rate-shift
	sgd       supernet.SGD
	adam      Adam
	archClip  float64 // bound on the 2-norm of the alphas' gradient; 0 does not clip
	alphas    []float64
	first     int // epoch from which the schedules count
	epoch     int
	step      int // next step of the epoch, which names the stream of its draws
	look      int // pass of a second-order architecture step, likewise; 0 outside one

	accumulate  bool      // see option accumulate of DARTS
	accumulated []float64 // gradient that the next step of the warm start adds to; nil is 0

	// Relax returns where a pass stands; k counts the batches of a validation. In
	// DARTS it is the softmax of the alphas.
	Relax func(use Use, k int) Mixing
	// Before is called before a training pass over a number of images; nil does nothing.
	Before func(net Supernet, use Use, images int)
	// ArchGradient sets info.Architecture and info.ArchGradient. In DARTS it is FirstOrder.
	ArchGradient func(ctx context.Context, net Supernet, train, search data.Batch, info *StepInfo) error
	// Perturb sets info.Mixing, and Epsilon and Attack where they apply, given
	// info.Simplex. nil mixes by the simplex itself.
	Perturb func(net Supernet, train data.Batch, info *StepInfo) error
	// Settle may change the alphas after they moved and at the end of a step; nil does
	// nothing.
	Settle func(alphas []float64, endOfStep bool)
	// HessianDraws is how many samples the Hessian is averaged over where Relax draws
	// at random (quirk Q14).
	HessianDraws int
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

// RelaxationOptions returns the options that every relaxation has, for its Definition to
// list. Defaults are those of the released code, which the paper shares.
func RelaxationOptions() []Option {
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

// NewRelaxation returns first-order DARTS, for the algorithm of the given name to
// change. Its alphas start at normal draws of deviation 1e-3 around centre. The
// configuration is what Definition.New is given: its settings must have all of
// RelaxationOptions.
func NewRelaxation(name string, cfg Config, centre float64) *Relaxation {
	s := cfg.Settings
	r := &Relaxation{
		name:      name,
		cfg:       cfg,
		warmStart: s.Count("warm-start-epochs"),
		rate:      Cosine{Max: s.Number("learning-rate"), Min: s.Number("learning-rate-min"), Length: cfg.Epochs},
		shift:     s.Count("learning-rate-shift"),
		sgd:       supernet.SGD{Momentum: s.Number("momentum"), WeightDecay: s.Number("weight-decay"), Clip: s.Number("clip")},
		adam: Adam{
			LearningRate: s.Number("arch-learning-rate"),
			Beta1:        s.Number("arch-beta1"),
			Beta2:        s.Number("arch-beta2"),
			WeightDecay:  s.Number("arch-weight-decay"),
			Epsilon:      AdamEpsilon,
			Moments:      Moments{M: make([]float64, cfg.Space.Dim()), V: make([]float64, cfg.Space.Dim())},
		},
		alphas:       make([]float64, cfg.Space.Dim()),
		HessianDraws: 1,
	}
	r.Relax = func(Use, int) Mixing { return Softmax(cfg.Space, r.alphas) }
	r.ArchGradient = func(_ context.Context, net Supernet, _, search data.Batch, info *StepInfo) error {
		return r.FirstOrder(net, search, info)
	}
	draws := random.New(cfg.Seed, "alphas")
	for i := range r.alphas {
		r.alphas[i] = centre + 1e-3*draws.NormFloat64()
	}
	return r
}

// StartEpoch implements [Searcher].
func (r *Relaxation) StartEpoch(epoch int) { r.epoch, r.step = epoch, 0 }

// Epoch is the epoch that was started last, counted from 0.
func (r *Relaxation) Epoch() int { return r.epoch }

// scheduled is the epoch as the schedules count it.
func (r *Relaxation) scheduled() int { return r.epoch - r.first }

// Space implements [Relaxed].
func (r *Relaxation) Space() *spaces.Space { return r.cfg.Space }

// Prepare implements [Relaxed].
func (r *Relaxation) Prepare(net Supernet, use Use, images int) {
	if r.Before != nil {
		r.Before(net, use, images)
	}
}

// operations is how many of the parameters choose operations: those that SDARTS perturbs
// where edges have parameters in rows of their own, as in PC-DARTS. In NAS-Bench-1Shot1 it
// perturbs all.
func (r *Relaxation) operations() int {
	if space, ok := darts.Of(r.cfg.Space); ok && space.HasEdges() {
		return space.Base().Dim()
	}
	return r.cfg.Space.Dim()
}

// Random returns a stream of draws for this step: the same whenever the step is made, so
// that no generator needs to be saved. The purpose names it among the others.
func (r *Relaxation) Random(purpose string) *rand.Rand {
	return random.New(r.cfg.Seed, purpose, uint64(r.epoch), uint64(r.step))
}

// Alphas implements [Relaxed].
func (r *Relaxation) Alphas() []float64 { return slices.Clone(r.alphas) }

// Architecture is the discretisation of the alphas.
func (r *Relaxation) Architecture() spaces.Architecture {
	return r.cfg.Space.Discretize(r.alphas, r.cfg.Ties)
}

// Mixing implements [Relaxed].
func (r *Relaxation) Mixing(use Use, k int) Mixing { return r.Relax(use, k) }

// Curvature implements [Relaxed].
func (r *Relaxation) Curvature() (draws int, decay float64) {
	return r.HessianDraws, r.adam.WeightDecay
}

// Steps is one for each training batch. Step k takes search batch k.
func (r *Relaxation) Steps(b Batches) int { return b.Len(Train) }

// Step makes an architecture step, but for the epochs of the warm start, and a weight step.
func (r *Relaxation) Step(ctx context.Context, net Supernet, b Batches) (StepInfo, error) {
	train := b.Batch(Train, r.epoch, r.step)
	info := StepInfo{LearningRate: onBatch(train, r.rate.At(r.scheduled()+r.shift))}
	net.SetDraws(r.cfg.Seed, "step", uint64(r.epoch), uint64(r.step))
	if r.scheduled() >= r.warmStart {
		if err := r.stepArchitecture(ctx, net, train, b.Batch(Search, r.epoch, r.step), &info); err != nil {
			return info, fmt.Errorf("architecture step %d of epoch %d: %w", r.step, r.epoch, err)
		}
	}
	if err := r.stepWeights(net, train, &info); err != nil {
		return info, fmt.Errorf("weight step %d of epoch %d: %w", r.step, r.epoch, err)
	}
	if r.Settle != nil {
		r.Settle(r.alphas, true)
	}
	r.step++
	return info, nil
}

func (r *Relaxation) stepArchitecture(ctx context.Context, net Supernet, train, search data.Batch, info *StepInfo) error {
	r.Prepare(net, ForArchitecture, search.N)
	if err := r.ArchGradient(ctx, net, train, search, info); err != nil {
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
	if r.Settle != nil {
		r.Settle(r.alphas, false)
	}
	return nil
}

// FirstOrder is DARTS' ArchGradient: the gradient of the search loss with the weights as they are.
func (r *Relaxation) FirstOrder(net Supernet, search data.Batch, info *StepInfo) (err error) {
	info.Architecture, info.ArchGradient, err = alphaGradient(net, search, r.Relax(ForArchitecture, 0))
	return err
}

// alphaGradient is the loss in training mode and its gradient with respect to the alphas.
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

func (r *Relaxation) stepWeights(net Supernet, train data.Batch, info *StepInfo) (err error) {
	info.Simplex = r.Relax(ForWeights, 0).Weights
	info.Mixing = info.Simplex
	if r.Perturb != nil {
		if err := r.Perturb(net, train, info); err != nil {
			return err
		}
	}
	r.Prepare(net, ForWeights, train.N)
	info.Trained = train.N
	if info.Weights, err = net.WeightGradient(train, info.Mixing, supernet.BatchStatistics); err != nil {
		return err
	}
	if err := checkLoss(info.Weights.Loss); err != nil {
		return err
	}
	warming := r.accumulate && r.scheduled() < r.warmStart
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

// draw returns a fresh perturbation, uniform in [-ε, ε] per entry, and 0 for those that
// are not perturbed. The stream is
// named by epoch and step, so the saved state need not hold a generator.
func (r *Relaxation) draw(epsilon float64) []float64 {
	all := make([]float64, len(r.alphas))
	delta := all[:r.operations()]
	if r.cfg.Noise != nil {
		r.cfg.Noise(delta)
		return all
	}
	draws := r.Random("sdarts/delta")
	for i := range delta {
		delta[i] = epsilon * (2*draws.Float64() - 1)
	}
	return all
}

func (r *Relaxation) state() State {
	return State{r.name, r.epoch, r.step, r.alphas, r.adam.Moments, r.accumulated}
}

// State returns a State as JSON.
func (r *Relaxation) State() ([]byte, error) {
	b, err := json.Marshal(r.state())
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", r.name, err)
	}
	return b, nil
}

// SetState restores what State returned.
func (r *Relaxation) SetState(b []byte) error {
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore state of %s: %w", r.name, err)
	}
	return r.setState(s)
}

func (r *Relaxation) setState(s State) error {
	if s.Algorithm != r.name {
		return fmt.Errorf("restore state of %s: it was saved by %q", r.name, s.Algorithm)
	}
	if s.Epoch < 0 || s.Step < 0 || s.Adam.Steps < 0 {
		return fmt.Errorf("restore state of %s: negative count in epoch %d, step %d, adam step %d", r.name, s.Epoch, s.Step, s.Adam.Steps)
	}
	for field, v := range map[string][]float64{"alphas": s.Alphas, "adam.m": s.Adam.M, "adam.v": s.Adam.V} {
		if len(v) != len(r.alphas) {
			return fmt.Errorf("restore state of %s: %s has %d numbers, space %s needs %d",
				r.name, field, len(v), r.cfg.Space.Name(), len(r.alphas))
		}
	}
	r.epoch, r.step, r.alphas, r.adam.Moments, r.accumulated = s.Epoch, s.Step, s.Alphas, s.Adam, s.Accumulated
	return nil
}
