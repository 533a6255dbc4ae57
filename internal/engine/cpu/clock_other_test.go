//go:build !linux

package cpu_test

import "time"

var started = time.Now()

// elapsed is the time since the start.
func elapsed() time.Duration { return time.Since(started) }
