package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/rnn"
	"github.com/nb1shot/nb1shot/supernet"
	"github.com/nb1shot/nb1shot/supernet/recurrent"
)

// words is a training of a recurrent cell in which averaged SGD begins after a few epochs, as
// the learning rate is too high for the text.
func words(t testing.TB, dir string, set ...string) Job {
	t.Helper()
	c, err := NewConfig("smoke", results.FormRecurrent, text.KindGenerated)
	if err != nil {
		t.Fatal(err)
	}
	set = append([]string{"epochs", "7", "words", "1500", "patience", "1", "learning-rate", "60", "bptt", "12"}, set...)
	for i := 0; i < len(set); i += 2 {
		if err := c.Set(set[i], set[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	p, ok := rnn.FindPublished("penn_pgd")
	if !ok {
		t.Fatal("no penn_pgd")
	}
	return Job{
		Config: c, Subject: results.Subject{Form: results.FormRecurrent, Genotype: p.Genotype.Line(), Published: p.Name}, Seed: 3,
		Text: text.Generated(2000, 1), Engine: "cpu", Threads: 1,
		Dir: filepath.Join(dir, "training"), Result: filepath.Join(dir, results.EvaluationFile),
	}
}

// A training of words that is interrupted anywhere leaves the same bytes, times aside, on any
// number of threads; also where it averages.
func TestInterruptOfWords(t *testing.T) {
	whole := words(t, t.TempDir())
	e, err := run(t.Context(), whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	if e.Words.AveragingFrom == nil || *e.Words.AveragingFrom > 5 {
		t.Fatalf("averaging from %v: want it within the training", e.Words.AveragingFrom)
	}
	j := words(t, t.TempDir())
	j.Threads = 2
	stops := 0
	for {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		_, err := run(ctx, j, func(p Progress) {
			if p.Doing == "" {
				steps++
			}
			if steps == 9 || p.Doing == "testing" && stops == 3 {
				cancel()
			}
		})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if stops++; stops > 100 {
			t.Fatal("it does not come to its end")
		}
	}
	if stops < 5 {
		t.Errorf("stopped %d times", stops)
	}
	sameOutcome(t, whole, j)
}

// The epochs are those of the steps written out: windows, masks, rates, averaging, validation.
func TestEpochsOfWords(t *testing.T) {
	t.Run("as released", func(t *testing.T) { testEpochsOfWords(t, false) })
	t.Run("otherwise", func(t *testing.T) { testEpochsOfWords(t, true, "rate-by-rows", "on", "rate-of-step", "on") })
}

// testEpochsOfWords makes the steps of a training by itself; otherwise takes the alternatives of
// the quirks R3 and R17.
func testEpochsOfWords(t *testing.T, otherwise bool, set ...string) {
	j := words(t, t.TempDir(), append(set, "temporal", "0.5", "activation", "0.25")...)
	if _, err := run(t.Context(), j, nil); err != nil {
		t.Fatal(err)
	}
	got, err := ReadEpochs(j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	training, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	m := training.course.(*language).model
	corpus := j.Text.First(1500)
	columns := func(sequence []int32, batch int) text.Columns {
		c, err := text.NewColumns(sequence, batch)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	train, valid, test := columns(corpus.Train, 10), columns(corpus.Valid, 10), columns(corpus.Test, 1)
	trigger := recurrent.Trigger{Patience: 1}
	var average *recurrent.Average
	var best []float64
	read := func(from func([]float64)) []float64 {
		v := make([]float64, m.ParameterCount())
		from(v)
		return v
	}
	for epoch := range 7 {
		if trigger.Averaging() && average == nil {
			average = m.NewAverage()
		}
		hidden := make([]float64, 10*8)
		step, sum, predicted := uint64(0), 0.0, 0.0
		for row := 0; row < train.Rows-2; step++ {
			r := random.New(3, "retrain/length", uint64(epoch), step)
			length := recurrent.TrainingLength(12, 20, r.Float64(), func(mean float64) float64 { return mean + 5*r.NormFloat64() })
			w := recurrent.Window{Batch: 10, Hidden: hidden}
			w.Inputs, w.Targets = train.Window(row, length)
			w.Masks = recurrent.Dropout{Output: 0.2, H: 0.1, X: 0.2, Input: 0.1, Words: 0.05}.Draw(random.New(3, "retrain/masks", uint64(epoch), step), len(corpus.Words), 10, 8)
			pass, err := m.WeightGradient(w, nil, supernet.BatchStatistics, recurrent.Regularisers{Activation: 0.25, Temporal: 0.5})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.ClipGradient(0.25); err != nil {
				t.Fatal(err)
			}
			if otherwise {
				length = len(w.Targets) / 10
			}
			if rate := 60 * float64(length) / 12; average != nil {
				average.Present = otherwise
				average.Step(rate, 8e-7)
			} else {
				m.Descend(rate, 8e-7)
			}
			sum += pass.Loss * float64(len(w.Targets))
			predicted += float64(len(w.Targets))
			hidden, row = pass.Hidden, row+length
		}
		live := read(m.ReadParameters)
		if average != nil {
			m.WriteParameters(read(average.Read))
		}
		measured := read(m.ReadParameters)
		loss := func(c text.Columns) float64 {
			e, err := m.Evaluate(c, 12, nil)
			if err != nil {
				t.Fatal(err)
			}
			return e.Loss
		}
		v := loss(valid)
		if trigger.Epoch(v) {
			best = measured
		}
		e := got[epoch]
		if e.Words.Averaging != (average != nil) || e.Words.Valid.Loss != v || e.Train.Loss != sum/predicted || e.LearningRate != 60 {
			t.Errorf("epoch %d is %+v with %+v, want validation %v, training %v", epoch, e, e.Words, v, sum/predicted)
		}
		if epoch == 6 {
			m.WriteParameters(best)
			if got := e.Words.Test; got == nil || got.Loss != loss(test) || math.Abs(got.Perplexity-math.Exp(got.Loss)) > 1e-9*got.Perplexity {
				t.Errorf("test %+v, want a loss of %v", got, loss(test))
			}
		}
		m.WriteParameters(live)
	}
}

// The presets are configurations that can be trained, that of the paper of the paper's size.
func TestPresetsOfWords(t *testing.T) {
	for _, name := range Presets() {
		c, err := NewConfig(name, results.FormRecurrent, text.KindGenerated)
		if err != nil {
			t.Fatal(err)
		}
		j := words(t, t.TempDir())
		j.Config = c
		if name == "paper" {
			cost, err := rnn.Network{Words: 10_000, Hidden: c.Language.Hidden}.Cost(mustGenotype(t, j))
			if err != nil || cost.Parameters != 22_960_000 {
				t.Errorf("%d parameters, %v", cost.Parameters, err)
			}
			continue
		}
		training, err := j.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		e := training.Evaluation()
		if e.Parameters != training.course.(*language).model.ParameterCount() || !strings.Contains(e.Provenance.Scale, "hidden units") || e.Recipe.Words.Vocabulary != len(j.Text.Words) {
			t.Errorf("%s: %+v", name, e)
		}
		if !c.Made(e) {
			t.Errorf("%s did not make %+v", name, e.Recipe)
		}
	}
}

func mustGenotype(t *testing.T, j Job) rnn.Genotype {
	t.Helper()
	g, err := rnn.ParseGenotype(j.Subject.Genotype)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// What cannot be trained is said before anything is written.
func TestPrepareOfWords(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Job)
		want  string
	}{
		{func(j *Job) { j.Text = nil }, "reads a text"},
		{func(j *Job) { j.Subject.Genotype = "sep3:0" }, "sep3"},
		{func(j *Job) { j.Config.Batch = 1000 }, "the text to train"},
		{func(j *Job) { j.Config.Batch = 600 }, "want at least 3"},
		{func(j *Job) { j.Config.Halves = true }, "halves are of images"},
		{func(j *Job) { j.Config.Form = results.FormCIFAR }, "of the network cifar, the architecture of recurrent"},
	} {
		j := words(t, t.TempDir())
		c.spoil(&j)
		if _, err := j.Prepare(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, got %v", c.want, err)
		}
	}
	j := words(t, t.TempDir(), "learning-rate", "100", "clip", "0")
	if _, err := run(t.Context(), j, nil); err != nil && !errors.Is(err, algorithms.ErrDiverged) {
		t.Errorf("a rate that is far too high: %v", err)
	}
}

// A checkpoint whose averaging does not fit its records is not taken over.
func TestRecallOfWords(t *testing.T) {
	j := words(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := run(ctx, j, func(p Progress) {
		if p.Epoch == 5 && p.Step == 1 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	path := filepath.Join(j.Dir, checkpoint.File)
	state, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(j.Dir, checkpoint.PreviousFile)); err != nil {
		t.Fatal(err)
	}
	good := state.Meta
	for name, spoil := range map[string]func(*languageMemory){
		"from an epoch to come": func(m *languageMemory) { m.From = 6 },
		"no steps":              func(m *languageMemory) { m.Average.Steps = 0 },
		"no rate":               func(m *languageMemory) { m.Average.Rate = -1 },
		"a weight above 1":      func(m *languageMemory) { m.Average.Weight = 2 },
		"no averages":           func(m *languageMemory) { m.Averaging = false },
	} {
		var all meta
		var m languageMemory
		if err := errors.Join(json.Unmarshal(good, &all), json.Unmarshal(all.Memory, &m)); err != nil || !m.Averaging {
			t.Fatalf("%v: %+v", err, m)
		}
		spoil(&m)
		if all.Memory, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		if state.Meta, err = json.Marshal(all); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Save(path, "", state); err != nil {
			t.Fatal(err)
		}
		if _, err := run(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), "cannot be continued") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// damage trains and makes all weights NaN after a step of an epoch, the first so many times that
// it comes there. See gets every report after that, with the network.
func damage(ctx context.Context, t *testing.T, j Job, epoch, step, times int, see func(Progress, *language)) error {
	t.Helper()
	training, err := j.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	l := training.course.(*language)
	_, err = training.Run(ctx, func(p Progress) {
		if p.Doing == "" && p.Epoch == epoch && p.Step == step && len(training.epochs) == epoch && times > 0 {
			times--
			nan := make([]float64, l.model.ParameterCount())
			for i := range nan {
				nan[i] = math.NaN()
			}
			l.model.WriteParameters(nan)
		}
		see(p, l)
	})
	return err
}

// After a loss that is not finite the epoch begins again from the best weights, in the state that
// the optimiser had with them, with other draws (quirk R19); also in a training that is
// interrupted before and afterwards.
func TestRollBack(t *testing.T) {
	averaged := []string{"learning-rate", "100", "epochs", "9"} // averages from epoch 4 on, best first in epoch 1, then in 7
	for _, c := range []struct {
		name        string
		set         []string
		epoch, step int
		averaging   bool
	}{
		{"in SGD", []string{"epochs", "4"}, 2, 3, false},
		{"from averages to SGD", append(averaged, "epochs", "7"), 5, 3, false},
		{"among averages", averaged, 8, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain, whole, stopped := words(t, t.TempDir(), c.set...), words(t, t.TempDir(), c.set...), words(t, t.TempDir(), c.set...)
			if _, err := run(t.Context(), plain, nil); err != nil {
				t.Fatal(err)
			}
			notes := 0
			if err := damage(t.Context(), t, whole, c.epoch, c.step, 1, func(p Progress, l *language) {
				if p.Note == "" {
					return
				}
				notes++
				if !strings.Contains(p.Note, "begins again") || p.Epoch != c.epoch || p.Step != 0 {
					t.Errorf("report %+v", p)
				}
				if d := cmp.Diff(l.best, l.weights()); d != "" {
					t.Error("the weights are not the best ones")
				}
				if c.averaging {
					average := make([]float64, len(l.best))
					l.average.Read(average)
					if s := l.average.State(); !cmp.Equal(average, l.best) || s != *l.bestOf || s.Steps < 13 {
						t.Errorf("the average is not that of the best epoch, %+v", s)
					}
				} else if l.average != nil || l.averaging() {
					t.Error("still averaging")
				}
			}); err != nil {
				t.Fatal(err)
			}
			if notes != 1 {
				t.Errorf("%d notes, want 1", notes)
			}
			before, err := ReadEpochs(plain.Dir)
			if err != nil {
				t.Fatal(err)
			}
			after, err := ReadEpochs(whole.Dir)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range after {
				want := 0
				if i == c.epoch {
					want = 1
				}
				if e.Words.RolledBack != want || i < c.epoch && *e.Words != *before[i].Words {
					t.Errorf("epoch %d is %+v, without damage %+v", i, *e.Words, *before[i].Words)
				}
			}
			if e := after[c.epoch]; e.Words.Averaging != c.averaging || e.Train.Loss == before[c.epoch].Train.Loss {
				t.Errorf("epoch %d is %+v with %+v, want averaging %v and other draws", c.epoch, e, e.Words, c.averaging)
			}

			for _, at := range []struct{ rolledBack, step int }{{0, 1}, {1, 4}} {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if err := damage(ctx, t, stopped, c.epoch, c.step, 1, func(p Progress, l *language) {
					if p.Epoch == c.epoch && p.Step == at.step && l.rolledBack == at.rolledBack {
						cancel()
					}
				}); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			if _, err := run(t.Context(), stopped, nil); err != nil {
				t.Fatal(err)
			}
			sameOutcome(t, whole, stopped)
		})
	}
}

// Where there is nothing to go back to, or no end of it, the training ends with an error. A
// perplexity that is not finite is like a loss.
func TestNoRollBack(t *testing.T) {
	for _, c := range []struct {
		name               string
		epoch, step, times int
		set                []string
		notes              int
		want               string // nothing if it comes to its end
	}{
		{"in the first epoch", 0, 3, 1, nil, 0, "no epoch is validated"},
		{"off", 2, 3, 1, []string{"roll-back", "off"}, 0, "with roll-back on"},
		{"ever again", 1, 3, 100, nil, mostRollBacks, "began again 10 times"},
		{"twice", 1, 3, 2, nil, 2, ""},
		{"validation", 2, 0, 1, nil, 1, ""}, // after the last step
	} {
		j := words(t, t.TempDir(), append(c.set, "epochs", "3")...)
		if c.step == 0 {
			training, err := j.Prepare()
			if err != nil {
				t.Fatal(err)
			}
			c.step = training.course.steps(c.epoch)
		}
		notes := 0
		err := damage(t.Context(), t, j, c.epoch, c.step, c.times, func(p Progress, _ *language) {
			if p.Note != "" {
				notes++
			}
		})
		if notes != c.notes {
			t.Errorf("%s: %d notes, want %d", c.name, notes, c.notes)
		}
		if c.want == "" {
			epochs, problem := ReadEpochs(j.Dir)
			if err != nil || problem != nil || len(epochs) != 3 || epochs[c.epoch].Words.RolledBack != c.notes {
				t.Errorf("%s: %v, %v, %d epochs", c.name, err, problem, len(epochs))
			}
			continue
		}
		if !errors.Is(err, algorithms.ErrDiverged) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "lower learning-rate") {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// What a checkpoint says of roll-backs and of the best epoch's optimiser fits the records, or is
// not taken over.
func TestRecallOfRollBacks(t *testing.T) {
	const backInSGD = "back in SGD"
	at := recurrent.AverageState{Steps: 26, Rate: 60, Weight: 1. / 26}
	for _, c := range []struct {
		name  string
		spoil func(*language, *languageMemory, []Epoch)
		ok    bool // and averaging, but for the last case
	}{
		{"as it is", func(*language, *languageMemory, []Epoch) {}, true},
		{"of an older program", func(_ *language, m *languageMemory, _ []Epoch) { m.BestOf = nil }, true},
		{"once", func(_ *language, m *languageMemory, _ []Epoch) { m.RolledBack = 1 }, true},
		{"in a record", func(_ *language, _ *languageMemory, e []Epoch) { e[4].Words.RolledBack = 1 }, true},
		{"too often", func(_ *language, m *languageMemory, _ []Epoch) { m.RolledBack = 11 }, false},
		{"less than never", func(_ *language, m *languageMemory, _ []Epoch) { m.RolledBack = -1 }, false},
		{"switched off", func(l *language, m *languageMemory, _ []Epoch) { m.RolledBack, l.config.Language.RollBack = 1, false }, false},
		{"in the first record", func(_ *language, _ *languageMemory, e []Epoch) { e[0].Words.RolledBack = 1 }, false},
		{"too often in a record", func(_ *language, _ *languageMemory, e []Epoch) { e[4].Words.RolledBack = 11 }, false},
		{"no steps", func(_ *language, m *languageMemory, _ []Epoch) {
			m.BestOf = &recurrent.AverageState{Rate: 1, Weight: 1}
		}, false},
		{"best of SGD", func(_ *language, _ *languageMemory, e []Epoch) { e[3].Words.Valid.Loss, e[4].Words.Valid.Loss = 7, 7 }, false},
		{"best of averages, in SGD", func(_ *language, m *languageMemory, e []Epoch) { m.Averaging, e[4].Words.Averaging = false, false }, false},
		{backInSGD, func(_ *language, m *languageMemory, e []Epoch) {
			*m = languageMemory{From: 3}
			e[3].Words.Valid.Loss, e[4].Words.Averaging, e[4].Words.RolledBack = 7, false, 1
		}, true},
	} {
		training, err := words(t, t.TempDir()).Prepare()
		if err != nil {
			t.Fatal(err)
		}
		l := training.course.(*language)
		var epochs []Epoch
		for i, loss := range []float64{5, 4, 6, 3, 3.5} { // averaging from 3 on
			epochs = append(epochs, Epoch{Epoch: i, Words: &WordsEpoch{Valid: results.NewPerplexity(loss, loss), Averaging: i >= 3}})
		}
		m := languageMemory{Averaging: true, From: 3, Average: at, BestOf: &recurrent.AverageState{Steps: 13, Rate: 50, Weight: 1. / 13}}
		c.spoil(l, &m, epochs)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.recall(text, epochs, begun{Steps: 1}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		} else if sgd := c.name == backInSGD; c.ok && (l.best == nil || l.rolledBack != m.RolledBack || (l.bestOf == nil) != sgd || l.averaging() == sgd) {
			t.Errorf("%s: not taken over", c.name)
		}
	}
}
