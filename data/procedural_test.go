package data_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nb1shot/nb1shot/data"
)

func TestProceduralIsStable(t *testing.T) {
	// The images are part of a recorded run's identity.
	const want = "70aa6489e862548b39f56f2fc19419347d5d6bc3c942cc359066f1b42634d748"
	if got := data.Procedural(20, 1).Source.Digest; got != want {
		t.Errorf("digest of 20 images of seed 1: %s, want %s", got, want)
	}
	const want100 = "5ba91a9b8265fdc8753f1ce4a26e50e36670f1b8cb527dcd932eae8c0e3eae7f"
	if got := data.Procedural100(20, 1).Source.Digest; got != want100 {
		t.Errorf("digest of 20 images of seed 1 of 100 classes: %s, want %s", got, want100)
	}
}

func TestProcedural100(t *testing.T) {
	small, large := data.Procedural100(110, 1), data.Procedural100(120, 1)
	if !slices.Equal(small.Images, large.Images[:len(small.Images)]) {
		t.Error("image i depends on the number of images")
	}
	if slices.Equal(small.Image(0), small.Image(100)) {
		t.Error("two images of a class are the same")
	}
	for i, label := range small.Labels {
		if int(label) != i%100 {
			t.Errorf("label of image %d: %d", i, label)
		}
	}
	if small.Classes != 100 || small.Side != 32 || small.Normalization != data.CIFAR100Normalization || small.Source.Kind != data.KindProcedural100 {
		t.Errorf("%d classes, side %d, %v, %+v", small.Classes, small.Side, small.Normalization, small.Source)
	}
	if ten := data.Procedural(1, 1); ten.Classes != 10 || ten.Normalization != data.DARTSNormalization {
		t.Errorf("%d classes, %v", ten.Classes, ten.Normalization)
	}
	if n := data.Procedural100(-1, 1).Len(); n != 0 {
		t.Errorf("−1 images: got %d", n)
	}
}

// Of 100 classes as well convolutions learn what a linear model cannot.
func TestProcedural100NeedsConvolutions(t *testing.T) {
	a, err := data.Downsample(data.Procedural100(1200, 1), 16)
	if err != nil {
		t.Fatal(err)
	}
	b, err := data.Downsample(data.Procedural100(600, 2), 16)
	if err != nil {
		t.Fatal(err)
	}
	linear, conv := accuracy(t, a, b, pixels), accuracy(t, a, b, filterResponses)
	t.Logf("linear %.1f %%, filters %.1f %%; 1 %% is chance", 100*linear, 100*conv)
	if linear > 0.04 {
		t.Errorf("a linear model reaches %.1f %%, want at most 4 %%", 100*linear)
	}
	if conv < 0.1 {
		t.Errorf("filters reach %.1f %%, want at least 10 %%", 100*conv)
	}
}

func TestProcedural(t *testing.T) {
	small, large := data.Procedural(20, 1), data.Procedural(30, 1)
	if !slices.Equal(small.Images, large.Images[:len(small.Images)]) {
		t.Error("image i depends on the number of images")
	}
	if slices.Equal(small.Image(0), data.Procedural(1, 2).Image(0)) {
		t.Error("two seeds give the same image")
	}
	if slices.Equal(small.Image(0), small.Image(10)) {
		t.Error("two images of a class are the same")
	}
	if small.Len() != 20 || small.Side != 32 || len(small.Images) != 20*3*32*32 {
		t.Errorf("%d images of side %d in %d bytes", small.Len(), small.Side, len(small.Images))
	}
	for i, label := range small.Labels {
		if int(label) != i%10 {
			t.Errorf("label of image %d: %d", i, label)
		}
	}
	if n := data.Procedural(-1, 1).Len(); n != 0 {
		t.Errorf("−1 images: got %d", n)
	}
}

// The set must need convolutions: a linear model of the pixels, even with the
// ridge that suits the test images best, stays near chance, where a linear model
// of pooled responses to a few fixed 3×3 filters is far above it, yet not perfect.
func TestProceduralNeedsConvolutions(t *testing.T) {
	train, test := data.Procedural(800, 1), data.Procedural(800, 2)
	for _, side := range []int{32, 16, 8} {
		t.Run(fmt.Sprint(side), func(t *testing.T) {
			a, err := data.Downsample(train, side)
			if err != nil {
				t.Fatal(err)
			}
			b, err := data.Downsample(test, side)
			if err != nil {
				t.Fatal(err)
			}
			linear := accuracy(t, a, b, pixels)
			conv := accuracy(t, a, b, filterResponses)
			t.Logf("side %d: linear %.1f %%, filters %.1f %%", side, 100*linear, 100*conv)
			if linear > 0.25 {
				t.Errorf("a linear model reaches %.1f %%, want at most 25 %%", 100*linear)
			}
			if conv < 0.5 || conv > 0.9 {
				t.Errorf("filters reach %.1f %%, want 50 to 90 %%: learnable, not saturated", 100*conv)
			}
		})
	}
}

// accuracy fits one-against-all ridge regressions to the standardised features
// of the training set and returns the best accuracy on the test set over a range
// of ridges.
func accuracy(t *testing.T, train, test *data.Set, features func(img []uint8, side int) []float64) float64 {
	t.Helper()
	x, y := design(train, features), mat.NewDense(train.Len(), train.Classes, nil)
	z := design(test, features)
	_, d := x.Dims()
	for j := range d {
		standardise(x, z, j)
	}
	for i, label := range train.Labels {
		y.Set(i, int(label), 1)
	}
	// The dual form: its cost does not grow with the cube of the features.
	var gram, cross mat.Dense
	gram.Mul(x, x.T())
	cross.Mul(z, x.T())
	best := 0.0
	for _, ridge := range []float64{0.01, 0.1, 1, 10} {
		n := train.Len()
		k := mat.NewSymDense(n, nil)
		for i := range n {
			for j := i; j < n; j++ {
				k.SetSym(i, j, gram.At(i, j))
			}
			k.SetSym(i, i, gram.At(i, i)+ridge*float64(d))
		}
		var chol mat.Cholesky
		if !chol.Factorize(k) {
			t.Fatalf("ridge %v: the matrix is not positive definite", ridge)
		}
		var dual, scores mat.Dense
		if err := chol.SolveTo(&dual, y); err != nil {
			t.Fatal(err)
		}
		scores.Mul(&cross, &dual)
		right := 0
		for i, label := range test.Labels {
			row := scores.RawRowView(i)
			if row[label] == slices.Max(row) {
				right++
			}
		}
		best = max(best, float64(right)/float64(test.Len()))
	}
	return best
}

func design(s *data.Set, features func(img []uint8, side int) []float64) *mat.Dense {
	var rows []float64
	for i := range s.Len() {
		rows = append(rows, features(s.Image(i), s.Side)...)
	}
	return mat.NewDense(s.Len(), len(rows)/s.Len(), rows)
}

// standardise gives feature j mean 0 and variance 1 over the rows of x.
func standardise(x, z *mat.Dense, j int) {
	n, _ := x.Dims()
	var sum, squares float64
	for i := range n {
		sum += x.At(i, j)
		squares += x.At(i, j) * x.At(i, j)
	}
	mean := sum / float64(n)
	std := math.Sqrt(max(squares/float64(n)-mean*mean, 1e-12))
	for _, m := range []*mat.Dense{x, z} {
		rows, _ := m.Dims()
		for i := range rows {
			m.Set(i, j, (m.At(i, j)-mean)/std)
		}
	}
}

func pixels(img []uint8, side int) []float64 {
	f := make([]float64, len(img))
	for i, v := range img {
		f[i] = float64(v)
	}
	return f
}

// filters3 are edges and lines in four directions, a spot and a corner of checks.
var filters3 = [][9]float64{
	{-1, -1, -1, 0, 0, 0, 1, 1, 1},
	{-1, 0, 1, -1, 0, 1, -1, 0, 1},
	{-1, -1, 0, -1, 0, 1, 0, 1, 1},
	{0, -1, -1, 1, 0, -1, 1, 1, 0},
	{-1, -1, -1, 2, 2, 2, -1, -1, -1},
	{-1, 2, -1, -1, 2, -1, -1, 2, -1},
	{2, -1, -1, -1, 2, -1, -1, -1, 2},
	{-1, -1, 2, -1, 2, -1, 2, -1, -1},
	{-1, -1, -1, -1, 8, -1, -1, -1, -1},
	{1, -2, 1, -2, 4, -2, 1, -2, 1},
}

// filterResponses returns the mean and the maximum over the image of each
// rectified filter response to the grey image, at every side from 8 to the
// image's, in units of the image's strongest response.
func filterResponses(img []uint8, side int) []float64 {
	grey := make([]float64, side*side)
	for i := range grey {
		grey[i] = float64(img[i]) + float64(img[side*side+i]) + float64(img[2*side*side+i])
	}
	var f []float64
	for {
		var level []float64
		strongest := 1e-9
		for _, w := range filters3 {
			for _, sign := range []float64{1, -1} {
				var sum, peak float64
				for y := 1; y < side-1; y++ {
					for x := 1; x < side-1; x++ {
						v := 0.0
						for k, c := range w {
							v += c * grey[(y+k/3-1)*side+x+k%3-1]
						}
						v = max(sign*v, 0)
						sum += v
						peak = max(peak, v)
					}
				}
				level = append(level, sum/float64(side*side), peak)
				strongest = max(strongest, peak)
			}
		}
		for _, v := range level {
			f = append(f, v/strongest)
		}
		if side == 8 {
			return f
		}
		side /= 2
		half := make([]float64, side*side)
		for i := range half {
			y, x := 2*(i/side), 2*(i%side)
			half[i] = (grey[y*2*side+x] + grey[y*2*side+x+1] + grey[(y+1)*2*side+x] + grey[(y+1)*2*side+x+1]) / 4
		}
		grey = half
	}
}
