package main

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// The picture in the documentation shows the images that the program makes now.
func TestPictureIsCurrent(t *testing.T) {
	shown := filepath.Join("..", "..", "..", "docs", "images", "procedural.png")
	drawn := filepath.Join(t.TempDir(), "procedural.png")
	if err := write(drawn); err != nil {
		t.Fatal(err)
	}
	want, got := decode(t, drawn), decode(t, shown)
	if want != got {
		t.Errorf("%s is out of date: go run ./data/internal/samplesheet docs/images/procedural.png", shown)
	}
}

// decode returns the pixels of a picture.
func decode(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	var pixels []byte
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			pixels = append(pixels, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return string(pixels)
}
