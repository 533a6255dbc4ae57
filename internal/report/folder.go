package report

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ForeignError reports a folder that holds something else than a report as Write
// left it. Nothing of it was touched.
type ForeignError struct {
	Dir  string
	File string // that stands in the way
	What string // what is wrong with it
}

// Error says what stands in the way and what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s holds %s, which %s: choose another folder or move it aside", e.Dir, e.File, e.What)
}

// sealFile lists the files of a report. It is the last one written, so that a
// folder with it is a whole report.
const sealFile = "report.json"

// sealFormat tells the list from other JSON.
const sealFormat = "nb1shot report 1"

// Bounds on the files of a report, in bytes: on sealFile, and on the others.
const (
	maxSeal = 1 << 20
	maxFile = 1 << 30
)

// contents is what sealFile holds.
type contents struct {
	Format string            `json:"format"`
	Files  map[string]string `json:"files"` // SHA-256 of each other file, hex
}

// seal lists the files of a folder in its sealFile, and makes them durable.
func seal(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	c := contents{Format: sealFormat, Files: map[string]string{}}
	for _, e := range entries {
		if c.Files[e.Name()], err = digest(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, sealFile), append(text, '\n')); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // MkdirTemp makes folders for their owner alone
}

func digest(path string) (string, error) {
	file, err := foreign.Open(context.Background(), path, maxFile)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// findPlace returns where the report at dir goes, links resolved, if it may.
func findPlace(dir string) (string, error) {
	place, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o777); err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(place); err == nil {
		place = resolved
	}
	if err := putBack(place); err != nil {
		return "", err
	}
	place, err = filepath.EvalSymlinks(place)
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Abs(dir)
	}
	if err != nil {
		return "", err
	}
	here, err := os.Stat(".")
	if err != nil {
		return "", err
	}
	there, err := os.Stat(place)
	if err != nil {
		return "", err
	}
	if os.SameFile(here, there) {
		return "", fmt.Errorf("%s is the current folder, which cannot be replaced: choose another", dir)
	}
	return place, check(place, dir)
}

// check refuses the folder at path, which is called dir, unless it is empty or
// holds nothing but an unchanged report.
func check(path, dir string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	var c contents
	data, err := foreign.ReadFile(filepath.Join(path, sealFile), maxSeal)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Format != sealFormat {
		return &ForeignError{dir, entries[0].Name(), "is no part of a report made by this program"}
	}
	for _, e := range entries {
		name := e.Name()
		if name == sealFile {
			continue
		}
		sum, listed := c.Files[name]
		if !listed {
			return &ForeignError{dir, name, "is no part of the report"}
		}
		if got, err := digest(filepath.Join(path, name)); err != nil || got != sum {
			return &ForeignError{dir, name, "was changed after the report was made"}
		}
	}
	return nil
}

// beforeOf is where the report at place is while another takes its place.
func beforeOf(place string) string {
	return filepath.Join(filepath.Dir(place), "."+filepath.Base(place)+".before")
}

// putBack ends what a killed put has begun: the report before it stands at place again
// if nothing does, and else goes.
func putBack(place string) error {
	before := beforeOf(place)
	if _, err := os.Lstat(before); err != nil {
		return nil
	}
	if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
		return durable.Rename(before, place)
	}
	if err := check(before, before); err != nil {
		return err
	}
	return os.RemoveAll(before)
}

// put moves the folder at from to place, where nothing, an empty folder or a
// report is. Between its two renames neither report is there under its name; a
// half one never is.
func put(from, place string) error {
	if err := durable.Sync(from); err != nil {
		return err
	}
	before := beforeOf(place)
	switch err := os.Rename(place, before); {
	case errors.Is(err, fs.ErrNotExist):
		before = ""
	case err != nil:
		return fmt.Errorf("replace %s: %w", place, err)
	}
	if err := durable.Rename(from, place); err != nil {
		if before != "" {
			err = errors.Join(err, os.Rename(before, place))
		}
		return err
	}
	if before != "" {
		if err := os.RemoveAll(before); err != nil {
			return fmt.Errorf("remove the report before this one: %w", err)
		}
	}
	return nil
}
