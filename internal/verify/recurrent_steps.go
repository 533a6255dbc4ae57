package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// triggers decides when averaging begins and which epochs are the best, by made-up losses.
func triggers(g *golden, out *findings) error {
	n := g.lengths["cases"]
	out.integers("n", []int{n})
	for i := range n {
		at := fmt.Sprintf("cases[%d].", i)
		t := recurrent.Trigger{Patience: g.integer(at + "nonmono")}
		var optimizers []string
		var best []int
		first := -1
		for k, loss := range g.numbers(at+"valid_losses", -1) {
			if t.Averaging() {
				optimizers = append(optimizers, "asgd")
				if first < 0 {
					first = k + 1
				}
			} else {
				optimizers = append(optimizers, "sgd")
			}
			if t.Epoch(loss) {
				best = append(best, k+1)
			}
		}
		out.text(at+"optimizer_per_epoch", optimizers...)
		out.integers(at+"saved_epochs", best)
		if first < 0 {
			out.text(at+"first_asgd_epoch", "null")
		} else {
			out.integers(at+"first_asgd_epoch", []int{first})
		}
	}
	return nil
}

// columns reads a matrix of words [rows, batch].
func (m *model) columns(name string) (text.Columns, error) {
	shape := m.g.shape(name, 2)
	rows, batch := shape[0], shape[1]
	matrix := m.numbersOfWords(name)
	if rows < 2 || batch < 1 || len(matrix) != rows*batch {
		return text.Columns{}, fmt.Errorf("%s has the shape %v, want at least 2 rows", name, shape)
	}
	sequence := make([]int32, 0, rows*batch)
	for b := range batch {
		for i := range rows {
			sequence = append(sequence, matrix[i*batch+b])
		}
	}
	return text.NewColumns(sequence, batch)
}

// evaluated records the windows of an evaluation.
func (m *model) evaluated(windows, first string, c text.Columns, e recurrent.Evaluation, mixing []float64, length int) error {
	m.out.set(windows+"_losses", e.Losses...)
	m.out.integers(windows+"_lengths", e.Lengths)
	w := recurrent.Window{Batch: c.Batch, Hidden: make([]float64, c.Batch*m.hidden)}
	w.Inputs, w.Targets = c.Window(0, length)
	_, seen, err := m.Inspect(w, mixing, runningStatistics, recurrent.Regularisers{})
	m.out.set(first, m.logProbabilities(seen.Logits)...)
	return err
}

func (m *model) weights() []float64 {
	v := make([]float64, m.ParameterCount())
	m.ReadParameters(v)
	return v
}

// length reads what windows are cut to.
func (m *model) length() (int, error) {
	bptt := m.g.integer("bptt")
	if bptt < 1 || bptt > 1000 {
		return 0, fmt.Errorf("bptt %d", bptt)
	}
	return bptt, nil
}

// trainings trains a cell from scratch: an epoch of SGD, then epochs of averaged SGD.
func trainings(g *golden, e engine.Engine, out *findings) error {
	m, err := newModel(g, e, out)
	if err != nil {
		return err
	}
	m.dropouts()
	genotype, err := readRecurrent(g, "genotype.")
	if err != nil {
		return err
	}
	for _, p := range rnn.AllPublished() {
		if p.Genotype.Line() == genotype.Line() {
			out.text("arch", strings.TrimPrefix(p.Name, "penn_"))
		}
	}
	bptt, err := m.length()
	if err != nil {
		return err
	}
	var columns [3]text.Columns
	for i, name := range []string{"train_data", "val_data", "test_data"} {
		if columns[i], err = m.columns(name); err != nil {
			return err
		}
	}
	train, valid, test := columns[0], columns[1], columns[2]
	out.integers("batch", []int{train.Batch})
	out.integers("eval_batch", []int{valid.Batch})
	out.integers("valid_rows", []int{valid.Rows})
	out.integers("test_rows", []int{test.Rows})
	r := recurrent.Regularisers{Activation: g.number("alpha"), Temporal: g.number("beta")}
	rate, clip, decay := g.number("lr"), g.number("clip"), g.number("weight_decay")
	uniforms, normals := g.numbers("uniform_draws", -1), g.numbers("normal_draws", -1)
	m.WriteParameters(g.start(g.numbers("init_params", m.ParameterCount())))

	var average *recurrent.Average
	var lengths, bounds []int
	step := 0
	for epoch := range len(g.leaves["epoch_bounds"].numbers) {
		if epoch == 1 {
			average = m.NewAverage()
		}
		hidden := make([]float64, train.Batch*m.hidden)
		for row := 0; row < train.Rows-2; step++ {
			if step >= len(uniforms) || step >= len(normals) {
				return fmt.Errorf("step %d has no draw of its length", step)
			}
			length := recurrent.TrainingLength(bptt, g.integer("max_seq_len_delta"), uniforms[step], func(float64) float64 { return normals[step] })
			lengths = append(lengths, length)
			w := recurrent.Window{Batch: train.Batch, Hidden: hidden, Masks: m.masks("step_", step)}
			w.Inputs, w.Targets = train.Window(row, length)
			at, info := fmt.Sprintf("step%d_", step), fmt.Sprintf("step_info[%d].", step)
			if step == 0 {
				_, seen, err := m.Inspect(w, nil, batchStatistics, r)
				if err != nil {
					return err
				}
				out.set(at+"logp", m.logProbabilities(seen.Logits)...)
				out.set(at+"raw", seen.Raw...)
				out.set(at+"dropped", seen.Dropped...)
			}
			pass, err := m.WeightGradient(w, nil, batchStatistics, r)
			if err != nil {
				return err
			}
			norm, err := m.ClipGradient(clip)
			if err != nil {
				return err
			}
			scaled := rate * float64(length) / float64(bptt)
			if average == nil {
				out.text(info+"optimizer", "sgd")
				m.Descend(scaled, decay)
			} else {
				out.text(info+"optimizer", "asgd")
				average.Step(scaled, decay)
				next, weight := average.Next()
				out.set(info+"eta_for_next_step", next)
				out.set(info+"mu_for_next_step", weight)
				a := make([]float64, m.ParameterCount())
				average.Read(a)
				out.set(at+"average", a...)
			}
			out.integers(info+"epoch", []int{epoch})
			out.integers(info+"T", []int{len(w.Inputs) / train.Batch})
			out.integers(info+"seq_len", []int{length})
			out.set(info+"group_lr", scaled)
			out.set(info+"nll", pass.Loss)
			out.set(info+"total_loss", pass.Total)
			out.set(info+"grad_norm_before_clip", norm)
			out.set(at+"tokens", wide(w.Inputs)...)
			out.set(at+"hidden_in", hidden...)
			out.set(at+"hidden_out", pass.Hidden...)
			out.set(at+"weight_grad", m.gradient()...)
			out.set(at+"params", m.weights()...)
			hidden, row = pass.Hidden, row+length
		}
		bounds = append(bounds, step)
		if epoch == 0 {
			out.set("sgd_end_params", m.weights()...)
			onValid, err := m.Evaluate(valid, bptt, nil)
			if err != nil {
				return err
			}
			if err := m.evaluated("valid_chunk", "sgd_end_valid_logp_chunk0", valid, onValid, nil, bptt); err != nil {
				return err
			}
			onTest, err := m.Evaluate(test, bptt, nil)
			if err != nil {
				return err
			}
			out.set("sgd_end_valid_loss", onValid.Loss)
			out.set("sgd_end_valid_ppl", math.Exp(onValid.Loss))
			out.set("sgd_end_test_loss", onTest.Loss)
		}
	}
	if average == nil {
		return errors.New("the case has no epoch of averaged SGD")
	}
	out.set("asgd_end_params", m.weights()...)
	averaged := make([]float64, m.ParameterCount())
	average.Read(averaged)
	out.set("asgd_end_average", averaged...)
	m.WriteParameters(averaged)
	for name, c := range map[string]text.Columns{"valid": valid, "test": test} {
		e, err := m.Evaluate(c, bptt, nil)
		if err != nil {
			return err
		}
		out.set("asgd_end_"+name+"_loss_of_average", e.Loss)
	}
	out.integers("seq_lens", lengths)
	out.integers("epoch_bounds", bounds)
	out.integers("steps", []int{step})
	return nil
}

// searching is a model as an algorithm sees a supernet during a step: which window a pass reads
// follows from what it asks for.
type searching struct {
	algorithms.Supernet // none: first-order searches need no more than what follows
	m                   *model
	train, valid        recurrent.Window // with masks
	r                   recurrent.Regularisers
	at, info            string // names of what the step records

	validHidden, trainHidden []float64 // after the step
	weights                  recurrent.Pass
}

// SetDraws implements [algorithms.Supernet]; the masks are those of the case.
func (*searching) SetDraws(uint64, string, ...uint64) {}

// Forward implements [algorithms.Supernet]: the attack looks at the training window without masks.
func (s *searching) Forward(_ data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	w := s.train
	w.Masks = nil
	pass, err := s.m.Forward(w, mixing, bn)
	return supernet.Pass{Loss: pass.Loss}, err
}

// MixingGradient implements [algorithms.Supernet]: of the architecture step on the validation
// window, with batch statistics, and of the attack.
func (s *searching) MixingGradient(_ data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	w := s.valid
	if bn == runningStatistics {
		w = s.train
		w.Masks = nil
	}
	pass, err := s.m.MixingGradient(w, mixing, bn, recurrent.Regularisers{}, grad)
	if bn == batchStatistics {
		s.validHidden = pass.Hidden
		s.m.out.set(s.info+"arch_losses", pass.Loss)
		s.m.out.set(s.at+"buffers_after_arch", s.m.statistics()...)
	}
	return supernet.Pass{Loss: pass.Loss}, err
}

// WeightGradient implements [algorithms.Supernet].
func (s *searching) WeightGradient(_ data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	before := s.m.statistics()
	_, seen, err := s.m.Inspect(s.train, mixing, bn, s.r)
	if err != nil {
		return supernet.Pass{}, err
	}
	s.m.out.set(s.at+"weight_logp", s.m.logProbabilities(seen.Logits)...)
	s.m.WriteStatistics(before)
	s.weights, err = s.m.WeightGradient(s.train, mixing, bn, s.r)
	s.trainHidden = s.weights.Hidden
	return supernet.Pass{Loss: s.weights.Loss}, err
}

// StepWeights implements [algorithms.Supernet].
func (s *searching) StepWeights(sgd supernet.SGD) (float64, error) {
	norm, err := s.m.ClipGradient(sgd.Clip)
	if err == nil {
		s.m.Descend(sgd.LearningRate, sgd.WeightDecay)
	}
	return norm, err
}

// oneBatch is one batch of nothing: the windows are in searching.
type oneBatch struct{}

func (oneBatch) Len(algorithms.Queue) int                           { return 1 }
func (oneBatch) Batch(algorithms.Queue, int, int) (none data.Batch) { return none }

// stepsRecurrent returns the computation of consecutive search steps of an algorithm, and of the
// validation after them. name is what the manifest calls it.
func stepsRecurrent(algorithm, name string) func(*golden, engine.Engine, *findings) error {
	return func(g *golden, e engine.Engine, out *findings) error {
		m, err := newModel(g, e, out)
		if err != nil {
			return err
		}
		m.dropouts()
		bptt, err := m.length()
		if err != nil {
			return err
		}
		var columns [3]text.Columns
		for i, name := range []string{"train_data", "search_data", "val_data"} {
			if columns[i], err = m.columns(name); err != nil {
				return err
			}
		}
		train, search, valid := columns[0], columns[1], columns[2]
		if train.Batch != m.batch || search.Batch != m.batch {
			return fmt.Errorf("%d and %d columns to train and to search, want %d", train.Batch, search.Batch, m.batch)
		}
		out.integers("eval_batch", []int{valid.Batch})
		out.text("algorithm", name)
		out.flag("unrolled", false)
		out.set("arch_eps", algorithms.AdamEpsilon)
		step := 0
		s := &searching{m: m, r: recurrent.Regularisers{Activation: g.number("alpha"), Temporal: g.number("beta")}}
		uniforms := g.numbers("uniform_draws", -1)
		m.reset()
		zeros := make([]float64, rnn.Dim)
		state := algorithms.State{Algorithm: algorithm, Alphas: g.numbers("init_alphas", rnn.Dim), Adam: algorithms.Moments{M: zeros, V: zeros}}
		hiddenTrain, hiddenValid := make([]float64, m.batch*m.hidden), make([]float64, m.batch*m.hidden)
		for row := 0; row < train.Rows-2; step++ {
			if step >= len(uniforms) {
				return fmt.Errorf("step %d has no draw of its length", step)
			}
			length := recurrent.SearchLength(bptt, uniforms[step])
			if length < 1 {
				return fmt.Errorf("windows of %d rows", length)
			}
			rate := g.number("lr") * float64(length) / float64(bptt)
			s.at, s.info = fmt.Sprintf("step%d_", step), fmt.Sprintf("step_info[%d].", step)
			s.train = recurrent.Window{Batch: m.batch, Hidden: hiddenTrain, Masks: m.masks("weight_", step)}
			s.train.Inputs, s.train.Targets = train.Window(row, length)
			s.valid = recurrent.Window{Batch: m.batch, Hidden: hiddenValid, Masks: m.masks("arch_", step)}
			s.valid.Inputs, s.valid.Targets = search.Window(row%(search.Rows-1), bptt)
			searcher, err := m.searcher(algorithm, rate, step, state)
			if err != nil {
				return err
			}
			info, err := searcher.Step(context.Background(), s, oneBatch{})
			if err != nil {
				return err
			}
			saved, err := searcher.State()
			if err != nil {
				return err
			}
			state = algorithms.State{}
			if err := json.Unmarshal(saved, &state); err != nil {
				return err
			}
			state.Step = 0
			m.searched(s, state, info)
			out.integers(s.info+"seq_len_drawn", []int{length})
			out.set(s.info+"lr", rate)
			out.set(s.info+"sgd_lr", rate)
			hiddenTrain, hiddenValid, row = s.trainHidden, s.validHidden, row+length
		}
		out.integers("steps", []int{step})
		mixing := softmaxOf(state.Alphas)
		result, err := m.Evaluate(valid, bptt, mixing)
		if err != nil {
			return err
		}
		out.set("infer_loss", result.Loss)
		out.set("infer_ppl", math.Exp(result.Loss))
		out.set("infer_hidden_last", result.Hidden...)
		out.integers("infer_rows", []int{valid.Rows})
		out.recurrent("end_genotype.", rnn.Derive(state.Alphas))
		return m.evaluated("infer_chunk", "infer_logp_chunk0", valid, result, mixing, bptt)
	}
}

// searcher builds the searcher of a step, with its rate and its recorded draws.
func (m *model) searcher(algorithm string, rate float64, step int, state algorithms.State) (algorithms.Relaxed, error) {
	g := m.g
	betas := g.numbers("arch_betas", 2)
	settings := algorithms.Settings{
		"learning-rate": rate, "learning-rate-min": rate, "momentum": 0, "weight-decay": g.number("weight_decay"), "clip": g.number("clip"),
		"arch-learning-rate": g.number("arch_lr"), "arch-beta1": betas[0], "arch-beta2": betas[1], "arch-weight-decay": g.number("arch_weight_decay"),
	}
	if strings.HasPrefix(algorithm, "sdarts") {
		settings["epsilon-min"], settings["epsilon-max"] = g.number("epsilon"), g.number("epsilon")
	}
	if algorithm == "sdarts-adv" {
		settings["pgd-steps"] = g.number("pgd_steps")
	}
	noise := func(dst []float64) { copy(dst, g.numbers(fmt.Sprintf("step%d_delta", step), rnn.Dim)) }
	return newSearcher(algorithm, rnn.Space(), algorithms.Config{Cells: 1, Epochs: 1, Noise: noise}, settings, state)
}

// searched records what a search step did.
func (m *model) searched(s *searching, state algorithms.State, info algorithms.StepInfo) {
	out := m.out
	out.set(s.at+"train_tokens", wide(s.train.Inputs)...)
	out.set(s.at+"train_targets", wide(s.train.Targets)...)
	out.set(s.at+"valid_tokens", wide(s.valid.Inputs)...)
	out.set(s.at+"valid_targets", wide(s.valid.Targets)...)
	out.integers(s.info+"T_train", []int{len(s.train.Inputs) / m.batch})
	out.integers(s.info+"T_valid", []int{len(s.valid.Inputs) / m.batch})
	out.integers(s.info+"arch_forwards", []int{1})
	out.set(s.at+"hidden_train_in", s.train.Hidden...)
	out.set(s.at+"hidden_valid_in", s.valid.Hidden...)
	out.set(s.at+"hidden_train_out", s.trainHidden...)
	out.set(s.at+"hidden_valid_out", s.validHidden...)
	out.set(s.at+"arch_grad", info.ArchGradient...)
	out.set(s.at+"adam_m", state.Adam.M...)
	out.set(s.at+"adam_v", state.Adam.V...)
	out.set(s.at+"alphas", state.Alphas...)
	out.set(s.at+"alphas_softmax", info.Simplex...)
	out.set(s.at+"alphas_perturbed", info.Mixing...)
	out.set(s.at+"weight_grad", m.gradient()...)
	out.set(s.at+"params", m.weights()...)
	out.set(s.at+"buffers", m.statistics()...)
	out.set(s.info+"weight_nll", s.weights.Loss)
	out.set(s.info+"weight_total_loss", s.weights.Total)
	out.set(s.info+"weight_grad_norm_before_clip", info.GradientNorm)
	if a := info.Attack; a != nil {
		out.set(s.at+"pgd_iterates", slices.Concat(a.Iterates...)...)
		out.set(s.info+"pgd_loss_before", a.Before)
		out.set(s.info+"pgd_losses", a.Losses...)
		out.set(s.info+"pgd_loss_after", a.After)
		out.flag(s.info+"pgd_rolled_back", a.RolledBack)
	}
}
