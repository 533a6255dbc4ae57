package peak

// #cgo CFLAGS: -O2
// #include <stdlib.h>
// #include "memory.h"
import "C"

import (
	"time"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// perThread is what each thread goes through, in bytes: more than the caches that a core
// can count on hold.
const perThread = 128 << 20

// Memory returns how many bytes a second the given number of threads (at least 1) together
// read from memory and how many they write to it, past the caches where the processor
// can: the best of five times each. It takes about half a second and 128 MiB a thread.
func Memory(threads int) (read, written float64) {
	threads = max(threads, 1)
	blocks := make([]*C.float, threads)
	for i := range blocks {
		if blocks[i] = C.nb1_memory_block(perThread); blocks[i] == nil {
			panic("no memory to measure its speed with")
		}
		defer C.free(unsafe.Pointer(blocks[i]))
	}
	const floats = perThread / 4
	rate := func(do func(block *C.float)) float64 {
		best := time.Duration(1<<63 - 1)
		for range windows {
			best = min(best, atOnce(threads, func(thread int) { do(blocks[thread]) }))
		}
		return float64(threads) * perThread / best.Seconds()
	}
	written = rate(func(block *C.float) { C.nb1_memory_write(block, floats, 1) })
	read = rate(func(block *C.float) { C.nb1_memory_read(block, floats) })
	return read, written
}

// atOnce times what the threads do at once.
func atOnce(threads int, do func(thread int)) time.Duration {
	var done fault.Group
	ready := make(chan struct{}, threads)
	begin := make(chan struct{})
	for thread := range threads {
		done.Go(func() {
			ready <- struct{}{}
			<-begin
			do(thread)
		})
	}
	for range threads {
		<-ready
	}
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}
