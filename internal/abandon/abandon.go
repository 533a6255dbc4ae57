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
	var none, value T
	var err error
	done := fault.Start(func() { value, err = work() })
	var limit <-chan time.Time // none, as long as somebody wants it
	wanted := ctx.Done()
	for {
		select {
		case panicked := <-done:
			if panicked != nil {
				return none, panicked
			}
			return value, err
		case <-wanted:
			wanted, limit = nil, time.After(patience)
		case <-limit:
			return none, ctx.Err()
		}
	}
}
