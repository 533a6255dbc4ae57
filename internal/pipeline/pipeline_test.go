package pipeline

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// run passes 0..n-1 through and returns what was consumed, of which failAt, if
// not negative, is an error.
func run(n, failAt int, failure error) (consumed []int, produced int64, err error) {
	var count atomic.Int64
	err = Run(
		func(emit func(*int) bool) error {
			for i := range n {
				count.Add(1)
				if !emit(&i) {
					return nil
				}
			}
			return failure
		},
		func(i *int) {
			if *i%7 == 0 {
				time.Sleep(100 * time.Microsecond) // let others overtake
			}
			*i *= 10
		},
		func(i *int) error {
			if *i == 10*failAt {
				return errors.New("consumer")
			}
			consumed = append(consumed, *i)
			return nil
		})
	return consumed, count.Load(), err
}

func TestRunKeepsOrder(t *testing.T) {
	got, _, err := run(1000, -1, nil)
	if err != nil || len(got) != 1000 || !slices.IsSorted(got) || got[999] != 9990 {
		t.Errorf("%d items, sorted: %v, %v", len(got), slices.IsSorted(got), err)
	}
	if got, _, err := run(0, -1, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing became %v, %v", got, err)
	}
}

func TestRunFails(t *testing.T) {
	failure := errors.New("producer")
	if got, _, err := run(50, -1, failure); err != failure || len(got) != 50 {
		t.Errorf("%d items, then %v; want all 50, then the producer's error", len(got), err)
	}
	got, produced, err := run(100000, 20, failure)
	if err == nil || err.Error() != "consumer" || len(got) != 20 || produced == 100000 {
		t.Errorf("%d items of %d, then %v; want 20, then the consumer's error", len(got), produced, err)
	}
}
