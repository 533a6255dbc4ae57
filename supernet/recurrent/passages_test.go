package recurrent

import (
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
)

// columnsOf has one column of the words 0, 1, 2 and so on.
func columnsOf(t *testing.T, rows int) text.Columns {
	t.Helper()
	var words []int32
	for i := range rows {
		words = append(words, int32(i))
	}
	c, err := text.NewColumns(words, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// As released, the architecture reads at the row of the weight step modulo what there is, and
// goes on from the passage before. In order it reads each word once, and begins anew after the
// last passage.
func TestSearchPassages(t *testing.T) {
	p, err := NewPassages(columnsOf(t, 30), columnsOf(t, 12), 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.Uniform = func(_, step int) float64 { return []float64{0, 0.99, 0}[step%3] } // lengths 4, 2, 4
	type read struct {
		words  []int32
		begins bool
	}
	reads := func() (all []read) {
		for k := range 6 {
			b := p.Searching(0, k)
			all = append(all, read{b.Text.Inputs, b.Text.Begins})
		}
		return all
	}
	check := func(want []read) {
		t.Helper()
		for k, got := range reads() {
			if !slices.Equal(got.words, want[k].words) || got.begins != want[k].begins {
				t.Errorf("passage %d: %v, want %v", k, got, want[k])
			}
		}
	}
	// The weights read from rows 0, 4, 6, 10, 14 and 16; 11 rows of the search can be read.
	check([]read{
		{[]int32{0, 1, 2, 3}, false}, {[]int32{4, 5, 6, 7}, false}, {[]int32{6, 7, 8, 9}, false},
		{[]int32{10}, false}, {[]int32{3, 4, 5, 6}, false}, {[]int32{5, 6, 7, 8}, false},
	})
	p.InOrder = true
	first, second, third := []int32{0, 1, 2, 3}, []int32{4, 5, 6, 7}, []int32{8, 9, 10}
	check([]read{{first, true}, {second, false}, {third, false}, {first, true}, {second, false}, {third, false}})
}

// The learning rate of a passage goes with the length that was drawn, or with the rows that the
// text has left.
func TestRates(t *testing.T) {
	p, err := NewPassages(columnsOf(t, 12), columnsOf(t, 12), 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.Uniform = func(_, step int) float64 { return []float64{0.99, 0, 0}[step%3] } // rows 2, 4, 4 and 1 of 4
	rates := func() (all []float64) {
		for k := range p.Steps(0) {
			all = append(all, p.Training(0, k).Text.Rate)
		}
		return all
	}
	if got, want := rates(), []float64{0.5, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("rates %v, want %v", got, want)
	}
	p.Train = columnsOf(t, 9) // 8 rows can be read: 2, 4 and 2
	p.windows = nil
	if got, want := rates(), []float64{0.5, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("rates as drawn %v, want %v", got, want)
	}
	p.RateByRows = true
	if got, want := rates(), []float64{0.5, 1, 0.5}; !slices.Equal(got, want) {
		t.Errorf("rates by rows %v, want %v", got, want)
	}
}

// A passage that begins anew does so whatever was trained on before.
func TestBegins(t *testing.T) {
	s := NewSearch(newModel(t, search, ref.New[float64](1)), Dropout{}, Regularisers{})
	after := []float64{1, 2, 3, 4, 5}
	if err := s.SetStreams([]Stream{{Name: "a", Number: 2, Before: make([]float64, 5), After: after}}); err != nil {
		t.Fatal(err)
	}
	next := text.Passage{Stream: "a", Number: 3, Batch: 1}
	if got := s.before(&next); !slices.Equal(got, after) {
		t.Errorf("hidden states %v, want %v", got, after)
	}
	next.Begins = true
	if got := s.before(&next); !slices.Equal(got, make([]float64, 5)) {
		t.Errorf("hidden states %v, want zeros", got)
	}
}
