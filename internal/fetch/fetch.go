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
	"net/http"
	"os"
	"path/filepath"
	"strings"

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
// server can. Only a file with the right checksum gets the final name; anything
// else is removed, and the error is an ErrChecksum.
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
	part := path + ".part"
	if err := f.download(ctx, part, progress); err != nil {
		return "", err
	}
	if err := f.check(ctx, part); err != nil {
		if errors.Is(err, ErrChecksum) {
			err = errors.Join(fmt.Errorf("%w: %s does not serve the official file, or an earlier transfer was damaged; it is removed, try again", err, f.URL), os.Remove(part))
		}
		return "", err
	}
	if err := durable.Rename(part, path); err != nil {
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
	if got := hex.EncodeToString(h.Sum(nil)); got != f.Sum {
		return fmt.Errorf("%s: %w: %s %s, want %s", path, ErrChecksum, f.Kind, got, f.Sum)
	}
	return nil
}

// download adds to the file part what it lacks. It leaves the
// file as it is when the transfer breaks off.
func (f File) download(ctx context.Context, part string, progress func(done, total int64)) (err error) {
	file, err := foreign.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	done, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return err
	}
	// The file's own compression is not the transport's to undo.
	request.Header.Set("Accept-Encoding", "identity")
	if done > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", done))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		return nil // nothing is lacking, or the file is wrong: its checksum tells
	case http.StatusPartialContent:
		if got := response.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", done)) {
			return fmt.Errorf("%s answered with range %q to a request from byte %d on: remove %s to start over", f.URL, got, done, part)
		}
	case http.StatusOK: // all of it, even if a range was asked for
		if done > 0 {
			if err := file.Truncate(0); err != nil {
				return err
			}
			if done, err = file.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s answered %s: try again later or give the URL of a mirror", f.URL, response.Status)
	}
	total, most := f.Size, f.Size
	if f.Size == 0 {
		most = mostUnknown
		if response.ContentLength >= 0 {
			total = done + response.ContentLength
		}
	}
	w := &progressWriter{w: file, done: done, total: total, report: progress}
	// More than the file's size would be another file: one byte more tells.
	if _, err := io.Copy(w, io.LimitReader(response.Body, most-done+1)); err != nil {
		return fmt.Errorf("transfer ended after %d of %d bytes, fetch again to continue: %w", w.done, total, err)
	}
	return file.Sync()
}

// progressWriter counts and reports what passes through it.
type progressWriter struct {
	w           io.Writer
	done, total int64
	report      func(done, total int64)
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.done += int64(n)
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return n, err
}
