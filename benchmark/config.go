package benchmark

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Config is the resolved configuration of a run: with the seed and the
// provenance of images and table, it decides every number of the record.
type Config struct {
	Space     spaces.Name `json:"-"`
	Algorithm string      `json:"-"` // a name of package algorithms
	Preset    string      `json:"-"` // where the values below started from

	Epochs            int     `json:"epochs"`
	Channels          int     `json:"channels"` // of the first cells
	Cells             int     `json:"cells"`    // at least 3
	Side              int     `json:"side"`     // of the images, which are averaged down to it
	Limit             int     `json:"images"`   // training images used, training and search part together; 0 is all
	Batch             int     `json:"batch"`    // images in a batch, the last of an epoch may be smaller
	BatchNormMomentum float64 `json:"batch_norm_momentum"`
	Augment           bool    `json:"augment"`          // also of the search part, quirk Q10
	CleanValidation   bool    `json:"clean_validation"` // no augmentation there, quirk Q10
	Cutout            float64 `json:"cutout"`           // probability
	CutoutGrows       bool    `json:"cutout_grows"`     // quirk Q21
	Ties              string  `json:"ties"`             // rule of spaces.ParseTies, quirk Q31
	Evaluate          string  `json:"evaluate"`         // "before" or "after" the epoch, quirk Q11
	Hessian           string  `json:"hessian"`          // "last", "full", "fixed" or "off", quirk Q8
	HessianBatches    int     `json:"hessian_batches"`
	HessianDecay      bool    `json:"hessian_decay"`  // on the diagonal, quirk Q9
	HessianReport     string  `json:"hessian_report"` // what λ is, quirk Q9b
	Unpadded          bool    `json:"unpadded"`       // quirk Q26
	ProjectionBatches int     `json:"projection_batches"`
	// Settings that are younger than the first records are left out where they are off, so
	// that hashes stay the same.
	FreshSearch     bool `json:"fresh_search,omitempty"`      // quirk C5
	NoFlip          bool `json:"no_flip,omitempty"`           // crop, but never flip: quirk C28
	PDARTSConstants bool `json:"p_darts_constants,omitempty"` // of CIFAR-100: quirk C32
	Correlation     int  `json:"correlation,omitempty"`       // cells that the supernet ranks after each epoch

	Text Text `json:"text,omitzero"` // on the recurrent space, in the place of what is of images

	Settings algorithms.Settings `json:"settings"` // every option of the algorithm
}

// Text is the part of a configuration that is of language models.
type Text struct {
	Hidden     int `json:"hidden"`      // length of hidden states and of the vectors of words
	BPTT       int `json:"bptt"`        // usual length of passages, in words
	Words      int `json:"words"`       // training words used, and a tenth of that to validate; 0 is all
	ValidBatch int `json:"valid_batch"` // columns of the text that the supernet is validated on; Config.Batch are those of the search
	// Probabilities of dropout, see recurrent.Dropout.
	Dropout      float64 `json:"dropout"`
	DropoutH     float64 `json:"dropout_h"`
	DropoutX     float64 `json:"dropout_x"`
	DropoutInput float64 `json:"dropout_input"`
	DropoutWords float64 `json:"dropout_words"`
	// Weights of the regularisers, see recurrent.Regularisers.
	Activation    float64 `json:"activation"`
	Temporal      float64 `json:"temporal"`
	AllWordsLearn bool    `json:"all_words_learn"` // quirk R7
	// The alternatives of the quirks R3 to R6, see Options.
	RateByRows    bool `json:"rate_by_rows,omitempty"`
	SearchInOrder bool `json:"search_in_order,omitempty"`
	SearchSplit   bool `json:"search_split,omitempty"`
	NormEachState bool `json:"norm_each_state,omitempty"`
}

// ofImages are the members of a configuration that mean nothing to a network which reads words.
var ofImages = []string{"channels", "cells", "side", "images", "augment", "clean_validation", "cutout", "cutout_grows", "unpadded"}

// MarshalJSON leaves out what means nothing on the space.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	text, err := json.Marshal(plain(c))
	if err != nil || !FamilyOf(c.Space).ReadsText() {
		return text, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	for _, name := range ofImages {
		delete(members, name)
	}
	return json.Marshal(members)
}

// Preset is a named starting point for configurations.
type Preset struct {
	Name string
	// Former is what a preset of these values was called before another took over
	// the name; "" where there was none. Its runs keep that name. No space but those
	// of NAS-Bench-1Shot1 was there then.
	Former string

	of [families]values
}

// Doc says in a few words what the preset is in a family of spaces.
func (p Preset) Doc(f Family) string { return p.of[f].doc }

// Presets lists the presets, the most expensive first.
//
// Below the paper's scale an epoch has fewer architecture steps, so their learning
// rate is raised. Adam moves a parameter by at most its learning rate in a step:
// small and quick allow the architecture parameters the way that the released
// setting allows, 26,100 steps of 3e-4, and smoke half of it. Likewise ENAS and
// random search with weight sharing do less after an epoch, and the controller's
// learning rate makes up for it. docs/presets.md has the measurements.
var Presets = []Preset{
	{
		Name: "paper",
		of: [families]values{
			OneShot: {
				doc:    "the setting of the paper: 16 channels, 9 cells, all training images at side 32, batch 96",
				config: scale(16, 9, 32, 0, 96),
			},
			DARTS: {
				doc:    "the setting of the paper: 16 channels, 8 cells, all training images at side 32, batch 64, 50 epochs",
				config: cellScale(16, 8, 32, 0, 64, 50),
			},
			Recurrent: {
				doc:    "the setting of the paper: 300 hidden units, the whole text in 256 columns, passages of 35 words, 50 epochs",
				config: textScale(300, 0, 256, 35, 50),
			},
		},
	},
	{
		Name: "small",
		of: [families]values{
			OneShot: {
				doc:    "tells algorithms apart over a few seeds: 8 channels, 3 cells, 1,960+1,960 images at side 16, batch 48, architecture learning rate raised to 1.9e-3",
				config: fixedHessian(scale(8, 3, 16, 3920, 48)),
				settings: algorithms.Settings{
					"arch-learning-rate": 1.9e-3, // 4,100 steps
					"candidates":         100, "controller-steps": 60, "controller-learning-rate": 1.2e-3,
				},
			},
			DARTS: {
				doc:    "tells algorithms apart over a few seeds: 8 channels, 5 cells, 2,000+2,000 images at side 16, batch 32, architecture learning rate raised to 1.9e-3",
				config: fixedHessian(cellScale(8, 5, 16, 4000, 32, 50)),
				settings: algorithms.Settings{
					"arch-learning-rate": 1.9e-3, "added-cells": 2,
					"candidates": 100,
				},
			},
			Recurrent: textPreset["small"],
		},
	},
	{
		Name: "quick",
		of: [families]values{
			OneShot: {
				doc:    "shows the phenomenon within minutes: 8 channels, 3 cells, 424+424 images at side 16, batch 48, architecture learning rate raised to 8.7e-3",
				config: fixedHessian(scale(8, 3, 16, 848, 48)),
				settings: algorithms.Settings{
					"arch-learning-rate": 8.7e-3, // 900 steps
					"candidates":         30, "controller-steps": 20, "controller-learning-rate": 3.5e-3,
				},
			},
			DARTS: {
				doc:    "a first look within three minutes: 8 channels, 4 cells, 1,280+1,280 images at side 16, batch 32, 20 epochs, architecture learning rate raised to 7.3e-3",
				config: fixedHessian(cellScale(8, 4, 16, 2560, 32, 20)),
				settings: algorithms.Settings{
					"arch-learning-rate": 7.3e-3, // 800 steps
					"candidates":         30, "added-cells": 1,
				},
			},
			Recurrent: textPreset["quick"],
		},
	},
	{
		Name:   "smoke",
		Former: "quick",
		of: [families]values{
			OneShot: {
				doc:    "half a minute, for tests: 8 channels, 3 cells, 160+160 images at side 16, batch 32, architecture learning rate raised to 8e-3",
				config: scale(8, 3, 16, 320, 32),
				settings: algorithms.Settings{
					"arch-learning-rate": 8e-3, // 500 steps
					"candidates":         30, "controller-steps": 20, "controller-learning-rate": 3.5e-3,
				},
			},
			DARTS: {
				doc:    "for tests: 8 channels, 3 cells, 96+96 images at side 8, batch 32, 20 epochs, architecture learning rate raised to 8e-3",
				config: cellScale(8, 3, 8, 192, 32, 20),
				settings: algorithms.Settings{
					"arch-learning-rate": 8e-3, "added-cells": 1,
					"candidates": 30,
				},
			},
			Recurrent: textPreset["smoke"],
		},
	},
}

// scale is the released setting with a supernet, images and batch of another size.
func scale(channels, cells, side, images, batch int) Config {
	return Config{
		Epochs: 100, Channels: channels, Cells: cells, Side: side, Limit: images, Batch: batch,
		BatchNormMomentum: 0.997, Augment: true, Ties: spaces.TiesNumPy.String(),
		Hessian: hessianLast, HessianBatches: 1, HessianDecay: true, HessianReport: reportAlgebraic, ProjectionBatches: 10,
	}
}

// fixedHessian takes λ on four whole batches that are the same in every epoch, and so with
// a spread, instead of the last batch of the epoch, whose size in the spaces of
// NAS-Bench-1Shot1 is what the division leaves. docs/presets.md has what that costs.
func fixedHessian(c Config) Config {
	c.Hessian, c.HessianBatches = hessianFixed, 4
	return c
}

// textPreset are those of the recurrent space below the paper's scale. A step of clipped SGD at
// the paper's learning rate moves the weights of a small network by as much as they are, and its
// dropout leaves little of a short hidden state, so that both are lower. The architecture learning
// rate allows the way of the paper's 5,350 steps of 3e-3, as in the other spaces.
var textPreset = map[string]values{
	"small": {
		doc:      "tells algorithms apart over a few seeds: 100 hidden units, 200,000 words in 64 columns, passages of 35 words, 25 epochs, half the learning rate, less dropout",
		config:   lighter(textScale(100, 200_000, 64, 35, 25), 0.5, 0.2),
		settings: algorithms.Settings{"learning-rate": 10, "learning-rate-min": 10, "arch-learning-rate": 7e-3, "candidates": 100},
	},
	"quick": {
		doc:      "a first look within three minutes: 24 hidden units, 12,000 words in 16 columns, passages of 16 words, 15 epochs, half the learning rate, less dropout",
		config:   lighter(textScale(24, 12_000, 16, 16, 15), 0.3, 0.1),
		settings: algorithms.Settings{"learning-rate": 10, "learning-rate-min": 10, "arch-learning-rate": 2.2e-2, "candidates": 20, "candidate-batches": 4},
	},
	"smoke": {
		doc:      "for tests: 12 hidden units, 1,200 words in 8 columns, passages of 10 words, 3 epochs, half the learning rate, less dropout",
		config:   lighter(textScale(12, 1200, 8, 10, 3), 0.3, 0.1),
		settings: algorithms.Settings{"learning-rate": 10, "learning-rate-min": 10, "arch-learning-rate": 2.2e-2, "candidates": 4, "candidate-batches": 1},
	},
}

// lighter is a configuration with other probabilities of dropout: of words and outputs, and of
// hidden states.
func lighter(c Config, outer, hidden float64) Config {
	t := &c.Text
	t.Dropout, t.DropoutX, t.DropoutH, t.DropoutInput = outer, outer, hidden, 0
	return c
}

// leastCells is the smallest number of cells: those of three resolutions.
const leastCells = 3

// PresetNames lists the names of Presets, in their order.
func PresetNames() []string {
	var names []string
	for _, p := range Presets {
		names = append(names, p.Name)
	}
	return names
}

// ErrPreset reports the name of a preset that does not exist.
var ErrPreset = errors.New("unknown preset")

// NewConfig returns the configuration of a preset for an algorithm on a space.
func NewConfig(preset string, space spaces.Name, algorithm string) (Config, error) {
	i := slices.IndexFunc(Presets, func(p Preset) bool { return p.Name == preset })
	if i < 0 {
		return Config{}, fmt.Errorf("preset %q: %w, choose one of %s", preset, ErrPreset, strings.Join(PresetNames(), ", "))
	}
	definition, err := algorithms.Lookup(algorithm)
	if err != nil {
		return Config{}, err
	}
	s, err := spaces.Get(space)
	if err != nil {
		return Config{}, err
	}
	definition = definition.On(s)
	from := Presets[i].of[FamilyOf(space)]
	c := from.config
	c.Space, c.Algorithm, c.Preset = space, algorithm, preset
	own := algorithms.Settings{}
	for _, o := range definition.Options {
		if v, ok := from.settings[o.Name]; ok {
			own[o.Name] = v
		}
	}
	if definition.Discrete || definition.TableOnly { // which have none
		c.Hessian, c.HessianBatches = hessianLast, 1
	}
	c.Evaluate = evaluateBefore
	if definition.After {
		c.Evaluate = evaluateAfter
	}
	if c.Settings, err = definition.Resolve(own); err != nil {
		return Config{}, err
	}
	images, err := definition.LearnsFrom(s, c.Settings)
	if FamilyOf(space).ReadsText() {
		return c, err
	}
	if c.Limit == 0 { // the paper's setting, where the size of a run is the algorithm's own
		c.Batch = images.Batch
		c.Epochs, c.Cells = cmp.Or(images.Epochs, c.Epochs), cmp.Or(images.Cells, c.Cells)
	}
	c.Cutout = cmp.Or(images.Cutout, c.Cutout)
	if images.Passes {
		c.FreshSearch = false
	}
	return c, err
}

// ErrNoEffect reports a setting that could not do what it says: with it the run
// would have another name and the same numbers.
var ErrNoEffect = errors.New("has no effect")

// averagesHessian tells whether HessianBatches means anything.
func (c Config) averagesHessian() bool { return c.Hessian == hessianFull || c.Hessian == hessianFixed }

// checkEffects reports the settings that others keep from taking effect.
func (c Config) checkEffects() error {
	for _, s := range []struct {
		name  string
		idle  bool
		needs string
	}{
		{"hessian=exact", c.Hessian == hessianExact && !c.hasManyDirections(), fmt.Sprintf("a space of more than %d free directions; on space %s the whole spectrum is taken anyway", maxExact, c.Space)},
		{fmt.Sprintf("hessian-batches of %d", c.HessianBatches), c.HessianBatches != 1 && !c.averagesHessian(), "hessian=full or hessian=fixed"},
		{"hessian-decay=off", !c.HessianDecay && c.Hessian == hessianOff, "a hessian that is not off"},
		{"hessian-report=" + c.HessianReport, c.HessianReport != FamilyOf(c.Space).report() && c.Hessian == hessianOff, "a hessian that is not off"},
		{"no-flip", c.NoFlip && !c.Augment, "augment=on"},
		{"cutout-grows", c.CutoutGrows && c.Cutout == 0, "a cutout above 0"},
		{"clean-validation", c.CleanValidation && !c.Augment && c.Cutout == 0, "augment=on or a cutout above 0"},
	} {
		if s.idle {
			return fmt.Errorf("%s %w without %s", s.name, ErrNoEffect, s.needs)
		}
	}
	return nil
}

// checkBatches reports batches that there are not as many images for. A preset asks
// for more batches than a small search part has, and means all.
func (c Config) checkBatches(q *queues) error {
	for i, part := range []string{"training", "search"} {
		if n := q.images[i]; c.Batch > n {
			return fmt.Errorf("batch of %d %w beyond the %d images of the %s part: take a smaller batch or a larger limit", c.Batch, ErrNoEffect, n, part)
		}
	}
	n := q.Len(algorithms.Search)
	for _, p := range Presets {
		if p.Name == c.Preset && c.HessianBatches != p.of[FamilyOf(c.Space)].config.HessianBatches && c.Hessian != hessianOff && c.HessianBatches > n {
			return fmt.Errorf("hessian-batches of %d %w beyond the %d batches of the search part", c.HessianBatches, ErrNoEffect, n)
		}
		if p.Name == c.Preset && c.ProjectionBatches != p.of[FamilyOf(c.Space)].config.ProjectionBatches && c.ProjectionBatches > n {
			return fmt.Errorf("projection-batches of %d %w beyond the %d batches of the search part", c.ProjectionBatches, ErrNoEffect, n)
		}
	}
	return nil
}

// checkImages reports settings that only some images have a use for.
func (c Config) checkImages(train *data.Set) error {
	if c.PDARTSConstants && train.Normalization != data.CIFAR100Normalization {
		return fmt.Errorf("p-darts-constants %w on images of %s: the constants are of CIFAR-100", ErrNoEffect, train.Source.Kind)
	}
	return nil
}

// Check reports the values that are out of range or have no effect.
func (c Config) Check() error {
	var errs []error
	if _, err := spaces.Get(c.Space); err != nil {
		errs = append(errs, err)
	}
	if FamilyOf(c.Space).ReadsText() && c.averagesHessian() {
		errs = append(errs, fmt.Errorf("hessian is %q on space %s, want last, exact or off: the hidden states before other passages are gone", c.Hessian, c.Space))
	}
	for _, o := range Options {
		if o.check == nil || !o.appliesTo(FamilyOf(c.Space)) {
			continue
		}
		if err := o.check(c); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", o.Name, err))
		}
	}
	errs = append(errs, c.checkEffects())
	return errors.Join(errs...)
}

// network is the supernet's part of the configuration, for images of so many classes.
func (c Config) network(space *spaces.Space, variant supernet.Variant, classes int) supernet.Config {
	return supernet.Config{
		Space: space, Channels: c.Channels, Cells: c.Cells, Classes: classes,
		Side: c.Side, BatchNormMomentum: c.BatchNormMomentum, Variant: variant, Unpadded: c.Unpadded,
	}
}

// Memory returns the bytes that a run on the training images takes on a CPU engine at
// most, for values of so many bytes; 0 for one without a supernet, which needs no images.
// See supernet.Config.Memory.
func (c Config) Memory(train *data.Set, element int) (int64, error) {
	definition, err := algorithms.Lookup(c.Algorithm)
	if err != nil || definition.TableOnly {
		return 0, err
	}
	space, err := spaces.Get(c.Space)
	if err != nil {
		return 0, err
	}
	hessian := 0
	if c.Hessian != hessianOff && !definition.Discrete {
		hessian = c.Batch // and of a last one less
		half := cmp.Or(c.Limit, train.Len()) / 2
		if left := half % c.Batch; left > 0 && !c.averagesHessian() && !c.FreshSearch {
			hessian = left
		}
	}
	variant, err := definition.Variant(c.Settings)
	if err != nil {
		return 0, err
	}
	stages, err := c.stages(definition, space)
	if err != nil {
		return 0, err
	}
	largest := int64(0)
	for _, stage := range stages {
		config := c.network(stage.Space, variant, train.Classes)
		config.Cells = stage.Cells
		bytes, err := config.Memory(c.Batch, hessian, element)
		if err != nil {
			return 0, err
		}
		largest = max(largest, bytes)
	}
	return largest, nil
}

// stages lists the networks that a search goes through, one unless it has stages.
func (c Config) stages(definition algorithms.Definition, space *spaces.Space) ([]algorithms.Stage, error) {
	space, err := definition.SearchSpace(space, c.Settings)
	if err != nil {
		return nil, err
	}
	only := algorithms.Stage{Space: space, Cells: c.Cells}
	searcher, err := definition.NewSearcher(algorithms.Config{Space: space, Cells: c.cells(), Epochs: c.Epochs, Settings: c.Settings})
	staged, ok := searcher.(algorithms.Staged)
	if err != nil || !ok {
		return []algorithms.Stage{only}, err
	}
	var all []algorithms.Stage
	for epoch := range c.Epochs { // what it drops makes no difference
		staged.StartEpoch(epoch)
		if stage := staged.Stage(); len(all) == 0 || all[len(all)-1].Number != stage.Number {
			all = append(all, stage)
		}
	}
	return all, nil
}
