package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/fetch"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ErrChecksum marks a file whose content is not the official one.
var ErrChecksum = fetch.ErrChecksum

// CIFAR is CIFAR-10 in its official order (A. Krizhevsky, Learning Multiple
// Layers of Features from Tiny Images, 2009).
type CIFAR struct {
	Train *Set // 50,000 images: data batches 1 to 5
	Test  *Set // 10,000 images: the test batch
}

const (
	cifarSide   = 32
	cifarPixels = 3 * cifarSide * cifarSide
	cifarBatch  = 10000 // images of a batch file
	testBatch   = 5     // index of the test batch among the batch files
)

// maxArchive bounds an archive, compressed and unpacked, in bytes: five times the
// official ones, as they may have been packed anew with more in them.
const maxArchive = 1 << 30

// batchFile is one of the files that hold the images, and its official MD5 sum.
type batchFile struct{ name, md5 string }

// format is one of the official forms of the data.
type format struct {
	name    string // for people
	archive string // name of the compressed tar file
	folder  string // name of the folder in it
	files   [6]batchFile
	images  int   // per file
	maxSize int64 // bound on the size of a file, in bytes
	// decode fills the images and labels of one file. The lengths of its
	// arguments say how many images are expected.
	decode func(raw, images, labels []uint8) error
}

var cifarFormats = []format{
	{
		name:    "binary",
		archive: officialArchive.Name,
		folder:  "cifar-10-batches-bin",
		files: [6]batchFile{
			{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
			{"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
			{"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
			{"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
			{"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"},
			{"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"},
		},
		images:  cifarBatch,
		maxSize: cifarBatch * (1 + cifarPixels),
		decode:  decodeBinary,
	},
	{
		name:    "Python",
		archive: "cifar-10-python.tar.gz",
		folder:  "cifar-10-batches-py",
		files: [6]batchFile{
			{"data_batch_1", "c99cafc152244af753f735de768cd75f"},
			{"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"},
			{"data_batch_3", "54ebc095f3ab1f0389bbae665268c751"},
			{"data_batch_4", "634d18415352ddfa80567beed471001a"},
			{"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"},
			{"test_batch", "40351d587109b95175f43aff81a1287e"},
		},
		images:  cifarBatch,
		maxSize: 32 << 20,
		decode:  decodePython,
	},
}

// OpenCIFAR10 reads CIFAR-10 from the official binary or Python archive
// (cifar-10-binary.tar.gz, cifar-10-python.tar.gz), from a folder unpacked from
// one (cifar-10-batches-bin, cifar-10-batches-py), or from a folder that holds
// any of these. The MD5 sum of each batch file must be the official one, or the
// error is an ErrChecksum; the archive itself may have been packed anew. It ends
// with the error of ctx once that is done.
func OpenCIFAR10(ctx context.Context, path string) (*CIFAR, error) {
	c, err := openCIFAR(ctx, path, cifarFormats)
	if err != nil {
		return nil, fmt.Errorf("open CIFAR-10: %w", err)
	}
	return c, nil
}

func openCIFAR(ctx context.Context, path string, formats []format) (*CIFAR, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return openArchive(ctx, path, formats)
	}
	for _, f := range formats {
		for _, dir := range []string{path, filepath.Join(path, f.folder)} {
			if exists(filepath.Join(dir, f.files[0].name)) {
				return readFolder(ctx, dir, f)
			}
		}
	}
	for _, f := range formats {
		if archive := filepath.Join(path, f.archive); exists(archive) {
			return openArchive(ctx, archive, formats)
		}
	}
	return nil, fmt.Errorf("%s holds neither the batch files nor an archive of them: give the folder of %s, or fetch %s",
		path, formats[0].files[0].name, formats[0].archive)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func readFolder(ctx context.Context, dir string, f format) (*CIFAR, error) {
	a := newAssembly(f)
	for i, file := range f.files {
		r, err := foreign.Open(ctx, filepath.Join(dir, file.name), maxArchive)
		if err != nil {
			return nil, err
		}
		err = a.add(i, r)
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	return a.cifar()
}

func openArchive(ctx context.Context, path string, formats []format) (*CIFAR, error) {
	r, err := foreign.Open(ctx, path, maxArchive)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, foreign.PrefixSize)
	start, err := in.Peek(foreign.PrefixSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.HasPrefix(start, []byte("\x1f\x8b")) {
		return nil, fmt.Errorf("%s: %w", path, foreign.Mistaken(start, "an archive of CIFAR-10 such as "+formats[0].archive))
	}
	c, err := readArchive(in, formats)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readArchive reads the batch files of a compressed tar file. The first of them
// decides the format; whatever else the archive holds is passed over.
func readArchive(r io.Reader, formats []format) (*CIFAR, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("decompress as .tar.gz: %w", err)
	}
	archive := tar.NewReader(foreign.Limit(z, maxArchive))
	var a *assembly
	for a == nil || !a.complete() {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		candidates := formats
		if a != nil {
			candidates = []format{a.format}
		}
		for _, f := range candidates {
			if i := f.index(path.Base(header.Name)); i >= 0 {
				if a == nil {
					a = newAssembly(f)
				}
				if err := a.add(i, archive); err != nil {
					return nil, err
				}
			}
		}
	}
	if a == nil {
		return nil, fmt.Errorf("the archive has no batch file of CIFAR-10, such as %s", formats[0].files[0].name)
	}
	return a.cifar()
}

// index returns the number of the named batch file, or −1.
func (f format) index(name string) int {
	for i, file := range f.files {
		if file.name == name {
			return i
		}
	}
	return -1
}

// assembly puts the batch files together, in whatever order they come.
type assembly struct {
	format
	pixels, labels []uint8 // of the training images, then of the test images
	have           [6]bool
}

func newAssembly(f format) *assembly {
	n := len(f.files) * f.images
	return &assembly{format: f, pixels: make([]uint8, n*cifarPixels), labels: make([]uint8, n)}
}

// add reads, checks and decodes batch file i.
func (a *assembly) add(i int, r io.Reader) error {
	file := a.files[i]
	raw, err := io.ReadAll(io.LimitReader(r, a.maxSize+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", file.name, err)
	}
	if got := md5.Sum(raw); hex.EncodeToString(got[:]) != file.md5 {
		return fmt.Errorf("%s: %w: MD5 %x of %d bytes, want %s: the file is damaged or not CIFAR-10's; fetch it again",
			file.name, ErrChecksum, got, len(raw), file.md5)
	}
	first, last := i*a.images, (i+1)*a.images
	if err := a.decode(raw, a.pixels[first*cifarPixels:last*cifarPixels], a.labels[first:last]); err != nil {
		return fmt.Errorf("decode %s: %w", file.name, err)
	}
	a.have[i] = true
	return nil
}

func (a *assembly) complete() bool { return a.have == [6]bool{true, true, true, true, true, true} }

// cifar returns the two sets once all batch files are there.
func (a *assembly) cifar() (*CIFAR, error) {
	for i, have := range a.have {
		if !have {
			return nil, fmt.Errorf("%s is missing: fetch the data again", a.files[i].name)
		}
	}
	n := testBatch * a.images
	set := func(part string, pixels, labels []uint8) *Set {
		return newSet("cifar10", fmt.Sprintf("CIFAR-10 %s set, official %s files", part, a.name), pixels, labels, cifarSide)
	}
	return &CIFAR{
		Train: set("training", a.pixels[:n*cifarPixels], a.labels[:n]),
		Test:  set("test", a.pixels[n*cifarPixels:], a.labels[n:]),
	}, nil
}

// decodeBinary decodes records of one label byte and the red, green and blue
// planes of an image.
func decodeBinary(raw, images, labels []uint8) error {
	const record = 1 + cifarPixels
	if len(raw) != len(labels)*record {
		return fmt.Errorf("%d bytes, want %d records of %d", len(raw), len(labels), record)
	}
	for i := range labels {
		r := raw[i*record : (i+1)*record]
		if r[0] >= Classes {
			return fmt.Errorf("record %d, offset %d: label %d, want less than %d", i, i*record, r[0], Classes)
		}
		labels[i] = r[0]
		copy(images[i*cifarPixels:], r[1:])
	}
	return nil
}
