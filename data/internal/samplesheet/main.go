// Command samplesheet draws the picture of the procedural set in its
// documentation: a row for each class, with its name and twelve images.
//
//	go run ./data/internal/samplesheet docs/images/procedural.png
package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/nb1shot/nb1shot/data"
)

// Sizes in pixels of the sheet.
const (
	samples = 12
	zoom    = 2
	gap     = 4
	names   = 136 // width of the column of names
	cell    = 32*zoom + gap
	classes = 10
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: samplesheet FILE.png")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "samplesheet:", err)
		os.Exit(1)
	}
}

func write(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return encoder.Encode(f, sheet(data.Procedural(samples*classes, 1)))
}

// sheet lays the images of a set, whose labels go round, out by class.
func sheet(set *data.Set) image.Image {
	const width, height = names + samples*cell + gap, classes*cell + gap
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(72)) // a point is a pixel
	font := plot.DefaultFont
	font.Size = 13
	face := plot.DefaultTextHandler.Cache().Lookup(font, font.Size)
	for class, name := range data.ProceduralClasses {
		baseline := class*cell + gap + 16*zoom + 4 // from the top
		canvas.FillString(face, vg.Point{X: gap, Y: vg.Length(height - baseline)}, name)
	}
	img := canvas.Image()
	for i, label := range set.Labels {
		paste(img, image.Pt(names+i/classes*cell+gap, int(label)*cell+gap), set.Image(i), set.Side)
	}
	return img
}

// paste draws an image, zoomed, with its corner at a point.
func paste(dst draw.Image, at image.Point, pixels []uint8, side int) {
	plane := side * side
	for y := range side * zoom {
		for x := range side * zoom {
			p := y/zoom*side + x/zoom
			dst.Set(at.X+x, at.Y+y, color.RGBA{R: pixels[p], G: pixels[plane+p], B: pixels[2*plane+p], A: 255})
		}
	}
}
