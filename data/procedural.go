package data

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/random"
)

const (
	proceduralSide = 32
	structures     = 10 // kinds of them
)

// The kinds of structures, which are the labels of the procedural set of 10 classes. A
// horizontal flip, which augmentation applies at random, maps each to itself.
const (
	horizontalStripes = iota
	verticalStripes
	diagonalStripes // in either direction
	chevrons
	checks
	spots
	disc
	ring
	cross
	saltire
)

// ProceduralClasses names the classes of the procedural set of 10 in label order.
var ProceduralClasses = [structures]string{
	horizontalStripes: "horizontal stripes",
	verticalStripes:   "vertical stripes",
	diagonalStripes:   "diagonal stripes",
	chevrons:          "chevrons",
	checks:            "checks",
	spots:             "spots",
	disc:              "disc",
	ring:              "ring",
	cross:             "cross",
	saltire:           "saltire",
}

// Procedural returns n ≥ 0 generated images of side 32; image i has label i mod
// 10. Equal arguments give equal images, and image i does not depend on n, only
// on the seed: a test set is a set of another seed.
//
// A class is a local structure of random place, size, phase, colours and
// contrast, brighter or darker than its shaded background, over a fainter
// structure of another class and under noise. No pixel tells a class by its
// value, so a linear model fails where a few convolutions succeed, also after
// Downsample to 16 or 8. The difficulty is tuned to leave a small network well
// short of perfect: a search needs a signal.
func Procedural(n int, seed uint64) *Set {
	s := generate(n, structures, func(img []uint8, label, i int) {
		r := random.New(seed, "data/procedural", uint64(i))
		canvas := make([]float64, len(img))
		shade(canvas, r)
		contrast := uniform(r, 16, 80)
		other := (label + 1 + r.IntN(structures-1)) % structures
		newStructure(other, contrast*r.Float64(), r).stamp(canvas)
		newStructure(label, contrast, r).stamp(canvas)
		expose(img, canvas, r)
	})
	s.Normalization = DARTSNormalization
	s.Source = Source{Kind: KindProcedural, Detail: fmt.Sprintf("%d generated images of seed %d", s.Len(), seed)}
	return newSet(*s)
}

// Procedural100 is Procedural with 100 classes, in the place of CIFAR-100: image i has
// label i mod 100. The tens of the label are the class of the structure in front, as
// Procedural has them, and its units that of the structure behind it, whose contrast is
// half as high or more.
func Procedural100(n int, seed uint64) *Set {
	s := generate(n, structures*structures, func(img []uint8, label, i int) {
		r := random.New(seed, "data/procedural100", uint64(i))
		canvas := make([]float64, len(img))
		shade(canvas, r)
		contrast := uniform(r, 16, 80)
		newStructure(label%structures, contrast*uniform(r, 0.5, 0.8), r).stamp(canvas)
		newStructure(label/structures, contrast, r).stamp(canvas)
		expose(img, canvas, r)
	})
	s.Normalization = CIFAR100Normalization
	s.Source = Source{Kind: KindProcedural100, Detail: fmt.Sprintf("%d generated images of 100 classes, seed %d", s.Len(), seed)}
	return newSet(*s)
}

// generate paints n images whose labels take turns.
func generate(n, classes int, paint func(img []uint8, label, i int)) *Set {
	const size = 3 * proceduralSide * proceduralSide
	n = max(n, 0)
	s := &Set{Images: make([]uint8, n*size), Labels: make([]uint8, n), Side: proceduralSide, Classes: classes}
	for i := range n {
		s.Labels[i] = uint8(i % classes)
		paint(s.Images[i*size:(i+1)*size], i%classes, i)
	}
	return s
}

// expose adds noise to the canvas and rounds it to an image.
func expose(img []uint8, canvas []float64, r *rand.Rand) {
	const noise = 20 // standard deviation in grey levels
	for i, v := range canvas {
		img[i] = uint8(math.Round(min(max(v+noise*r.NormFloat64(), 0), 255)))
	}
}

// shade fills the canvas with a random colour and a slope of random direction.
func shade(canvas []float64, r *rand.Rand) {
	dy, dx := math.Sincos(uniform(r, 0, 2*math.Pi))
	for c := range 3 {
		level, slope := uniform(r, 80, 175), uniform(r, -1.25, 1.25)
		for y := range proceduralSide {
			for x := range proceduralSide {
				canvas[(c*proceduralSide+y)*proceduralSide+x] = level + slope*(dx*fromCentre(x)+dy*fromCentre(y))
			}
		}
	}
}

func fromCentre(x int) float64 { return float64(x) - (proceduralSide-1)/2.0 }

func uniform(r *rand.Rand, low, high float64) float64 { return low + (high-low)*r.Float64() }

// structure is the pattern of a class as it stands in one image.
type structure struct {
	class  int
	x, y   float64    // centre, in pixels from the image's centre
	radius float64    // in pixels
	angle  float64    // of rotation, in radians
	pitch  float64    // wave number of stripes, checks and spots, in radians per radius
	phase  [2]float64 // their phases
	ink    [3]float64 // what the pattern adds to red, green and blue, in grey levels
}

// newStructure draws a structure of the given class whose ink has the contrast as
// its root mean square. The smallest, about two stripes across 18 pixels, still
// shows at side 8.
func newStructure(class int, contrast float64, r *rand.Rand) structure {
	s := structure{
		class:  class,
		x:      uniform(r, -5, 5),
		y:      uniform(r, -5, 5),
		radius: uniform(r, 9, 15),
		angle:  uniform(r, -math.Pi/18, math.Pi/18),
		pitch:  uniform(r, 1.6*math.Pi, 2.4*math.Pi),
		phase:  [2]float64{uniform(r, 0, 2*math.Pi), uniform(r, 0, 2*math.Pi)},
	}
	switch class {
	case diagonalStripes:
		s.angle += math.Pi / 4 * float64(2*r.IntN(2)-1)
	case saltire:
		s.angle += math.Pi / 4
	case spots:
		s.pitch *= 1.2
	}
	// Towards white or black, with a tint.
	polarity := float64(2*r.IntN(2) - 1)
	squares := 0.0
	for c := range s.ink {
		s.ink[c] = polarity + 0.5*r.NormFloat64()
		squares += s.ink[c] * s.ink[c]
	}
	for c := range s.ink {
		s.ink[c] *= contrast * math.Sqrt(3/squares)
	}
	return s
}

// stamp adds the structure to the canvas.
func (s structure) stamp(canvas []float64) {
	sin, cos := math.Sincos(s.angle)
	for y := range proceduralSide {
		for x := range proceduralSide {
			dx, dy := (fromCentre(x)-s.x)/s.radius, (fromCentre(y)-s.y)/s.radius
			cover := s.cover(cos*dx+sin*dy, cos*dy-sin*dx)
			for c, ink := range s.ink {
				canvas[(c*proceduralSide+y)*proceduralSide+x] += cover * ink
			}
		}
	}
}

// cover returns how much of the pixel at (u, v) the pattern covers, from 0 to 1,
// where the structure fills the unit disc.
func (s structure) cover(u, v float64) float64 {
	// inside turns the distance to an edge into cover, over the width of a pixel.
	inside := func(distance float64) float64 { return min(max(0.5+distance*s.radius, 0), 1) }
	across, down := math.Cos(s.pitch*u+s.phase[0]), math.Cos(s.pitch*v+s.phase[1])
	rho := math.Hypot(u, v)
	var wave float64 // its crests are covered
	switch s.class {
	case horizontalStripes, diagonalStripes:
		wave = down
	case verticalStripes:
		wave = across
	case chevrons:
		wave = math.Cos(s.pitch*(v+math.Abs(u)) + s.phase[1])
	case checks:
		wave = 2 * across * down
	case spots:
		wave = across + down - 1
	case disc:
		return inside(0.75 - rho)
	case ring:
		return inside(0.22 - math.Abs(rho-0.72))
	case cross, saltire:
		return inside(1-rho) * inside(0.2-min(math.Abs(u), math.Abs(v)))
	}
	return inside(1-rho) * min(max(0.5+1.5*wave, 0), 1)
}
