// Package abandon waits for long work only as long as somebody wants it.
package abandon

import (
	"context"
	"time"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// Do returns what work does. Once ctx is done it waits for another patience, and then
// returns ctx's error and leaves the work alone: it goes on until its end or that of
// the process, and nobody gets what it returns. A panic of the work is a *fault.Error.
func Do[T any](ctx context.Context, patience time.Duration, work func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() { done <- o }()
		defer fault.Catch(&o.err)
		o.value, o.err = work()
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-time.After(patience):
		var none T
		return none, ctx.Err()
	}
}
