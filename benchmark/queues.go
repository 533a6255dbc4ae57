package benchmark

import (
	"fmt"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
)

// queues hands the images of a job to an algorithm, and to the harness for its
// validation.
type queues struct {
	loaders    [algorithms.TestSet + 1]*data.Loader
	batches    [algorithms.TestSet + 1]data.Batch
	validation *data.Loader
	images     [2]int // in the training and the search part
	// What cells are scored on: images as they are, in file order.
	held, test data.Queue // test has no set where there are no test images
}

// Len implements algorithms.Batches.
func (q *queues) Len(queue algorithms.Queue) int { return q.loaders[queue].Len() }

// Batch implements algorithms.Batches.
func (q *queues) Batch(queue algorithms.Queue, epoch, k int) data.Batch {
	q.loaders[queue].Batch(&q.batches[queue], epoch, k)
	return q.batches[queue]
}

// normalization is that of the images, unless the algorithm has another one for CIFAR-10
// or the configuration for CIFAR-100.
func (j Job) normalization(from algorithms.Preparation) data.Normalization {
	switch {
	case j.Config.PDARTSConstants:
		return data.PDARTSNormalization
	case from.Normalization != nil && j.Train.Normalization == data.DARTSNormalization:
		return *from.Normalization
	}
	return j.Train.Normalization
}

// newQueues makes the queues of an algorithm. Parity validates on augmented
// images too, so the validation is a queue of its own over the search part
// (quirk Q10). Raw batches have a recipe of their images instead of the images.
func (j Job) newQueues(from algorithms.Preparation, raw bool) (*queues, error) {
	train, search, err := data.Split(j.Train, from.TrainPortion, j.Config.Limit)
	if err != nil {
		return nil, err
	}
	q := &queues{images: [2]int{len(train), len(search)}}
	normalization := j.normalization(from)
	augmented := data.Transform{
		Normalization: normalization, Augment: j.Config.Augment, NoFlip: j.Config.NoFlip, Cutout: j.Config.Cutout,
	}
	if j.Config.CutoutGrows {
		augmented.CutoutEpochs = j.Config.Epochs
	}
	clean := data.Transform{Normalization: normalization}
	q.held = data.Queue{Name: "scored", Seed: j.Seed, Set: j.Train, Images: search, Transform: clean, InOrder: true, Raw: raw}
	if j.Test != nil {
		q.test = q.held
		q.test.Set, q.test.Images = j.Test, make([]int, j.Test.Len())
		for i := range q.test.Images {
			q.test.Images[i] = i
		}
	}
	validation := augmented
	if j.Config.CleanValidation {
		validation = clean
	}
	list := []struct {
		loader    **data.Loader
		name      string
		set       *data.Set
		images    []int
		transform data.Transform
		inOrder   bool
		fresh     bool
	}{
		{&q.loaders[algorithms.Train], "train", j.Train, train, augmented, false, false},
		{&q.loaders[algorithms.Search], "search", j.Train, search, augmented, false, j.Config.FreshSearch},
		{&q.loaders[algorithms.Held], "held", j.Train, search, clean, true, false},
		{&q.validation, "validation", j.Train, search, validation, false, false},
	}
	if from.TestSet {
		if j.Test == nil {
			return nil, fmt.Errorf("algorithm %s ranks cells on a test set, and there is none", j.Config.Algorithm)
		}
		list = append(list, list[0])
		last := &list[len(list)-1]
		last.loader, last.name, last.set, last.images = &q.loaders[algorithms.TestSet], "test", j.Test, q.test.Images
		last.transform, last.inOrder = clean, true
	}
	for _, l := range list {
		*l.loader, err = data.NewLoader(data.Queue{
			Name: l.name, Seed: j.Seed, Set: l.set, Images: l.images, BatchSize: j.Config.Batch,
			Transform: l.transform, InOrder: l.inOrder, Fresh: l.fresh, Raw: raw,
		})
		if err != nil {
			return nil, err
		}
	}
	return q, nil
}
