package steptime

import (
	"fmt"
	"os"
	"strings"
)

// highest is the largest value that peakRSS has seen: the kernel counts in batches
// for each processor, so that its own high-water mark may fall by some pages.
// Steps are timed one after another.
var highest int64

// peakRSS is the largest resident memory that this process has had, in bytes; 0
// where it cannot be read, which is everywhere but on Linux.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			highest = max(highest, kib<<10)
			return highest
		}
	}
	return 0
}
