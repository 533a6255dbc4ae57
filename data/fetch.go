package data

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/fetch"
)

// The official files that are fetched: the binary forms of CIFAR-10 and CIFAR-100, and
// the two files of SVHN.
var (
	officialCIFAR10 = fetch.File{
		Name: "cifar-10-binary.tar.gz",
		URL:  "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
		Sum:  "c32a1d4ab5d03f1284b67883e8d87530", Kind: "MD5", Hash: md5.New,
		Size: 170052171,
	}
	officialCIFAR100 = fetch.File{
		Name: "cifar-100-binary.tar.gz",
		URL:  "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
		Sum:  "03b5dce01913d631647c71ecec9e9cb8", Kind: "MD5", Hash: md5.New,
		Size: 168513733,
	}
	officialSVHN = [2]fetch.File{
		{
			Name: "train_32x32.mat",
			URL:  "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
			Sum:  "e26dedcc434d2e4c54c9b2d4a06d8373", Kind: "MD5", Hash: md5.New,
			Size: 182040794,
		},
		{
			Name: "test_32x32.mat",
			URL:  "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
			Sum:  "eb5a983be6a315427106f1b164d9cef3", Kind: "MD5", Hash: md5.New,
			Size: 64275384,
		},
	}
)

// FetchOptions changes how Fetch goes about it. The zero value is fine.
type FetchOptions struct {
	// URL is that of a mirror of the archive, or for SVHN of the folder of its two
	// files; empty means the official site.
	URL string
	// Progress, unless nil, is called whenever bytes have arrived, with those
	// there so far, earlier transfers included, and how many there are in all.
	Progress func(done, total int64)
	// Note, unless nil, is told what the user should know while it goes on, such as
	// that the server cannot resume.
	Note func(text string)
}

// Fetch downloads the data set of a kind into the folder dir, which it makes where
// needed, and returns a path for Open: of the official binary archive of CIFAR-10 (170 MB)
// or CIFAR-100 (169 MB), or of the folder svhn in dir with the two files of SVHN (246 MB).
// What is there already is only checked.
//
// Bytes are collected in a file named like the official one with ".part" added, which
// survives an interruption, so that the next Fetch continues where this one
// ended if the server can. Only a file with the official checksum, or an archive of files
// with the official ones, gets the final name; anything else is removed, and the error
// is an ErrChecksum.
func Fetch(ctx context.Context, dir, kind string, opts FetchOptions) (string, error) {
	path, err := "", errors.New("want one of those that Open reads")
	switch kind {
	case KindCIFAR10:
		path, err = fetchArchive(ctx, dir, opts, officialCIFAR10, cifar10)
	case KindCIFAR100:
		path, err = fetchArchive(ctx, dir, opts, officialCIFAR100, cifar100)
	case KindSVHN:
		path = filepath.Join(dir, svhn.formats[0].folder)
		err = fetchFiles(ctx, path, opts, officialSVHN[:])
	}
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", Title(kind), err)
	}
	return path, nil
}

// fetchArchive fetches the archive of a data set, or another one with the same files.
func fetchArchive(ctx context.Context, dir string, opts FetchOptions, f fetch.File, c collection) (string, error) {
	if opts.URL != "" {
		f.URL = opts.URL
	}
	f.Note = opts.Note
	f.Accept = func(ctx context.Context, path string) error {
		p, _, err := open(ctx, path, []collection{c})
		if err == nil && !p.official {
			err = fmt.Errorf("%s: %w: no official checksum covers its files", path, ErrChecksum)
		}
		return err
	}
	return f.Fetch(ctx, dir, opts.Progress)
}

// fetchFiles fetches all files into a folder.
func fetchFiles(ctx context.Context, dir string, opts FetchOptions, files []fetch.File) error {
	var before, total int64
	for _, f := range files {
		total += f.Size
	}
	for _, f := range files {
		if opts.URL != "" {
			mirror, err := url.Parse(opts.URL)
			if err != nil { // whose text would tell the secrets of the URL
				return errors.New("the URL of the mirror is none: want that of the folder of its files")
			}
			f.URL = mirror.JoinPath(f.Name).String()
		}
		f.Note = opts.Note
		_, err := f.Fetch(ctx, dir, func(done, _ int64) {
			if opts.Progress != nil {
				opts.Progress(before+done, total)
			}
		})
		if err != nil {
			return err
		}
		before += f.Size
	}
	return nil
}
