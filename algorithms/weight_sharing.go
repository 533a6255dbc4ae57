package algorithms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

func init() {
	var options []Option
	for _, o := range RelaxationOptions() {
		switch o.Name {
		case "clip":
			o.Default = 0.25
		case "learning-rate", "learning-rate-min", "learning-rate-shift", "momentum", "weight-decay":
		default:
			continue
		}
		options = append(options, o)
	}
	Register(Definition{
		Name:  "random-ws",
		Title: "Random search (weight sharing)",
		Look:  catalogue.Look{Family: catalogue.References, Colour: catalogue.Purple, Place: 15},
		Doc: "Random search with weight sharing (Li and Talwalkar, UAI 2019) as in the benchmark's repository: each batch trains " +
			"a random cell within the supernet; after each epoch random cells are scored on a few search batches each and the " +
			"best of them on the whole search half.",
		Options:  append(options, rankingOptions(10)...),
		After:    true,
		Discrete: true,
		Preparation: func(space *spaces.Space, _ Settings) Preparation {
			images := dartsPreparation(space)
			images.Batch = 64
			return images
		},
		Adapt: adaptToRecurrent(nil),
		Own: func(space *spaces.Space) string {
			if isRecurrent(space) {
				return "own definition: cells are ranked by their cross-entropy on passages of the validation text, normalised by the batch"
			}
			return ""
		},
		New: func(cfg Config) (Searcher, error) {
			s := cfg.Settings
			return &randomWS{
				cfg:     cfg,
				rate:    Cosine{Max: s.Number("learning-rate"), Min: s.Number("learning-rate-min"), Length: cfg.Epochs},
				shift:   s.Count("learning-rate-shift"),
				sgd:     supernet.SGD{Momentum: s.Number("momentum"), WeightDecay: s.Number("weight-decay"), Clip: s.Number("clip")},
				ranking: newRanking(s),
			}, nil
		},
	})
}

// rankingOptions are those of the evaluation after an epoch, whose candidates
// are scored on the given number of batches.
func rankingOptions(batches float64) []Option {
	return []Option{
		{Name: "candidates", Kind: Count, Default: 1000, Min: 1, Max: 1e6, Doc: "evaluation: cells drawn after each epoch"},
		{Name: "candidate-batches", Kind: Count, Default: batches, Min: 1, Max: 1e6, Doc: "evaluation: batches that a cell is scored on; the next cell takes the next batches"},
		{Name: "finalists", Kind: Count, Default: 5, Min: 1, Max: 1e6, Doc: "evaluation: best cells that are scored on all images"},
	}
}

// ranking finds a good cell with the weights of a supernet: candidates are scored
// on a few batches each, in rotation, and the best of them on all. The released
// code then calls a lookup that it does not have (quirk Q24).
type ranking struct {
	candidates, batches, finalists int

	Scored []candidate `json:"scored"` // candidates of the epoch so far, best first
	Finals []candidate `json:"finals"` // finalists scored on all images so far
	Winner *candidate  `json:"winner"` // of the last epoch that was ranked
}

func newRanking(s Settings) ranking {
	return ranking{candidates: s.Count("candidates"), batches: s.Count("candidate-batches"), finalists: s.Count("finalists")}
}

// steps is the number of steps of one evaluation.
func (r *ranking) steps() int { return r.candidates + min(r.finalists, r.candidates) }

// start forgets the candidates of the epoch before.
func (r *ranking) start() { r.Scored, r.Finals = nil, nil }

// step does step k of the evaluation of an epoch on the batches of a queue.
// sample draws candidate k. It returns the error of the cell that it scored.
func (r *ranking) step(net Supernet, b Batches, q Queue, epoch, k int, sample func(k int) (spaces.Architecture, error)) (*float64, error) {
	if k < r.candidates {
		a, err := sample(k)
		if err != nil {
			return nil, err
		}
		e, err := score(net, b, q, epoch, k*r.batches, r.batches, a)
		if err != nil {
			return nil, err
		}
		r.Scored = append(r.Scored, candidate{a, e})
		slices.SortStableFunc(r.Scored, func(a, b candidate) int { return cmp.Compare(a.Error, b.Error) })
		r.Scored = r.Scored[:min(len(r.Scored), r.finalists)]
		return &e, nil
	}
	if k-r.candidates >= len(r.Scored) {
		return nil, fmt.Errorf("final %d of %d scored cells", k-r.candidates, len(r.Scored))
	}
	a := r.Scored[k-r.candidates].Architecture
	e, err := score(net, b, q, epoch, 0, b.Len(q), a)
	if err != nil {
		return nil, err
	}
	r.Finals = append(r.Finals, candidate{a, e})
	if len(r.Finals) == len(r.Scored) {
		best := slices.MinFunc(r.Finals, func(a, b candidate) int { return cmp.Compare(a.Error, b.Error) })
		r.Winner = &best
	}
	return &e, nil
}

// score is the share of the images of n batches from first on that the cell
// gets wrong with the supernet's weights, in evaluation mode; on text it is scoreText.
func score(net Supernet, b Batches, q Queue, epoch, first, n int, a spaces.Architecture) (float64, error) {
	space, err := spaces.Get(a.Space)
	if err != nil {
		return 0, err
	}
	weights := space.DiscreteWeights(a)
	if isRecurrent(space) {
		return scoreText(net, b, q, epoch, first, n, weights)
	}
	images, correct := 0, 0
	for k := first; k < first+n; k++ {
		batch := b.Batch(q, epoch, k)
		pass, err := net.Forward(batch, weights, supernet.RunningStatistics)
		if err != nil {
			return 0, err
		}
		images += batch.N
		correct += pass.Correct
	}
	return 1 - float64(correct)/float64(images), nil
}

// check verifies what was read from a saved state.
func (r *ranking) check(space *spaces.Space) error {
	all := slices.Concat(r.Scored, r.Finals)
	if r.Winner != nil {
		all = append(all, *r.Winner)
	}
	for _, c := range all {
		if err := inSpace(space, c.Architecture); err != nil {
			return err
		}
	}
	if len(r.Scored) > r.finalists || len(r.Finals) > len(r.Scored) {
		return fmt.Errorf("%d scored cells, %d finals, for %d finalists", len(r.Scored), len(r.Finals), r.finalists)
	}
	return nil
}

// randomWS is random search with weight sharing.
type randomWS struct {
	cfg   Config
	rate  Cosine
	shift int
	sgd   supernet.SGD
	ranking
	epoch, step int
}

func (w *randomWS) Steps(b Batches) int { return b.Len(Train) + w.steps() }

func (w *randomWS) StartEpoch(epoch int) {
	w.epoch, w.step = epoch, 0
	w.start()
}

func (w *randomWS) Step(_ context.Context, net Supernet, b Batches) (StepInfo, error) {
	net.SetDraws(w.cfg.Seed, "random-ws", uint64(w.epoch), uint64(w.step))
	info, err := StepInfo{}, error(nil)
	if n := b.Len(Train); w.step < n {
		info, err = trainDiscrete(net, b.Batch(Train, w.epoch, w.step), w.draw("train", w.step), w.sgd, w.rate.At(w.epoch+w.shift))
	} else {
		// The search half, augmented, is what the released code ranks on.
		queue := Search
		if isRecurrent(w.cfg.Space) {
			queue = Held // passages side by side, without the jumps of the search's
		}
		info.Score, err = w.ranking.step(net, b, queue, w.epoch, w.step-n, func(k int) (spaces.Architecture, error) { return w.draw("candidate", k), nil })
	}
	if err != nil {
		return info, fmt.Errorf("step %d of epoch %d: %w", w.step, w.epoch, err)
	}
	w.step++
	return info, nil
}

func (w *randomWS) draw(what string, k int) spaces.Architecture {
	return w.cfg.Space.Sample(random.New(w.cfg.Seed, "random-ws/"+what, uint64(w.epoch), uint64(k)))
}

// trainDiscrete is a weight step of the supernet with the 0/1 weights of a cell.
func trainDiscrete(net Supernet, train data.Batch, a spaces.Architecture, sgd supernet.SGD, rate float64) (info StepInfo, err error) {
	space, err := spaces.Get(a.Space)
	if err != nil {
		return info, err
	}
	rate = onBatch(train, rate)
	sgd.LearningRate = rate
	info.LearningRate, info.Trained, info.Mixing = rate, train.N, space.DiscreteWeights(a)
	if info.Weights, err = net.WeightGradient(train, info.Mixing, supernet.BatchStatistics); err != nil {
		return info, err
	}
	if err := checkLoss(info.Weights.Loss); err != nil {
		return info, err
	}
	info.GradientNorm, err = net.StepWeights(sgd)
	return info, err
}

// Architecture is the winner of the last evaluation; before the first, a random cell.
func (w *randomWS) Architecture() spaces.Architecture {
	if w.Winner == nil {
		return w.cfg.Space.Sample(random.New(w.cfg.Seed, "random-ws/initial"))
	}
	return w.Winner.Architecture
}

type sharingState struct {
	Algorithm string  `json:"algorithm"`
	Epoch     int     `json:"epoch"`
	Step      int     `json:"step"`
	Ranking   ranking `json:"ranking"`
}

func (w *randomWS) State() ([]byte, error) {
	b, err := json.Marshal(sharingState{"random-ws", w.epoch, w.step, w.ranking})
	if err != nil {
		return nil, fmt.Errorf("save state of random-ws: %w", err)
	}
	return b, nil
}

func (w *randomWS) SetState(b []byte) error {
	s := sharingState{Ranking: newRanking(w.cfg.Settings)}
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore state of random-ws: %w", err)
	}
	if s.Algorithm != "random-ws" {
		return fmt.Errorf("restore state of random-ws: it was saved by %q", s.Algorithm)
	}
	if s.Epoch < 0 || s.Step < 0 {
		return fmt.Errorf("restore state of random-ws: negative count in epoch %d, step %d", s.Epoch, s.Step)
	}
	if err := s.Ranking.check(w.cfg.Space); err != nil {
		return fmt.Errorf("restore state of random-ws: %w", err)
	}
	w.epoch, w.step, w.ranking = s.Epoch, s.Step, s.Ranking
	return nil
}
