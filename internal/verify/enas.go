package verify

import (
	"context"
	"encoding/json"
	"fmt"

	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/controller"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/spaces"
)

// enasBatches are the batches of a case by queue.
type enasBatches map[algorithms.Queue][]data.Batch

func (b enasBatches) Len(q algorithms.Queue) int { return len(b[q]) }

func (b enasBatches) Batch(q algorithms.Queue, _, k int) data.Batch { return b[q][k%len(b[q])] }

// enas computes steps of the supernet, then of the controller, then single
// evaluations, with the recorded choices.
func enas(g *golden, e engine.Engine, out *findings) error {
	queues := enasBatches{
		algorithms.Train:   batches(g, "train_images", "train_labels", 5),
		algorithms.Search:  batches(g, "reward_images", "reward_labels", 5),
		algorithms.TestSet: batches(g, "valid_images", "valid_labels", 5),
	}
	b, err := newBench(g, e, queues[algorithms.Train][0].Side, out)
	if err != nil {
		return err
	}
	children, controllers := g.lengths["child_calls"], g.lengths["controller_calls"]
	if children != queues.Len(algorithms.Train) || controllers != queues.Len(algorithms.Search) {
		return fmt.Errorf("%d and %d recorded cells for %d and %d batches", children, controllers, queues.Len(algorithms.Train), queues.Len(algorithms.Search))
	}
	calls := &replay{subject: b}
	s, err := b.enasSearcher(controllers, calls.choose)
	if err != nil {
		return err
	}
	b.reset()
	step := func(at string) (algorithms.StepInfo, algorithms.ENASState, error) {
		var state algorithms.ENASState
		if err := calls.sample(s, at); err != nil {
			return algorithms.StepInfo{}, state, err
		}
		info, err := s.Step(context.Background(), b, queues)
		if err != nil {
			return info, state, err
		}
		saved, err := s.State()
		if err != nil {
			return info, state, err
		}
		return info, state, json.Unmarshal(saved, &state)
	}

	for k := range children {
		info, _, err := step(fmt.Sprintf("child_calls[%d].", k))
		if err != nil {
			return err
		}
		at := fmt.Sprintf("child_info[%d].", k)
		out.set(at+"lr", info.LearningRate)
		out.set(at+"loss", info.Weights.Loss)
		out.set(at+"clipped_grad_norm", floats.Norm(b.gradient(), 2))
		out.set(at + "params_without_gradient") // all operations run
		out.set(fmt.Sprintf("child%d_params", k), b.parameters()...)
		out.set(fmt.Sprintf("child%d_buffers", k), b.statistics()...)
		if k == 0 {
			out.set("step0_weight_grad", b.gradient()...)
		}
	}
	// The released code has spent the first batch on a look at its progress.
	last, held := calls.cells[children-1], queues.Batch(algorithms.TestSet, 0, 1)
	pass, err := b.Forward(held, b.space.DiscreteWeights(last), runningStatistics)
	if err != nil {
		return err
	}
	out.set("evaluate_error_after_train", 1-float64(pass.Correct)/float64(held.N))

	for k := range controllers {
		info, state, err := step(fmt.Sprintf("controller_calls[%d].", k))
		if err != nil {
			return err
		}
		at := fmt.Sprintf("controller_info[%d].", k)
		out.set(at+"baseline_after_update", state.Baseline)
		out.set(at + "params_without_gradient")
		at = fmt.Sprintf("ctl%d_", k)
		out.set(at+"reward_logits", info.Architecture.Logits...)
		out.set(at+"grad", info.ArchGradient...)
		out.set(at+"params", state.Parameters...)
	}
	var scores []float64
	for _, at := range []string{"child_calls[0].", "controller_calls[0]."} {
		calls.next = calls.recorded(at)
		info, err := s.Step(context.Background(), b, queues)
		if err != nil {
			return err
		}
		scores = append(scores, *info.Score)
	}
	out.set("final_evaluate_single_batch_error", scores...)
	return nil
}

// enasSearcher builds the searcher of a case from its hyper-parameters.
func (b *subject) enasSearcher(steps int, choose controller.Draw) (algorithms.Searcher, error) {
	hyper := func(name string) float64 { return b.g.number("hyper." + name) }
	betas := b.g.numbers("hyper.betas", 2)
	// The controller's squashing is part of its definition.
	for name, want := range map[string]float64{"temperature": 5, "tanh_constant": 2.5, "op_tanh_reduce": 5, "baseline_initial": 0} {
		if hyper(name) != want {
			return nil, fmt.Errorf("%s is %v, the controller has %v", name, hyper(name), want)
		}
	}
	s, err := algorithms.New("enas", algorithms.Config{
		Space: b.space, Cells: b.Config().Cells, Epochs: 1, Choose: choose,
		Settings: algorithms.Settings{
			"learning-rate":            hyper("child_lr0"),
			"learning-rate-min":        hyper("eta_min"),
			"schedule-steps":           hyper("T_max"),
			"momentum":                 hyper("momentum"),
			"weight-decay":             hyper("weight_decay"),
			"clip":                     hyper("grad_clip"),
			"controller-steps":         float64(steps),
			"controller-hidden":        hyper("lstm_size"),
			"controller-learning-rate": hyper("controller_lr"),
			"controller-beta1":         betas[0],
			"controller-beta2":         betas[1],
			"controller-epsilon":       hyper("eps"),
			"entropy-weight":           hyper("entropy_weight"),
			"baseline-decay":           hyper("baseline_decay"),
			"candidates":               2,
		},
	})
	if err != nil {
		return nil, err
	}
	b.g.numbers("init_alphas", -1) // a network has them, ENAS none
	start := b.g.numbers("controller_init", -1)
	state, err := json.Marshal(algorithms.ENASState{
		Algorithm: "enas", Parameters: start,
		Adam: algorithms.Moments{M: make([]float64, len(start)), V: make([]float64, len(start))},
	})
	if err != nil {
		return nil, err
	}
	return s, s.SetState(state)
}

// replay makes the recorded choices of a case.
type replay struct {
	*subject
	next  [][]int // choices still to make
	cells []spaces.Architecture
}

func (r *replay) choose([]float64, int) []int {
	if len(r.next) == 0 {
		return nil
	}
	chosen := r.next[0]
	r.next = r.next[1:]
	return chosen
}

// recorded reads the choices of a call.
func (r *replay) recorded(at string) (choices [][]int) {
	for i := range r.g.lengths[at+"draws"] {
		var chosen []int
		for _, v := range r.g.numbers(fmt.Sprintf("%sdraws[%d].sampled", at, i), -1) {
			chosen = append(chosen, int(v))
		}
		choices = append(choices, chosen)
	}
	return choices
}

// sample records what the controller of a searcher makes of the choices of a
// call, and sets them as those of its next step.
func (r *replay) sample(s algorithms.Searcher, at string) error {
	saved, err := s.State()
	if err != nil {
		return err
	}
	var state algorithms.ENASState
	if err := json.Unmarshal(saved, &state); err != nil {
		return err
	}
	c, err := controller.New(controller.Config{Space: r.one, Hidden: r.g.integer("hyper.lstm_size")})
	if err != nil {
		return err
	}
	if err := c.SetParameters(state.Parameters); err != nil {
		return err
	}
	for i, t := range c.Tensors() {
		at := fmt.Sprintf("controller_params[%d].", i)
		shape := []int{t.Rows, t.Cols}
		// Of what has one row, PyTorch's layers are matrices and the others vectors.
		if declared := r.g.leaves[at+"shape"].numbers; len(declared) == 1 {
			shape = []int{t.Cols}
		}
		r.out.text(at+"name", t.Name)
		r.out.integers(at+"shape", shape)
		r.out.integers(at+"offset", []int{t.Offset})
		r.out.integers(at+"size", []int{t.Rows * t.Cols})
	}
	r.next = r.recorded(at)
	sample, err := c.Sample(r.choose)
	if err != nil {
		return err
	}
	r.next = r.recorded(at)
	r.cells = append(r.cells, sample.Architecture)
	for i, d := range sample.Decisions {
		r.out.set(fmt.Sprintf("%sdraws[%d].probabilities", at, i), d.Probabilities...)
	}
	r.out.set(at+"neg_log_prob_sum", sample.NegLogProb)
	r.out.set(at+"entropy_sum", sample.Entropy)
	genotype := r.one.Genotype(sample.Architecture)
	nodes := r.one.Blocks() + 2
	adjacency := make([]int, nodes*nodes)
	for to, parents := range genotype.Parents {
		for _, from := range parents {
			adjacency[from*nodes+to] = 1
		}
	}
	r.out.integers(at+"adjacency", adjacency)
	var ops []string
	for _, op := range genotype.Ops {
		ops = append(ops, op.String())
	}
	r.out.text(at+"ops", ops...)
	return nil
}
