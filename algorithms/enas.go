package algorithms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/algorithms/controller"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	Register(Definition{
		Name:  "enas",
		Title: "ENAS",
		Look:  catalogue.Look{Family: catalogue.Baselines, Colour: catalogue.Black, Place: 7},
		Doc: "ENAS (Pham et al., ICML 2018): an LSTM controller samples cells; in turn the supernet is trained on its samples, it " +
			"is trained by REINFORCE on their accuracy, and the best of many samples is taken. The released code learns from " +
			"45,000 images, rewards on the other 5,000 and ranks cells on the test set (quirk Q18).",
		Options: append([]Option{
			{Name: "learning-rate", Default: 0.025, Max: 10, Doc: "weights: highest learning rate of the schedule"},
			{Name: "learning-rate-min", Default: 0.001, Max: 10, Doc: "weights: lowest learning rate of the schedule"},
			{Name: "schedule-steps", Kind: Count, Default: 100, Min: 1, Max: 1e9, Doc: "weights: steps from the highest rate to the lowest, and as many back up, again and again (quirk Q19)"},
			{Name: "schedule-per-epoch", Kind: Switch, Doc: "weights: a single descent over all epochs instead, as was surely meant (quirk Q19)"},
			{Name: "momentum", Default: 0.9, Max: 1, Doc: "weights: momentum of SGD"},
			{Name: "weight-decay", Default: 1e-4, Max: 1, Doc: "weights: L2 factor, added to the clipped gradient"},
			{Name: "clip", Default: 0.25, Max: 1e9, Doc: "weights: bound on the 2-norm of the gradient; 0 does not clip"},
			{Name: "controller-steps", Kind: Count, Default: 300, Min: 1, Max: 1e6, Doc: "controller: steps in an epoch"},
			{Name: "controller-hidden", Kind: Count, Default: 64, Min: 1, Max: 1024, Doc: "controller: width of the LSTM"},
			{Name: "controller-learning-rate", Default: 3.5e-4, Max: 10, Doc: "controller: learning rate of Adam; the released command line says 3.5e-3 and is ignored (quirk Q20)"},
			{Name: "controller-beta1", Default: 0.1, Max: 0.999999, Doc: "controller: Adam's decay of the first moment (quirk Q20)"},
			{Name: "controller-beta2", Default: 0.999, Max: 0.999999, Doc: "controller: Adam's decay of the second moment"},
			{Name: "controller-epsilon", Default: 1e-3, Min: 1e-12, Max: 1, Doc: "controller: Adam's ε, which guards the division"},
			{Name: "entropy-weight", Default: 1e-4, Max: 1e6, Doc: "reward: factor of the sample's entropy"},
			{Name: "reward-percent", Kind: Switch, Default: 1, Doc: "reward: accuracy in percent, beside which the entropy counts for nothing; off is in [0,1] (quirk Q20)"},
			{Name: "baseline-decay", Default: 0.99, Max: 1, Doc: "reward: decay of the mean that is subtracted, which includes the current reward (quirk Q20)"},
			{Name: "reward-split", Kind: Switch, Doc: "evaluation: rank cells on the images that reward, not augmented, instead of the test set (quirk Q18)"},
		}, rankingOptions(1)...),
		After:    true,
		Discrete: true,
		Supports: func(s *spaces.Space) error {
			if _, err := nb1shot1.Get(s.Name()); err != nil {
				return errors.New("its controller samples cells of NAS-Bench-1Shot1")
			}
			return nil
		},
		Preparation: func(_ *spaces.Space, s Settings) Preparation {
			return Preparation{Batch: 64, TrainPortion: 0.9, Normalization: &data.ENASNormalization, TestSet: !s.On("reward-split")}
		},
		Warning: func(s Settings) string {
			if s.On("reward-split") {
				return ""
			}
			return "cells were ranked on the test set of the images, as the released code does (quirk Q18); reward-split=on ranks them on held-out training images"
		},
		New: newENAS,
	})
}

// enas is a run of ENAS. Options of the released code that nothing reads are left
// out (quirk Q25).
type enas struct {
	cfg        Config
	rate       Cosine
	perEpoch   bool
	sgd        supernet.SGD
	controller *controller.Controller
	parameters []float64 // of the controller
	adam       Adam
	ranking
	ranked Queue // where cells are ranked

	baseline    float64
	epoch, step int
	trained     int // batches that trained the supernet so far, in all epochs
}

func newENAS(cfg Config) (Searcher, error) {
	s := cfg.Settings
	space, err := nb1shot1.Get(cfg.Space.Name())
	if err != nil {
		return nil, fmt.Errorf("algorithm enas: %w", err)
	}
	c, err := controller.New(controller.Config{Space: space, Hidden: s.Count("controller-hidden")})
	if err != nil {
		return nil, fmt.Errorf("algorithm enas: %w", err)
	}
	c.Initialize(random.New(cfg.Seed, "enas/controller"))
	e := &enas{
		cfg:        cfg,
		rate:       Cosine{Max: s.Number("learning-rate"), Min: s.Number("learning-rate-min"), Length: s.Count("schedule-steps")},
		perEpoch:   s.On("schedule-per-epoch"),
		sgd:        supernet.SGD{Momentum: s.Number("momentum"), WeightDecay: s.Number("weight-decay"), Clip: s.Number("clip")},
		controller: c,
		parameters: c.Parameters(),
		ranking:    newRanking(s),
		ranked:     TestSet,
	}
	n := len(e.parameters)
	e.adam = Adam{
		LearningRate: s.Number("controller-learning-rate"),
		Beta1:        s.Number("controller-beta1"), Beta2: s.Number("controller-beta2"), Epsilon: s.Number("controller-epsilon"),
		Moments: Moments{M: make([]float64, n), V: make([]float64, n)},
	}
	if e.perEpoch {
		e.rate.Length = cfg.Epochs
	}
	if s.On("reward-split") {
		e.ranked = Held
	}
	return e, nil
}

func (e *enas) Steps(b Batches) int {
	return b.Len(Train) + e.cfg.Settings.Count("controller-steps") + e.steps()
}

func (e *enas) StartEpoch(epoch int) {
	e.epoch, e.step = epoch, 0
	e.start()
}

// Step trains the supernet on a sampled cell, then, when the training part has
// been passed, the controller, and then ranks cells.
func (e *enas) Step(_ context.Context, net Supernet, b Batches) (info StepInfo, err error) {
	n, controllerSteps := b.Len(Train), e.cfg.Settings.Count("controller-steps")
	switch k := e.step; {
	case k < n:
		info, err = e.stepChild(net, b.Batch(Train, e.epoch, k))
	case k < n+controllerSteps:
		// The batches that reward go on where the epoch before stopped.
		info, err = e.stepController(net, b.Batch(Search, 0, e.epoch*controllerSteps+k-n))
	default:
		info.Score, err = e.ranking.step(net, b, e.ranked, e.epoch, k-n-controllerSteps, func(k int) (spaces.Architecture, error) {
			s, err := e.sample("candidate", k)
			return s.Architecture, err
		})
	}
	if err != nil {
		return info, fmt.Errorf("step %d of epoch %d: %w", e.step, e.epoch, err)
	}
	e.step++
	return info, nil
}

// sample draws a cell by the controller.
func (e *enas) sample(what string, k int) (controller.Sample, error) {
	draw := e.cfg.Choose
	if draw == nil {
		draw = controller.Random(random.New(e.cfg.Seed, "enas/"+what, uint64(e.epoch), uint64(k)))
	}
	return e.controller.Sample(draw)
}

func (e *enas) stepChild(net Supernet, train data.Batch) (StepInfo, error) {
	s, err := e.sample("child", e.step)
	if err != nil {
		return StepInfo{}, err
	}
	rate := e.rate.At(e.trained)
	if e.perEpoch {
		rate = e.rate.At(e.epoch)
	}
	info, err := trainDiscrete(net, train, s.Architecture, e.sgd, rate)
	e.trained++
	return info, err
}

// stepController is a step of REINFORCE on one sample: its reward against the
// baseline, which has taken it up before.
func (e *enas) stepController(net Supernet, reward data.Batch) (info StepInfo, err error) {
	s, err := e.sample("controller", e.step)
	if err != nil {
		return info, err
	}
	info.Architecture, err = net.Forward(reward, e.cfg.Space.DiscreteWeights(s.Architecture), supernet.RunningStatistics)
	if err != nil {
		return info, err
	}
	if err := checkLoss(info.Architecture.Loss); err != nil {
		return info, err
	}
	r := float64(info.Architecture.Correct) / float64(reward.N)
	if e.cfg.Settings.On("reward-percent") {
		r *= 100
	}
	r += e.cfg.Settings.Number("entropy-weight") * s.Entropy
	decay := e.cfg.Settings.Number("baseline-decay")
	e.baseline = decay*e.baseline + (1-decay)*r
	if info.ArchGradient, err = e.controller.Gradient(s, r-e.baseline); err != nil {
		return info, err
	}
	e.adam.Step(e.parameters, info.ArchGradient)
	return info, e.controller.SetParameters(e.parameters)
}

// Architecture is the winner of the last evaluation; before the first, a sample.
func (e *enas) Architecture() spaces.Architecture {
	if e.Winner != nil {
		return e.Winner.Architecture
	}
	return e.cfg.Space.Sample(random.New(e.cfg.Seed, "enas/initial"))
}

// ENASState is what a run of ENAS saves, as JSON.
type ENASState struct {
	Algorithm  string    `json:"algorithm"`
	Epoch      int       `json:"epoch"`
	Step       int       `json:"step"`
	Trained    int       `json:"trained"` // batches that trained the supernet
	Baseline   float64   `json:"baseline"`
	Parameters []float64 `json:"parameters"` // of the controller
	Adam       Moments   `json:"adam"`
	Ranking    ranking   `json:"ranking"`
}

func (e *enas) State() ([]byte, error) {
	b, err := json.Marshal(ENASState{"enas", e.epoch, e.step, e.trained, e.baseline, e.parameters, e.adam.Moments, e.ranking})
	if err != nil {
		return nil, fmt.Errorf("save state of enas: %w", err)
	}
	return b, nil
}

func (e *enas) SetState(b []byte) error {
	s := ENASState{Ranking: newRanking(e.cfg.Settings)}
	err := json.Unmarshal(b, &s)
	n := len(e.parameters)
	switch {
	case err != nil:
	case s.Algorithm != "enas":
		err = fmt.Errorf("it was saved by %q", s.Algorithm)
	case s.Epoch < 0 || s.Step < 0 || s.Trained < 0 || s.Adam.Steps < 0:
		err = fmt.Errorf("negative count in epoch %d, step %d, batch %d, Adam step %d", s.Epoch, s.Step, s.Trained, s.Adam.Steps)
	case len(s.Parameters) != n || len(s.Adam.M) != n || len(s.Adam.V) != n:
		err = fmt.Errorf("%d parameters with %d and %d moments, the controller has %d", len(s.Parameters), len(s.Adam.M), len(s.Adam.V), n)
	default:
		err = s.Ranking.check(e.cfg.Space)
	}
	if err == nil {
		err = e.controller.SetParameters(s.Parameters)
	}
	if err != nil {
		return fmt.Errorf("restore state of enas: %w", err)
	}
	e.epoch, e.step, e.trained, e.baseline = s.Epoch, s.Step, s.Trained, s.Baseline
	e.parameters, e.adam.Moments, e.ranking = s.Parameters, s.Adam, s.Ranking
	return nil
}
