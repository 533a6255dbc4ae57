// Package data provides the images that a search trains on: CIFAR-10, CIFAR-100 and
// SVHN, read from their official forms, and procedural stand-ins that need no download;
// their split into a training and a search half; and the random batches of each
// half, every one of which can be produced directly from its epoch and number.
package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
)

// The kinds of images, as Source.Kind and records name them.
const (
	KindCIFAR10       = "cifar10"
	KindCIFAR100      = "cifar100"
	KindSVHN          = "svhn"
	KindProcedural    = "procedural"    // a stand-in of 10 classes
	KindProcedural100 = "procedural100" // a stand-in of 100 classes
)

// Source tells where the images of a set come from.
type Source struct {
	Kind   string // one of the kinds above
	Detail string // for people: which part, from where, how changed
	Digest string // SHA-256, in hex, of all pixels followed by all labels
	Size   int    // side of an image, in pixels
}

// Set is a labelled set of square colour images.
type Set struct {
	Images []uint8 // N×3×Side×Side: image by image its red, green and blue plane, row by row
	Labels []uint8 // N labels below Classes
	Side   int     // side of an image, in pixels
	// Classes is the number of classes: 10, or 100 for CIFAR-100 and its stand-in.
	Classes       int
	Normalization Normalization // of the data set that the images are of or stand in for
	Source        Source
}

// newSet completes a set's source by its digest and its side.
func newSet(s Set) *Set {
	h := sha256.New()
	h.Write(s.Images)
	h.Write(s.Labels)
	s.Source.Digest, s.Source.Size = hex.EncodeToString(h.Sum(nil)), s.Side
	return &s
}

// Len returns the number of images.
func (s *Set) Len() int { return len(s.Labels) }

// Image returns the 3×Side×Side pixels of image i, which alias the set's.
func (s *Set) Image(i int) []uint8 {
	size := 3 * s.Side * s.Side
	return s.Images[i*size : (i+1)*size]
}

// First returns the first n images of the set, or the set itself if it has no
// more.
func First(s *Set, n int) *Set {
	if n >= s.Len() {
		return s
	}
	first, size := *s, 3*s.Side*s.Side
	first.Images, first.Labels = s.Images[:n*size], s.Labels[:n]
	first.Source.Detail = fmt.Sprintf("the first %d of %s", n, s.Source.Detail)
	return newSet(first)
}

// Downsample returns the set at a smaller side: each pixel is the mean of a
// square box of pixels, rounded to nearest with halves up. The side must be a
// multiple of 8, so that the crop's padding of side/8 is whole, and must divide
// the set's side: 8, 16 or 32 for images of 32. The set's own side returns the
// set itself.
func Downsample(s *Set, side int) (*Set, error) {
	if side < 8 || side%8 != 0 || s.Side%side != 0 {
		return nil, fmt.Errorf("downsample images of side %d to side %d: the new side must be a multiple of 8 that divides the old one", s.Side, side)
	}
	if side == s.Side {
		return s, nil
	}
	box := s.Side / side
	area := box * box
	images := make([]uint8, 0, len(s.Images)/area)
	for plane := 0; plane < len(s.Images); plane += s.Side * s.Side {
		for y := 0; y < s.Side; y += box {
			for x := 0; x < s.Side; x += box {
				sum := 0
				for row := y; row < y+box; row++ {
					start := plane + row*s.Side + x
					for _, v := range s.Images[start : start+box] {
						sum += int(v)
					}
				}
				images = append(images, uint8((sum+area/2)/area))
			}
		}
	}
	small := *s
	small.Images, small.Side = images, side
	small.Source.Detail = fmt.Sprintf("%s, averaged over %d×%d boxes", s.Source.Detail, box, box)
	return newSet(small), nil
}

// Split returns the numbers of the images that train the weights and of those
// that drive the search, in file order: the first ⌊portion·N⌋ images and the
// rest. The portion is 0.5 but for ENAS, where it is 0.9 and the rest rewards the
// controller (Q18).
//
// A limit other than 0 makes a smaller problem of that many images in all: the
// first ⌊portion·limit⌋ of the training part and the first of the search part,
// so that each remains a subset of the whole set's part.
func Split(s *Set, portion float64, limit int) (train, search []int, err error) {
	n := s.Len()
	if limit == 0 {
		limit = n
	}
	if limit < 0 || limit > n {
		return nil, nil, fmt.Errorf("split: limit of %d images: the set has %d", limit, n)
	}
	boundary, trainLen := int(math.Floor(portion*float64(n))), int(math.Floor(portion*float64(limit)))
	searchLen := limit - trainLen
	if !(portion > 0 && portion < 1) || trainLen < 1 || searchLen < 1 || searchLen > n-boundary {
		return nil, nil, fmt.Errorf("split: portion %v of %d images leaves a part without images", portion, limit)
	}
	return span(0, trainLen), span(boundary, searchLen), nil
}

// span returns the n integers from first on.
func span(first, n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = first + i
	}
	return s
}
