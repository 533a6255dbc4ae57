package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/internal/watch"
	"github.com/nb1shot/nb1shot/results"
)

// Bounds on what is kept in memory.
const (
	maxRuns   = 10_000
	maxMemory = 1 << 30 // of all runs together, roughly, in bytes
)

// settled is how old a file must be for its time and size to tell whether it has changed
// since it was read: file systems have coarse clocks.
const settled = 2 * time.Second

// run is a run directory as it was last read.
type run struct {
	name    string
	stamp   string // of its files, before they were read
	racy    bool   // whether they were so new that the stamp tells nothing
	digest  string // of what was read, or of the error
	history *results.History
	err     error
	state   watch.Run
	files   []file
	memory  int64
}

type file struct {
	Name string
	Size int64 // bytes
}

// folder is what is in the folder at a time. It never changes.
type folder struct {
	runs     []*run // by name
	manifest *sweep.Manifest
	trouble  []string // with the folder itself
	survey   *watch.Survey
	version  string // of all of it
}

// run returns the run of a name.
func (f *folder) run(name string) *run {
	i, ok := slices.BinarySearchFunc(f.runs, name, func(r *run, name string) int { return strings.Compare(r.name, name) })
	if !ok {
		return nil
	}
	return f.runs[i]
}

// readFolder reads what has changed in the folder at dir since before, which may be nil.
// Nothing outside it is read, whatever links say.
func readFolder(dir string, before *folder, now time.Time) *folder {
	f := &folder{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.trouble = append(f.trouble, err.Error())
	} else {
		defer root.Close()
		f.read(root, dir, before, now)
	}
	slices.SortFunc(f.runs, func(a, b *run) int { return strings.Compare(a.name, b.name) })
	var states []watch.Run
	sum := sha256.New()
	for _, r := range f.runs {
		states = append(states, r.state)
		fmt.Fprintf(sum, "%q %s %s\n", r.name, r.digest, r.state.State)
	}
	f.survey = watch.Assemble(filepath.Base(dir), f.manifest, states)
	fmt.Fprintf(sum, "%q", f.trouble)
	if f.manifest != nil {
		text, _ := f.manifest.Marshal() // of one that was read, which has bytes
		sum.Write(text)
	}
	f.version = hex.EncodeToString(sum.Sum(nil))
	return f
}

func (f *folder) read(root *os.Root, dir string, before *folder, now time.Time) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		f.trouble = append(f.trouble, err.Error())
		return
	}
	if isRun(root) {
		name := filepath.Base(dir)
		if absolute, err := filepath.Abs(dir); err == nil {
			name = filepath.Base(absolute)
		}
		f.runs = append(f.runs, readRun(root, name, before, now))
		return
	}
	var memory int64
	for _, entry := range entries {
		name := entry.Name()
		if !results.Listed(name) || !entry.IsDir() && entry.Type()&fs.ModeSymlink == 0 {
			continue
		}
		r := f.open(root, name, before, now)
		if r == nil {
			continue
		}
		if len(f.runs) == maxRuns {
			f.trouble = append(f.trouble, fmt.Sprintf("There are more than %d runs: the others are left out.", maxRuns))
			break
		}
		if memory += r.memory; memory > maxMemory {
			memory -= r.memory
			r = damaged(name, fmt.Errorf("left out: the records of all runs together would take more than %d MiB of memory", maxMemory>>20))
		}
		f.runs = append(f.runs, r)
	}
	text, err := foreign.ReadFS(inside{root, nil}, sweep.File, maxManifest)
	if err == nil {
		f.manifest, err = sweep.Parse(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.trouble = append(f.trouble, fmt.Sprintf("%s: %v", sweep.File, err))
	}
}

// maxManifest bounds a manifest, in bytes.
const maxManifest = 64 << 20

// open reads the run in a folder within root; nil where it is none.
func (f *folder) open(root *os.Root, name string, before *folder, now time.Time) *run {
	sub, err := root.OpenRoot(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil // it has just gone, or is a link to a file
	case err != nil:
		return damaged(name, fmt.Errorf("not followed: %w", err))
	}
	defer sub.Close()
	if !isRun(sub) {
		return nil
	}
	return readRun(sub, name, before, now)
}

// damaged is a run that cannot be read.
func damaged(name string, err error) *run {
	text := strings.TrimPrefix(err.Error(), "read run: ")
	sum := sha256.Sum256([]byte(text))
	return &run{name: name, err: err, digest: hex.EncodeToString(sum[:]), state: watch.Run{Name: name, State: watch.Damaged, Reason: text}}
}

func isRun(root *os.Root) bool {
	return slices.ContainsFunc([]string{"config.json", "status.json"}, func(name string) bool {
		_, err := root.Lstat(name)
		return err == nil
	})
}

// readRun reads a run unless it is as before.
func readRun(root *os.Root, name string, before *folder, now time.Time) *run {
	stamp, newest := stampOf(root)
	var old *run
	if before != nil {
		old = before.run(name)
	}
	if old != nil && old.stamp == stamp && !old.racy {
		if old.history == nil || old.history.Status.Killed() == (old.state.State == watch.Killed) {
			return old
		}
	}
	digest := sha256.New()
	var h *results.History
	err := func() (err error) {
		defer fault.Catch(&err)
		h, err = results.ReadFS(inside{root, digest}, name)
		return err
	}()
	r := &run{name: name, history: h, digest: hex.EncodeToString(digest.Sum(nil))}
	if err != nil {
		r = damaged(name, err)
	} else {
		recorded := recordedAt(root)
		r.state = watch.Of(name, h, recorded, recorded) // as it was then, so that it stays the same until the next record
		r.memory = memoryOf(h)
	}
	r.stamp, r.racy = stamp, now.Sub(newest) < settled
	if entries, err := fs.ReadDir(root.FS(), "."); err == nil {
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
				r.files = append(r.files, file{entry.Name(), info.Size()})
				r.state.Bytes += info.Size()
			}
		}
	}
	if old != nil && old.digest == r.digest && old.state.State == r.state.State {
		old.stamp, old.racy = r.stamp, r.racy // what was made of it stays good
		return old
	}
	return r
}

// stampOf is the sizes and times of the files that make up a run, and the latest time.
func stampOf(root *os.Root) (stamp string, newest time.Time) {
	var b strings.Builder
	for _, name := range recordFiles {
		info, err := root.Stat(name)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", name, err)
			continue
		}
		inode := uint64(0)
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = s.Ino
		}
		fmt.Fprintf(&b, "%s: %d bytes, %d, inode %d\n", name, info.Size(), info.ModTime().UnixNano(), inode)
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return b.String(), newest
}

// recordFiles are the files that results.Read reads.
var recordFiles = []string{"epochs.jsonl", "epochs.jsonl.gz", "config.json", "status.json", results.EvaluationFile, results.SelectionFile}

func recordedAt(root *os.Root) time.Time {
	for _, name := range recordFiles[:2] {
		if info, err := root.Stat(name); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// memoryOf is about how many bytes a history takes.
func memoryOf(h *results.History) int64 {
	n := int64(len(h.Run.Config))
	for _, e := range h.Epochs {
		n += 2 << 10
		if e.Hessian != nil {
			n += 8 * int64(len(e.Hessian.Eigenvalues))
		}
		for _, a := range e.Alphas {
			for _, row := range a.Rows {
				n += 32 + 8*int64(len(row))
			}
		}
		n += int64(len(e.Warning))
	}
	return n
}

// inside is the regular files within a folder, also behind links that stay within it.
type inside struct {
	root *os.Root
	read hash.Hash // of what was read; may be nil
}

// Open opens a file. Nothing but a regular one is opened, so that nothing waits.
func (in inside) Open(name string) (fs.File, error) {
	info, err := in.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: foreign.ErrNotRegular}
	}
	f, err := in.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil || in.read == nil {
		return f, err
	}
	fmt.Fprintf(in.read, "\n%s\n", name)
	return hashed{f, in.read}, nil
}

// hashed is a file whose content goes through a hash as it is read.
type hashed struct {
	*os.File
	sum hash.Hash
}

func (h hashed) Read(p []byte) (int, error) {
	n, err := h.File.Read(p)
	h.sum.Write(p[:n])
	return n, err
}
