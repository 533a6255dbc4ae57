// Package peak measures what this machine can do at best: how fast it multiplies and adds in
// single precision, and how fast it reads and writes memory. These are the yardsticks for
// everything that it computes.
package peak

// #cgo CFLAGS: -O2
// #include "fma.h"
import "C"

import "time"

const (
	window  = 100 * time.Millisecond // of one measurement
	windows = 5                      // measurements, of which the fastest counts
)

// FMA returns the rate in GFLOP/s at which the given number of threads (at least 1)
// together do fused multiply-adds on registers, each counted as two operations,
// and the instructions that they use: "AVX-512", "AVX2" or "plain C". The last
// fuses only where the compiler can rely on the processor to. It takes about
// half a second.
func FMA(threads int) (gflops float64, isa string) {
	threads = max(threads, 1)
	rounds := calibrate()
	best := time.Duration(1<<63 - 1)
	for range windows {
		best = min(best, together(threads, rounds))
	}
	work := float64(threads) * float64(rounds) * float64(C.nb1_fma_flops())
	return work / best.Seconds() / 1e9, C.GoString(C.nb1_fma_isa())
}

// calibrate returns how many rounds fill the window.
func calibrate() int {
	for rounds := 1 << 12; ; rounds *= 2 {
		if took := together(1, rounds); took > window/16 {
			return int(float64(rounds) * float64(window) / float64(took))
		}
	}
}

// together times the given number of rounds on each of the threads at once.
func together(threads, rounds int) time.Duration {
	return atOnce(threads, func(int) {
		// A factor below 1 keeps the numbers bounded and away from 0.
		C.nb1_fma_rounds(C.long(rounds), 0.999, 0.001)
	})
}
