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

// searching records what an algorithm does with a search network in a step.
type searching struct {
	*recurrent.Search
	m        *model
	at, info string    // names of what the step records
	masks    [2]int    // number of its first pass of the architecture among all, and of its weight step
	passes   int       // of the architecture, in a step
	hidden   []float64 // that the step's passage of training begins with
	ahead    bool      // a second-order step is under way
	losses   []float64 // of the passes of the architecture
}

// Regularise implements [algorithms.LanguageModel]: a second-order step leaves the regularisers out.
func (s *searching) Regularise(on bool) {
	s.ahead = !on
	s.Search.Regularise(on)
}

// recorded are the masks of a pass of the step.
func (s *searching) recorded(pass int) *recurrent.Masks {
	if pass < s.passes {
		return s.m.masks("arch_", s.masks[0]+pass)
	}
	return s.m.masks("weight_", s.masks[1])
}

// MixingGradient implements [algorithms.Supernet].
func (s *searching) MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	if s.ahead && len(s.losses) == 1 {
		s.m.out.set(s.at+"unrolled_params", s.m.weights()...)
	}
	pass, err := s.Search.MixingGradient(b, mixing, bn, grad)
	if bn == batchStatistics {
		s.losses = append(s.losses, pass.Loss)
	}
	return pass, err
}

// WeightGradient implements [algorithms.Supernet].
func (s *searching) WeightGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	if s.ahead {
		pass, err := s.Search.WeightGradient(b, mixing, bn)
		if len(s.losses) == 0 { // the other one is the second gradient of a pass
			s.losses = append(s.losses, pass.Loss)
		}
		return pass, err
	}
	out, before := s.m.out, s.m.statistics()
	out.set(s.at+"buffers_after_arch", before...)
	out.set(s.at+"params_after_arch", s.m.weights()...)
	w := recurrent.Window{Batch: b.Text.Batch, Inputs: b.Text.Inputs, Targets: b.Text.Targets, Hidden: s.hidden, Masks: s.m.masks("weight_", s.masks[1])}
	pass, seen, err := s.m.Inspect(w, mixing, bn, s.m.regularisers())
	if err != nil {
		return supernet.Pass{}, err
	}
	out.set(s.at+"weight_logp", s.m.logProbabilities(seen.Logits)...)
	out.set(s.info+"weight_total_loss", pass.Total)
	s.m.WriteStatistics(before)
	return s.Search.WeightGradient(b, mixing, bn)
}

// regularisers reads those of a case.
func (m *model) regularisers() recurrent.Regularisers {
	return recurrent.Regularisers{Activation: m.g.number("alpha"), Temporal: m.g.number("beta")}
}

// recordedPassages are the batches of a recorded search.
type recordedPassages struct{ *recurrent.Passages }

// Len implements [algorithms.Batches].
func (p recordedPassages) Len(algorithms.Queue) int { return p.Steps(0) }

// Batch implements [algorithms.Batches].
func (p recordedPassages) Batch(q algorithms.Queue, epoch, k int) data.Batch {
	if q == algorithms.Search {
		return p.Searching(epoch, k)
	}
	return p.Training(epoch, k)
}

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
		unrolled := algorithm == "darts-2nd"
		out.integers("eval_batch", []int{valid.Batch})
		out.text("algorithm", name)
		out.flag("unrolled", unrolled)
		out.set("arch_eps", algorithms.AdamEpsilon)
		uniforms := g.numbers("uniform_draws", -1)
		batches, err := recurrent.NewPassages(train, search, bptt, 0)
		if err != nil {
			return err
		}
		if most := (train.Rows + 1) / max(bptt/2, 1); len(uniforms) < most {
			uniforms = append(slices.Clone(uniforms), make([]float64, most)...) // more than there can be steps
		}
		batches.Uniform = func(_, step int) float64 { return uniforms[step] }
		m.reset()
		s := &searching{Search: recurrent.NewSearch(m.Model, recurrent.Dropout{}, m.regularisers()), m: m, passes: 1, hidden: make([]float64, m.batch*m.hidden)}
		if unrolled {
			s.passes = 4
		}
		s.SetReplay(s.recorded)
		searcher, err := m.searcher(algorithm, &s.masks[1])
		if err != nil {
			return err
		}
		searcher.StartEpoch(0)
		steps := batches.Steps(0)
		for step := range steps {
			s.at, s.info = fmt.Sprintf("step%d_", step), fmt.Sprintf("step_info[%d].", step)
			s.masks, s.losses = [2]int{step * s.passes, step}, nil
			info, err := searcher.Step(context.Background(), s, recordedPassages{batches})
			if err != nil {
				return err
			}
			if err := m.searched(s, batches, step, searcher, info); err != nil {
				return err
			}
		}
		out.integers("steps", []int{steps})
		alphas := searcher.Alphas()
		mixing := softmaxOf(alphas)
		result, err := m.Evaluate(valid, bptt, mixing)
		if err != nil {
			return err
		}
		out.set("infer_loss", result.Loss)
		out.set("infer_ppl", math.Exp(result.Loss))
		out.set("infer_hidden_last", result.Hidden...)
		out.integers("infer_rows", []int{valid.Rows})
		out.recurrent("end_genotype.", rnn.Derive(alphas))
		return m.evaluated("infer_chunk", "infer_logp_chunk0", valid, result, mixing, bptt)
	}
}

// searcher builds the searcher of a case, with its recorded draws of the step.
func (m *model) searcher(algorithm string, step *int) (algorithms.Relaxed, error) {
	g := m.g
	betas := g.numbers("arch_betas", 2)
	settings := algorithms.Settings{
		"learning-rate": g.number("lr"), "learning-rate-min": g.number("lr"), "momentum": 0, "weight-decay": g.number("weight_decay"), "clip": g.number("clip"),
		"arch-learning-rate": g.number("arch_lr"), "arch-beta1": betas[0], "arch-beta2": betas[1], "arch-weight-decay": g.number("arch_weight_decay"),
	}
	if strings.HasPrefix(algorithm, "sdarts") {
		settings["epsilon-min"], settings["epsilon-max"] = g.number("epsilon"), g.number("epsilon")
	}
	if algorithm == "sdarts-adv" {
		settings["pgd-steps"] = g.number("pgd_steps")
	}
	noise := func(dst []float64) { copy(dst, g.numbers(fmt.Sprintf("step%d_delta", *step), rnn.Dim)) }
	zeros := make([]float64, rnn.Dim)
	start := algorithms.State{Algorithm: algorithm, Alphas: g.numbers("init_alphas", rnn.Dim), Adam: algorithms.Moments{M: zeros, V: zeros}}
	return newSearcher(algorithm, rnn.Space(), algorithms.Config{Cells: 1, Epochs: 1, Noise: noise}, settings, start)
}

// searched records what a search step did.
func (m *model) searched(s *searching, p *recurrent.Passages, step int, searcher algorithms.Relaxed, info algorithms.StepInfo) error {
	saved, err := searcher.State()
	if err != nil {
		return err
	}
	var state algorithms.State
	if err := json.Unmarshal(saved, &state); err != nil {
		return err
	}
	out := m.out
	streams := map[string]recurrent.Stream{}
	for _, stream := range s.Streams() {
		streams[stream.Name] = stream
	}
	for name, b := range map[string]data.Batch{"train": p.Training(0, step), "valid": p.Searching(0, step)} {
		stream := streams[b.Text.Stream]
		out.set(s.at+name+"_tokens", wide(b.Text.Inputs)...)
		out.set(s.at+name+"_targets", wide(b.Text.Targets)...)
		out.integers(s.info+"T_"+name, []int{b.N / m.batch})
		out.set(s.at+"hidden_"+name+"_in", stream.Before...)
		out.set(s.at+"hidden_"+name+"_out", stream.After...)
		if name == "train" {
			s.hidden = stream.After
			out.set(s.info+"seq_len_drawn", math.Round(b.Text.Rate*float64(p.BPTT)))
		}
	}
	out.set(s.info+"lr", info.LearningRate)
	out.set(s.info+"sgd_lr", info.LearningRate)
	out.set(s.info+"arch_losses", s.losses...)
	out.integers(s.info+"arch_forwards", []int{len(s.losses)})
	if len(s.losses) == 4 {
		out.text(s.info+"arch_losses_order", "train(w)", "valid(unrolled w)", "train(w+)", "train(w-)")
	}
	out.set(s.at+"arch_grad", info.ArchGradient...)
	out.set(s.at+"adam_m", state.Adam.M...)
	out.set(s.at+"adam_v", state.Adam.V...)
	out.set(s.at+"alphas", state.Alphas...)
	out.set(s.at+"alphas_softmax", info.Simplex...)
	out.set(s.at+"alphas_perturbed", info.Mixing...)
	out.set(s.at+"weight_grad", m.gradient()...)
	out.set(s.at+"params", m.weights()...)
	out.set(s.at+"buffers", m.statistics()...)
	out.set(s.info+"weight_nll", info.Weights.Loss)
	out.set(s.info+"weight_grad_norm_before_clip", info.GradientNorm)
	if a := info.Attack; a != nil {
		out.set(s.at+"pgd_iterates", slices.Concat(a.Iterates...)...)
		out.set(s.info+"pgd_loss_before", a.Before)
		out.set(s.info+"pgd_losses", a.Losses...)
		out.set(s.info+"pgd_loss_after", a.After)
		out.flag(s.info+"pgd_rolled_back", a.RolledBack)
	}
	return nil
}
