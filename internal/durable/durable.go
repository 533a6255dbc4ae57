// Package durable makes files survive a crash: a file is complete under its
// name or not there at all once it was synced, renamed, and its folder synced.
// A lock on a file keeps other processes away for as long as this one lives.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Sync makes the contents of a file, or the names in a folder, durable.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Rename renames a file or folder, whose contents must be durable already, and
// makes the new name durable. The errors of os.Rename come back as they are.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return Sync(filepath.Dir(to))
}

// WriteFile replaces the file at path by data, atomically: after a crash the
// file holds all of the old bytes or all of the new ones.
func WriteFile(path string, data []byte) error { return WriteKeeping(path, "", data) }

// WriteNew writes the file at path, which must not be there: the error is
// fs.ErrExist otherwise, also where another process was faster. After a crash
// there is all of it or nothing.
func WriteNew(path string, data []byte) error {
	return write(path, data, func(temp string) error {
		err := os.Link(temp, path)
		switch {
		case err == nil || errors.Is(err, fs.ErrExist):
			return errors.Join(err, os.Remove(temp), Sync(filepath.Dir(path)))
		default: // a file system without links
			if _, err := os.Lstat(path); err == nil {
				return fs.ErrExist
			}
			return Rename(temp, path)
		}
	})
}

// WriteKeeping is WriteFile that keeps the old file, if there is one, under the
// name kept in the same folder; "" keeps none. After a crash there may be a file
// under the name kept alone, the old one.
func WriteKeeping(path, kept string, data []byte) error {
	return write(path, data, func(temp string) error {
		if kept != "" {
			if err := os.Rename(path, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return Rename(temp, path)
	})
}

// write writes a durable file beside path, which put then gives its name.
func write(path string, data []byte, put func(temp string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := CreateTemp(dir, temporary(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil { // synced before it got its name
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return put(f.Name())
}
