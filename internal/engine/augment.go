package engine

// Augmenter is an Engine that keeps the images of a set and makes batches of them
// itself, so that they need not be computed and copied for every step.
type Augmenter interface {
	Engine
	// Hold copies pixels, image by image its planes, for as long as what it
	// returns is in use.
	Hold(pixels []uint8) Held
	// Augment fills to, [len(crops), 3, side, side] row-major, with cropped images.
	// The levels are the 256 values of each of the three channels. A crop that leads
	// outside an image finds black there, level 0 of each channel.
	Augment(to Vector, from Held, side int, levels Vector, crops []Crop)
}

// Held is a set of images that an Augmenter keeps.
type Held interface{ Len() int } // bytes

// Crop says how an image of a batch is made of one of a set.
type Crop struct {
	Image     int64 // number in the set
	Top, Left int32 // row and column of the crop's corner in the image, negative outside
	Flip      int32 // 1 to flip the crop horizontally, else 0
	// Rows CutTop to CutBottom, exclusive, and columns CutLeft to CutRight are 0.
	CutTop, CutBottom, CutLeft, CutRight int32
	_                                    int32
}
