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
		raw = append(raw, images[i*imageBytes:(i+1)*imageBytes]...)
	}
	return raw
}

// coarseOf is the coarse label that the tests give to a fine one.
func coarseOf(fine uint8) uint8 { return fine * 7 % coarseClasses }

// encodeFine is the inverse of decodeFine.
func encodeFine(images, labels []uint8) []byte {
	var raw []byte
	for i, label := range labels {
		raw = append(raw, coarseOf(label), label)
		raw = append(raw, images[i*imageBytes:(i+1)*imageBytes]...)
	}
	return raw
}

// fineImages returns n random images, as many of each of 100 classes.
func fineImages(seed uint64, n int) (images, labels []uint8) {
	images, labels = someImages(seed, n)
	for i := range labels {
		labels[i] = uint8((i*37 + int(seed)) % fineClasses)
	}
	return images, labels
}

// small is a collection like an official one but for its files, which hold few random
// images and have other checksums.
type small struct {
	collection
	content map[string][]byte // of the files, by name
	images  func(seed uint64, n int) (images, labels []uint8)
	counts  []int // images of each file, the seeds of which are their numbers
}

// smallCollections are such collections, in the order of collections.
func smallCollections() []small {
	all := []small{
		{collection: cifar10, images: someImages, counts: []int{2, 2, 2, 2, 2, 2}},
		{collection: cifar100, images: fineImages, counts: []int{200, 100}},
		{collection: svhn, images: someImages, counts: []int{5, 3}},
	}
	encoders := map[string]func(images, labels []uint8) []byte{
		"cifar10 binary":  encodeBinary,
		"cifar10 Python":  func(images, labels []uint8) []byte { return pickleBatch(images, labels, false) },
		"cifar100 binary": encodeFine,
		"cifar100 Python": pickleFine,
		"svhn MATLAB":     func(images, labels []uint8) []byte { return matOf(images, labels, matStyle{compressed: true}) },
	}
	for k := range all {
		c := &all[k]
		c.content = map[string][]byte{}
		c.formats = slices.Clone(c.formats)
		for j := range c.formats {
			f := &c.formats[j]
			f.files = slices.Clone(f.files)
			for i := range f.files {
				images, labels := c.images(uint64(i), c.counts[i])
				raw := encoders[c.kind+" "+f.name](images, labels)
				f.files[i].images, f.files[i].maxSize = c.counts[i], int64(len(raw)+1000)
				if f.files[i].md5 != "" {
					f.files[i].md5 = fmt.Sprintf("%x", md5.Sum(raw))
				}
				c.content[f.files[i].name] = raw
			}
			if f.archiveMD5 != "" {
				f.archiveMD5 = fmt.Sprintf("%x", md5.Sum(pack(batchEntries(*f, c.content))))
			}
		}
	}
	return all
}

// plain are the collections alone.
func plain(all []small) (list []collection) {
	for _, c := range all {
		list = append(list, c.collection)
	}
	return list
}

// check compares what was read with the images that the collection was made of.
func (c small) check(t *testing.T, p *Parts) {
	t.Helper()
	last := len(c.counts) - 1
	n := 0
	for i, count := range c.counts {
		images, labels := c.images(uint64(i), count)
		set, first := p.Train, n
		if i == last {
			set, first = p.Test, 0
		}
		n += count
		if set.Len() < first+count {
			t.Fatalf("%d images, want %d and more", set.Len(), first+count)
		}
		if !bytes.Equal(set.Labels[first:first+count], labels) || !bytes.Equal(set.Images[first*imageBytes:(first+count)*imageBytes], images) {
			t.Errorf("file %d: other images or labels", i)
		}
	}
	if p.Train.Len() != n-c.counts[last] || p.Test.Len() != c.counts[last] {
		t.Errorf("%d training and %d test images", p.Train.Len(), p.Test.Len())
	}
	for _, s := range []*Set{p.Train, p.Test} {
		if s.Side != 32 || s.Source.Kind != c.kind || s.Source.Size != 32 || len(s.Source.Digest) != 64 ||
			s.Classes != c.classes || s.Normalization != c.normalization || !strings.HasPrefix(s.Source.Detail, c.title+" t") {
			t.Errorf("side %d, %d classes, %v, source %+v", s.Side, s.Classes, s.Normalization, s.Source)
		}
	}
}

// writeFolder writes the files of a format into a new folder.
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

// batchEntries returns the files of a format as they stand in an archive.
func batchEntries(f format, files map[string][]byte) (entries []entry) {
	entries = append(entries, entry{f.folder + "/", nil}, entry{f.folder + "/readme.html", []byte("read me")})
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
		header := &tar.Header{Name: e.name, Size: int64(len(e.content)), Mode: 0o644}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag, header.Mode = tar.TypeDir, 0o755
		}
		w.WriteHeader(header)
		w.Write(e.content)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// Every form of every data set is recognised, wherever it may be.
func TestOpen(t *testing.T) {
	all := smallCollections()
	for _, c := range all {
		for _, f := range c.formats {
			dir := t.TempDir()
			in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
			writeFolder(t, in("plain"), f, c.content)
			writeFolder(t, in("parent", f.folder), f, c.content)
			paths := []string{in("plain"), in("parent"), in("parent", f.folder)}
			if f.archive != "" {
				reversed := batchEntries(f, c.content)
				slices.Reverse(reversed)
				if err := os.MkdirAll(in("archives"), 0o777); err != nil {
					t.Fatal(err)
				}
				for name, entries := range map[string][]entry{f.archive: batchEntries(f, c.content), "reversed.tgz": reversed} {
					if err := os.WriteFile(in("archives", name), pack(entries), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				paths = append(paths, in("archives"), in("archives", f.archive), in("archives", "reversed.tgz"))
			}
			for _, path := range paths {
				t.Run(c.kind+" "+f.name+" "+filepath.Base(path), func(t *testing.T) {
					for _, among := range [][]collection{plain(all), {c.collection}} {
						p, at, err := open(t.Context(), path, among)
						if err != nil {
							t.Fatal(err)
						}
						c.check(t, p)
						if at.archive != strings.Contains(path, "archives") {
							t.Errorf("found at %s", at.path)
						}
						// Of the binary form of CIFAR-100 only the archive's sum is known.
						covered := f.archiveMD5 == "" || at.archive && filepath.Base(at.path) == f.archive
						if said := !strings.Contains(p.Test.Source.Detail, "no official checksum"); p.official != covered || said != covered {
							t.Errorf("covered by checksums: %v, %s", p.official, p.Test.Source.Detail)
						}
					}
				})
			}
		}
	}
}

// A folder of several data sets is none of them, unless one is asked for.
func TestOpenSeveral(t *testing.T) {
	all := smallCollections()
	dir := t.TempDir()
	for _, c := range all {
		writeFolder(t, filepath.Join(dir, c.formats[0].folder), c.formats[0], c.content)
	}
	if _, _, err := open(t.Context(), dir, plain(all)); !errors.Is(err, ErrSeveral) || !strings.Contains(err.Error(), "CIFAR-10, CIFAR-100 and SVHN") || !strings.Contains(err.Error(), "give the folder") {
		t.Errorf("error %v", err)
	}
	for _, c := range all {
		p, _, err := open(t.Context(), dir, []collection{c.collection})
		if err != nil {
			t.Fatal(err)
		}
		c.check(t, p)
		found, kind, err := Locate(dir, c.kind)
		if err != nil || kind != c.kind || found != filepath.Join(dir, c.formats[0].folder) {
			t.Errorf("%s: %s of kind %q, %v", c.kind, found, kind, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	all := smallCollections()
	binary, files := all[0].formats[0], all[0].content
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
		{"empty folder", func(path string) error { return os.Mkdir(path, 0o777) }, nil, "give the folder or the archive of CIFAR-10, CIFAR-100 or SVHN"},
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
			return os.WriteFile(path, pack(entries[:6]), 0o666)
		}, nil, "data_batch_5.bin is missing"},
		{"archive of something else", func(path string) error {
			return os.WriteFile(path, pack(entries[:2]), 0o666)
		}, nil, "no file of CIFAR-10, CIFAR-100 or SVHN"},
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
		{"CIFAR-100 without the test images", func(path string) error {
			writeFolder(t, path, all[1].formats[0], all[1].content)
			return os.Remove(filepath.Join(path, "test.bin"))
		}, fs.ErrNotExist, "test.bin"},
		{"CIFAR-100 without the training images", func(path string) error {
			writeFolder(t, filepath.Join(path, "cifar-100-python"), all[1].formats[1], all[1].content)
			return os.Remove(filepath.Join(path, "cifar-100-python", "train"))
		}, fs.ErrNotExist, "cifar-100-python/train"},
		{"CIFAR-100 with a damaged file", func(path string) error {
			writeFolder(t, path, all[1].formats[1], all[1].content)
			return os.WriteFile(filepath.Join(path, "test"), damaged, 0o666)
		}, ErrChecksum, "test: checksum mismatch"},
		{"CIFAR-100 cut short", func(path string) error {
			writeFolder(t, path, all[1].formats[0], all[1].content)
			return os.Truncate(filepath.Join(path, "train.bin"), 3074*100)
		}, nil, "decode train.bin: 307400 bytes, want 200 records of 3074"},
		{"CIFAR-100 with a wrong label", func(path string) error {
			writeFolder(t, path, all[1].formats[0], all[1].content)
			raw := slices.Clone(all[1].content["train.bin"])
			raw[1] = 100
			return os.WriteFile(filepath.Join(path, "train.bin"), raw, 0o666)
		}, nil, "record 0, offset 1: fine label 100, want less than 100"},
		{"archive of CIFAR-100 without the test images", func(path string) error {
			e := batchEntries(all[1].formats[0], all[1].content)
			return os.WriteFile(path, pack(e[:len(e)-1]), 0o666)
		}, nil, "test.bin is missing"},
		{"SVHN without the test images", func(path string) error {
			writeFolder(t, path, all[2].formats[0], all[2].content)
			return os.Remove(filepath.Join(path, "test_32x32.mat"))
		}, fs.ErrNotExist, "test_32x32.mat"},
		{"SVHN cut short", func(path string) error {
			writeFolder(t, path, all[2].formats[0], all[2].content)
			return os.Truncate(filepath.Join(path, "train_32x32.mat"), 1000)
		}, ErrChecksum, "train_32x32.mat: checksum mismatch"},
		{"a file of SVHN alone", func(path string) error {
			return os.WriteFile(path, all[2].content["train_32x32.mat"], 0o666)
		}, nil, "a MAT-file of MATLAB, want an archive of CIFAR-10 such as cifar-10-binary.tar.gz, or an archive of CIFAR-100 such as cifar-100-binary.tar.gz, or the folder of SVHN's train_32x32.mat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cifar")
			if err := test.write(path); err != nil {
				t.Fatal(err)
			}
			_, _, err := open(t.Context(), path, plain(all))
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
		err := decodeBinary(test.raw, make([]uint8, 2*imageBytes), make([]uint8, 2))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func TestDecodeFineErrors(t *testing.T) {
	images, labels := fineImages(1, 200)
	good := encodeFine(images, labels)
	if err := decodeFine(good, images, labels); err != nil {
		t.Fatal(err)
	}
	const record = 3074
	for name, test := range map[string]struct {
		change func(raw []byte) []byte
		want   string
	}{
		"short":        {func(raw []byte) []byte { return raw[:len(raw)-1] }, "614799 bytes, want 200 records of 3074"},
		"long":         {func(raw []byte) []byte { return append(raw, 0) }, "614801 bytes"},
		"coarse label": {func(raw []byte) []byte { raw[5*record] = 20; return raw }, "record 5, offset 15370: coarse label 20"},
		"fine label":   {func(raw []byte) []byte { raw[5*record+1] = 200; return raw }, "record 5, offset 15371: fine label 200"},
		"two superclasses": {func(raw []byte) []byte { raw[150*record] = (raw[150*record] + 1) % 20; return raw },
			"record 150, offset 461100: coarse label"},
		"more of a class": {func(raw []byte) []byte { copy(raw[record:2*record], raw); return raw }, "want 2 of each: the file is not CIFAR-100's"},
	} {
		err := decodeFine(test.change(slices.Clone(good)), make([]uint8, len(images)), make([]uint8, len(labels)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func FuzzDecodeFine(f *testing.F) {
	images, labels := fineImages(1, 100)
	f.Add(encodeFine(images, labels))
	f.Add(encodeFine(images[:2*imageBytes], labels[:2])) // refused, but small
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := len(raw) / (2 + imageBytes)
		images, labels := make([]uint8, n*imageBytes), make([]uint8, n)
		if err := decodeFine(raw, images, labels); err != nil {
			return
		}
		for i, label := range labels {
			r := raw[i*3074 : (i+1)*3074]
			if label != r[1] || label >= fineClasses || !bytes.Equal(images[i*imageBytes:(i+1)*imageBytes], r[2:]) {
				t.Errorf("record %d is decoded to another image or label", i)
			}
		}
	})
}

func FuzzDecodeBinary(f *testing.F) {
	images, labels := someImages(1, 2)
	f.Add(encodeBinary(images, labels))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := len(raw) / (1 + imageBytes)
		images, labels := make([]uint8, n*imageBytes), make([]uint8, n)
		if err := decodeBinary(raw, images, labels); err == nil && !bytes.Equal(encodeBinary(images, labels), raw) {
			t.Error("the images do not encode to the file they were decoded from")
		}
	})
}

// Whatever an archive holds, either the right images come out or an error.
func FuzzReadArchive(f *testing.F) {
	all := smallCollections()
	for _, c := range all[:2] {
		for _, format := range c.formats {
			f.Add(pack(batchEntries(format, c.content)))
		}
	}
	f.Add(pack(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := readArchive(bytes.NewReader(raw), plain(all))
		if err != nil || a.unchecked {
			return
		}
		for _, c := range all {
			if c.kind == a.of.kind {
				c.check(t, a.parts())
			}
		}
	})
}

// TestOfficialCIFAR10 reads the true data, which are not part of the repository.
func TestOfficialCIFAR10(t *testing.T) {
	const variable = "NB1SHOT_CIFAR10"
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("set %s to CIFAR-10, in any form that Open reads, to run this test", variable)
	}
	c, err := Open(t.Context(), path, KindCIFAR10)
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
		var count [10]int
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

// TestOfficial reads the true CIFAR-100 and SVHN, which are not part of the repository.
// Their digests are unknown until somebody has them: it prints them.
func TestOfficial(t *testing.T) {
	for _, test := range []struct {
		kind, variable string
		train, test    int
	}{{KindCIFAR100, "NB1SHOT_CIFAR100", 50000, 10000}, {KindSVHN, "NB1SHOT_SVHN", 73257, 26032}} {
		t.Run(test.kind, func(t *testing.T) {
			path := os.Getenv(test.variable)
			if path == "" {
				t.Skipf("set %s to %s, in any form that Open reads, to run this test", test.variable, Title(test.kind))
			}
			p, err := Open(t.Context(), path, test.kind)
			if err != nil {
				t.Fatal(err)
			}
			if p.Train.Len() != test.train || p.Test.Len() != test.test {
				t.Errorf("%d training and %d test images", p.Train.Len(), p.Test.Len())
			}
			for _, s := range []*Set{p.Train, p.Test} {
				count := make([]int, s.Classes)
				for _, label := range s.Labels {
					count[label]++
				}
				t.Logf("%s: digest %s, images of each class %v", s.Source.Detail, s.Source.Digest, count)
			}
			// The constants are about the statistics of the training images.
			for channel := range 3 {
				var sum, squares float64
				for i := range p.Train.Len() {
					for _, v := range p.Train.Image(i)[channel*1024 : (channel+1)*1024] {
						sum += float64(v) / 255
						squares += float64(v) * float64(v) / 255 / 255
					}
				}
				n := float64(p.Train.Len() * 1024)
				mean := sum / n
				std := math.Sqrt(squares/n - mean*mean)
				of := p.Train.Normalization
				if math.Abs(mean-float64(of.Mean[channel])) > 1e-3 || math.Abs(std-float64(of.Std[channel])) > 2e-3 {
					t.Errorf("channel %d: mean %.4f, standard deviation %.4f; want about %v, %v", channel, mean, std, of.Mean[channel], of.Std[channel])
				}
			}
		})
	}
}
