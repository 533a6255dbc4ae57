// Package pipeline works on a sequence in parallel and keeps its order.
package pipeline

import (
	"runtime"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// Run passes batches from produce through transform to consume. Produce and
// consume see them in the same order, transform works on several at a time.
// Produce stops when emit returns false, which it does once consume has failed;
// its own error counts after those of the batches before it. A panic of produce or
// transform is an error, too, a *fault.Error. When Run returns, so have all three.
func Run[B any](produce func(emit func(B) bool) error, transform func(B), consume func(B) error) error {
	type job struct {
		batch B
		done  chan struct{}
		err   error // of transform: a panic
	}
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *job), make(chan *job, 2*workers)
	stop := make(chan struct{})
	var failure error // of produce
	var wait fault.Group
	defer wait.Wait()
	defer close(stop)
	wait.Go(func() {
		defer close(order)
		defer close(work)
		defer fault.Catch(&failure)
		failure = produce(func(b B) bool {
			j := &job{batch: b, done: make(chan struct{})}
			for _, c := range []chan *job{order, work} {
				select {
				case c <- j:
				case <-stop:
					return false
				}
			}
			return true
		})
	})
	for range workers {
		wait.Go(func() {
			for j := range work {
				func() {
					defer close(j.done)
					defer fault.Catch(&j.err)
					transform(j.batch)
				}()
			}
		})
	}
	for j := range order {
		<-j.done
		if j.err != nil {
			return j.err
		}
		if err := consume(j.batch); err != nil {
			return err
		}
	}
	return failure // produce has returned: it closed order
}
