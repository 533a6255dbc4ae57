package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Temporary files and folders are locked by who works on them. Whoever makes one first
// removes those of the same kind whose maker has died without doing so.

// CreateTemp makes a file whose name is prefix and digits in the folder dir, locked
// until it is closed, and removes what dead processes have left under such names.
func CreateTemp(dir, prefix string) (*os.File, error) {
	return makeLocked(dir, prefix, func() (*os.File, error) { return os.CreateTemp(dir, prefix+"*") })
}

// MkdirTemp is CreateTemp for a folder. The lock holds until the returned file, which
// is the folder, is closed.
func MkdirTemp(dir, prefix string) (*os.File, error) {
	return makeLocked(dir, prefix, func() (*os.File, error) {
		for {
			path, err := os.MkdirTemp(dir, prefix+"*")
			if err != nil {
				return nil, err
			}
			f, err := os.Open(path)
			switch {
			case err == nil:
				return f, nil
			case !errors.Is(err, fs.ErrNotExist): // else taken for abandoned already
				os.Remove(path)
				return nil, err
			}
		}
	})
}

func makeLocked(dir, prefix string, create func() (*os.File, error)) (*os.File, error) {
	removeAbandoned(dir, prefix)
	for {
		f, err := create()
		if err != nil {
			return nil, err
		}
		// Between the two, another process may have taken it for abandoned.
		switch err := Lock(f); {
		case err == nil && isAt(f, f.Name()):
			return f, nil
		case err != nil && !errors.Is(err, ErrLocked):
			f.Close()
			os.RemoveAll(f.Name())
			return nil, err
		}
		f.Close()
	}
}

// isAt tells whether the open file still has the name path.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named)
}

// removeAbandoned removes from the folder dir what has a name of prefix and digits and
// is locked by nobody, with what SQLite keeps beside its files. Where locks cannot be
// had, and where anything else is wrong, it leaves all as it is.
func removeAbandoned(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && isAt(f, path) && isOwn(f) {
			os.RemoveAll(path)
			for _, kind := range []string{"-journal", "-wal", "-shm"} {
				os.Remove(path + kind)
			}
		}
		f.Close()
	}
}

// isOwn tells whether the file is of the user: in a folder for all, the others' are
// their matter.
func isOwn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// temporary is how the names begin under which a file is written.
func temporary(path string) string { return "." + filepath.Base(path) + "." }

// Clean removes what writers of path that were killed have left in its folder.
// No writer may be at work.
func Clean(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary(path)) {
			if gone := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return err
}
