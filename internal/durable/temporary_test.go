package durable_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/nb1shot/nb1shot/internal/durable"
)

// names returns what a folder holds.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What dead processes have left goes, what is locked or has another name stays.
func TestTemporary(t *testing.T) {
	for name, create := range map[string]func(dir, prefix string) (*os.File, error){"file": durable.CreateTemp, "folder": durable.MkdirTemp} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			alive, err := create(dir, ".t-")
			if err != nil {
				t.Fatal(err)
			}
			kept := []string{filepath.Base(alive.Name()), ".t-", ".t-12a", ".t-1.before", "t-1", ".u-1", ".t-7", ".t-8-journal"}
			for _, file := range []string{".t-", ".t-12a", ".t-1.before", "t-1", ".u-1", ".t-1", ".t-1-journal", ".t-2-wal", ".t-8-journal"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(dir, ".t-2", "below"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("t-1", filepath.Join(dir, ".t-7")); err != nil {
				t.Fatal(err)
			}
			next, err := create(dir, ".t-")
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, filepath.Base(next.Name()))
			slices.Sort(kept)
			if got := names(t, dir); !slices.Equal(got, kept) {
				t.Errorf("the folder holds %q, want %q", got, kept)
			}
			// As when their process ends.
			alive.Close()
			next.Close()
			last, err := create(dir, ".t-")
			if err != nil {
				t.Fatal(err)
			}
			defer last.Close()
			if got := names(t, dir); len(got) != len(kept)-1 || !slices.Contains(got, filepath.Base(last.Name())) {
				t.Errorf("the folder holds %q", got)
			}
		})
	}
}

// Many at a time never take each other's for abandoned.
func TestTemporaryTogether(t *testing.T) {
	for name, create := range map[string]func(dir, prefix string) (*os.File, error){"file": durable.CreateTemp, "folder": durable.MkdirTemp} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var wait sync.WaitGroup
			for range 16 {
				wait.Go(func() {
					for range 30 {
						f, err := create(dir, ".t-")
						if err != nil {
							t.Error(err)
							return
						}
						if err := os.Rename(f.Name(), f.Name()+".done"); err != nil {
							t.Error(err)
						}
						f.Close()
					}
				})
			}
			wait.Wait()
			if got := names(t, dir); len(got) != 16*30 {
				t.Errorf("%d of them, want %d", len(got), 16*30)
			}
		})
	}
}

// A writer removes what killed writers of the same file left.
func TestWriteRemovesAbandoned(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.svg.123", ".b.svg.123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.WriteFile(filepath.Join(dir, "a.svg"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{".b.svg.123", "a.svg"}; !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}
