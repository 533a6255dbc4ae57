package checkpoint

import (
	"path/filepath"
	"sync"
	"time"
)

// The files of a Keeper: the newest state that was written, and the one before it, which
// serves where the newest is damaged.
const (
	File         = "checkpoint"
	PreviousFile = "checkpoint.previous"
)

// How often a state is kept while an epoch goes on: in memory, where it costs
// some milliseconds, for an interrupt that comes in the middle of a long step; on
// the disk for a process that is killed.
const (
	keepEvery  = 5 * time.Second
	writeEvery = time.Minute
)

// Keeper writes checkpoints of something that goes on. An interrupt may do so from another
// goroutine.
type Keeper struct {
	mutex   sync.Mutex
	dir     string
	owned   func() error
	newest  *State
	written bool // newest is on the disk
	kept    time.Time
	wrote   time.Time
	closed  bool // what goes on has been let go of
}

// NewKeeper returns a keeper that writes to the folder dir, unless owned, where it is not
// nil, returns an error: that another process has taken it over.
func NewKeeper(dir string, owned func() error) *Keeper {
	return &Keeper{dir: dir, owned: owned, kept: time.Now(), wrote: time.Now()}
}

// Close ends the keeping, but for Last.
func (k *Keeper) Close() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.closed = true
}

// Last brings the newest state to the disk when the work is let go of.
func (k *Keeper) Last() error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.save()
}

// Keep takes a state, and writes it where that is asked for or due.
func (k *Keeper) Keep(state *State, write bool) error {
	k.mutex.Lock()
	if k.closed {
		k.mutex.Unlock()
		return nil
	}
	k.newest, k.written, k.kept = state, false, time.Now()
	write = write || time.Since(k.wrote) >= writeEvery
	k.mutex.Unlock()
	if !write {
		return nil
	}
	return k.Write()
}

// Due tells whether it is time to keep a state.
func (k *Keeper) Due() bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return time.Since(k.kept) >= keepEvery
}

// Write brings the newest state to the disk unless it is there.
func (k *Keeper) Write() error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.closed {
		return nil
	}
	return k.save()
}

// save is Write and Last with the mutex held.
func (k *Keeper) save() error {
	if k.newest == nil || k.written {
		return nil
	}
	if k.owned != nil {
		if err := k.owned(); err != nil {
			return err
		}
	}
	if err := Save(filepath.Join(k.dir, File), filepath.Join(k.dir, PreviousFile), *k.newest); err != nil {
		return err
	}
	k.written, k.wrote = true, time.Now()
	return nil
}
