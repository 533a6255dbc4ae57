package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// A limit on the size of files stands for a full disk: the write fails halfway.
func TestFullDisk(t *testing.T) {
	keeps(t, func(path string, s State) error {
		signal.Ignore(syscall.SIGXFSZ)
		defer signal.Reset(syscall.SIGXFSZ)
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 10_000, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		err := Save(path, "", s)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, syscall.EFBIG) {
			t.Errorf("error %v, want that of the write", err)
		}
		return err
	})
}

// The thread gives up root's right to pass over permissions, where it has it.
func TestReadOnlyFolder(t *testing.T) {
	keeps(t, func(path string, s State) error {
		dir := filepath.Dir(path)
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(dir, 0o700)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Fatal(err)
			}
			defer syscall.Setfsuid(0)
		}
		err := Save(path, "", s)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v, want that of the folder", err)
		}
		return err
	})
}
