package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Retraining is how the networks of what the runs of a sweep found are trained from
// scratch, each from the seed of its run.
type Retraining struct {
	Preset   string            `json:"preset"`             // of package retrain
	Settings map[string]string `json:"settings,omitempty"` // departures from it, as retrain.Config.Set takes them
}

// String tells it in a few words.
func (t Retraining) String() string {
	text := "preset " + t.Preset
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		text += ", " + name + " " + t.Settings[name]
	}
	return text
}

func (t Retraining) check() error {
	if !word.MatchString(t.Preset) {
		return fmt.Errorf("preset: %q is not a name of lower-case letters, digits and hyphens", t.Preset)
	}
	for name := range t.Settings {
		if !word.MatchString(name) {
			return fmt.Errorf("settings: %q is not a name of lower-case letters, digits and hyphens", name)
		}
	}
	return nil
}

// Config returns the configuration of a training for a form of network and images of a
// kind.
func (t Retraining) Config(form, images string) (retrain.Config, error) {
	c, err := retrain.NewConfig(t.Preset, form, images)
	if err != nil {
		return c, err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		if err := c.Set(name, t.Settings[name]); err != nil {
			return c, err
		}
	}
	if c.Halves {
		return c, errors.New("halves is on: the networks of a sweep are measured on the test images")
	}
	return c, nil
}

// Form is the form of the network of what is found on a space.
func Form(space spaces.Name) string {
	switch family := benchmark.FamilyOf(space); {
	case family.HasTable():
		return results.FormNASBench101
	case family.ReadsText():
		return results.FormRecurrent
	}
	return results.FormCIFAR
}

// networkSource is the kind of images or text that networks are trained on.
func (r *Runner) networkSource() string {
	if r.NetworkText != nil {
		return r.NetworkText.Source.Kind
	}
	return r.NetworkTrain.Source.Kind
}

// trained tells whether nothing is left to be done of a run whose search is finished: its
// network is trained as the sweep says, or none is to be. The error tells of one that was
// trained otherwise.
func (s Shared) trained(h *results.History) (bool, error) {
	e := h.Evaluation
	if s.Retrain == nil || e == nil {
		return s.Retrain == nil, nil
	}
	c, err := s.Retrain.Config(e.Subject.Form, e.Provenance.Images)
	if err != nil {
		return false, err
	}
	if !c.Made(*e) || e.Provenance.Engine != s.Engine {
		return false, fmt.Errorf("%s is of another training (%s), where the sweep has %s on engine %s; nothing is replaced: move it aside, and the folder %s with it",
			filepath.Join(h.Dir, results.EvaluationFile), e.Key(), s.Retrain, s.Engine, retrain.Folder)
	}
	return true, nil
}

// retrain trains the network of what the finished run h of a unit found, or goes on with
// that.
func (r *Runner) retrain(ctx context.Context, u Unit, h *results.History, threads int, report func(benchmark.Progress)) (err error) {
	defer r.guard(u, &err)
	defer engine.Catch(&err) // before it looks like a fault of the program
	subject, err := retrain.SubjectOf(h)
	if err != nil {
		return err
	}
	config, err := r.Shared.Retrain.Config(subject.Form, r.networkSource())
	if err != nil {
		return err
	}
	dir, seconds := filepath.Join(r.Root, u.Run), retrain.SearchSeconds(h)
	training, err := retrain.Job{
		Config: config, Subject: subject, Seed: u.Seed, Train: r.NetworkTrain, Test: r.NetworkTest, Text: r.NetworkText, Engine: r.Shared.Engine, Threads: threads,
		Dir: filepath.Join(dir, retrain.Folder), Result: filepath.Join(dir, results.EvaluationFile), SearchSeconds: &seconds, Program: r.Program,
	}.Prepare()
	if err != nil {
		return err
	}
	_, err = training.Run(ctx, func(p retrain.Progress) {
		at := benchmark.Progress{Training: true, Epoch: p.Epoch, Epochs: p.Epochs, Step: p.Step, Steps: p.Steps, Doing: p.Doing, Remaining: p.Remaining}
		if p.Note != "" {
			at.Notes = []string{p.Note}
		}
		report(at)
	})
	if errors.Is(err, retrain.ErrFinished) { // by another process meanwhile
		return nil
	}
	return err
}
