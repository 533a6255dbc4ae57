package retrain

import (
	"context"
	"errors"
	"fmt"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
)

// loader makes batches. Every one is a function of its epoch and number alone.
type loader interface {
	Len() int
	Batch(ctx context.Context, dst *data.Batch, epoch, k int) error
}

// inMemory is a loader of images in memory.
type inMemory struct{ *data.Loader }

// Batch implements loader.
func (l inMemory) Batch(_ context.Context, dst *data.Batch, epoch, k int) error {
	l.Loader.Batch(dst, epoch, k)
	return nil
}

// supply is what a training takes and is measured on.
type supply struct {
	source                  data.Source
	classes                 int
	train, test             loader
	trainImages, testImages int
}

// supply makes the loaders of the job; with raw they leave it to the engine to make images
// in memory of their recipes.
func (j Job) supply(raw bool) (all supply, err error) {
	switch form := j.Config.Form; {
	case form == results.FormImageNet && j.Photos.Train == nil:
		return all, errors.New("the network for ImageNet takes photographs in folders")
	case form == results.FormImageNet:
		all, err = j.photographs()
	default:
		all, err = j.pictures(raw)
	}
	c := j.Config
	switch n := all.trainImages; {
	case err != nil:
	case c.Batch > n:
		err = fmt.Errorf("a batch of %d of %d training images: take a smaller one", c.Batch, n)
	case c.AuxiliaryWeight > 0 && n%c.Batch == 1:
		err = fmt.Errorf("the last batch of an epoch has one image of %d, too few for the batch normalisation of the auxiliary head: take another batch", n)
	}
	return all, err
}

// pictures are small images in memory.
func (j Job) pictures(raw bool) (all supply, err error) {
	c := j.Config
	set, err := data.Downsample(j.Train, c.Side)
	if err != nil {
		return all, err
	}
	from, train, test := set, count(set.Len()), []int(nil)
	switch {
	case c.Halves:
		train, test, err = data.Split(set, 0.5, c.Images)
	case j.Test == nil:
		err = errors.New("there are no test images to measure on: give some, or train on halves")
	default:
		if from, err = data.Downsample(j.Test, c.Side); err == nil {
			train, err = first(train, c.Images, "training")
		}
		if err == nil {
			test, err = first(count(from.Len()), c.TestImages, "test")
		}
	}
	if err != nil {
		return all, err
	}
	all = supply{source: set.Source, classes: set.Classes, trainImages: len(train), testImages: len(test)}
	plain := data.Transform{Normalization: set.Normalization}
	augmented := plain
	augmented.Augment, augmented.NoFlip = true, !c.Flip
	if c.Cutout {
		augmented.Cutout = 1
	}
	for _, l := range []struct {
		loader *loader
		queue  data.Queue
	}{
		{&all.train, data.Queue{Name: "retrain/train", Set: set, Images: train, Transform: augmented}},
		{&all.test, data.Queue{Name: "retrain/test", Set: from, Images: test, Transform: plain, InOrder: true}},
	} {
		l.queue.Seed, l.queue.BatchSize, l.queue.Raw = j.Seed, c.Batch, raw
		made, err := data.NewLoader(l.queue)
		if err != nil {
			return all, err
		}
		*l.loader = inMemory{made}
	}
	return all, nil
}

// photographs are images in files.
func (j Job) photographs() (all supply, err error) {
	c, parts := j.Config, j.Photos
	if c.Halves {
		return all, errors.New("halves of ImageNet are not made: its images are sorted by class")
	}
	train, err := spread(parts.Train.Len(), c.Images, "training")
	if err != nil {
		return all, err
	}
	test, err := spread(parts.Test.Len(), c.TestImages, "test")
	if err != nil {
		return all, err
	}
	all = supply{source: parts.Train.Source, classes: len(parts.Train.Classes), trainImages: len(train), testImages: len(test)}
	all.train, err = data.NewFolderLoader(data.FolderQueue{Name: "retrain/train", Seed: j.Seed, Folder: parts.Train, Images: train, BatchSize: c.Batch, Side: c.Side, Augment: true})
	if err == nil {
		all.test, err = data.NewFolderLoader(data.FolderQueue{Name: "retrain/test", Seed: j.Seed, Folder: parts.Test, Images: test, BatchSize: c.Batch, Side: c.Side, InOrder: true})
	}
	return all, err
}

// count returns the numbers from 0 to below n.
func count(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// first returns the first n numbers, all for 0.
func first(all []int, n int, what string) ([]int, error) {
	if n > len(all) {
		return nil, fmt.Errorf("%d %s images are asked for, there are %d", n, what, len(all))
	}
	if n == 0 {
		return all, nil
	}
	return all[:n], nil
}

// spread returns n of the numbers below all, as far apart as they can be, since images lie
// class by class; all for 0.
func spread(all, n int, what string) ([]int, error) {
	numbers, err := first(count(all), n, what)
	for i := range numbers {
		numbers[i] = i * all / len(numbers)
	}
	return numbers, err
}
