package spaces

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Architecture is a discrete architecture of a space, what a search ends in.
type Architecture struct {
	Space Name    `json:"space"`
	Kept  [][]int `json:"kept"` // for each row of the space the candidates kept, ascending
}

// Check reports whether the architecture belongs to its space. Callers that read
// one from outside call it before the other methods.
func (a Architecture) Check() error {
	s, err := Get(a.Space)
	if err != nil {
		return err
	}
	if len(a.Kept) != len(s.rows) {
		return fmt.Errorf("the architecture makes %d choices: space %s has %d", len(a.Kept), s.name, len(s.rows))
	}
	for i, kept := range a.Kept {
		r := s.rows[i]
		for k, c := range kept {
			if c < 0 || c >= len(r.Candidates) || k > 0 && c <= kept[k-1] {
				return fmt.Errorf("%s: candidates %v are kept: want some of 0 to %d, ascending", r.Title, kept, len(r.Candidates)-1)
			}
		}
	}
	return s.rules.Check(a.Kept)
}

// Changed counts the choices in which two architectures of a space differ.
func (a Architecture) Changed(b Architecture) int {
	changed := 0
	for i, kept := range a.Kept {
		if !slices.Equal(kept, b.Kept[i]) {
			changed++
		}
	}
	return changed
}

// Equal tells whether two architectures are the same.
func (a Architecture) Equal(b Architecture) bool {
	return a.Space == b.Space && slices.EqualFunc(a.Kept, b.Kept, slices.Equal[[]int])
}

// former is implemented by rules of spaces whose architectures were once written in
// another way.
type former interface {
	// Former reads that way.
	Former(text []byte) (kept [][]int, err error)
}

// UnmarshalJSON reads an architecture, also as earlier versions wrote it into
// checkpoints. It is for Check to say whether it belongs to its space.
func (a *Architecture) UnmarshalJSON(text []byte) error {
	type plain Architecture
	if err := json.Unmarshal(text, (*plain)(a)); err != nil || a.Kept != nil {
		return err
	}
	s, err := Get(a.Space)
	if err != nil {
		return err
	}
	if f, ok := s.rules.(former); ok {
		a.Kept, err = f.Former(text)
	}
	return err
}
