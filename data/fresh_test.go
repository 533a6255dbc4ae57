package data_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/data"
)

// Every batch of a fresh queue is full, has no image twice, and is drawn again: over two
// passes' worth of batches images come several times and others not at all.
func TestFreshBatches(t *testing.T) {
	l := newLoader(t, func(q *data.Queue) { q.Fresh = true })
	counts := map[int]int{}
	for k := range 2 * l.Len() {
		got := numbers(l, 3, k, 1)
		if len(got) != 16 {
			t.Errorf("batch %d has %d images, want 16", k, len(got))
		}
		slices.Sort(got)
		if len(slices.Compact(slices.Clone(got))) != len(got) || got[0] < 20 || got[15] >= 70 {
			t.Errorf("batch %d: %v", k, got)
		}
		for _, n := range got {
			counts[n]++
		}
	}
	if most := slices.Max(slices.Collect(maps.Values(counts))); most < 4 {
		t.Errorf("no image comes more than %d times in 8 batches: these are passes", most)
	}
	if a, b := numbers(l, 3, 5, 1), numbers(l, 3, 5, 1); !slices.Equal(a, b) {
		t.Errorf("batch 5 is %v, then %v", a, b)
	}
	whole := newLoader(t, func(q *data.Queue) { q.Fresh, q.BatchSize = true, 64 })
	if b := batch(whole, 0, 7); b.N != 50 {
		t.Errorf("a batch of more images than there are has %d, want 50", b.N)
	}
	if _, err := data.NewLoader(data.Queue{Name: "x", Set: numbered(4), Images: span(0, 4), BatchSize: 2, Fresh: true, InOrder: true, Transform: data.Transform{Normalization: grey}}); err == nil {
		t.Error("a queue both fresh and in order")
	}
}
