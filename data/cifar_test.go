package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// encodeBinary is the inverse of decodeBinary.
func encodeBinary(images, labels []uint8) []byte {
	var raw []byte
	for i, label := range labels {
		raw = append(raw, label)
		raw = append(raw, images[i*cifarPixels:(i+1)*cifarPixels]...)
	}
	return raw
}

// testImages is the number of images in a batch file of the small formats.
const testImages = 2

// smallFormats are the official formats but for their batch files, which hold
// testImages random images with their checksums. It returns the content of the
// files by name.
func smallFormats() (formats []format, files map[string][]byte) {
	files = map[string][]byte{}
	for _, f := range cifarFormats {
		f.images, f.maxSize = testImages, 20000
		for i := range f.files {
			images, labels := someImages(uint64(i), testImages)
			raw := encodeBinary(images, labels)
			if f.name == "Python" {
				raw = pickleBatch(images, labels, false)
			}
			f.files[i].md5 = fmt.Sprintf("%x", md5.Sum(raw))
			files[f.files[i].name] = raw
		}
		formats = append(formats, f)
	}
	return formats, files
}

// checkSmall compares what was read with the images that smallFormats made.
func checkSmall(t *testing.T, c *CIFAR) {
	t.Helper()
	if c.Train.Len() != 5*testImages || c.Test.Len() != testImages {
		t.Fatalf("%d training and %d test images", c.Train.Len(), c.Test.Len())
	}
	for i := range 6 {
		images, labels := someImages(uint64(i), testImages)
		set, first := c.Train, i*testImages
		if i == testBatch {
			set, first = c.Test, 0
		}
		if !bytes.Equal(set.Labels[first:first+testImages], labels) || !bytes.Equal(set.Images[first*cifarPixels:(first+testImages)*cifarPixels], images) {
			t.Errorf("batch %d: other images or labels", i)
		}
	}
	for _, s := range []*Set{c.Train, c.Test} {
		if s.Side != 32 || s.Source.Kind != "cifar10" || s.Source.Size != 32 || len(s.Source.Digest) != 64 {
			t.Errorf("side %d, source %+v", s.Side, s.Source)
		}
	}
}

// writeFolder writes the batch files of a format into a new folder.
func writeFolder(t *testing.T, dir string, f format, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, file := range f.files {
		if err := os.WriteFile(filepath.Join(dir, file.name), files[file.name], 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

type entry struct {
	name    string
	content []byte
}

// batchEntries returns the batch files of a format as they stand in an archive.
func batchEntries(f format, files map[string][]byte) (entries []entry) {
	entries = append(entries, entry{f.folder + "/readme.html", []byte("read me")})
	for _, file := range f.files {
		entries = append(entries, entry{f.folder + "/" + file.name, files[file.name]})
	}
	return entries
}

func pack(entries []entry) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.content)), Mode: 0o644})
		w.Write(e.content)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

func TestOpenCIFAR(t *testing.T) {
	formats, files := smallFormats()
	for _, f := range formats {
		dir := t.TempDir()
		in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
		writeFolder(t, in("plain"), f, files)
		writeFolder(t, in("parent", f.folder), f, files)
		reversed := batchEntries(f, files)
		slices.Reverse(reversed)
		if err := os.MkdirAll(in("archives"), 0o777); err != nil {
			t.Fatal(err)
		}
		for name, entries := range map[string][]entry{f.archive: batchEntries(f, files), "reversed.tgz": reversed} {
			if err := os.WriteFile(in("archives", name), pack(entries), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{in("plain"), in("parent"), in("parent", f.folder), in("archives"), in("archives", f.archive), in("archives", "reversed.tgz")} {
			t.Run(f.name+" "+filepath.Base(path), func(t *testing.T) {
				c, err := openCIFAR(t.Context(), path, formats)
				if err != nil {
					t.Fatal(err)
				}
				checkSmall(t, c)
			})
		}
	}
}

func TestOpenCIFARErrors(t *testing.T) {
	formats, files := smallFormats()
	binary := formats[0]
	damaged := slices.Clone(files["data_batch_3.bin"])
	damaged[5]++
	entries := batchEntries(binary, files)
	whole := pack(entries)
	replaced := func(name string, content []byte) []entry {
		e := slices.Clone(entries)
		i := slices.IndexFunc(e, func(e entry) bool { return strings.HasSuffix(e.name, name) })
		e[i].content = content
		return e
	}
	for _, test := range []struct {
		name  string
		write func(path string) error
		is    error
		want  string
	}{
		{"absent", func(string) error { return nil }, fs.ErrNotExist, "no such file"},
		{"empty folder", func(path string) error { return os.Mkdir(path, 0o777) }, nil, "fetch cifar-10-binary.tar.gz"},
		{"folder without a batch", func(path string) error {
			writeFolder(t, path, binary, files)
			return os.Remove(filepath.Join(path, "data_batch_4.bin"))
		}, fs.ErrNotExist, "data_batch_4.bin"},
		{"folder with a damaged batch", func(path string) error {
			writeFolder(t, path, binary, files)
			return os.WriteFile(filepath.Join(path, "data_batch_3.bin"), damaged, 0o666)
		}, ErrChecksum, "data_batch_3.bin"},
		{"archive with a damaged batch", func(path string) error {
			return os.WriteFile(path, pack(replaced("data_batch_3.bin", damaged)), 0o666)
		}, ErrChecksum, "data_batch_3.bin"},
		{"archive with a long batch", func(path string) error {
			return os.WriteFile(path, pack(replaced("data_batch_3.bin", make([]byte, 1<<20))), 0o666)
		}, ErrChecksum, "data_batch_3.bin"},
		{"archive without a batch", func(path string) error {
			return os.WriteFile(path, pack(entries[:5]), 0o666)
		}, nil, "data_batch_5.bin is missing"},
		{"archive of something else", func(path string) error {
			return os.WriteFile(path, pack(entries[:1]), 0o666)
		}, nil, "no batch file"},
		{"archive cut short", func(path string) error { return os.WriteFile(path, whole[:len(whole)/2], 0o666) }, nil, "unexpected EOF"},
		{"not an archive", func(path string) error { return os.WriteFile(path, []byte("<html>"), 0o666) }, nil, "an HTML page, want an archive of CIFAR-10"},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o666) }, foreign.ErrNotRegular, "a named pipe"},
		{"batch that is a device", func(path string) error {
			writeFolder(t, path, binary, files)
			batch := filepath.Join(path, "data_batch_3.bin")
			return errors.Join(os.Remove(batch), os.Symlink("/dev/zero", batch))
		}, foreign.ErrNotRegular, "data_batch_3.bin"},
		{"archive that unpacks to more than there is", func(path string) error {
			return os.WriteFile(path, bomb(), 0o666)
		}, foreign.ErrTooLarge, "1024 MiB"},
		{"empty file", func(path string) error { return os.WriteFile(path, nil, 0o666) }, nil, "an empty file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cifar")
			if err := test.write(path); err != nil {
				t.Fatal(err)
			}
			_, err := openCIFAR(t.Context(), path, formats)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want one with %q and the path", err, test.want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %v is not %v", err, test.is)
			}
		})
	}
}

// bomb is an archive of a MiB that unpacks to more than maxArchive.
func bomb() []byte {
	const most = 1 << 20
	zip := func(content []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(content)
		z.Close()
		return b.Bytes()
	}
	var head bytes.Buffer
	tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Size: maxArchive, Mode: 0o644})
	// What was compressed piece by piece unpacks to the pieces, one after the other.
	return append(zip(head.Bytes()), bytes.Repeat(zip(make([]byte, most)), maxArchive/most)...)
}

func TestDecodeBinaryErrors(t *testing.T) {
	images, labels := someImages(1, 2)
	good := encodeBinary(images, labels)
	bad := slices.Clone(good)
	bad[3073] = 10
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"short": {good[:len(good)-1], "6145 bytes"},
		"long":  {append(slices.Clone(good), 0), "6147 bytes"},
		"label": {bad, "record 1, offset 3073: label 10"},
	} {
		err := decodeBinary(test.raw, make([]uint8, 2*cifarPixels), make([]uint8, 2))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func FuzzDecodeBinary(f *testing.F) {
	images, labels := someImages(1, 2)
	f.Add(encodeBinary(images, labels))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := len(raw) / (1 + cifarPixels)
		images, labels := make([]uint8, n*cifarPixels), make([]uint8, n)
		if err := decodeBinary(raw, images, labels); err == nil && !bytes.Equal(encodeBinary(images, labels), raw) {
			t.Error("the images do not encode to the file they were decoded from")
		}
	})
}

// Whatever an archive holds, either the right images come out or an error.
func FuzzReadArchive(f *testing.F) {
	formats, files := smallFormats()
	for _, format := range formats {
		f.Add(pack(batchEntries(format, files)))
	}
	f.Add(pack(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := readArchive(bytes.NewReader(raw), formats); err == nil {
			checkSmall(t, c)
		}
	})
}

// TestOfficialCIFAR10 reads the true data, which are not part of the repository.
func TestOfficialCIFAR10(t *testing.T) {
	const variable = "NB1SHOT_CIFAR10"
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("set %s to CIFAR-10, in any form that OpenCIFAR10 reads, to run this test", variable)
	}
	c, err := OpenCIFAR10(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		set      *Set
		perClass int
		labels   []uint8 // of the first images
		digest   string
	}{
		{"train", c.Train, 5000, []uint8{6, 9, 9, 4, 1}, "1e91790dbaf241617ca1f29a9aba08eb9a62df84cc90676b47edd05ad2ab3c94"},
		{"test", c.Test, 1000, []uint8{3, 8, 8, 0, 6}, "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a"},
	} {
		var count [Classes]int
		for _, label := range test.set.Labels {
			count[label]++
		}
		for class, n := range count {
			if n != test.perClass {
				t.Errorf("%s: %d images of class %d, want %d", test.name, n, class, test.perClass)
			}
		}
		if got := test.set.Labels[:5]; !bytes.Equal(got, test.labels) {
			t.Errorf("%s: labels begin %v, want %v", test.name, got, test.labels)
		}
		if test.set.Source.Digest != test.digest {
			t.Errorf("%s: digest %s, want %s", test.name, test.set.Source.Digest, test.digest)
		}
	}
	// The normalisation's constants are the training set's own statistics.
	for channel := range 3 {
		var sum, squares float64
		for i := range c.Train.Len() {
			for _, v := range c.Train.Image(i)[channel*1024 : (channel+1)*1024] {
				sum += float64(v) / 255
				squares += float64(v) * float64(v) / 255 / 255
			}
		}
		n := float64(c.Train.Len() * 1024)
		mean := sum / n
		std := math.Sqrt(squares/n - mean*mean)
		if math.Abs(mean-float64(DARTSNormalization.Mean[channel])) > 1e-6 || math.Abs(std-float64(DARTSNormalization.Std[channel])) > 1e-6 {
			t.Errorf("channel %d: mean %.8f, standard deviation %.8f; want %v, %v", channel, mean, std, DARTSNormalization.Mean[channel], DARTSNormalization.Std[channel])
		}
	}
}
