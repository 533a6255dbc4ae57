package pipeline

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
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

// A panic in any of the parts ends Run with an error.
func TestPanics(t *testing.T) {
	for _, where := range []string{"produce", "transform"} {
		at := func(part string) {
			if part == where {
				panic("in " + part)
			}
		}
		err := Run(
			func(emit func(int) bool) error {
				for i := range 100 {
					if i == 50 {
						at("produce")
					}
					if !emit(i) {
						break
					}
				}
				return nil
			},
			func(i int) {
				if i == 50 {
					at("transform")
				}
			},
			func(i int) error {
				if i > 50 {
					t.Errorf("%s: consumed %d", where, i)
				}
				return nil
			})
		var f *fault.Error
		if !errors.As(err, &f) || f.Value != "in "+where {
			t.Errorf("%s: error %v", where, err)
		}
	}
}
