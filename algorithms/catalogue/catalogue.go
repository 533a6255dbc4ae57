// Package catalogue has what figures and reports need to know of every registered
// algorithm: its title, its colour, its place in legends, and which algorithms it is
// shown with. An algorithm says all that in its definition (algorithms.Definition), and
// its registration fills the catalogue. Packages that draw read it here, so that they need
// not import what algorithms depend on.
package catalogue

import (
	"cmp"
	"maps"
	"slices"
)

// Look is how an algorithm appears in figures and reports. The zero value is that of
// an algorithm that nobody has arranged: it comes after the others, by its name, in a colour that
// is free.
type Look struct {
	Family string // the selection of a report that it belongs to, such as SmoothDARTS
	Colour Colour // in every figure, unless an algorithm before it has taken it
	Place  int    // in legends, from 1 on; 0 is after all that have one
}

// The families of the algorithms of this module, of which a report shows one figure each.
const (
	SmoothDARTS      = "smoothdarts" // with DARTS and its explicit regularisation
	Baselines        = "baselines"   // of the paper
	PerturbedPCDARTS = "pc-darts"
	Stabilised       = "stabilised"
	References       = "references"
	BlackBox         = "black-box" // searches that ask the table alone
)

// Colour is one of the palette of the figures.
type Colour int

// The palette. Any is the one that was used least.
const (
	Any Colour = iota
	Blue
	Orange
	Vermillion
	Green
	Purple
	Sky
	Black
	Brown
)

// Entry is an algorithm of the catalogue.
type Entry struct {
	Name  string // as on the command line
	Title string // as figures write it
	Look
}

var entries = map[string]Entry{}

// Add makes an algorithm known. algorithms.Register calls it.
func Add(e Entry) { entries[e.Name] = e }

// Lookup returns the algorithm of a name, if it is known.
func Lookup(name string) (Entry, bool) {
	e, ok := entries[name]
	return e, ok
}

// All returns all algorithms in the order of legends.
func All() []Entry { return slices.SortedFunc(maps.Values(entries), Compare) }

// Compare compares algorithms by their place in legends.
func Compare(a, b Entry) int {
	if (a.Place == 0) != (b.Place == 0) { // those without a place come last
		return cmp.Compare(b.Place, a.Place)
	}
	return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Name, b.Name))
}
