// Package foreign opens files that somebody else made. Nothing but a regular file
// is opened, so that no pipe or device can keep the program waiting; nothing is
// read beyond the bound that the format's document states; and what a file is
// that was not expected is told by its first bytes.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrNotRegular reports a directory, pipe, socket or device in place of a file.
	ErrNotRegular = errors.New("want a regular file")
	// ErrTooLarge reports content beyond its bound.
	ErrTooLarge = errors.New("too large")
)

// File is a regular file that is open for reading, up to a bound.
type File struct {
	file *os.File
	ctx  context.Context
	info fs.FileInfo
	path string
	max  int64
	left int64 // of max
}

// Open opens the regular file at path, links followed, for reading at most max
// bytes of it, until ctx is done. The errors are *fs.PathError around
// ErrNotRegular, ErrTooLarge, that of ctx, or the system's.
func Open(ctx context.Context, path string, max int64) (*File, error) {
	// Before it is opened, since opening alone does something to some devices.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	// What took its place since then must not block either.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = checkRegular(info)
	}
	if err == nil && info.Size() > max {
		err = tooLarge(info.Size(), max)
	}
	if err != nil {
		file.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &File{file, ctx, info, path, max, max}, nil
}

// Read reads on. It fails once ctx is done, and where the file has grown beyond
// its bound.
func (f *File) Read(p []byte) (int, error) {
	err := f.ctx.Err()
	if err == nil {
		var n int
		n, err = f.file.Read(p[:min(int64(len(p)), f.left+1)])
		if f.left -= int64(n); f.left >= 0 {
			return n, err
		}
		err = tooLarge(f.max+1, f.max)
	}
	return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
}

// Stat describes the file as it was when it was opened.
func (f *File) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// ReadFile returns the content of the regular file at path, of at most max bytes.
func ReadFile(path string, max int64) ([]byte, error) {
	f, err := Open(context.Background(), path, max)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadAll returns all that is left in r, at most max bytes: of a file within
// another, as in an archive, or of one that was compressed. Beyond that the error
// is ErrTooLarge.
func ReadAll(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(data)) > max {
		err = tooLarge(max+1, max)
	}
	return data, err
}

// Dir is a folder whose files are opened as Open does, without a bound.
type Dir string

// Open opens a file of the folder.
func (d Dir) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	const unbounded = 1<<63 - 2
	return Open(context.Background(), filepath.Join(string(d), filepath.FromSlash(name)), unbounded)
}

// ReadFS returns the content of a file in fsys, of at most max bytes.
func ReadFS(fsys fs.FS, name string, max int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = checkRegular(info)
	}
	if err == nil && info.Size() > max {
		err = tooLarge(info.Size(), max)
	}
	var data []byte
	if err == nil {
		data, err = ReadAll(f, max)
	}
	if err == nil {
		return data, nil
	}
	if known := (*fs.PathError)(nil); errors.As(err, &known) {
		return nil, err
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: err}
}

func checkRegular(info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s: %w", special(info.Mode()), ErrNotRegular)
}

// special names what is no regular file.
func special(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

func tooLarge(size, max int64) error {
	return fmt.Errorf("%w: %s, want at most %s", ErrTooLarge, bytesText(size), bytesText(max))
}

// bytesText gives a number of bytes, in MiB where that is exact enough.
func bytesText(n int64) string {
	const mebi = 1 << 20
	if n >= mebi && (n%mebi == 0 || n >= 100*mebi) {
		return fmt.Sprintf("%d MiB", (n+mebi-1)/mebi)
	}
	return fmt.Sprintf("%d bytes", n)
}
