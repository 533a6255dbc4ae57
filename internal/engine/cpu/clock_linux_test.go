package cpu_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is the time that the calling thread has had a processor: other programs on the
// machine count less than by the clock.
func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
