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
	if d := cmp.Diff(outcome(t, whole), outcome(t, j)); d != "" {
		t.Error(d)
	}
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
