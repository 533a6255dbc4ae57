package data

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Every form of CIFAR-10 becomes the folder of binary batch files, bit for bit; of the
// others folders stay folders and archives archives.
func TestImport(t *testing.T) {
	all := smallCollections()
	for _, c := range all {
		for _, f := range c.formats {
			for _, archived := range []bool{false, true} {
				if archived && f.archive == "" {
					continue
				}
				t.Run(fmt.Sprint(c.kind, " ", f.name, " archived: ", archived), func(t *testing.T) {
					dir := t.TempDir()
					from, home := filepath.Join(dir, "from"), filepath.Join(dir, "new", "home")
					packed := pack(batchEntries(f, c.content))
					if archived {
						if err := os.WriteFile(from, packed, 0o666); err != nil {
							t.Fatal(err)
						}
					} else {
						writeFolder(t, from, f, c.content)
					}
					want, files := f.folder, f.files
					switch {
					case c.kind == KindCIFAR10:
						want, files = c.formats[0].folder, c.formats[0].files
					case archived:
						want, files = f.archive, nil
					}
					for range 2 { // what is there already is only checked
						to, title, err := importFrom(t.Context(), from, home, plain(all))
						if err != nil || to != filepath.Join(home, want) || title != c.title {
							t.Fatalf("%s, %s, %v", to, title, err)
						}
						for _, file := range files {
							if raw, err := os.ReadFile(filepath.Join(to, file.name)); err != nil || string(raw) != string(c.content[file.name]) {
								t.Errorf("%s: %d bytes, %v", file.name, len(raw), err)
							}
						}
						if raw, err := os.ReadFile(to); files == nil && (err != nil || string(raw) != string(packed)) {
							t.Errorf("%s: %d bytes, %v", to, len(raw), err)
						}
						p, _, err := open(t.Context(), home, plain(all))
						if err != nil {
							t.Fatal(err)
						}
						c.check(t, p)
					}
					if left, err := os.ReadDir(home); err != nil || len(left) != 1 {
						t.Errorf("left behind: %v, %v", left, err)
					}
				})
			}
		}
	}
}

// What is in the way stays, and what is wrong or interrupted leaves nothing.
func TestImportRefuses(t *testing.T) {
	all := smallCollections()
	for _, c := range all {
		t.Run(c.kind, func(t *testing.T) {
			f := c.formats[len(c.formats)-1] // whose files have checksums
			dir := t.TempDir()
			from, home := filepath.Join(dir, "from"), filepath.Join(dir, "home")
			writeFolder(t, from, f, c.content)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if to, _, err := importFrom(ctx, from, home, plain(all)); !errors.Is(err, context.Canceled) {
				t.Errorf("interrupted: %q, %v", to, err)
			}
			if _, err := Import(t.Context(), from, home); !errors.Is(err, ErrChecksum) { // made up
				t.Errorf("other images: %v", err)
			}
			if left, _ := os.ReadDir(home); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if c.kind == KindCIFAR10 {
				f = c.formats[0]
			}
			there := filepath.Join(home, f.folder, f.files[0].name)
			if err := os.MkdirAll(filepath.Dir(there), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(there, []byte("mine"), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, _, err := importFrom(t.Context(), from, home, plain(all)); !errors.Is(err, ErrPresent) {
				t.Errorf("taken place: %v", err)
			}
			if raw, err := os.ReadFile(there); err != nil || string(raw) != "mine" {
				t.Errorf("%q, %v", raw, err)
			}
		})
	}
}
