// Package fault turns panics into errors: faults of this program or of a library, which
// its user can only report.
package fault

import (
	"fmt"
	"runtime"
	"strings"
)

// Error is a panic as an error.
type Error struct {
	Value any
	// Stack has a line for each function that was being executed, from the one that
	// panicked outwards.
	Stack []string
}

func (e *Error) Error() string { return fmt.Sprintf("a fault of the program: %v", e.Value) }

// Unwrap returns the value of the panic where it is an error.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Catch, deferred, makes an *Error of a panic. One that comes by again, from another
// goroutine, stays as it is.
func Catch(err *error) {
	switch value := recover().(type) {
	case nil:
	case *Error:
		*err = value
	default:
		*err = &Error{value, stack()}
	}
}

// stack lists the callers of the deferred function.
func stack() []string {
	const most = 64
	pcs := make([]uintptr, most)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var lines []string
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			lines = append(lines, fmt.Sprintf("%s %s:%d", f.Function, f.File, f.Line))
		}
		if !more {
			return lines
		}
	}
}
