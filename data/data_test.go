package data_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/data"
)

func TestSource(t *testing.T) {
	s := data.Procedural(3, 5)
	sum := sha256.Sum256(append(slices.Clone(s.Images), s.Labels...))
	want := data.Source{
		Kind:   "procedural",
		Detail: "3 generated images of seed 5",
		Digest: hex.EncodeToString(sum[:]),
		Size:   32,
	}
	if diff := cmp.Diff(want, s.Source); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDownsample(t *testing.T) {
	s := &data.Set{Images: make([]uint8, 2*3*16*16), Labels: []uint8{4, 7}, Side: 16, Source: data.Source{Kind: "k", Detail: "d"}}
	// The box of pixel (0, 1) of the second image's green plane.
	plane := s.Image(1)[16*16:]
	plane[2], plane[3], plane[16+2], plane[16+3] = 10, 20, 30, 42 // mean 25.5
	small, err := data.Downsample(s, 8)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]uint8, 2*3*8*8)
	want[(1*3+1)*8*8+1] = 26
	if diff := cmp.Diff(want, small.Images); diff != "" {
		t.Errorf("pixels (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(s.Labels, small.Labels); diff != "" {
		t.Errorf("labels (-want +got)\n%s", diff)
	}
	if small.Side != 8 || small.Source.Size != 8 || small.Source.Kind != "k" || small.Source.Detail != "d, averaged over 2×2 boxes" {
		t.Errorf("side %d, source %+v", small.Side, small.Source)
	}
	if same, err := data.Downsample(s, 16); err != nil || same != s {
		t.Errorf("to its own side: %v, %v", same, err)
	}
	for _, side := range []int{-8, 0, 4, 12, 24, 32} {
		if _, err := data.Downsample(s, side); err == nil {
			t.Errorf("no error for side %d", side)
		}
	}
}

// Averaging twice by 2 stays within rounding of averaging once by 4.
func TestDownsampleTwice(t *testing.T) {
	s := data.Procedural(5, 1)
	half, _ := data.Downsample(s, 16)
	twice, _ := data.Downsample(half, 8)
	once, _ := data.Downsample(s, 8)
	for i := range once.Images {
		if d := int(once.Images[i]) - int(twice.Images[i]); d < -1 || d > 1 {
			t.Fatalf("value %d: %d at once, %d in two steps", i, once.Images[i], twice.Images[i])
		}
	}
}

func TestSplit(t *testing.T) {
	type part struct{ first, n int }
	for _, test := range []struct {
		n             int
		portion       float64
		limit         int
		train, search part
	}{
		{50000, 0.5, 0, part{0, 25000}, part{25000, 25000}},
		{50000, 0.5, 960, part{0, 480}, part{25000, 480}},
		{50000, 0.5, 961, part{0, 480}, part{25000, 481}},
		{50000, 0.9, 0, part{0, 45000}, part{45000, 5000}},
		{50000, 0.9, 1000, part{0, 900}, part{45000, 100}},
		{73257, 0.5, 0, part{0, 36628}, part{36628, 36629}}, // SVHN
		{11, 0.5, 0, part{0, 5}, part{5, 6}},
		{2, 0.5, 0, part{0, 1}, part{1, 1}},
	} {
		t.Run(fmt.Sprintf("%v of %d, limit %d", test.portion, test.n, test.limit), func(t *testing.T) {
			train, search, err := data.Split(&data.Set{Labels: make([]uint8, test.n)}, test.portion, test.limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name string
				got  []int
				want part
			}{{"train", train, test.train}, {"search", search, test.search}} {
				for i, v := range c.got {
					if v != c.want.first+i {
						t.Fatalf("%s[%d] = %d", c.name, i, v)
					}
				}
				if len(c.got) != c.want.n {
					t.Errorf("%s has %d images, want %d", c.name, len(c.got), c.want.n)
				}
			}
		})
	}
}

func TestSplitErrors(t *testing.T) {
	for _, test := range []struct {
		n       int
		portion float64
		limit   int
	}{{10, 0.5, 11}, {10, 0.5, -1}, {10, 0.5, 1}, {1, 0.5, 0}, {0, 0.5, 0}, {10, 0, 0}, {10, 1, 0}, {10, 0.05, 0}, {10, nan(), 0}} {
		if _, _, err := data.Split(&data.Set{Labels: make([]uint8, test.n)}, test.portion, test.limit); err == nil {
			t.Errorf("no error for portion %v of %d images, limit %d", test.portion, test.n, test.limit)
		}
	}
}

// The parts of a limited split are disjoint subsets of the whole split's, and
// have the limit's images between them.
func TestSplitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 300).Draw(t, "n")
		limit := rapid.IntRange(2, n).Draw(t, "limit")
		portion := rapid.SampledFrom([]float64{0.5, 0.9, 0.25}).Draw(t, "portion")
		s := &data.Set{Labels: make([]uint8, n)}
		train, search, err := data.Split(s, portion, limit)
		whole, rest, err2 := data.Split(s, portion, 0)
		if err != nil || err2 != nil {
			t.Skip("a part without images")
		}
		if len(train)+len(search) != limit {
			t.Fatalf("%d and %d images, want %d in all", len(train), len(search), limit)
		}
		if train[len(train)-1] > whole[len(whole)-1] || search[0] != rest[0] || search[len(search)-1] > rest[len(rest)-1] {
			t.Fatalf("train %v, search %v reach out of %v, %v", train, search, whole, rest)
		}
	})
}
