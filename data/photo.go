package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"

	"golang.org/x/image/draw"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Bounds on the file of a photograph: in bytes, and in pixels. The largest of ImageNet have
// some 15 MB and 60 million pixels.
const (
	maxPhotoBytes  = 64 << 20
	maxPhotoPixels = 100_000_000
)

// PhotoError reports an image that cannot be used.
type PhotoError struct {
	Path string
	Err  error
}

// Error names the file.
func (e *PhotoError) Error() string { return fmt.Sprintf("image %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *PhotoError) Unwrap() error { return e.Err }

// Photo is a decoded photograph of any size.
type Photo struct {
	image.Image
}

// ReadPhoto reads a JPEG file; one of ImageNet's is a PNG in truth, which is read, too. A
// truncated file, one of another format, and one of more than 64 MiB or 100 million pixels
// is an error.
func ReadPhoto(path string) (Photo, error) {
	text, err := foreign.ReadFile(path, maxPhotoBytes)
	if err != nil {
		return Photo{}, err
	}
	return decodePhoto(text)
}

func decodePhoto(text []byte) (Photo, error) {
	decode, size := jpeg.Decode, jpeg.DecodeConfig
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xd8")):
	case bytes.HasPrefix(text, []byte("\x89PNG\r\n")):
		decode, size = png.Decode, png.DecodeConfig
	case len(text) == 0:
		return Photo{}, errors.New("the file is empty")
	default:
		return Photo{}, fmt.Errorf("the file begins with % x: want a JPEG, which begins with ff d8", text[:min(4, len(text))])
	}
	config, err := size(bytes.NewReader(text))
	if err != nil {
		return Photo{}, err
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxPhotoPixels/config.Height {
		return Photo{}, fmt.Errorf("%d×%d pixels: want at least 1 and at most %d in all", config.Width, config.Height, maxPhotoPixels)
	}
	img, err := decode(bytes.NewReader(text))
	if err != nil {
		return Photo{}, err
	}
	return Photo{img}, nil
}

// PhotoCrop is what becomes of a photograph.
type PhotoCrop struct {
	Part image.Rectangle // that is scaled to the side of the output
	Flip bool            // horizontally
	// The factors of brightness, contrast and saturation, 1 for none, and the turn of hue in
	// whole turns, 0 for none; in the order of Order, which lists 0 to 3.
	Brightness, Contrast, Saturation, Hue float64
	Order                                 [4]int
}

// unchanged has the colours as they are.
func unchanged(part image.Rectangle) PhotoCrop {
	return PhotoCrop{Part: part, Brightness: 1, Contrast: 1, Saturation: 1, Order: [4]int{0, 1, 2, 3}}
}

// Middle is the crop of the test: the middle square of the image whose shorter side is
// scaled to 256/224 of the output's.
func (p Photo) Middle(side int) PhotoCrop {
	b := p.Bounds()
	part := int(math.Round(float64(min(b.Dx(), b.Dy())) * 224 / 256))
	part = max(part, 1)
	left, top := b.Min.X+(b.Dx()-part)/2, b.Min.Y+(b.Dy()-part)/2
	return unchanged(image.Rect(left, top, left+part, top+part))
}

// The ranges of random crops, in the released code: of their area, as a share of the
// image's, and of their width over their height; and how far colours are jittered.
const (
	leastArea  = 0.08
	leastRatio = 3.0 / 4
	jitter     = 0.4 // of brightness, contrast and saturation: factors from 0.6 to 1.4
	hueJitter  = 0.2 // turns to either side
)

// Random draws the crop of training: a part of random area and shape (the middle, after ten
// that do not fit), flipped with probability 1/2, with jittered colours.
func (p Photo) Random(r *rand.Rand) PhotoCrop {
	c := unchanged(p.randomPart(r))
	c.Flip = r.IntN(2) == 1
	factor := func() float64 { return 1 - jitter + 2*jitter*r.Float64() }
	c.Brightness, c.Contrast, c.Saturation = factor(), factor(), factor()
	c.Hue = hueJitter * (2*r.Float64() - 1)
	r.Shuffle(len(c.Order), func(i, j int) { c.Order[i], c.Order[j] = c.Order[j], c.Order[i] })
	return c
}

func (p Photo) randomPart(r *rand.Rand) image.Rectangle {
	b := p.Bounds()
	width, height := b.Dx(), b.Dy()
	for range 10 {
		area := float64(width) * float64(height) * (leastArea + (1-leastArea)*r.Float64())
		ratio := math.Exp(math.Log(leastRatio) * (1 - 2*r.Float64())) // evenly in its logarithm
		w, h := int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		if w > 0 && h > 0 && w <= width && h <= height {
			at := image.Pt(b.Min.X+r.IntN(width-w+1), b.Min.Y+r.IntN(height-h+1))
			return image.Rectangle{at, at.Add(image.Pt(w, h))}
		}
	}
	w, h := width, height
	if ratio := float64(width) / float64(height); ratio < leastRatio {
		h = max(1, int(math.Round(float64(w)/leastRatio)))
	} else if ratio > 1/leastRatio {
		w = max(1, int(math.Round(float64(h)/leastRatio)))
	}
	w, h = min(w, width), min(h, height)
	at := image.Pt(b.Min.X+(width-w)/2, b.Min.Y+(height-h)/2)
	return image.Rectangle{at, at.Add(image.Pt(w, h))}
}

// Render fills dst, 3×side×side, with the crop: scaled bilinearly, where it shrinks over all
// pixels that a pixel covers; its colours changed one after the other, each bounded to 0 to
// 255 levels; and normalised.
func (p Photo) Render(dst []float64, side int, c PhotoCrop, n Normalization) {
	scaled := image.NewRGBA(image.Rect(0, 0, side, side))
	draw.BiLinear.Scale(scaled, scaled.Rect, p, c.Part, draw.Src, nil)
	area := side * side
	rgb := [3][]float64{dst[:area], dst[area : 2*area], dst[2*area : 3*area]}
	for y := range side {
		for x := range side {
			from := scaled.Pix[y*scaled.Stride+4*x:]
			to := y*side + x
			if c.Flip {
				to = y*side + side - 1 - x
			}
			for channel := range rgb {
				rgb[channel][to] = float64(from[channel])
			}
		}
	}
	for _, step := range c.Order {
		switch step {
		case 0:
			blend(rgb, c.Brightness, func(int) float64 { return 0 })
		case 1:
			mean := 0.0
			for i := range area {
				mean += grey(rgb, i)
			}
			mean /= float64(area)
			blend(rgb, c.Contrast, func(int) float64 { return mean })
		case 2:
			blend(rgb, c.Saturation, func(i int) float64 { return grey(rgb, i) })
		case 3:
			turnHue(rgb, c.Hue)
		}
	}
	for channel := range rgb {
		mean, std := float64(n.Mean[channel]), float64(n.Std[channel])
		for i, v := range rgb[channel] {
			rgb[channel][i] = (v/255 - mean) / std
		}
	}
}

// grey is the luma of a pixel, by ITU-R BT.601.
func grey(rgb [3][]float64, i int) float64 {
	return 0.299*rgb[0][i] + 0.587*rgb[1][i] + 0.114*rgb[2][i]
}

// blend moves every pixel away from what it has in common with, by a factor.
func blend(rgb [3][]float64, factor float64, with func(i int) float64) {
	if factor == 1 {
		return
	}
	for i := range rgb[0] {
		base := with(i)
		for channel := range rgb {
			rgb[channel][i] = min(max(base+factor*(rgb[channel][i]-base), 0), 255)
		}
	}
}

// turnHue turns the hue of every pixel, in hue, saturation and value.
func turnHue(rgb [3][]float64, turn float64) {
	if turn == 0 {
		return
	}
	for i := range rgb[0] {
		r, g, b := rgb[0][i], rgb[1][i], rgb[2][i]
		most, least := max(r, g, b), min(r, g, b)
		chroma := most - least
		if chroma == 0 {
			continue // grey
		}
		var hue float64 // in sixths of a turn
		switch most {
		case r:
			hue = (g - b) / chroma
		case g:
			hue = 2 + (b-r)/chroma
		default:
			hue = 4 + (r-g)/chroma
		}
		for channel, offset := range [3]float64{5, 3, 1} {
			k := math.Mod(offset+hue+6*turn, 6)
			if k < 0 {
				k += 6
			}
			rgb[channel][i] = most - chroma*min(max(min(k, 4-k), 0), 1)
		}
	}
}
