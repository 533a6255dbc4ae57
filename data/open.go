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
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/fetch"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ErrChecksum marks a file whose content is not the official one.
var ErrChecksum = fetch.ErrChecksum

// ErrSeveral reports a folder of several data sets where one is wanted.
var ErrSeveral = errors.New("several data sets")

// Parts are the two parts of a data set, each in its official order.
type Parts struct {
	Train, Test *Set
	official    bool // whether official checksums cover all of it
}

// collection is a data set that others published.
type collection struct {
	kind, title   string // Source.Kind, and what people call it
	classes       int
	normalization Normalization
	formats       []format
}

// collections are those that can be read.
var collections = []collection{cifar10, cifar100, svhn}

// Kinds lists the data sets that Open reads, by their Source.Kind.
func Kinds() []string {
	var kinds []string
	for _, c := range collections {
		kinds = append(kinds, c.kind)
	}
	return kinds
}

// Title is what people call the data set of a kind, "CIFAR-10" for example. It is the kind
// itself where that is none of Kinds.
func Title(kind string) string {
	if c := collectionOf(kind); c != nil {
		return c.title
	}
	return kind
}

func collectionOf(kind string) *collection {
	for i := range collections {
		if collections[i].kind == kind {
			return &collections[i]
		}
	}
	return nil
}

// format is one of the official forms of a data set: files of images, in a folder or in a
// compressed tar file of it.
type format struct {
	name       string      // for people
	folder     string      // name of the folder
	archive    string      // name of the compressed tar file; "" where there is none
	archiveMD5 string      // of the official one; needed where its files have no checksums
	files      []imageFile // those of the test set last
	// decode fills the images and labels of one file. The lengths of its
	// arguments say how many images are expected.
	decode func(raw, images, labels []uint8) error
}

// imageFile is one of the files that hold the images.
type imageFile struct {
	name    string
	md5     string // the official sum, "" where none is known
	images  int
	maxSize int64 // bound on its size, in bytes
	test    bool  // whether its images are those of the test set
}

const (
	imageSide  = 32
	imageBytes = 3 * imageSide * imageSide
)

// maxArchive bounds an archive, compressed and unpacked, in bytes: five times the
// official ones, as they may have been packed anew with more in them.
const maxArchive = 1 << 30

// Open reads a data set: CIFAR-10, CIFAR-100 or SVHN, or one of the kinds given. The path
// is an official archive (cifar-10-binary.tar.gz, cifar-10-python.tar.gz,
// cifar-100-binary.tar.gz, cifar-100-python.tar.gz), a folder unpacked from one, a folder
// of train_32x32.mat and test_32x32.mat, or a folder that holds one of these.
//
// The MD5 sum of each file must be the official one, or the error is an ErrChecksum; an
// archive itself may have been packed anew. No sums of the two files of CIFAR-100's binary
// form are known: where its archive is not the official one, the files must have the right
// size and the right number of images of each class, and the set's Source says that no
// checksum covers them. A folder of several data sets is an ErrSeveral. Open ends with the error of ctx once that is done.
func Open(ctx context.Context, path string, kinds ...string) (*Parts, error) {
	p, at, err := open(ctx, path, chosen(kinds))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", at.title(), err)
	}
	return p, nil
}

// Locate returns the folder or archive of a data set that Open reads at the path, and its
// kind: the path itself, or what is in the folder there, and "" where that is nothing. For
// an archive the kind is what its name says, or "" where it has another name. It opens no
// file.
func Locate(path string, kinds ...string) (found, kind string, err error) {
	at, err := locate(path, chosen(kinds))
	switch {
	case errors.Is(err, errAbsent), errors.Is(err, fs.ErrNotExist):
		return "", "", nil
	case err != nil:
		return "", "", err
	case len(at.among) == 1:
		kind = at.among[0].kind
	}
	return at.path, kind, nil
}

// errAbsent reports a folder without a data set.
var errAbsent = errors.New("no data set")

// chosen are the collections of the kinds, or all of them for none.
func chosen(kinds []string) []collection {
	if len(kinds) == 0 {
		return collections
	}
	return slices.DeleteFunc(slices.Clone(collections), func(c collection) bool { return !slices.Contains(kinds, c.kind) })
}

// place is where a data set lies.
type place struct {
	path    string       // of a folder or an archive
	among   []collection // that it may be; one for a folder
	format  format       // of a folder
	archive bool
}

// title names what is, or should be, at the place.
func (p place) title() string {
	if len(p.among) == 1 {
		return p.among[0].title
	}
	return "images"
}

func open(ctx context.Context, path string, among []collection) (*Parts, place, error) {
	at, err := locate(path, among)
	if err != nil {
		return nil, place{among: among}, err
	}
	p, err := at.read(ctx)
	return p, at, err
}

func locate(path string, among []collection) (place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return place{}, err
	}
	if !info.IsDir() {
		named := slices.DeleteFunc(slices.Clone(among), func(c collection) bool {
			return !slices.ContainsFunc(c.formats, func(f format) bool { return f.archive != "" && f.archive == filepath.Base(path) })
		})
		if len(named) == 1 {
			among = named
		}
		return place{path: path, among: among, archive: true}, nil
	}
	var found []place
	var of []collection
	for _, c := range among {
		if p, ok := c.locate(path); ok {
			found, of = append(found, p), append(of, c)
		}
	}
	switch len(found) {
	case 0:
		for _, c := range among { // of which nothing is left but the folder
			for _, f := range c.formats {
				if filepath.Base(path) == f.folder {
					return place{path: path, among: []collection{c}, format: f}, nil
				}
				if dir := filepath.Join(path, f.folder); exists(dir) {
					return place{path: dir, among: []collection{c}, format: f}, nil
				}
			}
		}
		return place{}, fmt.Errorf("%s holds %w%s", path, errAbsent, absence(among))
	case 1:
		return found[0], nil
	}
	return place{}, fmt.Errorf("%s holds %w, %s: give the folder or the archive of one of them, such as %s", path, ErrSeveral, titles(of, " and "), found[0].path)
}

// locate finds the data set in a folder, unpacked rather than packed.
func (c collection) locate(path string) (place, bool) {
	for _, f := range c.formats {
		for _, dir := range []string{path, filepath.Join(path, f.folder)} {
			if f.liesIn(dir) {
				return place{path: dir, among: []collection{c}, format: f}, true
			}
		}
	}
	for _, f := range c.formats {
		if archive := filepath.Join(path, f.archive); f.archive != "" && exists(archive) {
			return place{path: archive, among: []collection{c}, archive: true}, true
		}
	}
	return place{}, false
}

// absence says what a folder lacks and what to do about it.
func absence(among []collection) string {
	if len(among) > 1 {
		return " that is known: give the folder or the archive of " + titles(among, " or ")
	}
	f := among[0].formats[0]
	if f.archive == "" {
		return fmt.Sprintf(" of %s: give the folder of %s", among[0].title, f.files[0].name)
	}
	return fmt.Sprintf(" of %s: give the folder of %s, or fetch %s", among[0].title, f.files[0].name, f.archive)
}

// titles lists data sets for people, with a word such as " or " before the last.
func titles(list []collection, last string) string {
	var names []string
	for _, c := range list {
		names = append(names, c.title)
	}
	if n := len(names) - 1; n > 0 {
		return strings.Join(names[:n], ", ") + last + names[n]
	}
	return strings.Join(names, "")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// liesIn tells whether a folder is one of the format: it has the first of its files, or
// the format's name and any of them. What is missing is reported when it is read.
func (f format) liesIn(dir string) bool {
	for i, file := range f.files {
		if i > 0 && filepath.Base(dir) != f.folder {
			break
		}
		info, err := os.Stat(filepath.Join(dir, file.name))
		if !errors.Is(err, fs.ErrNotExist) && (err != nil || !info.IsDir()) {
			return true
		}
	}
	return false
}

// read reads what lies at the place.
func (p place) read(ctx context.Context) (*Parts, error) {
	a, err := p.assemble(ctx)
	if err != nil {
		return nil, err
	}
	return a.parts(), nil
}

// assemble reads all files of what lies at the place.
func (p place) assemble(ctx context.Context) (*assembly, error) {
	if !p.archive {
		a := newAssembly(p.among[0], p.format)
		for i, file := range a.files {
			if err := a.addFile(ctx, i, filepath.Join(p.path, file.name)); err != nil {
				return nil, err
			}
		}
		return a, nil
	}
	a, err := p.unpack(ctx)
	if err == nil && a.unchecked {
		var sum string
		sum, err = md5Of(ctx, p.path)
		a.unchecked = sum != a.archiveMD5
	}
	return a, err
}

func (a *assembly) addFile(ctx context.Context, i int, path string) error {
	r, err := foreign.Open(ctx, path, maxArchive)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	if err := a.add(i, r, info.Size()); err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return nil
}

func md5Of(ctx context.Context, path string) (string, error) {
	r, err := foreign.Open(ctx, path, maxArchive)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := md5.New()
	_, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// unpack reads the files of the archive at the place.
func (p place) unpack(ctx context.Context) (*assembly, error) {
	r, err := foreign.Open(ctx, p.path, maxArchive)
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
		return nil, fmt.Errorf("%s: %w", p.path, foreign.Mistaken(start, wanted(p.among)))
	}
	a, err := readArchive(in, p.among)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	return a, nil
}

// wanted names what could be in place of a file that is no archive.
func wanted(among []collection) string {
	var ways []string
	for _, c := range among {
		if f := c.formats[0]; f.archive != "" {
			ways = append(ways, fmt.Sprintf("an archive of %s such as %s", c.title, f.archive))
		} else {
			ways = append(ways, fmt.Sprintf("the folder of %s's %s", c.title, f.files[0].name))
		}
	}
	return strings.Join(ways, ", or ")
}

// readArchive reads all files of a data set from a compressed tar file. The first of them decides the
// format; whatever else the archive holds is passed over.
func readArchive(r io.Reader, among []collection) (*assembly, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("decompress as .tar.gz: %w", err)
	}
	archive := tar.NewReader(foreign.Limit(z, maxArchive))
	var a *assembly
	for a == nil || slices.Contains(a.have, false) {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		name := path.Base(header.Name)
		if a == nil {
			a = assemblyFor(name, among)
		}
		if a == nil {
			continue
		}
		if i := a.index(name); i >= 0 {
			if err := a.add(i, archive, header.Size); err != nil {
				return nil, err
			}
		}
	}
	if a == nil {
		return nil, fmt.Errorf("the archive has no file of %s, such as %s", titles(among, " or "), among[0].formats[0].files[0].name)
	}
	if i := slices.Index(a.have, false); i >= 0 {
		return nil, fmt.Errorf("%s is missing: fetch the data again", a.files[i].name)
	}
	return a, nil
}

// assemblyFor returns an assembly of the format that has a file of the name, or nil.
func assemblyFor(name string, among []collection) *assembly {
	for _, c := range among {
		for _, f := range c.formats {
			if f.archive != "" && f.index(name) >= 0 {
				return newAssembly(c, f)
			}
		}
	}
	return nil
}

// index returns the number of the named file, or −1.
func (f format) index(name string) int {
	return slices.IndexFunc(f.files, func(file imageFile) bool { return file.name == name })
}

// assembly puts the files together, in whatever order they come.
type assembly struct {
	format
	of             collection
	pixels, labels []uint8 // in the order of the files, so the training images come first
	first          []int   // image of each file
	have           []bool
	unchecked      bool // whether a file was added that no checksum covers
}

func newAssembly(c collection, f format) *assembly {
	a := &assembly{format: f, of: c, have: make([]bool, len(f.files))}
	n := 0
	for _, file := range f.files {
		a.first = append(a.first, n)
		n += file.images
	}
	a.pixels, a.labels = make([]uint8, n*imageBytes), make([]uint8, n)
	return a
}

// add reads, checks and decodes file i, which is said to have so many bytes.
func (a *assembly) add(i int, r io.Reader, size int64) error {
	file := a.files[i]
	raw := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), file.maxSize)+bytes.MinRead))
	if _, err := raw.ReadFrom(io.LimitReader(r, file.maxSize+1)); err != nil {
		return fmt.Errorf("read %s: %w", file.name, err)
	}
	if file.md5 == "" {
		a.unchecked = true
	} else if got := md5.Sum(raw.Bytes()); hex.EncodeToString(got[:]) != file.md5 {
		return fmt.Errorf("%s: %w: MD5 %x of %d bytes, want %s: the file is damaged or not %s's; fetch it again",
			file.name, ErrChecksum, got, raw.Len(), file.md5, a.of.title)
	}
	first, last := a.first[i], a.first[i]+file.images
	if err := a.decode(raw.Bytes(), a.pixels[first*imageBytes:last*imageBytes], a.labels[first:last]); err != nil {
		return fmt.Errorf("decode %s: %w", file.name, err)
	}
	a.have[i] = true
	return nil
}

// parts returns the two sets once all files are there.
func (a *assembly) parts() *Parts {
	n := a.first[slices.IndexFunc(a.files, func(file imageFile) bool { return file.test })]
	origin := "official " + a.name + " files"
	if a.unchecked {
		origin = a.name + " files that no official checksum covers"
	}
	set := func(part string, pixels, labels []uint8) *Set {
		return newSet(Set{
			Images: pixels, Labels: labels, Side: imageSide, Classes: a.of.classes, Normalization: a.of.normalization,
			Source: Source{Kind: a.of.kind, Detail: fmt.Sprintf("%s %s set, %s", a.of.title, part, origin)},
		})
	}
	return &Parts{
		Train:    set("training", a.pixels[:n*imageBytes], a.labels[:n]),
		Test:     set("test", a.pixels[n*imageBytes:], a.labels[n:]),
		official: !a.unchecked,
	}
}
