// Package durable makes files survive a crash: a file is complete under its
// name or not there at all once it was synced, renamed, and its folder synced.
package durable

import (
	"errors"
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
