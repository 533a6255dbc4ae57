package data_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/data"
)

func nan() float64 { return math.NaN() }

// numbered returns n images of side 8 whose pixels are all the image's number.
func numbered(n int) *data.Set {
	s := &data.Set{Images: make([]uint8, n*3*8*8), Labels: make([]uint8, n), Side: 8}
	for i := range n {
		s.Labels[i] = uint8(i % 10)
		for j := range s.Image(i) {
			s.Image(i)[j] = uint8(i)
		}
	}
	return s
}

// grey leaves a pixel's value as it is, up to the division by 255.
var grey = data.Normalization{Std: [3]float32{1, 1, 1}}

func span(first, n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = first + i
	}
	return s
}

func newLoader(t testing.TB, change func(*data.Queue)) *data.Loader {
	t.Helper()
	q := data.Queue{Name: "train", Seed: 1, Set: numbered(100), Images: span(20, 50), BatchSize: 16, Transform: data.Transform{Normalization: grey}}
	change(&q)
	l, err := data.NewLoader(q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// batch returns batch k of an epoch in a buffer of its own.
func batch(l *data.Loader, epoch, k int) data.Batch {
	var b data.Batch
	l.Batch(&b, epoch, k)
	return b
}

// numbers returns which of the numbered images make up batches from first on.
func numbers(l *data.Loader, epoch, first, n int) []int {
	var got []int
	for k := first; k < first+n; k++ {
		b := batch(l, epoch, k)
		for i := range b.N {
			got = append(got, int(math.Round(255*b.Images[i*3*8*8])))
		}
	}
	return got
}

func TestBatchSizes(t *testing.T) {
	for _, test := range []struct{ images, size, batches, last int }{
		{25000, 96, 261, 40}, {25000, 64, 391, 40}, {36628, 64, 573, 20}, {45000, 64, 704, 8}, {5000, 64, 79, 8}, {480, 48, 10, 48}, {5, 96, 1, 5},
	} {
		t.Run(fmt.Sprintf("%d by %d", test.images, test.size), func(t *testing.T) {
			set := &data.Set{Images: make([]uint8, test.images*3*8*8), Labels: make([]uint8, test.images), Side: 8}
			l := newLoader(t, func(q *data.Queue) { q.Set, q.Images, q.BatchSize = set, span(0, test.images), test.size })
			if l.Len() != test.batches {
				t.Errorf("%d batches, want %d", l.Len(), test.batches)
			}
			if b := batch(l, 0, 0); b.N != min(test.size, test.images) {
				t.Errorf("first batch of %d", b.N)
			}
			b := batch(l, 0, l.Len()-1)
			if b.N != test.last || len(b.Labels) != b.N || len(b.Images) != b.N*3*8*8 || b.Side != 8 {
				t.Errorf("last batch: N %d, %d labels, %d pixels, side %d; want N %d", b.N, len(b.Labels), len(b.Images), b.Side, test.last)
			}
		})
	}
}

// Every pass takes each image once, in an order of its own.
func TestPasses(t *testing.T) {
	l := newLoader(t, func(*data.Queue) {})
	seen := map[string]string{}
	for epoch := range 3 {
		for number := range 3 {
			got := numbers(l, epoch, number*l.Len(), l.Len())
			name := fmt.Sprintf("pass %d of epoch %d", number, epoch)
			if other, dup := seen[fmt.Sprint(got)]; dup {
				t.Errorf("%s repeats %s", name, other)
			}
			seen[fmt.Sprint(got)] = name
			slices.Sort(got)
			if diff := cmp.Diff(span(20, 50), got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
	}
}

func TestInOrder(t *testing.T) {
	l := newLoader(t, func(q *data.Queue) { q.InOrder = true })
	if diff := cmp.Diff(append(span(20, 50), span(20, 16)...), numbers(l, 3, 0, l.Len()+1)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestStreamsAreIndependent(t *testing.T) {
	base := newLoader(t, func(*data.Queue) {})
	want := numbers(base, 2, 0, 4)
	for name, change := range map[string]func(*data.Queue){
		"seed":  func(q *data.Queue) { q.Seed = 2 },
		"queue": func(q *data.Queue) { q.Name = "search" },
	} {
		if slices.Equal(want, numbers(newLoader(t, change), 2, 0, 4)) {
			t.Errorf("another %s gives the same order", name)
		}
	}
	// Augmentation and cutout do not shift the order, nor cutout augmentation.
	set := data.Procedural(100, 1)
	with := func(tr data.Transform) data.Batch {
		tr.Normalization = grey
		return batch(newLoader(t, func(q *data.Queue) { q.Set, q.Transform = set, tr }), 2, 1)
	}
	plain, augmented, cut := with(data.Transform{}), with(data.Transform{Augment: true}), with(data.Transform{Augment: true, Cutout: 1})
	if !slices.Equal(plain.Labels, augmented.Labels) || !slices.Equal(plain.Labels, cut.Labels) {
		t.Error("the transform changes the order")
	}
	if slices.Equal(plain.Images, augmented.Images) {
		t.Error("augmentation changes nothing")
	}
	changed := 0
	for i, v := range cut.Images {
		if v != augmented.Images[i] {
			changed++
			if v != 0 {
				t.Fatalf("cutout turns %v into %v at %d", augmented.Images[i], v, i)
			}
		}
	}
	if changed == 0 {
		t.Error("cutout changes nothing")
	}
}

// Batches may be asked for in any order, into any buffer, by several goroutines.
func TestBatchesAreFunctions(t *testing.T) {
	set := data.Procedural(60, 1)
	l := newLoader(t, func(q *data.Queue) {
		q.Set, q.Images = set, span(0, 60)
		q.Transform = data.Transform{Normalization: data.DARTSNormalization, Augment: true, Cutout: 0.5}
	})
	type key struct{ epoch, k int }
	want := map[key]data.Batch{}
	for epoch := range 2 {
		for k := range 6 {
			want[key{epoch, k}] = batch(l, epoch, k)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var b data.Batch
			for key, w := range want {
				l.Batch(&b, key.epoch, key.k)
				if b.N != w.N || !slices.Equal(b.Labels, w.Labels) || !slices.Equal(b.Images, w.Images) {
					t.Errorf("batch %v changed", key)
				}
			}
		})
	}
	wg.Wait()
}

func TestBatchReusesItsBuffer(t *testing.T) {
	l := newLoader(t, func(q *data.Queue) { q.Transform.Augment = true })
	var b data.Batch
	l.Batch(&b, 0, 0)
	first := &b.Images[0]
	// A pass's order is made once; a batch's streams are a few small objects.
	if n := testing.AllocsPerRun(20, func() { l.Batch(&b, 0, 1) }); n > 10 {
		t.Errorf("%v allocations for a batch", n)
	}
	if &b.Images[0] != first {
		t.Error("the buffer was replaced")
	}
}

// Without the flip everything else is drawn as with it.
func TestNoFlip(t *testing.T) {
	crops := func(noFlip bool) (all []data.Crop) {
		l := newLoader(t, func(q *data.Queue) {
			q.Transform = data.Transform{Normalization: grey, Augment: true, NoFlip: noFlip, Cutout: 0.5}
		})
		for k := range l.Len() {
			all = append(all, batch(l, 3, k).Recipe.Crops...)
		}
		return all
	}
	flipped := 0
	with, without := crops(false), crops(true)
	for i, c := range with {
		if c.Flip {
			flipped++
		}
		c.Flip = false
		if without[i] != c {
			t.Errorf("image %d: %+v without the flip, want %+v", i, without[i], c)
		}
	}
	if flipped == 0 || flipped == len(with) {
		t.Errorf("%d of %d flipped", flipped, len(with))
	}
}

func TestAugmentationIsUniform(t *testing.T) {
	// One white pixel in the middle; where it lands tells the crop.
	set := &data.Set{Images: make([]uint8, 3*16*16), Labels: []uint8{0}, Side: 16}
	set.Images[8*16+7] = 255
	l := newLoader(t, func(q *data.Queue) {
		q.Set, q.Images, q.BatchSize = set, []int{0}, 1
		q.Transform.Augment = true
	})
	const n = 5000
	where := map[[2]int]int{}
	var b data.Batch
	for k := range n {
		l.Batch(&b, k/71, k%71)
		i := slices.Index(b.Images, 1)
		where[[2]int{i / 16, i % 16}]++
	}
	// Padding 2: five rows; five columns around 7 and, flipped, five around 8.
	for row := 6; row <= 10; row++ {
		for col := 5; col <= 10; col++ {
			share := 2.0
			if col == 5 || col == 10 {
				share = 1
			}
			want := share / 50 * n
			if got := float64(where[[2]int{row, col}]); math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("pixel at (%d, %d) %v times, want about %v", row, col, got, want)
			}
			delete(where, [2]int{row, col})
		}
	}
	if len(where) > 0 {
		t.Errorf("pixel also at %v", where)
	}
}

func TestCutoutProbability(t *testing.T) {
	set := &data.Set{Images: make([]uint8, 3*8*8), Labels: []uint8{0}, Side: 8}
	for i := range set.Images {
		set.Images[i] = 255
	}
	for _, p := range []float64{0, 0.3, 1} {
		l := newLoader(t, func(q *data.Queue) { q.Set, q.Images, q.BatchSize, q.Transform.Cutout = set, []int{0}, 1, p })
		const n = 2000
		var b data.Batch
		for name, at := range map[string]func(i int) (epoch, k int){
			"batches": func(i int) (int, int) { return 0, i },
			"epochs":  func(i int) (int, int) { return i, 0 },
		} {
			cut := 0
			for i := range n {
				epoch, k := at(i)
				l.Batch(&b, epoch, k)
				if slices.Contains(b.Images, 0) {
					cut++
				}
			}
			if math.Abs(float64(cut)-p*n) > 5*math.Sqrt(p*(1-p)*n) {
				t.Errorf("probability %v: %d of %d %s cut", p, cut, n, name)
			}
		}
	}
}

// A transformed image holds only normalised grey levels of its own and the
// border's black.
func TestTransformKeepsPixels(t *testing.T) {
	set := data.Procedural(30, 1)
	levels := data.DARTSNormalization.Levels()
	rapid.Check(t, func(t *rapid.T) {
		c := data.Crop{
			Top:  rapid.IntRange(0, 8).Draw(t, "top"),
			Left: rapid.IntRange(0, 8).Draw(t, "left"),
			Flip: rapid.Bool().Draw(t, "flip"),
		}
		img := set.Image(rapid.IntRange(0, 29).Draw(t, "image"))
		got := make([]float64, len(img))
		c.Apply(got, img, 32, levels)
		y, x := rapid.IntRange(0, 31).Draw(t, "y"), rapid.IntRange(0, 31).Draw(t, "x")
		sy, sx := y+c.Top-4, x+c.Left-4
		at := x
		if c.Flip {
			at = 31 - x
		}
		for channel := range 3 {
			want := levels[channel][0]
			if sy >= 0 && sy < 32 && sx >= 0 && sx < 32 {
				want = levels[channel][img[(channel*32+sy)*32+sx]]
			}
			if v := got[(channel*32+y)*32+at]; v != want {
				t.Fatalf("channel %d at (%d, %d): %v, want %v", channel, y, at, v, want)
			}
		}
	})
}

func TestNewLoaderErrors(t *testing.T) {
	for name, change := range map[string]func(*data.Queue){
		"name":     func(q *data.Queue) { q.Name = "" },
		"images":   func(q *data.Queue) { q.Images = nil },
		"too high": func(q *data.Queue) { q.Images = []int{3, 100} },
		"negative": func(q *data.Queue) { q.Images = []int{-1, 3} },
		"batch":    func(q *data.Queue) { q.BatchSize = 0 },
		"side":     func(q *data.Queue) { q.Set = &data.Set{Side: 12} },
		"pixels":   func(q *data.Queue) { q.Set = &data.Set{Side: 8, Labels: make([]uint8, 100)} },
		"std":      func(q *data.Queue) { q.Transform.Normalization = data.Normalization{} },
		"cutout":   func(q *data.Queue) { q.Transform.Cutout = 1.5 },
		"nan":      func(q *data.Queue) { q.Transform.Cutout = nan() },
	} {
		q := data.Queue{Name: "train", Set: numbered(100), Images: span(20, 50), BatchSize: 16, Transform: data.Transform{Normalization: grey}}
		if _, err := data.NewLoader(q); err != nil {
			t.Fatal(err)
		}
		change(&q)
		if _, err := data.NewLoader(q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	set := data.Procedural(96, 1)
	l := newLoader(b, func(q *data.Queue) {
		q.Set, q.Images, q.BatchSize = set, span(0, 96), 96
		q.Transform = data.Transform{Normalization: data.DARTSNormalization, Augment: true}
	})
	var batch data.Batch
	for b.Loop() {
		l.Batch(&batch, 0, 0)
	}
}
