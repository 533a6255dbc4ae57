package ref

import (
	"sync/atomic"
	"testing"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// A part that panics is reported by split, on whatever thread, when all have returned.
func TestSplitPanics(t *testing.T) {
	const threads = 3
	e := New[float64](threads)
	for bad := range threads {
		var done atomic.Int32
		err := fault.Try(func() {
			e.split(threads, worthSplitting, func(from, _ int) {
				if from == bad {
					panic("no such channel")
				}
				done.Add(1)
			})
		})
		if err == nil || err.Value != "no such channel" || done.Load() != threads-1 {
			t.Errorf("part %d: panic %v after %d other parts", bad, err, done.Load())
		}
	}
}
