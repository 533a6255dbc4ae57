package results

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Who writes a run locks its record. Some file systems that several machines share do
// not carry locks from one to the other, so a writer also shows signs of life: it touches
// status.json, whose time is then that of the file server, the same for all machines. A
// run of another machine is taken over only after it has been silent for a while. A run of
// a dead process on this machine is free at once.

// Silence is for how long a run that stands as running on another machine must have shown
// no sign of life before it may be continued here.
const Silence = 3 * time.Minute

// pulse is how often a writer shows a sign of life.
const pulse = 30 * time.Second

// hostname is that of this machine, which tests replace.
var hostname = os.Hostname

// where is the number of the process and its machine, or 0 and "".
func (s Status) where() (id int, host string) {
	if n, err := fmt.Sscanf(s.Process, "%d on %s", &id, &host); n != 2 || err != nil {
		return 0, ""
	}
	return id, host
}

// remaining returns how long the run of another machine must stay silent until it may be
// continued here; 0 is now.
func remaining(dir string, s Status) time.Duration {
	_, host := s.where()
	here, err := hostname()
	if s.State != Running || err != nil || host == "" || host == here {
		return 0
	}
	last, err := os.Stat(filepath.Join(dir, statusFile))
	if err != nil {
		return 0
	}
	probe, err := durable.CreateTemp(dir, ".now-") // has the time of the file server
	if err != nil {
		return 0 // what follows needs to write here too, and says why it cannot
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	now, err := probe.Stat()
	if err != nil {
		return 0
	}
	return max(Silence-now.ModTime().Sub(last.ModTime()), 0)
}

// live shows signs of life until the run ends.
func (w *Writer) live() {
	w.owner = w.status.Process
	stop := make(chan struct{})
	path := filepath.Join(w.dir, statusFile)
	ended := fault.Start(func() {
		tick := time.NewTicker(pulse)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if w.Owned() == nil {
					// The time of the server; failing is as good as silence.
					unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0)
				}
			}
		}
	})
	w.rest = func() {
		close(stop)
		<-ended
	}
}

// Owned returns a *LockedError where another process has taken the run over, which can
// only be where this one was silent for long, say because its machine was suspended.
// It may be called from any goroutine.
func (w *Writer) Owned() error {
	there, err := readStatus(foreign.Dir(w.dir), w.dir)
	if err == nil && there.Process != w.owner {
		return &LockedError{Dir: w.dir, Status: there}
	}
	return nil // whoever writes next says what is wrong
}
