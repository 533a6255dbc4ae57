package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nb1shot/nb1shot/internal/durable"
)

func TestRename(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for path, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(durable.Sync(from), durable.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); string(got) != "new" || err != nil {
		t.Errorf("the file holds %q, %v; want \"new\"", got, err)
	}
	if err := durable.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renaming what is not there: %v", err)
	}
	if err := durable.Sync(from); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("syncing what is not there: %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figure.svg")
	for _, text := range []string{"old", "new"} {
		if err := durable.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := durable.WriteFile(filepath.Join(path, "below", "a file"), nil); err == nil {
		t.Error("wrote below a file")
	}
	folder := filepath.Join(filepath.Dir(path), "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(folder, []byte("x")); err == nil {
		t.Error("replaced a folder")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 2 {
		t.Errorf("left behind beside the file and the folder: %v", entries)
	}
}
