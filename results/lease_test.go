package results

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// on lets the rest of a test run on a machine of another name.
func on(t *testing.T, machine string) {
	t.Helper()
	before := hostname
	hostname = func() (string, error) { return machine, nil }
	t.Cleanup(func() { hostname = before })
}

// age lets the last sign of life of a run be so long ago.
func age(t *testing.T, dir string, ago time.Duration) {
	t.Helper()
	at := time.Now().Add(-ago)
	if err := os.Chtimes(filepath.Join(dir, statusFile), at, at); err != nil {
		t.Fatal(err)
	}
}

// A run of a dead process on this machine is free at once; one of another machine only
// when it has been silent for long, and whoever comes back too late may not write.
func TestOtherMachine(t *testing.T) {
	run := testRun(t, 0)
	on(t, "left")
	first, err := Create(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	first.epochs.Close() // the lock is gone, as where the file system has none
	dir := first.Dir()

	again, err := Reopen(dir, run)
	if err != nil {
		t.Fatalf("on its own machine: %v", err)
	}
	again.Close()

	on(t, "right")
	var locked *LockedError
	if _, err := Reopen(dir, run); !errors.As(err, &locked) || locked.Wait < Silence-time.Minute || locked.Wait > Silence {
		t.Fatalf("of another machine: %v", err)
	}
	if !strings.Contains(locked.Error(), "on left") {
		t.Errorf("no machine in %q", locked)
	}
	if _, err := MoveAside(dir); !errors.As(err, &locked) || locked.Wait == 0 {
		t.Errorf("moved aside: %v", err)
	}
	age(t, dir, Silence-20*time.Second)
	if _, err := Reopen(dir, run); !errors.As(err, &locked) || locked.Wait > 21*time.Second || locked.Wait < 10*time.Second {
		t.Errorf("20 s before its time: %v", err)
	}
	age(t, dir, Silence+time.Second)
	second, err := Reopen(dir, run)
	if err != nil {
		t.Fatalf("after its silence: %v", err)
	}
	defer second.Close()
	if _, err := second.Rewind(Start()); err != nil {
		t.Fatal(err)
	}
	if err := second.Owned(); err != nil {
		t.Errorf("who took it over: %v", err)
	}
	if err := first.Owned(); !errors.As(err, &locked) || !strings.Contains(err.Error(), "on right") {
		t.Errorf("who was silent: %v", err)
	}
	if err := first.Interrupt(); !errors.As(err, &locked) {
		t.Errorf("who was silent ends the run: %v", err)
	}
	if s, err := readStatus(os.DirFS(dir), dir); err != nil || !strings.HasSuffix(s.Process, " on right") || s.State != Running {
		t.Errorf("%+v, %v", s, err)
	}
}

// A run that another machine has ended waits for nobody.
func TestOtherMachineEnded(t *testing.T) {
	run := testRun(t, 0)
	on(t, "left")
	w, err := Create(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Interrupt(); err != nil {
		t.Fatal(err)
	}
	on(t, "right")
	again, err := Reopen(w.Dir(), run)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
