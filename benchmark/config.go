package benchmark

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Config is the resolved configuration of a run: with the seed and the
// provenance of images and table, it decides every number of the record.
type Config struct {
	Space     int    `json:"-"` // 1, 2 or 3
	Algorithm string `json:"-"` // a name of package algorithms
	Preset    string `json:"-"` // where the values below started from

	Epochs            int     `json:"epochs"`
	Channels          int     `json:"channels"` // of the first cells
	Cells             int     `json:"cells"`    // at least 3
	Side              int     `json:"side"`     // of the images, which are averaged down to it
	Images            int     `json:"images"`   // training images used, half of them for the search; 0 is all
	Batch             int     `json:"batch"`    // images in a batch, the last of an epoch may be smaller
	BatchNormMomentum float64 `json:"batch_norm_momentum"`
	Augment           bool    `json:"augment"` // also of the search half, quirk Q10
	Ties              string  `json:"ties"`    // rule of spaces.ParseTies, quirk Q31

	Settings algorithms.Settings `json:"settings"` // every option of the algorithm
}

// Preset is a named starting point for configurations.
type Preset struct {
	Name string
	Doc  string

	config Config
	// settings replace the defaults of the options that an algorithm has.
	settings algorithms.Settings
}

// Presets lists the presets, the paper's first.
//
// The quick preset shows the paper's phenomenon in a minute on a processor. It
// takes 500 architecture steps instead of 26,100, so their learning rate is
// raised from 3e-4 to 8e-3, which gives the architecture parameters half of the
// way that the released setting allows; docs/quick-preset.md has the measurements.
var Presets = []Preset{
	{
		Name: "paper",
		Doc:  "the setting of the paper: 16 channels, 9 cells, all training images at side 32, batch 96",
		config: Config{
			Epochs: 100, Channels: 16, Cells: 9, Side: 32, Batch: 96,
			BatchNormMomentum: 0.997, Augment: true, Ties: spaces.TiesNumPy.String(),
		},
	},
	{
		Name: "quick",
		Doc:  "a minute on two cores: 8 channels, 3 cells, 160+160 images at side 16, batch 32, architecture learning rate raised to 8e-3",
		config: Config{
			Epochs: 100, Channels: 8, Cells: 3, Side: 16, Images: 320, Batch: 32,
			BatchNormMomentum: 0.997, Augment: true, Ties: spaces.TiesNumPy.String(),
		},
		settings: algorithms.Settings{"arch-learning-rate": 0.008},
	},
}

// ErrPreset reports the name of a preset that does not exist.
var ErrPreset = errors.New("unknown preset")

// NewConfig returns the configuration of a preset for an algorithm on a space.
func NewConfig(preset string, space int, algorithm string) (Config, error) {
	i := slices.IndexFunc(Presets, func(p Preset) bool { return p.Name == preset })
	if i < 0 {
		var names []string
		for _, p := range Presets {
			names = append(names, p.Name)
		}
		return Config{}, fmt.Errorf("preset %q: %w, choose one of %s", preset, ErrPreset, strings.Join(names, ", "))
	}
	definition, err := algorithms.Lookup(algorithm)
	if err != nil {
		return Config{}, err
	}
	c := Presets[i].config
	c.Space, c.Algorithm, c.Preset = space, algorithm, preset
	own := algorithms.Settings{}
	for _, o := range definition.Options {
		if v, ok := Presets[i].settings[o.Name]; ok {
			own[o.Name] = v
		}
	}
	c.Settings, err = definition.Resolve(own)
	return c, err
}

// Set changes settings of the algorithm.
func (c *Config) Set(settings algorithms.Settings) error {
	definition, err := algorithms.Lookup(c.Algorithm)
	if err != nil {
		return err
	}
	all := maps.Clone(c.Settings)
	maps.Copy(all, settings)
	c.Settings, err = definition.Resolve(all)
	return err
}

// Check reports the first value that is out of range.
func (c Config) Check() error {
	between := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %d, need %d to %d", name, v, low, high)
		}
		return nil
	}
	if _, err := spaces.Get(c.Space); err != nil {
		return err
	}
	if _, err := spaces.ParseTies(c.Ties); err != nil {
		return err
	}
	// The upper bounds are far beyond any use; they keep a slip of the keyboard
	// from asking for more memory than there is.
	return errors.Join(
		between("epochs", c.Epochs, 1, 1_000_000),
		between("channels", c.Channels, 1, 512),
		between("cells", c.Cells, 3, 99),
		between("batch", c.Batch, 2, 100_000),
		between("images", c.Images, 0, 10_000_000),
	)
}

// network is the supernet's part of the configuration.
func (c Config) network(space *spaces.Space, classes int) supernet.Config {
	return supernet.Config{
		Space: space, Channels: c.Channels, Cells: c.Cells, Classes: classes,
		Side: c.Side, BatchNormMomentum: c.BatchNormMomentum,
	}
}
