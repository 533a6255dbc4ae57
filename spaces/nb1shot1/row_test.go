package nb1shot1

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
)

// The rows cover the flat vector without a gap, belong to their tensors, and say how much
// of each an architecture keeps.
func TestRows(t *testing.T) {
	for _, s := range All() {
		at := 0
		for _, r := range s.Rows() {
			if r.Offset != at {
				t.Errorf("space %s: %s begins at %d, the one before ends at %d", s.Name(), r.Title, r.Offset, at)
			}
			at = r.End()
			for _, tensor := range s.Tensors() {
				inside := r.Offset >= tensor.Offset && r.End() <= tensor.Offset+tensor.Rows*tensor.Cols
				if inside != (tensor.Name == r.Tensor) || inside && len(r.Candidates) != tensor.Cols {
					t.Errorf("space %s: %s with %d candidates is said to be of %s; %s has %d columns", s.Name(), r.Title, len(r.Candidates), r.Tensor, tensor.Name, tensor.Cols)
				}
			}
		}
		if at != s.Dim() {
			t.Errorf("space %s: the rows end at %d of %d", s.Name(), at, s.Dim())
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := All()[rapid.IntRange(0, 2).Draw(t, "space")]
		weights := s.DiscreteWeights(s.Sample(random.New(rapid.Uint64().Draw(t, "seed"), "test")))
		for _, r := range s.Rows() {
			kept := 0
			for _, w := range weights[r.Offset:r.End()] {
				kept += int(w)
			}
			if kept != r.Keep {
				t.Fatalf("%s keeps %d of %d, is said to keep %d", r.Title, kept, len(r.Candidates), r.Keep)
			}
		}
	})
}

// Names and titles, as figures show them.
func TestRowTitles(t *testing.T) {
	s, err := Get("1")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, r := range s.Rows() {
		got += r.Title + ":"
		for _, c := range r.Candidates {
			got += " " + c.Name
			if c.ParameterFree {
				got += " (free)"
			}
			got += ","
		}
		got += "\n"
	}
	const operations = ": maxpool3x3 (free), conv3x3-bn-relu, conv1x1-bn-relu,\n"
	want := "operation of block 1" + operations + "operation of block 2" + operations + "operation of block 3" + operations + "operation of block 4" + operations +
		"inputs of the output: cell input, block 1, block 2, block 3, block 4,\n" +
		"inputs of block 3: cell input, block 1, block 2,\n" +
		"inputs of block 4: cell input, block 1, block 2, block 3,\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A mutation is another cell of the space that differs in one decision.
func TestMutate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := All()[rapid.IntRange(0, 2).Draw(t, "space")]
		r := random.New(rapid.Uint64().Draw(t, "seed"), "test")
		a := space.Sample(r)
		before := fmt.Sprint(a)
		b := space.Mutate(a, r)
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(a) != before {
			t.Fatal("the parent changed")
		}
		changed := b.Changed(a)
		if changed != 1 {
			t.Fatalf("%d decisions changed from %v to %v", changed, a, b)
		}
	})
}
