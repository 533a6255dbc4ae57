// Package fetch downloads files of known checksums, and continues where an
// interrupted transfer ended.
package fetch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ErrChecksum reports a file whose checksum is not the official one.
var ErrChecksum = errors.New("checksum mismatch")

// File is a file to fetch.
type File struct {
	Name, URL string
	// Sum is the checksum in lower-case hexadecimal digits, of the kind that Hash
	// makes and Kind names: "MD5", "SHA-256".
	Sum, Kind string
	Hash      func() hash.Hash
	// Size is in bytes; 0 where only the server knows.
	Size int64
	// Accept, unless nil, decides on a file of another checksum: nil where its
	// contents are right all the same, such as those of an archive that was packed
	// anew.
	Accept func(ctx context.Context, path string) error
	// Note, unless nil, is told what the user should know while it goes on.
	Note func(text string)

	pace *pace // nil means that of usual
}

// mostUnknown bounds a file of unknown size, and any that is there, in bytes.
const mostUnknown = 16 << 30

// Fetch downloads the file into the folder dir, which it makes where needed, and
// returns its path. A file that is there already is only checked. progress, unless
// nil, is called whenever bytes have arrived, with those there so far, earlier
// transfers included, and the size of the file.
//
// Bytes are collected in a file with ".part" added to the name, which survives an
// interruption, so that the next Fetch continues where this one ended if the
// server can. A server that cannot is asked for all of it, into a second file, and
// what had arrived stays until that is the better one. A transfer that breaks off or
// falls silent is taken up again, a few times in a row. Only a file with the right
// checksum, or that Accept accepts, gets the final name; anything else of full length
// is removed, and the error is an ErrChecksum. No error or note has the secrets of
// the URL.
func (f File) Fetch(ctx context.Context, dir string, progress func(done, total int64)) (string, error) {
	path := filepath.Join(dir, f.Name)
	switch err := f.check(ctx, path); {
	case err == nil:
		return path, nil
	case errors.Is(err, ErrChecksum):
		return "", fmt.Errorf("%w: remove it to fetch it again", err)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	t, err := f.open(path+".part", progress)
	if err != nil {
		return "", err
	}
	defer t.close()
	if err := t.complete(ctx); err != nil {
		return "", t.safe(err)
	}
	if err := f.check(ctx, t.part); err != nil {
		if errors.Is(err, ErrChecksum) {
			err = errors.Join(fmt.Errorf("%w: %s does not serve the official file, or an earlier transfer was damaged; it is removed, try again", err, safeURL(f.URL)), os.Remove(t.part))
		}
		return "", err
	}
	if err := durable.Rename(t.part, path); err != nil {
		return "", err
	}
	return path, nil
}

// check compares the checksum of what is at the path.
func (f File) check(ctx context.Context, path string) error {
	file, err := foreign.Open(ctx, path, mostUnknown)
	if err != nil {
		return err
	}
	defer file.Close()
	h := f.Hash()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	got := hex.EncodeToString(h.Sum(nil))
	if got == f.Sum {
		return nil
	}
	if f.Accept != nil && f.Accept(ctx, path) == nil {
		f.note(fmt.Sprintf("%s was packed anew (%s %s), and its contents are the official ones", path, f.Kind, got))
		return nil
	}
	return errors.Join(ctx.Err(), fmt.Errorf("%s: %w: %s %s, want %s", path, ErrChecksum, f.Kind, got, f.Sum))
}

func (f File) note(text string) {
	if f.Note != nil {
		f.Note(text)
	}
}
