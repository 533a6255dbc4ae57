package data

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Every form becomes the folder of binary batch files, bit for bit.
func TestImport(t *testing.T) {
	formats, files := smallFormats()
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			from, home := filepath.Join(dir, "from"), filepath.Join(dir, "new", "home")
			writeFolder(t, from, f, files)
			for range 2 { // what is there already is only checked
				to, err := importCIFAR(t.Context(), from, home, formats)
				if err != nil || to != filepath.Join(home, formats[0].folder) {
					t.Fatalf("%s, %v", to, err)
				}
				for _, file := range formats[0].files {
					if raw, err := os.ReadFile(filepath.Join(to, file.name)); err != nil || string(raw) != string(files[file.name]) {
						t.Errorf("%s: %d bytes, %v", file.name, len(raw), err)
					}
				}
			}
			if left, err := os.ReadDir(home); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// What is in the way stays, and what is wrong or interrupted leaves nothing.
func TestImportRefuses(t *testing.T) {
	formats, files := smallFormats()
	dir := t.TempDir()
	from, home := filepath.Join(dir, "from"), filepath.Join(dir, "home")
	writeFolder(t, from, formats[0], files)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if to, err := importCIFAR(ctx, from, home, formats); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %q, %v", to, err)
	}
	if _, err := Import(t.Context(), from, home); !errors.Is(err, ErrChecksum) { // made up
		t.Errorf("other images: %v", err)
	}
	if left, _ := os.ReadDir(home); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	there := filepath.Join(home, formats[0].folder, formats[0].files[0].name)
	if err := os.MkdirAll(filepath.Dir(there), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := importCIFAR(t.Context(), from, home, formats); !errors.Is(err, ErrPresent) {
		t.Errorf("taken place: %v", err)
	}
	if raw, err := os.ReadFile(there); err != nil || string(raw) != "mine" {
		t.Errorf("%q, %v", raw, err)
	}
}
