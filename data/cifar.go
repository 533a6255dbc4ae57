package data

import "fmt"

// cifarFiles are the sizes that the files of CIFAR-10 and CIFAR-100 have.
const (
	cifarTrain = 50000
	cifarTest  = 10000
	cifarBatch = 10000 // images of a batch file of CIFAR-10

	fineClasses   = 100 // of CIFAR-100, its labels
	coarseClasses = 20  // the superclasses that these are parted into
)

// cifar10 is CIFAR-10 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny
// Images, 2009): 50,000 training images, which are data batches 1 to 5, and the 10,000
// test images of the test batch.
var cifar10 = collection{
	kind: KindCIFAR10, title: "CIFAR-10", classes: 10, normalization: DARTSNormalization,
	formats: []format{
		{
			name:    "binary",
			folder:  "cifar-10-batches-bin",
			archive: "cifar-10-binary.tar.gz",
			files: []imageFile{
				{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25", cifarBatch, cifarBatch * (1 + imageBytes), false},
				{"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692", cifarBatch, cifarBatch * (1 + imageBytes), false},
				{"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421", cifarBatch, cifarBatch * (1 + imageBytes), false},
				{"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb", cifarBatch, cifarBatch * (1 + imageBytes), false},
				{"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d", cifarBatch, cifarBatch * (1 + imageBytes), false},
				{"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d", cifarBatch, cifarBatch * (1 + imageBytes), true},
			},
			decode: decodeBinary,
		},
		{
			name:    "Python",
			folder:  "cifar-10-batches-py",
			archive: "cifar-10-python.tar.gz",
			files: []imageFile{
				{"data_batch_1", "c99cafc152244af753f735de768cd75f", cifarBatch, 32 << 20, false},
				{"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec", cifarBatch, 32 << 20, false},
				{"data_batch_3", "54ebc095f3ab1f0389bbae665268c751", cifarBatch, 32 << 20, false},
				{"data_batch_4", "634d18415352ddfa80567beed471001a", cifarBatch, 32 << 20, false},
				{"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb", cifarBatch, 32 << 20, false},
				{"test_batch", "40351d587109b95175f43aff81a1287e", cifarBatch, 32 << 20, true},
			},
			decode: func(raw, images, labels []uint8) error {
				return decodePython(raw, images, labels, "labels", 10)
			},
		},
	},
}

// cifar100 is CIFAR-100 (the same report): 50,000 training and 10,000 test images with
// fine labels 0 to 99, which count here, and coarse ones 0 to 19.
var cifar100 = collection{
	kind: KindCIFAR100, title: "CIFAR-100", classes: fineClasses, normalization: CIFAR100Normalization,
	formats: []format{
		{
			name:       "binary",
			folder:     "cifar-100-binary",
			archive:    "cifar-100-binary.tar.gz",
			archiveMD5: officialCIFAR100.Sum,
			files: []imageFile{
				{"train.bin", "", cifarTrain, cifarTrain * (2 + imageBytes), false},
				{"test.bin", "", cifarTest, cifarTest * (2 + imageBytes), true},
			},
			decode: decodeFine,
		},
		{
			name:    "Python",
			folder:  "cifar-100-python",
			archive: "cifar-100-python.tar.gz",
			files: []imageFile{
				{"train", "16019d7e3df5f24257cddd939b257f8d", cifarTrain, 160 << 20, false},
				{"test", "f0ef6b0ae62326f3e7ffdfab6717acfc", cifarTest, 32 << 20, true},
			},
			decode: func(raw, images, labels []uint8) error {
				return decodePython(raw, images, labels, "fine_labels", fineClasses)
			},
		},
	},
}

// decodeBinary decodes records of one label byte and the red, green and blue
// planes of an image.
func decodeBinary(raw, images, labels []uint8) error {
	const record = 1 + imageBytes
	if len(raw) != len(labels)*record {
		return fmt.Errorf("%d bytes, want %d records of %d", len(raw), len(labels), record)
	}
	for i := range labels {
		r := raw[i*record : (i+1)*record]
		if r[0] >= 10 {
			return fmt.Errorf("record %d, offset %d: label %d, want less than 10", i, i*record, r[0])
		}
		labels[i] = r[0]
		copy(images[i*imageBytes:], r[1:])
	}
	return nil
}

// decodeFine decodes records of a coarse label, a fine label and the planes of an image.
// There must be equally many images of each class, and all of a class must have the same
// coarse label: that is all there is to check where no checksum is known.
func decodeFine(raw, images, labels []uint8) error {
	const record = 2 + imageBytes
	if len(raw) != len(labels)*record {
		return fmt.Errorf("%d bytes, want %d records of %d", len(raw), len(labels), record)
	}
	var of [fineClasses]struct{ images, coarse int }
	for i := range labels {
		r := raw[i*record : (i+1)*record]
		coarse, fine := int(r[0]), int(r[1])
		switch {
		case coarse >= coarseClasses:
			return fmt.Errorf("record %d, offset %d: coarse label %d, want less than %d", i, i*record, coarse, coarseClasses)
		case fine >= fineClasses:
			return fmt.Errorf("record %d, offset %d: fine label %d, want less than %d", i, i*record+1, fine, fineClasses)
		case of[fine].images > 0 && of[fine].coarse != coarse:
			return fmt.Errorf("record %d, offset %d: coarse label %d of the fine label %d, which had %d before", i, i*record, coarse, fine, of[fine].coarse)
		}
		of[fine].images++
		of[fine].coarse = coarse
		labels[i] = r[1]
		copy(images[i*imageBytes:], r[2:])
	}
	for fine, c := range of {
		if want := len(labels) / fineClasses; c.images != want {
			return fmt.Errorf("%d images of the fine label %d, want %d of each: the file is not CIFAR-100's", c.images, fine, want)
		}
	}
	return nil
}
