// Package spaces says what a search space is: rows of architecture parameters, each a
// choice among candidates, and an architecture, which keeps some candidates of each row.
// Algorithms, records, figures and reports know a space by its name and its rows alone.
// The family of the space, in a folder of its own, knows what the candidates mean: nb1shot1
// has the three spaces of NAS-Bench-1Shot1.
//
// The architecture parameters of a space travel as one flat vector: its rows, one after
// the other.
package spaces

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Rules are what the spaces of a family do in their own way. Kept candidates are given
// as in Architecture.
type Rules interface {
	// Check returns an error where no architecture of the space keeps these
	// candidates, which are within their rows, ascending and without repetition.
	Check(kept [][]int) error
	// Discretize returns the candidates that architecture parameters favour.
	Discretize(alpha []float64, ties Ties) (kept [][]int)
	// Sample draws an architecture: the distribution of random search.
	Sample(r *rand.Rand) (kept [][]int)
	// Mutate returns a copy with one decision changed, drawn uniformly.
	Mutate(kept [][]int, r *rand.Rand) [][]int
}

// Space is a search space. It is immutable and safe for concurrent use.
type Space struct {
	name    Name
	rows    []Row
	tensors []Tensor
	rules   Rules
}

// Tensor is one tensor of architecture parameters within the flat vector: consecutive
// rows that say they are part of it.
type Tensor struct {
	Name   string
	Rows   int
	Cols   int // entries of each row; 0 where they differ from row to row
	Offset int // of its first entry
	Size   int // entries in all
}

// New returns a space of the rows, which follow one another in the flat vector without
// a gap. It panics if they do not or if the name cannot be one.
func New(name Name, rows []Row, rules Rules) *Space {
	if !name.wellFormed() {
		panic(fmt.Sprintf("spaces: %q cannot be the name of a space", name))
	}
	s := &Space{name: name, rows: rows, rules: rules}
	at := 0
	for i, r := range rows {
		if r.Offset != at {
			panic(fmt.Sprintf("spaces: row %d of space %s begins at %d, want %d", i, name, r.Offset, at))
		}
		at = r.End()
		last := len(s.tensors) - 1
		if last >= 0 && s.tensors[last].Name == r.Tensor {
			s.tensors[last].Rows++
			s.tensors[last].Size += len(r.Candidates)
			if s.tensors[last].Cols != len(r.Candidates) {
				s.tensors[last].Cols = 0
			}
			continue
		}
		s.tensors = append(s.tensors, Tensor{r.Tensor, 1, len(r.Candidates), r.Offset, len(r.Candidates)})
	}
	return s
}

var registered []*Space

// Register makes a space known by its name. It is meant for the init functions of
// families, and panics if there is one of that name.
func Register(s *Space) {
	i, taken := slices.BinarySearchFunc(registered, s.name, func(s *Space, n Name) int { return cmp.Compare(s.name, n) })
	if taken {
		panic(fmt.Sprintf("spaces: there are two spaces %s", s.name))
	}
	registered = slices.Insert(registered, i, s)
}

// Get returns the registered space of a name.
func Get(name Name) (*Space, error) {
	i, found := slices.BinarySearchFunc(registered, name, func(s *Space, n Name) int { return cmp.Compare(s.name, n) })
	if !found {
		return nil, fmt.Errorf("no search space %.40q: choose %s", name, oneOf(Names()))
	}
	return registered[i], nil
}

func oneOf(names []Name) string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// Choices lists the names of the registered spaces for a sentence: "1, 2 or 3".
func Choices() string { return oneOf(Names()) }

// All returns the registered spaces, by name.
func All() []*Space { return slices.Clone(registered) }

// Names returns the names of the registered spaces, in order.
func Names() (names []Name) {
	for _, s := range registered {
		names = append(names, s.name)
	}
	return names
}

// Name returns the name of the space.
func (s *Space) Name() Name { return s.name }

// Rows returns the choices of the space in the order of the flat vector, which they
// cover without a gap. They must not be changed.
func (s *Space) Rows() []Row { return s.rows }

// Tensors returns the tensors of architecture parameters, in the order of the flat
// vector.
func (s *Space) Tensors() []Tensor { return slices.Clone(s.tensors) }

// Split returns the rows of a tensor of the space within a flat vector of length Dim(),
// with whose entries they share storage.
func (s *Space) Split(t Tensor, flat []float64) [][]float64 {
	var rows [][]float64
	for _, r := range s.rows {
		if r.Offset >= t.Offset && len(rows) < t.Rows {
			rows = append(rows, flat[r.Offset:r.End():r.End()])
		}
	}
	return rows
}

// Rules returns what the family of the space does in its own way. A family knows its
// spaces by them.
func (s *Space) Rules() Rules { return s.rules }

// Dim returns the number of architecture parameters.
func (s *Space) Dim() int { return s.rows[len(s.rows)-1].End() }

// CheckAlpha reports whether alpha can be architecture parameters of the space:
// Dim() finite numbers. Callers that read them from outside call it first.
func (s *Space) CheckAlpha(alpha []float64) error {
	if len(alpha) != s.Dim() {
		return fmt.Errorf("%d architecture parameters: space %s has %d", len(alpha), s.name, s.Dim())
	}
	for _, t := range s.tensors {
		for i, row := range s.Split(t, alpha) {
			for j, v := range row {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return fmt.Errorf("architecture parameter %s[%d,%d] is %v: want a finite number", t.Name, i, j, v)
				}
			}
		}
	}
	return nil
}

// Softmax writes the softmax of each row of alpha to dst, which may be alpha.
// Both have length Dim(). Entries of any size are safe: the largest of a row is
// subtracted first.
func (s *Space) Softmax(dst, alpha []float64) {
	for _, r := range s.rows {
		SoftmaxRow(dst[r.Offset:r.End()], alpha[r.Offset:r.End()])
	}
}

// SoftmaxRow writes the softmax of one row to dst, which may be the row, of the same length.
func SoftmaxRow(dst, row []float64) {
	largest, sum := slices.Max(row), 0.0
	for i, v := range row {
		dst[i] = math.Exp(v - largest)
		sum += dst[i]
	}
	for i := range dst {
		dst[i] /= sum
	}
}

// Discretize returns the architecture that the architecture parameters alpha, of
// length Dim() (see CheckAlpha), favour. Parameters that are not finite tie their row.
func (s *Space) Discretize(alpha []float64, ties Ties) Architecture {
	return Architecture{s.name, s.rules.Discretize(alpha, ties)}
}

// Sample draws an architecture as random search does: every choice uniformly.
func (s *Space) Sample(r *rand.Rand) Architecture {
	return Architecture{s.name, s.rules.Sample(r)}
}

// Mutate returns a copy in which one decision is another one, drawn uniformly.
func (s *Space) Mutate(a Architecture, r *rand.Rand) Architecture {
	return Architecture{s.name, s.rules.Mutate(a.Kept, r)}
}

// weigher is implemented by rules of spaces whose architectures keep candidates of other
// rows than their own.
type weigher interface {
	// Weights is Space.DiscreteWeights.
	Weights(kept [][]int) []float64
}

// DiscreteWeights returns the mixing weights of an architecture of the space: a
// flat vector with 1 for every kept candidate, 0 elsewhere.
func (s *Space) DiscreteWeights(a Architecture) []float64 {
	if w, ok := s.rules.(weigher); ok {
		return w.Weights(a.Kept)
	}
	weights := make([]float64, s.Dim())
	for i, r := range s.rows {
		for _, k := range a.Kept[i] {
			weights[r.Offset+k] = 1
		}
	}
	return weights
}

// sharer is implemented by rules of spaces in which not all operations count.
type sharer interface {
	// ParameterFree is Space.ParameterFree.
	ParameterFree(kept [][]int) float64
}

// ParameterFree returns the share of the kept operations that have no parameters, in
// [0,1]: 1 is a cell of poolings alone. A family may count some operations only.
func (s *Space) ParameterFree(a Architecture) float64 {
	if r, ok := s.rules.(sharer); ok {
		return r.ParameterFree(a.Kept)
	}
	kept, share := 0, 0.0
	for i, r := range s.rows {
		if r.Kind == OperationRow {
			kept += len(a.Kept[i])
		}
	}
	for i, r := range s.rows {
		if r.Kind != OperationRow {
			continue
		}
		for _, k := range a.Kept[i] {
			if r.Candidates[k].ParameterFree {
				share += 1 / float64(kept)
			}
		}
	}
	return share
}
