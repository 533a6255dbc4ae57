package benchmark

import (
	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Family is a kind of search spaces, whose runs have a scale of their own.
type Family int

// The families.
const (
	OneShot   Family = iota // NAS-Bench-1Shot1: cells that NAS-Bench-101 knows
	DARTS                   // a normal and a reduction cell, which no table knows
	Recurrent               // a cell of a language model, which reads a text instead of images
	families
)

// Families lists the families, NAS-Bench-1Shot1 first.
func Families() []Family { return []Family{OneShot, DARTS, Recurrent} }

// FamilyOf returns the family of a space.
func FamilyOf(space spaces.Name) Family {
	if space == rnn.Name {
		return Recurrent
	}
	if _, err := nb1shot1.Get(space); err == nil {
		return OneShot
	}
	return DARTS
}

// String is how the family is called in a sentence.
func (f Family) String() string {
	return [families]string{"NAS-Bench-1Shot1", "DARTS", "recurrent cells"}[f]
}

// HasTable tells whether a table knows the architectures of the family. Runs of one that
// has none need no table, and their provenance says results.NoTable.
func (f Family) HasTable() bool { return f == OneShot }

// ReadsText tells whether the networks of the family read words instead of images.
func (f Family) ReadsText() bool { return f == Recurrent }

// report is what λ is unless a run asks for something else.
func (f Family) report() string {
	if f == DARTS {
		return reportSigned // quirk C20
	}
	return reportAlgebraic // quirk Q9b
}

// Spaces lists the names of the family's registered spaces, in order.
func (f Family) Spaces() (names []spaces.Name) {
	for _, name := range spaces.Names() {
		if FamilyOf(name) == f {
			names = append(names, name)
		}
	}
	return names
}

// values are what a preset stands for in one family.
type values struct {
	doc    string
	config Config
	// settings replace the defaults of the options that an algorithm has.
	settings algorithms.Settings
}

// cellScale is the setting of the DARTS cell space in the released code of the SDARTS
// paper, with a supernet, images and batch of another size.
func cellScale(channels, cells, side, images, batch, epochs int) Config {
	c := scale(channels, cells, side, images, batch)
	c.Epochs, c.BatchNormMomentum = epochs, 0.1
	c.FreshSearch = true // quirk C5
	c.HessianReport = DARTS.report()
	return c
}

// textScale is the setting of the recurrent space in the same code, with a network, text and
// batch of another size. words is 0 for all of the text.
func textScale(hidden, words, batch, bptt, epochs int) Config {
	return Config{
		Epochs: epochs, Batch: batch, BatchNormMomentum: 0.1, Text: Text{
			Hidden: hidden, BPTT: bptt, Words: words, ValidBatch: 10,
			Dropout: 0.75, DropoutH: 0.25, DropoutX: 0.75, DropoutInput: 0.2, Temporal: 1e-3,
		},
		Ties:    spaces.TiesNumPy.String(), // which the rule of the space does not look at
		Hessian: hessianLast, HessianBatches: 1, HessianDecay: true, HessianReport: Recurrent.report(), ProjectionBatches: 10,
	}
}

// maxExact is the largest number of directions, see algorithms.FreeDirections, for which
// the whole Hessian is computed. Beyond it Lanczos finds both ends of the spectrum.
const maxExact = 64

// lanczosTolerance bounds ‖Hv − θv‖ of either end of a spectrum, relative to the end that
// is λ and to the spectral norm. An eigenvalue is off by the square of that over its
// distance to the next one: some five digits hold.
const lanczosTolerance = 1e-3

// hasManyDirections tells whether an algorithm's Hessian on the space is one of those.
func (c Config) hasManyDirections() bool {
	space, err := spaces.Get(c.Space)
	return err == nil && algorithms.FreeDirections(space) > maxExact
}
