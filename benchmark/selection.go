package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// SelectionCheckpoint is the file, in the run directory, from which a selection that was
// stopped goes on.
const SelectionCheckpoint = "selection.checkpoint"

// SelectionOptions say how perturbation selects.
type SelectionOptions struct {
	Batches int // of the search part, that a score is taken on; 0 is all
	// TuneEpochs is how many epochs the weights are trained between two decisions; 0 is none.
	TuneEpochs int
	Seed       uint64 // of the order of the decisions and of the fine-tuning
	Restart    bool   // forget a selection that was stopped
	// Report, when set, is called after every score and every step of the fine-tuning with
	// their number so far and in all.
	Report func(done, total int)
}

// choice is a decision to be made: which of some candidates stay.
type choice struct {
	title string
	names []string
	keep  int
	rows  []int // of the space of the mixing weights, by candidate: all its entries go where entry is -1
	entry []int // of the row, by candidate
}

// choices lists the decisions of a space, or of one derived from it: of the operations
// first, then of the inputs, each in the order of the rows.
func choices(space *spaces.Space, registered *spaces.Space) (operations, inputs []choice) {
	rows := space.Rows()[:len(registered.Rows())] // others are added by the algorithm
	_, cells := darts.Of(space)
	for i, row := range rows {
		c := choice{title: row.Title, keep: row.Keep}
		for k, candidate := range row.Candidates {
			if cells && candidate.Name == darts.None {
				continue
			}
			c.names, c.rows, c.entry = append(c.names, candidate.Name), append(c.rows, i), append(c.entry, k)
		}
		if cells {
			c.keep = 1
		}
		if row.Kind == spaces.OperationRow {
			operations = append(operations, c)
		} else {
			inputs = append(inputs, c)
		}
	}
	if !cells {
		return operations, inputs
	}
	for t := range darts.CellType(darts.CellTypes) {
		for node := range darts.Nodes {
			c := choice{title: fmt.Sprintf("inputs of node %d, %s cell", node, t), keep: darts.Inputs}
			for e := range darts.Edges {
				if edge := darts.EdgeAt(e); edge.To == node+darts.Inputs {
					c.names, c.rows, c.entry = append(c.names, rows[darts.Row(t, e)].Title), append(c.rows, darts.Row(t, e)), append(c.entry, -1)
				}
			}
			inputs = append(inputs, c)
		}
	}
	return operations, inputs
}

// without returns mixing weights without a candidate, whose others stay as they are.
func (c choice) without(space *spaces.Space, weights []float64, candidate int) []float64 {
	left := slices.Clone(weights)
	row := space.Rows()[c.rows[candidate]]
	for cell := 0; cell < len(left); cell += space.Dim() {
		if entry := c.entry[candidate]; entry >= 0 {
			left[cell+row.Offset+entry] = 0
		} else {
			clear(left[cell+row.Offset : cell+row.End()])
		}
	}
	return left
}

// decided returns mixing weights in which the candidates that are kept have the weight 1,
// or stay as they are where they are edges, and the others 0.
func (c choice) decided(space *spaces.Space, weights []float64, kept []int) []float64 {
	for k := range c.names {
		if !slices.Contains(kept, k) {
			weights = c.without(space, weights, k)
			continue
		}
		if c.entry[k] < 0 {
			continue
		}
		row := space.Rows()[c.rows[k]]
		weights = slices.Clone(weights)
		for cell := 0; cell < len(weights); cell += space.Dim() {
			weights[cell+row.Offset+c.entry[k]] = 1
		}
		if row.Kind == spaces.OperationRow { // none, which no architecture keeps, goes too
			for cell := 0; cell < len(weights); cell += space.Dim() {
				for j := range row.Candidates {
					if j != c.entry[k] {
						weights[cell+row.Offset+j] = 0
					}
				}
			}
		}
	}
	return weights
}

// selecting is a selection under way.
type selecting struct {
	*Search
	options SelectionOptions
	space   *spaces.Space // of the mixing weights
	choices []choice      // in the order of the decisions
	weights []float64     // mixing weights, as far as it is decided
	images  int
	done    int
	total   int

	selectionState
}

// selectionState is what the checkpoint of a selection holds beside the weights.
type selectionState struct {
	ConfigHash string                     `json:"config_hash"`
	RunSeed    uint64                     `json:"run_seed"`
	OrderSeed  uint64                     `json:"seed"`
	Batches    int                        `json:"batches"`
	TuneEpochs int                        `json:"tune_epochs"`
	Start      results.Score              `json:"start"`
	Decisions  []results.SelectedDecision `json:"decisions"`
	Seconds    float64                    `json:"seconds"`
}

// Select restores the search from the checkpoint of its run directory, which must be
// finished, and selects an architecture from its supernet by perturbation (Wang et al.,
// Rethinking Architecture Selection in Differentiable NAS, ICLR 2021): one decision after
// the other, in random order, operations before inputs. A decision keeps the candidates
// without which the supernet loses the most accuracy on the search part; of equal
// accuracies the higher loss decides. As in the released code, passes normalise by batch
// statistics, what is left out leaves the other weights as they are, and fine-tuning
// trains the weights from a tenth of the search's learning rate on. Algorithms that have no
// alphas start from equal mixing weights; those that sample or binarise from the softmax of
// their alphas, in all cells.
//
// When ctx is done, it stops; the next call goes on after the last decision, with the same
// numbers. The run's own files stay as they are.
func (s *Search) Select(ctx context.Context, h *results.History, o SelectionOptions) (results.Selection, error) {
	if s.language != nil {
		return results.Selection{}, fmt.Errorf("no selection on space %s: %w", s.Config.Space, errNoSupernetOfImages)
	}
	if s.net == nil {
		return results.Selection{}, fmt.Errorf("%s trains no supernet, so there is nothing to select from", s.Config.Algorithm)
	}
	n := len(h.Epochs)
	if h.Status.State != results.Finished || n == 0 || !h.Epochs[n-1].Final {
		return results.Selection{}, fmt.Errorf("%s is not finished: selection begins where the search ends", h.Dir)
	}
	epochs, err := s.Restore(h.Dir)
	if err != nil {
		return results.Selection{}, err
	}
	return abandon.Do(ctx, patience, func() (found results.Selection, err error) {
		defer engine.Catch(&err)
		t := s.newSelecting(o)
		if err := t.resume(h.Dir); err != nil {
			return found, err
		}
		if err := t.run(ctx, h.Dir); err != nil {
			return found, err
		}
		return t.result(h, epochs)
	})
}

func (s *Search) newSelecting(o SelectionOptions) *selecting {
	t := &selecting{Search: s, options: o, space: s.space, selectionState: selectionState{
		ConfigHash: s.record.ConfigHash, RunSeed: s.Seed, OrderSeed: o.Seed, TuneEpochs: o.TuneEpochs, Batches: s.queues.Len(algorithms.Held),
	}}
	if o.Batches > 0 {
		t.Batches = min(o.Batches, t.Batches)
	}
	for k := range t.Batches {
		t.images += s.queues.Batch(algorithms.Held, 0, k).N
	}
	var start []float64
	if relaxed, ok := s.searcher.(algorithms.Relaxed); ok {
		t.space = relaxed.Space()
		start = algorithms.Softmax(t.space, relaxed.Alphas()).Weights
	} else {
		for _, row := range t.space.Rows() {
			for range row.Candidates {
				start = append(start, 1/float64(len(row.Candidates)))
			}
		}
	}
	t.weights = slices.Repeat(start, s.net.Config().MixingLen()/t.space.Dim())
	operations, inputs := choices(t.space, s.space)
	for i, some := range [][]choice{operations, inputs} {
		r := random.New(o.Seed, "selection/order", uint64(i))
		r.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
		t.choices = append(t.choices, some...)
	}
	t.total = 1
	for i, c := range t.choices {
		t.total += t.evaluations(c)
		if i > 0 {
			t.total += o.TuneEpochs * s.queues.Len(algorithms.Train)
		}
	}
	return t
}

// evaluations is how many scores a decision takes: none where everything is kept.
func (t *selecting) evaluations(c choice) int {
	if len(c.names) <= c.keep {
		return 0
	}
	return len(c.names)
}

// report counts what was done.
func (t *selecting) report(n int) {
	if t.done += n; t.options.Report != nil && t.done > 0 {
		t.options.Report(min(t.done, t.total), t.total)
	}
}

// score is the supernet at mixing weights, on the search part.
func (t *selecting) score(ctx context.Context, weights []float64) (score results.Score, err error) {
	correct := 0
	for k := range t.Batches {
		if err := ctx.Err(); err != nil {
			return score, err
		}
		batch := t.queues.Batch(algorithms.Held, 0, k)
		t.net.SetDraws(t.OrderSeed, "selection/score", uint64(k)) // the same noise for all candidates
		pass, err := t.net.Forward(batch, weights, supernet.BatchStatistics)
		if err != nil {
			return score, err
		}
		correct += pass.Correct
		score.Loss += pass.Loss * float64(batch.N) / float64(t.images)
	}
	score.Accuracy = float64(correct) / float64(t.images)
	if math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0) {
		return score, fmt.Errorf("the loss of the supernet is %g: %w", score.Loss, algorithms.ErrDiverged)
	}
	return score, nil
}

// run makes the decisions that are left.
func (t *selecting) run(ctx context.Context, dir string) (err error) {
	before, began := t.Seconds, time.Now()
	if len(t.Decisions) == 0 {
		if t.Start, err = t.score(ctx, t.weights); err != nil {
			return err
		}
		t.report(1)
		if t.TuneEpochs > 0 { // a new optimiser
			t.net.WriteMomentum(make([]float64, t.net.ParameterCount()))
		}
	}
	for len(t.Decisions) < len(t.choices) {
		i := len(t.Decisions)
		c := t.choices[i]
		if i > 0 {
			if err := t.tune(ctx, i-1); err != nil {
				return err
			}
		}
		d := results.SelectedDecision{Title: c.title}
		for k, name := range c.names {
			left := results.LeftOut{Name: name, Score: t.Start}
			if t.evaluations(c) > 0 {
				if left.Score, err = t.score(ctx, c.without(t.space, t.weights, k)); err != nil {
					return fmt.Errorf("%s without %s: %w", c.title, name, err)
				}
				t.report(1)
			}
			d.Candidates = append(d.Candidates, left)
		}
		d.Kept = keep(d.Candidates, c.keep)
		t.weights = c.decided(t.space, t.weights, d.Kept)
		t.Decisions = append(t.Decisions, d)
		t.Seconds = before + time.Since(began).Seconds()
		if err := t.save(dir); err != nil {
			return err
		}
	}
	return nil
}

// keep returns the n candidates without which the supernet does worst, ascending; of equal
// ones the first.
func keep(candidates []results.LeftOut, n int) []int {
	var order []int
	for k := range candidates {
		order = append(order, k)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := candidates[a].Score, candidates[b].Score
		switch {
		case x.Accuracy != y.Accuracy:
			if x.Accuracy < y.Accuracy {
				return -1
			}
			return 1
		case x.Loss > y.Loss:
			return -1
		case x.Loss < y.Loss:
			return 1
		}
		return 0
	})
	kept := order[:min(n, len(order))]
	slices.Sort(kept)
	return kept
}

// tuneShare is the part of the search's learning rate that fine-tuning begins with, as in
// the released code.
const tuneShare = 0.1

// learningRate is that of an epoch of the fine-tuning, which a cosine leads over all of them
// to the least of the search.
func (t *selecting) learningRate(epoch int) float64 {
	settings := t.Config.Settings
	all := t.TuneEpochs * (len(t.choices) - 1)
	return algorithms.Cosine{Max: tuneShare * settings["learning-rate"], Min: min(settings["learning-rate-min"], tuneShare*settings["learning-rate"]), Length: all}.At(epoch)
}

// tune trains the weights for some epochs, after decision i.
func (t *selecting) tune(ctx context.Context, i int) error {
	settings := t.Config.Settings
	for e := range t.TuneEpochs {
		epoch := i*t.TuneEpochs + e
		sgd := supernet.SGD{LearningRate: t.learningRate(epoch), Momentum: settings["momentum"], WeightDecay: settings["weight-decay"], Clip: settings["clip"]}
		for k := range t.queues.Len(algorithms.Train) {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch := t.queues.Batch(algorithms.Train, t.Config.Epochs+epoch, k)
			t.net.SetDraws(t.OrderSeed, "selection/tune", uint64(epoch), uint64(k))
			if t.variant.DropPath { // which ends with the search
				t.net.SetDropPath(slices.Repeat([]float64{1}, t.net.Droppable()*batch.N))
			}
			pass, err := t.net.WeightGradient(batch, t.weights, supernet.BatchStatistics)
			if err == nil && (math.IsNaN(pass.Loss) || math.IsInf(pass.Loss, 0)) {
				err = fmt.Errorf("the loss is %g: %w", pass.Loss, algorithms.ErrDiverged)
			}
			if err == nil {
				_, err = t.net.StepWeights(sgd)
			}
			if err != nil {
				return fmt.Errorf("fine-tuning after decision %d, epoch %d: %w", i, e, err)
			}
			t.report(1)
		}
	}
	return nil
}

// save writes the checkpoint. Without fine-tuning the weights are those of the run.
func (t *selecting) save(dir string) error {
	meta, err := json.Marshal(t.selectionState)
	if err != nil {
		return err
	}
	state := checkpoint.State{Meta: meta, Vectors: map[string]checkpoint.Vector{}}
	if t.TuneEpochs > 0 {
		for name, v := range t.vectors() {
			values := make([]float64, v.n)
			v.read(values)
			state.Vectors[name] = checkpoint.Vector{Values: values, Single: t.engine.Precision() != "float64"}
		}
	}
	return checkpoint.Save(filepath.Join(dir, SelectionCheckpoint), "", state)
}

// ErrOtherSelection reports a selection under way that was begun in another way.
var ErrOtherSelection = errors.New("a selection that was stopped was begun with other options")

// resume takes up the decisions of a selection that was stopped.
func (t *selecting) resume(dir string) error {
	path := filepath.Join(dir, SelectionCheckpoint)
	if t.options.Restart {
		return nil
	}
	state, err := checkpoint.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var before selectionState
	if err == nil {
		err = json.Unmarshal(state.Meta, &before)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if before.ConfigHash != t.ConfigHash || before.RunSeed != t.RunSeed {
		return fmt.Errorf("%s: the checkpoint is of %w", path, ErrOtherRun)
	}
	if before.OrderSeed != t.OrderSeed || before.Batches != t.Batches || before.TuneEpochs != t.TuneEpochs {
		return fmt.Errorf("%s: %w: seed %d, %d batches, %d epochs of fine-tuning", path, ErrOtherSelection, before.OrderSeed, before.Batches, before.TuneEpochs)
	}
	if len(before.Decisions) > len(t.choices) {
		return fmt.Errorf("%s: %d decisions, the space has %d", path, len(before.Decisions), len(t.choices))
	}
	weights, done := t.weights, 1
	for i, d := range before.Decisions {
		c := t.choices[i]
		if d.Title != c.title || len(d.Candidates) != len(c.names) || !slices.Equal(d.Kept, keep(d.Candidates, c.keep)) {
			return fmt.Errorf("%s: decision %d, %q, is not the one that is due, %q", path, i, d.Title, c.title)
		}
		weights = c.decided(t.space, weights, d.Kept)
		if done += t.evaluations(c); i > 0 {
			done += t.TuneEpochs * t.queues.Len(algorithms.Train)
		}
	}
	if t.TuneEpochs > 0 {
		for name, v := range t.vectors() {
			if n := len(state.Vectors[name].Values); n != v.n {
				return fmt.Errorf("%s: %s has %d numbers, the supernet %d", path, name, n, v.n)
			}
		}
		for name, v := range t.vectors() {
			v.write(state.Vectors[name].Values)
		}
	}
	t.weights, t.Start, t.Decisions, t.Seconds = weights, before.Start, before.Decisions, before.Seconds
	t.report(done)
	return nil
}

// architecture is what the decisions come to.
func (t *selecting) architecture() (spaces.Architecture, error) {
	a := spaces.Architecture{Space: t.Config.Space, Kept: make([][]int, len(t.Search.space.Rows()))}
	for i := range a.Kept {
		a.Kept[i] = []int{}
	}
	for i, c := range t.choices {
		for k, name := range c.names {
			kept := slices.Contains(t.Decisions[i].Kept, k)
			row := c.rows[k]
			switch {
			case c.entry[k] < 0 && !kept:
				a.Kept[row] = []int{} // the edge goes with its operation
			case c.entry[k] >= 0 && kept:
				whole := t.Search.space.Rows()[row].Candidates
				a.Kept[row] = append(a.Kept[row], slices.IndexFunc(whole, func(w spaces.Candidate) bool { return w.Name == name }))
			}
		}
	}
	for _, kept := range a.Kept {
		slices.Sort(kept)
	}
	return a, a.Check()
}

// result looks up what was selected.
func (t *selecting) result(h *results.History, epochs int) (found results.Selection, err error) {
	selected, err := t.architecture()
	if err != nil {
		return found, fmt.Errorf("selection: %w", err)
	}
	final := h.Epochs[len(h.Epochs)-1]
	delivered := t.searcher.Architecture()
	found = results.Selection{
		Format: results.SelectionVersion, Run: t.record.Name(), Epochs: epochs, Seed: t.OrderSeed, Batches: t.Batches, Images: t.images,
		TuneEpochs: t.TuneEpochs, Start: t.Start, Decisions: t.Decisions, Seconds: t.Seconds,
		Changed: selected.Changed(delivered),
		Search:  results.Choice{Cell: final.Cell, Architecture: final.Architecture, Lookup: final.Lookup, Structure: final.Structure},
	}
	if t.TuneEpochs > 0 {
		found.LearningRate = t.learningRate(0)
	}
	t.previous = nil
	record := results.Epoch{Structure: &results.Structure{}}
	measure(record.Structure, selected)
	if spec, ok := nb1shot1.CellOf(selected); ok {
		if err := t.lookUp(&record, spec); err != nil {
			return found, err
		}
	} else {
		record.Architecture = &selected
	}
	found.Selected = results.Choice{Cell: record.Cell, Architecture: record.Architecture, Lookup: record.Lookup, Structure: record.Structure}
	for _, c := range []struct {
		a    spaces.Architecture
		into *results.Choice
	}{{selected, &found.Selected}, {delivered, &found.Search}} {
		weights := t.space.DiscreteWeights(c.a)
		if c.into.Supernet, err = t.score(context.Background(), slices.Repeat(weights, len(t.weights)/len(weights))); err != nil {
			return found, err
		}
	}
	return found, nil
}

// WriteSelection writes a selection beside the run in dir, and removes its checkpoint. One
// that is there is replaced only if that is asked for.
func WriteSelection(dir string, found results.Selection, replace bool) error {
	if err := results.WriteSelection(filepath.Join(dir, results.SelectionFile), found, replace); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, SelectionCheckpoint)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
