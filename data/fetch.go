package data

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/nb1shot/nb1shot/internal/durable"
)

// archive is a file to fetch.
type archive struct {
	name, url, md5 string
	size           int64 // in bytes
}

// officialArchive is the binary form of CIFAR-10.
var officialArchive = archive{
	name: "cifar-10-binary.tar.gz",
	url:  "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
	md5:  "c32a1d4ab5d03f1284b67883e8d87530",
	size: 170052171,
}

// FetchOptions changes how Fetch goes about it. The zero value is fine.
type FetchOptions struct {
	// URL is that of a mirror of the archive; empty means the official site.
	URL string
	// Progress, unless nil, is called whenever bytes have arrived, with those
	// there so far, earlier transfers included, and the size of the archive.
	Progress func(done, total int64)
}

// Fetch downloads the official binary archive of CIFAR-10 (170 MB) into the
// folder dir, which it makes where needed, and returns its path, for OpenCIFAR10.
// An archive that is there already is only checked.
//
// Bytes are collected in a file named like the archive with ".part" added, which
// survives an interruption, so that the next Fetch continues where this one
// ended if the server can. Only an archive with the official checksum gets the
// final name; anything else is removed, and the error is an ErrChecksum.
func Fetch(ctx context.Context, dir string, opts FetchOptions) (string, error) {
	a := officialArchive
	if opts.URL != "" {
		a.url = opts.URL
	}
	path, err := a.fetch(ctx, dir, opts.Progress)
	if err != nil {
		return "", fmt.Errorf("fetch CIFAR-10: %w", err)
	}
	return path, nil
}

func (a archive) fetch(ctx context.Context, dir string, progress func(done, total int64)) (string, error) {
	path := filepath.Join(dir, a.name)
	switch err := a.check(path); {
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
	if err := a.download(ctx, part, progress); err != nil {
		return "", err
	}
	if err := a.check(part); err != nil {
		if errors.Is(err, ErrChecksum) {
			err = errors.Join(fmt.Errorf("%w: %s does not serve the official archive, or an earlier transfer was damaged; it is removed, try again", err, a.url), os.Remove(part))
		}
		return "", err
	}
	if err := durable.Rename(part, path); err != nil {
		return "", err
	}
	return path, nil
}

// check compares a file's MD5 sum with the archive's.
func (a archive) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != a.md5 {
		return fmt.Errorf("%s: %w: MD5 %s, want %s", path, ErrChecksum, got, a.md5)
	}
	return nil
}

// download adds to the file part what it lacks of the archive. It leaves the
// file as it is when the transfer breaks off.
func (a archive) download(ctx context.Context, part string, progress func(done, total int64)) (err error) {
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	done, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	// The archive's own compression is not the transport's to undo.
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
			return fmt.Errorf("%s answered with range %q to a request from byte %d on: remove %s to start over", a.url, got, done, part)
		}
	case http.StatusOK: // all of it, even if a range was asked for
		if done > 0 {
			if err := f.Truncate(0); err != nil {
				return err
			}
			if done, err = f.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s answered %s: try again later or give the URL of a mirror", a.url, response.Status)
	}
	w := &progressWriter{w: f, done: done, total: a.size, report: progress}
	// More than the archive's size would be another file: one byte more tells.
	if _, err := io.Copy(w, io.LimitReader(response.Body, a.size-done+1)); err != nil {
		return fmt.Errorf("transfer ended after %d of %d bytes, fetch again to continue: %w", w.done, a.size, err)
	}
	return f.Sync()
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
