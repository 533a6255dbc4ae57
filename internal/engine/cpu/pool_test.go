package cpu

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
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
