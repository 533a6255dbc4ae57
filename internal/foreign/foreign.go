// Package foreign opens files that somebody else made. Nothing but a regular file
// is opened, so that no pipe or device can keep the program waiting; nothing is
// read beyond the bound that the format's document states; and an unexpected file is
// identified by its first bytes.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
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
	ctx  context.Context
	file *os.File
	info fs.FileInfo
	read io.Reader // file, up to the bound
}

// Open opens the regular file at path, links followed, for reading at most max
// bytes of it, until ctx is done. The errors are *fs.PathError around
// ErrNotRegular, ErrTooLarge, that of ctx, or the system's.
func Open(ctx context.Context, path string, max int64) (*File, error) {
	file, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = checkSize(info, max)
	}
	if err != nil {
		file.Close()
		return nil, pathError("open", path, err)
	}
	return &File{ctx, file, info, Limit(file, max)}, nil
}

// OpenFile is os.OpenFile for what may only be a regular file, links followed, or
// nothing: of a file that is written too, or whose bound is the caller's affair.
func OpenFile(path string, flag int, perm fs.FileMode) (*os.File, error) {
	// Before it is opened, since opening alone does something to some devices.
	switch info, err := os.Stat(path); {
	case err == nil:
		if err := checkRegular(info); err != nil {
			return nil, pathError("open", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// What took its place since then must not block either.
	file, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, perm)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = checkRegular(info)
	}
	if err != nil {
		file.Close()
		return nil, pathError("open", path, err)
	}
	return file, nil
}

// Read reads on. It fails once the context is done, and where the file has grown
// beyond its bound.
func (f *File) Read(p []byte) (int, error) {
	err := f.ctx.Err()
	if err == nil {
		var n int
		if n, err = f.read.Read(p); err == nil || err == io.EOF {
			return n, err
		}
	}
	return 0, pathError("read", f.file.Name(), err)
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

// ReadAll returns all that is left in r, at most max bytes; see Limit.
func ReadAll(r io.Reader, max int64) ([]byte, error) { return io.ReadAll(Limit(r, max)) }

// Limit reads from r, and fails with ErrTooLarge beyond max bytes: of a file within
// another, as in an archive, or of one that was compressed.
func Limit(r io.Reader, max int64) io.Reader { return &limited{r, max, max} }

type limited struct {
	r         io.Reader
	max, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < int64(len(p)) { // else a byte more tells whether that was all
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		l.left = 0
		return 0, fmt.Errorf("%w: more than %s", ErrTooLarge, bytesText(l.max))
	}
	return n, err
}

// Dir is a folder whose files are opened as Open does, without a bound.
type Dir string

// Open opens a file of the folder.
func (d Dir) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return Open(context.Background(), filepath.Join(string(d), filepath.FromSlash(name)), unbounded)
}

// ReadFS returns the content of a file in fsys, of at most max bytes.
func ReadFS(fsys fs.FS, name string, max int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if file, ok := f.(*File); ok {
		name = file.file.Name()
	}
	info, err := f.Stat()
	if err == nil {
		err = checkRegular(info)
	}
	if err == nil {
		err = checkSize(info, max)
	}
	var data []byte
	if err == nil {
		data, err = ReadAll(f, max)
	}
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return data, nil
}

// unbounded is a bound that no file reaches.
const unbounded = math.MaxInt64

// pathError says of which file an error is, unless it does itself.
func pathError(op, path string, err error) error {
	if known := (*fs.PathError)(nil); errors.As(err, &known) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
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

func checkSize(info fs.FileInfo, max int64) error {
	if info.Size() <= max {
		return nil
	}
	return fmt.Errorf("%w: %s, want at most %s", ErrTooLarge, bytesText(info.Size()), bytesText(max))
}

// bytesText gives a number of bytes, in MiB where that is exact enough.
func bytesText(n int64) string {
	const mebi = 1 << 20
	if n >= mebi && (n%mebi == 0 || n >= 100*mebi) {
		return fmt.Sprintf("%d MiB", (n+mebi-1)/mebi)
	}
	return fmt.Sprintf("%d bytes", n)
}
