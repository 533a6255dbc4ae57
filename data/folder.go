package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/random"
)

// KindImageNet is the kind of photographs in class folders, as Source.Kind and records
// name it.
const KindImageNet = "imagenet"

// Bounds on a folder of class folders: ImageNet has 1,000 classes and 1,281,167 images.
const (
	maxClasses = 10_000
	maxPhotos  = 10_000_000
)

// Folder is a labelled set of photographs in files, class by class in folders of their own,
// as those of ImageNet are distributed. It holds names only; a FolderLoader reads the files
// of a batch when it is due.
type Folder struct {
	Dir     string
	Classes []string // names of the class folders, ascending: class i is the i-th
	Source  Source   // Digest is of the names, classes and sizes of the files, not of pixels; Size is 0
	files   []photoFile
}

// photoFile is one image.
type photoFile struct {
	name  string // within the class folder
	class int
}

// Len returns the number of images.
func (f *Folder) Len() int { return len(f.files) }

// Label returns the class of image i.
func (f *Folder) Label(i int) int { return f.files[i].class }

// Path returns the file of image i.
func (f *Folder) Path(i int) string {
	return filepath.Join(f.Dir, f.Classes[f.files[i].class], f.files[i].name)
}

// FolderParts are the two parts of a data set in folders, of the same classes.
type FolderParts struct{ Train, Test *Folder }

// OpenImageNet lists the images of ImageNet in the folders train and val of a folder, each
// with a folder for each class. The images of val, which the archive has in one folder,
// must have been sorted into such folders before.
func OpenImageNet(ctx context.Context, dir string) (FolderParts, error) {
	train, err := OpenFolder(ctx, filepath.Join(dir, "train"))
	if err != nil {
		return FolderParts{}, fmt.Errorf("open ImageNet: %w", err)
	}
	test, err := OpenFolder(ctx, filepath.Join(dir, "val"))
	if err != nil {
		return FolderParts{}, fmt.Errorf("open ImageNet: %w", err)
	}
	if !slices.Equal(train.Classes, test.Classes) {
		for _, c := range slices.Concat(train.Classes, test.Classes) {
			if slices.Contains(train.Classes, c) != slices.Contains(test.Classes, c) {
				return FolderParts{}, fmt.Errorf("open ImageNet: class %q is in one of %s and %s alone: want the same class folders in both", c, train.Dir, test.Dir)
			}
		}
	}
	return FolderParts{train, test}, nil
}

// OpenFolder lists the images in the class folders of a folder: files whose names end in
// .jpeg or .jpg, in upper or lower case. Classes and files are in ascending order of their
// names, byte by byte; what begins with a dot is passed over. Anything else in the folder is
// an error that names it, as is a class without images. No image is opened. It ends with the
// error of ctx once that is done.
func OpenFolder(ctx context.Context, dir string) (*Folder, error) {
	f := &Folder{Dir: dir}
	sum := sha256.New()
	entries, err := visible(dir)
	if err != nil {
		return nil, err
	}
	for class, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if class == maxClasses {
			return nil, fmt.Errorf("%s has more than %d class folders", dir, maxClasses)
		}
		if info, err := os.Stat(path); err != nil { // links followed
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is no class folder: want a folder for each class, and the images in these", path)
		}
		f.Classes = append(f.Classes, entry.Name())
		files, err := visible(path)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("class folder %s has no images", path)
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			name := file.Name()
			if ext := strings.ToLower(filepath.Ext(name)); ext != ".jpeg" && ext != ".jpg" {
				return nil, fmt.Errorf("%s is no JPEG by its name: want .jpeg or .jpg", filepath.Join(path, name))
			}
			info, err := os.Stat(filepath.Join(path, name))
			if err != nil {
				return nil, err
			}
			if len(f.files) == maxPhotos {
				return nil, fmt.Errorf("%s has more than %d images", dir, maxPhotos)
			}
			f.files = append(f.files, photoFile{name, class})
			fmt.Fprintf(sum, "%q %q", entry.Name(), name)
			binary.Write(sum, binary.LittleEndian, info.Size()) // to a hash: no error
		}
	}
	if len(f.Classes) < 2 {
		return nil, fmt.Errorf("%s has %d class folders: want at least 2", dir, len(f.Classes))
	}
	f.Source = Source{
		Kind: KindImageNet, Detail: fmt.Sprintf("%d images of %d classes in %s; the digest is of their names and sizes", f.Len(), len(f.Classes), filepath.Base(dir)),
		Digest: hex.EncodeToString(sum.Sum(nil)),
	}
	return f, nil
}

// visible lists a folder in the order of names, without what begins with a dot.
func visible(dir string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }), nil
}

// FolderQueue says which batches to make of the images of a folder.
type FolderQueue struct {
	Name      string // names the random streams: queues of different names are independent
	Seed      uint64 // of the run
	Folder    *Folder
	Images    []int // numbers of the folder's images; nil is all
	BatchSize int
	Side      int // of the images made, a multiple of 8: 224 in the paper
	// Augment crops, flips and jitters at random, see Photo; without it the middle of the
	// image is taken.
	Augment bool
	InOrder bool // keeps the order of Images in every epoch; the default permutes it afresh
}

func (q FolderQueue) check() error {
	switch {
	case q.Name == "":
		return errors.New("a queue needs a name")
	case q.Side < 8 || q.Side%8 != 0:
		return fmt.Errorf("images of side %d: want a multiple of 8", q.Side)
	case len(q.Images) == 0:
		return errors.New("no images")
	case slices.Min(q.Images) < 0 || slices.Max(q.Images) >= q.Folder.Len():
		return fmt.Errorf("image numbers from %d to %d: the folder has %d images", slices.Min(q.Images), slices.Max(q.Images), q.Folder.Len())
	case q.BatchSize < 1:
		return fmt.Errorf("batch size %d: want at least 1", q.BatchSize)
	}
	return nil
}

// FolderLoader makes the batches of a queue, as Loader does of images in memory. Every
// batch is a function of its epoch and number alone. It keeps no image; a batch takes the
// memory of as many decoded photographs as there are processors, and of its own images. It
// may be used by several goroutines at once.
type FolderLoader struct {
	queue  FolderQueue
	orders orders
}

// NewFolderLoader checks the queue and returns its loader.
func NewFolderLoader(q FolderQueue) (*FolderLoader, error) {
	if q.Images == nil {
		q.Images = span(0, q.Folder.Len())
	}
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("queue %q: %w", q.Name, err)
	}
	return &FolderLoader{queue: q, orders: orders{seed: q.Seed, name: q.Name, images: q.Images, inOrder: q.InOrder}}, nil
}

// Len returns the number of batches of an epoch. The last one holds what is left.
func (l *FolderLoader) Len() int {
	return (len(l.queue.Images) + l.queue.BatchSize - 1) / l.queue.BatchSize
}

// Batch fills dst with batch k of an epoch ≥ 0, 0 ≤ k < Len, reusing its slices where they
// are large enough; its Recipe is nil. The files are read and decoded on all processors. An
// image that cannot be is a *PhotoError; of several the first in the batch.
//
// The order of an epoch comes from the stream data/NAME/order, by epoch and 0, and what is
// drawn for an image from data/NAME/augment, by epoch, k and its place in the batch.
func (l *FolderLoader) Batch(ctx context.Context, dst *Batch, epoch, k int) error {
	q := &l.queue
	order := l.orders.of(pass{epoch, 0})
	order = order[k*q.BatchSize : min((k+1)*q.BatchSize, len(order))]
	size := 3 * q.Side * q.Side
	dst.N, dst.Side, dst.Serial, dst.Recipe = len(order), q.Side, NewSerial(), nil
	dst.Labels = slices.Grow(dst.Labels[:0], dst.N)[:dst.N]
	dst.Images = slices.Grow(dst.Images[:0], dst.N*size)[:dst.N*size]
	type job struct {
		place int
		err   error
	}
	return pipeline.Run(
		func(emit func(*job) bool) error {
			for i := range order {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !emit(&job{place: i}) {
					break
				}
			}
			return nil
		},
		func(j *job) {
			number, to := order[j.place], dst.Images[j.place*size:(j.place+1)*size]
			dst.Labels[j.place] = q.Folder.Label(number)
			path := q.Folder.Path(number)
			photo, err := ReadPhoto(path)
			if err != nil {
				j.err = &PhotoError{path, err}
				return
			}
			crop := photo.Middle(q.Side)
			if q.Augment {
				crop = photo.Random(random.New(q.Seed, "data/"+q.Name+"/augment", uint64(epoch), uint64(k), uint64(j.place)))
			}
			photo.Render(to, q.Side, crop, ImageNetNormalization)
		},
		func(j *job) error { return j.err })
}
