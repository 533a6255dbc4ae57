// Package retrain trains the network of an architecture from scratch and measures it: what
// tells how good the result of a search is where no table knows it.
//
// A training leaves a folder with a line for each epoch and, while it goes on, checkpoints,
// from which it continues with the same numbers however it was stopped. At its end it writes
// evaluation.json. docs/retrain.md describes both.
package retrain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
)

// Config is how a network is trained. With the architecture, the seed, the images and the
// engine it decides every number of the record.
type Config struct {
	Form   string // the network: results.FormCIFAR, FormImageNet, FormNASBench101 or FormRecurrent
	Preset string // where the values below started from

	Epochs     int
	Channels   int // of the first cells; in NAS-Bench-101's network of the stem
	Cells      int
	Side       int // of the images, which are averaged down to it; 224 on ImageNet
	Images     int // training images used; 0 is all
	TestImages int // test images used; 0 is all
	Batch      int // images in a batch; the last of an epoch may be smaller

	LearningRate      float64 // of the first epoch; it falls to 0
	Momentum          float64
	WeightDecay       float64
	Clip              float64 // bound on the 2-norm of the gradient; 0 does not clip
	BatchNormMomentum float64 // weight of the newest batch in the running statistics

	Cutout          bool    // of a square of half the side
	Flip            bool    // crops are flipped with probability 1/2; off is for digits (quirk C28)
	DropPath        float64 // probability that the epochs lead to
	DropPathReached bool    // it is that of the last epoch (quirk C29); off would reach it one epoch later
	AuxiliaryWeight float64 // of the loss of the auxiliary head; 0 has none
	AuxiliaryNorm   bool    // the head for ImageNet has its second batch normalisation (quirk C24)
	LabelSmoothing  float64
	PlainCosine     bool // the cosine of epoch e at e and not at e+1 (quirk C3)

	// Halves trains on the first half of the training images and measures on the second,
	// to choose among architectures without the test images.
	Halves bool

	Language Language // of the network of a recurrent cell
}

// RMSProp's constants in NAS-Bench-101's released code; TensorFlow's default is the decay.
const (
	rmsDecay   = 0.9
	rmsEpsilon = 1
)

// preset is a named starting point.
type preset struct {
	name, doc string
	config    Config
}

// cifar is the recipe of DARTS for CIFAR-10 at another size.
func cifar(epochs, channels, cells, side, images, test, batch int) Config {
	return Config{
		Form: results.FormCIFAR, Epochs: epochs, Channels: channels, Cells: cells, Side: side, Images: images, TestImages: test, Batch: batch,
		LearningRate: 0.025, Momentum: 0.9, WeightDecay: 3e-4, Clip: 5, BatchNormMomentum: 0.1,
		Cutout: true, Flip: true, DropPath: 0.2,
	}
}

// nasbench101 is the recipe of NAS-Bench-101 at another size.
func nasbench101(epochs, channels, cells, side, images, test, batch int) Config {
	return Config{
		Form: results.FormNASBench101, Epochs: epochs, Channels: channels, Cells: cells, Side: side, Images: images, TestImages: test, Batch: batch,
		LearningRate: 0.2, Momentum: 0.9, WeightDecay: 1e-4, BatchNormMomentum: 0.003, Flip: true,
	}
}

// imageNet is the recipe of DARTS for ImageNet at another size.
func imageNet(epochs, channels, cells, images, test, batch int) Config {
	return Config{
		Form: results.FormImageNet, Epochs: epochs, Channels: channels, Cells: cells, Side: 224, Images: images, TestImages: test, Batch: batch,
		LearningRate: 0.5, Momentum: 0.9, WeightDecay: 3e-5, Clip: 5, BatchNormMomentum: 0.1, Flip: true,
		AuxiliaryWeight: 0.4, LabelSmoothing: 0.1,
	}
}

// fewSteps makes up for steps that are too few for the learning rate of NAS-Bench-101, which
// needs a long way down, and for its running statistics, means over hundreds of batches.
func fewSteps(c Config) Config {
	c.LearningRate, c.BatchNormMomentum = 0.03, 0.1
	return c
}

// withHead adds the auxiliary head, which images of side 32 have room for.
func withHead(c Config) Config {
	c.AuxiliaryWeight = 0.4
	return c
}

// presets are those of each form, the most expensive first.
var presets = map[string][]preset{
	results.FormCIFAR: {
		{"paper", "the setting of the paper: 36 channels, 20 cells, all images at side 32, batch 96, 600 epochs; on CIFAR-100 and SVHN 16 channels and 8 cells", withHead(cifar(600, 36, 20, 32, 0, 0, 96))},
		{"small", "orders architectures that are far apart: 8 channels, 6 cells, 4,000 images at side 16, batch 32, 60 epochs", cifar(60, 8, 6, 16, 4000, 2000, 32)},
		{"quick", "a first look within two minutes: 8 channels, 5 cells, 2,000 images at side 16, batch 32, 30 epochs", cifar(30, 8, 5, 16, 2000, 1000, 32)},
		{"smoke", "for tests: 4 channels, 3 cells, 96 images at side 8, batch 32, 3 epochs", cifar(3, 4, 3, 8, 96, 64, 32)},
	},
	results.FormImageNet: {
		{"paper", "the setting of the paper: 48 channels, 14 cells, all images at side 224, batch 1,024, 250 epochs", imageNet(250, 48, 14, 0, 0, 1024)},
		{"smoke", "for tests: 2 channels, 4 cells, 8 images, batch 4, 6 epochs", imageNet(6, 2, 4, 8, 4, 4)},
	},
	results.FormRecurrent: {
		{"paper", "the setting of DARTS for Penn Treebank: 850 hidden units, batch 64, 8,000 epochs", penn(8000, 0, 850, 64)},
		{"small", "orders cells that are far apart: 200 hidden units, 100,000 words, batch 20, 40 epochs, less dropout", lessDropout(penn(40, 100_000, 200, 20))},
		{"quick", "a first look within some minutes: 100 hidden units, 40,000 words, batch 20, 20 epochs, less dropout", lessDropout(penn(20, 40_000, 100, 20))},
		{"smoke", "for tests: 8 hidden units, 2,000 words, batch 10, 3 epochs, less dropout", lessDropout(penn(3, 2000, 8, 10))},
	},
	results.FormNASBench101: {
		{"paper", "the setting of NAS-Bench-101: 128 channels, 9 cells, 40,000 images at side 32, batch 256, 108 epochs", nasbench101(108, 128, 9, 32, 40000, 0, 256)},
		{"small", "orders cells that are far apart: 16 channels, 6 cells, 4,000 images at side 16, batch 64, 40 epochs, learning rate 0.03, batch-norm momentum 0.1", fewSteps(nasbench101(40, 16, 6, 16, 4000, 2000, 64))},
		{"quick", "a first look within some minutes: 16 channels, 3 cells, 2,000 images at side 16, batch 64, 20 epochs, learning rate 0.03, batch-norm momentum 0.1", fewSteps(nasbench101(20, 16, 3, 16, 2000, 1000, 64))},
		{"smoke", "for tests: 8 channels, 3 cells, 96 images at side 8, batch 32, 3 epochs, learning rate 0.03, batch-norm momentum 0.1", fewSteps(nasbench101(3, 8, 3, 8, 96, 64, 32))},
	},
}

// Presets lists the names of the presets, the most expensive first. The network for ImageNet
// has some of them.
func Presets() (names []string) {
	for _, p := range presets[results.FormCIFAR] {
		names = append(names, p.name)
	}
	return names
}

// PresetDoc says in a few words what a preset is for a form of network.
func PresetDoc(form, name string) string {
	for _, p := range presets[form] {
		if p.name == name {
			return p.doc
		}
	}
	return ""
}

// NewConfig returns the configuration of a preset for a form of network and images of a
// kind.
func NewConfig(name, form, images string) (Config, error) {
	var names []string
	for _, p := range presets[form] {
		if names = append(names, p.name); p.name != name {
			continue
		}
		c := p.config
		c.Preset = name
		if form == results.FormCIFAR && name == "paper" && slices.Contains([]string{data.KindCIFAR100, data.KindSVHN, data.KindProcedural100}, images) {
			c.Channels, c.Cells = 16, 8 // Table 4
		}
		return c, nil
	}
	return Config{}, fmt.Errorf("no preset %q of the network %s: choose one of %s", name, form, strings.Join(names, ", "))
}

// Setting is a value of the configuration that has a name.
type Setting struct {
	Name string
	Doc  string // what it does, its values, and for a quirk its number

	field func(*Config) any // *int, *float64 or *bool
	low   float64
	high  float64
	in    string // the networks that it is of: letters of forms
}

// The letters of the forms of network.
const (
	inCIFAR, inImageNet, inNASBench101, inRecurrent = "c", "i", "n", "r"
	inGenotypes                                     = inCIFAR + inImageNet
	inImages                                        = inGenotypes + inNASBench101
	inAll                                           = inImages + inRecurrent
)

var letters = map[string]string{results.FormCIFAR: inCIFAR, results.FormImageNet: inImageNet, results.FormNASBench101: inNASBench101, results.FormRecurrent: inRecurrent}

// Settings lists the settings.
var Settings = []Setting{
	{"epochs", "epochs of the training", func(c *Config) any { return &c.Epochs }, 1, 1e6, inAll},
	{"channels", "channels of the first cells; in NAS-Bench-101's network of the stem", func(c *Config) any { return &c.Channels }, 2, 512, inImages},
	{"cells", "cells of the network; NAS-Bench-101's has a multiple of 3", func(c *Config) any { return &c.Cells }, 3, 99, inImages},
	{"side", "average the images down to this many pixels a side: 8, 16 or 32", func(c *Config) any { return &c.Side }, 8, 32, inCIFAR + inNASBench101},
	{"images", "training images used; 0 is all", func(c *Config) any { return &c.Images }, 0, 100_000, inImages},
	{"test-images", "test images used; 0 is all", func(c *Config) any { return &c.TestImages }, 0, 100_000, inImages},
	{"batch", "images in a batch; sequences of words side by side", func(c *Config) any { return &c.Batch }, 2, 100_000, inAll},
	{"learning-rate", "learning rate of the first epoch; it falls to 0 along a cosine, and with recurrent cells stays", func(c *Config) any { return &c.LearningRate }, 0, 100, inAll},
	{"momentum", "momentum of SGD or RMSProp", func(c *Config) any { return &c.Momentum }, 0, 0.9999, inImages},
	{"weight-decay", "weight decay", func(c *Config) any { return &c.WeightDecay }, 0, 1, inAll},
	{"clip", "bound on the norm of the gradient; 0 does not clip", func(c *Config) any { return &c.Clip }, 0, 1e6, inGenotypes + inRecurrent},
	{"batch-norm-momentum", "weight of the newest batch in the running statistics", func(c *Config) any { return &c.BatchNormMomentum }, 1e-6, 1, inImages},
	{"cutout", "cut a square of half the side out of every training image", func(c *Config) any { return &c.Cutout }, 0, 0, inCIFAR + inNASBench101},
	{"flip", "flip half of the training images; off is for digits, which the released code flips too (quirk C28)", func(c *Config) any { return &c.Flip }, 0, 0, inCIFAR + inNASBench101},
	{"drop-path", "drop path: probability that the epochs lead to, linearly from 0", func(c *Config) any { return &c.DropPath }, 0, 0.95, inGenotypes},
	{"drop-path-reached", "reach that probability in the last epoch; off would reach it one epoch later, as the released code does (quirk C29)", func(c *Config) any { return &c.DropPathReached }, 0, 0, inGenotypes},
	{"auxiliary-weight", "weight of the loss of the auxiliary head, which needs side 32 and 4 cells (quirks C22, C23); 0 has no head", func(c *Config) any { return &c.AuxiliaryWeight }, 0, 10, inGenotypes},
	{"auxiliary-norm", "give the auxiliary head for ImageNet its second batch normalisation, as P-DARTS' code does (quirk C24)", func(c *Config) any { return &c.AuxiliaryNorm }, 0, 0, inImageNet},
	{"label-smoothing", "share of the targets of training that is spread over all classes", func(c *Config) any { return &c.LabelSmoothing }, 0, 0.99, inImages},
	{"plain-cosine", "take the cosine of an epoch at its number; off takes it at the next, as the released code does (quirk C3)", func(c *Config) any { return &c.PlainCosine }, 0, 0, inCIFAR},
	{"halves", "train on the first half of the training images and measure on the second, to choose without the test images", func(c *Config) any { return &c.Halves }, 0, 0, inCIFAR + inNASBench101},
	{"words", "words of the training text used, and a tenth of so many of the others; 0 is all", func(c *Config) any { return &c.Language.Words }, 0, 100_000_000, inRecurrent},
	{"hidden", "hidden units, and length of the vectors of words", func(c *Config) any { return &c.Language.Hidden }, 1, 10_000, inRecurrent},
	{"bptt", "usual rows of a window that the gradient goes back through", func(c *Config) any { return &c.Language.BPTT }, 2, 1000, inRecurrent},
	{"dropout", "dropout of the outputs", func(c *Config) any { return &c.Language.Dropout.Output }, 0, 0.99, inRecurrent},
	{"dropout-h", "dropout of every state before a matrix", func(c *Config) any { return &c.Language.Dropout.H }, 0, 0.99, inRecurrent},
	{"dropout-x", "dropout of the word's vector in the cell", func(c *Config) any { return &c.Language.Dropout.X }, 0, 0.99, inRecurrent},
	{"dropout-i", "dropout of the word's vector before the cell", func(c *Config) any { return &c.Language.Dropout.Input }, 0, 0.99, inRecurrent},
	{"dropout-e", "dropout of whole words (quirk R25)", func(c *Config) any { return &c.Language.Dropout.Words }, 0, 0.99, inRecurrent},
	{"activation", "weight of the mean square of the outputs in the loss", func(c *Config) any { return &c.Language.Activation }, 0, 1000, inRecurrent},
	{"temporal", "weight of the mean square of their change in the loss", func(c *Config) any { return &c.Language.Temporal }, 0, 1000, inRecurrent},
	{"patience", "newest epochs whose losses do not count when averaged SGD begins (quirk R16)", func(c *Config) any { return &c.Language.Patience }, 1, 1e6, inRecurrent},
	{"rate-by-rows", "scale the learning rate of a step by the rows that its window has; off scales it by the length that was drawn, also where the text ends before (quirk R3)", func(c *Config) any { return &c.Language.RateByRows }, 0, 0, inRecurrent},
	{"rate-of-step", "take each step of averaged SGD at its own learning rate; off takes it at that of the step before (quirk R17)", func(c *Config) any { return &c.Language.RateOfStep }, 0, 0, inRecurrent},
	{"roll-back", "go back to the best weights where a loss is not finite, and begin the epoch again; off ends the training (quirk R19)", func(c *Config) any { return &c.Language.RollBack }, 0, 0, inRecurrent},
	{"all-words-learn", "let the last word learn where it is read, too (quirk R7)", func(c *Config) any { return &c.Language.AllWordsLearn }, 0, 0, inRecurrent},
}

// ErrSetting reports the name of a setting that does not exist.
var ErrSetting = errors.New("unknown setting")

// SettingNames lists the names of Settings.
func SettingNames() (names []string) {
	for _, s := range Settings {
		names = append(names, s.Name)
	}
	return names
}

// Set changes a setting by its name and the text of its value.
func (c *Config) Set(name, text string) error {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return fmt.Errorf("%q: %w", name, ErrSetting)
	}
	s := Settings[i]
	if !strings.Contains(s.in, letters[c.Form]) {
		return fmt.Errorf("%s has no effect in the network of %s", name, c.Form)
	}
	number := func(x float64, err error, kind string) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s is %q, need %s", name, text, kind)
		case !(x >= s.low && x <= s.high):
			return fmt.Errorf("%s is %s, need %v to %v", name, text, s.low, s.high)
		}
		return nil
	}
	switch v := s.field(c).(type) {
	case *int:
		n, err := strconv.Atoi(text)
		if err := number(float64(n), err, "a whole number"); err != nil {
			return err
		}
		*v = n
	case *float64:
		x, err := strconv.ParseFloat(text, 64)
		if err := number(x, err, "a number"); err != nil {
			return err
		}
		*v = x
	case *bool:
		switch text {
		case "on", "true", "1":
			*v = true
		case "off", "false", "0":
			*v = false
		default:
			return fmt.Errorf("%s is %q, need on or off", name, text)
		}
	}
	return nil
}

// optimizer is what a form of network is trained by.
func (c Config) optimizer() string {
	switch c.Form {
	case results.FormNASBench101:
		return "rmsprop"
	case results.FormRecurrent:
		return "asgd"
	}
	return "sgd"
}

// rate is the learning rate of step k of an epoch of so many: SGD's changes from epoch to
// epoch, that of NAS-Bench-101 in every step, and is 0 in its first.
func (c Config) rate(epoch, k, steps int) float64 {
	if c.Form == results.FormNASBench101 {
		if epoch+k == 0 {
			return 0
		}
		return algorithms.Cosine{Max: c.LearningRate, Length: c.Epochs * steps}.At(epoch*steps + k)
	}
	if c.Form == results.FormImageNet {
		return algorithms.ImageNetRate{Max: c.LearningRate, Epochs: c.Epochs, Batch: c.Batch}.At(epoch)
	}
	if !c.PlainCosine {
		epoch++
	}
	return algorithms.Cosine{Max: c.LearningRate, Length: c.Epochs}.At(epoch)
}

// dropPath is the probability of drop path in an epoch.
func (c Config) dropPath(epoch int) float64 {
	length := c.Epochs
	if c.DropPathReached {
		length = max(length-1, 1)
	}
	return algorithms.Linear{To: c.DropPath, Length: length}.At(epoch)
}

// recipe is the configuration as evaluation.json has it, on so many images; of a recurrent cell
// classes are the different words, and train and test the words of the texts.
func (c Config) recipe(classes, train, test int) results.Recipe {
	if c.Form == results.FormRecurrent {
		l := c.Language
		return results.Recipe{
			Epochs: c.Epochs, Batch: c.Batch, Optimizer: c.optimizer(), LearningRate: c.LearningRate, FinalLearningRate: c.LearningRate, Schedule: "constant",
			WeightDecay: c.WeightDecay, Clip: c.Clip, TrainedOn: results.PartAll, MeasuredOn: results.PartTestText, TrainImages: train, TestImages: test,
			Words: results.WordsRecipe{
				Vocabulary: classes, Hidden: l.Hidden, BPTT: l.BPTT, Output: l.Dropout.Output, H: l.Dropout.H, X: l.Dropout.X, Input: l.Dropout.Input, Words: l.Dropout.Words,
				Activation: l.Activation, Temporal: l.Temporal, Patience: l.Patience, ValidBatch: l.ValidBatch, TestBatch: l.TestBatch, AllWordsLearn: l.AllWordsLearn,
				RateByRows: l.RateByRows, RateOfStep: l.RateOfStep, NoRollBack: !l.RollBack,
			},
		}
	}
	r := results.Recipe{
		Epochs: c.Epochs, Batch: c.Batch, Channels: c.Channels, Cells: c.Cells, Side: c.Side, Classes: classes,
		Optimizer: c.optimizer(), LearningRate: c.LearningRate, Schedule: "cosine",
		Momentum: c.Momentum, WeightDecay: c.WeightDecay, Clip: c.Clip, BatchNormMomentum: c.BatchNormMomentum,
		DropPath: c.DropPath, DropPathReached: c.DropPathReached, AuxiliaryWeight: c.AuxiliaryWeight, AuxiliaryNorm: c.AuxiliaryNorm, LabelSmoothing: c.LabelSmoothing,
		PlainCosine: c.PlainCosine,
		TrainedOn:   results.PartAll, MeasuredOn: results.PartTest, TrainImages: train, TestImages: test,
	}
	if c.Form == results.FormNASBench101 {
		r.Decay, r.Epsilon = rmsDecay, rmsEpsilon
	}
	if c.Form == results.FormImageNet {
		r.Schedule, r.Augment = "linear", "random resized crops, flips and colours"
	}
	if c.Cutout {
		r.Cutout = c.Side / 2
	}
	if !c.Flip {
		r.Augment = "no flip"
	}
	if c.Halves {
		r.TrainedOn, r.MeasuredOn = results.PartFirstHalf, results.PartSecondHalf
	}
	return r
}

// describe says in a few words what size the training has.
func (c Config) describe(images int) string {
	if c.Form == results.FormRecurrent {
		return fmt.Sprintf("%d hidden units, %d words", c.Language.Hidden, images)
	}
	return fmt.Sprintf("%d cells, %d channels, side %d, %d images", c.Cells, c.Channels, c.Side, images)
}
