package benchmark

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Option is a setting of the run itself, whatever the algorithm: a member of
// Config that is set and written by name.
type Option struct {
	Name string
	Doc  string // what it does, its values, and for a quirk its number

	field func(*Config) any // *int, *float64, *bool or *string
	check func(Config) error
}

// Options lists the settings of a run. An algorithm's own settings are in its
// definition.
var Options = []Option{
	{"epochs", "epochs of the search", func(c *Config) any { return &c.Epochs },
		func(c Config) error { return between(c.Epochs, 1, 1_000_000) }},
	{"channels", "channels of the first cells", func(c *Config) any { return &c.Channels },
		func(c Config) error { return between(c.Channels, 1, 512) }},
	{"cells", "cells in the supernet; the resolution halves after each third of them", func(c *Config) any { return &c.Cells },
		func(c Config) error { return between(c.Cells, leastCells, 99) }},
	{"side", "average the images down to this many pixels a side: 8, 16 or 32", func(c *Config) any { return &c.Side }, nil},
	{"limit", "training images used, training and search part together; 0 is all", func(c *Config) any { return &c.Limit },
		func(c Config) error { return between(c.Limit, 0, 100_000) }},
	{"batch", "images in a batch", func(c *Config) any { return &c.Batch },
		func(c Config) error { return between(c.Batch, 2, 100_000) }},
	{"batch-norm-momentum", "weight of the newest batch in the running statistics (quirk Q7); NAS-Bench-101 means 0.003", func(c *Config) any { return &c.BatchNormMomentum }, nil},
	{"augment", "crop and flip the images of the training and the search part", func(c *Config) any { return &c.Augment }, nil},
	{"no-flip", "crop, but never flip: SVHN has digits, which the released code flips too (quirk C28)", func(c *Config) any { return &c.NoFlip }, nil},
	{"p-darts-constants", "normalise CIFAR-100 by the constants of P-DARTS' released code instead of SmoothDARTS' (quirk C32)", func(c *Config) any { return &c.PDARTSConstants }, nil},
	{"clean-validation", "validate the supernet on images as they are; off crops and flips them too (quirk Q10)", func(c *Config) any { return &c.CleanValidation }, nil},
	{"cutout", "probability of a cutout in a training or search image", func(c *Config) any { return &c.Cutout },
		func(c Config) error { return within(c.Cutout, 0, 1) }},
	{"cutout-grows", "let the probability of a cutout grow linearly from 0, as the released code means to; off keeps it constant (quirk Q21)", func(c *Config) any { return &c.CutoutGrows }, nil},
	{"ties", "rule for equal alphas: numpy or lowest (quirk Q31)", func(c *Config) any { return &c.Ties },
		func(c Config) error { return oneOf(c.Ties, spaces.TiesNumPy.String(), spaces.TiesLowest.String()) }},
	{"evaluate", "look up the cell before an epoch, as the released code does, or after (quirk Q11)", func(c *Config) any { return &c.Evaluate },
		func(c Config) error { return oneOf(c.Evaluate, evaluateBefore, evaluateAfter) }},
	{"hessian", "batches of the architecture Hessian: last (of the epoch, quirk Q8), full (the first of the epoch), fixed (the same in every epoch), or off; exact is last, with the whole spectrum in spaces of many parameters too", func(c *Config) any { return &c.Hessian },
		func(c Config) error {
			return oneOf(c.Hessian, hessianLast, hessianExact, hessianFull, hessianFixed, hessianOff)
		}},
	{"hessian-batches", "batches that a full or fixed Hessian is averaged over", func(c *Config) any { return &c.HessianBatches },
		func(c Config) error { return between(c.HessianBatches, 1, 10_000) }},
	{"hessian-decay", "add the weight decay of the alphas to the Hessian's diagonal (quirk Q9)", func(c *Config) any { return &c.HessianDecay }, nil},
	{"hessian-report", "what λ is: algebraic, the absolute value of the algebraically largest eigenvalue, as in the released code for NAS-Bench-1Shot1; signed, that eigenvalue itself, as in the released code for the DARTS spaces (quirk C20); or norm, the spectral norm, as in the paper (quirk Q9b)", func(c *Config) any { return &c.HessianReport },
		func(c Config) error { return oneOf(c.HessianReport, reportAlgebraic, reportSigned, reportNorm) }},
	{"unpadded", "halve the resolution as NAS-Bench-101 does, from 32 to 16 and 8 instead of 17 and 9 (quirk Q26)", func(c *Config) any { return &c.Unpadded }, nil},
	{"projection-batches", "search batches that the projection gap is measured on after each epoch; 0 leaves it out", func(c *Config) any { return &c.ProjectionBatches },
		func(c Config) error { return between(c.ProjectionBatches, 0, 1_000_000) }},
	{"correlation", "cells, the same for all runs on a space, that the supernet ranks after each epoch for its rank correlation with the table; at least 20, 0 leaves it out", func(c *Config) any { return &c.Correlation },
		func(c Config) error {
			if c.Correlation == 0 {
				return nil
			}
			return between(c.Correlation, results.LeastCells, 1_000_000)
		}},
	{"hidden", "length of the hidden states, and of the vectors of words", func(c *Config) any { return &c.Text.Hidden },
		func(c Config) error { return between(c.Text.Hidden, 2, 4096) }},
	{"bptt", "usual length of the passages of text, in words; a twentieth of them has half of it", func(c *Config) any { return &c.Text.BPTT },
		func(c Config) error { return between(c.Text.BPTT, 2, 1000) }},
	{"words", "words of the training text used, and a tenth of that of the validation text; 0 is all", func(c *Config) any { return &c.Text.Words },
		func(c Config) error { return between(c.Text.Words, 0, text.MaxGenerated) }},
	{"valid-batch", "columns in which the validation text is read when the supernet is validated", func(c *Config) any { return &c.Text.ValidBatch },
		func(c Config) error { return between(c.Text.ValidBatch, 1, 100_000) }},
	{"dropout", "probability of dropping an output before the decoder", func(c *Config) any { return &c.Text.Dropout },
		func(c Config) error { return within(c.Text.Dropout, 0, 0.99) }},
	{"dropout-h", "probability of dropping an entry of a hidden state before a matrix", func(c *Config) any { return &c.Text.DropoutH },
		func(c Config) error { return within(c.Text.DropoutH, 0, 0.99) }},
	{"dropout-x", "probability of dropping an entry of a word's vector in the cell", func(c *Config) any { return &c.Text.DropoutX },
		func(c Config) error { return within(c.Text.DropoutX, 0, 0.99) }},
	{"dropout-input", "the same, once more, before the cell", func(c *Config) any { return &c.Text.DropoutInput },
		func(c Config) error { return within(c.Text.DropoutInput, 0, 0.99) }},
	{"dropout-words", "probability of dropping a word wherever it is read (quirk R25)", func(c *Config) any { return &c.Text.DropoutWords },
		func(c Config) error { return within(c.Text.DropoutWords, 0, 0.99) }},
	{"activation", "weight in the loss of the mean square of the outputs", func(c *Config) any { return &c.Text.Activation },
		func(c Config) error { return within(c.Text.Activation, 0, 1e6) }},
	{"temporal", "weight in the loss of the mean square of their change from one word to the next", func(c *Config) any { return &c.Text.Temporal },
		func(c Config) error { return within(c.Text.Temporal, 0, 1e6) }},
	{"all-words-learn", "let the last word of the vocabulary learn where it is read, too; in the released code it does not (quirk R7)", func(c *Config) any { return &c.Text.AllWordsLearn }, nil},
	{"rate-by-rows", "scale the learning rate of a weight step by the words that its passage has; off scales it by the length that was drawn, also where the text ends before (quirk R3)", func(c *Config) any { return &c.Text.RateByRows }, nil},
	{"search-in-order", "let the architecture learn from one passage after the other, each word once, and begin anew after the last; off takes those at the rows of the weight steps, which overlap after a short one (quirk R4)", func(c *Config) any { return &c.Text.SearchInOrder }, nil},
	{"search-split", "let the architecture learn from the last tenth of the training text, which the weights then do not read; off lets it learn from the validation text (quirk R5)", func(c *Config) any { return &c.Text.SearchSplit }, nil},
	{"norm-each-state", "give each of the nine states of a cell running statistics of its own; off has all move the same ones (quirk R6)", func(c *Config) any { return &c.Text.NormEachState }, nil},
	{"fresh-search", "draw every search batch afresh from the whole search part; off passes through it (quirk C5)", func(c *Config) any { return &c.FreshSearch }, nil},
}

// ofText are the options that only mean something where networks read words, notOfText those
// that mean nothing there.
var (
	ofText = []string{"hidden", "bptt", "words", "valid-batch", "dropout", "dropout-h", "dropout-x", "dropout-input", "dropout-words",
		"activation", "temporal", "all-words-learn", "rate-by-rows", "search-in-order", "search-split", "norm-each-state"}
	notOfText = []string{"channels", "cells", "side", "limit", "augment", "no-flip", "p-darts-constants", "clean-validation",
		"cutout", "cutout-grows", "ties", "unpadded", "correlation", "fresh-search"}
)

// appliesTo tells whether an option means anything on the spaces of a family.
func (o Option) appliesTo(f Family) bool {
	if f.ReadsText() {
		return !slices.Contains(notOfText, o.Name)
	}
	return !slices.Contains(ofText, o.Name)
}

// ForText tells whether the option is of the recurrent space alone.
func (o Option) ForText() bool { return slices.Contains(ofText, o.Name) }

// The values of Config.Evaluate, Config.Hessian and Config.HessianReport.
const (
	evaluateBefore = "before"
	evaluateAfter  = "after"

	hessianLast  = "last"
	hessianExact = "exact" // last, with the whole spectrum
	hessianFull  = "full"
	hessianFixed = "fixed"
	hessianOff   = "off"

	reportAlgebraic = "algebraic"
	reportSigned    = "signed"
	reportNorm      = "norm"
)

// The upper bounds are far beyond any use; they keep a slip of the keyboard
// from asking for more memory than there is.
func between(v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("is %d, need %d to %d", v, low, high)
	}
	return nil
}

func within(v, low, high float64) error {
	if !(v >= low && v <= high) {
		return fmt.Errorf("is %v, need %v to %v", v, low, high)
	}
	return nil
}

func oneOf(v string, known ...string) error {
	if !slices.Contains(known, v) {
		return fmt.Errorf("is %q, need one of %s", v, strings.Join(known, ", "))
	}
	return nil
}

// Format writes the option's value in a configuration.
func (o Option) Format(c Config) string {
	switch v := o.field(&c).(type) {
	case *int:
		return strconv.Itoa(*v)
	case *float64:
		return strconv.FormatFloat(*v, 'g', -1, 64)
	case *bool:
		if *v {
			return "on"
		}
		return "off"
	case *string:
		return *v
	}
	return ""
}

func (o Option) set(c *Config, text string) (err error) {
	switch v := o.field(c).(type) {
	case *int:
		if *v, err = strconv.Atoi(text); err != nil {
			err = fmt.Errorf("is %q, need a whole number", text)
		}
	case *float64:
		if *v, err = strconv.ParseFloat(text, 64); err != nil {
			err = fmt.Errorf("is %q, need a number", text)
		}
	case *bool:
		switch text {
		case "on", "true", "1":
			*v = true
		case "off", "false", "0":
			*v = false
		default:
			err = fmt.Errorf("is %q, need on or off", text)
		}
	case *string:
		*v = text
	}
	if err == nil && o.check != nil {
		err = o.check(*c)
	}
	return err
}

// ErrSetting reports the name of a setting that neither the run nor the
// algorithm has.
var ErrSetting = errors.New("unknown setting")

// Set changes a setting of the run or, where the run has none of the name, of
// the algorithm. An unknown name is an error that wraps ErrSetting.
//
// A hessian that is not averaged drops the preset's hessian-batches, and one that is takes
// them up again.
func (c *Config) Set(name, value string) error {
	if i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name }); i >= 0 {
		averaged := c.averagesHessian()
		if err := Options[i].set(c, value); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		if preset, err := NewConfig(c.Preset, c.Space, c.Algorithm); err == nil && averaged != c.averagesHessian() {
			switch {
			case averaged && c.HessianBatches == preset.HessianBatches:
				c.HessianBatches = 1
			case !averaged && c.HessianBatches == 1:
				c.HessianBatches = preset.HessianBatches
			}
		}
		return nil
	}
	definition, err := algorithms.Lookup(c.Algorithm)
	if err != nil {
		return err
	}
	space, err := spaces.Get(c.Space)
	if err != nil {
		return err
	}
	definition = definition.On(space)
	i := slices.IndexFunc(definition.Options, func(o algorithms.Option) bool { return o.Name == name })
	if i < 0 {
		return fmt.Errorf("%q: %w of %s", name, ErrSetting, c.Algorithm)
	}
	v, err := definition.Options[i].Parse(value)
	if err != nil {
		return err
	}
	settings := algorithms.Settings{}
	for k, old := range c.Settings {
		settings[k] = old
	}
	settings[name] = v
	if settings, err = definition.Resolve(settings); err == nil {
		c.Settings = settings
	}
	return err
}

// Settings of the run that mean something to every algorithm, those that only mean
// something to one that has alphas, and those that only mean something in the spaces of
// NAS-Bench-1Shot1. All others need a supernet.
var (
	forAll     = []string{"epochs", "evaluate"}
	forAlphas  = []string{"ties", "hessian", "hessian-batches", "hessian-decay", "hessian-report", "projection-batches"}
	forOneShot = []string{"ties", "unpadded", "correlation"}
)

// CheckEffect reports a setting of the run that the algorithm would not look at: an
// error that wraps ErrNoEffect. It is for settings that somebody asks for; configurations
// have them all.
func (c Config) CheckEffect(name string) error {
	definition, err := algorithms.Lookup(c.Algorithm)
	switch {
	case err != nil || !slices.ContainsFunc(Options, func(o Option) bool { return o.Name == name }):
		return err
	case FamilyOf(c.Space).ReadsText() && slices.Contains(notOfText, name):
		return fmt.Errorf("%s %w on space %s, whose networks read words", name, ErrNoEffect, c.Space)
	case !FamilyOf(c.Space).ReadsText() && slices.Contains(ofText, name):
		return fmt.Errorf("%s %w on space %s: it is for the space of %s", name, ErrNoEffect, c.Space, Recurrent)
	case FamilyOf(c.Space) != OneShot && slices.Contains(forOneShot, name):
		return fmt.Errorf("%s %w on space %s: it is for the spaces of %s", name, ErrNoEffect, c.Space, OneShot)
	case definition.TableOnly && !slices.Contains(forAll, name):
		return fmt.Errorf("%s %w: %s trains no supernet, it asks the table alone", name, ErrNoEffect, c.Algorithm)
	case name == "hessian-batches" && !c.averagesHessian() && c.Hessian != "" && c.HessianBatches == 1:
		return fmt.Errorf("%s %w without hessian=full or hessian=fixed", name, ErrNoEffect)
	case definition.Discrete && slices.Contains(forAlphas, name):
		return fmt.Errorf("%s %w: %s has no architecture parameters", name, ErrNoEffect, c.Algorithm)
	}
	return nil
}

// Settable lists the names that Set accepts for an algorithm on any space.
func Settable(algorithm string) []string {
	var names []string
	if definition, err := algorithms.Lookup(algorithm); err == nil {
		for _, o := range definition.OnEverySpace() {
			names = append(names, o.Name)
		}
	}
	for _, o := range Options {
		names = append(names, o.Name)
	}
	return names
}
