package data

import (
	"fmt"
	"math/rand/v2"

	"github.com/nb1shot/nb1shot/random"
)

// Normalization holds the mean and standard deviation of each channel, of values
// from 0 to 1.
type Normalization struct{ Mean, Std [3]float32 }

var (
	// DARTSNormalization is CIFAR-10's for every algorithm but ENAS.
	DARTSNormalization = Normalization{
		Mean: [3]float32{0.49139968, 0.48215827, 0.44653124},
		Std:  [3]float32{0.24703233, 0.24348505, 0.26158768},
	}
	// ENASNormalization is CIFAR-10's for ENAS (Q18).
	ENASNormalization = Normalization{
		Mean: [3]float32{0.4914, 0.4822, 0.4465},
		Std:  [3]float32{0.2023, 0.1994, 0.2010},
	}
	// CIFAR100Normalization is CIFAR-100's in the released code of SmoothDARTS.
	CIFAR100Normalization = Normalization{
		Mean: [3]float32{0.5071, 0.4865, 0.4409},
		Std:  [3]float32{0.2673, 0.2564, 0.2762},
	}
	// PDARTSNormalization is CIFAR-100's in the released code of P-DARTS (quirk C32).
	PDARTSNormalization = Normalization{
		Mean: [3]float32{0.5071, 0.4867, 0.4408},
		Std:  [3]float32{0.2675, 0.2565, 0.2761},
	}
	// SVHNNormalization is SVHN's in the released code of SmoothDARTS.
	SVHNNormalization = Normalization{
		Mean: [3]float32{0.4377, 0.4438, 0.4728},
		Std:  [3]float32{0.1980, 0.2010, 0.1970},
	}
)

// ImageNetNormalization is ImageNet's.
var ImageNetNormalization = Normalization{
	Mean: [3]float32{0.485, 0.456, 0.406},
	Std:  [3]float32{0.229, 0.224, 0.225},
}

// Levels holds the normalised value of each grey level, per channel.
type Levels [3][256]float64

// Levels tabulates (v/255 − mean)/std, computed in float32 as the released code
// does, and widened.
func (n Normalization) Levels() *Levels {
	var levels Levels
	for c := range levels {
		for v := range levels[c] {
			levels[c][v] = float64((float32(v)/255 - n.Mean[c]) / n.Std[c])
		}
	}
	return &levels
}

// Transform says how images become the input of a network.
type Transform struct {
	Normalization Normalization
	// Augment crops the image, padded by side/8 black pixels on each side (4 at
	// side 32), at a random place, and flips it horizontally with probability
	// 1/2. Training has it, and with parity so has validation (Q10).
	Augment bool
	// NoFlip leaves out the flip, of digits for example, and draws all else as with
	// it; the released code flips SVHN as well (quirk C28).
	NoFlip bool
	// Cutout is the probability that a square of side/2 pixels around a random
	// pixel, as far as it lies in the image, is set to 0 after normalisation.
	// The released code keeps it constant (Q21); 0, its default, is off.
	Cutout float64
	// CutoutEpochs, if above 1, lets the probability grow linearly from 0 in epoch
	// 0 to Cutout in epoch CutoutEpochs−1, which the released code means to do.
	CutoutEpochs int
}

// cutoutAt is the probability of a cutout in an epoch.
func (t Transform) cutoutAt(epoch int) float64 {
	if t.CutoutEpochs < 2 {
		return t.Cutout
	}
	return t.Cutout * float64(min(epoch, t.CutoutEpochs-1)) / float64(t.CutoutEpochs-1)
}

func (t Transform) check() error {
	for c, std := range t.Normalization.Std {
		if !(std > 0) {
			return fmt.Errorf("standard deviation %v of channel %d: want a positive number", std, c)
		}
	}
	if !(t.Cutout >= 0 && t.Cutout <= 1) {
		return fmt.Errorf("cutout probability %v: want 0 to 1", t.Cutout)
	}
	return nil
}

// Crop is what a transform drew for one image.
type Crop struct {
	Top, Left int  // corner of the crop in the padded image, in pixels from 0 to 2·side/8
	Flip      bool // of the crop
	Cutout    bool
	Row, Col  int // centre of the cutout, in pixels from 0 to side−1
}

// draws returns a function that draws the crops of a batch's images in turn.
// Cutout has a stream of its own, so that it leaves the others as they are.
func (t Transform) draws(seed uint64, queue string, epoch, k, side int) func() Crop {
	var augment, cutout *rand.Rand
	if t.Augment {
		augment = random.New(seed, "data/"+queue+"/augment", uint64(epoch), uint64(k))
	}
	if t.Cutout > 0 {
		cutout = random.New(seed, "data/"+queue+"/cutout", uint64(epoch), uint64(k))
	}
	pad, probability := side/8, t.cutoutAt(epoch)
	return func() Crop {
		c := Crop{Top: pad, Left: pad}
		if augment != nil {
			c.Top, c.Left, c.Flip = augment.IntN(2*pad+1), augment.IntN(2*pad+1), augment.IntN(2) == 1
			c.Flip = c.Flip && !t.NoFlip
		}
		if cutout != nil {
			c.Cutout = cutout.Float64() < probability
			c.Row, c.Col = cutout.IntN(side), cutout.IntN(side)
		}
		return c
	}
}

// Square is where the cutout is: rows from top to below bottom and columns from left
// to below right, all empty without one.
func (c Crop) Square(side int) (top, bottom, left, right int) {
	if !c.Cutout {
		return 0, 0, 0, 0
	}
	half := side / 4
	return max(c.Row-half, 0), min(c.Row+half, side), max(c.Col-half, 0), min(c.Col+half, side)
}

// Apply fills dst with the transformed image; both are 3×side×side.
func (c Crop) Apply(dst []float64, img []uint8, side int, levels *Levels) {
	pad := side / 8
	top, bottom, left, right := c.Square(side)
	for channel := range levels {
		plane := img[channel*side*side : (channel+1)*side*side]
		for y := range side {
			row := dst[(channel*side+y)*side : (channel*side+y+1)*side]
			sy := y + c.Top - pad
			for x := range row {
				sx := x
				if c.Flip {
					sx = side - 1 - x
				}
				sx += c.Left - pad
				var v uint8 // black outside the image
				if sy >= 0 && sy < side && sx >= 0 && sx < side {
					v = plane[sy*side+sx]
				}
				row[x] = levels[channel][v]
			}
			if y >= top && y < bottom {
				clear(row[left:right])
			}
		}
	}
}
