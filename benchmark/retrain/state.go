package retrain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/results"
)

// Epoch is one line of epochs.jsonl.
type Epoch struct {
	Epoch        int           `json:"epoch"`         // from 0
	LearningRate float64       `json:"learning_rate"` // of its first step
	DropPath     float64       `json:"drop_path"`     // probability
	Train        results.Score `json:"train"`         // running means over the epoch, of the main classifier
	Test         results.Score `json:"test"`          // after it, on the images that evaluation.json's recipe.measured_on says
	Seconds      float64       `json:"seconds"`
	// Words is what is measured of a network of words, which has no Test and no DropPath.
	Words *WordsEpoch `json:"words,omitempty"`
}

// WordsEpoch is an epoch of the network of a recurrent cell.
type WordsEpoch struct {
	Averaging bool                `json:"averaging"`      // the steps were those of averaged SGD, and the averages are measured
	Valid     results.Perplexity  `json:"valid"`          // after the epoch, on the validation text
	Best      bool                `json:"best"`           // the lowest loss of validation so far: its weights are kept
	Test      *results.Perplexity `json:"test,omitempty"` // in the last epoch, of the best weights, on the test text
	// RolledBack is how often the epoch began again from the best weights (quirk R19).
	RolledBack int `json:"rolled_back,omitempty"`
}

// maxEpochs bounds epochs.jsonl, in bytes.
const maxEpochs = 256 << 20

// ReadEpochs reads the records in the folder of a training. The last line may be missing
// its end, which a process wrote that was killed.
func ReadEpochs(dir string) ([]Epoch, error) {
	path := filepath.Join(dir, epochsFile)
	text, err := foreign.ReadFile(path, maxEpochs)
	if err != nil {
		return nil, err
	}
	epochs, err := parseEpochs(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return epochs, nil
}

// parseEpochs reads the lines of epochs.jsonl.
func parseEpochs(text []byte) (epochs []Epoch, err error) {
	for line := range bytes.Lines(text) {
		var e Epoch
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(epochs)+1, err)
		}
		if e.Epoch != len(epochs) {
			return nil, fmt.Errorf("line %d is of epoch %d, want %d", len(epochs)+1, e.Epoch, len(epochs))
		}
		for _, s := range []results.Score{e.Train, e.Test} {
			if !(s.Accuracy >= 0 && s.Accuracy <= 1) || s.Loss < 0 {
				return nil, fmt.Errorf("line %d: accuracy %v and loss %v", len(epochs)+1, s.Accuracy, s.Loss)
			}
		}
		if w := e.Words; w != nil {
			if err := w.Valid.Check(); err != nil {
				return nil, fmt.Errorf("line %d: validation: %w", len(epochs)+1, err)
			}
		}
		if !(e.Seconds >= 0) {
			return nil, fmt.Errorf("line %d: %v seconds", len(epochs)+1, e.Seconds)
		}
		epochs = append(epochs, e)
	}
	return epochs, nil
}

// lines are the records as epochs.jsonl has them.
func (t *Training) lines() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, e := range t.epochs {
		if err := encoder.Encode(e); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// record replaces epochs.jsonl by the records so far.
func (t *Training) record() error {
	text, err := t.lines()
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(t.Dir, epochsFile), text)
}

// meta is what a checkpoint says of itself.
type meta struct {
	Training string `json:"training"` // training.json
	Begun    begun  `json:"begun"`
	// Memory is that of the course.
	Memory json.RawMessage `json:"memory,omitempty"`
}

// vector is a part of the network that a checkpoint holds.
type vector struct {
	name  string
	n     int
	read  func([]float64)
	write func([]float64)
}

// keep keeps the state as it is now, the records included, so that no two files need agree.
func (t *Training) keep(write bool) error {
	identity, err := t.identity()
	if err != nil {
		return err
	}
	lines, err := t.lines()
	if err != nil {
		return err
	}
	m := meta{Training: string(identity), Begun: t.begun}
	if memory := t.course.memory(); memory != nil {
		if m.Memory, err = json.Marshal(memory); err != nil {
			return err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	state := checkpoint.State{Meta: text, Blobs: map[string][]byte{"epochs": lines}, Vectors: map[string]checkpoint.Vector{}}
	for _, v := range t.course.vectors() {
		values := make([]float64, v.n)
		v.read(values)
		state.Vectors[v.name] = checkpoint.Vector{Values: values, Single: t.engine.Precision() != "float64"}
	}
	return t.keeper.Keep(&state, write)
}

// resume takes the training up where its newest whole checkpoint left it, and says so. A
// training without any starts.
func (t *Training) resume() (note string, err error) {
	var damaged []error
	for _, name := range []string{checkpoint.File, checkpoint.PreviousFile} {
		path := filepath.Join(t.Dir, name)
		state, err := checkpoint.Load(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			if err = t.restore(state); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		note = fmt.Sprintf("the training continues in epoch %d of %d after step %d", len(t.epochs), t.Config.Epochs, t.begun.Steps)
		if len(damaged) > 0 {
			note = fmt.Sprintf("%v; the checkpoint before it serves: %s", damaged[0], note)
		}
		break
	}
	if note == "" && len(damaged) > 0 {
		return "", fmt.Errorf("%s cannot be continued, move it aside to start again: %w", t.Dir, errors.Join(damaged...))
	}
	if err := durable.Clean(filepath.Join(t.Dir, checkpoint.File)); err != nil {
		return "", err
	}
	if err := durable.Clean(filepath.Join(t.Dir, epochsFile)); err != nil {
		return "", err
	}
	return note, t.record()
}

// restore takes a state over. After an error the training may not run before another one is.
func (t *Training) restore(state checkpoint.State) error {
	identity, err := t.identity()
	if err != nil {
		return err
	}
	var m meta
	if err := json.Unmarshal(state.Meta, &m); err != nil {
		return err
	}
	if strings.TrimSpace(m.Training) != strings.TrimSpace(string(identity)) {
		return fmt.Errorf("the checkpoint is %w", ErrOther)
	}
	epochs, err := parseEpochs(state.Blobs["epochs"])
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	b := m.Begun
	if err := t.course.recall(m.Memory, epochs, b); err != nil {
		return err
	}
	steps := t.course.steps(len(epochs)) // of words it depends on what was recalled
	if len(epochs) > t.Config.Epochs || b.Steps < 0 || b.Steps > steps || len(epochs) == t.Config.Epochs && b.Steps > 0 ||
		b.Images < 0 || b.Correct < 0 || b.Correct > b.Images || math.IsNaN(b.Loss) || !(b.Seconds >= 0) {
		return fmt.Errorf("%d epochs and %d steps are done, %d of %d images right: the training has %d epochs of %d steps",
			len(epochs), b.Steps, b.Correct, b.Images, t.Config.Epochs, steps)
	}
	for _, v := range t.course.vectors() {
		if n := len(state.Vectors[v.name].Values); n != v.n {
			return fmt.Errorf("%s has %d numbers, the network %d", v.name, n, v.n)
		}
	}
	for _, v := range t.course.vectors() {
		v.write(state.Vectors[v.name].Values)
	}
	t.epochs, t.begun = epochs, b
	return nil
}
