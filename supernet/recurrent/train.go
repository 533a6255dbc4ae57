package recurrent

import (
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/supernet"
)

// SearchLength is how many rows the next window of a search has: bptt, or half of it, rounded
// down, where u, uniform in [0,1), is 0.95 or more. The learning rate of a step is the usual one
// times this length over bptt, also where the text ends before (quirk R3).
func SearchLength(bptt int, u float64) int {
	if u < 0.95 {
		return bptt
	}
	return bptt / 2
}

// TrainingLength is the same for a training from scratch, where the length is drawn once more:
// normal returns a draw of the given mean and a deviation of 5. It is at least 5 and at most
// longer more than bptt.
func TrainingLength(bptt, longer int, u float64, normal func(mean float64) float64) int {
	base := float64(bptt)
	if u >= 0.95 {
		base /= 2
	}
	return min(max(5, int(normal(base))), bptt+longer)
}

// Average is averaged SGD as the released code has it: PyTorch's, without decay of the rate and
// from its first step on. The mean of the weights after each step, but for the first one, is
// what is evaluated (quirk R18).
type Average struct {
	// Present takes every step at its own rate.
	Present bool

	model   *Model
	average engine.Vector
	rate    float64 // of the next step
	weight  float64 // of the next weights in the average
	steps   int
}

// NewAverage returns the averaging of the weights of a model from its next step on.
func (m *Model) NewAverage() *Average {
	return &Average{model: m, average: m.engine.NewVector(m.size), weight: 1}
}

// Step is Descend with the rate of the step before; the first step has its own (quirk R17), and
// all have theirs if Present is set. It then averages.
func (a *Average) Step(rate, decay float64) {
	if a.steps++; a.steps == 1 || a.Present {
		a.rate = rate
	}
	a.model.Descend(a.rate, decay)
	a.average.Scale(1 - a.weight)
	a.average.Axpy(a.weight, a.model.weights)
	a.rate, a.weight = rate, 1/float64(a.steps)
}

// Next returns the rate of the next step, and the weight that its weights will have.
func (a *Average) Next() (rate, weight float64) { return a.rate, a.weight }

// Read copies the average to dst.
func (a *Average) Read(dst []float64) { a.average.Read(dst) }

// AverageState is what an Average knows beside its vector, for a checkpoint.
type AverageState struct {
	Steps  int     `json:"steps"`  // done
	Rate   float64 `json:"rate"`   // of the next step
	Weight float64 `json:"weight"` // of the next weights in the average
}

// State returns it.
func (a *Average) State() AverageState { return AverageState{a.steps, a.rate, a.weight} }

// Restore takes the averaging up where State and Read left it.
func (a *Average) Restore(average []float64, s AverageState) {
	a.average.Write(average)
	a.steps, a.rate, a.weight = s.Steps, s.Rate, s.Weight
}

// Trigger decides after each epoch of a training from scratch whether SGD goes over to averaged
// SGD, and whether the epoch is the best so far (Merity et al., 2018).
type Trigger struct {
	Patience int // epochs whose losses do not count when a loss is compared: 5 in the released code

	losses    []float64 // of the epochs of SGD
	best      float64
	begun     bool
	averaging bool
}

// Averaging tells whether the next epoch is one of averaged SGD.
func (t *Trigger) Averaging() bool { return t.averaging }

// BackToSGD makes the next epochs ones of SGD, until a loss ends it again. The losses stay.
func (t *Trigger) BackToSGD() { t.averaging = false }

// Epoch takes the validation loss of an epoch, that of the average where there is one, and
// returns whether it is the lowest so far. SGD ends, but for BackToSGD for good, once a loss is
// above the lowest of the losses before it without the last Patience of them (quirk R16).
func (t *Trigger) Epoch(loss float64) (best bool) {
	if best = !t.begun || loss < t.best; best {
		t.best, t.begun = loss, true
	}
	if t.averaging {
		return best
	}
	if n := len(t.losses) - t.Patience; n > 0 && loss > slices.Min(t.losses[:n]) {
		t.averaging = true
	}
	t.losses = append(t.losses, loss)
	return best
}

// Evaluation is the loss over a whole text.
type Evaluation struct {
	// Loss is the mean cross-entropy as the released code reports it: the sum over the rows that
	// are predicted over the number of all rows, the first included (quirk R1). Exact is over the
	// rows that are predicted. The exponential of either is a perplexity.
	Loss, Exact float64
	Losses      []float64 // of the windows
	Lengths     []int     // of the windows, in rows
	Hidden      []float64 // after the last one
}

// Evaluate reads columns in windows of a length, from hidden states of 0 on, without masks and
// with running statistics. mixing is as for Forward.
func (m *Model) Evaluate(columns text.Columns, length int, mixing []float64) (Evaluation, error) {
	if length < 1 {
		return Evaluation{}, fmt.Errorf("windows of %d rows, want at least 1", length)
	}
	e := Evaluation{Hidden: make([]float64, columns.Batch*m.config.Hidden)}
	sum := 0.0
	for row := 0; row < columns.Rows-1; row += length {
		w := Window{Batch: columns.Batch, Hidden: e.Hidden}
		w.Inputs, w.Targets = columns.Window(row, length)
		pass, err := m.Forward(w, mixing, supernet.RunningStatistics)
		if err != nil {
			return e, err
		}
		rows := len(w.Inputs) / columns.Batch
		e.Losses, e.Lengths, e.Hidden = append(e.Losses, pass.Loss), append(e.Lengths, rows), pass.Hidden
		sum += float64(rows) * pass.Loss
	}
	e.Loss, e.Exact = sum/float64(columns.Rows), sum/float64(columns.Rows-1)
	return e, nil
}
