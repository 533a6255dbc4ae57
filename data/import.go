package data

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
)

// ErrPresent reports that the place of an import is taken by something that is not
// CIFAR-10.
var ErrPresent = errors.New("something else is there")

// Import copies CIFAR-10 from any of the forms that OpenCIFAR10 reads into the folder
// dir, which it makes where needed, as the folder cifar-10-batches-bin of binary batch
// files (184 MB), and returns that folder's path. One that is there already is only
// checked: if its content is not CIFAR-10, the error is an ErrPresent. After an interruption
// there is all of it or nothing.
func Import(ctx context.Context, path, dir string) (string, error) {
	to, err := importCIFAR(ctx, path, dir, cifarFormats)
	if err != nil {
		return "", fmt.Errorf("import CIFAR-10: %w", err)
	}
	return to, nil
}

func importCIFAR(ctx context.Context, path, dir string, formats []format) (string, error) {
	c, err := openCIFAR(ctx, path, formats)
	if err != nil {
		return "", err
	}
	binary := formats[0]
	to := filepath.Join(dir, binary.folder)
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if _, err := readFolder(ctx, to, binary); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", fmt.Errorf("%s: %w: %w", to, ErrPresent, err)
		}
		return to, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	temp, err := durable.MkdirTemp(dir, "."+binary.folder+".")
	if err != nil {
		return "", err
	}
	defer temp.Close()
	fail := func(err error) (string, error) {
		os.RemoveAll(temp.Name())
		return "", err
	}
	for i, file := range binary.files {
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
		set, first := c.Train, i*binary.images
		if i == testBatch {
			set, first = c.Test, 0
		}
		var raw []byte
		for k := first; k < first+binary.images; k++ {
			raw = append(raw, set.Labels[k])
			raw = append(raw, set.Images[k*cifarPixels:(k+1)*cifarPixels]...)
		}
		if err := durable.WriteFile(filepath.Join(temp.Name(), file.name), raw); err != nil {
			return fail(err)
		}
	}
	if err := temp.Chmod(0o755); err != nil {
		return fail(err)
	}
	if err := durable.Rename(temp.Name(), to); err != nil {
		return fail(err)
	}
	return to, nil
}
