package data

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/random"
)

// Batch is what one step of training or evaluation works on.
type Batch struct {
	Images  []float64 // N×3×Side×Side, transformed; empty where only the recipe is given
	Labels  []int     // N
	N, Side int
	// Serial, unless 0, is of these images and labels alone: whoever has seen it
	// knows them. Whoever changes them gives them another one, see NewSerial.
	Serial uint64
	Recipe *Recipe // nil for images that were not made of a set
	// Text is there instead of images and labels where a network reads words. N is then the
	// number of words that are to be predicted.
	Text *text.Passage
}

// Recipe is how the images of a batch are made of those of a set.
type Recipe struct {
	Set     *Set
	Levels  *Levels
	Numbers []int // of the images in the set
	Crops   []Crop
}

// Render fills dst, N×3×Side×Side, with the images.
func (r *Recipe) Render(dst []float64) {
	size := 3 * r.Set.Side * r.Set.Side
	for i, number := range r.Numbers {
		r.Crops[i].Apply(dst[i*size:(i+1)*size], r.Set.Image(number), r.Set.Side, r.Levels)
	}
}

var serials atomic.Uint64

// NewSerial returns a Batch.Serial that no other batch has.
func NewSerial() uint64 { return serials.Add(1) }

// Queue says which batches to make of which images. The released code has a
// training queue and a search queue, both transformed for training (Q10).
type Queue struct {
	Name      string // names the random streams: queues of different names are independent
	Seed      uint64 // of the run
	Set       *Set
	Images    []int // numbers of the set's images, as Split gives them
	BatchSize int   // 96, and 64 for ENAS
	Transform Transform
	InOrder   bool // keeps the order of Images in every pass; the default permutes it afresh
	Fresh     bool // every batch is the first of an order of its own, with all of BatchSize (quirk C5); not with InOrder
	Raw       bool // leaves it to the batch's user to make the images by the recipe
}

// Loader makes the batches of a queue. Every batch is a function of its epoch and
// number alone, so a resumed run or a goroutine that works ahead needs no replay;
// a Loader may be used by several goroutines at once.
type Loader struct {
	queue  Queue
	levels *Levels
	orders orders
}

// pass names one run through a queue: an epoch passes a queue several times if it
// takes more batches than the queue has.
type pass struct{ epoch, number int }

// NewLoader checks the queue and returns its loader.
func NewLoader(q Queue) (*Loader, error) {
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("queue %q: %w", q.Name, err)
	}
	return &Loader{
		queue: q, levels: q.Transform.Normalization.Levels(),
		orders: orders{seed: q.Seed, name: q.Name, images: q.Images, inOrder: q.InOrder},
	}, nil
}

func (q Queue) check() error {
	switch {
	case q.Name == "":
		return errors.New("a queue needs a name")
	case q.Set.Side < 8 || q.Set.Side%8 != 0:
		return fmt.Errorf("images of side %d: want a multiple of 8", q.Set.Side)
	case len(q.Set.Images) != q.Set.Len()*3*q.Set.Side*q.Set.Side:
		return fmt.Errorf("%d pixel values for %d images of side %d", len(q.Set.Images), q.Set.Len(), q.Set.Side)
	case len(q.Images) == 0:
		return errors.New("no images")
	case slices.Min(q.Images) < 0 || slices.Max(q.Images) >= q.Set.Len():
		return fmt.Errorf("image numbers from %d to %d: the set has %d images", slices.Min(q.Images), slices.Max(q.Images), q.Set.Len())
	case q.BatchSize < 1:
		return fmt.Errorf("batch size %d: want at least 1", q.BatchSize)
	case q.Fresh && q.InOrder:
		return errors.New("batches cannot both be drawn afresh and keep the order")
	}
	return q.Transform.check()
}

// Len returns the number of batches of one pass. The last one holds what is
// left: 25,000 images are 261 batches of 96, the last of 40.
func (l *Loader) Len() int {
	return (len(l.queue.Images) + l.queue.BatchSize - 1) / l.queue.BatchSize
}

// Batch fills dst with batch k ≥ 0 of an epoch ≥ 0, reusing its slices where they
// are large enough. Numbers from Len on continue with further passes, each in an
// order of its own, as when a short search queue accompanies a longer training
// queue. In a queue that is Fresh every batch begins a pass.
//
// The order of a pass and the augmentation of a batch come from the streams
// data/NAME/order, by epoch and pass, and data/NAME/augment, by epoch and k.
func (l *Loader) Batch(dst *Batch, epoch, k int) {
	q := &l.queue
	number, first := k/l.Len(), k%l.Len()*q.BatchSize
	if q.Fresh {
		number, first = k, 0
	}
	order := l.orders.of(pass{epoch, number})
	order = order[first:min(first+q.BatchSize, len(order))]

	size := 3 * q.Set.Side * q.Set.Side
	dst.N, dst.Side, dst.Serial = len(order), q.Set.Side, NewSerial()
	dst.Labels = slices.Grow(dst.Labels[:0], dst.N)[:dst.N]
	if dst.Recipe == nil {
		dst.Recipe = &Recipe{}
	}
	r := dst.Recipe
	r.Set, r.Levels, r.Numbers, r.Crops = q.Set, l.levels, append(r.Numbers[:0], order...), r.Crops[:0]
	draw := q.Transform.draws(q.Seed, q.Name, epoch, k, q.Set.Side)
	for i, number := range order {
		dst.Labels[i] = int(q.Set.Labels[number])
		r.Crops = append(r.Crops, draw())
	}
	dst.Images = dst.Images[:0]
	if !q.Raw {
		dst.Images = slices.Grow(dst.Images, dst.N*size)[:dst.N*size]
		r.Render(dst.Images)
	}
}

// orders are the orders in which a queue passes its images.
type orders struct {
	seed    uint64
	name    string // of the queue
	images  []int
	inOrder bool

	mu    sync.Mutex
	pass  pass
	order []int // images, as permuted for pass
}

// of returns the image numbers in the order of a pass. That of the latest pass is kept.
func (o *orders) of(p pass) []int {
	if o.inOrder {
		return o.images
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.order == nil || o.pass != p {
		r := random.New(o.seed, "data/"+o.name+"/order", uint64(p.epoch), uint64(p.number))
		order := slices.Clone(o.images)
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		o.pass, o.order = p, order
	}
	return o.order
}
