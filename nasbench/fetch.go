package nasbench

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/nb1shot/nb1shot/internal/fetch"
)

// ErrChecksum reports a downloaded file that is not the published one.
var ErrChecksum = fetch.ErrChecksum

// site is where NAS-Bench-101's authors published their files.
const site = "https://storage.googleapis.com/nasbench/"

// publishedFile is the full one of their files, or that of 108 epochs alone.
func publishedFile(full bool) fetch.File {
	f := fetch.File{Name: "nasbench_only108.tfrecord", Sum: sumOnly108, Kind: "SHA-256", Hash: sha256.New}
	if full {
		f.Name, f.Sum = "nasbench_full.tfrecord", sumFull
	}
	f.URL = site + f.Name
	return f
}

// FetchOptions changes how Fetch goes about it. The zero value is fine.
type FetchOptions struct {
	// Full asks for the file of all four budgets (1.95 GB) instead of that of 108
	// epochs alone (499 MB).
	Full bool
	// URL is that of a mirror of the file; empty means the authors' site.
	URL string
	// Progress, unless nil, is called whenever bytes have arrived, with those
	// there so far, earlier transfers included, and the size of the file.
	Progress func(done, total int64)
	// Note, unless nil, is told what the user should know while it goes on, such as
	// that the server cannot resume.
	Note func(text string)
}

// Fetch downloads a published file of NAS-Bench-101 into the folder dir, which it
// makes where needed, and returns its path, for Import. What has arrived is kept
// when a transfer is interrupted, and the next Fetch continues. A file that is
// there already is only checked; one with another SHA-256 is an ErrChecksum.
func Fetch(ctx context.Context, dir string, opts FetchOptions) (string, error) {
	f := publishedFile(opts.Full)
	if opts.URL != "" {
		f.URL = opts.URL
	}
	f.Note = opts.Note
	path, err := f.Fetch(ctx, dir, opts.Progress)
	if err != nil {
		return "", fmt.Errorf("fetch NAS-Bench-101: %w", err)
	}
	return path, nil
}
