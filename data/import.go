package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ErrPresent reports that the place of an import is taken by something that is not
// the data set.
var ErrPresent = errors.New("something else is there")

// Import copies a data set from any of the forms that Open reads into the folder dir,
// which it makes where needed, and returns the path of the copy. CIFAR-10 becomes the
// folder cifar-10-batches-bin of binary batch files (184 MB), whatever form it had. Of the
// others the official files are copied as they are: a folder becomes the folder
// cifar-100-binary, cifar-100-python or svhn, and an archive of CIFAR-100, whose checksum
// may be all that vouches for it, the archive cifar-100-binary.tar.gz or
// cifar-100-python.tar.gz. What is there already is only checked: if its content is not
// the data set, the error is an ErrPresent. After an interruption there is all of it or
// nothing.
func Import(ctx context.Context, path, dir string) (string, error) {
	to, title, err := importFrom(ctx, path, dir, collections)
	if err != nil {
		return "", fmt.Errorf("import %s: %w", title, err)
	}
	return to, nil
}

func importFrom(ctx context.Context, path, dir string, among []collection) (to, title string, err error) {
	from, err := locate(path, among)
	if err != nil {
		return "", place{among: among}.title(), err
	}
	a, err := from.assemble(ctx)
	if err != nil {
		return "", from.title(), err
	}
	to, err = a.copyTo(ctx, from, dir)
	return to, a.of.title, err
}

// copyTo copies what was assembled from a place into a folder.
func (a *assembly) copyTo(ctx context.Context, from place, dir string) (string, error) {
	f := a.format
	if a.of.kind == KindCIFAR10 {
		f = a.of.formats[0] // the binary form
	}
	asArchive := from.archive && a.of.kind != KindCIFAR10
	target := filepath.Join(dir, f.folder)
	if asArchive {
		target = filepath.Join(dir, f.archive)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		if _, err := (place{target, []collection{a.of}, f, asArchive}).assemble(ctx); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", fmt.Errorf("%s: %w: %w", target, ErrPresent, err)
		}
		return target, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	temp, err := durable.MkdirTemp(dir, "."+filepath.Base(target)+".")
	if err != nil {
		return "", err
	}
	defer temp.Close()
	defer os.RemoveAll(temp.Name()) // unless it was renamed
	ready := temp.Name()
	switch {
	case asArchive:
		ready = filepath.Join(ready, f.archive)
		err = copyFile(ctx, from.path, ready)
	case a.of.kind == KindCIFAR10:
		err = a.writeBinary(ctx, ready, f.files)
	default:
		err = copyFiles(ctx, from.path, ready, f.files)
	}
	if err == nil && !asArchive {
		err = temp.Chmod(0o755)
	}
	if err == nil {
		err = durable.Rename(ready, target)
	}
	if err != nil {
		return "", err
	}
	return target, nil
}

// writeBinary writes batch files of the binary form of CIFAR-10.
func (a *assembly) writeBinary(ctx context.Context, dir string, files []imageFile) error {
	next := 0
	for _, file := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		raw := make([]byte, 0, file.images*(1+imageBytes))
		for i := next; i < next+file.images; i++ {
			raw = append(raw, a.labels[i])
			raw = append(raw, a.pixels[i*imageBytes:(i+1)*imageBytes]...)
		}
		if err := durable.WriteFile(filepath.Join(dir, file.name), raw); err != nil {
			return err
		}
		next += file.images
	}
	return nil
}

// copyFiles copies files of one folder into another.
func copyFiles(ctx context.Context, from, to string, files []imageFile) error {
	for _, file := range files {
		if err := copyFile(ctx, filepath.Join(from, file.name), filepath.Join(to, file.name)); err != nil {
			return err
		}
	}
	return durable.Sync(to)
}

// copyFile copies a file that was read before to where none is, and to the disk.
func copyFile(ctx context.Context, from, to string) error {
	r, err := foreign.Open(ctx, from, maxArchive)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}
