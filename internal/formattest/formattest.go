// Package formattest is the suite that the reader of every format on disk passes.
package formattest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/random"
)

// Format is a format on disk.
type Format struct {
	Document string // where it is described, such as "docs/checkpoint.md"; for the reader of the test
	Sample   []byte // a file
	// Read reads a file; nil means that it was taken.
	Read func(file []byte) error
	// Version is the text in Sample that states the version of the format, Other one
	// that states another version. Reading that must fail with an error that holds
	// all of Says. Version is empty where another file states it.
	Version, Other string
	Says           []string
	// Sealed says that the file has a checksum over all its bytes, so that no bit
	// can flip unseen.
	Sealed bool
	// Open says that a file may end at some places within the sample, as one that is
	// appended to does.
	Open bool
}

// attempts is how many files of a size are tried with a wrong bit, and how
// many cut short: fewer of large ones, which take their time.
func attempts(size int) int { return max(min(2000, 100_000_000/size), 100) }

// Conform checks that the reader takes the sample and refuses another version with
// a message that says so, nothing at all, and the sample cut short, continued or
// with a wrong bit, without a panic.
func Conform(t *testing.T, f Format) {
	t.Helper()
	if err := f.Read(f.Sample); err != nil {
		t.Fatalf("the sample is refused: %v", err)
	}
	t.Run("version", func(t *testing.T) {
		if f.Version == "" {
			return
		}
		other := bytes.Replace(f.Sample, []byte(f.Version), []byte(f.Other), 1)
		if bytes.Equal(other, f.Sample) {
			t.Fatalf("%q is not in the sample", f.Version)
		}
		err := f.Read(other)
		if err == nil {
			t.Fatal("another version is read as this one")
		}
		for _, part := range f.Says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}
	})
	t.Run("truncation", func(t *testing.T) {
		end := bytes.TrimRight(f.Sample, "\n") // whether a text ends with a line end is no matter
		step := 1 + len(end)/attempts(len(end))
		for n := 0; n < len(end); n += step {
			if err := f.Read(end[:n:n]); err == nil && (n == 0 || !f.Open) {
				t.Fatalf("%d of %d bytes are read as a whole file", n, len(f.Sample))
			}
		}
	})
	t.Run("continuation", func(t *testing.T) {
		if err := f.Read(append(bytes.Clone(f.Sample), "more"...)); err == nil && !f.Open {
			t.Error("what follows the file goes unseen")
		}
	})
	t.Run("bit flips", func(t *testing.T) {
		file := bytes.Clone(f.Sample)
		r := random.New(1, "bit flips")
		unseen, flips := 0, attempts(len(file))
		for range flips {
			bit := r.IntN(8 * len(file))
			file[bit/8] ^= 1 << (bit % 8)
			if f.Read(file) == nil {
				unseen++
			}
			file[bit/8] ^= 1 << (bit % 8)
		}
		if f.Sealed && unseen > 0 || unseen == flips {
			t.Errorf("%d of %d wrong bits went unseen", unseen, flips)
		}
		if err := f.Read(file); err != nil {
			t.Errorf("the sample does not come through: %v", err)
		}
	})
}
