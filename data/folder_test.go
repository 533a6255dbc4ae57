package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/random"
)

// painted is an image of a size whose pixels follow a function.
func painted(width, height int, of func(x, y int) color.RGBA) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, of(x, y))
		}
	}
	return m
}

// oneColour is of one colour.
func oneColour(r, g, b uint8) func(x, y int) color.RGBA {
	return func(int, int) color.RGBA { return color.RGBA{r, g, b, 255} }
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put writes a file below dir.
func put(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

// photos makes a folder of n images of sizes of their own in each of two classes, red and
// blue ones.
func photos(t testing.TB, dir string, n int) {
	t.Helper()
	for i := range n {
		put(t, dir, fmt.Sprintf("n01/b%d.JPEG", i), jpegOf(t, painted(40+7*i, 60-3*i, oneColour(200, 20, uint8(10*i)))))
		put(t, dir, fmt.Sprintf("n02/a%d.jpg", i), jpegOf(t, painted(90-5*i, 50+2*i, oneColour(uint8(10*i), 20, 200))))
	}
}

func TestOpenFolder(t *testing.T) {
	dir := t.TempDir()
	photos(t, dir, 3)
	put(t, dir, ".DS_Store", nil)
	put(t, dir, "n01/.hidden", nil)
	f, err := OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != 6 || !slices.Equal(f.Classes, []string{"n01", "n02"}) || f.Label(2) != 0 || f.Label(3) != 1 || f.Path(3) != filepath.Join(dir, "n02", "a0.jpg") {
		t.Errorf("%d images, classes %q, %s of %d", f.Len(), f.Classes, f.Path(3), f.Label(3))
	}
	if f.Source.Kind != KindImageNet || len(f.Source.Digest) != 64 || !strings.Contains(f.Source.Detail, "6 images of 2 classes") {
		t.Errorf("source %+v", f.Source)
	}
	// Another file of another size, class or name has another digest.
	put(t, dir, "n01/b0.JPEG", []byte("shorter"))
	if g, err := OpenFolder(t.Context(), dir); err != nil || g.Source.Digest == f.Source.Digest {
		t.Errorf("the digest of other files is the same, %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenFolder(canceled, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOpenFolderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(dir string)
		want  string
	}{
		"a file among the classes": {func(dir string) { put(t, dir, "list.txt", nil) }, "list.txt is no class folder"},
		"another file in a class":  {func(dir string) { put(t, dir, "n01/notes.txt", nil) }, filepath.Join("n01", "notes.txt") + " is no JPEG by its name"},
		"an empty class":           {func(dir string) { os.Mkdir(filepath.Join(dir, "n03"), 0o755) }, "n03 has no images"},
		"one class":                {func(dir string) { os.RemoveAll(filepath.Join(dir, "n02")) }, "has 1 class folders: want at least 2"},
		"a dangling link":          {func(dir string) { os.Symlink("nowhere", filepath.Join(dir, "n01", "z.jpg")) }, "z.jpg: no such file"},
		"nothing":                  {func(dir string) { os.RemoveAll(dir) }, "no such file"},
	} {
		dir := filepath.Join(t.TempDir(), "images")
		photos(t, dir, 1)
		test.spoil(dir)
		if _, err := OpenFolder(t.Context(), dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func TestOpenImageNet(t *testing.T) {
	dir := t.TempDir()
	photos(t, filepath.Join(dir, "train"), 2)
	photos(t, filepath.Join(dir, "val"), 1)
	p, err := OpenImageNet(t.Context(), dir)
	if err != nil || p.Train.Len() != 4 || p.Test.Len() != 2 {
		t.Fatalf("%v, %v", p, err)
	}
	put(t, dir, "val/n07/x.jpg", jpegOf(t, painted(8, 8, oneColour(1, 2, 3))))
	if _, err := OpenImageNet(t.Context(), dir); err == nil || !strings.Contains(err.Error(), `class "n07" is in one of`) {
		t.Errorf("error %v", err)
	}
}

// Batches are functions of epoch and number; an epoch passes all images, each with its label.
func TestFolderLoader(t *testing.T) {
	dir := t.TempDir()
	photos(t, dir, 5)
	f, err := OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	load := func(q FolderQueue, epoch, k int) Batch {
		t.Helper()
		l, err := NewFolderLoader(q)
		if err != nil {
			t.Fatal(err)
		}
		if l.Len() != 3 {
			t.Fatalf("%d batches", l.Len())
		}
		var b Batch
		if err := l.Batch(t.Context(), &b, epoch, k); err != nil {
			t.Fatal(err)
		}
		return b
	}
	q := FolderQueue{Name: "train", Seed: 3, Folder: f, BatchSize: 4, Side: 32, Augment: true}
	labels := map[int]int{}
	for k := range 3 {
		b := load(q, 1, k)
		if want := []int{4, 4, 2}[k]; b.N != want || b.Side != 32 || len(b.Images) != want*3*32*32 || len(b.Labels) != want {
			t.Errorf("batch %d: %d images of side %d, %d values", k, b.N, b.Side, len(b.Images))
		}
		for i, label := range b.Labels {
			labels[label]++
			red, blue := b.Images[i*3*32*32], b.Images[(i*3+2)*32*32]
			if (red > blue) != (label == 0) { // jittering turns no red into blue
				t.Errorf("batch %d, image %d of class %d: red %v, blue %v", k, i, label, red, blue)
			}
		}
		if again := load(q, 1, k); !slices.Equal(again.Images, b.Images) || !slices.Equal(again.Labels, b.Labels) || again.Serial == b.Serial {
			t.Errorf("batch %d differs when it is made again", k)
		}
	}
	if labels[0] != 5 || labels[1] != 5 {
		t.Errorf("an epoch has %v", labels)
	}
	if slices.Equal(load(q, 1, 0).Images, load(q, 2, 0).Images) {
		t.Error("epochs 1 and 2 begin alike")
	}
	q.Augment, q.InOrder = false, true
	if b := load(q, 0, 0); !slices.Equal(b.Labels, []int{0, 0, 0, 0}) || !slices.Equal(b.Images, load(q, 5, 0).Images) {
		t.Error("without augmentation epochs differ")
	}
}

// A file that cannot be read is named.
func TestFolderLoaderFails(t *testing.T) {
	whole := jpegOf(t, painted(64, 64, func(x, y int) color.RGBA { return color.RGBA{uint8(4 * x), uint8(4 * y), 7, 255} }))
	for name, content := range map[string][]byte{
		"truncated": whole[:len(whole)/2], "empty": nil, "text": []byte("not an image"),
		"a header alone": whole[:40],
		// Its frame says 65,535 pixels in both directions.
		"a bomb": bytes.Replace(whole, []byte{8, 0, 64, 0, 64}, []byte{8, 255, 255, 255, 255}, 1),
	} {
		dir := t.TempDir()
		photos(t, dir, 1)
		path := put(t, dir, "n01/z.jpg", content)
		f, err := OpenFolder(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewFolderLoader(FolderQueue{Name: "train", Folder: f, BatchSize: 8, Side: 16})
		if err != nil {
			t.Fatal(err)
		}
		var photo *PhotoError
		if err := l.Batch(t.Context(), &Batch{}, 0, 0); !errors.As(err, &photo) || photo.Path != path {
			t.Errorf("%s: error %v, want one of %s", name, err, path)
		}
	}
	dir := t.TempDir()
	photos(t, dir, 1)
	f, err := OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []FolderQueue{
		{Folder: f, BatchSize: 1, Side: 16}, {Name: "q", Folder: f, Side: 16}, {Name: "q", Folder: f, BatchSize: 1, Side: 20},
		{Name: "q", Folder: f, BatchSize: 1, Side: 16, Images: []int{2}}, {Name: "q", Folder: f, BatchSize: 1, Side: 16, Images: []int{}},
	} {
		if _, err := NewFolderLoader(q); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := NewFolderLoader(FolderQueue{Name: "q", Folder: f, BatchSize: 1, Side: 16})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Batch(canceled, &Batch{}, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// A file may have gone since, or a folder be there.
	if err := errors.Join(os.Remove(f.Path(0)), os.Mkdir(f.Path(0), 0o755)); err != nil {
		t.Fatal(err)
	}
	l, _ = NewFolderLoader(FolderQueue{Name: "q", Folder: f, BatchSize: 2, Side: 16, InOrder: true})
	if err := l.Batch(t.Context(), &Batch{}, 0, 0); !errors.Is(err, foreign.ErrNotRegular) {
		t.Errorf("error %v", err)
	}
}

// ImageNet has one PNG by the name of a JPEG, and some JPEGs in grey or of four colours.
func TestReadPhoto(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	if err := png.Encode(&b, painted(8, 4, oneColour(9, 8, 7))); err != nil {
		t.Fatal(err)
	}
	if p, err := ReadPhoto(put(t, dir, "png.JPEG", b.Bytes())); err != nil || p.Bounds().Dx() != 8 || p.Bounds().Dy() != 4 {
		t.Errorf("%v, %v", p, err)
	}
	grey := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range grey.Pix {
		grey.Pix[i] = 128
	}
	p, err := ReadPhoto(put(t, dir, "grey.jpg", jpegOf(t, grey)))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 3*8*8)
	p.Render(got, 8, p.Middle(8), ImageNetNormalization)
	for c, want := range []float64{(128/255. - 0.485) / 0.229, (128/255. - 0.456) / 0.224, (128/255. - 0.406) / 0.225} {
		if math.Abs(got[c*64+20]-want) > 1.0/255/0.2 {
			t.Errorf("channel %d is %v, want %v", c, got[c*64+20], want)
		}
	}
}

// identity leaves levels as they are.
var identity = Normalization{Std: [3]float32{1. / 255, 1. / 255, 1. / 255}}

// The steps of the transform, worked out by hand for one colour.
func TestRender(t *testing.T) {
	p := Photo{painted(16, 16, oneColour(200, 100, 50))}
	whole := unchanged(image.Rect(0, 0, 16, 16))
	luma := 0.299*200 + 0.587*100 + 0.114*50
	for name, test := range map[string]struct {
		change func(c *PhotoCrop)
		want   [3]float64
	}{
		"nothing":             {func(*PhotoCrop) {}, [3]float64{200, 100, 50}},
		"darker":              {func(c *PhotoCrop) { c.Brightness = 0.5 }, [3]float64{100, 50, 25}},
		"brighter, bounded":   {func(c *PhotoCrop) { c.Brightness = 1.4 }, [3]float64{255, 140, 70}},
		"less contrast":       {func(c *PhotoCrop) { c.Contrast = 0.6 }, [3]float64{luma + 0.6*(200-luma), luma + 0.6*(100-luma), luma + 0.6*(50-luma)}},
		"grey":                {func(c *PhotoCrop) { c.Saturation = 0 }, [3]float64{luma, luma, luma}},
		"a third of a turn":   {func(c *PhotoCrop) { c.Hue = 1. / 3 }, [3]float64{50, 200, 100}},
		"a third back":        {func(c *PhotoCrop) { c.Hue = -1. / 3 }, [3]float64{100, 50, 200}},
		"brighter, then grey": {func(c *PhotoCrop) { c.Brightness, c.Saturation = 1.4, 0 }, [3]float64{0.299*255 + 0.587*140 + 0.114*70, 0.299*255 + 0.587*140 + 0.114*70, 0.299*255 + 0.587*140 + 0.114*70}},
		"grey, then brighter": {func(c *PhotoCrop) { c.Brightness, c.Saturation, c.Order = 1.4, 0, [4]int{2, 0, 1, 3} }, [3]float64{1.4 * luma, 1.4 * luma, 1.4 * luma}},
	} {
		c := whole
		test.change(&c)
		got := make([]float64, 3*8*8)
		p.Render(got, 8, c, identity)
		for channel, want := range test.want {
			for i, x := range got[channel*64 : channel*64+64] {
				if math.Abs(x-want) > 1e-4*want+1e-9 {
					t.Errorf("%s: channel %d, pixel %d is %v, want %v", name, channel, i, x, want)
					break
				}
			}
		}
	}
}

// Halved, each pixel is a mean of those around; flipped, left is right; a part is scaled alone.
func TestRenderGeometry(t *testing.T) {
	p := Photo{painted(16, 16, func(x, y int) color.RGBA { return color.RGBA{uint8(16 * x), uint8(16 * y), 0, 255} })}
	got := make([]float64, 3*8*8)
	c := unchanged(image.Rect(0, 0, 16, 16))
	p.Render(got, 8, c, identity)
	if x := got[3*8+4]; math.Abs(x-16*8.5) > 1 { // between columns 8 and 9
		t.Errorf("column 4 is %v", x)
	}
	c.Flip = true
	flipped := make([]float64, 3*8*8)
	p.Render(flipped, 8, c, identity)
	for i := range got {
		if j := i/8*8 + 7 - i%8; flipped[i] != got[j] {
			t.Fatalf("flipped pixel %d is %v, want %v", i, flipped[i], got[j])
		}
	}
	c = unchanged(image.Rect(8, 4, 16, 12))
	p.Render(got, 8, c, identity)
	if math.Round(got[0]) != 16*8 || math.Round(got[64]) != 16*4 || math.Round(got[7]) != 16*15 {
		t.Errorf("the corner is %v, %v, the other %v", got[0], got[64], got[7])
	}
	wide := Photo{painted(300, 100, oneColour(1, 1, 1))}
	if c := wide.Middle(224); c.Part != image.Rect(106, 6, 194, 94) {
		t.Errorf("the middle is %v", c.Part)
	}
}

// Random crops lie in the image, have the areas and shapes that they should, and jitter
// within their ranges; each image has draws of its own.
func TestRandomCrop(t *testing.T) {
	r := random.New(1, "test")
	least, most, narrow, broad, flips, first := 1.0, 0.0, 9.0, 0.0, 0, map[int]int{}
	p := Photo{image.NewRGBA(image.Rect(0, 0, 400, 300))}
	const n = 2000
	for range n {
		c := p.Random(r)
		if !c.Part.In(p.Bounds()) || c.Part.Empty() {
			t.Fatalf("part %v", c.Part)
		}
		area, ratio := float64(c.Part.Dx()*c.Part.Dy())/(400*300), float64(c.Part.Dx())/float64(c.Part.Dy())
		least, most, narrow, broad = min(least, area), max(most, area), min(narrow, ratio), max(broad, ratio)
		for _, factor := range []float64{c.Brightness, c.Contrast, c.Saturation} {
			if factor < 0.6 || factor > 1.4 {
				t.Fatalf("factor %v", factor)
			}
		}
		if math.Abs(c.Hue) > 0.2 {
			t.Fatalf("hue %v", c.Hue)
		}
		if c.Flip {
			flips++
		}
		first[c.Order[0]]++
	}
	if least < 0.079 || least > 0.1 || most < 0.9 || narrow < 0.74 || narrow > 0.76 || broad < 1.31 || broad > 1.35 {
		t.Errorf("areas %v to %v, shapes %v to %v", least, most, narrow, broad)
	}
	if flips < n*4/10 || flips > n*6/10 || len(first) != 4 || first[0] < n/5 {
		t.Errorf("%d flips, first steps %v", flips, first)
	}
	for _, size := range []image.Point{{1, 1}, {1000, 1}, {1, 1000}, {2, 3}} {
		p := Photo{image.NewRGBA(image.Rectangle{Max: size})}
		for range 50 {
			if c := p.Random(r); !c.Part.In(p.Bounds()) || c.Part.Empty() {
				t.Fatalf("part %v of %v", c.Part, size)
			}
		}
	}
}

// No bytes make the reader or the transform panic, and all that comes out is finite.
func FuzzPhoto(f *testing.F) {
	whole := jpegOf(f, painted(20, 12, func(x, y int) color.RGBA { return color.RGBA{uint8(12 * x), uint8(20 * y), 90, 255} }))
	f.Add(whole, uint64(1))
	f.Add(whole[:len(whole)/2], uint64(2))
	var b bytes.Buffer
	if err := png.Encode(&b, painted(3, 5, oneColour(9, 8, 7))); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), uint64(3))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if config, _, err := image.DecodeConfig(bytes.NewReader(text)); err == nil && config.Width*config.Height > 1<<20 {
			t.Skip("more than a million pixels: rendering them would take the fuzzer seconds for each input")
		}
		p, err := decodePhoto(text)
		if err != nil {
			return
		}
		out := make([]float64, 3*16*16)
		p.Render(out, 16, p.Random(random.New(seed, "fuzz")), ImageNetNormalization)
		p.Render(out, 16, p.Middle(16), ImageNetNormalization)
		for i, x := range out {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("value %d is %v", i, x)
			}
		}
	})
}
