package fault

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Every goroutine of this module is started here, so that its panic reaches whoever
// waits for it and does not end the process.

// Try calls f and returns its panic, or nil.
func Try(f func()) *Error {
	var err error
	func() {
		defer Catch(&err)
		f()
	}()
	var panicked *Error
	errors.As(err, &panicked)
	return panicked
}

// Start calls f in a goroutine. When f has returned, the channel gets its panic, or nil.
func Start(f func()) <-chan *Error {
	done := make(chan *Error, 1)
	go func() { done <- Try(f) }()
	return done
}

// Group waits for goroutines. The zero value is one without any.
type Group struct {
	wait  sync.WaitGroup
	first atomic.Pointer[Error]
}

// Go calls f in a goroutine of the group.
func (g *Group) Go(f func()) {
	g.wait.Go(func() {
		if err := Try(f); err != nil {
			g.first.CompareAndSwap(nil, err)
		}
	})
}

// Wait waits until all of the group have returned, and panics with the first *Error
// where one of them has panicked.
func (g *Group) Wait() {
	g.wait.Wait()
	if err := g.first.Load(); err != nil {
		panic(err)
	}
}
