package cpu

import (
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/nb1shot/nb1shot/internal/fault"
	_ "github.com/nb1shot/nb1shot/internal/needcgo" // says what is missing where C is not compiled
)

// pool runs tasks on several threads. Each thread begins with its own stretch
// of the tasks, the same in every call, so that an image stays in the cache of
// one core; who is done helps the others. The caller waits for the tasks, not
// for the workers, so that a core taken away by another process delays no more
// than the task it was in.
//
// Between calls that follow each other closely the workers spin, then they
// sleep: a program has hundreds of short phases, but a core that waits for long
// belongs to someone else.
type pool struct {
	threads int
	workers []*worker // all but the caller
	stretch []cursor  // of each thread
	do      func(thread, task int)
	epoch   atomic.Uint64 // of the call
	pending atomic.Int64  // tasks not done
	stopped atomic.Bool
	failed  atomic.Pointer[fault.Error] // of the first task that has panicked
}

type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// cursor holds the epoch, the end of the stretch and its next task, so that a
// worker that comes late to a call cannot take a task of the next one. Each is
// alone on its cache line.
type cursor struct {
	atomic.Uint64
	_ [56]byte
}

const (
	taskBits = 20
	taskMask = 1<<taskBits - 1
)

// claim takes the next task of the stretch in the given epoch, or returns -1.
// Odd epochs go backwards.
func (c *cursor) claim(epoch uint64) int {
	for {
		v := c.Load()
		next, end := v&taskMask, v>>taskBits&taskMask
		if v>>(2*taskBits) != epoch&(1<<(64-2*taskBits)-1) || next == end {
			return -1
		}
		if epoch%2 == 1 {
			if c.CompareAndSwap(v, v-1<<taskBits) {
				return int(end - 1)
			}
		} else if c.CompareAndSwap(v, v+1) {
			return int(next)
		}
	}
}

// spins is how often a waiting thread looks before it sleeps or yields: some 20 µs.
const spins = 20_000

func newPool(threads int) *pool {
	p := &pool{threads: threads, stretch: make([]cursor, threads)}
	for i := 1; i < threads; i++ {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		fault.Start(func() { p.work(w, i) })
	}
	return p
}

// run calls do for every task in 0..tasks, each on one of the threads, numbered
// 0..p.threads, which go through their stretches forwards or backwards. When all are
// done it panics if one of them has. It is not safe for concurrent use.
func (p *pool) run(tasks int, backwards bool, do func(thread, task int)) {
	if p.threads == 1 || tasks <= 1 {
		for t := range tasks {
			if backwards {
				t = tasks - 1 - t
			}
			do(0, t)
		}
		return
	}
	epoch := p.epoch.Load() + 1
	if backwards != (epoch%2 == 1) {
		epoch++
	}
	p.do = do
	p.pending.Store(int64(tasks))
	for i := range p.stretch {
		from, to := uint64(i*tasks/p.threads), uint64((i+1)*tasks/p.threads)
		p.stretch[i].Store(epoch<<(2*taskBits) | to<<taskBits | from)
	}
	p.epoch.Store(epoch)
	p.rouse()
	p.share(0, epoch)
	for n := 0; p.pending.Load() > 0; n++ {
		if n > spins {
			runtime.Gosched()
		}
	}
	if failed := p.failed.Swap(nil); failed != nil {
		panic(failed)
	}
}

func (p *pool) rouse() {
	for _, w := range p.workers {
		if w.asleep.Load() {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// share works off the thread's own stretch, then those of the others. A task that panics
// counts as done, and the others are done as ever.
func (p *pool) share(thread int, epoch uint64) {
	for {
		err := p.claimed(thread, epoch)
		if err == nil {
			return
		}
		var panicked *fault.Error
		errors.As(err, &panicked)
		p.failed.CompareAndSwap(nil, panicked)
		p.pending.Add(-1)
	}
}

// claimed does the tasks that are left, up to one that panics. It is a function of its
// own, and not a literal, because steps allocate nothing.
func (p *pool) claimed(thread int, epoch uint64) (err error) {
	defer fault.Catch(&err)
	for i := range p.threads {
		c := &p.stretch[(thread+i)%p.threads]
		for t := c.claim(epoch); t >= 0; t = c.claim(epoch) {
			p.do(thread, t)
			p.pending.Add(-1)
		}
	}
	return nil
}

func (p *pool) work(w *worker, thread int) {
	var seen uint64
	for !p.stopped.Load() {
		for n := 0; p.epoch.Load() == seen && !p.stopped.Load(); n++ {
			if n < spins {
				continue
			}
			w.asleep.Store(true)
			if p.epoch.Load() == seen && !p.stopped.Load() { // otherwise nobody may have seen the flag
				<-w.wake
			}
			w.asleep.Store(false)
			n = 0
		}
		seen = p.epoch.Load()
		p.share(thread, seen)
	}
}

// stop lets the workers end.
func (p *pool) stop() {
	p.stopped.Store(true)
	p.rouse()
}
