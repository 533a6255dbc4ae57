package cpu

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// Every task is done exactly once, call after call, also after the workers have
// gone to sleep, and one thread goes through them in the order asked for.
func TestPoolDoesEveryTaskOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := newPool(threads)
		for call := range 300 {
			if call%100 == 99 {
				time.Sleep(2 * time.Millisecond)
			}
			tasks := call % 37
			done := make([]atomic.Int32, tasks)
			var order []int
			p.run(tasks, call%2 == 1, func(thread, task int) {
				if thread < 0 || thread >= threads {
					t.Errorf("thread %d of %d", thread, threads)
				}
				done[task].Add(1)
				if threads == 1 {
					order = append(order, task)
				}
			})
			for task := range done {
				if n := done[task].Load(); n != 1 {
					t.Fatalf("%d threads, call %d: task %d of %d was done %d times", threads, call, task, tasks, n)
				}
			}
			if call%2 == 1 {
				slices.Reverse(order)
			}
			if !slices.IsSorted(order) {
				t.Fatalf("call %d: order %v", call, order)
			}
		}
		p.stop()
	}
}

// A task that panics, on whatever thread, is reported by the call, when all are done;
// the pool stays good.
func TestPoolPanics(t *testing.T) {
	for _, threads := range []int{1, 3} {
		p := newPool(threads)
		for bad := range 20 {
			var done atomic.Int32
			err := fault.Try(func() {
				p.run(20, bad%2 == 1, func(thread, task int) {
					if task == bad {
						panic("no such lane")
					}
					done.Add(1)
				})
			})
			if err == nil || err.Value != "no such lane" {
				t.Errorf("%d threads, task %d: panic %v", threads, bad, err)
			}
			if n := done.Load(); threads > 1 && n != 19 {
				t.Errorf("%d threads: %d other tasks done, want 19", threads, n)
			}
			if err := fault.Try(func() { p.run(5, false, func(int, int) {}) }); err != nil {
				t.Errorf("%d threads: the next call panics with %v", threads, err)
			}
		}
		p.stop()
	}
}
