package data

import (
	"context"
	"crypto/md5"
	"fmt"

	"github.com/nb1shot/nb1shot/internal/fetch"
)

// officialArchive is the binary form of CIFAR-10.
var officialArchive = fetch.File{
	Name: "cifar-10-binary.tar.gz",
	URL:  "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
	Sum:  "c32a1d4ab5d03f1284b67883e8d87530", Kind: "MD5", Hash: md5.New,
	Size: 170052171,
}

// FetchOptions changes how Fetch goes about it. The zero value is fine.
type FetchOptions struct {
	// URL is that of a mirror of the archive; empty means the official site.
	URL string
	// Progress, unless nil, is called whenever bytes have arrived, with those
	// there so far, earlier transfers included, and the size of the archive.
	Progress func(done, total int64)
	// Note, unless nil, is told what the user should know while it goes on, such as
	// that the server cannot resume.
	Note func(text string)
}

// Fetch downloads the official binary archive of CIFAR-10 (170 MB) into the
// folder dir, which it makes where needed, and returns its path, for OpenCIFAR10.
// An archive that is there already is only checked.
//
// Bytes are collected in a file named like the archive with ".part" added, which
// survives an interruption, so that the next Fetch continues where this one
// ended if the server can. Only an archive with the official checksum, or with batches
// of the official ones, gets the final name; anything else is removed, and the error
// is an ErrChecksum.
func Fetch(ctx context.Context, dir string, opts FetchOptions) (string, error) {
	return fetchAs(ctx, dir, opts, officialArchive, cifarFormats)
}

// fetchAs fetches an archive, or another one of batches in these formats.
func fetchAs(ctx context.Context, dir string, opts FetchOptions, f fetch.File, formats []format) (string, error) {
	if opts.URL != "" {
		f.URL = opts.URL
	}
	f.Note = opts.Note
	f.Accept = func(ctx context.Context, path string) error {
		_, err := openCIFAR(ctx, path, formats)
		return err
	}
	path, err := f.Fetch(ctx, dir, opts.Progress)
	if err != nil {
		return "", fmt.Errorf("fetch CIFAR-10: %w", err)
	}
	return path, nil
}
